//! JSON with VALUEs in it: what is absent vanishes, and what becomes empty with it.

use serde_json::{Map, Value};

use super::run::Round;
use super::values::{Got, Want};
use crate::mapping::program::outline::Outline;

impl Round<'_> {
    /// `None`: nothing is left of it. Its depth is that of the file.
    pub(super) fn outline(&mut self, outline: &Outline) -> Option<Value> {
        match outline {
            Outline::Constant(value) => Some(value.clone()),
            Outline::Value(expression) => match self.value(expression, Want::Everything) {
                Got::Nothing => None,
                Got::One(value) => Some(value),
                Got::Several(values) => Some(Value::Array(values)),
            },
            Outline::Object(members) => {
                let mut object = Map::new();
                for (name, member) in members {
                    let entered = self.enter(name);
                    let made = self.outline(member);
                    self.leave(entered);
                    object.extend(made.map(|made| (name.clone(), made)));
                }
                (!object.is_empty()).then_some(Value::Object(object))
            }
            Outline::List(items) => self.outline_list(items),
        }
    }

    /// Several values of one item stand side by side.
    fn outline_list(&mut self, items: &[Outline]) -> Option<Value> {
        let mut list = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let entered = self.enter_item("", index);
            let made = self.outline(item);
            self.leave(entered);
            match (item, made) {
                (Outline::Value(_), Some(Value::Array(values))) => list.extend(values),
                (_, made) => list.extend(made),
            }
        }
        (!list.is_empty()).then_some(Value::Array(list))
    }
}
