//! Error codes and their words in each generation.
//!
//! The words of 2.43 are those of its `ValidationCode`; where 2.40 says it otherwise, both are given.
//! Placeholders `{0}`, `{1}`, … stand for the arguments.

use serde_json::{Value, json};

use super::super::Version;
use super::is_old;
use super::state::Kind;

/// One reason why one object is refused.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub kind: Kind,
    pub uid: String,
    code: &'static str,
    message: String,
    /// Shown since 2.41.
    arguments: Option<Vec<String>>,
}

/// Code, words since 2.41, words of 2.40 where they differ.
type Row = (&'static str, &'static str, Option<&'static str>);

const WORDS: &[Row] = &[
    (
        "E1000",
        "User: `{0}` has no capture scope access to OrganisationUnit: `{1}`.",
        Some("User: `{0}`, has no write access to OrganisationUnit: `{1}`."),
    ),
    (
        "E1001",
        "User: `{0}` has no data write access to TrackedEntityType: `{1}`.",
        Some("User: `{0}`, has no data write access to TrackedEntityType: `{1}`."),
    ),
    ("E1002", "TrackedEntity: `{0}`, already exists.", Some("TrackedEntityInstance: `{0}`, already exists.")),
    (
        "E1003",
        "User: `{0}` has no write access to TrackedEntity: `{1}`.",
        Some("User: `{0}`, has no write access to TrackedEntity: `{1}`."),
    ),
    ("E1005", "Could not find TrackedEntityType: `{0}`.", None),
    ("E1006", "Attribute: `{0}` does not exist.", Some("Attribute: `{0}`, does not exist.")),
    ("E1007", "Error validating attribute value type: `{0}`; Error: `{1}`.", None),
    (
        "E1011",
        "Could not find OrganisationUnit: `{0}` linked to Event.",
        Some("Could not find OrganisationUnit: `{0}`, linked to Event."),
    ),
    (
        "E1010",
        "Could not find Program: `{0}` linked to Event.",
        Some("Could not find Program: `{0}`, linked to Event."),
    ),
    ("E1012", "Geometry does not conform to FeatureType: `{0}`.", None),
    (
        "E1013",
        "Could not find ProgramStage: `{0}` linked to Event.",
        Some("Could not find ProgramStage: `{0}`, linked to Event."),
    ),
    (
        "E1014",
        "Provided Program: `{0}` is a Program without registration. An Enrollment cannot be created into Program without registration.",
        Some(
            "Provided Program: `{0}`, is a Program without registration. An Enrollment cannot be created into Program without registration.",
        ),
    ),
    (
        "E1015",
        "TrackedEntity: `{0}` already has an active Enrollment in Program `{1}`.",
        Some("TrackedEntityInstance: `{0}`, already has an active Enrollment in Program `{1}`."),
    ),
    (
        "E1016",
        "TrackedEntity: `{0}` already has an Enrollment in Program: `{1}`, and this program only allows enrolling one time.",
        Some(
            "TrackedEntityInstance: `{0}`, already has an active enrollment in Program: `{1}`, and this program only allows enrolling one time.",
        ),
    ),
    (
        "E1018",
        "Attribute: `{0}` is mandatory in Program `{1}` but not declared in Enrollment `{2}`.",
        Some("Attribute: `{0}`, is mandatory in program `{1}` but not declared in enrollment `{2}`."),
    ),
    (
        "E1019",
        "Only Program attributes is allowed for Enrollment; Non valid attribute: `{0}`.",
        Some("Only Program attributes is allowed for enrollment; Non valid attribute: `{0}`."),
    ),
    (
        "E1020",
        "Enrollment date: `{0}` cannot be a future date.",
        Some("Enrollment date: `{0}`, cannot be a future date."),
    ),
    (
        "E1021",
        "Incident date: `{0}` cannot be a future date.",
        Some("Incident date: `{0}`, cannot be a future date."),
    ),
    (
        "E1022",
        "TrackedEntity: `{0}` must have same TrackedEntityType as Program `{1}`.",
        Some("TrackedEntityInstance: `{0}`, must have same TrackedEntityType as Program `{1}`."),
    ),
    (
        "E1023",
        "DisplayIncidentDate is true but property occurredAt is null or has an invalid format: `{0}`.",
        None,
    ),
    (
        "E1025",
        "Property enrolledAt is null.",
        Some("Property enrolledAt is null or has an invalid format: `{0}`."),
    ),
    (
        "E1029",
        "Event OrganisationUnit: `{0}` and Program: `{1}` do not match.",
        Some("Event OrganisationUnit: `{0}`, and Program: `{1}`, dont match."),
    ),
    ("E1030", "Event: `{0}` already exists.", Some("Event: `{0}`, already exists.")),
    ("E1031", "Event occurredAt date is missing.", Some("Event OccurredAt date is missing.")),
    ("E1032", "Event: `{0}` do not exist.", Some("Event: `{0}`, do not exist.")),
    ("E1033", "Event: `{0}` Enrollment value is null.", Some("Event: `{0}`, Enrollment value is null.")),
    (
        "E1039",
        "ProgramStage: `{0}` is not repeatable and an Event already exists.",
        Some("ProgramStage: `{0}`, is not repeatable and an event already exists."),
    ),
    (
        "E1041",
        "Enrollment OrganisationUnit: `{0}` and Program: `{1}` do not match.",
        Some("Enrollment OrganisationUnit: `{0}`, and Program: `{1}`, dont match."),
    ),
    ("E1048", "Object: `{0}`, uid: `{1}`, has an invalid uid format.", None),
    (
        "E1049",
        "Could not find OrganisationUnit: `{0}` linked to TrackedEntity.",
        Some("Could not find OrganisationUnit: `{0}`, linked to Tracked Entity."),
    ),
    ("E1050", "Event scheduledAt date is missing.", Some("Event ScheduledAt date is missing.")),
    ("E1063", "TrackedEntity: `{0}`, does not exist.", Some("TrackedEntityInstance: `{0}`, does not exist.")),
    (
        "E1064",
        "Non-unique attribute value `{0}` for attribute `{1}`.",
        Some("Non-unique attribute value `{0}` for attribute `{1}`"),
    ),
    (
        "E1068",
        "Could not find TrackedEntity: `{0}` linked to Enrollment.",
        Some("Could not find TrackedEntityInstance: `{0}`, linked to Enrollment."),
    ),
    (
        "E1069",
        "Could not find Program: `{0}` linked to Enrollment.",
        Some("Could not find Program: `{0}`, linked to Enrollment."),
    ),
    (
        "E1070",
        "Could not find OrganisationUnit: `{0}` linked to Enrollment.",
        Some("Could not find OrganisationUnit: `{0}`, linked to Enrollment."),
    ),
    ("E1074", "FeatureType is missing.", None),
    ("E1076", "`{0}` `{1}` is mandatory and cannot be null.", None),
    ("E1077", "Attribute: `{0}` text value exceeded the maximum allowed length: `{1}`.", None),
    (
        "E1079",
        "Event: `{0}` Program: `{1}` is different from Program defined in Enrollment `{2}`.",
        Some("Event: `{0}`, program: `{1}` is different from program defined in enrollment `{2}`."),
    ),
    ("E1080", "Enrollment: `{0}` already exists.", Some("Enrollment: `{0}`, already exists.")),
    ("E1081", "Enrollment: `{0}` do not exist.", Some("Enrollment: `{0}`, do not exist.")),
    (
        "E1082",
        "Event: `{0}` is already deleted and cannot be modified.",
        Some("Event: `{0}`, is already deleted and cannot be modified."),
    ),
    ("E1085", "Attribute: `{0}`, value does not match value type: `{1}`.", None),
    (
        "E1089",
        "Event: `{0}` references a ProgramStage `{1}` that does not belong to Program `{2}`.",
        Some("Event: `{0}`, references a ProgramStage `{1}` that does not belong to Program `{2}`."),
    ),
    (
        "E1090",
        "Attribute: `{0}` is mandatory in TrackedEntityType `{1}` but not declared in TrackedEntity `{2}`.",
        Some(
            "Attribute: `{0}`, is mandatory in tracked entity type `{1}` but not declared in tracked entity `{2}`.",
        ),
    ),
    (
        "E1091",
        "User: `{0}` has no data write access to Program: `{1}`.",
        Some("User: `{0}`, has no data write access to Program: `{1}`."),
    ),
    (
        "E1100",
        "User: `{0}` is lacking F_TEI_CASCADE_DELETE authority to delete TrackedEntity: `{1}`.",
        Some(
            "User: `{0}`, is lacking F_TEI_CASCADE_DELETE authority to delete TrackedEntityInstance: `{1}`.",
        ),
    ),
    (
        "E1103",
        "User: `{0}` is lacking F_ENROLLMENT_CASCADE_DELETE authority to delete Enrollment: `{1}`.",
        Some("User: `{0}`, is lacking F_ENROLLMENT_CASCADE_DELETE authority to delete Enrollment: `{1}`."),
    ),
    (
        "E1113",
        "Enrollment: `{0}` is already deleted and cannot be modified.",
        Some("Enrollment: `{0}`, is already deleted and cannot be modified."),
    ),
    (
        "E1114",
        "TrackedEntity: `{0}` is already deleted and cannot be modified.",
        Some("TrackedEntity: `{0}`, is already deleted and cannot be modified."),
    ),
    ("E1115", "Could not find CategoryOptionCombo: `{0}`.", None),
    (
        "E1121",
        "Missing required tracked entity property: `{0}`.",
        Some("Missing required trackedEntity property: `{0}`."),
    ),
    ("E1122", "Missing required enrollment property: `{0}`.", None),
    ("E1123", "Missing required event property: `{0}`.", None),
    ("E1124", "Missing required relationship property: `{0}`.", None),
    (
        "E1125",
        "Value `{0}` is not a valid option code in OptionSet `{1}`.",
        Some("Value {0} is not a valid option for {1} {2} in option set {3}"),
    ),
    (
        "E1126",
        "Not allowed to update TrackedEntity property: `{0}`.",
        Some("Not allowed to update Tracked Entity property: {0}."),
    ),
    (
        "E1127",
        "Not allowed to update Enrollment property: `{0}`.",
        Some("Not allowed to update Enrollment property: {0}."),
    ),
    (
        "E1128",
        "Not allowed to update Event property: `{0}`.",
        Some("Not allowed to update Event property: {0}."),
    ),
    ("E1300", "Generated by program rule (`{0}`) - `{1}`", None),
    ("E1302", "DataElement `{0}` is not valid: `{1}`.", Some("DataElement `{0}` is not valid: `{1}`")),
    (
        "E1303",
        "Mandatory DataElement `{0}` is not present.",
        Some("Mandatory DataElement `{0}` is not present"),
    ),
    (
        "E1304",
        "DataElement `{0}` is not a valid data element.",
        Some("DataElement `{0}` is not a valid data element"),
    ),
    (
        "E1305",
        "DataElement `{0}` is not part of ProgramStage `{1}`.",
        Some("DataElement `{0}` is not part of `{1}` program stage"),
    ),
    (
        "E1313",
        "Event `{0}` of an Enrollment does not reference a TrackedEntity.",
        Some(
            "Event {0} of an enrollment does not point to an existing tracked entity. The data in your system might be corrupted",
        ),
    ),
    (
        "E1315",
        "Status `{0}` does not allow defining data values. Statuses that do allow defining data values are: {1}",
        None,
    ),
    ("E1316", "No event can transition from status `{0}` to status `{1}`.", None),
    ("E1318", "Status `{0}` is not applicable for single events.", None),
    (
        "E4000",
        "Relationship: `{0}` cannot link to itself.",
        Some("Relationship: `{0}` cannot link to itself"),
    ),
    ("E4009", "Relationship Type `{0}` is not valid.", None),
    ("E4012", "Could not find `{0}`: `{1}`, linked to Relationship.", None),
    ("E4015", "Relationship: `{0}` already exists.", Some("Relationship: `{0}`, already exists.")),
    ("E4016", "Relationship: `{0}` do not exist.", Some("Relationship: `{0}`, do not exist.")),
    (
        "E4017",
        "Relationship: `{0}` is already deleted and cannot be modified.",
        Some("Relationship: `{0}`, is already deleted and cannot be modified."),
    ),
    (
        "E4018",
        "Relationship: `{0}` linking {1}: `{2}` to {3}: `{4}` already exists.",
        Some("Relationship: `{0}`, linking {1}: `{2}` to {3}: `{4}` already exists."),
    ),
    (
        "E5000",
        "{0} `{1}` cannot be created because {2} `{3}` referenced by it could not be created.",
        Some("\"{0}\" `{1}` cannot be persisted because \"{2}\" `{3}` referenced by it cannot be persisted."),
    ),
];

impl Problem {
    /// A problem in the words of a generation.
    pub fn new(version: Version, code: &'static str, (kind, uid): (Kind, &str), arguments: &[&str]) -> Self {
        let row = WORDS.iter().find(|(own, ..)| *own == code);
        let (new, old) = row.map_or(("", None), |(_, new, old)| (*new, *old));
        let mut message = if is_old(version) { old.unwrap_or(new) } else { new }.to_owned();
        for (at, argument) in arguments.iter().enumerate() {
            message = message.replace(&format!("{{{at}}}"), argument);
        }
        let arguments = (!is_old(version)).then(|| arguments.iter().map(|&one| one.to_owned()).collect());
        Self { kind, uid: uid.to_owned(), code, message, arguments }
    }

    pub fn show(&self) -> Value {
        let mut shown = json!({ "message": self.message, "errorCode": self.code,
            "trackerType": self.kind.name(), "uid": self.uid });
        if let Some(arguments) = &self.arguments {
            shown["args"] = arguments.clone().into();
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_say_it_in_their_own_words() {
        let of =
            |version| Problem::new(version, "E1030", (Kind::Event, "MjEv0000001"), &["MjEv0000001"]).show();
        assert_eq!(of(Version::V2_40)["message"], "Event: `MjEv0000001`, already exists.");
        assert_eq!(of(Version::V2_43)["message"], "Event: `MjEv0000001` already exists.");
        assert!(of(Version::V2_40).get("args").is_none());
        assert_eq!(of(Version::V2_43)["args"], json!(["MjEv0000001"]));
    }
}
