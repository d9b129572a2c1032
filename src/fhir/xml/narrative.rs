//! A narrative: XHTML that is text in JSON and elements in XML. <https://hl7.org/fhir/R4/narrative.html>
//!
//! What is well-formed goes over as it is, letter by letter. **Never** judges which HTML it holds.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesRef, Event};

use super::entities;
use super::read::tokens::attributes;
use super::{XHTML, is_character};

/// What is wrong, without a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub code: &'static str,
    pub text: &'static str,
}

const BROKEN: Fault = Fault { code: "bad-narrative", text: "the narrative is not well-formed XHTML" };
const ENTITY: Fault = Fault {
    code: "unknown-entity",
    text: "the narrative has an entity that XML does not know: use its number",
};

/// What is wrong with a narrative of JSON, as a sentence. HTML's own entities (`&nbsp;`), which XML does not know, are
/// let be, and no others: `txt-1`. `None`: nothing.
pub fn narrative_fault(text: &str) -> Option<&'static str> {
    match to_xml(text) {
        Ok(_) => None,
        Err(fault) if fault.code == ENTITY.code => Some(
            "the narrative has an entity that HTML does not have: write the character, or its number as in &#160;",
        ),
        Err(_) => Some("a narrative is one well-formed <div>, with content and without scripts"),
    }
}

/// An attribute's value as a browser reads it: characters for XML's entities and for HTML's own. `None`: it has another.
pub fn attribute_text(raw: &str) -> Option<String> {
    let mut text = String::with_capacity(raw.len());
    push_with_characters(&mut text, raw);
    unescape(&text).ok().map(Cow::into_owned)
}

/// A narrative that came in XML and declares its own namespace: as it is.
pub fn checked(text: &str) -> Result<String, Fault> {
    check(text, None)?;
    Ok(text.to_owned())
}

/// A narrative of JSON for XML: with its namespace, and characters for HTML's own entities.
pub fn to_xml(text: &str) -> Result<Cow<'_, str>, Fault> {
    let text = text.trim();
    let text = if text.contains('&') { Cow::Owned(with_characters(text)?) } else { Cow::Borrowed(text) };
    let root = check(&text, None)?;
    if root.declares {
        return Ok(text);
    }
    let (name, rest) = text.split_at_checked(root.name_end).ok_or(BROKEN)?;
    Ok(Cow::Owned(format!("{name} xmlns=\"{XHTML}\"{rest}")))
}

/// The same with characters for HTML's own entities, in text and in attributes.
fn with_characters(text: &str) -> Result<String, Fault> {
    let mut reader = Reader::from_str(text);
    let (mut out, mut at) = (String::with_capacity(text.len()), 0usize);
    loop {
        let event = reader.read_event().map_err(|_| BROKEN)?;
        let end = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let raw = text.get(at..end).unwrap_or_default();
        at = end;
        match event {
            Event::Eof => return Ok(out),
            // Here an entity is none.
            Event::Comment(_) | Event::CData(_) => out.push_str(raw),
            _ => push_with_characters(&mut out, raw),
        }
    }
}

fn push_with_characters(out: &mut String, mut rest: &str) {
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        rest = match after.split_once(';').and_then(|(name, rest)| Some((entities::character(name)?, rest))) {
            Some((character, rest)) => {
                out.push(character);
                rest
            }
            None => {
                out.push('&');
                after
            }
        };
    }
    out.push_str(rest);
}

/// A narrative that came in XML with a prefix, or with a namespace from outside: the same without.
pub fn unprefixed(text: &str, prefix: Option<&str>) -> Result<String, Fault> {
    check(text, prefix)?;
    let Some(prefix) = prefix else { return to_xml(text).map(Cow::into_owned) };
    let mut reader = Reader::from_str(text);
    let (mut out, mut at) = (String::with_capacity(text.len()), 0usize);
    let begin = [format!("<{prefix}:"), format!("</{prefix}:")];
    let declaration = format!("xmlns:{prefix}");
    loop {
        let event = reader.read_event().map_err(|_| BROKEN)?;
        let end = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let raw = text.get(at..end).unwrap_or_default();
        at = end;
        match event {
            Event::Eof => break,
            Event::Start(_) | Event::Empty(_) | Event::End(_) => {
                let tag = raw.replacen(&begin[0], "<", 1).replacen(&begin[1], "</", 1);
                out.push_str(&tag.replacen(&declaration, "xmlns", 1));
            }
            _ => out.push_str(raw),
        }
    }
    to_xml(&out).map(Cow::into_owned)
}

/// The outermost tag.
struct Root {
    /// Where its name ends.
    name_end: usize,
    declares: bool,
}

/// One `div` that is well-formed, its elements with `prefix` or with none.
fn check(text: &str, prefix: Option<&str>) -> Result<Root, Fault> {
    if !text.chars().all(is_character) {
        return Err(BROKEN);
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let (mut depth, mut root) = (0usize, None);
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        match reader.read_event().map_err(|_| BROKEN)? {
            Event::Eof if depth == 0 => return root.ok_or(BROKEN),
            tag @ (Event::Start(_) | Event::Empty(_)) => {
                let open = matches!(tag, Event::Start(_));
                let (Event::Start(tag) | Event::Empty(tag)) = tag else { return Err(BROKEN) };
                let name = std::str::from_utf8(tag.name().into_inner()).map_err(|_| BROKEN)?.len();
                let content = text.get(at + 1..at + 1 + tag.len()).ok_or(BROKEN)?;
                let declares = tag_fits(content, name, prefix)?;
                if depth == 0 && (root.is_some() || !is_div(content, name)) {
                    return Err(BROKEN);
                }
                root.get_or_insert(Root { name_end: at + 1 + name, declares });
                depth += usize::from(open);
            }
            Event::End(_) => depth -= usize::from(depth > 0),
            Event::GeneralRef(entity) if depth > 0 => known(&entity)?,
            Event::Text(text) if depth == 0 && !text.iter().all(u8::is_ascii_whitespace) => {
                return Err(BROKEN);
            }
            Event::Text(_) | Event::Comment(_) => {}
            Event::CData(_) if depth > 0 => {}
            _ => return Err(BROKEN),
        }
    }
}

fn is_div(content: &str, name: usize) -> bool {
    content.get(..name).is_some_and(|name| name.rsplit(':').next() == Some("div"))
}

/// Its attributes and its prefix; tells whether it declares the namespace of elements without one.
fn tag_fits(content: &str, name: usize, prefix: Option<&str>) -> Result<bool, Fault> {
    let mut declares = false;
    for (key, value) in attributes(content, name)? {
        if key == "xmlns" {
            declares = true;
            if value != XHTML {
                return Err(BROKEN);
            }
        }
    }
    let own = content.get(..name).and_then(|name| name.split_once(':')).map(|(prefix, _)| prefix);
    if own.is_none() || own == prefix { Ok(declares) } else { Err(BROKEN) }
}

fn known(entity: &BytesRef<'_>) -> Result<(), Fault> {
    match entity.resolve_char_ref() {
        Ok(Some(c)) if is_character(c) => Ok(()),
        Ok(None) if matches!(&**entity, b"amp" | b"lt" | b"gt" | b"quot" | b"apos") => Ok(()),
        _ => Err(ENTITY),
    }
}
