//! Importance data ("imatrix"): for each column of a weight matrix, the mean square of the
//! activations that it was multiplied by on some text. Reads the files of llama.cpp's `imatrix`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::gguf::{File, Writer};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// The importance of the columns of a model's matrices.
#[derive(Clone, Debug, Default)]
pub struct Imatrix {
    /// By tensor: a row of columns for each expert.
    entries: BTreeMap<String, Vec<f32>>,
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
            return Err(wrong(tensor, &format!("importance {v}, want 0 or more")));
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
        let Some(name) = sums.name.strip_suffix(".in_sum2") else {
            let orphan = sums.name.strip_suffix(".counts");
            if let Some(name) = orphan.filter(|name| file.tensor(&format!("{name}.in_sum2")).is_none()) {
                return Err(wrong(name, "its sums (in_sum2) are missing"));
            }
            continue;
        };
        let counts =
            file.tensor(&format!("{name}.counts")).ok_or_else(|| wrong(name, "its counts are missing"))?;
        if sums.ty != GgmlType::F32 || counts.ty != GgmlType::F32 {
            return Err(wrong(name, "sums and counts must be f32"));
        }
        let (n, n_matrices) = (sums.n_rows(), counts.n_elements());
        if n != n_matrices {
            return Err(wrong(name, &format!("{n} rows of sums do not go with {n_matrices} counts")));
        }
        let floats = |bytes: &[u8]| bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let mut columns: Vec<f32> = floats(file.data(&sums));
        let counts: Vec<f32> = floats(file.data(&counts));
        for (columns, count) in columns.chunks_mut(sums.row_len()).zip(counts) {
            if !count.is_finite() || count < 0.0 {
                return Err(wrong(name, &format!("a count is {count}, want 0 or more")));
            }
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
    let n_entries = int(&mut left, "the number of entries")?;
    for i in 0..n_entries {
        let entry = |what: &str| format!("entry {i} of {n_entries}: {what}");
        let n = int(&mut left, &entry("the length of its name"))?;
        let name = std::str::from_utf8(take(&mut left, n, &entry("its name"))?)
            .map_err(|_| bad(&entry("its name"), "not valid UTF-8"))?
            .trim_end_matches('\0');
        if name.is_empty() {
            return Err(bad(&entry("its name"), "empty"));
        }
        let tensor = |what: &str| format!("tensor {name:?}: {what}");
        let n_calls = int(&mut left, &tensor("the number of calls"))?;
        let n = int(&mut left, &tensor("the number of values"))?;
        let n_bytes = n.checked_mul(4).ok_or_else(|| bad(&tensor("the number of values"), "too large"))?;
        let values = take(&mut left, n_bytes, &tensor("its values"))?.as_chunks().0.iter();
        let calls = n_calls.max(1) as f32;
        let columns: Vec<f32> = values.map(|&b| f32::from_le_bytes(b) / calls).collect();
        if columns.is_empty() {
            return Err(wrong(name, "it has no values"));
        }
        if imatrix.get(name).is_some() {
            return Err(wrong(name, "it occurs twice"));
        }
        imatrix.insert(name, columns)?;
    }
    if !left.is_empty() {
        imatrix.n_chunks = int(&mut left, "the number of chunks")? as u32;
    }
    if !left.is_empty() {
        let n = int(&mut left, "the length of the text's name")?;
        let name = String::from_utf8_lossy(take(&mut left, n, "the text's name")?);
        imatrix.dataset = Some(name.trim_end_matches('\0').to_owned()).filter(|t| !t.is_empty());
    }
    if !left.is_empty() {
        return Err(bad("its end", &format!("{} bytes follow it", left.len())));
    }
    Ok(imatrix)
}

fn wrong(tensor: &str, what: &str) -> Error {
    Error::Format(format!("tensor {tensor:?}: {what}"))
}

/// An error of a `.dat` file, which may well be some other file.
fn bad(place: &str, what: &str) -> Error {
    Error::Format(format!("neither GGUF nor an imatrix: {place}: {what}"))
}

fn take<'a>(left: &mut &'a [u8], n: usize, what: &str) -> Result<&'a [u8]> {
    let Some((first, rest)) = left.split_at_checked(n) else {
        return Err(bad(what, &format!("truncated: {n} bytes wanted, {} left", left.len())));
    };
    *left = rest;
    Ok(first)
}

fn int(left: &mut &[u8], what: &str) -> Result<usize> {
    let bytes = take(left, 4, what)?.first_chunk().copied().unwrap_or_default();
    let n = i32::from_le_bytes(bytes);
    usize::try_from(n).map_err(|_| bad(what, &format!("negative ({n})")))
}
