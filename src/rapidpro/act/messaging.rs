//! Sends messages: one request each.
//!
//! The text is literal: `messages.json` evaluates nothing. A broadcast does, so there every `@` is doubled.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::addressee;
use super::evidence::{self, Evidence};
use super::others::{Open, Others};
use super::reason::{Trouble, refusal};
use super::recipient::{self, Person};
use super::session::Session;
use super::starting::{accepted, refused, refused_because};
use crate::delivery::destination::{Outgoing, Settled};
use crate::rapidpro::client::fault::{self, Fault};
use crate::rapidpro::client::{encode, utc};

/// Pages of 250 that a look-up reads of one list.
const PAGES_MAX: usize = 20;

/// How messages of one workspace are sent.
pub(in crate::rapidpro) struct Messages {
    /// The tenant's languages: the first that a message has is for those whose own it has not.
    pub languages: Vec<String>,
    /// RapidPro before 8.1.35 takes no messages by themselves.
    only_broadcasts: AtomicBool,
}

/// A stored wish.
struct Wish<'a> {
    contact: &'a Value,
    text: &'a Value,
}

impl<'a> Wish<'a> {
    fn read(wanted: &'a Value) -> Option<Self> {
        let text = wanted.get("text").filter(|text| text.is_string() || text.is_object())?;
        Some(Self { contact: wanted.get("contact")?, text })
    }

    /// In every language: the person's may have changed since it was sent.
    fn texts(&self) -> Vec<&'a str> {
        match self.text {
            Value::Object(texts) => texts.values().filter_map(Value::as_str).collect(),
            text => text.as_str().into_iter().collect(),
        }
    }
}

impl Messages {
    pub fn new(languages: Vec<String>) -> Self {
        Self { languages, only_broadcasts: AtomicBool::new(false) }
    }

    /// # Errors
    /// [`Fault`] where it is to be tried again.
    pub(super) async fn send(
        &self,
        session: &mut Session<'_>,
        others: &dyn Others,
        outgoing: &Outgoing,
    ) -> Result<Settled, Fault> {
        let wanted = outgoing.parts.first().and_then(|part| part.wanted.clone()).unwrap_or_default();
        let wish = Wish::read(&wanted);
        let address = wish.as_ref().and_then(|wish| addressee::address(wish.contact, &outgoing.links));
        let (Some(wish), Some(address)) = (wish, address) else { return Ok(refused(Trouble::Unreadable)) };
        let person = match recipient::find(session, &address).await? {
            Ok(person) => person,
            // Their messages went with them.
            Err(_) if outgoing.unclear => return Ok(refused(Trouble::Unknown)),
            Err(trouble) => return Ok(refused(trouble)),
        };
        if outgoing.unclear {
            match look_up(session, others, outgoing, (&wish, &person)).await? {
                Evidence::Found(remote) => return Ok(accepted(remote)),
                Evidence::Failed(remote) => return Ok(failed(remote)),
                Evidence::Absent if outgoing.superseded => return Ok(Settled::superseded()),
                Evidence::Absent => {}
                Evidence::Unproven => return Ok(refused(Trouble::Unknown)),
            }
        }
        if !person.active {
            return Ok(refused(Trouble::ContactNotActive));
        }
        let Some(text) = self.choose(wish.text, person.language.as_deref()) else {
            return Ok(refused(Trouble::Unreadable));
        };
        self.post(session, &person, text).await
    }

    /// The person's language, else the first of the tenant's that there is, else the first in the file.
    fn choose<'a>(&self, text: &'a Value, language: Option<&str>) -> Option<&'a str> {
        let Value::Object(texts) = text else { return text.as_str() };
        let wanted = language.into_iter().chain(self.languages.iter().map(String::as_str));
        let found = wanted.filter_map(|language| texts.get(language)).next();
        found.or_else(|| texts.values().next()).and_then(Value::as_str)
    }

    async fn post(&self, session: &mut Session<'_>, person: &Person, text: &str) -> Result<Settled, Fault> {
        if !self.only_broadcasts.load(Ordering::Relaxed) {
            let body = json!({"contact": person.uuid, "text": text});
            match session.post("messages", &body).await {
                Ok(answer) => return read(&answer),
                Err(fault) if fault.status == Some(405) => {
                    self.only_broadcasts.store(true, Ordering::Relaxed)
                }
                Err(fault) if fault.is_permanent() => return Ok(refused_because(refusal(&fault))),
                Err(fault) => return Err(fault),
            }
        }
        let body = json!({"contacts": [person.uuid], "text": escaped(text)});
        match session.post("broadcasts", &body).await {
            Ok(answer) => {
                name_of(&answer, "broadcast").map(accepted).ok_or_else(|| unreadable("a broadcast"))
            }
            Err(fault) if fault.is_permanent() => Ok(refused_because(refusal(&fault))),
            Err(fault) => Err(fault),
        }
    }
}

