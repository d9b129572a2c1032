//! What is refused, object by object.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::super::faults::Effect;
use super::super::Version;
use super::super::state::{User, World};
use super::incoming::{Item, is_uid};
use super::options::{Strategy, Validation};
use super::problem::Problem;
use super::state::Kind;
use super::{Import, is_old};

// Enrolments.
mod enrollment;
// Tracked entities.
mod entity;
// Events.
mod event;
// Relationships.
mod relationship;
// Values of attributes and data elements.
mod value;

/// What is done with one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Update,
    Delete,
}

/// The result of a check: positions in the payload.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub good: Vec<(usize, Action)>,
    /// Refused with an error of their own, or because of their parent.
    pub bad: Vec<usize>,
    /// Neither stored nor told of: the parent was refused because of its own parent.
    pub silent: Vec<usize>,
    pub problems: Vec<Problem>,
}

/// What a check of one object knows.
pub(super) struct Case<'a> {
    pub world: &'a World,
    pub import: &'a Import,
    pub item: &'a Item,
    pub action: Action,
    pub problems: Vec<Problem>,
}

/// Checks a payload against what is stored now.
pub(super) fn check(world: &World, import: &Import) -> Checked {
    let mut checked = Checked::default();
    let mut invalid: BTreeSet<(Kind, &str)> = BTreeSet::new();
    let mut lost: BTreeSet<(Kind, &str)> = BTreeSet::new();
    for (at, item) in import.payload.items.iter().enumerate() {
        let (action, mut problems) = judge(world, import, item);
        if import.options.validation == Validation::FailFast {
            problems.truncate(1);
        }
        let own = (item.kind, item.uid.as_str());
        if !problems.is_empty() {
            invalid.insert(own);
            checked.bad.push(at);
            checked.problems.append(&mut problems);
            continue;
        }
        match item.parent() {
            Some(parent) if invalid.contains(&parent) => {
                let (kind, uid) = parent;
                let arguments = [item.kind.key(), &item.uid, kind.key(), uid];
                let because = Problem::new(world.version, "E5000", (item.kind, &item.uid), &arguments);
                checked.problems.push(because);
                checked.bad.push(at);
                lost.insert(own);
            }
            Some(parent) if lost.contains(&parent) => {
                checked.silent.push(at);
                lost.insert(own);
            }
            _ => checked.good.push((at, action)),
        }
    }
    checked
}

fn judge(world: &World, import: &Import, item: &Item) -> (Action, Vec<Problem>) {
    let exists = world.tracker.deleted(item.kind, &item.uid);
    let action = match import.options.strategy {
        Strategy::Delete => Action::Delete,
        Strategy::Create => Action::Create,
        Strategy::Update => Action::Update,
        Strategy::CreateAndUpdate if exists.is_some() => Action::Update,
        Strategy::CreateAndUpdate => Action::Create,
    };
    let skipped =
        import.options.validation == Validation::Skip && (is_old(world.version) || import.user.may("ALL"));
    if skipped {
        return (action, Vec::new());
    }
    let mut case = Case { world, import, item, action, problems: Vec::new() };
    if case.existence(exists) {
        match (item.kind, action) {
            (_, Action::Delete) => case.deletion(),
            (Kind::Entity, _) => case.entity(),
            (Kind::Enrollment, _) => case.enrollment(),
            (Kind::Event, _) => case.event(),
            (Kind::Relationship, _) => case.relationship(),
        }
        case.fault();
    } else if is_old(world.version) && item.kind == Kind::Event && action == Action::Create {
        case.repeated();
    }
    (action, case.problems)
}

impl<'a> Case<'a> {
    fn version(&self) -> Version {
        self.world.version
    }

