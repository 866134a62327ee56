//! Saved states: a context or one of its sequences, in memory or in a file.

use std::ffi::{CStr, c_char};
use std::path::Path;

use super::ffi::{self, Failure, Outcome, fits, out, put_slice, slice};
use super::{rf_context, rf_seq_id, rf_status, rf_token};
use crate::Error;

/// Writes a state to the caller's buffer; `save` writes it to the `size` bytes that it needs.
///
/// # Safety
/// `buf` is NULL or has room for `room` bytes, `len` is NULL or room for a size.
unsafe fn put_state(
    size: usize,
    buf: *mut u8,
    room: usize,
    len: *mut usize,
    save: impl FnOnce(&mut [u8]) -> crate::Result<usize>,
) -> Outcome {
    // SAFETY: the caller's promise.
    if unsafe { fits(size, 0, buf, room, len) }? {
        // SAFETY: `fits` says that there is room. Written first, because a slice is of bytes that are
        // something.
        let to = unsafe {
            buf.write_bytes(0, size);
            std::slice::from_raw_parts_mut(buf, size)
        };
        save(to)?;
    }
    Ok(())
}

/// The path of a file, from the caller's string.
///
/// # Safety
/// As [`ffi::c_str`].
unsafe fn path<'a>(p: *const c_char) -> Outcome<&'a Path> {
    // SAFETY: the caller's promise.
    let path: &CStr = unsafe { ffi::c_str(p, "path") }?;
    Ok(super::model::path(path))
}

/// Gives the caller the tokens of a session that `load` restores. It asks beforehand whether they fit.
///
/// # Safety
/// `tokens` is NULL or has room for `n_max` tokens, `n` is NULL or room for a number.
unsafe fn put_tokens(
    tokens: *mut rf_token,
    n_max: usize,
    n: *mut usize,
    load: impl FnOnce(&mut dyn FnMut(usize) -> crate::Result<()>) -> crate::Result<Vec<rf_token>>,
) -> Outcome {
    if n_max > 0 {
        // SAFETY: the caller's promise; asked for the NULL check alone.
        unsafe { out(tokens, "tokens") }?;
    }
    let mut needed = None;
    let mut accept = |found: usize| {
        if tokens.is_null() || found <= n_max {
            return Ok(());
        }
        needed = Some(found);
        Err(Error::InvalidArgument(String::new()))
    };
    let loaded = load(&mut accept);
    if let Some(found) = needed {
        if !n.is_null() {
            // SAFETY: the caller's promise.
            unsafe { out(n, "n_tokens") }?.set(found);
        }
        return Err(Failure::new(
            rf_status::BufferTooSmall,
            format!("the session has {found} tokens and there is room for {n_max}"),
        ));
    }
    let loaded = loaded?;
    if tokens.is_null() {
        if !n.is_null() {
            // SAFETY: the caller's promise.
            unsafe { out(n, "n_tokens") }?.set(loaded.len());
        }
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { put_slice(&loaded, tokens, n_max, n) }
}

/// The size of a context's state: what rf_state_get_data() writes.
///
/// @param context The context.
/// @param size    Receives the bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_state_get_size(context: *const rf_context, size: *mut usize) -> rf_status {
    // SAFETY: a live context and room for a size, says the header.
    unsafe {
        ffi::read("rf_state_get_size", context, |c| {
            out(size, "size")?.set(c.state_size()?);
            Ok(())
        })
    }
}

/// Writes the state of a context: all sequences in the KV cache, and the logits of the last
/// rf_decode(). Samplers and parameters are not part of it. Keys that wait to be moved (see
/// rf_memory_seq_add()) are moved first.
///
/// @param context The context.
/// @param data    Buffer for the state, or NULL to ask for its size.
/// @param size    Bytes of the buffer.
/// @param len     Receives the size of the state; may be NULL if data is not.
/// @return RF_STATUS_BUFFER_TOO_SMALL if the buffer does not take it all; nothing is written then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_state_get_data(
    context: *mut rf_context,
    data: *mut u8,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live context, a buffer of `size` bytes and room for a size, says the header.
    unsafe {
        ffi::write("rf_state_get_data", context, |c| {
            put_state(c.state_size()?, data, size, len, |to| c.state_get(to))
        })
    }
}

/// Restores a state that rf_state_get_data() wrote. The context may have another size than the one that it
/// was saved from. After a failure the context is as it was before.
///
/// @param context The context.
/// @param data    The state.
/// @param size    Its bytes.
/// @return RF_STATUS_FORMAT for what is no state, or one that is damaged or cut short;
///         RF_STATUS_UNSUPPORTED for one of a newer library; RF_STATUS_INVALID_ARGUMENT for one of another
///         model, of other types of the KV cache, of more sequences than the context has, or of a
///         single sequence; RF_STATUS_KV_FULL if its tokens do not fit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_state_set_data(
    context: *mut rf_context,
    data: *const u8,
    size: usize,
) -> rf_status {
    // SAFETY: a live context and `size` bytes, says the header.
    unsafe {
        ffi::write("rf_state_set_data", context, |c| {
            c.state_set(slice(data, size, "data")?)?;
            Ok(())
        })
    }
}

