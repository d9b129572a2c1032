//! Judges a part against mirrored metadata, without the network: what DHIS2 would refuse, and what it would
//! store although it is wrong.
//!
//! Whether an expired period has a lock exception only DHIS2 knows, so expiry is left to its answer.

use jiff::civil::Date;
use serde_json::Value;

use super::slot::{ComboName, ReportKey, Slot};
use crate::delivery::destination::Reason;
use crate::dhis2::answer::RowNames;
use crate::dhis2::metadata::Metadata;
use crate::dhis2::metadata::combo::{self, Problem};
use crate::dhis2::metadata::model::{CategoryCombo, DataSet};
use crate::dhis2::period::Period;
use crate::dhis2::value::{self, Rules, ValueType};
use crate::dhis2::version::Generation;

/// A part whose names are resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// `element` and `combo` are empty for a completion.
    pub names: RowNames,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Set { value: String, comment: Option<String>, value_type: ValueType, zero_may_vanish: bool },
    Delete,
    Complete { date: Option<String> },
    Uncomplete,
}

/// Resolves one part.
///
/// # Errors
/// Why it must not be sent.
pub fn resolve(
    slot: &str,
    wanted: Option<&Value>,
    metadata: &Metadata,
    today: Date,
) -> Result<Resolved, Reason> {
    let slot = Slot::parse(slot).ok_or_else(unreadable)?;
    let set = report_fits(slot.report(), wanted.is_some(), metadata, today)?;
    let attribute = attribute(slot.report(), set, metadata)?;
    let report = slot.report();
    let mut names = RowNames {
        data_set: report.data_set.clone(),
        unit: report.unit.clone(),
        period: report.period.clone(),
        attribute,
        ..RowNames::default()
    };
    let content = match (&slot, wanted) {
        (Slot::Completion { .. }, Some(wanted)) => {
            Content::Complete { date: wanted["completeDate"].as_str().map(str::to_owned) }
        }
        (Slot::Completion { .. }, None) => Content::Uncomplete,
        (Slot::Cell { element, combo, .. }, wanted) => {
            names.combo = cell_combo(set, element, combo, metadata)?;
            names.element = element.clone();
            match wanted {
                Some(wanted) => set_value(element, wanted, metadata)?,
                None => Content::Delete,
            }
        }
    };
    Ok(Resolved { names, content })
}

/// Data set, period and organisation unit. What is withdrawn need not fit any more.
fn report_fits<'a>(
    report: &ReportKey,
    wanted: bool,
    metadata: &'a Metadata,
    today: Date,
) -> Result<&'a DataSet, Reason> {
    if !metadata.system.has_iso_calendar() {
        return Err(Reason::new(
            "dhis2-calendar-unsupported",
            format!(
                "DHIS2 uses the calendar {}, whose periods cannot be computed here",
                metadata.system.calendar
            ),
            "only the ISO calendar is supported",
        ));
    }
    let set = metadata.data_sets.get(&report.data_set).ok_or_else(|| {
        Reason::new(
            "dhis2-data-set-unknown",
            format!("there is no data set {} that this account may see", report.data_set),
            "see that the data set exists and is shared with the account",
        )
    })?;
    if wanted {
        unit_fits(report, set, metadata)?;
        period_fits(report, set, metadata, today)?;
    }
    Ok(set)
}

fn unit_fits(report: &ReportKey, set: &DataSet, metadata: &Metadata) -> Result<(), Reason> {
    let unit = metadata.units.get(&report.unit).ok_or_else(|| {
        Reason::new(
            "dhis2-unit-unknown",
            format!("there is no organisation unit {} that this account may see", report.unit),
            "give the uid of an organisation unit; `with: { unit: { orgUnit: …, by: code } }` finds it by code",
        )
    })?;
    if !set.units.contains(&report.unit) {
        return Err(Reason::new(
            "dhis2-unit-not-assigned",
            format!(
                "the organisation unit {} ({}) is not assigned to the data set {}",
                unit.name, report.unit, set.name
            ),
            "assign it in DHIS2 (Maintenance, Data set), then retry",
        ));
    }
    let Ok(period) = Period::parse(&report.period) else { return Ok(()) };
    let early = unit.opened.is_some_and(|opened| period.end() < opened);
    if early || unit.closed.is_some_and(|closed| period.start() > closed) {
        return Err(Reason::new(
            "dhis2-unit-closed",
            format!(
                "the organisation unit {} ({}) was not open in {}",
                unit.name, report.unit, report.period
            ),
            "look at its opening and closing dates in DHIS2",
        ));
    }
    Ok(())
}

