//! The rest of a body that nobody read.
//!
//! A refusal (401, 413, 503 …) may be written while its request is still arriving. If the connection were closed then,
//! the system would reset it, and clients that write all of a request before they read (most do) would see the
//! reset instead of the refusal. So the rest is read and thrown away beside the answer.
//! **Never** without a limit in bytes and time. <https://www.rfc-editor.org/rfc/rfc9112#section-9.6>

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::answer::Answer;

/// A client that has more than this left to send is cut off.
const BYTES_MAX: u64 = 256 << 20;
/// And one that takes longer than this.
const TIME_MAX: Duration = Duration::from_secs(30);

/// A body that comes back where it is dropped before its end.
struct Lent {
    body: Option<Body>,
    back: Option<oneshot::Sender<Left>>,
    /// Whether its client sends it only when it is told to go on, which reading it does.
    held: bool,
}

/// What nobody read.
enum Left {
    Coming(Body),
    /// It will never be sent: the client waits for `100 Continue`.
    Held,
}

/// Where the rest of a body arrives when nobody wants it any more.
pub struct Rest(oneshot::Receiver<Left>);

/// Lends the body of a request to its handlers.
pub fn lend(request: Request) -> (Request, Rest) {
    let (back, rest) = oneshot::channel();
    let held = request.headers().contains_key(header::EXPECT);
    let lent = |body| Body::new(Lent { body: Some(body), back: Some(back), held });
    (request.map(lent), Rest(rest))
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        self.held = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.as_ref().map_or_else(|| hyper::body::SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Some(back)) = (left, self.back.take()) {
            // Nobody waits where the client went away.
            let _ = back.send(if self.held { Left::Held } else { Left::Coming(body) });
        }
    }
}

impl Rest {
    /// Reads what is left, if something is, while the answer goes out; says there that the connection ends where
    /// what is left will not come.
    pub fn discard(mut self, answer: &mut Answer) {
        match self.0.try_recv() {
            Ok(Left::Coming(body)) => {
                tokio::spawn(tokio::time::timeout(TIME_MAX, read_away(body)));
            }
            Ok(Left::Held) => {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Err(_) => {}
        }
    }
}

async fn read_away(mut body: Body) {
    let mut left = BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(rest) = left.checked_sub(read) else { return };
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn request(parts: &[&'static str]) -> Request {
        let parts: Vec<Result<&'static str, std::io::Error>> = parts.iter().map(|part| Ok(*part)).collect();
        Request::new(Body::from_stream(stream::iter(parts)))
    }

    #[tokio::test]
    async fn what_was_not_read_comes_back() {
        let (request, mut rest) = lend(request(&["one", "two"]));
        let mut body = request.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        drop(body);
        let Ok(Left::Coming(left)) = rest.0.try_recv() else { panic!("it does not come back") };
        assert_eq!(left.collect().await.unwrap().to_bytes(), "two");
    }

    #[tokio::test]
    async fn what_was_read_does_not() {
        let (request, mut rest) = lend(request(&["one", "two"]));
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "onetwo");
        assert!(rest.0.try_recv().is_err());
    }
}
