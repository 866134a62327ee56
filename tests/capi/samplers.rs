//! Samplers and chains.

use crate::*;

#[test]
fn chains() {
    let chain = sampler(|s| unsafe { rf_sampler_chain_init(s) });
    let names = |chain| {
        let n = get(|n| unsafe { rf_sampler_chain_n(chain, n) });
        let name = |i| string(|b, n, l| unsafe { rf_sampler_chain_get_name(chain, i, b, n, l) });
        (0..n).map(name).collect::<Vec<_>>()
    };
    unsafe {
        let made = [
            sampler(|s| rf_sampler_init_logit_bias([rf_logit_bias { token: 3, bias: 1.0 }].as_ptr(), 1, s)),
            sampler(|s| rf_sampler_init_penalties(64, 1.1, 0.0, 0.0, s)),
            sampler(|s| rf_sampler_init_top_k(40, s)),
            sampler(|s| rf_sampler_init_typical(0.9, 1, s)),
            sampler(|s| rf_sampler_init_top_p(0.9, 1, s)),
            sampler(|s| rf_sampler_init_min_p(0.05, 1, s)),
            sampler(|s| rf_sampler_init_temp(0.8, s)),
            sampler(|s| rf_sampler_init_greedy(s)),
        ];
        let single: Vec<String> =
            made.iter().map(|&m| string(|b, n, l| rf_sampler_name(m, b, n, l))).collect();
        for m in made {
            ok(rf_sampler_chain_add(chain, m));
        }
        assert_eq!(names(chain), single);
        assert_eq!(string(|b, n, l| rf_sampler_name(chain, b, n, l)), "chain");
        assert_eq!(get(|s| rf_sampler_get_seed(chain, s)), RF_RANDOM_SEED);

        let mut out = null_mut();
        ok(rf_sampler_chain_remove(chain, 7, &mut out));
        rf_sampler_free(out);
        fails(rf_sampler_chain_remove(chain, 7, &mut out), rf_status::NotFound, "7");
        assert!(out.is_null());
        fails(rf_sampler_chain_remove(chain, -1, &mut out), rf_status::InvalidArgument, "-1");
        let dist = sampler(|s| rf_sampler_init_dist(42, s));
        fails(rf_sampler_chain_insert(chain, 8, dist), rf_status::NotFound, "8");
        ok(rf_sampler_chain_insert(chain, 7, dist));
        assert_eq!((names(chain).len(), get(|s| rf_sampler_get_seed(chain, s))), (8, 42));

        // A chain in a chain; not in itself.
        fails(rf_sampler_chain_add(chain, chain), rf_status::Busy, "in use");
        let copy = sampler(|s| rf_sampler_clone(chain, s));
        ok(rf_sampler_chain_add(chain, copy));
        assert_eq!(names(chain)[8], "chain");
        let greedy = sampler(|s| rf_sampler_init_greedy(s));
        fails(rf_sampler_chain_n(greedy, &mut 0), rf_status::InvalidArgument, "not a chain");
        fails(rf_sampler_chain_add(greedy, chain), rf_status::InvalidArgument, "not a chain");
        rf_sampler_free(greedy);
        rf_sampler_free(chain);
    }
}

#[test]
fn samplers_that_cannot_be() {
    let bad = |f: &dyn Fn(*mut *mut rf_sampler) -> rf_status| {
        let mut s = std::ptr::dangling_mut();
        assert_eq!(f(&mut s), rf_status::InvalidArgument);
        assert!(s.is_null() && !last_error().is_empty());
    };
    unsafe {
        bad(&|s| rf_sampler_init_temp(f32::NAN, s));
        bad(&|s| rf_sampler_init_top_p(f32::INFINITY, 1, s));
        bad(&|s| rf_sampler_init_min_p(f32::NAN, 1, s));
        bad(&|s| rf_sampler_init_typical(f32::NAN, 1, s));
        bad(&|s| rf_sampler_init_penalties(-1, 1.0, 0.0, 0.0, s));
        bad(&|s| rf_sampler_init_penalties(64, 0.0, 0.0, 0.0, s));
        bad(&|s| rf_sampler_init_logit_bias([rf_logit_bias { token: 1, bias: f32::NAN }].as_ptr(), 1, s));
    }
}

#[test]
fn applies_to_candidates() {
    let logits = [1.0f32, 4.0, 2.0, 3.0];
    let candidates = || {
        let mut id = -1;
        logits.map(|logit| {
            id += 1;
            rf_token_data { id, logit, p: 0.0 }
        })
    };
    let (mut n, mut selected) = (4, 0);
    unsafe {
        let top_k = sampler(|s| rf_sampler_init_top_k(2, s));
        let mut data = candidates();
        ok(rf_sampler_apply(top_k, data.as_mut_ptr(), &mut n, &mut selected));
        assert_eq!((n, selected), (2, -1));
        assert_eq!((data[0].id, data[1].id), (1, 3));

        let chain = sampler(|s| rf_sampler_chain_init(s));
        ok(rf_sampler_chain_add(chain, top_k));
        ok(rf_sampler_chain_add(chain, sampler(|s| rf_sampler_init_greedy(s))));
        let mut data = candidates();
        n = 4;
        ok(rf_sampler_apply(chain, data.as_mut_ptr(), &mut n, &mut selected));
        assert_eq!(data[selected as usize].id, 1);

        let mut data = candidates();
        data[2].logit = f32::NAN;
        n = 4;
        fails(
            rf_sampler_apply(chain, data.as_mut_ptr(), &mut n, &mut selected),
            rf_status::InvalidArgument,
            "NaN",
        );
        assert_eq!((n, selected, data[1].id), (4, -1, 1));
        fails(rf_sampler_apply(chain, null_mut(), &mut n, &mut selected), rf_status::NullPointer, "data");
        n = usize::MAX;
        fails(
            rf_sampler_apply(chain, data.as_mut_ptr(), &mut n, &mut selected),
            rf_status::InvalidArgument,
            "data",
        );

        // Penalties know what was accepted, until they are reset.
        let penalties = sampler(|s| rf_sampler_init_penalties(8, 1.0, 0.0, 10.0, s));
        ok(rf_sampler_chain_insert(chain, 0, penalties));
        fails(rf_sampler_accept(chain, -1), rf_status::InvalidArgument, "-1");
        ok(rf_sampler_accept(chain, 1));
        let mut choose = || {
            let mut data = candidates();
            let mut n = 4;
            ok(rf_sampler_apply(chain, data.as_mut_ptr(), &mut n, &mut selected));
            data[selected as usize].id
        };
        assert_eq!(choose(), 3);
        ok(rf_sampler_reset(chain));
        assert_eq!(choose(), 1);
        rf_sampler_free(chain);
    }
}

#[test]
fn sampling_that_cannot_be() {
    let model = load();
    let c = context_with(model, |_| {});
    let chain = sampler(|s| unsafe { rf_sampler_chain_init(s) });
    let mut token = 5;
    unsafe {
        fails(rf_sampler_sample(chain, c, -1, &mut token), rf_status::InvalidArgument, "no logits");
        assert_eq!(token, RF_TOKEN_NULL);
        let b = batch(&[1], 0, 0);
        ok(rf_decode(c, b));
        fails(rf_sampler_sample(chain, c, -1, &mut token), rf_status::InvalidArgument, "selects no token");
        assert!(string(|s, n, l| rf_sampler_last_error(chain, s, n, l)).contains("selects no token"));
        rf_batch_free(b);
        rf_sampler_free(chain);
        rf_context_free(c);
        rf_model_free(model);
    }
}
