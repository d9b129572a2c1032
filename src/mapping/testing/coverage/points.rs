//! The rules of a mapping that tests should reach.

use super::{Coverage, Mark, Point};
use crate::mapping::diagnostic::Place;
use crate::mapping::expression::{Condition, Expression, Operation, Operator, Source, Step, Test};
use crate::mapping::program::{
    Destination, Entry, FieldContent, Lookup, LookupKind, NamedField, Object, Program,
};
use crate::mapping::source::Node;

pub(super) fn collect(coverage: &mut Coverage, program: &Program, root: &Node) {
    let mut walk = Walk { coverage, root };
    walk.point(program.from.place, Mark::Takes, "`from` takes no change".to_owned());
    if let Some(condition) = &program.from.condition {
        walk.condition("from.where", condition);
    }
    for lookup in &program.with {
        walk.lookup(lookup);
    }
    for (index, entry) in program.to.iter().enumerate() {
        walk.entry(&format!("to[{index}]"), entry);
    }
}

struct Walk<'a> {
    coverage: &'a mut Coverage,
    root: &'a Node,
}

impl Walk<'_> {
    fn point(&mut self, place: Place, mark: Mark, unreached: String) {
        self.coverage.points.push(Point { place, mark, unreached });
    }

    fn lookup(&mut self, lookup: &Lookup) {
        let (name, place) = (&lookup.name, lookup.place);
        self.point(place, Mark::Finds(place, true), format!("the look-up `{name}` never finds anything"));
        self.point(place, Mark::Finds(place, false), format!("the look-up `{name}` always finds something"));
        let trail = format!("with.{name}");
        match &lookup.what {
            LookupKind::Reference { reference, climb } => {
                self.asks(place, &trail, reference);
                if let Some(climb) = climb {
                    self.condition(&format!("{trail}.until"), &climb.until);
                }
            }
            LookupKind::Contact { reference: value } | LookupKind::OrgUnit { value, .. } => {
                self.asks(place, &trail, value);
            }
            LookupKind::Search { .. } => {}
        }
    }

    /// A look-up that has nothing to ask with finds nothing.
    fn asks(&mut self, lookup: Place, trail: &str, with: &Expression) {
        self.coverage.asks.insert(with.place, lookup);
        self.value(trail, with);
    }

    fn entry(&mut self, trail: &str, entry: &Entry) {
        let made = Mark::Makes(entry.target_id.clone());
        self.point(entry.place, made, format!("`{trail}` ({}) never makes an output", entry.target_id));
        if let Some(condition) = &entry.when {
            self.condition(&format!("{trail}.when"), condition);
        }
        if let Some(key) = &entry.key {
            self.value(&format!("{trail}.key"), key);
        }
        if let Destination::Computed { value, .. } = &entry.destination {
            self.value(&format!("{trail}.destination"), value);
        }
        if let Some(consent) = &entry.act.consent {
            self.condition(&format!("{trail}.consent"), consent);
        }
        if let Some(at) = entry.act.after.as_ref().and_then(|after| after.at.as_ref()) {
            self.value(&format!("{trail}.after.at"), at);
        }
        self.fields(trail, &entry.fields);
    }

    fn fields(&mut self, trail: &str, fields: &[NamedField]) {
        for field in fields {
            self.field(&format!("{trail}.{}", field.name), &field.content);
        }
    }

    fn field(&mut self, trail: &str, content: &FieldContent) {
        match content {
            FieldContent::Value(value) | FieldContent::Values(value) | FieldContent::Anything(value) => {
                self.value(trail, value);
            }
            FieldContent::List(list) => {
                for (index, value) in list.iter().enumerate() {
                    self.value(&format!("{trail}[{index}]"), value);
                }
            }
            FieldContent::Map(entries) => {
                for (name, value) in entries {
                    self.value(&format!("{trail}.{name}"), value);
                }
            }
            FieldContent::Literal(_) => {}
            FieldContent::Outline(outline) => {
                outline.values().iter().for_each(|value| self.value(trail, value))
            }
            FieldContent::Object(object) | FieldContent::Together(object) => self.object(trail, object),
            FieldContent::Objects(objects) => {
                for (index, object) in objects.iter().enumerate() {
                    self.object(&format!("{trail}[{index}]"), object);
                }
            }
        }
    }

    fn object(&mut self, trail: &str, object: &Object) {
        if let Some(condition) = &object.when {
            self.condition(&format!("{trail}.when"), condition);
        }
        self.fields(trail, &object.fields);
    }

    fn value(&mut self, trail: &str, value: &Expression) {
        match &value.default {
            None => {
                self.point(value.place, Mark::Has(value.place), format!("`{trail}` never has a value"));
            }
            Some(default) => {
                let unreached = format!("`{trail}` never has a value but its default");
                self.point(value.place, Mark::HasOwn(value.place), unreached);
                self.branch("default", trail, default);
            }
        }
        match &value.source {
            Source::List(list) => {
                for (index, one) in list.iter().enumerate() {
                    self.value(&format!("{trail}.list[{index}]"), one);
                }
            }
            Source::Age(age) => {
                self.value(&format!("{trail}.age.from"), &age.from);
                self.value(&format!("{trail}.age.at"), &age.at);
            }
            _ => {}
        }
        for step in &value.steps {
            self.step(trail, value.place, step);
        }
        if let Some(otherwise) = &value.otherwise {
            self.branch("otherwise", trail, otherwise);
        }
    }

    fn branch(&mut self, name: &str, trail: &str, value: &Expression) {
        let unreached = format!("the branch `{name}` of `{trail}` is never taken");
        self.point(value.place, Mark::Has(value.place), unreached);
        self.value(&format!("{trail}.{name}"), value);
    }

    fn step(&mut self, trail: &str, value: Place, step: &Step) {
        match &step.operation {
            Operation::When(condition) => return self.condition(&format!("{trail}.when"), condition),
            Operation::Map(pairs) => {
                for (key, _) in pairs {
                    let place = self.member(step.place, key);
                    let unreached = format!("the entry `{key}` of `map` of `{trail}` is never taken");
                    self.point(place, Mark::Key(step.place, key.clone()), unreached);
                }
            }
            Operation::Bands(bands) => {
                for (index, (bound, _)) in bands.iter().enumerate() {
                    let place = self.member(step.place, &bound.to_string());
                    let unreached = format!("the band from {bound} of `{trail}` is never taken");
                    self.point(place, Mark::Band(step.place, index), unreached);
                }
            }
            Operation::Lookup { .. } => {
                let unreached = format!("the table of `{trail}` never has the row");
                self.point(step.place, Mark::Row(step.place), unreached);
            }
            _ => return,
        }
        self.coverage.steps.entry(value).or_default().push((step.place, step.operation.clone()));
    }

    /// Where a key of the object below the key at `place` stands.
    fn member(&self, place: Place, name: &str) -> Place {
        self.root.below(place).and_then(|node| node.place_of(name)).unwrap_or(place)
    }

    fn condition(&mut self, trail: &str, condition: &Condition) {
        let (group, all) = match &condition.test {
            Test::Always(_) => return,
            Test::Exists(_) => return self.both(trail, condition.place),
            Test::Value { value, comparisons } => {
                self.both(trail, condition.place);
                self.value(trail, value);
                for comparison in comparisons {
                    self.operator(trail, &comparison.operator);
                }
                return;
            }
            Test::All(all) => ("all", all),
            Test::Any(all) => ("any", all),
            Test::None(all) => ("none", all),
        };
        for (index, one) in all.iter().enumerate() {
            self.condition(&format!("{trail}.{group}[{index}]"), one);
        }
    }

    fn both(&mut self, trail: &str, place: Place) {
        self.point(place, Mark::Holds(place, true), format!("`{trail}` never holds"));
        self.point(place, Mark::Holds(place, false), format!("`{trail}` always holds"));
    }

    fn operator(&mut self, trail: &str, operator: &Operator) {
        match operator {
            Operator::Is(value)
            | Operator::Above(value)
            | Operator::AtLeast(value)
            | Operator::Below(value)
            | Operator::AtMost(value)
                if !matches!(value.source, Source::Constant(_)) =>
            {
                self.value(&format!("{trail}.{}", operator.name()), value);
            }
            // A constant is no rule of its own; the members of `in` are alternatives of one comparison.
            _ => {}
        }
    }
}
