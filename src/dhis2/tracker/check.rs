//! Judges a part against mirrored metadata, without the network: what DHIS2 would refuse, and what it would
//! store although it is wrong (a program rule's refusal is left to DHIS2, which alone knows its rules).

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::Value;

use super::slot::Slot;
use crate::delivery::destination::{OutgoingPart, Reason};
use crate::dhis2::metadata::Metadata;
use crate::dhis2::metadata::program::{Program, Stage};
use crate::dhis2::metadata::scope::Scope;
use crate::dhis2::value::{self, Rules, ValueType};

/// A part whose names and values are checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    pub slot: Slot,
    /// `None`: withdrawn.
    pub wanted: Option<Value>,
    /// Uid of an attribute or data element → canonical text.
    pub values: BTreeMap<String, String>,
    /// Of an event: its stage, also where the mapping leaves it to the program.
    pub stage: String,
}

/// The type of a value, for comparing what DHIS2 holds.
pub fn value_type(metadata: &Metadata, uid: &str) -> ValueType {
    let element = metadata.elements.get(uid).map(|element| element.value_type);
    element.or_else(|| metadata.attributes.get(uid).map(|it| it.value_type)).unwrap_or(ValueType::Other)
}

/// What a part needs to know of DHIS2.
pub fn needs(part: &OutgoingPart, scope: &mut Scope) {
    match Slot::parse(&part.slot) {
        Some(Slot::Entity { .. }) => {
            if let Some(kind) = part.wanted.as_ref().and_then(|wanted| wanted["type"].as_str()) {
                scope.add("trackedEntityType", kind);
            }
        }
        Some(
            Slot::Enrollment { program, .. } | Slot::Event { program, .. } | Slot::Single { program, .. },
        ) => {
            scope.add("program", &program);
        }
        Some(Slot::Relationship { kind, .. }) => scope.add("relationshipType", &kind),
        None => {}
    }
}

/// Checks one part.
///
/// # Errors
/// Why it must not be sent.
pub fn check(part: &OutgoingPart, metadata: &Metadata, today: Date) -> Result<Checked, Reason> {
    let slot = Slot::parse(&part.slot).ok_or_else(unreadable)?;
    let mut checked =
        Checked { slot, wanted: part.wanted.clone(), values: BTreeMap::new(), stage: String::new() };
    let Some(wanted) = &part.wanted else { return Ok(checked) };
    match checked.slot.clone() {
        Slot::Entity { .. } => entity(wanted, metadata, &mut checked)?,
        Slot::Enrollment { program, .. } => enrollment(&program, wanted, (metadata, today), &mut checked)?,
        Slot::Event { program, stage, key, .. } => {
            let program = tracker_program(&program, metadata)?;
            let stage = event((program, &stage), wanted, metadata, &mut checked)?;
            if stage.repeatable && key.is_empty() {
                return Err(unkeyed(stage));
            }
        }
        Slot::Single { program, stage, .. } => {
            let uid = program.clone();
            let program = known_program(&program, metadata)?;
            if program.is_tracker {
                return Err(Reason::new(
                    "dhis2-program-with-registration",
                    format!(
                        "the program {} ({uid}) has registration: its events belong to enrolments",
                        program.name
                    ),
                    "use dhis2.tracker with `enrollments`",
                ));
            }
            let stage = match (stage.as_str(), program.stages.keys().next()) {
                ("", Some(only)) => only.clone(),
                _ => stage,
            };
            event((program, &stage), wanted, metadata, &mut checked)?;
        }
        Slot::Relationship { kind, .. } => relationship(&kind, metadata)?,
    }
    Ok(checked)
}

fn relationship(kind: &str, metadata: &Metadata) -> Result<(), Reason> {
    let Some(known) = metadata.relationship_types.get(kind) else {
        return Err(Reason::new(
            "dhis2-relationship-type-unknown",
            format!("there is no relationship type {kind} that this account may see"),
            "see that it exists and is shared with the account",
        ));
    };
    let entities = "TRACKED_ENTITY_INSTANCE";
    if [&known.from, &known.to].iter().any(|end| !end.is_empty() && *end != entities) {
        return Err(Reason::new(
            "dhis2-relationship-ends",
            format!("the relationship type {} is not one between tracked entities", known.name),
            "only tracked entities can be related by a mapping",
        ));
    }
    Ok(())
}

