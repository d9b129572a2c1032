//! Tokens by value sets and by the hierarchy of their code systems. <https://hl7.org/fhir/R4/search.html#token>

use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::{Value, json};

use super::search::{found, ids, refused, stored};
use crate::server::{TestServer, answered};

const S: &str = "http://e.org/s";

fn coded(id: &str, coding: &Value, subject: &str) -> Value {
    json!({ "resourceType": "Condition", "id": id, "code": { "coding": [coding] },
        "subject": { "reference": format!("Patient/{subject}") } })
}

/// Signs, with a hierarchy; three value sets; four conditions of two patients.
async fn signs(server: &TestServer) {
    let system = json!({ "resourceType": "CodeSystem", "id": "s", "url": S, "version": "2", "status": "active", "content": "complete",
        "concept": [
            { "code": "fever", "concept": [{ "code": "high", "concept": [{ "code": "very-high" }] }, { "code": "low" }] },
            { "code": "cough" } ] });
    let part = json!({ "resourceType": "CodeSystem", "id": "part", "url": "http://e.org/part", "status": "active",
        "content": "fragment", "concept": [{ "code": "x" }] });
    let set = |id: &str, version: &str, compose: Value| {
        json!({ "resourceType": "ValueSet", "id": id, "url": format!("http://e.org/{}", id.trim_end_matches(['1', '2'])),
            "version": version, "status": "active", "compose": compose })
    };
    let is_a = json!({ "include": [{ "system": S, "filter": [{ "property": "concept", "op": "is-a", "value": "fever" }] }] });
    let listed = json!({ "include": [{ "system": S, "concept": [{ "code": "low" }] }] });
    let nested = json!({ "include": [{ "valueSet": ["http://e.org/v|1"] }, { "system": S, "concept": [{ "code": "cough" }] }] });
    stored(
        server,
        &[
            system,
            part,
            set("v1", "1", is_a),
            set("v2", "2", listed),
            set("nested", "1", nested),
            set("abroad", "1", json!({ "include": [{ "system": "http://snomed.info/sct" }] })),
            json!({ "resourceType": "ValueSet", "id": "empty", "url": "http://e.org/empty", "status": "active" }),
            json!({ "resourceType": "Patient", "id": "p", "gender": "male" }),
            json!({ "resourceType": "Patient", "id": "q", "gender": "female" }),
            coded("high", &json!({ "system": S, "code": "very-high" }), "p"),
            coded("low", &json!({ "system": S, "code": "low" }), "q"),
            coded("cough", &json!({ "system": S, "code": "cough" }), "q"),
            coded("other", &json!({ "system": "http://e.org/else", "code": "fever" }), "q"),
            json!({ "resourceType": "Condition", "id": "uncoded", "subject": { "reference": "Patient/p" } }),
        ],
    )
    .await;
}

