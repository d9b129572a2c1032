//! Dates and times: FHIR's forms, in the tenant's zone where they name none.
//!
//! <https://hl7.org/fhir/R4/datatypes.html#dateTime>

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit, Zoned};
use serde_json::Value;

use super::{Failure, quoted, text_of};
use crate::mapping::expression::AgeUnit;

/// A date, or a point in time.
#[derive(Debug, Clone, PartialEq)]
pub enum Moment {
    Date(Date),
    Time(Zoned),
}

impl Moment {
    /// A FHIR date, dateTime or instant.
    ///
    /// # Errors
    /// `not-a-date`, or `date-incomplete` for a year or a month.
    pub fn of(value: &Value, zone: &TimeZone) -> Result<Self, Failure> {
        let text = text_of(value).unwrap_or_default();
        Self::parse(text.trim(), zone)
    }

    /// As [`Moment::of`].
    ///
    /// # Errors
    /// As [`Moment::of`].
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, Failure> {
        let refused = || not_a_date(text);
        if text.len() > 64 || !text.is_ascii() {
            return Err(refused());
        }
        if is_partial(text) {
            return Err(Failure::new("date-incomplete", format!("{} is not a whole date", quoted(text))));
        }
        if text.len() == 10 {
            return text.parse().map(Self::Date).map_err(|_| refused());
        }
        if !text.as_bytes().get(10).is_some_and(|sign| matches!(sign, b'T' | b't' | b' ')) {
            return Err(refused());
        }
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Ok(Self::Time(timestamp.to_zoned(zone.clone())));
        }
        let local: DateTime = text.parse().map_err(|_| refused())?;
        local.to_zoned(zone.clone()).map(Self::Time).map_err(|_| refused())
    }

    /// The civil date, in the zone of the moment.
    pub fn date(&self) -> Date {
        match self {
            Self::Date(date) => *date,
            Self::Time(zoned) => zoned.date(),
        }
    }

    /// The point in time; of a date its first instant in the zone.
    ///
    /// # Errors
    /// `date-range`
    pub fn instant(&self, zone: &TimeZone) -> Result<Timestamp, Failure> {
        match self {
            Self::Date(date) => {
                date.to_zoned(zone.clone()).map(|zoned| zoned.timestamp()).map_err(|_| out_of_range())
            }
            Self::Time(zoned) => Ok(zoned.timestamp()),
        }
    }

    /// Calendar arithmetic: 31 January plus one month is the last of February.
    ///
    /// # Errors
    /// `date-range`, or `plus-needs-time` for hours on a date.
    pub fn plus(&self, span: Span) -> Result<Self, Failure> {
        match self {
            Self::Date(_) if has_time(span) => {
                Err(Failure::new("plus-needs-time", "hours, minutes and seconds cannot be added to a date")
                    .hint("give `type: dateTime` first, or a duration of days, weeks, months or years"))
            }
            Self::Date(date) => date.checked_add(span).map(Self::Date).map_err(|_| out_of_range()),
            Self::Time(zoned) => zoned.checked_add(span).map(Self::Time).map_err(|_| out_of_range()),
        }
    }

    /// strftime.
    ///
    /// # Errors
    /// `write` when the format asks for what a date does not have.
    pub fn write(&self, format: &str) -> Result<String, Failure> {
        let broken = match self {
            Self::Date(date) => BrokenDownTime::from(*date),
            Self::Time(zoned) => BrokenDownTime::from(zoned),
        };
        broken.to_string(format).map_err(|_| {
            Failure::new("write", format!("`{format}` asks for what the date does not have"))
                .hint("hours and zones need a dateTime")
        })
    }
}

/// RFC 3339, with the offset of its zone.
impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Date(date) => write!(out, "{date}"),
            Self::Time(zoned) => {
                write!(out, "{}", zoned.timestamp().display_with_offset(zoned.offset()))
            }
        }
    }
}

/// `2024` or `2024-05`
fn is_partial(text: &str) -> bool {
    matches!(text.len(), 4 | 7)
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 { byte == b'-' } else { byte.is_ascii_digit() })
}

fn has_time(span: Span) -> bool {
    span.get_hours() != 0
        || span.get_minutes() != 0
        || span.get_seconds() != 0
        || span.get_milliseconds() != 0
        || span.get_microseconds() != 0
        || span.get_nanoseconds() != 0
}

fn not_a_date(text: &str) -> Failure {
    Failure::new("not-a-date", format!("{} is not a date", quoted(text)))
        .hint("dates are written 2024-05-31; give `type: date` with `format` for other ways")
}

fn out_of_range() -> Failure {
    Failure::new("date-range", "the date is out of range")
}

/// Step 5, `type: date`.
pub(super) fn date(value: &Value, format: Option<&str>, zone: &TimeZone) -> Result<Value, Failure> {
    let moment = read(value, format, zone)?;
    Ok(Value::String(moment.date().to_string()))
}

