//! Operations that the entries of a bundle call: `GET Patient/1/$everything`, `POST Patient/$match`.
//!
//! Each is the operation that a request of its own would call, with its own scopes and limits, and with nothing of the
//! bundle's request but who calls. In a batch any may be called; in a transaction, where they run after the commit,
//! only what changes nothing. **Never** fails the bundle: a refusal is the entry's.

use axum::body::{Bytes, to_bytes};
use axum::http::{Method, header};
use serde_json::{Value, json};

use super::super::super::interaction::{Interaction, NoInteraction};
use super::super::call::{Call, Stop, parameters};
use super::super::operation::{self, Definition, Place};
use super::{interaction, status_line};
use crate::fhir::bundle::{By, Invocation};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::store::write::Refusal;

/// Whether it may be called in a transaction, before anything of that is written.
///
/// # Errors
/// 400 for an operation that changes what is stored; else as a request of its own: 403, 404, 405.
pub fn beside_writes(call: &Call, invocation: &Invocation) -> Result<(), Stop> {
    let (_, operation, _) = asked(call, invocation)?;
    if operation.changes() {
        let text = format!("${} changes what is stored: it is not part of a transaction", operation.name);
        let outcome = Outcome::error(IssueType::NotSupported, "not-supported", text);
        return Err(outcome.hint("call it in a batch, or PATCH what it would change").into());
    }
    Ok(())
}

/// The entry of the answer.
///
/// # Errors
/// As a request of its own.
pub async fn answer(call: &Call, invocation: &Invocation) -> Result<String, Stop> {
    let (place, operation, query) = asked(call, invocation)?;
    let body = invocation.body.as_ref().map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    // As it would be without a bundle: a body of a GET is nobody's.
    let body = if invocation.method == By::Post { body } else { Bytes::new() };
    let own = call.within(method(invocation.method), parameters(query.as_bytes())?, body);
    let answer = operation::run(&own, &place, operation).await?;
    let (parts, body) = answer.into_parts();
    // The body was made whole by the operation.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return Err(Refusal::Store.into()) };
    let mut response = json!({ "status": status_line(parts.status) });
    for (name, key) in [(header::ETAG, "etag"), (header::LOCATION, "location")] {
        if let Some(text) = parts.headers.get(name).and_then(|value| value.to_str().ok()) {
            response[key] = Value::from(text);
        }
    }
    if !parts.status.is_success() {
        response["outcome"] = serde_json::from_slice(&body).unwrap_or_default();
        return Ok(json!({ "response": response }).to_string());
    }
    match std::str::from_utf8(&body) {
        Ok(resource) if !resource.is_empty() && invocation.method != By::Head => {
            Ok(format!(r#"{{"resource":{resource},"response":{response}}}"#))
        }
        _ => Ok(json!({ "response": response }).to_string()),
    }
}

/// The operation, if the caller may call it.
fn asked<'a>(call: &Call, invocation: &'a Invocation) -> Result<(Place, &'static Definition, &'a str), Stop> {
    let (interaction, query) = interaction(call, (&method(invocation.method), &invocation.url))?;
    match interaction {
        Interaction::Operation { place, operation } => Ok((place, operation, query)),
        _ => Err(Stop::NoInteraction(NoInteraction::NotFound)),
    }
}

fn method(by: By) -> Method {
    match by {
        By::Get => Method::GET,
        By::Head => Method::HEAD,
        By::Post => Method::POST,
    }
}
