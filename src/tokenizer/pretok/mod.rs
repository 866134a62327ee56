//! Pre-tokenizers: where a BPE text is cut into words before merging.
//!
//! A model names its pre-tokenizer in `tokenizer.ggml.pre`; each is defined by regular expressions
//! applied one after the other, every expression inside the pieces that the one before left. Here an
//! expression is a [`Stage`]: a variant of [`Words`] or a hand-written scanner. All look at each
//! character a bounded number of times, so no text is slow. [`table`] says who uses which. Where the
//! reference reads an expression otherwise than its author meant it, so do we.

mod stages;
mod table;
mod text;
mod words;

use super::unicode::Classes;
use crate::{Error, Result};
use table::TABLE;
use text::Text;
use words::Words;

/// An expression.
pub enum Stage {
    /// One that finds a match everywhere.
    Main(Words),
    /// The length in bytes of the first piece of a non-empty text: at least 1, at most the whole.
    First(fn(Text<'_>) -> usize),
    /// All places, ascending and past the start, at which a text is cut.
    Cut(fn(Text<'_>, &mut dyn FnMut(usize))),
}

/// What `tokenizer.ggml.pre` decides.
pub struct Pre {
    names: &'static [&'static str],
    /// The expressions, in the order in which they are applied.
    pub stages: &'static [Stage],
    /// A word that is a token as a whole is not merged up from its bytes.
    pub ignore_merges: bool,
    /// Whether BOS is added where the file does not say.
    pub add_bos: bool,
    /// Whether detokenizing removes spaces before punctuation.
    pub clean_spaces: bool,
    /// Whether there is a BOS where the file names none.
    pub has_bos: bool,
    /// Whether token texts are in the code of bytes, else in plain characters.
    pub in_bytes: bool,
    /// Whether U+2581 stands for a space.
    pub escape_spaces: bool,
    /// A word of newlines that is a token as a whole is not merged up.
    pub whole_newlines: bool,
    /// White space is no part of the text.
    pub drop_spaces: bool,
    /// BOS is added even where the file says not to.
    pub always_bos: bool,
    /// Whether a file without merges is broken.
    pub needs_merges: bool,
}

impl Pre {
    /// The pre-tokenizer called `name`; an error lists those that exist.
    pub fn find(name: &str) -> Result<&'static Pre> {
        TABLE.iter().find(|p| p.names.contains(&name)).ok_or_else(|| {
            let mut known: Vec<_> = TABLE.iter().flat_map(|p| p.names).copied().collect();
            known.sort_unstable();
            Error::Unsupported(format!(
                "tokenizer.ggml.pre: unknown pre-tokenizer {name:?}; supported: {}",
                known.join(", ")
            ))
        })
    }

    /// Calls `word` with the start and end of each word of `text` in order. The text must be
    /// canonical (see [`super::unicode::push_canonical`]).
    pub fn split(&self, text: &[u8], mut word: impl FnMut(usize, usize)) {
        split(self.stages, Classes::get(), text, 0, &mut word);
    }
}

fn split(
    stages: &[Stage],
    classes: &'static Classes,
    text: &[u8],
    base: usize,
    word: &mut impl FnMut(usize, usize),
) {
    let Some((stage, rest)) = stages.split_first() else { return word(base, base + text.len()) };
    let mut start = 0;
    let mut piece = |start: usize, end: usize| match rest.is_empty() {
        true => word(base + start, base + end),
        false => split(rest, classes, &text[start..end], base + start, word),
    };
    if let Stage::Cut(cuts) = stage {
        let mut cut = |at: usize| {
            if at > start {
                piece(start, at);
                start = at;
            }
        };
        cuts(Text { bytes: text, classes }, &mut cut);
        return cut(text.len());
    }
    while start < text.len() {
        let t = Text { bytes: &text[start..], classes };
        let end = start
            + match stage {
                Stage::Main(words) => words.first(t),
                Stage::First(first) => first(t),
                Stage::Cut(_) => t.bytes.len(),
            };
        piece(start, end);
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'a>(pre: &str, text: &'a str) -> Vec<&'a str> {
        let mut out = Vec::new();
        Pre::find(pre).unwrap().split(text.as_bytes(), |a, b| out.push(&text[a..b]));
        out
    }

    #[test]
    fn llama3_and_qwen2() {
        let text = "I'LL go  to 12345\u{3000}x\r\n\n  y!!\n\n 'Tis…";
        #[rustfmt::skip]
        assert_eq!(
            pieces("llama-bpe", text),
            ["I", "'LL", " go", " ", " to", " ", "123", "45", "\u{3000}x", "\r\n\n", " ", " y", "!!\n\n", " '", "Tis", "…"]
        );
        assert_eq!(pieces("qwen2", "x 12345"), ["x", " ", "1", "2", "3", "4", "5"]);
        assert_eq!(pieces("qwen2", "e\u{301}a  "), ["e", "\u{301}a", "  "]);
        assert_eq!(pieces("qwen35", "e\u{301}a"), ["e\u{301}a"]);
    }

    #[test]
    fn gpt2_and_kin() {
        assert_eq!(
            pieces("gpt-2", "I'LL we'll  1a 23½ !? \t\n"),
            ["I", "'", "LL", " we", "'ll", " ", " 1", "a", " 23½", " !?", " \t\n"]
        );
        assert_eq!(pieces("starcoder", "a12 3"), ["a", "1", "2", " ", "3"]);
        assert_eq!(pieces("default", "a+b 12345."), ["a", "+", "b", " ", "123", "45", "."]);
    }

    #[test]
    fn unknown_names_are_errors() {
        let e = Pre::find("gpt-9").err().unwrap().to_string();
        assert!(e.contains("\"gpt-9\"") && e.contains("llama-bpe, ") && e.contains("qwen2"), "{e}");
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = TABLE.iter().flat_map(|p| p.names).collect();
        let n = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), n);
    }
}
