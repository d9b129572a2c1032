//! The target `dhis2.event`: one event of an event program.
//!
//! Pure. One part, whose place names the delivery: the same source, entry and key are the same event.

use serde_json::{Value, json};

use super::fields::{self, Reading};
use super::slot::Slot;
use crate::delivery::identity::digest;
use crate::dhis2::aggregate::fields::{Required, field, uid};
use crate::dhis2::naming::Naming;
use crate::mapping::output::{Issue, Nature, Output, Part, Withdraw};
use crate::mapping::target::{Complaint, Evaluated, Kind, Named, Shape, Target};

/// `dhis2.event`
pub struct Event;

impl Target for Event {
    fn kind(&self) -> &'static str {
        "dhis2.event"
    }

    fn doc(&self) -> &'static str {
        "An event of a program without registration."
    }

    fn nature(&self) -> Nature {
        Nature::State
    }

    fn shape(&self) -> Shape {
        let mut shape = vec![
            field("program", "The event program's uid.", Required::Yes, Kind::Value),
            field(
                "programStage",
                "The program stage's uid; the program's only one where it is left out.",
                Required::No,
                Kind::Value,
            ),
            field("orgUnit", "The organisation unit's uid.", Required::Yes, Kind::Value),
        ];
        shape.extend(fields::of_event());
        Shape { fields: shape }
    }

    fn withdraw(&self) -> Withdraw {
        Withdraw::Delete
    }

    fn check(&self, literals: &Value) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        for name in ["program", "programStage", "orgUnit"] {
            uid(&mut complaints, literals.get(name), name);
        }
        for (path, item) in fields::items(literals, "", "dataValues") {
            uid(&mut complaints, item.get("dataElement"), &format!("{path}.dataElement"));
        }
        fields::check_status(&mut complaints, literals, "status", &fields::EVENT_STATUSES);
        complaints
    }

    fn names(&self, literals: &Value) -> Vec<Named> {
        let mut naming = Naming::of(literals);
        let program = naming.name("program", "program", &[]);
        let within: Vec<_> = program.map(|program| ("program", program)).into_iter().collect();
        let stage = naming.name("programStage", "programStage", &within);
        naming.name("orgUnit", "orgUnit", &within);
        let mut of_stage: Vec<_> = stage.map(|stage| ("programStage", stage)).into_iter().collect();
        of_stage.extend(within);
        fields::name_values(&mut naming, "", &of_stage);
        naming.finish()
    }

    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        let reading = Reading::of(entry);
        let mut issues = Vec::new();
        let program = reading.required("program", &mut issues);
        let unit = reading.required("orgUnit", &mut issues);
        let stage = if reading.names("programStage") {
            reading.required("programStage", &mut issues)
        } else {
            Some(String::new())
        };
        let (Some(program), Some(unit), Some(stage)) = (program, unit, stage) else { return Err(issues) };
        let mut wanted = match fields::event_of(&reading, &mut issues) {
            Ok(wanted) => wanted,
            Err(issue) => {
                issues.push(issue);
                return Err(issues);
            }
        };
        wanted.insert("orgUnit".to_owned(), json!(unit));
        let context = entry.context;
        let owner = digest(&["event", context.mapping, entry.target_id, context.source, entry.key]);
        let slot = Slot::Single { program: program.clone(), stage: stage.clone(), owner: owner.clone() };
        let part = Part { slot: slot.to_string(), wanted: Value::Object(wanted), last: false };
        let body = json!({ "program": program, "programStage": stage });
        Ok((output(entry, owner, body, vec![part]), issues))
    }

    fn preview(&self, output: &Output) -> Value {
        let events: Value = output.parts.iter().map(|part| shown(&output.body, &part.wanted)).collect();
        json!({ "events": events })
    }
}

/// An event as DHIS2 is sent it, without uid.
fn shown(body: &Value, wanted: &Value) -> Value {
    let mut event = wanted.clone();
    event["dataValues"] = fields::listed(wanted.get("dataValues"), "dataElement");
    event["program"] = body["program"].clone();
    if body["programStage"] != "" {
        event["programStage"] = body["programStage"].clone();
    }
    event
}

/// An output of state whose lane is named.
pub(super) fn output(entry: &Evaluated<'_>, lane: String, body: Value, parts: Vec<Part>) -> Output {
    Output {
        target: "dhis2.event".to_owned(),
        target_id: entry.target_id.to_owned(),
        destination: entry.destination.to_owned(),
        nature: Nature::State,
        key: entry.key.to_owned(),
        lane,
        body,
        parts,
        contributions: Vec::new(),
        withdraw: entry.withdraw,
        needs: entry.needs.to_vec(),
        authored_ms: entry.context.authored_ms,
        link: None,
        write_back: false,
        act: None,
    }
}
