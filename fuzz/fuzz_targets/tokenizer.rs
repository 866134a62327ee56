//! A vocabulary and a text: tokens are in range and spell the text.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rocmforge::gguf::{ArrayBuf, File, Writer};
use rocmforge::tokenizer::{Detokenizer, Vocab};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    byte_level: bool,
    /// Put the 256 bytes in front, so that every text can be spelled.
    bytes: bool,
    pre: u8,
    tokens: Vec<(&'a str, f32, u8)>,
    merges: Vec<&'a str>,
    bos: Option<u32>,
    eos: Option<u32>,
    flags: [bool; 5],
    text: &'a [u8],
}

const PRES: &[&str] = &["default", "gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "falcon", "starcoder"];

fn vocab(i: &Input<'_>) -> Option<Vocab> {
    let mut w = Writer::new();
    let mut texts: Vec<String> = Vec::new();
    let mut types = Vec::new();
    if i.bytes {
        let mut shifted = 0x100;
        for b in 0..=255u8 {
            if !i.byte_level {
                texts.push(format!("<0x{b:02X}>"));
                types.push(6);
                continue;
            }
            let c = match b {
                0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => b.into(),
                _ => {
                    shifted += 1;
                    char::from_u32(shifted - 1)?
                }
            };
            texts.push(c.into());
            types.push(1);
        }
    }
    let n = texts.len();
    texts.extend(i.tokens.iter().map(|t| t.0.to_owned()));
    types.extend(i.tokens.iter().map(|t| i32::from(t.2 % 8)));
    let mut scores = vec![0.0; n];
    scores.extend(i.tokens.iter().map(|t| t.1));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    w.set("general.architecture", "llama").ok()?;
    w.set("tokenizer.ggml.model", if i.byte_level { "gpt2" } else { "llama" }).ok()?;
    w.set("tokenizer.ggml.pre", PRES[usize::from(i.pre) % PRES.len()]).ok()?;
    w.set("tokenizer.ggml.tokens", &ArrayBuf::from(&texts[..])).ok()?;
    w.set("tokenizer.ggml.scores", &ArrayBuf::from(&scores[..])).ok()?;
    w.set("tokenizer.ggml.token_type", &ArrayBuf::from(&types[..])).ok()?;
    w.set("tokenizer.ggml.merges", &ArrayBuf::from(&i.merges[..])).ok()?;
    for (key, id) in [("bos", i.bos), ("eos", i.eos)] {
        if let Some(id) = id {
            w.set(&format!("tokenizer.ggml.{key}_token_id"), id).ok()?;
        }
    }
    for (key, flag) in [("add_bos_token", 0), ("add_eos_token", 1), ("add_space_prefix", 2)] {
        w.set(&format!("tokenizer.ggml.{key}"), i.flags[flag]).ok()?;
    }
    Vocab::from_gguf(&File::from_bytes(w.into_bytes().ok()?).ok()?).ok()
}

fuzz_target!(|input: Input<'_>| {
    let Some(vocab) = vocab(&input) else { return };
    let (special, parse) = (input.flags[3], input.flags[4]);
    let Ok(tokens) = vocab.tokenize(input.text, special, parse) else { return };
    let mut detokenizer = Detokenizer::new(parse);
    for &token in &tokens {
        assert!((token as usize) < vocab.n_tokens(), "{token} is no token");
        let _ = (vocab.text(token), vocab.attr(token), vocab.is_eog(token));
        let _ = detokenizer.push(&vocab, token);
    }
    let _ = detokenizer.finish();
    assert_eq!(vocab.tokenize(input.text, special, parse).ok(), Some(tokens), "the same text, other tokens");
});
