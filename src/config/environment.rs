//! The environment's part of the configuration: `MJUMBE__SECTION__KEY`.
//!
//! Values stay text: what type they are is decided by the key they are for, so that a token of digits
//! is not taken for a number. In the name of a destination or tenant, which a shell variable cannot
//! write with a hyphen, `_` stands for `-`: `MJUMBE__DHIS2__NATIONAL_HMIS__TOKEN` is `national-hmis`.

use figment::value::{Dict, Map, Tag, Value};
use figment::{Error, Metadata, Profile, Provider};

pub(super) const PREFIX: &str = "MJUMBE__";
/// Sections whose second level is a name that the implementer chose.
const NAMED: [&str; 5] = ["rapidpro", "dhis2", "fhir", "http", "tenant"];
/// Keys below which the implementer chose names too: those of headers.
const NAMED_BELOW: [&str; 2] = ["headers", "header_files"];

/// The variables that begin with [`PREFIX`], as a figment provider.
pub(super) struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    pub(super) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_ascii_lowercase(), value)))
            .collect();
        Self { variables }
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment")
            .interpolater(|_, keys| format!("{PREFIX}{}", keys.join("__").to_ascii_uppercase()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut tree = Dict::new();
        for (name, text) in &self.variables {
            insert(&mut tree, &path_of(name), text);
        }
        Ok(Map::from([(Profile::Default, tree)]))
    }
}

/// `dhis2__national_hmis__token` → `dhis2`, `national-hmis`, `token`.
fn path_of(name: &str) -> Vec<String> {
    let mut path: Vec<String> = name.split("__").map(str::to_owned).collect();
    if let [section, chosen, ..] = path.as_mut_slice()
        && NAMED.contains(&section.as_str())
    {
        *chosen = chosen.replace('_', "-");
    }
    if let [_, _, below, chosen] = path.as_mut_slice()
        && NAMED_BELOW.contains(&below.as_str())
    {
        *chosen = chosen.replace('_', "-");
    }
    path
}

fn insert(tree: &mut Dict, path: &[String], text: &str) {
    match path {
        [] => {}
        [last] => {
            tree.insert(last.clone(), value_of(last, text));
        }
        [first, rest @ ..] => {
            let below = tree.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
            if !matches!(below, Value::Dict(..)) {
                *below = Value::from(Dict::new());
            }
            if let Value::Dict(_, below) = below {
                insert(below, rest, text);
            }
        }
    }
}

/// Lists are written with commas: `MJUMBE__TENANT__DEFAULT__LANGUAGES=eng,kin`.
fn value_of(key: &str, text: &str) -> Value {
    if matches!(key, "languages" | "cors_origins") {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        return Value::Array(Tag::Default, items.map(Value::from).collect());
    }
    Value::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        assert_eq!(path_of("server__public_url"), ["server", "public_url"]);
        assert_eq!(path_of("dhis2__national_hmis__token_file"), ["dhis2", "national-hmis", "token_file"]);
        assert_eq!(path_of("http__alerts__headers__x_api_key"), ["http", "alerts", "headers", "x-api-key"]);
    }

    #[test]
    fn values_stay_text() {
        let environment = Environment::new([("MJUMBE__RAPIDPRO__A__TOKEN".to_owned(), "0123".to_owned())]);
        let data = environment.data().unwrap();
        let found = data[&Profile::Default]["rapidpro"].find_ref("a.token").unwrap().as_str();
        assert_eq!(found, Some("0123"));
    }
}
