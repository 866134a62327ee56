//! Quantised weights in portable code: the reference for the other instruction sets.
//!
//! A row is unpacked once to signed quants, and a scale and a minimum for every 16 values, then
//! multiplied with all columns.

use super::act::{self, BLOCK, act_row_bytes};
use super::form::form;
use super::lattice::{Lattice, Unpacked};
use super::{Job, f16};
use crate::quant::{
    BlockIQ1_M, BlockIQ1_S, BlockIQ2_S, BlockIQ2_XS, BlockIQ2_XXS, BlockIQ3_S, BlockIQ3_XXS, BlockIQ4_XS,
    BlockQ3_K, BlockTQ1_0, BlockTQ2_0, FP4_VALUES, GgmlType, IQ4_VALUES, e8m0_half, scales_of_6,
};

/// A weight row: `w[i] = scale[i / 16] * q[i] - min[i / 16]`.
struct Row<'a> {
    q: &'a mut [i8],
    scale: &'a mut [f32],
    min: &'a mut [f32],
}

/// Bytes for one unpacked row of `k` values.
pub(super) const fn scratch_bytes(k: usize) -> usize {
    (k + k / 16 * 8).next_multiple_of(64)
}

/// # Safety
/// `job` was checked by the caller: all rows it names are readable or writable.
pub(super) unsafe fn matmul(ty: GgmlType, job: &Job) {
    let k = job.k;
    // SAFETY: the scratch holds `scratch_bytes(k)` aligned bytes, and only we use it.
    let row = unsafe {
        std::ptr::write_bytes(job.scratch, 0, scratch_bytes(k));
        Row {
            q: std::slice::from_raw_parts_mut(job.scratch.cast(), k),
            scale: std::slice::from_raw_parts_mut(job.scratch.add(k).cast(), k / 16),
            min: std::slice::from_raw_parts_mut(job.scratch.add(k + k / 16 * 4).cast(), k / 16),
        }
    };
    for r in 0..job.rows {
        // SAFETY: row r is inside the weights.
        let src = unsafe { std::slice::from_raw_parts(job.w.add(r * job.w_stride), job.w_stride) };
        for (b, block) in src.chunks_exact(ty.block_bytes()).enumerate() {
            let at = b * ty.block_len();
            unpack(
                ty,
                block,
                &mut row.q[at..][..ty.block_len()],
                &mut row.scale[at / 16..],
                &mut row.min[at / 16..],
            );
        }
        for t in 0..job.n {
            // SAFETY: activation row t is inside the activations.
            let bytes = unsafe { std::slice::from_raw_parts(job.x.add(t * job.x_stride), act_row_bytes(k)) };
            let sum = dot(&row, &act::Row(bytes));
            // SAFETY: the caller gave us this element.
            unsafe { *job.dst.add(t * job.dst_stride + r) = sum };
        }
    }
}

fn dot(w: &Row, x: &act::Row) -> f32 {
    let mut sum = 0f32;
    for (b, q) in w.q.chunks_exact(BLOCK).enumerate() {
        let a = x.quants(b);
        let (mut low, mut high) = (0i32, 0i32);
        for i in 0..16 {
            low += q[i] as i32 * a[i] as i32;
            high += q[16 + i] as i32 * a[16 + i] as i32;
        }
        let products = w.scale[2 * b] * low as f32 + w.scale[2 * b + 1] * high as f32;
        let minima = w.min[2 * b] * x.sum_of_16(2 * b) + w.min[2 * b + 1] * x.sum_of_16(2 * b + 1);
        sum += x.scale(b) * (products - minima);
    }
    sum
}

