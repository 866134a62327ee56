//! GPUs: which there are, what they can do, and the current one of a thread.

use std::ffi::{CStr, c_int, c_void};
use std::sync::Arc;

use super::ffi::runtime::*;
use super::runtime::{Runtime, call};
use super::units::TARGETS;
use crate::{Error, Result};

/// What is known of a GPU, read when it was asked for.
#[derive(Clone, Debug, Default)]
pub struct DeviceInfo {
    /// Its number for the runtime, from 0.
    pub index: usize,
    /// Its name for a person: "AMD Radeon RX 7900 XT".
    pub name: String,
    /// Its architecture for a compiler: "gfx1100".
    pub arch: String,
    /// Bytes of its memory.
    pub total_bytes: u64,
    /// Bytes of them that are free.
    pub free_bytes: u64,
    /// Lanes of a wave: 32 or 64.
    pub wave: u32,
    /// Compute units, as the runtime counts them (on RDNA, workgroup processors).
    pub n_cu: u32,
    /// Bytes of LDS that a workgroup may have.
    pub lds_bytes: u32,
    /// Version of the HIP runtime: major, minor, patch.
    pub runtime_version: (u32, u32, u32),
    /// Why it cannot be used, if it cannot.
    pub unusable: Option<String>,
}

/// Every GPU that the runtime shows, those that cannot be used among them.
///
/// # Errors
/// [`Error::Backend`] if there is no runtime, or it finds no GPU: the message says what to do.
pub fn devices() -> Result<Vec<DeviceInfo>> {
    let runtime = Runtime::get()?;
    let info = |index| {
        read(runtime, index).unwrap_or_else(|e| DeviceInfo {
            index,
            name: "unknown".into(),
            unusable: Some(e.to_string()),
            ..DeviceInfo::default()
        })
    };
    Ok((0..count(runtime)?).map(info).collect())
}

/// Bytes of the memory of GPU `index` that are free now, and that there are.
pub fn memory(index: usize) -> Result<(u64, u64)> {
    let runtime = Runtime::get()?;
    runtime.init()?;
    let _current = Current::set(runtime, number(index)?)?;
    memory_now(runtime)
}

/// The same of the current device.
fn memory_now(runtime: &Runtime) -> Result<(u64, u64)> {
    let (mut free, mut total) = (0, 0);
    // SAFETY: room for two sizes.
    unsafe { call!(runtime, hipMemGetInfo(&mut free, &mut total)) }?;
    Ok((free as u64, total as u64))
}

/// `index` as the runtime writes it.
fn number(index: usize) -> Result<c_int> {
    c_int::try_from(index).map_err(|_| Error::NotFound(format!("there is no GPU {index}")))
}

/// How many GPUs there are, one at least.
fn count(runtime: &Runtime) -> Result<usize> {
    runtime.init()?;
    let mut n = 0;
    // SAFETY: room for a number.
    unsafe { call!(runtime, hipGetDeviceCount(&mut n)) }?;
    match usize::try_from(n) {
        Ok(n) if n > 0 => Ok(n),
        _ => runtime.check("hipGetDeviceCount", hipErrorNoDevice).map(|()| 0),
    }
}

/// Asks the runtime about GPU `index`.
fn read(runtime: &'static Runtime, index: usize) -> Result<DeviceInfo> {
    let device = number(index)?;
    let _current = Current::set(runtime, device)?;
    let attribute = |which| {
        let mut value = 0;
        // SAFETY: room for a number.
        unsafe { call!(runtime, hipDeviceGetAttribute(&mut value, which, device)) }?;
        u32::try_from(value).map_err(|_| {
            Error::Backend(format!("hipDeviceGetAttribute: attribute {which} of GPU {index} is {value}"))
        })
    };
    let mut name = [0u8; 256];
    // SAFETY: room for one less than the bytes that there are, so that a NUL follows in any case.
    unsafe { call!(runtime, hipDeviceGetName(name.as_mut_ptr().cast(), name.len() as c_int - 1, device)) }?;
    let name = until_nul(&name);
    let (free_bytes, total_bytes) = memory_now(runtime)?;
    let arch = arch(runtime, device)?;
    let unusable = (!is_known(&arch)).then(|| {
        let known = TARGETS.join(", ");
        if arch.is_empty() {
            "the HIP runtime does not say which architecture it has".to_owned()
        } else {
            format!("there are no kernels for its architecture, {arch}, but for {known}")
        }
    });
    Ok(DeviceInfo {
        index,
        name,
        arch,
        total_bytes,
        free_bytes,
        wave: attribute(hipDeviceAttributeWarpSize)?,
        n_cu: attribute(hipDeviceAttributeMultiprocessorCount)?,
        lds_bytes: attribute(hipDeviceAttributeMaxSharedMemoryPerBlock)?,
        runtime_version: runtime.version()?,
        unusable,
    })
}

