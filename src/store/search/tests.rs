// No search reads a whole table.
mod plans;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::fhir::index::{IndexRow, IndexValue, Part};
use crate::fhir::query::{Codes, Concepts, Held, Named, PartMatch, Prefix, Sort, SortBy};
use crate::store::testing::each_store;
use crate::store::write::{Fixed, Origin, Precondition, Put};

const T: &str = "default";

fn key(code: &str) -> ParameterKey {
    ParameterKey::new("Patient", code)
}

fn row(code: &str, value: IndexValue) -> IndexRow {
    IndexRow { parameter: key(code), value }
}

fn token(code: &str, system: &str, value: &str) -> IndexRow {
    row(
        code,
        IndexValue::Token { system: system.into(), code: value.into(), text: format!("text of {value}") },
    )
}

fn text(normal: &str, exact: &str) -> IndexRow {
    row("name", IndexValue::Text { normal: normal.into(), exact: exact.into() })
}

fn put(id: &str, index: Vec<IndexRow>) -> Put {
    Put {
        kind: "Patient".into(),
        id: id.into(),
        body: Some(format!("{{\"n\":\"{id}\"}}")),
        index,
        subject: id.into(),
        precondition: Precondition::None,
        origin: Origin::Client("test".into()),
    }
}

async fn store_all(store: &Store, puts: Vec<Put>) {
    store.write(T, Box::new(Fixed { puts, ..Fixed::default() })).await.unwrap();
}

fn query(filters: Vec<Filter>, sort: Vec<Sort>) -> Query {
    Query { kind: "Patient".into(), filters, sort }
}

fn indexed(code: &str, any: Vec<Match>) -> Filter {
    Filter { parameter: Parameter::Indexed(key(code)), any, not: false }
}

fn not(filter: Filter) -> Filter {
    Filter { not: true, ..filter }
}

fn sort(code: &str, by: SortBy, descending: bool) -> Sort {
    Sort { parameter: Parameter::Indexed(key(code)), by, descending }
}

async fn ids(store: &Store, filters: Vec<Filter>) -> String {
    let found = store.search(T, &query(filters, vec![]), &Page::new(100)).await.unwrap();
    assert_eq!(found.total, Total::Exact(i64::try_from(found.entries.len()).unwrap()));
    found.entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>().join(" ")
}

fn listed(held: Held, pairs: &[(&str, &str)]) -> Match {
    let codes = pairs.iter().map(|(system, code)| ((*system).to_owned(), (*code).to_owned()));
    Match::Concepts(Concepts {
        parameter: "id:in".into(),
        named: vec![Named::SetId("v".into())],
        held,
        codes: Some(Arc::new(Codes::of(codes))),
    })
}

fn code(system: Option<&str>, code: Option<&str>) -> Match {
    Match::Token { system: system.map(str::to_owned), code: code.map(str::to_owned) }
}

