//! The passes over whole rows of logits.
//!
//! On x86-64 each also has versions for AVX2 and AVX-512, picked at run time. The order of additions is
//! fixed and nothing is contracted to a fused multiply-add, so every version gives the same bits.

use std::cmp::Ordering;

/// Logits in one block: the unit that selections skip and that sums are taken over.
pub(super) const BLOCK: usize = 128;

/// Compiles `$body` also for AVX2 and AVX-512 and dispatches to the best that this processor runs.
macro_rules! vectorised {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $body:ident) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $ty),*) -> $ret {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
                fn avx512($($arg: $ty),*) -> $ret {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) -> $ret {
                    $body($($arg),*)
                }
                if has_avx512() {
                    // SAFETY: the processor has just said that it runs them.
                    return unsafe { avx512($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has just said that it runs AVX2.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

/// Whether the processor runs what the widest versions here are made of.
#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512vl")
}

/// Writes the largest logit of each block of [`BLOCK`] to `maxima`; true if any logit is NaN.
///
/// `maxima` has one element per block, the last block may be short. With a NaN, maxima mean nothing.
pub(super) fn block_maxima(logits: &[f32], maxima: &mut [f32]) -> bool {
    let (blocks, tail) = logits.as_chunks::<BLOCK>();
    let mut nan = match () {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has just said that it runs AVX-512.
        () if has_avx512() => unsafe { avx512::block_maxima(blocks, maxima) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has just said that it runs AVX2.
        () if std::arch::is_x86_feature_detected!("avx2") => unsafe { avx2::block_maxima(blocks, maxima) },
        () => blocks.iter().zip(maxima.iter_mut()).fold(false, |nan, (b, out)| nan | maximum(b, out)),
    };
    if !tail.is_empty()
        && let Some(out) = maxima.get_mut(blocks.len())
    {
        nan |= maximum(tail, out);
    }
    nan
}

/// Writes the largest of a block's logits; true if one is NaN.
fn maximum(block: &[f32], out: &mut f32) -> bool {
    *out = block.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    block.iter().fold(false, |nan, x| nan | x.is_nan())
}

/// Which logits of a block are at least `bound`: bit `i` for `block[i]`.
pub(super) fn at_least(block: &[f32], bound: f32) -> u128 {
    #[cfg(target_arch = "x86_64")]
    if let Ok(block) = block.try_into()
        && std::arch::is_x86_feature_detected!("avx2")
    {
        // SAFETY: the processor has just said that it runs AVX2.
        return unsafe { avx2::at_least(block, bound) };
    }
    block.iter().enumerate().fold(0, |bits, (i, &x)| bits | u128::from(x >= bound) << i)
}

/// Asks for what will be read some blocks from now. A row that another core has just written, or that
/// other work has pushed out to the last cache, arrives late for hardware that only guesses.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch(block: &[f32; BLOCK]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    const AHEAD: usize = 8;
    for line in 0..BLOCK / 16 {
        let address = block.as_ptr().wrapping_add(AHEAD * BLOCK + line * 16);
        // SAFETY: a hint; an address that is not mapped is ignored.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
}

/// The pass over the row in wider vectors.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{BLOCK, prefetch};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub(super) fn block_maxima(blocks: &[[f32; BLOCK]], maxima: &mut [f32]) -> bool {
        let mut nan = 0;
        for (block, out) in blocks.iter().zip(maxima) {
            prefetch(block);
            // SAFETY: the array is as wide as the vector, and the load needs no alignment.
            let load = |x: &[f32; 16]| unsafe { _mm512_loadu_ps(x.as_ptr()) };
            let mut max = _mm512_set1_ps(f32::NEG_INFINITY);
            for two in block.as_chunks::<16>().0.as_chunks::<2>().0 {
                let (a, b) = (load(&two[0]), load(&two[1]));
                nan |= _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b);
                max = _mm512_max_ps(max, _mm512_max_ps(a, b));
            }
            *out = _mm512_reduce_max_ps(max);
        }
        nan != 0
    }
}

/// The two passes of a selection, which the compiler does not vectorise well by itself.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{BLOCK, prefetch};
    use std::arch::x86_64::*;

    const WIDTH: usize = 8;

    #[target_feature(enable = "avx2")]
    fn load(x: &[f32; WIDTH]) -> __m256 {
        // SAFETY: the array is as wide as the vector, and the load needs no alignment.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn block_maxima(blocks: &[[f32; BLOCK]], maxima: &mut [f32]) -> bool {
        let mut nan = _mm256_setzero_ps();
        for (block, out) in blocks.iter().zip(maxima) {
            prefetch(block);
            let mut max = _mm256_set1_ps(f32::NEG_INFINITY);
            for four in block.as_chunks::<WIDTH>().0.as_chunks::<4>().0 {
                let [a, b, c, d] = [load(&four[0]), load(&four[1]), load(&four[2]), load(&four[3])];
                let bad = (_mm256_cmp_ps::<_CMP_UNORD_Q>(a, b), _mm256_cmp_ps::<_CMP_UNORD_Q>(c, d));
                nan = _mm256_or_ps(nan, _mm256_or_ps(bad.0, bad.1));
                max = _mm256_max_ps(max, _mm256_max_ps(_mm256_max_ps(a, b), _mm256_max_ps(c, d)));
            }
            let max = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps::<1>(max));
            let max = _mm_max_ps(max, _mm_movehl_ps(max, max));
            *out = _mm_cvtss_f32(_mm_max_ss(max, _mm_movehdup_ps(max)));
        }
        _mm256_movemask_ps(nan) != 0
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn at_least(block: &[f32; BLOCK], bound: f32) -> u128 {
        let bound = _mm256_set1_ps(bound);
        let mut bits = 0;
        for (i, x) in block.as_chunks::<WIDTH>().0.iter().enumerate() {
            let mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(load(x), bound));
            bits |= (mask as u128) << (i * WIDTH);
        }
        bits
    }
}

