//! From file and environment to a checked [`Config`].

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::{Actual, Kind};
use figment::providers::{Format, Toml};
use secrecy::{ExposeSecret, SecretString};

use super::environment::Environment;
use super::problem::{Error, Problem, did_you_mean};
use super::{Config, Endpoint, check};

/// Reads the configuration: built-in values, then `file`, then `variables` (those of the environment).
///
/// Files that the configuration names are relative to the file it came from.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Error> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        figment = figment.merge(Toml::string(&read(file)?));
    }
    let figment = figment.merge(Environment::new(variables));
    let mut config: Config = figment.extract_lossy().map_err(|error| translate(error, &figment, file))?;
    config.tenant.entry("default".to_owned()).or_default();
    resolve_paths(&mut config, file);
    let mut problems = read_secret_files(&mut config);
    problems.extend(check::problems(&config));
    if problems.is_empty() { Ok(config) } else { Err(Error { problems }) }
}

fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(|error| {
        let message = format!("cannot read {}: {error}", file.display());
        one(Problem::new("unreadable-file", "", message, "name an existing file with --config"))
    })
}

fn one(problem: Problem) -> Error {
    Error { problems: vec![problem] }
}

/// Relative paths are relative to the configuration file.
fn resolve_paths(config: &mut Config, file: Option<&Path>) {
    let Some(folder) = file.and_then(Path::parent) else { return };
    let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
    resolve(&mut config.mappings);
    config.store.url_file.iter_mut().for_each(resolve);
    for workspace in config.rapidpro.values_mut() {
        let files = [&mut workspace.token_file, &mut workspace.webhook_secret_file, &mut workspace.ca_file];
        files.into_iter().flatten().for_each(resolve);
    }
    for instance in config.dhis2.values_mut() {
        let files = [&mut instance.token_file, &mut instance.password_file, &mut instance.ca_file];
        files.into_iter().flatten().for_each(resolve);
    }
    config.auth.jwt.values_mut().filter_map(|issuer| issuer.ca_file.as_mut()).for_each(resolve);
    for endpoint in config.fhir.values_mut().chain(config.http.values_mut()) {
        let files = [&mut endpoint.token_file, &mut endpoint.password_file, &mut endpoint.ca_file];
        files.into_iter().flatten().chain(endpoint.header_files.values_mut()).for_each(resolve);
    }
}

fn read_secret_files(config: &mut Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(path) = config.store.url_file.take() {
        let mut url = None;
        from_file("store.url", &mut url, Some(path), &mut problems);
        config.store.url = url.unwrap_or_else(|| config.store.url.clone());
    }
    for (name, workspace) in &mut config.rapidpro {
        let key = |field: &str| format!("rapidpro.{name}.{field}");
        from_file(&key("token"), &mut workspace.token, workspace.token_file.take(), &mut problems);
        let secret_file = workspace.webhook_secret_file.take();
        from_file(&key("webhook_secret"), &mut workspace.webhook_secret, secret_file, &mut problems);
    }
    for (name, instance) in &mut config.dhis2 {
        let key = |field: &str| format!("dhis2.{name}.{field}");
        from_file(&key("token"), &mut instance.token, instance.token_file.take(), &mut problems);
        from_file(&key("password"), &mut instance.password, instance.password_file.take(), &mut problems);
    }
    let (fhir, http) = (config.fhir.iter_mut(), config.http.iter_mut());
    let endpoints = fhir.map(|one| ("fhir", one)).chain(http.map(|one| ("http", one)));
    for (section, (name, endpoint)) in endpoints {
        endpoint_files(&format!("{section}.{name}"), endpoint, &mut problems);
    }
    problems
}

fn endpoint_files(section: &str, endpoint: &mut Endpoint, problems: &mut Vec<Problem>) {
    let key = |field: &str| format!("{section}.{field}");
    from_file(&key("token"), &mut endpoint.token, endpoint.token_file.take(), problems);
    from_file(&key("password"), &mut endpoint.password, endpoint.password_file.take(), problems);
    for (name, file) in std::mem::take(&mut endpoint.header_files) {
        let mut value = endpoint.headers.remove(&name);
        from_file(&key(&format!("headers.{name}")), &mut value, Some(file), problems);
        endpoint.headers.extend(value.map(|value| (name, value)));
    }
}

