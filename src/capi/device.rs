//! Devices: what a model can be computed on.

use std::ffi::c_char;

use once_cell::sync::OnceCell;

use super::ffi::{self, Failure, Handle, Opaque, lend, out, put_str};
use super::rf_status;
use crate::backend::devices::{self, Device, Kind};

/// Something to compute on. Devices are made by the library, live as long as the process and are
/// never freed. Any function may be called on one from any thread.
pub struct rf_device {
    _private: [u8; 0],
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
static GPUS: OnceCell<Vec<Handle<Device>>> = OnceCell::new();

/// The device of the processor.
pub(super) fn cpu() -> Result<*const rf_device, Failure> {
    Ok(lend(CPU.get_or_try_init(|| devices::cpu().map(Handle::new))?))
}

/// The device of a model that computes on `id`.
pub(super) fn of(id: crate::backend::Device) -> Result<*const rf_device, Failure> {
    let crate::backend::Device::Gpu(index) = id else { return cpu() };
    // All are listed, in the order of their numbers.
    let gone = || Failure::new(rf_status::NotFound, format!("GPU {index} is not there any more"));
    gpus()?.get(index).map(lend).ok_or_else(gone)
}

/// Those of the GPUs, as they were when there were any for the first time.
fn gpus() -> crate::Result<&'static [Handle<Device>]> {
    let found = || Ok(devices::gpus()?.into_iter().map(Handle::new).collect());
    GPUS.get_or_try_init(found).map(Vec::as_slice)
}

/// The number of devices. Device 0 is always the CPU; GPUs follow, those that cannot be used among
/// them: see rf_device_check(). The first call loads the HIP runtime if there is one. Where there is
/// none, or no GPU, the CPU is the only device, and rf_device_get() of device 1 tells why.
///
/// @param n_devices Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_device_count(n_devices: *mut usize) -> rf_status {
    ffi::call("rf_device_count", || {
        // SAFETY: room for a size, says the header.
        let n_devices = unsafe { out(n_devices, "n_devices") }?;
        n_devices.set(1 + gpus().map_or(0, <[_]>::len));
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
        if index == 0 {
            device.set(cpu()?);
            return Ok(());
        }
        let none = |why| Failure::new(rf_status::NotFound, format!("there is no device {index}: {why}"));
        let gpus = gpus().map_err(|e| none(format!("only the CPU, device 0, can be used: {e}")))?;
        let gpu = gpus.get(index - 1).ok_or_else(|| none(format!("the last one is {}", gpus.len())))?;
        device.set(lend(gpu));
        Ok(())
    })
}

/// Whether a device can be used. If it cannot, such as a GPU that there are no kernels for, gives
/// RF_STATUS_UNSUPPORTED, and rf_last_error() tells why.
///
/// @param device The device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_device_check(device: *const rf_device) -> rf_status {
    // SAFETY: a live device, says the header.
    unsafe {
        ffi::read("rf_device_check", device, |d| match &d.unusable {
            None => Ok(()),
            Some(why) => {
                let message = format!("{} cannot be used: {why}", d.name);
                Err(Failure::new(rf_status::Unsupported, message))
            }
        })
    }
}

/// The short name of a device: "cpu", "hip0".
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

/// What a device is, in words for a person: processor count and instruction set; or name, architecture,
/// compute units and version of the HIP runtime.
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
            out(r#type, "type")?.set(match d.kind {
                Kind::Cpu => rf_device_type::Cpu,
                Kind::Gpu => rf_device_type::Gpu,
            });
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
        ffi::read("rf_device_memory", device, |d| {
            let (free, total) = (out(free_bytes, "free_bytes")?, out(total_bytes, "total_bytes")?);
            let (now, all) = d.memory()?;
            free.set(now);
            total.set(all);
            Ok(())
        })
    }
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
