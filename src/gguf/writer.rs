//! Writing GGUF files: metadata in the order it was set, then tensors in the order they were
//! added, each padded to the alignment; in one file or in shards.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::parse::{self, Cursor};
use super::tensor::{self, TensorInfo};
use super::value::{Array, Value, ValueType};
use super::{DEFAULT_ALIGNMENT, KEY_ALIGNMENT, MAGIC, MAX_KEY_LEN, prefix, split};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// An array under construction, laid out as in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayBuf {
    elem: ValueType,
    len: usize,
    bytes: Vec<u8>,
}

impl ArrayBuf {
    /// An empty array of `elem`.
    pub fn new(elem: ValueType) -> Self {
        ArrayBuf { elem, len: 0, bytes: Vec::new() }
    }

    /// Appends an element.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] unless it is of the array's type.
    pub fn push<'v>(&mut self, value: impl Into<Value<'v>>) -> Result<()> {
        let value = value.into();
        if value.ty() != self.elem {
            return Err(Error::InvalidArgument(format!(
                "a value of type {} does not go into an array of {}",
                value.ty().name(),
                self.elem.name()
            )));
        }
        encode(&mut self.bytes, value);
        self.len += 1;
        Ok(())
    }

    /// The array as the reader would give it.
    pub fn as_array(&self) -> Array<'_> {
        Array { key: "", elem: self.elem, len: self.len, bytes: &self.bytes }
    }
}

macro_rules! from_slice {
    ($($ty:ty => $variant:ident),+) => {
        $(impl From<&[$ty]> for ArrayBuf {
            fn from(items: &[$ty]) -> Self {
                let mut array = ArrayBuf::new(ValueType::$variant);
                items.iter().for_each(|&v| encode(&mut array.bytes, v.into()));
                array.len = items.len();
                array
            }
        })+
    };
}
from_slice!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64,
            f32 => F32, f64 => F64, bool => Bool, &str => Str);

fn encode(out: &mut Vec<u8>, value: Value) {
    match value {
        Value::U8(v) => out.push(v),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push(v.into()),
        Value::Str(v) => encode_str(out, v),
        Value::Array(v) => {
            out.extend((v.elem as u32).to_le_bytes());
            out.extend((v.len as u64).to_le_bytes());
            out.extend(v.bytes);
        }
    }
}

fn encode_str(out: &mut Vec<u8>, v: &str) {
    out.extend((v.len() as u64).to_le_bytes());
    out.extend(v.as_bytes());
}

type Fill<'a> = Box<dyn FnOnce(&mut Sink<'_>) -> Result<()> + 'a>;

/// Where the bytes of a tensor come from.
enum Source<'a> {
    Slice(&'a [u8]),
    Stream(Fill<'a>),
}

struct Pending<'a> {
    name: String,
    dims: Vec<u64>,
    ty: GgmlType,
    n_bytes: usize,
    source: Source<'a>,
}

#[derive(Clone)]
struct Entry {
    key: String,
    ty: ValueType,
    bytes: Vec<u8>,
}

/// What bounds a shard, see [`Writer::write_split`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// At most this many tensors in a shard.
    Tensors(usize),
    /// At most this many bytes of padded tensor data in a shard; a larger tensor has one alone.
    Bytes(u64),
}

/// A GGUF file under construction.
///
/// The alignment is that of the metadata key [`KEY_ALIGNMENT`](super::KEY_ALIGNMENT), a u32, and
/// [`DEFAULT_ALIGNMENT`](super::DEFAULT_ALIGNMENT) without it. A writer refuses what the reader
/// would refuse.
pub struct Writer<'a> {
    version: u32,
    entries: Vec<Entry>,
    tensors: Vec<Pending<'a>>,
}

