//! A mapping file as a checked program, and how to load one.

use super::diagnostic::{Diagnostic, Place};
use super::expression::{Condition, Expression, Template};
use super::output::Withdraw;
use super::path::Path;
use super::source::{self, Node};
use super::table::Tables;
use super::target::Registry;
use outline::Outline;
use serde_json::Value;

mod acts;
mod conditions;
mod entries;
mod fields;
mod head;
mod lookups;
// JSON with VALUEs in it.
pub mod outline;
// What entries name on the far side.
mod names;
mod reader;

mod values;
// What a mapping looks at.
pub mod walk;

pub(super) use names::place_of;
pub use names::{NamedThere, names, names_of, value_at};
pub(super) use values::VALUE_KEYS;

/// Most look-ups in `with`.
pub const MAX_LOOKUPS: usize = 8;
/// Most entries in `to`.
pub const MAX_ENTRIES: usize = 50;

/// One mapping file, compiled.
#[derive(Debug, Clone)]
pub struct Program {
    /// Permanent name.
    pub name: String,
    /// Where the name stands.
    pub name_place: Place,
    pub description: Option<String>,
    /// The file's name, for places.
    pub file: String,
    /// Hash of the file and its tables: another text is another version.
    pub version: String,
    pub from: From,
    pub with: Vec<Lookup>,
    pub to: Vec<Entry>,
}

/// Which changes a mapping takes.
#[derive(Debug, Clone)]
pub struct From {
    pub place: Place,
    /// An R4 type, or a document kind such as `rapidpro.run`.
    pub kind: String,
    pub is_document: bool,
    /// A flow's name or uuid.
    pub flow: Option<String>,
    /// A Questionnaire's canonical URL, with or without `|version`.
    pub questionnaire: Option<String>,
    /// One of these, or any where empty.
    pub status: Vec<String>,
    pub condition: Option<Condition>,
}

/// One entry of `with`.
#[derive(Debug, Clone)]
pub struct Lookup {
    pub name: String,
    pub place: Place,
    pub what: LookupKind,
    pub follow: bool,
    /// Indices of the look-ups that it uses.
    pub uses: Vec<usize>,
}

#[derive(Debug, Clone)]
pub enum LookupKind {
    Reference { reference: Expression, climb: Option<Climb> },
    Search { query: Template, many: Option<u32> },
    Contact { reference: Expression },
    OrgUnit { value: Expression, by: String },
}

/// Follow `up` until the condition holds of what was reached (`$.NAME`, also `$.item`).
#[derive(Debug, Clone)]
pub struct Climb {
    pub up: String,
    pub until: Condition,
}

/// One entry of `to`.
#[derive(Debug, Clone)]
pub struct Entry {
    pub place: Place,
    pub kind: String,
    /// `id`, or the kind.
    pub target_id: String,
    pub destination: Destination,
    pub when: Option<Condition>,
    pub each: Option<Path>,
    pub key: Option<Expression>,
    pub needs: Vec<String>,
    pub withdraw: Withdraw,
    /// The remote id becomes an identifier of the linked resource.
    pub write_back: bool,
    pub act: Act,
    pub fields: Vec<NamedField>,
}

/// Where an entry goes.
#[derive(Debug, Clone)]
pub enum Destination {
    Fixed(String),
    /// Evaluated; must be one of these.
    Computed {
        value: Expression,
        among: Vec<String>,
    },
}

/// What only acts take.
#[derive(Debug, Clone, Default)]
pub struct Act {
    pub reason: Option<String>,
    pub after: Option<After>,
    pub consent: Option<Condition>,
}

/// When an act is due.
#[derive(Debug, Clone)]
pub struct After {
    pub place: Place,
    /// The event time of the source where it is not given.
    pub at: Option<Expression>,
    pub plus: Option<jiff::Span>,
    /// With `times`: how far apart the occurrences are, and how many there are.
    pub every: Option<jiff::Span>,
    pub times: Option<u32>,
    /// `08:00-18:00`, without the end; over midnight where the end is before the beginning.
    pub hours: Option<(jiff::civil::Time, jiff::civil::Time)>,
}

/// A field of a target and what the file says of it.
#[derive(Debug, Clone)]
pub struct NamedField {
    pub name: String,
    pub place: Place,
    pub content: FieldContent,
}

/// A field's content by its [`Kind`](super::target::Kind).
#[derive(Debug, Clone)]
pub enum FieldContent {
    Value(Expression),
    Values(Expression),
    List(Vec<Expression>),
    Map(Vec<(String, Expression)>),
    /// Written in the file: a word, an integer, a flag.
    /// A VALUE of any kind.
    Anything(Expression),
    Literal(Value),
    Object(Object),
    Objects(Vec<Object>),
    /// JSON with VALUEs in it.
    Outline(Outline),
    /// An object in a VALUE's place: absent as soon as a part of it is.
    Together(Object),
}

/// A nested object of fields.
#[derive(Debug, Clone)]
pub struct Object {
    pub place: Place,
    pub when: Option<Condition>,
    pub fields: Vec<NamedField>,
}

/// What the loader is told besides the file.
#[derive(Clone)]
pub struct Settings<'a> {
    pub registry: &'a Registry,
    /// Configured destinations as (system, name): `("dhis2", "national")`. `None` when checking without
    /// a configuration: every system then has one destination of its own name.
    pub destinations: Option<&'a [(String, String)]>,
    /// The text of the tables beside the file.
    pub tables: &'a Tables,
}

/// Loads one mapping file.
///
/// # Errors
/// Every mistake that could be found in one go, in the order of the file.
pub fn load(file: &str, text: &str, settings: &Settings<'_>) -> Result<Program, Vec<Diagnostic>> {
    let outcome = source::parse(text).and_then(|root| compile(file, text, &root, settings));
    outcome.map_err(|mut told| {
        told.sort_by_key(|one| one.place);
        told.dedup();
        told.into_iter().map(|one| one.within(file, text)).collect()
    })
}

fn compile(file: &str, text: &str, root: &Node, settings: &Settings<'_>) -> Result<Program, Vec<Diagnostic>> {
    let mut reader = reader::Reader::new(settings);
    let program = head::program(&mut reader, root);
    let (told, tables) = reader.finish();
    match program {
        Some(head) if told.is_empty() => Ok(Program {
            name: head.name,
            name_place: head.name_place,
            description: head.description,
            file: file.to_owned(),
            version: version(text, &tables),
            from: head.from,
            with: head.with,
            to: head.to,
        }),
        _ => Err(told),
    }
}

/// Sixteen hexadecimal digits of SHA-256 over the file and the tables that it uses.
fn version(text: &str, tables: &Tables) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update(text.as_bytes());
    for (name, table) in tables {
        hash.update([0]);
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(table.as_bytes());
    }
    hex::encode(hash.finalize().get(..8).unwrap_or_default())
}

/// An entry's fields as constants, null where they are computed.
pub(super) fn literals(fields: &[NamedField]) -> Value {
    fields::literals(fields, fields::Computed::Null)
}

impl Program {
    /// Whether it takes changes of this kind at all; [`super::evaluate::evaluate`] decides the rest.
    pub fn takes(&self, kind: &str) -> bool {
        self.from.kind == kind
    }

    /// The entry of `to` with this target id.
    pub fn entry(&self, target_id: &str) -> Option<&Entry> {
        self.to.iter().find(|entry| entry.target_id == target_id)
    }
}

#[cfg(test)]
mod tests;
