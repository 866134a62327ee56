//! The memory that a workgroup's waves share.

use std::collections::HashMap;

use crate::error::{Fault, Kind, fault};
use crate::race::{Access, Clock, Crowd, Racer};

/// LDS of one workgroup.
pub struct Lds {
    bytes: Vec<u8>,
    /// A bit for each byte of four that was written.
    defined: Vec<u8>,
    /// Of each four bytes the last writer and the readers since.
    writers: Vec<u32>,
    readers: Vec<u32>,
    /// Further writers of other bytes of four, in the same phase.
    more: HashMap<usize, Vec<u32>>,
    crowd: Crowd,
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

impl Lds {
    /// Of so many bytes, none of them written.
    pub fn new(len: usize, crowd: Crowd) -> Lds {
        let words = len.div_ceil(4);
        Lds {
            bytes: vec![0xa5; words * 4],
            defined: vec![0; words],
            writers: vec![0; words],
            readers: vec![0; words],
            more: HashMap::new(),
            crowd,
        }
    }

    #[inline]
    fn place(&self, address: u32, len: u32, align: u32) -> Result<usize, Fault> {
        let end = u64::from(address) + u64::from(len);
        if end > self.bytes.len() as u64 {
            let n = self.bytes.len();
            return Err(fault(
                Kind::Lds,
                format!("{len} bytes at {address:#x} of LDS, of which there are {n:#x}"),
            ));
        }
        if !address.is_multiple_of(align) {
            return Err(fault(
                Kind::Alignment,
                format!("{len} bytes at {address:#x} of LDS, not a multiple of {align}"),
            ));
        }
        Ok(address as usize)
    }

    #[inline]
    fn note(&mut self, at: usize, len: usize, how: Access, clock: &Clock) -> Result<(), Fault> {
        let mut i = at;
        while i < at + len {
            let n = (4 - i % 4).min(at + len - i);
            let bytes = ((1u32 << n) - 1) << (i % 4);
            self.note_word(i / 4, bytes, how, clock)?;
            i += n;
        }
        Ok(())
    }

    #[inline(always)]
    fn note_word(&mut self, word: usize, bytes: u32, how: Access, clock: &Clock) -> Result<(), Fault> {
        let atomic = if how == Access::Atomic { ATOMIC } else { 0 };
        let new = (clock.wave % self.crowd.waves + 1) << 26 | clock.phase() << 6 | atomic | bytes;
        let (w, r) = (self.writers[word], self.readers[word]);
        if how != Access::Write && u32::from(self.defined[word]) & bytes != bytes {
            return Err(fault(
                Kind::Undefined,
                format!("reads LDS at {:#x}, which nobody has written", 4 * word),
            ));
        }
        if races(w, new) {
            return Err(self.race(word, w, true, how, clock));
        }
        let more = if self.more.is_empty() { None } else { self.more.get(&word) };
        if let Some(w) = more.and_then(|all| all.iter().find(|w| races(**w, new))) {
            return Err(self.race(word, *w, true, how, clock));
        }
        let same_phase = |old: u32| (old ^ new) & SAME_PHASE == 0;
        let same_wave = |old: u32| (old ^ new) & WAVE == 0;
        if how == Access::Read {
            self.readers[word] = match same_phase(r) {
                false => new,
                true if same_wave(r) => new | r & (15 | SEVERAL),
                true => new | r & 15 | SEVERAL,
            };
            return Ok(());
        }
        if races(r, new) {
            return Err(self.race(word, r, false, how, clock));
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
    fn race(&self, word: usize, old: u32, wrote: bool, how: Access, clock: &Clock) -> Fault {
        let wave = clock.group * self.crowd.waves + (old >> 26) - 1;
        let text = Racer { wave, wrote, stale: false }.text(how, clock, self.crowd);
        fault(Kind::Race, format!("{text}, at {:#x} of LDS", 4 * word))
    }

    /// Reads up to 16 bytes.
    ///
    /// # Errors
    /// If they are not there, not aligned, not written, or written by another wave without a barrier since.
    #[inline]
    pub fn read(&mut self, address: u32, len: u32, align: u32, clock: &Clock) -> Result<[u32; 4], Fault> {
        let at = self.place(address, len, align)?;
        self.note(at, len as usize, Access::Read, clock)?;
        let mut out = [0u8; 16];
        out[..len as usize].copy_from_slice(&self.bytes[at..at + len as usize]);
        Ok(std::array::from_fn(|i| {
            u32::from_le_bytes([out[4 * i], out[4 * i + 1], out[4 * i + 2], out[4 * i + 3]])
        }))
    }

    /// Writes up to 16 bytes.
    ///
    /// # Errors
    /// If they are not there, not aligned, or used by another wave without a barrier since.
    #[inline]
    pub fn write(
        &mut self,
        address: u32,
        len: u32,
        align: u32,
        value: [u32; 4],
        clock: &Clock,
    ) -> Result<(), Fault> {
        let at = self.place(address, len, align)?;
        self.note(at, len as usize, Access::Write, clock)?;
        for (i, byte) in self.bytes[at..at + len as usize].iter_mut().enumerate() {
            *byte = (value[i / 4] >> (i % 4 * 8)) as u8;
        }
        Ok(())
    }

    /// Reads and writes 4 or 8 bytes in one.
    ///
    /// # Errors
    /// As [`Lds::read`].
    pub fn update(
        &mut self,
        address: u32,
        len: u32,
        clock: &Clock,
        f: impl FnOnce(u64) -> u64,
    ) -> Result<u64, Fault> {
        let at = self.place(address, len, len)?;
        self.note(at, len as usize, Access::Atomic, clock)?;
        let mut old = [0u8; 8];
        old[..len as usize].copy_from_slice(&self.bytes[at..at + len as usize]);
        let old = u64::from_le_bytes(old);
        self.bytes[at..at + len as usize].copy_from_slice(&f(old).to_le_bytes()[..len as usize]);
        Ok(old)
    }

    /// An access that a barrier found unfinished counts as one after it.
    ///
    /// # Errors
    /// If it races with another.
    pub fn unfinished(&mut self, address: u32, len: u32, how: Access, clock: &Clock) -> Result<(), Fault> {
        self.note(address as usize, len as usize, how, clock)
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
