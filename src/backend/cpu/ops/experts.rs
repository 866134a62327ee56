//! Routing of tokens to experts: which ones, with what weights, in which order, and the sum of what
//! they give.
//!
//! Choosing and sorting are a few thousand integer steps for a micro-batch, so they are plain code;
//! the sum reads rows of the model's width and is written over [`Simd`].

use super::simd::{Elem, Simd, StoreElem};

/// The places of the `out.len()` largest of `x`, largest first, the lower place first among equals.
/// A NaN is neither larger nor smaller than anything; the places are different ones in any case.
///
/// # Panics
/// If `out` is longer than `x`.
pub fn top_k(x: &[f32], out: &mut [i32]) {
    assert!(out.len() <= x.len(), "the {} largest of {}", out.len(), x.len());
    let mut n = 0;
    for (i, &v) in x.iter().enumerate() {
        // Insert behind all that are not smaller.
        let mut at = n;
        while at > 0 && x[out[at - 1] as usize] < v {
            at -= 1;
        }
        if at < out.len() {
            n = (n + 1).min(out.len());
            out.copy_within(at..n - 1, at + 1);
            out[at] = i as i32;
        }
    }
}

/// The softmax of the logits at `ids`, times `scale`: relative error below 1e-6.
///
/// # Panics
/// If an id is no place in `logits`, or `out` is shorter than `ids`.
pub fn expert_weights(logits: &[f32], ids: &[i32], scale: f32, out: &mut [f32]) {
    let chosen = || ids.iter().map(|&id| logits[id as usize]);
    let max = chosen().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (y, v) in out.iter_mut().zip(chosen()) {
        *y = (v - max).exp();
        sum += *y;
    }
    for y in &mut out[..ids.len()] {
        *y *= scale / sum;
    }
}

/// Sorts pairs by expert, then by row: a counting sort of `ids: [n_rows][k]`.
///
/// `out` receives `n_expert + 1` offsets, then at `n_expert + 1` the row of each sorted pair, then
/// at `n_expert + 1 + capacity` the sorted place of each pair, `[n_rows][k]`.
///
/// # Panics
/// If an id is not below `n_expert`, or `out` is shorter than `n_expert + 1 + 2 * capacity`.
pub fn group_by_expert(ids: &[i32], k: usize, n_expert: usize, capacity: usize, out: &mut [i32]) {
    assert!(ids.len() <= capacity && out.len() > n_expert + 2 * capacity, "room for every pair");
    let (offsets, rest) = out.split_at_mut(n_expert + 1);
    let (rows, places) = rest.split_at_mut(capacity);
    offsets.fill(0);
    // While counting, `offsets[e + 1]` is how many pairs go to e; while placing, `offsets[e]` is where
    // the next one goes; at the end that is where e + 1 begins.
    for &id in ids {
        offsets[id as usize + 1] += 1;
    }
    for e in 0..n_expert {
        offsets[e + 1] += offsets[e];
    }
    for (pair, &id) in ids.iter().enumerate() {
        let next = &mut offsets[id as usize];
        places[pair] = *next;
        rows[*next as usize] = (pair / k) as i32;
        *next += 1;
    }
    offsets.copy_within(..n_expert, 1);
    offsets[0] = 0;
}

/// Rows of f32, `stride` elements apart.
#[derive(Clone, Copy)]
pub struct Rows {
    /// The first element of the first row.
    pub first: *const f32,
    /// Elements from one row to the next.
    pub stride: usize,
}

by_isa! {
    /// `dst = x + sum of weights[j] * y[places[j]]` over `k` rows of `n` elements, in the order of
    /// `j`, one rounding each; `x` may be null. Error: `k + 1` roundings of the partial sums.
    pub unsafe fn combine(
        dst: *mut f32, y: Rows, places: *const i32, weights: *const f32, x: *const f32, k: usize, n: usize,
    ) = combine_body
}

#[inline(always)]
unsafe fn combine_body<S: Simd>(
    dst: *mut f32,
    y: Rows,
    places: *const i32,
    weights: *const f32,
    x: *const f32,
    k: usize,
    n: usize,
) {
    let mut i = 0;
    // SAFETY: `k` places, each a row of y; every access to a row is below `n`.
    unsafe {
        while i < n {
            let whole = n - i >= S::N;
            let load = |p: *const f32| {
                if whole { S::load(p.add(i)) } else { f32::load_part::<S>(p.add(i), n - i) }
            };
            let mut sum = if x.is_null() { S::splat(0.0) } else { load(x) };
            for j in 0..k {
                let row = y.first.add(*places.add(j) as usize * y.stride);
                sum = S::fma(S::splat(*weights.add(j)), load(row), sum);
            }
            if whole {
                S::store(dst.add(i), sum);
            } else {
                f32::store_part::<S>(dst.add(i), sum, n - i);
            }
            i += S::N;
        }
    }
}
