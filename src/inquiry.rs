//! Somebody calls and asks after a report: where it is, and why.
//!
//! From a phone number, a facility, a run or a resource to its sources, and from each source along its way: what
//! was stored, which mapping took it, what it waits for, each delivery with its attempts and the other side's
//! answers. Reads the store only, never the network. **Invariant:** what tells who somebody is, or what they
//! answered, is a [`Fact`] marked as personal; whoever shows a [`Trail`](trail::Trail) masks those unless a look was audited
//! before ([`mask`]).

// From a question to the resources and documents that it is about.
pub mod find;
// Personal data made unreadable.
pub mod mask;
// The way of one source.
pub mod trail;

use crate::store;

/// What somebody asks after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A number in any writing, or a URN such as `whatsapp:2507…`.
    Phone(String),
    /// An organisation unit: uid, code or name.
    Facility(String),
    /// A run's uuid.
    Run(String),
    /// `Type/id`
    Resource(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "that is no phone number [trace-phone]\n  hint: write it with its country code, as +250788383383"
    )]
    Phone,
    #[error("`{text}` is not Type/id [trace-resource]\n  hint: as in QuestionnaireResponse/0198…")]
    Resource { text: String },
    #[error("{what} is not known here [trace-nothing]\n  hint: {hint}")]
    Nothing { what: &'static str, hint: &'static str },
    #[error("{} [{}]\n  hint: {}", .0, .0.code(), .0.hint())]
    Store(#[from] store::Error),
}

/// One thing that is known, as a line of a trail shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// `flow`, `contact`, `answer fever_cases`
    pub label: String,
    pub text: String,
    /// Tells who somebody is, or what they answered.
    pub personal: bool,
}

impl Fact {
    pub fn plain(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self { label: label.into(), text: text.into(), personal: false }
    }

    pub fn personal(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self { label: label.into(), text: text.into(), personal: true }
    }
}
