//! The values of a search parameter, by its search type. <https://hl7.org/fhir/R4/search.html#ptypes>

use super::{Context, MAX_LENGTH, MAX_VALUES, concepts, index_of, near, not_supported, refused};
use crate::fhir::dates;
use crate::fhir::elements::table;
use crate::fhir::index::number::{decimal, implicit};
use crate::fhir::index::text::normal;
use crate::fhir::index::token::of_type_system;
use crate::fhir::outcome::{Outcome, did_you_mean};
use crate::fhir::parameters::{Half, Parameter, Program, SearchType};
use crate::fhir::query::{self, Filter, Match, PartMatch, Prefix, SortBy, Way};
use crate::fhir::reference::{self, Literal};
use rust_decimal::prelude::ToPrimitive;

const DAY_MS: i64 = 86_400_000;
/// Path segments of a uri that `:above` looks at.
const ABOVE_MAX: usize = 100;

/// One parameter as the client wrote it.
pub struct Asked<'a> {
    pub parameter: &'a Parameter,
    /// With its modifier.
    pub name: &'a str,
    pub modifier: Option<&'a str>,
    pub context: &'a Context<'a>,
}

/// The filter for all values of a parameter.
pub fn filter(asked: &Asked<'_>, text: &str) -> Result<Filter, Outcome> {
    let parameter = match asked.parameter.code {
        "_id" => query::Parameter::Id,
        "_lastUpdated" => query::Parameter::LastUpdated,
        _ => query::Parameter::Indexed(asked.parameter.key),
    };
    if asked.modifier == Some("missing") {
        return Ok(Filter { parameter, any: vec![missing(asked, text)?], not: false });
    }
    check_modifier(asked)?;
    check_escapes(asked, text)?;
    let values: Vec<String> = split(text, ',').into_iter().filter(|value| !value.is_empty()).collect();
    let too_many = || {
        let text = format!("at most {MAX_VALUES} values separated by commas");
        refused(asked.name, "too-many-values", &text)
    };
    if values.len() > MAX_VALUES {
        return Err(too_many());
    }
    if values.iter().any(|value| value.len() > MAX_LENGTH) {
        let text = format!("a value has at most {MAX_LENGTH} bytes");
        return Err(refused(asked.name, "value-too-long", &text));
    }
    if let Some(kind) = concepts::Kind::of(asked) {
        let any = vec![Match::Concepts(concepts::read(asked, kind, &values)?)];
        return Ok(Filter { parameter, any, not: kind == concepts::Kind::NotIn });
    }
    let mut any = Vec::with_capacity(values.len());
    for value in &values {
        // With `:above` each value is many.
        if any.len() > MAX_VALUES {
            return Err(too_many());
        }
        match (asked.parameter.search_type, asked.modifier) {
            (SearchType::Uri, Some("above")) => any.extend(above(&unescape(value)).map(Match::Uri)),
            _ => {
                let found = one(asked, value)?;
                any.extend(as_canonical(asked, (value, &found)));
                any.push(found);
            }
        }
    }
    if finds_contacts(asked.parameter) {
        any.extend(any.iter().filter_map(folded).collect::<Vec<_>>());
    }
    if any.is_empty() {
        return Err(refused(asked.name, "no-value", "a value is missing"));
    }
    Ok(Filter { parameter, any, not: asked.modifier == Some("not") })
}

/// A canonical is any uri, so what looks like an id may be one: `Library?predecessor=first-edition`.
fn as_canonical(asked: &Asked<'_>, (text, found): (&str, &Match)) -> Option<Match> {
    let of_canonicals = match &asked.parameter.program {
        Program::Paths(paths) => paths.iter().any(|path| path.kind == "canonical"),
        _ => false,
    };
    let bare = matches!(found, Match::Reference { .. }) && !text.contains('/');
    (of_canonicals && bare).then(|| Match::ReferenceUrl(unescape(text)))
}

fn missing(asked: &Asked<'_>, text: &str) -> Result<Match, Outcome> {
    let by = match asked.parameter.code {
        "_id" => Some(SortBy::Id),
        "_lastUpdated" => Some(SortBy::LastUpdated),
        _ => index_of(asked.parameter.search_type),
    };
    let by = by.ok_or_else(|| not_supported(asked.name, ":missing does not apply here"))?;
    match text {
        "true" => Ok(Match::Missing { missing: true, by }),
        "false" => Ok(Match::Missing { missing: false, by }),
        _ => Err(refused(asked.name, "bad-value", "true or false")),
    }
}

