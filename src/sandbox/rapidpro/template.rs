//! RapidPro's templates: `@contact.name`, `@(…)`, `@@`.
//!
//! Paths are evaluated as goflow does. An expression in parentheses is a path or a quoted text here; any
//! other gives nothing, as one that goflow cannot evaluate does. What begins with no name that the place
//! allows (an e-mail address) stays as it is written.

use serde_json::{Map, Value};

use super::state::{Contact, World};
use super::urns;

/// What a template may ask for.
pub(super) struct Scope<'a> {
    pub world: &'a World,
    pub contact: Option<&'a Contact>,
    /// What a flow knows beside the contact; a broadcast has none.
    pub run: Option<RunScope<'a>>,
}

/// What a flow knows.
pub(super) struct RunScope<'a> {
    pub uuid: &'a str,
    pub flow: &'a str,
    pub results: &'a Map<String, Value>,
    pub params: &'a Value,
    pub input: &'a str,
}

/// The text with everything that can be evaluated replaced.
pub(super) fn evaluate(text: &str, scope: &Scope) -> String {
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('@') {
        made.push_str(before);
        rest = behind;
        if let Some(after) = rest.strip_prefix('@') {
            made.push('@');
            rest = after;
        } else if let Some((expression, after)) = rest.strip_prefix('(').and_then(parenthesised) {
            made.push_str(&scope.expression(expression));
            rest = after;
        } else {
            let path = path_of(rest);
            match scope.value(path) {
                Some(value) => {
                    made.push_str(&value);
                    rest = rest.get(path.len()..).unwrap_or("");
                }
                None => made.push('@'),
            }
        }
    }
    made.push_str(rest);
    made
}

/// What stands before the closing parenthesis, and what behind it.
fn parenthesised(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quoted) = (0_u32, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => return Some((text.get(..at)?, text.get(at + 1..)?)),
            ')' if !quoted => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The path at the beginning of a text; a point at its end does not belong to it.
fn path_of(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(text.len());
    text.get(..end).unwrap_or("").trim_end_matches('.')
}

impl Scope<'_> {
    fn expression(&self, text: &str) -> String {
        let text = text.trim();
        if let Some(quoted) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            return quoted.to_owned();
        }
        if path_of(text) == text { self.value(text).unwrap_or_default() } else { String::new() }
    }

    /// What a path gives; `None` where its first name means nothing here.
    fn value(&self, path: &str) -> Option<String> {
        let mut names = path.split('.');
        let first = names.next()?.to_lowercase();
        let names: Vec<&str> = names.collect();
        match (first.as_str(), &self.run) {
            ("contact", _) => Some(self.of_contact(&names)),
            ("fields", _) => Some(self.field(&names)),
            ("urns", _) => Some(self.urn(names.first().copied().unwrap_or(""))),
            ("globals", _) => {
                let key = names.first().copied().unwrap_or("");
                let found = self.world.globals.iter().find(|own| own.key == key);
                Some(found.map(|own| own.value.clone()).unwrap_or_default())
            }
            ("results", Some(run)) => Some(result(run.results, &names)),
            ("trigger", Some(run)) => Some(match names.split_first() {
                Some((&"params", rest)) => param(run.params, rest),
                _ => String::new(),
            }),
            ("input", Some(run)) => Some(match names.first() {
                None | Some(&"text") => run.input.to_owned(),
                _ => String::new(),
            }),
            ("run", Some(run)) => Some(match names.as_slice() {
                ["uuid"] => run.uuid.to_owned(),
                ["flow", "name"] => run.flow.to_owned(),
                _ => String::new(),
            }),
            ("webhook" | "child" | "parent" | "node" | "resume" | "legacy_extra", Some(_)) => {
                Some(String::new())
            }
            _ => None,
        }
    }

    fn of_contact(&self, names: &[&str]) -> String {
        let Some(contact) = self.contact else { return String::new() };
        let name = contact.name.clone().unwrap_or_default();
        match names {
            [] if name.is_empty() => {
                contact.urns.first().map(|urn| urns::display(urn, &self.world.country)).unwrap_or_default()
            }
            [] | ["name"] => name,
            ["first_name"] => name.split(' ').next().unwrap_or("").to_owned(),
            ["uuid"] => contact.uuid.clone(),
            ["language"] => contact.language.clone().unwrap_or_default(),
            ["urn"] => contact.urns.first().cloned().unwrap_or_default(),
            ["fields", rest @ ..] => self.field(rest),
            ["urns", scheme] => self.urn(scheme),
            _ => String::new(),
        }
    }

    fn field(&self, names: &[&str]) -> String {
        let key = names.first().copied().unwrap_or("");
        self.contact.and_then(|contact| contact.fields.get(key).cloned()).unwrap_or_default()
    }

    fn urn(&self, scheme: &str) -> String {
        let urns = self.contact.map_or(&[][..], |contact| contact.urns.as_slice());
        let own = |urn: &&String| urn.split_once(':').is_some_and(|(known, _)| known == scheme);
        urns.iter().find(own).cloned().unwrap_or_default()
    }
}

fn result(results: &Map<String, Value>, names: &[&str]) -> String {
    let (key, property) = match names {
        [key] => (*key, "value"),
        [key, property, ..] => (*key, *property),
        [] => return String::new(),
    };
    results.get(key).and_then(|result| result[property].as_str()).unwrap_or("").to_owned()
}

fn param(params: &Value, names: &[&str]) -> String {
    let found = names.iter().try_fold(params, |value, name| value.get(*name));
    match found {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::rapidpro::Options;

    #[test]
    fn templates_are_evaluated_as_recorded() {
        let mut world = World::new(&Options::default());
        let at = world.new_contact();
        world.contacts[at].name = Some("Jean Bosco".into());
        world.contacts[at].urns = vec!["tel:+250788111001".into()];
        world.contacts[at].fields.insert("village".into(), "Gatsibo".into());
        let params = json!({ "visit_date": "2026-12-01", "n": 3 });
        let results = Map::from_iter([("age".to_owned(), json!({ "value": "7", "category": "0 - 120" }))]);
        let run = || RunScope { uuid: "u", flow: "F", results: &results, params: &params, input: "hi" };
        let table = [
            (
                "Hi @contact.name, your visit is on @trigger.params.visit_date",
                "Hi Jean Bosco, your visit is on 2026-12-01",
            ),
            (
                "@contact.first_name. @fields.village! @results.age (@results.age.category)",
                "Jean. Gatsibo! 7 (0 - 120)",
            ),
            ("a@b.org pays @@contact 5@", "a@b.org pays @contact 5@"),
            ("@(contact.name) @(\"@x\") @(1 + 2)@trigger.params.n @nobody", "Jean Bosco @x 3 @nobody"),
            ("@urns.tel @contact.fields.none.", "tel:+250788111001 ."),
        ];
        for (text, wanted) in table {
            let scope = Scope { world: &world, contact: world.contacts.first(), run: Some(run()) };
            assert_eq!(evaluate(text, &scope), wanted, "{text}");
        }
        let broadcast = Scope { world: &world, contact: world.contacts.first(), run: None };
        assert_eq!(evaluate("@contact @trigger.params.n", &broadcast), "Jean Bosco @trigger.params.n");
    }
}
