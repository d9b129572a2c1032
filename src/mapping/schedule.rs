//! When an act is due: a moment, a series from it, and the hours of the day outside of which nobody is
//! disturbed.
//!
//! Pure. By the calendar of the tenant's zone: six weeks after 08:00 is 08:00, whatever clocks were changed in
//! between. Bounded: [`MAX_TIMES`] occurrences.

use jiff::civil::Time;
use jiff::fmt::temporal::{DateTimeParser, DateTimePrinter};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use super::program::After;
use super::steps::Failure;
use super::steps::moment::Moment;

/// Occurrences of one series.
pub const MAX_TIMES: u32 = 366;

/// When one occurrence is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    pub at: Zoned,
    /// When it would have been due, had that not been outside of `hours`.
    pub moved_from: Option<Zoned>,
}

/// Every occurrence, in order. `base` is `at`, or the event time of the source.
///
/// # Errors
/// `date-range`
pub fn occurrences(after: &After, base: &Moment, zone: &TimeZone) -> Result<Vec<Due>, Failure> {
    let first = match after.plus {
        Some(span) => later(base, span, zone)?,
        None => base.clone(),
    };
    let every = after.every.unwrap_or_default();
    (0..i64::from(after.times.unwrap_or(1).clamp(1, MAX_TIMES)))
        .map(|number| {
            let span = every.checked_mul(number).map_err(|_| out_of_range())?;
            let moment = if number == 0 { first.clone() } else { later(&first, span, zone)? };
            within(&moment.instant(zone)?.to_zoned(zone.clone()), after.hours)
        })
        .collect()
}

/// Calendar arithmetic; a date becomes its first instant where hours are added.
fn later(moment: &Moment, span: Span, zone: &TimeZone) -> Result<Moment, Failure> {
    moment.plus(span).or_else(|failure| match moment {
        Moment::Date(date) if failure.code == "plus-needs-time" => {
            let zoned = date.to_zoned(zone.clone()).map_err(|_| out_of_range())?;
            Moment::Time(zoned).plus(span)
        }
        _ => Err(failure),
    })
}

/// The moment itself within `[from, to)`, else the next opening. Where `to` is before `from` the hours go over
/// midnight.
fn within(moment: &Zoned, hours: Option<(Time, Time)>) -> Result<Due, Failure> {
    let Some((from, to)) = hours else { return Ok(Due { at: moment.clone(), moved_from: None }) };
    let time = moment.time();
    let open = if from < to { time >= from && time < to } else { time >= from || time < to };
    if open {
        return Ok(Due { at: moment.clone(), moved_from: None });
    }
    let over_for_today = from < to && time >= to;
    let date = match over_for_today {
        true => moment.date().tomorrow().map_err(|_| out_of_range())?,
        false => moment.date(),
    };
    let opening = date.to_datetime(from).to_zoned(moment.time_zone().clone()).map_err(|_| out_of_range())?;
    // When clocks go back an opening comes twice.
    Ok(Due { at: opening.max(moment.clone()), moved_from: Some(moment.clone()) })
}

/// `08:00-18:00`
pub fn hours_text((from, to): (Time, Time)) -> String {
    format!("{:02}:{:02}-{:02}:{:02}", from.hour(), from.minute(), to.hour(), to.minute())
}

/// `08:00-18:00 Africa/Kigali`, as it travels with an act. A zone that has no name is told by its offset today.
pub fn zoned_hours(hours: (Time, Time), zone: &TimeZone) -> String {
    let offset = || zone.to_offset(Timestamp::now()).to_string();
    let name = DateTimePrinter::new().time_zone_to_string(zone).unwrap_or_else(|_| offset());
    format!("{} {name}", hours_text(hours))
}

