//! Exit codes and errors for people.

use std::fmt::Display;
use std::process::ExitCode;

use crate::{config, store};

/// Not done.
const FAILED: u8 = 1;
/// Wrong configuration: `EX_CONFIG` of `sysexits.h`.
const CONFIG: u8 = 78;

/// Why a command was not done: what is printed on stderr, and the exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
    hint: String,
}

impl Failure {
    pub fn new(text: impl Into<String>) -> Self {
        Self { code: FAILED, text: text.into(), hint: String::new() }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Prints the failure and gives its exit code.
    pub fn report(&self) -> ExitCode {
        note!("error: {}", self.text);
        if !self.hint.is_empty() {
            note!("  hint: {}", self.hint);
        }
        ExitCode::from(self.code)
    }

    /// Something failed with an error that says enough.
    pub fn because(what: &str, error: impl Display) -> Self {
        Self::new(format!("{what}: {error}"))
    }
}

impl From<config::problem::Error> for Failure {
    fn from(error: config::problem::Error) -> Self {
        let text = format!("the configuration does not fit\n{error}");
        Self { code: CONFIG, text, hint: String::new() }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::new(format!("{error} [{}]", error.code())).hint(error.hint())
    }
}
