//! Contacts: from a mapping's fields to what RapidPro holds, things going wrong on the way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mjumbe::config;
use mjumbe::delivery::destination::{Destination, FailureKind, Outgoing, OutgoingPart, Sent, Verdict};
use mjumbe::delivery::hold::Leave;
use mjumbe::mapping::output::{Output, Withdraw};
use mjumbe::mapping::target::{Context, Evaluated, Target};
use mjumbe::rapidpro::act::others::{Open, Others};
use mjumbe::rapidpro::client::Client;
use mjumbe::rapidpro::contact::owners::Links;
use mjumbe::rapidpro::contact::target::Contact;
use mjumbe::rapidpro::destination::{Surroundings, Workspace};
use mjumbe::sandbox::faults::{Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::{Options, RapidPro};
use secrecy::SecretString;
use serde_json::{Value, json};

const PHONE: &str = "tel:+250788383383";

/// Links kept in memory: contact → resources.
#[derive(Default)]
struct Linked(Mutex<BTreeMap<String, Vec<String>>>);

#[async_trait::async_trait]
impl Links for Linked {
    async fn linked(&self, contact: &str) -> Result<Vec<String>, String> {
        Ok(self.0.lock().unwrap().get(contact).cloned().unwrap_or_default())
    }

    async fn contact(&self, resource: &str) -> Result<Option<String>, String> {
        let links = self.0.lock().unwrap();
        let mut found = links.iter().filter(|(_, resources)| resources.iter().any(|known| known == resource));
        Ok(found.next().map(|(contact, _)| contact.clone()))
    }
}

/// No other acts.
struct Alone;

#[async_trait::async_trait]
impl Others for Alone {
    async fn recorded(&self, _: &str, _: &[String]) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    async fn open(&self, _: &str) -> Result<Vec<Open>, String> {
        Ok(Vec::new())
    }
}

fn around(links: Arc<Linked>) -> Surroundings {
    Surroundings { links, others: Arc::new(Alone), languages: Vec::new() }
}

struct Scene {
    far: RapidPro,
    server: Server,
    workspace: Workspace,
    links: Arc<Linked>,
}

pub fn settings(url: &str, token: &str) -> config::RapidPro {
    config::RapidPro {
        url: url.to_owned(),
        token: Some(SecretString::from(token.to_owned())),
        token_file: None,
        webhook_secret: None,
        webhook_secret_file: None,
        tenant: None,
        ca_file: None,
        proxy: None,
        budget_per_hour: None,
        poll_interval_s: None,
        country: None,
        dangerous_accept_http: false,
    }
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options {
            groups: vec!["CHWs".to_owned(), "Nurses".to_owned(), "Others".to_owned()],
            fields: vec![
                ("Village".to_owned(), "text".to_owned()),
                ("Age".to_owned(), "number".to_owned()),
                ("EDD".to_owned(), "datetime".to_owned()),
            ],
            ..Options::default()
        };
        change(&mut options);
        let far = RapidPro::new(options);
        let server =
            Server::start(Arc::new(far.clone()), SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let client = Client::new("north", &settings(&server.url(), far.token())).unwrap();
        let links = Arc::new(Linked::default());
        let workspace = Workspace::new(Arc::new(client), around(links.clone()));
        Self { far, server, workspace, links }
    }

    fn link(&self, contact: &str, resource: &str) {
        self.links.0.lock().unwrap().entry(contact.to_owned()).or_default().push(resource.to_owned());
    }

    /// Sends one delivery that must not fail as a whole; remembers its link.
    async fn deliver(&self, outgoing: &Outgoing) -> (BTreeMap<String, Verdict>, Option<String>) {
        let sent = self.send(outgoing).await;
        let settled = sent.result.unwrap().remove(0);
        let slots = outgoing.parts.iter().map(|part| short(&part.slot));
        if let (Some(remote), Some(link)) = (&settled.remote, &outgoing.link) {
            self.link(remote, link);
        }
        (slots.zip(settled.parts).collect(), settled.remote)
    }

    async fn send(&self, outgoing: &Outgoing) -> Sent {
        let leave = Leave::until(Instant::now() + Duration::from_secs(20));
        self.workspace.send(std::slice::from_ref(outgoing), &leave).await
    }

    fn contact(&self) -> Value {
        self.far.contact_by_urn(PHONE).unwrap()
    }

    fn contacts(&self) -> usize {
        let state = self.far.state();
        state["contacts"].as_array().unwrap().iter().filter(|contact| contact["deleted"] == false).count()
    }

    async fn post(&self, query: &str, body: &Value) -> Value {
        let url = format!("{}/api/v2/contacts.json{query}", self.server.url());
        let token = format!("Token {}", self.far.token());
        let request = reqwest::Client::new().post(url).header("Authorization", token).json(body);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn delete(&self, uuid: &str) {
        let url = format!("{}/api/v2/contacts.json?uuid={uuid}", self.server.url());
        let token = format!("Token {}", self.far.token());
        let answer = reqwest::Client::new().delete(url).header("Authorization", token).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }
}

fn short(slot: &str) -> String {
    let words: Vec<&str> = slot.split('/').collect();
    let at = words
        .iter()
        .position(|word| matches!(*word, "urns" | "name" | "language" | "status" | "field" | "group"));
    words[at.unwrap()..].join("/")
}

pub fn output(source: &str, fields: &Value) -> Output {
    let (output, issues) = build(source, fields).unwrap();
    assert!(issues.is_empty(), "{issues:?}");
    output
}

type Built = Result<(Output, Vec<mjumbe::mapping::output::Issue>), Vec<mjumbe::mapping::output::Issue>>;

fn build(source: &str, fields: &Value) -> Built {
    let context = Context {
        tenant: "default",
        zone: &jiff::tz::TimeZone::UTC,
        mapping: "workers",
        source,
        authored_ms: 0,
        place: "workers.yaml:1:1",
        country: Some("RW"),
    };
    Contact.build(&Evaluated {
        target_id: "rapidpro.contact",
        destination: "north",
        key: "",
        withdraw: Withdraw::Delete,
        needs: &[],
        fields,
        faulty: false,
        context: &context,
    })
}

/// The difference between what was accepted before and what is wanted now.
pub fn outgoing(now: &Output, before: Option<&Output>, remote: Option<&str>) -> Outgoing {
    let old = |slot: &str| {
        let parts = before.map(|before| before.parts.as_slice()).unwrap_or_default();
        parts.iter().find(|part| part.slot == slot).map(|part| part.wanted.clone())
    };
    let mut parts: Vec<OutgoingPart> = now
        .parts
        .iter()
        .map(|part| OutgoingPart {
            slot: part.slot.clone(),
            wanted: Some(part.wanted.clone()),
            sent: old(&part.slot),
            note: String::new(),
        })
        .filter(|part| part.wanted != part.sent)
        .collect();
    for part in before.map(|before| before.parts.as_slice()).unwrap_or_default() {
        if !now.parts.iter().any(|kept| kept.slot == part.slot) {
            let sent = Some(part.wanted.clone());
            parts.push(OutgoingPart { slot: part.slot.clone(), wanted: None, sent, note: String::new() });
        }
    }
    Outgoing {
        id: "d1".to_owned(),
        target: now.target.clone(),
        lane: now.lane.clone(),
        body: now.body.clone(),
        parts,
        link: now.link.clone(),
        remote: remote.map(str::to_owned),
        ..Outgoing::default()
    }
}

fn worker() -> Value {
    json!({"urns": ["0788383383"], "name": "Uwase Marie", "language": "kin",
        "fields": {"village": "Gasabo", "age": "34"}, "groups": ["CHWs"]})
}

fn accepted(verdicts: &BTreeMap<String, Verdict>) -> bool {
    verdicts.values().all(|verdict| *verdict == Verdict::Accepted)
}

fn code(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Refused(reason) | Verdict::Later(reason) | Verdict::Unclear(reason) => &reason.code,
    }
}

#[tokio::test]
async fn a_contact_is_made_with_what_the_file_names_and_nothing_else() {
    let scene = Scene::new().await;
    let (verdicts, remote) = scene.deliver(&outgoing(&output("Practitioner/1", &worker()), None, None)).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    let contact = scene.contact();
    assert_eq!(contact["uuid"], remote.unwrap());
    assert_eq!(contact["name"], "Uwase Marie");
    assert_eq!(contact["language"], "kin");
    assert_eq!(contact["urns"], json!([PHONE]));
    assert_eq!(contact["fields"], json!({"village": "Gasabo", "age": "34", "edd": null}));
    assert_eq!(contact["groups"][0]["name"], "CHWs");
    // Looked for, made: no more than that.
    assert_eq!(scene.server.request_count(), 2);
}

#[tokio::test]
async fn only_the_difference_is_sent_and_other_groups_and_urns_stay() {
    let scene = Scene::new().await;
    let first = output("Practitioner/1", &worker());
    let (_, remote) = scene.deliver(&outgoing(&first, None, None)).await;
    let uuid = remote.unwrap();
    scene
        .post(
            &format!("?uuid={uuid}"),
            &json!({"groups": ["CHWs", "Others"], "urns": [PHONE, "telegram:77"]}),
        )
        .await;
    let second = output(
        "Practitioner/1",
        &json!({"urns": ["0788383383"], "name": "Uwase M.", "fields": {"village": "Gasabo"}, "groups": ["Nurses"]}),
    );
    let (verdicts, _) = scene.deliver(&outgoing(&second, Some(&first), Some(&uuid))).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    let contact = scene.contact();
    assert_eq!(contact["name"], "Uwase M.");
    // Taken back: `withdraw: delete`.
    assert_eq!((&contact["language"], &contact["fields"]["age"]), (&Value::Null, &Value::Null));
    assert_eq!(contact["fields"]["village"], "Gasabo");
    assert_eq!(contact["urns"], json!([PHONE, "telegram:77"]));
    let mut groups: Vec<_> =
        contact["groups"].as_array().unwrap().iter().map(|group| group["name"].clone()).collect();
    groups.sort_by_key(ToString::to_string);
    assert_eq!(groups, [json!("Nurses"), json!("Others")]);
}

#[tokio::test]
async fn a_new_number_replaces_the_one_that_we_gave() {
    let scene = Scene::new().await;
    let first = output("Practitioner/1", &json!({"urns": ["0788000111"]}));
    let (_, remote) = scene.deliver(&outgoing(&first, None, None)).await;
    let second = output("Practitioner/1", &json!({"urns": ["0788383383"]}));
    let (verdicts, _) = scene.deliver(&outgoing(&second, Some(&first), remote.as_deref())).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    assert_eq!(scene.contact()["urns"], json!([PHONE]));
    assert_eq!(scene.contacts(), 1);
}

#[tokio::test]
async fn an_existing_contact_is_found_by_its_number() {
    let scene = Scene::new().await;
    let known = scene.post("", &json!({"urns": [PHONE], "name": "By hand"})).await;
    let (verdicts, remote) = scene.deliver(&outgoing(&output("Practitioner/1", &worker()), None, None)).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    assert_eq!(json!(remote), known["uuid"]);
    assert_eq!(scene.contacts(), 1);
}

#[tokio::test]
async fn a_contact_of_another_resource_is_left_alone() {
    let scene = Scene::new().await;
    let mother = output("Patient/1", &json!({"urns": [PHONE], "name": "Mother"}));
    scene.deliver(&outgoing(&mother, None, None)).await;
    let child = output("Patient/2", &json!({"urns": [PHONE], "name": "Child"}));
    let (verdicts, remote) = scene.deliver(&outgoing(&child, None, None)).await;
    assert_eq!(code(&verdicts["name"]), "rapidpro-contact-shared");
    assert_eq!(remote, None);
    assert_eq!(scene.contact()["name"], "Mother");
}

#[tokio::test]
async fn a_role_and_its_practitioner_share_a_contact() {
    let scene = Scene::new().await;
    let practitioner = output("Practitioner/1", &worker());
    scene.deliver(&outgoing(&practitioner, None, None)).await;
    let role = output("PractitionerRole/9", &json!({"find": PHONE, "groups": ["Nurses"]}));
    let (verdicts, _) = scene.deliver(&outgoing(&role, None, None)).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    assert_eq!(scene.contact()["groups"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_contact_is_found_by_the_link_of_another_resource() {
    let scene = Scene::new().await;
    scene.deliver(&outgoing(&output("Practitioner/1", &worker()), None, None)).await;
    let find = json!({"$link": {"resource": "Practitioner/1"}});
    let answered = output("QuestionnaireResponse/1", &json!({"find": find, "fields": {"village": "Kigali"}}));
    assert_eq!(answered.lane, "contact/Practitioner/1");
    let (verdicts, _) = scene.deliver(&outgoing(&answered, None, None)).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    assert_eq!(scene.contact()["fields"]["village"], "Kigali");
}

#[tokio::test]
async fn a_number_is_not_taken_from_somebody() {
    for version in [9, 26] {
        let scene = Scene::with(|options| options.version = version).await;
        scene.post("", &json!({"urns": [PHONE], "name": "Somebody"})).await;
        let first = output("Practitioner/1", &json!({"urns": ["0788000111"], "name": "Uwase"}));
        let (_, remote) = scene.deliver(&outgoing(&first, None, None)).await;
        let second = output("Practitioner/1", &json!({"urns": [PHONE], "name": "Uwase M."}));
        let (verdicts, _) = scene.deliver(&outgoing(&second, Some(&first), remote.as_deref())).await;
        assert_eq!(code(&verdicts["urns"]), "rapidpro-urn-owned", "{version}");
        assert_eq!(code(&verdicts["name"]), "accepted", "{version}");
        assert_eq!(scene.contact()["name"], "Somebody", "{version}");
        let own = scene.far.contact_by_urn("tel:+250788000111").unwrap();
        assert_eq!(own["name"], "Uwase M.", "{version}");
    }
}

#[tokio::test]
async fn a_number_that_only_sent_a_message_is_taken_over_where_rapidpro_lets_it() {
    for (version, expected) in [(9, "accepted"), (26, "rapidpro-urn-owned")] {
        let scene = Scene::with(|options| options.version = version).await;
        scene.post("", &json!({"urns": [PHONE]})).await;
        let first = output("Practitioner/1", &json!({"urns": ["0788000111"]}));
        let (_, remote) = scene.deliver(&outgoing(&first, None, None)).await;
        let second = output("Practitioner/1", &json!({"urns": [PHONE]}));
        let (verdicts, remote) = scene.deliver(&outgoing(&second, Some(&first), remote.as_deref())).await;
        assert_eq!(code(&verdicts["urns"]), expected, "{version}");
        let owner = scene.contact();
        assert_eq!(owner["uuid"] == json!(remote), version == 9, "{version}");
    }
}

#[tokio::test]
async fn a_contact_made_behind_a_500_is_found_and_not_made_again() {
    let scene = Scene::new().await;
    let lost = Effect::AnswerAfter { status: 500, body: None };
    scene.far.fault(Fault::new(lost).on("POST", "/api/v2/contacts.json").times(1));
    let (verdicts, remote) = scene.deliver(&outgoing(&output("Practitioner/1", &worker()), None, None)).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    assert_eq!(scene.contact()["uuid"], json!(remote));
    assert_eq!(scene.contacts(), 1);
}

#[tokio::test]
async fn a_broken_connection_after_creation_doubles_nothing() {
    let scene = Scene::new().await;
    scene.far.fault(Fault::new(Effect::DropAfter).on("POST", "/api/v2/contacts.json").times(1));
    let delivery = outgoing(&output("Practitioner/1", &worker()), None, None);
    let first = scene.send(&delivery).await;
    assert!(first.result.is_ok(), "{:?}", first.result);
    let (verdicts, _) = scene.deliver(&Outgoing { attempt: 1, unclear: true, ..delivery }).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    assert_eq!(scene.contacts(), 1);
}

#[tokio::test]
async fn mailroom_down_is_unclear_and_comes_again() {
    let scene = Scene::new().await;
    let fault = scene.far.fault(Fault::new(Effect::DatabaseDown { answer_after_ms: 0 }));
    let delivery = outgoing(&output("Practitioner/1", &worker()), None, None);
    let failure = scene.send(&delivery).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.unclear), (FailureKind::Unavailable, true));
    scene.far.lift(fault);
    let (verdicts, _) = scene.deliver(&Outgoing { attempt: 1, unclear: true, ..delivery }).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
}

#[tokio::test]
async fn two_that_make_the_same_contact_at_once_make_one() {
    let scene = Scene::new().await;
    let one = outgoing(&output("Practitioner/1", &worker()), None, None);
    let two =
        outgoing(&output("PractitionerRole/2", &json!({"urns": [PHONE], "groups": ["Nurses"]})), None, None);
    let (first, second) = tokio::join!(scene.deliver(&one), scene.deliver(&two));
    assert!(accepted(&first.0) && accepted(&second.0), "{first:?} {second:?}");
    assert_eq!(first.1, second.1);
    assert_eq!(scene.contacts(), 1);
    assert_eq!(scene.contact()["groups"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn of_two_patients_with_one_number_at_once_one_gets_the_contact() {
    let scene = Scene::new().await;
    let one = outgoing(&output("Patient/1", &json!({"urns": [PHONE], "name": "One"})), None, None);
    let two = outgoing(&output("Patient/2", &json!({"urns": [PHONE], "name": "Two"})), None, None);
    let (first, second) = tokio::join!(scene.deliver(&one), scene.deliver(&two));
    let mut codes = [code(&first.0["name"]), code(&second.0["name"])];
    codes.sort_unstable();
    assert_eq!(codes, ["accepted", "rapidpro-contact-shared"]);
}

#[tokio::test]
async fn what_rapidpro_cannot_read_is_refused_with_its_cause() {
    let scene = Scene::new().await;
    let fields = json!({"urns": [PHONE], "name": "Uwase",
        "fields": {"age": "34 years", "edd": "next tuesday", "village": "Gasabo", "nope": "x"}, "groups": ["CHWs", "Nope"]});
    let (verdicts, remote) = scene.deliver(&outgoing(&output("Practitioner/1", &fields), None, None)).await;
    assert!(remote.is_some());
    let codes: BTreeMap<&str, &str> =
        verdicts.iter().map(|(slot, verdict)| (slot.as_str(), code(verdict))).collect();
    assert_eq!(
        codes,
        BTreeMap::from([
            ("urns", "accepted"),
            ("name", "accepted"),
            ("field/age", "rapidpro-field-not-read"),
            ("field/edd", "rapidpro-field-not-read"),
            ("field/village", "accepted"),
            ("field/nope", "rapidpro-field-missing"),
            ("group/CHWs", "accepted"),
            ("group/Nope", "rapidpro-group-missing"),
        ])
    );
    assert_eq!(scene.contact()["groups"][0]["name"], "CHWs");
}

#[tokio::test]
async fn a_blocked_contact_is_renamed_and_joins_no_group() {
    let scene = Scene::new().await;
    let first = output("Practitioner/1", &json!({"urns": [PHONE]}));
    let (_, remote) = scene.deliver(&outgoing(&first, None, None)).await;
    let uuid = remote.unwrap();
    scene.far.set_contact_status(&uuid, "blocked");
    let second = output("Practitioner/1", &json!({"urns": [PHONE], "name": "Uwase", "groups": ["CHWs"]}));
    let (verdicts, _) = scene.deliver(&outgoing(&second, Some(&first), Some(&uuid))).await;
    assert_eq!(code(&verdicts["name"]), "accepted");
    assert_eq!(code(&verdicts["group/CHWs"]), "rapidpro-contact-not-active");
    let third = output(
        "Practitioner/1",
        &json!({"urns": [PHONE], "name": "Uwase", "groups": ["CHWs"], "status": "active"}),
    );
    let (verdicts, _) = scene.deliver(&outgoing(&third, Some(&first), Some(&uuid))).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    assert_eq!(scene.contact()["groups"][0]["name"], "CHWs");
}

#[tokio::test]
async fn a_status_blocks() {
    let scene = Scene::new().await;
    let given = json!({"urns": [PHONE], "name": "Uwase", "status": "blocked"});
    let (verdicts, _) = scene.deliver(&outgoing(&output("Patient/1", &given), None, None)).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    assert_eq!(scene.contact()["status"], "blocked");
}

#[tokio::test]
async fn a_deleted_contact_is_made_again_whole() {
    let scene = Scene::new().await;
    let first = output("Practitioner/1", &worker());
    let (_, remote) = scene.deliver(&outgoing(&first, None, None)).await;
    let old = remote.unwrap();
    scene.delete(&old).await;
    let mut changed = worker();
    changed["name"] = json!("Uwase M.");
    let second = output("Practitioner/1", &changed);
    let (verdicts, remote) = scene.deliver(&outgoing(&second, Some(&first), Some(&old))).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    assert_ne!(remote.as_deref(), Some(old.as_str()));
    let contact = scene.contact();
    assert_eq!(contact["name"], "Uwase M.");
    assert_eq!(contact["fields"]["village"], "Gasabo");
    assert_eq!(contact["groups"][0]["name"], "CHWs");
}

#[tokio::test]
async fn withdrawing_takes_back_groups_and_values_and_leaves_the_address() {
    let scene = Scene::new().await;
    let first = output("Practitioner/1", &worker());
    let (_, remote) = scene.deliver(&outgoing(&first, None, None)).await;
    let nothing = Output { parts: Vec::new(), ..first.clone() };
    let (verdicts, _) = scene.deliver(&outgoing(&nothing, Some(&first), remote.as_deref())).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    let contact = scene.contact();
    assert_eq!((&contact["name"], &contact["groups"]), (&Value::Null, &json!([])));
    assert_eq!(contact["fields"], json!({"village": null, "age": null, "edd": null}));
    assert_eq!(contact["urns"], json!([PHONE]));
    // Of one that is gone there is nothing to take back, and it is not made for that.
    scene.delete(contact["uuid"].as_str().unwrap()).await;
    let (verdicts, _) = scene.deliver(&outgoing(&nothing, Some(&first), contact["uuid"].as_str())).await;
    assert!(accepted(&verdicts), "{verdicts:?}");
    assert_eq!(scene.contacts(), 0);
}

#[tokio::test]
async fn throttling_says_how_long_and_is_kept_to() {
    let scene = Scene::new().await;
    let body = Some(json!({"detail": "Request was throttled. Expected available in 30 seconds."}));
    let throttled = Effect::Answer { status: 429, body, retry_after: Some(30) };
    scene.far.fault(Fault::new(throttled).on("GET", "/api/v2/contacts.json").times(1));
    let delivery = outgoing(&output("Practitioner/1", &worker()), None, None);
    let failure = scene.send(&delivery).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.retry_after), (FailureKind::Throttled, Some(Duration::from_secs(30))));
    let asked = scene.server.request_count();
    let failure = scene.send(&delivery).await.result.unwrap_err();
    assert_eq!((failure.kind, scene.server.request_count()), (FailureKind::Throttled, asked));
}

#[tokio::test]
async fn a_wrong_token_is_suspected_only_when_a_probe_agrees() {
    let scene = Scene::new().await;
    let client = Client::new("north", &settings(&scene.server.url(), "0000")).unwrap();
    let workspace = Workspace::new(Arc::new(client), around(scene.links.clone()));
    let delivery = outgoing(&output("Practitioner/1", &worker()), None, None);
    let leave = Leave::until(Instant::now() + Duration::from_secs(20));
    let failure = workspace.send(&[delivery], &leave).await.result.unwrap_err();
    assert_eq!(
        (failure.kind, failure.reason.code.as_str()),
        (FailureKind::Unauthorised, "rapidpro-token-invalid")
    );
    assert_eq!(workspace.probe().await.unwrap_err().kind, FailureKind::Unauthorised);
    assert!(scene.workspace.probe().await.is_ok());
}

#[tokio::test]
async fn nothing_is_begun_after_the_deadline() {
    let scene = Scene::new().await;
    let delivery = outgoing(&output("Practitioner/1", &worker()), None, None);
    let sent = scene.workspace.send(&[delivery], &Leave::until(Instant::now())).await;
    assert_eq!(sent.result.unwrap_err().kind, FailureKind::Collision);
    assert_eq!(scene.server.request_count(), 0);
}

#[tokio::test]
async fn exchanges_hold_no_token() {
    let scene = Scene::new().await;
    let sent = scene.send(&outgoing(&output("Practitioner/1", &worker()), None, None)).await;
    assert_eq!(sent.exchanges.len(), 2);
    assert!(!format!("{:?}", sent.exchanges).contains(scene.far.token()));
}

#[test]
fn plain_http_to_another_machine_is_refused() {
    let error = Client::new("north", &settings("http://rapidpro.example.org", "t")).unwrap_err();
    assert!(error.to_string().contains("dangerous_accept_http"), "{error}");
    assert!(Client::new("north", &settings("https://rapidpro.example.org/api/v2/", "t")).is_ok());
    assert!(Client::new("north", &settings("ftp://rapidpro.example.org", "t")).is_err());
    let error = Client::new("north", &settings("https://rapidpro.example.org", " ")).unwrap_err();
    assert!(error.to_string().contains("MJUMBE__RAPIDPRO__NORTH__TOKEN"), "{error}");
}

#[test]
fn what_a_file_gives_is_checked_and_normalised() {
    let fields = json!({"urns": ["0788 383 383", "+250788383383", "ext:Patient/1", "whatsap:1", "12"],
        "name": "x".repeat(70), "language": "en", "fields": {"active": true, "age": 34, "Bad Key": "x"},
        "groups": ["CHWs", "chws", "a\"b"]});
    let (output, issues) = build("Patient/1", &fields).unwrap();
    assert_eq!(output.body["urns"], json!([PHONE, "ext:Patient/1"]));
    assert_eq!(output.body["name"].as_str().unwrap().len(), 64);
    assert_eq!(output.body["fields"], json!({"active": "true", "age": "34"}));
    assert_eq!(output.body["groups"], json!(["CHWs"]));
    assert_eq!(output.link.as_deref(), Some("Patient/1"));
    let codes: Vec<&str> = issues.iter().map(|issue| issue.code.as_str()).collect();
    assert_eq!(
        codes,
        [
            "contact-urn-invalid",
            "contact-urn-invalid",
            "contact-name-cut",
            "contact-language-invalid",
            "contact-field-invalid",
            "contact-group-invalid"
        ]
    );
    assert!(issues.iter().all(|issue| issue.hint.is_some() && !issue.message.contains("0788")));
}

#[test]
fn a_contact_needs_an_address() {
    let issues = build("Patient/1", &json!({"name": "Uwase"})).unwrap_err();
    assert_eq!(issues[0].code, "contact-without-address");
    // A questionnaire response is not a contact: `find` or the first of `urns` says whose contact it changes.
    let answered = "QuestionnaireResponse/1";
    assert!(build(answered, &json!({"name": "Uwase"})).is_err());
    let (found, _) = build(answered, &json!({"find": PHONE, "fields": {"village": "Gasabo"}})).unwrap();
    let (addressed, _) = build(answered, &json!({"urns": ["0788383383", "0788000111"]})).unwrap();
    assert_eq!(found.lane, addressed.lane, "one person has one lane, however named");
    assert!(found.lane.starts_with("contact/urn-") && !found.lane.contains("788"), "{}", found.lane);
    assert_eq!((found.link, addressed.link), (None, None));
    let (other, _) = build(answered, &json!({"urns": ["0788000111"]})).unwrap();
    assert_ne!(other.lane, addressed.lane);
}

#[test]
fn a_preview_is_the_body_of_the_request() {
    let output = output("Practitioner/1", &worker());
    assert_eq!(
        Contact.preview(&output),
        json!({"urns": [PHONE], "name": "Uwase Marie", "language": "kin",
            "fields": {"village": "Gasabo", "age": "34"}, "groups": ["CHWs"]})
    );
}
