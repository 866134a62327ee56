//! Device memory: addresses of the host, of which only those in registered blocks may be used.

use crate::error::{Fault, Kind, fault};
use crate::race::{Access, Cell, Clock, Crowd, Known, Races, Stamp};
use std::sync::Arc;

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Memory of the device, or of the host that the device may use.
    Data,
    /// Code and constants: only read.
    Code,
    /// Arguments of a launch: only read.
    Arguments,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Use::Data => "an allocation",
            Use::Code => "the code",
            Use::Arguments => "the arguments",
        }
    }
}

struct Block {
    start: u64,
    len: u64,
    what: Use,
    /// Who accessed what, where a launch has accessed something.
    pages: Vec<Page>,
}

/// Bytes of a page.
const PAGE: u64 = 4096;

/// Who accessed a page. Most pages are only read, many of them by many: until one is written, reads are only listed.
#[derive(Default)]
struct Page {
    launch: u64,
    reads: Vec<Listed>,
    /// From the first write on.
    cells: Option<Box<Cells>>,
    /// Whether they are of this launch.
    written: bool,
}

/// Reads that are listed: so many, of `bytes` each at equal distances, from the byte `start` of the page on, and whose.
#[derive(Clone, Copy)]
struct Listed {
    start: u16,
    bytes: u16,
    stride: u16,
    n: u16,
    reader: Stamp,
}

type Cells = [Cell; PAGE as usize / 4];
/// The most reads that are listed.
const N_READS: usize = 1 << 16;

/// All memory that a device has handed out.
pub struct Memory {
    /// By address.
    blocks: Vec<Block>,
    /// Some of those that are no more.
    freed: Vec<(u64, u64)>,
    /// The block that was last used.
    last: usize,
    launch: u64,
    races: Races,
}

/// Freed blocks that are remembered, to say what an address was.
const N_FREED: usize = 64;

impl Default for Memory {
    fn default() -> Memory {
        let races = Races::new(Crowd { waves: 1, groups: 1 });
        Memory { blocks: Vec::new(), freed: Vec::new(), last: 0, launch: 0, races }
    }
}

impl Memory {
    /// Adds a block.
    ///
    /// # Safety
    /// Its bytes are initialised, and until it is removed nobody else uses them while a launch runs. Those of
    /// [`Use::Data`] can be written.
    ///
    /// # Panics
    /// If it overlaps another.
    pub unsafe fn add(&mut self, start: u64, len: u64, what: Use) {
        let at = self.blocks.partition_point(|b| b.start < start);
        let apart = |b: &Block| b.start + b.len <= start || start + len <= b.start;
        assert!(self.blocks[at.saturating_sub(1)..].iter().take(2).all(apart), "blocks of memory overlap");
        self.freed.retain(|&(s, n)| s + n <= start || start + len <= s);
        let mut pages = Vec::new();
        pages.resize_with((start % PAGE + len).div_ceil(PAGE) as usize, Page::default);
        self.blocks.insert(at, Block { start, len, what, pages });
    }

    /// Removes the block that starts here; `false` if there is none.
    pub fn remove(&mut self, start: u64) -> bool {
        let Ok(at) = self.blocks.binary_search_by_key(&start, |b| b.start) else { return false };
        let block = self.blocks.remove(at);
        if self.freed.len() == N_FREED {
            self.freed.remove(0);
        }
        self.freed.push((start, block.len));
        true
    }

    /// A new launch: all that was before is in order.
    pub fn begin(&mut self, crowd: Crowd) {
        self.launch += 1;
        self.races = Races::new(crowd);
    }

    /// The block that has all of these bytes.
    #[inline]
    pub fn find(&mut self, address: u64, len: u64, writes: bool) -> Result<usize, Fault> {
        if let Some(b) = self.blocks.get(self.last) {
            let offset = address.wrapping_sub(b.start);
            if offset < b.len && len <= b.len - offset && (!writes || b.what == Use::Data) {
                return Ok(self.last);
            }
        }
        self.look(address, len, writes)
    }

    #[inline(never)]
    fn look(&mut self, address: u64, len: u64, writes: bool) -> Result<usize, Fault> {
        let after = self.blocks.partition_point(|b| b.start <= address);
        if let Some((at, b)) = after.checked_sub(1).map(|at| (at, &self.blocks[at])) {
            let offset = address - b.start;
            if offset < b.len {
                if len > b.len - offset {
                    return Err(fault(
                        Kind::Memory,
                        format!(
                            "{len} bytes at {address:#x}, {offset} into {} of {}: {} too far",
                            b.what.name(),
                            b.len,
                            offset + len - b.len
                        ),
                    ));
                }
                if writes && b.what != Use::Data {
                    return Err(fault(
                        Kind::Memory,
                        format!("a write at {address:#x}, {offset} into {}", b.what.name()),
                    ));
                }
                self.last = at;
                return Ok(at);
            }
        }
        Err(fault(Kind::Memory, self.describe(address, len)))
    }

    fn describe(&self, address: u64, len: u64) -> String {
        if let Some((start, n)) = self.freed.iter().rev().find(|(s, n)| (*s..s + n).contains(&address)) {
            return format!(
                "{len} bytes at {address:#x}, {} into {n} bytes that were freed",
                address - start
            );
        }
        let after = self.blocks.partition_point(|b| b.start <= address);
        let before = after.checked_sub(1).map(|at| &self.blocks[at]);
        let mut text = format!("{len} bytes at {address:#x}, which nobody allocated");
        if let Some(b) = before {
            text +=
                &format!("; {} bytes past {} of {} bytes", address - b.start - b.len, b.what.name(), b.len);
        }
        if let Some(b) = self.blocks.get(after) {
            text += &format!("; {} bytes before {} of {} bytes", b.start - address, b.what.name(), b.len);
        }
        text
    }

