//! `rocmforge inspect`: what a GGUF file holds. Needs the format only, so it works on models that
//! this build cannot run.

use std::fmt::Write as _;

use rocmforge::gguf::{Array, File, TensorInfo, Value};
use serde_json::{Value as Json, json};

use crate::args::InspectArgs;
use crate::failure::Outcome;
use crate::output;

/// Characters of a string that the text form shows.
const SHOWN_CHARS: usize = 60;
/// Elements of an array that are shown.
const SHOWN_ITEMS: usize = 4;
/// Characters of a string in an array that are shown.
const SHOWN_ITEM_CHARS: usize = 16;

/// Runs the command.
pub fn run(args: &InspectArgs) -> Outcome {
    let file = File::open(&args.file)?;
    let out = if args.json {
        format!("{:#}\n", as_json(&file))
    } else {
        as_text(&file, &args.file.display().to_string())
    };
    output::write(out.as_bytes())
}

fn as_text(file: &File, name: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}: GGUF version {}, alignment {}",
        output::escaped(name.as_bytes()),
        file.version(),
        file.alignment()
    );
    let entries: Vec<(&str, Value)> = file.keys().collect();
    let width = entries.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    let _ = writeln!(out, "\nmetadata: {} keys", entries.len());
    for (key, value) in entries {
        let key = output::escaped(key.as_bytes());
        let _ = writeln!(out, "  {key:width$}  {:5}  {}", value.ty().name(), shown(&value, SHOWN_CHARS));
    }

    let n_bytes: u64 = file.tensors().map(|t| t.n_bytes() as u64).sum();
    let _ = writeln!(
        out,
        "\ntensors: {}, {} elements, {}",
        file.n_tensors(),
        output::grouped(file.tensors().map(|t| t.n_elements() as u64).sum()),
        output::bytes(n_bytes)
    );
    let width = file.tensors().map(|t| t.name.chars().count()).max().unwrap_or(0);
    for t in file.tensors() {
        let name = output::escaped(t.name.as_bytes());
        let dims: Vec<String> = dims(&t).iter().map(ToString::to_string).collect();
        let dims = format!("[{}]", dims.join(", "));
        let bytes = output::bytes(t.n_bytes() as u64);
        let _ = writeln!(out, "  {name:width$}  {:7}  {dims:16}  {bytes:>10}", t.ty.name());
    }
    out
}

fn dims<'a>(t: &'a TensorInfo<'_>) -> &'a [u64] {
    t.dims.get(..t.n_dims as usize).unwrap_or(&t.dims)
}

/// A value in one line; of a string, at most `n` characters.
fn shown(value: &Value<'_>, n: usize) -> String {
    match value {
        Value::U8(v) => v.to_string(),
        Value::I8(v) => v.to_string(),
        Value::U16(v) => v.to_string(),
        Value::I16(v) => v.to_string(),
        Value::U32(v) => v.to_string(),
        Value::I32(v) => v.to_string(),
        Value::U64(v) => v.to_string(),
        Value::I64(v) => v.to_string(),
        // The Debug form is the shortest that reads back as the same number, 1e-5 as well as 0.5.
        Value::F32(v) => format!("{v:?}"),
        Value::F64(v) => format!("{v:?}"),
        Value::Bool(v) => v.to_string(),
        Value::Str(s) => output::quoted(s, n),
        Value::Array(a) => shown_array(a),
    }
}

fn shown_array(a: &Array<'_>) -> String {
    let mut items: Vec<String> = a.values().take(SHOWN_ITEMS).map(|v| shown(&v, SHOWN_ITEM_CHARS)).collect();
    if a.len() > SHOWN_ITEMS {
        items.push("...".into());
    }
    format!("{} x {}: [{}]", a.len(), a.elem_type().name(), items.join(", "))
}

fn as_json(file: &File) -> Json {
    let metadata: serde_json::Map<String, Json> =
        file.keys().map(|(key, value)| (key.to_owned(), value_json(&value))).collect();
    let tensors: Vec<Json> = file
        .tensors()
        .map(|t| json!({ "name": t.name, "type": t.ty.name(), "dims": dims(&t), "bytes": t.n_bytes() }))
        .collect();
    json!({
        "version": file.version(),
        "alignment": file.alignment(),
        "metadata": metadata,
        "tensors": tensors,
    })
}

/// A value with its type; of an array, its length and its first elements. Numbers that JSON does not
/// have are null.
fn value_json(value: &Value<'_>) -> Json {
    match value {
        Value::Array(a) => {
            let first: Vec<Json> = a.values().take(SHOWN_ITEMS).map(|v| plain_json(&v)).collect();
            json!({ "type": "array", "elem": a.elem_type().name(), "len": a.len(), "first": first })
        }
        v => json!({ "type": v.ty().name(), "value": plain_json(v) }),
    }
}

fn plain_json(value: &Value<'_>) -> Json {
    match value {
        Value::U8(v) => json!(v),
        Value::I8(v) => json!(v),
        Value::U16(v) => json!(v),
        Value::I16(v) => json!(v),
        Value::U32(v) => json!(v),
        Value::I32(v) => json!(v),
        Value::U64(v) => json!(v),
        Value::I64(v) => json!(v),
        // By its shortest decimal form, 1e-5 and not the 9.999999747378752e-6 of the same bits.
        Value::F32(v) => json!(v.to_string().parse::<f64>().ok().filter(|v| v.is_finite())),
        Value::F64(v) => json!(v),
        Value::Bool(v) => json!(v),
        Value::Str(s) => json!(s),
        Value::Array(_) => value_json(value),
    }
}
