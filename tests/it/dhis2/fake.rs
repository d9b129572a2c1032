//! Answers what the test wrote down, remembers what it was asked, and serves a little metadata.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mjumbe::delivery::destination::{Outgoing, OutgoingPart, Reason, Sent, Verdict};
use mjumbe::delivery::hold::Leave;
use mjumbe::dhis2::aggregate::destination::{Instance, Tracking};
use mjumbe::dhis2::client::Client;
use mjumbe::dhis2::metadata::mirror::{Documents, Mirror};
use mjumbe::dhis2::tracker::notes::Notes;
use mjumbe::dhis2::tracker::uid::{Namespace, Note};
use mjumbe::store::write::Put;
use serde_json::{Value, json};

/// One scripted answer to `METHOD path`.
pub type Script = VecDeque<(String, u16, Value)>;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub query: String,
    pub body: Value,
    pub authorization: String,
}

#[derive(Default)]
pub struct Fake {
    pub script: Mutex<Script>,
    pub asked: Mutex<Vec<Asked>>,
    pub metadata: Mutex<Value>,
}

impl Fake {
    /// The next answer to `line`.
    pub fn answer(&self, line: &str, status: u16, body: Value) {
        self.script.lock().unwrap().push_back((line.to_owned(), status, body));
    }

    pub fn bodies(&self, line: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|it| it.line == line).map(|it| it.body.clone()).collect()
    }

    pub fn count(&self, line: &str) -> usize {
        self.bodies(line).len()
    }

    pub fn queries(&self, line: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|it| it.line == line).map(|it| it.query.clone()).collect()
    }
}

async fn handle(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let line = format!("{} {}", head.method, head.uri.path());
    let query = head.uri.query().unwrap_or_default().to_owned();
    let header = |name: &str| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let authorization = header("authorization");
    assert_eq!(header("x-requested-with"), "XMLHttpRequest");
    let bytes = axum::body::to_bytes(body, 10_000_000).await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    fake.asked.lock().unwrap().push(Asked { line: line.clone(), query, body, authorization });
    let scripted = {
        let mut script = fake.script.lock().unwrap();
        let at = script.iter().position(|(wanted, ..)| *wanted == line);
        at.and_then(|at| script.remove(at))
    };
    if let Some((_, status, body)) = scripted {
        return answer(status, body);
    }
    let list = line.trim_start_matches("GET /api/");
    let metadata = fake.metadata.lock().unwrap();
    match list {
        "system/info" => answer(200, metadata["info"].clone()),
        "me" => answer(200, json!({ "id": "M5zQapPyTZI", "authorities": metadata["authorities"] })),
        "dataValueSets" => answer(200, json!({ "dataValues": [] })),
        list if metadata[list].is_array() => {
            answer(200, json!({ "pager": { "page": 1, "pageCount": 1 }, list: metadata[list] }))
        }
        _ => answer(404, json!("<html>not scripted</html>")),
    }
}

fn answer(status: u16, body: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    match body {
        Value::String(text) => (status, text).into_response(),
        json => (status, [("content-type", "application/json")], json.to_string()).into_response(),
    }
}

/// Documents in memory.
#[derive(Default)]
pub struct Memory {
    pub puts: Mutex<Vec<Put>>,
}

#[async_trait::async_trait]
impl Documents for Memory {
    async fn load(&self, _kinds: &[&str]) -> Result<Vec<(String, String, Value)>, String> {
        let mut all: Vec<(String, String, Value)> = Vec::new();
        for put in self.puts.lock().unwrap().iter() {
            all.retain(|(kind, id, _)| (kind, id) != (&put.kind, &put.id));
            if let Some(body) = &put.body {
                all.push((put.kind.clone(), put.id.clone(), serde_json::from_str(body).unwrap()));
            }
        }
        Ok(all)
    }

    async fn write(&self, puts: Vec<Put>) -> Result<(), String> {
        self.puts.lock().unwrap().extend(puts);
        Ok(())
    }
}

/// These tests send nothing that is remembered.
struct Forgetful;

#[async_trait::async_trait]
impl Notes for Forgetful {
    async fn notes(&self, _: &[String]) -> Result<HashMap<String, Note>, String> {
        Ok(HashMap::new())
    }
}

/// A fake, and a destination that speaks to it.
pub struct World {
    pub fake: Arc<Fake>,
    pub memory: Arc<Memory>,
    pub mirror: Arc<Mirror>,
    pub instance: Instance,
}

pub async fn world(version: &str) -> World {
    let fake = Arc::new(Fake { metadata: Mutex::new(metadata(version)), ..Fake::default() });
    let app = Router::new().fallback(handle).with_state(Arc::clone(&fake));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let settings = serde_json::from_value(json!({ "url": url, "token": "d2pat_canary" })).unwrap();
    let client = Arc::new(Client::new("national", &settings).unwrap());
    let memory = Arc::new(Memory::default());
    let documents: Arc<dyn Documents> = memory.clone();
    let mirror = Arc::new(Mirror::new(Arc::clone(&client), documents, Duration::from_secs(3600)));
    let tracking = Tracking { space: Namespace::new("default", "national"), notes: Arc::new(Forgetful) };
    let instance = Instance::new(client, Arc::clone(&mirror), tracking, None)
        .with_clock(|| "2026-11-21T08:00:00Z".parse().unwrap(), Duration::from_millis(5));
    World { fake, memory, mirror, instance }
}