#[tokio::test]
async fn s9_tokens_by_value_sets() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        signs(&server).await;
        let own = format!("Condition?code:in={}/fhir/ValueSet/v1", server.url);
        found(
            &server,
            &[
                ("Condition?code:in=http://e.org/v|1", "high,low"),
                // The newest version.
                ("Condition?code:in=http://e.org/v", "low"),
                ("Condition?code:in=ValueSet/v1", "high,low"),
                (&own, "high,low"),
                ("Condition?code:in=http://e.org/nested", "high,low,cough"),
                ("Condition?code:in=ValueSet/v2,http://e.org/nested", "high,low,cough"),
                // Also what has no code.
                ("Condition?code:not-in=http://e.org/v|1", "cough,other,uncoded"),
                ("Condition?code:not-in=ValueSet/nested", "other,uncoded"),
                ("Condition?code:in=ValueSet/v1&code:not-in=ValueSet/v2", "high"),
                ("Condition?code:in=ValueSet/v1&subject=Patient/q", "low"),
                // Codes whose system R4 fixes; a value set of R4 itself.
                ("Patient?gender:in=http://hl7.org/fhir/ValueSet/administrative-gender", "p,q"),
                ("Patient?gender:not-in=http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1", ""),
                // In chains and from behind.
                ("Patient?_has:Condition:subject:code:in=ValueSet/v2", "q"),
                ("Patient?_has:Condition:subject:code:in=ValueSet/v1&gender=male", "p"),
                ("Condition?subject:Patient.gender:in=http://hl7.org/fhir/ValueSet/administrative-gender&code=low", "low"),
            ],
        )
        .await;
        // A value set that the server was started with.
        let tag = json!({ "tag": [{ "system": "urn:mjumbe:reading", "code": "untyped" }] });
        stored(&server, &[json!({ "resourceType": "Patient", "id": "tagged", "meta": tag })]).await;
        found(&server, &[("Patient?_tag:in=https://mjumbe.org/fhir/ValueSet/reading", "tagged")]).await;
        let all = server.get("Condition?code:in=ValueSet/nested&_count=2").await;
        let link = |answer: &crate::server::Answered, relation: &str| {
            let links = answer.body["link"].as_array().unwrap();
            links.iter().find(|link| link["relation"] == relation).map(|link| link["url"].as_str().unwrap().to_owned())
        };
        assert!(link(&all, "self").unwrap().contains("code%3Ain=ValueSet%2Fnested"), "{}", all.body["link"]);
        assert_eq!(ids(&all, "match"), "high,low");
        // The next page is of the same search, whatever became of the value set.
        let smaller = json!({ "resourceType": "ValueSet", "id": "nested", "url": "http://e.org/nested", "status": "active",
            "compose": { "include": [{ "system": S, "concept": [{ "code": "cough" }] }] } });
        stored(&server, &[smaller]).await;
        let next = answered(server.client.get(link(&all, "next").unwrap()).bearer_auth(&server.token)).await;
        assert_eq!(ids(&next, "match"), "cough");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s9_tokens_by_hierarchy() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        signs(&server).await;
        found(
            &server,
            &[
                ("Condition?code:below=http://e.org/s|fever", "high,low"),
                ("Condition?code:below=http://e.org/s|high", "high"),
                ("Condition?code:below=http://e.org/s|low,http://e.org/s|cough", "low,cough"),
                ("Condition?code:above=http://e.org/s|very-high", "high"),
                ("Condition?code:above=http://e.org/s|low", "low"),
                ("Condition?code:below=http://e.org/s|fever&subject.gender=female", "low"),
                ("Patient?_has:Condition:subject:code:below=http://e.org/s|high", "p"),
            ],
        )
        .await;
        stored(&server, &[coded("fever", &json!({ "system": S, "code": "fever" }), "p")]).await;
        found(&server, &[("Condition?code:above=http://e.org/s|very-high", "high,fever")]).await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s9_what_cannot_be_looked_up_is_refused() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        signs(&server).await;
        let many: Vec<Value> = (0..20_001).map(|n| json!({ "code": n.to_string() })).collect();
        let large = json!({ "resourceType": "ValueSet", "id": "large", "url": "http://e.org/large", "status": "active",
            "compose": { "include": [{ "system": S, "concept": many }] } });
        stored(&server, &[large]).await;
        refused(
            &server,
            &[
                ("Condition?code:in=http://e.org/none", "terminology-unknown"),
                ("Condition?code:not-in=ValueSet/none", "terminology-unknown"),
                ("Condition?code:in=http://e.org/v|3", "terminology-unknown"),
                ("Condition?code:in=http://e.org/abroad", "terminology-unknown"),
                ("Condition?code:not-in=http://e.org/empty", "value-set-empty"),
                ("Condition?code:in=fever", "bad-value-set"),
                ("Condition?code:in=CodeSystem/s", "bad-value-set"),
                ("Condition?code:in=http://e.org/large", "too-costly"),
                // Its codes are bound to the set without their systems.
                ("Condition?code:in=http://hl7.org/fhir/ValueSet/administrative-gender", "terminology-unknown"),
                ("Condition?code:below=fever", "bad-token"),
                ("Condition?code:below=http://e.org/none|fever", "terminology-unknown"),
                ("Condition?code:below=http://e.org/s|none", "unknown-code"),
                ("Condition?code:above=http://e.org/part|x", "code-system-partial"),
                ("Condition?_id:in=http://e.org/v", "unknown-modifier"),
            ],
        )
        .await;
        // What is looked up must be allowed to be read.
        let token = server.token("narrow", "system/Condition.rs system/ValueSet.rs").await;
        let by = async |path: &str| {
            answered(server.client.get(format!("{}/fhir/{path}", server.url)).bearer_auth(&token)).await
        };
        by("Condition?code:in=ValueSet/v1").await.refused(403, "scope-missing");
        by("Condition?code:below=http://e.org/s|fever").await.refused(403, "scope-missing");
        // A condition may say it, a reference may not.
        let again = |condition: &str| {
            let body = coded("ignored", &json!({ "system": S, "code": "low" }), "p");
            server.with_body(Method::POST, "Condition", &body).header("If-None-Exist", condition)
        };
        assert_eq!(answered(again("code:in=http://e.org/v")).await.status, 200);
        answered(again("code:in=http://e.org/none")).await.refused(400, "terminology-unknown");
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [{
            "resource": { "resourceType": "Condition", "subject": { "reference": "Patient?gender:in=ValueSet/v1" } },
            "request": { "method": "POST", "url": "Condition" } }] });
        server.post("", &bundle).await.refused(400, "not-supported");
        server.stop().await;
    })
    .await;
}
