//! How fast it went.

use super::ffi::{self, Extensible, no_padding, put_struct};
use super::{rf_context, rf_status};

/// Work of a context since it was made or rf_perf_context_reset(). The caller sets struct_size
/// before the call.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_perf_context_data {
    /// sizeof(rf_perf_context_data).
    pub struct_size: usize,
    /// Milliseconds that loading the model took.
    pub t_load_ms: f64,
    /// Milliseconds that decoding batches of several tokens took.
    pub t_p_eval_ms: f64,
    /// Milliseconds that decoding single tokens took.
    pub t_eval_ms: f64,
    /// Tokens decoded in batches of several.
    pub n_p_eval: u64,
    /// Tokens decoded one at a time.
    pub n_eval: u64,
}

no_padding!(rf_perf_context_data {
    struct_size: usize,
    t_load_ms: f64,
    t_p_eval_ms: f64,
    t_eval_ms: f64,
    n_p_eval: u64,
    n_eval: u64,
});

// SAFETY: `no_padding` above; numbers only.
unsafe impl Extensible for rf_perf_context_data {
    const NAME: &'static str = "rf_perf_context_data";
    fn defaults() -> Self {
        rf_perf_context_data {
            struct_size: size_of::<Self>(),
            t_load_ms: 0.0,
            t_p_eval_ms: 0.0,
            t_eval_ms: 0.0,
            n_p_eval: 0,
            n_eval: 0,
        }
    }
}

/// What a context has done, and how long it took.
///
/// @param context The context.
/// @param data    Receives it; its struct_size is set by the caller.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_perf_context(
    context: *const rf_context,
    data: *mut rf_perf_context_data,
) -> rf_status {
    // SAFETY: a live context and a struct as long as it says, says the header.
    unsafe {
        ffi::read("rf_perf_context", context, |c| {
            let perf = c.perf();
            let value = rf_perf_context_data {
                t_load_ms: c.model().load_time().as_secs_f64() * 1e3,
                t_p_eval_ms: perf.prompt.as_secs_f64() * 1e3,
                t_eval_ms: perf.eval.as_secs_f64() * 1e3,
                n_p_eval: perf.n_prompt as u64,
                n_eval: perf.n_eval as u64,
                ..Extensible::defaults()
            };
            put_struct(value, data)
        })
    }
}

/// Sets what a context has done to nothing.
///
/// @param context The context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_perf_context_reset(context: *mut rf_context) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe {
        ffi::write("rf_perf_context_reset", context, |c| {
            c.reset_perf();
            Ok(())
        })
    }
}
