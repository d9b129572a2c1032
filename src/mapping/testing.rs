//! Authors' own tests: `NAME.test.yaml` beside `NAME.yaml`. Given these resources, expect exactly these
//! outputs. Look-ups are answered from what the test gives, never from a store or the network.
//!
//! ```yaml
//! zone: Africa/Kigali # of the tests; the tenant's where it is not given
//! country: RW
//! tests:
//!   - name: a complete report
//!     given:
//!       change: { resourceType: QuestionnaireResponse, … }
//!       resources: [{ resourceType: Patient, id: p1, … }]
//!       contacts: [{ uuid: …, fields: { … }, of: [Practitioner/1] }]
//!       units: [{ id: ImspTQPwCqd, code: OU_525, name: Bo }]
//!     expect:
//!       outputs: [{ target: dhis2.report, body: { … } }]
//!       issues: [map-unmatched]
//! ```

use jiff::tz::TimeZone;
use serde_json::Value;

use super::diagnostic::{Diagnostic, Place};
use super::source::{self, Content, Node};

mod mirror;
mod outcome;

pub use outcome::{Failed, Setting, run};

/// Most tests in one file.
const MAX_TESTS: usize = 500;

/// One test.
#[derive(Debug, Clone)]
pub struct Test {
    pub name: String,
    pub place: Place,
    /// The file's `zone`, instead of the tenant's.
    pub zone: Option<TimeZone>,
    /// The file's `country`, ISO 3166-1 alpha-2, instead of the workspace's.
    pub country: Option<String>,
    pub given: Given,
    pub expect: Expected,
}

/// What the test's world holds.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The resource or document that changed.
    pub change: Value,
    pub previous: Option<Value>,
    /// For documents: their kind. A resource says its own.
    pub kind: Option<String>,
    /// For documents: their id.
    pub id: Option<String>,
    /// When the change was recorded, RFC 3339.
    pub recorded: Option<String>,
    pub resources: Vec<Value>,
    /// Mirrored contacts; `of` lists the references that are linked with each.
    pub contacts: Vec<Value>,
    /// Mirrored organisation units.
    pub units: Vec<Value>,
}

/// What must come of it.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// `false`: `from` does not take the change.
    pub matched: Option<bool>,
    /// Exactly these outputs, in order.
    pub outputs: Vec<ExpectedOutput>,
    /// Exactly these codes, in any order. Not compared where the file does not say.
    pub issues: Option<Vec<String>>,
    /// The field that the evaluation waits for: `to[0].orgUnit`.
    pub held: Option<String>,
}

/// One output. What is not said is not compared.
#[derive(Debug, Clone, Default)]
pub struct ExpectedOutput {
    pub target: String,
    pub id: Option<String>,
    pub destination: Option<String>,
    pub key: Option<String>,
    /// What the destination would be sent for this output alone.
    pub body: Option<Value>,
}

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
        self.known(root, &["tests", "zone", "country"]);
        let zone = root.get("zone").and_then(|node| self.zone(node));
        let country = root.get("country").and_then(Node::text).map(str::to_owned);
        let Some(items) = root.get("tests").map(|node| self.list(node)) else {
            self.told.push(Diagnostic::new("missing-key", root.place, "a test file needs `tests`"));
            return Vec::new();
        };
        if items.len() > MAX_TESTS {
            self.told.push(Diagnostic::new(
                "too-many-tests",
                root.place,
                format!("at most {MAX_TESTS} tests"),
            ));
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
        self.known(node, &["name", "given", "expect"]);
        for key in ["name", "given", "expect"] {
            if node.get(key).is_none() {
                self.told.push(Diagnostic::new("missing-key", node.place, format!("a test needs `{key}`")));
            }
        }
        let name = node.get("name").and_then(Node::text).unwrap_or_default().to_owned();
        let given = node.get("given").map(|given| self.given(given)).unwrap_or_default();
        let expect = node.get("expect").map(|expect| self.expect(expect)).unwrap_or_default();
        Test { name, place: node.place, zone: None, country: None, given, expect }
    }

    fn given(&mut self, node: &Node) -> Given {
        let keys = ["change", "previous", "kind", "id", "recorded", "resources", "contacts", "units"];
        self.known(node, &keys);
        let change = node.get("change").map(Node::to_json).unwrap_or_default();
        if !change.is_object() {
            self.told.push(Diagnostic::new(
                "missing-key",
                node.place,
                "`given` needs `change`: what changed",
            ));
        }
        let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        Given {
            change,
            previous: node.get("previous").map(Node::to_json),
            kind: text("kind"),
            id: text("id"),
            recorded: text("recorded"),
            resources: self.values(node, "resources"),
            contacts: self.values(node, "contacts"),
            units: self.values(node, "units"),
        }
    }

    fn expect(&mut self, node: &Node) -> Expected {
        self.known(node, &["matched", "outputs", "issues", "held"]);
        let outputs = node.get("outputs").map(|outputs| self.list(outputs)).unwrap_or_default();
        let outputs = outputs.iter().map(|output| self.output(output)).collect();
        let issues = node
            .get("issues")
            .map(|issues| self.list(issues).iter().filter_map(Node::text).map(str::to_owned).collect());
        Expected {
            matched: node.get("matched").and_then(|matched| matched.to_json().as_bool()),
            outputs,
            issues,
            held: node.get("held").and_then(Node::text).map(str::to_owned),
        }
    }

    fn output(&mut self, node: &Node) -> ExpectedOutput {
        self.known(node, &["target", "id", "destination", "key", "body"]);
        let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        let Some(target) = text("target") else {
            self.told.push(Diagnostic::new("missing-key", node.place, "an output needs `target`"));
            return ExpectedOutput::default();
        };
        ExpectedOutput {
            target,
            id: text("id"),
            destination: text("destination"),
            key: text("key"),
            body: node.get("body").map(Node::to_json),
        }
    }

    fn values(&mut self, node: &Node, key: &str) -> Vec<Value> {
        node.get(key).map(|list| self.list(list).iter().map(Node::to_json).collect()).unwrap_or_default()
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
