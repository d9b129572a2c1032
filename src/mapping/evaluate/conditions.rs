//! COND: true or false, never absent. What cannot be compared is false, with an issue.

use serde_json::Value;

use super::run::Round;
use super::values::{Got, Want};
use crate::mapping::diagnostic::Place;
use crate::mapping::expression::{Comparison, Condition, Expression, Operator, Test};
use crate::mapping::path::Path;
use crate::mapping::steps::{number, reduce, text_of};
use crate::mapping::trace::Outcome;
use std::cmp::Ordering;

impl Round<'_> {
    pub(super) fn condition(&mut self, condition: &Condition) -> bool {
        let holds = self.decide(condition);
        self.decided(condition.place, holds);
        holds
    }

    fn decide(&mut self, condition: &Condition) -> bool {
        match &condition.test {
            Test::Always(holds) => *holds,
            Test::Exists(path) => self.exists(condition.place, path),
            Test::Value { value, comparisons } => self.compared(condition, value, comparisons),
            Test::All(all) => self.counted("all", all, |holds| !holds) == all.len(),
            Test::Any(all) => self.counted("any", all, |holds| holds) < all.len(),
            Test::None(all) => self.counted("none", all, |holds| holds) == all.len(),
        }
    }

    /// How many conditions were evaluated before one `ends` it; all, if none does.
    fn counted(&mut self, name: &str, all: &[Condition], ends: impl Fn(bool) -> bool) -> usize {
        for (index, one) in all.iter().enumerate() {
            let entered = self.enter_item(name, index);
            let holds = self.condition(one);
            self.leave(entered);
            if ends(holds) {
                return index;
            }
        }
        all.len()
    }

    fn exists(&mut self, place: Place, path: &Path) -> bool {
        let mut note = self.note(place);
        if note.is_none() {
            return path.holds(&self.scope);
        }
        let got = self.sight(path, &mut note);
        let holds = is_something(&got);
        self.keep(note, || Outcome::Value(Value::Bool(holds)));
        holds
    }

    fn compared(&mut self, condition: &Condition, value: &Expression, comparisons: &[Comparison]) -> bool {
        if comparisons.is_empty() {
            return is_something(&self.value(value, Want::Scalars));
        }
        let Some(left) = self.value(value, Want::Scalar).into_value() else {
            return false;
        };
        let holds = comparisons.iter().all(|comparison| {
            let entered = self.enter(comparison.operator.name());
            let holds = self.compares(&left, comparison);
            self.leave(entered);
            holds
        });
        let note = self.note(condition.place);
        self.keep(note, || Outcome::Value(Value::Bool(holds)));
        holds
    }

    fn compares(&mut self, left: &Value, comparison: &Comparison) -> bool {
        match &comparison.operator {
            Operator::Is(right) => {
                self.value(right, Want::Scalar).into_value().is_some_and(|right| is_same(left, &right))
            }
            Operator::In(all) => all.iter().any(|one| {
                self.value(one, Want::Scalars).into_list().iter().any(|right| is_same(left, right))
            }),
            Operator::Above(right) => self.orders(left, right, comparison, Ordering::is_gt),
            Operator::AtLeast(right) => self.orders(left, right, comparison, Ordering::is_ge),
            Operator::Below(right) => self.orders(left, right, comparison, Ordering::is_lt),
            Operator::AtMost(right) => self.orders(left, right, comparison, Ordering::is_le),
            Operator::Matches(regex) => text_of(left).is_some_and(|text| regex.is_match(&text)),
        }
    }

    fn orders(
        &mut self,
        left: &Value,
        right: &Expression,
        comparison: &Comparison,
        wanted: impl Fn(Ordering) -> bool,
    ) -> bool {
        let Some(right) = self.value(right, Want::Scalar).into_value() else {
            return false;
        };
        match reduce::compare(left, &right, self.input.zone) {
            Ok(ordering) => wanted(ordering),
            Err(failure) => {
                self.failed(comparison.place, &failure);
                false
            }
        }
    }
}

/// Something other than null and false.
fn is_something(got: &Got) -> bool {
    match got {
        Got::Nothing => false,
        Got::One(value) => *value != Value::Bool(false),
        Got::Several(values) => values.iter().any(|value| *value != Value::Bool(false)),
    }
}

/// Numbers by their value (`1.0` is `1`), everything else by its text: a code is the same whether YAML
/// or JSON reads it as a number.
fn is_same(left: &Value, right: &Value) -> bool {
    if left.is_number() && right.is_number() {
        return match (number::decimal(left), number::decimal(right)) {
            (Ok(left), Ok(right)) => left == right,
            _ => left == right,
        };
    }
    text_of(left) == text_of(right)
}
