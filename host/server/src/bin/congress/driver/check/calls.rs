//! Calling a driver in ways that it may refuse but must survive.

use std::sync::Arc;

use congress_plugins::{
    CallError, CallErrorKind, CallOutcome, ConfigError, ConfigValues, Datasource, Driver, Push,
    State,
};
use congress_server::fixture::tables;
use serde_json::json;

use super::plausible;
use super::report::Report;
use super::wire::{CheckWire, Service};

/// What is checked.
pub(super) struct Subject {
    pub(super) driver: Driver,
    /// The configuration that the author gave.
    pub(super) given: ConfigValues,
    pub(super) wire: Arc<CheckWire>,
}

/// What came of a call.
pub(super) enum Trial {
    /// It answered, if only an error.
    Survived { requests: usize },
    /// It crashed, hung, or reached a limit: how.
    Broke(String),
}

impl Subject {
    /// Makes a datasource and polls all its tables.
    pub(super) async fn try_poll(&self, config: &ConfigValues) -> Trial {
        let source = match self.driver.datasource("check", config, State::default()).await {
            Ok(source) => source,
            Err(ConfigError::Refused(error)) => return trial(Err(error)),
            Err(error @ ConfigError::Tables { .. }) => return Trial::Broke(error.to_string()),
            Err(_) => return Trial::Survived { requests: 0 },
        };
        if !self.driver.metadata().feed.polls() {
            return Trial::Survived { requests: 0 };
        }
        trial(source.poll(&tables::roots(&source, &[])).await)
    }
}

fn trial(outcome: Result<CallOutcome, CallError>) -> Trial {
    match outcome {
        Ok(outcome) => Trial::Survived { requests: outcome.figures.requests },
        Err(CallError { kind: CallErrorKind::Driver(_), .. }) => Trial::Survived { requests: 0 },
        Err(error) => Trial::Broke(error.kind.to_string()),
    }
}

/// Unknown actions, pushes that make no sense, upkeep of nothing.
pub(super) async fn check(subject: &Subject, report: &mut Report) {
    const ACTIONS: &str = "refuses actions that it does not have";
    const PUSHES: &str = "survives odd pushes";
    const UPKEEP: &str = "survives upkeep where no rows are";
    let metadata = subject.driver.metadata();
    let config = plausible(metadata, &subject.given);
    subject.wire.become_service(Service::Never("no service is there while actions are checked"));
    let source = match subject.driver.datasource("check", &config, State::default()).await {
        Ok(source) => source,
        Err(error) => {
            let reason = format!("no datasource could be made: {error}; give its --config");
            report.skip(ACTIONS, &*reason);
            report.skip(PUSHES, &*reason);
            report.skip(UPKEEP, &*reason);
            return;
        }
    };
    match source.execute("no.such-action", &[json!(1)], &ConfigValues::new()).await {
        Err(CallError { kind: CallErrorKind::Driver(_), .. }) => report.pass(ACTIONS),
        Err(error) => report.fail(ACTIONS, error.kind.to_string()),
        Ok(_) => report.fail(
            ACTIONS,
            "it says that 'no.such-action' was done: policies would believe it; answer an \
             `unsupported` error",
        ),
    }
    if metadata.feed.takes_pushes() {
        report.judge(PUSHES, &pushes(&source).await);
    } else {
        report.skip(PUSHES, "the driver takes none");
    }
    match trial(source.upkeep_beside(None).await) {
        Trial::Survived { .. } => report.pass(UPKEEP),
        Trial::Broke(reason) => report.fail(UPKEEP, reason),
    }
}

async fn pushes(source: &Datasource) -> Vec<String> {
    let names = source.tables().iter().map(|table| table.name.clone());
    let names: Vec<String> = names.take(20).chain(["no_such_table".to_owned()]).collect();
    let bodies = [json!(null), json!([]), json!({}), json!([null, 1, "x", [[]]]), json!("moon")];
    let mut problems = Vec::new();
    for body in bodies {
        for table in &names {
            let push = Push::Rows { table: table.clone(), body: body.clone() };
            if let Trial::Broke(reason) = trial(source.receive(push).await) {
                problems.push(format!("{body} pushed to '{table}': {reason}"));
            }
        }
        if let Trial::Broke(reason) = trial(source.receive(Push::Webhook(body.clone())).await) {
            problems.push(format!("the webhook {body}: {reason}"));
        }
    }
    problems
}
