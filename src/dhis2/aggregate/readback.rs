//! Which cells are there as they were sent: where an answer is unclear, DHIS2 is asked what it holds.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::check::{Content, Resolved};
use crate::delivery::destination::{Exchange, Failure};
use crate::dhis2::client::{Client, Request};
use crate::dhis2::value;
use crate::dhis2::version::Generation;

/// Organisation units in one question, so that its address stays short.
const UNITS: usize = 40;

/// Element, period, unit, category and attribute option combo.
type Cell = (String, String, String, String, String);

/// For each row: whether it is there as it was sent. `None`: DHIS2 does not say.
pub(super) async fn read_back(
    client: &Client,
    rows: &[&Resolved],
    generation: Generation,
    exchanges: &mut Vec<Exchange>,
) -> Option<Vec<bool>> {
    let mut found: HashMap<Cell, (String, String)> = HashMap::new();
    let sets: BTreeSet<&str> = rows.iter().map(|row| row.names.data_set.as_str()).collect();
    for set in sets {
        let of_set: Vec<&&Resolved> = rows.iter().filter(|row| row.names.data_set == set).collect();
        let units: BTreeSet<&str> = of_set.iter().map(|row| row.names.unit.as_str()).collect();
        let periods: BTreeSet<&str> = of_set.iter().map(|row| row.names.period.as_str()).collect();
        let units: Vec<&str> = units.into_iter().collect();
        for units in units.chunks(UNITS) {
            let mut query = vec![("dataSet", set.to_owned())];
            query.extend(periods.iter().map(|period| ("period", (*period).to_owned())));
            query.extend(units.iter().map(|unit| ("orgUnit", (*unit).to_owned())));
            let (response, exchange) = client.send(Request::get("dataValueSets", query)).await;
            exchanges.push(exchange);
            collect(&read(response)?, &mut found);
        }
    }
    Some(rows.iter().map(|row| is_there(row, found.get(&cell(row)), generation)).collect())
}

fn read(response: Result<crate::dhis2::answer::Response, Failure>) -> Option<Value> {
    let response = response.ok().filter(|response| response.status == 200)?;
    serde_json::from_str(&response.body).ok().filter(Value::is_object)
}

/// 2.43 says once, in the header, what all rows have in common.
fn collect(set: &Value, found: &mut HashMap<Cell, (String, String)>) {
    let rows = set.get("dataValues").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for row in rows {
        let text = |name: &str| {
            let own = row.get(name).and_then(Value::as_str);
            own.or_else(|| set.get(name).and_then(Value::as_str)).unwrap_or_default().to_owned()
        };
        let cell = (
            text("dataElement"),
            text("period"),
            text("orgUnit"),
            text("categoryOptionCombo"),
            text("attributeOptionCombo"),
        );
        if row.get("deleted") != Some(&Value::Bool(true)) {
            found.insert(cell, (text("value"), text("comment")));
        }
    }
}

fn cell(row: &Resolved) -> Cell {
    let names = row.names.clone();
    (names.element, names.period, names.unit, names.combo, names.attribute)
}

fn is_there(row: &Resolved, stored: Option<&(String, String)>, generation: Generation) -> bool {
    match (&row.content, stored) {
        (Content::Set { value, comment, value_type, .. }, Some((text, remark))) => {
            value::same(value, text, *value_type) && comment.as_deref().unwrap_or_default() == remark
        }
        // The classic importer does not store a zero that is not significant.
        (Content::Set { zero_may_vanish, .. }, None) => *zero_may_vanish && generation == Generation::Classic,
        (Content::Delete, stored) => stored.is_none(),
        _ => false,
    }
}
