//! iHRIS 5 and its mHero module.

use mjumbe::fhir::lenient::Profile;
use mjumbe::store::testing::each_store;
use serde_json::json;

use crate::server::TestServer;

async fn as_ihris(store: mjumbe::store::Store) -> TestServer {
    let mut server = TestServer::start(store).await;
    server.become_client(Profile::Ihris).await;
    server
}

#[tokio::test]
async fn a_group_without_type_is_made_and_gets_members() {
    each_store(|store| async move {
        let server = as_ihris(store).await;
        let made = server.post("Group", &json!({ "resourceType": "Group", "name": "Nurses" })).await;
        assert_eq!((made.status.as_u16(), made.body["type"].as_str()), (201, Some("practitioner")));
        assert_eq!(
            made.header("mjumbe-repaired"),
            "group-type-missing Group.type, group-actual-missing Group.actual"
        );
        let id = made.body["id"].as_str().unwrap();
        let members = json!([{ "entity": { "reference": "Practitioner/1" } }]);
        let group = json!({ "resourceType": "Group", "id": id, "name": "Nurses", "member": members });
        let put = server.put(&format!("Group/{id}"), &group).await;
        assert_eq!((put.status.as_u16(), &put.body["member"]), (200, &members));
        server.stop().await;
    })
    .await;
}
