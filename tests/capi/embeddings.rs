//! Embeddings, per token and pooled.

use crate::common::{BOS, N_VOCAB};
use crate::*;

type Get = unsafe extern "C" fn(*const rf_context, i32, *mut *const f32, *mut usize) -> rf_status;

fn row(c: *const rf_context, get: Get, i: i32) -> Vec<f32> {
    let (mut row, mut n) = (null(), 0);
    unsafe {
        ok(get(c, i, &mut row, &mut n));
        std::slice::from_raw_parts(row, n).to_vec()
    }
}

fn none(c: *const rf_context, get: Get, i: i32, why: &str) {
    let (mut row, mut n) = (null(), 0);
    fails(unsafe { get(c, i, &mut row, &mut n) }, rf_status::InvalidArgument, why);
    assert!(row.is_null());
}

#[test]
fn of_tokens_beside_their_logits() {
    let model = load();
    let c = context_with(model, |p| p.embeddings = true.into());
    let b = batch(&[BOS, 10, 20], 0, 0);
    unsafe {
        let n_embd = get(|n| rf_model_n_embd(model, n)) as usize;
        assert_eq!(get(|p| rf_pooling_type(c, p)), rf_pooling::None as i32);
        ok(rf_batch_set_logits(b, 0, true.into()));
        ok(rf_decode(c, b));
        let (mut all, mut n) = (null(), 0);
        ok(rf_get_embeddings(c, &mut all, &mut n));
        let all = std::slice::from_raw_parts(all, n);
        assert_eq!(n, 2 * n_embd);
        assert_eq!(row(c, rf_get_embeddings_ith, 0), all[..n_embd]);
        assert_eq!(row(c, rf_get_embeddings_ith, 2), all[n_embd..]);
        assert_eq!(row(c, rf_get_embeddings_ith, -1), all[n_embd..]);
        none(c, rf_get_embeddings_ith, 1, "token 1");
        none(c, rf_get_embeddings_seq, 0, "pools no");
        let logits = row(c, rf_get_logits_ith, -1);
        assert_eq!(logits.len(), N_VOCAB);

        // Turned off, the logits are the same and there is nothing else.
        ok(rf_set_embeddings(c, false.into()));
        none(c, rf_get_logits_ith, -1, "no logits");
        ok(rf_memory_clear(c));
        ok(rf_decode(c, b));
        assert_eq!(row(c, rf_get_logits_ith, -1), logits);
        none(c, rf_get_embeddings_ith, -1, "embeddings are off");
        rf_batch_free(b);
        rf_context_free(c);
        rf_model_free(model);
    }
}

#[test]
fn pooled_over_micro_batches() {
    let model = load();
    let tokens = [BOS, 10, 20, 30, 40, 50, 60];
    let context = |pooling: rf_pooling| {
        let c = context_with(model, |p| {
            (p.embeddings, p.pooling) = (true.into(), pooling as i32);
            (p.n_ubatch, p.n_seq_max) = (3, 2);
        });
        let b = batch(&tokens, 0, 1);
        unsafe {
            for i in 0..tokens.len() as i32 {
                ok(rf_batch_set_logits(b, i, true.into()));
            }
            ok(rf_decode(c, b));
            rf_batch_free(b);
        }
        c
    };
    let c = context(rf_pooling::None);
    let each: Vec<Vec<f32>> = (0..tokens.len() as i32).map(|i| row(c, rf_get_embeddings_ith, i)).collect();
    unsafe { rf_context_free(c) };
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0));
    let mean: Vec<f32> =
        (0..each[0].len()).map(|i| each.iter().map(|e| e[i]).sum::<f32>() / each.len() as f32).collect();
    for (pooling, want) in
        [(rf_pooling::Mean, &mean), (rf_pooling::Cls, &each[0]), (rf_pooling::Last, &each[6])]
    {
        let c = context(pooling);
        assert!(close(&row(c, rf_get_embeddings_seq, 1), want));
        none(c, rf_get_embeddings_seq, 0, "sequence 0");
        none(c, rf_get_embeddings_ith, 0, "pools");
        none(c, rf_get_logits_ith, 0, "pools");
        unsafe { rf_context_free(c) };
    }
    unsafe {
        let mut params = std::mem::zeroed();
        ok(rf_context_params_init(&mut params, size_of::<rf_context_params>()));
        params.pooling = 4;
        let mut c = null_mut();
        fails(rf_context_new(model, &params, &mut c), rf_status::Unsupported, "pooling 4");
        rf_model_free(model);
    }
}
