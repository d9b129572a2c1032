//! What there is in a workspace, what is missing, and making it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::needs::{FieldType, Needs};
use super::webhook::GLOBAL;
use crate::rapidpro::client::fault::{Fault, Kind};
use crate::rapidpro::client::{Call, Client, Method};
use crate::rapidpro::flow;

/// No list of a workspace has more pages: its limit is 250 fields, groups and globals, which is one.
const PAGES_MAX: usize = 40;
/// RapidPro's own limit of a field's name.
const FIELD_NAME_MAX: usize = 36;

/// One thing that mappings need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `field`, `group`, `global`, `flow`.
    pub kind: &'static str,
    pub name: String,
    /// `number` for a field of that type; may be empty.
    pub detail: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It was there.
    There,
    Made,
    /// It would be made, were this not a dry run.
    Missing,
    /// It could not be made, or is not as it should be.
    Failed {
        reason: String,
        hint: String,
    },
}

/// What a step may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Look,
    Make,
}

/// Looks for everything, and makes what is missing. `secret` is the webhook's, for the global that flows name.
///
/// # Errors
/// [`Fault`] where not even the lists can be read.
pub async fn apply(
    client: &Client,
    needs: &Needs,
    secret: Option<&str>,
    mode: Mode,
) -> Result<Vec<Step>, Fault> {
    let mut steps = Vec::new();
    let fields = list(client, "fields").await?;
    for (key, kind) in &needs.fields {
        steps.push(field(client, (key, *kind), &fields, mode).await);
    }
    let groups = list(client, "groups").await?;
    for name in &needs.groups {
        steps.push(group(client, name, &groups, mode).await);
    }
    if let Some(secret) = secret.filter(|_| !needs.answers_of.is_empty()) {
        steps.push(global(client, secret, mode).await);
    }
    let flows = list(client, "flows").await?;
    for name in needs.answers_of.iter().chain(&needs.started) {
        if !steps.iter().any(|step| step.kind == "flow" && step.name == *name) {
            steps.push(flow_step(name, &flows));
        }
    }
    Ok(steps)
}

/// All rows of a list.
///
/// # Errors
/// [`Fault`]
pub async fn list(client: &Client, endpoint: &str) -> Result<Vec<Value>, Fault> {
    let (mut rows, mut query) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page = client.page(endpoint, &query).await?;
        rows.extend(page.results);
        match page.next {
            Some(next) => query = next,
            None => break,
        }
    }
    Ok(rows)
}

fn is(row: &Value, key: &str, wanted: &str) -> bool {
    row.get(key).and_then(Value::as_str).is_some_and(|text| text.to_lowercase() == wanted.to_lowercase())
}

async fn field(client: &Client, (key, kind): (&str, FieldType), rows: &[Value], mode: Mode) -> Step {
    let step =
        |outcome| Step { kind: "field", name: key.to_owned(), detail: kind.word().to_owned(), outcome };
    if let Some(row) = rows.iter().find(|row| is(row, "key", key)) {
        return step(of_type(row, kind));
    }
    let Some(name) = name_of(key) else {
        let reason = "no name gives this key: RapidPro makes keys of names of at most 36 letters and digits";
        return step(failed(reason, "use another key in the mapping"));
    };
    if mode == Mode::Look {
        return step(Outcome::Missing);
    }
    let body = json!({ "name": name, "type": kind.word() });
    let made = match post(client, "fields", "", &body).await {
        // 7.4 has only the older words.
        Err(fault)
            if fault.fields.iter().any(|fault| matches!(fault.field.as_str(), "label" | "value_type")) =>
        {
            let older = if kind == FieldType::Number { "numeric" } else { kind.word() };
            post(client, "fields", "", &json!({ "label": name, "value_type": older })).await
        }
        made => made,
    };
    step(match made {
        Ok(answer) if is(&answer, "key", key) => Outcome::Made,
        Ok(_) => failed("RapidPro gave it another key", "look at the list of fields in RapidPro"),
        Err(fault) => refused(&fault),
    })
}

/// `type`, in 7.4 `value_type`, in 7.4 `numeric`.
fn of_type(row: &Value, kind: FieldType) -> Outcome {
    let there = row.get("type").or_else(|| row.get("value_type")).and_then(Value::as_str).unwrap_or("text");
    let there = if there == "numeric" { "number" } else { there };
    if kind == FieldType::Text || there == kind.word() || there == "text" {
        return Outcome::There;
    }
    let reason = format!("it is there as {there}: RapidPro would not read the values back");
    failed(reason, "change its type in RapidPro (Contacts, Fields), or use another key in the mapping")
}

