//! Rotary positions: a table of angles per position, and the rotation of heads by a row of it.
//!
//! How far a pair turns per position is [`RopeParams::frequencies`]. Angles are f64 until they have
//! become a cosine and a sine, so the error of a table entry stays
//! below 1e-6 of its magnitude at any position.

use crate::graph::{RopeParams, RopeStyle};

use super::simd::{Elem, MAX_LANES, Simd, StoreElem};

/// Cosine and sine of each pair's angle at each position: `out: [pos.len()][n_rot]`, the two
/// interleaved. `freq_factors`, where given, holds `n_rot / 2` divisors of the frequencies.
///
/// Meant for one call per micro-batch: it takes no instruction set and works in f64.
///
/// # Panics
/// If a slice has another length than said, or `n_rot` is odd.
pub fn rope_table(pos: &[i32], params: &RopeParams, freq_factors: Option<&[f32]>, out: &mut [f32]) {
    let n_rot = params.n_rot;
    assert!(n_rot.is_multiple_of(2), "n_rot must be even");
    assert_eq!(out.len(), pos.len() * n_rot, "table size");
    assert!(freq_factors.is_none_or(|f| f.len() >= n_rot / 2), "too few frequency factors");
    if n_rot == 0 {
        return;
    }

    let magnitude = params.magnitude();
    // Pair by pair, so that what depends only on the pair is computed once.
    for (i, frequency) in params.frequencies(freq_factors).enumerate() {
        for (&p, row) in pos.iter().zip(out.chunks_exact_mut(n_rot)) {
            let (sin, cos) = (f64::from(p) * frequency).sin_cos();
            row[2 * i] = (cos * magnitude) as f32;
            row[2 * i + 1] = (sin * magnitude) as f32;
        }
    }
}

by_isa! {
    /// Rotates one token's heads, `dst, src: [n_head][head_dim]`, by a row of the table,
    /// `table: [n_rot]`. Elements of a head from `n_rot` on are copied.
    pub unsafe fn rope(
        style: RopeStyle, dst: *mut f32, src: *const f32, table: *const f32,
        n_head: usize, head_dim: usize, n_rot: usize,
    ) = rope_body
}
#[inline(always)]
pub(super) unsafe fn rope_body<S: Simd>(
    style: RopeStyle,
    dst: *mut f32,
    src: *const f32,
    table: *const f32,
    n_head: usize,
    head_dim: usize,
    n_rot: usize,
) {
    debug_assert!(n_rot <= head_dim && n_rot.is_multiple_of(2));
    for h in 0..n_head {
        // SAFETY: heads are `head_dim` apart and `n_rot <= head_dim`.
        unsafe {
            let (dst, src) = (dst.add(h * head_dim), src.add(h * head_dim));
            match style {
                RopeStyle::Norm => neighbours::<S>(dst, src, table, n_rot),
                RopeStyle::Neox => halves::<S>(dst, src, table, n_rot),
            }
            if !std::ptr::eq(dst, src) {
                std::ptr::copy_nonoverlapping(src.add(n_rot), dst.add(n_rot), head_dim - n_rot);
            }
        }
    }
}

#[inline(always)]
unsafe fn neighbours<S: Simd>(dst: *mut f32, src: *const f32, table: *const f32, n_rot: usize) {
    let mut i = 0;
    // SAFETY: every access is below `n_rot`.
    unsafe {
        while i < n_rot {
            let n = n_rot - i;
            let (x, t) = if n >= S::N {
                (S::load(src.add(i)), S::load(table.add(i)))
            } else {
                (f32::load_part::<S>(src.add(i), n), f32::load_part::<S>(table.add(i), n))
            };
            let turned = S::mul(S::swap_pairs(x), S::dup_odd(t));
            let y = S::fmaddsub(x, S::dup_even(t), turned);
            if n >= S::N {
                S::store(dst.add(i), y)
            } else {
                f32::store_part::<S>(dst.add(i), y, n)
            }
            i += S::N;
        }
    }
}

#[inline(always)]
unsafe fn halves<S: Simd>(dst: *mut f32, src: *const f32, table: *const f32, n_rot: usize) {
    let half = n_rot / 2;
    let mut i = 0;
    // SAFETY: `i + n` elements of each half and twice as many of the table are below `n_rot`.
    unsafe {
        while i < half {
            let n = (half - i).min(S::N);
            let whole = n == S::N;
            let (x0, x1, cos, sin);
            if whole {
                x0 = S::load(src.add(i));
                x1 = S::load(src.add(half + i));
                let t = table.add(2 * i);
                (cos, sin) = S::deinterleave(S::load(t), S::load(t.add(S::N)));
            } else {
                x0 = f32::load_part::<S>(src.add(i), n);
                x1 = f32::load_part::<S>(src.add(half + i), n);
                let mut t = [0f32; 2 * MAX_LANES];
                std::ptr::copy_nonoverlapping(table.add(2 * i), t.as_mut_ptr(), 2 * n);
                (cos, sin) = S::deinterleave(S::load(t.as_ptr()), S::load(t.as_ptr().add(S::N)));
            }
            let y0 = S::sub(S::mul(x0, cos), S::mul(x1, sin));
            let y1 = S::fma(x0, sin, S::mul(x1, cos));
            if whole {
                S::store(dst.add(i), y0);
                S::store(dst.add(half + i), y1);
            } else {
                f32::store_part::<S>(dst.add(i), y0, n);
                f32::store_part::<S>(dst.add(half + i), y1, n);
            }
            i += S::N;
        }
    }
}