/// Outside of such hours: when they open next. `None`: they are open now.
///
/// # Errors
/// `bad-hours` where the text is none of [`zoned_hours`]; `date-range`
pub fn opening(zoned_hours: &str, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let (hours, zone) = read_hours(zoned_hours)
        .ok_or_else(|| Failure::new("bad-hours", "the hours are not `HH:MM-HH:MM ZONE`"))?;
    let due = within(&now.to_zoned(zone), Some(hours))?;
    Ok(due.moved_from.map(|_| due.at.timestamp()).filter(|opening| *opening > now))
}

fn read_hours(text: &str) -> Option<((Time, Time), TimeZone)> {
    let (hours, zone) = text.split_once(' ')?;
    let (from, to) = hours.split_once('-')?;
    let time = |text| Time::strptime("%H:%M", text).ok();
    Some(((time(from)?, time(to)?), DateTimeParser::new().parse_time_zone(zone).ok()?))
}

fn out_of_range() -> Failure {
    Failure::new("date-range", "the date is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::diagnostic::Place;

    fn after(plus: &str, every: &str, times: u32) -> After {
        let span = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        let times = (times > 0).then_some(times);
        After { place: Place::default(), at: None, plus: span(plus), every: span(every), times, hours: None }
    }

    fn hours(from: &str, to: &str) -> Option<(Time, Time)> {
        let time = |text| Time::strptime("%H:%M", text).unwrap();
        Some((time(from), time(to)))
    }

    fn dues(after: &After, base: &str, zone: &str) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let base = Moment::parse(base, &zone).unwrap();
        let shown = |due: &Due| due.at.strftime("%Y-%m-%dT%H:%M%:z").to_string();
        occurrences(after, &base, &zone).unwrap().iter().map(shown).collect()
    }

    #[test]
    fn weeks_are_of_the_calendar_whatever_clocks_were_changed() {
        // Clocks went forward on 31 March 2024 and back on 27 October.
        let six_weeks = after("P6W", "", 0);
        assert_eq!(dues(&six_weeks, "2024-03-01T08:00:00+01:00", "Europe/Paris"), ["2024-04-12T08:00+02:00"]);
        assert_eq!(dues(&six_weeks, "2024-10-01", "Europe/Paris"), ["2024-11-12T00:00+01:00"]);
        assert_eq!(dues(&six_weeks, "2024-03-01T06:00:00Z", "Africa/Kigali"), ["2024-04-12T08:00+02:00"]);
    }

    #[test]
    fn hours_of_a_duration_are_real_hours() {
        // The night in which 02:00 becomes 03:00.
        let day = after("PT24H", "", 0);
        assert_eq!(dues(&day, "2024-03-30T12:00:00+01:00", "Europe/Paris"), ["2024-03-31T13:00+02:00"]);
        assert_eq!(dues(&day, "2024-03-31", "Europe/Paris"), ["2024-04-01T01:00+02:00"]);
    }

    #[test]
    fn a_day_that_begins_at_one_begins_then() {
        // Cairo: clocks go from 00:00 to 01:00 on 26 April 2024.
        assert_eq!(dues(&after("P1D", "", 0), "2024-04-25", "Africa/Cairo"), ["2024-04-26T01:00+03:00"]);
    }

    #[test]
    fn a_series_keeps_its_distance_and_months_keep_their_end() {
        let days = after("P1D", "P1D", 3);
        assert_eq!(
            dues(&days, "2024-01-30", "UTC"),
            ["2024-01-31T00:00+00:00", "2024-02-01T00:00+00:00", "2024-02-02T00:00+00:00"]
        );
        let months = after("", "P1M", 3);
        assert_eq!(
            dues(&months, "2024-01-31", "UTC"),
            ["2024-01-31T00:00+00:00", "2024-02-29T00:00+00:00", "2024-03-31T00:00+00:00"]
        );
    }

    #[test]
    fn before_is_a_negative_duration() {
        assert_eq!(dues(&after("-P1D", "", 0), "2024-03-01", "UTC"), ["2024-02-29T00:00+00:00"]);
    }

    #[test]
    fn what_is_outside_of_the_hours_moves_to_the_next_opening() {
        let day = After { hours: hours("08:00", "18:00"), ..after("", "", 0) };
        let zone = "Africa/Kigali";
        assert_eq!(dues(&day, "2024-05-01", zone), ["2024-05-01T08:00+02:00"]);
        assert_eq!(dues(&day, "2024-05-01T17:59:59+02:00", zone), ["2024-05-01T17:59+02:00"]);
        assert_eq!(dues(&day, "2024-05-01T18:00:00+02:00", zone), ["2024-05-02T08:00+02:00"]);
        assert_eq!(dues(&day, "2024-05-01T20:00:00Z", zone), ["2024-05-02T08:00+02:00"]);
        let night = After { hours: hours("20:00", "06:00"), ..after("", "", 0) };
        assert_eq!(dues(&night, "2024-05-01T05:59:00+02:00", zone), ["2024-05-01T05:59+02:00"]);
        assert_eq!(dues(&night, "2024-05-01T06:00:00+02:00", zone), ["2024-05-01T20:00+02:00"]);
        assert_eq!(dues(&night, "2024-05-01T23:00:00+02:00", zone), ["2024-05-01T23:00+02:00"]);
    }

    #[test]
    fn an_opening_that_clocks_skip_comes_when_they_went_on() {
        let early = After { hours: hours("02:30", "18:00"), ..after("", "", 0) };
        assert_eq!(dues(&early, "2024-03-31T00:00:00+01:00", "Europe/Paris"), ["2024-03-31T03:30+02:00"]);
        // 02:45 the second time, an opening at 02:50 is not the one before.
        let late = After { hours: hours("02:50", "18:00"), ..after("", "", 0) };
        assert_eq!(dues(&late, "2024-10-27T02:45:00+01:00", "Europe/Paris"), ["2024-10-27T02:45+01:00"]);
    }

    #[test]
    fn hours_that_travel_with_their_zone_say_when_they_open() {
        let text = |zone| zoned_hours(hours("08:00", "18:00").unwrap(), &zone);
        let kigali = text(TimeZone::get("Africa/Kigali").unwrap());
        assert_eq!(kigali, "08:00-18:00 Africa/Kigali");
        let opens = |text: &str, now: &str| {
            opening(text, now.parse().unwrap()).unwrap().map(|opening| opening.to_string())
        };
        assert_eq!(opens(&kigali, "2024-05-01T15:59:59Z"), None);
        assert_eq!(opens(&kigali, "2024-05-01T16:00:00Z").as_deref(), Some("2024-05-02T06:00:00Z"));
        assert_eq!(opens(&kigali, "2024-05-02T00:00:00Z").as_deref(), Some("2024-05-02T06:00:00Z"));
        let utc = opens(&text(TimeZone::UTC), "2024-05-01T07:00:00Z");
        assert_eq!(utc.as_deref(), Some("2024-05-01T08:00:00Z"));
        let offset = text(TimeZone::fixed(jiff::tz::offset(2)));
        assert_eq!(opens(&offset, "2024-05-01T05:00:00Z").as_deref(), Some("2024-05-01T06:00:00Z"));
        assert_eq!(opening("08:00", Timestamp::UNIX_EPOCH).unwrap_err().code, "bad-hours");
    }

    #[test]
    fn each_occurrence_is_moved_for_itself_and_says_so() {
        let zone = TimeZone::UTC;
        let six_hourly = After { hours: hours("06:00", "20:00"), ..after("", "PT6H", 4) };
        let base = Moment::parse("2024-05-01T12:00:00Z", &zone).unwrap();
        let found = occurrences(&six_hourly, &base, &zone).unwrap();
        let moved: Vec<bool> = found.iter().map(|due| due.moved_from.is_some()).collect();
        assert_eq!(moved, [false, false, true, false]);
    }

    #[test]
    fn the_end_of_time_is_told() {
        let far = after("P9000Y", "", 0);
        let base = Moment::parse("2024-05-01", &TimeZone::UTC).unwrap();
        assert_eq!(occurrences(&far, &base, &TimeZone::UTC).unwrap_err().code, "date-range");
    }
}
