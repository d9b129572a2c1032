//! What an operation was called with: the URL's parameters and those of the body, one list.
//! <https://hl7.org/fhir/R4/operations.html#request>
//!
//! Only the outer shape of a Parameters resource is checked here: what is in it is the operation's business
//! (`$validate` wants to see resources that are wrong).

use serde_json::{Value, json};

use super::super::super::answer;
use super::super::call::Call;
use super::Definition;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::resource;

/// Parameters of one call, at most.
const ARGUMENTS_MAX: usize = 1000;

/// The inputs, each as an entry of `Parameters.parameter`: `{ "name": …, "value[x]": … }`.
#[derive(Debug, Default)]
pub struct Arguments(Vec<Value>);

impl Arguments {
    /// Those of the URL, then those of the body.
    ///
    /// # Errors
    /// 400 where the body is neither a Parameters resource nor the resource that the operation takes; 415.
    pub(super) fn of(call: &Call, operation: &Definition) -> Result<Self, Outcome> {
        let shaping = |name: &str| matches!(name, "_format" | "_pretty");
        let query = call.query.iter().filter(|(name, _)| !shaping(name));
        let mut all: Vec<Value> =
            query.map(|(name, value)| json!({ "name": name, "valueString": value })).collect();
        if !call.body.is_empty() {
            let body = resource::json(call.json()?)?;
            match body.get("resourceType").and_then(Value::as_str) {
                Some("Parameters") => all.extend(parameters(body)?),
                Some(_) if operation.body.is_some() => {
                    all.push(json!({ "name": operation.body, "resource": body }));
                }
                _ => return Err(no_parameters(operation)),
            }
        }
        if all.len() > ARGUMENTS_MAX {
            let text = format!("an operation takes at most {ARGUMENTS_MAX} parameters");
            return Err(Outcome::error(IssueType::TooCostly, "too-many-parameters", text));
        }
        Ok(Self(all))
    }

    /// Every argument of this name.
    pub fn all(&self, name: &'static str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |one| one.get("name").and_then(Value::as_str) == Some(name))
    }

    /// The names that were given, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.0.iter().filter_map(|one| one.get("name").and_then(Value::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The resource of this name.
    pub fn resource(&self, name: &'static str) -> Option<&Value> {
        self.all(name).find_map(|one| one.get("resource"))
    }

    /// The value of this name, whatever its type.
    pub fn value(&self, name: &'static str) -> Option<&Value> {
        self.all(name).find_map(value_of)
    }

    /// Every primitive of this name as text.
    pub fn texts(&self, name: &'static str) -> Vec<String> {
        self.all(name).filter_map(value_of).filter_map(text_of).collect()
    }

    /// The primitive of this name as text.
    ///
    /// # Errors
    /// 400 where there are several.
    pub fn text(&self, name: &'static str) -> Result<Option<String>, Outcome> {
        let mut all = self.texts(name);
        if all.len() > 1 {
            return Err(bad(name, "is given once"));
        }
        Ok(all.pop())
    }

    /// A whole number.
    ///
    /// # Errors
    /// 400
    pub fn number(&self, name: &'static str) -> Result<Option<u32>, Outcome> {
        let text = self.text(name)?;
        text.map(|text| text.parse().map_err(|_| bad(name, "is a whole number"))).transpose()
    }

    /// `true` or `false`; false where it is left out.
    ///
    /// # Errors
    /// 400
    pub fn is_set(&self, name: &'static str) -> Result<bool, Outcome> {
        match self.text(name)?.as_deref() {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(_) => Err(bad(name, "is true or false")),
        }
    }
}

/// An argument that cannot be read.
pub fn bad(name: &str, what: &str) -> Outcome {
    let text = format!("the parameter {} {what}", answer::plain(name));
    Outcome::error(IssueType::Value, "bad-parameter", text)
}

/// The `value[x]` of one parameter.
fn value_of(parameter: &Value) -> Option<&Value> {
    parameter.as_object()?.iter().find(|(name, _)| name.starts_with("value")).map(|(_, value)| value)
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        _ => None,
    }
}

fn parameters(mut body: Value) -> Result<Vec<Value>, Outcome> {
    let wrong = || {
        let text = "each parameter is an object with a name";
        Outcome::error(IssueType::Structure, "bad-parameters", text).at("Parameters.parameter")
    };
    match body.get_mut("parameter").map(Value::take) {
        None => Ok(Vec::new()),
        Some(Value::Array(all)) if all.iter().all(|one| one.get("name").is_some_and(Value::is_string)) => {
            Ok(all)
        }
        Some(_) => Err(wrong()),
    }
}

fn no_parameters(operation: &Definition) -> Outcome {
    let text = "the body of an operation is a Parameters resource";
    let outcome = Outcome::error(IssueType::Invalid, "not-parameters", text).at("resourceType");
    match operation.body {
        Some(name) => outcome.hint(format!("or the resource itself that `{name}` is")),
        None => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_by_name_whatever_their_type() {
        let body = json!({ "resourceType": "Parameters", "parameter": [
            { "name": "count", "valueInteger": 3 }, { "name": "filter", "valueString": "a" },
            { "name": "filter", "valueString": "b" }, { "name": "deep", "valueBoolean": true },
            { "name": "resource", "resource": { "resourceType": "Patient" } } ] });
        let arguments = Arguments(parameters(body).unwrap());
        assert_eq!(arguments.number("count").unwrap(), Some(3));
        assert_eq!(arguments.texts("filter"), ["a", "b"]);
        assert_eq!(arguments.text("filter").unwrap_err().issues[0].code, "bad-parameter");
        assert!(arguments.is_set("deep").unwrap() && !arguments.is_set("none").unwrap());
        assert_eq!(arguments.resource("resource").unwrap()["resourceType"], "Patient");
        assert!(parameters(json!({ "parameter": [1] })).is_err());
        assert!(parameters(json!({ "parameter": 1 })).is_err());
    }
}
