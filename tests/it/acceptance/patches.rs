//! Rows P: patches. <https://hl7.org/fhir/R4/http.html#patch>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mjumbe::store::testing::each_store;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::server::{TestServer, answered};

const JSON_PATCH: &str = "application/json-patch+json";
const XML_PATCH: &str = "application/xml-patch+xml";

fn patch(server: &TestServer, path: &str, operations: &Value) -> RequestBuilder {
    let request = server.request(Method::PATCH, path).header("content-type", JSON_PATCH);
    request.body(operations.to_string())
}

fn xml_patch(server: &TestServer, path: &str, operations: &str) -> RequestBuilder {
    let request = server.request(Method::PATCH, path).header("content-type", XML_PATCH);
    request.body(format!("<diff xmlns=\"http://hl7.org/fhir\">{operations}</diff>"))
}

async fn store_patient(server: &TestServer) {
    let body = json!({
        "resourceType": "Patient", "id": "1", "active": true,
        "identifier": [{ "system": "urn:card", "value": "7" }], "name": [{ "family": "Uwase" }]
    });
    assert_eq!(server.put("Patient/1", &body).await.status, 201);
}

#[tokio::test]
async fn p1_a_json_patch_makes_the_next_version() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let operations = json!([
            { "op": "test", "path": "/active", "value": true },
            { "op": "replace", "path": "/name/0/family", "value": "Mukamana" },
            { "op": "add", "path": "/birthDate", "value": "2021-03-04" }
        ]);
        let done = answered(patch(&server, "Patient/1", &operations)).await;
        assert_eq!((done.status.as_u16(), done.header("etag")), (200, "W/\"2\""), "{}", done.body);
        assert_eq!(done.header("location"), format!("{}/fhir/Patient/1/_history/2", server.url));
        assert_eq!(done.body["name"][0]["family"], "Mukamana");
        let read = server.get("Patient/1").await;
        assert_eq!(read.body, done.body);
        assert_eq!(
            server.get("Patient?family=mukamana&birthdate=2021").await.body["total"],
            1,
            "it is indexed"
        );
        assert_eq!(server.get("Patient?family=uwase").await.body["total"], 0);

        let minimal = patch(&server, "Patient/1", &json!([{ "op": "remove", "path": "/birthDate" }]));
        let minimal = answered(minimal.header("prefer", "return=minimal")).await;
        assert_eq!(
            (minimal.status.as_u16(), minimal.header("etag"), &minimal.body),
            (200, "W/\"3\"", &Value::Null)
        );
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p1_a_json_patch_that_does_not_fit_changes_nothing() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let refused = async |operations: Value, status: u16, code: &str| {
            answered(patch(&server, "Patient/1", &operations)).await.refused(status, code);
        };
        let first = json!({ "op": "remove", "path": "/active" });
        refused(
            json!([first, { "op": "test", "path": "/name/0/family", "value": "X" }]),
            422,
            "patch-test-failed",
        )
        .await;
        refused(json!([first, { "op": "remove", "path": "/name/3" }]), 422, "patch-path").await;
        refused(json!([first, { "op": "add", "path": "/birthDate", "value": "soon" }]), 422, "bad-value")
            .await;
        refused(json!([first, { "op": "jump", "path": "/name/3" }]), 400, "patch-malformed").await;
        refused(json!({ "op": "remove" }), 400, "patch-malformed").await;
        let broken = server.request(Method::PATCH, "Patient/1").header("content-type", JSON_PATCH).body("[{");
        answered(broken).await.refused(400, "not-json");
        answered(patch(&server, "Patient/absent", &json!([first]))).await.refused(404, "not-found");
        server.delete("Patient/1").await;
        answered(patch(&server, "Patient/1", &json!([first]))).await.refused(410, "deleted");
        let history = server.get("Patient/1/_history").await;
        assert_eq!(history.body["total"], 2, "none of them made a version");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p1_other_patch_formats_are_415_with_those_that_are_read() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        for media in ["application/merge-patch+json", "text/plain"] {
            let request =
                server.request(Method::PATCH, "Patient/1").header("content-type", media).body("<diff/>");
            let answer = answered(request).await;
            answer.refused(415, "unsupported-media-type");
            for read in [JSON_PATCH, XML_PATCH] {
                assert!(answer.header("accept-patch").contains(read), "{:?}", answer.headers);
            }
        }
        let statement = server.get("metadata").await;
        for read in [JSON_PATCH, XML_PATCH] {
            assert!(statement.body["patchFormat"].as_array().unwrap().contains(&json!(read)));
        }
        server.stop().await;
    })
    .await;
}

