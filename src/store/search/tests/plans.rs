use super::*;
use crate::fhir::index::position::{Around, Point};
use crate::fhir::query::{Via, Way};
use crate::store::db::plans;

fn branch(way: Way) -> Match {
    let by = ParameterKey::new("T", "org");
    Match::ReferenceBranch { kind: "x".to_owned(), id: "x".to_owned(), way, by }
}

fn near() -> Match {
    let around = Around::of(Point::of(-1.9, 30.1).unwrap(), 5_000.0);
    Match::Near { around, axes: [key("x"), key("y")] }
}

/// Every kind of filter, each with a value.
fn every_match() -> Vec<(&'static str, Match)> {
    let text = || "x".to_owned();
    let mut all = vec![
        ("id", code(Some("s"), Some("1"))),
        ("id", code(None, Some("1"))),
        ("id", code(Some("s"), None)),
        ("id", listed(Held::Codings, &[("s", "1"), ("s", "2")])),
        ("id", listed(Held::Codes, &[("", "1")])),
        ("id", Match::TokenText(text())),
        ("name", Match::TextStarts(text())),
        ("name", Match::TextContains(text())),
        ("name", Match::TextExact(text())),
        ("org", Match::Reference { kind: text(), id: text() }),
        ("org", Match::Reference { kind: String::new(), id: text() }),
        ("org", Match::ReferenceUrl(text())),
        ("org", Match::ReferenceIdentifier(text())),
        ("org", branch(Way::Below)),
        ("org", branch(Way::Above)),
        ("score", near()),
        ("url", Match::Uri(text())),
        ("url", Match::UriBelow(text())),
        (
            "component",
            Match::Composite {
                first: PartMatch { code: Some(text()), ..PartMatch::default() },
                second: PartMatch { range: Some((Prefix::Ge, 1.0, 1.0)), ..PartMatch::default() },
            },
        ),
    ];
    for prefix in PREFIXES {
        all.push(("birthdate", Match::Date { prefix, low: 3, high: 4 }));
        all.push(("score", Match::Number { prefix, low: 3.0, high: 3.0 }));
        all.push((
            "value",
            Match::Quantity { prefix, low: 3.0, high: 3.0, system: None, code: Some(text()) },
        ));
    }
    for by in [SortBy::Token, SortBy::Text, SortBy::Date, SortBy::Quantity, SortBy::Reference, SortBy::Uri] {
        all.push(("id", Match::Missing { missing: true, by }));
        all.push(("id", Match::Missing { missing: false, by }));
    }
    all
}

/// More of one kind than a statement names one by one.
fn lists() -> Vec<(&'static str, Vec<Match>)> {
    let many = |one: &dyn Fn(String) -> Match| (0..40).map(|n| one(n.to_string())).collect::<Vec<_>>();
    vec![
        ("id", many(&|n| code(None, Some(&n)))),
        ("id", many(&|n| code(Some("s"), Some(&n)))),
        ("id", many(&|n| code(Some(&n), None))),
        ("id", many(&Match::TokenText)),
        ("name", many(&Match::TextStarts)),
        ("name", many(&Match::TextExact)),
        ("org", many(&|id| Match::Reference { kind: "Organization".to_owned(), id })),
        ("org", many(&|id| Match::Reference { kind: String::new(), id })),
        ("org", many(&Match::ReferenceUrl)),
        ("org", many(&Match::ReferenceIdentifier)),
        ("url", many(&Match::Uri)),
    ]
}

/// Every filter alone, turned round, and sorted, with and without a page before.
fn every_query() -> Vec<Query> {
    let last_updated = |prefix| Filter {
        parameter: Parameter::LastUpdated,
        any: vec![Match::Date { prefix, low: 3, high: 4 }],
        not: false,
    };
    let by_time =
        |descending| Sort { parameter: Parameter::LastUpdated, by: SortBy::LastUpdated, descending };
    let ids = || Filter {
        parameter: Parameter::Id,
        any: vec![Match::Id("a".into()), Match::Id("b".into())],
        not: false,
    };
    let mut all = vec![query(vec![], vec![]), query(vec![ids()], vec![]), query(vec![not(ids())], vec![])];
    for (parameter, value) in every_match() {
        let alternatives = match value {
            Match::Missing { .. } => vec![value],
            _ => vec![value.clone(), value],
        };
        let filter = indexed(parameter, alternatives);
        all.push(query(vec![filter.clone()], vec![]));
        all.push(query(vec![filter.clone()], vec![by_time(true)]));
        all.push(query(vec![not(filter)], vec![]));
    }
    for (parameter, values) in lists() {
        let filter = indexed(parameter, values);
        all.push(query(vec![filter.clone()], vec![]));
        all.push(query(
            vec![filter.clone(), indexed("id", vec![code(Some("s"), Some("1"))])],
            vec![by_time(true)],
        ));
        all.push(query(vec![not(filter)], vec![]));
    }
    let many_ids = Filter {
        parameter: Parameter::Id,
        any: (0..40).map(|n| Match::Id(n.to_string())).collect(),
        not: false,
    };
    all.extend([query(vec![many_ids.clone()], vec![]), query(vec![not(many_ids)], vec![])]);
    for inner in [
        indexed("id", vec![code(Some("s"), Some("1"))]),
        indexed("id", vec![listed(Held::Codings, &[("s", "1"), ("s", "2")])]),
        not(indexed("id", vec![code(Some("s"), Some("1"))])),
        last_updated(Prefix::Ge),
        ids(),
    ] {
        let chained = |filter: Filter| Match::Chained {
            kind: "Organization".into(),
            via: Via::Id,
            filter: Box::new(filter),
        };
        let canonical = Match::Chained {
            kind: "Organization".into(),
            via: Via::Url(key("url")),
            filter: Box::new(inner.clone()),
        };
        let twice = chained(indexed("org", vec![chained(inner.clone())]));
        all.push(query(vec![indexed("org", vec![chained(inner.clone()), twice, canonical])], vec![]));
        let referring = |filter: Filter| Match::Referring {
            kind: "Observation".into(),
            by: key("org"),
            target: "Patient".into(),
            filter: Box::new(filter),
        };
        let one = Filter { parameter: Parameter::Id, any: vec![referring(inner.clone())], not: false };
        let nested = Filter { parameter: Parameter::Id, any: vec![referring(one.clone())], not: false };
        all.push(query(vec![one.clone()], vec![]));
        all.push(query(vec![nested, one], vec![by_time(true)]));
    }
    let anywhere = Filter {
        parameter: Parameter::Any(vec![key("org"), key("other")]),
        any: vec![Match::Reference { kind: "Organization".into(), id: "1".into() }],
        not: false,
    };
    all.push(query(vec![anywhere.clone()], vec![]));
    all.push(query(vec![not(anywhere)], vec![]));
    for prefix in PREFIXES {
        all.push(query(vec![last_updated(prefix)], vec![by_time(false)]));
    }
    for by in [SortBy::Token, SortBy::Text, SortBy::Date, SortBy::Number, SortBy::Reference, SortBy::Uri] {
        all.push(query(vec![indexed("id", vec![code(None, Some("1"))])], vec![sort("name", by, true)]));
        all.push(query(vec![], vec![sort("name", by, false), by_time(true)]));
    }
    all
}

