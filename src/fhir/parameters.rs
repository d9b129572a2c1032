//! The search parameters of R4, with their FHIRPath compiled to steps.
//!
//! Generated from the official definitions by `tools/r4-tables.py` (the format is described there),
//! embedded, and parsed once. A parameter whose expression the steps cannot say is in
//! `tables/unsupported.txt` and exists nowhere else: it is neither indexed, nor searched, nor advertised.

// Those of a tenant's own.
pub mod custom;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::fhir::elements;
use crate::fhir::index::ParameterKey;
use crate::fhir::path;

static TABLE: LazyLock<HashMap<&'static str, Vec<Parameter>>> = LazyLock::new(read_all);

/// The parameters of a resource type, those of every resource (`_tag` …) included; by code.
pub fn of(kind: &str) -> &'static [Parameter] {
    TABLE.get(kind).map_or(&[], Vec::as_slice)
}

/// One parameter of a resource type.
pub fn find(kind: &str, code: &str) -> Option<&'static Parameter> {
    let all = of(kind);
    all.binary_search_by(|parameter| parameter.code.cmp(code)).ok().and_then(|at| all.get(at))
}

/// Whether R4 has the parameter for this type and this server has not.
pub fn is_unsupported(kind: &str, code: &str) -> bool {
    unsupported().iter().any(|known| known.split_once('.') == Some((kind, code)))
}

/// The official parameters that are not supported, as `Type.code`.
pub fn unsupported() -> Vec<&'static str> {
    include_str!("tables/unsupported.txt").lines().collect()
}

/// <https://hl7.org/fhir/R4/search.html#ptypes>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchType {
    Token,
    Text,
    Date,
    Number,
    Quantity,
    Reference,
    Uri,
    Composite,
    /// `Location.near`.
    Special,
}

impl SearchType {
    /// R4's code: `token`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Text => "string",
            Self::Date => "date",
            Self::Number => "number",
            Self::Quantity => "quantity",
            Self::Reference => "reference",
            Self::Uri => "uri",
            Self::Composite => "composite",
            Self::Special => "special",
        }
    }

    /// The type of R4's code.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "token" => Self::Token,
            "string" => Self::Text,
            "date" => Self::Date,
            "number" => Self::Number,
            "quantity" => Self::Quantity,
            "reference" => Self::Reference,
            "uri" => Self::Uri,
            "composite" => Self::Composite,
            "special" => Self::Special,
            _ => return None,
        })
    }
}

/// A search parameter of one resource type.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub kind: &'static str,
    pub code: &'static str,
    pub search_type: SearchType,
    /// What a reference may point at; empty for other types, and where any type may be meant.
    pub targets: Vec<&'static str>,
    pub program: Program,
    pub key: ParameterKey,
}

/// How values are found in a resource.
#[derive(Debug, Clone)]
pub enum Program {
    Paths(Vec<Path>),
    /// True where one of the keys exists and is not `false` (`Patient.deceased`).
    Exists(Vec<&'static str>),
    Composite(Vec<Pair>),
    /// FHIRPath, of a tenant's own parameter.
    Expression(Expression),
}

/// A compiled FHIRPath expression.
#[derive(Clone)]
pub struct Expression(pub Arc<dyn path::Program>);

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.text()).finish()
    }
}

/// Steps from the resource to values of one R4 type.
#[derive(Debug, Clone)]
pub struct Path {
    pub steps: Vec<Step>,
    /// The R4 type that is found there.
    pub kind: &'static str,
}

/// One JSON key; arrays are flattened, then filtered.
#[derive(Debug, Clone)]
pub struct Step {
    pub key: &'static str,
    pub filters: Vec<Filter>,
}

#[derive(Debug, Clone)]
pub enum Filter {
    /// `where(system='phone')`
    Equal(&'static str, &'static str),
    /// `entry[0]`
    Nth(usize),
    /// `where(resolve() is Patient)`: told from the reference's own text.
    Names(&'static str),
}

/// A composite: from each place, one value of each half.
#[derive(Debug, Clone)]
pub struct Pair {
    pub place: Vec<Step>,
    pub first: Half,
    pub second: Half,
}

/// One half of a composite, relative to its place.
#[derive(Debug, Clone)]
pub struct Half {
    pub search_type: SearchType,
    pub paths: Vec<Path>,
}

fn read_all() -> HashMap<&'static str, Vec<Parameter>> {
    let mut written: HashMap<&'static str, Vec<&'static str>> = HashMap::new();
    let mut base = "";
    for line in include_str!("tables/parameters.txt").lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("= ") {
            Some(name) => base = name,
            None => written.entry(base).or_default().push(line),
        }
    }
    let everywhere = written.get("Resource").cloned().unwrap_or_default();
    let read_kind = |kind: &&'static str| {
        let own = written.get(kind).into_iter().flatten();
        let mut all: Vec<Parameter> =
            everywhere.iter().chain(own).filter_map(|line| read_parameter(kind, line)).collect();
        all.sort_by_key(|parameter| parameter.code);
        (*kind, all)
    };
    elements::table().kinds().iter().map(read_kind).collect()
}

