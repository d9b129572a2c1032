//! What DHIS2's registers should hold, object by object, and what they do hold: cases are events,
//! children are tracked entities that are enrolled once, doses are events of their enrolment.
//!
//! A case is known by its notes and its place, a child by the number on her card, a dose by child, vaccine and number:
//! never by a uid, which is the product's own business.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::dhis2::country::programs::{CASE_REPORT, CHILD, CHILD_NUMBER, DOSE_STAGE, IMMUNIZATION};
use super::tally::{Report, Tally};
use super::truth::Open;

// What was told so far, as the registers should hold it.
pub(super) mod told;

pub use told::Told;

/// Rows of the table.
pub const CASES: &str = "dhis2.event";
pub const CHILDREN: &str = "dhis2.tracker (children)";
pub const DOSES: &str = "dhis2.tracker (doses)";

/// One object that should be there, or should be there no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `Type/id` of all that it is made of.
    pub sources: Vec<String>,
    pub unit: String,
    /// Day on which it happened; not compared where it is empty.
    pub day: String,
    /// Attribute or data element → value.
    pub values: BTreeMap<String, String>,
    /// DHIS2 refuses it whenever it comes.
    pub refusable: bool,
    /// It was taken back: nothing of it may be left.
    pub gone: bool,
}

/// Everything that the registers should hold.
#[derive(Debug, Clone, Default)]
pub struct Registers {
    /// Notes and organisation unit → case.
    pub cases: BTreeMap<(String, String), Wanted>,
    /// Number → child.
    pub children: BTreeMap<String, Wanted>,
    /// Number of the child, vaccine, number of the dose → dose.
    pub doses: BTreeMap<(String, String, String), Wanted>,
}

/// An object that DHIS2 holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    unit: String,
    day: String,
    values: BTreeMap<String, String>,
    /// Living enrolments; of events always one.
    enrolled: usize,
}

/// Compares, and adds a row for each register.
pub(super) fn compare(report: &mut Report, wanted: &Registers, dhis2: &Value, open: &[Open]) {
    let tracker = &dhis2["tracker"];
    let numbers = numbers(tracker);
    let rule = |target, places| Rule { target, places, open };
    rule(CASES, &["event|"]).compare(report, &wanted.cases, cases(tracker));
    rule(CHILDREN, &["te|", "en|"]).compare(report, &wanted.children, children(tracker));
    rule(DOSES, &["ev|"]).compare(report, &wanted.doses, doses(tracker, &numbers));
}

/// How the objects of one register are compared.
struct Rule<'a> {
    target: &'static str,
    /// How the places of their open deliveries begin.
    places: &'static [&'static str],
    open: &'a [Open],
}

impl Rule<'_> {
    fn compare<K: Ord + std::fmt::Debug>(
        &self,
        report: &mut Report,
        wanted: &BTreeMap<K, Wanted>,
        mut held: BTreeMap<K, Vec<Held>>,
    ) {
        let mut tally = Tally::default();
        for (key, one) in wanted {
            let found = held.remove(key).unwrap_or_default();
            if let Some(fault) = self.judge(&mut tally, (report, one), &found) {
                report.fault(format!("{} {key:?}: {fault}", self.target));
            }
        }
        for (key, found) in held {
            tally.twice += found.len();
            report.fault(format!("{} {key:?} is there, although nobody asked for it", self.target));
        }
        report.keep(self.target, tally);
    }

    /// Counts one object; says what is wrong with it.
    fn judge(
        &self,
        tally: &mut Tally,
        (report, one): (&mut Report, &Wanted),
        found: &[Held],
    ) -> Option<String> {
        let open = self.open_of(one);
        tally.wanted += usize::from(!one.gone);
        if found.len() > 1 || found.iter().any(|held| held.enrolled > 1) {
            tally.twice += 1;
            return Some("is there more than once".to_owned());
        }
        let right = match (found.first(), one.gone) {
            (None, gone) => gone,
            (Some(_), true) => false,
            (Some(held), false) => held.is(one),
        };
        match open {
            // What is refused is not there, so that it is right to have nothing of it.
            _ if right => {
                tally.cancelled += usize::from(one.gone);
                tally.done += usize::from(!one.gone);
                None
            }
            Some(open) if open.dead && one.refusable => {
                tally.refused += 1;
                *report.refused_because.entry(open.reason.clone()).or_default() += 1;
                None
            }
            Some(open) if open.dead => {
                tally.lost += 1;
                Some(format!("was given up, although DHIS2 would take it: {}", open.reason))
            }
            Some(_) => {
                tally.waiting += 1;
                None
            }
            None => {
                tally.lost += 1;
                Some(format!("should be {one:?} and is {:?}", found.first()))
            }
        }
    }

    /// Its open delivery; one that is on its way says more than one that was given up.
    fn open_of(&self, one: &Wanted) -> Option<&Open> {
        let own = |open: &&Open| {
            one.sources.contains(&open.source)
                && self.places.iter().any(|start| open.place.starts_with(start))
        };
        self.open.iter().filter(own).min_by_key(|open| open.dead)
    }
}

impl Held {
    fn is(&self, wanted: &Wanted) -> bool {
        self.enrolled == 1
            && self.unit == wanted.unit
            && (wanted.day.is_empty() || self.day == wanted.day)
            && self.values == wanted.values
    }
}

