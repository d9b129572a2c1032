//! Which objects a list holds.

use super::super::super::super::http::{Answer, Request};
use super::super::super::state::World;
use super::super::super::summary::coded;
use super::super::is_old;
use super::super::state::{Common, Enrollment, Event};
use super::List;
use super::query::{self, Condition, Scope};

/// The uids of a list, in no order.
pub(super) fn select(
    world: &World,
    request: &Request,
    list: List,
    scope: &Scope,
) -> Result<Vec<String>, Answer> {
    let common = Asked::read(world, request, list)?;
    match list {
        List::Entities => entities(world, request, scope, &common),
        List::Enrollments => enrollments(world, request, scope, &common),
        List::Relationships => Ok(relationships(world, request, &common)),
        List::Events | List::SingleEvents | List::TrackerEvents => {
            events(world, request, (list, scope), &common)
        }
    }
}

/// What every list may be asked.
struct Asked {
    after: Option<jiff::Timestamp>,
    uids: Option<Vec<String>>,
    with_deleted: bool,
}

impl Asked {
    fn read(world: &World, request: &Request, list: List) -> Result<Self, Answer> {
        let (name, separator) = match (list, is_old(world.version)) {
            (List::Entities, true) => ("trackedEntity", ';'),
            (List::Entities, false) => ("trackedEntities", ','),
            (List::Enrollments, true) => ("enrollment", ';'),
            (List::Enrollments, false) => ("enrollments", ','),
            (List::Relationships, _) => ("relationships", ','),
            (_, true) => ("event", ';'),
            (_, false) => ("events", ','),
        };
        Ok(Self {
            after: query::changed_after(request)?,
            uids: query::uids(world, request, name, separator)?,
            with_deleted: request.flag("includeDeleted"),
        })
    }

    fn fits(&self, uid: &str, common: &Common) -> bool {
        (self.with_deleted || !common.deleted)
            && self.after.is_none_or(|after| common.updated > after)
            && self.uids.as_ref().is_none_or(|uids| uids.iter().any(|own| own == uid))
    }
}

/// `programStatus` is still read by 2.43.
fn enrollment_status(request: &Request) -> Option<&str> {
    request.parameter("enrollmentStatus").or_else(|| request.parameter("programStatus"))
}

fn entities(world: &World, request: &Request, scope: &Scope, asked: &Asked) -> Result<Vec<String>, Answer> {
    let conditions = query::conditions(world, request, "filter")?;
    known_attributes(world, &conditions)?;
    let program = request.parameter("program");
    let kind = request.parameter("trackedEntityType");
    let in_program = |entity: &str| {
        let fits = |own: &Enrollment| {
            Some(own.program.as_str()) == program
                && enrollment_status(request).is_none_or(|status| own.status == status)
        };
        let all = world.tracker.enrollments.values();
        program.is_none()
            || all
                .clone()
                .any(|own| own.entity == entity && (asked.with_deleted || !own.common.deleted) && fits(own))
    };
    let found = world.tracker.entities.iter().filter(|(uid, own)| {
        asked.fits(uid, &own.common)
            && kind.is_none_or(|kind| own.entity_type == kind)
            && scope.holds(world, &own.org_unit)
            && conditions
                .iter()
                .all(|one| one.holds(own.attributes.get(&one.of).map(|stored| stored.value.as_str())))
            && in_program(uid)
    });
    Ok(found.map(|(uid, _)| uid.clone()).collect())
}

fn known_attributes(world: &World, conditions: &[Condition]) -> Result<(), Answer> {
    let unknown = conditions.iter().find(|one| world.country.attribute(&one.of).is_none());
    let Some(unknown) = unknown else { return Ok(()) };
    let text = if is_old(world.version) {
        format!("Attribute does not exist: {}", unknown.of)
    } else {
        format!("attribute filters are invalid. Tracked entity attribute '{}' does not exist.", unknown.of)
    };
    Err(coded(400, &text, "E1003"))
}

fn enrollments(
    world: &World,
    request: &Request,
    scope: &Scope,
    asked: &Asked,
) -> Result<Vec<String>, Answer> {
    let mut found = Vec::new();
    let program = request.parameter("program");
    let status = if is_old(world.version) {
        request.parameter("programStatus")
    } else {
        request.parameter("status").or_else(|| enrollment_status(request))
    };
    let entity = request.parameter("trackedEntity");
    for (uid, own) in &world.tracker.enrollments {
        if asked.fits(uid, &own.common)
            && program.is_none_or(|program| own.program == program)
            && status.is_none_or(|status| own.status == status)
            && entity.is_none_or(|entity| own.entity == entity)
            && scope.holds(world, &own.org_unit)
            && query::between(request, "enrolled", own.enrolled)?
        {
            found.push(uid.clone());
        }
    }
    Ok(found)
}

fn events(
    world: &World,
    request: &Request,
    (list, scope): (List, &Scope),
    asked: &Asked,
) -> Result<Vec<String>, Answer> {
    let conditions = query::conditions(world, request, "filter")?;
    let is = |name: &str, own: &str| request.parameter(name).is_none_or(|wanted| wanted == own);
    let optional = |name: &str, own: &Option<String>| {
        request.parameter(name).is_none_or(|wanted| own.as_deref() == Some(wanted))
    };
    let of_list = |own: &Event| match list {
        List::SingleEvents => own.enrollment.is_none(),
        List::TrackerEvents => own.enrollment.is_some(),
        _ => true,
    };
    let enrollments = query::uids(world, request, "enrollments", ',')?.filter(|_| !is_old(world.version));
    let mut found = Vec::new();
    for (uid, own) in &world.tracker.events {
        if asked.fits(uid, &own.common)
            && of_list(own)
            && is("program", &own.program)
            && is("programStage", &own.stage)
            && is("status", &own.status)
            && optional("trackedEntity", &own.entity)
            && enrollments
                .as_ref()
                .is_none_or(|all| all.iter().any(|one| own.enrollment.as_ref() == Some(one)))
            && scope.holds(world, &own.org_unit)
            && conditions
                .iter()
                .all(|one| one.holds(own.values.get(&one.of).map(|stored| stored.value.as_str())))
            && query::between(request, "occurred", own.occurred)?
            && query::between(request, "scheduled", own.scheduled)?
        {
            found.push(uid.clone());
        }
    }
    Ok(found)
}

fn relationships(world: &World, request: &Request, asked: &Asked) -> Vec<String> {
    let wanted = ["trackedEntity", "enrollment", "event"].iter().find_map(|name| request.parameter(name));
    let found = world.tracker.relationships.iter().filter(|(uid, own)| {
        asked.fits(uid, &own.common) && wanted.is_some_and(|uid| own.from.1 == uid || own.to.1 == uid)
    });
    found.map(|(uid, _)| uid.clone()).collect()
}
