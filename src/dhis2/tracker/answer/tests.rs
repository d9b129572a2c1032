//! Reports and whole answers against recordings of running servers (`tests/fixtures/dhis2/tracker.json`:
//! DHIS2 2.40.12 and 2.43.1).

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::dhis2::tracker::report::Word;
use crate::dhis2::tracker::slot::Kind;
use crate::dhis2::tracker::table;

fn recordings() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dhis2/tracker.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn response(one: &Value) -> Response {
    let body = match &one["body"] {
        Value::String(text) => text.clone(),
        json => json.to_string(),
    };
    Response {
        status: u16::try_from(one["status"].as_u64().unwrap()).unwrap(),
        body,
        elapsed: Duration::from_millis(one["elapsed_ms"].as_u64().unwrap_or(0)),
        retry_after: None,
    }
}

fn read(name: &str) -> Answer {
    let all = recordings();
    import(&response(all.get(name).unwrap_or_else(|| panic!("no recording {name}"))))
}

fn report(name: &str) -> Report {
    match read(name) {
        Answer::Report(report) => report,
        Answer::Failed(failure) => panic!("{name}: {failure:?}"),
    }
}

/// The objects that a recording names with an error: kind, UID.
fn accused(one: &Value) -> Vec<(Kind, String)> {
    let errors = one.pointer("/body/validationReport/errorReports").and_then(Value::as_array);
    let kind = |word: &Value| Kind::ALL.into_iter().find(|kind| word == kind.tracker_type()).unwrap();
    errors
        .into_iter()
        .flatten()
        .map(|error| (kind(&error["trackerType"]), error["uid"].as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn each_row_is_what_its_recordings_say() {
    let all = recordings();
    for row in table::ERRORS {
        for name in row.recordings {
            let report = report(name);
            let objects = accused(&all[*name]);
            let says = |(kind, uid): &(Kind, String)| match report.word(*kind, uid) {
                Word::Refused(found) => found.dhis2 == row.dhis2,
                _ => false,
            };
            assert!(objects.iter().any(says), "{name}: {}", row.dhis2);
        }
    }
}

#[test]
fn an_object_is_stored_only_where_the_report_names_it() {
    let entity = |name: &str, uid: &str| format!("{:?}", report(name).word(Kind::Entity, uid));
    assert_eq!(entity("2.43/trk-033-atomic-object-parent-bad", "MjTe0000021"), "Stored");
    assert!(entity("2.43/trk-033-atomic-object-parent-bad", "MjTe0000020").contains("E1006"));
    assert_eq!(entity("2.40/tracker.atomic.OBJECT", "MjTe0000040"), "Stored");
    assert!(entity("2.40/tracker.atomic.OBJECT", "MjTe0000041").contains("E1049"));
    assert_eq!(entity("2.43/trk-002-nested-repeat", "MjTe0000001"), "Stored");
    assert_eq!(entity("2.43/trk-066-delete-te", "MjTe0000021"), "Stored");
    assert_eq!(entity("2.43/trk-054-empty", "MjTe0000001"), "Silent");
    // The event of a refused enrolment is not named at all.
    let below = report("2.40/tracker.atomic.OBJECT.child-of-bad");
    assert!(
        matches!(below.word(Kind::Enrollment, "MjEn0000041"), Word::Refused(row) if row.dhis2 == "E5000")
    );
    assert!(matches!(below.word(Kind::Event, "MjEv0000041"), Word::Silent));
}

#[test]
fn an_import_that_broke_off_is_unclear() {
    let failed = |name: &str| match read(name) {
        Answer::Failed(failure) => (failure.kind, failure.unclear),
        Answer::Report(report) => panic!("{name}: {report:?}"),
    };
    let collided = (FailureKind::Collision, true);
    assert_eq!(failed("2.40/concurrency.tracker.same-te-x6#r1"), collided);
    assert_eq!(failed("2.43/fault-02-same-te-race"), collided);
    assert_eq!(failed("2.43/trk-120-uid-twice"), collided);
    assert_eq!(failed("2.40/tracker.error.date-format"), (FailureKind::Unavailable, true));
    assert_eq!(failed("2.43/trk-128-nul"), (FailureKind::Unavailable, true));
    assert_eq!(failed("2.43/trk-016-uid-malformed"), (FailureKind::Rejected, false));
    assert_eq!(failed("2.43/trk-050-bad-enum"), (FailureKind::Rejected, false));
    assert_eq!(failed("2.40/fault.db-down.tracker").0, FailureKind::Unauthorised);
    assert_eq!(failed("2.43/fault-06-db-down-tracker"), (FailureKind::Unavailable, true));
}

#[test]
fn garbage_is_unclear_and_never_success() {
    for body in ["", "null", "[]", "{}", "{\"status\":\"OK\"}", "\u{0}"] {
        let response = Response { status: 200, body: body.to_owned(), ..Response::default() };
        assert!(matches!(import(&response), Answer::Failed(failure) if failure.unclear), "{body:?}");
    }
}

/// Every recorded tracker import, also those that no row names.
#[test]
fn no_recorded_error_is_unknown() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures/dhis2"));
    if !root.exists() {
        assert!(std::env::var_os("MJUMBE_REQUIRE_SHARED").is_none(), "no recordings in {}", root.display());
        println!("skipped: no recordings in {}", root.display());
        return;
    }
    let mut seen = 0;
    for folder in ["recorded-2.40", "recorded-2.43"] {
        for file in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let Ok(recording) = serde_json::from_str::<Value>(&text) else { continue };
            let request = recording["request"]["path"].as_str().unwrap_or_default();
            if !request.starts_with("/api/tracker?") || !recording["response"].is_object() {
                continue;
            }
            let one = &recording["response"];
            let Answer::Report(report) = import(&response(one)) else { continue };
            for (kind, uid) in accused(one) {
                let word = report.word(kind, &uid);
                let Word::Refused(row) = word else { panic!("{}: {word:?}", path.display()) };
                assert!(!row.dhis2.is_empty(), "{}: {kind:?} {uid}", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen}");
}
