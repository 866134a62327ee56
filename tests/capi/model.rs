//! Loading models, and what they are.

use crate::common::N_VOCAB;
use std::ffi::{CStr, CString, c_char, c_void};

use crate::*;

#[test]
fn wrong_files() {
    let dir = common::scratch("wrong_files");
    let mut model = null_mut();
    let mut try_load = |path: &str| unsafe {
        let path = CString::new(path).unwrap();
        rf_model_load(path.as_ptr(), null(), &mut model)
    };
    fails(try_load("/no/such/file.gguf"), rf_status::Io, "/no/such/file.gguf");
    let text = dir.join("text.gguf");
    std::fs::write(&text, "this is no model").unwrap();
    fails(try_load(text.to_str().unwrap()), rf_status::Format, "text.gguf");
    let bytes = std::fs::read(common::model()).unwrap();
    let cut = dir.join("cut.gguf");
    std::fs::write(&cut, &bytes[..bytes.len() - 100]).unwrap();
    fails(try_load(cut.to_str().unwrap()), rf_status::Format, "cut.gguf");
    assert_eq!(
        string(|b, n, l| unsafe { rf_split_path(c"/m/x".as_ptr(), 1, 3, b, n, l) }),
        "/m/x-00002-of-00003.gguf"
    );
    fails(
        unsafe { rf_split_path(c"/m/x".as_ptr(), 3, 3, null_mut(), 0, &mut 0) },
        rf_status::InvalidArgument,
        "numbered from 0",
    );
}

#[test]
fn gpu_layers() {
    extern "C" fn log(level: i32, text: *const c_char, lines: *mut c_void) {
        assert!((0..=3).contains(&level));
        let text = unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned();
        unsafe { &mut *lines.cast::<Vec<String>>() }.push(text);
    }
    let mut lines: Vec<String> = Vec::new();
    let model = load_with(|p| {
        p.log_callback = Some(log);
        p.log_user_data = (&raw mut lines).cast();
    })
    .unwrap();
    let mut device = null();
    ok(unsafe { rf_model_device(model, &mut device) });
    let chosen = string(|b, n, l| unsafe { rf_device_name(device, b, n, l) });
    // Where there is no GPU, the log says why.
    let told = lines.iter().any(|l| l.starts_with("the CPU computes: "));
    assert!(told == (chosen == "cpu"), "{chosen}: {lines:?}");
    let n_gpu_layers = |model| {
        let mut n = -1;
        ok(unsafe { rf_model_n_gpu_layers(model, &mut n) });
        n
    };
    assert_eq!(n_gpu_layers(model) == 0, chosen == "cpu");
    let mut n_layer = 0;
    ok(unsafe { rf_model_n_layer(model, &mut n_layer) });
    unsafe { rf_model_free(model) };
    // A GPU that is asked for and cannot be used is an error.
    for n in [1, 2, 99] {
        match load_with(|p| p.n_gpu_layers = n) {
            Ok(model) => {
                assert_eq!(n_gpu_layers(model), n.min(n_layer + 1));
                unsafe { rf_model_free(model) }
            }
            Err(_) => assert!(chosen == "cpu" && last_error().contains("hip"), "{}", last_error()),
        }
    }
    let model = load_with(|p| p.n_gpu_layers = 0).unwrap();
    assert_eq!(n_gpu_layers(model), 0);
    unsafe { rf_model_free(model) };
    assert_eq!(load_with(|p| p.n_gpu_layers = -2).unwrap_err(), rf_status::InvalidArgument);
    assert_eq!(load_with(|p| p.fit_ctx = -2).unwrap_err(), rf_status::InvalidArgument);
    assert!(last_error().contains("fit_ctx is -2"), "{}", last_error());
}

#[test]
fn progress_and_cancel() {
    extern "C" fn progress(done: f32, seen: *mut c_void) -> Flag {
        let seen = unsafe { &mut *seen.cast::<(Vec<f32>, f32)>() };
        seen.0.push(done);
        (done < seen.1).into()
    }
    let run = |until: f32| {
        let mut seen = (Vec::<f32>::new(), until);
        let loaded = load_with(|p| {
            p.progress_callback = Some(progress);
            p.progress_user_data = (&raw mut seen).cast();
        });
        (loaded, seen.0)
    };
    let (loaded, seen) = run(2.0);
    unsafe { rf_model_free(loaded.unwrap()) };
    assert!(seen.is_sorted() && seen.first() == Some(&0.0) && seen.last() == Some(&1.0), "{seen:?}");
    let (loaded, seen) = run(0.5);
    assert_eq!(loaded.unwrap_err(), rf_status::Aborted);
    assert!(last_error().contains("progress callback") && seen.len() > 1, "{seen:?}");
}

