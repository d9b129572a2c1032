//! Flows as Questionnaires: recorded and published ones, and the answers that must fit them.

use mjumbe::fhir::resource::Resource;
use mjumbe::rapidpro::flow::Flow;
use mjumbe::rapidpro::flow::questionnaire::{Status, questionnaire};
use mjumbe::rapidpro::run::{self, Origin};
use serde_json::{Value, json};

use super::rapidpro_reading::recording;

const URL: &str = "https://rapidpro.example.org";

fn of(definition: &Value, status: Status) -> Value {
    questionnaire(&Flow::read(definition).unwrap(), status, URL)
}

fn community() -> Value {
    recording("definitions_get_one_flow_no_deps")["body"]["flows"][0].clone()
}

/// Our own check of R4, and fhirbolt's model.
#[track_caller]
fn assert_r4(resource: &Value) {
    let mut whole = resource.clone();
    whole["id"] = json!("x");
    if let Err(outcome) = Resource::from_value(whole.clone()) {
        panic!("{outcome:?}\n{whole:#}");
    }
    mjumbe_fhir_model::parse(whole.clone()).unwrap_or_else(|error| panic!("{error}\n{whole:#}"));
}

#[test]
fn the_community_case_report_is_a_typed_questionnaire_in_two_languages() {
    let questionnaire = of(&community(), Status::Active);
    assert_r4(&questionnaire);
    insta::assert_snapshot!("community_case_report", format!("{questionnaire:#}"));
}

#[test]
fn an_archived_flow_is_retired_and_an_unchanged_one_is_equal() {
    let definition = community();
    assert_eq!(Status::of(&json!({"archived": true})), Status::Retired);
    assert_eq!(of(&definition, Status::Retired)["status"], "retired");
    assert_eq!(of(&definition, Status::Active).to_string(), of(&definition, Status::Active).to_string());
}

/// Every recorded answer has an item with its linkId, in its order, of its type and among its options.
#[test]
fn recorded_answers_fit_their_questionnaire() {
    let flow = Flow::read(&community()).unwrap();
    let questionnaire = questionnaire(&flow, Status::Active, URL);
    let items = questionnaire["item"].as_array().unwrap();
    for name in [
        "runs_get_completed_by_contact",
        "runs_get_completed_french_contact",
        "runs_get_completed_after_timeout",
        "runs_get_active_partial",
        "runs_get_expired",
        "runs_get_stuck_on_invalid_date_other_category",
    ] {
        let run = &recording(name)["body"]["results"][0];
        let reading = run::read(run, Some(&flow), Origin { url: URL, link: None }).unwrap();
        let canonical = format!(
            "{}|{}",
            questionnaire["url"].as_str().unwrap(),
            questionnaire["version"].as_str().unwrap()
        );
        assert_eq!(reading.response["questionnaire"], canonical, "{name}");
        let mut last = 0;
        for answered in reading.response["item"].as_array().into_iter().flatten() {
            let at = items.iter().position(|item| item["linkId"] == answered["linkId"]);
            let at = at.unwrap_or_else(|| panic!("{name}: {answered}"));
            assert!(at >= last, "{name}: {answered} is out of order");
            last = at;
            assert_fits(&items[at], &answered["answer"][0]);
        }
    }
}

#[track_caller]
fn assert_fits(item: &Value, answer: &Value) {
    let value = answer.as_object().unwrap().keys().next().unwrap().as_str();
    let expected: &[&str] = match item["type"].as_str().unwrap() {
        "choice" => &["valueCoding"],
        "open-choice" => &["valueCoding", "valueString"],
        "boolean" => &["valueBoolean"],
        "decimal" => &["valueDecimal"],
        "date" => &["valueDate"],
        "time" => &["valueTime"],
        "string" => &["valueString"],
        other => panic!("{other}"),
    };
    assert!(expected.contains(&value), "{item} {answer}");
    if value == "valueCoding" {
        let codes: Vec<&Value> = item["answerOption"]
            .as_array()
            .unwrap()
            .iter()
            .map(|option| &option["valueCoding"]["code"])
            .collect();
        assert!(codes.contains(&&answer["valueCoding"]["code"]), "{item} {answer}");
    }
}

