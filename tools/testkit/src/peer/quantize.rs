//! The peer's quantisation of model files.

use std::ffi::{CString, c_int, c_void};
use std::path::Path;

use rocmforge::quant::GgmlType;

use super::{Peer, failure};

/// `struct llama_model_quantize_params`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct QuantizeParams {
    n_threads: i32,
    ftype: c_int,
    output_tensor_type: c_int,
    token_embedding_type: c_int,
    allow_requantize: bool,
    quantize_output_tensor: bool,
    only_copy: bool,
    pure: bool,
    keep_split: bool,
    dry_run: bool,
    imatrix: *const ImatrixData,
    kv_overrides: *const c_void,
    tt_overrides: *const c_void,
    prune_layers: *const i32,
    max_buf_size: usize,
}

const _: () = assert!(size_of::<QuantizeParams>() == 64, "llama_model_quantize_params of libllama v0.5.0");

/// `struct llama_model_imatrix_data`; an array of them ends with a null name.
#[repr(C)]
struct ImatrixData {
    name: *const std::ffi::c_char,
    data: *const f32,
    size: usize,
}

/// How the peer shall quantise.
#[derive(Clone, Copy, Default)]
pub struct Quantize<'a> {
    /// `enum llama_ftype`.
    pub ftype: u32,
    /// Tensors and the importance of their columns.
    pub imatrix: &'a [(String, Vec<f32>)],
    /// `--pure`.
    pub pure: bool,
    /// `--allow-requantize`.
    pub allow_requantize: bool,
    /// `--leave-output-tensor`.
    pub leave_output_tensor: bool,
    /// `--output-tensor-type`.
    pub output_tensor_type: Option<GgmlType>,
    /// `--token-embedding-type`.
    pub token_embedding_type: Option<GgmlType>,
}

impl Peer {
    /// `llama_model_quantize`.
    pub fn quantize(&self, input: &Path, output: &Path, how: &Quantize<'_>) -> Result<(), String> {
        let c_path =
            |path: &Path| CString::new(path.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string());
        let (c_input, c_output) = (c_path(input)?, c_path(output)?);
        let names: Vec<CString> = how.imatrix.iter().flat_map(|(n, _)| CString::new(n.as_str())).collect();
        let end = ImatrixData { name: std::ptr::null(), data: std::ptr::null(), size: 0 };
        let imatrix: Vec<ImatrixData> = names
            .iter()
            .zip(how.imatrix)
            .map(|(n, (_, d))| ImatrixData { name: n.as_ptr(), data: d.as_ptr(), size: d.len() })
            .chain([end])
            .collect();
        let api = &self.0.api;
        // SAFETY: llama_model_quantize_default_params has no precondition.
        let defaults = unsafe { (api.model_quantize_default_params)() };
        let given = |ty: Option<GgmlType>, default| ty.map_or(default, |ty| ty as c_int);
        let params = QuantizeParams {
            n_threads: 1,
            ftype: how.ftype as c_int,
            output_tensor_type: given(how.output_tensor_type, defaults.output_tensor_type),
            token_embedding_type: given(how.token_embedding_type, defaults.token_embedding_type),
            allow_requantize: how.allow_requantize,
            quantize_output_tensor: !how.leave_output_tensor,
            pure: how.pure,
            imatrix: if how.imatrix.is_empty() { std::ptr::null() } else { imatrix.as_ptr() },
            ..defaults
        };
        // SAFETY: two C strings and parameters whose arrays live through the call.
        match unsafe { (api.model_quantize)(c_input.as_ptr(), c_output.as_ptr(), &params) } {
            0 => Ok(()),
            _ => Err(failure(format_args!("cannot quantise {}", input.display()))),
        }
    }
}
