//! Places: `Location?near=`. <https://hl7.org/fhir/R4/location.html#positional>

use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use super::search::{found, refused, stored};
use crate::server::TestServer;

fn place(id: &str, latitude: f64, longitude: f64) -> Value {
    json!({ "resourceType": "Location", "id": id, "name": id, "position": { "latitude": latitude, "longitude": longitude } })
}

#[tokio::test]
async fn near_a_place() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let role = json!({ "resourceType": "PractitionerRole", "id": "nurse", "location": [{ "reference": "Location/kigali" }] });
        stored(
            &server,
            &[
                place("kigali", -1.9441, 30.0619),
                place("nyamata", -2.1489, 30.0911),
                place("huye", -2.5967, 29.7394),
                place("east", 0.0, 179.95),
                place("west", 0.0, -179.95),
                place("nowhere", 95.0, 400.0),
                json!({ "resourceType": "Location", "id": "unknown", "name": "unknown" }),
                role,
            ],
        )
        .await;
        found(
            &server,
            &[
                ("Location?near=-1.9441|30.0619|0.01|km", "kigali"),
                // 23 km, and 81 km.
                ("Location?near=-1.9441|30.0619|22", "kigali"),
                ("Location?near=-1.9441|30.0619|24|km", "kigali,nyamata"),
                ("Location?near=-1.9441|30.0619|24000|m", "kigali,nyamata"),
                ("Location?near=-1.9441|30.0619|15|[mi_us]", "kigali,nyamata"),
                ("Location?near=-1.9441|30.0619|14|[mi_i]", "kigali"),
                // 50 km where nothing is said.
                ("Location?near=-1.9441|30.0619", "kigali,nyamata"),
                ("Location?near=-1.9441|30.0619||km", "kigali,nyamata"),
                ("Location?near=-1.9441|30.0619|100&name=hu", "huye"),
                ("Location?near=-2.5967|29.7394|1,-1.9441|30.0619|1", "kigali,huye"),
                // Over the line where the days meet.
                ("Location?near=0|180|6", "east,west"),
                ("Location?near=0|-179.95|11.2|km", "east,west"),
                ("Location?near=90|0|30000", "kigali,nyamata,huye,east,west"),
                ("Location?near:missing=true", "nowhere,unknown"),
                ("PractitionerRole?location.near=-1.9|30.1|10", "nurse"),
                ("Location?_has:PractitionerRole:location:_id=nurse&near=-1.9|30.1|10", "kigali"),
            ],
        )
        .await;
        // It moves.
        stored(&server, &[place("nyamata", -1.95, 30.07)]).await;
        found(&server, &[("Location?near=-1.9441|30.0619|2", "kigali,nyamata")]).await;
        refused(
            &server,
            &[
                ("Location?near=here", "bad-position"),
                ("Location?near=91|0|1", "bad-position"),
                ("Location?near=0|181|1", "bad-position"),
                ("Location?near=1|2|3|km|5", "bad-position"),
                ("Location?near=1|2|-3|km", "bad-number"),
                ("Location?near=1|2|3|furlong", "bad-unit"),
                ("Location?near:below=1|2|3", "unknown-modifier"),
                ("Location?_sort=near", "not-supported"),
            ],
        )
        .await;
        let statement = server.get("metadata").await.body;
        let location = statement["rest"][0]["resource"].as_array().unwrap();
        let location = location.iter().find(|kind| kind["type"] == "Location").unwrap();
        let near = location["searchParam"].as_array().unwrap().iter().find(|one| one["name"] == "near").unwrap();
        assert_eq!(near["type"], "special");
        server.stop().await;
    })
    .await;
}
