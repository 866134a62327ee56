//! A device: its memory, the code that was loaded, and launches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::counters::Counters;
use crate::error::{Error, Fault, Kind, fault};
use crate::group::{Group, Place, Turn};
use crate::isa::Program;
use crate::memory::{Memory, Use};
use crate::object::{CodeObject, Kernel, UserData};
use crate::race::Crowd;

/// The target of the code that it runs.
pub const TARGET: &str = "gfx1100";
/// Bytes of LDS that a workgroup can have.
const MAX_LDS: u32 = 65536;

/// A device.
pub struct Machine {
    /// What launches can reach.
    pub memory: Memory,
    /// Whether to count what takes time to count: lines of loads, conflicts of banks.
    pub profile: bool,
    /// Instructions after which a wave is taken not to end.
    pub limit: u64,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine { memory: Memory::default(), profile: false, limit: 1 << 32 }
    }
}

/// A code object at its place in memory.
pub struct Module {
    object: CodeObject,
    /// In pages, so that it can begin at one.
    image: Box<[Page]>,
    programs: HashMap<String, Arc<Program>>,
}

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// What is launched.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The kernel.
    pub kernel: &'a str,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Threads of each.
    pub block: [u32; 3],
    /// Bytes of LDS besides those that the kernel declares.
    pub lds: u32,
    /// The segment of arguments, up to the hidden ones at most.
    pub args: &'a [u8],
}

impl Module {
    /// The code object.
    pub fn object(&self) -> &CodeObject {
        &self.object
    }

    /// The code of a kernel.
    pub fn program(&self, kernel: &str) -> Option<&Program> {
        self.programs.get(kernel).map(|p| &**p)
    }

    /// The address of its first byte.
    pub fn address(&self) -> u64 {
        self.image.as_ptr() as u64
    }
}

/// What a launch needs to know of its kernel and shape.
pub(crate) struct Shape<'a> {
    pub kernel: &'a Kernel,
    pub program: &'a Program,
    pub launch: Launch<'a>,
    pub crowd: Crowd,
    pub lds: usize,
    /// Where the arguments are.
    pub args: u64,
}

impl Machine {
    /// Loads a code object. It must be unloaded before it is dropped.
    ///
    /// # Errors
    /// If it is none, or for another target, or has a kernel with an instruction that is not known.
    pub fn load(&mut self, bytes: &[u8]) -> Result<Module, Fault> {
        let object = CodeObject::read(bytes).map_err(|e| fault(Kind::Launch, e))?;
        if object.target != TARGET {
            return Err(fault(Kind::Launch, format!("code for {}, not {TARGET}", object.target)));
        }
        let mut image = vec![Page([0; 4096]); object.image.len().div_ceil(4096)].into_boxed_slice();
        for (page, bytes) in image.iter_mut().zip(object.image.chunks(4096)) {
            page.0[..bytes.len()].copy_from_slice(bytes);
        }
        let address = image.as_ptr() as u64;
        let mut programs = HashMap::new();
        for k in &object.kernels {
            let code = &object.image[k.code.clone()];
            let program = Program::decode(code, address + k.code.start as u64)
                .map_err(|f| Fault { text: format!("{}: {f}", k.name), ..f.into() })?;
            let n = program.n_vgprs(0, program.insts.len());
            if n > k.n_vgpr {
                let text = format!("{}: uses {n} vector registers, and says {}", k.name, k.n_vgpr);
                return Err(fault(Kind::Launch, text));
            }
            programs.insert(k.name.clone(), Arc::new(program));
        }
        // SAFETY: initialised; the module keeps it, and nothing writes it.
        unsafe { self.memory.add(address, (image.len() * 4096) as u64, Use::Code) };
        Ok(Module { object, image, programs })
    }

    /// Takes a module from memory.
    pub fn unload(&mut self, module: Module) {
        self.memory.remove(module.address());
    }

    /// Runs a launch to its end.
    ///
    /// # Errors
    /// What an instruction did wrong; memory is as it was then.
    pub fn run(&mut self, module: &Module, launch: Launch<'_>) -> Result<Counters, Box<Error>> {
        let about = |fault| {
            let (kernel, instruction) = (launch.kernel.to_owned(), String::new());
            Box::new(Error { kernel, group: [0; 3], wave: 0, pc: 0, instruction, fault })
        };
        let kernel = module.object.kernel(launch.kernel);
        let kernel = kernel.ok_or_else(|| about(fault(Kind::Launch, "there is no such kernel")))?;
        let mut segment = arguments(kernel, &launch).map_err(about)?;
        // SAFETY: initialised, and here until it is removed below.
        unsafe { self.memory.add(segment.as_mut_ptr() as u64, 8 * segment.len() as u64, Use::Arguments) };
        let threads = launch.block.iter().product::<u32>();
        let shape = Shape {
            kernel,
            program: &module.programs[launch.kernel],
            launch,
            crowd: Crowd { waves: threads.div_ceil(32), groups: launch.grid.iter().product() },
            lds: (kernel.descriptor.lds + launch.lds) as usize,
            args: segment.as_ptr() as u64,
        };
        let result = self.run_groups(&shape);
        self.memory.remove(segment.as_ptr() as u64);
        result
    }

