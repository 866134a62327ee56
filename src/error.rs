//! The one error type of the library. Every message names the thing that is wrong and, where
//! there is something to do about it, says what.

use std::path::{Path, PathBuf};

/// Why an operation failed. The C ABI maps each variant to one `rf_status`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open, map, read or write a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is damaged or is not what it claims to be.
    #[error("{0}")]
    Format(String),
    /// Well-formed, but this build cannot do it: an architecture, a tensor type, a tokenizer.
    #[error("{0}")]
    Unsupported(String),
    /// The caller passed a value outside its documented range.
    #[error("{0}")]
    InvalidArgument(String),
    /// A name, key or id that does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The memory asked for cannot be had.
    #[error("{0}")]
    OutOfMemory(String),
    /// The batch holds as many tokens as it was made for.
    #[error("{0}")]
    BatchFull(String),
    /// The KV cache has no room for the batch.
    #[error("{0}")]
    KvFull(String),
    /// The abort or progress callback asked to stop.
    #[error("{0}")]
    Aborted(String),
    /// A compute backend or device failed.
    #[error("{0}")]
    Backend(String),
    /// A defect in this library.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Shorthand for results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An I/O error on `path`.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), source }
    }
}
