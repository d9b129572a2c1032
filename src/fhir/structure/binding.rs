//! Required bindings to closed value sets. <https://hl7.org/fhir/R4/terminologies.html#required>

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Walk;
use crate::fhir::elements::{Codings, Key};
use crate::fhir::outcome::{Issue, IssueType, did_you_mean};

impl<'a> Walk<'a> {
    /// A `code` is one of the set's.
    pub(super) fn code(&mut self, codes: &'static HashSet<&'static str>, code: &str) {
        if codes.contains(code) {
            return;
        }
        let mut known: Vec<&str> = codes.iter().copied().collect();
        known.sort_unstable();
        let text = "this code is not in the required value set";
        self.report(Issue::error(IssueType::CodeInvalid, "unknown-code", text).hint(one_of(code, &known)));
    }

    /// What a complex element is bound to: the codings of a concept, the targets of a reference.
    pub(super) fn bound(&mut self, key: &'static Key, object: &'a Map<String, Value>) {
        if let Some(codings) = key.codings {
            self.concept(codings, object);
        }
        if key.kind == "Reference" {
            self.target(key.targets, object);
        }
    }

    /// A CodeableConcept has a coding of the set; what is only an extension (data absent) may stay.
    fn concept(&mut self, codings: &'static Codings, concept: &'a Map<String, Value>) {
        let given = concept.get("coding").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let fits = |coding: &Value| {
            let (system, code) = (text(coding, "system"), text(coding, "code"));
            codings.iter().any(|(known, codes)| *known == system && codes.contains(code))
        };
        if given.iter().any(fits) || (given.is_empty() && concept.contains_key("extension")) {
            return;
        }
        let mut known: Vec<&str> = codings.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
        known.sort_unstable();
        let code = given.first().map_or("", |coding| text(coding, "code"));
        let systems: Vec<&str> = codings.iter().map(|(system, _)| *system).collect();
        let hint = format!("system {}, code {}", systems.join(" or "), one_of(code, &known));
        let text = "a coding of the required value set is missing here";
        self.report(Issue::error(IssueType::CodeInvalid, "unknown-code", text).hint(hint));
    }
}

fn text<'v>(coding: &'v Value, name: &str) -> &'v str {
    coding.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn one_of(code: &str, known: &[&str]) -> String {
    match did_you_mean(code, known.iter().copied()) {
        Some(close) if close != code => format!("did you mean {close}?"),
        _ if known.len() <= 12 => format!("one of {}", known.join(", ")),
        _ => format!("one of the {} codes of its value set", known.len()),
    }
}
