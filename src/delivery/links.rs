//! Symbolic links: `{ "$link": { "resource": "Patient/1" } }` in what a delivery wants names a remote object
//! by the resource that it is.
//!
//! The mapping engine cannot know ids that do not exist yet. They are looked up when a delivery is claimed and
//! travel beside it ([`super::destination::Outgoing::links`]); **nothing is substituted here**, so that what is
//! wanted stays equal to what was sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::store::db::Connection;
use crate::store::error::Error;
use crate::store::link;

/// The resource that a link names, where `value` is one.
pub fn resource_of(value: &Value) -> Option<&str> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.get("$link")?.get("resource")?.as_str()
}

/// Every resource that a link in these values names.
pub fn named<'a>(values: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Depth is bounded: what is wanted was parsed as JSON, which has a limit of its own.
    let mut open: Vec<&Value> = values.into_iter().collect();
    while let Some(value) = open.pop() {
        if let Some(resource) = resource_of(value) {
            found.insert(resource.to_owned());
            continue;
        }
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.values()),
            _ => {}
        }
    }
    found
}

/// The remote ids of resources at a destination. Those that have none are left out.
///
/// A resource may be several things over there. What was made for the resource itself comes before what
/// happened to it: of the kinds at one system the last by name counts (`dhis2.tracker` before `dhis2.event`).
///
/// # Errors
/// The database's.
pub async fn remote_ids(
    db: &mut Connection,
    tenant: &str,
    (system, name): (&str, &str),
    resources: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, Error> {
    if resources.is_empty() {
        return Ok(BTreeMap::new());
    }
    let pairs: Vec<(String, String)> = resources
        .iter()
        .filter_map(|resource| resource.split_once('/'))
        .map(|(kind, id)| (kind.to_owned(), id.to_owned()))
        .collect();
    // Ordered by remote kind: the last one stays.
    let links = link::of(db, tenant, name, &pairs).await?;
    let here = links.into_iter().filter(|link| link.remote_kind.split('.').next() == Some(system));
    Ok(here.map(|link| (format!("{}/{}", link.kind, link.id), link.remote_id)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn links_are_found_at_any_depth() {
        let wanted = json!({
            "contact": { "$link": { "resource": "Patient/1" } },
            "params": [{ "a": { "$link": { "resource": "Group/2" } } }, "$link", { "$link": 1 }],
        });
        let found: Vec<String> =
            named([&wanted, &json!({ "$link": { "resource": "Patient/1" } })]).into_iter().collect();
        assert_eq!(found, ["Group/2", "Patient/1"]);
    }

    #[test]
    fn an_object_with_more_than_a_link_is_none() {
        assert_eq!(resource_of(&json!({ "$link": { "resource": "A/1" }, "x": 1 })), None);
        assert_eq!(resource_of(&json!({ "$link": { "resource": "A/1" } })), Some("A/1"));
    }
}
