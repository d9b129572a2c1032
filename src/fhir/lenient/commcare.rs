//! CommCare HQ's FHIR repeater.

use serde_json::Value;

use super::Repair;

/// A PUT whose resource carries CommCare's own case id where R4 wants the id of the url.
/// <https://hl7.org/fhir/R4/http.html#update>
pub fn repair(entry: &mut Value) -> Option<Repair> {
    let request = entry.get("request")?;
    if request.get("method")?.as_str()? != "PUT" {
        return None;
    }
    let url = request.get("url")?.as_str()?.trim_matches('/');
    let (kind, id) = url.split_once('/').filter(|(_, id)| !id.contains(['/', '?']))?;
    let (kind, id) = (kind.to_owned(), id.to_owned());
    let resource = entry.get_mut("resource")?.as_object_mut()?;
    if resource.get("id").and_then(Value::as_str) == Some(&*id) {
        return None;
    }
    resource.insert("id".to_owned(), id.into());
    Some(Repair::new("id-of-the-url", "the resource's id was made that of the url", format!("{kind}.id")))
}
