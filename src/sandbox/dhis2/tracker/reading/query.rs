//! Parameters of lists.

use super::super::super::super::http::{Answer, Request};
use super::super::super::super::time;
use super::super::super::state::{User, World};
use super::super::super::summary::{coded, message, tomcat_text};
use super::super::incoming::is_uid;
use super::super::is_old;
use super::List;

/// Which organisation units are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Everywhere,
    Exactly(Vec<String>),
    /// These and the ones right below.
    Children(Vec<String>),
    Below(Vec<String>),
}

const MODES: &[&str] = &["SELECTED", "CHILDREN", "DESCENDANTS", "ACCESSIBLE", "CAPTURE", "ALL"];

impl Scope {
    pub fn read(world: &World, request: &Request, user: &User, list: List) -> Result<Self, Answer> {
        let units = units(world, request, list)?;
        for unit in &units {
            if world.country.unit(unit).is_none() {
                return Err(coded(400, &format!("Organisation unit does not exist: {unit}"), "E1003"));
            }
            if !user.may("ALL") && !world.in_hierarchy(user, unit) {
                let text = format!("Organisation unit is not part of the search scope: {unit}");
                return Err(coded(403, &text, "E1006"));
            }
        }
        let mode = mode(world, request)?.unwrap_or(if units.is_empty() { "ACCESSIBLE" } else { "SELECTED" });
        Ok(match mode {
            "SELECTED" => Self::Exactly(units),
            "CHILDREN" => Self::Children(units),
            "DESCENDANTS" => Self::Below(units),
            _ if user.may("ALL") => Self::Everywhere,
            _ => Self::Below(user.units.clone()),
        })
    }

    pub fn holds(&self, world: &World, unit: &str) -> bool {
        let (units, deep) = match self {
            Self::Everywhere => return true,
            Self::Exactly(units) => return units.iter().any(|own| own == unit),
            Self::Children(units) => (units, 1),
            Self::Below(units) => (units, usize::MAX),
        };
        let Some(known) = world.country.unit(unit) else { return false };
        known.path.rsplit('/').take(deep.saturating_add(1)).any(|id| units.iter().any(|own| own == id))
    }
}

fn mode<'a>(world: &World, request: &'a Request) -> Result<Option<&'a str>, Answer> {
    let name = if is_old(world.version) { "ouMode" } else { "orgUnitMode" };
    let Some(mode) = request.parameter(name) else { return Ok(None) };
    if MODES.contains(&mode) {
        return Ok(Some(mode));
    }
    let text =
        format!("Value '{mode}' is not valid for parameter {name}. Valid values are: [{}]", MODES.join(", "));
    Err(message(400, &text))
}

/// Up to 2.40 `orgUnit=a;b`; since 2.42 `orgUnits=a,b`, and `orgUnit=a` of events.
fn units(world: &World, request: &Request, list: List) -> Result<Vec<String>, Answer> {
    let one_unit = matches!(list, List::Events | List::SingleEvents | List::TrackerEvents);
    let (name, separator) = match (is_old(world.version), one_unit) {
        (true, _) => ("orgUnit", ';'),
        (false, true) => ("orgUnit", ','),
        (false, false) => ("orgUnits", ','),
    };
    uids(world, request, name, separator).map(Option::unwrap_or_default)
}

/// A list of uids; since 2.42 what is none is refused.
pub(super) fn uids(
    world: &World,
    request: &Request,
    name: &str,
    separator: char,
) -> Result<Option<Vec<String>>, Answer> {
    let Some(text) = request.parameter(name) else { return Ok(None) };
    let uids: Vec<String> =
        text.split(separator).map(str::trim).filter(|uid| !uid.is_empty()).map(str::to_owned).collect();
    if let Some(wrong) = uids.iter().find(|uid| !is_old(world.version) && !is_uid(uid)) {
        let text = format!(
            "Value '{wrong}' is not valid for parameter {name}. UID must be an alphanumeric string of 11 characters starting with a letter, but was: {wrong}"
        );
        return Err(message(400, &text));
    }
    Ok(Some(uids))
}

