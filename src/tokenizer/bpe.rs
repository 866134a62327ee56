//! Byte-level byte-pair encoding, as GPT-2 began it: text is cut into words, each word starts as its
//! bytes, and the pair with the lowest merge rank is merged until none is left.
//!
//! Token texts write each byte as a printable character: `!`..`~`, `¡`..`¬` and `®`..`ÿ` stand for
//! themselves, the other 68 bytes are U+0100 and up in order (so a space is `Ġ`).

use super::Token;
use super::merge::{Merge, Merger, Seen, Symbol};
use super::pretok::Pre;
use super::tokens::Tokens;
use super::unicode;
use crate::gguf::Array;
use crate::{Error, Result};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
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

/// One line of `tokenizer.ggml.merges`; its index is its rank.
#[derive(Clone, Copy)]
struct Rule {
    left: u32,
    right: u32,
    result: u32,
}

/// The merge rules of a vocabulary.
///
/// Symbols are token ids. A byte or the result of a merge that is no token gets an id from the
/// number of tokens up, and prints as `fallback` says.
pub struct Bpe {
    pre: &'static Pre,
    rules: Vec<Rule>,
    by_pair: HashTable<u32>,
    hasher: RandomState,
    /// The symbol of each byte.
    bytes: [u32; 256],
    n_tokens: u32,
    /// For each symbol that is no token: the tokens of its bytes, those that there are.
    fallback: Vec<Vec<Token>>,
}

/// Gives ids to texts that are no tokens.
struct Interner<'t> {
    tokens: &'t Tokens,
    extra: HashMap<Vec<u8>, u32, RandomState>,
    fallback: Vec<Vec<Token>>,
}

impl Interner<'_> {
    fn id(&mut self, text: &[u8]) -> u32 {
        if let Some(id) = self.tokens.find(text) {
            return id;
        }
        let next = (self.tokens.len() + self.fallback.len()) as u32;
        *self.extra.entry_ref(text).or_insert_with(|| {
            // One byte of the text at a time, and only ASCII can match: that is the reference's rule.
            let bytes = text.iter().filter_map(|&b| self.tokens.find(&[b]));
            self.fallback.push(bytes.map(|id| id as Token).collect());
            next
        })
    }
}

impl Bpe {
    /// Reads the merge rules. Rules that can never apply are kept as gaps, so that ranks stay.
    pub fn new(tokens: &Tokens, merges: Array<'_>, pre: &'static Pre) -> Result<Bpe> {
        let mut interner = Interner { tokens, extra: HashMap::default(), fallback: Vec::new() };
        let bytes = std::array::from_fn(|b| interner.id(CHAR_OF[b].encode_utf8(&mut [0; 4]).as_bytes()));
        let hasher = RandomState::default();
        let mut rules: Vec<Rule> = Vec::with_capacity(merges.len());
        let mut by_pair = HashTable::with_capacity(merges.len());
        let mut whole = Vec::new();
        let mut result = 0;
        for (rank, line) in merges.strs()?.enumerate() {
            let line = line.as_bytes();
            // The left half may itself begin with a space.
            let space = line.iter().skip(1).position(|&b| b == b' ').map(|i| i + 1);
            let Some(space) = space.filter(|&i| i + 1 < line.len()) else {
                rules.push(Rule { left: u32::MAX, right: u32::MAX, result: u32::MAX });
                continue;
            };
            let (left, right) = (&line[..space], &line[space + 1..]);
            whole.clear();
            whole.extend_from_slice(left);
            whole.extend_from_slice(right);
            // Files list rules in the order of the tokens they make, a few rules for each.
            let mut near = (result..tokens.len() as u32).take(2);
            result = near.find(|&id| tokens.text_bytes(id) == whole).unwrap_or_else(|| interner.id(&whole));
            let rule = Rule { left: interner.id(left), right: interner.id(right), result };
            rules.push(rule);
            let hash = hasher.hash_one((rule.left, rule.right));
            let same =
                |&r: &u32| (rules[r as usize].left, rules[r as usize].right) == (rule.left, rule.right);
            // The first of two equal rules counts.
            if by_pair.find(hash, same).is_none() {
                let rehash = |&r: &u32| hasher.hash_one((rules[r as usize].left, rules[r as usize].right));
                by_pair.insert_unique(hash, rank as u32, rehash);
            }
        }
        let n_tokens = tokens.len() as u32;
        Ok(Bpe { pre, rules, by_pair, hasher, bytes, n_tokens, fallback: interner.fallback })
    }

    #[inline]
    fn pair(&self, left: Symbol, right: Symbol) -> Option<Merge> {
        let pair = (left.id, right.id);
        let same = |&r: &u32| (self.rules[r as usize].left, self.rules[r as usize].right) == pair;
        let rank = *self.by_pair.find(self.hasher.hash_one(pair), same)?;
        Some(Merge { key: rank, id: self.rules[rank as usize].result })
    }

    /// Appends `raw` to `text` as this vocabulary reads it, and gives the range appended.
    pub fn normalize(raw: &[u8], text: &mut Vec<u8>) -> Range<usize> {
        let start = text.len();
        unicode::push_canonical(raw, text);
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
        let Scratch { seen, merger, spelled } = scratch;
        let base = range.start;
        self.pre.split(&text[range], |start, end| {
            let word = base + start..base + end;
            seen.get_or(text, word.clone(), out, |out| {
                self.encode_word(tokens, &text[word], merger, spelled, out);
            });
        });
    }

    fn encode_word(
        &self,
        tokens: &Tokens,
        word: &[u8],
        merger: &mut Merger,
        spelled: &mut String,
        out: &mut Vec<Token>,
    ) {
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
            id: self.bytes[b as usize],
        }));
        merger.run(|a, b| self.pair(a, b));
        for symbol in &merger.symbols {
            match symbol.id.checked_sub(self.n_tokens) {
                None => out.push(symbol.id as Token),
                Some(extra) => out.extend_from_slice(&self.fallback[extra as usize]),
            }
        }
    }
}

/// Buffers of one call.
pub struct Scratch {
    seen: Seen,
    merger: Merger,
    spelled: String,
}

impl Scratch {
    /// For a text of `len` bytes.
    pub fn new(len: usize) -> Scratch {
        Scratch { seen: Seen::new(len), merger: Merger::default(), spelled: String::new() }
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