vectorised! {
    /// Replaces each logit `x` by its softmax weight `exp(x - max)` and returns their sum.
    ///
    /// `max` is the largest logit of the whole list. When it is infinite, the logits equal to it weigh 1
    /// and the others nothing: the limit of the formula.
    fn weigh(block: &mut [f32], max: f32) -> f64 = weigh_body
}

#[inline(always)]
fn weigh_body(block: &mut [f32], max: f32) -> f64 {
    if max.is_infinite() {
        for x in &mut *block {
            *x = f32::from(u8::from(*x == max));
        }
    } else {
        for x in &mut *block {
            *x = exp_neg(*x - max);
        }
    }
    sum_body(block)
}

vectorised! {
    /// How many of the logits are at least `bound`.
    fn count_at_least(logits: &[f32], bound: f32) -> u32 = count_body
}

#[inline(always)]
fn count_body(logits: &[f32], bound: f32) -> u32 {
    logits.iter().map(|&x| u32::from(x >= bound)).sum()
}

/// A bound that at least `k` of the logits reach, at most a few more if they are not equal. There must
/// be `k` logits or more, and none may be NaN.
///
/// Halves the span of keys; sorting out the k-th largest would take longer.
pub(super) fn bound_of(logits: &[f32], k: usize) -> f32 {
    let min = logits.iter().copied().fold(f32::INFINITY, f32::min);
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // All reach `low`; `high` is above the greatest.
    let (mut low, mut high) = (i64::from(key(min)), i64::from(key(max)) + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let n = count_at_least(logits, unkey(middle as i32)) as usize;
        if n < k {
            high = middle;
            continue;
        }
        low = middle;
        if n <= k + k / 2 + 8 {
            break;
        }
    }
    unkey(low as i32)
}

vectorised! {
    /// The sum of the weights of a block.
    fn sum(block: &[f32]) -> f64 = sum_body
}

