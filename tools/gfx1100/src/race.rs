//! Who may see what, and which accesses race: happens-before, as the instructions make it.
//!
//! A wave's *time* counts the barriers that it passed (its *phase*) and its own releases since. Two accesses of one
//! workgroup are ordered by a barrier between them. Those of two workgroups are ordered by atomics: one publishes what
//! its workgroup did before the last barrier, and what its wave did before it, as far as stores were waited for; who
//! gets its result from the same address afterwards knows of all that. A store that a barrier finds unfinished counts
//! as one of the phase after it. To be ordered is enough to overwrite; to read, the caches must have been emptied since
//! as well (`buffer_gl0_inv` within a workgroup that two compute units share, `buffer_gl1_inv` too between workgroups).
//!
//! Each four bytes have a cell with the last writer and the readers since. Readers beyond one are remembered as several
//! of a workgroup, or of several workgroups, with the time of the latest.

use std::collections::HashMap;
use std::sync::Arc;

/// Barriers that a wave passed, times [`PHASE`], plus releases since.
pub type Time = u32;
/// One barrier.
pub const PHASE: Time = 1 << 12;

/// What is known of the past of other workgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(HashMap<u32, Past>);

/// What a workgroup published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Past {
    /// All that its waves did in phases before this one.
    phase: u32,
    /// And what single waves did until a time of theirs.
    waves: Vec<(u32, Time)>,
}

impl Known {
    fn join(&mut self, other: &Known) {
        for (group, past) in &other.0 {
            let mine = self.0.entry(*group).or_default();
            mine.phase = mine.phase.max(past.phase);
            for &(wave, time) in &past.waves {
                mine.add(wave, time);
            }
        }
    }

    /// How many workgroups it is of.
    fn covers(&self, group: u32, wave: u32, time: Time, several: bool) -> bool {
        self.0.get(&group).is_some_and(|past| {
            past.phase > time / PHASE
                || (!several && past.waves.iter().any(|&(w, until)| w == wave && until >= time))
        })
    }
}

impl Past {
    fn add(&mut self, wave: u32, time: Time) {
        match self.waves.iter_mut().find(|(w, _)| *w == wave) {
            Some((_, until)) => *until = (*until).max(time),
            None => self.waves.push((wave, time)),
        }
    }
}

/// What a wave knows.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The wave's number in its launch.
    pub wave: u32,
    /// Its workgroup's.
    pub group: u32,
    /// When it is.
    pub time: Time,
    /// What the own workgroup wrote before this phase can be read.
    seen: u32,
    /// Whether the workgroup's waves share no cache.
    wgp: bool,
    known: Arc<Known>,
    /// What was known when the cache between workgroups was emptied,
    far: Arc<Known>,
    /// and what of that when the own one was: what can be read.
    visible: Arc<Known>,
}

/// Everybody who does something in a launch.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Waves of each workgroup.
    pub waves: u32,
    /// Workgroups.
    pub groups: u32,
}

impl Clock {
    /// At the start of a launch.
    pub fn new(wave: u32, crowd: Crowd, wgp: bool) -> Clock {
        let none = Arc::<Known>::default();
        let group = wave / crowd.waves;
        Clock { wave, group, time: 0, seen: 0, wgp, known: none.clone(), far: none.clone(), visible: none }
    }

    /// Barriers passed.
    pub fn phase(&self) -> u32 {
        self.time / PHASE
    }

    /// The next phase, for which all waves of a workgroup have come.
    pub fn barrier<'a>(clocks: impl Iterator<Item = &'a mut Clock>) {
        let mut clocks: Vec<&mut Clock> = clocks.collect();
        let Some(first) = clocks.first() else { return };
        let mut all = first.known.clone();
        for c in &clocks {
            if !Arc::ptr_eq(&all, &c.known) && all != c.known {
                Arc::make_mut(&mut all).join(&c.known);
            }
        }
        for c in &mut clocks {
            c.known = all.clone();
            c.time = (c.phase() + 1) * PHASE;
        }
    }

    /// The cache of the compute unit was emptied.
    pub fn empty_near(&mut self) {
        self.seen = self.phase();
        self.visible = self.far.clone();
    }

    /// The cache that compute units share was emptied.
    pub fn empty_far(&mut self) {
        self.far = self.known.clone();
    }

    /// Gets to know what an atomic operation told.
    pub fn learn(&mut self, told: &Arc<Known>) {
        if *self.known != **told {
            Arc::make_mut(&mut self.known).join(told);
        }
    }

    fn ordered(&self, old: Stamp, crowd: Crowd, read: bool) -> bool {
        let (wave, time, phase) = (old.wave(), old.time(), old.time() / PHASE);
        if wave == self.wave && old.0 & (GROUP | ALL) == 0 {
            return true;
        }
        let known = if read { &self.visible } else { &self.known };
        let mine = phase < if read && self.wgp { self.seen } else { self.phase() };
        if old.0 & ALL != 0 {
            let others = (0..crowd.groups).filter(|g| *g != self.group);
            return mine && others.into_iter().all(|g| known.covers(g, wave, time, true));
        }
        let group = wave / crowd.waves;
        if group == self.group { mine } else { known.covers(group, wave, time, old.0 & GROUP != 0) }
    }
}

