//! Status codes and messages.

use std::ffi::{CStr, c_char};

use super::ffi;

/// What became of a call. Numbers keep their meaning for ever; later versions add new ones, so a
/// program treats a status that it does not know as a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum rf_status {
    /// It was done.
    Ok = 0,
    /// An argument is outside of what its documentation allows.
    InvalidArgument = 1,
    /// A pointer that must not be NULL is.
    NullPointer = 2,
    /// The caller's buffer is too small; the length needed was given.
    BufferTooSmall = 3,
    /// There is no such key, index or name.
    NotFound = 4,
    /// Well-formed, but not something that this version or build can do.
    Unsupported = 5,
    /// The system refused to open, map or read a file.
    Io = 6,
    /// A file is damaged, or is not what it claims to be.
    Format = 7,
    /// The memory asked for cannot be had.
    OutOfMemory = 8,
    /// The batch holds as many tokens as it was made for.
    BatchFull = 9,
    /// The KV cache has no room for the batch. The context is as it was before the call.
    KvFull = 10,
    /// A callback asked to stop.
    Aborted = 11,
    /// A device or compute backend failed.
    Backend = 12,
    /// A defect of the library that it noticed itself.
    Internal = 13,
    /// A defect of the library: it panicked. The handle must be freed and not used otherwise.
    Panic = 14,
    /// An earlier call on this handle gave RF_STATUS_PANIC.
    Poisoned = 15,
    /// Another call is using the handle in a way that excludes this one.
    Busy = 16,
}

impl rf_status {
    const ALL: [(rf_status, &CStr); 17] = {
        use rf_status::*;
        [
            (Ok, c"ok"),
            (InvalidArgument, c"invalid argument"),
            (NullPointer, c"null pointer"),
            (BufferTooSmall, c"buffer too small"),
            (NotFound, c"not found"),
            (Unsupported, c"unsupported"),
            (Io, c"input/output error"),
            (Format, c"malformed file"),
            (OutOfMemory, c"out of memory"),
            (BatchFull, c"batch full"),
            (KvFull, c"KV cache full"),
            (Aborted, c"aborted"),
            (Backend, c"backend failure"),
            (Internal, c"internal error"),
            (Panic, c"panic"),
            (Poisoned, c"poisoned handle"),
            (Busy, c"handle in use"),
        ]
    };
}

/// A few words for a status, in static memory; "unknown status" for a number that is none. For
/// what went wrong in a call, see rf_last_error().
///
/// @param status An rf_status.
#[unsafe(no_mangle)]
pub extern "C" fn rf_status_string(status: i32) -> *const c_char {
    let known = rf_status::ALL.iter().find(|(s, _)| *s as i32 == status);
    known.map_or(c"unknown status", |(_, text)| *text).as_ptr()
}

/// Why the last call that failed on this thread failed: the function, the thing that was wrong and
/// what to do about it. UTF-8; empty if none has failed. Calls that succeed leave it as it is.
///
/// @return Memory of the library, valid until the next call on this thread. Never NULL. A program
///         that may change threads between a call and this one (Go, async runtimes) asks the
///         handle, with rf_model_last_error() and the like.
#[unsafe(no_mangle)]
pub extern "C" fn rf_last_error() -> *const c_char {
    ffi::last_error()
}
