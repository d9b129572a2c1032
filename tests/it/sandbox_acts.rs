//! Flow starts, broadcasts and messages of the sandbox have the effects that were recorded, and each can
//! be read back: by the API as a client would, and counted as the control API does.

use std::sync::Arc;
use std::time::Duration;

use mjumbe::sandbox::faults::{Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::definition::monthly_report;
use mjumbe::sandbox::rapidpro::{Options, RapidPro, Reply};
use serde_json::{Value, json};

struct Workspace {
    rapidpro: RapidPro,
    server: Server,
    client: reqwest::Client,
    flow: String,
    reminder: String,
}

impl Workspace {
    async fn start(options: Options) -> Self {
        let rapidpro = RapidPro::new(options);
        let server = Server::start(Arc::new(rapidpro.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
        let flow = rapidpro.add_flow(monthly_report(None));
        let reminder = rapidpro.add_flow(json!({ "name": "Reminder", "nodes": [{ "uuid": "n1",
            "actions": [{ "type": "send_msg", "uuid": "a1",
                "text": "Hi @contact.name, come on @trigger.params.visit_date" }],
            "exits": [{ "uuid": "e1", "destination_uuid": null }] }],
            "localization": { "fra": { "a1": { "text": ["Venez le @trigger.params.visit_date"] } } } }));
        Self { rapidpro, server, client: reqwest::Client::new(), flow, reminder }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}/api/v2/{path}", self.server.url()));
        request = request.header("Authorization", format!("Token {}", self.rapidpro.token()));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let Ok(answer) = request.send().await else { return (0, Value::Null) };
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask("POST", path, Some(body)).await
    }

    async fn contact(&self, name: &str, urn: &str) -> String {
        let body = json!({ "name": name, "urns": [urn] });
        self.post("contacts.json", body).await.1["uuid"].as_str().unwrap().to_owned()
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        self.ask("GET", path, None).await.1["results"].as_array().unwrap().clone()
    }

    /// The list once something holds of its first row; what it is then.
    async fn once(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..250 {
            if let Some(first) = self.list(path).await.into_iter().next().filter(&holds) {
                return first;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path}: {:?}", self.list(path).await);
    }

    async fn started(&self, body: Value, status: &str) -> (String, Value) {
        let (code, start) = self.post("flow_starts.json", body).await;
        assert_eq!((code, start["status"].as_str()), (201, Some("pending")), "{start}");
        let uuid = start["uuid"].as_str().unwrap().to_owned();
        let path = format!("flow_starts.json?uuid={uuid}");
        let shown = self.once(&path, |one| one["status"] == status).await;
        (uuid, shown)
    }

    fn counts(&self, kind: &str) -> Vec<(String, u64)> {
        let of = |row: &Value| {
            let what = row["text"].as_str().or(row["flow"].as_str()).unwrap_or("").to_owned();
            (what, row["count"].as_u64().unwrap())
        };
        self.rapidpro.acts()[kind].as_array().unwrap().iter().map(of).collect()
    }
}

#[tokio::test]
async fn a_start_runs_its_flow_with_its_params() {
    let it = Workspace::start(Options::default()).await;
    let contact = it.contact("Aline", "tel:+250788111001").await;
    let params = json!({ "visit_date": "2026-12-01", "list": [null] });
    let body = json!({ "flow": it.reminder, "contacts": [contact], "params": params });
    let (start, shown) = it.started(body, "complete").await;
    assert_eq!(shown["params"], json!({ "visit_date": "2026-12-01", "list": { "0": "" } }));
    let runs = it.list(&format!("runs.json?contact={contact}")).await;
    assert_eq!((runs.len(), &runs[0]["start"]["uuid"]), (1, &json!(start)));
    assert_eq!(runs[0]["exit_type"], "completed");
    assert!(runs[0]["values"].as_object().unwrap().is_empty());
    let text = "Hi Aline, come on 2026-12-01";
    let message = it.once(&format!("messages.json?contact={contact}"), |one| one["status"] == "wired").await;
    assert_eq!((message["text"].as_str(), message["flow"]["name"].as_str()), (Some(text), Some("Reminder")));
    assert_eq!(it.counts("messages"), [(text.to_owned(), 1)]);
    assert_eq!(it.counts("starts"), [("Reminder".to_owned(), 1)]);
}

#[tokio::test]
async fn a_start_interrupts_and_she_answers_the_new_flow() {
    let it = Workspace::start(Options::default()).await;
    let contact = it.contact("Aline", "tel:+250788111001").await;
    let old = it.rapidpro.take_through(&contact, &it.flow, &[Reply::text("7")]).await.unwrap();
    it.started(json!({ "flow": it.flow, "urns": ["tel:0788111001"] }), "complete").await;
    let runs = it.list(&format!("runs.json?contact={contact}")).await;
    assert_eq!(runs.len(), 2);
    let (new, old_run): (Vec<&Value>, Vec<&Value>) = runs.iter().partition(|run| run["uuid"] != old.as_str());
    assert_eq!((&old_run[0]["exit_type"], &new[0]["exit_type"]), (&json!("interrupted"), &Value::Null));
    let replies = ["1", "2", "3", "4", "yes"].map(Reply::text);
    let run = it.rapidpro.reply(&contact, &replies).await;
    assert_eq!(run.as_deref(), new[0]["uuid"].as_str());
    assert_eq!(it.rapidpro.reply(&contact, &replies).await, None);
    let runs = it.list(&format!("runs.json?uuid={}", run.unwrap())).await;
    assert_eq!(
        (&runs[0]["values"]["deaths_male"]["value"], &runs[0]["exit_type"]),
        (&json!("4"), &json!("completed"))
    );
}

#[tokio::test]
async fn starts_reach_whom_they_reach_in_rapidpro() {
    let it = Workspace::start(Options { groups: vec!["CHWs".to_owned()], ..Options::default() }).await;
    let blocked = it.contact("Blocky", "tel:+250788111002").await;
    it.rapidpro.set_contact_status(&blocked, "blocked");
    // A blocked contact who is named gets a run, and her message fails.
    it.started(json!({ "flow": it.flow, "contacts": [blocked] }), "complete").await;
    assert_eq!(it.list(&format!("runs.json?contact={blocked}")).await[0]["exit_type"], Value::Null);
    assert_eq!(it.list("messages.json?folder=failed").await.len(), 1);
    // An archived flow is taken and then fails; an unknown URN becomes a contact.
    it.rapidpro.archive_flow(&it.reminder, true);
    it.started(json!({ "flow": it.reminder, "contacts": [blocked] }), "failed").await;
    it.started(json!({ "flow": it.flow, "urns": ["tel:+250788111003"] }), "complete").await;
    let made = it.rapidpro.contact_by_urn("tel:+250788111003").unwrap();
    assert_eq!(made["flow"]["uuid"], it.flow.as_str());
    // Whoever has been through it is left out where the start says so.
    let again = json!({ "flow": it.flow, "urns": ["tel:+250788111003"], "restart_participants": false });
    it.started(again, "complete").await;
    assert_eq!(it.rapidpro.runs().len(), 2);
    let member = it.post("contacts.json", json!({ "urns": ["tel:+250788111004"], "groups": ["CHWs"] })).await;
    it.started(json!({ "flow": it.flow, "groups": ["chws"] }), "complete").await;
    let path = format!("runs.json?contact={}", member.1["uuid"].as_str().unwrap());
    assert_eq!(it.list(&path).await.len(), 1);
}

#[tokio::test]
async fn broadcasts_are_templates_and_messages_are_not() {
    let it = Workspace::start(Options::default()).await;
    let aline = it.contact("Aline", "tel:+250788111001").await;
    let body = json!({ "name": "Claire", "language": "fra", "urns": ["tel:+250788111002"] });
    let claire = it.post("contacts.json", body).await.1["uuid"].as_str().unwrap().to_owned();
    let text = json!({ "eng": "Hi @contact.name @@here", "fra": "Bonjour @contact.name" });
    let (status, sent) =
        it.post("broadcasts.json", json!({ "contacts": [aline, claire], "text": text })).await;
    assert_eq!((status, sent["status"].as_str()), (201, Some("queued")));
    it.once(&format!("broadcasts.json?id={}", sent["id"]), |one| one["status"] == "sent").await;
    assert_eq!(it.list(&format!("messages.json?broadcast={}", sent["id"])).await.len(), 2);
    let (status, sent) =
        it.post("messages.json", json!({ "contact": aline, "text": "Hi @contact.name" })).await;
    assert_eq!((status, sent["text"].as_str()), (201, Some("Hi @contact.name")));
    let mut counts = it.counts("messages");
    counts.sort();
    let wanted = ["Bonjour Claire", "Hi @contact.name", "Hi Aline @here"].map(|text| (text.to_owned(), 1));
    assert_eq!(counts, wanted);
}

#[tokio::test]
async fn an_act_whose_answer_is_lost_has_happened() {
    let it = Workspace::start(Options::default()).await;
    let contact = it.contact("Aline", "tel:+250788111001").await;
    let start = json!({ "flow": it.reminder, "contacts": [contact], "params": { "mjumbe": "k1" } });
    let message = json!({ "contact": contact, "text": "once" });
    let faults = [(Effect::DropAfter, 0, 1), (Effect::AnswerAfter { status: 500, body: None }, 500, 2)];
    for (effect, status, count) in faults {
        it.rapidpro.fault(Fault::new(effect.clone()).on("POST", "/api/v2/flow_starts.json").times(1));
        it.rapidpro.fault(Fault::new(effect).on("POST", "/api/v2/messages.json").times(1));
        assert_eq!(it.post("flow_starts.json", start.clone()).await.0, status);
        assert_eq!(it.post("messages.json", message.clone()).await.0, status);
        it.once("flow_starts.json", |one| one["status"] == "complete").await;
        assert_eq!(it.counts("starts"), [("Reminder".to_owned(), count)]);
        assert!(it.counts("messages").contains(&("once".to_owned(), count)));
    }
    let nothing = [Effect::DropBefore, Effect::Answer { status: 429, body: None, retry_after: Some(1) }];
    for effect in nothing {
        it.rapidpro.fault(Fault::new(effect).on("POST", "/api/v2/*").times(1));
        assert_ne!(it.post("flow_starts.json", start.clone()).await.0, 201);
        assert_eq!(it.list("flow_starts.json").await.len(), 2);
    }
}

#[tokio::test]
async fn while_mailroom_is_down_acts_wait_and_messages_fail() {
    let it = Workspace::start(Options::default()).await;
    let contact = it.contact("Aline", "tel:+250788111001").await;
    let down = it.rapidpro.fault(Fault::new(Effect::DatabaseDown { answer_after_ms: 0 }));
    let start = json!({ "flow": it.reminder, "contacts": [contact] });
    assert_eq!(it.post("flow_starts.json", start).await.1["status"], "pending");
    let broadcast = json!({ "contacts": [contact], "text": "queued" });
    assert_eq!(it.post("broadcasts.json", broadcast).await.1["status"], "queued");
    assert_eq!(it.post("messages.json", json!({ "contact": contact, "text": "x" })).await.0, 500);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(it.list("flow_starts.json").await[0]["status"], "pending");
    assert_eq!(it.counts("messages"), []);
    it.rapidpro.lift(down);
    it.once("flow_starts.json", |one| one["status"] == "complete").await;
    it.once("broadcasts.json", |one| one["status"] == "sent").await;
    assert_eq!(it.counts("messages").len(), 2);
}

#[tokio::test]
async fn later_versions_name_things_otherwise() {
    let it = Workspace::start(Options { version: 10, ..Options::default() }).await;
    let contact = it.contact("Aline", "tel:+250788111001").await;
    let params = json!({ "bad key!": [null] });
    let body = json!({ "flow": it.reminder, "contacts": [contact], "params": params });
    let (_, shown) = it.started(body.clone(), "completed").await;
    assert_eq!((&shown["params"], &shown["progress"]["started"]), (&params, &json!(1)));
    it.rapidpro.fault(Fault::new(Effect::DatabaseDown { answer_after_ms: 0 }).times(1));
    assert_eq!(it.post("flow_starts.json", body).await.0, 500);
    assert_eq!(it.list("flow_starts.json").await.len(), 1);
}

#[tokio::test]
async fn a_suspended_workspace_refuses_and_limits_are_limits() {
    let it = Workspace::start(Options { limit: 1, ..Options::default() }).await;
    for (path, made) in [
        ("fields", json!({ "name": "A", "type": "text" })),
        ("groups", json!({ "name": "A" })),
        ("globals", json!({ "name": "A", "value": "1" })),
    ] {
        let path = format!("{path}.json");
        assert_eq!(it.post(&path, made.clone()).await.0, 201);
        let mut more = made;
        more["name"] = "B".into();
        let (status, body) = it.post(&path, more).await;
        let limit = "Cannot create object because workspace has reached limit of 1.";
        assert_eq!((status, body["detail"].as_str()), (409, Some(limit)));
    }
    it.rapidpro.suspend(true);
    let (status, body) = it.post("flow_starts.json", json!({ "flow": it.flow })).await;
    assert_eq!(status, 400);
    assert!(body["non_field_errors"][0].as_str().unwrap().contains("suspended"));
    assert_eq!(it.ask("GET", "contacts.json", None).await.0, 200);
}

#[tokio::test]
async fn a_keyword_starts_a_flow_and_acts_are_read_back_over_http() {
    let it = Workspace::start(Options::default()).await;
    it.contact("Aline", "tel:+250788111001").await;
    let control = |action: &str, body: Value| {
        it.client.post(format!("{}/_sandbox/{action}", it.server.url())).json(&body).send()
    };
    control("keyword", json!({ "flow": it.flow, "keyword": "report" })).await.unwrap();
    let say = |text: &str| control("receive", json!({ "contact": "tel:+250788111001", "text": text }));
    let said: Value = say("Hello").await.unwrap().json().await.unwrap();
    assert_eq!(said["run"], Value::Null);
    let first: Value = say("Report please").await.unwrap().json().await.unwrap();
    let second: Value = say("12").await.unwrap().json().await.unwrap();
    assert!(first["run"].is_string());
    assert_eq!(first["run"], second["run"]);
    let acts = it.client.get(format!("{}/_sandbox/acts", it.server.url())).send().await.unwrap();
    let acts: Value = acts.json().await.unwrap();
    assert_eq!(acts["messages"].as_array().unwrap().len(), 2);
    assert_eq!(acts["starts"], json!([]));
}
