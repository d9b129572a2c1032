//! Events.

use super::super::super::Version;
use super::super::super::country::programs::{Program, Stage};
use super::super::is_old;
use super::super::state::Kind;
use super::{Action, Case};

const WITHOUT_VALUES: &[&str] = &["SCHEDULE", "SKIPPED", "OVERDUE"];

impl<'a> Case<'a> {
    pub(super) fn event(&mut self) {
        let found = self.program_and_stage();
        let unit = self.unit("E1123", "E1011");
        let (Some((program, stage)), Some(unit)) = (found, unit) else { return };
        self.program_access(&program.id);
        if !program.units.iter().any(|own| own == unit) {
            self.refuse("E1029", &[unit, &program.id]);
        }
        if program.entity_type.is_some() {
            self.event_enrollment(program);
            self.repeated();
        } else if self.version() == Version::V2_43
            && let Some(status) = self.item.text("status").filter(|own| WITHOUT_VALUES.contains(own))
        {
            self.refuse("E1318", &[status]);
        }
        self.event_dates();
        self.event_changes(stage);
        let combo = self.item.text("attributeOptionCombo");
        if let Some(combo) = combo.filter(|id| self.world.country.option_combo(id).is_none()) {
            self.refuse("E1115", &[combo]);
        }
        self.geometry(&stage.feature_type);
        self.event_values(stage);
    }

    /// The program may be left out where the stage is named; so may the stage of an event program.
    pub(super) fn program_and_stage(&mut self) -> Option<(&'a Program, &'a Stage)> {
        let (program, stage) = (self.item.text("program"), self.item.text("programStage"));
        let found = match (program, stage) {
            (_, Some(stage)) => self.world.country.stage(stage),
            (Some(program), None) => self
                .world
                .country
                .program(program)
                .filter(|program| program.entity_type.is_none())
                .and_then(|program| Some((program, program.stages.first()?))),
            (None, None) => None,
        };
        if let (None, Some(stage)) = (found, stage) {
            self.refuse("E1013", &[stage]);
        } else if found.is_none() {
            self.refuse("E1123", &["programStage"]);
        }
        if let Some(program) = program.filter(|id| self.world.country.program(id).is_none()) {
            self.refuse("E1010", &[program]);
            return None;
        }
        if let (Some((own, stage)), Some(program)) = (found, program)
            && own.id != program
        {
            self.refuse("E1089", &[&self.item.uid, &stage.id, program]);
            return None;
        }
        found
    }

    fn event_enrollment(&mut self, program: &Program) {
        let uid = self.item.uid.as_str();
        let Some(enrollment) = self.item.text("enrollment") else {
            self.refuse("E1033", &[uid]);
            self.refuse("E1313", &[uid]);
            return;
        };
        let sent = self.import.payload.names(Kind::Enrollment, enrollment);
        let stored = self.world.tracker.enrollments.get(enrollment).filter(|own| !own.common.deleted);
        let of = stored.map(|own| own.program.as_str()).or_else(|| sent?.text("program"));
        if of != Some(program.id.as_str()) {
            self.refuse("E1079", &[uid, &program.id, enrollment]);
        }
        if of.is_none() {
            self.refuse("E1313", &[uid]);
        }
    }

    /// A stage that is not repeatable takes one event an enrolment.
    pub(super) fn repeated(&mut self) {
        let found = self.item.text("programStage").and_then(|stage| self.world.country.stage(stage));
        let Some((program, stage)) =
            found.filter(|(program, stage)| program.entity_type.is_some() && !stage.repeatable)
        else {
            return;
        };
        let Some(enrollment) = self.item.text("enrollment") else { return };
        if self.action != Action::Create || self.item.text("program").is_some_and(|own| own != program.id) {
            return;
        }
        let own = self.item.uid.as_str();
        let same = |of: &str| of == stage.id;
        let stored = self
            .world
            .tracker
            .events_of(enrollment)
            .any(|(uid, event)| same(&event.stage) && (is_old(self.version()) || uid != own));
        let sent = self.import.payload.of(Kind::Event).any(|other| {
            other.uid != own
                && other.text("enrollment") == Some(enrollment)
                && other.text("programStage").is_some_and(same)
        });
        if stored || sent {
            self.refuse("E1039", &[&stage.id]);
        }
    }

    fn event_dates(&mut self) {
        let scheduled = self.item.text("status") == Some("SCHEDULE");
        if scheduled && self.item.time("scheduledAt").is_none() {
            self.refuse("E1050", &[]);
        }
        if !scheduled && self.item.time("occurredAt").is_none() {
            self.refuse("E1031", &[]);
        }
    }

    /// What an update may not change.
    fn event_changes(&mut self, stage: &Stage) {
        let Some(stored) = self.world.tracker.events.get(&self.item.uid) else { return };
        if stored.stage != stage.id {
            self.refuse("E1128", &["programStage"]);
        }
        let given = self.item.text("enrollment");
        if stored.enrollment.is_some() && given.is_some_and(|own| Some(own) != stored.enrollment.as_deref()) {
            self.refuse("E1128", &["enrollment"]);
        }
        let status = self.item.text("status").unwrap_or("ACTIVE");
        if WITHOUT_VALUES.contains(&status) && !WITHOUT_VALUES.contains(&stored.status.as_str()) {
            self.refuse("E1316", &[&stored.status, status]);
        }
    }

    fn event_values(&mut self, stage: &'a Stage) {
        let item = self.item;
        let status = item.text("status").unwrap_or("ACTIVE");
        let values: Vec<(&'a str, Option<&'a str>)> = item.values("dataValues", "dataElement").collect();
        if WITHOUT_VALUES.contains(&status) && !values.is_empty() {
            self.refuse("E1315", &[status, "[ACTIVE, COMPLETED, VISITED]"]);
        }
        for (id, value) in &values {
            if self.world.country.element(id).is_none() {
                self.refuse("E1304", &[id]);
            }
            let used = stage.elements.iter().find(|one| one.element == *id);
            match (used, value) {
                (None, _) => self.refuse("E1305", &[id, &stage.id]),
                (Some(used), None) if used.compulsory => self.refuse("E1076", &["DataElement", id]),
                (Some(_), Some(value)) => self.data_value(id, value),
                _ => {}
            }
        }
        if status == "COMPLETED" {
            self.compulsory(stage, &values);
        }
    }

    /// A completed event has its compulsory values; since 2.41 those that are stored count.
    fn compulsory(&mut self, stage: &Stage, values: &[(&str, Option<&str>)]) {
        let stored = self.world.tracker.events.get(&self.item.uid).filter(|_| !is_old(self.version()));
        for one in stage.elements.iter().filter(|one| one.compulsory) {
            let sent = values.iter().any(|(id, _)| *id == one.element);
            if !sent && !stored.is_some_and(|own| own.values.contains_key(&one.element)) {
                self.refuse("E1303", &[&one.element]);
            }
        }
    }
}
