//! What a client asks of an answer: format, indentation, `Prefer`, `_summary`.
//! <https://hl7.org/fhir/R4/http.html#general>

use axum::http::HeaderMap;

use super::format::{self, Format};
use crate::fhir::outcome::Outcome;
pub use crate::fhir::xml::Layout;

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

/// What a client asks of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// `None`: not said. Then a single write is answered with the resource, a bundle's entries without.
    pub prefers: Option<Return>,
    pub handling: Handling,
    pub format: Format,
    pub layout: Layout,
}

impl Default for Wishes {
    fn default() -> Self {
        let (handling, format) = (Handling::Lenient, Format::Json);
        Self { prefers: None, handling, format, layout: Layout::Compact }
    }
}

impl Wishes {
    /// Reads the headers and the parameters `_format` (which wins over `Accept`) and `_pretty`.
    ///
    /// # Errors
    /// 406 where neither JSON nor XML is accepted.
    pub fn parse(headers: &HeaderMap, query: &[(String, String)]) -> Result<Self, Outcome> {
        let mut wishes = Self { format: format::asked(headers, query)?, ..Self::default() };
        for value in headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()) {
            for preference in value.split([',', ';']) {
                wishes.prefer(preference);
            }
        }
        wishes.layout = layout(query);
        Ok(wishes)
    }
}

impl Wishes {
    /// `return=minimal`, also `Return = "minimal"`. One that is not understood is ignored.
    /// <https://www.rfc-editor.org/rfc/rfc7240#section-2>
    fn prefer(&mut self, preference: &str) {
        let Some((name, value)) = preference.split_once('=') else { return };
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        match (name.trim().to_ascii_lowercase().as_str(), value.as_str()) {
            ("return", "minimal") => self.prefers = Some(Return::Minimal),
            ("return", "representation") => self.prefers = Some(Return::Representation),
            ("return", "operationoutcome") => self.prefers = Some(Return::OperationOutcome),
            ("handling", "strict") => self.handling = Handling::Strict,
            ("handling", "lenient") => self.handling = Handling::Lenient,
            _ => {}
        }
    }
}

/// `_pretty`
pub fn layout(query: &[(String, String)]) -> Layout {
    if parameter(query, "_pretty") == Some("true") { Layout::Pretty } else { Layout::Compact }
}

/// The first value of a parameter.
pub fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn preferences_are_read_and_unknown_ones_ignored() {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", HeaderValue::from_static("respond-async, return=minimal; handling=strict"));
        let wishes = Wishes::parse(&headers, &[("_pretty".into(), "true".into())]).unwrap();
        assert_eq!((wishes.prefers, wishes.handling), (Some(Return::Minimal), Handling::Strict));
        assert_eq!(wishes.layout, Layout::Pretty);
        headers.insert("prefer", HeaderValue::from_static("Return = \"OperationOutcome\", HANDLING=Strict"));
        let wishes = Wishes::parse(&headers, &[]).unwrap();
        assert_eq!((wishes.prefers, wishes.handling), (Some(Return::OperationOutcome), Handling::Strict));
    }
}
