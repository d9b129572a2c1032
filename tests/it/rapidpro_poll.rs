//! Polling: what RapidPro holds comes into the store, late, twice, in pages, and while it is down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mjumbe::fhir::index::ParameterKey;
use mjumbe::fhir::query::{Filter, Match, Parameter, Query};
use mjumbe::rapidpro::client::Client;
use mjumbe::rapidpro::mirror::{CONTACT, FLOW, RUN};
use mjumbe::rapidpro::poll::{PollError, Poller, Settings};
use mjumbe::rapidpro::webhook;
use mjumbe::sandbox::faults::{Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::definition::{MONTHLY_REPORT, monthly_report};
use mjumbe::sandbox::rapidpro::{Options, RapidPro, Reply};
use mjumbe::store::Store;
use mjumbe::store::link::Link;
use mjumbe::store::read::Stored;
use mjumbe::store::testing::each_store;
use mjumbe::store::write::{Fixed, Origin, Precondition, Put};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::rapidpro_contact::settings;

const TENANT: &str = "default";
const PHONE: &str = "tel:+250788383383";

struct Scene {
    far: RapidPro,
    server: Server,
    store: Store,
    contact: String,
}

impl Scene {
    async fn new(store: Store, change: impl FnOnce(&mut Options)) -> Self {
        let mut options =
            Options { fields: vec![("Village".to_owned(), "text".to_owned())], ..Options::default() };
        change(&mut options);
        let far = RapidPro::new(options);
        far.add_flow(monthly_report(None));
        let server =
            Server::start(Arc::new(far.clone()), SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let mut scene = Self { far, server, store, contact: String::new() };
        let body = json!({"urns": [PHONE], "name": "Uwase", "fields": {"village": "Gasabo"}});
        scene.contact = scene.post("", &body).await["uuid"].as_str().unwrap().to_owned();
        scene
    }

    fn poller(&self) -> Poller {
        self.poller_with(|_| ())
    }

    fn poller_with(&self, change: impl FnOnce(&mut Settings)) -> Poller {
        let client = Client::new("north", &settings(&self.server.url(), self.far.token())).unwrap();
        let zone = jiff::tz::TimeZone::get("Africa/Kigali").unwrap();
        let mut settings = Settings { tenant: TENANT.to_owned(), zone, interval: None };
        change(&mut settings);
        Poller::new(Arc::new(client), self.store.clone(), settings)
    }

    async fn answer(&self, replies: &[&str]) -> String {
        let replies: Vec<Reply> = replies.iter().map(|text| Reply::text(text)).collect();
        self.far.take_through(&self.contact, MONTHLY_REPORT, &replies).await.unwrap()
    }

    async fn post(&self, query: &str, body: &Value) -> Value {
        let url = format!("{}/api/v2/contacts.json{query}", self.server.url());
        let token = format!("Token {}", self.far.token());
        let request = reqwest::Client::new().post(url).header("Authorization", token).json(body);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn stored(&self, kind: &str, id: &str) -> Option<Stored> {
        self.store.read(TENANT, kind, id).await.unwrap()
    }

    async fn body(&self, kind: &str, id: &str) -> Value {
        serde_json::from_str(&self.stored(kind, id).await.unwrap().body.unwrap()).unwrap()
    }

    async fn response(&self, run: &str) -> Value {
        self.body("QuestionnaireResponse", run).await
    }
}

const WHOLE: &[&str] = &["12", "3", "0", "1", "yes"];

#[tokio::test]
async fn a_run_becomes_a_response_beside_its_verbatim_document() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let run = scene.answer(WHOLE).await;
        let round = scene.poller().poll().await.unwrap();
        assert_eq!((round.flows, round.contacts, round.runs), (1, 1, 1));
        let response = scene.response(&run).await;
        assert_eq!(response["status"], "completed");
        let first = &response["item"][0];
        assert_eq!(
            (&first["linkId"], &first["answer"]),
            (&json!("fever_cases"), &json!([{"valueDecimal": 12}]))
        );
        assert_eq!(response["source"]["identifier"]["system"], format!("{}/contact", scene.server.url()));
        let mut verbatim = scene.far.runs()[0].clone();
        // Asked for with `paths=false`.
        verbatim["path"] = Value::Null;
        assert_eq!(scene.body(RUN, &format!("north/{run}")).await, verbatim);
        let contact = scene.body(CONTACT, &format!("north/{}", scene.contact)).await;
        assert_eq!(contact["fields"]["village"], "Gasabo");
        assert_eq!(contact, scene.far.contact_by_urn(PHONE).unwrap());
        let flow = response["questionnaire"].as_str().unwrap();
        let flow = flow.rsplit('/').next().unwrap().split('|').next().unwrap();
        assert_eq!(scene.body(FLOW, &format!("north/{flow}")).await["definition"]["name"], MONTHLY_REPORT);
    })
    .await;
}

