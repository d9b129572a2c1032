//! The place of a part, as text: `cell|SET|PERIOD|UNIT|ATTRIBUTE|ELEMENT|COMBO` or
//! `completion|SET|PERIOD|UNIT|ATTRIBUTE`.
//!
//! Made of the names in the mapping, so that it is stable; read back when the part is sent, so that a
//! withdrawn part needs nothing else.

use std::fmt;

use serde_json::{Value, json};

/// A category or attribute option combo, as a mapping names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComboName {
    /// Not named: the default combo.
    Default,
    /// A uid or a code.
    Named(String),
    /// Category options by uid, code or name, in any order.
    Options(Vec<String>),
}

/// The key that all parts of one report share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReportKey {
    pub data_set: String,
    /// As DHIS2 writes it.
    pub period: String,
    pub unit: String,
    pub attribute: ComboName,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    Cell { report: ReportKey, element: String, combo: ComboName },
    Completion { report: ReportKey },
}

impl Slot {
    pub fn report(&self) -> &ReportKey {
        match self {
            Self::Cell { report, .. } | Self::Completion { report } => report,
        }
    }

    /// Reads what [`Display`](std::fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split('|').collect();
        match fields.as_slice() {
            ["cell", set, period, unit, attribute, element, combo] => Some(Self::Cell {
                report: report(set, period, unit, attribute)?,
                element: decode(element)?,
                combo: ComboName::parse(combo)?,
            }),
            ["completion", set, period, unit, attribute] => {
                Some(Self::Completion { report: report(set, period, unit, attribute)? })
            }
            _ => None,
        }
    }
}

fn report(set: &str, period: &str, unit: &str, attribute: &str) -> Option<ReportKey> {
    Some(ReportKey {
        data_set: decode(set)?,
        period: decode(period)?,
        unit: decode(unit)?,
        attribute: ComboName::parse(attribute)?,
    })
}

impl ReportKey {
    /// What travels in order: one data set, period and organisation unit.
    pub fn lane(&self) -> String {
        format!("{}|{}|{}", encode(&self.data_set), encode(&self.period), encode(&self.unit))
    }
}

impl ComboName {
    /// As a mapping's evaluated field: a scalar, `{ options: […] }`, or left out.
    pub fn of(field: Option<&Value>) -> Option<Self> {
        match field {
            None => Some(Self::Default),
            Some(Value::String(text)) if !text.trim().is_empty() => Some(Self::Named(text.trim().to_owned())),
            Some(Value::Number(number)) => Some(Self::Named(number.to_string())),
            Some(Value::Object(object)) => {
                let options = object.get("options")?.as_array()?;
                let mut names: Vec<String> = options.iter().filter_map(scalar).collect();
                if names.is_empty() || names.len() != options.len() {
                    return None;
                }
                names.sort();
                Some(Self::Options(names))
            }
            Some(_) => None,
        }
    }

    /// As a mapping writes it; nothing for the default.
    pub fn to_json(&self) -> Option<Value> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(json!(name)),
            Self::Options(options) => Some(json!({ "options": options })),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Default);
        }
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(options) => Some(Self::Options(options.split(',').map(decode).collect::<Option<_>>()?)),
            None => Some(Self::Named(decode(text)?)),
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

impl fmt::Display for ComboName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Named(name) => f.write_str(&encode(name)),
            Self::Options(options) => {
                let options: Vec<String> = options.iter().map(|option| encode(option)).collect();
                write!(f, "{{{}}}", options.join(","))
            }
        }
    }
}

impl fmt::Display for ReportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.lane(), self.attribute)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cell { report, element, combo } => {
                write!(f, "cell|{report}|{}|{combo}", encode(element))
            }
            Self::Completion { report } => write!(f, "completion|{report}"),
        }
    }
}

const MARKS: [char; 5] = ['%', '|', '{', '}', ','];

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if MARKS.contains(&c) { out.push_str(&format!("%{:02X}", u32::from(c))) } else { out.push(c) }
    }
    out
}

fn decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_what_it_is() {
        let report = ReportKey {
            data_set: "VEM58nY22sO".to_owned(),
            period: "202601".to_owned(),
            unit: "O6uvpzGd5pu".to_owned(),
            attribute: ComboName::Default,
        };
        let slot = Slot::Cell {
            report,
            element: "FTRrcoaog83".to_owned(),
            combo: ComboName::of(Some(&json!({"options": ["Male", "0-4, 5"]}))).unwrap(),
        };
        let text = "cell|VEM58nY22sO|202601|O6uvpzGd5pu||FTRrcoaog83|{0-4%2C 5,Male}";
        assert_eq!(slot.to_string(), text);
        assert_eq!(Slot::parse(text), Some(slot));
        assert_eq!(ComboName::of(Some(&Value::Null)), None);
        assert_eq!(ComboName::of(Some(&json!({"options": ["a", null]}))), None);
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(names in proptest::collection::vec(".{1,8}", 5), options: bool) {
            let combo = if options {
                ComboName::Options(vec![names[3].clone(), names[4].clone()])
            } else {
                ComboName::Named(names[3].clone())
            };
            let report = ReportKey {
                data_set: names[0].clone(),
                period: names[1].clone(),
                unit: names[2].clone(),
                attribute: ComboName::Default,
            };
            let slot = Slot::Cell { report, element: names[4].clone(), combo };
            prop_assert_eq!(Slot::parse(&slot.to_string()), Some(slot));
        }
    }
}
