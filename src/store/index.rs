//! The index tables: one for each search type, filled from [`IndexRow`]s.
//!
//! What is looked for goes through the same shortening ([`pair_key`], [`single_key`], [`words`]) as what
//! is stored, so that long values still find each other.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::db::{Argument, Connection, Table};
use super::error::Error;
use crate::args;
use crate::fhir::index::{IndexRow, IndexValue};

/// Every index table.
pub(super) const TABLES: [&str; 8] = [
    "index_token",
    "index_text",
    "index_date",
    "index_number",
    "index_quantity",
    "index_reference",
    "index_uri",
    "index_composite",
];

/// PostgreSQL's index rows hold at most 2,704 bytes: two of these and what is around them fit.
const PAIR_BYTES_MAX: usize = 600;
/// One of these and what is around it fit.
const SINGLE_BYTES_MAX: usize = 1800;
/// As `fhir::index` promises; enforced here because the index would refuse more.
const WORDS_CHARACTERS_MAX: usize = 400;

/// A value that shares its index row with another.
pub(super) fn pair_key(text: &str) -> Cow<'_, str> {
    shortened(text, PAIR_BYTES_MAX)
}

/// A value that has an index row of its own.
pub(super) fn single_key(text: &str) -> Cow<'_, str> {
    shortened(text, SINGLE_BYTES_MAX)
}

/// Text that is searched by its beginning: cut, because a hash would not sort.
pub(super) fn words(text: &str) -> &str {
    text.char_indices().nth(WORDS_CHARACTERS_MAX).map_or(text, |(at, _)| text.get(..at).unwrap_or(text))
}

/// A prefix and a hash of the whole, where it is longer than `bytes_max`.
fn shortened(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    let end = text.floor_char_boundary(bytes_max - hash.len() - 1);
    Cow::Owned(format!("{}#{hash}", text.get(..end).unwrap_or_default()))
}

/// Rows of all tables, as columns.
#[derive(Debug, Default)]
pub(super) struct IndexBuffer {
    token: Columns<3, 0, 0>,
    text: Columns<2, 0, 0>,
    date: Columns<0, 2, 0>,
    number: Columns<0, 0, 2>,
    quantity: Columns<2, 0, 2>,
    reference: Columns<4, 0, 0>,
    uri: Columns<1, 0, 0>,
    composite: Columns<4, 0, 4>,
}

/// The columns of one table: its key, then `T` texts, `I` integers and `F` floats.
#[derive(Debug)]
struct Columns<const T: usize, const I: usize, const F: usize> {
    rid: Vec<i64>,
    parameter: Vec<i64>,
    ordinal: Vec<i64>,
    texts: [Vec<String>; T],
    ints: [Vec<i64>; I],
    floats: [Vec<f64>; F],
}

/// Where a row belongs.
#[derive(Debug, Clone, Copy)]
struct Place {
    rid: i64,
    parameter: i64,
    ordinal: i64,
}

impl IndexBuffer {
    /// Adds the rows of one resource.
    pub(super) fn add(&mut self, rid: i64, rows: &[IndexRow]) {
        for (ordinal, row) in rows.iter().enumerate() {
            let ordinal = i64::try_from(ordinal).unwrap_or(i64::MAX);
            self.add_one(Place { rid, parameter: row.parameter.0, ordinal }, &row.value);
        }
    }

    fn add_one(&mut self, place: Place, value: &IndexValue) {
        match value {
            IndexValue::Token { system, code, text } => {
                let texts = [owned(pair_key(system)), owned(pair_key(code)), words(text).to_owned()];
                self.token.push(place, texts, [], []);
            }
            IndexValue::Text { normal, exact } => {
                self.text.push(place, [words(normal).to_owned(), words(exact).to_owned()], [], []);
            }
            IndexValue::Date { low, high } => self.date.push(place, [], [*low, *high], []),
            IndexValue::Number { low, high } => self.number.push(place, [], [], [*low, *high]),
            IndexValue::Quantity { low, high, system, code } => {
                let texts = [owned(pair_key(system)), owned(pair_key(code))];
                self.quantity.push(place, texts, [], [*low, *high]);
            }
            IndexValue::Reference { kind, id, url, identifier } => {
                let pair = [kind, id].map(|text| owned(pair_key(text)));
                let [kind, id] = pair;
                let texts = [kind, id, owned(single_key(url)), owned(single_key(identifier))];
                self.reference.push(place, texts, [], []);
            }
            IndexValue::Uri(uri) => self.uri.push(place, [owned(single_key(uri))], [], []),
            IndexValue::Composite { first, second } => {
                let texts = [&first.system, &first.code, &second.system, &second.code];
                let floats = [first.low, first.high, second.low, second.high];
                self.composite.push(place, texts.map(|text| owned(pair_key(text))), [], floats);
            }
        }
    }

