//! VOP3: vector instructions of up to three operands that have only the long form.

use super::float::{self, fma_16, ldexp_32, ldexp_64, max_32, max_64, med3_32, min_32, min_64};
use super::lanes::{Elem, F16, Pair, PairU, both, each, make, raw, valu};
use super::vop1::read_lane;
use super::vop2::{gather, mask_in, put_mask};
use super::{Class, Encoding, Exec, Fault, Inst, Kind, Op, Register, flag};
use crate::wave::{LANES, Wave, sgpr};

pub(super) static OPS: &[Op] = valu! { Vop3:
    521 v_fma_dx9_zero_f32 (a: f32, b: f32, c: f32) -> f32 = if a == 0.0 || b == 0.0 { c } else { a.mul_add(b, c) };
    522 v_mad_i32_i24 (a: i32, b: i32, c: i32) -> i32 = (a << 8 >> 8).wrapping_mul(b << 8 >> 8).wrapping_add(c);
    523 v_mad_u32_u24 (a: u32, b: u32, c: u32) -> u32 = (a & 0xff_ffff).wrapping_mul(b & 0xff_ffff).wrapping_add(c);
    528 v_bfe_u32 (a: u32, b: u32, c: u32) -> u32 = a >> (b & 31) & ((1 << (c & 31)) - 1);
    529 v_bfe_i32 (a: i32, b: u32, c: u32) -> i32 = signed_field(a, b & 31, c & 31);
    530 v_bfi_b32 (a: u32, b: u32, c: u32) -> u32 = a & b | !a & c;
    532 v_fma_f64 (a: f64, b: f64, c: f64) -> f64: Double = a.mul_add(b, c);
    533 v_lerp_u8 (a: u32, b: u32, c: u32) -> u32 = bytes(|n| (byte(a, n) + byte(b, n) + (byte(c, n) & 1)) >> 1);
    534 v_alignbit_b32 (a: u32, b: u32, c: u32) -> u32 = (((a as u64) << 32 | b as u64) >> (c & 31)) as u32;
    535 v_alignbyte_b32 (a: u32, b: u32, c: u32) -> u32 = (((a as u64) << 32 | b as u64) >> (8 * (c & 3))) as u32;
    537 v_min3_f32 (a: f32, b: f32, c: f32; m) -> f32 = min_32(min_32(a, b, m), c, m);
    538 v_min3_i32 (a: i32, b: i32, c: i32) -> i32 = a.min(b).min(c);
    539 v_min3_u32 (a: u32, b: u32, c: u32) -> u32 = a.min(b).min(c);
    540 v_max3_f32 (a: f32, b: f32, c: f32; m) -> f32 = max_32(max_32(a, b, m), c, m);
    541 v_max3_i32 (a: i32, b: i32, c: i32) -> i32 = a.max(b).max(c);
    542 v_max3_u32 (a: u32, b: u32, c: u32) -> u32 = a.max(b).max(c);
    543 v_med3_f32 (a: f32, b: f32, c: f32; m) -> f32 = med3_32(a, b, c, m);
    544 v_med3_i32 (a: i32, b: i32, c: i32) -> i32 = a.max(b).min(a.min(b).max(c));
    545 v_med3_u32 (a: u32, b: u32, c: u32) -> u32 = a.max(b).min(a.min(b).max(c));
    546 v_sad_u8 (a: u32, b: u32, c: u32) -> u32 = (0..4).fold(c, |s, n| s.wrapping_add(byte(a, n).abs_diff(byte(b, n))));
    549 v_sad_u32 (a: u32, b: u32, c: u32) -> u32 = c.wrapping_add(a.abs_diff(b));
    551 v_div_fixup_f32 (a: f32, b: f32, c: f32) -> f32 = float::div_fixup_32(a, b, c);
    576 v_xor3_b32 (a: u32, b: u32, c: u32) -> u32 = a ^ b ^ c;
    577 v_mad_u16 (a: u16, b: u16, c: u16) -> u16 = a.wrapping_mul(b).wrapping_add(c);
    580 v_perm_b32 (a: u32, b: u32, c: u32) -> u32 = bytes(|n| permuted((a as u64) << 32 | b as u64, byte(c, n)));
    581 v_xad_u32 (a: u32, b: u32, c: u32) -> u32 = (a ^ b).wrapping_add(c);
    582 v_lshl_add_u32 (a: u32, b: u32, c: u32) -> u32 = (a << (b & 31)).wrapping_add(c);
    583 v_add_lshl_u32 (a: u32, b: u32, c: u32) -> u32 = a.wrapping_add(b) << (c & 31);
    584 v_fma_f16 (a: F16, b: F16, c: F16) -> F16 = F16(fma_16(a.0, b.0, c.0));
    585 v_min3_f16 (a: F16, b: F16, c: F16; m) -> F16 = F16(min_32(min_32(a.0, b.0, m), c.0, m));
    586 v_min3_i16 (a: i16, b: i16, c: i16) -> i16 = a.min(b).min(c);
    587 v_min3_u16 (a: u16, b: u16, c: u16) -> u16 = a.min(b).min(c);
    588 v_max3_f16 (a: F16, b: F16, c: F16; m) -> F16 = F16(max_32(max_32(a.0, b.0, m), c.0, m));
    589 v_max3_i16 (a: i16, b: i16, c: i16) -> i16 = a.max(b).max(c);
    590 v_max3_u16 (a: u16, b: u16, c: u16) -> u16 = a.max(b).max(c);
    591 v_med3_f16 (a: F16, b: F16, c: F16; m) -> F16 = F16(med3_32(a.0, b.0, c.0, m));
    592 v_med3_i16 (a: i16, b: i16, c: i16) -> i16 = a.max(b).min(a.min(b).max(c));
    593 v_med3_u16 (a: u16, b: u16, c: u16) -> u16 = a.max(b).min(a.min(b).max(c));
    595 v_mad_i16 (a: i16, b: i16, c: i16) -> i16 = a.wrapping_mul(b).wrapping_add(c);
    597 v_add3_u32 (a: u32, b: u32, c: u32) -> u32 = a.wrapping_add(b).wrapping_add(c);
    598 v_lshl_or_b32 (a: u32, b: u32, c: u32) -> u32 = a << (b & 31) | c;
    599 v_and_or_b32 (a: u32, b: u32, c: u32) -> u32 = a & b | c;
    600 v_or3_b32 (a: u32, b: u32, c: u32) -> u32 = a | b | c;
    601 v_mad_u32_u16 (a: u16, b: u16, c: u32) -> u32 = (a as u32 * b as u32).wrapping_add(c);
    602 v_mad_i32_i16 (a: i16, b: i16, c: i32) -> i32 = (a as i32 * b as i32).wrapping_add(c);
    606 v_maxmin_f32 (a: f32, b: f32, c: f32; m) -> f32 = min_32(max_32(a, b, m), c, m);
    607 v_minmax_f32 (a: f32, b: f32, c: f32; m) -> f32 = max_32(min_32(a, b, m), c, m);
    610 v_maxmin_u32 (a: u32, b: u32, c: u32) -> u32 = a.max(b).min(c);
    611 v_minmax_u32 (a: u32, b: u32, c: u32) -> u32 = a.min(b).max(c);
    612 v_maxmin_i32 (a: i32, b: i32, c: i32) -> i32 = a.max(b).min(c);
    613 v_minmax_i32 (a: i32, b: i32, c: i32) -> i32 = a.min(b).max(c);
    771 v_add_nc_u16 (a: u16, b: u16) -> u16 = a.wrapping_add(b);
    772 v_sub_nc_u16 (a: u16, b: u16) -> u16 = a.wrapping_sub(b);
    773 v_mul_lo_u16 (a: u16, b: u16) -> u16 = a.wrapping_mul(b);
    774 v_cvt_pk_i16_f32 (a: f32, b: f32) -> PairU = PairU(a as i16 as u16, b as i16 as u16);
    775 v_cvt_pk_u16_f32 (a: f32, b: f32) -> PairU = PairU(a as u16, b as u16);
    777 v_max_u16 (a: u16, b: u16) -> u16 = a.max(b);
    778 v_max_i16 (a: i16, b: i16) -> i16 = a.max(b);
    779 v_min_u16 (a: u16, b: u16) -> u16 = a.min(b);
    780 v_min_i16 (a: i16, b: i16) -> i16 = a.min(b);
    781 v_add_nc_i16 (a: i16, b: i16) -> i16 = a.wrapping_add(b);
    782 v_sub_nc_i16 (a: i16, b: i16) -> i16 = a.wrapping_sub(b);
    785 v_pack_b32_f16 (a: F16, b: F16) -> Pair = Pair(a.0, b.0);
    796 v_ldexp_f32 (a: f32, b: i32) -> f32 = ldexp_32(a, b);
    797 v_bfm_b32 (a: u32, b: u32) -> u32 = ((1 << (a & 31)) - 1) << (b & 31);
    798 v_bcnt_u32_b32 (a: u32, b: u32) -> u32 = a.count_ones().wrapping_add(b);
    803 v_cvt_pk_u16_u32 (a: u32, b: u32) -> PairU = PairU(a.min(0xffff) as u16, b.min(0xffff) as u16);
    804 v_cvt_pk_i16_i32 (a: i32, b: i32) -> PairU = PairU(a.clamp(-0x8000, 0x7fff) as u16, b.clamp(-0x8000, 0x7fff) as u16);
    805 v_sub_nc_i32 (a: i32, b: i32) -> i32 = a.wrapping_sub(b);
    806 v_add_nc_i32 (a: i32, b: i32) -> i32 = a.wrapping_add(b);
    807 v_add_f64 (a: f64, b: f64) -> f64: Double = a + b;
    808 v_mul_f64 (a: f64, b: f64) -> f64: Double = a * b;
    809 v_min_f64 (a: f64, b: f64; m) -> f64: Double = min_64(a, b, m);
    810 v_max_f64 (a: f64, b: f64; m) -> f64: Double = max_64(a, b, m);
    811 v_ldexp_f64 (a: f64, b: i32) -> f64: Double = ldexp_64(a, b);
    812 v_mul_lo_u32 (a: u32, b: u32) -> u32: Double = a.wrapping_mul(b);
    813 v_mul_hi_u32 (a: u32, b: u32) -> u32: Double = (a as u64 * b as u64 >> 32) as u32;
    814 v_mul_hi_i32 (a: i32, b: i32) -> i32: Double = (a as i64 * b as i64 >> 32) as i32;
    824 v_lshlrev_b16 (a: u16, b: u16) -> u16 = b << (a & 15);
    825 v_lshrrev_b16 (a: u16, b: u16) -> u16 = b >> (a & 15);
    826 v_ashrrev_i16 (a: u16, b: i16) -> i16 = b >> (a & 15);
    828 v_lshlrev_b64 (a: u32, b: u64) -> u64: Double = b << (a & 63);
    829 v_lshrrev_b64 (a: u32, b: u64) -> u64: Double = b >> (a & 63);
    830 v_ashrrev_i64 (a: u32, b: i64) -> i64: Double = b >> (a & 63);
    866 v_and_b16 (a: u16, b: u16) -> u16 = a & b;
    867 v_or_b16 (a: u16, b: u16) -> u16 = a | b;
    868 v_xor_b16 (a: u16, b: u16) -> u16 = a ^ b;
};