/// <https://hl7.org/fhir/R4/search.html#modifiers>
fn check_modifier(asked: &Asked<'_>) -> Result<(), Outcome> {
    let Some(modifier) = asked.modifier else { return Ok(()) };
    let (known, later): (&[&str], &[&str]) = match asked.parameter.search_type {
        SearchType::Token if asked.parameter.code == "_id" => (&["not"], &[]),
        SearchType::Token if is_identifier(asked.parameter) => {
            (&["not", "text", "in", "not-in", "above", "below", "of-type"], &[])
        }
        SearchType::Token => (&["not", "text", "in", "not-in", "above", "below"], &[]),
        SearchType::Text => (&["exact", "contains"], &[]),
        SearchType::Reference if table().kind(modifier).is_some() => return Ok(()),
        SearchType::Reference if leads_to_its_own(asked.parameter) => {
            (&["identifier", "above", "below"], &[])
        }
        SearchType::Reference => (&["identifier"], &["above", "below"]),
        SearchType::Uri => (&["above", "below"], &[]),
        _ => (&[], &[]),
    };
    if known.contains(&modifier) {
        return Ok(());
    }
    if later.contains(&modifier) {
        return Err(not_supported(asked.name, &format!("the modifier :{modifier} is not supported")));
    }
    let text = format!("parameters of type {} have no such modifier", asked.parameter.search_type.as_str());
    let outcome = refused(asked.name, "unknown-modifier", &text);
    Err(match did_you_mean(modifier, known.iter().copied().chain(["missing"])) {
        Some(close) => outcome.hint(format!("did you mean :{close}?")),
        None => outcome.hint(format!("allowed: {}", [known, &["missing"]].concat().join(", "))),
    })
}

fn one(asked: &Asked<'_>, text: &str) -> Result<Match, Outcome> {
    if asked.parameter.code == "_id" {
        // iHRIS asks for Location?_id=Location/x.
        let id =
            text.strip_prefix(asked.parameter.kind).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
        return Ok(Match::Id(unescape(id)));
    }
    match asked.parameter.search_type {
        SearchType::Token if asked.modifier == Some("text") => Ok(Match::TokenText(normal(&unescape(text)))),
        SearchType::Token if asked.modifier == Some("of-type") => of_type(asked, text),
        SearchType::Token => {
            let (system, code) = token(asked, text, only_primitives(&asked.parameter.program))?;
            Ok(Match::Token { system, code })
        }
        SearchType::Text => Ok(match asked.modifier {
            Some("exact") => Match::TextExact(unescape(text)),
            Some(_) => Match::TextContains(normal(&unescape(text))),
            None => Match::TextStarts(normal(&unescape(text))),
        }),
        SearchType::Date => {
            let (prefix, low, high) = date(asked, text)?;
            Ok(Match::Date { prefix, low, high })
        }
        SearchType::Number => {
            let (prefix, low, high) = number(asked, text)?;
            Ok(Match::Number { prefix, low, high })
        }
        SearchType::Quantity => quantity(asked, text),
        SearchType::Reference => referred(asked, text),
        SearchType::Uri if asked.modifier == Some("below") => {
            Ok(Match::UriBelow(unescape(text).trim_end_matches('/').to_owned()))
        }
        SearchType::Uri => Ok(Match::Uri(unescape(text))),
        SearchType::Composite => composite(asked, text),
        SearchType::Special => near::read(asked, text),
    }
}

/// Whether a parameter finds only addresses and numbers of people (`email`, `phone`, `telecom`), which are indexed in lower case.
fn finds_contacts(parameter: &Parameter) -> bool {
    let Program::Paths(paths) = &parameter.program else { return false };
    parameter.search_type == SearchType::Token && paths.iter().all(|path| path.kind == "ContactPoint")
}

