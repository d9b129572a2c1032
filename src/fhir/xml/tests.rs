use serde_json::{Value, json};

use super::*;
use crate::fhir::structure;

fn there_and_back(resource: &Value) {
    assert_eq!(structure::check(resource), []);
    for layout in [Layout::Compact, Layout::Pretty] {
        let xml = write(resource, layout).unwrap();
        let back = read(xml.as_bytes()).unwrap();
        assert_eq!(&back, resource, "{xml}");
    }
}

fn refused(xml: &str) -> (&'static str, String) {
    let outcome = read(xml.as_bytes()).unwrap_err();
    assert_eq!(outcome.status, 400, "{outcome}");
    let issue = &outcome.issues[0];
    (issue.code, format!("{} at {}", issue.text, issue.expression.join(",")))
}

fn patient(inner: &str) -> String {
    format!("<Patient xmlns=\"http://hl7.org/fhir\">{inner}</Patient>")
}

#[test]
fn a_patient_is_written_in_r4s_order() {
    let patient = json!({
        "resourceType": "Patient",
        "birthDate": "2020-01-02",
        "_birthDate": { "id": "b", "extension": [{ "url": "http://e.org/x", "valueBoolean": true }] },
        "name": [{ "given": ["A", null, "C"], "_given": [null, { "id": "g" }, null], "family": "a<\"&\n" }],
        "id": "p1",
    });
    let xml = write(&patient, Layout::Compact).unwrap();
    assert_eq!(
        xml,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Patient xmlns=\"http://hl7.org/fhir\"><id value=\"p1\"/>\
         <name><family value=\"a&lt;&quot;&amp;&#10;\"/><given value=\"A\"/><given id=\"g\"/>\
         <given value=\"C\"/></name><birthDate id=\"b\" value=\"2020-01-02\"><extension url=\"http://e.org/x\">\
         <valueBoolean value=\"true\"/></extension></birthDate></Patient>"
    );
    let pretty = write(&patient, Layout::Pretty).unwrap();
    assert!(pretty.contains("\n  <name>\n    <family value="), "{pretty}");
    assert_eq!(read(xml.as_bytes()).unwrap(), patient);
    assert_eq!(read(pretty.as_bytes()).unwrap(), patient);
}

