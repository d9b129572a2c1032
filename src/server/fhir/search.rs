//! Search on one type: by GET, and by POST with a form. <https://hl7.org/fhir/R4/search.html>

use std::collections::HashSet;

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::super::answer::{self, Answer};
use super::call::{Call, Stop, parameters};
use super::{include, read, render};
use crate::fhir::outcome::{Issue, IssueType, Outcome, Severity};
use crate::fhir::search::{self, PAGE, Search, Summary};
use crate::store::search::{COUNT_MAX, Found, Page, Total, TotalWanted};

/// Entries of a page where the client does not say.
const COUNT: u32 = 100;

/// `GET Type`, `GET Type/_search`, `POST Type/_search`.
pub async fn search(call: &Call, kind: &str) -> Result<Answer, Stop> {
    let mut pairs = call.query.clone();
    if call.method == Method::POST {
        pairs.extend(form(call)?);
    }
    let bundle = bundle(call, kind, &pairs).await?;
    Ok(answer::json(StatusCode::OK, render::laid_out(bundle, call.wishes.layout)))
}

fn form(call: &Call) -> Result<Vec<(String, String)>, Outcome> {
    let media = call.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if media.is_empty() || media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return parameters(&call.body);
    }
    Err(Outcome::error(IssueType::NotSupported, "unsupported-media-type", "a search is sent as a form")
        .status(415)
        .hint("send application/x-www-form-urlencoded"))
}

/// The searchset as text; also for a GET in a batch.
pub async fn bundle(call: &Call, kind: &str, pairs: &[(String, String)]) -> Result<String, Stop> {
    let zone = call.zone();
    let search = search::parse(kind, pairs, &call.context(&zone))?;
    let page = page_of(&search);
    let found = call.app.store.search(&call.tenant, &search.query, &page).await?;
    let included = include::of(call, &search, &found.entries).await?;
    let matched: HashSet<i64> = found.entries.iter().map(|stored| stored.rid).collect();
    let mut entries: Vec<String> =
        found.entries.iter().filter_map(|stored| entry(call, stored, "match")).collect();
    let others = included.resources.iter().filter(|stored| !matched.contains(&stored.rid));
    entries.extend(others.filter_map(|stored| entry(call, stored, "include")));
    entries.extend(warning(&search, included.hidden, included.cut));
    Ok(assemble(&links(call, kind, &search, &found), &found, &entries))
}

fn page_of(search: &Search) -> Page {
    let counts_only = search.summary == Summary::Count || search.count == Some(0);
    let count = if counts_only { 0 } else { search.count.unwrap_or(COUNT).min(COUNT_MAX) };
    let total = match search.total {
        _ if counts_only => TotalWanted::Accurate,
        search::Total::Accurate => TotalWanted::Accurate,
        search::Total::None => TotalWanted::None,
        search::Total::Unasked | search::Total::Estimate => TotalWanted::Bounded,
    };
    Page { count, token: search.page.clone(), total }
}

fn entry(call: &Call, stored: &crate::store::read::Stored, mode: &str) -> Option<String> {
    let version = read::version_of(stored)?;
    let url = Value::from(format!("{}/{}/{}", call.base, stored.kind, stored.id));
    let text = version.text();
    Some(format!(r#"{{"fullUrl":{url},"resource":{text},"search":{{"mode":"{mode}"}}}}"#))
}

/// What the client should know: parameters that were ignored, and what was left out.
fn warning(search: &Search, hidden: usize, cut: bool) -> Option<String> {
    let mut issues = Vec::new();
    let mut warn = |code: &'static str, text: String| {
        issues.push(Issue::error(IssueType::NotSupported, code, text).severity(Severity::Warning));
    };
    if !search.ignored.is_empty() {
        let names: Vec<String> = search.ignored.iter().take(20).map(|name| answer::plain(name)).collect();
        warn("parameters-ignored", format!("ignored: {}", names.join(", ")));
    }
    if hidden > 0 {
        warn("includes-hidden", "some included resources are outside the token's scope".to_owned());
    }
    if cut {
        warn("includes-cut", "there are more included resources than one page holds".to_owned());
    }
    let outcome = Outcome::of(issues)?.to_value();
    Some(json!({ "resource": outcome, "search": { "mode": "outcome" } }).to_string())
}

/// `self` lists what was applied; `next` continues it. Absolute, on the address that clients see.
fn links(call: &Call, kind: &str, search: &Search, found: &Found) -> Value {
    let own = url(call, kind, search, search.page.as_deref());
    let mut links = vec![json!({ "relation": "self", "url": own })];
    if let Some(token) = &found.next {
        links.push(json!({ "relation": "next", "url": url(call, kind, search, Some(token)) }));
    }
    Value::Array(links)
}

fn url(call: &Call, kind: &str, search: &Search, token: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(&search.applied);
    if let Some(token) = token {
        query.append_pair(PAGE, token);
    }
    match query.finish() {
        query if query.is_empty() => format!("{}/{kind}", call.base),
        query => format!("{}/{kind}?{query}", call.base),
    }
}

fn assemble(links: &Value, found: &Found, entries: &[String]) -> String {
    let total = match found.total {
        Total::Exact(total) => format!(r#""total":{total},"#),
        Total::AtLeast(_) | Total::Unknown => String::new(),
    };
    // R4 has no empty arrays.
    let entries =
        if entries.is_empty() { String::new() } else { format!(r#","entry":[{}]"#, entries.join(",")) };
    format!(r#"{{"resourceType":"Bundle","type":"searchset",{total}"link":{links}{entries}}}"#)
}
