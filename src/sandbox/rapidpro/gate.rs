//! Who asks, for which path, how often.
//!
//! The order is RapidPro's: path, authentication (always 403), method, role, budget, content type.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::super::http::{Answer, Request};
use super::Options;
use super::state::World;
use super::{broadcasts, contacts, fields, flows, globals, groups, messages, resthooks, starts, workspace};

const NOT_FOUND: &str = "\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Not Found</title>\n</head>\n<body>\n  <h1>Not Found</h1><p>The requested resource was not found on this server.</p>\n</body>\n</html>\n";
const SERVER_ERROR: &str = "Server Error. Site administrators have been notified.";
const SUSPENDED: &str = "Sorry, your workspace is currently suspended. To re-enable starting flows and sending messages, please contact support.";

/// Endpoint, its methods, its throttle scope.
const ENDPOINTS: &[(&str, &str, &str)] = &[
    ("broadcasts", "GET, POST, HEAD, OPTIONS", "v2.broadcasts"),
    ("channels", "GET, HEAD, OPTIONS", "v2"),
    ("contacts", "GET, POST, DELETE, HEAD, OPTIONS", "v2.contacts"),
    ("contact_actions", "POST, OPTIONS", "v2"),
    ("definitions", "GET, HEAD, OPTIONS", "v2"),
    ("fields", "GET, POST, HEAD, OPTIONS", "v2"),
    ("flow_starts", "GET, POST, HEAD, OPTIONS", "v2"),
    ("flows", "GET, HEAD, OPTIONS", "v2"),
    ("globals", "GET, POST, HEAD, OPTIONS", "v2"),
    ("groups", "GET, POST, DELETE, HEAD, OPTIONS", "v2"),
    ("messages", "GET, POST, HEAD, OPTIONS", "v2.messages"),
    ("org", "GET, HEAD, OPTIONS", "v2"),
    ("resthook_events", "GET, HEAD, OPTIONS", "v2"),
    ("resthook_subscribers", "GET, POST, DELETE, HEAD, OPTIONS", "v2"),
    ("resthooks", "GET, HEAD, OPTIONS", "v2"),
    ("runs", "GET, HEAD, OPTIONS", "v2.runs"),
    ("users", "GET, HEAD, OPTIONS", "v2"),
    ("workspace", "GET, HEAD, OPTIONS", "v2"),
];

/// What an endpoint works with.
pub(super) struct Call<'a> {
    pub request: &'a Request,
    pub options: &'a Options,
    /// The body as an object; empty for GET and DELETE.
    pub body: Map<String, Value>,
    pub mailroom_down: bool,
}

/// Answers one request.
pub(super) fn answer(world: &mut World, options: &Options, request: &Request, mailroom_down: bool) -> Answer {
    let Some(rest) = request.path.strip_prefix("/api/v2/") else { return not_found() };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() || rest == ".json" {
        return dress(root(request), "GET, HEAD, OPTIONS", false);
    }
    let (name, with_suffix) = match rest.strip_suffix(".json") {
        Some(name) => (name, true),
        None => (rest, false),
    };
    let Some((name, methods, scope)) = ENDPOINTS.iter().find(|(endpoint, ..)| *endpoint == name) else {
        return not_found();
    };
    let role = match authenticate(world, request) {
        Ok(role) => role,
        Err(detail) => return dress(detail_answer(403, detail), methods, false),
    };
    let method = request.method.as_str();
    // Single messages can be sent from 8.1.35 on.
    let unknown = *name == "messages" && method == "POST" && options.version < 9;
    if unknown || !matches!(method, "GET" | "POST" | "DELETE") || !methods.contains(method) {
        let detail = format!("Method \"{method}\" not allowed.");
        return dress(detail_answer(405, &detail), methods, true);
    }
    if !may(&role, method, name) {
        let detail = "You do not have permission to perform this action.";
        return dress(detail_answer(403, detail), methods, true);
    }
    if let Some(seconds) = throttled(world, options, scope) {
        let detail = format!("Request was throttled. Expected available in {seconds} seconds.");
        let answer = detail_answer(429, &detail).with("Retry-After", seconds.to_string());
        return dress(answer, methods, true);
    }
    if method == "GET" && !with_suffix {
        return dress(Answer::json(200, &json!([])), methods, true);
    }
    let body = match body_of(request) {
        Ok(body) => body,
        Err(answer) => return dress(answer, methods, true),
    };
    if world.suspended && method == "POST" {
        return dress(Answer::json(400, &json!({ "non_field_errors": [SUSPENDED] })), methods, true);
    }
    let call = Call { request, options, body, mailroom_down };
    dress(dispatch(world, name, &call), methods, true)
}

