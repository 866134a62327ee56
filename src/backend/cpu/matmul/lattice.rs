//! Types whose weights are looked up or computed eight at a time: IQ1, IQ2, IQ3 and the ternary
//! ones, unpacked portably. x86 has them in vectors too (`lattice_x86`).

use bytemuck::Pod;

use crate::quant::GgmlType;
use crate::quant::grid::{IQ1, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS, signs_of};
use crate::quant::{
    BlockIQ1_M, BlockIQ1_S, BlockIQ2_S, BlockIQ2_XS, BlockIQ2_XXS, BlockIQ3_S, BlockIQ3_XXS, BlockTQ1_0,
    BlockTQ2_0,
};

/// 256 weights in the [`form`](super::form::form) of their type.
#[repr(C, align(64))]
pub(super) struct Unpacked {
    /// Unsigned quants: weight 8 i + j is byte j of word i.
    pub q: [u64; 32],
    /// 16 scales where each has 16 weights, else 8.
    pub s: [f32; 16],
}

impl Unpacked {
    pub const ZERO: Unpacked = Unpacked { q: [0; 32], s: [0.0; 16] };
}

/// A block of 256 weights.
pub(super) trait Lattice: Pod {
    const TY: GgmlType;
    /// Quants and scales.
    fn unpack(&self, out: &mut Unpacked);
}

/// `byte` in each of eight bytes.
const fn bytes(byte: u8) -> u64 {
    0x0101_0101_0101_0101 * byte as u64
}

/// For each pattern of eight signs, the bytes that are negative all ones.
static SIGNS: [u64; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 * 8 {
        if (i / 8) >> (i % 8) & 1 == 1 {
            table[i / 8] |= 0xff << (i % 8 * 8);
        }
        i += 1;
    }
    table
};

/// As [`SIGNS`], for the seven bits of which the eighth follows.
static SIGNS_OF_7: [u64; 128] = {
    let mut table = [0; 128];
    let mut i = 0;
    while i < 128 {
        table[i] = SIGNS[signs_of(i as u8) as usize];
        i += 1;
    }
    table
};

/// `offset + point`, or `offset - point` where `negative`; no byte of `point` exceeds the offset,
/// so no byte borrows from the next.
#[inline(always)]
fn signed(offset: u8, point: u64, negative: u64) -> u64 {
    bytes(offset) + point - ((point & negative) << 1)
}

/// `8 * point + 9`, shifted by one up or down.
#[inline(always)]
fn shifted(index: usize, down: bool) -> u64 {
    let from_zero = ((IQ1[index] & bytes(3)) + bytes(1)) & bytes(3);
    (from_zero << 3) + if down { 0 } else { bytes(2) }
}

#[inline(always)]
fn f16(bits: u16) -> f32 {
    super::f16(bits.to_le_bytes())
}

impl Lattice for BlockIQ1_S {
    const TY: GgmlType = GgmlType::IQ1_S;
    #[inline(always)]
    fn unpack(&self, out: &mut Unpacked) {
        let d = f16(self.d) / 8.0;
        for j in 0..8 {
            let high = self.qh[j] as usize;
            out.s[j] = d * (2 * (high >> 12 & 7) + 1) as f32;
            for i in 0..4 {
                let index = self.qs[4 * j + i] as usize | (high >> (3 * i) & 7) << 8;
                out.q[4 * j + i] = shifted(index, high >> 15 != 0);
            }
        }
    }
}

impl Lattice for BlockIQ1_M {
    const TY: GgmlType = GgmlType::IQ1_M;
    #[inline(always)]
    fn unpack(&self, out: &mut Unpacked) {
        let d = f16(self.d()) / 8.0;
        for j in 0..16 {
            out.s[j] = d * (2 * self.scale(j) as u32 + 1) as f32;
            for i in 0..2 {
                let high = (self.qh[j] >> (4 * i)) as usize;
                let index = self.qs[2 * j + i] as usize | (high & 7) << 8;
                out.q[2 * j + i] = shifted(index, high & 8 != 0);
            }
        }
    }
}

/// Two scales of sixteen weights each from every byte.
#[inline(always)]
fn scales_of_4(d: f32, scales: &[u8; 8], out: &mut Unpacked) {
    for (j, byte) in scales.iter().enumerate() {
        out.s[2 * j] = d * (2 * (byte & 15) as u32 + 1) as f32;
        out.s[2 * j + 1] = d * (2 * (byte >> 4) as u32 + 1) as f32;
    }
}

