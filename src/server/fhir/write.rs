//! Create, update and delete.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{Response, StatusCode, header};

use super::super::answer::{self, Answer};
use super::super::wishes::Return;
use super::call::{Call, Stop, parameters};
use super::put::{Writer, check_id, precondition};
use super::{read, render};
use crate::auth::scope::Permission;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::query::Query;
use crate::fhir::resource::Resource;
use crate::fhir::search::{self, Context, Handling};
use crate::store::write::{Fixed, Matches, Plan, Precondition, Put, Question, Refusal, Written};

/// `POST Type`, also with `If-None-Exist`.
pub async fn create(call: &Call, kind: &str) -> Result<Answer, Stop> {
    let resource = body_of(call, kind)?;
    let condition = match call.header("if-none-exist") {
        Some(text) => Some(condition(call, kind, text)?),
        None => None,
    };
    let id = uuid::Uuid::now_v7().to_string();
    let put = Writer::of(call).put(&resource, &id, Precondition::Absent);
    let stored = put.body.clone().unwrap_or_default();
    let existing = Arc::default();
    let plan = Single { put, condition, existing: Arc::clone(&existing) };
    let written = call.app.store.write(&call.tenant, Box::new(plan)).await?;
    let matched = existing.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (written.first(), matched) {
        (Some(written), _) => Ok(render::written(call, written, &stored)),
        (None, Some((kind, id))) => exists_already(call, &kind, &id).await,
        (None, None) => Err(answer::of_refusal(Refusal::Store).into()),
    }
}

/// `If-None-Exist` matched one: 200 with where it is. <https://hl7.org/fhir/R4/http.html#ccreate>
async fn exists_already(call: &Call, kind: &str, id: &str) -> Result<Answer, Stop> {
    let mut answer = read::read(call, kind, id).await?;
    if let Some(stored) = call.app.store.read(&call.tenant, kind, id).await? {
        let location = format!("{}/{kind}/{id}/_history/{}", call.base, stored.version);
        render::set(answer.headers_mut(), header::LOCATION, &location);
    }
    if call.wishes.returns == Return::Minimal {
        *answer.body_mut() = axum::body::Body::empty();
    }
    Ok(answer)
}

/// `PUT Type/id`: a new version, or a resource whose id the client chose.
pub async fn update(call: &Call, kind: &str, id: &str) -> Result<Answer, Stop> {
    check_id(id)?;
    let resource = body_of(call, kind)?;
    same_id(&resource, id)?;
    let precondition = precondition(call.header("if-match"))?;
    let put = Writer::of(call).put(&resource, id, precondition);
    let stored = put.body.clone().unwrap_or_default();
    let written = write_one(call, put).await?;
    Ok(render::written(call, &written, &stored))
}

/// `DELETE Type/id`: 204 also where there is nothing (any more).
pub async fn delete(call: &Call, kind: &str, id: &str) -> Result<Answer, Stop> {
    let precondition = precondition(call.header("if-match"))?;
    let mut answer = Response::new(axum::body::Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    if check_id(id).is_err() {
        return Ok(answer);
    }
    let written = write_one(call, Writer::of(call).delete(kind, id, precondition)).await?;
    if written.version > 0 {
        render::set(answer.headers_mut(), header::ETAG, &render::etag(written.version));
    }
    Ok(answer)
}

async fn write_one(call: &Call, put: Put) -> Result<Written, Stop> {
    let plan = Fixed { puts: vec![put], ..Fixed::default() };
    let written = call.app.store.write(&call.tenant, Box::new(plan)).await?;
    written.into_iter().next().ok_or_else(|| answer::of_refusal(Refusal::Store).into())
}

fn body_of(call: &Call, kind: &str) -> Result<Resource, Outcome> {
    let resource = Resource::parse(call.json()?)?;
    if resource.kind() == kind {
        return Ok(resource);
    }
    let text = format!("the body is a {}, not a {kind}", resource.kind());
    Err(Outcome::error(IssueType::Invalid, "wrong-type", text)
        .at(format!("{}.resourceType", resource.kind())))
}

/// <https://hl7.org/fhir/R4/http.html#update>: the id in the body must be there and be that of the path.
fn same_id(resource: &Resource, id: &str) -> Result<(), Outcome> {
    let place = format!("{}.id", resource.kind());
    match resource.id() {
        Some(own) if own == id => Ok(()),
        Some(_) => {
            Err(Outcome::error(IssueType::Invalid, "id-mismatch", "the body's id is not the path's")
                .at(place))
        }
        None => {
            Err(Outcome::error(IssueType::Required, "id-missing", "an update needs the id in its body")
                .at(place))
        }
    }
}

/// The search of `If-None-Exist`; whoever asks it must be allowed to search.
pub fn condition(call: &Call, kind: &str, text: &str) -> Result<Query, Stop> {
    call.principal.require(Permission::Search, kind)?;
    let pairs = parameters(text.trim_start_matches('?').as_bytes())?;
    let zone = call.zone();
    let (base, now) = (call.base.as_str(), jiff::Timestamp::now());
    // An unknown parameter would match everything: strict, whatever is preferred.
    let context = Context { base, zone: &zone, now, handling: Handling::Strict };
    let query = search::parse(kind, &pairs, &context)?.query;
    if query.filters.is_empty() {
        let text = "a condition that selects nothing in particular";
        return Err(Outcome::error(IssueType::Invalid, "empty-condition", text).into());
    }
    Ok(query)
}

/// One put, perhaps only if nothing matches.
struct Single {
    put: Put,
    condition: Option<Query>,
    /// What matched, told to the handler; set again if the group is run again.
    existing: Arc<Mutex<Option<(String, String)>>>,
}

impl Plan for Single {
    fn questions(&self) -> Vec<Question> {
        self.condition.iter().map(|query| Question { query: query.clone(), limit: 2 }).collect()
    }

    fn puts(&self, answers: &[Matches]) -> Result<Vec<Put>, Refusal> {
        let mut existing = self.existing.lock().unwrap_or_else(PoisonError::into_inner);
        *existing = None;
        match answers.first().map(Vec::as_slice) {
            None | Some([]) => Ok(vec![self.put.clone()]),
            Some([(kind, id, _)]) => {
                *existing = Some((kind.clone(), id.clone()));
                Ok(Vec::new())
            }
            Some(_) => Err(Refusal::Plan(Box::new(
                Outcome::error(
                    IssueType::MultipleMatches,
                    "several-matches",
                    "If-None-Exist matches several",
                )
                .status(412),
            ))),
        }
    }
}
