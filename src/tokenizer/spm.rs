//! SentencePiece byte-pair encoding: the whole text is one word of characters, and the neighbours
//! whose joined text is the best-scored token are merged until none is left. What is no token then
//! is spelled in byte tokens `<0xXX>`.

use super::Token;
use super::joints::{Joints, SPACE, first_char};
use super::merge::{Merge, Merger, Seen, Symbol};
use super::tokens::Tokens;
use crate::{Error, Result};
use std::ops::Range;

/// The id of a symbol that was not looked up yet.
const UNKNOWN: u32 = u32::MAX;

/// What merging needs beyond the token table.
pub struct Spm {
    /// The token that a byte falls back to.
    bytes: [Option<u32>; 256],
    joints: Joints,
}

impl Spm {
    /// Prepares the tables for `tokens`.
    pub fn new(tokens: &Tokens) -> Spm {
        let bytes = std::array::from_fn(|b| {
            let hex = tokens.find(format!("<0x{b:02X}>").as_bytes());
            hex.or_else(|| tokens.find(&[b as u8]))
        });
        let mut joints = Joints::new(tokens.n_bytes());
        (0..tokens.len() as u32).for_each(|id| joints.insert_all(tokens.text_bytes(id)));
        Spm { bytes, joints }
    }

    /// The token of a byte on its own.
    pub fn byte(&self, b: u8) -> Option<u32> {
        self.bytes[b as usize]
    }

    /// Appends `raw` to `text` as this vocabulary reads it, after a space if `prefix`, and gives
    /// the range appended.
    pub fn normalize(raw: &[u8], prefix: bool, text: &mut Vec<u8>) -> Range<usize> {
        let start = text.len();
        if prefix {
            text.extend_from_slice(SPACE);
        }
        escape_spaces(raw, text);
        start..text.len()
    }

    /// Appends the tokens of `text[range]`, a whole normalized fragment. A byte without a token
    /// becomes `unk`; an error naming the byte if there is no `unk` either.
    pub fn encode(
        &self,
        tokens: &Tokens,
        unk: Option<Token>,
        text: &[u8],
        range: Range<usize>,
        scratch: &mut Scratch,
        out: &mut Vec<Token>,
    ) -> Result<()> {
        let mut missing = None;
        let mut start = range.start;
        while start < range.end {
            let end = start + self.joints.piece_len(&text[start..range.end]);
            scratch.seen.get_or(text, start..end, out, |out| {
                missing =
                    missing.or(self.encode_piece(tokens, unk, &text[start..end], &mut scratch.merger, out));
            });
            start = end;
        }
        match missing {
            None => Ok(()),
            Some(b) => Err(Error::Unsupported(format!(
                "the text has a byte 0x{b:02X} that the vocabulary cannot spell: it has neither a token \
                 <0x{b:02X}> nor an unknown token"
            ))),
        }
    }

    /// Gives the first byte that could not be written.
    fn encode_piece(
        &self,
        tokens: &Tokens,
        unk: Option<Token>,
        piece: &[u8],
        merger: &mut Merger,
        out: &mut Vec<Token>,
    ) -> Option<u8> {
        merger.symbols.clear();
        let mut start = 0;
        while start < piece.len() {
            let len = first_char(&piece[start..]).len();
            merger.symbols.push(Symbol { start: start as u32, len: len as u32, id: UNKNOWN });
            start += len;
        }
        merger.run(|a, b| {
            let id = tokens.find(&piece[a.start as usize..][..(a.len + b.len) as usize])?;
            Some(Merge { key: best_first(tokens.score(id)), id })
        });
        let mut missing = None;
        for symbol in &merger.symbols {
            let bytes = &piece[symbol.start as usize..][..symbol.len as usize];
            let known = if symbol.id == UNKNOWN { tokens.find(bytes) } else { Some(symbol.id) };
            if let Some(id) = known {
                out.push(id as Token);
                continue;
            }
            for &b in bytes {
                match self.byte(b).map(|id| id as Token).or(unk) {
                    Some(id) => out.push(id),
                    None => missing = missing.or(Some(b)),
                }
            }
        }
        missing
    }
}

/// A number that is lower the higher the score.
fn best_first(score: f32) -> u32 {
    // Adding 0 makes -0 and 0 equal. The rest is the usual order-preserving reading of the bits.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits }
}

/// Appends `raw` with U+2581 for every space.
pub fn escape_spaces(raw: &[u8], text: &mut Vec<u8>) {
    let mut from = 0;
    for at in memchr::memchr_iter(b' ', raw) {
        text.extend_from_slice(&raw[from..at]);
        text.extend_from_slice(SPACE);
        from = at + 1;
    }
    text.extend_from_slice(&raw[from..]);
}

/// What a token prints as.
pub fn decode_text(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memmem::find(rest, SPACE) {
        out.extend_from_slice(&rest[..at]);
        out.push(b' ');
        rest = &rest[at + SPACE.len()..];
    }
    out.extend_from_slice(rest);
}

/// The byte that a byte token `<0xXX>` stands for.
pub fn byte_of(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>').filter(|h| h.len() == 2)?;
    // The parser below would take a sign.
    if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(hex, 16).ok()
}

/// Buffers of one call.
pub struct Scratch {
    seen: Seen,
    merger: Merger,
}

impl Scratch {
    /// For a text of `len` bytes.
    pub fn new(len: usize) -> Scratch {
        Scratch { seen: Seen::new(len), merger: Merger::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_order_merges() {
        let keys = [f32::INFINITY, 2.5, 1e-9, 0.0, -1e-9, -3.0, -1e30, f32::NEG_INFINITY].map(best_first);
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        assert_eq!(best_first(-0.0), best_first(0.0));
    }
}
