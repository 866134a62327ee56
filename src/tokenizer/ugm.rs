//! Unigram, as SentencePiece trains it for T5 and XLM-RoBERTa: of all ways to spell a text in tokens the
//! one whose scores sum highest, found by Viterbi's algorithm, after the normalization that the file
//! brings along.

use super::Token;
use super::charsmap::Charsmap;
use super::joints::{Joints, SPACE, first_char};
use super::merge::Seen;
use super::tokens::{Attr, Tokens};
use super::trie::Trie;
use super::unicode;
use crate::{Error, Result};
use std::ops::Range;

/// How much worse an unknown character is than the worst token.
const UNKNOWN_PENALTY: f32 = 10.0;

/// Compatibility decomposition, which is what the rules do, makes no text longer than 11 times.
const MAX_GROWTH: usize = 16;

/// How a text is prepared.
#[derive(Clone, Copy)]
pub struct Spaces {
    /// A space is put in front of the text.
    pub add_prefix: bool,
    /// Runs of spaces become one, and those at the ends go.
    pub merge: bool,
}

/// What the search needs beyond the token table.
pub struct Ugm {
    trie: Trie,
    /// User-defined tokens are not normalized, nor is what a text shares with their beginnings.
    raw: Trie,
    charsmap: Option<Charsmap>,
    joints: Joints,
    /// Of each token; 0 for user-defined ones.
    scores: Vec<f32>,
    unknown_score: f64,
    spaces: Spaces,
}

/// The best way to the end of a character.
#[derive(Clone, Copy)]
struct Best {
    score: f64,
    /// Where its last token starts.
    start: u32,
    id: Token,
}

/// Buffers of one call.
pub struct Scratch {
    seen: Seen,
    best: Vec<Best>,
    /// The tokens of all fragments, unknown ones one by one; what `seen` refers to.
    ids: Vec<Token>,
}

impl Scratch {
    /// For a text of `len` bytes.
    pub fn new(len: usize) -> Scratch {
        Scratch { seen: Seen::new(len), best: Vec::new(), ids: Vec::new() }
    }
}

impl Ugm {
    /// Prepares the tables for `tokens`.
    pub fn new(tokens: &Tokens, charsmap: Option<Charsmap>, spaces: Spaces) -> Ugm {
        let found = Attr::NORMAL.with(Attr::USER_DEFINED).with(Attr::UNUSED);
        let with = |mask| (0..tokens.len() as u32).filter(move |&id| tokens.attr(id).any(mask));
        let tree = |mask| Trie::new(with(mask).collect(), |id| tokens.text_bytes(id));
        let mut joints = Joints::new(tokens.n_bytes());
        with(found).for_each(|id| joints.insert_all(tokens.text_bytes(id)));
        let worst = with(Attr::NORMAL).map(|id| tokens.score(id)).fold(f32::MAX, f32::min);
        let score = |id| if tokens.attr(id).any(Attr::USER_DEFINED) { 0.0 } else { tokens.score(id) };
        Ugm {
            trie: tree(found),
            raw: tree(Attr::USER_DEFINED),
            charsmap,
            joints,
            scores: (0..tokens.len() as u32).map(score).collect(),
            unknown_score: f64::from(worst - UNKNOWN_PENALTY),
            spaces,
        }
    }

    /// Appends `input` to `text` as this vocabulary reads it, and gives the range appended. An error if
    /// the file's rules make it many times longer.
    pub fn normalize(&self, input: &[u8], text: &mut Vec<u8>) -> Result<Range<usize>> {
        let start = text.len();
        let limit = (start + input.len() * MAX_GROWTH + 1024).min(u32::MAX as usize / 2);
        let (mut in_word, mut prefixed) = (false, false);
        let mut rest = input;
        while !rest.is_empty() {
            let (len, piece) = self.normalize_prefix(rest);
            for &b in piece {
                if b == b' ' {
                    in_word = false;
                    if !self.spaces.merge {
                        text.extend_from_slice(SPACE);
                    }
                    continue;
                }
                if !in_word {
                    in_word = true;
                    if self.spaces.add_prefix && !prefixed || self.spaces.merge {
                        text.extend_from_slice(SPACE);
                        prefixed = true;
                    }
                }
                text.push(b);
            }
            rest = &rest[len..];
            if text.len() > limit {
                let times = text.len() / input.len();
                return Err(Error::Unsupported(format!(
                    "tokenizer.ggml.precompiled_charsmap makes the text {times} times longer"
                )));
            }
        }
        Ok(start..text.len())
    }

