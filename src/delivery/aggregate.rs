//! An aggregate cell from its contributions, in exact decimals.
//!
//! Pure. Running totals are never kept: a cell is computed from all its contributions when it is sent.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::destination::Reason;
use crate::mapping::output::Aggregate;

/// Digits after the point of an average.
const AVERAGE_SCALE: u32 = 10;

/// One contribution as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributed {
    pub aggregate: Aggregate,
    pub amount: String,
    /// What `distinct` counts once; empty where the mapping names none.
    pub distinct: String,
    pub authored_ms: i64,
    /// Breaks ties of `last`: the source and its key.
    pub source: (i64, String),
}

/// The cell's amount as decimal text; `None`: nobody contributes, the cell is emptied.
///
/// # Errors
/// An amount that is not a decimal of at most 28 digits, or a sum beyond them.
pub fn compute(contributions: &[Contributed]) -> Result<Option<String>, Reason> {
    let Some(latest) = contributions.iter().max_by_key(|one| (one.authored_ms, &one.source)) else {
        return Ok(None);
    };
    let amounts = || contributions.iter().map(|one| decimal(&one.amount));
    let amount = match latest.aggregate {
        Aggregate::Count => Decimal::from(contributions.len()),
        Aggregate::Distinct => {
            let keys: BTreeSet<&str> = contributions.iter().map(|one| one.distinct.as_str()).collect();
            Decimal::from(keys.len())
        }
        Aggregate::Sum => sum(amounts())?,
        Aggregate::Average => {
            let total = sum(amounts())?;
            total
                .checked_div(Decimal::from(contributions.len()))
                .ok_or_else(overflow)?
                .round_dp(AVERAGE_SCALE)
        }
        Aggregate::Min => extreme(amounts(), Decimal::min)?,
        Aggregate::Max => extreme(amounts(), Decimal::max)?,
        Aggregate::Last => decimal(&latest.amount)?,
    };
    Ok(Some(amount.normalize().to_string()))
}

fn decimal(text: &str) -> Result<Decimal, Reason> {
    Decimal::from_str_exact(text.trim()).map_err(|_| {
        Reason::new(
            "count-amount-not-a-number",
            "an amount that is added to this cell is not a decimal number of at most 28 digits",
            "see the mapping's `amount` with `mjumbe explain`; give it `type: number`",
        )
    })
}

fn sum(amounts: impl Iterator<Item = Result<Decimal, Reason>>) -> Result<Decimal, Reason> {
    let mut total = Decimal::ZERO;
    for amount in amounts {
        total = total.checked_add(amount?).ok_or_else(overflow)?;
    }
    Ok(total)
}

fn extreme(
    mut amounts: impl Iterator<Item = Result<Decimal, Reason>>,
    better: fn(Decimal, Decimal) -> Decimal,
) -> Result<Decimal, Reason> {
    let first = amounts.next().unwrap_or(Ok(Decimal::ZERO))?;
    amounts.try_fold(first, |best, amount| Ok(better(best, amount?)))
}

fn overflow() -> Reason {
    Reason::new(
        "count-too-large",
        "the amounts of this cell add up to more than 28 digits",
        "look for a wrong amount among its sources",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contributed(aggregate: Aggregate, amount: &str, distinct: &str, at: i64) -> Contributed {
        Contributed {
            aggregate,
            amount: amount.to_owned(),
            distinct: distinct.to_owned(),
            authored_ms: at,
            source: (at, String::new()),
        }
    }

    fn cell(aggregate: Aggregate) -> Option<String> {
        let all = [
            contributed(aggregate, "0.1", "a", 1),
            contributed(aggregate, "0.2", "b", 3),
            contributed(aggregate, "-3", "a", 2),
        ];
        compute(&all).unwrap()
    }

    #[test]
    fn every_aggregate_is_exact() {
        assert_eq!(cell(Aggregate::Sum).as_deref(), Some("-2.7"));
        assert_eq!(cell(Aggregate::Count).as_deref(), Some("3"));
        assert_eq!(cell(Aggregate::Distinct).as_deref(), Some("2"));
        assert_eq!(cell(Aggregate::Average).as_deref(), Some("-0.9"));
        assert_eq!(cell(Aggregate::Min).as_deref(), Some("-3"));
        assert_eq!(cell(Aggregate::Max).as_deref(), Some("0.2"));
        assert_eq!(cell(Aggregate::Last).as_deref(), Some("0.2"));
    }

    #[test]
    fn nobody_contributes_nothing() {
        assert_eq!(compute(&[]), Ok(None));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let bad = compute(&[contributed(Aggregate::Sum, "many", "", 1)]);
        assert_eq!(bad.unwrap_err().code, "count-amount-not-a-number");
        let huge = "79228162514264337593543950335";
        let both = [contributed(Aggregate::Sum, huge, "", 1), contributed(Aggregate::Sum, huge, "", 2)];
        assert_eq!(compute(&both).unwrap_err().code, "count-too-large");
    }
}
