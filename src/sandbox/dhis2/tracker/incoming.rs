//! The payload as one list of each kind of object.
//!
//! Nested and flat payloads become the same lists. What cannot be read refuses the request as a whole.

use serde_json::{Map, Value};

use super::super::super::http::{Answer, Request};
use super::super::super::time;
use super::super::Version;
use super::super::gate;
use super::super::state::World;
use super::super::summary::message;
use super::jobs::new_uid;
use super::options::Options;
use super::state::Kind;
use super::{is_old, text};

/// The objects of an import, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Payload {
    pub items: Vec<Item>,
}

/// One object.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub kind: Kind,
    pub uid: String,
    pub body: Map<String, Value>,
}

impl Item {
    /// A text; `None` where it is absent, null or empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        text(&self.body, key)
    }

    /// A moment; unreadable ones were refused with the payload.
    pub fn time(&self, key: &str) -> Option<jiff::Timestamp> {
        moment(self.body.get(key)?)
    }

    /// Attributes or data values: what they are of, and their value.
    pub fn values<'a>(
        &'a self,
        list: &str,
        key: &'a str,
    ) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let rows = self.body.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        rows.iter().filter_map(move |row| {
            let value = row.get("value").and_then(Value::as_str).filter(|value| !value.is_empty());
            Some((row.get(key)?.as_str()?, value))
        })
    }

    /// The parent that it names: of an enrolment its tracked entity, of an event its enrolment.
    pub fn parent(&self) -> Option<(Kind, &str)> {
        match self.kind {
            Kind::Enrollment => Some((Kind::Entity, self.text("trackedEntity")?)),
            Kind::Event => Some((Kind::Enrollment, self.text("enrollment")?)),
            Kind::Entity | Kind::Relationship => None,
        }
    }
}

impl Payload {
    /// Reads the body of a request.
    pub fn read(world: &World, request: &Request, options: &Options) -> Result<Self, Answer> {
        if let Some(answer) = gate::wrong_content_type(world.version, request) {
            return Err(answer);
        }
        let body: Value = serde_json::from_slice(&request.body)
            .map_err(|error| unreadable(world.version, &format!("Unexpected end-of-input: {error}")))?;
        let Value::Object(body) = body else {
            let text = "Cannot deserialize value of type `org.hisp.dhis.webapi.controller.tracker.imports.Body` from Array value (token `JsonToken.START_ARRAY`)";
            return Err(unreadable(world.version, text));
        };
        let mut payload = Self::default();
        for kind in Kind::ALL {
            for object in objects(body.get(kind.list())) {
                payload.add(kind, object);
            }
        }
        // Parents come before children, whichever way they were sent.
        payload.items.sort_by_key(|item| item.kind);
        for item in &mut payload.items {
            well_formed(world.version, item)?;
            if options.units_by_code {
                name_unit(world, item);
            }
        }
        Ok(payload)
    }

    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.kind == kind)
    }

    pub fn names(&self, kind: Kind, uid: &str) -> Option<&Item> {
        self.of(kind).find(|item| item.uid == uid)
    }

    fn add(&mut self, kind: Kind, mut body: Map<String, Value>) {
        let uid = text(&body, kind.key()).map_or_else(new_uid, str::to_owned);
        let children = match kind {
            Kind::Entity => Some(Kind::Enrollment),
            Kind::Enrollment => Some(Kind::Event),
            Kind::Event | Kind::Relationship => None,
        };
        let nested = children.map(|child| (child, objects(body.remove(child.list()).as_ref())));
        let related = objects(body.remove("relationships").as_ref());
        self.items.push(Item { kind, uid: uid.clone(), body });
        if let Some((child, list)) = nested {
            for mut object in list {
                object.insert(kind.key().to_owned(), uid.clone().into());
                self.add(child, object);
            }
        }
        for object in related {
            self.add(Kind::Relationship, object);
        }
    }
}

fn objects(list: Option<&Value>) -> Vec<Map<String, Value>> {
    let list = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(Value::as_object).cloned().collect()
}

