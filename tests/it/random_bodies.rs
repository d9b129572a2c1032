//! Random bodies, mostly broken ones, in JSON and XML: each is stored and comes back as it was, or is refused with an
//! OperationOutcome that says where.
//!
//! `MJUMBE_SEED` gives other bodies, `MJUMBE_ROUNDS` more of them.

use mjumbe::fhir::xml::{self, Layout};
use mjumbe::store::testing::each_store;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

const SEED: u64 = 20_261_121;
const ROUNDS: usize = 250;

/// Refusals of a resource that are about no element of it.
const WITHOUT_PLACE: &[&str] = &[
    "not-json",
    "not-xml",
    "not-utf8",
    "unsupported-media-type",
    "not-an-object",
    "no-resource-type",
    "unknown-type",
    "too-deep",
    "not-a-bundle",
    "body-broken",
];

const CONTENT_TYPES: [&str; 14] = [
    "application/fhir+json",
    "application/fhir+json; charset=utf-8",
    "application/json",
    "application/fhir+xml",
    "text/xml",
    "application/fhir+json; charset=utf-16",
    "application/fhir+json; charset=iso-8859-1",
    "application/fhir+json; fhirVersion=3.0",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json-patch+json",
    "multipart/form-data; boundary=x",
    "",
    ";;=;",
];

fn samples() -> Vec<Value> {
    let patient = json!({"resourceType": "Patient", "id": "p1", "active": true, "birthDate": "2021-03-04",
        "_birthDate": {"extension": [{"url": "http://example.org/e", "valueDecimal": 1.50}]},
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a &amp; b</p></div>"},
        "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
        "managingOrganization": {"reference": "#o"}, "multipleBirthInteger": 2,
        "name": [{"family": "A", "given": ["B", null], "_given": [null, {"id": "x"}], "period": {"start": "2020", "end": "2021"}}],
        "contact": [{"name": {"text": "K"}, "telecom": [{"system": "phone", "value": "1", "rank": 1}]}]});
    let observation = json!({"resourceType": "Observation", "id": "b1", "status": "final", "code": {"text": "x"},
        "effectiveDateTime": "2026-01-02T10:00:00Z", "subject": {"reference": "Patient/p1"},
        "valueQuantity": {"value": 120.0, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
        "referenceRange": [{"low": {"value": 1}}],
        "component": [{"code": {"text": "y"}, "valueString": "z"}]});
    let questionnaire = json!({"resourceType": "Questionnaire", "id": "q1", "status": "draft",
        "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "2", "type": "choice",
            "answerOption": [{"valueCoding": {"code": "x"}}], "enableWhen": [{"question": "1", "operator": "exists", "answerBoolean": true}]}]}]});
    let parameters = json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": "Patient.birthDate"},
        {"name": "value", "valueDate": "2020-01-01"}]}]});
    let entry = |resource: &Value, method: &str| {
        let url =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({"fullUrl": format!("urn:uuid:0195c1e0-0000-7000-8000-{:012}", url.len()), "resource": resource,
            "request": {"method": method, "url": url}})
    };
    let bundle = |kind: &str| {
        json!({"resourceType": "Bundle", "type": kind, "entry": [entry(&patient, "PUT"), entry(&observation, "PUT"),
            {"request": {"method": "GET", "url": "Patient?name=x"}},
            {"request": {"method": "DELETE", "url": "Questionnaire/q9"}}]})
    };
    let (batch, transaction) = (bundle("batch"), bundle("transaction"));
    vec![patient, observation, questionnaire, parameters, batch, transaction]
}

