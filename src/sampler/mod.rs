//! The sampler chain: from a row of logits to one token.
//!
//! This folder owns what happens between `logits [n_vocab]` and a token id: the candidate list,
//! one sampler a file, the [`Chain`] that runs them in order, and [`Params`], which builds a chain
//! from flag values. It knows no model, vocabulary or context: token ids are just numbers. [`Breakers`] and [`Infill`]
//! alone ask a vocabulary how texts are spelt.
//!
//! Rules that every sampler keeps:
//!
//! * The candidates start as the whole vocabulary and *stay unmade* as long as they can (see
//!   [`Candidates`]): selections read the logits in place, and only survivors become items.
//! * Equal logits are ordered by the lower id. Same seed, same inputs: same tokens, on every platform
//!   and instruction set.
//! * A logit of `-inf` is an impossible token; `+inf` ones share all probability; NaN is an error.
//! * After the first call, sampling a token allocates nothing.

mod adaptive_p;
mod breakers;
mod candidates;
mod chain;
mod dist;
mod dry;
mod greedy;
mod infill;
mod logit_bias;
mod min_p;
mod mirostat;
mod params;
mod penalties;
mod rng;
mod row;
mod scan;
mod temperature;
mod temperature_ext;
mod top_k;
mod top_n_sigma;
mod top_p;
mod typical;
mod xtc;

pub use adaptive_p::AdaptiveP;
pub use breakers::Breakers;
pub use candidates::{Candidate, Candidates};
pub use chain::Chain;
pub use dist::Dist;
pub use dry::Dry;
pub use greedy::Greedy;
pub use infill::Infill;
pub use logit_bias::LogitBias;
pub use min_p::MinP;
pub use mirostat::{Mirostat, MirostatV2};
pub use params::{Kind, Params};
pub use penalties::Penalties;
pub use rng::RANDOM_SEED;
pub use temperature::Temperature;
pub use temperature_ext::TemperatureExt;
pub use top_k::TopK;
pub use top_n_sigma::TopNSigma;
pub use top_p::TopP;
pub use typical::Typical;
pub use xtc::Xtc;

pub use crate::tokenizer::Token;

/// One step of a chain: it changes, drops or selects candidates.
pub trait Sampler: Send {
    /// The sampler's name, as llama.cpp prints it.
    fn name(&self) -> &'static str;

    /// Changes the candidates. A sampler that cannot do its work calls [`Candidates::fail`].
    fn apply(&mut self, candidates: &mut Candidates<'_>);

    /// Takes note that `token` is now part of the text.
    fn accept(&mut self, token: Token) {
        let _ = token;
    }

    /// Forgets everything accepted and starts the random numbers again.
    fn reset(&mut self) {}

    /// The seed in use, of a sampler that draws random numbers.
    fn seed(&self) -> Option<u32> {
        None
    }

    /// A copy with the same settings and the same state.
    fn clone_box(&self) -> Box<dyn Sampler>;
}

/// `value` unless it is NaN or infinite.
fn finite(what: &str, value: f32) -> crate::Result<f32> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(crate::Error::InvalidArgument(format!("{what} must be a finite number, not {value}")))
    }
}
