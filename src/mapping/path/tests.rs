use super::*;
use serde_json::json;

fn found(path: &str, resource: &Value) -> Vec<Value> {
    let mut scope = Scope::default();
    scope.bind("resource", resource);
    Path::compile(path).unwrap().nodes(&scope)
}

#[test]
fn singular_paths_become_direct_steps() {
    let path = Path::compile("$.resource.name[0]['given'][-1]").unwrap();
    assert!(path.is_singular());
    let resource = json!({"name": [{"given": ["A", "B"]}]});
    assert_eq!(found(&path.text, &resource), [json!("B")]);
    assert!(!Path::compile("$.resource.name[*]").unwrap().is_singular());
}

#[test]
fn null_is_nothing_and_a_list_is_its_elements() {
    let resource = json!({"a": null, "b": [1, null, 2], "c": [[1], [2]], "d": []});
    let mut scope = Scope::default();
    scope.bind("resource", &resource);
    let find = |text| Path::compile(text).unwrap().find(&scope);
    assert_eq!(find("$.resource.a"), Found::Nothing);
    assert_eq!(find("$.resource.b"), Found::Several(vec![json!(1), json!(2)]));
    assert_eq!(find("$.resource.c[*]"), Found::Several(vec![json!(1), json!(2)]));
    assert_eq!(find("$.resource.d"), Found::Nothing);
    assert_eq!(find("$.other"), Found::Nothing);
}

#[test]
fn filters_select_and_may_look_back_at_the_whole_document() {
    let resource = json!({"telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}], "want": "email"});
    assert_eq!(found("$.resource.telecom[?@.system=='phone'].value", &resource), [json!("1")]);
    assert_eq!(found("$.resource.telecom[?@.system==$.resource.want].value", &resource), [json!("2")]);
}

/// The invalid and wrongly evaluated cases of the RFC's compliance suite, and what has no bound.
#[test]
fn refuses_what_jsonpath_rust_gets_wrong() {
    for text in [
        "$.resource[?@[?@>1]]",
        "$.resource..['a','d']",
        "$.resource[?length(@.*)<3]",
        "$.resource[?length(@.a)]",
        "$.resource[?count(1)>2]",
        "$.resource[?count(@.*)]",
        "$.resource[?match(@.a,'a.*')==true]",
        "$.resource[?match(@.a,@.b)]",
        "$.resource[?match(@.a,'(')]",
        "$.resource[?value(4)==4]",
        "$.resource[?value(@.a)]",
        "$.resource[?nosuch(@.a)==1]",
        "$.resource..a..b",
        "$.resource[*][*][*][*][*]",
        "$",
        "$[0]",
        "$.*",
        "resource",
        "$.resource.a-b",
        "$.resource.",
    ] {
        assert!(Path::compile(text).is_err(), "{text} must be refused");
    }
}

/// A second opinion, on everything that is not refused.
#[test]
fn agrees_with_another_implementation() {
    let resource = json!({
        "a": {"b": [1, 2, 3], "c": {"b": "x"}}, "d": [{"k": 1.0, "t": "one"}, {"k": 2, "t": "two"}, {"t": null}],
        "e": "text", "f": [[1, 2], [3]]
    });
    for text in [
        "$.resource.a.b[0]",
        "$.resource.a.b[-1]",
        "$.resource.a.b[1:]",
        "$.resource.a.b[::-1]",
        "$.resource..b",
        "$.resource.d[?@.k==1]",
        "$.resource.d[?@.k>=1 && @.t!='two'].t",
        "$.resource.d[?@.k].t",
        "$.resource.d[?!@.k]",
        "$.resource.d[?match(@.t,'t.*')].k",
        "$.resource.d[?search(@.t,'n')].k",
        "$.resource.d[?length(@.t)==3].k",
        "$.resource.f[*][*]",
        "$.resource.f[?count(@[*])>1]",
        "$.resource['e','a']",
        "$.resource.d[?@.t==null]",
        "$.resource.d[0,2]",
        "$.resource.d[?@.t=='two'].k",
        "$.resource.d[?'two'==@['t']]",
        "$.resource.d[?@.t && @.k]",
        "$.resource.d[?@.t]",
        "$.resource.d[?@.t=='one' && @.k==1].t",
        "$.resource.d[?@.t=='it\\'s']",
        "$.resource.a[?@.b=='x'].b",
        "$.resource.a[?@.b[0]]",
        "$.resource.f[?@[-1]]",
        "$.resource.a.*",
        "$.resource.d[*].t",
        "$.resource.e[?@=='text']",
        "$.resource[?@=='text']",
        "$.resource.f[?@=='text']",
        "$.resource.e[0]",
        "$.resource.d.t",
    ] {
        let document = json!({"resource": resource});
        let theirs: Vec<Value> = serde_json_path::JsonPath::parse(text)
            .unwrap()
            .query(&document)
            .all()
            .into_iter()
            .filter(|value| !value.is_null())
            .cloned()
            .collect();
        assert_eq!(found(text, &resource), theirs, "{text}");
    }
}
