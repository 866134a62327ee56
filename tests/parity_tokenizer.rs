//! Token ids and detokenized text against the reference libllama, on its own vocabulary files.
//!
//! Needs the peer (see `rocmforge_testkit::peer`); without it each test prints `ignored`.

use rocmforge::gguf::File;
use rocmforge::tokenizer::{Token, Vocab};
use rocmforge_testkit::peer::{Peer, PeerVocab};

/// A vocabulary file of the reference, read by both.
struct Pair {
    name: &'static str,
    ours: Vocab,
    theirs: PeerVocab,
    /// Texts of special tokens, to write into generated strings.
    specials: Vec<String>,
}

fn load(peer: &Peer, name: &'static str) -> Pair {
    let path = peer.source(&format!("models/ggml-vocab-{name}.gguf"));
    let ours = Vocab::from_gguf(&File::open(&path).unwrap()).unwrap();
    let theirs = peer.load_vocab(&path).unwrap();
    let special = |&t: &Token| ours.attr(t).is_some_and(|a| a.0 & (1 | 8 | 16) != 0);
    let ids = (0..ours.n_tokens() as Token).filter(special).take(64);
    let specials = ids.map(|t| ours.text(t).unwrap().to_string()).collect();
    Pair { name, ours, theirs, specials }
}

impl Pair {
    fn check(&self, text: &[u8], add_special: bool, parse_special: bool) -> Vec<Token> {
        let ours = self.ours.tokenize(text, add_special, parse_special).unwrap();
        let theirs = self.theirs.tokenize(text, add_special, parse_special);
        assert_eq!(
            ours,
            theirs,
            "{}: parse_special {parse_special}, text {}",
            self.name,
            text.escape_ascii()
        );
        ours
    }
}

/// The tokenizers whose ids are promised, and others that share their parts.
const PROMISED: [&str; 4] = ["llama-spm", "llama-bpe", "gpt-2", "qwen2"];
const OTHERS: [&str; 9] =
    ["phi-3", "command-r", "refact", "starcoder", "qwen35", "mpt", "gpt-neox", "baichuan", "aquila"];

#[test]
fn vocabularies_are_equal() {
    let Some(peer) = Peer::for_test() else { return };
    for name in PROMISED.into_iter().chain(OTHERS) {
        let p = load(&peer, name);
        assert_eq!(p.ours.n_tokens() as i32, p.theirs.n_tokens(), "{name}");
        let id = |t: Option<Token>| t.unwrap_or(-1);
        let specials = [p.ours.bos(), p.ours.eos(), p.ours.nl(), p.ours.pad()].map(id);
        assert_eq!(specials, p.theirs.specials(), "{name}: bos, eos, nl, pad");
        assert_eq!((p.ours.add_bos(), p.ours.add_eos()), p.theirs.adds(), "{name}: add_bos, add_eos");
        for t in 0..p.ours.n_tokens() as Token {
            let what = || format!("{name}: token {t} {:?}", p.ours.text(t));
            assert_eq!(p.ours.attr(t).unwrap().0, p.theirs.attr(t), "{}", what());
            assert_eq!(p.ours.is_eog(t), p.theirs.is_eog(t), "{}", what());
            for special in [false, true] {
                let ours = p.ours.token_to_piece(t, special).unwrap();
                assert_eq!(ours, p.theirs.token_to_piece(t, 0, special), "{}", what());
            }
        }
    }
}

#[test]
fn the_references_own_examples() {
    let Some(peer) = Peer::for_test() else { return };
    for name in PROMISED.into_iter().chain(["phi-3", "command-r", "refact", "starcoder", "qwen35", "mpt"]) {
        let file = format!("models/ggml-vocab-{name}.gguf");
        let ours = Vocab::from_gguf(&File::open(&peer.source(&file)).unwrap()).unwrap();
        let inputs = std::fs::read(peer.source(&format!("{file}.inp"))).unwrap();
        let inputs = String::from_utf8(inputs).unwrap();
        let outputs = std::fs::read_to_string(peer.source(&format!("{file}.out"))).unwrap();
        let inputs: Vec<_> = inputs.split("\n__ggml_vocab_test__\n").collect();
        assert!(inputs.len() > 40);
        // The last input ends with the separator, so one empty text has no line.
        for (text, ids) in inputs.iter().zip(outputs.lines()) {
            let want: Vec<Token> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(ours.tokenize(text.as_bytes(), false, false).unwrap(), want, "{name}: {text:?}");
        }
        assert!(outputs.lines().count() >= inputs.len() - 1, "{name}");
    }
}

/// xorshift64*, so that the strings are the same on every machine.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

const WORDS: [&str; 24] = [
    "the",
    "Hello",
    "world",
    "tokenization",
    "ing",
    "UPPER",
    "camelCase",
    "don't",
    "I'LL",
    "we've",
    "'s",
    "'RE",
    "naïve",
    "Äpfel",
    "строка",
    "日本語",
    "한국어",
    "ไทย",
    "עברית",
    "العربية",
    "हिन्दी",
    "\u{2581}",
    "_x_",
    "http://a.b/c?d=e",
];
const SPACES: [&str; 14] = [
    " ", "  ", "   ", "\n", "\r\n", "\t", "\n\n", " \n ", "\u{a0}", "\u{3000}", "\u{2028}", "\u{85}",
    "\u{b}", "\u{200b}",
];
const EMOJI: [&str; 8] = ["😀", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "❤️", "e\u{301}\u{323}", "🏳️‍🌈", "1️⃣"];
const BAD: [&[u8]; 12] = [
    b"\x80",
    b"\xff",
    b"\xfe\xfe",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xc0\x80",
    b"\xc1\x81",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xf0\x82\x82\xac",
    b"\xf8\x88\x80\x80\x80",
];

