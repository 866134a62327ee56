//! Byte-pair encoding, as GPT-2 began it: text is cut into words, each word starts as its bytes (or its
//! characters), and the pair with the lowest merge rank is merged until none is left.
//!
//! Most token texts write each byte as a printable character: `!`..`~`, `¡`..`¬` and `®`..`ÿ` stand for
//! themselves, the other 68 bytes are U+0100 and up in order (so a space is `Ġ`). Some are plain text,
//! like SentencePiece's: U+2581 for a space, and tokens `<0xXX>` for bytes that nothing else spells.

use super::Token;
use super::joints::{Joints, first_char};
use super::merge::{Merge, Merger, Seen, Symbol};
use super::pretok::Pre;
use super::texts::Numbered;
use super::tokens::Tokens;
use super::{spm, unicode};
use crate::gguf::Array;
use crate::{Error, Result};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::ops::Range;

/// The character that stands for each byte in token texts.
const CHAR_OF: [char; 256] = {
    let mut table = ['\0'; 256];
    let mut next = 0x100;
    let mut b = 0;
    while b < 256 {
        table[b] = match b {
            0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => b as u8 as char,
            _ => {
                next += 1;
                match char::from_u32(next - 1) {
                    Some(c) => c,
                    None => unreachable!(),
                }
            }
        };
        b += 1;
    }
    table
};

/// The bytes that U+0100 and its 67 successors stand for.
const SHIFTED: [u8; 68] = {
    let mut table = [0; 68];
    let mut b = 0;
    while b < 256 {
        if CHAR_OF[b] as u32 >= 0x100 {
            table[CHAR_OF[b] as usize - 0x100] = b as u8;
        }
        b += 1;
    }
    table
};

/// The byte that a character of a token text stands for.
fn byte_of(c: char) -> Option<u8> {
    match c as u32 {
        cp @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => Some(cp as u8),
        cp => SHIFTED.get(cp.checked_sub(0x100)? as usize).copied(),
    }
}

/// Appends the bytes that a token text stands for; characters outside the code are spelled out as
/// the reference spells them, with the whole text each time. More than `limit` bytes are an error.
pub fn decode_text(text: &str, out: &mut Vec<u8>, limit: usize) -> Result<()> {
    for c in text.chars() {
        if out.len() > limit {
            let start: String = text.chars().take(40).collect();
            return Err(Error::Format(format!("tokenizer.ggml.tokens: the token {start:?}... is too long")));
        }
        match byte_of(c) {
            Some(b) => out.push(b),
            None => {
                out.extend_from_slice(b"[UNK_BYTE_0x");
                let mut utf8 = [0; 4];
                for b in c.encode_utf8(&mut utf8).bytes() {
                    out.extend_from_slice(format!("{b:02x}").as_bytes());
                }
                out.extend_from_slice(text.as_bytes());
                out.push(b']');
            }
        }
    }
    Ok(())
}

/// The merge rules of a vocabulary.
///
/// Symbols are token ids. What is merged from, or the result of a merge, and no token gets an id from
/// the number of tokens up.
pub struct Bpe {
    pre: &'static Pre,
    /// Text becomes lower case.
    lowercase: bool,
    /// Both sides of each line of `tokenizer.ggml.merges`; its index is its rank.
    pairs: Vec<(u32, u32)>,
    /// What they become.
    results: Vec<u32>,
    by_pair: HashTable<u32>,
    hasher: RandomState,
    n_tokens: u32,
    /// The symbols that are no tokens, less the number of tokens.
    extra: Numbered,
    spelling: Spelling,
}

/// What words start as.
enum Spelling {
    Bytes {
        /// The symbol of each byte.
        symbols: Box<[u32; 256]>,
    },
    Chars {
        /// `<0xXX>`, those that there are.
        bytes: Box<[Option<u32>; 256]>,
        /// The pairs of characters that a merge may join. Words are whole lines here.
        joints: Joints,
    },
}

/// The symbol of a character that is never merged.
const NO_SYMBOL: u32 = u32::MAX;

/// What the tables take for each symbol that is no token, in bytes.
const SYMBOL_BYTES: usize = 12;

/// The symbols of the 256 bytes may all be no tokens, whatever the merges.
const MARGIN: usize = 256 * SYMBOL_BYTES + 1024;

/// The symbol of a text. Those that are no tokens may take `limit` bytes, since neither their texts nor
/// their tables shall be larger than the merges are in the file.
fn symbol(tokens: &Tokens, extra: &mut Numbered, limit: usize, text: &[u8]) -> Result<u32> {
    if let Some(id) = tokens.find(text) {
        return Ok(id);
    }
    let found = if extra.len() * SYMBOL_BYTES < limit { extra.insert(text) } else { extra.find(text) };
    found.map(|i| tokens.len() as u32 + i).ok_or_else(|| {
        Error::Format("tokenizer.ggml.merges: most of what is merged are no tokens of the vocabulary".into())
    })
}

