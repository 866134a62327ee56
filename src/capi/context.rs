//! Contexts: decoding, and what comes of it.

use std::ffi::{c_char, c_void};

use super::batch::count;
use super::ffi::{
    self, Extensible, Failure, Flag, Opaque, Outcome, borrow, init_struct, no_padding, out, out_handle,
    params,
};
use super::model::{UserData, log};
use super::tensor::ggml_type;
use super::{rf_batch, rf_log_callback, rf_model, rf_status, rf_type};
use crate::context::AbortFn;
use crate::model::Pooling;
use crate::{Context, ContextParams};

/// The state of one or more sequences over a model: KV cache, logits, threads. Functions that take
/// it const may run at the same time; the others need it to themselves.
pub struct rf_context {
    _private: [u8; 0],
}

// SAFETY: functions that take a context const read parameters, cells, counters and logits. The session
// and the abort callback, which are not Sync, they leave alone.
unsafe impl Opaque for rf_context {
    type Inner = Context;
    const NAME: &'static str = "context";
}

/// Asked now and then during rf_decode(), on the thread that called it; true stops the decode, which
/// then gives RF_STATUS_ABORTED. Must return, and must not call functions on this context.
pub type rf_abort_callback = Option<unsafe extern "C" fn(user_data: *mut c_void) -> Flag>;

/// How the embeddings of a sequence's tokens become one.
#[repr(C)]
pub enum rf_pooling {
    /// As the model's file says.
    Unspecified = -1,
    /// Not at all: one embedding per token.
    None = 0,
    /// The mean of the tokens.
    Mean = 1,
    /// The first token.
    Cls = 2,
    /// The last token.
    Last = 3,
}

/// How to make a context. Filled in by rf_context_params_init(), then changed by the caller.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_context_params {
    /// sizeof(rf_context_params).
    pub struct_size: usize,
    /// Cells of the KV cache, one for each token of all sequences; 0 (the default) takes the
    /// context length of the model's training.
    pub n_ctx: i32,
    /// Most tokens of one rf_decode(). Default 2048.
    pub n_batch: i32,
    /// Most tokens that are computed at a time. Default 512.
    pub n_ubatch: i32,
    /// Sequences, 1 to 256. Default 1.
    pub n_seq_max: i32,
    /// Threads for a single token; 0 (the default) takes the processors available.
    pub n_threads: i32,
    /// Threads for prompts; 0 (the default) takes the processors available.
    pub n_threads_batch: i32,
    /// Type of the cached keys: RF_TYPE_F16 (the default), RF_TYPE_F32, RF_TYPE_BF16 or
    /// RF_TYPE_Q8_0, which needs heads of a multiple of 32 elements.
    pub type_k: i32,
    /// Type of the cached values, likewise.
    pub type_v: i32,
    /// How embeddings are pooled: an rf_pooling, or RF_POOLING_UNSPECIFIED (the default) for what the
    /// model's file says, which for most is not at all.
    pub pooling: i32,
    /// Whether embeddings are wanted; see rf_set_embeddings(). Default false.
    pub embeddings: Flag,
    /// Zero.
    pub reserved: [u8; 3],
    /// Takes log lines of this context; or NULL.
    pub log_callback: rf_log_callback,
    /// For log_callback.
    pub log_user_data: *mut c_void,
    /// Can stop a decode; or NULL. See rf_set_abort_callback().
    pub abort_callback: rf_abort_callback,
    /// For abort_callback.
    pub abort_user_data: *mut c_void,
}

no_padding!(rf_context_params {
    struct_size: usize,
    n_ctx: i32,
    n_batch: i32,
    n_ubatch: i32,
    n_seq_max: i32,
    n_threads: i32,
    n_threads_batch: i32,
    type_k: i32,
    type_v: i32,
    pooling: i32,
    embeddings: Flag,
    reserved: [u8; 3],
    log_callback: rf_log_callback,
    log_user_data: *mut c_void,
    abort_callback: rf_abort_callback,
    abort_user_data: *mut c_void,
});

// SAFETY: `no_padding` above; integers and nullable pointers, valid whatever their bytes.
unsafe impl Extensible for rf_context_params {
    const NAME: &'static str = "rf_context_params";
    fn defaults() -> Self {
        let p = ContextParams::default();
        rf_context_params {
            struct_size: size_of::<Self>(),
            n_ctx: 0,
            n_batch: p.n_batch as i32,
            n_ubatch: p.n_ubatch as i32,
            n_seq_max: p.n_seq_max as i32,
            n_threads: 0,
            n_threads_batch: 0,
            type_k: rf_type::F16 as i32,
            type_v: rf_type::F16 as i32,
            pooling: rf_pooling::Unspecified as i32,
            embeddings: Flag::default(),
            reserved: [0; 3],
            log_callback: None,
            log_user_data: std::ptr::null_mut(),
            abort_callback: None,
            abort_user_data: std::ptr::null_mut(),
        }
    }
}

