//! Fields that both aggregate targets have: data set, organisation unit, period, attribute option combo.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::slot::{ComboName, ReportKey};
use crate::dhis2::period::{Kind, Period};
use crate::mapping::output::Issue;
use crate::mapping::target::{Complaint, Evaluated, Field, Kind as FieldKind, Shape};

pub(super) fn common() -> Vec<Field> {
    vec![
        field("dataSet", "The data set's uid.", Required::Yes, FieldKind::Value),
        field("orgUnit", "The organisation unit's uid.", Required::Yes, FieldKind::Value),
        field("period", "The period of the data.", Required::Yes, FieldKind::Object(period_shape())),
        field(
            "attributeOptionCombo",
            "The attribute option combo: a uid, a code, or { options: [VALUE, VALUE] }; the default where it \
             is left out.",
            Required::No,
            FieldKind::ValueOr(options_shape()),
        ),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::dhis2) enum Required {
    Yes,
    No,
}

pub(in crate::dhis2) fn field(
    name: &'static str,
    doc: &'static str,
    required: Required,
    kind: FieldKind,
) -> Field {
    Field { name, doc, required: required == Required::Yes, kind }
}

fn period_shape() -> Shape {
    Shape {
        fields: vec![
            field("type", "The period type, as DHIS2 names it.", Required::No, FieldKind::Word(&Kind::NAMES)),
            field("at", "A date or time within the period.", Required::No, FieldKind::Value),
            field("shift", "So many periods later; -1 is the one before.", Required::No, FieldKind::Integer),
            field("is", "The period itself, as DHIS2 writes it: 202601.", Required::No, FieldKind::Value),
        ],
    }
}

pub(super) fn options_shape() -> Shape {
    Shape {
        fields: vec![field(
            "options",
            "The category options, by uid, code or name, in any order.",
            Required::Yes,
            FieldKind::List,
        )],
    }
}

/// What is wrong whatever the data.
pub(super) fn check(literals: &Value) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    uid(&mut complaints, literals.get("dataSet"), "dataSet");
    uid(&mut complaints, literals.get("orgUnit"), "orgUnit");
    let period = literals.get("period");
    if let Some(name) = period.and_then(|period| period.get("type")).and_then(Value::as_str)
        && Kind::named(name).is_none()
    {
        complaints.push(Complaint {
            field: "period.type".to_owned(),
            message: format!("\"{name}\" is no period type of DHIS2"),
            hint: Some(like(name)),
        });
    }
    if let Some(text) = period.and_then(|period| period.get("is")).and_then(scalar)
        && let Err(error) = Period::parse(&text)
    {
        complaints.push(Complaint {
            field: "period.is".to_owned(),
            message: error.to_string(),
            hint: Some(error.hint().to_owned()),
        });
    }
    complaints
}

fn like(name: &str) -> String {
    let best = Kind::NAMES.iter().max_by(|one, other| {
        strsim::jaro_winkler(&one.to_lowercase(), &name.to_lowercase())
            .total_cmp(&strsim::jaro_winkler(&other.to_lowercase(), &name.to_lowercase()))
    });
    format!("did you mean {}?", best.copied().unwrap_or("Monthly"))
}

/// A constant that must be a uid and is none.
pub(in crate::dhis2) fn uid(complaints: &mut Vec<Complaint>, literal: Option<&Value>, path: &str) {
    if let Some(text) = literal.and_then(scalar)
        && !crate::dhis2::value::is_uid(&text)
    {
        complaints.push(Complaint {
            field: path.to_owned(),
            message: format!("\"{text}\" is no uid of DHIS2"),
            hint: Some(
                "a uid has eleven letters and digits and begins with a letter: VEM58nY22sO".to_owned(),
            ),
        });
    }
}

/// The key of an entry.
pub(super) fn report_key(entry: &Evaluated<'_>) -> Result<ReportKey, Vec<Issue>> {
    let mut issues = Vec::new();
    let mut required = |name: &str, code: &str| {
        let found = entry.fields.get(name).and_then(scalar);
        if found.is_none() {
            issues.push(absent(entry, name, code));
        }
        found.unwrap_or_default()
    };
    let data_set = required("dataSet", "dhis2-data-set-absent");
    let unit = required("orgUnit", "dhis2-unit-absent");
    let attribute = ComboName::of(entry.fields.get("attributeOptionCombo"));
    if attribute.is_none() {
        issues.push(absent(entry, "attributeOptionCombo", "dhis2-attribute-combo-absent"));
    }
    match (period(entry), attribute) {
        (Ok(period), Some(attribute)) if issues.is_empty() => {
            Ok(ReportKey { data_set, period: period.to_string(), unit, attribute })
        }
        (period, _) => {
            issues.extend(period.err());
            Err(issues)
        }
    }
}