/// A string of a few parts of every kind that has ever broken a tokenizer.
fn generate(rng: &mut Rng, specials: &[String]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..1 + rng.below(12) {
        match rng.below(13) {
            0..=2 => text.extend(rng.pick(&WORDS).bytes()),
            3 | 4 => text.extend(rng.pick(&SPACES).bytes()),
            5 => text.extend(rng.pick(&SPACES).repeat(rng.below(20)).bytes()),
            6 => text.extend((0..rng.below(9)).map(|_| b'0' + rng.below(10) as u8)),
            7 => text.extend((0..rng.below(6)).map(|_| rng.below(0x80) as u8)),
            8 => text.extend(rng.pick(&EMOJI).bytes()),
            9 => {
                // A run of neighbours from anywhere in Unicode.
                let plane =
                    rng.pick(&[0, 0, 0, 0, 0x10000, 0x10000, 0x20000, 0x30000, 0xE0000, 0xF0000, 0x100000]);
                let start = plane + rng.below(0x10000) as u32;
                let run = (0..1 + rng.below(5)).filter_map(|i| char::from_u32(start + i as u32));
                text.extend(run.collect::<String>().bytes());
            }
            10 => text.extend(rng.pick(&BAD)),
            11 if !specials.is_empty() => {
                let special = specials[rng.below(specials.len())].as_bytes();
                // Now and then not all of it.
                let keep = if rng.below(4) == 0 { rng.below(special.len() + 1) } else { special.len() };
                text.extend(&special[..keep]);
            }
            _ => text.extend(
                b"!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~".repeat(2)[rng.below(30)..][..1 + rng.below(8)].iter(),
            ),
        }
    }
    text
}

/// Whether the reference survives `text`: four bytes that spell a number above U+10FFFF make it
/// throw an exception through its C interface.
fn survivable(text: &[u8]) -> bool {
    !text.windows(2).any(|w| w[0] == 0xF4 && (0x90..0xC0).contains(&w[1]) || (0xF5..=0xF7).contains(&w[0]))
}

#[test]
fn generated_strings_tokenize_equally() {
    let Some(peer) = Peer::for_test() else { return };
    let pairs: Vec<_> = PROMISED.map(|name| load(&peer, name)).into();
    let mut rng = Rng(0x5EED);
    for i in 0..10_000 {
        for p in &pairs {
            let text = generate(&mut rng, &p.specials);
            if !survivable(&text) {
                continue;
            }
            let plain = p.check(&text, false, false);
            let parsed = p.check(&text, true, true);
            if i % 10 == 0 {
                for (ids, remove, unparse) in
                    [(&plain, false, false), (&parsed, true, false), (&parsed, true, true)]
                {
                    let ours = p.ours.detokenize(ids, remove, unparse).unwrap();
                    let theirs = p.theirs.detokenize(ids, remove, unparse);
                    assert_eq!(ours, theirs, "{}: {}", p.name, text.escape_ascii());
                }
            }
        }
    }
}

#[test]
fn other_vocabularies_tokenize_equally() {
    let Some(peer) = Peer::for_test() else { return };
    for name in OTHERS {
        let p = load(&peer, name);
        let mut rng = Rng(0xACE);
        for _ in 0..1000 {
            let text = generate(&mut rng, &p.specials);
            if survivable(&text) {
                p.check(&text, false, false);
                p.check(&text, true, true);
            }
        }
    }
}

#[test]
fn long_texts_tokenize_equally() {
    let Some(peer) = Peer::for_test() else { return };
    for name in PROMISED {
        let p = load(&peer, name);
        let mut rng = Rng(7);
        let mut text: Vec<u8> = (0..3000).flat_map(|_| generate(&mut rng, &p.specials)).collect();
        text.retain(|&b| b < 0xF4);
        p.check(&text, true, true);
        for run in ["a", " ", "\n", "é", "ab", "日本", "!?", "0"] {
            p.check(run.repeat(2000).as_bytes(), false, false);
        }
    }
}

/// Not a test: `cargo test --release --test parity_tokenizer -- --ignored --nocapture`.
#[test]
#[ignore = "prints timings"]
fn speed() {
    let Some(peer) = Peer::for_test() else { return };
    let mut text = Vec::new();
    for file in ["README.md", "docs/build.md", "src/llama-vocab.cpp", "ggml/src/ggml.c", "AUTHORS", "LICENSE"]
    {
        text.extend(std::fs::read(peer.source(file)).unwrap_or_default());
    }
    let once = |f: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        f();
        start.elapsed().as_secs_f64()
    };
    let best = |mut f: &mut dyn FnMut()| (0..5).map(|_| once(&mut f)).fold(f64::MAX, f64::min);
    for name in PROMISED {
        let path = peer.source(&format!("models/ggml-vocab-{name}.gguf"));
        let file = File::open(&path).unwrap();
        let load_ours = best(&mut || drop(Vocab::from_gguf(&file).unwrap()));
        let load_theirs = best(&mut || drop(peer.load_vocab(&path).unwrap()));
        let p = load(&peer, name);
        let mb = text.len() as f64 / 1e6;
        let ours = mb / best(&mut || drop(p.ours.tokenize(&text, false, true).unwrap()));
        let theirs = mb / once(&mut || drop(p.theirs.tokenize(&text, false, true)));
        println!(
            "{name:10} {mb:.2} MB: ours {ours:7.2} MB/s, peer {theirs:5.2} MB/s, {:5.1} x; load {:.1} ms, peer {:.1} ms",
            ours / theirs,
            load_ours * 1e3,
            load_theirs * 1e3
        );
    }
}
