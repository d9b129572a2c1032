//! `Patient/id/$everything`: the patient and all that is in her compartment, page by page.
//! <https://hl7.org/fhir/R4/patient-operation-everything.html>
//!
//! What the compartment only refers to (practitioners, places) is not in it. Types that the token may not
//! search are left out, and that is said; a type that the caller names must be allowed.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::super::answer::{self, Answer};
use super::super::call::{Call, Stop};
use super::super::{read, render, search};
use super::arguments::bad;
use super::{Arguments, Place, stored};
use crate::auth::scope::Permission;
use crate::fhir::compartment;
use crate::fhir::elements;
use crate::fhir::outcome::{Issue, IssueType, Outcome, Severity};
use crate::fhir::parameters::{self, SearchType};
use crate::fhir::query::Query;
use crate::fhir::search::{self as parsing, PAGE};
use crate::store::search::{COUNT_MAX, Found, Page, Total};

const COMPARTMENT: &str = "Patient";
/// Inputs that say what is wanted: they are in the links.
const INPUTS: [&str; 5] = ["_since", "_type", "start", "end", "_count"];
/// When care was given, by the search parameters of its type, the best first. Types that have none of them
/// are not of a time.
const TIMES: [&str; 19] = [
    "authoredon",
    "date",
    "authored",
    "authored-on",
    "occurrence",
    "period",
    "recorded-date",
    "effective-time",
    "effective",
    "whenhandedover",
    "created",
    "started",
    "sent",
    "recorded",
    "identified",
    "start-date",
    "datetime",
    "collected",
    "datewritten",
];

