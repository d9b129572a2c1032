//! The bodies that are sent, and the rows behind them.

use serde_json::{Map, Value, json};

use super::check::{Content, Resolved};
use crate::dhis2::version::{Generation, Version};

/// `POST /api/dataValueSets`: values of one data set, each with its own period and organisation unit
/// (2.40 lets the header win over the row, 2.43 the row over the header: only one of them is sent).
pub(super) fn data_value_set(data_set: &str, rows: &[&Resolved]) -> Value {
    let values: Vec<Value> = rows.iter().map(|row| data_value(row)).collect();
    json!({ "dataSet": data_set, "dataValues": values })
}

fn data_value(row: &Resolved) -> Value {
    let mut value = Map::new();
    value.insert("dataElement".to_owned(), json!(row.names.element));
    value.insert("period".to_owned(), json!(row.names.period));
    value.insert("orgUnit".to_owned(), json!(row.names.unit));
    for (name, combo) in
        [("categoryOptionCombo", &row.names.combo), ("attributeOptionCombo", &row.names.attribute)]
    {
        if !combo.is_empty() {
            value.insert(name.to_owned(), json!(combo));
        }
    }
    match &row.content {
        // Always text: 2.43 answers 500 to a JSON number.
        Content::Set { value: text, comment, .. } => {
            value.insert("value".to_owned(), json!(text));
            if let Some(comment) = comment {
                value.insert("comment".to_owned(), json!(comment));
            }
        }
        _ => {
            value.insert("deleted".to_owned(), json!(true));
        }
    }
    Value::Object(value)
}

/// The classic importer stores what is wrong unless it is told not to; the pipeline is always strict.
pub(super) fn import_query(version: Version) -> Vec<(&'static str, String)> {
    let mut query = vec![("async", "false".to_owned())];
    if version.generation() == Generation::Classic {
        let switches = [
            "strictPeriods",
            "strictDataElements",
            "strictCategoryOptionCombos",
            "strictAttributeOptionCombos",
            "strictOrganisationUnits",
        ];
        query.extend(switches.map(|switch| (switch, "true".to_owned())));
    }
    query
}

/// `POST /api/completeDataSetRegistrations`; the key is `organisationUnit` here.
pub(super) fn registrations(rows: &[&Resolved]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut one = json!({
                "dataSet": row.names.data_set,
                "period": row.names.period,
                "organisationUnit": row.names.unit,
                "completed": true,
            });
            if !row.names.attribute.is_empty() {
                one["attributeOptionCombo"] = json!(row.names.attribute);
            }
            if let Content::Complete { date: Some(date) } = &row.content {
                one["date"] = json!(date);
            }
            one
        })
        .collect();
    json!({ "completeDataSetRegistrations": rows })
}

/// `POST /api/dataEntry/dataSetCompletion`, which works for a period that the server has never stored.
pub(super) fn completion(row: &Resolved, attribute: Option<(String, Vec<String>)>) -> Value {
    let mut one = json!({
        "dataSet": row.names.data_set,
        "period": row.names.period,
        "orgUnit": row.names.unit,
        "completed": true,
    });
    if let Some((combo, options)) = attribute {
        one["attribute"] = json!({ "combo": combo, "options": options });
    }
    one
}
