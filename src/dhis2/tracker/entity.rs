//! The target `dhis2.tracker`: a tracked entity with its enrolments, their events and its relationships.
//!
//! Pure. Who it is is told by `trackedEntity` (a uid, or a link), else by the source where that is a thing
//! (a Patient), else by the heaviest of `find`. Everything about one travels in one lane.

// What is named by constants.
mod constants;

use serde_json::{Map, Value, json};

use super::event::output;
use super::fields::{self, ENROLLMENT_STATUSES, Reading};
use super::slot::{Slot, short};
use crate::delivery::identity::{digest, lane_behind};
use crate::dhis2::aggregate::fields::{Required, field};
use crate::mapping::output::{Issue, Nature, Output, Part, Withdraw};
use crate::mapping::target::{Complaint, Evaluated, Field, Kind, Named, Shape, Target};

/// `dhis2.tracker`
pub struct Tracker;

/// Sources that are things, and so can be linked with the tracked entity that is them.
const THINGS: [&str; 9] = [
    "Patient",
    "Person",
    "RelatedPerson",
    "Practitioner",
    "Group",
    "Device",
    "Location",
    "Organization",
    "Specimen",
];
/// Weight of a `find` that names none, and the margin where none is named.
const WEIGHT: i64 = 1;

impl Target for Tracker {
    fn kind(&self) -> &'static str {
        "dhis2.tracker"
    }

    fn doc(&self) -> &'static str {
        "A tracked entity, found or made, with its enrolments, their events and its relationships."
    }

    fn nature(&self) -> Nature {
        Nature::State
    }

    fn shape(&self) -> Shape {
        let mut shape = of_entity();
        shape.push(field(
            "enrollments",
            "Enrolments in tracker programs.",
            Required::No,
            Kind::Objects(Shape { fields: of_enrollment() }),
        ));
        let relationship = vec![
            field("relationshipType", "The relationship type's uid.", Required::Yes, Kind::Value),
            field("to", "The other tracked entity: its uid, or { link: P }.", Required::Yes, Kind::Value),
        ];
        shape.push(field(
            "relationships",
            "What this tracked entity is to others.",
            Required::No,
            Kind::Objects(Shape { fields: relationship }),
        ));
        Shape { fields: shape }
    }

    fn writes_back(&self) -> bool {
        true
    }

    fn withdraw(&self) -> Withdraw {
        Withdraw::Keep
    }

    fn check(&self, literals: &Value) -> Vec<Complaint> {
        constants::check(literals)
    }

    fn names(&self, literals: &Value) -> Vec<Named> {
        constants::names(literals)
    }

    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        Draft { reading: Reading::of(entry), parts: Vec::new(), issues: Vec::new() }.output()
    }

    fn preview(&self, output: &Output) -> Value {
        preview(output)
    }
}

fn of_entity() -> Vec<Field> {
    let find = vec![
        field("attribute", "The attribute's uid.", Required::Yes, Kind::Value),
        field("value", "What it must be; left out where it is absent.", Required::Yes, Kind::Value),
        field("weight", "How much it tells; 1 where it is left out.", Required::No, Kind::Integer),
    ];
    vec![
        field("type", "The tracked entity type's uid.", Required::No, Kind::Value),
        field(
            "trackedEntity",
            "The tracked entity itself, where it is known: its uid, or { link: P }.",
            Required::No,
            Kind::Value,
        ),
        field(
            "find",
            "What tells it from others: it is looked for before it is made, and made with these.",
            Required::No,
            Kind::Objects(Shape { fields: find }),
        ),
        field(
            "margin",
            "The weight that a find must reach, and by which it must be ahead of the next; 1 where it is left \
             out.",
            Required::No,
            Kind::Integer,
        ),
        field(
            "create",
            "Make it where nobody is found; true where it is left out.",
            Required::No,
            Kind::Flag,
        ),
        field(
            "orgUnit",
            "The organisation unit's uid; of enrolments and events too, where they name none.",
            Required::No,
            Kind::Value,
        ),
        fields::attributes("Attributes of the tracked entity. One that is no longer wanted is emptied."),
    ]
}

