//! Mapping files read again while the server runs: all of them or none.
//!
//! A file with a mistake, of whichever tenant, leaves every mapping as it was.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::mappings::{self, Loaded};
use super::start::Error;
use crate::config::Config;
use crate::delivery::evaluator::Evaluator;
use crate::delivery::lookup::Surroundings;
use crate::delivery::mapper::Mapper;
use crate::delivery::programs::{Tenancy, evaluators};
use crate::store::Store;

/// Where a tenant's mapping files are, and what they are held against.
pub struct Files {
    pub folder: PathBuf,
    /// (system, name)
    pub destinations: Vec<(String, String)>,
    pub tenancy: Tenancy,
}

impl Files {
    /// A tenant's files as the configuration names them. The store keeps the keys of pseudonyms.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(
        config: &Config,
        store: &Store,
        tenant: &str,
        zone: jiff::tz::TimeZone,
    ) -> Result<Self, Error> {
        let destinations = mappings::destinations(config, tenant);
        let mut pseudonym_keys = BTreeMap::new();
        for (system, name) in &destinations {
            let key = store.tenant_key(tenant, &mappings::pseudonym_key_name(system, name)).await?;
            pseudonym_keys.insert(mappings::full_name(system, name), key);
        }
        let country = config.workspaces_of(tenant).find_map(|(_, workspace)| workspace.country.clone());
        let (tenant_name, registry) = (tenant.to_owned(), mappings::registry());
        let tenancy = Tenancy { tenant: tenant_name, zone, country, pseudonym_keys, registry };
        Ok(Self { folder: mappings::folder(config, tenant), destinations, tenancy })
    }

    /// The mappings of the folder as it is now.
    ///
    /// # Errors
    /// [`Error::Folder`], or [`Error::Mappings`] with everything that is wrong.
    pub fn load(&self) -> Result<Vec<Arc<dyn Evaluator>>, Error> {
        let Loaded { programs, diagnostics } =
            mappings::load(&self.folder, &self.tenancy.registry, Some(&self.destinations))?;
        if diagnostics.is_empty() {
            Ok(evaluators(&programs, self.tenancy.clone()))
        } else {
            Err(Error::Mappings { diagnostics })
        }
    }
}

/// What the look-ups of a tenant need to know.
pub fn surroundings(config: &Config, (tenant, base): (&str, &str), zone: jiff::tz::TimeZone) -> Surroundings {
    Surroundings {
        tenant: tenant.to_owned(),
        base: base.to_owned(),
        zone,
        workspaces: config.workspaces_of(tenant).map(|(name, _)| name.clone()).collect(),
    }
}

/// A tenant's mapping files and the mapper that applies them.
pub struct Mapped {
    pub files: Files,
    pub mapper: Mapper,
}

/// What is read again. Cheap to clone.
#[derive(Clone, Default)]
pub struct Reload(Arc<Vec<Mapped>>);

impl std::fmt::Debug for Reload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Reload").field(&self.0.len()).finish()
    }
}

impl Reload {
    pub fn new(mapped: Vec<Mapped>) -> Self {
        Self(Arc::new(mapped))
    }

    /// Reads the mapping files of every tenant again and, where none has a mistake, goes on with them. Gives
    /// how many mappings there are now.
    ///
    /// # Errors
    /// [`Error`]: then nothing has changed.
    pub async fn reload(&self) -> Result<usize, Error> {
        let mut replacements = Vec::with_capacity(self.0.len());
        for mapped in self.0.iter() {
            replacements.push((mapped.mapper.clone(), mapped.files.load()?));
        }
        Mapper::replace(&replacements).await?;
        Ok(replacements.iter().map(|(_, evaluators)| evaluators.len()).sum())
    }
}
