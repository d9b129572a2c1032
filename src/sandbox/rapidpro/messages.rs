//! Messages: what people wrote, and what was sent to them by flows, broadcasts and the API.
//!
//! A message is queued, and wired a moment later. One to a contact who is not active, or who has no
//! address that a channel serves, has failed at once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::http::Answer;
use super::super::time::{after, micros};
use super::gate::{Call, detail_answer, invalid, server_error};
use super::paging::{Window, page};
use super::state::{World, new_uuid};
use super::{contacts, urns, workspace};

/// How long a message stays queued.
const WIRED_AFTER_MS: u64 = 250;

/// One message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub id: usize,
    pub uuid: String,
    pub broadcast: Option<usize>,
    /// Uuid
    pub contact: String,
    pub urn: Option<String>,
    pub incoming: bool,
    pub failed: bool,
    pub text: String,
    /// Uuid and name of the flow that sent it or took it.
    pub flow: Option<(String, String)>,
    pub created: Timestamp,
    /// The sandbox's number of the request that asked for it; 0 where none did.
    pub request: u64,
}

/// Where a message comes from.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    pub broadcast: Option<usize>,
    pub flow: Option<(String, String)>,
    pub request: u64,
}

impl Message {
    /// `queued`, `wired`, `failed` or `handled`.
    fn status(&self, now: Timestamp) -> &'static str {
        match (self.incoming, self.failed) {
            (true, _) => "handled",
            (false, true) => "failed",
            (false, false) if now >= self.wired_at() => "wired",
            (false, false) => "queued",
        }
    }

    fn wired_at(&self) -> Timestamp {
        after(self.created, WIRED_AFTER_MS)
    }

    fn is_in(&self, folder: &str, now: Timestamp) -> bool {
        let status = self.status(now);
        match folder {
            "inbox" => self.incoming && self.flow.is_none(),
            "flows" => self.incoming && self.flow.is_some(),
            "outbox" => status == "queued",
            "sent" => status == "wired",
            "failed" => status == "failed",
            "incoming" => self.incoming,
            _ => false,
        }
    }
}

impl World {
    /// Sends a text to a contact; gives the message's position.
    pub fn send(&mut self, contact: usize, text: String, origin: Origin) -> Option<usize> {
        let created = self.clock.tick();
        let to = self.contacts.get(contact)?;
        let urn = to.urns.iter().find(|urn| urns::has_channel(urn)).cloned();
        let failed = to.status != "active" || urn.is_none();
        let (uuid, id) = (to.uuid.clone(), self.messages.len() + 1);
        let Origin { broadcast, flow, request } = origin;
        let message = Message {
            id,
            uuid: new_uuid(),
            broadcast,
            contact: uuid,
            urn,
            incoming: false,
            failed,
            text,
            flow,
            created,
            request,
        };
        self.messages.push(message);
        Some(id - 1)
    }

    /// Keeps what a person wrote.
    pub fn heard(&mut self, contact: &str, text: &str, flow: Option<(String, String)>) {
        let created = self.clock.tick();
        let from = self.contact_at(contact).and_then(|at| self.contacts.get(at));
        let urn = from.and_then(|from| from.urns.iter().find(|urn| urns::has_channel(urn)).cloned());
        let (id, contact, text) = (self.messages.len() + 1, contact.to_owned(), text.to_owned());
        self.messages.push(Message {
            id,
            uuid: new_uuid(),
            broadcast: None,
            contact,
            urn,
            incoming: true,
            failed: false,
            text,
            flow,
            created,
            request: 0,
        });
    }

    fn show_message(&self, message: &Message, version: u32) -> Value {
        let now = Timestamp::now();
        let contact = self.contact_at(&message.contact).and_then(|at| self.contacts.get(at));
        let sent = match message.status(now) {
            "wired" => Some(message.wired_at()),
            "handled" => Some(message.created),
            _ => None,
        };
        let channel = message.urn.as_deref().map(|urn| workspace::channel_of(self, urn));
        let flow = message.flow.as_ref().map(|(uuid, name)| json!({ "uuid": uuid, "name": name }));
        let mut shown = json!({ "id": message.id, "broadcast": message.broadcast,
            "contact": { "uuid": message.contact, "name": contact.and_then(|contact| contact.name.clone()) },
            "urn": message.urn, "channel": channel, "direction": if message.incoming { "in" } else { "out" },
            "type": "text", "status": message.status(now), "archived": false, "visibility": "visible",
            "text": message.text, "labels": [], "flow": flow, "attachments": [],
            "created_on": micros(message.created), "sent_on": sent.map(micros),
            "modified_on": micros(sent.unwrap_or(message.created)), "media": null });
        if version > 9 {
            shown["uuid"] = message.uuid.clone().into();
        }
        shown
    }