fn dispatch(world: &mut World, name: &str, call: &Call) -> Answer {
    match (call.request.method.as_str(), name) {
        ("GET", "contacts") => contacts::list(world, call),
        ("POST", "contacts") => contacts::write(world, call),
        ("DELETE", "contacts") => contacts::delete(world, call),
        ("POST", "contact_actions") => contacts::act(world, call),
        ("GET", "groups") => groups::list(world, call),
        ("POST", "groups") => groups::write(world, call),
        ("DELETE", "groups") => groups::delete(world, call),
        ("GET", "fields") => fields::list(world, call),
        ("POST", "fields") => fields::write(world, call),
        ("GET", "flows") => flows::list(world, call),
        ("GET", "definitions") => flows::definitions(world, call),
        ("GET", "runs") => flows::runs(world, call),
        ("GET", "flow_starts") => starts::list(world, call),
        ("POST", "flow_starts") => starts::post(world, call),
        ("GET", "broadcasts") => broadcasts::list(world, call),
        ("POST", "broadcasts") => broadcasts::post(world, call),
        ("GET", "messages") => messages::list(world, call),
        ("POST", "messages") => messages::post(world, call),
        ("GET", "globals") => globals::list(world, call),
        ("POST", "globals") => globals::write(world, call),
        ("GET", "resthooks") => resthooks::list(world, call),
        ("GET", "resthook_events") => resthooks::events(world, call),
        ("GET", "resthook_subscribers") => resthooks::subscribers(world, call),
        ("POST", "resthook_subscribers") => resthooks::subscribe(world, call),
        ("DELETE", "resthook_subscribers") => resthooks::leave(world, call),
        ("GET", "channels") => workspace::channels(world, call),
        ("GET", "users") => workspace::users(world, call),
        ("GET", "workspace" | "org") => workspace::show(world),
        _ => not_found(),
    }
}

/// What RapidPro says with a status that a fault asks for.
pub(super) fn refuse(status: u16, _request: &Request) -> Answer {
    let answer = match status {
        403 => detail_answer(403, "Invalid token"),
        429 => detail_answer(429, "Request was throttled. Expected available in 3600 seconds.")
            .with("Retry-After", "3600"),
        500 => server_error(),
        502..=504 => Answer::text(status, "text/html", "<html><body><h1>Bad Gateway</h1></body></html>"),
        _ => detail_answer(status, "Refused."),
    };
    answer.with("Content-Language", "en-us")
}

/// The plain text that stands for every fault of RapidPro's own.
pub(super) fn server_error() -> Answer {
    Answer::text(500, "text/html; charset=utf-8", SERVER_ERROR)
}

pub(super) fn detail_answer(status: u16, detail: &str) -> Answer {
    Answer::json(status, &json!({ "detail": detail }))
}

/// A validation error of one key.
pub(super) fn invalid(key: &str, message: &str) -> Answer {
    Answer::json(400, &json!({ key: [message] }))
}

/// No more of these may be made.
pub(super) fn limit_reached(limit: usize) -> Answer {
    detail_answer(409, &format!("Cannot create object because workspace has reached limit of {limit}."))
}

