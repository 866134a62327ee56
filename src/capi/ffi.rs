//! What every function of the C ABI does the same way.
//!
//! A function names itself and its handle and gives a closure to one of [`call`] (no handle),
//! [`read`] (`const` handle) or [`write`] (exclusive handle). These check the handle, run the
//! closure where no panic can leave it, and record the outcome. The closure uses the helpers below
//! for its other arguments: each checks a pointer and gives a Rust value, or a [`Failure`].

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::mem::size_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::rf_status;
use crate::{Error, fault};

/// Why a call failed: what goes back to the caller.
pub(super) struct Failure {
    pub status: rf_status,
    pub message: String,
}

/// What the closures of this folder give.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub fn new(status: rf_status, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Failure {
        Self::new(rf_status::InvalidArgument, message)
    }

    fn null(what: &str) -> Failure {
        Self::new(rf_status::NullPointer, format!("{what} is NULL"))
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        let status = match &e {
            Error::Io { .. } => rf_status::Io,
            Error::Format(_) => rf_status::Format,
            Error::Unsupported(_) => rf_status::Unsupported,
            Error::InvalidArgument(_) => rf_status::InvalidArgument,
            Error::NotFound(_) => rf_status::NotFound,
            Error::OutOfMemory(_) => rf_status::OutOfMemory,
            Error::BatchFull(_) => rf_status::BatchFull,
            Error::KvFull(_) => rf_status::KvFull,
            Error::Aborted(_) => rf_status::Aborted,
            Error::Backend(_) => rf_status::Backend,
            Error::Internal(_) => rf_status::Internal,
        };
        Failure::new(status, e.to_string())
    }
}

thread_local! {
    /// The message of the last call on this thread that failed.
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// The message that `rf_last_error` gives; NULL while the thread is ending.
pub(super) fn last_error() -> *const c_char {
    LAST_ERROR.try_with(|e| e.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

// Handles.

/// An opaque type of the header. A pointer to it is a pointer to a [`Handle`] of its `Inner`.
///
/// # Safety
/// What the closures given to [`read`] and [`borrow`] do with a `&Inner` may be done on several threads
/// at the same time.
pub(super) unsafe trait Opaque {
    type Inner: Send;
    /// What messages call it.
    const NAME: &'static str;
}

/// What is behind every handle.
///
/// The lock is never waited for. It turns two uses that the thread rules forbid to overlap, on two
/// threads or from within a callback, into [`rf_status::Busy`] instead of a data race.
pub(super) struct Handle<T> {
    value: RwLock<T>,
    /// A call on this handle panicked, and may have left it half changed.
    poisoned: AtomicBool,
    last_error: Mutex<CString>,
}

impl<T> Handle<T> {
    pub fn new(value: T) -> Handle<T> {
        Handle { value: RwLock::new(value), poisoned: AtomicBool::new(false), last_error: Mutex::default() }
    }

    fn check(&self, name: &str) -> Outcome {
        match self.poisoned.load(Relaxed) {
            false => Ok(()),
            true => Err(Failure::new(
                rf_status::Poisoned,
                format!(
                    "an earlier call on this {name} met a defect of the library (a panic); free the {name}"
                ),
            )),
        }
    }

    fn shared(&self, name: &str) -> Outcome<RwLockReadGuard<'_, T>> {
        self.check(name)?;
        self.value.try_read().map_err(|_| busy(name))
    }

    fn exclusive(&self, name: &str) -> Outcome<RwLockWriteGuard<'_, T>> {
        self.check(name)?;
        self.value.try_write().map_err(|_| busy(name))
    }
}

fn busy(name: &str) -> Failure {
    let message = format!(
        "the {name} is in use by another call; calls that take it non-const must have it to themselves"
    );
    Failure::new(rf_status::Busy, message)
}

/// Borrows what `handle` points at.
///
/// # Safety
/// NULL, or a handle of its type that has not been freed and is not freed before `'a` ends.
unsafe fn deref<'a, H: Opaque>(handle: *const H) -> Outcome<&'a Handle<H::Inner>> {
    // SAFETY: handles are made by `into_raw` and by the borrowed parts of models only, which point
    // at a `Handle<H::Inner>`; the caller promises that it is alive.
    unsafe { handle.cast::<Handle<H::Inner>>().as_ref() }.ok_or_else(|| Failure::null(H::NAME))
}

/// A handle for `inner`, owned by whoever gets the pointer.
pub(super) fn into_raw<H: Opaque>(inner: H::Inner) -> *mut H {
    Box::into_raw(Box::new(Handle::new(inner))).cast()
}

/// The pointer under which a handle that lives inside another one is lent out.
pub(super) fn lend<H: Opaque>(handle: &Handle<H::Inner>) -> *const H {
    std::ptr::from_ref(handle).cast()
}

/// A second handle of a call, to read. The first is the one that [`read`] or [`write`] took.
///
/// # Safety
/// As [`deref`].
pub(super) unsafe fn borrow<'a, H: Opaque>(handle: *const H) -> Outcome<RwLockReadGuard<'a, H::Inner>>
where
    H::Inner: 'a,
{
    // SAFETY: the caller's promise.
    unsafe { deref(handle) }?.shared(H::NAME)
}

/// Takes a handle over from the caller, who may not use it again; not on failure.
///
/// # Safety
/// As [`deref`]; and the handle is not one that is lent.
pub(super) unsafe fn take<H: Opaque>(handle: *mut H) -> Outcome<H::Inner> {
    // SAFETY: the caller's promise. The guard ends before the box is made.
    drop(unsafe { deref(handle) }?.exclusive(H::NAME)?);
    // SAFETY: made by `into_raw`, and no call is using it.
    let owned = unsafe { Box::from_raw(handle.cast::<Handle<H::Inner>>()) };
    Ok(owned.value.into_inner().unwrap_or_else(PoisonError::into_inner))
}

// Calls.

fn run<T>(name: &'static str, f: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let guarded = AssertUnwindSafe(|| {
        fault::point(name);
        f()
    });
    catch_unwind(guarded).unwrap_or_else(|payload| {
        let message = format!("a defect of the library: panic: {}", describe(&*payload));
        // Dropping an unknown payload could panic again.
        std::mem::forget(payload);
        Err(Failure::new(rf_status::Panic, message))
    })
}

