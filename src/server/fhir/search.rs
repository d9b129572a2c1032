//! Searches: on one type, across types, and in a compartment; by GET, and by POST with a form.
//! <https://hl7.org/fhir/R4/search.html>
//!
//! A page's token carries the whole search, so that it can be asked for at the base by the token alone
//! (`GET [base]?_getpages=…`): clients of HAPI, and proxies in front of it, expect that address.

mod domains;
mod links;

use std::collections::HashSet;

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::super::answer::{self, Answer};
use super::super::interaction::Interaction;
use super::call::{Call, Stop, is_type, parameters};
use super::include::Included;
use super::{concepts, include, read, render};
use crate::auth::Denied;
use crate::auth::scope::Permission;
use crate::fhir::client::Profile;
use crate::fhir::compartment;
use crate::fhir::elements::table;
use crate::fhir::outcome::{Issue, IssueType, Outcome, Severity};
use crate::fhir::pdqm::{self, Domains};
use crate::fhir::query::Query;
use crate::fhir::search::{self, Across, PAGE, Search, Skip, Summary};
use crate::fhir::structure::primitive::is_id;
use crate::fhir::summary::{Role, Shape};
use crate::store;
use crate::store::read::Stored;
use crate::store::search::{COUNT_MAX, Found, Page, Total, TotalWanted};

/// Entries of a page where the client does not say.
const COUNT: u32 = 100;
/// Each type gives as many rows as are passed over, and they are sorted together.
const ACROSS_SKIP_MAX: u32 = 10_000;

/// Where is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Type(String),
    /// All types that the caller may search.
    System,
    /// What belongs to `Patient/1`: one type, or all.
    Compartment {
        compartment: String,
        id: String,
        kind: Option<String>,
    },
}

impl Place {
    /// Where an interaction searches, if it does.
    pub fn of(interaction: Interaction) -> Option<Self> {
        match interaction {
            Interaction::Search { kind } => Some(Self::Type(kind)),
            Interaction::SearchSystem => Some(Self::System),
            Interaction::SearchCompartment { compartment, id, kind } => {
                Some(Self::Compartment { compartment, id, kind })
            }
            _ => None,
        }
    }

    /// Below the base, as in a url.
    fn path(&self) -> String {
        match self {
            Self::Type(kind) => kind.clone(),
            Self::System => String::new(),
            Self::Compartment { compartment, id, kind } => {
                format!("{compartment}/{id}/{}", kind.as_deref().unwrap_or("*"))
            }
        }
    }

    fn parse(path: &str) -> Option<Self> {
        Interaction::parse(&Method::GET, path, is_type).ok().and_then(Self::of)
    }
}

