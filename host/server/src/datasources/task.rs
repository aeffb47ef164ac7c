//! One running datasource: polls its driver, publishes what changed, answers calls.
//!
//! The task outlives the driver's code. A new build takes over between two polls, once it has
//! taken the configuration; until then, and where it refuses, the one before runs on. Without any
//! code the task stays to say so. Rows stay published all the while.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use congress_bus::{Request, Requests};
use congress_plugins::{Driver, HeldRows, State};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::{self, Backoff};
use super::calls::answer;
use super::local::Local;
use super::manager::Started;
use super::running::Running;
use super::shared::{Shared, Unpublished};
use super::start::{START_PERIOD, start};
use super::wire::{DatasourceCall, reply};
use crate::failure::{Answer, Failure, Status};

/// What a task is to run.
#[derive(Clone)]
pub(super) enum Code {
    /// Drivers are still being loaded; whether there is one is not known.
    Awaited,
    /// There is none, and why.
    Missing(String),
    /// A build, and why there is no newer one, if that failed.
    Run { driver: Driver, problem: Option<String> },
}

impl Code {
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited)
    }
}

/// How far a datasource is.
#[derive(Clone)]
pub(super) enum Phase {
    /// It has no code that runs; its status says why.
    Stopped,
    /// Its code is taking the configuration.
    Starting,
    /// It runs.
    Running(Running),
}

/// The task.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    /// Where it is found by who has it act.
    pub(super) local: Local,
    pub(super) requests: Requests,
    pub(super) code: watch::Receiver<Code>,
    /// Where to say whether it runs, or why the last attempt to start it failed.
    pub(super) outcome: watch::Sender<Started>,
    /// The longest pause between two attempts.
    pub(super) longest_pause: Duration,
    pub(super) stop: CancellationToken,
}

pub(super) type Step<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a task does at present and will do next.
struct Work {
    running: Option<Running>,
    /// The poll under way; whether it went well.
    polling: Option<Step<bool>>,
    next_poll: Option<Instant>,
    /// The driver is putting its rows in order.
    upkeep: Option<Step<()>>,
    failures: Backoff,
    /// The build that is to take over.
    candidate: Option<Driver>,
    starting: Option<Step<Result<Running, String>>>,
    next_start: Option<Instant>,
    refusals: Backoff,
    /// What the driver keeps between calls; outlives its code.
    kept: State,
    phase: watch::Sender<Phase>,
    /// Places for calls that others make.
    calls: Arc<Semaphore>,
}

/// How many calls of a datasource may be under way.
const CALLS: usize = 64;

