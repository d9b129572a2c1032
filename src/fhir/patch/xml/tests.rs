use super::*;
use crate::fhir::patch::Patch;
use crate::fhir::structure::tolerated::NOTHING;
use serde_json::json;

/// Changes any XML, as RFC 5261 means it.
fn change(document: &str, diff: &str) -> Result<String, (u16, String)> {
    let brief = |outcome: Outcome| (outcome.status, outcome.issues[0].text.clone());
    let operations = Operations::read(diff.as_bytes(), &mut Reader::default()).map_err(brief)?;
    let mut tree = parse::parse(document).unwrap().tree;
    for operation in &operations.operations {
        operations.step(operation, &mut tree, Deadline::begin()).map_err(brief)?;
    }
    Ok(tree.write())
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "1", "active": true,
        "text": { "status": "additional", "div": "<div xmlns='http://www.w3.org/1999/xhtml'><p>Was <b>here</b>.</p><p title=\"x\">Left</p></div>" },
        "identifier": [{ "system": "urn:a", "value": "7" }, { "use": "old", "system": "urn:b", "value": "8" }],
        "name": [{ "family": "Uwase", "given": ["A", "B"] }],
        "extension": [{ "url": "http://e.org/w", "valueDecimal": serde_json::from_str::<Value>("1.10").unwrap() }]
    })
}

fn apply(operations: &str) -> Result<Value, Outcome> {
    let diff = format!(
        "<diff xmlns:f='http://hl7.org/fhir' xmlns:h='http://www.w3.org/1999/xhtml'>{operations}</diff>"
    );
    let patch = Patch::xml(diff.as_bytes())?;
    patch.apply(&patient(), Deadline::begin(), NOTHING).map(crate::fhir::resource::Resource::into_body)
}

fn refused(operations: &str) -> (u16, &'static str) {
    let outcome = apply(operations).expect_err(operations);
    (outcome.status, outcome.issues[0].code)
}

/// The kinds of changes in appendix A of RFC 5261, on a document of our own.
#[test]
fn nodes_are_added_as_rfc_5261_says() {
    let list = "<list><item n=\"1\">one</item><note>old</note></list>";
    let added = |operation: &str| change(list, &format!("<diff>{operation}</diff>")).unwrap();
    // Elements are refused outside of FHIR's namespace; comments and text go everywhere.
    assert_eq!(added("<add sel='list/item'><!--seen--></add>"), list.replace("one<", "one<!--seen--><"));
    assert_eq!(added("<add sel='list/item' pos='prepend'>no. </add>"), list.replace("one", "no. one"));
    assert_eq!(
        added("<add sel='/list/note' pos='before'><!--a--><!--b--></add>"),
        list.replace("<note", "<!--a--><!--b--><note")
    );
    assert_eq!(
        added("<add sel='*/note' pos='after'><!--end--></add>"),
        list.replace("</list>", "<!--end--></list>")
    );
    assert_eq!(
        added("<add sel=\"list/item[@n='1']\" type='@kind'>a &lt; b</add>"),
        list.replace("n=\"1\"", "n=\"1\" kind=\"a &lt; b\"")
    );
    assert_eq!(added("<add sel='list/item/text()' pos='after'>!</add>"), list.replace("one", "one!"));
    let f = "<a xmlns=\"http://hl7.org/fhir\"><b/></a>";
    let more = change(
        f,
        "<diff xmlns='http://hl7.org/fhir'><add sel='a/b' pos='before'><c v='1'/><d/></add></diff>",
    );
    assert_eq!(more.unwrap(), f.replace("<b/>", "<c v=\"1\"/><d/><b/>"));
}

#[test]
fn nodes_are_replaced_and_removed_as_rfc_5261_says() {
    let list = "<list>\n <item n=\"1\">one</item>\n <!--old--><note/>two</list>";
    let changed = |operation: &str| change(list, &format!("<diff>{operation}</diff>")).unwrap();
    assert_eq!(changed("<replace sel='list/item/@n'>2</replace>"), list.replace("\"1\"", "\"2\""));
    assert_eq!(changed("<replace sel='list/item/text()[1]'>&amp;</replace>"), list.replace("one", "&amp;"));
    assert_eq!(changed("<replace sel='list/item/text()'/>"), list.replace(">one</item>", "/>"));
    assert_eq!(changed("<replace sel='list/comment()'><!--new--></replace>"), list.replace("old", "new"));
    assert_eq!(changed("<remove sel='list/item/@n'/>"), list.replace(" n=\"1\"", ""));
    assert_eq!(changed("<remove sel='list/item'/>"), "<list>\n \n <!--old--><note/>two</list>");
    assert_eq!(changed("<remove sel='list/item' ws='before'/>"), "<list>\n <!--old--><note/>two</list>");
    assert_eq!(changed("<remove sel='list/item' ws='both'/>"), "<list><!--old--><note/>two</list>");
    assert_eq!(changed("<remove sel='list/comment()[1]' ws='after'/>"), list.replace("<!--old-->", ""));
    // What stood on both sides of it is one text now.
    assert_eq!(
        changed(
            "<remove sel='list/comment()'/><remove sel='list/note'/><replace sel='list/text()[2]'>x</replace>"
        ),
        "<list>\n <item n=\"1\">one</item>x</list>"
    );
}

