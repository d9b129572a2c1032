//! The commands, run as a person runs them.

use std::path::Path;
use std::process::{Command, Output};

use mjumbe::store::Store;
use mjumbe::store::reads::{self, HeldRow};
use serde_json::{Value, json};

/// Runs `mjumbe` in a folder of its own, without the environment's settings.
pub fn mjumbe(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mjumbe"))
        .current_dir(folder)
        .env_remove("MJUMBE_CONFIG")
        .args(arguments)
        .output()
        .unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn shipped() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings").display().to_string()
}

#[test]
fn a_token_is_printed_alone_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let made = mjumbe(folder.path(), &["token", "create", "chw-app", "--scope", "system/Patient.rs"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let token = stdout(&made);
    assert_eq!(token.lines().count(), 1);
    assert!(token.starts_with("mjumbe_"));

    let list = mjumbe(folder.path(), &["token", "list"]);
    assert!(stdout(&list).contains("chw-app") && stdout(&list).contains("system/Patient.rs"));
    assert!(!stdout(&list).contains(token.trim()));
    let json: Value =
        serde_json::from_str(&stdout(&mjumbe(folder.path(), &["token", "list", "--json"]))).unwrap();
    assert_eq!(json[0]["name"], "chw-app");

    let again = mjumbe(folder.path(), &["token", "create", "chw-app"]);
    assert_eq!((code(&again), stdout(&again).as_str()), (1, ""));
    assert!(stderr(&again).contains("name-taken"));
    let bad = mjumbe(folder.path(), &["token", "create", "b", "--scope", "system/Pateint.rs"]);
    assert!(stderr(&bad).contains("hint:"), "{}", stderr(&bad));
    let typo = mjumbe(folder.path(), &["token", "revoke", "chw-ap"]);
    assert!(stderr(&typo).contains("did you mean `chw-app`"));
    assert_eq!(code(&mjumbe(folder.path(), &["token", "revoke", "chw-app"])), 0);
    assert!(!stdout(&mjumbe(folder.path(), &["token", "list"])).contains("chw-app"));
    let store = std::fs::read(folder.path().join("mjumbe.db")).unwrap();
    assert!(!store.windows(token.trim().len()).any(|bytes| bytes == token.trim().as_bytes()));
}

/// `mjumbe schema | head` ends quietly; a token that nobody could read is said to be lost.
#[test]
fn a_reader_that_has_gone_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let deaf = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_mjumbe"));
        command.current_dir(folder.path()).env_remove("MJUMBE_CONFIG").args(arguments).stdout(writer);
        command.output().unwrap()
    };
    let schema = deaf(&["schema"]);
    assert_eq!((code(&schema), stderr(&schema).as_str()), (0, ""));
    let token = deaf(&["token", "create", "lost"]);
    assert_eq!(code(&token), 1);
    assert!(stderr(&token).contains("mjumbe token revoke lost"), "{}", stderr(&token));
}

#[test]
fn exit_codes_tell_usage_from_configuration() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(code(&mjumbe(folder.path(), &["serv"])), 2);
    let typo = mjumbe(folder.path(), &["serv"]);
    assert!(stderr(&typo).contains("serve"), "{}", stderr(&typo));
    std::fs::write(folder.path().join("m.toml"), "[server]\nlisen = \"x\"\n").unwrap();
    let wrong = mjumbe(folder.path(), &["serve", "--config", "m.toml"]);
    assert_eq!((code(&wrong), stdout(&wrong).as_str()), (78, ""));
    assert!(stderr(&wrong).contains("server.lisen") && stderr(&wrong).contains("did you mean `listen`"));
    let absent = mjumbe(folder.path(), &["--config", "absent.toml", "token", "list"]);
    assert_eq!(code(&absent), 78);
}

#[test]
fn the_shipped_mappings_check_and_pass_their_tests() {
    let folder = tempfile::tempdir().unwrap();
    let checked = mjumbe(folder.path(), &["check", &shipped()]);
    assert_eq!(code(&checked), 0, "{}{}", stdout(&checked), stderr(&checked));
    std::fs::write(folder.path().join("m.toml"), CONFIG).unwrap();
    let tested = mjumbe(folder.path(), &["--config", "m.toml", "test", &shipped()]);
    assert_eq!(code(&tested), 0, "{}{}", stdout(&tested), stderr(&tested));
    assert!(stderr(&tested).contains(" passed, 0 failed"));
}

