//! How a command can end other than well, and the exit code of each way.

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use crate::output;

/// Exit code of a usage error.
pub const USAGE: u8 = 2;
/// Exit code after an interrupt, as a shell reports SIGINT: 128 + 2.
const INTERRUPTED: u8 = 130;

/// Why a command stops.
#[derive(Debug)]
pub enum Failure {
    /// It could not be done.
    Failed(String),
    /// The command line does not make sense.
    Usage(String),
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads standard output any more. Not an error: `rocmforge ... | head` is good use.
    BrokenPipe,
}

/// What a command returns.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failed write to standard output.
    pub fn from_write(e: io::Error) -> Failure {
        match e.kind() {
            ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::Failed(format!("standard output: {e}")),
        }
    }

    /// Says so in one line on standard error, and gives the exit code.
    pub fn report(self) -> ExitCode {
        let (message, code) = match self {
            Failure::Failed(message) => (message, 1),
            Failure::Usage(message) => (message, USAGE),
            Failure::Interrupted => return ExitCode::from(INTERRUPTED),
            Failure::BrokenPipe => return ExitCode::SUCCESS,
        };
        output::note(&format!("error: {}", message.replace(['\n', '\r'], " ")));
        ExitCode::from(code)
    }
}

impl From<rocmforge::Error> for Failure {
    fn from(e: rocmforge::Error) -> Failure {
        match e {
            // Only an interrupt makes the callbacks of this program ask for that.
            rocmforge::Error::Aborted(_) => Failure::Interrupted,
            e => Failure::Failed(e.to_string()),
        }
    }
}
