//! The import report of `POST /api/tracker`, taken apart.
//!
//! In `atomicMode=OBJECT` an answer of 200 OK may have refused everything: only the single objects tell.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::slot::Kind;
use super::table::{self, Row};

/// What a report says of its objects.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Created, updated or deleted.
    stored: HashSet<(Kind, String)>,
    errors: HashMap<(Kind, String), Vec<String>>,
    pub ignored: u64,
}

/// What became of one object.
#[derive(Debug, Clone, Copy)]
pub enum Word {
    Stored,
    /// The row that tells most, and DHIS2's code.
    Refused(&'static Row),
    /// The report says nothing of it.
    Silent,
}

impl Report {
    /// `None`: no report, or one that broke off (a race) and so tells nothing.
    pub fn of(json: &Value) -> Option<Self> {
        let stats = json.get("stats").filter(|stats| stats.is_object())?;
        let errors = json.pointer("/validationReport/errorReports")?.as_array()?;
        let mut report = Self { ignored: stats["ignored"].as_u64().unwrap_or(0), ..Self::default() };
        for error in errors {
            report.error(error);
        }
        let types = json.pointer("/bundleReport/typeReportMap").and_then(Value::as_object);
        for objects in types.into_iter().flatten().map(|(_, of_type)| &of_type["objectReports"]) {
            for object in objects.as_array().into_iter().flatten() {
                if let Some(key) = key(object) {
                    for error in object["errorReports"].as_array().into_iter().flatten() {
                        report.error(error);
                    }
                    report.stored.insert(key);
                }
            }
        }
        Some(report)
    }

    fn error(&mut self, error: &Value) {
        let (Some(key), Some(code)) = (key(error), error["errorCode"].as_str()) else { return };
        self.errors.entry(key).or_default().push(code.to_owned());
    }

    pub fn word(&self, kind: Kind, uid: &str) -> Word {
        let key = (kind, uid.to_owned());
        match self.errors.get(&key) {
            Some(codes) => Word::Refused(table::find(codes)),
            None if self.stored.contains(&key) => Word::Stored,
            None => Word::Silent,
        }
    }

    /// Errors of objects that are not among those sent: DHIS2 makes up a UID where it could not read ours.
    pub fn is_strange(&self) -> bool {
        self.errors.is_empty() && self.stored.is_empty() && self.ignored > 0
    }
}

fn key(object: &Value) -> Option<(Kind, String)> {
    let word = object["trackerType"].as_str()?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.tracker_type() == word)?;
    Some((kind, object["uid"].as_str()?.to_owned()))
}