fn entity(wanted: &Value, metadata: &Metadata, checked: &mut Checked) -> Result<(), Reason> {
    let uid = wanted["type"].as_str().unwrap_or_default();
    if !metadata.types.contains_key(uid) {
        return Err(Reason::new(
            "dhis2-entity-type-unknown",
            format!("there is no tracked entity type {uid} that this account may see"),
            "see that it exists and is shared with the account",
        ));
    }
    unit(wanted, None, metadata)?;
    checked.values = attributes(wanted, metadata)?;
    Ok(())
}

fn enrollment(
    uid: &str,
    wanted: &Value,
    (metadata, today): (&Metadata, Date),
    checked: &mut Checked,
) -> Result<(), Reason> {
    let program = tracker_program(uid, metadata)?;
    unit(wanted, Some(program), metadata)?;
    for (name, free) in [("enrolledAt", program.future_enrolment), ("occurredAt", program.future_incident)] {
        let day = wanted[name].as_str().and_then(|text| text.get(..10)?.parse::<Date>().ok());
        if day.is_some_and(|day| day > today) && !free {
            return Err(Reason::new(
                "dhis2-date-in-future",
                format!("`{name}` lies in the future, which the program {} does not allow", program.name),
                "correct the source, or retry when the day has come",
            ));
        }
    }
    checked.values = attributes(wanted, metadata)?;
    let stray = checked.values.keys().find(|uid| !program.attributes.contains_key(*uid));
    match stray {
        None => Ok(()),
        Some(uid) => Err(Reason::new(
            "dhis2-attribute-not-in-program",
            format!("the attribute {} is not one of the program {}", label(uid, metadata), program.name),
            "name it under the tracked entity's `attributes`, or add it to the program",
        )),
    }
}

fn event<'a>(
    (program, uid): (&'a Program, &str),
    wanted: &Value,
    metadata: &Metadata,
    checked: &mut Checked,
) -> Result<&'a Stage, Reason> {
    let stage = program.stages.get(uid).ok_or_else(|| {
        let names: Vec<&str> = program.stages.values().map(|stage| stage.name.as_str()).collect();
        Reason::new(
            "dhis2-stage-not-in-program",
            format!("the program {} has no stage {uid}", program.name),
            format!("its stages are: {}", names.join("; ")),
        )
    })?;
    unit(wanted, Some(program), metadata)?;
    uid.clone_into(&mut checked.stage);
    checked.values = texts(&wanted["dataValues"])
        .map(|(uid, text)| {
            if !stage.elements.contains_key(uid) {
                return Err(Reason::new(
                    "dhis2-element-not-in-stage",
                    format!("the data element {} is not in the stage {}", label(uid, metadata), stage.name),
                    "add it to the stage in DHIS2, or correct the mapping",
                ));
            }
            Ok((uid.to_owned(), normal(uid, text, ("data element", metadata))?))
        })
        .collect::<Result<_, Reason>>()?;
    let planned = matches!(wanted["status"].as_str(), Some("SCHEDULE" | "OVERDUE" | "SKIPPED"));
    if planned && !checked.values.is_empty() {
        return Err(Reason::new(
            "dhis2-status-without-values",
            "an event that is only planned cannot have values",
            "give it the status ACTIVE or COMPLETED, or no values",
        ));
    }
    if planned && !program.is_tracker {
        return Err(Reason::new(
            "dhis2-status-of-tracker",
            format!("the program {} has no registration: its events cannot be planned", program.name),
            "give the event the status ACTIVE or COMPLETED",
        ));
    }
    Ok(stage)
}

fn attributes(wanted: &Value, metadata: &Metadata) -> Result<BTreeMap<String, String>, Reason> {
    texts(&wanted["attributes"])
        .map(|(uid, text)| Ok((uid.to_owned(), normal(uid, text, ("attribute", metadata))?)))
        .collect()
}

