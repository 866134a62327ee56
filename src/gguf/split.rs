//! Models split over several files, named `PREFIX-00001-of-0000N.gguf`.

use std::path::{Path, PathBuf};

use super::{File, Shard, prefix};
use crate::{Error, Result};

pub(super) const KEY_NO: &str = "split.no";
pub(super) const KEY_COUNT: &str = "split.count";
pub(super) const KEY_TENSORS: &str = "split.tensors.count";

/// The end of the name of shard `no` (from 0) of `count`.
fn suffix(no: u16, count: u16) -> String {
    format!("-{:05}-of-{count:05}.gguf", u32::from(no) + 1)
}

/// The path of shard `no` (from 0) of `count` under a prefix, as llama.cpp names them.
pub fn shard_path(prefix: &Path, no: u16, count: u16) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(suffix(no, count));
    name.into()
}

/// The number (from 0) and count that a shard gives for itself; (0, 1) of a model in one file.
pub(super) fn position(file: &File) -> Result<(u16, u16)> {
    let get = |key| match file.get(key) {
        None => Ok(None),
        Some(v) => v.integer::<u16>().map(Some).ok_or_else(|| {
            Error::Format(format!("metadata key {key:?} is not an integer below 65536 ({})", v.ty().name()))
        }),
    };
    let count = get(KEY_COUNT)?.unwrap_or(1).max(1);
    match get(KEY_NO)? {
        Some(no) if no >= count => {
            Err(Error::Format(format!("metadata key {KEY_NO:?} is {no}, but {KEY_COUNT:?} is {count}")))
        }
        None if count > 1 => {
            Err(Error::Format(format!("metadata key {KEY_NO:?} is missing, but {KEY_COUNT:?} is {count}")))
        }
        no => Ok((no.unwrap_or(0), count)),
    }
}

/// Opens the shards after `first`, which was read from `path`, and puts their tensors in `first`.
pub(super) fn follow(first: &mut File, path: &Path) -> Result<()> {
    let (no, count) = position(first)?;
    if count == 1 {
        return Ok(());
    }
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let expected = suffix(no, count);
    let Some(stem) = name.strip_suffix(expected.as_str()) else {
        return Err(Error::Format(format!(
            "this is shard {} of {count}: its file name must be UTF-8 and end in {expected:?}",
            no + 1
        )));
    };
    let sibling = |no| shard_path(&path.with_file_name(stem), no, count);
    if no != 0 {
        return Err(Error::InvalidArgument(format!(
            "this is shard {} of {count}: pass the first one, {}",
            no + 1,
            sibling(0).display()
        )));
    }
    for no in 1..count {
        let path = sibling(no);
        let shard = Shard::open(&path)?;
        first.adopt(shard, no, count).map_err(|e| prefix(path.display(), e))?;
    }
    let total = first.u64(KEY_TENSORS)?.ok_or_else(|| missing(KEY_TENSORS))?;
    if total != first.n_tensors() as u64 {
        return Err(Error::Format(format!(
            "metadata key {KEY_TENSORS:?} is {total}, but the {count} shards hold {} tensors",
            first.n_tensors()
        )));
    }
    Ok(())
}

/// The error for a key that must be there.
pub(super) fn missing(key: &str) -> Error {
    Error::Format(format!("metadata key {key:?} is missing"))
}
