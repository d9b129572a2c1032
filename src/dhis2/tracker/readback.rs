//! Whether an object is there as it is wanted: where an answer is unclear, DHIS2 is asked what it holds.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Checked, value_type};
use super::slot::Slot;
use crate::dhis2::metadata::Metadata;
use crate::dhis2::value;

/// Whether `there` is what is wanted, and holds none of the values that must be gone.
pub(super) fn is_there(
    checked: &Checked,
    there: &Value,
    gone: &BTreeSet<String>,
    metadata: &Metadata,
) -> bool {
    let Some(wanted) = &checked.wanted else { return false };
    let (list, name) = match checked.slot {
        Slot::Entity { .. } | Slot::Enrollment { .. } => ("attributes", "attribute"),
        Slot::Event { .. } | Slot::Single { .. } => ("dataValues", "dataElement"),
        Slot::Relationship { .. } => return true,
    };
    let members: &[&str] = match checked.slot {
        // DHIS2 ignores another organisation unit of a tracked entity.
        Slot::Entity { .. } => &[],
        _ => &["orgUnit", "enrolledAt", "occurredAt", "scheduledAt", "status"],
    };
    let fits = |name: &str| wanted.get(name).is_none_or(|value| same(value, &there[name]));
    let stored = |uid: &str| {
        let values = there[list].as_array().into_iter().flatten();
        values.filter(|value| value[name] == uid).find_map(|value| value["value"].as_str())
    };
    members.iter().all(|name| fits(name))
        && checked.values.iter().all(|(uid, text)| {
            stored(uid).is_some_and(|held| value::same(text, held, value_type(metadata, uid)))
        })
        && gone.iter().all(|uid| stored(uid).is_none_or(str::is_empty))
}

/// `2026-01-02` is `2026-01-02T00:00:00.000`.
fn same(wanted: &Value, there: &Value) -> bool {
    match (wanted.as_str(), there.as_str()) {
        (Some(wanted), Some(there)) => there == wanted || (wanted.len() >= 10 && there.starts_with(wanted)),
        _ => wanted == there,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::delivery::destination::OutgoingPart;
    use crate::dhis2::tracker::check::{check, tests::metadata};

    fn checked(slot: &str, wanted: Value) -> Checked {
        let part = OutgoingPart { slot: slot.to_owned(), wanted: Some(wanted), ..OutgoingPart::default() };
        check(&part, &metadata(), "2026-10-02".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_event_is_compared_by_date_status_and_values() {
        let one = checked(
            "event|Zd2rkv8FsWq||x",
            json!({ "orgUnit": "O6uvpzGd5pu", "occurredAt": "2026-10-01", "dataValues": { "BuZ5LGNfGEU": "3.0" } }),
        );
        let there = |value: &str| {
            json!({ "orgUnit": "O6uvpzGd5pu", "occurredAt": "2026-10-01T00:00:00.000", "status": "ACTIVE",
                "dataValues": [{ "dataElement": "BuZ5LGNfGEU", "value": value }] })
        };
        let none = BTreeSet::new();
        assert!(is_there(&one, &there("3"), &none, &metadata()));
        assert!(!is_there(&one, &there("4"), &none, &metadata()));
        let gone = BTreeSet::from(["BuZ5LGNfGEU".to_owned()]);
        assert!(!is_there(&one, &there("3"), &gone, &metadata()));
        let mut elsewhere = there("3");
        elsewhere["occurredAt"] = json!("2026-10-02T00:00:00.000");
        assert!(!is_there(&one, &elsewhere, &none, &metadata()));
    }
}
