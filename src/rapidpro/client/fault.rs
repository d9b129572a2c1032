//! Reads RapidPro's failures by one table.
//!
//! Each row was recorded (`tests/fixtures/rapidpro`). **Never** repeats what the far side wrote into a
//! message: it quotes phone numbers. A name of a field or group is kept apart in [`FieldFault::subject`].

use std::time::Duration;

use serde_json::Value;

use crate::delivery::destination::{Failure, FailureKind, Reason};

mod table;

use table::{FOREIGN, Row, TABLE};

/// What a failure means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 403: the token is missing, unknown or malformed. RapidPro has no 401.
    Unauthenticated,
    /// 403: the token's role may not do this.
    Forbidden,
    /// 400: the workspace is suspended; reading works, writing does not.
    Suspended,
    /// 400, 405, 409, 415: this request will not be accepted as it is.
    Refused,
    /// 404, or 400 for a deleted contact: the object is not there any more.
    Gone,
    /// 429, or our own budget is used up.
    Throttled,
    /// 5xx, no answer, or an answer that is not RapidPro's.
    Unavailable,
    /// Nothing was sent: the time for sending was over.
    OutOfTime,
}

/// Did the request ask for a change?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Read,
    Write,
}

/// One complaint about one field of a request body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// `urns`, `groups`, `fields`, `name`, `language`, `group`, `non_field_errors` …
    pub field: String,
    /// Index or key inside the field: `0` of `{"urns": {"0": […]}}`, `age` of `{"fields": {"age": […]}}`.
    pub place: Option<String>,
    pub problem: Problem,
    /// What it names after the colon: a field's key, a group's name. Empty for URNs.
    pub subject: Option<String>,
}

/// What RapidPro may say about a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    UrnTaken,
    UrnInvalid,
    NoSuchObject,
    UnknownField,
    ContactNotActive,
    Other,
}

/// A request that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub kind: Kind,
    /// Stable, kebab-case.
    pub code: &'static str,
    pub message: String,
    pub hint: &'static str,
    pub status: Option<u16>,
    pub fields: Vec<FieldFault>,
    pub retry_after: Option<Duration>,
    /// The request may have taken effect although it failed.
    pub unclear: bool,
}

/// Reads an answer whose status is not 2xx.
pub fn read(status: u16, retry_after: Option<&str>, body: &[u8], effect: Effect) -> Fault {
    let text = String::from_utf8_lossy(body);
    let json = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
    // RapidPro refuses in JSON; its unknown addresses and its own failures are text.
    let own = json.is_object() || matches!(status, 404 | 405 | 429 | 500..);
    let row = TABLE.iter().find(|row| own && fits(row, status, &text)).unwrap_or(&FOREIGN);
    let fields = complaints(&json);
    let mut fault = of(row, Some(status));
    if let (Kind::Refused, Some(first)) = (row.kind, fields.first()) {
        fault.message = format!("RapidPro refused `{}`", first.field);
    }
    fault.fields = fields;
    fault.unclear = effect == Effect::Write && status >= 500;
    if row.kind == Kind::Throttled {
        fault.retry_after = Some(seconds(retry_after, &text));
    }
    fault
}

/// A request that got no answer, or one that could not be read.
pub fn silent(code: &'static str, message: impl Into<String>, unclear: bool) -> Fault {
    Fault {
        kind: Kind::Unavailable,
        code,
        message: message.into(),
        hint: "it is tried again by itself; check the network and `url` if it goes on",
        status: None,
        fields: Vec::new(),
        retry_after: None,
        unclear,
    }
}

/// Our own budget is used up; nothing was sent.
pub fn over_budget(wait: Duration) -> Fault {
    Fault {
        kind: Kind::Throttled,
        code: "rapidpro-budget-used",
        message: "the hourly budget of this workspace is used up".to_owned(),
        hint: "it goes on by itself; raise `budget_per_hour` if RapidPro allows more",
        status: None,
        fields: Vec::new(),
        retry_after: Some(wait),
        unclear: false,
    }
}

