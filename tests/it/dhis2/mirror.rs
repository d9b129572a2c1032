//! The mirror: pulled, stored, loaded, refreshed on demand.

use mjumbe::delivery::destination::Destination as _;
use serde_json::json;

use super::fake::*;

#[tokio::test]
async fn metadata_is_stored_and_loaded_again() {
    let world = world("2.43.1").await;
    world.mirror.refresh().await.unwrap();
    let kinds = |world: &World| {
        let puts = world.memory.puts.lock().unwrap();
        puts.iter().filter(|put| put.kind == "dhis2.organisationUnit").count()
    };
    assert_eq!(kinds(&world), 2);
    let before = world.fake.asked.lock().unwrap().len();
    world.mirror.load().await.unwrap();
    assert_eq!(world.fake.asked.lock().unwrap().len(), before);
    let snapshot = world.mirror.current();
    assert_eq!(snapshot.metadata.units.len(), 2);
    assert!(snapshot.metadata.is_loaded() && !snapshot.is_fresh());
    // The same again writes nothing; what is gone is deleted, what is new is written.
    world.mirror.refresh().await.unwrap();
    assert_eq!(kinds(&world), 2);
    world.mirror.load().await.unwrap();
    let units =
        json!([{ "id": UNIT, "code": "OU_1", "name": "Njandama", "path": "/ImspTQPwCqd/g8upMTyEZGZ" }]);
    world.fake.metadata.lock().unwrap()["organisationUnits"] = units;
    world.mirror.refresh().await.unwrap();
    let puts = world.memory.puts.lock().unwrap();
    let last = puts.last().unwrap();
    assert_eq!((last.id.as_str(), last.body.is_none()), ("national/DiszpKrYNg8", true));
}

#[tokio::test]
async fn a_unit_that_is_not_known_yet_is_asked_for_before_it_is_refused() {
    let world = world("2.43.1").await;
    world.mirror.refresh().await.unwrap();
    world.mirror.load().await.unwrap();
    let newcomer = json!({ "id": "NewUnit0001", "name": "New", "path": "/ImspTQPwCqd/NewUnit0001" });
    {
        let mut metadata = world.fake.metadata.lock().unwrap();
        metadata["organisationUnits"].as_array_mut().unwrap().push(newcomer);
        metadata["dataSets"][0]["organisationUnits"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "id": "NewUnit0001" }));
    }
    let batch = [report("NewUnit0001", "202610", &[("MjDeInteger", "", Some("1"))])];
    assert_eq!(world.instance.check(&batch[0]), []);
    world.fake.answer("POST /api/dataValueSets", 200, stored());
    assert_eq!(world.verdicts(&batch).await, [["accepted"]]);
    let unknown = report("Nowhere0001", "202610", &[("MjDeInteger", "", Some("1"))]);
    assert_eq!(world.instance.check(&unknown)[0].1.code, "dhis2-unit-unknown");
}

#[tokio::test]
async fn without_metadata_nothing_is_sent() {
    let world = world("2.43.1").await;
    world.fake.answer("GET /api/system/info", 502, json!("<html>starting</html>"));
    let batch = [report(UNIT, "202610", &[("MjDeInteger", "", Some("1"))])];
    let failure = world.send(&batch).await.result.unwrap_err();
    assert_eq!(failure.reason.code, "dhis2-unavailable");
    assert_eq!(world.fake.count("POST /api/dataValueSets"), 0);
}
