//! Each answer of the sandbox has the shape of the recorded one: status, keys, types, and the texts that
//! do not depend on data.
//!
//! The recordings were made with other metadata, so a request of the same kind is asked here, and the
//! answers are compared by shape: an object by its keys, a list by its first item, null like anything.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

mod dhis2;
mod rapidpro;
mod tracker;

/// One request, and the recording whose answer it must resemble.
struct Row {
    recording: &'static str,
    method: &'static str,
    /// Path and query.
    path: String,
    body: Body,
    /// `Authorization`; the sandbox's usual one where it is `None`.
    auth: Option<&'static str>,
}

#[derive(Clone)]
enum Body {
    None,
    Json(Value),
    /// Content type and text.
    Text(&'static str, &'static str),
}

fn row(recording: &'static str, method: &'static str, path: impl Into<String>, body: Body) -> Row {
    Row { recording, method, path: path.into(), body, auth: None }
}

/// `../shared/fixtures/…`; `None`, with a word, where it is not there.
fn recordings(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures")).join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("MJUMBE_REQUIRE_SHARED").is_err(), "{} is missing", path.display());
    println!("skipped: {} is not there", path.display());
    None
}

/// A recording: status and body.
fn recorded(folder: &std::path::Path, name: &str) -> (u16, Value) {
    let exact = folder.join(format!("{name}.json"));
    let path = if exact.is_file() {
        exact
    } else {
        let starts =
            |path: &PathBuf| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name));
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(starts).collect();
        found.sort();
        found.into_iter().next().unwrap_or_else(|| panic!("no recording {name}"))
    };
    let read: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let answer = read.get("response").unwrap_or(&read);
    let status = answer["status"].as_u64().unwrap_or_else(|| panic!("{name} has no status"));
    (u16::try_from(status).unwrap(), answer["body"].clone())
}

/// A client that does not follow redirects.
fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

async fn ask(client: &reqwest::Client, base: &str, auth: &str, row: &Row) -> (u16, Value) {
    let method = reqwest::Method::from_bytes(row.method.as_bytes()).unwrap();
    let mut request = client.request(method, format!("{base}{}", row.path));
    let auth = row.auth.unwrap_or(auth);
    if !auth.is_empty() {
        request = request.header("Authorization", auth);
    }
    request = match &row.body {
        Body::None => request,
        Body::Json(body) => request.json(body),
        Body::Text(kind, text) => request.header("Content-Type", *kind).body(*text),
    };
    let answer = request.send().await.unwrap_or_else(|error| panic!("{}: {error}", row.recording));
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// What differs in shape; empty where nothing does. `free` names objects whose keys are data.
fn differences(at: &str, wanted: &Value, given: &Value, free: &[&str]) -> Vec<String> {
    match (wanted, given) {
        (Value::Null, _) | (_, Value::Null) => Vec::new(),
        (Value::Object(wanted), Value::Object(given)) => {
            if free.iter().any(|name| at.ends_with(name)) {
                return Vec::new();
            }
            let keys =
                |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<BTreeSet<_>>();
            let mut found: Vec<String> =
                keys(wanted).difference(&keys(given)).map(|key| format!("{at}.{key} is missing")).collect();
            found.extend(keys(given).difference(&keys(wanted)).map(|key| format!("{at}.{key} is too much")));
            for (key, value) in wanted {
                if let Some(other) = given.get(key) {
                    found.extend(differences(&format!("{at}.{key}"), value, other, free));
                }
            }
            found
        }
        (Value::Array(wanted), Value::Array(given)) => match (wanted.first(), given.first()) {
            (Some(first), Some(other)) => differences(&format!("{at}[0]"), first, other, free),
            _ => Vec::new(),
        },
        (Value::String(wanted), Value::String(given)) if wanted.is_empty() != given.is_empty() => {
            vec![format!("{at}: {wanted:?} and {given:?}")]
        }
        (wanted, given) => {
            let same = std::mem::discriminant(wanted) == std::mem::discriminant(given);
            if same { Vec::new() } else { vec![format!("{at}: {wanted} and {given}")] }
        }
    }
}