#[test]
fn what_a_model_is() {
    let model = load();
    unsafe {
        assert_eq!(get(|n| rf_model_n_embd(model, n)), 64);
        assert_eq!(get(|n| rf_model_n_layer(model, n)), 2);
        assert_eq!(get(|n| rf_model_n_head(model, n)), 4);
        assert_eq!(get(|n| rf_model_n_head_kv(model, n)), 2);
        assert_eq!(get(|n| rf_model_n_expert(model, n)), 0);
        assert_eq!(get(|n| rf_model_n_ctx_train(model, n)), 64);
        assert_eq!(get(|n| rf_model_n_vocab(model, n)), N_VOCAB as i32);
        assert_eq!(get(|n| rf_model_size(model, n)), 4 * get(|n| rf_model_n_params(model, n)));
        assert!(string(|b, n, l| rf_model_desc(model, b, n, l)).starts_with("llama "));

        let n_keys = get(|n| rf_model_meta_count(model, n));
        assert_eq!(string(|b, n, l| rf_model_meta_key_by_index(model, 1, b, n, l)), "general.name");
        assert_eq!(string(|b, n, l| rf_model_meta_val_str_by_index(model, 1, b, n, l)), "tiny");
        fails(
            rf_model_meta_key_by_index(model, n_keys, null_mut(), 0, &mut 0),
            rf_status::NotFound,
            &n_keys.to_string(),
        );
        let text = |key: &CStr| string(|b, n, l| rf_model_meta_val_str(model, key.as_ptr(), b, n, l));
        assert_eq!(text(c"general.architecture"), "llama");
        assert_eq!(text(c"llama.block_count"), "2");
        assert_eq!(text(c"test.flag"), "true");
        assert!(text(c"tokenizer.ggml.tokens").ends_with(r#""<bos>", "<eos>", "<pad>"]"#));
        assert_eq!(get(|n| rf_model_meta_u64(model, c"llama.block_count".as_ptr(), n)), 2);
        assert_eq!(get(|n| rf_model_meta_i64(model, c"test.negative".as_ptr(), n)), -7);
        assert_eq!(get(|n| rf_model_meta_f64(model, c"test.double".as_ptr(), n)), 0.5);
        assert!(get(|n| rf_model_meta_bool(model, c"test.flag".as_ptr(), n)));
        let (mut ty, mut n) = (rf_meta_type::U8, 0);
        ok(rf_model_meta_array(model, c"tokenizer.ggml.tokens".as_ptr(), &mut ty, &mut n));
        assert_eq!((ty as i32, n), (rf_meta_type::Str as i32, N_VOCAB));
        ok(rf_model_meta_get_type(model, c"test.negative".as_ptr(), &mut ty));
        assert_eq!(ty as i32, rf_meta_type::I32 as i32);

        fails(rf_model_meta_u64(model, c"no.such".as_ptr(), &mut 0), rf_status::NotFound, "no.such");
        fails(rf_model_meta_u64(model, c"test.negative".as_ptr(), &mut 0), rf_status::InvalidArgument, "i32");
        fails(rf_model_meta_f64(model, c"test.flag".as_ptr(), &mut 0.0), rf_status::InvalidArgument, "bool");
        fails(rf_model_meta_bool(model, c"\xff".as_ptr(), &mut true), rf_status::InvalidArgument, "UTF-8");

        assert_eq!(get(|n| rf_model_tensor_count(model, n)), 20);
        assert_eq!(string(|b, n, l| rf_model_tensor_name(model, 0, b, n, l)), "token_embd.weight");
        let mut info: rf_tensor_info = std::mem::zeroed();
        info.struct_size = size_of::<rf_tensor_info>();
        ok(rf_model_tensor_info(model, 0, &mut info));
        assert_eq!((info.n_dims, info.ne), (2, [64, N_VOCAB as u64, 1, 1]));
        assert_eq!(info.n_bytes, 64 * N_VOCAB as u64 * 4);
        assert_eq!(string(|b, n, l| rf_type_name(info.r#type, b, n, l)), "f32");
        fails(rf_model_tensor_info(model, 20, &mut info), rf_status::NotFound, "20");
        fails(rf_type_name(-1, null_mut(), 0, &mut 0), rf_status::NotFound, "-1");
        rf_model_free(model);
    }
}

#[test]
fn weights_can_be_copied_and_the_copying_cancelled() {
    extern "C" fn stop_at_half(done: f32, _: *mut c_void) -> Flag {
        (done < 0.5).into()
    }
    let model = load_with(|p| p.no_mmap = true.into()).unwrap();
    unsafe {
        let mut context = std::ptr::null_mut();
        assert_eq!(rf_context_new(model, null(), &mut context), rf_status::Ok);
        rf_context_free(context);
        rf_model_free(model);
    }
    let cancelled = load_with(|p| {
        p.no_mmap = true.into();
        p.progress_callback = Some(stop_at_half);
    });
    assert_eq!(cancelled.unwrap_err(), rf_status::Aborted);
}

#[test]
fn vocab_only_models_tokenize_and_compute_nothing() {
    let model = load_with(|p| p.vocab_only = true.into()).unwrap();
    let v = vocab(model);
    unsafe {
        assert_eq!(get(|n| rf_vocab_n_tokens(v, n)), N_VOCAB as i32);
        let mut context = std::ptr::dangling_mut();
        fails(rf_context_new(model, null(), &mut context), rf_status::InvalidArgument, "vocab_only");
        assert!(context.is_null());
        fails(rf_model_n_embd(model, &mut 0), rf_status::InvalidArgument, "vocab_only");
        rf_model_free(model);
    }
}
