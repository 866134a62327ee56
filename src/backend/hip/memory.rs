//! Memory that kernels and copies use: on the device, and pinned on the host.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use super::device::Device;
use super::ffi::runtime::*;
use super::runtime::call;
use crate::{Error, Result, counters};

/// A block of device memory, owned. It is not touched before something writes it.
pub struct Memory {
    device: Arc<Device>,
    ptr: *mut c_void,
    len: usize,
}

// SAFETY: an address of a device is nothing that a thread could misuse; the functions of the runtime
// may be called from any thread.
unsafe impl Send for Memory {}
// SAFETY: as above; a shared reference gives no access but the address.
unsafe impl Sync for Memory {}

impl Memory {
    /// `len` bytes, aligned for any access (256 bytes at least). `what` names them in the error.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] says what was wanted and what is free.
    pub fn new(device: &Arc<Device>, len: usize, what: &str) -> Result<Memory> {
        let mut ptr = std::ptr::null_mut();
        if len > 0 {
            let _current = device.current()?;
            counters::device_alloc(1);
            // SAFETY: room for an address.
            unsafe { call!(device.runtime, hipMalloc(&mut ptr, len)) }.map_err(|e| {
                let free = device.free_bytes().map_or("unknown".into(), |n| n.to_string());
                out_of(e, what, len, &format!("of device memory, {free} are free"))
            })?;
        }
        Ok(Memory { device: device.clone(), ptr, len })
    }

    /// The address of the first byte on the device; 0 if there are none.
    pub fn ptr(&self) -> u64 {
        self.ptr as u64
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if !self.ptr.is_null() {
            let _current = self.device.current();
            // SAFETY: allocated in `new`. The runtime waits for work that uses it. An error is that of
            // earlier work, which whoever waited for that has heard of.
            let _ = unsafe { self.device.runtime.api.hipFree(self.ptr) };
        }
    }
}

/// A block of host memory that stays in place, so that copies to and from a device run by
/// themselves. Zeroed.
pub struct Pinned {
    device: Arc<Device>,
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: `Pinned` owns its bytes as a `Vec<u8>` would.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// `len` bytes. `what` names them in the error.
    pub fn new(device: &Arc<Device>, len: usize, what: &str) -> Result<Pinned> {
        let mut ptr = NonNull::<u8>::dangling();
        if len > 0 {
            let _current = device.current()?;
            let mut p = std::ptr::null_mut();
            // SAFETY: room for an address.
            unsafe { call!(device.runtime, hipHostMalloc(&mut p, len, hipHostMallocDefault)) }
                .map_err(|e| out_of(e, what, len, "of pinned host memory (is `ulimit -l` too low?)"))?;
            let none = || Error::Backend(format!("hipHostMalloc gave nothing for {len} bytes of {what}"));
            ptr = NonNull::new(p.cast()).ok_or_else(none)?;
            // SAFETY: allocated just now, for `len` bytes.
            unsafe { ptr.as_ptr().write_bytes(0, len) };
        }
        Ok(Pinned { device: device.clone(), ptr, len })
    }

    /// The first byte.
    pub fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes. Whoever started a copy to them has waited for it.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: they are initialised and owned; copies that are under way are ruled out by the
        // contract of the functions that start them.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// The bytes. Whoever started a copy from or to them has waited for it.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.len > 0 {
            let _current = self.device.current();
            // SAFETY: allocated in `new`; otherwise as for `Memory`.
            let _ = unsafe { self.device.runtime.api.hipHostFree(self.ptr.as_ptr().cast()) };
        }
    }
}

/// The error of an allocation, which names what it was for if memory is what lacked.
fn out_of(e: Error, what: &str, len: usize, where_: &str) -> Error {
    match e {
        Error::OutOfMemory(m) => {
            Error::OutOfMemory(format!("no memory for {what}: wanted {len} bytes {where_}; {m}"))
        }
        e => e,
    }
}
