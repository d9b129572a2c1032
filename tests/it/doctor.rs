//! `mjumbe doctor` against the sandbox: what is well, and each thing that is not.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use mjumbe::sandbox::dhis2::{Dhis2, Options, Version};
use mjumbe::sandbox::faults::{Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::{self, RapidPro};
use serde_json::Value;

struct Bench {
    folder: tempfile::TempDir,
    rapidpro: RapidPro,
    dhis2: Dhis2,
    urls: [String; 2],
    _servers: [Server; 2],
}

impl Bench {
    async fn new() -> Self {
        let rapidpro = RapidPro::new(rapidpro::Options::default());
        let dhis2 = Dhis2::new(Options::new(Version::V2_40));
        let any = ([127, 0, 0, 1], 0).into();
        let one = Server::start(Arc::new(rapidpro.clone()), any).await.unwrap();
        let two = Server::start(Arc::new(dhis2.clone()), any).await.unwrap();
        let urls = [one.url(), two.url()];
        Self { folder: tempfile::tempdir().unwrap(), rapidpro, dhis2, urls, _servers: [one, two] }
    }

    /// Runs the doctor with these tokens.
    async fn examine(&self, rapidpro_token: &str, dhis2_token: &str) -> (i32, Vec<Value>) {
        let [rapidpro, dhis2] = &self.urls;
        let config = format!(
            "[tenant.default]\ntimezone = \"Africa/Kigali\"\n\
             [rapidpro.country]\nurl = \"{rapidpro}\"\ntoken = \"{rapidpro_token}\"\n\
             [dhis2.national]\nurl = \"{dhis2}\"\ntoken = \"{dhis2_token}\"\n"
        );
        std::fs::write(self.folder.path().join("mjumbe.toml"), config).unwrap();
        let output = doctor(self.folder.path().to_owned()).await;
        let text = String::from_utf8(output.stdout).unwrap();
        for secret in [rapidpro_token, dhis2_token] {
            assert!(!text.contains(secret), "a token is printed: {text}");
        }
        let found: Value = serde_json::from_str(&text).unwrap();
        (output.status.code().unwrap(), found.as_array().unwrap().clone())
    }

    async fn well(&self) -> (i32, Vec<Value>) {
        self.examine(self.rapidpro.token(), self.dhis2.token()).await
    }
}

async fn doctor(folder: std::path::PathBuf) -> Output {
    tokio::task::spawn_blocking(move || run(&folder, &["doctor", "--json"])).await.unwrap()
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mjumbe"));
    command.current_dir(folder).env_remove("MJUMBE_CONFIG").args(arguments).output().unwrap()
}

#[track_caller]
fn level<'a>(found: &'a [Value], about: &str, check: &str) -> &'a str {
    let of = |one: &&Value| one["about"] == about && one["check"] == check;
    found.iter().find(of).unwrap_or_else(|| panic!("no {about} {check}: {found:?}"))["level"]
        .as_str()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_well_is_said_to_be_well() {
    let bench = Bench::new().await;
    let (code, found) = bench.well().await;
    assert_eq!(code, 0, "{found:?}");
    for (about, check) in [
        ("store", "open"),
        ("store", "commit-rate"),
        ("rapidpro.country", "token"),
        ("rapidpro.country", "role"),
        ("rapidpro.country", "clock"),
        ("dhis2.national", "version"),
        ("dhis2.national", "account"),
        ("dhis2.national", "units"),
        ("dhis2.national", "clock"),
    ] {
        assert_eq!(level(&found, about, check), "ok", "{about} {check}");
    }
    // No mapping, no address: reports would still be polled.
    assert_eq!(level(&found, "mappings", "files"), "warning");
    assert_eq!(level(&found, "webhook", "public-url"), "warning");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_is_told_and_the_others_are_examined_all_the_same() {
    let bench = Bench::new().await;
    bench.rapidpro.add_token("0123456789012345678901234567890123456789", "Surveyor");
    let (code, found) = bench.examine("0123456789012345678901234567890123456789", bench.dhis2.token()).await;
    assert_eq!((code, level(&found, "rapidpro.country", "role")), (1, "failed"));

    let (code, found) = bench.examine("nobody-knows-this-token", "d2pat_nobody-knows-this").await;
    assert_eq!(code, 1);
    assert_eq!(level(&found, "rapidpro.country", "token"), "failed");
    assert_eq!(level(&found, "dhis2.national", "account"), "failed");
    assert_eq!(level(&found, "store", "open"), "ok");

    let down = Effect::Answer { status: 503, body: None, retry_after: None };
    let fault = bench.dhis2.fault(Fault::new(down));
    let (code, found) = bench.well().await;
    bench.dhis2.lift(fault);
    assert_eq!((code, level(&found, "dhis2.national", "account")), (1, "failed"));
    assert_eq!(level(&found, "rapidpro.country", "role"), "ok");
}

/// Every tenant's mappings, and every destination by its own name.
#[tokio::test(flavor = "multi_thread")]
async fn several_tenants_and_destinations_are_examined() {
    let bench = Bench::new().await;
    let [rapidpro, dhis2] = &bench.urls;
    let (token, pat) = (bench.rapidpro.token(), bench.dhis2.token());
    let config = format!(
        "[tenant.default]\ntimezone = \"Africa/Kigali\"\n[tenant.north]\ntimezone = \"Africa/Kigali\"\n\
         [rapidpro.country]\nurl = \"{rapidpro}\"\ntoken = \"{token}\"\n\
         [rapidpro.north]\nurl = \"{rapidpro}\"\ntoken = \"wrong\"\ntenant = \"north\"\n\
         [dhis2.national]\nurl = \"{dhis2}\"\ntoken = \"{pat}\"\n\
         [dhis2.north]\nurl = \"{dhis2}\"\nusername = \"mjumbe\"\npassword = \"wrong\"\ntenant = \"north\"\n\
         [http.alerts]\nurl = \"{dhis2}\"\n[fhir.registry]\nurl = \"http://127.0.0.1:9/fhir\"\n"
    );
    let folder = bench.folder.path();
    std::fs::create_dir_all(folder.join("mappings/north")).unwrap();
    std::fs::write(folder.join("mjumbe.toml"), config).unwrap();
    std::fs::write(folder.join("mappings/north/a.yaml"), "mapping: a\nform: {}\n").unwrap();
    let output = doctor(folder.to_owned()).await;
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = found.as_array().unwrap();
    assert_eq!(output.status.code(), Some(1));
    for (about, check, wanted) in [
        ("mappings", "mistakes", "failed"),
        ("rapidpro.country", "token", "ok"),
        ("rapidpro.north", "token", "failed"),
        ("dhis2.national", "account", "ok"),
        ("dhis2.north", "account", "failed"),
        ("http.alerts", "url", "ok"),
        ("fhir.registry", "url", "failed"),
    ] {
        assert_eq!(level(found, about, check), wanted, "{about} {check}");
    }
}

/// An implementer's most frequent state: the settings do not fit yet.
#[test]
fn settings_that_do_not_fit_are_findings_too() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mjumbe.toml"), "[dhis2.national]\nurl = \"https://example.org\"\n")
        .unwrap();
    let output = run(folder.path(), &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((found[0]["about"].as_str(), found[0]["level"].as_str()), (Some("config"), Some("failed")));
    assert!(found[0]["hint"].as_str().unwrap().contains("MJUMBE__DHIS2__NATIONAL__TOKEN"));
    let text = run(folder.path(), &["doctor"]);
    assert!(String::from_utf8(text.stdout).unwrap().starts_with("failed   config"));
}
