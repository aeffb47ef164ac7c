//! The calls that a running datasource answers.

use std::sync::Arc;

use congress_plugins::{HeldRows, Push};
use congress_table::Table;
use tokio::sync::watch;

use super::running::Running;
use super::shared::{Shared, Unfinished, Unpublished};
use super::task::Phase;
use super::views;
use super::wire::{DatasourceCall, Execution, TOO_MANY_ROWS, reply};
use crate::failure::{Answer, Failure, Status};

/// Answers a call, as the bytes of its reply; none if this process has been replaced. While code
/// is starting, calls for it wait.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    mut phase: watch::Receiver<Phase>,
    call: DatasourceCall,
) -> Option<bytes::Bytes> {
    // One that stood still may have been replaced meanwhile: then it does not answer.
    shared.lease.fresh().await?;
    let unfit = || shared.lease.fence().err().map(|failure| reply(&Answer::<()>::Err(failure)));
    if call.changes_something()
        && let Some(refusal) = unfit()
    {
        return Some(refusal);
    }
    if let DatasourceCall::Status = call {
        return Some(reply(&Answer::Ok(shared.status())));
    }
    let Some(running) = settled(&mut phase).await else {
        let reason = shared.last_error();
        return Some(reply(&Answer::<()>::Err(Failure::plain(
            Status::Unavailable,
            format!("datasource '{}' is not running: {reason}", shared.row.name),
        ))));
    };
    Some(match call {
        DatasourceCall::Status | DatasourceCall::Refresh => reply(&Answer::Ok(())),
        DatasourceCall::Schema => {
            // That of the rows that are published, which code that has just started has not read.
            let schema = shared.publisher.read(|p| p.schema().clone());
            reply(&Answer::Ok(schema.iter().map(|table| (**table).clone()).collect::<Vec<_>>()))
        }
        DatasourceCall::Rows { table } => reply(&rows(shared, &running, &table)),
        DatasourceCall::Execute(execution) => {
            // The lease may have been lost while code was starting.
            if let Some(refusal) = unfit() {
                return Some(refusal);
            }
            execute(shared.clone(), running, execution);
            reply(&Answer::Ok(()))
        }
        DatasourceCall::ReplaceRows { table, body } => {
            reply(&push(shared, &running, Some(table), body).await)
        }
        DatasourceCall::Webhook { payload } => reply(&push(shared, &running, None, payload).await),
    })
}

/// The code that runs, once none is starting; none if there is none.
async fn settled(phase: &mut watch::Receiver<Phase>) -> Option<Running> {
    let phase = phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await.ok()?;
    match &*phase {
        Phase::Running(running) => Some(running.clone()),
        _ => None,
    }
}

/// Rows of about so many bytes as JSON are not sent in one message, which has room for twice that
/// (`MAX_CALL` of the bus's protocol).
const MOST_BYTES: usize = 32 << 20;

/// A table's rows as policies see them. A table of the schema that has not been read is empty.
fn rows(
    shared: &Shared,
    running: &Running,
    table: &str,
) -> Answer<Vec<Vec<congress_table::Value>>> {
    let cells =
        |row: &congress_table::Row| row.iter().map(congress_table::Value::for_policy).collect();
    match shared.publisher.read(|p| p.table(table).cloned()) {
        Some(rows) if bytes(&rows) > MOST_BYTES => Err(Failure::plain(
            Status::Unavailable,
            format!("table {table} has more rows than a message can carry; subscribe to it"),
        )
        .with_data(TOO_MANY_ROWS)),
        Some(rows) => Ok(rows.rows().map(cells).collect()),
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

/// How long rows are as JSON, roughly; numbers are taken to be as long as most are.
fn bytes(rows: &Table) -> usize {
    use congress_table::Value;
    let cell = |value: &Value| match value {
        Value::Text(text) => text.len() + 3,
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 8,
    };
    rows.rows().map(|row| row.iter().map(cell).sum::<usize>() + 3).sum()
}

/// Takes what was pushed: rows for a table, or a webhook's payload.
async fn push(
    shared: &Arc<Shared>,
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
    let _one_at_a_time = shared.receiving.lock().await;
    let result = running.source.receive_beside(push, Some(shared.clone())).await;
    let unpublished = Unpublished::of(&running.source, &result);
    // The lease may have been lost while the driver worked.
    let fence = shared.lease.fence()?;
    unpublished.stays();
    let store = running.persist.then_some(&fence);
    shared.finish(result, running, &[], true, store).await.map_err(|unfinished| match unfinished {
        Unfinished::Call(error) => bad(format!("datasource {name} did not take it: {error}")),
        Unfinished::Refused(text) => bad(format!("datasource {name} did not take it: {text}")),
        Unfinished::Store(error) => {
            tracing::error!(datasource = %name, %error, "cannot store what was pushed");
            Failure::plain(
                Status::Unavailable,
                format!("the rows of {name} cannot be stored now; push them again later"),
            )
        }
    })
}

/// Runs an action that was asked for by the API in the background; how it went is in the log.
fn execute(shared: Arc<Shared>, running: Running, execution: Execution) {
    let Execution { action, positional, named } = execution;
    let name = shared.row.name.clone();
    let arguments = views::arguments(&positional, &named);
    let shown = action.escape_debug();
    if !shared.execute_actions {
        tracing::info!(
            "Executing {name}:{shown}({arguments}) is off: enable_execute_action is false"
        );
        return;
    }
    tracing::info!("Executing {name}:{shown}({arguments})");
    let what = format!("{name}:{shown}({arguments})");
    shared.errands.clone().run(what, async move {
        let held = Some(shared.clone() as Arc<dyn HeldRows>);
        let result = running.source.execute_beside(&action, &positional, &named, held).await;
        let unpublished = Unpublished::of(&running.source, &result);
        match result {
            Ok(outcome) => match shared.publish(outcome, &running.schema, &[], None).await {
                Ok(()) => unpublished.stays(),
                Err(error) => {
                    tracing::error!(datasource = %name, ?action, %error, "its rows are lost");
                }
            },
            Err(error) => tracing::error!(datasource = %name, ?action, "{error}"),
        }
    });
}
