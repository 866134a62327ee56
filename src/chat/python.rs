//! Where Jinja2 in Python and MiniJinja differ: how values print, and what transformers adds.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Output, State, Value};
use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};
use std::fmt::Write as _;
use std::io;

/// Prints a value as Python's `str` does: `True`, `None`, `['a', 1]`.
pub fn format(out: &mut Output<'_>, _state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::String | ValueKind::Number => write!(out, "{value}").map_err(Error::from),
        _ => out.write_str(&string(value)).map_err(Error::from),
    }
}

/// The filter `string`.
pub fn string(value: &Value) -> String {
    match value.as_str() {
        Some(s) => s.to_string(),
        None => {
            let mut out = String::new();
            repr(value, &mut out, 0);
            out
        }
    }
}

/// Nesting beyond this prints as `...`; values come from JSON and templates, which may be deep.
const MAX_NESTING: usize = 64;

fn repr(value: &Value, out: &mut String, depth: usize) {
    let items = |out: &mut String, value: &Value| {
        for (i, item) in value.try_iter().into_iter().flatten().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            repr(&item, out, depth + 1);
            if value.kind() == ValueKind::Map {
                out.push_str(": ");
                repr(&value.get_item(&item).unwrap_or_default(), out, depth + 1);
            }
        }
    };
    match value.kind() {
        _ if depth > MAX_NESTING => out.push_str("..."),
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            items(out, value);
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            items(out, value);
            out.push('}');
        }
        _ => {
            // Writing to a string cannot fail.
            let _ = write!(out, "{value}");
        }
    }
}

/// A Python string literal: in single quotes, unless it has those and no double ones.
fn quote(s: &str, out: &mut String) {
    let mark = if s.contains('\'') && !s.contains('"') { '"' } else { '\'' };
    out.push(mark);
    for c in s.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == mark => out.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(mark);
}

/// The filter `tojson` of transformers: `json.dumps` without escapes for HTML. Takes `indent`,
/// `separators`, `sort_keys` and `ensure_ascii`.
pub fn tojson(value: &Value, indent: Option<Value>, args: Kwargs) -> Result<Value, Error> {
    let bad = |what: String| Error::new(ErrorKind::InvalidOperation, format!("tojson: {what}"));
    let indent = indent.or(args.get("indent")?).filter(|v| !v.is_none());
    let indent = match indent {
        None => None,
        Some(v) if v.kind() == ValueKind::String => v.as_str().map(str::to_string),
        Some(v) => Some(" ".repeat(usize::try_from(v).map_err(|e| bad(e.to_string()))?.min(64))),
    };
    let separators: Option<Vec<String>> = args.get("separators")?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(bad("separators must be two strings".into())),
        None => (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()),
    };
    let sort_keys = args.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let ascii = args.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    args.assert_all_used()?;

    let mut json = serde_json::to_value(value).map_err(|e| bad(e.to_string()))?;
    if sort_keys {
        json.sort_all_objects();
    }
    let mut out = Vec::new();
    let layout = Layout { item, key, indent, ascii, depth: 0, empty: true };
    json.serialize(&mut Serializer::with_formatter(&mut out, layout)).map_err(|e| bad(e.to_string()))?;
    String::from_utf8(out).map(Value::from).map_err(|e| bad(e.to_string()))
}

/// The layout of `json.dumps`.
struct Layout {
    item: String,
    key: String,
    indent: Option<String>,
    ascii: bool,
    depth: usize,
    /// Whether the container at hand has no members yet.
    empty: bool,
}

impl Layout {
    fn open<W: io::Write + ?Sized>(&mut self, w: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        w.write_all(bracket)
    }

    fn close<W: io::Write + ?Sized>(&mut self, w: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty {
            self.new_line(w)?;
        }
        self.empty = false;
        w.write_all(bracket)
    }

    fn member<W: io::Write + ?Sized>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        if !first {
            w.write_all(self.item.as_bytes())?;
        }
        self.new_line(w)
    }

    fn new_line<W: io::Write + ?Sized>(&self, w: &mut W) -> io::Result<()> {
        let Some(indent) = &self.indent else { return Ok(()) };
        w.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| w.write_all(indent.as_bytes()))
    }
}

impl Formatter for Layout {
    fn begin_array<W: io::Write + ?Sized>(&mut self, w: &mut W) -> io::Result<()> {
        self.open(w, b"[")
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, w: &mut W) -> io::Result<()> {
        self.close(w, b"]")
    }

    fn begin_array_value<W: io::Write + ?Sized>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.member(w, first)
    }

    fn end_array_value<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.empty = false;
        Ok(())
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, w: &mut W) -> io::Result<()> {
        self.open(w, b"{")
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, w: &mut W) -> io::Result<()> {
        self.close(w, b"}")
    }

    fn begin_object_key<W: io::Write + ?Sized>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.member(w, first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, w: &mut W) -> io::Result<()> {
        w.write_all(self.key.as_bytes())
    }

    fn end_object_value<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.empty = false;
        Ok(())
    }

    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, w: &mut W, text: &str) -> io::Result<()> {
        if !self.ascii || text.is_ascii() {
            return w.write_all(text.as_bytes());
        }
        text.encode_utf16().try_for_each(|unit| match u8::try_from(unit) {
            Ok(b) if b < 0x80 => w.write_all(&[b]),
            _ => write!(w, "\\u{unit:04x}"),
        })
    }

    fn write_char_escape<W: io::Write + ?Sized>(&mut self, w: &mut W, escape: CharEscape) -> io::Result<()> {
        serde_json::ser::CompactFormatter.write_char_escape(w, escape)
    }
}

/// The local time in the words of C's `strftime`.
pub fn strftime_now(format: &str) -> Result<String, Error> {
    let bad = |what: &str| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {what}"));
    // A mark in front tells an empty result from one that did not fit.
    let c_format = std::ffi::CString::new(format!(" {format}")).map_err(|_| bad("a NUL in the format"))?;
    let mut buf = [0u8; 1024];
    // SAFETY: time accepts null; localtime_r and strftime get live objects of their types, and the
    // buffer with its length. A zeroed tm is a valid tm.
    let len = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&now, &mut parts).is_null() {
            return Err(bad("the clock cannot be read"));
        }
        libc::strftime(buf.as_mut_ptr().cast(), buf.len(), c_format.as_ptr(), &parts)
    };
    match buf[..len].split_first() {
        Some((_, text)) => Ok(String::from_utf8_lossy(text).into_owned()),
        None => Err(bad("the result is too long")),
    }
}

/// `{% generation %}` marks, for training, what the assistant said; when rendering it is a block that
/// always applies.
pub fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let len = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let inner = tag[..len].trim_start_matches("{%").trim_end_matches("%}");
        let sign = |c: Option<char>| c.filter(|c| "-+".contains(*c)).map(String::from).unwrap_or_default();
        let (open, close) = (sign(inner.chars().next()), sign(inner.chars().next_back()));
        match inner.trim_matches(['-', '+']).trim() {
            "generation" => out.push_str(&format!("{{%{open} if true {close}%}}")),
            "endgeneration" => out.push_str(&format!("{{%{open} endif {close}%}}")),
            _ => out.push_str(&tag[..len]),
        }
        rest = &tag[len..];
    }
    out.push_str(rest);
    out
}
