//! SOPP: what steers a program: branches, waits, hints.

use super::{Class, Encoding, Exec, Kind, Op, flag};
use crate::wave::{Wave, sgpr};

const fn op(code: u16, name: &'static str, class: Class, exec: Exec) -> Op {
    Op { exec, ..Op::new(Encoding::Sopp, code, name, Kind::None, &[], class) }
}

const fn hint(code: u16, name: &'static str) -> Op {
    op(code, name, Class::Other, Exec::Nothing)
}

const fn branch(code: u16, name: &'static str, flags: u16, taken: fn(&Wave) -> bool) -> Op {
    Op { flags, ..op(code, name, Class::Branch, Exec::Branch(taken)) }
}

pub(super) static OPS: &[Op] = &[
    hint(0, "s_nop"),
    op(3, "s_sleep", Class::Other, Exec::Yield),
    hint(4, "s_set_inst_prefetch_distance"),
    hint(5, "s_clause"),
    hint(7, "s_delay_alu"),
    hint(8, "s_waitcnt_depctr"),
    op(9, "s_waitcnt", Class::Wait, Exec::WaitCount),
    hint(10, "s_wait_idle"),
    op(18, "s_denorm_mode", Class::Scalar, Exec::Compute(|w, i| w.mode.set_denormals(i.imm as u32))),
    op(31, "s_code_end", Class::Other, Exec::Padding),
    branch(32, "s_branch", 0, |_| true),
    branch(33, "s_cbranch_scc0", flag::READS_SCC, |w| !w.scc),
    branch(34, "s_cbranch_scc1", flag::READS_SCC, |w| w.scc),
    branch(35, "s_cbranch_vccz", flag::READS_VCC, |w| w.s[sgpr::VCC as usize] == 0),
    branch(36, "s_cbranch_vccnz", flag::READS_VCC, |w| w.s[sgpr::VCC as usize] != 0),
    branch(37, "s_cbranch_execz", 0, |w| w.exec() == 0),
    branch(38, "s_cbranch_execnz", 0, |w| w.exec() != 0),
    op(48, "s_endpgm", Class::Other, Exec::End),
    op(52, "s_wakeup", Class::Other, Exec::Yield),
    hint(53, "s_setprio"),
    op(54, "s_sendmsg", Class::Other, Exec::Message),
    hint(60, "s_icache_inv"),
    op(61, "s_barrier", Class::Barrier, Exec::Barrier),
];
