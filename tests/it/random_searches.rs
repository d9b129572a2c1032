//! Random searches, mostly wrong ones: each is answered, a refusal names the parameter that is refused, and what was
//! answered can be asked again by its self link.
//!
//! `MJUMBE_SEED` gives other searches, `MJUMBE_ROUNDS` more of them.

use std::fmt::Write as _;

use mjumbe::fhir::elements;
use mjumbe::fhir::parameters;
use mjumbe::store::testing::each_store;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answered, TestServer, answered};

const SEED: u64 = 20_261_121;
const ROUNDS: usize = 500;

/// Types that something is stored of.
const KINDS: [&str; 10] = [
    "Patient",
    "Observation",
    "Encounter",
    "Location",
    "Organization",
    "Questionnaire",
    "RiskAssessment",
    "ValueSet",
    "Task",
    "Provenance",
];

const MODIFIERS: [&str; 19] = [
    "missing",
    "exact",
    "contains",
    "not",
    "text",
    "of-type",
    "in",
    "not-in",
    "above",
    "below",
    "identifier",
    "Patient",
    "Location",
    "iterate",
    "recurse",
    "Exact",
    "",
    "a:b",
    "%00",
];

const PREFIXES: [&str; 12] = ["", "", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];

/// As they are in the url.
const VALUES: &[&str] = &[
    "",
    "a",
    "p1",
    "Patient/p1",
    "Patient/p1/_history/1",
    "http://example.org/Patient/p1",
    "urn:uuid:0195c1e0-0000-7000-8000-000000000000",
    "urn:card|7",
    "|7",
    "urn:card|",
    "|",
    "||",
    "a|b|c",
    "a|b|c|d",
    "true",
    "false",
    "TRUE",
    "male",
    "0000",
    "0001",
    "2024",
    "2024-02-29",
    "2023-02-29",
    "2024-13",
    "2024-02-29T10:00",
    "2024-02-29T10:00:00Z",
    "2024-02-29T10:00:00.123456789%2B14:00",
    "2024-02-29T10:00:00+02:00",
    "9999-12-31",
    "9999-12-31T24:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "10000-01-01",
    "-0001",
    "99999999999999999999",
    "2016-12-31T23:59:60Z",
    "2024-02-29T10:00:00Z[Africa/Kigali]",
    "0",
    "-0",
    "1e5",
    "1e-400",
    "1e400",
    "1e999",
    "-1e999999999999",
    "0.00000000000000000000000000000000000001",
    "79228162514264337593543950336",
    "NaN",
    "inf",
    "5.4|http://unitsofmeasure.org|mg",
    "5.4||mg",
    "5.4|mg",
    "1e999|http://unitsofmeasure.org|mg",
    "8480-6$gt5",
    "http://loinc.org|8480-6$5.4|http://unitsofmeasure.org|mg",
    "$",
    "$$",
    "a$",
    "%24",
    "\\",
    "\\,",
    "a\\,b\\|c\\$d",
    ",",
    ",,,",
    "a,b",
    "%00",
    "a%00b",
    "%FF%FE",
    "%C0%80",
    "%ED%A0%80",
    "%",
    "%zz",
    "%F0%9F%92%A9",
    "%E2%80%AE",
    "e%CC%81",
    "%25",
    "%25_",
    "_",
    "*",
    "Patient:*",
    "Observation:subject",
    "Observation:subject:Patient",
    "Observation:code",
    "Provenance:target:Nobody",
    ":",
    "::",
    "Observation:subject:Patient:x",
    "-_lastUpdated",
    "_id,-_lastUpdated",
    "--name",
    "name,birthdate,-gender,family,given,_id",
    "count",
    "text",
    "id,name",
    "Patient.name,nothing",
    "accurate",
    "estimate",
    "10",
    "1000000",
    "4294967296",
    "-1",
    "1.5",
    "' or 1=1 --",
    "\"",
    "$.a",
    "(1=1)",
    "<script>",
    "%0D%0AX: y",
];

const RESULTS: &[&str] = &[
    "_count",
    "_sort",
    "_include",
    "_include:iterate",
    "_include:recurse",
    "_revinclude",
    "_revinclude:iterate",
    "_summary",
    "_elements",
    "_total",
    "_type",
    "_offset",
    "_getpagesoffset",
    "_page",
    "_getpages",
    "_contained",
    "_containedType",
    "_filter",
    "_text",
    "_content",
    "_query",
    "_list",
    "_has",
    "_has:",
    "_has:Observation:patient:code",
    "_has:Observation:patient:_has:Provenance:target:recorded",
    "_has:Nobody:patient:code",
    "_has:Observation:code:code",
    "_has:Observation:patient:value-quantity:missing",
    "_id",
    "_lastUpdated",
    "_tag",
    "_profile",
    "_security",
    "_source",
    "_format",
    "_pretty",
];

