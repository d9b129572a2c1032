//! The search parameters that iHRIS 5 defines itself, as it installs them: their expressions end at extensions, find
//! booleans for parameters of type string, and are called by its workflows, its reports and its access rules.

use mjumbe::fhir::client::Profile;
use mjumbe::store::testing::each_store;
use serde_json::{Value, json};

use super::search::stored;
use super::search_custom::soon;
use crate::server::TestServer;

/// Id, base, code, type, expression.
const OWN: [(&str, &str, &str, &str, &str); 23] = [
    (
        "basic-location-constraint",
        "Basic",
        "locationconstraint",
        "string",
        "Basic.extension('IHRIS/ihris-task').extension('constraint')",
    ),
    ("basic-name", "Basic", "name", "string", "Basic.extension('IHRIS/ihris-basic-name')"),
    (
        "basic-practitioner",
        "Basic",
        "practitioner",
        "reference",
        "Basic.extension('IHRIS/ihris-practitioner-reference')",
    ),
    (
        "basic-related-location",
        "Basic",
        "related-location",
        "string",
        "Basic.extension('IHRIS/ihris-related-group').extension('location') | Basic.extension('IHRIS/ihris-related-group').extension('location').empty()",
    ),
    (
        "basic-related-practitioner",
        "Basic",
        "related-practitioner",
        "string",
        "Basic.extension('IHRIS/ihris-related-group').extension('practitioner')",
    ),
    (
        "gofr-search-isbroadcast",
        "CommunicationRequest",
        "isbroadcast",
        "token",
        "CommunicationRequest.extension('http://mhero.org/fhir/StructureDefinition/mhero-comm-req-broadcast-starts').exists()",
    ),
    (
        "gofr-search-isflowstart",
        "CommunicationRequest",
        "isflowstart",
        "token",
        "CommunicationRequest.extension('http://mhero.org/fhir/StructureDefinition/mhero-comm-req-flow-starts').exists()",
    ),
    (
        "leaveperiod-search",
        "Basic",
        "leaveperiod",
        "date",
        "Basic.extension.where(url='IHRIS/ihris-ethiopia-leave').extension.where(url='period')",
    ),
    (
        "leavetype-search",
        "Basic",
        "leavetype",
        "token",
        "Basic.extension.where(url='IHRIS/ihris-ethiopia-leave').extension.where(url='leave-type')",
    ),
    (
        "location-related-location",
        "Location",
        "related-location",
        "string",
        "Location.extension('IHRIS/ihris-related-group').extension('location') | Location.extension('IHRIS/ihris-related-group').extension('location').empty()",
    ),
    (
        "performanceperiod-search",
        "Basic",
        "performanceperiod",
        "date",
        "Basic.extension.where(url='IHRIS/ihris-performance').extension.where(url='period')",
    ),
    (
        "practitioner-renewrole",
        "Practitioner",
        "renewrole",
        "string",
        "Practitioner.identifier.where(type.coding.code='PractitionerRole.period.start').value",
    ),
    (
        "practitioner-phone",
        "Practitioner",
        "phonenumber",
        "string",
        "Practitioner.telecom.where(system='phone').value",
    ),
    (
        "practitioner-related-location",
        "Practitioner",
        "related-location",
        "string",
        "Practitioner.extension('IHRIS/ihris-related-group').extension('location') | Practitioner.extension('IHRIS/ihris-related-group').extension('location').empty()",
    ),
    (
        "practitioner-related-practitioner",
        "Practitioner",
        "related-practitioner",
        "string",
        "Practitioner.extension('IHRIS/ihris-related-group').extension('practitioner')",
    ),
    (
        "employment-status-search",
        "PractitionerRole",
        "employmentstatus",
        "token",
        "PractitionerRole.extension.where(url='IHRIS/ihris-practitionerrole-employment-status')",
    ),
    ("job-search", "PractitionerRole", "job", "token", "PractitionerRole.code"),
    (
        "position-status-search",
        "PractitionerRole",
        "positionstatus",
        "token",
        "PractitionerRole.extension.where(url='IHRIS/ihris-practitionerrole-position-status')",
    ),
    (
        "practitionerrole-related-location",
        "PractitionerRole",
        "related-location",
        "string",
        "PractitionerRole.extension('IHRIS/ihris-related-group').extension('location') | PractitionerRole.extension('IHRIS/ihris-related-group').extension('location').empty()",
    ),
    (
        "practitionerrole-related-practitioner",
        "PractitionerRole",
        "related-practitioner",
        "string",
        "PractitionerRole.extension('IHRIS/ihris-related-group').extension('practitioner')",
    ),
    ("practitioner-birthdate", "Practitioner", "birthDate", "date", "Practitioner.birthDate"),
    (
        "practitioner-employeeNumber",
        "Practitioner",
        "employeeNumber",
        "string",
        "Practitioner.identifier.where(type.coding.code='EN').value",
    ),
    ("active-user", "Person", "active", "token", "Person.active"),
];

