//! Ctrl-C: the first asks the work under way to stop, the second ends the program.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, Outcome};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From here on an interrupt (or SIGTERM) is a request, which [`requested`] tells.
pub fn install() -> Outcome {
    let handler = || {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|e| Failure::Failed(format!("cannot handle Ctrl-C: {e}")))
}

/// Whether the program should stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// An error if the program should stop.
pub fn check() -> Outcome {
    if requested() { Err(Failure::Interrupted) } else { Ok(()) }
}
