//! From answers to actions: which id each entry has, what references become, and in which order.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::read::{duplicate, inside};
use super::sight::Sight;
use super::{
    Action, Answers, Asked, Condition, Current, Effect, Entry, Instance, Matched, Method, Operation, Order,
    Plan, Question,
};
use crate::fhir::outcome::{IssueType, Outcome};
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
        let mut sight = Sight::new(&self.questions, answers.custom, &self.zone);
        let mut actions = self.actions(answers, &mut sight)?;
        if self.order == Order::Rules {
            check_identities(&actions)?;
        }
        let mut map = self.names(&actions);
        self.resolve(answers, &sight, &mut map)?;
        replace(&mut actions, &map)?;
        if self.order == Order::Rules {
            check_placeholders(&actions)?;
        }
        match self.order {
            Order::Rules | Order::Alone => actions.sort_by_key(|action| order(&action.effect)),
            Order::AsTold => actions.reverse(),
        }
        Ok(actions)
    }

    /// What each entry does, in the Bundle's order: each condition sees what is done in the steps before.
    fn actions(&self, answers: &Answers<'_>, sight: &mut Sight<'_>) -> Result<Vec<Action>, Outcome> {
        let conditions = self.conditions(answers);
        let mut effects: BTreeMap<usize, Effect> = BTreeMap::new();
        for step in [Step::Delete, Step::Create, Step::Change, Step::Read] {
            let entries =
                self.entries.iter().enumerate().filter(|(_, entry)| Step::of(&entry.operation) == step);
            for (position, entry) in entries {
                let found = match conditions.get(&position) {
                    Some((question, stored)) => {
                        sight.seen(question, stored).map_err(|o| asked_by(o, entry))?
                    }
                    None => Vec::new(),
                };
                self.check_read(entry, &effects, answers)?;
                effects.insert(position, self.effect(entry, &found, answers)?);
            }
            let done = effects.iter().filter(|(at, _)| self.step(**at) == Some(step));
            done.for_each(|(_, effect)| sight.add(effect));
            if step == Step::Create || step == Step::Change {
                self.check_creates(&conditions, &effects, (step, sight))?;
            }
        }
        let effects = self.entries.iter().zip(effects.into_values());
        Ok(effects
            .map(|(entry, effect)| Action { index: entry.index, path: entry.path.clone(), effect })
            .collect())
    }

    /// A transaction that reads what will not be there fails as a whole.
    fn check_read(
        &self,
        entry: &Entry,
        effects: &BTreeMap<usize, Effect>,
        answers: &Answers<'_>,
    ) -> Result<(), Outcome> {
        let Operation::Read { of: Some(Instance { kind, id, version }), .. } = &entry.operation else {
            return Ok(());
        };
        if self.order == Order::Alone {
            return Ok(());
        }
        let written = effects.values().find(|effect| match effect {
            Effect::Put { resource, id: own, .. } => resource.kind() == *kind && own == id,
            Effect::Delete { kind: of, id: own, .. } => of == kind && own == id,
            _ => false,
        });
        let stored = (answers.current)(kind, id);
        let versions = stored.as_ref().map_or(0, |stored| stored.version) + i64::from(written.is_some());
        let lives = match written {
            Some(effect) => matches!(effect, Effect::Put { .. }),
            None => stored.is_some_and(|stored| stored.body.is_some()),
        };
        let (issue, code, text) = match version {
            Some(version) if *version <= versions => return Ok(()),
            None if lives => return Ok(()),
            None if versions > 0 => (IssueType::Deleted, "deleted", "what is to be read is deleted"),
            _ => (IssueType::NotFound, "not-found", "what is to be read does not exist"),
        };
        Err(Outcome::error(issue, code, text).at(format!("{}.request.url", entry.path)))
    }

    fn step(&self, position: usize) -> Option<Step> {
        self.entries.get(position).map(|entry| Step::of(&entry.operation))
    }

    /// The condition of each entry that has one, and what the store says.
    fn conditions<'a>(&'a self, answers: &Answers<'a>) -> Conditions<'a> {
        let answered = self.asked.iter().zip(&self.questions).zip(answers.matches);
        let own = answered.filter_map(|((asked, question), found)| match asked {
            Asked::Entry(position) => Some((*position, (question, found.as_slice()))),
            Asked::Reference { .. } => None,
        });
        own.collect()
    }

    /// A conditional create would be another one in another order of the entries: it would find what is created
    /// beside it, or not find what is changed after it.
    fn check_creates(
        &self,
        conditions: &Conditions<'_>,
        effects: &BTreeMap<usize, Effect>,
        (step, sight): (Step, &Sight<'_>),
    ) -> Result<(), Outcome> {
        for (position, effect) in effects {
            let (Some((question, _)), Some(Step::Create)) = (conditions.get(position), self.step(*position))
            else {
                continue;
            };
            let Some((kind, id)) = identity(effect) else { continue };
            let path = self.entries.get(*position).map_or("", |entry| entry.path.as_str());
            let at = |outcome: Outcome| outcome.at(format!("{path}.request.ifNoneExist"));
            if step == Step::Create && sight.has_another(question, id).map_err(at)? {
                return Err(at(duplicate("another entry creates what this condition looks for")));
            }
            let exists = matches!(effect, Effect::Exists { .. });
            if step == Step::Change && exists && sight.loses(question, (kind, id)) {
                return Err(at(duplicate("another entry changes what this condition finds")));
            }
        }
        Ok(())
    }

    fn effect(&self, entry: &Entry, found: &[Matched], answers: &Answers<'_>) -> Result<Effect, Outcome> {
        // The store has no version 0: it is created beside.
        if let ([(.., 0)], Step::Change) = (found, Step::of(&entry.operation)) {
            return Err(asked_by(duplicate("another entry creates what this condition finds"), entry));
        }
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
            _ => return effect(entry, found, answers),
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
        sight: &Sight<'_>,
        map: &mut HashMap<String, String>,
    ) -> Result<(), Outcome> {
        for ((asked, question), answer) in self.asked.iter().zip(&self.questions).zip(answers.matches) {
            let Asked::Reference { text, path } = asked else { continue };
            let found = sight.seen(question, answer).map_err(|outcome| outcome.at(path.clone()))?;
            match found.as_slice() {
                [(kind, id, _)] => map.insert(text.clone(), format!("{kind}/{id}")),
                [] => {
                    let text = "no resource matches this conditional reference";
                    let outcome = Outcome::error(IssueType::NotFound, "no-match", text);
                    return Err(outcome.status(412).at(path.clone()));
                }
                _ => return Err(several("this conditional reference").at(path.clone())),
            };
        }
        Ok(())
    }
}

