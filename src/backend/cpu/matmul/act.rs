//! Activations in 8 bits: one format for all quantised weight types.
//!
//! A row of k values is cut into blocks of 32: `x[i] ~ d * q[i]` with `d = max|x| / 127` (f32) and
//! q in [-127, 127], never -128, so that the sign and pair-sum tricks of the kernels cannot
//! overflow. Eight blocks are a group; a row is padded with zeros to whole groups. A group is 448
//! bytes, so that one pointer and small offsets reach all that belongs to a block:
//!
//! | at | what | element | count | meaning |
//! |---|---|---|---|---|
//! | 0 | q | i8 | 256 | quants |
//! | 256 | d | f32 | 8 | scale of each block |
//! | 288 | s | f32 | 8 | `d * sum(q)` of each block |
//! | 320 | b32 | i32 | 8 | `-128 * sum(q)` of each block |
//! | 352 | b16 | i32 | 16 | `-128 * sum(q)` of each half block |
//! | 416 | | | | zeros, so that groups begin on cache lines |
//!
//! The sums pay for weights with an offset or a minimum: `sum((w - m) q) = sum(w q) - m sum(q)`.
//! They are sums of the quants, not of x, on purpose: the error is then that of the small centred
//! weight and not that of the larger uncentred one.
//!
//! A block with an infinity or a NaN becomes d = NaN, so that the damage shows in the result.

use super::super::Isa;

/// Values that one scale covers.
pub(super) const BLOCK: usize = 32;
/// Values of a group: a row is padded to whole groups.
pub(super) const GROUP: usize = 256;

/// Bytes of a group, and where its parts begin.
pub(super) const GROUP_BYTES: usize = 448;
pub(super) const D: usize = 256;
pub(super) const S: usize = 288;
pub(super) const B32: usize = 320;
pub(super) const B16: usize = 352;
const END: usize = 416;

/// Bytes of one quantised activation row of `k` values: a multiple of 64.
pub const fn act_row_bytes(k: usize) -> usize {
    k.div_ceil(GROUP) * GROUP_BYTES
}

