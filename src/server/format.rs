//! JSON or XML: what a client sends, and what it is answered.
//!
//! This is the one border where XML exists: what comes in is JSON from here on, what goes out was JSON until
//! here. **Never** looks into a resource, but for what XML cannot hold. <https://hl7.org/fhir/R4/http.html#mime-type>

// Bundles without what XML cannot hold.
mod left_out;

use axum::body::{Body, Bytes};
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;

use super::answer::{self, Answer, FHIR_JSON};
use super::wishes::{self, Layout, parameter};
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::xml;

/// How a resource is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
}

/// How an answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dress {
    pub format: Format,
    pub layout: Layout,
}

impl Dress {
    /// What a request wishes, whatever else is wrong with it: the refusal of an unknown format is JSON.
    pub fn of(headers: &HeaderMap, query: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(query).into_owned();
        let shaping = pairs.filter(|(name, _)| matches!(name.as_str(), "_format" | "_pretty"));
        Self::of_pairs(headers, &shaping.take(2).collect::<Vec<_>>())
    }

    /// The same of parameters that are read already.
    pub fn of_pairs(headers: &HeaderMap, pairs: &[(String, String)]) -> Self {
        Self { format: asked(headers, pairs).unwrap_or(Format::Json), layout: wishes::layout(pairs) }
    }
}

/// What stands for a resource that XML cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// 406: nothing was changed, so the client may ask again for JSON.
    Refusal,
    /// Status and headers alone: what was asked for is done, and asking again would do it twice.
    Nothing,
}

/// What the CapabilityStatement says.
pub const FORMATS: [&str; 4] = ["application/fhir+json", "application/fhir+xml", "json", "xml"];

const FHIR_XML: &str = "application/fhir+xml; charset=utf-8";
/// R4's names, the general ones, and those of DSTU2.
const JSON: [&str; 4] = ["application/fhir+json", "application/json", "text/json", "application/json+fhir"];
const XML: [&str; 4] = ["application/fhir+xml", "application/xml", "text/xml", "application/xml+fhir"];
/// Versions of FHIR that R4 is known by.
const VERSIONS: [&str; 3] = ["4.0", "4.0.0", "4.0.1"];

/// A media type, read: `application/fhir+json; fhirVersion=4.0`.
struct Media<'a> {
    name: String,
    parameters: Vec<(String, &'a str)>,
}

impl<'a> Media<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters = parts.filter_map(|part| part.split_once('='));
        let parameters = parameters
            .map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
            .collect();
        Self { name, parameters }
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    fn format(&self) -> Option<Format> {
        if JSON.contains(&self.name.as_str()) {
            return Some(Format::Json);
        }
        XML.contains(&self.name.as_str()).then_some(Format::Xml)
    }

    /// Whether it names no other version of FHIR than this server's.
    fn version_fits(&self) -> bool {
        self.parameter("fhirversion").is_none_or(|version| VERSIONS.contains(&version))
    }

    /// How good a range of `Accept` fits: quality, and how exactly it is named.
    fn fits(&self, format: Format) -> Option<(f32, u8)> {
        let exactness = match self.name.as_str() {
            "*/*" => 1,
            "application/*" | "text/*" => 2,
            _ if self.format() == Some(format) => 3,
            _ => return None,
        };
        let quality = self.parameter("q").and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
        self.version_fits().then_some((quality, exactness))
    }
}

/// What the answer is to be written in: `_format` wins over `Accept`; JSON where neither says.
///
/// # Errors
/// 406 where neither JSON nor XML of R4 is accepted.
pub fn asked(headers: &HeaderMap, query: &[(String, String)]) -> Result<Format, Outcome> {
    if let Some(format) = parameter(query, "_format").filter(|format| !format.is_empty()) {
        // A `+` that the client did not escape arrives as a space.
        let text = format.replace(' ', "+");
        let media = Media::read(&text);
        let format = match media.name.as_str() {
            "json" | "*/*" => Some(Format::Json),
            "xml" => Some(Format::Xml),
            _ => media.format(),
        };
        return format.filter(|_| media.version_fits()).ok_or_else(|| not_acceptable(&text));
    }
    let all: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if all.iter().all(|value| value.trim().is_empty()) {
        return Ok(Format::Json);
    }
    accepted(&all).ok_or_else(|| not_acceptable(&all.join(",")))
}

