//! The DHIS2 client, metadata mirror, periods, value types and aggregate targets. Does not know RapidPro.
//!
//! **Never** relies on DHIS2 to validate: what it would store although it is wrong is refused before it
//! leaves. Deliveries come in through [`crate::delivery::destination::Destination`] and leave as data value
//! sets; metadata comes in as documents of the store.

// Reports and counts: targets and destination.
pub mod aggregate;
// What an answer of the aggregate import means.
pub mod answer;
// HTTP to one instance.
pub mod client;
// What a data set or program asks for.
pub mod form;
// What an instance says about itself.
pub mod metadata;
// What mappings name by constants.
mod naming;
// Periods: parse, write, contain, shift.
pub mod period;
// Events and tracked entities: targets and sending.
pub mod tracker;
// Value types: what DHIS2 stores for a value, or why it would refuse it.
pub mod value;
// Which DHIS2 speaks.
pub mod version;

use std::sync::Arc;
use std::time::Duration;

use crate::config;
use crate::store::Store;

/// How often metadata is read again unless the configuration says otherwise.
const METADATA_INTERVAL_S: u64 = 3600;

/// One configured instance, ready to be used.
pub struct Connected {
    /// For the delivery engine.
    pub destination: Arc<aggregate::destination::Instance>,
    /// To be loaded once ([`metadata::mirror::Mirror::load`]) and then kept fresh by one task
    /// ([`metadata::mirror::Mirror::run`]).
    pub mirror: Arc<metadata::mirror::Mirror>,
}

/// Prepares `[dhis2.NAME]`; nothing is sent or read yet.
///
/// # Errors
/// [`client::SettingsError`], with the key and what to do.
pub fn connect(
    name: &str,
    settings: &config::Dhis2,
    store: &Store,
    tenant: &str,
) -> Result<Connected, client::SettingsError> {
    let client = Arc::new(client::Client::new(name, settings)?);
    let documents = Arc::new(metadata::stored::StoredDocuments::new(store.clone(), tenant));
    let interval = Duration::from_secs(settings.metadata_interval_s.unwrap_or(METADATA_INTERVAL_S));
    let mirror = Arc::new(metadata::mirror::Mirror::new(Arc::clone(&client), documents, interval));
    let tracking = tracking(name, store, tenant);
    let budget = settings.budget_per_hour;
    let destination = aggregate::destination::Instance::new(client, Arc::clone(&mirror), tracking, budget);
    Ok(Connected { destination: Arc::new(destination), mirror })
}

/// What events and tracked entities of `[dhis2.NAME]` need beside its client.
pub fn tracking(name: &str, store: &Store, tenant: &str) -> aggregate::destination::Tracking {
    let notes = tracker::notes::StoredNotes {
        store: store.clone(),
        tenant: tenant.to_owned(),
        destination: format!("dhis2.{name}"),
    };
    let space = tracker::uid::Namespace::new(tenant, name);
    aggregate::destination::Tracking { space, notes: Arc::new(notes) }
}
