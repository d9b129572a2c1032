//! What a caller sends in `Authorization`: Bearer, or Basic with the token's name as user and the token as
//! password, because iHRIS, emNutt's clients and CHT know nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest `Authorization` that is looked at.
///
/// A JSON Web Token with some hundred roles has about 8 KB.
const LENGTH_MAX: usize = 32 * 1024;

/// A token as presented. Has no `Debug`: it must not be logged.
pub struct Credentials {
    /// Only Basic names it.
    pub(super) name: Option<String>,
    pub(super) token: String,
}

impl Credentials {
    /// A token that came as Bearer.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.name.is_none().then_some(self.token.as_str())
    }

    /// Reads the header's value; `None` where it is neither Bearer nor Basic as RFC 6750 and 7617 say.
    pub fn parse(header: &str) -> Option<Self> {
        if header.len() > LENGTH_MAX {
            return None;
        }
        let (scheme, rest) = header.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self { name: None, token: rest.to_owned() });
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            let (name, token) = text.split_once(':')?;
            return Some(Self { name: Some(name.to_owned()), token: token.to_owned() });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_and_basic_are_read_whatever_their_case() {
        let bearer = Credentials::parse("bearer  abc").unwrap();
        assert_eq!((bearer.name, bearer.token.as_str()), (None, "abc"));
        // user:a:b
        let basic = Credentials::parse("Basic dXNlcjphOmI=").unwrap();
        assert_eq!((basic.name.as_deref(), basic.token.as_str()), (Some("user"), "a:b"));
    }

    #[test]
    fn anything_else_is_nothing() {
        for header in ["", "Bearer", "Digest x", "Basic !", "Basic dXNlcg=="] {
            assert!(Credentials::parse(header).is_none(), "{header}");
        }
        assert!(Credentials::parse(&format!("Bearer {}", "x".repeat(40_000))).is_none());
    }
}