fn of(row: &Row, status: Option<u16>) -> Fault {
    Fault {
        kind: row.kind,
        code: row.code,
        message: row.message.to_owned(),
        hint: row.hint,
        status,
        fields: Vec::new(),
        retry_after: None,
        unclear: false,
    }
}

fn fits(row: &Row, status: u16, text: &str) -> bool {
    let status_fits = if row.status == 0 { status >= 500 } else { row.status == status };
    status_fits && (row.text.is_empty() || text.contains(row.text))
}

/// `Retry-After` in seconds, else the seconds in the text, else a minute; at most an hour.
fn seconds(header: Option<&str>, text: &str) -> Duration {
    let told = header.and_then(|value| value.trim().parse::<u64>().ok());
    let written = || {
        let (_, rest) = text.split_once("available in ")?;
        rest.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_secs(told.or_else(written).unwrap_or(60).clamp(1, 3600))
}

/// `{"field": ["…"]}`, `{"field": {"0": ["…"]}}` and `{"detail": "…"}`; at most 50 complaints.
fn complaints(body: &Value) -> Vec<FieldFault> {
    let Some(fields) = body.as_object() else { return Vec::new() };
    let mut found = Vec::new();
    for (field, value) in fields.iter().filter(|(field, _)| *field != "detail") {
        match value {
            Value::Object(places) => {
                for (place, texts) in places {
                    collect(&mut found, field, Some(place), texts);
                }
            }
            texts => collect(&mut found, field, None, texts),
        }
    }
    found.truncate(50);
    found
}

fn collect(found: &mut Vec<FieldFault>, field: &str, place: Option<&String>, texts: &Value) {
    for text in texts.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let problem = problem(text);
        let named = matches!(problem, Problem::NoSuchObject | Problem::UnknownField);
        found.push(FieldFault {
            field: field.to_owned(),
            place: place.cloned(),
            problem,
            subject: named.then(|| after_colon(text)).flatten(),
        });
    }
}

fn problem(text: &str) -> Problem {
    const SENTENCES: &[(&str, Problem)] = &[
        // 9.0: contacts_post_duplicate_urn; from 9.1.134 on the second
        ("URN belongs to another contact", Problem::UrnTaken),
        ("URN is in use by another contact", Problem::UrnTaken),
        ("Invalid URN", Problem::UrnInvalid),
        ("No such object", Problem::NoSuchObject),
        ("Invalid contact field key", Problem::UnknownField),
        ("Non-active contacts", Problem::ContactNotActive),
    ];
    SENTENCES.iter().find(|(start, _)| text.starts_with(start)).map_or(Problem::Other, |(_, found)| *found)
}

fn after_colon(text: &str) -> Option<String> {
    text.split_once(": ").map(|(_, subject)| subject.trim().to_owned())
}

impl Fault {
    /// As the delivery engine reads it: why a whole batch did not go through.
    pub fn failure(&self) -> Failure {
        let kind = match self.kind {
            Kind::Unauthenticated | Kind::Forbidden => FailureKind::Unauthorised,
            Kind::Throttled => FailureKind::Throttled,
            Kind::Suspended | Kind::Unavailable => FailureKind::Unavailable,
            Kind::Refused | Kind::Gone => FailureKind::Rejected,
            Kind::OutOfTime => FailureKind::Collision,
        };
        Failure { kind, reason: self.reason(), unclear: self.unclear, retry_after: self.retry_after }
    }

    pub fn reason(&self) -> Reason {
        Reason::new(self.code, self.message.clone(), self.hint)
    }

    /// Is it this request's own fault, rather than the far side's or the way's?
    pub fn is_permanent(&self) -> bool {
        matches!(self.kind, Kind::Refused | Kind::Gone)
    }
}

/// The linked object is not there any more.
pub fn gone(message: &str) -> Fault {
    let row = TABLE.iter().find(|row| row.kind == Kind::Gone).unwrap_or(&FOREIGN);
    Fault { message: message.to_owned(), ..of(row, None) }
}

/// The lease is half over: no request is begun any more.
pub fn out_of_time() -> Fault {
    Fault {
        kind: Kind::OutOfTime,
        ..silent("rapidpro-out-of-time", "there was no time left to send it", false)
    }
}
