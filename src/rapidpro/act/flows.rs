//! The flows that can be started, as RapidPro lists them now.
//!
//! The list is kept for a minute, and read again at once (but not more often than every five seconds) for a
//! flow that it does not have: RapidPro takes a start of an archived flow and does nothing.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;

use super::reason::Trouble;
use super::session::Session;
use crate::rapidpro::client::fault::Fault;

const FRESH: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(5);
/// 250 flows each.
const PAGES_MAX: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    uuid: String,
    name: String,
    archived: bool,
}

/// One workspace's list of flows.
#[derive(Debug, Default)]
pub(in crate::rapidpro) struct Flows {
    kept: Mutex<Option<(Instant, Vec<Listed>)>>,
}

impl Flows {
    /// The uuid of the flow that a mapping names.
    ///
    /// # Errors
    /// [`Fault`]; a flow that cannot be started is [`Trouble`] inside.
    pub(super) async fn find(
        &self,
        session: &mut Session<'_>,
        wanted: &str,
    ) -> Result<Result<String, Trouble>, Fault> {
        let mut kept = self.kept.lock().await;
        let mut bound = FRESH;
        loop {
            if let Some((at, flows)) = &*kept
                && at.elapsed() < bound
            {
                let found = choose(flows, wanted);
                if found.is_ok() || bound == AGAIN {
                    return Ok(found);
                }
                bound = AGAIN;
                continue;
            }
            let flows = read(session).await?;
            let found = choose(&flows, wanted);
            *kept = Some((Instant::now(), flows));
            return Ok(found);
        }
    }
}

async fn read(session: &mut Session<'_>) -> Result<Vec<Listed>, Fault> {
    let mut flows = Vec::new();
    let mut query = String::new();
    for _ in 0..PAGES_MAX {
        let page = session.page("flows", &query).await?;
        flows.extend(page.results.iter().filter_map(listed));
        match page.next {
            Some(next) => query = next,
            None => break,
        }
    }
    Ok(flows)
}

fn listed(row: &Value) -> Option<Listed> {
    let text = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
    let archived = row.get("archived").and_then(Value::as_bool).unwrap_or(false);
    Some(Listed { uuid: text("uuid")?, name: text("name")?, archived })
}

/// By uuid, or by name: of several the one that is not archived.
fn choose(flows: &[Listed], wanted: &str) -> Result<String, Trouble> {
    let wanted = wanted.trim();
    let is = |flow: &&Listed| flow.uuid.eq_ignore_ascii_case(wanted) || flow.name.trim() == wanted;
    let named: Vec<&Listed> = flows.iter().filter(is).collect();
    let open: Vec<&&Listed> = named.iter().filter(|flow| !flow.archived).collect();
    match (open.as_slice(), named.is_empty()) {
        ([only], _) => Ok(only.uuid.clone()),
        ([], true) => Err(Trouble::FlowMissing),
        ([], false) => Err(Trouble::FlowArchived),
        _ => Err(Trouble::FlowAmbiguous),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_flows_of_one_name_the_one_in_use_is_meant() {
        let flow = |uuid: &str, name: &str, archived| Listed {
            uuid: uuid.to_owned(),
            name: name.to_owned(),
            archived,
        };
        let flows = [
            flow("1", "Reminder", true),
            flow("2", "Reminder", false),
            flow("3", "Old", true),
            flow("4", "Twice", false),
            flow("5", "Twice", false),
        ];
        assert_eq!(choose(&flows, "Reminder"), Ok("2".to_owned()));
        assert_eq!(choose(&flows, "1"), Err(Trouble::FlowArchived));
        assert_eq!(choose(&flows, "Old"), Err(Trouble::FlowArchived));
        assert_eq!(choose(&flows, "Twice"), Err(Trouble::FlowAmbiguous));
        assert_eq!(choose(&flows, "None"), Err(Trouble::FlowMissing));
    }
}