    /// How many bytes of a non-empty text are read at once, and as what.
    #[inline]
    fn normalize_prefix<'a>(&'a self, text: &'a [u8]) -> (usize, &'a [u8]) {
        let raw = self.raw.depth(text);
        if raw > 0 {
            return (raw, &text[..raw]);
        }
        if let Some(found) = self.charsmap.as_ref().and_then(|map| map.longest(text)) {
            return found;
        }
        match unicode::decode(text) {
            Some((_, len)) => (len, &text[..len]),
            None => (1, "\u{FFFD}".as_bytes()),
        }
    }

    /// Appends the tokens of `text[range]`, a whole normalized fragment. Characters in no token become
    /// `unk`, neighbouring ones together.
    pub fn encode(
        &self,
        unk: Token,
        text: &[u8],
        range: Range<usize>,
        scratch: &mut Scratch,
        out: &mut Vec<Token>,
    ) {
        let Scratch { seen, best, ids } = scratch;
        let from = ids.len();
        let mut start = range.start;
        while start < range.end {
            let end = start + self.joints.piece_len(&text[start..range.end]);
            seen.get_or(text, start..end, ids, |ids| self.encode_piece(unk, &text[start..end], best, ids));
            start = end;
        }
        let mut last = None;
        for &id in &ids[from..] {
            if id != unk || last != Some(unk) {
                out.push(id);
            }
            last = Some(id);
        }
    }

    fn encode_piece(&self, unk: Token, piece: &[u8], best: &mut Vec<Best>, ids: &mut Vec<Token>) {
        best.clear();
        best.resize(piece.len() + 1, Best { score: f64::MIN, start: 0, id: unk });
        best[0].score = 0.0;
        let mut start = 0;
        while start < piece.len() {
            let score = best[start].score;
            let mut offer = |end: usize, gain: f64, id: Token| {
                if score + gain > best[end].score {
                    best[end] = Best { score: score + gain, start: start as u32, id };
                }
            };
            let first = start + first_char(&piece[start..]).len();
            let mut first_known = false;
            let (mut node, mut end) = (self.trie.start(piece[start]), start + 1);
            while let Some(here) = node {
                if let Some(id) = self.trie.value(here) {
                    offer(end, f64::from(self.scores[id as usize]), id as Token);
                    first_known |= end == first;
                }
                node = piece.get(end).and_then(|&b| self.trie.next(here, b));
                end += 1;
            }
            if !first_known {
                offer(first, self.unknown_score, unk);
            }
            start = first;
        }
        let from = ids.len();
        let mut end = piece.len();
        while end > 0 {
            ids.push(best[end].id);
            end = best[end].start as usize;
        }
        ids[from..].reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::ArrayBuf;

    fn tokenize(list: &[(&str, f32, Attr)], spaces: Spaces, text: &str) -> Vec<Token> {
        let scores = list.iter().map(|t| t.1).collect();
        let attrs = list.iter().map(|t| t.2).collect();
        let texts = ArrayBuf::from(&list.iter().map(|t| t.0).collect::<Vec<_>>()[..]);
        let tokens = Tokens::new(texts.as_array(), scores, attrs).unwrap();
        let ugm = Ugm::new(&tokens, None, spaces);
        let (mut buf, mut out) = (Vec::new(), Vec::new());
        let range = ugm.normalize(text.as_bytes(), &mut buf).unwrap();
        ugm.encode(0, &buf, range, &mut Scratch::new(text.len()), &mut out);
        out
    }

    #[test]
    fn the_best_sum_wins() {
        let list = [
            ("<unk>", 0.0, Attr::UNKNOWN),
            ("▁", -3.0, Attr::NORMAL),
            ("a", -2.0, Attr::NORMAL),
            ("b", -2.0, Attr::NORMAL),
            ("ab", -5.0, Attr::NORMAL),
            ("▁a", -2.5, Attr::NORMAL),
            ("bab", -1.0, Attr::UNUSED),
            ("bbb", -50.0, Attr::USER_DEFINED),
        ];
        let plain = Spaces { add_prefix: false, merge: false };
        let both = Spaces { add_prefix: true, merge: true };
        assert_eq!(tokenize(&list, plain, "ab"), [2, 3], "-4 beats -5");
        assert_eq!(tokenize(&list, plain, "abab"), [2, 6]);
        assert_eq!(tokenize(&list, plain, "bbbb"), [3, 7], "user-defined tokens cost nothing");
        assert_eq!(tokenize(&list, plain, "é日a日"), [0, 2, 0], "neighbouring unknowns are one");
        assert_eq!(tokenize(&list, plain, " a  b"), [5, 1, 1, 3]);
        assert_eq!(tokenize(&list, both, "  a  b "), [5, 1, 3]);
        assert_eq!(tokenize(&list, both, ""), [] as [Token; 0]);
    }
}
