//! Launches that are done: gfx1100 machine code, run by the interpreter.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::Arc;

use rocmforge_gfx1100::memory::Use;
use rocmforge_gfx1100::{Counters, Launch, Machine, Module};

use crate::ffi::runtime::*;
use crate::state::{Done, State};

/// The interpreter, and what it has of the runtime's.
#[derive(Default)]
pub struct Interpreter {
    /// Whether launches are done.
    pub on: bool,
    machine: Machine,
    /// Code objects, by the handle of their module.
    modules: HashMap<usize, Module>,
    /// What launches did: image, kernel, counts.
    pub counters: Vec<(Arc<[u8]>, String, Counters)>,
    /// What was wrong with the first launch that failed.
    pub failure: Option<&'static CStr>,
}

impl Interpreter {
    /// As the environment says.
    pub fn from_environment() -> Interpreter {
        let says = |name| std::env::var(name).is_ok_and(|v| v == "1");
        let machine = Machine { profile: says("FAKE_HIP_PROFILE"), ..Machine::default() };
        Interpreter { on: says("FAKE_HIP_EXECUTE"), machine, ..Interpreter::default() }
    }

    /// As `fresh`, but for what is alive.
    pub fn reset(&mut self, fresh: Interpreter) {
        self.set(fresh.on, fresh.machine.profile);
        (self.counters, self.failure) = (fresh.counters, fresh.failure);
    }

    /// Turns it on or off, with what takes time to count.
    pub fn set(&mut self, on: bool, profile: bool) {
        (self.on, self.machine.profile) = (on, profile);
    }

    /// Memory that was allocated: of the device, or pinned memory of the host.
    ///
    /// # Safety
    /// It is initialised, and nobody has a reference to it while a launch is done.
    pub unsafe fn allocated(&mut self, address: usize, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.machine.memory.add(address as u64, len as u64, Use::Data) };
    }

    /// And freed.
    pub fn freed(&mut self, address: usize) {
        self.machine.memory.remove(address as u64);
    }

    /// A module was unloaded.
    pub fn unloaded(&mut self, module: usize) {
        if let Some(module) = self.modules.remove(&module) {
            self.machine.unload(module);
        }
    }

    fn run(&mut self, done: &Done) -> Result<(), String> {
        let Done { function, grid, block, lds, args } = done;
        let name = &function.kernel.name;
        if !self.modules.contains_key(&function.module) {
            let module = self.machine.load(&function.image).map_err(|f| f.text)?;
            self.modules.insert(function.module, module);
        }
        let launch = Launch { kernel: name, grid: *grid, block: *block, lds: *lds, args };
        let counters = self.machine.run(&self.modules[&function.module], launch);
        let counters = counters.map_err(|e| format!("{e}; grid {grid:?}, block {block:?}"))?;
        let same =
            |(i, n, _): &&mut (Arc<[u8]>, String, Counters)| Arc::ptr_eq(i, &function.image) && n == name;
        match self.counters.iter_mut().find(same) {
            Some((.., sum)) => sum.add(&counters),
            None => self.counters.push((function.image.clone(), name.clone(), counters)),
        }
        Ok(())
    }
}

impl State {
    /// Does a launch by the interpreter.
    pub fn interpret(&mut self, done: &Done) -> hipError_t {
        let Err(e) = self.interpreter.run(done) else { return hipSuccess };
        eprintln!("fake hip: {e}");
        if self.interpreter.failure.is_none() {
            // Who asked for these words may look at them for ever.
            self.interpreter.failure = CString::new(e).ok().map(|e| &*Box::leak(e.into_boxed_c_str()));
        }
        hipErrorLaunchFailure
    }
}
