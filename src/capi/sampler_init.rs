//! One constructor for every sampler.

use super::batch::count;
use super::ffi::{self, Outcome, borrow, c_str, into_raw, out_handle, slice};
use super::sampler::Samplers;
use super::{rf_sampler, rf_status, rf_token, rf_vocab};
use crate::sampler::{
    AdaptiveP, Breakers, Dist, Dry, Greedy, Infill, LogitBias, MinP, Mirostat, MirostatV2, Penalties,
    RANDOM_SEED, Sampler, Temperature, TemperatureExt, TopK, TopNSigma, TopP, Typical, Xtc,
};
use std::ffi::c_char;
use std::sync::Arc;

/// As a seed: take one from the operating system.
pub const RF_RANDOM_SEED: u32 = 0xFFFF_FFFF;
const _: () = assert!(RF_RANDOM_SEED == RANDOM_SEED);

/// A number to add to the logit of a token.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_logit_bias {
    /// The token.
    pub token: rf_token,
    /// What is added to its logit; minus infinity forbids the token.
    pub bias: f32,
}

/// Makes a sampler for the caller.
///
/// # Safety
/// `place` is NULL or room for a pointer.
unsafe fn init<S: Sampler + Sync + 'static>(
    name: &'static str,
    place: *mut *mut rf_sampler,
    make: impl FnOnce() -> Outcome<S>,
) -> rf_status {
    ffi::call(name, || {
        // SAFETY: the caller's promise.
        let place = unsafe { out_handle(place, "sampler")? };
        place.set(into_raw(Samplers::one(Box::new(make()?))));
        Ok(())
    })
}

/// Selects the most likely token.
///
/// @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_greedy(sampler: *mut *mut rf_sampler) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_greedy", sampler, || Ok(Greedy)) }
}

/// Selects a token at random, by the probabilities. The same seed on the same logits gives the same
/// tokens, on any machine.
///
/// @param seed    The seed; RF_RANDOM_SEED takes one from the operating system.
/// @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_dist(seed: u32, sampler: *mut *mut rf_sampler) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_dist", sampler, || Ok(Dist::new(seed))) }
}

/// Divides the logits by a temperature.
///
/// @param temp    The temperature: 1 changes nothing, 0 and less leave only the most likely token.
/// @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_temp(temp: f32, sampler: *mut *mut rf_sampler) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_temp", sampler, || Ok(Temperature::new(temp)?)) }
}

/// Keeps the most likely tokens.
///
/// @param k       How many; 0 and less keep all.
/// @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_top_k(k: i32, sampler: *mut *mut rf_sampler) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_top_k", sampler, || Ok(TopK::new(k))) }
}

/// Keeps the fewest most likely tokens whose probabilities sum to at least p.
///
/// @param p        The sum; 1 and more keep all.
/// @param min_keep Never keep fewer.
/// @param sampler  Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                 on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_top_p(
    p: f32,
    min_keep: usize,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_top_p", sampler, || Ok(TopP::new(p, min_keep)?)) }
}

/// Keeps the tokens that are at least p times as likely as the most likely one.
///
/// @param p        The share; 0 and less keep all.
/// @param min_keep Never keep fewer.
/// @param sampler  Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                 on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_min_p(
    p: f32,
    min_keep: usize,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_min_p", sampler, || Ok(MinP::new(p, min_keep)?)) }
}

/// Keeps the tokens whose information is nearest to what is expected (locally typical sampling), the
/// fewest whose probabilities sum to more than p.
///
/// @param p        The sum; 1 and more keep all.
/// @param min_keep Never keep fewer.
/// @param sampler  Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                 on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_typical(
    p: f32,
    min_keep: usize,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_typical", sampler, || Ok(Typical::new(p, min_keep)?)) }
}

/// Makes the tokens accepted last less likely.
///
/// @param penalty_last_n  How many of the last tokens count; 0 turns it off.
/// @param penalty_repeat  Divides (multiplies, if negative) the logits of those tokens; 1 is off.
/// @param penalty_freq    Subtracted once for each time that a token occurs; 0 is off.
/// @param penalty_present Subtracted once if a token occurs; 0 is off.
/// @param sampler         Receives the sampler, to be freed with rf_sampler_free() or added to a
///                        chain; NULL on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_penalties(
    penalty_last_n: i32,
    penalty_repeat: f32,
    penalty_freq: f32,
    penalty_present: f32,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe {
        init("rf_sampler_init_penalties", sampler, || {
            let last_n = count(penalty_last_n, "penalty_last_n")?;
            Ok(Penalties::new(last_n, penalty_repeat, penalty_freq, penalty_present)?)
        })
    }
}

/// Adds numbers to the logits of chosen tokens.
///
/// @param biases   The tokens and numbers, which are copied. Those of the same token add up; a token
///                 outside the vocabulary has no effect.
/// @param n_biases Their number.
/// @param sampler  Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                 on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_logit_bias(
    biases: *const rf_logit_bias,
    n_biases: usize,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: `n_biases` biases and room for a pointer, says the header.
    unsafe {
        init("rf_sampler_init_logit_bias", sampler, || {
            let biases = slice(biases, n_biases, "biases")?.iter().map(|b| (b.token, b.bias));
            Ok(LogitBias::new(&biases.collect::<Vec<_>>())?)
        })
    }
}

