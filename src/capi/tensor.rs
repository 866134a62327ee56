//! The tensors of a model's file.

use std::ffi::c_char;

use super::ffi::{self, Extensible, Failure, Outcome, no_padding, out, put_str, put_struct};
use super::{rf_model, rf_status};
use crate::Model;
use crate::gguf::TensorInfo;
use crate::quant::GgmlType;

/// Types of weights and of the KV cache that have a use in this API, with the numbers of ggml. A
/// model's file may have tensors of others: see rf_type_name().
#[repr(C)]
pub enum rf_type {
    /// 32-bit floating point.
    F32 = 0,
    /// 16-bit floating point (IEEE).
    F16 = 1,
    /// Blocks of 32 at 4.5 bits each.
    Q4_0 = 2,
    /// Blocks of 32 at 5 bits each, with an offset.
    Q4_1 = 3,
    /// Blocks of 32 at 5.5 bits each.
    Q5_0 = 6,
    /// Blocks of 32 at 6 bits each, with an offset.
    Q5_1 = 7,
    /// Blocks of 32 at 8.5 bits each.
    Q8_0 = 8,
    /// Superblocks of 256 at 2.625 bits each.
    Q2_K = 10,
    /// Superblocks of 256 at 3.4375 bits each.
    Q3_K = 11,
    /// Superblocks of 256 at 4.5 bits each.
    Q4_K = 12,
    /// Superblocks of 256 at 5.5 bits each.
    Q5_K = 13,
    /// Superblocks of 256 at 6.5625 bits each.
    Q6_K = 14,
    /// Superblocks of 256 at 2.0625 bits each, points of a grid.
    IQ2_XXS = 16,
    /// Superblocks of 256 at 2.3125 bits each, points of a grid.
    IQ2_XS = 17,
    /// Superblocks of 256 at 3.0625 bits each, points of a grid.
    IQ3_XXS = 18,
    /// Superblocks of 256 at 1.5625 bits each, points of a grid.
    IQ1_S = 19,
    /// Blocks of 32 at 4.5 bits each, levels spaced as weights are.
    IQ4_NL = 20,
    /// Superblocks of 256 at 3.4375 bits each, points of a grid.
    IQ3_S = 21,
    /// Superblocks of 256 at 2.5625 bits each, points of a grid.
    IQ2_S = 22,
    /// Superblocks of 256 at 4.25 bits each, levels spaced as weights are.
    IQ4_XS = 23,
    /// Superblocks of 256 at 1.75 bits each, points of a grid.
    IQ1_M = 29,
    /// 16-bit floating point (bfloat16).
    BF16 = 30,
    /// Superblocks of 256 at 1.6875 bits each, ternary.
    TQ1_0 = 34,
    /// Superblocks of 256 at 2.0625 bits each, ternary.
    TQ2_0 = 35,
    /// Blocks of 32 at 4.25 bits each, MXFP4 of the OCP MX specification.
    MXFP4 = 39,
    /// Blocks of 64 at 4.5 bits each, 4-bit floating point with 8-bit floating-point scales.
    NVFP4 = 40,
    /// Blocks of 128 at 1.125 bits each, binary.
    Q1_0 = 41,
    /// Blocks of 64 at 2.25 bits each.
    Q2_0 = 42,
}

/// What a tensor is like. The caller sets struct_size before the call.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_tensor_info {
    /// sizeof(rf_tensor_info).
    pub struct_size: usize,
    /// The type of its elements: an rf_type, or another of ggml's numbers.
    pub r#type: i32,
    /// Dimensions in use, 1 to 4.
    pub n_dims: i32,
    /// Elements along each dimension, the innermost first; 1 where not in use.
    pub ne: [u64; 4],
    /// Bytes.
    pub n_bytes: u64,
}

no_padding!(rf_tensor_info { struct_size: usize, r#type: i32, n_dims: i32, ne: [u64; 4], n_bytes: u64 });

// SAFETY: `no_padding` above; integers only.
unsafe impl Extensible for rf_tensor_info {
    const NAME: &'static str = "rf_tensor_info";
    fn defaults() -> Self {
        rf_tensor_info { struct_size: size_of::<Self>(), r#type: 0, n_dims: 0, ne: [0; 4], n_bytes: 0 }
    }
}

fn nth(model: &Model, index: usize) -> Outcome<TensorInfo<'_>> {
    model.file().tensor_at(index).ok_or_else(|| {
        Failure::new(
            rf_status::NotFound,
            format!("there is no tensor {index}: the model has {}, from 0", model.file().n_tensors()),
        )
    })
}

/// The number of tensors of a model.
///
/// @param model     The model.
/// @param n_tensors Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_tensor_count(model: *const rf_model, n_tensors: *mut usize) -> rf_status {
    // SAFETY: a live model and room for a size, says the header.
    unsafe {
        ffi::read("rf_model_tensor_count", model, |m| {
            out(n_tensors, "n_tensors")?.set(m.model.file().n_tensors());
            Ok(())
        })
    }
}

/// The name of a tensor by its place in the file.
///
/// @param model The model.
/// @param index 0 to rf_model_tensor_count() - 1; RF_STATUS_NOT_FOUND otherwise.
/// @param buf   Buffer for the name, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_tensor_name(
    model: *const rf_model,
    index: usize,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live model and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_model_tensor_name", model, |m| {
            put_str(nth(&m.model, index)?.name.as_bytes(), buf, size, len)
        })
    }
}

/// Type, shape and size of a tensor by its place in the file.
///
/// @param model The model.
/// @param index 0 to rf_model_tensor_count() - 1; RF_STATUS_NOT_FOUND otherwise.
/// @param info  Receives them; its struct_size is set by the caller.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_tensor_info(
    model: *const rf_model,
    index: usize,
    info: *mut rf_tensor_info,
) -> rf_status {
    // SAFETY: a live model and a struct as long as it says, says the header.
    unsafe {
        ffi::read("rf_model_tensor_info", model, |m| {
            let t = nth(&m.model, index)?;
            let value = rf_tensor_info {
                r#type: t.ty as i32,
                n_dims: t.n_dims as i32,
                ne: t.dims,
                n_bytes: t.n_bytes() as u64,
                ..Extensible::defaults()
            };
            put_struct(value, info)
        })
    }
}

/// The name of a type of weights: "q4_k".
///
/// @param type An rf_type or another number of ggml; RF_STATUS_NOT_FOUND for a number that is none.
/// @param buf  Buffer for the name, or NULL to ask for its length.
/// @param size Bytes of the buffer.
/// @param len  Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_type_name(
    r#type: i32,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    ffi::call("rf_type_name", || {
        let ty = ggml_type(r#type)?;
        // SAFETY: a buffer of `size` bytes, says the header.
        unsafe { put_str(ty.name().as_bytes(), buf, size, len) }
    })
}

/// The type that a caller means.
pub(super) fn ggml_type(id: i32) -> Outcome<GgmlType> {
    u32::try_from(id)
        .ok()
        .and_then(GgmlType::from_id)
        .ok_or_else(|| Failure::new(rf_status::NotFound, format!("there is no type {id}")))
}
