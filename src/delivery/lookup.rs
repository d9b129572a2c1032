//! Answers a mapping's look-ups from the store: resources, searches, mirrored contacts and organisation
//! units. **Never** the network.
//!
//! What was found once and is not followed is answered from the version that was found then.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::watch;
use crate::fhir::index::ParameterKey;
use crate::fhir::parameters::custom::Custom;
use crate::fhir::query::Match;
use crate::fhir::reference::{Literal, parse};
use crate::fhir::resource::{instant, splice};
use crate::fhir::search;
use crate::fhir::structure::tolerated::NOTHING;
use crate::mapping::lookup::{Answer, Query, Source};
use crate::store::db::Connection;
use crate::store::error::Error;
use crate::store::read::{self, Stored};
use crate::store::{reads, search as stored_search};

/// The kind of mirrored RapidPro contacts; their id is `WORKSPACE/UUID`.
const CONTACT: &str = "rapidpro.contact";
/// The kind of mirrored organisation units; their id is `INSTANCE/UID`.
const ORG_UNIT: &str = "dhis2.organisationUnit";

/// What look-ups need to know of their surroundings.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub tenant: String,
    /// This server's FHIR base, so that absolute references to it are local.
    pub base: String,
    /// The tenant's zone.
    pub zone: TimeZone,
    /// Names of the tenant's RapidPro workspaces.
    pub workspaces: Vec<String>,
}

/// An answer, and what to watch for when it is absent or followed.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    pub answer: Answer,
    pub watched: Vec<String>,
}

impl Looked {
    fn refused(reason: impl Into<String>) -> Self {
        Self { answer: Answer::Refused(reason.into()), watched: Vec::new() }
    }
}

/// Looks something up as it is now.
///
/// # Errors
/// The database's. A question that cannot be asked is an [`Answer::Refused`].
pub async fn look_up(db: &mut Connection, around: &Surroundings, query: &Query) -> Result<Looked, Error> {
    let mut looked = match query {
        Query::Reference { reference } => by_reference(db, around, reference).await?,
        Query::Search { query, many } => by_search(db, around, query, *many).await?,
        Query::Contact { reference } => contact(db, around, reference).await?,
        Query::OrgUnit { value, by } => org_unit(db, around, value, by).await?,
    };
    if let Answer::Found { sources, .. } = &looked.answer {
        looked.watched.extend(sources.iter().map(|source| watch::resource(&source.kind, &source.id)));
    }
    Ok(looked)
}

/// The value of remembered sources, as it was. `None`: a version is gone; look it up anew.
///
/// # Errors
/// The database's.
pub async fn recall(
    db: &mut Connection,
    around: &Surroundings,
    query: &Query,
    sources: &[Source],
) -> Result<Option<Answer>, Error> {
    let wanted: Vec<(String, String)> =
        sources.iter().map(|source| (source.kind.clone(), source.id.clone())).collect();
    let current = read::many(db, &around.tenant, &wanted).await?;
    let numbers: Vec<(i64, i64)> = sources
        .iter()
        .filter_map(|source| {
            let found = current.iter().find(|stored| stored.kind == source.kind && stored.id == source.id)?;
            Some((found.rid, source.version))
        })
        .collect();
    let versions = read::versions(db, &around.tenant, &numbers).await?;
    let mut values = Vec::with_capacity(sources.len());
    for source in sources {
        let found = versions
            .iter()
            .find(|stored| {
                stored.kind == source.kind && stored.id == source.id && stored.version == source.version
            })
            .and_then(value_of);
        let Some(value) = found else { return Ok(None) };
        values.push(value);
    }
    let value = if is_list(query) { Some(Value::Array(values)) } else { values.into_iter().next() };
    Ok(value.map(|value| Answer::Found { value, sources: sources.to_vec() }))
}

fn is_list(query: &Query) -> bool {
    matches!(query, Query::Search { many, .. } if *many > 1)
}

/// A stored version as expressions see it: resources with `id` and `meta`, documents as they came, with
/// the last part of their id. `None`: deleted, or not JSON.
pub fn value_of(stored: &Stored) -> Option<Value> {
    let body = stored.body.as_deref()?;
    if !stored.kind.contains('.') {
        let spliced = splice(body, &stored.id, stored.version, &instant(stored.updated_ms));
        return serde_json::from_str(&spliced).ok();
    }
    let mut document: Value = serde_json::from_str(body).ok()?;
    if let Some(fields) = document.as_object_mut()
        && !fields.contains_key("id")
    {
        let id = stored.id.rsplit('/').next().unwrap_or_default();
        fields.insert("id".to_owned(), json!(id));
    }
    Some(document)
}

