//! Every official R4 example is accepted, stored to the last digit, read back equal in JSON and in XML, and found
//! by a search parameter of its own. What does not is listed here and in docs/r4-examples.md.
//!
//! Runs when `MJUMBE_R4_EXAMPLES` names the unpacked npm package `hl7.fhir.r4.examples` 4.0.1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use jiff::tz::TimeZone;
use mjumbe::fhir::index::{self, IndexValue};
use mjumbe::fhir::parameters;
use mjumbe::fhir::resource::{self, Resource};
use mjumbe::fhir::xml::{self, Layout};
use mjumbe::store::testing::each_store;
use serde_json::Value;
use url::form_urlencoded;

use crate::server::TestServer;

/// Examples that are not R4, and why.
const KNOWN_WRONG: &[(&str, &str)] = &[
    ("Bundle-dataelements.json", "bdl-7 Bundle"),
    ("Bundle-v2-valuesets.json", "bad-value Bundle.entry[814].resource.concept[74].code"),
    ("CodeSystem-v2-0550.json", "bad-value CodeSystem.concept[74].code"),
    ("DeviceMetric-example.json", "wrong-target DeviceMetric.parent.reference"),
    ("DeviceUseStatement-example.json", "wrong-target DeviceUseStatement.reasonReference[0].reference"),
    ("ImplementationGuide-fhir.json", "required-element ImplementationGuide.name"),
    (
        "MedicationRequest-medrx0301.json",
        "wrong-target MedicationRequest.dispenseRequest.performer.reference",
    ),
    ("Observation-clinical-gender.json", "wrong-target Observation.performer[0].reference"),
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
    ("StructureDefinition-Definition.json", "sdf-4 StructureDefinition"),
    ("StructureDefinition-Event.json", "sdf-4 StructureDefinition"),
    ("StructureDefinition-FiveWs.json", "sdf-4 StructureDefinition"),
    ("StructureDefinition-Request.json", "sdf-4 StructureDefinition"),
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

/// What is stored comes back to the last digit, in JSON and by way of XML.
fn same_when_read_back(checked: &Resource) {
    let stored = checked.strip();
    let id = checked.id().unwrap_or("x");
    let text = resource::splice(&stored, id, 7, &resource::instant(1_700_000_000_000));
    let back: Value = serde_json::from_str(&text).unwrap();
    let mut wanted = checked.body().clone();
    wanted["id"] = id.into();
    assert_eq!(without_version(back.clone()), without_version(wanted));
    let place = format!("{}/{id}", checked.kind());
    let wanted = with_xmls_line_ends(back.clone());
    for layout in [Layout::Compact, Layout::Pretty] {
        let text = xml::write(&back, layout).unwrap_or_else(|outcome| panic!("{place}: {outcome}"));
        let again = xml::read(text.as_bytes()).unwrap_or_else(|outcome| panic!("{place}: {outcome}"));
        assert_eq!(difference(&again, &wanted, &place), None, "after XML");
    }
}

/// A narrative is XML, in which every line ends with `\n`. <https://www.w3.org/TR/xml/#sec-line-ends>
fn with_xmls_line_ends(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for (name, member) in members {
                *member = match with_xmls_line_ends(member.take()) {
                    Value::String(div) if name == "div" => {
                        div.replace("\r\n", "\n").replace('\r', "\n").into()
                    }
                    other => other,
                };
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = with_xmls_line_ends(item.take());
            }
        }
        _ => {}
    }
    value
}

/// Where two values first differ.
fn difference(one: &Value, other: &Value, place: &str) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) if one.len() == other.len() => one
            .iter()
            .find_map(|(key, value)| difference(value, other.get(key)?, &format!("{place}.{key}")))
            .or_else(|| (one != other).then(|| place.to_owned())),
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(at, (one, other))| difference(one, other, &format!("{place}[{at}]")))
        }
        _ => (one != other).then(|| format!("{place}: {one} and {other}")),
    }
}

/// Without what the server sets.
fn without_version(mut resource: Value) -> Value {
    let mut meta = resource["meta"].as_object().cloned().unwrap_or_default();
    meta.retain(|key, _| !matches!(key.as_str(), "versionId" | "lastUpdated"));
    resource["meta"] = Value::Object(meta);
    resource
}

/// Examples that are stored and that no parameter of their type finds, and why: the table of docs/r4-examples.md.
const NOT_FOUND: &[(&str, &str)] = &[];

