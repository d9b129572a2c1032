//! The importer up to 2.42: E76xx.
//!
//! Each value stands for itself: what is refused leaves the others stored. Without the `strict*` switches
//! much that is wrong is stored.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::super::faults::Because;
use super::super::http::Request;
use super::country::{DEFAULT_OPTION_COMBO, DataElement};
use super::gate::{self, Case};
use super::incoming::{DataValueSet, Row};
use super::periods::{self, Period};
use super::state::{CellKey, Clash, Completion, NewValue, World};
use super::summary::{Conflict, Status, Summary};
use super::values::{self, Wrong};

/// Imports a set.
pub(super) fn import(world: &mut World, case: &Case, mut set: DataValueSet) -> Summary {
    if let Some(aborted) = refuse_set(world, case, &set) {
        return aborted;
    }
    let complete = match register(world, case, &set) {
        Ok(complete) => complete,
        Err(summary) => return *summary,
    };
    if *case.clash == Clash::Second {
        return Summary::failed("The import process failed: Failed to flush BatchHandler".to_owned());
    }
    override_rows(&mut set);
    let mut summary = Summary {
        description: Some("Import process completed successfully".to_owned()),
        complete: Some(complete.unwrap_or_else(|| "false".to_owned())),
        ..Summary::default()
    };
    let before: BTreeSet<CellKey> = world.cells.keys().cloned().collect();
    let mut added = BTreeSet::new();
    for (index, row) in set.rows.iter().enumerate() {
        match check(world, case, &set, row) {
            Ok(checked) => store(world, case, &mut summary, (index, checked), (&before, &mut added)),
            Err(conflict) => summary.reject(index, Some(*conflict)),
        }
    }
    if !summary.conflicts.is_empty() {
        summary.status = Status::Warning;
    }
    summary
}