/// Fifty clients add to one list at once.
#[tokio::test]
async fn p1_no_concurrent_patch_is_lost() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let add = |n: u32| {
            let name = json!({ "family": format!("N{n}") });
            answered(patch(&server, "Patient/1", &json!([{ "op": "add", "path": "/name/-", "value": name }])))
        };
        let answers = futures::future::join_all((0..50).map(add)).await;
        for answer in &answers {
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        let read = server.get("Patient/1").await;
        assert_eq!(read.header("etag"), "W/\"51\"");
        let names = read.body["name"].as_array().unwrap();
        for n in 0..50 {
            let family = format!("N{n}");
            assert_eq!(names.iter().filter(|name| name["family"] == *family).count(), 1, "{family}");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p1_a_patch_shows_no_more_than_the_token_may_read() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let with = |token: String| {
            let request = server.client.patch(format!("{}/fhir/Patient/1", server.url)).bearer_auth(token);
            let request = request.header("content-type", JSON_PATCH);
            answered(
                request.body(json!([{ "op": "replace", "path": "/active", "value": false }]).to_string()),
            )
        };
        let blind = with(server.token("blind", "system/Patient.u").await).await;
        assert_eq!((blind.status.as_u16(), blind.body), (200, Value::Null));
        with(server.token("reader", "system/Patient.rs").await).await.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p2_an_xml_patch_makes_the_next_version() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let operations = "<replace sel=\"Patient/name[family/@value='Uwase']/family/@value\">Mukamana</replace>\
                          <add sel=\"Patient/identifier[1]\" pos=\"before\"><identifier><system value=\"urn:card\"/>\
                          <value value=\"6\"/></identifier></add>\
                          <add sel=\"/Patient\"><birthDate value=\"2021-03-04\"/></add><remove sel=\"Patient/active\"/>";
        let done = answered(xml_patch(&server, "Patient/1", operations)).await;
        assert_eq!((done.status.as_u16(), done.header("etag")), (200, "W/\"2\""), "{}", done.body);
        let read = server.get("Patient/1").await.body;
        assert_eq!(read, done.body);
        assert_eq!((&read["name"][0]["family"], &read["birthDate"]), (&json!("Mukamana"), &json!("2021-03-04")));
        assert_eq!((&read["identifier"][0]["value"], &read["identifier"][1]["value"]), (&json!("6"), &json!("7")));
        assert!(read.get("active").is_none());
        assert_eq!(server.get("Patient?family=mukamana&birthdate=2021").await.body["total"], 1, "it is indexed");

        let xml = xml_patch(&server, "Patient?identifier=urn:card|7", "<add sel='Patient'><active value='true'/></add>");
        let xml = answered(xml.header("accept", "application/fhir+xml").header("if-match", "W/\"2\"")).await;
        assert_eq!((xml.status.as_u16(), xml.header("etag")), (200, "W/\"3\""));
        assert!(xml.header("content-type").starts_with("application/fhir+xml"));
        let late = xml_patch(&server, "Patient/1", "<remove sel='Patient/active'/>").header("if-match", "W/\"2\"");
        answered(late).await.refused(412, "version-conflict");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p2_an_xml_patch_that_does_not_fit_changes_nothing() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        for (operations, status, code) in [
            ("<remove sel='Patient/active'/><remove sel='Patient/photo'/>", 422, "patch-path"),
            ("<remove sel='Patient/*'/>", 422, "patch-path"),
            ("<add sel='Patient'><birthDate value='soon'/></add>", 422, "bad-value"),
            ("<add sel='Patient'><colour value='red'/></add>", 422, "unknown-element"),
            ("<replace sel='Patient/id/@value'>2</replace>", 422, "patch-identity"),
            ("<add sel='Patient'><managingOrganization><reference value='Organization?name=x'/></managingOrganization></add>", 412, "no-match"),
            ("<jump sel='Patient'/>", 400, "patch-malformed"),
            ("<remove sel='//active'/>", 400, "patch-malformed"),
            ("<remove", 400, "not-xml"),
        ] {
            answered(xml_patch(&server, "Patient/1", operations)).await.refused(status, code);
        }
        let remove = "<remove sel='Patient/active'/>";
        answered(xml_patch(&server, "Patient/absent", remove)).await.refused(404, "not-found");
        answered(xml_patch(&server, "Patient/1", &remove.repeat(10_001))).await.refused(422, "patch-too-large");
        assert_eq!(server.get("Patient/1").await.header("etag"), "W/\"1\"");
        server.stop().await;
    })
    .await;
}

