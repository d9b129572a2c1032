//! Every official R4 example is accepted, stored to the last digit, read back equal in JSON and in XML, and found
//! by every search parameter for which it has a value. What does not is listed here and in docs/r4-examples.md.
//!
//! Runs when `MJUMBE_R4_EXAMPLES` names the unpacked npm package `hl7.fhir.r4.examples` 4.0.1, or is `fetch`: then
//! npm gets it, once. `MJUMBE_R4_ONLY=Observation-` tries only the files whose names contain it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use jiff::tz::TimeZone;
use mjumbe::config::Config;
use mjumbe::fhir::index::{self, IndexValue};
use mjumbe::fhir::parameters;
use mjumbe::fhir::resource::{self, Resource};
use mjumbe::fhir::xml::{self, Layout};
use mjumbe::store::testing::each_store;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::form_urlencoded;

use crate::server::TestServer;

/// Examples that are not R4, and why.
const KNOWN_WRONG: &[(&str, &str)] = &[
    ("ActivityDefinition-blood-tubes-supply.json", "bad-value ActivityDefinition.text.div"),
    ("ActivityDefinition-heart-valve-replacement.json", "bad-value ActivityDefinition.text.div"),
    ("Bundle-dataelements.json", "bdl-7 Bundle"),
    ("Bundle-v2-valuesets.json", "bad-value Bundle.entry[814].resource.concept[74].code"),
    ("CodeSystem-v2-0550.json", "bad-value CodeSystem.concept[74].code"),
    ("DeviceMetric-example.json", "wrong-target DeviceMetric.parent.reference"),
    ("DeviceUseStatement-example.json", "wrong-target DeviceUseStatement.reasonReference[0].reference"),
    ("EventDefinition-example.json", "bad-value EventDefinition.text.div"),
    (
        "ImplementationGuide-fhir.json",
        "bad-reference ImplementationGuide.manifest.resource[11904].reference.reference",
    ),
    (
        "MedicationRequest-medrx0301.json",
        "wrong-target MedicationRequest.dispenseRequest.performer.reference",
    ),
    ("Observation-clinical-gender.json", "wrong-target Observation.performer[0].reference"),
    ("Questionnaire-zika-virus-exposure-assessment.json", "bad-value Questionnaire.text.div"),
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
    ("ig-r4.json", "bad-reference ImplementationGuide.manifest.resource[11904].reference.reference"),
];

const PACKAGE: &str = "hl7.fhir.r4.examples";
const VERSION: &str = "4.0.1";

/// Where the official examples are, or why the tests are skipped.
static FOLDER: LazyLock<Result<PathBuf, String>> =
    LazyLock::new(|| match std::env::var("MJUMBE_R4_EXAMPLES").unwrap_or_default().as_str() {
        "" => Err("MJUMBE_R4_EXAMPLES does not name the folder of the official examples".to_owned()),
        "fetch" => fetched(Path::new(env!("CARGO_TARGET_TMPDIR"))),
        folder => Ok(folder.into()),
    });

/// The package, unpacked below `target`; what is there already is used again.
fn fetched(target: &Path) -> Result<PathBuf, String> {
    let name = format!("{PACKAGE}-{VERSION}");
    let folder = target.join(&name);
    if !folder.is_dir() {
        let part = target.join(format!("{name}.part"));
        let _ = std::fs::remove_dir_all(&part);
        std::fs::create_dir_all(&part).unwrap();
        let wanted = format!("{PACKAGE}@{VERSION}");
        run(Command::new("npm").args(["pack", "--silent", &wanted]).current_dir(&part))?;
        run(Command::new("tar").args(["-xzf", &format!("{name}.tgz")]).current_dir(&part))?;
        // Whole or not at all.
        std::fs::rename(&part, &folder).unwrap();
    }
    Ok(folder.join("package"))
}

/// Without npm there is nothing to test; what npm cannot do is a failure.
fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(format!("there is no {program}")),
        Err(error) => panic!("{program}: {error}"),
    }
}

