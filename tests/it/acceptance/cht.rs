//! The Community Health Toolkit: its outbound push through the interoperability mediator, which passes on what CHT wrote.

use mjumbe::fhir::client::Profile;
use mjumbe::store::audit::Wanted;
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

const ALL: Wanted<'_> = Wanted { actor: None, action: None, last: 10 };
const PATIENT: &str = "b6a3f2f4-8d3c-4a61-9f1e-0d5c7a9b1e01";
const ORGANIZATION: &str = "cht-district-7";

fn patient(family: &str) -> Value {
    json!({
        "resourceType": "Patient", "gender": "female", "birthDate": "1992-04-01",
        "identifier": [{ "system": "cht", "use": "official", "value": PATIENT }],
        "name": [{ "family": family, "given": ["Amina"] }],
    })
}

fn encounter() -> Value {
    json!({
        "resourceType": "Encounter", "status": "finished", "class": "outpatient",
        "identifier": [{ "system": "cht", "value": PATIENT }],
        "type": [{ "text": "Pregnancy registration" }],
        "subject": { "reference": format!("Patient/?identifier={PATIENT}") },
        "participant": [{ "type": [{ "text": "CHW" }] }],
    })
}

async fn as_cht(store: mjumbe::store::Store) -> TestServer {
    let mut server = TestServer::start(store).await;
    server.become_client(Profile::Cht).await;
    server
}

