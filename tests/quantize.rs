//! Quantisation of model files beside the reference's: the same types for every tensor, the same
//! bytes, and the same perplexity; and what goes wrong.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rocmforge::Error;
use rocmforge::gguf::{File, Value, Writer};
use rocmforge::quant::GgmlType;
use rocmforge::quantize::{Imatrix, Mixture, QuantizeParams, Quantized, quantize};
use rocmforge_testkit::engine::{Params, Token, perplexity};
use rocmforge_testkit::harness::{self, Tests, note, notes};
use rocmforge_testkit::ours::Ours;
use rocmforge_testkit::peer::{Peer, Quantize};
use rocmforge_testkit::rng::Rng;
use rocmforge_testkit::{root, scratch, synth};

fn main() -> ExitCode {
    let mut tests = Tests::default();
    tests.add("perplexity_is_that_of_the_reference", harness::peer(), perplexity_is_that_of_the_reference);
    tests.add("types_are_those_of_the_reference", harness::peer(), types_are_those_of_the_reference);
    tests.add("threads_do_not_change_the_bytes", Ok(()), threads_do_not_change_the_bytes);
    tests.add(
        "metadata_is_kept_and_the_file_may_be_its_own_output",
        Ok(()),
        metadata_is_kept_and_the_file_may_be_its_own_output,
    );
    tests.add(
        "quantised_models_are_refused_unless_allowed",
        Ok(()),
        quantised_models_are_refused_unless_allowed,
    );
    tests.add("single_tensors_get_the_types_asked_for", Ok(()), single_tensors_get_the_types_asked_for);
    tests.add(
        "a_cancelled_or_failed_run_leaves_the_old_file",
        Ok(()),
        a_cancelled_or_failed_run_leaves_the_old_file,
    );
    tests.add("importance_data_of_both_formats", Ok(()), importance_data_of_both_formats);
    tests.add("mixtures_have_names", Ok(()), mixtures_have_names);
    tests.run()
}

fn demo() -> PathBuf {
    root().join("models/demo.gguf")
}

/// Importance for every matrix of a model, uneven, with a few columns that matter much.
fn importance(model: &Path) -> Vec<(String, Vec<f32>)> {
    let file = File::open(model).unwrap();
    let mut rng = Rng::new(7);
    let matrices = file.tensors().filter(|t| t.n_dims > 1 && t.name != "token_embd.weight");
    matrices
        .map(|t| {
            let n = t.row_len() * t.dims[2] as usize;
            let columns = (0..n).map(|i| {
                let v = rng.below(1000) as f32 / 1000.0 + 1e-3;
                if i % 97 == 5 { 50.0 * v } else { v * v }
            });
            (t.name.to_owned(), columns.collect())
        })
        .collect()
}

/// The importance as a file of llama.cpp's `imatrix`, sums over 4 tokens.
fn imatrix_file(name: &str, importance: &[(String, Vec<f32>)], n_matrices: usize) -> PathBuf {
    let path = scratch(name);
    let counts = vec![4f32; n_matrices];
    let sums: Vec<Vec<f32>> = importance.iter().map(|(_, v)| v.iter().map(|v| v * 4.0).collect()).collect();
    let mut writer = Writer::new();
    writer.set("general.type", "imatrix").unwrap();
    writer.set("imatrix.chunk_count", 3u32).unwrap();
    for ((name, _), sums) in importance.iter().zip(&sums) {
        let n = sums.len() as u64;
        let experts = if name.contains("_exps") { n_matrices } else { 1 };
        let dims = [n / experts as u64, experts as u64];
        let bytes = bytemuck::cast_slice(sums);
        writer.tensor(&format!("{name}.in_sum2"), &dims, GgmlType::F32, bytes).unwrap();
        let counts = bytemuck::cast_slice(&counts[..experts]);
        writer.tensor(&format!("{name}.counts"), &[1, experts as u64], GgmlType::F32, counts).unwrap();
    }
    writer.write(&path).unwrap();
    path
}

