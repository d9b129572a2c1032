//! References: what kind of thing a text names, and rewriting them throughout a resource.
//!
//! **Never** follows a reference; that is the store's. <https://hl7.org/fhir/R4/references.html>

// Changing references in a resource.
pub mod rewrite;

use crate::fhir::elements::table;
use crate::fhir::structure::primitive::is_id;

/// What a literal reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal<'a> {
    /// `Patient/1`, `Patient/1/_history/2`
    Relative { kind: &'static str, id: &'a str, version: Option<&'a str> },
    /// `http://example.org/fhir/Patient/1`; `unversioned` is without `/_history/2`.
    Absolute {
        base: &'a str,
        kind: &'static str,
        id: &'a str,
        version: Option<&'a str>,
        unversioned: &'a str,
    },
    /// `urn:uuid:…`, `urn:oid:…`
    Urn(&'a str),
    /// `#id`; `#` alone is the container.
    Contained(&'a str),
    /// `Patient?identifier=x`
    Conditional { kind: &'static str, query: &'a str },
    /// Anything else: a url that is not a FHIR server's, a bare id.
    Other(&'a str),
}

/// Classifies the text of a `Reference.reference`.
pub fn parse(text: &str) -> Literal<'_> {
    if let Some(id) = text.strip_prefix('#') {
        return Literal::Contained(id);
    }
    if text.starts_with("urn:") {
        return Literal::Urn(text);
    }
    if let Some((kind, query)) = text.split_once('?') {
        return match table().kind(kind) {
            Some(kind) => Literal::Conditional { kind, query },
            None => Literal::Other(text),
        };
    }
    let (unversioned, version) = match text.split_once("/_history/") {
        Some((unversioned, version)) => (unversioned, Some(version)),
        None => (text, None),
    };
    let mut parts = unversioned.rsplitn(3, '/');
    let (Some(id), Some(kind)) = (parts.next(), parts.next().and_then(|kind| table().kind(kind))) else {
        return Literal::Other(text);
    };
    if !is_id(id) || version.is_some_and(|version| !is_id(version)) {
        return Literal::Other(text);
    }
    match parts.next() {
        None => Literal::Relative { kind, id, version },
        Some(base) if base.contains("://") => Literal::Absolute { base, kind, id, version, unversioned },
        Some(_) => Literal::Other(text),
    }
}

/// A reference that names a resource of this server, relative or absolute under `base` (with or without a
/// slash at its end), as (kind, id, version).
pub fn local<'a>(text: &'a str, base: &str) -> Option<(&'static str, &'a str, Option<&'a str>)> {
    match parse(text) {
        Literal::Relative { kind, id, version } => Some((kind, id, version)),
        Literal::Absolute { base: named, kind, id, version, .. } if named == base.trim_end_matches('/') => {
            Some((kind, id, version))
        }
        _ => None,
    }
}

/// `http://example.org/q|1.2` → (`http://example.org/q`, `1.2`). A fragment stays with the url.
pub fn split_canonical(text: &str) -> (&str, Option<&str>) {
    match text.split_once('|') {
        Some((url, version)) => (url, Some(version)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_told_apart() {
        assert_eq!(parse("Patient/1"), Literal::Relative { kind: "Patient", id: "1", version: None });
        assert_eq!(
            parse("http://x.org/fhir/Patient/1/_history/2"),
            Literal::Absolute {
                base: "http://x.org/fhir",
                kind: "Patient",
                id: "1",
                version: Some("2"),
                unversioned: "http://x.org/fhir/Patient/1"
            }
        );
        assert_eq!(parse("urn:uuid:a"), Literal::Urn("urn:uuid:a"));
        assert_eq!(parse("#a"), Literal::Contained("a"));
        assert_eq!(
            parse("Patient?identifier=a|b"),
            Literal::Conditional { kind: "Patient", query: "identifier=a|b" }
        );
        for other in [
            "",
            "x",
            "Foo/1",
            "Patient/",
            "Patient/a b",
            "x/Patient/1",
            "http://x.org/y",
            "Patient/1/_history/",
        ] {
            assert_eq!(parse(other), Literal::Other(other), "{other}");
        }
    }

    #[test]
    fn our_own_base_is_local() {
        assert_eq!(local("http://us/fhir/Patient/1", "http://us/fhir/"), Some(("Patient", "1", None)));
        assert_eq!(local("http://them/fhir/Patient/1", "http://us/fhir/"), None);
        assert_eq!(local("Patient/1/_history/3", "http://us/fhir"), Some(("Patient", "1", Some("3"))));
    }

    #[test]
    fn canonicals_split() {
        assert_eq!(split_canonical("http://q|1"), ("http://q", Some("1")));
        assert_eq!(split_canonical("http://q"), ("http://q", None));
    }
}