#[test]
fn every_shape_comes_back_equal() {
    there_and_back(&json!({
        "resourceType": "Observation",
        "text": { "status": "generated",
                  "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p class=\"a\">1 &lt; 2 &#160;<br/></p>\n </div>" },
        "contained": [{ "resourceType": "Patient", "id": "p", "active": false }],
        "extension": [{ "id": "e1", "url": "http://e.org/d", "valueDecimal": serde_json::from_str::<Value>("3.2500").unwrap() }],
        "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "1-2", "display": "ä 🙂 'x'" }] },
        "subject": { "reference": "#p" },
        "valueQuantity": { "value": serde_json::from_str::<Value>("1.0e-10").unwrap(), "unit": "kg" },
        "component": [{ "code": { "text": "a\tb\r\nc" }, "valueInteger": 7 }],
    }));
    there_and_back(&json!({
        "resourceType": "Bundle", "type": "batch-response",
        "link": [{ "relation": "self", "url": "http://us/fhir?a=1&b=2" }],
        "entry": [
            { "resource": { "resourceType": "Parameters", "parameter": [
                { "name": "r", "resource": { "resourceType": "Patient", "active": true } },
                { "name": "n", "part": [{ "name": "m", "valueTime": "12:30:00" }] }] },
              "response": { "status": "200" } },
            { "response": { "status": "404", "outcome":
                { "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "invalid" }] } } },
        ],
    }));
}

#[test]
fn prefixes_and_foreign_order_are_read() {
    let xml = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?><!-- c --><?p x?>\r\n\
        <f:Patient xmlns:f=\"http://hl7.org/fhir\" xmlns:h=\"http://www.w3.org/1999/xhtml\" \
        xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"http://hl7.org/fhir x.xsd\">\
        <f:gender value='female'/><f:text><f:status value=\"generated\"/><h:div><h:b>x</h:b></h:div></f:text>\
        <f:active value=\" true \"/></f:Patient>";
    let back = read(xml.as_bytes()).unwrap();
    assert_eq!(
        back,
        json!({ "resourceType": "Patient", "gender": "female", "active": true, "text": { "status": "generated",
                "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><b>x</b></div>" } })
    );
}

#[test]
fn a_literal_line_end_in_an_attribute_is_a_space() {
    let back = read(patient("<id value=\"a\"/><name><text value=\"a\r\nb\"/></name>").as_bytes()).unwrap();
    assert_eq!(back["name"][0]["text"], "a b");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let (code, text) = refused(&patient("<name/>\n  <nmae/>"));
    assert_eq!(code, "unknown-element");
    assert!(text.contains("line 2, column 3") && text.ends_with("at Patient.nmae"), "{text}");
    assert_eq!(refused(&patient("<active value=\"yes\"/>")).0, "bad-value");
    assert_eq!(refused(&patient("<active/>")).0, "no-value");
    assert_eq!(refused(&patient("<active value=\"true\"/><active value=\"true\"/>")).0, "not-repeatable");
    assert_eq!(refused(&patient("<name><given value=\"a\" use=\"b\"/></name>")).0, "unknown-attribute");
    assert_eq!(refused(&patient("<extension><url value=\"a\"/></extension>")).0, "unknown-element");
    assert_eq!(refused(&patient("text")).0, "text-between");
    assert_eq!(refused(&patient("<contained/>")).0, "no-resource");
    assert_eq!(refused("<Patient/>").0, "wrong-namespace");
    assert_eq!(refused("<Patent xmlns=\"http://hl7.org/fhir\"/>").0, "unknown-type");
    for broken in ["", "{}", "<a", "<Patient xmlns=\"http://hl7.org/fhir\">", "<a b=\"1\" b=\"2\"/>"] {
        assert!(matches!(refused(broken).0, "not-xml" | "text-between"), "{broken}");
    }
    assert!(read(&patient("").repeat(2).into_bytes()).is_err());
    assert_eq!(read(&[0xff, 0xfe]).unwrap_err().issues[0].code, "not-utf8");
    assert_eq!(
        refused("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Patient xmlns=\"http://hl7.org/fhir\"/>").0,
        "not-utf8"
    );
    assert_eq!(refused(&patient("<text><div>x</div></text>")).0, "wrong-namespace");
}

/// External entities, a billion laughs, and what else costs more than it weighs.
#[test]
fn entities_and_bombs_are_refused() {
    let external = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    assert_eq!(refused(&format!("{external}{}", patient("<id value=\"&x;\"/>"))).0, "doctype");
    assert_eq!(refused(&patient("<id value=\"&x;\"/>")).0, "unknown-entity");
    assert_eq!(refused(&patient("<id value=\"&#1;\"/>")).0, "not-xml");
    let xhtml = |inner: &str| {
        patient(&format!("<text><div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div></text>"))
    };
    assert_eq!(refused(&xhtml("&nbsp;")).0, "unknown-entity");
    assert_eq!(refused(&xhtml("<p a=\"<\"/>")).0, "not-xml");
    let deep = "<extension url=\"a\">".repeat(5_000);
    assert_eq!(refused(&patient(&deep)).0, "too-deep");
    let many: String = (0..200).map(|n| format!(" xmlns:a{n}=\"b\"")).collect();
    assert_eq!(refused(&format!("<Patient{many}/>")).0, "not-xml");
}

#[test]
fn what_xml_cannot_hold_is_said() {
    for patient in [
        json!({ "resourceType": "Patient", "name": [{ "text": "\u{1}" }] }),
        json!({ "resourceType": "Patient", "text": { "status": "generated", "div": "<div><p></div>" } }),
        json!({ "resourceType": "Patient", "nmae": "x" }),
        json!({ "resourceType": "Foo" }),
    ] {
        let outcome = write(&patient, Layout::Compact).unwrap_err();
        assert_eq!((outcome.status, outcome.issues[0].code), (406, "no-xml"));
    }
}

/// A resource of any type, drawn along the element table: what JSON can say, XML says too.
mod any_resource {
    use proptest::prelude::*;
    use serde_json::{Map, Number, Value, json};

    use super::super::{Layout, read, write};
    use crate::fhir::elements::{Content, Element, Key, Node, Primitive, table};

    const DEPTH: usize = 5;
    const TEXTS: [&str; 6] = ["a", "ä🙂", "<&>\"'", "a\tb\r\n c", " ]]> ", "&amp;"];
    const NUMBERS: [&str; 6] = ["0", "-1", "3.2500", "1.0e-10", "100000000000000000000.00", "7E+3"];

    /// Small steps of a known sequence (xorshift).
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % bound as u64) as usize
        }

        fn node(&mut self, node: &'static Node, depth: usize, is_resource: bool) -> Map<String, Value> {
            let mut out = Map::new();
            if is_resource {
                out.insert("resourceType".to_owned(), node.name.into());
            }
            for (index, element) in node.elements.iter().enumerate() {
                let mut keys: Vec<(&&str, &Key)> =
                    node.keys.iter().filter(|(_, key)| key.element == index).collect();
                keys.sort_by_key(|(name, _)| **name);
                let wanted = element.required || (depth < DEPTH && self.below(6) == 0);
                if wanted && !keys.is_empty() {
                    let (name, key) = keys[self.below(keys.len())];
                    let attribute = (!is_resource && element.name == "id")
                        || (node.name == "Extension" && *name == "url");
                    self.member((name, key, element), depth, attribute, &mut out);
                }
            }
            out
        }

        fn member(
            &mut self,
            (name, key, element): (&str, &'static Key, &Element),
            depth: usize,
            attribute: bool,
            out: &mut Map<String, Value>,
        ) {
            let Content::Primitive(kind) = key.content else {
                let count = 1 + self.below(2);
                let items: Vec<Value> = (0..count).map(|_| self.complex(key, depth + 1)).collect();
                let value = if element.many { items.into() } else { items[0].clone() };
                out.insert(name.to_owned(), value);
                return;
            };
            let count = if element.many { 1 + self.below(3) } else { 1 };
            let (mut values, mut extras) = (Vec::new(), Vec::new());
            for _ in 0..count {
                let extra =
                    (!attribute && kind != Primitive::Xhtml && self.below(4) == 0).then(|| self.extra(depth));
                let absent = extra.is_some() && self.below(3) == 0;
                values.push(if absent { Value::Null } else { self.primitive(kind) });
                extras.push(extra.unwrap_or(Value::Null));
            }
            for (name, items) in [(name.to_owned(), values), (format!("_{name}"), extras)] {
                if items.iter().any(|item| !item.is_null()) {
                    out.insert(name, if element.many { items.into() } else { items[0].clone() });
                }
            }
        }

        fn extra(&mut self, depth: usize) -> Value {
            let node = table().node("Extension").unwrap();
            let extension = self.node(node, depth.max(DEPTH - 1) + 1, false);
            json!({ "id": "e", "extension": [extension] })
        }

        fn complex(&mut self, key: &'static Key, depth: usize) -> Value {
            match key.content {
                Content::Complex(index) => self.node(table().at(index).unwrap(), depth, false).into(),
                _ => self.node(table().node("Basic").unwrap(), depth.max(DEPTH), true).into(),
            }
        }

        fn primitive(&mut self, kind: Primitive) -> Value {
            match kind {
                Primitive::Boolean => (self.below(2) == 0).into(),
                Primitive::Decimal | Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt => {
                    let text = NUMBERS[self.below(NUMBERS.len())];
                    Value::Number(serde_json::from_str::<Number>(text).unwrap())
                }
                Primitive::Xhtml => {
                    "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p a=\"b\">x &amp; y<br/></p></div>".into()
                }
                _ => TEXTS[self.below(TEXTS.len())].into(),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn comes_back_equal(seed in 1u64.., place in 0usize..146) {
            let node = table().node(table().kinds()[place]).unwrap();
            let resource = Value::Object(Draw(seed).node(node, 0, true));
            for layout in [Layout::Compact, Layout::Pretty] {
                let xml = write(&resource, layout).unwrap();
                prop_assert_eq!(&read(xml.as_bytes()).unwrap(), &resource, "{}", xml);
            }
        }

        /// Whatever bytes come: an answer, no panic.
        #[test]
        fn nothing_breaks_the_reader(text in "(<|>|/|\"|=|&|;|#| |Patient|div|f:|xmlns|http://hl7.org/fhir|name|value|[a-z]|\\PC){0,60}") {
            let _ = read(text.as_bytes());
            let _ = read(format!("<Patient xmlns=\"http://hl7.org/fhir\">{text}</Patient>").as_bytes());
            let xhtml = format!("<text><div xmlns=\"http://www.w3.org/1999/xhtml\">{text}</div></text>");
            let _ = read(format!("<Patient xmlns=\"http://hl7.org/fhir\">{xhtml}</Patient>").as_bytes());
            let _ = super::super::narrative_fault(&text);
        }
    }
}

#[test]
fn htmls_entities_become_characters() {
    let div = |inner: &str| format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>");
    let given = div(
        "<p title='a&nbsp;&quot;b'>&nbsp;&eacute; &amp;nbsp; &#160;&lt;</p><!--&nbsp;--><![CDATA[&nbsp;]]>",
    );
    let wanted =
        div("<p title='a\u{a0}&quot;b'>\u{a0}é &amp;nbsp; &#160;&lt;</p><!--&nbsp;--><![CDATA[&nbsp;]]>");
    let patient =
        |div: &str| json!({ "resourceType": "Patient", "text": { "status": "generated", "div": div } });
    assert_eq!(structure::check(&patient(&given)), []);
    let xml = write(&patient(&given), Layout::Compact).unwrap();
    assert_eq!(read(xml.as_bytes()).unwrap(), patient(&wanted));
    for unknown in ["&foo;", "&NBSP;", "<p title='&foo;'/>", "&#xFFFF;", "&"] {
        let patient = patient(&div(unknown));
        let outcome = write(&patient, Layout::Compact).unwrap_err();
        assert_eq!((outcome.status, outcome.issues[0].expression[0].as_str()), (406, "Patient.text.div"));
        // It does not come in either.
        let issues = structure::check(&patient);
        assert_eq!((issues.len(), issues[0].code), (1, "bad-value"), "{unknown}: {issues:?}");
        assert_eq!(issues[0].expression, ["Patient.text.div"]);
        assert_eq!(issues[0].text.contains("entity"), unknown.len() > 1, "{unknown}: {issues:?}");
    }
}