struct Random(StdRng);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    fn junk(&mut self) -> Value {
        let long: String = (0..5_000).map(|_| char::from(self.0.random_range(b'a'..=b'z'))).collect();
        let all = [
            json!(null),
            json!(true),
            json!([]),
            json!({}),
            json!([[]]),
            json!([null]),
            json!(""),
            json!(" "),
            json!("\u{0}"),
            json!("\u{feff}x\u{202e}"),
            // What does not compress: an index of PostgreSQL does not hold it whole.
            json!(long),
            json!("9999-12-31T24:00:00Z"),
            json!("0000-00-00"),
            json!(0),
            json!(-1),
            serde_json::from_str("1e999").unwrap(),
            serde_json::from_str("123456789012345678901234567890.000").unwrap(),
            json!({"reference": "Patient/../x"}),
            json!({"reference": "Nobody/1"}),
            json!({"extension": [{"url": "u"}]}),
            json!({"resourceType": "Patient"}),
            json!({"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {"resourceType": "Bundle", "type": "batch"}}]}),
            json!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><script>x</script></div>"),
            json!("Patient?identifier=%00|%FF"),
            json!("Patient?name:x=1&birthdate=x"),
            json!("https://example.org/Patient/1"),
            json!("POST"),
            json!("W/\"1\""),
            nested(200),
        ];
        all.choose(&mut self.0).unwrap().clone()
    }

    /// One change somewhere.
    fn change(&mut self, value: &mut Value) {
        match value {
            Value::Object(object) if !object.is_empty() && self.below(4) > 0 => {
                let at = self.below(object.len());
                self.change(object.values_mut().nth(at).unwrap());
            }
            Value::Object(object) => {
                let names = [
                    "resourceType",
                    "id",
                    "name",
                    "_name",
                    "valueString",
                    "valueCode",
                    "extension",
                    "meta",
                    "x",
                    "",
                ];
                let name = (*names.choose(&mut self.0).unwrap()).to_owned();
                match object.keys().next().cloned().filter(|_| self.below(2) == 0) {
                    Some(first) => drop(object.shift_remove(&first)),
                    None => drop(object.insert(name, self.junk())),
                }
            }
            Value::Array(items) if !items.is_empty() && self.below(4) > 0 => {
                let at = self.below(items.len());
                match self.below(6) {
                    0 => drop(items.remove(at)),
                    1 => items.push(items[at].clone()),
                    _ => self.change(&mut items[at]),
                }
            }
            _ => *value = self.junk(),
        }
    }

    /// Bytes that are not what they were.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len().max(1));
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), self.0.random()),
                2 => drop(bytes.splice(at.min(bytes.len()).., b"]]>&x;<!-- --".iter().copied())),
                3 => bytes.extend_from_slice(&bytes.clone()[at.min(bytes.len())..]),
                4 => drop(bytes.splice(
                    at.min(bytes.len())..at.min(bytes.len()),
                    b"\"id\":\"a\",\"id\":\"b\",".iter().copied(),
                )),
                5 => bytes.splice(..0, b"\xef\xbb\xbf".iter().copied()).for_each(drop),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = b"<>\"'{}[]:,/&\\0-\n"[usize::from(*byte) % 16];
                    }
                }
            }
        }
    }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!("x"), |inner, _| json!({"extension": [inner]}))
}

#[tokio::test]
async fn random_bodies_are_stored_or_refused_with_the_place() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (seed, rounds) =
        (number("MJUMBE_SEED").unwrap_or(SEED), number("MJUMBE_ROUNDS").unwrap_or(ROUNDS as u64));
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mut random = Random(StdRng::seed_from_u64(seed));
        let samples = samples();
        let (mut taken, mut refused, mut faults) = (0, 0, Vec::new());
        for round in 0..rounds {
            let mut body = samples.choose(&mut random.0).unwrap().clone();
            let (method, path) = request(&mut random, &body);
            for _ in 0..random.below(4) {
                random.change(&mut body);
            }
            let in_xml = (random.below(4) == 0).then(|| xml::write(&body, Layout::Compact).ok()).flatten();
            let mut media = if in_xml.is_some() { "application/fhir+xml" } else { "application/fhir+json" };
            let mut bytes = in_xml.clone().unwrap_or_else(|| body.to_string()).into_bytes();
            let spoilt = random.below(5) == 0;
            if spoilt {
                random.spoil(&mut bytes);
            }
            if random.below(12) == 0 {
                media = CONTENT_TYPES.choose(&mut random.0).unwrap();
            }
            let shown = format!("{round}: {method} {path} {media} {}", String::from_utf8_lossy(&bytes));
            let sent = server.request(method.clone(), &path).header("content-type", media).body(bytes);
            let answer = answered(sent).await;
            if answer.status.is_success() {
                taken += 1;
                faults.extend(accepted(&server, (&method, &path, &shown), &body, &answer).await.err());
            } else {
                refused += 1;
                faults.extend(refused_with_place(&shown, &answer).err());
            }
        }
        println!("{rounds} bodies, {taken} taken, {refused} refused");
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
        assert!(taken as u64 > rounds / 40 && refused as u64 > rounds / 4, "{taken} {refused}");
        server.stop().await;
    })
    .await;
}

