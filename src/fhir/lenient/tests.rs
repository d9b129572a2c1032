use serde_json::json;

use super::*;
use crate::fhir::resource::Resource;

fn repaired(profile: Profile, mut body: Value) -> (Value, Vec<(&'static str, String)>) {
    let repairs = resource(profile, &mut body);
    (body, repairs.into_iter().map(|repair| (repair.code, repair.place)).collect())
}

/// What came out is R4, and repairing it again changes nothing.
fn settles(profile: Profile, body: Value) -> (Value, Vec<(&'static str, String)>) {
    let (body, repairs) = repaired(profile, body);
    Resource::from_value(body.clone()).unwrap();
    assert_eq!(repaired(profile, body.clone()), (body.clone(), Vec::new()));
    (body, repairs)
}

#[test]
fn what_ihris_leaves_out_is_put_in() {
    let request = json!({ "resourceType": "CommunicationRequest", "payload": [{ "contentString": "x" }] });
    let (body, repairs) = settles(Profile::Ihris, request);
    assert_eq!(body["status"], "active");
    assert_eq!(repairs, [("request-status-missing", "CommunicationRequest.status".to_owned())]);
    let url = "http://mhero.org/fhir/StructureDefinition/sms-cron-expression-schedule";
    let schedule =
        json!([{ "url": url, "extension": [{ "url": "cronExpression", "valueString": "0 9 * * *" }] }]);
    let scheduled = json!({ "resourceType": "CommunicationRequest", "extension": schedule });
    assert_eq!(settles(Profile::Ihris, scheduled).0["status"], "on-hold");
    let (body, repairs) = settles(Profile::Ihris, json!({ "resourceType": "Group", "name": "x" }));
    assert_eq!((body["type"].as_str(), body["actual"].as_bool()), (Some("practitioner"), Some(true)));
    assert_eq!(repairs.len(), 2);
    let group = json!({ "resourceType": "Group", "type": "person", "actual": false });
    assert_eq!(settles(Profile::Ihris, group.clone()), (group, Vec::new()));
}

#[test]
fn a_section_of_opensrps_configuration_gets_its_focus_as_entry() {
    let composition = |section: serde_json::Value| {
        json!({
            "resourceType": "Composition", "status": "final", "type": { "text": "app" }, "date": "2026-01-01",
            "author": [{ "display": "x" }], "title": "app", "section": section,
        })
    };
    let focus = json!({ "reference": "Binary/b1" });
    let bare = json!([{ "title": "icons", "section": [{ "title": "config", "focus": focus }] }]);
    let (body, repairs) = settles(Profile::OpenSrp, composition(bare.clone()));
    let section = &body["section"][0]["section"][0];
    assert_eq!((&section["focus"], &section["entry"]), (&focus, &json!([focus])));
    let place = "Composition.section[0].section[0]".to_owned();
    assert_eq!(repairs, [("section-without-content", place)]);
    let told = json!([{ "title": "config", "focus": focus, "entry": [{ "reference": "Binary/b2" }] }]);
    assert_eq!(settles(Profile::OpenSrp, composition(told.clone())).0["section"], told);
    assert!(repaired(Profile::OpenMrs, composition(bare)).1.is_empty());
}

#[test]
fn what_emnutt_writes_becomes_r4() {
    let basic = json!({ "resourceType": "Basic", "meta": { "code": { "text": "flow" } } });
    let (body, _) = settles(Profile::Ihris, basic);
    assert_eq!(body, json!({ "resourceType": "Basic", "code": { "text": "flow" } }));
    let message = json!({ "resourceType": "Communication", "basedOn": "CommunicationRequest/1" });
    let (body, repairs) = settles(Profile::Ihris, message);
    assert_eq!(body["basedOn"], json!([{ "reference": "CommunicationRequest/1" }]));
    assert_eq!(repairs.len(), 2);
}

#[test]
fn what_cht_sends_becomes_r4() {
    let encounter = json!({
        "resourceType": "Encounter", "status": "finished", "class": "outpatient",
        "identifier": { "system": "cht", "value": "u-1" }, "type": { "0": { "text": "visit" } },
        "subject": { "reference": "Patient/?identifier=u-1" },
    });
    let (body, repairs) = settles(Profile::Cht, encounter);
    assert_eq!(body["class"]["code"], "AMB");
    assert_eq!(body["identifier"], json!([{ "system": "cht", "value": "u-1" }]));
    assert_eq!(body["type"], json!([{ "text": "visit" }]));
    assert_eq!(body["subject"]["reference"], "Patient?identifier=u-1");
    let places: Vec<&str> = repairs.iter().map(|(_, place)| place.as_str()).collect();
    assert_eq!(
        places,
        ["Encounter.class", "Encounter.identifier", "Encounter.type", "Encounter.subject.reference"]
    );
    let practitioner = json!({
        "resourceType": "Practitioner", "identifier": { "use": "official", "value": "cht/7" },
        "name": [{ "system": "cht", "family": "a", "given": "b" }],
        "telecom": { "system": "phone", "value": "1" },
    });
    let (body, _) = settles(Profile::Cht, practitioner);
    assert_eq!(body["name"], json!([{ "family": "a", "given": ["b"] }]));
}

#[test]
fn a_class_that_nobody_knows_stays_words() {
    let encounter = json!({ "resourceType": "Encounter", "status": "finished", "class": "under a tree" });
    let (body, _) = settles(Profile::Cht, encounter);
    assert_eq!(body["class"], json!({ "display": "under a tree" }));
}

#[test]
fn an_id_that_nobody_has_is_an_identifier() {
    let mut request = json!({
        "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "subject": { "reference": "Patient/u-1" }, "requester": { "reference": "Organization/o-1" },
    });
    let named = doubtful(Profile::Cht, &request);
    let own = |kind: &str, id: &str| (kind.to_owned(), id.to_owned());
    assert_eq!(named, [own("Organization", "o-1"), own("Patient", "u-1")]);
    assert!(doubtful(Profile::OpenSrp, &request).is_empty());
    let repairs = refer_by_identifier(&mut request, &[own("Patient", "u-1")]);
    assert_eq!(request["subject"]["reference"], "Patient?identifier=u-1");
    assert_eq!(request["requester"]["reference"], "Organization/o-1");
    assert_eq!(repairs.len(), 1);
}

#[test]
fn a_post_of_the_same_is_an_update() {
    let patient = json!({ "resourceType": "Patient", "id": "x", "identifier": [
        { "value": "a|b" }, { "use": "official", "system": "urn:s", "value": "1,2" }] });
    assert_eq!(by_identifier(&patient).as_deref(), Some("identifier=urn%3As%7C1%5C%2C2"));
    let unofficial = json!({ "identifier": [{}, { "value": "a|b" }] });
    assert_eq!(by_identifier(&unofficial).as_deref(), Some("identifier=%7Ca%5C%7Cb"));
    assert_eq!(by_identifier(&json!({ "identifier": [{ "system": "s" }] })), None);
    let mut posted = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "resource": patient.clone(), "request": { "method": "POST", "url": "Patient" } },
        { "resource": patient, "request": { "method": "PUT", "url": "Patient/x" } }] });
    let repairs = bundle(Profile::Cht, &["Patient".to_owned()], &mut posted);
    assert_eq!(posted["entry"][0]["request"]["url"], "Patient?identifier=urn%3As%7C1%5C%2C2");
    assert_eq!(posted["entry"][0]["request"]["method"], "PUT");
    assert_eq!(posted["entry"][0]["resource"].get("id"), None);
    assert_eq!(posted["entry"][1]["request"]["url"], "Patient/x");
    assert_eq!((repairs.len(), repairs[0].entry, repairs[0].code), (1, Some(0), "post-as-update"));
    assert_eq!(repairs[0].place, "Bundle.entry[0].resource.identifier");
}

