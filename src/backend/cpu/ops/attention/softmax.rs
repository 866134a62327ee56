//! The running softmax of rows over one block.

// Loops over indices of several arrays at once, unrolled into registers.
#![allow(clippy::needless_range_loop)]

use super::super::simd::{MAX_LANES, Simd, exp2};
use super::{BLOCK, Scratch};

/// Turns the scores of the rows from `row` on, in powers of two, into weights:
/// `2^(s - max)` for the cells in a row's word, 0 for the others. `words` holds a word per row. The rows' maxima become those of
/// all cells so far, their sums those of the weights relative to it, and `shrink` the factor for
/// what was summed before.
///
/// # Safety
/// The rows are in `x`; `S` is a set of this machine.
#[inline(always)]
pub(super) unsafe fn weigh<S: Simd>(x: &Scratch, row: usize, words: &[u64]) {
    let mut i = 0;
    // SAFETY: rows `row .. row + words.len()`.
    unsafe {
        // Four at a time, because one is a chain of dependent steps.
        while i + 4 <= words.len() {
            rows::<S, 4>(x, row + i, [words[i], words[i + 1], words[i + 2], words[i + 3]]);
            i += 4;
        }
        while i < words.len() {
            rows::<S, 1>(x, row + i, [words[i]]);
            i += 1;
        }
    }
}

#[inline(always)]
unsafe fn rows<S: Simd, const R: usize>(x: &Scratch, row: usize, words: [u64; R]) {
    // SAFETY: every access is to `R` rows from `row` on.
    unsafe {
        let s = x.s.add(row * BLOCK);
        let none = S::splat(f32::NEG_INFINITY);
        let mut largest = [none; R];
        for r in 0..R {
            let s = s.add(r * BLOCK);
            largest[r] = S::splat(*x.max.add(row + r));
            let mut i = 0;
            while i < BLOCK {
                let mut v = S::load(s.add(i));
                if words[r] != u64::MAX {
                    v = S::select((words[r] >> i) as u32, v, none);
                    S::store(s.add(i), v);
                }
                largest[r] = S::max(largest[r], v);
                i += S::N;
            }
        }
        let mut top = [none; R];
        let mut sums = [none; R];
        for r in 0..R {
            let before = *x.max.add(row + r);
            let max = S::largest(largest[r]);
            *x.max.add(row + r) = max;
            // Where nothing was seen yet, minus infinity from itself would be NaN.
            top[r] = S::splat(if max == f32::NEG_INFINITY { 0.0 } else { max });
            let shrink = exp2::<S>(S::sub(S::splat(before), top[r]));
            *x.shrink.add(row + r) = S::first(shrink);
            sums[r] = S::mul(S::load(x.sums.add((row + r) * MAX_LANES)), shrink);
        }
        let mut i = 0;
        while i < BLOCK {
            for r in 0..R {
                let at = s.add(r * BLOCK + i);
                let p = exp2::<S>(S::sub(S::load(at), top[r]));
                S::store(at, p);
                sums[r] = S::add(sums[r], p);
            }
            i += S::N;
        }
        for r in 0..R {
            S::store(x.sums.add((row + r) * MAX_LANES), sums[r]);
        }
    }
}
