use super::*;
use crate::mapping::program::{self, Settings};
use crate::mapping::table::Tables;
use crate::mapping::target::Registry;
use crate::rapidpro::{act, contact};

const MAPPING: &str = "\
mapping: m
from: { resource: QuestionnaireResponse, flow: Case report, where: { path: $.answers.sex, is: Femal } }
with:
  who: { contact: $.resource.source }
to:
  - rapidpro.contact:
      urns: [{ path: $.answers.phone, type: phone }]
      name: { path: $.answers.sex, map: { Female: F, Mal: M } }
      fields: { village: $.who.fields.vilage, due: $.answers.du }
      groups: [Cases, Helth workers]
  - rapidpro.start: { flow: Remindr, contact: $.resource.source }
";

fn workspace() -> Workspace {
    let listed = |uuid: &str, name: &str, archived: bool| serde_json::json!({ "uuid": uuid, "name": name, "archived": archived, "results": [] });
    let result = |key: &str, kind: &'static str, categories: &[&str]| Shown {
        key: key.to_owned(),
        name: key.to_owned(),
        kind,
        categories: categories.iter().map(|&name| name.to_owned()).collect(),
    };
    let flows = [listed("f-1", "Case report", false), listed("f-2", "Reminder", false)];
    let shown = vec![
        result("sex", "choice", &["Female", "Male"]),
        result("phone", "phone", &[]),
        result("due", "date", &[]),
    ];
    Workspace {
        name: "rapidpro".to_owned(),
        flows: flows.iter().filter_map(Listed::of).collect(),
        results: BTreeMap::from([("f-1".to_owned(), Some(shown))]),
        fields: vec!["village".to_owned()],
        groups: vec![("Health workers".to_owned(), "g-1".to_owned())],
    }
}

fn told(text: &str) -> Vec<String> {
    let registry =
        Registry::default().with(Arc::new(contact::target::Contact)).with(Arc::new(act::start::Start));
    let settings = Settings { registry: &registry, destinations: None, tables: &Tables::new() };
    let program = program::load("m.yaml", text, &settings).unwrap_or_else(|told| panic!("{}", told[0]));
    let told = faults(&[Arc::new(program)], &[workspace()], &|_| text.to_owned());
    let line = |one: &Diagnostic| {
        let meant = one.did_you_mean.as_deref().unwrap_or_default();
        format!("{} {} {meant}", one.place.within(""), one.code).trim_end().to_owned()
    };
    told.iter().map(line).collect()
}

#[test]
fn what_the_workspace_does_not_have_is_told_with_its_place() {
    insta::assert_snapshot!(told(MAPPING).join("\n"), @"
    :2:95 flow-category-unknown Female
    :8:36 flow-category-unmapped
    :8:54 flow-category-unknown Male
    :9:26 contact-field-unknown village
    :9:52 flow-result-unknown due
    :9:52 contact-field-unknown
    :10:16 group-unknown
    :10:23 group-unknown Health workers
    :11:29 flow-unknown Reminder
    ");
}

#[test]
fn a_flow_that_is_not_there_is_told_once() {
    let text = MAPPING.replace("flow: Case report", "flow: Case reprot");
    let told = told(&text);
    assert_eq!(told[0], ":2:48 flow-unknown Case report");
    assert!(told.iter().all(|one| !one.contains("flow-result") && !one.contains("category")), "{told:?}");
}

#[test]
fn what_fits_is_not_told() {
    let text = MAPPING
        .replace("Femal ", "Female ")
        .replace("Mal: M", "Male: M")
        .replace("vilage", "village")
        .replace("due: $.answers.du", "village2: $.answers.due")
        .replace("village2", "village")
        .replace("fields: { village: $.who.fields.village, village:", "fields: { village:")
        .replace("[Cases, Helth workers]", "[Health workers, g-1]")
        .replace("Remindr", "Reminder");
    assert_eq!(told(&text), Vec::<String>::new());
}
