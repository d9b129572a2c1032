//! Histories of one resource, of a type and of everything: newest first, deletions included.
//! <https://hl7.org/fhir/R4/http.html#history>
//!
//! What may be asked of one is `_since`, `_at`, `_count`, each once. A page names the version that it ended with, so
//! that what is written meanwhile moves nothing.

use axum::http::StatusCode;
use serde_json::json;

use super::super::answer::{self, Answer};
use super::super::interaction::Interaction;
use super::call::{Call, Stop};
use super::{read, render};
use crate::fhir::dates;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::resource::instant;
use crate::fhir::summary::{Role, Shape};
use crate::store::history::{Place, Window};
use crate::store::read::Stored;

/// The largest page, and its size where the client does not say.
const COUNT_MAX: u32 = 1000;
const COUNT: u32 = 100;
/// The parameter that carries where the next page begins.
const BEFORE: &str = "_before";
/// What shapes the entries.
const SHAPING: [&str; 2] = ["_summary", "_elements"];

/// Whose history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of<'a> {
    Resource(&'a str, &'a str),
    Kind(&'a str),
    Everything,
}

impl<'a> Of<'a> {
    /// `None`: the interaction is no history.
    pub fn interaction(interaction: &'a Interaction) -> Option<Self> {
        match interaction {
            Interaction::History { kind, id } => Some(Self::Resource(kind, id)),
            Interaction::HistoryType { kind } => Some(Self::Kind(kind)),
            Interaction::HistorySystem => Some(Self::Everything),
            _ => None,
        }
    }

    /// Whose elements the entries have.
    fn kind(self) -> &'a str {
        match self {
            Self::Resource(kind, _) | Self::Kind(kind) => kind,
            Self::Everything => "Resource",
        }
    }

    fn place(self, base: &str) -> String {
        match self {
            Self::Resource(kind, id) => format!("{base}/{kind}/{id}/_history"),
            Self::Kind(kind) => format!("{base}/{kind}/_history"),
            Self::Everything => format!("{base}/_history"),
        }
    }
}

/// `GET [Type[/id]]/_history`
pub async fn history(call: &Call, of: Of<'_>) -> Result<Answer, Stop> {
    let bundle = bundle(call, of, &call.query).await?;
    Ok(answer::json(StatusCode::OK, render::laid_out(bundle, call.wishes.layout)))
}

