use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::args;
use crate::fhir::index::{IndexValue, ParameterKey};
use crate::fhir::query::{Filter, Match, Parameter, Query};
use crate::store::Store;
use crate::store::history::Window;
use crate::store::testing::{each_database, each_store};

const T: &str = "default";

fn put(id: &str, body: Option<&str>) -> Put {
    let code = IndexValue::Token { system: "s".into(), code: id.into(), text: String::new() };
    Put {
        kind: "Patient".to_owned(),
        id: id.to_owned(),
        body: body.map(str::to_owned),
        index: vec![IndexRow { parameter: ParameterKey::new("Patient", "identifier"), value: code }],
        subject: format!("Patient/{id}"),
        precondition: Precondition::None,
        origin: Origin::Client("test".to_owned()),
    }
}

async fn write(store: &Store, puts: Vec<Put>) -> Result<Vec<Written>, Refusal> {
    store.write(T, Box::new(Fixed { puts, ..Fixed::default() })).await
}

async fn write_one(store: &Store, put: Put) -> Result<Written, Refusal> {
    write(store, vec![put]).await.map(|mut written| written.remove(0))
}

fn by_identifier(code: &str) -> Query {
    let token = Match::Token { system: None, code: Some(code.to_owned()) };
    let parameter = Parameter::Indexed(ParameterKey::new("Patient", "identifier"));
    Query {
        kind: "Patient".to_owned(),
        filters: vec![Filter { parameter, any: vec![token], not: false }],
        sort: vec![],
    }
}

/// Creates a patient with a server-chosen id unless one has the identifier.
struct IfNoneExist {
    code: String,
    id: String,
}

impl Plan for IfNoneExist {
    fn questions(&self) -> Vec<Question> {
        vec![Question { query: by_identifier(&self.code), limit: 2 }]
    }

    fn puts(&self, seen: &Seen<'_>) -> Result<Vec<Put>, Refusal> {
        match seen.answers[0].as_slice() {
            [] => {
                let mut put = put(&self.code, Some("{}"));
                put.id = self.id.clone();
                Ok(vec![put])
            }
            [_] => Ok(vec![]),
            _ => Err(Refusal::Store),
        }
    }
}

