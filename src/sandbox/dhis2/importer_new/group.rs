//! What refuses a whole group: access, keys, timeliness, approval, doubled cells.

use std::collections::BTreeMap;

use super::super::super::faults::Because;
use super::super::country::{DEFAULT_OPTION_COMBO, DataSet};
use super::super::gate::{self, Case};
use super::super::incoming::{DataValueSet, Row};
use super::super::periods;
use super::super::state::{CellKey, World};
use super::super::summary::Conflict;
use super::group_conflict;

/// What is wrong with the set: the first thing found refuses all of it. In the order of the real one:
/// access, keys, timeliness, doubled cells.
pub(super) fn refuse_group(world: &World, case: &Case, set: &DataValueSet) -> Option<Conflict> {
    let id = match &set.data_set {
        Some(id) => id.clone(),
        None => match detect(world, set) {
            Ok(id) => id,
            Err(conflict) => return Some(*conflict),
        },
    };
    refuse_access(world, case, (&id, set))
        .or_else(|| refuse_elements(world, (&id, set)))
        .or_else(|| {
            let data_set = world.country.data_set(&id)?;
            refuse_units(case, data_set, set)
                .or_else(|| refuse_period_type(data_set, set))
                .or_else(|| refuse_combos(world, data_set, set))
                .or_else(|| refuse_unit_span(world, set))
                .or_else(|| refuse_untimely(case, data_set, set))
                .or_else(|| refuse_approved(case, data_set, set))
        })
        .or_else(|| refuse_duplicates(set))
}

fn bracketed(ids: &[String]) -> String {
    format!("[{}]", ids.join(", "))
}

fn refuse_access(world: &World, case: &Case, (id, set): (&str, &DataValueSet)) -> Option<Conflict> {
    if case.user.may("ALL") {
        return None;
    }
    if !gate::may_write_set(world, case.user, id) {
        let value = format!("Current user cannot enter data for data set: `{id}`");
        return Some(group_conflict("E8010", id.to_owned(), value));
    }
    let outside = distinct_rows(set, |row| {
        let unit = row.org_unit.clone()?;
        let known = world.country.unit(&unit).is_some();
        (known && !world.in_hierarchy(case.user, &unit)).then_some(unit)
    });
    if outside.is_empty() {
        return None;
    }
    let list = bracketed(&outside);
    let value = format!("Current user cannot enter data for org unit(s): `{list}`");
    Some(group_conflict("E8011", list, value))
}

fn refuse_elements(world: &World, (id, set): (&str, &DataValueSet)) -> Option<Conflict> {
    let found = world.country.data_set(id);
    let foreign = distinct_rows(set, |row| {
        row.data_element.clone().filter(|element| !found.is_some_and(|own| own.elements.contains(element)))
    });
    if foreign.is_empty() && found.is_some() {
        return None;
    }
    let list = bracketed(&foreign);
    let value = format!("Data set {id} not usable with data element(s): `{list}`");
    Some(group_conflict("E8020", format!("{id}-{list}"), value))
}

fn refuse_units(case: &Case, data_set: &DataSet, set: &DataValueSet) -> Option<Conflict> {
    let unassigned = distinct_rows(set, |row| {
        let unit = row.org_unit.clone()?;
        let fault = fault_of(case, data_set, row) == Some(Because::Unassigned);
        (!data_set.units.contains(&unit) || fault).then_some(unit)
    });
    if unassigned.is_empty() {
        return None;
    }
    let (id, list) = (&data_set.id, bracketed(&unassigned));
    let value = format!("Data set {id} not usable with org unit(s): `{list}`");
    Some(group_conflict("E8022", format!("{id}-{list}"), value))
}

fn fault_of(case: &Case, data_set: &DataSet, row: &Row) -> Option<Because> {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let key = CellKey::new(
        &text(&row.period),
        &text(&row.org_unit),
        &text(&row.data_element),
        &text(&row.option_combo),
    );
    gate::refused_by_fault(case.request, &data_set.id, &key)
}

fn period_of(row: &Row) -> Option<periods::Period> {
    row.period.as_deref().and_then(periods::parse)
}

fn refuse_period_type(data_set: &DataSet, set: &DataValueSet) -> Option<Conflict> {
    let wrong = distinct_rows(set, |row| {
        period_of(row).filter(|period| period.kind != data_set.period_type).map(|period| period.iso)
    });
    if wrong.is_empty() {
        return None;
    }
    let (id, list) = (&data_set.id, bracketed(&wrong));
    let value = format!("Data set {id} not usable with period(s): `{list}`");
    Some(group_conflict("E8021", format!("{id}-{list}"), value))
}

/// Expiry and future periods; names the periods only.
fn refuse_untimely(case: &Case, data_set: &DataSet, set: &DataValueSet) -> Option<Conflict> {
    let free = case.user.may("F_EDIT_EXPIRED");
    let untimely = distinct_rows(set, |row| {
        let period = period_of(row)?;
        let future = gate::latest_open(data_set).is_some_and(|latest| period.start > latest.start);
        let closed = (future || gate::is_expired(data_set, &period)) && !free;
        (closed || fault_of(case, data_set, row) == Some(Because::Expired)).then_some(period.iso)
    });
    if untimely.is_empty() {
        return None;
    }
    let (id, list) = (&data_set.id, bracketed(&untimely));
    let value = format!("Untimely data entry for data set {id} and period(s): `{list}`");
    Some(group_conflict("E8030", format!("{id}-{list}"), value))
}

