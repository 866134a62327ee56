//! One constructor for every sampler.

use super::batch::count;
use super::ffi::{self, Outcome, into_raw, out_handle, slice};
use super::sampler::Samplers;
use super::{rf_sampler, rf_status, rf_token};
use crate::sampler::{
    Dist, Greedy, LogitBias, MinP, Penalties, RANDOM_SEED, Sampler, Temperature, TopK, TopP, Typical,
};

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
