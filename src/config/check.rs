//! What does not fit together in a configuration whose keys and types are right.

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::problem::{Problem, did_you_mean};
use super::{Config, Dhis2, RapidPro, endpoint, gateway, identity};

pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    server(config, &mut found);
    store(config, &mut found);
    log(config, &mut found);
    for (name, tenant) in &config.tenant {
        name_fits(&format!("tenant.{name}"), name, &mut found);
        timezone(&format!("tenant.{name}.timezone"), &tenant.timezone, &mut found);
        languages(&format!("tenant.{name}.languages"), &tenant.languages, &mut found);
    }
    for (name, workspace) in &config.rapidpro {
        rapidpro(config, name, workspace, &mut found);
    }
    for (name, instance) in &config.dhis2 {
        dhis2(config, name, instance, &mut found);
    }
    endpoint::problems(config, &mut found);
    identity::problems(config, &mut found);
    gateway::problems(config, &mut found);
    found
}

fn server(config: &Config, found: &mut Vec<Problem>) {
    let server = &config.server;
    if server.dangerous_disable_auth && !server.listen.ip().is_loopback() {
        found.push(Problem::new(
            "contradiction",
            "server.dangerous_disable_auth",
            format!("is true while listening on {}, which others can reach", server.listen),
            "listen on 127.0.0.1, or set it to false and make a token with `mjumbe token create NAME`",
        ));
    }
    if let Some(url) = &server.public_url
        && let Err(why) = plain_http_url(url)
    {
        let hint = "write the address that clients use, e.g. https://fhir.example.org";
        found.push(Problem::new(
            "invalid-value",
            "server.public_url",
            format!("{} {why}", without_user(url)),
            hint,
        ));
    }
    for origin in &server.cors_origins {
        let fits = plain_http_url(origin).is_ok_and(|url| url.path() == "/") && !origin.ends_with('/');
        if origin != "*" && !fits {
            let message = format!("{} is not an origin", without_user(origin));
            let hint = "`*`, or scheme and host as a browser sends them, e.g. https://web.example.org";
            found.push(Problem::new("invalid-value", "server.cors_origins", message, hint));
        }
    }
    positive("server.body_limit_mb", u64::from(server.body_limit_mb), found);
    positive("server.request_timeout_s", server.request_timeout_s, found);
    positive("server.concurrency", server.concurrency as u64, found);
}

fn store(config: &Config, found: &mut Vec<Problem>) {
    let url = config.store.url.expose_secret();
    let known = ["sqlite:", "postgres://", "postgresql://"];
    if !known.iter().any(|scheme| url.starts_with(scheme)) {
        let message = "the value (not shown) names no store that Mjumbe has";
        let hint = "sqlite://mjumbe.db, or postgres://user:password@host/database";
        found.push(Problem::new("invalid-value", "store.url", message, hint));
    }
    positive("store.connections", u64::from(config.store.connections), found);
}

fn log(config: &Config, found: &mut Vec<Problem>) {
    if !matches!(config.log.format.as_str(), "text" | "json") {
        let message = format!("`{}` is not a log format", config.log.format);
        found.push(Problem::new("invalid-value", "log.format", message, "text, or json"));
    }
    for directive in config.log.level.split(',') {
        let (target, level) = directive.split_once('=').unwrap_or(("mjumbe", directive));
        if target != "mjumbe" && !target.starts_with("mjumbe::") {
            let message = format!("`{directive}` names a target outside Mjumbe");
            let hint = "other libraries could log bodies and credentials, and stay at `warn`; name mjumbe::…";
            found.push(Problem::new("contradiction", "log.level", message, hint));
        } else if level.trim().parse::<tracing::metadata::LevelFilter>().is_err() {
            let message = format!("`{directive}` is not a level");
            found.push(Problem::new(
                "invalid-value",
                "log.level",
                message,
                "error, warn, info, debug, trace, or mjumbe::ROOM=LEVEL",
            ));
        }
    }
}

fn rapidpro(config: &Config, name: &str, workspace: &RapidPro, found: &mut Vec<Problem>) {
    let key = |field: &str| format!("rapidpro.{name}.{field}");
    name_fits(&format!("rapidpro.{name}"), name, found);
    destination_url(&key("url"), &workspace.url, workspace.dangerous_accept_http, found);
    tenant_exists(&key("tenant"), config, workspace.tenant.as_deref(), found);
    secret(&key("token"), workspace.token.as_ref(), found);
    proxy(&key("proxy"), workspace.proxy.as_deref(), found);
    if let Some(country) = &workspace.country
        && country.to_ascii_uppercase().parse::<phonenumber::country::Id>().is_err()
    {
        let message = format!("`{country}` is not a country code");
        found.push(Problem::new("invalid-value", key("country"), message, "ISO 3166-1 alpha-2, e.g. RW"));
    }
    if workspace.webhook_secret.as_ref().is_some_and(|secret| secret.expose_secret().len() < 16) {
        let hint = "use at least 16 characters, e.g. from `openssl rand -hex 32`";
        found.push(Problem::new("weak-secret", key("webhook_secret"), "is shorter than 16 characters", hint));
    }
    for (field, value) in [
        ("budget_per_hour", workspace.budget_per_hour.map(u64::from)),
        ("poll_interval_s", workspace.poll_interval_s),
    ] {
        value.into_iter().for_each(|value| positive(&key(field), value, found));
    }
}

