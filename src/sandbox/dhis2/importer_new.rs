//! The importer since 2.43: E8xxx.
//!
//! Values are upserted as a group: what is wrong with the set refuses all of it, what is wrong with one
//! value refuses that value. Everything stored counts as `updated`.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::super::faults::Because;
use super::country::{DEFAULT_OPTION_COMBO, DataSet};
use super::gate::{self, Case};
use super::incoming::{DataValueSet, Row};
use super::periods;
use super::state::{CellKey, Clash, Completion, NewValue, World};
use super::summary::{Conflict, Status, Summary};
use super::values::{self, Wrong};

/// Why the import cannot even begin.
pub(super) enum Stop {
    /// A refusal in an import summary.
    Summary(Summary),
    /// 500 with this message.
    Crash(String),
}

const NO_GROUP: &str =
    "Cannot invoke \"org.hisp.dhis.datavalue.DataEntryGroup.deletion()\" because \"group\" is null";

/// Imports a set.
pub(super) fn import(world: &mut World, case: &Case, mut set: DataValueSet) -> Result<Summary, Stop> {
    complete_rows(&mut set);
    decode(&set)?;
    let complete = complete_date(&set)?;
    let mut summary = Summary { complete: Some("false".to_owned()), ..Summary::default() };
    if !set.rows.is_empty()
        && let Some(conflict) = refuse_group(world, case, &set)
    {
        summary.status = Status::Error;
        summary.rejected = (0..set.rows.len()).collect();
        let all = (0..set.rows.len()).filter_map(|at| i64::try_from(at).ok()).collect();
        summary.conflicts = vec![Conflict { indexes: Some(all), ..conflict }];
        return Ok(summary);
    }
    // Two first uses of a month, or one NUL character: SUCCESS, and nothing is stored.
    let has_nul = set.rows.iter().any(|row| row.text().is_some_and(|text| text.contains('\0')));
    if *case.clash == Clash::Second || has_nul {
        summary.ignored = set.rows.len();
        return Ok(summary);
    }
    let accepted = check_rows(world, &mut summary, &set);
    if case.request.flag("atomic") && summary.ignored > 0 {
        return Ok(atomic(&summary, set.rows.len()));
    }
    for (key, new) in accepted {
        let delete = case.strategy == "DELETE";
        if delete {
            summary.deleted += 1;
        } else {
            summary.updated += 1;
        }
        if !case.dry_run {
            let new = NewValue { deleted: new.deleted || delete, ..new };
            world.store(key, new, &case.user.name, case.request.number);
        }
    }
    summary.status = match (summary.ignored, summary.updated + summary.deleted) {
        (0, _) => Status::Success,
        (_, 0) => Status::Error,
        _ => Status::Warning,
    };
    if let (Some(date), 0) = (complete, summary.ignored) {
        register(world, case, &set, &date);
        summary.complete = Some(date);
    }
    Ok(summary)
}

/// A row's own period and organisation unit win over the header's.
fn complete_rows(set: &mut DataValueSet) {
    for row in &mut set.rows {
        row.period = row.period.take().or_else(|| set.period.clone());
        row.org_unit = row.org_unit.take().or_else(|| set.org_unit.clone());
        row.attribute_combo = row.attribute_combo.take().or_else(|| set.attribute_combo.clone());
    }
}

