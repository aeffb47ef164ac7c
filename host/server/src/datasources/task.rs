//! One running datasource: polls its driver, publishes what changed, answers calls.
//!
//! The task outlives the driver's code: a new build takes over between two polls, and where the
//! code is missing or refuses the configuration the task stays to say so. Rows stay published
//! meanwhile.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use congress_bus::{Bus, Publisher, Requests};
use congress_plugins::{CallError, CallOutcome, Datasource, Driver, Push, State, TableOperation};
use congress_store::{KeyRing, Store};
use congress_table::{Change, Table, TableDelta};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::status::{Progress, Status as View};
use super::wire::{DatasourceCall, Execution, reply};
use super::{check, views};
use crate::failure::{Answer, Failure, Status};

/// Tells a task which code to run. The answer comes when it runs, or says why it can't.
pub(super) struct UseDriver {
    pub(super) driver: Option<Driver>,
    pub(super) done: oneshot::Sender<Result<(), String>>,
}

/// What all parts of a task share.
pub(super) struct Shared {
    pub(super) row: congress_store::Datasource,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) store: Store,
    pub(super) keys: KeyRing,
    pub(super) publisher: Publisher,
    pub(super) execute_actions: bool,
    progress: Mutex<Progress>,
    /// Held while an outcome is compared with what is published and committed.
    commit: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(super) fn new(
        row: congress_store::Datasource,
        bus: Arc<dyn Bus>,
        store: Store,
        keys: KeyRing,
        publisher: Publisher,
        execute_actions: bool,
    ) -> Self {
        Self {
            row,
            bus,
            store,
            keys,
            publisher,
            execute_actions,
            progress: Mutex::default(),
            commit: tokio::sync::Mutex::new(()),
        }
    }

    fn note(&self, note: impl FnOnce(&mut Progress)) {
        note(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn status(&self) -> View {
        let subscribers = self.bus.subscribers(&self.row.name);
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).status(subscribers)
    }

    /// Publishes what a successful call put in. Tables of `read` that it did not mention exist
    /// from now on, if only as empty ones. Returns the names of the tables that it put in.
    async fn publish(&self, outcome: CallOutcome, read: &[Arc<str>]) -> Vec<Arc<str>> {
        let _one_at_a_time = self.commit.lock().await;
        let mut change = Change::default();
        let mut touched = Vec::with_capacity(outcome.tables.len());
        for (name, operation) in outcome.tables {
            let delta = match operation {
                TableOperation::Replace(rows) => self.publisher.read(|p| match p.table(&name) {
                    Some(published) => published.difference_to(&rows),
                    None => Table::new().difference_to(&rows),
                }),
                TableOperation::Patch(delta) => delta,
            };
            touched.push(name.clone());
            change.tables.push((name, delta));
        }
        for name in read.iter().filter(|name| !touched.contains(name)) {
            change.tables.push((name.clone(), TableDelta::default()));
        }
        self.publisher.commit(change);
        touched
    }

    /// Notes how a poll or push ended, and publishes it if it went well.
    async fn finish(
        &self,
        result: Result<CallOutcome, CallError>,
        read: &[Arc<str>],
        is_push: bool,
    ) -> Result<Vec<Arc<str>>, CallError> {
        match result {
            Ok(outcome) => {
                let failed: Vec<_> = outcome
                    .failed
                    .iter()
                    .map(|(table, error)| format!("table '{table}': {error}"))
                    .collect();
                let failed_names: Vec<_> = outcome.failed.iter().map(|(t, _)| t.clone()).collect();
                let read: Vec<_> =
                    read.iter().filter(|name| !failed_names.contains(name)).cloned().collect();
                tracing::debug!(
                    datasource = %self.row.name, rows = outcome.figures.rows,
                    requests = outcome.figures.requests, ms = outcome.figures.duration.as_millis(),
                    "tables read"
                );
                let touched = self.publish(outcome, &read).await;
                let error = (!failed.is_empty()).then(|| failed.join("; "));
                self.note(|progress| progress.updated(error));
                Ok(touched)
            }
            Err(error) => {
                tracing::warn!(datasource = %self.row.name, push = is_push, "{error}");
                self.note(|progress| progress.updated(Some(error.to_string())));
                Err(error)
            }
        }
    }
}

/// The code that runs, and what its configuration says.
#[derive(Clone)]
struct Running {
    source: Datasource,
    poll_time: Option<Duration>,
    lazy: Vec<String>,
    persist: bool,
}

impl Running {
    /// The root tables to fetch: all but lazy ones that nobody subscribes to.
    fn wanted(&self, subscribed: &BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
        self.source
            .tables()
            .iter()
            .filter(|table| table.root.is_none())
            .filter(|table| {
                !self.lazy.contains(&table.name) || subscribed.contains(table.name.as_str())
            })
            .map(|table| Arc::from(table.name.as_str()))
            .collect()
    }

    /// These root tables and all that are fetched with them.
    fn with_children(&self, roots: &[Arc<str>]) -> Vec<Arc<str>> {
        let is_read = |root: &str| roots.iter().any(|name| **name == *root);
        self.source
            .tables()
            .iter()
            .filter(|table| is_read(table.root_name()))
            .map(|table| Arc::from(table.name.as_str()))
            .collect()
    }

