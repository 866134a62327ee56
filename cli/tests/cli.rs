//! The program as a user runs it.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use common::{PROMPT, demo, failure, rocmforge, run, stderr, stdout, success};

/// The first greedy words after [`PROMPT`]: what any story model says here.
const GREEDY_START: &str = "Once upon a time, there was a";

fn greedy(args: &[&str]) -> String {
    let mut all = vec!["generate", "-p", PROMPT, "-n", "24", "--temp", "0"];
    all.extend(args);
    stdout(&success(&all))
}

#[test]
fn greedy_text_begins_as_expected_and_repeats() {
    let text = greedy(&[]);
    assert!(text.starts_with(GREEDY_START), "{text}");
    assert_eq!(greedy(&["-m", &demo()]), text, "the demo model is the default");
    assert!(greedy(&["-b", "3", "-ub", "2"]).starts_with(GREEDY_START));
    let bare = greedy(&["--no-display-prompt"]);
    assert_eq!(format!("{PROMPT}{bare}"), text);
}

#[test]
fn the_seed_decides() {
    let sampled =
        |seed| stdout(&success(&["generate", "-p", PROMPT, "-n", "24", "--temp", "1.5", "-s", seed]));
    assert_eq!(sampled("7"), sampled("7"));
    assert_ne!(sampled("7"), sampled("8"));
}

#[test]
fn the_prompt_comes_from_standard_input_or_a_file() {
    let want = greedy(&[]);
    let args = ["generate", "-n", "24", "--temp", "0"];
    let mut child = rocmforge(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{PROMPT}\n").as_bytes()).unwrap();
    assert_eq!(stdout(&child.wait_with_output().unwrap()), want);

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prompt.txt");
    fs::write(&file, format!("{PROMPT}\n")).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(stdout(&success(&[&args[..], &["-f", file]].concat())), want);
    failure(2, &[&args[..], &["-f", file, "-p", "x"]].concat(), "which one");
}

#[test]
fn flags_have_environment_forms_and_win() {
    let with_env = |args: &[&str]| {
        let env = [("ROCMFORGE_PROMPT", PROMPT), ("ROCMFORGE_PREDICT", "24"), ("ROCMFORGE_TEMP", "0")];
        let mut all = vec!["generate"];
        all.extend(args);
        stdout(&rocmforge(&all).envs(env).output().unwrap())
    };
    let want = greedy(&[]);
    assert_eq!(with_env(&[]), want);
    let short = with_env(&["-n", "2"]);
    assert!(short.len() < want.len() && want.starts_with(&short), "{short}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prompt.txt");
    fs::write(&file, "The little dog").unwrap();
    assert!(with_env(&["-f", file.to_str().unwrap()]).starts_with("The little dog"));
}

#[test]
fn the_speed_is_told() {
    let out = success(&["generate", "-p", PROMPT, "-n", "3"]);
    let line = stderr(&out);
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("generation 3 tokens") && line.contains("t/s") && line.contains("load"), "{line}");
}

#[test]
fn weights_are_read_into_memory_on_request() {
    // The size of the weights, and of what is not used where the file is mapped.
    let mib = |args: &[&str]| -> [f64; 2] {
        let told = stderr(&success(&[&["generate", "-v", "-p", PROMPT, "-n", "1"], args].concat()));
        let line = told.lines().find(|l| l.contains("of their own")).unwrap_or_else(|| panic!("{told}"));
        let words: Vec<&str> = line.split(' ').collect();
        let sizes = words.windows(2).filter(|w| w[1] == "MiB").map(|w| w[0].parse().unwrap());
        sizes.collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{line}"))
    };
    let [size, own] = mib(&[]);
    assert!(own < size / 4.0, "{own} of {size}");
    let [size, own] = mib(&["--no-mmap"]);
    assert!(own >= size * 0.9, "{own} of {size}");
    assert_eq!(greedy(&["--no-mmap"]), greedy(&[]));
    success(&["bench", "-p", "8", "-n", "0", "-r", "1", "--no-mmap"]);
}

#[test]
fn a_full_context_ends_the_text() {
    let out = success(&["generate", "-p", PROMPT, "-c", "32", "--ignore-eos"]);
    assert!(stderr(&out).contains("context of 32 tokens is full"), "{}", stderr(&out));
    let long = "a dog ".repeat(50);
    failure(1, &["generate", "-p", &long, "-c", "32"], "the context holds 32");
}

#[test]
fn sampling_flags_are_heard() {
    // The bias forbids the token that is chosen without it.
    let first = |args: &[&str]| {
        let all =
            [&["generate", "-p", PROMPT, "-n", "1", "--temp", "0", "--no-display-prompt"], args].concat();
        stdout(&success(&all))
    };
    let usual = first(&[]);
    let ids = stdout(&success(&["tokenize", "--ids", "--no-bos", &format!("{PROMPT}{usual}")]));
    let id = ids.trim_end().trim_end_matches(']').rsplit(", ").next().unwrap();
    assert_ne!(first(&["--logit-bias", &format!("{id}-inf")]), usual);
    assert_eq!(first(&["--logit-bias", &format!("{id}+5")]), usual);
    // One likeliest token left is greedy, whatever the temperature and seed.
    assert_eq!(first(&["--temp", "5", "--samplers", "top_k;temperature", "--top-k", "1"]), usual);
    failure(1, &["generate", "-p", "x", "--logit-bias", "99999999+1"], "no token 99999999");
}

#[test]
fn bad_models_are_named() {
    failure(1, &["generate", "-p", "x", "-m", "no-such.gguf"], "no-such.gguf");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    failure(1, &["generate", "-p", "x", "-m", path], "not a regular file");

    let bytes = fs::read(demo()).unwrap();
    for part in [0, 3, 100, bytes.len() / 2] {
        let cut = dir.path().join("cut.gguf");
        fs::write(&cut, &bytes[..part]).unwrap();
        for command in
            [&["generate", "-p", "x", "-m"][..], &["inspect"], &["tokenize", "x", "-m"], &["bench", "-m"]]
        {
            failure(1, &[command, &[cut.to_str().unwrap()]].concat(), "cut.gguf");
        }
    }
}

#[test]
fn bad_flags_are_usage_errors() {
    for args in [
        &["generate", "--temp", "warm"][..],
        &["generate", "-n", "-2"],
        &["generate", "-ctk", "q4_0"],
        &["generate", "--samplers", "top_k;magic"],
        &["generate", "--logit-bias", "5"],
        &["generate", "--seed", "-2"],
        &["generate", "--no-such-flag"],
        &["bench", "-o", "xml"],
        &["bench", "-p", "0", "-n", "0"],
        &["bench", "-r", "0"],
        &["inspect"],
        &["no-such-command"],
        &[],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    failure(2, &["generate", "--temp", "warm"], "--temp");
    failure(1, &["generate", "-p", "x", "--temp", "nan"], "NaN");
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_with_the_speed() {
    let args = ["generate", "-p", PROMPT, "--ignore-eos", "-c", "50000"];
    let mut child = rocmforge(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    // Text after the prompt: it is generating.
    let mut seen = vec![0; PROMPT.len() + 8];
    out.read_exact(&mut seen).unwrap();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    out.read_to_end(&mut seen).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130), "{}", stderr(&out));
    assert!(stderr(&out).contains("t/s"), "{}", stderr(&out));
    assert!(std::str::from_utf8(&seen).is_ok(), "no character was torn");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let args = ["generate", "-p", PROMPT, "--ignore-eos", "-c", "50000"];
    let mut child = rocmforge(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut line).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), stderr(&out).as_str()), (Some(0), ""));
}