/// `GET` of a place, and `GET` or `POST` of `_search` below it.
pub async fn search(call: &Call, place: Place) -> Result<Answer, Stop> {
    let mut pairs = call.query.clone();
    if call.method == Method::POST {
        pairs.extend(form(call)?);
    }
    let bundle = bundle(call, place, pairs).await?;
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
pub async fn bundle(call: &Call, place: Place, pairs: Vec<(String, String)>) -> Result<String, Stop> {
    let (place, pairs) = resumed(call, place, pairs).await?;
    let (Across { mut search, mut queries }, left_out) = asked(call, &place, &pairs)?;
    bound(&mut search);
    concepts::look_up(call, queries.iter_mut()).await?;
    let page = page_of(&search, links::note(&place, &search));
    if queries.len() > 1 && page.offset > ACROSS_SKIP_MAX {
        let text = "a search across types passes over at most 10000 matches";
        let outcome = Outcome::error(IssueType::TooCostly, "bad-value", text);
        return Err(outcome.hint("follow the link `next`, or search one type").into());
    }
    let domains = domains::wanted(call, &queries).await?;
    let found = call.app.store.search_across(&call.tenant, &queries, &page).await?;
    let included = include::of(call, &search, &found.entries).await?;
    let matched: HashSet<i64> = found.entries.iter().map(|stored| stored.rid).collect();
    let shown = |stored, role| entry(call, stored, (&search.shape, role), domains.as_ref());
    let mut entries: Vec<String> =
        found.entries.iter().filter_map(|stored| shown(stored, Role::Match)).collect();
    let others = included.resources.iter().filter(|stored| !matched.contains(&stored.rid));
    entries.extend(others.filter_map(|stored| shown(stored, Role::Include)));
    if call.principal.profile.is_none_or(Profile::takes_outcome_entries) {
        entries.extend(warning(&search, &included, left_out));
    }
    Ok(assemble(&links::of(call, &place, (&search, &pairs), (&page, &found)), &found, &entries))
}

/// Whether this can be searched.
///
/// # Errors
/// As [`bundle`], as far as it is known without searching.
pub async fn check(call: &Call, place: Place, pairs: Vec<(String, String)>) -> Result<(), Stop> {
    let (place, pairs) = resumed(call, place, pairs).await?;
    asked(call, &place, &pairs).map(drop)
}

/// The search that a page token is of, with what the client says anew of the answer's shape.
async fn resumed(
    call: &Call,
    place: Place,
    pairs: Vec<(String, String)>,
) -> Result<(Place, Vec<(String, String)>), Stop> {
    let Some(token) = pairs.iter().find(|(name, _)| name == PAGE).map(|(_, token)| token.clone()) else {
        return Ok((place, pairs));
    };
    let foreign = || Stop::from(store::Error::PageToken);
    let note = call.app.store.page_note(&call.tenant, &token).await?;
    let (path, query) = note.split_once('?').unwrap_or((&note, ""));
    let own = Place::parse(path).ok_or_else(foreign)?;
    if place != Place::System && place != own {
        return Err(foreign());
    }
    let shapes = |name: &str| name == "_count" || name.starts_with("_format") || name == "_pretty";
    let anew = |name: &str| shapes(name) || search::SKIPS.contains(&name);
    let said: Vec<(String, String)> = pairs.into_iter().filter(|(name, _)| anew(name)).collect();
    let mut all = parameters(query.as_bytes())?;
    all.retain(|(name, _)| !said.iter().any(|(again, _)| again == name));
    // HAPI's clients jump: then the token only says which search it is.
    if !said.iter().any(|(name, _)| search::SKIPS.contains(&name.as_str())) {
        all.push((PAGE.to_owned(), token));
    }
    all.extend(said);
    Ok((own, all))
}

/// The search, and how many types were left out because the token may not search them.
fn asked(call: &Call, place: &Place, pairs: &[(String, String)]) -> Result<(Across, usize), Stop> {
    let zone = call.zone();
    let context = call.context(&zone);
    let may = |kind: &str| call.principal.require(Permission::Search, kind).is_ok();
    let (mut across, mut left_out) = match place {
        Place::Type(kind) => {
            call.principal.require(Permission::Search, kind)?;
            let search = search::parse_open(kind, pairs, &context)?;
            let queries = vec![search.query.clone()];
            (Across { search, queries }, 0)
        }
        Place::System => {
            let (kinds, left_out) = allowed(call, table().kinds().to_vec(), pairs)?;
            (search::across(&kinds, pairs, &context)?, left_out)
        }
        Place::Compartment { compartment, id, kind } => {
            call.principal.require(Permission::Search, compartment)?;
            if !is_id(id) {
                let text = "an id is 1 to 64 letters, digits, '-' and '.'";
                return Err(Outcome::error(IssueType::Value, "bad-id", text).into());
            }
            let kinds = match kind {
                Some(kind) => vec![kind.as_str()],
                None => compartment_kinds(compartment),
            };
            let (kinds, left_out) = allowed(call, kinds, pairs)?;
            let mut across = search::across(&kinds, pairs, &context)?;
            across.queries = across.queries.iter().flat_map(|query| within(query, compartment, id)).collect();
            (across, left_out)
        }
    };
    for query in &mut across.queries {
        left_out += query.narrow(&may).map_err(|kind| {
            let missing = format!("system/{kind}.{}", Permission::Search.letter());
            Stop::from(Denied::Scope { missing })
        })?;
    }
    Ok((across, left_out))
}

fn compartment_kinds(compartment: &str) -> Vec<&'static str> {
    let members = compartment::members(compartment).iter().map(|member| member.kind);
    let mut kinds: Vec<&str> = members.chain(table().kind(compartment)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The query of what refers into the compartment, and that of the resource it is named after.
pub fn within(query: &Query, compartment: &str, id: &str) -> Vec<Query> {
    let with = |filter| {
        let mut query = query.clone();
        query.filters.push(filter);
        query
    };
    let is_itself = query.kind == compartment;
    let mut itself = compartment::itself(id);
    let own = is_itself.then(|| with(itself.clone()));
    let others = compartment::filter(compartment, id, &query.kind).map(|filter| {
        let mut others = with(filter);
        if is_itself {
            itself.not = true;
            others.filters.push(itself);
        }
        others
    });
    own.into_iter().chain(others).collect()
}

/// Of these types, those that the token may search, and how many others there are. Each type that the
/// client names must be allowed.
fn allowed<'a>(
    call: &Call,
    kinds: Vec<&'a str>,
    pairs: &[(String, String)],
) -> Result<(Vec<&'a str>, usize), Stop> {
    let named = pairs.iter().filter(|(name, _)| name == "_type").flat_map(|(_, value)| value.split(','));
    for kind in named.filter(|kind| table().kind(kind).is_some()) {
        call.principal.require(Permission::Search, kind)?;
    }
    let all = kinds.len();
    let asked = |kind: &str| call.principal.require(Permission::Search, kind);
    let denied = kinds.first().and_then(|kind| asked(kind).err());
    let kinds: Vec<&str> = kinds.into_iter().filter(|kind| asked(kind).is_ok()).collect();
    match denied {
        Some(denied) if kinds.is_empty() => Err(denied.into()),
        _ => Ok((kinds.clone(), all - kinds.len())),
    }
}

/// The links say how many entries a page really has.
fn bound(search: &mut Search) {
    search.count = search.count.map(|count| count.min(COUNT_MAX));
    let Some(count) = search.count else { return };
    for (_, value) in search.applied.iter_mut().filter(|(name, _)| name == "_count") {
        *value = count.to_string();
    }
}

fn page_of(search: &Search, note: String) -> Page {
    let counts_only = search.summary == Summary::Count || search.count == Some(0);
    let count = if counts_only { 0 } else { search.count.unwrap_or(COUNT) };
    let total = match search.total {
        _ if counts_only => TotalWanted::Accurate,
        search::Total::Accurate => TotalWanted::Accurate,
        search::Total::None => TotalWanted::None,
        search::Total::Unasked | search::Total::Estimate => TotalWanted::Bounded,
    };
    let offset = match search.skip {
        _ if search.page.is_some() => 0,
        None => 0,
        Some(Skip::Entries(entries)) => entries,
        Some(Skip::Pages(pages)) => pages.saturating_mul(count).min(search::SKIP_MAX),
    };
    Page { count, token: search.page.clone(), total, offset, note }
}

fn entry(
    call: &Call,
    stored: &Stored,
    (shape, role): (&Shape, Role),
    domains: Option<&Domains>,
) -> Option<String> {
    let version = read::version_of(stored)?;
    let url = Value::from(format!("{}/{}/{}", call.base, stored.kind, stored.id));
    let text = match domains.filter(|_| stored.kind == pdqm::KIND) {
        Some(domains) => domains.apply(shape.apply(version.text(), role)),
        None => shape.apply(version.text(), role),
    };
    let mode = if role == Role::Match { "match" } else { "include" };
    Some(format!(r#"{{"fullUrl":{url},"resource":{text},"search":{{"mode":"{mode}"}}}}"#))
}

/// What the client should know: parameters that were ignored, and what was left out.
fn warning(search: &Search, included: &Included, left_out: usize) -> Option<String> {
    let mut issues = Vec::new();
    let mut warn = |code: &'static str, text: String| {
        issues.push(Issue::error(IssueType::NotSupported, code, text).severity(Severity::Warning));
    };
    if !search.ignored.is_empty() {
        let names: Vec<String> = search.ignored.iter().take(20).map(|name| answer::plain(name)).collect();
        warn("parameters-ignored", format!("ignored: {}", names.join(", ")));
    }
    if left_out > 0 {
        warn("search-narrowed", "types outside the token's scope were not looked at".to_owned());
    }
    if included.hidden > 0 {
        warn("includes-hidden", "some included resources are outside the token's scope".to_owned());
    }
    if included.cut {
        let text = "there are more included resources than one page holds; a smaller _count includes the rest with \
                    later pages, and a search for them finds all: Observation?subject=Patient/1";
        warn("includes-cut", text.to_owned());
    }
    let outcome = Outcome::of(issues)?.to_value();
    // It is stored nowhere, and an entry of a searchset has a full url: <https://hl7.org/fhir/R4/bundle.html#bundle-unique>
    let url = format!("urn:uuid:{}", uuid::Uuid::new_v4());
    Some(json!({ "fullUrl": url, "resource": outcome, "search": { "mode": "outcome" } }).to_string())
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
