//! Repairs what a client with a profile sends, before anybody reads it, and tells what was repaired: in the header
//! `Mjumbe-Repaired`, as warnings of OperationOutcomes, in the audit and in the metrics.
//!
//! **Never** touches a request of a client without a profile; **never** tells or keeps anything but codes and places.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, header};
use serde_json::Value;

use super::super::answer::Answer;
use super::super::app::App;
use super::super::interaction::Interaction;
use super::call::Stop;
use super::render;
use crate::auth::Principal;
use crate::auth::scope::Permission;
use crate::fhir::client::Profile;
use crate::fhir::lenient::{self, Repair};
use crate::fhir::outcome::{Issue, Outcome};
use crate::fhir::parameters;
use crate::fhir::query::Match;
use crate::fhir::resource;
use crate::store::audit::REPAIR;
use crate::telemetry::trace_id;

/// The header that names them.
pub const REPAIRED: HeaderName = HeaderName::from_static("mjumbe-repaired");
/// Repairs that the header names; the outcomes name all.
const NAMED_MAX: usize = 20;

/// A request that writes resources, as it is read.
pub struct Request {
    pub interaction: Interaction,
    pub query: Vec<(String, String)>,
    pub body: Bytes,
}

/// What was repaired in one request.
#[derive(Clone, Default)]
pub struct Repairs {
    all: Arc<[Repair]>,
    /// The entries (`None`: the one resource) that were written for the first time: no post of these became an update.
    created: Arc<Mutex<BTreeSet<Option<usize>>>>,
}

/// Repairs a request as its client's profile says. A body that is not JSON is left to whoever reads it.
///
/// # Errors
/// Where the store cannot tell whether a reference names anything.
pub async fn repair(
    (app, tenant): (&App, &str),
    (principal, headers): (&Principal, &HeaderMap),
    request: &mut Request,
) -> Result<Repairs, Stop> {
    let Some(profile) = principal.profile else { return Ok(Repairs::default()) };
    let kind = match &request.interaction {
        Interaction::Bundle => None,
        Interaction::Create { kind }
        | Interaction::Update { kind, .. }
        | Interaction::UpdateMatch { kind } => Some(kind.clone()),
        _ => return Ok(Repairs::default()),
    };
    let Ok(mut body) = resource::json(&request.body) else { return Ok(Repairs::default()) };
    let mut repairs = match kind {
        None => lenient::bundle(profile, &principal.upserts, &mut body),
        Some(_) => lenient::resource(profile, &mut body),
    };
    if let Some(kind) = kind {
        repairs.extend(by_identifier((app, tenant), (principal, profile), &mut body).await?);
        let alone = !headers.contains_key("if-none-exist");
        let upserted = alone && lenient::is_upserted(&principal.upserts, &kind);
        if upserted && request.interaction == (Interaction::Create { kind: kind.clone() }) {
            repairs.extend(update_instead(&kind, request, &mut body));
        }
    }
    if !repairs.is_empty() {
        request.body = Bytes::from(body.to_string());
    }
    Ok(Repairs { all: repairs.into(), created: Arc::default() })
}

/// References to what nobody has by that id, and exactly one by that identifier, become references by identifier.
/// Every other one stays as it was sent, as it would for a client without a profile: the documented mediator does not
/// send again what is refused, and puts people under the ids that it refers to.
async fn by_identifier(
    (app, tenant): (&App, &str),
    (principal, profile): (&Principal, Profile),
    body: &mut Value,
) -> Result<Vec<Repair>, Stop> {
    let mut named = lenient::doubtful(profile, body);
    // Who may not search gets no reference by identifier.
    named.retain(|(kind, _)| principal.require(Permission::Search, kind).is_ok());
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let there = app.store.many(tenant, &named).await?;
    let is_there =
        |(kind, id): &(String, String)| there.iter().any(|stored| stored.kind == *kind && stored.id == *id);
    let mut identified = Vec::new();
    for named in named.into_iter().filter(|named| !is_there(named)) {
        if is_identifier((app, tenant), &named).await? {
            identified.push(named);
        }
    }
    Ok(lenient::refer_by_identifier(body, &identified))
}

/// Whether exactly one resource of this type has this identifier.
async fn is_identifier((app, tenant): (&App, &str), (kind, value): &(String, String)) -> Result<bool, Stop> {
    let Some(parameter) = parameters::find(kind, "identifier") else { return Ok(false) };
    let token = Match::Token { system: None, code: Some(value.clone()) };
    let found = app.store.find(tenant, kind, (parameter.key, vec![token]), 2).await?;
    Ok(found.len() == 1)
}

