//! Objects as they are shown, with all that a request may ask of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::super::super::time::millis;
use super::super::super::country::DEFAULT_OPTION_COMBO;
use super::super::super::state::World;
use super::super::is_old;
use super::super::state::{Common, Enrollment, Event, Kind, Stored};
use super::List;

/// The category option of the default combination.
const DEFAULT_OPTION: &str = "xYerKDKCefk";

/// An object; empty where it is not there.
pub(super) fn object(world: &World, list: List, uid: &str, program: Option<&str>) -> Value {
    let shown = match list {
        List::Entities => entity(world, uid, program),
        List::Enrollments => world.tracker.enrollments.get(uid).map(|own| enrollment(world, uid, own)),
        List::Relationships => relationship(world, uid),
        List::Events | List::SingleEvents | List::TrackerEvents => {
            world.tracker.events.get(uid).map(|own| event(world, list, uid, own))
        }
    };
    shown.unwrap_or_default().into()
}

fn put(into: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    into.insert(key.to_owned(), value.into());
}

fn user(world: &World, name: &str) -> Value {
    let uid = world.users.iter().find(|own| own.name == name).map_or("", |own| own.id.as_str());
    json!({ "uid": uid, "username": name, "firstName": name, "surname": name })
}

fn people(world: &World, shown: &mut Map<String, Value>, common: &Common) {
    put(shown, "createdBy", user(world, &common.created_by));
    put(shown, "updatedBy", user(world, &common.updated_by));
}

fn entity(world: &World, uid: &str, program: Option<&str>) -> Option<Map<String, Value>> {
    let mut shown = alone(world, uid, program)?;
    let mut related = related(world, Kind::Entity, uid);
    for relationship in &mut related {
        for end in ["from", "to"] {
            let named = relationship[end]["trackedEntity"]["trackedEntity"].as_str().map(str::to_owned);
            if let Some(whole) = named.and_then(|uid| alone(world, &uid, None)) {
                relationship[end]["trackedEntity"] = whole.into();
            }
        }
    }
    put(&mut shown, "relationships", related);
    Some(shown)
}

/// A tracked entity without its relationships.
fn alone(world: &World, uid: &str, program: Option<&str>) -> Option<Map<String, Value>> {
    let own = world.tracker.entities.get(uid)?;
    let mut shown = Map::new();
    put(&mut shown, "trackedEntity", uid);
    put(&mut shown, "trackedEntityType", own.entity_type.as_str());
    put(&mut shown, "createdAt", millis(own.common.created));
    put(&mut shown, "updatedAt", millis(own.common.updated));
    put(&mut shown, "orgUnit", own.org_unit.as_str());
    put(&mut shown, "inactive", false);
    put(&mut shown, "deleted", own.common.deleted);
    put(&mut shown, "potentialDuplicate", false);
    if let Some(geometry) = &own.geometry {
        put(&mut shown, "geometry", geometry.clone());
    }
    people(world, &mut shown, &own.common);
    let enrollments: Vec<(&String, &Enrollment)> = world
        .tracker
        .enrollments_of(uid)
        .filter(|(_, one)| program.is_none_or(|program| one.program == program))
        .collect();
    put(&mut shown, "attributes", attributes(world, &own.attributes, &own.entity_type, program));
    let owners: Vec<Value> = enrollments
        .iter()
        .map(|(_, one)| json!({ "orgUnit": one.org_unit, "trackedEntity": uid, "program": one.program }))
        .collect();
    let enrollments: Vec<Value> =
        enrollments.into_iter().map(|(uid, own)| enrollment(world, uid, own).into()).collect();
    put(&mut shown, "enrollments", enrollments);
    put(&mut shown, "programOwners", owners);
    Some(shown)
}

/// Attributes of the type; with a program also those of the program.
fn attributes(
    world: &World,
    stored: &BTreeMap<String, Stored>,
    entity_type: &str,
    program: Option<&str>,
) -> Vec<Value> {
    let of_type = world.country.entity_type(entity_type).map_or(&[][..], |kind| kind.attributes.as_slice());
    let of_program = program.and_then(|id| world.country.program(id));
    let of_program = of_program.map_or(&[][..], |program| program.attributes.as_slice());
    let used = |id: &str| of_type.iter().chain(of_program).any(|one| one.attribute == id);
    stored
        .iter()
        .filter(|(id, _)| used(id))
        .map(|(id, one)| {
            let attribute = world.country.attribute(id);
            let mut shown = Map::new();
            put(&mut shown, "attribute", id.as_str());
            put(&mut shown, "code", attribute.map_or("", |own| own.code.as_str()));
            put(&mut shown, "displayName", attribute.map_or("", |own| own.name.as_str()));
            put(&mut shown, "createdAt", millis(one.created));
            put(&mut shown, "updatedAt", millis(one.updated));
            if !is_old(world.version) {
                put(&mut shown, "storedBy", one.by.as_str());
            }
            put(&mut shown, "valueType", attribute.map_or("", |own| own.value_type.as_str()));
            put(&mut shown, "value", one.value.as_str());
            shown.into()
        })
        .collect()
}

fn unit(world: &World, shown: &mut Map<String, Value>, id: &str) {
    put(shown, "orgUnit", id);
    if is_old(world.version) {
        put(shown, "orgUnitName", world.country.unit(id).map_or("", |own| own.name.as_str()));
    }
}

