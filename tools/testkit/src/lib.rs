//! What the tests and benchmarks share: synthetic models ([`synth`]), the reference peer
//! ([`peer`]), the law that says what parity with it means ([`parity`]), a [`harness`] for tests that
//! may lack what they need, and a way to run them on the machine code of [`gfx1100`].
//!
//! Nothing of the library depends on this crate, and nothing here is shipped.

pub mod engine;
pub mod gfx1100;
pub mod harness;
pub mod limits;
pub mod ours;
pub mod parity;
pub mod peer;
pub mod reference;
pub mod rng;
pub mod synth;

use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Whether what takes long is to be done in fewer sizes: `ROCMFORGE_TEST_BRIEF=1`.
pub fn brief() -> bool {
    std::env::var("ROCMFORGE_TEST_BRIEF").is_ok_and(|v| v == "1")
}

/// A path for a file that a test makes, in `target/testkit` of the workspace.
///
/// # Panics
/// If the folder cannot be made.
pub fn scratch(name: &str) -> PathBuf {
    let dir = root().join("target/testkit");
    std::fs::create_dir_all(&dir).expect("target/testkit can be made");
    dir.join(name)
}
