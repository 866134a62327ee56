//! Quantisation: from f32 to blocks, as ggml's `ggml_quantize_chunk` does it, bit for bit. Sums run
//! in element order and products in the order written, because the results depend on it.

mod iq1;
mod iq2;
mod iq3;
mod iq4;
mod kquant;
mod lattice;
mod legacy;
mod search;
mod small;

use super::{Block, GgmlType, check_sizes, for_block_of};
use crate::{Error, Result};

/// A block type that weights can be quantised to.
pub(super) trait Encode<const N: usize>: Block<N> {
    /// The block nearest to `src` in the sense of ggml's search.
    fn encode(src: &[f32; N], importance: Option<Importance<'_, N>>) -> Self;
}

/// How much the error of each weight of a block matters.
pub(super) struct Importance<'a, const N: usize> {
    /// The mean square of the activations that each weight is multiplied by, or the like.
    columns: &'a [f32; N],
    /// The mean of the squares of the weights of the whole row.
    mean_square: f32,
}

impl<'a, const N: usize> Importance<'a, N> {
    /// Of each sub-block of `M` weights.
    fn parts<const M: usize>(&self) -> &'a [[f32; M]] {
        self.columns.as_chunks().0
    }
}

/// The weights of the errors of `x`: its importance, more for large values of those around it.
fn error_weights<const N: usize>(x: &[f32; N], columns: &[f32; N], mean_square: f32) -> [f32; N] {
    std::array::from_fn(|i| columns[i] * (mean_square + x[i] * x[i]).sqrt())
}

fn sum_of_squares(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |sum, v| sum + v * v)
}

fn encode_row<const N: usize, B: Encode<N>>(src: &[f32], importance: Option<&[f32]>, dst: &mut [u8]) {
    let mean_square = importance.map_or(0.0, |_| sum_of_squares(src) / src.len() as f32);
    let blocks = src.as_chunks().0.iter().zip(dst.chunks_exact_mut(size_of::<B>()));
    for (k, (src, dst)) in blocks.enumerate() {
        let columns = importance.and_then(|columns| columns.as_chunks().0.get(k));
        let importance = columns.map(|columns| Importance { columns, mean_square });
        dst.copy_from_slice(bytemuck::bytes_of(&B::encode(src, importance)));
    }
}

/// Quantises f32 values to whole blocks of `ty`, bit for bit as ggml does without importance data:
/// `quantize_row_*_ref`, but for IQ4_NL the search of `quantize_iq4_nl`. The values must be finite
/// for the result to mean anything.
///
/// # Errors
/// [`Error::InvalidArgument`] unless `dst` holds exactly `src.len()` weights;
/// [`Error::Unsupported`] for a type without a [codec](GgmlType::has_codec) or that
/// [needs importance data](GgmlType::needs_importance).
pub fn quantize(ty: GgmlType, src: &[f32], dst: &mut [u8]) -> Result<()> {
    if ty.needs_importance() {
        return Err(Error::Unsupported(format!(
            "{} can only be made with importance data: give an imatrix",
            ty.name()
        )));
    }
    check_sizes(ty, src.len(), dst.len())?;
    for_block_of!(ty, encode_row(src, None, dst));
    Ok(())
}

/// Quantises one row of f32 values to whole blocks of `ty`, minimising the error weighted by the
/// importance of each column, bit for bit as ggml's `ggml_quantize_chunk` with an imatrix. Types
/// for which ggml ignores importance are quantised as by [`quantize`].
///
/// `importance` holds as many values as `row`, finite and not negative; they count as relative to
/// each other.
///
/// # Errors
/// [`Error::InvalidArgument`] unless `dst` holds exactly `row.len()` weights and the lengths of
/// `row` and `importance` are equal; [`Error::Unsupported`] for a type without a
/// [codec](GgmlType::has_codec).
pub fn quantize_weighted(ty: GgmlType, row: &[f32], importance: &[f32], dst: &mut [u8]) -> Result<()> {
    if row.len() != importance.len() {
        return Err(Error::InvalidArgument(format!(
            "a row of {} weights with the importance of {} columns",
            row.len(),
            importance.len()
        )));
    }
    check_sizes(ty, row.len(), dst.len())?;
    for_block_of!(ty, encode_row(row, Some(importance), dst));
    Ok(())
}