/// An access: bits 0-3 which of the four bytes, 4 atomic, 5 several of one workgroup, 6 several workgroups, 7 that there
/// are further writers, from 8 its time, from 40 the wave and one. Zero: none.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp(u64);
const ATOMIC: u64 = 1 << 4;
const GROUP: u64 = 1 << 5;
const ALL: u64 = 1 << 6;
const MORE: u64 = 1 << 7;

impl Stamp {
    fn new(clock: &Clock, bytes: u32, atomic: bool) -> Stamp {
        let atomic = if atomic { ATOMIC } else { 0 };
        Stamp(u64::from(clock.wave + 1) << 40 | u64::from(clock.time) << 8 | atomic | u64::from(bytes))
    }

    fn wave(self) -> u32 {
        ((self.0 >> 40) as u32).wrapping_sub(1)
    }

    fn time(self) -> Time {
        (self.0 >> 8) as Time
    }

    fn bytes(self) -> u32 {
        self.0 as u32 & 15
    }
}

/// Four bytes: who wrote them, and who read them since.
#[derive(Clone, Copy, Default)]
pub struct Cell {
    w: Stamp,
    r: Stamp,
}

/// How bytes are accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Plainly.
    Read,
    /// Past the caches, as atomic loads do.
    ReadFresh,
    /// Through the scalar cache, which nothing empties during a launch.
    ReadScalar,
    /// Plainly.
    Write,
    /// A read and a write in one.
    Atomic,
}

impl Access {
    /// It writes nothing.
    pub fn reads_only(self) -> bool {
        matches!(self, Access::Read | Access::ReadFresh | Access::ReadScalar)
    }
}

/// The other one of a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Racer {
    /// The wave, of the launch.
    pub wave: u32,
    /// Whether it wrote.
    pub wrote: bool,
    /// Whether the accesses are in order, but the cache may hold what was there before.
    pub stale: bool,
}

impl Racer {
    /// In words, for one who did `how`.
    pub fn text(&self, how: Access, clock: &Clock, crowd: Crowd) -> String {
        let did = if self.wrote { "wrote" } else { "read" };
        let does = match how {
            Access::Read | Access::ReadFresh | Access::ReadScalar => "reads",
            Access::Write => "writes",
            Access::Atomic => "updates",
        };
        let (group, wave) = (self.wave / crowd.waves, self.wave % crowd.waves);
        let whose = match group == clock.group {
            true => format!("wave {wave} of its workgroup"),
            false => format!("wave {wave} of workgroup number {group}"),
        };
        match self.stale {
            true => format!("{does} what {whose} {did}, through a cache that was not emptied since"),
            false => format!("{does} what {whose} {did}, in no order"),
        }
    }
}

/// What a launch remembers besides its cells.
pub struct Races {
    /// Who there is.
    pub crowd: Crowd,
    /// Further writers of other bytes of a cell, by the number of the cell.
    more: HashMap<u64, Vec<Stamp>>,
    /// What atomics at an address told.
    told: HashMap<u64, Arc<Known>>,
}

impl Races {
    /// Nothing has happened.
    pub fn new(crowd: Crowd) -> Races {
        Races { crowd, more: HashMap::new(), told: HashMap::new() }
    }

