//! Numbers that say how far from them a computed one may be, and what rounding makes of them.

use half::{bf16, f16};
use rocmforge::quant::GgmlType;

/// Half a unit in the last place of f32, relative.
pub const UNIT: f64 = 6e-8;

/// An exact value, and how far from it the computed one may be.
#[derive(Clone, Copy, Debug)]
pub struct Near {
    pub v: f64,
    pub e: f64,
}

impl Near {
    /// What a run does not make, or nobody asked for.
    pub const ANY: Near = Near { v: 0.0, e: f64::INFINITY };

    /// A value that is exact.
    pub fn exact(v: f32) -> Near {
        Near { v: v.into(), e: 0.0 }
    }

    /// The middle of two.
    fn between(low: f64, high: f64) -> Near {
        Near { v: (low + high) / 2.0, e: (high - low).abs() / 2.0 }
    }
}

/// How the scale of a group of quants is kept.
#[derive(Clone, Copy, PartialEq)]
enum Scale {
    F32,
    F16,
}

/// A group in 8 bits: `d * q` with `d = max|x| / 127` and q the nearest to `x / d`. Where what is computed may
/// fall on either side of a half, both are right. The sharper the bounds of the group are, the fewer such there are.
fn group(x: &mut [Near], scale: Scale) {
    let max = |f: fn(&Near) -> f64| x.iter().map(f).fold(0.0, f64::max);
    let (low, high) = (max(|n| n.v.abs() - n.e), max(|n| n.v.abs() + n.e));
    if !high.is_finite() {
        x.fill(Near::ANY);
        return;
    }
    // What is as good as zero, for kernels that say so.
    if high < 1e-36 {
        x.iter_mut().for_each(|n| *n = Near { v: 0.0, e: 1e-35 });
        return;
    }
    let d = match scale {
        Scale::F32 => Near::between(low / 127.0 * (1.0 - UNIT), high / 127.0 * (1.0 + UNIT)),
        Scale::F16 => {
            let at = |d: f64| f16::from_f64(d).to_f64();
            Near::between(at(low / 127.0 * (1.0 - UNIT)), at(high / 127.0 * (1.0 + UNIT)))
        }
    };
    let (middle, spread) = ((low + high) / 2.0, (high - low) / (high + low) + 4.0 * UNIT);
    for n in x {
        let at = n.v * 127.0 / middle;
        let off = n.e * 127.0 / middle + at.abs() * spread;
        let q = Near::between((at - off).round_ties_even(), (at + off).round_ties_even());
        *n = Near { v: d.v * q.v, e: d.v * q.e + d.e * (q.v.abs() + q.e) };
    }
}

/// A row as products of quantised weights read it: in 8 bits, with a scale for each 32.
pub fn pack(row: &mut [Near]) {
    row.chunks_mut(32).for_each(|x| group(x, Scale::F32));
}

/// A row as a cache of type `ty` keeps it.
pub fn store(ty: GgmlType, row: &mut [Near]) {
    let each = |row: &mut [Near], round: fn(f64) -> f64| {
        for n in row {
            *n = Near::between(round(n.v - n.e), round(n.v + n.e));
        }
    };
    match ty {
        GgmlType::F32 => {}
        GgmlType::F16 => each(row, |v| f16::from_f64(v).to_f64()),
        // From f32, as the values to be rounded are.
        GgmlType::BF16 => each(row, |v| bf16::from_f32(v as f32).to_f64()),
        GgmlType::Q8_0 => row.chunks_mut(32).for_each(|x| group(x, Scale::F16)),
        other => panic!("no cache of {}", other.name()),
    }
}
