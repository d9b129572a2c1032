//! The destination against the simulated DHIS2 of both generations, while it fails in every way it can:
//! in the end each cell is there once, as it was wanted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mjumbe::delivery::destination::{Destination as _, Outgoing, OutgoingPart, Verdict};
use mjumbe::delivery::hold::Leave;
use mjumbe::dhis2::aggregate::destination::Instance;
use mjumbe::dhis2::client::Client;
use mjumbe::dhis2::metadata::mirror::Mirror;
use mjumbe::dhis2::period::{Kind, Period};
use mjumbe::sandbox::dhis2::country::{DEFAULT_COMBO, VILLAGE_REPORT};
use mjumbe::sandbox::dhis2::{Dhis2, Options, Version};
use mjumbe::sandbox::faults::{Because, Cells, Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::store::Store;
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

struct World {
    dhis2: Dhis2,
    _server: Server,
    mirror: Arc<Mirror>,
    instance: Instance,
}

async fn world(version: Version, store: &Store) -> World {
    let dhis2 = Dhis2::new(Options::new(version));
    let server = Server::start(Arc::new(dhis2.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let settings = serde_json::from_value(json!({ "url": server.url(), "token": dhis2.token() })).unwrap();
    let connected = mjumbe::dhis2::connect("national", &settings, store, "default").unwrap();
    let client = Arc::new(Client::new("national", &settings).unwrap());
    let mirror = connected.mirror;
    // The same mirror behind a shorter pause.
    let tracking = mjumbe::dhis2::tracking("national", store, "default");
    let instance = Instance::new(client, Arc::clone(&mirror), tracking, None)
        .with_clock(jiff::Timestamp::now, Duration::from_millis(2));
    World { dhis2, _server: server, mirror, instance }
}

/// A period that is open: so many months ago.
fn month(ago: i32) -> String {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    Period::containing(Kind::Monthly, today).unwrap().shift(-ago).unwrap().to_string()
}

/// A full village report for one unit and month, with its completion.
fn report(dhis2: &Dhis2, unit: &str, period: &str, add: usize) -> Outgoing {
    let country = dhis2.country();
    let lane = format!("{VILLAGE_REPORT}|{period}|{unit}");
    let mut parts = Vec::new();
    for (at, id) in country.data_set(VILLAGE_REPORT).unwrap().elements.iter().enumerate() {
        let element = country.element(id).unwrap();
        let combos: Vec<String> = match element.combo.as_str() {
            DEFAULT_COMBO => vec![String::new()],
            combo => {
                country.option_combos.iter().filter(|it| it.combo == combo).map(|it| it.id.clone()).collect()
            }
        };
        let value = match (&element.option_set, element.value_type.as_str()) {
            (Some(_), _) => "YES".to_owned(),
            (None, "BOOLEAN" | "TRUE_ONLY") => "true".to_owned(),
            (None, "DATE") => "2026-01-31".to_owned(),
            _ => (at + add).to_string(),
        };
        for combo in combos {
            let slot = format!("cell|{lane}||{id}|{combo}");
            parts.push(OutgoingPart {
                slot,
                wanted: Some(json!({ "value": value })),
                ..OutgoingPart::default()
            });
        }
    }
    let slot = format!("completion|{lane}|");
    parts.push(OutgoingPart {
        slot,
        wanted: Some(json!({ "completeDate": "2026-01-02" })),
        ..OutgoingPart::default()
    });
    Outgoing {
        id: lane.clone(),
        target: "dhis2.report".to_owned(),
        body: json!({ "dataSet": VILLAGE_REPORT, "period": period, "orgUnit": unit }),
        lane,
        parts,
        ..Outgoing::default()
    }
}

/// (element, period, unit, combo) → value, of what is to be there.
fn wanted(dhis2: &Dhis2, batch: &[Outgoing]) -> BTreeMap<String, String> {
    let mut cells = BTreeMap::new();
    for part in batch.iter().flat_map(|one| &one.parts).filter(|part| part.slot.starts_with("cell|")) {
        let field: Vec<&str> = part.slot.split('|').collect();
        let combo = if field[6].is_empty() { "HllvX50cXC0" } else { field[6] };
        let value = part.wanted.as_ref().unwrap()["value"].as_str().unwrap();
        cells.insert(format!("{}|{}|{}|{combo}", field[5], field[2], field[3]), value.to_owned());
    }
    assert!(dhis2.country().option_combo("HllvX50cXC0").is_some());
    cells
}

fn held(state: &Value) -> BTreeMap<String, String> {
    let cells = state["cells"].as_array().unwrap().iter().filter(|cell| cell["deleted"] == json!(false));
    cells
        .map(|cell| {
            let text = |name: &str| cell[name].as_str().unwrap_or_default().to_owned();
            let key =
                [text("dataElement"), text("period"), text("orgUnit"), text("categoryOptionCombo")].join("|");
            (key, text("value"))
        })
        .collect()
}

/// Sends until everything is accepted, as the engine does: what is not accepted comes again.
async fn deliver(world: &World, mut left: Vec<Outgoing>, rounds: usize) -> usize {
    for round in 1..=rounds {
        let sent = world.instance.send(&left, &Leave::until(Instant::now() + Duration::from_secs(20))).await;
        if let Ok(settled) = sent.result {
            for (outgoing, settled) in left.iter_mut().zip(settled) {
                let mut verdicts = settled.parts.into_iter();
                outgoing.parts.retain(|part| match verdicts.next() {
                    Some(Verdict::Accepted) => false,
                    Some(Verdict::Refused(reason)) if reason.code != "dhis2-not-complete" => {
                        panic!("{}: {reason:?}", part.slot)
                    }
                    _ => true,
                });
            }
            left.retain(|outgoing| !outgoing.parts.is_empty());
        }
        left.iter_mut().for_each(|outgoing| outgoing.attempt += 1);
        if left.is_empty() {
            return round;
        }
    }
    panic!("{} reports are left after {rounds} rounds", left.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_goes_through_the_store() {
    each_store(|store| async move {
        for version in [Version::V2_40, Version::V2_43] {
            let world = world(version, &store).await;
            world.mirror.refresh().await.unwrap();
            let pulled = world.mirror.current();
            assert_eq!(pulled.metadata.units.len(), world.dhis2.country().units.len());
            world.mirror.load().await.unwrap();
            let loaded = world.mirror.current();
            assert_eq!(loaded.metadata.units.len(), pulled.metadata.units.len());
            assert_eq!(loaded.metadata.data_sets.len(), pulled.metadata.data_sets.len());
            assert_eq!(loaded.metadata.system.version, pulled.metadata.system.version);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_is_there_in_the_end_whatever_fails() {
    let faults = [
        Effect::Answer { status: 502, body: None, retry_after: None },
        Effect::Answer { status: 401, body: None, retry_after: None },
        Effect::AnswerAfter { status: 500, body: None },
        Effect::DropBefore,
        Effect::DropAfter,
        Effect::StoreRows { rows: 7, status: 409 },
        Effect::StoreRows { rows: 11, status: 500 },
        Effect::StoreNothing,
    ];
    for version in [Version::V2_40, Version::V2_43] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("m.db").display());
        let store = Store::open(&url, 2).await.unwrap();
        let world = world(version, &store).await;
        let units: Vec<String> = world.dhis2.country().data_set(VILLAGE_REPORT).unwrap().units[..25].to_vec();
        for (number, effect) in faults.iter().enumerate() {
            // The classic importer says the same of what is unchanged.
            if *effect == Effect::StoreNothing && version == Version::V2_40 {
                continue;
            }
            let one = |(at, unit): (usize, &String)| {
                report(&world.dhis2, unit, &month(i32::try_from(at % 3).unwrap() + 1), number + 1)
            };
            let batch: Vec<Outgoing> = units.iter().enumerate().map(one).collect();
            let fault = world.dhis2.fault(Fault::new(effect.clone()).on("POST", "/api/*").times(2));
            let rounds = deliver(&world, batch.clone(), 12).await;
            if matches!(effect, Effect::DropBefore | Effect::Answer { status: 502, .. }) {
                assert!(rounds > 1, "{effect:?} did not happen");
            }
            world.dhis2.lift(fault);
            let state = world.dhis2.state();
            assert_eq!(held(&state), wanted(&world.dhis2, &batch), "{effect:?} on {}", version.text());
            let completions = state["completions"].as_array().unwrap();
            let complete = completions.iter().filter(|one| one["completed"] == json!(true)).count();
            assert_eq!(complete, batch.len(), "{effect:?} on {}", version.text());
        }
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_unit_that_dhis2_refuses_does_not_keep_the_others_back() {
    for version in [Version::V2_40, Version::V2_43] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("m.db").display());
        let store = Store::open(&url, 2).await.unwrap();
        let world = world(version, &store).await;
        let units: Vec<String> = world.dhis2.country().data_set(VILLAGE_REPORT).unwrap().units[..6].to_vec();
        let batch: Vec<Outgoing> =
            units.iter().map(|unit| report(&world.dhis2, unit, &month(1), 1)).collect();
        let cells = Cells {
            data_set: None,
            period: None,
            org_unit: Some(units[2].clone()),
            data_element: None,
            because: Because::Unassigned,
        };
        world.dhis2.fault(Fault::new(Effect::RefuseCells(cells)));
        let sent = world.instance.send(&batch, &Leave::until(Instant::now() + Duration::from_secs(20))).await;
        for (at, settled) in sent.result.unwrap().iter().enumerate() {
            let accepted = settled.parts.iter().all(|verdict| *verdict == Verdict::Accepted);
            assert_eq!(accepted, at != 2, "{} {at} {:?}", version.text(), settled.parts);
            if let (2, Verdict::Refused(reason)) = (at, &settled.parts[0]) {
                assert_eq!(reason.code, "dhis2-unit-not-assigned");
                assert!(reason.message.contains(&units[2]));
            }
        }
        store.close().await;
    }
}
