//! `$.previous` is the version before the one that is evaluated, however often it is.

use std::sync::Arc;

use mjumbe::delivery::evaluator::{Asked, Evaluated, Evaluator, Round, Subject};
use mjumbe::mapping::lookup::{Answer, Query, Read};
use mjumbe::mapping::output::{Nature, Output, Part, Withdraw};
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use super::House;

/// `test.visit` documents: `{number}` → what the number was before, and the followed Patient's unit.
struct Before;

impl Evaluator for Before {
    fn name(&self) -> &str {
        "before"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn takes(&self, kind: &str) -> bool {
        kind == "test.visit"
    }

    fn evaluate(&self, subject: &Subject<'_>, answers: &[(Asked, Answer)]) -> Round {
        let query = Query::Search { query: "Patient?identifier=urn:card|7".to_owned(), many: 1 };
        let asked = Asked { name: "patient".to_owned(), query: query.clone(), follow: true };
        let Some((_, answer)) = answers.iter().find(|(known, _)| *known == asked) else {
            return Round::Needs(vec![asked]);
        };
        let (patient, sources) = match answer {
            Answer::Found { value, sources } => (value.clone(), sources.clone()),
            _ => (Value::Null, Vec::new()),
        };
        let before = subject.previous.map_or(json!("nothing"), |previous| previous["number"].clone());
        let part = |slot: &str, wanted: Value| Part { slot: slot.to_owned(), wanted, last: false };
        let output = Output {
            target: "test.visit".to_owned(),
            target_id: "visit".to_owned(),
            destination: "far".to_owned(),
            nature: Nature::State,
            key: String::new(),
            lane: "lane".to_owned(),
            body: json!({}),
            parts: vec![part("before", before), part("unit", patient["unit"].clone())],
            contributions: Vec::new(),
            withdraw: Withdraw::Keep,
            needs: Vec::new(),
            authored_ms: 1,
            link: None,
            write_back: false,
            act: None,
        };
        let reads = vec![Read { name: "patient".to_owned(), query, follow: true, sources }];
        Round::Done(Box::new(Evaluated {
            matched: true,
            outputs: vec![output],
            reads,
            ..Evaluated::default()
        }))
    }
}

#[tokio::test]
async fn a_version_that_is_evaluated_again_is_not_its_own_predecessor() {
    each_store(|store| async move {
        let house = House::new(store, vec![Arc::new(Before)]).await;
        let patient = |unit: &str| json!({ "card": "7", "unit": unit });
        house.put("Patient", "p", patient("a")).await;
        house.put("test.visit", "1", json!({ "number": "one" })).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("before"), Some(json!("nothing")));
        house.put("Patient", "p", patient("b")).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("unit"), Some(json!("b")), "it was evaluated again");
        assert_eq!(house.far.slot("before"), Some(json!("nothing")));
        house.put("test.visit", "1", json!({ "number": "two" })).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("before"), Some(json!("one")));
        for unit in ["c", "d"] {
            house.put("Patient", "p", patient(unit)).await;
            house.settle_down().await;
            assert_eq!(house.far.slot("unit"), Some(json!(unit)));
            assert_eq!(house.far.slot("before"), Some(json!("one")));
        }
        house.put("test.visit", "1", json!({ "number": "three" })).await;
        house.settle_down().await;
        assert_eq!(house.far.slot("before"), Some(json!("two")));
    })
    .await;
}
