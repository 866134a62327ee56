//! SOPC: scalar comparisons.

use super::scalar::Scalar;
use super::{Class, Encoding, Exec, Kind, Op, flag};

/// `code name (operands) = condition;`
macro_rules! compare {
    ($($code:literal $name:ident ($a:ident: $t:ty, $b:ident: $u:ty) = $e:expr;)*) => {
        &[$(Op {
            code: $code,
            name: stringify!($name),
            encoding: Encoding::Sopc,
            dst: Kind::None,
            dst2: Kind::None,
            src: super::kinds(&[<$t as Scalar>::KIND, <$u as Scalar>::KIND]),
            class: Class::Scalar,
            flags: flag::WRITES_SCC,
            exec: Exec::Compute(|w, i| {
                let $a = <$t as Scalar>::get(w, &i.src[0]);
                let $b = <$u as Scalar>::get(w, &i.src[1]);
                w.scc = $e;
            }),
        }),*]
    };
}

pub(super) static OPS: &[Op] = compare! {
    0 s_cmp_eq_i32 (a: i32, b: i32) = a == b;
    1 s_cmp_lg_i32 (a: i32, b: i32) = a != b;
    2 s_cmp_gt_i32 (a: i32, b: i32) = a > b;
    3 s_cmp_ge_i32 (a: i32, b: i32) = a >= b;
    4 s_cmp_lt_i32 (a: i32, b: i32) = a < b;
    5 s_cmp_le_i32 (a: i32, b: i32) = a <= b;
    6 s_cmp_eq_u32 (a: u32, b: u32) = a == b;
    7 s_cmp_lg_u32 (a: u32, b: u32) = a != b;
    8 s_cmp_gt_u32 (a: u32, b: u32) = a > b;
    9 s_cmp_ge_u32 (a: u32, b: u32) = a >= b;
    10 s_cmp_lt_u32 (a: u32, b: u32) = a < b;
    11 s_cmp_le_u32 (a: u32, b: u32) = a <= b;
    12 s_bitcmp0_b32 (a: u32, b: u32) = a >> (b & 31) & 1 == 0;
    13 s_bitcmp1_b32 (a: u32, b: u32) = a >> (b & 31) & 1 == 1;
    14 s_bitcmp0_b64 (a: u64, b: u32) = a >> (b & 63) & 1 == 0;
    15 s_bitcmp1_b64 (a: u64, b: u32) = a >> (b & 63) & 1 == 1;
    16 s_cmp_eq_u64 (a: u64, b: u64) = a == b;
    17 s_cmp_lg_u64 (a: u64, b: u64) = a != b;
};
