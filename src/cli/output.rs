//! What commands print: what was asked for on stdout, everything else on stderr.
//!
//! **Never** panics on a reader that has gone: `mjumbe schema | head` has what it wanted. Anything else that
//! keeps text from stdout (a full disk) is remembered and makes the command fail in the end.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

use super::failure::Failure;

/// The first error of stdout.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// A line on stdout: what was asked for.
macro_rules! out {
    ($($argument:tt)*) => { $crate::cli::output::line(format_args!($($argument)*)) };
}

/// A line on stderr: everything else.
macro_rules! note {
    ($($argument:tt)*) => { $crate::cli::output::aside(format_args!($($argument)*)) };
}

pub fn line(text: fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    if let Err(error) = written {
        LOST.get_or_init(|| error);
    }
}

/// Nobody can be told that stderr is closed.
pub fn aside(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether something did not reach stdout, for whatever reason.
pub fn is_lost() -> bool {
    LOST.get().is_some()
}

/// Why something did not reach stdout, unless its reader wanted no more.
pub fn failure() -> Option<Failure> {
    let error = LOST.get().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)?;
    Some(Failure::because("not everything could be printed", error))
}

/// Counts on a terminal's stderr what a long command has done; nothing elsewhere.
pub fn spinner(doing: &'static str) -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{spinner} {msg} {human_pos}");
    let bar = indicatif::ProgressBar::new_spinner().with_message(doing);
    style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}