/// Clients add to one list at once, each in a format of its own.
#[tokio::test]
async fn p2_no_concurrent_patch_is_lost() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let add = |n: u32| {
            let json = json!([{ "op": "add", "path": "/name/-", "value": { "family": format!("N{n}") } }]);
            let xml =
                format!("<add sel='Patient/name[1]' pos='after'><name><family value='N{n}'/></name></add>");
            answered(match n % 2 {
                0 => patch(&server, "Patient/1", &json),
                _ => xml_patch(&server, "Patient/1", &xml),
            })
        };
        for answer in futures::future::join_all((0..30).map(add)).await {
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        let read = server.get("Patient/1").await;
        assert_eq!(read.header("etag"), "W/\"31\"");
        let names = read.body["name"].as_array().unwrap();
        for n in 0..30 {
            let family = format!("N{n}");
            assert_eq!(names.iter().filter(|name| name["family"] == *family).count(), 1, "{family}");
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p2_an_xml_patch_is_an_entry_too() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let entry = |operations: &str| {
            let diff = format!("<diff xmlns='http://hl7.org/fhir'>{operations}</diff>");
            json!({
                "resource": { "resourceType": "Binary", "contentType": XML_PATCH, "data": STANDARD.encode(diff) },
                "request": { "method": "PATCH", "url": "Patient/1", "ifMatch": "W/\"1\"" }
            })
        };
        let send = async |entries: Value| {
            server.post("", &json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })).await
        };
        send(json!([entry("<remove sel='Patient/photo'/>")])).await.refused(422, "patch-path");
        send(json!([entry("<remove")])).await.refused(400, "not-xml");
        let done = send(json!([entry("<replace sel='Patient/active/@value'>false</replace>")])).await;
        assert_eq!(done.body["entry"][0]["response"]["etag"], "W/\"2\"", "{}", done.body);
        assert_eq!(server.get("Patient/1").await.body["active"], false);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p3_a_fhirpath_patch_makes_the_next_version() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let send = |operations: Value| {
            let body = json!({ "resourceType": "Parameters", "parameter": operations });
            answered(server.with_body(Method::PATCH, "Patient/1", &body))
        };
        let operation = |parts: Value| json!({ "name": "operation", "part": parts });
        let done = send(json!([
            operation(json!([
                { "name": "type", "valueCode": "add" }, { "name": "path", "valueString": "Patient" },
                { "name": "name", "valueString": "birthDate" }, { "name": "value", "valueDate": "2021-03-04" }
            ])),
            operation(json!([
                { "name": "type", "valueCode": "insert" }, { "name": "path", "valueString": "Patient.identifier" },
                { "name": "index", "valueInteger": 0 },
                { "name": "value", "valueIdentifier": { "system": "urn:card", "value": "6" } }
            ])),
            operation(json!([
                { "name": "type", "valueCode": "replace" },
                { "name": "path", "valueString": "Patient.name.where(family = 'Uwase').family" },
                { "name": "value", "valueString": "Mukamana" }
            ])),
            operation(json!([
                { "name": "type", "valueCode": "move" }, { "name": "path", "valueString": "Patient.identifier" },
                { "name": "source", "valueInteger": 0 }, { "name": "destination", "valueInteger": 1 }
            ])),
            operation(json!([{ "name": "type", "valueCode": "delete" }, { "name": "path", "valueString": "Patient.active" }]))
        ]))
        .await;
        assert_eq!((done.status.as_u16(), done.header("etag")), (200, "W/\"2\""), "{}", done.body);
        let read = server.get("Patient/1").await.body;
        assert_eq!((&read["birthDate"], &read["name"][0]["family"]), (&json!("2021-03-04"), &json!("Mukamana")));
        assert_eq!((&read["identifier"][0]["value"], &read["identifier"][1]["value"]), (&json!("7"), &json!("6")));
        assert!(read.get("active").is_none());

        let path = |path: &str| {
            send(json!([operation(json!([
                { "name": "type", "valueCode": "replace" }, { "name": "path", "valueString": path },
                { "name": "value", "valueString": "x" }
            ]))]))
        };
        let nothing = path("Patient.photo.title").await;
        nothing.refused(422, "patch-path");
        assert_eq!(nothing.body["issue"][0]["expression"][0], "Parameters.parameter[0]");
        path("Patient.identifier.value").await.refused(422, "patch-path");
        path("Patient.((").await.refused(400, "patch-path");
        path("Patient.id").await.refused(422, "patch-identity");
        assert_eq!(server.get("Patient/1").await.header("etag"), "W/\"2\"");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p4_a_patch_of_one_version() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let flip = |value: bool, tag: &str| {
            let operations = json!([{ "op": "replace", "path": "/active", "value": value }]);
            answered(patch(&server, "Patient/1", &operations).header("if-match", tag))
        };
        assert_eq!(flip(false, "W/\"1\"").await.header("etag"), "W/\"2\"");
        flip(true, "W/\"1\"").await.refused(412, "version-conflict");
        flip(true, "nonsense").await.refused(400, "bad-etag");
        assert_eq!(server.get("Patient/1").await.body["active"], false);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p5_a_patch_by_search_needs_exactly_one() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        let flip = |query: &str| {
            let operations = json!([{ "op": "replace", "path": "/active", "value": false }]);
            answered(patch(&server, &format!("Patient?{query}"), &operations))
        };
        let done = flip("identifier=urn:card|7").await;
        assert_eq!((done.status.as_u16(), done.body["active"].clone()), (200, json!(false)), "{}", done.body);
        flip("identifier=urn:card|8").await.refused(404, "no-match");
        server
            .post(
                "Patient",
                &json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:card", "value": "7" }] }),
            )
            .await;
        flip("identifier=urn:card|7").await.refused(412, "multiple-matches");
        flip("identifer=x").await.refused(400, "unknown-parameter");
        flip("").await.refused(400, "empty-condition");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn p6_a_patch_changes_neither_id_nor_type() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        store_patient(&server).await;
        for (path, value) in [("/id", "2"), ("/resourceType", "Person")] {
            let operations = json!([{ "op": "replace", "path": path, "value": value }]);
            answered(patch(&server, "Patient/1", &operations)).await.refused(422, "patch-identity");
        }
        let operations = json!([{ "op": "remove", "path": "/id" }]);
        answered(patch(&server, "Patient/1", &operations)).await.refused(422, "patch-identity");
        server.stop().await;
    })
    .await;
}
