//! Mapping files from their folder: `*.yaml`, with the tables (`*.csv`) beside them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::dhis2::aggregate;
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::overlap;
use crate::mapping::program::{self, Program, Settings};
use crate::mapping::table::{self, Tables};
use crate::mapping::target::Registry;
use crate::rapidpro::contact;

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
    aggregate::target::register(Registry::default().with(Arc::new(contact::target::Contact)))
}

/// The configured destinations as (system, name).
pub fn destinations(config: &Config) -> Vec<(String, String)> {
    let rapidpro = config.rapidpro.keys().map(|name| ("rapidpro".to_owned(), name.clone()));
    let dhis2 = config.dhis2.keys().map(|name| ("dhis2".to_owned(), name.clone()));
    rapidpro.chain(dhis2).collect()
}

/// What the key of a destination's pseudonyms is kept under, one for each so that pseudonyms cannot be
/// joined across destinations.
pub fn pseudonym_key_name(destination: &str) -> String {
    format!("pseudonym-key/{destination}")
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
    for file in files(folder)? {
        let text = read(&file)?;
        match program::load(&file.display().to_string(), &text, &settings) {
            Ok(program) => programs.push(program),
            Err(told) => diagnostics.extend(told),
        }
    }
    diagnostics.extend(overlap::check(&programs, registry));
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
