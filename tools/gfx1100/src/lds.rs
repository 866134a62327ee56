//! The memory that a workgroup's waves share.

use std::collections::HashMap;

use crate::error::{Fault, Kind, fault};
use crate::race::{Access, Clock, Crowd, Racer};

/// LDS of one workgroup.
pub struct Lds {
    words: Vec<u32>,
    /// A bit for each byte of four that was written.
    defined: Vec<u8>,
    /// Of each four bytes the last writer and the readers since.
    writers: Vec<u32>,
    readers: Vec<u32>,
    /// Further writers of other bytes of four, in the same phase.
    more: HashMap<usize, Vec<u32>>,
    crowd: Crowd,
}

/// Who accesses, and how.
#[derive(Clone, Copy)]
pub struct By<'a> {
    how: Access,
    clock: &'a Clock,
    /// What is noted of it, but for the bytes.
    stamp: u32,
}

// Who accessed four bytes: bits 0-3 which of them, 4 atomically, 5 several waves, from 6 the phase (barriers passed), from
// 26 the wave of the workgroup and one. Accesses of different phases are in order, for LDS has no caches.
const ATOMIC: u32 = 1 << 4;
const SEVERAL: u32 = 1 << 5;
const WAVE: u32 = 0x3f << 26;
const SAME_PHASE: u32 = 0xf_ffff << 6;

/// Whether two accesses are of different waves, between the same barriers, to the same bytes, and not both atomic.
#[inline(always)]
fn races(old: u32, new: u32) -> bool {
    let differ = old ^ new;
    differ & SAME_PHASE == 0
        && (differ & WAVE != 0 || old & SEVERAL != 0)
        && old & new & 15 != 0
        && old & new & ATOMIC == 0
}

/// The readers of four bytes, with one more.
#[inline(always)]
fn with_reader(old: u32, new: u32) -> u32 {
    let several = if (old ^ new) & WAVE == 0 { 0 } else { SEVERAL };
    if old != 0 && (old ^ new) & SAME_PHASE == 0 { new | several | old & (15 | SEVERAL) } else { new }
}

impl Lds {
    /// Of so many bytes, none of them written.
    pub fn new(len: usize, crowd: Crowd) -> Lds {
        let n = len.div_ceil(4);
        Lds {
            words: vec![0xa5a5_a5a5; n],
            defined: vec![0; n],
            writers: vec![0; n],
            readers: vec![0; n],
            more: HashMap::new(),
            crowd,
        }
    }

    /// As new.
    pub fn forget(&mut self) {
        self.defined.fill(0);
        self.writers.fill(0);
        self.readers.fill(0);
        self.more.clear();
    }

