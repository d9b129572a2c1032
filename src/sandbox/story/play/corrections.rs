//! Cases that are corrected or taken back over FHIR after they were reported, and children who are
//! registered twice.
//!
//! A run of RapidPro never changes, so somebody changes its QuestionnaireResponse: amended with another
//! age, or entered in error.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::super::faults::{Effect, Fault};
use super::super::registers::told::{again, is_twice};
use super::{Error, Stage};

/// What goes wrong with tracker imports on an ordinary day.
pub(super) fn bad_day_of_tracker() -> [Fault; 5] {
    let tracker = "/api/tracker";
    [
        Fault::new(Effect::DropAfter).on("POST", tracker).times(2),
        Fault::new(Effect::AnswerAfter { status: 500, body: None }).on("POST", tracker).times(2),
        Fault::new(Effect::DropBefore).on("POST", tracker).times(1),
        Fault::new(Effect::StoreRows { rows: 2, status: 500 }).on("POST", tracker).times(1),
        Fault::new(Effect::Slow { ms: 400 }).on("POST", tracker).probability(0.2),
    ]
}

impl Stage<'_> {
    /// Some children are registered a second time, by somebody who did not find them.
    pub(super) async fn register_again(&mut self) -> Result<(), Error> {
        self.told.children();
        let mut bundle = self.story.children(false);
        let twice: Vec<&str> = self
            .story
            .children
            .iter()
            .filter(|child| is_twice(child))
            .map(|child| child.id.as_str())
            .collect();
        let own = |entry: &Value| {
            let resource = &entry["resource"];
            let id = resource["id"].as_str().unwrap_or("");
            resource["resourceType"] == "Patient" && twice.contains(&id)
        };
        let mut entries: Vec<Value> = bundle["entry"].as_array().into_iter().flatten().cloned().collect();
        entries.retain(own);
        for entry in &mut entries {
            let id = again(entry["resource"]["id"].as_str().unwrap_or(""));
            entry["request"]["url"] = json!(format!("Patient/{id}"));
            entry["resource"]["id"] = json!(id);
            // Only the first time her mother was there.
            if let Some(patient) = entry["resource"].as_object_mut() {
                patient.remove("contact");
            }
        }
        bundle["entry"] = entries.into();
        self.post("children who are registered again", &bundle).await
    }

    /// Corrects some of the cases that were told so far, and takes some back. Deaths stay as they are.
    pub(super) async fn correct_cases(&mut self) -> Result<(), Error> {
        let told: Vec<(usize, String, i64)> = self
            .truth
            .cases
            .iter()
            .enumerate()
            .filter(|(_, told)| !told.case.died)
            .map(|(at, told)| (at, told.run.clone(), told.case.age + 1))
            .collect();
        for (nth, (at, run, age)) in told.into_iter().enumerate() {
            match nth % 6 {
                2 => {
                    self.told.amended.insert(at, age);
                    self.change(&run, |response| amend(response, age)).await?;
                }
                5 => {
                    self.told.taken_back.insert(at);
                    self.change(&run, |response| response["status"] = json!("entered-in-error")).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads the response of a run, once it is there, and puts it back changed.
    async fn change(&self, run: &str, change: impl Fn(&mut Value)) -> Result<(), Error> {
        let deadline = Instant::now() + self.pace.post;
        let what = "a corrected case";
        let mut reason = "it is not there".to_owned();
        while Instant::now() < deadline {
            let url = format!("{}/QuestionnaireResponse/{run}", self.product.fhir());
            if let Some(mut response) = self.read(&url).await {
                change(&mut response);
                let request = self.client.put(&url).bearer_auth(self.product.token());
                let sent = request
                    .header("Content-Type", "application/fhir+json")
                    .body(response.to_string())
                    .timeout(Duration::from_secs(60))
                    .send()
                    .await;
                match sent {
                    Ok(answer) if answer.status().is_success() => return Ok(()),
                    Ok(answer) if answer.status().is_client_error() => {
                        let status = answer.status();
                        return Err(Error::Refused { what, reason: status.to_string() });
                    }
                    Ok(answer) => reason = answer.status().to_string(),
                    Err(error) => reason = error.to_string(),
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(Error::Refused { what, reason })
    }

    async fn read(&self, url: &str) -> Option<Value> {
        let request = self.client.get(url).bearer_auth(self.product.token());
        let answer = request.timeout(Duration::from_secs(30)).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        answer.json().await.ok()
    }
}

/// Another age, and the status that says so.
fn amend(response: &mut Value, age: i64) {
    response["status"] = json!("amended");
    let items = response["item"].as_array_mut().into_iter().flatten();
    for item in items.filter(|item| item["linkId"] == "age") {
        item["answer"] = json!([{ "valueDecimal": age }]);
    }
}
