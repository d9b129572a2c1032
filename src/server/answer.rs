//! The one place where a refusal becomes an HTTP answer.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::fhir::operation;
use super::interaction::NoInteraction;
use super::wishes::Layout;
use crate::auth::Denied;
use crate::fhir::outcome::{IssueType, Outcome, did_you_mean};
use crate::store;
use crate::store::write::Refusal;

/// What every handler answers.
pub type Answer = Response<Body>;

/// R4's media type. <https://hl7.org/fhir/R4/http.html#mime-type>
pub const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";
/// Seconds after which a client that was answered 503 may try again.
const RETRY_AFTER_S: &str = "2";

/// An answer with a body of FHIR JSON.
pub fn json(status: StatusCode, body: impl Into<Body>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    answer
}

/// An answer that is JSON and not FHIR.
pub fn plain_json(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A resource, laid out as asked.
pub fn resource(status: StatusCode, resource: &Value, layout: Layout) -> Answer {
    json(status, text(resource, layout))
}

/// A resource as text.
pub fn text(resource: &Value, layout: Layout) -> String {
    match layout {
        Layout::Compact => resource.to_string(),
        // A `Value` of string keys always serialises.
        Layout::Pretty => serde_json::to_string_pretty(resource).unwrap_or_else(|_| resource.to_string()),
    }
}

/// A refusal: its status, its OperationOutcome, and the headers that belong to the status.
pub fn refusal(outcome: &Outcome) -> Answer {
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json(status, outcome.to_value().to_string());
    let headers = answer.headers_mut();
    match status {
        StatusCode::UNAUTHORIZED => {
            // <https://www.rfc-editor.org/rfc/rfc6750#section-3>
            let bearer = HeaderValue::from_static(match outcome.issues.first().map(|issue| issue.code) {
                Some("token-expired") => {
                    "Bearer realm=\"mjumbe\", error=\"invalid_token\", error_description=\"the token expired\""
                }
                _ => "Bearer realm=\"mjumbe\"",
            });
            let basic = HeaderValue::from_static("Basic realm=\"mjumbe\", charset=\"UTF-8\"");
            headers.append(header::WWW_AUTHENTICATE, bearer);
            headers.append(header::WWW_AUTHENTICATE, basic);
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        _ => {}
    }
    answer
}

/// A path or method that is no interaction.
pub fn no_interaction(reason: &NoInteraction) -> Answer {
    let mut answer = refusal(&outcome_of_no_interaction(reason));
    if let NoInteraction::Method { allow } = reason {
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    answer
}

/// The same inside a bundle, where no header can be given.
pub fn outcome_of_no_interaction(reason: &NoInteraction) -> Outcome {
    match reason {
        NoInteraction::NotFound => {
            Outcome::error(IssueType::NotFound, "no-such-place", "there is nothing at this path")
                .hint("GET metadata lists what there is")
        }
        NoInteraction::UnknownType(kind) => {
            let kind = plain(kind);
            let text = format!("`{kind}` is not an R4 resource type");
            let outcome = Outcome::error(IssueType::NotFound, "unknown-type", text);
            outcome.hint("types are written as in R4, e.g. Patient")
        }
        NoInteraction::UnknownOperation(name) => {
            let text = format!("there is no operation `{}` here", plain(name));
            let outcome = Outcome::error(IssueType::NotFound, "unknown-operation", text);
            match did_you_mean(name.trim_start_matches('$'), operation::names()) {
                Some(close) => {
                    outcome.hint(format!("did you mean ${close}? GET metadata says which type has it"))
                }
                None => outcome.hint("GET metadata lists the operations of each type"),
            }
        }
        NoInteraction::OperationElsewhere { levels } => {
            let levels: Vec<String> = levels.iter().map(ToString::to_string).collect();
            Outcome::error(IssueType::NotFound, "unknown-operation", "this operation is at another level")
                .hint(format!("it is called at {}", levels.join(" and ")))
        }
        NoInteraction::Method { allow } => {
            Outcome::error(IssueType::NotSupported, "method-not-allowed", "this method does nothing here")
                .status(405)
                .hint(format!("allowed: {allow}"))
        }
    }
}

/// Text of a client's that is repeated in an outcome: short, without control characters.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// 401 or 403.
pub fn denied(denied: &Denied) -> Outcome {
    match denied {
        Denied::Unknown => {
            Outcome::error(IssueType::Login, "login-required", denied.to_string()).status(401).hint(
                "send `Authorization: Bearer TOKEN`, or Basic with the token's name and the token; \
                 `mjumbe token create NAME` makes one",
            )
        }
        Denied::Expired => Outcome::error(IssueType::Login, "token-expired", denied.to_string())
            .status(401)
            .hint("ask the identity provider for another"),
        Denied::Scope { .. } => Outcome::error(IssueType::Forbidden, "scope-missing", denied.to_string())
            .status(403)
            .hint("`mjumbe token create NAME --scope …`, or give the user's role at the identity provider"),
    }
}

/// Why a plan was not written.
pub fn of_refusal(refusal: Refusal) -> Outcome {
    let text = refusal.to_string();
    match refusal {
        Refusal::VersionConflict { .. } => Outcome::error(IssueType::Conflict, "version-conflict", text)
            .status(412)
            .hint("read it again and repeat the change on its current version"),
        Refusal::Missing { .. } => Outcome::error(IssueType::Conflict, "version-conflict", text).status(412),
        // If-None-Match: * (RFC 9110, 13.1.2).
        Refusal::Exists { .. } => Outcome::error(IssueType::Duplicate, "exists", text).status(412),
        Refusal::NotFound { .. } => Outcome::error(IssueType::NotFound, "not-found", text).status(404),
        Refusal::Plan(outcome) => *outcome,
        Refusal::TooMany { .. } => Outcome::error(IssueType::TooCostly, "too-many-writes", text).status(413),
        Refusal::TooManyMatches => Outcome::error(IssueType::TooCostly, "conditions-too-costly", text)
            .hint("send fewer entries, or conditions by identifier"),
        Refusal::Busy => Outcome::error(IssueType::Throttled, "busy", text).status(503),
        Refusal::Unavailable => {
            Outcome::error(IssueType::Throttled, "store-unavailable", text).status(503).hint("try again")
        }
        Refusal::Store => store_failed(),
    }
}

/// A store that failed: told to the client without detail, logged where it happened.
pub fn of_store(error: &store::Error) -> Outcome {
    match error {
        store::Error::PageToken => Outcome::error(IssueType::NotFound, "page-token", error.to_string())
            .status(410)
            .hint(error.hint()),
        store::Error::TooCostly => {
            Outcome::error(IssueType::TooCostly, "too-many-values", error.to_string()).hint(error.hint())
        }
        store::Error::TooLong => Outcome::error(IssueType::TooCostly, "too-costly", error.to_string())
            .status(422)
            .hint(error.hint()),
        error if error.is_transient() => {
            tracing::warn!(code = error.code(), "the store did not answer");
            Outcome::error(IssueType::Throttled, "store-unavailable", "the store does not answer now")
                .status(503)
        }
        error => {
            tracing::error!(code = error.code(), %error, "the store failed");
            store_failed()
        }
    }
}

fn store_failed() -> Outcome {
    Outcome::error(IssueType::Exception, "store-failed", "the store failed; nothing was written").status(500)
}