/// Ten thousand codes are not looked for once for each of ten thousand candidates.
#[tokio::test]
async fn listed_codes_are_compared_with_what_a_candidate_has() {
    each_store(|store| async move {
        if store.db().engine() == Engine::Postgres {
            return;
        }
        for held in [Held::Codings, Held::Codes] {
            let filter = not(indexed("id", vec![listed(held, &[("s", "1"), ("s", "2")])]));
            let wanted = Wanted { from: None, offset: 0, count: 1 };
            let query = query(vec![filter], vec![]);
            let (sql, _) = page_statement(Engine::Sqlite, T, std::slice::from_ref(&query), wanted).unwrap();
            let (text, arguments) = sql.whole().unwrap();
            let mut connection = store.db().read().await.unwrap();
            let plan = connection.all(format!("explain query plan {text}"), arguments).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.text("detail").unwrap()).collect();
            let own = "SEARCH x USING PRIMARY KEY (tenant=? AND rid=? AND parameter=?)";
            assert!(plan.iter().any(|line| line == own), "{plan:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_search_reads_a_whole_table() {
    each_store(|store| async move {
        let puts = (0..300).map(|n: i64| {
            let date = IndexValue::Date { low: n, high: n + 1 };
            let reference = IndexValue::Reference {
                kind: "Organization".into(),
                id: n.to_string(),
                url: String::new(),
                identifier: String::new(),
            };
            let named = IndexValue::Reference {
                kind: String::new(),
                id: String::new(),
                url: format!("u{n}"),
                identifier: String::new(),
            };
            let index = vec![
                token("id", "s", &n.to_string()),
                text("x", "x"),
                row("birthdate", date),
                row("org", reference),
                row("org", named),
                row("url", IndexValue::Uri(format!("u{n}"))),
            ];
            put(&format!("p{n}"), index)
        });
        let others = (0..900).map(|n| Put { kind: "Practitioner".into(), ..put(&format!("p{n}"), vec![]) });
        store_all(&store, puts.chain(others).collect()).await;
        plans::analyze(store.db()).await;
        let faults = plans::full_scans(store.db(), async {
            for query in every_query() {
                let first = store.search(T, &query, &Page::new(1)).await.unwrap();
                let page = Page { token: first.next, ..Page::new(1) };
                store.search(T, &query, &page).await.unwrap();
                let others = Query { kind: "Practitioner".into(), ..query.clone() };
                let both = [query.clone(), others];
                let first = store.search_across(T, &both, &Page::new(1)).await.unwrap();
                let page = Page { token: first.next, ..Page::new(1) };
                store.search_across(T, &both, &page).await.unwrap();
                matches(&mut store.db().read().await.unwrap(), T, &query, 2).await.unwrap();
            }
            store.last_written(T, vec!["Patient".to_owned(), "Group".to_owned()]).await.unwrap();
            store.written_after(T, "Patient", (5, 5), 10).await.unwrap();
            let pairs = [("Patient".to_owned(), "p1".to_owned())];
            store.referenced_by(T, &pairs, &[key("org")], 10).await.unwrap();
            referring(&mut store.db().read().await.unwrap(), T, &pairs[0], &[key("org")], 10).await.unwrap();
            store.references_of(T, &[1], &[key("org")]).await.unwrap();
            store.canonicals_of(T, &[1], &[key("org")]).await.unwrap();
            store.by_url(T, &["x".to_owned()], &[key("url")], 10).await.unwrap();
            store.referring_to_url(T, &["x".to_owned()], &[key("org")], 10).await.unwrap();
        })
        .await;
        assert!(faults.is_empty(), "{} full scans:\n{}", faults.len(), faults.join("\n\n"));
    })
    .await;
}