const IHRIS: &str = "http://ihris.org/fhir/StructureDefinition";

fn definitions() -> Vec<Value> {
    let one = |(id, base, code, kind, expression): &(&str, &str, &str, &str, &str)| {
        json!({
            "resourceType": "SearchParameter", "id": id, "url": format!("http://ihris.org/fhir/SearchParameter/{id}"),
            "name": "Search Parameter on a name extension on Basic resources", "status": "active", "description": "Search",
            "code": code, "base": [base], "type": kind, "expression": expression.replace("IHRIS", IHRIS),
            "xpathUsage": "normal", "target": ["Practitioner"],
        })
    };
    OWN.iter().map(one).collect()
}

fn extension(name: &str, key: &str, value: Value) -> Value {
    let mut one = json!({ "url": format!("{IHRIS}/{name}") });
    one[key] = value;
    one
}

fn inner(name: &str, key: &str, value: Value) -> Value {
    let mut one = json!({ "url": name });
    one[key] = value;
    one
}

fn group(members: &[(&str, &str)]) -> Value {
    let members: Vec<Value> =
        members.iter().map(|(name, value)| inner(name, "valueString", json!(value))).collect();
    extension("ihris-related-group", "extension", json!(members))
}

fn coded(name: &str, code: &str) -> Value {
    extension(name, "valueCoding", json!({ "system": format!("urn:{name}"), "code": code }))
}

fn registry() -> Vec<Value> {
    let period = inner("period", "valuePeriod", json!({ "start": "2024-03-01", "end": "2024-03-20" }));
    let sick = inner("leave-type", "valueCoding", json!({ "system": "urn:leave", "code": "sick" }));
    let number =
        |code: &str, value: &str| json!({ "type": { "coding": [{ "code": code }] }, "value": value });
    let near = [
        ("practitioner", "Practitioner/ange"),
        ("location", "Location/huye"),
        ("location", "Location/south"),
    ];
    let starts = |name: &str| json!([{ "url": format!("http://mhero.org/fhir/StructureDefinition/{name}"), "valueString": "x" }]);
    vec![
        json!({ "resourceType": "Practitioner", "id": "ange", "birthDate": "1990-02-03",
            "telecom": [{ "system": "phone", "value": "+250788000001" }, { "system": "phone", "value": "0728 111 222" }],
            "identifier": [number("EN", "E-17"), number("PractitionerRole.period.start", "2026-01-01")],
            "extension": [group(&near)] }),
        json!({ "resourceType": "Practitioner", "id": "bea", "telecom": [{ "system": "email", "value": "788@example.org" }] }),
        json!({ "resourceType": "PractitionerRole", "id": "role", "code": [{ "coding": [{ "system": "urn:job", "code": "nurse" }] }],
            "extension": [coded("ihris-practitionerrole-employment-status", "permanent"),
                coded("ihris-practitionerrole-position-status", "closed"), group(&near)] }),
        json!({ "resourceType": "Location", "id": "huye", "status": "active", "extension": [group(&near[1..])] }),
        json!({ "resourceType": "Basic", "id": "leave", "code": { "text": "leave" }, "extension": [
            extension("ihris-practitioner-reference", "valueReference", json!({ "reference": "Practitioner/ange" })),
            extension("ihris-ethiopia-leave", "extension", json!([period, sick])), group(&near) ] }),
        json!({ "resourceType": "Basic", "id": "review", "code": { "text": "review" },
            "extension": [extension("ihris-performance", "extension", json!([period]))] }),
        json!({ "resourceType": "Basic", "id": "task", "code": { "text": "task" }, "extension": [
            extension("ihris-basic-name", "valueString", json!("See the South")),
            extension("ihris-task", "extension", json!([inner("constraint", "valueString", json!("related-location=Location/south"))])) ] }),
        json!({ "resourceType": "CommunicationRequest", "id": "flow", "status": "active", "extension": starts("mhero-comm-req-flow-starts") }),
        json!({ "resourceType": "CommunicationRequest", "id": "sms", "status": "active", "extension": starts("mhero-comm-req-broadcast-starts") }),
        json!({ "resourceType": "Person", "id": "user", "active": true }),
    ]
}

