//! Batches: what is sent, and what becomes of each part.

use mjumbe::delivery::destination::{Destination as _, FailureKind};
use mjumbe::delivery::hold::Leave;
use serde_json::{Value, json};

use super::fake::*;

const IMPORT: &str = "POST /api/dataValueSets";
const READ: &str = "GET /api/dataValueSets";
const REGISTER: &str = "POST /api/completeDataSetRegistrations";

fn one(value: &str) -> Vec<mjumbe::delivery::destination::Outgoing> {
    vec![report(UNIT, "202610", &[("MjDeInteger", "", Some(value))])]
}

fn two() -> Vec<mjumbe::delivery::destination::Outgoing> {
    vec![
        report(UNIT, "202610", &[("MjDeInteger", "", Some("1"))]),
        report(OTHER_UNIT, "202610", &[("MjDeInteger", "", Some("2"))]),
    ]
}

#[tokio::test]
async fn many_reports_travel_in_one_request() {
    for (version, strict) in [("2.40.12", true), ("2.43.1", false)] {
        let world = world(version).await;
        world.fake.answer(IMPORT, 200, stored());
        let batch = [
            report(UNIT, "202610", &[("MjDeInteger", "", Some("12.0")), ("MjDeAgeDisg", "U5", None)]),
            report(OTHER_UNIT, "202609", &[("MjDePosInt1", "", Some("0"))]),
        ];
        let verdicts = world.verdicts(&batch).await;
        assert_eq!(verdicts, [vec!["accepted", "accepted"], vec!["accepted"]]);
        let bodies = world.fake.bodies(IMPORT);
        assert_eq!(
            bodies,
            [json!({
                "dataSet": "MjDsMonthA1",
                "dataValues": [
                    { "dataElement": "MjDeInteger", "period": "202610", "orgUnit": UNIT,
                      "categoryOptionCombo": "HllvX50cXC0", "attributeOptionCombo": "HllvX50cXC0", "value": "12" },
                    { "dataElement": "MjDeAgeDisg", "period": "202610", "orgUnit": UNIT,
                      "categoryOptionCombo": "oPcWGgS2Liz", "attributeOptionCombo": "HllvX50cXC0", "deleted": true },
                    { "dataElement": "MjDePosInt1", "period": "202609", "orgUnit": OTHER_UNIT,
                      "categoryOptionCombo": "HllvX50cXC0", "attributeOptionCombo": "HllvX50cXC0", "value": "0" }
                ]
            })]
        );
        let query = world.fake.queries(IMPORT).remove(0);
        assert!(query.contains("async=false"));
        assert_eq!(query.contains("strictOrganisationUnits=true"), strict);
        let asked = world.fake.asked.lock().unwrap();
        assert!(asked.iter().all(|it| it.authorization == "ApiToken d2pat_canary"));
    }
}

#[tokio::test]
async fn a_refused_row_finds_its_report_and_cell() {
    let world = world("2.40.12").await;
    let conflicts =
        json!([{ "object": "MjDeInteger", "value": "… `7` …", "errorCode": "E7619", "indexes": [1] }]);
    world.fake.answer(IMPORT, 409, summary("WARNING", [1, 0, 1], conflicts, json!([1])));
    assert_eq!(world.verdicts(&two()).await, [vec!["accepted"], vec!["dhis2-value-type"]]);
}

/// 2.38 gives neither indexes nor rejectedIndexes.
#[tokio::test]
async fn a_conflict_without_an_index_is_found_by_reading_back_and_halving() {
    let world = world("2.38.7").await;
    let refused = || {
        let conflicts = json!([{ "object": "value", "value": "not numeric", "errorCode": "E7619" }]);
        summary("WARNING", [1, 0, 1], conflicts, Value::Null)
    };
    let mut there = held(UNIT, "1");
    there["dataValues"].as_array_mut().unwrap().clear();
    world.fake.answer(IMPORT, 409, refused());
    world.fake.answer(READ, 200, there);
    world.fake.answer(IMPORT, 200, stored());
    world.fake.answer(IMPORT, 409, refused());
    assert_eq!(world.verdicts(&two()).await, [vec!["accepted"], vec!["dhis2-value-type"]]);
}