fn describe(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Records why a call failed: for the thread, and for the handle if there is one.
fn report<T>(name: &str, failure: Failure, handle: Option<&Handle<T>>) -> rf_status {
    let message = c_string(&format!("{name}: {}", failure.message));
    if let Some(handle) = handle {
        *handle.last_error.lock().unwrap_or_else(PoisonError::into_inner) = message.clone();
    }
    // A thread that is ending has nobody left to read it.
    let _ = LAST_ERROR.try_with(|e| e.replace(message));
    failure.status
}

/// A call on no handle: `f`, guarded.
pub(super) fn call(name: &'static str, f: impl FnOnce() -> Outcome) -> rf_status {
    match run(name, f) {
        Ok(()) => rf_status::Ok,
        Err(failure) => report::<()>(name, failure, None),
    }
}

/// A call that reads `handle`: any number at a time.
///
/// # Safety
/// As [`deref`], for the time of the call.
pub(super) unsafe fn read<H: Opaque>(
    name: &'static str,
    handle: *const H,
    f: impl FnOnce(&H::Inner) -> Outcome,
) -> rf_status {
    // SAFETY: the caller's promise.
    let handle = match unsafe { deref(handle) } {
        Ok(handle) => handle,
        Err(failure) => return report::<()>(name, failure, None),
    };
    finish(name, handle, handle.shared(H::NAME).and_then(|inner| run(name, || f(&inner))))
}

/// A call that has `handle` to itself.
///
/// # Safety
/// As [`deref`], for the time of the call.
pub(super) unsafe fn write<H: Opaque>(
    name: &'static str,
    handle: *mut H,
    f: impl FnOnce(&mut H::Inner) -> Outcome,
) -> rf_status {
    // SAFETY: the caller's promise.
    let handle = match unsafe { deref(handle) } {
        Ok(handle) => handle,
        Err(failure) => return report::<()>(name, failure, None),
    };
    finish(name, handle, handle.exclusive(H::NAME).and_then(|mut inner| run(name, || f(&mut inner))))
}

fn finish<T>(name: &str, handle: &Handle<T>, outcome: Outcome) -> rf_status {
    let Err(failure) = outcome else { return rf_status::Ok };
    if failure.status == rf_status::Panic {
        handle.poisoned.store(true, Relaxed);
    }
    report(name, failure, Some(handle))
}

/// Frees a handle; NULL is nothing to free. One that a call is using is left alone, with a message.
///
/// # Safety
/// As [`deref`]; the handle is not one that is lent, and is not used again.
pub(super) unsafe fn free<H: Opaque>(name: &'static str, handle: *mut H) {
    // SAFETY: the caller's promise.
    let Ok(inner) = (unsafe { deref(handle) }) else { return };
    call(name, || {
        // A poisoned handle can be freed, so `check` is left out.
        drop(inner.value.try_write().map_err(|_| busy(H::NAME))?);
        // SAFETY: made by `into_raw`, and no call is using it.
        drop(unsafe { Box::from_raw(handle.cast::<Handle<H::Inner>>()) });
        Ok(())
    });
}

/// The message of the last call on `handle` that failed, whatever state the handle is in.
///
/// # Safety
/// As [`deref`] and [`put_str`].
pub(super) unsafe fn handle_error<H: Opaque>(
    name: &'static str,
    handle: *const H,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    call(name, || {
        // SAFETY: the caller's promise.
        let handle = unsafe { deref(handle) }?;
        let message = handle.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // SAFETY: the caller's promise.
        unsafe { put_str(message.as_bytes(), buf, size, len) }
    })
}

// Arguments.

/// A place of the caller's for a result.
pub(super) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    pub fn set(&self, value: T) {
        // SAFETY: `out` was given a place for a `T` that stays for the call; it may be unaligned.
        unsafe { self.0.write_unaligned(value) };
    }
}

