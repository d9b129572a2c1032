//! Reading a request's body, up to a limit that counts decompressed bytes.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::fhir::outcome::{IssueType, Outcome};

/// Reads all of it. The decompression layer stands before, so that a small body that unpacks to a large
/// one is refused like a large one.
///
/// # Errors
/// 413 beyond `limit` bytes; 400 where the body ends early or does not decompress.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, Outcome> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large(limit)),
        Err(_) => Err(Outcome::error(
            IssueType::Invalid,
            "body-broken",
            "the body ended early or could not be decompressed",
        )),
    }
}

fn too_large(limit: usize) -> Outcome {
    let text = format!("the body is larger than {} MB", limit / (1024 * 1024));
    Outcome::error(IssueType::TooLong, "body-too-large", text)
        .status(413)
        .hint("send fewer entries in one bundle, or raise server.body_limit_mb")
}

/// What can be decompressed.
///
/// # Errors
/// 415 for another `Content-Encoding` than gzip.
pub fn decodable(headers: &HeaderMap) -> Result<(), Outcome> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(()) };
    let known = encoding.to_str().is_ok_and(|name| matches!(name.trim(), "gzip" | "identity" | ""));
    if known {
        return Ok(());
    }
    Err(Outcome::error(
        IssueType::NotSupported,
        "unsupported-encoding",
        "this Content-Encoding is not read here",
    )
    .status(415)
    .hint("send gzip, or no Content-Encoding"))
}
