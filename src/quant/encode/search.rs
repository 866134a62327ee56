//! The searches for a scale that ggml's reference quantisation of K-quants uses. Sums run in
//! element order and every product in the order written, so that results are equal bit for bit.

/// Sub-blocks whose peak is below this are all zero.
pub(super) const ZERO: f32 = 1e-15;

/// The integer nearest to `v`, ties to even, for |v| < 2^22; defined (modulo 2^23) for any other.
///
/// Adding 1.5 * 2^23 leaves the integer in the mantissa.
pub(super) fn nearest(v: f32) -> i32 {
    (((v + 12_582_912.0).to_bits() & 0x7f_ffff) as i32) - 0x40_0000
}

/// Finds `scale` and `min` >= 0 such that `x ~ scale * code - min` with codes 0 to `max` has a
/// small weighted square error.
///
/// A first guess spans the values exactly. Then, for grids of `max + first + 0.1 k` steps from the
/// best offset so far to the largest value, k = 0 to `steps`, the codes are fixed and the best
/// scale and offset for them follow from weighted least squares (an offset of the wrong sign is
/// replaced by none).
pub(super) fn affine<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    max: u8,
    first: f32,
    steps: u32,
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
    if high == low {
        *codes = [0; N];
        return (0.0, -low);
    }

    let levels = f32::from(max);
    let encode =
        |inverse: f32, offset: f32| x.map(|v| nearest(inverse * (v - offset)).clamp(0, max.into()) as u8);
    let error = |codes: &[u8; N], scale: f32, offset: f32| {
        let terms = x.iter().zip(weights).zip(codes);
        terms.fold(0.0, |sum, ((&x, &w), &l)| {
            let diff = scale * f32::from(l) + offset - x;
            sum + w * (diff * diff)
        })
    };

    let mut offset = low;
    let inverse = levels / (high - offset);
    *codes = encode(inverse, offset);
    let mut scale = 1.0 / inverse;
    let mut best = error(codes, scale, offset);
    for step in 0..=steps {
        let trial = encode((first + 0.1 * step as f32 + levels) / (high - offset), offset);
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
/// square error, weighted by the squares of `x`.
///
/// The value of largest magnitude is mapped to `-half + 0.1 k`, k = -9 to 9, zero first; for the
/// codes that this gives the best scale is a quotient of sums, and its gain their product.
pub(super) fn symmetric<const N: usize>(x: &[f32; N], half: i32, codes: &mut [u8; N]) -> f32 {
    let peak = x.iter().fold(0.0f32, |peak, &v| if v.abs() > peak.abs() { v } else { peak });
    if peak.abs() < ZERO {
        *codes = [0; N];
        return 0.0;
    }
    let level = |inverse: f32, v: f32| nearest(inverse * v).clamp(-half, half - 1);
    let encode = |inverse: f32| x.map(|v| (level(inverse, v) + half) as u8);
    let sums = |inverse: f32| {
        x.iter().fold((0.0f32, 0.0f32), |(lx, l2), &v| {
            let l = level(inverse, v) as f32;
            let w = v * v;
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
