//! What searches cost in a store of a country's size: a country is generated, written by the store's own write
//! path, and searched at each of several sizes for the same number of hits.
//!
//! ```text
//! cargo bench --bench country                     # 10,000 and 100,000 resources
//! cargo bench --bench country -- 10000 1000000    # about 5 GB of disk
//! ```
//!
//! On SQLite, and on PostgreSQL where `MJUMBE_TEST_POSTGRES` names a server (`MJUMBE_BENCH_ONLY=sqlite` or `postgres`
//! leaves the other out). The folder is that of `TMPDIR`. A hundredth of the resources are patients, with an
//! Organization for ten of them; the others are their Observations and QuestionnaireResponses. The aim: at 1,000,000
//! each search takes at most three times what it takes at 10,000.

#[path = "country/generate.rs"]
mod generate;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mjumbe::fhir::parameters::custom::Custom;
use mjumbe::fhir::search::{self, Context, Handling};
use mjumbe::fhir::structure::tolerated::NOTHING;
use mjumbe::store::Store;
use mjumbe::store::search::{Page, Total};
use mjumbe::store::testing::each_database;
use sqlx::Connection as _;

use generate::{Country, PER_PATIENT};

/// Searches of one kind, each for another patient.
const ROUNDS: usize = 200;
/// Entries of a page.
const PAGE: u32 = 20;
const SIZES: [usize; 2] = [10_000, 100_000];
const CONNECTIONS: u32 = 6;

fn main() {
    let given: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if given.is_empty() { SIZES.to_vec() } else { given };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(each_database(|url| {
        let sizes = sizes.clone();
        async move {
            let engine = url.split(':').next().unwrap_or_default().to_owned();
            let only = std::env::var("MJUMBE_BENCH_ONLY").unwrap_or_else(|_| engine.clone());
            if engine.starts_with(&only) {
                country(&url, &engine, &sizes).await;
            }
        }
    }));
}

/// One kind of search, with what it took at each size.
struct Row {
    name: &'static str,
    took: Vec<Took>,
}

/// Of all rounds of one kind of search at one size.
struct Took {
    median: Duration,
    p95: Duration,
    /// Of the last round.
    hits: i64,
}

async fn country(url: &str, engine: &str, sizes: &[usize]) {
    let store = Store::open(url, CONNECTIONS).await.expect("the store opens");
    let mut rows: Vec<Row> = SEARCHES.iter().map(|(name, _)| Row { name, took: Vec::new() }).collect();
    let mut country = Country::default();
    let mut done = Vec::new();
    for size in sizes {
        let begun = Instant::now();
        let written = country.grow(&store, *size).await;
        let seconds = begun.elapsed().as_secs_f64();
        let rate = written as f64 / seconds.max(0.001);
        println!("{engine}: {size} resources ({written} more in {seconds:.0} s, {rate:.0} a second)");
        if engine == "postgres" {
            settle(url).await;
        }
        for (row, (_, query)) in rows.iter_mut().zip(SEARCHES) {
            row.took.push(measure(&store, &country, query).await);
        }
        done.push(*size);
        print(engine, &done, &rows);
    }
    store.close().await;
}

/// What autovacuum does within a minute of such writes on a server that runs.
async fn settle(url: &str) {
    let mut connection = sqlx::PgConnection::connect(url).await.expect("the database answers");
    sqlx::raw_sql("vacuum analyze").execute(&mut connection).await.expect("statistics are made");
    connection.close().await.expect("the connection ends");
}

type Query = fn(&Country, usize) -> (&'static str, String);

/// Type and query of the search for the `n`th patient.
const SEARCHES: [(&str, Query); 9] = [
    ("identifier", |_, n| {
        ("Patient", format!("identifier=https://e.org/national-id|{}", generate::national_id(n)))
    }),
    ("name", |_, n| ("Patient", format!("name={}", generate::family(n)))),
    ("phone", |_, n| ("Patient", format!("phone={}", generate::phone(n)))),
    ("_lastUpdated", |country, _| {
        ("Observation", format!("_lastUpdated=gt{}&_sort=_lastUpdated", country.before_last))
    }),
    ("subject+code+date", |_, n| {
        let code = generate::CODES[n % generate::CODES.len()].0;
        (
            "Observation",
            format!("subject=Patient/p{n}&code=http://loinc.org|{code}&date=ge2024-06-01&_sort=-date"),
        )
    }),
    ("_has, rare", |_, _| ("Patient", format!("_has:Observation:subject:code={}", generate::RARE))),
    ("_has, of one", |_, n| {
        let id = generate::national_id(n);
        ("Patient", format!("identifier={id}&_has:Observation:subject:code=http://loinc.org|29463-7"))
    }),
    ("subject.organization", |_, n| {
        ("Observation", format!("subject.organization=Organization/o{}", generate::organization(n)))
    }),
    ("subject.identifier", |_, n| {
        let id = generate::national_id(n);
        ("QuestionnaireResponse", format!("subject:Patient.identifier=https://e.org/national-id|{id}"))
    }),
];

async fn measure(store: &Store, country: &Country, query: Query) -> Took {
    let patients = country.size / PER_PATIENT;
    let mut took = Vec::with_capacity(ROUNDS);
    let mut hits = 0;
    // The first round warms what a server would have warm.
    for round in 0..=ROUNDS {
        let (kind, text) = query(country, (round * 7_919) % patients.max(1));
        let begun = Instant::now();
        hits = run(store, kind, &text).await;
        if round > 0 {
            took.push(begun.elapsed());
        }
    }
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
    Took { median: at(50), p95: at(95), hits }
}

/// As the server does it: parsed, one page, a bounded total.
async fn run(store: &Store, kind: &str, query: &str) -> i64 {
    let pairs: Vec<(String, String)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    let zone = TimeZone::UTC;
    let context = Context {
        base: "http://us/fhir",
        zone: &zone,
        now: Timestamp::now(),
        handling: Handling::Strict,
        custom: &Custom::default(),
        tolerated: NOTHING,
    };
    let search =
        search::parse(kind, &pairs, &context).unwrap_or_else(|outcome| panic!("{query}: {outcome:?}"));
    let found = store.search("default", &search.query, &Page::new(PAGE)).await.expect("the store answers");
    assert!(!found.entries.is_empty(), "{kind}?{query} finds something");
    match found.total {
        Total::Exact(total) | Total::AtLeast(total) => total,
        Total::Unknown => -1,
    }
}

fn print(engine: &str, sizes: &[usize], rows: &[Row]) {
    println!(
        "\n{engine}: median / p95 in milliseconds (hits), and the ratio of the medians, last size to first"
    );
    print!("{:<22}", "search");
    sizes.iter().for_each(|size| print!("{:>26}", format!("{size} resources")));
    println!("{:>8}", "ratio");
    let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    for row in rows {
        print!("{:<22}", row.name);
        for took in &row.took {
            print!("{:>26}", format!("{:.2} / {:.2} ({})", ms(took.median), ms(took.p95), took.hits));
        }
        let ratio = match (row.took.first(), row.took.last()) {
            (Some(first), Some(last)) => ms(last.median) / ms(first.median).max(0.001),
            _ => 0.0,
        };
        println!("{ratio:>8.2}");
    }
    println!();
}
