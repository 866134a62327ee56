//! Kernels by unit and name.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::device::Device;
use super::stream::{Function, Module};
use crate::{Error, Result};

/// The kernels of a device, loaded when first asked for.
pub struct Kernels {
    device: Arc<Device>,
    modules: Mutex<HashMap<String, Module>>,
}

impl Kernels {
    /// Nothing is loaded yet.
    pub fn new(device: Arc<Device>) -> Kernels {
        Kernels { device, modules: Mutex::default() }
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// The kernel `kernel` of `unit`.
    pub fn function(&self, unit: &str, kernel: &str) -> Result<Function> {
        let mut modules = self.modules.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(module) = modules.get(unit) {
            return module.function(kernel);
        }
        let folder = std::env::var_os("ROCMFORGE_KERNELS")
            .ok_or_else(|| Error::Backend("ROCMFORGE_KERNELS is not set".into()))?;
        let path = PathBuf::from(folder).join(format!("{unit}.{}.co", self.device.info().arch));
        let image = std::fs::read(&path).map_err(|e| Error::Backend(format!("{}: {e}", path.display())))?;
        let module = Module::load(&self.device, &image)?;
        modules.entry(unit.into()).or_insert(module).function(kernel)
    }
}