fn of_enrollment() -> Vec<Field> {
    let mut event = vec![
        field("programStage", "The program stage's uid.", Required::Yes, Kind::Value),
        field(
            "key",
            "Tells the events of a repeatable stage apart: the number of the dose.",
            Required::No,
            Kind::Value,
        ),
        field("orgUnit", "The organisation unit's uid.", Required::No, Kind::Value),
    ];
    event.extend(fields::of_event());
    vec![
        field("program", "The tracker program's uid.", Required::Yes, Kind::Value),
        field("key", "Tells several enrolments in one program apart.", Required::No, Kind::Value),
        field(
            "enrolledAt",
            "The day of enrolment; where it is left out, the enrolment must be there already.",
            Required::No,
            Kind::Value,
        ),
        field(
            "occurredAt",
            "The incident's day; `enrolledAt` where it is left out.",
            Required::No,
            Kind::Value,
        ),
        field("status", "ACTIVE (where it is left out), COMPLETED or CANCELLED.", Required::No, Kind::Value),
        field("orgUnit", "The organisation unit's uid.", Required::No, Kind::Value),
        fields::attributes("Attributes of the program. One that is no longer wanted is emptied."),
        field("events", "Events of its stages.", Required::No, Kind::Objects(Shape { fields: event })),
    ]
}

/// An output on its way.
struct Draft<'a> {
    reading: Reading<'a>,
    parts: Vec<Part>,
    issues: Vec<Issue>,
}

/// Who it is.
struct Identity {
    name: String,
    lane: String,
    link: Option<String>,
    known: Option<Value>,
}

