use serde_json::json;

use super::*;
use crate::dhis2::metadata::document::{Document, KINDS, snapshot};

/// A small instance, as DHIS2's own JSON.
pub(crate) fn metadata(version: &str) -> Metadata {
    let objects = json!({
        "system": [{ "id": "system", "version": version, "calendar": "iso8601", "serverTimeZoneId": "Etc/UTC" }],
        "categoryCombos": [
            { "id": "bjDvmb4bfuf", "name": "default", "isDefault": true, "categoryOptionCombos": [
                { "id": "HllvX50cXC0", "code": "default", "name": "default", "categoryOptions": [] }] },
            { "id": "BwnnrV1AkNj", "name": "Age", "isDefault": false, "categoryOptionCombos": [
                { "id": "oPcWGgS2Liz", "code": "U5", "name": "0-4", "categoryOptions": [{ "id": "Opt00000001", "name": "0-4" }] },
                { "id": "hF0pQZIn6Ch", "name": "15+", "categoryOptions": [{ "id": "Opt00000002", "name": "15+" }] }] }],
        "optionSets": [{ "id": "ZGkmoWb77MW", "options": [{ "code": "TA_YES" }, { "code": "TA_NO" }] }],
        "dataSets": [
            { "id": "MjDsMonthA1", "name": "Monthly A", "periodType": "Monthly", "openFuturePeriods": 0,
              "categoryCombo": { "id": "bjDvmb4bfuf" },
              "organisationUnits": [{ "id": "g8upMTyEZGZ" }, { "id": "ClosedUnit1" }],
              "dataSetElements": [
                { "dataElement": { "id": "MjDeInteger", "name": "Cases", "valueType": "INTEGER", "categoryCombo": { "id": "bjDvmb4bfuf" } } },
                { "dataElement": { "id": "MjDeAgeDisg", "name": "By age", "valueType": "INTEGER", "categoryCombo": { "id": "BwnnrV1AkNj" } } },
                { "dataElement": { "id": "MjDeOptnSet", "name": "Yes?", "valueType": "TEXT", "optionSet": { "id": "ZGkmoWb77MW" }, "categoryCombo": { "id": "bjDvmb4bfuf" } } }] },
            { "id": "MjDsWeekly1", "name": "Weekly", "periodType": "Weekly", "openFuturePeriods": 2,
              "categoryCombo": { "id": "bjDvmb4bfuf" }, "organisationUnits": [{ "id": "g8upMTyEZGZ" }],
              "dataSetElements": [
                { "dataElement": { "id": "MjDeWeekly1", "name": "Alerts", "valueType": "INTEGER", "categoryCombo": { "id": "bjDvmb4bfuf" } } }] }],
        "organisationUnits": [
            { "id": "g8upMTyEZGZ", "name": "Njandama", "path": "/ImspTQPwCqd/g8upMTyEZGZ", "openingDate": "1990-02-01T00:00:00.000" },
            { "id": "ClosedUnit1", "name": "Closed", "path": "/ImspTQPwCqd/ClosedUnit1", "openingDate": "1990-02-01T00:00:00.000", "closedDate": "2026-03-31T00:00:00.000" },
            { "id": "DiszpKrYNg8", "name": "Ngelehun", "path": "/ImspTQPwCqd/DiszpKrYNg8" }]
    });
    let documents: Vec<Document> = KINDS
        .iter()
        .flat_map(|(kind, list)| {
            objects[*list].as_array().into_iter().flatten().filter_map(|it| Document::of(kind, it.clone()))
        })
        .collect();
    snapshot(documents.iter().map(|it| (it.kind, it.uid.as_str(), &it.body)))
}

fn code(slot: &str, wanted: Value) -> String {
    let today = "2026-11-21".parse().unwrap();
    match resolve(slot, Some(&wanted), &metadata("2.40.12"), today) {
        Ok(resolved) => match resolved.content {
            Content::Set { value, .. } => format!("{}={value}", resolved.names.combo),
            other => format!("{other:?}"),
        },
        Err(reason) => reason.code,
    }
}

