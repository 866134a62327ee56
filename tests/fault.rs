//! A panic in any function of the library comes back as a status: the host goes on, the handle is
//! poisoned, everything else works. Needs the feature `fault-injection`.

// Every unsafe block calls the C ABI as a host would; what it must keep to is in the header.
#![allow(clippy::undocumented_unsafe_blocks, clippy::type_complexity)]

mod common;

use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rocmforge::capi::*;
use rocmforge::fault;

const OK: rf_status = rf_status::Ok;

/// Faults are armed for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn last_error() -> String {
    unsafe { CStr::from_ptr(rf_last_error()) }.to_str().unwrap().to_owned()
}

/// Runs `call` with a panic at `point`.
#[track_caller]
fn panics(point: &str, call: impl FnOnce() -> rf_status) {
    fault::arm(Some(point));
    assert_eq!(call(), rf_status::Panic, "{point}: {}", last_error());
    assert_eq!(fault::arm(None), None, "{point} was not passed");
    assert!(last_error().contains(&format!("panic: injected at {point}")), "{}", last_error());
}

/// One of each handle.
struct Handles {
    model: *mut rf_model,
    vocab: *const rf_vocab,
    context: *mut rf_context,
    batch: *mut rf_batch,
    chain: *mut rf_sampler,
    detokenizer: *mut rf_detokenizer,
}

fn load() -> (rf_status, *mut rf_model) {
    let path = CString::new(common::model().to_str().unwrap()).unwrap();
    let mut model = null_mut();
    let status = unsafe { rf_model_load(path.as_ptr(), null(), &mut model) };
    (status, model)
}

impl Handles {
    fn new() -> Handles {
        unsafe {
            let (status, model) = load();
            assert_eq!(status, OK, "{}", last_error());
            let mut h = Handles {
                model,
                vocab: null(),
                context: null_mut(),
                batch: null_mut(),
                chain: null_mut(),
                detokenizer: null_mut(),
            };
            let mut dist = null_mut();
            for status in [
                rf_model_get_vocab(model, &mut h.vocab),
                rf_context_new(model, null(), &mut h.context),
                rf_batch_new(8, 1, &mut h.batch),
                rf_batch_add_seq(h.batch, [1, 2, 3].as_ptr(), 3, 0, 0),
                rf_sampler_chain_init(&mut h.chain),
                rf_sampler_init_dist(1, &mut dist),
                rf_sampler_chain_add(h.chain, dist),
                rf_detokenizer_new(h.vocab, false.into(), &mut h.detokenizer),
            ] {
                assert_eq!(status, OK, "{}", last_error());
            }
            h
        }
    }

    /// Generates a token: the whole path works.
    fn generate(&self) {
        unsafe {
            let mut token = -1;
            for status in [
                rf_memory_clear(self.context),
                rf_decode(self.context, self.batch),
                rf_sampler_sample(self.chain, self.context, -1, &mut token),
                rf_detokenizer_push(self.detokenizer, token, null_mut(), 0, &mut 0),
            ] {
                assert_eq!(status, OK, "{}", last_error());
            }
        }
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        unsafe {
            rf_context_free(self.context);
            rf_batch_free(self.batch);
            rf_sampler_free(self.chain);
            rf_detokenizer_free(self.detokenizer);
            rf_model_free(self.model);
        }
    }
}

type Call = fn(&Handles) -> rf_status;
type LastError = fn(&Handles, *mut c_char, usize, *mut usize) -> rf_status;

