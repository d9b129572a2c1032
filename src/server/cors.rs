//! Which pages of other origins may call: CORS. <https://fetch.spec.whatwg.org/#http-cors-protocol>
//!
//! Nobody is known to this server by a cookie or by where he calls from: a page needs a token that somebody
//! gave it. So any origin may call by default. While tokens are not asked for, that would open the store to
//! every page in the browser of this machine: then `*` means nobody.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::config;

/// How long a browser may remember what it asked.
const REMEMBERED: Duration = Duration::from_secs(600);
/// All origins.
const ANY: &str = "*";

/// The layer; `None` where no other origin may call.
pub fn layer(server: &config::Server) -> Option<CorsLayer> {
    let any = server.cors_origins.iter().any(|origin| origin == ANY);
    let named: Vec<HeaderValue> = server
        .cors_origins
        .iter()
        .filter(|origin| *origin != ANY)
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    let origins = match (any && !server.dangerous_disable_auth, named.is_empty()) {
        (true, _) => AllowOrigin::any(),
        (false, true) => return None,
        (false, false) => AllowOrigin::list(named),
    };
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let exposed = [
        header::ETAG,
        header::LOCATION,
        header::CONTENT_LOCATION,
        header::LAST_MODIFIED,
        header::RETRY_AFTER,
        HeaderName::from_static("x-request-id"),
        HeaderName::from_static("mjumbe-repaired"),
    ];
    Some(
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods(methods)
            // `Authorization` is not among `*`, so what is asked for is named.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed)
            .max_age(REMEMBERED),
    )
}
