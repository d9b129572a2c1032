//! Tokens of an identity provider, whose keys are published on loopback.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mjumbe::config::{Config, JwtIssuer};
use mjumbe::store::testing::each_store;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey;
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

const ISSUER: &str = "https://sso.example.org/realms/opensrp";
pub const SUBJECT: &str = "5f0c9e6c-6b1a-4a53-8a52-canarysubject";

/// A key pair of the provider.
pub enum Pair {
    Rsa { pair: Box<RsaKeyPair>, jwk: Value },
    P256 { pair: Box<EcdsaKeyPair>, jwk: Value },
    P384 { pair: Box<EcdsaKeyPair>, jwk: Value },
}

impl Pair {
    /// Made once for all tests: two large primes take their time.
    pub fn rsa() -> Self {
        static MADE: OnceLock<(Vec<u8>, Value)> = OnceLock::new();
        let (der, jwk) = MADE.get_or_init(|| {
            let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
            let encode = |number: &rsa::BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
            let jwk = json!({ "kty": "RSA", "kid": "rsa-1", "use": "sig", "alg": "RS256",
                "n": encode(private.n()), "e": encode(private.e()) });
            (private.to_pkcs8_der().unwrap().as_bytes().to_vec(), jwk)
        });
        Self::Rsa { pair: Box::new(RsaKeyPair::from_pkcs8(der).unwrap()), jwk: jwk.clone() }
    }

    pub fn p256(kid: &str) -> Self {
        let (pair, jwk) = curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", kid);
        Self::P256 { pair, jwk }
    }

    fn p384(kid: &str) -> Self {
        let (pair, jwk) = curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", kid);
        Self::P384 { pair, jwk }
    }

    pub fn jwk(&self) -> Value {
        match self {
            Self::Rsa { jwk, .. } | Self::P256 { jwk, .. } | Self::P384 { jwk, .. } => jwk.clone(),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256 { .. } => "ES256",
            Self::P384 { .. } => "ES384",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa { pair, .. } => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Self::P256 { pair, .. } | Self::P384 { pair, .. } => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
        }
    }

    pub fn token(&self, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm(), "typ": "JWT", "kid": self.jwk()["kid"] });
        let signed = format!("{}.{}", part(&header), part(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())))
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn curve(
    algorithm: &'static signature::EcdsaSigningAlgorithm,
    name: &str,
    kid: &str,
) -> (Box<EcdsaKeyPair>, Value) {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
    let jwk = json!({ "kty": "EC", "crv": name, "kid": kid,
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
    (Box::new(pair), jwk)
}

/// The provider's published keys.
#[derive(Clone, Default)]
pub struct Provider(Arc<Published>);

#[derive(Default)]
struct Published {
    keys: Mutex<Vec<Value>>,
    asked: AtomicU32,
}

impl Provider {
    /// Publishes keys on loopback and gives their address.
    pub async fn start(&self) -> String {
        let router = axum::Router::new().route("/certs", axum::routing::get(certs)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let service = hyper_util::service::TowerToHyperService::new(router);
            while let Ok((stream, _)) = listener.accept().await {
                let io = hyper_util::rt::TokioIo::new(stream);
                let service = service.clone();
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                });
            }
        });
        format!("http://{address}/certs")
    }

    /// None: it is down.
    pub fn publish(&self, pairs: &[&Pair]) {
        *self.0.keys.lock().unwrap() = pairs.iter().map(|pair| pair.jwk()).collect();
    }

    fn asked(&self) -> u32 {
        self.0.asked.load(Ordering::SeqCst)
    }
}

async fn certs(State(provider): State<Provider>) -> axum::response::Response {
    provider.0.asked.fetch_add(1, Ordering::SeqCst);
    match provider.0.keys.lock().unwrap().clone() {
        keys if keys.is_empty() => StatusCode::BAD_GATEWAY.into_response(),
        keys => ([("cache-control", "max-age=3600")], json!({ "keys": keys }).to_string()).into_response(),
    }
}

