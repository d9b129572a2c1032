//! Stores what was checked.
//!
//! Whole or not at all, as one transaction: a uid that somebody else has stored since the check breaks it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::faults::Effect;
use super::super::state::World;
use super::check::{Action, Checked};
use super::incoming::Item;
use super::report::{Part, Report};
use super::state::Kind;
use super::{Import, Outcome, is_old};

// Writes one object.
mod write;

/// Commits what is good, or says why nothing of it is stored.
pub(super) fn commit(world: &mut World, import: &Import, mut checked: Checked) -> Outcome {
    let version = world.version;
    let objects = import.payload.items.len();
    if !checked.problems.is_empty() && !import.options.by_object {
        return Outcome::Report(Report::refused(version, checked.problems, objects));
    }
    if import.options.validate_only {
        return Outcome::Report(Report::checked(version));
    }
    if import.effects.contains(&Effect::StoreNothing) {
        checked.good.clear();
        return Outcome::Report(Report::done(version, Vec::new(), parts(import, &checked), objects));
    }
    let cut = import.effects.iter().find_map(|effect| match effect {
        Effect::StoreRows { rows, status } => Some((*rows, *status)),
        _ => None,
    });
    if let Some((rows, status)) = cut {
        checked.good.truncate(rows);
        apply(world, import, &mut checked);
        return broken(world, status, "could not execute batch");
    }
    if let Some(constraint) = clash(world, import, &checked) {
        return constraint;
    }
    apply(world, import, &mut checked);
    let ignored = checked.bad.len();
    let parts = parts(import, &checked);
    Outcome::Report(Report::done(version, checked.problems, parts, ignored))
}

/// A commit that fails: up to 2.40 a report without counts, then a 500.
fn broken(world: &World, status: u16, words: &str) -> Outcome {
    if status == 500 {
        return Outcome::Crash(words.to_owned());
    }
    Outcome::Report(Report::failed(world.version, &format!("Exception:{words}")))
}

/// What the database refuses.
fn clash(world: &World, import: &Import, checked: &Checked) -> Option<Outcome> {
    let mut made: BTreeSet<(Kind, &str)> = BTreeSet::new();
    for (item, action) in good(import, checked) {
        if has_nul(item) {
            return Some(if is_old(world.version) {
                broken(
                    world,
                    409,
                    "could not execute statement; nested exception is org.hibernate.exception.DataException: could not execute statement",
                )
            } else {
                broken(
                    world,
                    500,
                    "ERROR: invalid byte sequence for encoding \"UTF8\": 0x00\n  Where: unnamed portal parameter $5",
                )
            });
        }
        if action != Action::Create {
            continue;
        }
        let first = made.insert((item.kind, &item.uid));
        let taken = world.tracker.deleted(item.kind, &item.uid).is_some();
        if taken || (!first && !is_old(world.version)) {
            return Some(duplicate(world, "uk_rbr4kyuk4s0kb4jo1r77cuaq9", &item.uid));
        }
        if item.kind == Kind::Enrollment && enrolled_meanwhile(world, item) {
            return Some(duplicate(world, "uk_tei_program", &item.uid));
        }
    }
    None
}

fn duplicate(world: &World, constraint: &str, uid: &str) -> Outcome {
    if is_old(world.version) {
        let words = format!(
            "could not execute statement; SQL [n/a]; constraint [{constraint}]; nested exception is org.hibernate.exception.ConstraintViolationException: could not execute statement"
        );
        return broken(world, 409, &words);
    }
    let words = format!(
        "ERROR: duplicate key value violates unique constraint \"{constraint}\"\n  Detail: Key (uid)=({uid}) already exists."
    );
    broken(world, 500, &words)
}

fn enrolled_meanwhile(world: &World, item: &Item) -> bool {
    let active = item.text("status").unwrap_or("ACTIVE") == "ACTIVE";
    let entity = item.text("trackedEntity").unwrap_or("");
    active
        && world
            .tracker
            .enrollments_of(entity)
            .any(|(_, own)| own.status == "ACTIVE" && Some(own.program.as_str()) == item.text("program"))
}

fn has_nul(item: &Item) -> bool {
    let values = item.values("attributes", "attribute").chain(item.values("dataValues", "dataElement"));
    values.filter_map(|(_, value)| value).any(|value| value.contains('\0'))
}

fn good<'a>(import: &'a Import, checked: &'a Checked) -> impl Iterator<Item = (&'a Item, Action)> {
    checked.good.iter().filter_map(|(at, action)| Some((import.payload.items.get(*at)?, *action)))
}

/// Writes; of a uid that came twice the second is an update.
fn apply(world: &mut World, import: &Import, checked: &mut Checked) {
    for (at, action) in &mut checked.good {
        let Some(item) = import.payload.items.get(*at) else { continue };
        if *action == Action::Create && world.tracker.deleted(item.kind, &item.uid).is_some() {
            *action = Action::Update;
        }
        write::write(world, import, item, *action);
    }
}

/// The counts of each kind.
fn parts(import: &Import, checked: &Checked) -> BTreeMap<Kind, Part> {
    let mut parts: BTreeMap<Kind, Part> = Kind::ALL.into_iter().map(|kind| (kind, Part::default())).collect();
    for (item, action) in good(import, checked) {
        let part = parts.entry(item.kind).or_default();
        match action {
            Action::Create => part.counts.created += 1,
            Action::Update => part.counts.updated += 1,
            Action::Delete => part.counts.deleted += 1,
        }
        part.uids.push(item.uid.clone());
    }
    for at in checked.bad.iter().chain(&checked.silent) {
        if let Some(item) = import.payload.items.get(*at) {
            parts.entry(item.kind).or_default().counts.ignored += 1;
        }
    }
    parts
}
