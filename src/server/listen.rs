//! The accept loop: a limit on connections, a timeout for headers, and a drain.
//!
//! axum's own has neither timeout nor limit, and a client that sends a header a minute would hold a
//! connection for ever.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceBuilder;

/// A client with more header bytes than this is refused (431).
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// After accept failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address that a request's connection comes from, beside each request: a proxy's, where there is one.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// What one listener bears.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// More connections than this wait in the kernel's queue.
    pub connections: usize,
    /// How long a client may take to send a request's headers; also how long an idle connection is kept.
    pub headers: Duration,
    /// How long requests under way may take to finish when the server stops.
    pub drain: Duration,
}

/// Serves `router` until `stop`, then lets requests under way finish.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let free = Arc::new(Semaphore::new(limits.connections));
    loop {
        let (socket, permit) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &free) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = %error.kind(), "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        tasks.spawn(connection(socket, permit, (router.clone(), limits.headers), stop.clone()));
    }
    drop(listener);
    tasks.close();
    let open = tasks.len();
    if tokio::time::timeout(limits.drain, tasks.wait()).await.is_err() {
        tracing::warn!(open, "requests were cut off because they did not finish in time");
    }
}

/// Waits for a free place first, so that what cannot be served waits in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, _) = listener.accept().await?;
    Ok((socket, permit))
}

async fn connection(
    socket: TcpStream,
    permit: OwnedSemaphorePermit,
    (router, headers): (Router, Duration),
    stop: CancellationToken,
) {
    // Answers are written at once; waiting for more to send only delays them.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(error = %error.kind(), "TCP_NODELAY was not set");
    }
    let peer = socket.peer_addr().ok().map(|address| Peer(address.ip()));
    let service = ServiceBuilder::new()
        .map_request(move |mut request: Request<Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            request
        })
        .service(router);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(headers)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
    let mut served = std::pin::pin!(served);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        // The text of a hyper error holds no bytes of the request.
        tracing::debug!(%error, "a connection ended early");
    }
    drop(permit);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn listening(connections: usize) -> (std::net::SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", axum::routing::get(|| async { "here" }));
        let headers = Duration::from_millis(200);
        let limits = Limits { connections, headers, drain: Duration::from_secs(5) };
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, router, limits, stop.clone()));
        (address, stop)
    }

    async fn read_all(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
        text
    }

    #[tokio::test]
    async fn who_does_not_finish_his_headers_holds_no_place_for_ever() {
        let (address, stop) = listening(1).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(read_all(&mut next).await.ends_with("here"));
        assert!(!read_all(&mut slow).await.contains("200"));
        stop.cancel();
    }
}
