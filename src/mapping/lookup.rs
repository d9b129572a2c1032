//! Look-ups: the engine says what it needs, the caller fetches it from the store.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a `with` entry asks for. Its [`Query::key`] is remembered with what was found, so that later
/// versions of the same source see what the first one saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "lookup", rename_all = "camelCase")]
pub enum Query {
    /// The resource that a Reference names: `Type/id` or, by identifier, `system|value`.
    Reference { reference: Value },
    /// A FHIR search such as `Patient?identifier=a|b`; `many` is how many it may give (1 unless told).
    Search { query: String, many: u32 },
    /// The mirrored RapidPro contact linked to a Reference, or named by its identifier.
    Contact { reference: Value },
    /// The mirrored DHIS2 organisation unit; `by` is `uid`, `code`, `name` or an attribute's uid.
    OrgUnit { value: String, by: String },
}

impl Query {
    /// The canonical text of the question: equal questions have equal keys.
    pub fn key(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Which stored version an answer came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// An R4 type or a document kind.
    pub kind: String,
    pub id: String,
    pub version: i64,
}

/// The caller's answer to a [`Query`].
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One value and where it came from; a `many` search gives an array and all its sources.
    Found { value: Value, sources: Vec<Source> },
    /// Nothing matches now. It is remembered and asked again when something that could match appears.
    Absent,
    /// Several match where one is wanted: an issue, not absence.
    Several(usize),
    /// The question itself cannot be asked (a bad search, an unknown type): an issue with this text.
    Refused(String),
}

/// A look-up as it was made: what is remembered ("read") beside an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The name in `with`; a climbed look-up (`up`) adds `#1`, `#2` … for each step.
    pub name: String,
    pub query: Query,
    pub follow: bool,
    /// Empty where nothing was found.
    pub sources: Vec<Source>,
}
