//! Quantised weights in portable code: the reference for the other instruction sets.
//!
//! A row is unpacked once to signed quants, a scale for every 16 and a minimum for every 32
//! values, then multiplied with all columns.

use super::act::{BLOCK, Row, act_row_bytes};
use super::{Job, f16};
use crate::quant::GgmlType;

/// A weight row: `w[i] = scale[i / 16] * q[i] - min[i / 32]`.
struct Unpacked<'a> {
    q: &'a mut [i8],
    scale: &'a mut [f32],
    min: &'a mut [f32],
}

/// Bytes for one unpacked row of `k` values.
pub(super) const fn scratch_bytes(k: usize) -> usize {
    (k + k / 16 * 4 + k / 32 * 4).next_multiple_of(64)
}

/// # Safety
/// `job` was checked by the caller: all rows it names are readable or writable.
pub(super) unsafe fn matmul(ty: GgmlType, job: &Job) {
    let k = job.k;
    // SAFETY: the scratch holds `scratch_bytes(k)` aligned bytes, and only we use it.
    let row = unsafe {
        std::ptr::write_bytes(job.scratch, 0, scratch_bytes(k));
        Unpacked {
            q: std::slice::from_raw_parts_mut(job.scratch.cast(), k),
            scale: std::slice::from_raw_parts_mut(job.scratch.add(k).cast(), k / 16),
            min: std::slice::from_raw_parts_mut(job.scratch.add(k + k / 16 * 4).cast(), k / 32),
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
                &mut row.min[at / 32..],
            );
        }
        for t in 0..job.n {
            // SAFETY: activation row t is inside the activations.
            let bytes = unsafe { std::slice::from_raw_parts(job.x.add(t * job.x_stride), act_row_bytes(k)) };
            let sum = dot(&row, &Row(bytes));
            // SAFETY: the caller gave us this element.
            unsafe { *job.dst.add(t * job.dst_stride + r) = sum };
        }
    }
}

fn dot(w: &Unpacked, x: &Row) -> f32 {
    let mut sum = 0f32;
    for (b, q) in w.q.chunks_exact(BLOCK).enumerate() {
        let a = x.quants(b);
        let (mut low, mut high) = (0i32, 0i32);
        for i in 0..16 {
            low += q[i] as i32 * a[i] as i32;
            high += q[16 + i] as i32 * a[16 + i] as i32;
        }
        sum += x.scale(b) * (w.scale[2 * b] * low as f32 + w.scale[2 * b + 1] * high as f32);
        sum -= w.min[b] * x.scaled_sum(b);
    }
    sum
}

/// One block. `scale` and `min` begin at the block's own.
fn unpack(ty: GgmlType, block: &[u8], q: &mut [i8], scale: &mut [f32], min: &mut [f32]) {
    match ty {
        GgmlType::Q4_0 => {
            for i in 0..16 {
                q[i] = (block[2 + i] & 15) as i8 - 8;
                q[16 + i] = (block[2 + i] >> 4) as i8 - 8;
            }
            scale[..2].fill(f16([block[0], block[1]]));
        }
        GgmlType::Q8_0 => {
            q.copy_from_slice(bytemuck::cast_slice(&block[2..]));
            scale[..2].fill(f16([block[0], block[1]]));
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
            let d = f16([block[208], block[209]]);
            for (s, &byte) in scale[..16].iter_mut().zip(&block[192..208]) {
                *s = d * (byte as i8) as f32;
            }
        }
        other => panic!("{} weights have no kernel", other.name()),
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
        min[j] = d_min * m as f32;
    }
}
