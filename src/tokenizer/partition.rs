//! Finding special tokens in a text before the rest is tokenized.
//!
//! The rule is the reference's: longer tokens claim their places before shorter ones, each from left
//! to right, wherever no earlier token has claimed a byte. A token may also swallow the white space
//! on its left or right.

use super::tokens::{Attr, Tokens};
use super::trie::Trie;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// A part of a text: some of its bytes, or a special token.
#[derive(Clone, Debug, PartialEq)]
pub enum Fragment {
    /// Bytes to tokenize, never empty.
    Text(Range<usize>),
    /// A special token that was written out.
    Token(u32),
}

/// The special tokens of a vocabulary, for finding them in text.
pub struct Partition {
    /// Found in every text: user-defined tokens.
    always: Set,
    /// Found when special tokens are parsed: those, control and unknown tokens.
    all: Set,
}

/// A set of token texts, to look for at each byte of a text.
struct Set {
    /// A bit for each two bytes that some text begins with; all second bytes for a text of one.
    starts: Vec<u64>,
    trie: Trie,
}

/// A token written out in a text. The order is that of claiming.
type Place = (usize, Reverse<u32>, Reverse<usize>);

impl Set {
    fn new(tokens: &Tokens, parse_special: bool) -> Set {
        let found = |&id: &u32| is_wanted(tokens.attr(id), parse_special);
        let ids: Vec<u32> = (0..tokens.len() as u32).filter(found).collect();
        let mut starts = vec![0; 0x10000 / 64];
        for text in ids.iter().map(|&id| tokens.text_bytes(id)) {
            let second = text.get(1).map_or(0..=255, |&b| b..=b);
            for b in second {
                let bit = usize::from(text[0]) << 8 | usize::from(b);
                starts[bit / 64] |= 1 << (bit % 64);
            }
        }
        Set { starts, trie: Trie::new(ids, |id| tokens.text_bytes(id)) }
    }

    #[inline]
    fn may_start(&self, text: &[u8], at: usize) -> bool {
        // The last byte of a text has no second.
        let Some(&second) = text.get(at + 1) else { return true };
        let bit = usize::from(text[at]) << 8 | usize::from(second);
        self.starts[bit / 64] >> (bit % 64) & 1 != 0
    }

    /// The longest token written at `start` in `text`.
    fn place(&self, text: &[u8], start: usize) -> Option<Place> {
        let (len, id) = self.trie.longest(&text[start..])?;
        Some((len, Reverse(id), Reverse(start)))
    }
}

const SPECIAL: Attr = Attr::CONTROL.with(Attr::USER_DEFINED).with(Attr::UNKNOWN);
const HIDDEN: Attr = Attr::CONTROL.with(Attr::UNKNOWN);

impl Partition {
    /// For the special tokens among `tokens`.
    pub fn new(tokens: &Tokens) -> Partition {
        Partition { always: Set::new(tokens, false), all: Set::new(tokens, true) }
    }

    /// Cuts `text` (of less than 4 GiB) at its special tokens.
    pub fn split(&self, tokens: &Tokens, text: &[u8], parse_special: bool) -> Vec<Fragment> {
        let set = if parse_special { &self.all } else { &self.always };
        // One place for each start, the longest. The next shorter one is looked for when that is taken:
        // there are vocabularies in which every run of newlines or spaces is a token.
        let starts = (0..text.len()).filter(|&at| set.may_start(text, at));
        let mut places: BinaryHeap<Place> = starts.filter_map(|at| set.place(text, at)).collect();
        if places.is_empty() {
            return if text.is_empty() { Vec::new() } else { vec![Fragment::Text(0..text.len())] };
        }

        let mut claimed = vec![false; text.len()];
        let mut taken: Vec<(Range<usize>, u32)> = Vec::new();
        while let Some((len, Reverse(id), Reverse(start))) = places.pop() {
            if claimed[start] {
                continue;
            }
            if let Some(free) = claimed[start..start + len].iter().position(|&c| c) {
                places.extend(set.place(&text[..start + free], start));
                continue;
            }
            let (mut from, mut to) = (start, start + len);
            let attr = tokens.attr(id);
            if attr.any(Attr::LSTRIP) {
                while from > 0 && !claimed[from - 1] && is_space(text[from - 1]) {
                    from -= 1;
                }
            }
            if attr.any(Attr::RSTRIP) {
                while to < text.len() && !claimed[to] && is_space(text[to]) {
                    to += 1;
                }
            }
            claimed[from..to].fill(true);
            taken.push((from..to, id));
        }
        taken.sort_unstable_by_key(|(range, _)| range.start);

        let mut fragments = Vec::with_capacity(taken.len() * 2 + 1);
        let mut from = 0;
        for (range, id) in taken {
            if from < range.start {
                fragments.push(Fragment::Text(from..range.start));
            }
            fragments.push(Fragment::Token(id));
            from = range.end;
        }
        if from < text.len() {
            fragments.push(Fragment::Text(from..text.len()));
        }
        fragments
    }
}

fn is_wanted(attr: Attr, parse_special: bool) -> bool {
    attr.any(SPECIAL) && (parse_special || !attr.any(HIDDEN))
}

/// C's `isspace` in the C locale.
fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::ArrayBuf;

    fn split(list: &[(&str, Attr)], text: &str, parse_special: bool) -> String {
        let attrs = list.iter().map(|t| t.1).collect();
        let texts = ArrayBuf::from(&list.iter().map(|t| t.0).collect::<Vec<_>>()[..]);
        let tokens = Tokens::new(texts.as_array(), vec![0.0; list.len()], attrs).unwrap();
        let fragments = Partition::new(&tokens).split(&tokens, text.as_bytes(), parse_special);
        let show = |f| match f {
            Fragment::Text(r) => format!("{:?}", &text[r]),
            Fragment::Token(id) => format!("{id}"),
        };
        fragments.into_iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn longer_tokens_claim_first() {
        let list = [
            ("ab", Attr::USER_DEFINED),
            ("bcd", Attr::USER_DEFINED),
            ("x", Attr::NORMAL),
            ("aa", Attr::USER_DEFINED),
        ];
        assert_eq!(split(&list, "xabcdab", false), r#""xa" 1 0"#);
        assert_eq!(split(&list, "aaaaa", false), r#"3 3 "a""#);
        assert_eq!(split(&list, "aaab", false), "3 0");
        assert_eq!(split(&list, "", false), "");
    }

    #[test]
    fn control_tokens_only_on_request() {
        let list = [("<s>", Attr::CONTROL), ("<unk>", Attr::UNKNOWN), ("!", Attr::USER_DEFINED)];
        assert_eq!(split(&list, "<s>!<unk>", false), r#""<s>" 2 "<unk>""#);
        assert_eq!(split(&list, "<s>!<unk>", true), "0 2 1");
    }

    #[test]
    fn stripping_swallows_spaces() {
        let list = [("<l>", Attr::CONTROL.with(Attr::LSTRIP)), ("<r>", Attr::CONTROL.with(Attr::RSTRIP))];
        assert_eq!(split(&list, "a \n<l> b <r>\t c", true), r#""a" 0 " b " 1 "c""#);
        assert_eq!(split(&list, "  <l><r>  ", true), "0 1");
    }
}
