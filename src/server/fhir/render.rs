//! Versions as answers: body, `ETag`, `Last-Modified`, `Location`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::super::answer::{self, Answer};
use super::super::wishes::{Layout, Return};
use super::call::Call;
use crate::fhir::outcome::{Issue, IssueType, Outcome};
use crate::fhir::resource::{instant, splice};
use crate::fhir::summary::{Role, Shape};
use crate::store::write::{Effect, Written};

/// One version of one resource.
pub struct Version<'a> {
    pub id: &'a str,
    pub version: i64,
    /// Milliseconds since 1970 UTC.
    pub updated_ms: i64,
    /// As stored: without id, versionId and lastUpdated.
    pub stored: &'a str,
}

impl Version<'_> {
    /// The resource as text.
    pub fn text(&self) -> String {
        splice(self.stored, self.id, self.version, &instant(self.updated_ms))
    }
}

/// `W/"3"`
pub fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// `Tue, 15 Nov 1994 08:12:31 GMT` (RFC 9110).
pub fn http_date(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A version that was read.
pub fn version(call: &Call, version: &Version<'_>, shape: &Shape) -> Answer {
    let text = shape.apply(version.text(), Role::Match);
    let mut answer = answer::json(StatusCode::OK, laid_out(text, call.wishes.layout));
    version_headers(answer.headers_mut(), version.version, version.updated_ms);
    answer
}

/// A version that was written: 201 with `Location` where it is new, else 200; with the body that
/// `Prefer: return=…` asks for. `stored`: `None` where the caller may not see it.
pub fn written(call: &Call, written: &Written, stored: Option<&str>, notes: &[Issue]) -> Answer {
    let status = if written.effect == Effect::Created { StatusCode::CREATED } else { StatusCode::OK };
    let mut answer = match (call.wishes.prefers.unwrap_or(Return::Representation), stored) {
        (Return::Representation, Some(stored)) => {
            let Written { id, version, updated_ms, .. } = written;
            let version = Version { id, version: *version, updated_ms: *updated_ms, stored };
            answer::json(status, laid_out(version.text(), call.wishes.layout))
        }
        (Return::OperationOutcome, _) => {
            let mut outcome = Outcome::information("written", effect_text(written.effect));
            outcome.issues.extend_from_slice(notes);
            call.repairs.warn(&mut outcome);
            answer::resource(status, &outcome.to_value(), call.wishes.layout)
        }
        (Return::Minimal | Return::Representation, _) => {
            let mut answer = Answer::default();
            *answer.status_mut() = status;
            answer
        }
    };
    version_headers(answer.headers_mut(), written.version, written.updated_ms);
    set(answer.headers_mut(), header::LOCATION, &location(&call.base, written));
    answer
}

/// `[base]/Type/id/_history/version`
pub fn location(base: &str, written: &Written) -> String {
    let Written { kind, id, version, .. } = written;
    format!("{base}/{kind}/{id}/_history/{version}")
}

pub fn effect_text(effect: Effect) -> &'static str {
    match effect {
        Effect::Created => "created",
        Effect::Updated => "updated",
        Effect::Unchanged => "nothing changed: no new version",
        Effect::Deleted => "deleted",
    }
}

/// Text of JSON, indented where that is wished for. What is stored is valid JSON; if it were not, it would
/// go out as it is.
pub fn laid_out(text: String, layout: Layout) -> String {
    match layout {
        Layout::Compact => text,
        Layout::Pretty => match serde_json::from_str(&text) {
            Ok(value) => answer::text(&value, Layout::Pretty),
            Err(_) => text,
        },
    }
}

/// 410 for a resource that was deleted, with the version that says so.
pub fn gone(kind: &str, id: &str, version: i64) -> Answer {
    let mut answer = answer::refusal(&gone_outcome(kind, id));
    set(answer.headers_mut(), header::ETAG, &etag(version));
    answer
}

/// The same inside a bundle.
pub fn gone_outcome(kind: &str, id: &str) -> Outcome {
    let text = format!("{kind}/{id} was deleted");
    let outcome = Outcome::error(IssueType::Deleted, "deleted", text).status(410);
    outcome.hint("its history tells earlier versions")
}

pub fn version_headers(headers: &mut HeaderMap, version: i64, updated_ms: i64) {
    set(headers, header::ETAG, &etag(version));
    set(headers, header::LAST_MODIFIED, &http_date(updated_ms));
}

/// Sets a header whose text we made; text that cannot stand in a header is left out.
pub fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_rfc_9110_says() {
        assert_eq!(http_date(784_887_151_000), "Tue, 15 Nov 1994 08:12:31 GMT");
    }
}
