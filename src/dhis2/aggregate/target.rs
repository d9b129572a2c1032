//! The targets `dhis2.report` and `dhis2.count` of mapping files.
//!
//! Pure. A report has a part for each value and one for its completion; a count has a contribution for
//! each cell. Nothing here knows metadata: names are checked against it before they leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::fields::{self, Required, field, scalar};
use super::slot::{ComboName, ReportKey, Slot};
use crate::dhis2::naming::Naming;
use crate::mapping::output::{Aggregate, Contribution, Issue, Nature, Output, Part, Withdraw};
use crate::mapping::target::{Complaint, Evaluated, Kind, Named, Owned, Registry, Shape, Target};

/// Both targets, to be added to the registry of mappings.
pub fn register(registry: Registry) -> Registry {
    registry.with(Arc::new(Report)).with(Arc::new(Count))
}

/// `dhis2.report`: a data value set.
pub struct Report;

/// `dhis2.count`: contributions to aggregate cells.
pub struct Count;

impl Target for Report {
    fn kind(&self) -> &'static str {
        "dhis2.report"
    }

    fn doc(&self) -> &'static str {
        "A report: values of one data set, period and organisation unit, and its completion."
    }

    fn nature(&self) -> Nature {
        Nature::State
    }

    fn shape(&self) -> Shape {
        let mut shape = fields::common();
        shape.push(field(
            "complete",
            "Register the data set as complete once every value is accepted.",
            Required::No,
            Kind::Flag,
        ));
        let value = vec![
            field("dataElement", "The data element's uid.", Required::Yes, Kind::Value),
            combo_field(),
            field("value", "The value; left out where it is absent.", Required::Yes, Kind::Value),
            field("comment", "A comment on the value.", Required::No, Kind::Value),
        ];
        let doc = "The values of the report.";
        shape.push(field("values", doc, Required::Yes, Kind::Objects(Shape { fields: value })));
        Shape { fields: shape }
    }

    fn withdraw(&self) -> Withdraw {
        Withdraw::Keep
    }

    fn check(&self, literals: &Value) -> Vec<Complaint> {
        check(literals, "values")
    }

    fn owns(&self, literals: &Value) -> Vec<Owned> {
        owned(literals, "values")
    }

    fn names(&self, literals: &Value) -> Vec<Named> {
        names(literals, "values")
    }

    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        let report = fields::report_key(entry)?;
        let mut issues = Vec::new();
        let mut cells: BTreeMap<String, Value> = BTreeMap::new();
        let mut parts = Vec::new();
        for (at, value) in objects(entry, "values").iter().enumerate() {
            let Some((slot, wanted)) = cell(entry, &report, (at, value), &mut issues) else { continue };
            match cells.get(&slot) {
                Some(known) if *known == wanted => {}
                Some(_) => issues.push(doubled(entry, at, "values")),
                None => {
                    cells.insert(slot.clone(), wanted.clone());
                    parts.push(Part { slot, wanted, last: false });
                }
            }
        }
        if entry.fields.get("complete") == Some(&Value::Bool(true)) {
            complete(entry, &report, &mut parts, &mut issues);
        }
        Ok((output(entry, Nature::State, &report, parts, Vec::new()), issues))
    }

    fn preview(&self, output: &Output) -> Value {
        let mut set = output.body.clone();
        let mut values = Vec::new();
        for part in &output.parts {
            match part.wanted.get("completeDate") {
                Some(date) => set["completeDate"] = date.clone(),
                None => values.push(part.wanted.clone()),
            }
        }
        set["dataValues"] = Value::Array(values);
        set
    }
}

