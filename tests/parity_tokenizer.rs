//! Token ids and detokenized text against the reference libllama: on every vocabulary file that it
//! brings, found by looking, and for every pre-tokenizer that its source names.
//!
//! Needs the peer (see `rocmforge_testkit::peer`); without it each test is `ignored`.

use rocmforge::gguf::{ArrayBuf, File, Writer};
use rocmforge::tokenizer::{Token, Vocab};
use rocmforge_testkit::harness::{self, Tests};
use rocmforge_testkit::peer::{Peer, PeerVocab};
use std::path::Path;
use std::process::ExitCode;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
type Check = fn(Peer, &str) -> Outcome;

/// Generated strings for each vocabulary, and for each pre-tokenizer on a vocabulary made for it.
const N_STRINGS: usize = 10_000;
const N_PRE_STRINGS: usize = 400;

fn main() -> ExitCode {
    let mut tests = Tests::default();
    if let Err(reason) = harness::peer() {
        // What there is to test only the peer knows.
        for name in ["vocabularies", "pre-tokenizers"] {
            tests.add(name, Err(reason.clone()), || {});
        }
        return tests.run();
    }
    let peer = Peer::for_test();
    let mut add = |what: &str, name: &str, check: Check| {
        let owned = name.to_string();
        tests.add(format!("{what}::{name}"), Ok(()), move || {
            check(peer, &owned).unwrap_or_else(|message| panic!("{message}"))
        });
    };
    add("names", "all", |peer, _| names_are_known(peer));
    for name in vocabularies(peer) {
        add("tables", &name, tables_are_equal);
        if peer.source(&format!("models/ggml-vocab-{name}.gguf.inp")).exists() {
            add("examples", &name, the_references_own_examples);
        }
        add("strings", &name, generated_strings_tokenize_equally);
        add("long", &name, long_texts_tokenize_equally);
    }
    for name in pre_tokenizers(peer) {
        add("pre", &name, pre_tokenizer_splits_equally);
    }
    tests.run()
}

/// `NAME` of every `models/ggml-vocab-NAME.gguf` of the reference.
fn vocabularies(peer: Peer) -> Vec<String> {
    let files = std::fs::read_dir(peer.source("models")).expect("the peer's models");
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let bare = |name: String| Some(name.strip_prefix("ggml-vocab-")?.strip_suffix(".gguf")?.to_string());
    let mut names: Vec<_> = names.filter_map(bare).collect();
    names.sort();
    assert!(names.len() >= 19, "{names:?}");
    names
}

/// Every name that the reference's source compares `tokenizer.ggml.pre` with.
fn pre_tokenizers(peer: Peer) -> Vec<String> {
    let source = std::fs::read_to_string(peer.source("src/llama-vocab.cpp")).unwrap();
    let after = source.split("tokenizer_pre == \"").skip(1);
    let mut names: Vec<_> = after.map(|rest| rest.split('"').next().unwrap().to_string()).collect();
    names.sort();
    names.dedup();
    assert!(names.len() >= 80, "{names:?}");
    names
}

/// A vocabulary file, read by both.
struct Pair {
    name: String,
    ours: Vocab,
    theirs: PeerVocab,
    /// Texts of special tokens, to write into generated strings.
    specials: Vec<String>,
}

impl Pair {
    fn new(peer: Peer, name: &str) -> Outcome<Pair> {
        Pair::open(peer, name, &peer.source(&format!("models/ggml-vocab-{name}.gguf")))
    }

    fn open(peer: Peer, name: &str, path: &Path) -> Outcome<Pair> {
        let ours = Vocab::from_gguf(&File::open(path)?)?;
        let theirs = peer.load_vocab(path)?;
        let special = |&t: &Token| ours.attr(t).is_some_and(|a| a.0 & (1 | 8 | 16) != 0);
        let ids = (0..ours.n_tokens() as Token).filter(special).take(64);
        let specials = ids.map(|t| ours.text(t).unwrap().to_string()).collect();
        Ok(Pair { name: name.into(), ours, theirs, specials })
    }

