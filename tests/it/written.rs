//! What Mjumbe writes keeps to R4 and to its own profiles; and is put into a folder for HAPI's validator.
//!
//! `tools/judge.sh` runs the last test with `MJUMBE_JUDGE_DIR` and judges the folder. The examples beside the
//! profiles are made by the real code: `MJUMBE_WRITE_EXAMPLES=1` writes them anew.

use std::path::{Path, PathBuf};

use mjumbe::fhir::profile::Registry;
use mjumbe::fhir::resource::Resource;
use mjumbe::fhir::{structure, written_back};
use mjumbe::rapidpro::flow::Flow;
use mjumbe::rapidpro::flow::questionnaire::{Status, questionnaire};
use mjumbe::rapidpro::run::{self, Origin};
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use super::rapidpro_reading::recording;
use super::server::TestServer;

const URL: &str = "https://rapidpro.example.org";
const FLOW: &str = "https://mjumbe.org/fhir/StructureDefinition/flow-questionnaire";
const RUN: &str = "https://mjumbe.org/fhir/StructureDefinition/run-response";

fn flow() -> Flow {
    Flow::read(&recording("definitions_get_one_flow_no_deps")["body"]["flows"][0]).unwrap()
}

/// Names of recordings of runs.
const RUNS: [&str; 6] = [
    "runs_get_completed_by_contact",
    "runs_get_completed_french_contact",
    "runs_get_completed_after_timeout",
    "runs_get_active_partial",
    "runs_get_expired",
    "runs_get_stuck_on_invalid_date_other_category",
];

fn response(name: &str, flow: Option<&Flow>) -> Value {
    let mut run = recording(name)["body"]["results"][0].clone();
    if flow.is_none() {
        // A flow that was deleted: it has no Questionnaire either.
        run["flow"]["uuid"] = "00000000-0000-4000-8000-000000000000".into();
    }
    run::read(&run, flow, Origin { url: URL, link: Some("Practitioner/1") }).unwrap().response
}

fn named(mut resource: Value, id: &str) -> Value {
    resource["id"] = id.into();
    resource
}

/// A patient who is known as a contact.
fn contact() -> Value {
    let mut patient = json!({ "resourceType": "Patient", "id": "example-contact", "active": true,
        "telecom": [{ "system": "phone", "value": "+250788000000" }] });
    assert!(written_back::write(
        &mut patient,
        &format!("{URL}/contact"),
        "1b4ea9b5-6ffe-4a2c-a8c1-5c0ebd0a2b3a"
    ));
    patient
}

/// What is made of recorded flows and runs: a name, the resource, its profile.
fn made() -> Vec<(String, Value, Option<&'static str>)> {
    let flow = flow();
    let mut all = vec![
        (
            "Questionnaire-example-flow".to_owned(),
            named(questionnaire(&flow, Status::Active, URL), "example-flow"),
            Some(FLOW),
        ),
        (
            "QuestionnaireResponse-example-run".to_owned(),
            named(response(RUNS[0], Some(&flow)), "example-run"),
            Some(RUN),
        ),
        ("Patient-example-contact".to_owned(), contact(), None),
    ];
    for name in RUNS {
        all.push((format!("{name}-typed"), named(response(name, Some(&flow)), "run"), Some(RUN)));
        all.push((format!("{name}-untyped"), named(response(name, None), "run"), Some(RUN)));
    }
    all
}

#[test]
fn what_is_made_of_flows_and_runs_keeps_to_its_profile() {
    let registry = Registry::own().unwrap();
    for (name, resource, profile) in made() {
        assert_eq!(structure::advise(&resource), [], "{name}: {resource:#}");
        let further: Vec<String> = profile.iter().map(|&profile| profile.to_owned()).collect();
        assert_eq!(registry.advise(&resource, &further), [], "{name}: {resource:#}");
        Resource::from_value(resource).unwrap();
    }
}

