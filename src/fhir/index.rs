//! The rows of the search index: what search parameters find in one resource.
//!
//! One variant for each search type of R4 (<https://hl7.org/fhir/R4/search.html#ptypes>). Documents
//! (runs, contacts, organisation units) use the same rows with parameters of their own, so that a
//! mirror is looked up like a resource. The resource comes from `fhir::resource`, the rows go to the store.
//! **Never** fails: what cannot be read as its type gives no row.

mod composite;
// The values of FHIRPath expressions.
pub mod expression;
mod extract;
// Numbers and quantities.
pub mod number;
// Places.
pub mod position;
mod references;
// Text for search: lower case, without accents.
pub mod text;
mod times;
// Codes, identifiers, booleans.
pub mod token;

use std::collections::HashSet;

use jiff::tz::TimeZone;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::fhir::parameters::{self, Parameter, Program, SearchType};
use crate::fhir::path::Subject;
use crate::fhir::reference;
use extract::Found;

/// A text in the index has at most this many characters.
pub const MAX_TEXT: usize = 400;

/// All rows of a resource, for all parameters of its type but `_id` and `_lastUpdated`, which the store
/// holds itself. Dates without a zone are read in `zone`, the tenant's.
pub fn rows(kind: &str, resource: &Value, zone: &TimeZone) -> Vec<IndexRow> {
    let mut out = Vec::new();
    for parameter in parameters::of(kind) {
        if matches!(parameter.code, "_id" | "_lastUpdated") {
            continue;
        }
        if parameter.search_type == SearchType::Special {
            out.extend(position::rows(parameter, resource));
            continue;
        }
        let mut values = values_of(parameter, resource, zone);
        if values.len() > 1 {
            let mut seen = HashSet::new();
            values.retain(|value| seen.insert(format!("{value:?}")));
        }
        out.extend(values.into_iter().map(|value| IndexRow { parameter: parameter.key, value }));
    }
    out
}

fn values_of(parameter: &Parameter, resource: &Value, zone: &TimeZone) -> Vec<IndexValue> {
    match &parameter.program {
        Program::Paths(paths) => extract::paths(paths, resource)
            .into_iter()
            .flat_map(|found| values(parameter.search_type, found, zone))
            .collect(),
        Program::Exists(keys) => {
            let held = |key: &&&str| resource.get(**key).is_some_and(|value| value != &Value::Bool(false));
            let code = keys.iter().any(|key| held(&key)).to_string();
            vec![IndexValue::Token { system: String::new(), code, text: String::new() }]
        }
        Program::Composite(pairs) => composite::values(pairs, resource, zone),
        Program::Expression(found) => {
            expression::found(found, parameter.search_type, &Subject::new(resource), zone)
        }
    }
}

/// The index values of one found element, as its parameter's search type wants them.
fn values(search_type: SearchType, found: Found<'_>, zone: &TimeZone) -> Vec<IndexValue> {
    match search_type {
        SearchType::Token => token::values(found),
        SearchType::Text => text::values(found),
        SearchType::Date => times::value(found, zone).into_iter().collect(),
        SearchType::Number => number::number(found).into_iter().collect(),
        SearchType::Quantity => number::quantities(found),
        SearchType::Reference => references::values(found),
        SearchType::Uri => uris(found),
        // Neither is one value of one element.
        SearchType::Composite | SearchType::Special => Vec::new(),
    }
}

/// A uri as written; a canonical with a version also without it.
fn uris(found: Found<'_>) -> Vec<IndexValue> {
    let Some(uri) = found.value.as_str() else { return Vec::new() };
    let bare = reference::split_canonical(uri).0;
    let bare = (found.kind == "canonical" && bare != uri).then(|| IndexValue::Uri(bare.to_owned()));
    std::iter::once(IndexValue::Uri(uri.to_owned())).chain(bare).collect()
}

/// A search parameter of one resource type, as a number: the first eight bytes of the SHA-256 of
/// `Type.code`. Stable across machines and releases, so that it may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterKey(pub i64);

impl ParameterKey {
    /// The key of `code` on `kind` (an R4 type, or a document kind such as `rapidpro.contact`).
    pub fn new(kind: &str, code: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(kind.as_bytes());
        hash.update(b".");
        hash.update(code.as_bytes());
        let digest = hash.finalize();
        let mut head = [0u8; 8];
        head.copy_from_slice(&digest[..8]);
        Self(i64::from_be_bytes(head))
    }
}

/// One value of one search parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexRow {
    pub parameter: ParameterKey,
    pub value: IndexValue,
}

/// A value, by search type. Texts have at most [`MAX_TEXT`] characters; codes, ids and urls are whole.
#[derive(Debug, Clone, PartialEq)]
pub enum IndexValue {
    /// `system` is empty where the token has none. `text` is the normalised display or text, for `:text`.
    Token {
        system: String,
        code: String,
        text: String,
    },
    /// `normal` is lower case without accents; `exact` is as written.
    Text {
        normal: String,
        exact: String,
    },
    /// `[low, high)` in milliseconds since 1970 UTC.
    Date {
        low: i64,
        high: i64,
    },
    /// `[low, high]`: the number itself twice, or the ends of a range.
    Number {
        low: f64,
        high: f64,
    },
    /// As a number, with its unit (`system` and `code` empty where there is none; one more row, without
    /// `system`, where the unit's text differs from its code). `<5` and half-open ranges end at `f64::MIN`
    /// or `f64::MAX`.
    Quantity {
        low: f64,
        high: f64,
        system: String,
        code: String,
    },
    /// `kind` and `id` of a relative reference; `url` of an absolute one, without the version, or of a
    /// canonical, without and (a row of its own) with its version;
    /// `identifier` as `system|value` of a logical reference, which has a row of its own. The others are empty.
    Reference {
        kind: String,
        id: String,
        url: String,
        identifier: String,
    },
    Uri(String),
    /// A pair that belongs together, e.g. one component's code and its value.
    Composite {
        first: Part,
        second: Part,
    },
}

/// One half of a composite value.
///
/// | search type | `system` | `code` | `low`, `high` |
/// |---|---|---|---|
/// | token | system or empty | code | 0 |
/// | string | empty | normalised text | 0 |
/// | uri | empty | uri | 0 |
/// | reference | type, empty for a url | id or url | 0 |
/// | date | empty | empty | `[low, high]` in milliseconds, both inclusive |
/// | number, quantity | unit's system | unit's code | implicit range |
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Part {
    pub system: String,
    pub code: String,
    pub low: f64,
    pub high: f64,
}

#[cfg(test)]
mod tests;