/// Divides the logits by a temperature between temp - delta and temp + delta: low where one token is
/// likely, high where many are (entropy-based dynamic temperature).
///
/// @param temp     The temperature in the middle.
/// @param delta    How far it moves; 0 and less make this rf_sampler_init_temp().
/// @param exponent Of the share that the entropy is of the largest possible one.
/// @param sampler  Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                 on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_temp_ext(
    temp: f32,
    delta: f32,
    exponent: f32,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_temp_ext", sampler, || Ok(TemperatureExt::new(temp, delta, exponent)?)) }
}

/// Makes impossible what is more than n standard deviations of the logits below the largest.
///
/// @param n       How many; 0 and less change nothing.
/// @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_top_n_sigma(n: f32, sampler: *mut *mut rf_sampler) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_top_n_sigma", sampler, || Ok(TopNSigma::new(n)?)) }
}

/// Now and then drops the most likely tokens but the least likely of those that are likely enough
/// (exclude top choices).
///
/// @param p         How often; 0 and less: never.
/// @param threshold From which probability on a token is likely enough; above 0.5 nothing is dropped.
/// @param min_keep  Drop none if fewer would be left.
/// @param seed      The seed; RF_RANDOM_SEED takes one from the operating system.
/// @param sampler   Receives the sampler, to be freed with rf_sampler_free() or added to a chain;
///                  NULL on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_xtc(
    p: f32,
    threshold: f32,
    min_keep: usize,
    seed: u32,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_xtc", sampler, || Ok(Xtc::new(p, threshold, min_keep, seed)?)) }
}

/// Selects a token so that the surprise of the text stays near tau (Mirostat, version 1).
///
/// @param n_vocab The size of the vocabulary.
/// @param seed    The seed; RF_RANDOM_SEED takes one from the operating system.
/// @param tau     The surprise aimed at, in bits.
/// @param eta     How fast it learns from what it has selected.
/// @param m       By how many of the most likely tokens it estimates, 2 or more; usually 100.
/// @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_mirostat(
    n_vocab: i32,
    seed: u32,
    tau: f32,
    eta: f32,
    m: i32,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe {
        init("rf_sampler_init_mirostat", sampler, || {
            Ok(Mirostat::new(count(n_vocab, "n_vocab")?, seed, tau, eta, count(m, "m")?)?)
        })
    }
}

/// Selects a token so that the surprise of the text stays near tau (Mirostat, version 2).
///
/// @param seed    The seed; RF_RANDOM_SEED takes one from the operating system.
/// @param tau     The surprise aimed at, in bits.
/// @param eta     How fast it learns from what it has selected.
/// @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_mirostat_v2(
    seed: u32,
    tau: f32,
    eta: f32,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_mirostat_v2", sampler, || Ok(MirostatV2::new(seed, tau, eta)?)) }
}

/// Selects tokens whose probability is near a target, which moves against the mean of what was
/// selected lately (adaptive-p).
///
/// @param target  The probability aimed at; below 0 the probabilities stay as they are.
/// @param decay   What is remembered from one token to the next, 0 to 0.99.
/// @param seed    The seed; RF_RANDOM_SEED takes one from the operating system.
/// @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_adaptive_p(
    target: f32,
    decay: f32,
    seed: u32,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: room for a pointer, says the header.
    unsafe { init("rf_sampler_init_adaptive_p", sampler, || Ok(AdaptiveP::new(target, decay, seed)?)) }
}

/// Makes tokens less likely that would go on with a repetition ("don't repeat yourself"): by
/// multiplier * base ^ (n - allowed_length), where the last n tokens were said before.
///
/// @param vocab          Spells the breakers. Not needed afterwards.
/// @param multiplier     0 turns it off.
/// @param base           Less than 1 turns it off.
/// @param allowed_length Shorter repetitions are free.
/// @param last_n         How many of the last tokens it looks at; 0 turns it off.
/// @param breakers       Texts at which a repetition ends, UTF-8, each with a 0 at its end; of each
///                       40 bytes at most are used. They are copied.
/// @param n_breakers     Their number.
/// @param sampler        Receives the sampler, to be freed with rf_sampler_free() or added to a chain;
///                       NULL on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_dry(
    vocab: *const rf_vocab,
    multiplier: f32,
    base: f32,
    allowed_length: i32,
    last_n: i32,
    breakers: *const *const c_char,
    n_breakers: usize,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: a live vocabulary, `n_breakers` strings and room for a pointer, says the header.
    unsafe {
        init("rf_sampler_init_dry", sampler, || {
            let model = borrow(vocab)?;
            let texts = slice(breakers, n_breakers, "breakers")?;
            let texts = texts.iter().map(|&text| Ok(c_str(text, "a breaker")?.to_bytes()));
            let breakers = Breakers::of_texts(model.vocab(), &texts.collect::<Outcome<Vec<_>>>()?)?;
            let (allowed, last_n) = (count(allowed_length, "allowed_length")?, count(last_n, "last_n")?);
            Ok(Dry::new(multiplier, base, allowed, last_n, breakers)?)
        })
    }
}

/// For text in the middle of another, behind top-k and top-p: ends it as soon as that is likely enough,
/// and makes one of tokens that begin alike.
///
/// @param vocab   The vocabulary, which is kept as long as it is needed.
/// @param sampler Receives the sampler, to be freed with rf_sampler_free() or added to a chain; NULL
///                on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_init_infill(
    vocab: *const rf_vocab,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: a live vocabulary and room for a pointer, says the header.
    unsafe { init("rf_sampler_init_infill", sampler, || Ok(Infill::new(Arc::clone(borrow(vocab)?.vocab())))) }
}
