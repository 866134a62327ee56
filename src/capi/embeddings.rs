//! Embeddings of tokens and of sequences.

use super::context::lend_row;
use super::ffi::{self, Failure, Flag, out};
use super::{rf_context, rf_status};

/// Turns embeddings on or off for the decodes to come. Without pooling, every token whose logits are
/// wanted has an embedding too. With pooling every token of a batch counts, there is one embedding
/// per sequence and batch, and logits are not computed. Outputs of earlier decodes are gone.
///
/// @param context    The context.
/// @param embeddings Whether embeddings are wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_set_embeddings(context: *mut rf_context, embeddings: Flag) -> rf_status {
    // SAFETY: a live context, says the header.
    unsafe {
        ffi::write("rf_set_embeddings", context, |c| {
            c.set_embeddings(embeddings.get());
            Ok(())
        })
    }
}

/// How a context pools embeddings.
///
/// @param context The context.
/// @param pooling Receives an rf_pooling, never RF_POOLING_UNSPECIFIED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_pooling_type(context: *const rf_context, pooling: *mut i32) -> rf_status {
    // SAFETY: a live context and room for a number, says the header.
    unsafe {
        ffi::read("rf_pooling_type", context, |c| {
            out(pooling, "pooling")?.set(c.params().pooling.map_or(0, |p| p as i32));
            Ok(())
        })
    }
}

/// The embeddings of all tokens of the last decode whose logits were wanted, row after row in the
/// order of the batch; each row has rf_model_n_embd() numbers. Only without pooling.
///
/// @param context      The context.
/// @param embeddings   Receives memory of the context, valid until the next rf_decode(),
///                     rf_set_embeddings() or rf_context_free().
/// @param n_embeddings Receives how many numbers there are.
/// @return RF_STATUS_INVALID_ARGUMENT if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_get_embeddings(
    context: *const rf_context,
    embeddings: *mut *const f32,
    n_embeddings: *mut usize,
) -> rf_status {
    // SAFETY: a live context and room for a pointer and a size, says the header.
    unsafe {
        ffi::read("rf_get_embeddings", context, |c| {
            let all = c.all_embeddings();
            if all.is_empty() {
                return Err(Failure::invalid(
                    "there are no embeddings of tokens: they are off or pooled, or the last decode failed or \
                     asked for none",
                ));
            }
            lend_row(all, embeddings, n_embeddings)
        })
    }
}

/// The embedding of one token of the last decode. Only without pooling.
///
/// @param context      The context.
/// @param index        The token's place in the batch; or, if negative, counted from the last token
///                     whose logits were wanted: -1 is that one.
/// @param embedding    Receives memory of the context, valid until the next rf_decode(),
///                     rf_set_embeddings() or rf_context_free().
/// @param n_embd       Receives how many numbers there are: rf_model_n_embd().
/// @return RF_STATUS_INVALID_ARGUMENT if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_get_embeddings_ith(
    context: *const rf_context,
    index: i32,
    embedding: *mut *const f32,
    n_embd: *mut usize,
) -> rf_status {
    // SAFETY: a live context and room for a pointer and a size, says the header.
    unsafe {
        ffi::read("rf_get_embeddings_ith", context, |c| lend_row(c.embedding(index)?, embedding, n_embd))
    }
}

/// The pooled embedding of the tokens that the last decode had of a sequence. Only with pooling.
///
/// @param context   The context.
/// @param seq_id    The sequence.
/// @param embedding Receives memory of the context, valid until the next rf_decode(),
///                  rf_set_embeddings() or rf_context_free().
/// @param n_embd    Receives how many numbers there are: rf_model_n_embd().
/// @return RF_STATUS_INVALID_ARGUMENT if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_get_embeddings_seq(
    context: *const rf_context,
    seq_id: i32,
    embedding: *mut *const f32,
    n_embd: *mut usize,
) -> rf_status {
    // SAFETY: a live context and room for a pointer and a size, says the header.
    unsafe {
        ffi::read("rf_get_embeddings_seq", context, |c| lend_row(c.seq_embedding(seq_id)?, embedding, n_embd))
    }
}