    fn is_lazy(&self, table: &str) -> bool {
        let root = self.source.table(table).map_or(table, |schema| schema.root_name());
        self.lazy.iter().any(|name| name == root)
    }

    fn polls(&self) -> bool {
        self.source.driver().metadata().feed.polls()
    }
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
                    let outcome = match self.start(driver, kept.clone()).await {
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

/// Answers a call, as the bytes of its reply.
async fn answer(
    shared: &Arc<Shared>,
    running: Option<Running>,
    call: DatasourceCall,
) -> bytes::Bytes {
    if let DatasourceCall::Status = call {
        return reply(&Answer::Ok(shared.status()));
    }
    let Some(running) = running else {
        let reason = shared.status_text();
        return reply(&Answer::<()>::Err(Failure::plain(
            Status::Unavailable,
            format!("datasource '{}' is not running: {reason}", shared.row.name),
        )));
    };
    match call {
        DatasourceCall::Status | DatasourceCall::Refresh => reply(&Answer::Ok(())),
        DatasourceCall::Schema => {
            let schema: Vec<_> = running.source.tables().iter().map(|t| (**t).clone()).collect();
            reply(&Answer::Ok(schema))
        }
        DatasourceCall::Rows { table } => reply(&rows(shared, &running, &table)),
        DatasourceCall::Execute(execution) => {
            execute(shared.clone(), running, execution);
            reply(&Answer::Ok(()))
        }
        DatasourceCall::ReplaceRows { table, body } => {
            reply(&push(shared, &running, Some(table), body).await)
        }
        DatasourceCall::Webhook { payload } => reply(&push(shared, &running, None, payload).await),
    }
}

impl Shared {
    fn status_text(&self) -> String {
        serde_json::to_value(self.status())
            .ok()
            .and_then(|status| status["last_error"].as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// A table's rows as policies see them. A table of the schema that has not been read is empty.
fn rows(
    shared: &Shared,
    running: &Running,
    table: &str,
) -> Answer<Vec<Vec<congress_table::Value>>> {
    let cells =
        |row: &congress_table::Row| row.iter().map(congress_table::Value::for_policy).collect();
    let published = shared
        .publisher
        .read(|p| p.table(table).map(|rows| rows.rows().map(cells).collect::<Vec<_>>()));
    match published {
        Some(rows) => Ok(rows),
        None if running.is_lazy(table) => Err(Failure::plain(
            Status::BadRequest,
            format!("table {table} is a lazy table and is not subscribed."),
        )),
        None if running.source.table(table).is_some() => Ok(Vec::new()),
        None => {
            Err(Failure::plain(Status::NotFound, format!("tablename '{table}' does not exist'")))
        }
    }
}

/// Takes what was pushed: rows for a table, or a webhook's payload.
async fn push(
    shared: &Shared,
    running: &Running,
    table: Option<String>,
    body: serde_json::Value,
) -> Answer<()> {
    let name = &shared.row.name;
    let bad = |text: String| Failure::plain(Status::BadRequest, text);
    let method =
        if table.is_some() { "replace_entire_table_data" } else { "process_webhook_notification" };
    if !running.source.driver().metadata().feed.takes_pushes() {
        return Err(bad(format!("Method {method} not supported for datasource {name}")));
    }
    let push = match table {
        Some(table) if running.source.table(&table).is_none() => {
            return Err(bad(format!("translator: {table} is not in the datasource driver")));
        }
        Some(table) => Push::Rows { table, body },
        None => Push::Webhook(body),
    };
    let result = running.source.receive(push).await;
    let touched = shared
        .finish(result, &[], true)
        .await
        .map_err(|error| bad(format!("datasource {name} did not take it: {error}")))?;
    if running.persist {
        for table in touched {
            let rows: Vec<_> = shared.publisher.read(|p| {
                p.table(&table).map(|table| table.rows().cloned().collect()).unwrap_or_default()
            });
            shared.store.put_pushed_rows(&shared.row.id, &table, &rows).await.map_err(|error| {
                tracing::error!(datasource = %name, %table, %error, "cannot persist pushed rows");
                Failure::plain(
                    Status::Unavailable,
                    format!(
                        "the rows of {name} are published, but could not be stored: they will be \
                         lost at the next restart; push them again"
                    ),
                )
            })?;
        }
    }
    Ok(())
}

/// Runs an action in the background; how it went is in the log.
fn execute(shared: Arc<Shared>, running: Running, execution: Execution) {
    let Execution { action, positional, named } = execution;
    let name = shared.row.name.clone();
    let arguments = views::arguments(&positional, &named);
    if !shared.execute_actions {
        tracing::info!(
            "Executing {name}:{action}({arguments}) is off: enable_execute_action is false"
        );
        return;
    }
    tracing::info!("Executing {name}:{action}({arguments})");
    tokio::spawn(async move {
        match running.source.execute(&action, &positional, &named).await {
            Ok(outcome) => {
                shared.publish(outcome, &[]).await;
            }
            Err(error) => tracing::error!(datasource = %name, %action, "{error}"),
        }
    });
}
