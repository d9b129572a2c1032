//! `writeBack`: what the far side calls a resource becomes an identifier of it, in a version of Mjumbe's own.
//!
//! In the transaction that settles the delivery, and last in it, as it locks the tenant's clock. **Never** makes
//! a resource again that was deleted meanwhile.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::here::key_of;
use crate::fhir::resource::strip;
use crate::fhir::{index, subject, written_back};
use crate::store::db::Tx;
use crate::store::deliveries::DeliveryRow;
use crate::store::error::Error;
use crate::store::write::within::{Group, Pace};
use crate::store::write::{Origin, Precondition, Put};

/// How remote ids are written back.
#[derive(Debug, Clone, Default)]
pub struct Identifying {
    /// The system of a target's identifiers: `https://rapidpro.example.org/contact`.
    pub systems: BTreeMap<String, String>,
    /// Dates without a zone are indexed in it.
    pub zone: Option<TimeZone>,
}

/// One resource and what it is called over there.
pub(super) struct Known {
    resource: (String, String),
    system: String,
    remote: String,
    origin: Origin,
}

impl Identifying {
    /// What is to be written back of an answered delivery.
    pub(super) fn known(&self, row: &DeliveryRow, resource: &str, remote: &str) -> Option<Known> {
        let system = self.systems.get(&row.target).filter(|_| row.write_back && !row.withdrawn)?;
        let origin = Origin::Mapping { name: row.mapping.clone(), hops: row.hops };
        let (system, remote) = (system.clone(), remote.to_owned());
        Some(Known { resource: key_of(resource)?, system, remote, origin })
    }

    /// Writes the identifiers. `None`: there was nothing to write.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn write(
        &self,
        tx: &mut Tx,
        tenant: &str,
        known: &[Known],
    ) -> Result<Option<Pace>, Error> {
        if known.is_empty() {
            return Ok(None);
        }
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        let mut group = Group::open(tx, tenant).await?;
        group.load(known.iter().map(|one| one.resource.clone()).collect()).await?;
        for one in known {
            let (kind, id) = &one.resource;
            let body = group.standing(kind, id).and_then(|standing| standing.body);
            let Some(put) = body.and_then(|body| identified(one, &body, &zone)) else { continue };
            // Without a precondition nothing is refused.
            if group.stage(vec![put]).is_err() {
                tracing::warn!(kind, "an identifier could not be written back");
            }
        }
        group.close().await.map(Some)
    }
}

/// The next version of a resource; `None`: it has the identifier already, or no place for it.
fn identified(known: &Known, body: &str, zone: &TimeZone) -> Option<Put> {
    let (kind, id) = &known.resource;
    let mut resource: Value = serde_json::from_str(body).ok()?;
    if !written_back::write(&mut resource, &known.system, &known.remote) {
        return None;
    }
    Some(Put {
        kind: kind.clone(),
        id: id.clone(),
        body: Some(strip(&resource)),
        index: index::rows(kind, &resource, zone),
        subject: subject::subject(kind, id, &resource),
        precondition: Precondition::None,
        origin: known.origin.clone(),
    })
}
