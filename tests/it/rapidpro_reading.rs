//! RapidPro's recorded answers, flows and runs, read.

use std::path::PathBuf;

use mjumbe::rapidpro::client::fault::{self, Effect, Kind, Problem};
use mjumbe::rapidpro::flow::{self, Flow, Giver, Standing};
use mjumbe::rapidpro::run::{self, Origin};
use mjumbe::rapidpro::webhook;
use serde_json::{Value, json};

const URL: &str = "https://rapidpro.example.org";

pub fn recording(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rapidpro").join(name);
    let text = std::fs::read_to_string(path.with_extension("json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Every row of the table against the recording that its comment names.
#[test]
fn each_failure_is_read_as_it_was_recorded() {
    use Kind::{Forbidden, Gone, Refused, Suspended, Throttled, Unauthenticated, Unavailable};
    let rows: &[(&str, Kind, &str)] = &[
        ("auth_none", Unauthenticated, "rapidpro-token-missing"),
        ("auth_bearer_scheme", Unauthenticated, "rapidpro-token-missing"),
        ("auth_invalid_token", Unauthenticated, "rapidpro-token-invalid"),
        ("auth_malformed_no_key", Unauthenticated, "rapidpro-token-invalid"),
        ("auth_basic_bad", Unauthenticated, "rapidpro-token-invalid"),
        ("auth_surveyor_runs_get", Forbidden, "rapidpro-role-forbids"),
        ("auth_surveyor_forbidden_contacts_post", Forbidden, "rapidpro-role-forbids"),
        ("suspended_org_contacts_post", Suspended, "rapidpro-workspace-suspended"),
        ("suspended_org_flow_starts_post", Suspended, "rapidpro-workspace-suspended"),
        ("contacts_post_update_deleted", Gone, "rapidpro-contact-deleted"),
        ("anon_contacts_get_by_urn", Refused, "rapidpro-workspace-anonymous"),
        ("anon_contacts_post_update_urns", Refused, "rapidpro-workspace-anonymous"),
        ("contacts_post_name_too_long", Refused, "rapidpro-invalid"),
        ("contacts_post_group_missing", Refused, "rapidpro-invalid"),
        ("contacts_get_bad_cursor", Refused, "rapidpro-cursor-invalid"),
        ("contacts_post_update_unknown_uuid", Gone, "rapidpro-not-found"),
        ("groups_delete_unknown", Gone, "rapidpro-not-found"),
        ("unknown_endpoint", Unavailable, "rapidpro-not-an-api"),
        ("method_not_allowed_put", Refused, "rapidpro-method-not-allowed"),
        ("groups_post_limit_reached_409", Refused, "rapidpro-limit-reached"),
        ("fields_post_limit_reached_409", Refused, "rapidpro-limit-reached"),
        ("body_wrong_content_type", Refused, "rapidpro-media-type"),
        ("throttled_429_runs", Throttled, "rapidpro-throttled"),
        ("throttled_429_contacts_post", Throttled, "rapidpro-throttled"),
        ("contacts_post_same_urn_twice", Unavailable, "rapidpro-server-error"),
        ("mailroom_down_contacts_post_create", Unavailable, "rapidpro-server-error"),
    ];
    for (name, kind, code) in rows {
        let fault = read_recorded(name, Effect::Write);
        assert_eq!((fault.kind, fault.code), (*kind, *code), "{name}");
    }
}

#[test]
fn complaints_about_fields_are_told_apart_without_repeating_numbers() {
    /// Recording, code, field, problem, what it names.
    type Row = (&'static str, &'static str, Option<&'static str>, Problem, Option<&'static str>);
    let rows: &[Row] = &[
        ("contacts_post_duplicate_urn", "urns", None, Problem::UrnTaken, None),
        ("contacts_post_invalid_phone_short", "urns", Some("0"), Problem::UrnInvalid, None),
        ("contacts_post_group_malformed", "groups", None, Problem::NoSuchObject, Some("nope")),
        ("contact_actions_unknown_group", "group", None, Problem::NoSuchObject, Some("Nope")),
        ("contacts_post_field_unknown", "fields", None, Problem::UnknownField, Some("nope")),
        ("contacts_post_blocked_add_group", "groups", None, Problem::ContactNotActive, None),
        ("contact_actions_add_blocked_to_group", "non_field_errors", None, Problem::ContactNotActive, None),
        ("contacts_post_language_2letter", "language", None, Problem::Other, None),
        ("contacts_post_name_too_long", "name", None, Problem::Other, None),
    ];
    for (name, field, place, problem, subject) in rows {
        let fault = read_recorded(name, Effect::Write);
        let first = fault.fields.first().unwrap_or_else(|| panic!("{name}: no complaint"));
        assert_eq!(first.field, *field, "{name}");
        assert_eq!((first.place.as_deref(), first.problem), (*place, *problem), "{name}");
        assert_eq!(first.subject.as_deref(), *subject, "{name}");
        assert!(!fault.to_string().contains("2507"), "{name}: {fault}");
    }
}

#[test]
fn only_a_failed_write_is_unclear_and_only_throttling_asks_to_wait() {
    assert!(read_recorded("contacts_post_same_urn_twice", Effect::Write).unclear);
    assert!(!read_recorded("contacts_post_same_urn_twice", Effect::Read).unclear);
    assert!(!read_recorded("contacts_post_duplicate_urn", Effect::Write).unclear);
    let throttled = read_recorded("throttled_429_runs", Effect::Read);
    assert_eq!(throttled.retry_after, Some(std::time::Duration::from_secs(3600)));
    let without_header = fault::read(
        429,
        None,
        br#"{"detail": "Request was throttled. Expected available in 17 seconds."}"#,
        Effect::Read,
    );
    assert_eq!(without_header.retry_after, Some(std::time::Duration::from_secs(17)));
}

#[test]
fn a_page_of_something_in_between_is_not_rapidpros() {
    for status in [301, 302, 400, 403, 418] {
        let page = fault::read(status, None, b"<html>Blocked by firewall</html>", Effect::Read);
        assert!(
            matches!(page.code, "rapidpro-foreign-answer" | "rapidpro-invalid"),
            "{status}: {}",
            page.code
        );
    }
}

fn read_recorded(name: &str, effect: Effect) -> fault::Fault {
    let recorded = recording(name);
    let body = match &recorded["body"] {
        Value::String(text) => text.clone(),
        body => body.to_string(),
    };
    let status = u16::try_from(recorded["status"].as_u64().unwrap()).unwrap();
    let retry_after = recorded["headers"]["Retry-After"].as_str();
    fault::read(status, retry_after, body.as_bytes(), effect)
}

fn community_flow() -> Flow {
    Flow::read(&recording("definitions_get_one_flow_no_deps")["body"]["flows"][0]).unwrap()
}

fn read_run(name: &str, flow: Option<&Flow>) -> run::Reading {
    let run = &recording(name)["body"]["results"][0];
    run::read(run, flow, Origin { url: URL, link: None }).unwrap()
}

/// linkId → answer, as one object.
fn answers(reading: &run::Reading) -> Value {
    let items = reading.response["item"].as_array().cloned().unwrap_or_default();
    let pairs =
        items.iter().map(|item| (item["linkId"].as_str().unwrap().to_owned(), item["answer"][0].clone()));
    Value::Object(pairs.collect())
}

#[test]
fn a_completed_run_becomes_a_typed_response() {
    let flow = community_flow();
    let reading = read_run("runs_get_completed_by_contact", Some(&flow));
    let response = &reading.response;
    assert_eq!(response["status"], "completed");
    assert_eq!(response["identifier"]["system"], format!("{URL}/run"));
    assert_eq!(response["identifier"]["value"], "9136f5fb-f7b6-4463-b418-c7a5de02abab");
    assert_eq!(response["questionnaire"], format!("{URL}/flow/{}|{}", flow.uuid, flow.revision.unwrap()));
    assert_eq!(response["_questionnaire"]["extension"][0]["valueString"], "Community Case Report");
    assert_eq!(response["source"]["identifier"]["value"], "a0359c33-c9b2-40e5-b56d-b4fa6fa19e5b");
    assert!(response["source"].get("reference").is_none());
    // `set_run_result` came last; the webhook and the resthook after it are no answers.
    assert_eq!(response["authored"], "2026-11-20T21:41:30.754753Z");
    assert_eq!(
        answers(&reading),
        json!({
            "patient_name": {"valueString": "Jean Bosco"},
            "patient_age": {"valueDecimal": 7},
            "sex": {"valueCoding": {"code": "Male", "display": "Male"}},
            "fever": {"valueBoolean": true},
            "onset_date": {"valueDate": "2026-11-12"},
            "province": {"valueString": "Rwanda > Kigali City"},
            "district": {"valueString": "Rwanda > Kigali City > Nyarugenge"},
            "caregiver_phone": {"valueString": "+250788222333"},
            "notes": {"valueString": "Fever for 3 days, vomiting"},
            "case_status": {"valueString": "suspected"}
        })
    );
    assert_eq!(response["item"][1]["text"], "How old is the patient, in years?");
    assert!(reading.untyped.is_empty() && reading.unreadable.is_empty());
}

#[test]
fn answers_in_french_have_the_categories_of_the_base_language() {
    let answers = answers(&read_run("runs_get_completed_french_contact", Some(&community_flow())));
    assert_eq!(answers["sex"]["valueCoding"]["code"], "Female");
    assert_eq!(answers["fever"]["valueBoolean"], true);
}

#[test]
fn a_timeout_is_no_answer() {
    let reading = read_run("runs_get_completed_after_timeout", Some(&community_flow()));
    assert!(answers(&reading).get("notes").is_none());
    assert_eq!(answers(&reading)["patient_age"]["valueDecimal"], 44);
}

#[test]
fn what_no_case_recognised_is_no_answer() {
    let reading = read_run("runs_get_stuck_on_invalid_date_other_category", Some(&community_flow()));
    assert!(answers(&reading).get("onset_date").is_none());
    assert_eq!(reading.response["status"], "in-progress");
    // The last answer, not the refused attempts after it.
    assert_eq!(reading.response["authored"], "2026-11-20T22:00:25.629650Z");
}

#[test]
fn each_way_to_end_has_its_status() {
    for (name, status) in [
        ("runs_get_active_partial", "in-progress"),
        ("runs_get_completed_by_contact", "completed"),
        ("runs_get_expired", "stopped"),
        ("runs_get_interrupted_by_action", "stopped"),
        ("runs_get_failed", "stopped"),
    ] {
        assert_eq!(read_run(name, None).response["status"], status, "{name}");
    }
}

#[test]
fn a_run_without_its_definition_is_read_without_types_and_says_so() {
    let reading = read_run("runs_get_completed_by_contact", None);
    let answers = answers(&reading);
    assert_eq!(answers["sex"]["valueCoding"], json!({"code": "Male", "display": "male"}));
    assert_eq!(answers["patient_age"]["valueCoding"], json!({"code": "0 - 120", "display": "7"}));
    assert_eq!(answers["notes"]["valueString"], "Fever for 3 days, vomiting");
    assert!(answers.get("webhook").is_none() && answers.get("resthook").is_none());
    assert_eq!(reading.response["meta"]["tag"][0]["code"], run::UNTYPED_TAG.1);
    assert_eq!(reading.untyped.len(), 10);
    assert!(!reading.response["questionnaire"].as_str().unwrap().contains('|'));
}

#[test]
fn a_run_of_a_linked_contact_refers_to_the_resource() {
    let run = &recording("runs_get_completed_by_contact")["body"]["results"][0];
    let origin = Origin { url: URL, link: Some("Practitioner/1") };
    let response = run::read(run, None, origin).unwrap().response;
    assert_eq!(response["source"]["reference"], "Practitioner/1");
    assert!(response["source"]["identifier"]["value"].is_string());
}

#[test]
fn a_run_of_a_newer_rapidpro_has_neither_input_nor_id() {
    let mut run = recording("runs_get_completed_by_contact")["body"]["results"][0].clone();
    run.as_object_mut().unwrap().remove("id");
    for value in run["values"].as_object_mut().unwrap().values_mut() {
        value.as_object_mut().unwrap().remove("input");
    }
    let flow = community_flow();
    let new = run::read(&run, Some(&flow), Origin { url: URL, link: None }).unwrap();
    assert_eq!(new, read_run("runs_get_completed_by_contact", Some(&flow)));
}

#[test]
fn every_reading_is_r4() {
    let flow = community_flow();
    for name in [
        "runs_get_completed_by_contact",
        "runs_get_completed_after_timeout",
        "runs_get_active_partial",
        "runs_get_failed",
        "runs_get_expired",
        "runs_get_webhook_404",
    ] {
        for flow in [None, Some(&flow)] {
            let mut response = read_run(name, flow).response;
            response["id"] = response["identifier"]["value"].clone();
            mjumbe_fhir_model::parse(response.clone())
                .unwrap_or_else(|error| panic!("{name}: {error}\n{response:#}"));
        }
    }
}

#[test]
fn numbers_keep_their_digits() {
    let flow = question_flow("has_number", &json!([]));
    for (value, expected) in [
        ("34.50", r#"{"valueDecimal":34.50}"#),
        ("007", r#"{"valueDecimal":7}"#),
        ("-3", r#"{"valueDecimal":-3}"#),
        ("0", r#"{"valueDecimal":0}"#),
        ("9999999999999999999", r#"{"valueDecimal":9999999999999999999}"#),
        ("0.10", r#"{"valueDecimal":0.10}"#),
    ] {
        assert_eq!(answer_to(&flow, value, "Match").unwrap().to_string(), expected, "{value}");
    }
    for value in ["", "abc", "1e9", "1.", ".5", "--1"] {
        assert_eq!(answer_to(&flow, value, "Match"), None, "{value}");
    }
}

#[test]
fn other_is_an_answer_where_it_is_an_option() {
    // U-Report's Occupation: "Other" is option i and also the default category.
    let flow = Flow::read(&definition(json!({
        "type": "switch", "operand": "@input", "result_name": "Q", "wait": {"type": "msg"},
        "default_category_uuid": "d",
        "categories": [
            {"uuid": "a", "name": "Health"}, {"uuid": "b", "name": "Other"}, {"uuid": "d", "name": "Other"}
        ],
        "cases": [
            {"uuid": "1", "type": "has_any_word", "arguments": ["health a"], "category_uuid": "a"},
            {"uuid": "2", "type": "has_any_word", "arguments": ["other i I"], "category_uuid": "b"}
        ]
    })))
    .unwrap();
    let other = json!({"valueCoding": {"code": "Other", "display": "Other"}});
    assert_eq!(answer_to(&flow, "i", "Other"), Some(other.clone()));
    assert_eq!(answer_to(&flow, "Other", "Other"), Some(other));
    assert_eq!(answer_to(&flow, "no idea", "Other"), None);
    assert_eq!(
        answer_to(&flow, "a", "Health"),
        Some(json!({"valueCoding": {"code": "Health", "display": "Health"}}))
    );
}

#[test]
fn a_word_beside_numbers_is_no_number() {
    let flow = Flow::read(&definition(json!({
        "type": "switch", "operand": "@input", "result_name": "Q", "wait": {"type": "msg"},
        "default_category_uuid": "d",
        "categories": [
            {"uuid": "u", "name": "Undo"}, {"uuid": "n", "name": "> 2002"}, {"uuid": "d", "name": "Other"}
        ],
        "cases": [
            {"uuid": "1", "type": "has_any_word", "arguments": ["undo"], "category_uuid": "u"},
            {"uuid": "2", "type": "has_number_gt", "arguments": ["2002"], "category_uuid": "n"}
        ]
    })))
    .unwrap();
    assert_eq!(answer_to(&flow, "undo", "Undo"), None);
    assert_eq!(answer_to(&flow, "2004", "> 2002"), Some(json!({"valueDecimal": 2004})));
}

#[test]
fn a_service_outcome_is_no_answer_in_any_version() {
    let webhook = json!({"uuid": "n", "exits": [],
        "actions": [{"uuid": "x", "type": "call_webhook", "result_name": "Q"}]});
    let newer = json!({"uuid": "n", "exits": [], "router": {
        "type": "switch", "operand": "@webhook.status", "result_name": "Q", "default_category_uuid": "d",
        "categories": [{"uuid": "s", "name": "Success"}, {"uuid": "d", "name": "Failure"}],
        "cases": [{"uuid": "1", "type": "has_number_between", "arguments": ["200", "299"], "category_uuid": "s"}]}});
    for node in [webhook, newer] {
        let flow =
            Flow::read(&json!({"uuid": FLOW, "name": "F", "language": "eng", "nodes": [node]})).unwrap();
        assert_eq!(answer_to(&flow, "200", "Success"), None);
    }
}

#[test]
fn a_code_has_no_white_space_around_it() {
    let flow = question_flow("has_any_word", &json!(["d"]));
    let flow = Flow { questions: vec![renamed(flow, "Self  employed ")], ..Flow::default() };
    let answer = answer_to(&flow, "d", "Self  employed ").unwrap();
    assert_eq!(answer["valueCoding"]["code"], "Self employed");
}

fn renamed(flow: Flow, name: &str) -> flow::Question {
    let mut question = flow.questions.into_iter().next().unwrap();
    question.nodes[0].options[0].name = name.to_owned();
    question
}

const FLOW: &str = "3bcb3e9a-f437-49f0-99c0-db6a839a228a";

fn definition(router: Value) -> Value {
    json!({"uuid": FLOW, "name": "F", "language": "eng", "revision": 3,
        "nodes": [{"uuid": "n", "exits": [], "router": router}]})
}

fn question_flow(test: &str, arguments: &Value) -> Flow {
    Flow::read(&definition(json!({
        "type": "switch", "operand": "@input.text", "result_name": "Q", "wait": {"type": "msg"},
        "default_category_uuid": "d",
        "categories": [{"uuid": "m", "name": "Match"}, {"uuid": "d", "name": "Other"}],
        "cases": [{"uuid": "1", "type": test, "arguments": arguments, "category_uuid": "m"}]
    })))
    .unwrap()
}

fn answer_to(flow: &Flow, value: &str, category: &str) -> Option<Value> {
    let mut run = recording("runs_get_active_partial")["body"]["results"][0].clone();
    run["values"] = json!({"q": {"value": value, "category": category, "node": "n",
        "time": "2026-11-20T21:42:38.577522Z", "name": "Q"}});
    let reading = run::read(&run, Some(flow), Origin { url: URL, link: None }).unwrap();
    answers(&reading).get("q").cloned()
}

#[test]
fn both_shapes_of_webhooks_are_hints() {
    let editor =
        recording("webhook_received_call_webhook_editor_default_body")["request"]["body"].to_string();
    let hint = webhook::read(editor.as_bytes()).unwrap();
    assert_eq!(hint.flow.unwrap().to_string(), FLOW);
    assert_eq!(hint.contact.unwrap().to_string(), "a0359c33-c9b2-40e5-b56d-b4fa6fa19e5b");
    assert_eq!(hint.run, None);
    let resthook = recording("webhook_received_resthook_payload")["request"]["body"].to_string();
    let hint = webhook::read(resthook.as_bytes()).unwrap();
    assert_eq!(hint.run.unwrap().to_string(), "97baa2df-10a9-46d8-9350-9056834f853d");
    let own = br#"{"run": "97baa2df-10a9-46d8-9350-9056834f853d", "anything": 1}"#;
    assert!(webhook::read(own).unwrap().run.is_some());
    for body in [&b"[]"[..], b"", b"phone=1", b"{}", br#"{"flow": {"uuid": "x"}}"#] {
        assert!(webhook::read(body).is_err());
    }
}

/// Published flows, where they are at hand: what each result is.
#[test]
fn published_flows_are_read_as_their_authors_meant() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures/flows");
    if !std::path::Path::new(folder).exists() {
        assert!(std::env::var_os("MJUMBE_REQUIRE_SHARED").is_none(), "{folder} is missing");
        eprintln!("skipped: {folder} is missing");
        return;
    }
    for (name, expected) in PUBLISHED {
        let text = std::fs::read_to_string(format!("{folder}/{name}.v13_2.export.json")).unwrap();
        let export: Value = serde_json::from_str(&text).unwrap();
        let flow = Flow::read(&export["flows"][0]).unwrap();
        assert_eq!(outline(&flow), *expected, "{name}");
        let rows = std::fs::read_to_string(format!("{folder}/{name}.flows_endpoint.json")).unwrap();
        let rows: Value = serde_json::from_str(&rows).unwrap();
        for result in rows[0]["results"].as_array().unwrap() {
            let key = result["key"].as_str().unwrap();
            for node in result["node_uuids"].as_array().unwrap() {
                assert!(flow.knows(key, node.as_str().unwrap()), "{name}: {key}");
            }
        }
    }
}

/// `key giver kind options`, `;` between nodes.
fn outline(flow: &Flow) -> String {
    let mut lines = Vec::new();
    for question in &flow.questions {
        for node in &question.nodes {
            let options: Vec<&str> = node
                .options
                .iter()
                .filter(|option| option.typed)
                .map(|option| option.name.as_str())
                .collect();
            let giver = match node.giver {
                Giver::Wait => "asks",
                Giver::Split => "splits",
                Giver::Set => "sets",
                Giver::Service => "serves",
            };
            lines.push(
                format!("{} {giver} {:?} {}", question.key, node.kind, options.join(",")).trim().to_owned(),
            );
        }
    }
    lines.join("\n")
}

const PUBLISHED: &[(&str, &str)] = &[
    (
        "synthetic_community_case_report",
        "patient_name asks Text\npatient_age asks Number 0 - 120\nsex asks Choice Male,Female\n\
         fever asks Boolean Yes,No\nonset_date asks Date Has Date\nprovince asks Location Has State\n\
         district asks Location Has District\ncaregiver_phone asks Phone Has Phone\nnotes asks Text\n\
         case_status sets Text\nwebhook serves Text\nresthook serves Text",
    ),
    (
        "who_summary_case_report",
        "patient_id asks Text\npatient_age asks Number Has Number\npatient_test_date asks Date Has Number",
    ),
    (
        "basic_form_gender_age_weight",
        "input asks Text\ngender splits Choice Male,Female\nage splits Number numeric\n\
         weight splits Number numeric",
    ),
    (
        "birthdate_check",
        "birthdate asks Date Is Date\n\
         response_2 splits Date < today +date_before days,> today +date_after days\napprox_age splits Text",
    ),
    ("dhis2_laboratory_testing", "result asks Text\nids_afi_lab_name sets Text\nevent_id sets Text"),
    (
        "dhis2_aggregate_sms_msg",
        "msg splits Text\ndata_set_code sets Text\ngen_ext_fund sets Text\n\
         mal_pop_total__mal_0514y sets Text\nmal_llin_distr_pw sets Text\ngen_domestic_fund sets Text",
    ),
    (
        "ureport_nigeria_registration",
        "language asks Choice English,Pidgin,Hausa,Yoruba,Igbo\nname asks Text\n\
         born asks Number > 2002,1996 - 2002,1989-1995,1979 - 1988,1959 - 1978,1949 - 1958,< 1948\n\
         gender asks Choice Male,Female\nstate asks Location state\nlga asks Location district\n\
         ward asks Text\nsettlement asks Text\n\
         occupation asks Choice Health,Education,Business,Self employed ,Student ,Uniformed,Agriculture,\
         Social worker,Other,Corper\noccupation asks Text",
    ),
];

/// The two nodes of one result are told apart by the node that gave the value.
#[test]
fn a_result_of_two_nodes_is_read_by_the_one_that_gave_it() {
    let flow = Flow::read(&json!({"uuid": FLOW, "name": "F", "language": "eng", "nodes": [
        {"uuid": "n", "exits": [], "router": {"type": "switch", "operand": "@input", "result_name": "Q",
            "wait": {"type": "msg"}, "default_category_uuid": "d",
            "categories": [{"uuid": "d", "name": "All Responses"}], "cases": []}},
        {"uuid": "m", "exits": [], "router": {"type": "switch", "operand": "@input", "result_name": "Q",
            "wait": {"type": "msg"}, "default_category_uuid": "e",
            "categories": [{"uuid": "c", "name": "A"}, {"uuid": "e", "name": "Other"}],
            "cases": [{"uuid": "1", "type": "has_any_word", "arguments": ["a"], "category_uuid": "c"}]}}
    ]}))
    .unwrap();
    let question = flow.question("q").unwrap();
    assert_eq!(question.node("n").unwrap().standing(Some("All Responses"), "x"), Standing::Answer(None));
    assert_eq!(question.node("m").unwrap().standing(Some("Other"), "x"), Standing::NoAnswer);
    assert!(matches!(question.node("m").unwrap().standing(Some("A"), "a"), Standing::Answer(Some(_))));
    assert_eq!(question.node("m").unwrap().standing(Some("Gone"), "a"), Standing::Unknown);
}
