//! Contexts, batches, the KV cache, callbacks, threads.

use std::ffi::c_void;

use crate::common::{BOS, N_VOCAB};
use crate::*;

#[test]
fn decodes_and_samples_alike_every_time() {
    let generate = || unsafe {
        let model = load();
        let c = context_with(model, |_| {});
        rf_model_free(model);
        let chain = sampler(|s| rf_sampler_chain_init(s));
        ok(rf_sampler_chain_add(chain, sampler(|s| rf_sampler_init_top_k(20, s))));
        ok(rf_sampler_chain_add(chain, sampler(|s| rf_sampler_init_temp(0.7, s))));
        ok(rf_sampler_chain_add(chain, sampler(|s| rf_sampler_init_dist(7, s))));
        let b = batch(&[BOS, 10, 20, 30], 0, 0);
        let mut tokens = Vec::new();
        for pos in 4..20 {
            ok(rf_decode(c, b));
            ok(rf_synchronize(c));
            let token = get(|t| rf_sampler_sample(chain, c, -1, t));
            tokens.push(token);
            ok(rf_batch_clear(b));
            ok(rf_batch_add(b, token, pos, &0, 1, true.into()));
        }
        assert_eq!(get(|n| rf_memory_seq_pos_max(c, 0, n)), 18);
        let mut perf: rf_perf_context_data = std::mem::zeroed();
        perf.struct_size = size_of_val(&perf);
        ok(rf_perf_context(c, &mut perf));
        assert_eq!((perf.n_p_eval, perf.n_eval), (4, 15));
        ok(rf_perf_context_reset(c));
        ok(rf_perf_context(c, &mut perf));
        assert_eq!((perf.n_p_eval, perf.n_eval, perf.t_eval_ms), (0, 0, 0.0));
        rf_batch_free(b);
        rf_sampler_free(chain);
        rf_context_free(c);
        tokens
    };
    let first = generate();
    assert_eq!(first, generate());
    assert!(first.iter().collect::<BTreeSet<_>>().len() > 3, "{first:?}");
}

#[test]
fn logits_where_asked() {
    let model = load();
    let c = context_with(model, |_| {});
    let b = batch(&[1, 2, 3, 4], 0, 0);
    let (mut row, mut n) = (null(), 0);
    unsafe {
        fails(rf_get_logits(c, &mut row, &mut n), rf_status::InvalidArgument, "no logits");
        ok(rf_batch_set_logits(b, 1, true.into()));
        fails(rf_batch_set_logits(b, 4, true.into()), rf_status::InvalidArgument, "token 4");
        fails(rf_batch_set_logits(b, -1, true.into()), rf_status::InvalidArgument, "-1");
        ok(rf_decode(c, b));
        ok(rf_get_logits(c, &mut row, &mut n));
        assert_eq!(n, 2 * N_VOCAB);
        let all = std::slice::from_raw_parts(row, n);
        let ith = |i| {
            let (mut row, mut n) = (null(), 0);
            ok(rf_get_logits_ith(c, i, &mut row, &mut n));
            std::slice::from_raw_parts(row, n)
        };
        assert_eq!((ith(1), ith(3)), (&all[..N_VOCAB], &all[N_VOCAB..]));
        assert_eq!((ith(-2), ith(-1)), (ith(1), ith(3)));
        for i in [0, 2, 4, -3, i32::MAX, i32::MIN] {
            fails(
                rf_get_logits_ith(c, i, &mut row, &mut n),
                rf_status::InvalidArgument,
                &format!("token {i}"),
            );
        }
        rf_batch_free(b);
        rf_context_free(c);
        rf_model_free(model);
    }
}