const CHAINS: &[&str] = &[
    "subject.name",
    "subject:Patient.name:exact",
    "subject:Patient.organization.name",
    "subject:Patient.birthdate",
    "patient.organization.partof.partof.partof.partof.name",
    "subject.",
    ".subject",
    "..",
    "subject:Nobody.name",
    "code.x",
    "partof:below",
    "partof:Location.name",
    "patient.identifier:of-type",
    "subject._has:Observation:patient:code",
    "subject:.name",
];

struct Random(StdRng);

impl Random {
    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of.choose(&mut self.0).unwrap()
    }

    fn name(&mut self, kind: &str) -> String {
        let mut name = match self.0.random_range(0..10) {
            0..=5 => parameters::of(kind).choose(&mut self.0).map_or("_id", |found| found.code).to_owned(),
            6..=7 => self.one(RESULTS).to_owned(),
            8 => self.one(CHAINS).to_owned(),
            _ => self
                .one(&["x", "nmae", "Name", "%20", "a%00b", "%FF", "[]", "$everything", "_x", "name:"])
                .to_owned(),
        };
        if self.0.random_range(0..4) == 0 {
            let _ = write!(name, ":{}", self.one(&MODIFIERS));
        }
        name
    }

    fn value(&mut self) -> String {
        match self.0.random_range(0..60) {
            0 => vec![self.one(VALUES); 10_000].join(",").chars().take(20_000).collect(),
            1 => "x".repeat(self.0.random_range(1_000..20_000)),
            2 => (0..50).map(|_| self.one(VALUES)).collect::<Vec<_>>().join(","),
            3 => (0..6).map(|_| format!("%{:02X}", self.0.random_range(0..=255))).collect(),
            _ => format!("{}{}", self.one(&PREFIXES), self.one(VALUES)),
        }
    }

    /// Where, and what: `Patient?name=x`.
    fn search(&mut self) -> (String, String) {
        let kinds = elements::table().kinds();
        let kind =
            if self.0.random_bool(0.7) { self.one(&KINDS) } else { kinds.choose(&mut self.0).unwrap() };
        let place = match self.0.random_range(0..12) {
            0 => String::new(),
            1 => format!("Patient/p1/{kind}"),
            2 => "Patient/p1/*".to_owned(),
            3 => format!("{kind}/_search"),
            _ => kind.to_owned(),
        };
        let pairs: Vec<String> =
            (0..self.0.random_range(1..4)).map(|_| format!("{}={}", self.name(kind), self.value())).collect();
        (place, pairs.join("&"))
    }
}

#[tokio::test]
async fn random_searches_are_answered_or_refused_by_name() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (seed, rounds) =
        (number("MJUMBE_SEED").unwrap_or(SEED), number("MJUMBE_ROUNDS").unwrap_or(ROUNDS as u64));
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let stored = server.post("", &some_of_each()).await;
        assert_eq!(stored.status, 200, "{}", stored.body);
        let mut random = Random(StdRng::seed_from_u64(seed));
        let (mut found, mut refused, mut faults) = (0, 0, Vec::new());
        for _ in 0..rounds {
            let (place, query) = random.search();
            let strict = random.0.random_bool(0.25);
            let path = if place.is_empty() { format!("?{query}") } else { format!("{place}?{query}") };
            let mut request = server.request(Method::GET, &path);
            if strict {
                request = request.header("prefer", "handling=strict");
            }
            let answer = answered(request).await;
            match answer.status.as_u16() {
                200 => {
                    found += usize::from(!answer.entries("match").is_empty());
                    faults.extend(told_truly(&server, &path, (&query, strict), &answer).await.err());
                }
                _ => {
                    refused += 1;
                    faults.extend(refused_by_name(&path, &query, &answer).err());
                }
            }
        }
        println!("{rounds} searches, {found} found something, {refused} refused");
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
        assert!(found as u64 > rounds / 40 && refused as u64 > rounds / 20, "{found} {refused}");
        server.stop().await;
    })
    .await;
}

/// The parameters as the server reads them.
fn decoded(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().filter(|(name, _)| !name.is_empty()).collect()
}

/// A refusal is 4xx, an OperationOutcome, and says which parameter it is about.
fn refused_by_name(path: &str, query: &str, answer: &Answered) -> Result<(), String> {
    let told = || format!("{}: {} {}", shortened(path), answer.status, answer.body);
    ensure(answer.status.is_client_error(), told)?;
    ensure(answer.body["resourceType"] == "OperationOutcome", told)?;
    let text = answer.body["issue"][0]["details"]["text"].as_str().unwrap_or_default();
    let named = decoded(query).iter().any(|(name, _)| {
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        text.contains(&name)
    });
    ensure(named || UNNAMED.contains(&answer.code()), told)
}

/// What is said of a search as a whole, of the format by its value, and of a page by its token.
const UNNAMED: [&str; 4] = ["not-acceptable", "page-token", "too-many-parameters", "bad-encoding"];