/// A name of which RapidPro makes this key: `village_id` → `Village id`.
fn name_of(key: &str) -> Option<String> {
    let words = key.replace('_', " ");
    let mut letters = words.chars();
    let name: String = letters.next()?.to_uppercase().chain(letters).collect();
    (flow::key(&name) == key && name.chars().count() <= FIELD_NAME_MAX).then_some(name)
}

async fn group(client: &Client, name: &str, rows: &[Value], mode: Mode) -> Step {
    let step = |outcome| Step { kind: "group", name: name.to_owned(), detail: String::new(), outcome };
    if let Some(row) = rows.iter().find(|row| is(row, "name", name)) {
        let smart = row.get("query").is_some_and(|query| !query.is_null());
        return step(match smart {
            true => failed("it is a smart group: nobody can be added", "name another group in the mapping"),
            false => Outcome::There,
        });
    }
    if mode == Mode::Look {
        return step(Outcome::Missing);
    }
    step(match post(client, "groups", "", &json!({ "name": name })).await {
        Ok(_) => Outcome::Made,
        Err(fault) => refused(&fault),
    })
}

/// The secret as a global, so that it stands in no flow: definitions are exported and shown to editors.
async fn global(client: &Client, secret: &str, mode: Mode) -> Step {
    let step = |outcome| Step { kind: "global", name: GLOBAL.to_owned(), detail: String::new(), outcome };
    let rows = match list(client, "globals").await {
        Ok(rows) => rows,
        Err(fault) => return step(refused(&fault)),
    };
    let row = rows.iter().find(|row| is(row, "key", GLOBAL));
    if row.is_some_and(|row| row.get("value").and_then(Value::as_str) == Some(secret)) {
        return step(Outcome::There);
    }
    if mode == Mode::Look {
        return step(Outcome::Missing);
    }
    let body = json!({ "name": name_of(GLOBAL).unwrap_or_default(), "value": secret });
    let query = row.map_or(String::new(), |_| format!("key={GLOBAL}"));
    let body = if row.is_some() { json!({ "value": secret }) } else { body };
    step(match post(client, "globals", &query, &body).await {
        Ok(_) => Outcome::Made,
        Err(fault) => refused(&fault),
    })
}

fn flow_step(name: &str, rows: &[Value]) -> Step {
    let there = rows.iter().find(|row| is(row, "name", name) || is(row, "uuid", name));
    let outcome = match there {
        Some(row) if row.get("archived") == Some(&Value::Bool(true)) => {
            failed("it is archived", "restore it in RapidPro (Flows, Archived)")
        }
        Some(_) => Outcome::There,
        None => failed(
            "there is no such flow",
            "make or import it in RapidPro; `mjumbe flows list` shows those that are",
        ),
    };
    Step { kind: "flow", name: name.to_owned(), detail: String::new(), outcome }
}

async fn post(client: &Client, endpoint: &str, query: &str, body: &Value) -> Result<Value, Fault> {
    let pairs: BTreeMap<&str, &str> = query.split_once('=').into_iter().collect();
    let query: Vec<(&str, &str)> = pairs.into_iter().collect();
    client.exchange(&Call { method: Method::Post, endpoint, query: &query, body: Some(body) }).await.0
}

fn failed(reason: impl Into<String>, hint: &str) -> Outcome {
    Outcome::Failed { reason: reason.into(), hint: hint.to_owned() }
}

fn refused(fault: &Fault) -> Outcome {
    let hint = match fault.kind {
        Kind::Forbidden => "use a token of an administrator or editor, or make it by hand in RapidPro",
        _ if fault.code == "rapidpro-limit-reached" => {
            "delete one that nobody uses, or ask whoever runs RapidPro for a higher limit"
        }
        _ => fault.hint,
    };
    failed(format!("{} [{}]", fault.message, fault.code), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_back_their_keys() {
        assert_eq!(name_of("dhis2_organisation_unit_id").as_deref(), Some("Dhis2 organisation unit id"));
        assert_eq!(name_of(GLOBAL).as_deref(), Some("Mjumbe webhook secret"));
        assert_eq!(name_of("a_key_that_is_longer_than_rapidpro_allows"), None);
        assert_eq!(name_of("double__underscore"), None);
    }

    #[test]
    fn a_field_of_a_type_that_cannot_hold_the_values_is_told() {
        let row = json!({"key": "weight", "type": "datetime"});
        assert!(matches!(of_type(&row, FieldType::Number), Outcome::Failed { .. }));
        assert_eq!(
            of_type(&json!({"key": "weight", "value_type": "numeric"}), FieldType::Number),
            Outcome::There
        );
        assert_eq!(of_type(&row, FieldType::Text), Outcome::There);
    }
}
