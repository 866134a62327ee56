//! Single expressions, each as a scanner of the first piece it cuts off.

use super::text::{Set, Text};
use super::words::first_number;
use crate::tokenizer::unicode::{LETTER, MARK, NUMBER, PUNCTUATION, SYMBOL, WHITESPACE};
use std::sync::LazyLock;

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
pub fn gpt2(t: Text<'_>) -> usize {
    let len = t.contraction(0, false);
    if len > 0 {
        return len;
    }
    let start = usize::from(t.bytes[0] == b' ');
    let (class, len) = t.at(start);
    let other = WHITESPACE | LETTER | NUMBER;
    match class & other {
        LETTER => t.run(start + len, LETTER),
        NUMBER => t.run(start + len, NUMBER),
        0 if len > 0 => t.run_not(start + len, other),
        _ => t.spaces(0, t.run(0, WHITESPACE)),
    }
}

/// `\p{N}{1,DIGITS}`
pub fn numbers<const DIGITS: usize>(t: Text<'_>) -> usize {
    match t.at(0) {
        (class, len) if class & NUMBER != 0 => first_number(t, len, DIGITS),
        (_, len) => t.run_not(len, NUMBER),
    }
}

/// `[0-9][0-9][0-9]`
pub fn three_digits(t: Text<'_>) -> usize {
    let found = t.bytes.windows(3).position(|w| w.iter().all(u8::is_ascii_digit));
    match found {
        Some(0) => 3,
        Some(start) => start,
        None => t.bytes.len(),
    }
}

/// `[\p{P}\$\+<=>\^~\|]+`
pub fn punctuation(t: Text<'_>) -> usize {
    runs_of_punctuation(t, b"$+<=>^~|")
}

/// `[\p{P}\$\+<=>\^~\|`]+`
pub fn punctuation_and_backticks(t: Text<'_>) -> usize {
    runs_of_punctuation(t, b"$+<=>^~|`")
}

