use jiff::tz::TimeZone;

use super::*;
use crate::mapping::target::Context;

fn build(target: &dyn Target, fields: Value) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
    build_after(target, fields, false)
}

fn build_after(target: &dyn Target, fields: Value, faulty: bool) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
    let zone = TimeZone::get("Africa/Kigali").unwrap();
    let context = Context {
        tenant: "default",
        zone: &zone,
        mapping: "m",
        source: "QuestionnaireResponse/1",
        authored_ms: "2026-10-02T08:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond(),
        place: "m.yaml:1:1",
        country: None,
    };
    let entry = Evaluated {
        target_id: target.kind(),
        destination: "national",
        key: "",
        withdraw: target.withdraw(),
        needs: &[],
        fields: &fields,
        faulty,
        context: &context,
    };
    target.build(&entry)
}

fn report(values: Value) -> Value {
    json!({
        "dataSet": "VEM58nY22sO", "orgUnit": "O6uvpzGd5pu", "complete": true,
        "period": { "type": "Monthly", "at": "2026-09-30T23:30:00Z", "shift": -1 },
        "values": values
    })
}

#[test]
fn a_report_has_a_part_for_each_value_and_its_completion() {
    let (output, issues) = build(
        &Report,
        report(json!([
            { "dataElement": "FTRrcoaog83", "value": 12 },
            { "dataElement": "P3jJH5Tu5VC", "categoryOptionCombo": "S34ULMcHMca", "value": "3" },
            { "dataElement": "BjDrgVrkBI3", "value": null }
        ])),
    )
    .unwrap();
    assert!(issues.is_empty());
    let slots: Vec<&str> = output.parts.iter().map(|part| part.slot.as_str()).collect();
    // 23:30 UTC on 30 September is 1 October in Kigali: the month before is September.
    assert_eq!(
        slots,
        [
            "cell|VEM58nY22sO|202609|O6uvpzGd5pu||FTRrcoaog83|",
            "cell|VEM58nY22sO|202609|O6uvpzGd5pu||P3jJH5Tu5VC|S34ULMcHMca",
            "completion|VEM58nY22sO|202609|O6uvpzGd5pu|"
        ]
    );
    assert_eq!(output.lane, "VEM58nY22sO|202609|O6uvpzGd5pu");
    assert_eq!(
        Report.preview(&output),
        json!({
            "dataSet": "VEM58nY22sO", "period": "202609", "orgUnit": "O6uvpzGd5pu",
            "completeDate": "2026-10-02",
            "dataValues": [
                { "dataElement": "FTRrcoaog83", "value": "12" },
                { "dataElement": "P3jJH5Tu5VC", "categoryOptionCombo": "S34ULMcHMca", "value": "3" }
            ]
        })
    );
}

#[test]
fn an_unknown_combo_leaves_its_value_and_the_completion_out() {
    let values = json!([
        { "dataElement": "FTRrcoaog83", "value": "1" },
        { "dataElement": "P3jJH5Tu5VC", "categoryOptionCombo": null, "value": "3" }
    ]);
    let (output, issues) = build(&Report, report(values)).unwrap();
    assert_eq!(output.parts.len(), 1);
    let codes: Vec<&str> = issues.iter().map(|issue| issue.code.as_str()).collect();
    assert_eq!(codes, ["dhis2-combo-absent", "dhis2-not-complete"]);
}

#[test]
fn a_value_that_a_step_lost_leaves_the_completion_out() {
    let values = || json!([{ "dataElement": "FTRrcoaog83", "value": "1" }, { "dataElement": "BjDrgVrkBI3", "value": null }]);
    let (output, issues) = build_after(&Report, report(values()), true).unwrap();
    assert_eq!(output.parts.len(), 1, "the value alone");
    assert_eq!(issues[0].code, "dhis2-not-complete");
    let (output, issues) = build_after(&Report, report(values()), false).unwrap();
    assert_eq!((output.parts.len(), issues.len()), (2, 0), "silence is no fault");
}

#[test]
fn a_cell_named_twice_is_sent_once() {
    let values = json!([
        { "dataElement": "FTRrcoaog83", "value": "1" },
        { "dataElement": "FTRrcoaog83", "value": "2" },
        { "dataElement": "FTRrcoaog83", "value": "1" }
    ]);
    let (output, issues) = build(&Report, report(values)).unwrap();
    assert_eq!(output.parts.len(), 1);
    assert_eq!(issues.first().unwrap().code, "dhis2-cell-doubled");
}

