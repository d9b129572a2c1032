//! Profiles at start: our own, and those of the user's folder (`profiles` in the configuration).
//!
//! What is wrong with a file is refused at start; what of a profile is not enforced is logged once.

use std::path::{Path, PathBuf};

use crate::fhir::profile::{ProfileError, Registry};

/// Files in the folder, at most.
const MAX_FILES: usize = 2_000;

/// Why there are no profiles.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {reason} [profiles]\n  hint: `profiles` names a folder with FHIR definitions as *.json", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{} holds more than {MAX_FILES} files [profiles]", path.display())]
    TooMany { path: PathBuf },
    #[error(
        "{0} [profiles]\n  hint: the folder holds StructureDefinitions on R4's types, ValueSets and CodeSystems"
    )]
    Unusable(#[from] ProfileError),
}

/// Reads the folder, if there is one, beside our own.
///
/// # Errors
/// [`Error`]
pub fn load(folder: Option<&Path>) -> Result<Registry, Error> {
    let files = folder.map(read).transpose()?.unwrap_or_default();
    let registry = Registry::with(&files)?;
    for told in registry.told() {
        tracing::warn!(profile = told, "a part of a profile is not enforced");
    }
    Ok(registry)
}

fn read(folder: &Path) -> Result<Vec<(String, String)>, Error> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| Error::Unreadable { path, reason: error.kind().to_string() }
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
        if paths.len() > MAX_FILES {
            return Err(Error::TooMany { path: folder.to_owned() });
        }
    }
    paths.sort();
    let file = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
        Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text))
    };
    paths.iter().map(file).collect()
}
