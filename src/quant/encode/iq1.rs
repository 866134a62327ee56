//! Quantisation to IQ1.
//!
//! Three levels split the sorted weights of a sub-block in three runs. All splits are tried with
//! all shifts: sums over runs are differences of running sums, so each costs a few products.

use bytemuck::Zeroable;

use super::lattice::{Lattice, odd_scale};
use super::{Encode, Importance, error_weights, sum_of_squares};
use crate::quant::grid::data;
use crate::quant::{BlockIQ1_M, BlockIQ1_S, IQ1_DELTA, QK_K, to_f16};

static GRID: Lattice<8> = Lattice::new(&data::IQ1_S, 2, 3);

/// What levels 0, 1 and 2 stand for when shifted up, and down.
const UP: [f32; 3] = [-1.0 + IQ1_DELTA, IQ1_DELTA, 1.0 + IQ1_DELTA];
const DOWN: [f32; 3] = [-1.0 - IQ1_DELTA, -IQ1_DELTA, 1.0 - IQ1_DELTA];

/// A sub-block of `G` times 8 weights.
#[derive(Clone, Copy)]
struct Part<const G: usize> {
    scale: f32,
    points: [u16; G],
    /// Whether the points are shifted down.
    down: [bool; G],
}

/// The best split: its score is the gain of `scale`.
struct Split<const G: usize> {
    scale: f32,
    score: f32,
    ends: Option<(usize, usize)>,
    down: [bool; G],
}

impl<const G: usize> Split<G> {
    fn try_sums(&mut self, qx: f32, q2: f32, ends: (usize, usize), down: [bool; G]) {
        if q2 > 0.0 && qx * qx > self.score * q2 {
            let scale = qx / q2;
            *self = Split { scale, score: scale * qx, ends: Some(ends), down };
        }
    }
}

/// The numbers of the weights in ascending order, equal ones in their own order.
fn order<const N: usize>(x: &[f32; N]) -> [usize; N] {
    let mut order = std::array::from_fn(|i| i);
    // Adding zero makes both zeros one.
    order.sort_by(|&a, &b| (x[a] + 0.0).total_cmp(&(x[b] + 0.0)));
    order
}

fn split_of_32(x: &[f32; 32], weights: &[f32; 32], order: &[usize; 32]) -> Split<4> {
    let (mut sum_x, mut sum_w) = ([0.0f32; 33], [0.0f32; 33]);
    for (j, &i) in order.iter().enumerate() {
        sum_x[j + 1] = sum_x[j] + weights[i] * x[i];
        sum_w[j + 1] = sum_w[j] + weights[i];
    }
    let mut best = Split { scale: 0.0, score: f32::MIN, ends: None, down: [false; 4] };
    for i1 in 0..=32 {
        for i2 in i1..=32 {
            let runs = |s: &[f32; 33]| (s[i1] - s[0], s[i2] - s[i1], s[32] - s[i2]);
            let (x, w) = (runs(&sum_x), runs(&sum_w));
            for (values, down) in [(UP, false), (DOWN, true)] {
                let [a, b, c] = values;
                let qx = x.0 * a + x.1 * b + x.2 * c;
                let q2 = w.0 * a * a + w.1 * b * b + w.2 * c * c;
                best.try_sums(qx, q2, (i1, i2), [down; 4]);
            }
        }
    }
    best
}

/// Both halves have their own shift, so there are two pairs of running sums; a run of neighbouring
/// levels differs by one, so the middle of three sums is eliminated.
fn split_of_16(x: &[f32; 16], weights: &[f32; 16], order: &[usize; 16]) -> Split<2> {
    let (mut sum_x, mut sum_w) = ([[0.0f32; 17]; 2], [[0.0f32; 17]; 2]);
    for (j, &i) in order.iter().enumerate() {
        for half in 0..2 {
            let own = i / 8 == half;
            sum_x[half][j + 1] = if own { sum_x[half][j] + weights[i] * x[i] } else { sum_x[half][j] };
            sum_w[half][j + 1] = if own { sum_w[half][j] + weights[i] } else { sum_w[half][j] };
        }
    }
    let steps = |v: [f32; 3]| (v[0] * v[0] - v[1] * v[1], v[1] * v[1] - v[2] * v[2]);
    let mut best = Split { scale: 0.0, score: f32::MIN, ends: None, down: [false; 2] };
    for i1 in 0..=16 {
        for i2 in i1..=16 {
            let sums = |half: usize, values: [f32; 3]| {
                let (x, w) = (&sum_x[half], &sum_w[half]);
                let (first, second) = steps(values);
                let top = values[2];
                let qx = x[16] * top - (x[i1] + x[i2]);
                (qx, w[16] * top * top + w[i1] * first + w[i2] * second)
            };
            let [lower, upper] = [0, 1].map(|half| [sums(half, UP), sums(half, DOWN)]);
            for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let (qx, q2) = (lower[a].0 + upper[b].0, lower[a].1 + upper[b].1);
                best.try_sums(qx, q2, (i1, i2), [a == 1, b == 1]);
            }
        }
    }
    best
}

