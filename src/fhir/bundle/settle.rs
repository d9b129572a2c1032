//! From answers to actions: which id each entry has, what references become, and in which order.

use std::collections::{HashMap, HashSet};

use super::read::duplicate;
use super::{
    Action, Answers, Asked, Condition, Current, Effect, Entry, Matched, Method, Operation, Order, Plan,
    Question,
};
use crate::fhir::index::{self, IndexRow, expression};
use crate::fhir::matching::{Candidate, matches};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::parameters::custom::Custom;
use crate::fhir::patch::{Deadline, Patch};
use crate::fhir::reference::{self, Literal, rewrite};
use crate::fhir::resource::Resource;
use crate::fhir::structure::tolerated::Tolerated;

impl Plan {
    /// The actions, in the order of R4's transaction rules. `answers` are those of [`Plan::questions`], in
    /// order. May be called again with other answers.
    ///
    /// # Errors
    /// 412 where a condition matches several, 404, 410, 412 or 422 where a patch has nothing to change or does not
    /// fit, 400 where a conditional update contradicts its resource's id or
    /// two entries are the same resource, 404 or 412 for a conditional reference without exactly one match.
    pub fn settle(&self, answers: &Answers<'_>) -> Result<Vec<Action>, Outcome> {
        let mut own = HashMap::new();
        for (asked, answer) in self.asked.iter().zip(answers.matches) {
            if let Asked::Entry(position) = asked {
                own.insert(*position, answer.as_slice());
            }
        }
        let mut actions = Vec::with_capacity(self.entries.len());
        for (position, entry) in self.entries.iter().enumerate() {
            let effect = self.effect(entry, own.get(&position).copied().unwrap_or_default(), answers)?;
            actions.push(Action { index: entry.index, path: entry.path.clone(), effect });
        }
        if self.order == Order::Rules {
            check_identities(&actions)?;
        }
        let mut map = self.names(&actions);
        self.resolve(answers, &actions, &mut map)?;
        replace(&mut actions, &map)?;
        match self.order {
            Order::Rules => actions.sort_by_key(|action| order(&action.effect)),
            Order::AsTold => actions.reverse(),
        }
        Ok(actions)
    }

    fn effect(&self, entry: &Entry, found: &[Matched], answers: &Answers<'_>) -> Result<Effect, Outcome> {
        let (kind, id, patch, condition) = match (&entry.operation, found) {
            (Operation::Patch { kind, id, patch, condition }, _) => (*kind, id, patch, *condition),
            (Operation::PatchMatch { kind, patch, condition, .. }, [(_, id, _)]) => {
                (*kind, id, patch, *condition)
            }
            (Operation::PatchMatch { .. }, []) => {
                let text = "no resource matches this condition";
                return Err(Outcome::error(IssueType::NotFound, "no-match", text)
                    .at(format!("{}.request", entry.path)));
            }
            _ => return effect(entry, found),
        };
        answers.deadline.check().map_err(|outcome| seen(outcome, entry))?;
        let current = (answers.current)(kind, id);
        let mut resource = patched((patch, answers.deadline, self.tolerated), condition, current.as_ref())
            .map_err(|outcome| seen(outcome, entry))?;
        rewrite::localise(resource.body_mut(), &self.base);
        let version = current.map_or(0, |current| current.version);
        Ok(put(&resource, id, Condition::Version(version), Method::Patch))
    }

    /// What each fullUrl becomes.
    fn names(&self, actions: &[Action]) -> HashMap<String, String> {
        let mut map = HashMap::new();
        for (entry, action) in self.entries.iter().zip(actions) {
            let (Some(url), Some((kind, id))) = (&entry.full_url, identity(&action.effect)) else { continue };
            let name = format!("{kind}/{id}");
            // `http://somewhere/Patient/1` may be referred to as `Patient/1` by what came from there.
            if let Literal::Absolute { kind, id, .. } = reference::parse(url) {
                map.entry(format!("{kind}/{id}")).or_insert_with(|| name.clone());
            }
            if let Some(relative) = url.strip_prefix(&self.base) {
                map.insert(relative.trim_start_matches('/').to_owned(), name.clone());
            }
            map.insert(url.clone(), name);
        }
        map.retain(|from, to| from != to);
        map
    }

