//! What stands before every route: request id, span, metrics, limit, timeout, panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use futures::FutureExt;
use tokio::sync::Semaphore;
use tracing::Instrument;

use super::answer::{self, Answer};
use super::format::{self, Dress, Instead};
use super::unread;
use crate::fhir::outcome::{IssueType, Outcome};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id from a client is replaced by one of ours.
const REQUEST_ID_LENGTH_MAX: usize = 64;

/// The bounds that hold for all requests together.
#[derive(Clone)]
pub struct Shield {
    free: Arc<Semaphore>,
    timeout: Duration,
}

impl Shield {
    pub fn new(concurrency: usize, timeout: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(concurrency)), timeout }
    }
}

/// A word for metrics, put beside an answer by the handler that knows it; else the route's template.
#[derive(Clone, Copy)]
pub struct Label(pub &'static str);

/// The outermost layer.
pub async fn guard(State(shield): State<Shield>, request: Request, next: Next) -> Answer {
    let id = request_id(&request);
    let method = method_label(request.method());
    let template = template(&request);
    let span =
        tracing::info_span!("request", id = %id.to_str().unwrap_or_default(), method, route = %template);
    let started = Instant::now();
    let dress = Dress::of(request.headers(), request.uri().query().unwrap_or_default().as_bytes());
    let (request, rest) = unread::lend(request);
    let mut answer = match bounded(&shield, request, next).instrument(span.clone()).await {
        Ok(answer) => answer,
        Err(outcome) => format::dressed(answer::refusal(&outcome), dress, Instead::Refusal).await,
    };
    rest.discard(&mut answer);
    count(&span, &template, method, &answer, started.elapsed());
    answer.headers_mut().insert(REQUEST_ID, id);
    let headers = answer.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

async fn bounded(shield: &Shield, request: Request, next: Next) -> Result<Answer, Outcome> {
    let Ok(_permit) = shield.free.try_acquire() else {
        let outcome = Outcome::error(IssueType::Throttled, "busy", "too many requests are under way");
        return Err(outcome.status(503));
    };
    let _counted = InFlight::begin();
    let guarded = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(shield.timeout, guarded).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => {
            tracing::error!("a handler panicked");
            let text = "the server has a defect here";
            Err(Outcome::error(IssueType::Exception, "defect", text).status(500))
        }
        Err(_) => {
            tracing::warn!("a request took too long");
            let text = "the request took too long; a write may still take effect";
            Err(Outcome::error(IssueType::Timeout, "timeout", text).status(503))
        }
    }
}

/// Counts one request until it ends, also where its client goes away and nothing more of it runs.
struct InFlight;

impl InFlight {
    fn begin() -> Self {
        metrics::gauge!("mjumbe_http_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("mjumbe_http_requests_in_flight").decrement(1.0);
    }
}

/// The client's own `X-Request-Id` where it is harmless in a log, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        // Digits alone could be a phone number.
        let letters = bytes.iter().any(u8::is_ascii_alphabetic);
        (1..=REQUEST_ID_LENGTH_MAX).contains(&bytes.len()) && letters && bytes.iter().all(harmless)
    });
    given.cloned().unwrap_or_else(|| {
        let fresh = uuid::Uuid::now_v7().simple().to_string();
        HeaderValue::from_str(&fresh).unwrap_or(HeaderValue::from_static("none"))
    })
}

fn template(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned())
}

/// Methods that nobody defined are one word, so that a client cannot make new metrics.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn count(span: &tracing::Span, template: &str, method: &'static str, answer: &Answer, elapsed: Duration) {
    let status = answer.status();
    let interaction = answer.extensions().get::<Label>().map_or("none", |label| label.0);
    let labels = [
        ("route", template.to_owned()),
        ("interaction", interaction.to_owned()),
        ("method", method.to_owned()),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!("mjumbe_http_requests_total", &labels).increment(1);
    metrics::histogram!("mjumbe_http_request_duration_seconds", &labels[..2]).record(elapsed.as_secs_f64());
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let status_code = status.as_u16();
    span.in_scope(|| match status {
        StatusCode::INTERNAL_SERVER_ERROR => {
            tracing::error!(interaction, status = status_code, elapsed_ms, "answered with a failure");
        }
        _ => tracing::debug!(interaction, status = status_code, elapsed_ms, "answered"),
    });
}
