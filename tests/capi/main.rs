//! The C ABI, called as a program in C calls it: what works, and that everything that cannot work
//! gives a status and a message.

// Every unsafe block calls the C ABI as a host would; what it must keep to is in the header.
#![allow(clippy::undocumented_unsafe_blocks, clippy::type_complexity)]

#[path = "../common/mod.rs"]
mod common;

mod decode;
mod embeddings;
mod model;
mod null;
mod quantize;
mod samplers;
mod structs;
mod text;

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};

use rocmforge::capi::*;

const OK: rf_status = rf_status::Ok;

fn last_error() -> String {
    unsafe { CStr::from_ptr(rf_last_error()) }.to_str().unwrap().to_owned()
}

/// Asserts a failure whose message names `what`.
#[track_caller]
fn fails(status: rf_status, wanted: rf_status, what: &str) {
    let message = last_error();
    assert_eq!(status, wanted, "{message}");
    assert!(message.contains(what), "{what:?} is not in {message:?}");
}

/// Asserts success.
#[track_caller]
fn ok(status: rf_status) {
    assert_eq!(status, OK, "{}", last_error());
}

/// The string that a function of the usual shape writes.
#[track_caller]
fn string(f: impl Fn(*mut c_char, usize, *mut usize) -> rf_status) -> String {
    let mut len = usize::MAX;
    ok(f(null_mut(), 0, &mut len));
    let mut buf = vec![0x55u8; len + 1];
    ok(f(buf.as_mut_ptr().cast(), buf.len(), null_mut()));
    assert_eq!(buf.pop(), Some(0), "the text ends in NUL");
    // One byte less: nothing is written, and the length is told.
    if len > 0 {
        let mut small = vec![0x55u8; len];
        let mut again = 0;
        fails(f(small.as_mut_ptr().cast(), len, &mut again), rf_status::BufferTooSmall, "room");
        assert!(small.iter().all(|&b| b == 0x55) && again == len);
    }
    String::from_utf8(buf).unwrap()
}

fn load_with(change: impl FnOnce(&mut rf_model_params)) -> Result<*mut rf_model, rf_status> {
    unsafe {
        let mut params = std::mem::zeroed();
        ok(rf_model_params_init(&mut params, size_of::<rf_model_params>()));
        change(&mut params);
        let path = CString::new(common::model().to_str().unwrap()).unwrap();
        let mut model = std::ptr::dangling_mut();
        match rf_model_load(path.as_ptr(), &params, &mut model) {
            OK => Ok(model),
            status => {
                assert!(model.is_null(), "a failed load leaves NULL");
                Err(status)
            }
        }
    }
}

fn load() -> *mut rf_model {
    load_with(|_| {}).unwrap()
}

fn vocab(model: *const rf_model) -> *const rf_vocab {
    let mut vocab = null();
    ok(unsafe { rf_model_get_vocab(model, &mut vocab) });
    vocab
}

fn context_with(model: *const rf_model, change: impl FnOnce(&mut rf_context_params)) -> *mut rf_context {
    unsafe {
        let mut params = std::mem::zeroed();
        ok(rf_context_params_init(&mut params, size_of::<rf_context_params>()));
        params.n_threads = 2;
        params.n_threads_batch = 2;
        change(&mut params);
        let mut context = null_mut();
        ok(rf_context_new(model, &params, &mut context));
        context
    }
}

fn batch(tokens: &[i32], pos: i32, seq: i32) -> *mut rf_batch {
    unsafe {
        let mut batch = null_mut();
        ok(rf_batch_new(128, 4, &mut batch));
        ok(rf_batch_add_seq(batch, tokens.as_ptr(), tokens.len(), pos, seq));
        batch
    }
}

/// A value that a function of the usual shape gives.
fn get<T: Default>(f: impl FnOnce(*mut T) -> rf_status) -> T {
    let mut value = T::default();
    ok(f(&mut value));
    value
}

fn sampler(f: impl FnOnce(*mut *mut rf_sampler) -> rf_status) -> *mut rf_sampler {
    let mut s = null_mut();
    ok(f(&mut s));
    s
}

fn tokenize(v: *const rf_vocab, text: &[u8], special: bool) -> Vec<i32> {
    let call = |tokens, n, len| unsafe {
        rf_tokenize(v, text.as_ptr().cast(), text.len(), tokens, n, special.into(), special.into(), len)
    };
    let mut n = 0;
    ok(call(null_mut(), 0, &mut n));
    let mut tokens = vec![-1; n];
    if n > 0 {
        fails(call(tokens.as_mut_ptr(), n - 1, &mut n), rf_status::BufferTooSmall, "room");
        assert!(tokens.iter().all(|&t| t == -1));
    }
    ok(call(tokens.as_mut_ptr(), n, null_mut()));
    tokens
}

#[test]
fn devices() {
    unsafe {
        let n = get(|n| rf_device_count(n));
        let mut device = null();
        fails(rf_device_get(n, &mut device), rf_status::NotFound, &format!("no device {n}"));
        ok(rf_device_get(0, &mut device));
        ok(rf_device_check(device));
        let mut ty = rf_device_type::Gpu;
        ok(rf_device_get_type(device, &mut ty));
        assert_eq!(ty as i32, rf_device_type::Cpu as i32);
        assert!(string(|b, n, l| rf_device_description(device, b, n, l)).contains("processors"));
        let (mut free, mut total) = (0, 0);
        ok(rf_device_memory(device, &mut free, &mut total));
        assert!(0 < free && free <= total);
    }
}

#[test]
fn statuses_have_names() {
    let name = |status| unsafe { CStr::from_ptr(rf_status_string(status)) }.to_str().unwrap();
    let names: BTreeSet<_> = (0..=rf_status::Busy as i32).map(name).collect();
    assert_eq!(names.len(), rf_status::Busy as usize + 1);
    assert!(!names.contains(name(-1)) && name(-1) == name(1000));
}
