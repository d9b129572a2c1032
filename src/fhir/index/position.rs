//! Where a Location is: `near`. <https://hl7.org/fhir/R4/location.html#positional>
//!
//! A place is a point of the unit sphere, three numbers: then "not farther than" is a sum of squares, which a database
//! computes without trigonometry, and neither the poles nor the line where the days meet are special. **Never** gives a
//! row for what is no place on Earth.

use std::f64::consts::{FRAC_PI_2, PI};

use serde_json::Value;

use super::extract;
use super::number::float;
use super::{IndexRow, IndexValue, ParameterKey};
use crate::fhir::parameters::{Parameter, Program};

/// The Earth's mean radius in metres (IUGG). As a sphere it is off by up to 0.5 %.
const RADIUS_M: f64 = 6_371_008.8;
/// Less than a centimetre, so that rounding excludes nothing that is there.
const SLACK: f64 = 1e-9;

/// A place on the unit sphere: towards the meridian of Greenwich, towards 90° east, towards the north pole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub z: f64,
}

impl Point {
    /// Of degrees; `None` for what is beyond the poles, or more than once round the Earth.
    pub fn of(latitude: f64, longitude: f64) -> Option<Self> {
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return None;
        }
        let (north, east) = (latitude.to_radians(), longitude.to_radians());
        Some(Self { x: north.cos() * east.cos(), y: north.cos() * east.sin(), z: north.sin() })
    }
}

/// What is not farther from a point than a distance along the great circle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Around {
    pub at: Point,
    /// The straight line through the sphere, squared.
    pub chord: f64,
    /// What `z` is within: the band that an index gives.
    pub low: f64,
    pub high: f64,
}

impl Around {
    /// Within so many metres.
    pub fn of(at: Point, metres: f64) -> Self {
        let angle = (metres / RADIUS_M).clamp(0.0, PI);
        let chord = 2.0 * (angle / 2.0).sin() + SLACK;
        let north = at.z.clamp(-1.0, 1.0).asin();
        let edge = |angle: f64| angle.clamp(-FRAC_PI_2, FRAC_PI_2).sin();
        Self { at, chord: chord * chord, low: edge(north - angle) - SLACK, high: edge(north + angle) + SLACK }
    }
}

/// The parameters of the rows that hold `x` and `y`; that of `z` is the search parameter itself.
pub fn axes(kind: &str, code: &str) -> [ParameterKey; 2] {
    ["x", "y"].map(|axis| ParameterKey::new(kind, &format!("{code}#{axis}")))
}

/// Three rows for a place.
pub(super) fn rows(parameter: &Parameter, resource: &Value) -> Vec<IndexRow> {
    let Program::Paths(paths) = &parameter.program else { return Vec::new() };
    let Some(found) = extract::paths(paths, resource).into_iter().next() else { return Vec::new() };
    let degrees = |name: &str| float(found.value.get(name));
    let point = degrees("latitude").zip(degrees("longitude"));
    let Some(point) = point.and_then(|(latitude, longitude)| Point::of(latitude, longitude)) else {
        return Vec::new();
    };
    let [x, y] = axes(parameter.kind, parameter.code);
    let row =
        |(parameter, value)| IndexRow { parameter, value: IndexValue::Number { low: value, high: value } };
    [(parameter.key, point.z), (x, point.x), (y, point.y)].map(row).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_within(from: (f64, f64), to: (f64, f64), km: f64) -> bool {
        let around = Around::of(Point::of(from.0, from.1).unwrap(), km * 1000.0);
        let to = Point::of(to.0, to.1).unwrap();
        let square = |a: f64, b: f64| (a - b) * (a - b);
        let chord = square(to.x, around.at.x) + square(to.y, around.at.y) + square(to.z, around.at.z);
        let banded = around.low <= to.z && to.z <= around.high;
        assert!(banded || chord > around.chord, "the band holds what is near");
        chord <= around.chord
    }

    #[test]
    fn distances_are_those_of_great_circles() {
        // 60 degrees of a meridian are 6,671.7 km; one degree of the equator 111.195 km.
        for (from, to, km) in [
            ((0.0, 0.0), (0.0, 1.0), 111.195),
            ((-30.0, 10.0), (30.0, 10.0), 6_671.7),
            ((0.0, 179.9), (0.0, -179.9), 22.239),
            ((89.9, 0.0), (89.9, 180.0), 22.239),
            ((60.0, 0.0), (60.0, 2.0), 111.178),
        ] {
            assert!(is_within(from, to, km + 0.1), "{from:?} {to:?}");
            assert!(!is_within(from, to, km - 0.1), "{from:?} {to:?}");
        }
        assert!(is_within((-1.9441, 30.0619), (-1.9441, 30.0619), 0.0));
        assert!(is_within((-1.9441, 30.0619), (-1.944_11, 30.0619), 0.0012));
        assert!(!is_within((-1.9441, 30.0619), (-1.944_11, 30.0619), 0.0010));
        assert!(is_within((90.0, 0.0), (-90.0, 0.0), 40_000.0));
        assert_eq!(
            (Point::of(90.1, 0.0), Point::of(0.0, 181.0), Point::of(f64::NAN, 0.0)),
            (None, None, None)
        );
    }
}
