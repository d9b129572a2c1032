//! Import summaries and other envelopes.
//!
//! Source of the shapes: recorded answers of 2.40.12 and 2.43.1.

use serde_json::{Map, Value, json};

use super::super::http::{Answer, Request};
use super::Version;

const JSON: &str = "application/json;charset=UTF-8";

/// What became of an import.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary {
    pub status: Status,
    pub description: Option<String>,
    pub imported: usize,
    pub updated: usize,
    pub ignored: usize,
    pub deleted: usize,
    pub conflicts: Vec<Conflict>,
    pub rejected: Vec<usize>,
    /// `false` or a date; absent where the import was aborted.
    pub complete: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    Success,
    Warning,
    Error,
}

/// A reason why something was refused.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Conflict {
    pub object: Option<String>,
    /// Type and id of what is named; absent for completion.
    pub objects: Option<Vec<(&'static str, String)>>,
    pub value: String,
    pub code: Option<&'static str>,
    pub property: Option<&'static str>,
    pub indexes: Option<Vec<i64>>,
}

impl Summary {
    /// An import that failed as a whole.
    pub fn failed(description: String) -> Self {
        Self { status: Status::Error, description: Some(description), ..Self::default() }
    }

    /// Adds a refusal of one value; equal ones are grouped.
    pub fn reject(&mut self, index: usize, conflict: Option<Conflict>) {
        self.ignored += 1;
        self.rejected.push(index);
        let Some(mut conflict) = conflict else { return };
        let position = i64::try_from(index).unwrap_or(i64::MAX);
        let same = |own: &&mut Conflict| own.code == conflict.code && own.objects == conflict.objects;
        if let Some(own) = self.conflicts.iter_mut().find(same) {
            own.indexes.get_or_insert_default().push(position);
            return;
        }
        conflict.indexes = Some(vec![position]);
        self.conflicts.push(conflict);
    }

    /// The answer in its envelope.
    pub fn answer(&self, version: Version, request: &Request) -> Answer {
        let old = version == Version::V2_40;
        let (http, status, message) = match self.status {
            Status::Success => (200, "OK", "Import was successful."),
            Status::Warning if old => {
                (409, "WARNING", "One more conflicts encountered, please check import summary.")
            }
            Status::Warning => {
                (200, "WARNING", "Import completed with warnings, please check import summary.")
            }
            Status::Error => (409, "ERROR", "An error occurred, please check import summary."),
        };
        let body = json!({ "httpStatus": reason(http), "httpStatusCode": http, "status": status,
            "message": message, "response": self.show(version, request) });
        Answer::text(http, JSON, &body.to_string())
    }

    fn show(&self, version: Version, request: &Request) -> Value {
        let status = match self.status {
            Status::Success => "SUCCESS",
            Status::Warning => "WARNING",
            Status::Error => "ERROR",
        };
        let mut shown = Map::new();
        let old = version == Version::V2_40;
        let mut put = |key: &str, value: Value| {
            shown.insert(key.to_owned(), value);
        };
        if old {
            put("responseType", "ImportSummary".into());
        }
        put("status", status.into());
        put("importOptions", import_options(version, request));
        if let Some(description) = &self.description {
            put("description", description.clone().into());
        }
        put(
            "importCount",
            json!({ "imported": self.imported, "updated": self.updated, "ignored": self.ignored,
            "deleted": self.deleted }),
        );
        put("conflicts", self.conflicts.iter().map(Conflict::show).collect());
        put("rejectedIndexes", self.rejected.clone().into());
        if let Some(complete) = &self.complete {
            put("dataSetComplete", complete.clone().into());
        }
        if !old {
            put("responseType", "ImportSummary".into());
        }
        shown.into()
    }
}

