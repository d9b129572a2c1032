//! Lets a person go through a flow; webhooks, messages and runs come of it.
//!
//! As mailroom does it: each reply is one sprint through the definition; a webhook on the way is called
//! before the sprint is committed; the commit's `modified_on` is when its transaction began, and the run
//! shows the change only when it ended. One contact is in one run at a time: another start interrupts it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::time::micros;
use super::definition::{self, Webhook};
use super::session::{Next, Session};
use super::state::{Flow, new_uuid};
use super::{RapidPro, contacts, router};

/// What a person does when she is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    /// She says nothing for as long as the question waits.
    Timeout,
    /// She says nothing more until the run expires.
    Expire,
}

impl Reply {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// How a flow calls a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookShape {
    /// `call_webhook` with the body that the flow editor writes: no run, no times.
    EditorDefault,
    /// `call_resthook`, and what legacy webhooks became.
    Resthook,
}

/// Longest sprint, as `MaxStepsPerSprint`.
const MOST_STEPS: usize = 100;

/// What begins a run: a flow start with its `params`, or somebody's own word.
#[derive(Debug, Clone, Default)]
pub(super) struct Started {
    pub start: Option<String>,
    pub params: Value,
}

impl RapidPro {
    /// Takes a flow definition into the workspace; the name or uuid then finds it.
    pub fn add_flow(&self, definition: Value) -> String {
        let mut world = self.world();
        let uuid = definition["uuid"].as_str().map_or_else(new_uuid, str::to_owned);
        let name = definition["name"].as_str().unwrap_or("Flow").to_owned();
        let created = world.clock.tick();
        let modified = world.clock.tick();
        world.flows.retain(|flow| flow.uuid != uuid);
        world.flows.push(Flow {
            uuid: uuid.clone(),
            name,
            archived: false,
            keywords: Vec::new(),
            definition,
            created,
            modified,
        });
        uuid
    }

    /// The three flows and the reminder of the demo, with a webhook at the end of those that ask; each is
    /// started by a keyword too: `report`, `case`, `dose`.
    pub fn add_demo_flows(&self, webhook: Option<&Webhook>) {
        let flows = [
            (definition::monthly_report(webhook), "report"),
            (definition::case_report(webhook), "case"),
            (definition::immunization(webhook), "dose"),
        ];
        for (flow, keyword) in flows {
            let flow = self.add_flow(flow);
            self.add_keyword(&flow, keyword);
        }
        self.add_flow(definition::reminder());
    }

    /// A word that starts a flow when somebody writes it; whether there is such a flow.
    pub fn add_keyword(&self, flow: &str, keyword: &str) -> bool {
        let mut world = self.world();
        let Some(uuid) = world.flow(flow).map(|flow| flow.uuid.clone()) else { return false };
        let flow = world.flows.iter_mut().find(|flow| flow.uuid == uuid);
        flow.is_some_and(|flow| {
            flow.keywords.push(keyword.to_lowercase());
            true
        })
    }

    /// Archives a flow, or takes it back; whether there is such a flow.
    pub fn archive_flow(&self, flow: &str, archived: bool) -> bool {
        let mut world = self.world();
        let modified = world.clock.tick();
        let Some(uuid) = world.flow(flow).map(|flow| flow.uuid.clone()) else { return false };
        world.flows.iter_mut().find(|flow| flow.uuid == uuid).is_some_and(|flow| {
            flow.archived = archived;
            flow.modified = modified;
            true
        })
    }

    /// Where resthook calls go; without it a resthook node finds no subscribers.
    pub fn subscribe(&self, url: &str) {
        self.world().subscriber = Some(url.to_owned());
    }

    /// A share of webhooks, from 0 to 1, is lost on the way from now on.
    pub fn lose_webhooks(&self, share: f64) {
        self.world().webhook_loss = share;
    }

    /// A person goes through a flow: starts it, answers, and stops where her replies end.
    /// Returns the run's uuid; `None` where there is no such contact or flow.
    pub async fn take_through(&self, contact: &str, flow: &str, replies: &[Reply]) -> Option<String> {
        let run = self.begin_run(contact, flow, Started::default()).await?;
        for reply in replies {
            if self.hear(contact, reply, Some(&run)).await.is_none() {
                break;
            }
        }
        Some(run)
    }

    /// A person answers what she was asked last, reply by reply. Returns the run's uuid; `None` where
    /// nothing waits for her.
    pub async fn reply(&self, contact: &str, replies: &[Reply]) -> Option<String> {
        let mut answered = None;
        for reply in replies {
            match self.hear(contact, reply, answered.as_deref()).await {
                Some(run) => answered = Some(run),
                None => break,
            }
        }
        answered
    }

    /// A person writes: her run goes on, or a keyword starts a flow, or it stays in the inbox. Returns the
    /// run's uuid where there is one.
    pub async fn receive(&self, contact: &str, text: &str) -> Option<String> {
        if let Some(run) = self.hear(contact, &Reply::text(text), None).await {
            return Some(run);
        }
        let word = text.split_whitespace().next().unwrap_or("").to_lowercase();
        let (contact, flow) = {
            let mut world = self.world();
            let contact = world.contacts.get(contacts::find(&world, contact)?)?.uuid.clone();
            let by_keyword = world.flows.iter().find(|flow| !flow.archived && flow.keywords.contains(&word));
            let flow = by_keyword.map(|flow| (flow.uuid.clone(), flow.name.clone()));
            world.heard(&contact, text, flow.clone());
            (contact, flow?.0)
        };
        self.begin_with(&contact, &flow, Started::default(), Some(text)).await
    }

