//! emNutt's routes in its own shapes, so that iHRIS 5 (mHero) works with its `emnutt:base` pointing at
//! `…/emNutt/fhir`.
//!
//! Everything is done by requests to the FHIR interactions of this same server, with the caller's own credentials: their
//! scopes, repairs and audit hold. **Never** answers anybody without the profile `ihris`; **never** says that something
//! was sent: what a CommunicationRequest does is not built, it is stored and its progress told.

// A request to the FHIR interactions.
mod inner;
// Opting out and in again.
mod optout;
// How far a request is.
mod progress;
// CommunicationRequests and schedules.
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::app::App;
use super::authorise::{self, Caller};
use super::{body, fhir};
use crate::fhir::client::Profile;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::rapidpro::webhook::Hint;
use inner::Inner;

/// Anything below `…/emNutt/`, and `…/sync/TRIGGER`.
pub async fn answer(
    State(app): State<Arc<App>>,
    Path(segments): Path<BTreeMap<String, String>>,
    request: Request,
) -> Answer {
    let tenant = segments.get("tenant").map_or("default", String::as_str).to_owned();
    // emNutt has its triggers beside its base too.
    let path = match segments.get("trigger") {
        Some(trigger) => format!("sync/{trigger}"),
        None => segments.get("path").map_or("", String::as_str).to_owned(),
    };
    match dispatch(&app, &tenant, &path, request).await {
        Ok(answer) => answer,
        Err(outcome) => answer::refusal(&outcome),
    }
}

async fn dispatch(app: &Arc<App>, tenant: &str, path: &str, request: Request) -> Result<Answer, Outcome> {
    known(app, tenant, Caller::of(request.headers(), request.extensions())).await?;
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let inner = Inner::of(app, tenant, &request);
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    let post = *request.method() == Method::POST;
    match segments.as_slice() {
        ["fhir", "CommunicationRequest"] if post => requests::create(&inner, read(app, request).await?).await,
        ["fhir", "cancelMessageSchedule"] if post => {
            requests::cancel(&inner, &read(app, request).await?).await
        }
        ["fhir", "getProgress"] if get => progress::get(&inner, &query(&request)).await,
        // Progress is worked out from what is stored: there is nothing to be cleared.
        ["fhir", "clearProgress"] if get => Ok(plain(StatusCode::OK, "")),
        ["fhir"] if post => requests::save(&inner, read(app, request).await?).await,
        ["fhir", rest @ ..] if get => Ok(pass(app, tenant, &rest.join("/"), request).await),
        [what @ ("optout" | "undoOptout")] if *request.method() == Method::PUT => {
            let direction = if *what == "optout" { optout::Direction::Out } else { optout::Direction::In };
            let query = query(&request);
            optout::set(&inner, direction, (&query, &read_any(app, request).await?)).await
        }
        ["sync", what] if get || post => Ok(sync(app, tenant, what)),
        ["getConfig"] => Ok(plain(StatusCode::FORBIDDEN, "settings and secrets are not told")),
        _ => Err(Outcome::error(IssueType::NotFound, "no-such-place", "there is nothing at this path")),
    }
}

/// Only iHRIS' own token opens these routes.
async fn known(app: &App, tenant: &str, caller: Caller<'_>) -> Result<(), Outcome> {
    let principal = authorise::principal(app, tenant, caller).await?;
    if principal.profile == Some(Profile::Ihris) {
        return Ok(());
    }
    let text = "these routes are for clients with the profile ihris";
    let outcome = Outcome::error(IssueType::Forbidden, "profile-needed", text);
    Err(outcome.hint("mjumbe token create NAME --profile ihris"))
}

