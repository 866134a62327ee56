//! SOP2: scalar instructions of two operands.

use super::scalar::{Scalar, salu};
use super::{Class, Encoding, Exec, Kind, Op, flag};

pub(super) static OPS: &[Op] = salu! { Sop2:
    0 s_add_u32 (a: u32, b: u32) -> u32, scc = a.overflowing_add(b);
    1 s_sub_u32 (a: u32, b: u32) -> u32, scc = a.overflowing_sub(b);
    2 s_add_i32 (a: i32, b: i32) -> i32, scc = a.overflowing_add(b);
    3 s_sub_i32 (a: i32, b: i32) -> i32, scc = a.overflowing_sub(b);
    4 s_addc_u32 (a: u32, b: u32; scc c) -> u32, scc = carried(a as u64 + b as u64 + c as u64);
    5 s_subb_u32 (a: u32, b: u32; scc c) -> u32, scc = carried((a as u64).wrapping_sub(b as u64 + c as u64));
    6 s_absdiff_i32 (a: i32, b: i32) -> i32, nonzero = { let d = a.wrapping_sub(b); if d < 0 { d.wrapping_neg() } else { d } };
    8 s_lshl_b32 (a: u32, b: u32) -> u32, nonzero = a << (b & 31);
    9 s_lshl_b64 (a: u64, b: u32) -> u64, nonzero = a << (b & 63);
    10 s_lshr_b32 (a: u32, b: u32) -> u32, nonzero = a >> (b & 31);
    11 s_lshr_b64 (a: u64, b: u32) -> u64, nonzero = a >> (b & 63);
    12 s_ashr_i32 (a: i32, b: u32) -> i32, nonzero = a >> (b & 31);
    13 s_ashr_i64 (a: i64, b: u32) -> i64, nonzero = a >> (b & 63);
    14 s_lshl1_add_u32 (a: u32, b: u32) -> u32, scc = shifted(a, 1, b);
    15 s_lshl2_add_u32 (a: u32, b: u32) -> u32, scc = shifted(a, 2, b);
    16 s_lshl3_add_u32 (a: u32, b: u32) -> u32, scc = shifted(a, 3, b);
    17 s_lshl4_add_u32 (a: u32, b: u32) -> u32, scc = shifted(a, 4, b);
    18 s_min_i32 (a: i32, b: i32) -> i32, scc = (a.min(b), a < b);
    19 s_min_u32 (a: u32, b: u32) -> u32, scc = (a.min(b), a < b);
    20 s_max_i32 (a: i32, b: i32) -> i32, scc = (a.max(b), a >= b);
    21 s_max_u32 (a: u32, b: u32) -> u32, scc = (a.max(b), a >= b);
    22 s_and_b32 (a: u32, b: u32) -> u32, nonzero = a & b;
    23 s_and_b64 (a: u64, b: u64) -> u64, nonzero = a & b;
    24 s_or_b32 (a: u32, b: u32) -> u32, nonzero = a | b;
    25 s_or_b64 (a: u64, b: u64) -> u64, nonzero = a | b;
    26 s_xor_b32 (a: u32, b: u32) -> u32, nonzero = a ^ b;
    27 s_xor_b64 (a: u64, b: u64) -> u64, nonzero = a ^ b;
    28 s_nand_b32 (a: u32, b: u32) -> u32, nonzero = !(a & b);
    29 s_nand_b64 (a: u64, b: u64) -> u64, nonzero = !(a & b);
    30 s_nor_b32 (a: u32, b: u32) -> u32, nonzero = !(a | b);
    31 s_nor_b64 (a: u64, b: u64) -> u64, nonzero = !(a | b);
    32 s_xnor_b32 (a: u32, b: u32) -> u32, nonzero = !(a ^ b);
    33 s_xnor_b64 (a: u64, b: u64) -> u64, nonzero = !(a ^ b);
    34 s_and_not1_b32 (a: u32, b: u32) -> u32, nonzero = a & !b;
    35 s_and_not1_b64 (a: u64, b: u64) -> u64, nonzero = a & !b;
    36 s_or_not1_b32 (a: u32, b: u32) -> u32, nonzero = a | !b;
    37 s_or_not1_b64 (a: u64, b: u64) -> u64, nonzero = a | !b;
    38 s_bfe_u32 (a: u32, b: u32) -> u32, nonzero = field(a as u64, b & 31, width(b)) as u32;
    39 s_bfe_i32 (a: i32, b: u32) -> i32, nonzero = signed_field(a as i64, b & 31, width(b).min(32)) as i32;
    40 s_bfe_u64 (a: u64, b: u32) -> u64, nonzero = field(a, b & 63, width(b));
    41 s_bfe_i64 (a: i64, b: u32) -> i64, nonzero = signed_field(a, b & 63, width(b));
    42 s_bfm_b32 (a: u32, b: u32) -> u32 = ((1 << (a & 31)) - 1) << (b & 31);
    43 s_bfm_b64 (a: u32, b: u32) -> u64 = ((1 << (a & 63)) - 1) << (b & 63);
    44 s_mul_i32 (a: i32, b: i32) -> i32 = a.wrapping_mul(b);
    45 s_mul_hi_u32 (a: u32, b: u32) -> u32 = (a as u64 * b as u64 >> 32) as u32;
    46 s_mul_hi_i32 (a: i32, b: i32) -> i32 = (a as i64 * b as i64 >> 32) as i32;
    48 s_cselect_b32 (a: u32, b: u32; scc c) -> u32 = if c { a } else { b };
    49 s_cselect_b64 (a: u64, b: u64; scc c) -> u64 = if c { a } else { b };
    50 s_pack_ll_b32_b16 (a: u32, b: u32) -> u32 = a & 0xffff | b << 16;
    51 s_pack_lh_b32_b16 (a: u32, b: u32) -> u32 = a & 0xffff | b & 0xffff_0000;
    52 s_pack_hh_b32_b16 (a: u32, b: u32) -> u32 = a >> 16 | b & 0xffff_0000;
    53 s_pack_hl_b32_b16 (a: u32, b: u32) -> u32 = a >> 16 | b << 16;
};

/// The low half, and whether there is more.
fn carried(sum: u64) -> (u32, bool) {
    (sum as u32, sum >> 32 != 0)
}

/// `(a << by) + b`, and whether it fits no 32 bits.
fn shifted(a: u32, by: u32, b: u32) -> (u32, bool) {
    carried(((a as u64) << by) + b as u64)
}

/// The width in a bit-field operand.
fn width(b: u32) -> u32 {
    b >> 16 & 0x7f
}

/// `width` bits of `a` from bit `offset` on.
fn field(a: u64, offset: u32, width: u32) -> u64 {
    let mask = if width >= 64 { !0 } else { (1 << width) - 1 };
    a >> offset & mask
}

/// The same, the highest of them being the sign.
fn signed_field(a: i64, offset: u32, width: u32) -> i64 {
    match width {
        0 => 0,
        1..64 => a >> offset << (64 - width) >> (64 - width),
        _ => a >> offset,
    }
}
