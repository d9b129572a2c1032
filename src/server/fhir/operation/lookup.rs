//! `CodeSystem/$lookup`: what a stored code system says about a code.
//! <https://hl7.org/fhir/R4/codesystem-operation-lookup.html>

use serde_json::{Map, Value, json};

use super::super::super::answer::Answer;
use super::super::call::{Call, Stop};
use super::super::terminology;
use super::stored;
use super::{Arguments, answered};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::terminology::{Canonical, Concept, System, not_supported};

/// `GET CodeSystem/$lookup?system=…&code=…`, and by POST.
pub async fn lookup(call: &Call, arguments: &Arguments) -> Result<Answer, Stop> {
    let asked = stored::asked(arguments, "version")?.into_iter().next().unwrap_or_default();
    let Some(system) = &asked.system else {
        let text = "the operation needs the code's `system`";
        return Err(Outcome::error(IssueType::Required, "parameter-missing", text).into());
    };
    let canonical = Canonical::parse(system).or_version(asked.version.as_deref());
    let Some(system) = terminology::system(call, &canonical).await? else {
        let text = format!("the code system of {} is not stored here", stored::shown(&asked));
        return Err(not_supported("terminology-unknown", text).status(404).into());
    };
    let Some(concept) = system.find(&asked.code) else {
        let text = format!("there is no code {}", stored::shown(&asked));
        return Err(Outcome::error(IssueType::NotFound, "unknown-code", text).into());
    };
    Ok(answered(call, &told(&system, concept, &arguments.texts("property"))))
}

/// `properties` are those that the caller names; none named are all.
fn told(system: &System, concept: &Concept, properties: &[String]) -> Value {
    let wanted = |name: &str| properties.is_empty() || properties.iter().any(|one| one == name);
    let mut all =
        vec![json!({ "name": "name", "valueString": system.name.as_deref().unwrap_or(&system.url) })];
    if let Some(version) = &system.version {
        all.push(json!({ "name": "version", "valueString": version }));
    }
    // R4 wants a display; a code without one is shown as it is.
    let display = concept.display.as_deref().unwrap_or(&concept.code);
    all.push(json!({ "name": "display", "valueString": display }));
    let of = |name: &str| concept.body.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    if wanted("designation") {
        all.extend(of("designation").iter().map(designation));
    }
    if let Some(definition) = concept.body.get("definition").filter(|_| wanted("definition")) {
        let parts = [
            json!({ "name": "code", "valueCode": "definition" }),
            json!({ "name": "value", "valueString": definition }),
        ];
        all.push(json!({ "name": "property", "part": parts }));
    }
    for property in of("property") {
        let code = property.get("code").and_then(Value::as_str).unwrap_or_default();
        let value =
            property.as_object().and_then(|all| all.iter().find(|(name, _)| name.starts_with("value")));
        if let Some((name, value)) = value.filter(|_| wanted(code)) {
            let mut part = Map::new();
            part.insert("name".to_owned(), "value".into());
            part.insert(name.clone(), value.clone());
            all.push(json!({ "name": "property", "part": [{ "name": "code", "valueCode": code }, part] }));
        }
    }
    json!({ "resourceType": "Parameters", "parameter": all })
}

fn designation(one: &Value) -> Value {
    let mut parts = Vec::new();
    for (name, kind) in [("language", "valueCode"), ("use", "valueCoding"), ("value", "valueString")] {
        if let Some(value) = one.get(name) {
            parts.push(json!({ "name": name, kind: value }));
        }
    }
    json!({ "name": "designation", "part": parts })
}