fn found(stored: &[Stored], watched: Vec<String>) -> Looked {
    let living: Vec<(&Stored, Value)> =
        stored.iter().filter_map(|stored| Some((stored, value_of(stored)?))).collect();
    let answer = match living.len() {
        0 => Answer::Absent,
        1 => living.into_iter().next().map_or(Answer::Absent, |(stored, value)| Answer::Found {
            value,
            sources: vec![source_of(stored)],
        }),
        several => Answer::Several(several),
    };
    Looked { answer, watched }
}

fn source_of(stored: &Stored) -> Source {
    Source { kind: stored.kind.clone(), id: stored.id.clone(), version: stored.version }
}

async fn by_reference(
    db: &mut Connection,
    around: &Surroundings,
    reference: &Value,
) -> Result<Looked, Error> {
    let text = reference.get("reference").unwrap_or(reference).as_str();
    if let Some((kind, id)) = text.and_then(|text| literal(around, text)) {
        let stored = read::many(db, &around.tenant, &[(kind.clone(), id.clone())]).await?;
        return Ok(found(&stored, vec![watch::resource(&kind, &id)]));
    }
    if let Some(Literal::Conditional { kind, query }) = text.map(parse) {
        return by_search(db, around, &format!("{kind}?{query}"), 1).await;
    }
    let Some((system, value)) = logical(reference) else {
        return Ok(Looked::refused(
            "this reference names neither a resource of this server nor an identifier",
        ));
    };
    let kinds = match reference.get("type").and_then(Value::as_str) {
        Some(kind) => vec![kind.to_owned()],
        None => REFERRED.iter().map(|kind| (*kind).to_owned()).collect(),
    };
    let mut matches = Vec::new();
    for kind in kinds {
        let token = Match::Token { system: Some(system.clone()), code: Some(value.clone()) };
        let parameter = ParameterKey::new(&kind, "identifier");
        matches.extend(stored_search::find(db, &around.tenant, &kind, (parameter, vec![token]), 2).await?);
    }
    Ok(found(&matches, vec![watch::identifier(&system, &value)]))
}

/// Where a logical reference without a type is looked for: those who people and places are.
const REFERRED: &[&str] = &[
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
    "Person",
    "Group",
    "Organization",
    "Location",
    "CareTeam",
    "HealthcareService",
    "Device",
    "Encounter",
    "EpisodeOfCare",
];

/// `Type/id` of a reference to a resource of this server.
fn literal(around: &Surroundings, text: &str) -> Option<(String, String)> {
    match parse(text) {
        Literal::Relative { kind, id, .. } => Some((kind.to_owned(), id.to_owned())),
        Literal::Absolute { base, kind, id, .. }
            if base.trim_end_matches('/') == around.base.trim_end_matches('/') =>
        {
            Some((kind.to_owned(), id.to_owned()))
        }
        _ => None,
    }
}

/// `system|value` of a logical reference, as an object or as text.
fn logical(reference: &Value) -> Option<(String, String)> {
    if let Some(text) = reference.as_str() {
        let (system, value) = text.rsplit_once('|')?;
        return Some((system.to_owned(), value.to_owned()));
    }
    let identifier = reference.get("identifier")?;
    let value = identifier.get("value").and_then(Value::as_str)?;
    let system = identifier.get("system").and_then(Value::as_str).unwrap_or_default();
    Some((system.to_owned(), value.to_owned()))
}

