//! FHIR's dates as ranges of time: `2024-02` is the whole of February.
//!
//! What has no zone is read in the tenant's. **Never** reads a clock.
//! <https://hl7.org/fhir/R4/search.html#date>

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// The end of the year 9999, in milliseconds: no date of R4 is later.
pub const END: i64 = 253_402_300_800_000;

/// `[low, high)` in milliseconds since 1970 UTC, by the precision of a date, dateTime or instant; also of
/// `2024-02-29T10:00` and of times without a zone, which search values may have. `None`: not a date.
pub fn range(text: &str, zone: &TimeZone) -> Option<(i64, i64)> {
    match text.split_once('T') {
        Some((date, time)) => time_range(date, time, zone),
        None => date_range(text, zone),
    }
}

fn date_range(text: &str, zone: &TimeZone) -> Option<(i64, i64)> {
    if !text.is_ascii() {
        return None;
    }
    let number = |from: usize, to: usize| {
        text.get(from..to).filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?.parse::<i16>().ok()
    };
    let dash = |at: usize| text.as_bytes().get(at) == Some(&b'-');
    let year = number(0, 4).filter(|year| *year > 0)?;
    let (first, length) = match text.len() {
        4 => (Date::new(year, 1, 1).ok()?, Span::new().years(1)),
        7 if dash(4) => (Date::new(year, i8::try_from(number(5, 7)?).ok()?, 1).ok()?, Span::new().months(1)),
        10 if dash(4) && dash(7) => {
            let (month, day) = (number(5, 7)?, number(8, 10)?);
            (Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?, Span::new().days(1))
        }
        _ => return None,
    };
    let end = first.checked_add(length).map_or(Some(END), |next| start_of(next, zone))?;
    Some((start_of(first, zone)?, end))
}

fn start_of(date: Date, zone: &TimeZone) -> Option<i64> {
    at(date.to_datetime(jiff::civil::Time::midnight()), zone)
}

/// A local time as an instant. Those of the last days that there are, which "for ever" is mostly written as, lie
/// beyond the instants that can be told in every zone: they are taken as UTC.
fn at(local: DateTime, zone: &TimeZone) -> Option<i64> {
    match zone.to_ambiguous_zoned(local).compatible() {
        Ok(zoned) => Some(zoned.timestamp().as_millisecond()),
        Err(_) if local.year() == DateTime::MAX.year() => utc(local),
        Err(_) => None,
    }
}

/// Milliseconds since 1970 of a time in UTC, at most [`END`].
fn utc(local: DateTime) -> Option<i64> {
    let since = local.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    Some(i64::try_from(since.as_millis()).ok()?.min(END))
}

fn time_range(date: &str, time: &str, zone: &TimeZone) -> Option<(i64, i64)> {
    if date.len() != 10 || !time.is_ascii() {
        return None;
    }
    let at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, offset) = time.split_at(at);
    let (clock, length_ms) = match clock.split_once('.') {
        Some((whole, fraction)) if whole.len() == 8 => (clock, fraction_ms(fraction)?),
        Some(_) => return None,
        None if clock.len() == 8 => (clock, 1_000),
        None if clock.len() == 5 => (clock, 60_000),
        None => return None,
    };
    // R4 has no year 0.
    if date.starts_with("0000") {
        return None;
    }
    let local = || format!("{date}T{clock}").parse::<DateTime>().ok();
    let low = if offset.is_empty() {
        self::at(local()?, zone)?
    } else {
        match format!("{date}T{clock}{offset}").parse::<Timestamp>() {
            Ok(timestamp) => timestamp.as_millisecond(),
            Err(_) if date.starts_with("9999-12-3") && is_offset(offset) => utc(local()?)?,
            Err(_) => return None,
        }
    };
    Some((low, low.checked_add(length_ms)?.min(END)))
}

/// `Z`, `+05:30`
fn is_offset(text: &str) -> bool {
    let numbers = || text.get(1..)?.split_once(':').map(|(hours, minutes)| (hours.len(), minutes.len()));
    let digits = text.bytes().skip(1).all(|byte| byte.is_ascii_digit() || byte == b':');
    text == "Z" || text.starts_with(['+', '-']) && digits && numbers() == Some((2, 2))
}

/// The length of the range that a fraction of a second stands for; at least a millisecond.
fn fraction_ms(fraction: &str) -> Option<i64> {
    match fraction.len() {
        0 => None,
        1 => Some(100),
        2 => Some(10),
        _ => Some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, zone: &TimeZone) -> String {
        let (low, high) = range(text, zone).unwrap();
        let show = |ms| Timestamp::from_millisecond(ms).unwrap().to_string();
        format!("{} {}", show(low), show(high))
    }

    #[test]
    fn precision_gives_the_range() {
        let utc = TimeZone::UTC;
        assert_eq!(texts("2024", &utc), "2024-01-01T00:00:00Z 2025-01-01T00:00:00Z");
        assert_eq!(texts("2024-02", &utc), "2024-02-01T00:00:00Z 2024-03-01T00:00:00Z");
        assert_eq!(texts("2024-02-29", &utc), "2024-02-29T00:00:00Z 2024-03-01T00:00:00Z");
        assert_eq!(texts("2024-02-29T10:00", &utc), "2024-02-29T10:00:00Z 2024-02-29T10:01:00Z");
        assert_eq!(texts("2024-02-29T10:00:00+05:30", &utc), "2024-02-29T04:30:00Z 2024-02-29T04:30:01Z");
        assert_eq!(
            texts("2024-02-29T10:00:00.123Z", &utc),
            "2024-02-29T10:00:00.123Z 2024-02-29T10:00:00.124Z"
        );
    }

    #[test]
    fn what_has_no_zone_is_in_the_tenants() {
        let zone = TimeZone::get("Africa/Nairobi").unwrap();
        assert_eq!(texts("2024-02-29", &zone), "2024-02-28T21:00:00Z 2024-02-29T21:00:00Z");
        assert_eq!(texts("2024-02-29T10:00:00", &zone), "2024-02-29T07:00:00Z 2024-02-29T07:00:01Z");
    }

    #[test]
    fn the_last_day_ends_with_the_last_year() {
        for zone in ["UTC", "Africa/Nairobi", "America/New_York"] {
            let zone = TimeZone::get(zone).unwrap();
            for text in ["9999", "9999-12", "9999-12-31"] {
                let (low, high) = range(text, &zone).unwrap();
                assert!(low < high && high == END, "{text}");
            }
            for text in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59", "9999-12-31T23:59:59.999+05:30"] {
                let (low, high) = range(text, &zone).unwrap();
                assert!(END - 2_000 < low && low < high && high <= END, "{text}: {low} {high}");
            }
            assert_eq!(range("9999-12-31T23:59:59+05:3x", &zone), None);
            assert_eq!(range("9999-12-32", &zone), None);
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "0000",
            "0000-01-01",
            "0000-01-01T00:00:00Z",
            "",
            "24",
            "2024-2",
            "2024-13",
            "2024-02-30",
            "2024-02-29T",
            "2024-02-29T10",
            "x",
            "2024-02-29T10:00:00.Z",
            "é024",
        ] {
            assert_eq!(range(text, &TimeZone::UTC), None, "{text}");
        }
    }
}
