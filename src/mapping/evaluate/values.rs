//! VALUE: a source, then its steps in the order of the language's table.

use serde_json::Value;

use super::run::Round;
use crate::mapping::expression::{Expression, Operation, Source, Step};
use crate::mapping::path::Found;
use crate::mapping::steps::{self, Failure, reduce};
use crate::mapping::trace::{Note, Outcome, StepNote};

mod sources;
mod waiting;

pub(super) use sources::Blank;

/// What the place of a VALUE can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// One text, number or boolean.
    Scalar,
    /// Any number of scalars.
    Scalars,
    /// One value of any kind, a Reference for instance.
    Anything,
    /// Any number of values of any kind.
    Everything,
}

/// What a VALUE gave.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Got {
    Nothing,
    One(Value),
    Several(Vec<Value>),
}

impl Got {
    pub(super) fn into_list(self) -> Vec<Value> {
        match self {
            Self::Nothing => Vec::new(),
            Self::One(value) => vec![value],
            Self::Several(values) => values,
        }
    }

    /// The single value of a VALUE that was wanted as one.
    pub(super) fn into_value(self) -> Option<Value> {
        match self {
            Self::One(value) => Some(value),
            Self::Nothing | Self::Several(_) => None,
        }
    }

    fn json(&self) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::One(value) => Some(value.clone()),
            Self::Several(values) => Some(Value::Array(values.clone())),
        }
    }
}

impl From<Found> for Got {
    fn from(found: Found) -> Self {
        match found {
            Found::Nothing => Self::Nothing,
            Found::One(value) => Self::One(value),
            Found::Several(values) if values.is_empty() => Self::Nothing,
            Found::Several(values) => Self::Several(values),
        }
    }
}

/// The work on one VALUE: what is there now and, for the trace, why it is not.
struct Work {
    got: Got,
    why: String,
    note: Option<Note>,
}

impl Work {
    fn lose(&mut self, why: impl Into<String>) {
        self.got = Got::Nothing;
        self.why = why.into();
    }
}

