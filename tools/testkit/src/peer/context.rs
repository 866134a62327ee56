//! Models and contexts of the peer: decoding and logits.

use std::ffi::{CString, c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;

use super::{Api, Model, ModelParams, Peer, failure};
use crate::engine::{Engine, Item, Params};
use rocmforge::model::Pooling;

/// `struct llama_context`, opaque.
#[repr(C)]
pub(super) struct Context {
    _private: [u8; 0],
}

/// `struct llama_memory_i`, opaque.
#[repr(C)]
pub(super) struct Memory {
    _private: [u8; 0],
}

/// `struct llama_context_params`, passed by value.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ContextParams {
    n_ctx: u32,
    n_batch: u32,
    n_ubatch: u32,
    n_seq_max: u32,
    n_rs_seq: u32,
    n_outputs_max: u32,
    n_outputs_max_per_seq: u32,
    n_threads: i32,
    n_threads_batch: i32,
    ctx_type: c_int,
    rope_scaling_type: c_int,
    pooling_type: c_int,
    attention_type: c_int,
    flash_attn_type: c_int,
    rope_freq_base: f32,
    rope_freq_scale: f32,
    yarn_ext_factor: f32,
    yarn_attn_factor: f32,
    yarn_beta_fast: f32,
    yarn_beta_slow: f32,
    yarn_orig_ctx: u32,
    defrag_thold: f32,
    cb_eval: *const c_void,
    cb_eval_user_data: *mut c_void,
    type_k: c_int,
    type_v: c_int,
    abort_callback: *const c_void,
    abort_callback_data: *mut c_void,
    embeddings: bool,
    offload_kqv: bool,
    no_perf: bool,
    op_offload: bool,
    swa_full: bool,
    kv_unified: bool,
    samplers: *mut c_void,
    n_samplers: usize,
    ctx_other: *mut Context,
}

const _: () = assert!(size_of::<ContextParams>() == 160, "llama_context_params of libllama v0.5.0");

/// `struct llama_batch`, passed by value.
#[repr(C)]
pub(super) struct RawBatch {
    n_tokens: i32,
    token: *mut i32,
    embd: *mut f32,
    pos: *mut i32,
    n_seq_id: *mut i32,
    seq_id: *mut *mut i32,
    logits: *mut i8,
}

const _: () = assert!(size_of::<RawBatch>() == 56, "llama_batch of libllama v0.5.0");

/// A model of the peer, freed when dropped.
pub struct PeerModel {
    pub(super) peer: Peer,
    ptr: NonNull<Model>,
}

impl PeerModel {
    pub(super) fn load(peer: Peer, path: &Path, params: ModelParams) -> Result<PeerModel, String> {
        let c_path = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string())?;
        // SAFETY: the path is a C string and the parameters come from llama_model_default_params.
        let ptr = unsafe { (peer.0.api.model_load_from_file)(c_path.as_ptr(), params) };
        let ptr = NonNull::new(ptr).ok_or_else(|| failure(format_args!("cannot load {}", path.display())))?;
        Ok(PeerModel { peer, ptr })
    }

    pub(super) fn ptr(&self) -> *mut Model {
        self.ptr.as_ptr()
    }

    /// Entries in a row of logits.
    pub fn n_vocab(&self) -> usize {
        let api = &self.peer.0.api;
        // SAFETY: the model is live; its vocabulary lives as long.
        usize::try_from(unsafe { (api.vocab_n_tokens)((api.model_get_vocab)(self.ptr())) }).unwrap_or(0)
    }

    /// A context over this model; `flash_attn` of `None` lets the library choose.
    pub fn context(&self, params: &Params, flash_attn: Option<bool>) -> Result<PeerContext<'_>, String> {
        let api = &self.peer.0.api;
        // SAFETY: llama_context_default_params has no precondition.
        let defaults = unsafe { (api.context_default_params)() };
        let raw = ContextParams {
            n_ctx: params.n_ctx as u32,
            n_batch: params.n_batch as u32,
            n_ubatch: params.n_ubatch as u32,
            n_seq_max: params.n_seq_max as u32,
            n_outputs_max: 0, // as many as tokens
            n_threads: params.n_threads as i32,
            n_threads_batch: params.n_threads as i32,
            flash_attn_type: flash_attn.map_or(-1, c_int::from),
            type_k: params.kv as c_int,
            type_v: params.kv as c_int,
            embeddings: params.embeddings.is_some(),
            pooling_type: params.embeddings.map_or(0, |p| p as c_int),
            kv_unified: params.kv_unified,
            ..defaults
        };
        // SAFETY: a live model; the parameters are the library's own but for plain numbers.
        let ptr = unsafe { (api.init_from_model)(self.ptr(), raw) };
        let ptr = NonNull::new(ptr).ok_or_else(|| failure("cannot make a context"))?;
        Ok(PeerContext {
            model: self,
            ptr,
            n_batch: params.n_batch,
            n_seq_max: params.n_seq_max,
            pooled: params.embeddings.is_some_and(|p| p != Pooling::None),
            n_vocab: self.n_vocab(),
        })
    }
}

