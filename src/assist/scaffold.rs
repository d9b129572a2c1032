//! `mjumbe init`: a folder with a commented configuration, a first mapping and its test.
//!
//! **Never** writes over a file: all names are looked at before the first one is written. Secrets are kept in
//! files of their own that only their owner may read; the one that Mjumbe can make up itself, the webhook's, is
//! made here.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use url::Url;

const CONFIGURATION: &str = include_str!("scaffold/mjumbe.toml");
const IGNORED: &str = include_str!("scaffold/gitignore");
const MAPPING: &str = include_str!("../../mappings/patient-contact.yaml");
const MAPPING_TEST: &str = include_str!("../../mappings/patient-contact.test.yaml");

/// The name of the workspace and of the instance in a new configuration.
pub const WORKSPACE: &str = "country";
pub const INSTANCE: &str = "national";

/// What a new configuration says from the beginning.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Address of the RapidPro workspace's server.
    pub rapidpro: Option<String>,
    /// Address of the DHIS2 instance.
    pub dhis2: Option<String>,
    /// IANA name; `UTC` where it is not given.
    pub timezone: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// Relative to the folder, in the order in which a person reads them.
    pub files: Vec<PathBuf>,
    /// Secrets that a person must put into their files.
    pub secrets: Vec<PathBuf>,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} is there already: nothing was written [file-exists]", .0.display())]
    Exists(PathBuf),
    #[error("cannot write {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{0}` is not an http or https address")]
    Address(String),
    #[error("plain http to {0} would show the token to the network: use https")]
    PlainHttp(String),
    #[error("`{0}` is not a time zone")]
    Zone(String),
    #[error("`{0}` is not a country code")]
    Country(String),
}

impl Error {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "file-exists",
            Self::Io { .. } => "unwritable",
            Self::Address(_) => "invalid-address",
            Self::PlainHttp(_) => "plain-http",
            Self::Zone(_) => "unknown-timezone",
            Self::Country(_) => "unknown-country",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Exists(_) => "name another folder, or move that file away; init never writes over anything",
            Self::Io { .. } => "name a folder that this user may write to",
            Self::Address(_) => "write it as in a browser: https://rapidpro.example.org",
            Self::PlainHttp(_) => "only a server on this machine may be spoken to over http",
            Self::Zone(_) => "an IANA name such as Africa/Kigali",
            Self::Country(_) => "ISO 3166-1 alpha-2, e.g. RW",
        }
    }
}

/// One file to be written.
struct File {
    name: &'static str,
    text: String,
    kind: Kind,
}

#[derive(PartialEq)]
enum Kind {
    Plain,
    /// Only its owner may read it.
    Secret,
    /// A secret that a person must fill in.
    Awaited,
}

/// Makes the folder.
///
/// # Errors
/// [`Error`]; of the files that are there already, the first.
pub fn create(folder: &Path, wish: &Wish) -> Result<Made, Error> {
    let files = files(wish)?;
    if let Some(file) = files.iter().find(|file| folder.join(file.name).symlink_metadata().is_ok()) {
        return Err(Error::Exists(folder.join(file.name)));
    }
    for file in &files {
        write(&folder.join(file.name), file)?;
    }
    let named = |wanted: fn(&File) -> bool| {
        files.iter().filter(|file| wanted(file)).map(|file| PathBuf::from(file.name)).collect()
    };
    Ok(Made {
        files: named(|file| file.kind == Kind::Plain),
        secrets: named(|file| file.kind == Kind::Awaited),
    })
}

fn files(wish: &Wish) -> Result<Vec<File>, Error> {
    let plain = |name, text: &str| File { name, text: text.to_owned(), kind: Kind::Plain };
    let awaited = |name| File { name, text: String::new(), kind: Kind::Awaited };
    let mut files = vec![
        plain("mjumbe.toml", &configuration(wish)?),
        plain("mappings/patient-contact.yaml", MAPPING),
        plain("mappings/patient-contact.test.yaml", MAPPING_TEST),
        plain(".gitignore", IGNORED),
    ];
    let webhook = hex::encode(rand::random::<[u8; 24]>());
    files.push(File { name: "secrets/rapidpro-webhook", text: webhook + "\n", kind: Kind::Secret });
    files.push(awaited("secrets/rapidpro-token"));
    files.push(awaited("secrets/dhis2-token"));
    Ok(files)
}

fn write(path: &Path, file: &File) -> Result<(), Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let secret = file.kind != Kind::Plain;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(if secret { 0o700 } else { 0o755 }).create(folder).map_err(failed)?;
    }
    let mode = if secret { 0o600 } else { 0o644 };
    let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(
        |error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
            _ => failed(error),
        },
    )?;
    opened.write_all(file.text.as_bytes()).map_err(failed)
}

