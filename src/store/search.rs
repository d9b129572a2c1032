//! Searches: a [`Query`], or several of different types, become one SQL statement over the index tables.
//!
//! Only the current versions of what is not deleted are searched. The default order is that of creation,
//! which does not move while others write.

// References by canonical url.
mod canonical;
mod condition;
mod order;
mod sql;
mod token;

use std::time::Duration;

use condition::lead::{self, Role};
use order::Order;
use sql::Sql;
use token::Position;

use super::db::{Connection, Engine, Row, Table};
use super::error::Error;
use super::read::{Stored, current, stored};
use super::write::Matches;
use super::{Store, setting};
use crate::args;
use crate::fhir::index::ParameterKey;
use crate::fhir::query::{Filter, Match, Parameter, Query};

/// Totals are exact up to here; beyond it only where [`TotalWanted::Accurate`] is asked.
pub const TOTAL_EXACT_MAX: i64 = 10_000;
/// A search that may take long is given up after this; the total counts for itself on PostgreSQL.
const TIME_MAX: Duration = Duration::from_secs(20);
/// The largest page.
pub const COUNT_MAX: u32 = 1000;

/// The columns of [`stored`] that the statement of a page takes from `version v`; `page` has the others.
const PAGE_COLUMNS: &str = "v.version, v.codec, v.body, v.origin, v.method";

/// Which part of the matches is wanted.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// At most this many entries, and at most [`COUNT_MAX`]; 0 asks only for the total.
    pub count: u32,
    /// Where the page before ended: its [`Found::next`].
    pub token: Option<String>,
    pub total: TotalWanted,
    /// How many entries are passed over: from the beginning, or from where the token says.
    pub offset: u32,
    /// What the next page's token keeps for the caller: [`Store::page_note`].
    pub note: String,
}

impl Page {
    /// The first page, with a bounded total.
    pub fn new(count: u32) -> Self {
        Self { count, ..Self::default() }
    }
}

/// `_total`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TotalWanted {
    None,
    /// Exact up to [`TOTAL_EXACT_MAX`].
    #[default]
    Bounded,
    Accurate,
}

/// How many match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// It was not asked.
    Unknown,
    Exact(i64),
    /// More than this.
    AtLeast(i64),
}

/// One page of matches.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub entries: Vec<Stored>,
    pub total: Total,
    /// The token of the next page; `None` on the last one.
    pub next: Option<String>,
    /// How many matches there were before the first entry, when they were counted.
    pub before: u64,
}

/// A reference that was found in the index, for `_include`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referenced {
    /// The number of the resource that holds the reference.
    pub rid: i64,
    pub kind: String,
    pub id: String,
}

impl Store {
    /// One page of what matches.
    ///
    /// # Errors
    /// [`Error::PageToken`] for a token that is not of this search; else as the database says.
    pub async fn search(&self, tenant: &str, query: &Query, page: &Page) -> Result<Found, Error> {
        self.search_across(tenant, std::slice::from_ref(query), page).await
    }

    /// One page of what matches one of several queries, which have the same order and share no match.
    ///
    /// # Errors
    /// As [`Store::search`].
    pub async fn search_across(&self, tenant: &str, queries: &[Query], page: &Page) -> Result<Found, Error> {
        let key = setting::page_key(self, tenant).await?;
        let from = page.token.as_deref().map(|token| token::open(&key, queries, token)).transpose()?;
        let before = from.as_ref().map_or(0, |position| position.before).saturating_add(page.offset.into());
        if queries.is_empty() {
            return Ok(Found { entries: Vec::new(), total: Total::Exact(0), next: None, before });
        }
        let mut connection = match queries.iter().any(Query::is_heavy) {
            true => self.db().read_within(TIME_MAX).await?,
            false => self.db().read().await?,
        };
        let total = match &from {
            Some(position) => position.total,
            None => total(&mut connection, tenant, queries, page.total).await?,
        };
        let count = page.count.min(COUNT_MAX);
        if count == 0 {
            return Ok(Found { entries: Vec::new(), total, next: None, before });
        }
        let wanted = Wanted { from: from.as_ref(), offset: page.offset, count };
        let (rows, order) = entries(&mut connection, tenant, queries, wanted).await?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let next = match rows.get(count.saturating_sub(1)) {
            Some(last) if rows.len() > count => {
                let before = before.saturating_add(u64::from(page.count.min(COUNT_MAX)));
                let (values, rid) = (order.values(last)?, last.int("rid")?);
                let position = Position { values, rid, total, before, note: page.note.clone() };
                Some(token::seal(&key, queries, &position)?)
            }
            _ => None,
        };
        let entries = rows.iter().take(count).map(stored).collect::<Result<_, _>>()?;
        Ok(Found { entries, total, next, before })
    }

    /// The [`Page::note`] of the search that gave this token.
    ///
    /// # Errors
    /// [`Error::PageToken`] for what is none of this tenant's tokens.
    pub async fn page_note(&self, tenant: &str, token: &str) -> Result<String, Error> {
        let key = setting::page_key(self, tenant).await?;
        Ok(token::read(&key, token)?.1.note)
    }

