//! `mjumbe trace`: where a report is, and why.

use std::process::ExitCode;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::failure::Failure;
use super::mappings::{Whose, surroundings_of};
use super::stores::shown as time;
use super::{block_on, stores};
use crate::config::Config;
use crate::delivery::signal::now_ms;
use crate::inquiry::find::{self, Found, Scope};
use crate::inquiry::mask::masked;
use crate::inquiry::trail::{self, Delivered, Evaluated, Trail};
use crate::inquiry::{Error, Fact, Question};
use crate::store::Store;
use crate::store::audit::REVEAL;

/// Shortest reason for looking at people's data, in characters: a word is not one.
const REASON_MIN: usize = 8;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("question").required(true)))]
pub struct Arguments {
    /// A phone number with its country code, or a URN: what came from this person.
    #[arg(long, group = "question", value_name = "NUMBER")]
    phone: Option<String>,
    /// An organisation unit by uid, code or name: what was wanted for it.
    #[arg(long, group = "question", value_name = "UNIT")]
    facility: Option<String>,
    /// A run's uuid.
    #[arg(long, group = "question", value_name = "UUID")]
    run: Option<String>,
    /// A resource or document, as Type/id.
    #[arg(long, group = "question", value_name = "TYPE/ID")]
    resource: Option<String>,
    /// How far back deliveries of a facility are looked for.
    #[arg(long, value_name = "N", default_value_t = 90)]
    days: u32,
    /// Show numbers, names and answers too. Who looked, when and why is kept (`mjumbe audit`).
    #[arg(long, value_name = "REASON")]
    reveal: Option<String>,
    #[command(flatten)]
    whose: Whose,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn question(&self) -> Option<Question> {
        let phone = self.phone.clone().map(Question::Phone);
        let facility = self.facility.clone().map(Question::Facility);
        let run = self.run.clone().map(Question::Run);
        phone.or(facility).or(run).or_else(|| self.resource.clone().map(Question::Resource))
    }
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.whose.tenant)?;
    let question = arguments.question().ok_or_else(|| Failure::new("what is asked after?"))?;
    let (_, country) = surroundings_of(config, tenant)?;
    let eyes = eyes(arguments)?;
    block_on(async {
        let store = stores::open(config).await?;
        let scope = Scope {
            store: &store,
            tenant,
            country: country.as_deref(),
            days: arguments.days,
            now_ms: now_ms(),
        };
        let done = answer(&scope, &question, &eyes, arguments.json).await;
        store.close().await;
        done
    })
}

/// Whether people's data is shown, and why.
enum Eyes {
    Masked,
    Open { reason: String },
}

impl Eyes {
    fn see(&self, fact: &Fact) -> String {
        match self {
            Self::Masked if fact.personal => masked(&fact.text),
            _ => fact.text.clone(),
        }
    }
}

fn eyes(arguments: &Arguments) -> Result<Eyes, Failure> {
    match arguments.reveal.as_deref().map(str::trim) {
        None => Ok(Eyes::Masked),
        Some(reason) if reason.chars().count() >= REASON_MIN => Ok(Eyes::Open { reason: reason.to_owned() }),
        Some(_) => Err(Failure::new("a reason is a sentence [trace-reason]")
            .hint("--reveal \"Dr Uwase asked after her report of October\"")),
    }
}

async fn answer(
    scope: &Scope<'_>,
    question: &Question,
    eyes: &Eyes,
    json: bool,
) -> Result<ExitCode, Failure> {
    let failed = |error: Error| Failure::new(error.to_string());
    let found = find::find(scope, question).await.map_err(failed)?;
    if let Eyes::Open { reason } = eyes {
        audit(scope.store, scope.tenant, (question, reason)).await?;
    }
    let mut db = scope.store.db().read().await?;
    let mut trails = Vec::new();
    for stored in &found.sources {
        trails.push(trail::follow(&mut db, scope.tenant, stored).await.map_err(failed)?);
    }
    let mut deliveries = Vec::new();
    for row in &found.deliveries {
        deliveries.extend(trail::delivery(&mut db, scope.tenant, &row.id).await.map_err(failed)?);
    }
    if json {
        out!("{}", as_json(&found, (&trails, &deliveries), eyes));
    } else {
        tell(&found, (&trails, &deliveries), eyes);
    }
    Ok(ExitCode::SUCCESS)
}

/// Before anything is shown. The subject is told without its number.
async fn audit(store: &Store, tenant: &str, (question, reason): (&Question, &str)) -> Result<(), Failure> {
    let subject = match question {
        Question::Phone(number) => format!("phone {}", masked(number.trim())),
        Question::Facility(unit) => format!("facility {unit}"),
        Question::Run(uuid) => format!("run {uuid}"),
        Question::Resource(resource) => format!("resource {resource}"),
    };
    let actor = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let actor = actor.unwrap_or_else(|_| "unknown account".to_owned());
    Ok(store.audit(tenant, (&actor, REVEAL), (&subject, reason)).await?)
}