/// What a list must be asked with.
pub(super) fn check(world: &World, request: &Request, user: &User, list: List) -> Result<(), Answer> {
    let has = |name: &str| request.parameter(name).is_some();
    let old = is_old(world.version);
    match list {
        List::Entities if old => old_entities(request, has)?,
        List::Entities if !has("program") && !has("trackedEntityType") && !has("trackedEntities") => {
            let text = "Either `program`, `trackedEntityType` or `trackedEntities` should be specified";
            return Err(coded(400, text, "E1003"));
        }
        List::Enrollments if old && request.flag("totalPages") => {
            return Err(message(409, "query did not return a unique result: 2"));
        }
        List::Events | List::SingleEvents | List::TrackerEvents if !old && !has("program") => {
            return Err(tomcat_text(
                world.version,
                400,
                "Required parameter &#39;program&#39; is not present.",
            ));
        }
        _ => {}
    }
    access(world, request, user)?;
    program_kind(world, request, list)
}

fn old_entities(request: &Request, has: impl Fn(&str) -> bool) -> Result<(), Answer> {
    if has("trackedEntity") {
        return Ok(());
    }
    if !has("program") && !has("trackedEntityType") {
        return Err(message(409, "Either Program or Tracked entity type should be specified"));
    }
    if !has("orgUnit") && !has("ouMode") {
        return Err(message(409, "At least one organisation unit must be specified"));
    }
    if request.flag("includeDeleted") && request.parameter("ouMode") != Some("DESCENDANTS") {
        let text = "Query failed because of a syntax error (SqlState: 42601)";
        let body = serde_json::json!({ "httpStatus": "Conflict", "httpStatusCode": 409, "status": "ERROR",
            "message": text, "devMessage": "SqlState: 42601", "errorCode": "E7145" });
        return Err(Answer::json(409, &body));
    }
    Ok(())
}

fn access(world: &World, request: &Request, user: &User) -> Result<(), Answer> {
    if user.may("ALL") {
        return Ok(());
    }
    let kind = request.parameter("trackedEntityType").and_then(|id| world.country.entity_type(id));
    if let Some(kind) = kind.filter(|kind| kind.closed_to.contains(&user.name)) {
        let text = format!(
            "Current user is not authorized to read data from selected tracked entity type:  {}",
            kind.id
        );
        return Err(if is_old(world.version) { message(409, &text) } else { coded(403, &text, "E1006") });
    }
    let program = request.parameter("program").and_then(|id| world.country.program(id));
    if let Some(program) = program.filter(|program| program.closed_to.contains(&user.name)) {
        let text =
            format!("Current user is not authorized to read data from selected program:  {}", program.id);
        return Err(if is_old(world.version) { message(409, &text) } else { coded(403, &text, "E1006") });
    }
    Ok(())
}

fn program_kind(world: &World, request: &Request, list: List) -> Result<(), Answer> {
    let Some(id) = request.parameter("program") else { return Ok(()) };
    let Some(program) = world.country.program(id) else {
        return Err(coded(400, &format!("Program is specified but does not exist: {id}"), "E1003"));
    };
    let wrong = match list {
        List::SingleEvents if program.entity_type.is_some() => "event",
        List::TrackerEvents if program.entity_type.is_none() => "tracker",
        _ => return Ok(()),
    };
    Err(coded(400, &format!("Program specified is not an {wrong} program: {id}"), "E1003"))
}

/// The earliest change that is asked for.
pub(super) fn changed_after(request: &Request) -> Result<Option<jiff::Timestamp>, Answer> {
    if let Some(at) = super::moment(request, "updatedAfter")? {
        return Ok(Some(at));
    }
    let Some(within) = request.parameter("updatedWithin") else { return Ok(None) };
    let span: Option<jiff::Span> = within.parse().ok();
    let at = span
        .and_then(|span| jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).checked_sub(span).ok());
    at.map(|at| Some(at.timestamp())).ok_or_else(|| {
        let text = format!(
            "Value '{within}' is not valid for parameter updatedWithin. Invalid format: \"{within}\""
        );
        message(400, &text)
    })
}

/// One condition on an attribute or a data element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub of: String,
    operator: String,
    operand: String,
}

const OPERATORS: &[&str] = &[
    "eq", "ieq", "ne", "neq", "nieq", "gt", "ge", "lt", "le", "like", "ilike", "nlike", "nilike", "in", "sw",
    "ew", "null", "nnull",
];

