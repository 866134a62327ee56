//! Chat templates: messages to the text that a model was trained on.

use std::ffi::c_char;

use super::ffi::{self, Failure, Flag, Outcome, put_str, slice, utf8};
use super::{rf_model, rf_status};
use crate::Model;
use crate::chat::{Message, Template};

/// A message of a conversation.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_chat_message {
    /// Who speaks: "system", "user", "assistant", or what else the template knows. UTF-8.
    pub role: *const c_char,
    /// What they say. UTF-8.
    pub content: *const c_char,
}

/// The metadata key of a template.
fn key(name: Option<&str>) -> String {
    match name {
        None => "tokenizer.chat_template".into(),
        Some(name) => format!("tokenizer.chat_template.{name}"),
    }
}

fn source<'a>(model: &'a Model, name: Option<&str>) -> Outcome<&'a str> {
    let key = key(name);
    model.file().str(&key)?.ok_or_else(|| {
        Failure::new(
            rf_status::NotFound,
            format!("the model has no chat template ({key}); give one of your own"),
        )
    })
}

fn object(json: &str) -> Outcome<serde_json::Value> {
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|e| Failure::invalid(format!("extra_json: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(Failure::invalid("extra_json is not a JSON object")) }
}

/// The chat template that comes with a model: its source, in Jinja.
///
/// @param model The model.
/// @param name  Which one, of a model that has several ("tool_use"); NULL for the main one.
/// @param buf   Buffer for the source, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
/// @return RF_STATUS_NOT_FOUND if the model has no such template.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_chat_template(
    model: *const rf_model,
    name: *const c_char,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live model, a string or NULL and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_model_chat_template", model, |m| {
            let name = if name.is_null() { None } else { Some(utf8(name, "name")?) };
            put_str(source(&m.model, name)?.as_bytes(), buf, size, len)
        })
    }
}

/// The text of a conversation, to be tokenized with parse_special, and without add_special, because
/// templates write the token that begins a text themselves.
///
/// @param model         The model, whose beginning and end of text the template may write.
/// @param tmpl          The template in Jinja; NULL for the model's own.
/// @param messages      The messages, in order.
/// @param n_messages    Their number.
/// @param add_assistant End with what begins an answer of the assistant.
/// @param extra_json    More variables for the template ("tools", "enable_thinking", ...), as a JSON
///                      object; NULL for none.
/// @param buf           Buffer for the text, or NULL to ask for its length.
/// @param size          Bytes of the buffer.
/// @param len           Receives the length without the NUL; may be NULL if buf is not.
/// @return RF_STATUS_NOT_FOUND if tmpl is NULL and the model has no template; the error of the
///         template otherwise, such as one that it raises for roles that it does not know.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_chat_apply_template(
    model: *const rf_model,
    tmpl: *const c_char,
    messages: *const rf_chat_message,
    n_messages: usize,
    add_assistant: Flag,
    extra_json: *const c_char,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live model, a string or NULL, `n_messages` messages of two strings each and a buffer
    // of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_chat_apply_template", model, |m| {
            let mut list = Vec::new();
            for (i, message) in slice(messages, n_messages, "messages")?.iter().enumerate() {
                list.push(Message {
                    role: utf8(message.role, &format!("role of message {i}"))?,
                    content: utf8(message.content, &format!("content of message {i}"))?,
                });
            }
            let tmpl = if tmpl.is_null() { source(&m.model, None)? } else { utf8(tmpl, "tmpl")? };
            let extra =
                if extra_json.is_null() { None } else { Some(object(utf8(extra_json, "extra_json")?)?) };
            let vocab = m.model.vocab();
            let text = |token| vocab.text(token).unwrap_or_default();
            let (bos, eos) = (vocab.bos().map_or("", text), vocab.eos().map_or("", text));
            let text = Template::new(tmpl)?.render(&list, add_assistant.get(), bos, eos, extra)?;
            put_str(text.as_bytes(), buf, size, len)
        })
    }
}
