//! A gateway in front, which has asked who calls and passes no token on.

use mjumbe::config::{Config, Gateway};
use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::json;

use crate::server::{Answered, TestServer, answered};

fn config(address: &str) -> Config {
    let gateway = Gateway {
        addresses: vec![address.to_owned()],
        scopes: "system/Composition.cruds system/Patient.rs".to_owned(),
        profile: Some("opensrp".to_owned()),
        tenant: None,
    };
    let mut config = Config::default();
    config.tenant.insert("default".to_owned(), mjumbe::config::Tenant::default());
    config.tenant.insert("other".to_owned(), mjumbe::config::Tenant::default());
    config.auth.gateway.insert("opensrp".to_owned(), gateway);
    config
}

/// Without a token, or with what is given as `Authorization`.
async fn ask(server: &TestServer, method: Method, path: &str, authorization: Option<&str>) -> Answered {
    let section = json!([{ "focus": { "reference": "Binary/b" } }]);
    let body = json!({
        "resourceType": "Composition", "status": "final", "date": "2026-01-01", "title": "Configs",
        "type": { "text": "configuration" }, "author": [{ "reference": "Practitioner/p" }], "section": section,
    });
    let mut request = server.client.request(method, format!("{}{path}", server.url));
    request = request.header("content-type", "application/fhir+json").body(body.to_string());
    if let Some(text) = authorization {
        request = request.header("authorization", text);
    }
    answered(request).await
}

#[tokio::test]
async fn what_comes_from_a_gateways_address_needs_no_token() {
    each_store(|store| async move {
        let server = TestServer::start_with(store, config("127.0.0.0/8")).await;
        let path = "/fhir/Composition";
        // Its profile repairs what OpenSRP's configurations are like.
        assert_eq!(ask(&server, Method::POST, path, None).await.status, 201);
        assert_eq!(ask(&server, Method::POST, path, Some("")).await.status, 201);
        // No more than its scopes, and in its tenant only.
        ask(&server, Method::GET, "/fhir/Observation", None).await.refused(403, "scope-missing");
        assert_eq!(ask(&server, Method::GET, "/fhir/Patient", None).await.status, 200);
        assert_eq!(ask(&server, Method::GET, "/tenants/other/fhir/Patient", None).await.status, 401);
        // Who says who he is, is judged by that.
        assert_eq!(ask(&server, Method::GET, "/fhir/Patient", Some("Bearer wrong")).await.status, 401);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_address_that_a_client_writes_itself_is_not_believed() {
    each_store(|store| async move {
        let server = TestServer::start_with(store, config("10.1.1.1")).await;
        let request = server.client.get(format!("{}/fhir/Patient", server.url));
        let request = request.header("x-forwarded-for", "10.1.1.1").header("forwarded", "for=10.1.1.1");
        assert_eq!(answered(request).await.status, 401);
        server.stop().await;
    })
    .await;
}
