//! Tells the story to a product.
//!
//! Posts the people's FHIR resources, has people answer the flow, breaks DHIS2 and RapidPro for a part of
//! it, repairs them, and waits until everything has arrived or been refused. Bounded in time.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::super::dhis2::Dhis2;
use super::super::faults::{Effect, Fault};
use super::super::rapidpro::RapidPro;
use super::super::rapidpro::definition::MONTHLY_REPORT;
use super::Story;
use super::people::{Take, When};
use super::registers::{self, Told};
use super::tally::Report;
use super::truth::{Open, Truth, month_before};

// Cases, doses, reminders, a number that moves.
mod care;
// Cases that are corrected or taken back, children who are registered twice.
mod corrections;

/// What is tested, from outside.
#[async_trait]
pub trait Product: Send + Sync {
    /// Its FHIR address now; a product that is restarted may move.
    fn fhir(&self) -> String;
    /// A token for it.
    fn token(&self) -> String;
    /// Its deliveries that are not settled, part by part.
    async fn open(&self) -> Vec<Open>;
    /// A chapter begins: registration 1, first answers 2, the outage 3, late reports 4, the end 5.
    fn chapter(&self, _number: u32) {}
    /// Whether more is to be done to it before the story may end.
    fn is_troubled(&self) -> bool {
        false
    }
    /// The story so far, in words.
    fn tell(&self, text: &str);
    /// Where everything stands.
    fn show(&self, report: &Report);
}

/// Why the story came to an early end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The product did not take a transaction.
    #[error("the product refused {what}: {reason}")]
    Refused { what: &'static str, reason: String },
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Until a FHIR transaction is taken, restarts included.
    pub post: Duration,
    /// Until the health workers are contacts, before anybody can answer.
    pub contacts: Duration,
    /// How long DHIS2 is down.
    pub outage: Duration,
    /// Until everything is settled.
    pub settle: Duration,
    /// How long after the enrolment a visit is due.
    pub due: Duration,
    /// What is called off so long before its time must not happen.
    pub in_time: Duration,
    /// So many answers to flow starts and messages are lost; each is looked for two minutes later.
    pub lost_answers: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            post: Duration::from_secs(90),
            contacts: Duration::from_secs(300),
            outage: Duration::from_secs(4),
            settle: Duration::from_secs(300),
            due: Duration::from_secs(20),
            in_time: Duration::from_secs(10),
            lost_answers: 0,
        }
    }
}

/// The stage: the story, the two simulated systems, and what has been answered.
pub struct Stage<'a> {
    pub story: &'a Story,
    pub rapidpro: &'a RapidPro,
    pub dhis2: &'a Dhis2,
    pub product: &'a dyn Product,
    pub pace: Pace,
    truth: Truth,
    told: Told,
    month: Date,
    client: reqwest::Client,
}

/// Plays the whole story.
///
/// # Errors
/// [`Error`] where the product does not take a transaction at all.
pub async fn play(mut stage: Stage<'_>) -> Result<Report, Error> {
    stage.register().await?;
    stage.first_answers().await?;
    stage.outage().await?;
    stage.late().await?;
    Ok(stage.settle().await)
}

impl<'a> Stage<'a> {
    pub fn new(story: &'a Story, systems: (&'a RapidPro, &'a Dhis2), product: &'a dyn Product) -> Self {
        Self {
            story,
            rapidpro: systems.0,
            dhis2: systems.1,
            product,
            pace: Pace::default(),
            truth: Truth::new(story),
            told: Told::default(),
            month: month_before(Timestamp::now()),
            client: reqwest::Client::new(),
        }
    }

