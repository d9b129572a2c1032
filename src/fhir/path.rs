//! FHIRPath: expressions compiled once, evaluated on resources as JSON.
//!
//! [`Engine`] and [`Program`] are what the rest sees; [`engine`] is octofhir-fhirpath over our own element
//! table. Used by invariants, FHIRPath Patch and SearchParameters of users.
//! **Never** opens a connection, waits, panics or runs without bound: what a client may write is limited
//! in length, depth, functions, results and time. <https://hl7.org/fhir/R4/fhirpath.html>

// What an expression may contain.
mod limits;
// What the engine has to know of R4's types.
mod model;
// octofhir-fhirpath behind the trait.
mod octofhir;
// Where in the JSON the results of an expression are.
mod places;

use std::any::Any;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 4_000;
/// Brackets and operators of an expression may be nested this deep.
pub const MAX_DEPTH: usize = 100;
/// An evaluation may have this many results.
pub const MAX_RESULTS: usize = 10_000;
/// An evaluation may take this long.
pub const MAX_TIME: Duration = Duration::from_millis(250);

/// Why an expression was not compiled or has no result. No text holds what is in the resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It is not FHIRPath.
    #[error("this is not a FHIRPath expression: {0}")]
    Syntax(String),
    /// It uses what is not allowed here, or is too long or too deep.
    #[error("this FHIRPath expression is refused: {0}")]
    Refused(String),
    /// It cannot be evaluated on this resource: `single()` of several, a comparison of unlike things.
    #[error("the FHIRPath expression cannot be evaluated on this resource")]
    Evaluation,
    /// [`MAX_TIME`] was over.
    #[error("the FHIRPath expression took too long on this resource")]
    TooLong,
    /// More than [`MAX_RESULTS`].
    #[error("the FHIRPath expression has too many results on this resource")]
    TooMany,
}

/// Compiles expressions.
pub trait Engine: Send + Sync {
    /// Compiles an expression that a client may have written.
    ///
    /// # Errors
    /// [`PathError::Syntax`] and [`PathError::Refused`].
    fn compile(&self, expression: &str) -> Result<Arc<dyn Program>, PathError>;
}

/// A compiled expression.
pub trait Program: Send + Sync {
    /// As it was written.
    fn text(&self) -> &str;

    /// What the expression finds in the resource, in order.
    ///
    /// # Errors
    /// [`PathError::Evaluation`], [`PathError::TooLong`] and [`PathError::TooMany`].
    fn values(&self, subject: &Subject) -> Result<Vec<Found>, PathError>;

    /// The same, where each result is a part of the resource; `None` where the expression computes.
    ///
    /// # Errors
    /// As [`Program::values`].
    fn places(&self, subject: &Subject) -> Result<Option<Vec<Place>>, PathError>;

    /// The truth of the expression at one place of the resource; `None` where it has no result.
    ///
    /// # Errors
    /// As [`Program::values`].
    fn truth(&self, subject: &Subject, focus: &Focus) -> Result<Option<bool>, PathError>;

    /// Does the expression hold for the resource? No result is no.
    ///
    /// # Errors
    /// As [`Program::values`].
    fn holds(&self, subject: &Subject) -> Result<bool, PathError> {
        Ok(self.truth(subject, &Focus::ROOT)?.unwrap_or(false))
    }
}

/// The engine that Mjumbe uses.
pub fn engine() -> &'static dyn Engine {
    static ENGINE: LazyLock<octofhir::Octofhir> = LazyLock::new(octofhir::Octofhir::new);
    &*ENGINE
}

/// Gives many evaluations one deadline; one that goes on when it is over ends with [`PathError::TooLong`].
pub fn within<T>(deadline: Instant, work: impl FnOnce() -> T) -> T {
    model::until(deadline, work)
}

/// A resource on which expressions are evaluated. What an engine makes of it is made once.
pub struct Subject<'a> {
    resource: &'a Value,
    prepared: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl<'a> Subject<'a> {
    /// Prepares nothing yet.
    pub fn new(resource: &'a Value) -> Self {
        Self { resource, prepared: OnceLock::new() }
    }

    /// The resource.
    pub fn resource(&self) -> &'a Value {
        self.resource
    }
}

/// Where in a resource an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Focus<'a> {
    /// JSON pointer: `/contact/0`; empty: the resource.
    pub pointer: &'a str,
    /// Its R4 type, `Patient.contact`; needed where it is no resource.
    pub kind: Option<&'a str>,
}

impl Focus<'static> {
    /// The resource itself.
    pub const ROOT: Self = Self { pointer: "", kind: None };
}

/// One result of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As it is in the resource, digits kept, or what was computed.
    pub value: Value,
    /// Its R4 type, `Quantity`, `dateTime`, `Patient.contact`, where it is known.
    pub kind: Option<&'static str>,
}

/// A part of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// JSON pointer: `/name/0/given/1`, `/valueQuantity`.
    pub pointer: String,
    /// Its R4 type, where it is known.
    pub kind: Option<&'static str>,
}

#[cfg(test)]
mod tests;
