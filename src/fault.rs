//! Panics on demand, for the tests that show that none leaves the library. Without the feature
//! `fault-injection` nothing here exists in the library but empty inlined calls.

#[cfg(feature = "fault-injection")]
mod on {
    use std::sync::{Mutex, PoisonError};

    static ARMED: Mutex<Option<String>> = Mutex::new(None);

    /// The next time that any thread passes the point called `name`, it panics, once. `None` calls
    /// this off. Gives the point that was armed and has not been passed.
    pub fn arm(name: Option<&str>) -> Option<String> {
        std::mem::replace(&mut *ARMED.lock().unwrap_or_else(PoisonError::into_inner), name.map(str::to_owned))
    }

    pub(crate) fn point(name: &str) {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        if armed.as_deref() == Some(name) {
            *armed = None;
            drop(armed);
            panic!("injected at {name}");
        }
    }
}

#[cfg(feature = "fault-injection")]
pub use on::arm;
#[cfg(feature = "fault-injection")]
pub(crate) use on::point;

/// A place where a test can make the library panic.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub(crate) fn point(_: &str) {}
