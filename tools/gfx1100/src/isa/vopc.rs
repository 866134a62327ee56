//! VOPC: vector comparisons. They give a bit a lane, 0 for lanes that are not active; `v_cmpx` puts it
//! into EXEC.

#![allow(
    clippy::double_comparisons,
    clippy::neg_cmp_op_on_partial_ord,
    reason = "with a NaN these are not what shorter forms would be"
)]

use super::float::{class_16, class_32, class_64};
use super::lanes::{Elem, F16, Half, both};
use super::{Class, Encoding, Inst, Kind, Op, flag};
use crate::wave::{LANES, Wave, sgpr};

/// Compares every lane.
#[inline(always)]
fn compare<A: Elem, B: Elem>(wave: &Wave, inst: &Inst, f: impl Fn(A, B) -> bool) -> u32 {
    let (a, b) = (A::get(wave, inst, 0), B::get(wave, inst, 1));
    let mut mask = 0;
    for l in 0..LANES {
        mask |= if f(a[l], b[l]) { 1 << l } else { 0 };
    }
    mask & wave.exec()
}

#[inline(always)]
fn to_scalar(wave: &mut Wave, inst: &Inst, mask: u32) {
    if inst.dst.number != sgpr::NULL {
        wave.s[inst.dst.number as usize] = mask;
    }
}

/// `code name (operands) = condition;` twice, as `v_cmp_name` and, 128 on, as `v_cmpx_name`.
macro_rules! compares {
    ($table:ident, $table_x:ident: $($code:literal $name:literal ($a:ident: $t:ty, $b:ident: $u:ty) = $e:expr;)*) => {
        pub(super) static $table: &[Op] = &[$(Op {
            flags: if <$t as Elem>::FLOAT { flag::SIGNS } else { 0 },
            exec: both!(|w, i| {
                let mask = compare(w, i, |$a: $t, $b: $u| $e);
                to_scalar(w, i, mask);
            }),
            ..Op::new(Encoding::Vopc, $code, concat!("v_cmp_", $name), Kind::Mask, &[<$t as Elem>::KIND, <$u as Elem>::KIND], Class::Vector)
        }),*];
        pub(super) static $table_x: &[Op] = &[$(Op {
            flags: flag::WRITES_EXEC | if <$t as Elem>::FLOAT { flag::SIGNS } else { 0 },
            exec: both!(|w, i| {
                w.s[sgpr::EXEC as usize] = compare(w, i, |$a: $t, $b: $u| $e);
            }),
            ..Op::new(Encoding::Vopc, $code + 128, concat!("v_cmpx_", $name), Kind::None, &[<$t as Elem>::KIND, <$u as Elem>::KIND], Class::Vector)
        }),*];
    };
}

compares! { HALF, HALF_X:
    0 "f_f16" (_a: F16, _b: F16) = false;
    1 "lt_f16" (a: F16, b: F16) = a.0 < b.0;
    2 "eq_f16" (a: F16, b: F16) = a.0 == b.0;
    3 "le_f16" (a: F16, b: F16) = a.0 <= b.0;
    4 "gt_f16" (a: F16, b: F16) = a.0 > b.0;
    5 "lg_f16" (a: F16, b: F16) = a.0 < b.0 || a.0 > b.0;
    6 "ge_f16" (a: F16, b: F16) = a.0 >= b.0;
    7 "o_f16" (a: F16, b: F16) = !a.0.is_nan() && !b.0.is_nan();
    8 "u_f16" (a: F16, b: F16) = a.0.is_nan() || b.0.is_nan();
    9 "nge_f16" (a: F16, b: F16) = !(a.0 >= b.0);
    10 "nlg_f16" (a: F16, b: F16) = !(a.0 < b.0 || a.0 > b.0);
    11 "ngt_f16" (a: F16, b: F16) = !(a.0 > b.0);
    12 "nle_f16" (a: F16, b: F16) = !(a.0 <= b.0);
    13 "neq_f16" (a: F16, b: F16) = a.0 != b.0;
    14 "nlt_f16" (a: F16, b: F16) = !(a.0 < b.0);
    15 "t_f16" (_a: F16, _b: F16) = true;
}

compares! { F32, F32_X:
    16 "f_f32" (_a: f32, _b: f32) = false;
    17 "lt_f32" (a: f32, b: f32) = a < b;
    18 "eq_f32" (a: f32, b: f32) = a == b;
    19 "le_f32" (a: f32, b: f32) = a <= b;
    20 "gt_f32" (a: f32, b: f32) = a > b;
    21 "lg_f32" (a: f32, b: f32) = a < b || a > b;
    22 "ge_f32" (a: f32, b: f32) = a >= b;
    23 "o_f32" (a: f32, b: f32) = !a.is_nan() && !b.is_nan();
    24 "u_f32" (a: f32, b: f32) = a.is_nan() || b.is_nan();
    25 "nge_f32" (a: f32, b: f32) = !(a >= b);
    26 "nlg_f32" (a: f32, b: f32) = !(a < b || a > b);
    27 "ngt_f32" (a: f32, b: f32) = !(a > b);
    28 "nle_f32" (a: f32, b: f32) = !(a <= b);
    29 "neq_f32" (a: f32, b: f32) = a != b;
    30 "nlt_f32" (a: f32, b: f32) = !(a < b);
    31 "t_f32" (_a: f32, _b: f32) = true;
}