    /// How often each contact was sent each text, by what sent it.
    pub fn messages_by_contact_and_text(&self) -> Vec<Value> {
        let now = Timestamp::now();
        let mut counts: BTreeMap<(&str, &str, &str), (usize, &Message)> = BTreeMap::new();
        for message in self.messages.iter().filter(|message| !message.incoming) {
            let by = match (&message.flow, message.broadcast) {
                (Some(_), _) => "flow",
                (None, Some(_)) => "broadcast",
                (None, None) => "message",
            };
            counts.entry((&message.contact, &message.text, by)).or_insert((0, message)).0 += 1;
        }
        let show = |((contact, text, by), (count, first)): ((&str, &str, &str), (usize, &Message))| {
            json!({ "contact": contact, "urn": first.urn, "text": text, "by": by, "count": count,
                "first": micros(first.created),
                "status": first.status(now), "request": first.request,
                "flow": first.flow.as_ref().map(|(_, name)| name) })
        };
        counts.into_iter().map(show).collect()
    }

    /// Every message as the API of 9.0 shows it.
    pub fn show_messages(&self) -> Vec<Value> {
        self.messages.iter().map(|message| self.show_message(message, 9)).collect()
    }
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let asked = |name: &str| call.request.parameter(name);
    let filters = ["contact", "folder", "label", "broadcast"];
    if filters.iter().filter(|name| asked(name).is_some()).count() > 1 {
        let detail = "You may only specify one of the contact, folder, label, broadcast parameters";
        return detail_answer(400, detail);
    }
    let number = |name: &str| asked(name).map(str::parse::<usize>).transpose();
    let (Ok(id), Ok(broadcast)) = (number("id"), number("broadcast")) else {
        return detail_answer(400, "Value for id must be an integer");
    };
    let now = Timestamp::now();
    let folder = asked("folder");
    let wanted = |message: &&Message| {
        id.is_none_or(|id| message.id == id)
            && broadcast.is_none_or(|id| message.broadcast == Some(id))
            && asked("contact").is_none_or(|uuid| message.contact == uuid)
            && asked("uuid").filter(|_| call.options.version > 9).is_none_or(|uuid| message.uuid == uuid)
            && asked("label").is_none()
            && folder.is_none_or(|folder| message.is_in(folder, now))
    };
    let order = |message: &Message| match folder {
        Some("sent") => message.wired_at(),
        _ => message.created,
    };
    let show = |message: &Message| (order(message), world.show_message(message, call.options.version));
    page(call.request, Window::of(call.request), world.messages.iter().filter(wanted).map(show).collect())
}

/// One text to one contact, word for word.
pub(super) fn post(world: &mut World, call: &Call) -> Answer {
    let Some(reference) = call.body.get("contact").and_then(Value::as_str) else {
        return invalid("contact", "This field is required.");
    };
    let Some(at) = contacts::find(world, reference) else {
        return invalid("contact", &format!("No such object: {reference}"));
    };
    let text = call.body.get("text").and_then(Value::as_str).unwrap_or("");
    if text.is_empty() {
        return invalid("non_field_errors", "Must provide either text or attachments.");
    }
    let most = if call.options.version >= 26 { 4096 } else { 640 };
    if text.chars().count() > most {
        return invalid("text", &format!("Ensure this field has no more than {most} characters."));
    }
    if call.mailroom_down {
        return server_error();
    }
    let origin = Origin { request: call.request.number, ..Origin::default() };
    let sent = world.send(at, text.to_owned(), origin).and_then(|at| world.messages.get(at));
    sent.map_or_else(server_error, |message| {
        Answer::json(201, &world.show_message(message, call.options.version))
    })
}
