//! Operations: `$NAME` on the server, a type or an instance. <https://hl7.org/fhir/R4/operations.html>
//!
//! [`TABLE`] is the one list of them: the router, `Allow`, the scopes and the CapabilityStatement read it. A
//! handler gets the place that it was called at and its [`Arguments`], however they were sent. **Never** lets
//! what changes state be called by GET. To add one: a file below `operation/` and its row in the table.

// What an operation was called with.
pub mod arguments;
// `Patient/$ihe-pix`.
mod cross_reference;
// `Patient/$everything`.
mod everything;
// `ValueSet/$expand`.
mod expand;
// `CodeSystem/$lookup`.
mod lookup;
// `$meta`, `$meta-add`, `$meta-delete`.
mod meta;
// `Patient/$match`.
mod person_match;
// Resources that operations work on, by id, argument or canonical.
mod stored;
// `ConceptMap/$translate`.
mod translate;
// `$validate-code` of code systems and value sets.
mod validate_code;
// `$validate`.
mod validate;

use std::fmt;

use axum::http::{Method, StatusCode};
use futures::future::BoxFuture;
use serde_json::Value;

use super::super::answer::{self, Answer};
use super::call::{Call, Stop};
use crate::auth::scope::Permission;
use crate::fhir::capability::Types;
pub use arguments::Arguments;

/// Where an operation is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    System,
    Type { kind: String },
    Instance { kind: String, id: String },
}

impl Place {
    /// The resource type; `*` on the whole server.
    pub fn kind(&self) -> &str {
        match self {
            Self::System => "*",
            Self::Type { kind } | Self::Instance { kind, .. } => kind,
        }
    }

    /// The instance's id.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Instance { id, .. } => Some(id),
            Self::System | Self::Type { .. } => None,
        }
    }

    fn level(&self) -> Level {
        match self {
            Self::System => Level::System,
            Self::Type { .. } => Level::Type,
            Self::Instance { .. } => Level::Instance,
        }
    }
}

/// The kinds of [`Place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    System,
    Type,
    Instance,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "[base]/$…",
            Self::Type => "[type]/$…",
            Self::Instance => "[type]/[id]/$…",
        })
    }
}

/// Whether an operation may be called by GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Get {
    /// It changes nothing, and has an input that a URL can say.
    Allowed,
    /// It changes something, or its inputs are no primitives.
    Refused,
}

type Handler = for<'a> fn(&'a Call, &'a Place, &'a Arguments) -> BoxFuture<'a, Result<Answer, Stop>>;

/// An operation that is built.
pub struct Definition {
    /// Without `$`.
    pub name: &'static str,
    /// The canonical of its OperationDefinition.
    pub canonical: &'static str,
    /// The types that have it.
    pub types: Types,
    pub levels: &'static [Level],
    pub get: Get,
    /// What the caller must be allowed, of the place's type (of every type on the whole server). What else is
    /// looked at is asked for by the handler.
    pub permission: Permission,
    /// The input that a body is which is no Parameters resource.
    pub body: Option<&'static str>,
    run: Handler,
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Definition {}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.name)
    }
}

impl Definition {
    /// The methods that it answers.
    pub fn allow(&self) -> &'static str {
        match self.get {
            Get::Allowed => "GET, HEAD, POST",
            Get::Refused => "POST",
        }
    }

    /// Whether it changes what is stored.
    pub fn changes(&self) -> bool {
        !matches!(self.permission, Permission::Read | Permission::Search)
    }

    /// Whether it answers this method.
    pub fn answers(&self, method: &Method) -> bool {
        let get = *method == Method::GET || *method == Method::HEAD;
        *method == Method::POST || (get && self.get == Get::Allowed)
    }
}

/// Why there is no operation at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// No operation of this name, or not of this type.
    Unknown,
    /// The type has it, at other levels.
    Elsewhere { levels: &'static [Level] },
}

/// The operation of this name (without `$`) at a place.
///
/// # Errors
/// [`Missing`]
pub fn find(name: &str, place: &Place) -> Result<&'static Definition, Missing> {
    let of_kind = |one: &&Definition| {
        let here = *place == Place::System || one.types.include(place.kind());
        one.name == name && here
    };
    let mut missing = Missing::Unknown;
    for one in TABLE.iter().filter(of_kind) {
        if one.levels.contains(&place.level()) {
            return Ok(one);
        }
        missing = Missing::Elsewhere { levels: one.levels };
    }
    Err(missing)
}

/// The names of all operations.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|one| one.name)
}

/// Calls an operation.
pub async fn run(call: &Call, place: &Place, operation: &Definition) -> Result<Answer, Stop> {
    let arguments = Arguments::of(call, operation)?;
    (operation.run)(call, place, &arguments).await
}

/// A resource as an operation's answer.
fn answered(call: &Call, resource: &Value) -> Answer {
    answer::resource(StatusCode::OK, resource, call.wishes.layout)
}