/// The template, with what is known filled in. Sections of systems whose address is not known stay commented out.
fn configuration(wish: &Wish) -> Result<String, Error> {
    let zone = wish.timezone.as_deref().unwrap_or("UTC");
    jiff::tz::TimeZone::get(zone).map_err(|_| Error::Zone(zone.to_owned()))?;
    let country = wish.country.as_deref().map(country).transpose()?;
    let mut text = String::new();
    let mut asleep = false;
    for line in CONFIGURATION.lines() {
        if line.starts_with('[') {
            asleep = match line {
                "[rapidpro.country]" => wish.rapidpro.is_none(),
                "[dhis2.national]" => wish.dhis2.is_none(),
                _ => false,
            };
        }
        let line = match line {
            "url = \"RAPIDPRO\"" => setting("url", wish.rapidpro.as_deref(), "https://rapidpro.example.org")?,
            "url = \"DHIS2\"" => setting("url", wish.dhis2.as_deref(), "https://dhis2.example.org")?,
            "timezone = \"ZONE\"" => format!("timezone = \"{zone}\""),
            "# country = \"RW\"" if country.is_some() => {
                format!("country = \"{}\"", country.as_deref().unwrap_or_default())
            }
            other => other.to_owned(),
        };
        let sleeps = asleep && !line.is_empty() && !line.starts_with('#');
        text.push_str(if sleeps { "# " } else { "" });
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

fn country(code: &str) -> Result<String, Error> {
    let code = code.to_ascii_uppercase();
    let known = code.parse::<phonenumber::country::Id>().is_ok();
    if known { Ok(code) } else { Err(Error::Country(code)) }
}

fn setting(key: &str, address: Option<&str>, example: &str) -> Result<String, Error> {
    let Some(address) = address else { return Ok(format!("{key} = \"{example}\"")) };
    let url = Url::parse(address.trim()).map_err(|_| Error::Address(address.to_owned()))?;
    let local = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => return Err(Error::Address(address.to_owned())),
    };
    match url.scheme() {
        // A user in the address would be a secret in the configuration.
        "https" | "http" if !url.username().is_empty() => {
            return Err(Error::Address("an address with a user and a password".to_owned()));
        }
        "https" => {}
        "http" if local => {}
        "http" => return Err(Error::PlainHttp(url.host_str().unwrap_or_default().to_owned())),
        _ => return Err(Error::Address(address.to_owned())),
    }
    Ok(format!("{key} = \"{}\"", url.as_str().trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn no_variables() -> Vec<(String, String)> {
        Vec::new()
    }

    #[test]
    fn what_is_written_loads() {
        let folder = tempfile::tempdir().unwrap();
        let made = create(folder.path(), &Wish::default()).unwrap();
        assert_eq!(made.files.len(), 4);
        let file = folder.path().join("mjumbe.toml");
        let config = config::load(Some(&file), no_variables()).unwrap();
        assert!(config.rapidpro.is_empty() && config.dhis2.is_empty());
    }

    #[test]
    fn with_addresses_only_the_tokens_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let wish = Wish {
            rapidpro: Some("http://127.0.0.1:9/".to_owned()),
            dhis2: Some("https://dhis2.example.org/hmis".to_owned()),
            timezone: Some("Africa/Kigali".to_owned()),
            country: Some("rw".to_owned()),
        };
        create(folder.path(), &wish).unwrap();
        let file = folder.path().join("mjumbe.toml");
        let told = config::load(Some(&file), no_variables()).unwrap_err().to_string();
        assert!(told.contains("rapidpro.country.token") && told.contains("dhis2.national.token"), "{told}");
        for secret in ["rapidpro-token", "dhis2-token"] {
            fs::write(folder.path().join("secrets").join(secret), "secret\n").unwrap();
        }
        let config = config::load(Some(&file), no_variables()).unwrap();
        assert_eq!(config.rapidpro[WORKSPACE].url, "http://127.0.0.1:9");
        assert_eq!(config.rapidpro[WORKSPACE].country.as_deref(), Some("RW"));
        assert_eq!(config.dhis2[INSTANCE].url, "https://dhis2.example.org/hmis");
        assert_eq!(config.tenant["default"].timezone, "Africa/Kigali");
        assert!(config.rapidpro[WORKSPACE].webhook_secret.is_some());
    }

    #[test]
    fn nothing_is_written_over_and_secrets_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".gitignore"), "mine").unwrap();
        let error = create(folder.path(), &Wish::default()).unwrap_err();
        assert!(error.to_string().contains(".gitignore"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was written");
        fs::remove_file(folder.path().join(".gitignore")).unwrap();
        create(folder.path(), &Wish::default()).unwrap();
        let mode = fs::metadata(folder.path().join("secrets/rapidpro-webhook")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }

    #[test]
    fn addresses_that_cannot_be_used_are_refused() {
        let with = |address: &str| {
            let wish = Wish { rapidpro: Some(address.to_owned()), ..Wish::default() };
            configuration(&wish).unwrap_err().code()
        };
        assert_eq!(with("rapidpro.example.org"), "invalid-address");
        assert_eq!(with("http://rapidpro.example.org"), "plain-http");
        assert_eq!(with("https://me:secret@rapidpro.example.org"), "invalid-address");
    }
}
