//! A token's three parts, and whether a key made its signature. <https://www.rfc-editor.org/rfc/rfc7515>

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

/// The algorithms that are taken. Never `none`, and never one whose secret the provider would have to share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Es256,
    Es384,
}

impl Algorithm {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            _ => return None,
        })
    }

    fn is_rsa(self) -> bool {
        matches!(self, Self::Rs256 | Self::Rs384)
    }
}

/// What a token says about its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub algorithm: Algorithm,
    /// Which key made it.
    pub key: Option<String>,
}

/// A token, taken apart. Has no `Debug`: it must not be logged.
pub struct Token<'a> {
    pub header: Header,
    /// Not verified.
    pub claims: Value,
    /// Header and claims as they were signed.
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// `None`: not a token of three parts with a header that is understood.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let header = json(header)?;
        // What is critical must be understood, and nothing is.
        if header.get("crit").is_some() {
            return None;
        }
        let algorithm = Algorithm::parse(header.get("alg")?.as_str()?)?;
        let key = header.get("kid").and_then(Value::as_str).map(str::to_owned);
        let (claims, signature) = (json(claims)?, URL_SAFE_NO_PAD.decode(signature).ok()?);
        Some(Self { header: Header { algorithm, key }, claims, signed, signature })
    }

    /// Who says to have made it.
    pub fn unverified_issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// Whether this key made the signature.
    pub fn is_signed_by(&self, key: &Key) -> bool {
        let (message, signature) = (self.signed.as_bytes(), self.signature.as_slice());
        match (self.header.algorithm, &key.public) {
            (Algorithm::Rs256, Public::Rsa { n, e }) => RsaPublicKeyComponents { n, e }
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            (Algorithm::Rs384, Public::Rsa { n, e }) => RsaPublicKeyComponents { n, e }
                .verify(&signature::RSA_PKCS1_2048_8192_SHA384, message, signature)
                .is_ok(),
            (Algorithm::Es256, Public::P256(point)) => {
                let key = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
                key.verify(message, signature).is_ok()
            }
            (Algorithm::Es384, Public::P384(point)) => {
                let key = UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point);
                key.verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

fn json(part: &str) -> Option<Value> {
    let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    value.is_object().then_some(value)
}

/// One published key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: Option<String>,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    public: Public,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
}

impl Key {
    /// Reads a JWK; `None`: not for signatures, or of a kind that is not taken. <https://www.rfc-editor.org/rfc/rfc7517>
    pub fn parse(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let algorithm = match text("alg") {
            Some(name) => Some(Algorithm::parse(name)?),
            None => None,
        };
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let point = |length: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == length && y.len() == length).then(|| [vec![4], x, y].concat())
        };
        let public = match (text("kty")?, text("crv")) {
            ("RSA", _) => Public::Rsa { n: bytes("n")?, e: bytes("e")? },
            ("EC", Some("P-256")) => Public::P256(point(32)?),
            ("EC", Some("P-384")) => Public::P384(point(48)?),
            _ => return None,
        };
        Some(Self { id: text("kid").map(str::to_owned), algorithm, public })
    }

    /// Whether it may have made a signature with this header.
    pub fn fits(&self, header: &Header) -> bool {
        let kind = match &self.public {
            Public::Rsa { .. } => header.algorithm.is_rsa(),
            Public::P256(_) => header.algorithm == Algorithm::Es256,
            Public::P384(_) => header.algorithm == Algorithm::Es384,
        };
        let named = header.key.is_none() || header.key == self.id;
        kind && named && self.algorithm.is_none_or(|own| own == header.algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(header: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", part(header), part(&json!({ "iss": "i" })))
    }

    #[test]
    fn only_asymmetric_algorithms_are_read() {
        for name in ["RS256", "RS384", "ES256", "ES384"] {
            assert!(Token::parse(&token(&json!({ "alg": name }))).is_some(), "{name}");
        }
        for name in ["none", "None", "HS256", "HS512", "RS512", "PS256", "EdDSA", "rs256", ""] {
            assert!(Token::parse(&token(&json!({ "alg": name }))).is_none(), "{name}");
        }
        assert!(Token::parse(&token(&json!({ "alg": "RS256", "crit": ["exp"] }))).is_none());
        assert!(Token::parse(&token(&json!({}))).is_none());
    }

    #[test]
    fn nonsense_is_no_token() {
        let good = token(&json!({ "alg": "RS256" }));
        for text in
            ["", ".", "..", "a.b.c", "mjumbe_x", &good[1..], &format!("{good}.x"), &good.replace('.', "")]
        {
            assert!(Token::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn keys_that_do_not_sign_are_left_out() {
        let rsa = json!({ "kty": "RSA", "kid": "a", "use": "sig", "alg": "RS256", "n": "AQAB", "e": "AQAB" });
        let key = Key::parse(&rsa).unwrap();
        let header = |algorithm, key: Option<&str>| Header { algorithm, key: key.map(str::to_owned) };
        assert!(key.fits(&header(Algorithm::Rs256, Some("a"))) && key.fits(&header(Algorithm::Rs256, None)));
        assert!(
            !key.fits(&header(Algorithm::Rs384, Some("a")))
                && !key.fits(&header(Algorithm::Rs256, Some("b")))
        );
        assert!(!key.fits(&header(Algorithm::Es256, Some("a"))));
        for wrong in [
            json!({ "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" }),
            json!({ "kty": "RSA", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB" }),
            json!({ "kty": "oct", "k": "AQAB" }),
            json!({ "kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB" }),
            json!({ "kty": "EC", "crv": "P-521" }),
            json!(1),
        ] {
            assert_eq!(Key::parse(&wrong), None, "{wrong}");
        }
    }
}
