//! Files from strangers, through the public interface up to a loaded model: whatever is wrong in one
//! is an error that names the key, tensor or section, costs no more memory than the file's size
//! justifies, and is neither a panic nor a hang.
//!
//! Each file is a valid one with one thing changed, and has a name. `tests/gguf/malformed.rs` has
//! more that concern the container alone; `fuzz/` looks for what nobody thought of.

mod adapter;
mod advisories;
#[path = "../gguf/alloc.rs"]
mod alloc;
mod container;
mod file;
mod hparams;
mod many;
mod state;
mod vocab;
mod weights;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rocmforge::gguf::File;
use rocmforge::{Batch, Context, ContextParams, Model, ModelParams, Result};

/// A malformed file.
struct Case {
    name: String,
    /// What the message must contain; of words with `|` between them, one.
    want: Vec<String>,
    bytes: Vec<u8>,
}

fn case(name: impl Into<String>, want: &[&str], bytes: Vec<u8>) -> Case {
    Case { name: name.into(), want: want.iter().map(|&w| w.into()).collect(), bytes }
}

/// One allocation may be so large for a file of so many bytes: no larger than the file, but for what a
/// load takes whatever the file.
fn allowed(len: usize) -> usize {
    len + (64 << 10)
}

/// A load that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn load(bytes: Vec<u8>) -> Result<Model> {
    Model::from_gguf(Arc::new(File::from_bytes(bytes)?), ModelParams::default())
}

/// Every case is an error as it should be. Gives their names.
fn refused(cases: Vec<Case>) -> BTreeSet<String> {
    let (started, watch) = channel::<String>();
    let watchdog = std::thread::spawn(move || {
        let mut name = String::new();
        loop {
            match watch.recv_timeout(PATIENCE) {
                Ok(next) => name = next,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{name}: hangs");
                    std::process::abort();
                }
            }
        }
    });
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for Case { name, want, bytes } in cases {
        started.send(name.clone()).unwrap();
        assert!(names.insert(name.clone()), "{name} is there twice");
        let limit = allowed(bytes.len());
        let load = || std::panic::catch_unwind(|| load(bytes).map(drop));
        let (result, size) = alloc::largest(load);
        match result {
            Err(_) => wrong.push(format!("{name}: panics")),
            Ok(Ok(())) => wrong.push(format!("{name}: accepted")),
            Ok(Err(e)) => {
                let m = e.to_string();
                for words in want {
                    if !words.split('|').any(|w| m.contains(w)) {
                        wrong.push(format!("{name}: {m:?} lacks {words:?}"));
                    }
                }
            }
        }
        if size > limit {
            wrong.push(format!("{name}: {size} bytes were allocated at once, limit {limit}"));
        }
    }
    drop(started);
    watchdog.join().unwrap();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    names
}

/// Loads what is odd but allowed, and computes with it.
fn computes(name: &str, bytes: Vec<u8>) {
    let model = load(bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    let text = "Hello, wörld \u{1f980}\0\u{300}  abc".as_bytes();
    for (special, parse) in [(false, false), (true, true)] {
        for token in model.vocab().tokenize(text, special, parse).unwrap_or_default() {
            assert!((token as usize) < model.vocab().n_tokens(), "{name}: token {token}");
        }
    }
    let params = ContextParams { n_ctx: 64, n_threads: 1, n_threads_batch: 1, ..Default::default() };
    let mut context = Context::new(Arc::new(model), params).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut batch = Batch::new(4, 1).unwrap();
    for (pos, token) in [1, 70, 80].into_iter().enumerate() {
        batch.add(token, pos as i32, &[0], true).unwrap();
    }
    context.decode(&batch).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(context.all_logits().len(), 3 * context.n_vocab(), "{name}");
}

#[test]
fn what_the_cases_start_from_is_fine() {
    for arch in file::ARCHS {
        computes(arch, file::model(arch).bytes());
    }
}

#[test]
fn every_case_is_refused() {
    let mut cases = container::cases();
    cases.extend(advisories::cases());
    cases.extend(adapter::cases());
    cases.extend(many::cases());
    for arch in file::ARCHS {
        cases.extend(hparams::cases(arch));
        cases.extend(weights::cases(arch));
    }
    cases.extend(vocab::cases());
    let names = refused(cases);
    assert!(names.len() >= 300, "only {} cases", names.len());
    println!("{} malformed files", names.len());
}

#[test]
fn odd_but_allowed() {
    for (name, bytes) in hparams::allowed().into_iter().chain(vocab::allowed()) {
        computes(&name, bytes);
    }
}