/// Those that `MJUMBE_R4_ONLY` asks for; all where it says nothing.
fn examples() -> Option<Vec<PathBuf>> {
    let folder = match &*FOLDER {
        Ok(folder) => folder,
        Err(why) => {
            println!("skipped: {why}");
            return None;
        }
    };
    let only = only();
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| !matches!(name(path).as_str(), "package.json" | ".index.json"))
        .filter(|path| name(path).contains(&only))
        .collect();
    files.sort();
    Some(files)
}

fn only() -> String {
    std::env::var("MJUMBE_R4_ONLY").unwrap_or_default()
}

/// Of a table of file names and reasons, the rows of this run.
fn rows(table: &[(&str, &str)]) -> BTreeMap<String, String> {
    let only = only();
    let rows = table.iter().filter(|(file, _)| file.contains(&only));
    rows.map(|(file, why)| ((*file).to_owned(), (*why).to_owned())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// How many examples the package has; its file 5,307 is `package.json`.
const WHOLE: usize = 5_306;

#[test]
fn official_examples_pass() {
    let Some(files) = examples() else { return };
    let (mut accepted, mut values) = (0usize, 0usize);
    let mut refused = BTreeMap::new();
    for path in &files {
        let text = std::fs::read(path).unwrap();
        match Resource::parse(&text) {
            Ok(resource) => {
                accepted += 1;
                values += index::rows(resource.kind(), resource.body(), &TimeZone::UTC).len();
                same_when_read_back(&resource);
            }
            Err(outcome) => {
                let issue = &outcome.issues[0];
                let place = issue.expression.first().cloned().unwrap_or_default();
                refused.insert(name(path), format!("{} {place}", issue.code));
            }
        }
    }
    println!("{} examples, {accepted} accepted, {} refused, {values} index rows", files.len(), refused.len());
    assert!(files.len() == WHOLE || !only().is_empty(), "this is not the whole package");
    assert_eq!(refused, rows(KNOWN_WRONG));
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
const NOT_FOUND: &[(&str, &str)] = &[
    ("Binary-example.json", NOTHING),
    ("Binary-f006.json", NOTHING),
    ("BiologicallyDerivedProduct-example.json", NOTHING),
    ("CatalogEntry-example.json", NOTHING),
    ("DetectedIssue-allergy.json", NOTHING),
    ("DetectedIssue-lab.json", NOTHING),
    ("MedicinalProductContraindication-example.json", NOTHING),
    ("MedicinalProductIndication-example.json", NOTHING),
    ("MedicinalProductIngredient-example.json", NOTHING),
    ("MedicinalProductInteraction-example.json", NOTHING),
    ("MedicinalProductManufactured-example.json", NOTHING),
    ("MedicinalProductUndesirableEffect-example.json", NOTHING),
    ("ObservationDefinition-example.json", NOTHING),
    ("OperationOutcome-101.json", NOTHING),
    ("OperationOutcome-allok.json", NOTHING),
    ("OperationOutcome-break-the-glass.json", NOTHING),
    ("OperationOutcome-exception.json", NOTHING),
    ("OperationOutcome-searchfail.json", NOTHING),
    ("OperationOutcome-validationfail.json", NOTHING),
    ("SubstanceSpecification-example.json", NOTHING),
    ("VerificationResult-example.json", NOTHING),
];
const NOTHING: &str = "nothing in it is indexed";

/// Examples under work at once.
const AT_ONCE: usize = 4;

/// What is wrong with an example.
enum Fault {
    NotFound(String),
    Changed(String),
}

type Place = (String, Vec<(String, Value)>);

#[tokio::test(flavor = "multi_thread")]
async fn official_examples_are_stored_read_back_and_found() {
    let Some(files) = examples() else { return };
    let places = Arc::new(places(&files));
    each_store(move |store| {
        let places = Arc::clone(&places);
        async move {
            let began = std::time::Instant::now();
            let mut config = Config::default();
            // What is built for tests is slow, and the largest example has 35 MB.
            config.server.request_timeout_s = 900;
            let server = Arc::new(TestServer::start_with(store, config).await);
            let (mut missed, mut changed) = (BTreeMap::new(), Vec::new());
            for (file, fault) in all(&server, &places).await {
                match fault {
                    Fault::NotFound(why) => drop(missed.insert(file, why)),
                    Fault::Changed(why) => changed.push(format!("{file}: {why}")),
                }
            }
            println!("{} places in {:?}, {} not found", places.len(), began.elapsed(), missed.len());
            assert_eq!((missed, changed), (rows(NOT_FOUND), Vec::new()));
            Arc::into_inner(server).unwrap().stop().await;
        }
    })
    .await;
}

/// The examples that are R4, by Type/id: several files have the same. The largest first.
fn places(files: &[PathBuf]) -> Vec<Arc<Place>> {
    let known_wrong = rows(KNOWN_WRONG);
    let mut by_place: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    for path in files.iter().filter(|path| !known_wrong.contains_key(&name(path))) {
        let text = std::fs::read(path).unwrap();
        let mut resource: Value = serde_json::from_slice(&text).unwrap();
        let kind = resource["resourceType"].as_str().unwrap().to_owned();
        let id = resource["id"]
            .as_str()
            .map_or_else(|| name(path).replace(".json", "").to_lowercase(), str::to_owned);
        resource["id"] = id.as_str().into();
        let place = format!("{kind}/{id}");
        *sizes.entry(place.clone()).or_default() += text.len() as u64;
        by_place.entry(place).or_default().push((name(path), resource));
    }
    let mut places: Vec<Arc<Place>> = by_place.into_iter().map(Arc::new).collect();
    places.sort_by_key(|place| std::cmp::Reverse(sizes[&place.0]));
    places
}

/// Some at once; gives what is wrong with which file.
async fn all(server: &Arc<TestServer>, places: &[Arc<Place>]) -> Vec<(String, Fault)> {
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let (mut tasks, mut faults) = (JoinSet::new(), Vec::new());
    for place in places {
        let permit = Arc::clone(&free).acquire_owned().await.unwrap();
        let (server, place) = (Arc::clone(server), Arc::clone(place));
        tasks.spawn(async move {
            let mut faults = Vec::new();
            // One after another, as they take each other's place.
            for (file, resource) in &place.1 {
                if let Err(fault) = one(&server, &place.0, resource).await {
                    faults.push((file.clone(), fault));
                }
            }
            drop(permit);
            faults
        });
        while let Some(done) = tasks.try_join_next() {
            faults.extend(done.unwrap());
        }
    }
    while let Some(done) = tasks.join_next().await {
        faults.extend(done.unwrap());
    }
    faults
}

/// Stores one, reads it in both formats and searches it.
async fn one(server: &TestServer, place: &str, resource: &Value) -> Result<(), Fault> {
    let put = server.put(place, resource).await;
    if !put.status.is_success() {
        return Err(Fault::Changed(format!("{}: {}", put.status, put.body)));
    }
    let json = server.get(place).await.body;
    if without_version(json.clone()) != without_version(resource.clone()) {
        return Err(Fault::Changed("it came back otherwise".to_owned()));
    }
    let read = server.get(&format!("{place}?_format=xml")).await;
    let Some(text) = read.body.as_str() else {
        return Err(Fault::Changed(format!("no XML: {}", read.body)));
    };
    let again = xml::read(text.as_bytes()).map_err(|outcome| Fault::Changed(outcome.to_string()))?;
    if let Some(place) = difference(&again, &with_xmls_line_ends(json), place) {
        return Err(Fault::Changed(format!("in XML: {place}")));
    }
    found(server, place, resource).await
}

/// Whether its own parameters find it: all for which it has a value that can be written, asked together.
async fn found(server: &TestServer, place: &str, resource: &Value) -> Result<(), Fault> {
    let (kind, id) = place.split_once('/').unwrap();
    let mut asked: BTreeMap<&str, String> = BTreeMap::new();
    for row in index::rows(kind, resource, &TimeZone::UTC) {
        let parameter = parameters::of(kind).iter().find(|parameter| parameter.key == row.parameter);
        // What every type has says nothing about this one.
        let Some(parameter) = parameter.filter(|parameter| !parameter.code.starts_with('_')) else {
            continue;
        };
        if parameter.code == "near" {
            let degrees = |name: &str| resource["position"][name].to_string();
            asked.insert("near", format!("={}|{}", degrees("latitude"), degrees("longitude")));
            continue;
        }
        if let Some((modifier, value)) = searched(&row.value) {
            asked.entry(parameter.code).or_insert_with(|| format!("{modifier}={value}"));
        }
    }
    if asked.is_empty() {
        return Err(Fault::NotFound("nothing in it is indexed".to_owned()));
    }
    if is_found(server, (kind, id), asked.iter().map(|(code, value)| format!("{code}{value}"))).await? {
        return Ok(());
    }
    for (code, value) in asked {
        if !is_found(server, (kind, id), [format!("{code}{value}")].into_iter()).await? {
            return Err(Fault::NotFound(format!("{code}{value} does not find it")));
        }
    }
    Err(Fault::NotFound("all its parameters together do not find it".to_owned()))
}

async fn is_found(
    server: &TestServer,
    (kind, id): (&str, &str),
    parameters: impl Iterator<Item = String>,
) -> Result<bool, Fault> {
    let pairs: Vec<String> = parameters.collect();
    let pairs = pairs.iter().map(|pair| pair.split_once('=').unwrap()).chain([("_id", id)]);
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let answer = server.get(&format!("{kind}?{query}")).await;
    if answer.status != 200 {
        return Err(Fault::Changed(format!("{query}: {}", answer.body)));
    }
    Ok(matches!(answer.entries("match").as_slice(), [one] if one["id"] == *id))
}

/// A value as a client writes it, with the modifier that it needs.
fn searched(value: &IndexValue) -> Option<(&'static str, String)> {
    let plain = |value: String| Some(("", value));
    let escaped = |text: &str| {
        text.chars()
            .flat_map(|c| "\\,|$".contains(c).then_some('\\').into_iter().chain([c]))
            .collect::<String>()
    };
    match value {
        IndexValue::Uri(uri) => plain(escaped(uri)),
        IndexValue::Token { system, code, .. } if !code.is_empty() => plain(match system.as_str() {
            "" => escaped(code),
            system => format!("{}|{}", escaped(system), escaped(code)),
        }),
        IndexValue::Token { text, .. } if !text.is_empty() => Some((":text", escaped(text))),
        IndexValue::Text { exact, .. } if !exact.is_empty() => plain(escaped(exact)),
        IndexValue::Reference { kind, id, .. } if !id.is_empty() => plain(format!("{kind}/{id}")),
        IndexValue::Reference { url, .. } if !url.is_empty() => plain(escaped(url)),
        IndexValue::Reference { identifier, .. } if !identifier.is_empty() => {
            let (system, value) = identifier.split_once('|').unwrap_or(("", identifier));
            Some((":identifier", format!("{}|{}", escaped(system), escaped(value))))
        }
        IndexValue::Date { low, high } => {
            let instant = |ms: i64| jiff::Timestamp::from_millisecond(ms).map(|time| format!("{time:.3}"));
            // Any moment within.
            let middle = instant(low.midpoint(*high)).ok()?;
            let written = *low > -60_000_000_000_000 && *high < 250_000_000_000_000;
            written.then(|| ("", format!("ap{middle}")))
        }
        IndexValue::Number { low, high } | IndexValue::Quantity { low, high, .. } if low == high => {
            plain(format!("ap{low}"))
        }
        _ => None,
    }
}
