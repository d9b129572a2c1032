//! Bodies of imports: flat lists of objects, each with its own UID, with the difference only.
//!
//! DHIS2 keeps attributes and data values that a body does not name, and replaces the other members. So
//! what the mapping does not name is taken from what is there, and a value that is no longer wanted is
//! emptied explicitly.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::check::Checked;
use super::slot::{Kind, Slot};
use super::uid::Note;

/// One object of a request.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    pub checked: &'a Checked,
    pub uid: &'a str,
    pub note: &'a Note,
    /// What DHIS2 accepted last from us.
    pub sent: Option<&'a Value>,
    /// What is there now, as far as it was read.
    pub current: Option<&'a Value>,
    /// Whether what is there may be other than `sent`: everything is named.
    pub doubt: bool,
    /// Values that a new tracked entity is made with besides those wanted.
    pub extra: &'a BTreeMap<String, String>,
    pub entity: &'a str,
    pub enrollment: &'a str,
    /// An enrolment needs `occurredAt`.
    pub needs_incident: bool,
    pub other: &'a str,
}

impl Object<'_> {
    /// As it stands in its list of the request.
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert(self.checked.slot.kind().member().to_owned(), json!(self.uid));
        let wanted = self.checked.wanted.as_ref().unwrap_or(&Value::Null);
        match &self.checked.slot {
            Slot::Entity { .. } => self.entity(wanted, &mut body),
            Slot::Enrollment { program, .. } => self.enrollment(program, wanted, &mut body),
            Slot::Event { program, .. } => {
                body.insert("enrollment".to_owned(), json!(self.enrollment));
                self.event(program, wanted, &mut body);
            }
            Slot::Single { program, .. } => self.event(program, wanted, &mut body),
            Slot::Relationship { kind, .. } => {
                body.insert("relationshipType".to_owned(), json!(kind));
                for (end, uid) in [("from", self.entity), ("to", self.other)] {
                    body.insert(end.to_owned(), json!({ "trackedEntity": { "trackedEntity": uid } }));
                }
            }
        }
        Value::Object(body)
    }

    fn entity(&self, wanted: &Value, body: &mut Map<String, Value>) {
        body.insert("trackedEntityType".to_owned(), wanted["type"].clone());
        let unit = self.current.map_or(&wanted["orgUnit"], |current| &current["orgUnit"]);
        body.insert("orgUnit".to_owned(), unit.clone());
        let attributes = self.values("attributes", "attribute");
        body.insert("attributes".to_owned(), attributes);
    }

    fn enrollment(&self, program: &str, wanted: &Value, body: &mut Map<String, Value>) {
        body.insert("trackedEntity".to_owned(), json!(self.entity));
        body.insert("program".to_owned(), json!(program));
        self.keep(wanted, &["orgUnit", "enrolledAt", "occurredAt", "status", "followUp", "geometry"], body);
        if !body.contains_key("occurredAt") && self.needs_incident {
            body.insert("occurredAt".to_owned(), wanted["enrolledAt"].clone());
        }
        body.entry("status".to_owned()).or_insert_with(|| json!("ACTIVE"));
        body.insert("attributes".to_owned(), self.values("attributes", "attribute"));
    }

    fn event(&self, program: &str, wanted: &Value, body: &mut Map<String, Value>) {
        body.insert("program".to_owned(), json!(program));
        body.insert("programStage".to_owned(), json!(self.checked.stage));
        self.keep(wanted, &["orgUnit", "occurredAt", "scheduledAt", "status"], body);
        body.entry("status".to_owned()).or_insert_with(|| json!("ACTIVE"));
        body.insert("dataValues".to_owned(), self.values("dataValues", "dataElement"));
    }

    /// What is wanted, else what is there.
    fn keep(&self, wanted: &Value, names: &[&str], body: &mut Map<String, Value>) {
        for name in names {
            let there = || self.current.and_then(|current| current.get(*name));
            if let Some(value) = wanted.get(*name).or_else(there).filter(|value| !value.is_null()) {
                body.insert((*name).to_owned(), value.clone());
            }
        }
    }

    /// Changed values, and those to be emptied.
    fn values(&self, list: &str, name: &str) -> Value {
        let mut values: Vec<Value> = Vec::new();
        let before = self.sent.and_then(|sent| sent[list].as_object());
        let after = self.checked.wanted.as_ref().and_then(|wanted| wanted[list].as_object());
        // Up to 2.40 a completed event is refused (E1303) where the request does not name every compulsory
        // value, whatever is stored.
        let whole = list == "dataValues" && self.is_completed();
        for (uid, text) in &self.checked.values {
            let same = before.and_then(|before| before.get(uid)) == after.and_then(|after| after.get(uid));
            if self.doubt || whole || !same || self.note.touched.contains(uid) {
                values.push(json!({ name: uid, "value": text }));
            }
        }
        let extra = self.extra.iter().filter(|(uid, _)| !self.checked.values.contains_key(*uid));
        values.extend(extra.map(|(uid, text)| json!({ name: uid, "value": text })));
        // Recorded for both generations: an empty attribute and a data value that is null are removed.
        let nothing = if list == "attributes" { json!("") } else { Value::Null };
        values.extend(self.emptied(list).into_iter().map(|uid| json!({ name: uid, "value": nothing })));
        Value::Array(values)
    }

    fn is_completed(&self) -> bool {
        let of = |object: Option<&Value>| object.is_some_and(|object| object["status"] == "COMPLETED");
        of(self.checked.wanted.as_ref()) || of(self.current)
    }

    /// Values of ours that are no longer wanted.
    pub fn emptied(&self, list: &str) -> BTreeSet<String> {
        let sent = self.sent.and_then(|sent| sent[list].as_object());
        let ours = sent.into_iter().flatten().map(|(uid, _)| uid).chain(&self.note.touched);
        ours.filter(|uid| !self.checked.values.contains_key(*uid) && !self.extra.contains_key(*uid))
            .cloned()
            .collect()
    }
}

