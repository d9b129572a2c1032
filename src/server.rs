//! HTTP: FHIR interactions, webhooks, health, metrics; and the workers that run beside it.
//!
//! **No SQL**, and no FHIR rule of its own: a handler asks who calls (`authorise`), reads the request,
//! calls `fhir` and `store`, and renders. Every refusal becomes an OperationOutcome in `answer`.
//! Requests come from `listen` through `shield`; writes leave as [`crate::store::write::Plan`]s.

// Refusals as HTTP.
mod answer;
// Work that takes long.
mod apart;
// What every handler shares.
pub(crate) mod app;
// Who calls.
mod authorise;
// Pages of other origins.
mod cors;
// Reading bodies up to a limit.
mod body;
// emNutt's routes, for iHRIS.
mod emnutt;
// FHIR's REST interactions.
mod fhir;
// JSON or XML.
mod format;
// Process, readiness, metrics.
mod health;
// Which interaction a request is.
pub mod interaction;
// The accept loop.
mod listen;
// Mapping files from their folder.
pub mod mappings;
// What mappings name in DHIS2.
pub mod metadata;
// Profiles, read at start.
mod profiles;
// Mapping files read again while the server runs.
pub mod reload;
// What a person asks to be mapped again.
pub mod replay;
// Search parameters of tenants' own.
mod parameters;
// What stands before every route.
mod shield;
// From a configuration to a running server.
mod start;
// Keeps the workers running.
pub mod supervisor;
// What a refused request has left to send.
mod unread;
// RapidPro's webhooks.
mod webhook;
// What a client asks of an answer.
mod wishes;
// Mapper, senders, pollers, metadata.
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::decompression::RequestDecompressionLayer;

pub use start::{Error, Running, start};

use app::App;
use shield::Shield;

/// Every route. Each asks for its own policy: FHIR's by interaction, the webhook its secret, metrics a token.
fn router(app: Arc<App>, (shield, cors): (Shield, Option<CorsLayer>)) -> Router {
    let layers = ServiceBuilder::new()
        .option_layer(cors)
        .layer(from_fn_with_state(shield, shield::guard))
        .layer(CompressionLayer::new())
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true));
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/rapidpro/{destination}/webhook", post(webhook::receive))
        .route("/fhir", any(fhir::base))
        .route("/fhir/", any(fhir::base))
        .route("/fhir/{*path}", any(fhir::below))
        .route("/tenants/{tenant}/fhir", any(fhir::base))
        .route("/tenants/{tenant}/fhir/", any(fhir::base))
        .route("/tenants/{tenant}/fhir/{*path}", any(fhir::below))
        .route("/emNutt/{*path}", any(emnutt::answer))
        .route("/tenants/{tenant}/emNutt/{*path}", any(emnutt::answer))
        .route("/sync/{trigger}", any(emnutt::answer))
        .route("/tenants/{tenant}/sync/{trigger}", any(emnutt::answer))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(layers)
        .with_state(app)
}

async fn nowhere() -> answer::Answer {
    answer::no_interaction(&interaction::NoInteraction::NotFound)
}

/// Only the places outside FHIR come here: `/health` and its neighbours; axum adds their `Allow`.
async fn wrong_method() -> answer::Answer {
    use crate::fhir::outcome::{IssueType, Outcome};
    let text = "this method does nothing here";
    answer::refusal(&Outcome::error(IssueType::NotSupported, "method-not-allowed", text).status(405))
}