#[test]
fn batches_that_cannot_be() {
    let model = load();
    let c = context_with(model, |p| (p.n_batch, p.n_ctx) = (8, 16));
    let mut b = null_mut();
    let invalid = |status, what: &str| fails(status, rf_status::InvalidArgument, what);
    unsafe {
        for (n, n_seq) in [(0, 1), (-1, 1), (1, 0), (1, -5), (1, 257)] {
            assert_eq!(rf_batch_new(n, n_seq, &mut b), rf_status::InvalidArgument, "{n}, {n_seq}");
            assert!(b.is_null());
        }
        ok(rf_batch_new(20, 2, &mut b));
        invalid(rf_decode(c, b), "empty");
        invalid(rf_batch_add(b, 0, 0, null(), 0, true.into()), "0 sequences");
        invalid(rf_batch_add(b, 0, 0, [0, 1, 2].as_ptr(), 3, true.into()), "3 sequences");
        fails(rf_batch_add(b, 0, 0, null(), 1, true.into()), rf_status::NullPointer, "seq_ids");
        fails(rf_batch_add_seq(b, [0; 21].as_ptr(), 21, 0, 0), rf_status::BatchFull, "21 tokens");
        invalid(rf_batch_add_seq(b, [0; 2].as_ptr(), 2, i32::MAX, 0), "overflow");
        assert_eq!(get(|n| rf_batch_n_tokens(b, n)), 0);
        for i in 0..20 {
            ok(rf_batch_add(b, 0, i, &0, 1, true.into()));
        }
        fails(rf_batch_add(b, 0, 20, &0, 1, true.into()), rf_status::BatchFull, "20");
        assert!(string(|s, n, l| rf_batch_last_error(b, s, n, l)).contains("full"));
        invalid(rf_decode(c, b), "n_batch");

        let decode = |token, pos, seq: &[i32]| {
            ok(rf_batch_clear(b));
            ok(rf_batch_add(b, token, pos, seq.as_ptr(), seq.len(), true.into()));
            rf_decode(c, b)
        };
        invalid(decode(N_VOCAB as i32, 0, &[0]), "outside the vocabulary");
        invalid(decode(-1, 0, &[0]), "outside the vocabulary");
        invalid(decode(1, -1, &[0]), "position -1");
        invalid(decode(1, 0, &[1]), "sequence 1");
        invalid(decode(1, 0, &[-1]), "sequence -1");
        ok(decode(1, 0, &[0]));
        invalid(decode(1, 5, &[0]), "expected 1");
        assert!(string(|s, n, l| rf_context_last_error(c, s, n, l)).contains("expected 1"));
        rf_batch_free(b);
        rf_context_free(c);
        rf_model_free(model);
    }
}

#[test]
fn contexts_that_cannot_be() {
    let model = load();
    let changes: [(fn(&mut rf_context_params), rf_status, &str); 8] = [
        (|p| p.n_ctx = -1, rf_status::InvalidArgument, "n_ctx"),
        (|p| p.n_ctx = i32::MAX, rf_status::InvalidArgument, "n_ctx"),
        (|p| p.n_batch = 0, rf_status::InvalidArgument, "n_batch"),
        (|p| p.n_ubatch = -3, rf_status::InvalidArgument, "n_ubatch"),
        (|p| p.n_seq_max = 1000, rf_status::InvalidArgument, "n_seq_max"),
        (|p| p.n_threads = 1 << 20, rf_status::InvalidArgument, "threads"),
        (|p| p.type_k = rf_type::Q4_0 as i32, rf_status::Unsupported, "type_k"),
        (|p| p.type_v = 12345, rf_status::NotFound, "12345"),
    ];
    for (change, status, what) in changes {
        unsafe {
            let mut params = std::mem::zeroed();
            ok(rf_context_params_init(&mut params, size_of::<rf_context_params>()));
            change(&mut params);
            let mut context = std::ptr::dangling_mut();
            fails(rf_context_new(model, &params, &mut context), status, what);
            assert!(context.is_null());
        }
    }
    let c = context_with(model, |p| (p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max) = (32, 16, 8, 3));
    unsafe {
        let all = [
            get(|n| rf_n_ctx(c, n)),
            get(|n| rf_n_batch(c, n)),
            get(|n| rf_n_ubatch(c, n)),
            get(|n| rf_n_seq_max(c, n)),
        ];
        assert_eq!(all, [32, 16, 8, 3]);
        ok(rf_set_n_threads(c, 1, 2));
        assert_eq!((get(|n| rf_n_threads(c, n)), get(|n| rf_n_threads_batch(c, n))), (1, 2));
        fails(rf_set_n_threads(c, -1, 1), rf_status::InvalidArgument, "n_threads");
        rf_context_free(c);
        rf_model_free(model);
    }
}

#[test]
fn kv_cache() {
    let model = load();
    let c = context_with(model, |p| (p.n_ctx, p.n_seq_max) = (16, 2));
    let range = |seq| unsafe {
        (get(|n| rf_memory_seq_pos_min(c, seq, n)), get(|n| rf_memory_seq_pos_max(c, seq, n)))
    };
    let used = || get(|n| unsafe { rf_memory_n_used(c, n) });
    unsafe {
        assert_eq!((range(0), used()), ((-1, -1), 0));
        let b = batch(&[7; 16], 0, 0);
        ok(rf_decode(c, b));
        assert_eq!((range(0), used()), ((0, 15), 16));
        let more = batch(&[7], 16, 0);
        fails(rf_decode(c, more), rf_status::KvFull, "n_ctx");
        assert_eq!(range(0), (0, 15), "a failed decode changes nothing");

        ok(rf_memory_seq_rm(c, 0, 0, 4));
        ok(rf_memory_seq_add(c, 0, 4, -1, -4));
        assert_eq!((range(0), used()), ((0, 11), 12));
        let next = batch(&[7], 12, 0);
        ok(rf_decode(c, next));
        ok(rf_memory_seq_cp(c, 0, 1, -1, 5));
        assert_eq!((range(1), used()), ((0, 4), 13));
        fails(rf_memory_seq_add(c, 1, 0, -1, 1), rf_status::InvalidArgument, "shared");
        ok(rf_memory_seq_keep(c, 1));
        assert_eq!((range(0), range(1), used()), ((-1, -1), (0, 4), 5));
        ok(rf_memory_seq_rm(c, -1, 2, -1));
        assert_eq!((range(1), used()), ((0, 1), 2));
        ok(rf_memory_clear(c));
        assert_eq!((range(1), used()), ((-1, -1), 0));

        for seq in [2, i32::MAX] {
            let bad = |status| fails(status, rf_status::InvalidArgument, &format!("sequence {seq}"));
            bad(rf_memory_seq_rm(c, seq, 0, -1));
            bad(rf_memory_seq_cp(c, seq, 0, 0, -1));
            bad(rf_memory_seq_cp(c, 0, seq, 0, -1));
            bad(rf_memory_seq_keep(c, seq));
            bad(rf_memory_seq_add(c, seq, 0, -1, 1));
            bad(rf_memory_seq_pos_min(c, seq, &mut 0));
            bad(rf_memory_seq_pos_max(c, seq, &mut 0));
        }
        for b in [b, more, next] {
            rf_batch_free(b);
        }
        rf_context_free(c);
        rf_model_free(model);
    }
}

