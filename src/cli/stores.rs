//! Opening the store that the configuration names.

use secrecy::ExposeSecret;

use super::failure::Failure;
use crate::config::Config;
use crate::store::Store;

pub async fn open(config: &Config) -> Result<Store, Failure> {
    Ok(Store::open(config.store.url.expose_secret(), config.store.connections).await?)
}

/// Whether the store may be opened without making it: a SQLite file that is there, or a server.
pub fn is_there(config: &Config) -> bool {
    sqlite_path(config.store.url.expose_secret()).is_none_or(std::path::Path::exists)
}

/// Where the store is, for a person: a file's whole path, or a server without its password.
pub fn place(config: &Config) -> String {
    let url = config.store.url.expose_secret();
    if let Some(path) = sqlite_path(url) {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.into());
        return whole.display().to_string();
    }
    let named = url::Url::parse(url).ok().and_then(|url| {
        Some(format!("the database {} on {}", url.path().trim_start_matches('/'), url.host_str()?))
    });
    named.unwrap_or_else(|| "the database of store.url".to_owned())
}

/// The file of `sqlite://FILE?…`.
fn sqlite_path(url: &str) -> Option<&std::path::Path> {
    let rest = url.strip_prefix("sqlite:")?;
    Some(std::path::Path::new(rest.trim_start_matches("//").split('?').next().unwrap_or_default()))
}

/// A time for people: to the minute, in UTC.
pub fn shown(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// A tenant that the configuration knows.
pub fn tenant<'a>(config: &Config, name: &'a str) -> Result<&'a str, Failure> {
    if config.tenant.contains_key(name) {
        return Ok(name);
    }
    let known: Vec<&str> = config.tenant.keys().map(String::as_str).collect();
    let hint = match crate::config::problem::did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are: {}", known.join(", ")),
    };
    Err(Failure::new(format!("`{name}` is not a configured tenant [unknown-tenant]")).hint(hint))
}
