//! Weight types: the block layouts of ggml, their exact dequantisation and their reference
//! quantisation ([`encode`]). One family of formats a file; nothing here knows about SIMD or
//! threads.

mod encode;
mod float;
pub(crate) mod grid;
mod iq1;
mod iq2;
mod iq3;
mod iq4;
mod kquant;
mod legacy;
mod mx;
mod mxfp6;
mod small;
mod ternary;

use bytemuck::Pod;
pub use encode::{quantize, quantize_weighted};
pub use iq1::{BlockIQ1_M, BlockIQ1_S, IQ1_DELTA};
pub use iq2::{BlockIQ2_S, BlockIQ2_XS, BlockIQ2_XXS};
pub use iq3::{BlockIQ3_S, BlockIQ3_XXS};
pub use iq4::{BlockIQ4_NL, BlockIQ4_XS, IQ4_VALUES, QK4_NL};
pub use kquant::{BlockQ2_K, BlockQ3_K, BlockQ4_K, BlockQ5_K, BlockQ6_K, QK_K, scale_min, scales_of_6};
pub use legacy::{BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, QK4_0, QK4_1, QK5_0, QK5_1, QK8_0};
pub use mx::{BlockMXFP4, BlockNVFP4, FP4_VALUES, QK_MXFP4, QK_NVFP4, e8m0_half, ue4m3_half};
pub use mxfp6::{BlockMXFP6, Fp6, QK_MXFP6, e8m0};
pub use small::{BlockQ1_0, BlockQ2_0, QK1_0, QK2_0};
pub use ternary::{BlockTQ1_0, BlockTQ2_0};

use crate::{Error, Result};

#[cfg(target_endian = "big")]
compile_error!("weights are used in place as they lie in little-endian files");

macro_rules! types {
    ($($name:ident = $id:literal, $text:literal, $len:literal, $bytes:literal;)+) => {
        /// The element type of a tensor, with ggml's numbers and names.
        ///
        /// All types that a GGUF file may carry are known by size, so that any file can be
        /// inspected; [`GgmlType::is_computable`] says which ones this build multiplies.
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum GgmlType { $($name = $id,)+ }

        impl GgmlType {
            /// Every known type.
            pub const ALL: &'static [GgmlType] = &[$(GgmlType::$name,)+];

            /// The type with ggml's number `id`.
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(GgmlType::$name),)+ _ => None }
            }
            /// The name that llama.cpp prints.
            pub const fn name(self) -> &'static str {
                match self { $(GgmlType::$name => $text,)+ }
            }
            /// Elements in one block.
            pub const fn block_len(self) -> usize {
                match self { $(GgmlType::$name => $len,)+ }
            }
            /// Bytes of one block.
            pub const fn block_bytes(self) -> usize {
                match self { $(GgmlType::$name => $bytes,)+ }
            }
        }
    };
}

types! {
    F32 = 0, "f32", 1, 4;
    F16 = 1, "f16", 1, 2;
    Q4_0 = 2, "q4_0", 32, 18;
    Q4_1 = 3, "q4_1", 32, 20;
    Q5_0 = 6, "q5_0", 32, 22;
    Q5_1 = 7, "q5_1", 32, 24;
    Q8_0 = 8, "q8_0", 32, 34;
    Q8_1 = 9, "q8_1", 32, 36;
    Q2_K = 10, "q2_K", 256, 84;
    Q3_K = 11, "q3_K", 256, 110;
    Q4_K = 12, "q4_K", 256, 144;
    Q5_K = 13, "q5_K", 256, 176;
    Q6_K = 14, "q6_K", 256, 210;
    Q8_K = 15, "q8_K", 256, 292;
    IQ2_XXS = 16, "iq2_xxs", 256, 66;
    IQ2_XS = 17, "iq2_xs", 256, 74;
    IQ3_XXS = 18, "iq3_xxs", 256, 98;
    IQ1_S = 19, "iq1_s", 256, 50;
    IQ4_NL = 20, "iq4_nl", 32, 18;
    IQ3_S = 21, "iq3_s", 256, 110;
    IQ2_S = 22, "iq2_s", 256, 82;
    IQ4_XS = 23, "iq4_xs", 256, 136;
    I8 = 24, "i8", 1, 1;
    I16 = 25, "i16", 1, 2;
    I32 = 26, "i32", 1, 4;
    I64 = 27, "i64", 1, 8;
    F64 = 28, "f64", 1, 8;
    IQ1_M = 29, "iq1_m", 256, 56;
    BF16 = 30, "bf16", 1, 2;
    TQ1_0 = 34, "tq1_0", 256, 54;
    TQ2_0 = 35, "tq2_0", 256, 66;
    MXFP4 = 39, "mxfp4", 32, 17;
    NVFP4 = 40, "nvfp4", 64, 36;
    Q1_0 = 41, "q1_0", 128, 18;
    Q2_0 = 42, "q2_0", 64, 18;
}

