//! The reference through the testkit: its tokenizer, and its logits beside the exact ones of its own
//! weights.

use std::process::ExitCode;

use rocmforge::quant::GgmlType;
use rocmforge_testkit::harness::{self, Tests};
use rocmforge_testkit::peer::Peer;
use rocmforge_testkit::reference::{Reference, random_prompt};
use rocmforge_testkit::scratch;
use rocmforge_testkit::synth::{self, Options, Recipe, Shape};

fn main() -> ExitCode {
    let mut tests = Tests::default();
    tests.add("the_peer_is_near_the_exact_logits", harness::peer(), the_peer_is_near_the_exact_logits);
    tests.add("tokenizes_with_the_reference", harness::peer(), tokenizes_with_the_reference);
    tests.run()
}

fn tokenizes_with_the_reference() {
    let peer = Peer::for_test();
    let vocab = peer.load_vocab(&peer.source("models/ggml-vocab-gpt-2.gguf")).unwrap();
    let ids = vocab.tokenize(b"Hello world", false, false);
    assert_eq!(ids, [15496, 995]);
    assert_eq!(vocab.detokenize(&ids, false, false), b"Hello world");
    assert_eq!(vocab.token_to_piece(995, 1, false), b"world");
}

fn the_peer_is_near_the_exact_logits() {
    let peer = Peer::for_test();
    for shape in ["tiny-llama", "tiny-llama3", "tiny-qwen2"].map(|n| Shape::named(n).unwrap()) {
        for recipe in ["F32", "Q4_0", "Q4_K_M"].map(|n| Recipe::named(n).unwrap()) {
            let name = format!("{}-{}", shape.name, recipe.name());
            let path = scratch(&format!("reference-{name}.gguf"));
            let exact = scratch(&format!("reference-{name}-f32.gguf"));
            synth::write(&path, shape, &Options { recipe, seed: 3, vocab_from: None }).unwrap();
            synth::write_dequantized(&path, &exact).unwrap();
            let prompt = random_prompt(150, shape.n_vocab, 5);
            let r = Reference::make(peer, &path, &exact, &prompt, 33, 64, GgmlType::F16).unwrap();
            let same = r.compare(&r.peer.logits);
            let rms = (r.exact.iter().map(|v| v * v).sum::<f32>() / r.exact.len() as f32).sqrt();
            harness::note(format_args!("{name}: {same}, logits of {rms:.2}"));
            assert_eq!(same.positions, 182);
            assert!(same.check().is_ok(), "{name}: {same}");
            assert!(rms > 0.3 && rms < 3.0, "{name}: logits of {rms}");
        }
    }
}