fn dhis2(config: &Config, name: &str, instance: &Dhis2, found: &mut Vec<Problem>) {
    let key = |field: &str| format!("dhis2.{name}.{field}");
    name_fits(&format!("dhis2.{name}"), name, found);
    destination_url(&key("url"), &instance.url, instance.dangerous_accept_http, found);
    tenant_exists(&key("tenant"), config, instance.tenant.as_deref(), found);
    proxy(&key("proxy"), instance.proxy.as_deref(), found);
    match (&instance.token, &instance.username, &instance.password) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => found.push(Problem::new(
            "contradiction",
            key("token"),
            "is given beside a username or a password",
            "keep the personal access token, which costs DHIS2 less, or the pair",
        )),
        (None, Some(_), password) => secret(&key("password"), password.as_ref(), found),
        (None, None, Some(_)) => {
            let hint = "name the user that the password belongs to";
            found.push(Problem::new("missing-key", key("username"), "is required beside a password", hint));
        }
        (token, None, None) => secret(&key("token"), token.as_ref(), found),
    }
    for (field, value) in [
        ("budget_per_hour", instance.budget_per_hour.map(u64::from)),
        ("metadata_interval_s", instance.metadata_interval_s),
    ] {
        value.into_iter().for_each(|value| positive(&key(field), value, found));
    }
}

pub(super) fn positive(key: &str, value: u64, found: &mut Vec<Problem>) {
    if value == 0 {
        found.push(Problem::new("invalid-value", key, "`0` would stop everything", "write a number above 0"));
    }
}

pub(super) fn name_fits(key: &str, name: &str, found: &mut Vec<Problem>) {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
        let message = format!("`{name}` cannot be a name");
        found.push(Problem::new("invalid-name", key, message, "1 to 63 of a-z, 0-9 and -"));
    }
}

/// RapidPro writes ISO 639-3; whether a code is assigned is not judged.
fn languages(key: &str, codes: &[String], found: &mut Vec<Problem>) {
    let fits = |code: &&String| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_lowercase());
    for code in codes.iter().filter(|code| !fits(code)) {
        let message = format!("`{code}` is not three small letters");
        found.push(Problem::new(
            "invalid-value",
            key,
            message,
            "ISO 639-3, as RapidPro writes it: eng, fra, swa",
        ));
    }
}

fn timezone(key: &str, name: &str, found: &mut Vec<Problem>) {
    if jiff::tz::TimeZone::get(name).is_ok() {
        return;
    }
    let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
    let hint = match did_you_mean(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "an IANA name such as Africa/Kigali".to_owned(),
    };
    found.push(Problem::new("unknown-timezone", key, format!("`{name}` is not a time zone"), hint));
}

pub(super) fn secret(key: &str, value: Option<&SecretString>, found: &mut Vec<Problem>) {
    if value.is_some_and(|text| !text.expose_secret().is_empty()) {
        return;
    }
    let variable = key.replace('.', "__").replace('-', "_").to_ascii_uppercase();
    let hint = format!("set MJUMBE__{variable}, or {key}_file = \"…\"");
    found.push(Problem::new("missing-secret", key, "is required", hint));
}

pub(super) fn tenant_exists(key: &str, config: &Config, named: Option<&str>, found: &mut Vec<Problem>) {
    let Some(name) = named else { return };
    if config.tenant.contains_key(name) {
        return;
    }
    let hint = match did_you_mean(name, config.tenant.keys().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("add a section [tenant.{name}] with its timezone"),
    };
    found.push(Problem::new("unknown-tenant", key, format!("`{name}` is not a configured tenant"), hint));
}

pub(super) fn destination_url(key: &str, text: &str, accept_http: bool, found: &mut Vec<Problem>) {
    let hint = "write its address, e.g. https://dhis2.example.org";
    let url = match plain_http_url(text) {
        Ok(url) => url,
        Err(why) => {
            found.push(Problem::new("invalid-value", key, format!("{} {why}", without_user(text)), hint));
            return;
        }
    };
    if url.scheme() == "http" && !is_loopback(&url) && !accept_http {
        found.push(Problem::new(
            "insecure-url",
            key,
            format!("`{text}` would send credentials and people's data in the clear"),
            "use https://, or set dangerous_accept_http = true in this section",
        ));
    }
}

pub(super) fn proxy(key: &str, text: Option<&str>, found: &mut Vec<Problem>) {
    if let Some(text) = text
        && Url::parse(text).is_err()
    {
        let hint = "write its address, e.g. http://proxy.example.org:3128";
        found.push(Problem::new("invalid-value", key, "is not an address", hint));
    }
}

fn plain_http_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not an address")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither http:// nor https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or a password; give them by their own keys");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment");
    }
    Ok(url)
}

/// The text in quotes, unless it could hold a password.
fn without_user(text: &str) -> String {
    if text.contains('@') { "the value (not shown)".to_owned() } else { format!("`{text}`") }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
