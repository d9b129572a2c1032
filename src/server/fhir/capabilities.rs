//! `GET metadata`: what this server can do, from the tables that the router and the searches use.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{Response, StatusCode, header};
use sha2::{Digest, Sha256};

use super::super::answer::{self, Answer};
use super::super::wishes::parameter;
use super::super::{format, interaction};
use super::call::Call;
use super::operation::{self, Level};
use super::{patch, render};
use crate::fhir::capability::{self, Conditional, Description, Support};
use crate::fhir::parameters::custom::Custom;

/// When what this server can do last changed.
const CHANGED: &str = "2026-11-21";

/// The statement of a tenant, with the search parameters that it was made with.
#[derive(Default)]
pub struct Statements(Mutex<Option<(Arc<Custom>, Arc<Statement>)>>);

impl Statements {
    /// Large and mostly the same: made anew only where the tenant's own parameters have changed.
    fn get(&self, call: &Call) -> Arc<Statement> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, statement)) = made.as_ref().filter(|(custom, _)| Arc::ptr_eq(custom, &call.custom)) {
            return Arc::clone(statement);
        }
        let statement = Arc::new(statement(&call.base, call.app.cors, &call.custom));
        *made = Some((Arc::clone(&call.custom), Arc::clone(&statement)));
        statement
    }
}

/// A statement and its tag.
pub struct Statement {
    text: String,
    etag: String,
}

pub fn answer(call: &Call) -> Answer {
    let Some(tenant) = call.app.tenants.get(&call.tenant) else { return Answer::default() };
    // <https://hl7.org/fhir/R4/http.html#capabilities>: what is not `terminology` is the whole statement.
    let statement = match parameter(&call.query, "mode") {
        Some("terminology") => {
            Arc::clone(tenant.terminology.get_or_init(|| Arc::new(terminology(&call.base))))
        }
        _ => tenant.statements.get(call),
    };
    let tags = call.header("if-none-match").unwrap_or_default();
    let mut answer = if tags.split(',').any(|tag| matches!(tag.trim(), "*") || tag.trim() == statement.etag) {
        let mut answer = Response::new(axum::body::Body::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        answer::json(StatusCode::OK, render::laid_out(statement.text.clone(), call.wishes.layout))
    };
    render::set(answer.headers_mut(), header::ETAG, &statement.etag);
    answer
}

fn statement(base: &str, cors: Support, custom: &Custom) -> Statement {
    let conditional = Conditional {
        create: Support::Built,
        update: Support::Built,
        delete: Support::Built,
        read: Support::Built,
    };
    let operations: Vec<capability::Operation> = operation::TABLE.iter().map(advertised).collect();
    let description = Description {
        base,
        version: env!("CARGO_PKG_VERSION"),
        date: CHANGED,
        interactions: &interaction::ON_TYPES,
        system: &interaction::ON_SYSTEM,
        conditional,
        operations: &operations,
        cors,
        formats: &format::FORMATS,
        patch_formats: &patch::ACCEPT_PATCH,
        custom,
    };
    Statement::of(&capability::statement(&description))
}

fn terminology(base: &str) -> Statement {
    Statement::of(&capability::terminology(base, env!("CARGO_PKG_VERSION"), CHANGED))
}

impl Statement {
    fn of(resource: &serde_json::Value) -> Self {
        let text = resource.to_string();
        let digest = hex::encode(&Sha256::digest(text.as_bytes())[..8]);
        Self { text, etag: format!("W/\"{digest}\"") }
    }
}

fn advertised(one: &operation::Definition) -> capability::Operation {
    let on_types = one.levels.iter().any(|level| *level != Level::System);
    capability::Operation {
        name: one.name,
        canonical: one.canonical,
        types: on_types.then_some(one.types),
        system: one.levels.contains(&Level::System),
    }
}
