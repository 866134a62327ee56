//! From flag values to a chain.

use super::{
    AdaptiveP, Breakers, Chain, Dist, Dry, LogitBias, MinP, Mirostat, MirostatV2, Penalties, RANDOM_SEED,
    Temperature, TemperatureExt, Token, TopK, TopNSigma, TopP, Typical, Xtc,
};
use crate::{Error, Result};

/// A sampler that [`Params`] can put into a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Penalties,
    Dry,
    TopNSigma,
    TopK,
    TypicalP,
    TopP,
    MinP,
    Xtc,
    Temperature,
    AdaptiveP,
}

impl Kind {
    /// llama.cpp's default order.
    pub const DEFAULT: [Kind; 9] = [
        Kind::Penalties,
        Kind::Dry,
        Kind::TopNSigma,
        Kind::TopK,
        Kind::TypicalP,
        Kind::TopP,
        Kind::MinP,
        Kind::Xtc,
        Kind::Temperature,
    ];

    /// The name used in an order string.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Penalties => "penalties",
            Kind::Dry => "dry",
            Kind::TopNSigma => "top_n_sigma",
            Kind::TopK => "top_k",
            Kind::TypicalP => "typ_p",
            Kind::TopP => "top_p",
            Kind::MinP => "min_p",
            Kind::Xtc => "xtc",
            Kind::Temperature => "temperature",
            Kind::AdaptiveP => "adaptive_p",
        }
    }

    /// An order such as `"penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature"`: names separated by semicolons,
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
            "dry" => Kind::Dry,
            "topnsigma" => Kind::TopNSigma,
            "topk" => Kind::TopK,
            "typp" | "typ" | "typical" => Kind::TypicalP,
            "topp" | "nucleus" => Kind::TopP,
            "minp" => Kind::MinP,
            "xtc" => Kind::Xtc,
            "temperature" | "temp" => Kind::Temperature,
            "adaptivep" => Kind::AdaptiveP,
            _ => {
                let all = Kind::DEFAULT.into_iter().chain([Kind::AdaptiveP]);
                let known = all.map(Kind::name).collect::<Vec<_>>().join(", ");
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
    /// 0 or less: off.
    pub top_n_sigma: f32,
    /// 0: off.
    pub xtc_probability: f32,
    /// Above 0.5: off.
    pub xtc_threshold: f32,
    /// 0 or less: greedy.
    pub temp: f32,
    /// How much the temperature moves up and down with the entropy; 0: not.
    pub dynatemp_range: f32,
    /// How it moves: see [`TemperatureExt`].
    pub dynatemp_exponent: f32,
    /// How many of the last tokens are penalised; 0: off.
    pub penalty_last_n: usize,
    /// 1: off.
    pub penalty_repeat: f32,
    /// 0: off.
    pub penalty_freq: f32,
    /// 0: off.
    pub penalty_present: f32,
    /// 0: off.
    pub dry_multiplier: f32,
    /// Below 1: off.
    pub dry_base: f32,
    /// The longest repetition that is free.
    pub dry_allowed_length: usize,
    /// How many of the last tokens [`Dry`] looks at; 0: off.
    pub dry_penalty_last_n: usize,
    /// Where a repetition ends.
    pub dry_breakers: Breakers,
    /// What [`AdaptiveP`] aims at, if it is among the samplers, where it takes the place of [`Dist`].
    pub adaptive_target: f32,
    /// What it forgets at each token.
    pub adaptive_decay: f32,
    /// 1 and 2 are versions of mirostat, behind the temperature and in place of all others; 0: off.
    pub mirostat: u32,
    /// The surprise that mirostat aims at, in bits.
    pub mirostat_tau: f32,
    /// How fast mirostat learns.
    pub mirostat_eta: f32,
    /// The size of the vocabulary, for which version 1 of mirostat asks.
    pub n_vocab: usize,
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
            top_n_sigma: -1.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            temp: 0.8,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            penalty_last_n: 64,
            penalty_repeat: 1.0,
            penalty_freq: 0.0,
            penalty_present: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_penalty_last_n: 0,
            dry_breakers: Breakers::default(),
            adaptive_target: -1.0,
            adaptive_decay: 0.9,
            mirostat: 0,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            n_vocab: 0,
            logit_bias: Vec::new(),
            samplers: Kind::DEFAULT.to_vec(),
        }
    }
}

impl Params {
    /// Tokens by which version 1 of mirostat estimates.
    const MIROSTAT_M: usize = 100;

    /// The chain: logit biases if there are any, the samplers in their order less those that are off, then [`Dist`] or
    /// what takes its place.
    ///
    /// An error names a value outside its range.
    pub fn build(&self) -> Result<Chain> {
        let mut chain = Chain::new();
        if !self.logit_bias.is_empty() {
            chain.push(LogitBias::new(&self.logit_bias)?);
        }
        let (seed, tau, eta) = (self.seed, self.mirostat_tau, self.mirostat_eta);
        match self.mirostat {
            0 => {
                self.push_samplers(&mut chain)?;
                match self.samplers.contains(&Kind::AdaptiveP) {
                    true => chain.push(AdaptiveP::new(self.adaptive_target, self.adaptive_decay, seed)?),
                    false => chain.push(Dist::new(seed)),
                }
            }
            1 => {
                chain.push(Temperature::new(self.temp)?);
                chain.push(Mirostat::new(self.n_vocab, seed, tau, eta, Self::MIROSTAT_M)?);
            }
            2 => {
                chain.push(Temperature::new(self.temp)?);
                chain.push(MirostatV2::new(seed, tau, eta)?);
            }
            other => {
                let text = format!("there is no version {other} of mirostat: 1, 2, or 0 for none");
                return Err(Error::InvalidArgument(text));
            }
        }
        Ok(chain)
    }

    fn push_samplers(&self, chain: &mut Chain) -> Result<()> {
        for kind in &self.samplers {
            match kind {
                Kind::Penalties => chain.push(Penalties::new(
                    self.penalty_last_n,
                    self.penalty_repeat,
                    self.penalty_freq,
                    self.penalty_present,
                )?),
                Kind::Dry if self.dry_multiplier != 0.0 => chain.push(Dry::new(
                    self.dry_multiplier,
                    self.dry_base,
                    self.dry_allowed_length,
                    self.dry_penalty_last_n,
                    self.dry_breakers.clone(),
                )?),
                Kind::TopNSigma if self.top_n_sigma > 0.0 => chain.push(TopNSigma::new(self.top_n_sigma)?),
                Kind::TopK => chain.push(TopK::new(self.top_k)),
                Kind::TypicalP => chain.push(Typical::new(self.typ_p, self.min_keep)?),
                Kind::TopP => chain.push(TopP::new(self.top_p, self.min_keep)?),
                Kind::MinP => chain.push(MinP::new(self.min_p, self.min_keep)?),
                Kind::Xtc if self.xtc_probability > 0.0 => {
                    let (p, threshold) = (self.xtc_probability, self.xtc_threshold);
                    chain.push(Xtc::new(p, threshold, self.min_keep, self.seed)?);
                }
                Kind::Temperature if self.dynatemp_range > 0.0 => {
                    chain.push(TemperatureExt::new(self.temp, self.dynatemp_range, self.dynatemp_exponent)?);
                }
                Kind::Temperature => chain.push(Temperature::new(self.temp)?),
                Kind::Dry | Kind::TopNSigma | Kind::Xtc | Kind::AdaptiveP => {}
            }
        }
        Ok(())
    }
}
