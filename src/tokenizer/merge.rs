//! What byte-pair merging needs whatever the vocabulary: the merge loop and the memory of pieces
//! already seen. One [`Merger`] and one [`Seen`] serve a whole call of tokenize.

use super::Token;
use foldhash::fast::RandomState;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::ops::Range;

/// A run of the text that is one symbol so far.
#[derive(Clone, Copy, Debug)]
pub struct Symbol {
    /// First byte in the text.
    pub start: u32,
    /// Bytes; 0 once merged into the symbol to the left.
    pub len: u32,
    /// What the vocabulary knows it by.
    pub id: u32,
}

/// That two neighbours merge. The lowest `key` goes first, the leftmost of equals.
#[derive(Clone, Copy, Debug)]
pub struct Merge {
    /// The order of merging.
    pub key: u32,
    /// The id of the merged symbol.
    pub id: u32,
}

/// Up to this many symbols, finding the best pair by looking at all of them beats a heap.
const SMALL: usize = 48;

/// The merge loop and its buffers.
#[derive(Default)]
pub struct Merger {
    /// In: the text cut as finely as it gets. Out: what is left after merging, in order.
    pub symbols: Vec<Symbol>,
    pairs: Vec<Option<Merge>>,
    /// (key, left symbol, length of the pair, id of the result)
    heap: BinaryHeap<Reverse<(u32, u32, u32, u32)>>,
    /// (previous, next) of each symbol; `NONE` at the ends.
    links: Vec<(u32, u32)>,
}

const NONE: u32 = u32::MAX;

impl Merger {
    /// Merges neighbours in [`Merger::symbols`] as long as `pair` allows any, best first.
    pub fn run(&mut self, pair: impl Fn(Symbol, Symbol) -> Option<Merge>) {
        if self.symbols.len() <= SMALL { self.run_small(pair) } else { self.run_large(pair) }
    }

    fn run_small(&mut self, pair: impl Fn(Symbol, Symbol) -> Option<Merge>) {
        let Merger { symbols, pairs, .. } = self;
        pairs.clear();
        pairs.extend(symbols.windows(2).map(|w| pair(w[0], w[1])));
        loop {
            let mut best: Option<(usize, Merge)> = None;
            for (i, p) in pairs.iter().enumerate() {
                if let Some(m) = p
                    && best.is_none_or(|(_, b)| m.key < b.key)
                {
                    best = Some((i, *m));
                }
            }
            let Some((i, m)) = best else { return };
            symbols[i].len += symbols[i + 1].len;
            symbols[i].id = m.id;
            symbols.remove(i + 1);
            pairs.remove(i);
            if i > 0 {
                pairs[i - 1] = pair(symbols[i - 1], symbols[i]);
            }
            if i < pairs.len() {
                pairs[i] = pair(symbols[i], symbols[i + 1]);
            }
        }
    }

    fn run_large(&mut self, pair: impl Fn(Symbol, Symbol) -> Option<Merge>) {
        let Merger { symbols, heap, links, .. } = self;
        let n = symbols.len() as u32;
        links.clear();
        links.extend((0..n).map(|i| (i.wrapping_sub(1), if i + 1 < n { i + 1 } else { NONE })));
        heap.clear();
        let entry = |symbols: &[Symbol], left: u32, right: u32| {
            let (l, r) = (symbols[left as usize], symbols[right as usize]);
            pair(l, r).map(|m| Reverse((m.key, left, l.len + r.len, m.id)))
        };
        heap.extend((1..n).filter_map(|i| entry(symbols, i - 1, i)));
        while let Some(Reverse((_, left, len, id))) = heap.pop() {
            let (prev, right) = links[left as usize];
            // Both must be as they were when the pair was entered. A symbol never shrinks and keeps
            // its start, so equal lengths mean the same two symbols.
            if symbols[left as usize].len == 0
                || right == NONE
                || symbols[left as usize].len + symbols[right as usize].len != len
            {
                continue;
            }
            symbols[left as usize].len = len;
            symbols[left as usize].id = id;
            symbols[right as usize].len = 0;
            let next = links[right as usize].1;
            links[left as usize].1 = next;
            if next != NONE {
                links[next as usize].0 = left;
                heap.extend(entry(symbols, left, next));
            }
            if prev != NONE {
                heap.extend(entry(symbols, prev, left));
            }
        }
        symbols.retain(|s| s.len > 0);
    }
}

/// Which pieces of a text were met before, and where in the output their tokens lie. Bounded: one
/// slot per hash, the latest piece wins.
pub struct Seen {
    slots: Vec<Slot>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    start: u32,
    len: u32,
    out: u32,
    n: u32,
}

impl Seen {
    /// For a text of `len` bytes.
    pub fn new(len: usize) -> Seen {
        let n = (len / 4).next_power_of_two().clamp(16, 16384);
        Seen { slots: vec![Slot::default(); n], hasher: RandomState::default() }
    }

    /// Appends to `out` the tokens of `text[piece]`: those of an equal piece seen before, or what
    /// `encode` appends. `text` and `out` must only ever grow between calls.
    #[inline]
    pub fn get_or(
        &mut self,
        text: &[u8],
        piece: Range<usize>,
        out: &mut Vec<Token>,
        encode: impl FnOnce(&mut Vec<Token>),
    ) {
        let bytes = &text[piece.clone()];
        let index = self.hasher.hash_one(bytes) as usize & (self.slots.len() - 1);
        let slot = self.slots[index];
        let (start, from) = (slot.start as usize, slot.out as usize);
        if slot.len as usize == bytes.len() && text[start..start + bytes.len()] == *bytes {
            out.extend_from_within(from..from + slot.n as usize);
            return;
        }
        let from = out.len();
        encode(out);
        self.slots[index] = Slot {
            start: piece.start as u32,
            len: bytes.len() as u32,
            out: from as u32,
            n: (out.len() - from) as u32,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Both loops on random pair tables: the same symbols remain.
        #[test]
        fn small_and_large_loops_agree(
            text in prop::collection::vec(0u32..4, 1..40),
            keys in prop::collection::vec(prop::option::weighted(0.6, 0u32..9), 64),
        ) {
            let pair = |a: Symbol, b: Symbol| {
                let i = ((a.id * 7 + b.id) % 64) as usize;
                keys[i].map(|key| Merge { key, id: (a.id * 31 + b.id * 17 + 5) % 97 })
            };
            let symbols: Vec<_> = text
                .iter()
                .enumerate()
                .map(|(i, &id)| Symbol { start: i as u32, len: 1, id })
                .collect();
            let mut small = Merger { symbols: symbols.clone(), ..Default::default() };
            let mut large = Merger { symbols, ..Default::default() };
            small.run_small(pair);
            large.run_large(pair);
            let view = |m: &Merger| m.symbols.iter().map(|s| (s.start, s.len, s.id)).collect::<Vec<_>>();
            prop_assert_eq!(view(&small), view(&large));
        }
    }
}
