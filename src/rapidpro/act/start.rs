//! `rapidpro.start` in mapping files.
//!
//! **Pure.** One part whose `wanted` is the start: flow, contact and parameters. The delivery's id is added
//! to the parameters when it is sent.

use serde_json::{Map, Value, json};

use super::addressee::{self, issue};
use crate::mapping::output::{Issue, Nature, Output, Part, Withdraw};
use crate::mapping::target::{Complaint, Evaluated, Field, Kind, Shape, Target};
use crate::rapidpro::contact::words::{complaint, scalar};

/// The parameter that carries the delivery's id: what `flow_starts.json` is searched for after an answer
/// was lost. A flow sees it as `@trigger.params.mjumbe_delivery`.
pub const DELIVERY_PARAM: &str = "mjumbe_delivery";

/// RapidPro 9.0 cuts longer values without a word.
const VALUE_CHARACTERS: usize = 640;
/// RapidPro 9.0 takes 256, one of which is ours.
const PARAMS_MAX: usize = 255;
/// RapidPro 10.1.41 and later take 10,000 characters of JSON; the rest is for the delivery's id.
const ALL_CHARACTERS: usize = 9_800;
const KEY_HINT: &str =
    "lower-case letters, digits and `_`, beginning with a letter: a flow reads it as @trigger.params.KEY";

/// The target.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start;

impl Target for Start {
    fn kind(&self) -> &'static str {
        "rapidpro.start"
    }

    fn doc(&self) -> &'static str {
        "Starts a flow with a contact, once; whatever flow they are in is interrupted."
    }

    fn nature(&self) -> Nature {
        Nature::Act
    }

    fn shape(&self) -> Shape {
        let field = |name, doc, required, kind| Field { name, doc, required, kind };
        Shape {
            fields: vec![
                field("flow", "Uuid or name of the flow.", true, Kind::Value),
                field(
                    "contact",
                    "A contact's uuid, a URN, a phone number, `{ link: … }` or a reference.",
                    true,
                    Kind::Anything,
                ),
                field(
                    "params",
                    "What the flow reads as @trigger.params.KEY; keys in snake_case.",
                    false,
                    Kind::Map,
                ),
            ],
        }
    }

    fn withdraw(&self) -> Withdraw {
        Withdraw::Keep
    }

    fn check(&self, literals: &Value) -> Vec<Complaint> {
        let params = literals.get("params").and_then(Value::as_object);
        let keys = params.into_iter().flatten().map(|(key, _)| key.as_str());
        let mut complaints: Vec<Complaint> = keys.filter_map(bad_key).collect();
        if params.is_some_and(|params| params.len() > PARAMS_MAX) {
            complaints.push(complaint("params", format!("more than {PARAMS_MAX} parameters"), None));
        }
        complaints
    }

    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        let wish = || -> Result<_, Issue> {
            addressee::whole(entry)?;
            let flow = entry.fields.get("flow").and_then(scalar).ok_or_else(|| {
                issue(entry, "start-without-flow", "`flow` gave nothing")
                    .with_hint("name a flow by its name or its uuid")
            })?;
            Ok((flow, params(entry)?, addressee::read(entry)?))
        };
        let (flow, params, addressee) = wish().map_err(|issue| vec![issue])?;
        let wanted = json!({"flow": flow, "contact": addressee.contact, "params": params});
        Ok((output(entry, self.kind(), addressee.lane, wanted), Vec::new()))
    }

    fn preview(&self, output: &Output) -> Value {
        let wanted = wanted(output);
        json!({
            "flow": wanted.get("flow"),
            "contacts": [wanted.get("contact")],
            "params": wanted.get("params"),
            "restart_participants": true,
        })
    }
}

/// The one output of an act. Its slot and its time are the engine's.
pub(super) fn output(entry: &Evaluated<'_>, kind: &str, lane: String, wanted: Value) -> Output {
    Output {
        target: kind.to_owned(),
        target_id: entry.target_id.to_owned(),
        destination: entry.destination.to_owned(),
        nature: Nature::Act,
        key: entry.key.to_owned(),
        lane,
        body: Value::Object(Map::new()),
        parts: vec![Part { slot: format!("act|{kind}"), wanted, last: false }],
        contributions: Vec::new(),
        withdraw: entry.withdraw,
        needs: entry.needs.to_vec(),
        authored_ms: entry.context.authored_ms,
        link: None,
        write_back: false,
        act: None,
    }
}

/// What an act's only part wants.
pub(super) fn wanted(output: &Output) -> Value {
    output.parts.first().map(|part| part.wanted.clone()).unwrap_or_default()
}

fn params(entry: &Evaluated<'_>) -> Result<Value, Issue> {
    let mut params = Map::new();
    for (key, value) in entry.fields.get("params").and_then(Value::as_object).into_iter().flatten() {
        let Some(text) = scalar(value) else { continue };
        if let Some(told) = bad_key(key) {
            return Err(issue(entry, "start-param-invalid", told.message).with_hint(KEY_HINT));
        }
        if text.chars().count() > VALUE_CHARACTERS {
            let message = format!("`params.{key}` has more than 640 characters, which RapidPro would cut");
            return Err(
                issue(entry, "start-param-too-long", message).with_hint("`match` takes a part of a text")
            );
        }
        params.insert(key.clone(), json!(text));
    }
    let params = Value::Object(params);
    if params.to_string().chars().count() > ALL_CHARACTERS {
        let message = "`params` have more than 9,800 characters together, which RapidPro refuses";
        return Err(issue(entry, "start-params-too-long", message).with_hint("name fewer or shorter ones"));
    }
    Ok(params)
}

fn bad_key(key: &str) -> Option<Complaint> {
    let field = format!("params.{key}");
    if key == DELIVERY_PARAM {
        return Some(complaint(
            &field,
            format!("`{key}` is Mjumbe's own parameter"),
            Some("take another name"),
        ));
    }
    let fits = key.len() <= 64
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    (!fits).then(|| complaint(&field, format!("`{key}` is not a parameter's name"), Some(KEY_HINT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_every_version_leaves_as_they_are() {
        let keys =
            json!({"params": {"visit_date": null, "Visit Date": "x", "a-b": null, "mjumbe_delivery": "x"}});
        let told: Vec<String> = Start.check(&keys).into_iter().map(|one| one.field).collect();
        assert_eq!(told, ["params.Visit Date", "params.a-b", "params.mjumbe_delivery"]);
    }
}
