//! Faults of the sandbox happen as they were asked for, and what they did can be read back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mjumbe::sandbox::dhis2::country::{VILLAGE_REPORT, village_id};
use mjumbe::sandbox::dhis2::{CellKey, Dhis2, Options, Version};
use mjumbe::sandbox::faults::{Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::definition::{Webhook, monthly_report};
use mjumbe::sandbox::rapidpro::{self, RapidPro, Reply, WebhookShape};
use serde_json::{Value, json};

const SETS: &str = "/api/dataValueSets";

struct National {
    dhis2: Dhis2,
    server: Server,
    client: reqwest::Client,
}

impl National {
    async fn start(version: Version, import_ms: u64) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dhis2 = Dhis2::new(Options { import_ms, ..Options::new(version) });
        let server = Server::start(Arc::new(dhis2.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
        Self { dhis2, server, client: reqwest::Client::new() }
    }

    /// Sends fever cases of so many villages for a month.
    async fn send(&self, period: &str, villages: usize) -> Result<(u16, Value), reqwest::Error> {
        let values: Vec<Value> = (0..villages)
            .map(|at| json!({ "dataElement": "FTRrcoaog83", "orgUnit": village_id(at), "period": period, "value": "5" }))
            .collect();
        let request = self.client.post(format!("{}{SETS}", self.server.url()));
        let answer = request
            .header("Authorization", format!("ApiToken {}", self.dhis2.token()))
            .json(&json!({ "dataSet": VILLAGE_REPORT, "dataValues": values }))
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null)))
    }

    fn stored(&self, period: &str) -> usize {
        let cells = self.dhis2.state()["cells"].as_array().cloned().unwrap_or_default();
        cells.iter().filter(|cell| cell["period"] == period && cell["deleted"] == false).count()
    }
}

#[tokio::test]
async fn a_connection_is_dropped_before_or_after_the_effect() {
    let it = National::start(Version::V2_40, 0).await;
    it.dhis2.fault(Fault::new(Effect::DropBefore).on("POST", SETS).times(1));
    assert!(it.send("202601", 3).await.is_err());
    assert_eq!(it.stored("202601"), 0);
    it.dhis2.fault(Fault::new(Effect::DropAfter).on("POST", SETS).times(1));
    assert!(it.send("202601", 3).await.is_err());
    assert_eq!(it.stored("202601"), 3);
    assert_eq!(it.send("202601", 3).await.unwrap().0, 200);
}

#[tokio::test]
async fn an_import_goes_on_when_its_client_has_hung_up() {
    let it = National::start(Version::V2_43, 300).await;
    let patience = Duration::from_millis(100);
    assert!(tokio::time::timeout(patience, it.send("202601", 4)).await.is_err());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(it.stored("202601"), 4);
    let (status, body) = it.send("202601", 4).await.unwrap();
    assert_eq!((status, body["response"]["importCount"]["ignored"].as_u64()), (200, Some(0)));
}

#[tokio::test]
async fn what_an_answer_says_and_what_was_stored_may_differ() {
    let it = National::start(Version::V2_40, 0).await;
    it.dhis2.fault(Fault::new(Effect::StoreRows { rows: 2, status: 409 }).on("POST", SETS).times(1));
    let (status, body) = it.send("202601", 5).await.unwrap();
    assert_eq!((status, body["response"]["importCount"]["imported"].as_u64()), (409, Some(0)));
    assert_eq!(it.stored("202601"), 2);
    it.dhis2.fault(Fault::new(Effect::StoreNothing).on("POST", SETS).times(1));
    let (status, body) = it.send("202602", 5).await.unwrap();
    assert_eq!((status, body["response"]["importCount"]["ignored"].as_u64()), (200, Some(5)));
    assert_eq!(it.stored("202602"), 0);
    it.dhis2.fault(Fault::new(Effect::AnswerAfter { status: 500, body: None }).on("POST", SETS).times(1));
    assert_eq!(it.send("202603", 5).await.unwrap().0, 500);
    assert_eq!(it.stored("202603"), 5);
}

#[tokio::test]
async fn without_its_database_dhis2_refuses_right_credentials() {
    let it = National::start(Version::V2_43, 0).await;
    let down = it.dhis2.fault(Fault::new(Effect::DatabaseDown { answer_after_ms: 50 }));
    let began = Instant::now();
    assert_eq!(it.send("202601", 1).await.unwrap().0, 500);
    assert!(began.elapsed() >= Duration::from_millis(50));
    let me = it.client.get(format!("{}/api/me", it.server.url())).basic_auth("admin", Some("district"));
    assert_eq!(me.send().await.unwrap().status(), 401);
    let ping = it.client.get(format!("{}/api/ping", it.server.url()));
    assert_eq!(ping.send().await.unwrap().status(), 200);
    it.dhis2.lift(down);
    assert_eq!(it.send("202601", 1).await.unwrap().0, 200);
}

/// Two imports at once, both the first to use a month; then the loser once more.
async fn collide(version: Version) -> (National, Vec<(u16, Value)>) {
    let it = National::start(version, 150).await;
    let (one, other) = tokio::join!(it.send("202601", 4), it.send("202601", 4));
    (it, vec![one.unwrap(), other.unwrap()])
}

