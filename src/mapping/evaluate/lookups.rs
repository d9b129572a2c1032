//! `with`: which questions can be asked now, and what their answers bind.

use serde_json::{Value, json};

use super::run::Round;
use super::values::{Blank, Want};
use super::{MAX_CLIMB, Question};
use crate::mapping::lookup::{Answer, Query, Read};
use crate::mapping::program::{Climb, Lookup, LookupKind};
use crate::mapping::steps::{Failure, text_of};
use crate::mapping::trace::{Outcome, Sighting};

/// What became of a look-up.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Looked {
    /// Waits for answers of this round.
    Pending,
    Found,
    /// Asked and absent: what was looked for, in words.
    Absent(String),
    /// What it asks with is itself absent.
    NotAsked,
}

/// What to do with one question.
enum Asked<'a> {
    Unanswered,
    Found(&'a Value),
    Absent,
}

impl<'a> Round<'a> {
    /// Binds what has an answer and gives the questions that have none yet.
    pub(super) fn lookups(&mut self) -> Vec<Question> {
        let mut questions = Vec::new();
        let program = self.program;
        for lookup in &program.with {
            let waits = lookup.uses.iter().filter_map(|used| self.looked.get(*used));
            let looked = if waits.into_iter().any(|(_, looked)| *looked == Looked::Pending) {
                Looked::Pending
            } else {
                let entered = self.enter(&lookup.name);
                let looked = self.lookup(lookup, &mut questions);
                self.leave(entered);
                looked
            };
            self.looked.push((&lookup.name, looked));
        }
        questions
    }

    fn lookup(&mut self, lookup: &'a Lookup, questions: &mut Vec<Question>) -> Looked {
        let Some(query) = self.query(lookup) else { return Looked::NotAsked };
        let query = match query {
            Ask::Contained(value) => {
                self.found(lookup, Some("contained"), &value);
                self.scope.bind_owned(&lookup.name, value);
                return self.climb_on(lookup, questions);
            }
            Ask::Query(query) => query,
        };
        match self.ask(lookup, lookup.name.clone(), query, questions) {
            Asked::Unanswered => Looked::Pending,
            Asked::Absent => {
                let described = self.last_asked();
                self.nothing(lookup.place, &format!("{described} was not found"));
                Looked::Absent(described)
            }
            Asked::Found(value) => {
                self.found(lookup, None, value);
                self.scope.bind(&lookup.name, value);
                self.climb_on(lookup, questions)
            }
        }
    }

    /// Notes what was found, by default by what was asked last.
    fn found(&mut self, lookup: &Lookup, where_else: Option<&str>, value: &Value) {
        let Some(mut note) = self.note(lookup.place) else { return };
        let path = where_else.map_or_else(|| self.last_asked(), str::to_owned);
        note.found.push(Sighting { path, value: Some(value.clone()) });
        self.keep(Some(note), || Outcome::Value(value.clone()));
    }

    /// What was asked last and has an answer, in words.
    fn last_asked(&self) -> String {
        self.reads.last().map(|read| describe(&read.query)).unwrap_or_default()
    }

