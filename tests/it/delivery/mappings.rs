//! Mappings made of code: reports, contacts and counts over test resources.

use mjumbe::delivery::evaluator::{Asked, Evaluated, Evaluator, Hold, Round, Subject};
use mjumbe::mapping::lookup::{Answer, Query, Read};
use mjumbe::mapping::output::{Aggregate, Contribution, Nature, Output, Part, Withdraw};
use serde_json::{Value, json};

/// `test.report` documents: `{unit, values: {cell: value}, authored, complete?}` → parts of one lane.
pub struct Reports {
    pub withdraw: Withdraw,
}

fn output(target: &str, lane: &str, authored_ms: i64) -> Output {
    Output {
        target: format!("test.{target}"),
        target_id: target.to_owned(),
        destination: "far".to_owned(),
        nature: Nature::State,
        key: String::new(),
        lane: lane.to_owned(),
        body: json!({ "lane": lane }),
        parts: Vec::new(),
        contributions: Vec::new(),
        withdraw: Withdraw::Keep,
        needs: Vec::new(),
        authored_ms,
        link: None,
        write_back: false,
        act: None,
    }
}

fn done(outputs: Vec<Output>, reads: Vec<Read>) -> Round {
    Round::Done(Box::new(Evaluated { matched: true, outputs, reads, ..Evaluated::default() }))
}

impl Evaluator for Reports {
    fn name(&self) -> &str {
        "reports"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn takes(&self, kind: &str) -> bool {
        kind == "test.report"
    }

    fn evaluate(&self, subject: &Subject<'_>, _: &[(Asked, Answer)]) -> Round {
        let report = subject.resource;
        if report["panic"] == json!(true) {
            panic!("an evaluation that panics");
        }
        if report["ignored"] == json!(true) {
            return Round::Done(Box::default());
        }
        let unit = report["unit"].as_str().unwrap_or_default();
        let mut one = output("report", unit, report["authored"].as_i64().unwrap_or_default());
        one.withdraw = self.withdraw;
        one.parts = report["values"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(cell, value)| Part { slot: format!("{unit}/{cell}"), wanted: value.clone(), last: false })
            .collect();
        if report["complete"] == json!(true) {
            one.parts.push(Part { slot: format!("{unit}/complete"), wanted: json!(true), last: true });
        }
        if let Some(link) = report["link"].as_str() {
            one.link = Some(link.to_owned());
        }
        done(vec![one], Vec::new())
    }
}

/// `test.observation` documents: `{card, month, unit?, amount?}` counted by the sex of the Patient with that
/// card, and where `unit` of that patient was.
pub struct Counts {
    pub follow: bool,
    pub aggregate: Aggregate,
}

impl Evaluator for Counts {
    fn name(&self) -> &str {
        if self.follow { "counts-followed" } else { "counts-remembered" }
    }

    fn version(&self) -> &str {
        "1"
    }

    fn takes(&self, kind: &str) -> bool {
        kind == "test.observation"
    }

    fn evaluate(&self, subject: &Subject<'_>, answers: &[(Asked, Answer)]) -> Round {
        let observation = subject.resource;
        let card = observation["card"].as_str().unwrap_or_default();
        let query = Query::Search { query: format!("Patient?identifier=urn:card|{card}"), many: 1 };
        let asked = Asked { name: "patient".to_owned(), query: query.clone(), follow: self.follow };
        let Some((_, answer)) = answers.iter().find(|(known, _)| *known == asked) else {
            return Round::Needs(vec![asked]);
        };
        let (patient, sources) = match answer {
            Answer::Found { value, sources } => (value.clone(), sources.clone()),
            _ => (Value::Null, Vec::new()),
        };
        let reads = vec![Read { name: "patient".to_owned(), query, follow: self.follow, sources }];
        if patient.is_null() {
            let held = Hold { waits_for: "patient".to_owned(), ..Hold::default() };
            let held = Evaluated { matched: true, reads, held: Some(held), ..Evaluated::default() };
            return Round::Done(Box::new(held));
        }
        let month = observation["month"].as_str().unwrap_or_default();
        let unit = patient["unit"].as_str().unwrap_or_default();
        let sex = patient["gender"].as_str().unwrap_or_default();
        let lane = format!("{}|{month}|{unit}", self.name());
        let mut one = output("count", &lane, subject.recorded_ms);
        one.nature = Nature::Count;
        one.withdraw = Withdraw::Delete;
        one.contributions = vec![Contribution {
            slot: format!("{lane}/{sex}"),
            cell: json!({ "sex": sex }),
            aggregate: self.aggregate,
            amount: observation["amount"].as_str().unwrap_or("1").to_owned(),
            distinct: Some(card.to_owned()),
        }];
        done(vec![one], reads)
    }
}
