//! Making a server's policies what a plan wants.

use anyhow::anyhow;
use serde_json::{Map, Value};

use super::plan::Change;
use super::rules::Rules;
use crate::http::{Refusal, Server};

/// A change that could not be made.
pub(super) struct Failed {
    pub(super) policy: String,
    pub(super) error: anyhow::Error,
    /// Whether some of it has been made.
    pub(super) begun: bool,
}

/// A change, and what of its rules is left to be done.
struct Task {
    change: Change,
    rules: Rules,
    /// How much there was to do with rules.
    all: usize,
}

/// Makes all changes; gives those that could not be made, with why.
///
/// A rule that names columns of another policy's table can be inserted only after that one's rules:
/// what is refused is tried again as long as something else succeeds. What has been done of a change
/// is not done again then.
pub(super) async fn make(server: &Server, changes: Vec<Change>) -> Vec<Failed> {
    let mut waiting: Vec<Task> = changes.into_iter().map(Task::new).collect();
    loop {
        let before = left(&waiting);
        let mut failed = Vec::new();
        let mut rest = waiting.into_iter();
        while let Some(mut task) = rest.next() {
            match task.make(server).await {
                Ok(()) => {}
                Err(error) if error.is::<Refusal>() => failed.push((task, error)),
                Err(error) => {
                    // No answer, no login: the rest would fare the same.
                    failed.push((task, error));
                    failed.extend(rest.map(|task| (task, anyhow!("it was not tried"))));
                    return failed.into_iter().map(Task::failed).collect();
                }
            }
        }
        let (tasks, errors): (Vec<_>, Vec<_>) = failed.into_iter().unzip();
        if tasks.is_empty() || left(&tasks) >= before {
            return tasks.into_iter().zip(errors).map(Task::failed).collect();
        }
        waiting = tasks;
    }
}

/// How much there is to do.
fn left(tasks: &[Task]) -> usize {
    tasks.iter().map(|task| 1 + task.rules.left()).sum()
}

impl Task {
    fn new(mut change: Change) -> Self {
        let rules = match &mut change {
            Change::Update { rules, .. } => Rules::new(std::mem::take(rules)),
            Change::Create(_) | Change::Delete { .. } => Rules::default(),
        };
        Self { all: rules.left(), change, rules }
    }

    async fn make(&mut self, server: &Server) -> anyhow::Result<()> {
        match &self.change {
            Change::Create(policy) => {
                server.post(&["policies"], policy.to_value()).await?;
            }
            Change::Delete { name, .. } => delete(server, name).await?,
            Change::Update { name, fields, .. } => {
                self.rules.make(server, name).await?;
                if !fields.is_empty() {
                    let fields = fields
                        .iter()
                        .map(|(field, _, to)| ((*field).to_owned(), to.as_str().into()));
                    let body: Map<String, Value> = fields.collect();
                    server.patch(&["policies", name], body.into()).await?;
                }
            }
        }
        Ok(())
    }

    fn failed((task, error): (Self, anyhow::Error)) -> Failed {
        let begun = task.rules.left() != task.all;
        Failed { policy: task.change.name().to_owned(), error, begun }
    }
}

/// Deletes a policy. One that somebody else has deleted meanwhile is deleted.
async fn delete(server: &Server, policy: &str) -> anyhow::Result<()> {
    let path = ["policies", policy];
    match server.delete(&path).await {
        Err(error) if Refusal::is_missing(&error) => match server.get(&path).await {
            Err(gone) if Refusal::is_missing(&gone) => Ok(()),
            // There are some that nobody can delete, and the server says so with the same number.
            _ => Err(error),
        },
        outcome => outcome.map(drop),
    }
}