impl Task {
    /// Runs until stopped.
    pub(super) async fn run(mut self) {
        let mut work = Work {
            running: None,
            polling: None,
            next_poll: None,
            upkeep: None,
            failures: Backoff::default(),
            candidate: None,
            starting: None,
            next_start: None,
            refusals: Backoff::default(),
            kept: State::default(),
            phase: watch::Sender::new(Phase::Stopped),
            calls: Arc::new(Semaphore::new(CALLS)),
        };
        let _entered = self.local.enter(self.shared.clone(), work.phase.subscribe());
        let mut wanted = self.shared.publisher.wanted();
        let mut wake = self.shared.upkeep_due().subscribe();
        self.code.mark_changed();
        loop {
            // One at a time: a poll, upkeep, or the start of other code.
            let idle = work.polling.is_none() && work.upkeep.is_none() && work.starting.is_none();
            let upkeep_due = wake.borrow().filter(|_| idle && work.running.is_some());
            let poll_due = work.next_poll.filter(|_| idle);
            let start_due = work.next_start.filter(|_| idle);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Ok(()) = self.code.changed() => {
                    let code = self.code.borrow_and_update().clone();
                    self.use_code(&mut work, code);
                }
                started = step(&mut work.starting) => self.on_start(&mut work, started),
                went_well = step(&mut work.polling) => self.on_poll(&mut work, went_well),
                () = step(&mut work.upkeep) => work.upkeep = None,
                () = at(start_due) => self.begin_start(&mut work),
                Ok(()) = wake.changed() => {}
                () = at(upkeep_due) => self.begin_upkeep(&mut work),
                () = at(poll_due) => self.begin_poll(&mut work, &wanted),
                request = self.requests.next() => {
                    let Some(request) = request else { return };
                    self.on_request(&mut work, request);
                }
                Ok(()) = wanted.changed() => {
                    let subscribed = wanted.borrow_and_update().clone();
                    let missing = work.running.as_ref().is_some_and(|running| {
                        running.polls()
                            && running.lazy.iter().any(|name| {
                                subscribed.contains(name.as_str())
                                    && self.shared.publisher.read(|p| p.table(name).is_none())
                            })
                    });
                    if missing {
                        work.next_poll = Some(Instant::now());
                    }
                }
            }
        }
    }

    /// Other code is to run, or none.
    fn use_code(&mut self, work: &mut Work, code: Code) {
        match code {
            Code::Awaited => self.shared.note(|p| {
                p.broken("waiting for its driver: drivers are still being loaded".to_owned());
            }),
            Code::Missing(reason) => {
                // First what is under way: what it has kept of rows that are not published goes back.
                (work.polling, work.upkeep, work.starting) = (None, None, None);
                if let Some(running) = work.running.take() {
                    work.kept = running.source.state();
                }
                work.candidate = None;
                (work.next_poll, work.next_start) = (None, None);
                work.phase.send_replace(Phase::Stopped);
                tracing::warn!(datasource = %self.shared.row.name, "{reason}");
                self.shared.note(|progress| {
                    progress.stopped();
                    progress.broken(reason.clone());
                });
                self.outcome.send_replace(Some(Err(reason)));
            }
            Code::Run { driver, problem } => {
                self.shared.note(|progress| {
                    progress.driver_problem(None);
                    progress.file_problem(problem);
                });
                let runs = |running: &Running| running.source.driver().hash() == driver.hash();
                if work.running.as_ref().is_some_and(runs) {
                    (work.candidate, work.starting, work.next_start) = (None, None, None);
                    return;
                }
                work.starting = None;
                work.candidate = Some(driver);
                work.refusals.reset();
                work.next_start = Some(Instant::now());
                if work.running.is_none() {
                    work.phase.send_replace(Phase::Starting);
                }
            }
        }
    }

    fn begin_start(&self, work: &mut Work) {
        work.next_start = None;
        let Some(driver) = work.candidate.clone() else { return };
        if let Some(running) = &work.running {
            work.kept = running.source.state();
        } else {
            work.phase.send_replace(Phase::Starting);
        }
        work.starting = Some(Box::pin(start(self.shared.clone(), driver, work.kept.clone())));
    }

    fn on_start(&mut self, work: &mut Work, started: Result<Running, String>) {
        work.starting = None;
        let name = &self.shared.row.name;
        match started {
            Ok(new) => {
                let driver = new.source.driver();
                tracing::info!(
                    datasource = %name, driver = %driver.metadata().id,
                    version = %driver.metadata().version, hash = %driver.hash(),
                    "the datasource runs this build of its driver"
                );
                self.shared.note(|progress| progress.started(driver));
                work.candidate = None;
                work.failures.reset();
                work.next_poll = new.polls().then(Instant::now);
                if !new.polls() && self.shared.has_rows() {
                    // Rows of before may have become old meanwhile.
                    self.shared.upkeep_due().send_replace(Some(Instant::now()));
                }
                work.phase.send_replace(Phase::Running(new.clone()));
                work.running = Some(new);
                self.outcome.send_replace(Some(Ok(())));
            }
            Err(reason) => {
                tracing::warn!(datasource = %name, "{reason}");
                let pause =
                    work.refusals.failed(START_PERIOD, self.longest_pause, backoff::random());
                work.next_start = Some(Instant::now() + pause);
                if work.running.is_some() {
                    let text = format!(
                        "its driver's new build is not used, the one before runs on: {reason}"
                    );
                    self.shared.note(|progress| progress.driver_problem(Some(text)));
                } else {
                    work.phase.send_replace(Phase::Stopped);
                    self.shared.note(|progress| {
                        progress.broken(reason.clone());
                        progress.next_attempt(Some(pause), work.refusals.failures());
                    });
                    self.outcome.send_replace(Some(Err(reason)));
                }
            }
        }
    }

    fn begin_poll(
        &self,
        work: &mut Work,
        wanted: &watch::Receiver<std::collections::BTreeSet<Arc<str>>>,
    ) {
        work.next_poll = None;
        if let Some(running) = &work.running {
            let roots = running.wanted(&wanted.borrow());
            work.polling = Some(Box::pin(poll(self.shared.clone(), running.clone(), roots)));
        }
    }

    fn begin_upkeep(&self, work: &mut Work) {
        self.shared.upkeep_due().send_replace(None);
        if let Some(running) = &work.running {
            work.upkeep = Some(Box::pin(upkeep(self.shared.clone(), running.clone())));
        }
    }

    fn on_poll(&self, work: &mut Work, went_well: bool) {
        work.polling = None;
        let period = work.running.as_ref().and_then(|running| running.poll_time);
        let pause = if went_well {
            work.failures.reset();
            period
        } else {
            let random = backoff::random();
            period.map(|period| work.failures.failed(period, self.longest_pause, random))
        };
        let failures = work.failures.failures();
        // A service that is too busy may say for how long, within reason.
        let rest = work.running.as_ref().and_then(|running| running.source.rest());
        let rest = rest.map(|rest| rest.min(self.longest_pause));
        let later = pause.filter(|pause| failures > 0 || rest > Some(*pause));
        let pause = pause.map(|pause| pause.max(rest.unwrap_or_default()));
        self.shared.note(|progress| progress.next_attempt(later.and(pause), failures));
        // A refresh asked for meanwhile has set the time already.
        if work.next_poll.is_none() {
            work.next_poll = pause.map(|pause| Instant::now() + pause);
        }
    }

    fn on_request(&self, work: &mut Work, request: Request) {
        match serde_json::from_slice(&request.body) {
            Ok(DatasourceCall::Refresh) => {
                if work.running.as_ref().is_some_and(Running::polls) {
                    work.next_poll = Some(Instant::now());
                }
                if work.candidate.is_some() {
                    work.next_start = Some(Instant::now());
                }
                request.reply(reply(&Answer::Ok(())));
            }
            Ok(call) => {
                let Ok(place) = work.calls.clone().try_acquire_owned() else {
                    let text = format!("{CALLS} calls of it are under way; try again later");
                    let failure = Failure::plain(Status::Unavailable, text);
                    request.reply(reply(&Answer::<()>::Err(failure)));
                    return;
                };
                let (shared, phase) = (self.shared.clone(), work.phase.subscribe());
                tokio::spawn(async move {
                    let _place = place;
                    if let Some(body) = answer(&shared, phase, call).await {
                        request.reply(body);
                    }
                });
            }
            Err(error) => {
                request.reply(reply(&Answer::<()>::Err(Failure::internal(error))));
            }
        }
    }
}

