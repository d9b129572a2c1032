//! Many writers and one poller: nobody who pages by `_lastUpdated` misses anything, whatever is written
//! at the same time; and what was not committed is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mjumbe::args;
use mjumbe::fhir::index::{IndexRow, IndexValue, ParameterKey};
use mjumbe::fhir::query::{Filter, Match, Parameter, Prefix, Query, Sort, SortBy};
use mjumbe::store::Store;
use mjumbe::store::search::{Page, TotalWanted};
use mjumbe::store::testing::each_database;
use mjumbe::store::write::{
    Effect, Fixed, Origin, Plan, Precondition, Put, Question, Refusal, Seen, Written,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const T: &str = "default";
const WRITERS: u64 = 12;
const WRITES: u32 = 60;

fn put(id: &str, body: Option<String>) -> Put {
    let value = IndexValue::Token { system: String::new(), code: id.to_owned(), text: String::new() };
    Put {
        kind: "Observation".to_owned(),
        id: id.to_owned(),
        body,
        index: vec![IndexRow { parameter: ParameterKey::new("Observation", "code"), value }],
        subject: id.to_owned(),
        precondition: Precondition::None,
        origin: Origin::Client("test".to_owned()),
    }
}

/// Creates `id` unless something has its code: the conditional create of FHIR.
struct Conditional(String);

impl Plan for Conditional {
    fn questions(&self) -> Vec<Question> {
        let token = Match::Token { system: None, code: Some(self.0.clone()) };
        let parameter = Parameter::Indexed(ParameterKey::new("Observation", "code"));
        let filters = vec![Filter { parameter, any: vec![token], not: false }];
        vec![Question { query: Query { kind: "Observation".to_owned(), filters, sort: vec![] }, limit: 2 }]
    }

    fn puts(&self, seen: &Seen<'_>) -> Result<Vec<Put>, Refusal> {
        assert!(seen.answers[0].len() < 2, "two resources with one code");
        if !seen.answers[0].is_empty() {
            return Ok(vec![]);
        }
        Ok(vec![put(&self.0, Some("{\"conditional\":true}".to_owned()))])
    }
}

/// Creates, updates, deletes and conditional creates on few ids, so that writers meet.
fn random_plan(random: &mut StdRng) -> Box<dyn Plan> {
    let id = format!("o{}", random.random_range(0..25));
    match random.random_range(0..10) {
        0 => Box::new(Fixed { puts: vec![put(&id, None)], ..Fixed::default() }),
        1 | 2 => Box::new(Conditional(id)),
        3 => {
            let precondition = Precondition::Version(random.random_range(1..4));
            let body = Some(format!("{{\"n\":{}}}", random.random::<u32>()));
            Box::new(Fixed { puts: vec![Put { precondition, ..put(&id, body) }], ..Fixed::default() })
        }
        _ => {
            let body = || Some(format!("{{\"n\":{}}}", rand::random::<u32>()));
            let other = format!("o{}", random.random_range(0..25));
            Box::new(Fixed { puts: vec![put(&id, body()), put(&other, body())], ..Fixed::default() })
        }
    }
}

async fn write_randomly(store: Store, seed: u64) -> Vec<Written> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut written = Vec::new();
    for _ in 0..WRITES {
        match store.write(T, random_plan(&mut random)).await {
            Ok(done) => written.extend(done.into_iter().filter(|one| one.effect != Effect::Unchanged)),
            Err(Refusal::VersionConflict { .. } | Refusal::Missing { .. }) => {}
            Err(refusal) => panic!("{refusal}"),
        }
    }
    written
}

/// Everything since `after_ms`, page by page, in order.
async fn page_through(store: &Store, after_ms: i64) -> Vec<(String, i64, i64)> {
    let since = Match::Date { prefix: Prefix::Gt, low: after_ms, high: after_ms + 1 };
    let sort = vec![Sort { parameter: Parameter::LastUpdated, by: SortBy::LastUpdated, descending: false }];
    let query = Query {
        kind: "Observation".to_owned(),
        filters: vec![Filter { parameter: Parameter::LastUpdated, any: vec![since], not: false }],
        sort,
    };
    let mut page = Page { count: 7, total: TotalWanted::None, ..Page::default() };
    let mut all = Vec::new();
    loop {
        let found = store.search(T, &query, &page).await.unwrap();
        all.extend(found.entries.into_iter().map(|entry| (entry.id, entry.version, entry.updated_ms)));
        page.token = found.next;
        if page.token.is_none() {
            return all;
        }
    }
}

