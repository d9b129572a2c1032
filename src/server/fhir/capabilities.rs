//! `GET metadata`: what this server can do, from the tables that the router and the searches use.
//!
//! Public; but a tenant's own search parameters are only for those who have one of its tokens. A stranger gets the same
//! for every tenant, whether there is one of this name or not.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::http::{HeaderValue, Response, StatusCode, header};
use sha2::{Digest, Sha256};

use super::super::answer::{self, Answer};
use super::super::app::App;
use super::super::wishes::parameter;
use super::super::{format, interaction};
use super::call::Call;
use super::operation::{self, Level};
use super::{patch, render};
use crate::fhir::capability::{self, Conditional, Description, Support};
use crate::fhir::parameters::custom::Custom;

/// When what this server can do last changed.
const CHANGED: &str = "2026-11-21";

/// Stands for the base of a tenant in what is the same for all of them.
const BASE: &str = "urn:mjumbe:base";

/// What is the same for every tenant but for its base. Made at the first request.
#[derive(Default)]
pub struct Standard {
    capabilities: OnceLock<Statement>,
    terminology: OnceLock<Statement>,
}

impl Standard {
    fn capabilities(&self, call: &Call) -> Statement {
        let made = || statement(BASE, &call.app, Custom::none());
        self.capabilities.get_or_init(made).at(&call.base)
    }

    fn terminology(&self, call: &Call) -> Statement {
        self.terminology.get_or_init(|| terminology(BASE)).at(&call.base)
    }
}

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
        let statement = Arc::new(statement(&call.base, &call.app, &call.custom));
        *made = Some((Arc::clone(&call.custom), Arc::clone(&statement)));
        statement
    }
}

/// A statement and its tag.
pub struct Statement {
    text: String,
    etag: String,
}

/// The statement as text, for a GET in a bundle.
pub fn text(call: &Call, query: &[(String, String)]) -> String {
    asked(call, query).text.clone()
}

fn asked(call: &Call, query: &[(String, String)]) -> Arc<Statement> {
    // <https://hl7.org/fhir/R4/http.html#capabilities>: what is not `terminology` is the whole statement.
    match parameter(query, "mode") {
        Some("terminology") => Arc::new(call.app.standard.terminology(call)),
        _ => match call.app.tenants.get(&call.tenant).filter(|_| !call.custom.is_empty()) {
            Some(tenant) => tenant.statements.get(call),
            None => Arc::new(call.app.standard.capabilities(call)),
        },
    }
}

pub fn answer(call: &Call) -> Answer {
    let statement = asked(call, &call.query);
    let tags = call.header("if-none-match").unwrap_or_default();
    let mut answer = if tags.split(',').any(|tag| matches!(tag.trim(), "*") || tag.trim() == statement.etag) {
        let mut answer = Response::new(axum::body::Body::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        answer::json(StatusCode::OK, render::laid_out(statement.text.clone(), call.wishes.layout))
    };
    render::set(answer.headers_mut(), header::ETAG, &statement.etag);
    answer.headers_mut().append(header::VARY, HeaderValue::from_static("authorization"));
    answer
}

fn statement(base: &str, app: &App, custom: &Custom) -> Statement {
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
        cors: app.cors,
        formats: &format::FORMATS,
        patch_formats: &patch::ACCEPT_PATCH,
        custom,
        profiles: &app.profiles,
    };
    Statement::of(&capability::statement(&description))
}

fn terminology(base: &str) -> Statement {
    Statement::of(&capability::terminology(base, env!("CARGO_PKG_VERSION"), CHANGED))
}

impl Statement {
    fn of(resource: &serde_json::Value) -> Self {
        let text = resource.to_string();
        let etag = tag(&text);
        Self { text, etag }
    }

    /// The same with a base in the place of [`BASE`].
    fn at(&self, base: &str) -> Self {
        let quoted = serde_json::Value::from(base).to_string();
        let text = self.text.replace(BASE, quoted.trim_matches('"'));
        Self { text, etag: tag(&format!("{base} {}", self.etag)) }
    }
}

fn tag(text: &str) -> String {
    format!("W/\"{}\"", hex::encode(&Sha256::digest(text.as_bytes())[..8]))
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
