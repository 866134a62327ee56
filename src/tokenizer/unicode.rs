//! Code point classes and the reference's reading of UTF-8, good or bad.

use super::unicode_data::{BASES, LOWER, RANGES};
use std::sync::LazyLock;

/// Class bits of a code point; 0 stands for "past the end of the text".
pub type Class = u8;

/// Not assigned by Unicode.
pub const UNASSIGNED: Class = 0x01;
/// `\p{N}`
pub const NUMBER: Class = 0x02;
/// `\p{L}`
pub const LETTER: Class = 0x04;
/// `\s`: the property White_Space.
pub const WHITESPACE: Class = 0x08;
/// `\p{M}`
pub const MARK: Class = 0x10;
/// `\p{P}`
pub const PUNCTUATION: Class = 0x20;
/// `\p{S}`
pub const SYMBOL: Class = 0x40;
/// `\p{C}`, but for what is not assigned.
pub const CONTROL: Class = 0x80;

/// The class of every code point: pages of 256, equal pages stored once.
pub struct Classes {
    ascii: [Class; 128],
    page_of: Vec<u16>,
    pages: Vec<[Class; 256]>,
}

impl Classes {
    /// The one table, expanded from its ranges on first use.
    pub fn get() -> &'static Classes {
        static TABLE: LazyLock<Classes> = LazyLock::new(Classes::expand);
        &TABLE
    }

    fn expand() -> Classes {
        let mut table = Classes { ascii: [0; 128], page_of: Vec::new(), pages: Vec::new() };
        let mut range = 0;
        for page_start in (0..0x110000u32).step_by(256) {
            let page: [Class; 256] = std::array::from_fn(|i| {
                let cp = page_start + i as u32;
                if RANGES.get(range + 1).is_some_and(|next| next.0 <= cp) {
                    range += 1;
                }
                RANGES[range].1
            });
            // Long uniform stretches make equal neighbours; other repeats are too rare to look for.
            if table.pages.last() != Some(&page) {
                table.pages.push(page);
            }
            table.page_of.push(table.pages.len() as u16 - 1);
        }
        table.ascii.copy_from_slice(&table.pages[0][..128]);
        table
    }

    /// The class of `cp`; [`UNASSIGNED`] above U+10FFFF.
    #[inline]
    pub fn of(&self, cp: u32) -> Class {
        match self.page_of.get((cp >> 8) as usize) {
            Some(&page) => self.pages[page as usize][(cp & 0xFF) as usize],
            None => UNASSIGNED,
        }
    }

    /// The class of an ASCII character.
    #[inline]
    pub fn of_ascii(&self, b: u8) -> Class {
        self.ascii[(b & 0x7F) as usize]
    }
}

/// Whether the first character of `text` is white space.
pub fn starts_with_space(text: &[u8]) -> bool {
    decode(text).is_some_and(|(cp, _)| Classes::get().of(cp) & WHITESPACE != 0)
}

/// The lower case of a code point, where that is one code point; else itself.
#[inline]
pub fn lower(cp: u32) -> u32 {
    match cp {
        0x41..=0x5A => cp + 0x20,
        0..=0x7F => cp,
        _ => LOWER.binary_search_by_key(&cp, |row| row.0).map_or(cp, |at| LOWER[at].1),
    }
}

/// The first code point of the canonical decomposition.
#[inline]
pub fn base(cp: u32) -> u32 {
    if cp < 0x80 {
        return cp;
    }
    match BASES.partition_point(|row| row.0 <= cp) {
        0 => cp,
        after if cp <= BASES[after - 1].1 => BASES[after - 1].2,
        _ => cp,
    }
}

/// The length of a UTF-8 sequence by its first byte alone; 1 for a continuation byte.
#[inline]
pub fn len_by_lead(lead: u8) -> usize {
    match lead {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
        _ => 1,
    }
}

