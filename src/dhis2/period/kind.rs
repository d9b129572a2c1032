//! The 23 period types that data sets may have, as a table.

use super::Error;
use crate::dhis2::version::Version;

/// A period type, named as DHIS2 names it (`periodType` of a data set).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Daily,
    Weekly,
    WeeklyWednesday,
    WeeklyThursday,
    WeeklyFriday,
    WeeklySaturday,
    WeeklySunday,
    BiWeekly,
    Monthly,
    BiMonthly,
    Quarterly,
    QuarterlyNov,
    SixMonthly,
    SixMonthlyApril,
    SixMonthlyNov,
    Yearly,
    FinancialFeb,
    FinancialApril,
    FinancialJuly,
    FinancialAug,
    FinancialSep,
    FinancialOct,
    FinancialNov,
}

/// How a type divides the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Days,
    /// `first`: the day that weeks begin on, Monday is 0.
    Weeks {
        first: i8,
        weeks: u8,
    },
    /// Years of these begin in month `first`; those of November carry the year in which they end.
    Months {
        months: u8,
        first: i8,
        named_after_end: bool,
    },
}

struct Row {
    kind: Kind,
    name: &'static str,
    /// What stands between year and number.
    marker: &'static str,
    step: Step,
    /// The first version that knows it, where that is newer than 2.38.
    since: Option<u16>,
}

const fn weeks(kind: Kind, name: &'static str, marker: &'static str, first: i8) -> Row {
    Row { kind, name, marker, step: Step::Weeks { first, weeks: 1 }, since: None }
}

const fn months(kind: Kind, name: &'static str, marker: &'static str, months: u8, first: i8) -> Row {
    let named_after_end = first == 11;
    Row { kind, name, marker, step: Step::Months { months, first, named_after_end }, since: None }
}

const fn since(row: Row, minor: u16) -> Row {
    Row { since: Some(minor), ..row }
}

const ROWS: [Row; 23] = [
    Row { kind: Kind::Daily, name: "Daily", marker: "", step: Step::Days, since: None },
    weeks(Kind::Weekly, "Weekly", "W", 0),
    weeks(Kind::WeeklyWednesday, "WeeklyWednesday", "WedW", 2),
    weeks(Kind::WeeklyThursday, "WeeklyThursday", "ThuW", 3),
    since(weeks(Kind::WeeklyFriday, "WeeklyFriday", "FriW", 4), 43),
    weeks(Kind::WeeklySaturday, "WeeklySaturday", "SatW", 5),
    weeks(Kind::WeeklySunday, "WeeklySunday", "SunW", 6),
    Row {
        kind: Kind::BiWeekly,
        name: "BiWeekly",
        marker: "BiW",
        step: Step::Weeks { first: 0, weeks: 2 },
        since: None,
    },
    months(Kind::Monthly, "Monthly", "", 1, 1),
    months(Kind::BiMonthly, "BiMonthly", "B", 2, 1),
    months(Kind::Quarterly, "Quarterly", "Q", 3, 1),
    months(Kind::QuarterlyNov, "QuarterlyNov", "NovQ", 3, 11),
    months(Kind::SixMonthly, "SixMonthly", "S", 6, 1),
    months(Kind::SixMonthlyApril, "SixMonthlyApril", "AprilS", 6, 4),
    months(Kind::SixMonthlyNov, "SixMonthlyNov", "NovS", 6, 11),
    months(Kind::Yearly, "Yearly", "", 12, 1),
    since(months(Kind::FinancialFeb, "FinancialFeb", "Feb", 12, 2), 43),
    months(Kind::FinancialApril, "FinancialApril", "April", 12, 4),
    months(Kind::FinancialJuly, "FinancialJuly", "July", 12, 7),
    since(months(Kind::FinancialAug, "FinancialAug", "Aug", 12, 8), 43),
    since(months(Kind::FinancialSep, "FinancialSep", "Sep", 12, 9), 42),
    months(Kind::FinancialOct, "FinancialOct", "Oct", 12, 10),
    months(Kind::FinancialNov, "FinancialNov", "Nov", 12, 11),
];

impl Kind {
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.kind)
    }

    /// Every name, for errors and for the JSON Schema.
    pub const NAMES: [&'static str; 23] = {
        let mut names = [""; 23];
        let mut at = 0;
        while at < 23 {
            names[at] = ROWS[at].name;
            at += 1;
        }
        names
    };

    /// By the name that DHIS2 uses, case included.
    pub fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub fn step(self) -> Step {
        self.row().step
    }

    /// # Errors
    /// [`Error::TooNew`] where this server does not know the type yet.
    pub fn check(self, version: Version) -> Result<(), Error> {
        match self.row().since {
            Some(minor) if version.minor < minor => Err(Error::TooNew {
                kind: self.name(),
                since: format!("2.{minor}"),
                version: version.to_string(),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn marker(self) -> &'static str {
        self.row().marker
    }

    /// Whether the name ends with a number: `2026Q1` does, `2026April` does not.
    pub(super) fn has_number(self) -> bool {
        !matches!(self.step(), Step::Months { months: 12, .. } | Step::Days)
    }

    /// The type whose names look like `YYYY` + marker + number.
    pub(super) fn of_marker(marker: &str, numbered: bool) -> Option<Self> {
        if marker.is_empty() || marker == "B" {
            return None;
        }
        ROWS.iter().find(|row| row.marker == marker && row.kind.has_number() == numbered).map(|row| row.kind)
    }

    /// The table is written in the order of the variants; a test holds it to that.
    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_variants() {
        for (at, row) in ROWS.iter().enumerate() {
            assert_eq!(row.kind as usize, at);
            assert_eq!(Kind::named(row.name), Some(row.kind));
        }
        assert_eq!(Kind::named("monthly"), None);
    }

    #[test]
    fn a_new_type_is_refused_on_an_old_server_with_words() {
        let error = Kind::FinancialSep.check(Version::new(40, 12)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the period type FinancialSep exists from DHIS2 2.42 on; this server runs 2.40.12"
        );
        assert!(Kind::FinancialSep.check(Version::new(42, 5)).is_ok());
        assert!(Kind::WeeklyFriday.check(Version::new(42, 5)).is_err());
        assert!(Kind::Monthly.check(Version::new(38, 0)).is_ok());
    }
}
