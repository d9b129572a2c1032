//! The parameters of an import.

use super::super::super::http::{Answer, Request};
use super::super::Version;
use super::super::summary::message;
use super::is_old;

/// What is done with objects that exist, or do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    Create,
    Update,
    CreateAndUpdate,
    Delete,
}

/// How one import is done.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub strategy: Strategy,
    /// `atomicMode=OBJECT`: what is good is stored though another object is not.
    pub by_object: bool,
    /// `importMode=VALIDATE`
    pub validate_only: bool,
    pub validation: Validation,
    pub asynchronous: bool,
    /// Organisation units are named by code.
    pub units_by_code: bool,
    report_mode: String,
}

/// `validationMode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validation {
    Full,
    /// One error an object.
    FailFast,
    Skip,
}

const STRATEGIES: &[&str] = &["CREATE", "UPDATE", "CREATE_AND_UPDATE", "DELETE"];
/// 2.40 knows one more, which does what UPDATE does.
const OLD_STRATEGIES: &[&str] = &["CREATE", "UPDATE", "PATCH", "CREATE_AND_UPDATE", "DELETE"];

impl Options {
    /// Reads the query; a word that is none of the possible ones is refused.
    pub fn read(version: Version, request: &Request) -> Result<Self, Answer> {
        let strategies = if is_old(version) { OLD_STRATEGIES } else { STRATEGIES };
        let strategy = match one_of(request, "importStrategy", strategies, "CREATE_AND_UPDATE")? {
            "CREATE" => Strategy::Create,
            "UPDATE" | "PATCH" => Strategy::Update,
            "DELETE" => Strategy::Delete,
            _ => Strategy::CreateAndUpdate,
        };
        let validation = match one_of(request, "validationMode", &["FULL", "FAIL_FAST", "SKIP"], "FULL")? {
            "SKIP" => Validation::Skip,
            "FAIL_FAST" => Validation::FailFast,
            _ => Validation::Full,
        };
        let schemes = ["orgUnitIdScheme", "idScheme"];
        let scheme = schemes.iter().find_map(|name| request.parameter(name));
        Ok(Self {
            strategy,
            by_object: one_of(request, "atomicMode", &["ALL", "OBJECT"], "ALL")? == "OBJECT",
            validate_only: one_of(request, "importMode", &["COMMIT", "VALIDATE"], "COMMIT")? == "VALIDATE",
            validation,
            asynchronous: !is_synchronous(version, request),
            units_by_code: scheme == Some("CODE"),
            report_mode: one_of(request, "reportMode", &["FULL", "ERRORS", "WARNINGS"], "ERRORS")?.to_owned(),
        })
    }

    pub fn report_mode(&self) -> Option<&str> {
        Some(&self.report_mode)
    }
}

/// Up to 2.40 the very text `async=false` is looked for; later any case of it does.
fn is_synchronous(version: Version, request: &Request) -> bool {
    let given = request.parameter("async").unwrap_or("true");
    if is_old(version) { given == "false" } else { given.eq_ignore_ascii_case("false") }
}

fn one_of<'a>(
    request: &'a Request,
    name: &str,
    possible: &[&str],
    otherwise: &'a str,
) -> Result<&'a str, Answer> {
    let given = request.parameter(name).unwrap_or(otherwise);
    if possible.contains(&given) {
        return Ok(given);
    }
    let text = format!(
        "Value '{given}' is not valid for parameter {name}. Valid values are: [{}]",
        possible.join(", ")
    );
    Err(message(400, &text))
}
