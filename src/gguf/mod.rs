//! The GGUF file format (version 2 and 3, little-endian): a memory-mapped reader and a writer.
//!
//! Owns the bytes of a model file: mapping, validation, metadata values, the tensor table, splits.
//! Knows element types by size only ([`crate::quant`]); what keys and tensors mean is for the
//! folders above. Nothing here reads tensor data.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod parse;
mod split;
mod tensor;
mod value;
mod writer;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapMut};

pub use split::shard_path;
pub use tensor::{MAX_DIMS, MAX_NAME_LEN, TensorInfo};
pub use value::{Array, Value, ValueType, Values};
pub use writer::{ArrayBuf, Sink, SplitBy, Writer};

use crate::{Error, Result, counters};

const MAGIC: &[u8; 4] = b"GGUF";
/// The metadata key that sets the alignment of tensor data.
pub const KEY_ALIGNMENT: &str = "general.alignment";
/// The alignment of tensor data where the file names none.
pub const DEFAULT_ALIGNMENT: u64 = 32;
/// The smallest alignment that the specification allows; kernels read numbers of up to 8 bytes.
const MIN_ALIGNMENT: u32 = 8;
/// The specification's limit on a metadata key, in bytes.
const MAX_KEY_LEN: usize = 65535;
/// Arrays may nest this deep; real files use one level.
const MAX_ARRAY_DEPTH: usize = 8;

/// An open model: one or more mapped files, each parsed once.
///
/// Everything borrowed from it lies in the map. Truncating or overwriting a file while it is open
/// is outside what any reader of a map can survive (SIGBUS, or other values than were checked):
/// replace model files by renaming a new one over them.
#[derive(Debug)]
pub struct File {
    /// The first one has the metadata.
    shards: Vec<Shard>,
    /// Indices of tensors, sorted by name.
    by_name: Vec<u32>,
}

#[derive(Debug)]
struct Shard {
    map: Mmap,
    /// What is mapped; nothing where the bytes were given.
    source: Option<(PathBuf, std::fs::File)>,
    header: parse::Header,
    /// The index of its first tensor.
    first: usize,
}

impl Shard {
    fn open(path: &Path) -> Result<Shard> {
        let io = |e| Error::io(path, e);
        // Asked before opening: opening a pipe would block.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(Error::Format(format!("{}: not a regular file", path.display())));
        }
        let file = std::fs::File::open(path).map_err(io)?;
        counters::file_open(1);
        if file.metadata().map_err(io)?.len() == 0 {
            return Err(Error::Format(format!("{}: the file is empty", path.display())));
        }
        // SAFETY: the map is private and read-only, so this process cannot change it. Another
        // process that changes the file meanwhile breaks the contract documented on `File`.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let mut shard = Self::parse(map).map_err(|e| prefix(path.display(), e))?;
        shard.source = Some((path.to_path_buf(), file));
        Ok(shard)
    }

    fn parse(map: Mmap) -> Result<Shard> {
        counters::file_parse(1);
        let header = parse::parse(&map)?;
        Ok(Shard { map, source: None, header, first: 0 })
    }
}

impl File {
    /// Opens and validates a model.
    ///
    /// Of a split model, `path` is the first shard (`...-00001-of-0000N.gguf`); the others are
    /// opened beside it. No tensor data is read.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be opened or mapped; [`Error::Unsupported`] for other
    /// versions, big-endian files and unknown tensor types; [`Error::InvalidArgument`] for a shard
    /// other than the first; [`Error::Format`] for everything that is wrong in a file, naming
    /// the file and the key, tensor or section.
    pub fn open(path: &Path) -> Result<File> {
        let mut file = File::single(Shard::open(path)?);
        split::follow(&mut file, path).and_then(|()| file.index()).map_err(|e| prefix(path.display(), e))?;
        Ok(file)
    }