    /// Adds what conditional references become: the one match in the store or in this transaction.
    fn resolve(
        &self,
        answers: &Answers<'_>,
        actions: &[Action],
        map: &mut HashMap<String, String>,
    ) -> Result<(), Outcome> {
        let mut own = None;
        for ((asked, question), answer) in self.asked.iter().zip(&self.questions).zip(answers.matches) {
            let Asked::Reference { text, path } = asked else { continue };
            let own = own.get_or_insert_with(|| self.own_writes(actions, answers.custom));
            let mut found: HashSet<(&str, &str)> =
                answer.iter().map(|(kind, id, _)| (kind.as_str(), id.as_str())).collect();
            for write in own.iter() {
                write.decide(question, &mut found);
            }
            let mut found = found.into_iter();
            match (found.next(), found.next()) {
                (Some((kind, id)), None) => map.insert(text.clone(), format!("{kind}/{id}")),
                (None, _) => {
                    let text = "no resource matches this conditional reference";
                    let outcome = Outcome::error(IssueType::NotFound, "no-match", text);
                    return Err(outcome.status(412).at(path.clone()));
                }
                _ => return Err(several("this conditional reference").at(path.clone())),
            };
        }
        Ok(())
    }

    fn own_writes<'a>(&self, actions: &'a [Action], custom: &Custom) -> Vec<OwnWrite<'a>> {
        let write = |action: &'a Action| match &action.effect {
            Effect::Delete { kind, id, .. } => Some(OwnWrite { kind, id, rows: None }),
            Effect::Put { resource, id, .. } => {
                let (kind, body) = (resource.kind(), resource.body());
                let mut rows = index::rows(kind, body, &self.zone);
                rows.extend(expression::rows_for_write(custom.kind(kind), body, &self.zone));
                Some(OwnWrite { kind, id, rows: Some(rows) })
            }
            _ => None,
        };
        actions.iter().filter_map(write).collect()
    }
}

/// What this transaction itself writes (its rows) or deletes (none).
struct OwnWrite<'a> {
    kind: &'a str,
    id: &'a str,
    rows: Option<Vec<IndexRow>>,
}

impl<'a> OwnWrite<'a> {
    /// What the transaction writes decides over what the store has.
    fn decide<'f>(&'f self, question: &Question, found: &mut HashSet<(&'f str, &'f str)>)
    where
        'a: 'f,
    {
        let Self { kind, id, rows } = self;
        let matched = rows.as_ref().is_some_and(|rows| {
            matches(&question.query, &Candidate { kind, id, updated_ms: i64::MAX - 1, rows })
        });
        if matched {
            found.insert((kind, id));
        } else {
            found.remove(&(*kind, *id));
        }
    }
}

/// DELETE, POST, PUT, GET and operations, which change nothing in a transaction.
fn order(effect: &Effect) -> u8 {
    match effect {
        Effect::Delete { .. } | Effect::Nothing => 0,
        Effect::Put { method: Method::Post, .. } | Effect::Exists { .. } => 1,
        Effect::Put { method: Method::Put | Method::Patch, .. } => 2,
        Effect::Read { .. } | Effect::Call(_) => 3,
    }
}

/// Makes the references what they are now.
fn replace(actions: &mut [Action], map: &HashMap<String, String>) -> Result<(), Outcome> {
    // What a patched resource held before is ours: there, only what cannot be ours is replaced.
    let foreign = map.iter().filter(|(from, _)| from.contains([':', '?']));
    let foreign: HashMap<String, String> = foreign.map(|(from, to)| (from.clone(), to.clone())).collect();
    for action in actions {
        let Effect::Put { resource, method, .. } = &mut action.effect else { continue };
        let map = if *method == Method::Patch { &foreign } else { map };
        if !map.is_empty() {
            rewrite::replace(resource.body_mut(), map);
        }
        if *method == Method::Patch
            && let Some(place) = rewrite::conditional(resource.body()).into_values().next()
        {
            let text = "the patch makes a conditional reference of parts, which is not resolved";
            return Err(Outcome::error(IssueType::NotSupported, "conditional-reference", text)
                .status(422)
                .at(place)
                .hint("write the whole Reference in one operation"));
        }
    }
    Ok(())
}

