//! A checked R4 resource, and the form in which it is stored.
//!
//! **Stored form.** JSON text that begins with `{"resourceType":"KIND"`, then `,"meta":{…}` if anything
//! but versionId and lastUpdated is in it, then the rest in the client's order, without `id`. Thus id,
//! versionId and lastUpdated can be put back by [`splice`] at two known places without parsing the body:
//! right after the resourceType, and at the start of `meta`. Digits of decimals, extensions and `_fields`
//! survive, as numbers are kept as text (serde_json's `arbitrary_precision`) and keys in order.
//!
//! **Never** holds anything that is not an R4 resource: [`Resource::parse`]
//! (with its siblings) is the only way in; what a profiled client may break (`structure::tolerated`) excepted.

mod unique;

use serde_json::{Map, Value};

use crate::fhir::elements::table;
use crate::fhir::outcome::{Issue, IssueType, Outcome};
use crate::fhir::structure;
use crate::fhir::structure::tolerated::{NOTHING, Tolerated};
use crate::fhir::summary;

/// A resource whose structure was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    kind: &'static str,
    body: Value,
}

impl Resource {
    /// Reads and checks JSON.
    ///
    /// # Errors
    /// An [`Outcome`] with up to [`structure::MAX_ISSUES`] issues, each with its FHIRPath.
    pub fn parse(text: &[u8]) -> Result<Self, Outcome> {
        Self::from_value(json(text)?)
    }

    /// Checks JSON that is parsed already.
    ///
    /// # Errors
    /// As [`Resource::parse`].
    pub fn from_value(body: Value) -> Result<Self, Outcome> {
        Self::tolerating(body, NOTHING)
    }

    /// Checks JSON of a client that may break some rules.
    ///
    /// # Errors
    /// As [`Resource::parse`].
    pub fn tolerating(body: Value, tolerated: Tolerated) -> Result<Self, Outcome> {
        if let Some(outcome) = Outcome::of(structure::check_tolerating(&body, tolerated)) {
            let costly = outcome.issues.iter().any(|issue| issue.code == structure::TOO_COSTLY);
            return Err(if costly { outcome.status(422) } else { outcome });
        }
        let kind = body.get("resourceType").and_then(Value::as_str).and_then(|name| table().kind(name));
        let Some(kind) = kind else {
            return Err(Outcome::error(IssueType::Structure, "unknown-type", "R4 has no such resource type"));
        };
        if summary::is_part(&body) {
            let text = "this is a part of a resource (SUBSETTED), and storing it would lose the rest";
            let outcome = Outcome::error(IssueType::BusinessRule, "subsetted", text);
            return Err(outcome
                .at(format!("{kind}.meta.tag"))
                .hint("read it again without _summary and _elements"));
        }
        last_check(kind, &body)?;
        Ok(Self { kind, body })
    }

    /// The resource type.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The logical id, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.body.get("id").and_then(Value::as_str)
    }

    /// The whole resource.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The whole resource, owned.
    pub fn into_body(self) -> Value {
        self.body
    }

    /// Changes that keep the structure: references rewritten, for instance.
    pub(crate) fn body_mut(&mut self) -> &mut Value {
        &mut self.body
    }

    /// The text to be stored: see the module's documentation.
    pub fn strip(&self) -> String {
        strip(&self.body)
    }
}

/// Reads JSON text, in which no object may have a member twice.
///
/// # Errors
/// 400, with line and column, or with the FHIRPath of the doubled member.
pub fn json(text: &[u8]) -> Result<Value, Outcome> {
    let body: Value = serde_json::from_slice(text).map_err(|error| unread(&error))?;
    if let Some(place) = unique::doubled(text) {
        let kind = body.get("resourceType").and_then(Value::as_str).and_then(|kind| table().kind(kind));
        let message = "a JSON object has each member once";
        let place = format!("{}.{place}", kind.unwrap_or("Resource"));
        return Err(Outcome::error(IssueType::Structure, "doubled-member", message).at(place));
    }
    Ok(body)
}

/// fhirbolt's model, the last check. A Bundle's resources are read one by one, as the model is slow on
/// large trees.
fn last_check(kind: &str, body: &Value) -> Result<(), Outcome> {
    if kind == "Bundle" {
        let entries = body.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, entry) in entries.iter().enumerate() {
            if let Some(inner) = entry.get("resource") {
                let inner_kind = inner.get("resourceType").and_then(Value::as_str).unwrap_or_default();
                last_check(inner_kind, inner)
                    .map_err(|outcome| outcome.within(&format!("Bundle.entry[{index}].resource")))?;
            }
        }
        return Ok(());
    }
    match mjumbe_fhir_model::parse(body.clone()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Issue::error(IssueType::Structure, "model", model_text(&error.0)).at(kind).into()),
    }
}

/// The model's message without what it quotes of the resource.
fn model_text(message: &str) -> String {
    let shape = message.split(['"', ':']).next().unwrap_or_default().trim();
    format!("the R4 model cannot read this resource ({shape})")
}

/// What is wrong with JSON text, without quoting it.
pub fn unread(error: &serde_json::Error) -> Outcome {
    let place = format!("line {}, column {}", error.line(), error.column());
    if error.to_string().starts_with("recursion limit") {
        let text = format!("the body is nested too deep, from {place}");
        return Outcome::error(IssueType::TooCostly, "too-deep", text)
            .hint("a resource has at most 64 elements within each other");
    }
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        _ => "it has a syntax error",
    };
    Outcome::error(IssueType::Invalid, "not-json", format!("the body is not JSON: {what} at {place}"))
}

