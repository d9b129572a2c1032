//! The import report.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::Version;
use super::is_old;
use super::problem::Problem;
use super::state::Kind;

/// What came of an import.
#[derive(Debug, Clone)]
pub(super) struct Report {
    version: Version,
    state: State,
    pub problems: Vec<Problem>,
    total: Counts,
    kinds: Option<BTreeMap<Kind, Part>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Ok,
    Error,
    /// A commit that failed; its words.
    Failed(String),
}

/// How many objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub created: usize,
    pub updated: usize,
    pub deleted: usize,
    pub ignored: usize,
}

/// What came of the objects of one kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub counts: Counts,
    pub uids: Vec<String>,
}

impl Counts {
    fn show(self) -> Value {
        let total = self.created + self.updated + self.deleted + self.ignored;
        json!({ "created": self.created, "updated": self.updated, "deleted": self.deleted,
            "ignored": self.ignored, "total": total })
    }
}

impl Report {
    /// Everything, or at least what was good, is stored. `ignored` as the whole counts it.
    pub fn done(
        version: Version,
        problems: Vec<Problem>,
        kinds: BTreeMap<Kind, Part>,
        ignored: usize,
    ) -> Self {
        let mut total = Counts { ignored, ..Counts::default() };
        for part in kinds.values() {
            total.created += part.counts.created;
            total.updated += part.counts.updated;
            total.deleted += part.counts.deleted;
        }
        Self { version, state: State::Ok, problems, total, kinds: Some(kinds) }
    }

    /// A check without errors that was to store nothing: it counts nothing.
    pub fn checked(version: Version) -> Self {
        Self {
            version,
            state: State::Ok,
            problems: Vec::new(),
            total: Counts::default(),
            kinds: Some(BTreeMap::new()),
        }
    }

    /// Refused whole: as many objects as there were.
    pub fn refused(version: Version, problems: Vec<Problem>, objects: usize) -> Self {
        let total = Counts { ignored: objects, ..Counts::default() };
        Self { version, state: State::Error, problems, total, kinds: None }
    }

    /// The commit failed: no counts and no errors, only words.
    pub fn failed(version: Version, words: &str) -> Self {
        let state = State::Failed(words.to_owned());
        Self { version, state, problems: Vec::new(), total: Counts::default(), kinds: None }
    }

    pub fn is_error(&self) -> bool {
        self.state != State::Ok
    }

    /// The last word of a job about it.
    pub fn sentence(&self) -> String {
        let Counts { created, updated, deleted, ignored } = self.total;
        let status = if self.is_error() { "ERROR" } else { "OK" };
        format!(
            "Import complete with status {status}, {created} created, {updated} updated, {deleted} deleted, {ignored} ignored"
        )
    }

    /// The report as it is answered.
    pub fn show(&self, mode: Option<&str>) -> Value {
        let errors: Vec<Value> = self.problems.iter().map(Problem::show).collect();
        let mut shown = Map::new();
        shown.insert("status".to_owned(), if self.is_error() { "ERROR" } else { "OK" }.into());
        let validation = json!({ "errorReports": errors, "warningReports": [] });
        shown.insert("validationReport".to_owned(), validation);
        if let State::Failed(words) = &self.state {
            shown.insert("message".to_owned(), words.clone().into());
            return shown.into();
        }
        shown.insert("stats".to_owned(), self.total.show());
        if mode == Some("FULL") && is_old(self.version) {
            shown.insert("timingsStats".to_owned(), timings());
        }
        if let Some(kinds) = &self.kinds {
            shown.insert("bundleReport".to_owned(), self.bundle(kinds));
        }
        shown.into()
    }

    fn bundle(&self, kinds: &BTreeMap<Kind, Part>) -> Value {
        let map: Map<String, Value> =
            kinds.iter().map(|(kind, part)| (kind.name().to_owned(), self.part(*kind, part))).collect();
        if is_old(self.version) {
            json!({ "typeReportMap": map, "empty": true })
        } else {
            json!({ "typeReportMap": map })
        }
    }

    fn part(&self, kind: Kind, part: &Part) -> Value {
        let of = |(at, uid): (usize, &String)| {
            if is_old(self.version) {
                json!({ "trackerType": kind.name(), "uid": uid, "index": at, "errorReports": [] })
            } else {
                json!({ "trackerType": kind.name(), "uid": uid, "errorReports": [] })
            }
        };
        let objects: Vec<Value> = part.uids.iter().enumerate().map(of).collect();
        json!({ "trackerType": kind.name(), "stats": part.counts.show(), "objectReports": objects })
    }
}

fn timings() -> Value {
    let none = "0.0 sec.";
    let timers = json!({ "preheat": none, "preprocess": none, "validation": none, "programrule": none,
        "programruleValidation": none, "commit": none, "totalImport": none });
    json!({ "timers": timers, "prepareRequest": none, "validation": none, "commit": none,
        "totalImport": none, "totalRequest": none, "preheat": none, "programRule": none })
}
