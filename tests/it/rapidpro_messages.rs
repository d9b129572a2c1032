//! Messages: from a mapping's fields to what a person gets once, answers lost on the way.

use std::time::Duration;

use mjumbe::delivery::destination::FailureKind;
use mjumbe::rapidpro::act::message::Message;
use mjumbe::rapidpro::act::others::Open;
use mjumbe::sandbox::faults::{Effect, Fault};
use serde_json::{Value, json};

use super::rapidpro_acts::{Scene, built, code, outgoing, unclear};

#[tokio::test]
async fn a_message_is_sent_as_it_is_written_in_the_persons_language() {
    for version in [9, 26] {
        let scene = Scene::of(version).await;
        let texts = json!({"eng": "Hello", "kin": "Muraho @contact.name: 50% @home", "swa": "Habari"});
        let settled = scene.settle(&scene.message("d1", &texts)).await;
        assert_eq!(code(&settled), "accepted");
        let row = scene.list("messages").await.remove(0);
        let name = if version > 9 { row["uuid"].as_str().unwrap().to_owned() } else { row["id"].to_string() };
        assert_eq!(settled.remote, Some(format!("message/{name}")), "{version}");
        assert_eq!(row["text"], "Muraho @contact.name: 50% @home");
        assert_eq!(row["contact"]["uuid"], json!(scene.uuid));
    }
}

#[tokio::test]
async fn who_has_no_language_of_the_message_gets_the_tenants_first() {
    let scene = Scene::new().await;
    scene.settle(&scene.message("d1", &json!({"fra": "Bonjour", "eng": "Hello"}))).await;
    assert_eq!(scene.list("messages").await[0]["text"], "Hello");
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_found_and_not_repeated() {
    for (version, endpoint) in [(8, "broadcasts"), (9, "messages"), (26, "messages")] {
        for effect in [Effect::DropAfter, Effect::AnswerAfter { status: 500, body: None }] {
            let scene = Scene::of(version).await;
            let message = scene.message("d1", &json!({"eng": "Hello", "kin": "Muraho, 50@home"}));
            scene.lose(effect, endpoint);
            let failure = scene.send(&message).await.result.unwrap_err();
            assert_eq!((failure.kind, failure.unclear), (FailureKind::Unavailable, true), "{version}");
            let settled = scene.settle(&unclear(&message)).await;
            assert_eq!(code(&settled), "accepted", "{version}");
            assert!(settled.remote.unwrap().starts_with(&endpoint[..endpoint.len() - 1]), "{version}");
            assert_eq!(scene.list(endpoint).await.len(), 1, "{version}");
        }
    }
}

#[tokio::test]
async fn a_message_that_is_proven_absent_is_sent() {
    let scene = Scene::new().await;
    scene.lose(Effect::DropBefore, "messages");
    let message = scene.message("d1", &json!("Hello"));
    assert!(scene.send(&message).await.result.unwrap_err().unclear);
    assert_eq!(code(&scene.settle(&unclear(&message)).await), "accepted");
    assert_eq!(scene.sent().await.len(), 1);
}

/// A reminder with the same words a moment before is known to be another delivery's.
#[tokio::test]
async fn what_another_delivery_recorded_is_not_taken_for_the_lost_one() {
    let scene = Scene::new().await;
    let earlier = scene.settle(&scene.message("d1", &json!("Take your medicine"))).await;
    scene.record(&earlier);
    scene.lose(Effect::DropBefore, "messages");
    let second = scene.message("d2", &json!("Take your medicine"));
    scene.send(&second).await.result.unwrap_err();
    let settled = scene.settle(&unclear(&second)).await;
    assert_eq!(code(&settled), "accepted");
    assert_ne!(settled.remote, earlier.remote);
    assert_eq!(scene.sent().await.len(), 2);
}

#[tokio::test]
async fn where_two_could_be_meant_it_is_unknown_and_never_sent() {
    let scene = Scene::new().await;
    let message = scene.message("d1", &json!("Take your medicine"));
    scene.lose(Effect::DropAfter, "messages");
    scene.send(&message).await.result.unwrap_err();
    let rival = Open { lane: message.lane.clone(), wanted: message.parts[0].wanted.clone().unwrap() };
    scene.company.0.lock().unwrap().open.push(rival);
    assert_eq!(code(&scene.settle(&unclear(&message)).await), "unknown");
    assert_eq!(scene.sent().await.len(), 1);
    // Another person's message of the same words is no rival.
    scene.company.0.lock().unwrap().open[0].lane = "contact/11111111-1111-4111-8111-111111111111".to_owned();
    assert_eq!(code(&scene.settle(&unclear(&message)).await), "accepted");
}

#[tokio::test]
async fn before_8_1_35_a_message_is_a_broadcast_without_templates() {
    let scene = Scene::of(8).await;
    let settled = scene.settle(&scene.message("d1", &json!("Mail a@b.org, @contact.name"))).await;
    assert_eq!((code(&settled), settled.remote.as_deref()), ("accepted", Some("broadcast/1")));
    let broadcast = scene.list("broadcasts").await.remove(0);
    let texts: Vec<&Value> = broadcast["text"].as_object().unwrap().values().collect();
    assert_eq!(texts, ["Mail a@@b.org, @@contact.name"]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(scene.sent().await[0].0, "Mail a@b.org, @contact.name");
    // It is not asked again.
    scene.settle(&scene.message("d2", &json!("Hello"))).await;
    assert_eq!(scene.asked("POST", "messages"), 1);
}

#[tokio::test]
async fn a_lost_message_that_rapidpro_failed_is_refused_and_not_repeated() {
    let scene = Scene::new().await;
    let contact = scene.post("contacts", &json!({"name": "No phone", "urns": ["ext:fhir-1"]})).await;
    let message = outgoing("d1", &built(&Message, &json!({"contact": contact["uuid"], "text": "Hello"})));
    scene.lose(Effect::DropAfter, "messages");
    assert!(scene.send(&message).await.result.unwrap_err().unclear);
    let settled = scene.settle(&unclear(&message)).await;
    assert_eq!(code(&settled), "rapidpro-contact-unreachable");
    assert!(settled.remote.is_some_and(|remote| remote.starts_with("message/")));
    assert_eq!(scene.asked("POST", "messages"), 1);
}

#[tokio::test]
async fn what_rapidpro_refuses_or_fails_is_named() {
    let scene = Scene::new().await;
    let long = scene.message("d1", &json!("x".repeat(641)));
    assert_eq!(code(&scene.settle(&long).await), "rapidpro-text-refused");
    let contact = scene.post("contacts", &json!({"name": "No phone", "urns": ["ext:fhir-1"]})).await;
    let unreachable = built(&Message, &json!({"contact": contact["uuid"], "text": "Hello"}));
    let settled = scene.settle(&outgoing("d2", &unreachable)).await;
    assert_eq!(code(&settled), "rapidpro-contact-unreachable");

    let down = scene.far.fault(Fault::new(Effect::DatabaseDown { answer_after_ms: 0 }));
    let message = scene.message("d3", &json!("Hello"));
    let failure = scene.send(&message).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.unclear), (FailureKind::Unavailable, true));
    scene.far.lift(down);
    assert_eq!(code(&scene.settle(&unclear(&message)).await), "accepted");

    let throttled = Effect::Answer { status: 429, body: None, retry_after: None };
    scene.far.fault(Fault::new(throttled).on("POST", "/api/v2/messages.json").times(1));
    let failure = scene.send(&scene.message("d4", &json!("Hello"))).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.unclear), (FailureKind::Throttled, false));
}
