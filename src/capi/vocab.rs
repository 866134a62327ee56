//! Vocabularies: what tokens are, and text to tokens and back.

use std::ffi::c_char;
use std::sync::Arc;

use super::ffi::{self, Failure, Flag, Opaque, Outcome, out, put_slice, put_str, slice};
use super::rf_status;
use crate::Model;
use crate::tokenizer::{Vocab, VocabKind};

/// A token: 0 to rf_vocab_n_tokens() - 1.
pub type rf_token = i32;

/// No token: where a vocabulary lacks one.
pub const RF_TOKEN_NULL: rf_token = -1;

/// The vocabulary of a model, of which it is a part: it is not freed, and ends with
/// rf_model_free(). Any number of threads may use it at a time.
pub struct rf_vocab {
    _private: [u8; 0],
}

// SAFETY: `Model` is Sync.
unsafe impl Opaque for rf_vocab {
    type Inner = Arc<Model>;
    const NAME: &'static str = "vocab";
}

/// How a vocabulary makes tokens of text.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum rf_vocab_type {
    /// Not at all: the model takes token numbers only.
    None = 0,
    /// SentencePiece: byte-level pairs by score, with byte fallback.
    Spm = 1,
    /// Byte pair encoding, by merge rank.
    Bpe = 2,
    /// WordPiece.
    Wpm = 3,
    /// SentencePiece unigram, the best sum of scores.
    Ugm = 4,
}

/// What kind of token one is: bits.
#[repr(C)]
pub enum rf_token_attr {
    /// None is set.
    Undefined = 0,
    /// Stands for what has no token.
    Unknown = 1,
    /// Not in use.
    Unused = 2,
    /// Part of text.
    Normal = 4,
    /// Has a meaning and no text: printed on request only.
    Control = 8,
    /// Added to the vocabulary; found in text before anything else.
    UserDefined = 16,
    /// One byte.
    Byte = 32,
    /// Takes in the spaces before it.
    Lstrip = 128,
    /// Takes in the spaces after it.
    Rstrip = 256,
}

/// A number or flag of the vocabulary to the caller.
///
/// # Safety
/// `vocab` is NULL or alive, `place` NULL or room for a `T`.
unsafe fn give<T>(
    name: &'static str,
    vocab: *const rf_vocab,
    place: *mut T,
    get: impl FnOnce(&Vocab) -> Outcome<T>,
) -> rf_status {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::read(name, vocab, |m| {
            let place = out(place, "the place for the result")?;
            place.set(get(m.vocab())?);
            Ok(())
        })
    }
}

/// An error unless `token` is one of the vocabulary.
fn check(vocab: &Vocab, token: rf_token) -> Outcome {
    if token < 0 || token as usize >= vocab.n_tokens() {
        return Err(Failure::invalid(format!(
            "token {token} is out of range: the vocabulary has {} tokens",
            vocab.n_tokens()
        )));
    }
    Ok(())
}

/// How a vocabulary makes tokens of text.
///
/// @param vocab The vocabulary.
/// @param type  Receives the type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_get_type(vocab: *const rf_vocab, r#type: *mut rf_vocab_type) -> rf_status {
    // SAFETY: a live vocabulary and room for the type, says the header.
    unsafe {
        give("rf_vocab_get_type", vocab, r#type, |v| {
            Ok(match v.kind() {
                VocabKind::None => rf_vocab_type::None,
                VocabKind::Spm => rf_vocab_type::Spm,
                VocabKind::Bpe => rf_vocab_type::Bpe,
                VocabKind::Wpm => rf_vocab_type::Wpm,
                VocabKind::Ugm => rf_vocab_type::Ugm,
            })
        })
    }
}

/// The number of tokens in a vocabulary.
///
/// @param vocab    The vocabulary.
/// @param n_tokens Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_n_tokens(vocab: *const rf_vocab, n_tokens: *mut i32) -> rf_status {
    // SAFETY: a live vocabulary and room for a number, says the header.
    unsafe {
        give("rf_vocab_n_tokens", vocab, n_tokens, |v| Ok(i32::try_from(v.n_tokens()).unwrap_or(i32::MAX)))
    }
}

/// The text of a token as the model's file has it, in the vocabulary's own spelling. For what it
/// prints as, see rf_token_to_piece().
///
/// @param vocab The vocabulary.
/// @param token The token; RF_STATUS_INVALID_ARGUMENT if out of range.
/// @param buf   Buffer for the text, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_get_text(
    vocab: *const rf_vocab,
    token: rf_token,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live vocabulary and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_vocab_get_text", vocab, |m| {
            check(m.vocab(), token)?;
            put_str(m.vocab().text(token).unwrap_or_default().as_bytes(), buf, size, len)
        })
    }
}

