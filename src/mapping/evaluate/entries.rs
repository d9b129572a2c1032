//! `to`: each entry, for each item, becomes at most one output.

use std::collections::HashSet;

use serde_json::Value;

use super::MAX_ITEMS;
use super::run::Round;
use super::values::Want;
use crate::mapping::output::{Issue, Nature, Output};
use crate::mapping::path::Path;
use crate::mapping::program::{Destination, Entry};
use crate::mapping::steps::{Failure, text_of};
use crate::mapping::target::{Context, Evaluated};

impl<'a> Round<'a> {
    pub(super) fn entries(&mut self) {
        let program = self.program;
        for (index, entry) in program.to.iter().enumerate() {
            let entered = self.enter_item("to", index);
            match &entry.each {
                None => {
                    if let Some(key) = self.key(entry) {
                        self.entry(entry, &key);
                    }
                }
                Some(each) => self.each_item(entry, each),
            }
            self.leave(entered);
        }
    }

    fn each_item(&mut self, entry: &'a Entry, each: &Path) {
        let mut items = Vec::new();
        for node in each.nodes(&self.scope) {
            match node {
                Value::Array(inner) => items.extend(inner),
                other => items.push(other),
            }
        }
        if items.is_empty() {
            return self.nothing(entry.place, &format!("`each`: `{}` found nothing", each.text));
        }
        if items.len() > MAX_ITEMS {
            let message = format!("`each` found more than {MAX_ITEMS} items: none of them is taken");
            return self.failed(entry.place, &Failure::new("each-too-many", message));
        }
        let mut keys = HashSet::new();
        for (index, item) in items.into_iter().enumerate() {
            let bindings = self.scope.len();
            self.scope.bind_owned("item", item);
            self.scope.bind_owned("index", Value::from(index));
            let entered = self.enter_item("each", index);
            if let Some(key) = self.key(entry) {
                if keys.insert(key.clone()) {
                    self.entry(entry, &key);
                } else {
                    self.failed(entry.place, &doubled());
                }
            }
            self.leave(entered);
            self.scope.truncate(bindings);
        }
    }

    /// The key of an output: empty without `key`, `None` where it is absent.
    fn key(&mut self, entry: &Entry) -> Option<String> {
        let Some(expression) = &entry.key else { return Some(String::new()) };
        let entered = self.enter("key");
        let found = self.value(expression, Want::Scalar).into_value();
        self.leave(entered);
        let key = found.as_ref().and_then(text_of).filter(|text| !text.is_empty());
        if key.is_none() {
            let failure = Failure::new("key-absent", "`key` gave nothing: the item is left out")
                .hint("the key tells the outputs of one source apart and must be there");
            self.failed(expression.place, &failure);
        }
        key
    }

    fn entry(&mut self, entry: &'a Entry, key: &str) {
        if let Some(condition) = &entry.when {
            let entered = self.enter("when");
            let holds = self.condition(condition);
            self.leave(entered);
            if !holds {
                return self.nothing(entry.place, "`when` does not hold");
            }
        }
        if !self.consents(entry) {
            return;
        }
        let Some(destination) = self.destination(entry) else { return };
        let system = entry.kind.split('.').next().unwrap_or_default();
        self.destination = Some(format!("{system}.{destination}"));
        let faults = self.faults;
        let fields = self.fields(&entry.fields);
        self.build(entry, (key, &destination), (&fields, self.faults > faults));
        self.destination = None;
    }

    fn destination(&mut self, entry: &Entry) -> Option<String> {
        match &entry.destination {
            Destination::Fixed(name) => Some(name.clone()),
            Destination::Computed { value, among } => {
                let entered = self.enter("destination");
                let found = self.value(value, Want::Scalar).into_value();
                self.leave(entered);
                let name = found.as_ref().and_then(text_of);
                let known = name.as_ref().is_some_and(|name| among.is_empty() || among.contains(name));
                if !known {
                    let message = match &name {
                        Some(name) => format!("there is no destination `{name}` for {}", entry.kind),
                        None => "`destination` gave nothing".to_owned(),
                    };
                    self.failed(value.place, &Failure::new("destination-unknown", message));
                }
                name.filter(|_| known)
            }
        }
    }

    fn build(
        &mut self,
        entry: &'a Entry,
        (key, destination): (&str, &str),
        (fields, faulty): (&Value, bool),
    ) {
        if self.is_held() {
            return self.nothing(entry.place, "the evaluation is held");
        }
        let registry = self.input.registry;
        let place = self.place(entry.place);
        let Some(target) = registry.get(&entry.kind) else {
            return self.issue(Issue::error(
                "target-unknown",
                format!("there is no target {}", entry.kind),
                &place,
            ));
        };
        // What is no act has none of its keys.
        let is_act = target.nature() == Nature::Act;
        let Some(acts) = (if is_act { self.occurrences(entry) } else { Some(Vec::new()) }) else { return };
        let source = format!("{}/{}", self.input.change.kind, self.input.change.id);
        let context = Context {
            tenant: self.input.tenant,
            zone: self.input.zone,
            mapping: &self.program.name,
            source: &source,
            authored_ms: self.authored_ms(),
            place: &place,
            country: self.input.country,
        };
        let evaluated = Evaluated {
            target_id: &entry.target_id,
            destination,
            key,
            withdraw: entry.withdraw,
            needs: &entry.needs,
            fields,
            faulty,
            context: &context,
        };
        match target.build(&evaluated) {
            Ok((output, issues)) => {
                let output = Output { write_back: entry.write_back, ..output };
                match is_act {
                    true => self.act(entry, &output, acts),
                    false => self.outputs.push(output),
                }
                issues.into_iter().for_each(|issue| self.issue(issue));
            }
            Err(issues) => {
                issues.into_iter().for_each(|issue| self.issue(issue));
                self.nothing(entry.place, "the target refused it; see the issues");
            }
        }
    }
}

fn doubled() -> Failure {
    Failure::new("key-doubled", "two items of `each` have the same key: the later one is left out")
}
