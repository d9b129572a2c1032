//! What a person sees: the story as it happens on stderr, a table in the end on stdout.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use super::house::House;
use crate::sandbox::story::tally::Report;

/// Lines and a progress bar.
#[derive(Debug)]
pub struct Screen {
    bar: Option<ProgressBar>,
    began: Instant,
    /// When a line was printed last, in seconds.
    last_line: AtomicU64,
}

/// Seconds between two lines where there is no bar.
const LINE_EVERY_S: u64 = 5;

impl Screen {
    /// With a progress bar where somebody looks.
    pub fn new(terminal: bool) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
        let bar = terminal.then(|| ProgressBar::new(0));
        if let (Some(bar), Ok(style)) = (&bar, style) {
            bar.set_style(style);
        }
        Self { bar, began: Instant::now(), last_line: AtomicU64::new(0) }
    }

    /// A line of the story.
    pub fn tell(&self, text: &str) {
        let line = format!("{:5.1} s  {text}", self.began.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.println(line),
            None => note!("{line}"),
        }
    }

    /// Where everything stands.
    pub fn show(&self, report: &Report, kills: u32) {
        let killed = if kills > 0 { format!(", killed {kills} times") } else { String::new() };
        let Some(bar) = &self.bar else { return self.show_line(report, &killed) };
        bar.set_length(report.answered as u64);
        bar.set_position(report.delivered as u64);
        bar.set_message(format!(
            "values in DHIS2; {} waiting, {} refused, {} contacts{killed}",
            report.waiting, report.refused, report.contacts
        ));
    }

    /// Where nobody looks at a bar: a line now and then.
    fn show_line(&self, report: &Report, killed: &str) {
        let now = self.began.elapsed().as_secs();
        let last = self.last_line.fetch_max(now, Ordering::Relaxed);
        if now < last + LINE_EVERY_S && last != 0 {
            self.last_line.store(last, Ordering::Relaxed);
            return;
        }
        note!(
            "{:5.1} s  {} of {} values are in DHIS2; {} waiting, {} refused, {} missing, {} twice, {} contacts{killed}",
            self.began.elapsed().as_secs_f64(),
            report.delivered,
            report.answered,
            report.waiting,
            report.refused,
            report.lost,
            report.twice,
            report.contacts
        );
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// The servers stay up: what can be tried.
    pub fn stay(&self, house: &House, (rapidpro, dhis2): (&str, &str), token: &str) {
        let fhir = house.fhir_url();
        out!("FHIR      {fhir}\nRapidPro  {rapidpro}/_sandbox/state\nDHIS2     {dhis2}/_sandbox/state\n");
        out!("curl -H 'Authorization: Bearer {token}' '{fhir}/QuestionnaireResponse?_count=1'");
        out!("\nCtrl-C ends it.");
    }
}

/// What was wanted of each target against what the two systems hold, and why some of it is refused.
pub fn summary(report: &Report) -> String {
    let mut lines = vec![table(report).to_string()];
    lines.push(format!(
        "{} of {} reports are complete in DHIS2; {} webhooks were lost on the way",
        report.completions, report.reports, report.webhooks_lost
    ));
    lines.extend(report.refused_because.iter().map(|(reason, count)| format!("{count} refused: {reason}")));
    lines.extend(report.faults.iter().map(|fault| format!("! {fault}")));
    lines.join("\n")
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    let head = ["", "wanted", "done", "waiting", "refused", "cancelled", "lost", "twice", "unknown"];
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(head);
    let number = |count: usize| Cell::new(count).set_alignment(CellAlignment::Right);
    for (target, tally) in &report.targets {
        let counts = [tally.wanted, tally.done, tally.waiting, tally.refused, tally.cancelled];
        let faults = [tally.lost, tally.twice, tally.unknown];
        let name = std::iter::once(Cell::new(words(target)));
        table.add_row(name.chain(counts.into_iter().chain(faults).map(number)));
    }
    table
}

/// What a target's row counts.
fn words(target: &str) -> String {
    let what = match target {
        "dhis2.report" => "values of monthly reports",
        "dhis2.count" => "counts of malaria tests",
        "dhis2.event" => "events: case reports",
        "dhis2.tracker (children)" => "children, each enrolled once",
        "dhis2.tracker (doses)" => "doses, each one event",
        "rapidpro.contact" => "people",
        "rapidpro.start" => "reminders",
        "rapidpro.message" => "alerts",
        _ => return target.to_owned(),
    };
    format!("{target}: {what}")
}
