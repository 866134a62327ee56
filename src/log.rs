//! Log lines go to whoever opened the model or context, never to a global logger: a library that
//! is loaded into other people's programs has no right to one.

use std::sync::Arc;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// For those who look for a fault.
    Debug = 0,
    /// What was chosen and how large it is.
    Info = 1,
    /// Something is not as asked, and work goes on.
    Warn = 2,
    /// An operation failed.
    Error = 3,
}

/// Takes log lines, on the thread that makes them.
pub type LogFn = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// Where the lines of one model or context go; by default nowhere.
#[derive(Clone, Default)]
pub struct Log(Option<LogFn>);

impl Log {
    /// Lines go to `f`.
    pub fn new(f: LogFn) -> Log {
        Log(Some(f))
    }

    pub(crate) fn write(&self, level: Level, line: std::fmt::Arguments<'_>) {
        if let Some(f) = &self.0 {
            f(level, &line.to_string());
        }
    }
}

macro_rules! info {
    ($log:expr, $($arg:tt)*) => { $log.write($crate::log::Level::Info, format_args!($($arg)*)) };
}
macro_rules! warning {
    ($log:expr, $($arg:tt)*) => { $log.write($crate::log::Level::Warn, format_args!($($arg)*)) };
}
pub(crate) use {info, warning};
