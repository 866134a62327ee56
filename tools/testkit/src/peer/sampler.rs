//! The peer's samplers.

use super::{Peer, PeerVocab};
use std::ffi::{CString, c_char};

/// `struct llama_sampler`, opaque.
#[repr(C)]
pub(super) struct Sampler {
    _private: [u8; 0],
}

/// `llama_token_data`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TokenData {
    pub id: i32,
    pub logit: f32,
    pub p: f32,
}

/// `llama_token_data_array`.
#[repr(C)]
pub(super) struct TokenArray {
    data: *mut TokenData,
    size: usize,
    selected: i64,
    sorted: bool,
}

/// `llama_logit_bias`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[allow(missing_docs)]
pub struct LogitBias {
    pub token: i32,
    pub bias: f32,
}

/// A sampler of the peer's and its settings, in the order of `llama_sampler_init_*`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Settings {
    Greedy,
    Dist(u32),
    TopK(i32),
    TopP(f32, usize),
    MinP(f32, usize),
    Typical(f32, usize),
    Temp(f32),
    TempExt(f32, f32, f32),
    Xtc(f32, f32, usize, u32),
    TopNSigma(f32),
    Mirostat(i32, u32, f32, f32, i32),
    MirostatV2(u32, f32, f32),
    Penalties(i32, i32, f32, f32, f32),
    Dry(f32, f32, i32, i32, Vec<String>),
    AdaptiveP(f32, f32, u32),
    LogitBias(i32, Vec<LogitBias>),
    Infill,
}

/// A sampler of the peer's.
pub struct PeerSampler {
    peer: Peer,
    ptr: *mut Sampler,
}

impl PeerVocab {
    /// A sampler, which may ask this vocabulary.
    pub fn sampler(&self, settings: &Settings) -> PeerSampler {
        use Settings::*;
        let (peer, api) = (self.model.peer, self.api());
        // SAFETY: by value but for the breakers and biases, which are copied and given with their number.
        let ptr = unsafe {
            match *settings {
                Greedy => (api.sampler_init_greedy)(),
                Dist(seed) => (api.sampler_init_dist)(seed),
                TopK(k) => (api.sampler_init_top_k)(k),
                TopP(p, keep) => (api.sampler_init_top_p)(p, keep),
                MinP(p, keep) => (api.sampler_init_min_p)(p, keep),
                Typical(p, keep) => (api.sampler_init_typical)(p, keep),
                Temp(t) => (api.sampler_init_temp)(t),
                TempExt(t, delta, exponent) => (api.sampler_init_temp_ext)(t, delta, exponent),
                Xtc(p, threshold, keep, seed) => (api.sampler_init_xtc)(p, threshold, keep, seed),
                TopNSigma(n) => (api.sampler_init_top_n_sigma)(n),
                Mirostat(n, seed, tau, eta, m) => (api.sampler_init_mirostat)(n, seed, tau, eta, m),
                MirostatV2(seed, tau, eta) => (api.sampler_init_mirostat_v2)(seed, tau, eta),
                Penalties(n, last_n, repeat, freq, present) => {
                    (api.sampler_init_penalties)(n, last_n, repeat, freq, present)
                }
                Dry(multiplier, base, allowed, last_n, ref breakers) => {
                    let texts: Vec<CString> =
                        breakers.iter().map(|b| CString::new(&b[..]).expect("no NUL")).collect();
                    let texts: Vec<*const c_char> = texts.iter().map(|t| t.as_ptr()).collect();
                    (api.sampler_init_dry)(
                        self.vocab,
                        multiplier,
                        base,
                        allowed,
                        last_n,
                        texts.as_ptr(),
                        texts.len(),
                    )
                }
                AdaptiveP(target, decay, seed) => (api.sampler_init_adaptive_p)(target, decay, seed),
                Infill => (api.sampler_init_infill)(self.vocab),
                LogitBias(n, ref biases) => {
                    (api.sampler_init_logit_bias)(n, biases.len() as i32, biases.as_ptr())
                }
            }
        };
        assert!(!ptr.is_null(), "the peer made no sampler of {settings:?}");
        PeerSampler { peer, ptr }
    }
}

impl PeerSampler {
    /// `llama_sampler_apply`: what is left of the candidates, and which was selected.
    pub fn apply(&mut self, mut candidates: Vec<TokenData>) -> (Vec<TokenData>, Option<usize>) {
        let (data, size) = (candidates.as_mut_ptr(), candidates.len());
        let mut array = TokenArray { data, size, selected: -1, sorted: false };
        // SAFETY: a live sampler, and candidates with their number.
        unsafe { (self.peer.0.api.sampler_apply)(self.ptr, &mut array) };
        // SAFETY: a part of the candidates, says the interface.
        let left = unsafe { std::slice::from_raw_parts(array.data, array.size) };
        (left.to_vec(), usize::try_from(array.selected).ok())
    }

    /// `llama_sampler_accept`.
    pub fn accept(&mut self, token: i32) {
        // SAFETY: a live sampler.
        unsafe { (self.peer.0.api.sampler_accept)(self.ptr, token) };
    }

    /// `llama_sampler_reset`.
    pub fn reset(&mut self) {
        // SAFETY: a live sampler.
        unsafe { (self.peer.0.api.sampler_reset)(self.ptr) };
    }
}

impl Drop for PeerSampler {
    fn drop(&mut self) {
        // SAFETY: a live sampler, and ours.
        unsafe { (self.peer.0.api.sampler_free)(self.ptr) };
    }
}
