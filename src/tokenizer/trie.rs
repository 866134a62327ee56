//! Token texts as a tree of bytes, to find those that a text begins with.
//!
//! A node is where texts part or end, so that there are at most two for each text. They lie in order of
//! breadth, so that the children of a node are neighbours and one array says where they begin.

/// A place in the tree: on the way to a node, or there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    node: u32,
    /// The next byte on the way, in `Trie::ways`.
    at: u32,
}

const NO_VALUE: u32 = u32::MAX;

/// The tree.
pub struct Trie {
    /// The way to node n > 0 begins with `labels[n - 1]`.
    labels: Vec<u8>,
    /// The rest of the way to node n is `ways[way[n]..way[n + 1]]`.
    ways: Vec<u8>,
    way: Vec<u32>,
    /// The children of node n are the nodes `first[n]..first[n + 1]`.
    first: Vec<u32>,
    values: Vec<u32>,
    /// The child of the root for each byte, or 0.
    roots: Box<[u32; 256]>,
}

impl Trie {
    /// A tree of the texts of `ids`, which must differ and not be empty. The ids, which are less than
    /// `u32::MAX`, are their values.
    pub fn new<'a>(mut ids: Vec<u32>, text: impl Fn(u32) -> &'a [u8]) -> Trie {
        ids.sort_unstable_by_key(|&id| text(id));
        let max_nodes = 2 * ids.len() + 1;
        let mut trie = Trie {
            labels: Vec::with_capacity(max_nodes),
            ways: Vec::with_capacity(ids.iter().map(|&id| text(id).len()).sum()),
            way: Vec::with_capacity(max_nodes + 1),
            first: Vec::with_capacity(max_nodes + 1),
            values: Vec::with_capacity(max_nodes),
            roots: Box::new([0; 256]),
        };
        trie.way.extend([0, 0]);
        // The texts below each node of a level, and the bytes that they share: a level is made from the
        // one above it.
        let mut level = Vec::with_capacity(ids.len().max(1));
        let mut below = Vec::with_capacity(ids.len());
        level.push((0, ids.len() as u32, 0));
        let mut n_nodes = 1u32;
        while !level.is_empty() {
            for (from, to, depth) in level.drain(..) {
                let mut ids = &ids[from as usize..to as usize];
                let (mut from, depth) = (from, depth as usize);
                trie.first.push(n_nodes);
                // A text that ends here comes first.
                trie.values.push(match ids {
                    [id, rest @ ..] if text(*id).len() == depth => {
                        (ids, from) = (rest, from + 1);
                        *id
                    }
                    _ => NO_VALUE,
                });
                while let [id, ..] = ids {
                    let start = &text(*id)[depth..];
                    let n = ids.partition_point(|&id| text(id)[depth] == start[0]);
                    // All between two texts share what these two do.
                    let last = &text(ids[n - 1])[depth..];
                    let shared = start.iter().zip(last).take_while(|(a, b)| a == b).count();
                    if depth == 0 {
                        trie.roots[usize::from(start[0])] = n_nodes;
                    }
                    trie.labels.push(start[0]);
                    trie.ways.extend_from_slice(&start[1..shared]);
                    trie.way.push(trie.ways.len() as u32);
                    n_nodes += 1;
                    below.push((from, from + n as u32, (depth + shared) as u32));
                    (ids, from) = (&ids[n..], from + n as u32);
                }
            }
            std::mem::swap(&mut level, &mut below);
        }
        trie.first.push(n_nodes);
        trie.labels.shrink_to_fit();
        trie.ways.shrink_to_fit();
        trie.way.shrink_to_fit();
        trie.first.shrink_to_fit();
        trie.values.shrink_to_fit();
        trie
    }

    /// Where `byte` leads from the root.
    #[inline]
    pub fn start(&self, byte: u8) -> Option<Place> {
        match self.roots[usize::from(byte)] {
            0 => None,
            node => Some(self.enter(node)),
        }
    }

    #[inline]
    fn enter(&self, node: u32) -> Place {
        Place { node, at: self.way[node as usize] }
    }

    /// Whether `place` is at its node.
    #[inline]
    fn is_node(&self, place: Place) -> bool {
        place.at == self.way[place.node as usize + 1]
    }

    /// Where `byte` leads from `place`.
    #[inline]
    pub fn next(&self, place: Place, byte: u8) -> Option<Place> {
        if !self.is_node(place) {
            let on = self.ways[place.at as usize] == byte;
            return on.then(|| Place { at: place.at + 1, ..place });
        }
        let at = place.node as usize;
        let (from, to) = (self.first[at], self.first[at + 1]);
        let labels = &self.labels[from as usize - 1..to as usize - 1];
        let found = match labels.len() {
            0..=16 => labels.iter().position(|&b| b == byte)?,
            _ => labels.binary_search(&byte).ok()?,
        };
        Some(self.enter(from + found as u32))
    }

    /// The value of the text that ends at `place`.
    #[inline]
    pub fn value(&self, place: Place) -> Option<u32> {
        match self.values[place.node as usize] {
            value if value != NO_VALUE && self.is_node(place) => Some(value),
            _ => None,
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
        let trie = Trie::new((0..7).collect(), |i| texts[i as usize].as_bytes());
        let longest = |text: &str| trie.longest(text.as_bytes());
        assert_eq!(longest("abcx"), Some((2, 1)));
        assert_eq!(longest("abcde"), Some((4, 2)));
        assert_eq!(longest("abde"), Some((3, 4)));
        assert_eq!(longest("éa"), Some((2, 5)));
        assert_eq!((longest("xa"), longest("")), (None, None));
        let depths = ["abcx", "abcd", "x", "\u{10001}", ""].map(|t| trie.depth(t.as_bytes()));
        assert_eq!(depths, [3, 4, 0, 3, 0]);
        assert_eq!(Trie::new(Vec::new(), |_| b"").longest(b"a"), None);
    }

    #[test]
    fn wide_nodes_are_searched() {
        let texts: Vec<[u8; 2]> = (0..=255).map(|b| [b'x', b]).collect();
        let trie = Trie::new((0..256).collect(), |i| &texts[i as usize]);
        assert!((0..=255u8).all(|b| trie.longest(&[b'x', b]) == Some((2, u32::from(b)))));
    }
}
