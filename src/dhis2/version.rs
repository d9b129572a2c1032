//! Which DHIS2 speaks: `/api/system/info` says `2.41.3` or `2.42-SNAPSHOT`.

use std::fmt;

/// `2.MINOR.PATCH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub minor: u16,
    pub patch: u16,
}

/// The aggregate importer was rewritten in 2.43: other codes, other counts, other rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// 2.38 to 2.42: E76xx, row by row.
    Classic,
    /// 2.43 and later: E8xxx, a group as a whole.
    Pipeline,
}

impl Version {
    pub const OLDEST: Self = Self { minor: 38, patch: 0 };

    pub const fn new(minor: u16, patch: u16) -> Self {
        Self { minor, patch }
    }

    /// Reads `2.41.3`, `2.42-SNAPSHOT`, `2.40.4.1`, and `41.3` as newer servers may write it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let rest = text.strip_prefix("2.").unwrap_or(text);
        let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
        let minor: u16 = numbers.next()?.parse().ok()?;
        let patch = numbers.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        (minor >= 20).then_some(Self { minor, patch })
    }

    pub fn generation(self) -> Generation {
        if self.minor >= 43 { Generation::Pipeline } else { Generation::Classic }
    }

    pub fn is_supported(self) -> bool {
        self >= Self::OLDEST
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2.{}.{}", self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_write() {
        assert_eq!(Version::parse("2.40.12"), Some(Version::new(40, 12)));
        assert_eq!(Version::parse("2.42-SNAPSHOT"), Some(Version::new(42, 0)));
        assert_eq!(Version::parse("2.39.10.1"), Some(Version::new(39, 10)));
        assert_eq!(Version::parse("43.1.0"), Some(Version::new(43, 1)));
        assert_eq!(Version::parse("unknown"), None);
        assert_eq!(Version::new(42, 5).generation(), Generation::Classic);
        assert_eq!(Version::new(43, 0).generation(), Generation::Pipeline);
    }
}
