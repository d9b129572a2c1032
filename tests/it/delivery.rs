//! Deliveries from a committed change to the far side: a scripted destination that keeps the truth, and
//! mappings made of code.

mod acts;
mod acts_history;
mod basics;
mod far_side;
mod here;
mod history;
mod mappings;
mod needs;
mod once;
mod previous;
mod race;
mod takeover;

use std::sync::Arc;

use jiff::tz::TimeZone;
use mjumbe::delivery::evaluator::Evaluator;
use mjumbe::delivery::lookup::Surroundings;
use mjumbe::delivery::mapper::Mapper;
use mjumbe::delivery::sender::{Round, Sender};
use mjumbe::delivery::signal::Signals;
use mjumbe::fhir::index::{IndexRow, IndexValue, ParameterKey};
use mjumbe::store::Store;
use mjumbe::store::write::{Fixed, Origin, Precondition, Put};
use serde_json::Value;

use far_side::FarSide;

pub const TENANT: &str = "default";

/// A store with a mapper and a sender that are driven by hand.
pub struct House {
    pub store: Store,
    pub mapper: Mapper,
    pub sender: Sender,
    pub far: Arc<FarSide>,
}

impl House {
    pub async fn new(store: Store, mappings: Vec<Arc<dyn Evaluator>>) -> Self {
        Self::with_owner(store, mappings, "tester", Arc::new(FarSide::default())).await
    }

    pub async fn with_owner(
        store: Store,
        mappings: Vec<Arc<dyn Evaluator>>,
        owner: &str,
        far: Arc<FarSide>,
    ) -> Self {
        let signals = Signals::default();
        let mapper = Mapper::start(store.db().clone(), owner, surroundings(), mappings, signals.clone())
            .await
            .unwrap();
        let sender = Sender::new(store.db().clone(), (TENANT, owner), far.clone(), signals);
        Self { store, mapper, sender, far }
    }

    /// Maps until nothing is left.
    pub async fn map(&self) {
        for _ in 0..1_000 {
            if self.mapper.round().await.unwrap() == 0 {
                return;
            }
        }
        panic!("the mapper never comes to rest");
    }

    /// Sends until nothing is due.
    pub async fn send(&self) {
        for _ in 0..1_000 {
            if self.sender.round().await.unwrap() != Round::Sent {
                return;
            }
        }
        panic!("the sender never comes to rest");
    }

    pub async fn settle_down(&self) {
        self.map().await;
        self.send().await;
    }

    /// Makes everything that waits due now: days pass in no time.
    pub async fn let_time_pass(&self) {
        run(
            &self.store,
            vec![
                "update delivery set due_ms = 0 where status = 'waiting'".to_owned(),
                "update destination set circuit_until_ms = 0, circuit = 'closed', failures = 0".to_owned(),
            ],
        )
        .await;
    }

    pub async fn put(&self, kind: &str, id: &str, body: Value) {
        let put = put_of(kind, id, Some(body));
        self.store.write(TENANT, Box::new(Fixed { puts: vec![put], ..Fixed::default() })).await.unwrap();
    }

    pub async fn delete(&self, kind: &str, id: &str) {
        let put = put_of(kind, id, None);
        self.store.write(TENANT, Box::new(Fixed { puts: vec![put], ..Fixed::default() })).await.unwrap();
    }

    /// (status, cause) of every delivery.
    pub async fn statuses(&self) -> Vec<(String, String)> {
        let mut db = self.store.db().read().await.unwrap();
        let rows = db
            .all("select status, cause from delivery order by status, cause", mjumbe::args![])
            .await
            .unwrap();
        rows.iter().map(|row| (row.text("status").unwrap(), row.text("cause").unwrap())).collect()
    }
}

/// Runs statements in one transaction, again where workers are in the way.
pub async fn run(store: &Store, statements: Vec<String>) {
    store
        .db()
        .transaction(|tx| {
            let statements = statements.clone();
            Box::pin(async move {
                for statement in statements {
                    tx.script(statement).await?;
                }
                Ok::<(), mjumbe::store::Error>(())
            })
        })
        .await
        .unwrap();
}

pub fn surroundings() -> Surroundings {
    Surroundings {
        tenant: TENANT.to_owned(),
        base: "http://localhost/fhir".to_owned(),
        zone: TimeZone::UTC,
        workspaces: vec!["main".to_owned()],
    }
}

/// Resources of the tests are indexed by `card`, as `Patient.identifier` of the system `urn:card`.
pub fn put_of(kind: &str, id: &str, body: Option<Value>) -> Put {
    let card = body.as_ref().and_then(|body| body.get("card")).and_then(Value::as_str);
    let index = card.map(|card| IndexRow {
        parameter: ParameterKey::new(kind, "identifier"),
        value: IndexValue::Token {
            system: "urn:card".to_owned(),
            code: card.to_owned(),
            text: String::new(),
        },
    });
    let body = body.map(|mut body| {
        if !kind.contains('.') {
            let mut whole = serde_json::json!({ "resourceType": kind });
            whole.as_object_mut().unwrap().append(body.as_object_mut().unwrap());
            body = whole;
        }
        body.to_string()
    });
    Put {
        kind: kind.to_owned(),
        id: id.to_owned(),
        body,
        index: index.into_iter().collect(),
        subject: format!("{kind}/{id}"),
        precondition: Precondition::None,
        origin: Origin::Client("test".to_owned()),
    }
}
