//! hipRTC, the compiler that comes with ROCm: its own library, loaded when it is first needed.

use std::ffi::{CStr, CString, c_int};
use std::sync::OnceLock;

use super::ffi::rtc::*;
use super::runtime::load_first;
use crate::{Error, Result};

/// Names the file of hipRTC, in place of those looked for otherwise.
pub const LIBRARY_VARIABLE: &str = "ROCMFORGE_HIPRTC_LIBRARY";

/// Lines of the compiler's log that an error tells: the rest mostly follows from the first.
const LOG_LINES: usize = 12;

/// The compiler. It is never unloaded.
pub struct Rtc {
    api: HipRtc,
}

impl Rtc {
    /// The compiler, loaded by the first call.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none: it says which libraries were looked for.
    pub fn get() -> Result<&'static Rtc> {
        static RTC: OnceLock<Result<Rtc, String>> = OnceLock::new();
        let load = || {
            load_first("libhiprtc", LIBRARY_VARIABLE, "hipRTC, the compiler for kernels,", |library, _| {
                // SAFETY: the functions have the types of the header.
                Ok(Rtc { api: unsafe { HipRtc::from_library(library) }? })
            })
        };
        RTC.get_or_init(load).as_ref().map_err(|why| Error::Backend(why.clone()))
    }

    /// Its version: major and minor.
    pub fn version(&self) -> Result<(i32, i32)> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: room for two numbers.
        self.check("hiprtcVersion", unsafe { self.api.hiprtcVersion(&mut major, &mut minor) })?;
        Ok((major, minor))
    }

    /// Compiles HIP source to a code object. `name` stands for the file in messages; `headers` are the
    /// names and texts of what it may include.
    ///
    /// # Errors
    /// [`Error::Backend`] with the first lines of what the compiler says.
    pub fn compile(
        &self,
        source: &str,
        name: &str,
        headers: &[(&str, &str)],
        options: &[&str],
    ) -> Result<Vec<u8>> {
        let c_string = |text: &str| {
            CString::new(text).map_err(|_| Error::InvalidArgument(format!("{name}: {text:?} has a NUL")))
        };
        let (source, c_name) = (c_string(source)?, c_string(name)?);
        let options = options.iter().map(|o| c_string(o)).collect::<Result<Vec<_>>>()?;
        let mut options: Vec<_> = options.iter().map(|o| o.as_ptr()).collect();
        let names = headers.iter().map(|h| c_string(h.0)).collect::<Result<Vec<_>>>()?;
        let texts = headers.iter().map(|h| c_string(h.1)).collect::<Result<Vec<_>>>()?;
        let mut header_names: Vec<_> = names.iter().map(|n| n.as_ptr()).collect();
        let mut header_texts: Vec<_> = texts.iter().map(|t| t.as_ptr()).collect();

        let mut program = Program { rtc: self, handle: std::ptr::null_mut() };
        // SAFETY: room for a handle, strings, as many headers as are said.
        let code = unsafe {
            self.api.hiprtcCreateProgram(
                &mut program.handle,
                source.as_ptr(),
                c_name.as_ptr(),
                headers.len() as c_int,
                header_texts.as_mut_ptr(),
                header_names.as_mut_ptr(),
            )
        };
        self.check("hiprtcCreateProgram", code)?;
        // SAFETY: a program of ours and as many strings as are said.
        let code = unsafe {
            self.api.hiprtcCompileProgram(program.handle, options.len() as c_int, options.as_mut_ptr())
        };
        if code != HIPRTC_SUCCESS {
            let log = program.log().unwrap_or_default();
            let log = log.trim_matches(|c: char| c == '\0' || c.is_whitespace());
            let log = log.lines().take(LOG_LINES).collect::<Vec<_>>().join("\n");
            return Err(match self.check("hiprtcCompileProgram", code) {
                Err(Error::Backend(m)) => Error::Backend(format!("{name}: {m}: {log}")),
                Err(e) => e,
                Ok(()) => Error::Backend(format!("{name}: {log}")),
            });
        }
        let mut len = 0;
        // SAFETY: a program of ours, room for a size.
        let code = unsafe { self.api.hiprtcGetCodeSize(program.handle, &mut len) };
        self.check("hiprtcGetCodeSize", code)?;
        let mut object = vec![0u8; len];
        // SAFETY: a program of ours, room for the code.
        let code = unsafe { self.api.hiprtcGetCode(program.handle, object.as_mut_ptr().cast()) };
        self.check("hiprtcGetCode", code)?;
        Ok(object)
    }

    fn check(&self, function: &str, code: hiprtcResult) -> Result<()> {
        if code == HIPRTC_SUCCESS {
            return Ok(());
        }
        // SAFETY: gives a text in static memory, or NULL, for every number.
        let text = unsafe { self.api.hiprtcGetErrorString(code) };
        let text = if text.is_null() {
            "unknown".into()
        } else {
            // SAFETY: not NULL, as above.
            unsafe { CStr::from_ptr(text) }.to_string_lossy()
        };
        let message = format!("{function}: {text} ({code})");
        Err(match code {
            HIPRTC_ERROR_OUT_OF_MEMORY => Error::OutOfMemory(message),
            _ => Error::Backend(message),
        })
    }
}

/// A source that is being compiled.
struct Program<'a> {
    rtc: &'a Rtc,
    handle: hiprtcProgram,
}

impl Program<'_> {
    /// What the compiler says.
    fn log(&self) -> Result<String> {
        let mut len = 0;
        // SAFETY: a program of ours, room for a size.
        let code = unsafe { self.rtc.api.hiprtcGetProgramLogSize(self.handle, &mut len) };
        self.rtc.check("hiprtcGetProgramLogSize", code)?;
        let mut log = vec![0u8; len];
        // SAFETY: a program of ours, room for the log.
        let code = unsafe { self.rtc.api.hiprtcGetProgramLog(self.handle, log.as_mut_ptr().cast()) };
        self.rtc.check("hiprtcGetProgramLog", code)?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: made in `compile`.
            let _ = unsafe { self.rtc.api.hiprtcDestroyProgram(&mut self.handle) };
        }
    }
}
