//! Parity with the reference peer: logits, greedy text and perplexity, on models of random
//! weights in every type and every variant of an architecture, and on the demo model.
//!
//! `rocmforge_testkit::parity` says what parity means. The peer is fetched by
//! `tools/peer/fetch.sh`; without it every check is reported as ignored, or fails if
//! `ROCMFORGE_REQUIRE_PEER=1`. The instruction set is fixed for a process, so this program runs
//! itself once for each that the processor has, unless `ROCMFORGE_ISA` names one, or
//! `ROCMFORGE_TEST_DEVICE` a GPU.
//! `--nocapture` shows the errors measured.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rocmforge::backend::Device;
use rocmforge::backend::cpu::Isa;
use rocmforge::model::Pooling;
use rocmforge::quant::GgmlType;
use rocmforge_testkit::brief;
use rocmforge_testkit::engine::{
    Engine, Item, Params, Token, Window, greedy, perplexity, replay, through_window,
};
use rocmforge_testkit::harness::{self, Tests};
use rocmforge_testkit::ours::{Ours, device};
use rocmforge_testkit::parity::{allowed, nmse};
use rocmforge_testkit::peer::Peer;
use rocmforge_testkit::reference::{Reference, random_prompt};
use rocmforge_testkit::synth::{self, Options, Recipe, Shape};
use rocmforge_testkit::{root, scratch};

const ISA: &str = "ROCMFORGE_ISA";
/// Of a prompt: three micro-batches and one token.
const N_PROMPT: usize = 193;
const N_UBATCH: usize = 64;
/// Tokens generated after a random prompt.
const N_GENERATE: usize = 48;

/// What went wrong, or what was measured.
type Outcome = Result<String, String>;
type Check = Box<dyn FnOnce(Peer) -> Outcome + Send>;

