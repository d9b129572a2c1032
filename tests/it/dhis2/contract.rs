//! What is relied on of any DHIS2 from 2.38 to 2.43: against the server that `MJUMBE_TEST_DHIS2` names (its
//! token in `MJUMBE_TEST_DHIS2_TOKEN`, or `http://USER:PASSWORD@host`), else against the sandbox. Uses
//! whatever programs are there, and removes what it made.

use mjumbe::sandbox::dhis2::Version;
use serde_json::{Value, json};
use uuid::Uuid;

use super::tracker::{World, all_accepted, delete, word, world};

/// The configured server, or both generations of the sandbox.
async fn worlds() -> Vec<World> {
    let Ok(url) = std::env::var("MJUMBE_TEST_DHIS2") else {
        return vec![world(Version::V2_40).await, world(Version::V2_43).await];
    };
    let mut url = url::Url::parse(&url).unwrap();
    let (user, password) = (url.username().to_owned(), url.password().unwrap_or_default().to_owned());
    url.set_username("").unwrap();
    url.set_password(None).unwrap();
    let mut settings = json!({ "url": url.as_str().trim_end_matches('/'), "dangerous_accept_http": true });
    let authorization = match std::env::var("MJUMBE_TEST_DHIS2_TOKEN") {
        Ok(token) => {
            settings["token"] = json!(token);
            format!("ApiToken {token}")
        }
        Err(_) => {
            use base64::Engine as _;
            (settings["username"], settings["password"]) = (json!(user), json!(password));
            let pair = format!("{user}:{password}");
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        }
    };
    let mut world = World::at(&settings);
    world.authorization = authorization;
    vec![world]
}

async fn get(world: &World, path: &str) -> (u16, Value) {
    let request = reqwest::Client::new().get(format!("{}/api/{path}", world.url));
    let answer = request.header("Authorization", &world.authorization).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
}

/// A value that any server takes for a type, if it is a plain one.
fn plain(object: &Value) -> Option<Value> {
    if object["optionSet"].is_object() || object["generated"] == true {
        return None;
    }
    match object["valueType"].as_str()? {
        "TEXT" | "LONG_TEXT" => Some(json!("contract")),
        "NUMBER" | "INTEGER" | "INTEGER_POSITIVE" | "INTEGER_ZERO_OR_POSITIVE" => Some(json!("3")),
        "DATE" | "AGE" => Some(json!("2020-01-31")),
        _ => None,
    }
}

/// A tracked entity for some program of the server, with one event: fields of `dhis2.tracker`.
async fn fields(world: &World) -> Option<Value> {
    let path = "programs?filter=programType:eq:WITH_REGISTRATION&pageSize=50&fields=id,trackedEntityType[id],\
        organisationUnits[id],programTrackedEntityAttributes[mandatory,trackedEntityAttribute[id,valueType,\
        generated,optionSet[id]]],programStages[id,programStageDataElements[compulsory,dataElement[id,\
        valueType,optionSet[id]]]]";
    let (_, answer) = get(world, path).await;
    answer["programs"].as_array()?.iter().find_map(of_program)
}

fn of_program(program: &Value) -> Option<Value> {
    let unit = program["organisationUnits"].as_array()?.first()?["id"].clone();
    let mut attributes = Vec::new();
    let mut find = None;
    for member in program["programTrackedEntityAttributes"].as_array()? {
        let attribute = &member["trackedEntityAttribute"];
        let value = plain(attribute);
        if attribute["valueType"] == "TEXT" && value.is_some() && find.is_none() {
            find = Some(
                json!({ "attribute": attribute["id"], "value": format!("contract-{}", Uuid::new_v4()) }),
            );
        } else if member["mandatory"] == true {
            attributes.push(json!({ "attribute": attribute["id"], "value": value? }));
        }
    }
    let event = program["programStages"].as_array()?.iter().find_map(|stage| {
        let elements = stage["programStageDataElements"].as_array()?;
        let compulsory = elements.iter().any(|member| member["compulsory"] == true);
        let element = elements.iter().find(|member| plain(&member["dataElement"]).is_some())?;
        let value = plain(&element["dataElement"])?;
        (!compulsory).then(|| {
            json!({ "programStage": stage["id"], "key": "1", "occurredAt": "2026-01-02",
                "dataValues": [{ "dataElement": element["dataElement"]["id"], "value": value }] })
        })
    })?;
    Some(json!({
        "type": program["trackedEntityType"]["id"], "orgUnit": unit, "find": [find?], "attributes": attributes,
        "enrollments": [{ "program": program["id"], "enrolledAt": "2026-01-01", "events": [event] }]
    }))
}

#[tokio::test]
async fn a_tracked_entity_lives_and_dies() {
    for world in worlds().await {
        let Some(with) = fields(&world).await else {
            println!("skipped: no tracker program with plain values at {}", world.url);
            continue;
        };
        let mut without = with.clone();
        without["enrollments"][0]["events"] = json!([]);
        let outgoing = world.outgoing("Patient/contract", &with);
        let sent = world.send(std::slice::from_ref(&outgoing)).await;
        let settled = sent.result.unwrap().remove(0);
        all_accepted(&settled.parts.iter().map(word).collect::<Vec<_>>(), 3);
        let uid = settled.remote.unwrap();
        let fields = "fields=trackedEntity,enrollments[enrollment,status,events[event,dataValues[value]]]";
        let path = format!("tracker/trackedEntities/{uid}?{fields}");
        let event = |entity: &Value| entity["enrollments"][0]["events"][0]["event"].clone();
        let first = event(&get(&world, &path).await.1);
        assert!(first.is_string());
        // As after a kill: what is there is seen, and nothing is sent.
        let again = mjumbe::delivery::destination::Outgoing { unclear: true, attempt: 1, ..outgoing };
        let sent = world.send(&[again]).await;
        all_accepted(&sent.result.unwrap()[0].parts.iter().map(word).collect::<Vec<_>>(), 3);
        assert!(sent.exchanges.iter().all(|exchange| exchange.method == "GET"));
        // Another source finds it by its attribute.
        let found = world.outgoing("QuestionnaireResponse/contract", &without);
        all_accepted(
            &world.send(&[found]).await.result.unwrap()[0].parts.iter().map(word).collect::<Vec<_>>(),
            2,
        );
        // Withdrawn and wanted again: another UID, because DHIS2 never takes a deleted one again.
        all_accepted(&world.want("Patient/contract", &without).await, 1);
        assert_eq!(event(&get(&world, &path).await.1), Value::Null);
        all_accepted(&world.want("Patient/contract", &with).await, 1);
        assert_ne!(event(&get(&world, &path).await.1), first);
        delete(&world, json!({ "trackedEntities": [{ "trackedEntity": uid }] })).await;
        assert_eq!(get(&world, &path).await.0, 404);
    }
}
