//! Enrolments.

use jiff::Timestamp;

use super::super::super::country::programs::Program;
use super::super::state::Kind;
use super::{Action, Case, shown};

impl<'a> Case<'a> {
    pub(super) fn enrollment(&mut self) {
        let program = self.enrolled_program();
        let unit = self.unit("E1122", "E1070");
        let entity = self.enrolled_entity();
        let (Some(program), Some(unit), Some(entity)) = (program, unit, entity) else { return };
        self.program_access(&program.id);
        if !program.units.iter().any(|own| own == unit) {
            self.refuse("E1041", &[unit, &program.id]);
        }
        let type_of = self.type_of(entity);
        if type_of.is_some_and(|kind| Some(kind) != program.entity_type.as_deref()) {
            self.refuse("E1022", &[entity, &program.id]);
        }
        let stored = self.world.tracker.enrollments.get(&self.item.uid);
        if let (Action::Update, Some(stored)) = (self.action, stored) {
            for (key, own, given) in
                [("program", &stored.program, program.id.as_str()), ("trackedEntity", &stored.entity, entity)]
            {
                if own != given {
                    self.refuse("E1127", &[key]);
                }
            }
        }
        self.enrollment_dates(program);
        self.enrolled_twice(program, entity);
        self.enrollment_attributes(program, entity);
    }

    fn enrolled_program(&mut self) -> Option<&'a Program> {
        let Some(id) = self.item.text("program") else {
            self.refuse("E1122", &["program"]);
            return None;
        };
        let Some(program) = self.world.country.program(id) else {
            self.refuse("E1069", &[id]);
            return None;
        };
        if program.entity_type.is_none() {
            self.refuse("E1014", &[id]);
        }
        Some(program)
    }

    fn enrolled_entity(&mut self) -> Option<&'a str> {
        let Some(entity) = self.item.text("trackedEntity") else {
            self.refuse("E1122", &["trackedEntity"]);
            return None;
        };
        let known = self.world.tracker.holds(Kind::Entity, entity)
            || self.import.payload.names(Kind::Entity, entity).is_some();
        if !known {
            self.refuse("E1068", &[entity]);
            return None;
        }
        Some(entity)
    }

    fn type_of(&self, entity: &str) -> Option<&'a str> {
        let stored = self.world.tracker.entities.get(entity).map(|own| own.entity_type.as_str());
        stored.or_else(|| self.import.payload.names(Kind::Entity, entity)?.text("trackedEntityType"))
    }

    fn enrollment_dates(&mut self, program: &Program) {
        let now = Timestamp::now();
        match self.item.time("enrolledAt") {
            None => self.refuse("E1025", &["NULL"]),
            Some(at) if at > now => self.refuse("E1020", &[&shown(at)]),
            Some(_) => {}
        }
        match self.item.time("occurredAt") {
            None if program.incident_date => self.refuse("E1023", &["NULL"]),
            Some(at) if at > now => self.refuse("E1021", &[&shown(at)]),
            _ => {}
        }
    }

    /// One active enrolment at a time; in some programs one for ever.
    fn enrolled_twice(&mut self, program: &Program, entity: &str) {
        let status = self.item.text("status").unwrap_or("ACTIVE");
        if status == "CANCELLED" {
            return;
        }
        let own = self.item.uid.as_str();
        let stored = self.world.tracker.enrollments_of(entity);
        let stored = stored.map(|(uid, one)| (uid.as_str(), one.program.as_str(), one.status.as_str()));
        let sent = self.import.payload.of(Kind::Enrollment);
        let sent = sent.filter(|one| one.text("trackedEntity") == Some(entity)).map(|one| {
            (one.uid.as_str(), one.text("program").unwrap_or(""), one.text("status").unwrap_or("ACTIVE"))
        });
        let others: Vec<&str> = stored
            .chain(sent)
            .filter(|(uid, of, status)| *uid != own && *of == program.id && *status != "CANCELLED")
            .map(|(_, _, status)| status)
            .collect();
        if status == "ACTIVE" && others.contains(&"ACTIVE") {
            self.refuse("E1015", &[entity, &program.id]);
        }
        if program.enrol_once && !others.is_empty() {
            self.refuse("E1016", &[entity, &program.id]);
        }
    }

    fn enrollment_attributes(&mut self, program: &Program, entity: &str) {
        let item = self.item;
        for (id, value) in item.values("attributes", "attribute") {
            let used = program.attributes.iter().find(|one| one.attribute == id);
            if used.is_none() && self.world.country.attribute(id).is_some() {
                self.refuse("E1019", &[id]);
                continue;
            }
            self.attribute_value(id, value, used.is_some_and(|one| one.mandatory));
        }
        for one in program.attributes.iter().filter(|one| one.mandatory) {
            let id = one.attribute.as_str();
            let stored = self.world.tracker.entities.get(entity);
            let sent = self.import.payload.names(Kind::Entity, entity);
            let named = item.values("attributes", "attribute").any(|(own, _)| own == id)
                || stored.is_some_and(|own| own.attributes.contains_key(id))
                || sent.is_some_and(|own| own.values("attributes", "attribute").any(|(own, _)| own == id));
            if !named {
                self.refuse("E1018", &[id, &program.id, &item.uid]);
            }
        }
    }
}