compares! { F64, F64_X:
    32 "f_f64" (_a: f64, _b: f64) = false;
    33 "lt_f64" (a: f64, b: f64) = a < b;
    34 "eq_f64" (a: f64, b: f64) = a == b;
    35 "le_f64" (a: f64, b: f64) = a <= b;
    36 "gt_f64" (a: f64, b: f64) = a > b;
    37 "lg_f64" (a: f64, b: f64) = a < b || a > b;
    38 "ge_f64" (a: f64, b: f64) = a >= b;
    39 "o_f64" (a: f64, b: f64) = !a.is_nan() && !b.is_nan();
    40 "u_f64" (a: f64, b: f64) = a.is_nan() || b.is_nan();
    41 "nge_f64" (a: f64, b: f64) = !(a >= b);
    42 "nlg_f64" (a: f64, b: f64) = !(a < b || a > b);
    43 "ngt_f64" (a: f64, b: f64) = !(a > b);
    44 "nle_f64" (a: f64, b: f64) = !(a <= b);
    45 "neq_f64" (a: f64, b: f64) = a != b;
    46 "nlt_f64" (a: f64, b: f64) = !(a < b);
    47 "t_f64" (_a: f64, _b: f64) = true;
}

compares! { I16, I16_X:
    49 "lt_i16" (a: i16, b: i16) = a < b;
    50 "eq_i16" (a: i16, b: i16) = a == b;
    51 "le_i16" (a: i16, b: i16) = a <= b;
    52 "gt_i16" (a: i16, b: i16) = a > b;
    53 "ne_i16" (a: i16, b: i16) = a != b;
    54 "ge_i16" (a: i16, b: i16) = a >= b;
}

compares! { U16, U16_X:
    57 "lt_u16" (a: u16, b: u16) = a < b;
    58 "eq_u16" (a: u16, b: u16) = a == b;
    59 "le_u16" (a: u16, b: u16) = a <= b;
    60 "gt_u16" (a: u16, b: u16) = a > b;
    61 "ne_u16" (a: u16, b: u16) = a != b;
    62 "ge_u16" (a: u16, b: u16) = a >= b;
}

compares! { I32, I32_X:
    64 "f_i32" (_a: i32, _b: i32) = false;
    65 "lt_i32" (a: i32, b: i32) = a < b;
    66 "eq_i32" (a: i32, b: i32) = a == b;
    67 "le_i32" (a: i32, b: i32) = a <= b;
    68 "gt_i32" (a: i32, b: i32) = a > b;
    69 "ne_i32" (a: i32, b: i32) = a != b;
    70 "ge_i32" (a: i32, b: i32) = a >= b;
    71 "t_i32" (_a: i32, _b: i32) = true;
}

compares! { U32, U32_X:
    72 "f_u32" (_a: u32, _b: u32) = false;
    73 "lt_u32" (a: u32, b: u32) = a < b;
    74 "eq_u32" (a: u32, b: u32) = a == b;
    75 "le_u32" (a: u32, b: u32) = a <= b;
    76 "gt_u32" (a: u32, b: u32) = a > b;
    77 "ne_u32" (a: u32, b: u32) = a != b;
    78 "ge_u32" (a: u32, b: u32) = a >= b;
    79 "t_u32" (_a: u32, _b: u32) = true;
}

compares! { I64, I64_X:
    80 "f_i64" (_a: i64, _b: i64) = false;
    81 "lt_i64" (a: i64, b: i64) = a < b;
    82 "eq_i64" (a: i64, b: i64) = a == b;
    83 "le_i64" (a: i64, b: i64) = a <= b;
    84 "gt_i64" (a: i64, b: i64) = a > b;
    85 "ne_i64" (a: i64, b: i64) = a != b;
    86 "ge_i64" (a: i64, b: i64) = a >= b;
    87 "t_i64" (_a: i64, _b: i64) = true;
}

compares! { U64, U64_X:
    88 "f_u64" (_a: u64, _b: u64) = false;
    89 "lt_u64" (a: u64, b: u64) = a < b;
    90 "eq_u64" (a: u64, b: u64) = a == b;
    91 "le_u64" (a: u64, b: u64) = a <= b;
    92 "gt_u64" (a: u64, b: u64) = a > b;
    93 "ne_u64" (a: u64, b: u64) = a != b;
    94 "ge_u64" (a: u64, b: u64) = a >= b;
    95 "t_u64" (_a: u64, _b: u64) = true;
}

compares! { CLASS, CLASS_X:
    125 "class_f16" (a: Half, b: u16) = class_16(a.0, b as u32);
    126 "class_f32" (a: f32, b: u32) = class_32(a, b);
    127 "class_f64" (a: f64, b: u32) = class_64(a, b);
}