fn texts(values: &Value) -> impl Iterator<Item = (&str, &str)> {
    values.as_object().into_iter().flatten().filter_map(|(uid, text)| Some((uid.as_str(), text.as_str()?)))
}

/// The canonical text of a value. An attribute that is in no mirrored program or type is left to DHIS2.
pub(super) fn normal(uid: &str, text: &str, (what, metadata): (&str, &Metadata)) -> Result<String, Reason> {
    let set = match what {
        "attribute" => metadata.attributes.get(uid).and_then(|known| known.option_set.as_ref()),
        _ => metadata.elements.get(uid).and_then(|known| known.option_set.as_ref()),
    };
    let options = set.and_then(|set| metadata.option_sets.get(set));
    let value_type = match what {
        "attribute" => metadata.attributes.get(uid).map_or(ValueType::Other, |known| known.value_type),
        _ => value_type(metadata, uid),
    };
    value::normalise(text, Rules { value_type, options }).map_err(|refusal| {
        let hint = match options {
            Some(options) => {
                let codes: Vec<&str> = options.iter().take(10).map(String::as_str).collect();
                format!("map answers to option codes, case included: {}", codes.join(", "))
            }
            None => "`mjumbe explain` shows where the value comes from".to_owned(),
        };
        Reason::new(refusal.code(), format!("{what} {}: {refusal}", label(uid, metadata)), hint)
    })
}

fn label<'a>(uid: &'a str, metadata: &'a Metadata) -> &'a str {
    let element = metadata.elements.get(uid).map(|known| known.name.as_str());
    let name = element.or_else(|| metadata.attributes.get(uid).map(|known| known.name.as_str()));
    name.filter(|name| !name.is_empty()).unwrap_or(uid)
}

fn unit(wanted: &Value, program: Option<&Program>, metadata: &Metadata) -> Result<(), Reason> {
    let uid = wanted["orgUnit"].as_str().unwrap_or_default();
    let Some(unit) = metadata.units.get(uid) else {
        return Err(Reason::new(
            "dhis2-unit-unknown",
            format!("there is no organisation unit {uid} that this account may see"),
            "give the uid of an organisation unit; `with: { unit: { orgUnit: …, by: code } }` finds it by code",
        ));
    };
    match program {
        Some(program) if !program.units.contains(uid) => Err(Reason::new(
            "dhis2-unit-not-in-program",
            format!(
                "the organisation unit {} ({uid}) is not assigned to the program {}",
                unit.name, program.name
            ),
            "assign it in DHIS2 (Maintenance, Program), then retry",
        )),
        _ => Ok(()),
    }
}

fn known_program<'a>(uid: &str, metadata: &'a Metadata) -> Result<&'a Program, Reason> {
    metadata.programs.get(uid).ok_or_else(|| {
        Reason::new(
            "dhis2-program-unknown",
            format!("there is no program {uid} that this account may see"),
            "see that the program exists and is shared with the account",
        )
    })
}

fn tracker_program<'a>(uid: &str, metadata: &'a Metadata) -> Result<&'a Program, Reason> {
    let program = known_program(uid, metadata)?;
    if program.is_tracker {
        return Ok(program);
    }
    Err(Reason::new(
        "dhis2-program-without-registration",
        format!("the program {} ({uid}) has no registration: nobody can be enrolled in it", program.name),
        "use dhis2.event",
    ))
}

fn unkeyed(stage: &Stage) -> Reason {
    Reason::new(
        "dhis2-event-key-absent",
        format!("the stage {} is repeatable, and nothing tells its events apart", stage.name),
        "give the event a `key`: the number of the dose, or key: $.resource.id",
    )
}

fn unreadable() -> Reason {
    Reason::new(
        "dhis2-part-unreadable",
        "this part was not made by this version of the tracker targets",
        "the next version of its source is mapped anew; or `mjumbe deliveries cancel` this one",
    )
}

#[cfg(test)]
pub(in crate::dhis2) mod tests;