fn rows<'a>(tracker: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    tracker[list].as_array().into_iter().flatten().filter(|own| own["deleted"] != true)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

fn values(object: &Value) -> BTreeMap<String, String> {
    let all = object.as_object().into_iter().flatten();
    all.map(|(id, value)| (id.clone(), text(value))).collect()
}

fn event(own: &Value) -> Held {
    let day = own["occurredAt"].as_str().and_then(|at| at.get(..10)).unwrap_or("");
    Held { unit: text(&own["orgUnit"]), day: day.to_owned(), values: values(&own["dataValues"]), enrolled: 1 }
}

fn cases(tracker: &Value) -> BTreeMap<(String, String), Vec<Held>> {
    let mut found: BTreeMap<(String, String), Vec<Held>> = BTreeMap::new();
    for own in rows(tracker, "events").filter(|own| own["program"] == CASE_REPORT) {
        let key = (text(&own["dataValues"]["MjCaseNote1"]), text(&own["orgUnit"]));
        found.entry(key).or_default().push(event(own));
    }
    found
}

/// Uid of a living child → her number.
fn numbers(tracker: &Value) -> BTreeMap<String, String> {
    let all = rows(tracker, "trackedEntities").filter(|own| own["trackedEntityType"] == CHILD);
    all.map(|own| (text(&own["trackedEntity"]), text(&own["attributes"][CHILD_NUMBER]))).collect()
}

fn children(tracker: &Value) -> BTreeMap<String, Vec<Held>> {
    let mut found: BTreeMap<String, Vec<Held>> = BTreeMap::new();
    for own in rows(tracker, "trackedEntities").filter(|own| own["trackedEntityType"] == CHILD) {
        let enrolled = rows(tracker, "enrollments")
            .filter(|one| one["trackedEntity"] == own["trackedEntity"] && one["program"] == IMMUNIZATION)
            .count();
        let held = Held {
            unit: text(&own["orgUnit"]),
            day: String::new(),
            values: values(&own["attributes"]),
            enrolled,
        };
        found.entry(text(&own["attributes"][CHILD_NUMBER])).or_default().push(held);
    }
    found
}

fn doses(
    tracker: &Value,
    numbers: &BTreeMap<String, String>,
) -> BTreeMap<(String, String, String), Vec<Held>> {
    let mut found: BTreeMap<(String, String, String), Vec<Held>> = BTreeMap::new();
    for own in rows(tracker, "events").filter(|own| own["programStage"] == DOSE_STAGE) {
        let child = numbers.get(own["trackedEntity"].as_str().unwrap_or("")).cloned().unwrap_or_default();
        let values = &own["dataValues"];
        let key = (child, text(&values["MjDoseVacc1"]), text(&values["MjDoseNumb1"]));
        found.entry(key).or_default().push(event(own));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn case(values: &[(&str, &str)]) -> Wanted {
        Wanted {
            sources: vec!["QuestionnaireResponse/r".to_owned()],
            unit: "u".to_owned(),
            values: values.iter().map(|(id, value)| ((*id).to_owned(), (*value).to_owned())).collect(),
            ..Wanted::default()
        }
    }

    fn held(values: &Value) -> Value {
        json!({ "event": "e", "program": CASE_REPORT, "orgUnit": "u", "occurredAt": "2026-01-02T00:00:00Z",
            "deleted": false, "dataValues": values })
    }

    fn told(wanted: Wanted, events: &[Value]) -> Report {
        let mut report = Report::default();
        let key = ("n".to_owned(), "u".to_owned());
        let registers = Registers { cases: BTreeMap::from([(key, wanted)]), ..Registers::default() };
        compare(&mut report, &registers, &json!({ "tracker": { "events": events } }), &[]);
        report
    }

    #[test]
    fn a_case_is_there_once_with_what_was_answered() {
        let right = held(&json!({ "MjCaseNote1": "n", "MjCaseAge01": "4" }));
        let wanted = case(&[("MjCaseNote1", "n"), ("MjCaseAge01", "4")]);
        let of = |wanted: Wanted, events: &[Value]| {
            let report = told(wanted, events);
            let tally = report.targets.get(CASES).cloned().unwrap_or_default();
            (tally.done, tally.lost, tally.twice)
        };
        assert_eq!(of(wanted.clone(), std::slice::from_ref(&right)), (1, 0, 0));
        assert_eq!(of(wanted.clone(), &[]), (0, 1, 0));
        assert_eq!(of(wanted.clone(), &[right.clone(), right.clone()]), (0, 0, 1));
        let other = held(&json!({ "MjCaseNote1": "n", "MjCaseAge01": "5" }));
        assert_eq!(of(wanted.clone(), &[other]), (0, 1, 0));
        let nobody = held(&json!({ "MjCaseNote1": "m" }));
        assert_eq!(of(wanted.clone(), &[right.clone(), nobody]), (1, 0, 1));
        let gone = Wanted { gone: true, ..wanted };
        assert_eq!(of(gone.clone(), &[]), (0, 0, 0));
        assert_eq!(of(gone, &[right]), (0, 1, 0));
    }
}