/// The score of a token; 0 where the model's file has none.
///
/// @param vocab The vocabulary.
/// @param token The token; RF_STATUS_INVALID_ARGUMENT if out of range.
/// @param score Receives the score.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_get_score(
    vocab: *const rf_vocab,
    token: rf_token,
    score: *mut f32,
) -> rf_status {
    // SAFETY: a live vocabulary and room for a number, says the header.
    unsafe {
        give("rf_vocab_get_score", vocab, score, |v| {
            check(v, token)?;
            Ok(v.score(token).unwrap_or(0.0))
        })
    }
}

/// The attributes of a token.
///
/// @param vocab The vocabulary.
/// @param token The token; RF_STATUS_INVALID_ARGUMENT if out of range.
/// @param attr  Receives the attributes: bits of rf_token_attr.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_get_attr(
    vocab: *const rf_vocab,
    token: rf_token,
    attr: *mut u32,
) -> rf_status {
    // SAFETY: a live vocabulary and room for a number, says the header.
    unsafe {
        give("rf_vocab_get_attr", vocab, attr, |v| {
            check(v, token)?;
            Ok(v.attr(token).unwrap_or_default().0)
        })
    }
}

/// Whether a token ends generation (end of text, of a turn, ...).
///
/// @param vocab  The vocabulary.
/// @param token  The token; RF_STATUS_INVALID_ARGUMENT if out of range.
/// @param is_eog Receives the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_is_eog(
    vocab: *const rf_vocab,
    token: rf_token,
    is_eog: *mut bool,
) -> rf_status {
    // SAFETY: a live vocabulary and room for a flag, says the header.
    unsafe {
        give("rf_vocab_is_eog", vocab, is_eog, |v| {
            check(v, token)?;
            Ok(v.is_eog(token))
        })
    }
}

/// Whether a token is a control token: one that has a meaning and no text.
///
/// @param vocab      The vocabulary.
/// @param token      The token; RF_STATUS_INVALID_ARGUMENT if out of range.
/// @param is_control Receives the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_is_control(
    vocab: *const rf_vocab,
    token: rf_token,
    is_control: *mut bool,
) -> rf_status {
    // SAFETY: a live vocabulary and room for a flag, says the header.
    unsafe {
        give("rf_vocab_is_control", vocab, is_control, |v| {
            check(v, token)?;
            Ok(v.is_control(token))
        })
    }
}

/// The token with a given text, in the vocabulary's own spelling.
///
/// @param vocab    The vocabulary.
/// @param text     The text, UTF-8.
/// @param text_len Its bytes.
/// @param token    Receives the token, RF_TOKEN_NULL if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_find(
    vocab: *const rf_vocab,
    text: *const c_char,
    text_len: usize,
    token: *mut rf_token,
) -> rf_status {
    // SAFETY: a live vocabulary, a text of `text_len` bytes and room for a token, says the header.
    unsafe {
        give("rf_vocab_find", vocab, token, |v| {
            let text = slice(text.cast::<u8>(), text_len, "text")?;
            // Every token's text is UTF-8, so nothing else can be found.
            let text = std::str::from_utf8(text).ok();
            Ok(text.and_then(|t| v.find(t)).unwrap_or(RF_TOKEN_NULL))
        })
    }
}

/// Whether rf_tokenize() with add_special puts the token that begins a text in front.
///
/// @param vocab   The vocabulary.
/// @param add_bos Receives the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_get_add_bos(vocab: *const rf_vocab, add_bos: *mut bool) -> rf_status {
    // SAFETY: a live vocabulary and room for a flag, says the header.
    unsafe { give("rf_vocab_get_add_bos", vocab, add_bos, |v| Ok(v.add_bos())) }
}

/// Whether rf_tokenize() with add_special puts the token that ends a text at the end.
///
/// @param vocab   The vocabulary.
/// @param add_eos Receives the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_get_add_eos(vocab: *const rf_vocab, add_eos: *mut bool) -> rf_status {
    // SAFETY: a live vocabulary and room for a flag, says the header.
    unsafe { give("rf_vocab_get_add_eos", vocab, add_eos, |v| Ok(v.add_eos())) }
}

/// The token that begins a text.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_bos(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_bos", vocab, token, |v| Ok(v.bos().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that ends a text.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_eos(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_eos", vocab, token, |v| Ok(v.eos().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that ends a turn.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_eot(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_eot", vocab, token, |v| Ok(v.eot().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that stands for what has no token.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_unk(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_unk", vocab, token, |v| Ok(v.unk().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that separates sentences.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_sep(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_sep", vocab, token, |v| Ok(v.sep().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that is a newline.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_nl(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_nl", vocab, token, |v| Ok(v.nl().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that pads.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_pad(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_pad", vocab, token, |v| Ok(v.pad().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that stands for a masked word.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_mask(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_mask", vocab, token, |v| Ok(v.mask().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that comes before the prefix in infilling.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_fim_pre(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_fim_pre", vocab, token, |v| Ok(v.fim_pre().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that comes before the suffix in infilling.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_fim_suf(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_fim_suf", vocab, token, |v| Ok(v.fim_suf().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that comes before the middle in infilling.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_fim_mid(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_fim_mid", vocab, token, |v| Ok(v.fim_mid().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that pads in infilling.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_fim_pad(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_fim_pad", vocab, token, |v| Ok(v.fim_pad().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that comes before a repository's name in infilling.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_fim_rep(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_fim_rep", vocab, token, |v| Ok(v.fim_rep().unwrap_or(RF_TOKEN_NULL))) }
}

