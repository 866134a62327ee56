//! Calls of the C ABI in any order, with arguments right and wrong: none panics, whatever the order.
//! What the header calls undefined (freed handles, wrong lengths) is left out.
#![no_main]
#![allow(clippy::undocumented_unsafe_blocks, reason = "every call keeps to the header's rules")]

use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rocmforge::capi::*;

#[path = "../../tests/hostile/file.rs"]
#[allow(dead_code)]
mod file;

/// How many handles of a type live at a time.
const SLOTS: usize = 3;

/// Which handle; the odd one out is NULL.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Slot(u8);

impl Slot {
    fn get<T>(self, handles: &[*mut T]) -> *mut T {
        if self.0 % 16 == 15 { null_mut() } else { handles[usize::from(self.0) % handles.len()] }
    }

    fn put<T>(self, handles: &mut [*mut T], new: *mut T, free: unsafe extern "C" fn(*mut T)) {
        let at = usize::from(self.0) % handles.len();
        let old = std::mem::replace(&mut handles[at], new);
        unsafe { free(old) };
    }

    fn state(self, states: &mut [Vec<u8>; SLOTS]) -> &mut Vec<u8> {
        &mut states[usize::from(self.0) % SLOTS]
    }
}

/// A number that is mostly small, and sometimes at an end of its range.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Int {
    Small(i8),
    Any(i32),
}

impl Int {
    fn get(self) -> i32 {
        match self {
            Int::Small(n) => n.into(),
            Int::Any(n) => n,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Op {
    ContextNew { at: Slot, n_ctx: u8, n_batch: Int, n_ubatch: Int, n_seq: Int, type_k: Int, struct_size: u8 },
    ContextFree(Slot),
    SetThreads(Slot, Int, Int),
    Counts(Slot, bool),
    Decode(Slot, Slot),
    Logits(Slot, Int),
    MemoryClear(Slot),
    SeqRm(Slot, Int, Int, Int),
    SeqCp(Slot, Int, Int, Int, Int),
    SeqKeep(Slot, Int),
    SeqAdd(Slot, Int, Int, Int, Int),
    SeqPos(Slot, Int),
    Perf(Slot, bool),
    BatchNew(Slot, u8, Int),
    BatchFree(Slot),
    BatchClear(Slot),
    BatchAdd(Slot, Int, Int, [Int; 3], u8, bool),
    BatchAddSeq(Slot, Vec<Int>, Int, Int),
    BatchLogits(Slot, Int, bool),
    Chain(Slot),
    Sampler { at: Slot, kind: u8, a: f32, b: f32, n: Int },
    SamplerFree(Slot),
    ChainAdd(Slot, Slot, Option<Int>),
    ChainRemove(Slot, Int),
    ChainNames(Slot, Int),
    SamplerClone(Slot, Slot),
    SamplerReset(Slot),
    Accept(Slot, Int),
    Sample(Slot, Slot, Int),
    Apply(Slot, Vec<(Int, f32)>),
    Tokenize(Vec<u8>, u8, bool, bool),
    Piece(Int, bool, u8),
    Detokenize(Vec<Int>, bool, bool, u8),
    DetokenizerNew(Slot, bool),
    DetokenizerPush(Slot, Int, u8),
    DetokenizerEnd(Slot, bool, u8),
    DetokenizerFree(Slot),
    Meta(Vec<u8>, Int, u8),
    Tensor(Int, u8),
    Chat(Vec<u8>, Vec<u8>, Vec<u8>, bool, u8),
    Errors(Slot, u8),
    Split(Vec<u8>, Int, Int, u8),
    ModelLoad(Vec<u8>),
    StateGet { context: Slot, seq: Option<Int>, to: Slot, short: bool },
    StateSet { context: Slot, seq: Option<Int>, from: Slot },
    StateSave { context: Slot, seq: Option<Int>, to: Slot, tokens: Vec<Int> },
    StateLoad { context: Slot, seq: Option<Int>, from: Slot, room: Option<u8> },
    StateDamage { at: Slot, changes: Vec<(u16, u8)>, keep: Option<u16>, sum: bool },
    StateBytes { at: Slot, bytes: Vec<u8> },
}

struct World {
    model: *mut rf_model,
    vocab: *const rf_vocab,
    contexts: [*mut rf_context; SLOTS],
    batches: [*mut rf_batch; SLOTS],
    samplers: [*mut rf_sampler; SLOTS],
    detokenizers: [*mut rf_detokenizer; SLOTS],
    states: [Vec<u8>; SLOTS],
}

/// Where states are saved to and loaded from.
static STATE_FILE: LazyLock<CString> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("rocmforge-fuzz-{}.state", std::process::id()));
    CString::new(path.to_str().expect("a path in UTF-8")).expect("no NUL")
});

