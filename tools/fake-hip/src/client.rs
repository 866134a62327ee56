//! A test's side of the library.

use std::ffi::{CString, c_char, c_void};
use std::path::PathBuf;

use libloading::Library;

use rocmforge_gfx1100::Counters;

use crate::control::{CLaunch, CountersFn, LaunchFn};

/// The library that a test talks to.
pub struct Fake {
    library: Library,
}

/// What the executed launches of a kernel did.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Its module's image.
    pub image: Vec<u8>,
    /// Its name.
    pub kernel: String,
    /// All of them together.
    pub counters: Counters,
}

/// A launch that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The kernel.
    pub name: String,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Threads of each.
    pub block: [u32; 3],
    /// Bytes of LDS besides those that the kernel declares.
    pub lds: u32,
    /// The bytes of its arguments; none if its module does not tell how many there are.
    pub args: Vec<u8>,
}

type LaunchBox = Box<dyn FnMut(&CLaunch) -> u32 + Send>;

impl Fake {
    /// The file of the library: cargo builds it beside the test programs.
    pub fn path() -> PathBuf {
        let exe = std::env::current_exe().expect("this program has a path");
        let beside = exe.with_file_name("libfake_hip.so");
        assert!(beside.is_file(), "{} is not there: cargo builds it along with this test", beside.display());
        beside
    }

    /// Opens it.
    pub fn open() -> Fake {
        // SAFETY: a library of ours, which has no initialisers.
        Fake { library: unsafe { Library::new(Fake::path()) }.expect("the fake runtime loads") }
    }

    /// A function of the library.
    ///
    /// # Safety
    /// It has type `T`.
    unsafe fn function<T: Copy>(&self, name: &str) -> T {
        // SAFETY: the caller's promise.
        *unsafe { self.library.get::<T>(name.as_bytes()) }.expect("a function of the fake runtime")
    }

    /// Forgets faults, counts, launches, what was set, and the current device of this thread. What is alive
    /// stays.
    pub fn reset(&self) {
        // SAFETY: its type.
        unsafe { self.function::<extern "C" fn()>("fake_hip_reset")() };
    }

    /// There are `n` GPUs of this architecture with so many bytes.
    pub fn set_gpus(&self, n: usize, arch: &str, total: usize) {
        let arch = c_string(arch);
        // SAFETY: its type; a string.
        unsafe {
            let f = self.function::<unsafe extern "C" fn(usize, *const c_char, usize)>("fake_hip_set_gpus");
            f(n, arch.as_ptr(), total);
        }
    }

    /// Whether work waits until something waits for it.
    pub fn set_lazy(&self, lazy: bool) {
        // SAFETY: its type.
        unsafe { self.function::<extern "C" fn(bool)>("fake_hip_set_lazy")(lazy) };
    }

    /// The `nth` call of a function from now (1: the next) gives `code`.
    pub fn fail(&self, function: &str, nth: u64, code: u32) {
        self.fault(function, nth, code, false);
    }

    /// As [`Fake::fail`], and everything after it gives `code` too.
    pub fn lose(&self, function: &str, nth: u64, code: u32) {
        self.fault(function, nth, code, true);
    }

    fn fault(&self, function: &str, nth: u64, code: u32, lose: bool) {
        let function = c_string(function);
        type F = unsafe extern "C" fn(*const c_char, u64, u32, bool);
        // SAFETY: its type; a string.
        unsafe { self.function::<F>("fake_hip_fail")(function.as_ptr(), nth, code, lose) };
    }

    /// Calls of a function since the last reset.
    pub fn count(&self, function: &str) -> u64 {
        let function = c_string(function);
        type F = unsafe extern "C" fn(*const c_char) -> u64;
        // SAFETY: its type; a string.
        unsafe { self.function::<F>("fake_hip_count")(function.as_ptr()) }
    }

    /// The current device of this thread.
    pub fn current_device(&self) -> i32 {
        let mut device = -1;
        // SAFETY: its type; room for a number.
        unsafe { self.function::<unsafe extern "C" fn(*mut i32) -> u32>("hipGetDevice")(&mut device) };
        device
    }

    /// Blocks of device and pinned memory that are alive.
    pub fn live_allocations(&self) -> usize {
        // SAFETY: its type.
        unsafe { self.function::<extern "C" fn() -> usize>("fake_hip_live_allocations")() }
    }

    /// Streams, events, modules, graphs, programs and captures that are alive.
    pub fn live_objects(&self) -> usize {
        // SAFETY: its type.
        unsafe { self.function::<extern "C" fn() -> usize>("fake_hip_live_objects")() }
    }

