//! Names that stay: the id of a delivery, the canonical text of a wanted value.
//!
//! **Invariant:** made of names only, never of versions, positions or times, so that a mapping file may be
//! edited and a change mapped again without a second delivery of the same thing.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::mapping::output::{Nature, Output};

/// The destination's key in the store, `SYSTEM.NAME`: `dhis2.national`.
pub fn destination_key(system: &str, name: &str) -> String {
    format!("{system}.{name}")
}

/// The destination's key of an output: its target's first word names the system.
pub fn destination_of(output: &Output) -> String {
    let system = output.target.split('.').next().unwrap_or_default();
    destination_key(system, &output.destination)
}

/// The lane of what waits until something of `lane` is over there and makes nothing itself: apart from `lane`, so
/// that it does not stand in the way of who makes it, and due again as soon as something of `lane` was accepted.
pub fn lane_behind(lane: &str) -> String {
    format!("{lane}|there")
}

/// The id of the delivery that an output makes: 20 hexadecimal digits.
///
/// A count has one delivery for each lane, whoever contributes; state has one for each source and key, an
/// act one for each source, key, reason and occurrence.
pub fn delivery_id(tenant: &str, mapping: &str, source: &str, output: &Output) -> String {
    let destination = destination_of(output);
    match output.nature {
        Nature::Count => digest(&["count", tenant, &destination, mapping, &output.target_id, &output.lane]),
        Nature::State => {
            let names = ["one", tenant, &destination, mapping, &output.target_id, source, &output.key];
            digest(&names)
        }
        Nature::Act => {
            let (reason, occurrence) = output
                .act
                .as_ref()
                .map_or((output.target_id.as_str(), 1), |act| (act.reason.as_str(), act.occurrence));
            let (entry, key, occurrence) = (&output.target_id, &output.key, occurrence.to_string());
            digest(&["act", tenant, &destination, mapping, entry, source, key, reason, &occurrence])
        }
    }
}

/// Twenty hexadecimal digits over names, each with its length so that none runs into the next.
pub fn digest(names: &[&str]) -> String {
    let mut hash = Sha256::new();
    for name in names {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(20);
    text
}

/// JSON with sorted keys: equal values have equal texts.
pub fn canonical(value: &Value) -> String {
    sorted(value).to_string()
}

/// Depth is bounded by `serde_json`'s own limit of 128 when the value was parsed.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            let pairs = names
                .into_iter()
                .filter_map(|name| fields.get(name).map(|field| (name.clone(), sorted(field))));
            Value::Object(pairs.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_of_keys_does_not_matter() {
        let one = json!({"b": [{"y": 1, "x": 2}], "a": 1.50});
        let other = json!({"a": 1.50, "b": [{"x": 2, "y": 1}]});
        assert_eq!(canonical(&one), canonical(&other));
    }

    #[test]
    fn names_do_not_run_into_each_other() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_eq!(digest(&["ab", "c"]).len(), 20);
    }
}
