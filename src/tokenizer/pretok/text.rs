//! What pre-tokenizers look at: canonical text, the classes of its characters, sets of them.

use crate::tokenizer::unicode::{self, Class, Classes, UNASSIGNED, WHITESPACE};

/// A piece of canonical text (see [`unicode::push_canonical`]) to find the first word of.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    pub bytes: &'a [u8],
    pub classes: &'static Classes,
}

impl Text<'_> {
    /// Class and length of the character at `pos`; (0, 0) at the end.
    #[inline]
    pub fn at(&self, pos: usize) -> (Class, usize) {
        match self.bytes.get(pos) {
            None => (0, 0),
            Some(&b) if b < 0x80 => (self.classes.of_ascii(b), 1),
            Some(_) => match unicode::decode(&self.bytes[pos..]) {
                Some((cp, len)) => (self.classes.of(cp), len),
                None => (UNASSIGNED, 1),
            },
        }
    }

    /// Code point and length of the character at `pos`; (0, 0) at the end.
    #[inline]
    pub fn char_at(&self, pos: usize) -> (u32, usize) {
        match self.bytes.get(pos) {
            None => (0, 0),
            Some(_) => unicode::decode(&self.bytes[pos..]).unwrap_or((0xFFFD, 1)),
        }
    }

    /// The end of the run of characters, from `pos`, whose class has a bit of `mask`.
    #[inline]
    pub fn run(&self, pos: usize, mask: Class) -> usize {
        self.run_while(pos, |class| class & mask != 0)
    }

    /// The end of the run of characters, from `pos`, whose class has no bit of `mask`.
    #[inline]
    pub fn run_not(&self, pos: usize, mask: Class) -> usize {
        self.run_while(pos, |class| class & mask == 0)
    }

    #[inline]
    fn run_while(&self, mut pos: usize, want: impl Fn(Class) -> bool) -> usize {
        loop {
            while let Some(&b) = self.bytes.get(pos)
                && b < 0x80
            {
                if !want(self.classes.of_ascii(b)) {
                    return pos;
                }
                pos += 1;
            }
            let (class, len) = self.at(pos);
            if len == 0 || !want(class) {
                return pos;
            }
            pos += len;
        }
    }

    /// The end of the run of bytes of `set` from `pos`.
    #[inline]
    pub fn run_bytes(&self, pos: usize, set: &[u8]) -> usize {
        pos + self.bytes[pos..].iter().take_while(|b| set.contains(b)).count()
    }

    /// The end of the run of characters of `set` from `pos`.
    pub fn run_set(&self, mut pos: usize, set: &Set) -> usize {
        loop {
            let len = self.in_set(pos, set);
            if len == 0 {
                return pos;
            }
            pos += len;
        }
    }

    /// The length of the character at `pos` if it is in `set`, else 0. White space outside ASCII is in
    /// no set: the reference shows it to its expressions as a vertical tab.
    #[inline]
    pub fn in_set(&self, pos: usize, set: &Set) -> usize {
        let (cp, len) = self.char_at(pos);
        if len > 0 && set.contains(cp) && (cp < 0x80 || self.classes.of(cp) & WHITESPACE == 0) {
            len
        } else {
            0
        }
    }

    /// The length of an optional white space character at `pos`.
    #[inline]
    pub fn space(&self, pos: usize) -> usize {
        let (class, len) = self.at(pos);
        if class & WHITESPACE != 0 { len } else { 0 }
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d` at `pos`; ASCII letters of either case if `any_case`. Else 0.
    #[inline]
    pub fn contraction(&self, pos: usize, any_case: bool) -> usize {
        if self.bytes.get(pos) != Some(&b'\'') {
            return 0;
        }
        let letter = |i: usize| {
            let b = self.bytes.get(pos + i).copied().unwrap_or(0);
            if any_case { b.to_ascii_lowercase() } else { b }
        };
        match (letter(1), letter(2)) {
            (b's' | b't' | b'm' | b'd', _) => 2,
            (b'r' | b'v', b'e') | (b'l', b'l') => 3,
            _ => 0,
        }
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+` at `pos`, where the run of white space is not empty: up to its last
    /// newline; else all of it at the end of the text, else all but its last character.
    pub fn spaces_by_lines(&self, pos: usize) -> usize {
        let run = self.run(pos, WHITESPACE);
        match memchr::memrchr2(b'\r', b'\n', &self.bytes[pos..run]) {
            Some(last) => pos + last + 1,
            None => self.spaces(pos, run),
        }
    }

    /// `\s+(?!\S)|\s+` at `pos`, where the run of white space ends at `run`: all of it at the end of the
    /// text, else all but its last character, unless it has only one.
    pub fn spaces(&self, pos: usize, run: usize) -> usize {
        if run == self.bytes.len() {
            return run;
        }
        // Step back over one canonical character.
        let last = (pos..run).rev().find(|&i| self.bytes[i] & 0xC0 != 0x80).unwrap_or(pos);
        if last == pos { run } else { last }
    }

    /// The first piece where matches and what lies between them are pieces: a match at the start, else
    /// what comes before the next one. `find` gives the length of the match at a position, or 0, and
    /// must not look further than it matches, plus a bounded number of characters.
    #[inline]
    pub fn isolate(&self, find: impl Fn(usize) -> usize) -> usize {
        let mut pos = find(0);
        if pos > 0 {
            return pos;
        }
        loop {
            pos += self.at(pos).1;
            if pos >= self.bytes.len() || find(pos) > 0 {
                return pos;
            }
        }
    }
}

/// A set of characters, written as in the brackets of an expression: `A-Za-zµ`.
pub struct Set {
    ascii: u128,
    /// Ascending, disjoint, inclusive.
    ranges: Vec<(u32, u32)>,
}

impl Set {
    /// The set that `spec` writes. `-` between two characters makes a range, elsewhere it is itself;
    /// nothing is escaped.
    pub fn new(spec: &str) -> Set {
        let chars: Vec<u32> = spec.chars().map(u32::from).collect();
        let mut all = Vec::new();
        let mut rest = &chars[..];
        while let Some((&first, tail)) = rest.split_first() {
            let (last, tail) = match tail {
                [dash, last, tail @ ..] if *dash == u32::from('-') => (*last, tail),
                _ => (first, tail),
            };
            all.push((first, last));
            rest = tail;
        }
        all.sort_unstable();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (first, last) in all {
            match ranges.last_mut() {
                Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
                _ => ranges.push((first, last)),
            }
        }
        let mut set = Set { ascii: 0, ranges };
        set.ascii = (0..128).filter(|&cp| set.search(cp)).fold(0, |bits, cp| bits | 1 << cp);
        set
    }

    fn search(&self, cp: u32) -> bool {
        let after = self.ranges.partition_point(|r| r.0 <= cp);
        after > 0 && cp <= self.ranges[after - 1].1
    }

    #[inline]
    fn contains(&self, cp: u32) -> bool {
        if cp < 128 { self.ascii >> cp & 1 != 0 } else { self.search(cp) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_as_written() {
        let set = Set::new("b-d!一-三二-十-");
        let members = ['!', '-', 'b', 'c', 'd', '一', '三', '十'];
        assert!(members.iter().all(|&c| set.contains(c as u32)));
        assert!(!['a', 'e', '~', '中'].iter().any(|&c| set.contains(c as u32)));
        assert_eq!(set.ranges, [(0x21, 0x21), (0x2D, 0x2D), (0x62, 0x64), (0x4E00, 0x5341)]);
    }
}