fn aborted(
    object: &str,
    objects: Vec<(&'static str, String)>,
    what: (&'static str, &'static str, String),
) -> Summary {
    let (code, property, value) = what;
    let conflict = Conflict {
        object: Some(object.to_owned()),
        objects: Some(objects),
        value,
        code: Some(code),
        property: Some(property),
        indexes: None,
    };
    Summary {
        status: Status::Error,
        description: Some("Import process was aborted".to_owned()),
        conflicts: vec![conflict],
        ..Summary::default()
    }
}

fn refuse_set(world: &World, case: &Case, set: &DataValueSet) -> Option<Summary> {
    let id = set.data_set.clone().unwrap_or_default();
    if set.data_set.is_some() && !gate::may_write_set(world, case.user, &id) {
        let text = format!("Data set not found or not accessible: `{id}`");
        return Some(aborted(&id, vec![("dataSet", id.clone())], ("E7600", "dataSet", text)));
    }
    if let Some(unit) = set.org_unit.as_ref().filter(|unit| world.country.unit(unit).is_none()) {
        let objects = vec![("organisationUnit", unit.clone()), ("dataSet", id)];
        let text = format!("Org unit not found or not accessible: `{unit}`");
        return Some(aborted(unit, objects, ("E7603", "orgUnit", text)));
    }
    let combo = set.attribute_combo.as_ref().filter(|combo| world.country.option_combo(combo).is_none())?;
    let objects = vec![("categoryOptionCombo", combo.clone()), ("dataSet", id)];
    let text = format!("Attribute option combo not found or not accessible: `{combo}`");
    Some(aborted(combo, objects, ("E7604", "attributeOptionCombo", text)))
}

/// Completion is registered before the values, and even if they are refused.
fn register(world: &mut World, case: &Case, set: &DataValueSet) -> Result<Option<String>, Box<Summary>> {
    let Some(text) = set.complete_date.as_deref().filter(|text| *text != "false") else { return Ok(None) };
    let today = gate::today();
    let date = match (text, text.get(..10).unwrap_or(text).parse::<Date>()) {
        ("true", _) => today,
        (_, Ok(date)) => date.min(today),
        (_, Err(_)) => {
            let text = format!("The import process failed: Text '{text}' could not be parsed at index 0");
            return Err(Box::new(Summary::failed(text)));
        }
    };
    let (Some(data_set), Some(period), Some(unit)) = (&set.data_set, &set.period, &set.org_unit) else {
        return Ok(Some(date.to_string()));
    };
    if !case.dry_run && periods::parse(period).is_some() {
        let combo = set.attribute_combo.clone().unwrap_or_else(|| DEFAULT_OPTION_COMBO.to_owned());
        let key = (data_set.clone(), period.clone(), unit.clone(), combo);
        let completion = Completion {
            date: date.to_string(),
            stored_by: case.user.name.clone(),
            completed: true,
            writes: Vec::new(),
        };
        world.complete(key, completion, case.request.number);
    }
    Ok(Some(date.to_string()))
}

/// The header's period and organisation unit win; an unreadable period is dropped without a word.
fn override_rows(set: &mut DataValueSet) {
    let period = set.period.clone().filter(|iso| periods::parse(iso).is_some());
    for row in &mut set.rows {
        if period.is_some() {
            row.period.clone_from(&period);
        }
        if set.org_unit.is_some() {
            row.org_unit.clone_from(&set.org_unit);
        }
        if set.attribute_combo.is_some() {
            row.attribute_combo.clone_from(&set.attribute_combo);
        }
    }
}

/// A value that may be stored.
struct Checked {
    key: CellKey,
    new: NewValue,
    /// Zero where zero does not matter.
    insignificant: bool,
}

type Refused = Box<Conflict>;

fn conflict(
    code: &'static str,
    property: &'static str,
    objects: Vec<(&'static str, String)>,
    value: String,
) -> Refused {
    let object = objects.first().map(|(_, id)| id.clone());
    Box::new(Conflict {
        object,
        objects: Some(objects),
        value,
        code: Some(code),
        property: Some(property),
        indexes: None,
    })
}

fn named(kind: &'static str, id: Option<&String>) -> Vec<(&'static str, String)> {
    id.map(|id| (kind, id.clone())).into_iter().collect()
}

fn check(world: &World, case: &Case, set: &DataValueSet, row: &Row) -> Result<Checked, Refused> {
    let null = "null".to_owned();
    let element_id = row.data_element.clone().unwrap_or_else(|| null.clone());
    let Some(element) = world.country.element(&element_id) else {
        let text = format!("Data element not found or not accessible: `{element_id}`");
        return Err(conflict("E7610", "dataElement", named("dataElement", row.data_element.as_ref()), text));
    };
    let iso = row.period.clone().unwrap_or_else(|| null.clone());
    let collided = matches!(case.clash, Clash::First(periods) if periods.contains(&iso));
    let Some(period) = periods::parse(&iso).filter(|_| !collided) else {
        let text = format!("Period not valid: `{iso}`");
        return Err(conflict("E7611", "period", named("period", row.period.as_ref()), text));
    };
    let unit = row.org_unit.clone().unwrap_or(null);
    if world.country.unit(&unit).is_none() {
        let text = format!("Organisation unit not found or not accessible: `{unit}`");
        return Err(conflict("E7612", "orgUnit", named("organisationUnit", row.org_unit.as_ref()), text));
    }
    let combo = |given: &Option<String>, code, property, what: &str| {
        let id = given.clone().unwrap_or_else(|| DEFAULT_OPTION_COMBO.to_owned());
        if world.country.option_combo(&id).is_some() {
            return Ok(id);
        }
        let text = format!("{what} option combo not found or not accessible for writing data: `{id}`");
        Err(conflict(code, property, vec![("categoryOptionCombo", id)], text))
    };
    let option_combo = combo(&row.option_combo, "E7613", "categoryOptionCombo", "Category")?;
    let attribute_combo = combo(&row.attribute_combo, "E7615", "attributeOptionCombo", "Attribute")?;
    if !world.in_hierarchy(case.user, &unit) {
        let objects = vec![("organisationUnit", unit.clone()), ("user", case.user.id.clone())];
        let text =
            format!("Organisation unit: `{unit}` not in hierarchy of current user: `{}`", case.user.id);
        return Err(conflict("E7617", "orgUnit", objects, text));
    }
    let key = CellKey {
        period: period.iso.clone(),
        org_unit: unit,
        data_element: element.id.clone(),
        option_combo,
        attribute_combo,
    };
    let value = check_value(world, case, element, row)?;
    strict(world, case.request, set, (&key, element, &period))?;
    locked(world, case, set, (&key, &period))?;
    let insignificant =
        value.as_deref().is_some_and(|text| text == "0" || text == "0.0") && !element.zero_is_significant;
    let deleted = row.deleted;
    let new = NewValue { value, comment: row.comment.clone(), follow_up: row.follow_up_old, deleted };
    Ok(Checked { key, new, insignificant })
}

fn check_value(
    world: &World,
    case: &Case,
    element: &DataElement,
    row: &Row,
) -> Result<Option<String>, Refused> {
    let of_element = || vec![("dataElement", element.id.clone())];
    let text = row.text().filter(|text| !text.is_empty());
    let delete = row.deleted || case.strategy == "DELETE";
    if text.is_none() && row.comment.is_none() && !delete {
        let text = format!("Data value or comment not specified for data element: `{}`", element.id);
        return Err(conflict("E7618", "value", of_element(), text));
    }
    if row.comment.as_ref().is_some_and(|comment| comment.chars().count() > 50_000) {
        let key = "comment_length_greater_than_max_length";
        let text = "Invalid comment: Comment is greater than max length".to_owned();
        return Err(conflict("E7620", "comment", vec![("comment", key.to_owned())], text));
    }
    let Some(text) = text else { return Ok(None) };
    values::check(world.version, &world.country, element, &text).map(Some).map_err(|wrong| match wrong {
        Wrong::Type(key, sentence) => {
            let mut objects = of_element();
            objects.push(("value", key.to_owned()));
            let text = format!("Value must match value type of data element `{}`: `{sentence}`", element.id);
            conflict("E7619", "value", objects, text)
        }
        Wrong::Option => {
            let text =
                format!("Data value is not a valid option of the data element option set: `{}`", element.id);
            conflict("E7621", "value", of_element(), text)
        }
    })
}

/// What only the `strict*` switches refuse.
fn strict(
    world: &World,
    request: &Request,
    set: &DataValueSet,
    (key, element, period): (&CellKey, &DataElement, &Period),
) -> Result<(), Refused> {
    let on = |switch: &str| request.flag(switch);
    let id = &element.id;
    let sets = || world.country.data_sets.iter().filter(|own| own.elements.contains(id));
    if on("strictPeriods") && !sets().any(|own| own.period_type == period.kind) {
        let objects = vec![("period", key.period.clone()), ("dataElement", id.clone())];
        let text = format!("Period type of period: `{}` not valid for data element: `{id}`", key.period);
        // The only one of these that names no property.
        return Err(Box::new(Conflict { property: None, ..*conflict("E7632", "period", objects, text) }));
    }
    if let (true, Some(data_set)) = (on("strictDataElements"), &set.data_set)
        && !sets().any(|own| own.id == *data_set)
    {
        let objects = vec![("dataElement", id.clone()), ("dataSet", data_set.clone())];
        let text = format!("Data element: `{id}` is not part of dataset(s): `{data_set}`");
        return Err(conflict("E7633", "dataElement", objects, text));
    }
    let combo_of = |combo: &str| world.country.option_combo(combo).map(|own| own.combo.clone());
    if on("strictCategoryOptionCombos") && combo_of(&key.option_combo).as_deref() != Some(&element.combo) {
        let objects = vec![("categoryOptionCombo", key.option_combo.clone()), ("dataElement", id.clone())];
        let text = format!(
            "Category option combo: `{}` must be part of category combo of data element: `{id}`",
            key.option_combo
        );
        return Err(conflict("E7634", "categoryOptionCombo", objects, text));
    }
    let attribute = combo_of(&key.attribute_combo);
    if on("strictAttributeOptionCombos") && !sets().any(|own| Some(&own.combo) == attribute.as_ref()) {
        let objects = vec![("categoryOptionCombo", key.attribute_combo.clone()), ("dataElement", id.clone())];
        let text = format!(
            "Attribute option combo: `{}` must be part of category combo of data sets of data element: `{id}`",
            key.attribute_combo
        );
        return Err(conflict("E7635", "attributeOptionCombo", objects, text));
    }
    if on("strictOrganisationUnits") && !sets().any(|own| own.units.contains(&key.org_unit)) {
        let objects = vec![("organisationUnit", key.org_unit.clone()), ("dataElement", id.clone())];
        let text = format!(
            "Data element: `{id}` must be assigned through data sets to organisation unit: `{}`",
            key.org_unit
        );
        return Err(conflict("E7636", "orgUnit", objects, text));
    }
    Ok(())
}

/// Expiry, future periods, approval.
fn locked(
    world: &World,
    case: &Case,
    set: &DataValueSet,
    (key, period): (&CellKey, &Period),
) -> Result<(), Refused> {
    let own = set.data_set.as_ref().and_then(|id| world.country.data_set(id));
    let of_element = || world.country.data_sets.iter().find(|own| own.elements.contains(&key.data_element));
    let Some(data_set) = own.or_else(of_element) else { return Ok(()) };
    let forced = gate::refused_by_fault(case.request, &data_set.id, key);
    let objects = || vec![("period", key.period.clone()), ("dataSet", data_set.id.clone())];
    if gate::is_expired(data_set, period) && !case.user.may("F_EDIT_EXPIRED")
        || forced == Some(Because::Expired)
    {
        let text = format!(
            "Current date is past expiry days for period: `{}`  and data set: `{}`",
            key.period, data_set.id
        );
        return Err(conflict("E7640", "period", objects(), text));
    }
    if let Some(latest) = gate::latest_open(data_set).filter(|latest| period.start > latest.start) {
        let objects = vec![
            ("period", key.period.clone()),
            ("dataElement", key.data_element.clone()),
            ("dataSet", data_set.id.clone()),
        ];
        let text = format!(
            "Period: `{}` is after latest open future period: `{}` for data element: `{}` and data set: `{}`",
            key.period, latest.iso, key.data_element, data_set.id
        );
        return Err(conflict("E7641", "period", objects, text));
    }
    if forced == Some(Because::Approved) {
        let text = format!(
            "Data is already approved for data set: `{}` period: `{}` organisation unit: `{}` attribute option combo: `{}`",
            data_set.id, key.period, key.org_unit, key.attribute_combo
        );
        return Err(conflict("E7642", "orgUnit", vec![("organisationUnit", key.org_unit.clone())], text));
    }
    if forced == Some(Because::Unassigned) && case.request.flag("strictOrganisationUnits") {
        let objects = vec![("organisationUnit", key.org_unit.clone())];
        let text = format!(
            "Data element: `{}` must be assigned through data sets to organisation unit: `{}`",
            key.data_element, key.org_unit
        );
        return Err(conflict("E7636", "orgUnit", objects, text));
    }
    Ok(())
}

/// Stores one value and counts it the way this importer counts.
fn store(
    world: &mut World,
    case: &Case,
    summary: &mut Summary,
    (index, checked): (usize, Checked),
    (before, added): (&BTreeSet<CellKey>, &mut BTreeSet<CellKey>),
) {
    let Checked { key, mut new, insignificant } = checked;
    // The first of several values for one new cell wins, and the others vanish without a trace.
    if added.contains(&key) {
        return;
    }
    let existing = world.cells.get(&key).filter(|cell| before.contains(&key) && !cell.deleted);
    let present = existing.is_some();
    let same = existing.is_some_and(|cell| {
        cell.value == new.value && cell.comment == new.comment && cell.follow_up == new.follow_up
    });
    if case.strategy == "DELETE" {
        new.deleted = true;
        if !present {
            return summary.reject(index, None);
        }
    } else if insignificant && !present {
        return;
    } else if insignificant {
        new.deleted = true;
    }
    match (case.strategy.as_str(), present) {
        ("CREATE" | "NEW", true) | ("UPDATE" | "UPDATES", false) => return summary.reject(index, None),
        _ => {}
    }
    if new.deleted && present {
        summary.deleted += usize::from(!insignificant);
    } else if same {
        summary.ignored += 1;
        return;
    } else if present {
        summary.updated += 1;
    } else {
        summary.imported += 1;
        added.insert(key.clone());
    }
    if !case.dry_run {
        world.store(key, new, &case.user.name, case.request.number);
    }
}
