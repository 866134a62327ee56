//! Batches: the tokens of one decode.

use super::ffi::{self, Failure, Flag, Opaque, Outcome, out, out_handle, slice};
use super::{rf_status, rf_token};
use crate::Batch;

/// A position in a sequence, from 0.
pub type rf_pos = i32;

/// A sequence of a context: 0 to n_seq_max - 1.
pub type rf_seq_id = i32;

/// The tokens of one rf_decode(). Made once for a number of tokens and reused; filling it allocates
/// nothing.
pub struct rf_batch {
    _private: [u8; 0],
}

// SAFETY: `Batch` is Sync.
unsafe impl Opaque for rf_batch {
    type Inner = Batch;
    const NAME: &'static str = "batch";
}

/// A count from the caller.
pub(super) fn count(n: i32, what: &str) -> Outcome<usize> {
    usize::try_from(n).map_err(|_| Failure::invalid(format!("{what} is {n}; expected 0 or more")))
}

/// A batch.
///
/// @param n_tokens_max Tokens that it has room for, at least 1.
/// @param n_seq_max    Sequences that one token may belong to, 1 to 256.
/// @param batch        Receives it, to be freed with rf_batch_free(); NULL on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_batch_new(
    n_tokens_max: i32,
    n_seq_max: i32,
    batch: *mut *mut rf_batch,
) -> rf_status {
    ffi::call("rf_batch_new", || {
        // SAFETY: room for a pointer, says the header.
        let place = unsafe { out_handle(batch, "batch")? };
        let batch = Batch::new(count(n_tokens_max, "n_tokens_max")?, count(n_seq_max, "n_seq_max")?)?;
        place.set(ffi::into_raw(batch));
        Ok(())
    })
}

/// Frees a batch. NULL is nothing to free.
///
/// @param batch The batch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_batch_free(batch: *mut rf_batch) {
    // SAFETY: a batch that the caller owns, says the header.
    unsafe { ffi::free("rf_batch_free", batch) }
}

/// Empties a batch.
///
/// @param batch The batch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_batch_clear(batch: *mut rf_batch) -> rf_status {
    // SAFETY: a live batch, says the header.
    unsafe {
        ffi::write("rf_batch_clear", batch, |b| {
            b.clear();
            Ok(())
        })
    }
}

/// Adds a token to a batch.
///
/// @param batch    The batch.
/// @param token    The token. Whether it and its position are right is seen by rf_decode().
/// @param pos      Its position.
/// @param seq_ids  The sequences that it belongs to. It attends to the tokens of the first, so all
///                 must have the same tokens before it.
/// @param n_seq_id Their number, 1 to the batch's n_seq_max.
/// @param logits   Whether its logits are wanted.
/// @return RF_STATUS_BATCH_FULL if the batch has no room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_batch_add(
    batch: *mut rf_batch,
    token: rf_token,
    pos: rf_pos,
    seq_ids: *const rf_seq_id,
    n_seq_id: usize,
    logits: Flag,
) -> rf_status {
    // SAFETY: a live batch and `n_seq_id` sequences, says the header.
    unsafe {
        ffi::write("rf_batch_add", batch, |b| {
            Ok(b.add(token, pos, slice(seq_ids, n_seq_id, "seq_ids")?, logits.get())?)
        })
    }
}

/// Adds tokens of one sequence at consecutive positions, with logits for the last one: a prompt, or
/// with n_tokens = 1 the next token.
///
/// @param batch    The batch.
/// @param tokens   The tokens.
/// @param n_tokens Their number.
/// @param pos      The position of the first.
/// @param seq_id   The sequence.
/// @return RF_STATUS_BATCH_FULL if the batch has no room for all; none is added then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_batch_add_seq(
    batch: *mut rf_batch,
    tokens: *const rf_token,
    n_tokens: usize,
    pos: rf_pos,
    seq_id: rf_seq_id,
) -> rf_status {
    // SAFETY: a live batch and `n_tokens` tokens, says the header.
    unsafe {
        ffi::write("rf_batch_add_seq", batch, |b| {
            let tokens = slice(tokens, n_tokens, "tokens")?;
            let room = b.capacity() - b.len();
            if n_tokens > room {
                let message = format!("{n_tokens} tokens for a batch with room for {room}");
                return Err(Failure::new(rf_status::BatchFull, message));
            }
            if pos.checked_add(n_tokens as i32).is_none() {
                return Err(Failure::invalid(format!(
                    "positions from {pos} on for {n_tokens} tokens overflow"
                )));
            }
            for (i, &token) in tokens.iter().enumerate() {
                b.add(token, pos + i as rf_pos, &[seq_id], i + 1 == n_tokens)?;
            }
            Ok(())
        })
    }
}

/// Asks for the logits of a token in a batch, or not.
///
/// @param batch  The batch.
/// @param index  The token: 0 to rf_batch_n_tokens() - 1.
/// @param logits Whether its logits are wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_batch_set_logits(batch: *mut rf_batch, index: i32, logits: Flag) -> rf_status {
    // SAFETY: a live batch, says the header.
    unsafe {
        ffi::write("rf_batch_set_logits", batch, |b| Ok(b.set_logits(count(index, "index")?, logits.get())?))
    }
}

/// The number of tokens in a batch.
///
/// @param batch    The batch.
/// @param n_tokens Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_batch_n_tokens(batch: *const rf_batch, n_tokens: *mut i32) -> rf_status {
    // SAFETY: a live batch and room for a number, says the header.
    unsafe {
        ffi::read("rf_batch_n_tokens", batch, |b| {
            out(n_tokens, "n_tokens")?.set(b.len() as i32);
            Ok(())
        })
    }
}

/// Why the last call on this batch that failed failed; empty if none did. A failure of rf_decode()
/// is the context's.
///
/// @param batch The batch.
/// @param buf   Buffer for the message, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_batch_last_error(
    batch: *const rf_batch,
    buf: *mut std::ffi::c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live batch and a buffer of `size` bytes, says the header.
    unsafe { ffi::handle_error("rf_batch_last_error", batch, buf, size, len) }
}
