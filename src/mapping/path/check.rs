//! What is refused in a JSONPath although jsonpath-rust accepts it: what it evaluates wrongly, what RFC
//! 9535 calls invalid, and what could cost without bound.

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment, Selector, SingularQuery,
    Test, TestFunction,
};

use super::Refusal;

/// Most `..` in one path: each multiplies the work by the size of the document.
const MAX_DESCENDANTS: usize = 1;
const MAX_WILDCARDS: usize = 4;

pub(super) fn check(query: &JpQuery) -> Result<(), Refusal> {
    let descendants = query.segments.iter().filter(|one| matches!(one, Segment::Descendant(_))).count();
    if descendants > MAX_DESCENDANTS {
        return Err(Refusal::new("a path may hold `..` once"));
    }
    if query.segments.iter().filter(|segment| is_wide(segment)).count() > MAX_WILDCARDS {
        return Err(Refusal::new(format!("a path may fan out (`*`, slices, filters) {MAX_WILDCARDS} times")));
    }
    segments(&query.segments, Depth::Outside)
}

fn is_wide(segment: &Segment) -> bool {
    match segment {
        Segment::Descendant(_) => true,
        Segment::Selector(selector) => !matches!(selector, Selector::Name(_) | Selector::Index(_)),
        Segment::Selectors(_) => true,
    }
}

/// Whether we are within a filter: filters in filters are evaluated wrongly.
#[derive(Clone, Copy, PartialEq)]
enum Depth {
    Outside,
    InFilter,
}

fn segments(all: &[Segment], depth: Depth) -> Result<(), Refusal> {
    all.iter().try_for_each(|one| segment(one, depth))
}

fn segment(one: &Segment, depth: Depth) -> Result<(), Refusal> {
    match one {
        Segment::Descendant(inner) => {
            if depth == Depth::InFilter {
                return Err(Refusal::new("`..` within a filter is not supported"));
            }
            if matches!(inner.as_ref(), Segment::Selectors(_)) {
                return Err(Refusal::new("several selectors after `..` are not supported")
                    .hint("their order is not what RFC 9535 says; write `path: [P, P]` instead"));
            }
            segment(inner, depth)
        }
        Segment::Selector(selector) => self::selector(selector, depth),
        Segment::Selectors(all) => all.iter().try_for_each(|one| selector(one, depth)),
    }
}

fn selector(one: &Selector, depth: Depth) -> Result<(), Refusal> {
    match one {
        Selector::Filter(_) if depth == Depth::InFilter => {
            Err(Refusal::new("a filter within a filter is not supported")
                .hint("use `each`, or look the inner value up by a path of its own"))
        }
        Selector::Filter(inner) => filter(inner),
        _ => Ok(()),
    }
}

fn filter(one: &Filter) -> Result<(), Refusal> {
    match one {
        Filter::Or(all) | Filter::And(all) => all.iter().try_for_each(filter),
        Filter::Atom(FilterAtom::Filter { expr, .. }) => filter(expr),
        Filter::Atom(FilterAtom::Test { expr, .. }) => test(expr),
        Filter::Atom(FilterAtom::Comparison(comparison)) => compare(comparison),
    }
}

/// RFC 9535 section 2.4.3: only a function of LogicalType, or a query, may stand alone.
fn test(one: &Test) -> Result<(), Refusal> {
    match one {
        Test::RelQuery(all) => segments(all, Depth::InFilter),
        Test::AbsQuery(query) => segments(&query.segments, Depth::InFilter),
        Test::Function(function) => match function.as_ref() {
            TestFunction::Match(..) | TestFunction::Search(..) => self::function(function),
            other => Err(Refusal::new(format!("`{other}` is a value: compare it with something"))),
        },
    }
}

fn compare(one: &Comparison) -> Result<(), Refusal> {
    let (left, right) = one.vals();
    for side in [left, right] {
        if let Comparable::Function(inner) = side {
            if matches!(inner, TestFunction::Match(..) | TestFunction::Search(..)) {
                return Err(Refusal::new(format!("`{inner}` is true or false: it cannot be compared")));
            }
            function(inner)?;
        }
    }
    Ok(())
}

