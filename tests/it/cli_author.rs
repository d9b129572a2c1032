//! `mjumbe check --live` against the sandbox, and `mjumbe diff` over stored resources.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mjumbe::store::Store;
use mjumbe::store::write::{Fixed, Origin, Precondition, Put};
use serde_json::{Value, json};

use super::cli_commands::{code, mjumbe, stderr, stdout};

/// A running sandbox; killed where a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a sandbox and writes its addresses to `mjumbe.toml`.
fn sandbox(folder: &Path) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mjumbe"));
    command.args(["sandbox", "--listen", "127.0.0.1:0", "--json"]);
    let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let text = |system: &str, key: &str| told[system][key].as_str().unwrap().to_owned();
    let config = format!(
        "[rapidpro.country]\nurl = \"{}\"\ntoken = \"{}\"\n[dhis2.national]\nurl = \"{}\"\ntoken = \"{}\"\n",
        text("rapidpro", "url"),
        text("rapidpro", "token"),
        text("dhis2", "url"),
        text("dhis2", "token")
    );
    std::fs::write(folder.join("mjumbe.toml"), config).unwrap();
    running
}

const MAPPING: &str = "\
mapping: cases
from: { resource: QuestionnaireResponse, flow: Community case report }
with:
  contact: { contact: $.resource.source }
  unit: { orgUnit: $.contact.fields.dhis2_organisation_unit }
to:
  - dhis2.event:
      program: MjCaseRept1
      programStage: MjCaseStag1
      orgUnit: $.unit.id
      dataValues:
        - { dataElement: MjCaseDise9, value: x }
        - dataElement: MjCaseDise1
          value: { path: $.answers.disease, map: { Cholera: CHOLERA, Measels: MEASLES, Polio: PLIO, Rabies: RABIES } }
        - { dataElement: MjCaseAge01, value: $.answers.agee }
  - rapidpro.start: { flow: Visit remindr, contact: $.resource.source }
";

#[test]
fn check_live_tells_what_the_systems_do_not_have() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    std::fs::write(folder.path().join("mappings/cases.yaml"), MAPPING).unwrap();
    let mut running = sandbox(folder.path());
    let offline = mjumbe(folder.path(), &["check"]);
    assert_eq!(code(&offline), 0, "offline nothing is wrong with it: {}", stdout(&offline));
    let checked = mjumbe(folder.path(), &["check", "--live", "--json"]);
    assert_eq!(code(&checked), 1, "{}", stderr(&checked));
    let told: Vec<Value> = serde_json::from_str(&stdout(&checked)).unwrap();
    let line = |one: &Value| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        format!("{}:{} {} {}", one["line"], one["column"], text("code"), text("did_you_mean"))
    };
    let mut lines: Vec<String> = told.iter().map(line).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "12:26 dhis2-element-not-in-stage MjCaseDise1",
            "14:18 dhis2-value-option POLIO",
            "14:45 flow-category-unmapped ",
            "14:70 flow-category-unknown Measles",
            "15:46 flow-result-unknown age",
            "16:29 flow-unknown Visit reminder",
            "5:20 contact-field-unknown dhis2_organisation_unit_id",
        ]
    );
    let mended = MAPPING
        .replace("organisation_unit }", "organisation_unit_id }")
        .replace("        - { dataElement: MjCaseDise9, value: x }\n", "")
        .replace("Measels", "Measles")
        .replace("PLIO", "POLIO")
        .replace("agee", "age")
        .replace("remindr", "reminder");
    std::fs::write(folder.path().join("mappings/cases.yaml"), mended).unwrap();
    let checked = mjumbe(folder.path(), &["check", "--live"]);
    assert_eq!((code(&checked), stdout(&checked).as_str()), (0, ""), "{}", stderr(&checked));
    running.0.kill().unwrap();
    running.0.wait().unwrap();
    let gone = mjumbe(folder.path(), &["check", "--live"]);
    assert_eq!(code(&gone), 1, "a system that does not answer is no clean bill");
}

fn put(resource: &Value) -> Put {
    let id = resource["id"].as_str().unwrap().to_owned();
    Put {
        kind: "Patient".to_owned(),
        id: id.clone(),
        body: Some(resource.to_string()),
        index: Vec::new(),
        subject: id,
        precondition: Precondition::None,
        origin: Origin::Client("test".to_owned()),
    }
}

#[test]
fn a_diff_says_what_another_version_would_change_without_peoples_data() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("mjumbe.db");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Store::open(&format!("sqlite://{}", database.display()), 2).await.unwrap();
        for number in 1..=5 {
            let patient = json!({
                "resourceType": "Patient", "id": format!("p{number}"), "name": [{ "family": "Uwase", "text": "Grace" }],
                "telecom": [{ "value": format!("tel:+25078812345{number}") }],
            });
            let plan = Fixed { puts: vec![put(&patient)], ..Fixed::default() };
            store.write("default", Box::new(plan)).await.unwrap();
        }
        store.close().await;
    });
    let mapping = |name: &str| {
        format!(
            "mapping: people\nfrom: {{ resource: Patient }}\nto:\n  - rapidpro.contact:\n      \
             urns: ['$.resource.telecom[0].value']\n      name: '$.resource.name[0].{name}'\n"
        )
    };
    std::fs::create_dir_all(folder.path().join("mappings")).unwrap();
    std::fs::create_dir_all(folder.path().join("new")).unwrap();
    std::fs::write(folder.path().join("mappings/people.yaml"), mapping("family")).unwrap();
    std::fs::write(folder.path().join("new/people.yaml"), mapping("text")).unwrap();
    let told = mjumbe(folder.path(), &["diff", "people", "new/people.yaml", "--last", "3"]);
    assert_eq!(code(&told), 0, "{}", stderr(&told));
    let text = stdout(&told);
    assert!(text.contains("3 of 3 resources differ") && text.contains("3 changed; 3 parts"), "{text}");
    assert!(!text.contains("Uwase") && !text.contains("Grace") && !text.contains("788123"), "{text}");
    let same = mjumbe(folder.path(), &["diff", "people", "people", "--json"]);
    let same: Value = serde_json::from_str(&stdout(&same)).unwrap();
    assert_eq!((&same["resources"], &same["differing"]), (&json!(5), &json!(0)), "{same}");
    let unknown = mjumbe(folder.path(), &["diff", "people", "nobody"]);
    assert!(stderr(&unknown).contains("unknown-mapping"), "{}", stderr(&unknown));
}
