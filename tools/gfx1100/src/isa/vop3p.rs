//! VOP3P: packed halves, dot products, mixed precision, matrices.

use super::float::{fma_16, fma_mix, fma_mix_16, max_32, min_32};
use super::lanes::{Elem, F16, Mix, Pair, PairU, both, make, valu};
use super::{Class, Encoding, Exec, Inst, Kind, Op, flag, wmma};
use crate::wave::{LANES, Wave};

pub(super) static OPS: &[Op] = valu! { Vop3p:
    0 v_pk_mad_i16 (a: PairU, b: PairU, c: PairU) -> PairU = PairU(a.0.wrapping_mul(b.0).wrapping_add(c.0), a.1.wrapping_mul(b.1).wrapping_add(c.1));
    1 v_pk_mul_lo_u16 (a: PairU, b: PairU) -> PairU = PairU(a.0.wrapping_mul(b.0), a.1.wrapping_mul(b.1));
    2 v_pk_add_i16 (a: PairU, b: PairU) -> PairU = PairU(a.0.wrapping_add(b.0), a.1.wrapping_add(b.1));
    3 v_pk_sub_i16 (a: PairU, b: PairU) -> PairU = PairU(a.0.wrapping_sub(b.0), a.1.wrapping_sub(b.1));
    4 v_pk_lshlrev_b16 (a: PairU, b: PairU) -> PairU = PairU(b.0 << (a.0 & 15), b.1 << (a.1 & 15));
    5 v_pk_lshrrev_b16 (a: PairU, b: PairU) -> PairU = PairU(b.0 >> (a.0 & 15), b.1 >> (a.1 & 15));
    6 v_pk_ashrrev_i16 (a: PairU, b: PairU) -> PairU = PairU((b.0 as i16 >> (a.0 & 15)) as u16, (b.1 as i16 >> (a.1 & 15)) as u16);
    7 v_pk_max_i16 (a: PairU, b: PairU) -> PairU = PairU((a.0 as i16).max(b.0 as i16) as u16, (a.1 as i16).max(b.1 as i16) as u16);
    8 v_pk_min_i16 (a: PairU, b: PairU) -> PairU = PairU((a.0 as i16).min(b.0 as i16) as u16, (a.1 as i16).min(b.1 as i16) as u16);
    9 v_pk_mad_u16 (a: PairU, b: PairU, c: PairU) -> PairU = PairU(a.0.wrapping_mul(b.0).wrapping_add(c.0), a.1.wrapping_mul(b.1).wrapping_add(c.1));
    10 v_pk_add_u16 (a: PairU, b: PairU) -> PairU = PairU(a.0.wrapping_add(b.0), a.1.wrapping_add(b.1));
    11 v_pk_sub_u16 (a: PairU, b: PairU) -> PairU = PairU(a.0.wrapping_sub(b.0), a.1.wrapping_sub(b.1));
    12 v_pk_max_u16 (a: PairU, b: PairU) -> PairU = PairU(a.0.max(b.0), a.1.max(b.1));
    13 v_pk_min_u16 (a: PairU, b: PairU) -> PairU = PairU(a.0.min(b.0), a.1.min(b.1));
    14 v_pk_fma_f16 (a: Pair, b: Pair, c: Pair) -> Pair = Pair(fma_16(a.0, b.0, c.0), fma_16(a.1, b.1, c.1));
    15 v_pk_add_f16 (a: Pair, b: Pair) -> Pair = Pair(a.0 + b.0, a.1 + b.1);
    16 v_pk_mul_f16 (a: Pair, b: Pair) -> Pair = Pair(a.0 * b.0, a.1 * b.1);
    17 v_pk_min_f16 (a: Pair, b: Pair; m) -> Pair = Pair(min_32(a.0, b.0, m), min_32(a.1, b.1, m));
    18 v_pk_max_f16 (a: Pair, b: Pair; m) -> Pair = Pair(max_32(a.0, b.0, m), max_32(a.1, b.1, m));
    19 v_dot2_f32_f16 (a: Pair, b: Pair, c: f32) -> f32: Dot = a.1.mul_add(b.1, a.0.mul_add(b.0, c));
};

pub(super) static WHOLE: &[Op] = valu! { whole Vop3p:
    32 v_fma_mix_f32 (a: Mix, b: Mix, c: Mix) -> f32 = fma_mix;
};

const fn dot(code: u16, name: &'static str, exec: Exec) -> Op {
    let src = &[Kind::B32, Kind::B32, Kind::B32];
    let flags = flag::CLAMPS | flag::SIGNS;
    Op { flags, exec, ..Op::new(Encoding::Vop3p, code, name, Kind::B32, src, Class::Dot) }
}

const fn mix(code: u16, name: &'static str, exec: Exec) -> Op {
    let src = &[Kind::Mix, Kind::Mix, Kind::Mix];
    Op {
        flags: flag::CLAMPS | flag::SIGNS,
        exec,
        ..Op::new(Encoding::Vop3p, code, name, Kind::B32, src, Class::Vector)
    }
}

