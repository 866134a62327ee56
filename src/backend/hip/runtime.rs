//! The HIP runtime, loaded at run time: where it is looked for, its table of functions, and what
//! its errors mean.

use std::ffi::{CStr, c_char};
use std::path::PathBuf;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::device::Properties;
use super::ffi::runtime::*;
use crate::{Error, Result};

/// Names the file of the HIP runtime, in place of those looked for otherwise.
pub const LIBRARY_VARIABLE: &str = "ROCMFORGE_HIP_LIBRARY";

/// Major versions of ROCm that have been checked, the newest first.
const MAJORS: [u32; 3] = [7, 6, 5];

/// The HIP runtime of this process. It is never unloaded: its threads and its thread-local values
/// are code of the library.
pub struct Runtime {
    pub(super) api: Hip,
    /// How the library was found.
    library: String,
    pub(super) properties: Option<Properties>,
}

/// Calls a function of the runtime: `call!(runtime, hipFree(ptr))` is a [`Result`] whose error names
/// the function. It is as unsafe as the function.
macro_rules! call {
    ($runtime:expr, $function:ident($($arg:expr),* $(,)?)) => {
        $runtime.check(stringify!($function), $runtime.api.$function($($arg),*))
    };
}
pub(super) use call;

impl Runtime {
    /// The runtime, loaded by the first call.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none that can be used: it says which libraries were looked for
    /// and what was wrong with each. Later calls give the same error.
    pub fn get() -> Result<&'static Runtime> {
        static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
        RUNTIME.get_or_init(Runtime::load).as_ref().map_err(|why| Error::Backend(why.clone()))
    }

    fn load() -> Result<Runtime, String> {
        load_first("libamdhip64", LIBRARY_VARIABLE, "the HIP runtime", |library, name| {
            let properties = Properties::find(&library);
            // SAFETY: the functions have the types of the headers, which every version since ROCm 5
            // has kept: those that changed got new names.
            let api = unsafe { Hip::from_library(library) }?;
            Ok(Runtime { api, library: name.to_owned(), properties })
        })
    }

    /// How the library was found: its name, or its path.
    pub fn library(&self) -> &str {
        &self.library
    }

    /// Makes the runtime ready for calls; costs nothing when it is.
    pub(super) fn init(&self) -> Result<()> {
        // SAFETY: the function has no conditions.
        unsafe { call!(self, hipInit(0)) }
    }

    /// Version of the runtime: major, minor, patch.
    pub fn version(&self) -> Result<(u32, u32, u32)> {
        let mut n = 0;
        // SAFETY: room for a number.
        unsafe { call!(self, hipRuntimeGetVersion(&mut n)) }?;
        let n = n.unsigned_abs();
        Ok((n / 10_000_000, n / 100_000 % 100, n % 100_000))
    }

    /// `code` as a result: an error names the function that gave it.
    pub(super) fn check(&self, function: &str, code: hipError_t) -> Result<()> {
        if code == hipSuccess {
            return Ok(());
        }
        // SAFETY: both give a text in static memory, or NULL, for every number.
        let (name, text) =
            unsafe { (text(self.api.hipGetErrorName(code)), text(self.api.hipGetErrorString(code))) };
        let mut message = format!("{function}: {name} ({code})");
        // Some versions have no other words than the name, and what to do is not known of every error.
        for part in [if text == name { "" } else { &text }, advice(code)] {
            if !part.is_empty() {
                message = format!("{message}: {part}");
            }
        }
        Err(if code == hipErrorOutOfMemory { Error::OutOfMemory(message) } else { Error::Backend(message) })
    }
}

/// What to do about an error, where that is known.
#[allow(non_upper_case_globals, reason = "the names of the header")]
fn advice(code: hipError_t) -> &'static str {
    match code {
        hipErrorOutOfMemory => "put fewer layers on the GPU, use a smaller context, or free memory there",
        // Devices have been counted before one is named, so these too mean that there is none.
        hipErrorNoDevice | hipErrorInvalidDevice | hipErrorNotInitialized => {
            "is there an AMD GPU, is the amdgpu driver loaded, and may this user open /dev/kfd and \
             /dev/dri/renderD* (groups render and video)?"
        }
        hipErrorInsufficientDriver => {
            "the kernel's amdgpu driver is too old for this ROCm: update one or the other"
        }
        hipErrorNoBinaryForGpu
        | hipErrorInvalidImage
        | hipErrorInvalidKernelFile
        | hipErrorInvalidDeviceFunction
        | hipErrorSharedObjectInitFailed => "the kernels are not made for this GPU, or their file is damaged",
        hipErrorNotFound => "the kernels come from another version of this library",
        hipErrorIllegalAddress
        | hipErrorLaunchFailure
        | hipErrorLaunchTimeOut
        | hipErrorECCNotCorrectable
        | hipErrorDeinitialized
        | hipErrorAssert
        | hipErrorUnknown => {
            "the GPU is lost to this process: free what uses it and start anew; the system's log (dmesg) \
             may say why"
        }
        _ => "",
    }
}

/// A text of the runtime.
///
/// # Safety
/// NULL or a string that stays.
unsafe fn text(p: *const c_char) -> String {
    if p.is_null() {
        return "unknown".into();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
}

/// The first library called `stem` from which `make` makes a table, of the one that the environment
/// variable names or else of those that ROCm installs. The error says what was tried; `what` is for
/// a person.
pub(super) fn load_first<T>(
    stem: &str,
    variable: &str,
    what: &str,
    make: impl Fn(libloading::Library, &str) -> Result<T, libloading::Error>,
) -> Result<T, String> {
    let given = std::env::var_os(variable).filter(|v| !v.is_empty());
    let names: Vec<PathBuf> = match &given {
        Some(name) => vec![name.into()],
        None => {
            let numbered = MAJORS.iter().map(|n| format!("{stem}.so.{n}"));
            let plain = numbered.chain([format!("{stem}.so"), format!("/opt/rocm/lib/{stem}.so")]);
            plain.map(PathBuf::from).collect()
        }
    };
    let mut reasons = Vec::new();
    for path in names {
        let name = path.display().to_string();
        // SAFETY: running the initialisers of a library that its user has installed, or named, as
        // the HIP runtime.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE) };
        match library.and_then(|library| make(library.into(), &name)) {
            Ok(made) => return Ok(made),
            Err(e) => reasons.push(reason(&name, &e.to_string())),
        }
    }
    let tried = reasons.join("; ");
    Err(match given {
        Some(_) => format!("{what} that {variable} names cannot be used: {tried}"),
        None => format!(
            "{what} cannot be used: {tried}. Install ROCm's (package hip-runtime-amd or libamdhip64), or set \
             {variable} to its file"
        ),
    })
}

/// What is wrong with the library `name`, in the loader's words, but short where it is just missing.
fn reason(name: &str, e: &str) -> String {
    let missing = e.starts_with(&format!("{name}: ")) && e.ends_with("No such file or directory");
    if missing {
        format!("{name}: not found")
    } else if e.contains(name) {
        e.to_owned()
    } else {
        format!("{name}: {e}")
    }
}
