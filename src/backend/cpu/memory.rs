//! Zeroed memory that starts on a cache line. Large pieces come from the system as pages that
//! take no memory until they are touched.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use crate::{Error, Result};

/// A block of bytes, owned.
pub struct Memory {
    ptr: NonNull<u8>,
    layout: Layout,
    len: usize,
}

// SAFETY: `Memory` owns its bytes as a `Vec<u8>` would.
unsafe impl Send for Memory {}
// SAFETY: as above; a shared reference gives no access but the address.
unsafe impl Sync for Memory {}

impl Memory {
    /// `len` zeroed bytes. `what` names them in the error.
    pub fn new(len: usize, what: &str) -> Result<Memory> {
        let oom = || Error::OutOfMemory(format!("no memory for {what}: {len} bytes"));
        let layout = Layout::from_size_align(len.max(64), 64).map_err(|_| oom())?;
        // SAFETY: the size is not zero.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(oom)?;
        Ok(Memory { ptr, layout, len })
    }

    /// The first byte.
    pub fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_aligned_and_owned() {
        for len in [0, 1, 63, 64, 65, 100_000] {
            let memory = Memory::new(len, "a test").unwrap();
            assert_eq!((memory.len(), memory.as_ptr() as usize % 64), (len, 0));
            // SAFETY: `memory` owns `len` initialised bytes, and this is the only reference to them.
            let bytes = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), len) };
            assert!(bytes.iter().all(|&b| b == 0));
            bytes.fill(1);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "running out of memory ends the interpreter")]
    fn what_cannot_be_had_is_an_error_that_names_it() {
        for len in [usize::MAX, isize::MAX as usize, isize::MAX as usize - 64] {
            let e = Memory::new(len, "a test").err().expect("no machine has so much").to_string();
            assert!(e.contains("a test") && e.contains(&len.to_string()), "{e}");
        }
    }
}
