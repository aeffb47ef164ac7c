//! Whose turn it is to change policies and rules.
//!
//! One write is checked, committed and applied before the next: whoever has the turn may ask the
//! database and change what is loaded. Readers need no turn, so a database that does not answer
//! delays writers alone, and them within a bound.

use std::future::Future;
use std::time::{Duration, Instant};

use congress_store::Error;
use tokio::sync::{Mutex, MutexGuard, Semaphore};

use super::policies::busy;
use crate::datasources::failure;
use crate::failure::Answer;

/// How long anybody waits for the turn: as long as an operation on the database may take by default.
const WAIT: Duration = Duration::from_secs(10);

/// Writers that wait at a time. Each takes a place among the requests that are worked on (by default
/// 1024), of which reads need some, too.
const WAITING: usize = 512;

/// A failure of the database that comes sooner costs those who wait next to nothing.
const SILENCE: Duration = Duration::from_millis(500);

/// The turns.
pub(super) struct Turns {
    /// When the database last was asked in vain, if it was.
    silent: Mutex<Option<Instant>>,
    places: Semaphore,
    wait: Duration,
}

/// A turn; the next one begins when it is dropped.
pub(super) struct Turn<'t> {
    silent: MutexGuard<'t, Option<Instant>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { silent: Mutex::default(), places: Semaphore::new(WAITING), wait: WAIT }
    }
}

impl Turns {
    /// The turn of a request that writes. Should the database not answer whoever has the turn
    /// meanwhile, the request is not to wait once more for the same.
    pub(super) async fn of_writer(&self) -> Answer<Turn<'_>> {
        let since = Instant::now();
        let place = self.places.try_acquire().map_err(|_| busy())?;
        let turn = self.next().await.map_err(failure)?;
        drop(place);
        if turn.silent.is_some_and(|silent| silent > since) {
            let reason = "it did not answer the change before".to_owned();
            return Err(failure(Error::Unavailable { reason }));
        }
        Ok(turn)
    }

    /// The next turn.
    pub(super) async fn next(&self) -> Result<Turn<'_>, Error> {
        match tokio::time::timeout(self.wait, self.silent.lock()).await {
            Ok(silent) => Ok(Turn { silent }),
            Err(_) => {
                let reason =
                    format!("changes before this one have not ended within {:?}", self.wait);
                Err(Error::Unavailable { reason })
            }
        }
    }
}

impl Turn<'_> {
    /// Asks the database something, and notes it if there is no answer.
    pub(super) async fn ask<T>(
        &mut self,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let begin = Instant::now();
        let answer = question.await;
        if matches!(answer, Err(Error::Unavailable { .. })) && begin.elapsed() >= SILENCE {
            *self.silent = Some(Instant::now());
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::failure::Status;

    /// Asks a database that fails after so long.
    async fn in_vain(turn: &mut Turn<'_>, after: Duration) {
        let question = async {
            tokio::time::sleep(after).await;
            Err::<(), _>(Error::Unavailable { reason: "locked".to_owned() })
        };
        turn.ask(question).await.unwrap_err();
    }

    /// Begins to wait as a writer; how it ends.
    async fn writer(turns: &Arc<Turns>) -> tokio::task::JoinHandle<Result<(), Status>> {
        let waiting = turns.places.available_permits();
        let writer = tokio::spawn({
            let turns = turns.clone();
            async move { turns.of_writer().await.map(drop).map_err(|failure| failure.status) }
        });
        while turns.places.available_permits() == waiting {
            tokio::task::yield_now().await;
        }
        writer
    }

    #[tokio::test]
    async fn a_database_that_does_not_answer_is_asked_once_for_all_who_wait() {
        let turns = Arc::new(Turns::default());
        let mut first = turns.of_writer().await.unwrap();
        let waiting = [writer(&turns).await, writer(&turns).await];
        in_vain(&mut first, SILENCE).await;
        drop(first);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Err(Status::Unavailable));
        }
        // Whoever comes later tries anew, and so does whoever only reads.
        turns.of_writer().await.unwrap();
        turns.next().await.unwrap();
    }

    #[tokio::test]
    async fn what_fails_at_once_is_tried_by_each() {
        let turns = Arc::new(Turns::default());
        let mut first = turns.of_writer().await.unwrap();
        let waiting = writer(&turns).await;
        in_vain(&mut first, Duration::ZERO).await;
        drop(first);
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_turn_is_waited_for_within_a_bound_and_by_so_many() {
        let turns = Turns { wait: Duration::from_secs(1), ..Turns::default() };
        let turns = Arc::new(turns);
        let first = turns.of_writer().await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            waiting.push(writer(&turns).await);
        }
        assert_eq!(turns.places.available_permits(), 0);
        let refused = turns.of_writer().await.map(drop).unwrap_err();
        assert_eq!(refused.status, Status::Unavailable);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Err(Status::Unavailable));
        }
        drop(first);
        turns.of_writer().await.unwrap();
    }
}
