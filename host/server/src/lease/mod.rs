//! The lease of the active datasource node, kept by a task.
//!
//! Any number of processes may run the datasources' role; one of them holds the lease and runs the
//! datasources, the others wait. The rules are in [`machine`]; here are the database, the clock and
//! the bus. The lease's term goes into the epoch of everything that its holder publishes, so that
//! subscribers refuse what a holder of before still sends.

mod clock;
pub mod machine;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use congress_bus::{Bus, Register};
use congress_store::{Acquired, Fence, Renewed, Store};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::clock::Clock;
use self::machine::{Answer, Ask, Holder, Machine, Next, Standing, Time, Times, Verdict};
use crate::failure::{Failure, Status as HttpStatus};

/// The lease's name in the database.
pub const NAME: &str = "datasources";

/// What this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It waits for the lease.
    Standby {
        /// Who has it, once that is known.
        holder: Option<Holder>,
    },
    /// It holds the lease.
    Active {
        /// In this term.
        term: u64,
    },
    /// It held the lease, and somebody else does now. It must end.
    Replaced {
        /// In this term.
        term: u64,
        /// The higher one.
        by: u64,
    },
}

/// The lease. Cheap to clone.
#[derive(Clone)]
pub struct Lease {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    bus: Arc<dyn Bus>,
    node_id: String,
    instance: String,
    times: Times,
    clock: Clock,
    machine: Mutex<Machine>,
    status: watch::Sender<Status>,
    /// Signals that the database was asked, whatever it said.
    looked: watch::Sender<()>,
    /// How another's lease was found, and since when it has been so.
    seen: Mutex<Option<(congress_store::Lease, Time)>>,
}

impl Lease {
    /// The lease as a process sees it that waits for it. [`Lease::keep`] does the rest.
    pub fn new(
        store: Store,
        bus: Arc<dyn Bus>,
        node_id: &str,
        instance: &str,
        times: Times,
    ) -> Self {
        let clock = Clock;
        let inner = Inner {
            store,
            bus,
            node_id: node_id.to_owned(),
            instance: instance.to_owned(),
            times,
            machine: Mutex::new(Machine::new(times, clock.now())),
            clock,
            status: watch::Sender::new(Status::Standby { holder: None }),
            looked: watch::Sender::new(()),
            seen: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Tries to take the lease, and renews it, until told to stop or replaced.
    pub async fn keep(self, stop: CancellationToken) {
        let mut terms = self.inner.bus.register(Register::Term);
        loop {
            let heard = *terms.borrow_and_update();
            let verdict = self.machine().heard(heard);
            self.settle(verdict);
            let next = self.machine().next(self.inner.clock.now());
            match next {
                Next::End => return,
                Next::Wait(until) => {
                    let pause = until.saturating_sub(self.inner.clock.now());
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                        changed = terms.changed() => if changed.is_err() { return },
                    }
                }
                Next::Ask(ask) => {
                    let asking = tokio::time::timeout(self.inner.times.answer, self.ask(ask));
                    tokio::pin!(asking);
                    let answer = loop {
                        tokio::select! {
                            () = stop.cancelled() => return,
                            answer = &mut asking => break answer.unwrap_or(Answer::Failed),
                            // Heard of at once, also while the database is silent.
                            Ok(()) = terms.changed() => {
                                let heard = *terms.borrow_and_update();
                                let verdict = self.machine().heard(heard);
                                if verdict.is_some() {
                                    self.settle(verdict);
                                    return;
                                }
                            }
                        }
                    };
                    let verdict = self.machine().answered(answer);
                    self.settle(verdict);
                    self.inner.looked.send_replace(());
                }
            }
        }
    }

    /// What this process is; changes are signalled.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.inner.status.subscribe()
    }

    /// The term in which this process may publish and answer, once it knows that it may: after it
    /// stood still it looks first. None if it may not, or not any more.
    pub async fn fresh(&self) -> Option<u64> {
        let mut looked = self.inner.looked.subscribe();
        loop {
            looked.borrow_and_update();
            let (standing, term) = {
                let machine = self.machine();
                (machine.standing(self.inner.clock.now()), machine.term())
            };
            match standing {
                Standing::Sure | Standing::Unsure => return term,
                Standing::Standby | Standing::Replaced => return None,
                Standing::Unchecked => looked.changed().await.ok()?,
            }
        }
    }

    /// Proof that this process may do what must not be done twice. The failure is for a client.
    pub fn fence(&self) -> Result<Fence, Failure> {
        let machine = self.machine();
        let standing = machine.standing(self.inner.clock.now());
        match (standing, machine.term()) {
            (Standing::Sure, Some(term)) => Ok(self.fence_of(term)),
            (Standing::Unsure | Standing::Unchecked, _) => Err(Failure::plain(
                HttpStatus::Unavailable,
                "the database does not answer, so this datasource node cannot tell whether it is \
                 still the active one; try again later",
            )),
            _ => Err(Failure::plain(
                HttpStatus::Unavailable,
                "this datasource node is not the active one; try again later",
            )),
        }
    }

    /// Gives the lease back, so that a standby takes it at once.
    pub async fn release(&self) {
        let Some(term) = self.machine().term() else { return };
        let fence = self.fence_of(term);
        let releasing = self.inner.store.release_lease(&fence);
        match tokio::time::timeout(self.inner.times.answer, releasing).await {
            Ok(Ok(())) => tracing::info!(term, "the lease of the datasource node is given back"),
            Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be given back; it lapses"),
            Err(_) => tracing::warn!("the lease cannot be given back in time; it lapses"),
        }
    }