#[tokio::test]
async fn tokens_texts_and_references_are_found() {
    each_store(|store| async move {
        let reference = |kind: &str, id: &str, url: &str, identifier: &str| {
            row(
                "org",
                IndexValue::Reference {
                    kind: kind.into(),
                    id: id.into(),
                    url: url.into(),
                    identifier: identifier.into(),
                },
            )
        };
        let a = vec![
            token("id", "s", "1"),
            token("id", "t", "2"),
            text("jose maria", "José María"),
            reference("Organization", "o1", "", ""),
        ];
        let b = vec![
            token("id", "", "1"),
            text("jos%_x", "Jos%_x"),
            reference("", "", "http://x/Organization/o1", ""),
        ];
        let c = vec![
            token("id", "s", ""),
            reference("", "", "", "s|9"),
            row("url", IndexValue::Uri("urn:a".into())),
        ];
        store_all(&store, vec![put("a", a), put("b", b), put("c", c), put("d", vec![])]).await;
        let one = |code: &str, value: Match| ids(&store, vec![indexed(code, vec![value])]);
        assert_eq!(one("id", code(None, Some("1"))).await, "a b");
        assert_eq!(one("id", code(Some("s"), Some("1"))).await, "a");
        assert_eq!(one("id", code(Some(""), Some("1"))).await, "b");
        assert_eq!(one("id", code(Some("s"), None)).await, "a c");
        assert_eq!(one("id", Match::TokenText("text of 2".into())).await, "a");
        assert_eq!(one("name", Match::TextStarts("jos".into())).await, "a b");
        assert_eq!(one("name", Match::TextStarts("jos%".into())).await, "b");
        assert_eq!(one("name", Match::TextContains("mar".into())).await, "a");
        assert_eq!(one("name", Match::TextContains("%_".into())).await, "b");
        assert_eq!(one("name", Match::TextExact("José María".into())).await, "a");
        assert_eq!(one("name", Match::TextExact("jose maria".into())).await, "");
        let to = |kind: &str| Match::Reference { kind: kind.into(), id: "o1".into() };
        assert_eq!(one("org", to("Organization")).await, "a");
        assert_eq!(one("org", to("")).await, "a");
        assert_eq!(one("org", to("Patient")).await, "");
        assert_eq!(one("org", Match::ReferenceUrl("http://x/Organization/o1".into())).await, "b");
        assert_eq!(one("org", Match::ReferenceIdentifier("s|9".into())).await, "c");
        assert_eq!(one("url", Match::Uri("urn:a".into())).await, "c");
        assert_eq!(ids(&store, vec![not(indexed("id", vec![code(None, Some("1"))]))]).await, "c d");
        let missing = |missing| indexed("id", vec![Match::Missing { missing, by: SortBy::Token }]);
        assert_eq!(ids(&store, vec![missing(true)]).await, "d");
        assert_eq!(ids(&store, vec![missing(false)]).await, "a b c");
        assert_eq!(ids(&store, vec![not(missing(false))]).await, "d");
        let both =
            vec![indexed("id", vec![code(None, Some("1"))]), indexed("id", vec![code(None, Some("2"))])];
        assert_eq!(ids(&store, both).await, "a");
        let mixed = vec![to(""), Match::ReferenceIdentifier("s|9".into()), Match::Uri("urn:x".into())];
        assert_eq!(ids(&store, vec![indexed("org", mixed)]).await, "a c");
        let id = |id: &str| Match::Id(id.into());
        let by_id = Filter { parameter: Parameter::Id, any: vec![id("a"), id("d"), id("z")], not: false };
        assert_eq!(ids(&store, vec![by_id.clone()]).await, "a d");
        assert_eq!(ids(&store, vec![not(by_id)]).await, "b c");
        let many: Vec<Match> = (0..5000).map(|n| code(Some("s"), Some(&n.to_string()))).collect();
        assert_eq!(ids(&store, vec![indexed("id", many)]).await, "a");
    })
    .await;
}

/// The table at `Prefix`, written out for small ranges.
fn holds(prefix: Prefix, (low, high): (i64, i64), (row_low, row_high): (i64, i64)) -> bool {
    match prefix {
        Prefix::Eq => row_low >= low && row_high <= high,
        Prefix::Ne => !(row_low >= low && row_high <= high),
        Prefix::Gt => row_high > high,
        Prefix::Lt => row_low < low,
        Prefix::Ge => row_high > high || row_low >= low,
        Prefix::Le => row_low < low || row_high <= high,
        Prefix::Sa => row_low >= high,
        Prefix::Eb => row_high <= low,
        Prefix::Ap => row_low < high && row_high > low,
    }
}

const PREFIXES: [Prefix; 9] = [
    Prefix::Eq,
    Prefix::Ne,
    Prefix::Gt,
    Prefix::Lt,
    Prefix::Ge,
    Prefix::Le,
    Prefix::Sa,
    Prefix::Eb,
    Prefix::Ap,
];

