//! Every function takes NULL for everything.

use std::collections::BTreeSet;

use crate::*;

/// For each function, a call with every pointer NULL, and whether that is an error.
macro_rules! null_calls {
    ($($name:ident($($arg:expr),*);)+) => {
        &[$((stringify!($name), || unsafe { $name($($arg),*) })),+]
    };
}

const N: usize = 0;

#[rustfmt::skip]
const NULL_CALLS: &[(&str, fn() -> rf_status)] = null_calls! {
    rf_device_count(null_mut());
    rf_device_get(N, null_mut());
    rf_device_check(null());
    rf_device_name(null(), null_mut(), N, null_mut());
    rf_device_description(null(), null_mut(), N, null_mut());
    rf_device_get_type(null(), null_mut());
    rf_device_memory(null(), null_mut(), null_mut());
    rf_device_last_error(null(), null_mut(), N, null_mut());
    rf_model_params_init(null_mut(), size_of::<rf_model_params>());
    rf_model_load(null(), null(), null_mut());
    rf_model_get_vocab(null(), null_mut());
    rf_model_device(null(), null_mut());
    rf_model_n_gpu_layers(null(), null_mut());
    rf_model_desc(null(), null_mut(), N, null_mut());
    rf_model_size(null(), null_mut());
    rf_model_n_params(null(), null_mut());
    rf_model_n_ctx_train(null(), null_mut());
    rf_model_n_embd(null(), null_mut());
    rf_model_n_layer(null(), null_mut());
    rf_model_n_head(null(), null_mut());
    rf_model_n_head_kv(null(), null_mut());
    rf_model_n_expert(null(), null_mut());
    rf_model_n_vocab(null(), null_mut());
    rf_model_last_error(null(), null_mut(), N, null_mut());
    rf_quantize_params_init(null_mut(), size_of::<rf_quantize_params>());
    rf_model_quantize(null(), null(), null());
    rf_split_path(null(), 0, 1, null_mut(), N, null_mut());
    rf_model_meta_count(null(), null_mut());
    rf_model_meta_key_by_index(null(), N, null_mut(), N, null_mut());
    rf_model_meta_val_str_by_index(null(), N, null_mut(), N, null_mut());
    rf_model_meta_val_str(null(), null(), null_mut(), N, null_mut());
    rf_model_meta_get_type(null(), null(), null_mut());
    rf_model_meta_u64(null(), null(), null_mut());
    rf_model_meta_i64(null(), null(), null_mut());
    rf_model_meta_f64(null(), null(), null_mut());
    rf_model_meta_bool(null(), null(), null_mut());
    rf_model_meta_array(null(), null(), null_mut(), null_mut());
    rf_model_tensor_count(null(), null_mut());
    rf_model_tensor_name(null(), N, null_mut(), N, null_mut());
    rf_model_tensor_info(null(), N, null_mut());
    rf_type_name(0, null_mut(), N, null_mut());
    rf_vocab_get_type(null(), null_mut());
    rf_vocab_n_tokens(null(), null_mut());
    rf_vocab_get_text(null(), 0, null_mut(), N, null_mut());
    rf_vocab_get_score(null(), 0, null_mut());
    rf_vocab_get_attr(null(), 0, null_mut());
    rf_vocab_is_eog(null(), 0, null_mut());
    rf_vocab_is_control(null(), 0, null_mut());
    rf_vocab_find(null(), null(), N, null_mut());
    rf_vocab_get_add_bos(null(), null_mut());
    rf_vocab_get_add_eos(null(), null_mut());
    rf_vocab_bos(null(), null_mut());
    rf_vocab_eos(null(), null_mut());
    rf_vocab_eot(null(), null_mut());
    rf_vocab_unk(null(), null_mut());
    rf_vocab_sep(null(), null_mut());
    rf_vocab_nl(null(), null_mut());
    rf_vocab_pad(null(), null_mut());
    rf_vocab_mask(null(), null_mut());
    rf_vocab_fim_pre(null(), null_mut());
    rf_vocab_fim_suf(null(), null_mut());
    rf_vocab_fim_mid(null(), null_mut());
    rf_vocab_fim_pad(null(), null_mut());
    rf_vocab_fim_rep(null(), null_mut());
    rf_vocab_fim_sep(null(), null_mut());
    rf_tokenize(null(), null(), N, null_mut(), N, false.into(), false.into(), null_mut());
    rf_token_to_piece(null(), 0, false.into(), null_mut(), N, null_mut());
    rf_detokenize(null(), null(), N, false.into(), false.into(), null_mut(), N, null_mut());
    rf_vocab_last_error(null(), null_mut(), N, null_mut());
    rf_detokenizer_new(null(), false.into(), null_mut());
    rf_detokenizer_push(null_mut(), 0, null_mut(), N, null_mut());
    rf_detokenizer_finish(null_mut(), null_mut(), N, null_mut());
    rf_detokenizer_text(null(), null_mut(), N, null_mut());
    rf_detokenizer_last_error(null(), null_mut(), N, null_mut());
    rf_model_chat_template(null(), null(), null_mut(), N, null_mut());
    rf_chat_apply_template(null(), null(), null(), N, false.into(), null(), null_mut(), N, null_mut());
    rf_batch_new(1, 1, null_mut());
    rf_batch_clear(null_mut());
    rf_batch_add(null_mut(), 0, 0, null(), N, false.into());
    rf_batch_add_seq(null_mut(), null(), N, 0, 0);
    rf_batch_set_logits(null_mut(), 0, false.into());
    rf_batch_n_tokens(null(), null_mut());
    rf_batch_last_error(null(), null_mut(), N, null_mut());
    rf_context_params_init(null_mut(), size_of::<rf_context_params>());
    rf_context_new(null(), null(), null_mut());
    rf_n_ctx(null(), null_mut());
    rf_n_batch(null(), null_mut());
    rf_n_ubatch(null(), null_mut());
    rf_n_seq_max(null(), null_mut());
    rf_n_threads(null(), null_mut());
    rf_n_threads_batch(null(), null_mut());
    rf_set_n_threads(null_mut(), 0, 0);
    rf_set_abort_callback(null_mut(), None, null_mut());
    rf_decode(null_mut(), null());
    rf_synchronize(null_mut());
    rf_get_logits(null(), null_mut(), null_mut());
    rf_set_embeddings(null_mut(), true.into());
    rf_pooling_type(null(), null_mut());
    rf_get_embeddings(null(), null_mut(), null_mut());
    rf_get_embeddings_ith(null(), 0, null_mut(), null_mut());
    rf_get_embeddings_seq(null(), 0, null_mut(), null_mut());
    rf_get_logits_ith(null(), 0, null_mut(), null_mut());
    rf_context_last_error(null(), null_mut(), N, null_mut());
    rf_memory_clear(null_mut());
    rf_memory_seq_rm(null_mut(), 0, 0, 0);
    rf_memory_seq_cp(null_mut(), 0, 0, 0, 0);
    rf_memory_seq_keep(null_mut(), 0);
    rf_memory_seq_add(null_mut(), 0, 0, 0, 0);
    rf_memory_seq_div(null_mut(), 0, 0, 0, 1);
    rf_memory_can_shift(null(), null_mut());
    rf_memory_seq_pos_min(null(), 0, null_mut());
    rf_memory_seq_pos_max(null(), 0, null_mut());
    rf_memory_n_used(null(), null_mut());
    rf_state_get_size(null(), null_mut());
    rf_state_get_data(null_mut(), null_mut(), N, null_mut());
    rf_state_set_data(null_mut(), null(), N);
    rf_state_save_file(null_mut(), null(), null(), N);
    rf_state_load_file(null_mut(), null(), null_mut(), N, null_mut());
    rf_state_seq_get_size(null(), 0, null_mut());
    rf_state_seq_get_data(null_mut(), 0, null_mut(), N, null_mut());
    rf_state_seq_set_data(null_mut(), 0, null(), N);
    rf_state_seq_save_file(null_mut(), null(), 0, null(), N);
    rf_state_seq_load_file(null_mut(), null(), 0, null_mut(), N, null_mut());
    rf_perf_context(null(), null_mut());
    rf_perf_context_reset(null_mut());
    rf_sampler_chain_init(null_mut());
    rf_sampler_chain_add(null_mut(), null_mut());
    rf_sampler_chain_insert(null_mut(), 0, null_mut());
    rf_sampler_chain_remove(null_mut(), 0, null_mut());
    rf_sampler_chain_n(null(), null_mut());
    rf_sampler_chain_get_name(null(), 0, null_mut(), N, null_mut());
    rf_sampler_name(null(), null_mut(), N, null_mut());
    rf_sampler_clone(null(), null_mut());
    rf_sampler_reset(null_mut());
    rf_sampler_accept(null_mut(), 0);
    rf_sampler_sample(null_mut(), null(), 0, null_mut());
    rf_sampler_apply(null_mut(), null_mut(), null_mut(), null_mut());
    rf_sampler_get_seed(null(), null_mut());
    rf_sampler_last_error(null(), null_mut(), N, null_mut());
    rf_sampler_init_greedy(null_mut());
    rf_sampler_init_dist(0, null_mut());
    rf_sampler_init_temp(1.0, null_mut());
    rf_sampler_init_top_k(1, null_mut());
    rf_sampler_init_top_p(1.0, N, null_mut());
    rf_sampler_init_min_p(0.0, N, null_mut());
    rf_sampler_init_typical(1.0, N, null_mut());
    rf_sampler_init_penalties(0, 1.0, 0.0, 0.0, null_mut());
    rf_sampler_init_logit_bias(null(), N, null_mut());
    rf_sampler_init_temp_ext(1.0, 0.0, 1.0, null_mut());
    rf_sampler_init_top_n_sigma(1.0, null_mut());
    rf_sampler_init_infill(null(), null_mut());
    rf_sampler_init_xtc(0.5, 0.1, N, 0, null_mut());
    rf_sampler_init_mirostat(100, 0, 5.0, 0.1, 100, null_mut());
    rf_sampler_init_mirostat_v2(0, 5.0, 0.1, null_mut());
    rf_sampler_init_adaptive_p(0.5, 0.9, 0, null_mut());
    rf_sampler_init_dry(null(), 0.8, 1.75, 2, 64, null(), N, null_mut());
};