/// The stored form of a resource or document: without id, meta.versionId and meta.lastUpdated.
pub fn strip(body: &Value) -> String {
    let mut stored = Map::new();
    let Some(object) = body.as_object() else { return body.to_string() };
    if let Some(kind) = object.get("resourceType") {
        stored.insert("resourceType".to_owned(), kind.clone());
    }
    if let Some(meta) = object.get("meta").and_then(Value::as_object) {
        let mut meta = meta.clone();
        meta.retain(|key, _| !matches!(key.trim_start_matches('_'), "versionId" | "lastUpdated"));
        if !meta.is_empty() {
            stored.insert("meta".to_owned(), Value::Object(meta));
        }
    }
    for (key, value) in object {
        if !matches!(key.as_str(), "resourceType" | "meta" | "id") {
            stored.insert(key.clone(), value.clone());
        }
    }
    Value::Object(stored).to_string()
}

/// Puts id, versionId and lastUpdated (RFC 3339 with milliseconds) back into what [`strip`] made.
///
/// Nothing is parsed: the id goes after the resourceType, the others to the start of `meta`.
pub fn splice(stored: &str, id: &str, version: i64, last_updated: &str) -> String {
    const META: &str = ",\"meta\":{";
    let at = head_end(stored);
    let (head, rest) = stored.split_at(at);
    let mut out = String::with_capacity(stored.len() + id.len() + last_updated.len() + 64);
    out.push_str(head);
    out.push_str(",\"id\":");
    out.push_str(&Value::from(id).to_string());
    out.push_str(META);
    out.push_str(&format!("\"versionId\":\"{version}\",\"lastUpdated\":"));
    out.push_str(&Value::from(last_updated).to_string());
    match rest.strip_prefix(META) {
        Some(rest) => {
            out.push(',');
            out.push_str(rest);
        }
        None => {
            out.push('}');
            out.push_str(rest);
        }
    }
    out
}

/// Where `{"resourceType":"KIND"` ends; type names need no escapes.
fn head_end(stored: &str) -> usize {
    const HEAD: &str = "{\"resourceType\":\"";
    let Some(rest) = stored.strip_prefix(HEAD) else { return 0 };
    rest.find('"').map_or(0, |quote| HEAD.len() + quote + 1)
}

/// `2026-11-21T06:15:00.123Z`, from milliseconds since 1970 UTC: how lastUpdated is written.
pub fn instant(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn round(text: &str) -> String {
        let resource = Resource::parse(text.as_bytes()).unwrap();
        splice(&resource.strip(), "x1", 3, &instant(1_700_000_000_123))
    }

    #[test]
    fn what_was_stored_comes_back_to_the_last_digit() {
        let text = r#"{"id":"mine","active":true,"resourceType":"Patient","extension":[{"url":"http://e.org/w","valueDecimal":3.2500}],"_birthDate":{"extension":[{"url":"http://e.org/u","valueCode":"x"}]},"meta":{"versionId":"9","tag":[{"code":"t"}],"lastUpdated":"2020-01-01T00:00:00Z"}}"#;
        assert_eq!(
            round(text),
            r#"{"resourceType":"Patient","id":"x1","meta":{"versionId":"3","lastUpdated":"2023-11-14T22:13:20.123Z","tag":[{"code":"t"}]},"active":true,"extension":[{"url":"http://e.org/w","valueDecimal":3.2500}],"_birthDate":{"extension":[{"url":"http://e.org/u","valueCode":"x"}]}}"#
        );
    }

    #[test]
    fn a_resource_without_meta_gets_one() {
        let expected = r#"{"resourceType":"Patient","id":"x1","meta":{"versionId":"3","lastUpdated":"2023-11-14T22:13:20.123Z"}"#;
        assert_eq!(round(r#"{"resourceType":"Patient"}"#), format!("{expected}}}"));
        assert_eq!(
            round(r#"{"resourceType":"Patient","active":true}"#),
            format!(r#"{expected},"active":true}}"#)
        );
        assert_eq!(round(r#"{"resourceType":"Patient","meta":{"versionId":"1"}}"#), format!("{expected}}}"));
    }

    #[test]
    fn exponents_and_large_numbers_keep_their_digits() {
        for number in ["1.0E-10", "100000000000000000000.00", "-0.000"] {
            let text = format!(
                r#"{{"resourceType":"Patient","extension":[{{"url":"http://e.org/u","valueDecimal":{number}}}]}}"#
            );
            let back = round(&text);
            let wanted: Value = serde_json::from_str(number).unwrap();
            let value: Value = serde_json::from_str(&back).unwrap();
            assert_eq!(value["extension"][0]["valueDecimal"], wanted, "{back}");
        }
    }

    #[test]
    fn what_is_not_json_or_not_r4_is_refused() {
        assert_eq!(Resource::parse(b"{").unwrap_err().issues[0].code, "not-json");
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(Resource::parse(deep.as_bytes()).unwrap_err().issues[0].code, "too-deep");
        let doubled = br#"{"resourceType":"Patient","name":[{"family":"a","family":"b"}]}"#;
        assert_eq!(Resource::parse(doubled).unwrap_err().issues[0].expression, ["Patient.name[0].family"]);
        let outcome = Resource::from_value(json!({"resourceType": "Patient", "nmae": 1})).unwrap_err();
        assert_eq!(outcome.status, 400);
        assert_eq!(outcome.issues[0].expression, ["Patient.nmae"]);
    }
}
