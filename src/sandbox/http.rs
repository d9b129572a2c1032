//! The HTTP server that both simulated systems share: faults, control API, dropped connections.
//!
//! A request is read whole, meets the faults that hold for it, and is answered by the far side's own
//! function. The record of requests keeps no bodies.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::faults::{Effect, Fault, Faults};
use super::http::cut::{Cut, CuttableListener};

// Connections that can be cut in the middle of an answer.
mod cut;

/// Largest request body that a sandbox takes.
const BODY_LIMIT: usize = 64 << 20;
/// Most requests that are remembered one by one; all are counted.
const RECORD_LIMIT: usize = 200_000;

/// A request, read whole.
#[derive(Debug, Clone)]
pub struct Request {
    /// The sandbox's number of it, from 1.
    pub number: u64,
    pub method: String,
    /// Percent-decoding is left to the far side: paths hold none in practice.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// `http://HOST`, as the client named it.
    pub base: String,
    pub body: Vec<u8>,
    /// Faults that only the far side can play.
    pub effects: Vec<Effect>,
}

impl Request {
    /// The first value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a query parameter.
    pub fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a query parameter is `true`.
    pub fn flag(&self, name: &str) -> bool {
        self.parameter(name) == Some("true")
    }

    /// A header as text; empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// JSON with a content type of `application/json`.
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("Content-Type", "application/json".to_owned())];
        Self { status, headers, body: serde_json::to_vec(body).unwrap_or_default() }
    }

    /// Text of some content type.
    pub fn text(status: u16, content_type: &str, body: &str) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    /// No body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }
}

/// One simulated system.
#[async_trait]
pub trait FarSide: Send + Sync + 'static {
    /// What the system answers.
    async fn answer(&self, request: Request) -> Answer;
    /// What the system says with a status that a fault asks for.
    fn refuse(&self, status: u16, request: &Request) -> Answer;
    fn faults(&self) -> &Faults;
    /// All that it holds, for `/_sandbox/state`.
    fn state(&self) -> Value;
    /// A part of what it holds: `GET /_sandbox/NAME`.
    fn view(&self, _name: &str) -> Option<Value> {
        None
    }
    /// An action of the control API: `POST /_sandbox/ACTION`.
    async fn act(&self, _action: &str, _body: Value) -> Option<Value> {
        None
    }
}

/// A running simulated system. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    record: Arc<Record>,
}