impl GgmlType {
    /// Whether the kernels of this build multiply by weights of this type.
    pub const fn is_computable(self) -> bool {
        use GgmlType::*;
        matches!(
            self,
            F32 | F16
                | BF16
                | Q4_0
                | Q4_1
                | Q5_0
                | Q5_1
                | Q8_0
                | Q2_K
                | Q3_K
                | Q4_K
                | Q5_K
                | Q6_K
                | IQ1_S
                | IQ1_M
                | IQ2_XXS
                | IQ2_XS
                | IQ2_S
                | IQ3_XXS
                | IQ3_S
                | IQ4_NL
                | IQ4_XS
                | MXFP4
                | TQ1_0
                | TQ2_0
        )
    }

    /// Whether [`dequantize`] and [`quantize`] know this type: all types that weights are stored in.
    pub const fn has_codec(self) -> bool {
        use GgmlType::*;
        !matches!(self, I8 | I16 | I32 | I64 | F64 | Q8_1 | Q8_K)
    }

    /// Whether weights can only be quantised to this type with importance data: so few bits need to
    /// know where they count.
    pub const fn needs_importance(self) -> bool {
        use GgmlType::*;
        matches!(self, IQ1_S | IQ2_XXS | IQ2_XS)
    }

    /// Bytes of a row of `n` elements; an error unless `n` is a whole number of blocks.
    pub fn row_bytes(self, n: usize) -> Result<usize> {
        if !n.is_multiple_of(self.block_len()) {
            return Err(Error::Format(format!(
                "a row of {n} elements is not a whole number of {} blocks ({} elements each)",
                self.name(),
                self.block_len()
            )));
        }
        (n / self.block_len())
            .checked_mul(self.block_bytes())
            .ok_or_else(|| Error::Format(format!("a row of {n} elements overflows")))
    }
}

/// The f16 bits nearest to a number.
fn to_f16(value: f32) -> u16 {
    half::f16::from_f32(value).to_bits()
}

/// A block of `N` weights as it lies in a file, aligned to at most 2 bytes.
trait Block<const N: usize>: Pod {
    /// The exact values of the weights, in ggml's order of operations.
    fn dequantize(&self, dst: &mut [f32; N]);
}

/// The number whose f16 bits these are.
#[inline]
fn f16(bits: u16) -> f32 {
    half::f16::from_bits(bits).to_f32()
}

fn dequantize_blocks<const N: usize, B: Block<N>>(src: &[u8], dst: &mut [f32]) {
    for (src, dst) in src.chunks_exact(size_of::<B>()).zip(dst.as_chunks_mut().0) {
        bytemuck::pod_read_unaligned::<B>(src).dequantize(dst);
    }
}

