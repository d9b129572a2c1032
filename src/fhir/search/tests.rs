use super::*;
use crate::fhir::query::{PartMatch, Prefix, Via};
use crate::fhir::structure::tolerated::NOTHING;

fn parse_text(kind: &str, text: &str, handling: Handling) -> Result<Search, Outcome> {
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(text.as_bytes()).map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
    let zone = TimeZone::UTC;
    let context = Context {
        base: "http://us/fhir",
        zone: &zone,
        now: "2024-01-11T00:00:00Z".parse().unwrap(),
        handling,
        custom: Custom::none(),
        tolerated: NOTHING,
    };
    parse(kind, &pairs, &context)
}

fn check(kind: &str, text: &str) -> Vec<Match> {
    let search = parse_text(kind, text, Handling::Strict).unwrap();
    assert_eq!(search.query.filters.len(), 1, "{text}");
    search.query.filters[0].any.clone()
}

/// code, text and hint of the refusal
fn refusal(kind: &str, text: &str) -> String {
    let outcome = parse_text(kind, text, Handling::Strict).unwrap_err();
    assert_eq!(outcome.status, 400);
    let issue = &outcome.issues[0];
    format!("{}: {} / {}", issue.code, issue.text, issue.hint.as_deref().unwrap_or("-"))
}

fn token(system: Option<&str>, code: Option<&str>) -> Match {
    Match::Token { system: system.map(str::to_owned), code: code.map(str::to_owned) }
}

fn reference(kind: &str, id: &str) -> Match {
    Match::Reference { kind: kind.to_owned(), id: id.to_owned() }
}

/// A canonical is any uri: the official Library-library-fhir-helpers has one without a scheme.
#[test]
fn a_bare_canonical_may_be_a_url_or_an_id() {
    let url = Match::ReferenceUrl("first".into());
    assert_eq!(check("Library", "predecessor=first"), [url.clone(), reference("", "first")]);
    assert_eq!(
        check("QuestionnaireResponse", "questionnaire=first"),
        [url, reference("Questionnaire", "first")]
    );
    assert_eq!(check("QuestionnaireResponse", "source=first"), [reference("", "first")]);
}

#[test]
fn tokens() {
    assert_eq!(check("Patient", "identifier=7"), [token(None, Some("7"))]);
    assert_eq!(
        check("Patient", "identifier=urn:card|7,|8"),
        [token(Some("urn:card"), Some("7")), token(Some(""), Some("8"))]
    );
    assert_eq!(check("Patient", "identifier=urn:card|"), [token(Some("urn:card"), None)]);
    assert_eq!(check("Patient", "identifier=a%5C,b%5C|c"), [token(None, Some("a,b|c"))]);
    // Codes are indexed without the system that the specification fixes.
    assert_eq!(
        check("Patient", "gender=http://hl7.org/fhir/administrative-gender|male"),
        [token(None, Some("male"))]
    );
    assert_eq!(check("Observation", "code:text=Hémo"), [Match::TokenText("hemo".into())]);
    assert!(parse_text("Patient", "gender:not=male", Handling::Strict).unwrap().query.filters[0].not);
    assert_eq!(
        check("Patient", "gender:missing=true"),
        [Match::Missing { missing: true, by: SortBy::Token }]
    );
    assert!(
        refusal("Patient", "gender:exact=x").starts_with("unknown-modifier: search parameter gender:exact")
    );
    assert_eq!(check("Patient", "identifier:of-type=urn:t|MR|7"), [token(Some("\u{1}urn:t|MR"), Some("7"))]);
    assert!(refusal("Patient", "identifier:of-type=7").starts_with("bad-token"));
    assert!(refusal("Patient", "gender:of-type=a|b|c").starts_with("unknown-modifier"));
}