impl Server {
    /// Starts to listen; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened to.
    pub async fn start(far: Arc<dyn FarSide>, listen: SocketAddr) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let record = Arc::new(Record::default());
        let shared = Shared { far, record: record.clone() };
        let routes = Router::new().fallback(handle).with_state(shared);
        let service = routes.into_make_service_with_connect_info::<Cut>();
        let stopped = stop.clone();
        tokio::spawn(async move {
            let serve = axum::serve(CuttableListener(listener), service);
            tokio::select! {
                served = serve => if let Err(error) = served { tracing::warn!(%error, "a sandbox stopped") },
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self { address, stop, record })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far, oldest first: number, method, path, status, fault.
    pub fn requests(&self) -> Vec<Value> {
        self.record.list()
    }

    /// How many requests there were.
    pub fn request_count(&self) -> u64 {
        self.record.lock().count
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Clone)]
struct Shared {
    far: Arc<dyn FarSide>,
    record: Arc<Record>,
}

#[derive(Debug, Default)]
struct Record {
    inner: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    requests: Vec<Value>,
}

impl Record {
    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> u64 {
        let mut seen = self.lock();
        seen.count += 1;
        seen.count
    }

    fn write(&self, line: Value) {
        let mut seen = self.lock();
        if seen.requests.len() < RECORD_LIMIT {
            seen.requests.push(line);
        }
    }

    fn list(&self) -> Vec<Value> {
        self.lock().requests.clone()
    }
}

async fn handle(
    State(shared): State<Shared>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: axum::extract::Request,
) -> Response {
    let Ok(mut request) = read(request).await else {
        return respond(Answer::empty(413));
    };
    if let Some(action) = request.path.strip_prefix("/_sandbox/") {
        let action = action.to_owned();
        return respond(control(&shared, &action, &request).await);
    }
    request.number = shared.record.next();
    let line = json!({
        "number": request.number,
        "at": super::time::millis(jiff::Timestamp::now()),
        "method": request.method,
        "path": request.path,
    });
    // In a task of its own: a server finishes its work although the client has hung up.
    let played = {
        let shared = shared.clone();
        tokio::spawn(async move { play(&shared, request).await })
    };
    let (answer, fault) = played.await.unwrap_or((None, true));
    let mut line = line;
    line["status"] = answer.as_ref().map_or(Value::Null, |answer| answer.status.into());
    line["fault"] = fault.into();
    shared.record.write(line);
    match answer {
        Some(answer) => respond(answer),
        None => {
            cut.now();
            respond(Answer::empty(500))
        }
    }
}

/// Lets the faults happen around the far side's own answer. No answer means a dropped connection.
async fn play(shared: &Shared, mut request: Request) -> (Option<Answer>, bool) {
    let effects = shared.far.faults().of(&request.method, &request.path);
    let fault = !effects.is_empty();
    for (id, effect) in &effects {
        match effect {
            Effect::Slow { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Effect::Frozen => frozen(shared.far.faults(), *id).await,
            Effect::DropBefore => return (None, fault),
            Effect::Answer { status, body, retry_after } => {
                let mut answer = given(shared, &request, *status, body.as_ref());
                if let Some(seconds) = retry_after {
                    answer.headers.retain(|(name, _)| *name != "Retry-After");
                    answer = answer.with("Retry-After", seconds.to_string());
                }
                return (Some(answer), fault);
            }
            _ => {}
        }
    }
    request.effects = effects.into_iter().map(|(_, effect)| effect).collect();
    let asked = request.clone();
    let answer = shared.far.answer(request).await;
    for effect in &asked.effects {
        match effect {
            Effect::DropAfter => return (None, fault),
            Effect::AnswerAfter { status, body } => {
                return (Some(given(shared, &asked, *status, body.as_ref())), fault);
            }
            _ => {}
        }
    }
    (Some(answer), fault)
}

fn given(shared: &Shared, request: &Request, status: u16, body: Option<&Value>) -> Answer {
    match body {
        Some(Value::String(text)) => Answer::text(status, "text/html; charset=utf-8", text),
        Some(body) => Answer::json(status, body),
        None => shared.far.refuse(status, request),
    }
}

/// Waits until the fault is lifted; ten minutes at most.
async fn frozen(faults: &Faults, id: u64) {
    for _ in 0..30_000 {
        if !faults.holds(id) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn read(request: axum::extract::Request) -> Result<Request, axum::Error> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or("");
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let base = format!("http://{host}");
    let body = axum::body::to_bytes(body, BODY_LIMIT).await?.to_vec();
    Ok(Request {
        number: 0,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query,
        headers: parts.headers,
        base,
        body,
        effects: Vec::new(),
    })
}

fn respond(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        let Ok(name) = name.parse::<HeaderName>() else { continue };
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The control API.
async fn control(shared: &Shared, action: &str, request: &Request) -> Answer {
    let faults = shared.far.faults();
    match (request.method.as_str(), action) {
        ("GET", "state") => {
            let mut state = shared.far.state();
            state["requests"] = json!({ "count": shared.record.lock().count });
            Answer::json(200, &state)
        }
        ("GET", "requests") => Answer::json(200, &shared.record.list().into()),
        ("GET", "faults") => Answer::json(200, &faults.list().into()),
        ("DELETE", "faults") => {
            match request.parameter("id").and_then(|id| id.parse().ok()) {
                Some(id) => faults.lift(id),
                None => faults.clear(),
            }
            Answer::empty(204)
        }
        ("POST", "faults") => match serde_json::from_slice::<Fault>(&request.body) {
            Ok(fault) => Answer::json(201, &json!({ "id": faults.add(fault) })),
            Err(error) => Answer::json(400, &json!({ "detail": error.to_string() })),
        },
        ("GET", name) => match shared.far.view(name) {
            Some(shown) => Answer::json(200, &shown),
            None => Answer::json(404, &json!({ "detail": "no such view" })),
        },
        ("POST", action) => {
            let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
            match shared.far.act(action, body).await {
                Some(done) => Answer::json(200, &done),
                None => Answer::json(404, &json!({ "detail": "no such action" })),
            }
        }
        _ => Answer::json(404, &json!({ "detail": "no such action" })),
    }
}
