//! The rows of the search index: what search parameters find in one resource.
//!
//! One variant for each search type of R4 (<https://hl7.org/fhir/R4/search.html#ptypes>). Documents
//! (runs, contacts, organisation units) use the same rows with parameters of their own, so that a
//! mirror is looked up like a resource.

use sha2::{Digest, Sha256};

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

/// A value, by search type. Strings are at most 400 characters long.
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
    /// The implicit range of a number's precision: `[low, high]`.
    Number {
        low: f64,
        high: f64,
    },
    /// As a number, with its unit (`system` and `code` empty where there is none).
    Quantity {
        low: f64,
        high: f64,
        system: String,
        code: String,
    },
    /// `kind` and `id` of a literal reference (both empty for others); `url` as written, without the
    /// version; `identifier` as `system|value` of a logical reference.
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
/// | date | empty | empty | `[low, high)` in milliseconds |
/// | number, quantity | unit's system | unit's code | implicit range |
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Part {
    pub system: String,
    pub code: String,
    pub low: f64,
    pub high: f64,
}
