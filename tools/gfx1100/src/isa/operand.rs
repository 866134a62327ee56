//! Operands: registers, constants, literals.

use crate::wave::sgpr;

/// What a value is, as far as encoding and printing ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No operand.
    None,
    /// Half a register: f16, i16, u16.
    B16,
    /// A register: f32, i32, u32.
    B32,
    /// Two.
    B64,
    /// Two, and a literal is the sign-extended value.
    I64,
    /// Two, and a literal is the high half.
    F64,
    /// Two halves of 16 bits in a register.
    Pk16,
    /// f32, or f16 of either half (mixed-precision multiply-add).
    Mix,
    /// Three registers.
    B96,
    /// Four.
    B128,
    /// Eight.
    B256,
    /// Sixteen.
    B512,
    /// A bit a lane: one scalar register.
    Mask,
}

impl Kind {
    /// How many registers.
    pub const fn registers(self) -> u8 {
        match self {
            Kind::None => 0,
            Kind::B16 | Kind::B32 | Kind::Pk16 | Kind::Mix | Kind::Mask => 1,
            Kind::B64 | Kind::I64 | Kind::F64 => 2,
            Kind::B96 => 3,
            Kind::B128 => 4,
            Kind::B256 => 8,
            Kind::B512 => 16,
        }
    }
}

/// Where an operand lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// Nowhere: there is no such operand.
    None,
    /// Vector registers.
    Vector,
    /// Scalar registers, special ones included.
    Scalar,
    /// A constant that the operand's number stands for.
    Inline,
    /// A word of the instruction.
    Literal,
}

/// An operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Where.
    pub file: File,
    /// What.
    pub kind: Kind,
    /// The first register's number; the constant's.
    pub number: u8,
    /// Of a vector register the high half is meant (short forms; long ones have `op_sel`).
    pub high: bool,
    /// The value of a constant or literal, as wide as its kind.
    pub value: u64,
}

impl Operand {
    /// No operand.
    pub const NONE: Operand =
        Operand { file: File::None, kind: Kind::None, number: 0, high: false, value: 0 };

    /// Vector registers.
    pub const fn vector(number: u8, kind: Kind) -> Operand {
        Operand { file: File::Vector, kind, number, high: false, value: 0 }
    }

    /// Scalar registers.
    pub const fn scalar(number: u8, kind: Kind) -> Operand {
        Operand { file: File::Scalar, kind, number, high: false, value: 0 }
    }

    /// There is one.
    pub fn is_some(&self) -> bool {
        self.file != File::None
    }

    /// There are scalar registers in it.
    #[inline(always)]
    pub fn is_scalar(&self) -> bool {
        self.file == File::Scalar
    }

    /// How many registers.
    pub fn registers(&self) -> u8 {
        self.kind.registers()
    }

    /// What the nine bits of a source mean; eight of them where no vector register can be. `None` for numbers
    /// that mean nothing, or registers past the last.
    pub(super) fn source(code: u32, kind: Kind, literal: Option<u32>) -> Option<Operand> {
        let operand = match code {
            0..=127 => Operand::scalar(code as u8, kind),
            128..=208 | 235..=238 | 240..=248 => Operand {
                file: File::Inline,
                kind,
                number: code as u8,
                high: false,
                value: inline(code, kind),
            },
            255 => {
                let literal = literal?;
                let value = match kind {
                    Kind::F64 => (literal as u64) << 32,
                    Kind::I64 => literal as i32 as i64 as u64,
                    _ => literal as u64,
                };
                Operand { file: File::Literal, kind, number: 255, high: false, value }
            }
            256..=511 => Operand::vector((code - 256) as u8, kind),
            _ => return None,
        };
        operand.checked()
    }

    /// Itself, if all its registers exist.
    pub(super) fn checked(self) -> Option<Operand> {
        let end = self.number as u16 + self.registers() as u16;
        match self.file {
            File::Scalar if self.number == sgpr::NULL => Some(self),
            File::Scalar if end > 128 => None,
            File::Vector if end > 256 => None,
            _ => Some(self),
        }
    }
}

/// The flat address at which LDS begins.
pub const SHARED_BASE: u64 = 0x0001_0000_0000_0000;

/// The flat address at which private memory begins.
pub const PRIVATE_BASE: u64 = 0x0002_0000_0000_0000;

/// The value of an inline constant.
fn inline(code: u32, kind: Kind) -> u64 {
    let float = |value: f32| match kind {
        Kind::B16 | Kind::Pk16 => half::f16::from_f32(value).to_bits() as u64,
        Kind::F64 | Kind::B64 | Kind::I64 => (value as f64).to_bits(),
        _ => value.to_bits() as u64,
    };
    match code {
        // Where LDS and private memory lie among flat addresses: base, limit of each.
        235 => SHARED_BASE,
        236 => SHARED_BASE | 0xffff_ffff,
        237 => PRIVATE_BASE,
        238 => PRIVATE_BASE | 0xffff_ffff,
        128..=192 => (code - 128) as u64,
        193..=208 => (192 - code as i64) as u64,
        // 1 / (2 pi), each width rounded on its own.
        248 => match kind {
            Kind::B16 | Kind::Pk16 => 0x3118,
            Kind::F64 | Kind::B64 | Kind::I64 => 0x3fc4_5f30_6dc9_c882,
            _ => 0x3e22_f983,
        },
        _ => float([0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 4.0, -4.0][(code - 240) as usize & 7]),
    }
}

/// The name of a scalar register.
pub(crate) fn scalar_name(number: u8) -> String {
    match number {
        0..=105 => format!("s{number}"),
        106 => "vcc_lo".into(),
        107 => "vcc_hi".into(),
        108..=123 => format!("ttmp{}", number - 108),
        sgpr::NULL => "null".into(),
        sgpr::M0 => "m0".into(),
        126 => "exec_lo".into(),
        _ => "exec_hi".into(),
    }
}
