//! Contexts that are full, and contexts that are kept.

mod common;

use std::fs;

use common::{PROMPT, failure, stderr, stdout, success};

const GREEDY: [&str; 6] = ["generate", "--temp", "0", "--ignore-eos", "-n", "30"];

fn run(args: &[&str]) -> (String, String) {
    let out = success(&[&GREEDY[..], args].concat());
    (stdout(&out), stderr(&out))
}

#[test]
fn a_context_shift_goes_on() {
    let args = ["generate", "-p", PROMPT, "-c", "32", "--temp", "0", "--ignore-eos", "-n", "120"];
    let with = |more: &[&str]| success(&[&args[..], more].concat());
    let stopped = with(&[]);
    assert!(stderr(&stopped).contains("context of 32 tokens is full"), "{}", stderr(&stopped));
    let shifted = with(&["--context-shift"]);
    assert!(stderr(&shifted).contains("generation 120 tokens"), "{}", stderr(&shifted));
    let (stopped, shifted) = (stdout(&stopped), stdout(&shifted));
    assert!(shifted.starts_with(&stopped) && shifted.len() > 2 * stopped.len(), "{shifted}");
    // What is kept has a say in what follows.
    let kept = stdout(&with(&["--context-shift", "--keep", "-1"]));
    assert!(kept.starts_with(&stopped) && kept != shifted, "{kept}");
    assert_eq!(stdout(&with(&["--context-shift", "--no-context-shift"])), stopped);
    // A prompt that fills the context and is all kept leaves nothing to drop.
    let out = success(&[&args[..], &["--context-shift", "--keep", "-1", "-c", "6"]].concat());
    assert!(stderr(&out).contains("is full"), "{}", stderr(&out));
}

#[test]
fn a_prompt_is_computed_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session");
    let cache = ["--prompt-cache", path.to_str().unwrap()];
    let long = format!("{PROMPT}, there was a little dog who lived in a big house");
    let with = |prompt: &str, more: &[&str]| run(&[&["-p", prompt], &cache[..], more].concat());
    let plain = run(&["-p", &long]).0;

    let (text, speed) = with(&long, &[]);
    assert!(text == plain && !speed.contains("prompt 1 token "), "{speed}");
    let saved = fs::read(&path).unwrap();
    let (text, speed) = with(&long, &[]);
    assert_eq!(text, plain);
    assert!(speed.contains("prompt 1 token "), "{speed}");
    assert!(fs::read(&path).unwrap() == saved, "there was nothing to add");
    // Without a prompt, that of the session.
    let (text, speed) = run(&[&["-p", ""], &cache[..]].concat());
    assert!(plain.ends_with(&text) && speed.contains("prompt 1 token "), "{text} {speed}");

    // Another prompt begins with what they share.
    let other = format!("{PROMPT}, there was a little cat");
    assert_eq!(with(&other, &["--prompt-cache-ro"]).0, run(&["-p", &other]).0);
    assert!(fs::read(&path).unwrap() == saved, "read only");
    assert_eq!(with(&other, &[]).0, run(&["-p", &other]).0);
    assert!(fs::read(&path).unwrap() != saved);

    // Everything: what was generated is the prompt of the next.
    let (text, _) = with(&long, &["--prompt-cache-all"]);
    let (_, speed) = with(&text, &["--prompt-cache-ro"]);
    assert!(speed.contains("prompt 1 token ") || speed.contains("prompt 2 tokens "), "{speed}");
}

#[test]
fn sessions_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session");
    let file = path.to_str().unwrap();
    fs::write(&path, "").unwrap();
    run(&["-p", PROMPT, "--prompt-cache", file]);
    let saved = fs::read(&path).unwrap();
    assert!(!saved.is_empty(), "an empty file is a place to save to");
    let refused = |more: &[&str], what: &str| {
        failure(1, &[&["generate", "-p", PROMPT, "--prompt-cache", file], more].concat(), what);
    };
    refused(&["-ctk", "q8_0"], "type_k");
    refused(&["-c", "3"], "n_ctx");
    fs::write(&path, &saved[..saved.len() - 9]).unwrap();
    refused(&[], "session: the state is damaged");
    fs::write(&path, "something else").unwrap();
    refused(&[], "no saved state");
    assert_eq!(fs::read(&path).unwrap(), b"something else", "it is left alone");
}