impl Default for Writer<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Writer<'a> {
    /// An empty file of version 3.
    pub fn new() -> Self {
        Writer { version: 3, entries: Vec::new(), tensors: Vec::new() }
    }

    /// Writes version 2 or 3; in a little-endian file they differ in nothing but the number.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for another version.
    pub fn set_version(&mut self, version: u32) -> Result<()> {
        if !(2..=3).contains(&version) {
            return Err(Error::InvalidArgument(format!("cannot write GGUF version {version}, only 2 and 3")));
        }
        self.version = version;
        Ok(())
    }

    /// Sets the value of `key`, in place if it is there already, else at the end.
    ///
    /// # Errors
    /// [`Error::Format`] for an empty or too long key, an array nested too deep or an alignment
    /// that is not allowed.
    pub fn set<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) -> Result<()> {
        let value = value.into();
        if key.is_empty() || key.len() > MAX_KEY_LEN {
            return Err(Error::Format(format!(
                "metadata key {key:?} has {} bytes, want 1 to {MAX_KEY_LEN}",
                key.len()
            )));
        }
        if key == KEY_ALIGNMENT {
            parse::alignment(value)?;
        }
        let mut bytes = Vec::new();
        encode(&mut bytes, value);
        if let Value::Array(_) = value {
            Cursor::new(&bytes)
                .value(ValueType::Array, key, 0)
                .map_err(|e| prefix(format_args!("metadata key {key:?}"), e))?;
        }
        let entry = Entry { key: key.to_owned(), ty: value.ty(), bytes };
        match self.entries.iter_mut().find(|e| e.key == key) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
        Ok(())
    }

    /// Adds a tensor of `dims` elements (the contiguous dimension first) whose bytes are `data`.
    ///
    /// # Errors
    /// [`Error::Format`] naming the tensor if the name, the shape or the amount of data is wrong.
    pub fn tensor(&mut self, name: &str, dims: &[u64], ty: GgmlType, data: &'a [u8]) -> Result<()> {
        let tensor = pending(name, dims, ty, Source::Slice(data))?;
        if tensor.n_bytes != data.len() {
            return Err(Error::Format(format!(
                "tensor {name:?}: {} bytes given, its shape takes {}",
                data.len(),
                tensor.n_bytes
            )));
        }
        self.tensors.push(tensor);
        Ok(())
    }

    /// Adds a tensor whose bytes `fill` gives while the file is written, so that a model need
    /// not be in memory.
    ///
    /// # Errors
    /// As [`Writer::tensor`]; a wrong amount of data shows when the file is written.
    pub fn tensor_from(
        &mut self,
        name: &str,
        dims: &[u64],
        ty: GgmlType,
        fill: impl FnOnce(&mut Sink<'_>) -> Result<()> + 'a,
    ) -> Result<()> {
        self.tensors.push(pending(name, dims, ty, Source::Stream(Box::new(fill)))?);
        Ok(())
    }

    /// Writes the file at `path`, replacing what is there.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if two tensors have the same name or a closure gave too
    /// little or too much; whatever a closure returns.
    pub fn write(self, path: &Path) -> Result<()> {
        self.check_names()?;
        let alignment = self.alignment();
        write_file(path, self.version, alignment, &self.entries, self.tensors)
    }

    /// The file in memory.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn into_bytes(self) -> Result<Vec<u8>> {
        self.check_names()?;
        let mut out = Vec::new();
        let alignment = self.alignment();
        write_shard(&mut out, Path::new("memory"), self.version, alignment, &self.entries, self.tensors)?;
        Ok(out)
    }

    /// Writes `PREFIX-00001-of-0000N.gguf` and so on, and returns the paths in order. The first
    /// shard has all metadata, the others what describes the split.
    ///
    /// # Errors
    /// As [`Writer::write`]; [`Error::InvalidArgument`] for a limit of zero tensors or more than
    /// 65535 shards.
    pub fn write_split(mut self, prefix: &Path, by: SplitBy) -> Result<Vec<PathBuf>> {
        self.check_names()?;
        if by == SplitBy::Tensors(0) {
            return Err(Error::InvalidArgument("shards of at most 0 tensors hold nothing".into()));
        }
        let alignment = self.alignment();
        let n_tensors = self.tensors.len();
        let mut shards: Vec<Vec<Pending>> = vec![Vec::new()];
        let mut size = 0u64;
        for t in std::mem::take(&mut self.tensors) {
            let bytes = (t.n_bytes as u64).next_multiple_of(alignment);
            let last = shards.last().expect("starts with one");
            let full = match by {
                SplitBy::Tensors(n) => last.len() >= n,
                SplitBy::Bytes(n) => !last.is_empty() && size.saturating_add(bytes) > n,
            };
            if full {
                shards.push(Vec::new());
                size = 0;
            }
            size = size.saturating_add(bytes);
            shards.last_mut().expect("starts with one").push(t);
        }
        let too_many =
            |what: &str, n: usize| Error::InvalidArgument(format!("{n} {what} are too many for a split"));
        let count = u16::try_from(shards.len()).map_err(|_| too_many("shards", shards.len()))?;
        let total = i32::try_from(n_tensors).map_err(|_| too_many("tensors", n_tensors))?;
        let mut paths = Vec::new();
        for (no, tensors) in (0..count).zip(shards) {
            if no == 1 {
                self.entries.retain(|e| e.key == KEY_ALIGNMENT);
            }
            self.set(split::KEY_NO, no)?;
            self.set(split::KEY_COUNT, count)?;
            self.set(split::KEY_TENSORS, total)?;
            let path = split::shard_path(prefix, no, count);
            write_file(&path, self.version, alignment, &self.entries, tensors)?;
            paths.push(path);
        }
        Ok(paths)
    }

    fn alignment(&self) -> u64 {
        // `set` lets nothing but a u32 of an allowed value in.
        let bytes = self.entries.iter().find(|e| e.key == KEY_ALIGNMENT).map(|e| e.bytes.as_slice());
        bytes.and_then(|b| b.try_into().ok()).map_or(DEFAULT_ALIGNMENT, |b| u32::from_le_bytes(b).into())
    }

    fn check_names(&self) -> Result<()> {
        parse::sorted(self.tensors.len(), "tensor", |i| self.tensors[i as usize].name.as_bytes()).map(drop)
    }
}