/// A template's way of writing `@`.
fn escaped(text: &str) -> String {
    text.replace('@', "@@")
}

fn unreadable(what: &str) -> Fault {
    fault::silent("rapidpro-answer-unreadable", format!("the answer is not {what}"), true)
}

/// `message/UUID`, or the number before 10.3.79.
fn name_of(row: &Value, what: &str) -> Option<String> {
    let uuid = row.get("uuid").and_then(Value::as_str).map(str::to_owned);
    let id = || row.get("id").and_then(Value::as_i64).map(|id| id.to_string());
    uuid.or_else(id).map(|name| format!("{what}/{name}"))
}

/// A message that RapidPro made and failed at once reaches nobody: no channel has an address of theirs.
fn read(answer: &Value) -> Result<Settled, Fault> {
    let remote = name_of(answer, "message").ok_or_else(|| unreadable("a message"))?;
    if evidence::is_failed(answer) {
        return Ok(failed(remote));
    }
    Ok(accepted(remote))
}

fn failed(remote: String) -> Settled {
    Settled { remote: Some(remote), ..refused(Trouble::ContactUnreachable) }
}

/// Looks for the message that an earlier request may have made.
async fn look_up(
    session: &mut Session<'_>,
    others: &dyn Others,
    outgoing: &Outgoing,
    (wish, person): (&Wish<'_>, &Person),
) -> Result<Evidence, Fault> {
    let texts = wish.texts();
    let after = utc(evidence::since(outgoing.begun_ms));
    let query = encode(&[("contact", &person.uuid), ("after", &after)]);
    let (mut candidates, all_messages) =
        rows(session, "messages", query, |row| is_message(row, &texts).then(|| one_of(row, "message"))?)
            .await?;
    let escaped: Vec<String> = texts.iter().map(|text| escaped(text)).collect();
    let (broadcasts, all_broadcasts) = rows(session, "broadcasts", encode(&[("after", &after)]), |row| {
        is_broadcast(row, &person.uuid, &escaped).then(|| one_of(row, "broadcast"))?
    })
    .await?;
    candidates.extend(broadcasts);
    if !candidates.is_empty() {
        let names: Vec<String> = candidates.iter().map(|one| one.0.clone()).collect();
        let known = others.recorded(&outgoing.id, &names).await.map_err(unknown_others)?;
        candidates.retain(|one| !known.contains(&one.0));
    }
    let complete = all_messages && all_broadcasts;
    let nothing = || evidence::nothing(complete, outgoing.begun_ms, jiff::Timestamp::now());
    // Whether one of them is ours or none is: it reached nobody.
    if let Some((name, _)) = candidates.first()
        && candidates.iter().all(|(_, failed)| *failed)
    {
        let name = name.clone();
        return Ok(if nothing() == Evidence::Absent { Evidence::Failed(name) } else { Evidence::Unproven });
    }
    let rivals = if candidates.is_empty() {
        0
    } else {
        let open = others.open(&outgoing.id).await.map_err(unknown_others)?;
        open.iter().filter(|open| is_rival(open, outgoing, wish)).count()
    };
    let names = candidates.into_iter().map(|one| one.0).collect();
    Ok(evidence::among(names, rivals).unwrap_or_else(nothing))
}

/// RapidPro's name of what could be it, and whether RapidPro failed it.
type Candidate = (String, bool);

fn one_of(row: &Value, what: &str) -> Option<Candidate> {
    name_of(row, what).map(|name| (name, evidence::is_failed(row)))
}

/// What a list since then has that could be it, and whether all of the list was read.
async fn rows(
    session: &mut Session<'_>,
    endpoint: &str,
    mut query: String,
    pick: impl Fn(&Value) -> Option<Candidate>,
) -> Result<(Vec<Candidate>, bool), Fault> {
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = session.page(endpoint, &query).await?;
        found.extend(page.results.iter().filter_map(&pick));
        match page.next {
            Some(next) => query = next,
            None => return Ok((found, true)),
        }
    }
    Ok((found, false))
}

/// Sent through the API by itself: neither by a flow nor as part of a broadcast.
fn is_message(row: &Value, texts: &[&str]) -> bool {
    let text = row.get("text").and_then(Value::as_str).map(str::trim);
    let alone = |key: &str| row.get(key).is_none_or(Value::is_null);
    row.get("direction").and_then(Value::as_str) == Some("out")
        && alone("flow")
        && alone("broadcast")
        && text.is_some_and(|text| texts.contains(&text))
}

/// To this contact alone.
fn is_broadcast(row: &Value, contact: &str, texts: &[String]) -> bool {
    let list = |key: &str| row.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let only = matches!(list("contacts"), [one] if one.get("uuid").is_some_and(|uuid| uuid == contact));
    let text = row.get("text");
    let has = |text: &Value| text.as_str().is_some_and(|text| texts.iter().any(|ours| ours == text.trim()));
    let said =
        text.is_some_and(has) || text.and_then(Value::as_object).is_some_and(|all| all.values().any(has));
    only && list("groups").is_empty() && list("urns").is_empty() && said
}

