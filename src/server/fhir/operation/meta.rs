//! `$meta`, `$meta-add`, `$meta-delete`: the profiles, tags and labels of one resource.
//! <https://hl7.org/fhir/R4/resource-operation-meta.html>
//!
//! A change is an ordinary update of what is there: a new version on condition that nobody was quicker, and
//! none where nothing changes.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::super::super::answer::{self, Answer};
use super::super::call::{Call, Stop};
use super::super::{plan, read, render};
use super::arguments::bad;
use super::{Arguments, Place, answered};
use crate::auth::scope::Permission;
use crate::fhir::bundle::{self, Condition, Operation};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::resource::Resource;
use crate::store::write::Refusal;

/// How often a change is made anew because somebody else wrote meanwhile.
const TRIES: usize = 5;
/// Profiles, tags and labels that one call names, of each at most.
const GIVEN_MAX: usize = 1000;

/// The lists that the operations work on; what is in the others of `meta` is the server's.
const LISTS: [&str; 3] = ["profile", "security", "tag"];

/// `GET Type/id/$meta`
pub async fn read(call: &Call, place: &Place) -> Result<Answer, Stop> {
    let (resource, _) = current(call, place).await?;
    Ok(answered(call, &returned(&resource)))
}

/// `POST Type/id/$meta-add` and `$meta-delete`: `how` changes the lists of the first by those of the second.
pub async fn change(
    call: &Call,
    place: &Place,
    arguments: &Arguments,
    how: fn(&mut Map<String, Value>, &Value),
) -> Result<Answer, Stop> {
    let given = arguments.value("meta").filter(|meta| meta.is_object());
    let given = given.ok_or_else(|| bad("meta", "is a Meta (valueMeta)"))?;
    if LISTS.iter().any(|list| items(given, list).len() > GIVEN_MAX) {
        let text = format!("an operation changes at most {GIVEN_MAX} profiles, tags or labels");
        return Err(Outcome::error(IssueType::TooCostly, "too-costly", text).into());
    }
    for _ in 0..TRIES {
        let (mut resource, version) = current(call, place).await?;
        let before = resource.get("meta").cloned();
        if let Some(object) = resource.as_object_mut()
            && let Value::Object(meta) = object.entry("meta").or_insert_with(|| json!({}))
        {
            how(meta, given);
        }
        if resource.get("meta") == before.as_ref() || write(call, place, resource, version).await? {
            return changed(call, place).await;
        }
    }
    Err(Outcome::error(IssueType::Conflict, "version-conflict", "others write this resource all the time")
        .hint("try again")
        .into())
}

/// What became of it; the whole `meta` is more than what the client sent: it needs to be allowed to read.
async fn changed(call: &Call, place: &Place) -> Result<Answer, Stop> {
    match call.principal.require(Permission::Read, place.kind()) {
        Ok(()) => read(call, place).await,
        Err(_) => Ok(answered(call, &json!({ "resourceType": "Parameters" }))),
    }
}

/// Writes it on condition that its version is still this one: false where it is not.
async fn write(call: &Call, place: &Place, resource: Value, version: i64) -> Result<bool, Stop> {
    let resource = Resource::tolerating(resource, call.tolerated())?;
    let id = place.id().unwrap_or_default().to_owned();
    let operation = Operation::Update { resource, id, condition: Condition::Version(version) };
    let zone = call.zone();
    let plan = bundle::single(operation, &call.context(&zone))?;
    match plan::write(call, plan).await {
        Ok(done) if done.is_empty() => Err(answer::of_refusal(Refusal::Store).into()),
        Ok(_) => Ok(true),
        Err(Stop::Outcome(outcome)) if outcome.status == 412 => Ok(false),
        Err(stop) => Err(stop),
    }
}

/// The current version as clients see it, and its number.
async fn current(call: &Call, place: &Place) -> Result<(Value, i64), Stop> {
    let (kind, id) = (place.kind(), place.id().unwrap_or_default());
    let stored = read::current(call, kind, id).await?;
    let Some(version) = read::version_of(&stored) else { return Err(render::gone_outcome(kind, id).into()) };
    let resource = serde_json::from_str(&version.text()).unwrap_or_default();
    Ok((resource, stored.version))
}

fn returned(resource: &Value) -> Value {
    let meta = resource.get("meta").cloned().unwrap_or_else(|| json!({}));
    json!({ "resourceType": "Parameters", "parameter": [{ "name": "return", "valueMeta": meta }] })
}

/// What is there already stays once.
pub fn add(meta: &mut Map<String, Value>, given: &Value) {
    for list in LISTS.into_iter().filter(|list| !items(given, list).is_empty()) {
        let Value::Array(there) = meta.entry(list).or_insert_with(|| json!([])) else { continue };
        let mut known: HashSet<Value> = there.iter().map(identity).collect();
        there.extend(items(given, list).iter().filter(|one| known.insert(identity(one))).cloned());
    }
}

/// What is not there is not missed.
pub fn remove(meta: &mut Map<String, Value>, given: &Value) {
    for list in LISTS {
        let gone: HashSet<Value> = items(given, list).iter().map(identity).collect();
        if let Some(there) = meta.get_mut(list).and_then(Value::as_array_mut) {
            there.retain(|known| !gone.contains(&identity(known)));
        }
        // R4 has no empty arrays.
        if meta.get(list).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            meta.shift_remove(list);
        }
    }
}

fn items<'a>(meta: &'a Value, list: &str) -> &'a [Value] {
    meta.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A canonical by its text, a Coding by system and code alone.
fn identity(one: &Value) -> Value {
    match one.as_object() {
        Some(coding) => json!([coding.get("system"), coding.get("code")]),
        None => one.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_added_once_and_removed_by_system_and_code() {
        let mut meta = Map::new();
        let tag = json!({ "tag": [{ "system": "s", "code": "out" }], "profile": ["http://p"] });
        add(&mut meta, &tag);
        add(&mut meta, &json!({ "tag": [{ "system": "s", "code": "out", "display": "x" }] }));
        assert_eq!(
            Value::Object(meta.clone()),
            json!({ "profile": ["http://p"], "tag": [{ "system": "s", "code": "out" }] })
        );
        remove(
            &mut meta,
            &json!({ "tag": [{ "system": "s", "code": "out" }, { "system": "s", "code": "other" }] }),
        );
        assert_eq!(Value::Object(meta), json!({ "profile": ["http://p"] }));
    }
}
