//! iHRIS 5 and the mHero parts that stand beside it (emNutt).

use serde_json::{Map, Value, json};

use super::Repair;

const SCHEDULE: &str = "http://mhero.org/fhir/StructureDefinition/sms-cron-expression-schedule";

/// What R4 requires and iHRIS and emNutt leave out.
pub fn repair(resource: &mut Value, repairs: &mut Vec<Repair>) {
    let Some(object) = resource.as_object_mut() else { return };
    match object.get("resourceType").and_then(Value::as_str).unwrap_or_default() {
        "CommunicationRequest" => {
            let (status, text) = if is_scheduled(object) {
                ("on-hold", "a request without status that has a schedule is on hold until its time")
            } else {
                ("active", "a request without status is active: it asks to be carried out")
            };
            let told = ("request-status-missing", text);
            default("status", json!(status), (object, repairs), ("CommunicationRequest", told));
        }
        "Communication" => communication(object, repairs),
        "Group" => {
            let told = ("group-type-missing", "a group without type is one of practitioners");
            default("type", json!("practitioner"), (object, repairs), ("Group", told));
            let told = ("group-actual-missing", "a group without `actual` is one of its members");
            default("actual", json!(true), (object, repairs), ("Group", told));
        }
        "Basic" => basic(object, repairs),
        "SearchParameter" if object.contains_key("xpath") => {
            let told =
                ("xpath-usage-missing", "an xpath of which nobody says how it is used is used otherwise");
            default("xpathUsage", json!("other"), (object, repairs), ("SearchParameter", told));
        }
        _ => {}
    }
}

/// Whether mHero's schedule is among the extensions.
fn is_scheduled(request: &Map<String, Value>) -> bool {
    let extensions = request.get("extension").and_then(Value::as_array);
    extensions.into_iter().flatten().any(|one| one.get("url").and_then(Value::as_str) == Some(SCHEDULE))
}

type Told = (&'static str, &'static str);

fn default(
    key: &str,
    value: Value,
    (object, repairs): (&mut Map<String, Value>, &mut Vec<Repair>),
    (kind, (code, text)): (&str, Told),
) {
    if !object.contains_key(key) {
        object.insert(key.to_owned(), value);
        repairs.push(Repair::new(code, text, format!("{kind}.{key}")));
    }
}

/// emNutt writes a message that was sent or received, without status, and what it is based on as text.
fn communication(object: &mut Map<String, Value>, repairs: &mut Vec<Repair>) {
    let told = ("communication-status-missing", "a communication without status is completed");
    default("status", json!("completed"), (object, repairs), ("Communication", told));
    if let Some(based) = object.get_mut("basedOn").filter(|based| based.is_string()) {
        *based = json!([{ "reference": based.take() }]);
        let text = "a text was made a list of one reference";
        repairs.push(Repair::new("based-on-as-text", text, "Communication.basedOn"));
    }
}

/// emNutt writes the code of a Basic into its meta, where R4 has none.
fn basic(object: &mut Map<String, Value>, repairs: &mut Vec<Repair>) {
    let Some(code) =
        object.get_mut("meta").and_then(Value::as_object_mut).and_then(|it| it.shift_remove("code"))
    else {
        return;
    };
    if object.get("meta").and_then(Value::as_object).is_some_and(Map::is_empty) {
        object.shift_remove("meta");
    }
    object.entry("code").or_insert(code);
    repairs.push(Repair::new("code-in-meta", "the code was moved out of meta", "Basic.code"));
}
