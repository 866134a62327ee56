//! The commands that look into models and measure, as a user runs them.

mod common;

use common::{PROMPT, demo, failure, rocmforge, run, stderr, stdout, success};
use rocmforge::gguf::File;
use rocmforge::tokenizer::Vocab;
use serde_json::Value as Json;

#[test]
fn inspect_shows_metadata_and_tensors() {
    let text = stdout(&success(&["inspect", &demo()]));
    let file = File::open(demo().as_ref()).unwrap();
    assert!(text.contains("GGUF version 3"), "{text}");
    for (key, _) in file.keys() {
        assert!(text.contains(key), "{key}");
    }
    for t in file.tensors() {
        assert!(text.lines().any(|l| l.contains(t.name) && l.contains(t.ty.name())), "{}", t.name);
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn inspect_json_has_everything() {
    let json: Json = serde_json::from_str(&stdout(&success(&["inspect", "--json", &demo()]))).unwrap();
    let file = File::open(demo().as_ref()).unwrap();
    assert_eq!(json["version"], 3);
    assert_eq!(
        json["metadata"]["general.architecture"]["value"],
        file.need_str("general.architecture").unwrap()
    );
    let tokens = &json["metadata"]["tokenizer.ggml.tokens"];
    assert_eq!(tokens["len"], file.need_array("tokenizer.ggml.tokens").unwrap().len());
    assert!(tokens["first"].as_array().unwrap().len() < 10);
    let tensors = json["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), file.n_tensors());
    for (shown, t) in tensors.iter().zip(file.tensors()) {
        assert_eq!(shown["name"], t.name);
        assert_eq!(shown["bytes"], t.n_bytes());
    }
}

#[test]
fn inspect_works_on_models_that_cannot_run() {
    use rocmforge::gguf::Writer;
    use rocmforge::quant::GgmlType;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strange.gguf");
    let data = vec![0u8; GgmlType::IQ2_XXS.row_bytes(256).unwrap()];
    let mut writer = Writer::new();
    writer.set("general.architecture", "from-the-future").unwrap();
    writer.set("future.epsilon", 1e-5f32).unwrap();
    writer.set("future.text", "a\u{1b}[31m\nb").unwrap();
    writer.tensor("blk.0.odd", &[256], GgmlType::IQ2_XXS, &data[..]).unwrap();
    writer.write(&path).unwrap();
    let path = path.to_str().unwrap();
    let text = stdout(&success(&["inspect", path]));
    assert!(text.contains("iq2_xxs") && text.contains("1e-5"), "{text}");
    assert!(text.contains("\"a\\u{1b}[31m\\nb\""), "escaped: {text}");
    let json: Json = serde_json::from_str(&stdout(&success(&["inspect", "--json", path]))).unwrap();
    assert_eq!(json["metadata"]["future.epsilon"]["value"], 1e-5);
    failure(1, &["generate", "-p", "x", "-m", path], "strange.gguf");
}

#[test]
fn tokenize_gives_the_vocabulary_s_ids() {
    let vocab = Vocab::from_gguf(&File::open(demo().as_ref()).unwrap()).unwrap();
    for (flags, add_special) in [(&["--ids"][..], true), (&["--ids", "--no-bos"], false)] {
        let want = vocab.tokenize(PROMPT.as_bytes(), add_special, false).unwrap();
        let ids = stdout(&success(&[&["tokenize", PROMPT], flags].concat()));
        assert_eq!(serde_json::from_str::<Vec<i32>>(&ids).unwrap(), want);
    }
    let lines = stdout(&success(&["tokenize", "--no-bos", PROMPT]));
    let pieces: String = lines.lines().filter_map(|l| l.split_once("-> '")?.1.strip_suffix('\'')).collect();
    assert_eq!(pieces.trim_start(), PROMPT);
}

#[test]
fn special_tokens_are_parsed_on_request() {
    let vocab = Vocab::from_gguf(&File::open(demo().as_ref()).unwrap()).unwrap();
    let bos = vocab.text(vocab.bos().unwrap()).unwrap();
    let count = |args: &[&str]| {
        let ids = stdout(&success(&[&["tokenize", "--ids", "--no-bos", bos], args].concat()));
        serde_json::from_str::<Vec<i32>>(&ids).unwrap().len()
    };
    assert_eq!(count(&["--parse-special"]), 1);
    assert!(count(&[]) > 1);
}

const BENCH: [&str; 7] = ["bench", "-p", "8", "-n", "4", "-r", "1"];

#[test]
fn bench_prints_markdown() {
    let text = stdout(&success(&BENCH));
    assert!(text.starts_with("read bandwidth"), "{text}");
    let rows: Vec<&str> = text.lines().filter(|l| l.starts_with('|')).collect();
    assert_eq!(rows.len(), 4, "{text}");
    assert!(rows[2].contains("| pp8 |") && rows[3].contains("| tg4 |") && rows[3].contains('%'), "{text}");
    assert!(rows.iter().all(|r| r.matches('|').count() == 9), "{text}");
}

#[test]
fn bench_prints_csv() {
    let text = stdout(&success(&[&BENCH[..], &["-o", "csv", "-t", "1", "-ub", "4"]].concat()));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].starts_with("model,") && lines[1].contains(",pp8,") && lines[2].contains(",tg4,"),
        "{text}"
    );
}

#[test]
fn bench_prints_json() {
    let args = [&BENCH[..], &["-o", "json", "-t", "1", "-ctk", "f32"]].concat();
    let json: Json = serde_json::from_str(&stdout(&success(&args))).unwrap();
    assert_eq!(
        (&json["threads"], &json["type_k"], &json["type_v"]),
        (&1.into(), &"f32".into(), &"f16".into())
    );
    assert!(json["bandwidth_gb_s"].as_f64().unwrap() > 0.0);
    let tests = json["tests"].as_array().unwrap();
    assert_eq!((&tests[0]["test"], &tests[1]["test"]), (&"pp8".into(), &"tg4".into()));
    let (rate, gb_s) = (tests[1]["avg_ts"].as_f64().unwrap(), tests[1]["gb_s"].as_f64().unwrap());
    let bytes = json["bytes_per_token"].as_f64().unwrap();
    assert!((rate * bytes / 1e9 / gb_s - 1.0).abs() < 1e-9);
    assert!(tests[0]["gb_s"].is_null());
}

#[test]
fn the_demo_model_is_searched_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("demo.gguf"), b"GGUF").unwrap();
    let out = rocmforge(&["tokenize", "x"]).env("ROCMFORGE_MODELS", dir.path()).output().unwrap();
    assert!(stderr(&out).contains(dir.path().to_str().unwrap()), "found first: {}", stderr(&out));
}