fn is_uid(text: &str) -> bool {
    text.len() == 11
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn undecodable(code: &'static str, args: String, value: String) -> Stop {
    let conflict = Conflict { indexes: Some(vec![-1]), ..group_conflict(code, args, value) };
    Stop::Summary(Summary { status: Status::Error, conflicts: vec![conflict], ..Summary::default() })
}

fn group_conflict(code: &'static str, args: String, value: String) -> Conflict {
    Conflict { objects: Some(vec![("args", args)]), value, code: Some(code), ..Conflict::default() }
}

/// Uids and periods that cannot be read stop the whole request.
fn decode(set: &DataValueSet) -> Result<(), Stop> {
    for (at, row) in set.rows.iter().enumerate() {
        if let Some(value) = row.value.as_ref().filter(|value| !value.is_string()) {
            let kind = if value.is_number() { "NUMBER" } else { "BOOLEAN" };
            return Err(Stop::Crash(format!(
                "Path `$.value` does not contain an STRING but a(n) {kind}: {value}"
            )));
        }
        let bad_period = |iso: &String| periods::parse(iso).is_none();
        if row.period.as_ref().is_some_and(bad_period) || set.period.as_ref().is_some_and(bad_period) {
            return Err(Stop::Crash(NO_GROUP.to_owned()));
        }
        decode_row(at, row)?;
    }
    if let Some(id) = set.data_set.as_ref().filter(|id| !is_uid(id)) {
        return Err(undecodable("E8004", id.clone(), format!("Data set UID not valid: `{id}`")));
    }
    Ok(())
}

fn decode_row(at: usize, row: &Row) -> Result<(), Stop> {
    let parts = [
        (&row.data_element, "E8102", "E8104", "data element", "data element UID not valid"),
        (&row.org_unit, "E8105", "E8106", "org unit", "org unit UID is not valid"),
    ];
    for (id, missing, wrong, what, sentence) in parts {
        match id {
            None => {
                return Err(undecodable(
                    missing,
                    input(at, row),
                    format!("Value #{at} {what} is missing: `{}`", input_text(row)),
                ));
            }
            Some(id) if !is_uid(id) => {
                return Err(undecodable(
                    wrong,
                    format!("{at}-{id}"),
                    format!("Value #{at} {sentence}: `{id}`"),
                ));
            }
            Some(_) => {}
        }
    }
    if row.period.is_none() {
        return Err(undecodable(
            "E8100",
            input(at, row),
            format!("Value #{at} period is missing: `{}`", input_text(row)),
        ));
    }
    let combos = [
        (&row.option_combo, "E8108", "category option combo UID is not valid"),
        (&row.attribute_combo, "E8110", "attribute option combo UID is not valid"),
    ];
    for (id, code, sentence) in combos {
        if let Some(id) = id.as_ref().filter(|id| !is_uid(id)) {
            return Err(undecodable(code, format!("{at}-{id}"), format!("Value #{at} {sentence}: `{id}`")));
        }
    }
    Ok(())
}

fn input(at: usize, row: &Row) -> String {
    format!("{at}-{}", input_text(row))
}

fn input_text(row: &Row) -> String {
    let or_null = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
    format!(
        "Input[dataElement={}, orgUnit={}, categoryOptionCombo={}, categoryOptions=null, attributeOptionCombo={}, attributeCombo=null, attributeOptions=null, period={}, value={}, comment={}, followUp=null, deleted=null]",
        or_null(&row.data_element),
        or_null(&row.org_unit),
        or_null(&row.option_combo),
        or_null(&row.attribute_combo),
        or_null(&row.period),
        or_null(&row.text()),
        or_null(&row.comment)
    )
}

fn complete_date(set: &DataValueSet) -> Result<Option<String>, Stop> {
    let Some(text) = set.complete_date.as_deref() else { return Ok(None) };
    let Ok(date) = text.get(..10).unwrap_or(text).parse::<Date>() else {
        let value = format!("Data set `completeDate` is not a valid date string: `{text}`");
        return Err(undecodable("E8008", text.to_owned(), value));
    };
    if set.data_set.is_none() || set.period.is_none() || set.org_unit.is_none() {
        let value = "Data set `completeDate` requires data set, org unit, period and attribute option combo to be defined at the group level.";
        return Err(undecodable("E8009", String::new(), value.to_owned()));
    }
    Ok(Some(date.to_string()))
}

/// What is wrong with the set: the first thing found refuses all of it. In the order of the real one:
/// access, keys, timeliness, doubled cells.
fn refuse_group(world: &World, case: &Case, set: &DataValueSet) -> Option<Conflict> {
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

/// Refuses single values, and gives the ones that are stored.
fn check_rows(world: &World, summary: &mut Summary, set: &DataValueSet) -> Vec<(CellKey, NewValue)> {
    let mut accepted = Vec::new();
    for (at, row) in set.rows.iter().enumerate() {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let Some(element) = row.data_element.as_deref().and_then(|id| world.country.element(id)) else {
            continue;
        };
        let value = match row.text().filter(|text| !text.is_empty()) {
            None if row.deleted => None,
            None => {
                let refusal =
                    group_conflict("E8120", at.to_string(), format!("Value #{at} value is required"));
                summary.reject(at, Some(refusal));
                continue;
            }
            Some(text) => match values::check(world.version, &world.country, element, &text) {
                Ok(stored) => Some(stored),
                Err(wrong) => {
                    summary.reject(at, Some(value_conflict(at, &text, element, wrong)));
                    continue;
                }
            },
        };
        let iso = row.period.as_deref().and_then(periods::parse).map(|period| period.iso).unwrap_or_default();
        let mut key = CellKey::new(&iso, &text(&row.org_unit), &element.id, &text(&row.option_combo));
        if let Some(combo) = &row.attribute_combo {
            key.attribute_combo.clone_from(combo);
        }
        let new = NewValue {
            value,
            comment: row.comment.clone(),
            follow_up: row.follow_up_new,
            deleted: row.deleted,
        };
        accepted.push((key, new));
    }
    accepted
}

fn value_conflict(at: usize, text: &str, element: &super::country::DataElement, wrong: Wrong) -> Conflict {
    match wrong {
        Wrong::Type(key, _) => {
            let kind = &element.value_type;
            let value = format!("Value #{at} value `{text}` is no valid {kind}: {key}");
            group_conflict("E8122", format!("{at}-{text}-{kind}-{key}"), value)
        }
        Wrong::Option => {
            let value =
                format!("Value #{at} value `{text}` is no valid option for data element `{}`", element.id);
            group_conflict("E8123", format!("{at}-{text}-{}", element.id), value)
        }
    }
}

fn atomic(summary: &Summary, total: usize) -> Summary {
    let first = summary.conflicts.first().map(|conflict| conflict.value.clone()).unwrap_or_default();
    let good = total - summary.ignored;
    let value = format!(
        "Atomic mode requires all values to be valid but only {good}/{total} were. First issue: {first}"
    );
    let all = (0..total).filter_map(|at| i64::try_from(at).ok()).collect();
    let conflict = group_conflict("E8000", format!("{good}-{total}-{first}"), value);
    Summary {
        status: Status::Error,
        rejected: (0..total).collect(),
        conflicts: vec![Conflict { indexes: Some(all), ..conflict }],
        ..Summary::default()
    }
}

fn register(world: &mut World, case: &Case, set: &DataValueSet, date: &str) {
    let (Some(data_set), Some(period), Some(unit)) = (&set.data_set, &set.period, &set.org_unit) else {
        return;
    };
    if case.dry_run {
        return;
    }
    let combo = set.attribute_combo.clone().unwrap_or_else(|| DEFAULT_OPTION_COMBO.to_owned());
    let completion = Completion {
        date: date.to_owned(),
        stored_by: case.user.name.clone(),
        completed: true,
        writes: Vec::new(),
    };
    world.complete((data_set.clone(), period.clone(), unit.clone(), combo), completion, case.request.number);
}
