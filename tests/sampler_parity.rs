//! Every sampler beside the reference libllama's: what it leaves of random candidates, and what it draws with a seed.

use std::process::ExitCode;
use std::sync::Arc;

use rocmforge::gguf::File;
use rocmforge::sampler::{
    AdaptiveP, Breakers, Candidate, Candidates, Dist, Dry, Greedy, Infill, LogitBias, MinP, Mirostat,
    MirostatV2, Penalties, Sampler, Temperature, TemperatureExt, TopK, TopNSigma, TopP, Typical, Xtc,
};
use rocmforge::tokenizer::Vocab;
use rocmforge_testkit::harness::{self, Tests};
use rocmforge_testkit::peer::{Peer, PeerVocab, Settings, TokenData};
use rocmforge_testkit::rng::Rng;

/// Rows of logits for each of a sampler's settings; a sampler has ten settings or more.
const ROWS: usize = 100;
/// How far numbers may be from each other, of numbers of about 1.
const NEAR: f32 = 1e-6;

fn main() -> ExitCode {
    let mut tests = Tests::default();
    let seeds = || (0..10).map(|i| i * 7919 + 1);
    let mut add = |name: &'static str, settings: Vec<Settings>| {
        tests.add(name, harness::peer(), move || compare(&settings));
    };
    let each = |values: &[f32], f: &dyn Fn(f32, usize) -> Settings| -> Vec<Settings> {
        values.iter().flat_map(|&x| [0, 1, 30].map(|keep| f(x, keep))).collect()
    };
    let triples = |f: &dyn Fn(f32, f32, f32) -> Settings| -> Vec<Settings> {
        let (a, b, c) = ([0.2, 0.8, 1.5], [0.0, 0.3, 2.0], [0.5, 1.0]);
        (0..18).map(|i| f(a[i % 3], b[i / 3 % 3], c[i / 9])).collect()
    };
    add("greedy", vec![Settings::Greedy; 10]);
    add("dist", seeds().map(Settings::Dist).collect());
    add("top_k", [-1, 0, 1, 2, 3, 5, 10, 40, 100, 1000].map(Settings::TopK).to_vec());
    add("top_p", each(&[0.1, 0.5, 0.9, 1.0], &Settings::TopP));
    add("min_p", each(&[0.0, 0.05, 0.3, 1.0], &Settings::MinP));
    add("typical", each(&[0.1, 0.5, 0.9, 1.0], &Settings::Typical));
    add("temp", [-1.0, 0.0, 0.1, 0.5, 0.8, 1.0, 1.1, 1.5, 2.0, 5.0].map(Settings::Temp).to_vec());
    add("temp_ext", triples(&Settings::TempExt));
    let xtc = |p, keep| Settings::Xtc(p, [0.02, 0.1, 0.6][keep % 3], keep, 11);
    add("xtc", each(&[0.0, 0.5, 0.9, 1.0], &xtc));
    add("top_n_sigma", [-1.0, 0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0].map(Settings::TopNSigma).to_vec());
    // Not larger, or what the reference makes an int of is none.
    add("mirostat", triples(&|tau, _, eta| Settings::Mirostat(1000, 5, 2.0 * tau, 0.2 * eta, 100)));
    add("mirostat_v2", triples(&|tau, _, eta| Settings::MirostatV2(5, 4.0 * tau, 0.2 * eta)));
    let n = |x: f32| (40.0 * x) as i32;
    add("penalties", triples(&|last, freq, present| Settings::Penalties(N_IDS, n(last), 1.2, freq, present)));
    let breakers = || ["\n", ":", "\"", "*", "the end", "once"].map(String::from).to_vec();
    let dry = |multiplier, last, base| {
        Settings::Dry(multiplier, 1.0 + base, n(last) / 12 % 5, 8 + n(last), breakers())
    };
    add("dry", triples(&dry));
    let targets = [-1.0, 0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0];
    add("adaptive_p", targets.map(|t| Settings::AdaptiveP(t, 0.9, 3)).to_vec());
    let bias = |i: i32| {
        let biases =
            (0..i).map(|j| rocmforge_testkit::peer::LogitBias { token: 13 * j, bias: j as f32 - 3.0 });
        Settings::LogitBias(N_IDS, biases.collect())
    };
    add("logit_bias", (0..10).map(bias).collect());
    add("infill", vec![Settings::Infill; 10]);
    tests.run()
}

/// Token ids of the candidates are below this, as the vocabulary's are.
const N_IDS: i32 = 2048;