/// The token that comes before a file in infilling.
///
/// @param vocab The vocabulary.
/// @param token Receives the token, RF_TOKEN_NULL if the vocabulary has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_fim_sep(vocab: *const rf_vocab, token: *mut rf_token) -> rf_status {
    // SAFETY: a live vocabulary and room for a token, says the header.
    unsafe { give("rf_vocab_fim_sep", vocab, token, |v| Ok(v.fim_sep().unwrap_or(RF_TOKEN_NULL))) }
}

/// The tokens of a text.
///
/// @param vocab         The vocabulary.
/// @param text          The text; need not be valid UTF-8 and may hold NULs.
/// @param text_len      Its bytes.
/// @param tokens        Array for the tokens, or NULL to ask for their number.
/// @param n_tokens_max  Tokens that the array has room for.
/// @param add_special   Add the tokens that begin and end a text, as the model wants them.
/// @param parse_special Read control tokens written out in the text as such, not as text. Leave it
///                      off for text that others wrote.
/// @param n_tokens      Receives the number of tokens; may be NULL if tokens is not.
/// @return RF_STATUS_BUFFER_TOO_SMALL if the array is too small (nothing is written to it),
///         RF_STATUS_UNSUPPORTED if the model has no vocabulary.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_tokenize(
    vocab: *const rf_vocab,
    text: *const c_char,
    text_len: usize,
    tokens: *mut rf_token,
    n_tokens_max: usize,
    add_special: Flag,
    parse_special: Flag,
    n_tokens: *mut usize,
) -> rf_status {
    // SAFETY: a live vocabulary, a text of `text_len` bytes and an array of `n_tokens_max`, says the
    // header.
    unsafe {
        ffi::read("rf_tokenize", vocab, |m| {
            let text = slice(text.cast::<u8>(), text_len, "text")?;
            let found = m.vocab().tokenize(text, add_special.get(), parse_special.get())?;
            put_slice(&found, tokens, n_tokens_max, n_tokens)
        })
    }
}

/// What a token prints as. It may be part of a character: to stream text, use rf_detokenizer_new().
///
/// @param vocab   The vocabulary.
/// @param token   The token; RF_STATUS_INVALID_ARGUMENT if out of range.
/// @param special Print control tokens too; otherwise they print as nothing.
/// @param buf     Buffer for the bytes, which may hold NULs, or NULL to ask for their number.
/// @param size    Bytes of the buffer.
/// @param len     Receives the length without the final NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_token_to_piece(
    vocab: *const rf_vocab,
    token: rf_token,
    special: Flag,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live vocabulary and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_token_to_piece", vocab, |m| {
            put_str(m.vocab().token_to_piece(token, special.get())?, buf, size, len)
        })
    }
}

/// The text of tokens: what rf_tokenize() made them of, as far as the vocabulary keeps it.
///
/// @param vocab           The vocabulary.
/// @param tokens          The tokens.
/// @param n_tokens        Their number.
/// @param remove_special  Leave out the tokens that rf_tokenize() adds at the beginning and end.
/// @param unparse_special Write control tokens out; otherwise they are left out.
/// @param buf             Buffer for the text, which may hold NULs, or NULL to ask for its length.
/// @param size            Bytes of the buffer.
/// @param len             Receives the length without the final NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_detokenize(
    vocab: *const rf_vocab,
    tokens: *const rf_token,
    n_tokens: usize,
    remove_special: Flag,
    unparse_special: Flag,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live vocabulary, `n_tokens` tokens and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_detokenize", vocab, |m| {
            let tokens = slice(tokens, n_tokens, "tokens")?;
            let text = m.vocab().detokenize(tokens, remove_special.get(), unparse_special.get())?;
            put_str(&text, buf, size, len)
        })
    }
}

/// Why the last call on this vocabulary that failed failed, on whatever thread; empty if none did.
///
/// @param vocab The vocabulary.
/// @param buf   Buffer for the message, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_vocab_last_error(
    vocab: *const rf_vocab,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live vocabulary and a buffer of `size` bytes, says the header.
    unsafe { ffi::handle_error("rf_vocab_last_error", vocab, buf, size, len) }
}
