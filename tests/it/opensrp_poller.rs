//! OpenSRP's download loop while others write: `_lastUpdated=gt…`, ascending, page by page with `next` as it
//! was given, then again from the last `lastUpdated` it saw. Every version that stays current is seen.
//!
//! `MJUMBE_TEST_WRITES` says how many versions are written, 3,000 where it is not set.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mjumbe::store::Store;
use mjumbe::store::testing::{each_database, each_store};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

const WRITERS: usize = 8;
/// Entries of a transaction.
const ENTRIES: usize = 100;
/// Resources that all writers update.
const SHARED: usize = 40;

/// After a download that found nothing.
const PAUSE: Duration = Duration::from_millis(20);

/// Versions by id.
type Versions = BTreeMap<String, u64>;

fn writes() -> usize {
    std::env::var("MJUMBE_TEST_WRITES").map_or(3_000, |text| text.parse().unwrap())
}

/// What the writers were told is there, and how many versions they have left to write.
struct Work {
    left: AtomicUsize,
    known: Mutex<Versions>,
}

impl Work {
    fn take(&self, amount: usize) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(amount)).is_ok()
    }

    fn learn(&self, id: &str, etag: &str) {
        let version = version_of(etag);
        let mut known = self.known.lock().unwrap();
        let latest = known.entry(id.to_owned()).or_default();
        *latest = version.max(*latest);
    }
}

fn version_of(etag: &str) -> u64 {
    etag.trim_start_matches("W/").trim_matches('"').parse().unwrap()
}

fn patient(id: &str, text: &str) -> Value {
    json!({"resourceType": "Patient", "id": id, "active": true, "name": [{"text": text}]})
}

struct Writer {
    server: Arc<TestServer>,
    work: Arc<Work>,
    number: usize,
    made: usize,
    turns: usize,
}

impl Writer {
    /// Single creates, updates and transactions, each a third of all versions.
    async fn run(mut self) {
        loop {
            for _ in 0..ENTRIES {
                if !self.work.take(2) {
                    return;
                }
                let id = self.new_id();
                self.put(&id).await;
                let id = self.old_id();
                self.put(&id).await;
            }
            if !self.work.take(ENTRIES) {
                return;
            }
            self.transaction().await;
        }
    }

    fn new_id(&mut self) -> String {
        self.made += 1;
        format!("w{}-{}", self.number, self.made)
    }

    /// One of its own, or one that others update at the same time.
    fn old_id(&mut self) -> String {
        self.turns += 1;
        match self.turns % 2 {
            0 => format!("shared-{}", self.turns / 2 % SHARED),
            _ => format!("w{}-{}", self.number, 1 + self.turns * 7 % self.made),
        }
    }

    fn text(&self) -> String {
        format!("{}-{}-{}", self.number, self.made, self.turns)
    }

    async fn put(&self, id: &str) {
        let told =
            send(&self.server, Method::PUT, &format!("Patient/{id}"), &patient(id, &self.text())).await;
        self.work.learn(id, told.header("etag"));
    }

    async fn transaction(&mut self) {
        let mut ids: Vec<String> = (0..ENTRIES / 2).map(|_| self.new_id()).collect();
        let known = self.made - ids.len();
        ids.extend((0..ENTRIES / 2).map(|at| format!("w{}-{}", self.number, known - at)));
        self.turns += 1;
        let entry = |id: &String| {
            json!({"fullUrl": format!("Patient/{id}"), "resource": patient(id, &self.text()),
                "request": {"method": "PUT", "url": format!("Patient/{id}")}})
        };
        let entries: Vec<Value> = ids.iter().map(entry).collect();
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
        let told = send(&self.server, Method::POST, "", &bundle).await;
        let answers = told.body["entry"].as_array().unwrap();
        assert_eq!(answers.len(), ids.len());
        for (id, answer) in ids.iter().zip(answers) {
            self.work.learn(id, answer["response"]["etag"].as_str().unwrap());
        }
    }
}

