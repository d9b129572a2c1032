//! Another FHIR server as a destination: each resource is PUT under an id that stays, and deleted on
//! withdrawal. Both may be repeated, so an unclear outcome is just sent again.

use std::sync::Arc;

use async_trait::async_trait;

use super::answer::{self, Meaning};
use crate::delivery::destination::{
    Destination, Exchange, Failure, FailureKind, Limits, Outgoing, OutgoingPart, Reason, Sent, Settled,
    Verdict, not_begun,
};
use crate::delivery::hold::Leave;
use crate::endpoint::{self, Client, Request, resolved};

const MEDIA_TYPE: &str = "application/fhir+json";

/// `[fhir.NAME]`.
pub struct FhirServer {
    client: Arc<Client>,
    budget_per_hour: Option<u32>,
}

impl FhirServer {
    pub fn new(client: Arc<Client>, budget_per_hour: Option<u32>) -> Self {
        Self { client, budget_per_hour }
    }

    async fn ask(
        &self,
        outgoing: &Outgoing,
        part: &OutgoingPart,
        exchanges: &mut Vec<Exchange>,
    ) -> Result<Meaning, Failure> {
        let body = part.wanted.as_ref().map(|wanted| resolved(wanted, &outgoing.links));
        let method = if body.is_some() { reqwest::Method::PUT } else { reqwest::Method::DELETE };
        let request = Request {
            method: method.clone(),
            path: &part.slot,
            query: None,
            body: body.as_ref(),
            media_type: MEDIA_TYPE,
            headers: &[("prefer", "return=minimal")],
        };
        let (answer, exchange) = self.client.send(&request).await;
        exchanges.push(exchange);
        let answer = answer?;
        Ok(answer::classify(&self.client, &method, &answer))
    }
}

#[async_trait]
impl Destination for FhirServer {
    fn system(&self) -> &str {
        "fhir"
    }

    fn name(&self) -> &str {
        self.client.name()
    }

    fn identifier_system(&self, _: &str) -> Option<String> {
        Some(self.client.url().to_owned())
    }

    fn limits(&self) -> Limits {
        endpoint::limits(self.budget_per_hour)
    }

    fn check(&self, _: &Outgoing) -> Vec<(usize, Reason)> {
        Vec::new()
    }

    async fn send(&self, batch: &[Outgoing], leave: &Leave) -> Sent {
        let mut exchanges = Vec::new();
        let mut settled = Vec::with_capacity(batch.len());
        for outgoing in batch {
            let mut parts = Vec::with_capacity(outgoing.parts.len());
            let mut remote = None;
            for part in &outgoing.parts {
                if leave.is_over() {
                    return Sent { result: Err(not_begun()), exchanges };
                }
                let mut meaning = self.ask(outgoing, part, &mut exchanges).await;
                // Servers say 401 to right credentials while they start: a second one is believed.
                if matches!(meaning, Ok(Meaning::Unauthorised(_))) && !leave.is_over() {
                    meaning = self.ask(outgoing, part, &mut exchanges).await;
                }
                let verdict = match meaning {
                    Ok(Meaning::Verdict(verdict)) => verdict,
                    Ok(Meaning::Unauthorised(failure) | Meaning::Failed(failure)) | Err(failure) => {
                        return Sent { result: Err(failure), exchanges };
                    }
                };
                if verdict == Verdict::Accepted && part.wanted.is_some() {
                    remote = Some(part.slot.clone());
                }
                parts.push(verdict);
            }
            settled.push(Settled { parts, remote, notes: Vec::new() });
        }
        Sent { result: Ok(settled), exchanges }
    }

    async fn probe(&self) -> Result<(), Failure> {
        let request = Request {
            method: reqwest::Method::GET,
            path: "metadata",
            query: Some("_summary=true"),
            body: None,
            media_type: MEDIA_TYPE,
            headers: &[],
        };
        let (answer, _) = self.client.send(&request).await;
        let answer = answer?;
        match answer.status {
            200..=299 => Ok(()),
            401 | 403 => Err(self.client.failure(FailureKind::Unauthorised, answer::CREDENTIALS, &answer)),
            429 => Err(self.client.failure(FailureKind::Throttled, answer::THROTTLED, &answer)),
            _ => Err(self.client.unavailable(answer::DOWN, false, answer.retry_after())),
        }
    }
}