fn read_parameter(kind: &'static str, line: &'static str) -> Option<Parameter> {
    let mut words = line.splitn(4, ' ');
    let code = words.next()?;
    let search_type = SearchType::named(words.next()?)?;
    let targets = match words.next()? {
        "-" | "*" => Vec::new(),
        targets => targets.split(',').collect(),
    };
    let program = read_program(words.next()?)?;
    Some(Parameter { kind, code, search_type, targets, program, key: ParameterKey::new(kind, code) })
}

fn read_program(text: &'static str) -> Option<Program> {
    if let Some(keys) = text.strip_prefix('!') {
        let (keys, _) = keys.split_once(':')?;
        return Some(Program::Exists(keys.split(',').collect()));
    }
    if text.contains('{') {
        return Some(Program::Composite(text.split('&').map(read_pair).collect::<Option<_>>()?));
    }
    Some(Program::Paths(read_paths(text)?))
}

fn read_pair(text: &'static str) -> Option<Pair> {
    let (place, halves) = text.strip_suffix('}')?.split_once('{')?;
    let (first, second) = halves.split_once(';')?;
    Some(Pair { place: read_steps(place)?, first: read_half(first)?, second: read_half(second)? })
}

fn read_half(text: &'static str) -> Option<Half> {
    let (search_type, paths) = text.split_once('~')?;
    Some(Half { search_type: SearchType::named(search_type)?, paths: read_paths(paths)? })
}

fn read_paths(text: &'static str) -> Option<Vec<Path>> {
    text.split('|').map(read_path).collect()
}

fn read_path(text: &'static str) -> Option<Path> {
    let (steps, kind) = text.rsplit_once(':')?;
    Some(Path { steps: read_steps(steps)?, kind })
}

fn read_steps(text: &'static str) -> Option<Vec<Step>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    // A dot inside brackets belongs to a url.
    let mut depth = 0usize;
    let parts = text.split(move |c| {
        depth = match c {
            '[' => depth + 1,
            ']' => depth.saturating_sub(1),
            _ => depth,
        };
        c == '.' && depth == 0
    });
    parts.map(read_step).collect()
}

fn read_step(text: &'static str) -> Option<Step> {
    let mut parts = text.split('[');
    let key = parts.next()?;
    let filters = parts.map(|part| read_filter(part.strip_suffix(']')?)).collect::<Option<_>>()?;
    Some(Step { key, filters })
}

fn read_filter(text: &'static str) -> Option<Filter> {
    if let Some(kind) = text.strip_prefix('>') {
        return Some(Filter::Names(kind));
    }
    match text.split_once('=') {
        Some((key, value)) => Some(Filter::Equal(key, value)),
        None => text.parse().ok().map(Filter::Nth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line of the table is read; nothing is silently dropped.
    #[test]
    fn all_of_r4_is_in_the_table_or_in_the_list_of_what_is_not() {
        let text = include_str!("tables/parameters.txt");
        let everywhere = of("Basic").iter().filter(|p| p.code.starts_with('_')).count();
        let lines = text.lines().filter(|line| !line.starts_with(['=', '#'])).count();
        let read: usize = elements::table().kinds().iter().map(|kind| of(kind).len() - everywhere).sum();
        assert_eq!(read + everywhere, lines);
        assert_eq!(lines + unsupported().len(), 1_706);
    }

    #[test]
    fn what_is_not_supported_is_known_by_name() {
        assert_eq!(
            unsupported(),
            [
                "DomainResource._text",
                "MolecularSequence.chromosome-variant-coordinate",
                "MolecularSequence.chromosome-window-coordinate",
                "MolecularSequence.referenceseqid-variant-coordinate",
                "MolecularSequence.referenceseqid-window-coordinate",
                "Resource._content",
                "Resource._query",
            ]
        );
    }

    #[test]
    fn programs_are_read() {
        let phone = find("Patient", "phone").unwrap();
        let Program::Paths(paths) = &phone.program else { panic!("{phone:?}") };
        assert!(matches!(paths[0].steps[0].filters[..], [Filter::Equal("system", "phone")]));
        assert!(matches!(find("Patient", "deceased").unwrap().program, Program::Exists(_)));
        assert!(matches!(find("Observation", "code-value-quantity").unwrap().program, Program::Composite(_)));
        assert_eq!(find("Observation", "patient").unwrap().targets, ["Patient"]);
    }
}