pub(super) static WHOLE: &[Op] = valu! { whole Vop3:
    531 v_fma_f32 (a: f32, b: f32, c: f32) -> f32 = float::fma_32;
};

/// Byte `n`.
#[inline(always)]
fn byte(x: u32, n: u32) -> u32 {
    x >> (8 * n) & 0xff
}

/// A word of four bytes.
#[inline(always)]
fn bytes(f: impl Fn(u32) -> u32) -> u32 {
    (0..4).fold(0, |word, n| word | f(n) << (8 * n))
}

/// A byte of eight, or a constant: 8 to 11 the sign of byte 1, 3, 5, 7 in every bit, 12 zero, above ones.
#[inline(always)]
fn permuted(data: u64, selector: u32) -> u32 {
    match selector {
        0..8 => (data >> (8 * selector)) as u32 & 0xff,
        8..12 => (data >> (16 * (selector - 8) + 15) & 1) as u32 * 0xff,
        12 => 0,
        _ => 0xff,
    }
}

/// `width` bits from bit `offset` on, the highest being the sign.
#[inline(always)]
fn signed_field(a: i32, offset: u32, width: u32) -> i32 {
    match width {
        0 => 0,
        _ => a >> offset << (32 - width) >> (32 - width),
    }
}

const fn op(code: u16, name: &'static str, dst: Kind, src: &[Kind], flags: u16, exec: Exec) -> Op {
    Op { flags, exec, ..Op::new(Encoding::Vop3, code, name, dst, src, Class::Vector) }
}

