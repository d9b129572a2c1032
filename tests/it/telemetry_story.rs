//! The whole story at TRACE, with canaries everywhere: registrations, answers, outages, refusals, dead
//! letters; none is in the log. And one trace leads from a run to DHIS2's answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mjumbe::sandbox::dhis2::Dhis2;
use mjumbe::sandbox::faults::{Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::definition::Webhook;
use mjumbe::sandbox::rapidpro::{RapidPro, Reply, WebhookShape};
use mjumbe::sandbox::story::play::{self, Pace, Product, Stage};
use mjumbe::sandbox::story::tally::Report;
use mjumbe::sandbox::story::truth::Open;
use mjumbe::sandbox::story::{Story, ZONE};
use serde_json::{Value, json};

use super::telemetry_canary::Program;

const PEOPLE: usize = 14;
const PATIENTS: usize = 8;
const SECRET: &str = "canarysecret-0123456789abcdef";

/// What may be in no log line.
const CANARIES: [&str; 5] = ["canaryname", "canarypatient", "canaryanswer", "2507884", "canarysecret"];

struct Watched {
    program: Program,
    token: String,
}

#[async_trait]
impl Product for Watched {
    fn fhir(&self) -> String {
        format!("{}/fhir", self.program.url)
    }

    fn token(&self) -> String {
        self.token.clone()
    }

    async fn open(&self) -> Vec<Open> {
        let listed = self.program.run(&["deliveries", "list", "--each", "1000", "--json"]);
        let listed: Value = serde_json::from_str(&listed).unwrap_or_default();
        listed["deliveries"].as_array().into_iter().flatten().map(open).collect()
    }

    fn tell(&self, _text: &str) {}

    fn show(&self, _report: &Report) {}
}

fn open(row: &Value) -> Open {
    let dead = row["status"] == "dead";
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let (place, target, source) = (text("lane"), text("target"), text("source"));
    Open { place, target, source, code: text("cause"), dead, reason: row.to_string() }
}

/// A smaller story, whose every name and answer is a canary.
fn story() -> Story {
    let mut story = Story::new(2);
    story.people.truncate(PEOPLE);
    story.patients.truncate(PATIENTS);
    story.tests.retain(|test| test.patient < PATIENTS);
    story.refused.retain(|refused| refused.because == mjumbe::sandbox::faults::Because::Expired);
    for refused in &mut story.refused {
        refused.village = story.people[3].village.clone();
    }
    for person in &mut story.people {
        person.name = "Canaryname Uwera".to_owned();
        for reply in person.takes.iter_mut().flat_map(|take| &mut take.replies) {
            if let Reply::Text(text) = reply
                && text.parse::<i64>().is_ok()
            {
                text.push_str(" canaryanswer");
            }
        }
    }
    for patient in &mut story.patients {
        patient.name = "Canarypatient Nkusi".to_owned();
    }
    story.children.truncate(PATIENTS);
    story.cases.truncate(12);
    for child in &mut story.children {
        child.first_name = "Canarypatient Keza".to_owned();
        child.name = child.first_name.clone();
    }
    for case in &mut story.cases {
        case.notes = "canaryanswer".to_owned();
        case.reporter %= PEOPLE;
    }
    story
}

fn config(program: &Program, far: [(&str, &str); 2]) -> String {
    let [(rapidpro, rapidpro_token), (dhis2, dhis2_token)] = far;
    let mappings = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    format!(
        "mappings = {mappings:?}\n[server]\nlisten = {:?}\n[log]\nlevel = \"trace\"\nformat = \"json\"\n\
         [tenant.default]\ntimezone = \"{ZONE}\"\n\
         [rapidpro.workspace]\nurl = \"{rapidpro}\"\ntoken = \"{rapidpro_token}\"\ncountry = \"RW\"\n\
         webhook_secret = \"{SECRET}\"\npoll_interval_s = 2\n\
         [dhis2.national]\nurl = \"{dhis2}\"\ntoken = \"{dhis2_token}\"\n",
        program.url.trim_start_matches("http://"),
    )
}

/// A health worker whose contact RapidPro refuses, in words that repeat her number; one whose number is
/// none; both with canaries.
async fn refused(watched: &Watched, rapidpro: &RapidPro) {
    let quoting = json!({ "urns": { "0": ["URN tel:+250788499999 of Canaryname is in use"] } });
    let answer = Effect::Answer { status: 400, body: Some(quoting), retry_after: None };
    rapidpro.fault(Fault::new(answer).on("POST", "/api/v2/contacts.json"));
    let client = reqwest::Client::new();
    for (id, phone) in [("refused", "+250788499999"), ("wrong", "canaryname 12")] {
        let practitioner = json!({
            "resourceType": "Practitioner", "id": id, "active": true, "name": [{ "text": "Canaryname Refused" }],
            "telecom": [{ "system": "phone", "value": phone }],
        });
        let put = client.put(format!("{}/Practitioner/{id}", watched.fhir())).bearer_auth(&watched.token);
        let put = put.header("content-type", "application/fhir+json").body(practitioner.to_string());
        assert_eq!(put.send().await.unwrap().status(), 201);
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    while !watched.open().await.iter().any(|open| open.dead && open.reason.contains("rapidpro")) {
        assert!(Instant::now() < deadline, "the refused contact is no dead letter");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

// The simulated systems must go on answering while this test waits for the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_canary_of_the_whole_story_is_in_the_log_and_a_trace_leads_through_it() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let story = story();
    let (rapidpro, dhis2) = (RapidPro::new(story.workspace()), Dhis2::new(story.server()));
    let any = ([127, 0, 0, 1], 0).into();
    let workspace = Server::start(Arc::new(rapidpro.clone()), any).await.unwrap();
    let national = Server::start(Arc::new(dhis2.clone()), any).await.unwrap();
    let far = [(workspace.url(), rapidpro.token()), (national.url(), dhis2.token())];
    let far = far.each_ref().map(|(url, token)| (url.as_str(), *token));
    let mut program = Program::start_with(|program| config(program, far));
    program.ready(&reqwest::Client::new()).await;
    let token = program.token();
    rapidpro.add_demo_flows(Some(&Webhook {
        // As a resthook would call it: the secret is in the address too.
        url: format!("{}/rapidpro/workspace/webhook?key={SECRET}", program.url),
        secret: SECRET.to_owned(),
        shape: WebhookShape::EditorDefault,
    }));
    let mut watched = Watched { program, token };
    let mut stage = Stage::new(&story, (&rapidpro, &dhis2), &watched);
    // What DHIS2 refuses for good is part of the story: whether all has settled is not asked here.
    stage.pace = Pace { settle: Duration::from_secs(10), outage: Duration::from_secs(2), ..Pace::default() };
    let report = play::play(stage).await.unwrap();
    assert!(report.delivered > PEOPLE, "{report:?}");
    refused(&watched, &rapidpro).await;
    somebody_calls(&watched.program, &story);
    assert_eq!(watched.program.terminate(), Some(0));

    let log = watched.program.log();
    let mut secrets: Vec<String> = CANARIES.map(str::to_owned).to_vec();
    secrets.extend([&watched.token, rapidpro.token(), dhis2.token()].map(|it| it.to_lowercase()));
    secrets.extend(["bearer".to_owned(), "basic ".to_owned(), "apitoken".to_owned()]);
    assert!(log.contains(r#""level":"DEBUG""#), "the log is not at TRACE");
    for line in log.lines() {
        let small = line.to_lowercase();
        for canary in &secrets {
            assert!(!small.contains(canary.as_str()), "`{canary}` is in the log: {line}");
        }
    }
    one_trace_leads_through(&log);
}

/// Of some report: committed, mapped, wanted, answered; at INFO, each step with the same `trace`.
fn one_trace_leads_through(log: &str) {
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |message: &str| -> Vec<&Value> {
        let told = lines.iter().filter(|line| line["message"] == message && line["level"] == "INFO");
        told.collect()
    };
    let traced = of("a delivery was answered").into_iter().find(|answered| {
        let with = |line: &&&Value| line["trace"] == answered["trace"];
        let is_run = |line: &&&Value| line["kind"] == "QuestionnaireResponse";
        answered["result"] == "accepted"
            && answered["status"] == 200
            && of("a version is committed").iter().filter(is_run).filter(with).count() > 0
            && of("a change is mapped").iter().filter(with).count() > 0
            && of("a delivery is wanted")
                .iter()
                .filter(with)
                .any(|wanted| wanted["delivery"] == answered["delivery"])
    });
    assert!(traced.is_some(), "no trace leads from a run to DHIS2's answer");
}

/// From a number, a run, a response and a village to DHIS2's answer; masked, unless a reason is given, which
/// is kept.
fn somebody_calls(program: &Program, story: &Story) {
    let person = &story.people[0];
    let masked = |arguments: &[&str]| {
        let told = program.run(&[&["trace"], arguments].concat());
        for canary in CANARIES {
            assert!(!told.to_lowercase().contains(canary), "`{canary}` is in the trace: {told}");
        }
        told
    };
    let by_phone = masked(&["--phone", &person.phone]);
    for word in [
        "rapidpro.run/",
        "QuestionnaireResponse/",
        "village-monthly-report",
        "it arrived",
        "POST /api/dataValueSets",
    ] {
        assert!(by_phone.contains(word), "{word}: {by_phone}");
    }
    let json: Value = serde_json::from_str(&masked(&["--phone", &person.phone, "--json"])).unwrap();
    let sources = json["sources"].as_array().unwrap();
    let response =
        sources.iter().find_map(|source| source["source"].as_str()?.strip_prefix("QuestionnaireResponse/"));
    let uuid = response.unwrap();
    let by_run = masked(&["--run", uuid]);
    assert!(by_run.contains("rapidpro.run/workspace/") && by_run.contains("flow: "), "{by_run}");
    assert!(masked(&["--resource", &format!("QuestionnaireResponse/{uuid}")]).contains("accepted"));
    assert!(masked(&["--facility", &person.village]).contains("dhis2.report"));

    let reason = "she asked after her report of October";
    let revealed = program.run(&["trace", "--phone", &person.phone, "--reveal", reason]);
    assert!(revealed.contains(&person.phone), "{revealed}");
    let audit = program.run(&["audit"]);
    assert!(audit.contains("trace-reveal") && audit.contains(reason), "{audit}");
    assert!(!audit.contains(&person.phone), "{audit}");
    assert_eq!(program.run(&["audit", "--action", "trace-reveal"]), audit);
    assert!(!program.run(&["audit", "--action", "lenient-repair"]).contains(reason));
    assert!(!program.run(&["audit", "nobody"]).contains(reason));
}
