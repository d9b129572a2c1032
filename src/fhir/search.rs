//! From a query string to a [`Query`]: what the client asked for, or exactly what is wrong with it.
//!
//! The pairs come from the server (already percent-decoded), the [`Query`] goes to the store. What R4
//! has but this server does not (`_filter`, `_text` …) is refused rather than ignored, because
//! ignoring it would answer with more than was asked for. Names that R4 does not have are ignored unless the client
//! wants `handling=strict`. **Never** reads a clock: `now` is passed in. <https://hl7.org/fhir/R4/search.html>

mod across;
mod concepts;
mod includes;
mod near;
mod nested;
mod value;

use std::cell::Cell;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::fhir::index::ParameterKey;
use crate::fhir::outcome::{IssueType, Outcome, did_you_mean};
use crate::fhir::parameters::custom::{Custom, State};
use crate::fhir::parameters::{self, Parameter, SearchType};
use crate::fhir::query::{self, Filter, Match, Query, Sort, SortBy};
use crate::fhir::structure::tolerated::Tolerated;
use crate::fhir::summary::Shape;
use nested::{Reading, Selected};

pub use across::{Across, across};

/// A query string may have this many parameters.
pub const MAX_PARAMETERS: usize = 100;
/// A parameter may have this many values, separated by commas.
pub const MAX_VALUES: usize = 2_000;
/// All parameters of a search together may have this many, in all types that chains and searches across types
/// look at.
pub const MAX_VALUES_IN_ALL: usize = 10_000;
/// Keys of an order.
const SORTS_MAX: usize = 5;
/// A value may be this long, in bytes, and all values of one parameter together.
pub const MAX_LENGTH: usize = 4_000;
pub const MAX_LENGTH_IN_ALL: usize = 1024 * 1024;
/// The parameter that carries the page token.
pub const PAGE: &str = "_getpages";
/// Names of the parameters that say where a page begins without a token.
pub const SKIPS: [&str; 3] = ["_getpagesoffset", "_offset", "_page"];
/// Passing over more matches than this costs too much; pages go as far as there are any.
pub const SKIP_MAX: u32 = 100_000;

/// What a search is read against.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// This server's FHIR base as clients see it: absolute references under it are local.
    pub base: &'a str,
    /// The tenant's zone, for dates without one.
    pub zone: &'a TimeZone,
    /// For the prefix `ap`, which is a tenth of the time between then and the beginning of this UTC day.
    pub now: Timestamp,
    pub handling: Handling,
    /// The tenant's own parameters.
    pub custom: &'a Custom,
    /// What the client may break in the resources of a Bundle or patch that is read with this.
    pub tolerated: Tolerated,
}

/// `Prefer: handling=…`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handling {
    /// Unknown parameters are ignored.
    #[default]
    Lenient,
    /// Unknown parameters are refused.
    Strict,
}

/// A search, parsed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Search {
    pub query: Query,
    /// `_count`; 0 is the same as `_summary=count`.
    pub count: Option<u32>,
    pub includes: Vec<Include>,
    pub revincludes: Vec<Include>,
    pub total: Total,
    pub summary: Summary,
    /// `_summary` but for `count`, and `_elements`: what is shown of each resource.
    pub shape: Shape,
    /// The page token, as the client sent it.
    pub page: Option<String>,
    /// How many matches are passed over: HAPI's `_getpagesoffset` and `_offset`, and `_page`.
    pub skip: Option<Skip>,
    /// What was used, as the client wrote it: for the self link.
    pub applied: Vec<(String, String)>,
    /// Names that were ignored.
    pub ignored: Vec<String>,
}

/// Where a page begins, for clients that do not follow links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// So many matches before it.
    Entries(u32),
    /// So many pages before it.
    Pages(u32),
}

/// `_include` and `_revinclude`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The type that holds the reference.
    pub source: &'static str,
    /// The reference parameters to follow: one, or all for `*`.
    pub parameters: Vec<ParameterKey>,
    /// The types that they may name by a canonical url.
    pub named: Vec<&'static str>,
    /// Only targets of this type.
    pub target: Option<&'static str>,
    /// Also from what was included (`:iterate`).
    pub iterate: bool,
}

impl Include {
    /// The types that are followed by a canonical url.
    pub fn canonicals(&self) -> impl Iterator<Item = &'static str> {
        self.named.iter().copied().filter(|kind| self.target.is_none_or(|target| target == *kind))
    }
}

/// `_total`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Total {
    /// Not asked for: the server may count.
    #[default]
    Unasked,
    None,
    Estimate,
    Accurate,
}

/// Whether `_summary=count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Summary {
    #[default]
    Full,
    /// Only the total.
    Count,
}

/// Parses a search on `kind`.
///
/// # Errors
/// An [`Outcome`] of status 400 that names the parameter, what is wrong, and a correction where one is near.
pub fn parse(kind: &str, pairs: &[(String, String)], context: &Context<'_>) -> Result<Search, Outcome> {
    let search = parse_open(kind, pairs, context)?;
    match search.query.unknown_concepts() {
        Some(name) => Err(not_supported(name, "value sets and hierarchies of codes are not looked up here")),
        None => Ok(search),
    }
}

