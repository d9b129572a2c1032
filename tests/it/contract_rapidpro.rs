//! What Mjumbe relies on of a RapidPro, unchanged against a real one or the sandbox.
//!
//! `MJUMBE_TEST_RAPIDPRO=https://… MJUMBE_TEST_RAPIDPRO_TOKEN=… cargo test --test it contract_rapidpro`, of a
//! workspace for tests: a contact without a phone is made and deleted, and the first flow that is not
//! archived (or `MJUMBE_TEST_RAPIDPRO_FLOW`) is started with it. Nobody is written to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mjumbe::delivery::destination::{Destination, Outgoing, Settled};
use mjumbe::delivery::hold::Leave;
use mjumbe::rapidpro::act::message::Message;
use mjumbe::rapidpro::act::start::Start;
use mjumbe::rapidpro::client::{Call, Client, Method};
use mjumbe::rapidpro::destination::{Surroundings, Workspace};
use mjumbe::rapidpro::mirror::CONTACT;
use mjumbe::rapidpro::poll::{Poller, Settings};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::definition::monthly_report;
use mjumbe::sandbox::rapidpro::{Options, RapidPro};
use mjumbe::store::Store;
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use super::rapidpro_acts::{Company, Unlinked, built, code, outgoing, unclear};
use super::{rapidpro_contact, rapidpro_contact::settings};

const TENANT: &str = "default";
/// A real mailroom works a start off within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

struct Partner {
    client: Arc<Client>,
    workspace: Workspace,
    flow: String,
    _sandbox: Option<Server>,
}

impl Partner {
    async fn meet() -> Self {
        let real = std::env::var("MJUMBE_TEST_RAPIDPRO").ok();
        let (url, token, sandbox) = match real {
            Some(url) => {
                let token = std::env::var("MJUMBE_TEST_RAPIDPRO_TOKEN");
                (url, token.expect("MJUMBE_TEST_RAPIDPRO_TOKEN is set too"), None)
            }
            None => {
                let far = RapidPro::new(Options::default());
                far.add_flow(monthly_report(None));
                let listen = SocketAddr::from(([127, 0, 0, 1], 0));
                let server = Server::start(Arc::new(far.clone()), listen).await.unwrap();
                (server.url(), far.token().to_owned(), Some(server))
            }
        };
        let client = Arc::new(Client::new("contract", &settings(&url, &token)).unwrap());
        let around = Surroundings {
            links: Arc::new(Unlinked),
            others: Arc::new(Company::default()),
            languages: Vec::new(),
        };
        let workspace = Workspace::new(Arc::clone(&client), around);
        let flow = flow(&client).await;
        Self { client, workspace, flow, _sandbox: sandbox }
    }

    async fn settle(&self, outgoing: &Outgoing) -> Settled {
        let leave = Leave::until(Instant::now() + PATIENCE);
        self.workspace.send(std::slice::from_ref(outgoing), &leave).await.result.unwrap().remove(0)
    }

    /// Makes or changes the contact with this URN; gives its uuid.
    async fn upsert(&self, urn: &str, name: &str) -> String {
        let output = rapidpro_contact::output("Patient/contract", &json!({"urns": [urn], "name": name}));
        let settled = self.settle(&rapidpro_contact::outgoing(&output, None, None)).await;
        assert_eq!(code(&settled), "accepted", "{settled:?}");
        settled.remote.unwrap()
    }

    async fn start_row(&self, delivery: &str) -> Vec<Value> {
        let rows = self.client.get("flow_starts", &[]).await.unwrap()["results"].clone();
        let ours = |row: &&Value| row["params"]["mjumbe_delivery"] == delivery;
        rows.as_array().unwrap().iter().filter(ours).cloned().collect()
    }

    async fn delete(&self, uuid: &str) {
        let query = [("uuid", uuid)];
        let call = Call { method: Method::Delete, endpoint: "contacts", query: &query, body: None };
        self.client.exchange(&call).await.0.unwrap();
    }
}

async fn flow(client: &Client) -> String {
    if let Ok(named) = std::env::var("MJUMBE_TEST_RAPIDPRO_FLOW") {
        return named;
    }
    let flows = client.get("flows", &[("archived", "false")]).await.unwrap()["results"].clone();
    let first = flows.as_array().unwrap().first().expect("the workspace has a flow");
    first["uuid"].as_str().unwrap().to_owned()
}

fn unique(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::new_v4().simple())
}

