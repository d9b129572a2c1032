//! Which HTML a narrative may hold: R4's `txt-1` and `txt-2`. <https://hl7.org/fhir/R4/narrative.html#xhtml>
//!
//! Text, lists, tables, links and images; **never** what runs, is loaded into the page or sends something. A narrative
//! is written by one client and shown in the page of another.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::fhir::xml;

const FORM: &str = "a narrative is one well-formed <div>";
const NAMESPACE: &str = "the <div> of a narrative has xmlns=\"http://www.w3.org/1999/xhtml\"";
const ELEMENT: &str =
    "a narrative has only HTML's elements for text, lists, tables, links and images (txt-1)";
const ATTRIBUTE: &str = "a narrative has only HTML's attributes of text, tables, links and images (txt-1)";
const LINK: &str = "a link or an image of a narrative runs nothing (txt-1)";
/// HTML has no CDATA and ends its comments otherwise: what XML hides there are elements to a browser.
const HIDDEN: &str = "no CDATA of a narrative has a `>`, and no comment begins with one (txt-1)";
const BLANK: &str = "a narrative has some text or an image (txt-2)";

/// What chapters 7 to 11 (without 9.4) and 15 of HTML 4.0 have, without what is deprecated there; `a` and images.
const ELEMENTS: [&str; 53] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "area",
    "b",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "map",
    "ol",
    "p",
    "pre",
    "q",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "ul",
    "var",
];

/// Of any element.
const ATTRIBUTES: [&str; 9] =
    ["class", "dir", "id", "lang", "style", "title", "xml:lang", "xml:space", "xmlns"];

/// Of some, none of which runs anything anywhere.
const OF_SOME: [&str; 47] = [
    "abbr",
    "accesskey",
    "align",
    "alt",
    "axis",
    "bgcolor",
    "border",
    "cellpadding",
    "cellspacing",
    "char",
    "charoff",
    "charset",
    "cite",
    "clear",
    "colspan",
    "compact",
    "coords",
    "frame",
    "headers",
    "height",
    "href",
    "hreflang",
    "hspace",
    "ismap",
    "longdesc",
    "name",
    "nohref",
    "noshade",
    "nowrap",
    "rel",
    "rev",
    "rowspan",
    "rules",
    "scope",
    "shape",
    "size",
    "span",
    "src",
    "start",
    "summary",
    "tabindex",
    "target",
    "type",
    "usemap",
    "valign",
    "value",
    "width",
];

/// In a style, what runs in some browser.
const RUNNING: [&str; 5] = ["javascript:", "vbscript:", "expression(", "behavior:url(", "-moz-binding"];

/// What is wrong with a narrative, as a sentence. `None`: nothing.
pub(super) fn fault(text: &str) -> Option<&'static str> {
    let text = text.trim();
    if !text.starts_with("<div") {
        return Some(FORM);
    }
    if let Some(fault) = xml::narrative_fault(text) {
        return Some(fault);
    }
    let mut reader = Reader::from_str(text);
    let (mut is_first, mut has_content) = (true, false);
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => {
                if is_first && !names_xhtml(&tag) {
                    return Some(NAMESPACE);
                }
                is_first = false;
                if let Some(fault) = of_tag(&tag) {
                    return Some(fault);
                }
                has_content |= tag.name().as_ref() == b"img";
            }
            Ok(Event::Text(text)) => has_content |= !text.iter().all(u8::is_ascii_whitespace),
            Ok(Event::CData(text)) if text.contains(&b'>') => return Some(HIDDEN),
            Ok(Event::Comment(text)) if text.starts_with(b">") || text.starts_with(b"->") => {
                return Some(HIDDEN);
            }
            Ok(Event::CData(text)) => has_content |= !text.iter().all(u8::is_ascii_whitespace),
            Ok(Event::GeneralRef(_)) => has_content = true,
            Ok(Event::Eof) => return (!has_content).then_some(BLANK),
            Ok(_) => {}
            Err(_) => return Some(FORM),
        }
    }
}

fn names_xhtml(tag: &BytesStart<'_>) -> bool {
    tag.attributes().flatten().any(|one| one.key.as_ref() == b"xmlns" && *one.value == *xml::XHTML.as_bytes())
}

fn of_tag(tag: &BytesStart<'_>) -> Option<&'static str> {
    let name = tag.name();
    let name = std::str::from_utf8(name.as_ref()).unwrap_or_default();
    if !ELEMENTS.contains(&name) {
        return Some(ELEMENT);
    }
    for attribute in tag.attributes() {
        let Ok(attribute) = attribute else { return Some(FORM) };
        let key = std::str::from_utf8(attribute.key.as_ref()).unwrap_or_default();
        // A declared prefix does nothing: an element or attribute that uses it is not among these.
        if !(ATTRIBUTES.contains(&key) || OF_SOME.contains(&key) || key.starts_with("xmlns:")) {
            return Some(ATTRIBUTE);
        }
        let value = std::str::from_utf8(&attribute.value).unwrap_or_default();
        // What cannot be resolved here may be a letter of a scheme to a browser.
        let Some(value) = xml::attribute_text(value) else { return Some(LINK) };
        let is_link = matches!(key, "href" | "src" | "cite" | "longdesc" | "usemap");
        if is_link && !is_harmless(&value, name == "img" && key == "src") || key == "style" && runs(&value) {
            return Some(LINK);
        }
    }
    None
}

/// As a browser reads it: without spaces and control characters, in any case.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect::<String>().to_ascii_lowercase()
}

