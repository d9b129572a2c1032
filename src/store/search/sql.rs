//! A statement that grows: text and bound values together. Values never become text.

use crate::store::Error;
use crate::store::db::{Argument, Engine};

/// SQLite binds no more; PostgreSQL 65,535. <https://sqlite.org/limits.html#max_variable_number>
const BOUND_MAX: usize = 32_766;

/// Text with placeholders, and what they stand for.
#[derive(Debug)]
pub(super) struct Sql {
    pub engine: Engine,
    pub text: String,
    pub arguments: Vec<Argument>,
    fault: Option<Error>,
}

impl Sql {
    /// Begins with the tenant as `$1`.
    pub(super) fn new(engine: Engine, tenant: &str) -> Self {
        Self { engine, text: String::new(), arguments: vec![tenant.into()], fault: None }
    }

    /// The statement, whole.
    ///
    /// # Errors
    /// What [`Sql::fail`] was told; [`Error::TooCostly`] where it binds more than every engine takes: `fhir::search` counts values, each of
    /// which binds a few.
    pub(super) fn whole(self) -> Result<(String, Vec<Argument>), Error> {
        match (self.fault, self.arguments.len()) {
            (Some(fault), _) => Err(fault),
            (None, ..=BOUND_MAX) => Ok((self.text, self.arguments)),
            (None, _) => Err(Error::TooCostly),
        }
    }

    /// There is no such statement.
    pub(super) fn fail(&mut self, fault: Error) {
        self.fault = Some(fault);
    }

    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Binds a value and writes its placeholder.
    pub(super) fn bind(&mut self, value: impl Into<Argument>) -> &mut Self {
        self.arguments.push(value.into());
        self.text.push('$');
        self.text.push_str(&self.arguments.len().to_string());
        self
    }

    /// Writes `left` and a bound value: `x.low >= $5`.
    pub(super) fn compare(&mut self, left: &str, value: impl Into<Argument>) -> &mut Self {
        self.push(left).push(" ").bind(value)
    }

    /// Writes alternatives as a balanced tree: SQLite refuses expressions nested more than 1,000 deep,
    /// and a plain chain of `or` is nested as deep as it is long.
    pub(super) fn any_of<T>(&mut self, of: &[T], one: &dyn Fn(&mut Self, &T)) -> &mut Self {
        match of {
            [] => {
                self.push("false");
            }
            [only] => {
                self.push("(");
                one(self, only);
                self.push(")");
            }
            several => {
                let (left, right) = several.split_at(several.len() / 2);
                self.push("(");
                self.any_of(left, one);
                self.push(" or ");
                self.any_of(right, one);
                self.push(")");
            }
        }
        self
    }
}
