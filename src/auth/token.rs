//! Making and recognising tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// So that a token found in a place where it does not belong says what it is.
const PREFIX: &str = "mjumbe_";

/// A token just made: `text` is shown once, `hash` is kept.
pub struct Fresh {
    pub text: String,
    pub hash: String,
}

/// Makes a token of 256 random bits.
///
/// # Errors
/// When the operating system has no random numbers.
pub fn generate() -> Result<Fresh, rand::rand_core::OsError> {
    let mut bytes = [0u8; 32];
    OsRng.try_fill_bytes(&mut bytes)?;
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash = hash(&text);
    Ok(Fresh { text, hash })
}

/// SHA-256 in hexadecimal. A slow hash would add nothing: a token has 256 random bits.
pub fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Compares without telling by its duration where two texts differ.
pub fn equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert!(one.text.starts_with(PREFIX) && one.text.len() > 45);
        assert_ne!(one.text, other.text);
        assert!(equal(&one.hash, &hash(&one.text)));
        assert!(!equal(&one.hash, &other.hash));
    }
}
