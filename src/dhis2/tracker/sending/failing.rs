//! When a request fails as a whole: what is there is read back, the rest is repeated, halved or left.

use std::collections::BTreeSet;

use super::{Chunk, REPEATS, SUSPECT_FROM, Sending};
use crate::delivery::destination::{Failure, FailureKind, Verdict};
use crate::dhis2::aggregate::sending::probe;

impl Sending<'_> {
    /// The request failed as a whole. After an answer that was lost DHIS2 may still be importing: what is not
    /// there yet may be sent again, but that it is not there proves nothing.
    pub(super) async fn failed(&mut self, chunk: Chunk, failure: &Failure) -> Vec<Chunk> {
        let open = self.open_of(&chunk.deliveries);
        let missing = match failure.unclear {
            true => self.missing(&open).await,
            false => Some(open),
        };
        let Some(missing) = missing else {
            // What the question met is not what the request may have done.
            self.stopped = Some(failure.clone());
            return Vec::new();
        };
        let left: BTreeSet<usize> = missing.iter().map(|at| self.delivery(*at)).collect();
        if left.is_empty() {
            return Vec::new();
        }
        if failure.unclear {
            self.unproven.extend(missing);
        }
        let chunk = Chunk { deliveries: left.into_iter().collect(), repeats: chunk.repeats };
        match failure.kind {
            FailureKind::Rejected => self.halves(chunk, Verdict::Refused(failure.reason.clone())),
            FailureKind::Collision if chunk.repeats < REPEATS => {
                tokio::time::sleep(self.with.pause).await;
                vec![Chunk { repeats: chunk.repeats + 1, ..chunk }]
            }
            FailureKind::Collision => self.halves(chunk, Verdict::Later(failure.reason.clone())),
            FailureKind::Unauthorised if chunk.repeats == 0 && self.probe_again().await => {
                vec![Chunk { repeats: 1, ..chunk }]
            }
            FailureKind::Unavailable if self.is_suspect(&chunk) && self.probe_again().await => {
                self.halves(chunk, Verdict::Later(failure.reason.clone()))
            }
            _ => {
                self.stopped.get_or_insert_with(|| failure.clone());
                Vec::new()
            }
        }
    }

    /// Two halves, until the culprit is alone.
    fn halves(&mut self, chunk: Chunk, alone: Verdict) -> Vec<Chunk> {
        if chunk.deliveries.len() < 2 {
            for at in self.open_of(&chunk.deliveries) {
                self.decide(at, alone.clone());
            }
            return Vec::new();
        }
        let (left, right) = chunk.deliveries.split_at(chunk.deliveries.len() / 2);
        [left, right].into_iter().map(|half| Chunk { deliveries: half.to_vec(), repeats: 0 }).collect()
    }

    /// Which of these DHIS2 does not hold as they are wanted; the others are accepted. `None`: it does not
    /// say.
    pub(super) async fn missing(&mut self, open: &[usize]) -> Option<Vec<usize>> {
        let deliveries: BTreeSet<usize> = open.iter().map(|at| self.delivery(*at)).collect();
        for delivery in &deliveries {
            if self.with.leave.is_over() {
                return None;
            }
            self.look_again(*delivery);
            self.read_all(*delivery).await;
            if self.stopped.is_some() {
                return None;
            }
        }
        let mut missing = Vec::new();
        for at in open.iter().copied() {
            if !self.is_open(at) {
                continue;
            }
            let removed = self.items.get(at).is_some_and(|item| item.current.is_none());
            match self.wants(at) {
                Some(true) if self.holds(at) => self.accept(at),
                Some(false) if removed => self.done(at, true),
                _ => missing.push(at),
            }
        }
        Some(missing)
    }

    /// Refused credentials, or a failure, are believed only if a cheap request fares alike.
    async fn probe_again(&mut self) -> bool {
        tokio::time::sleep(self.with.pause).await;
        if self.with.leave.is_over() {
            return false;
        }
        match probe(self.with.client, &mut self.exchanges).await {
            Ok(()) => true,
            Err(failure) => {
                self.stopped = Some(failure);
                false
            }
        }
    }

    fn is_suspect(&self, chunk: &Chunk) -> bool {
        let old = |at: &usize| self.batch.get(*at).is_some_and(|outgoing| outgoing.attempt >= SUSPECT_FROM);
        chunk.deliveries.iter().all(old)
    }
}
