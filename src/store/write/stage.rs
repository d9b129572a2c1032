//! What a write group is about to write, decided in memory from the current states that were read.
//!
//! Data comes from plans ([`Put`]) and leaves through [`Buffer::flush`]. A plan is staged whole or not at
//! all.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use super::{Effect, Origin, Precondition, Put, Refusal, Standing, Written};
use crate::fhir::index::IndexRow;
use crate::fhir::written_back::{self, Kept};

/// A resource type or document kind, and an id.
pub(super) type Key = (String, String);

/// How many partitions the changes of a tenant are spread over.
pub const PARTITIONS: i64 = 64;
/// Changes of one group: the place in the group has sixteen bits of a change's position.
pub(super) const ORDINALS_MAX: i64 = 1 << 16;

/// The state of one resource as the group sees it.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub rid: i64,
    pub version: i64,
    pub updated_ms: i64,
    /// That of its first subject, for good: its changes stay in order, deletions and changes of subject too.
    pub partition: i64,
    /// `None`: deleted.
    pub body: Option<String>,
    /// Who wrote it, as stored.
    pub origin: String,
}

/// One version to be written.
#[derive(Debug)]
pub(super) struct NewVersion {
    pub kind: String,
    pub id: String,
    pub rid: i64,
    pub version: i64,
    pub body: Option<String>,
    pub index: Vec<IndexRow>,
    pub partition: i64,
    pub ordinal: i64,
    pub method: &'static str,
    pub origin: String,
}

/// The group's own numbers, from the tenant's clock row.
#[derive(Debug)]
pub(super) struct Stage {
    pub commit_no: i64,
    pub at_ms: i64,
    pub next_rid: i64,
    /// Places given to changes so far.
    pub ordinals: i64,
    /// What is known of each resource: read, or staged by an earlier plan. `None`: there is none.
    pub known: HashMap<Key, Option<Current>>,
    /// Staged and not flushed yet.
    pub versions: Vec<NewVersion>,
    pub cursors: BTreeMap<String, String>,
}

impl Stage {
    /// Whether a plan of this size still fits into the group.
    pub(super) fn fits(&self, puts: usize) -> bool {
        i64::try_from(puts).is_ok_and(|puts| self.ordinals + puts <= ORDINALS_MAX)
    }

    /// A version's place among all of the tenant.
    pub(super) fn position(&self, version: &NewVersion) -> i64 {
        (self.commit_no << 16) | version.ordinal
    }

    /// A resource that is in `known`; `None`: there never was one.
    pub(super) fn standing(&self, key: &Key) -> Option<Standing> {
        let current = self.known.get(key)?.as_ref()?;
        Some(Standing {
            version: current.version,
            updated_ms: current.updated_ms,
            body: current.body.clone(),
            origin: Origin::parse(&current.origin),
        })
    }

    /// Stages one plan, whole or not at all. All its keys are in `known`.
    pub(super) fn plan(&mut self, puts: Vec<Put>) -> Result<Vec<Written>, Refusal> {
        let mut draft =
            Draft { stage: self, own: HashMap::new(), versions: Vec::new(), rids: 0, answers: Vec::new() };
        for put in puts {
            draft.put(put)?;
        }
        let Draft { own, versions, rids, answers, .. } = draft;
        self.next_rid += rids;
        self.ordinals += i64::try_from(versions.len()).unwrap_or(ORDINALS_MAX);
        self.known.extend(own.into_iter().map(|(key, current)| (key, Some(current))));
        self.versions.extend(versions);
        Ok(answers)
    }
}

/// One plan on top of a stage.
struct Draft<'a> {
    stage: &'a Stage,
    own: HashMap<Key, Current>,
    versions: Vec<NewVersion>,
    /// New resources so far.
    rids: i64,
    answers: Vec<Written>,
}

