//! What an entry of `dhis2.tracker` says by constants: what is wrong with it, and what it names.

use serde_json::Value;

use crate::dhis2::aggregate::fields::uid;
use crate::dhis2::naming::Naming;
use crate::dhis2::tracker::fields::{self, ENROLLMENT_STATUSES, EVENT_STATUSES};
use crate::mapping::target::{Complaint, Named};

/// What is wrong whatever the data.
pub(super) fn check(literals: &Value) -> Vec<Complaint> {
    let mut told = Vec::new();
    for name in ["type", "orgUnit", "trackedEntity"] {
        uid(&mut told, literals.get(name), name);
    }
    for list in ["find", "attributes"] {
        each(&mut told, literals, "", (list, "attribute"));
    }
    for (path, enrollment) in fields::items(literals, "", "enrollments") {
        uid(&mut told, enrollment.get("program"), &format!("{path}.program"));
        uid(&mut told, enrollment.get("orgUnit"), &format!("{path}.orgUnit"));
        fields::check_status(&mut told, enrollment, &format!("{path}.status"), &ENROLLMENT_STATUSES);
        each(&mut told, enrollment, &path, ("attributes", "attribute"));
        for (path, event) in fields::items(enrollment, &path, "events") {
            uid(&mut told, event.get("programStage"), &format!("{path}.programStage"));
            uid(&mut told, event.get("orgUnit"), &format!("{path}.orgUnit"));
            fields::check_status(&mut told, event, &format!("{path}.status"), &EVENT_STATUSES);
            each(&mut told, event, &path, ("dataValues", "dataElement"));
        }
    }
    each(&mut told, literals, "", ("relationships", "relationshipType"));
    told
}

fn each(told: &mut Vec<Complaint>, literals: &Value, path: &str, (list, name): (&str, &str)) {
    for (path, item) in fields::items(literals, path, list) {
        uid(told, item.get(name), &format!("{path}.{name}"));
    }
}

/// The objects that are named, with what they must belong to.
pub(super) fn names(literals: &Value) -> Vec<Named> {
    let mut naming = Naming::of(literals);
    let kind = naming.name("trackedEntityType", "type", &[]);
    let of_type: Vec<_> = kind.map(|kind| ("trackedEntityType", kind)).into_iter().collect();
    naming.name("orgUnit", "orgUnit", &[]);
    for list in ["find", "attributes"] {
        for at in 0..naming.len(list) {
            let item = format!("{list}[{at}]");
            naming.valued("trackedEntityAttribute", (&item, "attribute", "value"), &of_type);
        }
    }
    for at in 0..naming.len("enrollments") {
        enrollment(&mut naming, &format!("enrollments[{at}]"), &of_type);
    }
    for at in 0..naming.len("relationships") {
        naming.name("relationshipType", &format!("relationships[{at}].relationshipType"), &[]);
    }
    naming.finish()
}

fn enrollment(naming: &mut Naming<'_>, path: &str, of_type: &[(&'static str, String)]) {
    let program = naming.name("program", &format!("{path}.program"), of_type);
    let mut within: Vec<_> = program.map(|program| ("program", program)).into_iter().collect();
    naming.name("orgUnit", &format!("{path}.orgUnit"), &within);
    within.extend(of_type.iter().cloned());
    for at in 0..naming.len(&format!("{path}.attributes")) {
        let item = format!("{path}.attributes[{at}]");
        naming.valued("trackedEntityAttribute", (&item, "attribute", "value"), &within);
    }
    for at in 0..naming.len(&format!("{path}.events")) {
        let path = format!("{path}.events[{at}]");
        let stage = naming.name("programStage", &format!("{path}.programStage"), &within);
        let mut of_stage: Vec<_> = stage.map(|stage| ("programStage", stage)).into_iter().collect();
        of_stage.extend(within.iter().cloned());
        naming.name("orgUnit", &format!("{path}.orgUnit"), &within);
        fields::name_values(naming, &path, &of_stage);
    }
}