/// Puts the content of `file` into `secret`; both at once is a contradiction.
fn from_file(
    key: &str,
    secret: &mut Option<SecretString>,
    file: Option<PathBuf>,
    problems: &mut Vec<Problem>,
) {
    let Some(file) = file else { return };
    if secret.is_some() {
        let hint = format!("keep one of {key} and {key}_file");
        problems.push(Problem::new("contradiction", key, "is given twice, as a value and as a file", hint));
        return;
    }
    match std::fs::read_to_string(&file) {
        Ok(text) => *secret = Some(SecretString::from(text.trim().to_owned())),
        Err(error) => problems.push(Problem::new(
            "unreadable-file",
            format!("{key}_file"),
            format!("cannot read {}: {error}", file.display()),
            "name a file that this user may read",
        )),
    }
    if secret.as_ref().is_some_and(|text| text.expose_secret().is_empty()) {
        let message = format!("{} is empty", file.display());
        problems.push(Problem::new("missing-secret", format!("{key}_file"), message, "put the secret in it"));
    }
}

fn translate(error: figment::Error, figment: &Figment, file: Option<&Path>) -> Error {
    Error { problems: error.into_iter().map(|error| problem_of(&error, figment, file)).collect() }
}

fn problem_of(error: &figment::Error, figment: &Figment, file: Option<&Path>) -> Problem {
    let key = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(field, known) => unknown_key(&key, field, known),
        Kind::MissingField(field) => {
            let key = if key.is_empty() { field.to_string() } else { format!("{key}.{field}") };
            let variable = key.replace('.', "__").replace('-', "_").to_ascii_uppercase();
            let hint = format!("add it to the configuration or set MJUMBE__{variable}");
            Problem::new("missing-key", key, "is required", hint)
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            let hint = format!("write {expected}; mjumbe.example.toml shows every setting");
            Problem::new(
                "invalid-value",
                &key,
                format!("{} is not what belongs here", shown(&key, actual)),
                hint,
            )
        }
        Kind::Message(text) if key.is_empty() => syntax(text, file),
        Kind::Message(_) if is_secret(&key) => {
            Problem::new("invalid-value", &key, "cannot be used", "write it as text in quotes")
        }
        other => {
            let value = figment.find_value(&key).ok().and_then(|value| value.into_string());
            let value = value.map(|text| format!("`{text}`: ")).unwrap_or_default();
            let hint = "mjumbe.example.toml shows every setting";
            Problem::new("invalid-value", &key, format!("{value}{other}"), hint)
        }
    }
}

fn unknown_key(key: &str, field: &str, known: &[&str]) -> Problem {
    // figment's path already ends with the field in some cases.
    let parent = key.strip_suffix(field).unwrap_or(key).trim_end_matches('.');
    let full = if parent.is_empty() { field.to_owned() } else { format!("{parent}.{field}") };
    let hint = match did_you_mean(field, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    Problem::new("unknown-key", full, "is not a setting", hint)
}

/// A TOML error quotes the line it is in, which may hold a secret: only place and cause are told.
fn syntax(text: &str, file: Option<&Path>) -> Problem {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let place = lines.first().copied().unwrap_or_default();
    let cause = match lines.last() {
        Some(last) if lines.len() > 1 && !last.contains('|') => format!(": {last}"),
        _ => String::new(),
    };
    let name = file.map(|file| format!("{}: ", file.display())).unwrap_or_default();
    Problem::new("syntax", "", format!("{name}{place}{cause}"), "see https://toml.io for how TOML is written")
}

fn is_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or_default();
    matches!(last, "token" | "password" | "webhook_secret")
        || key == "store.url"
        || key.split('.').nth(2) == Some("headers")
}

fn shown(key: &str, actual: &Actual) -> String {
    match actual {
        _ if is_secret(key) => "the value (not shown)".to_owned(),
        Actual::Str(text) => format!("`{text}`"),
        other => format!("{other}"),
    }
}