#[test]
fn no_unit_no_report() {
    let mut fields = report(json!([]));
    fields["orgUnit"] = Value::Null;
    fields["period"] = json!({ "type": "Monthly", "at": null });
    let issues = build(&Report, fields).unwrap_err();
    let codes: Vec<&str> = issues.iter().map(|issue| issue.code.as_str()).collect();
    assert_eq!(codes, ["dhis2-unit-absent", "dhis2-period-absent"]);
}

#[test]
fn periods_come_from_dates_of_every_precision() {
    let period = |period: Value| {
        let mut fields = report(json!([]));
        fields["period"] = period;
        build(&Report, fields).map(|(output, _)| output.body["period"].as_str().unwrap().to_owned())
    };
    assert_eq!(period(json!({ "type": "Quarterly", "at": "2026-05" })).unwrap(), "2026Q2");
    assert_eq!(period(json!({ "type": "Yearly", "at": "2026" })).unwrap(), "2026");
    assert_eq!(period(json!({ "type": "Weekly", "at": "2026-01-01T10:00:00" })).unwrap(), "2026W1");
    assert_eq!(period(json!({ "is": "2026-01", "shift": 1 })).unwrap(), "202602");
    assert_eq!(period(json!({ "is": 202601 })).unwrap(), "202601");
    let code = |period: Result<String, Vec<Issue>>| period.unwrap_err()[0].code.clone();
    assert_eq!(code(period(json!({ "type": "Weekly", "at": "2026-05" }))), "dhis2-period-date-imprecise");
    assert_eq!(code(period(json!({ "type": "Weekly", "at": "soon" }))), "dhis2-period-date-unreadable");
    assert_eq!(code(period(json!({ "type": "Weekly", "is": "202601" }))), "dhis2-period-type-wrong");
    assert_eq!(code(period(json!({ "at": "2026-05-01" }))), "dhis2-period-type-absent");
    assert_eq!(code(period(json!({ "is": "2026W60" }))), "period-not-in-calendar");
}

#[test]
fn a_count_contributes_to_cells() {
    let fields = json!({
        "dataSet": "VEM58nY22sO", "orgUnit": "O6uvpzGd5pu", "period": { "is": "202601" },
        "cells": [
            { "dataElement": "FTRrcoaog83", "categoryOptionCombo": { "options": ["Male", "0-4"] } },
            { "dataElement": "P3jJH5Tu5VC", "amount": "2.50" },
            { "dataElement": "BjDrgVrkBI3", "aggregate": "distinct", "distinct": "Patient/1" },
            { "dataElement": "MjDataElem1", "amount": null },
            { "dataElement": "MjDataElem2", "amount": "many" }
        ]
    });
    let (output, issues) = build(&Count, fields).unwrap();
    let found: Vec<(&str, &str)> = output
        .contributions
        .iter()
        .map(|contribution| (contribution.slot.rsplit_once("||").unwrap().1, contribution.amount.as_str()))
        .collect();
    assert_eq!(found, [("FTRrcoaog83|{0-4,Male}", "1"), ("P3jJH5Tu5VC|", "2.5"), ("BjDrgVrkBI3|", "1")]);
    assert_eq!(issues.len(), 1);
    assert_eq!(issues[0].code, "dhis2-amount-not-a-number");
    assert_eq!(
        Count.preview(&output)["dataValues"][1],
        json!({"dataElement": "P3jJH5Tu5VC", "value": "2.5"})
    );
}

#[test]
fn faults_of_the_file_are_told_at_load_time() {
    let complaints = Report.check(&json!({
        "dataSet": "short",
        "period": { "type": "monthly" },
        "values": [{ "dataElement": "FTRrcoaog83" }, {}, { "dataElement": "1TRrcoaog83" }]
    }));
    let fields: Vec<&str> = complaints.iter().map(|complaint| complaint.field.as_str()).collect();
    assert_eq!(fields, ["dataSet", "period.type", "values[2].dataElement"]);
    assert_eq!(complaints[1].hint.as_deref(), Some("did you mean Monthly?"));
}
