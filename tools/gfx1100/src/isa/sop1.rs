//! SOP1: scalar instructions of one operand.

use super::scalar::{Scalar, salu, set, value};
use super::{Class, Encoding, Exec, Inst, Kind, Op, flag};
use crate::wave::{Wave, sgpr};

pub(super) static OPS: &[Op] = salu! { Sop1:
    0 s_mov_b32 (a: u32) -> u32 [MOVES] = a;
    1 s_mov_b64 (a: u64) -> u64 [MOVES] = a;
    2 s_cmov_b32 (a: u32; scc c; old d) -> u32 = if c { a } else { d };
    3 s_cmov_b64 (a: u64; scc c; old d) -> u64 = if c { a } else { d };
    4 s_brev_b32 (a: u32) -> u32 = a.reverse_bits();
    5 s_brev_b64 (a: u64) -> u64 = a.reverse_bits();
    8 s_ctz_i32_b32 (a: u32) -> i32 = if a == 0 { -1 } else { a.trailing_zeros() as i32 };
    9 s_ctz_i32_b64 (a: u64) -> i32 = if a == 0 { -1 } else { a.trailing_zeros() as i32 };
    10 s_clz_i32_u32 (a: u32) -> i32 = if a == 0 { -1 } else { a.leading_zeros() as i32 };
    11 s_clz_i32_u64 (a: u64) -> i32 = if a == 0 { -1 } else { a.leading_zeros() as i32 };
    12 s_cls_i32 (a: i32) -> i32 = match a ^ a >> 31 { 0 => -1, x => x.leading_zeros() as i32 };
    13 s_cls_i32_i64 (a: i64) -> i32 = match a ^ a >> 63 { 0 => -1, x => x.leading_zeros() as i32 };
    14 s_sext_i32_i8 (a: u32) -> i32 = a as i8 as i32;
    15 s_sext_i32_i16 (a: u32) -> i32 = a as i16 as i32;
    16 s_bitset0_b32 (a: u32; old d) -> u32 = d & !(1 << (a & 31));
    17 s_bitset0_b64 (a: u32; old d) -> u64 = d & !(1 << (a & 63));
    18 s_bitset1_b32 (a: u32; old d) -> u32 = d | 1 << (a & 31);
    19 s_bitset1_b64 (a: u32; old d) -> u64 = d | 1 << (a & 63);
    20 s_bitreplicate_b64_b32 (a: u32) -> u64 = (0..32).map(|n| (a as u64 >> n & 1) * 3 << (2 * n)).sum();
    21 s_abs_i32 (a: i32) -> i32, nonzero = a.wrapping_abs();
    22 s_bcnt0_i32_b32 (a: u32) -> u32, nonzero = a.count_zeros();
    23 s_bcnt0_i32_b64 (a: u64) -> u32, nonzero = a.count_zeros();
    24 s_bcnt1_i32_b32 (a: u32) -> u32, nonzero = a.count_ones();
    25 s_bcnt1_i32_b64 (a: u64) -> u32, nonzero = a.count_ones();
    28 s_wqm_b32 (a: u32) -> u32, nonzero = (0..8).filter(|n| a >> (4 * n) & 15 != 0).map(|n| 15 << (4 * n)).sum();
    30 s_not_b32 (a: u32) -> u32, nonzero = !a;
    31 s_not_b64 (a: u64) -> u64, nonzero = !a;
};

/// `name (operand, EXEC) = what EXEC becomes;` the destination gets what it was (`save`) or is (`write`).
macro_rules! exec {
    ($($code:literal $name:ident $rule:ident ($a:ident, $e:ident) = $value:expr;)*) => {
        &[$(Op {
            code: $code,
            name: stringify!($name),
            encoding: Encoding::Sop1,
            dst: Kind::B32,
            dst2: Kind::None,
            src: super::kinds(&[Kind::B32]),
            class: Class::Scalar,
            flags: flag::WRITES_SCC | flag::WRITES_EXEC,
            exec: Exec::Compute(|w, i| {
                let ($a, $e) = (value(w, i, 0), w.exec());
                $rule(w, i, $e, $value);
            }),
        }),*]
    };
}

pub(super) static EXEC_OPS: &[Op] = exec! {
    32 s_and_saveexec_b32 save (a, e) = a & e;
    34 s_or_saveexec_b32 save (a, e) = a | e;
    36 s_xor_saveexec_b32 save (a, e) = a ^ e;
    38 s_nand_saveexec_b32 save (a, e) = !(a & e);
    40 s_nor_saveexec_b32 save (a, e) = !(a | e);
    42 s_xnor_saveexec_b32 save (a, e) = !(a ^ e);
    44 s_and_not0_saveexec_b32 save (a, e) = !a & e;
    46 s_or_not0_saveexec_b32 save (a, e) = !a | e;
    48 s_and_not1_saveexec_b32 save (a, e) = a & !e;
    50 s_or_not1_saveexec_b32 save (a, e) = a | !e;
    52 s_and_not0_wrexec_b32 write (a, e) = !a & e;
    54 s_and_not1_wrexec_b32 write (a, e) = a & !e;
};

fn save(wave: &mut Wave, inst: &Inst, before: u32, now: u32) {
    set(wave, inst, before);
    wave.s[sgpr::EXEC as usize] = now;
    wave.scc = now != 0;
}

fn write(wave: &mut Wave, inst: &Inst, _before: u32, now: u32) {
    save(wave, inst, now, now);
}

/// Those that know or change where the program is.
pub(super) static JUMPS: &[Op] = &[
    Op { exec: Exec::Address, ..Op::new(Encoding::Sop1, 71, "s_getpc_b64", Kind::B64, &[], Class::Scalar) },
    Op {
        exec: Exec::Jump,
        ..Op::new(Encoding::Sop1, 72, "s_setpc_b64", Kind::None, &[Kind::B64], Class::Branch)
    },
    Op {
        exec: Exec::Jump,
        ..Op::new(Encoding::Sop1, 73, "s_swappc_b64", Kind::B64, &[Kind::B64], Class::Branch)
    },
];
