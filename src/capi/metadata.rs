//! The metadata of a model's file.

use std::ffi::c_char;
use std::fmt::Write;

use super::ffi::{self, Failure, Outcome, out, put_str, utf8};
use super::{rf_model, rf_status};
use crate::Model;
use crate::gguf::{Array, Value, ValueType};

/// The type of a metadata value, with the numbers of the GGUF specification.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum rf_meta_type {
    /// 8-bit unsigned integer.
    U8 = 0,
    /// 8-bit signed integer.
    I8 = 1,
    /// 16-bit unsigned integer.
    U16 = 2,
    /// 16-bit signed integer.
    I16 = 3,
    /// 32-bit unsigned integer.
    U32 = 4,
    /// 32-bit signed integer.
    I32 = 5,
    /// 32-bit floating point number.
    F32 = 6,
    /// True or false.
    Bool = 7,
    /// A string in UTF-8.
    Str = 8,
    /// An array of values of one type.
    Array = 9,
    /// 64-bit unsigned integer.
    U64 = 10,
    /// 64-bit signed integer.
    I64 = 11,
    /// 64-bit floating point number.
    F64 = 12,
}

impl From<ValueType> for rf_meta_type {
    fn from(ty: ValueType) -> Self {
        match ty {
            ValueType::U8 => rf_meta_type::U8,
            ValueType::I8 => rf_meta_type::I8,
            ValueType::U16 => rf_meta_type::U16,
            ValueType::I16 => rf_meta_type::I16,
            ValueType::U32 => rf_meta_type::U32,
            ValueType::I32 => rf_meta_type::I32,
            ValueType::F32 => rf_meta_type::F32,
            ValueType::Bool => rf_meta_type::Bool,
            ValueType::Str => rf_meta_type::Str,
            ValueType::Array => rf_meta_type::Array,
            ValueType::U64 => rf_meta_type::U64,
            ValueType::I64 => rf_meta_type::I64,
            ValueType::F64 => rf_meta_type::F64,
        }
    }
}

fn value<'a>(model: &'a Model, key: &str) -> Outcome<Value<'a>> {
    let value = model.file().get(key);
    value.ok_or_else(|| Failure::new(rf_status::NotFound, format!("the model has no metadata key {key:?}")))
}

fn nth(model: &Model, index: usize) -> Outcome<(&str, Value<'_>)> {
    model.file().keys().nth(index).ok_or_else(|| {
        let n = model.file().keys().count();
        Failure::new(
            rf_status::NotFound,
            format!("there is no metadata key {index}: the model has {n}, from 0"),
        )
    })
}

/// Writes a value as JSON would have it, but a string on its own without quotes.
fn text(value: Value<'_>) -> String {
    match value {
        Value::Str(s) => s.to_owned(),
        other => {
            let mut text = String::new();
            append(&mut text, other);
            text
        }
    }
}

fn append(to: &mut String, value: Value<'_>) {
    // Writing to a string cannot fail.
    let _ = match value {
        Value::U8(v) => write!(to, "{v}"),
        Value::I8(v) => write!(to, "{v}"),
        Value::U16(v) => write!(to, "{v}"),
        Value::I16(v) => write!(to, "{v}"),
        Value::U32(v) => write!(to, "{v}"),
        Value::I32(v) => write!(to, "{v}"),
        Value::U64(v) => write!(to, "{v}"),
        Value::I64(v) => write!(to, "{v}"),
        Value::F32(v) => write!(to, "{v}"),
        Value::F64(v) => write!(to, "{v}"),
        Value::Bool(v) => write!(to, "{v}"),
        Value::Str(v) => write!(to, "{}", serde_json::Value::from(v)),
        Value::Array(v) => {
            append_array(to, v);
            Ok(())
        }
    };
}

fn append_array(to: &mut String, array: Array<'_>) {
    to.push('[');
    for (i, value) in array.values().enumerate() {
        if i > 0 {
            to.push_str(", ");
        }
        append(to, value);
    }
    to.push(']');
}

fn wrong_type(key: &str, value: Value<'_>, wanted: &str) -> Failure {
    Failure::invalid(format!("metadata key {key:?} is of type {}, not {wanted}", value.ty().name()))
}

/// The number of metadata keys of a model.
///
/// @param model  The model.
/// @param n_keys Receives the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_meta_count(model: *const rf_model, n_keys: *mut usize) -> rf_status {
    // SAFETY: a live model and room for a size, says the header.
    unsafe {
        ffi::read("rf_model_meta_count", model, |m| {
            out(n_keys, "n_keys")?.set(m.model.file().keys().count());
            Ok(())
        })
    }
}

/// A metadata key by its place in the file.
///
/// @param model The model.
/// @param index 0 to rf_model_meta_count() - 1; RF_STATUS_NOT_FOUND otherwise.
/// @param buf   Buffer for the key, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_meta_key_by_index(
    model: *const rf_model,
    index: usize,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live model and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_model_meta_key_by_index", model, |m| {
            put_str(nth(&m.model, index)?.0.as_bytes(), buf, size, len)
        })
    }
}

/// A metadata value as text, by its place in the file. See rf_model_meta_val_str().
///
/// @param model The model.
/// @param index 0 to rf_model_meta_count() - 1; RF_STATUS_NOT_FOUND otherwise.
/// @param buf   Buffer for the text, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_meta_val_str_by_index(
    model: *const rf_model,
    index: usize,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live model and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_model_meta_val_str_by_index", model, |m| {
            put_str(text(nth(&m.model, index)?.1).as_bytes(), buf, size, len)
        })
    }
}