const fn with_mask(code: u16, name: &'static str, dst: Kind, src: &[Kind], class: Class, exec: Exec) -> Op {
    Op { dst2: Kind::Mask, exec, ..Op::new(Encoding::Vop3, code, name, dst, src, class) }
}

use Kind::{B16, B32, B64, I64, Mask};

/// Those that a line of the table above does not hold: with masks, across lanes.
pub(super) static OTHERS: &[Op] = &[
    op(
        567,
        "v_div_fmas_f32",
        B32,
        &[B32, B32, B32],
        flag::READS_VCC | flag::SIGNS | flag::CLAMPS,
        both!(|w, i| div_fmas(w, i)),
    ),
    op(
        603,
        "v_permlane16_b32",
        B32,
        &[B32, B32, B32],
        flag::CROSSES_LANES,
        Exec::Checked(|w, i| permute(w, i, 0)),
    ),
    op(
        604,
        "v_permlanex16_b32",
        B32,
        &[B32, B32, B32],
        flag::CROSSES_LANES,
        Exec::Checked(|w, i| permute(w, i, 16)),
    ),
    op(605, "v_cndmask_b16", B16, &[B16, B16, Mask], flag::MOVES, both!(|w, i| select_16(w, i))),
    Op {
        flags: flag::SIGNS,
        ..with_mask(
            764,
            "v_div_scale_f32",
            B32,
            &[B32, B32, B32],
            Class::Vector,
            both!(|w, i| div_scale(w, i)),
        )
    },
    Op {
        flags: flag::MOVES,
        ..with_mask(766, "v_mad_u64_u32", B64, &[B32, B32, B64], Class::Double, both!(|w, i| mad_u64(w, i)))
    },
    Op {
        flags: flag::MOVES,
        ..with_mask(767, "v_mad_i64_i32", I64, &[B32, B32, I64], Class::Double, both!(|w, i| mad_i64(w, i)))
    },
    with_mask(
        768,
        "v_add_co_u32",
        B32,
        &[B32, B32],
        Class::Vector,
        both!(|w, i| carry_out(w, i, u32::overflowing_add)),
    ),
    with_mask(
        769,
        "v_sub_co_u32",
        B32,
        &[B32, B32],
        Class::Vector,
        both!(|w, i| carry_out(w, i, u32::overflowing_sub)),
    ),
    with_mask(
        770,
        "v_subrev_co_u32",
        B32,
        &[B32, B32],
        Class::Vector,
        both!(|w, i| carry_out(w, i, |a, b| b.overflowing_sub(a))),
    ),
    op(799, "v_mbcnt_lo_u32_b32", B32, &[B32, B32], 0, both!(|w, i| count_below(w, i))),
    // Of the lanes above 31, of which a wave of 32 has none.
    op(
        800,
        "v_mbcnt_hi_u32_b32",
        B32,
        &[B32, B32],
        0,
        Exec::Compute(|w, i| {
            let b = u32::get(w, i, 1);
            u32::put(w, i, b);
        }),
    ),
    op(864, "v_readlane_b32", Mask, &[B32, B32], flag::CROSSES_LANES, Exec::Checked(read_any_lane)),
    op(865, "v_writelane_b32", B32, &[B32, B32], flag::MOVES, Exec::Compute(write_lane)),
];

