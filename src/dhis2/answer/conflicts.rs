//! The table of single conflicts: DHIS2's code, or its words where it gives no code.

use crate::delivery::destination::Reason;
use crate::dhis2::answer::rows::RowNames;

/// Which part of a row a conflict is about, so that it finds its rows where no index helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Element,
    Unit,
    Period,
    Combo,
    Attribute,
    UnitAndPeriod,
    /// A period that is closed for some units only: clear where the rows are of one unit.
    PeriodOfOneUnit,
    DataSet,
    /// The value itself: only an index tells which.
    Value,
}

/// What becomes of a row with this conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A person must look at it.
    Refused,
    /// Two requests met: the same again, soon.
    Collided,
}

pub struct Row {
    /// `E7619`, or a part of the text where DHIS2 gives no code.
    pub dhis2: &'static str,
    pub about: About,
    pub fate: Fate,
    /// Our stable code.
    pub code: &'static str,
    /// With {element}, {unit}, {period}, {combo}, {attribute} and {dataSet}.
    pub message: &'static str,
    pub hint: &'static str,
    pub recordings: &'static [&'static str],
}

const fn refused(
    dhis2: &'static str,
    about: About,
    (code, message, hint): (&'static str, &'static str, &'static str),
    recordings: &'static [&'static str],
) -> Row {
    Row { dhis2, about, fate: Fate::Refused, code, message, hint, recordings }
}