fn is_known(arch: &str) -> bool {
    // What a stand-in for the runtime calls an NVIDIA GPU.
    TARGETS.contains(&arch) || arch.starts_with("sm_")
}

/// A function that fills in the properties of a device, a struct of bytes here.
type PropertiesFn = unsafe extern "C" fn(*mut c_void, c_int) -> hipError_t;

/// A version of that function.
#[derive(Clone, Copy)]
pub(super) struct Properties {
    name: &'static str,
    function: PropertiesFn,
    /// Where the name of the architecture stands in the struct.
    arch: usize,
}

/// The versions, the newest first: ROCm 6 changed the struct and gave it a symbol of its own; the
/// plain symbol keeps the struct of ROCm 5, whatever the headers make of its name.
const PROPERTIES: [(&str, usize); 2] =
    [("hipGetDevicePropertiesR0600", 1160), ("hipGetDeviceProperties", 396)];

/// Bytes for the properties: more than any version has.
const PROPERTIES_BYTES: usize = 16384;
/// Bytes of the architecture's name in them.
const ARCH_BYTES: usize = 256;

impl Properties {
    /// The newest version that `library` has.
    pub fn find(library: &libloading::Library) -> Option<Properties> {
        PROPERTIES.into_iter().find_map(|(name, arch)| {
            // SAFETY: it has this type in every version, the struct taken for bytes.
            let function = unsafe { library.get::<PropertiesFn>(name.as_bytes()) }.ok()?;
            Some(Properties { name, function: *function, arch })
        })
    }
}

/// The name of an architecture without its features; empty where the runtime gives none.
fn arch(runtime: &Runtime, device: c_int) -> Result<String> {
    let Some(Properties { name, function, arch }) = runtime.properties else { return Ok(String::new()) };
    let mut properties = vec![0u64; PROPERTIES_BYTES / size_of::<u64>()];
    // SAFETY: room for the properties, aligned.
    runtime.check(name, unsafe { function(properties.as_mut_ptr().cast(), device) })?;
    let bytes: &[u8] = bytemuck::cast_slice(&properties);
    let name = until_nul(&bytes[arch..arch + ARCH_BYTES]);
    let name = name.split(':').next().unwrap_or_default();
    // Anything else means another layout than was thought.
    let is_name = ["gfx", "sm_"].iter().any(|p| {
        name.strip_prefix(p).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric()))
    });
    Ok(if is_name { name.to_owned() } else { String::new() })
}

fn until_nul(bytes: &[u8]) -> String {
    CStr::from_bytes_until_nul(bytes).map_or(String::new(), |s| s.to_string_lossy().into_owned())
}

/// A GPU that can be used.
pub struct Device {
    pub(super) runtime: &'static Runtime,
    info: DeviceInfo,
}

impl Device {
    /// The GPU with this number.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; [`Error::Unsupported`] if it cannot be used, with the
    /// reason; [`Error::Backend`] if the runtime is missing or fails.
    pub fn open(index: usize) -> Result<Arc<Device>> {
        let runtime = Runtime::get()?;
        let n = count(runtime)?;
        if index >= n {
            return Err(Error::NotFound(format!(
                "there is no GPU {index}: the HIP runtime shows {n}, from 0"
            )));
        }
        let info = read(runtime, index)?;
        match &info.unusable {
            None => Ok(Arc::new(Device { runtime, info })),
            Some(why) => {
                Err(Error::Unsupported(format!("GPU {index} ({}) cannot be used: {why}", info.name)))
            }
        }
    }

    /// What is known of it, as of when it was opened.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Bytes of its memory that are free now.
    pub fn free_bytes(&self) -> Result<u64> {
        let _current = self.current()?;
        Ok(memory_now(self.runtime)?.0)
    }

    /// Makes it the current device of this thread until what is given is dropped.
    pub(super) fn current(&self) -> Result<Current> {
        Current::set(self.runtime, self.info.index as c_int)
    }
}

/// Has made a device the current one of its thread, and gives it back the one that it had: the
/// thread belongs to a program that may use HIP itself.
pub(super) struct Current {
    runtime: &'static Runtime,
    previous: Option<c_int>,
    /// Not to be sent to another thread.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Current {
    fn set(runtime: &'static Runtime, device: c_int) -> Result<Current> {
        let mut now = 0;
        // SAFETY: room for a number.
        unsafe { call!(runtime, hipGetDevice(&mut now)) }?;
        if now != device {
            // SAFETY: a number that is no device is an error.
            unsafe { call!(runtime, hipSetDevice(device)) }?;
        }
        Ok(Current { runtime, previous: (now != device).then_some(now), _thread: std::marker::PhantomData })
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        if let Some(previous) = self.previous {
            // SAFETY: it was the current device. If it cannot be any more, its own calls will say so.
            let _ = unsafe { self.runtime.api.hipSetDevice(previous) };
        }
    }
}
