//! FHIR's REST interactions: from a request to an answer. <https://hl7.org/fhir/R4/http.html>
//!
//! One path for every resource type: a request is parsed ([`call::Call`]), authorised by what its
//! [`Interaction`] needs, and handed to the file of that interaction.

// Transactions and batches.
mod bundle;
// A request, read.
mod call;
// What this server can do.
pub mod capabilities;
// Codes that searches name by value sets and hierarchies.
mod concepts;
// Histories.
mod history;
// What belongs to the matches of a page.
mod include;
// What known clients send that is not R4.
mod lenient;
// Patients that turned out to be one.
mod merge;
// `$NAME`: the table of operations, and one file for each.
pub mod operation;
// Patch.
mod patch;
// Bundles and interactions as the store writes them.
mod plan;
// From a checked resource to what the store writes.
mod put;
// Read, vread.
mod read;
// Versions as answers.
mod render;
// Searches: on one type, across types, in a compartment.
mod search;
// Code systems, value sets and concept maps that requests refer to.
mod terminology;
// Create, update, delete.
mod write;

pub use lenient::REPAIRED;

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use std::collections::BTreeMap;

use super::answer::{self, Answer};
use super::app::App;
use super::interaction::Interaction;
use crate::fhir::outcome::{IssueType, Outcome};
use call::{Call, Stop};
use search::Place;

type Segments = BTreeMap<String, String>;

/// The base itself.
pub async fn base(
    app: State<Arc<App>>,
    segments: Result<Path<Segments>, PathRejection>,
    request: Request,
) -> Answer {
    below(app, segments, request).await
}

/// Anything below the base.
pub async fn below(
    State(app): State<Arc<App>>,
    segments: Result<Path<Segments>, PathRejection>,
    request: Request,
) -> Answer {
    match segments {
        Ok(Path(segments)) => call::answer(&app, &segments, request).await,
        Err(_) => {
            let text = "what stands for other characters in this path is not UTF-8";
            answer::refusal(&Outcome::error(IssueType::Invalid, "bad-url", text))
        }
    }
}

/// The one table from interactions to their handlers.
async fn dispatch(call: Call, interaction: Interaction) -> Result<Answer, Stop> {
    match interaction {
        Interaction::Capabilities => Ok(capabilities::answer(&call)),
        Interaction::Bundle => bundle::process(&call).await,
        Interaction::Search { kind } => search::search(&call, Place::Type(kind)).await,
        Interaction::SearchSystem => search::search(&call, Place::System).await,
        Interaction::SearchCompartment { compartment, id, kind } => {
            search::search(&call, Place::Compartment { compartment, id, kind }).await
        }
        Interaction::Create { kind } => write::create(&call, &kind).await,
        Interaction::Read { kind, id } => read::read(&call, &kind, &id).await,
        Interaction::Vread { kind, id, version } => read::vread(&call, &kind, &id, &version).await,
        Interaction::History { kind, id } => history::history(&call, history::Of::Resource(&kind, &id)).await,
        Interaction::HistoryType { kind } => history::history(&call, history::Of::Kind(&kind)).await,
        Interaction::HistorySystem => history::history(&call, history::Of::Everything).await,
        Interaction::Update { kind, id } => write::update(&call, &kind, &id).await,
        Interaction::UpdateMatch { kind } => write::update_match(&call, &kind).await,
        Interaction::Patch { kind, id } => patch::patch(&call, &kind, &id).await,
        Interaction::PatchMatch { kind } => patch::patch_match(&call, &kind).await,
        Interaction::DeleteMatch { kind } => write::delete_match(&call, &kind).await,
        Interaction::Delete { kind, id } => write::delete(&call, &kind, &id).await,
        Interaction::Operation { place, operation } => operation::run(&call, &place, operation).await,
    }
}
