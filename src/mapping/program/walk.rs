//! Everything that a mapping looks at: its paths, and the constants that an expression may give.
//!
//! Pure. For tools that must know what a mapping needs before it runs: which results of a flow, which fields of
//! a contact, which groups.

use serde_json::Value;

use super::{Destination, Entry, FieldContent, LookupKind, NamedField, Object, Program};
use crate::mapping::diagnostic::Place;
use crate::mapping::expression::{
    Comparison, Condition, Expression, Operation, Operator, Piece, Source, Template, Test,
};
use crate::mapping::path::Path;

/// A path and where it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look<'p> {
    pub path: &'p Path,
    pub place: Place,
    /// The VALUE that begins with it.
    pub value: Option<&'p Expression>,
    /// What that VALUE is compared with.
    pub comparisons: &'p [Comparison],
}

/// Every path of a mapping, in the order of its parts: `from`, `with`, `to`.
pub fn paths(program: &Program) -> Vec<&Path> {
    looks(program).into_iter().map(|look| look.path).collect()
}

/// Every path of a mapping with its place.
pub fn looks(program: &Program) -> Vec<Look<'_>> {
    let mut walk = Walk::default();
    program.from.condition.iter().for_each(|condition| walk.condition(condition));
    for lookup in &program.with {
        walk.place = lookup.place;
        match &lookup.what {
            LookupKind::Reference { reference, climb } => {
                walk.expression(reference);
                climb.iter().for_each(|climb| walk.condition(&climb.until));
            }
            LookupKind::Search { query, .. } => walk.template(query),
            LookupKind::Contact { reference } => walk.expression(reference),
            LookupKind::OrgUnit { value, .. } => walk.expression(value),
        }
    }
    program.to.iter().for_each(|entry| walk.entry(entry));
    walk.found
}

/// The paths of one field's content.
pub fn paths_of(field: &NamedField) -> Vec<&Path> {
    let mut walk = Walk { place: field.place, ..Walk::default() };
    walk.content(&field.content);
    walk.found.into_iter().map(|look| look.path).collect()
}

/// The constants that an expression may give, whatever the data; what is computed is left out.
pub fn constants(expression: &Expression) -> Vec<Value> {
    let named = |pairs: &[(String, Value)]| pairs.iter().map(|(_, value)| value.clone()).collect();
    let mut values: Vec<Value> = match &expression.source {
        Source::Constant(value) => vec![value.clone()],
        Source::List(list) => list.iter().flat_map(constants).collect(),
        _ => Vec::new(),
    };
    for step in &expression.steps {
        match &step.operation {
            Operation::When(_) | Operation::Reduce(_) => {}
            Operation::Map(pairs) | Operation::Synonyms(pairs) => values = named(pairs),
            Operation::Bands(bands) => values = bands.iter().map(|(_, value)| value.clone()).collect(),
            // Another text than the one in the file.
            _ => values.clear(),
        }
    }
    for otherwise in [&expression.otherwise, &expression.default].into_iter().flatten() {
        values.extend(constants(otherwise));
    }
    values
}

#[derive(Default)]
struct Walk<'p> {
    found: Vec<Look<'p>>,
    /// Where it is now.
    place: Place,
}

impl<'p> Walk<'p> {
    fn look(&mut self, path: &'p Path) {
        self.found.push(Look { path, place: self.place, value: None, comparisons: &[] });
    }

    fn entry(&mut self, entry: &'p Entry) {
        self.place = entry.place;
        if let Destination::Computed { value, .. } = &entry.destination {
            self.expression(value);
        }
        let conditions = [&entry.when, &entry.act.consent].into_iter().flatten();
        conditions.for_each(|condition| self.condition(condition));
        entry.each.iter().for_each(|path| self.look(path));
        let after = entry.act.after.as_ref().and_then(|after| after.at.as_ref());
        [entry.key.as_ref(), after].into_iter().flatten().for_each(|value| self.expression(value));
        self.fields(&entry.fields);
    }

    fn fields(&mut self, fields: &'p [NamedField]) {
        fields.iter().for_each(|field| self.content(&field.content));
    }

    fn content(&mut self, content: &'p FieldContent) {
        match content {
            FieldContent::Value(value) | FieldContent::Values(value) | FieldContent::Anything(value) => {
                self.expression(value);
            }
            FieldContent::List(values) => values.iter().for_each(|value| self.expression(value)),
            FieldContent::Map(pairs) => pairs.iter().for_each(|(_, value)| self.expression(value)),
            FieldContent::Literal(_) => {}
            FieldContent::Outline(outline) => {
                outline.values().into_iter().for_each(|value| self.expression(value));
            }
            FieldContent::Object(object) | FieldContent::Together(object) => self.object(object),
            FieldContent::Objects(objects) => objects.iter().for_each(|object| self.object(object)),
        }
    }

    fn object(&mut self, object: &'p Object) {
        object.when.iter().for_each(|condition| self.condition(condition));
        self.fields(&object.fields);
    }

    fn expression(&mut self, expression: &'p Expression) {
        self.compared(expression, &[]);
    }

    fn compared(&mut self, expression: &'p Expression, comparisons: &'p [Comparison]) {
        self.place = expression.place;
        match &expression.source {
            Source::Path(paths) => self.found.extend(paths.iter().map(|path| Look {
                path,
                place: expression.place,
                value: Some(expression),
                comparisons,
            })),
            Source::Constant(_) => {}
            Source::List(list) => list.iter().for_each(|value| self.expression(value)),
            Source::Template(template) => self.template(template),
            Source::Link(path) | Source::Pseudonym(path) => self.look(path),
            Source::Age(age) => {
                self.expression(&age.from);
                self.expression(&age.at);
            }
        }
        for step in &expression.steps {
            if let Operation::When(condition) = &step.operation {
                self.condition(condition);
            }
        }
        let others = [&expression.otherwise, &expression.default].into_iter().flatten();
        others.for_each(|other| self.expression(other));
    }

    fn template(&mut self, template: &'p Template) {
        for piece in &template.parts {
            if let Piece::Path(path) = piece {
                self.look(path);
            }
        }
    }

    fn condition(&mut self, condition: &'p Condition) {
        self.place = condition.place;
        match &condition.test {
            Test::Always(_) => {}
            Test::Exists(path) => self.look(path),
            Test::Value { value, comparisons } => {
                self.compared(value, comparisons);
                comparisons.iter().for_each(|comparison| self.operator(&comparison.operator));
            }
            Test::All(list) | Test::Any(list) | Test::None(list) => {
                list.iter().for_each(|condition| self.condition(condition));
            }
        }
    }

    fn operator(&mut self, operator: &'p Operator) {
        match operator {
            Operator::Is(value)
            | Operator::Above(value)
            | Operator::AtLeast(value)
            | Operator::Below(value)
            | Operator::AtMost(value) => self.expression(value),
            Operator::In(values) => values.iter().for_each(|value| self.expression(value)),
            Operator::Matches(_) => {}
        }
    }
}
