//! The table of what DHIS2 says of one object: its code, what it means, what to do. The first row that fits
//! one of an object's codes decides, so the telling ones stand first.

use crate::delivery::destination::Reason;

/// What becomes of an object with this error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A person must look at it.
    Refused,
    /// The UID was deleted and is never taken again: another generation. Of a removal: done.
    Deleted,
    /// Somebody else has the place: look again who and what is there.
    Look,
    /// It is there already, as it is wanted.
    There,
    /// It is refused because another object of the same delivery is.
    Parent,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    pub dhis2: &'static str,
    pub fate: Fate,
    /// Our stable code.
    pub code: &'static str,
    /// `{object}` is the kind of object.
    pub message: &'static str,
    pub hint: &'static str,
    pub recordings: &'static [&'static str],
}

impl Row {
    /// Of a removal: there is nothing left to remove.
    pub fn means_gone(&self) -> bool {
        self.fate == Fate::Deleted || self.code == MISSING.0
    }

    /// In words, with DHIS2's own code behind them.
    pub fn reason(&self, object: &str) -> Reason {
        let message = self.message.replace("{object}", object);
        let code = if self.dhis2.is_empty() { String::new() } else { format!(" (DHIS2: {})", self.dhis2) };
        Reason::new(self.code, format!("{message}{code}"), self.hint)
    }
}

/// The row of the most telling code.
pub fn find(codes: &[String]) -> &'static Row {
    ERRORS.iter().find(|row| codes.iter().any(|code| code == row.dhis2)).unwrap_or(&UNKNOWN)
}

static UNKNOWN: Row = Row {
    dhis2: "",
    fate: Fate::Refused,
    code: "dhis2-object-refused",
    message: "DHIS2 refused the {object} for a reason that this release does not know",
    hint: "look at the exchange: `mjumbe deliveries show`",
    recordings: &[],
};

