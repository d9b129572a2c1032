//! What a token may do: SMART on FHIR system scopes.
//! <https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html>

use std::fmt;

/// One of the letters of `cruds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Create,
    /// Read, vread and the history of an instance.
    Read,
    Update,
    Delete,
    /// Also the histories of a type and of everything.
    Search,
}

const ALL: [Permission; 5] = Permission::ALL;

impl Permission {
    /// In the order of `cruds`.
    pub const ALL: [Self; 5] = [Self::Create, Self::Read, Self::Update, Self::Delete, Self::Search];

    pub fn letter(self) -> char {
        match self {
            Self::Create => 'c',
            Self::Read => 'r',
            Self::Update => 'u',
            Self::Delete => 'd',
            Self::Search => 's',
        }
    }
}

/// `system/Patient.rs`
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scope {
    /// `None`: every type.
    kind: Option<String>,
    permissions: Vec<Permission>,
}

/// All scopes of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

/// A scope that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a scope [bad-scope]\n  hint: {hint}")]
pub struct BadScope {
    text: String,
    hint: &'static str,
}

impl Scopes {
    /// `system/*.cruds`
    pub fn everything() -> Self {
        Self(vec![Scope { kind: None, permissions: ALL.to_vec() }])
    }

    /// No scope at all.
    pub fn nothing() -> Self {
        Self(Vec::new())
    }

    /// These permissions on one type, too.
    pub fn add(&mut self, kind: &str, permissions: &[Permission]) {
        self.0.push(Scope { kind: Some(kind.to_owned()), permissions: permissions.to_vec() });
    }

    /// What others allow, too.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Reads scopes parted by spaces. `is_type` tells R4's resource types.
    ///
    /// # Errors
    /// [`BadScope`] names the first that is wrong.
    pub fn parse(text: &str, is_type: impl Fn(&str) -> bool) -> Result<Self, BadScope> {
        let scopes: Result<Vec<Scope>, BadScope> =
            text.split_whitespace().map(|word| parse_one(word, &is_type)).collect();
        match scopes? {
            scopes if scopes.is_empty() => Err(bad(text, "write at least one, e.g. system/*.cruds")),
            scopes => Ok(Self(scopes)),
        }
    }

    pub fn allow(&self, permission: Permission, kind: &str) -> bool {
        self.0.iter().any(|scope| {
            scope.permissions.contains(&permission) && scope.kind.as_deref().is_none_or(|own| own == kind)
        })
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            let letters: String = scope.permissions.iter().map(|permission| permission.letter()).collect();
            write!(f, "{space}system/{}.{letters}", scope.kind.as_deref().unwrap_or("*"))?;
        }
        Ok(())
    }
}

fn bad(text: &str, hint: &'static str) -> BadScope {
    BadScope { text: text.to_owned(), hint }
}

fn parse_one(word: &str, is_type: &impl Fn(&str) -> bool) -> Result<Scope, BadScope> {
    let rest = word.strip_prefix("system/").ok_or_else(|| bad(word, "a scope begins with system/"))?;
    let (kind, letters) =
        rest.split_once('.').ok_or_else(|| bad(word, "write system/TYPE.cruds, e.g. system/Patient.rs"))?;
    let kind = match kind {
        "*" => None,
        kind if is_type(kind) => Some(kind.to_owned()),
        _ => return Err(bad(word, "the type must be an R4 resource type, or *")),
    };
    Ok(Scope { kind, permissions: permissions(word, letters)? })
}

/// A part of `cruds` in that order, or SMART v1's `read`, `write`, `*`.
fn permissions(word: &str, letters: &str) -> Result<Vec<Permission>, BadScope> {
    match letters {
        "*" => return Ok(ALL.to_vec()),
        "read" => return Ok(vec![Permission::Read, Permission::Search]),
        "write" => return Ok(vec![Permission::Create, Permission::Update, Permission::Delete]),
        _ => {}
    }
    let found: Vec<Permission> =
        ALL.into_iter().filter(|permission| letters.contains(permission.letter())).collect();
    let written: String = found.iter().map(|permission| permission.letter()).collect();
    if written.is_empty() || written != letters {
        return Err(bad(word, "after the dot: some of the letters c r u d s, in this order"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Scopes, BadScope> {
        Scopes::parse(text, |kind| ["Patient", "Observation"].contains(&kind))
    }

    #[test]
    fn what_is_written_is_allowed_and_nothing_else() {
        let scopes = parse("system/Patient.rs system/Observation.c").unwrap();
        assert!(scopes.allow(Permission::Read, "Patient"));
        assert!(scopes.allow(Permission::Search, "Patient"));
        assert!(scopes.allow(Permission::Create, "Observation"));
        assert!(!scopes.allow(Permission::Update, "Patient"));
        assert!(!scopes.allow(Permission::Read, "Observation"));
        assert_eq!(scopes.to_string(), "system/Patient.rs system/Observation.c");
        assert_eq!(parse("system/*.*").unwrap(), Scopes::everything());
    }

    #[test]
    fn what_is_not_a_scope_is_refused() {
        for text in
            ["", "patient/*.rs", "system/Patient", "system/Foo.r", "system/*.sr", "system/*.x", "system/*."]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
