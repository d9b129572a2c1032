//! The CapabilityStatement: what this server can do, from the tables that do it.
//!
//! Search parameters, includes and types come from the same tables as index and search; interactions from
//! the server, which passes what its router has. **Never** names anything that is not built.
//! <https://hl7.org/fhir/R4/capabilitystatement.html>

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::fhir::elements::table;
use crate::fhir::parameters::custom::{Custom, Own, State};
use crate::fhir::parameters::{self, Parameter, SearchType};
use crate::fhir::profile::Registry;

/// What the server's router has.
#[derive(Debug, Clone, Copy)]
pub struct Description<'a> {
    /// The FHIR base as clients see it.
    pub base: &'a str,
    /// Of the software: `0.1.0`.
    pub version: &'a str,
    /// When this statement last changed, as a FHIR dateTime.
    pub date: &'a str,
    pub interactions: &'a [Interaction],
    pub system: &'a [SystemInteraction],
    pub conditional: Conditional,
    pub operations: &'a [Operation],
    /// Whether pages of other origins may call.
    pub cors: Support,
    /// `json`, `application/fhir+json` …
    pub formats: &'a [&'a str],
    /// The media types of patches.
    pub patch_formats: &'a [&'a str],
    /// The tenant's own search parameters.
    pub custom: &'a Custom,
    /// What resources may claim to keep to.
    pub profiles: &'a Registry,
}

/// An interaction on a type or instance. <https://hl7.org/fhir/R4/valueset-type-restful-interaction.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interaction {
    Read,
    Vread,
    Update,
    Patch,
    Delete,
    HistoryInstance,
    HistoryType,
    Create,
    SearchType,
}

impl Interaction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Vread => "vread",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::HistoryInstance => "history-instance",
            Self::HistoryType => "history-type",
            Self::Create => "create",
            Self::SearchType => "search-type",
        }
    }
}

/// An interaction on the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemInteraction {
    Transaction,
    Batch,
    SearchSystem,
    HistorySystem,
}

impl SystemInteraction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Batch => "batch",
            Self::SearchSystem => "search-system",
            Self::HistorySystem => "history-system",
        }
    }
}

/// The types that have something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    All,
    These(&'static [&'static str]),
}

impl Types {
    pub fn include(self, kind: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.contains(&kind),
        }
    }
}

/// An operation, at least at one of the places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Without `$`.
    pub name: &'static str,
    /// The canonical of its OperationDefinition.
    pub canonical: &'static str,
    /// Types that have it, or whose instances do. `None`: only the whole server.
    pub types: Option<Types>,
    /// Whether the whole server has it.
    pub system: bool,
}

impl Operation {
    fn to_value(self) -> Value {
        json!({ "name": self.name, "definition": self.canonical })
    }
}

/// Which interactions may carry a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditional {
    pub create: Support,
    pub update: Support,
    pub delete: Support,
    /// `If-None-Match`, `If-Modified-Since`
    pub read: Support,
}

/// Whether something is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    Built,
    NotBuilt,
}

impl Support {
    fn built(self) -> bool {
        self == Self::Built
    }
}

/// The CapabilityStatement resource. Large and always the same: make it once.
pub fn statement(description: &Description<'_>) -> Value {
    let reverse = reverse_includes(description.custom);
    let resources: Vec<Value> =
        table().kinds().iter().map(|kind| resource(kind, description, reverse.get(kind))).collect();
    let system: Vec<Value> = description.system.iter().map(|one| json!({ "code": one.as_str() })).collect();
    let mut rest = Map::new();
    rest.insert("mode".into(), "server".into());
    rest.insert("security".into(), security(description.cors));
    rest.insert("resource".into(), resources.into());
    if !system.is_empty() {
        rest.insert("interaction".into(), system.into());
    }
    let operations: Vec<Value> =
        description.operations.iter().filter(|one| one.system).map(|one| one.to_value()).collect();
    if !operations.is_empty() {
        rest.insert("operation".into(), operations.into());
    }
    json!({
        "resourceType": "CapabilityStatement",
        "url": format!("{}/metadata", description.base),
        "version": description.version,
        "name": "Mjumbe",
        "title": "Mjumbe",
        "status": "active",
        "date": description.date,
        "kind": "instance",
        "software": { "name": "Mjumbe", "version": description.version },
        "implementation": { "description": "Mjumbe, between FHIR, RapidPro and DHIS2", "url": description.base },
        "fhirVersion": "4.0.1",
        "format": description.formats,
        "patchFormat": description.patch_formats,
        "rest": [rest],
    })
}