/// Waits for a step that is under way.
pub(super) async fn step<T>(step: &mut Option<Step<T>>) -> T {
    match step {
        Some(step) => step.await,
        None => std::future::pending().await,
    }
}

/// Waits for a time, if there is one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// One poll. True if it went well; an error is in the status and the log.
async fn poll(shared: Arc<Shared>, running: Running, roots: Vec<Arc<str>>) -> bool {
    let result = running.source.poll_beside(&roots, Some(shared.clone())).await;
    shared.finish(result, &running, &roots, false, None).await.is_ok()
}

/// Has the driver put its rows in order. An error is in the status and the log.
async fn upkeep(shared: Arc<Shared>, running: Running) {
    let _one_at_a_time = shared.receiving.lock().await;
    let held = Some(shared.clone() as Arc<dyn HeldRows>);
    let result = running.source.upkeep_beside(held).await;
    let unpublished = Unpublished::of(&running.source, &result);
    let Ok(fence) = shared.lease.fence() else {
        // One that is not the active one any more leaves the rows to its successor; one that is not
        // sure tries again.
        shared.upkeep_due().send_replace(Some(Instant::now() + START_PERIOD));
        return;
    };
    unpublished.stays();
    let store = running.persist.then_some(&fence);
    shared.finish_upkeep(result, &running, store).await;
}
