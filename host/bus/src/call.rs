//! Calls: one request, one reply.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// Why a call gave no reply.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CallError {
    /// Nobody serves it.
    #[error("service '{0}' could not be found")]
    NotFound(String),
    /// No reply within the deadline. Whether the request was carried out is not known.
    #[error("Request to service '{0}' timed out")]
    Timeout(String),
    /// The service has too many calls waiting. The request was not carried out.
    #[error("service '{0}' is busy: too many requests are waiting")]
    Busy(String),
    /// The service ended before it replied. Whether the request was carried out is not known.
    #[error("service '{0}' stopped before it answered")]
    Stopped(String),
    /// The request is longer than the bus carries. It was not carried out.
    #[error("a request to service '{0}' is too long")]
    TooLong(String),
    /// The service is on another node, and messages do not get through. The request was not
    /// carried out.
    #[error("the message bus is down: {0}")]
    Down(String),
}

/// One call that waits for its reply.
pub struct Request {
    /// What was sent.
    pub body: Bytes,
    reply: oneshot::Sender<Bytes>,
}

impl Request {
    pub(crate) fn new(body: Bytes) -> (Self, oneshot::Receiver<Bytes>) {
        let (reply, receiver) = oneshot::channel();
        (Self { body, reply }, receiver)
    }

    /// Replies. A caller that has given up in the meantime is no error.
    pub fn reply(self, body: Bytes) {
        let _ = self.reply.send(body);
    }
}

/// The calls to one service. Dropping it withdraws the service.
pub struct Requests {
    pub(crate) queue: mpsc::Receiver<Request>,
    pub(crate) withdraw: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Requests {
    /// The next call; none when the bus is shut down. Safe to cancel.
    pub async fn next(&mut self) -> Option<Request> {
        self.queue.recv().await
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        if let Some(withdraw) = self.withdraw.take() {
            withdraw();
        }
    }
}
