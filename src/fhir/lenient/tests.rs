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

#[test]
fn what_is_empty_is_left_out_and_told_once() {
    let patient = json!({
        "resourceType": "Patient", "telecom": [{}], "photo": [], "gender": "", "birthDate": null,
        "name": [{ "family": "Okello", "given": [], "prefix": ["", "Dr"], "suffix": [null], "_suffix": [{ "id": "x" }] }],
        "extension": [{ "url": "http://x/a", "valueString": "" }, { "url": "http://x/b", "valueBoolean": false }],
        "contact": [{ "relationship": [{ "coding": [{ "code": "" }] }] }],
    });
    let (body, repairs) = repaired(Profile::Cht, patient.clone());
    let expected = json!({
        "resourceType": "Patient",
        "name": [{ "family": "Okello", "prefix": ["Dr"], "suffix": [null], "_suffix": [{ "id": "x" }] }],
        "extension": [{ "url": "http://x/b", "valueBoolean": false }],
    });
    assert_eq!(body, expected);
    assert!(repairs.iter().all(|(code, _)| *code == "empty-value"));
    let places: Vec<&str> = repairs.iter().map(|(_, place)| place.as_str()).collect();
    let expected = [
        "telecom",
        "photo",
        "gender",
        "birthDate",
        "name[0].given",
        "name[0].prefix[0]",
        "extension[0]",
        "contact",
    ];
    assert_eq!(places, expected.map(|place| format!("Patient.{place}")));
    for profile in [Profile::CommCare, Profile::OpenMrs] {
        assert_eq!(repaired(profile, patient.clone()), (patient.clone(), Vec::new()));
    }
}

#[test]
fn an_encounters_class_as_a_concept_is_its_first_coding() {
    let encounter =
        |class: Value| json!({ "resourceType": "Encounter", "status": "finished", "class": class });
    let coding = json!({ "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HH" });
    let (body, repairs) = settles(Profile::Cht, encounter(json!({ "text": "HH", "coding": [coding] })));
    assert_eq!((&body["class"], &*repairs[0].1), (&coding, "Encounter.class"));
    assert_eq!(settles(Profile::Cht, encounter(json!({ "text": "home" }))).0["class"]["code"], "HH");
    assert_eq!(settles(Profile::Cht, encounter(coding.clone())), (encounter(coding), Vec::new()));
}

#[test]
fn a_contact_without_system_gets_what_it_looks_like() {
    let of = |value: &str| {
        let patient = json!({ "resourceType": "Patient", "telecom": [{ "value": value }] });
        settles(Profile::Cht, patient).0["telecom"][0]["system"].as_str().unwrap().to_owned()
    };
    for phone in ["+254722000001", "0722 000-001", "(0)722/000.001"] {
        assert_eq!(of(phone), "phone", "{phone}");
    }
    for other in ["a@example.org", "12", "1+2345", "none"] {
        assert_eq!(of(other), "other", "{other}");
    }
    let said = json!({ "resourceType": "Patient", "telecom": [{ "system": "sms", "value": "1" }, { "use": "home" }] });
    assert_eq!(settles(Profile::Cht, said.clone()), (said, Vec::new()));
}

#[test]
fn the_audit_trail_of_ihris_is_r4() {
    let event = json!({
        "resourceType": "AuditEvent", "recorded": "2026-11-21T10:00:00.000Z", "outcome": 0, "entity": [],
        "type": { "system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest", "display": "" },
        "agent": [{ "name": "", "requestor": true, "network": { "address": "10.0.0.1", "type": 2 } }],
        "source": { "observer": { "display": "iHRIS" } },
    });
    let (body, repairs) = settles(Profile::Ihris, event);
    assert_eq!((&body["outcome"], &body["agent"][0]["network"]["type"]), (&json!("0"), &json!("2")));
    assert_eq!((body.get("entity"), body["agent"][0].get("name"), repairs.len()), (None, None, 5));
}

#[test]
fn what_ihris_configures_itself_with_is_let_through() {
    let role = json!({
        "resourceType": "Basic", "id": "ihris-role-hrofficer", "code": { "text": "role" },
        "extension": [{ "url": "http://ihris.org/fhir/StructureDefinition/ihris-assign-task", "valueId": "person:person_add" }],
    });
    let (body, repairs) = repaired(Profile::Ihris, role.clone());
    assert_eq!((&body, repairs), (&role, vec![("id-as-text", "Basic.extension[0].valueId".to_owned())]));
    assert!(Resource::tolerating(body.clone(), tolerated(Profile::Ihris)).is_ok());
    assert!(Resource::tolerating(body.clone(), tolerated(Profile::Cht)).is_err());
    let message = json!({
        "resourceType": "CommunicationRequest", "status": "active",
        "extension": [{ "url": "sender", "valueString": "Practitioner/p" }],
    });
    let (body, repairs) = repaired(Profile::Ihris, message);
    assert_eq!(repairs, [("relative-url", "CommunicationRequest.extension[0].url".to_owned())]);
    assert!(Resource::tolerating(body.clone(), tolerated(Profile::Ihris)).is_ok());
    assert!(Resource::tolerating(body, tolerated(Profile::OpenSrp)).is_err());
    let mut spaced = role;
    spaced["extension"][0]["valueId"] = json!("a task");
    assert!(Resource::tolerating(spaced, tolerated(Profile::Ihris)).is_err());
    let parameter = json!({
        "resourceType": "SearchParameter", "url": "http://x/p", "name": "x", "status": "active", "description": "x",
        "code": "x", "base": ["CommunicationRequest"], "type": "token", "expression": "CommunicationRequest.status",
        "xpath": "f:CommunicationRequest/f:status",
    });
    assert_eq!(settles(Profile::Ihris, parameter).0["xpathUsage"], "other");
}

#[test]
fn what_a_form_of_opensrp_contains_stays_as_it_is() {
    let list =
        json!({ "resourceType": "List", "id": "l", "status": "current", "mode": "working", "title": "x" });
    let response =
        json!({ "resourceType": "QuestionnaireResponse", "status": "completed", "contained": [list] });
    let (body, repairs) = repaired(Profile::OpenSrp, response.clone());
    let place = "QuestionnaireResponse.contained[0]".to_owned();
    assert_eq!((&body, repairs), (&response, vec![("contained-unused", place)]));
    assert!(Resource::tolerating(body.clone(), tolerated(Profile::OpenSrp)).is_ok());
    assert_eq!(Resource::from_value(body).unwrap_err().issues[0].code, "dom-3");
    // What else is wrong with it is not let through, however much is.
    let mut wrong = response;
    let list = wrong["contained"][0].clone();
    wrong["contained"] = (0..100)
        .map(|n| {
            let mut one = list.clone();
            one["id"] = format!("l{n}").into();
            one
        })
        .collect();
    wrong["status"] = json!("done");
    assert_eq!(
        Resource::tolerating(wrong, tolerated(Profile::OpenSrp)).unwrap_err().issues[0].code,
        "unknown-code"
    );
}
