//! One validating walk over a shard: header, metadata, tensor table.
//!
//! Nothing in the file is trusted. A count is compared with the bytes that are left before
//! anything is done with it, and so what is reserved for that many entries is bounded by the file.

use std::ops::Range;

use super::tensor::{self, TensorInfo};
use super::value::{Array, Value, ValueType};
use super::{DEFAULT_ALIGNMENT, KEY_ALIGNMENT, MAX_ARRAY_DEPTH, MAX_KEY_LEN, MIN_ALIGNMENT, prefix};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// What one walk over a shard finds.
#[derive(Debug)]
pub(super) struct Header {
    pub version: u32,
    pub alignment: u64,
    /// Where each metadata entry begins, in file order, and where the last one ends: less than the
    /// entries take in the file.
    pub entries: Vec<usize>,
    /// Numbers of entries, sorted by key.
    pub by_key: Vec<u32>,
    /// Where the entry of each tensor begins, in file order.
    pub tensors: Vec<usize>,
    /// Where the data section begins.
    base: u64,
}

impl Header {
    /// The value under `key`.
    pub fn find<'a>(&self, bytes: &'a [u8], key: &str) -> Option<Value<'a>> {
        let key_of = |&i: &u32| name_at(bytes, self.entries[i as usize]);
        let at = self.by_key.binary_search_by(|i| key_of(i).cmp(key.as_bytes())).ok()?;
        let i = self.by_key[at] as usize;
        Some(read(bytes, self.entries[i]..self.entries[i + 1])?.1)
    }

    /// All keys and values in file order.
    pub fn read<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.entries.windows(2).filter_map(|at| read(bytes, at[0]..at[1]))
    }

    /// The tensor at place `i`; none if there is no such, or the file was changed under the map.
    pub fn tensor<'a>(&self, bytes: &'a [u8], i: usize) -> Option<TensorInfo<'a>> {
        let mut c = Cursor { bytes, pos: *self.tensors.get(i)? };
        let found = tensor_entry(&mut c, i).ok()?;
        Some(TensorInfo { offset: self.base.checked_add(found.offset)?, ..found })
    }
}

/// The key of the metadata entry, or the name of the tensor, whose entry begins at `start`.
pub(super) fn name_at(bytes: &[u8], start: usize) -> &[u8] {
    Cursor { bytes, pos: start }.str_bytes().unwrap_or_default()
}

/// The key and value of a checked entry; none only if the file was changed under the map.
fn read(bytes: &[u8], at: Range<usize>) -> Option<(&str, Value<'_>)> {
    let mut c = Cursor { bytes: bytes.get(..at.end)?, pos: at.start };
    let key = c.str().ok()?;
    let value = match c.value_type().ok()? {
        ValueType::Array => {
            let elem = c.value_type().ok()?;
            let len = c.u64().ok()?;
            let len = c.count(len, elem.min_size()).ok()?;
            Value::Array(Array { key, elem, len, bytes: &c.bytes[c.pos..] })
        }
        ty => c.value(ty, key, 0).ok()?,
    };
    Some((key, value))
}

/// Walks the shard whose bytes are `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Result<Header> {
    let mut c = Cursor::new(bytes);
    let version = version(&mut c).map_err(|e| prefix("header", e))?;
    let n_tensors = c.u64().map_err(|e| prefix("header: tensor count", e))?;
    let n_entries = c.u64().map_err(|e| prefix("header: metadata count", e))?;
    // Name length, dimension count, one dimension, type, offset.
    let n_tensors = c.count(n_tensors, 8 + 4 + 8 + 4 + 8).map_err(|e| prefix("header: tensor count", e))?;
    // Key length, one byte of key, type, one byte of value.
    let n_entries = c.count(n_entries, 8 + 1 + 4 + 1).map_err(|e| prefix("header: metadata count", e))?;

    let mut entries = Vec::with_capacity(n_entries + 1);
    for i in 0..n_entries {
        entries.push(c.pos);
        entry(&mut c, i)?;
    }
    entries.push(c.pos);
    let by_key = sorted(n_entries, "metadata key", |i| name_at(bytes, entries[i as usize]))?;

    let (alignment, tensors) = (DEFAULT_ALIGNMENT, Vec::with_capacity(n_tensors));
    let mut header = Header { version, alignment, entries, by_key, tensors, base: 0 };
    if let Some(value) = header.find(bytes, KEY_ALIGNMENT) {
        header.alignment = self::alignment(value)?;
    }
    for i in 0..n_tensors {
        header.tensors.push(c.pos);
        tensor_entry(&mut c, i)?;
    }
    if n_tensors > 0 {
        header.base = (c.pos as u64)
            .checked_next_multiple_of(header.alignment)
            .ok_or_else(|| Error::Format("tensor data: its start overflows".into()))?;
        check_places(&header, bytes)?;
    }
    Ok(header)
}

