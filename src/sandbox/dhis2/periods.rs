//! ISO periods.
//!
//! The sandbox's own reading of periods, so that it can be held against the product's. Types that no data
//! set of the sandbox uses are not known here.

use jiff::civil::{Date, Weekday, date};
use jiff::{Span, ToSpan};

/// A period: its ISO text, its type and its days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    pub iso: String,
    pub kind: &'static str,
    pub start: Date,
    /// The last day.
    pub end: Date,
}

/// Reads a period as DHIS2 does; `2024-01` and `2024W01` are taken too.
pub fn parse(text: &str) -> Option<Period> {
    if !text.is_ascii() || text.len() < 4 {
        return None;
    }
    let (year, rest) = text.split_at(4);
    if !year.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let year: i16 = year.parse().ok()?;
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i8>().ok()).flatten();
    if rest.is_empty() {
        return period("Yearly", Date::new(year, 1, 1).ok()?);
    }
    if let Some(week) = rest.strip_prefix('W') {
        return weekly(year, number(week)?);
    }
    if let Some(quarter) = rest.strip_prefix('Q') {
        let quarter = number(quarter).filter(|q| (1..=4).contains(q))?;
        return period("Quarterly", Date::new(year, (quarter - 1) * 3 + 1, 1).ok()?);
    }
    if let Some(half) = rest.strip_prefix('S') {
        let half = number(half).filter(|half| (1..=2).contains(half))?;
        return period("SixMonthly", Date::new(year, (half - 1) * 6 + 1, 1).ok()?);
    }
    match rest.replace('-', "") {
        month if month.len() == 2 => period("Monthly", Date::new(year, number(&month)?, 1).ok()?),
        day if day.len() == 4 => {
            period("Daily", Date::new(year, number(day.get(..2)?)?, number(day.get(2..)?)?).ok()?)
        }
        _ => None,
    }
}

fn weekly(year: i16, week: i8) -> Option<Period> {
    let first = date(year, 1, 4)
        .checked_sub(i32::from(date(year, 1, 4).weekday().to_monday_zero_offset()).days())
        .ok()?;
    let start = first.checked_add(Span::new().weeks(i32::from(week) - 1)).ok()?;
    let made = period("Weekly", start)?;
    (made.iso == format!("{year}W{week}")).then_some(made)
}

/// The period of a type that holds a day.
pub fn at(kind: &str, day: Date) -> Option<Period> {
    let month = |months: i8| Date::new(day.year(), (day.month() - 1) / months * months + 1, 1).ok();
    match kind {
        "Daily" => period("Daily", day),
        "Weekly" => {
            let back = i32::from(day.weekday().since(Weekday::Monday));
            period("Weekly", day.checked_sub(back.days()).ok()?)
        }
        "Monthly" => period("Monthly", month(1)?),
        "Quarterly" => period("Quarterly", month(3)?),
        "SixMonthly" => period("SixMonthly", month(6)?),
        "Yearly" => period("Yearly", month(12)?),
        _ => None,
    }
}

/// So many periods later; earlier where negative.
pub fn shift(period: &Period, by: i32) -> Option<Period> {
    let span = match period.kind {
        "Daily" => by.days(),
        "Weekly" => by.weeks(),
        "Monthly" => by.months(),
        "Quarterly" => (by * 3).months(),
        "SixMonthly" => (by * 6).months(),
        _ => by.years(),
    };
    at(period.kind, period.start.checked_add(span).ok()?)
}

fn period(kind: &'static str, start: Date) -> Option<Period> {
    let (span, iso) = match kind {
        "Daily" => (1.day(), start.strftime("%Y%m%d").to_string()),
        "Weekly" => {
            let week = start.iso_week_date();
            (1.week(), format!("{}W{}", week.year(), week.week()))
        }
        "Monthly" => (1.month(), start.strftime("%Y%m").to_string()),
        "Quarterly" => (3.months(), format!("{}Q{}", start.year(), (start.month() - 1) / 3 + 1)),
        "SixMonthly" => (6.months(), format!("{}S{}", start.year(), (start.month() - 1) / 6 + 1)),
        _ => (1.year(), start.year().to_string()),
    };
    let end = start.checked_add(span).ok()?.yesterday().ok()?;
    Some(Period { iso, kind, start, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_and_shifted() {
        let table = [
            ("202610", "Monthly", "2026-10-01", "2026-10-31", "202611"),
            ("2026-10", "Monthly", "2026-10-01", "2026-10-31", "202611"),
            ("2020W53", "Weekly", "2020-12-28", "2021-01-03", "2021W1"),
            ("2026W01", "Weekly", "2025-12-29", "2026-01-04", "2026W2"),
            ("2026Q4", "Quarterly", "2026-10-01", "2026-12-31", "2027Q1"),
            ("2026S1", "SixMonthly", "2026-01-01", "2026-06-30", "2026S2"),
            ("2026", "Yearly", "2026-01-01", "2026-12-31", "2027"),
            ("20260131", "Daily", "2026-01-31", "2026-01-31", "20260201"),
        ];
        for (text, kind, start, end, next) in table {
            let read = parse(text).unwrap();
            assert_eq!(
                (read.kind, read.start.to_string().as_str(), read.end.to_string().as_str()),
                (kind, start, end)
            );
            assert_eq!(shift(&read, 1).unwrap().iso, next);
        }
        for text in ["", "2026-99", "abc", "2025W53", "202613", "2026Q5", "12345"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
