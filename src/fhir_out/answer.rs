//! What another FHIR server's answer means: one table. <https://hl7.org/fhir/R4/http.html>
//!
//! Pure. No reason repeats the server's own words, which may hold values: of an OperationOutcome only issue
//! codes and FHIRPaths are told.

use reqwest::Method;
use serde_json::Value;

use crate::delivery::destination::{Failure, FailureKind, Verdict};
use crate::endpoint::Client;
use crate::outbound::answer::Answer;

/// Code, message, hint.
pub(super) const CREDENTIALS: (&str, &str, &str) = (
    "unauthorised",
    "the server refuses the credentials",
    "give a valid token or password in its section of the configuration, then restart",
);
pub(super) const THROTTLED: (&str, &str, &str) =
    ("throttled", "the server asks for fewer requests", "nothing to do here: it is tried again");
pub(super) const DOWN: (&str, &str) = ("unavailable", "the server does not work now");

/// What became of one request.
#[derive(Debug)]
pub(super) enum Meaning {
    Verdict(Verdict),
    /// To be believed when it comes again.
    Unauthorised(Failure),
    Failed(Failure),
}

/// How an answer is read. The first row that fits decides.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Accepted,
    Refused(&'static str, &'static str, &'static str),
    Later(&'static str, &'static str, &'static str),
    Credentials,
    Throttled,
    Down,
}

/// Statuses, of PUT, of DELETE or of both, and how they are read.
const TABLE: &[(&[u16], Option<Method>, Reading)] = &[
    (&[200, 201, 202, 204], None, Reading::Accepted),
    // What is not there is deleted.
    (&[404, 410], Some(Method::DELETE), Reading::Accepted),
    (&[401], None, Reading::Credentials),
    (
        &[403],
        None,
        Reading::Refused(
            "forbidden",
            "the account may not write this resource",
            "let the server's operator permit it, then retry",
        ),
    ),
    (
        &[404, 405, 501],
        None,
        Reading::Refused(
            "not-supported",
            "the server does not take this type with an id of ours",
            "let it permit updates that create (`updateCreate`), and see that the address is its FHIR base",
        ),
    ),
    (
        &[408],
        None,
        Reading::Later("timeout", "the server waited too long for the request", "nothing to do here"),
    ),
    (
        &[409, 412],
        None,
        Reading::Later(
            "conflict",
            "something else at the server stands in the way of this resource",
            "it is tried again; if this goes on, something refers to it or it refers to something that is missing",
        ),
    ),
    (
        &[410],
        None,
        Reading::Refused(
            "gone",
            "the resource was deleted there and is not made again",
            "give it another id",
        ),
    ),
    (
        &[413],
        None,
        Reading::Refused(
            "too-large",
            "the resource is too large for the server",
            "let the mapping send less",
        ),
    ),
    (&[429], None, Reading::Throttled),
    (
        &[400, 406, 415, 422],
        None,
        Reading::Refused("refused", "the server refuses the resource", "correct the mapping, then retry"),
    ),
];

/// Reads one answer.
pub(super) fn classify(client: &Client, method: &Method, answer: &Answer) -> Meaning {
    let row = TABLE.iter().find(|(statuses, of, _)| {
        statuses.contains(&answer.status) && of.as_ref().is_none_or(|of| of == method)
    });
    let reading = match row {
        Some((_, _, reading)) => *reading,
        None if answer.status >= 500 => Reading::Down,
        None if (300..400).contains(&answer.status) => Reading::Refused(
            "redirected",
            "the server sends to another address, which is not followed",
            "configure the address that it names",
        ),
        None => Reading::Refused(
            "answer-unknown",
            "the answer has a status that no FHIR server gives here",
            "see that the address is a FHIR base",
        ),
    };
    match reading {
        Reading::Accepted => Meaning::Verdict(Verdict::Accepted),
        Reading::Refused(code, message, hint) => {
            let told = format!("{message}{}", told(answer));
            Meaning::Verdict(Verdict::Refused(client.reason(code, told, hint)))
        }
        Reading::Later(code, message, hint) => {
            let told = format!("{message}{}", told(answer));
            Meaning::Verdict(Verdict::Later(client.reason(code, told, hint)))
        }
        Reading::Credentials => {
            Meaning::Unauthorised(client.failure(FailureKind::Unauthorised, CREDENTIALS, answer))
        }
        Reading::Throttled => Meaning::Failed(client.failure(FailureKind::Throttled, THROTTLED, answer)),
        Reading::Down => Meaning::Failed(client.unavailable(DOWN, true, answer.retry_after())),
    }
}

/// Codes and FHIRPaths of an OperationOutcome's first issues.
fn told(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let issues = body.get("issue").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let one = |issue: &Value| {
        let code = issue.get("code").and_then(Value::as_str).filter(|code| is_plain(code))?;
        let place = issue.pointer("/expression/0").and_then(Value::as_str).filter(|place| is_plain(place));
        Some(place.map_or_else(|| code.to_owned(), |place| format!("{code} at {place}")))
    };
    let told: Vec<String> = issues.iter().filter_map(one).take(3).collect();
    if told.is_empty() { String::new() } else { format!(": {}", told.join("; ")) }
}

/// A code or a path, nothing that could be data.
fn is_plain(text: &str) -> bool {
    text.len() <= 120 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".[]-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn read(method: Method, status: u16) -> String {
        let settings = serde_json::from_value(json!({"url": "https://e.org"})).unwrap();
        let client = Client::new("fhir", "n", &settings).unwrap();
        let outcome = json!({"resourceType": "OperationOutcome", "issue": [
            {"severity": "error", "code": "invalid", "diagnostics": "Ann Uwera", "expression": ["Patient.name[0]"]}
        ]});
        let (headers, elapsed) = (reqwest::header::HeaderMap::new(), Duration::ZERO);
        let answer = Answer { status, headers, body: outcome.to_string().into_bytes(), elapsed };
        match classify(&client, &method, &answer) {
            Meaning::Verdict(Verdict::Accepted) => "accepted".to_owned(),
            Meaning::Verdict(Verdict::Refused(reason)) => {
                format!("refused {} {}", reason.code, reason.message)
            }
            Meaning::Verdict(Verdict::Later(reason)) => format!("later {}", reason.code),
            Meaning::Verdict(Verdict::Unclear(reason)) => format!("unclear {}", reason.code),
            Meaning::Unauthorised(failure) => failure.reason.code,
            Meaning::Failed(failure) => format!("{} unclear {}", failure.reason.code, failure.unclear),
        }
    }

    #[test]
    fn every_answer_is_read_by_the_table() {
        for status in [200, 201, 204] {
            assert_eq!(read(Method::PUT, status), "accepted");
        }
        assert_eq!(read(Method::DELETE, 404), "accepted");
        assert_eq!(read(Method::DELETE, 410), "accepted");
        assert!(read(Method::PUT, 404).starts_with("refused fhir-not-supported"));
        assert!(read(Method::PUT, 410).starts_with("refused fhir-gone"));
        assert_eq!(read(Method::PUT, 401), "fhir-unauthorised");
        assert_eq!(read(Method::PUT, 409), "later fhir-conflict");
        assert_eq!(read(Method::PUT, 412), "later fhir-conflict");
        assert_eq!(read(Method::PUT, 429), "fhir-throttled unclear false");
        assert_eq!(read(Method::PUT, 500), "fhir-unavailable unclear true");
        assert_eq!(read(Method::PUT, 503), "fhir-unavailable unclear true");
        assert!(read(Method::PUT, 302).starts_with("refused fhir-redirected"));
        assert!(read(Method::PUT, 418).starts_with("refused fhir-answer-unknown"));
        let refused = read(Method::PUT, 422);
        assert_eq!(
            refused,
            "refused fhir-refused the server refuses the resource: invalid at Patient.name[0]"
        );
    }
}
