//! `_include` and `_revinclude`. <https://hl7.org/fhir/R4/search.html#revinclude>

use super::nested::named_by_url;
use super::{Context, Include, Search, found, refused, unknown};
use crate::fhir::elements::table;
use crate::fhir::outcome::{Outcome, did_you_mean};
use crate::fhir::parameters::{self, Parameter, SearchType};

const MAX_INCLUDES: usize = 20;

/// `_include=Observation:subject:Patient`, `_include=*`
pub fn forward(
    search: &mut Search,
    (kinds, context): (&[&str], &Context<'_>),
    (name, modifier): (&str, Option<&str>),
    value: &str,
) -> Result<(), Outcome> {
    let iterate = iterates(name, modifier)?;
    let value = if value == "*" { format!("{}:*", search.query.kind) } else { value.to_owned() };
    let include = read((name, context), &value, iterate)?;
    if !iterate && !kinds.contains(&include.source) {
        let text = format!("its source is the type searched, {}", search.query.kind);
        return Err(
            refused(name, "bad-include", &text).hint("use _include:iterate to follow what was included")
        );
    }
    push(&mut search.includes, name, include)
}

/// `_revinclude=Observation:subject`
pub fn reverse(
    search: &mut Search,
    context: &Context<'_>,
    (name, modifier): (&str, Option<&str>),
    value: &str,
) -> Result<(), Outcome> {
    let include = read((name, context), value, iterates(name, modifier)?)?;
    push(&mut search.revincludes, name, include)
}

fn push(list: &mut Vec<Include>, name: &str, include: Include) -> Result<(), Outcome> {
    if list.len() >= MAX_INCLUDES {
        return Err(refused(name, "too-many-values", "at most 20 of them"));
    }
    if !list.contains(&include) {
        list.push(include);
    }
    Ok(())
}

fn iterates(name: &str, modifier: Option<&str>) -> Result<bool, Outcome> {
    match modifier {
        None => Ok(false),
        // STU3's name, which OpenSRP uses.
        Some("iterate" | "recurse") => Ok(true),
        Some(_) => Err(refused(name, "unknown-modifier", "the only modifier is :iterate")),
    }
}

fn read((name, context): (&str, &Context<'_>), value: &str, iterate: bool) -> Result<Include, Outcome> {
    let mut parts = value.split(':');
    let source = parts.next().unwrap_or_default();
    let source = table().kind(source).ok_or_else(|| unknown_kind(name, source))?;
    let code = parts
        .next()
        .ok_or_else(|| refused(name, "bad-include", "written Type:parameter or Type:parameter:Target"))?;
    let target = match parts.next() {
        None | Some("") => None,
        Some(target) => Some(table().kind(target).ok_or_else(|| unknown_kind(name, target))?),
    };
    let followed = followed((name, context), source, code)?;
    let mut named: Vec<&'static str> = followed.iter().flat_map(|one| named_by_url(one)).collect();
    named.sort_unstable();
    named.dedup();
    let parameters = followed.iter().map(|one| one.key).collect();
    Ok(Include { source, parameters, named, target, iterate })
}

fn followed<'a>(
    (name, context): (&str, &Context<'a>),
    source: &str,
    code: &str,
) -> Result<Vec<&'a Parameter>, Outcome> {
    let own = || context.custom.kind(source).iter().map(|own| &own.parameter);
    let all = || parameters::of(source).iter().chain(own());
    let references = || all().filter(|parameter| parameter.search_type == SearchType::Reference);
    if code == "*" {
        return Ok(references().collect());
    }
    match found(context, name, source, code)? {
        Some(one) if one.search_type == SearchType::Reference => Ok(vec![one]),
        Some(_) => {
            let codes: Vec<&str> = references().map(|parameter| parameter.code).collect();
            let hint = format!("references of {source}: {}", codes.join(", "));
            Err(refused(name, "bad-include", "only reference parameters can be followed").hint(hint))
        }
        None => Err(unknown(context, source, name, code)),
    }
}

fn unknown_kind(name: &str, kind: &str) -> Outcome {
    let outcome = refused(name, "unknown-type", "R4 has no resource type of this name");
    match did_you_mean(kind, table().kinds().iter().copied()) {
        Some(close) => outcome.hint(format!("did you mean {close}?")),
        None => outcome,
    }
}
