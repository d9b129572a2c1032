//! Authors' own tests: `NAME.test.yaml` beside `NAME.yaml`. Given these resources, expect exactly these
//! outputs. Look-ups are answered from what the test gives, never from a store or the network.
//!
//! ```yaml
//! zone: Africa/Kigali # of the tests; the tenant's where it is not given
//! country: RW
//! tests:
//!   - name: a complete report
//!     given:
//!       change: { resourceType: QuestionnaireResponse, … }
//!       resources: [{ resourceType: Patient, id: p1, … }]
//!       contacts: [{ uuid: …, fields: { … }, of: [Practitioner/1] }]
//!       units: [{ id: ImspTQPwCqd, code: OU_525, name: Bo }]
//!       links: [{ resource: Patient/p1, id: …, destination: rapidpro.country }]
//!     expect:
//!       outputs: [{ target: dhis2.report, body: { … } }]
//!       issues: [map-unmatched]
//! ```
//!
//! [`run`] says what differs, [`coverage`] which rules of the mapping no test reached.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::diagnostic::Place;
use super::path::Path;

// Which rules were reached.
pub mod coverage;
// What differs, and how it is shown.
pub mod difference;
mod mirror;
mod outcome;
mod read;
// The JSON Schema of test files.
pub mod schema;

pub use difference::Difference;
pub use mirror::answer;
pub use outcome::{Failed, Setting, Tested, run};
pub use read::read;

/// Most tests in one file.
const MAX_TESTS: usize = 500;

/// One test.
#[derive(Debug, Clone)]
pub struct Test {
    pub name: String,
    pub place: Place,
    /// The file's `zone`, instead of the tenant's.
    pub zone: Option<TimeZone>,
    /// The file's `country`, ISO 3166-1 alpha-2, instead of the workspace's.
    pub country: Option<String>,
    pub given: Given,
    pub expect: Expected,
}

/// What the test's world holds.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The resource or document that changed.
    pub change: Value,
    pub previous: Option<Value>,
    /// For documents: their kind. A resource says its own.
    pub kind: Option<String>,
    /// For documents: their id.
    pub id: Option<String>,
    /// When the change was recorded, RFC 3339.
    pub recorded: Option<String>,
    pub resources: Vec<Value>,
    /// Mirrored contacts; `of` lists the references that are linked with each.
    pub contacts: Vec<Value>,
    /// Mirrored organisation units.
    pub units: Vec<Value>,
    pub links: Vec<Link>,
}

/// A remembered pair: this resource is that remote object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// `Type/id`
    pub resource: String,
    /// The remote object's id.
    pub id: String,
    /// `NAME` or `SYSTEM.NAME`; every destination where it is not given.
    pub destination: Option<String>,
}

/// What must come of it.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// `false`: `from` does not take the change.
    pub matched: Option<bool>,
    /// Exactly these outputs, in order. Where the file does not say: none, unless it says `absent`.
    pub outputs: Option<Vec<ExpectedOutput>>,
    /// Entries of `to`, by id, that must give nothing.
    pub absent: Vec<String>,
    /// Exactly these, in any order. Not compared where the file does not say.
    pub issues: Option<Vec<ExpectedIssue>>,
    pub held: Option<ExpectedHold>,
}

/// An issue by its code and, if that is given, by where it stands in the mapping file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedIssue {
    pub code: String,
    /// `LINE` or `LINE:COLUMN`.
    pub place: Option<String>,
}

/// What the evaluation waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedHold {
    /// `to[0].orgUnit`
    pub field: String,
    /// A part of the words that say what is waited for.
    pub waits_for: Option<String>,
}

/// One output. What is not said is not compared.
#[derive(Debug, Clone, Default)]
pub struct ExpectedOutput {
    pub target: String,
    pub id: Option<String>,
    pub destination: Option<String>,
    pub key: Option<String>,
    /// What the destination would be sent for this output alone, whole.
    pub body: Option<Value>,
    /// Of it only these fields; of a list, members that have these.
    pub has: Option<Value>,
    /// Paths in it that must find nothing: `$.dataValues[?@.dataElement=='FTRrcoaog83']`.
    pub without: Vec<Path>,
    /// Of an act.
    pub reason: Option<String>,
    pub due: Option<Due>,
    pub occurrence: Option<u32>,
}

/// When an act is due.
#[derive(Debug, Clone, PartialEq)]
pub enum Due {
    /// As soon as it can be.
    AtOnce,
    /// A time; without an offset it is in the test's zone.
    At(Value),
}

#[cfg(test)]
mod tests;
