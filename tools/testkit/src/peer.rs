//! The reference libllama, opened with `dlopen` and driven through its own C ABI.
//!
//! `tools/peer/fetch.sh` fetches it into a folder: `lib/` holds the shared objects, `llama.cpp/`
//! the vocabulary files of its own tests. The folder is `$ROCMFORGE_PEER`, or `target/peer` of the
//! workspace. Of the CPU backends the library takes the best for this processor, or the one that
//! `$ROCMFORGE_PEER_CPU` names (`haswell`, `x64`, ..).
//!
//! The declarations follow `llama.h` of libllama v0.5.0 and hold only what the tests call.

mod context;
mod quantize;
mod sampler;

pub use context::{PeerContext, PeerModel};
pub use quantize::Quantize;
pub use sampler::{LogitBias, PeerSampler, Settings, TokenData};

use context::{Context, ContextParams, Memory, RawBatch};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};
use quantize::QuantizeParams;
use sampler::{Sampler, TokenArray};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// `struct llama_model`, opaque.
#[repr(C)]
pub struct Model {
    _private: [u8; 0],
}

/// `struct llama_vocab`, opaque.
#[repr(C)]
pub struct Vocab {
    _private: [u8; 0],
}

/// `struct llama_model_params`, passed by value.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct ModelParams {
    pub devices: *const c_void,
    pub tensor_buft_overrides: *const c_void,
    pub n_gpu_layers: i32,
    pub split_mode: c_int,
    pub load_mode: c_int,
    pub lazy_mode: c_int,
    pub main_gpu: i32,
    pub tensor_split: *const f32,
    pub progress_callback: *const c_void,
    pub progress_callback_user_data: *mut c_void,
    pub kv_overrides: *const c_void,
    pub vocab_only: bool,
    pub check_tensors: bool,
    pub use_extra_bufts: bool,
    pub no_host: bool,
    pub no_alloc: bool,
    pub load_mtp: bool,
}

const _: () = assert!(size_of::<ModelParams>() == 80, "llama_model_params of libllama v0.5.0");

type LogCallback = unsafe extern "C" fn(c_int, *const c_char, *mut c_void);

/// Declares the function table: each field is the C function `llama_<field>`.
macro_rules! api {
    ($($name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)+) => {
        struct Api { $($name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)+ }

        impl Api {
            fn load(lib: &Library) -> Result<Api, String> {
                Ok(Api { $($name: {
                    let name = concat!("llama_", stringify!($name), "\0");
                    let f: Symbol<unsafe extern "C" fn($($arg),*) $(-> $ret)?> =
                        // SAFETY: the type is the one that llama.h declares for this name.
                        unsafe { lib.get(name.as_bytes()) }.map_err(|e| e.to_string())?;
                    *f
                },)+ })
            }
        }
    };
}

