//! Whom a resource is about: the subject decides the partition, and changes of one subject are mapped in
//! order.

use serde_json::Value;

use crate::fhir::reference::{self, Literal};

/// Elements that name whom a resource is about, the better ones first.
const SUBJECTS: [&str; 7] =
    ["subject", "patient", "for", "beneficiary", "individual", "source", "practitioner"];

/// The partition subject: the literal reference `Type/id`, else the resource itself.
pub fn subject(kind: &str, id: &str, resource: &Value) -> String {
    // A person's own record is its own subject, whatever it links to.
    let own = matches!(
        kind,
        "Patient" | "Practitioner" | "Person" | "RelatedPerson" | "Group" | "Organization" | "Location"
    );
    let named = |name: &str| resource.get(name)?.get("reference")?.as_str();
    let found = SUBJECTS.iter().filter(|_| !own).find_map(|name| match named(name).map(reference::parse) {
        Some(Literal::Relative { kind, id, .. }) => Some(format!("{kind}/{id}")),
        Some(Literal::Absolute { unversioned, .. }) => Some(unversioned.to_owned()),
        _ => None,
    });
    found.unwrap_or_else(|| format!("{kind}/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_subject_is_the_one_it_is_about() {
        let observation = json!({"subject": {"reference": "Patient/1/_history/2"}});
        assert_eq!(subject("Observation", "o", &observation), "Patient/1");
        let response = json!({"source": {"reference": "Practitioner/7", "identifier": {"value": "x"}}});
        assert_eq!(subject("QuestionnaireResponse", "q", &response), "Practitioner/7");
        assert_eq!(subject("Task", "t", &json!({"for": {"reference": "Patient/1"}})), "Patient/1");
        assert_eq!(subject("Patient", "p", &json!({"source": {"reference": "Patient/2"}})), "Patient/p");
        assert_eq!(
            subject("Observation", "o", &json!({"subject": {"identifier": {"value": "x"}}})),
            "Observation/o"
        );
    }
}
