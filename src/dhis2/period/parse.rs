//! Reading a period's name.

use jiff::civil::Date;

use super::kind::{Kind, Step};
use super::{Error, Period};

pub(super) fn parse(text: &str) -> Result<Period, Error> {
    let malformed = || Error::Malformed(text.chars().take(20).collect());
    if !text.is_ascii() || !(4..=11).contains(&text.len()) {
        return Err(malformed());
    }
    let (year, rest) = text.split_at(4);
    let year = digits(year).ok_or_else(malformed)?;
    let (kind, number, day) = shape(rest).ok_or_else(malformed)?;
    build(kind, year, number, day).ok_or_else(|| Error::NoSuch(text.to_owned(), kind.name()))
}

/// What follows the year: the type, the number, and for days the day of the month.
fn shape(rest: &str) -> Option<(Kind, i16, i16)> {
    if rest.is_empty() {
        return Some((Kind::Yearly, 1, 0));
    }
    let plain = match (rest.len(), rest.as_bytes()) {
        (2, _) | (4, _) if digits(rest).is_some() => rest.to_owned(),
        (3, [b'-', ..]) | (6, [b'-', _, _, b'-', ..]) => rest.replace('-', ""),
        _ => return marked(rest),
    };
    match plain.len() {
        2 => Some((Kind::Monthly, digits(&plain)?, 0)),
        4 => Some((Kind::Daily, digits(plain.get(..2)?)?, digits(plain.get(2..)?)?)),
        _ => None,
    }
}

fn marked(rest: &str) -> Option<(Kind, i16, i16)> {
    if let Some(number) = rest.strip_suffix('B').filter(|number| number.len() == 2) {
        return Some((Kind::BiMonthly, digits(number)?, 0));
    }
    let marker = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = rest.get(marker.len()..)?;
    if number.is_empty() {
        return Some((Kind::of_marker(marker, false)?, 1, 0));
    }
    let kind = Kind::of_marker(marker, true)?;
    let widest = if matches!(kind.step(), Step::Weeks { .. }) { 2 } else { 1 };
    (number.len() <= widest).then_some((kind, digits(number)?, 0))
}

fn digits(text: &str) -> Option<i16> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn build(kind: Kind, year: i16, number: i16, day: i16) -> Option<Period> {
    let period = match kind.step() {
        Step::Days => {
            let date = Date::new(year, i8::try_from(number).ok()?, i8::try_from(day).ok()?).ok()?;
            Period::containing(kind, date).ok()?
        }
        Step::Weeks { weeks, .. } => of_week(kind, year, number, i64::from(weeks))?,
        Step::Months { months, .. } => {
            if !(1..=12 / i16::from(months)).contains(&number) {
                return None;
            }
            Period::of_months(kind, year, number).ok()?
        }
    };
    period.in_range().ok()
}

/// 4 January is always in week 1. A number that this year does not have gives another year's period.
fn of_week(kind: Kind, year: i16, number: i16, weeks: i64) -> Option<Period> {
    use jiff::ToSpan;
    if !(1..=53).contains(&number) {
        return None;
    }
    let first = Period::containing(kind, Date::new(year, 1, 4).ok()?).ok()?;
    let start = first.start().checked_add((i64::from(number - 1) * weeks).weeks()).ok()?;
    let period = Period::containing(kind, start).ok()?;
    (period.year == year && period.number == number).then_some(period)
}
