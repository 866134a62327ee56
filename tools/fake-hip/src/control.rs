//! What a test says to the library: functions beside those of HIP.

use std::ffi::{CStr, c_char, c_void};

use rocmforge_gfx1100::Counters;

use crate::api::CURRENT;
use crate::ffi::runtime::*;
use crate::rtc;
use crate::state::{self, Done, Fault, State};

/// A launch as a [`LaunchFn`] sees it. Nothing of it stays longer than the call.
#[repr(C)]
pub struct CLaunch {
    /// The module's image.
    pub image: *const u8,
    /// Its bytes.
    pub image_len: usize,
    /// The kernel's name, UTF-8.
    pub name: *const u8,
    /// Its bytes.
    pub name_len: usize,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Threads of each.
    pub block: [u32; 3],
    /// Bytes of LDS besides those that the kernel declares.
    pub lds: u32,
    /// The arguments' segment.
    pub args: *const u8,
    /// Its bytes.
    pub args_len: usize,
    /// For `range`.
    pub state: *const c_void,
    /// Tells which block of device memory an address is in. The runtime's own functions must not be
    /// called meanwhile.
    pub range:
        unsafe extern "C" fn(state: *const c_void, address: u64, start: *mut u64, len: *mut u64) -> bool,
}

/// Does the work of a kernel; what it gives is a `hipError_t`, the kernel's failure.
pub type LaunchFn = unsafe extern "C" fn(user: *mut c_void, launch: *const CLaunch) -> u32;

/// Sees what a kernel did: its module's image, its name, UTF-8, and counts.
pub type CountersFn = unsafe extern "C" fn(
    user: *mut c_void,
    image: *const u8,
    image_len: usize,
    name: *const u8,
    name_len: usize,
    counters: *const Counters,
);

pub struct Hook {
    f: LaunchFn,
    user: *mut c_void,
}

// SAFETY: the test that gave it answers for it.
unsafe impl Send for Hook {}

impl State {
    /// Does the work of a kernel, if a test says what that is.
    pub fn execute(&self, done: &Done) -> hipError_t {
        let Some(hook) = &self.hook else { return hipSuccess };
        let Done { function, grid, block, lds, args } = done;
        let launch = CLaunch {
            image: function.image.as_ptr(),
            image_len: function.image.len(),
            name: function.kernel.name.as_ptr(),
            name_len: function.kernel.name.len(),
            grid: *grid,
            block: *block,
            lds: *lds,
            args: args.as_ptr(),
            args_len: args.len(),
            state: std::ptr::from_ref(self).cast(),
            range,
        };
        // SAFETY: the test that gave it answers for it.
        unsafe { (hook.f)(hook.user, &launch) }
    }
}

unsafe extern "C" fn range(state: *const c_void, address: u64, start: *mut u64, len: *mut u64) -> bool {
    // SAFETY: called within `execute`, whose state it is.
    let state = unsafe { &*state.cast::<State>() };
    let Some((at, block)) = state.block(address as usize).filter(|(_, b)| b.device.is_some()) else {
        return false;
    };
    // SAFETY: the caller's promise.
    unsafe {
        start.write(at as u64);
        len.write(block.layout.size() as u64);
    }
    true
}

/// # Safety
/// A string.
unsafe fn text(p: *const c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
}

/// Forgets faults, counts, launches, the hook, what was set, and the current device of this thread. What
/// is alive stays.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_reset() {
    CURRENT.set(0);
    state::with(State::reset);
}

/// There are `n` GPUs of this architecture with so many bytes.
///
/// # Safety
/// `arch` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hip_set_gpus(n: usize, arch: *const c_char, total: usize) {
    // SAFETY: the caller's promise.
    let arch = unsafe { text(arch) };
    state::with(|s| s.set_gpus(n, &arch, total));
}

/// Whether work waits until something waits for it.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_set_lazy(lazy: bool) {
    state::with(|s| s.lazy = lazy);
}

/// The `nth` call of a function from now (1: the next) gives `code`; with `lose`, so does everything
/// after it.
///
/// # Safety
/// `function` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hip_fail(function: *const c_char, nth: u64, code: u32, lose: bool) {
    // SAFETY: the caller's promise.
    let function = unsafe { text(function) };
    state::with(|s| s.faults.push(Fault { function, calls: nth.max(1), code, lose }));
}

/// Calls of a function since the last reset.
///
/// # Safety
/// `function` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hip_count(function: *const c_char) -> u64 {
    // SAFETY: the caller's promise.
    let function = unsafe { text(function) };
    state::with(|s| s.calls.get(&function).copied().unwrap_or(0))
}

/// Blocks of device and pinned memory that are alive.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_live_allocations() -> usize {
    state::with(|s| s.blocks.len())
}

/// Streams, events, modules, graphs, programs and captures that are alive.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_live_objects() -> usize {
    let objects = |s: &mut State| {
        s.streams.len() + s.events.len() + s.modules.len() + s.graphs.len() + s.execs.len() + s.captures.len()
    };
    state::with(objects) + rtc::live()
}

/// From now on `f` does the work of kernels; NULL: nothing does.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_on_launch(f: Option<LaunchFn>, user: *mut c_void) {
    state::with(|s| s.hook = f.map(|f| Hook { f, user }));
}

/// From now on launches are executed by the interpreter, or not. With `profile` it counts what takes time to count.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_execute(on: bool, profile: bool) {
    state::with(|s| s.interpreter.set(on, profile));
}

/// Shows what executed launches did since the last reset, kernel by kernel.
///
/// # Safety
/// `f` may be called with `user`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hip_show_counters(f: CountersFn, user: *mut c_void) {
    state::with(|s| {
        for (image, name, counters) in &s.interpreter.counters {
            // SAFETY: the caller's promise.
            unsafe { f(user, image.as_ptr(), image.len(), name.as_ptr(), name.len(), counters) };
        }
    });
}

/// Launches that were done since the last reset, those of graphs each time that they are replayed.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_launches() -> usize {
    state::with(|s| s.launches.len())
}

/// Shows launch `i` to `f`; `false` if there is none.
///
/// # Safety
/// `f` may be called with `user`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hip_show_launch(i: usize, f: LaunchFn, user: *mut c_void) -> bool {
    state::with(|s| {
        let Some(done) = s.launches.get(i).cloned() else { return false };
        let hook = s.hook.replace(Hook { f, user });
        s.execute(&done);
        s.hook = hook;
        true
    })
}