fn not_found() -> Answer {
    Answer::text(404, "text/html; charset=utf-8", NOT_FOUND).with("Content-Language", "en-us")
}

fn dress(answer: Answer, methods: &str, known: bool) -> Answer {
    let answer =
        answer.with("Allow", methods).with("Vary", "Accept, Cookie").with("Content-Language", "en-us");
    if known { answer.with("X-Temba-Org", "1") } else { answer }
}

/// The role of the caller, or what is said instead.
fn authenticate(world: &World, request: &Request) -> Result<String, &'static str> {
    const NONE: &str = "Authentication credentials were not provided.";
    let header = request.header("authorization");
    let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
    let role_of =
        |token: &str| world.tokens.iter().find(|(known, _)| known == token).map(|(_, role)| role.clone());
    match scheme.to_ascii_lowercase().as_str() {
        "token" if rest.trim().is_empty() => Err("Invalid token header. No credentials provided."),
        "token" => role_of(rest.trim()).ok_or("Invalid token"),
        "basic" => STANDARD
            .decode(rest.trim())
            .ok()
            .and_then(|pair| String::from_utf8(pair).ok())
            .and_then(|pair| role_of(pair.split_once(':')?.1))
            .ok_or("Invalid token or email"),
        _ => Err(NONE),
    }
}

fn may(role: &str, method: &str, endpoint: &str) -> bool {
    match role {
        "Surveyor" => match endpoint {
            "contacts" => true,
            "flows" | "definitions" | "fields" | "groups" => method == "GET",
            _ => false,
        },
        _ => true,
    }
}

/// Seconds to wait, when the hour's budget of a scope is spent; every request counts.
fn throttled(world: &mut World, options: &Options, scope: &'static str) -> Option<i64> {
    let now = jiff::Timestamp::now();
    let hour = 3600;
    let times = world.asked.entry(scope).or_default();
    while times.front().is_some_and(|first| now.as_second() - first.as_second() >= hour) {
        times.pop_front();
    }
    let budget = if scope == "v2.broadcasts" { options.budget.saturating_mul(14) } else { options.budget };
    if times.len() >= usize::try_from(budget).unwrap_or(usize::MAX) {
        let first = times.front().map_or(now, |first| *first);
        return Some(hour - (now.as_second() - first.as_second()));
    }
    times.push_back(now);
    None
}

fn body_of(request: &Request) -> Result<Map<String, Value>, Answer> {
    if request.method != "POST" {
        return Ok(Map::new());
    }
    let content_type = request.header("content-type").split(';').next().unwrap_or("").trim();
    match content_type {
        "application/json" => {}
        "application/x-www-form-urlencoded" => return Ok(form(&request.body)),
        other => {
            let detail = format!("Unsupported media type \"{other}\" in request.");
            return Err(detail_answer(415, &detail));
        }
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => {
            let error = json!({ "non_field_errors": ["Request body should be a single JSON object"] });
            Err(Answer::json(400, &error))
        }
        Err(error) => Err(detail_answer(400, &format!("JSON parse error - {error}"))),
    }
}

/// A form: repeated keys and the list keys make lists.
fn form(body: &[u8]) -> Map<String, Value> {
    let mut made = Map::new();
    for (key, value) in url::form_urlencoded::parse(body) {
        if matches!(key.as_ref(), "urns" | "groups" | "contacts") {
            let list = made.entry(key.into_owned()).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(value.into_owned().into());
            }
        } else {
            made.insert(key.into_owned(), value.into_owned().into());
        }
    }
    made
}

fn root(request: &Request) -> Answer {
    let listed: Map<String, Value> = ENDPOINTS
        .iter()
        .map(|(name, ..)| ((*name).to_owned(), format!("{}/api/v2/{name}", request.base).into()))
        .collect();
    Answer::json(200, &listed.into())
}