#[test]
fn the_id_of_the_url_counts_for_commcare() {
    let mut sent = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "resource": { "resourceType": "Patient", "id": "case" }, "request": { "method": "PUT", "url": "Patient/7" } },
        { "resource": { "resourceType": "Patient" }, "request": { "method": "POST", "url": "Patient/" } }] });
    let repairs = bundle(Profile::CommCare, &[], &mut sent);
    assert_eq!(sent["entry"][0]["resource"]["id"], "7");
    assert_eq!(repairs.len(), 1);
    assert!(bundle(Profile::CommCare, &[], &mut sent).is_empty());
}

#[test]
fn nothing_panics_on_nonsense() {
    let nonsense = [
        json!(null),
        json!([]),
        json!({ "resourceType": 1 }),
        json!({ "resourceType": "Encounter", "class": ["x"], "identifier": null }),
        json!({ "resourceType": "Patient", "name": { "0": {}, "2": {} }, "identifier": "x" }),
        json!({ "entry": { "resource": 1 } }),
        json!({ "entry": [1, { "request": { "method": "PUT", "url": "/" }, "resource": [] }] }),
    ];
    for profile in Profile::ALL {
        for mut value in nonsense.clone() {
            resource(profile, &mut value);
            bundle(profile, &["Patient".to_owned()], &mut value);
            let _ = (by_identifier(&value), doubtful(profile, &value));
        }
    }
}

#[test]
fn profiles_have_names() {
    for profile in Profile::ALL {
        assert_eq!(Profile::parse(profile.name()), Some(profile));
    }
    assert_eq!(Profile::parse("other"), None);
}
