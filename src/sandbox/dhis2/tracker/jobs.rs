//! Asynchronous imports.
//!
//! A job is listed from its beginning; its report is there when it is done.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::super::http::Answer;
use super::super::super::time::millis;
use super::super::Version;
use super::super::summary::{coded, shown};
use super::report::Report;
use super::{Outcome, is_old};

/// The jobs of a server.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: BTreeMap<String, Job>,
}

#[derive(Debug)]
struct Job {
    begun: Timestamp,
    by: (String, String),
    ended: Option<(Timestamp, Option<Report>)>,
}

impl Jobs {
    /// A new job of a user (name, uid).
    pub fn begin(&mut self, user: &str, uid: &str) -> String {
        let id = new_uid();
        let job = Job { begun: Timestamp::now(), by: (user.to_owned(), uid.to_owned()), ended: None };
        self.jobs.insert(id.clone(), job);
        id
    }

    /// A job is done.
    pub fn finish(&mut self, id: &str, outcome: Outcome) {
        let report = match outcome {
            Outcome::Report(report) => Some(report),
            Outcome::Crash(_) => None,
        };
        if let Some(job) = self.jobs.get_mut(id) {
            job.ended = Some((Timestamp::now(), report));
        }
    }

    /// What a job says of itself, newest first; nothing where it is unknown.
    pub fn notifications(&self, id: &str, version: Version) -> Value {
        let Some(job) = self.jobs.get(id) else { return json!([]) };
        let mut notes = Vec::new();
        if let Some((at, report)) = &job.ended {
            let text = match (version, report) {
                (Version::V2_40, _) => {
                    format!("TRACKER_IMPORT_JOB ( {id} ) finished in 0.01 sec. Import:Done")
                }
                (Version::V2_43, Some(report)) => report.sentence(),
                (Version::V2_43, None) => "Process failed".to_owned(),
            };
            let failed = report.as_ref().is_none_or(Report::is_error) && !is_old(version);
            notes.push(note(if failed { "ERROR" } else { "INFO" }, &text, *at, Finished::Yes));
        }
        let (user, uid) = &job.by;
        let text = match version {
            Version::V2_40 => format!("TRACKER_IMPORT_JOB ( {id} ) started by {user} ( {uid} ) Import:Start"),
            Version::V2_43 => "Tracker import started".to_owned(),
        };
        notes.push(note("INFO", &text, job.begun, Finished::No));
        notes.into()
    }

    /// The report of a job that is done.
    pub fn report(&self, id: &str, mode: Option<&str>) -> Answer {
        let report = self.jobs.get(id).and_then(|job| job.ended.as_ref()?.1.as_ref());
        match report {
            Some(report) => shown(&report.show(mode)),
            None => coded(404, &format!("Summary for job {id} does not exist"), "E1005"),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Finished {
    Yes,
    No,
}

fn note(level: &str, text: &str, at: Timestamp, finished: Finished) -> Value {
    let uid = new_uid();
    json!({ "uid": uid, "level": level, "category": "TRACKER_IMPORT_JOB", "time": millis(at), "message": text,
        "completed": finished == Finished::Yes, "id": uid })
}

/// The answer to an import that is left to a job. Since 2.43 its address lacks `/api`.
pub(super) fn added(version: Version, base: &str, id: &str) -> Answer {
    let path = if is_old(version) { "/api/tracker/jobs" } else { "/tracker/jobs" };
    let location = format!("{base}{path}/{id}");
    shown(&json!({ "httpStatus": "OK", "httpStatusCode": 200, "status": "OK", "message": "Tracker job added",
        "response": { "responseType": "TrackerJob", "id": id, "location": location } }))
    .with("Location", location)
}

/// A uid that nobody has.
pub(super) fn new_uid() -> String {
    let hex = uuid::Uuid::new_v4().simple().to_string();
    format!("S{}", hex.get(..10).unwrap_or("0000000000"))
}