/// Compares two files: types of tensors must be equal; gives how many blocks are not.
fn differences(ours: &Path, theirs: &Path, label: &str) -> usize {
    let (ours, theirs) = (File::open(ours).unwrap(), File::open(theirs).unwrap());
    assert_eq!(ours.n_tensors(), theirs.n_tensors(), "{label}");
    let mut different = 0;
    for (a, b) in ours.tensors().zip(theirs.tensors()) {
        assert_eq!((&a.name, a.dims), (&b.name, b.dims), "{label}: the order of the tensors");
        assert_eq!(a.ty.name(), b.ty.name(), "{label}: the type of {}", a.name);
        let blocks = |file, t| File::data(file, t).chunks(a.ty.block_bytes());
        different += blocks(&ours, &a).zip(blocks(&theirs, &b)).filter(|(a, b)| a != b).count();
    }
    for key in ["general.file_type", "general.quantization_version"] {
        assert_eq!(ours.u32(key).unwrap(), theirs.u32(key).unwrap(), "{label}: {key}");
    }
    different
}

/// Our engine's perplexity of the weights of `model`, whatever their types.
fn perplexity_of(model: &Path, tokens: &[Token], bos: Token) -> f64 {
    let exact = scratch("quantize-exact.gguf");
    synth::write_dequantized(model, &exact).unwrap();
    let n_ctx = 256;
    let params = Params::sequence(n_ctx);
    let mut context = Ours::context(&Ours::load(&exact).unwrap(), &params).unwrap();
    perplexity(&mut context, tokens, Some(bos), n_ctx).unwrap()
}

/// Law: quantised demo models have a perplexity within 0.5 % of the reference's own.
fn perplexity_is_that_of_the_reference() {
    let peer = Peer::for_test();
    let text = std::fs::read(root().join("models/heldout.txt")).unwrap();
    let vocab = rocmforge::tokenizer::Vocab::from_gguf(&File::open(&demo()).unwrap()).unwrap();
    let ids = vocab.tokenize(&text, true, false).unwrap();
    let (bos, tokens) = ids.split_first().unwrap();
    let tokens = &tokens[..tokens.len().min(1500)];

    let importance = importance(&demo());
    let imatrix = Imatrix::open(&imatrix_file("quantize-demo-imatrix.gguf", &importance, 1)).unwrap();
    let (ours, theirs) = (scratch("quantize-ours.gguf"), scratch("quantize-theirs.gguf"));
    note(format_args!("original: perplexity {:.4}", perplexity_of(&demo(), tokens, *bos)));
    for &mixture in Mixture::ALL {
        for with in [false, true] {
            let label = format!("{}{}", mixture.name(), if with { " with imatrix" } else { "" });
            let params = QuantizeParams {
                imatrix: with.then_some(&imatrix),
                n_threads: 2,
                ..QuantizeParams::new(mixture)
            };
            let done = quantize(&demo(), &ours, &params, None);
            let how = Quantize {
                ftype: mixture.id(),
                imatrix: if with { &importance } else { &[] },
                ..Quantize::default()
            };
            let theirs_done = peer.quantize(&demo(), &theirs, &how);
            let refused = (done.is_err(), theirs_done.is_err());
            assert_eq!(refused.0, refused.1, "{label}: {done:?}, {theirs_done:?}");
            if refused.0 {
                let message = done.unwrap_err().to_string();
                assert!(!with && message.contains("imatrix"), "{label}: {message}");
                note(format_args!("{label}: needs importance data"));
                continue;
            }
            let different = differences(&ours, &theirs, &label);
            // The same bytes have the same perplexity.
            if different == 0 && !notes() {
                continue;
            }
            let a = perplexity_of(&ours, tokens, *bos);
            let b = if different == 0 { a } else { perplexity_of(&theirs, tokens, *bos) };
            note(format_args!("{label}: perplexity {a:.4}, the peer's {b:.4}; {different} blocks differ"));
            assert!((a / b - 1.0).abs() <= 0.005, "{label}: perplexity {a}, the peer's {b}");
        }
    }
}

/// What decides about types besides the mixture.
struct Shape {
    arch: &'static str,
    n_layer: u32,
    n_head: u32,
    n_head_kv: u32,
    n_expert: u32,
    n_embd: u64,
    tied: bool,
}

