//! Chains and `_has`: conditions on other resources, as subqueries that stand on their own.
//!
//! A subquery names its tables `r` and `x` again, which hides the outer ones, and refers to nothing outside.
//! So the database can begin with the innermost look-up, which is mostly the most telling one.

use super::lead::Role;
use super::{any_exists, groups, lookups};
use crate::fhir::index::ParameterKey;
use crate::fhir::query::{Filter, Match, Via};
use crate::store::search::sql::Sql;

/// Writes that `x`, a row of `index_reference`, refers to a resource of `kind` for which `filter` holds.
pub(super) fn refers(sql: &mut Sql, kind: &str, via: Via, filter: &Filter) {
    match via {
        Via::Id => {
            sql.compare("x.kind =", kind).push(" and x.id in (");
            resources(sql, "r.id", kind, filter);
            sql.push(")");
        }
        Via::Url(parameter) => {
            sql.push("x.url <> '' and x.url in (select u.uri from index_uri u where u.tenant = $1");
            sql.compare(" and u.parameter =", parameter.0).push(" and u.rid in (");
            rids(sql, kind, filter);
            sql.push("))");
        }
    }
}

/// Writes `select …` of the numbers of those of `kind` for which `filter` holds. The index names living ones
/// only, and its parameter implies the type: often nothing else is needed.
pub(super) fn rids(sql: &mut Sql, kind: &str, filter: &Filter) {
    if is_plain(filter) {
        lookups(sql, &groups(filter.parameter.keys(), filter.any.iter()));
    } else {
        resources(sql, "r.rid", kind, filter);
    }
}

/// Whether rows of the index alone decide.
fn is_plain(filter: &Filter) -> bool {
    let missing = filter.any.iter().any(|value| matches!(value, Match::Missing { .. }));
    !filter.not && !missing && !filter.parameter.keys().is_empty() && !filter.any.is_empty()
}

/// Writes that a resource of `kind` for which `filter` holds refers to `r`, which is known already, so that only
/// what refers to it is looked at.
pub(super) fn referring(sql: &mut Sql, kind: &str, (by, target): (ParameterKey, &str), filter: &Filter) {
    sql.push("exists (select 1 from index_reference h where h.tenant = $1");
    sql.compare(" and h.parameter =", by.0).compare(" and h.kind =", target);
    sql.push(" and h.id = r.id and ");
    if is_plain(filter) {
        any_exists(sql, &groups(filter.parameter.keys(), filter.any.iter()), "h.rid");
    } else {
        sql.push("h.rid in (");
        rids(sql, kind, filter);
        sql.push(")");
    }
    sql.push(")");
}

fn resources(sql: &mut Sql, column: &str, kind: &str, filter: &Filter) {
    sql.push("select ").push(column).push(" from resource r where r.tenant = $1");
    sql.compare(" and r.kind =", kind).push(" and not r.deleted");
    super::filter(sql, filter, Role::Leads);
}
