//! The tensor table: shapes, types and where the data lies.

use super::parse::sorted;
use super::prefix;
use crate::quant::GgmlType;
use crate::{Error, Result};

/// The most dimensions that a tensor can have.
pub const MAX_DIMS: usize = 4;
/// The longest tensor name in bytes, one less than ggml's buffer for it.
pub const MAX_NAME_LEN: usize = 63;

/// One tensor of a file.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// Unique in the file.
    pub name: String,
    /// Elements along each dimension, the contiguous one first (ggml's `ne`); unused ones are 1.
    pub dims: [u64; MAX_DIMS],
    /// How many of `dims` the file names, 1 to 4.
    pub n_dims: u32,
    /// The element type.
    pub ty: GgmlType,
    pub(super) shard: u16,
    /// Of the first byte: in the data section until the table is placed, then in the shard.
    pub(super) offset: u64,
    n_elements: usize,
    n_bytes: usize,
}

impl TensorInfo {
    /// Checks a shape; errors do not name the tensor, the caller does.
    pub(super) fn new(name: &str, ne: &[u64], ty: GgmlType, shard: u16, offset: u64) -> Result<Self> {
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
            name: name.to_owned(),
            dims,
            n_dims: ne.len() as u32,
            ty,
            shard,
            offset,
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

/// Indices `0..n` sorted by what `name` gives; an error if two tensors have the same name.
pub(super) fn check_unique<'a>(n: usize, name: impl Fn(u32) -> &'a str) -> Result<Vec<u32>> {
    let order = sorted(n, "tensors", &name)?;
    match order.windows(2).find(|w| name(w[0]) == name(w[1])) {
        None => Ok(order),
        Some(w) => Err(Error::Format(format!("tensor {:?} occurs twice", name(w[0])))),
    }
}

/// Turns offsets in the data section, which begins at `base`, into offsets in a shard of `size`
/// bytes, and checks that data is aligned, inside the file and nowhere shared.
pub(super) fn place(tensors: &mut [TensorInfo], base: u64, alignment: u64, size: u64) -> Result<()> {
    for t in tensors.iter_mut() {
        let within = |e| prefix(format_args!("tensor {:?}", t.name), Error::Format(e));
        if !t.offset.is_multiple_of(alignment) {
            return Err(within(format!(
                "offset {} is not a multiple of the alignment {alignment}",
                t.offset
            )));
        }
        let start = base.checked_add(t.offset);
        match start.and_then(|s| s.checked_add(t.n_bytes as u64)) {
            Some(end) if end <= size => t.offset = end - t.n_bytes as u64,
            _ => {
                return Err(within(format!(
                    "its {} bytes at offset {} of the data section, which begins at {base}, \
                     are not inside the file of {size} bytes",
                    t.n_bytes, t.offset
                )));
            }
        }
    }
    let order = sorted(tensors.len(), "tensors", |i| tensors[i as usize].offset)?;
    for w in order.windows(2) {
        let (a, b) = (&tensors[w[0] as usize], &tensors[w[1] as usize]);
        if a.offset + a.n_bytes as u64 > b.offset {
            return Err(Error::Format(format!("the data of tensors {:?} and {:?} overlap", a.name, b.name)));
        }
    }
    Ok(())
}
