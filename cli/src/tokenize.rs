//! `rocmforge tokenize`: the tokens of a text.

use std::fmt::Write as _;

use clap::ArgMatches;
use rocmforge::gguf::File;
use rocmforge::tokenizer::Vocab;

use crate::args::TokenizeArgs;
use crate::failure::Outcome;
use crate::{models, output, text};

/// Runs the command.
pub fn run(args: &TokenizeArgs, matches: &ArgMatches) -> Outcome {
    let path = models::find(args.model.model.as_deref())?;
    let vocab = Vocab::from_gguf(&File::open(&path)?)?;
    let text = text::input(matches, ("text", args.text.as_ref()), args.file.as_ref())?;
    let tokens = vocab.tokenize(&text.bytes, !args.no_bos, args.parse_special)?;

    let mut out = String::new();
    if args.ids {
        let ids: Vec<String> = tokens.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "[{}]", ids.join(", "));
    } else {
        for &token in &tokens {
            let piece = output::escaped(vocab.token_to_piece(token, true)?);
            let _ = writeln!(out, "{token:>6} -> '{piece}'");
        }
    }
    output::write(out.as_bytes())
}