impl Draft<'_> {
    fn output(mut self) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        let find = self.find();
        let Some(identity) = self.identity(&find) else { return Err(self.issues) };
        let unit = self.reading.text("orgUnit");
        let body = self.body(&identity, &find, unit.as_deref());
        self.entity(&identity, unit.as_deref(), &body);
        for reading in self.reading.each("enrollments") {
            self.enrollment(&identity.name, &reading, unit.as_deref());
        }
        for reading in self.reading.each("relationships") {
            self.relationship(&identity.name, &reading);
        }
        if self.parts.is_empty() {
            if self.issues.is_empty() {
                self.issues.push(self.nothing());
            }
            return Err(self.issues);
        }
        let mut parts: Vec<Part> = Vec::new();
        for part in std::mem::take(&mut self.parts) {
            match parts.iter().find(|known| known.slot == part.slot) {
                Some(_) => self.issues.push(self.doubled()),
                None => parts.push(part),
            }
        }
        let mut output = output(self.reading.entry, identity.lane, body, parts);
        "dhis2.tracker".clone_into(&mut output.target);
        output.link = identity.link;
        Ok((output, self.issues))
    }

    /// `[{attribute, value, weight}]`, heaviest first; what is absent is left out.
    fn find(&mut self) -> Vec<(String, String, i64)> {
        let mut pairs = Vec::new();
        for item in self.reading.each("find") {
            let Some(attribute) = item.required("attribute", &mut self.issues) else { continue };
            let Some(value) = item.text("value") else { continue };
            let weight = item.value("weight").and_then(Value::as_i64).unwrap_or(WEIGHT);
            pairs.push((attribute, value, weight));
        }
        pairs.sort_by_key(|(_, _, weight)| std::cmp::Reverse(*weight));
        pairs
    }

    fn identity(&mut self, find: &[(String, String, i64)]) -> Option<Identity> {
        let entry = self.reading.entry;
        let found = find.first().map(|(attribute, value, _)| {
            // Hashed: a place is shown in lists, and the value may be a number of a person.
            format!("find:{}", digest(&["find", attribute, &value.to_lowercase()]))
        });
        if self.reading.names("trackedEntity") {
            let Some(known) = self.reading.value("trackedEntity") else {
                self.issues.push(self.reading.absent("trackedEntity"));
                return None;
            };
            let linked = known.pointer("/$link/resource").and_then(Value::as_str);
            let name = match linked {
                Some(resource) => resource.to_owned(),
                None => format!("uid:{}", self.reading.text("trackedEntity")?),
            };
            return Some(Identity { lane: name.clone(), name, link: None, known: Some(known.clone()) });
        }
        let source = entry.context.source;
        let is_thing = source.split_once('/').is_some_and(|(kind, _)| THINGS.contains(&kind));
        let link = (is_thing && entry.key.is_empty()).then(|| source.to_owned());
        let Some(name) = link.clone().or_else(|| found.clone()) else {
            let told = Issue::error(
                "dhis2-entity-unnamed",
                "nothing is sent: nothing says which tracked entity is meant",
                entry.context.place,
            );
            let hint = "give `find` a value that is there, or `trackedEntity: { link: … }`";
            self.issues.push(told.with_hint(hint));
            return None;
        };
        // Two sources that find the same person wait for each other, whatever they are themselves.
        let lane = found.unwrap_or_else(|| name.clone());
        // Who only waits for somebody must not stand in the way of who makes her.
        let waits = self.reading.value("create") == Some(&Value::Bool(false));
        let lane = if waits { lane_behind(&lane) } else { lane };
        Some(Identity { lane, name, link, known: None })
    }

    fn body(&self, identity: &Identity, find: &[(String, String, i64)], unit: Option<&str>) -> Value {
        let mut body = Map::new();
        body.insert("identity".to_owned(), json!(identity.name));
        body.insert("mapping".to_owned(), json!(self.reading.entry.context.mapping));
        if let Some(known) = &identity.known {
            body.insert("trackedEntity".to_owned(), known.clone());
        }
        if let Some(kind) = self.reading.text("type") {
            body.insert("type".to_owned(), json!(kind));
        }
        if let Some(unit) = unit {
            body.insert("orgUnit".to_owned(), json!(unit));
        }
        let pairs = find.iter().map(
            |(attribute, value, weight)| json!({ "attribute": attribute, "value": value, "weight": weight }),
        );
        body.insert("find".to_owned(), pairs.collect());
        let margin = self.reading.value("margin").and_then(Value::as_i64).unwrap_or(WEIGHT);
        body.insert("margin".to_owned(), json!(margin.max(1)));
        let create = self.reading.value("create") != Some(&Value::Bool(false)) && identity.known.is_none();
        body.insert("create".to_owned(), json!(create));
        Value::Object(body)
    }

    /// The tracked entity itself: where it may be made, or where attributes of it are named.
    fn entity(&mut self, identity: &Identity, unit: Option<&str>, body: &Value) {
        let create = body["create"] == true;
        let attributes = self.reading.values("attributes", "attribute", &mut self.issues);
        if !create && !self.reading.names("attributes") {
            return;
        }
        let kind = self.reading.required("type", &mut self.issues);
        let Some(unit) = unit else {
            self.issues.push(self.reading.absent("orgUnit"));
            return;
        };
        let Some(kind) = kind else { return };
        let mapping = self.reading.entry.context.mapping.to_owned();
        let slot = Slot::Entity { identity: identity.name.clone(), mapping };
        let wanted = json!({ "type": kind, "orgUnit": unit, "attributes": attributes });
        self.parts.push(Part { slot: slot.to_string(), wanted, last: false });
    }

    fn enrollment(&mut self, identity: &str, reading: &Reading<'_>, unit: Option<&str>) {
        let Some(program) = reading.required("program", &mut self.issues) else { return };
        let Some(key) = self.key(reading) else { return };
        let unit = reading.text("orgUnit").or_else(|| unit.map(str::to_owned));
        match self.enrolled(reading, unit.as_deref()) {
            Ok(Some(wanted)) => {
                let (identity, program, key) = (identity.to_owned(), program.clone(), key.clone());
                let mapping = reading.entry.context.mapping.to_owned();
                let slot = Slot::Enrollment { identity, program, key, mapping };
                self.parts.push(Part { slot: slot.to_string(), wanted, last: false });
            }
            Ok(None) => {}
            Err(issue) => self.issues.push(issue),
        }
        for event in reading.each("events") {
            self.event((identity, &program, &key), &event, unit.as_deref());
        }
    }

    /// What is wanted of an enrolment; nothing where it must be there already.
    fn enrolled(&mut self, reading: &Reading<'_>, unit: Option<&str>) -> Result<Option<Value>, Issue> {
        let Some(enrolled) = reading.time("enrolledAt")? else { return Ok(None) };
        let unit = unit.ok_or_else(|| reading.absent("orgUnit"))?;
        let mut wanted = json!({ "orgUnit": unit, "enrolledAt": enrolled });
        if let Some(time) = reading.time("occurredAt")? {
            wanted["occurredAt"] = json!(time);
        }
        if let Some(status) = reading.status(&ENROLLMENT_STATUSES)? {
            wanted["status"] = json!(status);
        }
        let attributes = reading.values("attributes", "attribute", &mut self.issues);
        wanted["attributes"] = Value::Object(attributes);
        Ok(Some(wanted))
    }

    fn event(
        &mut self,
        (identity, program, enrollment): (&str, &str, &str),
        reading: &Reading<'_>,
        unit: Option<&str>,
    ) {
        let Some(stage) = reading.required("programStage", &mut self.issues) else { return };
        let Some(key) = self.key(reading) else { return };
        let Some(unit) = reading.text("orgUnit").or_else(|| unit.map(str::to_owned)) else {
            self.issues.push(reading.absent("orgUnit"));
            return;
        };
        let mut wanted = match fields::event_of(reading, &mut self.issues) {
            Ok(wanted) => wanted,
            Err(issue) => return self.issues.push(issue),
        };
        wanted.insert("orgUnit".to_owned(), json!(unit));
        let slot = Slot::Event {
            identity: identity.to_owned(),
            program: program.to_owned(),
            enrollment: enrollment.to_owned(),
            stage,
            key,
        };
        self.parts.push(Part { slot: slot.to_string(), wanted: Value::Object(wanted), last: false });
    }

    fn relationship(&mut self, identity: &str, reading: &Reading<'_>) {
        let Some(kind) = reading.required("relationshipType", &mut self.issues) else { return };
        let Some(to) = reading.value("to") else {
            self.issues.push(reading.absent("to"));
            return;
        };
        let linked = to.pointer("/$link/resource").and_then(Value::as_str).map(str::to_owned);
        let Some(other) = linked.or_else(|| reading.text("to")) else { return };
        let slot = Slot::Relationship { identity: identity.to_owned(), kind: kind.clone(), other };
        let wanted = json!({ "relationshipType": kind, "to": to });
        self.parts.push(Part { slot: slot.to_string(), wanted, last: false });
    }

    /// Empty where the file names none; nothing where it is absent.
    fn key(&mut self, reading: &Reading<'_>) -> Option<String> {
        if !reading.names("key") {
            return Some(String::new());
        }
        reading.required("key", &mut self.issues).map(|key| short(&key))
    }

    fn nothing(&self) -> Issue {
        Issue::error(
            "dhis2-nothing-wanted",
            "nothing is sent: the tracked entity must be there already, and nothing is wanted of it",
            self.reading.entry.context.place,
        )
        .with_hint("name `attributes`, `enrollments` or `relationships`, or leave `create: false` out")
    }

    fn doubled(&self) -> Issue {
        Issue::error(
            "dhis2-object-doubled",
            "an event or enrolment is left out: an earlier one has the same stage and key",
            self.reading.entry.context.place,
        )
        .with_hint("give each its own `key`")
    }
}

