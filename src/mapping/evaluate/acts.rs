//! What only acts take: consent, a reason, a time.

use serde_json::Value;

use super::run::Round;
use super::values::Want;
use crate::mapping::document;
use crate::mapping::output::{Act, Output};
use crate::mapping::program::{After, Entry};
use crate::mapping::schedule::{self, Due};
use crate::mapping::steps::Failure;
use crate::mapping::steps::moment::Moment;
use crate::mapping::trace::{Outcome, StepNote};

/// Acts that one evaluation makes at most.
const MAX_ACTS: usize = 5_000;

impl Round<'_> {
    /// The event time of the source, in milliseconds.
    pub(super) fn authored_ms(&self) -> i64 {
        let change = &self.input.change;
        document::event_time(change.resource, self.input.zone, change.recorded_ms)
    }

    /// Whether the person agreed, where the entry asks.
    pub(super) fn consents(&mut self, entry: &Entry) -> bool {
        let Some(condition) = &entry.act.consent else { return true };
        let entered = self.enter("consent");
        let holds = self.condition(condition);
        self.leave(entered);
        if !holds {
            self.nothing(entry.place, "there is no consent: `consent` does not hold");
        }
        holds
    }

    /// Each occurrence of an act: at once, or at its times. Nothing where its time is not known.
    pub(super) fn occurrences(&mut self, entry: &Entry) -> Option<Vec<Act>> {
        let reason = entry.act.reason.clone().unwrap_or_else(|| entry.target_id.clone());
        let hours = entry.act.after.as_ref().and_then(|after| after.hours);
        let hours = hours.map(|hours| schedule::zoned_hours(hours, self.input.zone));
        let act = |not_before_ms, occurrence| {
            let (reason, hours) = (reason.clone(), hours.clone());
            Act { reason, not_before_ms, occurrence, hours }
        };
        let Some(after) = &entry.act.after else { return Some(vec![act(None, 1)]) };
        let entered = self.enter("after");
        let dues = self.dues(after);
        self.leave(entered);
        let dues = dues?;
        let numbered = dues.iter().zip(1..);
        Some(numbered.map(|(due, number)| act(Some(due.at.timestamp().as_millisecond()), number)).collect())
    }

    fn dues(&mut self, after: &After) -> Option<Vec<Due>> {
        let Some(base) = self.base(after) else {
            self.nothing(after.place, "it is not known when: `at` gave nothing");
            return None;
        };
        let note = self.note(after.place);
        match schedule::occurrences(after, &base, self.input.zone) {
            Ok(dues) => {
                let note = note.map(|mut note| {
                    note.steps = moves(after, &dues);
                    note
                });
                self.keep(note, || Outcome::Value(dues.iter().map(|due| shown(&due.at)).collect()));
                Some(dues)
            }
            Err(failure) => {
                self.keep(note, || Outcome::Nothing(failure.message.clone()));
                self.failed(after.place, &failure);
                None
            }
        }
    }

    /// `at`, or the event time of the source.
    fn base(&mut self, after: &After) -> Option<Moment> {
        let Some(at) = &after.at else {
            let instant = jiff::Timestamp::from_millisecond(self.authored_ms()).ok()?;
            return Some(Moment::Time(instant.to_zoned(self.input.zone.clone())));
        };
        let entered = self.enter("at");
        let found = self.value(at, Want::Scalar).into_value();
        self.leave(entered);
        let moment = Moment::of(&found?, self.input.zone);
        moment.map_err(|failure| self.failed(at.place, &failure)).ok()
    }

    /// One output of each occurrence.
    pub(super) fn act(&mut self, entry: &Entry, output: &Output, acts: Vec<Act>) {
        let made = self.outputs.iter().filter(|output| output.act.is_some()).count();
        if made + acts.len() > MAX_ACTS {
            let message =
                format!("more than {MAX_ACTS} acts are made of one change: those beyond are left out");
            return self.failed(entry.place, &Failure::new("acts-too-many", message));
        }
        self.outputs.extend(acts.into_iter().map(|act| Output { act: Some(act), ..output.clone() }));
    }
}

/// Which occurrences the hours moved, and where to.
fn moves(after: &After, dues: &[Due]) -> Vec<StepNote> {
    let Some(hours) = after.hours else { return Vec::new() };
    let moved = dues.iter().filter_map(|due| {
        Some(StepNote {
            step: "hours".to_owned(),
            before: shown(due.moved_from.as_ref()?),
            after: Some(shown(&due.at)),
            because: Some(format!("outside {}: the next opening", schedule::hours_text(hours))),
        })
    });
    moved.collect()
}

