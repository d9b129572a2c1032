//! From a question to the resources and documents that it is about.

use serde_json::Value;

use super::{Error, Fact, Question};
use crate::delivery::lookup::value_of;
use crate::fhir::index::ParameterKey;
use crate::fhir::query::Match;
use crate::rapidpro::mirror;
use crate::rapidpro::urn;
use crate::store::Store;
use crate::store::deliveries::DeliveryRow;
use crate::store::deliveries::list;
use crate::store::link;
use crate::store::read::Stored;

/// Sources that one question leads to at most, newest first.
pub const SOURCES_MAX: usize = 20;
/// Contacts and people of one number.
const PEOPLE_MAX: u32 = 20;
/// Runs of one contact that are looked at.
const RUNS_MAX: u32 = 500;
const DAY_MS: i64 = 86_400_000;
/// Resource types that have phone numbers.
const PEOPLE: [&str; 4] = ["Patient", "Practitioner", "RelatedPerson", "Person"];

/// What a question is about.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Who or what was found, before the sources.
    pub about: Vec<Fact>,
    /// Newest first.
    pub sources: Vec<Stored>,
    /// Deliveries that a facility's reports travel in.
    pub deliveries: Vec<DeliveryRow>,
    /// There is more than is shown.
    pub cut: bool,
}

/// Whose data, in which time.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub store: &'a Store,
    pub tenant: &'a str,
    /// Of phone numbers without a country code: ISO 3166-1 alpha-2.
    pub country: Option<&'a str>,
    /// How far back a facility's deliveries are looked for.
    pub days: u32,
    pub now_ms: i64,
}

/// Finds it.
///
/// # Errors
/// [`Error::Nothing`] where it is not known; what is wrong with the question; the store's.
pub async fn find(scope: &Scope<'_>, question: &Question) -> Result<Found, Error> {
    match question {
        Question::Phone(text) => phone(scope, text).await,
        Question::Facility(text) => facility(scope, text).await,
        Question::Run(uuid) => run(scope, uuid).await,
        Question::Resource(text) => resource(scope, text).await,
    }
}

async fn phone(scope: &Scope<'_>, text: &str) -> Result<Found, Error> {
    let urn = urn::normalise(text, scope.country).map_err(|_| Error::Phone)?;
    let mut found = Found::default();
    let contacts = by_token(scope, mirror::CONTACT, "urn", None, &urn).await?;
    for contact in &contacts {
        found.about.push(Fact::plain("contact", contact.id.clone()));
        let name = value_of(contact).and_then(|body| Some(body.get("name")?.as_str()?.to_owned()));
        found.about.extend(name.map(|name| Fact::personal("name", name)));
        let (workspace, uuid) = contact.id.split_once('/').unwrap_or_default();
        let key = ParameterKey::new(mirror::RUN, "contact");
        let wanted = vec![token(None, uuid)];
        let runs = scope.store.find(scope.tenant, mirror::RUN, (key, wanted), RUNS_MAX).await?;
        for run in runs.iter().filter(|run| run.id.split_once('/').is_some_and(|(at, _)| at == workspace)) {
            found.sources.extend(of_run(scope, run).await?);
        }
        found.sources.extend(linked(scope, (workspace, uuid)).await?);
    }
    for kind in PEOPLE {
        let number = urn.split_once(':').map_or(urn.as_str(), |(_, path)| path);
        let key = ParameterKey::new(kind, "phone");
        let wanted = [text.trim(), number].map(|code| token(None, code)).to_vec();
        found.sources.extend(scope.store.find(scope.tenant, kind, (key, wanted), PEOPLE_MAX).await?);
    }
    found.sources.extend(contacts);
    newest(&mut found);
    if found.sources.is_empty() {
        let hint =
            "nobody with this number was polled from RapidPro or posted; is the poller running (/ready)?";
        return Err(Error::Nothing { what: "this number", hint });
    }
    Ok(found)
}

/// The resources that a contact is linked to.
async fn linked(scope: &Scope<'_>, (workspace, uuid): (&str, &str)) -> Result<Vec<Stored>, Error> {
    let mut db = scope.store.db().read().await.map_err(Error::Store)?;
    let at = (workspace, "rapidpro.contact");
    let links = link::to(&mut db, scope.tenant, at, &[uuid.to_owned()]).await?;
    let wanted: Vec<(String, String)> = links.into_iter().map(|link| (link.kind, link.id)).collect();
    drop(db);
    Ok(scope.store.many(scope.tenant, &wanted).await?)
}

