//! Tracked entities, enrolments, events, relationships.
//!
//! Each keeps every accepted write. A deletion only marks: the uid is never free again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::super::time::micros;
use super::jobs::Jobs;

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Entity,
    Enrollment,
    Event,
    Relationship,
}

impl Kind {
    /// Parents before children.
    pub(super) const ALL: [Self; 4] = [Self::Entity, Self::Enrollment, Self::Event, Self::Relationship];

    /// `TRACKED_ENTITY`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Entity => "TRACKED_ENTITY",
            Self::Enrollment => "ENROLLMENT",
            Self::Event => "EVENT",
            Self::Relationship => "RELATIONSHIP",
        }
    }

    /// The property that holds the uid.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Entity => "trackedEntity",
            Self::Enrollment => "enrollment",
            Self::Event => "event",
            Self::Relationship => "relationship",
        }
    }

    /// The property of a payload that lists objects of this kind.
    pub(super) fn list(self) -> &'static str {
        match self {
            Self::Entity => "trackedEntities",
            Self::Enrollment => "enrollments",
            Self::Event => "events",
            Self::Relationship => "relationships",
        }
    }
}

/// All that tracker holds.
#[derive(Debug, Default)]
pub(in super::super) struct Tracker {
    pub(super) entities: BTreeMap<String, Entity>,
    pub(super) enrollments: BTreeMap<String, Enrollment>,
    pub(super) events: BTreeMap<String, Event>,
    pub(super) relationships: BTreeMap<String, Relationship>,
    pub(super) jobs: Jobs,
    /// The order in which objects were made.
    pub(super) made: u64,
}

/// What every object has.
#[derive(Debug, Clone)]
pub(super) struct Common {
    /// Rises with each new object.
    pub number: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub created_by: String,
    pub updated_by: String,
    pub deleted: bool,
    pub writes: Vec<Value>,
}

/// A value of an attribute or a data element.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub value: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub by: String,
}

#[derive(Debug, Clone)]
pub(super) struct Entity {
    pub common: Common,
    pub entity_type: String,
    pub org_unit: String,
    pub geometry: Option<Value>,
    pub attributes: BTreeMap<String, Stored>,
}

#[derive(Debug, Clone)]
pub(super) struct Enrollment {
    pub common: Common,
    pub entity: String,
    pub program: String,
    pub org_unit: String,
    pub enrolled: Option<Timestamp>,
    pub occurred: Option<Timestamp>,
    pub status: String,
    pub follow_up: bool,
    pub completed: Option<Timestamp>,
    pub notes: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(super) struct Event {
    pub common: Common,
    pub program: String,
    pub stage: String,
    /// Absent in event programs.
    pub enrollment: Option<String>,
    pub entity: Option<String>,
    pub org_unit: String,
    pub occurred: Option<Timestamp>,
    pub scheduled: Option<Timestamp>,
    pub status: String,
    pub completed: Option<Timestamp>,
    pub geometry: Option<Value>,
    pub values: BTreeMap<String, Stored>,
    pub notes: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(super) struct Relationship {
    pub common: Common,
    pub relationship_type: String,
    pub from: (Kind, String),
    pub to: (Kind, String),
}

impl Tracker {
    /// Whether a uid is deleted; `None` where it was never used.
    pub(super) fn deleted(&self, kind: Kind, uid: &str) -> Option<bool> {
        let common = match kind {
            Kind::Entity => self.entities.get(uid).map(|own| &own.common),
            Kind::Enrollment => self.enrollments.get(uid).map(|own| &own.common),
            Kind::Event => self.events.get(uid).map(|own| &own.common),
            Kind::Relationship => self.relationships.get(uid).map(|own| &own.common),
        };
        common.map(|common| common.deleted)
    }

    /// Whether an object is there and not deleted.
    pub(super) fn holds(&self, kind: Kind, uid: &str) -> bool {
        self.deleted(kind, uid) == Some(false)
    }

    /// The enrolments of a tracked entity that are not deleted.
    pub(super) fn enrollments_of<'a>(
        &'a self,
        entity: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Enrollment)> {
        self.enrollments.iter().filter(move |(_, own)| own.entity == entity && !own.common.deleted)
    }

    /// The events of an enrolment that are not deleted.
    pub(super) fn events_of<'a>(
        &'a self,
        enrollment: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Event)> {
        self.events
            .iter()
            .filter(move |(_, own)| own.enrollment.as_deref() == Some(enrollment) && !own.common.deleted)
    }

    /// The tracked entity that has a value of an attribute, compared case sensitively.
    pub(super) fn owner_of<'a>(&'a self, attribute: &str, value: &str) -> Option<&'a String> {
        let has = |own: &Entity| {
            !own.common.deleted && own.attributes.get(attribute).is_some_and(|stored| stored.value == value)
        };
        self.entities.iter().find(|(_, own)| has(own)).map(|(uid, _)| uid)
    }

    /// Everything, for comparisons with the truth.
    pub fn show(&self) -> Value {
        let entities: Vec<Value> = self
            .entities
            .iter()
            .map(|(uid, own)| {
                tell(
                    &own.common,
                    json!({ "trackedEntity": uid, "trackedEntityType": own.entity_type,
                    "orgUnit": own.org_unit, "attributes": values(&own.attributes) }),
                )
            })
            .collect();
        let enrollments: Vec<Value> = self
            .enrollments
            .iter()
            .map(|(uid, own)| {
                tell(
                    &own.common,
                    json!({ "enrollment": uid, "trackedEntity": own.entity, "program": own.program,
                    "orgUnit": own.org_unit, "status": own.status, "enrolledAt": own.enrolled.map(micros),
                    "occurredAt": own.occurred.map(micros) }),
                )
            })
            .collect();
        let events: Vec<Value> = self
            .events
            .iter()
            .map(|(uid, own)| {
                tell(
                    &own.common,
                    json!({ "event": uid, "program": own.program, "programStage": own.stage,
                    "enrollment": own.enrollment, "trackedEntity": own.entity, "orgUnit": own.org_unit,
                    "occurredAt": own.occurred.map(micros), "scheduledAt": own.scheduled.map(micros),
                    "status": own.status, "dataValues": values(&own.values) }),
                )
            })
            .collect();
        let relationships: Vec<Value> = self
            .relationships
            .iter()
            .map(|(uid, own)| {
                tell(
                    &own.common,
                    json!({ "relationship": uid, "relationshipType": own.relationship_type,
                    "from": own.from.1, "to": own.to.1 }),
                )
            })
            .collect();
        json!({ "trackedEntities": entities, "enrollments": enrollments, "events": events,
            "relationships": relationships })
    }
}

fn tell(common: &Common, mut shown: Value) -> Value {
    shown["deleted"] = common.deleted.into();
    shown["createdBy"] = common.created_by.clone().into();
    shown["writes"] = common.writes.clone().into();
    shown
}

fn values(stored: &BTreeMap<String, Stored>) -> Value {
    stored
        .iter()
        .map(|(id, one)| (id.clone(), Value::from(one.value.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
