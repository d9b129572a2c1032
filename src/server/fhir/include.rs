//! `_include` and `_revinclude`: what belongs to the matches of a page.

// By canonical url.
mod canonical;

use std::collections::{BTreeSet, HashSet};

use super::call::{Call, Stop};
use crate::auth::scope::Permission;
use crate::fhir::search::{Include, Search};
use crate::store::read::Stored;

/// Included resources of one page, at most.
const INCLUDED_MAX: usize = 1000;
/// Rounds of `:iterate`, at most.
const ROUNDS_MAX: usize = 8;

/// What was included.
#[derive(Default)]
pub struct Included {
    pub resources: Vec<Stored>,
    /// How many were left out because the caller may not read their type.
    pub hidden: usize,
    /// Whether there are more than one page holds.
    pub cut: bool,
}

/// Follows every include from the matches, and those that iterate from what was found too.
pub async fn of(call: &Call, search: &Search, matches: &[Stored]) -> Result<Included, Stop> {
    let mut included = Included::default();
    let mut seen: HashSet<i64> = matches.iter().map(|stored| stored.rid).collect();
    let mut from: Vec<Stored> = matches.to_vec();
    for round in 0..ROUNDS_MAX {
        let wanted = |include: &&Include| round == 0 || include.iterate;
        let forward: Vec<&Include> = search.includes.iter().filter(wanted).collect();
        let reverse: Vec<&Include> = search.revincludes.iter().filter(wanted).collect();
        if from.is_empty() || (forward.is_empty() && reverse.is_empty()) {
            break;
        }
        let mut found = follow(call, &forward, &from).await?;
        found.extend(follow_back(call, &reverse, &from).await?);
        found.retain(|stored| !stored.deleted() && seen.insert(stored.rid));
        let before = found.len();
        found.retain(|stored| call.principal.require(Permission::Read, &stored.kind).is_ok());
        included.hidden += before - found.len();
        let room = INCLUDED_MAX - included.resources.len();
        included.cut |= found.len() > room;
        found.truncate(room);
        included.resources.extend(found.iter().cloned());
        from = found;
    }
    Ok(included)
}

async fn follow(call: &Call, includes: &[&Include], from: &[Stored]) -> Result<Vec<Stored>, Stop> {
    let mut wanted = BTreeSet::new();
    for include in includes {
        let rids: Vec<i64> =
            from.iter().filter(|stored| stored.kind == include.source).map(|stored| stored.rid).collect();
        if rids.is_empty() {
            continue;
        }
        let found = call.app.store.references_of(&call.tenant, &rids, &include.parameters).await?;
        let fits = |kind: &str| include.target.is_none_or(|target| target == kind);
        wanted.extend(found.into_iter().filter(|to| fits(&to.kind)).map(|to| (to.kind, to.id)));
    }
    let wanted: Vec<(String, String)> = wanted.into_iter().take(INCLUDED_MAX + 1).collect();
    let mut found = call.app.store.many(&call.tenant, &wanted).await?;
    for include in includes {
        found.extend(canonical::follow(call, include, from).await?);
    }
    found.sort_by_key(|stored| stored.rid);
    Ok(found)
}

async fn follow_back(call: &Call, includes: &[&Include], from: &[Stored]) -> Result<Vec<Stored>, Stop> {
    let mut all = Vec::new();
    for include in includes {
        all.extend(canonical::follow_back(call, include, from).await?);
        let targets: Vec<(String, String)> = from
            .iter()
            .filter(|stored| include.target.is_none_or(|target| target == stored.kind))
            .map(|stored| (stored.kind.clone(), stored.id.clone()))
            .collect();
        if targets.is_empty() {
            continue;
        }
        let limit = u32::try_from(INCLUDED_MAX + 1).unwrap_or(u32::MAX);
        let found = call.app.store.referenced_by(&call.tenant, &targets, &include.parameters, limit).await?;
        all.extend(found.into_iter().filter(|stored| stored.kind == include.source));
    }
    Ok(all)
}
