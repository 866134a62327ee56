//! What the runtime knows: devices, memory, objects, faults and counts.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::control::Hook;
use crate::elf::Kernel;
use crate::execute::Interpreter;
use crate::ffi::runtime::*;
use crate::queue::{Capture, Event, Op, Stream};

/// The outcome of a function of the runtime.
pub type Outcome<T = ()> = Result<T, hipError_t>;

/// A GPU.
#[derive(Clone)]
pub struct Gpu {
    pub name: String,
    pub arch: String,
    pub total: usize,
}

/// A block of memory.
pub struct Block {
    /// The GPU that has it; the host if none.
    pub device: Option<usize>,
    pub layout: Layout,
}

/// A fault that waits for its call.
pub struct Fault {
    pub function: String,
    /// Calls until it strikes: 1 is the next.
    pub calls: u64,
    pub code: hipError_t,
    /// Whether from then on everything fails.
    pub lose: bool,
}

/// A loaded module.
pub struct Module {
    pub image: Arc<[u8]>,
    /// `None`: any name is a kernel.
    pub kernels: Option<Vec<Arc<Kernel>>>,
}

/// A kernel that was asked for.
#[derive(Clone)]
pub struct Function {
    pub module: usize,
    pub image: Arc<[u8]>,
    pub kernel: Arc<Kernel>,
}

/// A launch that was done.
#[derive(Clone)]
pub struct Done {
    pub function: Function,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub lds: u32,
    pub args: Vec<u8>,
}

pub struct State {
    pub gpus: Vec<Gpu>,
    pub lazy: bool,
    pub faults: Vec<Fault>,
    pub lost: Option<hipError_t>,
    pub calls: HashMap<String, u64>,
    pub blocks: BTreeMap<usize, Block>,
    pub streams: HashMap<usize, Stream>,
    pub events: HashMap<usize, Event>,
    pub modules: HashMap<usize, Module>,
    pub functions: HashMap<usize, Function>,
    pub graphs: HashMap<usize, Arc<[Op]>>,
    pub execs: HashMap<usize, Arc<[Op]>>,
    pub captures: HashMap<usize, Capture>,
    pub launches: Vec<Arc<Done>>,
    pub hook: Option<Hook>,
    pub interpreter: Interpreter,
    last_handle: usize,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// The state, made from the environment when it is first used.
pub fn lock() -> MutexGuard<'static, Option<State>> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.get_or_insert_with(State::from_environment);
    state
}

/// Runs `f` on the state.
pub fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    f(lock().get_or_insert_with(State::from_environment))
}

impl State {
    fn from_environment() -> State {
        let number = |name: &str, default: usize| {
            std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
        };
        let mut state = State {
            gpus: Vec::new(),
            lazy: false,
            faults: Vec::new(),
            lost: None,
            calls: HashMap::new(),
            blocks: BTreeMap::new(),
            streams: HashMap::new(),
            events: HashMap::new(),
            modules: HashMap::new(),
            functions: HashMap::new(),
            graphs: HashMap::new(),
            execs: HashMap::new(),
            captures: HashMap::new(),
            launches: Vec::new(),
            hook: None,
            interpreter: Interpreter::from_environment(),
            last_handle: 0x1000,
        };
        let arch = std::env::var("FAKE_HIP_ARCH").unwrap_or("gfx1100".into());
        state.set_gpus(number("FAKE_HIP_DEVICES", 1), &arch, number("FAKE_HIP_MEMORY", 1 << 30));
        if let Ok(fault) = std::env::var("FAKE_HIP_FAIL") {
            let mut words = fault.split_whitespace();
            let mut word = || words.next().expect("FAKE_HIP_FAIL: FUNCTION NTH CODE");
            state.faults.push(Fault {
                function: word().into(),
                calls: word().parse().expect("FAKE_HIP_FAIL: NTH is a number"),
                code: word().parse().expect("FAKE_HIP_FAIL: CODE is a number"),
                lose: false,
            });
        }
        state
    }

