//! What one mapping makes of one change: outputs, reads, issues, trace.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a delivery behaves. See ARCHITECTURE.md, "Deliveries".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nature {
    /// What should be there: only the difference to what was sent travels.
    State,
    /// Contributions to aggregate cells, which are computed when they are sent.
    Count,
    /// What should happen once.
    Act,
}

/// What happens to the far side when a source no longer wants an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Withdraw {
    Delete,
    Keep,
}

/// The smallest thing that is sent and accepted on its own: a cell, a completion, a contact's field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The place on the far side, unique within a destination: two outputs that name one slot want the
    /// same place, and the later `authored` wins. Made of names, never of list positions.
    pub slot: String,
    /// What should be there.
    pub wanted: Value,
    /// Goes out only after every other part of its delivery was accepted (a report's completion).
    #[serde(default)]
    pub last: bool,
}

/// What one source adds to one aggregate cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// The cell, as a [`Part::slot`].
    pub slot: String,
    /// What the target needs beside the amount to send the cell (its data element, its combo): an object.
    /// The computed cell travels as [`Part::wanted`]: this object with the amount added as text under
    /// `value`.
    pub cell: Value,
    pub aggregate: Aggregate,
    /// Decimal text.
    pub amount: String,
    /// For `distinct`: what is counted once.
    pub distinct: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    Sum,
    Count,
    Distinct,
    Average,
    Min,
    Max,
    Last,
}

/// One intended effect, as the mapping sees it: symbolic where ids are not known yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The target's kind: `dhis2.report`.
    pub target: String,
    /// The `id` of the entry in `to`, or the kind where it needs none.
    pub target_id: String,
    /// The configured destination.
    pub destination: String,
    pub nature: Nature,
    /// Distinguishes the outputs of one entry for one source (`each`); empty otherwise.
    pub key: String,
    /// What travels in order on the far side: `ds|pe|ou`, a contact.
    pub lane: String,
    /// The target's own document: what is the same for all parts (data set, period, unit).
    pub body: Value,
    pub parts: Vec<Part>,
    pub contributions: Vec<Contribution>,
    pub withdraw: Withdraw,
    /// Ids of entries that must be settled first.
    pub needs: Vec<String>,
    /// Event time in milliseconds: decides which of two outputs for one slot wins.
    pub authored_ms: i64,
    /// The resource to link with the remote object when the delivery settles: `Patient/1`.
    pub link: Option<String>,
    /// Whether the remote id becomes an identifier of the linked resource (`writeBack`). Set by the engine.
    #[serde(default)]
    pub write_back: bool,
    /// Of an act: why and when. Set by the engine, which makes one output of each occurrence; none of
    /// state and counts.
    #[serde(default)]
    pub act: Option<Act>,
}

/// Why and when something happens once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Part of the act's identity: the same reason, source and key never make it happen twice.
    pub reason: String,
    /// Milliseconds since 1970 UTC; `None`: at once.
    pub not_before_ms: Option<i64>,
    /// Which one of a series, from 1; part of the act's identity.
    pub occurrence: u32,
    /// The hours outside of which it does not go out, with their zone: `08:00-18:00 Africa/Kigali`; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
}

/// How bad an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The evaluation waits: something required is absent.
    Held,
    /// A value was left out.
    Error,
    Warning,
}

/// Something that a person should know about one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    pub severity: Severity,
    /// Stable, kebab-case: `map-unmatched`, `required-absent`.
    pub code: String,
    /// What was wrong, in words that hold no personal data beyond what `explain` may show.
    pub message: String,
    pub hint: Option<String>,
    /// Where in the mapping file: `file:line:column`.
    pub place: String,
}

impl Issue {
    pub fn error(code: &str, message: impl Into<String>, place: &str) -> Self {
        Self {
            severity: Severity::Error,
            code: code.to_owned(),
            message: message.into(),
            hint: None,
            place: place.to_owned(),
        }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
