//! Cursors and pages of 250.
//!
//! A cursor is a position: the ordering value of the last row whose successor has another one, and how
//! many rows with one value were already shown after it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::http::{Answer, Request};
use super::super::time;
use super::gate::detail_answer;

const PAGE: usize = 250;

/// Which way a list runs and where it is cut, from the query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    reverse: bool,
    /// A date that cannot be read: an empty list.
    nothing: bool,
}

impl Window {
    pub fn of(request: &Request) -> Self {
        let mut nothing = false;
        let mut read = |name| {
            let text = request.parameter(name)?;
            let at = time::parse(text);
            nothing |= at.is_none();
            at
        };
        let (after, before) = (read("after"), read("before"));
        Self { after, before, reverse: request.flag("reverse"), nothing }
    }

    /// A list whose `after`, `before` and `reverse` are ignored.
    pub fn all() -> Self {
        Self { after: None, before: None, reverse: false, nothing: false }
    }

    fn holds(&self, at: Timestamp) -> bool {
        !self.nothing
            && self.after.is_none_or(|after| at >= after)
            && self.before.is_none_or(|before| at <= before)
    }
}

struct Cursor {
    position: Option<Timestamp>,
    offset: usize,
    back: bool,
}

/// One page of rows, each with its ordering value.
pub(super) fn page(request: &Request, window: Window, mut rows: Vec<(Timestamp, Value)>) -> Answer {
    rows.retain(|(at, _)| window.holds(*at));
    rows.sort_by_key(|(at, _)| *at);
    if !window.reverse {
        rows.reverse();
    }
    let cursor = match request.parameter("cursor").filter(|text| !text.is_empty()).map(decode) {
        Some(Some(cursor)) => cursor,
        Some(None) => return detail_answer(404, "Invalid cursor"),
        None => Cursor { position: None, offset: 0, back: false },
    };
    let from = start_of(&rows, &cursor, window.reverse);
    let to = (from + PAGE).min(rows.len());
    let shown = rows.get(from..to).unwrap_or(&[]);
    let next = rows.get(to).map(|(next, _)| next_cursor(&cursor, shown, *next));
    let previous = shown.first().filter(|_| from > 0).map(|(at, _)| encode(Some(*at), 0, true));
    let link = |cursor: Option<String>| cursor.map(|cursor| link_of(request, &cursor));
    let results: Vec<&Value> = shown.iter().map(|(_, row)| row).collect();
    Answer::json(200, &json!({ "next": link(next), "previous": link(previous), "results": results }))
}

fn start_of(rows: &[(Timestamp, Value)], cursor: &Cursor, ascending: bool) -> usize {
    let Some(position) = cursor.position else { return cursor.offset.min(rows.len()) };
    let beyond = |at: Timestamp| if ascending { at > position } else { at < position };
    let not_before = |at: Timestamp| if ascending { at >= position } else { at <= position };
    if cursor.back {
        let end = rows.iter().position(|(at, _)| not_before(*at)).unwrap_or(rows.len());
        return end.saturating_sub(PAGE);
    }
    let start = rows.iter().position(|(at, _)| beyond(*at)).unwrap_or(rows.len());
    (start + cursor.offset).min(rows.len())
}

fn next_cursor(cursor: &Cursor, shown: &[(Timestamp, Value)], next: Timestamp) -> String {
    let ties = shown.iter().rev().take_while(|(at, _)| *at == next).count();
    match shown.len().checked_sub(ties + 1).and_then(|last| shown.get(last)) {
        Some((at, _)) => encode(Some(*at), ties, false),
        None => encode(cursor.position, cursor.offset + ties, false),
    }
}

fn encode(position: Option<Timestamp>, offset: usize, back: bool) -> String {
    let mut parts = url::form_urlencoded::Serializer::new(String::new());
    if offset > 0 {
        parts.append_pair("o", &offset.to_string());
    }
    if back {
        parts.append_pair("r", "1");
    }
    if let Some(position) = position {
        parts.append_pair("p", &position.strftime("%Y-%m-%d %H:%M:%S%.6f+00:00").to_string());
    }
    STANDARD.encode(parts.finish())
}

fn decode(text: &str) -> Option<Cursor> {
    let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let mut cursor = Cursor { position: None, offset: 0, back: false };
    for (key, value) in url::form_urlencoded::parse(text.as_bytes()) {
        match key.as_ref() {
            "o" => cursor.offset = value.parse().ok()?,
            "r" => cursor.back = value == "1",
            "p" => cursor.position = Some(value.replacen(' ', "T", 1).parse().ok()?),
            _ => {}
        }
    }
    Some(cursor)
}

/// The request's own address with another cursor.
fn link_of(request: &Request, cursor: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("cursor", cursor);
    for (key, value) in request.query.iter().filter(|(key, _)| key != "cursor") {
        query.append_pair(key, value);
    }
    format!("{}{}?{}", request.base, request.path, query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(times: &[i64]) -> Vec<(Timestamp, Value)> {
        times.iter().enumerate().map(|(n, s)| (Timestamp::from_second(*s).unwrap(), n.into())).collect()
    }

    fn request(cursor: Option<String>) -> Request {
        Request {
            number: 1,
            method: "GET".into(),
            path: "/api/v2/runs.json".into(),
            query: [("reverse".to_owned(), "true".to_owned())]
                .into_iter()
                .chain(cursor.map(|cursor| ("cursor".to_owned(), cursor)))
                .collect(),
            headers: Default::default(),
            base: "http://x".into(),
            body: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Follows `next` to the end.
    fn crawl(times: &[i64]) -> Vec<i64> {
        let mut cursor = None;
        let mut seen = Vec::new();
        for _ in 0..20 {
            let request = request(cursor.take());
            let answer = page(&request, Window::of(&request), rows(times));
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            seen.extend(body["results"].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()));
            let Some(next) = body["next"].as_str() else { return seen };
            let next = url::Url::parse(next).unwrap();
            cursor = next.query_pairs().find(|(key, _)| key == "cursor").map(|(_, value)| value.into_owned());
        }
        panic!("the pages do not end");
    }

    #[test]
    fn pages_show_every_row_once() {
        let rising: Vec<i64> = (0..700).collect();
        assert_eq!(crawl(&rising), rising);
    }

    #[test]
    fn pages_show_every_row_once_where_times_are_equal() {
        let times: Vec<i64> = (0..900).map(|n| n / 400).collect();
        assert_eq!(crawl(&times), (0..900).collect::<Vec<i64>>());
        assert_eq!(crawl(&[5; 600]), (0..600).collect::<Vec<i64>>());
    }
}
