//! `:in`, `:not-in`, `:below` and `:above` of a token: which value set, or which branch of a code system, is meant.
//! <https://hl7.org/fhir/R4/search.html#token>

use super::refused;
use super::value::{Asked, only_primitives, split, unescape};
use crate::fhir::outcome::Outcome;
use crate::fhir::parameters::SearchType;
use crate::fhir::query::{Concepts, Held, Named, Way};
use crate::fhir::reference;

/// The modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    In,
    NotIn,
    Branch(Way),
}

impl Kind {
    /// `None`: the values are codes, as without a modifier.
    pub(super) fn of(asked: &Asked<'_>) -> Option<Self> {
        if asked.parameter.search_type != SearchType::Token {
            return None;
        }
        match asked.modifier? {
            "in" => Some(Self::In),
            "not-in" => Some(Self::NotIn),
            "below" => Some(Self::Branch(Way::Below)),
            "above" => Some(Self::Branch(Way::Above)),
            _ => None,
        }
    }
}

/// What all values of a parameter name.
pub(super) fn read(asked: &Asked<'_>, kind: Kind, values: &[String]) -> Result<Concepts, Outcome> {
    let mut named: Vec<Named> = Vec::with_capacity(values.len());
    for value in values {
        let one = match kind {
            Kind::In | Kind::NotIn => set(asked, &unescape(value))?,
            Kind::Branch(way) => branch(asked, value, way)?,
        };
        if !named.contains(&one) {
            named.push(one);
        }
    }
    if named.is_empty() {
        return Err(refused(asked.name, "no-value", "a value is missing"));
    }
    let held = if only_primitives(&asked.parameter.program) { Held::Codes } else { Held::Codings };
    Ok(Concepts { parameter: asked.name.to_owned(), named, held, codes: None })
}

/// A canonical, or `ValueSet/id`.
fn set(asked: &Asked<'_>, text: &str) -> Result<Named, Outcome> {
    // An address of this server is looked for as a canonical first.
    if text.contains(':') {
        return Ok(Named::Set(text.to_owned()));
    }
    match reference::local(text, asked.context.base) {
        Some(("ValueSet", id, None)) => Ok(Named::SetId(id.to_owned())),
        _ => Err(refused(asked.name, "bad-value-set", "this names no value set")
            .hint("written as its canonical url, url|version, or ValueSet/ID")),
    }
}

fn branch(asked: &Asked<'_>, text: &str, way: Way) -> Result<Named, Outcome> {
    match split(text, '|').as_slice() {
        [system, code] if !system.is_empty() && !code.is_empty() => {
            Ok(Named::Branch { system: unescape(system), code: unescape(code), way })
        }
        _ => {
            Err(refused(asked.name, "bad-token", "written system|code: a hierarchy is that of a code system"))
        }
    }
}