impl Round<'_> {
    /// Evaluates a VALUE. Never fails: what goes wrong is an issue, and the value is absent.
    pub(super) fn value(&mut self, expression: &Expression, want: Want) -> Got {
        let mut work = Work { got: Got::Nothing, why: String::new(), note: self.note(expression.place) };
        self.source(expression, &mut work);
        for step in &expression.steps {
            if work.got == Got::Nothing {
                break;
            }
            self.step(step, expression, &mut work);
        }
        self.fit(expression, want, &mut work);
        self.fall_back(expression, want, &mut work);
        let Work { got, why, note } = work;
        self.keep(note, || got.json().map_or(Outcome::Nothing(why), Outcome::Value));
        got
    }

    fn step(&mut self, step: &Step, expression: &Expression, work: &mut Work) {
        let before = work.note.as_ref().and_then(|_| work.got.json());
        match &step.operation {
            Operation::When(condition) => {
                let entered = self.enter("when");
                if !self.condition(condition) {
                    work.lose("`when` does not hold");
                }
                self.leave(entered);
            }
            Operation::Split(separator) => self.split(step, separator, work),
            Operation::Reduce(how) => {
                let values = std::mem::replace(&mut work.got, Got::Nothing).into_list();
                let reduced = reduce::reduce(how, &values, self.input.zone);
                self.take(step, expression, reduced, work);
            }
            operation => match std::mem::replace(&mut work.got, Got::Nothing) {
                Got::One(value) => {
                    let result = steps::apply(operation, &value, self.locale());
                    self.take(step, expression, result, work);
                }
                Got::Several(values) => self.each_value(step, expression, values, work),
                Got::Nothing => {}
            },
        }
        if let (Some(note), Some(before)) = (&mut work.note, before) {
            let after = work.got.json();
            let because = after.is_none().then(|| work.why.clone());
            note.steps.push(StepNote { step: step.operation.name().to_owned(), before, after, because });
        }
    }

    /// A step on several values works on each; those that fail are left out, each with its issue.
    fn each_value(&mut self, step: &Step, expression: &Expression, values: Vec<Value>, work: &mut Work) {
        let mut kept = Vec::new();
        for value in values {
            let result = steps::apply(&step.operation, &value, self.locale());
            self.take(step, expression, result, work);
            kept.extend(std::mem::replace(&mut work.got, Got::Nothing).into_list());
        }
        work.got = Found::Several(kept).into();
    }

    fn take(
        &mut self,
        step: &Step,
        expression: &Expression,
        result: Result<Option<Value>, Failure>,
        work: &mut Work,
    ) {
        let name = step.operation.name();
        match result {
            Ok(Some(value)) => work.got = Got::One(value),
            Ok(None) => work.lose(format!("`{name}` gives nothing for it")),
            Err(failure) => {
                let unmatched = matches!(step.operation, Operation::Map(_) | Operation::Lookup { .. })
                    && failure.code.ends_with("-unmatched");
                match &expression.otherwise {
                    Some(otherwise) if unmatched => {
                        let entered = self.enter("otherwise");
                        work.got = self.value(otherwise, Want::Scalar);
                        self.leave(entered);
                        work.why = "`otherwise` gave nothing".to_owned();
                    }
                    _ => {
                        work.lose(format!("`{name}` failed: {}", failure.message));
                        self.failed(step.place, &failure);
                    }
                }
            }
        }
    }

    fn split(&mut self, step: &Step, separator: &str, work: &mut Work) {
        let mut parts = Vec::new();
        for value in std::mem::replace(&mut work.got, Got::Nothing).into_list() {
            match steps::text_of(&value) {
                Some(text) => parts.extend(
                    text.split(separator)
                        .map(str::trim)
                        .filter(|part| !part.is_empty())
                        .map(|part| Value::String(part.to_owned())),
                ),
                None => self.failed(step.place, &steps::not_scalar(&value)),
            }
        }
        work.why = "`split` found no text".to_owned();
        work.got = Found::Several(self.at_most("`split`", step.place, parts)).into();
    }

    /// What is there must fit the place: one value where one is wanted, scalars where scalars are.
    fn fit(&mut self, expression: &Expression, want: Want, work: &mut Work) {
        let is_link = matches!(expression.source, Source::Link(_));
        let failure = match &work.got {
            Got::Several(_) | Got::One(_) if want == Want::Everything => None,
            Got::Several(values) if want != Want::Scalars => match values.as_slice() {
                [only] if !only.is_array() => {
                    work.got = Got::One(only.clone());
                    return self.fit(expression, want, work);
                }
                all => Some(several(all.len())),
            },
            Got::One(value) if want != Want::Anything && !is_link && steps::text_of(value).is_none() => {
                Some(steps::not_scalar(value))
            }
            Got::Several(values) => {
                values.iter().find(|value| steps::text_of(value).is_none()).map(steps::not_scalar)
            }
            _ => None,
        };
        if let Some(failure) = failure {
            work.lose(failure.message.clone());
            self.failed(expression.place, &failure);
        }
    }

    /// Step 12.
    fn fall_back(&mut self, expression: &Expression, want: Want, work: &mut Work) {
        if work.got == Got::Nothing
            && let Some(default) = &expression.default
        {
            let entered = self.enter("default");
            let got = self.value(default, want);
            self.leave(entered);
            if let Some(note) = &mut work.note {
                note.steps.push(StepNote {
                    step: "default".to_owned(),
                    before: Value::Null,
                    after: got.json(),
                    because: Some(work.why.clone()),
                });
            }
            work.got = got;
        }
        if work.got == Got::Nothing && expression.required {
            let held = self.waits(expression, &work.why);
            self.hold(held);
        }
    }
}

fn several(count: usize) -> Failure {
    Failure::new("several-values", format!("{count} values were found where one is wanted"))
        .hint("say which: `first: true`, `last: true`, `at: N`, `sum: true`, `join: \", \"` …")
}
