//! Parameters that select: plain ones, chains (`subject:Patient.name`) and `_has`.
//! <https://hl7.org/fhir/R4/search.html#chaining>, <https://hl7.org/fhir/R4/search.html#has>
//!
//! A chain to several possible types becomes one alternative for each type that has the next parameter.
//! Depth, number of alternatives and number of values are bounded. **Never** decides what a caller may look at: the server
//! asks [`crate::fhir::query::Query::narrow`].

use std::cell::Cell;

use super::{Context, Handling, MAX_VALUES_IN_ALL, found, not_supported, refused, unknown, value};
use crate::fhir::elements::table;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::parameters::{self, Parameter, Program, SearchType};
use crate::fhir::query::{self, Filter, Match, ONE_BY_ONE, Via};

/// A parameter may go through this many references.
pub const MAX_DEPTH: usize = 4;
/// All chains of a search together have at most this many alternatives.
pub const MAX_ALTERNATIVES: usize = 400;

/// Parameters of a search that look at other resources.
pub const MAX_NESTED: usize = 20;

/// One parameter of a search, as the client wrote it.
pub struct Reading<'a> {
    /// The whole name: `subject:Patient.name:exact`.
    pub name: &'a str,
    pub value: &'a str,
    pub context: &'a Context<'a>,
    /// How many alternatives the search on this type has so far.
    pub alternatives: &'a Cell<usize>,
    /// How many values the whole search has so far, in all alternatives of all types.
    pub values: &'a Cell<usize>,
}

/// What a name came to.
pub enum Selected {
    Filter(Filter),
    /// R4 has no such parameter.
    Unknown {
        kind: String,
        code: String,
    },
    /// It is known not to select anything here.
    Ignored,
}

/// A filter on `kind`, from `rest` of the name.
pub fn selected(reading: &Reading<'_>, kind: &str, rest: &str, depth: usize) -> Result<Selected, Outcome> {
    if let Some(rest) = rest.strip_prefix("_has:") {
        return has(reading, kind, rest, depth);
    }
    match rest.split_once('.') {
        Some((head, rest)) => chain(reading, kind, (head, rest), depth),
        None => plain(reading, kind, rest, depth),
    }
}

fn plain(reading: &Reading<'_>, kind: &str, rest: &str, depth: usize) -> Result<Selected, Outcome> {
    let (code, modifier) =
        rest.split_once(':').map_or((rest, None), |(code, modifier)| (code, Some(modifier)));
    match code {
        // What is current is worked out from no list that is stored: <https://hl7.org/fhir/R4/search.html#list>
        "_list" if value::split(reading.value, ',').iter().any(|list| list.starts_with('$')) => {
            return Err(not_supported(
                reading.name,
                "functional lists such as $current-allergies are not kept",
            ));
        }
        // The same question: what the list refers to.
        "_list" if modifier.is_none() => return has(reading, kind, "List:item:_id", depth),
        "_has" => return Err(bad_has(reading)),
        "_list" | "_text" | "_content" | "_query" | "_filter" => {
            return Err(not_supported(reading.name, "this parameter is not supported"));
        }
        // Contained resources are not searched; answering as if nobody had asked would hide that.
        "_contained" | "_containedType"
            if reading.context.handling == Handling::Strict && reading.value != "false" =>
        {
            return Err(not_supported(reading.name, "contained resources are not searched"));
        }
        "_contained" | "_containedType" => return Ok(Selected::Ignored),
        _ => {}
    }
    let Some(parameter) = found(reading.context, reading.name, kind, code)? else {
        if parameters::is_unsupported(kind, code) {
            return Err(not_supported(reading.name, "this standard parameter is not supported"));
        }
        return Ok(Selected::Unknown { kind: kind.to_owned(), code: code.to_owned() });
    };
    let asked = value::Asked { parameter, name: reading.name, modifier, context: reading.context };
    let filter = value::filter(&asked, reading.value)?;
    count_values(reading, filter.cost())?;
    Ok(Selected::Filter(filter))
}

