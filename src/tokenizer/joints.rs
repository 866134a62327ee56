//! Where a text falls apart before anything is merged: between two characters that no token, or no
//! merge, has side by side. What lies between such places can be tokenized by itself, and remembered.

use super::unicode::len_by_lead;

/// What a space is written as where spaces are escaped: U+2581.
pub const SPACE: &[u8] = "\u{2581}".as_bytes();

/// The pairs of characters that hold together, and a few more, which costs some time but no token.
pub struct Joints {
    /// Pairs of ASCII characters and [`SPACE`]: bit `left * N_FAST + right`.
    fast: Vec<u64>,
    /// The other pairs: a bit for each hash.
    rest: Vec<u64>,
}

/// 128 ASCII characters, and U+2581 as the last.
const N_FAST: usize = 129;

/// The first character of a non-empty text: its lead byte and as many bytes as that promises, if
/// there are so many.
#[inline]
pub fn first_char(text: &[u8]) -> &[u8] {
    &text[..len_by_lead(text[0]).min(text.len())]
}

/// A character by its bytes: its index among the fast ones, and a number that is its own.
#[inline]
fn code(c: &[u8]) -> (usize, u32) {
    match c {
        [b @ 0..=0x7F] => (*b as usize, u32::from(*b)),
        _ => {
            let number = c.iter().fold(0, |n, &b| n << 8 | u32::from(b));
            (if c == SPACE { N_FAST - 1 } else { N_FAST }, number)
        }
    }
}

impl Joints {
    /// No pairs. Those to come are in `n_bytes` of text: less than one in every 32 bits.
    pub fn new(n_bytes: usize) -> Joints {
        let fast = vec![0; (N_FAST * N_FAST).div_ceil(64)];
        Joints { fast, rest: vec![0; (n_bytes / 16).next_power_of_two()] }
    }

    /// The bit of a pair: its word and its place there. Multiplying spreads what differs to the top.
    #[inline]
    fn bit(&self, left: u32, right: u32) -> (usize, u32) {
        let hash = (u64::from(left) << 32 | u64::from(right)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let hash = hash ^ hash >> 32;
        ((hash as usize >> 6) & (self.rest.len() - 1), hash as u32 & 63)
    }

    /// Holds `left` and `right`, a character each, together.
    pub fn insert(&mut self, left: &[u8], right: &[u8]) {
        let ((lf, ln), (rf, rn)) = (code(left), code(right));
        if lf < N_FAST && rf < N_FAST {
            let bit = lf * N_FAST + rf;
            self.fast[bit / 64] |= 1 << (bit % 64);
        } else {
            let (word, bit) = self.bit(ln, rn);
            self.rest[word] |= 1 << bit;
        }
    }

    /// Holds all neighbours in `text` together.
    pub fn insert_all(&mut self, text: &[u8]) {
        let mut rest = text;
        while !rest.is_empty() {
            let left = first_char(rest);
            rest = &rest[left.len()..];
            if !rest.is_empty() {
                self.insert(left, first_char(rest));
            }
        }
    }

    #[inline]
    fn contains(&self, left: (usize, u32), right: (usize, u32)) -> bool {
        if left.0 < N_FAST && right.0 < N_FAST {
            let bit = left.0 * N_FAST + right.0;
            self.fast[bit / 64] >> (bit % 64) & 1 != 0
        } else {
            let (word, bit) = self.bit(left.1, right.1);
            self.rest[word] >> bit & 1 != 0
        }
    }

    /// The length of the first piece of a non-empty text.
    #[inline]
    pub fn piece_len(&self, text: &[u8]) -> usize {
        let c = first_char(text);
        let (mut left, mut len) = (code(c), c.len());
        while len < text.len() {
            let c = first_char(&text[len..]);
            let right = code(c);
            if !self.contains(left, right) {
                break;
            }
            left = right;
            len += c.len();
        }
        len
    }
}
