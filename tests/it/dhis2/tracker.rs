//! Events and tracked entities against the simulated DHIS2 of both generations, while it fails: in the end
//! each object is there once, as it was wanted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use mjumbe::delivery::destination::{Destination as _, Outgoing, OutgoingPart, Reason, Sent, Verdict};
use mjumbe::delivery::hold::Leave;
use mjumbe::dhis2::aggregate::destination::{Instance, Tracking};
use mjumbe::dhis2::client::Client;
use mjumbe::dhis2::metadata::mirror::{Documents, Mirror};
use mjumbe::dhis2::tracker::entity::Tracker;
use mjumbe::dhis2::tracker::event::Event;
use mjumbe::dhis2::tracker::notes::Notes;
use mjumbe::dhis2::tracker::uid::{Namespace, Note};
use mjumbe::mapping::output::{Output, Withdraw};
use mjumbe::mapping::target::{Context, Evaluated, Target};
use mjumbe::sandbox::dhis2::country::facility_id;
use mjumbe::sandbox::dhis2::{Dhis2, Options, Version};
use mjumbe::sandbox::faults::{Effect, Fault, Objects};
use mjumbe::sandbox::http::Server;
use serde_json::{Value, json};

use super::fake::Memory;

const BOTH: [Version; 2] = [Version::V2_40, Version::V2_43];

/// What the engine would keep: what was accepted at each place, its note, and links.
#[derive(Default)]
struct Ledger {
    slots: Mutex<BTreeMap<String, (Option<Value>, String)>>,
    links: Mutex<BTreeMap<String, String>>,
    /// Source → the places that it wants.
    wanted: Mutex<BTreeMap<String, Vec<String>>>,
}

#[async_trait::async_trait]
impl Notes for Ledger {
    async fn notes(&self, slots: &[String]) -> Result<HashMap<String, Note>, String> {
        let known = self.slots.lock().unwrap();
        let note = |slot: &String| Some((slot.clone(), Note::read(&known.get(slot)?.1)));
        Ok(slots.iter().filter_map(note).collect())
    }
}

pub(super) struct World {
    /// None: a real server.
    sandbox: Option<(Dhis2, Server)>,
    pub(super) url: String,
    pub(super) authorization: String,
    ledger: Arc<Ledger>,
    pub(super) instance: Instance,
}