/// A model of this shape with hardly any rows and random weights.
fn write_shape(path: &Path, s: &Shape) {
    let mut rng = Rng::new(3);
    let mut noise = || half::f16::from_f32((rng.below(2001) as f32 - 1000.0) / 20000.0);
    let data: Vec<half::f16> = (0..s.n_embd * 4 * 8).map(|_| noise()).collect();
    let ones = vec![1f32; s.n_embd as usize];
    let mut w = Writer::new();
    let arch = s.arch;
    w.set("general.architecture", arch).unwrap();
    for (key, value) in [
        ("context_length", 64),
        ("embedding_length", s.n_embd as u32),
        ("block_count", s.n_layer),
        ("feed_forward_length", 256),
        ("attention.head_count", s.n_head),
        ("attention.head_count_kv", s.n_head_kv),
        ("expert_count", s.n_expert),
        ("expert_used_count", s.n_expert.min(2)),
    ] {
        w.set(&format!("{arch}.{key}"), value).unwrap();
    }
    w.set(&format!("{arch}.attention.layer_norm_rms_epsilon"), 1e-5f32).unwrap();
    w.set(&format!("{arch}.attention.layer_norm_epsilon"), 1e-5f32).unwrap();
    let mut add = |name: &str, dims: &[u64]| {
        let n = dims.iter().product::<u64>() as usize;
        w.tensor(name, dims, GgmlType::F16, bytemuck::cast_slice(&data[..n])).unwrap();
    };
    let e = s.n_embd;
    add("token_embd.weight", &[e, 4]);
    if !s.tied {
        add("output.weight", &[e, 4]);
    }
    for l in 0..s.n_layer {
        let mut layer = |name: &str, dims: &[u64]| add(&format!("blk.{l}.{name}.weight"), dims);
        if arch == "falcon" {
            layer("attn_qkv", &[e, 2]);
        } else {
            layer("attn_q", &[e, 2]);
            layer("attn_k", &[e, 2]);
            layer("attn_v", &[e, 2]);
        }
        layer("attn_output", &[e, 2]);
        if s.n_expert > 0 {
            let n = s.n_expert.into();
            layer("ffn_gate_inp", &[e, n]);
            layer("ffn_gate_exps", &[e, 2, n]);
            layer("ffn_up_exps", &[e, 2, n]);
            layer("ffn_down_exps", &[256, 2, n]);
        } else {
            layer("ffn_gate", &[e, 2]);
            layer("ffn_up", &[e, 2]);
            layer("ffn_down", &[256, 2]);
        }
    }
    for l in 0..s.n_layer {
        let name = format!("blk.{l}.attn_norm.weight");
        w.tensor(&name, &[e], GgmlType::F32, bytemuck::cast_slice(&ones)).unwrap();
    }
    w.write(path).unwrap();
}

/// Experts, shared heads, odd rows, many layers: every mixture gives every tensor the type that the
/// reference gives it, and the same blocks.
fn types_are_those_of_the_reference() {
    let peer = Peer::for_test();
    let plain =
        Shape { arch: "llama", n_layer: 32, n_head: 8, n_head_kv: 8, n_expert: 0, n_embd: 256, tied: false };
    let shapes = [
        ("gqa", Shape { n_head: 32, n_head_kv: 8, ..plain }),
        ("70b", Shape { n_layer: 80, n_head: 64, n_head_kv: 8, ..plain }),
        ("8 experts", Shape { n_layer: 16, n_head_kv: 2, n_expert: 8, ..plain }),
        ("4 experts", Shape { n_layer: 16, n_expert: 4, tied: true, ..plain }),
        ("odd rows", Shape { n_layer: 16, n_embd: 96, tied: true, ..plain }),
        ("odder rows", Shape { n_layer: 9, n_embd: 40, ..plain }),
        ("qwen2", Shape { arch: "qwen2", n_layer: 24, n_head: 14, n_head_kv: 2, tied: true, ..plain }),
        ("falcon", Shape { arch: "falcon", n_head_kv: 1, ..plain }),
        ("plain", plain),
    ];
    let [model, ours, theirs] =
        ["model", "ours", "theirs"].map(|n| scratch(&format!("quantize-types-{n}.gguf")));
    let mut different = 0;
    for (name, shape) in shapes {
        write_shape(&model, &shape);
        let importance = importance(&model);
        let file = imatrix_file("quantize-types-imatrix.gguf", &importance, shape.n_expert.max(1) as usize);
        let imatrix = Imatrix::open(&file).unwrap();
        for &mixture in Mixture::ALL {
            if mixture == Mixture::Q1_0 && shape.n_embd % 128 != 0 {
                continue; // where the reference knows no other type and gives up
            }
            for (with, pure) in [(false, false), (true, false), (true, true)] {
                let label = format!("{name}, {}, imatrix {with}, pure {pure}", mixture.name());
                let params = QuantizeParams {
                    imatrix: with.then_some(&imatrix),
                    pure,
                    ..QuantizeParams::new(mixture)
                };
                let done = quantize(&model, &ours, &params, None);
                let embeddings_need_it = pure && mixture.main_type().needs_importance();
                if embeddings_need_it && done.is_err() {
                    continue; // where the reference ends the process
                }
                let imatrix: &[_] = if with { &importance } else { &[] };
                let how = Quantize { ftype: mixture.id(), imatrix, pure, ..Quantize::default() };
                let theirs_done = peer.quantize(&model, &theirs, &how);
                assert_eq!(done.is_err(), theirs_done.is_err(), "{label}: {done:?}, {theirs_done:?}");
                if done.is_ok() {
                    different += differences(&ours, &theirs, &label);
                }
            }
        }
    }
    assert_eq!(different, 0, "blocks differ");
}