impl Conflict {
    fn show(&self) -> Value {
        let mut shown = Map::new();
        if let Some(object) = &self.object {
            shown.insert("object".to_owned(), object.clone().into());
        }
        if let Some(objects) = &self.objects {
            let objects: Map<String, Value> =
                objects.iter().map(|(kind, id)| ((*kind).to_owned(), id.clone().into())).collect();
            shown.insert("objects".to_owned(), objects.into());
        }
        shown.insert("value".to_owned(), self.value.clone().into());
        if let Some(code) = self.code {
            shown.insert("errorCode".to_owned(), code.into());
        }
        if let Some(property) = self.property {
            shown.insert("property".to_owned(), property.into());
        }
        if let Some(indexes) = &self.indexes {
            shown.insert("indexes".to_owned(), indexes.clone().into());
        }
        shown.into()
    }
}

fn import_options(version: Version, request: &Request) -> Value {
    let strategy = request.parameter("importStrategy").unwrap_or("CREATE_AND_UPDATE");
    let mut shown = Map::new();
    shown.insert("idSchemes".to_owned(), json!({}));
    if version == Version::V2_43 {
        shown.insert("atomic".to_owned(), request.flag("atomic").into());
    }
    shown.insert("dryRun".to_owned(), request.flag("dryRun").into());
    shown.insert("async".to_owned(), false.into());
    shown.insert("importStrategy".to_owned(), strategy.into());
    shown.insert("mergeMode".to_owned(), "REPLACE".into());
    shown.insert("reportMode".to_owned(), "FULL".into());
    for key in ["skipExistingCheck", "sharing", "skipNotifications", "skipAudit", "datasetAllowsPeriods"] {
        shown.insert(key.to_owned(), request.flag(key).into());
    }
    for key in [
        "strictPeriods",
        "strictDataElements",
        "strictCategoryOptionCombos",
        "strictAttributeOptionCombos",
        "strictOrganisationUnits",
        "strictDataSetApproval",
        "strictDataSetLocking",
        "strictDataSetInputPeriods",
        "requireCategoryOptionCombo",
        "requireAttributeOptionCombo",
        "skipPatternValidation",
        "ignoreEmptyCollection",
        "force",
    ] {
        shown.insert(key.to_owned(), request.flag(key).into());
    }
    shown.insert("firstRowIsHeader".to_owned(), true.into());
    for key in ["skipLastUpdated", "mergeDataValues", "skipCache"] {
        shown.insert(key.to_owned(), false.into());
    }
    shown.into()
}

/// A web message without an import summary.
pub(super) fn message(status: u16, text: &str) -> Answer {
    Answer::text(status, JSON, &web_message(status, text).to_string())
}

/// A web message with an error code.
pub(super) fn coded(status: u16, text: &str, code: &str) -> Answer {
    let mut body = web_message(status, text);
    body["errorCode"] = code.into();
    Answer::text(status, JSON, &body.to_string())
}

/// JSON as DHIS2 labels it.
pub(super) fn shown(body: &Value) -> Answer {
    Answer::text(200, JSON, &body.to_string())
}

fn web_message(status: u16, text: &str) -> Value {
    let kind = if status < 400 { "OK" } else { "ERROR" };
    json!({ "httpStatus": reason(status), "httpStatusCode": status, "status": kind, "message": text })
}

/// Tomcat's own page: unknown paths, and faults before DHIS2's code.
pub(super) fn tomcat_page(version: Version, status: u16) -> Answer {
    tomcat_text(version, status, "")
}

/// Tomcat's own page with a message.
pub(super) fn tomcat_text(version: Version, status: u16, words: &str) -> Answer {
    let server = if version == Version::V2_40 { "Apache Tomcat/9.0.96" } else { "Apache Tomcat/11.0.14" };
    let name = reason(status);
    let words = if words.is_empty() { String::new() } else { format!("<p><b>Message</b> {words}</p>") };
    let body = format!(
        "<!doctype html><html lang=\"en\"><head><title>HTTP Status {status} – {name}</title></head><body>\
         <h1>HTTP Status {status} – {name}</h1><hr class=\"line\" /><p><b>Type</b> Status Report</p>\
         {words}<hr class=\"line\" /><h3>{server}</h3></body></html>"
    );
    Answer::text(status, "text/html;charset=utf-8", &body)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        415 => "Unsupported Media Type",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Error",
    }
}
