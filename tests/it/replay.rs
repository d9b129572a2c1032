//! Mapping files that change while the server runs, and what is stored already mapped again.

use std::path::Path;
use std::time::{Duration, Instant};

use mjumbe::config::{self, Config};
use mjumbe::server::replay::{Choice, Desk};
use mjumbe::store::Store;
use mjumbe::store::changes::Replay;
use mjumbe::store::deliveries::list::{self, Filter};
use mjumbe::store::testing::each_store;
use reqwest::StatusCode;
use serde_json::json;

use crate::server::TestServer;

const PATIENCE: Duration = Duration::from_secs(20);

/// A workspace that does not answer: deliveries wait, which is all that these tests look at.
fn house(folder: &Path) -> Config {
    std::fs::create_dir_all(folder.join("mappings")).unwrap();
    let file = folder.join("mjumbe.toml");
    let text = format!(
        "mappings = \"{}\"\n[rapidpro.country]\nurl = \"http://127.0.0.1:9\"\n",
        folder.join("mappings").display()
    );
    std::fs::write(&file, text).unwrap();
    let token = ("MJUMBE__RAPIDPRO__COUNTRY__TOKEN".to_owned(), "t".to_owned());
    config::load(Some(&file), [token]).unwrap()
}

fn write(folder: &Path, name: &str, language: &str) {
    let text = format!(
        "mapping: {name}\nfrom: {{ resource: Patient }}\nto:\n  - rapidpro.contact:\n      urns: \
         [{{ path: '$.resource.telecom[0].value', type: phone }}]\n      language: {language}\n"
    );
    std::fs::write(folder.join("mappings").join(format!("{name}.yaml")), text).unwrap();
}

async fn patient(server: &TestServer, id: &str, phone: &str) {
    let body = json!({ "resourceType": "Patient", "id": id,
        "telecom": [{ "system": "phone", "value": phone }] });
    let put = server.put(&format!("Patient/{id}"), &body).await;
    assert!(put.status == StatusCode::CREATED || put.status == StatusCode::OK, "{}", put.body);
}