/// A tensor to write, checked as the reader does.
fn pending<'a>(name: &str, dims: &[u64], ty: GgmlType, source: Source<'a>) -> Result<Pending<'a>> {
    tensor::check_name(name)?;
    let info = TensorInfo::new(name, dims, ty).map_err(|e| prefix(format_args!("tensor {name:?}"), e))?;
    Ok(Pending { name: name.to_owned(), dims: dims.to_vec(), ty, n_bytes: info.n_bytes(), source })
}

fn write_file(
    path: &Path,
    version: u32,
    alignment: u64,
    entries: &[Entry],
    tensors: Vec<Pending>,
) -> Result<()> {
    let file = std::fs::File::create(path).map_err(|e| Error::io(path, e))?;
    let mut out = io::BufWriter::with_capacity(1 << 20, file);
    write_shard(&mut out, path, version, alignment, entries, tensors)?;
    out.flush().map_err(|e| Error::io(path, e))
}

fn write_shard(
    out: &mut dyn Write,
    path: &Path,
    version: u32,
    alignment: u64,
    entries: &[Entry],
    tensors: Vec<Pending>,
) -> Result<()> {
    let padding = |n: u64| vec![0; (n.next_multiple_of(alignment) - n) as usize];
    let mut header = MAGIC.to_vec();
    header.extend(version.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((entries.len() as u64).to_le_bytes());
    for e in entries {
        encode_str(&mut header, &e.key);
        header.extend((e.ty as u32).to_le_bytes());
        header.extend(&e.bytes);
    }
    let mut offset = 0u64;
    for t in &tensors {
        encode_str(&mut header, &t.name);
        header.extend((t.dims.len() as u32).to_le_bytes());
        for d in &t.dims {
            header.extend(d.to_le_bytes());
        }
        header.extend((t.ty as u32).to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset = offset
            .checked_add(t.n_bytes as u64)
            .and_then(|n| n.checked_next_multiple_of(alignment))
            .ok_or_else(|| Error::Format(format!("tensor {:?}: its offset overflows", t.name)))?;
    }
    header.extend(padding(header.len() as u64));
    let io = |e| Error::io(path, e);
    out.write_all(&header).map_err(io)?;
    for Pending { name, n_bytes, source, .. } in tensors {
        let mut sink = Sink { out: &mut *out, path, left: n_bytes };
        let result = match source {
            Source::Slice(data) => sink.write(data),
            Source::Stream(fill) => fill(&mut sink),
        };
        match (result, sink.left) {
            (Ok(()), 0) => {}
            (Ok(()), left) => {
                return Err(Error::Format(format!("tensor {name:?}: {left} bytes are missing")));
            }
            (Err(e), _) => return Err(prefix(format_args!("tensor {name:?}"), e)),
        }
        out.write_all(&padding(n_bytes as u64)).map_err(io)?;
    }
    Ok(())
}

/// Takes the bytes of one tensor.
pub struct Sink<'a> {
    out: &'a mut dyn Write,
    path: &'a Path,
    left: usize,
}

impl Sink<'_> {
    /// Writes the next bytes of the tensor.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for more bytes than the tensor's shape takes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.left = self
            .left
            .checked_sub(bytes.len())
            .ok_or_else(|| Error::Format("more bytes are given than its shape takes".into()))?;
        self.out.write_all(bytes).map_err(|e| Error::io(self.path, e))
    }
}