#[tokio::test]
async fn a_mirrored_contact_is_found_by_number_and_by_field() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        scene.poller().poll().await.unwrap();
        for (parameter, value) in [("urn", PHONE), ("fields.village", "Gasabo"), ("uuid", &scene.contact)] {
            let query = Query {
                kind: CONTACT.to_owned(),
                filters: vec![Filter {
                    parameter: Parameter::Indexed(ParameterKey::new(CONTACT, parameter)),
                    any: vec![Match::Token { system: None, code: Some(value.to_owned()) }],
                    not: false,
                }],
                ..Query::default()
            };
            let found = mjumbe::store::search::matches(
                &mut scene.store.db().read().await.unwrap(),
                TENANT,
                &query,
                10,
            )
            .await
            .unwrap();
            assert_eq!(found.len(), 1, "{parameter}");
        }
    })
    .await;
}

#[tokio::test]
async fn polling_again_writes_nothing() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        scene.answer(WHOLE).await;
        let mut poller = scene.poller();
        assert!(poller.poll().await.unwrap().written > 0);
        assert_eq!(poller.poll().await.unwrap().written, 0);
        // Nor does another process, nor this one after a restart.
        assert_eq!(scene.poller().poll().await.unwrap().written, 0);
    })
    .await;
}

#[tokio::test]
async fn a_run_is_followed_to_its_end() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let run = scene.answer(&["12"]).await;
        let mut poller = scene.poller();
        poller.poll().await.unwrap();
        assert_eq!(scene.response(&run).await["status"], "in-progress");
        let second = scene.answer(WHOLE).await;
        poller.poll().await.unwrap();
        assert_eq!(scene.response(&second).await["status"], "completed");
    })
    .await;
}

/// A run whose transaction began before, and was committed after, another one was seen.
#[tokio::test]
async fn what_is_committed_late_is_found_through_the_overlap() {
    each_store(|store| async move {
        let scene = Scene::new(store, |options| options.commit_delay_ms = 700).await;
        let mut poller = scene.poller();
        poller.poll().await.unwrap();
        let late = scene.answer(WHOLE).await;
        // A cursor beyond the late run, as if another one had been seen meanwhile.
        let cursors = [("rapidpro.north.runs".to_owned(), format!("{:.6}", jiff::Timestamp::now()))];
        let plan = mjumbe::store::write::Fixed { puts: Vec::new(), cursors: cursors.into() };
        scene.store.write(TENANT, Box::new(plan)).await.unwrap();
        assert_eq!(poller.poll().await.unwrap().runs, 0);
        tokio::time::sleep(Duration::from_millis(800)).await;
        poller.poll().await.unwrap();
        assert_eq!(scene.response(&late).await["status"], "completed");
    })
    .await;
}

