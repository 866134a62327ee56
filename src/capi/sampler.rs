//! Samplers and chains of them: from logits to a token. Their constructors are in `sampler_init`.

use std::ffi::c_char;

use super::batch::count;
use super::ffi::{self, Failure, Opaque, Outcome, borrow, into_raw, out, out_handle, put_str, slice, take};
use super::{rf_context, rf_status, rf_token};
use crate::sampler::{Candidate, Candidates, Chain, Sampler};

/// One sampler, or a chain of them, which is a sampler too.
pub struct rf_sampler {
    _private: [u8; 0],
}

/// A sampler on its own is a chain of one, so that there is one way to run them.
pub(super) struct Samplers {
    chain: Chain,
    is_chain: bool,
    /// For `rf_sampler_apply`.
    items: Vec<Candidate>,
}

// SAFETY: every sampler is Sync: the bound of `init` in `sampler_init`.
unsafe impl Opaque for rf_sampler {
    type Inner = Samplers;
    const NAME: &'static str = "sampler";
}

impl Samplers {
    pub fn one(sampler: Box<dyn Sampler>) -> Samplers {
        let mut chain = Chain::new();
        chain.push_box(sampler);
        Samplers { chain, is_chain: false, items: Vec::new() }
    }

    fn chain(chain: Chain) -> Samplers {
        Samplers { chain, is_chain: true, items: Vec::new() }
    }

    fn into_box(mut self) -> Outcome<Box<dyn Sampler>> {
        if self.is_chain { Ok(Box::new(self.chain)) } else { Ok(self.chain.remove(0)?) }
    }

    /// The chain to change or look into; an error if this is a single sampler.
    fn as_chain(&self) -> Outcome<&Chain> {
        if self.is_chain { Ok(&self.chain) } else { Err(not_a_chain()) }
    }

    fn as_chain_mut(&mut self) -> Outcome<&mut Chain> {
        if self.is_chain { Ok(&mut self.chain) } else { Err(not_a_chain()) }
    }

    fn name(&self) -> &'static str {
        match self.chain.get(0) {
            Some(sampler) if !self.is_chain => sampler.name(),
            _ => "chain",
        }
    }
}

fn not_a_chain() -> Failure {
    Failure::invalid("this sampler is not a chain; rf_sampler_chain_init() makes one")
}

/// A token that may come next.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_token_data {
    /// The token.
    pub id: rf_token,
    /// Its logit.
    pub logit: f32,
    /// Its probability, where a sampler computed it.
    pub p: f32,
}

/// A chain without samplers, to which rf_sampler_chain_add() adds. The samplers run in order; the
/// last is one that selects: rf_sampler_init_dist() or rf_sampler_init_greedy().
///
/// @param chain Receives it, to be freed with rf_sampler_free(); NULL on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_chain_init(chain: *mut *mut rf_sampler) -> rf_status {
    ffi::call("rf_sampler_chain_init", || {
        // SAFETY: room for a pointer, says the header.
        let place = unsafe { out_handle(chain, "chain")? };
        place.set(into_raw(Samplers::chain(Chain::new())));
        Ok(())
    })
}

/// Appends a sampler to a chain.
///
/// @param chain   The chain.
/// @param sampler The sampler, which may be a chain itself. On success it belongs to the chain and
///                must not be used or freed any more; on failure it stays the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_chain_add(chain: *mut rf_sampler, sampler: *mut rf_sampler) -> rf_status {
    // SAFETY: two live samplers, says the header.
    unsafe {
        ffi::write("rf_sampler_chain_add", chain, |c| {
            let chain = c.as_chain_mut()?;
            chain.push_box(take(sampler)?.into_box()?);
            Ok(())
        })
    }
}

/// Puts a sampler into a chain.
///
/// @param chain   The chain.
/// @param index   The place that it gets, 0 to rf_sampler_chain_n().
/// @param sampler The sampler. On success it belongs to the chain and must not be used or freed any
///                more; on failure it stays the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_chain_insert(
    chain: *mut rf_sampler,
    index: i32,
    sampler: *mut rf_sampler,
) -> rf_status {
    // SAFETY: two live samplers, says the header.
    unsafe {
        ffi::write("rf_sampler_chain_insert", chain, |c| {
            let (chain, index) = (c.as_chain_mut()?, count(index, "index")?);
            if index > chain.len() {
                return Err(no_such(chain, index));
            }
            Ok(chain.insert(index, take(sampler)?.into_box()?)?)
        })
    }
}