api! {
    log_set: fn(LogCallback, *mut c_void);
    backend_init: fn();
    model_default_params: fn() -> ModelParams;
    model_load_from_file: fn(*const c_char, ModelParams) -> *mut Model;
    model_free: fn(*mut Model);
    model_get_vocab: fn(*const Model) -> *const Vocab;
    vocab_n_tokens: fn(*const Vocab) -> i32;
    vocab_get_attr: fn(*const Vocab, i32) -> c_int;
    vocab_is_eog: fn(*const Vocab, i32) -> bool;
    vocab_bos: fn(*const Vocab) -> i32;
    vocab_eos: fn(*const Vocab) -> i32;
    vocab_nl: fn(*const Vocab) -> i32;
    vocab_pad: fn(*const Vocab) -> i32;
    vocab_get_add_bos: fn(*const Vocab) -> bool;
    vocab_get_add_eos: fn(*const Vocab) -> bool;
    tokenize: fn(*const Vocab, *const c_char, i32, *mut i32, i32, bool, bool) -> i32;
    token_to_piece: fn(*const Vocab, i32, *mut c_char, i32, i32, bool) -> i32;
    detokenize: fn(*const Vocab, *const i32, i32, *mut c_char, i32, bool, bool) -> i32;
    context_default_params: fn() -> ContextParams;
    init_from_model: fn(*mut Model, ContextParams) -> *mut Context;
    free: fn(*mut Context);
    get_memory: fn(*const Context) -> *mut Memory;
    memory_clear: fn(*mut Memory, bool);
    memory_seq_rm: fn(*mut Memory, i32, i32, i32) -> bool;
    memory_seq_add: fn(*mut Memory, i32, i32, i32, i32);
    decode: fn(*mut Context, RawBatch) -> i32;
    synchronize: fn(*mut Context);
    model_quantize_default_params: fn() -> QuantizeParams;
    model_quantize: fn(*const c_char, *const c_char, *const QuantizeParams) -> u32;
    get_logits_ith: fn(*mut Context, i32) -> *const f32;
    get_embeddings_ith: fn(*mut Context, i32) -> *const f32;
    get_embeddings_seq: fn(*mut Context, i32) -> *const f32;
    model_n_embd: fn(*const Model) -> i32;
    sampler_init_greedy: fn() -> *mut Sampler;
    sampler_init_dist: fn(u32) -> *mut Sampler;
    sampler_init_top_k: fn(i32) -> *mut Sampler;
    sampler_init_top_p: fn(f32, usize) -> *mut Sampler;
    sampler_init_min_p: fn(f32, usize) -> *mut Sampler;
    sampler_init_typical: fn(f32, usize) -> *mut Sampler;
    sampler_init_temp: fn(f32) -> *mut Sampler;
    sampler_init_temp_ext: fn(f32, f32, f32) -> *mut Sampler;
    sampler_init_xtc: fn(f32, f32, usize, u32) -> *mut Sampler;
    sampler_init_top_n_sigma: fn(f32) -> *mut Sampler;
    sampler_init_mirostat: fn(i32, u32, f32, f32, i32) -> *mut Sampler;
    sampler_init_mirostat_v2: fn(u32, f32, f32) -> *mut Sampler;
    sampler_init_penalties: fn(i32, i32, f32, f32, f32) -> *mut Sampler;
    sampler_init_dry: fn(*const Vocab, f32, f32, i32, i32, *const *const c_char, usize) -> *mut Sampler;
    sampler_init_infill: fn(*const Vocab) -> *mut Sampler;
    sampler_init_adaptive_p: fn(f32, f32, u32) -> *mut Sampler;
    sampler_init_logit_bias: fn(i32, i32, *const LogitBias) -> *mut Sampler;
    sampler_apply: fn(*mut Sampler, *mut TokenArray);
    sampler_accept: fn(*mut Sampler, i32);
    sampler_reset: fn(*mut Sampler);
    sampler_free: fn(*mut Sampler);
}

struct Opened {
    dir: PathBuf,
    api: Api,
    /// Never closed: the function pointers of `api` live in it.
    _lib: Library,
}

