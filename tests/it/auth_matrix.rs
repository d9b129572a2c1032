//! Who may do what: every route without a token, with wrong ones, and with scopes that are too narrow.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mjumbe::config::Config;
use mjumbe::store::testing::each_store;
use reqwest::Method;
use serde_json::json;

use crate::server::{TestServer, answered};

const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Every route, whatever the method: only these three answer a stranger.
const PUBLIC: [&str; 3] = ["/health", "/ready", "/fhir/metadata"];

const ROUTES: [&str; 19] = [
    "/health",
    "/ready",
    "/metrics",
    "/rapidpro/country/webhook",
    "/fhir",
    "/fhir/",
    "/fhir/metadata",
    "/fhir/Patient",
    "/fhir/Patient/",
    "/fhir/Patient/_search",
    "/fhir/Patient/1",
    "/fhir/Patient/1/_history",
    "/fhir/Patient/1/_history/1",
    "/fhir/Patient/$validate",
    "/fhir/Foo",
    "/tenants/other/fhir/Patient",
    "/tenants/default/fhir",
    "/emNutt/fhir/Patient",
    "/emNutt/getConfig",
];

#[tokio::test]
async fn no_route_is_without_a_policy() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let wrong = [
            String::new(),
            "Bearer ".to_owned(),
            "Bearer mjumbe_wrong".to_owned(),
            format!("Digest {}", server.token),
            format!("Basic {}", STANDARD.encode(format!("someone:{}", server.token))),
            format!("Basic {}", STANDARD.encode("test:wrong")),
        ];
        for path in ROUTES {
            for method in METHODS {
                for header in &wrong {
                    let request = server.client.request(method.clone(), format!("{}{path}", server.url));
                    let answer = answered(request.header("authorization", header).body("{}")).await;
                    let public = PUBLIC.contains(&path) && (method == Method::GET || method == Method::HEAD);
                    let closed = matches!(answer.status.as_u16(), 401 | 405);
                    assert_eq!(public, !closed, "{method} {path} {header}: {}", answer.status);
                    if answer.status == 401 {
                        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
                    }
                }
            }
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn bearer_and_basic_open_and_revoking_closes() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let token = server.token("chw-app", "system/*.rs").await;
        let url = format!("{}/fhir/Patient", server.url);
        let bearer = || answered(server.client.get(&url).bearer_auth(&token));
        assert_eq!(bearer().await.status, 200);
        assert_eq!(answered(server.client.get(&url).basic_auth("chw-app", Some(&token))).await.status, 200);
        assert_eq!(
            answered(server.client.get(format!("{}/metrics", server.url)).bearer_auth(&token)).await.status,
            200
        );
        assert!(server.store.revoke_token("default", "chw-app").await.unwrap());
        bearer().await.refused(401, "login-required");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn scopes_hold_for_every_interaction() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        server.put("Patient/1", &json!({ "resourceType": "Patient", "id": "1" })).await;
        let body = json!({ "resourceType": "Patient", "id": "1" }).to_string();
        let interactions = [
            ('c', Method::POST, "Patient"),
            ('r', Method::GET, "Patient/1"),
            ('r', Method::GET, "Patient/1/_history"),
            ('r', Method::GET, "Patient/1/_history/1"),
            ('u', Method::PUT, "Patient/1"),
            ('s', Method::GET, "Patient"),
            ('s', Method::GET, "Patient/_search"),
            ('d', Method::DELETE, "Patient/2"),
        ];
        for letter in ['c', 'r', 'u', 'd', 's'] {
            for kind in ["Patient", "Observation", "*"] {
                let token =
                    server.token(&format!("{letter}-{kind}"), &format!("system/{kind}.{letter}")).await;
                for (needed, method, path) in &interactions {
                    let url = format!("{}/fhir/{path}", server.url);
                    let request = server.client.request(method.clone(), url).bearer_auth(&token);
                    let request = request.header("content-type", "application/fhir+json");
                    let answer = answered(request.body(body.clone())).await;
                    let may = *needed == letter && kind != "Observation";
                    assert_eq!(
                        may,
                        answer.status != 403,
                        "{kind}.{letter} {method} {path}: {}",
                        answer.status
                    );
                }
            }
        }
        server.stop().await;
    })
    .await;
}

/// A condition is a search: whoever may not search must not learn by it what there is.
#[tokio::test]
async fn conditions_need_the_right_to_search() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let token = server.token("blind", "system/Patient.cud").await;
        let url = format!("{}/fhir/Patient", server.url);
        let body = json!({ "resourceType": "Patient" }).to_string();
        let create = server.client.post(&url).header("if-none-exist", "gender=male");
        let update = server.client.put(format!("{url}?gender=male"));
        let delete = server.client.delete(format!("{url}?gender=male"));
        for request in [create, update, delete] {
            let request = request.bearer_auth(&token).header("content-type", "application/fhir+json");
            answered(request.body(body.clone())).await.refused(403, "scope-missing");
        }
        server.stop().await;
    })
    .await;
}

