//! Flow starts: from a mapping's fields to what happens once, answers lost on the way. Messages are in
//! `rapidpro_messages`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mjumbe::delivery::destination::{
    Destination, FailureKind, Outgoing, OutgoingPart, Sent, Settled, Verdict,
};
use mjumbe::delivery::hold::Leave;
use mjumbe::mapping::output::{Issue, Output, Withdraw};
use mjumbe::mapping::target::{Context, Evaluated, Target};
use mjumbe::rapidpro::act::message::Message;
use mjumbe::rapidpro::act::others::{Open, Others};
use mjumbe::rapidpro::act::start::Start;
use mjumbe::rapidpro::client::Client;
use mjumbe::rapidpro::contact::owners::Links;
use mjumbe::rapidpro::destination::{Surroundings, Workspace};
use mjumbe::sandbox::faults::{Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::definition::{MONTHLY_REPORT, monthly_report};
use mjumbe::sandbox::rapidpro::{Options, RapidPro};
use serde_json::{Value, json};

use super::rapidpro_contact::settings;

const PHONE: &str = "tel:+250788383383";

pub struct Unlinked;

#[async_trait::async_trait]
impl Links for Unlinked {
    async fn linked(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    async fn contact(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }
}

/// What other deliveries did.
#[derive(Default)]
pub struct Known {
    pub recorded: Vec<String>,
    pub open: Vec<Open>,
}

#[derive(Default)]
pub struct Company(pub Mutex<Known>);

#[async_trait::async_trait]
impl Others for Company {
    async fn recorded(&self, _: &str, remotes: &[String]) -> Result<Vec<String>, String> {
        let known = self.0.lock().unwrap();
        Ok(remotes.iter().filter(|remote| known.recorded.contains(remote)).cloned().collect())
    }

    async fn open(&self, _: &str) -> Result<Vec<Open>, String> {
        Ok(self.0.lock().unwrap().open.clone())
    }
}

pub struct Scene {
    pub far: RapidPro,
    server: Server,
    workspace: Workspace,
    pub company: Arc<Company>,
    /// Of the one contact.
    pub uuid: String,
}

impl Scene {
    pub async fn new() -> Self {
        Self::of(9).await
    }

    pub async fn of(version: u32) -> Self {
        let far = RapidPro::new(Options { version, ..Options::default() });
        far.add_flow(monthly_report(None));
        let server =
            Server::start(Arc::new(far.clone()), SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let client = Client::new("north", &settings(&server.url(), far.token())).unwrap();
        let company = Arc::new(Company::default());
        let around = Surroundings {
            links: Arc::new(Unlinked),
            others: company.clone(),
            languages: vec!["swa".to_owned(), "eng".to_owned()],
        };
        let mut scene = Self {
            workspace: Workspace::new(Arc::new(client), around),
            far,
            server,
            company,
            uuid: String::new(),
        };
        let body = json!({"name": "Uwase", "urns": [PHONE], "language": "kin"});
        let contact = scene.post("contacts", &body).await;
        scene.uuid = contact["uuid"].as_str().unwrap().to_owned();
        scene
    }

    pub async fn post(&self, endpoint: &str, body: &Value) -> Value {
        let url = format!("{}/api/v2/{endpoint}.json", self.server.url());
        let token = format!("Token {}", self.far.token());
        let request = reqwest::Client::new().post(url).header("Authorization", token).json(body);
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn list(&self, endpoint: &str) -> Vec<Value> {
        let url = format!("{}/api/v2/{endpoint}.json", self.server.url());
        let token = format!("Token {}", self.far.token());
        let answer = reqwest::Client::new().get(url).header("Authorization", token).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["results"].as_array().unwrap().clone()
    }

    pub async fn send(&self, outgoing: &Outgoing) -> Sent {
        let leave = Leave::until(Instant::now() + Duration::from_secs(20));
        self.workspace.send(std::slice::from_ref(outgoing), &leave).await
    }

    pub async fn settle(&self, outgoing: &Outgoing) -> Settled {
        self.send(outgoing).await.result.unwrap().remove(0)
    }

    fn start(&self, id: &str) -> Outgoing {
        let fields =
            json!({"flow": MONTHLY_REPORT, "contact": self.uuid, "params": {"visit_date": "2026-12-24"}});
        outgoing(id, &built(&Start, &fields))
    }

    pub fn message(&self, id: &str, text: &Value) -> Outgoing {
        outgoing(id, &built(&Message, &json!({"contact": self.uuid, "text": text})))
    }

    /// What was sent to the contact: (text, status).
    pub async fn sent(&self) -> Vec<(String, String)> {
        let rows = self.list("messages").await;
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let out = rows.iter().filter(|row| row["direction"] == "out");
        out.map(|row| (text(row, "text"), text(row, "status"))).collect()
    }

    pub fn record(&self, settled: &Settled) {
        self.company.0.lock().unwrap().recorded.extend(settled.remote.clone());
    }

    /// Requests of this method to this endpoint.
    pub fn asked(&self, method: &str, endpoint: &str) -> usize {
        let path = format!("/api/v2/{endpoint}.json");
        let record = self.server.requests();
        record.iter().filter(|request| request["method"] == method && request["path"] == path).count()
    }

    pub fn lose(&self, effect: Effect, endpoint: &str) {
        let path = format!("/api/v2/{endpoint}.json");
        self.far.fault(Fault::new(effect).on("POST", &path).times(1));
    }
}

type Built = Result<(Output, Vec<Issue>), Vec<Issue>>;

fn build(target: &dyn Target, fields: &Value, faulty: bool) -> Built {
    let context = Context {
        tenant: "default",
        zone: &jiff::tz::TimeZone::UTC,
        mapping: "reminders",
        source: "Patient/1",
        authored_ms: 0,
        place: "reminders.yaml:1:1",
        country: Some("RW"),
    };
    target.build(&Evaluated {
        target_id: target.kind(),
        destination: "north",
        key: "",
        withdraw: Withdraw::Keep,
        needs: &[],
        fields,
        faulty,
        context: &context,
    })
}

pub fn built(target: &dyn Target, fields: &Value) -> Output {
    let (output, issues) = build(target, fields, false).unwrap();
    assert!(issues.is_empty(), "{issues:?}");
    output
}

fn refused(target: &dyn Target, fields: &Value) -> String {
    build(target, fields, false).unwrap_err().remove(0).code
}

pub fn outgoing(id: &str, output: &Output) -> Outgoing {
    let parts = output.parts.iter().map(|part| OutgoingPart {
        slot: part.slot.clone(),
        wanted: Some(part.wanted.clone()),
        ..OutgoingPart::default()
    });
    Outgoing {
        id: id.to_owned(),
        target: output.target.clone(),
        lane: output.lane.clone(),
        body: output.body.clone(),
        parts: parts.collect(),
        ..Outgoing::default()
    }
}

/// The same, after a request a moment ago whose answer never came.
pub fn unclear(outgoing: &Outgoing) -> Outgoing {
    let begun_ms = jiff::Timestamp::now().as_millisecond() - 1_000;
    Outgoing { unclear: true, attempt: 1, begun_ms, ..outgoing.clone() }
}

pub fn code(settled: &Settled) -> &str {
    match &settled.parts[0] {
        Verdict::Accepted => "accepted",
        Verdict::Refused(reason) => &reason.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_start_carries_the_deliverys_id_and_gives_back_its_uuid() {
    let scene = Scene::new().await;
    let settled = scene.settle(&scene.start("d1")).await;
    assert_eq!(code(&settled), "accepted");
    let starts = scene.list("flow_starts").await;
    assert_eq!(starts.len(), 1);
    assert_eq!(json!(settled.remote), starts[0]["uuid"]);
    assert_eq!(starts[0]["params"], json!({"visit_date": "2026-12-24", "mjumbe_delivery": "d1"}));
    assert_eq!(starts[0]["contacts"][0]["uuid"], json!(scene.uuid));
    assert_eq!(starts[0]["restart_participants"], true);
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_is_found_and_not_repeated() {
    for effect in [Effect::DropAfter, Effect::AnswerAfter { status: 500, body: None }] {
        let scene = Scene::new().await;
        scene.settle(&scene.start("another")).await;
        scene.lose(effect, "flow_starts");
        let start = scene.start("d1");
        let failure = scene.send(&start).await.result.unwrap_err();
        assert_eq!((failure.kind, failure.unclear), (FailureKind::Unavailable, true));
        let settled = scene.settle(&unclear(&start)).await;
        assert_eq!(code(&settled), "accepted");
        let starts = scene.list("flow_starts").await;
        let ours = |start: &&Value| start["params"]["mjumbe_delivery"] == "d1";
        assert_eq!(starts.iter().filter(ours).count(), 1);
        assert_eq!(json!(settled.remote), starts.iter().find(ours).unwrap()["uuid"]);
        assert_eq!(scene.asked("POST", "flow_starts"), 2);
    }
}

#[tokio::test]
async fn a_start_that_is_proven_absent_is_sent() {
    let scene = Scene::new().await;
    scene.lose(Effect::DropBefore, "flow_starts");
    let start = scene.start("d1");
    assert!(scene.send(&start).await.result.unwrap_err().unclear);
    let settled = scene.settle(&unclear(&start)).await;
    assert_eq!(code(&settled), "accepted");
    assert_eq!(scene.list("flow_starts").await.len(), 1);
}

#[tokio::test]
async fn what_its_source_does_not_want_any_more_is_not_sent_once_it_is_proven_absent() {
    let scene = Scene::new().await;
    for act in [scene.start("d1"), scene.message("d2", &json!("Hello"))] {
        let act = Outgoing { superseded: true, ..unclear(&act) };
        let settled = scene.settle(&act).await;
        assert!(matches!(&settled.parts[0], Verdict::Later(reason) if reason.code == "act-superseded"));
    }
    assert_eq!((scene.asked("POST", "flow_starts"), scene.asked("POST", "messages")), (0, 0));
}

#[tokio::test]
async fn a_lost_start_that_rapidpro_failed_is_refused_and_not_repeated() {
    let scene = Scene::new().await;
    let row = json!({"uuid": "3bcb3e9a-f437-49f0-99c0-db6a839a228a", "status": "failed",
        "params": {"mjumbe_delivery": "d1"}});
    let body = json!({"next": null, "previous": null, "results": [row]});
    let listed = Effect::Answer { status: 200, body: Some(body), retry_after: None };
    scene.far.fault(Fault::new(listed).on("GET", "/api/v2/flow_starts.json"));
    let settled = scene.settle(&unclear(&scene.start("d1"))).await;
    assert_eq!(code(&settled), "rapidpro-start-failed");
    assert_eq!(settled.remote.as_deref(), Some("3bcb3e9a-f437-49f0-99c0-db6a839a228a"));
    assert_eq!(scene.asked("POST", "flow_starts"), 0);
}

#[tokio::test]
async fn a_start_is_found_behind_pages_of_others() {
    let scene = Scene::new().await;
    for number in 0..260 {
        let body = json!({"flow": monthly_report(None)["uuid"], "contacts": [scene.uuid],
            "params": {"mjumbe_delivery": format!("other-{number}")}});
        scene.post("flow_starts", &body).await;
    }
    scene.lose(Effect::DropAfter, "flow_starts");
    let start = scene.start("d1");
    scene.send(&start).await.result.unwrap_err();
    assert_eq!(code(&scene.settle(&unclear(&start)).await), "accepted");
    assert_eq!(scene.list("flow_starts").await.len(), 250);
    assert_eq!(scene.asked("GET", "flow_starts"), 2 + 1);
}

#[tokio::test]
async fn what_cannot_be_looked_up_any_more_is_unknown_and_never_sent() {
    let scene = Scene::new().await;
    let long_ago = Outgoing { begun_ms: 1_600_000_000_000, ..unclear(&scene.start("d1")) };
    assert_eq!(code(&scene.settle(&long_ago).await), "unknown");
    assert_eq!(scene.asked("POST", "flow_starts"), 0);
}

#[tokio::test]
async fn a_look_up_that_fails_leaves_it_unclear_and_sends_nothing() {
    let scene = Scene::new().await;
    let path = "/api/v2/flow_starts.json";
    let throttled = Effect::Answer { status: 429, body: None, retry_after: None };
    scene.far.fault(Fault::new(throttled).on("GET", path).times(1));
    let failure = scene.send(&unclear(&scene.start("d1"))).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Throttled);
    assert_eq!(scene.asked("POST", "flow_starts"), 0);
}

#[tokio::test]
async fn nobody_who_opted_out_is_written_to_or_started() {
    for status in ["blocked", "stopped", "archived"] {
        let scene = Scene::new().await;
        scene.far.set_contact_status(&scene.uuid, status);
        assert_eq!(code(&scene.settle(&scene.start("d1")).await), "contact-not-active");
        let message = scene.message("d2", &json!("Hello"));
        assert_eq!(code(&scene.settle(&message).await), "contact-not-active");
        let posts = scene.asked("POST", "flow_starts") + scene.asked("POST", "messages");
        assert_eq!(posts, 0, "{status}");
    }
}

#[tokio::test]
async fn a_contact_that_is_not_there_is_named_as_the_cause() {
    let scene = Scene::new().await;
    let nobody = json!("0788000999");
    let start = built(&Start, &json!({"flow": MONTHLY_REPORT, "contact": nobody}));
    assert_eq!(code(&scene.settle(&outgoing("d1", &start)).await), "rapidpro-contact-missing");
    let message = built(&Message, &json!({"contact": nobody, "text": "Hello"}));
    assert_eq!(code(&scene.settle(&outgoing("d2", &message)).await), "rapidpro-contact-missing");
}

#[tokio::test]
async fn flows_are_found_by_name_and_refused_with_their_cause() {
    let scene = Scene::new().await;
    let start = |flow: &str| outgoing(flow, &built(&Start, &json!({"flow": flow, "contact": PHONE})));
    assert_eq!(code(&scene.settle(&start("No such flow")).await), "rapidpro-flow-missing");
    let uuid = monthly_report(None)["uuid"].as_str().unwrap().to_owned();
    assert_eq!(code(&scene.settle(&start(&uuid)).await), "accepted");
    let mut definition = monthly_report(None);
    definition["uuid"] = json!("11111111-1111-4111-8111-111111111111");
    scene.far.add_flow(definition);
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    assert_eq!(code(&scene.settle(&start("Still none")).await), "rapidpro-flow-missing");
    assert_eq!(code(&scene.settle(&start(MONTHLY_REPORT)).await), "rapidpro-flow-ambiguous");
}

#[tokio::test]
async fn an_archived_flow_is_refused_before_anything_is_sent() {
    let scene = Scene::new().await;
    let row = json!({"uuid": "3bcb3e9a-f437-49f0-99c0-db6a839a228a", "name": "Old", "archived": true});
    let body = json!({"next": null, "previous": null, "results": [row]});
    let listed = Effect::Answer { status: 200, body: Some(body), retry_after: None };
    scene.far.fault(Fault::new(listed).on("GET", "/api/v2/flows.json"));
    let start = built(&Start, &json!({"flow": "Old", "contact": PHONE}));
    assert_eq!(code(&scene.settle(&outgoing("d1", &start)).await), "rapidpro-flow-archived");
    assert_eq!(scene.asked("POST", "flow_starts"), 0);
}

#[tokio::test]
async fn a_link_leads_to_its_contact() {
    let scene = Scene::new().await;
    let link = json!({"$link": {"resource": "Patient/1"}});
    let start = built(&Start, &json!({"flow": MONTHLY_REPORT, "contact": link}));
    assert_eq!(start.lane, "contact/Patient/1");
    let links = BTreeMap::from([("Patient/1".to_owned(), scene.uuid.clone())]);
    let linked = Outgoing { links, ..outgoing("d1", &start) };
    assert_eq!(code(&scene.settle(&linked).await), "accepted");
}

#[test]
fn what_a_file_gives_is_checked() {
    let uuid = "A0359C33-C9B2-40E5-B56D-B4FA6FA19E5B";
    let start = built(&Start, &json!({"flow": " Reminder ", "contact": uuid, "params": {"week": 3}}));
    assert_eq!(
        Start.preview(&start),
        json!({"flow": "Reminder", "contacts": [uuid.to_lowercase()], "params": {"week": "3"},
            "restart_participants": true})
    );
    let phone = built(&Message, &json!({"contact": "0788383383", "text": " Mail a@b.org: 50% \u{0}off\r\n"}));
    assert_eq!(Message.preview(&phone), json!({"contact": PHONE, "text": "Mail a@b.org: 50% off"}));
    assert!(!phone.lane.contains("788383383"), "{}", phone.lane);

    let flow = json!("Reminder");
    let codes = [
        refused(&Start, &json!({"flow": flow, "contact": null})),
        refused(&Start, &json!({"flow": null, "contact": uuid})),
        refused(&Start, &json!({"flow": flow, "contact": "somebody"})),
        refused(&Start, &json!({"flow": flow, "contact": uuid, "params": {"Visit Date": "x"}})),
        refused(&Start, &json!({"flow": flow, "contact": uuid, "params": {"note": "x".repeat(641)}})),
        refused(&Message, &json!({"contact": uuid, "text": "  "})),
        refused(&Message, &json!({"contact": uuid, "text": "x".repeat(4097)})),
        refused(&Message, &json!({"contact": uuid, "text": {"english": "x"}})),
    ];
    assert_eq!(
        codes,
        [
            "act-without-contact",
            "start-without-flow",
            "contact-urn-invalid",
            "start-param-invalid",
            "start-param-too-long",
            "message-without-text",
            "message-too-long",
            "message-language-invalid",
        ]
    );
    let faulty = build(&Message, &json!({"contact": uuid, "text": "Hello"}), true).unwrap_err();
    assert_eq!(faulty[0].code, "act-not-whole");
}