#[test]
fn a_decode_can_be_aborted() {
    extern "C" fn abort(countdown: *mut c_void) -> Flag {
        let countdown = unsafe { &mut *countdown.cast::<i32>() };
        *countdown -= 1;
        (*countdown < 0).into()
    }
    let model = load();
    let mut countdown = 2;
    let c = context_with(model, |p| {
        // Alone, the calling thread is there to be asked at every step.
        p.n_threads_batch = 1;
        p.abort_callback = Some(abort);
        p.abort_user_data = (&raw mut countdown).cast();
    });
    let b = batch(&[1, 2, 3, 4, 5, 6, 7, 8], 0, 0);
    unsafe {
        fails(rf_decode(c, b), rf_status::Aborted, "abort");
        assert_eq!(get(|n| rf_memory_n_used(c, n)), 0);
        ok(rf_set_abort_callback(c, None, null_mut()));
        ok(rf_decode(c, b));
        rf_batch_free(b);
        rf_context_free(c);
        rf_model_free(model);
    }
}

/// What is forbidden to overlap is refused: a callback uses the context that it interrupts.
#[test]
fn overlapping_use_is_refused() {
    struct Seen {
        context: *mut rf_context,
        statuses: Vec<(rf_status, rf_status)>,
    }
    extern "C" fn abort(seen: *mut c_void) -> Flag {
        let seen = unsafe { &mut *seen.cast::<Seen>() };
        let both = unsafe { (rf_memory_clear(seen.context), rf_n_ctx(seen.context, &mut 0)) };
        unsafe { rf_context_free(seen.context) };
        seen.statuses.push(both);
        false.into()
    }
    let model = load();
    let c = context_with(model, |p| (p.n_threads, p.n_threads_batch) = (1, 1));
    let mut seen = Seen { context: c, statuses: Vec::new() };
    let b = batch(&[1, 2, 3], 0, 0);
    unsafe {
        ok(rf_set_abort_callback(c, Some(abort), (&raw mut seen).cast()));
        ok(rf_decode(c, b));
        assert!(!seen.statuses.is_empty());
        assert!(seen.statuses.iter().all(|s| *s == (rf_status::Busy, rf_status::Busy)));
        assert!(string(|s, n, l| rf_context_last_error(c, s, n, l)).contains("in use"));
        assert_eq!(get(|n| rf_memory_n_used(c, n)), 3);
        rf_batch_free(b);
        rf_context_free(c);
        rf_model_free(model);
    }
}

#[test]
fn const_handles_are_for_any_number_of_threads() {
    let model = load() as usize;
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|i| {
                scope.spawn(move || unsafe {
                    let model = model as *mut rf_model;
                    let v = vocab(model);
                    let c = context_with(model, |_| {});
                    let b = batch(&tokenize(v, b"hello", true), 0, 0);
                    let mut sum = 0.0;
                    for _ in 0..20 {
                        ok(rf_memory_clear(c));
                        ok(rf_decode(c, b));
                        let (mut row, mut n) = (null(), 0);
                        ok(rf_get_logits_ith(c, -1, &mut row, &mut n));
                        sum = std::slice::from_raw_parts(row, n).iter().map(|x| f64::from(*x)).sum();
                        // Each thread has its own message.
                        let key = CString::new(format!("no.such.{i}")).unwrap();
                        let status = rf_model_meta_u64(model, key.as_ptr(), &mut 0);
                        fails(status, rf_status::NotFound, &format!("no.such.{i}"));
                        assert_eq!(tokenize(v, b"hello", true).len(), 6);
                    }
                    rf_batch_free(b);
                    rf_context_free(c);
                    sum
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(results.iter().all(|r| *r == results[0]), "{results:?}");
    let model = model as *mut rf_model;
    assert!(string(|b, n, l| unsafe { rf_model_last_error(model, b, n, l) }).contains("no.such."));
    unsafe { rf_model_free(model) };
}