    /// The question of a look-up; `None` when what it asks with is absent.
    fn query(&mut self, lookup: &Lookup) -> Option<Ask> {
        match &lookup.what {
            LookupKind::Reference { reference, .. } => {
                let value = self.value(reference, Want::Anything).into_value()?;
                self.reference(lookup, &value)
            }
            LookupKind::Contact { reference } => {
                let value = self.value(reference, Want::Anything).into_value()?;
                let reference = contact_reference(plain_reference(&value)?);
                Some(Ask::Query(Query::Contact { reference }))
            }
            LookupKind::OrgUnit { value, by } => {
                let value = self.value(value, Want::Scalar).into_value()?;
                let value =
                    text_of(&value).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())?;
                Some(Ask::Query(Query::OrgUnit { value, by: by.clone() }))
            }
            LookupKind::Search { query, many } => {
                let mut note = self.note(lookup.place);
                match self.template(query, &mut note) {
                    Ok(query) => Some(Ask::Query(Query::Search { query, many: many.unwrap_or(1) })),
                    Err(Blank::Absent(path)) => {
                        self.keep(note, || Outcome::Nothing(format!("`{path}` found nothing: not asked")));
                        None
                    }
                    Err(Blank::Failed(failure)) => {
                        self.failed(lookup.place, &failure);
                        None
                    }
                }
            }
        }
    }

    fn reference(&mut self, lookup: &Lookup, value: &Value) -> Option<Ask> {
        let text = value.get("reference").unwrap_or(value).as_str();
        if let Some(id) = text.and_then(|text| text.strip_prefix('#')) {
            let contained = self.input.change.resource.get("contained").and_then(Value::as_array);
            let found = contained
                .into_iter()
                .flatten()
                .find(|inner| inner.get("id").and_then(Value::as_str) == Some(id))
                .cloned();
            if found.is_none() {
                self.nothing(lookup.place, "no contained resource has this id");
            }
            return found.map(Ask::Contained);
        }
        let Some(reference) = plain_reference(value) else {
            self.failed(
                lookup.place,
                &Failure::new("not-a-reference", "what the path found names no resource")
                    .hint("a Reference has `reference` or `identifier`"),
            );
            return None;
        };
        Some(Ask::Query(Query::Reference { reference }))
    }

    /// Looks for the answer; notes the read, or the question.
    fn ask(
        &mut self,
        lookup: &Lookup,
        name: String,
        query: Query,
        questions: &mut Vec<Question>,
    ) -> Asked<'a> {
        let answers = self.input.answers;
        let Some(answer) = answers.get(&name, &query) else {
            questions.push(Question { name, query, follow: lookup.follow });
            return Asked::Unanswered;
        };
        let sources = match answer {
            Answer::Found { sources, .. } => sources.clone(),
            _ => Vec::new(),
        };
        self.reads.push(Read { name, query, follow: lookup.follow, sources });
        match answer {
            Answer::Found { value, .. } if is_empty(value) => Asked::Absent,
            Answer::Found { value, .. } => Asked::Found(value),
            Answer::Absent => Asked::Absent,
            Answer::Several(count) => {
                let message = format!("{count} match for {} where one is wanted", self.last_asked());
                self.failed(
                    lookup.place,
                    &Failure::new("lookup-several", message).hint("narrow the search, or give `many`"),
                );
                Asked::Absent
            }
            Answer::Refused(why) => {
                let message = format!("{}: {why}", self.last_asked());
                self.failed(lookup.place, &Failure::new("lookup-refused", message));
                Asked::Absent
            }
        }
    }

    fn climb_on(&mut self, lookup: &'a Lookup, questions: &mut Vec<Question>) -> Looked {
        match &lookup.what {
            LookupKind::Reference { climb: Some(climb), .. } => self.climb(lookup, climb, questions),
            _ => Looked::Found,
        }
    }

    /// Follows `up` from what is bound, until the condition holds of it.
    fn climb(&mut self, lookup: &'a Lookup, climb: &'a Climb, questions: &mut Vec<Question>) -> Looked {
        for level in 1..=MAX_CLIMB {
            if self.reached(lookup, climb) {
                return Looked::Found;
            }
            let above = self.scope.get(&lookup.name).and_then(|reached| reached.get(&climb.up)).cloned();
            let Some(Ask::Query(query)) = above.as_ref().and_then(|above| self.reference(lookup, above))
            else {
                return self.give_up(lookup, "nothing above meets `until`");
            };
            match self.ask(lookup, format!("{}#{level}", lookup.name), query, questions) {
                Asked::Unanswered => return Looked::Pending,
                Asked::Absent => {
                    let described = self.last_asked();
                    self.give_up(lookup, &described);
                    return Looked::Absent(described);
                }
                Asked::Found(value) => {
                    self.found(lookup, None, value);
                    self.scope.bind(&lookup.name, value);
                }
            }
        }
        self.failed(
            lookup.place,
            &Failure::new(
                "climb-too-high",
                format!("`up` climbed {MAX_CLIMB} levels without meeting `until`"),
            ),
        );
        self.give_up(lookup, "climbed too high")
    }

    fn reached(&mut self, lookup: &'a Lookup, climb: &'a Climb) -> bool {
        let bindings = self.scope.len();
        self.scope.bind_again("item", &lookup.name);
        let entered = self.enter("until");
        let holds = self.condition(&climb.until);
        self.leave(entered);
        self.scope.truncate(bindings);
        holds
    }

    /// What was reached on the way is not what was asked for.
    fn give_up(&mut self, lookup: &'a Lookup, why: &str) -> Looked {
        self.scope.bind_owned(&lookup.name, Value::Null);
        self.nothing(lookup.place, why);
        Looked::Absent(why.to_owned())
    }
}