#[test]
fn selectors_find_by_place_and_by_value() {
    let removed = |sel: &str| apply(&format!("<remove sel=\"{sel}\"/>")).unwrap();
    assert_eq!(removed("f:Patient/f:name/f:given[2]")["name"][0]["given"], json!(["A"]));
    assert_eq!(
        removed("/f:Patient/f:name[f:family/@value = 'Uwase']/f:given[@value='A']")["name"][0]["given"],
        json!(["B"])
    );
    assert_eq!(
        removed("*/f:identifier[f:system/@value='urn:b'][1]")["identifier"],
        patient()["identifier"].as_array().map(|all| json!([all[0]])).unwrap()
    );
    assert_eq!(removed("*/f:identifier[*/@value='old']")["identifier"][0]["value"], "7");
    assert_eq!(
        removed("f:Patient/f:identifier[2]/*[1]")["identifier"][1],
        json!({ "system": "urn:b", "value": "8" })
    );
    assert!(removed("f:Patient/f:extension[@url='http://e.org/w']").get("extension").is_none());
    let default =
        "<diff xmlns='http://hl7.org/fhir'><replace sel='Patient/active/@value'>false</replace></diff>";
    let next = Patch::xml(default.as_bytes()).unwrap().apply(&patient(), Deadline::begin(), NOTHING).unwrap();
    assert_eq!(next.body()["active"], false);
    assert_eq!(next.body()["extension"][0]["valueDecimal"].to_string(), "1.10", "digits stay");
    let narrative = &patient()["text"]["div"];
    assert_eq!(&next.body()["text"]["div"], narrative, "a narrative stays letter by letter");
}

#[test]
fn elements_lists_and_attributes_change() {
    let next = apply(
        "<add sel='f:Patient'><f:birthDate value='2021-03-04'/></add>\
         <add sel='f:Patient/f:name[1]/f:given[2]' pos='before'><f:given value='C'/></add>\
         <replace sel='f:Patient/f:name/f:family'><f:family value='Mukamana &amp; Co'/></replace>\
         <add sel='f:Patient/f:name' type='@id'>n1</add>\
         <replace sel=\"f:Patient/f:extension/f:valueDecimal/@value\">2.500</replace>\
         <remove sel='f:Patient/f:identifier[2]'/><remove sel='f:Patient/f:identifier'/>",
    )
    .unwrap();
    assert_eq!(next["birthDate"], "2021-03-04");
    assert_eq!(next["name"], json!([{ "id": "n1", "family": "Mukamana & Co", "given": ["A", "C", "B"] }]));
    assert_eq!(next["extension"][0]["valueDecimal"].to_string(), "2.500");
    assert!(next.get("identifier").is_none(), "a list that loses its last item goes");
}

#[test]
fn a_narrative_is_changed_inside() {
    let div = |operations: &str| apply(operations).unwrap()["text"]["div"].as_str().unwrap().to_owned();
    let inner = "f:Patient/f:text/h:div";
    assert_eq!(
        div(&format!(
            "<replace sel='{inner}/h:p[1]/text()[2]'>!</replace><remove sel='{inner}/h:p[@title=\"x\"]'/>"
        )),
        "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>Was <b>here</b>!</p></div>"
    );
    assert_eq!(
        div(&format!(
            "<add sel='{inner}/h:p[h:b=\"here\"]' type='@xml:lang'>en</add><remove sel='{inner}/h:p[.=\"Left\"]'/>"
        )),
        "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p xml:lang=\"en\">Was <b>here</b>.</p></div>"
    );
    let whole = "<replace sel='f:Patient/f:text/h:div'><div xmlns='http://www.w3.org/1999/xhtml'>a\n<i>b</i></div></replace>";
    assert_eq!(div(whole), "<div xmlns=\"http://www.w3.org/1999/xhtml\">a\n<i>b</i></div>");
}