fn no_such(chain: &Chain, index: usize) -> Failure {
    Failure::new(rf_status::NotFound, format!("no place {index} in a chain of {} samplers", chain.len()))
}

/// Takes a sampler out of a chain.
///
/// @param chain   The chain.
/// @param index   Its place, 0 to rf_sampler_chain_n() - 1; RF_STATUS_NOT_FOUND otherwise.
/// @param sampler Receives it, to be freed with rf_sampler_free(); NULL on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_chain_remove(
    chain: *mut rf_sampler,
    index: i32,
    sampler: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: a live sampler and room for a pointer, says the header.
    unsafe {
        ffi::write("rf_sampler_chain_remove", chain, |c| {
            let place = out_handle(sampler, "sampler")?;
            let (chain, index) = (c.as_chain_mut()?, count(index, "index")?);
            if index >= chain.len() {
                return Err(no_such(chain, index));
            }
            place.set(into_raw(Samplers::one(chain.remove(index)?)));
            Ok(())
        })
    }
}

/// The number of samplers in a chain.
///
/// @param chain The chain.
/// @param n     Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_chain_n(chain: *const rf_sampler, n: *mut i32) -> rf_status {
    // SAFETY: a live sampler and room for a number, says the header.
    unsafe {
        ffi::read("rf_sampler_chain_n", chain, |c| {
            out(n, "n")?.set(c.as_chain()?.len() as i32);
            Ok(())
        })
    }
}

/// The name of a sampler in a chain: "top-k".
///
/// @param chain The chain.
/// @param index Its place, 0 to rf_sampler_chain_n() - 1; RF_STATUS_NOT_FOUND otherwise.
/// @param buf   Buffer for the name, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_chain_get_name(
    chain: *const rf_sampler,
    index: i32,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live sampler and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_sampler_chain_get_name", chain, |c| {
            let (chain, index) = (c.as_chain()?, count(index, "index")?);
            let sampler = chain.get(index).ok_or_else(|| no_such(chain, index))?;
            put_str(sampler.name().as_bytes(), buf, size, len)
        })
    }
}

/// The name of a sampler: "top-k", or "chain".
///
/// @param sampler The sampler.
/// @param buf     Buffer for the name, or NULL to ask for its length.
/// @param size    Bytes of the buffer.
/// @param len     Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_name(
    sampler: *const rf_sampler,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live sampler and a buffer of `size` bytes, says the header.
    unsafe { ffi::read("rf_sampler_name", sampler, |s| put_str(s.name().as_bytes(), buf, size, len)) }
}

/// A copy of a sampler with the same settings and the same state.
///
/// @param sampler The sampler.
/// @param copy    Receives the copy, to be freed with rf_sampler_free(); NULL on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_clone(
    sampler: *const rf_sampler,
    copy: *mut *mut rf_sampler,
) -> rf_status {
    // SAFETY: a live sampler and room for a pointer, says the header.
    unsafe {
        ffi::read("rf_sampler_clone", sampler, |s| {
            let place = out_handle(copy, "copy")?;
            let (chain, is_chain) = (s.chain.clone(), s.is_chain);
            place.set(into_raw(Samplers { chain, is_chain, items: Vec::new() }));
            Ok(())
        })
    }
}

/// Makes a sampler forget the tokens accepted, and start its random numbers again.
///
/// @param sampler The sampler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_reset(sampler: *mut rf_sampler) -> rf_status {
    // SAFETY: a live sampler, says the header.
    unsafe {
        ffi::write("rf_sampler_reset", sampler, |s| {
            s.chain.reset();
            Ok(())
        })
    }
}

/// Tells a sampler that a token is now part of the text. rf_sampler_sample() does so by itself; this
/// is for tokens that came another way, such as a prompt that penalties are to count.
///
/// @param sampler The sampler.
/// @param token   The token, 0 or more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_accept(sampler: *mut rf_sampler, token: rf_token) -> rf_status {
    // SAFETY: a live sampler, says the header.
    unsafe {
        ffi::write("rf_sampler_accept", sampler, |s| {
            count(token, "token")?;
            s.chain.accept(token);
            Ok(())
        })
    }
}

