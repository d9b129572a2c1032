//! Periods of DHIS2 in the ISO calendar: parse, write, contain a date, shift, start and end.
//!
//! Pure and total: no clock, no zone; dates that leave the calendar are errors. What it does is what
//! `org.hisp.dhis.period` does, quirks included, and is tested against 943 of its own answers.
//! <https://docs.dhis2.org/en/develop/using-the-api/dhis-core-version-master/introduction.html>

// The period types.
pub mod kind;
mod parse;

use std::fmt;

use jiff::ToSpan;
use jiff::civil::Date;

pub use kind::Kind;
use kind::Step;

/// A period: its type and its first day, which is always the first day of such a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    kind: Kind,
    start: Date,
    /// The year and number that its name carries.
    year: i16,
    number: i16,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("\"{0}\" is no period of DHIS2")]
    Malformed(String),
    #[error("\"{0}\" is written like a {1} period, but there is none with this number in this year")]
    NoSuch(String, &'static str),
    #[error("the period leaves the calendar (years 1000 to 9999)")]
    OutOfRange,
    #[error("the period type {kind} exists from DHIS2 {since} on; this server runs {version}")]
    TooNew { kind: &'static str, since: String, version: String },
}

impl Error {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "period-malformed",
            Self::NoSuch(..) => "period-not-in-calendar",
            Self::OutOfRange => "period-out-of-range",
            Self::TooNew { .. } => "period-type-too-new",
        }
    }

    pub fn hint(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "write it as DHIS2 does: 202601, 2026W5, 2026Q1, 2026S1, 2026, 2026April",
            Self::NoSuch(..) => {
                "look at a calendar: not every year has 53 weeks, and no month has 31 days always"
            }
            Self::OutOfRange => "look at the date and the shift",
            Self::TooNew { .. } => {
                "use a period type that this server knows: GET /api/periodTypes lists them"
            }
        }
    }
}

impl Period {
    /// The period of this type that contains a day.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] outside the years 1000 to 9999.
    pub fn containing(kind: Kind, date: Date) -> Result<Self, Error> {
        let period = match kind.step() {
            Step::Days => Self { kind, start: date, year: date.year(), number: 0 },
            Step::Weeks { first, weeks } => week_containing(kind, date, first, weeks)?,
            Step::Months { months, first, named_after_end } => {
                let offset = (i16::from(date.month()) - i16::from(first)).rem_euclid(12);
                let began = if date.month() >= first { date.year() } else { date.year() - 1 };
                let number = offset / i16::from(months) + 1;
                Self::of_months(kind, began + i16::from(named_after_end), number)?
            }
        };
        period.in_range()
    }

    /// Reads a period as DHIS2 writes and accepts it (`202601`, `2026-01`, `2026W05`).
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::NoSuch`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::parse(text)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn start(&self) -> Date {
        self.start
    }

    /// The last day. A period at the very end of the calendar ends with it.
    pub fn end(&self) -> Date {
        let length = match self.kind.step() {
            Step::Days => 1.day(),
            Step::Weeks { weeks, .. } => i64::from(weeks).weeks(),
            Step::Months { months, .. } => i64::from(months).months(),
        };
        self.start.checked_add(length).and_then(|next| next.yesterday()).unwrap_or(Date::MAX)
    }

    pub fn contains(&self, date: Date) -> bool {
        self.start <= date && date <= self.end()
    }

    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn next(&self) -> Result<Self, Error> {
        self.shift(1)
    }

    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn previous(&self) -> Result<Self, Error> {
        self.shift(-1)
    }

    /// The period `count` steps later, or earlier where it is negative.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn shift(&self, count: i32) -> Result<Self, Error> {
        if self.kind == Kind::BiWeekly {
            return self.shift_fortnights(count);
        }
        let count = i64::from(count);
        let span = match self.kind.step() {
            Step::Days => jiff::Span::new().try_days(count),
            Step::Weeks { .. } => jiff::Span::new().try_weeks(count),
            Step::Months { months, .. } => jiff::Span::new().try_months(count * i64::from(months)),
        };
        let start = span.and_then(|span| self.start.checked_add(span)).map_err(|_| Error::OutOfRange)?;
        Self::containing(self.kind, start)
    }

    /// Fortnights restart with the ISO year, so that a 27th overlaps the next year's first: DHIS2 goes
    /// fourteen days and looks again.
    fn shift_fortnights(&self, count: i32) -> Result<Self, Error> {
        if count.unsigned_abs() > 26 * 9999 {
            return Err(Error::OutOfRange);
        }
        let step = if count < 0 { -14 } else { 14 };
        let mut period = *self;
        for _ in 0..count.unsigned_abs() {
            let date = period.start.checked_add(step.days()).map_err(|_| Error::OutOfRange)?;
            period = Self::containing(self.kind, date)?;
        }
        Ok(period)
    }

    fn of_months(kind: Kind, year: i16, number: i16) -> Result<Self, Error> {
        let Step::Months { months, first, named_after_end } = kind.step() else {
            return Err(Error::OutOfRange);
        };
        let began = year - i16::from(named_after_end);
        let start = Date::new(began, first, 1)
            .and_then(|date| date.checked_add((i64::from(number - 1) * i64::from(months)).months()))
            .map_err(|_| Error::OutOfRange)?;
        Ok(Self { kind, start, year, number })
    }

    fn in_range(self) -> Result<Self, Error> {
        if (1000..=9999).contains(&self.year) { Ok(self) } else { Err(Error::OutOfRange) }
    }
}

/// Week 1 is the one with at least four days in the year, whatever day weeks begin on; pairs of ISO weeks
/// make fortnights.
fn week_containing(kind: Kind, date: Date, first: i8, weeks: u8) -> Result<Period, Error> {
    let since = (date.weekday().to_monday_zero_offset() - first).rem_euclid(7);
    let shift = |date: Date, days: i64| date.checked_add(days.days()).map_err(|_| Error::OutOfRange);
    let start = shift(date, -i64::from(since))?;
    let middle = shift(start, 3)?;
    let week = (middle.day_of_year() - 1) / 7 + 1;
    let year = middle.year();
    if weeks == 1 {
        return Ok(Period { kind, start, year, number: week });
    }
    let start = if week % 2 == 0 { shift(start, -7)? } else { start };
    Ok(Period { kind, start, year, number: (week + 1) / 2 })
}

/// As DHIS2 writes it, without padding: `2026W5`.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, number) = (self.year, self.number);
        match self.kind {
            Kind::Daily => write!(f, "{year:04}{:02}{:02}", self.start.month(), self.start.day()),
            Kind::Monthly => write!(f, "{year:04}{number:02}"),
            Kind::BiMonthly => write!(f, "{year:04}{number:02}B"),
            kind if kind.has_number() => write!(f, "{year:04}{}{number}", kind.marker()),
            kind => write!(f, "{year:04}{}", kind.marker()),
        }
    }
}

#[cfg(test)]
mod tests;