fn scratch_out(name: &str) -> PathBuf {
    let path = scratch(name);
    let _ = std::fs::remove_file(&path);
    path
}

fn fails(done: Result<Quantized, Error>, part: &str) -> Error {
    let e = done.expect_err(part);
    assert!(e.to_string().contains(part), "{e}");
    e
}

fn threads_do_not_change_the_bytes() {
    let [one, many] = ["one", "many"].map(|n| scratch_out(&format!("quantize-threads-{n}.gguf")));
    for mixture in [Mixture::Q4_K_M, Mixture::Q5_0] {
        for (path, n_threads) in [(&one, 1), (&many, 7)] {
            let params = QuantizeParams { n_threads, ..QuantizeParams::new(mixture) };
            quantize(&demo(), path, &params, None).unwrap();
        }
        assert!(std::fs::read(&one).unwrap() == std::fs::read(&many).unwrap());
    }
}

fn metadata_is_kept_and_the_file_may_be_its_own_output() {
    let path = scratch_out("quantize-in-place.gguf");
    std::fs::copy(demo(), &path).unwrap();
    let before = File::open(&demo()).unwrap();
    let done = quantize(&path, &path, &QuantizeParams::new(Mixture::Q8_0), None).unwrap();
    let after = File::open(&path).unwrap();
    for (key, value) in before.keys().filter(|(k, _)| *k != "general.file_type") {
        match (value, after.get(key).unwrap()) {
            (Value::Array(a), Value::Array(b)) => assert!(a.values().eq(b.values()), "{key}"),
            (a, b) => assert_eq!(a, b, "{key}"),
        }
    }
    assert_eq!(after.u32("general.file_type").unwrap(), Some(7));
    let size = |f: &File| f.tensors().map(|t| t.n_bytes() as u64).sum::<u64>();
    assert_eq!(done, Quantized { n_bytes_in: size(&before), n_bytes_out: size(&after), n_fallback: 0 });
}

fn quantised_models_are_refused_unless_allowed() {
    let [first, second] = ["first", "second"].map(|n| scratch_out(&format!("quantize-again-{n}.gguf")));
    quantize(&demo(), &first, &QuantizeParams::new(Mixture::Q8_0), None).unwrap();
    let params = QuantizeParams::new(Mixture::Q4_0);
    let e = fails(quantize(&first, &second, &params, None), "requantising");
    assert!(matches!(e, Error::InvalidArgument(_)) && !second.exists());
    let params = QuantizeParams { allow_requantize: true, ..params };
    quantize(&first, &second, &params, None).unwrap();
    let file = File::open(&second).unwrap();
    assert_eq!(file.tensor("blk.0.attn_q.weight").unwrap().ty, GgmlType::Q4_0);
}

fn single_tensors_get_the_types_asked_for() {
    let out = scratch_out("quantize-chosen.gguf");
    let params = QuantizeParams {
        token_embedding_type: Some(GgmlType::IQ4_NL),
        ..QuantizeParams::new(Mixture::MXFP4_MOE)
    };
    quantize(&demo(), &out, &params, None).unwrap();
    let file = File::open(&out).unwrap();
    assert_eq!(file.tensor("token_embd.weight").unwrap().ty, GgmlType::IQ4_NL);
    assert_eq!(file.tensor("blk.0.attn_q.weight").unwrap().ty, GgmlType::Q8_0);
    let params = QuantizeParams { token_embedding_type: Some(GgmlType::I32), ..params };
    fails(quantize(&demo(), &out, &params, None), "i32");
}

