//! The person as RapidPro knows them now: whether they may be written to, and in which language.
//!
//! Asked for before each act: RapidPro takes starts and messages for people who opted out, and fails them
//! later without a word.

use serde_json::Value;

use super::addressee::Address;
use super::reason::Trouble;
use super::session::Session;
use crate::rapidpro::client::fault::{self, Fault};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Person {
    pub uuid: String,
    pub active: bool,
    /// ISO 639-3.
    pub language: Option<String>,
}

impl Person {
    fn read(contact: &Value) -> Option<Self> {
        let text = |key: &str| contact.get(key).and_then(Value::as_str);
        // Before 8.1 there is no `status`.
        let barred = |key: &str| contact.get(key).and_then(Value::as_bool).unwrap_or(false);
        let active = text("status")
            .map_or_else(|| !barred("blocked") && !barred("stopped"), |status| status == "active");
        Some(Self { uuid: text("uuid")?.to_owned(), active, language: text("language").map(str::to_owned) })
    }
}

/// # Errors
/// [`Fault`]; nobody there is [`Trouble::ContactMissing`] inside.
pub(super) async fn find(
    session: &mut Session<'_>,
    address: &Address,
) -> Result<Result<Person, Trouble>, Fault> {
    let query = match address {
        Address::Uuid(uuid) => [("uuid", uuid.as_str())],
        Address::Urn(urn) => [("urn", urn.as_str())],
    };
    let answer = session.get("contacts", &query).await?;
    let results = answer.get("results").and_then(Value::as_array).ok_or_else(|| {
        fault::silent("rapidpro-answer-unreadable", "the answer is not a list of contacts", false)
    })?;
    Ok(results.first().and_then(Person::read).ok_or(Trouble::ContactMissing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rapidpro::act::recorded;

    #[test]
    fn a_blocked_contact_is_not_active_in_any_version() {
        let mut contact = recorded("contacts_get_blocked")["body"]["results"][0].clone();
        assert!(!Person::read(&contact).unwrap().active);
        // 7.4 and 8.0 say it by two flags.
        contact.as_object_mut().unwrap().remove("status");
        assert!(!Person::read(&contact).unwrap().active);
        contact["blocked"] = false.into();
        assert!(Person::read(&contact).unwrap().active);
        contact["stopped"] = true.into();
        assert!(!Person::read(&contact).unwrap().active);
    }
}