/// Ours with the same settings.
fn ours(settings: &Settings, vocab: &Arc<Vocab>) -> Box<dyn Sampler> {
    let count = |n: i32| n.max(0) as usize;
    match *settings {
        Settings::Greedy => Box::new(Greedy),
        Settings::Dist(seed) => Box::new(Dist::new(seed)),
        Settings::TopK(k) => Box::new(TopK::new(k)),
        Settings::TopP(p, keep) => Box::new(TopP::new(p, keep).unwrap()),
        Settings::MinP(p, keep) => Box::new(MinP::new(p, keep).unwrap()),
        Settings::Typical(p, keep) => Box::new(Typical::new(p, keep).unwrap()),
        Settings::Temp(t) => Box::new(Temperature::new(t).unwrap()),
        Settings::TempExt(t, delta, exponent) => Box::new(TemperatureExt::new(t, delta, exponent).unwrap()),
        Settings::Xtc(p, threshold, keep, seed) => Box::new(Xtc::new(p, threshold, keep, seed).unwrap()),
        Settings::TopNSigma(n) => Box::new(TopNSigma::new(n).unwrap()),
        Settings::Mirostat(n, seed, tau, eta, m) => {
            Box::new(Mirostat::new(count(n), seed, tau, eta, count(m)).unwrap())
        }
        Settings::MirostatV2(seed, tau, eta) => Box::new(MirostatV2::new(seed, tau, eta).unwrap()),
        Settings::Penalties(_, last_n, repeat, freq, present) => {
            Box::new(Penalties::new(count(last_n), repeat, freq, present).unwrap())
        }
        Settings::Dry(multiplier, base, allowed, last_n, ref breakers) => {
            let texts: Vec<&[u8]> = breakers.iter().map(|b| b.as_bytes()).collect();
            let breakers = Breakers::of_texts(vocab, &texts).unwrap();
            Box::new(Dry::new(multiplier, base, count(allowed), count(last_n), breakers).unwrap())
        }
        Settings::Infill => Box::new(Infill::new(vocab.clone())),
        Settings::AdaptiveP(target, decay, seed) => Box::new(AdaptiveP::new(target, decay, seed).unwrap()),
        Settings::LogitBias(_, ref biases) => {
            let biases: Vec<_> = biases.iter().map(|b| (b.token, b.bias)).collect();
            Box::new(LogitBias::new(&biases).unwrap())
        }
    }
}

fn compare(settings: &[Settings]) {
    let path = rocmforge_testkit::root().join("models/demo.gguf");
    let vocab = Arc::new(Vocab::from_gguf(&File::open(&path).unwrap()).unwrap());
    let peer_vocab: PeerVocab = Peer::for_test().load_vocab(&path).unwrap();
    let mut text = vocab.tokenize(b"once the end: her cat", false, false).unwrap();
    text.sort_unstable();
    text.dedup();
    let mut rng = Rng::new(9);
    for settings in settings {
        let (mut ours, mut theirs) = (ours(settings, &vocab), peer_vocab.sampler(settings));
        for row in 0..ROWS {
            let what = format!("{settings:?}, row {row}");
            // Of impossible candidates the reference's entropy is not a number.
            let logits = logits(&mut rng, !matches!(settings, Settings::Typical(..)));
            // The tokens of the text are among the candidates.
            let ids = text.iter().copied().chain((0..).filter(|id| !text.contains(id)));
            let given: Vec<Candidate> =
                ids.zip(&logits).map(|(id, &logit)| Candidate { id, logit, p: 0.0 }).collect();
            let theirs_given = given.iter().map(|c| TokenData { id: c.id, logit: c.logit, p: c.p }).collect();
            let (want, want_selected) = theirs.apply(theirs_given);

            let mut items = given;
            let mut candidates = Candidates::new(&mut items);
            ours.apply(&mut candidates);
            candidates.take_result().unwrap_or_else(|e| panic!("{what}: {e}"));
            let selected = candidates.selected();
            let mut got = candidates.items().clone();
            let mut want = want;
            let token = selected.map(|at| got[at].id);
            assert_eq!(token, want_selected.map(|at| want[at].id), "{what}: selected");
            if matches!(settings, Settings::Typical(..)) {
                // What is equally near comes in no order.
                want.sort_by_key(|c| c.id);
                got.sort_by_key(|c| c.id);
            }
            // What is impossible comes in no order either.
            assert_eq!(want.len(), got.len(), "{what}: candidates");
            want.retain(|c| c.logit != f32::NEG_INFINITY);
            got.retain(|c| c.logit != f32::NEG_INFINITY);
            assert!(
                want.iter().map(|c| c.id).eq(got.iter().map(|c| c.id)),
                "{what}: {got:?} in place of {want:?}"
            );
            for (want, got) in want.iter().zip(got.iter()) {
                let near = |a: f32, b: f32| a == b || (a - b).abs() <= NEAR * a.abs().max(1.0);
                assert!(near(want.logit, got.logit), "{what}: {got:?} in place of {want:?}");
                // Where the reference computes no probability, it leaves the 0.
                assert!(want.p == 0.0 || near(want.p, got.p), "{what}: {got:?} in place of {want:?}");
            }
            // What was drawn is accepted, or one of few, so that they repeat.
            let token = token.unwrap_or(text[rng.below(text.len())]);
            ours.accept(token);
            theirs.accept(token);
            if row == ROWS / 2 {
                ours.reset();
                theirs.reset();
            }
        }
    }
}

/// Two candidates and more, some of them impossible now and then. Not too many, for the reference's sums are of f32, one
/// after the other.
fn logits(rng: &mut Rng, may_ban: bool) -> Vec<f32> {
    let n = 2 + rng.below(255);
    let scale = [0.5, 2.0, 6.0][rng.below(3)];
    let banned = may_ban && rng.below(4) == 0;
    let mut logits: Vec<f32> = (0..n).map(|_| rng.normal() * scale).collect();
    if banned {
        logits.iter_mut().skip(1).step_by(3).for_each(|x| *x = f32::NEG_INFINITY);
    }
    logits
}
