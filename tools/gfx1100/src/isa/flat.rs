//! FLAT: global, flat and private memory. The three share opcodes; a table each differs by its names.

use super::Kind::{B32, B64, B96, B128, None};
use super::{Atomic, Class, Encoding, Exec, Kind, Op, Part};

/// A table of one of the three: `$prefix` begins its names.
macro_rules! table {
    ($name:ident, $encoding:ident, $prefix:literal $(, $atomics:ident)?) => {
        pub(super) static $name: &[Op] = &[
            load(Encoding::$encoding, 16, concat!($prefix, "load_u8"), 1, false, Part::Whole, B32),
            load(Encoding::$encoding, 17, concat!($prefix, "load_i8"), 1, true, Part::Whole, B32),
            load(Encoding::$encoding, 18, concat!($prefix, "load_u16"), 2, false, Part::Whole, B32),
            load(Encoding::$encoding, 19, concat!($prefix, "load_i16"), 2, true, Part::Whole, B32),
            load(Encoding::$encoding, 20, concat!($prefix, "load_b32"), 4, false, Part::Whole, B32),
            load(Encoding::$encoding, 21, concat!($prefix, "load_b64"), 8, false, Part::Whole, B64),
            load(Encoding::$encoding, 22, concat!($prefix, "load_b96"), 12, false, Part::Whole, B96),
            load(Encoding::$encoding, 23, concat!($prefix, "load_b128"), 16, false, Part::Whole, B128),
            store(Encoding::$encoding, 24, concat!($prefix, "store_b8"), 1, Part::Whole, B32),
            store(Encoding::$encoding, 25, concat!($prefix, "store_b16"), 2, Part::Whole, B32),
            store(Encoding::$encoding, 26, concat!($prefix, "store_b32"), 4, Part::Whole, B32),
            store(Encoding::$encoding, 27, concat!($prefix, "store_b64"), 8, Part::Whole, B64),
            store(Encoding::$encoding, 28, concat!($prefix, "store_b96"), 12, Part::Whole, B96),
            store(Encoding::$encoding, 29, concat!($prefix, "store_b128"), 16, Part::Whole, B128),
            load(Encoding::$encoding, 30, concat!($prefix, "load_d16_u8"), 1, false, Part::Low, B32),
            load(Encoding::$encoding, 31, concat!($prefix, "load_d16_i8"), 1, true, Part::Low, B32),
            load(Encoding::$encoding, 32, concat!($prefix, "load_d16_b16"), 2, false, Part::Low, B32),
            load(Encoding::$encoding, 33, concat!($prefix, "load_d16_hi_u8"), 1, false, Part::High, B32),
            load(Encoding::$encoding, 34, concat!($prefix, "load_d16_hi_i8"), 1, true, Part::High, B32),
            load(Encoding::$encoding, 35, concat!($prefix, "load_d16_hi_b16"), 2, false, Part::High, B32),
            store(Encoding::$encoding, 36, concat!($prefix, "store_d16_hi_b8"), 1, Part::High, B32),
            store(Encoding::$encoding, 37, concat!($prefix, "store_d16_hi_b16"), 2, Part::High, B32),
            $(
            $atomics(Encoding::$encoding, 51, concat!($prefix, "atomic_swap_b32"), B32, Atomic::Swap),
            $atomics(Encoding::$encoding, 52, concat!($prefix, "atomic_cmpswap_b32"), B32, Atomic::CompareSwap),
            $atomics(Encoding::$encoding, 53, concat!($prefix, "atomic_add_u32"), B32, Atomic::Add),
            $atomics(Encoding::$encoding, 54, concat!($prefix, "atomic_sub_u32"), B32, Atomic::Sub),
            $atomics(Encoding::$encoding, 56, concat!($prefix, "atomic_min_i32"), B32, Atomic::MinI),
            $atomics(Encoding::$encoding, 57, concat!($prefix, "atomic_min_u32"), B32, Atomic::MinU),
            $atomics(Encoding::$encoding, 58, concat!($prefix, "atomic_max_i32"), B32, Atomic::MaxI),
            $atomics(Encoding::$encoding, 59, concat!($prefix, "atomic_max_u32"), B32, Atomic::MaxU),
            $atomics(Encoding::$encoding, 60, concat!($prefix, "atomic_and_b32"), B32, Atomic::And),
            $atomics(Encoding::$encoding, 61, concat!($prefix, "atomic_or_b32"), B32, Atomic::Or),
            $atomics(Encoding::$encoding, 62, concat!($prefix, "atomic_xor_b32"), B32, Atomic::Xor),
            $atomics(Encoding::$encoding, 63, concat!($prefix, "atomic_inc_u32"), B32, Atomic::Inc),
            $atomics(Encoding::$encoding, 64, concat!($prefix, "atomic_dec_u32"), B32, Atomic::Dec),
            $atomics(Encoding::$encoding, 65, concat!($prefix, "atomic_swap_b64"), B64, Atomic::Swap),
            $atomics(Encoding::$encoding, 66, concat!($prefix, "atomic_cmpswap_b64"), B64, Atomic::CompareSwap),
            $atomics(Encoding::$encoding, 67, concat!($prefix, "atomic_add_u64"), B64, Atomic::Add),
            $atomics(Encoding::$encoding, 68, concat!($prefix, "atomic_sub_u64"), B64, Atomic::Sub),
            $atomics(Encoding::$encoding, 69, concat!($prefix, "atomic_min_i64"), B64, Atomic::MinI),
            $atomics(Encoding::$encoding, 70, concat!($prefix, "atomic_min_u64"), B64, Atomic::MinU),
            $atomics(Encoding::$encoding, 71, concat!($prefix, "atomic_max_i64"), B64, Atomic::MaxI),
            $atomics(Encoding::$encoding, 72, concat!($prefix, "atomic_max_u64"), B64, Atomic::MaxU),
            $atomics(Encoding::$encoding, 73, concat!($prefix, "atomic_and_b64"), B64, Atomic::And),
            $atomics(Encoding::$encoding, 74, concat!($prefix, "atomic_or_b64"), B64, Atomic::Or),
            $atomics(Encoding::$encoding, 75, concat!($prefix, "atomic_xor_b64"), B64, Atomic::Xor),
            $atomics(Encoding::$encoding, 80, concat!($prefix, "atomic_cmpswap_f32"), B32, Atomic::CompareSwapF32),
            $atomics(Encoding::$encoding, 81, concat!($prefix, "atomic_min_f32"), B32, Atomic::MinF32),
            $atomics(Encoding::$encoding, 82, concat!($prefix, "atomic_max_f32"), B32, Atomic::MaxF32),
            $atomics(Encoding::$encoding, 86, concat!($prefix, "atomic_add_f32"), B32, Atomic::AddF32),
            )?
        ];
    };
}

