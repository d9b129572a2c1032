//! What a client asks of an answer: format, indentation, `Prefer`, `_summary`.
//! <https://hl7.org/fhir/R4/http.html#general>

use axum::http::{HeaderMap, header};

use crate::fhir::outcome::{IssueType, Outcome};

/// `Prefer: return=…`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    Minimal,
    Representation,
    OperationOutcome,
}

/// `Prefer: handling=…`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    Strict,
    Lenient,
}

/// How JSON is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Compact,
    Pretty,
}

/// What a client asks of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// `None`: not said. Then a single write is answered with the resource, a bundle's entries without.
    pub prefers: Option<Return>,
    pub handling: Handling,
    pub layout: Layout,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { prefers: None, handling: Handling::Lenient, layout: Layout::Compact }
    }
}

impl Wishes {
    /// Reads the headers and the parameters `_format` (which wins over `Accept`) and `_pretty`.
    ///
    /// # Errors
    /// 406 where no JSON is accepted.
    pub fn parse(headers: &HeaderMap, query: &[(String, String)]) -> Result<Self, Outcome> {
        acceptable(headers, query)?;
        let mut wishes = Self::default();
        for value in headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()) {
            for preference in value.split([',', ';']).map(str::trim) {
                match preference {
                    "return=minimal" => wishes.prefers = Some(Return::Minimal),
                    "return=representation" => wishes.prefers = Some(Return::Representation),
                    "return=OperationOutcome" => wishes.prefers = Some(Return::OperationOutcome),
                    "handling=strict" => wishes.handling = Handling::Strict,
                    "handling=lenient" => wishes.handling = Handling::Lenient,
                    // RFC 7240: a preference that is not understood is ignored.
                    _ => {}
                }
            }
        }
        if parameter(query, "_pretty") == Some("true") {
            wishes.layout = Layout::Pretty;
        }
        Ok(wishes)
    }
}

/// The first value of a parameter.
pub fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn acceptable(headers: &HeaderMap, query: &[(String, String)]) -> Result<(), Outcome> {
    if let Some(format) = parameter(query, "_format") {
        // A `+` that the client did not escape arrives as a space.
        let format = format.replace(' ', "+");
        return if is_json(&format, &["json", "*/*"]) { Ok(()) } else { Err(not_acceptable(&format)) };
    }
    let mut asked = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if asked.peek().is_none() {
        return Ok(());
    }
    let any = ["*/*", "application/*", "text/*"];
    let mut refused = String::new();
    for range in asked.flat_map(|value| value.split(',')) {
        if range.split(';').skip(1).any(is_zero_quality) {
            continue;
        }
        if is_json(range, &any) {
            return Ok(());
        }
        range.trim().clone_into(&mut refused);
    }
    Err(not_acceptable(&refused))
}

fn is_zero_quality(parameter: &str) -> bool {
    parameter.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
}

/// JSON in any of the names that R4 and older clients use, of FHIR version 4.0 where one is named.
fn is_json(media: &str, also: &[&str]) -> bool {
    let mut parts = media.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = ["application/fhir+json", "application/json", "text/json", "application/json+fhir"];
    let version_fits = parts.all(|part| match part.split_once('=') {
        Some((key, version)) if key.trim().eq_ignore_ascii_case("fhirversion") => {
            version.trim().trim_matches('"').starts_with("4.0")
        }
        _ => true,
    });
    version_fits && (json.contains(&name.as_str()) || also.contains(&name.as_str()))
}

fn not_acceptable(asked: &str) -> Outcome {
    let asked: String = asked.chars().filter(|c| !c.is_control()).take(80).collect();
    Outcome::error(IssueType::NotSupported, "not-acceptable", format!("answers are not given as `{asked}`"))
        .status(406)
        .hint("accept application/fhir+json (FHIR 4.0)")
}

/// Whether a body of this `Content-Type` can be read.
///
/// # Errors
/// 415 with the types that can.
pub fn readable(headers: &HeaderMap) -> Result<(), Outcome> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let value = value.to_str().unwrap_or_default();
    if is_json(value, &[]) {
        return Ok(());
    }
    let shown: String = value.chars().filter(|c| !c.is_control()).take(80).collect();
    Err(Outcome::error(
        IssueType::NotSupported,
        "unsupported-media-type",
        format!("`{shown}` is not read here"),
    )
    .status(415)
    .hint("send application/fhir+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn status(accept: Option<&'static str>, format: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        let query: Vec<_> = format.map(|f| ("_format".to_owned(), f.to_owned())).into_iter().collect();
        Wishes::parse(&headers, &query).map_or_else(|outcome| outcome.status, |_| 200)
    }

    #[test]
    fn json_is_given_under_all_its_names() {
        for accept in [
            None,
            Some("*/*"),
            Some("application/fhir+json; fhirVersion=4.0"),
            Some("text/html, application/json;q=0.9"),
            Some("application/json+fhir"),
        ] {
            assert_eq!(status(accept, None), 200, "{accept:?}");
        }
        assert_eq!(status(Some("application/fhir+xml"), Some("json")), 200);
        assert_eq!(status(None, Some("application/fhir json")), 200);
    }

    #[test]
    fn what_is_not_json_is_406() {
        assert_eq!(status(Some("application/fhir+xml"), None), 406);
        assert_eq!(status(Some("application/fhir+json; fhirVersion=3.0"), None), 406);
        assert_eq!(status(Some("application/json;q=0"), None), 406);
        assert_eq!(status(Some("application/json"), Some("xml")), 406);
    }

    #[test]
    fn preferences_are_read_and_unknown_ones_ignored() {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", HeaderValue::from_static("respond-async, return=minimal; handling=strict"));
        let wishes = Wishes::parse(&headers, &[("_pretty".into(), "true".into())]).unwrap();
        assert_eq!((wishes.prefers, wishes.handling), (Some(Return::Minimal), Handling::Strict));
        assert_eq!(wishes.layout, Layout::Pretty);
    }
}