fn a_cancelled_or_failed_run_leaves_the_old_file() {
    let out = scratch_out("quantize-cancelled.gguf");
    std::fs::write(&out, "precious").unwrap();
    let mut calls = 0;
    let mut progress = |share: f32| {
        assert!((0.0..=1.0).contains(&share));
        calls += 1;
        calls < 3
    };
    let done = quantize(&demo(), &out, &QuantizeParams::new(Mixture::Q8_0), Some(&mut progress));
    assert!(matches!(fails(done, "cancelled"), Error::Aborted(_)));
    assert_eq!(calls, 3);

    let broken = scratch("quantize-nan.gguf");
    let mut data = vec![1f32; 64];
    data[40] = f32::NAN;
    let mut w = Writer::new();
    w.set("general.architecture", "llama").unwrap();
    w.tensor("blk.0.attn_q.weight", &[32, 2], GgmlType::F32, bytemuck::cast_slice(&data)).unwrap();
    w.write(&broken).unwrap();
    let done = quantize(&broken, &out, &QuantizeParams::new(Mixture::Q8_0), None);
    let e = fails(done, "not finite").to_string();
    assert!(e.contains("attn_q") && e.contains("row 1"), "{e}");

    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    assert!(!scratch("quantize-cancelled.gguf.part").exists());
}

fn importance_data_of_both_formats() {
    let importance = importance(&demo());
    let from_gguf = Imatrix::open(&imatrix_file("quantize-formats.gguf", &importance, 1)).unwrap();
    let path = scratch("quantize-formats.dat");
    let mut dat = (importance.len() as i32).to_le_bytes().to_vec();
    let int = |v: usize| (v as i32).to_le_bytes();
    for (name, values) in &importance {
        dat.extend(int(name.len()));
        dat.extend(name.bytes());
        dat.extend(int(4));
        dat.extend(int(values.len()));
        values.iter().for_each(|v| dat.extend((v * 4.0).to_le_bytes()));
    }
    let entries = dat.len();
    dat.extend(int(12));
    dat.extend(int(4));
    dat.extend(b"text");
    std::fs::write(&path, &dat).unwrap();
    let from_dat = Imatrix::open(&path).unwrap();
    assert_eq!((from_dat.len(), from_gguf.len()), (importance.len(), importance.len()));
    for (name, values) in &importance {
        assert_eq!(from_dat.get(name), Some(&values[..]));
        assert_eq!(from_gguf.get(name), Some(&values[..]));
    }
    std::fs::write(&path, &dat[..entries]).unwrap();
    assert_eq!(Imatrix::open(&path).unwrap().len(), importance.len());
    // Cut anywhere before, it is an error.
    for cut in [0, 3, 4, 7, 8, 20, 30, 5000, entries - 1] {
        std::fs::write(&path, &dat[..cut]).unwrap();
        assert!(matches!(Imatrix::open(&path), Err(Error::Format(_))), "{cut}");
    }
    let mut negative = dat.clone();
    negative[4..8].copy_from_slice(&(-1i32).to_le_bytes());
    std::fs::write(&path, &negative).unwrap();
    assert!(matches!(Imatrix::open(&path), Err(Error::Format(_))));
    assert!(matches!(Imatrix::open(&scratch("no-such-file")), Err(Error::Io { .. })));

    let mut wrong = Imatrix::default();
    wrong.insert("blk.0.attn_q.weight", vec![1.0; 255]).unwrap();
    assert!(wrong.insert("x", vec![-1.0]).is_err() && wrong.insert("x", vec![f32::NAN]).is_err());
    let params = QuantizeParams { imatrix: Some(&wrong), ..QuantizeParams::new(Mixture::Q4_K_S) };
    fails(quantize(&demo(), &scratch("quantize-wrong.gguf"), &params, None), "another model");
}

fn mixtures_have_names() {
    for &m in Mixture::ALL {
        assert_eq!(Mixture::parse(m.name()), Some(m));
        assert_eq!(Mixture::parse(&m.name().to_lowercase()), Some(m));
        assert_eq!(Mixture::parse(&m.id().to_string()), Some(m));
    }
    assert_eq!(Mixture::parse("q4_k"), Some(Mixture::Q4_K_M));
    assert_eq!(Mixture::parse("Q9"), None);
    assert_eq!(Mixture::parse("4"), None);
}
