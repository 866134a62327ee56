//! What goes wrong, and where.

use crate::isa;

/// Kinds of what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The code object, or a launch that does not fit its kernel.
    Launch,
    /// An instruction, or a way of it, that is not interpreted.
    Unsupported,
    /// Memory that is not in an allocation, or must not be written.
    Memory,
    /// An address that is not a multiple of what it has to be.
    Alignment,
    /// LDS beyond what the workgroup has.
    Lds,
    /// A register that is used before what it waits for was waited for.
    NotWaited,
    /// A register or LDS that nobody has written.
    Undefined,
    /// A lane that is not active is read.
    Lane,
    /// Two waves access the same bytes, in no order.
    Race,
    /// Waves of a workgroup do not meet at the same barrier.
    Barrier,
    /// It does not end.
    Endless,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind.
    pub kind: Kind,
    /// In words.
    pub text: String,
}

/// A fault.
#[cold]
pub fn fault(kind: Kind, text: impl Into<String>) -> Fault {
    Fault { kind, text: text.into() }
}

impl From<isa::Fault> for Fault {
    #[cold]
    fn from(f: isa::Fault) -> Fault {
        let kind = match f {
            isa::Fault::Undefined { .. } => Kind::Undefined,
            isa::Fault::NotWaited(_) => Kind::NotWaited,
            isa::Fault::InactiveLane { .. } => Kind::Lane,
            _ => Kind::Unsupported,
        };
        fault(kind, f.to_string())
    }
}

/// A fault, and where it happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kernel}: workgroup {group:?}, wave {wave}, at {pc:#x}: {instruction}: {}", fault.text)]
pub struct Error {
    /// The kernel.
    pub kernel: String,
    /// Numbers of the workgroup.
    pub group: [u32; 3],
    /// The wave within it.
    pub wave: u32,
    /// Bytes from the start of the code of the object, as `llvm-objdump -d` prints addresses.
    pub pc: u64,
    /// As `llvm-objdump` writes it; empty if no instruction was run.
    pub instruction: String,
    /// What is wrong.
    pub fault: Fault,
}
