//! Which FHIR interaction a request is: the one table that the router, the entries of bundles, the scopes
//! and `Allow` are read from. <https://hl7.org/fhir/R4/http.html>

use axum::http::Method;

use super::fhir::operation::{self, Definition, Level, Missing, Place};
use crate::auth::scope::Permission;
use crate::fhir::capability::{Interaction as OnType, SystemInteraction};
use crate::fhir::compartment;

/// An interaction that is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interaction {
    Capabilities,
    /// A transaction or batch: what its entries do is asked of each entry.
    Bundle,
    Search {
        kind: String,
    },
    /// `GET [base]?_type=…`: what is looked at is asked of each type.
    SearchSystem,
    /// `GET Patient/1/Observation`, `GET Patient/1/*` (no `kind`).
    SearchCompartment {
        compartment: String,
        id: String,
        kind: Option<String>,
    },
    Create {
        kind: String,
    },
    Read {
        kind: String,
        id: String,
    },
    Vread {
        kind: String,
        id: String,
        version: String,
    },
    History {
        kind: String,
        id: String,
    },
    HistoryType {
        kind: String,
    },
    HistorySystem,
    Update {
        kind: String,
        id: String,
    },
    /// `PUT Type?query`
    UpdateMatch {
        kind: String,
    },
    Patch {
        kind: String,
        id: String,
    },
    /// `PATCH Type?query`
    PatchMatch {
        kind: String,
    },
    Delete {
        kind: String,
        id: String,
    },
    /// `DELETE Type?query`
    DeleteMatch {
        kind: String,
    },
    /// `$NAME` on the server, a type or an instance.
    Operation {
        place: Place,
        operation: &'static Definition,
    },
}

/// Why a request is no interaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoInteraction {
    NotFound,
    /// Not an R4 resource type.
    UnknownType(String),
    /// No operation of this name, or not of this type.
    UnknownOperation(String),
    /// The type has the operation, at these levels only.
    OperationElsewhere {
        levels: &'static [Level],
    },
    /// 405, with what is allowed there.
    Method {
        allow: &'static str,
    },
}

/// What is built on each type, for the CapabilityStatement.
pub const ON_TYPES: [OnType; 9] = [
    OnType::Read,
    OnType::Vread,
    OnType::Update,
    OnType::Patch,
    OnType::Delete,
    OnType::HistoryInstance,
    OnType::HistoryType,
    OnType::Create,
    OnType::SearchType,
];
/// What is built on the whole server.
pub const ON_SYSTEM: [SystemInteraction; 4] = [
    SystemInteraction::Transaction,
    SystemInteraction::Batch,
    SystemInteraction::SearchSystem,
    SystemInteraction::HistorySystem,
];

/// What may be done at one place, in the order of `Allow`.
const AT_BASE: &str = "GET, HEAD, POST";
const AT_METADATA: &str = "GET, HEAD";
const AT_TYPE: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const AT_SEARCH: &str = "GET, HEAD, POST";
const AT_INSTANCE: &str = "GET, HEAD, PUT, PATCH, DELETE";
const AT_HISTORY: &str = "GET, HEAD";

