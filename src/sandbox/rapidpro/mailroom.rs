//! What RapidPro does behind its API: flow starts and broadcasts wait in a queue and are worked off there.
//!
//! While mailroom is down ([`Effect::DatabaseDown`]) the queue stands still.

use std::time::Duration;

use super::super::faults::Effect;
use super::RapidPro;
use super::engine::Started;
use super::starts::Progress;

/// Something to do behind the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// Uuid of a flow start.
    Start(String),
    /// Id of a broadcast.
    Broadcast(usize),
}

/// Longest time that the queue stands still, in looks of 20 ms: ten minutes.
const LOOKS: usize = 30_000;

impl RapidPro {
    /// Takes what is queued and works it off, in tasks of their own.
    pub(super) fn work(&self) {
        let tasks = std::mem::take(&mut self.world().tasks);
        for task in tasks {
            let own = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(own.shared.options.mailroom_delay_ms)).await;
                own.until_up().await;
                match task {
                    Task::Start(uuid) => own.start(&uuid).await,
                    Task::Broadcast(id) => own.world().send_broadcast(id),
                }
            });
        }
    }

    async fn until_up(&self) {
        for _ in 0..LOOKS {
            if !self.shared.faults.any(|effect| matches!(effect, Effect::DatabaseDown { .. })) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts everybody whom a flow start is for.
    async fn start(&self, uuid: &str) {
        let (start, contacts) = {
            let mut world = self.world();
            let Some(start) = world.starts.iter().find(|start| start.uuid == uuid).cloned() else { return };
            let archived = world.flows.iter().any(|flow| flow.uuid == start.flow && flow.archived);
            if archived {
                return world.move_start(uuid, Progress::Failed);
            }
            world.move_start(uuid, Progress::Starting);
            let contacts = world.whom(&start);
            if let Some(own) = world.starts.iter_mut().find(|start| start.uuid == uuid) {
                own.started.clone_from(&contacts);
            }
            (start, contacts)
        };
        for contact in contacts {
            let by = Started { start: Some(start.uuid.clone()), params: start.params.clone() };
            self.begin_run(&contact, &start.flow, by).await;
        }
        self.world().move_start(uuid, Progress::Complete);
    }
}
