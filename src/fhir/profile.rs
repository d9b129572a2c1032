//! Profiles: what a StructureDefinition asks of the resources that claim it in `meta.profile`.
//!
//! A [`Registry`] is made once, from our own definitions (`fhir-profiles/`) and from those of a user's folder.
//! Enforced: cardinality, fixed and pattern values, types of choices, required bindings to value sets that
//! are there too, invariants, extensions and slices by value, pattern, type or url. What of a profile is
//! not enforced is told when it is read ([`Registry::told`]). **Never** does I/O, and never asks a terminology
//! server. <https://hl7.org/fhir/R4/profiling.html>

// Does a resource keep to a profile?
mod check;
// From a StructureDefinition to a tree of rules.
mod read;
// Value sets that are plain lists.
mod terms;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fhir::elements::table;
use crate::fhir::outcome::{Issue, IssueType, Severity};
use crate::fhir::path;
use crate::fhir::reference::split_canonical;
use crate::fhir::resource::{self, Resource};
use crate::fhir::structure;

/// Definitions of Mjumbe's own, by file name.
const OWN: &[(&str, &str)] = &[
    ("CodeSystem-issue.json", include_str!("../../fhir-profiles/CodeSystem-issue.json")),
    ("CodeSystem-reading.json", include_str!("../../fhir-profiles/CodeSystem-reading.json")),
    ("ImplementationGuide-mjumbe.json", include_str!("../../fhir-profiles/ImplementationGuide-mjumbe.json")),
    (
        "StructureDefinition-flow-questionnaire.json",
        include_str!("../../fhir-profiles/StructureDefinition-flow-questionnaire.json"),
    ),
    (
        "StructureDefinition-run-response.json",
        include_str!("../../fhir-profiles/StructureDefinition-run-response.json"),
    ),
    (
        "StructureDefinition-written-back.json",
        include_str!("../../fhir-profiles/StructureDefinition-written-back.json"),
    ),
    ("ValueSet-reading.json", include_str!("../../fhir-profiles/ValueSet-reading.json")),
];

/// Profiles of profiles are followed this deep.
const MAX_BASES: usize = 8;

/// Why a folder of definitions cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Not JSON, or no R4 resource.
    #[error("{file} is no R4 resource: {reason}")]
    NotR4 { file: String, reason: String },
    /// Two of one url.
    #[error("{file}: the url {url} is defined twice")]
    Doubled { file: String, url: String },
    /// What is no profile on a type of R4, or contradicts itself.
    #[error("{file}: {reason}")]
    Unusable { file: String, reason: String },
}

/// One profile.
struct Profile {
    /// The type that it is on.
    kind: &'static str,
    /// The profile that it is on, if that is none of R4's own types.
    base: Option<String>,
    tree: read::Node,
}

/// All profiles that are known.
#[derive(Default)]
pub struct Registry {
    profiles: HashMap<String, Profile>,
    told: Vec<String>,
    /// Code systems, value sets and concept maps, by type and url.
    terms: HashMap<(String, String), Arc<Value>>,
}

impl Registry {
    /// Our own alone.
    ///
    /// # Errors
    /// [`ProfileError`]; a test shows that there is none.
    pub fn own() -> Result<Self, ProfileError> {
        Self::with(&[])
    }