const CONFIG: &str = "[tenant.default]\ntimezone = \"Africa/Kigali\"\n\
    [rapidpro.country]\nurl = \"http://127.0.0.1:9\"\ntoken = \"t\"\ncountry = \"RW\"\n\
    [dhis2.national]\nurl = \"http://127.0.0.1:9\"\ntoken = \"t\"\n";

#[test]
fn check_tells_place_and_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    let text =
        "mapping: a\nfrom: { resource: Patient }\nto:\n  - rapidpro.contact:\n      nmae: $.resource.id\n";
    std::fs::write(folder.path().join("mappings/a.yaml"), text).unwrap();
    let checked = mjumbe(folder.path(), &["check"]);
    assert_eq!(code(&checked), 1);
    let told = stdout(&checked);
    assert!(told.contains("mappings/a.yaml:5:7") && told.contains("did you mean `name`"), "{told}");
    let json: Value = serde_json::from_str(&stdout(&mjumbe(folder.path(), &["check", "--json"]))).unwrap();
    assert_eq!((json[0]["line"].as_i64(), json[0]["code"].as_str()), (Some(5), Some("unknown-key")));
    std::fs::remove_file(folder.path().join("mappings/a.yaml")).unwrap();
    assert_eq!(code(&mjumbe(folder.path(), &["check"])), 1, "no mapping at all is a mistake");
}

#[test]
fn run_and_explain_show_what_would_be_sent() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m.toml"), CONFIG).unwrap();
    let practitioner = json!({
        "resourceType": "Practitioner", "id": "p1", "active": true, "name": [{ "text": "Grace Uwase" }],
        "telecom": [{ "system": "phone", "value": "0788123456" }],
    });
    std::fs::write(folder.path().join("p.json"), practitioner.to_string()).unwrap();
    let mapping = format!("{}/practitioner-contact.yaml", shipped());
    let run =
        mjumbe(folder.path(), &["--config", "m.toml", "run", "p.json", "--mapping", &mapping, "--json"]);
    assert_eq!(code(&run), 0, "{}", stderr(&run));
    let json: Value = serde_json::from_str(&stdout(&run)).unwrap();
    assert_eq!(json["outputs"][0]["target"], "rapidpro.contact");
    assert_eq!(json["outputs"][0]["destination"], "country");
    assert!(json["outputs"][0]["body"].to_string().contains("tel:+250788123456"), "{json}");
    assert!(json["issues"].is_array() && json["read"].is_array());
    assert!(!folder.path().join("mjumbe.db").exists(), "a dry run makes no store");

    let explain = mjumbe(folder.path(), &["--config", "m.toml", "explain", "p.json", "--mapping", &mapping]);
    assert_eq!(code(&explain), 0, "{}", stderr(&explain));
    assert!(stdout(&explain).contains("practitioner-contact.yaml:"), "{}", stdout(&explain));
    let narrow = ["--config", "m.toml", "explain", "p.json", "--mapping", &mapping, "--value", "urns"];
    let narrow = stdout(&mjumbe(folder.path(), &narrow));
    assert!(narrow.len() < stdout(&explain).len() && narrow.contains("+250788123456"), "{narrow}");

    let typo = mjumbe(folder.path(), &["run", "p.json", "--mapping", "practitioner-contct"]);
    assert_eq!(code(&typo), 1);
    assert!(stderr(&typo).contains("unknown-mapping"));
}

/// A Patient's contact without `destination`: it is the tenant's only workspace.
const MAPPING: &str = "mapping: people\nfrom: { resource: Patient }\nto:\n  \
    - rapidpro.contact:\n      urns: $.resource.telecom[*].value\n      name: { pseudonym: $.resource.id }\n";

