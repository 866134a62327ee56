//! The token table: text, piece, score and attributes of every id, and the way back from a text.

use super::Token;
use super::texts::{Numbered, Texts};
use crate::gguf::Array;
use crate::{Error, Result};

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

/// All tokens of a vocabulary; ids are indices.
pub struct Tokens {
    texts: Numbered,
    pieces: Texts,
    scores: Vec<f32>,
    attrs: Vec<Attr>,
    /// Neither all texts nor all pieces may take more bytes. Only broken vocabularies come near: it is
    /// what the texts take in the file, their lengths included.
    limit: usize,
}

/// What a vocabulary of a few broken tokens may take beyond.
const MARGIN: usize = 4096;

impl Tokens {
    /// A table of the given texts, which must differ. `scores` and `attrs` are as long as `texts`.
    pub fn new(texts: Array<'_>, scores: Vec<f32>, attrs: Vec<Attr>) -> Result<Tokens> {
        let n = texts.len();
        debug_assert!(scores.len() == n && attrs.len() == n);
        let limit = texts.n_bytes() + MARGIN;
        let mut all = Numbered::new(n, limit);
        for (id, text) in texts.strs()?.enumerate() {
            // The name that the reference gives to a token without text.
            let empty;
            let text = match text {
                "" => {
                    empty = format!("[EMPTY_{id}]");
                    &empty
                }
                text => text,
            };
            match all.insert(text.as_bytes()) {
                Some(number) if number as usize == id => {}
                Some(twin) => {
                    return Err(Error::Format(format!(
                        "tokenizer.ggml.tokens: ids {twin} and {id} have the same text {text:?}"
                    )));
                }
                None => {
                    return Err(Error::Format(
                        "tokenizer.ggml.tokens: most tokens have no text, or there are 4 GiB of it".into(),
                    ));
                }
            }
        }
        all.shrink_to_fit();
        Ok(Tokens { texts: all, pieces: Texts::new(0, 0), scores, attrs, limit })
    }

    /// Sets what each token prints as, which `write` appends. Called once, after the attributes are
    /// settled.
    pub fn set_pieces(
        &mut self,
        mut write: impl FnMut(&str, Attr, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let mut pieces = Texts::new(self.len(), self.limit);
        let mut piece = Vec::new();
        for id in 0..self.len() as u32 {
            piece.clear();
            write(self.text(id), self.attr(id), &mut piece)?;
            // Broken texts can print as many times their length; together they may not.
            if pieces.push(&piece).is_none() {
                return Err(Error::Format(
                    "tokenizer.ggml.tokens: the tokens print as many times the text that they have".into(),
                ));
            }
        }
        pieces.shrink_to_fit();
        self.pieces = pieces;
        Ok(())
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// About the bytes of all texts.
    pub fn n_bytes(&self) -> usize {
        self.limit
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
        self.texts.find(text)
    }

    /// [`Tokens::text`] in bytes.
    #[inline]
    pub fn text_bytes(&self, id: u32) -> &[u8] {
        self.texts.get(id)
    }

    /// The text of a token as the file has it.
    pub fn text(&self, id: u32) -> &str {
        // Stored from a `&str` by `new`.
        std::str::from_utf8(self.text_bytes(id)).unwrap_or_default()
    }

    /// What a token prints as, control tokens included.
    pub fn piece(&self, id: u32) -> &[u8] {
        self.pieces.get(id)
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