/// The code point at the start of `b` and its length in bytes, by the rules of the reference: a
/// sequence is its lead and as many continuation bytes as that promises, so overlong forms and
/// surrogates decode. `None` for anything else, and above U+10FFFF.
#[inline]
pub fn decode(b: &[u8]) -> Option<(u32, usize)> {
    let lead = *b.first()?;
    let (mut cp, len) = match lead {
        0..=0x7F => return Some((u32::from(lead), 1)),
        0xC0..=0xDF => (u32::from(lead & 0x1F), 2),
        0xE0..=0xEF => (u32::from(lead & 0x0F), 3),
        0xF0..=0xF7 => (u32::from(lead & 0x07), 4),
        _ => return None,
    };
    for &b in b.get(1..len)? {
        if b & 0xC0 != 0x80 {
            return None;
        }
        cp = cp << 6 | u32::from(b & 0x3F);
    }
    (cp < 0x110000).then_some((cp, len))
}

/// Appends `cp` in UTF-8; surrogates are written like any other code point of three bytes.
pub fn push_utf8(cp: u32, out: &mut Vec<u8>) {
    let tail = |shift: u32| 0x80 | (cp >> shift & 0x3F) as u8;
    match cp {
        0..=0x7F => out.push(cp as u8),
        0x80..=0x7FF => out.extend([0xC0 | (cp >> 6) as u8, tail(0)]),
        0x800..=0xFFFF => out.extend([0xE0 | (cp >> 12) as u8, tail(6), tail(0)]),
        _ => out.extend([0xF0 | (cp >> 18) as u8, tail(12), tail(6), tail(0)]),
    }
}

/// Appends `text` with every undecodable byte replaced by U+FFFD and overlong forms shortened, so
/// that [`decode`] succeeds at every character of what is appended.
pub fn push_canonical(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(_) => rest.len(),
            Err(e) => e.valid_up_to(),
        };
        out.extend_from_slice(&rest[..valid]);
        rest = &rest[valid..];
        if !rest.is_empty() {
            let (cp, len) = decode(rest).unwrap_or((0xFFFD, 1));
            push_utf8(cp, out);
            rest = &rest[len..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_known_code_points() {
        let t = Classes::get();
        for (c, class) in [
            ('a', LETTER),
            ('7', NUMBER),
            (' ', WHITESPACE),
            ('\u{3000}', WHITESPACE),
            ('\u{85}', WHITESPACE | 0x80),
            ('\u{200b}', 0x80),
            ('½', NUMBER),
            ('é', LETTER),
            ('\u{301}', MARK),
            ('。', PUNCTUATION),
            ('€', 0x40),
            ('\u{378}', UNASSIGNED),
            ('\u{2ebf0}', LETTER), // assigned by Unicode 15.1
            ('\u{10ffff}', UNASSIGNED),
        ] {
            assert_eq!(t.of(c as u32), class, "{c:?}");
        }
        assert_eq!(t.of(0x110000), UNASSIGNED);
        assert_eq!(t.of_ascii(b'!'), PUNCTUATION);
    }

    #[test]
    fn lower_case_and_base_letters() {
        let map = |f: fn(u32) -> u32, c: char| char::from_u32(f(c as u32)).unwrap();
        for (c, low) in [('A', 'a'), ('z', 'z'), ('Ä', 'ä'), ('Σ', 'σ'), ('İ', 'i'), ('日', '日'), ('[', '[')]
        {
            assert_eq!(map(lower, c), low, "{c}");
        }
        for (c, first) in
            [('é', 'e'), ('Å', 'A'), ('한', 'ᄒ'), ('a', 'a'), ('\u{fb1d}', '\u{5d9}'), ('中', '中')]
        {
            assert_eq!(map(base, c), first, "{c}");
        }
    }

    #[test]
    fn bad_utf8_reads_as_the_reference_reads_it() {
        let canonical = |b: &[u8]| {
            let mut out = Vec::new();
            push_canonical(b, &mut out);
            out
        };
        assert_eq!(canonical("aé".as_bytes()), "aé".as_bytes());
        assert_eq!(canonical(b"\xff\x80a"), "\u{fffd}\u{fffd}a".as_bytes());
        assert_eq!(canonical(b"\xc1\x81"), b"A", "overlong");
        assert_eq!(canonical(b"\xed\xa0\x80"), b"\xed\xa0\x80", "surrogate");
        assert_eq!(canonical(b"\xe2\x82"), "\u{fffd}\u{fffd}".as_bytes(), "cut short");
        assert_eq!(canonical(b"\xf4\x90\x80\x80"), "\u{fffd}".repeat(4).as_bytes(), "too large");
    }
}
