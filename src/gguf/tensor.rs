//! A tensor of a file: its shape, its type and where its data lies.

use crate::quant::GgmlType;
use crate::{Error, Result};

/// The most dimensions that a tensor can have.
pub const MAX_DIMS: usize = 4;
/// The longest tensor name in bytes, one less than ggml's buffer for it.
pub const MAX_NAME_LEN: usize = 63;

/// One tensor of a file, read out of the map when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct TensorInfo<'a> {
    /// Unique in the file.
    pub name: &'a str,
    /// Its place in file order, from 0.
    pub index: usize,
    /// Elements along each dimension, the contiguous one first (ggml's `ne`); unused ones are 1.
    pub dims: [u64; MAX_DIMS],
    /// How many of `dims` the file names, 1 to 4.
    pub n_dims: u32,
    /// The element type.
    pub ty: GgmlType,
    pub(super) shard: u16,
    /// Of the first byte in the shard.
    pub(super) offset: u64,
    pub(super) n_elements: usize,
    pub(super) n_bytes: usize,
}

impl<'a> TensorInfo<'a> {
    /// Checks a shape; errors do not name the tensor, the caller does, and where it is.
    pub(super) fn new(name: &'a str, ne: &[u64], ty: GgmlType) -> Result<Self> {
        if ne.is_empty() || ne.len() > MAX_DIMS {
            return Err(Error::Format(format!("{} dimensions, want 1 to {MAX_DIMS}", ne.len())));
        }
        let overflow = || Error::Format(format!("dimensions {ne:?} overflow"));
        let mut dims = [1; MAX_DIMS];
        let mut n_elements: usize = 1;
        for (i, (dim, &n)) in dims.iter_mut().zip(ne).enumerate() {
            if n == 0 {
                return Err(Error::Format(format!("dimension {i} is zero")));
            }
            *dim = n;
            let n = usize::try_from(n).map_err(|_| overflow())?;
            n_elements =
                n_elements.checked_mul(n).filter(|n| i64::try_from(*n).is_ok()).ok_or_else(overflow)?;
        }
        let row_len = dims[0] as usize;
        let n_bytes = ty.row_bytes(row_len)?.checked_mul(n_elements / row_len).ok_or_else(overflow)?;
        Ok(TensorInfo {
            name,
            index: 0,
            dims,
            n_dims: ne.len() as u32,
            ty,
            shard: 0,
            offset: 0,
            n_elements,
            n_bytes,
        })
    }

    /// Bytes of data.
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Elements in all.
    pub fn n_elements(&self) -> usize {
        self.n_elements
    }

    /// Elements of a row, the contiguous dimension.
    pub fn row_len(&self) -> usize {
        self.dims[0] as usize
    }

    /// Rows over all other dimensions.
    pub fn n_rows(&self) -> usize {
        self.n_elements / self.row_len()
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.n_bytes / self.n_rows()
    }
}

/// Checks a name's length.
pub(super) fn check_name(name: &str) -> Result<()> {
    match name.len() {
        1..=MAX_NAME_LEN => Ok(()),
        n => Err(Error::Format(format!("tensor name {name:?} has {n} bytes, want 1 to {MAX_NAME_LEN}"))),
    }
}
