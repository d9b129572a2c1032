//! `POST /rapidpro/DESTINATION/webhook`: wakes the poller, which fetches the truth.
//!
//! **Invariant:** stores nothing. RapidPro calls before its own commit and at most once, so that what a
//! webhook says may be gone, changed or never repeated; what polling finds is what counts.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::app::App;
use super::{answer, body};
use crate::auth::{Denied, token};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::rapidpro::poll::Hints;
use crate::rapidpro::webhook;

/// A webhook's body is a few kilobytes; RapidPro cuts long texts itself.
const BODY_MAX: usize = 1024 * 1024;

/// One workspace that may call.
pub struct Workspace {
    /// Without one, nobody may call.
    pub secret: Option<SecretString>,
    pub tenant: String,
    /// Wakes the workspace's poller.
    pub hints: Hints,
}

/// Answers 202 once the poller is woken.
pub async fn receive(State(app): State<Arc<App>>, Path(name): Path<String>, request: Request) -> Response {
    match accept(&app, &name, request).await {
        Ok(()) => answer::plain_json(StatusCode::ACCEPTED, &json!({ "status": "accepted" })),
        Err(outcome) => answer::refusal(&outcome),
    }
}

async fn accept(app: &App, name: &str, request: Request) -> Result<(), Outcome> {
    let (parts, body) = request.into_parts();
    let workspace = known(app, name, &parts)?;
    let bytes = body::read(body, BODY_MAX).await?;
    let hint = webhook::read(&bytes).map_err(|error| {
        Outcome::error(IssueType::Invalid, error.code(), error.to_string()).hint(error.hint())
    })?;
    metrics::counter!("mjumbe_rapidpro_webhooks_total", "destination" => name.to_owned()).increment(1);
    workspace.hints.accept(&hint);
    Ok(())
}

/// An unknown name and a wrong secret are answered alike.
fn known<'a>(app: &'a App, name: &str, parts: &Parts) -> Result<&'a Workspace, Outcome> {
    let workspace = app.workspaces.get(name);
    let secret = workspace.and_then(|workspace| workspace.secret.as_ref());
    match (workspace, secret, presented(parts)) {
        (Some(workspace), Some(secret), Some(presented))
            if token::equal(secret.expose_secret(), presented.expose_secret()) =>
        {
            Ok(workspace)
        }
        _ => Err(answer::denied(&Denied::Unknown).hint(
            "send `Authorization: Bearer SECRET` with the webhook_secret of this [rapidpro.NAME], or `?key=SECRET` \
             where the caller cannot send a header",
        )),
    }
}

/// The secret as a Bearer header, else as the one `key` of the query, which is all that a resthook can send.
fn presented(parts: &Parts) -> Option<SecretString> {
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(bearer) = header.and_then(|value| value.strip_prefix("Bearer ")) {
        return Some(bearer.trim().into());
    }
    let query = parts.uri.query().unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let mut keys = pairs.filter(|(name, _)| name == "key").map(|(_, value)| value);
    keys.next().filter(|_| keys.next().is_none()).map(|key| key.into_owned().into())
}
