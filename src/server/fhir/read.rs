//! Read, vread and the history of one resource.

use axum::http::{Response, StatusCode};
use serde_json::json;

use super::super::answer::{self, Answer};
use super::call::{Call, Stop};
use super::render::{self, Version};
use crate::fhir::bundle;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::resource::instant;
use crate::fhir::summary::{Role, Shape};
use crate::store::read::Stored;

/// The largest page of a history, and its size where the client does not say.
const HISTORY_COUNT_MAX: u32 = 1000;
const HISTORY_COUNT: u32 = 100;
/// The parameter that carries where the next page of a history begins: a version.
const BEFORE: &str = "_before";

/// `GET Type/id`
pub async fn read(call: &Call, kind: &str, id: &str) -> Result<Answer, Stop> {
    let shape = shape(call, kind, &call.query)?;
    let stored = current(call, kind, id).await?;
    if is_known(call, &stored) {
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

fn not_found(kind: &str, id: &str) -> Outcome {
    let text = format!("there is no {kind}/{}", answer::plain(id));
    Outcome::error(IssueType::NotFound, "not-found", text)
}

/// `If-None-Match`, and `If-Modified-Since` where that is absent (RFC 9110, 13.1.3).
fn is_known(call: &Call, stored: &Stored) -> bool {
    if stored.deleted() {
        return false;
    }
    if let Some(tags) = call.header("if-none-match") {
        return tags
            .split(',')
            .any(|tag| tag.trim() == "*" || bundle::version(tag).ok() == Some(stored.version));
    }
    let since = call.header("if-modified-since");
    let since = since.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    since.is_some_and(|date| stored.updated_ms / 1000 <= date.timestamp().as_second())
}

fn not_modified(stored: &Stored) -> Answer {
    let mut answer = Response::new(axum::body::Body::empty());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    render::version_headers(answer.headers_mut(), stored.version, stored.updated_ms);
    answer
}

/// `GET Type/id/_history`: newest first, deletions included.
pub async fn history(call: &Call, kind: &str, id: &str) -> Result<Answer, Stop> {
    let bundle = history_bundle(call, (kind, id), &call.query).await?;
    Ok(answer::json(StatusCode::OK, render::laid_out(bundle, call.wishes.layout)))
}

/// The history as text; also for a GET in a batch.
pub async fn history_bundle(
    call: &Call,
    (kind, id): (&str, &str),
    query: &[(String, String)],
) -> Result<String, Stop> {
    let (count, before) = history_page(call, query)?;
    let shape = Shape::parse(kind, query)?;
    let found = call.app.store.history(&call.tenant, (kind, id), before, count).await?;
    if found.total == 0 {
        return Err(not_found(kind, id).into());
    }
    let place = format!("{}/{kind}/{id}", call.base);
    let mut entries = Vec::new();
    for stored in &found.versions {
        entries.push(history_entry(&place, stored, &shape));
    }
    let url = |before| history_url(&place, (count, before), query);
    let mut links = vec![json!({ "relation": "self", "url": url(before) })];
    if let (true, Some(last)) = (found.more, found.versions.last()) {
        links.push(json!({ "relation": "next", "url": url(Some(last.version)) }));
    }
    Ok(format!(
        r#"{{"resourceType":"Bundle","type":"history","total":{},"link":{},"entry":[{}]}}"#,
        found.total,
        serde_json::Value::Array(links),
        entries.join(",")
    ))
}

fn history_page(call: &Call, query: &[(String, String)]) -> Result<(u32, Option<i64>), Outcome> {
    let (mut count, mut before) = (HISTORY_COUNT, None);
    for (name, value) in query {
        let bad = || {
            let text = format!("{}: a whole number", answer::plain(name));
            Outcome::error(IssueType::Value, "bad-number", text)
        };
        match name.as_str() {
            "_count" => count = value.parse::<u32>().map_err(|_| bad())?.clamp(1, HISTORY_COUNT_MAX),
            BEFORE => before = Some(value.parse::<i64>().map_err(|_| bad())?),
            "_format" | "_pretty" | "_summary" | "_elements" => {}
            "_since" | "_at" | "_list" => {
                let text = format!("{name} of a history is not supported");
                return Err(Outcome::error(IssueType::NotSupported, "not-supported", text));
            }
            _ if call.is_strict() => {
                let text = format!("a history has no parameter {}", answer::plain(name));
                return Err(Outcome::error(IssueType::Invalid, "unknown-parameter", text));
            }
            _ => {}
        }
    }
    Ok((count, before))
}

fn history_url(place: &str, (count, before): (u32, Option<i64>), query: &[(String, String)]) -> String {
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    out.append_pair("_count", &count.to_string());
    out.extend_pairs(query.iter().filter(|(name, _)| matches!(name.as_str(), "_summary" | "_elements")));
    if let Some(version) = before {
        out.append_pair(BEFORE, &version.to_string());
    }
    format!("{place}/_history?{}", out.finish())
}

fn history_entry(place: &str, stored: &Stored, shape: &Shape) -> String {
    let (kind, id) = (&stored.kind, &stored.id);
    let status = match (stored.method.as_str(), stored.version) {
        ("DELETE", _) => "204 No Content",
        (_, 1) => "201 Created",
        _ => "200 OK",
    };
    let url = if stored.method == "POST" { kind.clone() } else { format!("{kind}/{id}") };
    let request = json!({ "method": stored.method, "url": url });
    let response = json!({
        "status": status,
        "etag": render::etag(stored.version),
        "lastModified": instant(stored.updated_ms),
    });
    let resource = version_of(stored).map(|version| shape.apply(version.text(), Role::Match));
    let resource = resource.map(|text| format!(r#""resource":{text},"#)).unwrap_or_default();
    let full_url = serde_json::Value::from(place);
    format!(r#"{{"fullUrl":{full_url},{resource}"request":{request},"response":{response}}}"#)
}
