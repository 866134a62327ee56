//! How the embeddings of tokens become one of a sequence.

use crate::{Error, Result};

/// How the tokens of a sequence become one embedding. Numbers are those of GGUF's
/// `{arch}.pooling_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Pooling {
    /// Not at all: one embedding per token.
    None = 0,
    /// The mean of the tokens.
    Mean = 1,
    /// The first token.
    Cls = 2,
    /// The last token.
    Last = 3,
}

impl Pooling {
    /// Every way of pooling.
    pub const ALL: [Pooling; 4] = [Pooling::None, Pooling::Mean, Pooling::Cls, Pooling::Last];

    /// The pooling with GGUF's number `n`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for numbers that are none, 4 (ranking) among them.
    pub fn from_number(n: i64) -> Result<Pooling> {
        Pooling::ALL.into_iter().find(|p| *p as i64 == n).ok_or_else(|| {
            Error::Unsupported(format!("pooling {n} is not supported; 0 none, 1 mean, 2 cls and 3 last are"))
        })
    }

    /// The name that llama.cpp's flags have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Pooling::None => "none",
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
            Pooling::Last => "last",
        }
    }
}
