//! What is wrong in a mapping file, told so that its author can mend it: code, place, the line itself
//! with a caret, a hint and a near name.
//!
//! **Never** a panic and never only the first mistake: the loader collects as many as it can.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A position in a mapping file; lines and columns count from one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    /// `file:line:column`, as editors and terminals understand it.
    pub fn within(self, file: &str) -> String {
        format!("{file}:{}:{}", self.line, self.column)
    }
}

/// One mistake in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable, kebab-case: `unknown-key`.
    pub code: String,
    pub file: String,
    #[serde(flatten)]
    pub place: Place,
    /// The text in the file that is meant; empty where it is the whole of something.
    pub offending: String,
    pub message: String,
    pub hint: Option<String>,
    /// A known name that looks much like the offending text.
    pub did_you_mean: Option<String>,
    /// The whole line in the file, for the caret.
    #[serde(skip)]
    pub source_line: String,
}

impl Diagnostic {
    /// A diagnostic without position text; the loader adds file and line.
    pub fn new(code: &str, place: Place, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            file: String::new(),
            place,
            offending: String::new(),
            message: message.into(),
            hint: None,
            did_you_mean: None,
            source_line: String::new(),
        }
    }

    pub fn offending(mut self, text: impl Into<String>) -> Self {
        self.offending = text.into();
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Looks for the known name that is meant by the offending text, and lists the known ones if none is
    /// near.
    pub fn meant<'k>(mut self, known: impl IntoIterator<Item = &'k str> + Clone) -> Self {
        self.did_you_mean = nearest(&self.offending, known.clone());
        if self.did_you_mean.is_none() && self.hint.is_none() {
            let names: Vec<&str> = known.into_iter().collect();
            if !names.is_empty() {
                self.hint = Some(format!("there are: {}", names.join(", ")));
            }
        }
        self
    }

    /// Says which file it is about and takes the line from its text.
    pub fn within(mut self, file: &str, text: &str) -> Self {
        self.file = file.to_owned();
        let index = (self.place.line as usize).saturating_sub(1);
        self.source_line = text.lines().nth(index).unwrap_or_default().chars().take(400).collect();
        self
    }
}

/// ```text
/// error[unknown-key]: `dataSets` is not a field of dhis2.report
///   --> mappings/report.yaml:12:7
///    |
/// 12 |       dataSets: VEM58nY22sO
///    |       ^^^^^^^^
/// did you mean `dataSet`?
/// hint: …
/// ```
impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "error[{}]: {}", self.code, self.message)?;
        write!(out, "  --> {}", self.place.within(&self.file))?;
        if !self.source_line.trim().is_empty() {
            let number = self.place.line.to_string();
            let margin = " ".repeat(number.len());
            let before = (self.place.column as usize).saturating_sub(1);
            // A tab stays a tab, so that the caret stands below its text.
            let indent: String =
                self.source_line.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let carets = "^".repeat(self.caret_width(before));
            write!(
                out,
                "\n {margin} |\n {number} | {}\n {margin} | {indent}{carets}",
                self.source_line.trim_end()
            )?;
        }
        if let Some(name) = &self.did_you_mean {
            write!(out, "\ndid you mean `{name}`?")?;
        }
        if let Some(hint) = &self.hint {
            write!(out, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl Diagnostic {
    fn caret_width(&self, before: usize) -> usize {
        let rest: String = self.source_line.chars().skip(before).collect();
        let meant = self.offending.chars().count();
        let written = match rest.chars().next() {
            Some('"' | '\'') => meant.saturating_add(2),
            _ => meant,
        };
        written.clamp(1, rest.trim_end().chars().count().max(1))
    }
}

/// The known name nearest to `text`, if it is near enough to be meant.
pub fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let lower = text.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(lower.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_line_caret_and_near_name() {
        let text = "to:\n  - dhis2.report:\n      dataSets: VEM58nY22sO\n";
        let told = Diagnostic::new("unknown-key", Place { line: 3, column: 7 }, "`dataSets` is not a field")
            .offending("dataSets")
            .meant(["dataSet", "orgUnit"])
            .within("report.yaml", text);
        insta::assert_snapshot!(told.to_string(), @r"
        error[unknown-key]: `dataSets` is not a field
          --> report.yaml:3:7
           |
         3 |       dataSets: VEM58nY22sO
           |       ^^^^^^^^
        did you mean `dataSet`?
        ");
    }

    #[test]
    fn lists_the_known_names_when_none_is_near() {
        let told =
            Diagnostic::new("unknown-key", Place::default(), "m").offending("zzzz").meant(["path", "const"]);
        assert_eq!(told.did_you_mean, None);
        assert_eq!(told.hint.as_deref(), Some("there are: path, const"));
    }
}