impl World {
    pub async fn send(&self, batch: &[Outgoing]) -> Sent {
        use mjumbe::delivery::destination::Destination;
        self.instance.send(batch, &Leave::until(Instant::now() + Duration::from_secs(30))).await
    }

    /// `accepted`, or the code of the reason, for each part of each delivery.
    pub async fn verdicts(&self, batch: &[Outgoing]) -> Vec<Vec<String>> {
        let sent = self.send(batch).await;
        let settled = sent.result.unwrap_or_else(|failure| panic!("{failure:?}"));
        settled.iter().map(|one| one.parts.iter().map(word).collect()).collect()
    }
}

fn word(verdict: &Verdict) -> String {
    let later = |reason: &Reason| format!("later {}", reason.code);
    match verdict {
        Verdict::Accepted => "accepted".to_owned(),
        Verdict::Refused(reason) => reason.code.clone(),
        Verdict::Later(reason) | Verdict::Unclear(reason) => later(reason),
    }
}

pub const UNIT: &str = "g8upMTyEZGZ";
pub const OTHER_UNIT: &str = "DiszpKrYNg8";

/// A report of data set `MjDsMonthA1`: element, combo and value of each cell.
pub fn report(unit: &str, period: &str, cells: &[(&str, &str, Option<&str>)]) -> Outgoing {
    let lane = format!("MjDsMonthA1|{period}|{unit}");
    let parts = cells
        .iter()
        .map(|(element, combo, value)| OutgoingPart {
            slot: format!("cell|{lane}||{element}|{combo}"),
            wanted: value.map(|value| json!({ "dataElement": element, "value": value })),
            ..OutgoingPart::default()
        })
        .collect();
    Outgoing {
        id: format!("{period}{unit}"),
        target: "dhis2.report".to_owned(),
        lane,
        body: json!({ "dataSet": "MjDsMonthA1", "period": period, "orgUnit": unit }),
        parts,
        ..Outgoing::default()
    }
}

/// Adds the completion.
pub fn complete(mut report: Outgoing) -> Outgoing {
    let slot = format!("completion|{}|", report.lane);
    report.parts.push(OutgoingPart {
        slot,
        wanted: Some(json!({ "completeDate": "2026-11-02" })),
        ..OutgoingPart::default()
    });
    report
}

/// An ImportSummary in its envelope.
pub fn summary(status: &str, counts: [u64; 3], conflicts: Value, rejected: Value) -> Value {
    json!({
        "status": status,
        "response": {
            "responseType": "ImportSummary", "status": status,
            "importCount": { "imported": counts[0], "updated": counts[1], "ignored": counts[2], "deleted": 0 },
            "conflicts": conflicts, "rejectedIndexes": rejected
        }
    })
}

pub fn stored() -> Value {
    summary("SUCCESS", [0, 1, 0], json!([]), json!([]))
}

fn metadata(version: &str) -> Value {
    let element = |uid: &str, combo: &str| {
        json!({ "dataElement": {
            "id": uid, "name": uid, "valueType": "INTEGER", "zeroIsSignificant": false,
            "categoryCombo": { "id": combo } } })
    };
    json!({
        "info": { "version": version, "calendar": "iso8601", "serverTimeZoneId": "Etc/UTC" },
        "authorities": ["F_DATAVALUE_ADD"],
        "categoryCombos": [
            { "id": "bjDvmb4bfuf", "name": "default", "isDefault": true, "categoryOptionCombos": [
                { "id": "HllvX50cXC0", "code": "default", "name": "default", "categoryOptions": [] }] },
            { "id": "BwnnrV1AkNj", "name": "Age", "categoryOptionCombos": [
                { "id": "oPcWGgS2Liz", "code": "U5", "name": "0-4", "categoryOptions": [{ "id": "Opt00000001", "name": "0-4" }] }] }],
        "optionSets": [],
        "dataSets": [{
            "id": "MjDsMonthA1", "name": "Monthly A", "periodType": "Monthly", "openFuturePeriods": 0,
            "categoryCombo": { "id": "bjDvmb4bfuf" },
            "organisationUnits": [{ "id": UNIT }, { "id": OTHER_UNIT }],
            "dataSetElements": [element("MjDeInteger", "bjDvmb4bfuf"), element("MjDePosInt1", "bjDvmb4bfuf"), element("MjDeAgeDisg", "BwnnrV1AkNj")] }],
        "organisationUnits": [
            { "id": UNIT, "code": "OU_1", "name": "Njandama", "path": "/ImspTQPwCqd/g8upMTyEZGZ" },
            { "id": OTHER_UNIT, "code": "OU_2", "name": "Ngelehun", "path": "/ImspTQPwCqd/DiszpKrYNg8" }]
    })
}
