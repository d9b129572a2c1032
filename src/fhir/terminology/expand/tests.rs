use std::sync::Arc;

use super::*;

fn known() -> Known {
    let system = json!({ "resourceType": "CodeSystem", "url": "http://s", "version": "1", "content": "complete",
        "concept": [
            { "code": "fever", "display": "Fever", "concept": [
                { "code": "high", "display": "High fever", "property": [{ "code": "grade", "valueInteger": 3 }] },
                { "code": "old", "display": "Old", "property": [{ "code": "status", "valueCode": "retired" }] } ] },
            { "code": "cough", "display": "Cough" } ] });
    let mut known = Known::default();
    known.systems.insert(Canonical::parse("http://s"), Some(System::read(&system).unwrap()));
    known.systems.insert(Canonical::parse("http://absent"), None);
    let set = json!({ "resourceType": "ValueSet", "compose": { "include": [
        { "system": "http://s", "concept": [{ "code": "fever" }, { "code": "cough", "display": "Kikohozi" }] }] } });
    known.sets.insert(Canonical::parse("http://v"), Some(Arc::new(set)));
    known
}

fn list(compose: Value) -> Result<Vec<String>, &'static str> {
    let set = json!({ "resourceType": "ValueSet", "compose": compose });
    match codes(&set, &known()) {
        Ok(codes) => Ok(codes.into_iter().map(|code| code.code).collect()),
        Err(outcome) => Err(outcome.issues.first().map_or("", |issue| issue.code)),
    }
}

fn filtered(property: &str, operator: &str, value: &str) -> Result<Vec<String>, &'static str> {
    let filter = json!({ "property": property, "op": operator, "value": value });
    list(json!({ "include": [{ "system": "http://s", "filter": [filter] }] }))
}

#[test]
fn whole_systems_lists_filters_and_value_sets() {
    let all = ["fever", "high", "old", "cough"].map(str::to_owned);
    assert_eq!(list(json!({ "include": [{ "system": "http://s" }] })).unwrap(), all);
    assert_eq!(list(json!({ "inactive": false, "include": [{ "system": "http://s" }] })).unwrap().len(), 3);
    assert_eq!(filtered("concept", "is-a", "fever").unwrap(), ["fever", "high", "old"]);
    assert_eq!(filtered("concept", "descendent-of", "fever").unwrap(), ["high", "old"]);
    assert_eq!(filtered("concept", "is-not-a", "fever").unwrap(), ["cough"]);
    assert_eq!(filtered("grade", "=", "3").unwrap(), ["high"]);
    assert_eq!(filtered("code", "in", "cough, high").unwrap(), ["high", "cough"]);
    assert_eq!(filtered("display", "regex", "[FH].*").unwrap(), ["fever", "high"]);
    assert_eq!(filtered("grade", "exists", "true").unwrap(), ["high"]);
    let both = json!({ "include": [{ "system": "http://s", "valueSet": ["http://v"] }] });
    assert_eq!(list(both).unwrap(), ["fever", "cough"]);
    let without = json!({ "include": [{ "valueSet": ["http://v"] }],
        "exclude": [{ "system": "http://s", "concept": [{ "code": "cough" }] }] });
    assert_eq!(list(without).unwrap(), ["fever"]);
}

#[test]
fn what_cannot_be_expanded_is_refused() {
    assert_eq!(list(json!({ "include": [{ "system": "http://absent" }] })), Err("terminology-unknown"));
    assert_eq!(list(json!({ "include": [{ "valueSet": ["http://w"] }] })), Err("terminology-unknown"));
    assert_eq!(filtered("code", "generalizes", "x"), Err("filter-not-supported"));
    assert_eq!(filtered("code", "regex", "("), Err("bad-pattern"));
    let mut known = known();
    let circle = json!({ "compose": { "include": [{ "valueSet": ["http://c"] }] } });
    known.sets.insert(Canonical::parse("http://c"), Some(Arc::new(circle.clone())));
    assert_eq!(codes(&circle, &known).unwrap_err().issues[0].code, "too-costly");
}

#[test]
fn a_page_of_an_expansion_says_the_whole_total() {
    let set = json!({ "resourceType": "ValueSet", "url": "http://x", "status": "active", "publisher": "p",
        "compose": { "include": [{ "system": "http://s" }] } });
    let wanted = Wanted { filter: Some("fev".to_owned()), count: Some(1), offset: 1, ..Wanted::default() };
    let made = expand(&set, &known(), &wanted, ("urn:uuid:1", "2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(made["expansion"]["total"], 2);
    let high = json!([{ "system": "http://s", "version": "1", "code": "high", "display": "High fever" }]);
    assert_eq!(made["expansion"]["contains"], high);
    assert!(made.get("publisher").is_none() && made.get("compose").is_none());
}

#[test]
fn a_value_set_is_made_once_however_often_it_is_named() {
    let mut known = known();
    for level in 0..6 {
        let below = if level == 0 { "http://v".to_owned() } else { format!("http://level/{}", level - 1) };
        let include = vec![json!({ "valueSet": [below] }); 100];
        let set = json!({ "compose": { "include": include } });
        known.sets.insert(Canonical::parse(&format!("http://level/{level}")), Some(Arc::new(set)));
    }
    // 100 to the power of 6 mentions.
    let set = json!({ "compose": { "include": [{ "valueSet": ["http://level/5"] }] } });
    assert_eq!(codes(&set, &known).unwrap().len(), 2);
}

#[test]
fn too_much_work_is_refused() {
    let concepts: Vec<Value> = (0..1000).map(|at| json!({ "code": at.to_string() })).collect();
    let system = json!({ "url": "http://large", "content": "complete", "concept": concepts });
    let mut known = Known::default();
    known.systems.insert(Canonical::parse("http://large"), Some(System::read(&system).unwrap()));
    let code = |include: Vec<Value>| {
        let set = json!({ "compose": { "include": include } });
        codes(&set, &known)
            .map(|codes| codes.len())
            .map_err(|outcome| (outcome.status, outcome.issues[0].code))
    };
    let whole = json!({ "system": "http://large" });
    assert_eq!(code(vec![whole.clone(); 10]), Ok(1000));
    assert_eq!(code(vec![whole.clone(); 1001]), Err((422, "too-costly")));
    let filter = json!({ "property": "code", "op": "=", "value": "1" });
    let filtered = json!({ "system": "http://large", "filter": vec![filter; 1000] });
    assert_eq!(code(vec![filtered]), Err((422, "too-costly")));
    let pattern = json!({ "property": "code", "op": "regex", "value": "1" });
    let filtered = json!({ "system": "http://large", "filter": vec![pattern; 200] });
    assert_eq!(code(vec![filtered]), Err((422, "too-costly")));
}
