//! Who is calling and what they may do.
//!
//! A token is random, printed once and kept as its SHA-256. It belongs to one tenant and carries scopes
//! (`system/*.cruds`, [`scope`]). **Never** keeps or logs a token's text; **never** says whether a name or
//! a token was the wrong one. Credentials come from the server's `Authorization` header, and leave as a
//! [`Principal`] or a [`Denied`].

// What a caller sends in `Authorization`.
pub mod credentials;
// Gateways in front, known by their addresses.
pub mod gateway;
// Tokens of identity providers.
pub mod jwt;
// `system/Patient.rs` and the like.
pub mod scope;
// Making, listing, revoking and recognising tokens.
pub mod token;

use scope::{Permission, Scopes};

use crate::fhir::client::Profile;

/// Someone who may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token's name: the origin of what it writes.
    pub name: String,
    pub scopes: Scopes,
    /// The client's own ways, which are repaired or followed; `None`: it speaks R4.
    pub profile: Option<Profile>,
    /// Types whose repeated POST is an update of the one with the same identifier.
    pub upserts: Vec<String>,
}

impl Principal {
    /// Whoever calls while `dangerous_disable_auth` is set.
    pub fn anyone() -> Self {
        let name = "anyone".to_owned();
        Self { name, scopes: Scopes::everything(), profile: None, upserts: Vec::new() }
    }

    /// Whether this caller may do `permission` on resources of `kind`.
    ///
    /// # Errors
    /// [`Denied::Scope`], which names the scope that is missing.
    pub fn require(&self, permission: Permission, kind: &str) -> Result<(), Denied> {
        if self.scopes.allow(permission, kind) {
            return Ok(());
        }
        Err(Denied::Scope { missing: format!("system/{kind}.{}", permission.letter()) })
    }
}

/// Why a caller may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// 401: no credentials, or credentials that nobody has.
    #[error("a valid token is required")]
    Unknown,
    /// 401: a token that was right, and is over.
    #[error("the token expired")]
    Expired,
    /// 403
    #[error("the token's scope does not include {missing}")]
    Scope { missing: String },
}
