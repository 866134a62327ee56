//! Devices: what a model can be computed on.

use std::ffi::c_char;

use once_cell::sync::OnceCell;

use super::ffi::{self, Failure, Handle, Opaque, lend, out, put_str};
use super::rf_status;
use crate::backend::{Backend, cpu};

/// Something to compute on. Devices are made by the library, live as long as the process and are
/// never freed. Any function may be called on one from any thread.
pub struct rf_device {
    _private: [u8; 0],
}

pub(super) struct Device {
    name: &'static str,
    description: String,
    kind: rf_device_type,
}

// SAFETY: `Device` is Sync.
unsafe impl Opaque for rf_device {
    type Inner = Device;
    const NAME: &'static str = "device";
}

/// What a device is.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum rf_device_type {
    /// The processor and its memory.
    Cpu = 0,
    /// A graphics processor with memory of its own.
    Gpu = 1,
}

static CPU: OnceCell<Handle<Device>> = OnceCell::new();

/// The device of the processor.
pub(super) fn cpu() -> Result<*const rf_device, Failure> {
    let device = CPU.get_or_try_init(|| {
        let cpu = cpu::Cpu::new()?;
        let (name, description) = (cpu.name(), cpu.description());
        Ok::<_, Failure>(Handle::new(Device { name, description, kind: rf_device_type::Cpu }))
    })?;
    Ok(lend(device))
}

/// The number of devices. Device 0 is always the CPU.
///
/// @param n_devices Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_device_count(n_devices: *mut usize) -> rf_status {
    ffi::call("rf_device_count", || {
        // SAFETY: room for a size, says the header.
        unsafe { out(n_devices, "n_devices") }?.set(1);
        Ok(())
    })
}

/// A device by its number.
///
/// @param index  0 to rf_device_count() - 1; RF_STATUS_NOT_FOUND otherwise.
/// @param device Receives the device, which is not to be freed; NULL on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_device_get(index: usize, device: *mut *const rf_device) -> rf_status {
    ffi::call("rf_device_get", || {
        // SAFETY: room for a pointer, says the header.
        let device = unsafe { out(device, "device") }?;
        device.set(std::ptr::null());
        if index > 0 {
            let message = format!("there is no device {index}: this build knows the CPU only, device 0");
            return Err(Failure::new(rf_status::NotFound, message));
        }
        device.set(cpu()?);
        Ok(())
    })
}

/// The short name of a device: "cpu".
///
/// @param device The device.
/// @param buf    Buffer for the name, or NULL to ask for its length.
/// @param size   Bytes of the buffer.
/// @param len    Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_device_name(
    device: *const rf_device,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live device and a buffer of `size` bytes, says the header.
    unsafe { ffi::read("rf_device_name", device, |d| put_str(d.name.as_bytes(), buf, size, len)) }
}

/// What a device is, in words for a person: processor count and instruction set.
///
/// @param device The device.
/// @param buf    Buffer for the text, or NULL to ask for its length.
/// @param size   Bytes of the buffer.
/// @param len    Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_device_description(
    device: *const rf_device,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live device and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_device_description", device, |d| put_str(d.description.as_bytes(), buf, size, len))
    }
}

/// The type of a device.
///
/// @param device The device.
/// @param type   Receives the type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_device_get_type(
    device: *const rf_device,
    r#type: *mut rf_device_type,
) -> rf_status {
    // SAFETY: a live device and room for the type, says the header.
    unsafe {
        ffi::read("rf_device_get_type", device, |d| {
            out(r#type, "type")?.set(d.kind);
            Ok(())
        })
    }
}

/// The memory of a device, in bytes: what is free now and what there is. For the CPU, what the
/// system could give without swapping.
///
/// @param device The device.
/// @param free_bytes  Receives the free memory.
/// @param total_bytes Receives the total.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_device_memory(
    device: *const rf_device,
    free_bytes: *mut u64,
    total_bytes: *mut u64,
) -> rf_status {
    // SAFETY: a live device and room for two numbers, says the header.
    unsafe {
        ffi::read("rf_device_memory", device, |_| {
            let (free, total) = (out(free_bytes, "free_bytes")?, out(total_bytes, "total_bytes")?);
            let (now, all) = system_memory()?;
            free.set(now);
            total.set(all);
            Ok(())
        })
    }
}

/// Bytes of memory that are available, and that there are.
fn system_memory() -> Result<(u64, u64), Failure> {
    let path = "/proc/meminfo";
    let text = std::fs::read_to_string(path).map_err(|e| crate::Error::io(path.as_ref(), e))?;
    let kib = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key));
        line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .ok_or_else(|| Failure::new(rf_status::Backend, format!("{path} has no {key}")))
    };
    Ok((kib("MemAvailable:")? * 1024, kib("MemTotal:")? * 1024))
}

/// Why the last call on this device that failed failed; empty if none did.
///
/// @param device The device.
/// @param buf    Buffer for the message, or NULL to ask for its length.
/// @param size   Bytes of the buffer.
/// @param len    Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_device_last_error(
    device: *const rf_device,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live device and a buffer of `size` bytes, says the header.
    unsafe { ffi::handle_error("rf_device_last_error", device, buf, size, len) }
}