fn query(request: &Request) -> Vec<(String, String)> {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// A body of JSON.
async fn read(app: &App, request: Request) -> Result<Value, Outcome> {
    let bytes = read_bytes(app, request).await?;
    crate::fhir::resource::json(&bytes)
}

/// The same, or nothing.
async fn read_any(app: &App, request: Request) -> Result<Value, Outcome> {
    let bytes = read_bytes(app, request).await?;
    if bytes.is_empty() { Ok(Value::Null) } else { crate::fhir::resource::json(&bytes) }
}

async fn read_bytes(app: &App, request: Request) -> Result<axum::body::Bytes, Outcome> {
    body::decodable(request.headers())?;
    body::read(request.into_body(), app.body_limit).await
}

/// A GET goes on to the FHIR server; the links of what it answers come back here.
async fn pass(app: &Arc<App>, tenant: &str, path: &str, request: Request) -> Answer {
    let answered = inner::fhir(app, tenant, path, request).await;
    let media = answered.headers().get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
    let json = media.is_some_and(|media| media.contains("json"));
    if !json {
        return answered;
    }
    let (mut parts, body) = answered.into_parts();
    // It is in memory already.
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else { return Answer::default() };
    let own = base(app, tenant);
    match relinked(&bytes, &app.base(tenant), &own) {
        Some(text) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            Answer::from_parts(parts, Body::from(text))
        }
        None => Answer::from_parts(parts, Body::from(bytes)),
    }
}

/// `https://fhir.example.org/emNutt/fhir`
fn base(app: &App, tenant: &str) -> String {
    match tenant {
        "default" => format!("{}/emNutt/fhir", app.public_url),
        name => format!("{}/tenants/{name}/emNutt/fhir", app.public_url),
    }
}

/// A Bundle whose links are below another base; `None`: nothing to change.
fn relinked(bytes: &[u8], from: &str, to: &str) -> Option<String> {
    let mut bundle: Value = serde_json::from_slice(bytes).ok()?;
    for link in bundle.get_mut("link")?.as_array_mut()? {
        let url = link.get("url")?.as_str()?;
        if let Some(rest) = url.strip_prefix(from) {
            link["url"] = format!("{to}{rest}").into();
        }
    }
    Some(bundle.to_string())
}

/// What emNutt did when it was told to, Mjumbe does by itself: its pollers are woken. What it does not do, it says.
fn sync(app: &App, tenant: &str, what: &str) -> Answer {
    match what {
        "syncWorkflows" | "syncWorkflowRunMessages" => {
            let mut own = app.workspaces.values().filter(|workspace| workspace.tenant == tenant).peekable();
            if own.peek().is_none() {
                return plain(StatusCode::NOT_IMPLEMENTED, "this tenant has no RapidPro workspace");
            }
            own.for_each(|workspace| workspace.hints.accept(&Hint::default()));
            plain(StatusCode::OK, "Polling")
        }
        "syncContacts" | "syncContactsGroups" => {
            plain(StatusCode::NOT_IMPLEMENTED, "contacts are kept up to date by mapping files")
        }
        _ => plain(StatusCode::NOT_IMPLEMENTED, "not done by this server"),
    }
}

/// An answer in words, as emNutt gives them.
fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Answer::new(Body::from(text));
    *answer.status_mut() = status;
    answer
}

/// emNutt's answer to what it does later.
fn processing(id: &str) -> Answer {
    answer::plain_json(StatusCode::OK, &json!({ "status": "Processing", "reqID": id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_below_the_base_are_changed() {
        let bundle = br#"{"resourceType":"Bundle","link":[{"relation":"next","url":"http://x/fhir?_getpages=a"},{"relation":"self","url":"http://y/fhir"}],"total":1.0}"#;
        let text = relinked(bundle, "http://x/fhir", "http://x/emNutt/fhir").unwrap();
        assert!(text.contains("http://x/emNutt/fhir?_getpages=a") && text.contains("http://y/fhir"));
        assert!(text.contains("1.0"), "digits stay: {text}");
        assert_eq!(relinked(br#"{"resourceType":"Patient"}"#, "a", "b"), None);
        assert_eq!(relinked(b"{", "a", "b"), None);
    }
}
