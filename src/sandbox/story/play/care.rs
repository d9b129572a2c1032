//! Cases and doses that are reported, visits that are due, a number that moves to another person.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::super::super::dhis2::country::village_id;
use super::super::super::faults::{Effect, Fault};
use super::super::super::rapidpro::definition::{CASE_REPORT, IMMUNIZATION};
use super::super::acts::{self, Act, Fate};
use super::super::children::{Case, MOVER, Visit};
use super::super::people::{Person, When};
use super::super::truth::{ToldCase, ToldDose};
use super::{Error, Stage};

const STARTS: &str = "/api/v2/flow_starts.json";
const MESSAGES: &str = "/api/v2/messages.json";

impl Stage<'_> {
    /// Everybody whose turn it is reports a case; a death is told her supervisor.
    pub(super) async fn report_cases(&mut self, when: When) {
        let story = self.story;
        for case in story.cases.iter().filter(|case| case.when == when) {
            if let Some(person) = story.people.get(case.reporter) {
                self.report_case(person, &person.phone, case).await;
            }
        }
    }

    async fn report_case(&mut self, person: &Person, phone: &str, case: &Case) {
        let urn = format!("tel:{phone}");
        let at = Timestamp::now();
        let Some(run) = self.rapidpro.take_through(&urn, CASE_REPORT, &case.replies()).await else { return };
        if case.died {
            self.truth.expect_act(self.alert(person, &run, case));
        }
        self.truth.cases.push(ToldCase { run, village: person.village.clone(), case: case.clone(), at });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    /// The message that tells a supervisor of a death.
    fn alert(&self, person: &Person, run: &str, case: &Case) -> Act {
        let unit = self.dhis2.country().unit(&person.village).map_or("", |unit| unit.name.as_str());
        let village = (0..super::super::VILLAGES).find(|at| village_id(*at) == person.village).unwrap_or(0);
        Act {
            target: acts::MESSAGES,
            source: format!("QuestionnaireResponse/{run}"),
            urn: format!("tel:{}", self.story.supervisor(village)),
            what: format!("{unit}: somebody died of {}. Report {run}", case.disease.1),
            due: Timestamp::UNIX_EPOCH,
            fate: Fate::Wanted,
        }
    }

    /// Doses that are reported now.
    pub(super) async fn report_doses(&mut self, when: When) {
        for (at, child) in self.story.children.iter().enumerate() {
            let Some(person) = self.story.people.get(child.reporter) else { continue };
            for dose in child.doses.iter().filter(|dose| dose.when == when) {
                let (urn, now) = (format!("tel:{}", person.phone), Timestamp::now());
                let told = self.rapidpro.take_through(&urn, IMMUNIZATION, &dose.replies(child)).await;
                let Some(run) = told else { continue };
                let (village, dose) = (person.village.clone(), dose.clone());
                self.truth.doses.push(ToldDose { run, village, child: at, dose, at: now });
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Children are enrolled: their mothers will be reminded of the next visit, while RapidPro has a bad
    /// day again.
    pub(super) async fn enrol(&mut self) -> Result<(), Error> {
        let wait = SignedDuration::try_from(self.pace.due).unwrap_or(SignedDuration::ZERO);
        let due = Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        let due = due.round(jiff::Unit::Millisecond).unwrap_or(due);
        self.product.tell(&format!(
            "children are enrolled: their mothers are to be reminded in {} s, unless they come",
            self.pace.due.as_secs()
        ));
        self.post("the enrolments", &self.story.enrolments(due)).await?;
        for child in self.story.children.iter().filter(|child| child.visit != Visit::NotEnrolled) {
            let fate = if child.visit == Visit::NoConsent { Fate::Unwanted } else { Fate::Wanted };
            self.truth.expect_act(Act {
                target: acts::STARTS,
                source: format!("EpisodeOfCare/{}", child.episode()),
                urn: format!("tel:{}", child.mother),
                what: child.number.clone(),
                due,
                fate,
            });
        }
        for path in [STARTS, MESSAGES] {
            let busy = Effect::Answer { status: 429, body: None, retry_after: Some(1) };
            self.rapidpro.fault(Fault::new(busy).on("POST", path).times(2));
            if self.pace.lost_answers > 0 {
                let lost = Fault::new(Effect::DropAfter).on("POST", path);
                self.rapidpro.fault(lost.times(self.pace.lost_answers));
            }
        }
        Ok(())
    }

    /// Some children come, some mothers do not want to be written to any more.
    pub(super) async fn call_off(&mut self) -> Result<(), Error> {
        self.product.tell("some visits are recorded and some consents taken back before anybody is reminded");
        self.post("the visits", &self.story.called_off()).await?;
        let in_time = SignedDuration::try_from(self.pace.in_time).unwrap_or(SignedDuration::ZERO);
        let off = |visit: Visit| matches!(visit, Visit::Recorded | Visit::Refused);
        for child in self.story.children.iter().filter(|child| off(child.visit)) {
            self.truth.call_off(&format!("EpisodeOfCare/{}", child.episode()), in_time);
        }
        Ok(())
    }

    /// Children who are registered only after their first dose, and names that were wrong.
    pub(super) async fn late_children(&mut self) -> Result<(), Error> {
        self.post("the late children", &self.story.children(true)).await?;
        let late = self.story.children.iter().filter(|child| child.late);
        self.truth.expect_contacts(late.map(|child| &child.mother));
        self.post("the children's right names", &self.story.corrected_children()).await
    }

    /// A health worker gets another number.
    pub(super) async fn move_number(&mut self) -> Result<(), Error> {
        if self.story.people.get(MOVER).is_none() {
            return Ok(());
        }
        self.product.tell("a health worker gets another number; her old one is given to somebody else");
        self.post("the other number", &self.story.moved()).await?;
        self.truth.expect_contacts([&self.story.new_phone].into_iter());
        Ok(())
    }

    /// The old number is given to somebody else: what comes from it is hers from now on.
    pub(super) async fn inherit_number(&mut self) -> Result<(), Error> {
        let story = self.story;
        let Some(mover) = story.people.get(MOVER) else { return Ok(()) };
        self.wait_for(&story.new_phone, &mover.village).await;
        self.post("the person with the old number", &story.heir()).await
    }

    /// Both report a case, each with the number that is hers now.
    pub(super) async fn report_with_moved_numbers(&mut self) {
        let story = self.story;
        let (Some(mover), heir) = (story.people.get(MOVER), &story.heir) else { return };
        self.wait_for(&heir.phone, &heir.village).await;
        let Some(case) = story.cases.first() else { return };
        for (person, phone) in [(mover, &story.new_phone), (heir, &heir.phone)] {
            let notes = "reported with a number that moved".to_owned();
            self.report_case(person, phone, &Case { died: false, notes, ..case.clone() }).await;
        }
    }

    /// Waits until a number is a contact of somebody who works in a village.
    async fn wait_for(&self, phone: &str, village: &str) {
        let deadline = Instant::now() + self.pace.contacts;
        while Instant::now() < deadline {
            let contact = self.rapidpro.contact_by_urn(&format!("tel:{phone}"));
            if contact.is_some_and(|contact| contact["fields"]["dhis2_organisation_unit_id"] == village) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