    /// From now on `f` does the work of kernels, until the next reset; what it gives is a `hipError_t`,
    /// 0 if all went well. It must not call the runtime.
    pub fn on_launch(&self, f: impl FnMut(&CLaunch) -> u32 + Send + 'static) {
        // Lives as long as the program: a test has few of them.
        let f: &'static mut LaunchBox = Box::leak(Box::new(Box::new(f)));
        type F = extern "C" fn(Option<LaunchFn>, *mut c_void);
        // SAFETY: its type.
        unsafe { self.function::<F>("fake_hip_on_launch")(Some(call), std::ptr::from_mut(f).cast()) };
    }

    /// From now on launches are executed: gfx1100 machine code, by the interpreter. With `profile` it counts what takes
    /// time to count.
    pub fn execute(&self, on: bool, profile: bool) {
        // SAFETY: its type.
        unsafe { self.function::<extern "C" fn(bool, bool)>("fake_hip_execute")(on, profile) };
    }

    /// What executed launches did since the last reset, kernel by kernel.
    pub fn counters(&self) -> Vec<Executed> {
        type Show = unsafe extern "C" fn(CountersFn, *mut c_void);
        let mut found: Vec<Executed> = Vec::new();
        // SAFETY: its type; `keep_counters` takes such a list.
        unsafe {
            let show = self.function::<Show>("fake_hip_show_counters");
            show(keep_counters, std::ptr::from_mut(&mut found).cast());
        }
        found
    }

    /// The launches that were done since the last reset, those of graphs each time that they are
    /// replayed.
    pub fn launches(&self) -> Vec<Launch> {
        type Show = unsafe extern "C" fn(usize, LaunchFn, *mut c_void) -> bool;
        // SAFETY: its type.
        let show = unsafe { self.function::<Show>("fake_hip_show_launch") };
        let mut found = Vec::new();
        // SAFETY: `keep` takes a list of launches.
        while unsafe { show(found.len(), keep, std::ptr::from_mut(&mut found).cast()) } {}
        found
    }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("a name has no NUL")
}

impl CLaunch {
    /// The kernel's name.
    pub fn name(&self) -> &str {
        // SAFETY: the library's promise.
        std::str::from_utf8(unsafe { std::slice::from_raw_parts(self.name, self.name_len) }).unwrap_or("?")
    }

    /// The bytes of its arguments.
    pub fn args(&self) -> &[u8] {
        // SAFETY: the library's promise.
        unsafe { std::slice::from_raw_parts(self.args, self.args_len) }
    }

    /// The module's image.
    pub fn image(&self) -> &[u8] {
        // SAFETY: the library's promise.
        unsafe { std::slice::from_raw_parts(self.image, self.image_len) }
    }

    /// The device memory at `address`: what its block has from there on.
    ///
    /// # Safety
    /// Nothing else has a reference to these bytes.
    #[allow(clippy::mut_from_ref, reason = "the memory is no part of the launch")]
    pub unsafe fn memory(&self, address: u64) -> Option<&mut [u8]> {
        let (mut start, mut len) = (0, 0);
        // SAFETY: the library's promise.
        if !unsafe { (self.range)(self.state, address, &mut start, &mut len) } {
            return None;
        }
        // SAFETY: a block of the library's, initialised; the rest is the caller's promise.
        Some(unsafe { std::slice::from_raw_parts_mut(address as *mut u8, (start + len - address) as usize) })
    }
}

unsafe extern "C" fn call(user: *mut c_void, launch: *const CLaunch) -> u32 {
    // SAFETY: `on_launch` gave it, and the library calls it for one launch at a time.
    unsafe { (*user.cast::<LaunchBox>())(&*launch) }
}

unsafe extern "C" fn keep_counters(
    user: *mut c_void,
    image: *const u8,
    image_len: usize,
    name: *const u8,
    name_len: usize,
    counters: *const Counters,
) {
    // SAFETY: `counters` gave the list; the rest is the library's promise.
    unsafe {
        let image = std::slice::from_raw_parts(image, image_len).into();
        let kernel = String::from_utf8_lossy(std::slice::from_raw_parts(name, name_len)).into_owned();
        (*user.cast::<Vec<Executed>>()).push(Executed { image, kernel, counters: *counters });
    }
}

unsafe extern "C" fn keep(user: *mut c_void, launch: *const CLaunch) -> u32 {
    // SAFETY: `launches` gave it.
    let (found, launch) = unsafe { (&mut *user.cast::<Vec<Launch>>(), &*launch) };
    let CLaunch { grid, block, lds, .. } = *launch;
    found.push(Launch { name: launch.name().into(), grid, block, lds, args: launch.args().into() });
    0
}
