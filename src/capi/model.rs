//! Models: loading and what they are.

use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

use super::ffi::{
    self, Extensible, Failure, Flag, Handle, Opaque, Outcome, c_str, init_struct, lend, no_padding, out,
    out_handle, params, put_str,
};
use super::{device, rf_device, rf_status, rf_vocab};
use crate::backend::Device;
use crate::gguf;
use crate::log::{Level, Log};
use crate::model::Hparams;
use crate::{Model, ModelParams};

/// A model: weights, vocabulary and metadata. Immutable, so any number of threads and contexts use
/// one at a time. Contexts and detokenizers keep what they need of it alive: rf_model_free() may
/// come before theirs.
pub struct rf_model {
    _private: [u8; 0],
}

pub(super) struct Loaded {
    pub model: Arc<Model>,
    /// What `rf_model_get_vocab` lends out.
    vocab: Handle<Arc<Model>>,
}

// SAFETY: `Model` is Sync.
unsafe impl Opaque for rf_model {
    type Inner = Loaded;
    const NAME: &'static str = "model";
}

/// Told how far the load is, 0 to 1, on the thread that loads; false cancels the load, which then
/// gives RF_STATUS_ABORTED. Must return: no exception, no longjmp.
pub type rf_progress_callback = Option<unsafe extern "C" fn(progress: f32, user_data: *mut c_void) -> Flag>;

/// How much a log line matters.
#[repr(C)]
pub enum rf_log_level {
    /// For those who look for a fault.
    Debug = 0,
    /// What was chosen and how large it is.
    Info = 1,
    /// Something is not as asked, and work goes on.
    Warn = 2,
    /// An operation failed.
    Error = 3,
}

/// Takes a log line: an rf_log_level, the text in UTF-8 without a newline, which is valid during
/// the call only, and the user data that came with the callback. Called on the thread whose call
/// into the library has something to log. Must return: no exception, no longjmp.
pub type rf_log_callback =
    Option<unsafe extern "C" fn(level: i32, text: *const c_char, user_data: *mut c_void)>;

/// The caller's pointer for a callback.
#[derive(Clone, Copy)]
pub(super) struct UserData(pub *mut c_void);
// SAFETY: the library only hands it back, on the thread whose call into the library the callback
// serves; which threads those are the caller decides.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl UserData {
    /// The pointer. A method, so that closures capture the whole.
    pub fn get(self) -> *mut c_void {
        self.0
    }
}

/// Where a handle's log lines go.
pub(super) fn log(callback: rf_log_callback, user_data: *mut c_void) -> Log {
    let Some(callback) = callback else { return Log::default() };
    let user_data = UserData(user_data);
    Log::new(Arc::new(move |level: Level, line: &str| {
        let text = CString::new(line.replace('\0', "\u{fffd}")).unwrap_or_default();
        // SAFETY: a function of this type, says the header.
        unsafe { callback(level as i32, text.as_ptr(), user_data.get()) };
    }))
}

/// How to load a model. Filled in by rf_model_params_init(), then changed by the caller.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_model_params {
    /// sizeof(rf_model_params).
    pub struct_size: usize,
    /// How many layers a GPU computes: the last ones of the model, with the head (final norm and output
    /// matrix) as one more behind them, so that rf_model_n_layer() + 1 or more is everything. The CPU looks
    /// up the embeddings and computes the layers before. It is the first GPU that can be used, or the load
    /// fails with the reason. 0: the CPU computes all. -1, the default: everything if it fits into the free
    /// memory of a GPU, or else as many of the last layers as do, or else, with a line in the log that says
    /// why, none. What has to fit is computed: these layers' weights, their part of the cache of a context of
    /// fit_ctx tokens in f16, and 512 MiB for all else. See rf_model_device(), rf_model_n_gpu_layers().
    pub n_gpu_layers: i32,
    /// With n_gpu_layers = -1, the tokens of the contexts, all together, that memory of the GPU is left for.
    /// 0: what the model was trained on; -1, the default: 4096, or what it was trained on if that is less.
    pub fit_ctx: i32,
    /// Leave the weights alone: for tokenizing and metadata. Default false.
    pub vocab_only: Flag,
    /// Copy the weights into memory in place of computing on the mapped file. The load then takes as
    /// long as reading the file, and the memory is this process's own; in turn it is of large pages,
    /// which are faster to read: what generates long texts with a large model gains. Default false.
    pub no_mmap: Flag,
    /// Zero.
    pub reserved: [u8; 6],
    /// Told how far the load is, and can cancel it; or NULL.
    pub progress_callback: rf_progress_callback,
    /// For progress_callback.
    pub progress_user_data: *mut c_void,
    /// Takes log lines of the load; or NULL.
    pub log_callback: rf_log_callback,
    /// For log_callback.
    pub log_user_data: *mut c_void,
}

