//! CommCare HQ: its FHIR repeater (search, register, transaction) and its importer, which claims ServiceRequests.

use mjumbe::fhir::client::Profile;
use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

const CASE_ID: &str = "http://commcarehq.org/x/fhir/case-id";
/// CommCare tries these again, and gives up on every other 4xx.
const RETRIED: [u16; 11] = [400, 404, 408, 409, 412, 423, 424, 425, 426, 428, 429];

fn patient(case: &str) -> Value {
    json!({
        "resourceType": "Patient", "id": case, "identifier": [{ "system": CASE_ID, "value": case }],
        "name": [{ "text": "Asha Devi", "given": ["Asha"], "family": "Devi" }],
    })
}

async fn as_commcare(store: mjumbe::store::Store) -> TestServer {
    let mut server = TestServer::start(store).await;
    server.become_client(Profile::CommCare).await;
    server
}

#[tokio::test]
async fn a_patient_is_searched_registered_and_then_updated_with_what_belongs_to_it() {
    each_store(|store| async move {
        let server = as_commcare(store).await;
        let case = "5f1c7c52a0c84a7f8ad5e0a5b1f3d001";
        let searches = [
            format!("Patient/?identifier={CASE_ID}|{case}"),
            "Patient/?name:text=Asha%20Devi".replace(":text", ""),
            "Patient/?given=Asha&family=Devi".to_owned(),
        ];
        for search in &searches {
            assert_eq!(server.get(search).await.body["total"], 0, "{search}");
        }
        let made = server.post("Patient/", &patient(case)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let id = made.body["id"].as_str().unwrap();
        assert_ne!(id, case, "the id of what is posted is the server's");
        for search in &searches {
            let found = server.get(search).await;
            assert_eq!(found.entries("match")[0]["id"], id, "{search}");
        }
        // The case now has the server's id as external_id; its resource still carries the case's own.
        let observation = json!({
            "resourceType": "Observation", "id": "form-1", "status": "final", "code": { "text": "weight" },
            "subject": { "reference": format!("Patient/{id}") }, "valueQuantity": { "value": 52.4, "unit": "kg" },
        });
        let full_url = |kind: &str, id: &str| format!("https://www.commcarehq.org/a/demo/api/fhir/r4/{kind}/{id}");
        let mut changed = patient(case);
        changed["gender"] = "female".into();
        let bundle = json!({ "type": "transaction", "entry": [
            { "fullUrl": full_url("Patient", case), "resource": changed,
              "request": { "method": "PUT", "url": format!("Patient/{id}") } },
            { "fullUrl": full_url("Observation", "form-1"), "resource": observation,
              "request": { "method": "POST", "url": "Observation/" } },
        ], "resourceType": "Bundle" });
        // `{base}/`, with the slash.
        let sent = server.post("", &bundle).await;
        assert_eq!(sent.status, 200, "{}", sent.body);
        assert_eq!(sent.body["entry"][0]["response"]["status"], "200 OK");
        assert_eq!(sent.body["entry"][1]["response"]["status"], "201 Created");
        let outcome = &sent.body["entry"][0]["response"]["outcome"]["issue"][0];
        assert_eq!(outcome["details"]["coding"][0]["code"], "id-of-the-url");
        assert_eq!(outcome["expression"][0], "Bundle.entry[0].resource.id");
        assert!(sent.body["entry"][1]["response"].get("outcome").is_none());
        assert_eq!(server.get(&format!("Patient/{id}")).await.body["gender"], "female");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_service_request_is_claimed_by_one_only() {
    each_store(|store| async move {
        let server = as_commcare(store).await;
        let request = json!({
            "resourceType": "ServiceRequest", "id": "sr1", "status": "active", "intent": "order",
            "subject": { "reference": "Patient/p1" },
        });
        assert_eq!(server.put("ServiceRequest/sr1", &request).await.status, 201);
        let found = server.get("ServiceRequest/?status=active&_count=1").await;
        assert_eq!(found.body["entry"][0]["resource"]["id"], "sr1");
        let read = server.get("ServiceRequest/sr1").await;
        let (etag, mut claimed) = (read.header("etag").to_owned(), read.body.clone());
        assert_eq!(etag, "W/\"1\"");
        claimed["status"] = "on-hold".into();
        let claim =
            || server.with_body(Method::PUT, "ServiceRequest/sr1", &claimed).header("if-match", &etag);
        let first = answered(claim()).await;
        assert_eq!((first.status.as_u16(), first.header("etag")), (200, "W/\"2\""));
        // Whoever comes second reads it again, and sees that it is taken.
        let second = answered(claim()).await;
        second.refused(412, "version-conflict");
        assert!(RETRIED.contains(&second.status.as_u16()));
        assert_eq!(server.get("ServiceRequest/sr1").await.body["status"], "on-hold");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_may_become_right_by_itself_is_retried() {
    each_store(|store| async move {
        let server = as_commcare(store).await;
        let observation = |subject: &str| {
            json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" },
                "subject": { "reference": subject } })
        };
        // The patient may come later.
        let early =
            server.post("Observation/", &observation(&format!("Patient?identifier={CASE_ID}|1"))).await;
        assert!(RETRIED.contains(&early.status.as_u16()), "{}", early.status);
        assert_eq!(early.status, 412);
        // A token that may not is not tried again by CommCare.
        let token = server.token("reader", "system/*.rs").await;
        let url = format!("{}/fhir/Observation/", server.url);
        let request = server.client.post(url).bearer_auth(token).header("content-type", "application/json");
        let refused = answered(request.body(observation("Patient/1").to_string())).await;
        assert_eq!(refused.status, 403);
        assert!(!RETRIED.contains(&refused.status.as_u16()));
        server.stop().await;
    })
    .await;
}
