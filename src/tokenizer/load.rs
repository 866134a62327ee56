//! A vocabulary from the metadata of a model file.

use super::bpe::{self, Bpe};
use super::charsmap::Charsmap;
use super::partition::Partition;
use super::pretok::Pre;
use super::special::Specials;
use super::spm::{self, Spm};
use super::tokens::{Attr, Tokens};
use super::ugm::{self, Spaces, Ugm};
use super::wpm::{Cleaning, Wpm};
use super::{HIDDEN, Model, Token, Vocab};
use crate::gguf::{Array, ArrayBuf, File, Value, ValueType};
use crate::{Error, Result};

const KEY_MODEL: &str = "tokenizer.ggml.model";
const KEY_PRE: &str = "tokenizer.ggml.pre";
const KEY_TOKENS: &str = "tokenizer.ggml.tokens";
const KEY_SCORES: &str = "tokenizer.ggml.scores";
const KEY_TYPES: &str = "tokenizer.ggml.token_type";
const KEY_MERGES: &str = "tokenizer.ggml.merges";
const KEY_CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";
const KEY_ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const KEY_LOWERCASE: &str = "tokenizer.ggml.normalizer.lowercase";
const KEY_ADD_PREFIX: &str = "tokenizer.ggml.add_space_prefix";

/// A piece longer than this is no word of any language; the bound keeps a crafted file from
/// growing its texts without limit.
const MAX_PIECE: usize = 1 << 15;

impl Vocab {
    /// Reads the vocabulary of a model file: `tokenizer.ggml.model` may be `llama` (SentencePiece),
    /// `gpt2` or `gemma4` (BPE with the pre-tokenizer of `tokenizer.ggml.pre`), `bert` (WordPiece), `t5`
    /// (Unigram), or `none`. An error names the key that is missing, wrong or not supported.
    pub fn from_gguf(file: &File) -> Result<Vocab> {
        match file.need_str(KEY_MODEL)? {
            "none" | "no_vocab" => without_tokens(file),
            "llama" => sentence_piece(file),
            "gpt2" | "whitespace" => byte_pairs(file),
            "gemma4" => gemma4(file),
            "bert" => word_piece(file),
            "t5" => unigram(file),
            other => Err(Error::Unsupported(format!(
                "{KEY_MODEL}: unsupported tokenizer {other:?}; supported: llama (SentencePiece), gpt2 and \
                 gemma4 (BPE), bert (WordPiece), t5 (Unigram), none"
            ))),
        }
    }
}

fn without_tokens(file: &File) -> Result<Vocab> {
    let arch = file.need_str("general.architecture")?;
    let n_tokens = file.need_u32(&format!("{arch}.vocab_size"))? as usize;
    Ok(Vocab {
        n_tokens,
        tokens: Tokens::new(ArrayBuf::new(ValueType::Str).as_array(), Vec::new(), Vec::new())?,
        model: Model::None,
        specials: Specials::default(),
        eog: Vec::new(),
        partition: None,
        add_bos: false,
        add_eos: false,
        add_space_prefix: false,
        clean_spaces: false,
        warnings: Vec::new(),
    })
}

fn sentence_piece(file: &File) -> Result<Vocab> {
    let tokens = read_tokens(file)?;
    let spm = Spm::new(&tokens);
    let specials = Specials {
        bos: Some(1),
        eos: Some(2),
        unk: Some(0),
        nl: spm.byte(b'\n').map(|id| id as Token),
        ..Default::default()
    };
    let defaults = Defaults { add_bos: true, add_space_prefix: true, ..Defaults::default() };
    finish(file, tokens, Model::Spm(Box::new(spm)), specials, defaults, Vec::new())
}

fn byte_pairs(file: &File) -> Result<Vocab> {
    let mut warnings = Vec::new();
    let pre = match file.str(KEY_PRE)? {
        Some(name) if !name.is_empty() => Pre::find(name)?,
        _ => {
            warnings.push(format!(
                "{KEY_PRE} is missing: using \"default\", which may cut words otherwise than in training"
            ));
            Pre::find("default")?
        }
    };
    let specials = Specials { bos: Some(11).filter(|_| pre.has_bos), eos: Some(11), ..Default::default() };
    ranked(file, pre, specials, warnings)
}

fn gemma4(file: &File) -> Result<Vocab> {
    ranked(file, Pre::find("gemma4")?, Specials::default(), Vec::new())
}