/// As [`parse`]; the query may hold [`query::Concepts`] that are to be looked up before it is run.
///
/// # Errors
/// As [`parse`].
pub fn parse_open(kind: &str, pairs: &[(String, String)], context: &Context<'_>) -> Result<Search, Outcome> {
    parse_as((kind, &[kind]), pairs, context, &Cell::new(0))
}

/// As [`parse`], as one of several types that are searched at once; `values` counts those of all types.
fn parse_as(
    (kind, kinds): (&str, &[&str]),
    pairs: &[(String, String)],
    context: &Context<'_>,
    values: &Cell<usize>,
) -> Result<Search, Outcome> {
    if pairs.len() > MAX_PARAMETERS {
        return Err(Outcome::error(
            IssueType::TooCostly,
            "too-many-parameters",
            "a search has at most 100 parameters",
        ));
    }
    let alternatives = Cell::new(0);
    let mut search =
        Search { query: Query { kind: kind.to_owned(), ..Query::default() }, ..Search::default() };
    for (name, value) in pairs {
        // The format is the server's business; the page token goes into every link anew.
        if name.is_empty() || matches!(name.as_str(), "_format" | "_pretty") {
            continue;
        }
        // No database holds it, and no value of R4 has it.
        if name.contains('\0') || value.contains('\0') {
            return Err(refused(name, "bad-value", "it holds the character U+0000"));
        }
        if name == PAGE {
            search.page = Some(value.clone());
            continue;
        }
        if value.is_empty() && context.handling == Handling::Strict {
            return Err(refused(name, "no-value", "a value is missing"));
        }
        once(&search, name, value)?;
        if value.len() > MAX_LENGTH_IN_ALL {
            return Err(refused(name, "value-too-long", "all its values together have at most 1 MiB"));
        }
        let used = !value.is_empty()
            && (result_parameter(&mut search, (kinds, context), name, value)? || {
                let reading = Reading { name, value, context, alternatives: &alternatives, values };
                filter(&mut search, &reading)?
            });
        if used {
            search.applied.push((name.clone(), value.clone()));
        } else {
            search.ignored.push(name.clone());
        }
    }
    if search.shape == Shape::Text && !(search.includes.is_empty() && search.revincludes.is_empty()) {
        let text = "includes do not go with _summary=text";
        return Err(refused("_include", "bad-value", text).hint("leave one of them out"));
    }
    Ok(search)
}

/// What has one meaning for the whole answer is given once, or alike.
fn once(search: &Search, name: &str, value: &str) -> Result<(), Outcome> {
    let same = |known: &str| known == name || SKIPS.contains(&known) && SKIPS.contains(&name);
    let has_one = matches!(name, "_count" | "_total" | "_summary") || SKIPS.contains(&name);
    let other = |(known, given): &&(String, String)| same(known) && (known != name || given != value);
    if has_one && search.applied.iter().any(|pair| other(&pair)) {
        return Err(refused(name, "repeated-parameter", "it is given once").hint("leave the others out"));
    }
    Ok(())
}

/// A refusal of one parameter.
fn refused(name: &str, code: &'static str, text: &str) -> Outcome {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    Outcome::error(IssueType::Invalid, code, format!("search parameter {shown}: {text}"))
}

fn not_supported(name: &str, what: &str) -> Outcome {
    let mut outcome = refused(name, "not-supported", what);
    if let Some(issue) = outcome.issues.first_mut() {
        issue.kind = IssueType::NotSupported;
    }
    outcome.hint("GET metadata lists what this server can search by")
}

