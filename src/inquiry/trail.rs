//! The way of one source: stored, mapped, held, delivered, answered; and in one sentence where it is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Error, Fact};
use crate::delivery::lookup::value_of;
use crate::store::db::Connection;
use crate::store::deliveries::list::{self, Shown};
use crate::store::deliveries::sending::{self, ExchangeRow};
use crate::store::deliveries::{self, Status};
use crate::store::inquiry::{self, Mapped};
use crate::store::read::Stored;
use crate::store::reads::{self, HeldFilter};

/// Attempts of one delivery that are told.
const ATTEMPTS_MAX: usize = 5;
/// Deliveries of one source that are told.
const DELIVERIES_MAX: usize = 50;

/// One source along its way.
#[derive(Debug, Clone)]
pub struct Trail {
    /// `Type/id`
    pub source: String,
    pub version: i64,
    pub written_ms: i64,
    /// Who wrote it: `client:openmrs`, `rapidpro:country`.
    pub origin: String,
    /// Flow, contact, answers.
    pub facts: Vec<Fact>,
    pub evaluations: Vec<Evaluated>,
    /// Where it is and why, in one sentence.
    pub verdict: String,
}

/// What one mapping made of the source.
#[derive(Debug, Clone)]
pub struct Evaluated {
    pub mapping: String,
    pub at_ms: i64,
    /// `done`, `held` or `unmatched`.
    pub outcome: String,
    /// Issues and what it waits for; they may name identifiers that were searched for.
    pub notes: Vec<Fact>,
    pub deliveries: Vec<Delivered>,
}

/// One delivery, its last attempts and what the other side answered.
#[derive(Debug, Clone)]
pub struct Delivered {
    pub shown: Shown,
    /// Why the destination is not sent to now; empty: it is.
    pub destination: String,
}

impl Delivered {
    /// Its parts: the place, and what was wanted there.
    pub fn parts(&self) -> Vec<Fact> {
        let fact = |(part, _): &(deliveries::PartRow, _)| {
            let wanted = part.wanted.clone().unwrap_or_else(|| "(to be removed)".to_owned());
            Fact::personal(format!("{} {}", part.status.text(), part.slot), wanted)
        };
        self.shown.parts.iter().map(fact).collect()
    }

    /// The attempts, newest first, each with its answers.
    pub fn attempts(&self) -> Vec<(&sending::AttemptRow, Vec<&ExchangeRow>)> {
        let of = |batch: &str| self.shown.exchanges.iter().filter(|one| one.batch == batch).collect();
        self.shown.attempts.iter().take(ATTEMPTS_MAX).map(|attempt| (attempt, of(&attempt.batch))).collect()
    }
}

/// Follows one source.
///
/// # Errors
/// The store's.
pub async fn follow(db: &mut Connection, tenant: &str, stored: &Stored) -> Result<Trail, Error> {
    let source = format!("{}/{}", stored.kind, stored.id);
    let mapped = inquiry::mapped(db, tenant, stored.rid).await?;
    let mut evaluations = Vec::new();
    for row in inquiry::evaluations(db, tenant, stored.rid).await? {
        let mut notes = issues(&row.issues);
        let filter =
            HeldFilter { mapping: Some(row.mapping.clone()), code: None, source: Some(source.clone()) };
        for held in reads::held(db, tenant, &filter, 10).await? {
            notes.push(Fact::plain("waits", format!("{} ({})", held.message, held.place)));
            notes.push(Fact::personal("waits for", held.waits_for));
        }
        let deliveries = delivered(db, tenant, (&row.mapping, stored.rid)).await?;
        let (mapping, at_ms, outcome) = (row.mapping, row.at_ms, row.outcome);
        evaluations.push(Evaluated { mapping, at_ms, outcome, notes, deliveries });
    }
    let verdict = verdict(stored, mapped, &evaluations);
    Ok(Trail {
        source,
        version: stored.version,
        written_ms: stored.updated_ms,
        origin: stored.origin.text(),
        facts: value_of(stored).map(|body| facts(&stored.kind, &body)).unwrap_or_default(),
        evaluations,
        verdict,
    })
}

/// One delivery as a trail shows it.
///
/// # Errors
/// The store's.
pub async fn delivery(db: &mut Connection, tenant: &str, id: &str) -> Result<Option<Delivered>, Error> {
    let Some(shown) = list::show(db, tenant, id).await? else { return Ok(None) };
    let destinations = sending::destinations(db, tenant).await?;
    let row = destinations.iter().find(|row| row.name == shown.delivery.destination);
    let open = row.filter(|row| row.circuit == "open");
    let destination =
        open.map(|row| format!("{} [{}]", row.cause.message, row.cause.code)).unwrap_or_default();
    Ok(Some(Delivered { shown, destination }))
}

