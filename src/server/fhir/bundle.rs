//! Transactions (all or nothing) and batches (each entry for itself).
//! <https://hl7.org/fhir/R4/http.html#transaction>

// Operations that entries call.
mod calls;

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{Method, StatusCode};
use futures::StreamExt;
use serde_json::{Value, json};

use super::super::answer::{self, Answer};
use super::super::interaction::Interaction;
use super::super::wishes::Return;
use super::call::{Call, Stop, is_type, parameters};
use super::plan::{self, Done};
use super::render::{self, Version};
use super::write::new_id;
use super::{capabilities, history, read, search};
use crate::fhir::bundle::{self, Effect, Mode, Plan};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::resource::{self, instant};
use crate::fhir::summary::{Role, Shape};
use crate::store::write::{self, Written};

/// Entries of one batch that are worked at once: their writes travel in common groups.
const BATCH_AT_ONCE: usize = 32;

/// What the reads of one bundle give together, in bytes; what begins after that is not answered.
const READ_MAX: usize = 64 * 1024 * 1024;

/// How many bytes the reads of a bundle may still give.
struct Room(AtomicUsize);

impl Room {
    fn new() -> Self {
        Self(AtomicUsize::new(READ_MAX))
    }

    fn left(&self) -> Result<(), Stop> {
        if self.0.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let text =
            "what is read by this bundle is more than 64 MB: this entry and those after it are not answered";
        let outcome = Outcome::error(IssueType::TooCostly, "answer-too-large", text).status(422);
        Err(outcome.hint("ask again for these in another bundle, or with a smaller _count").into())
    }