async fn by_search(
    db: &mut Connection,
    around: &Surroundings,
    query: &str,
    many: u32,
) -> Result<Looked, Error> {
    let Some((kind, parameters)) = query.split_once('?') else {
        return Ok(Looked::refused("a search is written as Type?parameter=value"));
    };
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(parameters.replace('+', "%2B").as_bytes()).into_owned().collect();
    let context = search::Context {
        base: &around.base,
        zone: &around.zone,
        now: Timestamp::now(),
        handling: search::Handling::Strict,
        custom: Custom::none(),
        tolerated: NOTHING,
    };
    let parsed = match search::parse(kind, &pairs, &context) {
        Ok(parsed) => parsed,
        Err(outcome) => return Ok(Looked::refused(refusal(&outcome.to_value()))),
    };
    let watched = watch::search(&parsed.query);
    let limit = if many > 1 { many } else { 2 };
    let matches = stored_search::matches(db, &around.tenant, &parsed.query, limit).await?;
    let wanted: Vec<(String, String)> = matches.into_iter().map(|(kind, id, _)| (kind, id)).collect();
    let mut stored = read::many(db, &around.tenant, &wanted).await?;
    if many <= 1 {
        return Ok(found(&stored, watched));
    }
    stored.sort_by_key(|stored| stored.rid);
    let living: Vec<(Source, Value)> =
        stored.iter().filter_map(|stored| Some((source_of(stored), value_of(stored)?))).collect();
    if living.is_empty() {
        return Ok(Looked { answer: Answer::Absent, watched });
    }
    let (sources, values) = living.into_iter().unzip();
    Ok(Looked { answer: Answer::Found { value: Value::Array(values), sources }, watched })
}

/// The first issue's text of an OperationOutcome.
fn refusal(outcome: &Value) -> String {
    let issue = outcome.pointer("/issue/0");
    let text = issue.and_then(|issue| issue.pointer("/details/text").or_else(|| issue.get("diagnostics")));
    text.and_then(Value::as_str).unwrap_or("the search cannot be read").to_owned()
}

/// The contact that a reference is linked to, or that its identifier (`WORKSPACE-URL/contact`) names.
async fn contact(db: &mut Connection, around: &Surroundings, reference: &Value) -> Result<Looked, Error> {
    let mut wanted = Vec::new();
    let mut watched = Vec::new();
    let uuid = logical(reference).filter(|(system, _)| system.ends_with("/contact")).map(|(_, value)| value);
    if let Some(uuid) = uuid {
        wanted.extend(around.workspaces.iter().map(|name| (CONTACT.to_owned(), format!("{name}/{uuid}"))));
    } else if let Some(text) = reference.get("reference").unwrap_or(reference).as_str()
        && let Some((kind, id)) = literal(around, text)
    {
        watched.push(watch::link(&format!("{kind}/{id}")));
        let links = reads::links_of(db, &around.tenant, (&kind, &id), CONTACT).await?;
        wanted.extend(links.into_iter().map(|(name, uuid)| (CONTACT.to_owned(), format!("{name}/{uuid}"))));
    } else {
        return Ok(Looked::refused("this reference names neither a contact nor a resource linked to one"));
    }
    watched.extend(wanted.iter().map(|(kind, id)| watch::resource(kind, id)));
    let stored = read::many(db, &around.tenant, &wanted).await?;
    Ok(found(&stored, watched))
}

async fn org_unit(
    db: &mut Connection,
    around: &Surroundings,
    value: &str,
    by: &str,
) -> Result<Looked, Error> {
    let parameter = ParameterKey::new(ORG_UNIT, by);
    let token = Match::Token { system: None, code: Some(value.to_owned()) };
    let stored = stored_search::find(db, &around.tenant, ORG_UNIT, (parameter, vec![token]), 3).await?;
    Ok(found(&stored, vec![watch::token(parameter, value)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_by_identifier_are_objects_or_text() {
        let object = json!({"identifier": {"system": "urn:s", "value": "7"}});
        assert_eq!(logical(&object), Some(("urn:s".to_owned(), "7".to_owned())));
        assert_eq!(logical(&json!("urn:s|7")), Some(("urn:s".to_owned(), "7".to_owned())));
        assert_eq!(logical(&json!({"display": "x"})), None);
    }

    #[test]
    fn a_document_is_as_it_came_with_its_id() {
        let stored = Stored {
            kind: ORG_UNIT.to_owned(),
            id: "national/ImspTQPwCqd".to_owned(),
            rid: 1,
            version: 1,
            updated_ms: 0,
            body: Some(r#"{"name":"x"}"#.to_owned()),
            origin: crate::store::write::Origin::Dhis2("national".to_owned()),
            method: "PUT".to_owned(),
            revives: false,
        };
        assert_eq!(value_of(&stored), Some(json!({"name": "x", "id": "ImspTQPwCqd"})));
        assert_eq!(value_of(&Stored { body: None, ..stored }), None);
    }
}