    /// All workgroups take turns: those that ran out of their turn go on after the others, and with each round one
    /// more begins. So all of them are there if they wait for each other, and few if they do not.
    fn run_groups(&mut self, shape: &Shape<'_>) -> Result<Counters, Box<Error>> {
        let start = Instant::now();
        self.memory.begin(shape.crowd);
        let mut counters = Counters { launches: 1, groups: shape.crowd.groups.into(), ..Counters::default() };
        counters.waves = counters.groups * u64::from(shape.crowd.waves);
        let mut executed = vec![0u64; shape.program.insts.len()];
        let [x, y, _] = shape.launch.grid;
        let mut next = 0;
        let (mut there, mut rooms): (Vec<Group>, Vec<Group>) = Default::default();
        while next < shape.crowd.groups || !there.is_empty() {
            if next < shape.crowd.groups {
                let id = [next % x, next / x % y, next / (x * y)];
                let room = rooms.pop().map_or_else(|| Group::new(shape), Ok);
                let mut group = room.map_err(|f| shape.error(id, Place::default(), f))?;
                group.begin(shape, next, id);
                there.push(group);
                next += 1;
            }
            let mut i = 0;
            while i < there.len() {
                let place = Turn {
                    shape,
                    memory: &mut self.memory,
                    counters: &mut counters,
                    executed: &mut executed,
                    profile: self.profile,
                    limit: self.limit,
                };
                let group = &mut there[i];
                let done = group.take_turn(place).map_err(|(place, f)| shape.error(group.id(), place, f))?;
                if done {
                    rooms.push(there.swap_remove(i));
                } else {
                    i += 1;
                }
            }
        }
        for (inst, n) in shape.program.insts.iter().zip(executed) {
            if n > 0 {
                counters.count(inst.op.class, n);
            }
        }
        counters.nanoseconds = start.elapsed().as_nanos() as u64;
        Ok(counters)
    }
}

impl Shape<'_> {
    fn error(&self, group: [u32; 3], place: Place, fault: Fault) -> Box<Error> {
        let inst = place.inst.and_then(|pc| self.program.insts.get(pc));
        Box::new(Error {
            kernel: self.kernel.name.clone(),
            group,
            wave: place.wave,
            pc: self.kernel.code.start as u64 + inst.map_or(0, |i| u64::from(i.at)),
            instruction: inst.map(ToString::to_string).unwrap_or_default(),
            fault,
        })
    }
}

/// Checks a launch, and lays out its arguments: words of 8 bytes.
fn arguments(kernel: &Kernel, launch: &Launch<'_>) -> Result<Vec<u64>, Fault> {
    let refuse = |text: String| Err(fault(Kind::Launch, text));
    let d = &kernel.descriptor;
    let threads = launch.block.iter().try_fold(1u32, |n, b| n.checked_mul(*b)).unwrap_or(u32::MAX);
    if threads == 0 || threads > kernel.max_threads {
        return refuse(format!("workgroups of {threads} threads, of which it takes {}", kernel.max_threads));
    }
    let waves = u64::from(threads.div_ceil(32)) * launch.grid.iter().map(|n| u64::from(*n)).product::<u64>();
    if waves == 0 || waves >= 1 << 24 {
        return refuse(format!("{waves} waves"));
    }
    if d.lds.checked_add(launch.lds).is_none_or(|n| n > MAX_LDS) {
        return refuse(format!("{} and {} bytes of LDS", d.lds, launch.lds));
    }
    if let Some((what, _)) = d.user_data().find(|(what, _)| *what != UserData::KernargPtr) {
        return refuse(format!("it asks for {what:?}, which is not interpreted"));
    }
    let len = (d.kernarg as usize).max(kernel.args.iter().map(|a| a.offset + a.size).max().unwrap_or(0));
    let hidden = |a: &&crate::object::Arg| a.kind.starts_with("hidden_");
    let explicit = kernel.args.iter().filter(|a| !hidden(a)).map(|a| a.offset + a.size).max().unwrap_or(0);
    if launch.args.len() < explicit || launch.args.len() > len {
        return refuse(format!("{} bytes of arguments, of which it takes {explicit}", launch.args.len()));
    }
    let mut bytes = vec![0u8; len.max(8).next_multiple_of(8)];
    bytes[..launch.args.len()].copy_from_slice(launch.args);
    for a in kernel.args.iter().filter(hidden) {
        let axis = match a.kind.as_bytes().last() {
            Some(b'y') => 1,
            Some(b'z') => 2,
            _ => 0,
        };
        let value = match a.kind.trim_end_matches(['x', 'y', 'z']) {
            "hidden_block_count_" => launch.grid[axis],
            "hidden_group_size_" => launch.block[axis],
            "hidden_remainder_" | "hidden_global_offset_" | "hidden_none" => 0,
            "hidden_grid_dims" => 3,
            "hidden_dynamic_lds_size" => launch.lds,
            _ => return refuse(format!("it asks for {}, which is not interpreted", a.kind)),
        };
        bytes[a.offset..a.offset + a.size].fill(0);
        let n = a.size.min(4);
        bytes[a.offset..a.offset + n].copy_from_slice(&value.to_le_bytes()[..n]);
    }
    Ok(bytes.chunks(8).map(|b| b.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b))).collect())
}
