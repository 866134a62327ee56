//! The family of Llama 3, Qwen2 and GPT-4o: one expression that cuts a whole text into words, numbers,
//! punctuation and white space, in variants.

use super::text::Text;
use crate::tokenizer::unicode::{Class, LETTER, MARK, NUMBER, WHITESPACE};

/// Where `'s|'t|'re|'ve|'m|'ll|'d`, in either case, is cut.
#[derive(Clone, Copy, PartialEq)]
pub enum Contractions {
    /// Nowhere: an apostrophe begins a word like other punctuation.
    None,
    /// A piece of its own.
    Apart,
    /// The end of the word before it.
    Suffix,
}

/// What a word is made of. One character other than a newline or a number may stand before it.
#[derive(Clone, Copy, PartialEq)]
pub enum Letters {
    /// Characters of these classes.
    Run(Class),
    /// Characters of these classes: capitals, then small ones. Only ASCII letters have a case here, all
    /// others have both.
    Cased(Class),
    /// Letters, each with its marks; single spaces between them belong to the word.
    Spaced,
    /// Letters other than Chinese characters, runs of which are words too.
    NotHan,
}

/// What may end a run of punctuation.
#[derive(Clone, Copy, PartialEq)]
pub enum Tail {
    /// Nothing.
    None,
    /// Any of these.
    Any(&'static [u8]),
    /// One of these.
    One(&'static [u8]),
}

/// A variant.
pub struct Words {
    pub contractions: Contractions,
    pub letters: Letters,
    /// How many digits make a piece at most.
    pub digits: usize,
    /// Classes that a run of punctuation stops at.
    pub not_punctuation: Class,
    pub tail: Tail,
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
pub const LLAMA3: Words = Words {
    contractions: Contractions::Apart,
    letters: Letters::Run(LETTER),
    digits: 3,
    not_punctuation: WHITESPACE | LETTER | NUMBER,
    tail: Tail::Any(b"\r\n"),
};

/// As [`LLAMA3`], each digit by itself.
pub const QWEN2: Words = Words { digits: 1, ..LLAMA3 };

/// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
/// where the reference reads case from ASCII alone.
pub const GPT4O: Words = Words {
    contractions: Contractions::Suffix,
    letters: Letters::Cased(LETTER),
    tail: Tail::Any(b"\r\n/"),
    ..LLAMA3
};

impl Words {
    /// The length of the first piece of a non-empty text.
    #[inline]
    pub fn first(&self, t: Text<'_>) -> usize {
        if self.contractions == Contractions::Apart {
            let len = t.contraction(0, true);
            if len > 0 {
                return len;
            }
        }
        let (class, len) = t.at(0);
        if class & NUMBER != 0 {
            return first_number(t, len, self.digits);
        }
        let end = self.word(t, class, len);
        if end > 0 {
            return match self.contractions {
                Contractions::Suffix => end + t.contraction(end, true),
                _ => end,
            };
        }
        let start = usize::from(t.bytes[0] == b' ');
        let end = t.run_not(start, self.not_punctuation);
        if end > start {
            return match self.tail {
                Tail::None => end,
                Tail::Any(set) => t.run_bytes(end, set),
                Tail::One(set) => end + usize::from(t.bytes.get(end).is_some_and(|b| set.contains(b))),
            };
        }
        t.spaces_by_lines(0)
    }

    /// The length of the word at the start, with what stands before it; 0 if there is none. The first
    /// character has the class and length given.
    #[inline]
    fn word(&self, t: Text<'_>, class: Class, len: usize) -> usize {
        let may_lead = class & LETTER == 0 && t.bytes[0] != b'\r' && t.bytes[0] != b'\n';
        match self.letters {
            Letters::Run(mask) => {
                if class & mask != 0 || may_lead && t.at(len).0 & mask != 0 {
                    t.run(len, mask)
                } else {
                    0
                }
            }
            Letters::Cased(mask) => {
                let lead = if may_lead { len } else { 0 };
                let small = |start| ends_small(t, start, mask);
                let capital = |start| match capitals(t, start, mask) {
                    end if end > start => end,
                    _ => 0,
                };
                // With what may stand before it, else without.
                let ends = [small(lead), small(0), capital(lead), capital(0)];
                ends.into_iter().find(|&end| end > 0).unwrap_or(0)
            }
            Letters::Spaced => {
                let mut pos = if may_lead { len } else { 0 };
                let begin = pos;
                loop {
                    let (class, len) = t.at(pos);
                    if class & LETTER != 0 {
                        pos = t.run(pos + len, MARK);
                    } else if pos > begin && t.bytes.get(pos) == Some(&b' ') && t.at(pos + 1).0 & LETTER != 0
                    {
                        pos += 1;
                    } else {
                        return if pos > begin { pos } else { 0 };
                    }
                }
            }
            Letters::NotHan => {
                let han = |pos| is_han(t.char_at(pos).0);
                let mut pos = 0;
                while han(pos) {
                    pos += t.char_at(pos).1;
                }
                if pos > 0 {
                    return pos;
                }
                pos = if may_lead { len } else { 0 };
                let begin = pos;
                while t.at(pos).0 & LETTER != 0 && !han(pos) {
                    pos += t.at(pos).1;
                }
                if pos > begin { pos } else { 0 }
            }
        }
    }
}

/// The end of a number of at most `digits` digits, whose first has length `len`.
#[inline]
pub fn first_number(t: Text<'_>, len: usize, digits: usize) -> usize {
    let mut end = len;
    for _ in 1..digits {
        let (class, len) = t.at(end);
        if class & NUMBER == 0 {
            break;
        }
        end += len;
    }
    end
}

/// The end of the run of what may be a capital, from `pos`: everything of `mask` but a-z.
fn capitals(t: Text<'_>, mut pos: usize, mask: Class) -> usize {
    loop {
        let (class, len) = t.at(pos);
        if class & mask == 0 || t.bytes[pos].is_ascii_lowercase() {
            return pos;
        }
        pos += len;
    }
}

/// The end of capitals and at least one small letter from `start`, as many of each as possible; 0 if
/// there are none. What has both cases is a capital as long as a small letter follows.
fn ends_small(t: Text<'_>, start: usize, mask: Class) -> usize {
    let end = capitals(t, start, mask);
    if t.bytes.get(end).is_some_and(u8::is_ascii_lowercase) {
        let mut pos = end;
        loop {
            let (class, len) = t.at(pos);
            if class & mask == 0 || t.bytes[pos].is_ascii_uppercase() {
                return pos;
            }
            pos += len;
        }
    }
    // The last that may also be a small letter is the one.
    t.bytes[start..end].iter().rposition(|&b| b >= 0x80).map_or(0, |at| start + at + 1)
}

/// The blocks of Chinese characters that the reference knows.
fn is_han(cp: u32) -> bool {
    matches!(cp, 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x2A6DF
        | 0x2A700..=0x2EBEF | 0x2F800..=0x2FA1F)
}
