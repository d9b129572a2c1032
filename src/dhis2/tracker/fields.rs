//! Fields that events and tracked entities have: names of objects, times, statuses, values.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use serde_json::{Map, Value, json};

use crate::dhis2::aggregate::fields::{Required, days_of, field, scalar};
use crate::dhis2::naming::Naming;
use crate::mapping::output::Issue;
use crate::mapping::target::{Complaint, Evaluated, Field, Kind as FieldKind, Shape};

pub(super) const EVENT_STATUSES: [&str; 6] =
    ["ACTIVE", "COMPLETED", "VISITED", "SCHEDULE", "OVERDUE", "SKIPPED"];
pub(super) const ENROLLMENT_STATUSES: [&str; 3] = ["ACTIVE", "COMPLETED", "CANCELLED"];

/// `dataValues`
pub(super) fn data_values() -> Field {
    let value = vec![
        field("dataElement", "The data element's uid.", Required::Yes, FieldKind::Value),
        field("value", "The value; left out where it is absent.", Required::Yes, FieldKind::Value),
    ];
    let doc = "The values of the event. One that is no longer wanted is emptied in DHIS2.";
    field("dataValues", doc, Required::No, FieldKind::Objects(Shape { fields: value }))
}

/// `attributes`
pub(super) fn attributes(doc: &'static str) -> Field {
    let value = vec![
        field("attribute", "The attribute's uid.", Required::Yes, FieldKind::Value),
        field("value", "The value; left out where it is absent.", Required::Yes, FieldKind::Value),
    ];
    field("attributes", doc, Required::No, FieldKind::Objects(Shape { fields: value }))
}

/// Times and status of an event.
pub(super) fn of_event() -> Vec<Field> {
    vec![
        field(
            "occurredAt",
            "When it happened: a date or a time; the event time of the source where it is left out.",
            Required::No,
            FieldKind::Value,
        ),
        field("scheduledAt", "When it is due.", Required::No, FieldKind::Value),
        field(
            "status",
            "ACTIVE (where it is left out), COMPLETED, VISITED, SCHEDULE, OVERDUE or SKIPPED.",
            Required::No,
            FieldKind::Value,
        ),
        data_values(),
    ]
}

/// One object of an entry while it is read: its fields, its path, and what goes wrong.
pub(super) struct Reading<'a> {
    pub entry: &'a Evaluated<'a>,
    pub fields: &'a Value,
    /// `enrollments[0].events[1]`; empty for the entry itself.
    pub path: String,
}

impl<'a> Reading<'a> {
    pub fn of(entry: &'a Evaluated<'a>) -> Self {
        Self { entry, fields: entry.fields, path: String::new() }
    }

    /// The objects of a list.
    pub fn each(&self, list: &str) -> Vec<Self> {
        let items = self.fields.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        items
            .iter()
            .enumerate()
            .map(|(at, fields)| Self { entry: self.entry, fields, path: self.at(&format!("{list}[{at}]")) })
            .collect()
    }

    pub fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether the file names the field at all.
    pub fn names(&self, name: &str) -> bool {
        self.fields.get(name).is_some()
    }

    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name).and_then(scalar)
    }

    /// A field without which nothing can be sent.
    pub fn required(&self, name: &str, issues: &mut Vec<Issue>) -> Option<String> {
        let found = self.text(name);
        if found.is_none() {
            issues.push(self.absent(name));
        }
        found
    }

    pub fn absent(&self, name: &str) -> Issue {
        let code = format!("dhis2-{}-absent", kebab(name));
        let text = format!("nothing is sent for {}: `{}` is absent", self.whole(), self.at(name));
        Issue::error(&code, text, self.entry.context.place).with_hint(
            "`mjumbe explain` shows where the value comes from; give it a `default`, or `required: true`",
        )
    }

    fn whole(&self) -> &str {
        if self.path.is_empty() { "this entry" } else { &self.path }
    }

    /// A date as `2026-01-31`, a time as the tenant's clock showed it, `2026-01-31T08:30:00`: DHIS2 keeps
    /// times without a zone.
    ///
    /// # Errors
    /// The field is named and absent, or is no full date.
    pub fn time(&self, name: &str) -> Result<Option<String>, Issue> {
        if !self.names(name) {
            return Ok(None);
        }
        let text = self.text(name).ok_or_else(|| self.absent(name))?;
        local(&text, self.entry).map(Some).ok_or_else(|| {
            Issue::error(
                "dhis2-date-unreadable",
                format!("nothing is sent for {}: `{}` is no full date", self.whole(), self.at(name)),
                self.entry.context.place,
            )
            .with_hint(
                "use a FHIR date or dateTime with its day, or convert it with `type: date` and `format`",
            )
        })
    }

    /// A status in capitals, one of these.
    ///
    /// # Errors
    /// It is named, and another.
    pub fn status(&self, among: &[&str]) -> Result<Option<String>, Issue> {
        let Some(text) = self.text("status") else { return Ok(None) };
        let word = text.to_ascii_uppercase();
        if among.contains(&word.as_str()) {
            return Ok(Some(word));
        }
        Err(Issue::error(
            "dhis2-status-unknown",
            format!("nothing is sent for {}: `{}` is no status of DHIS2", self.whole(), self.at("status")),
            self.entry.context.place,
        )
        .with_hint(format!("one of {}; `map` turns a FHIR status into one of them", among.join(", "))))
    }

    /// Uid → text of a list of `{ NAME, value }`; absent values are left out.
    pub fn values(&self, list: &str, name: &str, issues: &mut Vec<Issue>) -> Map<String, Value> {
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for item in self.each(list) {
            let Some(found) = item.value("value") else { continue };
            let Some(uid) = item.required(name, issues) else { continue };
            let Some(text) = scalar(found) else {
                if !matches!(found, Value::String(_)) {
                    issues.push(left_out(
                        &item,
                        "dhis2-value-not-scalar",
                        "the value is no text, number or boolean",
                    ));
                }
                continue;
            };
            if values.get(&uid).is_some_and(|known| *known != text) {
                issues.push(left_out(&item, "dhis2-value-doubled", "an earlier one names the same"));
                continue;
            }
            values.insert(uid, text);
        }
        values.into_iter().map(|(uid, text)| (uid, json!(text))).collect()
    }
}