    fn check(&self, text: &[u8], add_special: bool, parse_special: bool) -> Outcome<Vec<Token>> {
        let ours = self.ours.tokenize(text, add_special, parse_special)?;
        let theirs = self.theirs.tokenize(text, add_special, parse_special);
        match ours == theirs {
            true => Ok(ours),
            false => Err(format!(
                "{}: parse_special {parse_special}, text \"{}\" ({})\n  ours {ours:?}\ntheirs {theirs:?}",
                self.name,
                text.escape_ascii(),
                String::from_utf8_lossy(text),
            )
            .into()),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Outcome {
    match ours == theirs {
        true => Ok(()),
        false => Err(format!("{what}: ours {ours:?}, theirs {theirs:?}").into()),
    }
}

fn tables_are_equal(peer: Peer, name: &str) -> Outcome {
    let p = Pair::new(peer, name)?;
    same("n_tokens", p.ours.n_tokens() as i32, p.theirs.n_tokens())?;
    let specials = [p.ours.bos(), p.ours.eos(), p.ours.nl(), p.ours.pad()].map(|t| t.unwrap_or(-1));
    same("bos, eos, nl, pad", specials, p.theirs.specials())?;
    same("add_bos, add_eos", (p.ours.add_bos(), p.ours.add_eos()), p.theirs.adds())?;
    for t in 0..p.ours.n_tokens() as Token {
        let what = format!("token {t} {:?}", p.ours.text(t));
        same(&what, p.ours.attr(t).unwrap().0, p.theirs.attr(t))?;
        same(&what, p.ours.is_eog(t), p.theirs.is_eog(t))?;
        for special in [false, true] {
            let ours = p.ours.token_to_piece(t, special)?;
            same(&what, ours, &p.theirs.token_to_piece(t, 0, special))?;
        }
    }
    // All tokens side by side, in stretches: where spaces are cleaned up, more than pieces matters.
    let ids: Vec<_> = (0..p.ours.n_tokens() as Token).collect();
    for ids in ids.chunks(64) {
        for (remove, unparse) in [(false, false), (true, true)] {
            let ours = p.ours.detokenize(ids, remove, unparse)?;
            same(&format!("tokens from {}", ids[0]), ours, p.theirs.detokenize(ids, remove, unparse))?;
        }
    }
    Ok(())
}

fn the_references_own_examples(peer: Peer, name: &str) -> Outcome {
    let file = format!("models/ggml-vocab-{name}.gguf");
    let ours = Vocab::from_gguf(&File::open(&peer.source(&file))?)?;
    let inputs = String::from_utf8(std::fs::read(peer.source(&format!("{file}.inp")))?)?;
    let outputs = std::fs::read_to_string(peer.source(&format!("{file}.out")))?;
    let inputs: Vec<_> = inputs.split("\n__ggml_vocab_test__\n").collect();
    assert!(inputs.len() > 40);
    // The last input ends with the separator, so one empty text has no line.
    for (text, ids) in inputs.iter().zip(outputs.lines()) {
        let want: Vec<Token> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
        same(&format!("{text:?}"), ours.tokenize(text.as_bytes(), false, false)?, want)?;
    }
    assert!(outputs.lines().count() >= inputs.len() - 1, "{name}");
    Ok(())
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

const WORDS: [&str; 34] = [
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
    "ÉTÉ",
    "aÉbÈC",
    "Straße",
    "ｆｕｌｌ",
    "ﬁ",
    "İstanbul",
    "<sentinel:12>",
    "IMGIMGABCZ",
    "İ",
    "Ångström",
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

fn generated_strings_tokenize_equally(peer: Peer, name: &str) -> Outcome {
    let p = Pair::new(peer, name)?;
    let mut rng = Rng(0x5EED);
    for i in 0..N_STRINGS {
        let text = generate(&mut rng, &p.specials);
        if !survivable(&text) {
            continue;
        }
        let plain = p.check(&text, false, false)?;
        let parsed = p.check(&text, true, true)?;
        if i % 10 == 0 {
            for (ids, remove, unparse) in
                [(&plain, false, false), (&parsed, true, false), (&parsed, true, true)]
            {
                let ours = p.ours.detokenize(ids, remove, unparse)?;
                let what = format!("{}", text.escape_ascii());
                same(&what, ours, p.theirs.detokenize(ids, remove, unparse))?;
            }
        }
    }
    Ok(())
}

fn long_texts_tokenize_equally(peer: Peer, name: &str) -> Outcome {
    let p = Pair::new(peer, name)?;
    let mut rng = Rng(7);
    let mut text: Vec<u8> = (0..3000).flat_map(|_| generate(&mut rng, &p.specials)).collect();
    text.retain(|&b| b < 0xF4);
    p.check(&text, true, true)?;
    for run in ["a", " ", "\n", "é", "ab", "日本", "!?", "0"] {
        p.check(run.repeat(2000).as_bytes(), false, false)?;
    }
    Ok(())
}

/// Names that nobody but the reference knows are found out here, not by a user.
fn names_are_known(peer: Peer) -> Outcome {
    let unknown: Vec<_> = pre_tokenizers(peer)
        .into_iter()
        .filter(|name| {
            Vocab::from_gguf(&pairs_of_bytes(name)).is_err_and(|e| e.to_string().contains("unknown"))
        })
        .collect();
    same("pre-tokenizers that only the reference knows", unknown, Vec::<String>::new())
}

/// A vocabulary in which any two bytes may merge, so that where words end shows in the ids.
fn pairs_of_bytes(pre: &str) -> File {
    File::from_bytes(write_pairs_of_bytes(pre)).expect("a valid file")
}

fn write_pairs_of_bytes(pre: &str) -> Vec<u8> {
    let mut shifted = (0x100..).filter_map(char::from_u32);
    let bytes: Vec<char> = (0..=255u8)
        .map(|b| match b {
            0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => char::from(b),
            _ => shifted.next().unwrap(),
        })
        .collect();
    let mut tokens: Vec<String> = bytes.iter().map(char::to_string).collect();
    tokens.extend((0..=255).map(|b| format!("<0x{b:02X}>")));
    // An order of merging without any order to it: 40503 is coprime to 65536.
    let pairs: Vec<_> = (0..65536usize).map(|i| (i * 40503 + 12345) % 65536).collect();
    let pairs: Vec<_> = pairs.into_iter().map(|i| (bytes[i / 256], bytes[i % 256])).collect();
    tokens.extend(pairs.iter().map(|(a, b)| format!("{a}{b}")));
    let merges: Vec<String> = pairs.iter().map(|(a, b)| format!("{a} {b}")).collect();
    let strs = |texts: &[String]| ArrayBuf::from(&texts.iter().map(String::as_str).collect::<Vec<_>>()[..]);
    let types: Vec<i32> = (0..tokens.len()).map(|i| if (256..512).contains(&i) { 6 } else { 1 }).collect();
    let mut w = Writer::new();
    w.set("general.architecture", "llama").unwrap();
    w.set("tokenizer.ggml.model", if pre == "whitespace" { pre } else { "gpt2" }).unwrap();
    w.set("tokenizer.ggml.pre", pre).unwrap();
    w.set("tokenizer.ggml.tokens", strs(&tokens).as_array()).unwrap();
    w.set("tokenizer.ggml.token_type", ArrayBuf::from(&types[..]).as_array()).unwrap();
    w.set("tokenizer.ggml.merges", strs(&merges).as_array()).unwrap();
    for key in ["bos_token_id", "eos_token_id"] {
        w.set(&format!("tokenizer.ggml.{key}"), 0u32).unwrap();
    }
    w.into_bytes().unwrap()
}

fn pre_tokenizer_splits_equally(peer: Peer, name: &str) -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("vocab.gguf");
    std::fs::write(&path, write_pairs_of_bytes(name))?;
    let p = match Pair::open(peer, name, &path) {
        // Newer than the library that the peer was built as, older than its source.
        Err(e) if e.to_string().contains("unknown pre-tokenizer type") => {
            println!("ignored: the reference library does not know {name} itself");
            return Ok(());
        }
        pair => pair?,
    };
    let mut rng = Rng(0xACE);
    for _ in 0..N_PRE_STRINGS {
        let mut text = generate(&mut rng, &[]);
        text.extend(generate(&mut rng, &[]));
        if survivable(&text) {
            p.check(&text, true, true)?;
        }
    }
    for run in ["a", " ", "\n", "A", "É", "1", "½", "a ", " \n", "'s"] {
        p.check(format!("x{}y", run.repeat(700)).as_bytes(), false, false)?;
        p.check(run.repeat(700).as_bytes(), false, false)?;
    }
    Ok(())
}
