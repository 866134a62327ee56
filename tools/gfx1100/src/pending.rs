//! What a wave has asked of memory and not waited for: the hardware's counters, with what each count stands for.
//!
//! Vector loads return in order, and so do accesses of LDS; flat accesses, which might go to either, count as both.
//! Scalar loads return in no order, so a wait for all but some of them is a wait for none.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Fault;
use crate::isa::{self, Counter, Span};
use crate::lds::Lds;
use crate::memory::Memory;
use crate::race::{Access, Clock, Known};
use crate::wave::Wave;

/// The most that a counter counts: what comes after waits for the first.
const MOST: usize = 63;

/// An access that is under way.
#[derive(Clone)]
pub struct Flight {
    /// The vector registers that it writes.
    pub dst: Span,
    /// The scalar registers.
    pub sdst: u128,
    /// Where, a lane each,
    pub addresses: [u64; 32],
    /// for these lanes. None for what is no access.
    pub lanes: u32,
    /// Bytes of each.
    pub bytes: u32,
    /// If not 0, a second access so many bytes further on.
    pub second: i32,
    /// How.
    pub how: Access,
    /// What an atomic operation has to tell.
    pub told: Option<Arc<Known>>,
}

impl Flight {
    /// Nothing but registers to be written.
    pub fn to(dst: Span) -> Flight {
        let none = Access::Read;
        Flight { dst, sdst: 0, addresses: [0; 32], lanes: 0, bytes: 0, second: 0, how: none, told: None }
    }
}

/// What is under way.
#[derive(Default)]
pub struct Pending {
    vector: VecDeque<Flight>,
    lds: VecDeque<Flight>,
    scalar: Vec<Flight>,
    stores: VecDeque<Flight>,
}

impl Pending {
    /// As new.
    pub fn forget(&mut self) {
        self.vector.clear();
        self.lds.clear();
        self.scalar.clear();
        self.stores.clear();
    }

    /// No store is under way.
    pub fn stores_done(&self) -> bool {
        self.stores.is_empty()
    }

    /// Notes that registers wait.
    fn start(flight: &Flight, queue: &VecDeque<Flight>, wave: &mut Wave) -> Result<(), Fault> {
        for r in flight.dst.registers() {
            if wave.v_pending[r] != 0 {
                // What returns before is overwritten.
                let before = queue.iter().filter(|f| f.dst.registers().contains(&r)).count();
                if before != usize::from(wave.v_pending[r]) {
                    return Err(isa::Fault::NotWaited(isa::Register::Vector(r as u8)).into());
                }
            }
            wave.v_pending[r] += 1;
            wave.suspects.add(r);
        }
        Ok(())
    }

    fn end(flight: &Flight, wave: &mut Wave, clock: &mut Clock) {
        for r in flight.dst.registers() {
            wave.v_pending[r] -= 1;
        }
        wave.s_pending &= !flight.sdst;
        if let Some(told) = &flight.told {
            clock.learn(told);
        }
    }

    /// A vector load, or an atomic that returns; `flat` if it might go to LDS.
    ///
    /// # Errors
    /// If another access has still to write its registers, and may do so later.
    pub fn load(
        &mut self,
        flight: Flight,
        flat: bool,
        wave: &mut Wave,
        clock: &mut Clock,
    ) -> Result<(), Fault> {
        Pending::start(&flight, &self.vector, wave)?;
        if flat {
            // Both counters stand for it; its registers wait for both.
            for r in flight.dst.registers() {
                wave.v_pending[r] += 1;
            }
            self.lds.push_back(Flight::to(flight.dst));
        }
        self.vector.push_back(flight);
        if self.vector.len() > MOST {
            self.wait(Counter::Vm, MOST, wave, clock);
        }
        Ok(())
    }

    /// An access of LDS.
    ///
    /// # Errors
    /// As [`Pending::load`].
    pub fn lds(&mut self, flight: Flight, wave: &mut Wave, clock: &mut Clock) -> Result<(), Fault> {
        Pending::start(&flight, &self.lds, wave)?;
        self.lds.push_back(flight);
        if self.lds.len() > MOST {
            self.wait(Counter::Lgkm, MOST, wave, clock);
        }
        Ok(())
    }

    /// A scalar load.
    pub fn scalar(&mut self, sdst: u128, wave: &mut Wave) {
        wave.s_pending |= sdst;
        wave.suspects.s |= sdst;
        self.scalar.push(Flight { sdst, ..Flight::to(Span::default()) });
    }

    /// A vector store, or an atomic that returns nothing.
    pub fn store(&mut self, flight: Flight) {
        self.stores.push_back(flight);
        if self.stores.len() > MOST {
            self.stores.pop_front();
        }
    }

    /// Until at most `n` are under way.
    pub fn wait(&mut self, counter: Counter, n: usize, wave: &mut Wave, clock: &mut Clock) {
        match counter {
            Counter::Vm => {
                while self.vector.len() > n {
                    let Some(f) = self.vector.pop_front() else { break };
                    Pending::end(&f, wave, clock);
                }
            }
            Counter::Lgkm => {
                while self.lds.len() > n {
                    let Some(f) = self.lds.pop_front() else { break };
                    Pending::end(&f, wave, clock);
                }
                if n == 0 {
                    self.scalar.drain(..).for_each(|f| Pending::end(&f, wave, clock));
                }
            }
            Counter::Vs => {
                while self.stores.len() > n {
                    self.stores.pop_front();
                }
            }
            Counter::Exp => {}
        }
    }

    /// What a barrier finds under way happens after it.
    ///
    /// # Errors
    /// If that races with others.
    pub fn pass_barrier(&self, memory: &mut Memory, lds: &mut Lds, clock: &Clock) -> Result<(), Fault> {
        for f in self.vector.iter().chain(&self.stores) {
            f.each(|address| {
                let block = memory.find(address, u64::from(f.bytes), false)?;
                memory.note(block, address, u64::from(f.bytes), f.how, clock)
            })?;
        }
        for f in &self.lds {
            f.each(|address| lds.unfinished(address as u32, f.bytes, f.how, clock))?;
        }
        Ok(())
    }
}

impl Flight {
    fn each(&self, mut f: impl FnMut(u64) -> Result<(), Fault>) -> Result<(), Fault> {
        for lane in (0..32).filter(|lane| self.lanes >> lane & 1 == 1) {
            f(self.addresses[lane])?;
            if self.second != 0 {
                f(self.addresses[lane].wrapping_add_signed(self.second.into()))?;
            }
        }
        Ok(())
    }
}