/// Every parameter is in the self link or named as ignored, and the self link gives the same again.
async fn told_truly(
    server: &TestServer,
    path: &str,
    (query, strict): (&str, bool),
    answer: &Answered,
) -> Result<(), String> {
    let link = answer.link("self").unwrap_or_default();
    let told = |what: &str| format!("{}: {what}: {link}", shortened(path));
    ensure(answer.body["type"] == "searchset" && !link.is_empty(), || told("no searchset"))?;
    let applied = decoded(link.split_once('?').map_or("", |(_, query)| query));
    let ignored = ignored(answer);
    for (name, value) in decoded(query) {
        let bounded = name == "_count" && value.parse::<u32>().is_ok_and(|count| count > 1_000);
        let done = if bounded { "1000".to_owned() } else { value.clone() };
        let is_applied = applied.contains(&(name.clone(), done));
        let plain: String = name.chars().filter(|c| !c.is_control()).take(20).collect();
        let is_ignored = ignored.iter().any(|text| text.contains(&plain));
        ensure(is_applied || is_ignored, || told(&format!("{name} is neither applied nor ignored")))?;
        // What selects nothing here is let through by everybody.
        let harmless = name.starts_with("_contained");
        ensure(!strict || is_applied || harmless, || told(&format!("{name} is ignored")))?;
    }
    if link.len() > 60_000 {
        return Ok(());
    }
    let again = answered(server.client.get(&link).bearer_auth(&server.token)).await;
    ensure(again.status == 200, || told(&again.body.to_string()))?;
    let same = ["match", "include"].iter().all(|mode| ids(&again, mode) == ids(answer, mode));
    ensure(same, || told("other matches"))?;
    ensure(again.link("self").as_deref() == Some(&link), || told("another self link"))?;
    ensure(again.body["total"] == answer.body["total"], || told("another total"))
}

/// The texts of what was ignored.
fn ignored(answer: &Answered) -> Vec<String> {
    let issues = answer.entries("outcome").into_iter().flat_map(|found| found["issue"].as_array().cloned());
    let ignored =
        issues.flatten().filter(|issue| issue["details"]["coding"][0]["code"] == "parameters-ignored");
    ignored.filter_map(|issue| Some(issue["details"]["text"].as_str()?.to_owned())).collect()
}

fn shortened(path: &str) -> String {
    path.chars().take(300).collect()
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn ids(answer: &Answered, mode: &str) -> Vec<(Value, Value)> {
    let entries = answer.entries(mode);
    entries.iter().map(|found| (found["resourceType"].clone(), found["id"].clone())).collect()
}

const BORN: [&str; 6] = ["0001", "2024-02-29", "9999-12-31", "2024", "2024-02", "1970-01-01"];
const FAMILIES: [&str; 6] = ["a", "é", "a,b|c$d\\", "%_", "true", "x"];

fn some_of_each() -> Value {
    let mut all = vec![
        json!({"resourceType": "Organization", "id": "o1", "name": "One", "identifier": [{"value": "7"}]}),
        json!({"resourceType": "Location", "id": "l1", "name": "a", "position": {"longitude": 1, "latitude": 2}}),
        json!({"resourceType": "Location", "id": "l2", "name": "p1", "partOf": {"reference": "Location/l1"}}),
        json!({"resourceType": "Questionnaire", "id": "q1", "url": "http://example.org/Patient/p1", "status": "active"}),
        json!({"resourceType": "ValueSet", "id": "v1", "url": "http://example.org/v", "status": "active", "date": "2024"}),
        json!({"resourceType": "Task", "id": "t1", "status": "draft", "intent": "order", "authoredOn": "2024-02-29"}),
        json!({"resourceType": "RiskAssessment", "id": "r1", "status": "final", "subject": {"reference": "Patient/p1"},
            "prediction": [{"probabilityDecimal": 0.5}]}),
    ];
    for n in 1..=6 {
        all.push(json!({"resourceType": "Patient", "id": format!("p{n}"), "gender": if n % 2 == 0 { "male" } else { "female" },
            "active": n % 3 == 0, "birthDate": BORN[n - 1],
            "name": [{"family": FAMILIES[n - 1], "given": ["p1"]}],
            "identifier": [{"system": "urn:card", "value": "7"}, {"value": n.to_string()}],
            "managingOrganization": {"reference": "Organization/o1"}}));
        all.push(json!({"resourceType": "Observation", "id": format!("b{n}"), "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}, "subject": {"reference": format!("Patient/p{n}")},
            "effectiveDateTime": "2024-02-29T10:00:00Z",
            "valueQuantity": {"value": 5.4 * n as f64, "system": "http://unitsofmeasure.org", "code": "mg"}}));
        all.push(json!({"resourceType": "Encounter", "id": format!("e{n}"), "status": "finished", "class": {"code": "AMB"},
            "subject": {"reference": format!("Patient/p{n}")}, "period": {"start": "2024"}}));
        all.push(json!({"resourceType": "Provenance", "id": format!("s{n}"), "recorded": "2024-02-29T10:00:00Z",
            "target": [{"reference": format!("Observation/b{n}")}], "agent": [{"who": {"reference": "Organization/o1"}}]}));
    }
    let entry = |resource: Value| {
        let url =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({"resource": resource, "request": {"method": "PUT", "url": url}})
    };
    json!({"resourceType": "Bundle", "type": "transaction", "entry": all.into_iter().map(entry).collect::<Vec<_>>()})
}
