//! Searches, parsed: what the store turns into SQL. Built by `fhir::search` from a query string.
//!
//! Shared by `fhir` (which builds it) and `store` (which runs it); **never** holds text of SQL.

// Tokens by value sets and hierarchies.
mod concepts;

use std::collections::BTreeSet;

use crate::fhir::index::ParameterKey;
use crate::fhir::index::position::Around;

pub use concepts::{Codes, Concepts, Held, Named};

/// A search on one resource type or document kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    pub kind: String,
    /// All must hold.
    pub filters: Vec<Filter>,
    pub sort: Vec<Sort>,
}

/// Any of `any` must hold; `not` turns it round.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    pub parameter: Parameter,
    pub any: Vec<Match>,
    pub not: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// `_id`
    Id,
    /// `_lastUpdated`, in milliseconds.
    LastUpdated,
    Indexed(ParameterKey),
    /// A value of any of them: a compartment.
    Any(Vec<ParameterKey>),
}

impl Parameter {
    /// Those of the index; none of what the resource itself holds.
    pub fn keys(&self) -> &[ParameterKey] {
        match self {
            Self::Id | Self::LastUpdated => &[],
            Self::Indexed(key) => std::slice::from_ref(key),
            Self::Any(keys) => keys,
        }
    }
}

/// One value of a parameter. Which one fits is decided by the parameter's search type.
#[derive(Debug, Clone, PartialEq)]
pub enum Match {
    Id(String),
    /// `None`: any system; `Some("")`: no system. The same of the code: `system|`.
    Token {
        system: Option<String>,
        code: Option<String>,
    },
    /// A token that a value set lists, or a branch of a code system.
    Concepts(Concepts),
    /// `:text`
    TokenText(String),
    /// Normalised, unless exact.
    TextStarts(String),
    TextContains(String),
    TextExact(String),
    /// `[low, high)` of the searched value against the stored range, in milliseconds.
    Date {
        prefix: Prefix,
        low: i64,
        high: i64,
    },
    Number {
        prefix: Prefix,
        low: f64,
        high: f64,
    },
    /// `near`, on the parameter that holds the places' `z`; `axes` hold `x` and `y`.
    Near {
        around: Around,
        axes: [ParameterKey; 2],
    },
    Quantity {
        prefix: Prefix,
        low: f64,
        high: f64,
        system: Option<String>,
        code: Option<String>,
    },
    /// `kind` is empty where any type fits.
    Reference {
        kind: String,
        id: String,
    },
    /// An absolute url, urn or canonical; `url|version` is that version of a canonical only.
    ReferenceUrl(String),
    /// `:identifier`, as `system|value`.
    ReferenceIdentifier(String),
    /// `:below`, `:above`: this resource, or one that is below or above it by the parameter `by`, which leads from
    /// `kind` to `kind`.
    ReferenceBranch {
        kind: String,
        id: String,
        way: Way,
        by: ParameterKey,
    },
    Uri(String),
    /// This uri, or one whose path goes on from it. Without a slash at the end.
    UriBelow(String),
    /// Both halves must hold on one row.
    Composite {
        first: PartMatch,
        second: PartMatch,
    },
    /// A link of a chain: refers to a resource of `kind` for which `filter` holds.
    /// <https://hl7.org/fhir/R4/search.html#chaining>
    Chained {
        kind: String,
        via: Via,
        filter: Box<Filter>,
    },
    /// `_has`, on [`Parameter::Id`]: a resource of `kind` refers to this one, which is a `target`, by the
    /// parameter `by`, and `filter` holds for it. <https://hl7.org/fhir/R4/search.html#has>
    Referring {
        kind: String,
        by: ParameterKey,
        target: String,
        filter: Box<Filter>,
    },
    /// `:missing`: whether the parameter has no row at all in the index of `by`.
    Missing {
        missing: bool,
        by: SortBy,
    },
}

/// From a resource of a hierarchy to those that are part of it, or to those that it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    Below,
    Above,
}

/// How a reference names what it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By type and id.
    Id,
    /// By a canonical url, which the other has in this parameter.
    Url(ParameterKey),
}

impl Query {
    /// The types that are looked at: the one that is searched, and those of chains and `_has`.
    pub fn kinds(&self) -> BTreeSet<&str> {
        let mut kinds = BTreeSet::from([self.kind.as_str()]);
        self.filters.iter().for_each(|filter| filter.add_kinds(&mut kinds));
        kinds
    }

    /// Takes out of chains with several possible types those that `may` does not allow, and gives how many.
    ///
    /// # Errors
    /// The name of a type that is not allowed, where nothing of a chain is left.
    pub fn narrow(&mut self, may: &dyn Fn(&str) -> bool) -> Result<usize, String> {
        self.filters.iter_mut().try_fold(0, |left_out, filter| Ok(left_out + filter.narrow(may)?))
    }

