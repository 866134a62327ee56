//! The token table: text, piece, score and attributes of every id, and the way back from a text.

use super::Token;
use crate::{Error, Result};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// What kind of token an id is: bits, with the values of `enum llama_token_attr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attr(pub u32);

#[allow(missing_docs)]
impl Attr {
    pub const UNDEFINED: Attr = Attr(0);
    pub const UNKNOWN: Attr = Attr(1 << 0);
    pub const UNUSED: Attr = Attr(1 << 1);
    pub const NORMAL: Attr = Attr(1 << 2);
    pub const CONTROL: Attr = Attr(1 << 3);
    pub const USER_DEFINED: Attr = Attr(1 << 4);
    pub const BYTE: Attr = Attr(1 << 5);
    pub const LSTRIP: Attr = Attr(1 << 7);
    pub const RSTRIP: Attr = Attr(1 << 8);

    /// Whether any bit of `mask` is set.
    pub const fn any(self, mask: Attr) -> bool {
        self.0 & mask.0 != 0
    }

    /// Both sets of bits.
    pub const fn with(self, other: Attr) -> Attr {
        Attr(self.0 | other.0)
    }

    /// Without the bits of `other`.
    pub const fn without(self, other: Attr) -> Attr {
        Attr(self.0 & !other.0)
    }

    /// From the numbers of `tokenizer.ggml.token_type`.
    pub(super) fn from_type(ty: i32) -> Attr {
        match ty {
            1 => Attr::NORMAL,
            2 => Attr::UNKNOWN,
            3 => Attr::CONTROL,
            4 => Attr::USER_DEFINED,
            5 => Attr::UNUSED,
            6 => Attr::BYTE,
            _ => Attr::UNDEFINED,
        }
    }
}

/// A range of the arena.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    len: u32,
}

/// All tokens of a vocabulary; ids are indices.
pub struct Tokens {
    arena: Vec<u8>,
    texts: Vec<Span>,
    pieces: Vec<Span>,
    scores: Vec<f32>,
    attrs: Vec<Attr>,
    by_text: HashTable<u32>,
    hasher: RandomState,
}

impl Tokens {
    /// A table of the given texts, which must differ. `scores` and `attrs` are as long as `texts`.
    pub fn new<'a>(
        texts: impl Iterator<Item = &'a str>,
        n: usize,
        scores: Vec<f32>,
        attrs: Vec<Attr>,
    ) -> Result<Tokens> {
        debug_assert!(scores.len() == n && attrs.len() == n);
        let mut t = Tokens {
            arena: Vec::new(),
            texts: Vec::with_capacity(n),
            pieces: Vec::new(),
            scores,
            attrs,
            by_text: HashTable::with_capacity(n),
            hasher: RandomState::default(),
        };
        for (id, text) in texts.enumerate() {
            // The name that the reference gives to a token without text.
            let empty;
            let text = match text {
                "" => {
                    empty = format!("[EMPTY_{id}]");
                    &empty
                }
                text => text,
            };
            let span = t.store(|arena| arena.extend_from_slice(text.as_bytes()))?;
            t.texts.push(span);
            let hash = t.hasher.hash_one(text.as_bytes());
            if let Some(&twin) = t.by_text.find(hash, |&other| t.text_bytes(other) == text.as_bytes()) {
                return Err(Error::Format(format!(
                    "tokenizer.ggml.tokens: ids {twin} and {id} have the same text {text:?}"
                )));
            }
            let (texts, arena, hasher) = (&t.texts, &t.arena, &t.hasher);
            t.by_text.insert_unique(hash, id as u32, |&id| hasher.hash_one(slice(arena, texts[id as usize])));
        }
        Ok(t)
    }

    fn store(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Span> {
        let start = self.arena.len();
        write(&mut self.arena);
        match u32::try_from(self.arena.len()) {
            Ok(end) => Ok(Span { start: start as u32, len: end - start as u32 }),
            Err(_) => Err(Error::Format("tokenizer.ggml.tokens: more than 4 GiB of text".into())),
        }
    }

    /// Sets what each token prints as: `write` appends the piece of an id, or answers `false` for
    /// "its text as it stands". Called once, after the attributes are settled.
    pub fn set_pieces(
        &mut self,
        mut write: impl FnMut(&str, Attr, &mut Vec<u8>) -> Result<bool>,
    ) -> Result<()> {
        let mut buf = Vec::new();
        self.pieces = Vec::with_capacity(self.len());
        // Broken texts can print as many times their length; together they may not.
        let limit = self.arena.len().saturating_mul(4).saturating_add(1 << 16);
        for id in 0..self.len() as u32 {
            buf.clear();
            let text = self.text(id);
            let own = write(text, self.attr(id), &mut buf)? && buf != text.as_bytes();
            if self.arena.len() > limit {
                return Err(Error::Format(
                    "tokenizer.ggml.tokens: the tokens print as many times the text that they have".into(),
                ));
            }
            let span = if own {
                self.store(|arena| arena.extend_from_slice(&buf))?
            } else {
                self.texts[id as usize]
            };
            self.pieces.push(span);
        }
        self.arena.shrink_to_fit();
        Ok(())
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// `token` as an index; an error naming it if it is out of range.
    pub fn check(&self, token: Token) -> Result<u32> {
        match u32::try_from(token) {
            Ok(id) if (id as usize) < self.len() => Ok(id),
            _ => Err(Error::InvalidArgument(format!(
                "token {token} is out of range: the vocabulary has {} tokens",
                self.len()
            ))),
        }
    }

    /// The token whose text is exactly `text`.
    #[inline]
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        self.by_text.find(self.hasher.hash_one(text), |&id| self.text_bytes(id) == text).copied()
    }

    /// [`Tokens::text`] in bytes.
    #[inline]
    pub fn text_bytes(&self, id: u32) -> &[u8] {
        slice(&self.arena, self.texts[id as usize])
    }

    /// The text of a token as the file has it.
    pub fn text(&self, id: u32) -> &str {
        // Stored from a `&str` by `new`.
        std::str::from_utf8(self.text_bytes(id)).unwrap_or_default()
    }

    /// What a token prints as, control tokens included.
    pub fn piece(&self, id: u32) -> &[u8] {
        slice(&self.arena, self.pieces[id as usize])
    }

    /// The score of a token; 0 where the file has none.
    pub fn score(&self, id: u32) -> f32 {
        self.scores[id as usize]
    }

    /// The attributes of a token.
    pub fn attr(&self, id: u32) -> Attr {
        self.attrs[id as usize]
    }

    /// Changes the attributes of a token.
    pub fn set_attr(&mut self, id: u32, attr: Attr) {
        self.attrs[id as usize] = attr;
    }
}

#[inline]
fn slice(arena: &[u8], span: Span) -> &[u8] {
    &arena[span.start as usize..][..span.len as usize]
}