fn period_fits(report: &ReportKey, set: &DataSet, metadata: &Metadata, today: Date) -> Result<(), Reason> {
    let period = Period::parse(&report.period)
        .map_err(|error| Reason::new("dhis2-period-malformed", error.to_string(), error.hint()))?;
    if set.period_type != Some(period.kind()) {
        return Err(Reason::new(
            "dhis2-period-type-wrong",
            format!(
                "{} is no {} period, which the data set {} takes",
                report.period, set.period_type_name, set.name
            ),
            format!("write period: {{ type: {} }} in the mapping", set.period_type_name),
        ));
    }
    if let Some(version) = metadata.system.version {
        period
            .kind()
            .check(version)
            .map_err(|error| Reason::new("dhis2-period-type-too-new", error.to_string(), error.hint()))?;
    }
    if !set.input_periods.is_empty() && !set.input_periods.contains(&period.to_string()) {
        return Err(Reason::new(
            "dhis2-period-closed",
            format!("{} is none of the data set {}'s input periods", report.period, set.name),
            "add it to the data set's input periods in DHIS2, then retry",
        ));
    }
    let newest = Period::containing(period.kind(), today)
        .and_then(|current| current.shift(set.open_future_periods.saturating_sub(1)));
    let free = metadata.system.may_edit_expired
        && metadata.system.version.is_some_and(|version| version.generation() == Generation::Pipeline);
    match newest {
        Ok(newest) if !free && period.start() > newest.start() => Err(Reason::new(
            "dhis2-period-not-open",
            format!(
                "the data set {} does not take {} yet: {newest} is the latest open period",
                set.name, report.period
            ),
            format!("retry after {}, or raise the data set's open future periods in DHIS2", period.end()),
        )),
        _ => Ok(()),
    }
}

fn attribute(report: &ReportKey, set: &DataSet, metadata: &Metadata) -> Result<String, Reason> {
    let Some(category_combo) = metadata.combos.get(&set.combo) else {
        return Ok(as_written(&report.attribute));
    };
    combo::resolve(&report.attribute, category_combo).map_err(|problem| {
        wrong_combo(problem, category_combo, ("dhis2-attribute-combo", &format!("the data set {}", set.name)))
    })
}

fn cell_combo(set: &DataSet, element: &str, name: &ComboName, metadata: &Metadata) -> Result<String, Reason> {
    if !set.elements.contains_key(element) {
        let known = metadata.elements.get(element);
        return Err(Reason::new(
            "dhis2-element-not-in-set",
            format!(
                "the data element {} is not in the data set {}",
                known.map_or(element, |known| known.name.as_str()),
                set.name
            ),
            "add it to the data set in DHIS2, or correct the mapping",
        ));
    }
    let Some(category_combo) = metadata.combo_of(set, element) else { return Ok(as_written(name)) };
    let label = metadata.elements.get(element).map_or(element, |known| known.name.as_str());
    combo::resolve(name, category_combo).map_err(|problem| {
        wrong_combo(problem, category_combo, ("dhis2-combo", &format!("the data element {label}")))
    })
}

/// Without metadata of its category combo a name is sent as it is, the default as nothing.
fn as_written(name: &ComboName) -> String {
    match name {
        ComboName::Named(name) => name.clone(),
        ComboName::Default | ComboName::Options(_) => String::new(),
    }
}

fn wrong_combo(problem: Problem, category_combo: &CategoryCombo, (code, whose): (&str, &str)) -> Reason {
    let (end, message) = match problem {
        Problem::LeftOut => (
            "left-out",
            format!("{whose} is disaggregated ({}), and no combination is named", category_combo.name),
        ),
        Problem::NoSuch => {
            ("wrong", format!("{whose} ({}) has no combination like the one named", category_combo.name))
        }
        Problem::Several => (
            "ambiguous",
            format!("several combinations of {whose} ({}) are like the one named", category_combo.name),
        ),
    };
    Reason::new(&format!("{code}-{end}"), message, format!("one of: {}", combo::choices(category_combo)))
}

fn set_value(element: &str, wanted: &Value, metadata: &Metadata) -> Result<Content, Reason> {
    let text = text_of(wanted).ok_or_else(unreadable)?;
    let known = metadata.elements.get(element);
    let value_type = known.map_or(ValueType::Other, |known| known.value_type);
    let options = known.and_then(|known| metadata.option_sets.get(known.option_set.as_ref()?));
    let value = value::normalise(&text, Rules { value_type, options }).map_err(|refusal| {
        let name = known.map_or(element, |known| known.name.as_str());
        let hint = match options {
            Some(options) => {
                let codes: Vec<&str> = options.iter().take(10).map(String::as_str).collect();
                format!("map answers to option codes, case included: {}", codes.join(", "))
            }
            None => "`mjumbe explain` shows where the value comes from".to_owned(),
        };
        Reason::new(refusal.code(), format!("data element {name}: {refusal}"), hint)
    })?;
    let comment = wanted.get("comment").and_then(Value::as_str).map(value::without_controls);
    let zero_may_vanish = known.is_some_and(|known| !known.zero_is_significant) && value::is_zero(&value);
    Ok(Content::Set { value, comment, value_type, zero_may_vanish })
}

/// The value of a report's part, or the computed amount of a count.
fn text_of(wanted: &Value) -> Option<String> {
    match wanted.get("value").unwrap_or(wanted) {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn unreadable() -> Reason {
    Reason::new(
        "dhis2-part-unreadable",
        "this part was not made by this version of the aggregate targets",
        "the next version of its source is mapped anew; or `mjumbe deliveries cancel` this one",
    )
}

#[cfg(test)]
mod tests;
