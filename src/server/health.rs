//! `/health`: the process lives. `/ready`: it can do its work. `/metrics`: numbers for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer;
use super::app::App;
use super::authorise::{self, Caller};
use crate::telemetry;

/// A store that takes longer than this to answer is not ready.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// Prometheus' text format. <https://prometheus.io/docs/instrumenting/exposition_formats/>
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The process lives: for a supervisor that restarts it where this does not answer.
pub async fn health() -> Response {
    answer::plain_json(StatusCode::OK, &json!({ "status": "alive" }))
}

/// The store answers and every worker runs: for a load balancer.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let store = tokio::time::timeout(STORE_TIMEOUT, app.store.ping()).await.is_ok_and(|ping| ping.is_ok());
    let workers = app.readiness.workers();
    let ready = store && !app.draining.is_cancelled() && workers.values().all(|runs| *runs);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": ready, "store": store, "draining": app.draining.is_cancelled(), "workers": workers });
    answer::plain_json(status, &body)
}

/// All metrics; needs any token, whatever its scope.
pub async fn metrics(State(app): State<Arc<App>>, request: Request) -> Response {
    let caller = Caller::of(request.headers(), request.extensions());
    if let Err(outcome) = authorise::principal(&app, "default", caller).await {
        return answer::refusal(&outcome);
    }
    match telemetry::metrics::render() {
        Some(text) => ([(header::CONTENT_TYPE, PROMETHEUS)], text).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
