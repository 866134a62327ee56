//! Quantisation of model files.

use std::ffi::{CStr, c_char, c_void};

use super::ffi::{self, Extensible, Failure, Flag, Outcome, c_str, init_struct, no_padding, params};
use super::{model, rf_log_callback, rf_progress_callback, rf_status};
use crate::quant::GgmlType;
use crate::quantize::{Imatrix, Mixture, Progress, QuantizeParams, quantize};

/// How the weights of a model's file are stored, with the numbers and names of llama.cpp. Most name a
/// mixture of types: S, M and L are small, medium and large ones.
#[repr(C)]
pub enum rf_file_type {
    /// 32-bit floating point.
    F32 = 0,
    /// 16-bit floating point (IEEE).
    F16 = 1,
    /// 4.5 bits a weight, simple and fast.
    Q4_0 = 2,
    /// 5 bits a weight, simple.
    Q4_1 = 3,
    /// 8.5 bits a weight, next to no loss.
    Q8_0 = 7,
    /// 5.5 bits a weight, simple.
    Q5_0 = 8,
    /// 6 bits a weight, simple.
    Q5_1 = 9,
    /// 2.6 bits a weight and more for some.
    Q2_K = 10,
    /// 3.4 bits a weight.
    Q3_K_S = 11,
    /// 3.4 bits a weight and more for some.
    Q3_K_M = 12,
    /// 3.4 bits a weight and more for many.
    Q3_K_L = 13,
    /// 4.5 bits a weight.
    Q4_K_S = 14,
    /// 4.5 bits a weight and more for some: what most models are best stored in.
    Q4_K_M = 15,
    /// 5.5 bits a weight.
    Q5_K_S = 16,
    /// 5.5 bits a weight and more for some.
    Q5_K_M = 17,
    /// 6.6 bits a weight.
    Q6_K = 18,
    /// 2.1 bits a weight; needs importance data.
    IQ2_XXS = 19,
    /// 2.3 bits a weight; needs importance data.
    IQ2_XS = 20,
    /// 2.6 bits a weight; needs importance data.
    Q2_K_S = 21,
    /// 3.3 bits a weight; needs importance data.
    IQ3_XS = 22,
    /// 3.1 bits a weight; needs importance data.
    IQ3_XXS = 23,
    /// 1.6 bits a weight; needs importance data.
    IQ1_S = 24,
    /// 4.5 bits a weight, levels spaced as weights are.
    IQ4_NL = 25,
    /// 3.4 bits a weight on a grid.
    IQ3_S = 26,
    /// 3.7 bits a weight on a grid.
    IQ3_M = 27,
    /// 2.5 bits a weight; needs importance data.
    IQ2_S = 28,
    /// 2.7 bits a weight; needs importance data.
    IQ2_M = 29,
    /// 4.25 bits a weight, levels spaced as weights are.
    IQ4_XS = 30,
    /// 1.75 bits a weight; needs importance data.
    IQ1_M = 31,
    /// 16-bit floating point (bfloat16).
    BF16 = 32,
    /// 1.7 bits a weight, for models trained to have ternary weights.
    TQ1_0 = 36,
    /// 2.1 bits a weight, for models trained to have ternary weights.
    TQ2_0 = 37,
    /// Experts in 4-bit floating point of the OCP MX specification, the rest in 8.5 bits.
    MXFP4_MOE = 38,
    /// 1.1 bits a weight, for models trained to have binary weights.
    Q1_0 = 40,
    /// 2.25 bits a weight, for models trained to have four levels.
    Q2_0 = 41,
}

/// How to quantise a model. Filled in by rf_quantize_params_init(), then changed by the caller.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_quantize_params {
    /// sizeof(rf_quantize_params).
    pub struct_size: usize,
    /// An rf_file_type: the mixture of types. Default RF_FILE_TYPE_Q8_0.
    pub file_type: i32,
    /// One of ggml's type numbers (rf_type) for output.weight whatever the mixture says; -1, the
    /// default, for none.
    pub output_tensor_type: i32,
    /// The same for token_embd.weight.
    pub token_embedding_type: i32,
    /// Threads; 0, the default: all processors.
    pub n_threads: i32,
    /// Give every tensor the mixture's main type. Default false.
    pub pure: Flag,
    /// Take tensors that are quantised already, which loses more than quantising the original. Default
    /// false.
    pub allow_requantize: Flag,
    /// Leave output.weight as it is. Default false.
    pub leave_output_tensor: Flag,
    /// Zero.
    pub reserved: [u8; 5],
    /// A file of importance data made by llama.cpp's imatrix, GGUF or .dat; or NULL.
    pub imatrix_path: *const c_char,
    /// Told how far the work is, and can cancel it; or NULL.
    pub progress_callback: rf_progress_callback,
    /// For progress_callback.
    pub progress_user_data: *mut c_void,
    /// Takes a log line for each tensor; or NULL.
    pub log_callback: rf_log_callback,
    /// For log_callback.
    pub log_user_data: *mut c_void,
}