const fn matrix(code: u16, name: &'static str, ab: Kind, exec: wmma::Run) -> Op {
    let src = &[ab, ab, Kind::B256];
    let flags = flag::CLAMPS | flag::SIGNS;
    Op {
        flags,
        exec: Exec::Checked(exec),
        ..Op::new(Encoding::Vop3p, code, name, Kind::B256, src, Class::Wmma)
    }
}

pub(super) static OTHERS: &[Op] = &[
    dot(22, "v_dot4_i32_iu8", both!(|w, i| dot_bytes(w, i, is_signed(i, 0), is_signed(i, 1)))),
    dot(23, "v_dot4_u32_u8", both!(|w, i| dot_bytes(w, i, false, false))),
    dot(24, "v_dot8_i32_iu4", both!(|w, i| dot_nibbles(w, i, is_signed(i, 0), is_signed(i, 1)))),
    dot(25, "v_dot8_u32_u4", both!(|w, i| dot_nibbles(w, i, false, false))),
    mix(33, "v_fma_mixlo_f16", both!(|w, i| mix_half(w, i, false))),
    mix(34, "v_fma_mixhi_f16", both!(|w, i| mix_half(w, i, true))),
    matrix(64, "v_wmma_f32_16x16x16_f16", Kind::B256, wmma::f16),
    matrix(65, "v_wmma_f32_16x16x16_bf16", Kind::B256, wmma::bf16),
    matrix(68, "v_wmma_i32_16x16x16_iu8", Kind::B128, wmma::iu8),
    matrix(69, "v_wmma_i32_16x16x16_iu4", Kind::B64, wmma::iu4),
];

/// The sign bits of the operands' modifiers mean that its elements have a sign.
pub(super) fn is_signed(inst: &Inst, n: usize) -> bool {
    inst.mods.neg >> n & 1 != 0
}

/// Byte `n`, extended.
#[inline(always)]
fn byte(x: u32, n: u32, signed: bool) -> i32 {
    let shifted = (x << (24 - 8 * n)) as i32;
    if signed { shifted >> 24 } else { (shifted as u32 >> 24) as i32 }
}

#[inline(always)]
fn dot_bytes(wave: &mut Wave, inst: &Inst, a_signed: bool, b_signed: bool) {
    let (a, b, c) = (u32::get(wave, inst, 0), u32::get(wave, inst, 1), i32::get(wave, inst, 2));
    let mut r = [0; LANES];
    if a_signed && b_signed {
        for l in 0..LANES {
            let product = |n| byte(a[l], n, true) * byte(b[l], n, true);
            r[l] = c[l].wrapping_add(product(0) + product(1) + product(2) + product(3));
        }
    } else {
        for l in 0..LANES {
            let product = |n| byte(a[l], n, a_signed) * byte(b[l], n, b_signed);
            r[l] = c[l].wrapping_add(product(0) + product(1) + product(2) + product(3));
        }
    }
    if inst.mods.clamp {
        let wide = |l: usize| {
            let product = |n| byte(a[l], n, a_signed) as i64 * byte(b[l], n, b_signed) as i64;
            product(0) + product(1) + product(2) + product(3)
        };
        r = match a_signed || b_signed {
            true => make(|l| (wide(l) + c[l] as i64).clamp(i32::MIN as i64, i32::MAX as i64) as i32),
            false => make(|l| (wide(l) + c[l] as u32 as i64).min(u32::MAX as i64) as u32 as i32),
        };
    }
    i32::put(wave, inst, r);
}

fn dot_nibbles(wave: &mut Wave, inst: &Inst, a_signed: bool, b_signed: bool) {
    let (a, b, c) = (u32::get(wave, inst, 0), u32::get(wave, inst, 1), i32::get(wave, inst, 2));
    let nibble = |x: u32, n: u32, signed: bool| {
        let shifted = (x << (28 - 4 * n)) as i32;
        if signed { shifted >> 28 } else { (shifted as u32 >> 28) as i32 }
    };
    let r = make(|l| {
        let sum: i32 = (0..8).map(|n| nibble(a[l], n, a_signed) * nibble(b[l], n, b_signed)).sum();
        match (inst.mods.clamp, a_signed || b_signed) {
            (false, _) => c[l].wrapping_add(sum),
            (true, true) => c[l].saturating_add(sum),
            (true, false) => (c[l] as u32).saturating_add(sum as u32) as i32,
        }
    });
    i32::put(wave, inst, r);
}

/// Writes one half of the result and keeps the other, written or not.
#[inline(always)]
fn mix_half(wave: &mut Wave, inst: &Inst, high: bool) {
    let (a, b, c) = (Mix::get(wave, inst, 0), Mix::get(wave, inst, 1), Mix::get(wave, inst, 2));
    let r: [F16; LANES] = fma_mix_16(&a, &b, &c);
    let mut half = inst.clone();
    half.mods.op_sel = if high { 8 } else { 0 };
    F16::put(wave, &half, r);
}