/// Another message without proof that could be the one that was found: one of its texts, and the same
/// person, or a person who is named in another way, of which we cannot tell.
fn is_rival(open: &Open, outgoing: &Outgoing, wish: &Wish<'_>) -> bool {
    let Some(other) = Wish::read(&open.wanted) else { return false };
    let texts = wish.texts();
    let shares = other.texts().iter().any(|text| texts.contains(text));
    let way = |contact: &Value| {
        let text = contact.as_str();
        (text.is_some(), text.is_some_and(|text| text.contains(':')))
    };
    shares && (open.lane == outgoing.lane || way(other.contact) != way(wish.contact))
}

fn unknown_others(error: String) -> Fault {
    tracing::warn!(error, "the other messages of a workspace could not be read");
    fault::silent("store-unavailable", "what other deliveries sent could not be read", false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::destination::Verdict;
    use crate::rapidpro::act::recorded;

    #[test]
    fn the_persons_language_comes_first_then_the_tenants_then_the_files() {
        let messages = Messages::new(vec!["swa".to_owned(), "eng".to_owned()]);
        let texts = json!({"fra": "Bonjour", "eng": "Hello", "kin": "Muraho"});
        assert_eq!(messages.choose(&texts, Some("kin")), Some("Muraho"));
        assert_eq!(messages.choose(&texts, Some("spa")), Some("Hello"));
        assert_eq!(messages.choose(&texts, None), Some("Hello"));
        assert_eq!(messages.choose(&json!({"fra": "Bonjour", "kin": "Muraho"}), None), Some("Bonjour"));
        assert_eq!(messages.choose(&json!("Hi"), Some("kin")), Some("Hi"));
    }

    #[test]
    fn a_message_of_a_flow_or_a_broadcast_is_not_ours() {
        let row = |flow: Value, broadcast: Value, text: &str| json!({"direction": "out", "flow": flow, "broadcast": broadcast, "text": text});
        assert!(is_message(&row(Value::Null, Value::Null, "Hi"), &["Hi"]));
        assert!(!is_message(&row(json!({"uuid": "x"}), Value::Null, "Hi"), &["Hi"]));
        assert!(!is_message(&row(Value::Null, json!(3), "Hi"), &["Hi"]));
        assert!(!is_message(&row(Value::Null, Value::Null, "Hello"), &["Hi"]));
    }

    #[test]
    fn recorded_messages_are_found_again_and_told_from_those_of_flows() {
        let sent = recorded("messages_post_send");
        let text = sent["request"]["body"]["text"].as_str().unwrap();
        let settled = read(&sent["body"]).unwrap();
        assert_eq!(settled.remote.as_deref(), Some("message/778"));
        let listed = recorded("messages_get_by_id_after_send")["body"]["results"][0].clone();
        assert!(is_message(&listed, &[text]));
        assert_eq!(name_of(&listed, "message"), settled.remote);
        let of_flow = recorded("messages_get_contact_without_sendable_urn")["body"]["results"][0].clone();
        assert!(!is_message(&of_flow, &[of_flow["text"].as_str().unwrap()]));
        let failed = read(&recorded("messages_post_no_phone_contact")["body"]).unwrap();
        assert!(
            matches!(&failed.parts[0], Verdict::Refused(reason) if reason.code == "rapidpro-contact-unreachable")
        );
        assert_eq!(failed.remote.as_deref(), Some("message/780"));
    }

    #[test]
    fn of_recorded_broadcasts_only_one_to_the_contact_alone_can_be_ours() {
        let rows = recorded("broadcasts_get_all")["body"]["results"].clone();
        let contact = "a0359c33-c9b2-40e5-b56d-b4fa6fa19e5b";
        let texts = ["Group hello", "plain string", "Hi @contact.name"].map(str::to_owned);
        let ours: Vec<Option<String>> = rows
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| is_broadcast(row, contact, &texts))
            .map(|row| name_of(row, "broadcast"))
            .collect();
        assert_eq!(ours, [Some("broadcast/2".to_owned())]);
    }

    #[test]
    fn a_broadcast_to_more_than_this_contact_is_not_ours() {
        let row = |groups: Value| json!({"contacts": [{"uuid": "c"}], "groups": groups, "urns": [], "text": {"eng": "50@@home"}});
        let texts = [escaped("50@home")];
        assert!(is_broadcast(&row(json!([])), "c", &texts));
        assert!(!is_broadcast(&row(json!([{"uuid": "g"}])), "c", &texts));
        assert!(!is_broadcast(&row(json!([])), "d", &texts));
    }
}
