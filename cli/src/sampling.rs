//! How tokens are chosen: the flags, and the chain that they make.

use clap::Args;
use rocmforge::Token;
use rocmforge::sampler::{Breakers, Chain, Kind, Params, RANDOM_SEED};
use rocmforge::tokenizer::Vocab;

use crate::failure::{Failure, Outcome};

/// Where repetitions end if no flag says otherwise, as in llama.cpp.
const BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// Flags about choosing tokens.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Seed of the random numbers; -1: a random one
    #[arg(
        short,
        long,
        value_name = "N",
        default_value = "-1",
        value_parser = seed,
        allow_hyphen_values = true
    )]
    pub seed: u32,
    /// Temperature; 0: always the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.8, allow_hyphen_values = true)]
    pub temp: f32,
    /// Keep the K likeliest tokens; 0: all
    #[arg(long, value_name = "K", default_value_t = 40, allow_hyphen_values = true)]
    pub top_k: i32,
    /// Keep the likeliest tokens that together have probability P; 1: all
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    pub top_p: f32,
    /// Keep tokens at least P times as likely as the likeliest; 0: all
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    pub min_p: f32,
    /// Locally typical sampling with probability P; 1: off
    #[arg(long, alias = "typical-p", value_name = "P", default_value_t = 1.0)]
    pub typical: f32,
    /// Keep tokens whose logit is within N standard deviations of the largest; 0 and less: all
    #[arg(long, alias = "top-nsigma", value_name = "N", default_value_t = -1.0, allow_hyphen_values = true)]
    pub top_n_sigma: f32,
    /// How often the likeliest tokens are dropped, 0 to 1; 0: never
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub xtc_probability: f32,
    /// Tokens of at least this probability are among the likeliest; above 0.5: none
    #[arg(long, value_name = "P", default_value_t = 0.1)]
    pub xtc_threshold: f32,
    /// How far the temperature moves up and down with the entropy; 0: not
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub dynatemp_range: f32,
    /// The exponent by which it follows the entropy
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub dynatemp_exp: f32,
    /// Version of mirostat, 1 or 2, behind the temperature and in place of all other samplers; 0: off
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=2))]
    pub mirostat: u32,
    /// How fast mirostat learns
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    pub mirostat_lr: f32,
    /// The surprise that mirostat aims at, in bits
    #[arg(long, value_name = "X", default_value_t = 5.0)]
    pub mirostat_ent: f32,
    /// Lower the logits of tokens that would go on with a repetition, times X; 0: off
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub dry_multiplier: f32,
    /// By what they fall more for each token of the repetition
    #[arg(long, value_name = "X", default_value_t = 1.75)]
    pub dry_base: f32,
    /// Repetitions of fewer tokens are free
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub dry_allowed_length: usize,
    /// Among how many tokens repetitions are looked for; 0: none, -1: the whole context
    #[arg(
        long,
        value_name = "N",
        default_value_t = -1,
        value_parser = clap::value_parser!(i32).range(-1..),
        allow_hyphen_values = true
    )]
    pub dry_penalty_last_n: i32,
    /// A text at which repetitions end, in place of newline, colon, quote and asterisk; may be given several
    /// times; "none": no text
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub dry_sequence_breaker: Vec<String>,
    /// The probability that adaptive_p aims at, where it is among the samplers; below 0: any
    #[arg(long, value_name = "P", default_value_t = -1.0, allow_hyphen_values = true)]
    pub adaptive_target: f32,
    /// What adaptive_p remembers from one token to the next, 0 to 0.99
    #[arg(long, value_name = "X", default_value_t = 0.9)]
    pub adaptive_decay: f32,
    /// Divide the logits of recent tokens; 1: off
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub repeat_penalty: f32,
    /// How many tokens are recent; 0: none, -1: the whole context
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        value_parser = clap::value_parser!(i32).range(-1..),
        allow_hyphen_values = true
    )]
    pub repeat_last_n: i32,
    /// Lower the logits of recent tokens by X for each time they occur
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_hyphen_values = true)]
    pub frequency_penalty: f32,
    /// Lower the logits of recent tokens by X
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_hyphen_values = true)]
    pub presence_penalty: f32,
    /// Change the logit of a token: 15043+1 raises that of token 15043 by 1, 15043-inf forbids it; may
    /// be given several times
    #[arg(
        short,
        long,
        value_name = "ID(+|-)BIAS",
        value_parser = logit_bias,
        value_delimiter = ','
    )]
    pub logit_bias: Vec<(Token, f32)>,
    /// The samplers in order, separated by semicolons
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature",
        value_parser = |s: &str| Kind::parse_order(s).map(Samplers)
    )]
    pub samplers: Samplers,
}