    /// Notes `n` accesses to `bytes` each, `stride` apart, all in the block `block`.
    ///
    /// # Errors
    /// As [`Memory::note`].
    #[allow(clippy::too_many_arguments, reason = "a row is what it says")]
    pub fn note_row(
        &mut self,
        block: usize,
        start: u64,
        bytes: u64,
        stride: u64,
        n: u64,
        how: Access,
        clock: &Clock,
    ) -> Result<(), Fault> {
        let b = &mut self.blocks[block];
        let base = b.start - b.start % PAGE;
        let (first, last) = ((start - base) / PAGE, (start + stride * (n - 1) + bytes - 1 - base) / PAGE);
        if b.what == Use::Data && how.reads_only() && first == last {
            let page = &mut b.pages[first as usize];
            if page.launch == self.launch && !page.written && page.reads.len() < N_READS {
                let reader = self.races.reader(clock, how);
                let (bytes, stride, n) = (bytes as u16, stride as u16, n as u16);
                page.list(Listed { start: (start % PAGE) as u16, bytes, stride, n, reader });
                return Ok(());
            }
        }
        (0..n).try_for_each(|i| self.note(block, start + i * stride, bytes, how, clock))
    }

    /// Notes an access to bytes of block `block`.
    ///
    /// # Errors
    /// If it races with another.
    #[inline]
    pub fn note(
        &mut self,
        block: usize,
        address: u64,
        len: u64,
        how: Access,
        clock: &Clock,
    ) -> Result<(), Fault> {
        let b = &mut self.blocks[block];
        if b.what != Use::Data {
            return Ok(());
        }
        let base = b.start - b.start % PAGE;
        let (mut at, end) = (address, address + len);
        while at < end {
            let page = (at - base) / PAGE;
            let page = &mut b.pages[page as usize];
            if page.launch != self.launch {
                page.reads.clear();
                (page.launch, page.written) = (self.launch, false);
            }
            let until = end.min(at - at % PAGE + PAGE);
            if !page.written && how.reads_only() && page.reads.len() < N_READS {
                let (start, bytes) = ((at % PAGE) as u16, (until - at) as u16);
                page.list(Listed { start, bytes, stride: 0, n: 1, reader: self.races.reader(clock, how) });
                at = until;
                continue;
            }
            if !page.written {
                page.begin(&self.races);
            }
            let cells = page.cells.get_or_insert_with(Page::cells);
            while at < until {
                let n = (4 - at % 4).min(until - at);
                let bytes = ((1 << n) - 1) << (at % 4);
                let cell = &mut cells[(at % PAGE / 4) as usize];
                let result = self.races.access(cell, at / 4, bytes, how, clock);
                if let Err(racer) = result {
                    let offset = at - b.start;
                    let text = racer.text(how, clock, self.races.crowd);
                    return Err(fault(
                        Kind::Race,
                        format!("{text}, {offset} into {} of {} bytes", b.what.name(), b.len),
                    ));
                }
                at += n;
            }
        }
        Ok(())
    }

    /// An atomic operation: see [`Races::synchronise`].
    pub fn synchronise(&mut self, address: u64, clock: &mut Clock, finished: bool) -> Arc<Known> {
        self.races.synchronise(address, clock, finished)
    }

    /// See [`Races::told`].
    pub fn told(&self, address: u64) -> Option<Arc<Known>> {
        self.races.told(address)
    }
}

impl Page {
    fn cells() -> Box<Cells> {
        Box::new([Cell::default(); PAGE as usize / 4])
    }

    /// Lists reads, with those before them if they go on where these end.
    #[inline]
    fn list(&mut self, new: Listed) {
        if let Some(last) = self.reads.last_mut()
            && last.reader == new.reader
            && last.stride == new.stride
        {
            if new.stride == 0 && last.start + last.bytes == new.start {
                last.bytes += new.bytes;
                return;
            }
            if new.stride != 0 && last.bytes == new.bytes && last.start + last.stride * last.n == new.start {
                last.n += new.n;
                return;
            }
        }
        self.reads.push(new);
    }

    /// Before the first write: cells, with what was listed.
    fn begin(&mut self, races: &Races) {
        let cells = self.cells.get_or_insert_with(Page::cells);
        cells.fill(Cell::default());
        self.written = true;
        for Listed { start, bytes, stride, n, reader } in self.reads.drain(..) {
            for i in 0..n {
                let mut at = start + i * stride;
                let end = at + bytes;
                while at < end {
                    let n = (4 - at % 4).min(end - at);
                    races.read_before(&mut cells[usize::from(at / 4)], ((1 << n) - 1) << (at % 4), reader);
                    at += n;
                }
            }
        }
    }
}

/// A number of 1, 2, 4 or 8 bytes, as 64 bits.
///
/// # Safety
/// They are in a block.
#[inline]
pub unsafe fn read(address: u64, len: usize) -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(address as *const u8, bytes.as_mut_ptr(), len) };
    u64::from_le_bytes(bytes)
}

/// Writes the low bytes of a number.
///
/// # Safety
/// They are in a block of data.
#[inline]
pub unsafe fn write(address: u64, len: usize, value: u64) {
    let bytes = value.to_le_bytes();
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, len) };
}