    /// Validates a model of one shard that is in memory already.
    ///
    /// # Errors
    /// As [`File::open`]; a shard of a split model is [`Error::InvalidArgument`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<File> {
        if bytes.is_empty() {
            return Err(Error::Format("the file is empty".into()));
        }
        // An anonymous map, so that data is as aligned as that of a mapped file.
        let oom = |e| Error::OutOfMemory(format!("{} bytes for a model: {e}", bytes.len()));
        let mut map = MmapMut::map_anon(bytes.len()).map_err(oom)?;
        map.copy_from_slice(&bytes);
        let mut file = File::single(Shard::parse(map.make_read_only().map_err(oom)?)?);
        let (no, count) = split::position(&file)?;
        if count > 1 {
            return Err(Error::InvalidArgument(format!(
                "this is shard {} of {count}: a split model must be opened by its path",
                no + 1
            )));
        }
        file.index()?;
        Ok(file)
    }

    fn single(shard: Shard) -> File {
        File { shards: vec![shard], by_name: Vec::new() }
    }

    /// Takes in the next shard of a split model.
    fn adopt(&mut self, shard: Shard, no: u16, count: u16) -> Result<()> {
        let mut next = File::single(shard);
        let found = split::position(&next)?;
        if found != (no, count) {
            return Err(Error::Format(format!(
                "it says it is shard {} of {}, want {} of {count}",
                found.0 + 1,
                found.1,
                no + 1
            )));
        }
        next.shards[0].first = self.n_tensors();
        self.shards.append(&mut next.shards);
        Ok(())
    }

    fn index(&mut self) -> Result<()> {
        self.by_name = parse::sorted(self.n_tensors(), "tensor", |i| self.name(i))?;
        Ok(())
    }

    /// The shard that has tensor `index`, and its number.
    fn shard_of(&self, index: usize) -> (usize, &Shard) {
        let no = self.shards.partition_point(|s| s.first <= index) - 1;
        (no, &self.shards[no])
    }

    /// The name of tensor `index`, which must be there.
    fn name(&self, index: u32) -> &[u8] {
        let (_, Shard { map, header, first, .. }) = self.shard_of(index as usize);
        parse::name_at(map, header.tensors[index as usize - first])
    }

    /// The format version of the (first) file, 2 or 3.
    pub fn version(&self) -> u32 {
        self.shards[0].header.version
    }

    /// The alignment of tensor data in bytes, a power of two of at least 8.
    pub fn alignment(&self) -> u64 {
        self.shards[0].header.alignment
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        let Shard { map, header, .. } = &self.shards[0];
        header.find(map, key)
    }

    /// All metadata in file order (of a split model, the first shard's).
    pub fn keys(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        let Shard { map, header, .. } = &self.shards[0];
        header.read(map)
    }

    /// The string under `key`; an error naming the key if it is something else.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", |v| if let Value::Str(s) = v { Some(s) } else { None })
    }

    /// The number under `key`, of any integer type; an error naming the key if it does not fit.
    pub fn u32(&self, key: &str) -> Result<Option<u32>> {
        self.typed(key, "an integer from 0 to 2^32-1", |v| v.integer())
    }

    /// The number under `key`, of any integer type; an error naming the key if it does not fit.
    pub fn u64(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a non-negative integer", |v| v.integer())
    }

    /// The number under `key`, of any integer type; an error naming the key if it does not fit.
    pub fn i64(&self, key: &str) -> Result<Option<i64>> {
        self.typed(key, "an integer below 2^63", |v| v.integer())
    }

    /// The number under `key`, f32 or f64; an error naming the key if it is something else.
    pub fn f32(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a float", |v| v.float())
    }

    /// The boolean under `key`; an error naming the key if it is something else.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "a boolean", |v| if let Value::Bool(b) = v { Some(b) } else { None })
    }

    /// The array under `key`; an error naming the key if it is something else.
    pub fn array(&self, key: &str) -> Result<Option<Array<'_>>> {
        self.typed(key, "an array", |v| if let Value::Array(a) = v { Some(a) } else { None })
    }

    /// [`File::str`] of a key that must be there.
    pub fn need_str(&self, key: &str) -> Result<&str> {
        self.str(key)?.ok_or_else(|| split::missing(key))
    }

    /// [`File::u32`] of a key that must be there.
    pub fn need_u32(&self, key: &str) -> Result<u32> {
        self.u32(key)?.ok_or_else(|| split::missing(key))
    }

    /// [`File::f32`] of a key that must be there.
    pub fn need_f32(&self, key: &str) -> Result<f32> {
        self.f32(key)?.ok_or_else(|| split::missing(key))
    }

    /// [`File::array`] of a key that must be there.
    pub fn need_array(&self, key: &str) -> Result<Array<'_>> {
        self.array(key)?.ok_or_else(|| split::missing(key))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        want: &str,
        get: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let ty = value.ty();
        match (get(value), value.integer::<i128>()) {
            (Some(v), _) => Ok(Some(v)),
            (None, Some(n)) => {
                Err(Error::Format(format!("metadata key {key:?} is {n} ({}), want {want}", ty.name())))
            }
            (None, None) => Err(Error::Format(format!("metadata key {key:?} is {}, want {want}", ty.name()))),
        }
    }

    /// The number of tensors.
    pub fn n_tensors(&self) -> usize {
        self.shards.last().map_or(0, |s| s.first + s.header.tensors.len())
    }

    /// Every tensor in file order, shard after shard.
    pub fn tensors(&self) -> impl Iterator<Item = TensorInfo<'_>> + Clone {
        (0..self.n_tensors()).filter_map(|i| self.tensor_at(i))
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<TensorInfo<'_>> {
        let at = self.by_name.binary_search_by(|&i| self.name(i).cmp(name.as_bytes())).ok()?;
        self.tensor_at(self.by_name[at] as usize)
    }

    /// The tensor at place `index` in file order.
    pub fn tensor_at(&self, index: usize) -> Option<TensorInfo<'_>> {
        let (no, Shard { map, header, first, .. }) = self.shard_of(index);
        let found = header.tensor(map, index - first)?;
        Some(TensorInfo { index, shard: no as u16, ..found })
    }

    /// The data of `t`, a tensor of this file: `t.n_bytes()` bytes in the map, aligned to at
    /// least 8 bytes.
    ///
    /// # Panics
    /// If `t` comes from another file in which such an offset exists and here does not.
    pub fn data(&self, t: &TensorInfo<'_>) -> &[u8] {
        &self.shards[t.shard as usize].map[t.offset as usize..][..t.n_bytes()]
    }

    /// Copies the data of `t` to `out`, which has `t.n_bytes()` bytes. It is read from the file, so that
    /// the map takes no memory for it.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, or is shorter than it was.
    ///
    /// # Panics
    /// As [`File::data`]; if `out` has another size.
    pub fn read(&self, t: &TensorInfo<'_>, out: &mut [u8]) -> Result<()> {
        assert_eq!(out.len(), t.n_bytes(), "the data of {}", t.name);
        self.read_at(t, 0, out)
    }

    /// As [`File::read`], of `out.len()` bytes from byte `at` of the data on.
    ///
    /// # Errors
    /// As [`File::read`].
    ///
    /// # Panics
    /// As [`File::data`]; if `t` has no such bytes.
    pub fn read_at(&self, t: &TensorInfo, at: usize, out: &mut [u8]) -> Result<()> {
        assert!(at <= t.n_bytes() && out.len() <= t.n_bytes() - at, "the data of {}", t.name);
        #[cfg(unix)]
        if let Some((path, file)) = &self.shards[t.shard as usize].source {
            use std::os::unix::fs::FileExt;
            return file.read_exact_at(out, t.offset + at as u64).map_err(|e| Error::io(path, e));
        }
        out.copy_from_slice(&self.data(t)[at..][..out.len()]);
        Ok(())
    }

    /// Tells the system that the data of `t` will be read soon, so that it can start to load it.
    /// Reads nothing by itself.
    pub fn prefetch(&self, t: &TensorInfo<'_>) {
        #[cfg(unix)]
        {
            // Advice only: what the system does not do now it does when the data is read.
            let map = &self.shards[t.shard as usize].map;
            let _ = map.advise_range(memmap2::Advice::WillNeed, t.offset as usize, t.n_bytes());
        }
    }
}

/// Puts what a message is about in front of it.
fn prefix(what: impl Display, e: Error) -> Error {
    match e {
        Error::Format(m) => Error::Format(format!("{what}: {m}")),
        Error::Unsupported(m) => Error::Unsupported(format!("{what}: {m}")),
        Error::InvalidArgument(m) => Error::InvalidArgument(format!("{what}: {m}")),
        e => e,
    }
}