    /// What holds one of `values` in `parameter`, at most `limit` in the order of creation: mirrors and
    /// documents are looked up with it.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn find(
        &self,
        tenant: &str,
        kind: &str,
        (parameter, values): (ParameterKey, Vec<Match>),
        limit: u32,
    ) -> Result<Vec<Stored>, Error> {
        find(&mut self.db().read().await?, tenant, kind, (parameter, values), limit).await
    }

    /// [`references_of`] on a connection of the pool.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn references_of(
        &self,
        tenant: &str,
        rids: &[i64],
        parameters: &[ParameterKey],
    ) -> Result<Vec<Referenced>, Error> {
        references_of(&mut self.db().read().await?, tenant, rids, parameters).await
    }

    /// [`referenced_by`] on a connection of the pool.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn referenced_by(
        &self,
        tenant: &str,
        targets: &[(String, String)],
        parameters: &[ParameterKey],
        limit: u32,
    ) -> Result<Vec<Stored>, Error> {
        referenced_by(&mut self.db().read().await?, tenant, targets, parameters, limit).await
    }
}

/// At most `limit` matches with their current versions; also inside a transaction.
///
/// # Errors
/// [`Error`]
pub async fn matches(
    connection: &mut Connection,
    tenant: &str,
    query: &Query,
    limit: u32,
) -> Result<Matches, Error> {
    let mut sql = Sql::new(connection.engine(), tenant);
    sql.push("select r.kind, r.id, r.version");
    matching(&mut sql, query);
    sql.push(" order by r.rid limit ").bind(limit);
    let (text, arguments) = sql.whole()?;
    let rows = connection.all(text, arguments).await?;
    rows.iter().map(|row| Ok((row.text("kind")?, row.text("id")?, row.int("version")?))).collect()
}

/// What [`Store::find`] says, also inside a transaction.
///
/// # Errors
/// [`Error`]
pub async fn find(
    connection: &mut Connection,
    tenant: &str,
    kind: &str,
    (parameter, values): (ParameterKey, Vec<Match>),
    limit: u32,
) -> Result<Vec<Stored>, Error> {
    let filter = Filter { parameter: Parameter::Indexed(parameter), any: values, not: false };
    let query = Query { kind: kind.to_owned(), filters: vec![filter], sort: Vec::new() };
    let wanted = Wanted { from: None, offset: 0, count: limit.saturating_sub(1) };
    let (rows, _) = entries(connection, tenant, std::slice::from_ref(&query), wanted).await?;
    rows.iter().map(stored).collect()
}

/// The literal references that these resources hold in `parameters`, for `_include`.
///
/// # Errors
/// [`Error`]
pub async fn references_of(
    connection: &mut Connection,
    tenant: &str,
    rids: &[i64],
    parameters: &[ParameterKey],
) -> Result<Vec<Referenced>, Error> {
    let parameters: Vec<i64> = parameters.iter().map(|parameter| parameter.0).collect();
    let rows = connection
        .all(
            "select x.rid, x.kind, x.id from table($2) as w
             join index_reference x on x.tenant = $1 and x.rid = w.value
             where x.parameter in (select value from table($3) as p) and x.kind <> ''",
            args![tenant, rids.to_vec(), parameters],
        )
        .await?;
    rows.iter()
        .map(|row| Ok(Referenced { rid: row.int("rid")?, kind: row.text("kind")?, id: row.text("id")? }))
        .collect()
}

/// What refers to `targets` (kind, id) in one of `parameters`, for `_revinclude`: at most `limit`.
///
/// # Errors
/// [`Error`]
pub async fn referenced_by(
    connection: &mut Connection,
    tenant: &str,
    targets: &[(String, String)],
    parameters: &[ParameterKey],
    limit: u32,
) -> Result<Vec<Stored>, Error> {
    let (kinds, ids): (Vec<_>, Vec<_>) = targets.iter().cloned().unzip();
    let parameters: Vec<i64> = parameters.iter().map(|parameter| parameter.0).collect();
    let rows = connection
        .all(
            "select distinct x.rid from table($2) as w
             join table($3) as p on true
             join index_reference x
                 on x.tenant = $1 and x.parameter = p.value and x.id = w.id and x.kind = w.kind
             order by x.rid limit $4",
            args![tenant, Table::new().texts("kind", kinds).texts("id", ids), parameters, limit],
        )
        .await?;
    let rids: Vec<i64> = rows.iter().map(|row| row.int("rid")).collect::<Result<_, _>>()?;
    let mut found = current(connection, tenant, &rids).await?;
    found.sort_by_key(|stored| stored.rid);
    Ok(found)
}