#[test]
fn what_is_not_found_or_does_not_fit_is_422() {
    for (wrong, code) in [
        ("<remove sel='f:Patient/f:photo'/>", "patch-path"),
        ("<remove sel='f:Patient/f:identifier'/>", "patch-path"),
        ("<remove sel='f:Patient/f:name[2]'/>", "patch-path"),
        ("<remove sel='Patient/active'/>", "patch-path"),
        ("<remove sel='f:Patient'/>", "patch-path"),
        ("<add sel='f:Patient' pos='after'><f:active value='true'/></add>", "patch-path"),
        ("<add sel='f:Patient/f:active' type='@value'>true</add>", "patch-path"),
        ("<add sel='f:Patient'><birthDate value='2021-03-04'/></add>", "wrong-namespace"),
        ("<add sel='f:Patient'><f:birthdate value='2021-03-04'/></add>", "unknown-element"),
        ("<add sel='f:Patient'><f:birthDate value='soon'/></add>", "bad-value"),
        ("<add sel='f:Patient'><f:active value='true'/></add>", "not-repeatable"),
        ("<add sel='f:Patient/f:name'>text</add>", "text-between"),
        ("<remove sel='f:Patient/f:active/@value'/>", "no-value"),
        ("<replace sel='f:Patient/f:id/@value'>2</replace>", "patch-identity"),
        ("<remove sel='f:Patient/f:id'/>", "patch-identity"),
        ("<replace sel='f:Patient'><f:Person><f:id value='1'/></f:Person></replace>", "patch-identity"),
    ] {
        assert_eq!(refused(wrong), (422, code), "{wrong}");
    }
    let many = apply("<remove sel='f:Patient/f:active'/><remove sel='f:Patient/f:identifier'/>").unwrap_err();
    assert_eq!(many.issues[0].text, "operation 1 of the patch: its `sel` selects 2 places: it must be one");
    let unnamed = apply("<remove sel='Patient/active'/>").unwrap_err();
    assert!(unnamed.issues[0].hint.as_deref().unwrap().contains("xmlns="));
}

#[test]
fn what_is_no_xml_patch_is_400() {
    for wrong in [
        "<spin sel='f:Patient'/>",
        "text",
        "<remove/>",
        "<remove sel=''/>",
        "<remove sel='/'/>",
        "<remove sel='//f:active'/>",
        "<remove sel='f:Patient/f:active/'/>",
        "<remove sel='f:Patient/f:name[0]'/>",
        "<remove sel='f:Patient/f:name[99999999999999999999999]'/>",
        "<remove sel='f:Patient/f:name[last()]'/>",
        "<remove sel='f:Patient/f:name[f:given]'/>",
        "<remove sel='f:Patient/f:name[@id=\"x]'/>",
        "<remove sel='f:Patient/parent::*'/>",
        "<remove sel='id(\"x\")'/>",
        "<remove sel='g:Patient'/>",
        "<remove sel='f:Patient/@g:x'/>",
        "<remove sel='f:Patient/@value/f:x'/>",
        "<remove sel='f:Patient/f:name'>x</remove>",
        "<remove sel='f:Patient/f:name' ws='all'/>",
        "<add sel='f:Patient' pos='inside'><f:active value='true'/></add>",
        "<add sel='f:Patient/@value'>x</add>",
        "<add sel='f:Patient' type='namespace::p'>urn:x</add>",
        "<add sel='f:Patient' type='@p:x'>1</add>",
        "<add sel='f:Patient' type='@xmlns'>1</add>",
        "<add sel='f:Patient/f:text/h:div/h:p/text()'>x</add>",
        "<add sel='f:Patient' type='@id'><f:a/></add>",
        "<replace sel='f:Patient/f:active'/>",
        "<replace sel='f:Patient/f:active'>true</replace>",
        "<replace sel='f:Patient/f:active'><f:active value='false'/><f:active value='false'/></replace>",
        "<replace sel='f:Patient/f:active/@value'><f:active/></replace>",
    ] {
        assert_eq!(refused(wrong), (400, "patch-malformed"), "{wrong}");
    }
    let read = |text: &str| Patch::xml(text.as_bytes()).map(|_| ()).map_err(|o| (o.status, o.issues[0].code));
    assert_eq!(read("<patch/>"), Err((400, "patch-malformed")));
    assert_eq!(read("<diff/>"), Ok(()), "nothing is to be changed");
    for broken in [
        "",
        "{}",
        "<diff>",
        "<diff/><diff/>",
        "<diff></dif>",
        "<a:diff/>",
        "<diff>\u{1}</diff>",
        "<diff a='1' a='2'/>",
        "x<diff/>",
    ] {
        assert_eq!(read(broken), Err((400, "not-xml")), "{broken}");
    }
    assert_eq!(read("<!DOCTYPE diff [<!ENTITY a 'b'>]><diff/>"), Err((400, "doctype")));
    assert_eq!(read("<diff>&a;</diff>"), Err((400, "unknown-entity")));
    assert!(matches!(Patch::xml(b"<diff>\xff</diff>"), Err(outcome) if outcome.status == 400));
}