#[test]
fn a_tenants_files_are_held_against_its_own_destinations() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "{CONFIG}[tenant.north]\ntimezone = \"UTC\"\n[rapidpro.north]\nurl = \"http://127.0.0.1:9\"\n\
         token = \"t\"\ntenant = \"north\"\ncountry = \"UG\"\n"
    );
    std::fs::write(folder.path().join("m.toml"), config).unwrap();
    std::fs::create_dir_all(folder.path().join("mappings/north")).unwrap();
    std::fs::write(folder.path().join("mappings/people.yaml"), MAPPING).unwrap();
    std::fs::write(folder.path().join("mappings/north/northerners.yaml"), MAPPING).unwrap();
    let patient = json!({ "resourceType": "Patient", "id": "p1", "telecom": [{ "system": "phone", "value": "0772123456" }] });
    std::fs::write(folder.path().join("p.json"), patient.to_string()).unwrap();
    let call = |arguments: &[&str]| mjumbe(folder.path(), &[&["--config", "m.toml"], arguments].concat());
    for (tenant, number) in [("default", "+250772123456"), ("north", "+256772123456")] {
        let checked = call(&["check", "--tenant", tenant]);
        assert_eq!(code(&checked), 0, "{tenant}: {}", stdout(&checked));
        let run = call(&["run", "p.json", "--mapping", "people", "--tenant", tenant, "--json"]);
        let json: Value = serde_json::from_str(&stdout(&run)).unwrap();
        let destination = if tenant == "default" { "country" } else { tenant };
        assert_eq!(json["outputs"][0]["destination"], destination, "{json}");
        assert!(json["outputs"][0]["body"].to_string().contains(number), "{json}");
        assert!(json["outputs"][0]["body"]["name"].is_string(), "there is a key for pseudonyms: {json}");
    }
    let unknown = call(&["check", "--tenant", "nrth"]);
    assert!(code(&unknown) != 0 && stderr(&unknown).contains("unknown-tenant"), "{}", stderr(&unknown));
}

#[test]
fn a_mapping_whose_file_has_a_mistake_is_not_called_unknown_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    let text = MAPPING.replace("urns:", "unrs:");
    std::fs::write(folder.path().join("mappings/another-name.yaml"), text).unwrap();
    std::fs::write(folder.path().join("p.json"), r#"{"resourceType": "Patient", "id": "p1"}"#).unwrap();
    let run = mjumbe(folder.path(), &["run", "p.json", "--mapping", "people"]);
    let told = stderr(&run);
    assert_eq!(code(&run), 1);
    assert!(told.contains("another-name.yaml:5:7") && told.contains("did you mean `urns`"), "{told}");
    assert!(!told.contains("there are: \n"), "{told}");
}

#[test]
fn schema_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let schema: Value = serde_json::from_str(&stdout(&mjumbe(folder.path(), &["schema"]))).unwrap();
    assert!(schema.to_string().contains("dhis2.report"));
}

#[test]
fn deliveries_of_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let list = mjumbe(folder.path(), &["deliveries", "list", "--json"]);
    let empty = "{\"deliveries\":[],\"held\":[]}\n";
    assert_eq!((code(&list), stdout(&list).as_str()), (0, empty), "{}", stderr(&list));
    assert_eq!(stdout(&mjumbe(folder.path(), &["deliveries", "list", "--each", "--json"])), empty);
    let show = mjumbe(folder.path(), &["deliveries", "show", "abc"]);
    assert_eq!(code(&show), 1);
    assert!(stderr(&show).contains("unknown-delivery"));
    let slip = mjumbe(folder.path(), &["deliveries", "cancel"]);
    assert_eq!(code(&slip), 1, "nothing chosen must not be everything");
    assert!(stderr(&slip).contains("nothing-chosen"));
    let preview = mjumbe(folder.path(), &["deliveries", "retry", "--cause", "x", "--json"]);
    assert_eq!(stdout(&preview), "{\"chosen\":0,\"changed\":0,\"groups\":[]}\n");
    let none = mjumbe(folder.path(), &["deliveries", "retry", "--cause", "x", "--yes", "--json"]);
    assert_eq!(stdout(&none), "{\"chosen\":0,\"waiting\":0}\n");
}

