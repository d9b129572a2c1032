//! A test file from its text, with everything that is wrong with it.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{
    Due, Expected, ExpectedHold, ExpectedIssue, ExpectedOutput, Given, Link, MAX_TESTS, Test, schema,
};
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::path::Path;
use crate::mapping::source::{self, Content, Node};

/// Reads a test file.
///
/// # Errors
/// Every mistake in it.
pub fn read(file: &str, text: &str) -> Result<Vec<Test>, Vec<Diagnostic>> {
    let mut reader = Reader::default();
    let tests = source::parse(text).map(|root| reader.tests(&root));
    let told = match tests {
        Ok(tests) if reader.told.is_empty() => return Ok(tests),
        Ok(_) => reader.told,
        Err(told) => told,
    };
    Err(told.into_iter().map(|one| one.within(file, text)).collect())
}

#[derive(Default)]
struct Reader {
    told: Vec<Diagnostic>,
}

impl Reader {
    fn tests(&mut self, root: &Node) -> Vec<Test> {
        self.known(root, &schema::FILE_KEYS);
        let zone = root.get("zone").and_then(|node| self.zone(node));
        let country = root.get("country").and_then(Node::text).map(str::to_owned);
        let Some(items) = root.get("tests").map(|node| self.list(node)) else {
            self.told.push(Diagnostic::new("missing-key", root.place, "a test file needs `tests`"));
            return Vec::new();
        };
        if items.len() > MAX_TESTS {
            let message = format!("at most {MAX_TESTS} tests");
            self.told.push(Diagnostic::new("too-many-tests", root.place, message));
        }
        let tests = items.iter().take(MAX_TESTS);
        tests.map(|item| Test { zone: zone.clone(), country: country.clone(), ..self.test(item) }).collect()
    }

    fn zone(&mut self, node: &Node) -> Option<TimeZone> {
        let name = node.text().unwrap_or_default();
        let zone = TimeZone::get(name).ok();
        if zone.is_none() {
            let told = Diagnostic::new("unknown-zone", node.place, format!("`{name}` is not a time zone"));
            self.told.push(told.offending(name).hint("IANA names: Africa/Kigali, Africa/Lagos, UTC"));
        }
        zone
    }

    fn test(&mut self, node: &Node) -> Test {
        self.known(node, &schema::TEST_KEYS);
        for key in schema::TEST_KEYS {
            if node.get(key).is_none() {
                self.told.push(Diagnostic::new("missing-key", node.place, format!("a test needs `{key}`")));
            }
        }
        let name = text(node, "name").unwrap_or_default();
        let given = node.get("given").map(|given| self.given(given)).unwrap_or_default();
        let expect = node.get("expect").map(|expect| self.expect(expect)).unwrap_or_default();
        Test { name, place: node.place, zone: None, country: None, given, expect }
    }

    fn given(&mut self, node: &Node) -> Given {
        self.known(node, &schema::GIVEN_KEYS);
        let change = node.get("change").map(Node::to_json).unwrap_or_default();
        if !change.is_object() {
            let message = "`given` needs `change`: what changed";
            self.told.push(Diagnostic::new("missing-key", node.place, message));
        }
        let links = node.get("links").map(|links| self.list(links)).unwrap_or_default();
        Given {
            change,
            previous: node.get("previous").map(Node::to_json),
            kind: text(node, "kind"),
            id: text(node, "id"),
            recorded: text(node, "recorded"),
            resources: self.values(node, "resources"),
            contacts: self.values(node, "contacts"),
            units: self.values(node, "units"),
            links: links.iter().map(|link| self.link(link)).collect(),
        }
    }

    fn link(&mut self, node: &Node) -> Link {
        self.known(node, &schema::LINK_KEYS);
        let mut needed = |key: &str| {
            let found = text(node, key);
            if found.is_none() {
                self.told.push(Diagnostic::new("missing-key", node.place, format!("a link needs `{key}`")));
            }
            found.unwrap_or_default()
        };
        Link { resource: needed("resource"), id: needed("id"), destination: text(node, "destination") }
    }