/// The place that `p` points at.
///
/// # Safety
/// NULL, or room for a `T` for the time of the call.
pub(super) unsafe fn out<T>(p: *mut T, what: &str) -> Outcome<Out<T>> {
    NonNull::new(p).map(Out).ok_or_else(|| Failure::null(what))
}

/// The place for a new handle, set to NULL for the case that none is made.
///
/// # Safety
/// As [`out`].
pub(super) unsafe fn out_handle<H>(p: *mut *mut H, what: &str) -> Outcome<Out<*mut H>> {
    // SAFETY: the caller's promise.
    let place = unsafe { out(p, what) }?;
    place.set(std::ptr::null_mut());
    Ok(place)
}

/// Elements in a row. NULL is an empty row.
///
/// # Safety
/// NULL, or `n` elements that do not change during the call.
pub(super) unsafe fn slice<'a, T>(p: *const T, n: usize, what: &str) -> Outcome<&'a [T]> {
    if n == 0 {
        return Ok(&[]);
    }
    if p.is_null() {
        return Err(Failure::null(what));
    }
    if n > isize::MAX as usize / size_of::<T>().max(1) || !p.is_aligned() {
        return Err(Failure::invalid(format!("{what}: {n} elements at {p:p} cannot be")));
    }
    // SAFETY: not NULL, aligned, of a size that can be; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(p, n) })
}

/// A string that ends in NUL.
///
/// # Safety
/// NULL, or such a string, which does not change during the call.
pub(super) unsafe fn c_str<'a>(p: *const c_char, what: &str) -> Outcome<&'a CStr> {
    if p.is_null() {
        return Err(Failure::null(what));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { CStr::from_ptr(p) })
}

/// A string that ends in NUL and is UTF-8.
///
/// # Safety
/// As [`c_str`].
pub(super) unsafe fn utf8<'a>(p: *const c_char, what: &str) -> Outcome<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { c_str(p, what) }?;
    bytes.to_str().map_err(|e| Failure::invalid(format!("{what} is not UTF-8: {e}")))
}

/// Writes `text` and a NUL to the caller's buffer, and its length without the NUL to `len`.
///
/// # Safety
/// `buf` is NULL or has room for `size` bytes, `len` is NULL or room for a length.
pub(super) unsafe fn put_str(text: &[u8], buf: *mut c_char, size: usize, len: *mut usize) -> Outcome {
    // SAFETY: the caller's promise.
    if !unsafe { fits(text.len(), 1, buf, size, len) }? {
        return Ok(());
    }
    // SAFETY: `fits` says that `buf` has room for the text and a NUL; text of ours and a buffer of
    // the caller's do not overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), buf.cast(), text.len());
        buf.add(text.len()).write(0);
    }
    Ok(())
}

/// Writes `items` to the caller's array, and their number to `len`.
///
/// # Safety
/// `buf` is NULL or has room for `size` elements, `len` is NULL or room for a length.
pub(super) unsafe fn put_slice<T: Copy>(items: &[T], buf: *mut T, size: usize, len: *mut usize) -> Outcome {
    // SAFETY: the caller's promise.
    if unsafe { fits(items.len(), 0, buf, size, len) }? {
        // SAFETY: `fits` says that there is room; as in `put_str`, the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(items.as_ptr(), buf, items.len()) };
    }
    Ok(())
}

/// Tells the caller the length `n` and whether to write, which a question for the length is not.
///
/// # Safety
/// `len` is NULL or room for a length.
pub(super) unsafe fn fits<T>(
    n: usize,
    end: usize,
    buf: *mut T,
    size: usize,
    len: *mut usize,
) -> Outcome<bool> {
    if let Some(len) = NonNull::new(len) {
        // SAFETY: the caller's promise.
        unsafe { len.write_unaligned(n) };
    }
    if buf.is_null() {
        return match (size, len.is_null()) {
            (0, false) => Ok(false),
            (0, true) => Err(Failure::null("the buffer and the place for its length")),
            _ => Err(Failure::null("the buffer")),
        };
    }
    if n + end > size {
        let message = format!("the buffer has room for {size} and {} are needed", n + end);
        return Err(Failure::new(rf_status::BufferTooSmall, message));
    }
    Ok(true)
}

