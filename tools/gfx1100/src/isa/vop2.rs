//! VOP2: vector instructions of two operands.

use super::float::{self, fma_16, max_32, min_32, mul_dx9};
use super::lanes::{Elem, F16, Pair, PairU, both, each, make, raw, valu};
use super::{Class, Encoding, Exec, Inst, Kind, Op, flag};
use crate::wave::{LANES, Wave, sgpr};

pub(super) static OPS: &[Op] = valu! { Vop2:
    2 v_dot2acc_f32_f16 (a: Pair, b: Pair, c: f32) -> f32 [READS_DST | SHORT_ONLY]: Dot = b.1.mul_add(a.1, b.0.mul_add(a.0, c));
    3 v_add_f32 (a: f32, b: f32) -> f32 = a + b;
    4 v_sub_f32 (a: f32, b: f32) -> f32 = a - b;
    5 v_subrev_f32 (a: f32, b: f32) -> f32 = b - a;
    6 v_fmac_dx9_zero_f32 (a: f32, b: f32, c: f32) -> f32 [READS_DST] = if a == 0.0 || b == 0.0 { c } else { a.mul_add(b, c) };
    7 v_mul_dx9_zero_f32 (a: f32, b: f32) -> f32 = mul_dx9(a, b);
    8 v_mul_f32 (a: f32, b: f32) -> f32 = a * b;
    9 v_mul_i32_i24 (a: i32, b: i32) -> i32 = (a << 8 >> 8).wrapping_mul(b << 8 >> 8);
    10 v_mul_hi_i32_i24 (a: i32, b: i32) -> i32 = ((a << 8 >> 8) as i64 * (b << 8 >> 8) as i64 >> 32) as i32;
    11 v_mul_u32_u24 (a: u32, b: u32) -> u32 = (a & 0xff_ffff).wrapping_mul(b & 0xff_ffff);
    12 v_mul_hi_u32_u24 (a: u32, b: u32) -> u32 = ((a & 0xff_ffff) as u64 * (b & 0xff_ffff) as u64 >> 32) as u32;
    15 v_min_f32 (a: f32, b: f32; m) -> f32 = min_32(a, b, m);
    16 v_max_f32 (a: f32, b: f32; m) -> f32 = max_32(a, b, m);
    17 v_min_i32 (a: i32, b: i32) -> i32 = a.min(b);
    18 v_max_i32 (a: i32, b: i32) -> i32 = a.max(b);
    19 v_min_u32 (a: u32, b: u32) -> u32 = a.min(b);
    20 v_max_u32 (a: u32, b: u32) -> u32 = a.max(b);
    24 v_lshlrev_b32 (a: u32, b: u32) -> u32 = b << (a & 31);
    25 v_lshrrev_b32 (a: u32, b: u32) -> u32 = b >> (a & 31);
    26 v_ashrrev_i32 (a: u32, b: i32) -> i32 = b >> (a & 31);
    27 v_and_b32 (a: u32, b: u32) -> u32 = a & b;
    28 v_or_b32 (a: u32, b: u32) -> u32 = a | b;
    29 v_xor_b32 (a: u32, b: u32) -> u32 = a ^ b;
    30 v_xnor_b32 (a: u32, b: u32) -> u32 = !(a ^ b);
    37 v_add_nc_u32 (a: u32, b: u32) -> u32 = a.wrapping_add(b);
    38 v_sub_nc_u32 (a: u32, b: u32) -> u32 = a.wrapping_sub(b);
    39 v_subrev_nc_u32 (a: u32, b: u32) -> u32 = b.wrapping_sub(a);
    47 v_cvt_pk_rtz_f16_f32 (a: f32, b: f32) -> PairU = PairU(toward_zero(a), toward_zero(b));
    50 v_add_f16 (a: F16, b: F16) -> F16 = F16(a.0 + b.0);
    51 v_sub_f16 (a: F16, b: F16) -> F16 = F16(a.0 - b.0);
    52 v_subrev_f16 (a: F16, b: F16) -> F16 = F16(b.0 - a.0);
    53 v_mul_f16 (a: F16, b: F16) -> F16 = F16(a.0 * b.0);
    54 v_fmac_f16 (a: F16, b: F16, c: F16) -> F16 [READS_DST] = F16(fma_16(a.0, b.0, c.0));
    55 v_fmamk_f16 (a: F16, k: F16, b: F16) -> F16 [SHORT_ONLY] = F16(fma_16(a.0, k.0, b.0));
    56 v_fmaak_f16 (a: F16, b: F16, k: F16) -> F16 [SHORT_ONLY] = F16(fma_16(a.0, b.0, k.0));
    57 v_max_f16 (a: F16, b: F16; m) -> F16 = F16(max_32(a.0, b.0, m));
    58 v_min_f16 (a: F16, b: F16; m) -> F16 = F16(min_32(a.0, b.0, m));
    59 v_ldexp_f16 (a: F16, b: i16) -> F16 = F16(float::ldexp_32(a.0, b as i32));
    60 v_pk_fmac_f16 (a: Pair, b: Pair, c: Pair) -> Pair [READS_DST | SHORT_ONLY] = Pair(fma_16(a.0, b.0, c.0), fma_16(a.1, b.1, c.1));
};

