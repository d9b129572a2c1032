use super::*;
use crate::fhir::structure;

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "p", "meta": { "versionId": "1" },
        "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>" },
        "extension": [{ "url": "http://e.org/x", "valueString": "y" }],
        "name": [{ "family": "Uwase", "extension": [{ "url": "http://e.org/x", "valueString": "y" }] }],
        "birthDate": "2020-01-01", "_birthDate": { "id": "b" },
        "deceasedBoolean": false,
        "photo": [{ "title": "t" }],
        "communication": [{ "language": { "text": "rw" } }],
        "link": [{ "other": { "reference": "Patient/q" }, "type": "seealso" }],
    })
}

fn names(shape: &Shape) -> Vec<String> {
    let part = shape.of(patient(), Role::Match);
    assert!(is_part(&part) && structure::check(&part).is_empty(), "{part}");
    part.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_summary_has_what_r4_marks() {
    let expected =
        ["resourceType", "id", "meta", "name", "birthDate", "_birthDate", "deceasedBoolean", "link"];
    assert_eq!(names(&Shape::Summary), expected);
    let part = Shape::Summary.of(patient(), Role::Match);
    assert_eq!(part["name"], json!([{ "family": "Uwase" }]));
    assert_eq!(part["link"][0]["type"], "seealso");
}

#[test]
fn text_and_data_are_opposites() {
    assert_eq!(names(&Shape::Text), ["resourceType", "id", "meta", "text"]);
    assert!(!names(&Shape::Data).contains(&"text".to_owned()) && names(&Shape::Data).len() == 11);
}

#[test]
fn elements_are_named_with_or_without_a_type() {
    let shape = |names: &str| Shape::elements(&["Patient"], names).unwrap();
    assert_eq!(names(&shape("name,deceased")), ["resourceType", "id", "meta", "name", "deceasedBoolean"]);
    assert_eq!(names(&shape("Patient.photo,Observation.code")), ["resourceType", "id", "meta", "photo"]);
    let observation = json!({ "resourceType": "Observation", "status": "final", "code": { "text": "c" },
        "effectiveDateTime": "2020", "issued": "2020-01-01T00:00:00Z" });
    let part = shape("name").of(observation.clone(), Role::Include);
    assert_eq!(part, observation);
    let part = shape("Observation.issued").of(observation, Role::Include);
    assert!(part.get("effectiveDateTime").is_none() && part["status"] == "final" && is_part(&part));
    for wrong in ["nmae", "Patient.nmae", "Foo.name"] {
        assert_eq!(Shape::elements(&["Patient"], wrong).unwrap_err().status, 400, "{wrong}");
    }
}

#[test]
fn what_r4_requires_is_always_there() {
    let observation = json!({ "resourceType": "Observation", "status": "final", "code": { "text": "c" },
        "note": [{ "text": "n" }] });
    for shape in [Shape::Summary, Shape::Text, Shape::elements(&["Observation"], "id").unwrap()] {
        let part = shape.of(observation.clone(), Role::Match);
        assert!(part.get("note").is_none() && structure::check(&part).is_empty(), "{part}");
    }
}

#[test]
fn one_wish_at_a_time() {
    let pairs = |text: &str| url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();
    assert_eq!(Shape::parse("Patient", &pairs("_summary=false&name=x")).unwrap(), Shape::Full);
    assert!(Shape::parse("Patient", &pairs("_elements=name&_elements=photo")).is_ok());
    for wrong in
        ["_summary=yes", "_summary=count", "_summary=true&_elements=name", "_summary=true&_summary=text"]
    {
        assert_eq!(Shape::parse("Patient", &pairs(wrong)).unwrap_err().status, 400, "{wrong}");
    }
}