fn accepted(all: &[&str]) -> Option<Format> {
    let ranges: Vec<Media<'_>> = all.iter().flat_map(|value| value.split(',')).map(Media::read).collect();
    // The most exact range that names a format says its quality (RFC 9110, 12.5.1).
    let best = |format: Format| {
        let fitting = ranges.iter().enumerate().filter_map(|(place, range)| {
            let (quality, exactness) = range.fits(format)?;
            Some((exactness, std::cmp::Reverse(place), quality))
        });
        let found = fitting.max_by_key(|(exactness, place, _)| (*exactness, *place));
        found.filter(|(_, _, quality)| *quality > 0.0)
    };
    let (json, xml) = (best(Format::Json), best(Format::Xml));
    let browser = ranges.iter().any(|range| range.name == "text/html");
    match (json, xml) {
        (None, None) => None,
        (None, Some(_)) => Some(Format::Xml),
        (Some(_), None) => Some(Format::Json),
        // A browser names XML for pages, not for data.
        (Some(_), Some(_)) if browser => Some(Format::Json),
        (Some((json, json_place, json_quality)), Some((xml, xml_place, xml_quality))) => {
            let order = json_quality.total_cmp(&xml_quality).then((json, json_place).cmp(&(xml, xml_place)));
            Some(if order.is_lt() { Format::Xml } else { Format::Json })
        }
    }
}

fn not_acceptable(asked: &str) -> Outcome {
    let asked: String = asked.chars().filter(|c| !c.is_control()).take(80).collect();
    Outcome::error(IssueType::NotSupported, "not-acceptable", format!("answers are not given as `{asked}`"))
        .status(406)
        .hint("accept application/fhir+json or application/fhir+xml (FHIR 4.0)")
}

/// What a body is written in; JSON where its `Content-Type` is left out.
///
/// # Errors
/// 415 for another type, another version of FHIR, or another encoding than UTF-8.
pub fn sent(headers: &HeaderMap) -> Result<Format, Outcome> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Format::Json) };
    let value = value.to_str().unwrap_or("?");
    let media = Media::read(value);
    let encoding = media.parameter("charset").unwrap_or("utf-8").to_ascii_lowercase();
    let readable = media.version_fits() && matches!(encoding.as_str(), "utf-8" | "utf8" | "us-ascii");
    media.format().filter(|_| readable).ok_or_else(|| {
        let shown: String = value.chars().filter(|c| !c.is_control()).take(80).collect();
        Outcome::error(
            IssueType::NotSupported,
            "unsupported-media-type",
            format!("`{shown}` is not read here"),
        )
        .status(415)
        .hint("send application/fhir+json or application/fhir+xml, FHIR 4.0, in UTF-8")
    })
}

/// A body as JSON: XML is read, everything else is left as it is, but for a byte order mark before JSON or XML,
/// which is ignored (RFC 8259, 8.1).
///
/// # Errors
/// 400 with line and column for XML that is none, or not R4's; 415 for XML in another encoding.
pub fn as_json(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Outcome> {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(Media::read);
    let is_text =
        named.as_ref().is_none_or(|media| media.name.contains("json") || media.name.contains("xml"));
    let body = match body.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) if is_text => body.slice_ref(rest),
        _ => body,
    };
    if named.and_then(|media| media.format()) != Some(Format::Xml) {
        return Ok(body);
    }
    sent(headers)?;
    Ok(xml::read(&body)?.to_string().into())
}

/// Whether an answer is already as the client asked for it, or cannot be.
pub fn is_dressed(answer: &Answer, Dress { format, layout }: Dress) -> bool {
    let is_fhir = answer.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == FHIR_JSON);
    // Handlers lay out what they answer; a refusal does not know what was wished for.
    let done = format == Format::Json && (layout == Layout::Compact || answer.status().is_success());
    !is_fhir || done
}

/// A finished answer as the client asked for it. What is not FHIR JSON stays as it is, and so does a refusal that
/// XML cannot hold.
pub async fn dressed(answer: Answer, dress: Dress, instead: Instead) -> Answer {
    if is_dressed(&answer, dress) {
        return answer;
    }
    let Dress { format, layout } = dress;
    let (mut parts, body) = answer.into_parts();
    let text = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => return defect(),
    };
    let Ok(resource) = serde_json::from_slice::<Value>(&text) else { return defect() };
    parts.headers.remove(header::CONTENT_LENGTH);
    if format == Format::Json {
        return Answer::from_parts(parts, Body::from(answer::text(&resource, layout)));
    }
    match in_xml(&parts, resource, layout) {
        Ok(xml) => {
            parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_XML));
            Answer::from_parts(parts, Body::from(xml))
        }
        Err(_) if !parts.status.is_success() => Answer::from_parts(parts, Body::from(text)),
        Err(_) if instead == Instead::Nothing => {
            parts.headers.remove(header::CONTENT_TYPE);
            Answer::from_parts(parts, Body::empty())
        }
        Err(outcome) => answer::refusal(&outcome),
    }
}

fn in_xml(parts: &Parts, mut resource: Value, layout: Layout) -> Result<String, Outcome> {
    let refused = match xml::write(&resource, layout) {
        Ok(text) => return Ok(text),
        Err(outcome) => outcome,
    };
    // A Bundle that is stored has a version: it is given whole or not at all.
    let stored = parts.headers.contains_key(header::ETAG);
    if stored || !left_out::leave_out(&mut resource) {
        return Err(refused);
    }
    xml::write(&resource, layout)
}