    /// Writes everything and empties the buffer.
    pub(super) async fn flush(&mut self, tx: &mut Connection, tenant: &str) -> Result<(), Error> {
        let buffer = std::mem::take(self);
        insert(tx, tenant, "index_token", buffer.token.table(["system", "code", "text"], [], [])).await?;
        insert(tx, tenant, "index_text", buffer.text.table(["normal", "exact"], [], [])).await?;
        insert(tx, tenant, "index_date", buffer.date.table([], ["low", "high"], [])).await?;
        insert(tx, tenant, "index_number", buffer.number.table([], [], ["low", "high"])).await?;
        let quantity = buffer.quantity.table(["system", "code"], [], ["low", "high"]);
        insert(tx, tenant, "index_quantity", quantity).await?;
        let reference = buffer.reference.table(["kind", "id", "url", "identifier"], [], []);
        insert(tx, tenant, "index_reference", reference).await?;
        insert(tx, tenant, "index_uri", buffer.uri.table(["uri"], [], [])).await?;
        let composite = buffer.composite.table(
            ["first_system", "first_code", "second_system", "second_code"],
            [],
            ["first_low", "first_high", "second_low", "second_high"],
        );
        insert(tx, tenant, "index_composite", composite).await
    }
}

/// Takes the rows of these resources out of every table.
pub(super) async fn remove(tx: &mut Connection, tenant: &str, rids: &[i64]) -> Result<(), Error> {
    if rids.is_empty() {
        return Ok(());
    }
    for table in TABLES {
        tx.execute(
            format!("delete from {table} where tenant = $1 and rid in (select value from table($2) as gone)"),
            args![tenant, rids.to_vec()],
        )
        .await?;
    }
    Ok(())
}

async fn insert(
    tx: &mut Connection,
    tenant: &str,
    table: &'static str,
    (columns, rows): (String, Table),
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!("insert into {table} (tenant, {columns}) select $1, {columns} from table($2) as r");
    tx.execute(sql, vec![Argument::from(tenant), Argument::from(rows)]).await.map(drop)
}

fn owned(text: Cow<'_, str>) -> String {
    text.into_owned()
}

impl<const T: usize, const I: usize, const F: usize> Default for Columns<T, I, F> {
    fn default() -> Self {
        Self {
            rid: Vec::new(),
            parameter: Vec::new(),
            ordinal: Vec::new(),
            texts: std::array::from_fn(|_| Vec::new()),
            ints: std::array::from_fn(|_| Vec::new()),
            floats: std::array::from_fn(|_| Vec::new()),
        }
    }
}

impl<const T: usize, const I: usize, const F: usize> Columns<T, I, F> {
    fn push(&mut self, place: Place, texts: [String; T], ints: [i64; I], floats: [f64; F]) {
        self.rid.push(place.rid);
        self.parameter.push(place.parameter);
        self.ordinal.push(place.ordinal);
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.push(text));
        self.ints.iter_mut().zip(ints).for_each(|(column, int)| column.push(int));
        self.floats.iter_mut().zip(floats).for_each(|(column, float)| column.push(float));
    }

    /// The column list of the insert, and the rows.
    fn table(
        self,
        texts: [&'static str; T],
        ints: [&'static str; I],
        floats: [&'static str; F],
    ) -> (String, Table) {
        let names: Vec<&str> =
            ["rid", "parameter", "ordinal"].into_iter().chain(texts).chain(ints).chain(floats).collect();
        let mut table = Table::new()
            .ints("rid", self.rid)
            .ints("parameter", self.parameter)
            .ints("ordinal", self.ordinal);
        for (name, column) in texts.into_iter().zip(self.texts) {
            table = table.texts(name, column);
        }
        for (name, column) in ints.into_iter().zip(self.ints) {
            table = table.ints(name, column);
        }
        for (name, column) in floats.into_iter().zip(self.floats) {
            table = table.floats(name, column);
        }
        (names.join(", "), table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_told_apart_and_fit() {
        let (a, b) = (format!("{}a", "é".repeat(2000)), format!("{}b", "é".repeat(2000)));
        assert_ne!(pair_key(&a), pair_key(&b));
        assert!(pair_key(&a).len() <= PAIR_BYTES_MAX && single_key(&a).len() <= SINGLE_BYTES_MAX);
        assert_eq!(pair_key("short"), "short");
        assert_eq!(words(&a).chars().count(), WORDS_CHARACTERS_MAX);
    }
}
