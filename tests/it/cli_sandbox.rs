//! `mjumbe sandbox` serves both simulated systems until it is ended.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A running sandbox; killed where a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mjumbe"));
    command.arg("sandbox").args(["--listen", "127.0.0.1:0"]).args(arguments);
    Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn the_sandbox_serves_both_systems_with_faults_and_ends_on_sigterm() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let faults = tempfile::NamedTempFile::new().unwrap();
    let planned = json!([{ "system": "dhis2", "path": "/api/me", "times": 1, "effect": "answer", "status": 503 },
        { "system": "rapidpro", "path": "/api/v2/workspace.json", "times": 1, "effect": "drop-before" }]);
    std::fs::write(faults.path(), planned.to_string()).unwrap();
    let file = faults.path().display().to_string();
    let mut sandbox = start(&["--json", "--dhis2", "2.40", "--faults", &file]);
    let mut line = String::new();
    BufReader::new(sandbox.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let (rapidpro, dhis2) = (&told["rapidpro"], &told["dhis2"]);
    assert_eq!(dhis2["version"], "2.40.12");

    let client = reqwest::Client::new();
    let workspace = || {
        let request = client.get(format!("{}/api/v2/workspace.json", text(&rapidpro["url"])));
        request.header("Authorization", format!("Token {}", text(&rapidpro["token"]))).send()
    };
    assert!(workspace().await.is_err());
    assert_eq!(workspace().await.unwrap().status(), 200);
    let flows = client.get(format!("{}/api/v2/flows.json", text(&rapidpro["url"])));
    let flows = flows.header("Authorization", format!("Token {}", text(&rapidpro["token"]))).send();
    let flows: Value = flows.await.unwrap().json().await.unwrap();
    assert_eq!(flows["results"].as_array().unwrap().len(), 4);
    let me = || {
        let request = client.get(format!("{}/api/me", text(&dhis2["url"])));
        request.header("Authorization", format!("ApiToken {}", text(&dhis2["token"]))).send()
    };
    assert_eq!(me().await.unwrap().status(), 503);
    assert_eq!(me().await.unwrap().status(), 200);

    let id = sandbox.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(sandbox.0.wait().unwrap().code(), Some(0));
}

#[test]
fn what_it_prints_can_be_pasted_and_a_wrong_file_is_explained() {
    let mut sandbox = start(&[]);
    let mut printed = BufReader::new(sandbox.0.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("Ctrl-C") {
        assert_ne!(printed.read_line(&mut text).unwrap(), 0, "{text}");
    }
    assert!(text.contains("[rapidpro.sandbox]") && text.contains("_sandbox/faults"), "{text}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"[{"system": "dhis2", "effect": "explode"}]"#).unwrap();
    let mut wrong = start(&["--faults", &file.path().display().to_string()]);
    assert_eq!(wrong.0.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    wrong.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("explode") && said.contains("hint:"), "{said}");
}