/// A server that is busy says 503, and is asked again.
async fn send(server: &TestServer, method: Method, path: &str, body: &Value) -> Answered {
    for _ in 0..200 {
        let told = answered(server.with_body(method.clone(), path, body)).await;
        if told.status.as_u16() != 503 {
            assert!(told.status.is_success(), "{path}: {} {}", told.status, told.body);
            return told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path}: busy for ten seconds");
}

/// Downloads until the writers have ended and a round finds nothing.
struct Poller {
    server: Arc<TestServer>,
    ended: Arc<AtomicBool>,
    last: Option<String>,
    seen: Versions,
    pages: usize,
}

impl Poller {
    async fn run(mut self) -> (Versions, usize) {
        loop {
            let is_last = self.ended.load(Ordering::SeqCst);
            let found = self.round().await;
            if found == 0 && is_last {
                return (self.seen, self.pages);
            }
            if found == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// One download from the first page to the last; gives how many it found.
    async fn round(&mut self) -> usize {
        let since = self.last.as_deref().map(|last| format!("&_lastUpdated=gt{}", last.replace('+', "%2B")));
        let since = since.unwrap_or_default();
        let base = &self.server.url;
        let mut next = Some(format!("{base}/fhir/Patient?_count=200&_sort=_lastUpdated{since}"));
        let mut found = 0;
        while let Some(url) = next {
            let page = answered(self.server.client.get(&url).bearer_auth(&self.server.token)).await;
            assert_eq!(page.status, 200, "{url}: {}", page.body);
            self.pages += 1;
            for resource in page.entries("match") {
                found += 1;
                self.see(&resource);
            }
            next = page.link("next");
        }
        found
    }

    fn see(&mut self, resource: &Value) {
        let version: u64 = resource["meta"]["versionId"].as_str().unwrap().parse().unwrap();
        let updated = resource["meta"]["lastUpdated"].as_str().unwrap();
        // As text: always the same form, in UTC.
        self.last = self.last.take().max(Some(updated.to_owned()));
        let latest = self.seen.entry(resource["id"].as_str().unwrap().to_owned()).or_default();
        *latest = version.max(*latest);
    }
}

/// Eight writers and a poller at each server; prints what it took.
async fn download_while_others_write(name: &str, servers: &[Arc<TestServer>]) {
    let begun = Instant::now();
    let work = Arc::new(Work { left: AtomicUsize::new(writes()), known: Mutex::default() });
    let ended = Arc::new(AtomicBool::new(false));
    let poller = |server: &Arc<TestServer>| Poller {
        server: Arc::clone(server),
        ended: Arc::clone(&ended),
        last: None,
        seen: Versions::new(),
        pages: 0,
    };
    let pollers: Vec<_> = servers.iter().map(|server| tokio::spawn(poller(server).run())).collect();
    let writer = |number: usize| {
        let server = Arc::clone(&servers[number % servers.len()]);
        Writer { server, work: Arc::clone(&work), number, made: 0, turns: 0 }
    };
    let writers: Vec<_> = (0..WRITERS).map(|number| tokio::spawn(writer(number).run())).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let written = begun.elapsed();
    ended.store(true, Ordering::SeqCst);
    let known = work.known.lock().unwrap().clone();
    let total: u64 = known.values().sum();
    assert!(total as usize + ENTRIES * WRITERS >= writes(), "only {total} versions were written");
    for poller in pollers {
        let (seen, pages) = poller.await.unwrap();
        let missed: Vec<&String> =
            known.iter().filter(|(id, version)| seen.get(*id) != Some(*version)).map(|(id, _)| id).collect();
        println!(
            "{name}: {total} versions of {} resources in {written:.1?}, {pages} pages, {} missed",
            known.len(),
            missed.len()
        );
        assert!(missed.is_empty(), "{name}: missed {:?}", &missed[..missed.len().min(10)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_download_loop_sees_every_version_that_stays_current() {
    each_store(|store| async move {
        let name = format!("{:?}", store.db().engine());
        let server = Arc::new(TestServer::start(store).await);
        download_while_others_write(&name, std::slice::from_ref(&server)).await;
        Arc::into_inner(server).unwrap().stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_processes_too() {
    each_database(|url| async move {
        if url.starts_with("sqlite:") {
            // A SQLite file has one process.
            return;
        }
        let mut servers = Vec::new();
        for _ in 0..2 {
            let store = Store::open(&url, 6).await.unwrap();
            servers.push(Arc::new(TestServer::start(store).await));
        }
        download_while_others_write("two processes on Postgres", &servers).await;
        for server in servers {
            let store = server.store.clone();
            Arc::into_inner(server).unwrap().stop().await;
            store.close().await;
        }
    })
    .await;
}
