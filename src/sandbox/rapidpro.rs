//! A simulated RapidPro: contacts, groups, fields, flows, runs, and people who answer.
//!
//! It answers `/api/v2/` as RapidPro 9.0 does; where a later version differs and it matters to a client,
//! an option says so. Flows are run by a small engine: people's replies go through the definition that
//! the API also hands out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};

use self::state::World;
use super::faults::{Effect, Fault, Faults};
use super::http::{Answer, FarSide, Request};

// The actions of a flow's node.
mod actions;
// One template to many contacts.
mod broadcasts;
// What a body may say about a contact, and what is said when it is wrong.
mod contact_body;
// Contacts as the API shows, creates, changes and deletes them.
mod contacts;
// A flow definition by hand: the monthly village report.
pub mod definition;
// Definitions as they are exported, with what they depend on.
mod dependencies;
// Lets a person go through a flow; webhooks, messages and runs come of it.
mod engine;
// Contact fields and what of a value reads back.
mod fields;
// Flows, definitions, runs.
mod flows;
// Who asks, for which path, how often.
mod gate;
// Values that every flow can use.
mod globals;
// Contact groups.
mod groups;
// What is done behind the API.
mod mailroom;
// What people wrote, and what was sent to them.
mod messages;
// Cursors and pages of 250.
mod paging;
// Whom a flow start or a broadcast is for.
mod recipients;
// The events that flows call out with, and who listens.
mod resthooks;
// The tests of a flow's router.
mod router;
// One run while it goes on.
mod session;
// Flow starts.
mod starts;
// All that the workspace holds.
mod state;
// `@contact.name` and the like.
mod template;
// URNs as RapidPro normalises them.
mod urns;
// Users, channels, the workspace itself.
mod workspace;

pub use engine::{Reply, WebhookShape};

/// What the simulated workspace is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// `9.0`, or a later one: 26 does not steal URNs and shows no `input` in results.
    pub version: u32,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// IANA name.
    pub timezone: String,
    /// Requests an hour and scope.
    pub budget: u32,
    /// How long a run's change stays invisible after its `modified_on`.
    pub commit_delay_ms: u64,
    /// How long a flow start or a broadcast waits before it is worked off.
    pub mailroom_delay_ms: u64,
    /// The administrator's API token.
    pub token: String,
    pub groups: Vec<String>,
    /// (name, type)
    pub fields: Vec<(String, String)>,
    /// Largest number of groups and of fields.
    pub limit: usize,
    /// Decides the faults that have a probability.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: 9,
            country: "RW".to_owned(),
            timezone: "Africa/Kigali".to_owned(),
            budget: 2500,
            commit_delay_ms: 0,
            mailroom_delay_ms: 50,
            token: "5a4d0b0a4d1a4c1e9a1f0f7c2b6d8e3f90a1b2c3".to_owned(),
            groups: Vec::new(),
            fields: Vec::new(),
            limit: 250,
            seed: 1,
        }
    }
}

/// The simulated workspace. Clones share it.
#[derive(Debug, Clone)]
pub struct RapidPro {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    faults: Faults,
    options: Options,
    client: reqwest::Client,
}

impl RapidPro {
    /// A workspace with the groups, fields and token of the options, and no contacts.
    pub fn new(options: Options) -> Self {
        // Already there when the product runs in the same process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let faults = Faults::new(options.seed);
        let world = Mutex::new(World::new(&options));
        Self { shared: Arc::new(Shared { world, faults, options, client: reqwest::Client::new() }) }
    }

    /// The administrator's API token.
    pub fn token(&self) -> &str {
        &self.shared.options.token
    }