/// By the entry's position.
type Conditions<'a> = HashMap<usize, (&'a Question, &'a [Matched])>;

/// R4's order of what a transaction does. <https://hl7.org/fhir/R4/http.html#trules>
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Delete,
    Create,
    Change,
    Read,
}

impl Step {
    fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Delete { .. } | Operation::DeleteMatch { .. } => Self::Delete,
            Operation::Create { .. } => Self::Create,
            Operation::Update { .. }
            | Operation::UpdateMatch { .. }
            | Operation::Patch { .. }
            | Operation::PatchMatch { .. } => Self::Change,
            Operation::Read { .. } | Operation::Call(_) => Self::Read,
        }
    }
}

fn asked_by(outcome: Outcome, entry: &Entry) -> Outcome {
    outcome.at(format!("{}.request", entry.path))
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

/// What names an entry by a UUID names one of this transaction.
/// <https://hl7.org/fhir/R4/bundle.html#references>
fn check_placeholders(actions: &[Action]) -> Result<(), Outcome> {
    for action in actions {
        // What a patched resource held before is not of this transaction.
        let Effect::Put { resource, method: Method::Post | Method::Put, .. } = &action.effect else {
            continue;
        };
        if let Some(place) = rewrite::placeholder(resource.body()) {
            let text = "no entry of this transaction has this urn:uuid as its fullUrl";
            return Err(Outcome::error(IssueType::NotFound, "unresolved-reference", text)
                .status(400)
                .at(inside(&action.path, &place)));
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
    match &current.body {
        Some(_) if !condition.admits(current.version) => {
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

fn effect(entry: &Entry, found: &[Matched], answers: &Answers<'_>) -> Result<Effect, Outcome> {
    if found.len() > 1 {
        return Err(several("this condition").at(format!("{}.request", entry.path)));
    }
    Ok(match (&entry.operation, found.first()) {
        (Operation::Create { if_none_exist: Some(_), .. }, Some((kind, id, version))) => {
            let updated_ms = (answers.current)(kind, id).map_or(0, |current| current.updated_ms);
            Effect::Exists { kind: kind.clone(), id: id.clone(), version: *version, updated_ms }
        }
        (Operation::Create { resource, id, .. }, _) => put(resource, id, Condition::Absent, Method::Post),
        (Operation::Update { resource, id, condition }, _) => put(resource, id, *condition, Method::Put),
        (Operation::UpdateMatch { condition, .. }, None) if condition.asks_for_one() => {
            let text = "no resource matches this condition, so that there is no version of it";
            return Err(Outcome::error(IssueType::Conflict, "version-conflict", text)
                .status(412)
                .at(format!("{}.request.ifMatch", entry.path)));
        }
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
        (Operation::Read { url, head, if_none_match, if_modified_since, .. }, _) => Effect::Read {
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
