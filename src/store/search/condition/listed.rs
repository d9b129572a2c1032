//! Many alternatives of one kind: all are bound at once, so that the statement is as long as for one.
//!
//! A statement that names each of 2,000 values takes an engine longer to plan than to run. Where the filter leads, each value
//! is looked for in the index; where candidates are known, their own few rows are compared with the list.

use super::{Group, LAST_CHARACTER, parameter};
use crate::fhir::query::Match;
use crate::store::db::{Engine, Table};
use crate::store::index::{pair_key, single_key, words};
use crate::store::search::condition::lead::Role;
use crate::store::search::sql::Sql;

/// So many of one kind are bound as a list.
const FROM: usize = 16;

/// What is compared with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// This column of `x`, which a partial index may have where it is not empty.
    One(&'static str),
    /// These two columns of `x`.
    Both(&'static str, &'static str),
    /// The beginning of a text in this column.
    Beginning(&'static str),
}

/// One value as its list holds it.
type Entry = (String, String);

/// The list that a value may be in. `None`: it is compared for itself (ranges, pairs, parts of texts).
fn entry(value: &Match) -> Option<(List, Entry)> {
    let pair = |text: &String| pair_key(text).into_owned();
    let single = |text: &String| single_key(text).into_owned();
    let one = |column, text: String| Some((List::One(column), (text, String::new())));
    match value {
        Match::Token { system: Some(system), code: Some(code) } => {
            Some((List::Both("code", "system"), (pair(code), pair(system))))
        }
        Match::Token { system: None, code: Some(code) } => one("code", pair(code)),
        Match::Token { system: Some(system), code: None } => one("system", pair(system)),
        Match::TextExact(text) => one("exact", words(text).to_owned()),
        Match::TextStarts(text) => Some((List::Beginning("normal"), (words(text).to_owned(), String::new()))),
        Match::TokenText(text) => Some((List::Beginning("text"), (words(text).to_owned(), String::new()))),
        Match::Reference { kind, id } if kind.is_empty() => one("id", pair(id)),
        Match::Reference { kind, id } => Some((List::Both("id", "kind"), (pair(id), pair(kind)))),
        Match::ReferenceUrl(url) => one("url", single(url)),
        Match::ReferenceIdentifier(identifier) => one("identifier", single(identifier)),
        Match::Uri(uri) => one("uri", single(uri)),
        _ => None,
    }
}

/// A group of many alternatives as groups of lists, and of what is in none.
pub(super) fn split(group: Group<'_>) -> Vec<Group<'_>> {
    if group.values.len() < FROM {
        return vec![group];
    }
    let mut parts: Vec<Group<'_>> = Vec::new();
    for value in group.values {
        let list = entry(value).map(|(list, _)| list);
        match parts.iter_mut().find(|part| part.list == list) {
            Some(part) => part.values.push(value),
            None => parts.push(Group { list, values: vec![value], ..group }),
        }
    }
    parts
}

/// `select x.rid from …` continues with this where the beginnings of texts lead: each is a range of the index.
pub(super) fn each_beginning(sql: &mut Sql, group: &Group<'_>, column: &str) {
    let lows = beginnings(&group.values);
    let highs = lows.iter().map(|low| format!("{low}{LAST_CHARACTER}")).collect();
    sql.push("table(").bind(Table::new().texts("low", lows).texts("high", highs));
    // Written as a cross join, which SQLite makes in this order.
    sql.push(") as w cross join ").push(group.table).push(" x where x.tenant = $1 and ");
    parameter(sql, group.keys);
    not_empty(sql, column);
    sql.push(&format!(" and x.{column} >= w.low and x.{column} < w.high"));
}

/// Writes that `x` holds one of the values.
pub(super) fn one_of(sql: &mut Sql, (list, values): (List, &[&Match]), role: Role) {
    let (first, second): (Vec<String>, Vec<String>) =
        values.iter().filter_map(|value| entry(value)).map(|(_, entry)| entry).unzip();
    match list {
        List::One(column) => {
            if role == Role::Leads {
                sql.push("true");
                not_empty(sql, column);
                sql.push(" and ");
            }
            column_in(sql, &format!("x.{column}"), first, role);
        }
        List::Both(one, other) => {
            if role == Role::Leads && sql.engine == Engine::Postgres {
                column_in(sql, &format!("x.{one}"), first.clone(), role);
                sql.push(" and ");
            }
            let bare = bare(sql.engine, role);
            sql.push(&format!("(({bare}x.{one}, {bare}x.{other}) in (select w.one, w.other from table("));
            sql.bind(Table::new().texts("one", first).texts("other", second)).push(") as w)");
            let apart = apart(sql.engine);
            sql.push(apart).push(")");
        }
        List::Beginning(column) => {
            sql.push("(false");
            for (length, texts) in by_length(beginnings(values)) {
                sql.push(&format!(" or substr(x.{column}, 1, {length}) in (select w.value from table("));
                sql.bind(Table::new().texts("value", texts)).push(") as w)");
            }
            sql.push(")");
            not_empty(sql, column);
        }
    }
}

/// Writes that a column has one of the values. Where it leads, its index is asked for each; else each row is looked for among
/// them.
fn column_in(sql: &mut Sql, column: &str, values: Vec<String>, role: Role) {
    let values = Table::new().texts("value", values);
    if role == Role::Leads && sql.engine == Engine::Postgres {
        sql.push(column).push(" = any(array(select w.value from table(").bind(values).push(") as w))");
        return;
    }
    let (bare, apart) = (bare(sql.engine, role), apart(sql.engine));
    sql.push("(").push(bare).push(column).push(" in (select w.value from table(");
    sql.bind(values).push(") as w)").push(apart).push(")");
}

/// SQLite would look for each value instead, for each candidate; a `+` takes the column out of its choice of an index.
fn bare(engine: Engine, role: Role) -> &'static str {
    if role == Role::Follows && engine == Engine::Sqlite { "+" } else { "" }
}

/// PostgreSQL would make a join of the list, and where it expects few rows look through all of it for each; what stands in an `or` it
/// keeps as a table of hashes.
pub(super) fn apart(engine: Engine) -> &'static str {
    if engine == Engine::Postgres { " or false" } else { "" }
}