const SEARCHES: [(&str, &str); 28] = [
    // Is a number taken already? (workflowPractitioner.js)
    ("Practitioner?phonenumber:contains=788000001", "ange"),
    ("Practitioner?phonenumber:contains=999999999,788000001", "ange"),
    ("Practitioner?phonenumber:contains=999999999", ""),
    ("Practitioner?phonenumber=0728", "ange"),
    // Access rules: `related-location=(.+)` of a role's task.
    ("Practitioner?related-location=Location/huye", "ange"),
    ("Practitioner?related-location=Location/huye,Location/south", "ange"),
    ("Practitioner?related-location=true", "bea"),
    ("Practitioner?related-practitioner=Practitioner/ange", "ange"),
    ("PractitionerRole?related-location=Location/south", "role"),
    ("PractitionerRole?related-practitioner=Practitioner/ange", "role"),
    ("Location?related-location=Location/south", "huye"),
    ("Location?related-location=true", ""),
    ("Basic?related-location=Location/huye", "leave"),
    ("Basic?related-practitioner=Practitioner/ange", "leave"),
    ("Basic?locationconstraint=related-location%3DLocation/south", "task"),
    ("Basic?name=see", "task"),
    ("Basic?practitioner=Practitioner/ange", "leave"),
    ("Basic?practitioner=ange", "leave"),
    ("Basic?leavetype=sick", "leave"),
    ("Basic?leaveperiod=ge2024-03-10", "leave"),
    ("Basic?performanceperiod=2024", "review"),
    ("PractitionerRole?employmentstatus=permanent&positionstatus=closed&job=urn:job|nurse", "role"),
    ("PractitionerRole?employmentstatus=left", ""),
    ("Practitioner?birthDate=lt2000&employeeNumber=E-17", "ange"),
    ("Practitioner?renewrole=2026", "ange"),
    ("CommunicationRequest?isflowstart=true", "flow"),
    ("CommunicationRequest?isbroadcast=true", "sms"),
    ("Person?active=true", "user"),
];

#[tokio::test]
async fn its_search_parameters_find_as_its_workflows_ask() {
    each_store(|store| async move {
        let mut server = TestServer::start(store).await;
        server.become_client(Profile::Ihris).await;
        stored(&server, &registry()).await;
        // As its loader sends them: one transaction.
        let entry = |one: Value| {
            let url = format!("SearchParameter/{}", one["id"].as_str().unwrap());
            json!({ "resource": one, "request": { "method": "PUT", "url": url } })
        };
        let entries: Vec<Value> = definitions().into_iter().map(entry).collect();
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
        let loaded = server.post("", &bundle).await;
        assert_eq!(loaded.status, 200, "{}", loaded.body);
        for (path, expected) in SEARCHES {
            soon(&server, path, expected).await;
        }
        server.stop().await;
    })
    .await;
}