#[inline(always)]
fn carry_out(wave: &mut Wave, inst: &Inst, f: impl Fn(u32, u32) -> (u32, bool)) {
    let (a, b) = (u32::get(wave, inst, 0), u32::get(wave, inst, 1));
    let (mut sums, mut out) = ([0; LANES], [false; LANES]);
    for l in 0..LANES {
        (sums[l], out[l]) = f(a[l], b[l]);
    }
    u32::put(wave, inst, sums);
    put_mask(wave, inst, gather(&out));
}

/// Compilers read a high half of the sum that nothing has written, where they use the low half only.
#[inline(always)]
fn note_mad(wave: &mut Wave, inst: &Inst, before: [u32; 4]) {
    let [a, b, low, high] = before;
    wave.set_defined(inst, 0, a & b & low);
    wave.set_defined(inst, 1, a & b & low & high);
}

/// What of the operands of such a sum was written.
#[inline(always)]
fn mad_defined(wave: &Wave, inst: &Inst) -> [u32; 4] {
    let of = |n, offset| wave.defined(inst, n, offset);
    [of(0, 0), of(1, 0), of(2, 0), of(2, 1)]
}

#[inline(always)]
fn mad_u64(wave: &mut Wave, inst: &Inst) {
    let defined = mad_defined(wave, inst);
    let (a, b, c) = (u32::get(wave, inst, 0), u32::get(wave, inst, 1), u64::get(wave, inst, 2));
    let (mut sums, mut out) = ([0; LANES], [false; LANES]);
    for l in 0..LANES {
        sums[l] = (a[l] as u64 * b[l] as u64).wrapping_add(c[l]);
        out[l] = sums[l] < c[l];
    }
    u64::put(wave, inst, sums);
    put_mask(wave, inst, gather(&out));
    note_mad(wave, inst, defined);
}

