//! `mjumbe test` as a program: the diff, the coverage, watching.

use serde_json::{Value, json};

use super::cli_commands::{code, mjumbe, stderr, stdout};

/// A folder with one mapping of contacts and a test that expects another name.
fn tested_folder(test: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mapping = "mapping: a\nfrom: { resource: Patient }\nto:\n  - rapidpro.contact:\n      \
                   urns: ['$.resource.telecom[0].value']\n      name: { path: $.resource.sex, map: { f: Ms, m: Mr } }\n";
    std::fs::write(folder.path().join("a.yaml"), mapping).unwrap();
    std::fs::write(folder.path().join("a.test.yaml"), test).unwrap();
    folder
}

const ONE_TEST: &str = "tests:\n  - name: a woman\n    given: { change: { resourceType: Patient, id: p, sex: f, \
    telecom: [{ value: 'tel:+250788123456' }] } }\n    \
    expect: { outputs: [{ target: rapidpro.contact, body: { urns: ['tel:+250788123456'], name: Mr } }] }\n";

#[test]
fn a_failed_test_is_a_diff_with_its_place() {
    let folder = tested_folder(ONE_TEST);
    let tested = mjumbe(folder.path(), &["test", "."]);
    assert_eq!(code(&tested), 1);
    assert_eq!(
        stdout(&tested),
        "FAILED ./a.test.yaml:2:5: a woman\n  outputs[0].body.name\n    - expected \"Mr\"\n    + got      \"Ms\"\n"
    );
    let json: Value =
        serde_json::from_str(&stdout(&mjumbe(folder.path(), &["test", ".", "--json"]))).unwrap();
    assert_eq!(json["failed"][0]["differences"][0]["got"], "Ms");
    assert_eq!((&json["failed"][0]["line"], &json["passed"]), (&json!(2), &json!(0)));
}

#[test]
fn coverage_names_lines_and_can_be_demanded() {
    let folder = tested_folder(&ONE_TEST.replace("name: Mr", "name: Ms"));
    let told = mjumbe(folder.path(), &["test", ".", "--coverage"]);
    assert_eq!(code(&told), 0, "{}", stderr(&told));
    let lines = stdout(&told);
    assert!(lines.contains("a.yaml:6:51: the entry `m` of `map` of `to[0].name` is never taken"), "{lines}");
    assert!(lines.contains("a.yaml: 83.3% (5 of 6 rules)"), "{lines}");
    let demand =
        |least: &str| code(&mjumbe(folder.path(), &["test", ".", "--coverage", "--coverage-min", least]));
    assert_eq!((demand("83"), demand("84")), (0, 1));
    assert_eq!(
        code(&mjumbe(folder.path(), &["test", ".", "--coverage-min", "10"])),
        2,
        "it needs --coverage"
    );
    let json = mjumbe(folder.path(), &["test", ".", "--coverage", "--json"]);
    let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(json["coverage"]["files"][0]["missed"][0]["line"], 6);
}

#[test]
fn watching_runs_the_tests_again_when_one_is_saved_and_ends_on_interrupt() {
    use std::io::{BufRead, BufReader};
    let folder = tested_folder(ONE_TEST);
    let mut watching = std::process::Command::new(env!("CARGO_BIN_EXE_mjumbe"))
        .args(["test", ".", "--watch"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let process = watching.id().to_string();
    let signal = |name: &str| std::process::Command::new("kill").args([name, &process]).status().unwrap();
    // Whatever goes wrong, the lines end.
    let (ended, waits) = std::sync::mpsc::channel::<()>();
    let (own, late) = (process.clone(), std::time::Duration::from_secs(60));
    let guard = std::thread::spawn(move || {
        if waits.recv_timeout(late).is_err() {
            std::process::Command::new("kill").args(["-KILL", &own]).status().unwrap();
        }
    });
    let mut notes = BufReader::new(watching.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(notes.any(|line| line == "0 passed, 1 failed"));
    assert!(notes.any(|line| line.starts_with("watching .")));
    std::fs::write(folder.path().join("a.test.yaml"), ONE_TEST.replace("name: Mr", "name: Ms")).unwrap();
    assert!(notes.any(|line| line == "1 passed, 0 failed"));
    assert!(signal("-INT").success());
    assert_eq!(watching.wait().unwrap().code(), Some(0));
    ended.send(()).unwrap();
    guard.join().unwrap();
    let told = std::io::read_to_string(watching.stdout.take().unwrap()).unwrap();
    assert!(told.contains("changed: a.test.yaml"), "{told}");
}