impl Lattice for BlockIQ2_XXS {
    const TY: GgmlType = GgmlType::IQ2_XXS;
    #[inline(always)]
    fn unpack(&self, out: &mut Unpacked) {
        let d = f16(self.d) / 8.0;
        for j in 0..8 {
            let word = |i: usize| self.qs[4 * j + i] as u32 | (self.qs[4 * j + i + 1] as u32) << 16;
            let (points, signs) = (word(0), word(2));
            out.s[j] = d * (2 * (signs >> 28) + 1) as f32;
            for i in 0..4 {
                let point = IQ2_XXS[(points >> (8 * i) & 255) as usize];
                out.q[4 * j + i] = signed(43, point, SIGNS_OF_7[(signs >> (7 * i) & 127) as usize]);
            }
        }
    }
}

impl Lattice for BlockIQ2_XS {
    const TY: GgmlType = GgmlType::IQ2_XS;
    #[inline(always)]
    fn unpack(&self, out: &mut Unpacked) {
        scales_of_4(f16(self.d) / 8.0, &self.scales, out);
        for (q, to) in self.qs.iter().zip(&mut out.q) {
            *to = signed(43, IQ2_XS[(q & 511) as usize], SIGNS_OF_7[(q >> 9) as usize]);
        }
    }
}

impl Lattice for BlockIQ2_S {
    const TY: GgmlType = GgmlType::IQ2_S;
    #[inline(always)]
    fn unpack(&self, out: &mut Unpacked) {
        scales_of_4(f16(self.d) / 8.0, &self.scales, out);
        for i in 0..32 {
            let index = self.qs[i] as usize | ((self.qh[i / 4] >> (i % 4 * 2)) as usize & 3) << 8;
            out.q[i] = signed(43, IQ2_S[index], SIGNS[self.signs[i] as usize]);
        }
    }
}

impl Lattice for BlockIQ3_XXS {
    const TY: GgmlType = GgmlType::IQ3_XXS;
    #[inline(always)]
    fn unpack(&self, out: &mut Unpacked) {
        let d = f16(self.d) / 4.0;
        for j in 0..8 {
            let signs = u32::from_le_bytes(self.signs[j]);
            out.s[j] = d * (2 * (signs >> 28) + 1) as f32;
            for i in 0..4 {
                let part = |h: usize| IQ3_XXS[self.qs[8 * j + 2 * i + h] as usize] as u64;
                let point = part(0) | part(1) << 32;
                out.q[4 * j + i] = signed(62, point, SIGNS_OF_7[(signs >> (7 * i) & 127) as usize]);
            }
        }
    }
}

impl Lattice for BlockIQ3_S {
    const TY: GgmlType = GgmlType::IQ3_S;
    #[inline(always)]
    fn unpack(&self, out: &mut Unpacked) {
        let d = f16(self.d);
        for j in 0..8 {
            out.s[j] = d * (2 * (self.scales[j / 2] >> (j % 2 * 4) & 15) as u32 + 1) as f32;
            for i in 0..4 {
                let part = |h: usize| {
                    let high = (self.qh[j] >> (2 * i + h) & 1) as usize;
                    IQ3_S[self.qs[8 * j + 2 * i + h] as usize | high << 8] as u64
                };
                let point = part(0) | part(1) << 32;
                out.q[4 * j + i] = signed(15, point, SIGNS[self.signs[4 * j + i] as usize]);
            }
        }
    }
}

impl Lattice for BlockTQ1_0 {
    const TY: GgmlType = GgmlType::TQ1_0;
    #[inline(always)]
    fn unpack(&self, out: &mut Unpacked) {
        out.s[..8].fill(f16(self.d));
        let q: &mut [u8] = bytemuck::cast_slice_mut(&mut out.q);
        // A byte is five digits to base three as a fraction of 256: times a power of three, the
        // next digit is what exceeds it.
        let digit = |byte: u8, power: u8| ((byte.wrapping_mul(power) as u16 * 3) >> 8) as u8;
        for (n, power) in [1, 3, 9, 27, 81].into_iter().enumerate() {
            for i in 0..32 {
                q[32 * n + i] = digit(self.qs[i], power);
            }
            for i in 0..16 {
                q[160 + 16 * n + i] = digit(self.qs[32 + i], power);
            }
            if n < 4 {
                for i in 0..4 {
                    q[240 + 4 * n + i] = digit(self.qh[i], power);
                }
            }
        }
    }
}

impl Lattice for BlockTQ2_0 {
    const TY: GgmlType = GgmlType::TQ2_0;
    #[inline(always)]
    fn unpack(&self, out: &mut Unpacked) {
        out.s[..8].fill(f16(self.d));
        let q: &mut [u8] = bytemuck::cast_slice_mut(&mut out.q);
        for (to, from) in q.chunks_exact_mut(128).zip(self.qs.chunks_exact(32)) {
            for n in 0..4 {
                for i in 0..32 {
                    to[32 * n + i] = from[i] >> (2 * n) & 3;
                }
            }
        }
    }
}
