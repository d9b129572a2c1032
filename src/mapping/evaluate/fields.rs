//! A target's fields by their shape: what [`crate::mapping::target::Evaluated::fields`] holds.

use serde_json::{Map, Value};

use super::run::Round;
use super::values::Want;
use crate::mapping::expression::Expression;
use crate::mapping::program::{FieldContent, NamedField, Object};

/// What becomes of an object when a VALUE in it is absent.
#[derive(Clone, Copy, PartialEq)]
enum Absent {
    /// The field is null, the list shorter.
    Part,
    /// The whole object is null.
    Whole,
}

impl Round<'_> {
    pub(super) fn fields(&mut self, fields: &[NamedField]) -> Value {
        let evaluated = fields.iter().map(|field| (field.name.clone(), self.field(field, Absent::Part)));
        Value::Object(evaluated.map(|(name, value)| (name, value.unwrap_or_default())).collect())
    }

    /// `None` is absent: written as null.
    fn field(&mut self, field: &NamedField, absent: Absent) -> Option<Value> {
        let entered = self.enter(&field.name);
        let value = match &field.content {
            FieldContent::Value(expression) => self.value(expression, Want::Scalar).into_value(),
            FieldContent::Values(expression) => self.values(std::slice::from_ref(expression), absent),
            FieldContent::List(list) => self.values(list, absent),
            FieldContent::Map(entries) => self.map(entries, absent),
            FieldContent::Anything(expression) => self.value(expression, Want::Anything).into_value(),
            FieldContent::Literal(value) => Some(value.clone()),
            FieldContent::Object(object) => self.object(object, absent),
            FieldContent::Objects(objects) => Some(Value::Array(self.objects(objects))),
            FieldContent::Outline(outline) => self.outline(outline),
            FieldContent::Together(object) => self.object(object, Absent::Whole),
        };
        self.leave(entered);
        value
    }

    fn values(&mut self, list: &[Expression], absent: Absent) -> Option<Value> {
        let mut values = Vec::new();
        for (index, expression) in list.iter().enumerate() {
            let entered = self.enter_item("", index);
            let got = self.value(expression, Want::Scalars).into_list();
            self.leave(entered);
            if got.is_empty() && absent == Absent::Whole {
                return None;
            }
            values.extend(got);
        }
        Some(Value::Array(values))
    }

    fn map(&mut self, entries: &[(String, Expression)], absent: Absent) -> Option<Value> {
        let mut map = Map::new();
        for (name, expression) in entries {
            let entered = self.enter(name);
            let got = self.value(expression, Want::Scalar).into_value();
            self.leave(entered);
            match got {
                Some(value) => {
                    map.insert(name.clone(), value);
                }
                None if absent == Absent::Whole => return None,
                None => {}
            }
        }
        Some(Value::Object(map))
    }

    fn object(&mut self, object: &Object, absent: Absent) -> Option<Value> {
        let mut map = Map::new();
        for field in &object.fields {
            match self.field(field, absent) {
                None if absent == Absent::Whole => return None,
                value => {
                    map.insert(field.name.clone(), value.unwrap_or_default());
                }
            }
        }
        Some(Value::Object(map))
    }

    fn objects(&mut self, objects: &[Object]) -> Vec<Value> {
        let mut kept = Vec::new();
        for (index, object) in objects.iter().enumerate() {
            let entered = self.enter_item("", index);
            if self.holds(object) {
                kept.extend(self.object(object, Absent::Part));
            } else {
                self.nothing(object.place, "`when` does not hold");
            }
            self.leave(entered);
        }
        kept
    }

    fn holds(&mut self, object: &Object) -> bool {
        let Some(condition) = &object.when else { return true };
        let entered = self.enter("when");
        let holds = self.condition(condition);
        self.leave(entered);
        holds
    }
}
