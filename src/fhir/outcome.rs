//! OperationOutcome: what is wrong, where, and what to do.
//!
//! Each issue carries a stable kebab-case code of ours (`details.coding`) beside R4's issue type, a
//! sentence for a person (`details.text`), a hint (`diagnostics`) and FHIRPaths (`expression`).
//! **Never** put the content of a resource into an issue: paths and rules only.
//! <https://hl7.org/fhir/R4/operationoutcome.html>

use serde_json::{Map, Value, json};

/// The code system of our stable issue codes.
pub const CODE_SYSTEM: &str = "https://mjumbe.org/fhir/CodeSystem/issue";

/// How bad an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Fatal,
    Error,
    Warning,
    Information,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Information => "information",
        }
    }
}

/// R4's issue types that this server gives. <https://hl7.org/fhir/R4/valueset-issue-type.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssueType {
    Invalid,
    Structure,
    Required,
    Value,
    Invariant,
    CodeInvalid,
    Login,
    Forbidden,
    NotSupported,
    Duplicate,
    MultipleMatches,
    NotFound,
    Deleted,
    TooLong,
    TooCostly,
    BusinessRule,
    Conflict,
    Throttled,
    Timeout,
    Exception,
    Informational,
    Processing,
}

impl IssueType {
    /// R4's code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Structure => "structure",
            Self::Required => "required",
            Self::Value => "value",
            Self::Invariant => "invariant",
            Self::CodeInvalid => "code-invalid",
            Self::Login => "login",
            Self::Forbidden => "forbidden",
            Self::NotSupported => "not-supported",
            Self::Duplicate => "duplicate",
            Self::MultipleMatches => "multiple-matches",
            Self::NotFound => "not-found",
            Self::Deleted => "deleted",
            Self::TooLong => "too-long",
            Self::TooCostly => "too-costly",
            Self::BusinessRule => "business-rule",
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::Exception => "exception",
            Self::Informational => "informational",
            Self::Processing => "processing",
        }
    }

    /// The HTTP status that fits when nothing better is known.
    pub fn status(self) -> u16 {
        match self {
            Self::Login => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Duplicate | Self::Conflict => 409,
            Self::Deleted => 410,
            Self::MultipleMatches => 412,
            Self::TooLong => 413,
            Self::BusinessRule | Self::Processing => 422,
            Self::Throttled | Self::Timeout => 503,
            Self::Exception => 500,
            Self::Informational => 200,
            _ => 400,
        }
    }
}

/// One thing that is wrong (or worth saying).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    pub severity: Severity,
    pub kind: IssueType,
    /// Stable, kebab-case: `unknown-element`.
    pub code: &'static str,
    /// A sentence for a person; no content of the resource.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// FHIRPaths: `Patient.name[0].family`.
    pub expression: Vec<String>,
}

impl Issue {
    /// An issue of severity `error`.
    pub fn error(kind: IssueType, code: &'static str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, kind, code, text: text.into(), hint: None, expression: Vec::new() }
    }

    /// The same with another severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Where: a FHIRPath.
    #[must_use]
    pub fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression.push(expression.into());
        self
    }

    /// What to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn to_value(&self) -> Value {
        let mut issue = Map::new();
        issue.insert("severity".into(), self.severity.as_str().into());
        issue.insert("code".into(), self.kind.as_str().into());
        let coding = json!([{ "system": CODE_SYSTEM, "code": self.code }]);
        issue.insert("details".into(), json!({ "coding": coding, "text": self.text }));
        if let Some(hint) = &self.hint {
            issue.insert("diagnostics".into(), format!("hint: {hint}").into());
        }
        if !self.expression.is_empty() {
            issue.insert("expression".into(), self.expression.clone().into());
        }
        Value::Object(issue)
    }
}

/// An OperationOutcome and the HTTP status it suggests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub status: u16,
    /// At least one.
    pub issues: Vec<Issue>,
}

impl Outcome {
    /// One error, with the status that its type suggests.
    pub fn error(kind: IssueType, code: &'static str, text: impl Into<String>) -> Self {
        Self::from(Issue::error(kind, code, text))
    }

    /// All is well, e.g. the answer to a delete.
    pub fn information(code: &'static str, text: impl Into<String>) -> Self {
        Self::from(Issue::error(IssueType::Informational, code, text).severity(Severity::Information))
    }

    /// Several issues; the first decides the status. `None` where there is none.
    pub fn of(issues: Vec<Issue>) -> Option<Self> {
        let status = issues.first()?.kind.status();
        Some(Self { status, issues })
    }

    /// Another HTTP status than the first issue's type suggests.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Where the last issue is.
    #[must_use]
    pub fn at(mut self, expression: impl Into<String>) -> Self {
        if let Some(issue) = self.issues.last_mut() {
            issue.expression.push(expression.into());
        }
        self
    }

    /// What to do about the last issue.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(issue) = self.issues.last_mut() {
            issue.hint = Some(hint.into());
        }
        self
    }

    /// Puts `prefix` before each FHIRPath: an entry's issues seen from the Bundle
    /// (`Bundle.entry[3].resource`; the path's own first step, the type, is replaced).
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        for issue in &mut self.issues {
            for expression in &mut issue.expression {
                let rest = expression.find(['.', '[']).map_or("", |at| &expression[at..]);
                *expression = format!("{prefix}{rest}");
            }
            if issue.expression.is_empty() {
                issue.expression.push(prefix.to_owned());
            }
        }
        self
    }

    /// The OperationOutcome resource.
    pub fn to_value(&self) -> Value {
        let issues: Vec<Value> = self.issues.iter().map(Issue::to_value).collect();
        json!({ "resourceType": "OperationOutcome", "issue": issues })
    }
}

impl From<Issue> for Outcome {
    fn from(issue: Issue) -> Self {
        Self { status: issue.kind.status(), issues: vec![issue] }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, issue) in self.issues.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}", issue.text)?;
            if let Some(place) = issue.expression.first() {
                write!(f, " ({place})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Outcome {}

/// "did you mean …?" for a misspelt name: the closest candidate, if any is close.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_says_what_where_and_what_to_do() {
        let outcome = Outcome::error(IssueType::Structure, "unknown-element", "R4 has no such element")
            .at("Patient.nmae")
            .hint("did you mean name?");
        assert_eq!(outcome.status, 400);
        let value = outcome.to_value();
        assert_eq!(value["issue"][0]["code"], "structure");
        assert_eq!(value["issue"][0]["details"]["coding"][0]["code"], "unknown-element");
        assert_eq!(value["issue"][0]["expression"][0], "Patient.nmae");
        assert_eq!(value["issue"][0]["diagnostics"], "hint: did you mean name?");
    }

    #[test]
    fn paths_are_seen_from_the_bundle() {
        let outcome = Outcome::error(IssueType::Value, "bad-value", "x").at("Patient.name[0]").at("Patient");
        let moved = outcome.within("Bundle.entry[1].resource");
        assert_eq!(
            moved.issues[0].expression,
            ["Bundle.entry[1].resource.name[0]", "Bundle.entry[1].resource"]
        );
    }

    #[test]
    fn only_close_names_are_suggested() {
        assert_eq!(did_you_mean("birthdat", ["birthdate", "name"]), Some("birthdate"));
        assert_eq!(did_you_mean("xyz", ["birthdate", "name"]), None);
    }
}