/// `{ "trackedEntities": […], "enrollments": […], … }`, without empty lists.
pub(super) fn request(objects: impl IntoIterator<Item = (Kind, Value)>) -> Value {
    let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (kind, object) in objects {
        lists.entry(kind.list()).or_default().push(object);
    }
    json!(lists)
}

/// An object to be deleted: its UID alone.
pub(super) fn deletion(kind: Kind, uid: &str) -> (Kind, Value) {
    (kind, json!({ kind.member(): uid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(slot: &str, wanted: Value, values: &[(&str, &str)]) -> Checked {
        Checked {
            slot: Slot::parse(slot).unwrap(),
            wanted: Some(wanted),
            values: values.iter().map(|(uid, text)| ((*uid).to_owned(), (*text).to_owned())).collect(),
            stage: "stage".to_owned(),
        }
    }

    fn object<'a>(checked: &'a Checked, note: &'a Note, extra: &'a BTreeMap<String, String>) -> Object<'a> {
        Object {
            checked,
            uid: "u",
            note,
            sent: None,
            current: None,
            doubt: false,
            extra,
            entity: "te",
            enrollment: "en",
            needs_incident: true,
            other: "",
        }
    }

    #[test]
    fn only_what_changed_is_named_and_what_is_gone_is_emptied() {
        let wanted =
            json!({ "orgUnit": "o", "occurredAt": "2026-01-02", "dataValues": { "a": "1", "b": "2" } });
        let sent = json!({ "dataValues": { "a": "1", "b": "3", "c": "4" } });
        let current = json!({ "status": "ACTIVE", "occurredAt": "2026-01-01", "orgUnit": "o" });
        let checked = checked("ev|x|p||stage|k", wanted, &[("a", "1"), ("b", "2")]);
        let (note, extra) = (Note { touched: vec!["d".to_owned()], ..Note::default() }, BTreeMap::new());
        let one = Object { sent: Some(&sent), current: Some(&current), ..object(&checked, &note, &extra) };
        assert_eq!(
            one.body(),
            json!({
                "event": "u", "enrollment": "en", "program": "p", "programStage": "stage", "orgUnit": "o",
                "occurredAt": "2026-01-02", "status": "ACTIVE", "dataValues": [
                    { "dataElement": "b", "value": "2" }, { "dataElement": "c", "value": null },
                    { "dataElement": "d", "value": null }]
            })
        );
        let doubtful = Object { doubt: true, ..one };
        assert_eq!(doubtful.body()["dataValues"].as_array().unwrap().len(), 4);
        let completed = json!({ "status": "COMPLETED" });
        let completed = Object { current: Some(&completed), doubt: false, ..doubtful };
        assert_eq!(completed.body()["dataValues"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn a_new_enrolment_has_the_dates_that_dhis2_requires() {
        let checked = checked("en|x|p||m", json!({ "orgUnit": "o", "enrolledAt": "2026-01-02" }), &[]);
        let (note, extra) = (Note::default(), BTreeMap::new());
        let body = object(&checked, &note, &extra).body();
        assert_eq!((&body["occurredAt"], &body["status"]), (&json!("2026-01-02"), &json!("ACTIVE")));
        assert_eq!(body["trackedEntity"], "te");
    }

    #[test]
    fn a_tracked_entity_stays_where_it_is_and_is_made_with_what_it_is_found_by() {
        let wanted = json!({ "type": "t", "orgUnit": "o", "attributes": { "a": "1" } });
        let checked = checked("te|x|m", wanted, &[("a", "1")]);
        let extra = BTreeMap::from([("a".to_owned(), "0".to_owned()), ("card".to_owned(), "C".to_owned())]);
        let note = Note::default();
        let made = object(&checked, &note, &extra).body();
        assert_eq!(
            made["attributes"],
            json!([{ "attribute": "a", "value": "1" }, { "attribute": "card", "value": "C" }])
        );
        let current = json!({ "orgUnit": "elsewhere" });
        let there = Object { current: Some(&current), ..object(&checked, &note, &extra) };
        assert_eq!(there.body()["orgUnit"], "elsewhere");
    }
}