/// A metadata value as text: strings as they are, numbers in decimal, arrays as in JSON. Arrays can
/// be long (a vocabulary: megabytes); rf_model_meta_array() tells their length.
///
/// @param model The model.
/// @param key   The key, such as "general.name"; RF_STATUS_NOT_FOUND if the model lacks it.
/// @param buf   Buffer for the text, or NULL to ask for its length.
/// @param size  Bytes of the buffer.
/// @param len   Receives the length without the NUL; may be NULL if buf is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_meta_val_str(
    model: *const rf_model,
    key: *const c_char,
    buf: *mut c_char,
    size: usize,
    len: *mut usize,
) -> rf_status {
    // SAFETY: a live model, a string and a buffer of `size` bytes, says the header.
    unsafe {
        ffi::read("rf_model_meta_val_str", model, |m| {
            put_str(text(value(&m.model, utf8(key, "key")?)?).as_bytes(), buf, size, len)
        })
    }
}

/// The type of a metadata value.
///
/// @param model The model.
/// @param key   The key; RF_STATUS_NOT_FOUND if the model lacks it.
/// @param type  Receives the type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_meta_get_type(
    model: *const rf_model,
    key: *const c_char,
    r#type: *mut rf_meta_type,
) -> rf_status {
    // SAFETY: a live model, a string and room for the type, says the header.
    unsafe {
        ffi::read("rf_model_meta_get_type", model, |m| {
            let place = out(r#type, "type")?;
            place.set(value(&m.model, utf8(key, "key")?)?.ty().into());
            Ok(())
        })
    }
}

/// A metadata value that is a non-negative integer of any type.
///
/// @param model The model.
/// @param key   The key; RF_STATUS_NOT_FOUND if the model lacks it, RF_STATUS_INVALID_ARGUMENT if
///              its value is something else.
/// @param number Receives the value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_meta_u64(
    model: *const rf_model,
    key: *const c_char,
    number: *mut u64,
) -> rf_status {
    // SAFETY: a live model, a string and room for a number, says the header.
    unsafe {
        ffi::read("rf_model_meta_u64", model, |m| {
            let (place, key) = (out(number, "number")?, utf8(key, "key")?);
            let value = value(&m.model, key)?;
            place.set(value.integer().ok_or_else(|| wrong_type(key, value, "a non-negative integer"))?);
            Ok(())
        })
    }
}

/// A metadata value that is an integer of any type that fits 64 bits with a sign.
///
/// @param model The model.
/// @param key   The key; RF_STATUS_NOT_FOUND if the model lacks it, RF_STATUS_INVALID_ARGUMENT if
///              its value is something else.
/// @param number Receives the value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_meta_i64(
    model: *const rf_model,
    key: *const c_char,
    number: *mut i64,
) -> rf_status {
    // SAFETY: a live model, a string and room for a number, says the header.
    unsafe {
        ffi::read("rf_model_meta_i64", model, |m| {
            let (place, key) = (out(number, "number")?, utf8(key, "key")?);
            let value = value(&m.model, key)?;
            place.set(value.integer().ok_or_else(|| wrong_type(key, value, "an integer"))?);
            Ok(())
        })
    }
}

/// A metadata value that is a floating point number of either width.
///
/// @param model The model.
/// @param key   The key; RF_STATUS_NOT_FOUND if the model lacks it, RF_STATUS_INVALID_ARGUMENT if
///              its value is something else.
/// @param number Receives the value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_meta_f64(
    model: *const rf_model,
    key: *const c_char,
    number: *mut f64,
) -> rf_status {
    // SAFETY: a live model, a string and room for a number, says the header.
    unsafe {
        ffi::read("rf_model_meta_f64", model, |m| {
            let (place, key) = (out(number, "number")?, utf8(key, "key")?);
            place.set(match value(&m.model, key)? {
                Value::F32(v) => v.into(),
                Value::F64(v) => v,
                other => return Err(wrong_type(key, other, "a floating point number")),
            });
            Ok(())
        })
    }
}

/// A metadata value that is true or false.
///
/// @param model The model.
/// @param key   The key; RF_STATUS_NOT_FOUND if the model lacks it, RF_STATUS_INVALID_ARGUMENT if
///              its value is something else.
/// @param flag  Receives the value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_meta_bool(
    model: *const rf_model,
    key: *const c_char,
    flag: *mut bool,
) -> rf_status {
    // SAFETY: a live model, a string and room for a flag, says the header.
    unsafe {
        ffi::read("rf_model_meta_bool", model, |m| {
            let (place, key) = (out(flag, "flag")?, utf8(key, "key")?);
            match value(&m.model, key)? {
                Value::Bool(v) => place.set(v),
                other => return Err(wrong_type(key, other, "a boolean")),
            }
            Ok(())
        })
    }
}

/// The type and number of elements of a metadata value that is an array.
///
/// @param model     The model.
/// @param key       The key; RF_STATUS_NOT_FOUND if the model lacks it, RF_STATUS_INVALID_ARGUMENT
///                  if its value is something else.
/// @param elem_type Receives the type of the elements.
/// @param n_elems   Receives their number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_model_meta_array(
    model: *const rf_model,
    key: *const c_char,
    elem_type: *mut rf_meta_type,
    n_elems: *mut usize,
) -> rf_status {
    // SAFETY: a live model, a string, room for a type and a size, says the header.
    unsafe {
        ffi::read("rf_model_meta_array", model, |m| {
            let (ty, n) = (out(elem_type, "elem_type")?, out(n_elems, "n_elems")?);
            let key = utf8(key, "key")?;
            match value(&m.model, key)? {
                Value::Array(array) => {
                    ty.set(array.elem_type().into());
                    n.set(array.len());
                }
                other => return Err(wrong_type(key, other, "an array")),
            }
            Ok(())
        })
    }
}
