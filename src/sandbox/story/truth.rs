//! What should be there in the end, and a comparison with what is.
//!
//! Value by value, from what people answered and what was posted. What is missing is looked up among the
//! product's open deliveries: waiting, refused with a reason, or lost.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::dhis2::CellKey;
use super::super::dhis2::country::{Country, LABORATORY, VILLAGE_REPORT};
use super::acts::{self, Act, Fate};
use super::children::{Case, Dose};
use super::people::Answers;
use super::tally::{Report, Tally};
use super::{Story, ZONE};

/// A delivery of the product's, or a part of one, that is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// `cell|SET|PERIOD|UNIT|ATTRIBUTE|ELEMENT|COMBO`, or another place.
    pub place: String,
    /// `dhis2.report`
    pub target: String,
    /// `Type/id` of what it was made of; empty for a count.
    pub source: String,
    /// The cause's code; empty where there is none.
    pub code: String,
    /// A person has to look at it.
    pub dead: bool,
    /// Why, in plain words.
    pub reason: String,
}

/// What has been answered and posted so far.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    cells: BTreeMap<CellKey, Wanted>,
    contacts: BTreeSet<String>,
    reports: BTreeSet<(String, String)>,
    /// Villages whose reports DHIS2 refuses.
    closed: BTreeSet<String>,
    /// Reports with a value that no import takes.
    broken: BTreeSet<(String, String)>,
    /// What should happen once.
    acts: Vec<Act>,
    /// Cases that were reported, in the order of time.
    pub cases: Vec<ToldCase>,
    /// Doses that were reported, in the order of time.
    pub doses: Vec<ToldDose>,
}

/// A case that was reported.
#[derive(Debug, Clone)]
pub struct ToldCase {
    /// The run's uuid.
    pub run: String,
    pub village: String,
    pub case: Case,
    pub at: Timestamp,
}

/// A dose that was reported.
#[derive(Debug, Clone)]
pub struct ToldDose {
    /// The run's uuid.
    pub run: String,
    /// Where it was reported.
    pub village: String,
    /// Position of the child.
    pub child: usize,
    pub dose: Dose,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    set: &'static str,
    value: String,
}

/// The month before the one of a moment, in the story's time zone: its first day.
pub fn month_before(at: Timestamp) -> Date {
    let zone = TimeZone::get(ZONE).unwrap_or(TimeZone::UTC);
    let today = at.to_zoned(zone).date();
    today.first_of_month().yesterday().map_or(today, |day| day.first_of_month())
}

impl Truth {
    /// Nothing answered yet.
    pub fn new(story: &Story) -> Self {
        let closed = story.refused.iter().map(|refused| refused.village.clone()).collect();
        Self { closed, ..Self::default() }
    }