impl Interaction {
    /// Reads method and path below the base, without a query: `Patient/1/_history`. `is_type` tells R4's
    /// resource types.
    ///
    /// # Errors
    /// [`NoInteraction`] says why it is none.
    pub fn parse(method: &Method, path: &str, is_type: impl Fn(&str) -> bool) -> Result<Self, NoInteraction> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let get = *method == Method::GET || *method == Method::HEAD;
        let post = *method == Method::POST;
        if let Some((name, place)) = segments.split_last().filter(|(last, _)| last.starts_with('$')) {
            return Self::operation(method, name, place, is_type);
        }
        match segments.as_slice() {
            [] if post => Ok(Self::Bundle),
            [] if get => Ok(Self::SearchSystem),
            [] => Err(NoInteraction::Method { allow: AT_BASE }),
            ["metadata"] if get => Ok(Self::Capabilities),
            ["metadata"] => Err(NoInteraction::Method { allow: AT_METADATA }),
            ["_history"] if get => Ok(Self::HistorySystem),
            ["_history"] => Err(NoInteraction::Method { allow: AT_HISTORY }),
            ["_search"] if get || post => Ok(Self::SearchSystem),
            ["_search"] => Err(NoInteraction::Method { allow: AT_SEARCH }),
            [kind, ..] if !is_type(kind) => Err(NoInteraction::UnknownType((*kind).to_owned())),
            [kind, id, within] | [kind, id, within, "_search"]
                if compartment::exists(kind) && (matches!(*within, "*" | "_search") || is_type(within)) =>
            {
                let search = segments.last() == Some(&"_search");
                if !(get || (post && search)) {
                    return Err(NoInteraction::Method {
                        allow: if search { AT_SEARCH } else { AT_METADATA },
                    });
                }
                let (compartment, id) = ((*kind).to_owned(), (*id).to_owned());
                let kind = is_type(within).then(|| (*within).to_owned());
                Ok(Self::SearchCompartment { compartment, id, kind })
            }
            [kind, rest @ ..] => Self::of_type(method, kind, rest),
        }
    }

    /// <https://hl7.org/fhir/R4/operations.html#executing>
    fn operation(
        method: &Method,
        name: &str,
        place: &[&str],
        is_type: impl Fn(&str) -> bool,
    ) -> Result<Self, NoInteraction> {
        let place = match place {
            [] => Place::System,
            [kind, ..] if !is_type(kind) => return Err(NoInteraction::UnknownType((*kind).to_owned())),
            [kind] => Place::Type { kind: (*kind).to_owned() },
            [kind, id] => Place::Instance { kind: (*kind).to_owned(), id: (*id).to_owned() },
            _ => return Err(NoInteraction::NotFound),
        };
        match operation::find(name.trim_start_matches('$'), &place) {
            Ok(operation) if operation.answers(method) => Ok(Self::Operation { place, operation }),
            Ok(operation) => Err(NoInteraction::Method { allow: operation.allow() }),
            Err(Missing::Elsewhere { levels }) => Err(NoInteraction::OperationElsewhere { levels }),
            Err(Missing::Unknown) => Err(NoInteraction::UnknownOperation(name.to_owned())),
        }
    }

    fn of_type(method: &Method, kind: &str, rest: &[&str]) -> Result<Self, NoInteraction> {
        let kind = kind.to_owned();
        let get = *method == Method::GET || *method == Method::HEAD;
        let post = *method == Method::POST;
        match rest {
            [] if get => Ok(Self::Search { kind }),
            [] if post => Ok(Self::Create { kind }),
            [] if *method == Method::PUT => Ok(Self::UpdateMatch { kind }),
            [] if *method == Method::DELETE => Ok(Self::DeleteMatch { kind }),
            [] if *method == Method::PATCH => Ok(Self::PatchMatch { kind }),
            [] => Err(NoInteraction::Method { allow: AT_TYPE }),
            ["_search"] if get || post => Ok(Self::Search { kind }),
            ["_search"] => Err(NoInteraction::Method { allow: AT_SEARCH }),
            ["_history"] if get => Ok(Self::HistoryType { kind }),
            ["_history"] => Err(NoInteraction::Method { allow: AT_HISTORY }),
            [id] => Self::of_instance(method, kind, (*id).to_owned()),
            [id, "_history"] if get => Ok(Self::History { kind, id: (*id).to_owned() }),
            [id, "_history", version] if get => {
                Ok(Self::Vread { kind, id: (*id).to_owned(), version: (*version).to_owned() })
            }
            [_, "_history"] | [_, "_history", _] => Err(NoInteraction::Method { allow: AT_HISTORY }),
            _ => Err(NoInteraction::NotFound),
        }
    }

    fn of_instance(method: &Method, kind: String, id: String) -> Result<Self, NoInteraction> {
        match *method {
            Method::GET | Method::HEAD => Ok(Self::Read { kind, id }),
            Method::PUT => Ok(Self::Update { kind, id }),
            Method::DELETE => Ok(Self::Delete { kind, id }),
            Method::PATCH => Ok(Self::Patch { kind, id }),
            _ => Err(NoInteraction::Method { allow: AT_INSTANCE }),
        }
    }

    /// What a caller must be allowed. `None`: anyone ([`Interaction::Capabilities`]), or asked elsewhere
    /// (each entry of a bundle, each type of a search across types).
    pub fn permission(&self) -> Option<(Permission, &str)> {
        match self {
            Self::Capabilities | Self::Bundle | Self::SearchSystem => None,
            Self::SearchCompartment { kind, .. } => kind.as_deref().map(|kind| (Permission::Search, kind)),
            // What SMART says of histories of more than one resource:
            // <https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html>
            Self::Search { kind } | Self::HistoryType { kind } => Some((Permission::Search, kind)),
            Self::HistorySystem => Some((Permission::Search, "*")),
            Self::Create { kind } => Some((Permission::Create, kind)),
            Self::Read { kind, .. } | Self::Vread { kind, .. } | Self::History { kind, .. } => {
                Some((Permission::Read, kind))
            }
            Self::Update { kind, .. }
            | Self::UpdateMatch { kind }
            | Self::Patch { kind, .. }
            | Self::PatchMatch { kind } => Some((Permission::Update, kind)),
            Self::Delete { kind, .. } | Self::DeleteMatch { kind } => Some((Permission::Delete, kind)),
            Self::Operation { place, operation } => Some((operation.permission, place.kind())),
        }
    }

    /// Whether it may change what is stored.
    pub fn writes(&self) -> bool {
        let permission = self.permission().map(|(permission, _)| permission);
        let changes =
            matches!(permission, Some(Permission::Create | Permission::Update | Permission::Delete));
        changes || matches!(self, Self::Bundle)
    }

    /// Whether it needs no token at all.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Capabilities)
    }

    /// A word for metrics and spans: R4's code of the interaction.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Bundle => "bundle",
            Self::Search { .. } => "search-type",
            Self::SearchSystem => "search-system",
            Self::SearchCompartment { .. } => "search-compartment",
            Self::Create { .. } => "create",
            Self::Read { .. } => "read",
            Self::Vread { .. } => "vread",
            Self::History { .. } => "history-instance",
            Self::HistoryType { .. } => "history-type",
            Self::HistorySystem => "history-system",
            Self::Update { .. } => "update",
            Self::UpdateMatch { .. } => "conditional-update",
            Self::Patch { .. } => "patch",
            Self::PatchMatch { .. } => "conditional-patch",
            Self::Delete { .. } => "delete",
            Self::DeleteMatch { .. } => "conditional-delete",
            Self::Operation { .. } => "operation",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, path: &str) -> Result<Interaction, NoInteraction> {
        Interaction::parse(&method, path, |kind| kind == "Patient")
    }

    fn patient(id: &str) -> (String, String) {
        ("Patient".to_owned(), id.to_owned())
    }

    #[test]
    fn every_interaction_has_its_place() {
        let (kind, id) = patient("1");
        assert_eq!(parse(Method::POST, "/"), Ok(Interaction::Bundle));
        assert_eq!(parse(Method::GET, "metadata"), Ok(Interaction::Capabilities));
        assert_eq!(parse(Method::GET, "Patient"), Ok(Interaction::Search { kind: kind.clone() }));
        assert_eq!(parse(Method::POST, "Patient/_search"), Ok(Interaction::Search { kind: kind.clone() }));
        assert_eq!(parse(Method::GET, "Patient/_search"), Ok(Interaction::Search { kind: kind.clone() }));
        assert_eq!(parse(Method::POST, "Patient/"), Ok(Interaction::Create { kind: kind.clone() }));
        assert_eq!(
            parse(Method::HEAD, "Patient/1"),
            Ok(Interaction::Read { kind: kind.clone(), id: id.clone() })
        );
        assert_eq!(
            parse(Method::PUT, "Patient/1"),
            Ok(Interaction::Update { kind: kind.clone(), id: id.clone() })
        );
        assert_eq!(
            parse(Method::GET, "Patient/1/_history/2"),
            Ok(Interaction::Vread { kind: kind.clone(), id: id.clone(), version: "2".to_owned() })
        );
        assert_eq!(parse(Method::GET, "Patient/1/_history"), Ok(Interaction::History { kind, id }));
        assert_eq!(parse(Method::GET, "/"), Ok(Interaction::SearchSystem));
        assert_eq!(parse(Method::POST, "_search"), Ok(Interaction::SearchSystem));
        let compartment = |kind: Option<&str>| {
            let (compartment, id) = patient("1");
            Ok(Interaction::SearchCompartment { compartment, id, kind: kind.map(str::to_owned) })
        };
        assert_eq!(parse(Method::GET, "Patient/1/*"), compartment(None));
        assert_eq!(parse(Method::GET, "Patient/1/Patient"), compartment(Some("Patient")));
        assert_eq!(parse(Method::POST, "Patient/1/Patient/_search"), compartment(Some("Patient")));
    }

    #[test]
    fn what_is_no_interaction_says_why() {
        assert_eq!(parse(Method::GET, "Foo/1"), Err(NoInteraction::UnknownType("Foo".to_owned())));
        assert_eq!(parse(Method::POST, "Patient/1"), Err(NoInteraction::Method { allow: AT_INSTANCE }));
        assert_eq!(parse(Method::GET, "Patient/1/2"), Err(NoInteraction::NotFound));
        let unknown = NoInteraction::UnknownOperation("$frobnicate".to_owned());
        assert_eq!(parse(Method::POST, "Patient/1/$frobnicate"), Err(unknown));
        assert_eq!(parse(Method::GET, "Patient/1/$meta-add"), Err(NoInteraction::Method { allow: "POST" }));
        let elsewhere = NoInteraction::OperationElsewhere { levels: &[Level::Instance] };
        assert_eq!(parse(Method::GET, "Patient/$meta-add"), Err(elsewhere));
    }

    /// The property that nothing is without a policy: whatever is an interaction either needs a permission,
    /// or is asked about elsewhere.
    #[test]
    fn nothing_is_without_a_policy() {
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];
        let words =
            ["", "metadata", "Patient", "_search", "_history", "1", "$x", "$meta", "$meta-add", "Foo"];
        let mut interactions = 0;
        for method in &methods {
            for a in words {
                for b in words {
                    for c in words {
                        let path = format!("{a}/{b}/{c}");
                        let Ok(found) = Interaction::parse(method, &path, |kind| kind == "Patient") else {
                            continue;
                        };
                        interactions += 1;
                        let elsewhere = matches!(
                            found,
                            Interaction::Bundle
                                | Interaction::SearchSystem
                                | Interaction::SearchCompartment { kind: None, .. }
                        );
                        assert!(found.permission().is_some() ^ (elsewhere || found.is_public()), "{path}");
                    }
                }
            }
        }
        assert!(interactions > 20);
    }
}
