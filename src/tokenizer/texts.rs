//! Many short texts in little memory: one after the other, by number; and the way back from a text.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Texts by number.
pub struct Texts {
    bytes: Vec<u8>,
    /// Where each begins, and where the last one ends.
    starts: Vec<u32>,
    limit: usize,
}

impl Texts {
    /// No texts, and room for `n` of `limit` bytes together; there is never room for more bytes.
    pub fn new(n: usize, limit: usize) -> Texts {
        let limit = limit.min(u32::MAX as usize);
        let mut starts = Vec::with_capacity(n + 1);
        starts.push(0);
        Texts { bytes: Vec::with_capacity(limit), starts, limit }
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Text `i`.
    #[inline]
    pub fn get(&self, i: u32) -> &[u8] {
        &self.bytes[self.starts[i as usize] as usize..self.starts[i as usize + 1] as usize]
    }

    /// Adds a text, and gives its number; none if there is no room for it.
    pub fn push(&mut self, text: &[u8]) -> Option<u32> {
        if text.len() > self.limit - self.bytes.len() {
            return None;
        }
        let number = self.len() as u32;
        self.bytes.extend_from_slice(text);
        self.starts.push(self.bytes.len() as u32);
        Some(number)
    }

    /// Gives back the room that was not used.
    pub fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.starts.shrink_to_fit();
    }
}

/// Texts that differ, by number and by text.
pub struct Numbered {
    texts: Texts,
    by_text: HashTable<u32>,
    hasher: RandomState,
}

impl Numbered {
    /// As [`Texts::new`].
    pub fn new(n: usize, limit: usize) -> Numbered {
        Numbered {
            texts: Texts::new(n, limit),
            by_text: HashTable::with_capacity(n),
            hasher: RandomState::default(),
        }
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Text `i`.
    #[inline]
    pub fn get(&self, i: u32) -> &[u8] {
        self.texts.get(i)
    }

    /// The number of `text`, if it is there.
    #[inline]
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        self.by_text.find(self.hasher.hash_one(text), |&i| self.get(i) == text).copied()
    }

    /// The number of `text`, which is added if it is not there; none if there is no room for it.
    pub fn insert(&mut self, text: &[u8]) -> Option<u32> {
        let Numbered { texts, by_text, hasher } = self;
        let hash = hasher.hash_one(text);
        if let Some(&found) = by_text.find(hash, |&i| texts.get(i) == text) {
            return Some(found);
        }
        let number = texts.push(text)?;
        by_text.insert_unique(hash, number, |&i| hasher.hash_one(texts.get(i)));
        Some(number)
    }

    /// Gives back the room that was not used.
    pub fn shrink_to_fit(&mut self) {
        self.texts.shrink_to_fit();
    }
}
