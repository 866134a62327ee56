//! The functions of hipRTC. What is compiled are the options and the source with its headers, as text that
//! the fake runtime takes for a module; a source with `#error` in it does not compile.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int};
use std::sync::{Mutex, PoisonError};

use crate::ffi::rtc::*;
use crate::state;

#[derive(Default)]
struct Program {
    source: String,
    code: String,
    log: String,
}

static PROGRAMS: Mutex<Option<HashMap<usize, Program>>> = Mutex::new(None);

fn with(
    function: &str,
    program: hiprtcProgram,
    f: impl FnOnce(&mut Program) -> hiprtcResult,
) -> hiprtcResult {
    if let Some(code) = state::with(|s| s.enter(function)) {
        return code;
    }
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    let program = programs.as_mut().and_then(|p| p.get_mut(&(program as usize)));
    program.map_or(HIPRTC_ERROR_INVALID_PROGRAM, f)
}

/// Programs that were made and not destroyed.
pub fn live() -> usize {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, HashMap::len)
}

/// # Safety
/// As in hipRTC.
unsafe fn text(p: *const c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
}

/// # Safety
/// Room for the text and a NUL.
unsafe fn put(place: *mut c_char, text: &str) {
    // SAFETY: the caller's promise.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), place, text.len());
        place.add(text.len()).write(0);
    }
}

/// As in hipRTC.
#[unsafe(no_mangle)]
pub extern "C" fn hiprtcGetErrorString(result: hiprtcResult) -> *const c_char {
    if state::with(|s| s.enter("hiprtcGetErrorString")).is_some() {
        return std::ptr::null();
    }
    match result {
        HIPRTC_ERROR_COMPILATION => c"HIPRTC_ERROR_COMPILATION",
        HIPRTC_ERROR_INVALID_PROGRAM => c"HIPRTC_ERROR_INVALID_PROGRAM",
        _ => c"HIPRTC_ERROR_OTHER",
    }
    .as_ptr()
}

/// As in hipRTC.
///
/// # Safety
/// As in hipRTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcVersion(major: *mut c_int, minor: *mut c_int) -> hiprtcResult {
    if let Some(code) = state::with(|s| s.enter("hiprtcVersion")) {
        return code;
    }
    // SAFETY: the caller's promise.
    unsafe {
        major.write(9);
        minor.write(0);
    }
    HIPRTC_SUCCESS
}

/// As in hipRTC.
///
/// # Safety
/// As in hipRTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcCreateProgram(
    program: *mut hiprtcProgram,
    source: *const c_char,
    _name: *const c_char,
    n_headers: c_int,
    headers: *mut *const c_char,
    names: *mut *const c_char,
) -> hiprtcResult {
    let handle = state::with(|s| match s.enter("hiprtcCreateProgram") {
        Some(code) => Err(code),
        None => Ok(s.handle()),
    });
    let handle = match handle {
        Ok(handle) => handle,
        Err(code) => return code,
    };
    // SAFETY: the caller's promise.
    let mut source = unsafe { text(source) };
    for i in 0..n_headers as usize {
        // SAFETY: the caller's promise.
        let (name, header) = unsafe { (text(*names.add(i)), text(*headers.add(i))) };
        source += &format!("\n// {name}\n{header}");
    }
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    programs.get_or_insert_default().insert(handle, Program { source, ..Program::default() });
    // SAFETY: the caller's promise.
    unsafe { program.write(handle as hiprtcProgram) };
    HIPRTC_SUCCESS
}

/// As in hipRTC.
///
/// # Safety
/// As in hipRTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcDestroyProgram(program: *mut hiprtcProgram) -> hiprtcResult {
    let fault = state::with(|s| s.enter("hiprtcDestroyProgram"));
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the caller's promise.
    let handle = unsafe { program.replace(std::ptr::null_mut()) } as usize;
    let found = programs.as_mut().and_then(|p| p.remove(&handle));
    fault.unwrap_or(if found.is_some() { HIPRTC_SUCCESS } else { HIPRTC_ERROR_INVALID_PROGRAM })
}

/// As in hipRTC.
///
/// # Safety
/// As in hipRTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcCompileProgram(
    program: hiprtcProgram,
    n: c_int,
    options: *mut *const c_char,
) -> hiprtcResult {
    with("hiprtcCompileProgram", program, |p| {
        // SAFETY: the caller's promise.
        let options: Vec<_> = (0..n as usize).map(|i| unsafe { text(*options.add(i)) }).collect();
        if p.source.contains("#error") {
            p.log = "1:1: error: #error in the source\n".into();
            return HIPRTC_ERROR_COMPILATION;
        }
        p.code = format!("FAKE\noptions {}\n{}", options.join(" "), p.source);
        HIPRTC_SUCCESS
    })
}

/// As in hipRTC.
///
/// # Safety
/// As in hipRTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcGetProgramLogSize(program: hiprtcProgram, len: *mut usize) -> hiprtcResult {
    with("hiprtcGetProgramLogSize", program, |p| {
        // SAFETY: the caller's promise.
        unsafe { len.write(p.log.len() + 1) };
        HIPRTC_SUCCESS
    })
}

/// As in hipRTC.
///
/// # Safety
/// As in hipRTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcGetProgramLog(program: hiprtcProgram, log: *mut c_char) -> hiprtcResult {
    with("hiprtcGetProgramLog", program, |p| {
        // SAFETY: the caller's promise.
        unsafe { put(log, &p.log) };
        HIPRTC_SUCCESS
    })
}

/// As in hipRTC.
///
/// # Safety
/// As in hipRTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcGetCodeSize(program: hiprtcProgram, len: *mut usize) -> hiprtcResult {
    with("hiprtcGetCodeSize", program, |p| {
        // SAFETY: the caller's promise.
        unsafe { len.write(p.code.len() + 1) };
        HIPRTC_SUCCESS
    })
}

/// As in hipRTC.
///
/// # Safety
/// As in hipRTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcGetCode(program: hiprtcProgram, code: *mut c_char) -> hiprtcResult {
    with("hiprtcGetCode", program, |p| {
        // SAFETY: the caller's promise.
        unsafe { put(code, &p.code) };
        HIPRTC_SUCCESS
    })
}

/// Every function here has the type that librocmforge's table gives it.
#[allow(dead_code)]
fn typed(table: &HipRtc) {
    fn same<T>(_: T, _: T) {}
    same(table.hiprtcGetErrorString, hiprtcGetErrorString as unsafe extern "C" fn(_) -> _);
    same(table.hiprtcVersion, hiprtcVersion);
    same(table.hiprtcCreateProgram, hiprtcCreateProgram);
    same(table.hiprtcDestroyProgram, hiprtcDestroyProgram);
    same(table.hiprtcCompileProgram, hiprtcCompileProgram);
    same(table.hiprtcGetProgramLogSize, hiprtcGetProgramLogSize);
    same(table.hiprtcGetProgramLog, hiprtcGetProgramLog);
    same(table.hiprtcGetCodeSize, hiprtcGetCodeSize);
    same(table.hiprtcGetCode, hiprtcGetCode);
}
