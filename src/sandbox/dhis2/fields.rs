//! Which of an object's properties are shown, and which objects.
//!
//! `fields=id,parent[id,name],*` and `filter=name:like:x`. A reference shows what is asked of it by
//! looking the object up.

use serde_json::{Map, Value, json};

use super::country::Country;

/// A parsed `fields` parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    /// `*`, `:all`, `:owner`
    All,
    /// `:identifiable`, `:nameable`
    Preset(&'static [&'static str]),
    /// `!name`
    Not(String),
    /// A property, and what is asked of what it refers to.
    Named(String, Vec<Field>),
}

const IDENTIFIABLE: &[&str] = &["id", "code", "name", "created", "lastUpdated"];

/// Reads `id,name,parent[id]`.
pub(super) fn parse(text: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    for part in split_top(text) {
        let (name, nested) = match part.split_once('[') {
            Some((name, rest)) => (name, parse(rest.strip_suffix(']').unwrap_or(rest))),
            None => (part, Vec::new()),
        };
        fields.push(match name.trim() {
            "" => continue,
            "*" | ":all" | ":owner" => Field::All,
            ":identifiable" | ":nameable" => Field::Preset(IDENTIFIABLE),
            name => match name.strip_prefix('!') {
                Some(name) => Field::Not(name.to_owned()),
                None => Field::Named(name.to_owned(), nested),
            },
        });
    }
    fields
}

/// Splits at commas outside of brackets.
fn split_top(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// An object with only the fields that are asked for.
pub(super) fn show(country: &Country, object: &Value, fields: &[Field]) -> Value {
    let Value::Object(object) = object else { return object.clone() };
    let mut shown = Map::new();
    for field in fields {
        match field {
            Field::All => shown.extend(object.clone()),
            Field::Preset(names) => {
                let own =
                    names.iter().filter_map(|name| Some(((*name).to_owned(), object.get(*name)?.clone())));
                shown.extend(own);
            }
            Field::Named(name, nested) => {
                if let Some(value) = object.get(name) {
                    shown.insert(name.clone(), show_value(country, value, nested));
                }
            }
            Field::Not(_) => {}
        }
    }
    for field in fields {
        if let Field::Not(name) = field {
            shown.shift_remove(name);
        }
    }
    shown.into()
}

fn show_value(country: &Country, value: &Value, nested: &[Field]) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| show_value(country, item, nested)).collect(),
        Value::Object(object) if nested.is_empty() => match object.get("id") {
            Some(id) => json!({ "id": id }),
            None => value.clone(),
        },
        Value::Object(object) => {
            // A bare reference: the object itself has the rest.
            let id = object.get("id").and_then(Value::as_str);
            let whole = id.filter(|_| object.len() == 1).and_then(|id| country.object(id));
            show(country, whole.as_ref().unwrap_or(value), nested)
        }
        other => other.clone(),
    }
}

/// A parsed `filter` parameter.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    path: Vec<String>,
    operator: String,
    operand: String,
}

/// Why a filter cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadFilter {
    Property(String),
    Operator(String),
}

const OPERATORS: &[&str] = &[
    "eq", "!eq", "ne", "neq", "ieq", "like", "ilike", "$like", "$ilike", "like$", "ilike$", "!like",
    "!ilike", "gt", "ge", "gte", "lt", "le", "lte", "null", "!null", "empty", "in", "!in", "token", "!token",
];
const PROPERTIES: &[&str] = &[
    "id",
    "code",
    "name",
    "displayName",
    "shortName",
    "level",
    "path",
    "parent",
    "lastUpdated",
    "created",
    "openingDate",
    "closedDate",
    "valueType",
    "aggregationType",
    "domainType",
    "periodType",
    "categoryCombo",
    "categoryOptions",
    "categories",
    "isDefault",
    "dataSetElements",
    "organisationUnits",
    "options",
    "optionSet",
    "ancestors",
    "leaf",
    "dataDimensionType",
    "zeroIsSignificant",
    "expiryDays",
    "openFuturePeriods",
    "version",
    "children",
    "program",
    "programType",
    "programStages",
    "programTrackedEntityAttributes",
    "programStageDataElements",
    "trackedEntityType",
    "trackedEntityTypeAttributes",
    "unique",
    "repeatable",
];

impl Filter {
    /// Reads `name:like:x`.
    pub fn parse(text: &str) -> Result<Self, BadFilter> {
        let mut parts = text.splitn(3, ':');
        let path: Vec<String> = parts.next().unwrap_or("").split('.').map(str::to_owned).collect();
        let operator = parts.next().unwrap_or("").to_owned();
        let operand = parts.next().unwrap_or("").to_owned();
        let first = path.first().cloned().unwrap_or_default();
        if !PROPERTIES.contains(&first.as_str()) {
            return Err(BadFilter::Property(first));
        }
        if !OPERATORS.contains(&operator.as_str()) {
            return Err(BadFilter::Operator(operator));
        }
        Ok(Self { path, operator, operand })
    }

    pub fn holds(&self, country: &Country, object: &Value) -> bool {
        let found = values_at(country, object, &self.path);
        let operand = self.operand.as_str();
        let list = || operand.trim_matches(['[', ']']).split(',').map(str::trim);
        let any = |test: &dyn Fn(&str) -> bool| found.iter().any(|value| test(value));
        let lower = operand.to_lowercase();
        match self.operator.as_str() {
            "eq" => any(&|value| value == operand),
            "!eq" | "ne" | "neq" => !any(&|value| value == operand),
            "ieq" => any(&|value| value.to_lowercase() == lower),
            "like" | "ilike" | "token" => any(&|value| value.to_lowercase().contains(&lower)),
            "!like" | "!ilike" | "!token" => !any(&|value| value.to_lowercase().contains(&lower)),
            "$like" | "$ilike" => any(&|value| value.to_lowercase().starts_with(&lower)),
            "like$" | "ilike$" => any(&|value| value.to_lowercase().ends_with(&lower)),
            "gt" => any(&|value| value > operand),
            "ge" | "gte" => any(&|value| value >= operand),
            "lt" => any(&|value| value < operand),
            "le" | "lte" => any(&|value| value <= operand),
            "null" | "empty" => found.is_empty(),
            "!null" => !found.is_empty(),
            "in" => list().any(|wanted| found.iter().any(|value| value == wanted)),
            _ => !list().any(|wanted| found.iter().any(|value| value == wanted)),
        }
    }
}

fn values_at(country: &Country, object: &Value, path: &[String]) -> Vec<String> {
    let Some((name, rest)) = path.split_first() else {
        return match object {
            Value::Null => Vec::new(),
            Value::String(text) => vec![text.clone()],
            Value::Array(items) => items.iter().flat_map(|item| values_at(country, item, path)).collect(),
            Value::Object(object) => {
                object.get("id").and_then(Value::as_str).map(str::to_owned).into_iter().collect()
            }
            other => vec![other.to_string()],
        };
    };
    match object {
        Value::Array(items) => items.iter().flat_map(|item| values_at(country, item, path)).collect(),
        Value::Object(own) => match own.get(name) {
            Some(value) => values_at(country, value, rest),
            None => {
                let id = own.get("id").and_then(Value::as_str).filter(|_| own.len() == 1);
                let whole = id.and_then(|id| country.object(id));
                whole
                    .and_then(|whole| whole.get(name).map(|value| values_at(country, value, rest)))
                    .unwrap_or_default()
            }
        },
        _ => Vec::new(),
    }
}
