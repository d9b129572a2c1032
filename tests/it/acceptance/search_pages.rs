//! The rows of searching: the order, the number and the pages of what is found.
//! <https://hl7.org/fhir/R4/search.html#modifyingresults>

use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use super::search::{found, ids, refused, stored, two_clinics};
use crate::server::{TestServer, answered};

#[tokio::test]
async fn s22_pages_are_asked_for_at_the_base() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        let first = server.get("Patient?gender=female&_sort=-family&_count=1&_format=json").await;
        assert_eq!(ids(&first, "match"), "p-north");
        let next = first.link("next").unwrap();
        assert!(next.starts_with(&format!("{}/fhir?_getpages=", server.url)), "{next}");
        assert!(next.ends_with("&_format=json"), "{next}");
        // iHRIS copies the query onto the base with a slash; HAPI's clients add how much they want.
        let query = next.split_once('?').unwrap().1;
        for path in [format!("?{query}"), format!("?_count=1&{query}"), format!("Patient?{query}")] {
            let page = server.get(&path).await;
            assert_eq!(ids(&page, "match"), "p-south", "{path}");
            assert_eq!(page.body["total"], 2);
            assert!(page.link("next").is_none());
            let back = page.link("previous").unwrap();
            assert_eq!(
                ids(&answered(server.client.get(back).bearer_auth(&server.token)).await, "match"),
                "p-north"
            );
        }
        for (relation, expected) in [("self", "p-north"), ("first", "p-north"), ("last", "p-south")] {
            let url = first.link(relation).unwrap();
            let page = answered(server.client.get(&url).bearer_auth(&server.token)).await;
            assert_eq!(ids(&page, "match"), expected, "{relation} {url}");
        }
        let token = query.split(['=', '&']).nth(1).unwrap();
        found(
            &server,
            &[
                (&format!("?_getpages={token}&_getpagesoffset=0&_count=1&_bundletype=searchset"), "p-north"),
                (&format!("?_getpages={token}&_getpagesoffset=1&_count=1"), "p-south"),
                // OpenSRP's web, and its app.
                ("Patient/_search?_getpagesoffset=1&_count=1&_total=accurate", "p-south"),
                ("Patient?_page=2&_count=1", "p-south"),
                ("Patient?_page=1&_count=1", "p-north"),
            ],
        )
        .await;
        server.get(&format!("Organization?_getpages={token}")).await.refused(410, "page-token");
        server.get("?_getpages=nonsense").await.refused(410, "page-token");
        refused(
            &server,
            &[
                ("Patient?_page=0", "bad-number"),
                ("Patient?_getpagesoffset=-1", "bad-number"),
                ("Patient?_offset=100001", "bad-value"),
            ],
        )
        .await;
        // Whoever may not search the type gets no page of it.
        let narrow = server.token("narrow", "system/Location.rs").await;
        let page = server.client.get(&next).bearer_auth(narrow);
        answered(page).await.refused(403, "scope-missing");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s19_the_order() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let patient = |id: &str, family: Option<&str>, born: &str| {
            let mut patient = json!({ "resourceType": "Patient", "id": id, "birthDate": born });
            if let Some(family) = family {
                patient["name"] = json!([{ "family": family }]);
            }
            patient
        };
        let all = [
            ("d", Some("Bo"), "2000"),
            ("b", Some("Al"), "2001"),
            ("c", None, "2001"),
            ("a", Some("Al"), "1999"),
        ];
        stored(&server, &all.map(|(id, family, born)| patient(id, family, born))).await;
        found(
            &server,
            &[
                ("Patient", "d,b,c,a"),
                ("Patient?_sort=family", "b,a,d,c"),
                ("Patient?_sort=-family", "d,a,b,c"),
                ("Patient?_sort=family,birthdate", "a,b,d,c"),
                ("Patient?_sort=family,-birthdate", "b,a,d,c"),
                ("Patient?_sort=_id", "a,b,c,d"),
                ("Patient?_sort=-_id", "d,c,b,a"),
                ("Patient?_sort=_lastUpdated", "d,b,c,a"),
                ("Patient?_sort=-_lastUpdated", "a,c,b,d"),
            ],
        )
        .await;
        for order in ["family", "-family", "birthdate,-_id", "-_lastUpdated"] {
            let whole = server.ids(&format!("Patient?_sort={order}")).await;
            assert_eq!(server.ids(&format!("Patient?_sort={order}&_count=1")).await, whole, "{order}");
        }
        refused(
            &server,
            &[
                ("Patient?_sort=organization.name", "not-supported"),
                ("Patient?_sort=famly", "unknown-parameter"),
            ],
        )
        .await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s20_how_many() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        for counted in
            ["Patient?_summary=count", "Patient?_count=0", "Patient/_search?_count=0&_total=accurate"]
        {
            let counted = server.get(counted).await;
            assert_eq!((counted.body["total"].as_i64(), counted.body.get("entry")), (Some(2), None));
            assert!(counted.link("next").is_none());
        }
        let one = server.get("Patient?_count=1").await;
        assert_eq!((ids(&one, "match").as_str(), one.body["total"].as_i64()), ("p-north", Some(2)));
        assert_eq!(ids(&server.get("Patient?_count=100000").await, "match"), "p-north,p-south");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s21_totals_that_are_asked_for() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        two_clinics(&server).await;
        for (total, expected) in [("accurate", Some(2)), ("estimate", Some(2)), ("none", None)] {
            let found = server.get(&format!("Patient?_total={total}&_count=1")).await;
            assert_eq!(found.body.get("total").and_then(Value::as_i64), expected, "{total}");
            assert!(found.link("next").is_some());
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn s22_pages_neither_miss_nor_repeat_while_others_write() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let entry = |index: usize| {
            let gender = if index.is_multiple_of(2) { "male" } else { "female" };
            json!({
                "request": { "method": "PUT", "url": format!("Patient/p{index}") },
                "resource": { "resourceType": "Patient", "id": format!("p{index}"), "gender": gender },
            })
        };
        let entries: Vec<Value> = (0..57).map(entry).collect();
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
        assert_eq!(server.post("", &bundle).await.status, 200);
        for path in [
            "Patient?_count=10",
            "Patient?_count=7&_sort=-_lastUpdated",
            "Patient?_count=13&_sort=gender,-_id",
        ] {
            let mut found = server.ids(path).await;
            assert_eq!(found.len(), 57, "{path}");
            found.sort();
            found.dedup();
            assert_eq!(found.len(), 57, "{path}");
        }
        let entry = |index: usize| {
            let patient = json!({ "resourceType": "Patient", "birthDate": format!("199{index}") });
            json!({ "request": { "method": "POST", "url": "Patient" }, "resource": patient })
        };
        let entries: Vec<Value> = (0..3).map(entry).collect();
        let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries });
        assert_eq!(server.post("", &bundle).await.status, 200);
        assert_eq!(server.ids("Patient?birthdate=ap1991&_count=1").await.len(), 3, "`ap` looks at the clock");
        let next = server.get("Patient?_count=50").await.link("next").unwrap();
        server.post("Patient", &json!({ "resourceType": "Patient" })).await;
        let page = answered(server.client.get(&next).bearer_auth(&server.token)).await;
        assert_eq!(page.entries("match").len(), 11, "what came meanwhile comes after");
        let tampered = format!("{next}x");
        answered(server.client.get(&tampered).bearer_auth(&server.token)).await.refused(410, "page-token");
        server.stop().await;
    })
    .await;
}
