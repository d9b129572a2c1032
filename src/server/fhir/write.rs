//! Create, update and delete, each also under a condition.

use axum::http::{Response, StatusCode, header};

use super::super::answer::{self, Answer};
use super::call::{Call, Stop};
use super::plan::{self, Done};
use super::{read, render};
use crate::fhir::bundle::{self, Condition, Effect, Operation};
use crate::fhir::elements;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::resource::{self, Resource};
use crate::fhir::summary::Shape;
use crate::store::write::{self, Refusal};

/// `POST Type`, also with `If-None-Exist`.
pub async fn create(call: &Call, kind: &str) -> Result<Answer, Stop> {
    let if_none_exist = call.header("if-none-exist").map(|text| {
        // `Patient?identifier=x`, `?identifier=x` and `identifier=x` are the same.
        text.split_once('?').map_or(text, |(_, query)| query).to_owned()
    });
    let operation = Operation::Create { resource: body_of(call, kind)?, id: new_id(), if_none_exist };
    one(call, operation).await
}

/// `PUT Type/id`: a new version, or a resource whose id the client chose.
pub async fn update(call: &Call, kind: &str, id: &str) -> Result<Answer, Stop> {
    check_id(id)?;
    let resource = body_of(call, kind)?;
    same_id(&resource, id)?;
    one(call, Operation::Update { resource, id: id.to_owned(), condition: condition(call)? }).await
}

/// `PUT Type?query`: updates the one match, or creates where nothing matches.
pub async fn update_match(call: &Call, kind: &str) -> Result<Answer, Stop> {
    let resource = body_of(call, kind)?;
    let id = resource.id().map_or_else(new_id, str::to_owned);
    let operation =
        Operation::UpdateMatch { resource, id, query: call.condition(), condition: condition(call)? };
    one(call, operation).await
}

/// `DELETE Type/id`: 204 also where there is nothing (any more).
pub async fn delete(call: &Call, kind: &str, id: &str) -> Result<Answer, Stop> {
    if check_id(id).is_err() {
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let (kind, condition) = (known(kind)?, condition(call)?);
    one(call, Operation::Delete { kind, id: id.to_owned(), condition }).await
}

/// `DELETE Type?query`: at most one.
pub async fn delete_match(call: &Call, kind: &str) -> Result<Answer, Stop> {
    one(call, Operation::DeleteMatch { kind: known(kind)?, query: call.condition() }).await
}

/// Does one interaction as a plan of one entry.
pub(super) async fn one(call: &Call, operation: Operation) -> Result<Answer, Stop> {
    let zone = call.zone();
    let plan = bundle::single(operation, &call.context(&zone)).map_err(alone)?;
    let done = plan::write(call, plan).await.map_err(|stop| alone(stop.outcome()))?.into_iter().next();
    let Some(done) = done else { return Err(answer::of_refusal(Refusal::Store).into()) };
    answer_to(call, &done).await
}

/// Without the places in a Bundle's entry, which an interaction on its own does not have.
fn alone(mut outcome: Outcome) -> Outcome {
    for issue in &mut outcome.issues {
        issue.expression.retain(|place| !place.starts_with('.'));
    }
    outcome
}

async fn answer_to(call: &Call, done: &Done) -> Result<Answer, Stop> {
    match (&done.action.effect, &done.written) {
        (Effect::Put { method, .. }, Some(written)) => {
            if written.effect == write::Effect::Created {
                call.repairs.was_created(None);
            }
            let stored = plan::shown(call, *method, done);
            Ok(render::written(call, written, stored, &done.notes))
        }
        (Effect::Exists { kind, id, .. }, _) => exists_already(call, kind, id).await,
        (Effect::Delete { .. } | Effect::Nothing, written) => {
            let mut answer = empty(StatusCode::NO_CONTENT);
            if let Some(written) = written.as_ref().filter(|written| written.version > 0) {
                render::set(answer.headers_mut(), header::ETAG, &render::etag(written.version));
            }
            Ok(answer)
        }
        _ => Err(answer::of_refusal(Refusal::Store).into()),
    }
}

/// `If-None-Exist` matched one: 200 with where it is. <https://hl7.org/fhir/R4/http.html#ccreate>
async fn exists_already(call: &Call, kind: &str, id: &str) -> Result<Answer, Stop> {
    let stored = call.app.store.read(&call.tenant, kind, id).await?;
    let Some(stored) = stored else { return Err(answer::of_refusal(Refusal::Store).into()) };
    let mut answer = match read::version_of(&stored) {
        Some(version) => render::version(call, &version, &Shape::Full),
        None => render::gone(kind, id, stored.version),
    };
    let location = format!("{}/{kind}/{id}/_history/{}", call.base, stored.version);
    render::set(answer.headers_mut(), header::LOCATION, &location);
    Ok(answer)
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(axum::body::Body::empty());
    *answer.status_mut() = status;
    answer
}

/// Time-ordered, so that new rows go to the end of every index.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

pub(super) fn known(kind: &str) -> Result<&'static str, Outcome> {
    let unknown = || Outcome::error(IssueType::NotFound, "unknown-type", "R4 has no such resource type");
    elements::table().kind(kind).ok_or_else(unknown)
}

pub(super) fn condition(call: &Call) -> Result<Condition, Outcome> {
    if let Some(etag) = call.header("if-match") {
        return Condition::if_match(etag);
    }
    match call.header("if-none-match") {
        Some(text) if text.trim() == "*" => Ok(Condition::Absent),
        _ => Ok(Condition::None),
    }
}

fn body_of(call: &Call, kind: &str) -> Result<Resource, Outcome> {
    let resource = Resource::tolerating(resource::json(call.json()?)?, call.tolerated())?;
    if resource.kind() == kind {
        return Ok(resource);
    }
    let text = format!("the body is a {}, not a {kind}", resource.kind());
    let place = format!("{}.resourceType", resource.kind());
    Err(Outcome::error(IssueType::Invalid, "type-mismatch", text).at(place))
}

/// <https://hl7.org/fhir/R4/http.html#update>: the id in the body must be there and be that of the path.
fn same_id(resource: &Resource, id: &str) -> Result<(), Outcome> {
    let place = format!("{}.id", resource.kind());
    let (kind, code, text) = match resource.id() {
        Some(own) if own == id => return Ok(()),
        Some(_) => (IssueType::Value, "id-mismatch", "the resource's id is not the one in the url"),
        None => (IssueType::Required, "id-missing", "a resource that is PUT has the id of the url"),
    };
    Err(Outcome::error(kind, code, text).at(place))
}

/// R4's `id`: up to 64 of A-Z, a-z, 0-9, `-` and `.`.
pub(super) fn check_id(id: &str) -> Result<(), Outcome> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if (1..=64).contains(&id.len()) && id.chars().all(fits) {
        return Ok(());
    }
    Err(Outcome::error(IssueType::Value, "bad-id", "the id in the url is not an R4 id")
        .hint("1 to 64 of A-Z, a-z, 0-9, - and ."))
}