/// The tracked entity as DHIS2 is sent it, nested and without uids.
fn preview(output: &Output) -> Value {
    let mut entity = json!({});
    if let Some(known) = output.body.get("trackedEntity") {
        entity["trackedEntity"] = known.clone();
    }
    let mut enrollments: Vec<((String, String), Value)> = Vec::new();
    let mut relationships = Vec::new();
    for part in &output.parts {
        let wanted = &part.wanted;
        match Slot::parse(&part.slot) {
            Some(Slot::Entity { .. }) => {
                entity["trackedEntityType"] = wanted["type"].clone();
                entity["orgUnit"] = wanted["orgUnit"].clone();
                entity["attributes"] = with_found(output, wanted);
            }
            Some(Slot::Enrollment { program, key, .. }) => {
                let mut shown = wanted.clone();
                shown["program"] = json!(program);
                shown["attributes"] = fields::listed(wanted.get("attributes"), "attribute");
                enrollments.push(((program, key), shown));
            }
            Some(Slot::Event { program, enrollment, stage, .. }) => {
                let mut shown = wanted.clone();
                shown["programStage"] = json!(stage);
                shown["dataValues"] = fields::listed(wanted.get("dataValues"), "dataElement");
                push_event(&mut enrollments, (program, enrollment), shown);
            }
            Some(Slot::Relationship { .. }) => relationships.push(wanted.clone()),
            _ => {}
        }
    }
    if !enrollments.is_empty() {
        entity["enrollments"] = enrollments.into_iter().map(|(_, shown)| shown).collect();
    }
    if !relationships.is_empty() {
        entity["relationships"] = Value::Array(relationships);
    }
    json!({ "trackedEntities": [entity] })
}

fn push_event(enrollments: &mut Vec<((String, String), Value)>, at: (String, String), event: Value) {
    let place = enrollments.iter().position(|(known, _)| *known == at).unwrap_or_else(|| {
        let program = at.0.clone();
        enrollments.push((at, json!({ "program": program })));
        enrollments.len() - 1
    });
    let Some((_, enrollment)) = enrollments.get_mut(place) else { return };
    match enrollment.get_mut("events").and_then(Value::as_array_mut) {
        Some(events) => events.push(event),
        None => enrollment["events"] = json!([event]),
    }
}

/// A tracked entity is made with what it was looked for by.
fn with_found(output: &Output, wanted: &Value) -> Value {
    let mut attributes = wanted["attributes"].as_object().cloned().unwrap_or_default();
    if output.body["create"] == true {
        for pair in output.body["find"].as_array().into_iter().flatten() {
            let attribute = pair["attribute"].as_str().unwrap_or_default();
            attributes.entry(attribute.to_owned()).or_insert_with(|| pair["value"].clone());
        }
    }
    fields::listed(Some(&Value::Object(attributes)), "attribute")
}

#[cfg(test)]
mod tests;
