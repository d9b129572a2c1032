//! Programs, their stages and attributes, tracked entity types and relationship types of a snapshot.
//!
//! Pure: from DHIS2's own JSON to what deliveries and `check` ask of it.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::Metadata;
use super::model::{DataElement, each, optional, text};
use crate::dhis2::value::ValueType;

#[derive(Debug, Clone)]
pub struct Program {
    pub name: String,
    /// With registration: its events belong to enrolments of tracked entities.
    pub is_tracker: bool,
    /// The type of its tracked entities; empty for an event program.
    pub entity_type: String,
    /// A tracked entity is enrolled at most once in its life.
    pub enrol_once: bool,
    /// `occurredAt` of an enrolment is required.
    pub needs_incident_date: bool,
    pub future_enrolment: bool,
    pub future_incident: bool,
    /// Attributes, and whether each is mandatory.
    pub attributes: BTreeMap<String, bool>,
    pub stages: BTreeMap<String, Stage>,
    pub units: HashSet<String>,
}

#[derive(Debug, Clone)]
pub struct Stage {
    pub name: String,
    pub repeatable: bool,
    /// Data elements, and whether each is compulsory.
    pub elements: BTreeMap<String, bool>,
}

/// A tracked entity attribute.
#[derive(Debug, Clone)]
pub struct Attribute {
    pub name: String,
    pub value_type: ValueType,
    pub option_set: Option<String>,
    pub unique: bool,
    /// DHIS2 makes the value itself.
    pub generated: bool,
}

#[derive(Debug, Clone)]
pub struct TrackedEntityType {
    pub name: String,
    /// Attributes, and whether each is mandatory.
    pub attributes: BTreeMap<String, bool>,
}

#[derive(Debug, Clone)]
pub struct RelationshipType {
    pub name: String,
    /// What it links: `TRACKED_ENTITY_INSTANCE`, `PROGRAM_INSTANCE` or `PROGRAM_STAGE_INSTANCE`.
    pub from: String,
    pub to: String,
}

impl Metadata {
    pub(super) fn take_program(&mut self, uid: &str, json: &Value) {
        let mut stages = BTreeMap::new();
        for stage in each(json, "programStages") {
            let mut elements = BTreeMap::new();
            for member in each(stage, "programStageDataElements") {
                let element = &member["dataElement"];
                let id = text(element, "id");
                elements.insert(id.clone(), is(member, "compulsory"));
                self.elements.entry(id).or_insert_with(|| DataElement::of(element));
            }
            let (name, repeatable) = (text(stage, "name"), is(stage, "repeatable"));
            stages.insert(text(stage, "id"), Stage { name, repeatable, elements });
        }
        let attributes = self.take_attributes(json, "programTrackedEntityAttributes");
        let program = Program {
            name: text(json, "name"),
            is_tracker: text(json, "programType") == "WITH_REGISTRATION",
            entity_type: text(&json["trackedEntityType"], "id"),
            enrol_once: is(json, "onlyEnrollOnce"),
            needs_incident_date: is(json, "displayIncidentDate"),
            future_enrolment: is(json, "selectEnrollmentDatesInFuture"),
            future_incident: is(json, "selectIncidentDatesInFuture"),
            attributes,
            stages,
            units: each(json, "organisationUnits").map(|unit| text(unit, "id")).collect(),
        };
        self.programs.insert(uid.to_owned(), program);
    }

    pub(super) fn take_type(&mut self, uid: &str, json: &Value) {
        let attributes = self.take_attributes(json, "trackedEntityTypeAttributes");
        self.types.insert(uid.to_owned(), TrackedEntityType { name: text(json, "name"), attributes });
    }

    fn take_attributes(&mut self, json: &Value, list: &str) -> BTreeMap<String, bool> {
        let mut members = BTreeMap::new();
        for member in each(json, list) {
            let attribute = &member["trackedEntityAttribute"];
            let id = text(attribute, "id");
            members.insert(id.clone(), is(member, "mandatory"));
            self.attributes.insert(id, Attribute::of(attribute));
        }
        members
    }
}

impl Attribute {
    fn of(json: &Value) -> Self {
        Self {
            name: text(json, "name"),
            value_type: ValueType::named(&text(json, "valueType")),
            option_set: optional(&json["optionSet"], "id"),
            unique: is(json, "unique"),
            generated: is(json, "generated"),
        }
    }
}

impl RelationshipType {
    pub(super) fn of(json: &Value) -> Self {
        let end = |name: &str| text(&json[name], "relationshipEntity");
        Self { name: text(json, "name"), from: end("fromConstraint"), to: end("toConstraint") }
    }
}

fn is(json: &Value, name: &str) -> bool {
    json.get(name) == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_program_brings_its_stages_elements_and_attributes() {
        let mut metadata = Metadata::default();
        metadata.take_program(
            "f1AyMswryyQ",
            &json!({
                "name": "Immunization", "programType": "WITH_REGISTRATION", "onlyEnrollOnce": true,
                "displayIncidentDate": true, "trackedEntityType": { "id": "Q9GufDoplCL" },
                "organisationUnits": [{ "id": "O6uvpzGd5pu" }],
                "programTrackedEntityAttributes": [{ "mandatory": true, "trackedEntityAttribute":
                    { "id": "dIVt4l5vIOa", "name": "First name", "valueType": "TEXT", "unique": false } }],
                "programStages": [{ "id": "nlXNK4b7LVr", "name": "Dose", "repeatable": true,
                    "programStageDataElements": [{ "compulsory": false, "dataElement":
                        { "id": "BuZ5LGNfGEU", "name": "Weight", "valueType": "NUMBER" } }] }]
            }),
        );
        let program = &metadata.programs["f1AyMswryyQ"];
        assert!(program.is_tracker && program.enrol_once && program.needs_incident_date);
        assert!(program.attributes["dIVt4l5vIOa"]);
        assert!(program.stages["nlXNK4b7LVr"].repeatable);
        assert_eq!(metadata.elements["BuZ5LGNfGEU"].value_type, ValueType::Number);
        assert_eq!(metadata.attributes["dIVt4l5vIOa"].name, "First name");
    }
}
