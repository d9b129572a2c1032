//! `CodeSystem/$validate-code` and `ValueSet/$validate-code`, by what is stored.
//! <https://hl7.org/fhir/R4/valueset-operation-validate-code.html>
//!
//! A code that cannot be judged, because a system is not stored, is an error and never "false".

use serde_json::{Value, json};

use super::super::super::answer::Answer;
use super::super::call::{Call, Stop};
use super::super::terminology::{self, apart};
use super::expand::VALUE_SET;
use super::stored::{self, Asked, Named, shown};
use super::{Arguments, Place, answered};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::terminology::expand::{self, Code};
use crate::fhir::terminology::{Canonical, System, not_supported};

const CODE_SYSTEM: Named =
    Named { kind: "CodeSystem", resource: "codeSystem", url: "url", version: "version" };

/// What became of a code.
struct Verdict {
    result: bool,
    message: Option<String>,
    display: Option<String>,
}

/// `CodeSystem/$validate-code`
pub async fn in_system(call: &Call, place: &Place, arguments: &Arguments) -> Result<Answer, Stop> {
    let mut all = stored::asked(arguments, "version")?;
    let given = stored::named(call, place, arguments, &CODE_SYSTEM).await?;
    let given = match given {
        Some(given) => Some(apart(move || System::read(&given)).await?),
        None => None,
    };
    let mut verdict = None;
    for asked in &mut all {
        let own;
        let system = match &given {
            Some(system) => {
                asked.system.get_or_insert_with(|| system.url.clone());
                system
            }
            None => {
                own = system_of(call, asked).await?;
                &own
            }
        };
        let found =
            if asked.system.as_deref() == Some(&system.url) { system.find(&asked.code) } else { None };
        let this = judged(asked, found.map(|concept| concept.display.clone()), "its code system");
        if verdict.as_ref().is_none_or(|known: &Verdict| !known.result) {
            verdict = Some(this);
        }
    }
    Ok(told(call, verdict))
}

async fn system_of(call: &Call, asked: &Asked) -> Result<System, Stop> {
    let Some(system) = &asked.system else {
        let text = "the operation needs the code's `system`, or the `url` of a code system";
        return Err(Outcome::error(IssueType::Required, "parameter-missing", text).into());
    };
    let canonical = Canonical::parse(system).or_version(asked.version.as_deref());
    let found = terminology::system(call, &canonical).await?;
    Ok(found.ok_or_else(|| {
        let text = format!("the code system of {} is not stored here", shown(asked));
        not_supported("terminology-unknown", text).status(404)
    })?)
}

/// `ValueSet/$validate-code`
pub async fn in_set(call: &Call, place: &Place, arguments: &Arguments) -> Result<Answer, Stop> {
    let all = stored::asked(arguments, "systemVersion")?;
    let set = stored::named(call, place, arguments, &VALUE_SET).await?;
    let set = set.ok_or_else(|| {
        let text = "the operation needs a value set: `url`, `valueSet`, or the id in the path";
        Outcome::error(IssueType::Required, "parameter-missing", text)
    })?;
    let whole = terminology::whole(call, set).await?;
    let verdict = apart(move || {
        let codes = expand::codes(&whole.set, &whole.known)?;
        let mut verdict = None;
        for asked in &all {
            let this = judged(asked, member(&codes, asked).map(|code| code.display.clone()), "the value set");
            if verdict.as_ref().is_none_or(|known: &Verdict| !known.result) {
                verdict = Some(this);
            }
        }
        Ok(verdict)
    });
    Ok(told(call, verdict.await?))
}

/// Without a system the code counts where only one system of the set has it.
fn member<'a>(codes: &'a [Code], asked: &Asked) -> Option<&'a Code> {
    let fits = |code: &&Code| {
        code.code == asked.code && asked.system.as_deref().is_none_or(|system| system == code.system)
    };
    let mut found = codes.iter().filter(fits);
    let first = found.next();
    if asked.system.is_none() && found.next().is_some() { None } else { first }
}

fn judged(asked: &Asked, found: Option<Option<String>>, place: &str) -> Verdict {
    let Some(display) = found else {
        let message = format!("there is no code {} in {place}", shown(asked));
        return Verdict { result: false, message: Some(message), display: None };
    };
    let wrong = asked.display.as_deref().zip(display.as_deref()).is_some_and(|(given, own)| {
        crate::fhir::index::text::normal(given) != crate::fhir::index::text::normal(own)
    });
    let message = wrong.then(|| "the display is not that of the code".to_owned());
    Verdict { result: !wrong, message, display }
}

fn told(call: &Call, verdict: Option<Verdict>) -> Answer {
    let verdict = verdict.unwrap_or(Verdict { result: false, message: None, display: None });
    let mut all: Vec<Value> = vec![json!({ "name": "result", "valueBoolean": verdict.result })];
    if let Some(message) = verdict.message {
        all.push(json!({ "name": "message", "valueString": message }));
    }
    if let Some(display) = verdict.display {
        all.push(json!({ "name": "display", "valueString": display }));
    }
    answered(call, &json!({ "resourceType": "Parameters", "parameter": all }))
}