    /// For `/readyz?detail`.
    pub fn describe(&self) -> Value {
        let machine = self.machine();
        let now = self.inner.clock.now();
        let age = |at: Time| now.saturating_sub(at).as_secs_f64();
        json!({
            "name": NAME,
            "state": match machine.standing(now) {
                Standing::Standby => "standby",
                Standing::Sure => "active",
                Standing::Unsure | Standing::Unchecked => "active, not renewed in time",
                Standing::Replaced => "replaced",
            },
            "term": machine.term().or_else(|| machine.holder().map(|holder| holder.term)),
            "renewed_age": machine.renewed().map(age),
            "holder": machine.holder().map(|holder| json!({
                "node_id": holder.node_id, "instance": holder.instance, "term": holder.term,
            })),
        })
    }

    fn fence_of(&self, term: u64) -> Fence {
        Fence { lease: NAME.to_owned(), instance: self.inner.instance.clone(), term }
    }

    async fn ask(&self, ask: Ask) -> Answer {
        let Inner { store, times, .. } = &*self.inner;
        let holder = |lease: congress_store::Lease| Holder {
            node_id: lease.node_id,
            instance: lease.instance,
            term: lease.term,
        };
        let answer = match ask {
            Ask::Acquire => self.acquire().await.map(|acquired| match acquired {
                Acquired::Taken { term } => Answer::Taken { term },
                Acquired::Held(lease) => Answer::Held(holder(lease)),
            }),
            Ask::Renew { term } => store.renew_lease(&self.fence_of(term), times.ttl).await.map(
                |renewed| match renewed {
                    Renewed::Renewed => Answer::Renewed,
                    Renewed::Lost(lease) => Answer::Lost(holder(lease)),
                },
            ),
        };
        answer.unwrap_or_else(|error| {
            tracing::debug!(%error, ?ask, "the database gives no answer about the lease");
            Answer::Failed
        })
    }

    /// Takes the lease if it has lapsed: by the database's clock, or because its holder has been
    /// silent for longer than it is good for. That clock may have been set back, or be another one's
    /// after a fail-over.
    async fn acquire(&self) -> congress_store::Result<Acquired> {
        let Inner { store, node_id, instance, times, clock, .. } = &*self.inner;
        let asked = clock.now();
        let acquired = store.acquire_lease(NAME, node_id, instance, times.ttl).await?;
        let Acquired::Held(lease) = &acquired else { return Ok(acquired) };
        let silent = self.silent_for(lease, asked);
        if silent < times.ttl + times.margin {
            return Ok(acquired);
        }
        tracing::warn!(
            holder = %lease.node_id, term = lease.term, silent = silent.as_secs_f64(),
            remaining = lease.remaining.as_secs_f64(),
            "the lease is not renewed, and by the database's clock does not lapse: has that been set \
             back? Taking it"
        );
        store.take_silent_lease(NAME, node_id, instance, times.ttl, lease).await
    }

    /// For how long, when it was asked for, a lease had been as it is now.
    fn silent_for(&self, lease: &congress_store::Lease, asked: Time) -> Duration {
        let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let state =
            |lease: &congress_store::Lease| (lease.instance.clone(), lease.term, lease.expires_at);
        match &*seen {
            Some((before, since)) if state(before) == state(lease) => asked.saturating_sub(*since),
            _ => {
                *seen = Some((lease.clone(), self.inner.clock.now()));
                Duration::ZERO
            }
        }
    }

    /// Shows everybody what has come of it.
    fn settle(&self, verdict: Option<Verdict>) {
        let status = match verdict {
            Some(Verdict::Began { term }) => {
                self.inner.bus.raise(Register::Term, term);
                Status::Active { term }
            }
            Some(Verdict::Ended { term, by }) => Status::Replaced { term, by },
            None => match self.machine().holder().cloned() {
                Some(holder) => Status::Standby { holder: Some(holder) },
                None => return,
            },
        };
        self.inner.status.send_if_modified(|present| {
            let news = *present != status;
            *present = status;
            news
        });
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.inner.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use congress_bus::InProcessBus;
    use congress_store::Location;

    use super::*;

    /// As it is found when the database's clock has been set back by an hour: a holder that is gone
    /// has the lease for another hour.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_lease_that_nobody_renews_is_taken_whatever_the_databases_clock_says() {
        let store = Store::open(&Location::SqliteMemory, &Default::default()).await.unwrap();
        let hour = Duration::from_secs(3600);
        let dead = store.acquire_lease(NAME, "dead", "d", hour).await.unwrap();
        assert_eq!(dead, Acquired::Taken { term: 1 });
        let ms = Duration::from_millis;
        let times =
            Times { ttl: ms(300), renew: ms(50), retry: ms(20), margin: ms(50), answer: ms(140) };
        let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new("n", "i"));
        let lease = Lease::new(store.clone(), bus, "n", "i", times);
        let mut status = lease.status();
        let begun = std::time::Instant::now();
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(lease.keep(stop.clone()));
        let active = status.wait_for(|status| *status == Status::Active { term: 2 });
        tokio::time::timeout(Duration::from_secs(60), active).await.unwrap().unwrap();
        assert!(begun.elapsed() >= ms(350), "{:?}", begun.elapsed());
        assert!(store.lease(NAME).await.unwrap().unwrap().remaining <= ms(300));
        stop.cancel();
        keeping.await.unwrap();
    }
}
