//! One configured datasource, and the calls that it takes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use congress_table::TableSchema;
use serde_json::Value as Json;

use crate::bindings::driver as wit;
use crate::call::{Context, GuestConfig, Job, Success, run};
use crate::sink::Content;
use crate::{
    CallError, CallErrorKind, CallOutcome, ConfigValues, Driver, DriverError, HeldRows, State, Undo,
};

/// A driver with a configuration. Cheap to clone. Calls may overlap; callers poll one at a time.
#[derive(Clone)]
pub struct Datasource(Arc<Configured>);

pub(crate) struct Configured {
    pub(crate) driver: Driver,
    pub(crate) name: String,
    pub(crate) config: GuestConfig,
    pub(crate) context: Arc<Context>,
    pub(crate) state: Mutex<Arc<State>>,
}

/// What was pushed to a datasource.
#[derive(Clone, Debug)]
pub enum Push {
    /// Rows for one table: the body of the request.
    Rows {
        /// The table.
        table: String,
        /// The body.
        body: Json,
    },
    /// A webhook's payload.
    Webhook(Json),
}

impl Datasource {
    pub(crate) fn new(configured: Configured) -> Self {
        Self(Arc::new(configured))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its driver.
    pub fn driver(&self) -> &Driver {
        &self.0.driver
    }

    /// Its tables.
    pub fn tables(&self) -> &[Arc<TableSchema>] {
        self.0.context.tables.all()
    }

    /// One of its tables.
    pub fn table(&self, name: &str) -> Option<&Arc<TableSchema>> {
        self.0.context.tables.get(name)
    }

    /// What the driver has kept so far; hand it to the datasource that replaces this one.
    pub fn state(&self) -> State {
        (*self.current_state()).clone()
    }

    /// Reads the service. `wanted` names the root tables that somebody needs. Dropping the future
    /// stops the guest.
    pub async fn poll(&self, wanted: &[impl AsRef<str>]) -> Result<CallOutcome, CallError> {
        self.poll_beside(wanted, None).await
    }

    /// [`Datasource::poll`] for a caller that holds the rows of an earlier one.
    pub async fn poll_beside(
        &self,
        wanted: &[impl AsRef<str>],
        held: Option<Arc<dyn HeldRows>>,
    ) -> Result<CallOutcome, CallError> {
        let wanted = wanted.iter().map(|table| table.as_ref().to_owned()).collect();
        self.run(Job::Poll { wanted, held }).await
    }

    /// Hands over what was pushed.
    pub async fn receive(&self, push: Push) -> Result<CallOutcome, CallError> {
        self.receive_beside(push, None).await
    }

    /// [`Datasource::receive`] for a caller that holds the rows of earlier calls, among which the
    /// driver may look for those that the push replaces. Callers hand over one push at a time.
    pub async fn receive_beside(
        &self,
        push: Push,
        held: Option<Arc<dyn HeldRows>>,
    ) -> Result<CallOutcome, CallError> {
        if !self.driver().metadata().feed.takes_pushes() {
            return Err(self.unsupported("it takes no pushes"));
        }
        let push = match push {
            Push::Rows { table, body } => wit::Push::Rows((table, body.to_string())),
            Push::Webhook(payload) => wit::Push::Webhook(payload.to_string()),
        };
        self.run(Job::Receive { push, held }).await
    }

    /// Has the driver put in order what has become old, among the rows that the caller holds.
    /// Callers let neither a push nor another upkeep run beside it.
    pub async fn upkeep_beside(
        &self,
        held: Option<Arc<dyn HeldRows>>,
    ) -> Result<CallOutcome, CallError> {
        self.run(Job::Upkeep { held }).await
    }

    /// Runs an action. The outcome's tables are usually empty: most actions change the service,
    /// and the next poll shows what came of it.
    pub async fn execute(
        &self,
        action: &str,
        positional: &[Json],
        named: &ConfigValues,
    ) -> Result<CallOutcome, CallError> {
        self.execute_beside(action, positional, named, None).await
    }

    /// [`Datasource::execute`] for a caller that holds the rows of earlier calls.
    pub async fn execute_beside(
        &self,
        action: &str,
        positional: &[Json],
        named: &ConfigValues,
        held: Option<Arc<dyn HeldRows>>,
    ) -> Result<CallOutcome, CallError> {
        self.run(Job::Execute {
            held,
            action: action.to_owned(),
            positional: positional.iter().map(Json::to_string).collect(),
            named: named.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
        })
        .await
    }

    /// How long a service of its that was too busy wants to be left alone from now on, if it said so
    /// (`Retry-After`) and no call could wait for it.
    pub fn rest(&self) -> Option<Duration> {
        self.0.context.session.rest()
    }

    async fn run(&self, job: Job) -> Result<CallOutcome, CallError> {
        let Configured { config, context, .. } = &*self.0;
        let loaded = self.driver().loaded();
        let state = self.current_state();
        let success = run(&loaded.host, &loaded.code, context, config.clone(), state, job).await;
        let Success { sink, state, upkeep_after, figures, .. } =
            success.map_err(|kind| self.error(kind))?;
        let changes = state.into_changes();
        let (state, undo) = match changes.is_empty() {
            true => (None, Undo::default()),
            false => {
                let mut current = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
                // Onto what is there now: a call that ran beside this one may have changed other keys.
                let undo = Arc::make_mut(&mut current).apply(changes);
                (Some((**current).clone()), undo)
            }
        };
        let Content { tables, failed, refused } = sink.finish();
        // It repeats names that the guest has made.
        let refused = refused.map(|text| context.scrubber.scrub(&text).into_owned());
        Ok(CallOutcome { tables, failed, refused, state, undo, upkeep_after, figures })
    }

    /// Takes back what a call made its driver keep, if its outcome is not used: what the driver noted
    /// of rows that nobody has would be wrong.
    pub fn undo(&self, undo: Undo) {
        let mut current = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut current).undo(undo);
    }

    fn current_state(&self) -> Arc<State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn unsupported(&self, text: &str) -> CallError {
        self.error(CallErrorKind::Driver(DriverError::Unsupported(text.to_owned())))
    }

    fn error(&self, kind: CallErrorKind) -> CallError {
        CallError { driver: self.driver().metadata().id.clone(), kind }
    }
}

impl fmt::Debug for Datasource {
    /// Without the configuration, which holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datasource")
            .field("name", &self.name())
            .field("driver", &self.driver().metadata().id)
            .finish_non_exhaustive()
    }
}
