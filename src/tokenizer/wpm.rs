//! WordPiece, as BERT uses it: text is cleaned (lower case, accents stripped, Chinese characters and
//! punctuation set apart), and each word is the longest tokens that spell it from left to right. Tokens
//! that begin a word have U+2581 in front.

use super::Token;
use super::joints::SPACE;
use super::merge::Seen;
use super::tokens::Tokens;
use super::trie::Trie;
use super::unicode::{self, CONTROL, Classes, MARK, PUNCTUATION, SYMBOL, WHITESPACE};
use std::ops::Range;

/// Stands between words; cleaning has removed it from the text itself.
const BETWEEN: u8 = 0;

/// How text is cleaned.
#[derive(Clone, Copy)]
pub struct Cleaning {
    /// Letters become lower case.
    pub lowercase: bool,
    /// Letters lose their accents.
    pub strip_accents: bool,
}

/// The tokens as a tree.
pub struct Wpm {
    trie: Trie,
    cleaning: Cleaning,
}

impl Wpm {
    /// Prepares the tables for `tokens`.
    pub fn new(tokens: &Tokens, cleaning: Cleaning) -> Wpm {
        let ids = (0..tokens.len() as u32).collect();
        Wpm { trie: Trie::new(ids, |id| tokens.text_bytes(id)), cleaning }
    }

    /// Appends `raw` to `text` as this vocabulary reads it, each word with U+2581 in front and
    /// [`BETWEEN`] them, and gives the range appended.
    pub fn normalize(&self, raw: &[u8], text: &mut Vec<u8>) -> Range<usize> {
        let start = text.len();
        let classes = Classes::get();
        let mut in_word = false;
        let mut rest = raw;
        while let Some(&first) = rest.first() {
            let (mut cp, len) = match first {
                0..=0x7F => (u32::from(first), 1),
                _ => unicode::decode(rest).unwrap_or((0xFFFD, 1)),
            };
            rest = &rest[len..];
            if self.cleaning.strip_accents {
                cp = unicode::base(cp);
            }
            let class = classes.of(cp);
            if class & WHITESPACE != 0 {
                in_word = false;
                continue;
            }
            let accent = self.cleaning.strip_accents && class & MARK != 0;
            if cp == 0 || cp == 0xFFFD || class & CONTROL != 0 || accent {
                continue;
            }
            let alone = class & PUNCTUATION != 0 || cp < 0x7F && class & SYMBOL != 0 || is_chinese(cp);
            if alone || !in_word {
                text.push(BETWEEN);
                text.extend_from_slice(SPACE);
            }
            in_word = !alone;
            let cp = if self.cleaning.lowercase { unicode::lower(cp) } else { cp };
            unicode::push_utf8(cp, text);
        }
        start..text.len()
    }

    /// Appends the tokens of `text[range]`, normalized. A word that cannot be spelled becomes `unk`.
    pub fn encode(
        &self,
        unk: Token,
        text: &[u8],
        range: Range<usize>,
        seen: &mut Seen,
        out: &mut Vec<Token>,
    ) {
        let mut start = range.start;
        while start < range.end {
            let end = memchr::memchr(BETWEEN, &text[start..range.end]).map_or(range.end, |at| start + at);
            if end > start {
                seen.get_or(text, start..end, out, |out| self.encode_word(unk, &text[start..end], out));
            }
            start = end + 1;
        }
    }

    fn encode_word(&self, unk: Token, word: &[u8], out: &mut Vec<Token>) {
        let n = out.len();
        let mut rest = word;
        while !rest.is_empty() {
            let Some((len, id)) = self.trie.longest(rest) else {
                out.truncate(n);
                break;
            };
            out.push(id as Token);
            rest = &rest[len..];
        }
        if out.len() == n {
            out.push(unk);
        }
    }
}

/// The blocks of Chinese characters that BERT sets apart; one begins later than Unicode has it.
fn is_chinese(cp: u32) -> bool {
    matches!(cp, 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x2A6DF
        | 0x2A700..=0x2B81F | 0x2B920..=0x2CEAF | 0x2F800..=0x2FA1F)
}