    /// Everybody in the story who has a telephone becomes a contact.
    pub fn expect_contacts<'a>(&mut self, phones: impl Iterator<Item = &'a String>) {
        self.contacts.extend(phones.map(|phone| format!("tel:{phone}")));
    }

    /// Something should happen once.
    pub fn expect_act(&mut self, act: Act) {
        self.acts.push(act);
    }

    /// What was to happen because of a source is called off: in time if it is so long before its time.
    pub fn call_off(&mut self, source: &str, margin: SignedDuration) {
        let now = Timestamp::now();
        for act in self.acts.iter_mut().filter(|act| act.source == source) {
            let in_time = act.due.duration_since(now) > margin;
            act.fate = if in_time { Fate::Unwanted } else { Fate::Open };
        }
    }

    /// A person came to the end of the flow. Call in the order of time: the later answer counts.
    pub fn answered(&mut self, village: &str, answers: &Answers, at: Timestamp) {
        let period = month_before(at).strftime("%Y%m").to_string();
        let mut cells = vec![
            ("FTRrcoaog83", "", answers.fever.to_string()),
            ("MjMalariaP1", "", answers.malaria.to_string()),
            ("P3jJH5Tu5VC", "S34ULMcHMca", answers.deaths_female.to_string()),
            ("P3jJH5Tu5VC", "wHBMVthqIX4", answers.deaths_male.to_string()),
        ];
        if let Some(out) = answers.stock_out {
            cells.push(("MjStockOut1", "", out.to_string()));
        }
        for (element, combo, value) in cells {
            let key = CellKey::new(&period, village, element, combo);
            self.cells.insert(key, Wanted { set: VILLAGE_REPORT, value });
        }
        let report = (period, village.to_owned());
        if answers.fever < 0 {
            self.broken.insert(report.clone());
        }
        self.reports.insert(report);
    }

    /// Recounts the tests: corrections are in `corrected`.
    pub fn count_tests(&mut self, story: &Story, country: &Country, (month, corrected): (Date, bool)) {
        self.cells.retain(|_, wanted| wanted.set != LABORATORY);
        let period = month.strftime("%Y%m").to_string();
        let mut counts: BTreeMap<CellKey, u32> = BTreeMap::new();
        for test in story.tests.iter().filter(|test| !(corrected && test.withdrawn)) {
            let Some(patient) = story.patients.get(test.patient) else { continue };
            let female = (patient.gender == "female") != (patient.corrected && !corrected);
            let Ok(day) = Date::new(month.year(), month.month(), test.day) else { continue };
            let Some(age) = patient.born.parse::<Date>().ok().map(|born| years(born, day)) else { continue };
            let age = match age {
                ..5 => "AGE_0_4",
                5..15 => "AGE_5_14",
                _ => "AGE_15",
            };
            let Some(combo) = country.sex_and_age(if female { "SEX_F" } else { "SEX_M" }, age) else {
                continue;
            };
            let mut count = |element: &str| {
                let key = CellKey::new(&period, &patient.facility, element, &combo.id);
                *counts.entry(key).or_default() += 1;
            };
            count("MjTestsDone");
            if test.positive {
                count("MjTestsPos1");
            }
        }
        let wanted = |count: u32| Wanted { set: LABORATORY, value: count.to_string() };
        self.cells.extend(counts.into_iter().map(|(key, count)| (key, wanted(count))));
    }

    /// Compares with what DHIS2 and RapidPro hold, and with what the product still has open.
    /// `acts` is RapidPro's own count of what happened.
    pub fn compare(
        &self,
        (dhis2, rapidpro, happened): (&Value, &Value, &Value),
        open: &[Open],
        country: &Country,
    ) -> Report {
        let mut report = Report { answered: self.cells.len(), ..Report::default() };
        let stored = stored_cells(dhis2);
        let completions_open = completions_in(open);
        acts::compare(&mut report, &self.acts, happened, open);
        let open = by_place(open, country);
        for (key, wanted) in &self.cells {
            self.compare_cell(&mut report, (key, wanted), stored.get(key), open.get(&place(key)).copied());
        }
        for (key, value) in &stored {
            if !self.cells.contains_key(key) {
                report.twice += 1;
                report.targets.entry(target_of(key)).or_default().twice += 1;
                report.fault(format!(
                    "{} of {} in {} holds {value}, which nobody reported",
                    key.data_element, key.org_unit, key.period
                ));
            }
        }
        self.compare_contacts(&mut report, rapidpro);
        self.compare_completions(&mut report, dhis2, &completions_open);
        report
    }

    fn compare_cell(
        &self,
        report: &mut Report,
        (key, wanted): (&CellKey, &Wanted),
        stored: Option<&String>,
        open: Option<&Open>,
    ) {
        let target = if wanted.set == LABORATORY { "dhis2.count" } else { "dhis2.report" };
        let mut tally = Tally { wanted: 1, ..Tally::default() };
        if stored == Some(&wanted.value) {
            report.delivered += 1;
            tally.done = 1;
            return report.note(target, &tally);
        }
        match open {
            Some(open) if open.dead && !self.is_refusable(key, wanted) => {
                report.lost += 1;
                tally.lost = 1;
                report.fault(format!(
                    "{} of {} in {} was given up, although DHIS2 would take {}: {}",
                    key.data_element, key.org_unit, key.period, wanted.value, open.reason
                ));
            }
            Some(open) if open.dead => {
                report.refused += 1;
                tally.refused = 1;
                *report.refused_because.entry(open.reason.clone()).or_default() += 1;
            }
            Some(_) => {
                report.waiting += 1;
                tally.waiting = 1;
            }
            None => {
                let more = |stored: &String| {
                    let numbers = stored.parse::<i64>().ok().zip(wanted.value.parse::<i64>().ok());
                    wanted.set == LABORATORY && numbers.is_some_and(|(stored, wanted)| stored > wanted)
                };
                let doubled = usize::from(stored.is_some_and(more));
                report.twice += doubled;
                report.lost += 1 - doubled;
                tally.twice = doubled;
                tally.lost = 1 - doubled;
                report.fault(format!(
                    "{} of {} in {} should hold {} and holds {}",
                    key.data_element,
                    key.org_unit,
                    key.period,
                    wanted.value,
                    stored.map_or("nothing", String::as_str)
                ));
            }
        }
        report.note(target, &tally);
    }

    /// Whether DHIS2 refuses this value of this cell whenever it comes.
    fn is_refusable(&self, key: &CellKey, wanted: &Wanted) -> bool {
        self.closed.contains(&key.org_unit) || wanted.value.starts_with('-')
    }

    fn compare_contacts(&self, report: &mut Report, rapidpro: &Value) {
        let mut owners: BTreeMap<String, usize> = BTreeMap::new();
        let living = |contact: &&Value| contact["deleted"] != true;
        for contact in rapidpro["contacts"].as_array().into_iter().flatten().filter(living) {
            let urns = contact["urns"].as_array().cloned().unwrap_or_default();
            let known = urns.iter().filter_map(Value::as_str).find(|urn| self.contacts.contains(*urn));
            match known {
                Some(urn) => *owners.entry(urn.to_owned()).or_default() += 1,
                None => {
                    report.twice += 1;
                    report.fault("a contact without a telephone of anybody's".to_owned());
                }
            }
        }
        let doubled = owners.values().map(|count| count - 1).sum::<usize>();
        let missing = self.contacts.len() - owners.len();
        report.contacts = owners.len();
        if missing > 0 {
            report.fault(format!("{missing} people are no contacts"));
        }
        let (wanted, done) = (self.contacts.len(), owners.len());
        let tally = Tally { wanted, done, lost: missing, twice: doubled, ..Tally::default() };
        report.keep("rapidpro.contact", tally);
        for webhook in rapidpro["webhooks"].as_array().into_iter().flatten() {
            if webhook["lost"] == true { report.webhooks_lost += 1 } else { report.webhooks_sent += 1 }
        }
    }

    fn compare_completions(&self, report: &mut Report, dhis2: &Value, open: &BTreeSet<(String, String)>) {
        report.reports = self.reports.len();
        let completed: BTreeSet<(String, String)> = dhis2["completions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["completed"] == true)
            .map(|one| (text(one, "period"), text(one, "organisationUnit")))
            .collect();
        report.completions = completed.intersection(&self.reports).count();
        for (period, village) in completed.difference(&self.reports) {
            report.twice += 1;
            report.fault(format!("{village} is complete in {period}, although nobody reported"));
        }
        let whole =
            |report: &&(String, String)| !self.broken.contains(*report) && !self.closed.contains(&report.1);
        for report_key in self.reports.difference(&completed).filter(whole) {
            if open.contains(report_key) {
                report.completions_waiting += 1;
                continue;
            }
            report.lost += 1;
            report.fault(format!("{} is not complete in {}", report_key.1, report_key.0));
        }
        for (period, village) in completed.intersection(&self.broken) {
            report.fault(format!("{village} is complete in {period}, although a value was refused"));
        }
    }
}

