//! SMEM: scalar loads.

use super::{Class, Encoding, Exec, Kind, Op, Part};

const fn load(code: u16, name: &'static str, kind: Kind) -> Op {
    let exec = Exec::Load { bytes: 4 * kind.registers(), signed: false, part: Part::Whole };
    Op { exec, ..Op::new(Encoding::Smem, code, name, kind, &[Kind::B64, Kind::B32], Class::ScalarLoad) }
}

const fn invalidate(code: u16, name: &'static str) -> Op {
    Op { exec: Exec::Invalidate, ..Op::new(Encoding::Smem, code, name, Kind::None, &[], Class::Other) }
}

pub(super) static OPS: &[Op] = &[
    load(0, "s_load_b32", Kind::B32),
    load(1, "s_load_b64", Kind::B64),
    load(2, "s_load_b128", Kind::B128),
    load(3, "s_load_b256", Kind::B256),
    load(4, "s_load_b512", Kind::B512),
    invalidate(32, "s_gl1_inv"),
    invalidate(33, "s_dcache_inv"),
];
