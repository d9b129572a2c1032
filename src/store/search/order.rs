//! Sorting and keyset paging: where a page ends is where the next one begins.
//!
//! Missing values come last in either direction; ties are broken by rid, so the order is total and a page
//! never repeats or misses anything in an unchanged store.

use super::sql::Sql;
use crate::fhir::query::{Parameter, Sort, SortBy};
use crate::store::db::{Argument, Row};
use crate::store::error::Error;

/// The value of one sort key in one row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum KeyValue {
    Missing,
    Int(i64),
    Float(f64),
    Text(String),
}

/// One sort key. `f.s0` is its column in the statement.
#[derive(Debug)]
struct Key {
    column: String,
    kind: Kind,
    descending: bool,
    /// Columns of `resource` always have a value, which lets an index give the order.
    always: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Int,
    Float,
    Text,
}

/// The keys of a search, without the final rid.
#[derive(Debug)]
pub(super) struct Order {
    keys: Vec<Key>,
}

impl Order {
    /// Writes `, … as s0, … as s1` for each sort into the select list.
    pub(super) fn select(sql: &mut Sql, sorts: &[Sort]) -> Self {
        let keys = sorts.iter().enumerate().map(|(index, sort)| select_key(sql, index, sort)).collect();
        Self { keys }
    }

    /// Writes the order, with the rid last in the direction of the last key (so that an index can be
    /// walked either way). `alias` is the table that holds the keys.
    pub(super) fn order_by(&self, sql: &mut Sql, alias: &str) {
        sql.push(" order by ");
        for key in &self.keys {
            sql.push(alias).push(".").push(&key.column);
            sql.push(if key.descending { " desc" } else { "" });
            sql.push(if key.always { ", " } else { " nulls last, " });
        }
        sql.push(alias).push(".rid").push(if self.descends() { " desc" } else { "" });
    }

    fn descends(&self) -> bool {
        self.keys.last().is_some_and(|key| key.descending)
    }

    /// Writes the condition that a row comes after `(values, rid)`.
    pub(super) fn after(&self, sql: &mut Sql, values: &[KeyValue], rid: i64) {
        let rid_after = if self.descends() { "f.rid <" } else { "f.rid >" };
        if let [key] = self.keys.as_slice()
            && key.always
            && let [value] = values
        {
            // One row comparison, which an index serves as a range.
            sql.push("(f.").push(&key.column).push(", f.rid) ");
            sql.push(if key.descending { "< (" } else { "> (" }).bind(value.argument());
            sql.push(", ").bind(rid).push(")");
            return;
        }
        sql.push("(");
        let mut equal = String::new();
        for (key, value) in self.keys.iter().zip(values) {
            sql.push(&equal);
            key.after(sql, value);
            sql.push(" or ");
            // The placeholder of an earlier value may be used again.
            equal = key.equal(sql, value, &equal);
        }
        sql.push(&equal).compare(rid_after, rid).push(")");
    }

    /// The keys of a row, for the next page.
    pub(super) fn values(&self, row: &Row) -> Result<Vec<KeyValue>, Error> {
        self.keys.iter().map(|key| key.value(row)).collect()
    }

    /// Whether a token's values fit these keys.
    pub(super) fn fits(&self, values: &[KeyValue]) -> bool {
        self.keys.len() == values.len()
    }
}

fn select_key(sql: &mut Sql, index: usize, sort: &Sort) -> Key {
    let (table, value, kind) = match (&sort.parameter, sort.by) {
        (Parameter::Id, _) | (_, SortBy::Id) => return resource_key("id", Kind::Text, sort),
        (Parameter::LastUpdated, _) | (_, SortBy::LastUpdated) => {
            return resource_key("updated_ms", Kind::Int, sort);
        }
        (_, SortBy::Token) => ("index_token", "code", Kind::Text),
        (_, SortBy::Text) => ("index_text", "normal", Kind::Text),
        (_, SortBy::Date) => ("index_date", "low", Kind::Int),
        (_, SortBy::Number) => ("index_number", "low", Kind::Float),
        (_, SortBy::Quantity) => ("index_quantity", "low", Kind::Float),
        (_, SortBy::Reference) => ("index_reference", "id", Kind::Text),
        (_, SortBy::Uri) => ("index_uri", "uri", Kind::Text),
    };
    let parameter = sort.parameter.keys().first().map_or(0, |key| key.0);
    let column = format!("s{index}");
    let edge = if sort.descending { "max" } else { "min" };
    sql.push(&format!(
        ", (select {edge}(x.{value}) from {table} x where x.tenant = $1 and x.rid = r.rid and x.parameter = "
    ));
    sql.bind(parameter);
    if table == "index_text" {
        // Parts of a family name are found, and order nothing.
        sql.push(" and x.exact <> ''");
    }
    sql.push(&format!(") as {column}"));
    Key { column, kind, descending: sort.descending, always: false }
}

fn resource_key(column: &str, kind: Kind, sort: &Sort) -> Key {
    Key { column: column.to_owned(), kind, descending: sort.descending, always: true }
}

impl Key {
    /// Strictly after `value`; nothing is after a missing one, and a missing one is after every other.
    fn after(&self, sql: &mut Sql, value: &KeyValue) {
        if *value == KeyValue::Missing {
            sql.push("false");
            return;
        }
        let comparison = if self.descending { "<" } else { ">" };
        sql.push("(").compare(&format!("f.{} {comparison}", self.column), value.argument());
        if !self.always {
            sql.push(&format!(" or f.{} is null", self.column));
        }
        sql.push(")");
    }

    /// The text of "so far equal": the value was bound last by [`Key::after`], if it was.
    fn equal(&self, sql: &Sql, value: &KeyValue, before: &str) -> String {
        match value {
            KeyValue::Missing => format!("{before}f.{} is null and ", self.column),
            _ => format!("{before}f.{} = ${} and ", self.column, sql.arguments.len()),
        }
    }

    fn value(&self, row: &Row) -> Result<KeyValue, Error> {
        Ok(match self.kind {
            Kind::Int => row.opt_int(&self.column)?.map_or(KeyValue::Missing, KeyValue::Int),
            Kind::Float => row.opt_float(&self.column)?.map_or(KeyValue::Missing, KeyValue::Float),
            Kind::Text => row.opt_text(&self.column)?.map_or(KeyValue::Missing, KeyValue::Text),
        })
    }
}

impl KeyValue {
    fn argument(&self) -> Argument {
        match self {
            Self::Missing => Argument::Text(None),
            Self::Int(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
        }
    }
}
