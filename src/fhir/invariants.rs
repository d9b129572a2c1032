//! The invariants of R4: which rule holds where, and how it is checked.
//!
//! The table comes from the official definitions (`tools/r4-tables.py`). A rule is FHIRPath, compiled when
//! it is first needed, unless plain Rust says the same much faster (`plain`), another part checks it
//! (`ELSEWHERE`) or it is not enforced, with a reason (`LEFT`). **Never** edited by hand.
//! <https://hl7.org/fhir/R4/conformance-rules.html#constraints>

// Rules in plain Rust.
mod plain;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::fhir::elements::table;
use crate::fhir::outcome::Severity;
use crate::fhir::path::{Program, engine};

/// Rules that the walk over the structure checks itself.
const ELSEWHERE: [&str; 10] =
    ["ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "txt-1", "txt-2", "ref-1", "eld-3"];

/// Rules that are not enforced, and why.
pub const LEFT: &[(&str, &str)] = &[
    ("dom-6", "best practice: a narrative is welcome and never asked for"),
    ("tst-5", "official examples break it as the engine reads it"),
    ("tst-6", "official examples break it as the engine reads it"),
];

/// One rule.
pub struct Invariant {
    /// `Patient.contact`, `Quantity`, `Organization.telecom`.
    pub path: &'static str,
    /// R4's name: `pat-1`; also the code of the issue.
    pub key: &'static str,
    pub severity: Severity,
    /// FHIRPath, relative to `path`.
    pub expression: &'static str,
    /// A sentence for a person.
    pub human: &'static str,
    pub how: How,
}

/// A program that is compiled when it is first asked for; `None` where the engine cannot read it.
pub type Compiled = Box<dyn Fn() -> Option<Arc<dyn Program>> + Send + Sync>;

/// How a rule is checked.
pub enum How {
    /// By plain Rust on the object at the path.
    Plain(plain::Rule),
    /// By its FHIRPath.
    Path(Compiled),
    /// By the walk over the structure.
    Elsewhere,
    /// Not at all, for this reason.
    Left(&'static str),
}

/// All rules.
pub struct Rules {
    all: Vec<&'static Invariant>,
    /// By type or backbone, inherited ones included.
    types: HashMap<&'static str, Vec<&'static Invariant>>,
    /// By type and element.
    elements: HashMap<(&'static str, &'static str), Vec<&'static Invariant>>,
}

/// The table, read once.
pub fn rules() -> &'static Rules {
    static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::read(include_str!("tables/invariants.txt")));
    &RULES
}

impl Rules {
    /// Every rule, in the order of the table.
    pub fn all(&self) -> &[&'static Invariant] {
        &self.all
    }

    /// The rules of a type or backbone.
    pub fn of_type(&self, name: &str) -> &[&'static Invariant] {
        self.types.get(name).map_or(&[], Vec::as_slice)
    }

    /// The rules that a type has for one of its elements (named without `[x]`).
    pub fn of_element(&self, name: &'static str, element: &'static str) -> &[&'static Invariant] {
        self.elements.get(&(name, element)).map_or(&[], Vec::as_slice)
    }

    fn read(text: &'static str) -> Self {
        let mut rules = Self { all: Vec::new(), types: HashMap::new(), elements: HashMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.split('\t');
            let mut column = || columns.next().unwrap_or_default();
            let (path, key, severity) = (column(), column(), column());
            let (expression, human) = (column(), column());
            let severity = if severity == "error" { Severity::Error } else { Severity::Warning };
            let how = how(path, key, expression);
            let rule = Invariant { path, key, severity, expression, human, how };
            rules.add(Box::leak(Box::new(rule)));
        }
        rules
    }

    fn add(&mut self, rule: &'static Invariant) {
        self.all.push(rule);
        if table().node(rule.path).is_some() {
            for name in table().derived(rule.path) {
                self.types.entry(name).or_default().push(rule);
            }
        } else if let Some((name, element)) = rule.path.rsplit_once('.') {
            let element = element.strip_suffix("[x]").unwrap_or(element);
            self.elements.entry((name, element)).or_default().push(rule);
        }
    }
}

