//! Pre-tokenizers: where a byte-level BPE text is cut into words before merging.
//!
//! A model names its pre-tokenizer in `tokenizer.ggml.pre`; each is defined by regular expressions
//! applied one after the other, every expression inside the pieces that the one before left. Here an
//! expression is a [`Stage`]: a hand-written scanner that looks at each character a bounded number
//! of times, so no text is slow. To add a pre-tokenizer, add a row to [`TABLE`], and a stage if its
//! expression is new.

use super::unicode::{self, Class, Classes, LETTER, MARK, NUMBER, PUNCTUATION, UNASSIGNED, WHITESPACE};
use crate::{Error, Result};

/// The length in bytes of the first piece of a non-empty text: at least 1, at most the whole.
pub type Stage = fn(Text<'_>) -> usize;

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
}

const PRE: Pre =
    Pre { names: &[], stages: &[], ignore_merges: false, add_bos: false, clean_spaces: true, has_bos: true };

const GPT2: &[Stage] = &[gpt2];
const LLAMA3: &[Stage] = &[words::<3, LETTER>];
const QWEN2: &[Stage] = &[words::<1, LETTER>];
const DIGITS_GPT2: &[Stage] = &[single_numbers, gpt2];

/// Every supported pre-tokenizer.
static TABLE: &[Pre] = &[
    Pre { names: &["default"], stages: &[punctuation, gpt2, numbers, three_digits], ..PRE },
    Pre {
        names: &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        stages: LLAMA3,
        ignore_merges: true,
        add_bos: true,
        ..PRE
    },
    Pre { names: &["dbrx", "smaug-bpe"], stages: LLAMA3, ..PRE },
    Pre { names: &["chatglm-bpe"], stages: LLAMA3, has_bos: false, ..PRE },
    Pre { names: &["glm4", "glm5"], stages: LLAMA3, has_bos: false, ignore_merges: true, ..PRE },
    Pre {
        names: &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "hunyuan", "solar-open", "grok-2"],
        stages: QWEN2,
        clean_spaces: false,
        ..PRE
    },
    Pre { names: &["megrez", "stablelm2"], stages: QWEN2, ..PRE },
    Pre { names: &["qwen35"], stages: &[words::<1, { LETTER | MARK }>], clean_spaces: false, ..PRE },
    Pre {
        names: &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "gigachat",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
            "roberta-bpe",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "mpt",
            "olmo",
            "jais",
            "exaone4",
        ],
        stages: GPT2,
        ..PRE
    },
    Pre { names: &["trillion", "granite-docling"], stages: GPT2, clean_spaces: false, ..PRE },
    Pre {
        names: &["starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"],
        stages: DIGITS_GPT2,
        ..PRE
    },
    Pre { names: &["command-r", "smollm"], stages: DIGITS_GPT2, clean_spaces: false, ..PRE },
];

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
    /// canonical (see [`unicode::push_canonical`]).
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
    while start < text.len() {
        let end = start + stage(Text { bytes: &text[start..], classes });
        if rest.is_empty() {
            word(base + start, base + end);
        } else {
            split(rest, classes, &text[start..end], base + start, word);
        }
        start = end;
    }
}

/// What a stage looks at: canonical text and the class of its characters.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    bytes: &'a [u8],
    classes: &'static Classes,
}

