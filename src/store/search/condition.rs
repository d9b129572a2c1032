//! Filters as conditions on `resource r`.
//!
//! The filter that leads ([`lead`]) becomes `r.rid in (select … from its index table)`, the others `exists (…)`; one
//! that is turned round `not exists (…)`, so that a resource without a value is found by `:not`.

// Codes that a value set lists.
mod concepts;
mod hierarchy;
// Many values of one kind.
mod listed;
// Which filter gives the candidates.
pub(super) mod lead;
// Places.
mod near;
mod nested;

use super::sql::Sql;
use crate::fhir::index::ParameterKey;
use crate::fhir::query::{Filter, Match, Parameter, PartMatch, Prefix, SortBy};
use crate::store::db::{Argument, Engine};
use crate::store::index::{pair_key, single_key, words};
use lead::Role;
use listed::List;

/// The stored range of dates, numbers and quantities.
const RANGE: (&str, &str) = ("x.low", "x.high");
/// Sorts after every text that begins with what precedes it.
const LAST_CHARACTER: char = '\u{10ffff}';

/// Writes ` and (…)`.
pub(super) fn filter(sql: &mut Sql, filter: &Filter, role: Role) {
    sql.push(" and ");
    match filter.parameter {
        Parameter::Id => {
            let role = if filter.not { Role::Follows } else { role };
            on_resource(sql, (filter, role), &|sql, value| id(sql, value, role));
        }
        Parameter::LastUpdated => on_resource(sql, (filter, role), &last_updated),
        Parameter::Indexed(_) | Parameter::Any(_) => indexed(sql, filter, role),
    }
}

fn on_resource(sql: &mut Sql, (filter, role): (&Filter, Role), one: &dyn Fn(&mut Sql, &Match)) {
    if filter.not {
        sql.push("not ");
    }
    if !listed::ids(sql, &filter.any, role) {
        sql.any_of(&filter.any, one);
    }
}

fn id(sql: &mut Sql, value: &Match, role: Role) {
    match value {
        Match::Id(id) => sql.compare("r.id =", id.as_str()),
        Match::Missing { missing, .. } => sql.push(truth(!missing)),
        Match::Referring { kind, by, target, filter } if role == Role::Follows => {
            nested::referring(sql, kind, (*by, target), filter);
            sql
        }
        Match::Referring { kind, by, target, filter } => {
            sql.push("r.id in (select x.id from index_reference x where x.tenant = $1");
            sql.compare(" and x.parameter =", by.0).compare(" and x.kind =", target.as_str());
            sql.push(" and x.rid in (");
            nested::rids(sql, kind, filter);
            sql.push("))")
        }
        _ => sql.push("false"),
    };
}

/// A `lastUpdated` is the millisecond [t, t + 1).
fn last_updated(sql: &mut Sql, value: &Match) {
    match value {
        Match::Date { prefix, low, high } => {
            let (low, high) = (*low, *high);
            match prefix {
                Prefix::Eq | Prefix::Ap => {
                    sql.compare("r.updated_ms >=", low).compare(" and r.updated_ms <", high)
                }
                Prefix::Ne => sql.compare("r.updated_ms <", low).compare(" or r.updated_ms >=", high),
                Prefix::Gt | Prefix::Sa => sql.compare("r.updated_ms >=", high),
                Prefix::Ge => sql.compare("r.updated_ms >=", low),
                Prefix::Lt | Prefix::Eb => sql.compare("r.updated_ms <", low),
                Prefix::Le => sql.compare("r.updated_ms <", high),
            }
        }
        Match::Missing { missing, .. } => sql.push(truth(!missing)),
        _ => sql.push("false"),
    };
}

fn truth(truth: bool) -> &'static str {
    if truth { "true" } else { "false" }
}

/// Alternatives that one look-up in one table answers.
struct Group<'a> {
    table: &'static str,
    keys: &'a [ParameterKey],
    values: Vec<&'a Match>,
    /// Where all of them are compared at once.
    list: Option<List>,
}

/// Alternatives by the table that they are looked for in. Mostly there is one table. A link of a chain is
/// alone, so that it can begin at what it refers to; so are the codes of value sets.
fn groups<'a>(keys: &'a [ParameterKey], values: impl Iterator<Item = &'a Match>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for value in values {
        let table = table_of(value);
        let alone = is_alone(value);
        let fits = |group: &&mut Group<'a>| {
            group.table == table && !alone && !group.values.first().is_some_and(|one| is_alone(one))
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.values.push(value),
            None => groups.push(Group { table, keys, values: vec![value], list: None }),
        }
    }
    groups.into_iter().flat_map(listed::split).collect()
}