/// A profile that nothing breaks says nothing.
#[test]
fn what_is_not_made_so_breaks_the_profile() {
    let registry = Registry::own().unwrap();
    let broken = |profile: &str, change: &dyn Fn(&mut Value)| {
        let mut resource = made().into_iter().find(|(_, _, of)| *of == Some(profile)).unwrap().1;
        change(&mut resource);
        !registry.advise(&resource, &[profile.to_owned()]).is_empty()
    };
    assert!(broken(FLOW, &|it| drop(it.as_object_mut().unwrap().remove("url"))));
    assert!(broken(FLOW, &|it| it["item"][0]["type"] = "group".into()));
    assert!(broken(RUN, &|it| drop(it.as_object_mut().unwrap().remove("authored"))));
    assert!(broken(RUN, &|it| it["item"][0]["answer"] = json!([{ "valueInteger": 1 }])));
    assert!(
        broken(RUN, &|it| it["meta"] = json!({ "tag": [{ "system": "urn:mjumbe:reading", "code": "x" }] }))
    );
}

#[test]
fn the_examples_are_what_the_code_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fhir-profiles/examples");
    for (name, resource, _) in made().into_iter().take(3) {
        let file = folder.join(&name).with_extension("json");
        let text = format!("{resource:#}\n");
        if std::env::var_os("MJUMBE_WRITE_EXAMPLES").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), text, "{}", file.display());
    }
}

/// Everything that a server says, and what is made of flows and runs, one file each.
#[tokio::test]
async fn what_is_written_is_put_into_a_folder_for_the_judge() {
    let Some(folder) = std::env::var_os("MJUMBE_JUDGE_DIR").map(PathBuf::from) else {
        println!("skipped: MJUMBE_JUDGE_DIR names no folder");
        return;
    };
    std::fs::create_dir_all(&folder).unwrap();
    let keep = |name: &str, resource: &Value| {
        std::fs::write(folder.join(name).with_extension("json"), format!("{resource:#}\n")).unwrap();
    };
    for (name, mut resource, profile) in made() {
        if let Some(profile) = profile {
            resource["meta"]["profile"] = json!([profile]);
        }
        keep(&name, &resource);
    }
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        said(&server).await.into_iter().for_each(|(name, resource)| {
            assert!(resource["resourceType"].is_string(), "{name}: {resource}");
            keep(name, &resource);
        });
        server.stop().await;
    })
    .await;
}

/// The server's own resources: statements, outcomes, bundles.
async fn said(server: &TestServer) -> Vec<(&'static str, Value)> {
    let patient = json!({ "resourceType": "Patient", "id": "p1", "name": [{ "family": "Habimana" }], "birthDate": "2000" });
    server.put("Patient/p1", &patient).await;
    let changed = json!({ "resourceType": "Patient", "id": "p1", "active": true, "birthDate": "2000-01-02" });
    server.put("Patient/p1", &changed).await;
    let observation = json!({ "resourceType": "Observation", "status": "final",
        "code": { "text": "x" }, "subject": { "reference": "Patient/p1" } });
    let entry = |resource: &Value, method: &str, url: &str| {
        json!({ "fullUrl": format!("urn:uuid:{}", uuid::Uuid::new_v4()), "resource": resource,
            "request": { "method": method, "url": url } })
    };
    let transaction = json!({ "resourceType": "Bundle", "type": "transaction",
        "entry": [entry(&observation, "POST", "Observation"), entry(&patient, "PUT", "Patient/p1")] });
    let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [
        entry(&observation, "POST", "Observation"),
        { "request": { "method": "GET", "url": "Patient/absent" } },
        { "request": { "method": "GET", "url": "Patient?_id=p1" } } ] });
    let mut all = vec![
        ("transaction-response", server.post("", &transaction).await.body),
        ("batch-response", server.post("", &batch).await.body),
    ];
    let paths = [
        ("capability-statement", "metadata"),
        ("patient", "Patient/p1"),
        ("searchset", "Patient?name=h&unknown=1"),
        ("searchset-page", "Observation?_count=1&_include=Observation:subject"),
        ("searchset-empty", "Patient?name=nobody"),
        ("history", "Patient/p1/_history"),
        ("meta", "Patient/p1/$meta"),
        ("outcome-not-found", "Patient/absent"),
        ("outcome-bad-search", "Patient?birthdate=yesterday"),
    ];
    for (name, path) in paths {
        all.push((name, server.get(path).await.body));
    }
    let wrong = json!({ "resourceType": "Patient", "brithDate": "2000", "contact": [{ "gender": "male" }] });
    all.push(("outcome-invalid", server.post("Patient", &wrong).await.body));
    all.push(("outcome-validate", server.post("Patient/$validate", &patient).await.body));
    all
}
