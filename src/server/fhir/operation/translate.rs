//! `ConceptMap/$translate` by the maps that are stored or given.
//! <https://hl7.org/fhir/R4/conceptmap-operation-translate.html>

use std::collections::HashSet;

use serde_json::{Value, json};

use super::super::super::answer::Answer;
use super::super::call::{Call, Stop};
use super::super::terminology::{self, apart};
use super::stored::{self, Asked, Named};
use super::{Arguments, Place, answered};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::query::Match;
use crate::fhir::terminology::too_costly;
use crate::fhir::terminology::translate::{self, Coding, Translation, Wanted};

const CONCEPT_MAP: Named =
    Named { kind: "ConceptMap", resource: "conceptMap", url: "url", version: "conceptMapVersion" };
/// Maps that are asked where the caller names none.
const MAPS_MAX: usize = 100;
/// Translations of an answer, at most.
const TRANSLATIONS_MAX: usize = 1000;

/// `GET ConceptMap/$translate?url=…&system=…&code=…`, `GET ConceptMap/id/$translate`, and by POST.
pub async fn translate(call: &Call, place: &Place, arguments: &Arguments) -> Result<Answer, Stop> {
    let asked = stored::asked(arguments, "version")?;
    let wanted =
        Wanted { target_system: arguments.text("targetsystem")?, reverse: arguments.is_set("reverse")? };
    let maps = match stored::named(call, place, arguments, &CONCEPT_MAP).await? {
        Some(map) => vec![map],
        None => fitting(call, &asked, &wanted).await?,
    };
    let found = apart(move || translated(&maps, asked, &wanted)).await?;
    Ok(answered(call, &told(&found)))
}

/// What all maps say, each thing once.
fn translated(maps: &[Value], asked: Vec<Asked>, wanted: &Wanted) -> Result<Vec<Translation>, Outcome> {
    let mut found: Vec<Translation> = Vec::new();
    let mut seen = HashSet::new();
    for one in asked {
        let coding = Coding { system: one.system, code: one.code };
        for translation in maps.iter().flat_map(|map| translate::translate(map, &coding, wanted)) {
            if seen.insert(translation.clone()) {
                found.push(translation);
            }
            if found.len() > TRANSLATIONS_MAX {
                let why = format!("the code has more than {TRANSLATIONS_MAX} translations");
                return Err(too_costly(&why).hint("name one map by `url`, or a `targetsystem`"));
            }
        }
    }
    Ok(found)
}

/// All active maps from the systems of the codes.
async fn fitting(call: &Call, asked: &[Asked], wanted: &Wanted) -> Result<Vec<Value>, Stop> {
    let systems: Vec<Match> = asked.iter().filter_map(|one| one.system.clone()).map(Match::Uri).collect();
    if systems.is_empty() {
        let text = "the operation needs a concept map (`url`, `conceptMap`, or the id in the path) or the code's `system`";
        return Err(Outcome::error(IssueType::Required, "parameter-missing", text).into());
    }
    let side = if wanted.reverse { "target-system" } else { "source-system" };
    let mut maps = terminology::holding(call, "ConceptMap", (side, systems), MAPS_MAX).await?;
    maps.retain(|map| map["status"] != "retired");
    Ok(maps)
}

fn told(found: &[Translation]) -> Value {
    let result = found.iter().any(Translation::is_match);
    let mut all = vec![json!({ "name": "result", "valueBoolean": result })];
    if !result {
        all.push(json!({ "name": "message", "valueString": "no stored concept map translates the code" }));
    }
    for one in found {
        let mut parts = vec![json!({ "name": "equivalence", "valueCode": one.equivalence })];
        if let Some(concept) = &one.concept {
            parts.push(json!({ "name": "concept", "valueCoding": concept }));
        }
        if let Some(source) = &one.source {
            parts.push(json!({ "name": "source", "valueUri": source }));
        }
        all.push(json!({ "name": "match", "part": parts }));
    }
    json!({ "resourceType": "Parameters", "parameter": all })
}