/// Checks that the data of tensors is aligned, inside the file and nowhere shared.
fn check_places(header: &Header, bytes: &[u8]) -> Result<()> {
    let Header { alignment, base, .. } = *header;
    let mut order = Vec::with_capacity(header.tensors.len());
    for (i, &pos) in header.tensors.iter().enumerate() {
        let t = tensor_entry(&mut Cursor { bytes, pos }, i)?;
        let within = |e| Err(prefix(format_args!("tensor {:?}", t.name), Error::Format(e)));
        if !t.offset.is_multiple_of(alignment) {
            return within(format!("offset {} is not a multiple of the alignment {alignment}", t.offset));
        }
        let start = base.checked_add(t.offset);
        match start.and_then(|s| s.checked_add(t.n_bytes() as u64)) {
            Some(end) if end <= bytes.len() as u64 => order.push((t.offset, i)),
            _ => {
                return within(format!(
                    "its {} bytes at offset {} of the data section, which begins at {base}, \
                     are not inside the file of {} bytes",
                    t.n_bytes(),
                    t.offset,
                    bytes.len()
                ));
            }
        }
    }
    order.sort_unstable();
    let tensor = |(_, i): (u64, usize)| tensor_entry(&mut Cursor { bytes, pos: header.tensors[i] }, i);
    for w in order.windows(2) {
        let a = tensor(w[0])?;
        if a.offset + a.n_bytes() as u64 > w[1].0 {
            let b = tensor(w[1])?;
            return Err(Error::Format(format!("the data of tensors {:?} and {:?} overlap", a.name, b.name)));
        }
    }
    Ok(())
}

/// Indices `0..n` sorted by what `name` gives, which must differ; `what` has the names.
pub(super) fn sorted<'a>(n: usize, what: &str, name: impl Fn(u32) -> &'a [u8]) -> Result<Vec<u32>> {
    let n = u32::try_from(n).map_err(|_| Error::Format(format!("{what}: {n} are more than 2^32")))?;
    let mut order: Vec<u32> = (0..n).collect();
    order.sort_unstable_by_key(|&i| name(i));
    match order.windows(2).find(|w| name(w[0]) == name(w[1])) {
        None => Ok(order),
        Some(w) => {
            Err(Error::Format(format!("{what} {:?} occurs twice", String::from_utf8_lossy(name(w[0])))))
        }
    }
}

fn version(c: &mut Cursor) -> Result<u32> {
    let magic = c.bytes(4)?;
    if magic != super::MAGIC {
        return Err(Error::Format(format!(
            "not a GGUF file: it begins with \"{}\", not \"GGUF\"",
            magic.escape_ascii()
        )));
    }
    match c.u32()? {
        v @ 2..=3 => Ok(v),
        1 => Err(Error::Unsupported("GGUF version 1 is not supported: convert the model again".into())),
        v if v & 0xffff == 0 && v != 0 => Err(Error::Unsupported(format!(
            "this is a big-endian GGUF file (version {}); only little-endian files are supported",
            v.swap_bytes()
        ))),
        v => Err(Error::Unsupported(format!("GGUF version {v} is not supported (2 and 3 are)"))),
    }
}

fn entry(c: &mut Cursor, i: usize) -> Result<()> {
    let nth = |e| prefix(format_args!("metadata entry {i}: key"), e);
    let key = c.str().map_err(nth)?;
    if key.is_empty() || key.len() > MAX_KEY_LEN {
        return Err(nth(Error::Format(format!("its length {} is outside 1..={MAX_KEY_LEN}", key.len()))));
    }
    let mut value = || c.value_type().and_then(|ty| c.value(ty, key, 0));
    value().map(drop).map_err(|e| prefix(format_args!("metadata key {key:?}"), e))
}

/// Checks the value of `general.alignment`.
pub(super) fn alignment(value: Value) -> Result<u64> {
    match value {
        Value::U32(v) if v.is_power_of_two() && v >= MIN_ALIGNMENT => Ok(v.into()),
        Value::U32(v) => Err(Error::Format(format!(
            "metadata key {KEY_ALIGNMENT:?} is {v}, want a power of two of at least {MIN_ALIGNMENT}"
        ))),
        v => Err(Error::Format(format!("metadata key {KEY_ALIGNMENT:?} is {}, want u32", v.ty().name()))),
    }
}