/// Those whose inner loop is a function of its own.
pub(super) static WHOLE: &[Op] = valu! { whole Vop2:
    43 v_fmac_f32 (a: f32, b: f32, c: f32) -> f32 [READS_DST] = float::fma_32;
    44 v_fmamk_f32 (a: f32, k: f32, b: f32) -> f32 [SHORT_ONLY] = float::fma_32;
    45 v_fmaak_f32 (a: f32, b: f32, k: f32) -> f32 [SHORT_ONLY] = float::fma_32;
};

/// f32 to f16, toward zero.
fn toward_zero(x: f32) -> u16 {
    let near = half::f16::from_f32(x);
    let away = !x.is_nan() && near.to_f32().abs() > x.abs();
    near.to_bits() - away as u16
}

/// Those with a bit a lane for an operand: which of the two, or a carry in and one out.
pub(super) static MASKED: &[Op] = &[
    Op {
        flags: flag::MOVES | flag::SIGNS,
        exec: both!(|w, i| select(w, i)),
        ..Op::new(
            Encoding::Vop2,
            1,
            "v_cndmask_b32",
            Kind::B32,
            &[Kind::B32, Kind::B32, Kind::Mask],
            Class::Vector,
        )
    },
    carry(32, "v_add_co_ci_u32", both!(|w, i| with_carry(w, i, add))),
    carry(33, "v_sub_co_ci_u32", both!(|w, i| with_carry(w, i, sub))),
    carry(34, "v_subrev_co_ci_u32", both!(|w, i| with_carry(w, i, |a, b, c| sub(b, a, c)))),
];

const fn carry(code: u16, name: &'static str, exec: Exec) -> Op {
    let src = &[Kind::B32, Kind::B32, Kind::Mask];
    Op { dst2: Kind::Mask, exec, ..Op::new(Encoding::Vop2, code, name, Kind::B32, src, Class::Vector) }
}

/// The mask in operand 2.
#[inline(always)]
pub(super) fn mask_in(wave: &Wave, inst: &Inst) -> u32 {
    let o = &inst.src[2];
    if o.is_scalar() { wave.s[o.number as usize] } else { o.value as u32 }
}

/// Writes the second result, a bit a lane, 0 for those that are not active.
#[inline(always)]
pub(super) fn put_mask(wave: &mut Wave, inst: &Inst, mask: u32) {
    if inst.dst2.number != sgpr::NULL {
        wave.s[inst.dst2.number as usize] = mask & wave.exec();
    }
}

/// A sum with a carry, and whether there is one more.
#[inline(always)]
fn add(a: u32, b: u32, c: u32) -> (u32, bool) {
    let sum = a.wrapping_add(b).wrapping_add(c);
    (sum, if c == 0 { sum < a } else { sum <= a })
}

/// A difference less a borrow, and whether it borrows more.
#[inline(always)]
fn sub(a: u32, b: u32, c: u32) -> (u32, bool) {
    (a.wrapping_sub(b).wrapping_sub(c), if c == 0 { a < b } else { a <= b })
}

/// A bit a lane.
#[inline(always)]
pub(super) fn gather(bits: &[bool; LANES]) -> u32 {
    let mut mask = 0;
    for l in 0..LANES {
        mask |= if bits[l] { 1 << l } else { 0 };
    }
    mask
}

#[inline(always)]
fn with_carry(wave: &mut Wave, inst: &Inst, f: impl Fn(u32, u32, u32) -> (u32, bool)) {
    let (a, b) = (u32::get(wave, inst, 0), u32::get(wave, inst, 1));
    let carries = mask_in(wave, inst);
    let (mut sums, mut out) = ([0; LANES], [false; LANES]);
    for l in 0..LANES {
        (sums[l], out[l]) = f(a[l], b[l], (carries & 1 << l != 0) as u32);
    }
    u32::put(wave, inst, sums);
    put_mask(wave, inst, gather(&out));
}

/// Operand 1 where the mask has a 1, else operand 0. What was not written of the one not chosen does not
/// matter.
#[inline(always)]
pub(super) fn select(wave: &mut Wave, inst: &Inst) {
    let mask = mask_in(wave, inst);
    let (a, b) = (signed(wave, inst, 0), signed(wave, inst, 1));
    let defined = wave.defined(inst, 0, 0) & !mask | wave.defined(inst, 1, 0) & mask;
    u32::put(wave, inst, make(|l| if mask & 1 << l != 0 { b[l] } else { a[l] }));
    wave.set_defined(inst, 0, defined);
}

/// Operand `n` as bits, with the signs of a float.
#[inline(always)]
fn signed(wave: &Wave, inst: &Inst, n: usize) -> [u32; LANES] {
    if (inst.mods.abs | inst.mods.neg) >> n & 1 == 0 {
        return raw(wave, inst, n, 0);
    }
    let keep = if inst.mods.abs >> n & 1 != 0 { 0x7fff_ffff } else { !0 };
    let flip = ((inst.mods.neg >> n & 1) as u32) << 31;
    each(&raw(wave, inst, n, 0), |x| x & keep ^ flip)
}
