//! The calls that a running datasource answers.

use std::sync::Arc;

use congress_plugins::Push;
use tokio::sync::watch;

use super::running::Running;
use super::shared::Shared;
use super::task::Phase;
use super::views;
use super::wire::{DatasourceCall, Execution, reply};
use crate::failure::{Answer, Failure, Status};

/// Answers a call, as the bytes of its reply. While code is starting, calls for it wait.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    mut phase: watch::Receiver<Phase>,
    call: DatasourceCall,
) -> bytes::Bytes {
    if let DatasourceCall::Status = call {
        return reply(&Answer::Ok(shared.status()));
    }
    let Some(running) = settled(&mut phase).await else {
        let reason = shared.last_error();
        return reply(&Answer::<()>::Err(Failure::plain(
            Status::Unavailable,
            format!("datasource '{}' is not running: {reason}", shared.row.name),
        )));
    };
    match call {
        DatasourceCall::Status | DatasourceCall::Refresh => reply(&Answer::Ok(())),
        DatasourceCall::Schema => {
            // That of the rows that are published, which code that has just started has not read.
            let schema = shared.publisher.read(|p| p.schema().clone());
            reply(&Answer::Ok(schema.iter().map(|table| (**table).clone()).collect::<Vec<_>>()))
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

/// The code that runs, once none is starting; none if there is none.
async fn settled(phase: &mut watch::Receiver<Phase>) -> Option<Running> {
    let phase = phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await.ok()?;
    match &*phase {
        Phase::Running(running) => Some(running.clone()),
        _ => None,
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
        .finish(result, running, &[], true)
        .await
        .map_err(|error| bad(format!("datasource {name} did not take it: {error}")))?;
    if running.persist {
        for table in touched {
            let rows: Vec<_> = shared.publisher.read(|p| {
                p.table(&table).map(|table| table.rows().cloned().collect()).unwrap_or_default()
            });
            shared.store.put_pushed_rows(&shared.row.id, &table, &rows, None).await.map_err(|error| {
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
                shared.publish(outcome, &running.schema, &[]).await;
            }
            Err(error) => tracing::error!(datasource = %name, %action, "{error}"),
        }
    });
}