fn main() -> ExitCode {
    if let Ok(isa) = std::env::var(ISA) {
        return run(&isa);
    }
    if device() != Device::Cpu {
        return run("gpu");
    }
    let mut code = ExitCode::SUCCESS;
    for isa in Isa::available().iter().rev() {
        let child = std::env::current_exe().and_then(|exe| {
            Command::new(exe).args(std::env::args_os().skip(1)).env(ISA, name(*isa)).status()
        });
        if !child.is_ok_and(|status| status.success()) {
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// As `ROCMFORGE_ISA` takes it.
fn name(isa: Isa) -> String {
    format!("{isa:?}").to_lowercase()
}

fn run(isa: &str) -> ExitCode {
    let (mut tests, needs) = (Tests::default(), harness::peer());
    for (name, check) in checks() {
        let name = format!("{isa}/{name}");
        let label = name.clone();
        tests.add(name, needs.clone(), move || match check(Peer::for_test()) {
            Ok(measured) => harness::note(format_args!("{label}: {measured}")),
            Err(message) => panic!("{message}"),
        });
    }
    tests.run()
}

fn checks() -> Vec<(String, Check)> {
    let mut all: Vec<(String, Check)> = Vec::new();
    let mut add = |name: String, check: Check| all.push((name, check));
    let recipe = |name| Recipe::named(name).expect("a recipe of this name");
    let (f16, f32) = (GgmlType::F16, GgmlType::F32);

    // Rows of the narrow shapes are too short for K-quants, so these have wide twins.
    for (plain, k_quant) in
        [("tiny-llama", "tiny-llama-256"), ("tiny-llama3", "tiny-llama3"), ("tiny-qwen2", "tiny-qwen2-256")]
    {
        // Where there is little time, types of one model are enough.
        for &recipe in Recipe::ALL.iter().filter(|_| plain == k_quant || !brief()) {
            let shape = if recipe.is_k_quant() { k_quant } else { plain };
            add(format!("types/{shape}/{}", recipe.name()), Box::new(move |p| logits(p, shape, recipe, f16)));
        }
        for name in ["F32", "Q8_0"] {
            let recipe = recipe(name);
            add(format!("kv-f32/{plain}/{name}"), Box::new(move |p| logits(p, plain, recipe, f32)));
        }
    }
    for shape in [
        "tiny-llama-mha",
        "tiny-llama-bias",
        "tiny-llama-linear",
        "tiny-llama-yarn",
        "tiny-llama3-freqs",
        "tiny-qwen2-gqa7",
        "tiny-qwen2-untied",
        "tiny-qwen2-yarn",
        "tiny-llama-longrope-long",
        "tiny-llama-longrope-short",
        "tiny-qwen3",
        "tiny-qwen3-untied",
        "tiny-chatglm",
        "tiny-chatglm-no-bias",
        "tiny-glm4",
        "tiny-glm4-fused",
        "tiny-mixtral",
        "tiny-qwen3moe",
    ] {
        // With f32 throughout, the only error left is that of the arithmetic.
        for (name, kv) in [("F32", f32), ("Q4_0", f16)] {
            let recipe = recipe(name);
            add(format!("variants/{shape}/{name}"), Box::new(move |p| logits(p, shape, recipe, kv)));
        }
    }
    for kv in [f32, f16, GgmlType::BF16, GgmlType::Q8_0] {
        // Heads of 32 and of 64; of one and of several queries a key.
        for shape in ["tiny-llama3", "tiny-llama-256", "tiny-qwen2"] {
            let recipe = recipe("F32");
            let name = kv.name();
            add(format!("kv/{shape}/{name}"), Box::new(move |p| logits(p, shape, recipe, kv)));
            // The peer ends the process when it is to rotate keys of other types.
            if matches!(kv, GgmlType::F32 | GgmlType::F16) {
                add(format!("shift/{shape}/{name}"), Box::new(move |p| shifted(p, shape, recipe, kv)));
            }
        }
    }
    // Where a token takes one expert, errors that change it are as large as results.
    let f32s = recipe("F32");
    add("variants/tiny-mixtral-one/F32".into(), Box::new(move |p| logits(p, "tiny-mixtral-one", f32s, f32)));
    for shape in ["tiny-chatglm", "tiny-glm4", "tiny-mixtral", "tiny-qwen3moe"] {
        for name in ["F16", "Q8_0", "Q4_K_M"] {
            let recipe = recipe(name);
            add(format!("variants/{shape}/{name}"), Box::new(move |p| logits(p, shape, recipe, f16)));
        }
    }
    for shape in ["tiny-llama3", "tiny-mixtral", "tiny-qwen3moe"] {
        for (name, kv) in [("F32", f32), ("Q4_0", f16), ("Q4_K_M", f16)] {
            let recipe = recipe(name);
            add(format!("sequences/{shape}/{name}"), Box::new(move |p| sequences(p, shape, recipe, kv)));
        }
    }
    for pooling in Pooling::ALL {
        let check = move |p| embeddings(p, recipe("Q4_0"), pooling);
        add(format!("embeddings/tiny-llama3/{}", pooling.name()), Box::new(check));
    }
    add("demo/text".into(), Box::new(demo_text));
    add("demo/perplexity".into(), Box::new(demo_perplexity));
    all
}

/// The model of a shape and a recipe, and its dequantised copy.
fn model(shape: &'static Shape, recipe: Recipe) -> Result<(PathBuf, PathBuf), String> {
    let name = format!("parity-{}-{}", shape.name, recipe.name());
    let (path, exact) = (scratch(&format!("{name}.gguf")), scratch(&format!("{name}-exact.gguf")));
    synth::write(&path, shape, &Options { recipe, seed: 11, vocab_from: None })
        .and_then(|()| synth::write_dequantized(&path, &exact))
        .map_err(|e| e.to_string())?;
    Ok((path, exact))
}

fn named(shape: &str) -> Result<&'static Shape, String> {
    Shape::named(shape).ok_or_else(|| format!("no shape {shape}"))
}

/// A prompt in micro-batches, then generation token by token: law 9 at every position.
fn logits(peer: Peer, shape: &str, recipe: Recipe, kv: GgmlType) -> Outcome {
    let shape = named(shape)?;
    let (path, exact) = model(shape, recipe)?;
    let (n_prompt, n_generate) = if brief() { (N_UBATCH + 6, 10) } else { (N_PROMPT, N_GENERATE) };
    let prompt = random_prompt(n_prompt, shape.n_vocab, 5);
    let reference = Reference::make(peer, &path, &exact, &prompt, n_generate, N_UBATCH, kv)?;
    // The same context for both, for LongRoPE asks how long it is.
    let params = Params { n_ubatch: N_UBATCH, kv, ..Params::sequence(N_PROMPT + N_GENERATE) };
    let ours = replay(&mut Ours::context(&Ours::load(&path)?, &params)?, &reference.peer)?;
    let parity = reference.compare(&ours);
    parity.check().map(|()| parity.to_string())
}

/// Generation to three times what the context holds: law 9 at every position, before and after
/// each shift.
fn shifted(peer: Peer, shape: &str, recipe: Recipe, kv: GgmlType) -> Outcome {
    let shape = named(shape)?;
    let (path, exact) = model(shape, recipe)?;
    let window = Window { n_window: 96, n_keep: 5 };
    let n_generate = if brief() { 60 } else { 200 };
    let prompt = random_prompt(70, shape.n_vocab, 6);
    let reference = Reference::through_window(peer, &path, &exact, &prompt, n_generate, window, kv)?;
    let params = Params { kv, ..Params::sequence(window.n_window) };
    let mut ours = Ours::context(&Ours::load(&path)?, &params)?;
    let ours = through_window(&mut ours, &prompt, Some(&reference.peer), n_generate, window)?;
    let parity = reference.compare(&ours.logits);
    parity.check().map(|()| parity.to_string())
}

/// Three sequences of different lengths, their prompts interleaved in one batch and then one token
/// of each in every batch: each is at parity with the peer's run of it alone, and with f32
/// throughout it is also, but for rounding, our own run of it alone.
fn sequences(peer: Peer, shape: &str, recipe: Recipe, kv: GgmlType) -> Outcome {
    let shape = named(shape)?;
    let (path, exact) = model(shape, recipe)?;
    let lengths = [50, 37, 61];
    let n_generate = 9;
    let references = (0..)
        .zip(lengths)
        .map(|(seed, n)| {
            let prompt = random_prompt(n, shape.n_vocab, seed);
            Reference::make(peer, &path, &exact, &prompt, n_generate, N_UBATCH, kv)
        })
        .collect::<Result<Vec<_>, String>>()?;

    // The batches: all prompts, interleaved; then a token of each sequence.
    let item = |seq: usize, pos: usize| {
        let token = *references[seq].peer.tokens.get(pos)?;
        Some(Item { token, pos: pos as i32, seq: seq as i32, logits: true })
    };
    let prompts =
        (0..61).flat_map(|pos| (0..3).filter_map(move |seq| (pos < lengths[seq]).then_some((seq, pos))));
    let mut batches: Vec<Vec<(usize, usize)>> = vec![prompts.collect()];
    batches.extend((1..n_generate).map(|i| (0..3).map(|seq| (seq, lengths[seq] + i - 1)).collect()));

    let n_ctx = lengths.iter().sum::<usize>() + 3 * n_generate;
    let params = Params { n_ubatch: N_UBATCH, n_seq_max: 3, kv, ..Params::sequence(n_ctx) };
    let loaded = Ours::load(&path)?;
    let mut together = Ours::context(&loaded, &params)?;
    let mut rows: Vec<Vec<f32>> = vec![Vec::new(); 3];
    for batch in &batches {
        let items: Vec<Item> = batch.iter().filter_map(|&(seq, pos)| item(seq, pos)).collect();
        let logits = together.decode(&items)?;
        for (&(seq, _), row) in batch.iter().zip(logits.chunks_exact(shape.n_vocab)) {
            rows[seq].extend_from_slice(row);
        }
    }
    let mut note = String::new();
    for (seq, (reference, rows)) in references.iter().zip(&rows).enumerate() {
        let parity = reference.compare(rows);
        parity.check().map_err(|e| format!("sequence {seq}: {e}"))?;
        note += &format!("[{parity}] ");
        if recipe == Recipe::Plain(GgmlType::F32) {
            let alone = replay(&mut Ours::context(&loaded, &params)?, &reference.peer)?;
            let error = nmse(rows, &alone);
            if error > 1e-10 {
                return Err(format!("sequence {seq} in one batch and alone: NMSE {error:.1e}"));
            }
        }
    }
    Ok(note)
}

/// Embeddings of the tokens of two sequences in one batch, or pooled from them.
fn embeddings(peer: Peer, recipe: Recipe, pooling: Pooling) -> Outcome {
    let shape = named("tiny-llama3")?;
    let (path, exact) = model(shape, recipe)?;
    let batch: Vec<Item> = (0..2)
        .flat_map(|seq| {
            let tokens = random_prompt(20 + 11 * seq, shape.n_vocab, seq as u64);
            let item = |(pos, token)| Item { token, pos: pos as i32, seq: seq as i32, logits: true };
            tokens.into_iter().enumerate().map(item).collect::<Vec<_>>()
        })
        .collect();
    let params = Params { n_seq_max: 2, embeddings: Some(pooling), ..Params::sequence(64) };
    let theirs = |path: &PathBuf, kv| {
        let model = peer.load_model(path)?;
        model.context(&Params { kv, ..params }, Some(false))?.embeddings(&batch)
    };
    let (truth, theirs) = (theirs(&exact, GgmlType::F32)?, theirs(&path, GgmlType::F16)?);
    let ours = Ours::context(&Ours::load(&path)?, &params)?.embeddings(&batch)?;
    let (ours, theirs) = (nmse(&ours, &truth), nmse(&theirs, &truth));
    let note = format!("ours {ours:.2e}, peer {theirs:.2e}");
    if theirs < 0.05 && ours <= allowed(theirs) { Ok(note) } else { Err(note) }
}

/// The demo model, its dequantised copy and the ids of the held-out text.
fn demo(peer: Peer) -> Result<(PathBuf, PathBuf, Vec<Token>), String> {
    let path = root().join("models/demo.gguf");
    let exact = scratch("parity-demo-exact.gguf");
    synth::write_dequantized(&path, &exact).map_err(|e| e.to_string())?;
    let text = root().join("models/heldout.txt");
    let text = std::fs::read(&text).map_err(|e| format!("{}: {e}", text.display()))?;
    let ids = peer.load_vocab(&path)?.tokenize(&text, true, false);
    Ok((path, exact, ids))
}

/// From three places in the held-out text: law 9 on the prompt and on 100 greedy tokens; and our
/// own greedy text is the peer's for as long as the peer is sure.
fn demo_text(peer: Peer) -> Outcome {
    let (path, exact, ids) = demo(peer)?;
    let n_generate = if brief() { 20 } else { 100 };
    let loaded = Ours::load(&path)?;
    let mut note = String::new();
    for (start, n_prompt) in [(0, 24), (ids.len() / 3, 70), (ids.len() / 2, 120)] {
        let prompt = &ids[start..start + n_prompt];
        let reference = Reference::make(peer, &path, &exact, prompt, n_generate, N_UBATCH, GgmlType::F16)?;
        let params = Params { n_ubatch: N_UBATCH, ..Params::sequence(n_prompt + n_generate) };
        let mut ours = Ours::context(&loaded, &params)?;
        let parity = reference.compare(&replay(&mut ours, &reference.peer)?);
        parity.check()?;
        let text = greedy(&mut ours, prompt, n_generate)?;
        let same =
            text.tokens.iter().zip(&reference.peer.tokens).take_while(|(a, b)| a == b).count() - n_prompt;
        let sure = reference.sure_length();
        if same < sure.min(n_generate - 1) {
            return Err(format!(
                "the peer is sure of {sure} greedy tokens, ours has the first {same} of them"
            ));
        }
        note += &format!("[{parity}; {same} greedy tokens the same, the peer sure of {sure}] ");
    }
    Ok(note)
}

/// Perplexity of the held-out text within 0.5 % of the peer's; with a lesser instruction set than
/// the processor's best, of its beginning.
fn demo_perplexity(peer: Peer) -> Outcome {
    let (path, _, ids) = demo(peer)?;
    let n_ctx = 256;
    let params = Params::sequence(n_ctx);
    let (bos, text) = ids.split_first().ok_or("no held-out text")?;
    let best = std::env::var(ISA).is_ok_and(|isa| Isa::available().last().is_some_and(|b| isa == name(*b)));
    let most = if brief() { 300 } else { 2000 };
    let text = if best { text } else { &text[..text.len().min(most)] };
    let theirs = peer.load_model(&path)?;
    let mut theirs = theirs.context(&Params { n_threads: 1, ..params }, None)?;
    let theirs = perplexity(&mut theirs, text, Some(*bos), n_ctx)?;
    let ours = perplexity(&mut Ours::context(&Ours::load(&path)?, &params)?, text, Some(*bos), n_ctx)?;
    let note = format!("perplexity {ours:.4}, the peer's {theirs:.4}, {} tokens", text.len());
    if (ours / theirs - 1.0).abs() <= 0.005 { Ok(note) } else { Err(note) }
}