no_padding!(rf_model_params {
    struct_size: usize,
    n_gpu_layers: i32,
    fit_ctx: i32,
    vocab_only: Flag,
    no_mmap: Flag,
    reserved: [u8; 6],
    progress_callback: rf_progress_callback,
    progress_user_data: *mut c_void,
    log_callback: rf_log_callback,
    log_user_data: *mut c_void,
});

// SAFETY: `no_padding` above; integers, flags and nullable pointers, valid whatever their bytes.
unsafe impl Extensible for rf_model_params {
    const NAME: &'static str = "rf_model_params";
    fn defaults() -> Self {
        rf_model_params {
            struct_size: size_of::<Self>(),
            n_gpu_layers: -1,
            fit_ctx: -1,
            vocab_only: Flag::default(),
            no_mmap: Flag::default(),
            reserved: [0; 6],
            progress_callback: None,
            progress_user_data: std::ptr::null_mut(),
            log_callback: None,
            log_user_data: std::ptr::null_mut(),
        }
    }
}

/// Fills in the defaults.
///
/// @param params      The parameters.
/// @param struct_size sizeof(rf_model_params).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_params_init(params: *mut rf_model_params, struct_size: usize) -> rf_status {
    // SAFETY: room for `struct_size` bytes, says the header.
    ffi::call("rf_model_params_init", || unsafe { init_struct(params, struct_size) })
}

/// Loads a model from a GGUF file. The file is mapped, not read (but see no_mmap), and has to stay as
/// it is while the model is in use: who shortens it in place brings the process down with SIGBUS.
///
/// @param path   The file; of a model split over several (NAME-00001-of-0000N.gguf), the first, and
///               the others are found beside it. See rf_split_path().
/// @param params How to load it; NULL for the defaults.
/// @param model  Receives the model, to be freed with rf_model_free(); NULL on failure.
/// @return RF_STATUS_IO, RF_STATUS_FORMAT, RF_STATUS_UNSUPPORTED (architecture, tensor type,
///         tokenizer, GPU), RF_STATUS_ABORTED (progress callback), RF_STATUS_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_load(
    path: *const c_char,
    params: *const rf_model_params,
    model: *mut *mut rf_model,
) -> rf_status {
    ffi::call("rf_model_load", || {
        // SAFETY: room for a pointer, a string, and parameters as long as they say, says the header.
        let (place, path, p) =
            unsafe { (out_handle(model, "model")?, c_str(path, "path")?, self::params(params)?) };
        place.set(ffi::into_raw(load(path, &p)?));
        Ok(())
    })
}

/// A file's path.
pub(super) fn path(path: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(path.to_bytes()))
}

fn load(path: &CStr, p: &rf_model_params) -> Outcome<Loaded> {
    if p.reserved != [0; 6] {
        return Err(Failure::invalid("the reserved bytes of rf_model_params are not zero; initialise it"));
    }
    let log = log(p.log_callback, p.log_user_data);
    let count = |name: &str, n: i32| match (n, usize::try_from(n)) {
        (-1, _) => Ok(None),
        (_, Ok(n)) => Ok(Some(n)),
        _ => Err(Failure::invalid(format!("{name} is {n}; expected -1 or more"))),
    };
    let n_gpu_layers = count("n_gpu_layers", p.n_gpu_layers)?;
    let fit_ctx = count("fit_ctx", p.fit_ctx)?;
    let user_data = p.progress_user_data;
    // SAFETY: a function of this type, says the header.
    let mut told = p.progress_callback.map(|f| move |done| unsafe { f(done, user_data) }.get());
    let params = ModelParams {
        n_gpu_layers,
        fit_ctx,
        vocab_only: p.vocab_only.get(),
        no_mmap: p.no_mmap.get(),
        progress: told.as_mut().map(|f| f as &mut dyn FnMut(f32) -> bool),
        log,
        ..ModelParams::default()
    };
    let path = self::path(path);
    let model = Arc::new(Model::load(path, params)?);
    Ok(Loaded { vocab: Handle::new(model.clone()), model })
}

