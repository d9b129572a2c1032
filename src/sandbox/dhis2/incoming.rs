//! A data value set as it came in.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The body of `POST dataValueSets`, with the positions of its values.
#[derive(Debug, Clone, Default)]
pub(super) struct DataValueSet {
    pub data_set: Option<String>,
    pub period: Option<String>,
    pub org_unit: Option<String>,
    pub attribute_combo: Option<String>,
    pub complete_date: Option<String>,
    pub rows: Vec<Row>,
}

/// One data value.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub data_element: Option<String>,
    pub period: Option<String>,
    pub org_unit: Option<String>,
    pub option_combo: Option<String>,
    pub attribute_combo: Option<String>,
    /// As it was written: text, number, boolean; null and absent are `None`.
    pub value: Option<Value>,
    pub comment: Option<String>,
    /// `followup`, read up to 2.42, and `followUp`, read since 2.43.
    pub follow_up_old: bool,
    pub follow_up_new: bool,
    pub deleted: bool,
}

impl Row {
    /// The value as text.
    pub fn text(&self) -> Option<String> {
        match &self.value {
            None => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        }
    }
}

impl DataValueSet {
    pub fn read(body: &Map<String, Value>) -> Self {
        let rows = body.get("dataValues").and_then(Value::as_array);
        Self {
            data_set: text(body, "dataSet"),
            period: text(body, "period"),
            org_unit: text(body, "orgUnit"),
            attribute_combo: text(body, "attributeOptionCombo"),
            complete_date: text(body, "completeDate"),
            rows: rows.into_iter().flatten().filter_map(Value::as_object).map(row).collect(),
        }
    }
}

fn row(row: &Map<String, Value>) -> Row {
    let flag = |key: &str| row.get(key).and_then(Value::as_bool).unwrap_or(false);
    Row {
        data_element: text(row, "dataElement"),
        period: text(row, "period"),
        org_unit: text(row, "orgUnit"),
        option_combo: text(row, "categoryOptionCombo"),
        attribute_combo: text(row, "attributeOptionCombo"),
        value: row.get("value").filter(|value| !value.is_null()).cloned(),
        comment: text(row, "comment"),
        follow_up_old: flag("followup"),
        follow_up_new: flag("followUp"),
        deleted: flag("deleted"),
    }
}

fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    match object.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Bool(truth)) => Some(truth.to_string()),
        _ => None,
    }
}

/// Every period that a body names.
pub(super) fn periods_in(body: &[u8]) -> BTreeSet<String> {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return BTreeSet::new() };
    let set = DataValueSet::read(&body);
    set.period.into_iter().chain(set.rows.into_iter().filter_map(|row| row.period)).collect()
}