    /// Accesses the bytes `bytes` (bits) of a cell, whose number nobody else has.
    ///
    /// # Errors
    /// The other one, if they race.
    #[inline]
    pub fn access(
        &mut self,
        cell: &mut Cell,
        number: u64,
        bytes: u32,
        how: Access,
        clock: &Clock,
    ) -> Result<(), Racer> {
        let atomic = matches!(how, Access::Atomic | Access::ReadFresh);
        let new = Stamp::new(clock, bytes, atomic);
        let reads = how.reads_only();
        if cell.w.0 != 0 && (cell.w.0 >> 40 != new.0 >> 40 || how == Access::ReadScalar) {
            self.against(cell.w, new, how, clock, true)?;
        }
        if cell.w.0 & MORE != 0 {
            for w in self.more.get(&number).map_or(&[][..], Vec::as_slice) {
                self.against(*w, new, how, clock, true)?;
            }
        }
        if reads {
            let old = cell.r.0;
            if old == 0 || (old >> 40 == new.0 >> 40 && old & (GROUP | ALL) == 0) {
                cell.r.0 = new.0 | old & 15;
            } else {
                cell.r = self.join(cell.r, new);
            }
            return Ok(());
        }
        if cell.r.0 != 0 {
            self.against(cell.r, new, how, clock, false)?;
            if cell.r.bytes() & !bytes == 0 {
                cell.r = Stamp(0);
            }
        }
        let old = cell.w;
        if old.0 == 0 || old.wave() == clock.wave {
            cell.w.0 = new.0 | old.0 & (15 | MORE);
        } else if old.bytes() & !bytes == 0 {
            cell.w.0 = new.0 | old.0 & MORE;
        } else {
            cell.w.0 = new.0 | MORE;
            let more = self.more.entry(number).or_default();
            more.retain(|w| w.bytes() & !bytes != 0);
            more.push(Stamp(old.0 & !MORE));
        }
        Ok(())
    }

    #[inline(never)]
    fn against(&self, old: Stamp, new: Stamp, how: Access, clock: &Clock, wrote: bool) -> Result<(), Racer> {
        if old.bytes() & new.bytes() == 0 || old.0 & new.0 & ATOMIC != 0 {
            return Ok(());
        }
        // What is read past the caches needs no emptied ones; the scalar cache is never emptied.
        let cached = matches!(how, Access::Read | Access::ReadScalar);
        if how != Access::ReadScalar && clock.ordered(old, self.crowd, cached) {
            return Ok(());
        }
        Err(Racer { wave: old.wave(), wrote, stale: clock.ordered(old, self.crowd, false) })
    }

    /// The stamp of a read of whole cells.
    pub fn reader(&self, clock: &Clock, how: Access) -> Stamp {
        Stamp::new(clock, 15, how == Access::ReadFresh)
    }

    /// Notes the reader of a cell, of the bytes `bytes`, that nobody has written.
    pub fn read_before(&self, cell: &mut Cell, bytes: u32, reader: Stamp) {
        let new = Stamp(reader.0 & !15 | u64::from(bytes));
        let old = cell.r.0;
        cell.r = match old == 0 || (old >> 40 == new.0 >> 40 && old & (GROUP | ALL) == 0) {
            true => Stamp(new.0 | old & 15),
            false => self.join(cell.r, new),
        };
    }

    /// One reader more.
    fn join(&self, old: Stamp, new: Stamp) -> Stamp {
        let same_group = old.wave() / self.crowd.waves == new.wave() / self.crowd.waves && old.0 & ALL == 0;
        if same_group && old.time() / PHASE < new.time() / PHASE {
            return new;
        }
        let several = if same_group { GROUP } else { ALL };
        let time = old.time().max(new.time());
        let (bytes, atomic) = ((old.0 | new.0) & 15, old.0 & new.0 & ATOMIC);
        Stamp(new.0 >> 40 << 40 | u64::from(time) << 8 | several | atomic | bytes)
    }

    /// An atomic operation at `address` tells what happened before, if `finished`, what its own wave did among it; and
    /// gives what the others told.
    pub fn synchronise(&mut self, address: u64, clock: &mut Clock, finished: bool) -> Arc<Known> {
        let told = self.told.entry(address).or_default();
        let all = Arc::make_mut(told);
        all.join(&clock.known);
        let past = all.0.entry(clock.group).or_default();
        past.phase = past.phase.max(clock.phase());
        if finished {
            past.add(clock.wave, clock.time);
            if clock.time % PHASE < PHASE - 1 {
                clock.time += 1;
            }
        }
        told.clone()
    }

    /// What the atomic operations at an address told, for one who reads it past the caches.
    pub fn told(&self, address: u64) -> Option<Arc<Known>> {
        self.told.get(&address).cloned()
    }
}