fn tell(found: &Found, (trails, deliveries): (&[Trail], &[Delivered]), eyes: &Eyes) {
    for fact in &found.about {
        out!("{}: {}", fact.label, eyes.see(fact));
    }
    for trail in trails {
        tell_trail(trail, eyes);
    }
    deliveries.iter().for_each(|delivered| tell_delivery(delivered, eyes));
    if trails.is_empty() && deliveries.is_empty() {
        note!("Nothing was wanted there in this time (--days N looks further back).");
    }
    if found.cut {
        note!("There is more; this is the newest.");
    }
    if matches!(eyes, Eyes::Masked) {
        note!("Numbers, names and answers are masked; --reveal REASON shows them, and is kept.");
    }
}

fn tell_trail(trail: &Trail, eyes: &Eyes) {
    out!("\n{} — {}", trail.source, trail.verdict);
    out!("  stored    {} version {} by {}", time(trail.written_ms), trail.version, trail.origin);
    for fact in &trail.facts {
        out!("    {}: {}", fact.label, eyes.see(fact));
    }
    for one in &trail.evaluations {
        out!("  mapped    {} by {}: {}", time(one.at_ms), one.mapping, one.outcome);
        one.notes.iter().for_each(|note| out!("    {}: {}", note.label, eyes.see(note)));
        one.deliveries.iter().for_each(|delivered| tell_delivery(delivered, eyes));
    }
}

fn tell_delivery(delivered: &Delivered, eyes: &Eyes) {
    let row = &delivered.shown.delivery;
    out!("  delivery  {} {} → {}: {}", row.id, row.target, row.destination, row.status.text());
    if !row.source.is_empty() {
        out!("    because of {} by {}", row.source, row.mapping);
    }
    if !row.cause.code.is_empty() {
        out!("    {} [{}]\n    hint: {}", row.cause.message, row.cause.code, row.cause.hint);
    }
    if !delivered.destination.is_empty() {
        out!("    nothing is sent there now: {}", delivered.destination);
    }
    for part in delivered.parts() {
        out!("    {}: {}", part.label, eyes.see(&part));
    }
    for (attempt, exchanges) in delivered.attempts() {
        out!("    tried     {} {} {}", time(attempt.at_ms), attempt.outcome, attempt.cause);
        for one in exchanges {
            out!("      {} {} → {} in {} ms", one.method, path(&one.path, eyes), one.status, one.elapsed_ms);
            if matches!(eyes, Eyes::Open { .. }) {
                out!("        sent     {}\n        answered {}", one.request, one.response);
            }
        }
    }
}

/// A query may name a number.
fn path(path: &str, eyes: &Eyes) -> String {
    match (eyes, path.split_once('?')) {
        (Eyes::Masked, Some((path, _))) => format!("{path}?…"),
        _ => path.to_owned(),
    }
}

fn as_json(found: &Found, (trails, deliveries): (&[Trail], &[Delivered]), eyes: &Eyes) -> Value {
    let facts = |facts: &[Fact]| -> Value {
        facts.iter().map(|fact| json!({ "label": fact.label, "text": eyes.see(fact) })).collect()
    };
    let delivery = |one: &Delivered| delivery_json(one, eyes);
    let evaluation = |one: &Evaluated| {
        json!({
            "mapping": one.mapping, "at": time(one.at_ms), "outcome": one.outcome,
            "notes": facts(&one.notes),
            "deliveries": one.deliveries.iter().map(delivery).collect::<Vec<_>>(),
        })
    };
    let sources: Vec<Value> = trails
        .iter()
        .map(|trail| {
            json!({
                "source": trail.source, "verdict": trail.verdict, "version": trail.version,
                "written": time(trail.written_ms), "origin": trail.origin, "facts": facts(&trail.facts),
                "evaluations": trail.evaluations.iter().map(evaluation).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "about": facts(&found.about),
        "sources": sources,
        "deliveries": deliveries.iter().map(delivery).collect::<Vec<_>>(),
        "more": found.cut,
    })
}

fn delivery_json(delivered: &Delivered, eyes: &Eyes) -> Value {
    let row = &delivered.shown.delivery;
    let parts: Vec<Value> = delivered
        .parts()
        .iter()
        .map(|part| json!({ "part": part.label, "wanted": eyes.see(part) }))
        .collect();
    let attempts: Vec<Value> = delivered
        .attempts()
        .iter()
        .map(|(attempt, exchanges)| {
            let exchanges: Vec<Value> = exchanges
                .iter()
                .map(|one| {
                    let mut told = json!({
                        "method": one.method, "path": path(&one.path, eyes), "status": one.status,
                        "elapsedMs": one.elapsed_ms,
                    });
                    if matches!(eyes, Eyes::Open { .. }) {
                        told["request"] = json!(one.request);
                        told["response"] = json!(one.response);
                    }
                    told
                })
                .collect();
            json!({
                "at": time(attempt.at_ms), "outcome": attempt.outcome, "cause": attempt.cause,
                "exchanges": exchanges,
            })
        })
        .collect();
    json!({
        "id": row.id, "target": row.target, "destination": row.destination, "status": row.status.text(),
        "mapping": row.mapping, "source": row.source, "cause": row.cause.code,
        "message": row.cause.message, "hint": row.cause.hint, "paused": delivered.destination,
        "parts": parts, "attempts": attempts,
    })
}