fn request(random: &mut Random, body: &Value) -> (Method, String) {
    let kind = body["resourceType"].as_str().unwrap();
    let id = body["id"].as_str().unwrap_or("x1");
    match (kind, random.below(10)) {
        ("Bundle", 0..=8) => (Method::POST, String::new()),
        ("Parameters", 0..=3) => (Method::PATCH, "Patient/p1".to_owned()),
        (_, ..=3) => (Method::POST, kind.to_owned()),
        (_, 4..=7) => (Method::PUT, format!("{kind}/{id}")),
        (_, 8) => (Method::POST, format!("{kind}/$validate")),
        _ => (Method::PUT, format!("{kind}?identifier=urn:x|1")),
    }
}

/// What is stored is what was sent, apart from what the server sets.
async fn accepted(
    server: &TestServer,
    (method, path, shown): (&Method, &str, &str),
    body: &Value,
    answer: &Answered,
) -> Result<(), String> {
    if path.is_empty() {
        for entry in answer.body["entry"].as_array().into_iter().flatten() {
            let status = entry["response"]["status"].as_str().unwrap_or_default();
            ensure(!status.starts_with('5') && !status.is_empty(), || format!("{shown}: {entry}"))?;
        }
        return Ok(());
    }
    let sent_whole = *method == Method::PUT && !path.contains('?') && shown.contains(&body.to_string());
    if !sent_whole {
        return Ok(());
    }
    let back = without_version(server.get(path).await.body);
    let sent = without_version(body.clone());
    ensure(back == sent, || format!("{shown}: came back as {back}"))
}

fn without_version(mut resource: Value) -> Value {
    let mut meta = resource["meta"].as_object().cloned().unwrap_or_default();
    meta.retain(|name, _| name != "versionId" && name != "lastUpdated");
    resource["meta"] = Value::Object(meta);
    resource
}

fn refused_with_place(shown: &str, answer: &Answered) -> Result<(), String> {
    let told =
        || format!("{}: {} {}", shown.chars().take(1_500).collect::<String>(), answer.status, answer.body);
    ensure(answer.status.is_client_error(), told)?;
    ensure(answer.body["resourceType"] == "OperationOutcome", told)?;
    let issues = answer.body["issue"].as_array().cloned().unwrap_or_default();
    ensure(!issues.is_empty(), told)?;
    issues.iter().try_for_each(|issue| ensure(has_place(issue), told))
}

/// Where it is about an element: its FHIRPath; where it is about text: line and column.
fn has_place(issue: &Value) -> bool {
    let text = issue["details"]["text"].as_str().unwrap_or_default();
    let code = issue["details"]["coding"][0]["code"].as_str().unwrap_or_default();
    let kind = issue["code"].as_str().unwrap_or_default();
    let of_an_element = matches!(kind, "structure" | "required" | "value" | "invariant" | "code-invalid");
    let path = issue["expression"][0].as_str().is_some_and(|place| !place.is_empty());
    !of_an_element || path || text.contains("(line ") || WITHOUT_PLACE.contains(&code)
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