no_padding!(rf_quantize_params {
    struct_size: usize,
    file_type: i32,
    output_tensor_type: i32,
    token_embedding_type: i32,
    n_threads: i32,
    pure: Flag,
    allow_requantize: Flag,
    leave_output_tensor: Flag,
    reserved: [u8; 5],
    imatrix_path: *const c_char,
    progress_callback: rf_progress_callback,
    progress_user_data: *mut c_void,
    log_callback: rf_log_callback,
    log_user_data: *mut c_void,
});

// SAFETY: `no_padding` above; integers, flags and nullable pointers, valid whatever their bytes.
unsafe impl Extensible for rf_quantize_params {
    const NAME: &'static str = "rf_quantize_params";
    fn defaults() -> Self {
        rf_quantize_params {
            struct_size: size_of::<Self>(),
            file_type: rf_file_type::Q8_0 as i32,
            output_tensor_type: -1,
            token_embedding_type: -1,
            n_threads: 0,
            pure: Flag::default(),
            allow_requantize: Flag::default(),
            leave_output_tensor: Flag::default(),
            reserved: [0; 5],
            imatrix_path: std::ptr::null(),
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
/// @param struct_size sizeof(rf_quantize_params).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_quantize_params_init(
    params: *mut rf_quantize_params,
    struct_size: usize,
) -> rf_status {
    // SAFETY: room for `struct_size` bytes, says the header.
    ffi::call("rf_quantize_params_init", || unsafe { init_struct(params, struct_size) })
}

/// Quantises the model in one file to another, by llama.cpp's rules. Only a few rows are in
/// memory at a time. The output is written beside its place under its name with ".part" added, and
/// renamed at the end: a call that fails leaves the old file alone, and input may be output.
///
/// @param input  The model, a GGUF file of any architecture; of a split model the first.
/// @param output The file to write.
/// @param params How to quantise it; NULL for the defaults.
/// @return RF_STATUS_IO, RF_STATUS_FORMAT (input, imatrix, weights that are not finite),
///         RF_STATUS_INVALID_ARGUMENT (unknown type, weights that are quantised already, importance
///         data of another model), RF_STATUS_UNSUPPORTED (importance data is missing),
///         RF_STATUS_ABORTED (progress callback).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_quantize(
    input: *const c_char,
    output: *const c_char,
    params: *const rf_quantize_params,
) -> rf_status {
    ffi::call("rf_model_quantize", || {
        // SAFETY: strings, and parameters as long as they say, says the header.
        let (input, output, p) =
            unsafe { (c_str(input, "input")?, c_str(output, "output")?, self::params(params)?) };
        let imatrix_path = match p.imatrix_path.is_null() {
            true => None,
            // SAFETY: a string, says the header.
            false => Some(unsafe { c_str(p.imatrix_path, "imatrix_path")? }),
        };
        run(input, output, imatrix_path, &p)
    })
}

fn run(input: &CStr, output: &CStr, imatrix_path: Option<&CStr>, p: &rf_quantize_params) -> Outcome {
    if p.reserved != [0; 5] {
        return Err(Failure::invalid("the reserved bytes of rf_quantize_params are not zero; initialise it"));
    }
    let mixture = u32::try_from(p.file_type).ok().and_then(Mixture::from_id);
    let mixture =
        mixture.ok_or_else(|| Failure::invalid(format!("file_type is {}, no rf_file_type", p.file_type)))?;
    let n_threads = usize::try_from(p.n_threads)
        .map_err(|_| Failure::invalid(format!("n_threads is {}; expected 0 or more", p.n_threads)))?;
    let imatrix = imatrix_path.map(|path| Imatrix::open(model::path(path))).transpose()?;
    let params = QuantizeParams {
        imatrix: imatrix.as_ref(),
        output_tensor_type: tensor_type(p.output_tensor_type, "output_tensor_type")?,
        token_embedding_type: tensor_type(p.token_embedding_type, "token_embedding_type")?,
        pure: p.pure.get(),
        leave_output_tensor: p.leave_output_tensor.get(),
        allow_requantize: p.allow_requantize.get(),
        n_threads,
        log: model::log(p.log_callback, p.log_user_data),
        ..QuantizeParams::new(mixture)
    };
    let user_data = p.progress_user_data;
    // SAFETY: a function of this type, says the header.
    let mut told = p.progress_callback.map(|f| move |done| unsafe { f(done, user_data) }.get());
    quantize(model::path(input), model::path(output), &params, told.as_mut().map(|f| f as Progress<'_>))?;
    Ok(())
}

/// The type with ggml's number `id`, none for -1.
fn tensor_type(id: i32, what: &str) -> Outcome<Option<GgmlType>> {
    if id == -1 {
        return Ok(None);
    }
    let found = u32::try_from(id).ok().and_then(GgmlType::from_id);
    match found {
        Some(ty) => Ok(Some(ty)),
        None => Err(Failure::invalid(format!("{what} is {id}; expected -1 or a type number of ggml"))),
    }
}