type Words = (&'static str, &'static str, &'static str);

const fn row(dhis2: &'static str, fate: Fate, words: Words, recordings: &'static [&'static str]) -> Row {
    Row { dhis2, fate, code: words.0, message: words.1, hint: words.2, recordings }
}

const fn refused(dhis2: &'static str, words: Words, recordings: &'static [&'static str]) -> Row {
    row(dhis2, Fate::Refused, words, recordings)
}

const DELETED: Words = (
    "dhis2-uid-deleted",
    "the {object} was deleted in DHIS2, and its UID is not taken again",
    "nothing to do here: it is made anew with another UID",
);
const TAKEN: Words = (
    "dhis2-object-exists",
    "DHIS2 says that the {object} exists already",
    "nothing to do here: it is looked for and sent again",
);
const MISSING: Words = (
    "dhis2-object-missing",
    "the {object} is not in DHIS2, or the account may not see it",
    "see whether it was deleted there; `mjumbe deliveries retry` makes it anew",
);
const ENROLLED: Words = (
    "dhis2-enrollment-exists",
    "the tracked entity is enrolled in this program already, and DHIS2 does not take another enrolment",
    "look at the tracked entity's enrolments in DHIS2",
);
const NOT_REPEATABLE: Words = (
    "dhis2-stage-not-repeatable",
    "the enrolment has an event of this stage already, and the stage is not repeatable",
    "make the stage repeatable in DHIS2, or name the same `key` so that the event is updated",
);
const NOT_UNIQUE: Words = (
    "dhis2-attribute-not-unique",
    "another tracked entity has this value of a unique attribute, and `find` does not say that it is the same",
    "look for the value in DHIS2: merge the two, or add the attribute to `find`",
);
const CAPTURE: Words = (
    "dhis2-unit-outside-hierarchy",
    "the organisation unit of the {object} is outside of what the account may write to",
    "give the account a data capture organisation unit above it",
);
const SEARCH: Words = (
    "dhis2-unit-outside-search",
    "the account may not see the organisation unit of the {object}",
    "give the account a search organisation unit above it",
);
const ACCESS: Words = (
    "dhis2-no-access",
    "the account may not write to the program, stage or type of the {object}",
    "share the program, its stages and its tracked entity type with the account for data capture",
);
const CASCADE: Words = (
    "dhis2-no-cascade",
    "the account may not delete the {object} together with what belongs to it",
    "give the account the authority to cascade deletions, or write `withdraw: keep`",
);
const TYPE: Words = (
    "dhis2-entity-type-unknown",
    "DHIS2 does not know the tracked entity type",
    "see that it exists and is shared with the account",
);
const TYPE_DIFFERS: Words = (
    "dhis2-entity-type-differs",
    "the program is for another type of tracked entities",
    "name a program of this type in the mapping",
);
const ATTRIBUTE: Words = (
    "dhis2-attribute-unknown",
    "DHIS2 does not know an attribute of the {object}",
    "see that the attribute exists and is shared with the account",
);
const ATTRIBUTE_NOT_IN_PROGRAM: Words = (
    "dhis2-attribute-not-in-program",
    "an attribute of the enrolment is not one of the program",
    "add it to the program, or leave it out of the mapping",
);
const VALUE_TYPE: Words = (
    "dhis2-value-type",
    "a value of the {object} is not of its type",
    "look at the value's source and at the type in DHIS2",
);
const OPTION: Words = (
    "dhis2-value-option",
    "a value of the {object} is none of the codes of its option set",
    "map answers to option codes; case matters",
);
const MANDATORY: Words = (
    "dhis2-mandatory-missing",
    "a mandatory value of the {object} is missing",
    "add the mandatory attribute or data element to the mapping",
);
const PROGRAM: Words = (
    "dhis2-program-unknown",
    "DHIS2 does not show the program to this account",
    "see that the program exists and is shared with the account",
);
const STAGE: Words = (
    "dhis2-stage-unknown",
    "DHIS2 does not know the program stage, or it is none of the program",
    "name a stage of the program in the mapping",
);
const UNIT: Words = (
    "dhis2-unit-unknown",
    "DHIS2 does not know the organisation unit of the {object}",
    "see that the organisation unit exists",
);
const UNIT_NOT_IN_PROGRAM: Words = (
    "dhis2-unit-not-in-program",
    "the organisation unit is not assigned to the program",
    "assign it in DHIS2 (Maintenance, Program), then retry",
);
const FUTURE: Words = (
    "dhis2-date-in-future",
    "a date of the {object} lies in the future, which the program does not allow",
    "correct the source, or retry when the day has come",
);
const DATE: Words = (
    "dhis2-date-missing",
    "a date of the {object} is missing or cannot be read",
    "name `enrolledAt`, `occurredAt` or `scheduledAt` in the mapping",
);
const EXPIRED: Words = (
    "dhis2-event-expired",
    "the program no longer takes events of that day",
    "look at the program's expiry days in DHIS2, then retry",
);
const COMBO: Words = (
    "dhis2-attribute-combo-wrong",
    "the program has attribute option combinations, and none that fits was named",
    "events of programs with attribute categories cannot be sent by a mapping",
);
const ELEMENT: Words = (
    "dhis2-element-not-in-stage",
    "DHIS2 does not know a data element of the event, or it is not in the stage",
    "add it to the stage in DHIS2, or correct the mapping",
);
const RULE: Words = (
    "dhis2-program-rule",
    "a program rule refuses the {object}",
    "look at the program rules in DHIS2; the exchange names the rule: `mjumbe deliveries show`",
);
const STATUS: Words = (
    "dhis2-status-refused",
    "DHIS2 does not take this status for the event",
    "give it the status ACTIVE or COMPLETED",
);
const FIXED: Words = (
    "dhis2-object-fixed",
    "DHIS2 does not let the {object} move to another program, stage, type or tracked entity",
    "the mapping must name the same as before; delete the object in DHIS2 to make it anew",
);
const MALFORMED: Words = (
    "dhis2-object-malformed",
    "DHIS2 cannot read the {object}",
    "look at the exchange: `mjumbe deliveries show`",
);
const RELATED: Words = ("dhis2-relationship-exists", "the two are related already", "nothing to do here");
const RELATIONSHIP: Words = (
    "dhis2-relationship-refused",
    "DHIS2 does not take the relationship: its type, or one of its ends, does not fit",
    "look at the relationship type's constraints in DHIS2",
);
const PARENT: Words = (
    "dhis2-parent-refused",
    "the {object} cannot be stored because what it belongs to was refused",
    "see the reason of what it belongs to",
);

/// Codes of the tracker import, 2.38 to 2.43.
pub static ERRORS: &[Row] = &[
    row(
        "E1114",
        Fate::Deleted,
        DELETED,
        &["2.40/tracker.delete.te.then-create", "2.43/trk-067-recreate-deleted-te"],
    ),
    row("E1113", Fate::Deleted, DELETED, &[]),
    row(
        "E1082",
        Fate::Deleted,
        DELETED,
        &["2.40/tracker.delete.event.again", "2.40/tracker.delete.then-create", "2.43/trk-125-recreate"],
    ),
    row("E4017", Fate::Deleted, DELETED, &[]),
    row("E1064", Fate::Look, NOT_UNIQUE, &["2.40/tracker.unique.clash", "2.43/trk-009-unique-clash"]),
    row(
        "E1015",
        Fate::Look,
        ENROLLED,
        &["2.40/tracker.error.enrollment.active-exists", "2.43/trk-011-second-active-enrollment"],
    ),
    row("E1016", Fate::Look, ENROLLED, &[]),
    row(
        "E1039",
        Fate::Look,
        NOT_REPEATABLE,
        &["2.40/tracker.error.event.not-repeatable", "2.43/trk-031-stage-not-repeatable"],
    ),
    row("E1002", Fate::Look, TAKEN, &["2.40/tracker.repeat.CREATE", "2.43/trk-003-nested-repeat-create"]),
    row("E1080", Fate::Look, TAKEN, &[]),
    row("E1030", Fate::Look, TAKEN, &[]),
    row("E4015", Fate::Look, TAKEN, &[]),
    row("E4018", Fate::There, RELATED, &["2.43/trk-062-relationship-dup"]),
    row(
        "E5000",
        Fate::Parent,
        PARENT,
        &["2.40/tracker.atomic.OBJECT.child-of-bad", "2.43/trk-033-atomic-object-parent-bad"],
    ),
    refused(
        "E1000",
        CAPTURE,
        &["2.40/tracker.delete.te.clerk", "2.40/tracker.error.scope", "2.43/trk-056-clerk-no-access"],
    ),
    refused("E1003", SEARCH, &[]),
    refused("E1001", ACCESS, &[]),
    refused("E1091", ACCESS, &[]),
    refused("E1095", ACCESS, &[]),
    refused("E1096", ACCESS, &[]),
    refused("E1102", ACCESS, &[]),
    refused("E1103", ACCESS, &[]),
    refused("E1104", ACCESS, &[]),
    refused("E1100", CASCADE, &[]),
    refused("E1005", TYPE, &["2.40/tracker.error.tet-unknown", "2.43/trk-017-tet-unknown"]),
    refused("E1022", TYPE_DIFFERS, &[]),
    refused("E1006", ATTRIBUTE, &["2.40/tracker.error.attribute-unknown", "2.43/trk-024-attr-unknown"]),
    refused("E1019", ATTRIBUTE_NOT_IN_PROGRAM, &[]),
    refused("E1125", OPTION, &["2.40/tracker.error.attribute-option", "2.43/trk-026-attr-option"]),
    refused("E1007", VALUE_TYPE, &["2.40/tracker.error.attribute-type", "2.43/trk-025-attr-type"]),
    refused("E1085", VALUE_TYPE, &[]),
    refused("E1302", VALUE_TYPE, &["2.40/tracker.error.event.value-type", "2.43/trk-028-dv-type"]),
    refused("E1018", MANDATORY, &[]),
    refused("E1090", MANDATORY, &[]),
    refused("E1076", MANDATORY, &[]),
    refused("E1303", MANDATORY, &[]),
    refused("E1010", PROGRAM, &[]),
    refused("E1069", PROGRAM, &["2.40/tracker.error.program-unknown", "2.43/trk-018-program-unknown"]),
    refused("E1013", STAGE, &["2.40/tracker.error.event.stage-unknown"]),
    refused("E1089", STAGE, &[]),
    refused("E1011", UNIT, &[]),
    refused("E1049", UNIT, &["2.40/tracker.atomic.OBJECT"]),
    refused("E1070", UNIT, &[]),
    refused("E1029", UNIT_NOT_IN_PROGRAM, &[]),
    refused(
        "E1041",
        UNIT_NOT_IN_PROGRAM,
        &["2.40/tracker.error.ou-not-in-program", "2.43/trk-015-ou-not-in-program"],
    ),
    refused("E1020", FUTURE, &["2.40/tracker.error.enrollment.future", "2.43/trk-020-enrolledAt-future"]),
    refused("E1021", FUTURE, &[]),
    refused("E1023", DATE, &["2.40/tracker.error.enrollment.no-incident-date"]),
    refused("E1025", DATE, &["2.43/trk-019-enrolledAt-missing"]),
    refused("E1031", DATE, &["2.40/tracker.error.event.no-date", "2.43/trk-032-occurredAt-missing"]),
    refused("E1043", EXPIRED, &[]),
    refused("E1047", EXPIRED, &[]),
    refused("E1055", COMBO, &[]),
    refused("E1115", COMBO, &["2.40/tracker.event-program.aoc"]),
    refused("E1116", COMBO, &[]),
    refused("E1117", COMBO, &[]),
    refused("E1304", ELEMENT, &["2.40/tracker.error.event.de-unknown"]),
    refused("E1305", ELEMENT, &["2.40/tracker.error.event.de-not-in-stage", "2.43/trk-030-dv-not-in-stage"]),
    refused("E1300", RULE, &["2.40/tracker.rules.tracker.show-error"]),
    refused("E1301", RULE, &["2.40/tracker.rules.event.mandatory"]),
    refused("E1306", RULE, &[]),
    refused("E1307", RULE, &[]),
    refused("E1309", RULE, &[]),
    refused("E1314", RULE, &[]),
    refused("E1317", RULE, &[]),
    refused("E1315", STATUS, &["2.40/tracker.error.event.schedule-with-values"]),
    refused("E1316", STATUS, &[]),
    refused("E1318", STATUS, &["2.43/trk-038-event-program-schedule"]),
    refused("E1126", FIXED, &[]),
    refused("E1127", FIXED, &[]),
    refused("E1128", FIXED, &[]),
    refused("E1068", MISSING, &["2.40/tracker.error.enrollment.te-unknown", "2.43/trk-022-te-unknown"]),
    refused("E1063", MISSING, &["2.40/tracker.update.UPDATE.missing", "2.43/trk-008-update-missing"]),
    refused("E1081", MISSING, &[]),
    refused("E1032", MISSING, &["2.43/trk-063-delete-event"]),
    refused("E4016", MISSING, &[]),
    refused(
        "E1079",
        MISSING,
        &["2.40/tracker.error.event.enrollment-unknown", "2.43/trk-023-enrollment-unknown"],
    ),
    refused("E1033", MISSING, &["2.40/tracker.error.event.no-enrollment"]),
    refused("E1313", MISSING, &[]),
    refused("E1008", MALFORMED, &[]),
    refused("E1012", MALFORMED, &[]),
    refused("E1074", MALFORMED, &["2.43/trk-042-event-program-notes"]),
    refused("E1112", VALUE_TYPE, &[]),
    refused("E1056", COMBO, &[]),
    refused("E1057", COMBO, &[]),
    refused("E1014", MALFORMED, &[]),
    refused("E1048", MALFORMED, &["2.40/tracker.error.uid-bad"]),
    refused("E1121", MALFORMED, &["2.40/tracker.error.tet-missing"]),
    refused("E1122", MALFORMED, &[]),
    refused("E1123", MALFORMED, &[]),
    refused("E1124", MALFORMED, &[]),
    refused("E4000", RELATIONSHIP, &[]),
    refused("E4001", RELATIONSHIP, &[]),
    refused("E4004", RELATIONSHIP, &[]),
    refused("E4009", RELATIONSHIP, &[]),
    refused("E4010", RELATIONSHIP, &[]),
    refused("E4011", RELATIONSHIP, &[]),
    refused("E4012", RELATIONSHIP, &[]),
    refused("E4014", RELATIONSHIP, &[]),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_code_has_one_row_and_the_telling_one_decides() {
        let codes: HashSet<&str> = ERRORS.iter().map(|row| row.dhis2).collect();
        assert_eq!(codes.len(), ERRORS.len());
        let both = ["E1313".to_owned(), "E1079".to_owned()];
        assert_eq!(find(&both).dhis2, "E1079");
        let unique = ["E1007".to_owned(), "E1064".to_owned()];
        assert_eq!(find(&unique).fate, Fate::Look);
        let reason = find(&["E7777".to_owned()]).reason("event");
        assert_eq!(reason.code, "dhis2-object-refused");
        assert!(!reason.message.contains('{'), "{reason:?}");
    }
}
