//! The program `rocmforge`: generates text, measures speed and looks into model files with
//! librocmforge. What the subcommands share is in [`failure`], [`interrupt`], [`models`] and
//! [`output`]; each subcommand is a file with a function `run`.

mod args;
mod bandwidth;
mod bench;
mod devices;
mod embed;
mod failure;
mod generate;
mod inspect;
mod interrupt;
mod models;
mod output;
mod perplexity;
mod quantize;
mod report;
mod sampling;
mod session;
mod text;
mod tokenize;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, FromArgMatches};

use args::{Cli, Command};
use failure::{Failure, Outcome};

fn main() -> ExitCode {
    let matches = match args::command().try_get_matches_from(args::spelled_out(std::env::args_os())) {
        Ok(matches) => matches,
        Err(e) => return usage(&e),
    };
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => match run(cli, &matches) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        },
        Err(e) => usage(&e),
    }
}

fn run(cli: Cli, matches: &ArgMatches) -> Outcome {
    let Some((_, matches)) = matches.subcommand() else {
        return Err(Failure::Usage("a command is missing".into()));
    };
    match cli.command {
        Command::Generate(args) => generate::run(&args, matches),
        Command::Bench(args) => bench::run(&args),
        Command::Embed(args) => embed::run(&args, matches),
        Command::Perplexity(args) => perplexity::run(&args, matches),
        Command::Devices(args) => devices::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Tokenize(args) => tokenize::run(&args, matches),
        Command::Completions { shell } => completions(shell),
        Command::Man { command } => man(command.as_deref()),
    }
}

fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "rocmforge", &mut script);
    output::write(&script)
}

/// The manual page of the program, or of one of its commands.
fn man(command: Option<&str>) -> Outcome {
    let mut program = args::command();
    program.build();
    let page = match command {
        None => program,
        Some(name) => {
            let known = program.find_subcommand(name).filter(|c| !c.is_hide_set());
            let found = known.ok_or_else(|| Failure::Usage(format!("there is no command '{name}'")))?;
            let full_name: &'static str = format!("rocmforge-{name}").leak();
            found.clone().name(full_name).version(env!("CARGO_PKG_VERSION"))
        }
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff).map_err(Failure::from_write)?;
    output::write(&roff)
}

/// Prints what the command line parser has to say: help to standard output, or a usage error.
fn usage(e: &clap::Error) -> ExitCode {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever asked for help and closed the pipe has read enough.
            let _ = e.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = e.print();
            ExitCode::from(failure::USAGE)
        }
        _ => {
            output::note(e.render().to_string().trim_end());
            ExitCode::from(failure::USAGE)
        }
    }
}