    /// Begins a run; whatever the contact was in is interrupted.
    pub(super) async fn begin_run(&self, contact: &str, flow: &str, by: Started) -> Option<String> {
        self.begin_with(contact, flow, by, None).await
    }

    async fn begin_with(&self, contact: &str, flow: &str, by: Started, said: Option<&str>) -> Option<String> {
        let contact = self.known(contact)?;
        let turn = self.turn_of(&contact);
        let _held = turn.lock().await;
        let mut session = self.session(&contact, flow, by)?;
        session.last_input = said.map(str::to_owned);
        let first = session.flow.definition["nodes"][0]["uuid"].as_str().unwrap_or("").to_owned();
        self.sprint(&mut session, Next::Node(first)).await;
        Some(session.uuid)
    }

    fn session(&self, contact: &str, flow: &str, by: Started) -> Option<Session> {
        let mut world = self.world();
        let flow = world.flow(flow)?.clone();
        world.interrupt(contact);
        let created = world.clock.tick();
        Some(Session {
            uuid: new_uuid(),
            contact: contact.to_owned(),
            flow,
            start: by.start,
            params: by.params,
            path: Vec::new(),
            values: Map::new(),
            created,
            waiting: None,
            responded: false,
            exit: None,
            last_input: None,
        })
    }

    /// A reply to what waits for a contact: the run's uuid. With `run`, only to that one.
    async fn hear(&self, contact: &str, reply: &Reply, run: Option<&str>) -> Option<String> {
        let contact = self.known(contact)?;
        let turn = self.turn_of(&contact);
        let _held = turn.lock().await;
        let mut session = {
            let mut world = self.world();
            let waits = world.waiting.get(&contact)?;
            if run.is_some_and(|run| waits.uuid != run) {
                return None;
            }
            world.waiting.remove(&contact)?
        };
        self.resume(&mut session, reply).await;
        Some(session.uuid)
    }

    async fn resume(&self, session: &mut Session, reply: &Reply) {
        let Some(node) = session.waiting.take().and_then(|uuid| session.node(&uuid)) else { return };
        let router = &node["router"];
        let now = self.tick();
        let routed = match reply {
            Reply::Text(text) => {
                self.world().heard(&session.contact, text, Some(session.named_flow()));
                session.responded = true;
                session.last_input = Some(text.clone());
                router::route(router, text, &self.place())
            }
            Reply::Timeout => {
                session.last_input = None;
                router::timed_out(router, micros(now))
            }
            Reply::Expire => None,
        };
        let Some(routed) = routed else {
            session.exit = Some("expired");
            return self.world().commit(session);
        };
        let input = session.last_input.clone();
        session.save(&node, &routed, input, self.tick());
        let next = session.behind(&node, &routed.exit);
        self.sprint(session, next).await;
    }

    /// Walks until something waits, or to the end.
    async fn sprint(&self, session: &mut Session, mut next: Next) {
        session.waiting = None;
        for _ in 0..MOST_STEPS {
            let Next::Node(uuid) = next else {
                session.exit = Some("completed");
                return self.world().commit(session);
            };
            let Some(node) = session.node(&uuid) else { break };
            session.path.push(json!({ "node": uuid, "time": micros(self.tick()) }));
            let called = self.actions(session, &node).await;
            if node["router"]["wait"]["type"] == "msg" {
                session.waiting = Some(uuid);
                return self.world().commit(session);
            }
            next = if node["router"].is_object() {
                match self.split(session, &node, called) {
                    Some(exit) => session.behind(&node, &exit),
                    None => break,
                }
            } else {
                session.behind(&node, node["exits"][0]["uuid"].as_str().unwrap_or(""))
            };
        }
        session.exit = Some("failed");
        self.world().commit(session);
    }

    /// The exit of a router that waits for nobody; its result is kept where it has a name.
    fn split(&self, session: &mut Session, node: &Value, called: Option<String>) -> Option<String> {
        let router = &node["router"];
        let operand = router["operand"].as_str().unwrap_or("");
        let operand = session.evaluate(&self.world(), operand);
        let operand = if operand.is_empty() { called.unwrap_or_default() } else { operand };
        let routed = router::route(router, &operand, &self.place())?;
        session.save(node, &routed, Some(operand), self.tick());
        Some(routed.exit)
    }

    fn place(&self) -> router::Place {
        let mut world = self.world();
        let (zone, country) = (world.zone.clone(), world.country.clone());
        router::Place { at: world.clock.tick(), zone, country }
    }

    /// Uuid of a contact that is not deleted.
    fn known(&self, contact: &str) -> Option<String> {
        let world = self.world();
        Some(world.contacts.get(contacts::find(&world, contact)?)?.uuid.clone())
    }

    /// Whoever holds it is the only one who moves this contact.
    fn turn_of(&self, contact: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.world().turns.entry(contact.to_owned()).or_default().clone()
    }

    pub(super) fn tick(&self) -> Timestamp {
        self.world().clock.tick()
    }
}