/// `filter=A:eq:x`, repeated or parted by commas; `/` escapes.
pub(super) fn conditions(world: &World, request: &Request, name: &str) -> Result<Vec<Condition>, Answer> {
    let mut conditions = Vec::new();
    for given in request.parameters(name) {
        for text in split(given, ',') {
            let parts = split(&text, ':');
            let mut parts = parts.iter();
            let Some(of) = parts.next() else { continue };
            while let Some(operator) = parts.next() {
                let lower = operator.to_lowercase();
                if !OPERATORS.contains(&lower.as_str()) {
                    let words = if is_old(world.version) {
                        format!("'{operator}' is not a valid operator: {given}")
                    } else {
                        format!("{name}={given} is invalid. '{operator}' is not a valid operator.")
                    };
                    return Err(coded(400, &words, "E1003"));
                }
                let alone = ["null", "nnull"].contains(&lower.as_str());
                let operand = if alone { "" } else { parts.next().map_or("", String::as_str) };
                conditions.push(Condition {
                    of: unescaped(of),
                    operator: lower,
                    operand: unescaped(operand),
                });
            }
        }
    }
    Ok(conditions)
}

/// Splits at a character that no `/` stands before.
fn split(text: &str, at: char) -> Vec<String> {
    let (mut parts, mut part, mut escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        if c == at && !escaped {
            parts.push(std::mem::take(&mut part));
            continue;
        }
        part.push(c);
        escaped = c == '/' && !escaped;
    }
    parts.push(part);
    parts
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '/' { chars.next().unwrap_or('/') } else { c });
    }
    plain
}

impl Condition {
    /// Whether a value fits; texts are compared without regard to case.
    pub fn holds(&self, value: Option<&str>) -> bool {
        let (own, wanted) = (value.map(str::to_lowercase), self.operand.to_lowercase());
        let compare = |test: fn(std::cmp::Ordering) -> bool| {
            own.as_deref().is_some_and(|own| {
                let numbers = own.parse::<f64>().ok().zip(wanted.parse::<f64>().ok());
                let order =
                    numbers.map_or_else(|| Some(own.cmp(&wanted)), |(own, other)| own.partial_cmp(&other));
                order.is_some_and(test)
            })
        };
        let text = own.as_deref();
        match self.operator.as_str() {
            "eq" | "ieq" => text == Some(&wanted),
            "ne" | "neq" | "nieq" => text.is_some_and(|own| own != wanted),
            "like" | "ilike" => text.is_some_and(|own| own.contains(&wanted)),
            "nlike" | "nilike" => text.is_some_and(|own| !own.contains(&wanted)),
            "sw" => text.is_some_and(|own| own.starts_with(&wanted)),
            "ew" => text.is_some_and(|own| own.ends_with(&wanted)),
            "in" => wanted.split(';').any(|one| text == Some(one)),
            "null" => text.is_none(),
            "nnull" => text.is_some(),
            "gt" => compare(std::cmp::Ordering::is_gt),
            "ge" => compare(std::cmp::Ordering::is_ge),
            "lt" => compare(std::cmp::Ordering::is_lt),
            _ => compare(std::cmp::Ordering::is_le),
        }
    }
}

/// Whether a moment lies in `NAMEAfter` … `NAMEBefore`.
pub(super) fn between(request: &Request, name: &str, at: Option<jiff::Timestamp>) -> Result<bool, Answer> {
    let after = super::moment(request, &format!("{name}After"))?;
    let before = super::moment(request, &format!("{name}Before"))?;
    // A day that ends a period is meant whole.
    let before = before.map(|end| {
        let whole = request.parameter(&format!("{name}Before")).is_some_and(|text| text.len() == 10);
        if whole { time::after(end, 86_399_999) } else { end }
    });
    Ok(after.is_none_or(|start| at.is_some_and(|at| at >= start))
        && before.is_none_or(|end| at.is_some_and(|at| at <= end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_escapes() {
        assert_eq!(split("a:eq:1/:2,b", ','), ["a:eq:1/:2", "b"]);
        assert_eq!(split("a:eq:1/:2", ':'), ["a", "eq", "1/:2"]);
        assert_eq!(unescaped("1/:2//3"), "1:2/3");
    }

    #[test]
    fn texts_are_compared_without_regard_to_case() {
        let eq = Condition { of: String::new(), operator: "eq".to_owned(), operand: "NID-1".to_owned() };
        assert!(eq.holds(Some("nid-1")) && !eq.holds(Some("nid-2")) && !eq.holds(None));
        let more = Condition { operator: "gt".to_owned(), operand: "9".to_owned(), of: String::new() };
        assert!(more.holds(Some("10")) && !more.holds(Some("8")));
    }
}