/// The value of `--samplers`.
#[derive(Clone)]
pub struct Samplers(pub Vec<Kind>);

impl SamplingArgs {
    /// The chain for a context of so many tokens.
    pub fn chain(&self, ignore_eos: bool, n_ctx: usize, vocab: &Vocab) -> Outcome<Chain> {
        let mut logit_bias = self.logit_bias.clone();
        if let Some((id, _)) = logit_bias.iter().find(|(id, _)| *id as usize >= vocab.n_tokens()) {
            let n = vocab.n_tokens();
            return Err(Failure::Failed(format!("--logit-bias: there is no token {id}; the model has {n}")));
        }
        if ignore_eos {
            logit_bias.extend(vocab.eog().iter().map(|&t| (t, f32::NEG_INFINITY)));
        }
        let params = Params {
            seed: self.seed,
            min_keep: 0,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typ_p: self.typical,
            top_n_sigma: self.top_n_sigma,
            xtc_probability: self.xtc_probability,
            xtc_threshold: self.xtc_threshold,
            temp: self.temp,
            dynatemp_range: self.dynatemp_range,
            dynatemp_exponent: self.dynatemp_exp,
            penalty_last_n: usize::try_from(self.repeat_last_n).unwrap_or(n_ctx),
            penalty_repeat: self.repeat_penalty,
            penalty_freq: self.frequency_penalty,
            penalty_present: self.presence_penalty,
            dry_multiplier: self.dry_multiplier,
            dry_base: self.dry_base,
            dry_allowed_length: self.dry_allowed_length,
            dry_penalty_last_n: usize::try_from(self.dry_penalty_last_n).unwrap_or(n_ctx),
            dry_breakers: self.breakers(vocab)?,
            adaptive_target: self.adaptive_target,
            adaptive_decay: self.adaptive_decay,
            mirostat: self.mirostat,
            mirostat_tau: self.mirostat_ent,
            mirostat_eta: self.mirostat_lr,
            n_vocab: vocab.n_tokens(),
            logit_bias,
            samplers: self.samplers.0.clone(),
        };
        Ok(params.build()?)
    }

    fn breakers(&self, vocab: &Vocab) -> Outcome<Breakers> {
        let mut texts: Vec<&[u8]> = self.dry_sequence_breaker.iter().map(|text| text.as_bytes()).collect();
        if self.dry_multiplier == 0.0 || texts.contains(&&b"none"[..]) {
            return Ok(Breakers::default());
        }
        if texts.is_empty() {
            texts = BREAKERS.map(str::as_bytes).to_vec();
        }
        Ok(Breakers::of_texts(vocab, &texts)?)
    }
}

fn seed(s: &str) -> Result<u32, String> {
    match s.parse::<i64>() {
        Ok(-1) => Ok(RANDOM_SEED),
        Ok(n) => u32::try_from(n).map_err(|_| format!("expected -1 to {}", u32::MAX)),
        Err(e) => Err(e.to_string()),
    }
}

fn logit_bias(s: &str) -> Result<(Token, f32), String> {
    let wrong = || "expected a token id, + or -, and a number, as in 15043+1 or 15043-inf".to_string();
    let (id, bias) = s.split_at(s.find(['+', '-']).ok_or_else(wrong)?);
    let bias: f32 = bias.parse().map_err(|_| wrong())?;
    if bias.is_nan() {
        return Err(wrong());
    }
    Ok((id.parse().map_err(|_| wrong())?, bias))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn biases_are_an_id_and_a_signed_number() {
        assert_eq!(logit_bias("7+1.5"), Ok((7, 1.5)));
        assert_eq!(logit_bias("7-inf"), Ok((7, f32::NEG_INFINITY)));
        for wrong in ["7", "+1", "x-1", "7+", "7-nan", "-1"] {
            assert!(logit_bias(wrong).is_err(), "{wrong}");
        }
    }
}