    fn user(&self) -> &'a User {
        &self.import.user
    }

    /// Notes a problem of the object.
    fn refuse(&mut self, code: &'static str, arguments: &[&str]) {
        let problem = Problem::new(self.version(), code, (self.item.kind, &self.item.uid), arguments);
        self.problems.push(problem);
    }

    /// Whether the object may go on: it is there if it must be, and is not deleted.
    fn existence(&mut self, exists: Option<bool>) -> bool {
        let uid = self.item.uid.as_str();
        if is_old(self.version()) && !is_uid(uid) {
            self.refuse("E1048", &[uid, uid]);
            return false;
        }
        // already exists, does not exist, is deleted
        let codes = match self.item.kind {
            Kind::Entity => ("E1002", "E1063", "E1114"),
            Kind::Enrollment => ("E1080", "E1081", "E1113"),
            Kind::Event => ("E1030", "E1032", "E1082"),
            Kind::Relationship => ("E4015", "E4016", "E4017"),
        };
        match (exists, self.action) {
            (Some(true), _) => self.refuse(codes.2, &[uid]),
            (Some(false), Action::Create) => self.refuse(codes.0, &[uid]),
            (None, Action::Update | Action::Delete) => self.refuse(codes.1, &[uid]),
            _ => {}
        }
        self.problems.is_empty()
    }

    /// Whether the organisation unit is there; `code` is said where it is not.
    fn unit(&mut self, required: &'static str, unknown: &'static str) -> Option<&'a str> {
        let Some(unit) = self.item.text("orgUnit") else {
            self.refuse(required, &["orgUnit"]);
            return None;
        };
        let Some(known) = self.world.country.unit(unit) else {
            self.refuse(unknown, &[unit]);
            return None;
        };
        if !self.user().may("ALL") && !self.world.in_hierarchy(self.user(), unit) {
            let user = self.user().id.clone();
            self.refuse("E1000", &[&user, unit]);
        }
        Some(known.id.as_str())
    }

    fn program_access(&mut self, program: &str) {
        let closed =
            |own: &super::super::country::programs::Program| own.closed_to.contains(&self.user().name);
        if !self.user().may("ALL") && self.world.country.program(program).is_some_and(closed) {
            let user = self.user().id.clone();
            self.refuse("E1091", &[&user, program]);
        }
    }

    /// A geometry must be of the feature type, which may be unknown.
    fn geometry(&mut self, feature_type: &str) {
        let Some(geometry) = self.item.body.get("geometry").filter(|geometry| !geometry.is_null()) else {
            return;
        };
        if feature_type.is_empty() {
            self.refuse("E1074", &[]);
            return;
        }
        let kind = geometry.get("type").and_then(serde_json::Value::as_str).unwrap_or("");
        if !kind.eq_ignore_ascii_case(feature_type) {
            self.refuse("E1012", &[feature_type]);
        }
    }

    fn deletion(&mut self) {
        let (uid, user) = (self.item.uid.as_str(), self.user().id.clone());
        let tracker = &self.world.tracker;
        let (unit, cascade) = match self.item.kind {
            Kind::Entity => (
                tracker.entities.get(uid).map(|own| &own.org_unit),
                Some(("F_TEI_CASCADE_DELETE", "E1100"))
                    .filter(|_| tracker.enrollments_of(uid).next().is_some()),
            ),
            Kind::Enrollment => (
                tracker.enrollments.get(uid).map(|own| &own.org_unit),
                Some(("F_ENROLLMENT_CASCADE_DELETE", "E1103"))
                    .filter(|_| tracker.events_of(uid).next().is_some()),
            ),
            Kind::Event => (tracker.events.get(uid).map(|own| &own.org_unit), None),
            Kind::Relationship => (None, None),
        };
        let outside =
            unit.filter(|unit| !self.user().may("ALL") && !self.world.in_hierarchy(self.user(), unit));
        if let Some(unit) = outside {
            self.refuse("E1000", &[&user, unit]);
            if is_old(self.version()) && self.item.kind == Kind::Entity {
                self.refuse("E1003", &[&user, uid]);
            }
        }
        if let Some((authority, code)) = cascade
            && !self.user().may(authority)
        {
            self.refuse(code, &[&user, uid]);
        }
    }

    /// A program rule that refuses, whoever sends it.
    fn fault(&mut self) {
        let fits = |wanted: &Option<String>, key: &str| {
            wanted.as_deref().is_none_or(|wanted| self.item.text(key) == Some(wanted))
        };
        let rule = self.import.effects.iter().find_map(|effect| match effect {
            Effect::RefuseObjects(objects)
                if objects.kind == self.item.kind.name()
                    && fits(&objects.program, "program")
                    && fits(&objects.org_unit, "orgUnit") =>
            {
                Some(objects.message.clone())
            }
            _ => None,
        });
        if let Some(message) = rule.filter(|_| self.action != Action::Delete) {
            self.refuse("E1300", &["MjRuleRefus", &message]);
        }
    }
}

/// `2026-09-01T00:00:00.000`
fn shown(at: Timestamp) -> String {
    super::super::super::time::millis(at)
}

pub(super) use relationship::end as relationship_end;

/// Program and stage of an event, and whether the program tracks entities.
pub(super) fn stage_of(world: &World, item: &Item) -> Option<(String, String, bool)> {
    let country = &world.country;
    let found = match (item.text("programStage"), item.text("program")) {
        (Some(stage), _) => country.stage(stage),
        (None, program) => {
            let program = country.program(program?)?;
            program.stages.first().map(|stage| (program, stage))
        }
    };
    found.map(|(program, stage)| (program.id.clone(), stage.id.clone(), program.entity_type.is_some()))
}