/// Quantises one row. `x.len()` is k; `out` is `act_row_bytes(k)` bytes, all of them written.
/// The bits do not depend on `isa`.
///
/// # Panics
/// When `out` has another size.
pub fn quantize_act(isa: Isa, x: &[f32], out: &mut [u8]) {
    assert_eq!(out.len(), act_row_bytes(x.len()), "a quantised activation row");
    match isa {
        Isa::Scalar => quantize(x, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` above Scalar is only made where the machine has its features.
        Isa::Avx2 => unsafe { quantize_avx2(x, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512 => unsafe { quantize_avx512(x, out) },
        // NEON is part of every aarch64: the portable code is compiled for it.
        _ => quantize(x, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn quantize_avx2(x: &[f32], out: &mut [u8]) {
    quantize(x, out)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn quantize_avx512(x: &[f32], out: &mut [u8]) {
    quantize(x, out)
}

/// Compiled once for each instruction set; the compiler vectorises the loops over 32.
#[inline(always)]
fn quantize(x: &[f32], out: &mut [u8]) {
    for (g, group) in out.chunks_exact_mut(GROUP_BYTES).enumerate() {
        group[END..].fill(0);
        for b in 0..GROUP / BLOCK {
            let mut block = [0f32; BLOCK];
            let from = x.len().min(g * GROUP + b * BLOCK);
            let to = x.len().min(from + BLOCK);
            if to - from == BLOCK {
                block.copy_from_slice(&x[from..from + BLOCK]);
            } else {
                block[..to - from].copy_from_slice(&x[from..to]);
            }
            let (q, d, [low, high]) = quantize_block(&block);
            group[b * BLOCK..][..BLOCK].copy_from_slice(bytemuck::cast_slice(&q));
            let mut put = |at: usize, v: [u8; 4]| group[at..at + 4].copy_from_slice(&v);
            put(D + b * 4, d.to_ne_bytes());
            put(S + b * 4, (d * (low + high) as f32).to_ne_bytes());
            put(B32 + b * 4, (-128 * (low + high)).to_ne_bytes());
            put(B16 + b * 8, (-128 * low).to_ne_bytes());
            put(B16 + b * 8 + 4, (-128 * high).to_ne_bytes());
        }
    }
}

/// The quants, the scale and the two sums over 16 quants of one block.
#[inline(always)]
fn quantize_block(x: &[f32; BLOCK]) -> ([i8; BLOCK], f32, [i32; 2]) {
    // As integers, magnitudes order like floats, with infinity and NaN above all others.
    let mut max_bits = 0i32;
    for v in x {
        max_bits = max_bits.max((v.to_bits() & 0x7fff_ffff) as i32);
    }
    let max = f32::from_bits(max_bits as u32);
    if !max.is_finite() {
        return ([0; BLOCK], f32::NAN, [0; 2]);
    }
    // Below this, 127 / max would overflow; the block is zero to every purpose.
    if max < 1e-36 {
        return ([0; BLOCK], 0.0, [0; 2]);
    }
    let inverse = 127.0 / max;
    let mut q = [0i8; BLOCK];
    let mut wide = [0i32; BLOCK];
    for i in 0..BLOCK {
        // Adding 1.5 * 2^23 leaves the value, rounded to nearest even, in the low mantissa bits.
        let rounded = x[i] * inverse + 12_582_912.0;
        wide[i] = rounded.to_bits() as i32 - 0x4b40_0000;
        q[i] = wide[i] as i8;
    }
    let (mut low, mut high) = (0, 0);
    for i in 0..BLOCK / 2 {
        low += wide[i];
        high += wide[i + BLOCK / 2];
    }
    (q, max / 127.0, [low, high])
}

/// One quantised row, read part by part.
#[derive(Clone, Copy)]
pub(super) struct Row<'a>(pub &'a [u8]);

impl Row<'_> {
    /// The 32 quants of block `b`.
    pub fn quants(&self, b: usize) -> &[i8] {
        bytemuck::cast_slice(&self.0[b / 8 * GROUP_BYTES + b % 8 * BLOCK..][..BLOCK])
    }
    /// The scale of block `b`.
    pub fn scale(&self, b: usize) -> f32 {
        f32::from_ne_bytes(self.word(D, b, 4))
    }
    /// The sum of the quants of half block `h`.
    pub fn sum_of_16(&self, h: usize) -> f32 {
        let b16 = self.word(B16 + h % 2 * 4, h / 2, 8);
        i32::from_ne_bytes(b16) as f32 / -128.0
    }
    /// The word of block `b` in a part that has `stride` bytes for each.
    fn word(&self, part: usize, b: usize, stride: usize) -> [u8; 4] {
        let at = b / 8 * GROUP_BYTES + part + b % 8 * stride;
        let mut word = [0; 4];
        word.copy_from_slice(&self.0[at..at + 4]);
        word
    }
}

/// One group of several quantised rows.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    /// The first row's group.
    pub first: *const u8,
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl Columns {
    /// The integer at `at` of column `c`'s group.
    #[inline(always)]
    pub unsafe fn int(self, c: usize, at: usize) -> i32 {
        // SAFETY: the caller's.
        unsafe { self.first.add(c * self.stride + at).cast::<i32>().read_unaligned() }
    }
    /// The float at `at` of column `c`'s group.
    #[inline(always)]
    pub unsafe fn float(self, c: usize, at: usize) -> f32 {
        // SAFETY: the caller's.
        f32::from_bits(unsafe { self.int(c, at) } as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantized(isa: Isa, x: &[f32]) -> Vec<u8> {
        let mut out = vec![0xaa; act_row_bytes(x.len())];
        quantize_act(isa, x, &mut out);
        out
    }

    #[test]
    fn values_come_back_within_half_a_step() {
        let x: Vec<f32> = (0..96).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.3).collect();
        let bytes = quantized(Isa::Scalar, &x);
        let row = Row(&bytes);
        for b in 0..3 {
            let d = row.scale(b);
            let max = x[b * 32..][..32].iter().fold(0f32, |m, v| m.max(v.abs()));
            assert_eq!(d, max / 127.0);
            let mut sum = 0;
            for (i, &q) in row.quants(b).iter().enumerate() {
                assert!((x[b * 32 + i] - d * q as f32).abs() <= d * 0.5001);
                sum += q as i32;
            }
            let at = |o: usize| i32::from_ne_bytes(bytes[o..o + 4].try_into().unwrap());
            assert_eq!(f32::from_bits(at(S + b * 4) as u32), d * sum as f32);
            let half: i32 = row.quants(b)[..16].iter().map(|&q| q as i32).sum();
            assert_eq!(at(B32 + b * 4), -128 * sum);
            assert_eq!(at(B16 + b * 8), -128 * half);
            assert_eq!(at(B16 + b * 8 + 4), -128 * (sum - half));
        }
        // The padding up to a group is zero.
        assert!(row.quants(3).iter().all(|&q| q == 0) && row.scale(7) == 0.0);
    }

    #[test]
    fn every_instruction_set_gives_the_same_bytes() {
        let mut seed = 1u32;
        for k in [32, 64, 256, 288, 896, 4864] {
            let mut x: Vec<f32> = (0..k)
                .map(|_| {
                    seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
                    (seed >> 8) as f32 / 8388608.0 - 1.0
                })
                .collect();
            x[3] = 1e30;
            x[k - 1] = -1e-38;
            x[k / 2] = f32::MIN_POSITIVE / 4.0;
            let want = quantized(Isa::Scalar, &x);
            for &isa in Isa::available() {
                assert!(quantized(isa, &x) == want, "{isa:?} k {k}");
            }
        }
    }

    #[test]
    fn extremes_stay_in_range_and_bad_values_show() {
        for v in [0.0, f32::MIN_POSITIVE, 1e-36, 1e-30, 1.0, 3e38, -3e38] {
            let bytes = quantized(Isa::detect().unwrap(), &[v; 32]);
            let row = Row(&bytes);
            assert!(row.quants(0).iter().all(|&q| q != -128), "{v}");
            let back = row.scale(0) * row.quants(0)[0] as f32;
            assert!((back - v).abs() <= v.abs() * 1e-6 + 1e-36, "{v} became {back}");
        }
        for v in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let mut x = [1.0; 64];
            x[5] = v;
            let bytes = quantized(Isa::detect().unwrap(), &x);
            let row = Row(&bytes);
            assert!(row.scale(0).is_nan());
            assert!(row.scale(1).is_finite());
        }
    }
}
