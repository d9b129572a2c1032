//! Starts flows: one request each, because the parameters carry the delivery's id.
//!
//! `restart_participants` is always true: with false RapidPro asks its search index, which lags behind, and
//! so may start somebody twice or not at all. A person in another flow is interrupted; one who went through
//! this flow before goes through it again.

use serde_json::{Value, json};

use super::addressee::{self, Address};
use super::evidence::{self, Evidence};
use super::flows::Flows;
use super::reason::{Trouble, refusal};
use super::recipient;
use super::session::Session;
use super::start::DELIVERY_PARAM;
use crate::delivery::destination::{Outgoing, Reason, Settled, Verdict};
use crate::rapidpro::client::fault::{self, Fault};
use crate::rapidpro::client::{encode, utc};

/// Pages of 250 starts that a look-up reads.
const PAGES_MAX: usize = 40;

/// # Errors
/// [`Fault`] where it is to be tried again.
pub(super) async fn send(
    session: &mut Session<'_>,
    flows: &Flows,
    outgoing: &Outgoing,
) -> Result<Settled, Fault> {
    let wanted = outgoing.parts.first().and_then(|part| part.wanted.clone()).unwrap_or_default();
    let flow = wanted.get("flow").and_then(Value::as_str);
    let address = wanted.get("contact").and_then(|contact| addressee::address(contact, &outgoing.links));
    let (Some(flow), Some(address)) = (flow, address) else { return Ok(refused(Trouble::Unreadable)) };
    if outgoing.unclear {
        match look_up(session, outgoing).await? {
            Evidence::Found(uuid) => return Ok(accepted(uuid)),
            Evidence::Failed(uuid) => return Ok(failed(uuid)),
            Evidence::Absent if outgoing.superseded => return Ok(Settled::superseded()),
            Evidence::Absent => {}
            Evidence::Unproven => return Ok(refused(Trouble::Unknown)),
        }
    }
    let body = match body(session, flows, (flow, &address), &wanted, &outgoing.id).await? {
        Ok(body) => body,
        Err(trouble) => return Ok(refused(trouble)),
    };
    match session.post("flow_starts", &body).await {
        Ok(answer) => read(&answer),
        Err(fault) if fault.is_permanent() => Ok(refused_because(refusal(&fault))),
        Err(fault) => Err(fault),
    }
}

/// The request, once the person and the flow are known to be fit for it.
async fn body(
    session: &mut Session<'_>,
    flows: &Flows,
    (flow, address): (&str, &Address),
    wanted: &Value,
    delivery: &str,
) -> Result<Result<Value, Trouble>, Fault> {
    let person = match recipient::find(session, address).await? {
        Ok(person) if person.active => person,
        Ok(_) => return Ok(Err(Trouble::ContactNotActive)),
        Err(trouble) => return Ok(Err(trouble)),
    };
    let flow = match flows.find(session, flow).await? {
        Ok(flow) => flow,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let mut params = wanted.get("params").and_then(Value::as_object).cloned().unwrap_or_default();
    params.insert(DELIVERY_PARAM.to_owned(), json!(delivery));
    Ok(Ok(json!({
        "flow": flow,
        "contacts": [person.uuid],
        "params": params,
        "restart_participants": true,
    })))
}

fn read(answer: &Value) -> Result<Settled, Fault> {
    let Some(uuid) = answer.get("uuid").and_then(Value::as_str) else {
        return Err(fault::silent("rapidpro-answer-unreadable", "the answer is not a flow start", true));
    };
    // 9.0 says `pending` and fails it later; from 10.3.2 on mailroom is asked at once.
    if evidence::is_failed(answer) {
        return Ok(failed(uuid.to_owned()));
    }
    Ok(accepted(uuid.to_owned()))
}

/// Looks for the start that an earlier request may have made, by the delivery's id in its parameters.
///
/// Ascending, so that a start whose status changes meanwhile moves to where it is read again.
async fn look_up(session: &mut Session<'_>, outgoing: &Outgoing) -> Result<Evidence, Fault> {
    let after = utc(evidence::since(outgoing.begun_ms));
    let mut query = encode(&[("reverse", "true"), ("after", &after)]);
    let mut failed = None;
    for _ in 0..PAGES_MAX {
        let page = session.page("flow_starts", &query).await?;
        for start in page.results.iter().filter(|start| is_of(start, &outgoing.id)) {
            match start.get("uuid").and_then(Value::as_str) {
                // One that failed may have been tried anew: another may follow.
                Some(uuid) if evidence::is_failed(start) => failed = Some(uuid.to_owned()),
                Some(uuid) => return Ok(Evidence::Found(uuid.to_owned())),
                None => {}
            }
        }
        match page.next {
            Some(next) => query = next,
            None => {
                let nothing = || evidence::nothing(true, outgoing.begun_ms, jiff::Timestamp::now());
                return Ok(failed.map_or_else(nothing, Evidence::Failed));
            }
        }
    }
    Ok(evidence::nothing(false, outgoing.begun_ms, jiff::Timestamp::now()))
}

fn is_of(start: &Value, delivery: &str) -> bool {
    start.get("params").and_then(|params| params.get(DELIVERY_PARAM)).is_some_and(|id| id == delivery)
}

pub(super) fn accepted(remote: String) -> Settled {
    Settled { parts: vec![Verdict::Accepted], remote: Some(remote), notes: Vec::new() }
}

fn failed(remote: String) -> Settled {
    Settled { remote: Some(remote), ..refused(Trouble::StartFailed) }
}

pub(super) fn refused(trouble: Trouble) -> Settled {
    refused_because(trouble.reason())
}

pub(super) fn refused_because(reason: Reason) -> Settled {
    Settled { parts: vec![Verdict::Refused(reason)], remote: None, notes: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rapidpro::act::recorded;

    #[test]
    fn a_recorded_start_is_found_by_what_its_parameters_hold() {
        let mut start = recorded("flow_starts_post_send_only_with_params")["body"].clone();
        assert_eq!(read(&start).unwrap().remote.as_deref(), start["uuid"].as_str());
        assert!(!is_of(&start, "d1"));
        start["params"][DELIVERY_PARAM] = json!("d1");
        assert!(is_of(&start, "d1") && !is_of(&start, "d2"));
        start["status"] = json!("failed");
        assert!(
            matches!(&read(&start).unwrap().parts[0], Verdict::Refused(reason) if reason.code == "rapidpro-start-failed")
        );
        assert!(read(&json!({})).unwrap_err().unclear);
    }
}