/// BPE with a given pre-tokenizer.
fn ranked(
    file: &File,
    pre: &'static Pre,
    mut specials: Specials,
    mut warnings: Vec<String>,
) -> Result<Vocab> {
    let tokens = read_tokens(file)?;
    let merges = match pre.needs_merges {
        true => Some(file.need_array(KEY_MERGES)?),
        false => file.array(KEY_MERGES)?,
    };
    // Only where spaces are dropped is case, too, and only if the file says so.
    let lowercase = pre.drop_spaces && file.bool(KEY_LOWERCASE)?.unwrap_or(false);
    let bpe = Bpe::new(&tokens, merges, pre, lowercase)?;
    let mut newline = Vec::new();
    bpe.encode(&tokens, b"\n", 0..1, &mut bpe::Scratch::new(1), &mut newline);
    specials.nl = newline.first().copied();
    if pre.always_bos && file.bool(KEY_ADD_BOS)? == Some(false) {
        warnings.push(format!("{KEY_ADD_BOS} is false, but these models need BOS: it is added"));
    }
    let defaults = Defaults { add_bos: pre.add_bos, clean_spaces: pre.clean_spaces, ..Defaults::default() };
    finish(file, tokens, Model::Bpe(Box::new(bpe)), specials, defaults, warnings)
}

fn word_piece(file: &File) -> Result<Vocab> {
    let tokens = read_tokens(file)?;
    let lowercase = file.bool(KEY_LOWERCASE)?.unwrap_or(true);
    let strip_accents = file.bool("tokenizer.ggml.normalizer.strip_accents")?.unwrap_or(lowercase);
    let wpm = Wpm::new(&tokens, Cleaning { lowercase, strip_accents });
    let specials = Specials {
        bos: Some(101),
        unk: Some(100),
        sep: Some(102),
        pad: Some(0),
        mask: Some(103),
        nl: Some(0),
        ..Default::default()
    };
    let defaults = Defaults { add_bos: true, clean_spaces: true, ..Defaults::default() };
    finish(file, tokens, Model::Wpm(Box::new(wpm)), specials, defaults, Vec::new())
}

fn unigram(file: &File) -> Result<Vocab> {
    let charsmap = match file.array(KEY_CHARSMAP)? {
        None => None,
        Some(a) => {
            let bytes: Result<Vec<u8>> = match a.elem_type() {
                ValueType::U8 | ValueType::I8 => Ok(a.values().filter_map(|v| byte(&v)).collect()),
                other => Err(Error::Format(format!("{KEY_CHARSMAP} is an array of {other:?}, not of bytes"))),
            };
            Some(Charsmap::new(&bytes?)?)
        }
    };
    let tokens = read_tokens(file)?;
    let spaces = Spaces {
        add_prefix: file.bool(KEY_ADD_PREFIX)?.unwrap_or(false),
        merge: file.bool("tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false),
    };
    let ugm = Ugm::new(&tokens, charsmap, spaces);
    let mut specials = Specials { eos: Some(1), unk: Some(2), pad: Some(0), ..Default::default() };
    let (mut text, mut newline) = (Vec::new(), Vec::new());
    let range = ugm.normalize(b"\n", &mut text)?;
    ugm.encode(2, &text, range, &mut ugm::Scratch::new(1), &mut newline);
    specials.nl = newline.first().copied().or(specials.pad);
    let defaults = Defaults { add_eos: true, ..Defaults::default() };
    finish(file, tokens, Model::Ugm(Box::new(ugm)), specials, defaults, Vec::new())
}

/// An 8-bit element of either sign.
fn byte(value: &Value<'_>) -> Option<u8> {
    value.integer::<i16>().map(|b| b as u8)
}

/// What holds where the file does not say.
#[derive(Default)]
struct Defaults {
    add_bos: bool,
    add_eos: bool,
    add_space_prefix: bool,
    clean_spaces: bool,
}

/// What both kinds share: roles, attributes, pieces. The order is the reference's, since attributes
/// change on the way.
fn finish(
    file: &File,
    mut tokens: Tokens,
    model: Model,
    mut specials: Specials,
    defaults: Defaults,
    mut warnings: Vec<String>,
) -> Result<Vocab> {
    specials.read_keys(file, tokens.len(), &mut warnings)?;
    specials.find_by_text(&mut tokens);
    for id in 0..tokens.len() as u32 {
        let attr = tokens.attr(id);
        if attr.any(Attr::CONTROL) && tokens.text(id).contains("unused") {
            tokens.set_attr(id, attr.with(Attr::UNUSED));
        }
    }
    let eog = specials.end_of_generation(&mut tokens);
    let always_bos = matches!(&model, Model::Bpe(bpe) if bpe.pre().always_bos);
    set_pieces(&mut tokens, matches!(&model, Model::Bpe(bpe) if !bpe.pre().escape_spaces))?;
    set_stripping(file, &mut tokens)?;
    Ok(Vocab {
        n_tokens: tokens.len(),
        partition: Some(Partition::new(&tokens)),
        tokens,
        model,
        specials,
        eog,
        add_bos: always_bos || file.bool(KEY_ADD_BOS)?.unwrap_or(defaults.add_bos),
        add_eos: file.bool("tokenizer.ggml.add_eos_token")?.unwrap_or(defaults.add_eos),
        add_space_prefix: file.bool(KEY_ADD_PREFIX)?.unwrap_or(defaults.add_space_prefix),
        clean_spaces: defaults.clean_spaces,
        warnings,
    })
}

fn read_tokens(file: &File) -> Result<Tokens> {
    let texts = file.need_array(KEY_TOKENS)?;
    let n = texts.len();
    if i32::try_from(n).is_err() {
        return Err(Error::Format(format!("{KEY_TOKENS}: {n} tokens are more than ids can number")));
    }
    // Longer arrays are allowed, shorter ones are not.
    let long_enough = |key: &str, a: &Array<'_>| match a.len() >= n {
        true => Ok(()),
        false => Err(Error::Format(format!("{key} has {} elements for {n} tokens", a.len()))),
    };
    let mut scores = vec![0.0; n];
    if let Some(a) = file.array(KEY_SCORES)? {
        long_enough(KEY_SCORES, &a)?;
        match a.elem_type() {
            ValueType::I32 => scores.iter_mut().zip(a.i32s()?).for_each(|(to, s)| *to = s as f32),
            _ => scores.iter_mut().zip(a.f32s()?).for_each(|(to, s)| *to = s),
        }
    }
    let mut attrs = vec![Attr::NORMAL; n];
    if let Some(a) = file.array(KEY_TYPES)? {
        long_enough(KEY_TYPES, &a)?;
        attrs.iter_mut().zip(a.i32s()?).for_each(|(to, ty)| *to = Attr::from_type(ty));
    }
    let tokens = Tokens::new(texts, scores, attrs)?;
    match tokens.len() == n {
        true => Ok(tokens),
        false => Err(Error::Format(format!("{KEY_TOKENS} changed while it was read"))),
    }
}