impl Target for Count {
    fn kind(&self) -> &'static str {
        "dhis2.count"
    }

    fn doc(&self) -> &'static str {
        "What one resource adds to aggregate cells of one data set, period and organisation unit."
    }

    fn nature(&self) -> Nature {
        Nature::Count
    }

    fn shape(&self) -> Shape {
        let mut shape = fields::common();
        let cell = vec![
            field("dataElement", "The data element's uid.", Required::Yes, Kind::Value),
            combo_field(),
            field("amount", "What is added; 1 where it is left out.", Required::No, Kind::Value),
            field(
                "aggregate",
                "How amounts become the cell; sum where it is left out.",
                Required::No,
                Kind::Word(&WORDS),
            ),
            field("distinct", "For `distinct`: what is counted once.", Required::No, Kind::Value),
        ];
        let doc = "The cells that the resource adds to.";
        shape.push(field("cells", doc, Required::Yes, Kind::Objects(Shape { fields: cell })));
        Shape { fields: shape }
    }

    fn withdraw(&self) -> Withdraw {
        Withdraw::Delete
    }

    fn check(&self, literals: &Value) -> Vec<Complaint> {
        check(literals, "cells")
    }

    fn owns(&self, literals: &Value) -> Vec<Owned> {
        owned(literals, "cells")
    }

    fn names(&self, literals: &Value) -> Vec<Named> {
        names(literals, "cells")
    }

    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        let report = fields::report_key(entry)?;
        let mut issues = Vec::new();
        let mut contributions: Vec<Contribution> = Vec::new();
        for (at, cell) in objects(entry, "cells").iter().enumerate() {
            let Some(found) = contribution(entry, &report, (at, cell), &mut issues) else { continue };
            if contributions.iter().any(|known| known.slot == found.slot) {
                issues.push(doubled(entry, at, "cells"));
            } else {
                contributions.push(found);
            }
        }
        Ok((output(entry, Nature::Count, &report, Vec::new(), contributions), issues))
    }

    /// What this resource alone would make of each cell.
    fn preview(&self, output: &Output) -> Value {
        let values = output.contributions.iter().map(|contribution| {
            let mut value = contribution.cell.clone();
            value["value"] = match contribution.aggregate {
                Aggregate::Count | Aggregate::Distinct => json!("1"),
                _ => json!(contribution.amount),
            };
            value
        });
        let mut set = output.body.clone();
        set["dataValues"] = values.collect();
        set
    }
}

const WORDS: [&str; 7] = ["sum", "count", "distinct", "average", "min", "max", "last"];

fn combo_field() -> crate::mapping::target::Field {
    field(
        "categoryOptionCombo",
        "The category option combo: a uid, a code, or { options: [VALUE, VALUE] }; the default where it is \
         left out.",
        Required::No,
        Kind::ValueOr(fields::options_shape()),
    )
}

fn check(literals: &Value, list: &str) -> Vec<Complaint> {
    let mut complaints = fields::check(literals);
    let items = literals.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (at, item) in items.iter().enumerate() {
        fields::uid(&mut complaints, item.get("dataElement"), &format!("{list}[{at}].dataElement"));
    }
    complaints
}

/// The cells that an entry names by constants. What is computed could be any, and is left to the
/// deliveries: there the later report wins and the other says so.
fn owned(literals: &Value, list: &str) -> Vec<Owned> {
    let named =
        |value: Option<&Value>| ComboName::of(value).map(|_| value.map(Value::to_string).unwrap_or_default());
    let set = literals.get("dataSet").and_then(scalar);
    let (Some(set), Some(attribute)) = (set, named(literals.get("attributeOptionCombo"))) else {
        return Vec::new();
    };
    let items = literals.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let cell = |(at, item): (usize, &Value)| {
        let element = item.get("dataElement").and_then(scalar)?;
        let combo = named(item.get("categoryOptionCombo"))?;
        Some(Owned { place: format!("{set}|{element}|{combo}|{attribute}"), field: format!("{list}[{at}]") })
    };
    items.iter().enumerate().filter_map(cell).collect()
}

