//! One running datasource: polls its driver, publishes what changed, answers calls.
//!
//! The task outlives the driver's code: a new build takes over between two polls, and where the
//! code is missing or refuses the configuration the task stays to say so. Rows stay published
//! meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use congress_bus::Requests;
use congress_plugins::{CallOutcome, Driver, State, TableOperation};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::calls::answer;
use super::check;
use super::running::Running;
use super::shared::Shared;
use super::status::Progress;
use super::wire::{DatasourceCall, reply};
use crate::failure::{Answer, Failure};

/// Tells a task which code to run. The answer comes when it runs, or says why it can't.
pub(super) struct UseDriver {
    pub(super) driver: Option<Driver>,
    pub(super) done: oneshot::Sender<Result<(), String>>,
}

/// A poll that is under way.
type Polling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The task.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) requests: Requests,
    pub(super) drivers: mpsc::Receiver<UseDriver>,
    pub(super) stop: CancellationToken,
}

impl Task {
    /// Runs until stopped.
    pub(super) async fn run(mut self) {
        let mut running: Option<Running> = None;
        // What the driver keeps between calls; outlives its code.
        let mut kept = State::default();
        let mut polling: Option<Polling> = None;
        let mut next_poll: Option<Instant> = None;
        let mut wanted = self.shared.publisher.wanted();
        loop {
            // One poll at a time.
            let due_at = next_poll.filter(|_| polling.is_none());
            let due = async {
                match due_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let poll_ends = async {
                match polling.as_mut() {
                    Some(poll) => poll.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Some(UseDriver { driver, done }) = self.drivers.recv() => {
                    polling = None;
                    if let Some(running) = running.take() {
                        kept = running.source.state();
                    }
                    // A driver that takes its time to answer must not hold up the end.
                    let started = tokio::select! {
                        () = self.stop.cancelled() => return,
                        started = self.start(driver, kept.clone()) => started,
                    };
                    let outcome = match started {
                        Ok(new) => {
                            next_poll = new.polls().then(Instant::now);
                            running = Some(new);
                            Ok(())
                        }
                        Err(reason) => {
                            tracing::warn!(datasource = %self.shared.row.name, "{reason}");
                            self.shared.note(|progress| progress.broken(reason.clone()));
                            next_poll = None;
                            Err(reason)
                        }
                    };
                    let _ = done.send(outcome);
                }
                () = poll_ends => {
                    polling = None;
                    // A refresh asked for meanwhile has set the time already.
                    if next_poll.is_none() {
                        next_poll = running
                            .as_ref()
                            .and_then(|running| running.poll_time)
                            .map(|period| Instant::now() + period);
                    }
                }
                () = due => {
                    next_poll = None;
                    if let Some(running) = &running {
                        let roots = running.wanted(&wanted.borrow());
                        polling = Some(Box::pin(poll(self.shared.clone(), running.clone(), roots)));
                    }
                }
                request = self.requests.next() => {
                    let Some(request) = request else { return };
                    match serde_json::from_slice(&request.body) {
                        Ok(DatasourceCall::Refresh) => {
                            if running.as_ref().is_some_and(Running::polls) {
                                next_poll = Some(Instant::now());
                            }
                            request.reply(reply(&Answer::Ok(())));
                        }
                        Ok(call) => {
                            let (shared, running) = (self.shared.clone(), running.clone());
                            tokio::spawn(async move {
                                request.reply(answer(&shared, running, call).await);
                            });
                        }
                        Err(error) => request.reply(reply(&Answer::<()>::Err(
                            Failure::internal(error),
                        ))),
                    }
                }
                Ok(()) = wanted.changed() => {
                    let subscribed = wanted.borrow_and_update().clone();
                    let missing = running.as_ref().is_some_and(|running| {
                        running.polls()
                            && running.lazy.iter().any(|name| {
                                subscribed.contains(name.as_str())
                                    && self.shared.publisher.read(|p| p.table(name).is_none())
                            })
                    });
                    if missing {
                        next_poll = Some(Instant::now());
                    }
                }
            }
        }
    }

    /// Makes a driver ready to run with this datasource's configuration.
    async fn start(&self, driver: Option<Driver>, state: State) -> Result<Running, String> {
        let shared = &self.shared;
        let Some(driver) = driver else {
            return Err(format!(
                "driver '{}' is not loaded: there is no component of that id in the drivers \
                 folders; the datasource starts when there is",
                shared.row.driver
            ));
        };
        let config = shared.keys.reveal(&shared.row.config).map_err(|error| error.to_string())?;
        let field = |name: &str| driver.metadata().config.iter().find(|f| f.name == name);
        let poll_time = check::poll_time(
            &config,
            field("poll_time").and_then(|field| field.default.as_deref()),
        )?;
        let source = driver
            .datasource(&shared.row.name, &config, state)
            .await
            .map_err(|error| error.to_string())?;
        let lazy = check::lazy_tables(&config);
        let roots: Vec<_> = source.tables().iter().filter(|t| t.root.is_none()).collect();
        let unknown: Vec<_> =
            lazy.iter().filter(|name| !roots.iter().any(|t| t.name == **name)).collect();
        if !unknown.is_empty() {
            let accepted: Vec<_> = roots.iter().map(|table| &table.name).collect();
            return Err(format!(
                "Invalid lazy tables: {unknown:?}. Accepted tables for datasource {} are \
                 {accepted:?}",
                shared.row.name
            ));
        }
        let persist = config.get("persist_data").is_some_and(|value| match value {
            serde_json::Value::Bool(persist) => *persist,
            other => other.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")),
        });
        let running = Running { source, poll_time, lazy, persist };
        shared.note(Progress::mended);
        if running.source.driver().metadata().feed.takes_pushes() {
            self.restore(&running).await?;
            shared.note(Progress::ready);
        }
        Ok(running)
    }

    /// Publishes the rows that were pushed before the last restart; tables without any are empty.
    async fn restore(&self, running: &Running) -> Result<(), String> {
        let shared = &self.shared;
        let names = |tables: &[Arc<congress_table::TableSchema>]| -> Vec<Arc<str>> {
            tables.iter().map(|table| Arc::from(table.name.as_str())).collect()
        };
        let mut outcome = CallOutcome::default();
        let first = shared.publisher.read(|p| p.position().sequence == 0);
        if running.persist && first {
            let tables =
                shared.store.pushed_tables(&shared.row.id).await.map_err(|error| {
                    format!("cannot restore the rows that were pushed: {error}")
                })?;
            for (name, rows) in tables {
                let rows = rows.into_iter().collect();
                outcome.tables.push((name.into(), TableOperation::Replace(rows)));
            }
        }
        shared.publish(outcome, &names(running.source.tables())).await;
        Ok(())
    }
}

/// One poll.
async fn poll(shared: Arc<Shared>, running: Running, roots: Vec<Arc<str>>) {
    let result = running.source.poll(&roots).await;
    let read = running.with_children(&roots);
    // The error is in the status and the log; the next poll is the retry.
    let _ = shared.finish(result, &read, false).await;
}
