//! Mapping files from their folder: `*.yaml`, with the tables (`*.csv`) beside them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::dhis2::{aggregate, tracker};
use crate::fhir_out;
use crate::http_out;
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::overlap;
use crate::mapping::program::{self, Program, Settings};
use crate::mapping::table::{self, Tables};
use crate::mapping::target::Registry;
use crate::rapidpro::{act, contact};

/// Largest mapping file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most mapping files in one folder.
const FILES_MAX: usize = 1000;

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Loaded {
    pub programs: Vec<Arc<Program>>,
    /// Everything that is wrong with the others.
    pub diagnostics: Vec<Diagnostic>,
}

/// A folder or file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{} is larger than 1 MB", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} holds more than 1000 mapping files", path.display())]
    TooMany { path: PathBuf },
}

/// The targets that mapping files may use.
pub fn registry() -> Registry {
    let rapidpro = Registry::default()
        .with(Arc::new(contact::target::Contact))
        .with(Arc::new(act::start::Start))
        .with(Arc::new(act::message::Message));
    let all = tracker::register(aggregate::target::register(rapidpro));
    all.with(Arc::new(fhir_out::target::MadeResource)).with(Arc::new(http_out::target::Post))
}

/// A tenant's destinations as (system, name), Mjumbe itself included.
pub fn destinations(config: &Config, tenant: &str) -> Vec<(String, String)> {
    let rapidpro = config.workspaces_of(tenant).map(|(name, _)| ("rapidpro".to_owned(), name.clone()));
    let dhis2 = config.instances_of(tenant).map(|(name, _)| ("dhis2".to_owned(), name.clone()));
    let fhir = config.fhir_servers_of(tenant).map(|(name, _)| ("fhir".to_owned(), name.clone()));
    let http = config.endpoints_of(tenant).map(|(name, _)| ("http".to_owned(), name.clone()));
    let here = ("fhir".to_owned(), fhir_out::HERE.to_owned());
    rapidpro.chain(dhis2).chain(fhir).chain(http).chain([here]).collect()
}

/// Whether anything but Mjumbe itself is configured to send to.
pub fn is_any_outside(destinations: &[(String, String)]) -> bool {
    destinations.iter().any(|(system, name)| (system.as_str(), name.as_str()) != ("fhir", fhir_out::HERE))
}

/// Of the tenant `default` the configured folder itself, of others the one of their name inside it.
pub fn folder(config: &Config, tenant: &str) -> PathBuf {
    match tenant {
        "default" => config.mappings.clone(),
        name => config.mappings.join(name),
    }
}

/// A destination as the store names it: `SYSTEM.NAME`.
pub fn full_name(system: &str, name: &str) -> String {
    format!("{system}.{name}")
}

/// What the key of a destination's pseudonyms is kept under, one for each so that pseudonyms cannot be
/// joined across destinations, also where a workspace and an instance have one name.
pub fn pseudonym_key_name(system: &str, name: &str) -> String {
    format!("pseudonym-key/{}", full_name(system, name))
}

/// Loads every mapping file of a folder, or one file; a folder that is not there holds none.
///
/// `destinations` is `None` where no configuration is to be held against the files.
///
/// # Errors
/// [`Error`] of the file system; what is wrong in a file is in [`Loaded::diagnostics`].
pub fn load(
    folder: &Path,
    registry: &Registry,
    destinations: Option<&[(String, String)]>,
) -> Result<Loaded, Error> {
    let tables = tables(folder)?;
    let settings = Settings { registry, destinations, tables: &tables };
    let (mut programs, mut diagnostics) = (Vec::new(), Vec::new());
    let mut texts = BTreeMap::new();
    for file in files(folder)? {
        let (name, text) = (file.display().to_string(), read(&file)?);
        match program::load(&name, &text, &settings) {
            Ok(program) => programs.push(program),
            Err(told) => diagnostics.extend(told),
        }
        texts.insert(name, text);
    }
    let overlaps = overlap::check(&programs, registry).into_iter();
    diagnostics.extend(overlaps.map(|told| {
        let (file, text) = (told.file.clone(), texts.get(&told.file).map_or("", String::as_str));
        told.within(&file, text)
    }));
    Ok(Loaded { programs: programs.into_iter().map(Arc::new).collect(), diagnostics })
}

/// The mapping files of a folder, by name, without their tests; or the one file that is named.
///
/// # Errors
/// [`Error`] of the file system.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if folder.is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let is_mapping = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".yaml") && !name.ends_with(".test.yaml") && !name.starts_with('.')
    };
    let found: Vec<PathBuf> = entries(folder)?.into_iter().filter(is_mapping).collect();
    if found.len() > FILES_MAX { Err(Error::TooMany { path: folder.to_owned() }) } else { Ok(found) }
}

/// The text of every table beside the mapping files, by file name.
///
/// # Errors
/// [`Error`] of the file system.
pub fn tables(folder: &Path) -> Result<Tables, Error> {
    let folder = match folder.parent() {
        Some(parent) if folder.is_file() && parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) if folder.is_file() => parent,
        _ => folder,
    };
    let mut tables = Tables::new();
    for path in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".csv") && table::is_plain_name(name) {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            tables.insert(name.to_owned(), text);
        }
    }
    Ok(tables)
}

/// The text of one file.
///
/// # Errors
/// [`Error`] of the file system.
pub fn read(path: &Path) -> Result<String, Error> {
    let size = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(Error::TooLarge { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// The paths in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| unreadable(folder, &error))?,
    };
    let paths: Result<Vec<PathBuf>, io::Error> = read.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(|error| unreadable(folder, &error))?;
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::Unreadable { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_and_an_instance_of_one_name_have_keys_of_their_own() {
        assert_ne!(pseudonym_key_name("rapidpro", "country"), pseudonym_key_name("dhis2", "country"));
    }

    #[test]
    fn what_two_files_do_together_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["a.yaml", "b.yaml"] {
            let text = "# A comment\nmapping: same\nfrom: { resource: Patient }\n\
                        to: [{ rapidpro.contact: { urns: '$.resource.telecom[*].value' } }]\n";
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let loaded = load(folder.path(), &registry(), None).unwrap();
        let told = loaded.diagnostics[0].to_string();
        assert!(told.contains("2 | mapping: same\n   |          ^^^^\n"), "{told}");
    }
}