    /// Our own and a user's: file names and their texts.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn with(files: &[(String, String)]) -> Result<Self, ProfileError> {
        let mut definitions: Vec<(&str, Value)> = Vec::new();
        for (file, text) in OWN {
            // That these are R4 is tested; at start they are only read.
            let unreadable = |reason: String| ProfileError::NotR4 { file: (*file).to_owned(), reason };
            let body = resource::json(text.as_bytes()).map_err(|outcome| unreadable(outcome.to_string()))?;
            definitions.push((*file, body));
        }
        for (file, text) in files {
            let unreadable = |reason: String| ProfileError::NotR4 { file: file.clone(), reason };
            let resource =
                Resource::parse(text.as_bytes()).map_err(|outcome| unreadable(outcome.to_string()))?;
            definitions.push((file.as_str(), resource.into_body()));
        }
        let terms = terms::Terms::of(definitions.iter().map(|(_, body)| body));
        let mut registry = Self::default();
        let structures = definitions.iter().filter(|(_, body)| body["resourceType"] == "StructureDefinition");
        for (file, body) in structures {
            registry.add(file, body, &terms)?;
        }
        registry.missing_bases();
        registry.keep(definitions.into_iter().map(|(_, body)| body));
        Ok(registry)
    }

    fn add(&mut self, file: &str, body: &Value, terms: &terms::Terms) -> Result<(), ProfileError> {
        let url = body["url"].as_str().unwrap_or_default().to_owned();
        let unusable = |reason: String| ProfileError::Unusable { file: file.to_owned(), reason };
        let read = read::profile(body, terms).map_err(unusable)?;
        self.told.extend(read.told.into_iter().map(|told| format!("{url}: {told}")));
        if self.profiles.insert(url.clone(), read.profile).is_some() {
            return Err(ProfileError::Doubled { file: file.to_owned(), url });
        }
        Ok(())
    }

    fn keep(&mut self, definitions: impl Iterator<Item = Value>) {
        for body in definitions {
            let owned = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
            let (Some(kind), Some(url)) = (owned("resourceType"), owned("url")) else { continue };
            if matches!(kind.as_str(), "CodeSystem" | "ValueSet" | "ConceptMap") {
                self.terms.insert((kind, url), Arc::new(body));
            }
        }
    }

    /// A code system, value set or concept map among the definitions.
    pub fn term(&self, kind: &str, url: &str, version: Option<&str>) -> Option<Arc<Value>> {
        let found = self.terms.get(&(kind.to_owned(), url.to_owned()))?;
        let fits =
            version.is_none_or(|version| found.get("version").and_then(Value::as_str) == Some(version));
        fits.then(|| Arc::clone(found))
    }

    fn missing_bases(&mut self) {
        for (url, profile) in &self.profiles {
            if let Some(base) = profile.base.as_ref().filter(|base| !self.profiles.contains_key(*base)) {
                self.told
                    .push(format!("{url}: what its base {base} asks for is not enforced: it is not here"));
            }
        }
        self.told.sort();
    }

    /// What of the profiles is not enforced, for a person.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// The canonicals of the profiles on a type, in order.
    pub fn on(&self, kind: &str) -> Vec<&str> {
        let on = self.profiles.iter().filter(|(_, profile)| profile.kind == kind);
        let mut urls: Vec<&str> = on.map(|(url, _)| url.as_str()).collect();
        urls.sort_unstable();
        urls
    }

    /// Is there a profile of this canonical, or is it R4's own definition of a type?
    pub fn knows(&self, canonical: &str) -> bool {
        self.profiles.contains_key(split_canonical(canonical).0) || kind_of(canonical).is_some()
    }

    /// What is wrong with a resource by the profiles that it claims and that are known.
    pub fn check(&self, resource: &Value) -> Vec<Issue> {
        let mut issues = self.judge(resource, &claims(resource));
        issues.retain(|issue| issue.severity == Severity::Error);
        issues
    }

    /// The same with warnings, by further profiles too; a profile that is not known is an issue.
    pub fn advise(&self, resource: &Value, further: &[String]) -> Vec<Issue> {
        let mut issues = Vec::new();
        let claimed = claims(resource);
        for canonical in &claimed {
            if !self.knows(canonical) {
                let text = "a claimed profile is not known here, and was not looked at";
                let issue = Issue::error(IssueType::NotSupported, "unknown-profile", text);
                issues.push(issue.severity(Severity::Warning).at("meta.profile"));
            }
        }
        let kind = resource["resourceType"].as_str();
        for other in claimed.iter().copied().chain(further.iter().map(String::as_str)) {
            if let Some(wanted) = kind_of(other).filter(|wanted| kind != Some(wanted)) {
                let text = format!("the profile is R4's own of {wanted}");
                issues.push(Issue::error(IssueType::Invalid, "profile-type", text));
            }
        }
        if further.iter().any(|canonical| !self.knows(canonical)) {
            let text = "the profile to validate against is not known here";
            issues.push(Issue::error(IssueType::NotSupported, "unknown-profile", text));
        }
        let mut all: Vec<&str> = claimed;
        all.extend(further.iter().map(String::as_str));
        issues.extend(self.judge(resource, &all));
        issues
    }

    fn judge(&self, resource: &Value, canonicals: &[&str]) -> Vec<Issue> {
        let mut urls: Vec<&str> = Vec::new();
        for canonical in canonicals {
            let mut next = Some(split_canonical(canonical).0);
            while let Some(url) = next.filter(|url| !urls.contains(url) && urls.len() < MAX_BASES * 4) {
                urls.push(url);
                next = self.profiles.get(url).and_then(|profile| profile.base.as_deref());
            }
        }
        self.judge_within(resource, &urls, structure::MAX_TIME)
    }

    /// What is not looked at in time is not let through: the last issue says so.
    fn judge_within(&self, resource: &Value, urls: &[&str], time: Duration) -> Vec<Issue> {
        let deadline = Instant::now() + time;
        let mut checker = check::Checker::new(self, resource, deadline);
        let profiles: Vec<(&String, &Profile)> =
            urls.iter().filter_map(|url| self.profiles.get_key_value(*url)).collect();
        if profiles.is_empty() {
            return Vec::new();
        }
        for (url, profile) in profiles {
            let told = checker.issues.len();
            path::within(deadline, || checker.resource(profile));
            // A resource may claim several, and a profile rests on others.
            for issue in checker.issues.iter_mut().skip(told).filter(|issue| issue.hint.is_none()) {
                issue.hint = Some(format!("the profile is {url}"));
            }
        }
        let over = checker.is_over();
        let mut issues = checker.issues;
        if over {
            let text = "the rules of the profiles that this resource claims take too long on it";
            issues.push(Issue::error(IssueType::TooCostly, structure::TOO_COSTLY, text).at("meta.profile"));
        }
        issues
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} profiles", self.profiles.len())
    }
}

/// The resource type whose definition in R4 this canonical is, which everything is checked by anyway.
fn kind_of(canonical: &str) -> Option<&'static str> {
    table().kind(split_canonical(canonical).0.strip_prefix("http://hl7.org/fhir/StructureDefinition/")?)
}

fn claims(resource: &Value) -> Vec<&str> {
    let claimed = resource.pointer("/meta/profile").and_then(Value::as_array);
    claimed.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests;