fn issuer(jwks_url: String) -> JwtIssuer {
    JwtIssuer {
        issuer: ISSUER.to_owned(),
        audience: vec!["mjumbe".to_owned()],
        jwks_url,
        tenant: None,
        profiles: [("cht-mediator".to_owned(), "cht".to_owned())].into(),
        leeway_s: Some(5),
        keys_pause_s: Some(1),
        keys_stale_s: None,
        ca_file: None,
        proxy: None,
        dangerous_accept_http: false,
    }
}

pub fn claims() -> Value {
    let now = jiff::Timestamp::now().as_second();
    json!({
        "iss": ISSUER, "aud": ["account", "mjumbe"], "sub": SUBJECT, "typ": "Bearer", "azp": "fhir-core-client",
        "iat": now, "exp": now + 300, "preferred_username": "canary-user", "name": "Canaryname Okello",
        "realm_access": { "roles": ["GET_PATIENT", "PUT_PATIENT", "MANAGE_TASK", "offline_access"] },
        "scope": "openid profile system/Observation.cr",
    })
}

async fn serve(store: mjumbe::store::Store, provider: &Provider) -> TestServer {
    let mut config = Config::default();
    config.auth.jwt.insert("keycloak".to_owned(), issuer(provider.start().await));
    config.tenant.insert("other".to_owned(), mjumbe::config::Tenant::default());
    TestServer::start_with(store, config).await
}

async fn ask(server: &TestServer, path: &str, token: &str) -> Answered {
    answered(server.client.get(format!("{}{path}", server.url)).bearer_auth(token)).await
}