#[test]
fn patches_are_bounded() {
    let brief =
        |text: String| Patch::xml(text.as_bytes()).map_err(|o| (o.status, o.issues[0].code)).map(|_| ());
    let remove = "<remove sel='a'/>";
    assert_eq!(brief(format!("<diff>{}</diff>", remove.repeat(10_001))), Err((422, "patch-too-large")));
    assert_eq!(
        brief(format!("<diff><add sel='a'>{}</add></diff>", "<!---->".repeat(500_001))),
        Err((422, "patch-too-large"))
    );
    assert_eq!(
        brief(format!("<diff><remove sel='{}'/></diff>", "a/".repeat(1_000) + "a")),
        Err((400, "patch-malformed"))
    );
    assert_eq!(
        brief(format!("<diff><remove sel='{}'/></diff>", "a/".repeat(64) + "a")),
        Err((400, "patch-malformed"))
    );
    // Depth is nothing that can break a stack, and is refused when it is read again.
    let deep = |n: usize| format!("{}{}", "<f:extension url='urn:x'>".repeat(n), "</f:extension>".repeat(n));
    assert_eq!(refused(&format!("<add sel='f:Patient'>{}</add>", deep(100_000))), (422, "too-deep"));
    let bold = |n: usize| format!("{}x{}", "<h:b>".repeat(n), "</h:b>".repeat(n));
    assert!(apply(&format!("<add sel='f:Patient/f:text/h:div'>{}</add>", bold(20_000))).is_ok());
}

#[test]
fn conditional_references_are_found() {
    let patch = Patch::xml(
        b"<diff xmlns='http://hl7.org/fhir'>\
          <add sel='Patient'><managingOrganization><reference value='Organization?identifier=a'/></managingOrganization></add>\
          <replace sel='Patient/link/other/reference/@value'>Patient?identifier=b</replace>\
          <replace sel='Patient/name/text/@value'>Patient?identifier=c</replace></diff>",
    );
    let found = patch.unwrap().conditional();
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        [
            ("Organization?identifier=a".to_owned(), "patch[0]".to_owned()),
            ("Patient?identifier=b".to_owned(), "patch[1]".to_owned()),
        ]
    );
}

/// Whatever a client sends is patched or refused.
#[test]
fn nothing_that_a_client_sends_panics() {
    let seeds = [
        "<diff xmlns='http://hl7.org/fhir' xmlns:h='http://www.w3.org/1999/xhtml'><add sel='Patient/name[1]' pos='before'><name><family value='&#65;'/></name></add></diff>",
        "<diff xmlns:f='http://hl7.org/fhir'><replace sel=\"f:Patient/f:identifier[f:system/@value='urn:a']/f:value/@value\">9</replace><!--x--></diff>",
        "<diff xmlns:f='http://hl7.org/fhir' xmlns:h='http://www.w3.org/1999/xhtml'><remove sel='f:Patient/f:text/h:div/h:p/text()[1]' ws='both'/><![CDATA[ ]]></diff>",
    ];
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for seed in seeds {
        for _ in 0..1_500 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = b"<>/[]'\"@&;:=*.1 \x00\xc3"[random(18)],
                    1 => drop(bytes.remove(at)),
                    _ => {
                        let end = (at + random(9)).min(bytes.len());
                        let part = bytes[at..end].to_vec();
                        bytes.splice(at..at, part);
                    }
                }
            }
            if let Ok(patch) = Patch::xml(&bytes)
                && let Err(outcome) = patch.apply(&patient(), Deadline::begin(), NOTHING)
            {
                assert_eq!(outcome.status, 422);
            }
        }
    }
}