#[tokio::test]
async fn a_group_that_one_unit_spoils_goes_again_without_it() {
    let world = world("2.43.1").await;
    let conflicts = json!([{
        "objects": { "args": format!("MjDsMonthA1-[{OTHER_UNIT}]") }, "errorCode": "E8022",
        "value": "Data set MjDsMonthA1 not usable with org unit(s)", "indexes": [0, 1]
    }]);
    world.fake.answer(IMPORT, 409, summary("ERROR", [0, 0, 0], conflicts, json!([0, 1])));
    world.fake.answer(IMPORT, 200, stored());
    assert_eq!(world.verdicts(&two()).await, [vec!["accepted"], vec!["dhis2-unit-not-assigned"]]);
    assert_eq!(world.fake.bodies(IMPORT)[1]["dataValues"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_group_refused_without_a_name_is_halved_until_the_culprit_is_alone() {
    let world = world("2.43.1").await;
    let refused = || {
        let conflicts =
            json!([{ "objects": {}, "errorCode": "E8999", "value": "new in 2.44", "indexes": [-1] }]);
        summary("ERROR", [0, 0, 0], conflicts, json!([]))
    };
    world.fake.answer(IMPORT, 409, refused());
    world.fake.answer(IMPORT, 200, stored());
    world.fake.answer(IMPORT, 409, refused());
    assert_eq!(world.verdicts(&two()).await, [vec!["accepted"], vec!["dhis2-refused"]]);
}

#[tokio::test]
async fn success_that_stored_nothing_is_read_back_and_sent_again() {
    let world = world("2.43.1").await;
    world.fake.answer(IMPORT, 200, summary("SUCCESS", [0, 0, 2], json!([]), json!([])));
    world.fake.answer(IMPORT, 200, stored());
    assert_eq!(world.verdicts(&two()).await, [vec!["accepted"], vec!["accepted"]]);
    assert_eq!((world.fake.count(IMPORT), world.fake.count(READ)), (2, 1));
}

/// A fault that may pass is never given up before the horizon, however often it came.
#[tokio::test]
async fn success_that_stored_nothing_for_long_waits() {
    let world = world("2.43.1").await;
    for _ in 0..20 {
        world.fake.answer(IMPORT, 200, summary("SUCCESS", [0, 0, 1], json!([]), json!([])));
    }
    let mut batch = one("1");
    batch.iter_mut().for_each(|one| one.attempt = 9);
    assert_eq!(world.verdicts(&batch).await, [vec!["later dhis2-stored-nothing"]]);
}

#[tokio::test]
async fn what_is_unchanged_on_the_classic_importer_is_accepted() {
    let world = world("2.40.12").await;
    world.fake.answer(IMPORT, 200, summary("SUCCESS", [0, 0, 2], json!([]), json!([])));
    assert_eq!(world.verdicts(&two()).await, [vec!["accepted"], vec!["accepted"]]);
    assert_eq!(world.fake.count(READ), 0);
}

fn held(unit: &str, value: &str) -> Value {
    json!({
        "dataSet": "MjDsMonthA1", "period": "202610", "orgUnit": unit,
        "dataValues": [{
            "dataElement": "MjDeInteger", "categoryOptionCombo": "HllvX50cXC0",
            "attributeOptionCombo": "HllvX50cXC0", "value": value
        }]
    })
}

#[tokio::test]
async fn rows_stored_before_a_failure_are_accepted_and_the_others_wait() {
    let world = world("2.43.1").await;
    world.fake.answer(IMPORT, 500, json!({ "status": "ERROR", "message": "Unable to rollback" }));
    world.fake.answer(READ, 200, held(UNIT, "1"));
    assert_eq!(world.verdicts(&two()).await, [vec!["accepted"], vec!["later dhis2-server-error"]]);
}

#[tokio::test]
async fn what_is_not_there_right_after_a_lost_answer_may_come_yet() {
    let world = world("2.43.1").await;
    world.fake.answer(IMPORT, 504, json!("<html>gateway</html>"));
    let failure = world.send(&one("1")).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.unclear), (FailureKind::Unavailable, true));
}

#[tokio::test]
async fn where_nothing_can_be_read_back_the_failure_stays_unclear() {
    let world = world("2.43.1").await;
    world.fake.answer(IMPORT, 500, json!("<html>database</html>"));
    world.fake.answer(READ, 500, json!("<html>database</html>"));
    let failure = world.send(&one("1")).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.unclear), (FailureKind::Unavailable, true));
}

#[tokio::test]
async fn a_report_that_always_breaks_dhis2_is_isolated_and_waits_until_the_horizon() {
    let world = world("2.43.1").await;
    for _ in 0..2 {
        world.fake.answer(IMPORT, 500, json!({ "status": "ERROR", "message": "Index 30 out of bounds" }));
    }
    world.fake.answer(IMPORT, 200, stored());
    let mut batch = two();
    batch.iter_mut().for_each(|one| one.attempt = 5);
    assert_eq!(world.verdicts(&batch).await, [vec!["later dhis2-server-error"], vec!["accepted"]]);
}

#[tokio::test]
async fn refused_credentials_are_believed_only_after_a_probe() {
    let world = world("2.40.12").await;
    let refusal = || json!({ "httpStatusCode": 401, "status": "ERROR", "message": "Unauthorized" });
    world.fake.answer(IMPORT, 401, refusal());
    world.fake.answer(IMPORT, 200, stored());
    assert_eq!(world.verdicts(&one("1")).await, [vec!["accepted"]]);
    world.fake.answer(IMPORT, 401, refusal());
    world.fake.answer("GET /api/system/info", 401, refusal());
    let failure = world.send(&one("1")).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorised);
    assert_eq!(failure.reason.code, "dhis2-credentials-refused");
    assert!(world.instance.probe().await.is_ok());
}

