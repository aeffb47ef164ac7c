//! Where guests run: two lanes of threads, and how many calls there may be at a time.
//!
//! Calls begin in the quick lane. A datasource that computes more than its [`Allowance`] is moved,
//! in the middle of its call, to the slow lane, which has half as many threads, of lower priority:
//! guests that spin share those with one another, however many they are, and never hold up a guest
//! that only wants a millisecond. In both lanes guests take turns, a tick each (see `ticker`).
//!
//! What is counted is processor time and not time on the clock, so that a busy machine makes no
//! ordinary guest look like one that spins. The price is that honest hard work (a driver that
//! parses a hundred megabytes each time) goes by the slow lane too.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::allowance::Allowance;
use crate::threads::Threads;

pub(crate) struct Lanes {
    quick: Threads,
    slow: Threads,
    calls: Arc<Semaphore>,
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Lanes {
    /// Lanes with so many quick threads, for so many calls at a time.
    pub(crate) fn start(threads: usize, calls: usize) -> io::Result<Self> {
        Ok(Self {
            quick: Threads::start("plugins-guest", threads)?,
            slow: Threads::start_nice("plugins-slow", threads / 2)?,
            calls: Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))),
        })
    }

    /// Leave for one more call, to be kept until it ends; one that takes so many places. None if
    /// it does not come in time.
    pub(crate) async fn enter(
        &self,
        places: u32,
        patience: Duration,
    ) -> Option<OwnedSemaphorePermit> {
        // Who finds a place needs no timer.
        if let Ok(permit) = self.calls.clone().try_acquire_many_owned(places) {
            return Some(permit);
        }
        let permit = self.calls.clone().acquire_many_owned(places);
        tokio::time::timeout(patience, permit).await.ok()?.ok()
    }

    /// Runs a call in the lane where it belongs. Dropping the future stops it at its next turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        allowance: &Arc<Allowance>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let mut work: Work<T> = Box::pin(work);
        let mut moves = !allowance.is_spent();
        loop {
            let lane = if moves { &self.quick } else { &self.slow };
            let counted = Counted { work: Some(work), allowance: allowance.clone(), moves };
            match AbortOnDropHandle::new(lane.handle().spawn(counted)).await? {
                Ended::Done(value) => return Ok(value),
                Ended::Moved(rest) => (work, moves) = (rest, false),
            }
        }
    }
}

/// Work whose processor time is charged.
struct Counted<T> {
    /// None once it has ended.
    work: Option<Work<T>>,
    allowance: Arc<Allowance>,
    /// Whether it ends, unfinished, when nothing is left.
    moves: bool,
}

enum Ended<T> {
    Done(T),
    Moved(Work<T>),
}

impl<T> Future for Counted<T> {
    type Output = Ended<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended<T>> {
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let before = processor_time();
        let polled = work.as_mut().poll(context);
        let is_spent = self.allowance.charge(processor_time().saturating_sub(before));
        match polled {
            Poll::Ready(value) => Poll::Ready(Ended::Done(value)),
            Poll::Pending if is_spent && self.moves => Poll::Ready(Ended::Moved(work)),
            Poll::Pending => {
                self.work = Some(work);
                Poll::Pending
            }
        }
    }
}

/// What this thread has used so far.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    /// Computes, in turns, until it has been so long on the clock; answers where it began and
    /// ended.
    async fn compute(time: Duration) -> (String, String) {
        let (begin, start) = (thread(), Instant::now());
        while start.elapsed() < time {
            std::hint::black_box((0..10_000u64).fold(0, |a, b| a ^ b));
            tokio::task::yield_now().await;
        }
        (begin, thread())
    }

    #[tokio::test]
    async fn who_computes_long_is_moved_and_begins_there_the_next_time() {
        let lanes = Lanes::start(1, 10).unwrap();
        let allowance = Arc::new(Allowance::full());
        let short = lanes.run(&allowance, compute(Duration::ZERO)).await.unwrap();
        assert_eq!(short, ("plugins-guest".to_owned(), "plugins-guest".to_owned()));
        // On a busy machine it takes long to use up anything.
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, end) =
                lanes.run(&allowance, compute(Duration::from_millis(200))).await.unwrap();
            if end == "plugins-slow" {
                break;
            }
            assert!(Instant::now() < deadline);
        }
        while !allowance.charge(Duration::from_secs(1)) {}
        let (begin, _) = lanes.run(&allowance, compute(Duration::ZERO)).await.unwrap();
        assert_eq!(begin, "plugins-slow");
        let other = Arc::new(Allowance::full());
        let (begin, _) = lanes.run(&other, compute(Duration::ZERO)).await.unwrap();
        assert_eq!(begin, "plugins-guest");
    }

    #[tokio::test]
    async fn calls_are_counted() {
        let lanes = Lanes::start(1, 1).unwrap();
        let first = lanes.enter(1, Duration::ZERO).await.unwrap();
        assert!(lanes.enter(1, Duration::from_millis(1)).await.is_none());
        drop(first);
        assert!(lanes.enter(1, Duration::ZERO).await.is_some());
    }
}
