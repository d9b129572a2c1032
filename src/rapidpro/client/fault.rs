//! Reads RapidPro's failures by one table.
//!
//! Each row was recorded (`tests/fixtures/rapidpro`). **Never** repeats what the far side wrote into a
//! message: it quotes phone numbers. A name of a field or group is kept apart in [`FieldFault::subject`].

use std::time::Duration;

use serde_json::Value;

use crate::delivery::destination::{Failure, FailureKind, Reason};

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

/// One row: which answers it recognises and what they mean.
struct Row {
    /// 0 stands for every status of 500 and above.
    status: u16,
    /// Text that the body contains; empty fits every body.
    text: &'static str,
    kind: Kind,
    code: &'static str,
    message: &'static str,
    hint: &'static str,
}

const CHECK_TOKEN: &str = "check the token of this workspace (API Tokens in RapidPro's settings)";

/// The first row that fits decides. The comment names a recording of each.
const TABLE: &[Row] = &[
    // auth_none, auth_bearer_scheme
    Row {
        status: 403,
        text: "Authentication credentials were not provided",
        kind: Kind::Unauthenticated,
        code: "rapidpro-token-missing",
        message: "RapidPro saw no token",
        hint: CHECK_TOKEN,
    },
    // auth_invalid_token, auth_malformed_no_key, auth_basic_bad
    Row {
        status: 403,
        text: "Invalid token",
        kind: Kind::Unauthenticated,
        code: "rapidpro-token-invalid",
        message: "RapidPro does not know this token",
        hint: CHECK_TOKEN,
    },
    // auth_surveyor_runs_get, auth_surveyor_forbidden_contacts_post
    Row {
        status: 403,
        text: "You do not have permission",
        kind: Kind::Forbidden,
        code: "rapidpro-role-forbids",
        message: "the token's role may not do this",
        hint: "use a token of an administrator or editor",
    },
    // read only: "Cannot modify system object."
    Row {
        status: 403,
        text: "system object",
        kind: Kind::Refused,
        code: "rapidpro-system-object",
        message: "RapidPro's own objects cannot be changed",
        hint: "name another group or field",
    },
    // suspended_org_contacts_post, suspended_org_flow_starts_post
    Row {
        status: 400,
        text: "is currently suspended",
        kind: Kind::Suspended,
        code: "rapidpro-workspace-suspended",
        message: "the workspace is suspended: nothing can be written",
        hint: "ask who runs RapidPro to lift the suspension; deliveries go on by themselves",
    },
    // contacts_post_update_deleted
    Row {
        status: 400,
        text: "Deleted contacts can't be modified",
        kind: Kind::Gone,
        code: "rapidpro-contact-deleted",
        message: "the contact was deleted in RapidPro",
        hint: "it is looked for by URN and made again",
    },
    // anon_contacts_get_by_urn, anon_contacts_post_update_urns
    Row {
        status: 400,
        text: "anonymous organizations",
        kind: Kind::Refused,
        code: "rapidpro-workspace-anonymous",
        message: "an anonymous workspace does not let URNs be looked up or changed",
        hint: "link contacts by uuid, or turn off anonymity in RapidPro",
    },
    // contacts_post_name_too_long, contacts_post_group_missing …
    Row {
        status: 400,
        text: "",
        kind: Kind::Refused,
        code: "rapidpro-invalid",
        message: "RapidPro refused the request's content",
        hint: "see the exchange with `mjumbe deliveries show`",
    },
    // contacts_get_bad_cursor
    Row {
        status: 404,
        text: "Invalid cursor",
        kind: Kind::Refused,
        code: "rapidpro-cursor-invalid",
        message: "RapidPro does not know this page",
        hint: "the list is read again from its beginning",
    },
    // contacts_post_update_unknown_uuid, groups_delete_unknown
    Row {
        status: 404,
        text: "matches the given query",
        kind: Kind::Gone,
        code: "rapidpro-not-found",
        message: "the object does not exist in this workspace",
        hint: "it was deleted, or belongs to another workspace",
    },
    // unknown_endpoint
    Row {
        status: 404,
        text: "",
        kind: Kind::Unavailable,
        code: "rapidpro-not-an-api",
        message: "there is no RapidPro API at this address",
        hint: "check `url`: it is the address of RapidPro without /api/v2",
    },
    // method_not_allowed_put
    Row {
        status: 405,
        text: "",
        kind: Kind::Refused,
        code: "rapidpro-method-not-allowed",
        message: "RapidPro does not allow this request here",
        hint: "this RapidPro may be too old or too new; report its version",
    },
    // groups_post_limit_reached_409, fields_post_limit_reached_409
    Row {
        status: 409,
        text: "",
        kind: Kind::Refused,
        code: "rapidpro-limit-reached",
        message: "the workspace has reached its limit of such objects",
        hint: "delete unused ones, or have the limit raised",
    },
    // body_wrong_content_type
    Row {
        status: 415,
        text: "",
        kind: Kind::Refused,
        code: "rapidpro-media-type",
        message: "RapidPro did not take the body as JSON",
        hint: "something between Mjumbe and RapidPro changes requests",
    },
    // throttled_429_runs, throttled_429_contacts_post
    Row {
        status: 429,
        text: "",
        kind: Kind::Throttled,
        code: "rapidpro-throttled",
        message: "RapidPro's hourly limit is used up",
        hint: "others use the same workspace; lower `budget_per_hour` or wait",
    },
    // contacts_post_same_urn_twice, mailroom_down_contacts_post_create
    Row {
        status: 0,
        text: "",
        kind: Kind::Unavailable,
        code: "rapidpro-server-error",
        message: "RapidPro failed while it worked on the request",
        hint: "it is tried again by itself; if it goes on, look at mailroom",
    },
];

/// What an answer that no row fits means: a proxy's page, a redirect.
const FOREIGN: Row = Row {
    status: 0,
    text: "",
    kind: Kind::Unavailable,
    code: "rapidpro-foreign-answer",
    message: "the answer is not RapidPro's",
    hint: "check `url`, proxies and firewalls between Mjumbe and RapidPro",
};

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