/// How many deliveries one mapping made, after it had time for `least`.
async fn deliveries(store: &Store, mapping: &str, least: usize) -> usize {
    let filter = Filter { mapping: Some(mapping.to_owned()), ..Filter::default() };
    let begun = Instant::now();
    loop {
        let mut db = store.db().read().await.unwrap();
        let rows = list::list(&mut db, "default", &filter, (None, 100)).await.unwrap();
        drop(db);
        if rows.len() >= least || begun.elapsed() > PATIENCE {
            return rows.len();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn loaded(config: &Config, name: &str) -> std::sync::Arc<mjumbe::mapping::program::Program> {
    let destinations = mjumbe::server::mappings::destinations(config, "default");
    let registry = mjumbe::server::mappings::registry();
    let loaded = mjumbe::server::mappings::load(&config.mappings, &registry, Some(&destinations)).unwrap();
    loaded.programs.into_iter().find(|program| program.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_all_files_or_none() {
    each_store(|store| async move {
        let folder = tempfile::tempdir().unwrap();
        let config = house(folder.path());
        let server = TestServer::start_with(store.clone(), config).await;
        patient(&server, "before", "+250788000001").await;

        write(folder.path(), "one", "eng");
        std::fs::write(folder.path().join("mappings/two.yaml"), "mapping: two\nform: x\n").unwrap();
        let refused = server.reload().await.unwrap_err().to_string();
        assert!(refused.contains("two.yaml:2"), "{refused}");
        patient(&server, "during", "+250788000002").await;

        write(folder.path(), "two", "fra");
        assert_eq!(server.reload().await.unwrap(), 2);
        patient(&server, "after", "+250788000003").await;
        assert_eq!(deliveries(&store, "two", 1).await, 1);
        // From now on: what was there before the reload is not mapped, nor by the file that had no mistake.
        assert_eq!(deliveries(&store, "one", 1).await, 1);
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_passed_over_by_reloads_while_clients_write() {
    each_store(|store| async move {
        let folder = tempfile::tempdir().unwrap();
        let config = house(folder.path());
        write(folder.path(), "one", "eng");
        let server = TestServer::start_with(store.clone(), config).await;
        for number in 0..40 {
            patient(&server, &format!("p{number}"), &format!("+2507880001{number:02}")).await;
            if number % 5 == 0 {
                write(folder.path(), "one", if number % 2 == 0 { "eng" } else { "fra" });
                server.reload().await.unwrap();
            }
        }
        assert_eq!(deliveries(&store, "one", 40).await, 40);
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_resources_are_mapped_after_a_preview() {
    each_store(|store| async move {
        let folder = tempfile::tempdir().unwrap();
        let config = house(folder.path());
        let server = TestServer::start_with(store.clone(), config.clone()).await;
        for number in 0..3 {
            patient(&server, &format!("p{number}"), &format!("+25078800000{number}")).await;
        }
        write(folder.path(), "late", "eng");
        server.reload().await.unwrap();

        let (program, zone) = (loaded(&config, "late").await, jiff::tz::TimeZone::UTC);
        let desk = Desk::open(&config, &store, ("default", &program), zone.clone()).await.unwrap();
        let all = desk.preview(&Choice::default(), 1_000, |_| ()).await.unwrap();
        assert_eq!((all.resources, all.evaluated, all.effect.new), (3, 3, 3));
        assert_eq!(deliveries(&store, "late", 0).await, 0, "a preview changes nothing");

        let one = Choice { search: Some("_id=p1".to_owned()), ..Choice::default() };
        assert_eq!(desk.request(&one, |_| ()).await.unwrap(), 1);
        assert_eq!(deliveries(&store, "late", 1).await, 1);
        assert_eq!(desk.request(&Choice::default(), |_| ()).await.unwrap(), 3);
        assert_eq!(deliveries(&store, "late", 3).await, 3);

        let again = desk.preview(&Choice::default(), 1_000, |_| ()).await.unwrap();
        assert!(again.effect.is_nothing(), "{:?}", again.effect);
        write(folder.path(), "late", "fra");
        let (program, replay) = (loaded(&config, "late").await, Replay::default());
        let desk = Desk::open(&config, &store, ("default", &program), zone).await.unwrap();
        let changed = Choice { replay, since: Some("2020-01-01".to_owned()), ..Choice::default() };
        let changed = desk.preview(&changed, 2, |_| ()).await.unwrap();
        assert_eq!((changed.resources, changed.evaluated, changed.effect.changed), (3, 2, 2));
        let none = Choice { until: Some("2020-01-01".to_owned()), ..Choice::default() };
        assert_eq!(desk.preview(&none, 10, |_| ()).await.unwrap().resources, 0);
        for wrong in ["nonsense=1", "birthdate=x"] {
            let wrong = Choice { search: Some(wrong.to_owned()), ..Choice::default() };
            assert!(desk.preview(&wrong, 10, |_| ()).await.is_err());
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_sends_nobody_an_old_message_unless_it_is_asked_to() {
    each_store(|store| async move {
        let folder = tempfile::tempdir().unwrap();
        let config = house(folder.path());
        let server = TestServer::start_with(store.clone(), config.clone()).await;
        patient(&server, "old", "+250788000001").await;
        let text = "mapping: welcome\nfrom: { resource: Patient }\nto:\n  - rapidpro.message:\n      \
                    reason: welcome\n      contact: { path: '$.resource.telecom[0].value', type: phone }\n      \
                    text: Welcome\n";
        std::fs::write(folder.path().join("mappings/welcome.yaml"), text).unwrap();
        server.reload().await.unwrap();

        let program = loaded(&config, "welcome").await;
        let zone = jiff::tz::TimeZone::UTC;
        let desk = Desk::open(&config, &store, ("default", &program), zone).await.unwrap();
        let quiet = desk.preview(&Choice::default(), 10, |_| ()).await.unwrap().effect;
        assert_eq!((quiet.new, quiet.acts_withheld), (0, 1), "{quiet:?}");
        desk.request(&Choice::default(), |_| ()).await.unwrap();
        worked_off(&desk).await;
        assert_eq!(deliveries(&store, "welcome", 0).await, 0);

        let acts = Replay { acts: true, fresh: false };
        let loud = Choice { replay: acts, ..Choice::default() };
        let told = desk.preview(&loud, 10, |_| ()).await.unwrap().effect;
        assert_eq!((told.new, told.acts, told.acts_withheld), (1, 1, 0));
        desk.request(&loud, |_| ()).await.unwrap();
        desk.request(&loud, |_| ()).await.unwrap();
        assert_eq!(deliveries(&store, "welcome", 1).await, 1);
        worked_off(&desk).await;
        assert_eq!(deliveries(&store, "welcome", 1).await, 1, "the same reason is the same act");
        let again = desk.preview(&loud, 10, |_| ()).await.unwrap().effect;
        assert_eq!((again.new, again.same), (0, 1));
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_takes_no_act_from_what_is_merely_held() {
    each_store(|store| async move {
        let folder = tempfile::tempdir().unwrap();
        let config = house(folder.path());
        let server = TestServer::start_with(store.clone(), config.clone()).await;
        let observation = |id: &str| json!({ "resourceType": "Observation", "id": id, "status": "final",
            "code": { "text": "x" }, "subject": { "reference": format!("Patient/of-{id}") } });
        assert_eq!(server.put("Observation/old", &observation("old")).await.status, StatusCode::CREATED);
        let text = "mapping: result\nfrom: { resource: Observation }\nwith:\n  patient: \
                    { reference: $.resource.subject }\nto:\n  - rapidpro.message:\n      reason: result\n      \
                    contact: { path: '$.patient.telecom[0].value', type: phone, required: true }\n      \
                    text: A result is there\n";
        std::fs::write(folder.path().join("mappings/result.yaml"), text).unwrap();
        server.reload().await.unwrap();
        assert_eq!(server.put("Observation/new", &observation("new")).await.status, StatusCode::CREATED);
        held(&store, 1).await;

        let (program, zone) = (loaded(&config, "result").await, jiff::tz::TimeZone::UTC);
        let desk = Desk::open(&config, &store, ("default", &program), zone).await.unwrap();
        for _ in 0..2 {
            assert_eq!(desk.request(&Choice::default(), |_| ()).await.unwrap(), 2);
            worked_off(&desk).await;
            held(&store, 2).await;
        }
        patient(&server, "of-old", "+250788000001").await;
        patient(&server, "of-new", "+250788000002").await;
        held(&store, 0).await;
        worked_off(&desk).await;
        let filter = Filter { mapping: Some("result".to_owned()), ..Filter::default() };
        assert_eq!(deliveries(&store, "result", 1).await, 1);
        let mut db = store.db().read().await.unwrap();
        let rows = list::list(&mut db, "default", &filter, (None, 100)).await.unwrap();
        drop(db);
        let sources: Vec<&str> = rows.iter().map(|row| row.source.as_str()).collect();
        assert_eq!(sources, ["Observation/new"], "the old one was replayed without its acts");
        server.stop().await;
    })
    .await;
}

/// Waits until so many evaluations are held.
async fn held(store: &Store, amount: usize) {
    let begun = Instant::now();
    loop {
        let mut db = store.db().read().await.unwrap();
        let rows = mjumbe::store::reads::held(&mut db, "default", &Default::default(), 10).await.unwrap();
        drop(db);
        if rows.len() == amount {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{} are held, not {amount}", rows.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn worked_off(desk: &Desk<'_>) {
    let begun = Instant::now();
    while desk.waiting().await.unwrap() > 0 {
        assert!(begun.elapsed() < PATIENCE, "the replay is not worked off");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
