//! Every official R4 example is accepted, indexed and stored to the last digit.
//!
//! Runs when `MJUMBE_R4_EXAMPLES` names the unpacked npm package `hl7.fhir.r4.examples` 4.0.1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use mjumbe::fhir::resource::Resource;
use mjumbe::fhir::{index, resource};
use serde_json::Value;

/// Examples that are not R4, and why.
const KNOWN_WRONG: &[(&str, &str)] = &[
    ("Bundle-v2-valuesets.json", "bad-value Bundle.entry[814].resource.concept[74].code"),
    ("CodeSystem-v2-0550.json", "bad-value CodeSystem.concept[74].code"),
    ("ImplementationGuide-fhir.json", "required-element ImplementationGuide.name"),
    ("Questionnaire-qs1.json", "required-element Questionnaire.item[0].item[0].linkId"),
    ("SearchParameter-codesystem-extensions-CodeSystem-author.json", "required-element SearchParameter.base"),
    (
        "SearchParameter-codesystem-extensions-CodeSystem-effective.json",
        "required-element SearchParameter.base",
    ),
    ("SearchParameter-codesystem-extensions-CodeSystem-end.json", "required-element SearchParameter.base"),
    (
        "SearchParameter-codesystem-extensions-CodeSystem-keyword.json",
        "required-element SearchParameter.base",
    ),
    (
        "SearchParameter-codesystem-extensions-CodeSystem-workflow.json",
        "required-element SearchParameter.base",
    ),
    (
        "SearchParameter-questionnaireresponse-extensions-QuestionnaireResponse-item-subject.json",
        "bad-value SearchParameter.id",
    ),
    ("SearchParameter-valueset-extensions-ValueSet-author.json", "required-element SearchParameter.base"),
    ("SearchParameter-valueset-extensions-ValueSet-effective.json", "required-element SearchParameter.base"),
    ("SearchParameter-valueset-extensions-ValueSet-end.json", "required-element SearchParameter.base"),
    ("SearchParameter-valueset-extensions-ValueSet-keyword.json", "required-element SearchParameter.base"),
    ("SearchParameter-valueset-extensions-ValueSet-workflow.json", "required-element SearchParameter.base"),
    ("ig-r4.json", "required-element ImplementationGuide.name"),
];

fn examples() -> Option<Vec<PathBuf>> {
    let Some(folder) = std::env::var_os("MJUMBE_R4_EXAMPLES") else {
        println!("skipped: MJUMBE_R4_EXAMPLES does not name the folder of the official examples");
        return None;
    };
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| !matches!(name(path).as_str(), "package.json" | ".index.json"))
        .collect();
    files.sort();
    Some(files)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn official_examples_pass() {
    let Some(files) = examples() else { return };
    let (mut accepted, mut rows) = (0usize, 0usize);
    let mut refused = BTreeMap::new();
    for path in &files {
        let text = std::fs::read(path).unwrap();
        match Resource::parse(&text) {
            Ok(resource) => {
                accepted += 1;
                rows += index::rows(resource.kind(), resource.body(), &TimeZone::UTC).len();
                same_when_read_back(&resource);
            }
            Err(outcome) => {
                let issue = &outcome.issues[0];
                let place = issue.expression.first().cloned().unwrap_or_default();
                refused.insert(name(path), format!("{} {place}", issue.code));
            }
        }
    }
    let wrong: BTreeMap<String, String> =
        KNOWN_WRONG.iter().map(|(file, why)| ((*file).into(), (*why).into())).collect();
    println!("{} examples, {accepted} accepted, {} refused, {rows} index rows", files.len(), refused.len());
    assert!(files.len() > 5_000, "this is not the whole package");
    assert_eq!(refused, wrong);
}

fn same_when_read_back(checked: &Resource) {
    let stored = checked.strip();
    let id = checked.id().unwrap_or("x");
    let text = resource::splice(&stored, id, 7, &resource::instant(1_700_000_000_000));
    let mut back: Value = serde_json::from_str(&text).unwrap();
    let mut wanted = checked.body().clone();
    wanted["id"] = id.into();
    for value in [&mut back, &mut wanted] {
        let mut meta = value["meta"].as_object().cloned().unwrap_or_default();
        meta.retain(|key, _| !matches!(key.as_str(), "versionId" | "lastUpdated"));
        value["meta"] = Value::Object(meta);
    }
    assert_eq!(back, wanted);
}
