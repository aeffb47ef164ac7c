//! Bodies on their way in: bounds on how long each may be, on how long it may take, and on how much
//! of all of them is in memory, whoever sends them.
//!
//! The first bytes of a body are free, for there are as many bodies as connections at most. One that
//! goes on has room made for it, out of a budget that all share, and a long one a place of its own;
//! while there is none, its client has to wait. Both are kept until the request is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ApiOptions;
use crate::failure::{Answer, Failure, Status};

/// How much of a body is free.
const FREE: usize = 16 << 10;

/// Bodies beyond this length are long ones.
const LONG: usize = 1 << 20;

/// How much of bodies that are neither may be in memory, in bytes.
const BUDGET: usize = 64 << 20;

/// How many long ones may be.
const PLACES: usize = 16;

/// How much of a body that is refused is taken in before its client is told.
const DRAIN_BYTES: usize = 256 << 20;

/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// What takes bodies in.
pub(super) struct Intake {
    /// The most bytes of a body.
    limit: usize,
    /// How long one may take, the wait for room included.
    timeout: Duration,
    budget: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// What a body may take of memory, as long as this is kept.
#[derive(Default)]
pub(super) struct Room {
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Gives back what the body did not need.
    fn shrink(&mut self, length: usize) {
        if self.bytes <= LONG
            && let Some(permit) = &mut self.permit
        {
            drop(permit.split(self.bytes.saturating_sub(length)));
        }
    }
}

impl Intake {
    pub(super) fn new(options: &ApiOptions) -> Self {
        Self {
            limit: options.max_body_bytes,
            timeout: options.client_timeout,
            budget: Arc::new(Semaphore::new(BUDGET)),
            places: Arc::new(Semaphore::new(PLACES)),
        }
    }

    /// Reads the whole body. The room that it takes is to be kept while it is worked with.
    pub(super) async fn receive(&self, request: Request) -> Answer<(Request, Room)> {
        let (parts, mut body) = request.into_parts();
        // None where the client does not say it.
        let announced = body.size_hint().exact();
        let announced = announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if announced.is_some_and(|length| length > self.limit) {
            if !asks_first(&parts.headers) {
                drain(body).await;
            }
            return Err(self.too_large());
        }
        let reading = tokio::time::timeout(self.timeout, self.read(&mut body, announced));
        match reading.await {
            Ok(Ok((bytes, room))) => Ok((Request::from_parts(parts, Body::from(bytes)), room)),
            Ok(Err(failure)) => {
                if matches!(failure.status, Status::TooLarge | Status::Unavailable) {
                    drain(body).await;
                }
                Err(failure)
            }
            Err(_) => {
                let seconds = self.timeout.as_secs();
                let text = format!("the body did not arrive within {seconds} s");
                Err(Failure::plain(Status::Timeout, text))
            }
        }
    }

    async fn read(&self, body: &mut Body, announced: Option<usize>) -> Answer<(Bytes, Room)> {
        let (mut read, mut room) = (Vec::new(), Room { bytes: FREE, permit: None });
        while let Some(frame) = body.frame().await {
            let broken = |_| Failure::plain(Status::BadRequest, "the body broke off");
            let Ok(chunk) = frame.map_err(broken)?.into_data() else { continue };
            let length = read.len() + chunk.len();
            if length > self.limit {
                return Err(self.too_large());
            }
            if length > room.bytes {
                room = self.room(length, announced).await?;
            }
            if length > read.capacity() {
                let capacity = announced.unwrap_or(read.capacity() * 2).min(room.bytes).max(length);
                read.reserve_exact(capacity - read.len());
            }
            read.extend_from_slice(&chunk);
        }
        if announced.is_none() {
            read.shrink_to_fit();
            room.shrink(read.len());
        }
        Ok((read.into(), room))
    }

    /// Makes room for a body of which so much is there, and for all that may still come: what waits
    /// for room again and again with others of its kind may wait for ever.
    async fn room(&self, length: usize, announced: Option<usize>) -> Answer<Room> {
        let most = if length <= LONG { LONG } else { self.limit };
        let wanted = announced.unwrap_or(most).max(length).min(self.limit);
        let acquiring = async {
            let permit = match u32::try_from(wanted) {
                Ok(bytes) if wanted <= LONG => self.budget.clone().acquire_many_owned(bytes).await,
                _ => self.places.clone().acquire_owned().await,
            };
            permit.ok()
        };
        let permit = tokio::time::timeout(self.timeout / 2, acquiring).await.ok().flatten();
        let permit = permit.ok_or_else(|| {
            let text = "too many requests with long bodies at once; try again later";
            Failure::plain(Status::Unavailable, text)
        })?;
        Ok(Room { bytes: wanted, permit: Some(permit) })
    }

    fn too_large(&self) -> Failure {
        let text = format!("The body of a request may have {} bytes at most.", self.limit);
        Failure::plain(Status::TooLarge, text)
    }
}

/// Whether a client waits to be told before it sends its body.
fn asks_first(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Takes in and drops what a client is still sending: one that is cut off while it sends never
/// sees the answer. Within bounds, for it may never end.
async fn drain(mut body: Body) {
    let mut left = DRAIN_BYTES;
    let taking = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len());
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether it came to its end does not matter: the answer is the same.
    let _ = tokio::time::timeout(DRAIN_TIME, taking).await;
}