    /// Who is to access it.
    pub fn by<'a>(&self, how: Access, clock: &'a Clock) -> By<'a> {
        let atomic = if how == Access::Atomic { ATOMIC } else { 0 };
        By { how, clock, stamp: (clock.wave % self.crowd.waves + 1) << 26 | clock.phase() << 6 | atomic }
    }

    /// That there are so many bytes, and that they lie as they have to.
    #[inline]
    fn check(&self, address: u32, len: u32, align: u32) -> Result<(), Fault> {
        let n = 4 * self.words.len();
        if u64::from(address) + u64::from(len) > n as u64 {
            let text = format!("{len} bytes at {address:#x} of LDS, of which there are {n:#x}");
            return Err(fault(Kind::Lds, text));
        }
        if !address.is_multiple_of(align) {
            let text = format!("{len} bytes at {address:#x} of LDS, not a multiple of {align}");
            return Err(fault(Kind::Alignment, text));
        }
        Ok(())
    }

    /// Notes an access to bytes (bits) of four.
    fn note(&mut self, word: usize, bytes: u32, by: By<'_>) -> Result<(), Fault> {
        let new = by.stamp | bytes;
        let (w, r) = (self.writers[word], self.readers[word]);
        if by.how != Access::Write && u32::from(self.defined[word]) & bytes != bytes {
            let text = format!("reads LDS at {:#x}, which nobody has written", 4 * word);
            return Err(fault(Kind::Undefined, text));
        }
        if races(w, new) {
            return Err(self.race(word, w, true, by));
        }
        let more = if self.more.is_empty() { None } else { self.more.get(&word) };
        if let Some(w) = more.and_then(|all| all.iter().find(|w| races(**w, new))) {
            return Err(self.race(word, *w, true, by));
        }
        let same_phase = |old: u32| (old ^ new) & SAME_PHASE == 0;
        let same_wave = |old: u32| (old ^ new) & WAVE == 0;
        if by.how == Access::Read {
            self.readers[word] = with_reader(r, new);
            return Ok(());
        }
        if races(r, new) {
            return Err(self.race(word, r, false, by));
        }
        if w != 0 && same_phase(w) && !same_wave(w) && w & !bytes & 15 != 0 {
            self.more.entry(word).or_default().push(w);
            self.writers[word] = new;
        } else {
            self.writers[word] = if same_phase(w) && same_wave(w) { new | w & 15 } else { new };
        }
        self.defined[word] |= bytes as u8;
        Ok(())
    }

    #[cold]
    fn race(&self, word: usize, w: u32, wrote: bool, by: By<'_>) -> Fault {
        let wave = by.clock.group * self.crowd.waves + (w >> 26) - 1;
        let text = Racer { wave, wrote, stale: false }.text(by.how, by.clock, self.crowd);
        fault(Kind::Race, format!("{text}, at {:#x} of LDS", 4 * word))
    }

    /// Reads words; three lie as four have to.
    ///
    /// # Errors
    /// If they are not there, not aligned, not written, or written by another wave without a barrier since.
    #[inline]
    pub fn read_words<const N: usize>(&mut self, address: u32, by: By<'_>) -> Result<[u32; N], Fault> {
        self.check(address, 4 * N as u32, 4 * N.next_power_of_two() as u32)?;
        let first = address as usize / 4;
        let words = first..first + N;
        let new = by.stamp | 15;
        // Mostly they were written, and before the last barrier: nothing else is to be asked.
        let defined = self.defined[words.clone()].iter().fold(15, |all, d| all & d) == 15;
        let recent = self.writers[words.clone()].iter().any(|w| (w ^ new) & SAME_PHASE == 0);
        if defined && !recent {
            self.readers[words.clone()].iter_mut().for_each(|r| *r = with_reader(*r, new));
        } else {
            words.clone().try_for_each(|word| self.note(word, 15, by))?;
        }
        let mut value = [0; N];
        value.copy_from_slice(&self.words[words]);
        Ok(value)
    }

    /// Writes words; three lie as four have to.
    ///
    /// # Errors
    /// If they are not there, not aligned, or used by another wave without a barrier since.
    #[inline]
    pub fn write_words<const N: usize>(
        &mut self,
        address: u32,
        value: [u32; N],
        by: By<'_>,
    ) -> Result<(), Fault> {
        self.check(address, 4 * N as u32, 4 * N.next_power_of_two() as u32)?;
        let first = address as usize / 4;
        for (word, value) in (first..first + N).zip(value) {
            self.note(word, 15, by)?;
            self.words[word] = value;
        }
        Ok(())
    }

    /// Reads one or two bytes.
    ///
    /// # Errors
    /// As [`Lds::read_words`].
    pub fn read(&mut self, address: u32, len: u32, by: By<'_>) -> Result<u32, Fault> {
        self.check(address, len, len)?;
        let (word, shift) = (address as usize / 4, address % 4);
        self.note(word, ((1 << len) - 1) << shift, by)?;
        Ok(self.words[word] >> (8 * shift) & ((1 << (8 * len)) - 1))
    }

    /// Writes one or two bytes.
    ///
    /// # Errors
    /// As [`Lds::write_words`].
    pub fn write(&mut self, address: u32, len: u32, value: u32, by: By<'_>) -> Result<(), Fault> {
        self.check(address, len, len)?;
        let (word, shift) = (address as usize / 4, address % 4);
        self.note(word, ((1 << len) - 1) << shift, by)?;
        let mask = ((1 << (8 * len)) - 1) << (8 * shift);
        self.words[word] = self.words[word] & !mask | value << (8 * shift) & mask;
        Ok(())
    }

    /// Reads and writes 4 or 8 bytes in one.
    ///
    /// # Errors
    /// As [`Lds::read_words`].
    pub fn update(
        &mut self,
        address: u32,
        len: u32,
        clock: &Clock,
        f: impl FnOnce(u64) -> u64,
    ) -> Result<u64, Fault> {
        self.check(address, len, len)?;
        let by = self.by(Access::Atomic, clock);
        let words = address as usize / 4..(address + len) as usize / 4;
        words.clone().try_for_each(|word| self.note(word, 15, by))?;
        let old = words.clone().rev().fold(0, |old, word| old << 32 | u64::from(self.words[word]));
        let new = f(old);
        words.enumerate().for_each(|(i, word)| self.words[word] = (new >> (32 * i)) as u32);
        Ok(old)
    }

    /// An access that a barrier found unfinished counts as one after it.
    ///
    /// # Errors
    /// If it races with another.
    pub fn unfinished(&mut self, address: u32, len: u32, how: Access, clock: &Clock) -> Result<(), Fault> {
        let by = self.by(how, clock);
        let bytes = ((1u32 << len.min(4)) - 1) << (address % 4);
        (address / 4..(address + len).div_ceil(4)).try_for_each(|word| self.note(word as usize, bytes, by))
    }
}

/// Cycles beyond the fewest that an access of `bytes` a lane takes: 32 banks of four bytes, 32 lanes of 4 bytes at a
/// time, 16 of 8 or 8 of 16; lanes that want the same word share it.
pub fn bank_conflicts(addresses: &[u32; 32], active: u32, bytes: u32) -> u32 {
    let words = bytes.div_ceil(4);
    let at_a_time = (32 / words.next_power_of_two()).max(1) as usize;
    let mut conflicts = 0;
    for first in (0..32).step_by(at_a_time) {
        let mut wanted: Vec<u32> = (first..first + at_a_time)
            .filter(|lane| active >> lane & 1 == 1)
            .flat_map(|lane| (0..words).map(move |w| addresses[lane] / 4 + w))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut banks = [0u32; 32];
        wanted.iter().for_each(|w| banks[(w % 32) as usize] += 1);
        conflicts += banks.iter().max().copied().unwrap_or(0).saturating_sub(1);
    }
    conflicts
}