fn refuse_unit_span(world: &World, set: &DataValueSet) -> Option<Conflict> {
    for row in &set.rows {
        let unit = row.org_unit.as_deref().and_then(|id| world.country.unit(id));
        let (Some(period), Some(unit)) = (period_of(row), unit) else { continue };
        if period.start < unit.opened || unit.closed.is_some_and(|closed| period.start > closed) {
            let list = format!("[{}]", period.iso);
            let value = format!("Untimely data entry for org unit {} and period(s): `{list}`", unit.id);
            return Some(group_conflict("E8031", format!("{}-{list}", unit.id), value));
        }
    }
    None
}

/// Names the first organisation unit in conflict, and only that.
fn refuse_approved(case: &Case, data_set: &DataSet, set: &DataValueSet) -> Option<Conflict> {
    let approved = |row: &&Row| fault_of(case, data_set, row) == Some(Because::Approved);
    let unit = set.rows.iter().find(approved)?.org_unit.clone()?;
    let of_unit = distinct_rows(set, |row| {
        let same = row.org_unit.as_ref() == Some(&unit) && approved(&row);
        same.then(|| row.period.clone()).flatten()
    });
    let (combo, list) = (DEFAULT_OPTION_COMBO, bracketed(&of_unit));
    let value = format!(
        "Data already approved for attribute option combo {combo}, org unit {unit} and period(s): `{list}`"
    );
    Some(group_conflict("E8033", format!("{combo}-{unit}-{list}"), value))
}

fn refuse_combos(world: &World, data_set: &DataSet, set: &DataValueSet) -> Option<Conflict> {
    let combo_of = |id: &str| world.country.option_combo(id).map(|own| own.combo.clone());
    for row in &set.rows {
        if let Some(id) =
            row.attribute_combo.as_ref().filter(|id| combo_of(id).as_ref() != Some(&data_set.combo))
        {
            let value =
                format!("Data set {} not usable with attribute option combo(s): `[{id}]`", data_set.id);
            return Some(group_conflict("E8023", format!("{}-[{id}]", data_set.id), value));
        }
    }
    for row in &set.rows {
        let Some(element) = row.data_element.as_deref().and_then(|id| world.country.element(id)) else {
            continue;
        };
        // Left out: the default combo, without a word.
        let Some(id) = row.option_combo.as_ref().filter(|id| *id != DEFAULT_OPTION_COMBO) else { continue };
        if combo_of(id).as_ref() != Some(&element.combo) {
            let value = format!(
                "Data set {} + data element {} not usable with category option combo(s): `[{id}]`",
                data_set.id, element.id
            );
            return Some(group_conflict("E8024", format!("{}-{}-[{id}]", data_set.id, element.id), value));
        }
    }
    None
}

fn refuse_duplicates(set: &DataValueSet) -> Option<Conflict> {
    let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let or_null = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
    for (at, row) in set.rows.iter().enumerate() {
        let key = format!(
            "DataValueKey[dataElement={}, orgUnit={}, categoryOptionCombo={}, attributeOptionCombo={}, period={}]",
            or_null(&row.data_element),
            or_null(&row.org_unit),
            or_null(&row.option_combo),
            or_null(&row.attribute_combo),
            or_null(&row.period)
        );
        seen.entry(key).or_default().push(at);
    }
    let (key, at) = seen.into_iter().find(|(_, at)| at.len() > 1)?;
    let value = format!("Value #{at:?} all affect the same data value: `{key}`");
    Some(group_conflict("E8128", format!("{at:?}-{key}"), value))
}

/// Without a data set: the one that holds the elements.
fn detect(world: &World, set: &DataValueSet) -> Result<String, Box<Conflict>> {
    let elements = distinct_rows(set, |row| row.data_element.clone());
    let holding = |id: &String| -> Vec<String> {
        let sets = world.country.data_sets.iter().filter(|own| own.elements.contains(id));
        sets.map(|own| own.id.clone()).collect()
    };
    let common: Vec<String> = world
        .country
        .data_sets
        .iter()
        .filter(|own| {
            elements.iter().filter(|id| !holding(id).is_empty()).all(|id| own.elements.contains(id))
        })
        .filter(|own| elements.iter().any(|id| own.elements.contains(id)))
        .map(|own| own.id.clone())
        .collect();
    let several = |ids: &[String]| {
        let list = format!("[{}]", ids.join(", "));
        let value = format!("Data set detection failed, found multiple sets: `{list}`");
        Box::new(group_conflict("E8002", list, value))
    };
    match common.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let mut all: Vec<String> = elements.iter().flat_map(holding).collect();
            all.sort();
            all.dedup();
            if all.len() > 1 {
                return Err(several(&all));
            }
            let list = format!("[{}]", elements.join(", "));
            let value = format!("Data set detection failed, found no set for data element(s): `{list}`");
            Err(Box::new(group_conflict("E8003", list, value)))
        }
        more => Err(several(more)),
    }
}

fn distinct_rows(set: &DataValueSet, of: impl Fn(&Row) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for id in set.rows.iter().filter_map(of) {
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found
}
