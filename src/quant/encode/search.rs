//! The searches for a scale that blocks with evenly spaced levels share.

/// Sub-blocks whose peak is below this are all zero.
pub(super) const ZERO: f32 = 1e-15;

/// The integer nearest to `v`, ties to even, for |v| < 2^22; defined (modulo 2^23) for any other.
///
/// Adding 1.5 * 2^23 leaves the integer in the mantissa.
pub(super) fn nearest(v: f32) -> i32 {
    (((v + 12_582_912.0).to_bits() & 0x7f_ffff) as i32) - 0x40_0000
}

/// The grids that [`affine`] tries: codes 0 to `max`, and for k = 0 to `steps` a span of
/// `max + first + width k` steps.
pub(super) struct Grid {
    pub(super) max: u8,
    pub(super) first: f32,
    pub(super) width: f32,
    pub(super) steps: u32,
    /// Whether the error is the sum of magnitudes instead of squares.
    pub(super) magnitudes: bool,
}

impl Grid {
    /// The grids for weights of known importance.
    pub(super) fn fine(max: u8) -> Grid {
        Grid { max, first: -0.9, width: 0.05, steps: 36, magnitudes: false }
    }
}

/// Finds `scale` and `min` >= 0 such that `x ~ scale * code - min` with the codes of `grid` has a
/// small weighted error.
///
/// A first guess spans the values exactly. Then, for each grid from the best offset so far to the
/// largest value, the codes are fixed and the best scale and offset for them follow from weighted
/// least squares (an offset of the wrong sign is replaced by none).
pub(super) fn affine<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    grid: &Grid,
    codes: &mut [u8; N],
) -> (f32, f32) {
    let (mut low, mut high) = (x[0], x[0]);
    let mut sum_w = weights[0];
    let mut sum_x = sum_w * x[0];
    for (&x, &w) in x.iter().zip(weights).skip(1) {
        if x < low {
            low = x;
        }
        if x > high {
            high = x;
        }
        sum_w += w;
        sum_x += w * x;
    }
    if low > 0.0 {
        low = 0.0;
    }
    if high <= low {
        *codes = [0; N];
        return (0.0, -low);
    }

    let levels = f32::from(grid.max);
    let encode = |inverse: f32, offset: f32| {
        x.map(|v| nearest(inverse * (v - offset)).clamp(0, grid.max.into()) as u8)
    };
    let error = |codes: &[u8; N], scale: f32, offset: f32| {
        let terms = x.iter().zip(weights).zip(codes);
        terms.fold(0.0, |sum, ((&x, &w), &l)| {
            let diff = scale * f32::from(l) + offset - x;
            sum + w * if grid.magnitudes { diff.abs() } else { diff * diff }
        })
    };

    let mut offset = low;
    let inverse = levels / (high - offset);
    *codes = encode(inverse, offset);
    let mut scale = 1.0 / inverse;
    let mut best = error(codes, scale, offset);
    for step in 0..=grid.steps {
        let span = grid.first + grid.width * step as f32 + levels;
        let trial = encode(span / (high - offset), offset);
        let (mut sum_l, mut sum_l2, mut sum_xl) = (0.0f32, 0.0f32, 0.0f32);
        for ((&x, &w), &l) in x.iter().zip(weights).zip(&trial) {
            let l = f32::from(l);
            sum_l += w * l;
            sum_l2 += w * l * l;
            sum_xl += w * l * x;
        }
        let det = sum_w * sum_l2 - sum_l * sum_l;
        if det > 0.0 {
            let mut trial_scale = (sum_w * sum_xl - sum_x * sum_l) / det;
            let mut trial_offset = (sum_l2 * sum_x - sum_l * sum_xl) / det;
            if trial_offset > 0.0 {
                trial_offset = 0.0;
                trial_scale = sum_xl / sum_l2;
            }
            let trial_error = error(&trial, trial_scale, trial_offset);
            if trial_error < best {
                (*codes, best) = (trial, trial_error);
                (scale, offset) = (trial_scale, trial_offset);
            }
        }
    }
    (scale, -offset)
}

/// Finds `scale` such that `x ~ scale * (code - half)` with codes 0 to 2 `half` - 1 has a small
/// weighted square error.
///
/// The value of largest magnitude is mapped to `-half + 0.1 k`, k = -9 to 9, zero first; for the
/// codes that this gives the best scale is a quotient of sums, and its gain their product.
pub(super) fn symmetric<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    half: i32,
    codes: &mut [u8; N],
) -> f32 {
    let peak = super::legacy::peak_of(x);
    if peak.abs() < ZERO {
        *codes = [0; N];
        return 0.0;
    }
    let level = |inverse: f32, v: f32| nearest(inverse * v).clamp(-half, half - 1);
    let encode = |inverse: f32| x.map(|v| (level(inverse, v) + half) as u8);
    let sums = |inverse: f32| {
        x.iter().zip(weights).fold((0.0f32, 0.0f32), |(lx, l2), (&v, &w)| {
            let l = level(inverse, v) as f32;
            (lx + w * v * l, l2 + w * l * l)
        })
    };

    let inverse = -(half as f32) / peak;
    *codes = encode(inverse);
    let (lx, l2) = sums(inverse);
    let mut scale = if l2 != 0.0 { lx / l2 } else { 0.0 };
    let mut best = scale * lx;
    for step in (-9..=9).filter(|&s| s != 0) {
        let inverse = -(half as f32 + 0.1 * step as f32) / peak;
        let (lx, l2) = sums(inverse);
        if l2 > 0.0 && lx * lx > best * l2 {
            *codes = encode(inverse);
            scale = lx / l2;
            best = scale * lx;
        }
    }
    scale
}