/// The same in lower case; as it was written it is still looked for, because it may have been indexed so once.
fn folded(value: &Match) -> Option<Match> {
    let Match::Token { system, code: Some(code) } = value else { return None };
    let lower = code.to_lowercase();
    (lower != *code).then(|| Match::Token { system: system.clone(), code: Some(lower) })
}

/// Whether a parameter finds only primitives: these are indexed without a system, as the specification
/// fixes it, so that `gender=http://hl7.org/fhir/administrative-gender|male` and `gender=male` are the same.
pub(super) fn only_primitives(program: &Program) -> bool {
    match program {
        Program::Paths(paths) => paths.iter().all(|path| is_primitive(path.kind)),
        Program::Exists(_) => true,
        Program::Composite(_) | Program::Expression(_) => false,
    }
}

fn is_primitive(kind: &str) -> bool {
    kind.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_identifier(parameter: &Parameter) -> bool {
    match &parameter.program {
        Program::Paths(paths) => paths.iter().any(|path| path.kind == "Identifier"),
        // An expression may find identifiers.
        Program::Expression(_) => true,
        Program::Exists(_) | Program::Composite(_) => false,
    }
}

/// `identifier:of-type=system|code|value`: the type of an identifier, and its value.
/// <https://hl7.org/fhir/R4/search.html#token>
fn of_type(asked: &Asked<'_>, text: &str) -> Result<Match, Outcome> {
    match split(text, '|').as_slice() {
        [system, code, value] if !code.is_empty() && !value.is_empty() => {
            let system = of_type_system(&unescape(system), &unescape(code));
            Ok(Match::Token { system: Some(system), code: Some(unescape(value)) })
        }
        _ => Err(refused(
            asked.name,
            "bad-token",
            "written system|code|value: the type's, and the identifier's",
        )),
    }
}

/// A uri and those whose paths it goes on from: `http://a/b/c`, `http://a/b/`, `http://a/b`, `http://a/`, `http://a`.
fn above(uri: &str) -> impl Iterator<Item = String> {
    let begin = uri.find("://").map_or(0, |at| at + 3);
    let mut all = vec![uri.to_owned()];
    for (at, _) in uri.match_indices('/').filter(|(at, _)| *at >= begin).take(ABOVE_MAX) {
        all.extend(uri.get(..=at).into_iter().chain(uri.get(..at)).map(str::to_owned));
    }
    all.sort();
    all.dedup();
    all.into_iter()
}

type Token = (Option<String>, Option<String>);

/// `code`, `system|code`, `|code`, `system|`
fn token(asked: &Asked<'_>, text: &str, primitives: bool) -> Result<Token, Outcome> {
    let parts = split(text, '|');
    let (system, code) = match parts.as_slice() {
        [code] => (None, Some(unescape(code))),
        [system, code] if code.is_empty() && system.is_empty() => {
            return Err(refused(asked.name, "bad-token", "neither a system nor a code"));
        }
        [system, code] if code.is_empty() => (Some(unescape(system)), None),
        [_, code] if primitives => (None, Some(unescape(code))),
        [system, code] => (Some(unescape(system)), Some(unescape(code))),
        _ => {
            return Err(refused(asked.name, "bad-token", "written code, system|code, |code or system|")
                .hint("write \\| for a | in a code"));
        }
    };
    Ok((system, code))
}

/// The prefix of a date or number, and the rest.
fn prefixed(text: &str) -> (Prefix, &str) {
    let prefix = match text.get(..2) {
        Some("eq") => Prefix::Eq,
        Some("ne") => Prefix::Ne,
        Some("gt") => Prefix::Gt,
        Some("lt") => Prefix::Lt,
        Some("ge") => Prefix::Ge,
        Some("le") => Prefix::Le,
        Some("sa") => Prefix::Sa,
        Some("eb") => Prefix::Eb,
        Some("ap") => Prefix::Ap,
        _ => return (Prefix::Eq, text),
    };
    (prefix, text.get(2..).unwrap_or_default())
}

fn date(asked: &Asked<'_>, text: &str) -> Result<(Prefix, i64, i64), Outcome> {
    let (prefix, rest) = prefixed(text);
    // A + that was not percent-encoded arrives as a space.
    let rest = rest.trim_end().replace(' ', "+");
    let Some((low, high)) = dates::range(&rest, asked.context.zone) else {
        let hint = "written like 2024, 2024-02, 2024-02-29 or 2024-02-29T10:00:00Z, after eq ne gt lt ge le sa eb or ap";
        return Err(refused(asked.name, "bad-date", "this is not a date").hint(hint));
    };
    if prefix != Prefix::Ap {
        return Ok((prefix, low, high));
    }
    // Whole days: the search is the same on its second page, whose token is sealed for this search.
    let now = asked.context.now.as_millisecond().div_euclid(DAY_MS) * DAY_MS;
    let margin = now.saturating_sub(low).saturating_abs() / 10;
    Ok((prefix, low.saturating_sub(margin), high.saturating_add(margin)))
}

fn number(asked: &Asked<'_>, text: &str) -> Result<(Prefix, f64, f64), Outcome> {
    let (prefix, rest) = prefixed(text);
    let bad = || {
        refused(asked.name, "bad-number", "this is not a number")
            .hint("written like 5.4, after eq ne gt lt ge le sa eb or ap")
    };
    let exact = decimal(rest).and_then(|decimal| decimal.to_f64()).ok_or_else(bad)?;
    let (low, high) = match prefix {
        Prefix::Eq | Prefix::Ne => implicit(rest).ok_or_else(bad)?,
        Prefix::Ap => (exact - exact.abs() * 0.1, exact + exact.abs() * 0.1),
        _ => (exact, exact),
    };
    Ok((prefix, low, high))
}

/// `5.4`, `5.4|system|code`, `5.4||code`
fn quantity(asked: &Asked<'_>, text: &str) -> Result<Match, Outcome> {
    let parts = split(text, '|');
    let some = |text: &String| (!text.is_empty()).then(|| unescape(text));
    let (value, system, code) = match parts.as_slice() {
        [value] => (value, None, None),
        [value, system, code] => (value, some(system), some(code)),
        _ => return Err(refused(asked.name, "bad-quantity", "written 5.4, 5.4|system|code or 5.4||code")),
    };
    let (prefix, low, high) = number(asked, value)?;
    Ok(Match::Quantity { prefix, low, high, system, code })
}

fn referred(asked: &Asked<'_>, text: &str) -> Result<Match, Outcome> {
    if asked.modifier == Some("identifier") {
        let text = if split(text, '|').len() == 1 { format!("|{text}") } else { text.to_owned() };
        return Ok(Match::ReferenceIdentifier(unescape(&text)));
    }
    if let Some(way) = way(asked.modifier) {
        return branch(asked, (text, way));
    }
    let kind = asked.modifier;
    let targets = &asked.parameter.targets;
    if let Some(kind) = kind
        && !targets.is_empty()
        && !targets.contains(&kind)
    {
        let hint = format!("it refers to {}", targets.join(", "));
        return Err(refused(asked.name, "bad-target", "this parameter never refers to that type").hint(hint));
    }
    let text = unescape(text);
    if let Some((named, id, _)) = reference::local(&text, asked.context.base) {
        if kind.is_some_and(|kind| kind != named) {
            return Err(refused(asked.name, "bad-target", "the modifier and the value name different types"));
        }
        return Ok(Match::Reference { kind: named.to_owned(), id: id.to_owned() });
    }
    Ok(match reference::parse(&text) {
        Literal::Absolute { unversioned, .. } => Match::ReferenceUrl(unversioned.to_owned()),
        Literal::Other(id) if !id.contains([':', '/', '|']) => {
            let only = if targets.len() == 1 { targets.first().copied() } else { None };
            Match::Reference { kind: kind.or(only).unwrap_or_default().to_owned(), id: id.to_owned() }
        }
        _ => Match::ReferenceUrl(text),
    })
}

/// Whether it is the link of a hierarchy: `Location.partof`. One of a tenant's own that names no targets may be.
fn leads_to_its_own(parameter: &Parameter) -> bool {
    let own = matches!(parameter.program, Program::Expression(_));
    parameter.targets.contains(&parameter.kind) || (own && parameter.targets.is_empty())
}

fn way(modifier: Option<&str>) -> Option<Way> {
    match modifier {
        Some("below") => Some(Way::Below),
        Some("above") => Some(Way::Above),
        _ => None,
    }
}

/// `Location?partof:below=Location/district`: the hierarchy is that of the parameter itself.
fn branch(asked: &Asked<'_>, (text, way): (&str, Way)) -> Result<Match, Outcome> {
    let (text, kind) = (unescape(text), asked.parameter.kind);
    let id = match reference::local(&text, asked.context.base) {
        Some((named, id, _)) if named == kind => id,
        None if !text.contains([':', '/', '|']) => text.as_str(),
        _ => {
            let hint = format!("written {kind}/ID, the resource whose branch is looked at");
            return Err(refused(asked.name, "bad-target", "its hierarchy is one of its own type").hint(hint));
        }
    };
    let by = asked.parameter.key;
    Ok(Match::ReferenceBranch { kind: kind.to_owned(), id: id.to_owned(), way, by })
}

fn composite(asked: &Asked<'_>, text: &str) -> Result<Match, Outcome> {
    let parts = split(text, '$');
    let (Program::Composite(pairs), [first, second]) = (&asked.parameter.program, parts.as_slice()) else {
        return Err(refused(asked.name, "bad-composite", "two values separated by $"));
    };
    let Some(pair) = pairs.first() else { return Err(not_supported(asked.name, "it has no parts")) };
    Ok(Match::Composite {
        first: half(asked, &pair.first, first)?,
        second: half(asked, &pair.second, second)?,
    })
}

/// One half of a composite. Dates are given with both ends inclusive, as the rows have them.
#[allow(clippy::cast_precision_loss)]
fn half(asked: &Asked<'_>, half: &Half, text: &str) -> Result<PartMatch, Outcome> {
    let none = PartMatch::default();
    Ok(match half.search_type {
        SearchType::Token => {
            let primitives = half.paths.iter().all(|path| is_primitive(path.kind));
            let (system, code) = token(asked, text, primitives)?;
            PartMatch { system, code, ..none }
        }
        SearchType::Text => PartMatch { code_starts: Some(normal(&unescape(text))), ..none },
        SearchType::Uri => PartMatch { code: Some(unescape(text)), ..none },
        SearchType::Date => {
            let (prefix, low, high) = date(asked, text)?;
            PartMatch { range: Some((prefix, low as f64, (high - 1) as f64)), ..none }
        }
        SearchType::Number => PartMatch { range: Some(number(asked, text)?), ..none },
        SearchType::Quantity => match quantity(asked, text)? {
            Match::Quantity { prefix, low, high, system, code } => {
                PartMatch { system, code, range: Some((prefix, low, high)), ..none }
            }
            _ => none,
        },
        SearchType::Reference => match referred(asked, text)? {
            Match::Reference { kind, id } => {
                PartMatch { system: (!kind.is_empty()).then_some(kind), code: Some(id), ..none }
            }
            Match::ReferenceUrl(url) => PartMatch { code: Some(url), ..none },
            _ => none,
        },
        SearchType::Composite | SearchType::Special => {
            return Err(not_supported(asked.name, "a composite of composites or places"));
        }
    })
}

/// Splits at `separator` where it is not escaped; the parts keep their escapes.
pub(super) fn split(text: &str, separator: char) -> Vec<String> {
    let (mut out, mut part, mut escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        if c == separator && !escaped {
            out.push(std::mem::take(&mut part));
            continue;
        }
        escaped = c == '\\' && !escaped;
        part.push(c);
    }
    out.push(part);
    out
}

/// A backslash escapes `,`, `$`, `|` or itself, and nothing else. <https://hl7.org/fhir/R4/search.html#escaping>
fn check_escapes(asked: &Asked<'_>, text: &str) -> Result<(), Outcome> {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\\' && !matches!(letters.next(), Some(',' | '$' | '|' | '\\')) {
            return Err(refused(asked.name, "bad-escape", "a backslash comes before one of , $ | \\ only")
                .hint("a backslash itself is written twice"));
        }
    }
    Ok(())
}

/// `\,` → `,` and the same of `$`, `|` and `\`; any other backslash stays.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match letters.peek() {
            Some(&next) if c == '\\' && matches!(next, ',' | '$' | '|' | '\\') => {
                out.push(next);
                letters.next();
            }
            _ => out.push(c),
        }
    }
    out
}