/// Loaded once; the pointers are good for the life of the process.
static MODEL: LazyLock<(usize, usize)> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("rocmforge-fuzz-{}.gguf", std::process::id()));
    std::fs::write(&path, file::model("llama").bytes()).expect("a file for the model");
    let c_path = CString::new(path.to_str().expect("a path in UTF-8")).expect("no NUL");
    let (mut model, mut vocab) = (null_mut(), null());
    unsafe {
        assert_eq!(rf_model_load(c_path.as_ptr(), null(), &mut model), rf_status::Ok);
        assert_eq!(rf_model_get_vocab(model, &mut vocab), rf_status::Ok);
    }
    std::fs::remove_file(path).expect("it was written");
    (model as usize, vocab as usize)
});

impl World {
    fn new() -> World {
        let (model, vocab) = *MODEL;
        World {
            model: model as *mut rf_model,
            vocab: vocab as *const rf_vocab,
            contexts: [null_mut(); SLOTS],
            batches: [null_mut(); SLOTS],
            samplers: [null_mut(); SLOTS],
            detokenizers: [null_mut(); SLOTS],
            states: Default::default(),
        }
    }

    fn run(&mut self, op: &Op) {
        let ok = |status: rf_status| {
            if matches!(status, rf_status::Panic | rf_status::Poisoned | rf_status::Internal) {
                panic!("{op:?}: {}", unsafe { CStr::from_ptr(rf_last_error()) }.to_string_lossy());
            }
            assert!(status == rf_status::Ok || !unsafe { CStr::from_ptr(rf_last_error()) }.is_empty());
        };
        let (model, vocab) = (self.model, self.vocab);
        let mut n = 0;
        let mut len = 0usize;
        unsafe {
            match op {
                Op::ContextNew { at, n_ctx, n_batch, n_ubatch, n_seq, type_k, struct_size } => {
                    let mut p: rf_context_params = std::mem::zeroed();
                    ok(rf_context_params_init(&mut p, size_of::<rf_context_params>()));
                    (p.n_ctx, p.n_seq_max, p.type_k) = ((*n_ctx).into(), n_seq.get(), type_k.get() & 1);
                    (p.n_batch, p.n_ubatch) = (n_batch.get() % 1024, n_ubatch.get() % 1024);
                    (p.n_threads, p.n_threads_batch) = (1, 1);
                    if *struct_size < size_of::<rf_context_params>() as u8 {
                        p.struct_size = (*struct_size).into();
                    }
                    let mut context = null_mut();
                    ok(rf_context_new(model, &p, &mut context));
                    at.put(&mut self.contexts, context, rf_context_free);
                }
                Op::ContextFree(at) => at.put(&mut self.contexts, null_mut(), rf_context_free),
                Op::SetThreads(c, a, b) => {
                    let few = |n: Int| n.get().min(2);
                    ok(rf_set_n_threads(c.get(&self.contexts), few(*a), few(*b)));
                }
                Op::Counts(c, null) => {
                    let c = c.get(&self.contexts);
                    let to: *mut i32 = if *null { null_mut() } else { &mut n };
                    for f in [rf_n_ctx, rf_n_batch, rf_n_ubatch, rf_n_seq_max, rf_n_threads, rf_memory_n_used]
                    {
                        ok(f(c, to));
                    }
                }
                Op::Decode(c, b) => ok(rf_decode(c.get(&self.contexts), b.get(&self.batches))),
                Op::Logits(c, i) => {
                    let c = c.get(&self.contexts);
                    let mut logits = null();
                    ok(rf_get_logits(c, &mut logits, &mut len));
                    let all: f32 = (0..if logits.is_null() { 0 } else { len }).map(|i| *logits.add(i)).sum();
                    let _ = std::hint::black_box(all);
                    ok(rf_get_logits_ith(c, i.get(), &mut logits, &mut len));
                }
                Op::MemoryClear(c) => ok(rf_memory_clear(c.get(&self.contexts))),
                Op::SeqRm(c, s, a, b) => {
                    ok(rf_memory_seq_rm(c.get(&self.contexts), s.get(), a.get(), b.get()))
                }
                Op::SeqCp(c, s, d, a, b) => {
                    ok(rf_memory_seq_cp(c.get(&self.contexts), s.get(), d.get(), a.get(), b.get()));
                }
                Op::SeqKeep(c, s) => ok(rf_memory_seq_keep(c.get(&self.contexts), s.get())),
                Op::SeqAdd(c, s, a, b, d) => {
                    ok(rf_memory_seq_add(c.get(&self.contexts), s.get(), a.get(), b.get(), d.get()));
                }
                Op::SeqPos(c, s) => {
                    ok(rf_memory_seq_pos_min(c.get(&self.contexts), s.get(), &mut n));
                    ok(rf_memory_seq_pos_max(c.get(&self.contexts), s.get(), &mut n));
                }
                Op::Perf(c, reset) => {
                    let mut data: rf_perf_context_data = std::mem::zeroed();
                    data.struct_size = size_of::<rf_perf_context_data>();
                    ok(rf_perf_context(c.get(&self.contexts), &mut data));
                    if *reset {
                        ok(rf_perf_context_reset(c.get(&self.contexts)));
                    }
                }
                Op::BatchNew(at, n_tokens, n_seq) => {
                    let mut batch = null_mut();
                    ok(rf_batch_new((*n_tokens).into(), n_seq.get(), &mut batch));
                    at.put(&mut self.batches, batch, rf_batch_free);
                }
                Op::BatchFree(at) => at.put(&mut self.batches, null_mut(), rf_batch_free),
                Op::BatchClear(b) => ok(rf_batch_clear(b.get(&self.batches))),
                Op::BatchAdd(b, token, pos, seqs, n, logits) => {
                    let seqs = seqs.map(Int::get);
                    let n = usize::from(*n) % (seqs.len() + 1);
                    let b = b.get(&self.batches);
                    ok(rf_batch_add(b, token.get(), pos.get(), seqs.as_ptr(), n, (*logits).into()));
                }
                Op::BatchAddSeq(b, tokens, pos, seq) => {
                    let tokens: Vec<i32> = tokens.iter().map(|t| t.get()).collect();
                    let b = b.get(&self.batches);
                    ok(rf_batch_add_seq(b, tokens.as_ptr(), tokens.len(), pos.get(), seq.get()));
                }
                Op::BatchLogits(b, i, wanted) => {
                    ok(rf_batch_set_logits(b.get(&self.batches), i.get(), (*wanted).into()));
                    ok(rf_batch_n_tokens(b.get(&self.batches), &mut n));
                }
                Op::Chain(at) => {
                    let mut chain = null_mut();
                    ok(rf_sampler_chain_init(&mut chain));
                    at.put(&mut self.samplers, chain, rf_sampler_free);
                }
                Op::Sampler { at, kind, a, b, n } => {
                    let mut s = null_mut();
                    let keep = n.get().max(0) as usize;
                    let bias = [rf_logit_bias { token: n.get(), bias: *a }];
                    ok(match kind % 9 {
                        0 => rf_sampler_init_greedy(&mut s),
                        1 => rf_sampler_init_dist(n.get() as u32, &mut s),
                        2 => rf_sampler_init_temp(*a, &mut s),
                        3 => rf_sampler_init_top_k(n.get(), &mut s),
                        4 => rf_sampler_init_top_p(*a, keep, &mut s),
                        5 => rf_sampler_init_min_p(*a, keep, &mut s),
                        6 => rf_sampler_init_typical(*a, keep, &mut s),
                        7 => rf_sampler_init_penalties(n.get() % 4096, *a, *b, *b, &mut s),
                        _ => rf_sampler_init_logit_bias(bias.as_ptr(), 1, &mut s),
                    });
                    at.put(&mut self.samplers, s, rf_sampler_free);
                }
                Op::SamplerFree(at) => at.put(&mut self.samplers, null_mut(), rf_sampler_free),
                Op::ChainAdd(chain, at, index) => {
                    let (c, s) = (chain.get(&self.samplers), at.get(&self.samplers));
                    let status = match index {
                        None => rf_sampler_chain_add(c, s),
                        Some(i) => rf_sampler_chain_insert(c, i.get(), s),
                    };
                    ok(status);
                    if status == rf_status::Ok {
                        // The chain owns it now.
                        self.samplers.iter_mut().filter(|p| **p == s).for_each(|p| *p = null_mut());
                    }
                }
                Op::ChainRemove(chain, i) => {
                    let mut out = null_mut();
                    ok(rf_sampler_chain_remove(chain.get(&self.samplers), i.get(), &mut out));
                    rf_sampler_free(out);
                }
                Op::ChainNames(c, i) => {
                    let c = c.get(&self.samplers);
                    let mut buf = [0; 8];
                    let mut seed = 0;
                    ok(rf_sampler_chain_n(c, &mut n));
                    ok(rf_sampler_chain_get_name(c, i.get(), buf.as_mut_ptr(), buf.len(), &mut len));
                    ok(rf_sampler_name(c, buf.as_mut_ptr(), buf.len(), null_mut()));
                    ok(rf_sampler_get_seed(c, &mut seed));
                }
                Op::SamplerClone(from, to) => {
                    let mut copy = null_mut();
                    ok(rf_sampler_clone(from.get(&self.samplers), &mut copy));
                    to.put(&mut self.samplers, copy, rf_sampler_free);
                }
                Op::SamplerReset(s) => ok(rf_sampler_reset(s.get(&self.samplers))),
                Op::Accept(s, token) => ok(rf_sampler_accept(s.get(&self.samplers), token.get())),
                Op::Sample(s, c, i) => {
                    ok(rf_sampler_sample(s.get(&self.samplers), c.get(&self.contexts), i.get(), &mut n));
                }
                Op::Apply(s, data) => {
                    let of = |&(id, logit): &(Int, f32)| rf_token_data { id: id.get(), logit, p: 0.0 };
                    let mut data: Vec<_> = data.iter().map(of).collect();
                    let (mut n_data, mut selected) = (data.len(), 0);
                    let s = s.get(&self.samplers);
                    ok(rf_sampler_apply(s, data.as_mut_ptr(), &mut n_data, &mut selected));
                    assert!(n_data <= data.len());
                }
                Op::Tokenize(text, room, special, parse) => {
                    let mut tokens = vec![0; (*room).into()];
                    let (text, n_text, to) = (text.as_ptr().cast(), text.len(), tokens.as_mut_ptr());
                    ok(rf_tokenize(
                        vocab,
                        text,
                        n_text,
                        to,
                        tokens.len(),
                        (*special).into(),
                        (*parse).into(),
                        &mut len,
                    ));
                }
                Op::Piece(token, special, room) => {
                    let mut buf = vec![0; (*room).into()];
                    let (to, size) = (buf.as_mut_ptr(), buf.len());
                    ok(rf_token_to_piece(vocab, token.get(), (*special).into(), to, size, &mut len));
                    ok(rf_vocab_get_text(vocab, token.get(), buf.as_mut_ptr(), buf.len(), &mut len));
                }
                Op::Detokenize(tokens, remove, unparse, room) => {
                    let tokens: Vec<i32> = tokens.iter().map(|t| t.get()).collect();
                    let mut buf = vec![0; (*room).into()];
                    let (from, to, size) = (tokens.as_ptr(), buf.as_mut_ptr(), buf.len());
                    let (remove, unparse) = ((*remove).into(), (*unparse).into());
                    ok(rf_detokenize(vocab, from, tokens.len(), remove, unparse, to, size, &mut len));
                }
                Op::DetokenizerNew(at, special) => {
                    let mut d = null_mut();
                    ok(rf_detokenizer_new(vocab, (*special).into(), &mut d));
                    at.put(&mut self.detokenizers, d, rf_detokenizer_free);
                }
                Op::DetokenizerPush(d, token, room) => {
                    let mut buf = vec![0; (*room).into()];
                    let d = d.get(&self.detokenizers);
                    ok(rf_detokenizer_push(d, token.get(), buf.as_mut_ptr(), buf.len(), &mut len));
                }
                Op::DetokenizerEnd(d, text, room) => {
                    let mut buf = vec![0; (*room).into()];
                    let d = d.get(&self.detokenizers);
                    ok(match text {
                        true => rf_detokenizer_text(d, buf.as_mut_ptr(), buf.len(), &mut len),
                        false => rf_detokenizer_finish(d, buf.as_mut_ptr(), buf.len(), &mut len),
                    });
                }
                Op::DetokenizerFree(at) => at.put(&mut self.detokenizers, null_mut(), rf_detokenizer_free),
                Op::Meta(key, i, room) => {
                    let key = c_string(key);
                    let mut buf = vec![0; (*room).into()];
                    let (to, size, i) = (buf.as_mut_ptr(), buf.len(), i.get() as usize);
                    let (mut u, mut d) = (0, 0.0);
                    ok(rf_model_meta_val_str(model, key.as_ptr(), to, size, &mut len));
                    ok(rf_model_meta_u64(model, key.as_ptr(), &mut u));
                    ok(rf_model_meta_f64(model, key.as_ptr(), &mut d));
                    ok(rf_model_meta_key_by_index(model, i, to, size, &mut len));
                    ok(rf_model_meta_val_str_by_index(model, i, to, size, &mut len));
                }
                Op::Tensor(i, room) => {
                    let mut buf = vec![0; (*room).into()];
                    let mut info: rf_tensor_info = std::mem::zeroed();
                    info.struct_size = size_of::<rf_tensor_info>();
                    let i = i.get() as usize;
                    ok(rf_model_tensor_name(model, i, buf.as_mut_ptr(), buf.len(), &mut len));
                    ok(rf_model_tensor_info(model, i, &mut info));
                    ok(rf_type_name(i as i32, buf.as_mut_ptr(), buf.len(), &mut len));
                }
                Op::Chat(role, content, extra, add, room) => {
                    let (role, content, extra) = (c_string(role), c_string(content), c_string(extra));
                    let messages = [rf_chat_message { role: role.as_ptr(), content: content.as_ptr() }];
                    let template = c"{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}";
                    let mut buf = vec![0; (*room).into()];
                    let (to, size) = (buf.as_mut_ptr(), buf.len());
                    ok(rf_chat_apply_template(
                        model,
                        template.as_ptr(),
                        messages.as_ptr(),
                        1,
                        (*add).into(),
                        extra.as_ptr(),
                        to,
                        size,
                        &mut len,
                    ));
                }
                Op::Errors(at, room) => {
                    let mut buf = vec![0; (*room).into()];
                    let (to, size) = (buf.as_mut_ptr(), buf.len());
                    ok(rf_context_last_error(at.get(&self.contexts), to, size, &mut len));
                    ok(rf_batch_last_error(at.get(&self.batches), to, size, &mut len));
                    ok(rf_sampler_last_error(at.get(&self.samplers), to, size, &mut len));
                    ok(rf_detokenizer_last_error(at.get(&self.detokenizers), to, size, null_mut()));
                }
                Op::Split(prefix, i, n, room) => {
                    let prefix = c_string(prefix);
                    let mut buf = vec![0; (*room).into()];
                    let (to, size) = (buf.as_mut_ptr(), buf.len());
                    ok(rf_split_path(prefix.as_ptr(), i.get(), n.get(), to, size, &mut len));
                }
                Op::ModelLoad(path) => {
                    // No such file: a path into a folder that is none.
                    let path = c_string(&[b"/dev/null/", &path[..]].concat());
                    let mut model = null_mut();
                    ok(rf_model_load(path.as_ptr(), null(), &mut model));
                    assert!(model.is_null());
                }
                Op::StateGet { context, seq, to, short } => {
                    let c = context.get(&self.contexts);
                    let status = match seq {
                        None => rf_state_get_size(c, &mut len),
                        Some(seq) => rf_state_seq_get_size(c, seq.get(), &mut len),
                    };
                    ok(status);
                    if status == rf_status::Ok {
                        let mut state = vec![0; len - usize::from(*short)];
                        let (to_ptr, size) = (state.as_mut_ptr(), state.len());
                        let status = match seq {
                            None => rf_state_get_data(c, to_ptr, size, &mut len),
                            Some(seq) => rf_state_seq_get_data(c, seq.get(), to_ptr, size, &mut len),
                        };
                        ok(status);
                        assert!(*short == (status != rf_status::Ok), "{op:?}: {status:?} of {size} bytes");
                        *to.state(&mut self.states) = state;
                    }
                }
                Op::StateSet { context, seq, from } => {
                    let (c, state) = (context.get(&self.contexts), from.state(&mut self.states));
                    ok(match seq {
                        None => rf_state_set_data(c, state.as_ptr(), state.len()),
                        Some(seq) => rf_state_seq_set_data(c, seq.get(), state.as_ptr(), state.len()),
                    });
                }
                Op::StateSave { context, seq, to, tokens } => {
                    let (c, path) = (context.get(&self.contexts), STATE_FILE.as_ptr());
                    let tokens: Vec<i32> = tokens.iter().map(|t| t.get()).collect();
                    let (from, n_tokens) = (tokens.as_ptr(), tokens.len());
                    let status = match seq {
                        None => rf_state_save_file(c, path, from, n_tokens),
                        Some(seq) => rf_state_seq_save_file(c, path, seq.get(), from, n_tokens),
                    };
                    ok(status);
                    if status == rf_status::Ok {
                        *to.state(&mut self.states) = std::fs::read(state_file()).expect("it was saved");
                    }
                }
                Op::StateLoad { context, seq, from, room } => {
                    std::fs::write(state_file(), from.state(&mut self.states)).expect("a file");
                    let (c, path) = (context.get(&self.contexts), STATE_FILE.as_ptr());
                    let mut tokens = vec![0; room.unwrap_or(0).into()];
                    let (to, n_max) = match room {
                        Some(_) => (tokens.as_mut_ptr(), tokens.len()),
                        None => (null_mut(), 0),
                    };
                    ok(match seq {
                        None => rf_state_load_file(c, path, to, n_max, &mut len),
                        Some(seq) => rf_state_seq_load_file(c, path, seq.get(), to, n_max, &mut len),
                    });
                }
                Op::StateDamage { at, changes, keep, sum } => {
                    let state = at.state(&mut self.states);
                    state.truncate(keep.map_or(usize::MAX, usize::from));
                    let n = state.len();
                    for &(i, byte) in changes.iter().filter(|_| n > 0) {
                        state[usize::from(i) % n] ^= byte;
                    }
                    // With the right sum again the damage is looked at, and not only noticed.
                    if *sum && let Some((body, end)) = state.split_last_chunk_mut::<4>() {
                        *end = crc32fast::hash(body).to_le_bytes();
                    }
                }
                Op::StateBytes { at, bytes } => at.state(&mut self.states).clone_from(bytes),
            }
        }
    }
}

fn state_file() -> &'static str {
    STATE_FILE.to_str().expect("it was UTF-8")
}

fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes.split(|&b| b == 0).next().unwrap_or_default()).expect("cut at NUL")
}

impl Drop for World {
    fn drop(&mut self) {
        unsafe {
            self.contexts.iter().for_each(|&p| rf_context_free(p));
            self.batches.iter().for_each(|&p| rf_batch_free(p));
            self.samplers.iter().for_each(|&p| rf_sampler_free(p));
            self.detokenizers.iter().for_each(|&p| rf_detokenizer_free(p));
        }
    }
}

fuzz_target!(|ops: Vec<Op>| {
    let mut world = World::new();
    for op in ops.iter().take(64) {
        world.run(op);
    }
});