fn runs_of_punctuation(t: Text<'_>, symbols: &[u8]) -> usize {
    let inside = |pos: usize| {
        let (class, len) = t.at(pos);
        let extra = || t.bytes.get(pos).is_some_and(|b| symbols.contains(b));
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

/// `[\r\n]`, each by itself.
pub fn line_ends(t: Text<'_>) -> usize {
    match memchr::memchr2(b'\r', b'\n', t.bytes) {
        Some(at) => at.max(1),
        None => t.bytes.len(),
    }
}

/// `[^\n]+|[\n]+`
pub fn lines(t: Text<'_>) -> usize {
    match memchr::memchr(b'\n', t.bytes) {
        Some(0) => t.run_bytes(0, b"\n"),
        Some(at) => at,
        None => t.bytes.len(),
    }
}

/// `\s?X+`, where `run` gives the end of `X*` from a position.
#[inline]
fn spaced(t: Text<'_>, run: impl Fn(usize) -> usize) -> usize {
    t.isolate(|pos| {
        let start = pos + t.space(pos);
        match run(start) {
            end if end > start => end - pos,
            _ => 0,
        }
    })
}

/// `\s?\p{L}+`
pub fn spaced_letters(t: Text<'_>) -> usize {
    spaced(t, |pos| t.run(pos, LETTER))
}

/// `\s?\p{P}+`
pub fn spaced_punctuation(t: Text<'_>) -> usize {
    spaced(t, |pos| t.run(pos, PUNCTUATION))
}

/// `\s?[A-Za-zµÀ-Ö...]+`: letters that have a case, as DeepSeek LLM lists them.
pub fn spaced_cased_letters(t: Text<'_>) -> usize {
    static SET: LazyLock<Set> = LazyLock::new(|| Set::new(CASED));
    spaced(t, |pos| t.run_set(pos, &SET))
}

#[rustfmt::skip]
const CASED: &str =
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅ\
     Ὀ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛ\
     Ꜣ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃";

/// `\s?[!-/:-~！-／：-～‘-‟　-。]+`; the range `:-~` has the ASCII letters, too.
pub fn spaced_marks(t: Text<'_>) -> usize {
    static SET: LazyLock<Set> = LazyLock::new(|| Set::new("!-/:-~！-／：-～‘-‟\u{3000}-。"));
    spaced(t, |pos| t.run_set(pos, &SET))
}

/// `\s+$`
pub fn last_spaces(t: Text<'_>) -> usize {
    let len = t.bytes.len();
    let mut start = len;
    while start > 0 {
        let Some(before) = (0..start).rev().find(|&i| t.bytes[i] & 0xC0 != 0x80) else { break };
        if t.space(before) == 0 {
            break;
        }
        start = before;
    }
    if start == 0 { len } else { start }
}

/// Runs of the characters of a set.
fn runs(t: Text<'_>, set: &Set) -> usize {
    t.isolate(|pos| t.run_set(pos, set) - pos)
}

/// `[一-龥ࠀ-一가-\u{d7ff}]+`
pub fn east_asian(t: Text<'_>) -> usize {
    static SET: LazyLock<Set> = LazyLock::new(|| Set::new("一-龥\u{800}-一가-\u{d7ff}"));
    runs(t, &SET)
}

const HAN_AND_KANA: &str = "一-龥\u{3040}-ゟ゠-ヿ";

/// `[一-龥\u{3040}-ゟ゠-ヿ]+`
pub fn han_and_kana(t: Text<'_>) -> usize {
    static SET: LazyLock<Set> = LazyLock::new(|| Set::new(HAN_AND_KANA));
    runs(t, &SET)
}

/// Scripts of East and South-East Asia, as AFMoE lists them.
pub fn asian(t: Text<'_>) -> usize {
    static SET: LazyLock<Set> = LazyLock::new(|| {
        Set::new(
            "一-\u{9fff}㐀-\u{4dbf}\u{8c48}-\u{faff}\u{3040}-ゟ゠-ヿ･-ﾟ\u{2f00}-\u{2fdf}\u{e40}-\u{e7f}\
             \u{e80}-\u{eff}\u{1780}-\u{17ff}\u{1000}-\u{109f}\u{aa60}-\u{aa7f}\u{a9e0}-\u{a9ff}\
             가-\u{d7af}\u{1100}-\u{11ff}",
        )
    });
    runs(t, &SET)
}

/// `[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u{3040}-ゟ゠-ヿ]+`
pub fn youtu_scripts(t: Text<'_>) -> usize {
    static SETS: LazyLock<[Set; 4]> = LazyLock::new(|| {
        ["가-힣ㄱ-\u{318e}", "！…“”‘’—：；，、-\u{303f}︰-﹏", "ㄅ-ㄯ", HAN_AND_KANA].map(Set::new)
    });
    t.isolate(|pos| SETS.iter().map(|set| t.run_set(pos, set) - pos).find(|&len| len > 0).unwrap_or(0))
}

/// ` ?[^(\s|.,!?…。，、।۔،)]+`
pub fn bloom(t: Text<'_>) -> usize {
    static STOPS: LazyLock<Set> = LazyLock::new(|| Set::new("(|.,!?…。，、।۔،)"));
    t.isolate(|pos| {
        let start = pos + usize::from(t.bytes[pos] == b' ');
        let mut end = start;
        while end < t.bytes.len() && t.space(end) == 0 && t.in_set(end, &STOPS) == 0 {
            end += t.at(end).1;
        }
        if end > start { end - pos } else { 0 }
    })
}

/// ``[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|``
/// `` ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+``
pub fn deepseek3(t: Text<'_>) -> usize {
    deepseek3_words(t, true)
}

/// As [`deepseek3`], with ` ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+`.
pub fn spark(t: Text<'_>) -> usize {
    deepseek3_words(t, false)
}

#[inline]
fn deepseek3_words(t: Text<'_>, by_lines: bool) -> usize {
    t.isolate(|pos| {
        let first = t.bytes[pos];
        let is_line_end = first == b'\r' || first == b'\n';
        if first.is_ascii_punctuation() {
            let letters = t.bytes[pos + 1..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
            if letters > 0 {
                return 1 + letters;
            }
        }
        let (class, len) = t.at(pos);
        let word = LETTER | MARK;
        let may_lead = class & (LETTER | PUNCTUATION | SYMBOL) == 0 && !is_line_end;
        if class & word != 0 || may_lead && t.at(pos + len).0 & word != 0 {
            return t.run(pos + len, word) - pos;
        }
        let start = pos + usize::from(first == b' ');
        let end = t.run(start, PUNCTUATION | SYMBOL);
        if end > start {
            return if by_lines { t.run_bytes(end, b"\r\n") } else { end } - pos;
        }
        match class & WHITESPACE != 0 {
            true if by_lines => t.spaces_by_lines(pos) - pos,
            true if is_line_end => 1,
            true => t.spaces(pos, t.run(pos, WHITESPACE)) - pos,
            false => 0,
        }
    })
}

/// Cuts the white space that stays after [`super::words`] where nothing follows on the line:
/// `\s{512}(?!\S)|\s{256}(?!\S)|...|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}`.
pub fn powers_of_two(t: Text<'_>) -> usize {
    let last = t.bytes.len() - 1;
    let last = (0..=last).rev().find(|&i| t.bytes[i] & 0xC0 != 0x80).unwrap_or(0);
    // Nothing else that ends in white space ends in any other than a newline.
    if t.space(last) == 0 || matches!(t.bytes[last], b'\r' | b'\n') {
        return t.bytes.len();
    }
    let (mut end, mut n, mut cut) = (0, 0usize, 0);
    while n < 512 && end < t.bytes.len() {
        end += t.at(end).1;
        n += 1;
        if n.is_power_of_two() {
            cut = end;
        }
    }
    cut
}

/// `(?=(\d{3})+(?!\d))`: cuts before every third digit from the end of a number.
pub fn thousands(t: Text<'_>, cut: &mut dyn FnMut(usize)) {
    let mut pos = 0;
    while let Some(start) = t.bytes[pos..].iter().position(u8::is_ascii_digit) {
        let start = pos + start;
        pos = start + t.bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
        let first = start + (pos - start) % 3;
        (first..pos).step_by(3).filter(|&at| at > 0).for_each(&mut *cut);
    }
}

/// Cuts numbers into threes from their ends, where the reference leaves what stands before a number
/// together with the first of its parts.
pub fn thousands_led(t: Text<'_>, cut: &mut dyn FnMut(usize)) {
    let mut pos = 0;
    loop {
        let start = t.run_not(pos, NUMBER);
        let end = t.run(start, NUMBER);
        if start == end {
            return;
        }
        let count = |from: usize| t.bytes[from..end].iter().filter(|&b| b & 0xC0 != 0x80).count();
        let (mut left, mut at) = (count(start), start);
        while at < end {
            for _ in 0..(left + 2) % 3 + 1 {
                at += t.at(at).1;
                left -= 1;
            }
            cut(at);
        }
        pos = end;
    }
}

/// `<sentinel:[0-9]+>`
pub fn sentinels(t: Text<'_>) -> usize {
    t.isolate(|pos| {
        let Some(rest) = t.bytes[pos..].strip_prefix(b"<sentinel:") else { return 0 };
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 && rest.get(digits) == Some(&b'>') { 10 + digits + 1 } else { 0 }
    })
}

/// `(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z`
pub fn images(t: Text<'_>) -> usize {
    t.isolate(|pos| {
        let Some(rest) = t.bytes[pos..].strip_prefix(b"IMGIMG") else { return 0 };
        let letters = rest.iter().take_while(|b| (b'A'..=b'I').contains(b)).count();
        if (1..=4).contains(&letters) && rest.get(letters) == Some(&b'Z') { 6 + letters + 1 } else { 0 }
    })
}

/// `([\t\n]|    |  )`
pub fn indents(t: Text<'_>) -> usize {
    t.isolate(|pos| match &t.bytes[pos..] {
        [b'\t' | b'\n', ..] => 1,
        [b' ', b' ', b' ', b' ', ..] => 4,
        [b' ', b' ', ..] => 2,
        _ => 0,
    })
}

/// ``[\p{P}!-/:-@\[-`{-~]``, each by itself.
pub fn single_punctuation(t: Text<'_>) -> usize {
    t.isolate(|pos| {
        let (class, len) = t.at(pos);
        if class & PUNCTUATION != 0 || t.bytes[pos].is_ascii_punctuation() { len } else { 0 }
    })
}

/// `\S+`
pub fn not_spaces(t: Text<'_>) -> usize {
    match t.run_not(0, WHITESPACE) {
        0 => t.run(0, WHITESPACE),
        end => end,
    }
}
