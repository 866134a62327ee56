//! Quantisation to IQ3.

use bytemuck::Zeroable;

use super::lattice::{Again, Fit, Lattice, fit, largest, odd_scale, signs};
use super::{Encode, Importance, error_weights, sum_of_squares};
use crate::quant::grid::data;
use crate::quant::{BlockIQ3_S, BlockIQ3_XXS, QK_K, to_f16};

static XXS: Lattice<4> = Lattice::new(&data::IQ3_XXS, 3, 2);
static S: Lattice<4> = Lattice::new(&data::IQ3_S, 3, 3);

/// A sub-block: its scale, for each 4 weights the point and for each 8 the signs.
struct Part {
    scale: f32,
    points: [u16; 8],
    signs: [u8; 4],
}

fn part(lattice: &Lattice<4>, how: &Fit, x: &[f32; 32], weights: &[f32; 32], even: bool) -> Part {
    let mut magnitudes = [0.0; 32];
    let mut signs: [u8; 4] = std::array::from_fn(|k| {
        signs(&x[8 * k..][..8], &weights[8 * k..][..8], even, &mut magnitudes[8 * k..][..8])
    });
    let peak = largest(&magnitudes);
    // IQ3_XXS takes small sub-blocks for zero, IQ3_S only those that are.
    let is_zero = if even { peak < 1e-8 } else { peak == 0.0 };
    if is_zero {
        return Part { scale: 0.0, points: [0; 8], signs: [0; 4] };
    }
    let (scale, levels) = fit(lattice, how, &magnitudes, weights, peak, peak / 15.0);
    if scale < 0.0 {
        signs = signs.map(|s| !s);
    }
    let points = std::array::from_fn(|k| lattice.find(&levels.as_chunks().0[k]).unwrap_or(0));
    Part { scale: scale.abs(), points, signs }
}

/// The eight sub-blocks, and 1 / 31 of the largest scale.
fn parts(
    lattice: &Lattice<4>,
    how: &Fit,
    src: &[f32; QK_K],
    importance: Option<Importance<'_, QK_K>>,
    even: bool,
) -> ([Part; 8], f32) {
    let mean_square = 2.0 * sum_of_squares(src) / QK_K as f32;
    let parts: [Part; 8] = std::array::from_fn(|j| {
        let x = &src.as_chunks().0[j];
        let weights = match &importance {
            Some(i) => error_weights(x, &i.parts()[j], mean_square),
            None => x.map(|v| v * v),
        };
        part(lattice, how, x, &weights, even)
    });
    let d = parts.iter().fold(0.0f32, |peak, p| if peak > p.scale { peak } else { p.scale }) / 31.0;
    (parts, d)
}

impl Encode<QK_K> for BlockIQ3_XXS {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let how = Fit { levels: 8, steps: 15, width: 0.2, again: Again::TheOff };
        let (parts, d) = parts(&XXS, &how, src, importance, true);
        if d == 0.0 {
            return BlockIQ3_XXS::zeroed();
        }
        let signs = std::array::from_fn(|j| {
            let signs = (0..4).fold(0, |all, k| all | u32::from(parts[j].signs[k] & 127) << (7 * k));
            (signs | u32::from(odd_scale(1.0 / d, parts[j].scale, 15)) << 28).to_le_bytes()
        });
        let qs = std::array::from_fn(|k| parts[k / 8].points[k % 8] as u8);
        // The factors here and below are what ggml found to improve the result.
        BlockIQ3_XXS { d: to_f16(d * 1.0125), qs, signs }
    }
}

impl Encode<QK_K> for BlockIQ3_S {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let how = Fit { levels: 8, steps: 9, width: 0.2, again: Again::IfAnyOff };
        let (parts, d) = parts(&S, &how, src, importance, false);
        let mut block = BlockIQ3_S {
            d: 0,
            qs: std::array::from_fn(|k| parts[k / 8].points[k % 8] as u8),
            qh: std::array::from_fn(|j| {
                (0..8).fold(0, |byte, i| byte | ((parts[j].points[i] >> 8) as u8) << i)
            }),
            signs: std::array::from_fn(|k| parts[k / 4].signs[k % 4]),
            scales: [0; 4],
        };
        if d != 0.0 {
            let code = |j: usize| odd_scale(1.0 / d, parts[j].scale, 15);
            block.d = to_f16(d * 1.033);
            block.scales = std::array::from_fn(|j| code(2 * j) | code(2 * j + 1) << 4);
        }
        block
    }
}