#[tokio::test]
async fn pages_are_read_to_the_end_and_a_fault_between_them_loses_nothing() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        for number in 0..260 {
            scene.post("", &json!({"urns": [format!("tel:+2507883{number:05}")]})).await;
        }
        let mut poller = scene.poller();
        poller.poll().await.unwrap();
        let wanted: Vec<_> = (0..260)
            .map(|number| scene.far.contact_by_urn(&format!("tel:+2507883{number:05}")).unwrap())
            .map(|contact| (CONTACT.to_owned(), format!("north/{}", contact["uuid"].as_str().unwrap())))
            .collect();
        assert_eq!(scene.store.many(TENANT, &wanted).await.unwrap().len(), 260);
    })
    .await;
}

#[tokio::test]
async fn an_interrupted_round_starts_where_its_cursor_stands() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let run = scene.answer(WHOLE).await;
        let mut poller = scene.poller();
        let down = scene.far.fault(Fault::new(Effect::DropBefore).on("GET", "/api/v2/runs.json"));
        let error = poller.poll().await.unwrap_err();
        assert!(matches!(error, PollError::RapidPro(_)), "{error}");
        assert!(scene.store.cursor(TENANT, "rapidpro.north.contacts").await.unwrap().is_some());
        assert_eq!(scene.store.cursor(TENANT, "rapidpro.north.runs").await.unwrap(), None);
        scene.far.lift(down);
        poller.poll().await.unwrap();
        assert_eq!(scene.response(&run).await["status"], "completed");
    })
    .await;
}

#[tokio::test]
async fn throttling_ends_a_round_and_says_how_long() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let throttled = Effect::Answer { status: 429, body: None, retry_after: None };
        scene.far.fault(Fault::new(throttled).on("GET", "/api/v2/runs.json").times(1));
        let PollError::RapidPro(fault) = scene.poller().poll().await.unwrap_err() else { panic!() };
        assert_eq!(fault.retry_after, Some(Duration::from_secs(3600)));
    })
    .await;
}

#[tokio::test]
async fn a_deleted_contact_leaves_the_mirror_and_a_message_alone_writes_no_version() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let mut poller = scene.poller();
        poller.poll().await.unwrap();
        let id = format!("north/{}", scene.contact);
        let before = scene.stored(CONTACT, &id).await.unwrap();
        scene.answer(&["12"]).await;
        poller.poll().await.unwrap();
        assert_eq!(scene.stored(CONTACT, &id).await.unwrap().version, before.version);
        let url = format!("{}/api/v2/contacts.json?uuid={}", scene.server.url(), scene.contact);
        let token = format!("Token {}", scene.far.token());
        reqwest::Client::new().delete(url).header("Authorization", token).send().await.unwrap();
        poller.poll().await.unwrap();
        assert!(scene.stored(CONTACT, &id).await.unwrap().deleted());
        assert_eq!(poller.poll().await.unwrap().written, 0);
    })
    .await;
}

#[tokio::test]
async fn runs_come_in_while_contacts_are_throttled() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let run = scene.answer(WHOLE).await;
        let throttled = Effect::Answer { status: 429, body: None, retry_after: None };
        scene.far.fault(Fault::new(throttled).on("GET", "/api/v2/contacts.json"));
        assert!(scene.poller().poll().await.is_err());
        assert_eq!(scene.response(&run).await["status"], "completed");
    })
    .await;
}

#[tokio::test]
async fn a_response_refers_to_the_resource_linked_to_its_contact() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let link = |kind: &str| Link {
            destination: "north".to_owned(),
            kind: kind.to_owned(),
            id: "1".to_owned(),
            remote_kind: CONTACT.to_owned(),
            remote_id: scene.contact.clone(),
            updated_ms: 0,
        };
        scene.store.put_links(TENANT, &[link("Practitioner"), link("PractitionerRole")]).await.unwrap();
        let run = scene.answer(WHOLE).await;
        scene.poller().poll().await.unwrap();
        assert_eq!(scene.response(&run).await["source"]["reference"], "Practitioner/1");
    })
    .await;
}