/// Examples under work at once.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn official_examples_are_stored_read_back_and_found() {
    let Some(files) = examples() else { return };
    let known_wrong: Vec<&str> = KNOWN_WRONG.iter().map(|(file, _)| *file).collect();
    // Several files hold the same Type/id: one after another.
    let mut by_place: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    for path in files.iter().filter(|path| !known_wrong.contains(&name(path).as_str())) {
        let mut resource: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let kind = resource["resourceType"].as_str().unwrap().to_owned();
        let id = resource["id"]
            .as_str()
            .map_or_else(|| name(path).replace(".json", "").to_lowercase(), str::to_owned);
        resource["id"] = id.as_str().into();
        by_place.entry(format!("{kind}/{id}")).or_default().push((name(path), resource));
    }
    let places = Arc::new(by_place);
    each_store(move |store| {
        let places = Arc::clone(&places);
        async move {
            let server = TestServer::start(store).await;
            let answers = places.iter().map(|(place, examples)| one_place(&server, place, examples));
            let missed: Vec<Vec<(String, String)>> =
                futures::stream::iter(answers).buffer_unordered(AT_ONCE).collect().await;
            let missed: BTreeMap<String, String> = missed.into_iter().flatten().collect();
            let known: BTreeMap<String, String> =
                NOT_FOUND.iter().map(|(file, why)| ((*file).into(), (*why).into())).collect();
            println!("{} places, {} not found", places.len(), missed.len());
            assert_eq!(missed, known);
            server.stop().await;
        }
    })
    .await;
}

/// Stores, reads in both formats and searches the examples of one Type/id; gives those that were not found.
async fn one_place(server: &TestServer, place: &str, examples: &[(String, Value)]) -> Vec<(String, String)> {
    let mut missed = Vec::new();
    for (file, resource) in examples {
        let put = server.put(place, resource).await;
        assert!(put.status.is_success(), "{file}: {}", put.body);
        let json = server.get(place).await.body;
        assert!(
            without_version(json.clone()) == without_version(resource.clone()),
            "{file} came back changed"
        );
        let read = server.get(&format!("{place}?_format=xml")).await;
        let text = read.body.as_str().unwrap_or_else(|| panic!("{file}: {}", read.body));
        let again = xml::read(text.as_bytes()).unwrap();
        assert_eq!(difference(&again, &with_xmls_line_ends(json), place), None, "{file}: in XML");
        if let Err(why) = found(server, place, resource).await {
            missed.push((file.clone(), why));
        }
    }
    missed
}

/// Whether one of its own parameters finds it.
async fn found(server: &TestServer, place: &str, resource: &Value) -> Result<(), String> {
    let (kind, id) = place.split_once('/').unwrap();
    let mut rows = index::rows(kind, resource, &TimeZone::UTC);
    rows.sort_by_key(|row| match &row.value {
        IndexValue::Uri(_) => 0,
        IndexValue::Token { system, .. } if !system.is_empty() => 1,
        IndexValue::Reference { .. } => 2,
        IndexValue::Text { .. } => 3,
        _ => 4,
    });
    let named = rows.iter().filter_map(|row| {
        let parameter = parameters::of(kind).iter().find(|parameter| parameter.key == row.parameter)?;
        // What every type has says nothing about this one.
        (!parameter.code.starts_with('_')).then_some(())?;
        Some((parameter.code, searched(&row.value)?))
    });
    let Some((code, value)) = named.clone().next() else { return Err("nothing in it is indexed".to_owned()) };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair(code, &value)
        .append_pair("_id", id)
        .finish();
    let answer = server.get(&format!("{kind}?{query}")).await;
    assert_eq!(answer.status, 200, "{kind}?{query}: {}", answer.body);
    match answer.entries("match").as_slice() {
        [one] if one["id"] == *id => Ok(()),
        _ => Err(format!("{code} does not find it")),
    }
}

/// A value as a client writes it.
fn searched(value: &IndexValue) -> Option<String> {
    let escaped = |text: &str| {
        text.chars()
            .flat_map(|c| "\\,|$".contains(c).then_some('\\').into_iter().chain([c]))
            .collect::<String>()
    };
    match value {
        IndexValue::Uri(uri) => Some(escaped(uri)),
        IndexValue::Token { system, code, .. } if !code.is_empty() => match system.as_str() {
            "" => Some(escaped(code)),
            system => Some(format!("{}|{}", escaped(system), escaped(code))),
        },
        IndexValue::Text { exact, .. } => Some(escaped(exact)),
        IndexValue::Reference { kind, id, .. } if !id.is_empty() => Some(format!("{kind}/{id}")),
        IndexValue::Reference { url, .. } if !url.is_empty() => Some(escaped(url)),
        IndexValue::Date { low, high } => {
            let instant = |ms: i64| jiff::Timestamp::from_millisecond(ms).map(|time| format!("{time:.3}"));
            // Any moment within.
            let middle = instant(low.midpoint(*high)).ok()?;
            (*low > -60_000_000_000_000 && *high < 250_000_000_000_000).then(|| format!("ap{middle}"))
        }
        IndexValue::Number { low, high } if low == high => Some(low.to_string()),
        _ => None,
    }
}