/// In each area, a call on the handle, another one, and what tells the handle's message.
#[rustfmt::skip]
const AREAS: &[(&str, Call, Call, LastError)] = unsafe { &[
    ("rf_model_desc",
        |h| rf_model_desc(h.model, null_mut(), 0, &mut 0),
        |h| rf_model_size(h.model, &mut 0),
        |h, b, n, l| rf_model_last_error(h.model, b, n, l)),
    ("rf_model_meta_u64",
        |h| rf_model_meta_u64(h.model, c"llama.block_count".as_ptr(), &mut 0),
        |h| rf_model_meta_count(h.model, &mut 0),
        |h, b, n, l| rf_model_last_error(h.model, b, n, l)),
    ("rf_chat_apply_template",
        |h| rf_chat_apply_template(h.model, null(), null(), 0, true.into(), null(), null_mut(), 0, &mut 0),
        |h| rf_model_tensor_count(h.model, &mut 0),
        |h, b, n, l| rf_model_last_error(h.model, b, n, l)),
    ("rf_tokenize",
        |h| rf_tokenize(h.vocab, c"a".as_ptr(), 1, null_mut(), 0, true.into(), true.into(), &mut 0),
        |h| rf_vocab_n_tokens(h.vocab, &mut 0),
        |h, b, n, l| rf_vocab_last_error(h.vocab, b, n, l)),
    ("rf_detokenizer_push",
        |h| rf_detokenizer_push(h.detokenizer, 65, null_mut(), 0, &mut 0),
        |h| rf_detokenizer_finish(h.detokenizer, null_mut(), 0, &mut 0),
        |h, b, n, l| rf_detokenizer_last_error(h.detokenizer, b, n, l)),
    ("rf_batch_add",
        |h| rf_batch_add(h.batch, 1, 3, &0, 1, true.into()),
        |h| rf_batch_clear(h.batch),
        |h, b, n, l| rf_batch_last_error(h.batch, b, n, l)),
    ("rf_decode",
        |h| rf_decode(h.context, h.batch),
        |h| rf_memory_clear(h.context),
        |h, b, n, l| rf_context_last_error(h.context, b, n, l)),
    ("rf_memory_seq_rm",
        |h| rf_memory_seq_rm(h.context, 0, -1, -1),
        |h| rf_n_ctx(h.context, &mut 0),
        |h, b, n, l| rf_context_last_error(h.context, b, n, l)),
    ("rf_perf_context_reset",
        |h| rf_perf_context_reset(h.context),
        |h| rf_decode(h.context, h.batch),
        |h, b, n, l| rf_context_last_error(h.context, b, n, l)),
    ("rf_sampler_sample",
        |h| rf_sampler_sample(h.chain, h.context, -1, &mut 0),
        |h| rf_sampler_reset(h.chain),
        |h, b, n, l| rf_sampler_last_error(h.chain, b, n, l)),
] };

#[test]
fn a_panic_poisons_its_handle_and_nothing_else() {
    let _alone = alone();
    let other = Handles::new();
    for (name, call, next, handle_error) in AREAS {
        let h = Handles::new();
        panics(name, || call(&h));
        for call in [call, next] {
            assert_eq!(call(&h), rf_status::Poisoned, "{name}: {}", last_error());
            assert!(last_error().contains("an earlier call"), "{}", last_error());
        }
        let mut buf = [0; 512];
        assert_eq!(handle_error(&h, buf.as_mut_ptr(), buf.len(), null_mut()), OK);
        assert!(!unsafe { CStr::from_ptr(buf.as_ptr()) }.is_empty());
        // The handle can be freed, and others of its type work.
        drop(h);
        other.generate();
    }
}

/// Constructors and functions without a handle fail and work again.
#[test]
fn a_panic_without_a_handle_leaves_nothing_behind() {
    let _alone = alone();
    let h = Handles::new();
    unsafe {
        panics("rf_model_load", || {
            let (status, model) = load();
            assert!(model.is_null());
            status
        });
        let mut context = null_mut();
        panics("rf_context_new", || rf_context_new(h.model, null(), &mut context));
        let mut sampler = null_mut();
        panics("rf_sampler_init_top_k", || rf_sampler_init_top_k(1, &mut sampler));
        let mut n = 0;
        panics("rf_device_count", || rf_device_count(&mut n));
        panics("rf_model_params_init", || {
            rf_model_params_init(&mut std::mem::zeroed(), size_of::<rf_model_params>())
        });
        assert!(context.is_null() && sampler.is_null());
        assert_eq!(rf_device_count(&mut n), OK);
        assert_eq!(rf_context_new(h.model, null(), &mut context), OK);
        // Freeing cannot fail; a panic on the way is caught all the same.
        fault::arm(Some("rf_context_free"));
        rf_context_free(context);
        assert!(fault::arm(None).is_none() && last_error().contains("rf_context_free: a defect"));
        rf_context_free(context);
    }
    h.generate();
}

/// Deeper down: half way through a decode, and on a thread of the pool.
#[test]
fn a_panic_inside_a_decode() {
    let _alone = alone();
    let h = Handles::new();
    fault::arm(Some("kernel"));
    let status = unsafe { rf_decode(h.context, h.batch) };
    assert_eq!((status, fault::arm(None)), (rf_status::Internal, None), "{}", last_error());
    assert!(last_error().contains("kernel panicked"), "{}", last_error());
    // The pool caught it where nothing was half changed: the context goes on.
    h.generate();

    unsafe { assert_eq!(rf_memory_clear(h.context), OK) };
    panics("decode", || unsafe { rf_decode(h.context, h.batch) });
    assert_eq!(unsafe { rf_memory_clear(h.context) }, rf_status::Poisoned);
}
