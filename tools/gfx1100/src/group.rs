//! A workgroup: its waves, their LDS, and the barriers between them.

use crate::access::{self, Bus, Port};
use crate::counters::Counters;
use crate::error::{Fault, Kind, fault};
use crate::isa::{Counter, Encoding, Exec};
use crate::lds::Lds;
use crate::machine::Shape;
use crate::memory::Memory;
use crate::object::UserData;
use crate::pending::Pending;
use crate::race::Clock;
use crate::shared;
use crate::wave::{Mode, Wave, sgpr};

/// Instructions of a wave until it is another's turn.
const TURN: u64 = 1 << 16;
/// Barriers that clocks can count.
const MAX_PHASES: u32 = 1 << 20;
/// No wait.
const ANY: usize = 63;
/// `s_sendmsg` that gives the vector registers back.
const DEALLOC_VGPRS: i32 = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Runs,
    /// At the barrier at this instruction.
    Waits(usize),
    Ended,
}

/// A wave and what it has under way.
struct Runner {
    wave: Wave,
    clock: Clock,
    pending: Pending,
    scratch: Vec<u8>,
    state: State,
    /// Instructions so far.
    n: u64,
    /// It has given its vector registers back.
    gave_back: bool,
}

/// A workgroup.
pub(crate) struct Group {
    id: [u32; 3],
    mode: Mode,
    runners: Vec<Runner>,
    lds: Lds,
}

/// Where something happened.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place {
    pub wave: u32,
    pub inst: Option<usize>,
}

/// What a workgroup works with when it is its turn.
pub(crate) struct Turn<'a> {
    pub shape: &'a Shape<'a>,
    pub memory: &'a mut Memory,
    pub counters: &'a mut Counters,
    /// How often each instruction was run.
    pub executed: &'a mut [u64],
    pub profile: bool,
    /// Instructions after which a wave is taken not to end.
    pub limit: u64,
}

impl Group {
    /// Room for a workgroup of a launch.
    pub fn new(shape: &Shape<'_>) -> Result<Group, Fault> {
        let d = &shape.kernel.descriptor;
        let mode = Mode::from_rsrc1(d.rsrc1)?;
        let runner = |_| Runner {
            wave: Wave::new(shape.kernel.n_vgpr.max(1), mode),
            clock: Clock::new(0, shape.crowd, d.wgp_mode()),
            pending: Pending::default(),
            scratch: vec![0; d.scratch as usize * 32],
            state: State::Ended,
            n: 0,
            gave_back: false,
        };
        let runners = (0..shape.crowd.waves).map(runner).collect();
        Ok(Group { id: [0; 3], mode, runners, lds: Lds::new(shape.lds, shape.crowd) })
    }

    /// Makes it number `number` of the launch, before its first instruction.
    pub fn begin(&mut self, shape: &Shape<'_>, number: u32, id: [u32; 3]) {
        let d = &shape.kernel.descriptor;
        let [bx, by, bz] = shape.launch.block;
        let threads = bx * by * bz;
        self.id = id;
        self.lds.forget();
        for (w, runner) in (0..).zip(&mut self.runners) {
            let wave = &mut runner.wave;
            wave.forget(self.mode);
            let mut at = 0u8;
            for (what, n) in d.user_data() {
                if what == UserData::KernargPtr {
                    wave.set_sgpr(at, shape.args as u32);
                    wave.set_sgpr(at + 1, (shape.args >> 32) as u32);
                }
                at += n as u8;
            }
            // Besides these there may be some that nobody fills.
            at = at.max(d.n_user_sgpr() as u8);
            for (axis, _) in d.workgroup_ids().into_iter().enumerate().filter(|(_, wanted)| *wanted) {
                wave.set_sgpr(at, id[axis]);
                at += 1;
            }
            let thread = |lane: usize| 32 * w + lane as u32;
            wave.set_vgpr(
                0,
                std::array::from_fn(|lane| {
                    let t = thread(lane);
                    (t % bx) | ((t / bx % by) << 10) | ((t / (bx * by)) << 20)
                }),
            );
            let active =
                (0..32).filter(|&lane| thread(lane) < threads).fold(0, |mask, lane| mask | 1 << lane);
            wave.set_sgpr(sgpr::EXEC, active);
            runner.clock = Clock::new(number * shape.crowd.waves + w, shape.crowd, d.wgp_mode());
            runner.pending.forget();
            runner.scratch.fill(0xa5);
            (runner.state, runner.n, runner.gave_back) = (State::Runs, 0, false);
        }
    }

    /// Its numbers.
    pub fn id(&self) -> [u32; 3] {
        self.id
    }

    /// Lets every wave run until it ends or has run for a while. Whether all have ended.
    pub fn take_turn(&mut self, mut turn: Turn<'_>) -> Result<bool, (Place, Fault)> {
        let before: Vec<u64> = self.runners.iter().map(|r| r.n).collect();
        loop {
            let mut ran = false;
            for (w, runner) in self.runners.iter_mut().enumerate() {
                if runner.state != State::Runs || runner.n - before[w] >= TURN {
                    continue;
                }
                ran = true;
                let until = before[w] + TURN;
                if let Err(fault) = runner.run(&mut turn, &mut self.lds, until) {
                    return Err((Place { wave: w as u32, inst: Some(runner.wave.pc) }, fault));
                }
            }
            if self.runners.iter().all(|r| r.state == State::Ended) {
                return Ok(true);
            }
            if self.runners.iter().all(|r| r.state != State::Runs) {
                self.meet(&mut turn)?;
            } else if !ran {
                return Ok(false);
            }
        }
    }

