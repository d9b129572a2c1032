//! The envelope of DHIS2's answers: WebMessage with an ImportSummary inside.
//!
//! <https://docs.dhis2.org/en/develop/using-the-api/dhis-core-version-master/data.html>

use serde_json::Value;

use super::Response;

/// An answer, taken apart.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    pub http: u16,
    pub is_json: bool,
    pub is_redirect: bool,
    /// Took longer than any healthy answer to this kind of request does.
    pub is_slow: bool,
    pub message: String,
    pub summary: Option<Summary>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Success,
    Warning,
    Error,
}

/// ImportSummary.
#[derive(Debug, Clone)]
pub struct Summary {
    pub status: Status,
    pub description: String,
    pub counts: Counts,
    pub conflicts: Vec<Conflict>,
    /// Positions in `dataValues`; absent before 2.39.2 and 2.40.1.
    pub rejected: Vec<usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub imported: u64,
    pub updated: u64,
    pub ignored: u64,
    pub deleted: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Conflict {
    /// `E7619`; empty where DHIS2 gives only text.
    pub code: String,
    /// DHIS2's own words. May hold the value: never for logs or reasons.
    pub text: String,
    /// Every identifier that `object` and `objects` name.
    pub names: Vec<String>,
    /// Positions in `dataValues`; `-1` (a fault found before rows were counted) is left out.
    pub indexes: Vec<usize>,
}

/// A wrong password and a right one during a database outage get the same 401, the latter after 30 s on
/// 2.43 (`recorded-2.43/fault-05`).
const SLOW_MS: u128 = 10_000;

impl Parsed {
    pub fn of(response: &Response) -> Self {
        let json: Option<Value> = serde_json::from_str(&response.body).ok();
        let summary = json.as_ref().and_then(|json| Summary::of(json.get("response").unwrap_or(json)));
        Self {
            http: response.status,
            is_json: json.as_ref().is_some_and(Value::is_object),
            is_redirect: (300..400).contains(&response.status),
            is_slow: response.elapsed.as_millis() > SLOW_MS,
            message: text(json.as_ref().and_then(|json| json.get("message"))),
            summary,
        }
    }

    /// The import itself broke off; rows may be stored although all counts are 0.
    pub fn process_failed(&self) -> bool {
        self.summary.as_ref().is_some_and(|summary| {
            summary.status == Status::Error
                && summary.conflicts.is_empty()
                && summary.description.starts_with("The import process failed")
        })
    }
}

impl Summary {
    fn of(json: &Value) -> Option<Self> {
        let counts = json.get("importCount")?;
        let count = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or(0);
        let status = match json.get("status")?.as_str()? {
            "SUCCESS" | "OK" => Status::Success,
            "WARNING" => Status::Warning,
            _ => Status::Error,
        };
        Some(Self {
            status,
            description: text(json.get("description")),
            counts: Counts {
                imported: count("imported"),
                updated: count("updated"),
                ignored: count("ignored"),
                deleted: count("deleted"),
            },
            conflicts: list(json.get("conflicts")).iter().map(Conflict::of).collect(),
            rejected: positions(json.get("rejectedIndexes")),
        })
    }
}

impl Conflict {
    fn of(json: &Value) -> Self {
        let mut names = words(json.get("object"));
        if let Some(objects) = json.get("objects").and_then(Value::as_object) {
            names.extend(objects.values().flat_map(|value| words(Some(value))));
        }
        Self {
            code: text(json.get("errorCode")),
            text: text(json.get("value")),
            names,
            indexes: positions(json.get("indexes")),
        }
    }
}

fn text(json: Option<&Value>) -> String {
    json.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list(json: Option<&Value>) -> &[Value] {
    json.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn positions(json: Option<&Value>) -> Vec<usize> {
    list(json).iter().filter_map(Value::as_u64).filter_map(|at| usize::try_from(at).ok()).collect()
}

/// `MjDsMonthA1-[nosuchOrgUn, other]` names three things.
fn words(json: Option<&Value>) -> Vec<String> {
    text(json)
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