fn function(one: &TestFunction) -> Result<(), Refusal> {
    match one {
        TestFunction::Custom(name, _) => Err(Refusal::new(format!("there is no function `{name}`"))
            .hint("there are: length, count, match, search, value")),
        TestFunction::Length(arg) => value_argument(arg, one),
        TestFunction::Count(arg) | TestFunction::Value(arg) => nodes_argument(arg, one),
        TestFunction::Match(text, pattern) | TestFunction::Search(text, pattern) => {
            value_argument(text, one)?;
            pattern_argument(pattern)
        }
    }
}

/// RFC 9535 section 2.4.1, ValueType: a literal, a singular query, or a function that gives a value.
fn value_argument(arg: &FnArg, within: &TestFunction) -> Result<(), Refusal> {
    match arg {
        FnArg::Literal(_) => Ok(()),
        FnArg::Filter(_) => Err(wrong_argument(within)),
        FnArg::Test(inner) => match inner.as_ref() {
            Test::RelQuery(all) if singular(all) => Ok(()),
            Test::AbsQuery(query) if singular(&query.segments) => Ok(()),
            Test::Function(inner)
                if !matches!(inner.as_ref(), TestFunction::Match(..) | TestFunction::Search(..)) =>
            {
                function(inner)
            }
            _ => Err(wrong_argument(within)),
        },
    }
}

fn nodes_argument(arg: &FnArg, within: &TestFunction) -> Result<(), Refusal> {
    match arg {
        FnArg::Test(inner) => match inner.as_ref() {
            Test::RelQuery(all) => segments(all, Depth::InFilter),
            Test::AbsQuery(query) => segments(&query.segments, Depth::InFilter),
            Test::Function(_) => Err(wrong_argument(within)),
        },
        _ => Err(wrong_argument(within)),
    }
}

/// A pattern from the data would be compiled once for every node.
fn pattern_argument(arg: &FnArg) -> Result<(), Refusal> {
    let FnArg::Literal(Literal::String(pattern)) = arg else {
        return Err(Refusal::new("the pattern of `match` and `search` must be text in quotes"));
    };
    super::super::steps::pattern(pattern).map(|_| ()).map_err(Refusal::new)
}

fn wrong_argument(within: &TestFunction) -> Refusal {
    Refusal::new(format!("`{within}` has an argument of the wrong kind (RFC 9535 section 2.4.3)"))
}

fn singular(all: &[Segment]) -> bool {
    all.iter().all(|one| matches!(one, Segment::Selector(Selector::Name(_) | Selector::Index(_))))
}

/// Whether a filter looks at `$`.
pub(super) fn looks_back(query: &JpQuery) -> bool {
    query.segments.iter().any(in_segment)
}

fn in_segment(one: &Segment) -> bool {
    match one {
        Segment::Descendant(inner) => in_segment(inner),
        Segment::Selector(one) => in_selector(one),
        Segment::Selectors(all) => all.iter().any(in_selector),
    }
}

fn in_selector(one: &Selector) -> bool {
    matches!(one, Selector::Filter(inner) if in_filter(inner))
}

fn in_filter(one: &Filter) -> bool {
    match one {
        Filter::Or(all) | Filter::And(all) => all.iter().any(in_filter),
        Filter::Atom(FilterAtom::Filter { expr, .. }) => in_filter(expr),
        Filter::Atom(FilterAtom::Test { expr, .. }) => in_test(expr),
        Filter::Atom(FilterAtom::Comparison(comparison)) => {
            let (left, right) = comparison.vals();
            [left, right].into_iter().any(|side| match side {
                Comparable::SingularQuery(SingularQuery::Root(_)) => true,
                Comparable::Function(inner) => in_function(inner),
                _ => false,
            })
        }
    }
}

fn in_test(one: &Test) -> bool {
    match one {
        Test::RelQuery(_) => false,
        Test::AbsQuery(_) => true,
        Test::Function(inner) => in_function(inner),
    }
}

fn in_function(one: &TestFunction) -> bool {
    let arguments: Vec<&FnArg> = match one {
        TestFunction::Length(arg) => vec![arg],
        TestFunction::Value(arg) | TestFunction::Count(arg) => vec![arg],
        TestFunction::Search(a, b) | TestFunction::Match(a, b) => vec![a, b],
        TestFunction::Custom(_, all) => all.iter().collect(),
    };
    arguments.into_iter().any(|arg| matches!(arg, FnArg::Test(inner) if in_test(inner)))
}
