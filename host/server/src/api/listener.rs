//! The loop that accepts connections.
//!
//! `axum::serve` bounds neither connections nor the time that a client may take, so the loop is
//! here: HTTP/1.1 with a limit on open connections, on the size of heads, and on how long a client
//! may be silent in either direction.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::ApiOptions;
use crate::health::Turns;

/// Bounds a request's head, and what is read ahead of its handling.
const READ_BUFFER: usize = 64 << 10;

/// Pause after a failure to accept, which mostly means that this process is out of file
/// descriptors: the connection stays in the queue.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Serves `router` until `shutdown` is cancelled. New connections are then no longer accepted,
/// requests under way may finish within [`ApiOptions::drain_timeout`], and idle connections close.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ApiOptions,
    mut turns: Turns,
    shutdown: CancellationToken,
) {
    let service = TowerToHyperService::new(router);
    let graceful = GracefulShutdown::new();
    let cut = CancellationToken::new();
    let slots = options.max_connections.clamp(1, Semaphore::MAX_PERMITS);
    let slots = Arc::new(Semaphore::new(slots));
    'accepting: loop {
        let accepted = async {
            // Fails only if the semaphore is closed, which nobody does.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        tokio::pin!(accepted);
        let (slot, accepted) = loop {
            tokio::select! {
                accepted = &mut accepted => break accepted,
                () = shutdown.cancelled() => break 'accepting,
                // Not a turn of the loop around, for that would give a free slot away.
                () = turns.idle() => {}
            }
        };
        turns.turned();
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, service.clone(), graceful.watcher(), options);
                let cut = cut.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = cut.cancelled() => {}
                    }
                    drop(slot);
                });
            }
            Err(error) => accept_failed(&error).await,
        }
    }
    drop(listener);
    if tokio::time::timeout(options.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests that took too long to finish are cut off");
        cut.cancel();
    }
}

async fn connection(
    stream: TcpStream,
    service: TowerToHyperService<Router>,
    watcher: Watcher,
    options: ApiOptions,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not set");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(options.client_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.client_timeout)
        .max_header_size(READ_BUFFER)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    if let Err(error) = watcher.watch(connection).await {
        // Clients go away as they like.
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn accept_failed(error: &io::Error) {
    let of_the_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    );
    if !of_the_client {
        tracing::error!(%error, "a connection cannot be accepted");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