fn is_harmless(link: &str, is_image: bool) -> bool {
    let link = bare(link);
    match link.split_once([':', '/', '?', '#']) {
        Some(("javascript" | "vbscript", _)) => false,
        Some(("data", _)) => is_image && link.starts_with("data:image/"),
        _ => true,
    }
}

/// With its comments and without: what looks like one may be within a string.
fn runs(style: &str) -> bool {
    [unescaped(style), unescaped(&without_comments(style))].iter().any(|style| {
        let style = bare(style);
        RUNNING.iter().any(|bad| style.contains(bad))
    })
}

fn without_comments(style: &str) -> String {
    let (mut out, mut rest) = (String::new(), style);
    while let Some((before, after)) = rest.split_once("/*") {
        out.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, rest)| rest);
    }
    out + rest
}

/// With characters for CSS's escapes. <https://www.w3.org/TR/CSS21/syndata.html#characters>
fn unescaped(style: &str) -> String {
    let (mut out, mut rest) = (String::new(), style);
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let digits = after.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
        let (hex, behind) = after.split_at(digits);
        // Without a digit, the next character stands for itself, a second backslash too.
        let itself = behind.chars().next().filter(|_| hex.is_empty());
        out.extend(u32::from_str_radix(hex, 16).ok().and_then(char::from_u32).or(itself));
        rest = behind.get(itself.map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::fault;

    fn within(inner: &str) -> Option<&'static str> {
        fault(&format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>"))
    }

    #[test]
    fn text_lists_tables_links_and_images_may_be_there() {
        for inner in [
            "x",
            "&#160;",
            "&nbsp;",
            "<p class=\"a\" style=\"color: red\" xml:lang=\"sw\">Habari<br/><b>x</b></p>",
            "<p xmlns:fhir=\"http://hl7.org/fhir\">x</p>",
            "<a href=\"http://example.org/\">x</a><a name=\"y\"/>",
            "<a href=\"Patient/1?x=javascript:\">x</a>",
            "<img src=\"data:image/png;base64,AA==\" alt=\"x\"/>",
            "<table border=\"1\" cellpadding=\"0\"><tbody><tr><td colspan=\"2\">x</td></tr></tbody></table>",
            "<!-- a remark -->x",
            "<a href=\"http://example.org/?a=1&amp;b=caf&eacute;&nbsp;\">x</a>",
            "<p style=\"font-family: '\\@Arial'; /* plain */ scroll-behavior: smooth\">x</p>",
            "<![CDATA[x]]>",
        ] {
            assert_eq!(within(inner), None, "{inner}");
        }
    }

    #[test]
    fn nothing_runs_and_nothing_is_loaded() {
        for inner in [
            "<b onclick=\"x()\">x</b>",
            "<img src=\"x\" onerror=\"x()\"/>",
            "x<script>x</script>",
            "x<style>x</style>",
            "x<link href=\"x\"/>",
            "x<base href=\"x\"/>",
            "<button>x</button>",
            "<form>x</form>",
            "<blink>x</blink>",
            "<B>x</B>",
            "<font>x</font>",
            "<a href=\"javascript:x()\">x</a>",
            "<a href=\" Java&#10;Script:x()\">x</a>",
            "<a href=\"java&#x53;cript:x()\">x</a>",
            "<a href=\"vbscript:x\">x</a>",
            "<a href=\"data:text/html,x\">x</a>",
            "<img src=\"data:text/html,x\"/>",
            "<p style=\"background: url(javascript:x)\">x</p>",
            "<a href=\"&#106;avascript:alert(1)//&nbsp;\">x</a>",
            "<a href=\"JAVA&#9;SCRIPT&#58;x&eacute;\">x</a>",
            "<a href=\"&#x1;javascript:x//&copy;\">x</a>",
            "<a href=\"java&Tab;script:x\">x</a>",
            "<a href=\"javascript&colon;x\">x</a>",
            "<a href=\"&#106avascript:x\">x</a>",
            "<a href=\"&#100;ata:text/html,x&nbsp;\">x</a>",
            "<img src=\"&#118;bscript:x&nbsp;\"/>",
            "<p style=\"width: &#101;xpression(x)&nbsp;\">x</p>",
            "<p style=\"width: exp/**/ression(x)\">x</p>",
            "<p style=\"width: e\\78 pression(x)\">x</p>",
            "<p style=\"a: '/*'; width: expression(x); b: '*/'\">x</p>",
            "<p style=\"background: url(&#106;avascript:x)&nbsp;\">x</p>",
            "<p style=\"background: url(\\java\\000073cript:x)\">x</p>",
            "<p style=\"behavior: url(x)\">x</p>",
            "<![CDATA[><img src=x onerror=x()>]]>",
            "x<!--><img src=x onerror=x()>-->",
            "x<!---><img src=x onerror=x()>-->",
            "x<!-- --!><img src=x onerror=x()>-->",
            "<p xlink:href=\"x\">x</p>",
        ] {
            assert!(within(inner).is_some(), "{inner}");
        }
    }

    #[test]
    fn a_narrative_says_something_in_its_own_namespace() {
        for inner in ["", " \n\t ", "<p> </p>", "<!-- x -->"] {
            assert_eq!(within(inner), Some(super::BLANK), "{inner:?}");
        }
        assert_eq!(fault("<div>x</div>"), Some(super::NAMESPACE));
        assert!(within("<p>x</div>").is_some_and(|text| text.contains("well-formed")));
        assert!(within("&foo;").is_some_and(|text| text.contains("entity")));
        assert_eq!(fault("x"), Some(super::FORM));
    }
}