#[test]
fn what_is_held_is_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("mjumbe.db");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Store::open(&format!("sqlite://{}", database.display()), 2).await.unwrap();
        let mut tx = store.db().begin_write().await.unwrap();
        for number in 1..=3 {
            let row = HeldRow {
                mapping: "village".to_owned(),
                rid: number,
                source: format!("QuestionnaireResponse/r{number}"),
                version: 2,
                code: "required-absent".to_owned(),
                message: "`unit` is required and absent".to_owned(),
                hint: "it is evaluated again".to_owned(),
                place: "village.yaml:9:5".to_owned(),
                waits_for: format!("the contact of Practitioner/{}", number.min(2)),
                since_ms: 0,
            };
            reads::write_held(&mut tx, "default", &row).await.unwrap();
        }
        tx.commit().await.unwrap();
        store.close().await;
    });
    let json = |arguments: &[&str]| -> Value {
        let output = mjumbe(folder.path(), &[&["deliveries"], arguments, &["--json"]].concat());
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)))
    };
    let group = &json(&["list"])["held"];
    assert_eq!(group[0]["mapping"], "village");
    assert_eq!((&group[0]["count"], &group[0]["things"]), (&json!(3), &json!(2)), "{group}");
    assert_eq!(group[0]["waitsFor"], "the contact of Practitioner/1");
    assert_eq!(json(&["list", "--each", "2"])["held"].as_array().unwrap().len(), 2);
    assert_eq!(json(&["list", "--mapping", "other"])["held"], json!([]));
    assert_eq!(json(&["list", "--status", "dead"])["held"], json!([]));
    let shown = json(&["show", "QuestionnaireResponse/r3"]);
    assert_eq!(shown["held"][0]["waitsFor"], "the contact of Practitioner/2");
    let text = stdout(&mjumbe(folder.path(), &["deliveries", "list"]));
    assert!(text.contains("3  held  village") && text.contains("and 1 more like it"), "{text}");
    let text = stdout(&mjumbe(folder.path(), &["deliveries", "show", "QuestionnaireResponse/r3"]));
    assert!(text.contains("village.yaml:9:5") && text.contains("Practitioner/2"), "{text}");
    let none = mjumbe(folder.path(), &["deliveries", "show", "Patient/nobody"]);
    assert_eq!(code(&none), 1);
    assert!(stderr(&none).contains("unknown-source"), "{}", stderr(&none));
}

#[test]
fn a_new_folder_checks_and_passes_its_test_and_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let made = mjumbe(folder.path(), &["init", "hmis"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    assert!(stdout(&made).contains("wrote hmis/mjumbe.toml") && stdout(&made).contains("mjumbe doctor"));
    let home = folder.path().join("hmis");
    assert_eq!(code(&mjumbe(&home, &["check"])), 0);
    let tested = mjumbe(&home, &["test"]);
    assert_eq!(
        (code(&tested), stderr(&tested).contains(" passed, 0 failed")),
        (0, true),
        "{}",
        stderr(&tested)
    );
    let again = mjumbe(folder.path(), &["init", "hmis"]);
    assert_eq!(code(&again), 1);
    assert!(stderr(&again).contains("hmis/mjumbe.toml is there already"), "{}", stderr(&again));
}

/// In a folder with a mjumbe.toml it need not be named.
#[test]
fn the_configuration_beside_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mjumbe.toml"), "[server]\nlisen = 1\n").unwrap();
    let checked = mjumbe(folder.path(), &["check"]);
    assert_eq!(code(&checked), 78);
}

#[test]
fn a_replay_says_what_it_would_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    let unknown = mjumbe(folder.path(), &["replay", "nothing"]);
    assert_eq!(code(&unknown), 1);
    assert!(stderr(&unknown).contains("unknown-mapping"), "{}", stderr(&unknown));
    let mapping = "mapping: people\nfrom: { resource: Patient }\nto:\n  - rapidpro.contact:\n      urns: \
                   [{ path: '$.resource.telecom[0].value', type: phone }]\n";
    std::fs::write(folder.path().join("mappings/people.yaml"), mapping).unwrap();
    std::fs::write(folder.path().join("token"), "t").unwrap();
    let settings = "[rapidpro.country]\nurl = \"http://127.0.0.1:9\"\ntoken_file = \"token\"\n";
    std::fs::write(folder.path().join("mjumbe.toml"), settings).unwrap();
    let nothing = mjumbe(folder.path(), &["replay", "people", "--json"]);
    assert_eq!(code(&nothing), 0, "{}", stderr(&nothing));
    let told: serde_json::Value = serde_json::from_str(&stdout(&nothing)).unwrap();
    assert_eq!((&told["resources"], &told["requested"]), (&serde_json::json!(0), &serde_json::json!(0)));
    let wrong = mjumbe(folder.path(), &["replay", "people", "--since", "yesterday"]);
    assert!(stderr(&wrong).contains("replay-date"), "{}", stderr(&wrong));
    let wrong = mjumbe(folder.path(), &["replay", "people", "--search", "colour=red"]);
    assert!(stderr(&wrong).contains("replay-search"), "{}", stderr(&wrong));
}