#[tokio::test]
async fn every_prefix_compares_dates_and_numbers_as_the_specification_says() {
    each_store(|store| async move {
        let ranges: Vec<(i64, i64)> =
            (0..6).flat_map(|low| (low + 1..7).map(move |high| (low, high))).collect();
        let puts = ranges.iter().map(|(low, high)| {
            let date = row("birthdate", IndexValue::Date { low: *low, high: *high });
            let number = row("score", IndexValue::Number { low: *low as f64, high: *low as f64 });
            put(&format!("{low}-{high}"), vec![date, number])
        });
        store_all(&store, puts.collect()).await;
        for prefix in PREFIXES {
            for searched in [(2, 3), (1, 4), (3, 6)] {
                let date = Match::Date { prefix, low: searched.0, high: searched.1 };
                let expected: Vec<String> = ranges
                    .iter()
                    .filter(|range| holds(prefix, searched, **range))
                    .map(|(low, high)| format!("{low}-{high}"))
                    .collect();
                assert_eq!(
                    ids(&store, vec![indexed("birthdate", vec![date])]).await,
                    expected.join(" "),
                    "{prefix:?}"
                );
            }
            let number = Match::Number { prefix, low: 2.0, high: 2.0 };
            let found: BTreeSet<i64> = ids(&store, vec![indexed("score", vec![number])])
                .await
                .split_whitespace()
                .map(|id| id.split_once('-').unwrap().0.parse().unwrap())
                .collect();
            let expected: BTreeSet<i64> = match prefix {
                Prefix::Eq | Prefix::Ap => [2].into(),
                Prefix::Ne => [0, 1, 3, 4, 5].into(),
                Prefix::Gt | Prefix::Sa => [3, 4, 5].into(),
                Prefix::Ge => [2, 3, 4, 5].into(),
                Prefix::Lt | Prefix::Eb => [0, 1].into(),
                Prefix::Le => [0, 1, 2].into(),
            };
            assert_eq!(found, expected, "{prefix:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn quantities_and_composites_hold_together() {
    each_store(|store| async move {
        let quantity = |value: f64, unit: &str| {
            row(
                "value",
                IndexValue::Quantity { low: value, high: value, system: "u".into(), code: unit.into() },
            )
        };
        let pair = |code: &str, value: f64| {
            let first = Part { system: "loinc".into(), code: code.into(), ..Part::default() };
            let second = Part { code: "mmHg".into(), low: value, high: value, ..Part::default() };
            row("component", IndexValue::Composite { first, second })
        };
        let a = vec![quantity(5.4, "g"), pair("sys", 120.0), pair("dia", 80.0)];
        let b = vec![quantity(5.4, "kg"), pair("sys", 80.0), pair("dia", 120.0)];
        store_all(&store, vec![put("a", a), put("b", b)]).await;
        let near = |code: Option<&str>| Match::Quantity {
            prefix: Prefix::Eq,
            low: 5.35,
            high: 5.45,
            system: None,
            code: code.map(str::to_owned),
        };
        assert_eq!(ids(&store, vec![indexed("value", vec![near(None)])]).await, "a b");
        assert_eq!(ids(&store, vec![indexed("value", vec![near(Some("kg"))])]).await, "b");
        let high = Match::Composite {
            first: PartMatch { code: Some("sys".into()), ..PartMatch::default() },
            second: PartMatch { range: Some((Prefix::Gt, 100.0, 100.0)), ..PartMatch::default() },
        };
        assert_eq!(ids(&store, vec![indexed("component", vec![high])]).await, "a");
    })
    .await;
}

#[tokio::test]
async fn pages_neither_miss_nor_repeat_in_any_order() {
    each_store(|store| async move {
        let puts = (0..57).map(|n: i64| {
            let mut index = vec![token("id", "s", &n.to_string())];
            if n % 3 != 0 {
                index.push(text(&format!("name {}", n % 5), "x"));
                index.push(text("zz", "x"));
            }
            if n % 4 != 0 {
                index.push(row("birthdate", IndexValue::Date { low: n % 7, high: n % 7 + 1 }));
                index.push(row("score", IndexValue::Number { low: (n % 6) as f64 / 10.0, high: 1.0 }));
            }
            put(&format!("p{n:02}"), index)
        });
        for chunk in puts.collect::<Vec<_>>().chunks(10) {
            store_all(&store, chunk.to_vec()).await;
        }
        let by = |parameter, by, descending| Sort { parameter, by, descending };
        let orders = vec![
            vec![],
            vec![by(Parameter::LastUpdated, SortBy::LastUpdated, true)],
            vec![by(Parameter::LastUpdated, SortBy::LastUpdated, false)],
            vec![by(Parameter::Id, SortBy::Id, true)],
            vec![sort("name", SortBy::Text, false), sort("birthdate", SortBy::Date, true)],
            vec![sort("name", SortBy::Text, true), by(Parameter::LastUpdated, SortBy::LastUpdated, false)],
            vec![sort("score", SortBy::Number, true), sort("name", SortBy::Text, false)],
        ];
        for order in orders {
            let query = query(vec![], order);
            let whole: Vec<String> = all_pages(&store, &query, 100).await;
            assert_eq!(whole.len(), 57);
            assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), 57);
            for size in [1, 7, 19, 57] {
                assert_eq!(all_pages(&store, &query, size).await, whole, "{:?} by {size}", query.sort);
            }
        }
        let names = all_pages(&store, &query(vec![], vec![sort("name", SortBy::Text, false)]), 9).await;
        // Every third has no name: they come last, in the order of creation.
        let nameless: Vec<String> = (0..57).step_by(3).map(|n| format!("p{n:02}")).collect();
        assert_eq!(names[57 - nameless.len()..], nameless);
    })
    .await;
}

async fn all_pages(store: &Store, query: &Query, count: u32) -> Vec<String> {
    let mut page = Page::new(count);
    let mut ids = Vec::new();
    loop {
        let found = store.search(T, query, &page).await.unwrap();
        assert_eq!(found.total, Total::Exact(57));
        assert!(found.next.is_none() || found.entries.len() == usize::try_from(count).unwrap());
        ids.extend(found.entries.into_iter().map(|entry| entry.id));
        page.token = found.next;
        if page.token.is_none() {
            return ids;
        }
    }
}

#[tokio::test]
async fn several_types_are_one_list() {
    each_store(|store| async move {
        let put = |n: i64| Put {
            kind: ["Patient", "Practitioner", "Person"][usize::try_from(n % 3).unwrap()].into(),
            ..put(&format!("p{n:02}"), vec![])
        };
        for n in 0..20 {
            store_all(&store, vec![put(n)]).await;
        }
        let queries = |sort: Vec<Sort>| -> Vec<Query> {
            ["Patient", "Practitioner"]
                .map(|kind| Query { kind: kind.into(), filters: vec![], sort: sort.clone() })
                .to_vec()
        };
        let latest =
            vec![Sort { parameter: Parameter::LastUpdated, by: SortBy::LastUpdated, descending: true }];
        let expected: Vec<String> = (0..20).filter(|n| n % 3 != 2).map(|n| format!("p{n:02}")).collect();
        for sort in [vec![], latest] {
            let queries = queries(sort.clone());
            let mut expected = expected.clone();
            if !sort.is_empty() {
                expected.reverse();
            }
            let (mut page, mut found, mut before) = (Page::new(5), Vec::new(), 0);
            loop {
                let one = store.search_across(T, &queries, &page).await.unwrap();
                assert_eq!((one.total, one.before), (Total::Exact(14), before));
                before += 5;
                found.extend(one.entries.into_iter().map(|entry| entry.id));
                page.token = one.next;
                if page.token.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected);
            let page = Page { offset: 3, ..Page::new(2) };
            let skipped = store.search_across(T, &queries, &page).await.unwrap();
            let skipped: Vec<String> = skipped.entries.into_iter().map(|entry| entry.id).collect();
            assert_eq!(skipped, expected[3..5]);
        }
        assert_eq!(store.search_across(T, &[], &Page::new(5)).await.unwrap().total, Total::Exact(0));
    })
    .await;
}

#[tokio::test]
async fn a_token_of_another_search_or_tenant_is_refused() {
    each_store(|store| async move {
        store_all(&store, vec![put("a", vec![]), put("b", vec![])]).await;
        let first = store.search(T, &query(vec![], vec![]), &Page::new(1)).await.unwrap();
        let page = Page { token: first.next, ..Page::new(1) };
        let other = query(vec![indexed("id", vec![code(None, Some("1"))])], vec![]);
        assert_eq!(store.search(T, &other, &page).await, Err(Error::PageToken));
        assert_eq!(store.search("other", &query(vec![], vec![]), &page).await, Err(Error::PageToken));
        let second = store.search(T, &query(vec![], vec![]), &page).await.unwrap();
        assert_eq!(second.entries[0].id, "b");
    })
    .await;
}

#[tokio::test]
async fn codes_that_others_list_are_found() {
    each_store(|store| async move {
        let long = "x".repeat(3000);
        let puts = vec![
            put("a", vec![token("id", "s", "1")]),
            put("b", vec![token("id", "t", "1"), token("id", "s", "2")]),
            put("c", vec![token("id", "s", &long)]),
            put("d", vec![]),
        ];
        store_all(&store, puts).await;
        let with = |one: Match| indexed("id", vec![one]);
        assert_eq!(ids(&store, vec![with(listed(Held::Codings, &[("s", "1"), ("s", &long)]))]).await, "a c");
        assert_eq!(ids(&store, vec![with(listed(Held::Codes, &[("", "1")]))]).await, "a b");
        assert_eq!(
            ids(&store, vec![not(with(listed(Held::Codings, &[("s", "1"), ("s", "2")])))]).await,
            "c d"
        );
        let many: Vec<String> = (0..40_000).map(|n| n.to_string()).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|code| ("s", code.as_str())).collect();
        assert_eq!(ids(&store, vec![with(listed(Held::Codings, &many))]).await, "a b");
        let Match::Concepts(open) = listed(Held::Codes, &[]) else { unreachable!() };
        let open = with(Match::Concepts(Concepts { codes: None, ..open }));
        let refused = store.search(T, &query(vec![open], vec![]), &Page::new(1)).await;
        assert_eq!(refused, Err(Error::Unresolved));
    })
    .await;
}

#[tokio::test]
async fn totals_are_bounded_unless_accuracy_is_asked() {
    each_store(|store| async move {
        let puts: Vec<Put> = (0..10_050).map(|n| put(&format!("p{n}"), vec![])).collect();
        store_all(&store, puts).await;
        let total = async |total| {
            let page = Page { total, ..Page::new(0) };
            store.search(T, &query(vec![], vec![]), &page).await.unwrap().total
        };
        assert_eq!(total(TotalWanted::Bounded).await, Total::AtLeast(10_000));
        assert_eq!(total(TotalWanted::Accurate).await, Total::Exact(10_050));
        assert_eq!(total(TotalWanted::None).await, Total::Unknown);
    })
    .await;
}

#[tokio::test]
async fn references_are_followed_both_ways() {
    each_store(|store| async move {
        let refers = |id: &str| {
            row(
                "org",
                IndexValue::Reference {
                    kind: "Organization".into(),
                    id: id.into(),
                    url: String::new(),
                    identifier: String::new(),
                },
            )
        };
        store_all(
            &store,
            vec![put("a", vec![refers("o1"), refers("o2")]), put("b", vec![refers("o2")]), put("c", vec![])],
        )
        .await;
        let targets = ["o1", "o2"].map(|id| ("Organization".to_owned(), id.to_owned()));
        let found = store.referenced_by(T, &targets, &[key("org"), key("other")], 10).await.unwrap();
        assert_eq!(found.iter().map(|stored| stored.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(store.referenced_by(T, &targets, &[key("org")], 1).await.unwrap().len(), 1);
        let rids: Vec<i64> = found.iter().map(|stored| stored.rid).collect();
        let references = store.references_of(T, &rids, &[key("org")]).await.unwrap();
        assert_eq!(references.len(), 3);
        assert!(store.references_of(T, &rids, &[key("other")]).await.unwrap().is_empty());
        let by = vec![Match::Reference { kind: "Organization".into(), id: "o2".into() }];
        let found = store.find(T, "Patient", (key("org"), by), 1).await.unwrap();
        assert_eq!(found.iter().map(|stored| stored.id.as_str()).collect::<Vec<_>>(), ["a"]);
    })
    .await;
}