/// Points of the grid for a split, and the scale that is best for them.
fn part<const N: usize, const G: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    order: &[usize; N],
    split: Split<G>,
) -> Part<G> {
    let Split { mut scale, ends: Some((i1, i2)), mut down, .. } = split else { return nothing() };
    let mut levels = [0u8; N];
    for (j, &i) in order.iter().enumerate() {
        levels[i] = u8::from(j >= i1) + u8::from(j >= i2);
    }
    if scale < 0.0 {
        scale = -scale;
        levels = levels.map(|l| 2 - l);
        down = down.map(|d| !d);
    }
    let mut all_on_grid = true;
    let (x, weights) = (x.as_chunks::<8>().0, weights.as_chunks::<8>().0);
    let points = std::array::from_fn(|k| {
        let levels = &levels.as_chunks().0[k];
        GRID.find(levels).unwrap_or_else(|| {
            all_on_grid = false;
            let values = if down[k] { DOWN } else { UP };
            GRID.nearest(levels, &x[k], &weights[k], scale, |l| values[usize::from(l)])
        })
    });
    if !all_on_grid {
        let (mut qx, mut q2) = (0.0f32, 0.0f32);
        for k in 0..G {
            add_sums(points[k], down[k], 1.0, &x[k], &weights[k], &mut qx, &mut q2);
        }
        if qx > 0.0 && q2 > 0.0 {
            scale = qx / q2;
        }
    }
    Part { scale, points, down }
}

fn nothing<const G: usize>() -> Part<G> {
    Part { scale: 0.0, points: [0; G], down: [false; G] }
}

/// Adds what eight weights contribute to the sums whose quotient is the best scale.
fn add_sums(point: u16, down: bool, times: f32, x: &[f32; 8], w: &[f32; 8], qx: &mut f32, q2: &mut f32) {
    let values = if down { DOWN } else { UP };
    for ((&l, &x), &w) in GRID.point(point).iter().zip(x).zip(w) {
        let q = values[usize::from(l)] * times;
        *qx += w * q * x;
        *q2 += w * q * q;
    }
}

fn peak_below(x: &[f32], zero: f32) -> bool {
    super::legacy::peak_of(x).abs() < zero
}

impl Encode<QK_K> for BlockIQ1_S {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let mean_square = 2.0 * sum_of_squares(src) / QK_K as f32;
        let equal = [1.0; QK_K];
        let columns = importance.map_or(&equal, |i| i.columns).as_chunks().0;
        let parts: [Part<4>; 8] = std::array::from_fn(|j| {
            let x = &src.as_chunks().0[j];
            if peak_below(x, 1e-12) {
                return nothing();
            }
            let weights = error_weights(x, &columns[j], mean_square);
            let order = order(x);
            part(x, &weights, &order, split_of_32(x, &weights, &order))
        });
        let d = parts.iter().fold(0.0f32, |peak, p| if peak > p.scale { peak } else { p.scale }) / 15.0;
        let mut block = BlockIQ1_S::zeroed();
        for (j, part) in parts.iter().enumerate() {
            for (k, &point) in part.points.iter().enumerate() {
                block.qs[4 * j + k] = point as u8;
                block.qh[j] |= point >> 8 << (3 * k);
            }
            if d != 0.0 {
                let scale = odd_scale(1.0 / d, part.scale, 7) | u8::from(part.down[0]) << 3;
                block.qh[j] |= u16::from(scale) << 12;
            }
        }
        // The factors here and below are what ggml found to improve the result.
        block.d = to_f16(d * 1.125);
        block
    }
}

impl Encode<QK_K> for BlockIQ1_M {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let mean_square = 2.0 * sum_of_squares(src) / QK_K as f32;
        let x = src.as_chunks::<16>().0;
        let weights: [[f32; 16]; 16] = std::array::from_fn(|j| match &importance {
            Some(i) => error_weights(&x[j], &i.parts()[j], mean_square),
            None => x[j].map(|v| v * v),
        });
        let parts: [Part<2>; 16] = std::array::from_fn(|j| {
            if peak_below(&x[j], 1e-7) {
                return nothing();
            }
            let order = order(&x[j]);
            part(&x[j], &weights[j], &order, split_of_16(&x[j], &weights[j], &order))
        });
        let mut block = BlockIQ1_M::zeroed();
        for (j, part) in parts.iter().enumerate() {
            block.qs[2 * j] = part.points[0] as u8;
            block.qs[2 * j + 1] = part.points[1] as u8;
            block.qh[j] = (part.points[0] >> 8 | part.points[1] >> 8 << 4) as u8;
        }
        let mut d = parts.iter().fold(0.0f32, |peak, p| if peak > p.scale { peak } else { p.scale }) / 15.0;
        if d == 0.0 {
            return block;
        }
        let id = 1.0 / d;
        let mut scales = [0u16; 4];
        let (mut qx, mut q2) = (0.0f32, 0.0f32);
        for (j, part) in parts.iter().enumerate() {
            let l = odd_scale(id, part.scale, 7);
            scales[j / 4] |= u16::from(l) << (3 * (j % 4));
            block.qh[j] |= u8::from(part.down[0]) << 3 | u8::from(part.down[1]) << 7;
            for k in 0..2 {
                let (x, w) = (&x[j].as_chunks().0[k], &weights[j].as_chunks().0[k]);
                add_sums(part.points[k], part.down[k], f32::from(2 * l + 1), x, w, &mut qx, &mut q2);
            }
        }
        if q2 > 0.0 {
            d = qx / q2;
        }
        let d = to_f16(d * 1.1125);
        block.scales = std::array::from_fn(|i| (scales[i] | (d >> (4 * i) & 15) << 12).to_le_bytes());
        block
    }
}