async fn run(scope: &Scope<'_>, uuid: &str) -> Result<Found, Error> {
    let uuid = uuid.trim();
    let mut found = Found::default();
    for run in by_token(scope, mirror::RUN, "uuid", None, uuid).await? {
        found.sources.extend(of_run(scope, &run).await?);
    }
    if found.sources.is_empty() {
        let hint = "a run is known as soon as it was polled; `mjumbe doctor` says whether RapidPro answers";
        return Err(Error::Nothing { what: "this run", hint });
    }
    newest(&mut found);
    Ok(found)
}

/// A run's document, and the QuestionnaireResponse that it became.
async fn of_run(scope: &Scope<'_>, run: &Stored) -> Result<Vec<Stored>, Error> {
    let uuid = run.id.rsplit('/').next().unwrap_or_default();
    let response = scope.store.read(scope.tenant, "QuestionnaireResponse", uuid).await?;
    Ok(std::iter::once(run.clone()).chain(response).collect())
}

async fn resource(scope: &Scope<'_>, text: &str) -> Result<Found, Error> {
    let (kind, id) = text
        .split_once('/')
        .filter(|(kind, id)| !kind.is_empty() && !id.is_empty())
        .ok_or_else(|| Error::Resource { text: text.chars().take(80).collect() })?;
    let stored = scope.store.read(scope.tenant, kind, id).await?;
    let hint = "search for it over FHIR; a resource of another tenant needs --tenant";
    let stored = stored.ok_or(Error::Nothing { what: "this resource", hint })?;
    Ok(Found { sources: vec![stored], ..Found::default() })
}

async fn facility(scope: &Scope<'_>, text: &str) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut units = Vec::new();
    for by in ["uid", "code", "name"] {
        let those = by_token(scope, "dhis2.organisationUnit", by, None, text.trim()).await?;
        units.extend(those.into_iter().filter(|one| !one.deleted()));
    }
    units.sort_by(|one, other| one.id.cmp(&other.id));
    units.dedup_by(|one, other| one.rid == other.rid);
    if units.is_empty() {
        let hint = "give the uid, the code or the whole name of an organisation unit, as DHIS2 has it";
        return Err(Error::Nothing { what: "this facility", hint });
    }
    let since_ms = scope.now_ms.saturating_sub(i64::from(scope.days).saturating_mul(DAY_MS));
    let limit = i64::try_from(SOURCES_MAX).unwrap_or(i64::MAX).saturating_add(1);
    let mut db = scope.store.db().read().await?;
    for unit in &units {
        let body = value_of(unit).unwrap_or(Value::Null);
        let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
        let uid = unit.id.rsplit('/').next().unwrap_or_default();
        found.about.push(Fact::plain("organisation unit", format!("{name} ({uid})")));
        let rows = list::in_lanes(&mut db, scope.tenant, (uid, since_ms), limit).await?;
        found.deliveries.extend(rows);
    }
    drop(db);
    found.deliveries.sort_by_key(|row| std::cmp::Reverse(row.updated_ms));
    found.cut = found.deliveries.len() > SOURCES_MAX;
    found.deliveries.truncate(SOURCES_MAX);
    Ok(found)
}

async fn by_token(
    scope: &Scope<'_>,
    kind: &str,
    parameter: &str,
    system: Option<String>,
    code: &str,
) -> Result<Vec<Stored>, Error> {
    let wanted = (ParameterKey::new(kind, parameter), vec![token(system, code)]);
    Ok(scope.store.find(scope.tenant, kind, wanted, PEOPLE_MAX).await?)
}

fn token(system: Option<String>, code: &str) -> Match {
    Match::Token { system, code: Some(code.to_owned()) }
}

fn newest(found: &mut Found) {
    found.sources.sort_by_key(|stored| (std::cmp::Reverse(stored.updated_ms), stored.rid));
    let mut seen = std::collections::BTreeSet::new();
    found.sources.retain(|stored| seen.insert(stored.rid));
    found.cut = found.sources.len() > SOURCES_MAX;
    found.sources.truncate(SOURCES_MAX);
}