    /// Makes something go wrong; the number lifts it again.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.shared.faults.add(fault)
    }

    /// Ends one fault.
    pub fn lift(&self, fault: u64) {
        self.shared.faults.lift(fault);
    }

    /// Another token, with a role: `Administrator`, `Editor` or `Surveyor`.
    pub fn add_token(&self, token: &str, role: &str) {
        self.world().tokens.push((token.to_owned(), role.to_owned()));
    }

    /// Blocks or unblocks a contact: `active`, `blocked`, `stopped`, `archived`.
    pub fn set_contact_status(&self, contact: &str, status: &str) {
        self.world().set_status(contact, status);
    }

    /// The contact that owns a URN, as the API shows it.
    pub fn contact_by_urn(&self, urn: &str) -> Option<Value> {
        let world = self.world();
        let at = world.owner_of(urn)?;
        world.contacts.get(at).map(|contact| world.show_contact(contact))
    }

    /// Runs as they are visible now, oldest change first.
    pub fn runs(&self) -> Vec<Value> {
        let world = self.world();
        let now = jiff::Timestamp::now();
        let mut shown: Vec<_> = world.runs.iter().filter_map(|run| run.visible(now)).collect();
        shown.sort_by_key(|version| version.modified);
        shown.into_iter().map(|version| version.shown.clone()).collect()
    }

    /// All that the workspace holds.
    pub fn state(&self) -> Value {
        self.world().show()
    }

    /// Every flow start and message, counted: `starts` by contact, flow and `params`, `messages` by
    /// contact, text and what sent them.
    pub fn acts(&self) -> Value {
        self.world().show_acts()
    }

    /// Suspends the workspace, or lets it go on: it then refuses every POST.
    pub fn suspend(&self, suspended: bool) {
        self.world().suspended = suspended;
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl FarSide for RapidPro {
    async fn answer(&self, request: Request) -> Answer {
        let mailroom_down =
            request.effects.iter().any(|effect| matches!(effect, Effect::DatabaseDown { .. }));
        let answer = gate::answer(&mut self.world(), &self.shared.options, &request, mailroom_down);
        self.work();
        answer
    }

    fn refuse(&self, status: u16, request: &Request) -> Answer {
        gate::refuse(status, request)
    }

    fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    fn state(&self) -> Value {
        self.world().show()
    }

    fn view(&self, name: &str) -> Option<Value> {
        (name == "acts").then(|| self.acts())
    }

    async fn act(&self, action: &str, body: Value) -> Option<Value> {
        let text = |key: &str| body[key].as_str().unwrap_or("");
        let done = |done: bool| Some(json!({ "done": done }));
        match action {
            "answer" => Some(self.act_answer(&body).await),
            "receive" => Some(json!({ "run": self.receive(text("contact"), text("text")).await })),
            "flow" => Some(json!({ "flow": self.add_flow(body) })),
            "keyword" => done(self.add_keyword(text("flow"), text("keyword"))),
            "archive-flow" => done(self.archive_flow(text("flow"), body["archived"] != false)),
            "status" => {
                self.set_contact_status(text("contact"), text("status"));
                done(true)
            }
            "suspend" => {
                self.suspend(body["suspended"] != false);
                done(true)
            }
            "lose-webhooks" => {
                self.lose_webhooks(body["share"].as_f64().unwrap_or(0.0));
                done(true)
            }
            _ => None,
        }
    }
}

impl RapidPro {
    /// `POST /_sandbox/answer {"contact","flow","replies":["12", …]}`: a person goes through a flow;
    /// without `flow` she answers what she was asked last.
    async fn act_answer(&self, body: &Value) -> Value {
        let replies: Vec<Reply> = body["replies"]
            .as_array()
            .map(|replies| replies.iter().filter_map(Value::as_str).map(Reply::text).collect())
            .unwrap_or_default();
        let contact = body["contact"].as_str().unwrap_or("");
        let run = match body["flow"].as_str() {
            Some(flow) => self.take_through(contact, flow, &replies).await,
            None => self.reply(contact, &replies).await,
        };
        match run {
            Some(run) => json!({ "run": run }),
            None => json!({ "detail": "no such contact or flow, or nothing that waits" }),
        }
    }
}