/// Step 5, `type: dateTime`: of a date its first instant in the tenant's zone.
pub(super) fn date_time(value: &Value, format: Option<&str>, zone: &TimeZone) -> Result<Value, Failure> {
    let zoned = match read(value, format, zone)? {
        Moment::Time(zoned) => zoned,
        Moment::Date(date) => date.to_zoned(zone.clone()).map_err(|_| out_of_range())?,
    };
    Ok(Value::String(Moment::Time(zoned).to_string()))
}

fn read(value: &Value, format: Option<&str>, zone: &TimeZone) -> Result<Moment, Failure> {
    let Some(format) = format else { return Moment::of(value, zone) };
    let text = text_of(value).unwrap_or_default();
    let refused = |_| Failure::new("not-a-date", format!("{} is not written as `{format}`", quoted(&text)));
    let broken = jiff::fmt::strtime::parse(format, text.trim()).map_err(refused)?;
    if broken.offset().is_some() {
        let timestamp = broken.to_timestamp().map_err(refused)?;
        return Ok(Moment::Time(timestamp.to_zoned(zone.clone())));
    }
    let date = broken.to_date().map_err(refused)?;
    match broken.hour() {
        None => Ok(Moment::Date(date)),
        Some(_) => {
            let time = broken.to_time().map_err(refused)?;
            DateTime::from_parts(date, time).to_zoned(zone.clone()).map(Moment::Time).map_err(refused)
        }
    }
}

/// Completed units: of a birth date that is only a year or a month, the least and the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    pub least: i64,
    pub most: i64,
}

impl Completed {
    /// The number itself.
    ///
    /// # Errors
    /// `age-uncertain`
    pub fn exact(self) -> Result<Value, Failure> {
        if self.least == self.most {
            return Ok(Value::from(self.least));
        }
        let message =
            format!("the birth date is incomplete: the age is between {} and {}", self.least, self.most);
        Err(Failure::new("age-uncertain", message))
    }
}

/// Completed units between two dates.
///
/// # Errors
/// `age-negative`, or why one of the two is no date.
pub fn age(from: &Value, at: &Value, unit: AgeUnit, zone: &TimeZone) -> Result<Completed, Failure> {
    let at = Moment::of(at, zone)?.date();
    let (first, last) = days_of(from, zone)?;
    let (most, least) = (completed(first, at, unit)?, completed(last, at, unit)?);
    if most < 0 {
        let message = "the date at which the age is asked is before the birth date";
        return Err(Failure::new("age-negative", message));
    }
    // Somebody is there: of an incomplete birth date the days after `at` are not meant.
    Ok(Completed { least: least.max(0), most })
}

fn days_of(value: &Value, zone: &TimeZone) -> Result<(Date, Date), Failure> {
    let text = text_of(value).unwrap_or_default();
    let text = text.trim();
    if !is_partial(text) {
        let date = Moment::parse(text, zone)?.date();
        return Ok((date, date));
    }
    let month = if text.len() == 7 { text.to_owned() } else { format!("{text}-01") };
    let first: Date = format!("{month}-01").parse().map_err(|_| not_a_date(text))?;
    let last = if text.len() == 7 { first.last_of_month() } else { first.last_of_year() };
    Ok((first, last))
}

fn completed(from: Date, at: Date, unit: AgeUnit) -> Result<i64, Failure> {
    let unit = match unit {
        AgeUnit::Years => Unit::Year,
        AgeUnit::Months => Unit::Month,
        AgeUnit::Weeks => Unit::Week,
        AgeUnit::Days => Unit::Day,
    };
    let span = from.until((unit, at)).map_err(|_| out_of_range())?;
    let whole = match unit {
        Unit::Year => i64::from(span.get_years()),
        Unit::Month => i64::from(span.get_months()),
        Unit::Week => i64::from(span.get_weeks()),
        _ => i64::from(span.get_days()),
    };
    // Not yet born, by less than one unit: whole units alone would say 0.
    Ok(if at < from { whole.min(-1) } else { whole })
}

/// Whether a strftime format is one, tried on a moment that has everything.
///
/// # Errors
/// What is wrong, in words.
pub fn check_format(format: &str) -> Result<(), String> {
    let sample = Date::constant(2024, 2, 29).to_datetime(Time::midnight()).to_zoned(TimeZone::UTC);
    let sample = sample.map_err(|error| error.to_string())?;
    BrokenDownTime::from(&sample).to_string(format).map(|_| ()).map_err(|error| error.to_string())
}

/// An ISO 8601 duration: `P6W`, `-P1M`, `PT36H`.
///
/// # Errors
/// What is wrong, in words.
pub fn duration(text: &str) -> Result<Span, String> {
    let iso = text.trim_start_matches(['-', '+']).starts_with(['P', 'p']);
    let parsed = if iso { text.parse::<Span>().ok() } else { None };
    parsed.ok_or_else(|| format!("`{text}` is not an ISO 8601 duration"))
}