/// The history as text; also for a GET in a batch.
pub async fn bundle(call: &Call, of: Of<'_>, query: &[(String, String)]) -> Result<String, Stop> {
    let asked = Asked::read(call, query)?;
    let shape = Shape::parse(of.kind(), query)?;
    let page = asked.page(call, of).await?;
    let place = of.place(&call.base);
    let mut links = vec![json!({ "relation": "self", "url": asked.url(&place, asked.before.as_deref()) })];
    if let Some(next) = &page.next {
        links.push(json!({ "relation": "next", "url": asked.url(&place, Some(next)) }));
    }
    let entries: Vec<String> = page.versions.iter().map(|stored| entry(call, stored, &shape)).collect();
    // R4 has no empty arrays.
    let entries =
        if entries.is_empty() { String::new() } else { format!(r#","entry":[{}]"#, entries.join(",")) };
    let total = page.total.map(|total| format!(r#","total":{total}"#)).unwrap_or_default();
    let links = serde_json::Value::Array(links);
    Ok(format!(r#"{{"resourceType":"Bundle","type":"history"{total},"link":{links}{entries}}}"#))
}

/// Whether this can be asked of a history.
///
/// # Errors
/// As [`bundle`], as far as it is known without reading.
pub fn check(call: &Call, query: &[(String, String)]) -> Result<(), Stop> {
    Asked::read(call, query).map(drop).map_err(Stop::from)
}

/// What a client asks of a history.
struct Asked {
    window: Window,
    count: u32,
    before: Option<String>,
    /// As they were sent, for the links.
    given: Vec<(String, String)>,
}

struct Page {
    versions: Vec<Stored>,
    total: Option<i64>,
    next: Option<String>,
}

impl Asked {
    fn read(call: &Call, query: &[(String, String)]) -> Result<Self, Outcome> {
        let mut asked = Self { window: Window::default(), count: COUNT, before: None, given: Vec::new() };
        for (name, value) in query {
            let known = ["_count", BEFORE, "_since", "_at", "_list"].contains(&name.as_str());
            if known && asked.given.iter().any(|(given, _)| given == name) {
                let text = format!("{name} may be there once");
                return Err(Outcome::error(IssueType::Invalid, "repeated-parameter", text));
            }
            match name.as_str() {
                "_count" => {
                    let count =
                        value.parse::<u32>().map_err(|_| bad("bad-number", name, "a whole number"))?;
                    asked.count = count.min(COUNT_MAX);
                }
                BEFORE => asked.before = Some(value.clone()),
                "_since" => asked.window.since_ms = range(call, name, value)?.0,
                "_at" => {
                    let (low, high) = range(call, name, value)?;
                    asked.window.at_ms = Some((low, high.saturating_sub(1).max(low)));
                }
                "_list" => {
                    let text = "_list of a history is not supported";
                    return Err(Outcome::error(IssueType::NotSupported, "not-supported", text));
                }
                // The next page is wanted in the same format.
                _ if SHAPING.contains(&name.as_str()) || matches!(name.as_str(), "_format" | "_pretty") => {}
                _ if call.is_strict() => {
                    let text = format!("a history has no parameter {}", answer::plain(name));
                    return Err(Outcome::error(IssueType::Invalid, "unknown-parameter", text)
                        .hint("it has _since, _at and _count"));
                }
                _ => continue,
            }
            asked.given.push((name.clone(), value.clone()));
        }
        Ok(asked)
    }

    async fn page(&self, call: &Call, of: Of<'_>) -> Result<Page, Stop> {
        let store = &call.app.store;
        let kind = match of {
            Of::Resource(kind, id) => {
                let before = self.before_version()?;
                let found =
                    store.history(&call.tenant, (kind, id), &self.window, (before, self.count)).await?;
                let Some(total) = found.total else { return Err(read::not_found(kind, id).into()) };
                let next = found.versions.last().filter(|_| found.more).map(|last| last.version.to_string());
                return Ok(Page { versions: found.versions, total: Some(total), next });
            }
            Of::Kind(kind) => Some(kind),
            Of::Everything => None,
        };
        let before = self.before_place()?;
        let found = store.changes_of(&call.tenant, kind, &self.window, (before, self.count)).await?;
        let next = found.next.map(|place| format!("{}-{}", place.updated_ms, place.position));
        Ok(Page { versions: found.versions, total: None, next })
    }

    fn before_version(&self) -> Result<Option<i64>, Outcome> {
        let read = |text: &String| text.parse().map_err(|_| bad("page-token", BEFORE, "not of this history"));
        self.before.as_ref().map(read).transpose()
    }

    fn before_place(&self) -> Result<Option<Place>, Outcome> {
        let read = |text: &String| {
            let (updated_ms, position) = text.split_once('-')?;
            Some(Place { updated_ms: updated_ms.parse().ok()?, position: position.parse().ok()? })
        };
        let read = |text: &String| read(text).ok_or_else(|| bad("page-token", BEFORE, "not of this history"));
        self.before.as_ref().map(read).transpose()
    }

    /// With the parameters that were applied.
    fn url(&self, place: &str, before: Option<&str>) -> String {
        let mut url = url::form_urlencoded::Serializer::new(format!("{place}?_count={}", self.count));
        let others = self.given.iter().filter(|(name, _)| name != "_count" && name != BEFORE);
        url.extend_pairs(others).extend_pairs(before.map(|before| (BEFORE, before)));
        url.finish()
    }
}

/// `[low, high)` of an instant or date.
fn range(call: &Call, name: &str, value: &str) -> Result<(i64, i64), Outcome> {
    // A `+` that the client did not escape arrives as a space.
    let text = value.trim().replace(' ', "+");
    let text = text.strip_prefix("ge").unwrap_or(&text);
    dates::range(text, &call.zone()).ok_or_else(|| bad("bad-date", name, "written 2026-11-21T06:15:00Z"))
}

fn bad(code: &'static str, name: &str, how: &str) -> Outcome {
    Outcome::error(IssueType::Value, code, format!("{name}: {how}"))
}

fn entry(call: &Call, stored: &Stored, shape: &Shape) -> String {
    let (kind, id) = (&stored.kind, &stored.id);
    let status = match (stored.method.as_str(), stored.version) {
        ("DELETE", _) => "204 No Content",
        (_, 1) => "201 Created",
        _ if stored.revives => "201 Created",
        _ => "200 OK",
    };
    let url = if stored.method == "POST" { kind.clone() } else { format!("{kind}/{id}") };
    let request = json!({ "method": stored.method, "url": url });
    let response = json!({
        "status": status,
        "etag": render::etag(stored.version),
        "lastModified": instant(stored.updated_ms),
    });
    let resource = read::version_of(stored).map(|version| shape.apply(version.text(), Role::Match));
    let resource = resource.map(|text| format!(r#""resource":{text},"#)).unwrap_or_default();
    let full_url = serde_json::Value::from(format!("{}/{kind}/{id}", call.base));
    format!(r#"{{"fullUrl":{full_url},{resource}"request":{request},"response":{response}}}"#)
}