enum Ask {
    Query(Query),
    /// Within the resource itself.
    Contained(Value),
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Only what names the resource, so that a corrected display text asks the same question.
fn plain_reference(value: &Value) -> Option<Value> {
    if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
        return Some(json!({"reference": text}));
    }
    let mut plain = serde_json::Map::new();
    if let Some(reference) = value.get("reference").filter(|reference| reference.is_string()) {
        plain.insert("reference".to_owned(), reference.clone());
    }
    if let Some(identifier) = value.get("identifier") {
        let mut kept = serde_json::Map::new();
        for name in ["system", "value"] {
            if let Some(text) = identifier.get(name).filter(|text| text.is_string()) {
                kept.insert(name.to_owned(), text.clone());
            }
        }
        if kept.contains_key("value") {
            plain.insert("identifier".to_owned(), Value::Object(kept));
            // Says where to look for the identifier.
            if let Some(kind) =
                value.get("type").filter(|kind| kind.is_string() && !plain.contains_key("reference"))
            {
                plain.insert("type".to_owned(), kind.clone());
            }
        }
    }
    (!plain.is_empty()).then_some(Value::Object(plain))
}

/// A contact's own identifier names it best, and asks the same question before and after the contact is
/// linked with a resource.
fn contact_reference(mut reference: Value) -> Value {
    let system = reference.pointer("/identifier/system").and_then(Value::as_str).unwrap_or_default();
    if system.ends_with("/contact")
        && let Some(fields) = reference.as_object_mut()
    {
        fields.retain(|name, _| name == "identifier");
    }
    reference
}

/// What was looked for, in words.
fn describe(query: &Query) -> String {
    match query {
        Query::Reference { reference } => format!("the resource {}", describe_reference(reference)),
        Query::Search { query, .. } => format!("a match for {query}"),
        Query::Contact { reference } => format!("the contact of {}", describe_reference(reference)),
        Query::OrgUnit { value, by } => format!("the organisation unit with {by} {value}"),
    }
}

fn describe_reference(reference: &Value) -> String {
    if let Some(text) = reference.get("reference").and_then(Value::as_str) {
        return text.to_owned();
    }
    let part = |name| reference.pointer(name).and_then(Value::as_str).unwrap_or_default();
    format!("{}|{}", part("/identifier/system"), part("/identifier/value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_asked_for_by_what_names_it() {
        let display = json!({"reference": "Patient/1", "display": "A", "type": "Patient"});
        assert_eq!(plain_reference(&display), Some(json!({"reference": "Patient/1"})));
        let logical = json!({"identifier": {"use": "official", "system": "s", "value": "v"}});
        assert_eq!(plain_reference(&logical), Some(json!({"identifier": {"system": "s", "value": "v"}})));
        assert_eq!(plain_reference(&json!("Patient/1")), Some(json!({"reference": "Patient/1"})));
        let typed = json!({"type": "Patient", "identifier": {"value": "v"}});
        assert_eq!(plain_reference(&typed), Some(json!({"identifier": {"value": "v"}, "type": "Patient"})));
        assert_eq!(plain_reference(&json!({"display": "A"})), None);
        assert_eq!(plain_reference(&json!(3)), None);
    }

    #[test]
    fn a_contact_asks_the_same_before_and_after_it_is_linked() {
        let own = json!({"identifier": {"system": "https://r.example/contact", "value": "u"}});
        let mut linked = own.clone();
        linked["reference"] = json!("Practitioner/1");
        assert_eq!(contact_reference(linked), own);
        let other = json!({"reference": "Patient/1", "identifier": {"system": "urn:card", "value": "7"}});
        assert_eq!(contact_reference(other.clone()), other);
    }
}