#[inline(always)]
fn mad_i64(wave: &mut Wave, inst: &Inst) {
    let defined = mad_defined(wave, inst);
    let (a, b, c) = (i32::get(wave, inst, 0), i32::get(wave, inst, 1), i64::get(wave, inst, 2));
    let sums: [i128; LANES] = make(|l| a[l] as i128 * b[l] as i128 + c[l] as i128);
    i64::put(wave, inst, each(&sums, |x| x as i64));
    // Bit 64 of the exact sum.
    put_mask(wave, inst, gather(&each(&sums, |x| x >> 64 & 1 != 0)));
    note_mad(wave, inst, defined);
}

#[inline(always)]
fn div_scale(wave: &mut Wave, inst: &Inst) {
    let (a, b, c) = (f32::get(wave, inst, 0), f32::get(wave, inst, 1), f32::get(wave, inst, 2));
    let scaled: [(f32, bool); LANES] = make(|l| float::div_scale_32(a[l], b[l], c[l]));
    f32::put(wave, inst, each(&scaled, |x| x.0));
    put_mask(wave, inst, gather(&each(&scaled, |x| x.1)));
}

#[inline(always)]
fn div_fmas(wave: &mut Wave, inst: &Inst) {
    let (a, b, c) = (f32::get(wave, inst, 0), f32::get(wave, inst, 1), f32::get(wave, inst, 2));
    let vcc = wave.s[sgpr::VCC as usize];
    let wide = |l: usize| float::div_fmas_32(a[l], b[l], c[l]);
    let plain = float::fma_32(&a, &b, &c);
    f32::put(wave, inst, make(|l| if vcc >> l & 1 != 0 { wide(l) } else { plain[l] }));
}

#[inline(always)]
fn count_below(wave: &mut Wave, inst: &Inst) {
    let (a, b) = (u32::get(wave, inst, 0), u32::get(wave, inst, 1));
    u32::put(wave, inst, make(|l| (a[l] & ((1 << l) - 1)).count_ones().wrapping_add(b[l])));
}

#[inline(always)]
fn select_16(wave: &mut Wave, inst: &Inst) {
    let mask = mask_in(wave, inst);
    let (a, b) = (u16::get(wave, inst, 0), u16::get(wave, inst, 1));
    let defined = wave.defined(inst, 0, 0) & !mask | wave.defined(inst, 1, 0) & mask;
    u16::put(wave, inst, make(|l| if mask & 1 << l != 0 { b[l] } else { a[l] }));
    let before = wave.v_defined[inst.dst.number as usize];
    wave.set_defined(inst, 0, defined | before);
}

/// `v_permlane16_b32` and, with `other` = 16, from the other row.
fn permute(wave: &mut Wave, inst: &Inst, other: usize) -> Result<(), Fault> {
    let from = raw(wave, inst, 0, 0);
    let selectors =
        (super::scalar::value(wave, inst, 1) as u64) | (super::scalar::value(wave, inst, 2) as u64) << 32;
    let number = inst.src[0].number;
    let (exec, defined) = (wave.exec(), wave.defined(inst, 0, 0));
    let mut result = from;
    for lane in (0..LANES).filter(|l| exec >> l & 1 != 0) {
        let source = (lane & 16 ^ other) + (selectors >> (4 * (lane & 15)) & 15) as usize;
        let register = Register::Vector(number);
        // Bit 0 of op_sel lets lanes be read that are not active.
        if exec >> source & 1 == 0 && inst.mods.op_sel & 1 == 0 {
            return Err(Fault::InactiveLane { lane: lane as u8, from: source as u8, register });
        }
        if defined >> source & 1 == 0 {
            return Err(Fault::Undefined { register, lanes: 1 << source });
        }
        result[lane] = from[source];
    }
    u32::put(wave, inst, result);
    Ok(())
}

fn read_any_lane(wave: &mut Wave, inst: &Inst) -> Result<(), Fault> {
    let lane = super::scalar::value(wave, inst, 1) % LANES as u32;
    read_lane(wave, inst, lane)
}

/// One lane, active or not.
fn write_lane(wave: &mut Wave, inst: &Inst) {
    let (value, lane) =
        (super::scalar::value(wave, inst, 0), super::scalar::value(wave, inst, 1) as usize % LANES);
    let to = inst.dst.number as usize;
    wave.v[to][lane] = value;
    wave.v_defined[to] |= 1 << lane;
}
