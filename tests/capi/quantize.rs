//! Quantisation of model files through the C ABI.

use std::ffi::c_void;

use rocmforge::quant::GgmlType;
use rocmforge::quantize::Mixture;

use crate::*;

fn c_path(path: &std::path::Path) -> CString {
    CString::new(path.to_str().unwrap()).unwrap()
}

fn params() -> rf_quantize_params {
    let mut params = unsafe { std::mem::zeroed() };
    ok(unsafe { rf_quantize_params_init(&mut params, size_of::<rf_quantize_params>()) });
    params
}

#[test]
fn models_are_quantised() {
    let dir = common::scratch("quantize");
    let demo = c_path(&common::root().join("models/demo.gguf"));
    let path = dir.join("q4_k_m.gguf");
    let out = c_path(&path);
    extern "C" fn count(share: f32, calls: *mut c_void) -> Flag {
        assert!((0.0..=1.0).contains(&share));
        unsafe { *calls.cast::<u32>() += 1 };
        true.into()
    }
    extern "C" fn stop(_: f32, _: *mut c_void) -> Flag {
        false.into()
    }
    unsafe {
        let mut calls = 0u32;
        let mut p = params();
        p.file_type = rf_file_type::Q4_K_M as i32;
        p.output_tensor_type = rf_type::Q8_0 as i32;
        p.progress_callback = Some(count);
        p.progress_user_data = (&raw mut calls).cast();
        ok(rf_model_quantize(demo.as_ptr(), out.as_ptr(), &p));
        assert!(calls > 10);
        let file = rocmforge::gguf::File::open(&path).unwrap();
        assert_eq!(file.u32("general.file_type").unwrap(), Some(15));
        assert_eq!(file.tensor("blk.1.attn_q.weight").unwrap().ty, GgmlType::Q4_K);

        fails(rf_model_quantize(out.as_ptr(), out.as_ptr(), null()), rf_status::InvalidArgument, "quantised");
        p.progress_callback = Some(stop);
        fails(rf_model_quantize(demo.as_ptr(), out.as_ptr(), &p), rf_status::Aborted, "cancelled");
        let mut p = params();
        p.file_type = rf_file_type::IQ2_XXS as i32;
        fails(rf_model_quantize(demo.as_ptr(), out.as_ptr(), &p), rf_status::Unsupported, "imatrix");
        p.imatrix_path = c"/no/such/imatrix".as_ptr();
        fails(rf_model_quantize(demo.as_ptr(), out.as_ptr(), &p), rf_status::Io, "/no/such/imatrix");
        p.imatrix_path = demo.as_ptr();
        fails(rf_model_quantize(demo.as_ptr(), out.as_ptr(), &p), rf_status::Format, "no importance data");
        fails(rf_model_quantize(c"/no".as_ptr(), out.as_ptr(), null()), rf_status::Io, "/no");
    }
}

#[test]
fn parameters_are_checked() {
    let refused = |change: fn(&mut rf_quantize_params), what: &str| {
        let mut p = params();
        change(&mut p);
        let status = unsafe { rf_model_quantize(c"/no".as_ptr(), c"/no".as_ptr(), &p) };
        fails(status, rf_status::InvalidArgument, what);
    };
    refused(|p| p.file_type = 4, "file_type is 4");
    refused(|p| p.file_type = -1, "file_type is -1");
    refused(|p| p.n_threads = -1, "n_threads");
    refused(|p| p.output_tensor_type = 4, "output_tensor_type is 4");
    refused(|p| p.token_embedding_type = -2, "token_embedding_type is -2");
    refused(|p| p.reserved[4] = 1, "reserved");
    refused(|p| p.struct_size = 4, "struct_size");
}

/// The header has every mixture and every type that weights have, with the library's names and numbers.
#[test]
fn the_header_has_the_numbers() {
    let header = std::fs::read_to_string(common::root().join("include/rocmforge.h")).unwrap();
    for m in Mixture::ALL {
        let line = format!("    RF_FILE_TYPE_{} = {},\n", m.name(), m.id());
        assert!(header.contains(&line), "{line}");
    }
    for ty in GgmlType::ALL.iter().filter(|t| t.has_codec()) {
        let line = format!("    RF_TYPE_{} = {},\n", ty.name().to_uppercase(), *ty as u32);
        assert!(header.contains(&line), "{line}");
    }
}
