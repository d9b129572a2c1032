//! Every row of both tables against its recordings (`tests/fixtures/dhis2/answers.json`, from running
//! DHIS2 2.40.12 and 2.43.1; import options left out).

use serde_json::Value;

use super::*;
use crate::dhis2::version::Generation;

struct Recording {
    generation: Generation,
    response: Response,
    rows: Vec<RowNames>,
}

fn recording(name: &str) -> Recording {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dhis2/answers.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let one = all.get(name).unwrap_or_else(|| panic!("no recording {name}"));
    let body = match &one["body"] {
        Value::String(text) => text.clone(),
        json => json.to_string(),
    };
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = one["rows"].as_array().cloned().unwrap_or_default();
    Recording {
        generation: if name.starts_with("2.43") { Generation::Pipeline } else { Generation::Classic },
        response: Response {
            status: u16::try_from(one["status"].as_u64().unwrap()).unwrap(),
            body,
            elapsed: Duration::from_millis(one["elapsed_ms"].as_u64().unwrap()),
            retry_after: None,
        },
        rows: rows
            .iter()
            .map(|row| RowNames {
                data_set: text(row, "dataSet"),
                element: text(row, "dataElement"),
                unit: text(row, "orgUnit"),
                period: text(row, "period"),
                combo: text(row, "categoryOptionCombo"),
                attribute: text(row, "attributeOptionCombo"),
            })
            .collect(),
    }
}

fn verdicts(name: &str) -> Vec<RowVerdict> {
    let recording = recording(name);
    let parsed = Parsed::of(&recording.response);
    let row = classify(&parsed, recording.generation);
    trace(parsed.summary.as_ref().unwrap(), row.meaning, &recording.rows)
}

fn codes(name: &str) -> Vec<String> {
    verdicts(name)
        .into_iter()
        .map(|verdict| match verdict {
            RowVerdict::Refused(reason) => reason.code,
            other => format!("{other:?}").split('(').next().unwrap().to_owned(),
        })
        .collect()
}

#[test]
fn each_row_is_what_its_recordings_say() {
    for row in table::ANSWERS {
        for name in row.recordings {
            let recording = recording(name);
            let found = classify(&Parsed::of(&recording.response), recording.generation);
            assert_eq!(found.code, row.code, "{name}");
            assert_eq!(found.meaning, row.meaning, "{name}");
        }
    }
}

#[test]
fn each_conflict_is_in_its_recordings_and_finds_a_row() {
    for row in conflicts::CONFLICTS {
        for name in row.recordings {
            let recording = recording(name);
            let parsed = Parsed::of(&recording.response);
            let conflicts = &parsed.summary.as_ref().unwrap().conflicts;
            let found = conflicts.iter().any(|it| conflicts::find(&it.code, &it.text).dhis2 == row.dhis2);
            assert!(found, "{name} has no {}", row.dhis2);
            if recording.rows.is_empty() {
                continue;
            }
            let refused = verdicts(name)
                .iter()
                .any(|verdict| matches!(verdict, RowVerdict::Refused(reason) if reason.code == row.code));
            assert!(refused || row.fate == conflicts::Fate::Collided, "{name}: {:?}", codes(name));
        }
    }
}

#[test]
fn conflicts_of_the_classic_importer_find_their_rows() {
    assert_eq!(
        codes("2.40/dvs.mixed.good-bad"),
        [
            "Stored",
            "dhis2-value-type",
            "dhis2-element-unknown",
            "Stored",
            "dhis2-value-option",
            "dhis2-value-type"
        ]
    );
}

#[test]
fn the_pipeline_names_culprits_and_the_others_are_sent_again() {
    assert_eq!(codes("2.43/dvs-019-de-unknown"), ["Spoiled", "dhis2-element-not-in-set"]);
    assert_eq!(codes("2.43/dvs-039-row-bad-ou-among-good"), ["Spoiled", "dhis2-unit-not-assigned"]);
    assert_eq!(codes("2.43/dvs-203-clerk-mixed-periods"), ["Spoiled", "dhis2-period-closed"]);
    assert_eq!(codes("2.43/dvs-021-coc-unknown"), ["Spoiled", "dhis2-combo-wrong"]);
    assert_eq!(codes("2.43/dvs-020-de-malformed").iter().filter(|code| *code == "Spoiled").count(), 1);
    assert_eq!(codes("2.43/dvs-100-mixed-20").iter().filter(|code| *code == "Stored").count(), 18);
}

#[test]
fn a_completion_without_indexes_is_unknown_unless_it_is_named() {
    assert_eq!(codes("2.43/cdsr-11-mixed"), ["Unknown", "dhis2-data-set-unknown"]);
}

#[test]
fn no_reason_repeats_what_dhis2_says_about_a_value() {
    for verdict in verdicts("2.43/dvs-062-val-integer-text") {
        if let RowVerdict::Refused(reason) = verdict {
            assert!(!reason.message.contains("abc"), "{reason:?}");
            assert!(reason.message.ends_with("(DHIS2: E8122)"));
        }
    }
}

#[test]
fn garbage_is_unclear_and_never_success() {
    for body in ["", "null", "[]", "{}", "{\"status\":\"OK\"}", "\u{0}"] {
        let response = Response { status: 200, body: body.to_owned(), ..Response::default() };
        for generation in [Generation::Classic, Generation::Pipeline] {
            let meaning = classify(&Parsed::of(&response), generation).meaning;
            assert!(matches!(meaning, Meaning::Failed { unclear: true, .. }), "{body:?}");
        }
    }
}
