//! The statements of mapper and sender: their plans on SQLite, which plans by its indexes alone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::destination::{Destination, Failure, Limits, Outgoing, Reason, Sent, Settled, Verdict};
use super::evaluator::{Asked, Evaluated, Evaluator, Round, Subject};
use super::hold::Leave;
use super::lookup::Surroundings;
use super::mapper::Mapper;
use super::sender::Sender;
use super::signal::Signals;
use crate::mapping::lookup::{Answer, Query, Read};
use crate::mapping::output::{Aggregate, Contribution, Nature, Output, Part, Withdraw};
use crate::store::db::{Engine, plans};
use crate::store::testing::each_store;
use crate::store::write::{Fixed, Origin, Precondition, Put};

/// Each source wants a state and counts; it looks for somebody who is absent.
struct Everything;

impl Evaluator for Everything {
    fn name(&self) -> &str {
        "everything"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn takes(&self, kind: &str) -> bool {
        kind == "test.source"
    }

    fn evaluate(&self, subject: &Subject<'_>, answers: &[(Asked, Answer)]) -> Round {
        let query = Query::Reference { reference: json!(format!("Patient/{}", subject.id)) };
        if answers.is_empty() {
            return Round::Needs(vec![Asked { name: "who".to_owned(), query, follow: true }]);
        }
        let reads = vec![Read { name: "who".to_owned(), query, follow: true, sources: Vec::new() }];
        let slot = format!("state/{}", subject.id);
        let state = Output {
            target: "test.state".to_owned(),
            target_id: "state".to_owned(),
            destination: "far".to_owned(),
            nature: Nature::State,
            key: String::new(),
            lane: slot.clone(),
            body: json!({}),
            parts: vec![Part { slot, wanted: subject.resource.clone(), last: false }],
            contributions: Vec::new(),
            withdraw: Withdraw::Delete,
            needs: Vec::new(),
            authored_ms: subject.recorded_ms,
            link: Some(format!("Patient/{}", subject.id)),
            write_back: false,
            act: None,
        };
        let contribution = Contribution {
            slot: format!("count/{}", subject.id),
            cell: json!({}),
            aggregate: Aggregate::Count,
            amount: "1".to_owned(),
            distinct: None,
        };
        let count = Output {
            target: "test.count".to_owned(),
            target_id: "count".to_owned(),
            nature: Nature::Count,
            lane: format!("count/{}", subject.id),
            parts: Vec::new(),
            contributions: vec![contribution],
            link: None,
            ..state.clone()
        };
        let outputs = vec![state, count];
        Round::Done(Box::new(Evaluated { matched: true, outputs, reads, ..Evaluated::default() }))
    }
}

/// Accepts everything.
struct Far;

#[async_trait]
impl Destination for Far {
    fn system(&self) -> &str {
        "test"
    }

    fn name(&self) -> &str {
        "far"
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_deliveries: 100,
            batch_parts: 1_000,
            concurrency: 1,
            budget_per_hour: None,
            lease: Duration::from_secs(60),
            longest_request: Duration::from_secs(10),
            horizon: Duration::from_secs(86_400),
        }
    }

    fn check(&self, _: &Outgoing) -> Vec<(usize, Reason)> {
        Vec::new()
    }

    async fn send(&self, batch: &[Outgoing], _: &Leave) -> Sent {
        let settled = |one: &Outgoing| Settled {
            parts: one.parts.iter().map(|_| Verdict::Accepted).collect(),
            remote: one.link.clone(),
            notes: Vec::new(),
        };
        Sent { result: Ok(batch.iter().map(settled).collect()), exchanges: Vec::new() }
    }

    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }
}

fn sources(amount: usize, version: usize) -> Box<Fixed> {
    let put = |at: usize| Put {
        kind: "test.source".to_owned(),
        id: at.to_string(),
        body: Some(json!({ "version": version }).to_string()),
        index: Vec::new(),
        subject: format!("test.source/{at}"),
        precondition: Precondition::None,
        origin: Origin::Client("test".to_owned()),
    };
    Box::new(Fixed { puts: (0..amount).map(put).collect(), ..Fixed::default() })
}

#[tokio::test]
async fn no_statement_of_mapper_and_sender_reads_a_whole_table() {
    each_store(|store| async move {
        let around = Surroundings {
            tenant: "default".to_owned(),
            base: "http://localhost/fhir".to_owned(),
            zone: jiff::tz::TimeZone::UTC,
            workspaces: Vec::new(),
        };
        let (db, signals) = (store.db().clone(), Signals::default());
        let evaluators: Vec<Arc<dyn Evaluator>> = vec![Arc::new(Everything)];
        let mapper = Mapper::start(db.clone(), "one", around, evaluators, signals.clone()).await.unwrap();
        let sender = Sender::new(db.clone(), ("default", "one"), Arc::new(Far), signals);
        let work = async {
            while mapper.round().await.unwrap() > 0 {}
            while sender.round().await.unwrap() == super::sender::Round::Sent {}
        };
        store.write("default", sources(400, 1)).await.unwrap();
        work.await;
        plans::analyze(&db).await;
        // Some of many, as it goes on in a country that has reported for years.
        store.write("default", sources(30, 2)).await.unwrap();
        let faults = plans::full_scans(&db, async {
            while mapper.round().await.unwrap() > 0 {}
            while sender.round().await.unwrap() == super::sender::Round::Sent {}
        })
        .await;
        // PostgreSQL plans by size: with 64 partitions and hundreds of rows, reading all of them is right.
        let faults = if db.engine() == Engine::Sqlite { faults } else { Vec::new() };
        assert!(faults.is_empty(), "{} full scans:\n{}", faults.len(), faults.join("\n\n"));
    })
    .await;
}