/// Whether it is a subquery of its own: beside others, joined by `or`, no index would serve it.
fn is_alone(value: &Match) -> bool {
    matches!(value, Match::Chained { .. } | Match::Concepts(_))
}

fn indexed(sql: &mut Sql, filter: &Filter, role: Role) {
    let (missing, values): (Vec<&Match>, Vec<&Match>) =
        filter.any.iter().partition(|value| matches!(value, Match::Missing { .. }));
    let keys = filter.parameter.keys();
    let groups = groups(keys, values.into_iter());
    if filter.not {
        sql.push("not ");
    }
    if filter.not || role == Role::Follows {
        // Nothing but what is asked stands in it, so that PostgreSQL may make a join of it.
        sql.push("(");
        if !missing.is_empty() {
            sql.any_of(&missing, &|sql, value| self::missing(sql, keys, value)).push(" or ");
        }
        any_exists(sql, &groups, "r.rid");
        sql.push(")");
    } else {
        alternatives(sql, keys, &missing, &groups);
    }
}

/// Whether the resource `rid` has one of the values.
fn any_exists(sql: &mut Sql, groups: &[Group<'_>], rid: &str) {
    sql.push("(");
    for (index, group) in groups.iter().enumerate() {
        sql.push(if index == 0 { "" } else { " or " }).push("exists (select 1 from ");
        lookup(sql, group, Role::Follows);
        sql.push(" and x.rid = ").push(rid).push(")");
    }
    sql.push(if groups.is_empty() { "false)" } else { ")" });
}

/// `:missing` has no values beside it in any request; if it had, either would do.
fn alternatives(sql: &mut Sql, keys: &[ParameterKey], missing: &[&Match], groups: &[Group<'_>]) {
    if groups.is_empty() {
        sql.any_of(missing, &|sql, value| self::missing(sql, keys, value));
        return;
    }
    sql.push("(r.rid in (");
    lookups(sql, groups);
    sql.push(")");
    if !missing.is_empty() {
        sql.push(" or ").any_of(missing, &|sql, value| self::missing(sql, keys, value));
    }
    sql.push(")");
}

/// `select x.rid from …`: who has one of the values.
fn lookups(sql: &mut Sql, groups: &[Group<'_>]) {
    for (index, group) in groups.iter().enumerate() {
        sql.push(if index == 0 { "" } else { " union all " }).push("select x.rid from ");
        lookup(sql, group, Role::Leads);
    }
}

/// `TABLE x where …` with every alternative of a table.
fn lookup(sql: &mut Sql, group: &Group<'_>, role: Role) {
    if let (Some(List::Beginning(column)), Role::Leads) = (group.list, role) {
        return listed::each_beginning(sql, group, column);
    }
    sql.push(group.table).push(" x where x.tenant = $1 and ");
    parameter(sql, group.keys);
    sql.push(" and ");
    match group.list {
        Some(list) => listed::one_of(sql, (list, &group.values), role),
        None => drop(sql.any_of(&group.values, &|sql, value| one_value(sql, value, role))),
    }
}

/// `x.parameter = …`
fn parameter(sql: &mut Sql, keys: &[ParameterKey]) {
    if let [key] = keys {
        sql.compare("x.parameter =", key.0);
        return;
    }
    sql.push("x.parameter in (");
    for (index, key) in keys.iter().enumerate() {
        sql.push(if index == 0 { "" } else { ", " }).bind(key.0);
    }
    sql.push(")");
}

/// `:missing`: whether there is no row at all.
fn missing(sql: &mut Sql, keys: &[ParameterKey], value: &Match) {
    let Match::Missing { missing, by } = value else {
        sql.push("false");
        return;
    };
    let Some(table) = table_by(*by) else {
        // Every resource has an id and a time.
        sql.push(truth(!missing));
        return;
    };
    if *missing {
        sql.push("not exists (select 1 from ").push(table).push(" x where x.tenant = $1 and x.rid = r.rid");
    } else {
        sql.push("r.rid in (select x.rid from ").push(table).push(" x where x.tenant = $1");
    }
    sql.push(" and ");
    parameter(sql, keys);
    sql.push(")");
}

/// The index table of a search type; `None` for what `resource` itself holds.
pub(super) fn table_by(by: SortBy) -> Option<&'static str> {
    match by {
        SortBy::Id | SortBy::LastUpdated => None,
        SortBy::Token => Some("index_token"),
        SortBy::Text => Some("index_text"),
        SortBy::Date => Some("index_date"),
        SortBy::Number => Some("index_number"),
        SortBy::Quantity => Some("index_quantity"),
        SortBy::Reference => Some("index_reference"),
        SortBy::Uri => Some("index_uri"),
    }
}

/// The table that holds what this value is compared with.
fn table_of(value: &Match) -> &'static str {
    match value {
        Match::Token { .. } | Match::TokenText(_) | Match::Concepts(_) => "index_token",
        Match::TextStarts(_) | Match::TextContains(_) | Match::TextExact(_) => "index_text",
        Match::Date { .. } => "index_date",
        Match::Number { .. } | Match::Near { .. } => "index_number",
        Match::Quantity { .. } => "index_quantity",
        Match::Reference { .. }
        | Match::ReferenceUrl(_)
        | Match::ReferenceIdentifier(_)
        | Match::ReferenceBranch { .. }
        | Match::Chained { .. } => "index_reference",
        Match::Uri(_) | Match::UriBelow(_) => "index_uri",
        Match::Composite { .. } => "index_composite",
        // An id is no indexed value: it is compared with nothing, in whatever table.
        Match::Id(_) | Match::Referring { .. } | Match::Missing { .. } => "index_token",
    }
}

fn one_value(sql: &mut Sql, value: &Match, role: Role) {
    match value {
        Match::Token { system, code } => pair(sql, ("x.code =", code), ("x.system =", system)),
        Match::Concepts(concepts) => concepts::one_of(sql, concepts, role),
        Match::TokenText(text) => {
            sql.push("x.text <> '' and ");
            starts(sql, "x.text", text);
        }
        Match::TextStarts(text) => starts(sql, "x.normal", text),
        Match::TextContains(text) => contains(sql, text),
        Match::TextExact(text) => drop(sql.compare("x.exact =", words(text))),
        Match::Date { prefix, low, high } => half_open(sql, RANGE, *prefix, (*low, *high)),
        Match::Number { prefix, low, high } => closed(sql, RANGE, *prefix, (*low, *high)),
        Match::Near { around, axes } => near::within(sql, around, *axes),
        Match::Quantity { prefix, low, high, system, code } => {
            closed(sql, RANGE, *prefix, (*low, *high));
            sql.push(" and ");
            pair(sql, ("x.code =", code), ("x.system =", system));
        }
        Match::Reference { kind, id } => {
            sql.compare("x.id =", pair_key(id).as_ref());
            if !kind.is_empty() {
                sql.compare(" and x.kind =", pair_key(kind).as_ref());
            }
        }
        Match::ReferenceUrl(url) => {
            sql.push("x.url <> '' and ").compare("x.url =", single_key(url).as_ref());
        }
        Match::ReferenceIdentifier(identifier) => {
            sql.push("x.identifier <> '' and ").compare("x.identifier =", single_key(identifier).as_ref());
        }
        Match::ReferenceBranch { kind, id, way, by } => hierarchy::within(sql, (kind, id), *way, *by),
        Match::Uri(uri) => drop(sql.compare("x.uri =", single_key(uri).as_ref())),
        Match::UriBelow(uri) => {
            sql.compare("x.uri =", single_key(uri).as_ref()).push(" or ");
            let below = format!("{uri}/");
            sql.compare("(x.uri >=", below.as_str());
            sql.compare(" and x.uri <", format!("{below}{LAST_CHARACTER}")).push(")");
        }
        Match::Composite { first, second } => {
            part(sql, "first", first);
            sql.push(" and ");
            part(sql, "second", second);
        }
        Match::Chained { kind, via, filter } => nested::refers(sql, kind, *via, filter),
        Match::Id(_) | Match::Referring { .. } | Match::Missing { .. } => drop(sql.push("false")),
    }
}

/// Two columns, each compared only where a value is given.
fn pair(sql: &mut Sql, first: (&str, &Option<String>), second: (&str, &Option<String>)) {
    sql.push("true");
    for (left, value) in [first, second] {
        if let Some(value) = value {
            sql.push(" and ").compare(left, pair_key(value).as_ref());
        }
    }
}

/// A range, which an index serves; `like` would depend on settings and on what the text contains.
fn starts(sql: &mut Sql, column: &str, text: &str) {
    let text = words(text);
    sql.compare(&format!("{column} >="), text);
    sql.compare(&format!(" and {column} <"), format!("{text}{LAST_CHARACTER}"));
}

fn contains(sql: &mut Sql, text: &str) {
    sql.push(match sql.engine {
        Engine::Sqlite => "instr(x.normal, ",
        Engine::Postgres => "strpos(x.normal, ",
    });
    sql.bind(words(text)).push(") > 0");
}

/// One half of a composite.
fn part(sql: &mut Sql, half: &str, wanted: &PartMatch) {
    let column = |name: &str| format!("x.{half}_{name}");
    pair(
        sql,
        (&format!("{} =", column("code")), &wanted.code),
        (&format!("{} =", column("system")), &wanted.system),
    );
    if let Some(text) = &wanted.code_starts {
        sql.push(" and ");
        starts(sql, &column("code"), text);
    }
    if let Some((prefix, low, high)) = wanted.range {
        sql.push(" and ");
        let columns = (column("low"), column("high"));
        let columns = (columns.0.as_str(), columns.1.as_str());
        // A searched number has no width but where it is approximate or compared for equality, which reads
        // alike for both; a searched date always has some.
        if low < high && prefix != Prefix::Ap {
            half_open(sql, columns, prefix, (low, high));
        } else {
            closed(sql, columns, prefix, (low, high));
        }
    }
}

/// A searched `[low, high)` against a stored one, as the table at [`Prefix`] says. Bounds that follow from
/// the others are written where they give an index a range.
fn half_open<T: Into<Argument> + Copy>(
    sql: &mut Sql,
    (stored_low, stored_high): (&str, &str),
    prefix: Prefix,
    (low, high): (T, T),
) {
    let low_is = |comparison: &str| format!("{stored_low} {comparison}");
    let high_is = |comparison: &str| format!("{stored_high} {comparison}");
    sql.push("(");
    match prefix {
        Prefix::Eq => within(sql, (stored_low, stored_high), (low, high)),
        Prefix::Ne => outside(sql, (stored_low, stored_high), (low, high)),
        Prefix::Gt => sql.compare(&high_is(">"), high),
        Prefix::Lt => sql.compare(&low_is("<"), low),
        Prefix::Ge => {
            sql.compare(&high_is(">"), low).push(" and (");
            sql.compare(&low_is(">="), low).push(" or ").compare(&high_is(">"), high).push(")")
        }
        Prefix::Le => {
            sql.compare(&low_is("<"), high).push(" and (");
            sql.compare(&high_is("<="), high).push(" or ").compare(&low_is("<"), low).push(")")
        }
        Prefix::Sa => sql.compare(&low_is(">="), high),
        Prefix::Eb => sql.compare(&high_is("<="), low),
        Prefix::Ap => sql.compare(&low_is("<"), high).push(" and ").compare(&high_is(">"), low),
    };
    sql.push(")");
}

/// A searched `[low, high]` against a stored one.
fn closed(sql: &mut Sql, (stored_low, stored_high): (&str, &str), prefix: Prefix, (low, high): (f64, f64)) {
    let low_is = |comparison: &str| format!("{stored_low} {comparison}");
    let high_is = |comparison: &str| format!("{stored_high} {comparison}");
    sql.push("(");
    match prefix {
        Prefix::Eq => within(sql, (stored_low, stored_high), (low, high)),
        Prefix::Ne => outside(sql, (stored_low, stored_high), (low, high)),
        Prefix::Gt => sql.compare(&high_is(">"), high),
        Prefix::Lt => sql.compare(&low_is("<"), low),
        Prefix::Ge => sql.compare(&high_is(">="), low),
        Prefix::Le => sql.compare(&low_is("<="), high),
        Prefix::Sa => sql.compare(&low_is(">"), high),
        Prefix::Eb => sql.compare(&high_is("<"), low),
        Prefix::Ap => sql.compare(&low_is("<="), high).push(" and ").compare(&high_is(">="), low),
    };
    sql.push(")");
}

fn within<'s, T: Into<Argument> + Copy>(
    sql: &'s mut Sql,
    (stored_low, stored_high): (&str, &str),
    (low, high): (T, T),
) -> &'s mut Sql {
    sql.compare(&format!("{stored_low} >="), low);
    sql.compare(&format!(" and {stored_low} <="), high);
    sql.compare(&format!(" and {stored_high} <="), high)
}

fn outside<'s, T: Into<Argument> + Copy>(
    sql: &'s mut Sql,
    (stored_low, stored_high): (&str, &str),
    (low, high): (T, T),
) -> &'s mut Sql {
    sql.compare(&format!("{stored_low} <"), low);
    sql.compare(&format!(" or {stored_high} >"), high)
}