/// Every operation that is built.
pub static TABLE: &[Definition] = &[
    Definition {
        name: "meta",
        canonical: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
        types: Types::All,
        levels: &[Level::Instance],
        get: Get::Allowed,
        permission: Permission::Read,
        body: None,
        run: |call, place, _| Box::pin(meta::read(call, place)),
    },
    Definition {
        name: "meta-add",
        canonical: "http://hl7.org/fhir/OperationDefinition/Resource-meta-add",
        types: Types::All,
        levels: &[Level::Instance],
        get: Get::Refused,
        permission: Permission::Update,
        body: None,
        run: |call, place, arguments| Box::pin(meta::change(call, place, arguments, meta::add)),
    },
    Definition {
        name: "meta-delete",
        canonical: "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete",
        types: Types::All,
        levels: &[Level::Instance],
        get: Get::Refused,
        permission: Permission::Update,
        body: None,
        run: |call, place, arguments| Box::pin(meta::change(call, place, arguments, meta::remove)),
    },
    Definition {
        name: "everything",
        canonical: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        types: Types::These(&["Patient"]),
        levels: &[Level::Instance],
        get: Get::Allowed,
        permission: Permission::Read,
        body: None,
        run: |call, place, arguments| Box::pin(everything::everything(call, place, arguments)),
    },
    Definition {
        name: "match",
        canonical: "http://hl7.org/fhir/OperationDefinition/Patient-match",
        types: Types::These(&["Patient"]),
        levels: &[Level::Type],
        get: Get::Refused,
        permission: Permission::Search,
        body: Some("resource"),
        run: |call, _, arguments| Box::pin(person_match::find(call, arguments)),
    },
    Definition {
        name: "ihe-pix",
        canonical: "https://profiles.ihe.net/ITI/PIXm/OperationDefinition/IHE.PIXm.pix",
        types: Types::These(&["Patient"]),
        levels: &[Level::Type],
        get: Get::Allowed,
        permission: Permission::Search,
        body: None,
        run: |call, _, arguments| Box::pin(cross_reference::identifiers(call, arguments)),
    },
    Definition {
        name: "expand",
        canonical: "http://hl7.org/fhir/OperationDefinition/ValueSet-expand",
        types: Types::These(&["ValueSet"]),
        levels: &[Level::Type, Level::Instance],
        get: Get::Allowed,
        permission: Permission::Read,
        body: Some("valueSet"),
        run: |call, place, arguments| Box::pin(expand::expand(call, place, arguments)),
    },
    Definition {
        name: "validate-code",
        canonical: "http://hl7.org/fhir/OperationDefinition/ValueSet-validate-code",
        types: Types::These(&["ValueSet"]),
        levels: &[Level::Type, Level::Instance],
        get: Get::Allowed,
        permission: Permission::Read,
        body: None,
        run: |call, place, arguments| Box::pin(validate_code::in_set(call, place, arguments)),
    },
    Definition {
        name: "validate-code",
        canonical: "http://hl7.org/fhir/OperationDefinition/CodeSystem-validate-code",
        types: Types::These(&["CodeSystem"]),
        levels: &[Level::Type, Level::Instance],
        get: Get::Allowed,
        permission: Permission::Read,
        body: None,
        run: |call, place, arguments| Box::pin(validate_code::in_system(call, place, arguments)),
    },
    Definition {
        name: "lookup",
        canonical: "http://hl7.org/fhir/OperationDefinition/CodeSystem-lookup",
        types: Types::These(&["CodeSystem"]),
        levels: &[Level::Type],
        get: Get::Allowed,
        permission: Permission::Read,
        body: None,
        run: |call, _, arguments| Box::pin(lookup::lookup(call, arguments)),
    },
    Definition {
        name: "translate",
        canonical: "http://hl7.org/fhir/OperationDefinition/ConceptMap-translate",
        types: Types::These(&["ConceptMap"]),
        levels: &[Level::Type, Level::Instance],
        get: Get::Allowed,
        permission: Permission::Read,
        body: None,
        run: |call, place, arguments| Box::pin(translate::translate(call, place, arguments)),
    },
    Definition {
        name: "validate",
        canonical: "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        types: Types::All,
        levels: &[Level::Type, Level::Instance],
        get: Get::Refused,
        permission: Permission::Read,
        body: Some("resource"),
        run: |call, place, arguments| Box::pin(validate::validate(call, place, arguments)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn patient(id: &str) -> Place {
        Place::Instance { kind: "Patient".to_owned(), id: id.to_owned() }
    }

    #[test]
    fn an_operation_is_found_where_it_is() {
        let elsewhere = Err(Missing::Elsewhere { levels: &[Level::Instance] });
        assert_eq!(find("meta", &patient("1")).unwrap().name, "meta");
        assert_eq!(find("meta", &Place::Type { kind: "Patient".to_owned() }), elsewhere);
        assert_eq!(find("frobnicate", &patient("1")), Err(Missing::Unknown));
    }

    #[test]
    fn what_changes_something_is_never_called_by_get() {
        for one in TABLE {
            assert!(!one.changes() || one.get == Get::Refused, "{one:?}");
            assert!(!one.levels.is_empty() && !one.answers(&Method::PUT), "{one:?}");
        }
    }
}
