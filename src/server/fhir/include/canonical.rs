//! Includes by canonical url: a QuestionnaireResponse's Questionnaire.
//! <https://hl7.org/fhir/R4/references.html#canonical>
//!
//! `url|version` means that version, `url` alone every one that is stored.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::super::call::{Call, Stop};
use super::INCLUDED_MAX;
use crate::fhir::index::ParameterKey;
use crate::fhir::reference::split_canonical;
use crate::fhir::search::Include;
use crate::store::read::Stored;

/// What these resources name, by number.
#[derive(Default)]
struct Named(HashMap<i64, HashSet<String>>);

impl Named {
    async fn of(call: &Call, include: &Include, from: &[Stored]) -> Result<Self, Stop> {
        let rids: Vec<i64> = from.iter().map(|stored| stored.rid).collect();
        let found = call.app.store.canonicals_of(&call.tenant, &rids, &include.parameters).await?;
        let mut named = Self::default();
        for (rid, url) in found {
            named.0.entry(rid).or_default().insert(url);
        }
        // The index has a versioned one without its version too, which is not what was written.
        for urls in named.0.values_mut() {
            let bare: HashSet<String> =
                urls.iter().filter_map(|url| Some(url.rsplit_once('|')?.0.to_owned())).collect();
            urls.retain(|url| !bare.contains(url));
        }
        Ok(named)
    }

    /// Without versions, each once.
    fn urls(&self) -> Vec<String> {
        let all: HashSet<&str> = self.0.values().flatten().map(|url| split_canonical(url).0).collect();
        all.into_iter().map(str::to_owned).collect()
    }

    fn holds(&self, rid: i64, (url, version): &(String, String)) -> bool {
        self.0.get(&rid).is_some_and(|urls| urls.contains(url) || urls.contains(&format!("{url}|{version}")))
    }
}

/// A resource's own url and version.
fn identity(stored: &Stored) -> Option<(String, String)> {
    let body: Value = serde_json::from_str(stored.body.as_deref()?).ok()?;
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    Some((text("url")?.to_owned(), text("version").unwrap_or_default().to_owned()))
}

fn limit() -> u32 {
    u32::try_from(INCLUDED_MAX + 1).unwrap_or(u32::MAX)
}

/// What the canonicals of `from` name.
pub async fn follow(call: &Call, include: &Include, from: &[Stored]) -> Result<Vec<Stored>, Stop> {
    let own: Vec<Stored> = from.iter().filter(|stored| stored.kind == include.source).cloned().collect();
    let keys: Vec<ParameterKey> = include.canonicals().map(|kind| ParameterKey::new(kind, "url")).collect();
    if own.is_empty() || keys.is_empty() {
        return Ok(Vec::new());
    }
    let named = Named::of(call, include, &own).await?;
    let mut found = call.app.store.by_url(&call.tenant, &named.urls(), &keys, limit()).await?;
    found.retain(|stored| {
        identity(stored).is_some_and(|identity| own.iter().any(|from| named.holds(from.rid, &identity)))
    });
    Ok(found)
}

/// What names one of `from` by its canonical.
pub async fn follow_back(call: &Call, include: &Include, from: &[Stored]) -> Result<Vec<Stored>, Stop> {
    let is_target = |stored: &&Stored| include.canonicals().any(|kind| kind == stored.kind);
    let targets: Vec<(String, String)> = from.iter().filter(is_target).filter_map(identity).collect();
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let urls: Vec<String> = targets.iter().map(|(url, _)| url.clone()).collect();
    let store = &call.app.store;
    let mut found = store.referring_to_url(&call.tenant, &urls, &include.parameters, limit()).await?;
    let named = Named::of(call, include, &found).await?;
    found.retain(|stored| targets.iter().any(|target| named.holds(stored.rid, target)));
    Ok(found)
}