fn abort(callback: rf_abort_callback, user_data: *mut c_void) -> Option<AbortFn> {
    let callback = callback?;
    let user_data = UserData(user_data);
    // SAFETY: a function of this type, says the header.
    Some(Box::new(move || unsafe { callback(user_data.get()) }.get()))
}

/// Fills in the defaults.
///
/// @param params      The parameters.
/// @param struct_size sizeof(rf_context_params).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_context_params_init(
    params: *mut rf_context_params,
    struct_size: usize,
) -> rf_status {
    // SAFETY: room for `struct_size` bytes, says the header.
    ffi::call("rf_context_params_init", || unsafe { init_struct(params, struct_size) })
}

/// A context over a model. Its KV cache is allocated here, once. It keeps what it needs of the model
/// alive.
///
/// @param model   The model.
/// @param params  How to make it; NULL for the defaults.
/// @param context Receives it, to be freed with rf_context_free(); NULL on failure.
/// @return RF_STATUS_INVALID_ARGUMENT (a parameter out of range, or a model loaded with
///         vocab_only), RF_STATUS_UNSUPPORTED (a type), RF_STATUS_OUT_OF_MEMORY, RF_STATUS_BACKEND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_context_new(
    model: *const rf_model,
    params: *const rf_context_params,
    context: *mut *mut rf_context,
) -> rf_status {
    ffi::call("rf_context_new", || {
        // SAFETY: a live model, parameters as long as they say and room for a pointer, says the header.
        let (place, model, p) = unsafe {
            let place = out_handle(context, "context")?;
            (place, borrow(model)?.model.clone(), self::params(params)?)
        };
        let params = ContextParams {
            n_ctx: count(p.n_ctx, "n_ctx")?,
            n_batch: count(p.n_batch, "n_batch")?,
            n_ubatch: count(p.n_ubatch, "n_ubatch")?,
            n_seq_max: count(p.n_seq_max, "n_seq_max")?,
            n_threads: count(p.n_threads, "n_threads")?,
            n_threads_batch: count(p.n_threads_batch, "n_threads_batch")?,
            type_k: ggml_type(p.type_k)?,
            type_v: ggml_type(p.type_v)?,
            embeddings: p.embeddings.get(),
            pooling: match p.pooling {
                -1 => None,
                n => Some(Pooling::from_number(n.into())?),
            },
            log: log(p.log_callback, p.log_user_data),
        };
        let mut context = Context::new(model, params)?;
        context.set_abort(abort(p.abort_callback, p.abort_user_data));
        place.set(ffi::into_raw(context));
        Ok(())
    })
}

/// Frees a context. NULL is nothing to free.
///
/// @param context The context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_context_free(context: *mut rf_context) {
    // SAFETY: a context that the caller owns, says the header.
    unsafe { ffi::free("rf_context_free", context) }
}

/// A parameter in force to the caller.
///
/// # Safety
/// `context` is NULL or alive, `n` NULL or room for a number.
unsafe fn param(
    name: &'static str,
    context: *const rf_context,
    n: *mut i32,
    get: impl FnOnce(&ContextParams) -> usize,
) -> rf_status {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::read(name, context, |c| {
            out(n, "n")?.set(get(c.params()) as i32);
            Ok(())
        })
    }
}

/// The cells of a context's KV cache.
///
/// @param context The context.
/// @param n       Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_n_ctx(context: *const rf_context, n: *mut i32) -> rf_status {
    // SAFETY: a live context and room for a number, says the header.
    unsafe { param("rf_n_ctx", context, n, |p| p.n_ctx) }
}

/// Most tokens of one rf_decode().
///
/// @param context The context.
/// @param n       Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_n_batch(context: *const rf_context, n: *mut i32) -> rf_status {
    // SAFETY: a live context and room for a number, says the header.
    unsafe { param("rf_n_batch", context, n, |p| p.n_batch) }
}

/// Most tokens that are computed at a time.
///
/// @param context The context.
/// @param n       Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_n_ubatch(context: *const rf_context, n: *mut i32) -> rf_status {
    // SAFETY: a live context and room for a number, says the header.
    unsafe { param("rf_n_ubatch", context, n, |p| p.n_ubatch) }
}

/// The sequences of a context.
///
/// @param context The context.
/// @param n       Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_n_seq_max(context: *const rf_context, n: *mut i32) -> rf_status {
    // SAFETY: a live context and room for a number, says the header.
    unsafe { param("rf_n_seq_max", context, n, |p| p.n_seq_max) }
}

/// The threads that compute a single token.
///
/// @param context The context.
/// @param n       Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_n_threads(context: *const rf_context, n: *mut i32) -> rf_status {
    // SAFETY: a live context and room for a number, says the header.
    unsafe { param("rf_n_threads", context, n, |p| p.n_threads) }
}

/// The threads that compute prompts.
///
/// @param context The context.
/// @param n       Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_n_threads_batch(context: *const rf_context, n: *mut i32) -> rf_status {
    // SAFETY: a live context and room for a number, says the header.
    unsafe { param("rf_n_threads_batch", context, n, |p| p.n_threads_batch) }
}

