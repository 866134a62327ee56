//! Quantisation to IQ4_NL and IQ4_XS.

use super::legacy::{inverse, pack_halves, peak_of};
use super::search::{ZERO, nearest};
use super::{Encode, Importance, error_weights, sum_of_squares};
use crate::quant::{BlockIQ4_NL, BlockIQ4_XS, IQ4_VALUES, QK_K, QK4_NL, to_f16};

/// The code whose value is nearest to `v`, the upper of two.
fn code_of(v: f32) -> u8 {
    let above = IQ4_VALUES.partition_point(|&x| f32::from(x) <= v);
    if above == 0 {
        return 0;
    }
    if above == 16 {
        return 15;
    }
    let (low, high) = (f32::from(IQ4_VALUES[above - 1]), f32::from(IQ4_VALUES[above]));
    (if v - low < high - v { above - 1 } else { above }) as u8
}

/// Finds `scale` such that `x ~ scale * IQ4_VALUES[code]` has a small weighted square error: the
/// peak is mapped to each of -134 to -120 and, first, to 127 with its own sign.
fn search(x: &[f32; 32], weights: &[f32; 32]) -> f32 {
    let peak = peak_of(x);
    if peak.abs() < ZERO {
        return 0.0;
    }
    let sums = |inverse: f32| {
        x.iter().zip(weights).fold((0.0f32, 0.0f32), |(qx, q2), (&v, &w)| {
            let q = f32::from(IQ4_VALUES[usize::from(code_of(inverse * v))]);
            (qx + w * q * v, q2 + w * q * q)
        })
    };
    let first = f32::from(IQ4_VALUES[0]);
    let (qx, q2) = sums(1.0 / (-peak / first));
    let mut scale = if q2 > 0.0 { qx / q2 } else { 0.0 };
    let mut best = scale * qx;
    for step in -7..=7 {
        let (qx, q2) = sums((step as f32 + first) / peak);
        if q2 > 0.0 && qx * qx > best * q2 {
            scale = qx / q2;
            best = scale * qx;
        }
    }
    scale
}

impl Encode<QK4_NL> for BlockIQ4_NL {
    fn encode(src: &[f32; QK4_NL], importance: Option<Importance<'_, QK4_NL>>) -> Self {
        let mean_square = sum_of_squares(src) * (2.0 / QK4_NL as f32);
        let weights =
            importance.map_or_else(|| src.map(|v| v * v), |i| error_weights(src, i.columns, mean_square));
        let scale = search(src, &weights);
        let id = inverse(scale);
        BlockIQ4_NL { d: to_f16(scale), qs: pack_halves(&src.map(|v| code_of(id * v))) }
    }
}

impl Encode<QK_K> for BlockIQ4_XS {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let mean_square = sum_of_squares(src) * (2.0 / QK_K as f32);
        let blocks = src.as_chunks::<32>().0;
        let scales: [f32; 8] = std::array::from_fn(|j| {
            let x = &blocks[j];
            let weights = match &importance {
                Some(i) => error_weights(x, &i.parts()[j], mean_square),
                None => x.map(|v| v * v),
            };
            search(x, &weights)
        });
        let d = -peak_of(&scales) / 32.0;
        let id = inverse(d);
        let (mut scales_h, mut scales_l, mut qs) = (0u16, [0u8; QK_K / 64], [0u8; QK_K / 2]);
        for (j, qs) in qs.as_chunks_mut().0.iter_mut().enumerate() {
            let l = nearest(id * scales[j]).clamp(-32, 31);
            let id = inverse(d * l as f32);
            *qs = pack_halves(&blocks[j].map(|v| code_of(id * v)));
            let l = (l + 32) as u8;
            scales_l[j / 2] |= (l & 15) << (j % 2 * 4);
            scales_h |= u16::from(l >> 4) << (2 * j);
        }
        BlockIQ4_XS { d: to_f16(d), scales_h, scales_l, qs }
    }
}
