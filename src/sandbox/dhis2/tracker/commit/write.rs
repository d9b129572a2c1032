//! Writes one object.
//!
//! Attributes and data values that are not named are kept, empty ones go; everything else is replaced.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::super::super::time::micros;
use super::super::super::state::World;
use super::super::check::{Action, relationship_end};
use super::super::incoming::Item;
use super::super::state::{Common, Enrollment, Entity, Event, Kind, Relationship, Stored};
use super::super::{Import, is_old};

/// Who writes, when, and in which request.
struct Pen<'a> {
    by: &'a str,
    at: Timestamp,
    number: u64,
    action: Action,
}

pub(super) fn write(world: &mut World, import: &Import, item: &Item, action: Action) {
    let pen = Pen { by: &import.user.name, at: world.clock.tick(), number: import.number, action };
    match (action, item.kind) {
        (Action::Delete, kind) => delete(world, &pen, kind, &item.uid),
        (_, Kind::Entity) => entity(world, &pen, item),
        (_, Kind::Enrollment) => enrollment(world, &pen, item),
        (_, Kind::Event) => event(world, &pen, item),
        (_, Kind::Relationship) => relationship(world, &pen, item),
    }
}

impl Pen<'_> {
    /// The common part of an object, new or changed.
    fn mark(&self, world: &mut World, old: Option<&Common>) -> Common {
        let action = match self.action {
            Action::Create => "create",
            Action::Update => "update",
            Action::Delete => "delete",
        };
        let write = json!({ "request": self.number, "at": micros(self.at), "action": action, "by": self.by });
        let mut common = old.cloned().unwrap_or_else(|| {
            world.tracker.made += 1;
            Common {
                number: world.tracker.made,
                created: self.at,
                updated: self.at,
                created_by: self.by.to_owned(),
                updated_by: self.by.to_owned(),
                deleted: false,
                writes: Vec::new(),
            }
        });
        common.updated = self.at;
        self.by.clone_into(&mut common.updated_by);
        common.writes.push(write);
        common
    }

    fn patch<'a>(
        &self,
        stored: &mut BTreeMap<String, Stored>,
        values: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    ) {
        for (id, value) in values {
            let Some(value) = value else {
                stored.remove(id);
                continue;
            };
            let entry = stored.entry(id.to_owned()).or_insert_with(|| Stored {
                value: value.to_owned(),
                created: self.at,
                updated: self.at,
                by: self.by.to_owned(),
            });
            if entry.value != value {
                value.clone_into(&mut entry.value);
                entry.updated = self.at;
                self.by.clone_into(&mut entry.by);
            }
        }
    }
}

fn own(item: &Item, key: &str) -> String {
    item.text(key).unwrap_or("").to_owned()
}

fn geometry(item: &Item) -> Option<Value> {
    item.body.get("geometry").filter(|geometry| !geometry.is_null()).cloned()
}

fn entity(world: &mut World, pen: &Pen<'_>, item: &Item) {
    let old = world.tracker.entities.get(&item.uid).cloned();
    let common = pen.mark(world, old.as_ref().map(|old| &old.common));
    // Since 2.43 another organisation unit is ignored without a word.
    let kept = old.as_ref().filter(|_| !is_old(world.version)).map(|old| old.org_unit.clone());
    let mut attributes = old.map(|old| old.attributes).unwrap_or_default();
    pen.patch(&mut attributes, item.values("attributes", "attribute"));
    let entity = Entity {
        common,
        entity_type: own(item, "trackedEntityType"),
        org_unit: kept.unwrap_or_else(|| own(item, "orgUnit")),
        geometry: geometry(item),
        attributes,
    };
    world.tracker.entities.insert(item.uid.clone(), entity);
}

/// A tracked entity whose enrolments or events change is changed itself.
fn touch(world: &mut World, pen: &Pen<'_>, entity: &str) {
    if let Some(own) = world.tracker.entities.get_mut(entity) {
        own.common.updated = pen.at;
        pen.by.clone_into(&mut own.common.updated_by);
    }
}

fn enrollment(world: &mut World, pen: &Pen<'_>, item: &Item) {
    let old = world.tracker.enrollments.get(&item.uid).cloned();
    let common = pen.mark(world, old.as_ref().map(|old| &old.common));
    let status = item.text("status").unwrap_or("ACTIVE").to_owned();
    let entity = own(item, "trackedEntity");
    if let Some(tracked) = world.tracker.entities.get_mut(&entity) {
        pen.patch(&mut tracked.attributes, item.values("attributes", "attribute"));
    }
    touch(world, pen, &entity);
    let (completed, notes) = old.map(|old| (old.completed, old.notes)).unwrap_or_default();
    let enrollment = Enrollment {
        common,
        entity,
        program: own(item, "program"),
        org_unit: own(item, "orgUnit"),
        enrolled: item.time("enrolledAt"),
        occurred: item.time("occurredAt"),
        follow_up: item.body.get("followUp").and_then(Value::as_bool).unwrap_or(false),
        completed: (status == "COMPLETED").then(|| completed.unwrap_or(pen.at)),
        status,
        notes: noted(notes, item),
    };
    world.tracker.enrollments.insert(item.uid.clone(), enrollment);
}

