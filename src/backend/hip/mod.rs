//! AMD GPUs through the HIP runtime, which is loaded at run time: no part of ROCm is needed to build,
//! link or load the library.
//!
//! It owns what the runtime gives: the device, its memory, its streams, the kernels on it. It knows
//! graphs and buffers, not models: nothing here reads metadata or names a weight. `unsafe` calls into
//! the runtime stay in the files below; each turns a failure into an error that names the call.
//!
//! - [`runtime`] finds the library and names its errors; [`ffi`] is its table of functions.
//! - [`device`] tells which GPUs there are.
//! - [`memory`] is memory on the device, and pinned memory of the host.
//! - [`stream`] is work: launches, copies, events, and graphs that are recorded once and replayed.
//! - [`upload`] brings the weights from their file to the device.
//! - [`module`] finds the kernels' code: in a folder, in the library, or compiled from the sources in it by
//!   [`rtc`], the compiler that comes with the runtime. [`units`] is what there is.

mod args;
pub mod device;
#[doc(hidden)]
pub mod ffi;
mod fuse;
mod lower;
pub mod memory;
pub mod module;
pub mod rtc;
pub mod runtime;
mod session;
pub mod stream;
pub mod units;
pub mod upload;
mod weights;

use std::sync::Arc;

use super::{Backend, Session, SessionSpec, Weights};
use crate::gguf::File;
use crate::graph::WeightId;
use crate::{Error, Result};
use device::Device;
use module::Kernels;
use weights::HipWeights;

/// For tests: bytes of the arguments that a kernel of a unit is launched with.
#[doc(hidden)]
pub fn argument_bytes(unit: &str, kernel: &str) -> Option<usize> {
    args::bytes_of(unit, kernel)
}

/// A GPU.
pub struct Hip {
    device: Arc<Device>,
    kernels: Arc<Kernels>,
}

impl Hip {
    /// The GPU with this number.
    ///
    /// # Errors
    /// If it cannot be used, or there are no kernels for it.
    pub fn open(index: usize) -> Result<Hip> {
        let device = Device::open(index)?;
        let kernels = Arc::new(Kernels::new(device.clone()));
        // If there is one kernel, there are others; better to hear now that there are none.
        kernels.function("elementwise", "add")?;
        Ok(Hip { device, kernels })
    }
}

impl Backend for Hip {
    fn name(&self) -> &'static str {
        "hip"
    }

    fn description(&self) -> String {
        let info = self.device.info();
        format!("{} ({})", info.name, info.arch)
    }

    fn bind(
        &self,
        file: &Arc<File>,
        weights: &[WeightId],
        _copy: bool,
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Arc<dyn Weights>> {
        Ok(Arc::new(HipWeights::load(&self.device, &self.kernels, file, weights, progress)?))
    }

    fn session(&self, weights: &Arc<dyn Weights>, spec: &SessionSpec) -> Result<Box<dyn Session>> {
        let weights = weights
            .clone()
            .as_any()
            .downcast::<HipWeights>()
            .map_err(|_| Error::Internal("the weights are not bound to a GPU".into()))?;
        Ok(Box::new(session::HipSession::new(weights, spec)?))
    }
}