#[inline(always)]
fn sum_body(block: &[f32]) -> f64 {
    let mut lanes = [0f64; 8];
    let (rows, tail) = block.as_chunks::<8>();
    for row in rows {
        for j in 0..8 {
            lanes[j] += f64::from(row[j]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane += f64::from(x);
    }
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

/// `exp(d)` for `d <= 0`, within 2 units in the last place; 0 below -87, where f32 nears its end.
///
/// Range reduction by ln 2 in two parts and a polynomial on [-ln 2 / 2, ln 2 / 2], after Cephes'
/// `expf` (Moshier, 1992). The standard library's would differ between C libraries and keep the passes
/// from vectorising.
#[inline(always)]
fn exp_neg(d: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = if d > -87.0 { d } else { -87.0 };
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    p = p * (r * r) + r + 1.0;
    // The low bits of `shifted` are the integer n: add it to the exponent of p.
    let scaled = f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23));
    if d > -87.0 { scaled } else { 0.0 }
}

/// The softmax weight of one logit, the same bits as [`weigh`] gives.
pub(super) fn weight(x: f32, max: f32) -> f32 {
    if max.is_infinite() { f32::from(u8::from(x == max)) } else { exp_neg(x - max) }
}

/// An integer that orders as the logits do; zeros of either sign are equal, NaN has a place.
///
/// Sorting by it cannot meet an inconsistent order, whatever the logits.
#[inline(always)]
pub(super) fn key(x: f32) -> i32 {
    let bits = (x + 0.0).to_bits() as i32;
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

/// The logit of a [`key`].
pub(super) fn unkey(key: i32) -> f32 {
    f32::from_bits((key ^ (((key >> 31) as u32) >> 1) as i32) as u32)
}

/// Makes `items[from..to]` what a full sort by `order` would have there, given that `items[..from]`
/// already is. Linear in what is left plus the sort of the part asked for.
pub(super) fn sort_part<T>(items: &mut [T], from: usize, to: usize, order: impl Fn(&T, &T) -> Ordering) {
    let rest = &mut items[from..];
    let n = to - from;
    if n == 0 {
        return;
    }
    if n < rest.len() {
        rest.select_nth_unstable_by(n - 1, &order);
    }
    rest[..n].sort_unstable_by(&order);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate() {
        let mut worst = 0f64;
        for i in 0..870_000 {
            let d = -(i as f32) * 1e-4;
            let want = f64::from(d).exp();
            worst = worst.max((f64::from(exp_neg(d)) - want).abs() / want);
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "relative error {worst:e}");
        assert_eq!(exp_neg(0.0), 1.0);
        assert_eq!(exp_neg(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn keys_order_like_logits() {
        let values = [f32::NEG_INFINITY, -3.5, -1e-40, 0.0, 1e-40, 2.0, f32::MAX, f32::INFINITY];
        assert!(values.is_sorted_by_key(|&x| key(x)));
        assert_eq!(key(-0.0), key(0.0));
        for x in values {
            assert_eq!(unkey(key(x)), x);
        }
    }

    #[test]
    fn maxima_of_short_and_long_rows() {
        for n in [1usize, 31, 127, 128, 129, 1000] {
            let logits: Vec<f32> = (0..n).map(|i| ((i * 7919) % 1009) as f32 - 500.0).collect();
            let mut maxima = vec![0.0; n.div_ceil(BLOCK)];
            assert!(!block_maxima(&logits, &mut maxima));
            for (block, &max) in logits.chunks(BLOCK).zip(&maxima) {
                assert_eq!(max, block.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            }
            for at in [0, n / 2, n - 1] {
                let mut bad = logits.clone();
                bad[at] = f32::NAN;
                assert!(block_maxima(&bad, &mut maxima), "NaN at {at} of {n} not seen");
            }
        }
    }

    #[test]
    fn bounds_leave_enough_and_few_more() {
        let rows = [
            (0..1000).map(|i| ((i * 7919) % 1009) as f32 - 500.0).collect::<Vec<_>>(),
            (0..1000).map(|i| -1e30 / (1.0 + i as f32)).collect(),
            (0..1000).map(|i| if i < 990 { f32::NEG_INFINITY } else { i as f32 }).collect(),
            vec![2.5; 50],
            vec![f32::NEG_INFINITY, 0.0, -0.0, f32::INFINITY],
        ];
        for row in rows {
            let mut sorted = row.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for k in [1, 2, 3, 4, 10, 40, 200, 1000].into_iter().filter(|&k| k <= row.len()) {
                let bound = bound_of(&row, k);
                let n = row.iter().filter(|x| **x >= bound).count();
                let ties = row.iter().filter(|x| **x == sorted[k - 1]).count();
                assert!(n >= k && n <= k + k / 2 + 8 + ties, "{n} reach the bound for {k}");
            }
        }
    }

    #[test]
    fn survivors_of_a_bound() {
        let block: Vec<f32> = (0..BLOCK).map(|i| ((i * 37) % 64) as f32).collect();
        for n in [0, 5, BLOCK] {
            let bits = at_least(&block[..n], 60.0);
            for (i, &logit) in block.iter().enumerate() {
                assert_eq!(bits >> i & 1 == 1, i < n && logit >= 60.0);
            }
        }
    }

    #[test]
    fn versions_agree_bit_for_bit() {
        let logits: Vec<f32> = (0..BLOCK).map(|i| ((i * 7919) % 1009) as f32 / 40.0).collect();
        let (mut a, mut b) = (logits.clone(), logits.clone());
        assert_eq!(weigh(&mut a, 26.0).to_bits(), weigh_body(&mut b, 26.0).to_bits());
        assert_eq!(a, b);
        assert_eq!(a, logits.iter().map(|&x| weight(x, 26.0)).collect::<Vec<_>>());
    }
}