/// The tensor whose entry comes next, entry `i`; its offset is in the data section.
fn tensor_entry<'a>(c: &mut Cursor<'a>, i: usize) -> Result<TensorInfo<'a>> {
    let name = c.str().map_err(|e| prefix(format_args!("tensor table entry {i}: name"), e))?;
    tensor::check_name(name).map_err(|e| prefix(format_args!("tensor table entry {i}"), e))?;
    let within = |e| prefix(format_args!("tensor {name:?}"), e);
    let n_dims = c.u32().map_err(within)? as usize;
    if n_dims == 0 || n_dims > tensor::MAX_DIMS {
        return Err(within(Error::Format(format!("{n_dims} dimensions, want 1 to {}", tensor::MAX_DIMS))));
    }
    let mut dims = [1; tensor::MAX_DIMS];
    for d in &mut dims[..n_dims] {
        *d = c.u64().map_err(within)?;
    }
    let id = c.u32().map_err(within)?;
    let ty = GgmlType::from_id(id)
        .ok_or_else(|| within(Error::Unsupported(format!("unknown tensor type id {id}"))))?;
    let offset = c.u64().map_err(within)?;
    let shape = TensorInfo::new(name, &dims[..n_dims], ty).map_err(within)?;
    Ok(TensorInfo { offset, ..shape })
}

/// A position in a shard; every read is bounded by the bytes that are there.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub pos: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, pos: 0 }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.pos
    }

    #[inline]
    fn bytes(&mut self, n: usize) -> Result<&'a [u8]> {
        let Some(found) = self.bytes[self.pos..].get(..n) else { return Err(self.truncated(n)) };
        self.pos += n;
        Ok(found)
    }

    #[cold]
    fn truncated(&self, n: usize) -> Error {
        Error::Format(format!("truncated: {n} bytes wanted, {} left", self.left()))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Checks that `n` things of at least `size` bytes each can follow.
    fn count(&self, n: u64, size: usize) -> Result<usize> {
        usize::try_from(n).ok().filter(|n| *n <= self.left() / size).ok_or_else(|| self.too_many(n))
    }

    #[cold]
    fn too_many(&self, n: u64) -> Error {
        Error::Format(format!("{n} do not fit into the {} bytes that are left", self.left()))
    }

    fn str_bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.u64()?;
        let len = self.count(len, 1).map_err(|e| prefix("string length", e))?;
        self.bytes(len)
    }

    fn str(&mut self) -> Result<&'a str> {
        let bytes = self.str_bytes()?;
        std::str::from_utf8(bytes).map_err(|e| {
            Error::Format(format!("not valid UTF-8 (byte {} of {})", e.valid_up_to(), bytes.len()))
        })
    }

    fn value_type(&mut self) -> Result<ValueType> {
        let id = self.u32()?;
        ValueType::from_id(id).ok_or_else(|| Error::Format(format!("unknown value type id {id}")))
    }

    /// Reads and checks one value; `depth` is the number of arrays around it, `key` the metadata
    /// key that arrays remember.
    pub fn value(&mut self, ty: ValueType, key: &'a str, depth: usize) -> Result<Value<'a>> {
        Ok(match ty {
            ValueType::U8 => Value::U8(u8::from_le_bytes(self.array()?)),
            ValueType::I8 => Value::I8(i8::from_le_bytes(self.array()?)),
            ValueType::U16 => Value::U16(u16::from_le_bytes(self.array()?)),
            ValueType::I16 => Value::I16(i16::from_le_bytes(self.array()?)),
            ValueType::U32 => Value::U32(self.u32()?),
            ValueType::I32 => Value::I32(i32::from_le_bytes(self.array()?)),
            ValueType::U64 => Value::U64(self.u64()?),
            ValueType::I64 => Value::I64(i64::from_le_bytes(self.array()?)),
            ValueType::F32 => Value::F32(f32::from_le_bytes(self.array()?)),
            ValueType::F64 => Value::F64(f64::from_le_bytes(self.array()?)),
            ValueType::Bool => match self.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [v] => return Err(Error::Format(format!("a boolean is {v}, want 0 or 1"))),
            },
            ValueType::Str => Value::Str(self.str()?),
            ValueType::Array => Value::Array(self.elements(key, depth + 1)?),
        })
    }

    fn elements(&mut self, key: &'a str, depth: usize) -> Result<Array<'a>> {
        if depth > MAX_ARRAY_DEPTH {
            return Err(Error::Format(format!("arrays nested deeper than {MAX_ARRAY_DEPTH}")));
        }
        let elem = self.value_type().map_err(|e| prefix("array element type", e))?;
        let len = self.u64()?;
        let len = self.count(len, elem.min_size()).map_err(|e| prefix("array length", e))?;
        let start = self.pos;
        match elem.size() {
            // Any bits are a value, so there is nothing to look at.
            Some(size) if elem != ValueType::Bool => {
                self.bytes(len * size)?;
            }
            _ => {
                for i in 0..len {
                    self.value(elem, key, depth).map_err(|e| prefix(format_args!("element {i}"), e))?;
                }
            }
        }
        Ok(Array { key, elem, len, bytes: &self.bytes[start..self.pos] })
    }
}
