//! Gateways that stand in front, ask who calls, and pass no token on (OpenSRP's takes the user's away): known by the
//! address that they connect from.
//!
//! **Never** believes `X-Forwarded-For`: anybody can write it. A request that brings credentials is judged by them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Principal;
use super::scope::{BadScope, Scopes};
use crate::config::{self, Config};
use crate::fhir::client::Profile;
use crate::fhir::elements;

/// Why a gateway cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("auth.gateway.{name}.scopes: {source}")]
pub struct Error {
    name: String,
    source: BadScope,
}

/// All gateways, of every tenant.
pub struct Gateways(Vec<Gateway>);

struct Gateway {
    tenant: String,
    networks: Vec<IpNet>,
    principal: Principal,
}

impl Gateways {
    /// The configured ones, whose addresses were checked with the configuration.
    ///
    /// # Errors
    /// [`Error`] names the section whose scopes cannot be read.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let is_type = |kind: &str| elements::table().kind(kind).is_some();
        let made = config.auth.gateway.iter().map(|(name, settings)| {
            let scopes = Scopes::parse(&settings.scopes, is_type);
            let scopes = scopes.map_err(|source| Error { name: name.clone(), source })?;
            let profile = settings.profile.as_deref().and_then(Profile::parse);
            let networks = settings.addresses.iter().filter_map(|text| config::network(text)).collect();
            let tenant = settings.tenant.clone().unwrap_or_else(|| "default".to_owned());
            let upserts = profile.map_or(&[][..], Profile::upserts).iter().map(|kind| (*kind).to_owned());
            let upserts = upserts.collect();
            let principal = Principal { name: format!("gateway/{name}"), scopes, profile, upserts };
            Ok(Gateway { tenant, networks, principal })
        });
        Ok(Self(made.collect::<Result<_, _>>()?))
    }

    /// The gateway of this tenant that connects from `address`.
    pub fn recognise(&self, tenant: &str, address: IpAddr) -> Option<Principal> {
        // A socket that listens on `::` sees an IPv4 address as one of IPv6.
        let address = address.to_canonical();
        let known = |gateway: &&Gateway| {
            gateway.tenant == tenant && gateway.networks.iter().any(|network| network.contains(&address))
        };
        self.0.iter().find(known).map(|gateway| gateway.principal.clone())
    }
}