/// Frees a model. NULL is nothing to free. Its vocabulary (rf_model_get_vocab()) ends with it;
/// contexts and detokenizers made of it live on.
///
/// @param model The model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_free(model: *mut rf_model) {
    // SAFETY: a model that the caller owns, says the header.
    unsafe { ffi::free("rf_model_free", model) }
}

/// The vocabulary of a model.
///
/// @param model The model.
/// @param vocab Receives the vocabulary: part of the model, valid until rf_model_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_get_vocab(
    model: *const rf_model,
    vocab: *mut *const rf_vocab,
) -> rf_status {
    // SAFETY: a live model and room for a pointer, says the header.
    unsafe {
        ffi::read("rf_model_get_vocab", model, |m| {
            out(vocab, "vocab")?.set(lend(&m.vocab));
            Ok(())
        })
    }
}

/// The device that computes with a model: a GPU if it computes any of its layers.
///
/// @param model  The model.
/// @param device Receives the device, which is not to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_device(model: *const rf_model, device: *mut *const rf_device) -> rf_status {
    // SAFETY: a live model and room for a pointer, says the header.
    unsafe {
        ffi::read("rf_model_device", model, |m| {
            let id = m.model.device().unwrap_or(Device::Cpu);
            out(device, "device")?.set(device::of(id)?);
            Ok(())
        })
    }
}

/// How many layers of a model a GPU computes: what n_gpu_layers = -1 came to.
///
/// @param model The model.
/// @param n     Receives the number, the head counted as a layer: 0 to rf_model_n_layer() + 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_n_gpu_layers(model: *const rf_model, n: *mut i32) -> rf_status {
    // SAFETY: a live model and room for a number, says the header.
    unsafe {
        ffi::read("rf_model_n_gpu_layers", model, |m| {
            out(n, "n")?.set(i32::try_from(m.model.n_gpu_layers()).unwrap_or(i32::MAX));
            Ok(())
        })
    }
}

/// What a model is, in a few words: "llama 1.1B Q4_0".
///
/// @param model The model.
/// @param buf   Buffer for the text, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_desc(
    model: *const rf_model,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live model and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_model_desc", model, |m| put_str(m.model.description().as_bytes(), buf, size, len))
    }
}

/// The size of all tensors of a model.
///
/// @param model   The model.
/// @param n_bytes Receives the bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_size(model: *const rf_model, n_bytes: *mut u64) -> rf_status {
    // SAFETY: a live model and room for a number, says the header.
    unsafe {
        ffi::read("rf_model_size", model, |m| {
            out(n_bytes, "n_bytes")?.set(m.model.n_bytes());
            Ok(())
        })
    }
}

/// The number of weights of a model.
///
/// @param model    The model.
/// @param n_params Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_n_params(model: *const rf_model, n_params: *mut u64) -> rf_status {
    // SAFETY: a live model and room for a number, says the header.
    unsafe {
        ffi::read("rf_model_n_params", model, |m| {
            out(n_params, "n_params")?.set(m.model.n_params());
            Ok(())
        })
    }
}

/// A hyperparameter to the caller; an error if only the vocabulary was loaded.
///
/// # Safety
/// `model` is NULL or alive, `n` NULL or room for a number.
unsafe fn hparam(
    name: &'static str,
    model: *const rf_model,
    n: *mut i32,
    get: impl FnOnce(&Hparams) -> usize,
) -> rf_status {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::read(name, model, |m| {
            let n = out(n, "n")?;
            n.set(i32::try_from(get(&m.model.compute()?.hparams)).unwrap_or(i32::MAX));
            Ok(())
        })
    }
}