    fn expect(&mut self, node: &Node) -> Expected {
        self.known(node, &schema::EXPECT_KEYS);
        let outputs = node.get("outputs").map(|outputs| self.list(outputs));
        let outputs = outputs.map(|outputs| outputs.iter().map(|output| self.output(output)).collect());
        let issues = node.get("issues").map(|issues| self.list(issues));
        Expected {
            matched: node.get("matched").and_then(|matched| matched.to_json().as_bool()),
            outputs,
            absent: self.texts(node, "absent"),
            issues: issues.map(|issues| issues.iter().filter_map(|issue| self.issue(issue)).collect()),
            held: node.get("held").and_then(|held| self.held(held)),
        }
    }

    fn issue(&mut self, node: &Node) -> Option<ExpectedIssue> {
        if let Some(code) = node.text() {
            return Some(ExpectedIssue { code: code.to_owned(), place: None });
        }
        self.known(node, &schema::ISSUE_KEYS);
        let code = text(node, "code");
        if code.is_none() {
            self.told.push(Diagnostic::new("missing-key", node.place, "an issue needs `code`"));
        }
        Some(ExpectedIssue { code: code?, place: text(node, "place") })
    }

    fn held(&mut self, node: &Node) -> Option<ExpectedHold> {
        if let Some(field) = node.text() {
            return Some(ExpectedHold { field: field.to_owned(), waits_for: None });
        }
        self.known(node, &schema::HELD_KEYS);
        let field = text(node, "field");
        if field.is_none() {
            self.told.push(Diagnostic::new("missing-key", node.place, "`held` needs `field`"));
        }
        Some(ExpectedHold { field: field?, waits_for: text(node, "waitsFor") })
    }

    fn output(&mut self, node: &Node) -> ExpectedOutput {
        self.known(node, &schema::OUTPUT_KEYS);
        let Some(target) = text(node, "target") else {
            self.told.push(Diagnostic::new("missing-key", node.place, "an output needs `target`"));
            return ExpectedOutput::default();
        };
        let occurrence = node.get("occurrence").map(|node| self.occurrence(node));
        let without = node.get("without").map(|paths| self.list(paths)).unwrap_or_default();
        ExpectedOutput {
            target,
            id: text(node, "id"),
            destination: text(node, "destination"),
            key: text(node, "key"),
            body: node.get("body").map(Node::to_json),
            has: node.get("has").map(Node::to_json),
            without: without.iter().filter_map(|path| self.path(path)).collect(),
            reason: text(node, "reason"),
            due: node.get("due").map(due),
            occurrence: occurrence.flatten(),
        }
    }

    fn occurrence(&mut self, node: &Node) -> Option<u32> {
        let number = node.to_json().as_u64().and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            self.told.push(Diagnostic::new("not-an-integer", node.place, "`occurrence` counts from 1"));
        }
        number
    }

    fn path(&mut self, node: &Node) -> Option<Path> {
        let text = node.text().unwrap_or_default();
        match Path::compile(text) {
            Ok(path) => Some(path),
            Err(refusal) => {
                let told = Diagnostic::new("bad-path", node.place, refusal.message).offending(text);
                self.told.push(told.hint("a path in the body: $.dataValues[?@.dataElement=='FTRrcoaog83']"));
                None
            }
        }
    }

    fn values(&mut self, node: &Node, key: &str) -> Vec<Value> {
        node.get(key).map(|list| self.list(list).iter().map(Node::to_json).collect()).unwrap_or_default()
    }

    fn texts(&mut self, node: &Node, key: &str) -> Vec<String> {
        let items = node.get(key).map(|list| self.list(list)).unwrap_or_default();
        items.iter().filter_map(Node::text).map(str::to_owned).collect()
    }

    fn known(&mut self, node: &Node, keys: &[&str]) {
        let Content::Map(entries) = &node.content else {
            let message = format!("an object with {} is needed", keys.join(", "));
            self.told.push(Diagnostic::new("not-an-object", node.place, message));
            return;
        };
        for (key, _) in entries.iter().filter(|(key, _)| !keys.contains(&key.text.as_str())) {
            let told = Diagnostic::new("unknown-key", key.place, format!("`{}` is not a key here", key.text));
            self.told.push(told.offending(&key.text).meant(keys.iter().copied()));
        }
    }

    fn list<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.content {
            Content::List(items) => items,
            _ => {
                self.told.push(Diagnostic::new("not-a-list", node.place, "a list is needed"));
                &[]
            }
        }
    }
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key).and_then(Node::text).map(str::to_owned)
}

fn due(node: &Node) -> Due {
    match node.text() {
        Some("at-once") => Due::AtOnce,
        _ => Due::At(node.to_json()),
    }
}