/// One link of a chain: `subject.name`, `subject:Patient.name`.
fn chain(
    reading: &Reading<'_>,
    kind: &str,
    (head, rest): (&str, &str),
    depth: usize,
) -> Result<Selected, Outcome> {
    deeper(reading, depth)?;
    let (code, named) = head.split_once(':').map_or((head, None), |(code, kind)| (code, Some(kind)));
    let Some(parameter) = found(reading.context, reading.name, kind, code)? else {
        return Ok(Selected::Unknown { kind: kind.to_owned(), code: code.to_owned() });
    };
    if parameter.search_type != SearchType::Reference {
        let text = format!("{code} is no reference, so nothing can follow it");
        return Err(refused(reading.name, "bad-chain", &text));
    }
    let (mut any, mut missing, mut wrong) = (Vec::new(), None, None);
    for target in targets(reading, parameter, named)? {
        match selected(reading, target, rest, depth + 1) {
            Ok(Selected::Filter(filter)) => {
                let links = links(parameter, target, &filter);
                count(reading, 1)?;
                // One link has the values that are counted already.
                count_values(reading, links.len().saturating_sub(1) * filter.cost())?;
                any.extend(links);
            }
            Ok(Selected::Unknown { kind, code }) => drop(missing.get_or_insert((kind, code))),
            Ok(Selected::Ignored) => {}
            // Whatever the other types say, it is no less costly, and what one lacks until later is missing.
            Err(outcome) if is_costly(&outcome) || outcome.status == 503 => return Err(outcome),
            Err(outcome) => drop(wrong.get_or_insert(outcome)),
        }
    }
    match (any.is_empty(), wrong, missing) {
        (true, Some(outcome), _) => Err(outcome),
        (true, None, Some((kind, code))) => Ok(Selected::Unknown { kind, code }),
        (true, None, None) => Ok(Selected::Ignored),
        (false, ..) => {
            let parameter = query::Parameter::Indexed(parameter.key);
            Ok(Selected::Filter(Filter { parameter, any, not: false }))
        }
    }
}

/// The types that a link may lead to: the one that is named, else all that the parameter refers to.
fn targets(
    reading: &Reading<'_>,
    parameter: &Parameter,
    named: Option<&str>,
) -> Result<Vec<&'static str>, Outcome> {
    let all = || match parameter.targets.as_slice() {
        [] => table().kinds().to_vec(),
        some => some.to_vec(),
    };
    let Some(named) = named else { return Ok(all()) };
    let Some(known) = table().kind(named) else {
        return Err(refused(reading.name, "unknown-type", "R4 has no resource type of this name"));
    };
    if all().contains(&known) {
        return Ok(vec![known]);
    }
    let hint = format!("it refers to {}", parameter.targets.join(", "));
    Err(refused(reading.name, "bad-target", "this parameter never refers to that type").hint(hint))
}

/// By id; by url too where the parameter finds canonicals and the other type has one.
fn links(parameter: &Parameter, target: &'static str, filter: &Filter) -> Vec<Match> {
    let link = |via| Match::Chained { kind: target.to_owned(), via, filter: Box::new(filter.clone()) };
    let url = url_of(target).filter(|_| finds_canonicals(parameter));
    std::iter::once(link(Via::Id)).chain(url.map(|url| link(Via::Url(url.key)))).collect()
}

fn finds_canonicals(parameter: &Parameter) -> bool {
    match &parameter.program {
        Program::Paths(paths) => paths.iter().any(|path| matches!(path.kind, "canonical" | "uri" | "url")),
        Program::Expression(_) => true,
        Program::Exists(_) | Program::Composite(_) => false,
    }
}

fn url_of(kind: &str) -> Option<&'static Parameter> {
    parameters::find(kind, "url").filter(|url| url.search_type == SearchType::Uri)
}

/// The types that a parameter may name by their canonical url.
pub fn named_by_url(parameter: &Parameter) -> Vec<&'static str> {
    if !finds_canonicals(parameter) {
        return Vec::new();
    }
    let all = match parameter.targets.as_slice() {
        [] => table().kinds(),
        some => some,
    };
    all.iter().copied().filter(|kind| url_of(kind).is_some()).collect()
}

