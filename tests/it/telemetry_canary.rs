//! Nothing about people and no credential is in the logs, at TRACE.
//!
//! The program runs as its own process, so that every log line of every library is caught.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::auth_jwt::{Pair, Provider, SUBJECT, claims};

const NAME: &str = "Canaryname";
const PHONE: &str = "250788555123";
const ADDRESS: &str = "Canary-Lane-7";

/// `serve` as its own process, with its log in a file.
pub struct Program {
    child: Option<Child>,
    folder: tempfile::TempDir,
    pub url: String,
}

impl Program {
    fn command(folder: &std::path::Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mjumbe"));
        command.current_dir(folder).env("RUST_LOG", "trace").env("MJUMBE__LOG__LEVEL", "trace");
        command.env("MJUMBE_CONFIG", "mjumbe.toml");
        command
    }

    /// With the configuration that `config` writes for it.
    pub fn start_with(config: impl FnOnce(&Self) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut program = Self { child: None, folder, url: format!("http://127.0.0.1:{port}") };
        let folder = program.folder.path();
        std::fs::write(folder.join("mjumbe.toml"), config(&program)).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut command = Self::command(folder);
        command.arg("serve").env("MJUMBE__SERVER__LISTEN", format!("127.0.0.1:{port}"));
        program.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        program
    }

    /// Runs a command beside the server and gives its stdout.
    pub fn run(&self, arguments: &[&str]) -> String {
        let made = Self::command(self.folder.path()).args(arguments).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap()
    }

    pub async fn ready(&mut self, client: &reqwest::Client) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if client.get(format!("{}/ready", self.url)).send().await.is_ok_and(|it| it.status() == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not ready in time: {}", self.log());
    }

    pub fn log(&self) -> String {
        let mut text = String::new();
        std::fs::File::open(self.folder.path().join("log")).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub fn token(&self) -> String {
        self.run(&["token", "create", "canary"]).trim().to_owned()
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let child = self.child.as_mut().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not stop");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already ended where the test went well.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::test]
async fn no_canary_is_in_the_log_at_trace() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let (provider, pair) = (Provider::default(), Pair::p256("canary"));
    provider.publish(&[&pair]);
    let keys = provider.start().await;
    let mut program = Program::start_with(|_| {
        format!(
            "[log]\nformat = \"json\"\n[auth.jwt.sso]\nissuer = \"https://sso.example.org/realms/opensrp\"\n\
             audience = [\"mjumbe\"]\njwks_url = \"{keys}\"\n"
        )
    });
    program.ready(&client).await;
    let token = program.token();
    let fhir = format!("{}/fhir", program.url);
    let patient = json!({
        "resourceType": "Patient", "id": PHONE, "name": [{ "family": NAME }],
        "telecom": [{ "system": "phone", "value": format!("+{PHONE}") }], "address": [{ "line": [ADDRESS] }],
    });
    let send = async |request: reqwest::RequestBuilder, status: u16| {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{}", answer.url());
    };
    let json = |request: reqwest::RequestBuilder, body: String| {
        request.bearer_auth(&token).header("content-type", "application/fhir+json").body(body)
    };
    send(json(client.put(format!("{fhir}/Patient/{PHONE}")), patient.to_string()), 201).await;
    send(client.get(format!("{fhir}/Patient?family={NAME}&phone={PHONE}")).bearer_auth(&token), 200).await;
    send(client.get(format!("{fhir}/Patient/{PHONE}")).basic_auth("canary", Some(&token)), 200).await;
    let broken = format!("{{\"resourceType\":\"Patient\",\"{NAME}\":\"{PHONE}\"}}");
    send(json(client.post(format!("{fhir}/Patient")), broken), 400).await;
    send(json(client.post(format!("{fhir}/Patient")), format!("{{\"{NAME}")), 400).await;
    let wrong_id = patient.to_string().replace(PHONE, "x");
    send(json(client.put(format!("{fhir}/Patient/{PHONE}")), wrong_id), 400).await;
    let bundle = json!({
        "resourceType": "Bundle", "type": "transaction",
        "entry": [{ "resource": patient, "request": { "method": "PUT", "url": format!("Patient/{PHONE}"), "ifMatch": "W/\"9\"" } }],
    });
    send(json(client.post(&fhir), bundle.to_string()), 412).await;
    send(client.get(format!("{fhir}/Patient")).bearer_auth(format!("{token}wrong")), 401).await;
    send(
        client.get(format!("{fhir}/Patient?family={NAME}")).header("x-request-id", PHONE).bearer_auth(&token),
        200,
    )
    .await;
    let jwt = pair.token(&claims());
    send(client.get(format!("{fhir}/Patient")).bearer_auth(&jwt), 200).await;
    let mut over = claims();
    over["exp"] = 1.into();
    let over = pair.token(&over);
    send(client.get(format!("{fhir}/Patient")).bearer_auth(&over), 401).await;
    send(client.get(format!("{fhir}/Patient")).bearer_auth(&jwt[..jwt.len() - 9]), 401).await;
    assert_eq!(program.terminate(), Some(0));

    let log = program.log();
    assert!(log.lines().count() > 10, "there is nothing to search:\n{log}");
    let parts = [&jwt, &over].map(|token| token.split('.').skip(1).collect::<Vec<_>>()).concat();
    let canaries =
        [NAME, PHONE, ADDRESS, token.as_str(), &token[10..], "Bearer", "Basic", "canary-user", SUBJECT];
    for canary in canaries.into_iter().chain(parts) {
        if let Some(line) = log.lines().find(|line| line.contains(canary)) {
            panic!("`{canary}` is in the log: {line}");
        }
    }
    assert!(
        log.lines()
            .filter(|line| line.starts_with('{'))
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    );
}
