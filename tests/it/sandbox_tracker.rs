//! Tracker of the sandbox: what no single recorded exchange shows. Races, jobs, deletions, faults.

use std::sync::Arc;
use std::time::Duration;

use mjumbe::sandbox::dhis2::country::facility_id;
use mjumbe::sandbox::dhis2::{Dhis2, Options, Version};
use mjumbe::sandbox::faults::{Effect, Fault, Objects};
use mjumbe::sandbox::http::Server;
use serde_json::{Value, json};

const BOTH: [Version; 2] = [Version::V2_40, Version::V2_43];

struct Scene {
    dhis2: Dhis2,
    server: Server,
    client: reqwest::Client,
}

impl Scene {
    async fn new(version: Version, import_ms: u64) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dhis2 = Dhis2::new(Options { import_ms, ..Options::new(version) });
        let server = Server::start(Arc::new(dhis2.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
        Self { dhis2, server, client: reqwest::Client::new() }
    }

    async fn post(&self, query: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("{}/api/tracker?{query}", self.server.url())).json(body);
        let answer = request.header("Authorization", self.auth()).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = self.client.get(format!("{}/api/{path}", self.server.url()));
        let answer = request.header("Authorization", self.auth()).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    fn auth(&self) -> String {
        format!("ApiToken {}", self.dhis2.token())
    }

    /// Tracked entities that are there and have this child number.
    fn children(&self, number: &str) -> usize {
        let state = self.dhis2.state();
        let all = state["tracker"]["trackedEntities"].as_array().unwrap().clone();
        all.iter().filter(|own| own["deleted"] == false && own["attributes"]["MjChildNo01"] == number).count()
    }
}

fn child(uid: &str, number: &str) -> Value {
    json!({ "trackedEntities": [{ "trackedEntity": uid, "trackedEntityType": "MjChildType",
        "orgUnit": facility_id(0), "attributes": [
            { "attribute": "MjChildNo01", "value": number }, { "attribute": "MjChildNam1", "value": "Keza" }],
        "enrollments": [{ "enrollment": format!("E{}", &uid[1..]), "program": "MjImmunize1",
            "orgUnit": facility_id(0), "enrolledAt": "2026-09-01", "occurredAt": "2026-08-30",
            "attributes": [{ "attribute": "MjMotherPh1", "value": "+250788410000" }],
            "events": [{ "event": format!("V{}", &uid[1..]), "programStage": "MjDoseStag1",
                "orgUnit": facility_id(0), "occurredAt": "2026-09-01", "status": "COMPLETED",
                "dataValues": [{ "dataElement": "MjDoseVacc1", "value": "BCG" }] }] }] }] })
}

fn case(uid: &str, disease: &str) -> Value {
    json!({ "events": [{ "event": uid, "program": "MjCaseRept1", "programStage": "MjCaseStag1",
        "orgUnit": facility_id(1), "occurredAt": "2026-09-03", "status": "COMPLETED",
        "dataValues": [{ "dataElement": "MjCaseDise1", "value": disease }] }] })
}

fn codes(report: &Value) -> Vec<&str> {
    let all = report["validationReport"]["errorReports"].as_array().unwrap();
    all.iter().map(|error| error["errorCode"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_unique_value_can_be_stored_twice_at_the_same_moment() {
    for version in BOTH {
        let scene = Scene::new(version, 100).await;
        let (first, second) = (child("TChild00001", "N-1"), child("TChild00002", "N-1"));
        let (one, other) =
            tokio::join!(scene.post("async=false", &first), scene.post("async=false", &second));
        assert_eq!((one.0, other.0), (200, 200), "{one:?} {other:?}");
        assert_eq!(scene.children("N-1"), 2);
        let (status, refused) = scene.post("async=false", &child("TChild00003", "N-1")).await;
        assert!(status == 409 && codes(&refused).contains(&"E1064"), "{refused}");
    }
}

#[tokio::test]
async fn a_uid_that_two_send_at_the_same_moment_clashes_at_the_commit() {
    for version in BOTH {
        let scene = Scene::new(version, 100).await;
        let body = child("TChild00001", "N-1");
        let (one, other) = tokio::join!(scene.post("async=false", &body), scene.post("async=false", &body));
        let loser = if one.0 == 200 { other } else { one };
        assert_eq!(loser.0, if version == Version::V2_40 { 409 } else { 500 }, "{loser:?}");
        assert!(loser.1.get("stats").is_none());
        assert!(loser.1["message"].as_str().unwrap().contains("constraint"));
        let (status, repeated) = scene.post("async=false", &body).await;
        assert_eq!((status, &repeated["stats"]["updated"]), (200, &json!(3)));
        assert_eq!(scene.children("N-1"), 1);
    }
}

#[tokio::test]
async fn a_job_tells_its_report_when_it_is_done() {
    for version in BOTH {
        let scene = Scene::new(version, 200).await;
        let (status, added) = scene.post("", &case("VCase000001", "CHOLERA")).await;
        assert_eq!((status, &added["message"]), (200, &json!("Tracker job added")));
        let id = added["response"]["id"].as_str().unwrap();
        assert_eq!(scene.get(&format!("tracker/jobs/{id}/report")).await.0, 404);
        let mut last = (0, Value::Null);
        for _ in 0..100 {
            last = scene.get(&format!("tracker/jobs/{id}/report")).await;
            if last.0 == 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((last.0, &last.1["stats"]["created"]), (200, &json!(1)));
        let (_, notes) = scene.get(&format!("tracker/jobs/{id}")).await;
        assert_eq!(notes[0]["completed"], true);
    }
}

#[tokio::test]
async fn what_is_deleted_takes_what_is_below_and_its_uid_along() {
    for version in BOTH {
        let scene = Scene::new(version, 0).await;
        let body = child("TChild00001", "N-1");
        assert_eq!(scene.post("async=false", &body).await.0, 200);
        let only = json!({ "trackedEntities": [{ "trackedEntity": "TChild00001" }] });
        let (status, report) = scene.post("async=false&importStrategy=DELETE", &only).await;
        assert_eq!((status, &report["stats"]["deleted"]), (200, &json!(1)));
        assert_eq!(scene.get("tracker/trackedEntities/TChild00001").await.0, 404);
        assert_eq!(scene.get("tracker/events/VChild00001").await.0, 404);
        let (status, report) = scene.post("async=false", &body).await;
        let mut found = codes(&report);
        found.sort_unstable();
        assert_eq!((status, found), (409, vec!["E1082", "E1113", "E1114"]));
        // The number is free again, the uid is not.
        assert_eq!(scene.post("async=false", &child("TChild00002", "N-1")).await.0, 200);
    }
}

#[tokio::test]
async fn a_child_is_enrolled_once_and_has_doses_again_and_again() {
    for version in BOTH {
        let scene = Scene::new(version, 0).await;
        assert_eq!(scene.post("async=false", &child("TChild00001", "N-1")).await.0, 200);
        let again = json!({ "enrollments": [{ "enrollment": "EChild00009", "trackedEntity": "TChild00001",
            "program": "MjImmunize1", "orgUnit": facility_id(0), "enrolledAt": "2026-09-02",
            "occurredAt": "2026-09-02" }] });
        let (status, report) = scene.post("async=false", &again).await;
        assert_eq!((status, codes(&report)), (409, vec!["E1015", "E1016"]));
        let event = |uid: &str, stage: &str| {
            json!({ "events": [{ "event": uid, "programStage": stage, "program": "MjImmunize1",
                "enrollment": "EChild00001", "orgUnit": facility_id(0), "occurredAt": "2026-10-01" }] })
        };
        for (uid, stage, status) in [
            ("VDose000002", "MjDoseStag1", 200),
            ("VDose000003", "MjDoseStag1", 200),
            ("VBirth00001", "MjBirthStg1", 200),
            ("VBirth00002", "MjBirthStg1", 409),
        ] {
            assert_eq!(scene.post("async=false", &event(uid, stage)).await.0, status, "{uid}");
        }
        let list = "tracker/events?program=MjImmunize1&fields=event,programStage,trackedEntity";
        let (_, events) = scene.get(list).await;
        let key = if version == Version::V2_40 { "instances" } else { "events" };
        assert_eq!(events[key].as_array().unwrap().len(), 4);
        assert!(events[key].as_array().unwrap().iter().all(|own| own["trackedEntity"] == "TChild00001"));
    }
}

#[tokio::test]
async fn faults_strike_tracker_imports_too() {
    for version in BOTH {
        let scene = Scene::new(version, 0).await;
        let body = case("VCase000001", "MEASLES");
        scene.dhis2.fault(Fault::new(Effect::StoreNothing).on("POST", "/api/tracker").times(1));
        let (status, report) = scene.post("async=false", &body).await;
        assert_eq!((status, &report["status"], &report["stats"]["ignored"]), (200, &json!("OK"), &json!(1)));
        let half = Effect::StoreRows { rows: 1, status: 500 };
        scene.dhis2.fault(Fault::new(half).on("POST", "/api/tracker").times(1));
        assert_eq!(scene.post("async=false", &body).await.0, 500);
        assert_eq!(scene.get("tracker/events/VCase000001").await.0, 200);
        let rule = Effect::RefuseObjects(Objects {
            kind: "EVENT".to_owned(),
            program: None,
            org_unit: Some(facility_id(1)),
            message: "Report by phone".to_owned(),
        });
        scene.dhis2.fault(Fault::new(rule));
        let (status, report) = scene.post("async=false", &body).await;
        assert_eq!((status, codes(&report)), (409, vec!["E1300"]));
        let (status, report) = scene.post("async=false&atomicMode=OBJECT", &body).await;
        assert_eq!((status, codes(&report), &report["status"]), (200, vec!["E1300"], &json!("OK")));
    }
}

#[tokio::test]
async fn the_service_account_sees_its_programs_and_authorities() {
    let scene = Scene::new(Version::V2_43, 0).await;
    let (_, me) = scene.get("me?fields=id,username,authorities,organisationUnits[id],programs").await;
    assert_eq!(me["programs"], json!(["MjCaseRept1", "MjImmunize1"]));
    let owned = me["authorities"].as_array().unwrap();
    for authority in ["F_DATAVALUE_ADD", "F_TRACKED_ENTITY_ADD", "F_TEI_CASCADE_DELETE"] {
        assert!(owned.contains(&json!(authority)), "{authority}");
    }
    let path = "programs/MjImmunize1?fields=id,trackedEntityType[id],programStages[id,repeatable,programStageDataElements[dataElement[id,valueType,optionSet[id]]]]";
    let (_, program) = scene.get(path).await;
    assert_eq!(program["programStages"][1]["repeatable"], true);
    let element = &program["programStages"][1]["programStageDataElements"][0]["dataElement"];
    assert_eq!((&element["id"], &element["optionSet"]["id"]), (&json!("MjDoseVacc1"), &json!("MjOptSetVac")));
}

#[tokio::test]
async fn a_token_says_when_it_ends_and_ends_then() {
    let scene = Scene::new(Version::V2_43, 0).await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    scene.dhis2.end_tokens("mjumbe", soon);
    let (_, list) = scene.get("apiToken?fields=id,expire").await;
    assert_eq!(list["apiToken"][0]["expire"], soon.as_millisecond());
    scene.dhis2.end_tokens("mjumbe", jiff::Timestamp::now());
    assert_eq!(scene.get("me").await.0, 401);
}