#[tokio::test]
async fn a_flow_edited_meanwhile_is_read_again_when_a_run_shows_it() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let mut poller = scene.poller();
        poller.poll().await.unwrap();
        let mut edited = monthly_report(None);
        let text = edited.to_string().replace("Fever cases", "Fevers");
        edited = serde_json::from_str(&text).unwrap();
        edited["revision"] = json!(2);
        scene.far.add_flow(edited);
        let run = scene.answer(WHOLE).await;
        poller.poll().await.unwrap();
        let response = scene.response(&run).await;
        assert_eq!(response["item"][0]["linkId"], "fevers");
        assert_eq!(response["item"][0]["answer"][0]["valueDecimal"], 12);
        assert!(response["questionnaire"].as_str().unwrap().ends_with("|2"));
        assert!(response.get("meta").is_none());
    })
    .await;
}

#[tokio::test]
async fn a_flow_is_a_questionnaire_with_a_version_for_each_revision() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let uuid = monthly_report(None)["uuid"].as_str().unwrap().to_owned();
        scene.poller().poll().await.unwrap();
        let first = scene.body("Questionnaire", &uuid).await;
        assert_eq!((&first["version"], &first["status"]), (&json!("1"), &json!("active")));
        let asked: Vec<&Value> = first["item"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
        assert_eq!(asked, ["decimal", "decimal", "decimal", "decimal", "boolean"]);
        // Another process reads it again, unchanged.
        scene.poller().poll().await.unwrap();
        assert_eq!(scene.stored("Questionnaire", &uuid).await.unwrap().version, 1);
        let run = scene.answer(WHOLE).await;
        let mut edited = monthly_report(None);
        edited["revision"] = json!(2);
        scene.far.add_flow(edited);
        scene.poller().poll().await.unwrap();
        let second = scene.stored("Questionnaire", &uuid).await.unwrap();
        assert_eq!(second.version, 2);
        let second: Value = serde_json::from_str(&second.body.unwrap()).unwrap();
        let canonical =
            format!("{}|{}", second["url"].as_str().unwrap(), second["version"].as_str().unwrap());
        assert_eq!(scene.response(&run).await["questionnaire"], canonical);
    })
    .await;
}

/// A store that an earlier release filled has flows without Questionnaires.
#[tokio::test]
async fn an_unchanged_flow_without_a_questionnaire_gets_one() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let uuid = monthly_report(None)["uuid"].as_str().unwrap().to_owned();
        scene.poller().poll().await.unwrap();
        let gone = Put {
            kind: "Questionnaire".to_owned(),
            id: uuid.clone(),
            body: None,
            index: Vec::new(),
            subject: format!("Questionnaire/{uuid}"),
            precondition: Precondition::None,
            origin: Origin::RapidPro("north".to_owned()),
        };
        let plan = Fixed { puts: vec![gone], ..Fixed::default() };
        scene.store.write(TENANT, Box::new(plan)).await.unwrap();
        let mut poller = scene.poller();
        poller.poll().await.unwrap();
        assert!(scene.stored("Questionnaire", &uuid).await.unwrap().body.is_some());
        assert_eq!(scene.stored(FLOW, &format!("north/{uuid}")).await.unwrap().version, 1);
    })
    .await;
}

#[tokio::test]
async fn a_hint_wakes_the_poller_and_shutdown_ends_it() {
    each_store(|store| async move {
        let scene = Scene::new(store, |_| ()).await;
        let poller = scene.poller_with(|settings| settings.interval = Some(Duration::from_secs(3600)));
        let hints = poller.hints();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(poller.run(shutdown.clone()));
        until(|| async { scene.stored(CONTACT, &format!("north/{}", scene.contact)).await.is_some() }).await;
        // Committed half a second after the webhook: the second look finds it.
        let run = scene.answer(WHOLE).await;
        let body = json!({"flow": {"uuid": "3bcb3e9a-f437-49f0-99c0-db6a839a228a", "name": "x"}}).to_string();
        hints.accept(&webhook::read(body.as_bytes()).unwrap());
        until(|| async { scene.stored("QuestionnaireResponse", &run).await.is_some() }).await;
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
    })
    .await;
}

async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come to hold within ten seconds");
}