#[tokio::test]
async fn a_login_page_is_no_success() {
    let world = world("2.40.12").await;
    world.fake.answer(IMPORT, 302, json!(""));
    world.fake.answer("GET /api/system/info", 302, json!(""));
    let failure = world.send(&one("1")).await.result.unwrap_err();
    assert_eq!(failure.reason.code, "dhis2-login-page");
}

#[tokio::test]
async fn a_report_is_complete_after_its_values() {
    let world = world("2.40.12").await;
    world.fake.answer(IMPORT, 200, stored());
    world.fake.answer(REGISTER, 200, stored());
    let batch: Vec<_> = two().into_iter().map(complete).collect();
    assert_eq!(world.verdicts(&batch).await, [vec!["accepted", "accepted"], vec!["accepted", "accepted"]]);
    let rows = &world.fake.bodies(REGISTER)[0]["completeDataSetRegistrations"];
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(
        rows[0],
        json!({
            "dataSet": "MjDsMonthA1", "period": "202610", "organisationUnit": UNIT, "completed": true,
            "attributeOptionCombo": "HllvX50cXC0", "date": "2026-11-02"
        })
    );
}

#[tokio::test]
async fn a_report_with_a_refused_value_is_not_complete() {
    let world = world("2.40.12").await;
    world.fake.answer(IMPORT, 200, stored());
    let cells = [("MjDeInteger", "", Some("1")), ("MjDePosInt1", "", Some("many"))];
    let batch = [complete(report(UNIT, "202610", &cells))];
    let verdicts = world.verdicts(&batch).await;
    assert_eq!(verdicts, [["accepted", "dhis2-value-type", "dhis2-not-complete"]]);
    assert_eq!(world.fake.count(REGISTER), 0);
}

#[tokio::test]
async fn the_pipeline_registers_a_new_period_through_the_other_door() {
    let world = world("2.43.1").await;
    let mut failed = summary("ERROR", [0, 0, 0], json!([]), json!([]));
    failed["response"]["description"] = json!("The import process failed: Failed to flush BatchHandler");
    world.fake.answer(REGISTER, 409, failed);
    world.fake.answer("POST /api/dataEntry/dataSetCompletion", 200, json!(""));
    let batch = [complete(report(UNIT, "202610", &[]))];
    assert_eq!(world.verdicts(&batch).await, [["accepted"]]);
    assert_eq!(
        world.fake.bodies("POST /api/dataEntry/dataSetCompletion"),
        [json!({ "dataSet": "MjDsMonthA1", "period": "202610", "orgUnit": UNIT, "completed": true })]
    );
}

#[tokio::test]
async fn a_completion_is_taken_back() {
    let world = world("2.40.12").await;
    world.fake.answer("DELETE /api/completeDataSetRegistrations", 204, json!(""));
    let mut batch = [complete(report(UNIT, "202610", &[]))];
    batch[0].parts[0].wanted = None;
    assert_eq!(world.verdicts(&batch).await, [["accepted"]]);
    let query = world.fake.queries("DELETE /api/completeDataSetRegistrations").remove(0);
    assert_eq!(query, format!("ds=MjDsMonthA1&pe=202610&ou={UNIT}"));
}

#[tokio::test]
async fn a_cell_under_two_names_is_sent_once() {
    let world = world("2.43.1").await;
    world.fake.answer(IMPORT, 200, stored());
    let cells = [
        ("MjDeAgeDisg", "U5", None),
        ("MjDeAgeDisg", "oPcWGgS2Liz", Some("3")),
        ("MjDeAgeDisg", "{0-4}", Some("4")),
    ];
    let batch = [report(UNIT, "202610", &cells)];
    assert_eq!(world.verdicts(&batch).await, [["accepted", "accepted", "dhis2-cell-doubled"]]);
    let values = world.fake.bodies(IMPORT)[0]["dataValues"].clone();
    assert_eq!(values.as_array().unwrap().len(), 1);
    assert_eq!(values[0]["value"], "3");
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let world = world("2.43.1").await;
    let sent = world.instance.send(&one("1"), &Leave::until(std::time::Instant::now())).await;
    let settled = sent.result.unwrap();
    assert!(format!("{settled:?}").contains("dhis2-out-of-time"));
    assert_eq!(world.fake.count(IMPORT), 0);
}

#[tokio::test]
async fn the_token_is_in_no_exchange() {
    let world = world("2.43.1").await;
    world.fake.answer(IMPORT, 200, stored());
    let sent = world.send(&one("1")).await;
    assert!(!sent.exchanges.is_empty());
    assert!(!format!("{:?}", sent.exchanges).contains("canary"));
}
