//! Writing to the standard streams without panics, and file text made fit for a terminal.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::failure::{Failure, Outcome};

/// Writes to standard output, at once.
pub fn write(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::from_write)
}

/// Writes a line about the program to standard error. If nobody listens, nothing is lost.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "rocmforge: {line}");
}

/// `bytes` on one line: control characters escaped, bytes that are no UTF-8 as `\xNN`.
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                // Not special in what we print; escaping them would only hinder reading.
                '\'' => out.push(c),
                c => out.extend(c.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// The beginning of `text`, at most `n` characters, [`escaped`] and in quotes; `...` follows where
/// text was left out.
pub fn quoted(text: &str, n: usize) -> String {
    let end = text.char_indices().nth(n).map_or(text.len(), |(i, _)| i);
    let dots = if end < text.len() { "..." } else { "" };
    format!("\"{}\"{dots}", escaped(&text.as_bytes()[..end]))
}

/// A number with commas between its thousands.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes in a unit that suits it.
pub fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", n as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", n as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_made_safe_for_a_terminal() {
        assert_eq!(escaped(b"a\x1b[31m\n\xff\xc3\xa9 it's"), "a\\u{1b}[31m\\n\\xff\u{e9} it's");
        assert_eq!(quoted("h\u{e9}llo", 2), "\"h\u{e9}\"...");
        assert_eq!(quoted("hi", 2), "\"hi\"");
    }

    #[test]
    fn numbers_are_made_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5, 1536, 5 << 20, 3 << 30].map(bytes), ["5 B", "1.5 KiB", "5.0 MiB", "3.00 GiB"]);
    }
}
