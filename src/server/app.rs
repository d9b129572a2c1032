//! What every handler shares.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::apart::Apart;
use super::fhir::capabilities::{Standard, Statements};
use super::parameters::OwnParameters;
use super::supervisor::Readiness;
use super::webhook::Workspace;
use crate::auth::gateway::Gateways;
use crate::auth::jwt::Issuers;
use crate::delivery::signal::Signals;
use crate::fhir::capability::Support;
use crate::fhir::profile::Registry;
use crate::store::Store;

/// What every handler shares; built once, before the first request.
pub struct App {
    pub store: Store,
    /// Search parameters of the tenants' own.
    pub own: OwnParameters,
    /// Wakes the mapper after a write.
    pub signals: Signals,
    /// The address that clients see, without `/fhir` and without a slash at its end.
    pub public_url: String,
    pub tenants: BTreeMap<String, Tenant>,
    /// What `metadata` tells whoever asks.
    pub standard: Standard,
    /// The RapidPro workspaces that may call webhooks, by name.
    pub workspaces: BTreeMap<String, Workspace>,
    /// What claimed profiles ask for.
    pub profiles: Registry,
    /// The identity providers whose tokens are taken.
    pub issuers: Issuers,
    /// What stands in front and needs no token.
    pub gateways: Gateways,
    pub auth_disabled: bool,
    /// Whether pages of other origins may call.
    pub cors: Support,
    pub body_limit: usize,
    /// Where large requests are worked on.
    pub apart: Apart,
    /// Where large answers are dressed: they do not wait for requests, whose writes may wait for others.
    pub dressing: Apart,
    pub readiness: Readiness,
    /// Cancelled when the server stops taking work.
    pub draining: CancellationToken,
}

/// One country or programme.
pub struct Tenant {
    /// Dates without a zone are in it.
    pub zone: jiff::tz::TimeZone,
    /// Its CapabilityStatement, made when it is asked for and search parameters have changed.
    pub statements: Statements,
}

impl App {
    /// `https://fhir.example.org/fhir`, or `…/tenants/NAME/fhir`.
    pub fn base(&self, tenant: &str) -> String {
        base(&self.public_url, tenant)
    }
}

/// The same before there is an [`App`].
pub fn base(public_url: &str, tenant: &str) -> String {
    match tenant {
        "default" => format!("{public_url}/fhir"),
        name => format!("{public_url}/tenants/{name}/fhir"),
    }
}
