//! The functions of the HIP runtime.
//!
//! Every one counts its calls and fails where it is told to. A function that makes or starts something
//! has then done nothing; one that releases something has released it, as the real ones do, whose
//! errors are those of earlier work.

#![allow(non_snake_case, non_upper_case_globals, reason = "the names of the headers")]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

use crate::elf::{self, Kernel};
use crate::ffi::runtime::*;
use crate::queue::{Capture, Event, Op, Stream};
use crate::state::{self, Done, Function, Module, Outcome, State};

thread_local! {
    pub static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// Defines functions of the runtime; the bodies see the state as the name before the arrow.
macro_rules! functions {
    ($($(#[$kind:ident])? fn $name:ident($($arg:ident: $ty:ty),* $(,)?) |$state:ident| $body:block)*) => {
        $(
            /// As in HIP.
            ///
            /// # Safety
            /// As in HIP.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $ty),*) -> hipError_t {
                state::with(|$state| {
                    let fault = $state.enter(stringify!($name));
                    #[allow(unused_mut, unused_assignments)]
                    let mut releases = false;
                    $( releases = stringify!($kind) == "releases"; )?
                    if let (Some(code), false) = (fault, releases) {
                        return code;
                    }
                    #[allow(clippy::redundant_closure_call)]
                    let outcome: Outcome = (|| $body)();
                    fault.or(outcome.err()).unwrap_or(hipSuccess)
                })
            }
        )*

        /// Every function here has the type that librocmforge's table gives it.
        #[allow(dead_code)]
        fn typed(table: &Hip) {
            fn same<T>(_: T, _: T) {}
            $( same(table.$name, $name); )*
        }
    };
}

/// Writes a result.
///
/// # Safety
/// NULL, or room for one.
unsafe fn put<T>(place: *mut T, value: T) -> Outcome {
    if place.is_null() {
        return Err(hipErrorInvalidValue);
    }
    // SAFETY: the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

fn gpu(state: &State, device: c_int) -> Outcome<usize> {
    usize::try_from(device).ok().filter(|d| *d < state.gpus.len()).ok_or(hipErrorInvalidDevice)
}

functions! {
    fn hipInit(flags: c_uint) |state| {
        if flags != 0 {
            return Err(hipErrorInvalidValue);
        }
        if state.gpus.is_empty() { Err(hipErrorNoDevice) } else { Ok(()) }
    }
    fn hipRuntimeGetVersion(version: *mut c_int) |_state| {
        // SAFETY: the caller's promise.
        unsafe { put(version, VERSION) }
    }
    fn hipGetDeviceCount(count: *mut c_int) |state| {
        // SAFETY: the caller's promise.
        unsafe { put(count, state.gpus.len() as c_int) }?;
        if state.gpus.is_empty() { Err(hipErrorNoDevice) } else { Ok(()) }
    }
    fn hipGetDevice(device: *mut c_int) |_state| {
        // SAFETY: the caller's promise.
        unsafe { put(device, CURRENT.get() as c_int) }
    }
    fn hipSetDevice(device: c_int) |state| {
        CURRENT.set(gpu(state, device)?);
        Ok(())
    }
    fn hipDeviceGetAttribute(value: *mut c_int, attribute: hipDeviceAttribute_t, device: c_int) |state| {
        gpu(state, device)?;
        let n = match attribute {
            hipDeviceAttributeWarpSize => 32,
            hipDeviceAttributeMultiprocessorCount => 42,
            hipDeviceAttributeMaxSharedMemoryPerBlock => 65536,
            hipDeviceAttributeMaxThreadsPerBlock => MAX_THREADS as c_int,
            _ => return Err(hipErrorInvalidValue),
        };
        // SAFETY: the caller's promise.
        unsafe { put(value, n) }
    }
    fn hipDeviceGetName(name: *mut c_char, len: c_int, device: hipDevice_t) |state| {
        let text = &state.gpus[gpu(state, device)?].name;
        if text.len() >= len as usize {
            return Err(hipErrorInvalidValue);
        }
        // SAFETY: the caller's promise, and there is room.
        unsafe { put_text(name, text) };
        Ok(())
    }
    fn hipMemGetInfo(free: *mut usize, total: *mut usize) |state| {
        let device = CURRENT.get();
        let all = state.gpus.get(device).ok_or(hipErrorInvalidDevice)?.total;
        // SAFETY: the caller's promise.
        unsafe {
            put(free, all - state.used(device))?;
            put(total, all)
        }
    }
    fn hipMalloc(ptr: *mut *mut c_void, size: usize) |state| {
        state.forbid_in_capture(None)?;
        let address = state.allocate(Some(CURRENT.get()), size)?;
        // SAFETY: the caller's promise.
        unsafe { put(ptr, address as *mut c_void) }
    }
    #[releases]
    fn hipFree(ptr: *mut c_void) |state| {
        state.run_all();
        state.free(ptr as usize, true)
    }
    fn hipHostMalloc(ptr: *mut *mut c_void, size: usize, _flags: c_uint) |state| {
        state.forbid_in_capture(None)?;
        let address = state.allocate(None, size)?;
        // SAFETY: the caller's promise.
        unsafe { put(ptr, address as *mut c_void) }
    }
    #[releases]
    fn hipHostFree(ptr: *mut c_void) |state| {
        state.run_all();
        state.free(ptr as usize, false)
    }
    fn hipMemcpyAsync(
        dst: *mut c_void,
        src: *const c_void,
        len: usize,
        kind: hipMemcpyKind,
        stream: hipStream_t,
    ) |state| {
        let (dst, src) = (dst as usize, src as usize);
        if kind == hipMemcpyHostToDevice || kind == hipMemcpyDeviceToDevice {
            state.check_device(dst, len)?;
        }
        if kind == hipMemcpyDeviceToHost || kind == hipMemcpyDeviceToDevice {
            state.check_device(src, len)?;
        }
        state.start(stream as usize, Op::Copy { dst, src, len, kind })?;
        let host = match kind {
            hipMemcpyHostToDevice => src,
            hipMemcpyDeviceToHost => dst,
            _ => return Ok(()),
        };
        // Memory that is not pinned is copied before the call returns.
        let capturing = state.stream(stream as usize)?.capture.is_some();
        if state.block(host).is_none() && !capturing { state.run(stream as usize) } else { Ok(()) }
    }
    fn hipMemsetAsync(dst: *mut c_void, byte: c_int, len: usize, stream: hipStream_t) |state| {
        state.check_device(dst as usize, len)?;
        state.start(stream as usize, Op::Fill { dst: dst as usize, byte: byte as u8, len })
    }
    fn hipStreamCreateWithFlags(stream: *mut hipStream_t, _flags: c_uint) |state| {
        let handle = state.handle();
        // SAFETY: the caller's promise.
        unsafe { put(stream, handle as hipStream_t) }?;
        state.streams.insert(handle, Stream::default());
        Ok(())
    }
    #[releases]
    fn hipStreamDestroy(stream: hipStream_t) |state| {
        let result = state.run(stream as usize);
        if let Some(capture) = state.streams.remove(&(stream as usize)).and_then(|s| s.capture) {
            state.captures.remove(&capture);
        }
        result
    }
    fn hipStreamSynchronize(stream: hipStream_t) |state| {
        state.forbid_in_capture(Some(stream as usize))?;
        state.run(stream as usize)
    }
    fn hipStreamWaitEvent(stream: hipStream_t, event: hipEvent_t, _flags: c_uint) |state| {
        let (stream, event) = (stream as usize, event as usize);
        let e = state.events.get(&event).ok_or(hipErrorInvalidHandle)?;
        let (capture, n) = (e.capture, e.recorded);
        let s = state.stream(stream)?;
        match (capture, s.capture) {
            (Some(c), None) => {
                s.capture = Some(c);
                Ok(())
            }
            (Some(c), Some(mine)) if c != mine => Err(hipErrorStreamCaptureMerge),
            (Some(_), Some(_)) => Ok(()),
            // Work outside of a capture is nothing that a graph could wait for.
            (None, Some(_)) if n > 0 => Err(hipErrorStreamCaptureIsolation),
            _ => state.start(stream, Op::Wait { event, n }),
        }
    }
    fn hipEventCreateWithFlags(event: *mut hipEvent_t, flags: c_uint) |state| {
        let handle = state.handle();
        // SAFETY: the caller's promise.
        unsafe { put(event, handle as hipEvent_t) }?;
        let timed = flags & hipEventDisableTiming == 0;
        state.events.insert(handle, Event { timed, ..Event::default() });
        Ok(())
    }
    #[releases]
    fn hipEventDestroy(event: hipEvent_t) |state| {
        let e = state.events.get(&(event as usize)).ok_or(hipErrorInvalidHandle)?;
        let n = e.recorded;
        let _ = state.run_until(event as usize, n);
        state.events.remove(&(event as usize));
        Ok(())
    }
    fn hipEventRecord(event: hipEvent_t, stream: hipStream_t) |state| {
        let (event, stream) = (event as usize, stream as usize);
        let capture = state.stream(stream)?.capture;
        let e = state.events.get_mut(&event).ok_or(hipErrorInvalidHandle)?;
        e.capture = capture;
        if capture.is_some() {
            return Ok(());
        }
        (e.recorded, e.stream) = (e.recorded + 1, stream);
        let n = e.recorded;
        state.start(stream, Op::Record { event, n })
    }
    fn hipEventSynchronize(event: hipEvent_t) |state| {
        let e = state.events.get(&(event as usize)).ok_or(hipErrorInvalidHandle)?;
        if e.capture.is_some() {
            return Err(hipErrorCapturedEvent);
        }
        let (n, stream) = (e.recorded, e.stream);
        state.run_until(event as usize, n)?;
        state.streams.get_mut(&stream).and_then(|s| s.error.take()).map_or(Ok(()), Err)
    }
    fn hipEventElapsedTime(ms: *mut f32, start: hipEvent_t, stop: hipEvent_t) |state| {
        let at = |event: hipEvent_t| {
            let e = state.events.get(&(event as usize)).ok_or(hipErrorInvalidHandle)?;
            if !e.timed || e.recorded == 0 {
                return Err(hipErrorInvalidHandle);
            }
            if e.happened < e.recorded { Err(hipErrorNotReady) } else { e.at.ok_or(hipErrorInvalidHandle) }
        };
        let time = at(stop)?.saturating_duration_since(at(start)?);
        // SAFETY: the caller's promise.
        unsafe { put(ms, time.as_secs_f32() * 1e3) }
    }
    fn hipModuleLoadData(module: *mut hipModule_t, image: *const c_void) |state| {
        state.forbid_in_capture(None)?;
        if image.is_null() {
            return Err(hipErrorInvalidValue);
        }
        // SAFETY: the caller's promise.
        let (image, (target, kernels)) = unsafe { elf::read(image.cast()) }.ok_or(hipErrorInvalidImage)?;
        let arch = &state.gpus.get(CURRENT.get()).ok_or(hipErrorInvalidDevice)?.arch;
        if target.is_some_and(|t| t.split(':').next() != arch.split(':').next()) {
            return Err(hipErrorNoBinaryForGpu);
        }
        let handle = state.handle();
        // SAFETY: the caller's promise.
        unsafe { put(module, handle as hipModule_t) }?;
        state.modules.insert(handle, Module { image: image.into(), kernels });
        Ok(())
    }
    #[releases]
    fn hipModuleUnload(module: hipModule_t) |state| {
        state.run_all();
        state.modules.remove(&(module as usize)).ok_or(hipErrorInvalidHandle)?;
        state.functions.retain(|_, f| f.module != module as usize);
        state.interpreter.unloaded(module as usize);
        Ok(())
    }
    fn hipModuleGetFunction(function: *mut hipFunction_t, module: hipModule_t, name: *const c_char) |state| {
        // SAFETY: the caller's promise.
        let name = unsafe { CStr::from_ptr(name) }.to_str().map_err(|_| hipErrorNotFound)?;
        let m = state.modules.get(&(module as usize)).ok_or(hipErrorInvalidHandle)?;
        let kernel = match &m.kernels {
            None => Arc::new(Kernel { name: name.to_owned(), ..Kernel::default() }),
            Some(kernels) => kernels.iter().find(|k| k.name == name).ok_or(hipErrorNotFound)?.clone(),
        };
        let f = Function { module: module as usize, image: m.image.clone(), kernel };
        let handle = state.handle();
        state.functions.insert(handle, f);
        // SAFETY: the caller's promise.
        unsafe { put(function, handle as hipFunction_t) }
    }
    fn hipModuleLaunchKernel(
        f: hipFunction_t,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        lds: c_uint,
        stream: hipStream_t,
        params: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) |state| {
        let function = state.functions.get(&(f as usize)).ok_or(hipErrorInvalidHandle)?.clone();
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let threads = block.iter().map(|&n| u64::from(n)).product::<u64>();
        if grid.contains(&0) || threads == 0 || threads > MAX_THREADS || lds > 65536 || !extra.is_null() {
            return Err(hipErrorInvalidValue);
        }
        let mut args = vec![0u8; function.kernel.segment];
        for (i, &(offset, size)) in function.kernel.args.iter().enumerate() {
            let place = args.get_mut(offset..offset + size).ok_or(hipErrorInvalidValue)?;
            // SAFETY: the caller's promise: a pointer for each argument that the kernel has.
            let arg = unsafe { std::slice::from_raw_parts((*params.add(i)).cast::<u8>(), size) };
            place.copy_from_slice(arg);
        }
        state.start(stream as usize, Op::Launch(Arc::new(Done { function, grid, block, lds, args })))
    }
    fn hipStreamBeginCapture(stream: hipStream_t, _mode: hipStreamCaptureMode) |state| {
        let origin = stream as usize;
        let id = state.handle();
        let s = state.stream(origin)?;
        if s.capture.is_some() {
            return Err(hipErrorIllegalState);
        }
        s.capture = Some(id);
        let thread = std::thread::current().id();
        state.captures.insert(id, Capture { origin, thread, ops: Vec::new(), invalid: false });
        Ok(())
    }
    #[releases]
    fn hipStreamEndCapture(stream: hipStream_t, graph: *mut hipGraph_t) |state| {
        let id = state.stream(stream as usize)?.capture.ok_or(hipErrorIllegalState)?;
        let capture = state.captures.remove(&id).ok_or(hipErrorStreamCaptureInvalidated)?;
        state.streams.values_mut().filter(|s| s.capture == Some(id)).for_each(|s| s.capture = None);
        state.events.values_mut().filter(|e| e.capture == Some(id)).for_each(|e| e.capture = None);
        if capture.origin != stream as usize {
            return Err(hipErrorStreamCaptureUnmatched);
        }
        if capture.invalid {
            return Err(hipErrorStreamCaptureInvalidated);
        }
        let handle = state.handle();
        // SAFETY: the caller's promise.
        unsafe { put(graph, handle as hipGraph_t) }?;
        state.graphs.insert(handle, capture.ops.into());
        Ok(())
    }
    fn hipGraphInstantiate(
        exec: *mut hipGraphExec_t,
        graph: hipGraph_t,
        _node: *mut hipGraphNode_t,
        _log: *mut c_char,
        _len: usize,
    ) |state| {
        let ops = state.graphs.get(&(graph as usize)).ok_or(hipErrorInvalidHandle)?.clone();
        let handle = state.handle();
        // SAFETY: the caller's promise.
        unsafe { put(exec, handle as hipGraphExec_t) }?;
        state.execs.insert(handle, ops);
        Ok(())
    }
    fn hipGraphLaunch(exec: hipGraphExec_t, stream: hipStream_t) |state| {
        let ops = state.execs.get(&(exec as usize)).ok_or(hipErrorInvalidHandle)?.clone();
        state.start(stream as usize, Op::Graph(ops))
    }
    #[releases]
    fn hipGraphDestroy(graph: hipGraph_t) |state| {
        state.graphs.remove(&(graph as usize)).map(drop).ok_or(hipErrorInvalidHandle)
    }
    #[releases]
    fn hipGraphExecDestroy(exec: hipGraphExec_t) |state| {
        state.run_all();
        state.execs.remove(&(exec as usize)).map(drop).ok_or(hipErrorInvalidHandle)
    }
}

const VERSION: c_int = 60_342_131;
const MAX_THREADS: u64 = 1024;

/// # Safety
/// Room for the text and a NUL.
unsafe fn put_text(place: *mut c_char, text: &str) {
    // SAFETY: the caller's promise.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), place, text.len());
        place.add(text.len()).write(0);
    }
}

/// Fills in a struct of properties, with the name of the architecture at `at`.
///
/// # Safety
/// Room for `len` bytes.
unsafe fn properties(function: &str, p: *mut c_char, device: c_int, len: usize, at: usize) -> hipError_t {
    state::with(|state| {
        if let Some(code) = state.enter(function) {
            return code;
        }
        let Ok(device) = gpu(state, device) else { return hipErrorInvalidDevice };
        // SAFETY: the caller's promise.
        unsafe {
            p.write_bytes(0x33, len);
            put_text(p, &state.gpus[device].name);
            put_text(p.add(at), &format!("{}:sramecc-:xnack-", state.gpus[device].arch));
        }
        hipSuccess
    })
}

/// As in ROCm 5.
///
/// # Safety
/// As in HIP.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetDeviceProperties(p: *mut c_void, device: c_int) -> hipError_t {
    // SAFETY: the caller's promise.
    unsafe { properties("hipGetDeviceProperties", p.cast(), device, 792, 396) }
}

/// As in ROCm 6.
///
/// # Safety
/// As in HIP.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetDevicePropertiesR0600(p: *mut c_void, device: c_int) -> hipError_t {
    // SAFETY: the caller's promise.
    unsafe { properties("hipGetDevicePropertiesR0600", p.cast(), device, 1472, 1160) }
}

