//! Quantisation: from f32 to blocks.

mod kquant;
mod legacy;
mod search;

use super::{Block, BlockQ4_0, BlockQ4_K, BlockQ5_K, BlockQ6_K, BlockQ8_0, GgmlType, QK_K, QK4_0, QK8_0};
use super::{check_sizes, float};
use crate::{Error, Result};

/// A block type that weights can be quantised to.
pub(super) trait Encode<const N: usize>: Block<N> {
    /// ggml's reference quantisation.
    fn quantize(src: &[f32; N]) -> Self;
}

fn quantize_blocks<const N: usize, B: Encode<N>>(src: &[f32], dst: &mut [u8]) {
    for (src, dst) in src.as_chunks().0.iter().zip(dst.chunks_exact_mut(size_of::<B>())) {
        dst.copy_from_slice(bytemuck::bytes_of(&B::quantize(src)));
    }
}

/// Quantises f32 values to whole blocks of `ty`, bit for bit as ggml's reference
/// (`quantize_row_*_ref`) does. The values must be finite for the result to mean anything.
///
/// # Errors
/// [`Error::InvalidArgument`] unless `dst` holds exactly `src.len()` weights;
/// [`Error::Unsupported`] for a type that weights cannot be quantised to.
pub fn quantize(ty: GgmlType, src: &[f32], dst: &mut [u8]) -> Result<()> {
    check_sizes(ty, src.len(), dst.len())?;
    match ty {
        GgmlType::F32 => quantize_blocks::<1, float::F32>(src, dst),
        GgmlType::F16 => quantize_blocks::<1, float::F16>(src, dst),
        GgmlType::BF16 => quantize_blocks::<1, float::BF16>(src, dst),
        GgmlType::Q4_0 => quantize_blocks::<QK4_0, BlockQ4_0>(src, dst),
        GgmlType::Q8_0 => quantize_blocks::<QK8_0, BlockQ8_0>(src, dst),
        GgmlType::Q4_K => quantize_blocks::<QK_K, BlockQ4_K>(src, dst),
        GgmlType::Q5_K => quantize_blocks::<QK_K, BlockQ5_K>(src, dst),
        GgmlType::Q6_K => quantize_blocks::<QK_K, BlockQ6_K>(src, dst),
        ty => return Err(Error::Unsupported(format!("no quantisation to {}", ty.name()))),
    }
    Ok(())
}