pub(super) async fn world(version: Version) -> World {
    let dhis2 = Dhis2::new(Options::new(version));
    let server = Server::start(Arc::new(dhis2.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let world = World::at(&json!({ "url": server.url(), "token": dhis2.token() }));
    World { authorization: format!("ApiToken {}", dhis2.token()), sandbox: Some((dhis2, server)), ..world }
}

fn built(target: &dyn Target, source: &str, fields: &Value) -> Output {
    let context = Context {
        tenant: "default",
        zone: &TimeZone::UTC,
        mapping: "m",
        source,
        authored_ms: "2026-09-01T08:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond(),
        place: "m.yaml:1:1",
        country: None,
    };
    let entry = Evaluated {
        target_id: target.kind(),
        destination: "national",
        key: "",
        withdraw: Withdraw::Delete,
        needs: &[],
        fields,
        faulty: false,
        context: &context,
    };
    let (output, issues) = target.build(&entry).unwrap();
    assert!(issues.is_empty(), "{issues:?}");
    output
}

impl World {
    /// Speaks to a server with these settings.
    pub(super) fn at(settings: &Value) -> Self {
        let url = settings["url"].as_str().unwrap().to_owned();
        let settings = serde_json::from_value(settings.clone()).unwrap();
        let client = Arc::new(Client::new("national", &settings).unwrap());
        let memory: Arc<dyn Documents> = Arc::new(Memory::default());
        let mirror = Arc::new(Mirror::new(Arc::clone(&client), memory, Duration::from_secs(3600)));
        let ledger = Arc::new(Ledger::default());
        let tracking = Tracking { space: Namespace::new("default", "national"), notes: ledger.clone() };
        let instance = Instance::new(client, mirror, tracking, None)
            .with_clock(jiff::Timestamp::now, Duration::from_millis(2));
        World { sandbox: None, url, authorization: String::new(), ledger, instance }
    }

    fn dhis2(&self) -> &Dhis2 {
        &self.sandbox.as_ref().unwrap().0
    }

    /// The difference to what was accepted, as the engine makes it.
    pub(super) fn outgoing(&self, source: &str, fields: &Value) -> Outgoing {
        let target: &dyn Target = if fields.get("dataValues").is_some() { &Event } else { &Tracker };
        let output = built(target, source, fields);
        let slots = self.ledger.slots.lock().unwrap();
        let place = |slot: &str| slots.get(slot).cloned().unwrap_or_default();
        let mut parts: Vec<OutgoingPart> = Vec::new();
        let before = self.ledger.wanted.lock().unwrap().get(source).cloned().unwrap_or_default();
        for slot in before.iter().filter(|slot| !output.parts.iter().any(|part| part.slot == **slot)) {
            let (sent, note) = place(slot);
            parts.push(OutgoingPart { slot: slot.clone(), wanted: None, sent, note });
        }
        for part in &output.parts {
            let (sent, note) = place(&part.slot);
            if sent.as_ref() != Some(&part.wanted) {
                let wanted = Some(part.wanted.clone());
                parts.push(OutgoingPart { slot: part.slot.clone(), wanted, sent, note });
            }
        }
        let links = self.ledger.links.lock().unwrap().clone();
        let remote = output.link.as_ref().and_then(|link| links.get(link).cloned());
        Outgoing {
            id: source.to_owned(),
            target: output.target,
            lane: output.lane,
            body: output.body,
            parts,
            link: output.link,
            remote,
            links,
            ..Outgoing::default()
        }
    }

    pub(super) async fn send(&self, batch: &[Outgoing]) -> Sent {
        let sent = self.instance.send(batch, &Leave::until(Instant::now() + Duration::from_secs(30))).await;
        if let Ok(settled) = &sent.result {
            for (outgoing, settled) in batch.iter().zip(settled) {
                self.settle(outgoing, settled);
            }
        }
        sent
    }

    fn settle(&self, outgoing: &Outgoing, settled: &mjumbe::delivery::destination::Settled) {
        let mut slots = self.ledger.slots.lock().unwrap();
        let mut wanted = self.ledger.wanted.lock().unwrap();
        for (at, part) in outgoing.parts.iter().enumerate() {
            let slot = slots.entry(part.slot.clone()).or_default();
            if let Some(Some(note)) = settled.notes.get(at) {
                slot.1.clone_from(note);
            }
            if settled.parts[at] == Verdict::Accepted {
                slot.0.clone_from(&part.wanted);
                let own = wanted.entry(outgoing.id.clone()).or_default();
                own.retain(|known| *known != part.slot);
                own.extend(part.wanted.as_ref().map(|_| part.slot.clone()));
            }
        }
        if let (Some(link), Some(remote)) = (&outgoing.link, &settled.remote) {
            self.ledger.links.lock().unwrap().insert(link.clone(), remote.clone());
        }
    }

    /// Wants it, and gives what became of each part.
    pub(super) async fn want(&self, source: &str, fields: &Value) -> Vec<String> {
        let outgoing = self.outgoing(source, fields);
        let sent = self.send(std::slice::from_ref(&outgoing)).await;
        let settled = sent.result.unwrap_or_else(|failure| panic!("{failure:?}"));
        settled[0].parts.iter().map(word).collect()
    }

    /// What is there and not deleted.
    fn there(&self, list: &str) -> Vec<Value> {
        let all = self.dhis2().state()["tracker"][list].as_array().unwrap().clone();
        all.into_iter().filter(|own| own["deleted"] == false).collect()
    }
}

pub(super) fn word(verdict: &Verdict) -> String {
    let later = |reason: &Reason| format!("later {}", reason.code);
    match verdict {
        Verdict::Accepted => "accepted".to_owned(),
        Verdict::Refused(reason) => reason.code.clone(),
        Verdict::Later(reason) => later(reason),
        Verdict::Unclear(reason) => format!("unclear {}", reason.code),
    }
}

pub(super) fn all_accepted(words: &[String], count: usize) {
    assert_eq!(words, vec!["accepted"; count]);
}

fn dose(key: &str, vaccine: &str) -> Value {
    json!({ "programStage": "MjDoseStag1", "key": key, "occurredAt": "2026-09-02", "dataValues": [
        { "dataElement": "MjDoseVacc1", "value": vaccine },
        { "dataElement": "MjDoseNumb1", "value": key } ] })
}

fn child(number: &str, doses: &[Value]) -> Value {
    json!({
        "type": "MjChildType", "orgUnit": facility_id(0),
        "find": [{ "attribute": "MjChildNo01", "value": number, "weight": 10 }],
        "attributes": [{ "attribute": "MjChildNam1", "value": "Keza" }],
        "enrollments": [{ "program": "MjImmunize1", "enrolledAt": "2026-09-01",
            "attributes": [{ "attribute": "MjMotherPh1", "value": "+250788410000" }], "events": doses }]
    })
}

fn case(disease: &str, age: Option<u32>) -> Value {
    json!({ "program": "MjCaseRept1", "orgUnit": facility_id(1), "status": "COMPLETED", "dataValues": [
        { "dataElement": "MjCaseDise1", "value": disease },
        { "dataElement": "MjCaseAge01", "value": age } ] })
}

#[tokio::test]
async fn a_child_is_made_once_and_then_updated() {
    for version in BOTH {
        let world = world(version).await;
        let first = child("N-1", &[dose("1", "BCG")]);
        all_accepted(&world.want("Patient/1", &first).await, 3);
        let entities = world.there("trackedEntities");
        assert_eq!(entities.len(), 1);
        assert_eq!(entities[0]["attributes"]["MjChildNo01"], "N-1");
        assert_eq!(entities[0]["trackedEntity"], world.ledger.links.lock().unwrap()["Patient/1"]);
        // A second dose alone, and another name.
        let mut second = child("N-1", &[dose("1", "BCG"), dose("2", "OPV")]);
        second["attributes"][0]["value"] = json!("Keza Uwase");
        all_accepted(&world.want("Patient/1", &second).await, 2);
        assert_eq!(world.there("events").len(), 2);
        assert_eq!(world.there("trackedEntities")[0]["attributes"]["MjChildNam1"], "Keza Uwase");
        // Another source of the same child finds it, its enrolment and its dose.
        let report = child("n-1", &[dose("3", "OPV")]);
        all_accepted(&world.want("QuestionnaireResponse/9", &report).await, 3);
        assert_eq!((world.there("trackedEntities").len(), world.there("enrollments").len()), (1, 1));
        assert_eq!(world.there("events").len(), 3);
    }
}

#[tokio::test]
async fn a_value_that_is_no_longer_wanted_is_emptied_and_others_are_left_alone() {
    for version in BOTH {
        let world = world(version).await;
        all_accepted(&world.want("QuestionnaireResponse/1", &case("CHOLERA", Some(3))).await, 1);
        let uid = world.there("events")[0]["event"].as_str().unwrap().to_owned();
        all_accepted(&world.want("QuestionnaireResponse/1", &case("MEASLES", None)).await, 1);
        let events = world.there("events");
        assert_eq!((events.len(), &events[0]["event"]), (1, &json!(uid)));
        assert_eq!(events[0]["dataValues"], json!({ "MjCaseDise1": "MEASLES" }));
        assert!(
            world.want("QuestionnaireResponse/1", &case("nothing", None)).await[0] == "dhis2-value-option"
        );
    }
}

#[tokio::test]
async fn what_was_deleted_comes_back_as_another_generation() {
    for version in BOTH {
        let world = world(version).await;
        let with = child("N-1", &[dose("1", "BCG"), dose("2", "OPV")]);
        all_accepted(&world.want("Patient/1", &with).await, 4);
        // Withdrawn by the mapping, then wanted again.
        all_accepted(&world.want("Patient/1", &child("N-1", &[dose("1", "BCG")])).await, 1);
        assert_eq!(world.there("events").len(), 1);
        all_accepted(&world.want("Patient/1", &with).await, 1);
        assert_eq!(world.there("events").len(), 2);
        // Deleted by somebody in DHIS2, and then wanted otherwise.
        let events = world.there("events");
        let gone = events.iter().find(|event| event["dataValues"]["MjDoseNumb1"] == "1").unwrap();
        delete(&world, json!({ "events": [{ "event": gone["event"] }] })).await;
        let changed = child("N-1", &[dose("1", "OPV"), dose("2", "OPV")]);
        all_accepted(&world.want("Patient/1", &changed).await, 1);
        assert_eq!(world.there("events").len(), 2);
        assert!(world.there("events").iter().all(|event| event["event"] != gone["event"]));
        // The whole child.
        let entity = world.there("trackedEntities")[0]["trackedEntity"].clone();
        delete(&world, json!({ "trackedEntities": [{ "trackedEntity": entity }] })).await;
        let mut named = changed;
        named["attributes"][0]["value"] = json!("Uwase");
        named["enrollments"][0]["enrolledAt"] = json!("2026-09-03");
        assert_eq!(world.want("Patient/1", &named).await, ["accepted", "accepted"]);
        let anew = world.there("trackedEntities");
        assert_eq!((anew.len(), anew[0]["trackedEntity"] != entity), (1, true));
        assert_eq!(world.ledger.links.lock().unwrap()["Patient/1"], anew[0]["trackedEntity"]);
    }
}

pub(super) async fn delete(world: &World, body: Value) {
    let client = reqwest::Client::new();
    let url = format!("{}/api/tracker?async=false&importStrategy=DELETE", world.url);
    let request = client.post(url).header("Authorization", &world.authorization);
    let answer = request.json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn two_sources_of_one_new_child_in_one_batch_make_it_once() {
    for version in BOTH {
        let world = world(version).await;
        // What one lane keeps apart in the engine.
        let one = world.outgoing("QuestionnaireResponse/1", &child("N-1", &[dose("1", "BCG")]));
        let mut two = world.outgoing("Patient/2", &child("N-1", &[dose("2", "OPV")]));
        let sent = world.send(&[one, two.clone()]).await;
        let settled = sent.result.unwrap();
        all_accepted(&settled[0].parts.iter().map(word).collect::<Vec<_>>(), 3);
        assert!(settled[1].parts.iter().all(|verdict| word(verdict) == "later dhis2-entity-being-made"));
        two.attempt = 1;
        let settled = world.send(&[two]).await.result.unwrap();
        all_accepted(&settled[0].parts.iter().map(word).collect::<Vec<_>>(), 3);
        assert_eq!((world.there("trackedEntities").len(), world.there("enrollments").len()), (1, 1));
        assert_eq!(world.there("events").len(), 2);
    }
}

#[tokio::test]
async fn candidates_have_a_score_and_the_best_must_be_ahead() {
    for version in BOTH {
        let world = world(version).await;
        for (source, number) in [("Patient/1", "N-1"), ("Patient/2", "N-2")] {
            all_accepted(&world.want(source, &child(number, &[])).await, 2);
        }
        let mut by_name = child("N-9", &[]);
        by_name["find"] = json!([{ "attribute": "MjChildNam1", "value": "Keza" }]);
        let told = world.want("QuestionnaireResponse/1", &by_name).await;
        assert_eq!(told, ["dhis2-entity-ambiguous", "dhis2-entity-ambiguous"]);
        by_name["find"] = json!([{ "attribute": "MjChildNam1", "value": "Keza" },
            { "attribute": "MjChildNo01", "value": "N-2", "weight": 5 }]);
        by_name["margin"] = json!(3);
        all_accepted(&world.want("QuestionnaireResponse/1", &by_name).await, 2);
        assert_eq!(world.there("trackedEntities").len(), 2);
        // Too little to be the same: another child.
        by_name["find"] = json!([{ "attribute": "MjChildNam1", "value": "Keza", "weight": 2 }]);
        by_name["attributes"] = json!([{ "attribute": "MjChildNam1", "value": "Keza" },
            { "attribute": "MjChildNo01", "value": "N-3" }]);
        all_accepted(&world.want("QuestionnaireResponse/2", &by_name).await, 2);
        assert_eq!(world.there("trackedEntities").len(), 3);
        // Nobody, and not to be made.
        let mut none = child("N-77", &[dose("1", "BCG")]);
        none["create"] = json!(false);
        none.as_object_mut().unwrap().remove("attributes");
        let told = world.want("QuestionnaireResponse/3", &none).await;
        assert_eq!(told, ["later dhis2-entity-absent", "later dhis2-entity-absent"]);
    }
}

#[tokio::test]
async fn a_refused_tracked_entity_says_so_for_what_belongs_to_it() {
    for version in BOTH {
        let world = world(version).await;
        let rule =
            Objects { kind: "TRACKED_ENTITY".into(), program: None, org_unit: None, message: "no".into() };
        world.dhis2().fault(Fault::new(Effect::RefuseObjects(rule)));
        let told = world.want("Patient/1", &child("N-1", &[dose("1", "BCG")])).await;
        assert_eq!(told[0], "dhis2-program-rule");
        assert!(told[1..].iter().all(|word| word == "dhis2-parent-refused"), "{told:?}");
        assert_eq!(world.there("trackedEntities").len(), 0);
    }
}

#[tokio::test]
async fn one_bad_object_does_not_keep_the_others() {
    for version in BOTH {
        let world = world(version).await;
        let rule = Objects {
            kind: "EVENT".into(),
            program: None,
            org_unit: Some(facility_id(1)),
            message: "by phone".into(),
        };
        world.dhis2().fault(Fault::new(Effect::RefuseObjects(rule)));
        let batch = [
            world.outgoing("QuestionnaireResponse/1", &case("CHOLERA", Some(3))),
            world.outgoing("Patient/1", &child("N-1", &[dose("1", "BCG")])),
        ];
        let settled = world.send(&batch).await.result.unwrap();
        assert_eq!(word(&settled[0].parts[0]), "dhis2-program-rule");
        all_accepted(&settled[1].parts.iter().map(word).collect::<Vec<_>>(), 3);
    }
}

#[tokio::test]
async fn an_unclear_answer_is_read_back_and_nothing_is_there_twice() {
    for version in BOTH {
        for effect in [
            Effect::DropAfter,
            Effect::AnswerAfter { status: 502, body: None },
            Effect::StoreRows { rows: 1, status: 500 },
            Effect::StoreNothing,
            Effect::Answer { status: 500, body: None, retry_after: None },
        ] {
            let world = world(version).await;
            let fields = child("N-1", &[dose("1", "BCG")]);
            // The metadata is read before the fault.
            all_accepted(&world.want("QuestionnaireResponse/9", &case("CHOLERA", None)).await, 1);
            world.dhis2().fault(Fault::new(effect.clone()).on("POST", "/api/tracker").times(1));
            for attempt in 0..5 {
                let mut outgoing = world.outgoing("Patient/1", &fields);
                if outgoing.parts.is_empty() {
                    break;
                }
                outgoing.attempt = attempt;
                outgoing.unclear = attempt > 0;
                world.send(&[outgoing]).await;
            }
            assert!(world.outgoing("Patient/1", &fields).parts.is_empty(), "{effect:?}");
            assert_eq!(world.there("trackedEntities").len(), 1, "{effect:?}");
            assert_eq!(world.there("enrollments").len(), 1, "{effect:?}");
            assert_eq!(world.there("events").len(), 2, "{effect:?}");
        }
    }
}

/// DHIS2 may be importing still while it is read back.
#[tokio::test]
async fn what_is_not_there_right_after_a_lost_answer_may_come_yet() {
    for version in BOTH {
        let world = world(version).await;
        all_accepted(&world.want("QuestionnaireResponse/9", &case("CHOLERA", None)).await, 1);
        let lost = Effect::Answer { status: 504, body: None, retry_after: None };
        world.dhis2().fault(Fault::new(lost).on("POST", "/api/tracker").times(1));
        let outgoing = world.outgoing("Patient/1", &child("N-1", &[dose("1", "BCG")]));
        let failure = world.send(&[outgoing]).await.result.unwrap_err();
        assert!(failure.unclear, "{failure:?}");
    }
}

/// A process that is killed after DHIS2 stored everything and before it wrote that down.
#[tokio::test]
async fn after_a_kill_what_is_there_is_seen_before_anything_is_sent() {
    for version in BOTH {
        let world = world(version).await;
        let fields = child("N-1", &[dose("1", "BCG")]);
        let outgoing = world.outgoing("Patient/1", &fields);
        world
            .instance
            .send(std::slice::from_ref(&outgoing), &Leave::until(Instant::now() + Duration::from_secs(30)))
            .await;
        let again = Outgoing { attempt: 1, unclear: true, ..outgoing };
        let sent = world.send(&[again]).await;
        all_accepted(&sent.result.unwrap()[0].parts.iter().map(word).collect::<Vec<_>>(), 3);
        assert!(sent.exchanges.iter().all(|exchange| exchange.method == "GET"));
        assert_eq!(world.there("trackedEntities").len(), 1);
    }
}

#[tokio::test]
async fn an_enrolment_and_an_event_that_are_there_are_taken() {
    for version in BOTH {
        let world = world(version).await;
        // Somebody enrolled the child by hand, with the event of its birth.
        let body = json!({ "trackedEntities": [{ "trackedEntity": "TChild00001",
            "trackedEntityType": "MjChildType", "orgUnit": facility_id(0), "attributes": [
                { "attribute": "MjChildNo01", "value": "N-1" }, { "attribute": "MjChildNam1", "value": "Keza" }],
            "enrollments": [{ "enrollment": "EChild00001", "program": "MjImmunize1",
                "orgUnit": facility_id(0), "enrolledAt": "2026-08-01", "occurredAt": "2026-08-01",
                "events": [{ "event": "VChild00001", "programStage": "MjBirthStg1", "status": "COMPLETED",
                    "orgUnit": facility_id(0), "occurredAt": "2026-08-01" }] }] }] });
        let client = reqwest::Client::new();
        let url = format!("{}/api/tracker?async=false", world.url);
        let request = client.post(url).header("Authorization", &world.authorization);
        assert_eq!(request.json(&body).send().await.unwrap().status(), 200);
        let birth = json!({ "programStage": "MjBirthStg1", "occurredAt": "2026-08-02", "dataValues":
            [{ "dataElement": "MjBirthWgt1", "value": 3200 }] });
        all_accepted(&world.want("Patient/1", &child("N-1", &[birth, dose("1", "BCG")])).await, 4);
        assert_eq!((world.there("trackedEntities").len(), world.there("enrollments").len()), (1, 1));
        let events = world.there("events");
        let born = events.iter().find(|event| event["event"] == "VChild00001").unwrap();
        assert_eq!(born["dataValues"]["MjBirthWgt1"], "3200");
        // The mapping did not name a status: the one that is there stays.
        assert_eq!((born["status"].as_str(), events.len()), (Some("COMPLETED"), 2));
        // It was there before us: it is not deleted with our wish.
        all_accepted(&world.want("Patient/1", &child("N-1", &[dose("1", "BCG")])).await, 1);
        assert_eq!(world.there("events").len(), 2);
    }
}

#[tokio::test]
async fn a_dose_waits_for_its_child_and_then_goes_by_its_link() {
    for version in BOTH {
        let world = world(version).await;
        let given = json!({ "trackedEntity": { "$link": { "resource": "Patient/1" } },
            "orgUnit": facility_id(0), "enrollments":
                [{ "program": "MjImmunize1", "events": [dose("1", "BCG")] }] });
        assert_eq!(world.want("Immunization/5", &given).await, ["later link-missing"]);
        all_accepted(&world.want("Patient/1", &child("N-1", &[])).await, 2);
        all_accepted(&world.want("Immunization/5", &given).await, 1);
        assert_eq!(world.there("events").len(), 1);
        let siblings = json!({ "trackedEntity": { "$link": { "resource": "Patient/1" } },
            "relationships": [{ "relationshipType": "MjSiblings1", "to": { "$link": { "resource": "Patient/2" } } }] });
        all_accepted(&world.want("Patient/2", &child("N-2", &[])).await, 2);
        let told = world.want("RelatedPerson/1", &siblings).await;
        assert_eq!((told, world.there("relationships").len()), (vec!["accepted".to_owned()], 1));
    }
}