/// Data set, unit, period type and combos, and the elements with their constant values.
fn names(literals: &Value, list: &str) -> Vec<Named> {
    let mut naming = Naming::of(literals);
    let set = naming.name("dataSet", "dataSet", &[]);
    let within: Vec<(&'static str, String)> = set.map(|set| ("dataSet", set)).into_iter().collect();
    naming.name("orgUnit", "orgUnit", &within);
    naming.name("periodType", "period.type", &within);
    naming.name("attributeOptionCombo", "attributeOptionCombo", &within);
    for at in 0..naming.len(list) {
        let value = if list == "values" { "value" } else { "" };
        let item = format!("{list}[{at}]");
        let element = naming.valued("dataElement", (&item, "dataElement", value), &within);
        let mut around: Vec<(&'static str, String)> =
            element.map(|element| ("dataElement", element)).into_iter().collect();
        around.extend(within.iter().cloned());
        naming.name("categoryOptionCombo", &format!("{item}.categoryOptionCombo"), &around);
    }
    naming.finish()
}

fn objects<'a>(entry: &Evaluated<'a>, list: &str) -> &'a [Value] {
    entry.fields.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Slot and wanted value of one value; nothing where the value is absent.
fn cell(
    entry: &Evaluated<'_>,
    report: &ReportKey,
    (at, value): (usize, &Value),
    issues: &mut Vec<Issue>,
) -> Option<(String, Value)> {
    let found = value.get("value").filter(|value| !value.is_null())?;
    let Some(text) = scalar(found) else {
        if !matches!(found, Value::String(_)) {
            issues.push(left_out(
                entry,
                &format!("values[{at}]"),
                "dhis2-value-not-scalar",
                "the value is no text, number or boolean",
            ));
        }
        return None;
    };
    let (slot, mut wanted) = place(entry, report, (&format!("values[{at}]"), value), issues)?;
    wanted["value"] = json!(text);
    if let Some(comment) = value.get("comment").and_then(scalar) {
        wanted["comment"] = json!(comment);
    }
    Some((slot, wanted))
}

/// Slot and cell (data element and combo) of a value or a count.
fn place(
    entry: &Evaluated<'_>,
    report: &ReportKey,
    (path, item): (&str, &Value),
    issues: &mut Vec<Issue>,
) -> Option<(String, Value)> {
    let Some(element) = item.get("dataElement").and_then(scalar) else {
        issues.push(left_out(entry, path, "dhis2-element-absent", "`dataElement` is absent"));
        return None;
    };
    let Some(combo) = ComboName::of(item.get("categoryOptionCombo")) else {
        issues.push(left_out(entry, path, "dhis2-combo-absent", "`categoryOptionCombo` is absent"));
        return None;
    };
    let mut cell = json!({ "dataElement": element });
    if let Some(combo) = combo.to_json() {
        cell["categoryOptionCombo"] = combo;
    }
    Some((Slot::Cell { report: report.clone(), element, combo }.to_string(), cell))
}

fn contribution(
    entry: &Evaluated<'_>,
    report: &ReportKey,
    (at, item): (usize, &Value),
    issues: &mut Vec<Issue>,
) -> Option<Contribution> {
    let path = format!("cells[{at}]");
    let aggregate = match item.get("aggregate").and_then(Value::as_str) {
        Some(word) => serde_json::from_value(json!(word)).ok()?,
        None => Aggregate::Sum,
    };
    let amount = match item.get("amount") {
        None => "1".to_owned(),
        Some(Value::Null) if matches!(aggregate, Aggregate::Count | Aggregate::Distinct) => "1".to_owned(),
        Some(Value::Null) => return None,
        Some(amount) => match scalar(amount).and_then(|text| text.parse::<Decimal>().ok()) {
            Some(amount) => amount.normalize().to_string(),
            None => {
                issues.push(left_out(entry, &path, "dhis2-amount-not-a-number", "`amount` is no number"));
                return None;
            }
        },
    };
    let distinct = item.get("distinct").and_then(scalar);
    if aggregate == Aggregate::Distinct && distinct.is_none() {
        issues.push(left_out(entry, &path, "dhis2-distinct-absent", "`distinct` is absent"));
        return None;
    }
    let (slot, cell) = place(entry, report, (&path, item), issues)?;
    Some(Contribution { slot, cell, aggregate, amount, distinct })
}

/// The completion is a part of its own. A report that lacks a value by fault is not complete.
fn complete(entry: &Evaluated<'_>, report: &ReportKey, parts: &mut Vec<Part>, issues: &mut Vec<Issue>) {
    let faulty = entry.faulty || !issues.is_empty();
    if !faulty && !parts.is_empty() {
        let date = fields::authored_day(entry).map(|date| date.to_string());
        let slot = Slot::Completion { report: report.clone() }.to_string();
        parts.push(Part { slot, wanted: json!({ "completeDate": date }), last: true });
        return;
    }
    let text = if parts.is_empty() { "it has no values" } else { "a value was left out" };
    let mut issue = Issue::error(
        "dhis2-not-complete",
        format!("not registered as complete: {text}"),
        entry.context.place,
    );
    issue.severity = crate::mapping::output::Severity::Warning;
    issues.push(issue);
}

fn left_out(entry: &Evaluated<'_>, path: &str, code: &str, why: &str) -> Issue {
    Issue::error(code, format!("`{path}` is left out: {why}"), entry.context.place)
        .with_hint("`mjumbe explain` shows where it comes from")
}

fn doubled(entry: &Evaluated<'_>, at: usize, list: &str) -> Issue {
    let text = format!("`{list}[{at}]` is left out: an earlier one names the same cell");
    Issue::error("dhis2-cell-doubled", text, entry.context.place)
        .with_hint("name each data element and combination once, or add the values up in the mapping")
}

fn output(
    entry: &Evaluated<'_>,
    nature: Nature,
    report: &ReportKey,
    parts: Vec<Part>,
    contributions: Vec<Contribution>,
) -> Output {
    Output {
        target: if nature == Nature::Count { "dhis2.count" } else { "dhis2.report" }.to_owned(),
        target_id: entry.target_id.to_owned(),
        destination: entry.destination.to_owned(),
        nature,
        key: entry.key.to_owned(),
        lane: report.lane(),
        body: fields::body(report),
        parts,
        contributions,
        withdraw: entry.withdraw,
        needs: entry.needs.to_vec(),
        authored_ms: entry.context.authored_ms,
        link: None,
        write_back: false,
        act: None,
    }
}

#[cfg(test)]
mod tests;
