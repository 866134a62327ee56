//! What there is to compute on: the processor, and every GPU that the HIP runtime shows.

use super::{Backend, cpu};
use crate::{Error, Result};

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The processor and its memory.
    Cpu,
    /// A graphics processor with memory of its own.
    Gpu,
}

/// Something to compute on.
#[derive(Clone, Debug)]
pub struct Device {
    /// Short and unique: "cpu", "hip0".
    pub name: String,
    /// What it is, in words for a person.
    pub description: String,
    /// What it is.
    pub kind: Kind,
    /// Why it cannot be used, if it cannot.
    pub unusable: Option<String>,
    /// Its number for the HIP runtime.
    hip: Option<usize>,
}

impl Device {
    /// Its number among the GPUs; none for the CPU.
    pub fn index(&self) -> Option<usize> {
        self.hip
    }

    /// Bytes of its memory that are free now, and that there are. For the CPU, what the system could
    /// give without swapping.
    pub fn memory(&self) -> Result<(u64, u64)> {
        match self.hip {
            None => system_memory(),
            Some(index) => gpu_memory(index),
        }
    }
}

/// The processor.
pub fn cpu() -> Result<Device> {
    let cpu = cpu::Cpu::new()?;
    let (name, description) = (cpu.name().to_owned(), cpu.description());
    Ok(Device { name, description, kind: Kind::Cpu, unusable: None, hip: None })
}

/// Every GPU, those that cannot be used among them. The first call loads the HIP runtime.
///
/// # Errors
/// [`Error::Backend`] if there is none: it says what was looked for, and what to do.
pub fn gpus() -> Result<Vec<Device>> {
    #[cfg(unix)]
    return Ok(super::hip::device::devices()?.into_iter().map(gpu).collect());
    #[cfg(not(unix))]
    Err(Error::Unsupported("GPUs are used on Unix only".into()))
}

#[cfg(unix)]
fn gpu(info: super::hip::device::DeviceInfo) -> Device {
    let (major, minor, patch) = info.runtime_version;
    let description = match info.wave {
        0 => info.name,
        wave => format!(
            "{}, {}, {} compute units of wave{wave}, HIP {major}.{minor}.{patch}",
            info.name, info.arch, info.n_cu
        ),
    };
    let (name, hip) = (format!("hip{}", info.index), Some(info.index));
    Device { name, description, kind: Kind::Gpu, unusable: info.unusable, hip }
}

/// Bytes of the memory of GPU `index` that are free now, and that there are.
pub fn gpu_memory(index: usize) -> Result<(u64, u64)> {
    #[cfg(unix)]
    return super::hip::device::memory(index);
    #[cfg(not(unix))]
    Err(Error::Internal(format!("GPU {index} where there are none")))
}

/// Bytes of the system's memory that are available, and that there are.
fn system_memory() -> Result<(u64, u64)> {
    let path = "/proc/meminfo";
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path.as_ref(), e))?;
    let kib = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key));
        line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .ok_or_else(|| Error::Backend(format!("{path} has no {key}")))
    };
    Ok((kib("MemAvailable:")? * 1024, kib("MemTotal:")? * 1024))
}