fn left_out(item: &Reading<'_>, code: &str, why: &str) -> Issue {
    Issue::error(code, format!("`{}` is left out: {why}", item.path), item.entry.context.place)
        .with_hint("`mjumbe explain` shows where it comes from")
}

/// `orgUnit` → `org-unit`
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn local(text: &str, entry: &Evaluated<'_>) -> Option<String> {
    let zone = entry.context.zone;
    if !text.contains('T') {
        let (first, last) = days_of(text, zone)?;
        return (first == last).then(|| first.to_string());
    }
    let time = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant.to_zoned(zone.clone()).datetime(),
        Err(_) => text.parse::<DateTime>().ok()?,
    };
    Some(time.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

/// The event's own day in the tenant's zone.
pub(super) fn event_day(entry: &Evaluated<'_>) -> String {
    let instant = jiff::Timestamp::from_millisecond(entry.context.authored_ms);
    let instant = instant.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    instant.to_zoned(entry.context.zone.clone()).date().to_string()
}

/// The parts of an event that both targets have.
///
/// # Errors
/// What keeps it from being sent.
pub(super) fn event_of(reading: &Reading<'_>, issues: &mut Vec<Issue>) -> Result<Map<String, Value>, Issue> {
    let mut wanted = Map::new();
    let status = reading.status(&EVENT_STATUSES)?;
    let occurred = reading.time("occurredAt")?;
    let scheduled = reading.time("scheduledAt")?;
    let planned = matches!(status.as_deref(), Some("SCHEDULE" | "OVERDUE" | "SKIPPED"));
    match occurred {
        Some(time) => wanted.insert("occurredAt".to_owned(), json!(time)),
        None if planned => None,
        None => wanted.insert("occurredAt".to_owned(), json!(event_day(reading.entry))),
    };
    if let Some(time) = scheduled {
        wanted.insert("scheduledAt".to_owned(), json!(time));
    } else if planned && !wanted.contains_key("occurredAt") {
        return Err(reading.absent("scheduledAt"));
    }
    if let Some(status) = status {
        wanted.insert("status".to_owned(), json!(status));
    }
    let values = reading.values("dataValues", "dataElement", issues);
    wanted.insert("dataValues".to_owned(), Value::Object(values));
    Ok(wanted)
}

/// A status written as a constant that DHIS2 does not have.
pub(super) fn check_status(
    complaints: &mut Vec<Complaint>,
    literals: &Value,
    path: &str,
    among: &[&'static str],
) {
    let Some(text) = literals.get("status").and_then(Value::as_str) else { return };
    if !among.contains(&text.to_ascii_uppercase().as_str()) {
        complaints.push(Complaint {
            field: path.to_owned(),
            message: format!("\"{text}\" is no status of DHIS2"),
            hint: Some(format!("one of {}", among.join(", "))),
        });
    }
}

/// The items of a list among constants, each with its path.
pub(super) fn items<'a>(literals: &'a Value, path: &str, list: &str) -> Vec<(String, &'a Value)> {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    let found = literals.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    found.iter().enumerate().map(|(at, item)| (format!("{prefix}{list}[{at}]"), item)).collect()
}

/// Takes the data elements of an event, with their constant values.
pub(super) fn name_values(naming: &mut Naming<'_>, path: &str, within: &[(&'static str, String)]) {
    let list = if path.is_empty() { "dataValues".to_owned() } else { format!("{path}.dataValues") };
    for at in 0..naming.len(&list) {
        naming.valued("dataElement", (&format!("{list}[{at}]"), "dataElement", "value"), within);
    }
}

/// DHIS2's own lists: `[{ NAME: uid, "value": text }]`.
pub(super) fn listed(values: Option<&Value>, name: &str) -> Value {
    let values = values.and_then(Value::as_object);
    values.into_iter().flatten().map(|(uid, text)| json!({ name: uid, "value": text })).collect()
}