/// How callers say who they are. <https://hl7.org/fhir/R4/valueset-restful-security-service.html>
fn security(cors: Support) -> Value {
    let service = |code: &str, text: &str| {
        let system = "http://terminology.hl7.org/CodeSystem/restful-security-service";
        json!({ "coding": [{ "system": system, "code": code }], "text": text })
    };
    json!({
        "cors": cors.built(),
        "service": [
            service("OAuth", "a bearer token"),
            service("Basic", "the token's name as user, the token as password"),
        ],
        "description": "A bearer token, or Basic with the token's name as user",
    })
}

/// The TerminologyCapabilities resource: what `GET metadata?mode=terminology` answers.
/// <https://hl7.org/fhir/R4/terminologycapabilities.html>
pub fn terminology(base: &str, version: &str, date: &str) -> Value {
    json!({
        "resourceType": "TerminologyCapabilities",
        "url": format!("{base}/metadata?mode=terminology"),
        "version": version,
        "name": "MjumbeTerminology",
        "title": "Mjumbe's terminology",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": { "name": "Mjumbe", "version": version },
        "implementation": { "description": "Mjumbe, between FHIR, RapidPro and DHIS2", "url": base },
        "lockedDate": false,
    })
}

/// For each type: the `Type:parameter` that may refer to it.
fn reverse_includes(custom: &Custom) -> BTreeMap<&'static str, Vec<String>> {
    let mut out: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for kind in table().kinds() {
        for parameter in parameters::of(kind).iter().chain(active(custom, kind).map(|own| &own.parameter)) {
            for target in &parameter.targets {
                out.entry(target).or_default().push(format!("{kind}:{}", parameter.code));
            }
        }
    }
    out
}

fn resource(kind: &str, description: &Description<'_>, reverse: Option<&Vec<String>>) -> Value {
    let conditional = description.conditional;
    let has = |interaction: Interaction| description.interactions.contains(&interaction);
    let interactions: Vec<Value> =
        description.interactions.iter().map(|one| json!({ "code": one.as_str() })).collect();
    let mut out = Map::new();
    out.insert("type".into(), kind.into());
    out.insert("profile".into(), format!("http://hl7.org/fhir/StructureDefinition/{kind}").into());
    let profiles = description.profiles.on(kind);
    if !profiles.is_empty() {
        out.insert("supportedProfile".into(), profiles.into());
    }
    if !interactions.is_empty() {
        out.insert("interaction".into(), interactions.into());
    }
    out.insert("versioning".into(), "versioned".into());
    out.insert("readHistory".into(), has(Interaction::Vread).into());
    out.insert("updateCreate".into(), has(Interaction::Update).into());
    out.insert("conditionalCreate".into(), conditional.create.built().into());
    let read = if conditional.read.built() { "full-support" } else { "not-supported" };
    out.insert("conditionalRead".into(), read.into());
    out.insert("conditionalUpdate".into(), conditional.update.built().into());
    let delete = if conditional.delete.built() { "single" } else { "not-supported" };
    out.insert("conditionalDelete".into(), delete.into());
    out.insert("referencePolicy".into(), json!(["literal", "logical", "local"]));
    if has(Interaction::SearchType) {
        search(kind, (description.custom, reverse), &mut out);
    }
    let of_kind = |one: &&Operation| one.types.is_some_and(|types| types.include(kind));
    let operations: Vec<Value> =
        description.operations.iter().filter(of_kind).map(|one| one.to_value()).collect();
    if !operations.is_empty() {
        out.insert("operation".into(), operations.into());
    }
    Value::Object(out)
}