    fn take(&self, bytes: usize) {
        let less = |left: usize| Some(left.saturating_sub(bytes));
        // Always succeeds, as it always has a next value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// `POST [base]`
pub async fn process(call: &Call) -> Result<Answer, Stop> {
    let bundle: Value = serde_json::from_slice(call.json()?).map_err(|error| resource::unread(&error))?;
    let zone = call.zone();
    let context = call.context(&zone);
    let (kind, entries) = match bundle::mode(&bundle)? {
        Mode::Transaction => {
            let plan = bundle::transaction(bundle, &context, &mut new_id)?;
            ("transaction-response", transaction(call, plan).await?)
        }
        Mode::History => {
            let plan = bundle::history(bundle, &context, &mut new_id)?;
            ("transaction-response", transaction(call, plan).await?)
        }
        Mode::Batch => {
            let plans = bundle::batch(bundle, &context, &mut new_id)?;
            let room = Room::new();
            let answers = plans.into_iter().map(|plan| entry(call, &room, plan));
            let answers = futures::stream::iter(answers).buffered(BATCH_AT_ONCE).collect().await;
            ("batch-response", answers)
        }
    };
    // R4 has no empty arrays.
    let entries: String =
        if entries.is_empty() { String::new() } else { format!(r#","entry":[{}]"#, entries.join(",")) };
    let text = format!(r#"{{"resourceType":"Bundle","type":"{kind}"{entries}}}"#);
    Ok(answer::json(StatusCode::OK, render::laid_out(text, call.wishes.layout)))
}

/// The answers in the order of the Bundle.
async fn transaction(call: &Call, plan: Plan) -> Result<Vec<String>, Stop> {
    for entry in plan.entries() {
        match &entry.operation {
            bundle::Operation::Read { url, .. } => check(call, url).await,
            bundle::Operation::Call(invocation) => calls::beside_writes(call, invocation),
            _ => Ok(()),
        }
        .map_err(|stop| within(stop, &entry.path))?;
    }
    let mut done = plan::write(call, plan).await?;
    done.sort_by_key(|done| done.action.index);
    let (room, mut answers) = (Room::new(), Vec::with_capacity(done.len()));
    for done in &done {
        answers.push(answer_to(call, &room, done).await);
    }
    Ok(answers)
}

/// One entry of a batch.
async fn entry(call: &Call, room: &Room, plan: Result<Plan, Outcome>) -> String {
    let plan = match plan {
        Ok(plan) => plan,
        Err(outcome) => return refused(&outcome),
    };
    match plan::write(call, plan).await {
        Ok(done) => match done.first() {
            Some(done) => answer_to(call, room, done).await,
            None => refused(&answer::of_refusal(write::Refusal::Store)),
        },
        Err(stop) => refused(&stop.outcome()),
    }
}

async fn answer_to(call: &Call, room: &Room, done: &Done) -> String {
    match (&done.action.effect, &done.written) {
        (Effect::Put { method, .. }, Some(written)) => put(call, written, (done, *method)),
        (Effect::Exists { kind, id, version, updated_ms }, _) => {
            let response = json!({
                "status": "200 OK",
                "location": format!("{}/{kind}/{id}/_history/{version}", call.base),
                "etag": render::etag(*version),
                "lastModified": instant(*updated_ms),
            });
            format!(r#"{{"fullUrl":{},"response":{response}}}"#, full_url(call, kind, id))
        }
        (Effect::Delete { .. } | Effect::Nothing, written) => {
            let mut response = json!({ "status": "204 No Content" });
            if let Some(written) = written.as_ref().filter(|written| written.version > 0) {
                response["etag"] = render::etag(written.version).into();
                response["lastModified"] = instant(written.updated_ms).into();
            }
            json!({ "response": response }).to_string()
        }
        (Effect::Read { url, head, if_none_match, if_modified_since }, _) => {
            let known = (if_none_match.as_deref(), if_modified_since.as_deref());
            match within_room(room, get(call, url, known), |got| got.body.len()).await {
                Ok(answer) => answer.entry(*head),
                Err(stop) => refused(&stop.outcome()),
            }
        }
        (Effect::Call(invocation), _) => {
            match within_room(room, calls::answer(call, invocation), String::len).await {
                Ok(entry) => entry,
                Err(stop) => refused(&stop.outcome()),
            }
        }
        (Effect::Put { .. }, None) => refused(&answer::of_refusal(write::Refusal::Store)),
    }
}

fn put(call: &Call, written: &Written, (done, method): (&Done, bundle::Method)) -> String {
    let stored = plan::shown(call, method, done);
    let Written { kind, id, version, updated_ms, effect, .. } = written;
    let mut response = json!({
        "status": if *effect == write::Effect::Created { "201 Created" } else { "200 OK" },
        "location": render::location(&call.base, written),
        "etag": render::etag(*version),
        "lastModified": instant(*updated_ms),
    });
    if *effect == write::Effect::Created {
        call.repairs.was_created(Some(done.action.index));
    }
    if let Some(outcome) = outcome_of(call, done) {
        response["outcome"] = outcome;
    }
    // The answers to hundreds of writes are long enough: bodies only where they are asked for.
    let resource = match (call.wishes.prefers, stored) {
        (Some(Return::Representation), Some(stored)) => {
            let version = Version { id, version: *version, updated_ms: *updated_ms, stored };
            format!(r#""resource":{},"#, version.text())
        }
        (Some(Return::OperationOutcome), _) => {
            if response.get("outcome").is_none() {
                let text = render::effect_text(*effect);
                response["outcome"] = Outcome::information("written", text).to_value();
            }
            String::new()
        }
        _ => String::new(),
    };
    format!(r#"{{"fullUrl":{},{resource}"response":{response}}}"#, full_url(call, kind, id))
}

/// What was repaired in an entry, and what else there is to say of it.
fn outcome_of(call: &Call, done: &Done) -> Option<Value> {
    let mut issues = call.repairs.of_entry(done.action.index);
    issues.extend(done.notes.iter().cloned());
    Outcome::of(issues).map(|outcome| outcome.to_value())
}

fn full_url(call: &Call, kind: &str, id: &str) -> Value {
    Value::from(format!("{}/{kind}/{id}", call.base))
}

fn refused(outcome: &Outcome) -> String {
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json!({ "response": { "status": status_line(status), "outcome": outcome.to_value() } }).to_string()
}

/// `200 OK`
fn status_line(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}

/// What a GET inside a bundle gave.
struct Got {
    body: String,
    etag: Option<(i64, i64)>,
    not_modified: bool,
}

impl Got {
    fn entry(&self, head: bool) -> String {
        let mut response = json!({ "status": if self.not_modified { "304 Not Modified" } else { "200 OK" } });
        if let Some((version, updated_ms)) = self.etag {
            response["etag"] = render::etag(version).into();
            response["lastModified"] = instant(updated_ms).into();
        }
        if head || self.not_modified {
            return json!({ "response": response }).to_string();
        }
        format!(r#"{{"resource":{},"response":{response}}}"#, self.body)
    }
}

/// One answer, if there is room before and after it is made: others are made at the same time.
async fn within_room<T>(
    room: &Room,
    made: impl Future<Output = Result<T, Stop>>,
    bytes: impl Fn(&T) -> usize,
) -> Result<T, Stop> {
    room.left()?;
    let made = made.await?;
    room.left()?;
    room.take(bytes(&made));
    Ok(made)
}

/// Whether a GET can be answered, as far as that is known before anything is written: a transaction with one that
/// cannot is not written. <https://hl7.org/fhir/R4/http.html#transaction>
async fn check(call: &Call, url: &str) -> Result<(), Stop> {
    let (interaction, query) = readable(call, url)?;
    let pairs = parameters(query.as_bytes())?;
    match &interaction {
        Interaction::Read { kind, .. } | Interaction::Vread { kind, .. } => {
            read::shape(call, kind, &pairs).map(drop).map_err(Stop::from)
        }
        Interaction::Search { .. } | Interaction::SearchSystem | Interaction::SearchCompartment { .. } => {
            let place = search::Place::of(interaction).unwrap_or(search::Place::System);
            search::check(call, place, pairs).await
        }
        Interaction::History { .. } | Interaction::HistoryType { .. } | Interaction::HistorySystem => {
            history::check(call, &pairs)
        }
        Interaction::Capabilities => Ok(()),
        _ => Err(unreadable()),
    }
}

fn unreadable() -> Stop {
    let text = "this cannot be read inside a bundle";
    Outcome::error(IssueType::NotSupported, "not-supported", text).into()
}

/// The interaction of a GET, if the caller may do it.
fn readable<'a>(call: &Call, url: &'a str) -> Result<(Interaction, &'a str), Stop> {
    interaction(call, (&Method::GET, url))
}

/// The interaction of an entry, if the caller may do it, and its query.
fn interaction<'a>(call: &Call, (method, url): (&Method, &'a str)) -> Result<(Interaction, &'a str), Stop> {
    let relative = url.strip_prefix(&call.base).unwrap_or(url);
    let (path, query) = relative.split_once('?').unwrap_or((relative, ""));
    let interaction = Interaction::parse(method, path, is_type).map_err(Stop::NoInteraction)?;
    if let Some((permission, kind)) = interaction.permission() {
        call.principal.require(permission, kind)?;
    }
    Ok((interaction, query))
}

async fn get(call: &Call, url: &str, known: (Option<&str>, Option<&str>)) -> Result<Got, Stop> {
    let (interaction, query) = readable(call, url)?;
    match interaction {
        interaction @ (Interaction::Search { .. }
        | Interaction::SearchSystem
        | Interaction::SearchCompartment { .. }) => {
            let place = search::Place::of(interaction).unwrap_or(search::Place::System);
            let body = search::bundle(call, place, parameters(query.as_bytes())?).await?;
            Ok(Got { body, etag: None, not_modified: false })
        }
        Interaction::Read { kind, id } => {
            let shape = read::shape(call, &kind, &parameters(query.as_bytes())?)?;
            let stored = read::current(call, &kind, &id).await?;
            got(&stored, read::is_known(known, &stored), &shape)
        }
        Interaction::Vread { kind, id, version } => {
            let shape = read::shape(call, &kind, &parameters(query.as_bytes())?)?;
            got(&read::earlier(call, &kind, &id, &version).await?, false, &shape)
        }
        Interaction::Capabilities => {
            let body = capabilities::text(call, &parameters(query.as_bytes())?);
            Ok(Got { body, etag: None, not_modified: false })
        }
        other => {
            if let Some(of) = history::Of::interaction(&other) {
                let body = history::bundle(call, of, &parameters(query.as_bytes())?).await?;
                return Ok(Got { body, etag: None, not_modified: false });
            }
            Err(unreadable())
        }
    }
}

fn got(stored: &crate::store::read::Stored, not_modified: bool, shape: &Shape) -> Result<Got, Stop> {
    match read::version_of(stored) {
        Some(version) => Ok(Got {
            body: shape.apply(version.text(), Role::Match),
            etag: Some((stored.version, stored.updated_ms)),
            not_modified,
        }),
        None => Err(render::gone_outcome(&stored.kind, &stored.id).into()),
    }
}

/// Seen from the Bundle.
fn within(stop: Stop, path: &str) -> Stop {
    Stop::from(stop.outcome().at(format!("{path}.request.url")))
}
