//! The trace for people: for each rule where it stands, what its paths found, every step, and what came
//! of it or why nothing did.

use std::fmt::Write;

use serde_json::Value;

use super::evaluate::Evaluation;
use super::program::Program;
use super::steps::text_of;
use super::trace::{Note, Outcome, StepNote};

/// Longest value that is printed whole.
const MAX_SHOWN: usize = 400;

/// Renders the trace of an evaluation. With `value` only the rules whose name, path, found or resulting
/// text has it: `--value deaths`; and what stands beside them in the same list item, so that a data
/// element's uid shows its value too.
pub fn explain(program: &Program, evaluation: &Evaluation, value: Option<&str>) -> String {
    let mut text = String::new();
    let all = &evaluation.trace.notes;
    let items: Vec<&str> =
        all.iter().filter(|note| is_about(note, value)).filter_map(|note| item_of(&note.field)).collect();
    let beside = |note: &Note| items.iter().any(|item| note.field.starts_with(item));
    let mut notes: Vec<&Note> = all.iter().filter(|note| is_about(note, value) || beside(note)).collect();
    notes.sort_by_key(|note| note.place);
    for note in notes {
        one(&mut text, &program.file, note);
    }
    if value.is_none() {
        summary(&mut text, evaluation);
    }
    text
}

fn is_about(note: &Note, value: Option<&str>) -> bool {
    let Some(wanted) = value else { return true };
    let shows = |value: &Value| text_of(value).as_deref() == Some(wanted);
    note.field.contains(wanted)
        || note.found.iter().any(|seen| seen.path.contains(wanted) || seen.value.as_ref().is_some_and(shows))
        || matches!(&note.outcome, Outcome::Value(value) if shows(value))
}

/// `to[0].values[2].` of `to[0].values[2].dataElement`; nothing for a field of the entry itself.
fn item_of(field: &str) -> Option<&str> {
    let end = field.rfind("].")? + 2;
    let item = field.get(..end)?;
    (item.matches('[').count() > 1).then_some(item)
}

// Writing into a String cannot fail.
fn one(text: &mut String, file: &str, note: &Note) {
    let _ = writeln!(text, "{}  {}", note.field, note.place.within(file));
    for seen in &note.found {
        let found = seen
            .value
            .as_ref()
            .map_or_else(|| "found nothing".to_owned(), |value| format!("→ {}", shown(value)));
        let _ = writeln!(text, "  {} {found}", seen.path);
    }
    for step in &note.steps {
        let _ = writeln!(text, "  {}", step_line(step));
    }
    let _ = match &note.outcome {
        Outcome::Value(value) => writeln!(text, "  = {}\n", shown(value)),
        Outcome::Nothing(why) if why.is_empty() => writeln!(text, "  = nothing\n"),
        Outcome::Nothing(why) => writeln!(text, "  = nothing: {why}\n"),
    };
}

fn step_line(step: &StepNote) -> String {
    let after = step.after.as_ref().map_or_else(|| "nothing".to_owned(), shown);
    match &step.because {
        Some(because) if step.step == "default" => format!("default ({because}) → {after}"),
        Some(because) => format!("{}: {} → {after} ({because})", step.step, shown(&step.before)),
        None => format!("{}: {} → {after}", step.step, shown(&step.before)),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    let head: String = text.chars().take(MAX_SHOWN).collect();
    format!("{head}…")
}

fn summary(text: &mut String, evaluation: &Evaluation) {
    if !evaluation.matched {
        let _ = writeln!(text, "the mapping does not take this change");
        return;
    }
    if let Some(held) = &evaluation.held {
        let _ = writeln!(text, "held at {} ({}): waits for {}", held.place, held.field, held.waits_for);
    }
    for issue in &evaluation.issues {
        let _ = writeln!(text, "issue[{}] {}: {}", issue.code, issue.place, issue.message);
        if let Some(hint) = &issue.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    let _ = writeln!(text, "outputs: {}", evaluation.outputs.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::probe;
    use serde_json::json;

    const MAPPING: &str = "\
mapping: m
from: { resource: Basic }
with:
  unit: { orgUnit: $.resource.code }
to:
  - probe.state:
      value: { path: $.resource.n, times: 2 }
      map:
        a: { path: [$.resource.none, $.unit.name], default: unknown }
        b: { path: $.resource.sex, map: { f: F } }
  - probe.act:
      when: $.resource.none
";

    #[test]
    fn what_stands_in_the_same_list_item_belongs_together() {
        assert_eq!(item_of("to[0].values[2].dataElement"), Some("to[0].values[2]."));
        assert_eq!(item_of("to[0].orgUnit"), None);
        assert_eq!(item_of("unit"), None);
    }

    #[test]
    fn shows_every_rule_and_why_some_gave_nothing() {
        let resource = json!({"resourceType": "Basic", "n": 4, "sex": "x", "code": "C1"});
        let evaluation = probe::run(MAPPING, &resource, &|_| None);
        let told = explain(&probe::load(MAPPING).unwrap(), &evaluation, None);
        insta::assert_snapshot!(told, @r#"
        with.unit  m.yaml:4:3
          = nothing: the organisation unit with uid C1 was not found

        with.unit  m.yaml:4:20
          $.resource.code → "C1"
          = "C1"

        to[0].value  m.yaml:7:14
          $.resource.n → 4
          times: 4 → 8
          = 8

        to[0].map.a  m.yaml:9:12
          $.resource.none found nothing
          $.unit.name found nothing
          default (`$.resource.none` and `$.unit.name` found nothing) → "unknown"
          = "unknown"

        to[0].map.a.default  m.yaml:9:61
          = "unknown"

        to[0].map.b  m.yaml:10:12
          $.resource.sex → "x"
          map: "x" → nothing (`map` failed: `map` has no entry for "x")
          = nothing: `map` failed: `map` has no entry for "x"

        to[1]  m.yaml:11:5
          = nothing: `when` does not hold

        to[1].when  m.yaml:12:13
          $.resource.none found nothing
          = false

        issue[map-unmatched] m.yaml:10:36: `map` has no entry for "x"
          hint: add it to `map`, or give `otherwise`
        outputs: 1
        "#);
    }

    #[test]
    fn filters_by_a_value_or_a_name() {
        let resource = json!({"resourceType": "Basic", "n": 4, "code": "C1"});
        let evaluation = probe::run(MAPPING, &resource, &|_| None);
        let told = explain(&probe::load(MAPPING).unwrap(), &evaluation, Some("8"));
        insta::assert_snapshot!(told, @"
        to[0].value  m.yaml:7:14
          $.resource.n → 4
          times: 4 → 8
          = 8
        ");
    }
}
