//! What an answer to a tracker request means as a whole. Single objects are told by the report.

use serde_json::Value;

use super::report::Report;
use crate::delivery::destination::{Failure, FailureKind, Reason};
use crate::dhis2::answer::{Meaning, Parsed, Response, classify};
use crate::dhis2::version::Generation;

/// An answer to an import.
#[derive(Debug, Clone)]
pub enum Answer {
    Report(Report),
    Failed(Failure),
}

/// Reads the answer to an import.
pub fn import(response: &Response) -> Answer {
    let json: Value = serde_json::from_str(&response.body).unwrap_or(Value::Null);
    if let Some(report) = Report::of(&json) {
        return Answer::Report(report);
    }
    let message = json["message"].as_str().unwrap_or_default();
    // 2.40: 409 without stats (`concurrency.tracker.same-te-x6`); 2.43: 500 (`fault-02`, `trk-120`).
    let raced = json.get("validationReport").is_some()
        || message.contains("duplicate key value violates unique constraint");
    if raced {
        return Answer::Failed(Failure {
            kind: FailureKind::Collision,
            reason: Reason::new(
                "dhis2-import-collided",
                "the import broke off because another one made the same object at the same moment",
                "nothing to do here: it is read back and sent again",
            ),
            unclear: true,
            retry_after: None,
        });
    }
    Answer::Failed(failure(response))
}

/// Reads the answer to a question that is not 200.
pub fn failure(response: &Response) -> Failure {
    let row = classify(&Parsed::of(response), Generation::Classic);
    let (kind, unclear) = match row.meaning {
        Meaning::Failed { kind, unclear } => (kind, unclear),
        _ => (FailureKind::Unavailable, true),
    };
    let reason = match row.code {
        "dhis2-forbidden" => Reason::new(
            "dhis2-forbidden",
            "the account may not do this",
            "share programs, stages and types with the account, and give it capture and search units",
        ),
        _ => row.reason(),
    };
    Failure { kind, reason, unclear, retry_after: response.retry_after }
}

#[cfg(test)]
mod tests;
