//! Tells what came of the tests: a diff for each that failed, and what no test reaches. Colour only on a
//! terminal.

use std::io::IsTerminal;

use serde_json::{Value, json};

use super::Arguments;
use super::results::Results;
use crate::cli::failure::Failure;
use crate::mapping::testing::Failed;
use crate::mapping::testing::coverage::Coverage;
use crate::mapping::testing::difference::Side;

pub fn tell(results: &Results, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.json {
        let text = serde_json::to_string_pretty(&as_json(results, arguments.coverage));
        out!("{}", text.map_err(|error| Failure::because("cannot write JSON", error))?);
        return Ok(());
    }
    let paint = Paint::of_stdout();
    for (file, failed) in &results.failed {
        one(file, failed, &paint);
    }
    results.untested.iter().for_each(|file| note!("{file}: no tests"));
    if arguments.coverage {
        coverage(results);
    }
    note!("{} passed, {} failed", results.passed, results.failed.len());
    if let Some(least) = arguments.coverage_min {
        let (reached, rules) = results.coverage();
        if reached * 100 < rules * usize::from(least) {
            note!("error: {} of the rules is reached, {least}% is wanted", percent(reached, rules));
        }
    }
    Ok(())
}

fn one(file: &str, failed: &Failed, paint: &Paint) {
    out!("{} {}: {}", paint.red("FAILED"), failed.place.within(file), failed.test);
    for difference in &failed.differences {
        out!("  {}", difference.field);
        for (side, line) in difference.lines() {
            let line = match side {
                Side::Expected => paint.red(&line),
                Side::Got => paint.green(&line),
                Side::Both => line,
            };
            out!("    {line}");
        }
    }
}

fn coverage(results: &Results) {
    for (_, coverage) in &results.coverages {
        for missed in coverage.missed() {
            out!("{}: {}", missed.place.within(&missed.file), missed.what);
        }
    }
    for (file, coverage) in &results.coverages {
        let (reached, rules) = (coverage.reached(), coverage.rules());
        out!("{file}: {} ({reached} of {rules} rules)", percent(reached, rules));
    }
    if results.coverages.len() > 1 {
        let (reached, rules) = results.coverage();
        out!("together: {} ({reached} of {rules} rules)", percent(reached, rules));
    }
}

/// One decimal, rounded down: only all is 100%.
fn percent(reached: usize, rules: usize) -> String {
    let thousandths = (reached * 1000).checked_div(rules).unwrap_or(1000);
    match thousandths % 10 {
        0 => format!("{}%", thousandths / 10),
        tenth => format!("{}.{tenth}%", thousandths / 10),
    }
}

fn as_json(results: &Results, with_coverage: bool) -> Value {
    let failed: Vec<Value> = results
        .failed
        .iter()
        .map(|(file, failed)| {
            json!({
                "file": file, "line": failed.place.line, "column": failed.place.column,
                "test": failed.test, "differences": failed.differences,
            })
        })
        .collect();
    let mut whole = json!({ "passed": results.passed, "failed": failed, "untested": results.untested });
    if with_coverage && let Some(object) = whole.as_object_mut() {
        let files: Vec<Value> =
            results.coverages.iter().map(|(file, one)| file_coverage(file, one)).collect();
        let (reached, rules) = results.coverage();
        object.insert("coverage".to_owned(), json!({ "reached": reached, "rules": rules, "files": files }));
    }
    whole
}

fn file_coverage(file: &str, coverage: &Coverage) -> Value {
    json!({
        "file": file, "reached": coverage.reached(), "rules": coverage.rules(), "missed": coverage.missed()
    })
}

/// Colours, where they are seen. <https://no-color.org>
struct Paint {
    colour: bool,
}

impl Paint {
    fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: std::io::stdout().is_terminal() && !unwanted }
    }

    fn red(&self, text: &str) -> String {
        self.with("31", text)
    }

    fn green(&self, text: &str) -> String {
        self.with("32", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