fn name_unit(world: &World, item: &mut Item) {
    let unit = item.text("orgUnit").and_then(|code| world.country.units.iter().find(|own| own.code == code));
    if let Some(unit) = unit {
        item.body.insert("orgUnit".to_owned(), unit.id.clone().into());
    }
}

/// A request that Jackson cannot read: 500 up to 2.40, 400 since.
fn unreadable(version: Version, words: &str) -> Answer {
    if is_old(version) { message(500, words) } else { message(400, &format!("JSON parse error: {words}")) }
}

fn well_formed(version: Version, item: &Item) -> Result<(), Answer> {
    for key in
        ["enrolledAt", "occurredAt", "scheduledAt", "completedAt", "createdAtClient", "updatedAtClient"]
    {
        let Some(value) = item.body.get(key).filter(|value| !value.is_null()) else { continue };
        if moment(value).is_none() {
            let given = value.as_str().unwrap_or("");
            let words = format!(
                "Invalid date format '{given}', only 'yyyy-MM-dd'T'HH:mm:ss.SSS' format end epoch milliseconds are supported."
            );
            return Err(unreadable(version, &words));
        }
    }
    let known: &[&str] = match item.kind {
        Kind::Enrollment => &["CANCELLED", "COMPLETED", "ACTIVE"],
        Kind::Event => &["SKIPPED", "ACTIVE", "SCHEDULE", "VISITED", "COMPLETED", "OVERDUE"],
        Kind::Entity | Kind::Relationship => &[],
    };
    if let Some(status) = item.text("status").filter(|status| !known.is_empty() && !known.contains(status)) {
        let kind = if item.kind == Kind::Event { "EventStatus" } else { "EnrollmentStatus" };
        let words = format!(
            "Cannot deserialize value of type `org.hisp.dhis.event.{kind}` from String \"{status}\": not one of the values accepted for Enum class: [{}]",
            known.join(", ")
        );
        return Err(unreadable(version, &words));
    }
    if item.body.get("geometry").is_some_and(|geometry| !is_geometry(geometry)) {
        return Err(unreadable(
            version,
            "Cannot invoke \"com.fasterxml.jackson.databind.JsonNode.asDouble()\" because the return value of \"com.fasterxml.jackson.databind.JsonNode.get(int)\" is null",
        ));
    }
    if is_old(version) { Ok(()) } else { uids(version, item) }
}

/// Since 2.42 a string that is no uid makes the request unreadable.
fn uids(version: Version, item: &Item) -> Result<(), Answer> {
    let keys: &[&str] = match item.kind {
        Kind::Entity | Kind::Relationship => &[],
        Kind::Enrollment => &["trackedEntity"],
        Kind::Event => &["enrollment"],
    };
    let named = keys.iter().filter_map(|key| item.text(key)).chain([item.uid.as_str()]);
    for uid in named {
        if !is_uid(uid) {
            let words = format!(
                "Cannot construct instance of `org.hisp.dhis.common.UID`, problem: UID must be an alphanumeric string of 11 characters starting with a letter, but was: {uid}"
            );
            return Err(unreadable(version, &words));
        }
    }
    Ok(())
}

/// `^[a-zA-Z][a-zA-Z0-9]{10}$`
pub(super) fn is_uid(text: &str) -> bool {
    text.len() == 11
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn moment(value: &Value) -> Option<jiff::Timestamp> {
    match value {
        Value::String(text) => time::parse(text),
        Value::Number(number) => jiff::Timestamp::from_millisecond(number.as_i64()?).ok(),
        _ => None,
    }
}

fn is_geometry(geometry: &Value) -> bool {
    let coordinates = geometry.get("coordinates").and_then(Value::as_array);
    match geometry.get("type").and_then(Value::as_str) {
        _ if geometry.is_null() => true,
        Some("Point") => coordinates.is_some_and(|pair| pair.len() >= 2 && pair.iter().all(Value::is_number)),
        Some("Polygon" | "MultiPolygon") => coordinates.is_some_and(|rings| !rings.is_empty()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_eleven_characters_that_begin_with_a_letter() {
        assert!(is_uid("MjTe0000001"));
        assert!(!is_uid("1jTe0000001"));
        assert!(!is_uid("MjTe000000"));
        assert!(!is_uid("MjTe-000001"));
    }
}