#[tokio::test]
async fn a_patient_that_is_sent_at_each_edit_stays_one() {
    each_store(|store| async move {
        let server = as_cht(store).await;
        let first = server.post("Patient", &patient("Okello")).await;
        assert_eq!(first.status, 201, "{}", first.body);
        assert_eq!(first.header("mjumbe-repaired"), "", "what is new was not repaired");
        assert!(server.store.audits("default", &ALL).await.unwrap().is_empty());
        let again = server.post("Patient", &patient("Okello-Auma")).await;
        assert_eq!((again.status.as_u16(), &again.body["id"]), (200, &first.body["id"]));
        assert_eq!(again.body["meta"]["versionId"], "2");
        assert_eq!(again.header("mjumbe-repaired"), "post-as-update Patient.identifier");
        // In a bundle each entry says it of itself.
        let entry = |patient: Value| json!({ "resource": patient, "request": { "method": "POST", "url": "Patient" } });
        let mut other = patient("Odera");
        other["identifier"][0]["value"] = json!("another");
        let entries = [entry(other), entry(patient("Okello-Auma"))];
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
        let sent = server.post("", &bundle).await;
        assert_eq!(sent.header("mjumbe-repaired"), "post-as-update Bundle.entry[1].resource.identifier");
        let outcome = |n: usize| sent.body["entry"][n]["response"].get("outcome").is_some();
        assert_eq!((outcome(0), outcome(1)), (false, true), "{}", sent.body);
        // The same once more is no new version.
        let same = server.post("Patient", &patient("Okello-Auma")).await;
        assert_eq!((same.status.as_u16(), same.body["meta"]["versionId"].as_str()), (200, Some("2")));
        let found = server.get(&format!("Patient/?identifier={PATIENT}")).await;
        assert_eq!(found.body["total"], 1);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_encounter_finds_its_patient_and_two_of_them_stay_two() {
    each_store(|store| async move {
        let server = as_cht(store).await;
        // Nobody has the identifier yet: CHT tries again in five minutes.
        server.post("Encounter", &encounter()).await.refused(412, "no-match");
        let patient = server.post("Patient", &patient("Okello")).await;
        let reference = format!("Patient/{}", patient.body["id"].as_str().unwrap());
        let one = server.post("Encounter", &encounter()).await;
        assert_eq!(one.status, 201, "{}", one.body);
        assert_eq!(one.body["subject"]["reference"], reference.as_str());
        assert_eq!(one.body["class"]["code"], "AMB");
        assert_eq!(
            one.header("mjumbe-repaired"),
            "class-as-text Encounter.class, reference-slash Encounter.subject.reference"
        );
        // An encounter carries the patient's identifier: it is never taken for the one before.
        let other = server.post("Encounter", &encounter()).await;
        assert_eq!(other.status, 201);
        assert_ne!(one.body["id"], other.body["id"]);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_service_request_names_patient_and_organisation_by_identifier() {
    each_store(|store| async move {
        let server = as_cht(store).await;
        let endpoint = server
            .post(
                "Endpoint",
                &json!({
                    "resourceType": "Endpoint", "status": "active", "address": "https://callback.example.org",
                    "connectionType": { "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
                        "code": "hl7-fhir-rest" },
                    "payloadType": { "text": "application/fhir+json" },
                    "identifier": { "system": "cht", "value": "callback-7" },
                }),
            )
            .await;
        assert_eq!(endpoint.status, 201, "{}", endpoint.body);
        let endpoint = format!("Endpoint/{}", endpoint.body["id"].as_str().unwrap());
        let organization = server
            .post(
                "Organization",
                &json!({
                    "resourceType": "Organization", "name": "District 7",
                    "identifier": [{ "system": "official", "value": ORGANIZATION }],
                    "endpoint": [{ "reference": endpoint }],
                }),
            )
            .await;
        let patient = server.post("Patient", &patient("Okello")).await;
        let request = json!({
            "resourceType": "ServiceRequest", "status": "active", "intent": "order",
            "subject": { "reference": format!("Patient/{PATIENT}") },
            "requester": { "reference": format!("Organization/{ORGANIZATION}") },
        });
        let made = server.post("ServiceRequest", &request).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let of = |kind: &str, body: &Value| format!("{kind}/{}", body["id"].as_str().unwrap());
        assert_eq!(made.body["subject"]["reference"], of("Patient", &patient.body).as_str());
        assert_eq!(made.body["requester"]["reference"], of("Organization", &organization.body).as_str());
        // An id that somebody has stays one.
        let mut by_id = request.clone();
        by_id["subject"]["reference"] = of("Patient", &patient.body).into();
        by_id["requester"]["reference"] = of("Organization", &organization.body).into();
        let made = server.post("ServiceRequest", &by_id).await;
        assert_eq!((made.status.as_u16(), made.header("mjumbe-repaired")), (201, ""));
        // The callback writes the encounter to its own id.
        let mut callback = encounter();
        callback["id"] = "cb-1".into();
        assert_eq!(server.put("Encounter/cb-1", &callback).await.status, 201);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_practitioner_is_told_what_was_repaired() {
    each_store(|store| async move {
        let server = as_cht(store).await;
        let practitioner = json!({
            "resourceType": "Practitioner", "identifier": { "use": "official", "value": "cht/7" },
            "name": [{ "system": "cht", "family": "Wekesa", "given": "Juma" }],
            "telecom": [{ "system": "phone", "value": "+256700000001" }],
        });
        let request = server.with_body(reqwest::Method::POST, "Practitioner", &practitioner);
        let answer = answered(request.header("prefer", "return=OperationOutcome")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (201, "written"), "{}", answer.body);
        let issues = answer.body["issue"].as_array().unwrap();
        let warnings: Vec<&str> = issues
            .iter()
            .filter(|issue| issue["severity"] == "warning")
            .map(|issue| issue["expression"][0].as_str().unwrap())
            .collect();
        assert_eq!(
            warnings,
            ["Practitioner.identifier", "Practitioner.name[0].given", "Practitioner.name[0].system"]
        );
        // The audit says who and what, and nothing about whom.
        let audit = server.store.audits("default", &ALL).await.unwrap();
        assert_eq!((audit.len(), &*audit[0].actor, &*audit[0].action), (1, "cht", "lenient-repair"));
        assert_eq!(audit[0].reason, "cht: list-expected 2, name-system 1");
        assert!(audit[0].subject.starts_with("Practitioner ") && !audit[0].subject.contains('-'));
        // What is still not R4 is refused, with the warnings beside it.
        let wrong = json!({ "resourceType": "Practitioner", "identifier": { "value": "x" }, "nmae": 1 });
        let refused = server.post("Practitioner", &wrong).await;
        refused.refused(400, "unknown-element");
        assert_eq!(refused.body["issue"][1]["severity"], "warning");
        assert_eq!(server.store.audits("default", &ALL).await.unwrap().len(), 1);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_the_profile_nothing_is_repaired() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        assert_eq!(server.post("Encounter", &encounter()).await.status, 400);
        let first = server.post("Patient", &patient("Okello")).await;
        let second = server.post("Patient", &patient("Okello")).await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201));
        assert_ne!(first.body["id"], second.body["id"]);
        assert_eq!(second.header("mjumbe-repaired"), "");
        assert!(server.store.audits("default", &ALL).await.unwrap().is_empty());
        server.stop().await;
    })
    .await;
}

/// What the documented mediator (openmrs-mediator) writes is R4: it needs no repair, with or without the profile.
#[tokio::test]
async fn the_mediators_own_writes_and_its_sync_window() {
    each_store(|store| async move {
        let server = as_cht(store).await;
        let identifier = |text: &str, value: &str| json!({ "type": { "text": text }, "value": value });
        let patient = json!({
            "resourceType": "Patient", "id": PATIENT, "name": [{ "family": "Okello", "given": ["Amina"] }],
            "identifier": [identifier("CHT Patient ID", "52802"), identifier("CHT Document ID", PATIENT)],
        });
        assert_eq!(server.put(&format!("Patient/{PATIENT}"), &patient).await.status, 201);
        let visit = "0c8a9f6e-41f1-4c39-9a58-2c2f6ce5e001";
        let encounter = json!({
            "resourceType": "Encounter", "id": visit, "status": "finished",
            "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HH" },
            "identifier": [identifier("CHT Document ID", visit)],
            "subject": { "reference": format!("Patient/{PATIENT}") },
            "period": { "start": "2026-11-21T08:00:00Z", "end": "2026-11-21T08:10:00Z" },
        });
        assert_eq!(server.put(&format!("Encounter/{visit}"), &encounter).await.status, 201);
        let observation = json!({
            "resourceType": "Observation", "status": "final", "code": { "coding": [{ "code": "1427" }] },
            "subject": { "reference": format!("Patient/{PATIENT}") },
            "encounter": { "reference": format!("Encounter/{visit}") }, "valueDateTime": "2026-09-01",
        });
        assert_eq!(server.post("Observation", &observation).await.status, 201);
        // Every minute: what changed in the window, with what it refers to.
        let window = "_lastUpdated=gt2026-01-01T00:00:00Z&_lastUpdated=lt2099-01-01T00:00:00Z";
        for kind in ["Patient", "Encounter", "Observation"] {
            assert_eq!(server.get(&format!("{kind}/?{window}")).await.body["total"], 1, "{kind}");
        }
        let included = server.get(&format!("Encounter?{window}&_include=Encounter:patient")).await;
        assert_eq!(included.entries("include").len(), 1);
        server.stop().await;
    })
    .await;
}

/// The documented mediator's own mapping (`mediator/src/mappings/cht.ts`) of people with a telephone, without one, and
/// with one name.
#[tokio::test]
async fn the_documented_set_is_taken_as_it_is_mapped() {
    each_store(|store| async move {
        let server = as_cht(store).await;
        let patient = |id: &str, given: Value, telecom: Value| {
            json!({
                "resourceType": "Patient", "id": id, "gender": "female", "birthDate": "1992-04-01", "telecom": telecom,
                "identifier": [{ "type": { "text": "CHT Document ID" }, "value": id }],
                "name": [{ "family": "Okello", "given": given }],
            })
        };
        let sent = [
            patient("p1", json!(["Amina"]), json!([{ "value": "+254722000001" }])),
            patient("p2", json!([]), json!([{}])),
        ];
        for patient in &sent {
            let put = server.put(&format!("Patient/{}", patient["id"].as_str().unwrap()), patient).await;
            assert_eq!(put.status, 201, "{}", put.body);
        }
        let found = server.get("Patient?phone=%2B254722000001").await;
        assert_eq!(found.entries("match")[0]["id"], "p1");
        let second = server.get("Patient/p2").await.body;
        assert_eq!((second.get("telecom"), &second["name"]), (None, &json!([{ "family": "Okello" }])));
        let home = json!({ "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HH" });
        let encounter = json!({
            "resourceType": "Encounter", "id": "e1", "status": "finished", "class": { "text": "HH", "coding": [home] },
            "identifier": [{ "type": { "text": "CHT Document ID" }, "value": "e1" }],
            "subject": { "reference": "Patient/p1" }, "period": { "start": "2026-11-21T08:00:00Z" },
        });
        let put = server.put("Encounter/e1", &encounter).await;
        assert_eq!((put.status.as_u16(), &put.body["class"]), (201, &home), "{}", put.body);
        assert_eq!(put.header("mjumbe-repaired"), "class-as-concept Encounter.class");
        // A worker whom nobody knows, by id or identifier, is what was sent, as for everybody else.
        let mut visit = encounter;
        visit["participant"] = json!([{ "individual": { "reference": "Practitioner/nobody" } }]);
        let put = server.put("Encounter/e1", &visit).await;
        assert_eq!((put.status.as_u16(), &put.body["participant"]), (200, &visit["participant"]), "{}", put.body);
        // Nor is one taken of several that share an identifier.
        let worker = |id: &str| {
            json!({ "resourceType": "Practitioner", "id": id, "identifier": [{ "system": id, "value": "shared" }] })
        };
        for id in ["w1", "w2"] {
            assert_eq!(server.put(&format!("Practitioner/{id}"), &worker(id)).await.status, 201);
        }
        visit["participant"] = json!([{ "individual": { "reference": "Practitioner/shared" } }]);
        let put = server.put("Encounter/e1", &visit).await;
        assert_eq!((put.status.as_u16(), &put.body["participant"]), (200, &visit["participant"]), "{}", put.body);
        server.stop().await;
    })
    .await;
}