async fn delivered(
    db: &mut Connection,
    tenant: &str,
    (mapping, rid): (&str, i64),
) -> Result<Vec<Delivered>, Error> {
    let own = deliveries::deliveries_of_source(db, tenant, mapping, rid).await?;
    let mut ids: BTreeSet<String> = own.into_iter().map(|row| row.id).collect();
    let counted = deliveries::contributions_of(db, tenant, mapping, rid).await?;
    ids.extend(counted.into_iter().map(|row| row.delivery_id));
    let mut found = Vec::new();
    for id in ids.iter().take(DELIVERIES_MAX) {
        found.extend(delivery(db, tenant, id).await?);
    }
    Ok(found)
}

fn issues(text: &str) -> Vec<Fact> {
    let issues: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    let told = |issue: &Value| {
        let word = |key: &str| issue.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Fact::plain(word("severity"), format!("{} [{}] {}", word("message"), word("code"), word("place")))
    };
    issues.iter().map(told).collect()
}

/// What a person who asks would recognise it by.
fn facts(kind: &str, body: &Value) -> Vec<Fact> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mut facts = Vec::new();
    let mut plain = |label: &str, pointer: &str| {
        facts.extend(text(pointer).map(|text| Fact::plain(label, text)));
    };
    match kind {
        "rapidpro.run" => {
            plain("flow", "/flow/name");
            plain("contact", "/contact/uuid");
            plain("began", "/created_on");
            plain("ended", "/exited_on");
            plain("ended by", "/exit_type");
            facts.extend(text("/contact/urn").map(|urn| Fact::personal("number", urn)));
            for (key, result) in body.get("values").and_then(Value::as_object).into_iter().flatten() {
                let said = result.get("input").or_else(|| result.get("value")).and_then(Value::as_str);
                let category = result.get("category").and_then(Value::as_str).unwrap_or_default();
                let said = format!("{} ({category})", said.unwrap_or_default());
                facts.push(Fact::personal(format!("answer {key}"), said));
            }
        }
        "QuestionnaireResponse" => {
            plain("status", "/status");
            plain("authored", "/authored");
            plain("questionnaire", "/questionnaire");
        }
        "rapidpro.contact" => {
            plain("status", "/status");
            plain("language", "/language");
            for urn in body.get("urns").and_then(Value::as_array).into_iter().flatten() {
                facts.extend(urn.as_str().map(|urn| Fact::personal("number", urn)));
            }
        }
        _ => {
            plain("status", "/status");
            plain("when", "/effectiveDateTime");
        }
    }
    facts
}

/// The worst that is true of a source, said first.
fn verdict(stored: &Stored, mapped: Mapped, evaluations: &[Evaluated]) -> String {
    if mapped == Mapped::NotYet {
        return "it is stored and waits to be mapped; if this lasts, look at /ready".to_owned();
    }
    let taken: Vec<&Evaluated> = evaluations.iter().filter(|one| one.outcome != "unmatched").collect();
    if taken.is_empty() {
        return match stored.kind.as_str() {
            "rapidpro.run" | "rapidpro.contact" => "no mapping takes this document itself".to_owned(),
            _ if stored.deleted() => "it was deleted, and nothing is wanted because of it".to_owned(),
            _ => "no mapping took it: `mjumbe explain` says why; one that is newer takes it with `mjumbe replay`"
                .to_owned(),
        };
    }
    if let Some(held) = taken.iter().find(|one| one.outcome == "held") {
        return format!(
            "{} waits for something it needs; it goes on by itself when that appears",
            held.mapping
        );
    }
    let all: Vec<&Delivered> = taken.iter().flat_map(|one| &one.deliveries).collect();
    if all.is_empty() {
        return "it was mapped, and nothing is to be sent because of it".to_owned();
    }
    of_deliveries(&all)
}

fn of_deliveries(all: &[&Delivered]) -> String {
    let with = |status: Status| all.iter().find(|one| one.shown.delivery.status == status);
    if let Some(dead) = with(Status::Dead) {
        let cause = &dead.shown.delivery.cause;
        return format!("a person must look at it: {} [{}]; {}", cause.message, cause.code, cause.hint);
    }
    if let Some(waiting) = with(Status::Waiting).or_else(|| with(Status::Sending)) {
        let cause = &waiting.shown.delivery.cause;
        let why = match (&waiting.destination, cause.code.as_str()) {
            (paused, _) if !paused.is_empty() => format!(": {paused}"),
            (_, "") => String::new(),
            (_, code) => format!(": {} [{code}]", cause.message),
        };
        return format!("it waits to be sent to {}{why}", waiting.shown.delivery.destination);
    }
    if let Some(cancelled) = with(Status::Cancelled) {
        return format!("given up: {}", cancelled.shown.delivery.target);
    }
    "it arrived: the other side accepted all of it".to_owned()
}
