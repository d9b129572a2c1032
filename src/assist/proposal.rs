//! `mjumbe mapping new`: a first mapping of a flow's answers to a data set or program, and its first test.
//!
//! Pure: metadata and results come in, text goes out. **Never** hides what it does not know: what was guessed says
//! from what, and what was not guessed stands commented out with what to fill in. The text is loaded and evaluated
//! here before anybody sees it.

// Whether an answer can become a value, and how.
mod fit;
// Which result answers which question.
mod guess;
// The mapping file.
mod mapping;
// Its test.
mod test;
// How alike two names are.
mod words;
// Text that YAML reads back.
mod yaml;

use serde_json::Value;

use crate::dhis2::form::Form;
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::program::{self, Settings};
use crate::mapping::table::Tables;
use crate::mapping::target::Registry;
use crate::rapidpro::catalogue::Shown;

/// The contact field that names the organisation unit, where the workspace has none that looks like it.
pub const UNIT_FIELD: &str = "dhis2_organisation_unit_id";

/// What a mapping is proposed for.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// The mapping's name.
    pub name: &'a str,
    /// The flow's name.
    pub flow: &'a str,
    pub results: &'a [Shown],
    /// A completed response of the flow.
    pub example: &'a Value,
    pub form: &'a Form,
    /// Key of the contact field that holds the uid of the organisation unit.
    pub unit_field: &'a str,
    /// Named where several DHIS2 instances are configured.
    pub destination: Option<&'a str>,
    /// IANA name of the tenant's zone, for the test.
    pub zone: &'a str,
}

/// A mapping file and its test.
#[derive(Debug, Clone)]
pub struct Proposal {
    pub mapping: String,
    pub test: String,
    /// Values that a result was found for, of how many.
    pub guessed: usize,
    pub asked: usize,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the author's fault.
    #[error("the mapping that was written does not load; please report this\n{}", told(.0))]
    Broken(Vec<Diagnostic>),
}

fn told(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Writes both files and holds them against the checker.
///
/// # Errors
/// [`Error::Broken`]
pub fn propose(
    ask: &Ask<'_>,
    registry: &Registry,
    destinations: Option<&[(String, String)]>,
) -> Result<Proposal, Error> {
    let written = mapping::write(ask);
    let settings = Settings { registry, destinations, tables: &Tables::new() };
    let file = format!("{}.yaml", ask.name);
    let program = program::load(&file, &written.text, &settings).map_err(Error::Broken)?;
    let expect = if written.guessed == written.asked { test::Expect::Body } else { test::Expect::Target };
    let test = test::write(ask, &program, registry, expect);
    Ok(Proposal { mapping: written.text, test, guessed: written.guessed, asked: written.asked })
}

/// The name of a mapping for a flow: `monthly-village-report`.
pub fn name_of(flow: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let plain: String = flow.nfd().filter(char::is_ascii).collect();
    let words: Vec<String> = plain
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let name: String = words.join("-").chars().take(60).collect();
    if name.is_empty() { "flow".to_owned() } else { name.trim_end_matches('-').to_owned() }
}

/// The contact field that most looks as if it held an organisation unit: `facility_uid`.
pub fn unit_field<'a>(keys: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const SAYS: [&str; 8] =
        ["dhis2", "organisation", "organization", "orgunit", "org", "unit", "facility", "uid"];
    let score = |key: &str| {
        let squeezed = key.replace("org_unit", "orgunit");
        squeezed.split('_').filter(|word| SAYS.contains(word)).count()
    };
    let best = keys.map(|key| (score(key), key)).filter(|(score, _)| *score >= 2);
    best.max_by_key(|(score, key)| (*score, *key == UNIT_FIELD)).map(|(_, key)| key)
}

#[cfg(test)]
mod tests;