impl Text<'_> {
    /// Class and length of the character at `pos`; (0, 0) at the end.
    #[inline]
    fn at(&self, pos: usize) -> (Class, usize) {
        match self.bytes.get(pos) {
            None => (0, 0),
            Some(&b) if b < 0x80 => (self.classes.of_ascii(b), 1),
            Some(_) => match unicode::decode(&self.bytes[pos..]) {
                Some((cp, len)) => (self.classes.of(cp), len),
                None => (UNASSIGNED, 1),
            },
        }
    }

    /// The end of the run of characters, from `pos`, whose class satisfies `want`.
    #[inline]
    fn run(&self, mut pos: usize, want: impl Fn(Class) -> bool) -> usize {
        loop {
            let (class, len) = self.at(pos);
            if len == 0 || !want(class) {
                return pos;
            }
            pos += len;
        }
    }

    /// The end of the run of `\r` and `\n` from `pos`.
    #[inline]
    fn newlines(&self, pos: usize) -> usize {
        pos + self.bytes[pos..].iter().take_while(|&&b| b == b'\r' || b == b'\n').count()
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d` at the start; ASCII letters of either case if `any_case`.
    #[inline]
    fn contraction(&self, any_case: bool) -> Option<usize> {
        if self.bytes[0] != b'\'' {
            return None;
        }
        let letter = |i: usize| {
            let b = self.bytes.get(i).copied().unwrap_or(0);
            if any_case { b.to_ascii_lowercase() } else { b }
        };
        match (letter(1), letter(2)) {
            (b's' | b't' | b'm' | b'd', _) => Some(2),
            (b'r' | b'v', b'e') | (b'l', b'l') => Some(3),
            _ => None,
        }
    }

    /// `\s+(?!\S)|\s+` at the start, where the first character is a space: all of the run up to the
    /// end of the text, else all but its last character unless it has only one.
    fn spaces(&self, run: usize) -> usize {
        if run == self.bytes.len() {
            return run;
        }
        // Step back over one canonical character.
        let last = (0..run).rev().find(|&i| self.bytes[i] & 0xC0 != 0x80).unwrap_or(0);
        if last == 0 { run } else { last }
    }
}

fn is(mask: Class) -> impl Fn(Class) -> bool {
    move |class| class & mask != 0
}

fn is_not(mask: Class) -> impl Fn(Class) -> bool {
    move |class| class & mask == 0
}

/// Llama 3, Qwen2 and kin, where a word is made of the classes `WORD` and numbers are cut after
/// `DIGITS` digits:
/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
fn words<const DIGITS: usize, const WORD: Class>(t: Text<'_>) -> usize {
    if let Some(len) = t.contraction(true) {
        return len;
    }
    let first = t.bytes[0];
    let (class, len) = t.at(0);
    if class & NUMBER != 0 {
        let mut end = len;
        for _ in 1..DIGITS {
            let (class, len) = t.at(end);
            if class & NUMBER == 0 {
                break;
            }
            end += len;
        }
        return end;
    }
    if first != b'\r' && first != b'\n' && (class & WORD != 0 || t.at(len).0 & WORD != 0) {
        return t.run(len, is(WORD));
    }
    let start = usize::from(first == b' ');
    let end = t.run(start, is_not(WHITESPACE | WORD | NUMBER));
    if end > start {
        return t.newlines(end);
    }
    let run = t.run(0, is(WHITESPACE));
    match t.bytes[..run].iter().rposition(|&b| b == b'\r' || b == b'\n') {
        Some(last) => last + 1,
        None => t.spaces(run),
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
fn gpt2(t: Text<'_>) -> usize {
    if let Some(len) = t.contraction(false) {
        return len;
    }
    let start = usize::from(t.bytes[0] == b' ');
    let (class, len) = t.at(start);
    let other = WHITESPACE | LETTER | NUMBER;
    match class & other {
        LETTER => t.run(start + len, is(LETTER)),
        NUMBER => t.run(start + len, is(NUMBER)),
        0 if len > 0 => t.run(start + len, is_not(other)),
        _ => t.spaces(t.run(0, is(WHITESPACE))),
    }
}

/// `\p{N}`, each on its own.
fn single_numbers(t: Text<'_>) -> usize {
    let (class, len) = t.at(0);
    if class & NUMBER != 0 { len } else { t.run(len, is_not(NUMBER)) }
}

/// `\p{N}+`
fn numbers(t: Text<'_>) -> usize {
    let (class, len) = t.at(0);
    if class & NUMBER != 0 { t.run(len, is(NUMBER)) } else { t.run(len, is_not(NUMBER)) }
}

/// `[0-9][0-9][0-9]`
fn three_digits(t: Text<'_>) -> usize {
    let found = t.bytes.windows(3).position(|w| w.iter().all(u8::is_ascii_digit));
    match found {
        Some(0) => 3,
        Some(start) => start,
        None => t.bytes.len(),
    }
}

/// `[\p{P}\$\+<=>\^~\|]+`
fn punctuation(t: Text<'_>) -> usize {
    let inside = |pos: usize| {
        let (class, len) = t.at(pos);
        let extra = || t.bytes.get(pos).is_some_and(|b| b"$+<=>^~|".contains(b));
        (class & PUNCTUATION != 0 || extra(), len)
    };
    let (first, mut end) = inside(0);
    loop {
        let (same, len) = inside(end);
        if len == 0 || same != first {
            return end;
        }
        end += len;
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