fn defect() -> Answer {
    tracing::error!("an answer is not JSON");
    let outcome = Outcome::error(IssueType::Exception, "defect", "the server has a defect here");
    answer::refusal(&outcome.status(StatusCode::INTERNAL_SERVER_ERROR.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(accept: Option<&'static str>, format: Option<&str>) -> Option<Format> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        let query: Vec<_> = format.map(|f| ("_format".to_owned(), f.to_owned())).into_iter().collect();
        asked(&headers, &query).map_err(|outcome| assert_eq!(outcome.status, 406)).ok()
    }

    fn body(content_type: &'static str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        sent(&headers).map_err(|outcome| assert_eq!(outcome.status, 415)).ok()
    }

    #[test]
    fn json_is_given_under_all_its_names() {
        for accept in [
            None,
            Some(""),
            Some("*/*"),
            Some("application/*"),
            Some("application/fhir+json; fhirVersion=4.0"),
            Some("application/fhir+json; fhirVersion=\"4.0.1\"; charset=utf-8"),
            Some("text/html, application/json;q=0.9"),
            Some("application/json+fhir"),
            Some("text/turtle, text/json"),
            Some("application/fhir+xml;q=0.5, application/fhir+json;q=0.6"),
            Some("application/fhir+json, application/fhir+xml"),
            Some("application/fhir+xml;fhirVersion=3.0, */*;q=0.1"),
            Some("application/fhir+xml;q=0, */*"),
            Some("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"),
        ] {
            assert_eq!(answer_to(accept, None), Some(Format::Json), "{accept:?}");
        }
        assert_eq!(answer_to(Some("application/fhir+xml"), Some("json")), Some(Format::Json));
        assert_eq!(answer_to(None, Some("application/fhir json")), Some(Format::Json));
        assert_eq!(answer_to(Some("text/plain"), Some("application/json")), Some(Format::Json));
    }

    #[test]
    fn xml_is_given_where_it_is_preferred() {
        for accept in [
            "application/fhir+xml",
            "application/xml",
            "text/xml;charset=utf-8",
            "application/xml+fhir",
            "application/fhir+xml, application/fhir+json",
            "application/fhir+xml, */*",
            "application/fhir+json;q=0.2, application/fhir+xml;q=0.3",
            "application/fhir+json;q=0, application/*",
        ] {
            assert_eq!(answer_to(Some(accept), None), Some(Format::Xml), "{accept}");
        }
        for format in ["xml", "text/xml", "application/xml", "application/fhir+xml", "application/fhir xml"] {
            assert_eq!(answer_to(Some("application/json"), Some(format)), Some(Format::Xml), "{format}");
        }
    }

    #[test]
    fn what_is_neither_is_406() {
        for accept in [
            "text/turtle",
            "application/fhir+json; fhirVersion=3.0",
            "application/json;q=0",
            "application/fhir+xml; fhirVersion=5.0",
            "image/png",
        ] {
            assert_eq!(answer_to(Some(accept), None), None, "{accept}");
        }
        for format in ["ttl", "text/turtle", "html", "application/fhir+json;fhirVersion=3.0"] {
            assert_eq!(answer_to(Some("application/json"), Some(format)), None, "{format}");
        }
    }

    #[test]
    fn bodies_are_read_by_their_type() {
        for json in ["application/fhir+json", "application/json; charset=UTF-8", "application/json+fhir"] {
            assert_eq!(body(json), Some(Format::Json), "{json}");
        }
        for xml in ["application/fhir+xml;fhirVersion=4.0", "text/xml", "APPLICATION/XML"] {
            assert_eq!(body(xml), Some(Format::Xml), "{xml}");
        }
        for neither in
            ["text/plain", "application/fhir+json;fhirVersion=3.0", "application/xml;charset=iso-8859-1", ""]
        {
            assert_eq!(body(neither), None, "{neither}");
        }
    }

    #[test]
    fn compact_json_and_what_is_no_resource_need_no_dressing() {
        let answer = |status: u16, media: &'static str| {
            let mut answer = Answer::new(Body::empty());
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
            answer
        };
        for (status, media, format, layout, expected) in [
            (200, FHIR_JSON, Format::Json, Layout::Compact, true),
            (200, FHIR_JSON, Format::Json, Layout::Pretty, true),
            (404, FHIR_JSON, Format::Json, Layout::Compact, true),
            (404, FHIR_JSON, Format::Json, Layout::Pretty, false),
            (200, FHIR_JSON, Format::Xml, Layout::Compact, false),
            (200, "text/plain", Format::Xml, Layout::Compact, true),
        ] {
            let found = is_dressed(&answer(status, media), Dress { format, layout });
            assert_eq!(found, expected, "{status} {media} {format:?} {layout:?}");
        }
    }
}