// Structs that grow.

/// A struct that later versions of the library may append fields to.
///
/// # Safety
/// `repr(C)` with a `usize` first, which says how many bytes the caller's version has; valid
/// whatever its bytes are; without padding.
pub(super) unsafe trait Extensible: Copy {
    /// What messages call it.
    const NAME: &'static str;
    /// Its values before the caller changes any.
    fn defaults() -> Self;
}

/// Larger structs than this are taken for a `struct_size` that nobody set.
const MAX_STRUCT: usize = 4096;

fn check_struct<T: Extensible>(size: usize) -> Outcome<usize> {
    if size < size_of::<usize>() || size > MAX_STRUCT {
        let name = T::NAME;
        return Err(Failure::invalid(format!(
            "struct_size of {name} is {size}; set it to sizeof({name}), which {name}_init does for parameters"
        )));
    }
    Ok(size.min(size_of::<T>()))
}

/// Fills in the parameters of a caller whose struct has `size` bytes.
///
/// # Safety
/// `p` is NULL or has room for `size` bytes.
pub(super) unsafe fn init_struct<T: Extensible>(p: *mut T, size: usize) -> Outcome {
    // SAFETY: the caller's promise is for bytes; `out` checks no more than NULL.
    unsafe { out(p, "params") }?;
    // SAFETY: the caller's promise.
    unsafe { write_struct(T::defaults(), p, size) }
}

/// Writes `value` to a struct of the caller's that has `size` bytes, with zeros past its end.
///
/// # Safety
/// `p` has room for `size` bytes.
unsafe fn write_struct<T: Extensible>(value: T, p: *mut T, size: usize) -> Outcome {
    let known = check_struct::<T>(size)?;
    let to = p.cast::<u8>();
    // SAFETY: `known` bytes are within both structs, and `size` bytes within the caller's.
    unsafe {
        std::ptr::copy_nonoverlapping(std::ptr::from_ref(&value).cast::<u8>(), to, known);
        to.add(known).write_bytes(0, size - known);
        to.cast::<usize>().write_unaligned(size);
    }
    Ok(())
}

/// The parameters at `p`, defaults if NULL. Fields that the caller's struct lacks have their
/// defaults; fields that this library lacks must be zero.
///
/// # Safety
/// `p` is NULL or points at a struct of as many bytes as its first field says.
pub(super) unsafe fn params<T: Extensible>(p: *const T) -> Outcome<T> {
    let mut value = T::defaults();
    if p.is_null() {
        return Ok(value);
    }
    let from = p.cast::<u8>();
    // SAFETY: the caller's promise.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    let known = check_struct::<T>(size)?;
    // SAFETY: `known` bytes are within both structs; `T` is valid whatever its bytes.
    unsafe { std::ptr::copy_nonoverlapping(from, std::ptr::from_mut(&mut value).cast(), known) };
    // SAFETY: the caller's struct has `size` bytes.
    let tail = unsafe { std::slice::from_raw_parts(from.add(known), size - known) };
    if tail.iter().any(|&b| b != 0) {
        return Err(Failure::new(
            rf_status::Unsupported,
            format!(
                "{} has {size} bytes and sets some of those that this version ({known} bytes) does not know: \
                 the program needs a newer librocmforge",
                T::NAME
            ),
        ));
    }
    Ok(value)
}

/// Writes a result to a struct of the caller's, which says its size in its first field.
///
/// # Safety
/// `p` is NULL or points at a struct of as many bytes as its first field says.
pub(super) unsafe fn put_struct<T: Extensible>(value: T, p: *mut T) -> Outcome {
    if p.is_null() {
        return Err(Failure::null(T::NAME));
    }
    // SAFETY: the caller's promise.
    unsafe { write_struct(value, p, p.cast::<usize>().read_unaligned()) }
}

/// Checks the promise of [`Extensible`] that no byte of `$ty` is padding.
macro_rules! no_padding {
    ($ty:ident { $($field:ident: $field_ty:ty),+ $(,)? }) => {
        const _: () = {
            let fields = 0 $(+ { let _: fn($ty) -> $field_ty = |s| s.$field; size_of::<$field_ty>() })+;
            assert!(fields == size_of::<$ty>(), "padding would reach a newer library as garbage");
        };
    };
}
pub(super) use no_padding;

/// `bool` as callers in C and others pass it: not only 0 and 1 are defined.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Flag(u8);

impl Flag {
    /// Whether it is true.
    pub fn get(self) -> bool {
        self.0 != 0
    }
}

impl From<bool> for Flag {
    fn from(value: bool) -> Flag {
        Flag(value.into())
    }
}