    /// Whether it may cost much: many values, or other resources.
    pub fn is_heavy(&self) -> bool {
        self.is_nested() || self.filters.iter().map(Filter::cost).sum::<usize>() > HEAVY
    }

    /// Whether other resources decide about a match, or more than one parameter.
    pub fn is_nested(&self) -> bool {
        let looks_on = |one: &Match| {
            one.inner().is_some()
                || matches!(one, Match::ReferenceBranch { .. } | Match::Concepts(_) | Match::Near { .. })
        };
        self.filters.iter().flat_map(|filter| &filter.any).any(looks_on)
    }
}

impl Filter {
    /// What its values cost to compare, those of chains and `_has` included: one for each, [`ONE_BY_ONE`] for those that
    /// are no list.
    pub fn cost(&self) -> usize {
        self.any.iter().map(|one| one.inner().map_or_else(|| one.cost(), |(_, filter)| filter.cost())).sum()
    }

    /// Whether other resources are asked for, by a chain or `_has`.
    pub fn is_nested(&self) -> bool {
        self.any.iter().any(|one| one.inner().is_some())
    }

    fn add_kinds<'a>(&'a self, kinds: &mut BTreeSet<&'a str>) {
        for (kind, inner) in self.any.iter().filter_map(Match::inner) {
            kinds.insert(kind);
            inner.add_kinds(kinds);
        }
    }

    fn narrow(&mut self, may: &dyn Fn(&str) -> bool) -> Result<usize, String> {
        let (mut kept, mut left_out, mut denied) = (Vec::with_capacity(self.any.len()), 0, None);
        for mut one in std::mem::take(&mut self.any) {
            let allowed =
                match &mut one {
                    Match::Chained { kind, filter, .. } | Match::Referring { kind, filter, .. } => {
                        if may(kind) { filter.narrow(may) } else { Err(kind.clone()) }
                    }
                    _ => Ok(0),
                };
            match allowed {
                Ok(within) => {
                    left_out += within;
                    kept.push(one);
                }
                Err(kind) => {
                    left_out += 1;
                    denied = Some(kind);
                }
            }
        }
        self.any = kept;
        match denied {
            Some(kind) if self.any.is_empty() => Err(kind),
            _ => Ok(left_out),
        }
    }
}

/// A search that compares more is [heavy](Query::is_heavy).
const HEAVY: usize = 100;
/// What a value costs that is compared for itself, where one of a list costs 1.
pub const ONE_BY_ONE: usize = 20;

impl Match {
    fn cost(&self) -> usize {
        match self {
            Self::Date { .. }
            | Self::Number { .. }
            | Self::Quantity { .. }
            | Self::TextContains(_)
            | Self::UriBelow(_)
            | Self::ReferenceBranch { .. }
            | Self::Near { .. }
            | Self::Composite { .. } => ONE_BY_ONE,
            _ => 1,
        }
    }

    /// What must hold for another resource, and its type.
    fn inner(&self) -> Option<(&str, &Filter)> {
        match self {
            Self::Chained { kind, filter, .. } | Self::Referring { kind, filter, .. } => Some((kind, filter)),
            _ => None,
        }
    }
}

/// What is wanted of one half of a composite row (`fhir::index::Part`). `None` is not asked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartMatch {
    pub system: Option<String>,
    pub code: Option<String>,
    /// The text is a prefix of the code (strings only).
    pub code_starts: Option<String>,
    /// Compared as [`Match::Number`] is, of dates too (milliseconds, both ends inclusive).
    pub range: Option<(Prefix, f64, f64)>,
}

/// How a range in a [`Match`] (`low`, `high`) compares with the range of a row.
/// <https://hl7.org/fhir/R4/search.html#prefix>
///
/// | prefix | numbers: `[low, high]` both inclusive | dates: `[low, high)` |
/// |---|---|---|
/// | `Eq` | row.low >= low and row.high <= high | the same |
/// | `Ne` | not `Eq` | the same |
/// | `Gt` | row.high > high | row.high > high |
/// | `Lt` | row.low < low | row.low < low |
/// | `Ge` | row.high >= low | row.high > high or row.low >= low |
/// | `Le` | row.low <= high | row.low < low or row.high <= high |
/// | `Sa` | row.low > high | row.low >= high |
/// | `Eb` | row.high < low | row.high <= low |
/// | `Ap` | row.low <= high and row.high >= low | row.low < high and row.high > low |
///
/// For numbers, `Eq`, `Ne` and `Ap` carry the implicit range (of the precision, or 10 %); the others the
/// number itself twice. A row of `_lastUpdated` is `[ms, ms + 1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sort {
    pub parameter: Parameter,
    /// Which column of the index orders it.
    pub by: SortBy,
    pub descending: bool,
}

/// An index, by search type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    Id,
    LastUpdated,
    Token,
    Text,
    Date,
    Number,
    Quantity,
    Reference,
    Uri,
}