impl Draft<'_> {
    fn put(&mut self, mut put: Put) -> Result<(), Refusal> {
        let key = (put.kind.clone(), put.id.clone());
        let before =
            self.own.get(&key).or_else(|| self.stage.known.get(&key).and_then(Option::as_ref)).cloned();
        permitted(&put, before.as_ref())?;
        let kept = keep(&mut put, before.as_ref());
        if let Some(answer) = unchanged(&put, before.as_ref()) {
            self.answers.push(Written { kept, ..answer });
            return Ok(());
        }
        let effect = match (&put.body, before.as_ref().and_then(|current| current.body.as_ref())) {
            (None, _) => Effect::Deleted,
            (Some(_), None) => Effect::Created,
            (Some(_), Some(_)) => Effect::Updated,
        };
        let rid = before.as_ref().map_or_else(|| self.new_rid(), |current| current.rid);
        let version = before.as_ref().map_or(1, |current| current.version + 1);
        let partition = before.map_or_else(|| partition(&put.subject), |current| current.partition);
        let updated_ms = self.stage.at_ms;
        let origin = put.origin.text();
        let current = Current { rid, version, updated_ms, partition, body: put.body.clone(), origin };
        self.answers.push(Written { kept, ..written(&put, &current, effect) });
        self.versions.push(self.version(put, &current));
        self.own.insert(key, current);
        Ok(())
    }

    fn new_rid(&mut self) -> i64 {
        self.rids += 1;
        self.stage.next_rid + self.rids - 1
    }

    fn version(&self, put: Put, current: &Current) -> NewVersion {
        NewVersion {
            rid: current.rid,
            version: current.version,
            partition: current.partition,
            ordinal: self.stage.ordinals + i64::try_from(self.versions.len()).unwrap_or(ORDINALS_MAX),
            method: method(&put),
            origin: put.origin.text(),
            kind: put.kind,
            id: put.id,
            body: put.body,
            index: put.index,
        }
    }
}

/// Gives a put what Mjumbe had written back into the resource; the body, where there was something.
fn keep(put: &mut Put, before: Option<&Current>) -> Option<String> {
    let (current, new) = (before?.body.as_deref()?, put.body.as_deref()?);
    let Kept { body, rows } = written_back::keep(&put.kind, current, new)?;
    put.body = Some(body.clone());
    for row in rows {
        if !put.index.contains(&row) {
            put.index.push(row);
        }
    }
    Some(body)
}

/// <https://hl7.org/fhir/R4/http.html#concurrency>
fn permitted(put: &Put, before: Option<&Current>) -> Result<(), Refusal> {
    let living = before.filter(|current| current.body.is_some());
    let (kind, id) = (put.kind.clone(), put.id.clone());
    let wanted: &[i64] = match &put.precondition {
        Precondition::Version(version) => std::slice::from_ref(version),
        Precondition::OneOf(versions) => versions,
        Precondition::Living if living.is_none() => return Err(Refusal::Missing { kind, id }),
        Precondition::Absent if living.is_some() => return Err(Refusal::Exists { kind, id }),
        Precondition::Living | Precondition::Absent | Precondition::None => return Ok(()),
    };
    match living {
        Some(current) if wanted.contains(&current.version) => Ok(()),
        Some(current) => {
            let wanted = wanted.first().copied().unwrap_or_default();
            Err(Refusal::VersionConflict { kind, id, current: current.version, wanted })
        }
        None => Err(Refusal::Missing { kind, id }),
    }
}

/// The answer where there is nothing to write: an equal body, or a deletion of what is not there.
fn unchanged(put: &Put, before: Option<&Current>) -> Option<Written> {
    match (before, &put.body) {
        (Some(current), body) if current.body == *body => Some(written(put, current, Effect::Unchanged)),
        (None, None) => {
            let origin = String::new();
            let nothing = Current { rid: 0, version: 0, updated_ms: 0, partition: 0, body: None, origin };
            Some(written(put, &nothing, Effect::Unchanged))
        }
        _ => None,
    }
}

fn written(put: &Put, current: &Current, effect: Effect) -> Written {
    Written {
        kind: put.kind.clone(),
        id: put.id.clone(),
        version: current.version,
        updated_ms: current.updated_ms,
        effect,
        kept: None,
    }
}

/// What the instance's history shows as `request.method`.
fn method(put: &Put) -> &'static str {
    match (&put.body, &put.precondition) {
        (None, _) => "DELETE",
        (Some(_), Precondition::Absent) => "POST",
        (Some(_), _) => "PUT",
    }
}

/// The partition of a subject's changes; equal subjects share one on every machine and release.
pub fn partition(subject: &str) -> i64 {
    let digest = Sha256::digest(subject.as_bytes());
    i64::from(digest[0]) % PARTITIONS
}