    /// All waves wait: if for the same barrier, they go on.
    fn meet(&mut self, turn: &mut Turn<'_>) -> Result<(), (Place, Fault)> {
        let waiting = |r: &Runner| if let State::Waits(pc) = r.state { Some(pc) } else { None };
        let first = self.runners.iter().enumerate().find_map(|(w, r)| Some((w, waiting(r)?)));
        let Some((first, pc)) = first else { return Ok(()) };
        for (w, r) in self.runners.iter().enumerate() {
            let text = match waiting(r) {
                Some(other) if other == pc => continue,
                Some(other) => {
                    let at = turn.shape.program.insts.get(other).map_or(0, |i| i.at as usize);
                    format!(
                        "while wave {w} waits at another barrier, at {:#x}",
                        turn.shape.kernel.code.start + at
                    )
                }
                None => format!("waits for wave {w}, which has ended"),
            };
            return Err((Place { wave: first as u32, inst: Some(pc) }, fault(Kind::Barrier, text)));
        }
        if self.runners[first].clock.phase() + 1 >= MAX_PHASES {
            return Err((
                Place { wave: first as u32, inst: Some(pc) },
                fault(Kind::Endless, "passes more barriers than are counted"),
            ));
        }
        Clock::barrier(self.runners.iter_mut().map(|r| &mut r.clock));
        for (w, r) in self.runners.iter_mut().enumerate() {
            r.state = State::Runs;
            r.pending
                .pass_barrier(turn.memory, &mut self.lds, &r.clock)
                .map_err(|f| (Place { wave: w as u32, inst: Some(pc) }, f))?;
            r.wave.pc = pc + 1;
        }
        Ok(())
    }
}

impl Runner {
    /// Runs until it ends, waits for others, or has run so many instructions.
    fn run(&mut self, turn: &mut Turn<'_>, lds: &mut Lds, until: u64) -> Result<(), Fault> {
        let program = turn.shape.program;
        while self.n < until {
            if let Some(count) = turn.executed.get_mut(self.wave.pc) {
                *count += 1;
            }
            self.n += 1;
            if self.gave_back {
                return self.last(turn);
            }
            let Some(inst) = program.step(&mut self.wave)? else { continue };
            let mut bus = Bus { memory: turn.memory, lds, counters: turn.counters, profile: turn.profile };
            let mut port = Port {
                wave: &mut self.wave,
                clock: &mut self.clock,
                pending: &mut self.pending,
                scratch: &mut self.scratch,
            };
            match inst.op.exec {
                Exec::WaitCount => {
                    let (vm, _, lgkm) = inst.waits();
                    for (counter, n) in [(Counter::Vm, vm), (Counter::Lgkm, lgkm)] {
                        if usize::from(n) < ANY {
                            self.pending.wait(counter, n.into(), &mut self.wave, &mut self.clock);
                        }
                    }
                }
                Exec::WaitOne(counter) => {
                    let n = inst.imm as u32 as usize & ANY;
                    self.pending.wait(counter, n, &mut self.wave, &mut self.clock);
                }
                Exec::Barrier => {
                    self.state = State::Waits(self.wave.pc);
                    return Ok(());
                }
                Exec::End => {
                    self.state = State::Ended;
                    return Ok(());
                }
                Exec::Yield => {
                    self.wave.pc += 1;
                    return Ok(());
                }
                Exec::Message if inst.imm == DEALLOC_VGPRS => self.gave_back = true,
                Exec::Invalidate => match inst.op.name {
                    "buffer_gl0_inv" => self.clock.empty_near(),
                    "buffer_gl1_inv" => self.clock.empty_far(),
                    // Nothing tells the scalar cache's content from memory's: reading what the launch wrote is refused.
                    "s_dcache_inv" | "s_icache_inv" => {}
                    _ => return Err(fault(Kind::Unsupported, "this invalidation")),
                },
                _ => match inst.op.encoding {
                    Encoding::Smem => access::scalar_load(&mut bus, &mut port, inst)?,
                    Encoding::Ds => shared::access(&mut bus, &mut port, inst)?,
                    Encoding::Flat | Encoding::Global | Encoding::Scratch => {
                        access::vector(&mut bus, &mut port, inst)?;
                    }
                    _ => return Err(fault(Kind::Unsupported, "this instruction")),
                },
            }
            self.wave.pc += 1;
        }
        match self.n > turn.limit {
            true => Err(fault(Kind::Endless, format!("does not end after {} instructions", self.n))),
            false => Ok(()),
        }
    }

    /// After it gave its vector registers back, a wave can only end.
    fn last(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        match turn.shape.program.insts.get(self.wave.pc).map(|i| &i.op.exec) {
            Some(Exec::Nothing) => self.wave.pc += 1,
            Some(Exec::End) => self.state = State::Ended,
            _ => return Err(fault(Kind::Unsupported, "goes on after its vector registers were given back")),
        }
        Ok(())
    }
}
