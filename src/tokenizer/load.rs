//! A vocabulary from the metadata of a model file.

use super::bpe::{self, Bpe};
use super::partition::Partition;
use super::pretok::Pre;
use super::special::Specials;
use super::spm::{self, Spm};
use super::tokens::{Attr, Tokens};
use super::{HIDDEN, Model, Token, Vocab};
use crate::gguf::{Array, File, ValueType};
use crate::{Error, Result};

const KEY_MODEL: &str = "tokenizer.ggml.model";
const KEY_PRE: &str = "tokenizer.ggml.pre";
const KEY_TOKENS: &str = "tokenizer.ggml.tokens";
const KEY_SCORES: &str = "tokenizer.ggml.scores";
const KEY_TYPES: &str = "tokenizer.ggml.token_type";
const KEY_MERGES: &str = "tokenizer.ggml.merges";

/// A piece longer than this is no word of any language; the bound keeps a crafted file from
/// growing its texts without limit.
const MAX_PIECE: usize = 1 << 16;

impl Vocab {
    /// Reads the vocabulary of a model file: `tokenizer.ggml.model` may be `llama` (SentencePiece),
    /// `gpt2` (byte-level BPE with the pre-tokenizer of `tokenizer.ggml.pre`), or `none`. An error
    /// names the key that is missing, wrong or not supported.
    pub fn from_gguf(file: &File) -> Result<Vocab> {
        match file.need_str(KEY_MODEL)? {
            "none" | "no_vocab" => without_tokens(file),
            "llama" => sentence_piece(file),
            "gpt2" => byte_level(file),
            other => Err(Error::Unsupported(format!(
                "{KEY_MODEL}: unsupported tokenizer {other:?}; supported: llama (SentencePiece), gpt2 \
                 (byte-level BPE), none"
            ))),
        }
    }
}

fn without_tokens(file: &File) -> Result<Vocab> {
    let arch = file.need_str("general.architecture")?;
    let n_tokens = file.need_u32(&format!("{arch}.vocab_size"))? as usize;
    Ok(Vocab {
        n_tokens,
        tokens: Tokens::new(std::iter::empty(), 0, Vec::new(), Vec::new())?,
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
    let defaults = Defaults { add_bos: true, add_space_prefix: true, clean_spaces: false };
    finish(file, tokens, Model::Spm(Box::new(spm)), specials, defaults, Vec::new())
}

fn byte_level(file: &File) -> Result<Vocab> {
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
    let tokens = read_tokens(file)?;
    let bpe = Bpe::new(&tokens, file.need_array(KEY_MERGES)?, pre)?;
    let mut newline = Vec::new();
    bpe.encode(&tokens, b"\n", 0..1, &mut bpe::Scratch::new(1), &mut newline);
    let specials = Specials {
        bos: Some(11).filter(|_| pre.has_bos),
        eos: Some(11),
        nl: newline.first().copied(),
        ..Default::default()
    };
    let defaults = Defaults { add_bos: pre.add_bos, add_space_prefix: false, clean_spaces: pre.clean_spaces };
    finish(file, tokens, Model::Bpe(Box::new(bpe)), specials, defaults, warnings)
}

/// What holds where the file does not say.
struct Defaults {
    add_bos: bool,
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
    set_pieces(&mut tokens, matches!(model, Model::Bpe(_)))?;
    set_stripping(file, &mut tokens)?;
    Ok(Vocab {
        n_tokens: tokens.len(),
        partition: Some(Partition::new(&tokens)),
        tokens,
        model,
        specials,
        eog,
        add_bos: file.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(defaults.add_bos),
        add_eos: file.bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false),
        add_space_prefix: file.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(defaults.add_space_prefix),
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
    let scores = match file.array(KEY_SCORES)? {
        None => vec![0.0; n],
        Some(a) => {
            long_enough(KEY_SCORES, &a)?;
            match a.elem_type() {
                ValueType::I32 => a.i32s()?.take(n).map(|s| s as f32).collect(),
                _ => a.f32s()?.take(n).collect(),
            }
        }
    };
    let attrs = match file.array(KEY_TYPES)? {
        None => vec![Attr::NORMAL; n],
        Some(a) => {
            long_enough(KEY_TYPES, &a)?;
            a.i32s()?.take(n).map(Attr::from_type).collect()
        }
    };
    let tokens = Tokens::new(texts.strs()?, n, scores, attrs)?;
    match tokens.len() == n {
        true => Ok(tokens),
        false => Err(Error::Format(format!("{KEY_TOKENS} changed while it was read"))),
    }
}

fn set_pieces(tokens: &mut Tokens, byte_level: bool) -> Result<()> {
    tokens.set_pieces(|text, attr, out| {
        if attr.any(HIDDEN.with(Attr::USER_DEFINED)) {
            return Ok(false);
        }
        if attr.any(Attr::NORMAL) {
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
        Ok(true)
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
    if ["jina-v2-de", "jina-v2-es", "jina-v2-code"].iter().any(|p| pre.contains(p)) {
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