/// What refers to `target` (kind, id) in one of `parameters`, without its text: at most `limit`.
///
/// # Errors
/// [`Error`]
pub async fn referring(
    connection: &mut Connection,
    tenant: &str,
    (kind, id): &(String, String),
    parameters: &[ParameterKey],
    limit: u32,
) -> Result<Matches, Error> {
    let parameters: Vec<i64> = parameters.iter().map(|parameter| parameter.0).collect();
    let rows = connection
        .all(
            "select r.kind, r.id, r.version from
                 (select distinct x.rid from table($2) as p
                  join index_reference x
                      on x.tenant = $1 and x.parameter = p.value and x.id = $3 and x.kind = $4
                  order by x.rid limit $5) as w
             join resource r on r.tenant = $1 and r.rid = w.rid
             where not r.deleted order by r.rid",
            args![tenant, parameters, id.as_str(), kind.as_str(), limit],
        )
        .await?;
    rows.iter().map(|row| Ok((row.text("kind")?, row.text("id")?, row.int("version")?))).collect()
}

/// Writes `from resource r where …` with every filter.
fn matching(sql: &mut Sql, query: &Query) {
    sql.push(" from resource r where r.tenant = $1").compare(" and r.kind =", query.kind.as_str());
    sql.push(" and not r.deleted");
    let leads = lead::leading(query);
    for (at, filter) in query.filters.iter().enumerate() {
        let role = if leads == Some(at) { Role::Leads } else { Role::Follows };
        condition::filter(sql, filter, role);
    }
}

/// Which part of all matches a statement gives.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    from: Option<&'a Position>,
    offset: u32,
    count: u32,
}

/// The statement of one page, and its order. Of several queries, each gives its own first ones by its own
/// index, so that no order is made of more than pages.
fn page_statement(
    engine: Engine,
    tenant: &str,
    queries: &[Query],
    wanted: Wanted<'_>,
) -> Result<(Sql, Order), Error> {
    let mut sql = Sql::new(engine, tenant);
    sql.push("select ").push(PAGE_COLUMNS).push(", page.* from (");
    // One more tells whether another page follows.
    let limit = i64::from(wanted.count) + 1;
    let order = match queries {
        [query] => branch(&mut sql, query, wanted.from, (limit, wanted.offset.into()))?,
        _ => {
            let mut order = None;
            sql.push("select b.* from (");
            for (index, query) in queries.iter().enumerate() {
                sql.push(if index == 0 { "" } else { " union all " }).push("select * from (");
                order = Some(branch(&mut sql, query, wanted.from, (limit + i64::from(wanted.offset), 0))?);
                sql.push(&format!(") b{index}"));
            }
            sql.push(") b");
            let order = order.ok_or(Error::PageToken)?;
            order.order_by(&mut sql, "b");
            sql.push(" limit ").bind(limit).push(" offset ").bind(wanted.offset);
            order
        }
    };
    sql.push(") page join version v on v.tenant = $1");
    sql.push(" and v.rid = page.rid and v.version = page.current_version");
    order.order_by(&mut sql, "page");
    Ok((sql, order))
}

/// The matches of one query after a position.
fn branch(
    sql: &mut Sql,
    query: &Query,
    from: Option<&Position>,
    (limit, offset): (i64, i64),
) -> Result<Order, Error> {
    sql.push("select f.* from (select r.rid, r.kind, r.id, r.version as current_version, r.updated_ms");
    let order = Order::select(sql, &query.sort);
    matching(sql, query);
    sql.push(") f");
    if let Some(position) = from {
        if !order.fits(&position.values) {
            return Err(Error::PageToken);
        }
        sql.push(" where ");
        order.after(sql, &position.values, position.rid);
    }
    order.order_by(sql, "f");
    sql.push(" limit ").bind(limit);
    if offset > 0 {
        sql.push(" offset ").bind(offset);
    }
    Ok(order)
}

/// The rows of a page and one more, which tells whether another page follows.
async fn entries(
    connection: &mut Connection,
    tenant: &str,
    queries: &[Query],
    wanted: Wanted<'_>,
) -> Result<(Vec<Row>, Order), Error> {
    let (sql, order) = page_statement(connection.engine(), tenant, queries, wanted)?;
    let (text, arguments) = sql.whole()?;
    Ok((connection.all(text, arguments).await?, order))
}

fn total_statement(engine: Engine, tenant: &str, queries: &[Query], limit: i64) -> Sql {
    let mut sql = Sql::new(engine, tenant);
    sql.push("select count(*) as n from (");
    for (index, query) in queries.iter().enumerate() {
        sql.push(if index == 0 { "" } else { " union all " }).push("select 1 as one");
        matching(&mut sql, query);
    }
    sql.push(" limit ").bind(limit).push(") as counted");
    sql
}

async fn total(
    connection: &mut Connection,
    tenant: &str,
    queries: &[Query],
    wanted: TotalWanted,
) -> Result<Total, Error> {
    let Some(limit) = wanted.limit() else { return Ok(Total::Unknown) };
    let (text, arguments) = total_statement(connection.engine(), tenant, queries, limit).whole()?;
    let count = connection.one(text, arguments).await?.int("n")?;
    Ok(if count == limit { Total::AtLeast(count - 1) } else { Total::Exact(count) })
}

#[cfg(test)]
mod tests;