impl Bpe {
    /// Reads the merge rules. Rules that can never apply are kept as gaps, so that ranks stay.
    pub fn new(
        tokens: &Tokens,
        merges: Option<Array<'_>>,
        pre: &'static Pre,
        lowercase: bool,
    ) -> Result<Bpe> {
        let (n_merges, n_bytes) = merges.map_or((0, 0), |m| (m.len(), m.n_bytes()));
        let limit = n_bytes + MARGIN;
        let mut extra = Numbered::new(0, limit);
        let mut symbol = |text: &[u8]| symbol(tokens, &mut extra, limit, text);
        let mut symbols = Box::new([0; 256]);
        for (id, c) in symbols.iter_mut().zip(CHAR_OF) {
            *id = symbol(c.encode_utf8(&mut [0; 4]).as_bytes())?;
        }
        let mut joints = Joints::new(if pre.in_bytes { 0 } else { n_bytes });
        let hasher = RandomState::default();
        let mut pairs = Vec::with_capacity(n_merges);
        let mut results = Vec::with_capacity(n_merges);
        // A rule that can apply takes 11 bytes in the file.
        let mut by_pair = HashTable::with_capacity(n_merges.min(n_bytes / 11));
        let mut whole = Vec::new();
        let mut result = 0;
        let lines = merges.map(|m| m.strs()).transpose()?;
        for (rank, line) in lines.into_iter().flatten().enumerate() {
            let line = line.as_bytes();
            // The left half may itself begin with a space.
            let space = line.iter().skip(1).position(|&b| b == b' ').map(|i| i + 1);
            let Some(space) = space.filter(|&i| i + 1 < line.len()) else {
                pairs.push((u32::MAX, u32::MAX));
                results.push(u32::MAX);
                continue;
            };
            let (left, right) = (&line[..space], &line[space + 1..]);
            if !pre.in_bytes {
                joints.insert(last_char(left), first_char(right));
            }
            whole.clear();
            whole.extend_from_slice(left);
            whole.extend_from_slice(right);
            // Files list rules in the order of the tokens they make, a few rules for each.
            let mut near = (result..tokens.len() as u32).take(2);
            result = match near.find(|&id| tokens.text_bytes(id) == whole) {
                Some(id) => id,
                None => symbol(&whole)?,
            };
            let pair = (symbol(left)?, symbol(right)?);
            pairs.push(pair);
            results.push(result);
            let hash = hasher.hash_one(pair);
            // The first of two equal rules counts.
            if by_pair.find(hash, |&r: &u32| pairs[r as usize] == pair).is_none() {
                by_pair.insert_unique(hash, rank as u32, |&r| hasher.hash_one(pairs[r as usize]));
            }
        }
        extra.shrink_to_fit();
        let spelling = if pre.in_bytes {
            Spelling::Bytes { symbols }
        } else {
            let bytes = Box::new(std::array::from_fn(|b| tokens.find(format!("<0x{b:02X}>").as_bytes())));
            Spelling::Chars { bytes, joints }
        };
        let n_tokens = tokens.len() as u32;
        Ok(Bpe { pre, lowercase, pairs, results, by_pair, hasher, n_tokens, extra, spelling })
    }

