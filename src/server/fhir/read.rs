//! Read and vread.

use axum::http::{Response, StatusCode};

use super::super::answer::{self, Answer};
use super::call::{Call, Stop};
use super::render::{self, Version};
use crate::fhir::bundle;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::summary::Shape;
use crate::store::read::Stored;

/// `GET Type/id`
pub async fn read(call: &Call, kind: &str, id: &str) -> Result<Answer, Stop> {
    let shape = shape(call, kind, &call.query)?;
    let stored = current(call, kind, id).await?;
    let known = (call.header("if-none-match"), call.header("if-modified-since"));
    if is_known(known, &stored) {
        return Ok(not_modified(&stored));
    }
    Ok(rendered(call, &stored, &shape))
}

/// What a read shows of the resource.
///
/// # Errors
/// 400, also for parameters that a read does not have where the client is strict.
pub fn shape(call: &Call, kind: &str, query: &[(String, String)]) -> Result<Shape, Outcome> {
    let known = ["_summary", "_elements", "_format", "_pretty"];
    match query.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) if call.is_strict() => {
            let text = format!("a read has no parameter {}", answer::plain(name));
            Err(Outcome::error(IssueType::Invalid, "unknown-parameter", text).hint(known.join(", ")))
        }
        _ => Shape::parse(kind, query),
    }
}

/// The current version, which may be a deletion.
///
/// # Errors
/// 404
pub async fn current(call: &Call, kind: &str, id: &str) -> Result<Stored, Stop> {
    let found = call.app.store.read(&call.tenant, kind, id).await?;
    Ok(found.ok_or_else(|| not_found(kind, id))?)
}

/// One version, which may be a deletion.
///
/// # Errors
/// 404
pub async fn earlier(call: &Call, kind: &str, id: &str, version: &str) -> Result<Stored, Stop> {
    let absent = || {
        let (id, version) = (answer::plain(id), answer::plain(version));
        let text = format!("there is no version {version} of {kind}/{id}");
        Outcome::error(IssueType::NotFound, "not-found", text)
    };
    let number: i64 = version.parse().map_err(|_| absent())?;
    let found = call.app.store.vread(&call.tenant, (kind, id), number).await?;
    Ok(found.ok_or_else(absent)?)
}

/// `GET Type/id/_history/version`
pub async fn vread(call: &Call, kind: &str, id: &str, version: &str) -> Result<Answer, Stop> {
    let shape = shape(call, kind, &call.query)?;
    Ok(rendered(call, &earlier(call, kind, id, version).await?, &shape))
}

fn rendered(call: &Call, stored: &Stored, shape: &Shape) -> Answer {
    match version_of(stored) {
        Some(version) => render::version(call, &version, shape),
        None => render::gone(&stored.kind, &stored.id, stored.version),
    }
}

/// `None` for a deletion.
pub fn version_of(stored: &Stored) -> Option<Version<'_>> {
    Some(Version {
        id: &stored.id,
        version: stored.version,
        updated_ms: stored.updated_ms,
        stored: stored.body.as_deref()?,
    })
}

pub(super) fn not_found(kind: &str, id: &str) -> Outcome {
    let text = format!("there is no {kind}/{}", answer::plain(id));
    Outcome::error(IssueType::NotFound, "not-found", text)
}

/// `If-None-Match`, and `If-Modified-Since` where that is absent (RFC 9110, 13.1.3); in a bundle, the latter is an instant.
pub(super) fn is_known((tags, since): (Option<&str>, Option<&str>), stored: &Stored) -> bool {
    if stored.deleted() {
        return false;
    }
    if let Some(tags) = tags {
        return tags
            .split(',')
            .any(|tag| tag.trim() == "*" || bundle::version(tag).ok() == Some(stored.version));
    }
    let read = |text: &str| match jiff::fmt::rfc2822::parse(text) {
        Ok(date) => Some(date.timestamp()),
        Err(_) => text.parse::<jiff::Timestamp>().ok(),
    };
    since.and_then(read).is_some_and(|date| stored.updated_ms / 1000 <= date.as_second())
}

fn not_modified(stored: &Stored) -> Answer {
    let mut answer = Response::new(axum::body::Body::empty());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    render::version_headers(answer.headers_mut(), stored.version, stored.updated_ms);
    answer
}