/// `GET Patient/id/$everything`, and by POST.
pub async fn everything(call: &Call, place: &Place, arguments: &Arguments) -> Result<Answer, Stop> {
    let id = place.id().unwrap_or_default();
    let ignored = ignored(call, arguments)?;
    stored::instance(call, COMPARTMENT, id).await?;
    let (queries, left_out) = queries(call, id, arguments)?;
    let count = arguments.number("_count")?.unwrap_or(COUNT_MAX).min(COUNT_MAX);
    let page = Page { count, token: arguments.text(PAGE)?, ..Page::default() };
    let found = call.app.store.search_across(&call.tenant, &queries, &page).await?;
    let mut entries: Vec<String> = found.entries.iter().filter_map(|one| entry(call, one)).collect();
    entries.extend(warning(left_out, &ignored));
    let links = links(call, id, arguments, &found)?;
    let total = match found.total {
        Total::Exact(total) => format!(r#""total":{total},"#),
        Total::AtLeast(_) | Total::Unknown => String::new(),
    };
    // R4 has no empty arrays.
    let entries =
        if entries.is_empty() { String::new() } else { format!(r#","entry":[{}]"#, entries.join(",")) };
    let text = format!(r#"{{"resourceType":"Bundle","type":"searchset",{total}"link":{links}{entries}}}"#);
    Ok(answer::json(StatusCode::OK, render::laid_out(text, call.wishes.layout)))
}

/// What was given and is no input.
///
/// # Errors
/// 400 where there is any and the client is strict.
fn ignored(call: &Call, arguments: &Arguments) -> Result<Vec<String>, Outcome> {
    let is_input = |name: &str| INPUTS.contains(&name) || name == PAGE;
    let others: Vec<String> =
        arguments.names().into_iter().filter(|name| !is_input(name)).map(answer::plain).collect();
    match others.first() {
        Some(name) if call.is_strict() => {
            let text = format!("$everything has no parameter {name}");
            Err(Outcome::error(IssueType::Invalid, "unknown-parameter", text).hint(INPUTS.join(", ")))
        }
        _ => Ok(others),
    }
}

/// One query for each type, and how many types were left out.
fn queries(call: &Call, id: &str, arguments: &Arguments) -> Result<(Vec<Query>, usize), Stop> {
    let wanted = wanted(arguments)?;
    let range = Range::of(arguments)?;
    let (mut all, mut left_out) = (Vec::new(), 0);
    for kind in kinds() {
        let named = wanted.iter().any(|one| one == kind);
        if !wanted.is_empty() && !named {
            continue;
        }
        match call.principal.require(Permission::Search, kind) {
            Ok(()) => {
                let query = range.query(call, kind)?;
                all.extend(search::within(&query, COMPARTMENT, id));
            }
            Err(denied) if named => return Err(denied.into()),
            Err(_) => left_out += 1,
        }
    }
    Ok((all, left_out))
}

fn kinds() -> Vec<&'static str> {
    let members = compartment::members(COMPARTMENT).iter().map(|member| member.kind);
    let mut kinds: Vec<&str> = elements::table().kind(COMPARTMENT).into_iter().chain(members).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The types that the caller names.
fn wanted(arguments: &Arguments) -> Result<Vec<String>, Outcome> {
    let texts = arguments.texts("_type");
    let all: Vec<String> =
        texts.iter().flat_map(|text| text.split(',')).map(|kind| kind.trim().to_owned()).collect();
    if all.iter().any(|kind| elements::table().kind(kind).is_none()) {
        return Err(bad("_type", "names R4 resource types, parted by commas"));
    }
    Ok(all)
}

/// What the time of a resource must be.
struct Range {
    since: Option<String>,
    start: Option<String>,
    end: Option<String>,
}

impl Range {
    fn of(arguments: &Arguments) -> Result<Self, Outcome> {
        Ok(Self {
            since: arguments.text("_since")?,
            start: arguments.text("start")?,
            end: arguments.text("end")?,
        })
    }

    fn query(&self, call: &Call, kind: &str) -> Result<Query, Outcome> {
        let mut pairs = Vec::new();
        pairs.extend(self.since.as_ref().map(|since| ("_lastUpdated".to_owned(), format!("ge{since}"))));
        if let Some(code) = time_of(kind) {
            pairs.extend(self.start.as_ref().map(|start| (code.to_owned(), format!("ge{start}"))));
            pairs.extend(self.end.as_ref().map(|end| (code.to_owned(), format!("le{end}"))));
        }
        let zone = call.zone();
        let search = parsing::parse(kind, &pairs, &call.context(&zone));
        search.map(|search| search.query).map_err(|_| bad("_since, start or end", "is no FHIR date or time"))
    }
}

fn time_of(kind: &str) -> Option<&'static str> {
    let dated = |code: &&&str| {
        parameters::find(kind, code).is_some_and(|parameter| parameter.search_type == SearchType::Date)
    };
    TIMES.iter().find(dated).copied()
}

fn entry(call: &Call, stored: &crate::store::read::Stored) -> Option<String> {
    let version = read::version_of(stored)?;
    let url = Value::from(format!("{}/{}/{}", call.base, stored.kind, stored.id));
    let text = version.text();
    Some(format!(r#"{{"fullUrl":{url},"resource":{text},"search":{{"mode":"match"}}}}"#))
}

fn warning(left_out: usize, ignored: &[String]) -> Option<String> {
    let mut issues = Vec::new();
    if left_out > 0 {
        let text = format!("{left_out} types outside the token's scope were left out");
        issues.push(
            Issue::error(IssueType::Forbidden, "everything-narrowed", text).severity(Severity::Warning),
        );
    }
    if !ignored.is_empty() {
        let names: Vec<&str> = ignored.iter().take(20).map(String::as_str).collect();
        let text = format!("ignored: {}", names.join(", "));
        let issue = Issue::error(IssueType::NotSupported, "parameters-ignored", text);
        issues.push(issue.severity(Severity::Warning));
    }
    let outcome = Outcome::of(issues)?.to_value();
    Some(json!({ "resource": outcome, "search": { "mode": "outcome" } }).to_string())
}

fn links(call: &Call, id: &str, arguments: &Arguments, found: &Found) -> Result<Value, Outcome> {
    let given: Vec<(&str, String)> = INPUTS
        .into_iter()
        .flat_map(|name| arguments.texts(name).into_iter().map(move |text| (name, text)))
        .collect();
    let url = |token: Option<&str>| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&given);
        if let Some(token) = token {
            query.append_pair(PAGE, token);
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}/{COMPARTMENT}/{id}/$everything{mark}{query}", call.base)
    };
    let mut links = vec![json!({ "relation": "self", "url": url(arguments.text(PAGE)?.as_deref()) })];
    if let Some(next) = &found.next {
        links.push(json!({ "relation": "next", "url": url(Some(next)) }));
    }
    Ok(Value::Array(links))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn care_has_a_time_where_r4_says_one() {
        assert_eq!(time_of("Observation"), Some("date"));
        assert_eq!(time_of("QuestionnaireResponse"), Some("authored"));
        assert_eq!(time_of("Condition"), Some("recorded-date"));
        assert_eq!(time_of("Patient"), None);
        let without: Vec<&str> = kinds().into_iter().filter(|kind| time_of(kind).is_none()).collect();
        // People and standing things: they are never left out by a time.
        let expected = [
            "AppointmentResponse",
            "BodyStructure",
            "Coverage",
            "DeviceUseStatement",
            "EnrollmentRequest",
            "Group",
            "MolecularSequence",
            "Patient",
            "Person",
            "RelatedPerson",
            "SupplyDelivery",
        ];
        assert_eq!(without, expected);
    }
}