#[test]
fn strings_and_uris() {
    assert_eq!(check("Patient", "name=Núñ"), [Match::TextStarts("nun".into())]);
    assert_eq!(check("Patient", "name:exact=Núñez"), [Match::TextExact("Núñez".into())]);
    assert_eq!(check("Patient", "name:contains=ÑE"), [Match::TextContains("ne".into())]);
    assert_eq!(
        check("ValueSet", "url=http://a,http://b"),
        [Match::Uri("http://a".into()), Match::Uri("http://b".into())]
    );
    assert_eq!(check("ValueSet", "url:below=http://a/b/"), [Match::UriBelow("http://a/b".into())]);
    let above: Vec<String> = check("ValueSet", "url:above=http://a/b/c")
        .into_iter()
        .map(|one| match one {
            Match::Uri(uri) => uri,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(above, ["http://a", "http://a/", "http://a/b", "http://a/b/", "http://a/b/c"]);
}

#[test]
fn dates() {
    let day = 86_400_000;
    let start = 1_704_067_200_000; // 2024-01-01
    assert_eq!(
        check("Patient", "birthdate=2024-01-01"),
        [Match::Date { prefix: Prefix::Eq, low: start, high: start + day }]
    );
    assert_eq!(
        check("Patient", "birthdate=ge2024-01-01"),
        [Match::Date { prefix: Prefix::Ge, low: start, high: start + day }]
    );
    // now is ten days later: a tenth of that is a day.
    assert_eq!(
        check("Patient", "birthdate=ap2024-01-01"),
        [Match::Date { prefix: Prefix::Ap, low: start - day, high: start + 2 * day }]
    );
    // OpenSRP's sync; a + that was not encoded is a space.
    let expected = [Match::Date { prefix: Prefix::Gt, low: start + 123, high: start + 124 }];
    assert_eq!(check("Patient", "_lastUpdated=gt2024-01-01T03:00:00.123%2B03:00"), expected);
    assert_eq!(check("Patient", "_lastUpdated=gt2024-01-01T03:00:00.123+03:00"), expected);
    assert!(refusal("Patient", "birthdate=yesterday").starts_with("bad-date"));
}

#[test]
fn numbers_and_quantities() {
    let Match::Number { prefix: Prefix::Eq, low, high } = check("RiskAssessment", "probability=0.5")[0]
    else {
        panic!()
    };
    assert!(low == 0.45 && high < 0.55 && high > 0.5499);
    assert_eq!(
        check("RiskAssessment", "probability=gt0.5"),
        [Match::Number { prefix: Prefix::Gt, low: 0.5, high: 0.5 }]
    );
    let Match::Quantity { system, code, .. } = &check("Observation", "value-quantity=5.4|http://u|mg")[0]
    else {
        panic!()
    };
    assert_eq!((system.as_deref(), code.as_deref()), (Some("http://u"), Some("mg")));
    let Match::Quantity { system, code, .. } = &check("Observation", "value-quantity=le5.4||mg")[0] else {
        panic!()
    };
    assert_eq!((system.as_deref(), code.as_deref()), (None, Some("mg")));
    assert!(refusal("Observation", "value-quantity=5|mg").starts_with("bad-quantity"));
    assert!(refusal("Observation", "value-quantity=x").starts_with("bad-number"));
}

#[test]
fn references() {
    assert_eq!(check("Observation", "subject=Patient/1"), [reference("Patient", "1")]);
    assert_eq!(
        check("Observation", "subject=http://us/fhir/Patient/1/_history/2"),
        [reference("Patient", "1")]
    );
    assert_eq!(check("Observation", "subject=1"), [reference("", "1")]);
    assert_eq!(check("Observation", "patient=1"), [reference("Patient", "1")]);
    assert_eq!(check("Observation", "subject:Patient=1"), [reference("Patient", "1")]);
    assert_eq!(
        check("Observation", "subject=http://x/fhir/Patient/1"),
        [Match::ReferenceUrl("http://x/fhir/Patient/1".into())]
    );
    assert_eq!(
        check("QuestionnaireResponse", "questionnaire=http://q|3"),
        [Match::ReferenceUrl("http://q|3".into())]
    );
    assert_eq!(check("Observation", "subject:identifier=s|v"), [Match::ReferenceIdentifier("s|v".into())]);
    assert!(refusal("Observation", "subject:Medication=1").starts_with("bad-target"));
    assert!(refusal("Observation", "subject:Patient=Group/1").starts_with("bad-target"));
}

/// Type, way and inner match of each alternative of the only filter.
fn links(kind: &str, text: &str) -> Vec<(String, Via, Match)> {
    let links = check(kind, text).into_iter().map(|one| match one {
        Match::Chained { kind, via, filter } => (kind, via, filter.any[0].clone()),
        other => panic!("{other:?}"),
    });
    links.collect()
}

#[test]
fn chains() {
    let id = |kind: &str, inner: Match| (kind.to_owned(), Via::Id, inner);
    let name = Match::TextStarts("x".into());
    assert_eq!(links("Observation", "subject:Patient.name=x"), [id("Patient", name.clone())]);
    // Group has no name in R4's parameters, Device and Location have.
    let any: Vec<String> = links("Observation", "subject.name=x").into_iter().map(|link| link.0).collect();
    assert_eq!(any, ["Patient", "Location"]);
    let through = links("Group", "managing-entity.patient.organization=Organization/o");
    assert_eq!(through.len(), 1);
    let Match::Chained { kind, filter, .. } = &through[0].2 else { panic!() };
    assert_eq!((through[0].0.as_str(), kind.as_str()), ("RelatedPerson", "Patient"));
    assert_eq!(filter.any, [reference("Organization", "o")]);
    assert_eq!(links("Observation", "patient._id=1"), [id("Patient", Match::Id("1".into()))]);
    assert_eq!(
        links("Observation", "patient:Patient.name:exact=X"),
        [id("Patient", Match::TextExact("X".into()))]
    );
    let canonical = links("QuestionnaireResponse", "questionnaire.title=x");
    assert_eq!(canonical.len(), 2);
    assert!(canonical[0].1 == Via::Id && canonical[1].1 != Via::Id);
    assert!(refusal("Observation", "code.name=x").starts_with("bad-chain"));
    assert!(refusal("Observation", "subject:Medication.name=x").starts_with("bad-target"));
    assert!(refusal("Observation", "subject:Foo.name=x").starts_with("unknown-type"));
    assert!(refusal("Observation", "patient.birthdate=x").starts_with("bad-date"));
    assert!(refusal("Observation", "patient.nam=x").contains("did you mean name?"));
    assert!(
        refusal("Patient", "general-practitioner.organization.partof.partof.partof.name=x")
            .starts_with("chain-too-deep")
    );
    assert!(refusal("Provenance", "target.target.target._tag=x").starts_with("chain-too-wide"));
    let lenient = parse_text("Observation", "patient.nam=x&patient.name=y", Handling::Lenient).unwrap();
    assert_eq!((lenient.ignored.len(), lenient.query.filters.len()), (1, 1));
    assert_eq!(lenient.query.kinds().into_iter().collect::<Vec<_>>(), ["Observation", "Patient"]);
}

#[test]
fn reverse_chains() {
    let [Match::Referring { kind, target, filter, .. }] =
        &check("Patient", "_has:Observation:patient:code=1")[..]
    else {
        panic!()
    };
    assert_eq!((kind.as_str(), target.as_str()), ("Observation", "Patient"));
    assert_eq!(filter.any, [token(None, Some("1"))]);
    let nested = check("Patient", "_has:Observation:patient:_has:Provenance:target:agent=Practitioner/1");
    let [Match::Referring { filter, .. }] = &nested[..] else { panic!() };
    assert!(matches!(&filter.any[..], [Match::Referring { kind, .. }] if kind == "Provenance"));
    assert_eq!(check("Location", "_list=7"), check("Location", "_has:List:item:_id=7"));
    assert!(refusal("Patient", "_has=1").starts_with("bad-has"));
    assert!(refusal("Patient", "_has:Observation:patient=1").starts_with("bad-has"));
    assert!(refusal("Patient", "_has:Observation:code:status=1").starts_with("bad-has"));
    assert!(refusal("Location", "_has:Observation:patient:code=1").starts_with("bad-target"));
    assert!(refusal("Patient", "_has:Observation:patiant:code=1").contains("did you mean patient?"));
}

#[test]
fn what_may_not_be_looked_at_leaves_a_chain() {
    let mut query = parse_text("Observation", "subject.name=x", Handling::Strict).unwrap().query;
    assert_eq!(query.narrow(&|kind| kind != "Location"), Ok(1));
    assert_eq!(query.filters[0].any.len(), 1);
    assert_eq!(query.narrow(&|kind| kind == "Observation"), Err("Patient".to_owned()));
}

#[test]
fn composites() {
    let found = check("Observation", "code-value-quantity=l|bp$gt5.4||mg");
    let first = PartMatch { system: Some("l".into()), code: Some("bp".into()), ..PartMatch::default() };
    let second =
        PartMatch { code: Some("mg".into()), range: Some((Prefix::Gt, 5.4, 5.4)), ..PartMatch::default() };
    assert_eq!(found, [Match::Composite { first, second }]);
    assert!(refusal("Observation", "code-value-quantity=5").starts_with("bad-composite"));
}

#[test]
fn ids_may_carry_their_type() {
    assert_eq!(check("Location", "_id=Location/x,y"), [Match::Id("x".into()), Match::Id("y".into())]);
}

#[test]
fn result_parameters() {
    let search = parse_text(
        "Observation",
        "&_count=1000&_sort=-date,_id&_include=Observation:subject:Patient&_include:iterate=Patient:organization&_revinclude=Provenance:target&_total=accurate&_summary=count&_getpages=abc&_format=json",
        Handling::Strict,
    )
    .unwrap();
    assert_eq!((search.count, search.total, search.summary), (Some(1000), Total::Accurate, Summary::Count));
    assert!(search.query.sort[0].descending && search.query.sort[0].by == SortBy::Date);
    assert_eq!(search.includes[0].target, Some("Patient"));
    assert!(search.includes[1].iterate && search.revincludes[0].source == "Provenance");
    assert_eq!(search.page.as_deref(), Some("abc"));
    assert_eq!(search.applied.len(), 7);
    assert!(search.ignored.is_empty(), "{:?}", search.ignored);
    let all = parse_text("Observation", "_include=*", Handling::Strict).unwrap();
    assert!(all.includes[0].parameters.len() > 10);
}

#[test]
fn refusals_name_the_parameter_and_what_was_meant() {
    let begin = "unknown-parameter: search parameter birthdat: Patient has no search parameter birthdat / did you mean birthdate? Patient has _id, ";
    assert!(refusal("Patient", "birthdat=2024").starts_with(begin));
    assert!(refusal("Patient", "_sort=famly").contains("did you mean family?"));
    assert!(refusal("Patient", "_sort=organization.name").starts_with("not-supported"));
    assert!(refusal("Patient", "name:contain=x").ends_with("did you mean :contains?"));
    assert!(refusal("Patient", "_include=Patient:name").starts_with("bad-include"));
    assert!(
        refusal("Patient", "_include=Observation:subject")
            .ends_with("use _include:iterate to follow what was included")
    );
    assert!(refusal("Patient", "_include=Pateint:link").ends_with("did you mean Patient?"));
    assert!(refusal("Patient", "_count=x").starts_with("bad-number"));
    assert!(refusal("Patient", "gender:missing=maybe").starts_with("bad-value"));
}

#[test]
fn unknown_names_are_ignored_and_listed_unless_strict() {
    let search =
        parse_text("Patient", "summary=count&name=&foo=1&name=x&_elements=id", Handling::Lenient).unwrap();
    assert_eq!(search.ignored, ["summary", "name", "foo"]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(search.applied, [pair("name", "x"), pair("_elements", "id")]);
}

/// Leaving one out would answer with more than was asked for.
#[test]
fn a_standard_parameter_that_is_not_built_is_refused() {
    for name in parameters::unsupported() {
        let (kind, code) = name.split_once('.').unwrap();
        let kind = if kind.ends_with("esource") { "Patient" } else { kind };
        for handling in [Handling::Lenient, Handling::Strict] {
            let refused = parse_text(kind, &format!("{code}=1"), handling).unwrap_err();
            assert_eq!(refused.issues[0].kind, crate::fhir::outcome::IssueType::NotSupported, "{name}");
        }
    }
}

/// Every parameter in the CapabilityStatement can be parsed.
#[test]
fn every_parameter_of_the_table_takes_a_value() {
    for kind in crate::fhir::elements::table().kinds() {
        for parameter in parameters::of(kind) {
            let value = match parameter.search_type {
                SearchType::Date => "2024",
                SearchType::Number | SearchType::Quantity => "1",
                SearchType::Composite => continue,
                SearchType::Special => "-1.9|30.1",
                _ => "x",
            };
            let text = format!("{}={value}", parameter.code);
            assert!(parse_text(kind, &text, Handling::Strict).is_ok(), "{kind}?{text}");
        }
    }
}

/// Whatever is compared counts: in alternatives, behind `_has`, and twice where a link goes two ways.
#[test]
fn values_are_counted_over_the_whole_search() {
    let values = |count: usize| vec!["urn:card|7"; count].join(",");
    let many = |times: usize| vec![format!("identifier={}", values(2_000)); times].join("&");
    assert!(parse_text("Patient", &many(5), Handling::Strict).is_ok());
    let costly = |kind: &str, text: &str| {
        let outcome = parse_text(kind, text, Handling::Strict).unwrap_err();
        assert_eq!((outcome.status, outcome.issues[0].kind), (400, IssueType::TooCostly));
        assert!(outcome.issues[0].text.contains("10000"), "{}", outcome.issues[0].text);
        outcome.issues[0].code
    };
    assert_eq!(costly("Patient", &many(6)), "too-many-values");
    // Every type that a target may have is one more alternative.
    assert_eq!(costly("Provenance", &format!("target._id={}", values(2_000))), "too-many-values");
    assert_eq!(
        costly("Patient", &format!("_has:Provenance:target:target._id={}", values(200))),
        "too-many-values"
    );
    // A link by id and by url compares twice.
    let twice = |count| {
        format!("questionnaire.title={0}&questionnaire.title={0}&questionnaire.title={0}", values(count))
    };
    assert!(parse_text("QuestionnaireResponse", &twice(1_600), Handling::Strict).is_ok());
    assert_eq!(costly("QuestionnaireResponse", &twice(1_700)), "too-many-values");
}

#[test]
fn values_are_counted_over_all_types() {
    let zone = TimeZone::UTC;
    let now = "2024-01-11T00:00:00Z".parse().unwrap();
    let context = Context {
        base: "http://us/fhir",
        zone: &zone,
        now,
        handling: Handling::Strict,
        custom: Custom::none(),
        tolerated: NOTHING,
    };
    let asked = |count: usize| {
        let pairs = [("_id".to_owned(), vec!["x"; count].join(","))];
        across(&["Patient", "Observation", "Encounter", "Group", "List", "Basic"], &pairs, &context).map(drop)
    };
    assert_eq!(asked(1_600), Ok(()));
    assert_eq!(asked(1_700).unwrap_err().issues[0].code, "too-many-values");
}

#[test]
fn long_values_are_refused_by_name() {
    let long = |length: usize| format!("http://a{}", "/b".repeat(length / 2));
    for name in ["url:above", "url", "url:below", "name:contains", "identifier", "context-type"] {
        for length in [4_000, 4 * 1024 * 1024] {
            let refused = refusal("ValueSet", &format!("{name}={}", long(length)));
            let expected = format!("value-too-long: search parameter {name}:");
            assert!(refused.starts_with(&expected), "{refused}");
        }
    }
    // Each of these is two hundred.
    let many = refusal("ValueSet", &format!("url:above={}", vec![long(3_000); 100].join(",")));
    assert!(many.starts_with("too-many-values"), "{many}");
    assert_eq!(check("ValueSet", &format!("url:above={}", long(3_000))).len(), 201);
}