/// Selects a token from logits of the last rf_decode(), and accepts it.
///
/// @param sampler The sampler: one that selects, or a chain that ends in one.
/// @param context The context.
/// @param index   Whose logits, as in rf_get_logits_ith(): -1 for those of the last token.
/// @param token   Receives the token, RF_TOKEN_NULL on failure.
/// @return RF_STATUS_INVALID_ARGUMENT if there are no such logits, one of them is NaN, none is
///         possible, or no sampler selects. Nothing is accepted then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_sample(
    sampler: *mut rf_sampler,
    context: *const rf_context,
    index: i32,
    token: *mut rf_token,
) -> rf_status {
    // SAFETY: a live sampler, a live context and room for a token, says the header.
    unsafe {
        ffi::write("rf_sampler_sample", sampler, |s| {
            let place = out(token, "token")?;
            place.set(super::RF_TOKEN_NULL);
            let context = borrow(context)?;
            place.set(s.chain.sample(context.logits(index)?)?);
            Ok(())
        })
    }
}

/// Runs a sampler on candidates of the caller's. Nothing is accepted.
///
/// @param sampler  The sampler.
/// @param data     The candidates, which the sampler changes, drops and reorders.
/// @param n_data   Their number, before and after.
/// @param selected Receives the place among them of the one selected, -1 if none was.
/// @return RF_STATUS_INVALID_ARGUMENT if a logit is NaN or the sampler fails on them; the candidates
///         are then as before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_apply(
    sampler: *mut rf_sampler,
    data: *mut rf_token_data,
    n_data: *mut usize,
    selected: *mut i64,
) -> rf_status {
    // SAFETY: a live sampler, room for a size and a number, and as many candidates as the size says,
    // says the header.
    unsafe {
        ffi::write("rf_sampler_apply", sampler, |s| {
            let (n_place, selected) = (out(n_data, "n_data")?, out(selected, "selected")?);
            selected.set(-1);
            let n = n_data.read_unaligned();
            let Samplers { chain, items, .. } = s;
            items.clear();
            let given = slice(data.cast_const(), n, "data")?;
            items.extend(given.iter().map(|d| Candidate { id: d.id, logit: d.logit, p: d.p }));
            let mut candidates = Candidates::new(items);
            chain.apply(&mut candidates)?;
            let choice = candidates.selected();
            if items.len() > n {
                return Err(Failure::new(rf_status::Internal, "a sampler made candidates"));
            }
            for (i, c) in items.iter().enumerate() {
                data.add(i).write(rf_token_data { id: c.id, logit: c.logit, p: c.p });
            }
            n_place.set(items.len());
            selected.set(choice.map_or(-1, |i| i as i64));
            Ok(())
        })
    }
}

/// The seed in use by a sampler, which tells the one drawn where RF_RANDOM_SEED was asked for.
///
/// @param sampler The sampler.
/// @param seed    Receives the seed, RF_RANDOM_SEED if it draws no random numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_get_seed(sampler: *const rf_sampler, seed: *mut u32) -> rf_status {
    // SAFETY: a live sampler and room for a number, says the header.
    unsafe {
        ffi::read("rf_sampler_get_seed", sampler, |s| {
            out(seed, "seed")?.set(s.chain.seed().unwrap_or(super::RF_RANDOM_SEED));
            Ok(())
        })
    }
}

/// Frees a sampler; a chain with all that is in it. NULL is nothing to free.
///
/// @param sampler The sampler; not one that has been added to a chain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_free(sampler: *mut rf_sampler) {
    // SAFETY: a sampler that the caller owns, says the header.
    unsafe { ffi::free("rf_sampler_free", sampler) }
}

/// Why the last call on this sampler that failed failed; empty if none did.
///
/// @param sampler The sampler.
/// @param buf     Buffer for the message, or NULL to ask for its length.
/// @param size    Bytes of the buffer.
/// @param len     Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_sampler_last_error(
    sampler: *const rf_sampler,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live sampler and a buffer of `size` bytes, says the header.
    unsafe { ffi::handle_error("rf_sampler_last_error", sampler, buf, size, len) }
}
