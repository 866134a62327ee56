//! SOPK: scalar instructions with a constant of 16 bits, sign-extended where it is a number.

use super::scalar::{Scalar, salu};
use super::{Class, Counter, Encoding, Exec, Kind, Op, flag};

pub(super) static OPS: &[Op] = salu! { Sopk:
    0 s_movk_i32 (; imm k) -> i32 = k;
    2 s_cmovk_i32 (; scc c; old d; imm k) -> i32 = if c { k } else { d };
    15 s_addk_i32 (; old d; imm k) -> i32, scc = d.overflowing_add(k);
    16 s_mulk_i32 (; old d; imm k) -> i32 = d.wrapping_mul(k);
};

/// Comparisons of a register with the constant: `code name (register, constant) = condition;`
macro_rules! compare {
    ($($code:literal $name:ident ($a:ident, $k:ident: $t:ty) = $e:expr;)*) => {
        &[$(Op {
            flags: flag::WRITES_SCC,
            exec: Exec::Compute(|w, i| {
                let $a = <$t as Scalar>::get(w, &i.src[0]);
                // Unsigned comparisons extend the constant by zeros.
                let $k = if stringify!($t) == "u32" { i.imm as u16 as $t } else { i.imm as $t };
                w.scc = $e;
            }),
            ..Op::new(Encoding::Sopk, $code, stringify!($name), Kind::None, &[Kind::B32], Class::Scalar)
        }),*]
    };
}

pub(super) static COMPARES: &[Op] = compare! {
    3 s_cmpk_eq_i32 (a, k: i32) = a == k;
    4 s_cmpk_lg_i32 (a, k: i32) = a != k;
    5 s_cmpk_gt_i32 (a, k: i32) = a > k;
    6 s_cmpk_ge_i32 (a, k: i32) = a >= k;
    7 s_cmpk_lt_i32 (a, k: i32) = a < k;
    8 s_cmpk_le_i32 (a, k: i32) = a <= k;
    9 s_cmpk_eq_u32 (a, k: u32) = a == k;
    10 s_cmpk_lg_u32 (a, k: u32) = a != k;
    11 s_cmpk_gt_u32 (a, k: u32) = a > k;
    12 s_cmpk_ge_u32 (a, k: u32) = a >= k;
    13 s_cmpk_lt_u32 (a, k: u32) = a < k;
    14 s_cmpk_le_u32 (a, k: u32) = a <= k;
};

const fn wait(code: u16, name: &'static str, counter: Counter) -> Op {
    Op {
        exec: Exec::WaitOne(counter),
        ..Op::new(Encoding::Sopk, code, name, Kind::None, &[Kind::B32], Class::Wait)
    }
}

pub(super) static WAITS: &[Op] = &[
    wait(24, "s_waitcnt_vscnt", Counter::Vs),
    wait(25, "s_waitcnt_vmcnt", Counter::Vm),
    wait(26, "s_waitcnt_expcnt", Counter::Exp),
    wait(27, "s_waitcnt_lgkmcnt", Counter::Lgkm),
];
