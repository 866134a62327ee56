//! Where the text to work on comes from: the command line, a file or standard input.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::failure::{Failure, Outcome};
use crate::output;

/// Text and whether it was read from a file or standard input.
pub struct Input {
    /// As given; it need not be UTF-8.
    pub bytes: Vec<u8>,
    /// Read, rather than given on the command line or in the environment.
    pub read: bool,
}

/// The text given as argument `text_id` or in the file given as argument `file` (`-`: standard
/// input), else what standard input has.
///
/// The command line wins over the environment; giving both on the command line is an error.
pub fn input(
    matches: &ArgMatches,
    (text_id, text): (&str, Option<&OsString>),
    file: Option<&PathBuf>,
) -> Outcome<Input> {
    let typed = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
    match (text, file) {
        (Some(_), Some(_)) if typed(text_id) && typed("file") => {
            Err(Failure::Usage("a text and a file (-f) are given; which one?".into()))
        }
        (Some(text), None) => Ok(given(text)),
        (Some(text), Some(_)) if !typed("file") => Ok(given(text)),
        (_, Some(file)) if file.as_os_str() != "-" => {
            let bytes =
                std::fs::read(file).map_err(|e| Failure::Failed(format!("{}: {e}", file.display())))?;
            Ok(Input { bytes, read: true })
        }
        (_, _) => standard_input(),
    }
}

fn given(text: &OsStr) -> Input {
    Input { bytes: text.as_encoded_bytes().to_vec(), read: false }
}

fn standard_input() -> Outcome<Input> {
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        output::note("reading the text from the terminal; Ctrl-D on an empty line ends it");
    }
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes).map_err(|e| Failure::Failed(format!("standard input: {e}")))?;
    Ok(Input { bytes, read: true })
}