fn how(path: &str, key: &'static str, expression: &'static str) -> How {
    if ELSEWHERE.contains(&key) {
        return How::Elsewhere;
    }
    if let Some((_, reason)) = LEFT.iter().find(|(left, _)| *left == key) {
        return How::Left(reason);
    }
    match plain::rule(path, key) {
        Some(rule) => How::Plain(rule),
        None => {
            let program = LazyLock::new(move || engine().compile(expression).ok());
            How::Path(Box::new(move || program.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::fhir::path::{Focus, Subject};

    #[test]
    fn what_is_not_enforced_is_known_and_has_a_reason() {
        let left = rules().all().iter().filter(|rule| matches!(rule.how, How::Left(_)));
        let left: BTreeSet<&str> = left.map(|rule| rule.key).collect();
        assert_eq!(left, BTreeSet::from(["dom-6", "tst-5", "tst-6"]));
        assert_eq!(LEFT.len(), left.len());
        assert!(LEFT.iter().all(|(_, reason)| reason.contains(' ')), "{LEFT:?}");
    }

    /// Every pair of these, in an item of every type.
    fn items() -> Vec<Value> {
        let pieces = [
            json!({}),
            json!({"readOnly": true}),
            json!({"initial": [{"valueInteger": 1}]}),
            json!({"initial": [{"valueInteger": 1}, {"valueInteger": 2}]}),
            json!({"required": false}),
            json!({"repeats": true}),
            json!({"repeats": false}),
            json!({"answerValueSet": "http://x"}),
            json!({"answerOption": [{"valueInteger": 1}]}),
            json!({"code": [{"code": "x"}]}),
            json!({"maxLength": 3}),
            json!({"item": [{"linkId": "y", "type": "string"}]}),
            json!({"enableWhen": vec![json!({"question": "x", "operator": "=", "answerInteger": 1}); 3]}),
            json!({"enableBehavior": "all"}),
        ];
        let types = "group display boolean decimal integer date dateTime time string text url choice open-choice \
            attachment reference quantity";
        let mut items = Vec::new();
        for kind in types.split_whitespace() {
            for (at, one) in pieces.iter().enumerate() {
                for other in pieces.iter().skip(at) {
                    let own = Map::from_iter([("linkId".into(), "x".into()), ("type".into(), kind.into())]);
                    let all = [one, other].into_iter().filter_map(Value::as_object).flatten();
                    let all = all.map(|(key, value)| (key.clone(), value.clone()));
                    items.push(Value::Object(own.into_iter().chain(all).collect()));
                }
            }
        }
        items
    }

    /// A Questionnaire of thousands of items costs no evaluation, and plain Rust says what FHIRPath says.
    #[test]
    fn an_items_rules_are_plain_and_as_in_fhirpath() {
        let found = rules().of_type("Questionnaire.item");
        let rules: Vec<_> = found.iter().filter(|rule| rule.path == "Questionnaire.item").collect();
        assert_eq!(rules.len(), 11);
        for item in items() {
            let questionnaire = json!({"resourceType": "Questionnaire", "item": [item]});
            let subject = Subject::new(&questionnaire);
            let focus = Focus { pointer: "/item/0", kind: Some("Questionnaire.item") };
            for rule in &rules {
                let How::Plain(holds) = &rule.how else { panic!("{} is evaluated", rule.key) };
                let truth = engine().compile(rule.expression).unwrap().truth(&subject, &focus).unwrap();
                assert_eq!(holds(item.as_object().unwrap()), truth != Some(false), "{} {item}", rule.key);
            }
        }
    }

    #[test]
    fn every_rule_is_checked_or_left_for_a_reason() {
        assert_eq!(rules().all().len(), 239);
        let mut uncompiled = Vec::new();
        for rule in rules().all() {
            if let How::Path(program) = &rule.how
                && program().is_none()
            {
                let error = engine().compile(rule.expression).map(|_| ()).unwrap_err();
                uncompiled.push(format!("{} {}: {error}", rule.path, rule.key));
            }
        }
        assert_eq!(uncompiled, Vec::<String>::new());
    }

    #[test]
    fn rules_hold_for_what_is_derived() {
        let keys = |name: &str| rules().of_type(name).iter().map(|rule| rule.key).collect::<Vec<_>>();
        assert!(keys("Age").contains(&"age-1") && keys("Age").contains(&"qty-3"));
        assert!(keys("Patient").contains(&"dom-6"));
        assert_eq!(rules().of_element("Organization", "telecom").len(), 1);
        assert_eq!(rules().of_element("RiskAssessment.prediction", "probability").len(), 1);
    }
}
