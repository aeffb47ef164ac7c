//! The datasources that run in this process, for whoever has them do something without a way over
//! the bus.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use congress_bus::Epoch;
use congress_plugins::{CallError, CallErrorKind, ConfigValues, DriverError, HeldRows};
use serde_json::Value;
use tokio::sync::watch;

use super::shared::Shared;
use super::task::Phase;
use crate::actions::agenda::Readiness;
use crate::actions::{Ended, Hands};

/// The datasources that run here, by name. Clones are one.
#[derive(Clone, Default)]
pub(super) struct Local(Arc<RwLock<HashMap<String, Entry>>>);

#[derive(Clone)]
struct Entry {
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
}

/// Takes a datasource out again when dropped.
pub(super) struct Entered {
    local: Local,
    name: String,
}

impl Local {
    /// Enters a datasource, until what is returned is dropped.
    pub(super) fn enter(&self, shared: Arc<Shared>, phase: watch::Receiver<Phase>) -> Entered {
        let name = shared.row.name.clone();
        let entry = Entry { shared, phase };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), entry);
        Entered { local: self.clone(), name }
    }

    fn find(&self, name: &str) -> Option<Entry> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.local.0.write().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[async_trait]
impl Hands for Local {
    fn readiness(&self, service: &str) -> Readiness {
        let Some(entry) = self.find(service) else { return Readiness::Absent };
        match &*entry.phase.borrow() {
            Phase::Running(_) => Readiness::Runs,
            Phase::Starting => Readiness::Stopped("its code is starting".to_owned()),
            Phase::Stopped => Readiness::Stopped(entry.shared.last_error()),
        }
    }

    fn epoch(&self, service: &str) -> Option<Epoch> {
        Some(self.find(service)?.shared.publisher.read(|p| p.position().epoch))
    }

    async fn run(&self, service: &str, action: &str, positional: &[Value]) -> Ended {
        let Some(Entry { shared, phase }) = self.find(service) else {
            return Ended::Refused(format!("not run: Service {service} not found"));
        };
        let running = match &*phase.borrow() {
            Phase::Running(running) => running.clone(),
            _ => {
                let reason = shared.last_error();
                let text = format!("not run: datasource '{service}' is not running: {reason}");
                return Ended::Refused(text);
            }
        };
        let held = Some(shared.clone() as Arc<dyn HeldRows>);
        let named = ConfigValues::default();
        match running.source.execute_beside(action, positional, &named, held).await {
            Ok(outcome) => {
                if let Err(error) = shared.publish(outcome, &running.schema, &[], None).await {
                    tracing::error!(datasource = service, action, %error, "its rows are lost");
                }
                Ended::Done
            }
            Err(error) => ended(&error),
        }
    }
}

/// What is known of an action whose call has failed. What a driver says it knows; one that was
/// stopped half-way may have sent its request before.
fn ended(error: &CallError) -> Ended {
    match error.kind {
        CallErrorKind::Driver(DriverError::Connection(_)) => Ended::Unanswered(error.to_string()),
        CallErrorKind::Driver(_) => Ended::Refused(error.to_string()),
        CallErrorKind::NotStarted(_) => Ended::Refused(format!("not run: {error}")),
        CallErrorKind::Trap(_)
        | CallErrorKind::GaveUp(_)
        | CallErrorKind::Timeout(_)
        | CallErrorKind::Unanswered { .. }
        | CallErrorKind::Limit(_)
        | CallErrorKind::Internal(_) => Ended::Broken(error.to_string()),
    }
}
