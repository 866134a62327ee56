//! Ours and the peer, side by side in one run: tokenizing speed on every vocabulary file that the
//! reference brings, over prose, code and Chinese, Japanese and Korean; and how ours takes texts that
//! make some tokenizers quadratic.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use rocmforge::gguf::File;
use rocmforge::tokenizer::Vocab;
use rocmforge_testkit::peer::Peer;
use rocmforge_testkit::rng::Rng;

/// Measure the tokenizers of librocmforge beside the reference peer's.
#[derive(Parser)]
struct Args {
    /// Only vocabularies whose names contain this.
    #[arg(default_value = "")]
    filter: String,
    /// Size of the text in MB.
    #[arg(long, default_value_t = 2.0)]
    mb: f64,
    /// Times that ours reads the text; the best counts. The peer reads it once, after a short warm-up.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

const WORDS: &str = "我们 今天 语言 模型 机器学习 的 是 在 了 可以 一个 计算机 世界 开发 学习 问题 因为 所以 \
    中国 北京 大学 研究 数据 系统 これは 日本語 です 東京 に 行きます 私は 学生 コンピュータ を 使って 新しい \
    한국어 안녕하세요 저는 학생 입니다 컴퓨터 오늘은 날씨가 좋습니다 人工智能 。 ， 、 「 」 ？";

/// Words of Chinese, Japanese and Korean in no order, `len` bytes at least.
fn cjk(len: usize) -> String {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut rng = Rng::new(11);
    let mut text = String::new();
    while text.len() < len {
        text.push_str(words[rng.below(words.len())]);
        match rng.below(40) {
            0 => text.push('\n'),
            1..4 => text.push(' '),
            _ => {}
        }
    }
    text
}

/// Prose, code and CJK of the peer's source tree and of ours, repeated up to `len` bytes.
fn mixed(peer: Peer, len: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let prose =
        ["README.md", "docs/build.md", "docs/multimodal.md", "docs/backend/SYCL.md", "AUTHORS", "LICENSE"];
    let code = ["src/llama-vocab.cpp", "src/unicode.cpp", "ggml/src/ggml.c", "convert_hf_to_gguf.py"];
    for file in prose.iter().chain(&code) {
        text.extend(std::fs::read(peer.source(file)).unwrap_or_default());
    }
    text.extend(std::fs::read(rocmforge_testkit::root().join("models/heldout.txt")).unwrap_or_default());
    text.extend(cjk(text.len() / 6).bytes());
    // Repeated text would be read from memory alone: each round changes the words a little.
    let once = text.clone();
    let mut round = 0;
    while text.len() < len {
        round += 1;
        text.extend(once.iter().map(|&b| match b {
            b'e' if round % 2 == 1 => b'o',
            b's' if round / 2 % 2 == 1 => b'n',
            b't' if round / 4 % 2 == 1 => b'l',
            b => b,
        }));
    }
    text.truncate(len);
    text
}

fn seconds(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

fn best(rounds: usize, mut f: impl FnMut()) -> f64 {
    (0..rounds).map(|_| seconds(&mut f)).fold(f64::MAX, f64::min)
}

fn measure(peer: Peer, name: &str, path: &Path, text: &[u8], rounds: usize) -> Result<(), String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let load = best(rounds, || drop(Vocab::from_gguf(&file)));
    let ours = Vocab::from_gguf(&file).map_err(|e| format!("{name}: {e}"))?;
    let peer_load = seconds(|| drop(peer.load_vocab(path)));
    let theirs = peer.load_vocab(path)?;
    let mb = text.len() as f64 / 1e6;
    let a = mb / best(rounds, || drop(ours.tokenize(text, false, true)));
    theirs.tokenize(&text[..text.len() / 50], false, true);
    let b = mb / seconds(|| drop(theirs.tokenize(text, false, true)));
    print!(
        "{name:15} {a:7.2} MB/s  peer {b:6.2} MB/s  {:5.1} x   load {:6.1} ms, peer {:6.1} ms ",
        a / b,
        load * 1e3,
        peer_load * 1e3
    );
    // Time for four times as much, over four times the time: 1 is linear, 4 is quadratic.
    for run in ["a", " ", "a a ", "\n", "日"] {
        let text = run.repeat((1 << 20) / run.len());
        let time = |n: usize| {
            best(3, || drop(ours.tokenize(&text.as_bytes()[..n / run.len() * run.len()], false, true)))
        };
        print!(" {:.2}", time(1 << 20) / (4.0 * time(1 << 18)));
    }
    println!();
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let run = || -> Result<(), String> {
        let peer = Peer::open()?;
        let text = mixed(peer, (args.mb * 1e6) as usize);
        let files = std::fs::read_dir(peer.source("models")).map_err(|e| e.to_string())?;
        let mut paths: Vec<_> = files.filter_map(|f| Some(f.ok()?.path())).collect();
        paths.sort();
        println!(
            "The last five: growth of ours on 1 MiB of \"a\", \" \", \"a a \", newlines, \"日\"; 1 is linear."
        );
        for path in paths {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let name = name.strip_prefix("ggml-vocab-").and_then(|n| n.strip_suffix(".gguf"));
            if let Some(name) = name.filter(|n| n.contains(&args.filter)) {
                measure(peer, name, &path, &text, args.rounds)?;
            }
        }
        Ok(())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
