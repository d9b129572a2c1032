//! A request to the FHIR interactions of this server, with the caller's own credentials.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use super::super::answer::Answer;
use super::super::app::App;
use super::super::authorise;
use super::super::listen::Peer;
use super::fhir as interactions;
use crate::fhir::outcome::{IssueType, Outcome};

/// For whom requests are made.
pub struct Inner<'a> {
    app: &'a Arc<App>,
    tenant: &'a str,
    authorization: Option<HeaderValue>,
    peer: Option<Peer>,
}

/// One request.
pub struct Asked<'a> {
    pub method: Method,
    /// Below the base, with its query.
    pub path: &'a str,
    pub body: Option<&'a Value>,
    /// `W/"3"`
    pub if_match: Option<&'a str>,
}

/// What came back.
pub struct Came {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Null where there is none.
    pub body: Value,
}

impl<'a> Inner<'a> {
    pub fn of(app: &'a Arc<App>, tenant: &'a str, request: &Request) -> Self {
        let authorization = authorise::brought(request.headers()).cloned();
        Self { app, tenant, authorization, peer: request.extensions().get().copied() }
    }

    /// Asks and reads the answer, whatever it is.
    ///
    /// # Errors
    /// 400 where the path cannot be one.
    pub async fn ask(&self, asked: &Asked<'_>) -> Result<Came, Outcome> {
        let unfit = || Outcome::error(IssueType::Value, "bad-id", "this names nothing");
        let body = asked.body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = Request::builder().method(asked.method.clone()).uri(format!("/{}", asked.path));
        request = request.header(header::CONTENT_TYPE, "application/fhir+json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(version) = asked.if_match {
            request = request.header(header::IF_MATCH, version);
        }
        if let Some(peer) = self.peer {
            request = request.extension(peer);
        }
        let request = request.body(body).map_err(|_| unfit())?;
        let path = asked.path.split('?').next().unwrap_or_default();
        let (parts, body) = fhir(self.app, self.tenant, path, request).await.into_parts();
        // It is in memory already.
        let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(|_| unfit())?;
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Came { status: parts.status, headers: parts.headers, body })
    }

    /// A resource as it is now.
    ///
    /// # Errors
    /// 400 for an id that cannot be one.
    pub async fn read(&self, kind: &str, id: &str) -> Result<Came, Outcome> {
        let path = format!("{kind}/{id}");
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if !id.chars().all(fits) || !kind.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(Outcome::error(IssueType::Value, "bad-id", "this names nothing"));
        }
        self.ask(&Asked { method: Method::GET, path: &path, body: None, if_match: None }).await
    }
}

impl Came {
    /// The refusal as it came.
    pub fn pass(self) -> Answer {
        let mut answer = Answer::new(Body::from(self.body.to_string()));
        *answer.status_mut() = self.status;
        *answer.headers_mut() = self.headers;
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        answer
    }
}

/// Answers a request as if it had come below the tenant's FHIR base.
pub async fn fhir(app: &Arc<App>, tenant: &str, path: &str, request: Request) -> Answer {
    let mut segments = BTreeMap::from([("path".to_owned(), path.to_owned())]);
    segments.insert("tenant".to_owned(), tenant.to_owned());
    // Boxed: the answer of these routes is an answer of those.
    Box::pin(interactions::below(State(Arc::clone(app)), Ok(Path(segments)), request)).await
}
