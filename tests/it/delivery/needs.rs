//! What waits for another delivery, or is dead because of it, goes on when that one is settled, and nothing else
//! of it does.

use std::sync::Arc;

use mjumbe::delivery::desk;
use mjumbe::delivery::evaluator::{Asked, Evaluated, Evaluator, Round, Subject};
use mjumbe::delivery::signal::now_ms;
use mjumbe::mapping::lookup::Answer;
use mjumbe::mapping::output::{Nature, Output, Part, Withdraw};
use mjumbe::store::testing::each_store;
use serde_json::json;

use super::{House, TENANT, run};

/// Each `test.visit` wants a contact, and a report of three cells that needs it.
struct Needing;

fn output(target: &str, cells: &[&str]) -> Output {
    let part = |cell: &&str| Part { slot: format!("{target}/{cell}"), wanted: json!(cell), last: false };
    Output {
        target: format!("test.{target}"),
        target_id: target.to_owned(),
        destination: "far".to_owned(),
        nature: Nature::State,
        key: String::new(),
        lane: target.to_owned(),
        body: json!({}),
        parts: cells.iter().map(part).collect(),
        contributions: Vec::new(),
        withdraw: Withdraw::Keep,
        needs: Vec::new(),
        authored_ms: 1,
        link: None,
        write_back: false,
        act: None,
    }
}

impl Evaluator for Needing {
    fn name(&self) -> &str {
        "needing"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn takes(&self, kind: &str) -> bool {
        kind == "test.visit"
    }

    fn evaluate(&self, _: &Subject<'_>, _: &[(Asked, Answer)]) -> Round {
        let needs = vec!["contact".to_owned()];
        let report = Output { needs, ..output("report", &["goes", "given-up", "refused"]) };
        let outputs = vec![output("contact", &["name"]), report];
        Round::Done(Box::new(Evaluated { matched: true, outputs, ..Evaluated::default() }))
    }
}

/// A person gave one cell up, and another was refused for good: both stay so when what is needed is settled.
#[tokio::test]
async fn what_was_given_up_or_refused_is_not_woken() {
    each_store(|store| async move {
        for is_dead in [false, true] {
            let house = House::new(store.clone(), vec![Arc::new(Needing)]).await;
            if is_dead {
                house.far.with(|truth| truth.refuses = Some(json!("name")));
            }
            run(&store, ["delivery", "part", "slot"].map(|table| format!("delete from {table}")).to_vec())
                .await;
            house.put("test.visit", &format!("dead-{is_dead}"), json!({})).await;
            house.map().await;
            if !is_dead {
                let later = format!("update delivery set due_ms = {} where target_id = 'contact'", i64::MAX);
                run(&store, vec![later]).await;
            }
            house.send().await;
            assert_eq!(house.far.slot("report/goes"), None, "it waits");
            if is_dead {
                house.let_time_pass().await;
                house.send().await;
                let causes: Vec<String> =
                    house.statuses().await.into_iter().map(|(_, cause)| cause).collect();
                assert_eq!(causes, ["cell-refused", "needs-not-settled"]);
                house.far.with(|truth| truth.refuses = None);
                let mut tx = store.db().begin_write().await.unwrap();
                let ids = contact(&house).await;
                assert_eq!(desk::revive(&mut tx, TENANT, &ids, now_ms()).await.unwrap(), 1);
                tx.commit().await.unwrap();
            }
            let ended = [
                "update part set status = 'cancelled', cause = '' where slot = 'report/given-up'",
                "update part set status = 'dead', cause = 'cell-refused' where slot = 'report/refused'",
                "update delivery set due_ms = 0 where target_id = 'contact'",
                "update destination set circuit = 'closed', circuit_until_ms = 0, failures = 0",
            ];
            run(&store, ended.map(str::to_owned).to_vec()).await;
            house.send().await;
            assert_eq!(house.far.slot("contact/name"), Some(json!("name")));
            assert_eq!(house.far.slot("report/goes"), Some(json!("goes")), "woken at once");
            assert_eq!(house.far.slot("report/given-up"), None);
            assert_eq!(house.far.slot("report/refused"), None);
            let expected =
                [("dead".to_owned(), "cell-refused".to_owned()), ("settled".to_owned(), String::new())];
            assert_eq!(house.statuses().await, expected);
        }
    })
    .await;
}

async fn contact(house: &House) -> Vec<String> {
    let mut db = house.store.db().read().await.unwrap();
    let rows = db.all("select id from delivery where target_id = 'contact'", mjumbe::args![]).await.unwrap();
    rows.iter().map(|row| row.text("id").unwrap()).collect()
}
