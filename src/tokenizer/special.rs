//! Tokens with a role: which ids begin, end or structure a text, and which of them end generation.
//!
//! Files name some of them by key; the others are known by their texts.

use super::Token;
use super::tokens::{Attr, Tokens};
use crate::Result;
use crate::gguf::File;

/// The ids with a role; `None` for a role that no token has.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Specials {
    pub bos: Option<Token>,
    pub eos: Option<Token>,
    pub eot: Option<Token>,
    pub eom: Option<Token>,
    pub unk: Option<Token>,
    pub sep: Option<Token>,
    pub pad: Option<Token>,
    pub mask: Option<Token>,
    pub nl: Option<Token>,
    pub fim_pre: Option<Token>,
    pub fim_suf: Option<Token>,
    pub fim_mid: Option<Token>,
    pub fim_pad: Option<Token>,
    pub fim_rep: Option<Token>,
    pub fim_sep: Option<Token>,
}

/// Texts that give a token a role which no key names; the first that exists has it.
const EOT: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];
const EOM: &[&str] = &["<|eom_id|>"];
const FIM_PRE: &[&str] = &[
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<｜fim▁begin｜>",
    "<PRE>",
    "▁<PRE>",
    "<|code_prefix|>",
    "<|prefix|>",
];
const FIM_SUF: &[&str] = &[
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<｜fim▁hole｜>",
    "<SUF>",
    "▁<SUF>",
    "<|code_suffix|>",
    "<|suffix|>",
];
const FIM_MID: &[&str] = &[
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<｜fim▁end｜>",
    "<MID>",
    "▁<MID>",
    "<|code_middle|>",
    "<|middle|>",
];
const FIM_PAD: &[&str] = &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"];
const FIM_REP: &[&str] = &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"];
const FIM_SEP: &[&str] = &["<|file_sep|>"];

/// Texts that end generation, every one that exists.
const EOG: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];
/// Markers of a structured answer: they are part of what a model says.
const ALWAYS_PRINTED: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

impl Specials {
    /// Reads the roles that keys name, over the defaults in `self`. An id outside the vocabulary is
    /// a warning and the default stays.
    pub fn read_keys(&mut self, file: &File, n_tokens: usize, warnings: &mut Vec<String>) -> Result<()> {
        for (role, name) in [
            (&mut self.bos, "bos_token_id"),
            (&mut self.eos, "eos_token_id"),
            (&mut self.eot, "eot_token_id"),
            (&mut self.eom, "eom_token_id"),
            (&mut self.unk, "unknown_token_id"),
            (&mut self.sep, "seperator_token_id"),
            (&mut self.pad, "padding_token_id"),
            (&mut self.mask, "mask_token_id"),
            (&mut self.fim_pre, "prefix_token_id"),
            (&mut self.fim_suf, "suffix_token_id"),
            (&mut self.fim_mid, "middle_token_id"),
            (&mut self.fim_pad, "fim_pad_token_id"),
            (&mut self.fim_rep, "fim_rep_token_id"),
            (&mut self.fim_sep, "fim_sep_token_id"),
        ] {
            let key = format!("tokenizer.ggml.{name}");
            let in_range = |id: Token| (id as usize) < n_tokens;
            *role = role.filter(|&id| in_range(id));
            // The infill roles have a newer key as well; the older one wins.
            let newer = match name {
                "prefix_token_id" => Some("tokenizer.ggml.fim_pre_token_id"),
                "suffix_token_id" => Some("tokenizer.ggml.fim_suf_token_id"),
                "middle_token_id" => Some("tokenizer.ggml.fim_mid_token_id"),
                _ => None,
            };
            for key in newer.into_iter().chain([key.as_str()]) {
                match file.u32(key)? {
                    Some(id) if (id as usize) < n_tokens => *role = Some(id as Token),
                    Some(id) => warnings
                        .push(format!("{key}: {id} is outside the vocabulary of {n_tokens}; using {role:?}")),
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// Gives the roles still open to tokens known by their texts, and makes those control tokens.
    pub fn find_by_text(&mut self, tokens: &mut Tokens) {
        for (role, texts) in [
            (&mut self.eot, EOT),
            (&mut self.eom, EOM),
            (&mut self.fim_pre, FIM_PRE),
            (&mut self.fim_suf, FIM_SUF),
            (&mut self.fim_mid, FIM_MID),
            (&mut self.fim_pad, FIM_PAD),
            (&mut self.fim_rep, FIM_REP),
            (&mut self.fim_sep, FIM_SEP),
        ] {
            if role.is_none()
                && let Some(id) = texts.iter().find_map(|t| tokens.find(t.as_bytes()))
            {
                *role = Some(id as Token);
                tokens.set_attr(id, tokens.attr(id).with(Attr::CONTROL));
            }
        }
    }

    /// The tokens that end generation, ascending. Settles the attributes that depend on it.
    pub fn end_of_generation(&self, tokens: &mut Tokens) -> Vec<Token> {
        let find = |tokens: &Tokens, text: &str| tokens.find(text.as_bytes());
        let mut eog: Vec<u32> =
            [self.fim_pad, self.fim_rep, self.fim_sep].into_iter().flatten().map(|t| t as u32).collect();
        for text in EOG {
            if let Some(id) = find(tokens, text) {
                eog.push(id);
                tokens.set_attr(id, tokens.attr(id).with(Attr::CONTROL));
            }
        }
        for text in ALWAYS_PRINTED {
            if let Some(id) = find(tokens, text) {
                tokens.set_attr(id, Attr::USER_DEFINED);
            }
        }
        eog.extend([self.eos, self.eot, self.eom].into_iter().flatten().map(|t| t as u32));
        eog.sort_unstable();
        eog.dedup();

        let ends = |eog: &[u32], text: &str| find(tokens, text).filter(|id| eog.contains(id));
        // Where calls and returns end the generation, <|end|> only ends a part of the answer.
        let calls = ends(&eog, "<|call|>").or(ends(&eog, "<|calls|>")).is_some();
        let returns = ends(&eog, "<|return|>").or(ends(&eog, "<|flush|>")).is_some();
        let part = ends(&eog, "<|end|>").filter(|_| calls && returns);
        // Gemma 4 and PLaMo have an ordinary </s>.
        let other_eos = ends(&eog, "<|tool_response>").or(ends(&eog, "<|plamo:eos|>")).is_some();
        let ordinary = ends(&eog, "</s>").filter(|_| other_eos);
        for (id, attr) in [(part, Attr::USER_DEFINED), (ordinary, Attr::NORMAL)] {
            if let Some(id) = id {
                eog.retain(|&e| e != id);
                tokens.set_attr(id, attr);
            }
        }
        eog.into_iter().map(|id| id as Token).collect()
    }
}