/// Panics in the named step.
struct Panics(&'static str);

impl Plan for Panics {
    fn questions(&self) -> Vec<Question> {
        assert!(self.0 != "questions", "as told");
        vec![]
    }

    fn puts(&self, _: &Seen<'_>) -> Result<Vec<Put>, Refusal> {
        panic!("as told");
    }
}

#[tokio::test]
async fn a_resource_lives_dies_and_lives_again() {
    each_store(|store| async move {
        let created = write_one(&store, put("a", Some("{\"x\":1.10}"))).await.unwrap();
        assert_eq!((created.version, created.effect), (1, Effect::Created));
        let same = write_one(&store, put("a", Some("{\"x\":1.10}"))).await.unwrap();
        assert_eq!((same.version, same.effect), (1, Effect::Unchanged));
        assert_eq!(same.updated_ms, created.updated_ms);
        let updated = write_one(&store, put("a", Some("{\"x\":2}"))).await.unwrap();
        assert_eq!((updated.version, updated.effect), (2, Effect::Updated));
        assert!(updated.updated_ms > created.updated_ms);
        let deleted = write_one(&store, put("a", None)).await.unwrap();
        assert_eq!((deleted.version, deleted.effect), (3, Effect::Deleted));
        let again = write_one(&store, put("a", None)).await.unwrap();
        assert_eq!((again.version, again.effect), (3, Effect::Unchanged));
        let read = store.read(T, "Patient", "a").await.unwrap().unwrap();
        assert!(read.deleted() && read.method == "DELETE");
        let back = write_one(&store, put("a", Some("{}"))).await.unwrap();
        assert_eq!((back.version, back.effect), (4, Effect::Created));
        let never = write_one(&store, put("never", None)).await.unwrap();
        assert_eq!((never.version, never.effect), (0, Effect::Unchanged));
        let first = store.vread(T, ("Patient", "a"), 1).await.unwrap().unwrap();
        assert_eq!(first.body.as_deref(), Some("{\"x\":1.10}"));
        assert_eq!(first.origin, Origin::Client("test".to_owned()));
        let page = store.history(T, ("Patient", "a"), &Window::default(), (None, 3)).await.unwrap();
        assert_eq!(page.versions.iter().map(|version| version.version).collect::<Vec<_>>(), [4, 3, 2]);
        assert!(page.more && page.total == Some(4));
        let rest = store.history(T, ("Patient", "a"), &Window::default(), (Some(2), 3)).await.unwrap();
        assert!(!rest.more && rest.versions.len() == 1);
        assert_eq!(store.read("other", "Patient", "a").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn preconditions_hold() {
    each_store(|store| async move {
        let with = |precondition, body: &str| Put { precondition, ..put("a", Some(body)) };
        let conflict = |current, wanted| {
            Err(Refusal::VersionConflict { kind: "Patient".into(), id: "a".into(), current, wanted })
        };
        let missing = Err(Refusal::Missing { kind: "Patient".into(), id: "a".into() });
        for of in [Precondition::Version(1), Precondition::OneOf(vec![1, 2]), Precondition::Living] {
            assert_eq!(write_one(&store, with(of, "{}")).await, missing);
        }
        write_one(&store, with(Precondition::Absent, "{}")).await.unwrap();
        let exists = Err(Refusal::Exists { kind: "Patient".into(), id: "a".into() });
        assert_eq!(write_one(&store, with(Precondition::Absent, "{}")).await, exists);
        assert_eq!(write_one(&store, with(Precondition::Version(2), "{}")).await, conflict(1, 2));
        assert_eq!(write_one(&store, with(Precondition::OneOf(vec![2, 3]), "{}")).await, conflict(1, 2));
        for of in [Precondition::OneOf(vec![3, 1]), Precondition::Living] {
            write_one(&store, with(of, "{}")).await.unwrap();
        }
        write_one(&store, with(Precondition::Version(1), "[]")).await.unwrap();
        // One refused put refuses the plan.
        let both = vec![put("b", Some("{}")), with(Precondition::Version(1), "{}")];
        assert_eq!(write(&store, both).await, conflict(2, 1).map(|written| vec![written]));
        assert_eq!(store.read(T, "Patient", "b").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_plan_may_write_one_resource_twice() {
    each_store(|store| async move {
        let puts = vec![put("a", Some("1")), put("a", Some("2")), put("a", None), put("a", Some("3"))];
        let versions: Vec<_> =
            write(&store, puts).await.unwrap().into_iter().map(|written| written.version).collect();
        assert_eq!(versions, [1, 2, 3, 4]);
        assert_eq!(store.read(T, "Patient", "a").await.unwrap().unwrap().body.as_deref(), Some("3"));
        let found = store.search(T, &by_identifier("a"), &crate::store::search::Page::new(10)).await.unwrap();
        assert_eq!(found.entries.len(), 1);
        let mut connection = store.db().read().await.unwrap();
        let rows = connection.all("select version from change order by position", args![]).await.unwrap();
        let order: Vec<_> = rows.iter().map(|row| row.int("version").unwrap()).collect();
        assert_eq!(order, [1, 2, 3, 4]);
    })
    .await;
}

#[tokio::test]
async fn a_cursor_moves_with_its_puts_or_not_at_all() {
    each_store(|store| async move {
        let plan = |value: &str, puts| {
            Box::new(Fixed { puts, cursors: BTreeMap::from([("runs".to_owned(), value.to_owned())]) })
        };
        store.write(T, plan("1", vec![put("a", Some("{}"))])).await.unwrap();
        assert_eq!(store.cursor(T, "runs").await.unwrap().as_deref(), Some("1"));
        let refused = Put { precondition: Precondition::Absent, ..put("a", Some("{}")) };
        store.write(T, plan("2", vec![refused])).await.unwrap_err();
        assert_eq!(store.cursor(T, "runs").await.unwrap().as_deref(), Some("1"));
        store.write(T, plan("3", vec![])).await.unwrap();
        assert_eq!(store.cursor(T, "runs").await.unwrap().as_deref(), Some("3"));
        assert_eq!(store.cursor("other", "runs").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_panic_or_a_lost_caller_does_not_stop_the_writer() {
    each_store(|store| async move {
        for step in ["questions", "puts"] {
            let (panicked, written) = tokio::join!(
                store.write(T, Box::new(Panics(step))),
                write_one(&store, put(step, Some("{}")))
            );
            assert_eq!(panicked, Err(Refusal::Store));
            written.unwrap();
        }
        for number in 0..20 {
            let writing = write_one(&store, put(&format!("lost-{number}"), Some("{}")));
            drop(tokio::time::timeout(std::time::Duration::from_micros(number * 100), writing).await);
        }
        write_one(&store, put("last", Some("{}"))).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_the_database_refuses_takes_nothing_else_along() {
    each_store(|store| async move {
        // PostgreSQL's index rows are bounded; SQLite takes it.
        let long: String = (0..6000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        let (one, refused, other) = tokio::join!(
            write_one(&store, put("one", Some("{}"))),
            write_one(&store, put(&long, Some("{}"))),
            write_one(&store, put("other", Some("{}")))
        );
        assert!(one.is_ok() && other.is_ok());
        let expected = match store.db().engine() {
            crate::store::db::Engine::Sqlite => None,
            crate::store::db::Engine::Postgres => Some(Refusal::Store),
        };
        assert_eq!(refused.err(), expected);
        assert!(store.read(T, "Patient", "one").await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_conditional_create_that_is_raced_creates_one() {
    each_database(|url| async move {
        // Two processes, as far as the database can tell.
        let stores = [Store::open(&url, 4).await.unwrap(), Store::open(&url, 4).await.unwrap()];
        let writes = (0..200).map(|number| {
            let plan = IfNoneExist { code: "card-1".to_owned(), id: format!("p{number}") };
            stores[number % 2].write(T, Box::new(plan))
        });
        let answers = futures::future::join_all(writes).await;
        let created: usize = answers.into_iter().map(|answer| answer.unwrap().len()).sum();
        assert_eq!(created, 1);
        let page = crate::store::search::Page::new(10);
        assert_eq!(stores[0].search(T, &by_identifier("card-1"), &page).await.unwrap().entries.len(), 1);
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_lost_update_is_impossible() {
    each_store(|store| async move {
        write_one(&store, put("a", Some("0"))).await.unwrap();
        let lost = AtomicU32::new(0);
        let add = || async {
            loop {
                let read = store.read(T, "Patient", "a").await.unwrap().unwrap();
                let next = read.body.unwrap().parse::<u32>().unwrap() + 1;
                let put = Put {
                    precondition: Precondition::Version(read.version),
                    ..put("a", Some(&next.to_string()))
                };
                match write_one(&store, put).await {
                    Ok(_) => return,
                    Err(Refusal::VersionConflict { .. }) => lost.fetch_add(1, Ordering::Relaxed),
                    Err(refusal) => panic!("{refusal}"),
                };
            }
        };
        futures::future::join_all((0..30).map(|_| add())).await;
        let read = store.read(T, "Patient", "a").await.unwrap().unwrap();
        assert_eq!((read.body.as_deref(), read.version), (Some("30"), 31));
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_is_busy() {
    each_store(|store| async move {
        let writes = (0..4000).map(|number| write_one(&store, put(&format!("p{}", number % 7), Some("{}"))));
        let answers = futures::future::join_all(writes).await;
        let busy = answers.iter().filter(|answer| **answer == Err(Refusal::Busy)).count();
        assert!(busy > 0 && answers.iter().any(Result::is_ok));
        assert!(answers.iter().all(|answer| answer.is_ok() || *answer == Err(Refusal::Busy)));
        write_one(&store, put("after", Some("{}"))).await.unwrap();
    })
    .await;
}

#[test]
fn a_subject_stays_in_its_partition() {
    assert_eq!(partition("Patient/1"), partition("Patient/1"));
    let spread: std::collections::BTreeSet<i64> = (0..5000).map(|n| partition(&format!("P/{n}"))).collect();
    assert_eq!(spread.len(), usize::try_from(PARTITIONS).unwrap());
}

#[test]
fn origins_come_back() {
    for origin in [
        Origin::Client("a:b".into()),
        Origin::RapidPro("r".into()),
        Origin::Mapping { name: "m".into(), hops: 3 },
    ] {
        assert_eq!(Origin::parse(&origin.text()), Some(origin));
    }
}

/// A row in every index table.
fn every_value(n: u32) -> Vec<IndexRow> {
    use crate::fhir::index::Part;
    let (text, low) = (n.to_string(), f64::from(n));
    let part = || Part { code: text.clone(), ..Part::default() };
    let values = [
        IndexValue::Token { system: String::new(), code: text.clone(), text: String::new() },
        IndexValue::Text { normal: text.clone(), exact: text.clone() },
        IndexValue::Date { low: n.into(), high: i64::from(n) + 1 },
        IndexValue::Number { low, high: low },
        IndexValue::Quantity { low, high: low, system: String::new(), code: String::new() },
        IndexValue::Reference {
            kind: "Patient".into(),
            id: text.clone(),
            url: String::new(),
            identifier: String::new(),
        },
        IndexValue::Uri(text.clone()),
        IndexValue::Composite { first: part(), second: part() },
    ];
    let row = |value| IndexRow { parameter: ParameterKey::new("Patient", "every"), value };
    values.into_iter().map(row).collect()
}

#[tokio::test]
async fn no_write_or_read_reads_a_whole_table() {
    each_store(|store| async move {
        let puts = (0..300).map(|n| Put { index: every_value(n), ..put(&format!("p{n}"), Some("{}")) });
        write(&store, puts.collect()).await.unwrap();
        for number in 0..50 {
            let name = format!("n{number}");
            let new =
                crate::store::token::NewToken { name: &name, scope: "system/*.r", profile: "", upserts: "" };
            store.create_token(T, new, &name).await.unwrap();
        }
        crate::store::db::plans::analyze(store.db()).await;
        let faults = crate::store::db::plans::full_scans(store.db(), async {
            // The writer is a task of its own; here its group runs in this one.
            let mut again =
                Fixed { puts: vec![put("p1", Some("[]")), put("new", Some("{}"))], ..Fixed::default() };
            again.cursors.insert("runs".to_owned(), "5".to_owned());
            let mut asks = IfNoneExist { code: "x".into(), id: "x".into() };
            let mut plans: Vec<&mut dyn Plan> = vec![&mut again, &mut asks];
            let answers = group::run(store.db(), T, &mut plans).await.unwrap();
            assert!(answers.iter().all(Result::is_ok));
            store.read(T, "Patient", "p1").await.unwrap().unwrap();
            store.vread(T, ("Patient", "p1"), 1).await.unwrap().unwrap();
            store.history(T, ("Patient", "p1"), &Window::default(), (None, 5)).await.unwrap();
            let window = Window { since_ms: 5, at_ms: Some((6, 7)) };
            let place = crate::store::history::Place { updated_ms: 5, position: 5 };
            store.changes_of(T, Some("Patient"), &window, (Some(place), 5)).await.unwrap();
            store.changes_of(T, None, &window, (Some(place), 5)).await.unwrap();
            let read = store.many(T, &[("Patient".into(), "p2".into())]).await.unwrap();
            let mut connection = store.db().read().await.unwrap();
            let rid = read[0].rid;
            assert_eq!(crate::store::read::current(&mut connection, T, &[rid]).await.unwrap(), read);
            assert_eq!(crate::store::read::versions(&mut connection, T, &[(rid, 1)]).await.unwrap(), read);
            drop(connection);
            store.cursor(T, "runs").await.unwrap().unwrap();
            store.links_of(T, "d", &[("Patient".into(), "p2".into())]).await.unwrap();
            store.links_to(T, ("d", "rapidpro.contact"), &["c".into()]).await.unwrap();
            store.put_links(T, &[]).await.unwrap();
            store.token(T, "hash").await.unwrap();
            store.token_used(T, "hash").await.unwrap();
            store.revoke_token(T, "name").await.unwrap();
        })
        .await;
        assert!(faults.is_empty(), "{} full scans:\n{}", faults.len(), faults.join("\n\n"));
    })
    .await;
}
