//! An HTTP endpoint as a destination: one POST for each delivery, with the delivery's id as `Idempotency-Key`.
//! <https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header>

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::delivery::destination::{
    Destination, Exchange, Failure, FailureKind, Limits, Outgoing, Reason, Sent, Settled, UNPROVABLE,
    Verdict, not_begun,
};
use crate::delivery::hold::Leave;
use crate::endpoint::{self, Client, Request, resolved};
use crate::outbound::answer::Answer;

const CREDENTIALS: (&str, &str, &str) = (
    "unauthorised",
    "the endpoint refuses the credentials",
    "give a valid token or password in its section of the configuration, then restart",
);
const THROTTLED: (&str, &str, &str) =
    ("throttled", "the endpoint asks for fewer requests", "nothing to do here: it is tried again");

/// `[http.NAME]`.
pub struct Endpoint {
    client: Arc<Client>,
    idempotent: bool,
    budget_per_hour: Option<u32>,
}

impl Endpoint {
    pub fn new(client: Arc<Client>, settings: &crate::config::Endpoint) -> Self {
        let idempotent = settings.idempotent.unwrap_or_default();
        Self { client, idempotent, budget_per_hour: settings.budget_per_hour }
    }

    async fn post(&self, outgoing: &Outgoing, exchanges: &mut Vec<Exchange>) -> Result<Verdict, Failure> {
        let wanted = outgoing.parts.first().and_then(|part| part.wanted.as_ref());
        // What has happened is not taken back.
        let Some(wanted) = wanted else { return Ok(Verdict::Accepted) };
        if outgoing.unclear && !self.idempotent {
            return Ok(Verdict::Refused(Reason::new(
                UNPROVABLE,
                "the endpoint may have taken it, and nothing proves whether",
                "ask there: if it was not taken, `mjumbe deliveries retry --force` posts it, else cancel it. An endpoint \
                 that does a request with one Idempotency-Key once is configured `idempotent = true`",
            )));
        }
        // It cannot be looked up: the same request is repeated even where its source wants something else by
        // now ([`Outgoing::superseded`]), since it may have happened.
        let wanted = resolved(wanted, &outgoing.links);
        let text = wanted.get("path").and_then(Value::as_str).unwrap_or_default();
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        let request = Request {
            method: reqwest::Method::POST,
            path,
            query,
            body: wanted.get("body"),
            media_type: "application/json",
            headers: &[("idempotency-key", outgoing.id.as_str())],
        };
        let (answer, exchange) = self.client.send(&request).await;
        exchanges.push(exchange);
        self.classify(&answer?)
    }

    /// | status | meaning |
    /// |---|---|
    /// | 2xx | taken |
    /// | 408, 429, 503 | not taken, by their definition: later |
    /// | 401 | the credentials are wrong: nothing is taken until they are right |
    /// | other 5xx | unclear |
    /// | others | refused |
    fn classify(&self, answer: &Answer) -> Result<Verdict, Failure> {
        let client = &self.client;
        match answer.status {
            200..=299 => Ok(Verdict::Accepted),
            401 => Err(client.failure(FailureKind::Unauthorised, CREDENTIALS, answer)),
            429 => Err(client.failure(FailureKind::Throttled, THROTTLED, answer)),
            408 | 503 => {
                let words = ("unavailable", "the endpoint cannot take it now");
                Err(client.unavailable(words, false, answer.retry_after()))
            }
            500.. => {
                let words = ("failed", "the endpoint failed, and may have taken it");
                Err(client.unavailable(words, true, answer.retry_after()))
            }
            status => {
                let (message, hint) = (
                    format!("the endpoint refuses it with status {status}"),
                    "correct the mapping or the endpoint, then retry",
                );
                Ok(Verdict::Refused(client.reason("refused", message, hint)))
            }
        }
    }
}

#[async_trait]
impl Destination for Endpoint {
    fn system(&self) -> &str {
        "http"
    }

    fn name(&self) -> &str {
        self.client.name()
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
            if leave.is_over() {
                return Sent { result: Err(not_begun()), exchanges };
            }
            match self.post(outgoing, &mut exchanges).await {
                Ok(verdict) => {
                    settled.push(Settled { parts: vec![verdict], remote: None, notes: Vec::new() });
                }
                Err(failure) => return Sent { result: Err(failure), exchanges },
            }
        }
        Sent { result: Ok(settled), exchanges }
    }

    /// Any answer to a HEAD of the address shows that somebody is there; what it says of HEAD does not matter.
    async fn probe(&self) -> Result<(), Failure> {
        let request = Request {
            method: reqwest::Method::HEAD,
            path: "",
            query: None,
            body: None,
            media_type: "application/json",
            headers: &[],
        };
        let (answer, _) = self.client.send(&request).await;
        let answer = answer?;
        match answer.status {
            401 => Err(self.client.failure(FailureKind::Unauthorised, CREDENTIALS, &answer)),
            429 => Err(self.client.failure(FailureKind::Throttled, THROTTLED, &answer)),
            502..=504 => {
                let words = ("unavailable", "the endpoint cannot take anything now");
                Err(self.client.unavailable(words, false, answer.retry_after()))
            }
            _ => Ok(()),
        }
    }
}