type Words = (&'static str, &'static str, &'static str);

const DATA_SET: Words = (
    "dhis2-data-set-unknown",
    "DHIS2 does not show the data set {dataSet} to this account",
    "see that the data set exists and is shared with the account",
);
const DATA_SET_ACCESS: Words = (
    "dhis2-data-set-no-access",
    "the account may not write to the data set {dataSet}",
    "share the data set with the account for data capture",
);
const ELEMENT: Words = (
    "dhis2-element-unknown",
    "DHIS2 does not show the data element {element} to this account",
    "see that the data element exists and is shared with the account",
);
const ELEMENT_NOT_IN_SET: Words = (
    "dhis2-element-not-in-set",
    "the data element {element} is not in the data set {dataSet}",
    "add it to the data set, or name another data set in the mapping",
);
const UNIT: Words = (
    "dhis2-unit-unknown",
    "DHIS2 does not know the organisation unit {unit}",
    "see that the organisation unit exists",
);
const UNIT_OUTSIDE: Words = (
    "dhis2-unit-outside-hierarchy",
    "the organisation unit {unit} is outside of what the account may write to",
    "give the account a data capture organisation unit above it",
);
const UNIT_NOT_ASSIGNED: Words = (
    "dhis2-unit-not-assigned",
    "the organisation unit {unit} is not assigned to the data set {dataSet}",
    "assign it in DHIS2 (Maintenance, Data set), then retry",
);
const UNIT_CLOSED: Words = (
    "dhis2-unit-closed",
    "the organisation unit {unit} was not open in {period}",
    "look at its opening and closing dates in DHIS2",
);
const COMBO: Words = (
    "dhis2-combo-wrong",
    "the category option combination {combo} does not fit the data element {element}",
    "name one of the data element's own combinations",
);
const ATTRIBUTE: Words = (
    "dhis2-attribute-combo-wrong",
    "the attribute option combination {attribute} does not fit the data set {dataSet}",
    "name one of the data set's own combinations",
);
const PERIOD_TYPE: Words = (
    "dhis2-period-type-wrong",
    "the period {period} is not of the data set {dataSet}'s period type",
    "use the data set's period type in the mapping",
);
const PERIOD_CLOSED: Words = (
    "dhis2-period-closed",
    "the data set {dataSet} is not open for {period}",
    "look at its open future periods, expiry days and input periods, or add a lock exception, then retry",
);
const APPROVED: Words = (
    "dhis2-approved",
    "the data of {period} is already approved",
    "take the approval back in DHIS2, then retry",
);
const VALUE_TYPE: Words = (
    "dhis2-value-type",
    "a value is not of the data element {element}'s type",
    "look at the value's source and at the type in DHIS2",
);
const OPTION: Words = (
    "dhis2-value-option",
    "a value is none of the codes of the data element {element}'s option set",
    "map answers to option codes; case matters",
);
const EMPTY: Words =
    ("dhis2-value-empty", "a value of the data element {element} is empty", "leave empty values out");
const COMMENT: Words =
    ("dhis2-comment-too-long", "a comment on the data element {element} is too long", "shorten the comment");
const DOUBLED: Words = (
    "dhis2-cell-doubled",
    "a cell of the data element {element} was sent twice in one request",
    "see that the mapping names each cell once",
);
const COMPULSORY: Words = (
    "dhis2-compulsory-missing",
    "the data set {dataSet} cannot be complete: a compulsory value is missing",
    "add the compulsory data element to the mapping",
);

/// Single conflicts of both importers and of completion.
pub static CONFLICTS: &[Row] = &[
    // The classic importer, 2.38 to 2.42.
    Row {
        dhis2: "E7611",
        about: About::Period,
        fate: Fate::Collided,
        code: "dhis2-period-collided",
        message: "DHIS2 says that the well-formed period {period} is not valid, as it does when two imports \
                  use it for the first time",
        hint: "nothing to do here: it is sent again",
        recordings: &["2.40/concurrency.dvs.same-new-cells#a"],
    },
    refused("E7600", About::DataSet, DATA_SET, &["2.40/dvs.wrong.dataSet"]),
    refused("E7601", About::DataSet, DATA_SET_ACCESS, &[]),
    refused("E7603", About::Unit, UNIT, &["2.40/dvs.wrong.orgUnit.header"]),
    refused("E7604", About::Attribute, ATTRIBUTE, &["2.40/dvs.wrong.aoc.header"]),
    refused("E7610", About::Element, ELEMENT, &["2.40/dvs.wrong.dataElement"]),
    refused("E7612", About::Unit, UNIT, &["2.40/dvs.wrong.orgUnit.value"]),
    refused("E7613", About::Combo, COMBO, &["2.40/dvs.wrong.coc"]),
    refused("E7614", About::Combo, COMBO, &[]),
    refused("E7615", About::Attribute, ATTRIBUTE, &["2.40/dvs.wrong.aoc.value"]),
    refused("E7616", About::Attribute, ATTRIBUTE, &[]),
    refused("E7617", About::Unit, UNIT_OUTSIDE, &["2.40/dvs.wrong.ou-outside-hierarchy"]),
    refused("E7618", About::Value, EMPTY, &["2.40/dvs.value.empty"]),
    refused("E7619", About::Value, VALUE_TYPE, &["2.40/dvs.value.int.text"]),
    refused("E7620", About::Value, COMMENT, &["2.40/dvs.comment.too-long"]),
    refused("E7621", About::Value, OPTION, &["2.40/dvs.value.option.bad"]),
    refused("E7630", About::Value, COMBO, &["2.40/dvs.require-coc"]),
    refused("E7631", About::Value, ATTRIBUTE, &[]),
    refused("E7632", About::Period, PERIOD_TYPE, &["2.40/dvs.period.weekly-for-monthly.strict"]),
    refused("E7633", About::Element, ELEMENT_NOT_IN_SET, &["2.40/dvs.wrong.de-not-in-dataset.strict"]),
    refused("E7634", About::Combo, COMBO, &["2.40/dvs.wrong.coc.of-other-combo.strict"]),
    refused("E7635", About::Attribute, ATTRIBUTE, &["2.40/dvs.wrong.aoc.of-other-combo.strict"]),
    refused("E7636", About::Unit, UNIT_NOT_ASSIGNED, &["2.40/dvs.wrong.ou-not-assigned.strict"]),
    refused("E7638", About::Period, PERIOD_CLOSED, &[]),
    refused("E7639", About::Unit, ATTRIBUTE, &[]),
    refused("E7640", About::Period, PERIOD_CLOSED, &["2.40/dvs.expired.clerk"]),
    refused("E7641", About::Period, PERIOD_CLOSED, &["2.40/dvs.future"]),
    refused("E7642", About::Period, APPROVED, &["2.40/approval.value-after"]),
    refused("E7643", About::Period, PERIOD_CLOSED, &[]),
    refused("E7644", About::Period, PERIOD_CLOSED, &[]),
    // The pipeline of 2.43.
    refused("E8004", About::DataSet, DATA_SET, &["2.43/dvs-031-ds-malformed"]),
    refused("E8010", About::DataSet, DATA_SET_ACCESS, &["2.43/dvs-204-clerk-ds-no-access"]),
    refused("E8011", About::Unit, UNIT_OUTSIDE, &["2.43/dvs-060-clerk-ou-outside"]),
    refused("E8020", About::Element, ELEMENT_NOT_IN_SET, &["2.43/dvs-019-de-unknown"]),
    refused("E8021", About::Period, PERIOD_TYPE, &["2.43/dvs-045-pe-wrong-type"]),
    refused("E8022", About::Unit, UNIT_NOT_ASSIGNED, &["2.43/dvs-039-row-bad-ou-among-good"]),
    refused("E8023", About::Attribute, ATTRIBUTE, &["2.43/dvs-027-aoc-wrong"]),
    refused("E8024", About::Combo, COMBO, &["2.43/dvs-021-coc-unknown"]),
    // Names the periods only, although a lock exception can keep them open for some units.
    refused("E8030", About::PeriodOfOneUnit, PERIOD_CLOSED, &["2.43/dvs-203-clerk-mixed-periods"]),
    refused("E8031", About::UnitAndPeriod, UNIT_CLOSED, &["2.43/dvs-282-ou-not-open-yet"]),
    refused("E8033", About::UnitAndPeriod, APPROVED, &[]),
    refused("E8104", About::Element, ELEMENT, &["2.43/dvs-020-de-malformed"]),
    refused("E8106", About::Unit, UNIT, &["2.43/dvs-018-ou-malformed"]),
    refused("E8108", About::Combo, COMBO, &[]),
    refused("E8120", About::Value, EMPTY, &["2.43/dvs-084-val-empty"]),
    refused("E8122", About::Value, VALUE_TYPE, &["2.43/dvs-062-val-integer-text"]),
    refused("E8123", About::Value, OPTION, &["2.43/dvs-079-val-option-bad"]),
    refused("E8128", About::Element, DOUBLED, &["2.43/dvs-092-duplicates-in-payload"]),
    refused("E7605", About::Value, COMPULSORY, &[]),
    // Completion: no codes, only words.
    refused("Data set not found", About::DataSet, DATA_SET, &["2.40/cdsr.mixed", "2.43/cdsr-11-mixed"]),
    refused("Organisation unit not found", About::Unit, UNIT, &["2.40/cdsr.wrong.ou"]),
    refused(
        "not in hierarchy",
        About::Unit,
        UNIT_OUTSIDE,
        &["2.40/cdsr.wrong.ou-outside-hierarchy", "2.43/cdsr-15-clerk-ou-outside"],
    ),
    refused("Period not valid", About::Period, PERIOD_TYPE, &["2.40/cdsr.wrong.period"]),
    refused("It is compulsory", About::Value, COMPULSORY, &["2.40/cdsr.compulsory.missing"]),
];

static UNKNOWN: Row = Row {
    dhis2: "",
    about: About::Value,
    fate: Fate::Refused,
    code: "dhis2-refused",
    message: "DHIS2 refused a value of the data element {element}",
    hint: "look at the exchange: `mjumbe deliveries show`",
    recordings: &[],
};

/// The row of a conflict: by its code, or by its words where it has none.
pub fn find(code: &str, text: &str) -> &'static Row {
    let fits = |row: &&Row| if code.is_empty() { text.contains(row.dhis2) } else { row.dhis2 == code };
    CONFLICTS.iter().find(fits).unwrap_or(&UNKNOWN)
}

impl Row {
    /// In words, with DHIS2's own code behind them.
    pub fn reason(&self, code: &str, row: &RowNames) -> Reason {
        let mut message = self
            .message
            .replace("{element}", &row.element)
            .replace("{unit}", &row.unit)
            .replace("{period}", &row.period)
            .replace("{combo}", &row.combo)
            .replace("{attribute}", &row.attribute)
            .replace("{dataSet}", &row.data_set);
        if !code.is_empty() {
            message.push_str(&format!(" (DHIS2: {code})"));
        }
        Reason::new(self.code, message, self.hint)
    }
}