#[test]
fn help_completions_and_manual_pages_are_there() {
    for command in ["generate", "bench", "inspect", "tokenize"] {
        assert!(stdout(&success(&[command, "--help"])).contains("Usage: rocmforge"));
        assert!(stdout(&success(&["man", command])).contains(".TH"));
    }
    assert!(stdout(&success(&["man"])).contains("rocmforge"));
    assert!(stdout(&success(&["completions", "bash"])).contains("_rocmforge"));
    assert!(stdout(&success(&["--version"])).starts_with("rocmforge "));
    assert_eq!(run(&["man", "no-such"]).status.code(), Some(2));
}

#[test]
fn perplexity_of_the_held_out_tales() {
    let heldout = demo().replace("demo.gguf", "heldout.txt");
    let args = ["perplexity", "-m", &demo(), "-f", &heldout, "-c", "256", "--chunks", "3"];
    let out = stdout(&success(&args));
    assert!(out.starts_with("[1]") && out.contains("[3]") && !out.contains("[4]"), "{out}");
    let (_, estimate) = out.split_once("PPL = ").unwrap();
    let perplexity: f64 = estimate.split(' ').next().unwrap().parse().unwrap();
    assert!((1.1..1.8).contains(&perplexity), "{out}");
    // Micro-batches of any size give the same.
    let small = [&args[..], &["-ub", "100", "-b", "200"]].concat();
    let close = stdout(&success(&small));
    let again: f64 = close.split_once("PPL = ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    assert!((again / perplexity - 1.0).abs() < 1e-3, "{out} {close}");
    failure(1, &["perplexity", "-m", &demo(), "-p", "too short"], "at least 1024");
}

#[test]
fn embeddings_of_lines() {
    let two = ["embed", "-m", &demo(), "--pooling", "mean", "-p", "A fox.\nA hen and a fox."];
    let text = stdout(&success(&two));
    let rows: Vec<Vec<f64>> =
        text.lines().map(|l| l.split(' ').map(|v| v.parse().unwrap()).collect()).collect();
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert!((row.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-3);
    }
    let json: Json =
        serde_json::from_str(&stdout(&success(&[&two[..], &["--embd-output-format", "json"]].concat())))
            .unwrap();
    let first = json["data"][0]["embedding"].as_array().unwrap();
    assert_eq!((json["data"].as_array().unwrap().len(), first.len()), (2, rows[0].len()));
    assert!((first[0].as_f64().unwrap() - rows[0][0]).abs() < 1e-5);
    let each = stdout(&success(&["embed", "-m", &demo(), "--pooling", "none", "-p", "A fox."]));
    assert!(each.lines().count() > 2, "one for each token");
    failure(1, &["embed", "-m", &demo(), "-c", "1", "-p", "A fox."], "-c");
}

#[test]
fn quantize_makes_models_that_run() {
    use rocmforge::quant::GgmlType;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let copy = path("model.gguf");
    std::fs::copy(demo(), &copy).unwrap();
    let named = path("small.gguf");
    let text =
        stdout(&success(&["quantize", "--token-embedding-type", "q8_0", &copy, &named, "q4_k_m", "2"]));
    assert!(text.contains("small.gguf: Q4_K_M"), "{text}");
    let file = File::open(named.as_ref()).unwrap();
    assert_eq!(file.u32("general.file_type").unwrap(), Some(15));
    assert_eq!(file.tensor("token_embd.weight").unwrap().ty, GgmlType::Q8_0);
    success(&["generate", "-m", &named, "-p", PROMPT, "-n", "4", "--temp", "0"]);

    // Without a name the file is beside the model; 7 is Q8_0.
    success(&["quantize", "-t", "1", &copy, "7"]);
    assert_eq!(
        File::open(path("ggml-model-Q8_0.gguf").as_ref()).unwrap().u32("general.file_type").unwrap(),
        Some(7)
    );

    failure(1, &["quantize", &named, &path("again.gguf"), "Q4_0"], "requantising");
    success(&["quantize", "--allow-requantize", &named, &path("again.gguf"), "Q4_0"]);
    failure(1, &["quantize", &copy, &named, "IQ1_S"], "imatrix");
    failure(1, &["quantize", "--imatrix", &copy, &copy, &named, "IQ1_S"], "no importance data");
    failure(2, &["quantize", &copy, &named, "Q9"], "'Q9' is no type");
    failure(2, &["quantize", &copy, "Q9"], "'Q9' is no type");
    failure(2, &["quantize", &copy, "Q8_0", "many"], "number of threads");
    failure(2, &["quantize", &copy, &named, "Q8_0", "--output-tensor-type", "i32"], "type of weights");
}