impl Drop for PeerModel {
    fn drop(&mut self) {
        // SAFETY: made by llama_model_load_from_file and freed only here; contexts borrow it.
        unsafe { (self.peer.0.api.model_free)(self.ptr()) }
    }
}

/// A context of the peer, freed when dropped.
pub struct PeerContext<'m> {
    model: &'m PeerModel,
    ptr: NonNull<Context>,
    n_batch: usize,
    n_seq_max: usize,
    pooled: bool,
    n_vocab: usize,
}

impl PeerContext<'_> {
    fn api(&self) -> &'static Api {
        &self.model.peer.0.api
    }

    /// Decodes and waits.
    fn run_batch(&mut self, batch: &[Item]) -> Result<(), String> {
        if batch.is_empty() || batch.len() > self.n_batch {
            return Err(format!(
                "the peer takes batches of 1 to {} tokens, not {}",
                self.n_batch,
                batch.len()
            ));
        }
        let api = self.api();
        let mut token: Vec<i32> = batch.iter().map(|i| i.token).collect();
        let mut pos: Vec<i32> = batch.iter().map(|i| i.pos).collect();
        let mut seq: Vec<i32> = batch.iter().map(|i| i.seq).collect();
        let mut n_seq_id = vec![1i32; batch.len()];
        let mut seq_id: Vec<*mut i32> = seq.iter_mut().map(|s| s as *mut i32).collect();
        let mut logits: Vec<i8> = batch.iter().map(|i| i8::from(i.logits)).collect();
        let raw = RawBatch {
            n_tokens: batch.len() as i32,
            token: token.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: pos.as_mut_ptr(),
            n_seq_id: n_seq_id.as_mut_ptr(),
            seq_id: seq_id.as_mut_ptr(),
            logits: logits.as_mut_ptr(),
        };
        // SAFETY: a live context; every array has n_tokens entries and lives through the call.
        let status = unsafe {
            let status = (api.decode)(self.ptr.as_ptr(), raw);
            (api.synchronize)(self.ptr.as_ptr());
            status
        };
        if status != 0 {
            return Err(failure(format_args!("cannot decode (llama_decode returned {status})")));
        }
        Ok(())
    }

    /// `n` floats that the library lends, until the next decode.
    fn lent(&self, row: *const f32, n: usize, what: std::fmt::Arguments<'_>) -> Result<&[f32], String> {
        let row = NonNull::new(row.cast_mut()).ok_or_else(|| failure(format_args!("has no {what}")))?;
        // SAFETY: what the library gives for an output holds that many floats until the next decode.
        Ok(unsafe { std::slice::from_raw_parts(row.as_ptr(), n) })
    }
}

impl Engine for PeerContext<'_> {
    fn n_vocab(&self) -> usize {
        self.n_vocab
    }

    fn clear(&mut self) {
        let api = self.api();
        // SAFETY: a live context; its memory lives as long.
        unsafe { (api.memory_clear)((api.get_memory)(self.ptr.as_ptr()), true) }
    }

    fn shift(&mut self, from: usize, to: usize) -> Result<(), String> {
        let api = self.api();
        let (from, to) = (from as i32, to as i32);
        // SAFETY: a live context; its memory lives as long.
        unsafe {
            let memory = (api.get_memory)(self.ptr.as_ptr());
            if !(api.memory_seq_rm)(memory, 0, from, to) {
                return Err(failure("cannot remove tokens"));
            }
            (api.memory_seq_add)(memory, 0, to, -1, from - to);
        }
        Ok(())
    }

    fn run(&mut self, batch: &[Item]) -> Result<(), String> {
        self.run_batch(batch)
    }

    fn decode(&mut self, batch: &[Item]) -> Result<Vec<f32>, String> {
        self.run(batch)?;
        let mut out = Vec::with_capacity(batch.iter().filter(|i| i.logits).count() * self.n_vocab);
        for (i, _) in batch.iter().enumerate().filter(|(_, item)| item.logits) {
            // SAFETY: a live context.
            let row = unsafe { (self.api().get_logits_ith)(self.ptr.as_ptr(), i as i32) };
            out.extend_from_slice(self.lent(row, self.n_vocab, format_args!("logits for item {i}"))?);
        }
        Ok(out)
    }

    fn embeddings(&mut self, batch: &[Item]) -> Result<Vec<f32>, String> {
        self.run(batch)?;
        // SAFETY: a live model.
        let n_embd = unsafe { (self.api().model_n_embd)(self.model.ptr()) } as usize;
        let get = if self.pooled { self.api().get_embeddings_seq } else { self.api().get_embeddings_ith };
        let n = if self.pooled { self.n_seq_max } else { batch.len() };
        let mut out = Vec::with_capacity(n * n_embd);
        for i in (0..n).filter(|&i| self.pooled || batch[i].logits) {
            // SAFETY: a live context.
            let row = unsafe { get(self.ptr.as_ptr(), i as i32) };
            out.extend_from_slice(self.lent(row, n_embd, format_args!("embedding {i}"))?);
        }
        Ok(out)
    }
}

impl Drop for PeerContext<'_> {
    fn drop(&mut self) {
        // SAFETY: made by llama_init_from_model and freed only here.
        unsafe { (self.api().free)(self.ptr.as_ptr()) }
    }
}