#[tokio::test]
async fn imports_that_are_the_first_to_use_a_month_collide_in_2_40() {
    let (it, answers) = collide(Version::V2_40).await;
    let statuses: Vec<&str> =
        answers.iter().map(|(_, body)| body["response"]["status"].as_str().unwrap()).collect();
    assert!(statuses.contains(&"WARNING") && statuses.contains(&"ERROR"), "{answers:?}");
    assert_eq!(it.stored("202601"), 0);
    assert_eq!(it.send("202601", 4).await.unwrap().0, 200);
    let (one, other) = tokio::join!(it.send("202601", 4), it.send("202601", 4));
    assert_eq!((one.unwrap().0, other.unwrap().0), (200, 200));
}

#[tokio::test]
async fn imports_that_are_the_first_to_use_a_month_lose_rows_without_a_word_in_2_43() {
    let (it, answers) = collide(Version::V2_43).await;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    let ignored: Vec<u64> = answers
        .iter()
        .map(|(_, body)| body["response"]["importCount"]["ignored"].as_u64().unwrap())
        .collect();
    assert_eq!(ignored.iter().sum::<u64>(), 4, "{answers:?}");
    assert_eq!(it.stored("202601"), 4);
}

#[tokio::test]
async fn every_write_of_a_cell_is_read_back_over_http() {
    let it = National::start(Version::V2_43, 0).await;
    for _ in 0..3 {
        it.send("202601", 1).await.unwrap();
    }
    let state = it.client.get(format!("{}/_sandbox/state", it.server.url())).send().await.unwrap();
    let state: Value = state.json().await.unwrap();
    assert_eq!(state["cells"][0]["writes"].as_array().unwrap().len(), 3);
    assert_eq!(state["requests"]["count"], 3);
    let key = CellKey::new("202601", &village_id(0), "FTRrcoaog83", "");
    assert_eq!(it.dhis2.value(&key).as_deref(), Some("5"));
}

#[tokio::test]
async fn faults_are_injected_and_lifted_over_http() {
    let it = National::start(Version::V2_43, 0).await;
    let control = format!("{}/_sandbox/faults", it.server.url());
    let fault = json!({ "path": "/api/data*", "effect": "frozen" });
    assert_eq!(it.client.post(&control).json(&fault).send().await.unwrap().status(), 201);
    let lift = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        it.client.delete(&control).send().await.unwrap()
    };
    let began = Instant::now();
    let (sent, lifted) = tokio::join!(it.send("202601", 1), lift);
    assert_eq!((sent.unwrap().0, lifted.status().as_u16()), (200, 204));
    assert!(began.elapsed() >= Duration::from_millis(200));
}

/// A workspace with one contact; where its webhooks go there is nobody.
async fn workspace(options: rapidpro::Options) -> (RapidPro, Server, String) {
    let rapidpro = RapidPro::new(options);
    let server = Server::start(Arc::new(rapidpro.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let created = reqwest::Client::new()
        .post(format!("{}/api/v2/contacts.json", server.url()))
        .header("Authorization", format!("Token {}", rapidpro.token()))
        .json(&json!({ "name": "Aline", "urns": ["tel:0788383383"] }));
    let created: Value = created.send().await.unwrap().json().await.unwrap();
    let contact = created["uuid"].as_str().unwrap().to_owned();
    (rapidpro, server, contact)
}

fn result<'a>(run: &'a Value, key: &str) -> (&'a str, &'a str) {
    let result = &run["values"][key];
    (result["value"].as_str().unwrap(), result["category"].as_str().unwrap())
}

#[tokio::test]
async fn people_answer_wrongly_first_or_not_at_all() {
    let (rapidpro, _server, contact) = workspace(rapidpro::Options::default()).await;
    let flow = rapidpro.add_flow(monthly_report(None));
    let mut replies: Vec<Reply> = ["many", "12 people", "4", "0", "1"].map(Reply::text).to_vec();
    replies.push(Reply::Timeout);
    rapidpro.take_through(&contact, &flow, &replies).await.unwrap();
    rapidpro.take_through(&contact, &flow, &[Reply::text("many")]).await.unwrap();
    rapidpro.take_through(&contact, &flow, &[Reply::text("3"), Reply::Expire]).await.unwrap();
    let runs = rapidpro.runs();
    assert_eq!(result(&runs[0], "fever_cases"), ("12", "Has Number"));
    assert_eq!(result(&runs[0], "stock_out").1, "No Response");
    assert_eq!(runs[0]["exit_type"], "completed");
    assert_eq!(result(&runs[1], "fever_cases"), ("many", "Other"));
    assert_eq!(runs[1]["exit_type"], "interrupted");
    assert_eq!(runs[2]["exit_type"], "expired");
}

#[tokio::test]
async fn a_run_is_visible_only_after_its_commit_and_a_lost_webhook_is_a_failure() {
    let options = rapidpro::Options { commit_delay_ms: 300, ..rapidpro::Options::default() };
    let (rapidpro, server, contact) = workspace(options).await;
    let webhook = Webhook {
        url: format!("{}/nowhere", server.url()),
        secret: "secret".to_owned(),
        shape: WebhookShape::EditorDefault,
    };
    let flow = rapidpro.add_flow(monthly_report(Some(&webhook)));
    rapidpro.lose_webhooks(1.0);
    let replies = ["12", "4", "0", "1", "no"].map(Reply::text);
    rapidpro.take_through(&contact, &flow, &replies).await.unwrap();
    assert_ne!(rapidpro.runs().first().map(|run| run["exit_type"].clone()), Some("completed".into()));
    tokio::time::sleep(Duration::from_millis(400)).await;
    let runs = rapidpro.runs();
    assert_eq!(runs[0]["exit_type"], "completed");
    assert_eq!(result(&runs[0], "webhook"), ("0", "Failure"));
    assert_eq!(rapidpro.state()["webhooks"][0]["lost"], true);
}
