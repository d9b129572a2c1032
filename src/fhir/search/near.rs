//! `near=latitude|longitude|distance|units`. <https://hl7.org/fhir/R4/location.html#positional>

use super::refused;
use super::value::{Asked, split};
use crate::fhir::index::number::decimal;
use crate::fhir::index::position::{Around, Point, axes};
use crate::fhir::outcome::Outcome;
use crate::fhir::query::Match;
use rust_decimal::prelude::ToPrimitive;

/// Where the client does not say how near, in metres.
const DISTANCE_M: f64 = 50_000.0;
/// UCUM's codes of lengths that maps are made with, in metres.
const UNITS: [(&str, f64); 4] =
    [("km", 1000.0), ("m", 1.0), ("[mi_us]", 6336.0 / 3937.0 * 1000.0), ("[mi_i]", 1609.344)];

/// What is near a place.
pub(super) fn read(asked: &Asked<'_>, text: &str) -> Result<Match, Outcome> {
    let bad = |code: &'static str, what: &str| {
        refused(asked.name, code, what)
            .hint("written latitude|longitude|distance|units: -1.9441|30.0619|10|km")
    };
    let number = |text: &str| decimal(text.trim()).and_then(|number| number.to_f64());
    let parts = split(text, '|');
    let (latitude, longitude, distance, unit) = match parts.as_slice() {
        [latitude, longitude] => (latitude, longitude, "", ""),
        [latitude, longitude, distance] => (latitude, longitude, distance.as_str(), ""),
        [latitude, longitude, distance, unit] => (latitude, longitude, distance.as_str(), unit.as_str()),
        _ => return Err(bad("bad-position", "it has two to four parts")),
    };
    let place = number(latitude).zip(number(longitude));
    let place = place.and_then(|(latitude, longitude)| Point::of(latitude, longitude));
    let place = place.ok_or_else(|| bad("bad-position", "degrees from -90 to 90, and from -180 to 180"))?;
    let metres = match distance {
        "" => DISTANCE_M,
        text => {
            let unit = if unit.is_empty() { "km" } else { unit };
            let metres = UNITS.iter().find(|(code, _)| *code == unit).map(|(_, metres)| metres);
            let metres = metres.ok_or_else(|| bad("bad-unit", "the units are km, m, [mi_us] or [mi_i]"))?;
            let distance = number(text).filter(|distance| *distance >= 0.0);
            distance.ok_or_else(|| bad("bad-number", "this is not a distance"))? * metres
        }
    };
    let axes = axes(asked.parameter.kind, asked.parameter.code);
    Ok(Match::Near { around: Around::of(place, metres), axes })
}
