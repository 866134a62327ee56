//! Text to tokens and back, from the vocabulary in a model file.
//!
//! Owns everything under `tokenizer.ggml.*`: SentencePiece ([`spm`]), BPE ([`bpe`]) with its
//! pre-tokenizers ([`pretok`]), WordPiece ([`wpm`]) and Unigram ([`ugm`]), special tokens
//! ([`partition`], [`special`]), and the streaming [`Detokenizer`]. Copies what it keeps of the file;
//! knows nothing of models, contexts or sampling. Ids are the reference's, token for token: where it is
//! odd, so are we.
//!
//! All of them find pieces of the text that are tokenized by themselves (words, or what [`joints`]
//! holds together) and remember those of one call ([`merge::Seen`]), which is where the speed comes
//! from; and all take time in proportion to the text, whatever it is, but for the logarithm of a heap.

mod bpe;
mod charsmap;
mod detok;
mod joints;
mod load;
mod merge;
mod partition;
mod pretok;
mod special;
mod spm;
mod texts;
mod tokens;
mod trie;
mod ugm;
mod unicode;
mod unicode_data;
mod wpm;

pub use detok::Detokenizer;
pub use tokens::Attr;

use crate::{Error, Result};
use bpe::Bpe;
use merge::Seen;
use partition::{Fragment, Partition};
use special::Specials;
use spm::Spm;
use tokens::Tokens;
use ugm::Ugm;
use wpm::Wpm;

/// A token id: 0 up to the number of tokens.
pub type Token = i32;

/// The longest text that one call tokenizes, in bytes; offsets in it fit 32 bits.
pub const MAX_TEXT: usize = 1 << 29;

/// Tokens of these kinds are parsed and printed only on request.
const HIDDEN: Attr = Attr::CONTROL.with(Attr::UNKNOWN);

/// How a vocabulary makes tokens of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocabKind {
    /// Not at all: the model takes ids.
    None,
    /// SentencePiece byte-pair encoding with byte fallback.
    Spm,
    /// Byte-pair encoding with ranked merges, of bytes or of characters.
    Bpe,
    /// WordPiece.
    Wpm,
    /// SentencePiece unigram.
    Ugm,
}

enum Model {
    None,
    Spm(Box<Spm>),
    Bpe(Box<Bpe>),
    Wpm(Box<Wpm>),
    Ugm(Box<Ugm>),
}

/// The vocabulary of a model: immutable, usable from any number of threads.
pub struct Vocab {
    n_tokens: usize,
    tokens: Tokens,
    model: Model,
    specials: Specials,
    /// Ascending.
    eog: Vec<Token>,
    /// Absent without a vocabulary.
    partition: Option<Partition>,
    add_bos: bool,
    add_eos: bool,
    add_space_prefix: bool,
    clean_spaces: bool,
    warnings: Vec<String>,
}

impl Vocab {
    /// What the file says of its vocabulary that cannot be so, and what was done instead.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Accessors of ids by role.
macro_rules! roles {
    ($($name:ident: $what:literal;)+) => {
        impl Vocab {
            $(#[doc = concat!("The id of ", $what, ", if there is one.")]
            pub fn $name(&self) -> Option<Token> {
                self.specials.$name
            })+
        }
    };
}

roles! {
    bos: "the token that begins a text";
    eos: "the token that ends a text";
    eot: "the token that ends a turn";
    eom: "the token that ends a message";
    unk: "the unknown token";
    sep: "the separator";
    pad: "the padding token";
    mask: "the mask token";
    nl: "the token of a newline";
    fim_pre: "the infill prefix token";
    fim_suf: "the infill suffix token";
    fim_mid: "the infill middle token";
    fim_pad: "the infill padding token";
    fim_rep: "the infill repository token";
    fim_sep: "the infill file separator";
}

impl Vocab {
    /// How text becomes tokens.
    pub fn kind(&self) -> VocabKind {
        match self.model {
            Model::None => VocabKind::None,
            Model::Spm(_) => VocabKind::Spm,
            Model::Bpe(_) => VocabKind::Bpe,
            Model::Wpm(_) => VocabKind::Wpm,
            Model::Ugm(_) => VocabKind::Ugm,
        }
    }

    /// The number of tokens; ids are less.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Whether [`Vocab::tokenize`] with `add_special` puts BOS in front.
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// Whether [`Vocab::tokenize`] with `add_special` puts EOS at the end.
    pub fn add_eos(&self) -> bool {
        self.add_eos
    }

    /// Whether `token` ends generation.
    pub fn is_eog(&self, token: Token) -> bool {
        self.eog.binary_search(&token).is_ok()
    }

    /// Every token that ends generation, ascending.
    pub fn eog(&self) -> &[Token] {
        &self.eog
    }

    /// Whether `token` is a control token; `false` if it is out of range.
    pub fn is_control(&self, token: Token) -> bool {
        self.attr(token).is_some_and(|a| a.any(Attr::CONTROL))
    }

    /// The text of `token` as the file has it, in the vocabulary's own spelling; `None` if it is out
    /// of range or the model has no vocabulary.
    pub fn text(&self, token: Token) -> Option<&str> {
        self.tokens.check(token).ok().map(|id| self.tokens.text(id))
    }

    /// The score of `token`, 0 where the file has none; `None` if it is out of range.
    pub fn score(&self, token: Token) -> Option<f32> {
        self.tokens.check(token).ok().map(|id| self.tokens.score(id))
    }

    /// The attributes of `token`; `None` if it is out of range.
    pub fn attr(&self, token: Token) -> Option<Attr> {
        self.tokens.check(token).ok().map(|id| self.tokens.attr(id))
    }

