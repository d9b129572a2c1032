//! Who an act is about. **Pure.**

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::mapping::output::Issue;
use crate::mapping::target::Evaluated;
use crate::rapidpro::contact::words::find_text;
use crate::rapidpro::urn;

/// The contact of an act as its wish holds it, and the lane that keeps what happens to them in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Addressee {
    /// A uuid, a URN, or `{ "$link": { "resource": "Patient/1" } }`.
    pub contact: Value,
    /// The same as of the `rapidpro.contact` that makes the contact of this resource.
    pub lane: String,
}

/// How RapidPro is asked for a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Uuid(String),
    Urn(String),
}

/// Reads the field `contact` of an entry.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(entry: &Evaluated<'_>) -> Result<Addressee, Issue> {
    let value = entry.fields.get("contact").unwrap_or(&Value::Null);
    let contact = match value {
        Value::Null => None,
        Value::Object(_) => of_object(value),
        other => Some(of_text(entry, &text_of(other))?),
    };
    let contact = contact.ok_or_else(|| {
        issue(entry, "act-without-contact", "nobody to write to: `contact` gave nothing").with_hint(
            "give a contact's uuid, a URN, a phone number, `{ link: … }` or a reference; `when: …` leaves out those without one",
        )
    })?;
    let lane = format!("contact/{}", find_text(&contact));
    Ok(Addressee { contact, lane })
}

pub(super) fn issue(entry: &Evaluated<'_>, code: &str, message: impl Into<String>) -> Issue {
    Issue::error(code, message, entry.context.place)
}

/// An act cannot be taken back, so it does not happen with a part of it missing.
pub(super) fn whole(entry: &Evaluated<'_>) -> Result<(), Issue> {
    if !entry.faulty {
        return Ok(());
    }
    Err(issue(
        entry,
        "act-not-whole",
        "a value of it failed, and an act cannot be taken back: it is left out",
    )
    .with_hint("see the other issues of this entry"))
}

/// A link, a mirrored contact, or a Reference: by the contact's own uuid, else by the linked resource.
fn of_object(value: &Value) -> Option<Value> {
    if value.get("$link").is_some() {
        return Some(value.clone());
    }
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let is_contact = text("/identifier/system").is_some_and(|system| system.ends_with("/contact"));
    let own = text("/uuid").or_else(|| text("/identifier/value").filter(|_| is_contact)).and_then(uuid_of);
    own.map(Value::String).or_else(|| {
        let resource = text("/reference").filter(|text| text.contains('/'))?;
        Some(json!({"$link": {"resource": resource}}))
    })
}

fn of_text(entry: &Evaluated<'_>, text: &str) -> Result<Value, Issue> {
    if let Some(uuid) = uuid_of(text) {
        return Ok(Value::String(uuid));
    }
    urn::normalise(text, entry.context.country).map(Value::String).map_err(|error| {
        issue(entry, "contact-urn-invalid", format!("`contact`: {error}"))
            .with_hint("phone numbers need a country code, or `country` in their workspace's section")
    })
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned())
}

fn uuid_of(text: &str) -> Option<String> {
    uuid::Uuid::parse_str(text.trim()).ok().map(|uuid| uuid.hyphenated().to_string())
}

/// Where a stored wish leads now.
pub(super) fn address(contact: &Value, links: &BTreeMap<String, String>) -> Option<Address> {
    let text = match contact.as_str() {
        Some(text) => text,
        None => links.get(contact.pointer("/$link/resource")?.as_str()?)?,
    };
    Some(match uuid_of(text) {
        Some(uuid) => Address::Uuid(uuid),
        None => Address::Urn(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "a0359c33-c9b2-40e5-b56d-b4fa6fa19e5b";

    #[test]
    fn a_reference_leads_to_the_contact_itself_or_to_the_linked_resource() {
        let source = json!({"reference": "Practitioner/7",
            "identifier": {"system": "https://rapidpro.example/contact", "value": UUID}});
        assert_eq!(of_object(&source), Some(json!(UUID)));
        let subject = json!({"reference": "Patient/1", "identifier": {"system": "urn:card", "value": "7"}});
        assert_eq!(of_object(&subject), Some(json!({"$link": {"resource": "Patient/1"}})));
        assert_eq!(of_object(&json!({"uuid": UUID, "urns": []})), Some(json!(UUID)));
        assert_eq!(of_object(&json!({"display": "somebody"})), None);
    }

    #[test]
    fn a_link_is_followed_when_it_is_known() {
        let contact = json!({"$link": {"resource": "Patient/1"}});
        assert_eq!(address(&contact, &BTreeMap::new()), None);
        let links = BTreeMap::from([("Patient/1".to_owned(), UUID.to_owned())]);
        assert_eq!(address(&contact, &links), Some(Address::Uuid(UUID.to_owned())));
        let urn = "tel:+250788383383";
        assert_eq!(address(&json!(urn), &links), Some(Address::Urn(urn.to_owned())));
    }
}
