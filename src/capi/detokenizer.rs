//! Detokenizers: a stream of tokens to a stream of text.

use std::ffi::c_char;
use std::sync::Arc;

use super::ffi::{self, Flag, Opaque, borrow, out_handle, put_str};
use super::{rf_status, rf_token, rf_vocab};
use crate::Model;
use crate::tokenizer::Detokenizer;

/// Turns tokens into text as they come. A token may end in the middle of a character; its bytes are
/// kept until the rest arrives, so what comes out is whole characters, valid UTF-8 always. Bytes
/// that are no characters come out as U+FFFD.
pub struct rf_detokenizer {
    _private: [u8; 0],
}

pub(super) struct Stream {
    model: Arc<Model>,
    detokenizer: Detokenizer,
    /// What the last push or finish gave.
    text: String,
}

// SAFETY: `Stream` is Sync.
unsafe impl Opaque for rf_detokenizer {
    type Inner = Stream;
    const NAME: &'static str = "detokenizer";
}

/// A detokenizer over a vocabulary. It keeps what it needs of the model alive.
///
/// @param vocab       The vocabulary.
/// @param special     Write control tokens out; otherwise they give nothing.
/// @param detokenizer Receives it, to be freed with rf_detokenizer_free(); NULL on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_detokenizer_new(
    vocab: *const rf_vocab,
    special: Flag,
    detokenizer: *mut *mut rf_detokenizer,
) -> rf_status {
    ffi::call("rf_detokenizer_new", || {
        // SAFETY: a live vocabulary and room for a pointer, says the header.
        let (place, model) = unsafe { (out_handle(detokenizer, "detokenizer")?, borrow(vocab)?.clone()) };
        let detokenizer = Detokenizer::new(special.get());
        place.set(ffi::into_raw(Stream { model, detokenizer, text: String::new() }));
        Ok(())
    })
}

/// Takes a token and gives the characters that it completes, maybe none.
///
/// @param detokenizer The detokenizer.
/// @param token       The token; RF_STATUS_INVALID_ARGUMENT if out of range, and nothing changes.
/// @param buf         Buffer for the text, or NULL to ask for its length.
/// @param size        Bytes of the buffer.
/// @param len         Receives the length without the NUL; may be NULL if buf is not.
/// @return RF_STATUS_BUFFER_TOO_SMALL if the buffer is too small. The token has been taken then:
///         rf_detokenizer_text() gives its text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_detokenizer_push(
    detokenizer: *mut rf_detokenizer,
    token: rf_token,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live detokenizer and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::write("rf_detokenizer_push", detokenizer, |d| {
            let text = d.detokenizer.push(d.model.vocab(), token)?;
            d.text.clear();
            d.text.push_str(text);
            put_str(d.text.as_bytes(), buf, size, len)
        })
    }
}

/// Ends the stream: gives U+FFFD for a character that was begun and not completed, mostly nothing.
/// The detokenizer is then as new.
///
/// @param detokenizer The detokenizer.
/// @param buf         Buffer for the text, or NULL to ask for its length.
/// @param size        Bytes of the buffer.
/// @param len         Receives the length without the NUL; may be NULL if buf is not.
/// @return As rf_detokenizer_push().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_detokenizer_finish(
    detokenizer: *mut rf_detokenizer,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live detokenizer and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::write("rf_detokenizer_finish", detokenizer, |d| {
            let text = d.detokenizer.finish();
            d.text.clear();
            d.text.push_str(text);
            put_str(d.text.as_bytes(), buf, size, len)
        })
    }
}

/// The text that the last rf_detokenizer_push() or rf_detokenizer_finish() gave, once more.
///
/// @param detokenizer The detokenizer.
/// @param buf         Buffer for the text, or NULL to ask for its length.
/// @param size        Bytes of the buffer.
/// @param len         Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_detokenizer_text(
    detokenizer: *const rf_detokenizer,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live detokenizer and a buffer of `size` bytes, says the header.
    unsafe { ffi::read("rf_detokenizer_text", detokenizer, |d| put_str(d.text.as_bytes(), buf, size, len)) }
}

/// Frees a detokenizer. NULL is nothing to free.
///
/// @param detokenizer The detokenizer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_detokenizer_free(detokenizer: *mut rf_detokenizer) {
    // SAFETY: a detokenizer that the caller owns, says the header.
    unsafe { ffi::free("rf_detokenizer_free", detokenizer) }
}

/// Why the last call on this detokenizer that failed failed; empty if none did.
///
/// @param detokenizer The detokenizer.
/// @param buf         Buffer for the message, or NULL to ask for its length.
/// @param size        Bytes of the buffer.
/// @param len         Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_detokenizer_last_error(
    detokenizer: *const rf_detokenizer,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live detokenizer and a buffer of `size` bytes, says the header.
    unsafe { ffi::handle_error("rf_detokenizer_last_error", detokenizer, buf, size, len) }
}