/// Polls as OpenSRP does: the largest lastUpdated seen is where the next poll begins.
async fn poll(store: Store, done: Arc<AtomicBool>) -> BTreeMap<String, i64> {
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    let mut watermark = 0;
    loop {
        let last = done.load(Ordering::Acquire);
        let seen = page_through(&store, watermark).await;
        for (id, version, updated_ms) in seen {
            watermark = watermark.max(updated_ms);
            let known = newest.entry(id).or_default();
            *known = version.max(*known);
        }
        if last {
            return newest;
        }
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poller_misses_nothing_that_many_writers_write() {
    each_database(|url| async move {
        // Two processes share a PostgreSQL; on SQLite the second stands for a CLI command.
        let stores = [Store::open(&url, 5).await.unwrap(), Store::open(&url, 5).await.unwrap()];
        let done = Arc::new(AtomicBool::new(false));
        let poller = tokio::spawn(poll(stores[0].clone(), Arc::clone(&done)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| tokio::spawn(write_randomly(stores[usize::from(seed % 2 == 0)].clone(), seed)))
            .collect();
        let mut written = Vec::new();
        for writer in writers {
            written.extend(writer.await.unwrap());
        }
        done.store(true, Ordering::Release);
        let polled = poller.await.unwrap();
        check_history(&stores[0], &written).await;
        for entry in page_through(&stores[1], 0).await {
            assert_eq!(polled.get(&entry.0), Some(&entry.1), "{} was missed", entry.0);
        }
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

/// Every acknowledged version is there once, milliseconds belong to one group and rise with it, and there
/// is a change for each version.
async fn check_history(store: &Store, written: &[Written]) {
    let mut connection = store.db().read().await.unwrap();
    let sql = "select r.id, v.version, v.commit_no, v.updated_ms from version v
               join resource r on r.tenant = v.tenant and r.rid = v.rid
               where v.tenant = $1 order by v.commit_no, v.rid, v.version";
    let rows = connection.all(sql, args![T]).await.unwrap();
    let mut stored = BTreeSet::new();
    let mut groups: BTreeMap<i64, i64> = BTreeMap::new();
    for row in &rows {
        stored.insert((row.text("id").unwrap(), row.int("version").unwrap()));
        let (group, at_ms) = (row.int("commit_no").unwrap(), row.int("updated_ms").unwrap());
        assert_eq!(*groups.entry(group).or_insert(at_ms), at_ms);
    }
    let acknowledged: BTreeSet<_> = written.iter().map(|one| (one.id.clone(), one.version)).collect();
    assert_eq!(acknowledged.len(), written.len(), "a version was acknowledged twice");
    assert_eq!(stored, acknowledged);
    let times: Vec<i64> = groups.into_values().collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "milliseconds do not rise");
    let changes = connection
        .one(
            "select count(*) as n from change c join version v
                 on v.tenant = c.tenant and v.rid = c.rid and v.version = c.version
             where c.tenant = $1 and c.position / 65536 = v.commit_no",
            args![T],
        )
        .await
        .unwrap();
    assert_eq!(changes.int("n").unwrap(), i64::try_from(rows.len()).unwrap());
}

#[tokio::test]
async fn what_was_not_committed_is_not_there() {
    each_database(|url| async move {
        let store = Store::open(&url, 3).await.unwrap();
        for number in 0..40u64 {
            // The runtime of a process that is killed: its writer goes in the middle of a group.
            let url = url.clone();
            let killed = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let store = Store::open(&url, 2).await.unwrap();
                    let puts = (0..5).map(|n| put(&format!("k{number}-{n}"), Some("{}".to_owned())));
                    let plan = Fixed { puts: puts.collect(), ..Fixed::default() };
                    let writing = store.write(T, Box::new(plan));
                    let wait = std::time::Duration::from_micros(number * 150);
                    tokio::time::timeout(wait, writing).await.is_ok_and(|done| done.is_ok())
                })
            });
            let acknowledged = tokio::task::spawn_blocking(move || killed.join().unwrap()).await.unwrap();
            let wanted: Vec<_> =
                (0..5).map(|n| ("Observation".to_owned(), format!("k{number}-{n}"))).collect();
            let there = store.many(T, &wanted).await.unwrap().len();
            assert!(there == 5 || (there == 0 && !acknowledged), "{there} of 5 are there");
        }
        store.close().await;
    })
    .await;
}
