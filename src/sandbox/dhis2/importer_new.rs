//! The importer since 2.43: E8xxx.
//!
//! Values are upserted as a group: what is wrong with the set refuses all of it, what is wrong with one
//! value refuses that value. Everything stored counts as `updated`.

use jiff::civil::Date;

use super::country::DEFAULT_OPTION_COMBO;
use super::gate::Case;
use super::incoming::DataValueSet;
use super::periods;
use super::state::{CellKey, Clash, Completion, NewValue, World};
use super::summary::{Conflict, Status, Summary};
use super::values::{self, Wrong};

// What cannot be read.
mod decode;
// What refuses the whole group.
mod group;

use self::decode::decode;
use self::group::refuse_group;

/// Why the import cannot even begin.
pub(super) enum Stop {
    /// A refusal in an import summary.
    Summary(Box<Summary>),
    /// 500 with this message.
    Crash(String),
}

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

fn undecodable(code: &'static str, args: String, value: String) -> Stop {
    let conflict = Conflict { indexes: Some(vec![-1]), ..group_conflict(code, args, value) };
    Stop::Summary(Box::new(Summary {
        status: Status::Error,
        conflicts: vec![conflict],
        ..Summary::default()
    }))
}

fn group_conflict(code: &'static str, args: String, value: String) -> Conflict {
    Conflict { objects: Some(vec![("args", args)]), value, code: Some(code), ..Conflict::default() }
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