    /// The token whose text, in the vocabulary's own spelling, is `text`.
    pub fn find(&self, text: &str) -> Option<Token> {
        self.tokens.find(text.as_bytes()).map(|id| id as Token)
    }

    /// The tokens of `text`, which need not be valid UTF-8.
    ///
    /// `add_special` adds BOS and EOS as the model wants them ([`Vocab::add_bos`],
    /// [`Vocab::add_eos`]). Control tokens written out in the text are read as such only with
    /// `parse_special`, user-defined ones always. An error if the model has no vocabulary, wants a
    /// BOS or EOS that it does not have, cannot spell a byte of the text, or the text is longer than
    /// [`MAX_TEXT`].
    pub fn tokenize(&self, text: &[u8], add_special: bool, parse_special: bool) -> Result<Vec<Token>> {
        let Some(partition) = &self.partition else {
            return Err(Error::Unsupported("the model has no vocabulary: it takes token ids only".into()));
        };
        if text.len() > MAX_TEXT {
            let len = text.len();
            return Err(Error::InvalidArgument(format!(
                "a text of {len} bytes is too long to tokenize at once; the limit is {MAX_TEXT}"
            )));
        }
        let mut out = Vec::with_capacity(text.len() / 3 + 4);
        // WordPiece always adds both, and ends with a separator.
        let is_wpm = matches!(self.model, Model::Wpm(_));
        if add_special && (self.add_bos || is_wpm) {
            out.push(self.specials.bos.ok_or_else(|| missing("BOS", "add_bos_token"))?);
        }
        let fragments = partition.split(&self.tokens, text, parse_special);
        match &self.model {
            Model::None => {}
            Model::Bpe(bpe) => self.encode_bpe(bpe, text, &fragments, &mut out),
            Model::Spm(spm) => self.encode_spm(spm, text, &fragments, &mut out)?,
            Model::Wpm(wpm) => self.encode_wpm(wpm, text, &fragments, &mut out)?,
            Model::Ugm(ugm) => self.encode_ugm(ugm, text, &fragments, &mut out)?,
        }
        if add_special && is_wpm {
            out.push(self.specials.sep.ok_or_else(|| unnamed("separator", "seperator_token_id"))?);
        } else if add_special && self.add_eos {
            out.push(self.specials.eos.ok_or_else(|| missing("EOS", "add_eos_token"))?);
        }
        Ok(out)
    }

    fn encode_bpe(&self, bpe: &Bpe, text: &[u8], fragments: &[Fragment], out: &mut Vec<Token>) {
        let mut scratch = bpe::Scratch::new(text.len());
        let mut buf = Vec::with_capacity(text.len());
        for fragment in fragments {
            match fragment {
                Fragment::Token(id) => out.push(*id as Token),
                Fragment::Text(range) => {
                    let range = bpe.normalize(&text[range.clone()], &mut scratch, &mut buf);
                    bpe.encode(&self.tokens, &buf, range, &mut scratch, out);
                }
            }
        }
    }

    fn encode_wpm(&self, wpm: &Wpm, text: &[u8], fragments: &[Fragment], out: &mut Vec<Token>) -> Result<()> {
        let unk = self.specials.unk.ok_or_else(|| unnamed("unknown", "unknown_token_id"))?;
        let mut seen = Seen::new(text.len());
        let mut buf = Vec::with_capacity(text.len() + text.len() / 2);
        for fragment in fragments {
            match fragment {
                Fragment::Token(id) => out.push(*id as Token),
                Fragment::Text(range) => {
                    let range = wpm.normalize(&text[range.clone()], &mut buf);
                    wpm.encode(unk, &buf, range, &mut seen, out);
                }
            }
        }
        Ok(())
    }

    fn encode_ugm(&self, ugm: &Ugm, text: &[u8], fragments: &[Fragment], out: &mut Vec<Token>) -> Result<()> {
        let unk = self.specials.unk.ok_or_else(|| unnamed("unknown", "unknown_token_id"))?;
        let mut scratch = ugm::Scratch::new(text.len());
        let mut buf = Vec::with_capacity(text.len() + text.len() / 2);
        for fragment in fragments {
            match fragment {
                Fragment::Token(id) => out.push(*id as Token),
                Fragment::Text(range) => {
                    let range = ugm.normalize(&text[range.clone()], &mut buf)?;
                    ugm.encode(unk, &buf, range, &mut scratch, out);
                }
            }
        }
        Ok(())
    }

    fn encode_spm(&self, spm: &Spm, text: &[u8], fragments: &[Fragment], out: &mut Vec<Token>) -> Result<()> {
        let mut scratch = spm::Scratch::new(text.len());
        let mut buf = Vec::with_capacity(text.len() + text.len() / 2);
        let mut after_special = true;
        // Id 0 is the default of this role, whatever that token is.
        let unk = self.specials.unk.filter(|&t| self.attr(t).is_some_and(|a| a.any(Attr::UNKNOWN)));
        for fragment in fragments {
            match fragment {
                Fragment::Token(id) => out.push(*id as Token),
                Fragment::Text(range) => {
                    let prefix = self.add_space_prefix && after_special;
                    let range = Spm::normalize(&text[range.clone()], prefix, &mut buf);
                    spm.encode(&self.tokens, unk, &buf, range, &mut scratch, out)?;
                }
            }
            after_special = matches!(fragment, Fragment::Token(_));
        }
        Ok(())
    }
}

fn missing(token: &str, key: &str) -> Error {
    Error::Unsupported(format!("tokenizer.ggml.{key} asks for a {token} token, but the model names none"))
}

fn unnamed(token: &str, key: &str) -> Error {
    Error::Unsupported(format!("the tokenizer needs a {token} token, but tokenizer.ggml.{key} names none"))
}
