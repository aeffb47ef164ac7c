//! Calls to whoever runs the datasources, through a take-over.
//!
//! For the few seconds between the end of one active datasource node and the beginning of the next
//! nobody answers. Calls wait for that within a bound, and are then answered 503: what is in the
//! database is never said not to exist.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use congress_bus::{Bus, CallError, Register};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::failure::{Answer, Failure, Status};

/// How often a service that is nowhere is looked for, unless something tells that it has come.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the reply of one that has been replaced may still take.
const GRACE: Duration = Duration::from_secs(1);

/// A call.
pub(super) struct Call<'a, C> {
    /// The service.
    pub(super) service: &'a str,
    /// What it is asked.
    pub(super) call: &'a C,
    /// How long all may take.
    pub(super) deadline: Duration,
    /// Whether it may be carried out twice.
    pub(super) repeatable: bool,
}

/// The way to services that come and go.
pub(super) struct Reach {
    pub(super) bus: Arc<dyn Bus>,
    /// How long a call waits for its service to appear.
    pub(super) patience: Duration,
}

impl Reach {
    pub(super) async fn ask<T, C>(&self, call: Call<'_, C>) -> Answer<T>
    where
        T: DeserializeOwned,
        C: Serialize,
    {
        let Call { service, call, deadline, repeatable } = call;
        let body: Bytes = serde_json::to_vec(call).map_err(Failure::internal)?.into();
        let begin = Instant::now();
        let mut nodes = self.bus.nodes();
        let mut terms = self.bus.register(Register::Term);
        loop {
            nodes.borrow_and_update();
            let left = deadline.saturating_sub(begin.elapsed());
            let reply = self.once(service, body.clone(), left, repeatable, &mut terms).await;
            let error = match reply {
                Some(Ok(reply)) => {
                    let reply: Answer<T> =
                        serde_json::from_slice(&reply).map_err(Failure::internal)?;
                    return reply;
                }
                // Neither was carried out.
                Some(Err(CallError::NotFound(_) | CallError::Down(_))) => None,
                // It was taken, and dropped by one that has ended or been replaced.
                Some(Err(CallError::Stopped(_))) if repeatable => None,
                None if repeatable => None,
                None => Some(CallError::Stopped(service.to_owned())),
                Some(Err(CallError::TooLong(_))) => {
                    let text = "it is too long to be handed to the datasource node";
                    return Err(Failure::plain(Status::TooLarge, text));
                }
                Some(Err(error)) => Some(error),
            };
            if let Some(error) = error {
                return Err(Failure::plain(Status::Unavailable, error));
            }
            let waited = begin.elapsed();
            if waited >= self.patience.min(deadline) {
                return Err(Failure::plain(
                    Status::Unavailable,
                    format_args!(
                        "service '{service}' is not running now: no active datasource node \
                         answers for it; try again later"
                    ),
                ));
            }
            tokio::select! {
                _ = nodes.changed() => {}
                () = tokio::time::sleep(PAUSE.min(self.patience - waited)) => {}
            }
        }
    }

    /// One attempt; none if its service was replaced meanwhile and does not answer any more.
    async fn once(
        &self,
        service: &str,
        body: Bytes,
        deadline: Duration,
        repeatable: bool,
        terms: &mut watch::Receiver<u64>,
    ) -> Option<Result<Bytes, CallError>> {
        let before = *terms.borrow_and_update();
        let calling = self.bus.call(service, body, deadline);
        tokio::pin!(calling);
        loop {
            tokio::select! {
                biased;
                reply = &mut calling => return Some(reply),
                Ok(()) = terms.changed() => {
                    // The first term that this node hears of is nobody's end.
                    let taken_over = before != 0 && *terms.borrow_and_update() > before;
                    if taken_over && repeatable {
                        return None;
                    }
                    if taken_over {
                        return tokio::time::timeout(GRACE, calling).await.ok();
                    }
                }
            }
        }
    }
}
