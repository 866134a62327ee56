//! The table of replacements that SentencePiece compiles its normalization rules to.
//!
//! Format: the length in bytes of an array of little-endian u32, that array, then replacement strings
//! that end in NUL. The array is an XOR-compressed double array (Kanda, "Space- and time-efficient
//! string dictionaries", 2018): bits 10..31 of an entry are the offset to its children (shifted by 8 if
//! bit 9 is set), bits 0..8 the byte that led to it, bit 8 says that a rule ends here, whose value
//! (bits 0..31) is the place of its replacement. Every access is checked: files are not trusted.

use crate::{Error, Result};

/// No rule is longer than this; a crafted table could otherwise lead on and on.
const LONGEST_RULE: usize = 1024;

/// Replacements of prefixes.
pub struct Charsmap {
    nodes: Vec<u32>,
    /// Ends in NUL.
    texts: Vec<u8>,
}

impl Charsmap {
    /// Reads the bytes of `tokenizer.ggml.precompiled_charsmap`.
    pub fn new(bytes: &[u8]) -> Result<Charsmap> {
        let bad = |what: &str| Error::Format(format!("tokenizer.ggml.precompiled_charsmap: {what}"));
        let (len, rest) = bytes.split_first_chunk().ok_or_else(|| bad("no length"))?;
        let len = u32::from_le_bytes(*len) as usize;
        let (nodes, texts) = rest.split_at_checked(len).ok_or_else(|| bad("the array is cut off"))?;
        if texts.last() != Some(&0) {
            return Err(bad("the last replacement does not end"));
        }
        let nodes = nodes.as_chunks().0.iter().map(|n| u32::from_le_bytes(*n)).collect();
        Ok(Charsmap { nodes, texts: texts.to_vec() })
    }

    /// The length of the longest prefix of `text` that a rule replaces, and what by; `None` if there is
    /// no such rule. A rule that points outside the table replaces nothing.
    #[inline]
    pub fn longest(&self, text: &[u8]) -> Option<(usize, &[u8])> {
        let base = |node: u32| (node >> 10) << ((node & 1 << 9) >> 6);
        let mut at = base(*self.nodes.first()?);
        let mut found = None;
        for (i, &b) in text.iter().take(LONGEST_RULE).enumerate().take_while(|(_, b)| **b != 0) {
            at ^= u32::from(b);
            let Some(&node) = self.nodes.get(at as usize) else { break };
            if node & (1 << 31 | 0xFF) != u32::from(b) {
                break;
            }
            at ^= base(node);
            if node >> 8 & 1 != 0 {
                let Some(&value) = self.nodes.get(at as usize) else { break };
                found = Some((i + 1, value & !(1 << 31)));
            }
        }
        let (len, start) = found?;
        let text = self.texts.get(start as usize..)?;
        let text = &text[..text.len().min(LONGEST_RULE)];
        Some((len, &text[..memchr::memchr(0, text)?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with one rule: "a" becomes "xy".
    fn small() -> Vec<u8> {
        // The root's children are at 256 ^ byte, so that of 'a' is at 256 + 97, its leaf at 512.
        let mut nodes = vec![0u32; 600];
        nodes[0] = 256 << 10;
        nodes[256 ^ 97] = (353 ^ 512) << 10 | 1 << 8 | 97;
        nodes[512] = 1 << 31 | 1;
        let mut bytes = (nodes.len() as u32 * 4).to_le_bytes().to_vec();
        bytes.extend(nodes.iter().flat_map(|n| n.to_le_bytes()));
        bytes.extend(b"\0xy\0");
        bytes
    }

    #[test]
    fn replaces_the_longest_prefix() {
        let map = Charsmap::new(&small()).unwrap();
        assert_eq!(map.longest(b"ab"), Some((1, &b"xy"[..])));
        assert_eq!((map.longest(b"b"), map.longest(b""), map.longest(b"\0a")), (None, None, None));
    }

    #[test]
    fn broken_tables_are_errors_or_replace_nothing() {
        let good = small();
        for n in [0, 3, 4, 100, good.len() - 4, good.len() - 1] {
            assert!(Charsmap::new(&good[..n]).is_err(), "cut to {n}");
        }
        for at in 0..good.len() - 4 {
            for value in [0, 0x7F, 0xFF] {
                let mut bytes = good.clone();
                bytes[at] = value;
                if let Ok(map) = Charsmap::new(&bytes) {
                    map.longest(b"aaaa");
                }
            }
        }
    }
}
