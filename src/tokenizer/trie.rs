//! Token texts as a tree of bytes, to find those that a text begins with.
//!
//! The nodes lie in order of breadth, so that the children of a node are neighbours and one array says
//! where they begin: nine bytes a node, and the few children of most nodes share a cache line.

/// A place in the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node(u32);

const NO_VALUE: u32 = u32::MAX;

/// The tree.
pub struct Trie {
    /// Node n > 0 is reached by `labels[n - 1]`.
    labels: Vec<u8>,
    /// The children of node n are the nodes `first[n]..first[n + 1]`.
    first: Vec<u32>,
    values: Vec<u32>,
    /// The child of the root for each byte, or 0.
    roots: Box<[u32; 256]>,
}

impl Trie {
    /// A tree of texts, which must differ and not be empty, and their values, which are less than
    /// `u32::MAX`.
    pub fn new<'a>(texts: impl Iterator<Item = (&'a [u8], u32)>) -> Trie {
        let mut texts: Vec<_> = texts.collect();
        texts.sort_unstable();
        let mut trie =
            Trie { labels: Vec::new(), first: Vec::new(), values: Vec::new(), roots: Box::new([0; 256]) };
        // The texts below each node, by depth: a level is made from the one above it.
        let mut level = vec![(0, texts.len())];
        let mut depth = 0;
        let mut n_nodes = 1u32;
        while !level.is_empty() {
            let mut below = Vec::new();
            for (from, to) in level {
                let mut range = from..to;
                trie.first.push(n_nodes);
                // A text that ends here comes first.
                trie.values.push(match texts.get(range.start) {
                    Some((text, value)) if !range.is_empty() && text.len() == depth => {
                        range.start += 1;
                        *value
                    }
                    _ => NO_VALUE,
                });
                while !range.is_empty() {
                    let byte = texts[range.start].0[depth];
                    let n = texts[range.clone()].partition_point(|(text, _)| text[depth] == byte);
                    if depth == 0 {
                        trie.roots[usize::from(byte)] = n_nodes;
                    }
                    trie.labels.push(byte);
                    n_nodes += 1;
                    below.push((range.start, range.start + n));
                    range.start += n;
                }
            }
            level = below;
            depth += 1;
        }
        trie.first.push(n_nodes);
        trie
    }

    /// Where `byte` leads from the root.
    #[inline]
    pub fn start(&self, byte: u8) -> Option<Node> {
        match self.roots[usize::from(byte)] {
            0 => None,
            node => Some(Node(node)),
        }
    }

    /// Where `byte` leads from `node`.
    #[inline]
    pub fn next(&self, node: Node, byte: u8) -> Option<Node> {
        let at = node.0 as usize;
        let (from, to) = (self.first[at], self.first[at + 1]);
        let labels = &self.labels[from as usize - 1..to as usize - 1];
        let found = match labels.len() {
            0..=16 => labels.iter().position(|&b| b == byte)?,
            _ => labels.binary_search(&byte).ok()?,
        };
        Some(Node(from + found as u32))
    }

    /// The value of the text that ends at `node`.
    #[inline]
    pub fn value(&self, node: Node) -> Option<u32> {
        match self.values[node.0 as usize] {
            NO_VALUE => None,
            value => Some(value),
        }
    }

    /// The longest text that `text` begins with: its length and value.
    #[inline]
    pub fn longest(&self, text: &[u8]) -> Option<(usize, u32)> {
        let mut node = self.start(*text.first()?)?;
        let mut found = self.value(node).map(|value| (1, value));
        for (i, &b) in text.iter().enumerate().skip(1) {
            match self.next(node, b) {
                Some(next) => node = next,
                None => break,
            }
            found = self.value(node).map(|value| (i + 1, value)).or(found);
        }
        found
    }

    /// How many bytes of `text` lead along the tree, whether or not a text of the tree ends there.
    pub fn depth(&self, text: &[u8]) -> usize {
        let Some(mut node) = text.first().and_then(|&b| self.start(b)) else { return 0 };
        for (i, &b) in text.iter().enumerate().skip(1) {
            match self.next(node, b) {
                Some(next) => node = next,
                None => return i,
            }
        }
        text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_prefixes() {
        let texts = ["a", "ab", "abcd", "b", "abd", "é", "\u{10000}"];
        let trie = Trie::new(texts.iter().map(|t| t.as_bytes()).zip(0..));
        let longest = |text: &str| trie.longest(text.as_bytes());
        assert_eq!(longest("abcx"), Some((2, 1)));
        assert_eq!(longest("abcde"), Some((4, 2)));
        assert_eq!(longest("abde"), Some((3, 4)));
        assert_eq!(longest("éa"), Some((2, 5)));
        assert_eq!((longest("xa"), longest("")), (None, None));
        let depths = ["abcx", "abcd", "x", "\u{10001}", ""].map(|t| trie.depth(t.as_bytes()));
        assert_eq!(depths, [3, 4, 0, 3, 0]);
        assert_eq!(Trie::new(std::iter::empty()).longest(b"a"), None);
    }

    #[test]
    fn wide_nodes_are_searched() {
        let texts: Vec<[u8; 2]> = (0..=255).map(|b| [b'x', b]).collect();
        let trie = Trie::new(texts.iter().map(|t| &t[..]).zip(0..));
        assert!((0..=255u8).all(|b| trie.longest(&[b'x', b]) == Some((2, u32::from(b)))));
    }
}