/// What the partial indexes of these columns say.
fn not_empty(sql: &mut Sql, column: &str) {
    if matches!(column, "text" | "url" | "identifier") {
        sql.push(&format!(" and x.{column} <> ''"));
    }
}

/// Each text once, and none that another one begins.
fn beginnings(values: &[&Match]) -> Vec<String> {
    let mut texts: Vec<String> =
        values.iter().filter_map(|value| entry(value)).map(|(_, (text, _))| text).collect();
    texts.sort_unstable();
    texts.dedup_by(|text, before| text.starts_with(before.as_str()));
    texts
}

/// By their numbers of characters.
fn by_length(texts: Vec<String>) -> Vec<(usize, Vec<String>)> {
    let mut lengths: Vec<(usize, Vec<String>)> = Vec::new();
    for text in texts {
        let length = text.chars().count();
        match lengths.iter_mut().find(|(known, _)| *known == length) {
            Some((_, texts)) => texts.push(text),
            None => lengths.push((length, vec![text])),
        }
    }
    lengths
}

/// Writes that `r` has one of these ids. False where there are few of them, or other conditions.
pub(super) fn ids(sql: &mut Sql, values: &[Match], role: Role) -> bool {
    let all: Option<Vec<String>> = values
        .iter()
        .map(|value| match value {
            Match::Id(id) => Some(id.clone()),
            _ => None,
        })
        .collect();
    let Some(ids) = all.filter(|ids| ids.len() >= FROM) else { return false };
    column_in(sql, "r.id", ids, role);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_covers_what_goes_on_from_it() {
        let values = ["bb", "a", "ab", "b", "a", "c"].map(|text| Match::TextStarts(text.to_owned()));
        let values: Vec<&Match> = values.iter().collect();
        assert_eq!(beginnings(&values), ["a", "b", "c"]);
        let lengths = by_length(vec!["é".to_owned(), "ab".to_owned(), "c".to_owned()]);
        assert_eq!(lengths[0], (1, vec!["é".to_owned(), "c".to_owned()]));
    }
}