fn set_pieces(tokens: &mut Tokens, byte_level: bool) -> Result<()> {
    tokens.set_pieces(|text, attr, out| {
        if attr.any(HIDDEN.with(Attr::USER_DEFINED)) {
            out.extend_from_slice(text.as_bytes());
        } else if attr.any(Attr::NORMAL) {
            match byte_level {
                true => bpe::decode_text(text, out, MAX_PIECE)?,
                false => spm::decode_text(text, out),
            }
        } else if attr.any(Attr::BYTE) {
            let byte = spm::byte_of(text).ok_or_else(|| {
                Error::Format(format!("{KEY_TOKENS}: the byte token {text:?} is not of the form <0xXX>"))
            })?;
            out.push(byte);
        }
        Ok(())
    })
}

/// Files cannot say which tokens swallow the spaces beside them; it is known by model.
fn set_stripping(file: &File, tokens: &mut Tokens) -> Result<()> {
    let pre = file.str(KEY_PRE)?.unwrap_or_default();
    let name = file.str("general.name")?.unwrap_or_default().to_ascii_lowercase();
    let mut set = |text: &str, change: fn(Attr) -> Attr| {
        if let Some(id) = tokens.find(text.as_bytes()) {
            tokens.set_attr(id, change(tokens.attr(id)));
        }
    };
    let left = |attr: Attr| attr.with(Attr::LSTRIP);
    let arch = file.str("general.architecture")?.unwrap_or_default();
    if ["jina-v2-de", "jina-v2-es", "jina-v2-code"].iter().any(|p| pre.contains(p))
        || ["nomic-bert-moe", "jina-bert-v3"].iter().any(|a| arch.contains(a))
    {
        set("<mask>", left);
    } else if name.contains("phi-3") || name.contains("phi3") {
        for id in 0..tokens.len() as u32 {
            let attr = tokens.attr(id);
            if attr.any(HIDDEN.with(Attr::USER_DEFINED)) || tokens.text(id) == "</s>" {
                tokens.set_attr(id, attr.with(Attr::RSTRIP));
            }
        }
        for text in ["<unk>", "<s>", "<|endoftext|>"] {
            if let Some(id) = tokens.find(text.as_bytes()) {
                tokens.set_attr(id, tokens.attr(id).without(Attr::RSTRIP));
            }
        }
    } else if name.contains("modern-bert") {
        set("[MASK]", left);
    }
    Ok(())
}