#[test]
fn what_fits_is_resolved() {
    let slot = |combo: &str| format!("cell|MjDsMonthA1|202610|g8upMTyEZGZ||MjDeAgeDisg|{combo}");
    assert_eq!(code(&slot("oPcWGgS2Liz"), json!({"value": "3.0"})), "oPcWGgS2Liz=3");
    assert_eq!(code(&slot("U5"), json!({"value": 3})), "oPcWGgS2Liz=3");
    assert_eq!(code(&slot("{15+}"), json!("3")), "hF0pQZIn6Ch=3");
    assert_eq!(
        code("cell|MjDsMonthA1|202610|g8upMTyEZGZ||MjDeInteger|", json!({"value": "1"})),
        "HllvX50cXC0=1"
    );
    assert_eq!(code("cell|MjDsWeekly1|2026W48|g8upMTyEZGZ||MjDeWeekly1|", json!("1")), "HllvX50cXC0=1");
}

#[test]
fn what_dhis2_would_store_although_it_is_wrong_is_refused() {
    for (slot, value, wanted) in [
        ("cell|Unknown0001|202610|g8upMTyEZGZ||MjDeInteger|", "1", "dhis2-data-set-unknown"),
        ("cell|MjDsMonthA1|202610|Nowhere0001||MjDeInteger|", "1", "dhis2-unit-unknown"),
        ("cell|MjDsMonthA1|202610|DiszpKrYNg8||MjDeInteger|", "1", "dhis2-unit-not-assigned"),
        ("cell|MjDsMonthA1|202610|ClosedUnit1||MjDeInteger|", "1", "dhis2-unit-closed"),
        ("cell|MjDsMonthA1|198001|g8upMTyEZGZ||MjDeInteger|", "1", "dhis2-unit-closed"),
        ("cell|MjDsMonthA1|2026W40|g8upMTyEZGZ||MjDeInteger|", "1", "dhis2-period-type-wrong"),
        ("cell|MjDsMonthA1|202611|g8upMTyEZGZ||MjDeInteger|", "1", "dhis2-period-not-open"),
        ("cell|MjDsWeekly1|2026W49|g8upMTyEZGZ||MjDeWeekly1|", "1", "dhis2-period-not-open"),
        ("cell|MjDsMonthA1|202610|g8upMTyEZGZ||MjDeWeekly1|", "1", "dhis2-element-not-in-set"),
        ("cell|MjDsMonthA1|202610|g8upMTyEZGZ||MjDeAgeDisg|", "1", "dhis2-combo-left-out"),
        ("cell|MjDsMonthA1|202610|g8upMTyEZGZ||MjDeInteger|oPcWGgS2Liz", "1", "dhis2-combo-wrong"),
        ("cell|MjDsMonthA1|202610|g8upMTyEZGZ|oPcWGgS2Liz|MjDeInteger|", "1", "dhis2-attribute-combo-wrong"),
        ("cell|MjDsMonthA1|202610|g8upMTyEZGZ||MjDeInteger|", "abc", "dhis2-value-type"),
        ("cell|MjDsMonthA1|202610|g8upMTyEZGZ||MjDeOptnSet|", "ta_yes", "dhis2-value-option"),
        ("garbage", "1", "dhis2-part-unreadable"),
    ] {
        assert_eq!(code(slot, json!({ "value": value })), wanted, "{slot}");
    }
}

#[test]
fn a_withdrawn_cell_may_be_deleted_where_it_does_not_fit_any_more() {
    let slot = "cell|MjDsMonthA1|202610|DiszpKrYNg8||MjDeInteger|";
    let resolved = resolve(slot, None, &metadata("2.40.12"), "2026-11-21".parse().unwrap()).unwrap();
    assert_eq!(resolved.content, Content::Delete);
}

#[test]
fn a_superuser_of_the_pipeline_may_write_to_any_period() {
    let mut metadata = metadata("2.43.1");
    metadata.system.may_edit_expired = true;
    let slot = "cell|MjDsMonthA1|202611|g8upMTyEZGZ||MjDeInteger|";
    assert!(resolve(slot, Some(&json!("1")), &metadata, "2026-11-21".parse().unwrap()).is_ok());
}

#[test]
fn reasons_name_things_and_never_values() {
    let slot = "cell|MjDsMonthA1|202610|g8upMTyEZGZ||MjDeOptnSet|";
    let today = "2026-11-21".parse().unwrap();
    let reason = resolve(slot, Some(&json!("secret name")), &metadata("2.40.12"), today).unwrap_err();
    assert_eq!(reason.message, "data element Yes?: the value is none of the option set's codes");
    assert_eq!(reason.hint, "map answers to option codes, case included: TA_NO, TA_YES");
}