fn noted(mut notes: Vec<Value>, item: &Item) -> Vec<Value> {
    notes.extend(item.body.get("notes").and_then(Value::as_array).cloned().unwrap_or_default());
    notes
}

fn event(world: &mut World, pen: &Pen<'_>, item: &Item) {
    let found = super::super::check::stage_of(world, item);
    let (program, stage, tracked) = found.unwrap_or_default();
    let old = world.tracker.events.get(&item.uid).cloned();
    let common = pen.mark(world, old.as_ref().map(|old| &old.common));
    // An enrolment named in an event of an event program is ignored.
    let enrollment = item.text("enrollment").filter(|_| tracked).map(str::to_owned);
    let entity =
        enrollment.as_ref().and_then(|id| world.tracker.enrollments.get(id)).map(|own| own.entity.clone());
    if let Some(entity) = &entity {
        touch(world, pen, entity);
    }
    let status = item.text("status").unwrap_or("ACTIVE").to_owned();
    let (mut values, completed, notes) =
        old.map(|old| (old.values, old.completed, old.notes)).unwrap_or_default();
    pen.patch(&mut values, item.values("dataValues", "dataElement"));
    let event = Event {
        common,
        program,
        stage,
        enrollment,
        entity,
        org_unit: own(item, "orgUnit"),
        occurred: item.time("occurredAt"),
        scheduled: item.time("scheduledAt"),
        completed: (status == "COMPLETED").then(|| completed.unwrap_or(pen.at)),
        status,
        geometry: geometry(item),
        values,
        notes: noted(notes, item),
    };
    world.tracker.events.insert(item.uid.clone(), event);
}

fn relationship(world: &mut World, pen: &Pen<'_>, item: &Item) {
    let old = world.tracker.relationships.get(&item.uid).map(|old| old.common.clone());
    let common = pen.mark(world, old.as_ref());
    let end = |key: &str| relationship_end(item, key).map(|(kind, uid)| (kind, uid.to_owned()));
    let (Some(from), Some(to)) = (end("from"), end("to")) else { return };
    let relationship = Relationship { common, relationship_type: own(item, "relationshipType"), from, to };
    world.tracker.relationships.insert(item.uid.clone(), relationship);
}

/// Marks an object and all below it.
fn delete(world: &mut World, pen: &Pen<'_>, kind: Kind, uid: &str) {
    let below: Vec<(Kind, String)> = match kind {
        Kind::Entity => {
            let own = world.tracker.enrollments_of(uid);
            own.map(|(uid, _)| (Kind::Enrollment, uid.clone())).collect()
        }
        Kind::Enrollment => world.tracker.events_of(uid).map(|(uid, _)| (Kind::Event, uid.clone())).collect(),
        Kind::Event | Kind::Relationship => Vec::new(),
    };
    for (kind, uid) in below {
        delete(world, pen, kind, &uid);
    }
    let ends = |own: &Relationship| [&own.from, &own.to].iter().any(|end| end.0 == kind && end.1 == uid);
    let related: Vec<String> = world
        .tracker
        .relationships
        .iter()
        .filter(|(_, own)| !own.common.deleted && ends(own))
        .map(|(uid, _)| uid.clone())
        .collect();
    for uid in related {
        delete(world, pen, Kind::Relationship, &uid);
    }
    mark_deleted(world, pen, kind, uid);
}

fn mark_deleted(world: &mut World, pen: &Pen<'_>, kind: Kind, uid: &str) {
    let common = match kind {
        Kind::Entity => world.tracker.entities.get(uid).map(|own| own.common.clone()),
        Kind::Enrollment => world.tracker.enrollments.get(uid).map(|own| own.common.clone()),
        Kind::Event => world.tracker.events.get(uid).map(|own| own.common.clone()),
        Kind::Relationship => world.tracker.relationships.get(uid).map(|own| own.common.clone()),
    };
    let Some(common) = common else { return };
    let mut common = pen.mark(world, Some(&common));
    common.deleted = true;
    let tracker = &mut world.tracker;
    let place = match kind {
        Kind::Entity => tracker.entities.get_mut(uid).map(|own| &mut own.common),
        Kind::Enrollment => tracker.enrollments.get_mut(uid).map(|own| &mut own.common),
        Kind::Event => tracker.events.get_mut(uid).map(|own| &mut own.common),
        Kind::Relationship => tracker.relationships.get_mut(uid).map(|own| &mut own.common),
    };
    if let Some(place) = place {
        *place = common;
    }
}