#[tokio::test]
async fn a_contact_is_made_once_and_changed() {
    let partner = Partner::meet().await;
    let urn = format!("ext:{}", unique("mjumbe-contract"));
    let made = partner.upsert(&urn, "Contract one").await;
    assert_eq!(partner.upsert(&urn, "Contract two").await, made);
    let found = partner.client.get("contacts", &[("urn", &urn)]).await.unwrap()["results"].clone();
    assert_eq!((&found[0]["uuid"], &found[0]["name"]), (&json!(made), &json!("Contract two")));
    partner.delete(&made).await;
}

#[tokio::test]
async fn a_start_is_accepted_once_and_found_again_by_its_delivery() {
    let partner = Partner::meet().await;
    let contact = partner.upsert(&format!("ext:{}", unique("mjumbe-contract")), "Contract start").await;
    let delivery = unique("contract");
    let wish = json!({"flow": partner.flow, "contact": contact, "params": {"visit_date": "2026-12-24"}});
    let start = outgoing(&delivery, &built(&Start, &wish));
    let settled = partner.settle(&start).await;
    assert_eq!(code(&settled), "accepted");
    let again = partner.settle(&unclear(&start)).await;
    assert_eq!((code(&again), &again.remote), ("accepted", &settled.remote));
    let rows = partner.start_row(&delivery).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(json!(settled.remote), rows[0]["uuid"]);
    assert_eq!(rows[0]["params"]["visit_date"], "2026-12-24");
    partner.delete(&contact).await;
}

#[tokio::test]
async fn a_message_that_no_channel_can_bring_is_refused_and_can_be_looked_up() {
    let partner = Partner::meet().await;
    let contact = partner.upsert(&format!("ext:{}", unique("mjumbe-contract")), "Contract message").await;
    let text = unique("Literal @contact.name 50%");
    let message = outgoing("contract", &built(&Message, &json!({"contact": contact, "text": text})));
    assert_eq!(code(&partner.settle(&message).await), "rapidpro-contact-unreachable");
    let rows = partner.client.get("messages", &[("contact", &contact)]).await.unwrap()["results"].clone();
    let ours: Vec<&Value> =
        rows.as_array().unwrap().iter().filter(|row| row["text"] == json!(text)).collect();
    assert_eq!(ours.len(), 1);
    assert_eq!((&ours[0]["direction"], &ours[0]["status"]), (&json!("out"), &json!("failed")));
    assert_eq!(code(&partner.settle(&unclear(&message)).await), "rapidpro-contact-unreachable");
    partner.delete(&contact).await;
}

#[tokio::test]
async fn contacts_flows_and_runs_are_polled() {
    each_store(|store| async move {
        let partner = Partner::meet().await;
        let urn = format!("ext:{}", unique("mjumbe-contract"));
        let contact = partner.upsert(&urn, "Contract poll").await;
        let wish = json!({"flow": partner.flow, "contact": contact});
        let start = partner.settle(&outgoing(&unique("contract"), &built(&Start, &wish))).await;
        let settings = Settings { tenant: TENANT.to_owned(), zone: jiff::tz::TimeZone::UTC, interval: None };
        let mut poller = Poller::new(Arc::clone(&partner.client), store.clone(), settings);
        let run = run_of(&partner, &start).await;
        poller.poll().await.unwrap();
        assert!(is_stored(&store, CONTACT, &format!("contract/{contact}")).await);
        assert!(is_stored(&store, "QuestionnaireResponse", &run).await);
        assert!(is_stored(&store, "Questionnaire", &flow_uuid(&partner, &run).await).await);
        partner.delete(&contact).await;
    })
    .await;
}

async fn is_stored(store: &Store, kind: &str, id: &str) -> bool {
    store.read(TENANT, kind, id).await.unwrap().is_some_and(|stored| stored.body.is_some())
}

/// The run that a start made: mailroom works starts off after it took them.
async fn run_of(partner: &Partner, start: &Settled) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let runs = partner.client.get("runs", &[]).await.unwrap()["results"].clone();
        let ours = runs.as_array().unwrap().iter().find(|run| run["start"]["uuid"] == json!(start.remote));
        if let Some(run) = ours {
            return run["uuid"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "the start made no run");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn flow_uuid(partner: &Partner, run: &str) -> String {
    let runs = partner.client.get("runs", &[("uuid", run)]).await.unwrap()["results"].clone();
    runs[0]["flow"]["uuid"].as_str().unwrap().to_owned()
}