/// Parameters that shape the answer. True where it was one.
fn result_parameter(
    search: &mut Search,
    (kinds, context): (&[&str], &Context<'_>),
    name: &str,
    value: &str,
) -> Result<bool, Outcome> {
    match name {
        "_getpagesoffset" | "_offset" => search.skip = Some(Skip::Entries(skipped(name, value, 0)?)),
        "_page" => search.skip = Some(Skip::Pages(skipped(name, value, 1)? - 1)),
        "_type" => across::typed(search, kinds, value)?,
        "_count" => {
            let bad = || refused(name, "bad-number", "a whole number of entries");
            search.count = Some(value.parse().map_err(|_| bad())?);
        }
        "_sort" => sorts(search, context, value)?,
        "_total" => {
            search.total = match value {
                "none" => Total::None,
                "estimate" => Total::Estimate,
                "accurate" => Total::Accurate,
                _ => return Err(refused(name, "bad-value", "none, estimate or accurate")),
            }
        }
        "_summary" if value == "count" => search.summary = Summary::Count,
        "_summary" => search.shape.and(Shape::summary(value)?)?,
        "_elements" => search.shape.and(Shape::elements(kinds, value)?)?,
        _ => match name.split_once(':').map_or((name, None), |(name, modifier)| (name, Some(modifier))) {
            ("_include", modifier) => includes::forward(search, (kinds, context), (name, modifier), value)?,
            ("_revinclude", modifier) => includes::reverse(search, context, (name, modifier), value)?,
            _ => return Ok(false),
        },
    }
    Ok(true)
}

fn skipped(name: &str, value: &str, least: u32) -> Result<u32, Outcome> {
    let number = value.parse::<u32>().ok().filter(|number| *number >= least);
    let number = number.ok_or_else(|| refused(name, "bad-number", "a whole number"))?;
    if number > SKIP_MAX {
        return Err(refused(name, "bad-value", "at most 100000").hint("follow the link `next`"));
    }
    Ok(number)
}

/// Keys of a second `_sort` come after those of the first.
fn sorts(search: &mut Search, context: &Context<'_>, value: &str) -> Result<(), Outcome> {
    for key in value.split(',').filter(|key| !key.is_empty()) {
        if search.query.sort.len() >= SORTS_MAX {
            return Err(refused("_sort", "too-many-values", "at most five keys"));
        }
        let sort = sort(context, &search.query.kind, key)?;
        search.query.sort.push(sort);
    }
    Ok(())
}

fn sort(context: &Context<'_>, kind: &str, key: &str) -> Result<Sort, Outcome> {
    let (code, descending) = match key.strip_prefix('-') {
        Some(code) => (code, true),
        None => (key, false),
    };
    let (parameter, by) = match code {
        "_id" => (query::Parameter::Id, SortBy::Id),
        "_lastUpdated" => (query::Parameter::LastUpdated, SortBy::LastUpdated),
        _ if code.contains('.') || code.starts_with("_has:") => {
            return Err(not_supported("_sort", "the order is by the resource's own parameters"));
        }
        _ => {
            let found = found(context, "_sort", kind, code)?;
            let found = found.ok_or_else(|| unknown(context, kind, "_sort", code))?;
            let by =
                index_of(found.search_type).filter(|_| found.search_type != SearchType::Special).ok_or_else(
                    || refused("_sort", "not-supported", "a composite has no order, nor has a place"),
                )?;
            (query::Parameter::Indexed(found.key), by)
        }
    };
    Ok(Sort { parameter, by, descending })
}

/// The index that holds a search type's rows. `None`: a composite.
pub fn index_of(search_type: SearchType) -> Option<SortBy> {
    Some(match search_type {
        SearchType::Token => SortBy::Token,
        SearchType::Text => SortBy::Text,
        SearchType::Date => SortBy::Date,
        SearchType::Number | SearchType::Special => SortBy::Number,
        SearchType::Quantity => SortBy::Quantity,
        SearchType::Reference => SortBy::Reference,
        SearchType::Uri => SortBy::Uri,
        SearchType::Composite => return None,
    })
}

/// A parameter of a type: a standard one, or one of the tenant's own.
fn found<'a>(
    context: &Context<'a>,
    name: &str,
    kind: &str,
    code: &str,
) -> Result<Option<&'a Parameter>, Outcome> {
    if let Some(standard) = parameters::find(kind, code) {
        return Ok(Some(standard));
    }
    match context.custom.find(kind, code) {
        Some(own) if own.state == State::Building => {
            let mut outcome = refused(name, "parameter-building", "its values are still being collected");
            if let Some(issue) = outcome.issues.first_mut() {
                issue.kind = IssueType::Throttled;
            }
            Err(outcome.status(503).hint("try again later"))
        }
        own => Ok(own.map(|own| &own.parameter)),
    }
}

/// A name that the type does not have, with the nearest one that it has.
fn unknown(context: &Context<'_>, kind: &str, place: &str, name: &str) -> Outcome {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    let outcome = refused(place, "unknown-parameter", &format!("{kind} has no search parameter {shown}"));
    let own = context.custom.kind(kind).iter().map(|own| own.parameter.code);
    let there: Vec<&str> = parameters::of(kind).iter().map(|parameter| parameter.code).chain(own).collect();
    let list = format!("{kind} has {}", there.join(", "));
    match did_you_mean(name, there) {
        Some(close) => outcome.hint(format!("did you mean {close}? {list}")),
        None => outcome.hint(list),
    }
}

/// A parameter that selects. True where it was one; false where it is to be ignored.
fn filter(search: &mut Search, reading: &Reading<'_>) -> Result<bool, Outcome> {
    match nested::selected(reading, &search.query.kind, reading.name, 0)? {
        Selected::Filter(filter) => {
            nested::few(reading.name, &search.query.filters, &filter)?;
            search.query.filters.push(filter);
        }
        Selected::Unknown { kind, code } if reading.context.handling == Handling::Strict => {
            return Err(unknown(reading.context, &kind, reading.name, &code));
        }
        Selected::Unknown { .. } | Selected::Ignored => return Ok(false),
    }
    Ok(true)
}

/// A filter that holds for one token: for questions that the server itself asks.
pub fn token_filter(kind: &str, code: &str, system: Option<&str>, value: &str) -> Filter {
    let token = Match::Token { system: system.map(str::to_owned), code: Some(value.to_owned()) };
    Filter {
        parameter: query::Parameter::Indexed(ParameterKey::new(kind, code)),
        any: vec![token],
        not: false,
    }
}

#[cfg(test)]
mod tests;
