//! Page tokens: where the last page ended, sealed so that nobody can make one up.
//!
//! A token is the base64 of an HMAC-SHA256 (with a key of the tenant, kept in `setting`) and of what it
//! covers: a fingerprint of the search, the total, the sort values and the rid, and a note of the caller's
//! (the search itself, so that a page can be asked for by the token alone). It holds values of the client's
//! own search and result and no more.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::order::KeyValue;
use super::{Total, TotalWanted};
use crate::fhir::query::Query;
use crate::store::error::Error;

/// Where a page ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Position {
    pub values: Vec<KeyValue>,
    pub rid: i64,
    /// The first page's total, which later pages repeat.
    pub total: Total,
    /// How many entries the pages so far had.
    pub before: u64,
    pub note: String,
}

const SEAL_BYTES: usize = 32;
const FINGERPRINT_BYTES: usize = 16;

/// Tells one search from another.
fn fingerprint(queries: &[Query]) -> [u8; FINGERPRINT_BYTES] {
    let digest = Sha256::digest(format!("{queries:?}").as_bytes());
    let mut head = [0; FINGERPRINT_BYTES];
    head.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    head
}

fn mac(key: &[u8], covered: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(covered);
    Some(mac)
}

/// The token's text.
pub(super) fn seal(key: &[u8], queries: &[Query], position: &Position) -> Result<String, Error> {
    let mut covered = fingerprint(queries).to_vec();
    covered.extend_from_slice(write(position).as_bytes());
    let seal = mac(key, &covered).ok_or(Error::PageToken)?.finalize().into_bytes();
    Ok(URL_SAFE_NO_PAD.encode([seal.as_slice(), &covered].concat()))
}

/// # Errors
/// [`Error::PageToken`] for everything that [`seal`] did not give for this search.
pub(super) fn open(key: &[u8], queries: &[Query], token: &str) -> Result<Position, Error> {
    let (print, position) = read(key, token)?;
    if print != fingerprint(queries) {
        return Err(Error::PageToken);
    }
    Ok(position)
}

/// The fingerprint of the search that a token is of, and its position.
///
/// # Errors
/// [`Error::PageToken`] for everything that [`seal`] did not give.
pub(super) fn read(key: &[u8], token: &str) -> Result<([u8; FINGERPRINT_BYTES], Position), Error> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::PageToken)?;
    let (seal, covered) = bytes.split_at_checked(SEAL_BYTES).ok_or(Error::PageToken)?;
    mac(key, covered).ok_or(Error::PageToken)?.verify_slice(seal).map_err(|_| Error::PageToken)?;
    let (print, position) = covered.split_first_chunk().ok_or(Error::PageToken)?;
    let position = std::str::from_utf8(position).ok().and_then(read_position).ok_or(Error::PageToken)?;
    Ok((*print, position))
}

/// A JSON array of texts: floats travel as their bits.
fn write(position: &Position) -> String {
    let before = position.before.to_string();
    let mut parts = vec![position.rid.to_string(), total_text(position.total), before, position.note.clone()];
    parts.extend(position.values.iter().map(|value| match value {
        KeyValue::Missing => "n".to_owned(),
        KeyValue::Int(value) => format!("i{value}"),
        KeyValue::Float(value) => format!("f{}", value.to_bits()),
        KeyValue::Text(value) => format!("t{value}"),
    }));
    serde_json::Value::from(parts).to_string()
}

fn read_position(text: &str) -> Option<Position> {
    let parts: Vec<String> = serde_json::from_str(text).ok()?;
    let ([rid, total, before, note], values) = parts.split_first_chunk()?;
    let values = values.iter().map(|value| read_value(value)).collect::<Option<_>>()?;
    let (rid, before) = (rid.parse().ok()?, before.parse().ok()?);
    Some(Position { values, rid, total: read_total(total)?, before, note: note.clone() })
}

fn read_value(text: &str) -> Option<KeyValue> {
    let mut characters = text.chars();
    let kind = characters.next()?;
    let value = characters.as_str();
    match kind {
        'n' => Some(KeyValue::Missing),
        'i' => value.parse().ok().map(KeyValue::Int),
        'f' => value.parse().ok().map(|bits| KeyValue::Float(f64::from_bits(bits))),
        't' => Some(KeyValue::Text(value.to_owned())),
        _ => None,
    }
}

fn total_text(total: Total) -> String {
    match total {
        Total::Unknown => "?".to_owned(),
        Total::Exact(count) => count.to_string(),
        Total::AtLeast(count) => format!("+{count}"),
    }
}

fn read_total(text: &str) -> Option<Total> {
    match text.strip_prefix('+') {
        Some(count) => count.parse().ok().map(Total::AtLeast),
        None if text == "?" => Some(Total::Unknown),
        None => text.parse().ok().map(Total::Exact),
    }
}

impl TotalWanted {
    /// Where counting stops.
    pub(super) fn limit(self) -> Option<i64> {
        match self {
            Self::None => None,
            Self::Bounded => Some(super::TOTAL_EXACT_MAX + 1),
            Self::Accurate => Some(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_and_only_untouched() {
        let query = [Query { kind: "Patient".to_owned(), ..Query::default() }];
        let values = vec![
            KeyValue::Missing,
            KeyValue::Int(-5),
            KeyValue::Float(0.1),
            KeyValue::Text("\u{0}é\"".to_owned()),
        ];
        let note = "Patient?name=é".to_owned();
        let position = Position { values, rid: i64::MAX, total: Total::AtLeast(10_000), before: 20, note };
        let token = seal(b"key", &query, &position).unwrap();
        assert_eq!(open(b"key", &query, &token), Ok(position));
        assert_eq!(open(b"other", &query, &token), Err(Error::PageToken));
        assert_eq!(read(b"key", &token).map(|read| read.1.note), Ok("Patient?name=é".to_owned()));
        let other = [Query { kind: "Practitioner".to_owned(), ..Query::default() }];
        assert_eq!(open(b"key", &other, &token), Err(Error::PageToken));
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                open(b"key", &query, std::str::from_utf8(&bytes).unwrap()),
                Err(Error::PageToken),
                "{at}"
            );
        }
        assert_eq!(open(b"key", &query, ""), Err(Error::PageToken));
    }
}