/// Each chain makes a statement that is longer to plan than to run.
///
/// # Errors
/// 400 for another one where there are enough.
pub fn few(name: &str, before: &[Filter], filter: &Filter) -> Result<(), Outcome> {
    let others = before.iter().filter(|other| other.is_nested()).count();
    if !filter.is_nested() || others < MAX_NESTED {
        return Ok(());
    }
    let text = format!("a search has at most {MAX_NESTED} chains and _has");
    Err(costly(refused(name, "too-many-chains", &text)).hint("ask in parts"))
}

/// `Observation:patient:code`, after `_has:`.
fn has(reading: &Reading<'_>, kind: &str, rest: &str, depth: usize) -> Result<Selected, Outcome> {
    deeper(reading, depth)?;
    let mut parts = rest.splitn(3, ':');
    let (Some(source), Some(code), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(bad_has(reading));
    };
    let Some(source) = table().kind(source) else {
        return Err(refused(reading.name, "unknown-type", "R4 has no resource type of this name"));
    };
    let Some(by) = found(reading.context, reading.name, source, code)? else {
        return Err(unknown(reading.context, source, reading.name, code));
    };
    if by.search_type != SearchType::Reference {
        return Err(refused(reading.name, "bad-has", &format!("{code} of {source} is no reference")));
    }
    if !by.targets.is_empty() && !by.targets.contains(&kind) {
        let text = format!("{code} of {source} never refers to a {kind}");
        let hint = format!("it refers to {}", by.targets.join(", "));
        return Err(refused(reading.name, "bad-target", &text).hint(hint));
    }
    count(reading, 1)?;
    match selected(reading, source, rest, depth + 1)? {
        Selected::Filter(filter) => {
            let one = Match::Referring {
                kind: source.to_owned(),
                by: by.key,
                target: kind.to_owned(),
                filter: Box::new(filter),
            };
            Ok(Selected::Filter(Filter { parameter: query::Parameter::Id, any: vec![one], not: false }))
        }
        other => Ok(other),
    }
}

fn bad_has(reading: &Reading<'_>) -> Outcome {
    refused(reading.name, "bad-has", "written _has:Type:reference:parameter")
        .hint("e.g. _has:Observation:patient:code=1234-5")
}

fn deeper(reading: &Reading<'_>, depth: usize) -> Result<(), Outcome> {
    if depth < MAX_DEPTH {
        return Ok(());
    }
    let text = format!("goes through more than {MAX_DEPTH} references");
    Err(costly(refused(reading.name, "chain-too-deep", &text)))
}

fn count(reading: &Reading<'_>, more: usize) -> Result<(), Outcome> {
    let all = reading.alternatives.get() + more;
    reading.alternatives.set(all);
    if all <= MAX_ALTERNATIVES {
        return Ok(());
    }
    let text = "may lead to too many types";
    Err(costly(refused(reading.name, "chain-too-wide", text)).hint("name the type: subject:Patient.name"))
}

/// Each is compared in SQL, where the number of bound values is limited.
fn count_values(reading: &Reading<'_>, more: usize) -> Result<(), Outcome> {
    let all = reading.values.get() + more;
    reading.values.set(all);
    if all <= MAX_VALUES_IN_ALL {
        return Ok(());
    }
    let text = format!(
        "a search has at most {MAX_VALUES_IN_ALL} values, each counted once for each type, and those that are compared one \
         by one (dates, numbers, quantities, parts of texts, composites) for {ONE_BY_ONE}"
    );
    Err(costly(refused(reading.name, "too-many-values", &text)).hint("ask in parts, or name fewer types"))
}

fn is_costly(outcome: &Outcome) -> bool {
    outcome.issues.iter().any(|issue| issue.kind == IssueType::TooCostly)
}

fn costly(mut outcome: Outcome) -> Outcome {
    if let Some(issue) = outcome.issues.first_mut() {
        issue.kind = IssueType::TooCostly;
    }
    outcome
}
