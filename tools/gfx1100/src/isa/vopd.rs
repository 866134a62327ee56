//! VOPD: two vector instructions in one. Both read before either writes.

use super::{Encoding, Op};

/// What a half of a dual instruction does: its number there, its name, and the instruction that it is.
pub(super) struct Half {
    /// Its number.
    pub code: u8,
    /// The name, after `v_dual_`.
    pub name: &'static str,
    /// Of which table.
    pub encoding: Encoding,
    /// That instruction's number.
    pub of: u16,
}

const fn half(code: u8, name: &'static str, encoding: Encoding, of: u16) -> Half {
    Half { code, name, encoding, of }
}

/// Numbers from 16 on are for the second half only.
pub(super) static HALVES: &[Half] = &[
    half(0, "fmac_f32", Encoding::Vop2, 43),
    half(1, "fmaak_f32", Encoding::Vop2, 45),
    half(2, "fmamk_f32", Encoding::Vop2, 44),
    half(3, "mul_f32", Encoding::Vop2, 8),
    half(4, "add_f32", Encoding::Vop2, 3),
    half(5, "sub_f32", Encoding::Vop2, 4),
    half(6, "subrev_f32", Encoding::Vop2, 5),
    half(7, "mul_dx9_zero_f32", Encoding::Vop2, 7),
    half(8, "mov_b32", Encoding::Vop1, 1),
    half(9, "cndmask_b32", Encoding::Vop2, 1),
    half(10, "max_f32", Encoding::Vop2, 16),
    half(11, "min_f32", Encoding::Vop2, 15),
    half(12, "dot2acc_f32_f16", Encoding::Vop2, 2),
    half(16, "add_nc_u32", Encoding::Vop2, 37),
    half(17, "lshlrev_b32", Encoding::Vop2, 24),
    half(18, "and_b32", Encoding::Vop2, 27),
];

/// The name of a half of a dual instruction.
pub(super) fn name(op: &Op) -> &'static str {
    let same = |h: &&Half| h.encoding == op.encoding && h.of == op.code;
    HALVES.iter().find(same).map_or("", |h| h.name)
}