const fn load(
    encoding: Encoding,
    code: u16,
    name: &'static str,
    bytes: u8,
    signed: bool,
    part: Part,
    dst: Kind,
) -> Op {
    Op { exec: Exec::Load { bytes, signed, part }, ..Op::new(encoding, code, name, dst, &[B64], Class::Load) }
}

const fn store(encoding: Encoding, code: u16, name: &'static str, bytes: u8, part: Part, data: Kind) -> Op {
    Op {
        exec: Exec::Store { bytes, part },
        ..Op::new(encoding, code, name, None, &[B64, data], Class::Store)
    }
}

const fn atomic(encoding: Encoding, code: u16, name: &'static str, data: Kind, op: Atomic) -> Op {
    // What is compared follows what is stored in twice as many registers.
    let operand = match (op, data) {
        (Atomic::CompareSwap | Atomic::CompareSwapF32, B32) => B64,
        (Atomic::CompareSwap, _) => B128,
        _ => data,
    };
    let exec = Exec::Atomic { op, bytes: 4 * data.registers(), returns: false };
    Op { exec, ..Op::new(encoding, code, name, data, &[B64, operand], Class::Atomic) }
}

table!(FLAT, Flat, "flat_", atomic);
table!(GLOBAL, Global, "global_", atomic);
table!(SCRATCH, Scratch, "scratch_");

pub(super) static BUFFER: &[Op] = &[invalidate(43, "buffer_gl0_inv"), invalidate(44, "buffer_gl1_inv")];

const fn invalidate(code: u16, name: &'static str) -> Op {
    Op { exec: Exec::Invalidate, ..Op::new(Encoding::Mubuf, code, name, Kind::None, &[], Class::Other) }
}