/// Those that can be searched by.
fn active<'a>(custom: &'a Custom, kind: &str) -> impl Iterator<Item = &'a Own> {
    custom.kind(kind).iter().filter(|own| own.state == State::Active)
}

fn search(kind: &str, (custom, reverse): (&Custom, Option<&Vec<String>>), out: &mut Map<String, Value>) {
    let all = parameters::of(kind);
    let own = || active(custom, kind);
    let includes: Vec<String> = all
        .iter()
        .chain(own().map(|own| &own.parameter))
        .filter(|parameter| parameter.search_type == SearchType::Reference)
        .map(|parameter| format!("{kind}:{}", parameter.code))
        .collect();
    if !includes.is_empty() {
        out.insert("searchInclude".into(), includes.into());
    }
    if let Some(reverse) = reverse {
        out.insert("searchRevInclude".into(), reverse.clone().into());
    }
    let named =
        |parameter: &Parameter| json!({ "name": parameter.code, "type": parameter.search_type.as_str() });
    let mut listed: Vec<Value> = all.iter().map(named).collect();
    for own in own() {
        let mut one = named(&own.parameter);
        if !own.url.is_empty() {
            one["definition"] = own.url.as_str().into();
        }
        listed.push(one);
    }
    out.insert("searchParam".into(), listed.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::structure;

    fn full() -> Value {
        statement(&Description {
            base: "http://us/fhir",
            version: "0.1.0",
            date: "2026-11-21",
            interactions: &[Interaction::Read, Interaction::SearchType],
            system: &[SystemInteraction::Transaction],
            conditional: Conditional {
                create: Support::Built,
                update: Support::NotBuilt,
                delete: Support::NotBuilt,
                read: Support::NotBuilt,
            },
            operations: &[Operation {
                name: "everything",
                canonical: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
                types: Some(Types::These(&["Patient"])),
                system: false,
            }],
            cors: Support::Built,
            formats: &["json"],
            patch_formats: &["application/json-patch+json"],
            custom: Custom::none(),
            profiles: &Registry::own().unwrap(),
        })
    }

    #[test]
    fn the_statement_is_r4() {
        assert_eq!(structure::check(&full()), []);
    }

    #[test]
    fn the_profiles_that_are_enforced_are_named() {
        let statement = full();
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        let named = |kind: &str| {
            let resource = resources.iter().find(|resource| resource["type"] == kind).unwrap();
            resource["supportedProfile"].clone()
        };
        assert_eq!(
            named("Questionnaire"),
            json!(["https://mjumbe.org/fhir/StructureDefinition/flow-questionnaire"])
        );
        assert_eq!(named("Patient"), Value::Null);
    }

    #[test]
    fn what_is_not_built_is_not_in_it() {
        let statement = full();
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        let named = |kind: &str, code: &str| {
            let found = resources.iter().find(|resource| resource["type"] == kind).unwrap();
            found["searchParam"].as_array().unwrap().iter().any(|parameter| parameter["name"] == code)
        };
        for unsupported in parameters::unsupported() {
            let (kind, code) = unsupported.split_once('.').unwrap();
            let kind = if kind.ends_with("Resource") { "Patient" } else { kind };
            assert!(!named(kind, code), "{unsupported}");
        }
        assert!(named("Patient", "birthdate") && named("Patient", "_tag"));
        let patient = resources.iter().find(|resource| resource["type"] == "Patient").unwrap();
        let codes: Vec<&str> = patient["interaction"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["code"].as_str())
            .collect();
        assert_eq!(codes, ["read", "search-type"]);
        assert_eq!(patient["operation"][0]["name"], "everything");
        assert!(resources.iter().all(|one| one["type"] == "Patient" || one.get("operation").is_none()));
        assert!(patient["searchRevInclude"].as_array().unwrap().contains(&"Observation:subject".into()));
    }
}