    /// The pre-tokenizer.
    pub fn pre(&self) -> &'static Pre {
        self.pre
    }

    #[inline]
    fn pair(&self, left: Symbol, right: Symbol) -> Option<Merge> {
        let pair = (left.id, right.id);
        let same = |&r: &u32| self.pairs[r as usize] == pair;
        let rank = *self.by_pair.find(self.hasher.hash_one(pair), same)?;
        Some(Merge { key: rank, id: self.results[rank as usize] })
    }

    /// Appends `raw` to `text` as this vocabulary reads it, and gives the range appended.
    pub fn normalize(&self, raw: &[u8], scratch: &mut Scratch, text: &mut Vec<u8>) -> Range<usize> {
        let start = text.len();
        if self.pre.escape_spaces {
            scratch.plain.clear();
            unicode::push_canonical(raw, &mut scratch.plain);
            spm::escape_spaces(&scratch.plain, text);
        } else {
            unicode::push_canonical(raw, text);
        }
        if self.lowercase {
            let canonical = text.split_off(start);
            let mut rest = &canonical[..];
            while let Some((cp, len)) = unicode::decode(rest) {
                unicode::push_utf8(unicode::lower(cp), text);
                rest = &rest[len..];
            }
        }
        start..text.len()
    }

    /// Appends the tokens of `text[range]`.
    pub fn encode(
        &self,
        tokens: &Tokens,
        text: &[u8],
        range: Range<usize>,
        scratch: &mut Scratch,
        out: &mut Vec<Token>,
    ) {
        let Scratch { seen, merger, spelled, .. } = scratch;
        let base = range.start;
        self.pre.split(&text[range], |start, end| {
            let word = base + start..base + end;
            match &self.spelling {
                Spelling::Bytes { symbols } => seen.get_or(text, word.clone(), out, |out| {
                    let word = &text[word];
                    if self.pre.ignore_merges {
                        spelled.clear();
                        spelled.extend(word.iter().map(|&b| CHAR_OF[b as usize]));
                        if let Some(id) = tokens.find(spelled.as_bytes()) {
                            return out.push(id as Token);
                        }
                    }
                    merger.symbols.clear();
                    merger.symbols.extend(word.iter().enumerate().map(|(i, &b)| Symbol {
                        start: i as u32,
                        len: 1,
                        id: symbols[b as usize],
                    }));
                    merger.run(|a, b| self.pair(a, b));
                    for symbol in &merger.symbols {
                        match symbol.id.checked_sub(self.n_tokens) {
                            None => out.push(symbol.id as Token),
                            // One byte of the text at a time, and only ASCII can match: that is the
                            // reference's rule.
                            Some(extra) => {
                                let found = self.extra.get(extra).iter().filter_map(|&b| tokens.find(&[b]));
                                out.extend(found.map(|id| id as Token));
                            }
                        }
                    }
                }),
                Spelling::Chars { .. }
                    if self.pre.drop_spaces && unicode::starts_with_space(&text[word.clone()]) => {}
                Spelling::Chars { bytes, joints } => {
                    let newlines = self.pre.whole_newlines && text[word.start] == b'\n';
                    if (newlines || self.pre.ignore_merges)
                        && let Some(id) = tokens.find(&text[word.clone()])
                    {
                        return out.push(id as Token);
                    }
                    let mut start = word.start;
                    while start < word.end {
                        let end = start + joints.piece_len(&text[start..word.end]);
                        seen.get_or(text, start..end, out, |out| {
                            self.encode_chars(tokens, bytes, &text[start..end], merger, out);
                        });
                        start = end;
                    }
                }
            }
        });
    }

    fn encode_chars(
        &self,
        tokens: &Tokens,
        bytes: &[Option<u32>; 256],
        piece: &[u8],
        merger: &mut Merger,
        out: &mut Vec<Token>,
    ) {
        merger.symbols.clear();
        let mut start = 0;
        while start < piece.len() {
            let c = first_char(&piece[start..]);
            let extra = || self.extra.find(c).map(|i| self.n_tokens + i);
            let id = tokens.find(c).or_else(extra).unwrap_or(NO_SYMBOL);
            merger.symbols.push(Symbol { start: start as u32, len: c.len() as u32, id });
            start += c.len();
        }
        merger.run(|a, b| self.pair(a, b));
        for symbol in &merger.symbols {
            if symbol.id < self.n_tokens {
                out.push(symbol.id as Token);
            } else {
                let spelled = &piece[symbol.start as usize..][..symbol.len as usize];
                out.extend(spelled.iter().filter_map(|&b| bytes[b as usize]).map(|id| id as Token));
            }
        }
    }
}

/// The last character of a text in UTF-8, which is not empty.
fn last_char(text: &[u8]) -> &[u8] {
    let start = text.iter().rposition(|b| b & 0xC0 != 0x80).unwrap_or(0);
    &text[start..]
}

/// Buffers of one call.
pub struct Scratch {
    seen: Seen,
    merger: Merger,
    spelled: String,
    plain: Vec<u8>,
}

impl Scratch {
    /// For a text of `len` bytes.
    pub fn new(len: usize) -> Scratch {
        Scratch { seen: Seen::new(len), merger: Merger::default(), spelled: String::new(), plain: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_code_round_trips() {
        for b in 0..=255u8 {
            assert_eq!(byte_of(CHAR_OF[b as usize]), Some(b));
        }
        assert_eq!((CHAR_OF[b' ' as usize], CHAR_OF[b'\n' as usize], CHAR_OF[0xAD]), ('Ġ', 'Ċ', 'Ń'));
        assert_eq!(byte_of('ń'), None);
    }

    #[test]
    fn texts_outside_the_code_are_spelled_out() {
        let mut out = Vec::new();
        decode_text("Ġa｜", &mut out, 100).unwrap();
        assert_eq!(out, " a[UNK_BYTE_0xefbd9cĠa｜]".as_bytes());
        assert!(decode_text(&"｜".repeat(1000), &mut out, 1 << 16).is_err());
    }
}