    /// Health workers and patients are registered, while RapidPro has a bad day.
    async fn register(&mut self) -> Result<(), Error> {
        self.product.chapter(1);
        let people = &self.story.people;
        self.product
            .tell(&format!("{} health workers and their patients are registered over FHIR", people.len()));
        let contacts = "/api/v2/contacts.json";
        let throttled = json!({ "detail": "Request was throttled. Expected available in 1 second." });
        let faults = [
            Fault::new(Effect::AnswerAfter { status: 500, body: None })
                .on("POST", contacts)
                .probability(0.05),
            Fault::new(Effect::Answer { status: 500, body: None, retry_after: None })
                .on("POST", contacts)
                .probability(0.05),
            Fault::new(Effect::DropAfter).on("POST", contacts).probability(0.03),
            Fault::new(Effect::Answer { status: 429, body: Some(throttled), retry_after: Some(1) })
                .on("POST", contacts)
                .times(2),
        ];
        let faults: Vec<u64> = faults.into_iter().map(|fault| self.rapidpro.fault(fault)).collect();
        self.post("the health workers", &self.story.practitioners()).await?;
        self.post("the patients", &self.story.patients(false)).await?;
        self.post("the children", &self.story.children(false)).await?;
        self.register_again().await?;
        self.truth.expect_contacts(self.story.people.iter().map(|person| &person.phone));
        let in_time = self.story.patients.iter().filter(|patient| !patient.late);
        self.truth.expect_contacts(in_time.map(|patient| &patient.phone));
        let in_time = self.story.children.iter().filter(|child| !child.late);
        self.truth.expect_contacts(in_time.map(|child| &child.mother));
        let deadline = Instant::now() + self.pace.contacts;
        loop {
            let missing = self.people_who_are_no_contacts();
            if missing == 0 || Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        for fault in faults {
            self.rapidpro.lift(fault);
        }
        let missing = self.people_who_are_no_contacts();
        let known = self.story.people.len() - missing;
        self.product.tell(&format!("{known} of them are contacts in RapidPro, with their village"));
        Ok(())
    }

    /// Whoever is no contact, or has no village yet, cannot report.
    fn people_who_are_no_contacts(&self) -> usize {
        let ready = |phone: &String| {
            let contact = self.rapidpro.contact_by_urn(&format!("tel:{phone}"));
            contact.is_some_and(|contact| contact["fields"]["dhis2_organisation_unit_id"].is_string())
        };
        self.story.people.iter().filter(|person| !ready(&person.phone)).count()
    }

    async fn first_answers(&mut self) -> Result<(), Error> {
        self.product.chapter(2);
        self.product.tell("the first people answer the monthly report; 30 % of the webhooks are lost");
        self.rapidpro.lose_webhooks(0.3);
        for fault in self.story.refusals() {
            self.dhis2.fault(fault);
        }
        let sets = "/api/dataValueSets";
        let faults = [
            Fault::new(Effect::DropAfter).on("POST", sets).times(2),
            Fault::new(Effect::AnswerAfter { status: 500, body: None }).on("POST", sets).times(2),
            Fault::new(Effect::StoreRows { rows: 5, status: 409 }).on("POST", sets).times(1),
            Fault::new(Effect::Slow { ms: 700 }).on("POST", sets).probability(0.2),
        ];
        let faults = faults.into_iter().chain(corrections::bad_day_of_tracker());
        let faults: Vec<u64> = faults.map(|fault| self.dhis2.fault(fault)).collect();
        self.rapidpro.fault(Fault::new(Effect::DropBefore).on("GET", "/api/v2/runs.json").times(2));
        self.take(When::First).await;
        self.report_cases(When::First).await;
        self.report_doses(When::First).await;
        self.enrol().await?;
        self.pause(Duration::from_secs(2)).await;
        for fault in faults {
            self.dhis2.lift(fault);
        }
        Ok(())
    }

    async fn outage(&mut self) -> Result<(), Error> {
        self.product.chapter(3);
        self.product.tell("DHIS2's database goes down: right credentials are answered 401 or 500");
        let down = self.dhis2.fault(Fault::new(Effect::DatabaseDown { answer_after_ms: 100 }));
        let until = Instant::now() + self.pace.outage;
        self.call_off().await?;
        self.move_number().await?;
        self.take(When::WhileDown).await;
        self.report_cases(When::WhileDown).await;
        self.report_doses(When::WhileDown).await;
        self.post("the malaria tests", &self.story.observations(self.month)).await?;
        self.truth.count_tests(self.story, self.dhis2.country(), (self.month, false));
        while Instant::now() < until {
            self.pause(Duration::from_millis(500)).await;
        }
        self.dhis2.lift(down);
        self.product.tell("DHIS2 is back");
        Ok(())
    }

    async fn late(&mut self) -> Result<(), Error> {
        self.product.chapter(4);
        self.product.tell("late reports, corrections, patients who are registered after their tests");
        let sets = "/api/dataValueSets";
        self.inherit_number().await?;
        self.dhis2.fault(Fault::new(Effect::StoreNothing).on("POST", sets).times(1));
        self.dhis2.fault(Fault::new(Effect::DropBefore).on("POST", sets).times(1));
        self.take(When::Late).await;
        self.report_cases(When::Late).await;
        self.report_doses(When::Late).await;
        self.late_children().await?;
        self.told.late_children();
        self.correct_cases().await?;
        self.post("the late patients", &self.story.patients(true)).await?;
        let late = self.story.patients.iter().filter(|patient| patient.late);
        self.truth.expect_contacts(late.map(|patient| &patient.phone));
        self.post("the corrections", &self.story.corrections(self.month)).await?;
        self.truth.count_tests(self.story, self.dhis2.country(), (self.month, true));
        self.report_with_moved_numbers().await;
        Ok(())
    }

    /// Waits until everything is settled and stays so.
    async fn settle(&mut self) -> Report {
        self.product.chapter(5);
        self.product.tell("everybody has answered; what is on its way arrives");
        let deadline = Instant::now() + self.pace.settle;
        let mut settled = 0;
        loop {
            let report = self.report().await;
            settled = if report.is_settled() && !self.product.is_troubled() { settled + 1 } else { 0 };
            // Three times in a row: what comes late would be seen.
            if settled >= 3 || Instant::now() > deadline {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Where everything stands now.
    async fn report(&self) -> Report {
        let open = self.product.open().await;
        let (dhis2, rapidpro, acts) = (self.dhis2.state(), self.rapidpro.state(), self.rapidpro.acts());
        let mut report = self.truth.compare((&dhis2, &rapidpro, &acts), &open, self.dhis2.country());
        let wanted = self.told.wanted(self.story, (&self.truth.cases, &self.truth.doses));
        registers::compare(&mut report, &wanted, &dhis2, &open);
        self.product.show(&report);
        report
    }

    async fn pause(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
        self.report().await;
    }

    /// Everybody whose turn it is goes through the flow.
    async fn take(&mut self, when: When) {
        let chosen: Vec<(String, String, Take)> = self
            .story
            .people
            .iter()
            .flat_map(|person| {
                let takes = person.takes.iter().filter(|take| take.when == when);
                takes.map(|take| (person.phone.clone(), person.village.clone(), take.clone()))
            })
            .collect();
        for (phone, village, take) in chosen {
            let urn = format!("tel:{phone}");
            let run = self.rapidpro.take_through(&urn, MONTHLY_REPORT, &take.replies).await;
            if let (Some(_), Some(answers)) = (run, take.answers) {
                self.truth.answered(&village, &answers, Timestamp::now());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.report().await;
    }

    /// Posts a transaction until it is taken: a client whose answer was lost sends it again.
    async fn post(&self, what: &'static str, bundle: &Value) -> Result<(), Error> {
        // A small story has nothing for some chapters, and a bundle is not empty.
        if bundle["entry"].as_array().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        let deadline = Instant::now() + self.pace.post;
        let mut reason = "no answer".to_owned();
        while Instant::now() < deadline {
            let request = self.client.post(self.product.fhir()).bearer_auth(self.product.token());
            let sent = request
                .header("Content-Type", "application/fhir+json")
                .body(bundle.to_string())
                .timeout(Duration::from_secs(60))
                .send()
                .await;
            match sent {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) if answer.status().is_client_error() && answer.status().as_u16() != 429 => {
                    let status = answer.status();
                    let text: String = answer.text().await.unwrap_or_default().chars().take(600).collect();
                    return Err(Error::Refused { what, reason: format!("{status} {text}") });
                }
                Ok(answer) => reason = answer.status().to_string(),
                Err(error) => reason = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(Error::Refused { what, reason })
    }
}