fn enrollment(world: &World, uid: &str, own: &Enrollment) -> Map<String, Value> {
    let new = !is_old(world.version);
    let mut shown = Map::new();
    put(&mut shown, "enrollment", uid);
    put(&mut shown, "createdAt", millis(own.common.created));
    put(&mut shown, "updatedAt", millis(own.common.updated));
    put(&mut shown, "trackedEntity", own.entity.as_str());
    put(&mut shown, "program", own.program.as_str());
    put(&mut shown, "status", own.status.as_str());
    unit(world, &mut shown, &own.org_unit);
    for (key, at) in [("enrolledAt", own.enrolled), ("occurredAt", own.occurred)] {
        if let Some(at) = at {
            put(&mut shown, key, millis(at));
        }
    }
    put(&mut shown, "followUp", own.follow_up);
    completed(&mut shown, own.completed, &own.common);
    put(&mut shown, "deleted", own.common.deleted);
    if new {
        put(&mut shown, "storedBy", own.common.created_by.as_str());
    }
    people(world, &mut shown, &own.common);
    if new {
        put(&mut shown, "attributeOptionCombo", DEFAULT_OPTION_COMBO);
    }
    let events: Vec<Value> =
        world.tracker.events_of(uid).map(|(uid, own)| event(world, List::Events, uid, own).into()).collect();
    put(&mut shown, "events", events);
    put(&mut shown, "relationships", related(world, Kind::Enrollment, uid));
    let entity = world.tracker.entities.get(&own.entity);
    let attributes = entity
        .map(|tracked| attributes(world, &tracked.attributes, &tracked.entity_type, Some(&own.program)));
    put(&mut shown, "attributes", attributes.unwrap_or_default());
    put(&mut shown, "notes", own.notes.clone());
    shown
}

fn completed(shown: &mut Map<String, Value>, at: Option<jiff::Timestamp>, common: &Common) {
    if let Some(at) = at {
        put(shown, "completedBy", common.updated_by.as_str());
        put(shown, "completedAt", millis(at));
    }
}

fn event(world: &World, list: List, uid: &str, own: &Event) -> Map<String, Value> {
    let new = !is_old(world.version);
    let single = list == List::SingleEvents;
    let mut shown = Map::new();
    put(&mut shown, "event", uid);
    put(&mut shown, "status", own.status.as_str());
    put(&mut shown, "program", own.program.as_str());
    if !single {
        put(&mut shown, "programStage", own.stage.as_str());
    }
    for (key, id) in [("enrollment", &own.enrollment), ("trackedEntity", &own.entity)] {
        if let Some(id) = id {
            put(&mut shown, key, id.as_str());
        }
    }
    unit(world, &mut shown, &own.org_unit);
    put(&mut shown, "relationships", related(world, Kind::Event, uid));
    for (key, at) in [("occurredAt", own.occurred), ("scheduledAt", own.scheduled)] {
        if let Some(at) = at {
            put(&mut shown, key, millis(at));
        }
    }
    if new {
        put(&mut shown, "storedBy", own.common.created_by.as_str());
    }
    if !single {
        put(&mut shown, if new { "followUp" } else { "followup" }, false);
    }
    put(&mut shown, "deleted", own.common.deleted);
    put(&mut shown, "createdAt", millis(own.common.created));
    put(&mut shown, "updatedAt", millis(own.common.updated));
    put(&mut shown, "attributeOptionCombo", DEFAULT_OPTION_COMBO);
    if list == List::Events {
        put(&mut shown, "attributeCategoryOptions", DEFAULT_OPTION);
    }
    if let Some(geometry) = &own.geometry {
        put(&mut shown, "geometry", geometry.clone());
    }
    completed(&mut shown, own.completed, &own.common);
    if !new {
        put(&mut shown, "assignedUser", json!({}));
    }
    people(world, &mut shown, &own.common);
    put(&mut shown, "dataValues", data_values(world, &own.values));
    put(&mut shown, "notes", own.notes.clone());
    shown
}

fn data_values(world: &World, stored: &BTreeMap<String, Stored>) -> Vec<Value> {
    let of = |(id, one): (&String, &Stored)| {
        let mut shown = Map::new();
        put(&mut shown, "createdAt", millis(one.created));
        put(&mut shown, "updatedAt", millis(one.updated));
        if !is_old(world.version) {
            put(&mut shown, "storedBy", one.by.as_str());
        }
        put(&mut shown, "providedElsewhere", false);
        put(&mut shown, "dataElement", id.as_str());
        put(&mut shown, "value", one.value.as_str());
        if !is_old(world.version) {
            put(&mut shown, "createdBy", user(world, &one.by));
            put(&mut shown, "updatedBy", user(world, &one.by));
        }
        shown.into()
    };
    stored.iter().map(of).collect()
}

fn related(world: &World, kind: Kind, uid: &str) -> Vec<Value> {
    let at = |end: &(Kind, String)| end.0 == kind && end.1 == uid;
    let own = world
        .tracker
        .relationships
        .iter()
        .filter(|(_, one)| !one.common.deleted && (at(&one.from) || at(&one.to)));
    own.filter_map(|(uid, _)| relationship(world, uid).map(Value::from)).collect()
}

fn relationship(world: &World, uid: &str) -> Option<Map<String, Value>> {
    let own = world.tracker.relationships.get(uid)?;
    let kind = world.country.relationship_type(&own.relationship_type);
    let end = |(kind, uid): &(Kind, String)| json!({ kind.key(): { kind.key(): uid } });
    let mut shown = Map::new();
    put(&mut shown, "relationship", uid);
    put(&mut shown, "relationshipName", kind.map_or("", |kind| kind.name.as_str()));
    put(&mut shown, "relationshipType", own.relationship_type.as_str());
    put(&mut shown, "createdAt", millis(own.common.created));
    put(&mut shown, "updatedAt", millis(own.common.updated));
    put(&mut shown, "bidirectional", kind.is_some_and(|kind| kind.bidirectional));
    put(&mut shown, "from", end(&own.from));
    put(&mut shown, "to", end(&own.to));
    Some(shown)
}
