//! From conflicts back to rows: which of the rows that were sent were refused, and why.

use super::conflicts::{self, About, Fate};
use super::summary::{Conflict, Summary};
use super::table::Meaning;
use crate::delivery::destination::Reason;

/// The identifiers of a row that was sent, as they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RowNames {
    pub data_set: String,
    pub element: String,
    pub unit: String,
    pub period: String,
    pub combo: String,
    pub attribute: String,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowVerdict {
    Stored,
    Refused(Reason),
    /// The same again, soon.
    Collided(Reason),
    /// Not stored because of other rows of its group: send it again without them.
    Spoiled,
    /// The answer does not say: read back.
    Unknown,
}

/// The verdict on each row that was sent, for an answer that means [`Meaning::RowByRow`] or
/// [`Meaning::GroupRefused`].
pub fn trace(summary: &Summary, meaning: Meaning, rows: &[RowNames]) -> Vec<RowVerdict> {
    let start = if meaning == Meaning::GroupRefused { RowVerdict::Spoiled } else { RowVerdict::Stored };
    let mut verdicts = vec![start; rows.len()];
    for conflict in &summary.conflicts {
        let row = conflicts::find(&conflict.code, &conflict.text);
        let culprits = match meaning {
            Meaning::GroupRefused => named(conflict, row.about, rows),
            _ if conflict.indexes.is_empty() => named(conflict, row.about, rows),
            _ => conflict.indexes.iter().copied().filter(|at| *at < rows.len()).collect(),
        };
        for at in culprits {
            if let (Some(verdict), Some(names)) = (verdicts.get_mut(at), rows.get(at)) {
                let reason = row.reason(&conflict.code, names);
                *verdict = match row.fate {
                    Fate::Refused => RowVerdict::Refused(reason),
                    Fate::Collided => RowVerdict::Collided(reason),
                };
            }
        }
    }
    doubt(summary, meaning, &mut verdicts);
    verdicts
}

/// Rows that were rejected without a conflict, and rows of an answer that counts more than it names, are
/// not known to be stored.
fn doubt(summary: &Summary, meaning: Meaning, verdicts: &mut [RowVerdict]) {
    if meaning == Meaning::GroupRefused {
        return;
    }
    for at in &summary.rejected {
        if let Some(verdict @ RowVerdict::Stored) = verdicts.get_mut(*at) {
            *verdict = RowVerdict::Unknown;
        }
    }
    let unnamed = summary.conflicts.iter().any(|conflict| conflict.indexes.is_empty());
    if unnamed {
        for verdict in verdicts.iter_mut().filter(|verdict| **verdict == RowVerdict::Stored) {
            *verdict = RowVerdict::Unknown;
        }
    }
}

/// Rows that a conflict names: 2.43 gives every row of the group as index, and the culprits as arguments.
fn named(conflict: &Conflict, about: About, rows: &[RowNames]) -> Vec<usize> {
    let names = |text: &str| !text.is_empty() && conflict.names.iter().any(|name| name == text);
    let of_one_unit = rows.windows(2).all(|pair| matches!(pair, [one, next] if one.unit == next.unit));
    let hits: Vec<usize> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| match about {
            About::Element => names(&row.element),
            About::Unit => names(&row.unit),
            About::Period => names(&row.period),
            About::Combo => names(&row.combo) && (names(&row.element) || conflict.names.len() == 1),
            About::Attribute => names(&row.attribute),
            About::PeriodOfOneUnit => of_one_unit && names(&row.period),
            About::UnitAndPeriod => names(&row.unit) && names(&row.period),
            About::DataSet => names(&row.data_set) || conflict.names.is_empty(),
            About::Value => false,
        })
        .map(|(at, _)| at)
        .collect();
    if hits.is_empty() { only_one(conflict, rows) } else { hits }
}

/// Where one row was sent, it is the one.
fn only_one(conflict: &Conflict, rows: &[RowNames]) -> Vec<usize> {
    match (rows.len(), conflict.indexes.as_slice()) {
        (1, _) => vec![0],
        (_, [at]) if *at < rows.len() => vec![*at],
        _ => Vec::new(),
    }
}