/// The target that fills a cell.
fn target_of(key: &CellKey) -> String {
    let count = matches!(key.data_element.as_str(), "MjTestsDone" | "MjTestsPos1");
    (if count { "dhis2.count" } else { "dhis2.report" }).to_owned()
}

fn years(born: Date, day: Date) -> i16 {
    let before = (day.month(), day.day()) < (born.month(), born.day());
    day.year() - born.year() - i16::from(before)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or("").to_owned()
}

fn stored_cells(dhis2: &Value) -> BTreeMap<CellKey, String> {
    dhis2["cells"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|cell| cell["deleted"] != true)
        .map(|cell| {
            let key = CellKey {
                period: text(cell, "period"),
                org_unit: text(cell, "orgUnit"),
                data_element: text(cell, "dataElement"),
                option_combo: text(cell, "categoryOptionCombo"),
                attribute_combo: text(cell, "attributeOptionCombo"),
            };
            (key, text(cell, "value"))
        })
        .collect()
}

/// Completions that are still to be registered: period and village.
fn completions_in(open: &[Open]) -> BTreeSet<(String, String)> {
    let of = |one: &Open| match one.place.split('|').collect::<Vec<_>>().as_slice() {
        ["completion", _, period, unit, _] if !one.dead => Some(((*period).to_owned(), (*unit).to_owned())),
        _ => None,
    };
    open.iter().filter_map(of).collect()
}

type Place = (String, String, String, String);

fn place(key: &CellKey) -> Place {
    (key.period.clone(), key.org_unit.clone(), key.data_element.clone(), key.option_combo.clone())
}

/// Open parts by the cell that they are for; a combo may be named by its options.
fn by_place<'a>(open: &'a [Open], country: &Country) -> BTreeMap<Place, &'a Open> {
    let mut found: BTreeMap<Place, &Open> = BTreeMap::new();
    for one in open {
        let parts: Vec<&str> = one.place.split('|').collect();
        let ["cell", _, period, unit, _, element, combo] = parts.as_slice() else { continue };
        let combo = match combo.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(options) => {
                let codes: Vec<&str> = options.split(',').collect();
                let element = country.element(element).map_or("", |element| element.combo.as_str());
                country.option_combo_of(element, &codes).map(|own| own.id.clone()).unwrap_or_default()
            }
            None => (*combo).to_owned(),
        };
        let key = place(&CellKey::new(period, unit, element, &combo));
        // What is still on its way says more than an older refusal.
        if found.get(&key).is_none_or(|known| known.dead) {
            found.insert(key, one);
        }
    }
    found
}
