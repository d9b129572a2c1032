//! Registers data sets as complete, and takes that back.
//!
//! After values only: 2.43 cannot register a period that it has never stored, and takes the other
//! registrations of the request down with it. Its answers name no row, so whatever is not plainly stored is
//! sent again one by one.

use super::check::{Content, Resolved};
use super::request;
use super::sending::{Sending, failure_of};
use crate::delivery::destination::{FailureKind, Verdict};
use crate::dhis2::answer::{Meaning, Parsed, RowVerdict, classify, trace};
use crate::dhis2::client::Request;
use crate::dhis2::metadata::Metadata;
use crate::dhis2::version::Generation;

/// Registrations in one request of the classic importer.
const TOGETHER: usize = 100;

/// Registers and takes back what is still open.
pub(super) async fn complete(sending: &mut Sending<'_>, metadata: &Metadata) {
    let registrations = sending.open(|content| matches!(content, Content::Complete { .. }));
    let together = match sending.version.generation() {
        Generation::Classic => TOGETHER,
        Generation::Pipeline => 1,
    };
    for items in registrations.chunks(together) {
        if items.len() > 1 && sending.may_send() && register_all(sending, items).await {
            continue;
        }
        for at in items {
            register(sending, *at, metadata).await;
        }
    }
    for at in sending.open(|content| matches!(content, Content::Uncomplete)) {
        take_back(sending, at, metadata).await;
    }
}

/// Whether all of them are registered.
async fn register_all(sending: &mut Sending<'_>, items: &[usize]) -> bool {
    let rows: Vec<Resolved> = items.iter().filter_map(|at| resolved(sending, *at)).collect();
    let body = request::registrations(&rows.iter().collect::<Vec<_>>());
    let response = sending.send(Request::post("completeDataSetRegistrations", Vec::new(), &body)).await;
    let stored = response.is_ok_and(|response| {
        classify(&Parsed::of(&response), sending.version.generation()).meaning == Meaning::Stored
    });
    if stored {
        sending.accept(items);
    }
    stored
}

async fn register(sending: &mut Sending<'_>, at: usize, metadata: &Metadata) {
    let Some(row) = resolved(sending, at) else { return };
    if !sending.may_send() {
        return;
    }
    let body = request::registrations(&[&row]);
    let response = sending.send(Request::post("completeDataSetRegistrations", Vec::new(), &body)).await;
    let response = match response {
        Ok(response) => response,
        // Repeating a registration is harmless: nothing needs to be read back.
        Err(failure) => {
            sending.stopped = Some(failure);
            return;
        }
    };
    let parsed = Parsed::of(&response);
    let answer = classify(&parsed, sending.version.generation());
    match (answer.meaning, &parsed.summary) {
        (Meaning::Stored, _) => sending.decide(at, Verdict::Accepted),
        (Meaning::RowByRow | Meaning::GroupRefused, Some(summary)) => {
            let verdict = match trace(summary, answer.meaning, std::slice::from_ref(&row.names)).pop() {
                Some(RowVerdict::Refused(reason)) => Verdict::Refused(reason),
                Some(RowVerdict::Stored) => Verdict::Accepted,
                _ => Verdict::Later(answer.reason()),
            };
            sending.decide(at, verdict);
        }
        (Meaning::Failed { kind: FailureKind::Collision, .. }, _)
            if sending.version.generation() == Generation::Pipeline =>
        {
            register_new_period(sending, at, &row, metadata).await;
        }
        (Meaning::Failed { kind: FailureKind::Collision, .. }, _) => {
            sending.decide(at, Verdict::Later(answer.reason()));
        }
        (Meaning::Failed { kind: FailureKind::Rejected, .. }, _) => {
            sending.decide(at, Verdict::Refused(answer.reason()));
        }
        _ => sending.stopped = Some(failure_of(answer, &response)),
    }
}

/// The other door, which takes a period that is new to the server.
async fn register_new_period(sending: &mut Sending<'_>, at: usize, row: &Resolved, metadata: &Metadata) {
    if !sending.may_send() {
        return;
    }
    let body = request::completion(row, attribute(row, metadata));
    let response = sending.send(Request::post("dataEntry/dataSetCompletion", Vec::new(), &body)).await;
    settle_plain(sending, at, response);
}

async fn take_back(sending: &mut Sending<'_>, at: usize, metadata: &Metadata) {
    let Some(row) = resolved(sending, at) else { return };
    if !sending.may_send() {
        return;
    }
    let names = &row.names;
    let mut query =
        vec![("ds", names.data_set.clone()), ("pe", names.period.clone()), ("ou", names.unit.clone())];
    if let Some((combo, options)) = attribute(&row, metadata) {
        query.push(("cc", combo));
        query.push(("cp", options.join(";")));
    }
    let response = sending.send(Request::delete("completeDataSetRegistrations", query)).await;
    settle_plain(sending, at, response);
}

/// An answer without a summary: 2xx, or a refusal.
fn settle_plain(
    sending: &mut Sending<'_>,
    at: usize,
    response: Result<crate::dhis2::answer::Response, crate::delivery::destination::Failure>,
) {
    match response {
        Err(failure) => sending.stopped = Some(failure),
        Ok(response) if (200..300).contains(&response.status) => sending.decide(at, Verdict::Accepted),
        Ok(response) => {
            let answer = classify(&Parsed::of(&response), sending.version.generation());
            match answer.meaning {
                Meaning::Failed { kind: FailureKind::Rejected, .. } => {
                    sending.decide(at, Verdict::Refused(answer.reason()));
                }
                _ => sending.stopped = Some(failure_of(answer, &response)),
            }
        }
    }
}

fn resolved(sending: &Sending<'_>, at: usize) -> Option<Resolved> {
    sending.items.get(at)?.resolved.clone()
}

/// Category combo and options of an attribute option combo that is not the default.
fn attribute(row: &Resolved, metadata: &Metadata) -> Option<(String, Vec<String>)> {
    let set = metadata.data_sets.get(&row.names.data_set)?;
    let combo = metadata.combos.get(&set.combo).filter(|combo| !combo.is_default)?;
    let own = combo.option_combos.iter().find(|own| own.uid == row.names.attribute)?;
    Some((set.combo.clone(), own.options.iter().map(|option| option.uid.clone()).collect()))
}
