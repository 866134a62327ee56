//! SentencePiece byte-pair encoding: the whole text is one word of characters, and the neighbours
//! whose joined text is the best-scored token are merged until none is left. What is no token then
//! is spelled in byte tokens `<0xXX>`.

use super::Token;
use super::merge::{Merge, Merger, Seen, Symbol};
use super::tokens::Tokens;
use super::unicode::len_by_lead;
use crate::{Error, Result};
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use std::ops::Range;

/// What a space is written as, in token texts and before merging: U+2581.
pub const SPACE: &[u8] = "\u{2581}".as_bytes();

/// The id of a symbol that was not looked up yet.
const UNKNOWN: u32 = u32::MAX;

/// What merging needs beyond the token table.
pub struct Spm {
    /// The token that a byte falls back to.
    bytes: [Option<u32>; 256],
    joints: Joints,
}

/// The pairs of characters that stand side by side in some token. Between other pairs nothing ever
/// merges, so a text falls into pieces there that can be merged one by one, and remembered.
struct Joints {
    /// Pairs of ASCII characters and [`SPACE`]: bit `left * N_FAST + right`.
    fast: Vec<u64>,
    rest: HashSet<(u32, u32), RandomState>,
}

/// 128 ASCII characters, and U+2581 as the last.
const N_FAST: usize = 129;

impl Joints {
    /// A character by its bytes: its index among the fast ones, and a number that is its own.
    #[inline]
    fn code(c: &[u8]) -> (usize, u32) {
        match c {
            [b @ 0..=0x7F] => (*b as usize, u32::from(*b)),
            _ => {
                let number = c.iter().fold(0, |n, &b| n << 8 | u32::from(b));
                (if c == SPACE { N_FAST - 1 } else { N_FAST }, number)
            }
        }
    }

    fn insert(&mut self, left: &[u8], right: &[u8]) {
        let ((lf, ln), (rf, rn)) = (Self::code(left), Self::code(right));
        if lf < N_FAST && rf < N_FAST {
            let bit = lf * N_FAST + rf;
            self.fast[bit / 64] |= 1 << (bit % 64);
        } else {
            self.rest.insert((ln, rn));
        }
    }

    #[inline]
    fn contains(&self, left: (usize, u32), right: (usize, u32)) -> bool {
        if left.0 < N_FAST && right.0 < N_FAST {
            let bit = left.0 * N_FAST + right.0;
            self.fast[bit / 64] >> (bit % 64) & 1 != 0
        } else {
            self.rest.contains(&(left.1, right.1))
        }
    }
}

/// The first character of a non-empty text: its lead byte and as many bytes as that promises, if
/// there are so many.
#[inline]
fn first_char(text: &[u8]) -> &[u8] {
    &text[..len_by_lead(text[0]).min(text.len())]
}

impl Spm {
    /// Prepares the tables for `tokens`.
    pub fn new(tokens: &Tokens) -> Spm {
        let bytes = std::array::from_fn(|b| {
            let hex = tokens.find(format!("<0x{b:02X}>").as_bytes());
            hex.or_else(|| tokens.find(&[b as u8]))
        });
        let fast = vec![0; (N_FAST * N_FAST).div_ceil(64)];
        let mut joints = Joints { fast, rest: HashSet::default() };
        for id in 0..tokens.len() as u32 {
            let mut rest = tokens.text(id).as_bytes();
            while !rest.is_empty() {
                let left = first_char(rest);
                rest = &rest[left.len()..];
                if !rest.is_empty() {
                    joints.insert(left, first_char(rest));
                }
            }
        }
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
        let mut from = 0;
        for at in memchr::memchr_iter(b' ', raw) {
            text.extend_from_slice(&raw[from..at]);
            text.extend_from_slice(SPACE);
            from = at + 1;
        }
        text.extend_from_slice(&raw[from..]);
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
            let end = start + self.piece_len(&text[start..range.end]);
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

    /// The length of the first piece of a non-empty text: up to the first joint that no token spans.
    #[inline]
    fn piece_len(&self, text: &[u8]) -> usize {
        let c = first_char(text);
        let (mut left, mut len) = (Joints::code(c), c.len());
        while len < text.len() {
            let c = first_char(&text[len..]);
            let right = Joints::code(c);
            if !self.joints.contains(left, right) {
                break;
            }
            left = right;
            len += c.len();
        }
        len
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
