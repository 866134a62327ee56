//! The KV cache of a context: what it remembers of its sequences.

use std::ops::Range;

use super::ffi::{self, Flag, out};
use super::{rf_context, rf_pos, rf_seq_id, rf_status};
use crate::kv::Pos;

/// Positions as callers give them: a negative first one is 0, a negative end is past all.
fn range(p0: rf_pos, p1: rf_pos) -> Range<Pos> {
    p0.max(0)..if p1 < 0 { Pos::MAX } else { p1 }
}

/// Empties the KV cache of a context.
///
/// @param context The context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_memory_clear(context: *mut rf_context) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe {
        ffi::write("rf_memory_clear", context, |c| {
            c.clear();
            Ok(())
        })
    }
}

/// Removes tokens of a sequence from the KV cache.
///
/// @param context The context.
/// @param seq_id  The sequence; negative for every one.
/// @param p0      The first position to remove; negative for 0.
/// @param p1      The first position to keep again; negative for none.
/// @return RF_STATUS_INVALID_ARGUMENT if there is no such sequence.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_memory_seq_rm(
    context: *mut rf_context,
    seq_id: rf_seq_id,
    p0: rf_pos,
    p1: rf_pos,
) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe {
        ffi::write("rf_memory_seq_rm", context, |c| {
            if seq_id >= 0 {
                return Ok(c.seq_rm(seq_id, range(p0, p1))?);
            }
            for seq in 0..c.params().n_seq_max {
                c.seq_rm(seq as rf_seq_id, range(p0, p1))?;
            }
            Ok(())
        })
    }
}

/// Makes tokens of one sequence tokens of another too. Nothing is copied: the two share cells.
///
/// @param context    The context.
/// @param seq_id_src The sequence that has the tokens.
/// @param seq_id_dst The sequence that gets them.
/// @param p0         The first position; negative for 0.
/// @param p1         The position after the last; negative for all.
/// @return RF_STATUS_INVALID_ARGUMENT if there is no such sequence.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_memory_seq_cp(
    context: *mut rf_context,
    seq_id_src: rf_seq_id,
    seq_id_dst: rf_seq_id,
    p0: rf_pos,
    p1: rf_pos,
) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe {
        ffi::write("rf_memory_seq_cp", context, |c| Ok(c.seq_cp(seq_id_src, seq_id_dst, range(p0, p1))?))
    }
}

/// Removes every sequence but one from the KV cache.
///
/// @param context The context.
/// @param seq_id  The sequence to keep.
/// @return RF_STATUS_INVALID_ARGUMENT if there is no such sequence.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_memory_seq_keep(context: *mut rf_context, seq_id: rf_seq_id) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe { ffi::write("rf_memory_seq_keep", context, |c| Ok(c.seq_keep(seq_id)?)) }
}

/// Moves tokens of a sequence to other positions. Tokens that would come to lie before position 0
/// are removed. The keys are rotated at the next rf_decode().
///
/// @param context The context.
/// @param seq_id  The sequence.
/// @param p0      The first position to move; negative for 0.
/// @param p1      The position after the last; negative for all.
/// @param delta   By how much.
/// @return RF_STATUS_INVALID_ARGUMENT if there is no such sequence, a position would overflow, or
///         another sequence shares a token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_memory_seq_add(
    context: *mut rf_context,
    seq_id: rf_seq_id,
    p0: rf_pos,
    p1: rf_pos,
    delta: rf_pos,
) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe { ffi::write("rf_memory_seq_add", context, |c| Ok(c.seq_add(seq_id, range(p0, p1), delta)?)) }
}

/// Divides the positions of tokens of a sequence, rounding down, so that several tokens share one. The
/// keys are rotated at the next rf_decode().
///
/// @param context The context.
/// @param seq_id  The sequence.
/// @param p0      The first position to divide; negative for 0.
/// @param p1      The position after the last; negative for all.
/// @param d       By what; at least 1.
/// @return RF_STATUS_INVALID_ARGUMENT if there is no such sequence, d is below 1, or another sequence
///         shares a token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_memory_seq_div(
    context: *mut rf_context,
    seq_id: rf_seq_id,
    p0: rf_pos,
    p1: rf_pos,
    d: i32,
) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe { ffi::write("rf_memory_seq_div", context, |c| Ok(c.seq_div(seq_id, range(p0, p1), d)?)) }
}

/// Whether tokens can move to other positions: rf_memory_seq_add() and rf_memory_seq_div(). They can in
/// every model that this version computes.
///
/// @param context   The context.
/// @param can_shift Receives the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_memory_can_shift(context: *const rf_context, can_shift: *mut Flag) -> rf_status {
    // SAFETY: a live context and room for a flag, says the header.
    unsafe {
        ffi::read("rf_memory_can_shift", context, |_| {
            out(can_shift, "can_shift")?.set(true.into());
            Ok(())
        })
    }
}

/// The lowest position of a sequence in the KV cache.
///
/// @param context The context.
/// @param seq_id  The sequence; RF_STATUS_INVALID_ARGUMENT if there is no such.
/// @param pos     Receives the position, -1 if the sequence has no tokens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_memory_seq_pos_min(
    context: *const rf_context,
    seq_id: rf_seq_id,
    pos: *mut rf_pos,
) -> rf_status {
    // SAFETY: a live context and room for a position, says the header.
    unsafe {
        ffi::read("rf_memory_seq_pos_min", context, |c| {
            out(pos, "pos")?.set(c.cells().seq_range(seq_id)?.map_or(-1, |(min, _)| min));
            Ok(())
        })
    }
}

/// The highest position of a sequence in the KV cache.
///
/// @param context The context.
/// @param seq_id  The sequence; RF_STATUS_INVALID_ARGUMENT if there is no such.
/// @param pos     Receives the position, -1 if the sequence has no tokens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_memory_seq_pos_max(
    context: *const rf_context,
    seq_id: rf_seq_id,
    pos: *mut rf_pos,
) -> rf_status {
    // SAFETY: a live context and room for a position, says the header.
    unsafe {
        ffi::read("rf_memory_seq_pos_max", context, |c| {
            out(pos, "pos")?.set(c.cells().seq_range(seq_id)?.map_or(-1, |(_, max)| max));
            Ok(())
        })
    }
}

/// How many cells of the KV cache are in use, of the rf_n_ctx() that there are.
///
/// @param context The context.
/// @param n       Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_memory_n_used(context: *const rf_context, n: *mut i32) -> rf_status {
    // SAFETY: a live context and room for a number, says the header.
    unsafe {
        ffi::read("rf_memory_n_used", context, |c| {
            out(n, "n")?.set(c.cells().n_used() as i32);
            Ok(())
        })
    }
}