/// Calls `$f::<{ $crate::quant::N }, $crate::quant::B>($args)` for the block type of `$ty`; [`Error::Unsupported`] if there is none.
macro_rules! for_block_of {
    ($ty:expr, $f:ident($($arg:expr),+)) => {
        match $ty {
            $crate::quant::GgmlType::F32 => $f::<1, $crate::quant::float::F32>($($arg),+),
            $crate::quant::GgmlType::F16 => $f::<1, $crate::quant::float::F16>($($arg),+),
            $crate::quant::GgmlType::BF16 => $f::<1, $crate::quant::float::BF16>($($arg),+),
            $crate::quant::GgmlType::Q4_0 => $f::<{ $crate::quant::QK4_0 }, $crate::quant::BlockQ4_0>($($arg),+),
            $crate::quant::GgmlType::Q4_1 => $f::<{ $crate::quant::QK4_1 }, $crate::quant::BlockQ4_1>($($arg),+),
            $crate::quant::GgmlType::Q5_0 => $f::<{ $crate::quant::QK5_0 }, $crate::quant::BlockQ5_0>($($arg),+),
            $crate::quant::GgmlType::Q5_1 => $f::<{ $crate::quant::QK5_1 }, $crate::quant::BlockQ5_1>($($arg),+),
            $crate::quant::GgmlType::Q8_0 => $f::<{ $crate::quant::QK8_0 }, $crate::quant::BlockQ8_0>($($arg),+),
            $crate::quant::GgmlType::Q2_K => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockQ2_K>($($arg),+),
            $crate::quant::GgmlType::Q3_K => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockQ3_K>($($arg),+),
            $crate::quant::GgmlType::Q4_K => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockQ4_K>($($arg),+),
            $crate::quant::GgmlType::Q5_K => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockQ5_K>($($arg),+),
            $crate::quant::GgmlType::Q6_K => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockQ6_K>($($arg),+),
            $crate::quant::GgmlType::IQ2_XXS => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockIQ2_XXS>($($arg),+),
            $crate::quant::GgmlType::IQ2_XS => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockIQ2_XS>($($arg),+),
            $crate::quant::GgmlType::IQ3_XXS => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockIQ3_XXS>($($arg),+),
            $crate::quant::GgmlType::IQ1_S => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockIQ1_S>($($arg),+),
            $crate::quant::GgmlType::IQ3_S => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockIQ3_S>($($arg),+),
            $crate::quant::GgmlType::IQ2_S => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockIQ2_S>($($arg),+),
            $crate::quant::GgmlType::IQ4_XS => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockIQ4_XS>($($arg),+),
            $crate::quant::GgmlType::IQ1_M => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockIQ1_M>($($arg),+),
            $crate::quant::GgmlType::TQ1_0 => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockTQ1_0>($($arg),+),
            $crate::quant::GgmlType::TQ2_0 => $f::<{ $crate::quant::QK_K }, $crate::quant::BlockTQ2_0>($($arg),+),
            $crate::quant::GgmlType::IQ4_NL => $f::<{ $crate::quant::QK4_NL }, $crate::quant::BlockIQ4_NL>($($arg),+),
            $crate::quant::GgmlType::MXFP4 => $f::<{ $crate::quant::QK_MXFP4 }, $crate::quant::BlockMXFP4>($($arg),+),
            $crate::quant::GgmlType::NVFP4 => $f::<{ $crate::quant::QK_NVFP4 }, $crate::quant::BlockNVFP4>($($arg),+),
            $crate::quant::GgmlType::Q1_0 => $f::<{ $crate::quant::QK1_0 }, $crate::quant::BlockQ1_0>($($arg),+),
            $crate::quant::GgmlType::Q2_0 => $f::<{ $crate::quant::QK2_0 }, $crate::quant::BlockQ2_0>($($arg),+),
            ty => return Err($crate::Error::Unsupported(format!("no conversion for weights of type {}", ty.name()))),
        }
    };
}
use for_block_of;

/// Turns whole blocks of `ty` into the f32 values that they stand for, bit for bit as ggml does.
///
/// # Errors
/// [`Error::InvalidArgument`] unless `src` holds exactly `dst.len()` weights;
/// [`Error::Unsupported`] for a type without a [codec](GgmlType::has_codec).
pub fn dequantize(ty: GgmlType, src: &[u8], dst: &mut [f32]) -> Result<()> {
    check_sizes(ty, dst.len(), src.len())?;
    for_block_of!(ty, dequantize_blocks(src, dst));
    Ok(())
}

fn check_sizes(ty: GgmlType, n: usize, bytes: usize) -> Result<()> {
    let want = ty.row_bytes(n).map_err(|e| Error::InvalidArgument(e.to_string()))?;
    if bytes != want {
        return Err(Error::InvalidArgument(format!(
            "{n} weights of type {} take {want} bytes, not {bytes}",
            ty.name()
        )));
    }
    Ok(())
}
