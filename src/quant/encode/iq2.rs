//! Quantisation to IQ2.

use bytemuck::Zeroable;

use super::lattice::{Again, Fit, Lattice, fit, largest, odd_scale, signs};
use super::search::{self, ZERO};
use super::{Encode, Importance, error_weights, sum_of_squares};
use crate::quant::grid::data;
use crate::quant::{BlockIQ2_S, BlockIQ2_XS, BlockIQ2_XXS, QK_K, to_f16};

static XXS: Lattice<8> = Lattice::new(&data::IQ2_XXS, 2, 2);
static XS: Lattice<8> = Lattice::new(&data::IQ2_XS, 2, 2);
static S: Lattice<8> = Lattice::new(&data::IQ2_S, 2, 1);

/// A sub-block: its scale, and for each 8 weights the point and the signs.
struct Part<const G: usize> {
    scale: f32,
    points: [u16; G],
    signs: [u8; G],
}

/// The scale and points of magnitudes `x`, which get the signs given.
fn part<const N: usize, const G: usize>(
    lattice: &Lattice<8>,
    (scale, levels): (f32, [u8; N]),
    signs: [u8; G],
) -> Part<G> {
    let levels = levels.as_chunks::<8>().0;
    // The scale is stored without a sign.
    let signs = if scale < 0.0 { signs.map(|s| !s) } else { signs };
    let points = std::array::from_fn(|k| lattice.find(&levels[k]).unwrap_or(0));
    Part { scale: scale.abs(), points, signs }
}

fn empty<const G: usize>() -> Part<G> {
    Part { scale: 0.0, points: [0; G], signs: [0; G] }
}

fn part_xxs(x: &[f32; 32], weights: &[f32; 32]) -> Part<4> {
    let mut magnitudes = [0.0; 32];
    let signs = std::array::from_fn(|k| {
        signs(&x[8 * k..][..8], &weights[8 * k..][..8], true, &mut magnitudes[8 * k..][..8])
    });
    if largest(&magnitudes) < ZERO {
        return empty();
    }
    let scale = search::positive(&magnitudes, weights, 4, &mut [0; 32]);
    let span = scale * 3.0;
    if span <= 0.0 {
        return empty();
    }
    let how = Fit { levels: 3, steps: 6, width: 0.1, again: Again::Always };
    part(&XXS, fit(&XXS, &how, &magnitudes, weights, span, scale), signs)
}

fn part_of_16(lattice: &Lattice<8>, x: &[f32; 16], weights: &[f32; 16], even: bool, zero: f32) -> Part<2> {
    let mut magnitudes = [0.0; 16];
    let signs: [u8; 2] = std::array::from_fn(|k| {
        signs(&x[8 * k..][..8], &weights[8 * k..][..8], even, &mut magnitudes[8 * k..][..8])
    });
    let peak = largest(&magnitudes);
    if peak < zero {
        // Where signs are stored in full, ggml leaves them out of such a sub-block too.
        return empty();
    }
    let how = Fit { levels: 3, steps: 9, width: 0.1, again: Again::TheOff };
    part(lattice, fit(lattice, &how, &magnitudes, weights, peak, peak / 5.0), signs)
}

/// The scales of 16 sub-blocks in halves of bytes, and 1 / 31 of the largest; `None` if that is zero.
fn scales_of(parts: &[Part<2>; 16]) -> Option<(f32, [u8; 8])> {
    let d = parts.iter().fold(0.0f32, |peak, p| if peak > p.scale { peak } else { p.scale }) / 31.0;
    let code = |p: &Part<2>| odd_scale(1.0 / d, p.scale, 15);
    (d != 0.0).then(|| (d, std::array::from_fn(|j| code(&parts[2 * j]) | code(&parts[2 * j + 1]) << 4)))
}

/// The weights of the errors when there is no importance data, which ggml refuses for IQ2_XXS and
/// IQ2_XS: all are of equal importance.
const EQUAL: [f32; QK_K] = [1.0; QK_K];

impl Encode<QK_K> for BlockIQ2_XXS {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let mean_square = sum_of_squares(src) / QK_K as f32;
        let columns = importance.map_or(&EQUAL, |i| i.columns).as_chunks().0;
        let parts: [Part<4>; 8] = std::array::from_fn(|j| {
            let x = &src.as_chunks().0[j];
            part_xxs(x, &error_weights(x, &columns[j], mean_square))
        });
        let d = parts.iter().fold(0.0f32, |peak, p| if peak > p.scale { peak } else { p.scale }) / 31.0;
        let mut block = BlockIQ2_XXS::zeroed();
        if d == 0.0 {
            return block;
        }
        block.d = to_f16(d);
        for (part, qs) in parts.iter().zip(block.qs.as_chunks_mut::<4>().0) {
            let [p0, p1, p2, p3] = part.points;
            let signs = (0..4).fold(0, |all, k| all | u32::from(part.signs[k] & 127) << (7 * k));
            let second = signs | u32::from(odd_scale(1.0 / d, part.scale, 15)) << 28;
            *qs = [p0 | p1 << 8, p2 | p3 << 8, second as u16, (second >> 16) as u16];
        }
        block
    }
}

impl Encode<QK_K> for BlockIQ2_XS {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let mean_square = sum_of_squares(src) / QK_K as f32;
        let columns = importance.map_or(&EQUAL, |i| i.columns).as_chunks().0;
        let parts = std::array::from_fn(|j| {
            let x = &src.as_chunks().0[j];
            part_of_16(&XS, x, &error_weights(x, &columns[j], mean_square), true, ZERO)
        });
        let Some((d, scales)) = scales_of(&parts) else { return BlockIQ2_XS::zeroed() };
        let qs = std::array::from_fn(|k| {
            let part = &parts[k / 2];
            part.points[k % 2] | u16::from(part.signs[k % 2] & 127) << 9
        });
        BlockIQ2_XS { d: to_f16(d), qs, scales }
    }
}

impl Encode<QK_K> for BlockIQ2_S {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let mean_square = 2.0 * sum_of_squares(src) / QK_K as f32;
        let parts: [Part<2>; 16] = std::array::from_fn(|j| {
            let x = &src.as_chunks().0[j];
            let weights = match &importance {
                Some(i) => error_weights(x, &i.parts()[j], mean_square),
                None => x.map(|v| 0.25 * mean_square + v * v),
            };
            part_of_16(&S, x, &weights, false, 1e-8)
        });
        let point = |k: usize| parts[k / 2].points[k % 2];
        let mut block = BlockIQ2_S {
            d: 0,
            qs: std::array::from_fn(|k| point(k) as u8),
            signs: std::array::from_fn(|k| parts[k / 2].signs[k % 2]),
            qh: std::array::from_fn(|j| {
                (0..4).fold(0, |byte, i| byte | ((point(4 * j + i) >> 8) as u8) << (2 * i))
            }),
            scales: [0; 8],
        };
        if let Some((d, scales)) = scales_of(&parts) {
            block.d = to_f16(d * 0.9875);
            block.scales = scales;
        }
        block
    }
}
