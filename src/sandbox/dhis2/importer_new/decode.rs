//! Uids, values and periods that cannot be read at all.

use super::super::incoming::{DataValueSet, Row};
use super::super::periods;
use super::{Stop, undecodable};

const NO_GROUP: &str =
    "Cannot invoke \"org.hisp.dhis.datavalue.DataEntryGroup.deletion()\" because \"group\" is null";

fn is_uid(text: &str) -> bool {
    text.len() == 11
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Uids and periods that cannot be read stop the whole request.
pub(super) fn decode(set: &DataValueSet) -> Result<(), Stop> {
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