fn absent(entry: &Evaluated<'_>, name: &str, code: &str) -> Issue {
    let place = entry.context.place;
    Issue::error(code, format!("nothing is sent: `{name}` is absent"), place).with_hint(
        "`mjumbe explain` shows where the value comes from; give it a `default`, or `required: true`",
    )
}

fn period(entry: &Evaluated<'_>) -> Result<Period, Issue> {
    let place = entry.context.place;
    let fields = entry.fields.get("period").unwrap_or(&Value::Null);
    let wrong = |error: crate::dhis2::period::Error| {
        Issue::error(error.code(), error.to_string(), place).with_hint(error.hint())
    };
    let shift = fields.get("shift").and_then(Value::as_i64).unwrap_or(0);
    let shift = i32::try_from(shift).unwrap_or(i32::MAX);
    let kind = fields.get("type").and_then(Value::as_str).and_then(Kind::named);
    if let Some(is) = fields.get("is") {
        let text = scalar(is).ok_or_else(|| absent(entry, "period.is", "dhis2-period-absent"))?;
        let period = Period::parse(&text).map_err(wrong)?;
        if kind.is_some_and(|kind| kind != period.kind()) {
            return Err(Issue::error(
                "dhis2-period-type-wrong",
                format!("{text} is no period of the type that the mapping names"),
                place,
            )
            .with_hint("leave `type` out beside `is`, or correct one of them"));
        }
        return period.shift(shift).map_err(wrong);
    }
    let kind = kind.ok_or_else(|| {
        Issue::error("dhis2-period-type-absent", "nothing is sent: the period has no `type`", place)
            .with_hint("write period: { type: Monthly, at: $.resource.authored } or period: { is: … }")
    })?;
    let at = fields.get("at").and_then(scalar);
    let at = at.ok_or_else(|| absent(entry, "period.at", "dhis2-period-absent"))?;
    let (first, last) = days_of(&at, entry.context.zone).ok_or_else(|| {
        Issue::error("dhis2-period-date-unreadable", "nothing is sent: `period.at` is no date", place)
            .with_hint("use a FHIR date or dateTime, or convert it with `type: date` and `format`")
    })?;
    let period = Period::containing(kind, first).map_err(wrong)?;
    if !period.contains(last) {
        let text = format!("nothing is sent: `period.at` is too imprecise for a {} period", kind.name());
        return Err(Issue::error("dhis2-period-date-imprecise", text, place).with_hint("use a full date"));
    }
    period.shift(shift).map_err(wrong)
}

/// The days that a FHIR date or dateTime covers; a time with an offset is seen from the tenant's zone.
pub(in crate::dhis2) fn days_of(text: &str, zone: &TimeZone) -> Option<(Date, Date)> {
    if text.contains('T') {
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            let day = instant.to_zoned(zone.clone()).date();
            return Some((day, day));
        }
        let day = text.parse::<jiff::civil::DateTime>().ok()?.date();
        return Some((day, day));
    }
    if text.len() == 10 {
        let day = text.parse::<Date>().ok()?;
        return Some((day, day));
    }
    let (year, month) = text.split_once('-').map_or((text, None), |(year, month)| (year, Some(month)));
    if year.len() != 4 || month.is_some_and(|month| month.len() != 2) {
        return None;
    }
    let year = year.parse().ok()?;
    let first = Date::new(year, month.unwrap_or("1").parse().ok()?, 1).ok()?;
    Some((first, if month.is_some() { first.last_of_month() } else { first.last_of_year() }))
}

/// The event's day in the tenant's zone.
pub(super) fn authored_day(entry: &Evaluated<'_>) -> Option<Date> {
    let instant = jiff::Timestamp::from_millisecond(entry.context.authored_ms).ok()?;
    Some(instant.to_zoned(entry.context.zone.clone()).date())
}

/// The document that all parts share.
pub(super) fn body(report: &ReportKey) -> Value {
    let mut body = json!({ "dataSet": report.data_set, "period": report.period, "orgUnit": report.unit });
    if let Some(attribute) = report.attribute.to_json() {
        body["attributeOptionCombo"] = attribute;
    }
    body
}

/// Text of a scalar, without control characters and outer blanks; nothing where that leaves nothing.
pub(in crate::dhis2) fn scalar(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => crate::dhis2::value::without_controls(text),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return None,
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
