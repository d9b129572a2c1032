//! What does not fit together in `[fhir.NAME]` and `[http.NAME]`.

use super::check::{destination_url, name_fits, positive, proxy, secret, tenant_exists};
use super::problem::Problem;
use super::{Config, Endpoint};

/// The destination of what is stored in Mjumbe itself.
const HERE: &str = "here";
/// Headers that Mjumbe writes itself.
const OWN_HEADERS: [&str; 8] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "transfer-encoding",
    "user-agent",
];

pub(super) fn problems(config: &Config, found: &mut Vec<Problem>) {
    for (name, server) in &config.fhir {
        endpoint(config, ("fhir", name), server, found);
        if name == HERE {
            let hint = "take another name";
            let message = "is the name of what is stored in Mjumbe itself";
            found.push(Problem::new("invalid-name", format!("fhir.{name}"), message, hint));
        }
        if server.idempotent.is_some() {
            let hint = "leave it out: resources are PUT, which may be repeated";
            let key = format!("fhir.{name}.idempotent");
            found.push(Problem::new("unknown-key", key, "is a setting of [http.NAME] only", hint));
        }
    }
    for (name, place) in &config.http {
        endpoint(config, ("http", name), place, found);
    }
}

fn endpoint(config: &Config, (section, name): (&str, &str), settings: &Endpoint, found: &mut Vec<Problem>) {
    let key = |field: &str| format!("{section}.{name}.{field}");
    name_fits(&format!("{section}.{name}"), name, found);
    destination_url(&key("url"), &settings.url, settings.dangerous_accept_http, found);
    tenant_exists(&key("tenant"), config, settings.tenant.as_deref(), found);
    proxy(&key("proxy"), settings.proxy.as_deref(), found);
    settings.budget_per_hour.into_iter().for_each(|value| {
        positive(&key("budget_per_hour"), u64::from(value), found);
    });
    credentials(settings, &key, found);
    for header in settings.headers.keys() {
        self::header(header, &key(&format!("headers.{header}")), settings, found);
    }
}

fn credentials(settings: &Endpoint, key: &dyn Fn(&str) -> String, found: &mut Vec<Problem>) {
    match (&settings.token, &settings.username, &settings.password) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            let message = "is given beside a username or a password";
            found.push(Problem::new("contradiction", key("token"), message, "keep one of them"));
        }
        (None, Some(_), password) => secret(&key("password"), password.as_ref(), found),
        (None, None, Some(_)) => {
            let hint = "name the user that the password belongs to";
            found.push(Problem::new("missing-key", key("username"), "is required beside a password", hint));
        }
        (Some(token), None, None) => secret(&key("token"), Some(token), found),
        (None, None, None) => {}
    }
}

fn header(name: &str, key: &str, settings: &Endpoint, found: &mut Vec<Problem>) {
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        let hint = "letters, digits and -, as in X-Api-Key";
        found.push(Problem::new("invalid-name", key, "is not the name of a header", hint));
    } else if OWN_HEADERS.contains(&lower.as_str()) {
        found.push(Problem::new(
            "contradiction",
            key,
            "is a header that Mjumbe writes itself",
            "leave it out",
        ));
    } else if lower == "authorization" && (settings.token.is_some() || settings.username.is_some()) {
        let hint = "keep one of them";
        found.push(Problem::new("contradiction", key, "is given beside a token or a username", hint));
    }
}
