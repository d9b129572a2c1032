//! Search parameters of a tenant's own, made of SearchParameter resources.
//! <https://hl7.org/fhir/R4/searchparameter.html>
//!
//! [`definitions`] reads a resource, [`Custom`] is what a tenant has at a moment: searches, index and
//! CapabilityStatement read it beside the standard table. Only `active` ones count; a standard parameter is
//! never replaced. **Never** evaluates anything by itself, and keeps no expression that does not compile.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;

use super::{Expression, Parameter, Program, SearchType, find};
use crate::fhir::elements::table;
use crate::fhir::index::ParameterKey;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::path::{self, PathError};

/// A tenant has at most this many, each counted once for every type that it is of.
pub const MAX: usize = 1_000;
/// The types that all others are derived from.
const ABSTRACT: [&str; 2] = ["Resource", "DomainResource"];
/// Codes of this process, of all tenants: they are kept for good.
const CODES_MAX: usize = 20_000;
/// The longest code.
const CODE_MAX: usize = 64;

/// What one SearchParameter says of one type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Definition {
    pub kind: &'static str,
    pub code: String,
    pub url: String,
    /// R4's code: `token`.
    pub search_type: &'static str,
    /// Of a reference; empty where any type may be meant.
    pub targets: Vec<&'static str>,
    pub expression: String,
}

/// Whether a parameter can be searched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its values are being collected.
    Building,
    Active,
}

/// One parameter of a tenant's own.
#[derive(Debug, Clone)]
pub struct Own {
    pub parameter: Parameter,
    pub state: State,
    /// The canonical url of the SearchParameter.
    pub url: String,
    /// Its id.
    pub source: String,
}

/// All parameters of a tenant's own at one moment.
#[derive(Debug, Default)]
pub struct Custom {
    by_kind: BTreeMap<&'static str, Vec<Own>>,
}

static NONE: LazyLock<Custom> = LazyLock::new(Custom::default);

impl Custom {
    /// Where a tenant has none, or none are known.
    pub fn none() -> &'static Self {
        &NONE
    }

    /// Makes the set of these (definition, source, state). What does not compile (any more) is left out.
    pub fn of(all: impl IntoIterator<Item = (Definition, String, State)>) -> Self {
        let mut by_kind: BTreeMap<&'static str, Vec<Own>> = BTreeMap::new();
        // One SearchParameter may be of every type.
        let mut compiled: HashMap<String, Option<Expression>> = HashMap::new();
        for (definition, source, state) in all {
            let expression = match compiled.get(&definition.expression) {
                Some(known) => known.clone(),
                None => {
                    let made = compile(&definition.expression).ok();
                    compiled.insert(definition.expression.clone(), made.clone());
                    made
                }
            };
            if let Some(parameter) = expression.and_then(|expression| parameter(&definition, expression)) {
                let own = Own { parameter, state, url: definition.url, source };
                by_kind.entry(definition.kind).or_default().push(own);
            }
        }
        by_kind.values_mut().for_each(|all| all.sort_by_key(|own| own.parameter.code));
        Self { by_kind }
    }

    pub fn is_empty(&self) -> bool {
        self.by_kind.is_empty()
    }

    /// Those of a type, by code.
    pub fn kind(&self, kind: &str) -> &[Own] {
        self.by_kind.get(kind).map_or(&[], Vec::as_slice)
    }

    /// One of a type.
    pub fn find(&self, kind: &str, code: &str) -> Option<&Own> {
        self.kind(kind).iter().find(|own| own.parameter.code == code)
    }

    /// Every type that has some.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.by_kind.keys().copied()
    }
}