/// The opened reference library. Copies are the same library.
#[derive(Clone, Copy)]
pub struct Peer(&'static Opened);

/// More layers than models have.
const ALL_LAYERS: i32 = 999;

/// `enum ggml_log_level`: warnings and errors.
const LOG_WARN: c_int = 3;
const LOG_ERROR: c_int = 4;

/// Warnings and errors that the library logged since the last failure.
static LOG: Mutex<String> = Mutex::new(String::new());

unsafe extern "C" fn keep_log(level: c_int, text: *const c_char, _user: *mut c_void) {
    if (LOG_WARN..=LOG_ERROR).contains(&level) {
        // SAFETY: the library passes a C string that lives through the call.
        let text = unsafe { CStr::from_ptr(text) };
        if let Ok(mut log) = LOG.lock() {
            log.push_str(&text.to_string_lossy());
        }
    }
}

/// What failed, with what the library logged about it.
fn failure(what: impl std::fmt::Display) -> String {
    let said = LOG.lock().map(|mut log| std::mem::take(&mut *log)).unwrap_or_default();
    format!("the peer {what}: {}", if said.is_empty() { "it gave no reason" } else { said.trim_end() })
}

impl Peer {
    /// The folder where the peer is looked for.
    pub fn dir() -> PathBuf {
        match std::env::var_os("ROCMFORGE_PEER") {
            Some(dir) => dir.into(),
            None => crate::root().join("target/peer"),
        }
    }

    /// Opens the library once for the process; an error is the reason why there is none.
    pub fn open() -> Result<Peer, String> {
        static OPENED: OnceLock<Result<Opened, String>> = OnceLock::new();
        OPENED.get_or_init(|| Opened::new(Self::dir())).as_ref().map(Peer).map_err(String::clone)
    }

    /// Whether `ROCMFORGE_REQUIRE_PEER=1` makes an absent peer a failure.
    pub fn required() -> bool {
        std::env::var("ROCMFORGE_REQUIRE_PEER").is_ok_and(|v| v == "1")
    }

    /// [`Peer::open`] for a test that does not run without it (see [`crate::harness::peer`]).
    ///
    /// # Panics
    /// Without a peer.
    pub fn for_test() -> Peer {
        Self::open().unwrap_or_else(|reason| panic!("the reference peer is required: {reason}"))
    }

    /// A file of the peer's source tree, such as `models/ggml-vocab-qwen2.gguf`.
    pub fn source(&self, path: &str) -> PathBuf {
        self.0.dir.join("llama.cpp").join(path)
    }

    /// Loads the vocabulary of a GGUF file and nothing else of it.
    pub fn load_vocab(&self, path: &Path) -> Result<PeerVocab, String> {
        let api = &self.0.api;
        // SAFETY: llama_model_default_params has no precondition.
        let mut params = unsafe { (api.model_default_params)() };
        params.n_gpu_layers = 0;
        params.vocab_only = true;
        let model = PeerModel::load(*self, path, params)?;
        // SAFETY: `model` is a live model; its vocabulary lives as long.
        let vocab = unsafe { (api.model_get_vocab)(model.ptr()) };
        Ok(PeerVocab { model, vocab })
    }

    /// Loads a model, all of it on the GPU if it was built for one.
    pub fn load_model(&self, path: &Path) -> Result<PeerModel, String> {
        // SAFETY: llama_model_default_params has no precondition.
        let mut params = unsafe { (self.0.api.model_default_params)() };
        params.n_gpu_layers = ALL_LAYERS;
        PeerModel::load(*self, path, params)
    }
}

impl Opened {
    fn new(dir: PathBuf) -> Result<Opened, String> {
        let folder = dir.join("lib");
        let main = folder.join("libllama.v0.5.0.so");
        if !main.is_file() {
            return Err(format!("no reference peer in {} (tools/peer/fetch.sh fetches it)", dir.display()));
        }
        // SAFETY: the reference library's initialisers may run in a test process.
        let lib = unsafe { Library::open(Some(&main), RTLD_NOW | RTLD_GLOBAL) }
            .map_err(|e| format!("{}: {e}", main.display()))?;
        let api = Api::load(&lib)?;
        // SAFETY: `keep_log` has llama_log_set's callback type and lives for ever.
        unsafe { (api.log_set)(keep_log, std::ptr::null_mut()) };
        let c_path =
            |path: &Path| CString::new(path.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string());
        match std::env::var("ROCMFORGE_PEER_CPU") {
            Ok(variant) => {
                let path = c_path(&folder.join(format!("libggml-cpu-{variant}.so")))?;
                // SAFETY: ggml_backend_load takes a C string and gives a registry pointer or null.
                // The search for it goes through libllama's dependencies.
                let loaded = unsafe {
                    let load: Symbol<unsafe extern "C" fn(*const c_char) -> *mut c_void> =
                        lib.get(b"ggml_backend_load\0").map_err(|e| e.to_string())?;
                    load(path.as_ptr())
                };
                if loaded.is_null() {
                    return Err(failure(format_args!("cannot load its CPU backend \"{variant}\"")));
                }
            }
            Err(_) => {
                let path = c_path(&folder)?;
                // SAFETY: ggml_backend_load_all_from_path takes the C string of a folder.
                unsafe {
                    let load: Symbol<unsafe extern "C" fn(*const c_char)> =
                        lib.get(b"ggml_backend_load_all_from_path\0").map_err(|e| e.to_string())?;
                    load(path.as_ptr());
                }
            }
        }
        // SAFETY: called once, after the backends are registered.
        unsafe { (api.backend_init)() };
        if let Ok(mut log) = LOG.lock() {
            log.clear(); // of other kinds of backend, which are not there
        }
        Ok(Opened { dir, api, _lib: lib })
    }
}

/// A vocabulary of the peer.
///
/// Text that decodes to a code point above U+10FFFF must not be given to a BPE vocabulary: the
/// reference throws a C++ exception out of its C interface, which ends the process.
pub struct PeerVocab {
    model: PeerModel,
    vocab: *const Vocab,
}

impl PeerVocab {
    fn api(&self) -> &'static Api {
        &self.model.peer.0.api
    }

    /// `llama_vocab_n_tokens`.
    pub fn n_tokens(&self) -> i32 {
        // SAFETY: the vocabulary lives as long as `self.model`.
        unsafe { (self.api().vocab_n_tokens)(self.vocab) }
    }

    /// `llama_vocab_get_attr`: bits of `enum llama_token_attr`. `token` must be in range.
    pub fn attr(&self, token: i32) -> u32 {
        assert!((0..self.n_tokens()).contains(&token));
        // SAFETY: as above, and the token is in range.
        unsafe { (self.api().vocab_get_attr)(self.vocab, token) as u32 }
    }

    /// `llama_vocab_is_eog`.
    pub fn is_eog(&self, token: i32) -> bool {
        // SAFETY: the vocabulary lives as long as `self.model`.
        unsafe { (self.api().vocab_is_eog)(self.vocab, token) }
    }

    /// The ids of BOS, EOS, newline and padding, -1 for none.
    pub fn specials(&self) -> [i32; 4] {
        let (api, v) = (self.api(), self.vocab);
        // SAFETY: the vocabulary lives as long as `self.model`.
        unsafe { [(api.vocab_bos)(v), (api.vocab_eos)(v), (api.vocab_nl)(v), (api.vocab_pad)(v)] }
    }

    /// Whether BOS and EOS are added by `add_special`.
    pub fn adds(&self) -> (bool, bool) {
        // SAFETY: the vocabulary lives as long as `self.model`.
        unsafe { ((self.api().vocab_get_add_bos)(self.vocab), (self.api().vocab_get_add_eos)(self.vocab)) }
    }

    /// `llama_tokenize`.
    pub fn tokenize(&self, text: &[u8], add_special: bool, parse_special: bool) -> Vec<i32> {
        grow(text.len() + 8, |out: &mut [i32]| {
            // SAFETY: both buffers are given with their lengths.
            unsafe {
                (self.api().tokenize)(
                    self.vocab,
                    text.as_ptr().cast(),
                    text.len() as i32,
                    out.as_mut_ptr(),
                    out.len() as i32,
                    add_special,
                    parse_special,
                )
            }
        })
    }

    /// `llama_token_to_piece`, `lstrip` being the number of leading spaces to drop.
    pub fn token_to_piece(&self, token: i32, lstrip: i32, special: bool) -> Vec<u8> {
        assert!((0..self.n_tokens()).contains(&token));
        grow(32, |out: &mut [u8]| {
            // SAFETY: the buffer is given with its length; the token is in range.
            unsafe {
                let (buf, len) = (out.as_mut_ptr().cast(), out.len() as i32);
                (self.api().token_to_piece)(self.vocab, token, buf, len, lstrip, special)
            }
        })
    }

    /// `llama_detokenize`. The tokens must be in range.
    pub fn detokenize(&self, tokens: &[i32], remove_special: bool, unparse_special: bool) -> Vec<u8> {
        let n = self.n_tokens();
        assert!(tokens.iter().all(|t| (0..n).contains(t)));
        grow(tokens.len() * 8 + 16, |out: &mut [u8]| {
            // SAFETY: both buffers are given with their lengths; the tokens are in range.
            unsafe {
                (self.api().detokenize)(
                    self.vocab,
                    tokens.as_ptr(),
                    tokens.len() as i32,
                    out.as_mut_ptr().cast(),
                    out.len() as i32,
                    remove_special,
                    unparse_special,
                )
            }
        })
    }
}

/// Calls `fill` with a buffer of `n` items and, if it answers `-needed`, again with `needed`.
fn grow<T: Default + Clone>(n: usize, mut fill: impl FnMut(&mut [T]) -> i32) -> Vec<T> {
    let mut buf = vec![T::default(); n];
    let mut got = fill(&mut buf);
    if got < 0 {
        buf.resize(got.unsigned_abs() as usize, T::default());
        got = fill(&mut buf);
    }
    buf.truncate(usize::try_from(got).expect("the peer asked twice for a larger buffer"));
    buf
}