/// The context length that a model was trained with.
///
/// @param model The model.
/// @param n     Receives the length in tokens.
/// @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_n_ctx_train(model: *const rf_model, n: *mut i32) -> rf_status {
    // SAFETY: a live model and room for a number, says the header.
    unsafe { hparam("rf_model_n_ctx_train", model, n, |hp| hp.n_ctx_train) }
}

/// The width of a model's residual stream.
///
/// @param model The model.
/// @param n     Receives the width.
/// @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_n_embd(model: *const rf_model, n: *mut i32) -> rf_status {
    // SAFETY: a live model and room for a number, says the header.
    unsafe { hparam("rf_model_n_embd", model, n, |hp| hp.n_embd) }
}

/// The number of layers of a model.
///
/// @param model The model.
/// @param n     Receives the number.
/// @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_n_layer(model: *const rf_model, n: *mut i32) -> rf_status {
    // SAFETY: a live model and room for a number, says the header.
    unsafe { hparam("rf_model_n_layer", model, n, |hp| hp.n_layer) }
}

/// The number of query heads of a model's first layer.
///
/// @param model The model.
/// @param n     Receives the number.
/// @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_n_head(model: *const rf_model, n: *mut i32) -> rf_status {
    // SAFETY: a live model and room for a number, says the header.
    unsafe { hparam("rf_model_n_head", model, n, |hp| hp.n_head.first().copied().unwrap_or(0)) }
}

/// The number of key and value heads of a model's first layer.
///
/// @param model The model.
/// @param n     Receives the number.
/// @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_n_head_kv(model: *const rf_model, n: *mut i32) -> rf_status {
    // SAFETY: a live model and room for a number, says the header.
    unsafe { hparam("rf_model_n_head_kv", model, n, |hp| hp.n_head_kv.first().copied().unwrap_or(0)) }
}

/// The number of experts in each layer of a model; 0 for one without.
///
/// @param model The model.
/// @param n     Receives the number.
/// @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_n_expert(model: *const rf_model, n: *mut i32) -> rf_status {
    // SAFETY: a live model and room for a number, says the header.
    unsafe { hparam("rf_model_n_expert", model, n, |hp| hp.experts.as_ref().map_or(0, |e| e.n_expert)) }
}

/// The number of tokens that a model gives logits for. Some models pad it: it is then more than
/// rf_vocab_n_tokens().
///
/// @param model The model.
/// @param n     Receives the number.
/// @return RF_STATUS_INVALID_ARGUMENT if only the vocabulary was loaded (vocab_only).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_n_vocab(model: *const rf_model, n: *mut i32) -> rf_status {
    // SAFETY: a live model and room for a number, says the header.
    unsafe { hparam("rf_model_n_vocab", model, n, |hp| hp.n_vocab) }
}

/// The path of one file of a split model: PREFIX-00001-of-0000N.gguf.
///
/// @param prefix  What the names of all files begin with.
/// @param index   Which file, from 0.
/// @param n_files How many there are, 1 to 65535.
/// @param buf     Buffer for the path, or NULL to ask for its length.
/// @param size    Bytes of the buffer.
/// @param len     Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_split_path(
    prefix: *const c_char,
    index: i32,
    n_files: i32,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    ffi::call("rf_split_path", || {
        // SAFETY: a string, says the header.
        let prefix = self::path(unsafe { c_str(prefix, "prefix") }?);
        let (Ok(no), Ok(count)) = (u16::try_from(index), u16::try_from(n_files)) else {
            return Err(Failure::invalid(format!("file {index} of {n_files}: expected numbers below 65536")));
        };
        if no >= count {
            return Err(Failure::invalid(format!("file {index} of {n_files}: files are numbered from 0")));
        }
        let path = gguf::shard_path(prefix, no, count).into_os_string().into_vec();
        // SAFETY: a buffer of `size` bytes, says the header.
        unsafe { put_str(&path, buf, size, len) }
    })
}

/// Why the last call on this model that failed failed, on whatever thread; empty if none did.
///
/// @param model The model.
/// @param buf   Buffer for the message, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_last_error(
    model: *const rf_model,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live model and a buffer of `size` bytes, says the header.
    unsafe { ffi::handle_error("rf_model_last_error", model, buf, size, len) }
}