/// Where they are at hand: linkIds, types, bounds, numbers of options, languages; none of their words.
#[test]
fn published_flows_are_questionnaires() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures/flows");
    if !std::path::Path::new(folder).exists() {
        assert!(std::env::var_os("MJUMBE_REQUIRE_SHARED").is_none(), "{folder} is missing");
        eprintln!("skipped: {folder} is missing");
        return;
    }
    for (name, expected) in PUBLISHED {
        let text = std::fs::read_to_string(format!("{folder}/{name}.v13_2.export.json")).unwrap();
        let export: Value = serde_json::from_str(&text).unwrap();
        let questionnaire = of(&export["flows"][0], Status::Active);
        assert_r4(&questionnaire);
        assert_eq!(skeleton(&questionnaire), *expected, "{name}");
    }
}

/// `linkId type`, then `from N`, `to N`, `N options`, `hidden`, and the languages of its words.
fn skeleton(questionnaire: &Value) -> String {
    let items = questionnaire["item"].as_array().cloned().unwrap_or_default();
    let lines: Vec<String> = items.iter().map(line).collect();
    lines.join("\n")
}

fn line(item: &Value) -> String {
    let mut line = format!("{} {}", item["linkId"].as_str().unwrap(), item["type"].as_str().unwrap());
    for extension in item["extension"].as_array().into_iter().flatten() {
        let kind = extension["url"].as_str().unwrap().rsplit('/').next().unwrap();
        let value = ["valueDecimal", "valueDate"].into_iter().find_map(|key| extension.get(key));
        line += &match (kind, value) {
            ("minValue", Some(value)) => format!(" from {value}"),
            ("maxValue", Some(value)) => format!(" to {value}"),
            _ => " hidden".to_owned(),
        };
    }
    if let Some(options) = item["answerOption"].as_array() {
        line += &format!(" {} options", options.len());
    }
    let languages: Vec<&str> = item["_text"]["extension"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|extension| extension["extension"][0]["valueCode"].as_str().unwrap())
        .collect();
    if !languages.is_empty() {
        line += &format!(" {}", languages.join(","));
    }
    // A sentence, and not the result's name.
    let asked = item["readOnly"] != true && item["text"].as_str().unwrap().contains(' ');
    if asked { line + " asked" } else { line }
}

const PUBLISHED: &[(&str, &str)] = &[
    (
        "synthetic_community_case_report",
        "patient_name string fr asked\npatient_age decimal from 0 to 120 fr asked\nsex choice 2 options fr asked\n\
         fever boolean fr asked\nonset_date date fr asked\nprovince string fr asked\ndistrict string fr asked\n\
         caregiver_phone string fr asked\nnotes string fr asked\ncase_status string hidden",
    ),
    (
        "who_summary_case_report",
        "patient_id string asked\npatient_age decimal from 0 to 110 asked\npatient_test_date date asked",
    ),
    (
        "basic_form_gender_age_weight",
        "input string\ngender choice hidden 2 options\nage decimal hidden\nweight decimal hidden",
    ),
    ("birthdate_check", "birthdate date asked\nresponse_2 date hidden\napprox_age string hidden"),
    ("dhis2_laboratory_testing", "result string\nids_afi_lab_name string hidden\nevent_id string hidden"),
    (
        "dhis2_specimen_collection",
        "event_id string hidden\nids_afi_specimen_collector_given_name string hidden\n\
         ids_afi_specimen_collector_family_name string hidden\nids_afi_specimen_date_collection string hidden\n\
         ids_afi_specimen_time_collection string hidden\nids_afi_specimen_collection_blood string hidden\n\
         ids_afi_specimen_collection_serum string hidden\nids_afi_specimen_date_transport string hidden\n\
         ids_afi_specimen_time_transport string hidden",
    ),
    (
        "dhis2_aggregate_sms_msg",
        "msg string hidden\ndata_set_code string hidden\ngen_ext_fund string hidden\n\
         mal_pop_total__mal_0514y string hidden\nmal_llin_distr_pw string hidden\n\
         gen_domestic_fund string hidden",
    ),
    (
        "ureport_nigeria_registration",
        "language choice 5 options asked\nname string ha,pcm asked\nborn decimal ha,pcm asked\n\
         gender choice 2 options ha,pcm asked\nstate string ha,pcm asked\nlga string ha,pcm asked\n\
         ward string ha,pcm asked\nsettlement string ha,pcm asked\n\
         occupation open-choice 10 options ha,pcm asked",
    ),
];
