//! One request and its answer, read up to a limit after decompression.

use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Longest answer that is read, in bytes after decompression: a page of RapidPro's runs has about 2 MB, one of
/// DHIS2's metadata some megabytes.
pub const LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// What of a body is kept for `deliveries show`, in bytes.
pub const KEPT_BYTES: usize = 64 * 1024;
/// A `Retry-After` beyond a day is not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub elapsed: Duration,
}

/// No complete answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// No connection could be made: the request was not seen.
    Unreachable,
    Timeout,
    /// The connection broke before the answer was complete.
    Lost,
    /// Longer than [`LIMIT_BYTES`].
    TooLarge,
}

impl Answer {
    /// What `Retry-After` asks for, in seconds; a date is not read.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header(RETRY_AFTER.as_str())?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends and reads.
///
/// # Errors
/// [`Broken`]; every answer that came is `Ok`.
pub async fn ask(request: reqwest::RequestBuilder) -> Result<Answer, Broken> {
    let begun = Instant::now();
    let mut response = request.send().await.map_err(|error| broken(&error))?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if body.len() + chunk.len() > LIMIT_BYTES {
            return Err(Broken::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let status = response.status().as_u16();
    Ok(Answer { status, headers: response.headers().clone(), body, elapsed: begun.elapsed() })
}

fn broken(error: &reqwest::Error) -> Broken {
    match error {
        error if error.is_connect() => Broken::Unreachable,
        error if error.is_timeout() => Broken::Timeout,
        _ => Broken::Lost,
    }
}

/// The part of a body that is kept for people: whole characters, at most [`KEPT_BYTES`].
pub fn kept(text: &str) -> String {
    text.get(..text.floor_char_boundary(KEPT_BYTES)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_believed_and_a_year_is_not() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            Answer { status: 503, headers, body: Vec::new(), elapsed: Duration::ZERO }.retry_after()
        };
        assert_eq!(asked("3600"), Some(Duration::from_secs(3600)));
        assert_eq!(asked("31536000"), Some(RETRY_AFTER_MAX));
        assert_eq!(asked("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    #[test]
    fn a_body_is_cut_between_characters() {
        let text = "é".repeat(KEPT_BYTES);
        assert_eq!(kept(&text).len(), KEPT_BYTES);
        let odd = format!("x{text}");
        assert_eq!(kept(&odd).len(), KEPT_BYTES - 1);
    }
}