/// What an active SearchParameter defines; empty for any other status.
///
/// # Errors
/// 422 that names the element: what cannot be searched by here, or does not compile.
pub fn definitions(resource: &Value) -> Result<Vec<Definition>, Outcome> {
    let text = |key: &str| resource.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("status") != "active" {
        return Ok(Vec::new());
    }
    let code = text("code");
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if code.is_empty() || code.len() > CODE_MAX || code.starts_with('_') || !code.chars().all(fits) {
        let outcome = refused("bad-code", "this code cannot stand in a url", "code");
        return Err(outcome.hint("up to 64 of A-Z, a-z, 0-9, - and _, not beginning with _"));
    }
    let search_type = match text("type") {
        "composite" | "special" => {
            let text = "parameters of this type are not made of SearchParameters";
            return Err(refused("not-supported", text, "type"));
        }
        named => SearchType::named(named).ok_or_else(|| refused("bad-value", "an unknown type", "type"))?,
    };
    let expression = text("expression");
    compile(expression)?;
    let mut all = Vec::new();
    for (at, base) in names(resource, "base").enumerate() {
        let place = format!("base[{at}]");
        let kinds = covered(base);
        if kinds.is_empty() {
            return Err(refused("unknown-type", "R4 has no resource type of this name", &place));
        }
        for kind in kinds {
            if find(kind, code).is_some() {
                let text = format!("R4 has the parameter {code} on {kind} already");
                return Err(refused("standard-parameter", &text, "code").hint("choose another code"));
            }
            all.push(Definition {
                kind,
                code: code.to_owned(),
                url: text("url").to_owned(),
                search_type: search_type.as_str(),
                targets: names(resource, "target").filter_map(|target| table().kind(target)).collect(),
                expression: expression.to_owned(),
            });
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The types that a base means: itself, or all that are derived from it.
/// <https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.base>
fn covered(base: &str) -> Vec<&'static str> {
    if !ABSTRACT.contains(&base) {
        return table().kind(base).into_iter().collect();
    }
    let derived: HashSet<&str> = table().derived(base).into_iter().collect();
    table().kinds().iter().copied().filter(|kind| derived.contains(kind)).collect()
}

fn names<'a>(resource: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    resource.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn refused(code: &'static str, text: &str, element: &str) -> Outcome {
    let outcome = Outcome::error(IssueType::BusinessRule, code, text.to_owned());
    outcome.status(422).at(format!("SearchParameter.{element}"))
}

fn compile(expression: &str) -> Result<Expression, Outcome> {
    if expression.is_empty() {
        return Err(refused("expression-missing", "an active SearchParameter needs one", "expression"));
    }
    path::engine().compile(expression).map(Expression).map_err(|error| {
        let outcome = refused("bad-expression", &error.to_string(), "expression");
        match error {
            PathError::Refused(_) => outcome.hint("write it with what FHIRPath of R4 has for resources"),
            _ => outcome.hint("written like Patient.extension('http://…').value"),
        }
    })
}

fn parameter(definition: &Definition, expression: Expression) -> Option<Parameter> {
    let code = kept(&definition.code)?;
    Some(Parameter {
        kind: definition.kind,
        code,
        search_type: SearchType::named(definition.search_type)?,
        targets: definition.targets.clone(),
        program: Program::Expression(expression),
        key: ParameterKey::new(definition.kind, code),
    })
}

/// The code as a text that lives as long as the process, as those of the table do. Bounded by
/// [`CODES_MAX`]; codes come back with each change of a definition, so there are few.
fn kept(code: &str) -> Option<&'static str> {
    static TEXTS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = texts.get(code) {
        return Some(text);
    }
    if texts.len() >= CODES_MAX || code.len() > CODE_MAX {
        return None;
    }
    let text: &'static str = Box::leak(code.to_owned().into_boxed_str());
    texts.insert(text);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parameter(more: Value) -> Value {
        let mut resource = json!({
            "resourceType": "SearchParameter", "status": "active", "url": "http://example.org/p", "name": "P",
            "description": "x", "code": "nation", "base": ["Patient"], "type": "token",
            "expression": "Patient.extension('http://example.org/nation').value",
        });
        resource.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        resource
    }

    fn refusal(more: Value) -> (u16, String, String) {
        let outcome = definitions(&parameter(more)).unwrap_err();
        let issue = &outcome.issues[0];
        (outcome.status, issue.code.to_string(), issue.expression.join(","))
    }

    #[test]
    fn an_active_one_defines_a_parameter_of_each_base() {
        let two = definitions(&parameter(json!({ "base": ["Practitioner", "Patient"] }))).unwrap();
        assert_eq!(two.iter().map(|one| one.kind).collect::<Vec<_>>(), ["Patient", "Practitioner"]);
        assert_eq!(definitions(&parameter(json!({ "status": "draft", "expression": "((" }))), Ok(vec![]));
        let custom = Custom::of(two.into_iter().map(|one| (one, "p".to_owned(), State::Active)));
        assert!(custom.find("Patient", "nation").is_some() && custom.find("Group", "nation").is_none());
    }

    #[test]
    fn a_base_that_others_are_derived_from_is_all_of_them() {
        let of = |base: &str| definitions(&parameter(json!({ "base": [base, "Patient"] }))).unwrap();
        let kinds = |base: &str| of(base).iter().map(|one| one.kind).collect::<Vec<_>>();
        assert_eq!(kinds("Resource"), table().kinds());
        let domain = kinds("DomainResource");
        assert_eq!(
            table().kinds().iter().filter(|kind| !domain.contains(*kind)).collect::<Vec<_>>(),
            [&"Binary", &"Bundle", &"Parameters"]
        );
    }

    #[test]
    fn what_cannot_be_searched_by_is_refused_with_its_place() {
        for (more, code, place) in [
            (json!({ "expression": "Patient.extension(" }), "bad-expression", "expression"),
            (json!({ "expression": "" }), "expression-missing", "expression"),
            (json!({ "code": "a:b" }), "bad-code", "code"),
            (json!({ "code": "_mine" }), "bad-code", "code"),
            (json!({ "code": "gender" }), "standard-parameter", "code"),
            (json!({ "type": "composite" }), "not-supported", "type"),
            (json!({ "base": ["Patient", "Element"] }), "unknown-type", "base[1]"),
            // Of Patient, among others.
            (json!({ "base": ["DomainResource"], "code": "gender" }), "standard-parameter", "code"),
        ] {
            let place = format!("SearchParameter.{place}");
            assert_eq!(refusal(more.clone()), (422, code.to_owned(), place), "{more}");
        }
    }
}
