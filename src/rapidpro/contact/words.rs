//! What the fields of a mapping file may hold. **Pure.**

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::mapping::target::Complaint;

pub(in crate::rapidpro) const LANGUAGE_HINT: &str =
    "RapidPro has ISO 639-3 codes: eng, fra, swa; `map` turns others into them";

pub(in crate::rapidpro) fn complaint(field: &str, message: String, hint: Option<&str>) -> Complaint {
    Complaint { field: field.to_owned(), message, hint: hint.map(str::to_owned) }
}

pub(super) fn bad_key(key: &str) -> Option<Complaint> {
    let fits = key.len() <= 36
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let hint = "RapidPro makes keys of names: `FHIR Patient ID` is fhir_patient_id";
    (!fits).then(|| {
        complaint(&format!("fields.{key}"), format!("`{key}` is not the key of a field"), Some(hint))
    })
}

pub(super) fn bad_group(group: &str) -> Option<&'static str> {
    match group {
        "" => Some("a group's name is empty"),
        name if name.chars().count() > 64 => Some("a group's name has at most 64 characters"),
        name if name.contains(['"', '\\']) => Some("a group's name has neither \" nor \\"),
        _ => None,
    }
}

pub(in crate::rapidpro) fn is_language(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// A scalar as the text that RapidPro takes; booleans and objects are refused by it.
pub(in crate::rapidpro) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A list whose members may be lists.
pub(super) fn flat(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(members) => members.iter().flat_map(flat).collect(),
        Value::Null => Vec::new(),
        other => vec![other],
    }
}

/// A URN as a word that is the same for the same URN: lanes are listed, and most URNs are phone numbers.
pub(super) fn hashed(urn: &str) -> String {
    let digest = Sha256::digest(urn.as_bytes());
    format!("urn-{}", hex::encode(digest.get(..8).unwrap_or_default()))
}

/// What `find` says of who the contact is: a uuid, a URN's hash, or a linked resource.
pub(in crate::rapidpro) fn find_text(find: &Value) -> String {
    match find {
        Value::String(text) if text.contains(':') => hashed(text),
        Value::String(text) => text.clone(),
        // `{"$link": {"resource": "Patient/1"}}`
        other => other.pointer("/$link/resource").and_then(Value::as_str).unwrap_or_default().to_owned(),
    }
}
