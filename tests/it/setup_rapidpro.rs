//! `mjumbe setup rapidpro` against the sandbox.

use std::process::{Command, Output};
use std::sync::Arc;

use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::definition::monthly_report;
use mjumbe::sandbox::rapidpro::{Options, RapidPro};
use serde_json::Value;

const SURVEYOR: &str = "0123456789012345678901234567890123456789";

struct Bench {
    folder: tempfile::TempDir,
    rapidpro: RapidPro,
    url: String,
    _server: Server,
}

impl Bench {
    async fn new(options: Options) -> Self {
        let rapidpro = RapidPro::new(options);
        rapidpro.add_flow(monthly_report(None));
        rapidpro.add_token(SURVEYOR, "Surveyor");
        let server = Server::start(Arc::new(rapidpro.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
        let url = server.url();
        Self { folder: tempfile::tempdir().unwrap(), rapidpro, url, _server: server }
    }

    async fn run(&self, token: &str, arguments: &[&str]) -> (i32, Value) {
        let mappings = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
        let config = format!(
            "mappings = {mappings:?}\n[rapidpro.country]\nurl = \"{}\"\ntoken = \"{token}\"\n\
             webhook_secret = \"a-secret-of-the-webhook\"\n\
             [dhis2.national]\nurl = \"http://127.0.0.1:9\"\ntoken = \"t\"\n",
            self.url
        );
        std::fs::write(self.folder.path().join("mjumbe.toml"), config).unwrap();
        let output = mjumbe(self.folder.path().to_owned(), arguments).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("a-secret-of-the-webhook"), "the secret is printed: {text}");
        let json = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), json)
    }
}

async fn mjumbe(folder: std::path::PathBuf, arguments: &[&str]) -> Output {
    let arguments: Vec<String> =
        ["setup", "rapidpro", "--json"].iter().chain(arguments).map(|it| (*it).to_owned()).collect();
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mjumbe"));
        command.current_dir(folder).env_remove("MJUMBE_CONFIG").args(arguments).output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[track_caller]
fn outcome<'a>(told: &'a Value, kind: &str, name: &str) -> &'a str {
    let steps = told["steps"].as_array().unwrap();
    let of = |step: &&Value| step["kind"] == kind && step["name"] == name;
    steps.iter().find(of).unwrap_or_else(|| panic!("no {kind} {name}: {told}"))["outcome"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_made_once() {
    let bench = Bench::new(Options { groups: vec!["patients".to_owned()], ..Options::default() }).await;
    let token = bench.rapidpro.token().to_owned();
    let (_, told) = bench.run(&token, &["--dry-run"]).await;
    assert_eq!(outcome(&told, "field", "dhis2_organisation_unit_id"), "missing");
    assert_eq!(outcome(&told, "group", "Patients"), "there", "RapidPro's groups have no case");
    assert_eq!(
        bench.rapidpro.state()["fields"].as_array().map_or(0, Vec::len),
        0,
        "a dry run made something"
    );

    let (_, told) = bench.run(&token, &[]).await;
    assert_eq!(outcome(&told, "field", "dhis2_organisation_unit_id"), "made");
    assert_eq!(outcome(&told, "group", "Health workers"), "made");
    assert_eq!(outcome(&told, "flow", "Monthly village report"), "there");
    assert!(told["webhook"]["url"].as_str().unwrap().ends_with("/rapidpro/country/webhook"));

    let (_, told) = bench.run(&token, &[]).await;
    let made = told["steps"].as_array().unwrap().iter().filter(|step| step["outcome"] == "made").count();
    assert_eq!(made, 0, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_is_told_and_the_rest_is_made() {
    let bench =
        Bench::new(Options { limit: 1, groups: vec!["Another".to_owned()], ..Options::default() }).await;
    let token = bench.rapidpro.token().to_owned();
    let (code, told) = bench.run(&token, &[]).await;
    assert_eq!((code, outcome(&told, "group", "Health workers")), (1, "failed"));
    assert!(told.to_string().contains("rapidpro-limit-reached"), "{told}");
    assert_eq!(outcome(&told, "field", "dhis2_organisation_unit_id"), "made");

    let bench = Bench::new(Options::default()).await;
    let (code, told) = bench.run(SURVEYOR, &[]).await;
    assert_eq!((code, outcome(&told, "group", "Health workers")), (1, "failed"));
    assert!(told.to_string().contains("rapidpro-role-forbids"), "{told}");
}
