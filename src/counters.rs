//! Process-wide counters that let tests prove the laws about work done once.
//!
//! They count events, never time, and cost one relaxed add. On the path of a token only copies to
//! and from a device and launches are counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A reading of every counter.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)+ }

        impl std::ops::Sub for Counters {
            type Output = Counters;

            /// What happened between two readings.
            fn sub(self, before: Counters) -> Counters {
                Counters { $($name: self.$name - before.$name,)+ }
            }
        }

        struct Cells { $($name: AtomicU64,)+ }
        static CELLS: Cells = Cells { $($name: AtomicU64::new(0),)+ };

        /// The counters now.
        pub fn read() -> Counters {
            Counters { $($name: CELLS.$name.load(Relaxed),)+ }
        }

        $(pub(crate) fn $name(n: u64) { CELLS.$name.fetch_add(n, Relaxed); })+
    };
}

counters! {
    /// Files opened and mapped by the GGUF reader (one per shard).
    file_open,
    /// GGUF headers parsed (one per shard).
    file_parse,
    /// Weights bound to a backend.
    weight_bind,
    /// Graphs built.
    graph_build,
    /// Graphs compiled by a backend.
    graph_compile,
    /// Blocks of device memory allocated.
    device_alloc,
    /// Graphs of device work captured.
    graph_capture,
    /// Kernels started on a device, those of replayed graphs among them.
    launch,
    /// Copies from host to device, those of replayed graphs among them.
    host_to_device,
    /// Copies from device to host, those of replayed graphs among them.
    device_to_host,
}
