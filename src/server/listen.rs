//! The accept loop: a limit on connections, a timeout for headers, and a drain.
//!
//! axum's own has neither timeout nor limit, and a client that sends a header a minute would hold a
//! connection for ever.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take to send a request's headers; also how long an idle connection is kept.
const HEADERS: Duration = Duration::from_secs(30);
/// A client with more header bytes than this is refused (431).
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// After accept failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `stop`, then lets requests under way finish, for at most `drain`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    stop: CancellationToken,
    drain: Duration,
) {
    let tasks = TaskTracker::new();
    let free = Arc::new(Semaphore::new(connections));
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
        tasks.spawn(connection(socket, permit, router.clone(), stop.clone()));
    }
    drop(listener);
    tasks.close();
    let open = tasks.len();
    if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
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
    router: Router,
    stop: CancellationToken,
) {
    // Answers are written at once; waiting for more to send only delays them.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(error = %error.kind(), "TCP_NODELAY was not set");
    }
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
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