/// Two countries on one server: neither's token, ids, versions nor page tokens reach the other.
#[tokio::test]
async fn tenants_do_not_see_each_other() {
    each_store(|store| async move {
        let mut config = Config::default();
        config.tenant.insert("other".to_owned(), mjumbe::config::Tenant::default());
        let server = TestServer::start_with(store, config).await;
        let scopes = mjumbe::auth::scope::Scopes::everything();
        let other = mjumbe::auth::token::create(&server.store, "other", "test", &scopes).await.unwrap();
        let own = format!("{}/fhir", server.url);
        let others = format!("{}/tenants/other/fhir", server.url);
        for id in ["1", "2", "3"] {
            server.put(&format!("Patient/{id}"), &json!({ "resourceType": "Patient", "id": id })).await;
        }
        let ask = |url: String, token: &str| answered(server.client.get(url).bearer_auth(token));
        for (base, token) in [(&own, &other), (&others, &server.token)] {
            for path in ["Patient", "Patient/1", "Patient/1/_history", "Patient/1/_history/1"] {
                ask(format!("{base}/{path}"), token).await.refused(401, "login-required");
            }
        }
        let nothing = ask(format!("{others}/Patient?_total=accurate"), &other).await;
        assert_eq!((nothing.status.as_u16(), nothing.body["total"].as_u64()), (200, Some(0)));
        for path in ["Patient/1", "Patient/1/_history", "Patient/1/_history/1"] {
            ask(format!("{others}/{path}"), &other).await.refused(404, "not-found");
        }
        let next = ask(format!("{own}/Patient?_count=1"), &server.token).await.link("next").unwrap();
        ask(next.replace(&own, &others), &other).await.refused(410, "page-token");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_auth_everything_is_open_on_loopback() {
    each_store(|store| async move {
        let mut config = Config::default();
        config.server.dangerous_disable_auth = true;
        let server = TestServer::start_with(store, config).await;
        assert_eq!(answered(server.client.get(format!("{}/fhir/Patient", server.url))).await.status, 200);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_webhook_needs_its_own_secret_and_is_only_a_hint() {
    each_store(|store| async move {
        let secret = "a-secret-of-the-webhook";
        let toml = format!(
            "mappings = \"none\"\n[rapidpro.country]\nurl = \"http://127.0.0.1:9\"\ntoken = \"t\"\n\
             webhook_secret = \"{secret}\"\n[rapidpro.silent]\nurl = \"http://127.0.0.1:9\"\ntoken = \"t\"\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mjumbe.toml");
        std::fs::write(&file, toml).unwrap();
        let server = TestServer::start_with(store, mjumbe::config::load(Some(&file), []).unwrap()).await;
        let send = |workspace: &str, secret: &str, body: &'static str| {
            let url = format!("{}/rapidpro/{workspace}/webhook", server.url);
            answered(server.client.post(url).bearer_auth(secret).body(body))
        };
        let body = r#"{"contact": {"uuid": "1b671a64-40d5-491e-99b0-da01ff1f3341"}}"#;
        assert_eq!(send("country", secret, body).await.status, 202);
        send("country", "wrong", body).await.refused(401, "login-required");
        send("country", &server.token, body).await.refused(401, "login-required");
        send("silent", "", body).await.refused(401, "login-required");
        send("nowhere", secret, body).await.refused(401, "login-required");
        send("country", secret, "[]").await.refused(400, "webhook-not-json");
        send("country", secret, "{}").await.refused(400, "webhook-nameless");
        let keyed = |workspace: &str, query: &str| {
            let url = format!("{}/rapidpro/{workspace}/webhook?{query}", server.url);
            answered(server.client.post(url).body(body))
        };
        // A resthook sends no header of one's choice: the secret is in its address.
        assert_eq!(keyed("country", &format!("key={secret}")).await.status, 202);
        keyed("country", "key=wrong").await.refused(401, "login-required");
        keyed("country", "key=").await.refused(401, "login-required");
        keyed("country", &format!("key=wrong&key={secret}")).await.refused(401, "login-required");
        keyed("country", &format!("secret={secret}")).await.refused(401, "login-required");
        keyed("country", &format!("key={}", server.token)).await.refused(401, "login-required");
        keyed("silent", "key=").await.refused(401, "login-required");
        keyed("nowhere", &format!("key={secret}")).await.refused(401, "login-required");
        let metrics = server.client.get(format!("{}/metrics", server.url)).bearer_auth(&server.token);
        let metrics = metrics.send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("/webhook") && !metrics.contains(secret), "{metrics}");
        assert_eq!(server.get("QuestionnaireResponse").await.body["total"], 0, "nothing is believed");
        assert_eq!(answered(server.client.get(format!("{}/ready", server.url))).await.status, 200);
        server.stop().await;
    })
    .await;
}