#[test]
fn every_function_takes_null() {
    let mut called: BTreeSet<String> = NULL_CALLS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (name, call) in NULL_CALLS {
        let status = call();
        let message = last_error();
        assert_eq!(status, rf_status::NullPointer, "{name}: {message}");
        assert!(message.starts_with(&format!("{name}: ")) && message.contains("NULL"), "{name}: {message}");
    }
    // These have no status to give.
    unsafe {
        rf_model_free(null_mut());
        rf_context_free(null_mut());
        rf_batch_free(null_mut());
        rf_sampler_free(null_mut());
        rf_detokenizer_free(null_mut());
        assert!(!CStr::from_ptr(rf_status_string(-1)).is_empty());
        assert!(!CStr::from_ptr(rf_version()).is_empty());
        assert!(rf_abi_version() > 0 && !rf_last_error().is_null());
    }
    called.extend(
        ["rf_model_free", "rf_context_free", "rf_batch_free", "rf_sampler_free", "rf_detokenizer_free"]
            .map(String::from),
    );
    called.extend(["rf_status_string", "rf_version", "rf_abi_version", "rf_last_error"].map(String::from));
    assert_eq!(called, common::header_functions(), "a function is missing above");
}

/// With live handles, places for results that are NULL.
#[test]
fn null_results_and_arguments() {
    let model = load();
    let v = vocab(model);
    let c = context_with(model, |_| {});
    let chain = sampler(|s| unsafe { rf_sampler_chain_init(s) });
    let null_pointer = |status, what: &str| fails(status, rf_status::NullPointer, what);
    unsafe {
        null_pointer(rf_model_get_vocab(model, null_mut()), "vocab");
        null_pointer(rf_model_desc(model, null_mut(), 0, null_mut()), "buffer");
        null_pointer(rf_model_desc(model, null_mut(), 5, null_mut()), "buffer");
        null_pointer(rf_model_meta_u64(model, null(), &mut 0), "key");
        null_pointer(rf_model_tensor_info(model, 0, null_mut()), "rf_tensor_info");
        null_pointer(rf_vocab_n_tokens(v, null_mut()), "result");
        null_pointer(rf_tokenize(v, null(), 3, null_mut(), 0, false.into(), false.into(), &mut 0), "text");
        null_pointer(
            rf_chat_apply_template(model, null(), null(), 1, false.into(), null(), null_mut(), 0, &mut 0),
            "messages",
        );
        let message = rf_chat_message { role: c"user".as_ptr(), content: null() };
        null_pointer(
            rf_chat_apply_template(model, null(), &message, 1, false.into(), null(), null_mut(), 0, &mut 0),
            "content of message 0",
        );
        null_pointer(rf_context_new(model, null(), null_mut()), "context");
        null_pointer(rf_decode(c, null()), "batch");
        null_pointer(rf_sampler_sample(chain, null(), -1, &mut 0), "context");
        null_pointer(rf_sampler_chain_add(chain, null_mut()), "sampler");
        null_pointer(rf_perf_context(c, null_mut()), "rf_perf_context_data");
        rf_sampler_free(chain);
        rf_context_free(c);
        rf_model_free(model);
    }
}