/// The next version, if the current one is as the client expects it.
fn patched(
    (patch, deadline, tolerated): (&Patch, Deadline, Tolerated),
    condition: Condition,
    current: Option<&Current>,
) -> Result<Resource, Outcome> {
    let refused = |kind: IssueType, code: &'static str, text: &str| Err(Outcome::error(kind, code, text));
    let Some(current) = current else {
        return refused(IssueType::NotFound, "not-found", "there is no such resource to be patched");
    };
    let stale = matches!(condition, Condition::Version(wanted) if wanted != current.version);
    match &current.body {
        Some(_) if stale || condition == Condition::Absent => {
            let text = format!("the resource is at version {}", current.version);
            let outcome = Outcome::error(IssueType::Conflict, "version-conflict", text).status(412);
            Err(outcome.hint("read it again and repeat the change on its current version"))
        }
        Some(body) => patch.apply(body, deadline, tolerated),
        None => refused(IssueType::Deleted, "deleted", "what is to be patched was deleted"),
    }
}

/// Seen from the Bundle, where there is one: a patch's own places are in the resource that is patched.
fn seen(outcome: Outcome, entry: &Entry) -> Outcome {
    if entry.path.is_empty() { outcome } else { outcome.at(format!("{}.resource", entry.path)) }
}

fn several(what: &str) -> Outcome {
    Outcome::error(IssueType::MultipleMatches, "multiple-matches", format!("several resources match {what}"))
}

fn effect(entry: &Entry, found: &[Matched]) -> Result<Effect, Outcome> {
    if found.len() > 1 {
        return Err(several("this condition").at(format!("{}.request", entry.path)));
    }
    Ok(match (&entry.operation, found.first()) {
        (Operation::Create { if_none_exist: Some(_), .. }, Some((kind, id, version))) => {
            Effect::Exists { kind: kind.clone(), id: id.clone(), version: *version }
        }
        (Operation::Create { resource, id, .. }, _) => put(resource, id, Condition::Absent, Method::Post),
        (Operation::Update { resource, id, condition }, _) => put(resource, id, *condition, Method::Put),
        (Operation::UpdateMatch { resource, id, condition, .. }, None) => {
            put(resource, id, *condition, Method::Put)
        }
        (Operation::UpdateMatch { resource, condition, .. }, Some((_, id, _))) => {
            if resource.id().is_some_and(|own| own != id) {
                let text = "the resource's id is not that of the match";
                return Err(Outcome::error(IssueType::Value, "id-mismatch", text)
                    .at(format!("{}.resource.id", entry.path)));
            }
            put(resource, id, *condition, Method::Put)
        }
        (Operation::Delete { kind, id, condition }, _) => {
            Effect::Delete { kind, id: id.clone(), condition: *condition }
        }
        (Operation::DeleteMatch { kind, .. }, Some((_, id, version))) => {
            Effect::Delete { kind, id: id.clone(), condition: Condition::Version(*version) }
        }
        // A patch is not settled here.
        (Operation::DeleteMatch { .. } | Operation::Patch { .. } | Operation::PatchMatch { .. }, _) => {
            Effect::Nothing
        }
        (Operation::Read { url, head, if_none_match, if_modified_since }, _) => Effect::Read {
            url: url.clone(),
            head: *head,
            if_none_match: if_none_match.clone(),
            if_modified_since: if_modified_since.clone(),
        },
        (Operation::Call(invocation), _) => Effect::Call(invocation.clone()),
    })
}

fn put(resource: &Resource, id: &str, condition: Condition, method: Method) -> Effect {
    Effect::Put { resource: resource.clone(), id: id.to_owned(), condition, method }
}

fn identity(effect: &Effect) -> Option<(&str, &str)> {
    match effect {
        Effect::Put { resource, id, .. } => Some((resource.kind(), id)),
        Effect::Delete { kind, id, .. } => Some((kind, id)),
        Effect::Exists { kind, id, .. } => Some((kind, id)),
        Effect::Nothing | Effect::Read { .. } | Effect::Call(_) => None,
    }
}

/// A resource occurs once among what is written and deleted.
fn check_identities(actions: &[Action]) -> Result<(), Outcome> {
    let mut seen = HashSet::new();
    for action in actions {
        let written = !matches!(action.effect, Effect::Exists { .. });
        if let (true, Some((kind, id))) = (written, identity(&action.effect))
            && !seen.insert((kind.to_owned(), id.to_owned()))
        {
            return Err(duplicate("two entries write or delete the same one").at(action.path.clone()));
        }
    }
    Ok(())
}