    /// As at the beginning, but for what is alive.
    pub fn reset(&mut self) {
        let fresh = State::from_environment();
        let State { gpus, lazy, faults, lost, calls, launches, hook, interpreter, .. } = fresh;
        self.interpreter.reset(interpreter);
        (self.gpus, self.lazy, self.faults, self.lost) = (gpus, lazy, faults, lost);
        (self.calls, self.launches, self.hook) = (calls, launches, hook);
    }

    /// `n` GPUs that differ by name.
    pub fn set_gpus(&mut self, n: usize, arch: &str, total: usize) {
        let gpu = |i| Gpu { name: format!("Fake Radeon {i}"), arch: arch.into(), total };
        self.gpus = (0..n).map(gpu).collect();
    }

    /// A number that no other handle has.
    pub fn handle(&mut self) -> usize {
        self.last_handle += 0x10;
        self.last_handle
    }

    /// Counts a call and says whether it is to fail.
    pub fn enter(&mut self, function: &str) -> Option<hipError_t> {
        *self.calls.entry(function.to_owned()).or_default() += 1;
        let mut struck = None;
        self.faults.retain_mut(|fault| {
            if fault.function != function {
                return true;
            }
            fault.calls -= 1;
            if fault.calls > 0 {
                return true;
            }
            struck = Some(fault.code);
            if fault.lose {
                self.lost = Some(fault.code);
            }
            false
        });
        struck.or(self.lost)
    }

    /// Bytes in use on a GPU.
    pub fn used(&self, device: usize) -> usize {
        let on_it = self.blocks.values().filter(|b| b.device == Some(device));
        on_it.map(|b| b.layout.size()).sum()
    }

    /// Memory with garbage in it.
    pub fn allocate(&mut self, device: Option<usize>, len: usize) -> Outcome<usize> {
        if let Some(d) = device {
            let gpu = self.gpus.get(d).ok_or(hipErrorInvalidDevice)?;
            if len > gpu.total - self.used(d) {
                return Err(hipErrorOutOfMemory);
            }
        }
        let layout = Layout::from_size_align(len.max(1), 256).map_err(|_| hipErrorOutOfMemory)?;
        // SAFETY: the size is not zero.
        let p = unsafe { alloc(layout) };
        if p.is_null() {
            return Err(hipErrorOutOfMemory);
        }
        // SAFETY: allocated just now.
        unsafe { p.write_bytes(0xa5, layout.size()) };
        self.blocks.insert(p as usize, Block { device, layout });
        // Kernels may use pinned memory too.
        // SAFETY: initialised just now; it is the library's until it is freed.
        unsafe { self.interpreter.allocated(p as usize, len.max(1)) };
        Ok(p as usize)
    }

    pub fn free(&mut self, address: usize, on_device: bool) -> Outcome {
        match self.blocks.get(&address) {
            Some(block) if block.device.is_some() == on_device => {
                self.interpreter.freed(address);
                // SAFETY: allocated with this layout, and forgotten in the next line.
                unsafe { dealloc(address as *mut u8, block.layout) };
                self.blocks.remove(&address);
                Ok(())
            }
            _ => Err(hipErrorInvalidValue),
        }
    }

    /// The block that has `address`.
    pub fn block(&self, address: usize) -> Option<(usize, &Block)> {
        let (&start, block) = self.blocks.range(..=address).next_back()?;
        (address - start < block.layout.size()).then_some((start, block))
    }

    /// Checks that `len` bytes at `address` are memory of a GPU.
    pub fn check_device(&self, address: usize, len: usize) -> Outcome {
        let Some((start, block)) = self.block(address) else { return Err(hipErrorInvalidValue) };
        let fits = block.device.is_some() && len <= block.layout.size() - (address - start);
        if fits { Ok(()) } else { Err(hipErrorInvalidValue) }
    }
}