/// As in HIP, for the errors that there are here.
#[unsafe(no_mangle)]
pub extern "C" fn hipGetErrorName(code: hipError_t) -> *const c_char {
    state::with(|state| {
        if state.enter("hipGetErrorName").is_some() {
            return std::ptr::null();
        }
        let name = match code {
            hipErrorInvalidValue => c"hipErrorInvalidValue",
            hipErrorOutOfMemory => c"hipErrorOutOfMemory",
            hipErrorNoDevice => c"hipErrorNoDevice",
            hipErrorInvalidDevice => c"hipErrorInvalidDevice",
            hipErrorInvalidImage => c"hipErrorInvalidImage",
            hipErrorNoBinaryForGpu => c"hipErrorNoBinaryForGpu",
            hipErrorInvalidHandle => c"hipErrorInvalidHandle",
            hipErrorNotFound => c"hipErrorNotFound",
            hipErrorIllegalAddress => c"hipErrorIllegalAddress",
            hipErrorLaunchFailure => c"hipErrorLaunchFailure",
            hipErrorStreamCaptureUnsupported => c"hipErrorStreamCaptureUnsupported",
            hipErrorStreamCaptureInvalidated => c"hipErrorStreamCaptureInvalidated",
            _ => c"hipErrorOther",
        };
        name.as_ptr()
    })
}

/// As in HIP, but always the same words; of a launch that failed, those of the interpreter.
#[unsafe(no_mangle)]
pub extern "C" fn hipGetErrorString(code: hipError_t) -> *const c_char {
    state::with(|state| match (state.enter("hipGetErrorString"), &state.interpreter.failure) {
        (Some(_), _) => std::ptr::null(),
        (None, Some(words)) if code == hipErrorLaunchFailure => words.as_ptr(),
        (None, _) => c"the fake runtime says so".as_ptr(),
    })
}
