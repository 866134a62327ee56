//! From flag values to a chain.

use super::{Chain, Dist, LogitBias, MinP, Penalties, RANDOM_SEED, Temperature, Token, TopK, TopP, Typical};
use crate::{Error, Result};

/// A sampler that [`Params`] can put into a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Penalties,
    TopK,
    TypicalP,
    TopP,
    MinP,
    Temperature,
}

impl Kind {
    /// llama.cpp's default order, less the samplers that are off by default.
    pub const DEFAULT: [Kind; 6] =
        [Kind::Penalties, Kind::TopK, Kind::TypicalP, Kind::TopP, Kind::MinP, Kind::Temperature];

    /// The name used in an order string.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Penalties => "penalties",
            Kind::TopK => "top_k",
            Kind::TypicalP => "typ_p",
            Kind::TopP => "top_p",
            Kind::MinP => "min_p",
            Kind::Temperature => "temperature",
        }
    }

    /// An order such as `"penalties;top_k;typ_p;top_p;min_p;temperature"`: names separated by semicolons,
    /// also with dashes or with neither (`top-k`, `topk`), and llama.cpp's `nucleus`, `temp` and `typ`. An
    /// error names a sampler that is not known.
    pub fn parse_order(order: &str) -> Result<Vec<Kind>> {
        let names = order.split(';').map(str::trim).filter(|name| !name.is_empty());
        names.map(Self::parse).collect()
    }

    fn parse(name: &str) -> Result<Kind> {
        let plain: String = name.to_ascii_lowercase().chars().filter(|c| !matches!(c, '_' | '-')).collect();
        Ok(match plain.as_str() {
            "penalties" => Kind::Penalties,
            "topk" => Kind::TopK,
            "typp" | "typ" | "typical" => Kind::TypicalP,
            "topp" | "nucleus" => Kind::TopP,
            "minp" => Kind::MinP,
            "temperature" | "temp" => Kind::Temperature,
            _ => {
                let known = Kind::DEFAULT.map(Kind::name).join(", ");
                return Err(Error::InvalidArgument(format!("no sampler is called '{name}'; known: {known}")));
            }
        })
    }
}

/// The settings of a chain, with llama.cpp's names and defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// The seed of the random numbers; [`RANDOM_SEED`] for a random one.
    pub seed: u32,
    /// Top-p, min-p and typical keep at least this many.
    pub min_keep: usize,
    /// 0 or less: off.
    pub top_k: i32,
    /// 1: off.
    pub top_p: f32,
    /// 0: off.
    pub min_p: f32,
    /// 1: off.
    pub typ_p: f32,
    /// 0 or less: greedy.
    pub temp: f32,
    /// How many of the last tokens are penalised; 0: off.
    pub penalty_last_n: usize,
    /// 1: off.
    pub penalty_repeat: f32,
    /// 0: off.
    pub penalty_freq: f32,
    /// 0: off.
    pub penalty_present: f32,
    /// Added to the logits before everything else.
    pub logit_bias: Vec<(Token, f32)>,
    /// The samplers, in order.
    pub samplers: Vec<Kind>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            seed: RANDOM_SEED,
            min_keep: 0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typ_p: 1.0,
            temp: 0.8,
            penalty_last_n: 64,
            penalty_repeat: 1.0,
            penalty_freq: 0.0,
            penalty_present: 0.0,
            logit_bias: Vec::new(),
            samplers: Kind::DEFAULT.to_vec(),
        }
    }
}

impl Params {
    /// The chain: logit biases if there are any, the samplers in their order, then [`Dist`].
    ///
    /// An error names a value outside its range.
    pub fn build(&self) -> Result<Chain> {
        let mut chain = Chain::new();
        if !self.logit_bias.is_empty() {
            chain.push(LogitBias::new(&self.logit_bias)?);
        }
        for kind in &self.samplers {
            match kind {
                Kind::Penalties => chain.push(Penalties::new(
                    self.penalty_last_n,
                    self.penalty_repeat,
                    self.penalty_freq,
                    self.penalty_present,
                )?),
                Kind::TopK => chain.push(TopK::new(self.top_k)),
                Kind::TypicalP => chain.push(Typical::new(self.typ_p, self.min_keep)?),
                Kind::TopP => chain.push(TopP::new(self.top_p, self.min_keep)?),
                Kind::MinP => chain.push(MinP::new(self.min_p, self.min_keep)?),
                Kind::Temperature => chain.push(Temperature::new(self.temp)?),
            }
        }
        chain.push(Dist::new(self.seed));
        Ok(chain)
    }
}
