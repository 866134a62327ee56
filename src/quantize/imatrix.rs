//! Importance data ("imatrix"): for each column of a weight matrix, the mean square of the
//! activations that it was multiplied by on some text. Reads the files of llama.cpp's `imatrix`.

use std::collections::HashMap;
use std::path::Path;

use crate::gguf::{File, Writer};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// The importance of the columns of a model's matrices.
#[derive(Clone, Debug, Default)]
pub struct Imatrix {
    /// By tensor: a row of columns for each expert.
    entries: HashMap<String, Vec<f32>>,
    name: String,
    dataset: Option<String>,
    n_chunks: u32,
}

impl Imatrix {
    /// Reads a file: GGUF, or the older format that usually ends in `.dat`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for anything wrong in the file, naming the tensor.
    pub fn open(path: &Path) -> Result<Imatrix> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let name = path.display().to_string();
        let parsed = if bytes.starts_with(b"GGUF") { from_gguf(bytes) } else { from_dat(&bytes) };
        let mut imatrix = parsed.map_err(|e| match e {
            Error::Format(m) => Error::Format(format!("{name}: {m}")),
            e => e,
        })?;
        if imatrix.entries.is_empty() {
            return Err(Error::Format(format!("{name}: no importance data in it")));
        }
        imatrix.name = name;
        Ok(imatrix)
    }

    /// The importance of the columns of `tensor`, of all its experts one after the other.
    pub fn get(&self, tensor: &str) -> Option<&[f32]> {
        self.entries.get(tensor).map(Vec::as_slice)
    }

    /// How many tensors there is data for.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no data.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a tensor.
    ///
    /// # Errors
    /// [`Error::Format`] for values that are negative or not finite.
    pub fn insert(&mut self, tensor: &str, columns: Vec<f32>) -> Result<()> {
        if let Some(v) = columns.iter().find(|v| !v.is_finite() || **v < 0.0) {
            return Err(Error::Format(format!("tensor {tensor:?}: importance {v}, want 0 or more")));
        }
        self.entries.insert(tensor.to_owned(), columns);
        Ok(())
    }

    /// Writes what was used into a quantised model's metadata, under llama.cpp's keys.
    pub(super) fn describe(&self, writer: &mut Writer<'_>) -> Result<()> {
        writer.set("quantize.imatrix.file", self.name.as_str())?;
        if let Some(dataset) = &self.dataset {
            writer.set("quantize.imatrix.dataset", dataset.as_str())?;
        }
        writer.set("quantize.imatrix.entries_count", self.entries.len() as u32)?;
        if self.n_chunks > 0 {
            writer.set("quantize.imatrix.chunks_count", self.n_chunks)?;
        }
        Ok(())
    }
}

/// Tensors `NAME.in_sum2` of sums of squares, and `NAME.counts`, how many each is a sum of: one for
/// every expert.
fn from_gguf(bytes: Vec<u8>) -> Result<Imatrix> {
    let file = File::from_bytes(bytes)?;
    let mut imatrix = Imatrix {
        dataset: match file.array("imatrix.datasets")? {
            Some(names) => names.strs()?.next().map(str::to_owned),
            None => None,
        },
        n_chunks: file.u32("imatrix.chunk_count")?.unwrap_or(0),
        ..Imatrix::default()
    };
    for sums in file.tensors() {
        let Some(name) = sums.name.strip_suffix(".in_sum2") else { continue };
        let wrong = |what: &str| Error::Format(format!("tensor {name:?}: {what}"));
        let counts = file.tensor(&format!("{name}.counts")).ok_or_else(|| wrong("its counts are missing"))?;
        if sums.ty != GgmlType::F32 || counts.ty != GgmlType::F32 {
            return Err(wrong("sums and counts must be f32"));
        }
        let (n, n_matrices) = (sums.n_elements(), counts.n_elements());
        if !n.is_multiple_of(n_matrices) {
            return Err(wrong(&format!("{n} sums do not go with {n_matrices} counts")));
        }
        let floats = |bytes: &[u8]| bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let mut columns: Vec<f32> = floats(file.data(sums));
        let counts: Vec<f32> = floats(file.data(counts));
        for (columns, count) in columns.chunks_mut(n / n_matrices).zip(counts) {
            // An expert that was never asked has no data: all its columns are equal.
            let count = count.round();
            columns.iter_mut().for_each(|v| *v = if count > 0.0 { *v / count } else { 1.0 });
        }
        imatrix.insert(name, columns)?;
    }
    Ok(imatrix)
}

/// Little-endian: the number of entries; for each the length of the name, the name, how many
/// calls, how many values and these as f32, sums of the means of each call; then perhaps the number
/// of chunks, and the length and the name of the text.
fn from_dat(bytes: &[u8]) -> Result<Imatrix> {
    let mut left = bytes;
    let mut imatrix = Imatrix::default();
    let n_entries = int(&mut left)?;
    for _ in 0..n_entries {
        let n = int(&mut left)?;
        let name = text(take(&mut left, n)?);
        let n_calls = int(&mut left)?;
        let n = int(&mut left)?;
        let n_bytes = n.checked_mul(4).ok_or_else(ends)?;
        let values = take(&mut left, n_bytes)?.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
        let calls = n_calls.max(1) as f32;
        imatrix.insert(&name, values.map(|v| v / calls).collect())?;
    }
    if !left.is_empty() {
        imatrix.n_chunks = int(&mut left)? as u32;
    }
    if !left.is_empty() {
        let n = int(&mut left)?;
        imatrix.dataset = Some(text(take(&mut left, n)?)).filter(|t| !t.is_empty());
    }
    Ok(imatrix)
}

fn ends() -> Error {
    Error::Format("neither GGUF nor an imatrix: it ends in the middle of an entry".into())
}

fn take<'a>(left: &mut &'a [u8], n: usize) -> Result<&'a [u8]> {
    let (first, rest) = left.split_at_checked(n).ok_or_else(ends)?;
    *left = rest;
    Ok(first)
}

fn int(left: &mut &[u8]) -> Result<usize> {
    let bytes = take(left, 4)?.try_into().map_err(|_| ends())?;
    usize::try_from(i32::from_le_bytes(bytes))
        .map_err(|_| Error::Format("neither GGUF nor an imatrix: a length in it is negative".into()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}
