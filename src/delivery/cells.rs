//! Counted cells, computed from their contributions when they are claimed.
//!
//! There are no running totals: whatever contributes now is what the cell holds. Reads the contributions that
//! the mapper wrote; changes parts of the board that the claim has locked, nothing else.

use std::collections::BTreeSet;

use serde_json::Value;

use super::aggregate::{self, Contributed};
use super::board::Board;
use super::claim::cause;
use super::identity::canonical;
use crate::mapping::output::Aggregate;
use crate::store::db::Tx;
use crate::store::deliveries::{self, Cause, ContributionRow, PartRow, PartStatus, Place};
use crate::store::error::Error;

/// Computes the dirty cells that the board has locked.
pub(super) async fn compute(tx: &mut Tx, tenant: &str, board: &mut Board) -> Result<(), Error> {
    let locked: BTreeSet<Place> = board.slots.keys().cloned().collect();
    let dirty: Vec<PartRow> =
        board.parts.values().filter(|part| part.dirty && locked.contains(&part.place())).cloned().collect();
    for part in dirty {
        let rows = deliveries::contributions_at(tx, tenant, &part.delivery_id, &part.slot).await?;
        let key = (part.delivery_id.clone(), part.place());
        let keep = board.deliveries.get(&part.delivery_id).is_some_and(|row| row.withdraw == "keep");
        let computed = cell(&part, &rows);
        if keep && computed.wanted.is_none() {
            board.parts.remove(&key);
        } else {
            board.parts.insert(key, computed);
        }
    }
    Ok(())
}

/// A counted cell from its contributions.
fn cell(part: &PartRow, rows: &[ContributionRow]) -> PartRow {
    let clean =
        PartRow { dirty: false, status: PartStatus::Waiting, cause: Cause::default(), ..part.clone() };
    let latest = rows.iter().max_by_key(|row| (row.authored_ms, row.rid, &row.output_key));
    let Some(latest) = latest else { return PartRow { wanted: None, ..clean } };
    let authored_ms = latest.authored_ms;
    let contributed: Vec<Contributed> = rows.iter().map(contributed).collect();
    match aggregate::compute(&contributed) {
        Ok(Some(amount)) => PartRow { wanted: Some(with_value(&latest.cell, &amount)), authored_ms, ..clean },
        Ok(None) => PartRow { wanted: None, ..clean },
        // The wish stays visible but has no value; a retry computes it anew.
        Err(reason) => PartRow {
            wanted: Some(latest.cell.clone()),
            authored_ms,
            status: PartStatus::Dead,
            cause: cause(&reason),
            ..clean
        },
    }
}

fn contributed(row: &ContributionRow) -> Contributed {
    Contributed {
        aggregate: aggregate_of(&row.aggregate),
        amount: row.amount.clone(),
        distinct: row.distinct_key.clone(),
        authored_ms: row.authored_ms,
        source: (row.rid, format!("{}#{}", row.output_key, row.ordinal)),
    }
}

fn aggregate_of(text: &str) -> Aggregate {
    match text {
        "count" => Aggregate::Count,
        "distinct" => Aggregate::Distinct,
        "average" => Aggregate::Average,
        "min" => Aggregate::Min,
        "max" => Aggregate::Max,
        "last" => Aggregate::Last,
        _ => Aggregate::Sum,
    }
}

fn with_value(cell: &str, amount: &str) -> String {
    let mut cell: Value = serde_json::from_str(cell).unwrap_or(Value::Null);
    match cell.as_object_mut() {
        Some(fields) => {
            fields.insert("value".to_owned(), Value::String(amount.to_owned()));
        }
        None => cell = serde_json::json!({ "value": amount }),
    }
    canonical(&cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_keeps_its_own_fields() {
        assert_eq!(with_value(r#"{"dataElement":"x"}"#, "3"), r#"{"dataElement":"x","value":"3"}"#);
    }
}
