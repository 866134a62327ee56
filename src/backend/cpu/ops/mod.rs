//! The f32 kernels: row and element operations, rotary positions, cache writes and attention.
//!
//! Each kernel is written once over a vector type ([`simd`]) and compiled for every [`Isa`]; the
//! caller passes the one chosen at start. Kernels take raw rows, so that threads can work on
//! disjoint parts of one buffer and a destination can be its own source. They own no memory,
//! start no threads and allocate nothing.
//!
//! # Safety, for all unsafe functions here
//! `isa` is one of [`Isa::available`]. Pointers are aligned for their type and valid for the
//! lengths named. A destination is the same as a source or does not overlap it, and nobody
//! else writes any of them, or reads the destination, meanwhile.
//!
//! Results are the same bits for the same inputs and `isa`: orders of summation are fixed. An
//! element of an elementwise operation does not depend on how a row was cut.

/// Compiles a kernel `body<S: Simd, ..>` for each instruction set, behind one function.
macro_rules! by_isa {
    ($(#[$doc:meta])* $vis:vis unsafe fn $name:ident($($arg:ident: $ty:ty),* $(,)?)
        = $body:ident $(<$($extra:ty),+>)?) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// See the [module](crate::backend::cpu::ops).
        #[allow(clippy::too_many_arguments)]
        $vis unsafe fn $name(isa: crate::backend::cpu::Isa, $($arg: $ty),*) {
            use crate::backend::cpu::Isa;
            use crate::backend::cpu::ops::simd;

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: this function has the features of the vector type; the rest is the
                // caller's contract.
                unsafe { $body::<simd::Avx2 $($(, $extra)+)?>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx512($($arg: $ty),*) {
                // SAFETY: as above.
                unsafe { $body::<simd::Avx512 $($(, $extra)+)?>($($arg),*) }
            }

            // SAFETY: the caller vouches for the instruction set and the rows.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon | Isa::Dotprod => $body::<simd::Neon $($(, $extra)+)?>($($arg),*),
                    _ => $body::<simd::Scalar $($(, $extra)+)?>($($arg),*),
                }
            }
        }
    };
}

mod attention;
mod elementwise;
mod experts;
mod kv;
mod norm;
mod rope;
mod simd;
#[cfg(test)]
mod tests;

pub use attention::{Attention, AttnShape, attention, attention_scratch_bytes, attention_tile_tokens};
pub use elementwise::{add, bf16_to_f32, f16_to_f32, f32_to_f16, geglu, mul, scale, silu, swiglu};
pub use experts::{Rows, combine, expert_weights, group_by_expert, top_k};
pub use kv::{KvType, kv_rope, kv_write};
pub use norm::rms_norm;
pub use rope::{rope, rope_table};