/// Writes the state of a context, and the tokens of a session, to a file. A file of this name is
/// replaced once the new one is whole.
///
/// @param context  The context.
/// @param path     The file.
/// @param tokens   Tokens that rf_state_load_file() gives back: usually all that are in the context.
/// @param n_tokens How many.
/// @return RF_STATUS_IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_state_save_file(
    context: *mut rf_context,
    path: *const c_char,
    tokens: *const rf_token,
    n_tokens: usize,
) -> rf_status {
    // SAFETY: a live context, a string and `n_tokens` tokens, says the header.
    unsafe {
        ffi::write("rf_state_save_file", context, |c| {
            Ok(c.state_save_file(self::path(path)?, slice(tokens, n_tokens, "tokens")?)?)
        })
    }
}

/// Restores a state that rf_state_save_file() wrote. After a failure the context is as it was before.
///
/// @param context    The context.
/// @param path       The file.
/// @param tokens     Receives the tokens of the session; NULL if they are not wanted.
/// @param n_max      How many there is room for.
/// @param n_tokens   Receives how many there are; may be NULL.
/// @return As rf_state_set_data(), RF_STATUS_IO, and RF_STATUS_BUFFER_TOO_SMALL if there is too little
///         room for the tokens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_state_load_file(
    context: *mut rf_context,
    path: *const c_char,
    tokens: *mut rf_token,
    n_max: usize,
    n_tokens: *mut usize,
) -> rf_status {
    // SAFETY: a live context, a string, room for `n_max` tokens and a number, says the header.
    unsafe {
        ffi::write("rf_state_load_file", context, |c| {
            let path = self::path(path)?;
            put_tokens(tokens, n_max, n_tokens, |accept| c.state_load_file(path, accept))
        })
    }
}

/// The size of the state of one sequence: what rf_state_seq_get_data() writes.
///
/// @param context The context.
/// @param seq_id  The sequence.
/// @param size    Receives the bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_state_seq_get_size(
    context: *const rf_context,
    seq_id: rf_seq_id,
    size: *mut usize,
) -> rf_status {
    // SAFETY: a live context and room for a size, says the header.
    unsafe {
        ffi::read("rf_state_seq_get_size", context, |c| {
            out(size, "size")?.set(c.state_seq_size(seq_id)?);
            Ok(())
        })
    }
}

/// Writes the state of one sequence: its tokens in the KV cache.
///
/// @param context The context.
/// @param seq_id  The sequence.
/// @param data    Buffer for the state, or NULL to ask for its size.
/// @param size    Bytes of the buffer.
/// @param len     Receives the size of the state; may be NULL if data is not.
/// @return RF_STATUS_BUFFER_TOO_SMALL if the buffer does not take it all; nothing is written then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_state_seq_get_data(
    context: *mut rf_context,
    seq_id: rf_seq_id,
    data: *mut u8,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live context, a buffer of `size` bytes and room for a size, says the header.
    unsafe {
        ffi::write("rf_state_seq_get_data", context, |c| {
            put_state(c.state_seq_size(seq_id)?, data, size, len, |to| c.state_seq_get(seq_id, to))
        })
    }
}

/// Restores a state that rf_state_seq_get_data() wrote, in place of the tokens of a sequence, which need not be
/// the one that was saved. Other sequences stay. After a failure the context is as it was before.
///
/// @param context     The context.
/// @param dest_seq_id The sequence that is replaced.
/// @param data        The state.
/// @param size        Its bytes.
/// @return As rf_state_set_data().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_state_seq_set_data(
    context: *mut rf_context,
    dest_seq_id: rf_seq_id,
    data: *const u8,
    size: usize,
) -> rf_status {
    // SAFETY: a live context and `size` bytes, says the header.
    unsafe {
        ffi::write("rf_state_seq_set_data", context, |c| {
            c.state_seq_set(dest_seq_id, slice(data, size, "data")?)?;
            Ok(())
        })
    }
}

/// Writes the state of one sequence, and its tokens, to a file. A file of this name is replaced once
/// the new one is whole.
///
/// @param context  The context.
/// @param path     The file.
/// @param seq_id   The sequence.
/// @param tokens   Tokens that rf_state_seq_load_file() gives back.
/// @param n_tokens How many.
/// @return RF_STATUS_IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_state_seq_save_file(
    context: *mut rf_context,
    path: *const c_char,
    seq_id: rf_seq_id,
    tokens: *const rf_token,
    n_tokens: usize,
) -> rf_status {
    // SAFETY: a live context, a string and `n_tokens` tokens, says the header.
    unsafe {
        ffi::write("rf_state_seq_save_file", context, |c| {
            Ok(c.state_seq_save_file(self::path(path)?, seq_id, slice(tokens, n_tokens, "tokens")?)?)
        })
    }
}

/// Restores a state that rf_state_seq_save_file() wrote, as rf_state_seq_set_data() does.
///
/// @param context     The context.
/// @param path        The file.
/// @param dest_seq_id The sequence that is replaced.
/// @param tokens      Receives the tokens; NULL if they are not wanted.
/// @param n_max       How many there is room for.
/// @param n_tokens    Receives how many there are; may be NULL.
/// @return As rf_state_load_file().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_state_seq_load_file(
    context: *mut rf_context,
    path: *const c_char,
    dest_seq_id: rf_seq_id,
    tokens: *mut rf_token,
    n_max: usize,
    n_tokens: *mut usize,
) -> rf_status {
    // SAFETY: a live context, a string, room for `n_max` tokens and a number, says the header.
    unsafe {
        ffi::write("rf_state_seq_load_file", context, |c| {
            let path = self::path(path)?;
            put_tokens(tokens, n_max, n_tokens, |accept| c.state_seq_load_file(path, dest_seq_id, accept))
        })
    }
}
