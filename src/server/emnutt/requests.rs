//! CommunicationRequests are stored; schedules are ended.

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::super::answer::Answer;
use super::super::fhir::REPAIRED;
use super::inner::{Asked, Inner};
use super::{processing, progress};
use crate::fhir::outcome::{IssueType, Outcome};

/// Schedules that one request may end.
const SCHEDULES_MAX: usize = 1_000;
/// How often a change is tried when others change the same.
pub const TRIES_MAX: u32 = 5;

/// Stores a CommunicationRequest. A refusal is passed on as it is: emNutt would have said `Processing` all the same.
pub async fn create(inner: &Inner<'_>, body: Value) -> Result<Answer, Outcome> {
    let path = "CommunicationRequest";
    let came = inner.ask(&Asked { method: Method::POST, path, body: Some(&body), if_match: None }).await?;
    let id = came.body.get("id").and_then(Value::as_str).unwrap_or_default();
    if came.status != StatusCode::CREATED {
        return Ok(came.pass());
    }
    let mut answer = processing(id);
    if let Some(repaired) = came.headers.get(REPAIRED) {
        answer.headers_mut().insert(REPAIRED, repaired.clone());
    }
    Ok(answer)
}

/// `POST …/emNutt/fhir` of any resource or Bundle.
pub async fn save(inner: &Inner<'_>, body: Value) -> Result<Answer, Outcome> {
    let kind = body.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    let (method, path) = match body.get("id").and_then(Value::as_str) {
        _ if kind == "Bundle" => (Method::POST, String::new()),
        Some(id) => (Method::PUT, format!("{kind}/{id}")),
        None => (Method::POST, kind.to_owned()),
    };
    if kind.is_empty() {
        let text = "the body is a resource or a Bundle";
        return Err(Outcome::error(IssueType::Structure, "unknown-type", text));
    }
    Ok(inner.ask(&Asked { method, path: &path, body: Some(&body), if_match: None }).await?.pass())
}

/// `{ "schedules": ["id", "CommunicationRequest/id"] }`: each is completed. The answer's id says how that went, so that
/// nothing has to be kept.
pub async fn cancel(inner: &Inner<'_>, body: &Value) -> Result<Answer, Outcome> {
    let schedules = body.get("schedules").and_then(Value::as_array).filter(|all| all.len() <= SCHEDULES_MAX);
    let Some(schedules) = schedules else {
        let text = "`schedules` is a list of at most 1,000 ids";
        return Err(Outcome::error(IssueType::Structure, "schedules", text));
    };
    let mut failed = 0;
    for schedule in schedules {
        let id = schedule.as_str().unwrap_or_default();
        let id = id.strip_prefix("CommunicationRequest/").unwrap_or(id);
        if complete(inner, id).await? != StatusCode::OK {
            failed += 1;
        }
    }
    Ok(processing(&progress::cancelled(schedules.len(), failed)))
}

async fn complete(inner: &Inner<'_>, id: &str) -> Result<StatusCode, Outcome> {
    change(inner, ("CommunicationRequest", id), |resource| resource["status"] = json!("completed")).await
}

/// Reads, changes and writes one resource, on condition that nobody else changed it meanwhile.
pub async fn change(
    inner: &Inner<'_>,
    (kind, id): (&str, &str),
    how: impl Fn(&mut Value),
) -> Result<StatusCode, Outcome> {
    let mut status = StatusCode::NOT_FOUND;
    for _ in 0..TRIES_MAX {
        let came = inner.read(kind, id).await?;
        if came.status != StatusCode::OK || !came.body.is_object() {
            return Ok(if came.status == StatusCode::OK { StatusCode::NOT_FOUND } else { came.status });
        }
        let version = came.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default();
        let mut resource = came.body;
        how(&mut resource);
        let path = format!("{kind}/{id}");
        let asked =
            Asked { method: Method::PUT, path: &path, body: Some(&resource), if_match: Some(version) };
        status = inner.ask(&asked).await?.status;
        if status != StatusCode::PRECONDITION_FAILED {
            break;
        }
    }
    Ok(status)
}