/// Finds `scale` such that `x ~ scale * (code - half)`, codes 0 to 2 `half` - 1, has a small square
/// error weighted by the squares of `x`: from the nearest codes for the peak at -`half`, codes are
/// changed one at a time as long as the gain grows, five rounds at most.
pub(super) fn symmetric_by_steps<const N: usize>(x: &[f32; N], half: i32, codes: &mut [u8; N]) -> f32 {
    let peak = super::legacy::peak_of(x);
    if peak.abs() < ZERO {
        *codes = [0; N];
        return 0.0;
    }
    let inverse = -(half as f32) / peak;
    let mut levels = x.map(|v| nearest(inverse * v).clamp(-half, half - 1));
    let (mut lx, mut l2) = (0.0f32, 0.0f32);
    for (&v, &l) in x.iter().zip(&levels) {
        let (w, l) = (v * v, l as f32);
        lx += w * v * l;
        l2 += w * l * l;
    }
    for _ in 0..5 {
        let mut changed = false;
        for (&v, level) in x.iter().zip(&mut levels) {
            let (w, l) = (v * v, *level as f32);
            let mut trial_lx = lx - w * v * l;
            if trial_lx > 0.0 {
                let mut trial_l2 = l2 - w * l * l;
                let new = nearest(v * trial_l2 / trial_lx).clamp(-half, half - 1);
                if new != *level {
                    trial_lx += w * v * new as f32;
                    trial_l2 += w * new as f32 * new as f32;
                    if trial_l2 > 0.0 && trial_lx * trial_lx * l2 > lx * lx * trial_l2 {
                        (*level, lx, l2) = (new, trial_lx, trial_l2);
                        changed = true;
                    }
                }
            }
        }
        if !changed {
            break;
        }
    }
    *codes = levels.map(|l| (l + half) as u8);
    if l2 > 0.0 { lx / l2 } else { 0.0 }
}

/// Finds `scale` such that `x ~ scale * code` with codes 0 to `max` has a small weighted square
/// error, for values that are not negative: the best of nine spans, then code by code as
/// [`symmetric_by_steps`]. Negative values get meaningless codes.
pub(super) fn positive<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    max: u8,
    codes: &mut [u8; N],
) -> f32 {
    let peak = x.iter().fold(0.0f32, |peak, &v| if peak > v { peak } else { v });
    if peak < ZERO {
        *codes = [0; N];
        return 0.0;
    }
    let levels = f32::from(max);
    // ggml keeps the codes in bytes here and in integers elsewhere, which differs below zero.
    let error = |inverse: f32, level: &dyn Fn(i32) -> f32| {
        let scale = 1.0 / inverse;
        x.iter().zip(weights).fold(0.0f32, |sum, (&v, &w)| {
            let diff = v - scale * level(nearest(inverse * v));
            sum + w * diff * diff
        })
    };
    let mut inverse = levels / peak;
    let mut best = error(inverse, &|l| f32::from(l as u8));
    for step in (-4..=4).filter(|&s| s != 0) {
        let trial = (0.1 * step as f32 + levels) / peak;
        let trial_error = error(trial, &|l| l.min(max.into()) as f32);
        if trial_error < best {
            (best, inverse) = (trial_error, trial);
        }
    }
    let (mut lx, mut l2) = (0.0f32, 0.0f32);
    for ((&v, &w), code) in x.iter().zip(weights).zip(codes.iter_mut()) {
        let l = nearest(inverse * v).min(max.into());
        *code = l as u8;
        lx += w * v * l as f32;
        l2 += w * l as f32 * l as f32;
    }
    for _ in 0..5 {
        let mut changed = false;
        for ((&v, &w), code) in x.iter().zip(weights).zip(codes.iter_mut()) {
            let l = f32::from(*code);
            let mut trial_lx = lx - w * v * l;
            let mut trial_l2 = l2 - w * l * l;
            if trial_lx > 0.0 && trial_l2 > 0.0 {
                let new = nearest(v * trial_l2 / trial_lx).min(max.into());
                if new != i32::from(*code) {
                    trial_lx += w * v * new as f32;
                    trial_l2 += w * new as f32 * new as f32;
                    if trial_lx * trial_lx * l2 > lx * lx * trial_l2 {
                        (*code, lx, l2) = (new as u8, trial_lx, trial_l2);
                        changed = true;
                    }
                }
            }
        }
        if !changed {
            break;
        }
    }
    if l2 > 0.0 { lx / l2 } else { 0.0 }
}
