//! Which objects of the far side a mapping names by constants, and where in its file.
//!
//! Pure. The targets say what they name ([`Target::names`](crate::mapping::target::Target::names)); here
//! their paths become places, for `check` and for what is worth mirroring.

use super::{Destination, Entry, FieldContent, NamedField, Program};
use crate::mapping::diagnostic::Place;
use crate::mapping::expression::Expression;
use crate::mapping::target::{Named, Registry};

/// An object that an entry of a mapping names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedThere {
    /// The first word of the entry's target: `dhis2`.
    pub system: String,
    /// The destination's name; `None` where it is computed.
    pub destination: Option<String>,
    pub named: Named,
    /// Where [`Named::field`] stands.
    pub place: Place,
    /// Where the field of [`Named::value`] stands.
    pub value_place: Place,
}

/// All that a mapping names by constants, in the order of its file.
pub fn names(program: &Program, registry: &Registry) -> Vec<NamedThere> {
    program.to.iter().flat_map(|entry| names_of(entry, registry)).collect()
}

/// All that one entry names by constants.
pub fn names_of(entry: &Entry, registry: &Registry) -> Vec<NamedThere> {
    let Some(target) = registry.get(&entry.kind) else { return Vec::new() };
    let destination = match &entry.destination {
        Destination::Fixed(name) => Some(name.clone()),
        Destination::Computed { .. } => None,
    };
    let system = entry.kind.split('.').next().unwrap_or_default();
    let there = |named: Named| NamedThere {
        system: system.to_owned(),
        destination: destination.clone(),
        place: place_of(entry, &named.field),
        value_place: named.value.as_ref().map(|(path, _)| place_of(entry, path)).unwrap_or_default(),
        named,
    };
    target.names(&super::literals(&entry.fields)).into_iter().map(there).collect()
}

/// The VALUE at `enrollments[0].events[2].orgUnit` of an entry.
pub fn value_at<'e>(entry: &'e Entry, path: &str) -> Option<&'e Expression> {
    let mut fields: &[NamedField] = &entry.fields;
    let mut steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    while let Some(name) = steps.next() {
        match &fields.iter().find(|field| field.name == name)?.content {
            FieldContent::Value(value) | FieldContent::Anything(value) => return Some(value),
            FieldContent::Object(object) | FieldContent::Together(object) => fields = &object.fields,
            FieldContent::Objects(objects) => {
                fields = &objects.get(steps.next()?.parse::<usize>().ok()?)?.fields;
            }
            _ => return None,
        }
    }
    None
}

/// Where `enrollments[0].events[2].programStage` stands, or the nearest that holds it.
pub(in crate::mapping) fn place_of(entry: &Entry, path: &str) -> Place {
    let mut steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let mut place = entry.place;
    let mut fields: &[NamedField] = &entry.fields;
    while let Some(name) = steps.next() {
        let Some(field) = fields.iter().find(|field| field.name == name) else { return place };
        place = field.place;
        match &field.content {
            FieldContent::Value(value) | FieldContent::Values(value) | FieldContent::Anything(value) => {
                return value.place;
            }
            FieldContent::Object(object) | FieldContent::Together(object) => fields = &object.fields,
            FieldContent::Objects(objects) => {
                let index = steps.next().and_then(|step| step.parse::<usize>().ok());
                let Some(object) = index.and_then(|index| objects.get(index)) else { return place };
                place = object.place;
                fields = &object.fields;
            }
            FieldContent::List(list) => {
                let index = steps.next().and_then(|step| step.parse::<usize>().ok());
                return index.and_then(|index| list.get(index)).map_or(place, |value| value.place);
            }
            FieldContent::Map(_) | FieldContent::Literal(_) | FieldContent::Outline(_) => return place,
        }
    }
    place
}
