//! Broadcasts: one template, in one or several languages, to many contacts.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::http::Answer;
use super::super::time::micros;
use super::gate::{Call, detail_answer, invalid, server_error};
use super::mailroom::Task;
use super::messages::Origin;
use super::paging::{Window, page};
use super::recipients::Recipients;
use super::state::{World, new_uuid};
use super::template::{self, Scope};

/// Longest text; longer ones are refused.
const LONGEST: usize = 640;

/// One broadcast.
#[derive(Debug, Clone)]
pub(super) struct Broadcast {
    pub id: usize,
    pub uuid: String,
    pub to: Recipients,
    /// Language → template
    pub text: Map<String, Value>,
    pub base_language: String,
    pub created: Timestamp,
    /// How many contacts it went to, once mailroom has sent it.
    pub sent_to: Option<usize>,
    pub request: u64,
}

impl Broadcast {
    /// The template for a contact who speaks a language.
    fn text_for(&self, language: Option<&str>) -> &str {
        let own = language.and_then(|language| self.text.get(language));
        own.or_else(|| self.text.get(&self.base_language)).and_then(Value::as_str).unwrap_or("")
    }
}

fn show(world: &World, one: &Broadcast, version: u32) -> Value {
    let attachments: Map<String, Value> = one.text.keys().map(|code| (code.clone(), json!([]))).collect();
    let status = match (one.sent_to, version > 9) {
        (None, false) => "queued",
        (Some(_), false) => "sent",
        (None, true) => "pending",
        (Some(_), true) => "completed",
    };
    let mut shown = json!({ "id": one.id, "urns": one.to.urns, "contacts": one.to.show_contacts(world),
        "groups": one.to.show_groups(world), "text": one.text, "attachments": attachments,
        "base_language": one.base_language, "status": status, "created_on": micros(one.created) });
    if version > 9 {
        shown["uuid"] = one.uuid.clone().into();
        shown["progress"] = json!({ "total": one.sent_to.unwrap_or(0), "started": one.sent_to.unwrap_or(0) });
        shown["quick_replies"] = json!({});
    }
    shown
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let Ok(id) = call.request.parameter("id").map(str::parse::<usize>).transpose() else {
        return detail_answer(400, "Value for id must be an integer");
    };
    let uuid = call.request.parameter("uuid").filter(|_| call.options.version > 9);
    let rows = world
        .broadcasts
        .iter()
        .filter(|one| id.is_none_or(|id| one.id == id))
        .filter(|one| uuid.is_none_or(|uuid| one.uuid == uuid))
        .map(|one| (one.created, show(world, one, call.options.version)))
        .collect();
    page(call.request, Window::of(call.request), rows)
}

pub(super) fn post(world: &mut World, call: &Call) -> Answer {
    let to = match Recipients::read(world, call) {
        Ok(to) => to,
        Err(answer) => return answer,
    };
    if to.is_empty() {
        return invalid("non_field_errors", "Must provide either urns, contacts or groups.");
    }
    let base_language = call.body.get("base_language").and_then(Value::as_str).unwrap_or("eng").to_owned();
    let text = match text(call, &base_language) {
        Ok(text) => text,
        Err(answer) => return answer,
    };
    // Later versions ask mailroom before they answer.
    if call.mailroom_down && call.options.version > 9 {
        return server_error();
    }
    let (id, created) = (world.broadcasts.len() + 1, world.clock.tick());
    let request = call.request.number;
    let made = Broadcast { id, uuid: new_uuid(), to, text, base_language, created, sent_to: None, request };
    let answer = Answer::json(201, &show(world, &made, call.options.version));
    world.broadcasts.push(made);
    world.tasks.push(Task::Broadcast(id));
    answer
}

/// The text by language, or what is said instead.
fn text(call: &Call, base: &str) -> Result<Map<String, Value>, Answer> {
    let missing = || invalid("non_field_errors", "Must provide either text or attachments.");
    let text = match call.body.get("text") {
        Some(Value::String(text)) if !text.is_empty() => {
            Map::from_iter([(base.to_owned(), text.clone().into())])
        }
        Some(Value::Object(texts)) if !texts.is_empty() => texts.clone(),
        _ => return Err(missing()),
    };
    let is_language =
        |code: &String| code.chars().count() == 3 && code.chars().all(|c| c.is_ascii_lowercase());
    if let Some(code) = text.keys().find(|code| !is_language(code)) {
        let error = json!({ "text": { code: ["Not an allowed ISO 639-3 language code."] } });
        return Err(Answer::json(400, &error));
    }
    let too_long = |text: &Value| text.as_str().is_none_or(|text| text.chars().count() > LONGEST);
    if text.values().any(too_long) {
        return Err(invalid("text", &format!("Ensure this field has no more than {LONGEST} characters.")));
    }
    if !text.contains_key(base) {
        return Err(invalid("non_field_errors", "No text translation provided in base language."));
    }
    Ok(text)
}

impl World {
    /// Mailroom's part: one message to each contact, in her language.
    pub fn send_broadcast(&mut self, id: usize) {
        let Some(one) = self.broadcasts.iter().find(|one| one.id == id).cloned() else { return };
        let contacts = one.to.resolve(self);
        for uuid in &contacts {
            let Some(at) = self.contact_at(uuid) else { continue };
            let Some(contact) = self.contacts.get(at) else { continue };
            let template = one.text_for(contact.language.as_deref());
            let scope = Scope { world: self, contact: Some(contact), run: None };
            let text = template::evaluate(template, &scope);
            let origin = Origin { broadcast: Some(id), request: one.request, flow: None };
            self.send(at, text, origin);
        }
        if let Some(one) = self.broadcasts.iter_mut().find(|one| one.id == id) {
            one.sent_to = Some(contacts.len());
        }
    }

    /// Every broadcast as the API of 9.0 shows it.
    pub fn show_broadcasts(&self) -> Vec<Value> {
        self.broadcasts.iter().map(|one| show(self, one, 9)).collect()
    }
}
