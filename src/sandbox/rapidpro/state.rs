//! All that the workspace holds.
//!
//! Contacts are never removed: a deleted one keeps its uuid, as in RapidPro. Every accepted write of a
//! contact is remembered for comparisons with the truth.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::time::{Clock, micros};
use super::Options;
use super::broadcasts::Broadcast;
use super::globals::Global;
use super::mailroom::Task;
use super::messages::Message;
use super::resthooks::{Event, Subscriber};
use super::session::Session;
use super::starts::Start;

/// The workspace.
#[derive(Debug)]
pub(super) struct World {
    pub clock: Clock,
    /// 9, 10, 26.
    pub version: u32,
    /// How long a run's change stays invisible after its `modified_on`.
    pub commit_delay_ms: u64,
    pub created: Timestamp,
    pub uuid: String,
    pub country: String,
    pub zone: TimeZone,
    pub timezone: String,
    /// (token, role)
    pub tokens: Vec<(String, String)>,
    pub contacts: Vec<Contact>,
    pub groups: Vec<Group>,
    pub fields: Vec<Field>,
    pub flows: Vec<Flow>,
    pub runs: Vec<Run>,
    /// The run in which each contact waits, by contact.
    pub waiting: BTreeMap<String, Session>,
    /// Whoever holds a contact's turn moves her through flows.
    pub turns: BTreeMap<String, Arc<tokio::sync::Mutex<()>>>,
    pub starts: Vec<Start>,
    pub broadcasts: Vec<Broadcast>,
    pub messages: Vec<Message>,
    /// What mailroom is to do next.
    pub tasks: Vec<Task>,
    pub globals: Vec<Global>,
    pub subscribers: Vec<Subscriber>,
    pub events: Vec<Event>,
    pub webhooks: Vec<Value>,
    /// When each scope was asked, for the hourly budget.
    pub asked: BTreeMap<&'static str, VecDeque<Timestamp>>,
    pub suspended: bool,
    /// Where every resthook is called.
    pub subscriber: Option<String>,
    /// The share of webhooks that is lost.
    pub webhook_loss: f64,
    pub random: StdRng,
}

#[derive(Debug, Clone)]
pub(super) struct Contact {
    pub uuid: String,
    pub name: Option<String>,
    pub status: String,
    pub language: Option<String>,
    pub urns: Vec<String>,
    /// Positions in `World::groups`' uuids.
    pub groups: Vec<String>,
    /// Key → what reads back.
    pub fields: BTreeMap<String, String>,
    /// Uuid of the flow that she is in.
    pub flow: Option<String>,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub seen: Option<Timestamp>,
    pub deleted: bool,
    pub writes: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(super) struct Group {
    pub uuid: String,
    pub name: String,
    pub created: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub key: String,
    pub name: String,
    pub kind: String,
    pub created: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub uuid: String,
    pub name: String,
    pub archived: bool,
    /// Words that start it, in lower case.
    pub keywords: Vec<String>,
    pub definition: Value,
    pub created: Timestamp,
    pub modified: Timestamp,
}

/// A run, change by change.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub uuid: String,
    pub contact: String,
    pub flow: String,
    pub versions: Vec<RunVersion>,
}

/// What a run was after one transaction.
#[derive(Debug, Clone)]
pub(super) struct RunVersion {
    /// When the transaction committed.
    pub visible: Timestamp,
    /// When it began: `modified_on`.
    pub modified: Timestamp,
    pub responded: bool,
    pub shown: Value,
}

impl Run {
    /// What the API shows at a moment.
    pub fn visible(&self, now: Timestamp) -> Option<&RunVersion> {
        self.versions.iter().rev().find(|version| version.visible <= now)
    }
}

impl World {
    pub fn new(options: &Options) -> Self {
        let mut clock = Clock::default();
        let mut world = Self {
            created: clock.tick(),
            clock,
            version: options.version,
            commit_delay_ms: options.commit_delay_ms,
            uuid: new_uuid(),
            country: options.country.clone(),
            zone: TimeZone::get(&options.timezone).unwrap_or(TimeZone::UTC),
            timezone: options.timezone.clone(),
            tokens: vec![(options.token.clone(), "Administrator".to_owned())],
            contacts: Vec::new(),
            groups: Vec::new(),
            fields: Vec::new(),
            flows: Vec::new(),
            runs: Vec::new(),
            waiting: BTreeMap::new(),
            turns: BTreeMap::new(),
            starts: Vec::new(),
            broadcasts: Vec::new(),
            messages: Vec::new(),
            tasks: Vec::new(),
            globals: Vec::new(),
            subscribers: Vec::new(),
            events: Vec::new(),
            webhooks: Vec::new(),
            asked: BTreeMap::new(),
            suspended: false,
            subscriber: None,
            webhook_loss: 0.0,
            random: StdRng::seed_from_u64(options.seed),
        };
        for name in &options.groups {
            world.add_group(name);
        }
        for (name, kind) in &options.fields {
            world.add_field(name, kind);
        }
        world
    }

    pub fn add_group(&mut self, name: &str) -> usize {
        let created = self.clock.tick();
        self.groups.push(Group { uuid: new_uuid(), name: name.to_owned(), created });
        self.groups.len() - 1
    }

