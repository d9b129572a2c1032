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
    let url = config.store.url.expose_secret();
    match url.strip_prefix("sqlite:") {
        Some(rest) => {
            let path = rest.trim_start_matches("//").split('?').next().unwrap_or_default();
            std::path::Path::new(path).exists()
        }
        None => true,
    }
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
