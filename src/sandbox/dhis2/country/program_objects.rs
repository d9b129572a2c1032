//! Programs and what they are made of, as the metadata API shows them.

use serde_json::{Value, json};

use super::objects::{base, merge, reference};
use super::programs::{Attribute, AttributeUse, EntityType, Program, RelationshipType, Stage};
use super::{Country, DEFAULT_COMBO};

/// The collections of this file.
pub(super) const COLLECTIONS: &[&str] = &[
    "programs",
    "programStages",
    "trackedEntityTypes",
    "trackedEntityAttributes",
    "relationshipTypes",
    "options",
];

impl Country {
    /// The objects of one of [`COLLECTIONS`].
    pub(super) fn program_collection(&self, name: &str) -> Option<Vec<Value>> {
        Some(match name {
            "programs" => self.programs.iter().map(|program| self.show_program(program)).collect(),
            "programStages" => self
                .programs
                .iter()
                .flat_map(|program| program.stages.iter().map(move |stage| show_stage(program, stage)))
                .collect(),
            "trackedEntityTypes" => self.entity_types.iter().map(|kind| self.show_type(kind)).collect(),
            "trackedEntityAttributes" => self.attributes.iter().map(show_attribute).collect(),
            "relationshipTypes" => self.relationship_types.iter().map(show_relationship_type).collect(),
            "options" => self.show_options(),
            _ => return None,
        })
    }

    fn show_program(&self, program: &Program) -> Value {
        let stages: Vec<Value> = program.stages.iter().map(|stage| reference(&stage.id)).collect();
        let units: Vec<Value> = program.units.iter().map(|id| reference(id)).collect();
        let kind = if program.entity_type.is_some() { "WITH_REGISTRATION" } else { "WITHOUT_REGISTRATION" };
        let uses = self.show_uses(&program.attributes, "program", &program.id);
        let mut shown = base(&program.id, &program.name, Some(&program.code));
        merge(
            &mut shown,
            json!({ "shortName": program.name, "programType": kind, "version": 1,
            "displayIncidentDate": program.incident_date, "onlyEnrollOnce": program.enrol_once,
            "selectEnrollmentDatesInFuture": false, "selectIncidentDatesInFuture": false, "expiryDays": 0,
            "completeEventsExpiryDays": 0, "openDaysAfterCoEndDate": 0, "minAttributesRequiredToSearch": 1,
            "maxTeiCountToReturn": 0, "accessLevel": "OPEN", "featureType": "NONE",
            "registration": program.entity_type.is_some(),
            "withoutRegistration": program.entity_type.is_none(),
            "categoryCombo": reference(DEFAULT_COMBO), "programStages": stages,
            "programTrackedEntityAttributes": uses, "organisationUnits": units }),
        );
        if let Some(kind) = &program.entity_type {
            merge(&mut shown, json!({ "trackedEntityType": reference(kind) }));
        }
        shown
    }

    /// Attributes of a type or a program: each use is an object of its own.
    fn show_uses(&self, uses: &[AttributeUse], owner: &str, id: &str) -> Vec<Value> {
        uses.iter()
            .enumerate()
            .map(|(at, used)| {
                let attribute = self.attribute(&used.attribute);
                let text = |of: fn(&Attribute) -> &str| attribute.map_or("", of).to_owned();
                json!({ owner: reference(id), "name": text(|one| &one.name), "sortOrder": at + 1,
                    "mandatory": used.mandatory, "searchable": attribute.is_some_and(|one| one.unique),
                    "displayInList": true, "valueType": text(|one| &one.value_type),
                    "trackedEntityAttribute": reference(&used.attribute) })
            })
            .collect()
    }

    fn show_type(&self, kind: &EntityType) -> Value {
        let uses = self.show_uses(&kind.attributes, "trackedEntityType", &kind.id);
        let mut shown = base(&kind.id, &kind.name, Some(&kind.code));
        merge(
            &mut shown,
            json!({ "shortName": kind.name, "featureType": "NONE", "allowAuditLog": false,
            "minAttributesRequiredToSearch": 1, "maxTeiCountToReturn": 0, "trackedEntityTypeAttributes": uses }),
        );
        shown
    }

    fn show_options(&self) -> Vec<Value> {
        let of = |set: &super::OptionSet| -> Vec<Value> {
            set.options
                .iter()
                .enumerate()
                .map(|(at, (id, code, name))| {
                    let mut shown = base(id, name, Some(code));
                    merge(&mut shown, json!({ "sortOrder": at + 1, "optionSet": reference(&set.id) }));
                    shown
                })
                .collect()
        };
        self.option_sets.iter().flat_map(of).collect()
    }
}

fn show_stage(program: &Program, stage: &Stage) -> Value {
    let elements: Vec<Value> = stage
        .elements
        .iter()
        .enumerate()
        .map(|(at, one)| {
            json!({ "programStage": reference(&stage.id), "dataElement": reference(&one.element),
                "compulsory": one.compulsory, "sortOrder": at, "allowProvidedElsewhere": false,
                "displayInReports": true, "allowFutureDate": false })
        })
        .collect();
    let at = program.stages.iter().position(|own| own.id == stage.id).unwrap_or(0);
    let mut shown = base(&stage.id, &stage.name, Some(&stage.code));
    merge(
        &mut shown,
        json!({ "program": reference(&program.id), "repeatable": stage.repeatable, "sortOrder": at + 1,
        "featureType": stage.feature_type, "validationStrategy": "ON_COMPLETE", "minDaysFromStart": 0,
        "autoGenerateEvent": false, "enableUserAssignment": false, "blockEntryForm": false,
        "programStageDataElements": elements }),
    );
    shown
}

fn show_attribute(attribute: &Attribute) -> Value {
    let mut shown = base(&attribute.id, &attribute.name, Some(&attribute.code));
    merge(
        &mut shown,
        json!({ "shortName": attribute.name, "formName": attribute.name, "valueType": attribute.value_type,
        "aggregationType": "NONE", "unique": attribute.unique, "generated": false, "pattern": "",
        "orgunitScope": false, "confidential": false, "inherit": false,
        "optionSetValue": attribute.option_set.is_some() }),
    );
    if let Some(set) = &attribute.option_set {
        merge(&mut shown, json!({ "optionSet": reference(set) }));
    }
    shown
}

fn show_relationship_type(kind: &RelationshipType) -> Value {
    let constraint = |id: &str| json!({ "relationshipEntity": "TRACKED_ENTITY_INSTANCE", "trackedEntityType": reference(id) });
    let mut shown = base(&kind.id, &kind.name, None);
    merge(
        &mut shown,
        json!({ "bidirectional": kind.bidirectional, "fromToName": kind.name, "toFromName": kind.name,
        "fromConstraint": constraint(&kind.from_type), "toConstraint": constraint(&kind.to_type) }),
    );
    shown
}