/// Changes the number of threads.
///
/// @param context         The context.
/// @param n_threads       For a single token; 0 takes the processors available.
/// @param n_threads_batch For prompts; 0 takes the processors available.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_set_n_threads(
    context: *mut rf_context,
    n_threads: i32,
    n_threads_batch: i32,
) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe {
        ffi::write("rf_set_n_threads", context, |c| {
            let (n, n_batch) = (count(n_threads, "n_threads")?, count(n_threads_batch, "n_threads_batch")?);
            Ok(c.set_threads(n, n_batch)?)
        })
    }
}

/// Sets the function that can stop a decode.
///
/// @param context   The context.
/// @param callback  The function; NULL for none.
/// @param user_data Handed to it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_set_abort_callback(
    context: *mut rf_context,
    callback: rf_abort_callback,
    user_data: *mut c_void,
) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe {
        ffi::write("rf_set_abort_callback", context, |c| {
            c.set_abort(abort(callback, user_data));
            Ok(())
        })
    }
}

/// Runs the tokens of a batch through the model, writes them to the KV cache and keeps the logits
/// that were asked for. The tokens of a sequence must have consecutive positions that go on where
/// the sequence ends in the cache. After a failure the cache is as it was before the call; logits of
/// earlier decodes are gone either way.
///
/// @param context The context.
/// @param batch   The batch, which stays as it is.
/// @return RF_STATUS_KV_FULL if the cache has no room for all tokens, RF_STATUS_ABORTED if the abort
///         callback said so, RF_STATUS_INVALID_ARGUMENT for an empty or too long batch, a token, a
///         position or a sequence that is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_decode(context: *mut rf_context, batch: *const rf_batch) -> rf_status {
    // SAFETY: a live context and a live batch, says the header.
    unsafe { ffi::write("rf_decode", context, |c| Ok(c.decode(&*borrow(batch)?)?)) }
}

/// Waits until all work of a context is done. On the CPU rf_decode() returns when it is, and this
/// returns at once; programs that time a decode call it for the devices where that is not so.
///
/// @param context The context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_synchronize(context: *mut rf_context) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe { ffi::write("rf_synchronize", context, |_| Ok(())) }
}

/// Lends out numbers, logits or embeddings.
///
/// # Safety
/// `data` is NULL or room for a pointer, `len` NULL or room for a size.
pub(super) unsafe fn lend_row(row: &[f32], data: *mut *const f32, len: *mut usize) -> Outcome {
    // SAFETY: the caller's promise.
    let (data, len) = unsafe { (out(data, "the row")?, out(len, "its length")?) };
    data.set(row.as_ptr());
    len.set(row.len());
    Ok(())
}

/// The logits of all tokens of the last decode whose logits were wanted, row after row in the order
/// of the batch; each row has rf_model_n_vocab() numbers.
///
/// @param context  The context.
/// @param logits   Receives memory of the context, valid until the next rf_decode() or
///                 rf_context_free().
/// @param n_logits Receives how many numbers there are.
/// @return RF_STATUS_INVALID_ARGUMENT if the last decode failed or asked for none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_get_logits(
    context: *const rf_context,
    logits: *mut *const f32,
    n_logits: *mut usize,
) -> rf_status {
    // SAFETY: a live context and room for a pointer and a size, says the header.
    unsafe {
        ffi::read("rf_get_logits", context, |c| {
            let all = c.all_logits();
            if all.is_empty() {
                return Err(Failure::invalid(
                    "there are no logits: the last decode failed or asked for none",
                ));
            }
            lend_row(all, logits, n_logits)
        })
    }
}

/// The logits of one token of the last decode.
///
/// @param context  The context.
/// @param index    The token's place in the batch; or, if negative, counted from the last token
///                 whose logits were wanted: -1 is that one.
/// @param logits   Receives memory of the context, valid until the next rf_decode() or
///                 rf_context_free().
/// @param n_logits Receives how many numbers there are: rf_model_n_vocab().
/// @return RF_STATUS_INVALID_ARGUMENT if there is no such token or its logits were not wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_get_logits_ith(
    context: *const rf_context,
    index: i32,
    logits: *mut *const f32,
    n_logits: *mut usize,
) -> rf_status {
    // SAFETY: a live context and room for a pointer and a size, says the header.
    unsafe { ffi::read("rf_get_logits_ith", context, |c| lend_row(c.logits(index)?, logits, n_logits)) }
}

/// Why the last call on this context that failed failed; empty if none did.
///
/// @param context The context.
/// @param buf     Buffer for the message, or NULL to ask for its length.
/// @param size    Bytes of the buffer.
/// @param len     Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_context_last_error(
    context: *const rf_context,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live context and a buffer of `size` bytes, says the header.
    unsafe { ffi::handle_error("rf_context_last_error", context, buf, size, len) }
}