/// One block. `scale` and `min` begin at the block's own.
fn unpack(ty: GgmlType, block: &[u8], q: &mut [i8], scale: &mut [f32], min: &mut [f32]) {
    let f16_at = |at: usize| f16([block[at], block[at + 1]]);
    match ty {
        GgmlType::Q4_0 => {
            nibbles(&block[2..], q, |code| code as i8 - 8);
            scale[..2].fill(f16_at(0));
        }
        GgmlType::Q4_1 => {
            nibbles(&block[4..], q, |code| code as i8);
            scale[..2].fill(f16_at(0));
            min[..2].fill(-f16_at(2));
        }
        GgmlType::Q5_0 => {
            nibbles(&block[6..], q, |code| code as i8 - 16);
            fifth_bits(&block[2..], q);
            scale[..2].fill(f16_at(0));
        }
        GgmlType::Q5_1 => {
            nibbles(&block[8..], q, |code| code as i8);
            fifth_bits(&block[4..], q);
            scale[..2].fill(f16_at(0));
            min[..2].fill(-f16_at(2));
        }
        GgmlType::IQ4_NL => {
            nibbles(&block[2..], q, |code| IQ4_VALUES[code as usize]);
            scale[..2].fill(f16_at(0));
        }
        GgmlType::MXFP4 => {
            nibbles(&block[1..], q, |code| FP4_VALUES[code as usize]);
            scale[..2].fill(e8m0_half(block[0]));
        }
        GgmlType::IQ4_XS => {
            let block: &BlockIQ4_XS = &bytemuck::pod_read_unaligned(block);
            for j in 0..8 {
                nibbles(&block.qs[16 * j..], &mut q[32 * j..], |code| IQ4_VALUES[code as usize]);
                scale[2 * j..2 * j + 2].fill(f16_at(0) * block.scale(j) as f32);
            }
        }
        GgmlType::Q2_K => {
            twos(&block[16..80], q, |code, _| code as i8);
            for j in 0..16 {
                scale[j] = f16_at(80) * (block[j] & 15) as f32;
                min[j] = f16_at(82) * (block[j] >> 4) as f32;
            }
        }
        GgmlType::Q3_K => {
            let third = |i: usize| block[i % 32] >> (i / 32) & 1;
            twos(&block[32..96], q, |code, i| (code | third(i) << 2) as i8 - 4);
            let block: &BlockQ3_K = &bytemuck::pod_read_unaligned(block);
            for (to, factor) in scale.iter_mut().zip(scales_of_6(&block.scales)) {
                *to = f16_at(108) * factor as f32;
            }
        }
        GgmlType::Q8_0 => {
            q.copy_from_slice(bytemuck::cast_slice(&block[2..]));
            scale[..2].fill(f16_at(0));
        }
        GgmlType::Q4_K => {
            k_scales(block, scale, min);
            for j in 0..4 {
                for i in 0..32 {
                    let byte = block[16 + 32 * j + i];
                    q[64 * j + i] = (byte & 15) as i8;
                    q[64 * j + 32 + i] = (byte >> 4) as i8;
                }
            }
        }
        GgmlType::Q5_K => {
            k_scales(block, scale, min);
            for j in 0..4 {
                for i in 0..32 {
                    let (byte, high) = (block[48 + 32 * j + i], block[16 + i] >> (2 * j));
                    q[64 * j + i] = (byte & 15 | (high & 1) << 4) as i8;
                    q[64 * j + 32 + i] = (byte >> 4 | (high & 2) << 3) as i8;
                }
            }
        }
        GgmlType::Q6_K => {
            for n in 0..2 {
                for i in 0..32 {
                    let (a, b) = (block[64 * n + i], block[64 * n + 32 + i]);
                    let high = block[128 + 32 * n + i];
                    let parts = [a & 15, b & 15, a >> 4, b >> 4];
                    for (j, low) in parts.into_iter().enumerate() {
                        q[128 * n + 32 * j + i] = (low | (high >> (2 * j) & 3) << 4) as i8 - 32;
                    }
                }
            }
            for (s, &byte) in scale[..16].iter_mut().zip(&block[192..208]) {
                *s = f16_at(208) * (byte as i8) as f32;
            }
        }
        GgmlType::IQ1_S => lattice::<BlockIQ1_S>(block, q, scale),
        GgmlType::IQ1_M => lattice::<BlockIQ1_M>(block, q, scale),
        GgmlType::IQ2_XXS => lattice::<BlockIQ2_XXS>(block, q, scale),
        GgmlType::IQ2_XS => lattice::<BlockIQ2_XS>(block, q, scale),
        GgmlType::IQ2_S => lattice::<BlockIQ2_S>(block, q, scale),
        GgmlType::IQ3_XXS => lattice::<BlockIQ3_XXS>(block, q, scale),
        GgmlType::IQ3_S => lattice::<BlockIQ3_S>(block, q, scale),
        GgmlType::TQ1_0 => lattice::<BlockTQ1_0>(block, q, scale),
        GgmlType::TQ2_0 => lattice::<BlockTQ2_0>(block, q, scale),
        other => panic!("{} weights have no kernel", other.name()),
    }
}

/// 32 codes of four bits: the low halves of 16 bytes, then the high ones.
fn nibbles(bytes: &[u8], q: &mut [i8], value: impl Fn(u8) -> i8) {
    for i in 0..16 {
        q[i] = value(bytes[i] & 15);
        q[16 + i] = value(bytes[i] >> 4);
    }
}

/// Bit i of 32 is worth 16 in quant i.
fn fifth_bits(bytes: &[u8], q: &mut [i8]) {
    for i in 0..32 {
        q[i] += ((bytes[i / 8] >> (i % 8) & 1) << 4) as i8;
    }
}

/// 256 codes of two bits: four times 32 in 32 bytes, twice; `value` gets the code and its index.
fn twos(bytes: &[u8], q: &mut [i8], value: impl Fn(u8, usize) -> i8) {
    for i in 0..256 {
        q[i] = value(bytes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3, i);
    }
}

/// The portable unpacking, to signed quants and a scale for every 16.
fn lattice<B: Lattice>(block: &[u8], q: &mut [i8], scale: &mut [f32]) {
    let form = const { form(B::TY) };
    let mut u = Unpacked::ZERO;
    bytemuck::pod_read_unaligned::<B>(block).unpack(&mut u);
    for (q, byte) in q.iter_mut().zip(bytemuck::cast_slice::<u64, u8>(&u.q)) {
        *q = (*byte as i32 - form.offset) as i8;
    }
    for (j, scale) in scale[..16].iter_mut().enumerate() {
        *scale = if form.half { u.s[j] } else { u.s[j / 2] };
    }
}

/// The eight 6-bit scales and minima that q4_K and q5_K share.
fn k_scales(block: &[u8], scale: &mut [f32], min: &mut [f32]) {
    let (d, d_min) = (f16([block[0], block[1]]), f16([block[2], block[3]]));
    let s = &block[4..16];
    for j in 0..8 {
        let (sc, m) = if j < 4 {
            (s[j] & 63, s[j + 4] & 63)
        } else {
            (s[j + 4] & 15 | s[j - 4] >> 6 << 4, s[j + 4] >> 4 | s[j] >> 6 << 4)
        };
        scale[2 * j..2 * j + 2].fill(d * sc as f32);
        min[2 * j..2 * j + 2].fill(d_min * m as f32);
    }
}