#[tokio::test]
async fn a_token_of_each_algorithm_opens_what_its_roles_say() {
    each_store(|store| async move {
        let provider = Provider::default();
        let pairs = [Pair::rsa(), Pair::p256("ec-1"), Pair::p384("ec-2")];
        provider.publish(&pairs.iter().collect::<Vec<_>>());
        let server = serve(store, &provider).await;
        for pair in &pairs {
            let token = pair.token(&claims());
            assert_eq!(ask(&server, "/fhir/Patient", &token).await.status, 200, "{}", pair.algorithm());
        }
        assert_eq!(provider.asked(), 1, "the keys are fetched once");
        let token = pairs[0].token(&claims());
        let patient = json!({ "resourceType": "Patient", "id": "p1" });
        let put = server.client.put(format!("{}/fhir/Patient/p1", server.url)).bearer_auth(&token);
        assert_eq!(
            answered(put.header("content-type", "application/fhir+json").body(patient.to_string()))
                .await
                .status,
            201
        );
        ask(&server, "/fhir/Encounter", &token).await.refused(403, "scope-missing");
        ask(&server, "/fhir/Observation", &token).await.refused(403, "scope-missing");
        assert_eq!(ask(&server, "/fhir/Task", &token).await.status, 200);
        let delete = server.client.delete(format!("{}/fhir/Patient/p1", server.url)).bearer_auth(&token);
        answered(delete).await.refused(403, "scope-missing");
        // Who wrote it is the provider's id of the person, not a name.
        let stored = server.store.read("default", "Patient", "p1").await.unwrap().unwrap();
        assert_eq!(stored.origin.text(), format!("client:keycloak/{SUBJECT}"));
        // Mjumbe's own tokens still open.
        assert_eq!(server.get("Patient/p1").await.status, 200);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_not_told() {
    each_store(|store| async move {
        let provider = Provider::default();
        let (pair, stranger) = (Pair::rsa(), Pair::p256("rsa-1"));
        provider.publish(&[&pair]);
        let server = serve(store, &provider).await;
        let changed = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            pair.token(&claims)
        };
        let now = jiff::Timestamp::now().as_second();
        let good = pair.token(&claims());
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let mut promoted = claims();
        promoted["realm_access"]["roles"] = json!(["MANAGE_PATIENT"]);
        let unsigned = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims()));
        // The public key as the secret of a symmetric signature.
        let symmetric = {
            let header = part(&json!({ "alg": "HS256", "kid": "rsa-1" }));
            let signed = format!("{header}.{}", part(&claims()));
            let key =
                ring::hmac::Key::new(ring::hmac::HMAC_SHA256, pair.jwk()["n"].as_str().unwrap().as_bytes());
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes())))
        };
        let wrong = [
            changed("aud", json!("account")),
            changed("iss", json!("https://sso.example.org/realms/other")),
            changed("typ", json!("ID")),
            changed("nbf", json!(now + 600)),
            changed("exp", Value::Null),
            stranger.token(&claims()),
            format!("{}.{}.{signature}", signed.split('.').next().unwrap(), part(&promoted)),
            format!("{signed}.AAAA"),
            unsigned,
            symmetric,
        ];
        for (index, token) in wrong.iter().enumerate() {
            let answer = ask(&server, "/fhir/Patient", token).await;
            answer.refused(401, "login-required");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"mjumbe\"", "{index}");
        }
        // Only what was right once is told to be over, so that a client asks for another.
        let expired = ask(&server, "/fhir/Patient", &changed("exp", json!(now - 6))).await;
        expired.refused(401, "token-expired");
        assert!(expired.header("www-authenticate").contains("error=\"invalid_token\""));
        assert_eq!(
            ask(&server, "/fhir/Patient", &changed("exp", json!(now - 2))).await.status,
            200,
            "leeway"
        );
        // Another tenant does not know this provider.
        ask(&server, "/tenants/other/fhir/Patient", &good).await.refused(401, "login-required");
        let basic = server.client.get(format!("{}/fhir/Patient", server.url)).basic_auth("x", Some(&good));
        answered(basic).await.refused(401, "login-required");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn keys_rotate_and_known_ones_outlive_their_provider() {
    each_store(|store| async move {
        let provider = Provider::default();
        let (old, new) = (Pair::p256("old"), Pair::p256("new"));
        let server = serve(store, &provider).await;
        // Nothing is known yet and the provider is down: the client is not told to log out.
        let down = ask(&server, "/fhir/Patient", &old.token(&claims())).await;
        down.refused(503, "keys-unavailable");
        assert!(!down.header("retry-after").is_empty());
        provider.publish(&[&old]);
        ask(&server, "/fhir/Patient", &old.token(&claims())).await.refused(503, "keys-unavailable");
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        assert_eq!(ask(&server, "/fhir/Patient", &old.token(&claims())).await.status, 200);
        // A key that is not known is asked for, but not more often than the pause allows.
        provider.publish(&[&old, &new]);
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let before = provider.asked();
        assert_eq!(ask(&server, "/fhir/Patient", &new.token(&claims())).await.status, 200);
        for kid in ["a", "b", "c", "d"] {
            let unknown = Pair::p256(kid).token(&claims());
            ask(&server, "/fhir/Patient", &unknown).await.refused(401, "login-required");
        }
        assert!(provider.asked() - before <= 2, "{} requests", provider.asked() - before);
        // Down again: what is known goes on, and what is not stays unknown.
        provider.publish(&[]);
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        ask(&server, "/fhir/Patient", &Pair::p256("e").token(&claims())).await.refused(401, "login-required");
        assert_eq!(ask(&server, "/fhir/Patient", &old.token(&claims())).await.status, 200);
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_client_id_says_the_profile() {
    each_store(|store| async move {
        let provider = Provider::default();
        let pair = Pair::p256("ec");
        provider.publish(&[&pair]);
        let server = serve(store, &provider).await;
        let encounter = json!({ "resourceType": "Encounter", "status": "finished", "class": "outpatient" });
        for (client, status) in [("cht-mediator", 201), ("fhir-core-client", 400)] {
            let mut claims = claims();
            claims["azp"] = client.into();
            claims["scope"] = "system/Encounter.c".into();
            let post = server.client.post(format!("{}/fhir/Encounter", server.url));
            let post = post.bearer_auth(pair.token(&claims)).header("content-type", "application/json");
            assert_eq!(answered(post.body(encounter.to_string())).await.status, status, "{client}");
        }
        server.stop().await;
    })
    .await;
}