/// A create becomes a conditional update by identifier, for which the plan asks the scopes to update and search.
fn update_instead(kind: &str, request: &mut Request, body: &mut Value) -> Option<Repair> {
    let query = lenient::by_identifier(body)?;
    body.as_object_mut()?.shift_remove("id");
    request.query.extend(url::form_urlencoded::parse(query.as_bytes()).into_owned());
    request.interaction = Interaction::UpdateMatch { kind: kind.to_owned() };
    Some(lenient::upserted(kind))
}

impl Repairs {
    /// What the answer to one entry of a bundle says.
    pub fn of_entry(&self, index: usize) -> Vec<Issue> {
        let own = self.made().into_iter().filter(|repair| repair.entry == Some(index));
        own.map(Repair::issue).collect()
    }

    /// Notes that an entry of a bundle (`None`: the one resource) was written for the first time.
    pub fn was_created(&self, entry: Option<usize>) {
        if !self.all.is_empty() {
            self.created.lock().unwrap_or_else(PoisonError::into_inner).insert(entry);
        }
    }

    /// Those that were made. A post that could have been an update, and was none, was not repaired.
    fn made(&self) -> Vec<&Repair> {
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        self.all.iter().filter(|repair| !(repair.is_upsert() && created.contains(&repair.entry))).collect()
    }

    /// Adds the warnings to an outcome that is answered.
    pub fn warn(&self, outcome: &mut Outcome) {
        outcome.issues.extend(self.made().into_iter().map(Repair::issue));
    }

    /// Tells of the repairs in the answer, and of those that were written in the audit.
    pub async fn told(
        &self,
        (app, tenant): (&App, &str),
        (client, profile): (&str, Option<Profile>),
        answered: Result<Answer, Stop>,
    ) -> Result<Answer, Stop> {
        let (Some(profile), false) = (profile, self.made().is_empty()) else { return answered };
        let mut answer = match answered {
            Ok(answer) => answer,
            Err(stop) => {
                let mut outcome = stop.outcome();
                self.warn(&mut outcome);
                return Err(outcome.into());
            }
        };
        render::set(answer.headers_mut(), REPAIRED, &self.header());
        if answer.status().is_success() {
            let subject = subject(tenant, &answer);
            let reason = format!("{}: {}", profile.name(), self.counts(profile));
            if let Err(error) = app.store.audit(tenant, (client, REPAIR), (&subject, &reason)).await {
                tracing::warn!(code = error.code(), "what was repaired could not be noted in the audit");
            }
        }
        Ok(answer)
    }

    /// `class-as-text Encounter.class, list-expected Encounter.identifier`
    fn header(&self) -> String {
        let plain = |place: &str| place.chars().all(|c| c.is_ascii_alphanumeric() || ".[]_".contains(c));
        let made = self.made();
        let named = made.iter().take(NAMED_MAX).map(|repair| match &repair.place {
            place if plain(place) => format!("{} {place}", repair.code),
            _ => repair.code.to_owned(),
        });
        let mut text = named.collect::<Vec<_>>().join(", ");
        if made.len() > NAMED_MAX {
            text.push_str(", ...");
        }
        text
    }

    /// How often each was made, which goes to the metrics too.
    fn counts(&self, profile: Profile) -> String {
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        for repair in self.made() {
            *counts.entry(repair.code).or_default() += 1;
        }
        for (code, count) in &counts {
            metrics::counter!("mjumbe_lenient_repairs_total", "profile" => profile.name(), "code" => *code)
                .increment(*count);
        }
        counts.iter().map(|(code, count)| format!("{code} {count}")).collect::<Vec<_>>().join(", ")
    }
}

/// The trace id of what was written: an id that a client chose may be a phone number.
fn subject(tenant: &str, answer: &Answer) -> String {
    let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let mut parts = location.unwrap_or_default().rsplit('/');
    let (_version, _history, id, kind) = (parts.next(), parts.next(), parts.next(), parts.next());
    match (kind, id) {
        (Some(kind), Some(id)) => format!("{kind} {}", trace_id(tenant, kind, id)),
        // A bundle has no place of its own.
        _ => "Bundle".to_owned(),
    }
}