    pub fn add_field(&mut self, name: &str, kind: &str) -> usize {
        let created = self.clock.tick();
        let key = super::fields::key_of(name);
        self.fields.push(Field { key, name: name.to_owned(), kind: kind.to_owned(), created });
        self.fields.len() - 1
    }

    /// Whether the next webhook is lost on its way.
    pub fn loses_webhook(&mut self) -> bool {
        self.random.random::<f64>() < self.webhook_loss
    }

    /// Position of the contact that owns a URN.
    pub fn owner_of(&self, urn: &str) -> Option<usize> {
        self.contacts.iter().position(|contact| !contact.deleted && contact.urns.iter().any(|own| own == urn))
    }

    /// Position of a contact, deleted or not.
    pub fn contact_at(&self, uuid: &str) -> Option<usize> {
        self.contacts.iter().position(|contact| contact.uuid == uuid)
    }

    /// A group by uuid, or by name in any case.
    pub fn group(&self, reference: &str) -> Option<&Group> {
        let by_name =
            || self.groups.iter().find(|group| group.name.to_lowercase() == reference.to_lowercase());
        self.groups.iter().find(|group| group.uuid == reference).or_else(by_name)
    }

    /// A flow by uuid or name.
    pub fn flow(&self, reference: &str) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.uuid == reference || flow.name == reference)
    }

    pub fn set_status(&mut self, uuid: &str, status: &str) {
        let at = self.clock.tick();
        if let Some(contact) = self.contact_at(uuid).and_then(|at| self.contacts.get_mut(at)) {
            status.clone_into(&mut contact.status);
            contact.modified = at;
            if status != "active" {
                contact.groups.clear();
            }
        }
    }

    /// A new contact, empty.
    pub fn new_contact(&mut self) -> usize {
        let at = self.clock.tick();
        self.contacts.push(Contact {
            uuid: new_uuid(),
            name: None,
            status: "active".to_owned(),
            language: None,
            urns: Vec::new(),
            groups: Vec::new(),
            fields: BTreeMap::new(),
            flow: None,
            created: at,
            modified: at,
            seen: None,
            deleted: false,
            writes: Vec::new(),
        });
        self.contacts.len() - 1
    }

    /// A contact as the API shows it.
    pub fn show_contact(&self, contact: &Contact) -> Value {
        let flow = contact.flow.as_deref().and_then(|uuid| self.flow(uuid)).map(named);
        let times = |shown: &mut Value| {
            shown["flow"] = flow.clone().unwrap_or(Value::Null);
            shown["created_on"] = micros(contact.created).into();
            shown["modified_on"] = micros(contact.modified).into();
            shown["last_seen_on"] = contact.seen.map(micros).into();
        };
        if contact.deleted {
            let mut shown = json!({ "uuid": contact.uuid, "name": null, "status": null, "language": null,
                "urns": [], "groups": [], "fields": {} });
            times(&mut shown);
            shown["blocked"] = Value::Null;
            shown["stopped"] = Value::Null;
            return shown;
        }
        let groups: Vec<Value> = contact
            .groups
            .iter()
            .filter_map(|uuid| self.groups.iter().find(|group| group.uuid == *uuid))
            .map(|group| json!({ "uuid": group.uuid, "name": group.name }))
            .collect();
        let fields: Map<String, Value> = self
            .fields
            .iter()
            .map(|field| (field.key.clone(), contact.fields.get(&field.key).cloned().into()))
            .collect();
        let mut shown = json!({ "uuid": contact.uuid, "name": contact.name, "status": contact.status,
            "language": contact.language, "urns": contact.urns, "groups": groups, "fields": fields });
        times(&mut shown);
        shown["blocked"] = (contact.status == "blocked").into();
        shown["stopped"] = (contact.status == "stopped").into();
        shown
    }

    /// Every flow start and message, counted by whom it reached and what it said.
    pub fn show_acts(&self) -> Value {
        json!({ "starts": self.starts_by_contact(), "messages": self.messages_by_contact_and_text() })
    }

    /// Everything, for comparisons with the truth.
    pub fn show(&self) -> Value {
        let now = Timestamp::now();
        let contacts: Vec<Value> = self
            .contacts
            .iter()
            .map(|contact| {
                let mut shown = self.show_contact(contact);
                shown["deleted"] = contact.deleted.into();
                shown["writes"] = contact.writes.clone().into();
                shown
            })
            .collect();
        let runs: Vec<Value> = self
            .runs
            .iter()
            .filter_map(|run| run.visible(now).or(run.versions.last()))
            .map(|version| version.shown.clone())
            .collect();
        let groups: Vec<Value> =
            self.groups.iter().map(|group| json!({ "uuid": group.uuid, "name": group.name })).collect();
        json!({ "contacts": contacts, "runs": runs, "groups": groups,
            "flow_starts": self.show_starts(), "broadcasts": self.show_broadcasts(),
            "messages": self.show_messages(), "webhooks": self.webhooks })
    }
}

/// `{uuid, name}` of a flow.
pub(super) fn named(flow: &Flow) -> Value {
    json!({ "uuid": flow.uuid, "name": flow.name })
}

pub(super) fn new_uuid() -> String {
    Uuid::new_v4().to_string()
}