fn shown(moment: &jiff::Zoned) -> Value {
    Value::String(Moment::Time(moment.clone()).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mapping::evaluate::Evaluation;
    use crate::mapping::{explain, probe};

    fn run(keys: &str, resource: Value) -> Evaluation {
        let text = format!("mapping: m\nfrom: {{ resource: Basic }}\nto:\n- probe.act:\n{keys}");
        let mut resource = resource;
        resource["resourceType"] = json!("Basic");
        probe::run(&text, &resource, &|_| None)
    }

    fn acts(evaluation: &Evaluation) -> Vec<(String, Option<String>, u32)> {
        let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
        let acts = evaluation.outputs.iter().filter_map(|output| output.act.clone());
        acts.map(|act| (act.reason, act.not_before_ms.map(time), act.occurrence)).collect()
    }

    #[test]
    fn without_a_time_it_happens_at_once_and_its_reason_is_its_entry() {
        assert_eq!(acts(&run("    value: 1\n", json!({}))), [("probe.act".to_owned(), None, 1)]);
        let named = run("    id: hello\n    value: 1\n", json!({}));
        assert_eq!(acts(&named), [("hello".to_owned(), None, 1)]);
        let reasoned = run("    id: hello\n    reason: welcome\n    value: 1\n", json!({}));
        assert_eq!(acts(&reasoned), [("welcome".to_owned(), None, 1)]);
    }

    #[test]
    fn a_series_is_one_output_of_each_occurrence_in_the_tenants_zone() {
        let keys =
            "    after: { at: $.resource.visit, plus: P6W, every: P1D, times: 2, hours: '08:00-18:00' }\n";
        let evaluation = run(keys, json!({"visit": "2024-05-01"}));
        let due = |text: &str| Some(text.to_owned());
        let reason = "probe.act".to_owned();
        assert_eq!(
            acts(&evaluation),
            [(reason.clone(), due("2024-06-12T06:00:00Z"), 1), (reason, due("2024-06-13T06:00:00Z"), 2)]
        );
    }

    #[test]
    fn without_at_the_event_time_counts() {
        let keys = "    after: { plus: PT1H }\n";
        let evaluation = run(keys, json!({"authored": "2024-05-01T10:00:00Z"}));
        assert_eq!(acts(&evaluation)[0].1.as_deref(), Some("2024-05-01T11:00:00Z"));
    }

    #[test]
    fn no_consent_or_no_time_is_no_act_and_says_why() {
        let keys = "    consent: $.resource.agreed\n    after: { at: $.resource.visit }\n";
        let why = |resource: Value| {
            let evaluation = run(keys, resource);
            let told: Vec<String> = evaluation
                .trace
                .notes
                .iter()
                .filter_map(|note| match &note.outcome {
                    Outcome::Nothing(why) if !why.is_empty() => Some(why.clone()),
                    _ => None,
                })
                .collect();
            (evaluation.outputs.len(), told.last().cloned().unwrap_or_default())
        };
        assert_eq!(why(json!({"agreed": true, "visit": "2024-05-01"})), (1, String::new()));
        let refused = why(json!({"agreed": false, "visit": "2024-05-01"}));
        assert_eq!(refused, (0, "there is no consent: `consent` does not hold".to_owned()));
        let timeless = why(json!({"agreed": true}));
        assert_eq!(timeless, (0, "it is not known when: `at` gave nothing".to_owned()));
    }

    #[test]
    fn a_time_that_is_none_is_an_issue() {
        let evaluation = run("    after: { at: $.resource.visit }\n", json!({"visit": "soon"}));
        assert!(evaluation.outputs.is_empty());
        assert_eq!(evaluation.issues[0].code, "not-a-date");
    }

    #[test]
    fn each_makes_a_series_of_each_item_at_its_own_destination() {
        let keys = "    each: $.resource.children\n    key: $.item.name\n    destination: $.item.at\n    \
                    after: { every: P1D, times: 2 }\n";
        let children = json!([{"name": "a", "at": "north"}, {"name": "b", "at": "south"}]);
        let evaluation = run(keys, json!({"children": children}));
        let made: Vec<(&str, &str, u32)> = evaluation
            .outputs
            .iter()
            .map(|one| (one.key.as_str(), one.destination.as_str(), one.act.as_ref().unwrap().occurrence))
            .collect();
        assert_eq!(made, [("a", "north", 1), ("a", "north", 2), ("b", "south", 1), ("b", "south", 2)]);
    }

    #[test]
    fn the_trace_says_what_the_hours_moved() {
        let keys = "    after: { at: $.resource.visit, every: PT12H, times: 2, hours: '08:00-18:00' }\n";
        let text = format!("mapping: m\nfrom: {{ resource: Basic }}\nto:\n- probe.act:\n{keys}");
        let evaluation = run(keys, json!({"visit": "2024-05-01T09:00:00"}));
        let told = explain::explain(&probe::load(&text).unwrap(), &evaluation, Some("after"));
        insta::assert_snapshot!(told, @r#"
        to[0].after  m.yaml:5:12
          hours: "2024-05-01T21:00:00+02:00" → "2024-05-02T08:00:00+02:00" (outside 08:00-18:00: the next opening)
          = ["2024-05-01T09:00:00+02:00","2024-05-02T08:00:00+02:00"]

        to[0].after.at  m.yaml:5:18
          $.resource.visit → "2024-05-01T09:00:00"
          = "2024-05-01T09:00:00"
        "#);
    }

    #[test]
    fn a_flood_of_acts_is_left_out() {
        let keys = "    each: $.resource.all\n    key: $.index\n    after: { every: P1D, times: 366 }\n";
        let evaluation = run(keys, json!({"all": vec![1; 20]}));
        assert_eq!(evaluation.outputs.len(), 13 * 366);
        assert!(evaluation.issues.iter().all(|issue| issue.code == "acts-too-many"));
    }
}
