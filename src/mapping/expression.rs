//! VALUE and COND, compiled: what stands between a path in a mapping file and a value in an output.
//!
//! The set is closed: every source and every step is listed here, evaluation cannot loop, and depth is
//! bounded by the file's.

use std::sync::Arc;

use regex::Regex;
use rust_decimal::Decimal;
use serde_json::Value;

use super::diagnostic::Place;
use super::path::Path;
use super::table::Table;

/// A VALUE.
#[derive(Debug, Clone)]
pub struct Expression {
    pub place: Place,
    pub source: Source,
    /// In the order of the language's table, whatever the order in the file.
    pub steps: Vec<Step>,
    /// Instead of what `map` or `lookup` did not match.
    pub otherwise: Option<Box<Expression>>,
    /// Step 12.
    pub default: Option<Box<Expression>>,
    /// Step 12: absent though required, the evaluation is held.
    pub required: bool,
}

/// Where a VALUE begins.
#[derive(Debug, Clone)]
pub enum Source {
    /// The first that finds something.
    Path(Vec<Path>),
    Constant(Value),
    List(Vec<Expression>),
    Template(Template),
    /// The remote id of a resource at the destination, resolved on sending.
    Link(Path),
    Pseudonym(Path),
    Age(Box<Age>),
}

/// Text with paths in braces; `{{` and `}}` are braces.
#[derive(Debug, Clone)]
pub struct Template {
    pub parts: Vec<Piece>,
    pub escape: Escape,
}

#[derive(Debug, Clone)]
pub enum Piece {
    Text(String),
    Path(Path),
}

/// How what a path found is written into a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    None,
    /// As a value in a FHIR search: `\`-escaped, then percent-encoded.
    Search,
}

#[derive(Debug, Clone)]
pub struct Age {
    pub from: Expression,
    pub at: Expression,
    pub unit: AgeUnit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgeUnit {
    Years,
    Months,
    Weeks,
    Days,
}

/// One step and where it stands.
#[derive(Debug, Clone)]
pub struct Step {
    pub place: Place,
    pub operation: Operation,
}

/// Steps 1 to 11.
#[derive(Debug, Clone)]
pub enum Operation {
    When(Condition),
    Split(String),
    Reduce(Reduce),
    Match(Regex),
    Type(Type),
    Unit {
        from: String,
        to: String,
    },
    Times(Decimal),
    Plus(jiff::Span),
    /// Lower bounds, ascending.
    Bands(Vec<(Decimal, Value)>),
    /// Lower-case spelling and what it means.
    Synonyms(Vec<(String, Value)>),
    Map(Vec<(String, Value)>),
    Lookup {
        table: Arc<Table>,
        key: usize,
        take: usize,
    },
    Write(String),
}

impl Operation {
    /// The key in the mapping file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::When(_) => "when",
            Self::Split(_) => "split",
            Self::Reduce(reduce) => reduce.name(),
            Self::Match(_) => "match",
            Self::Type(_) => "type",
            Self::Unit { .. } => "unit",
            Self::Times(_) => "times",
            Self::Plus(_) => "plus",
            Self::Bands(_) => "bands",
            Self::Synonyms(_) => "synonyms",
            Self::Map(_) => "map",
            Self::Lookup { .. } => "lookup",
            Self::Write(_) => "write",
        }
    }
}

/// Several values become one.
#[derive(Debug, Clone, PartialEq)]
pub enum Reduce {
    At(i64),
    First,
    Last,
    Count,
    Sum,
    Min,
    Max,
    Join(String),
}

impl Reduce {
    pub fn name(&self) -> &'static str {
        match self {
            Self::At(_) => "at",
            Self::First => "first",
            Self::Last => "last",
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Join(_) => "join",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    Text,
    Integer,
    Number,
    Boolean,
    /// With a strptime format, or FHIR's.
    Date(Option<String>),
    DateTime(Option<String>),
    /// To E.164; the country of numbers without a country code, ISO 3166-1 alpha-2.
    Phone(Option<String>),
}

impl Type {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date(_) => "date",
            Self::DateTime(_) => "dateTime",
            Self::Phone(_) => "phone",
        }
    }
}

/// A COND.
#[derive(Debug, Clone)]
pub struct Condition {
    pub place: Place,
    pub test: Test,
}

#[derive(Debug, Clone)]
pub enum Test {
    /// Written in the file.
    Always(bool),
    /// Finds something other than null and false.
    Exists(Path),
    /// A VALUE that is something other than false and passes every comparison.
    Value {
        value: Box<Expression>,
        comparisons: Vec<Comparison>,
    },
    All(Vec<Condition>),
    Any(Vec<Condition>),
    None(Vec<Condition>),
}

#[derive(Debug, Clone)]
pub struct Comparison {
    pub place: Place,
    pub operator: Operator,
}

#[derive(Debug, Clone)]
pub enum Operator {
    Is(Expression),
    In(Vec<Expression>),
    Above(Expression),
    AtLeast(Expression),
    Below(Expression),
    AtMost(Expression),
    Matches(Regex),
}

impl Operator {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Is(_) => "is",
            Self::In(_) => "in",
            Self::Above(_) => "above",
            Self::AtLeast(_) => "atLeast",
            Self::Below(_) => "below",
            Self::AtMost(_) => "atMost",
            Self::Matches(_) => "matches",
        }
    }
}
