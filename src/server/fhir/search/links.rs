//! The links of a searchset: absolute, on the address that clients see.
//! <https://hl7.org/fhir/R4/http.html#paging>
//!
//! `self` lists what was applied. `next` carries a token that holds the whole search and nothing misses or
//! repeats; `first`, `previous` and `last` count entries from the beginning, as far as that is cheap.

use serde_json::{Value, json};

use super::super::call::Call;
use super::Place;
use crate::fhir::search::{PAGE, SKIP_MAX, SKIPS, Search};
use crate::store::search::{Found, Page, Total};

/// The search as its page tokens keep it: path and query, without what says where a page begins.
pub fn note(place: &Place, search: &Search) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(applied(search));
    format!("{}?{}", place.path(), query.finish())
}

fn applied(search: &Search) -> impl Iterator<Item = &(String, String)> {
    search.applied.iter().filter(|(name, _)| !SKIPS.contains(&name.as_str()))
}

/// All links of one page.
pub fn of(
    call: &Call,
    place: &Place,
    (search, pairs): (&Search, &[(String, String)]),
    (page, found): (&Page, &Found),
) -> Value {
    // How the answer is written is asked for again by whoever follows a link.
    let format: Vec<(String, String)> =
        pairs.iter().filter(|(name, _)| matches!(name.as_str(), "_format" | "_pretty")).cloned().collect();
    let url = |path: &str, pairs: &[(String, String)]| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs);
        let path = if path.is_empty() { call.base.clone() } else { format!("{}/{path}", call.base) };
        match query.finish() {
            query if query.is_empty() => path,
            query => format!("{path}?{query}"),
        }
    };
    let path = place.path();
    let token = |token: &String| (PAGE.to_owned(), token.clone());
    let own: Vec<(String, String)> =
        search.applied.iter().cloned().chain(search.page.as_ref().map(token)).chain(format.clone()).collect();
    let mut links = vec![json!({ "relation": "self", "url": url(&path, &own) })];
    let from = |offset: u64| {
        let offset = (offset > 0).then(|| ("_getpagesoffset".to_owned(), offset.to_string()));
        let pairs: Vec<(String, String)> =
            applied(search).cloned().chain(offset).chain(format.clone()).collect();
        url(&path, &pairs)
    };
    let count = u64::from(page.count);
    if count == 0 {
        return Value::Array(links);
    }
    links.push(json!({ "relation": "first", "url": from(0) }));
    if found.before > 0 && found.before <= u64::from(SKIP_MAX) {
        links.push(json!({ "relation": "previous", "url": from(found.before.saturating_sub(count)) }));
    }
    if let Some(next) = &found.next {
        let pairs: Vec<(String, String)> = std::iter::once(token(next)).chain(format.clone()).collect();
        links.push(json!({ "relation": "next", "url": url("", &pairs) }));
    }
    if let Total::Exact(total) = found.total {
        let last = u64::try_from(total.max(1) - 1).unwrap_or_default() / count * count;
        if last <= u64::from(SKIP_MAX) {
            links.push(json!({ "relation": "last", "url": from(last) }));
        }
    }
    Value::Array(links)
}
