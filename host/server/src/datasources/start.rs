//! Starting a driver's code with a datasource's configuration.

use std::sync::Arc;
use std::time::Duration;

use congress_bus::Schema;
use congress_plugins::{CallOutcome, Datasource, Driver, State, TableOperation};
use congress_table::Change;

use super::check;
use super::running::Running;
use super::shared::Shared;
use super::status::Progress;

/// After how long code that refused to start is first tried again.
pub(super) const START_PERIOD: Duration = Duration::from_secs(10);

/// Makes a driver ready to run with this datasource's configuration.
pub(super) async fn start(
    shared: Arc<Shared>,
    driver: Driver,
    state: State,
) -> Result<Running, String> {
    let config = shared.keys.reveal(&shared.row.config).map_err(|error| error.to_string())?;
    let field = |name: &str| driver.metadata().config.iter().find(|f| f.name == name);
    let poll_time =
        check::poll_time(&config, field("poll_time").and_then(|field| field.default.as_deref()))?;
    let make = async |state| -> Result<Datasource, String> {
        let sealed = shared.row.config.sealed();
        let made = driver.datasource_hiding(&shared.row.name, &config, state, sealed).await;
        made.map_err(|error| error.to_string())
    };
    let mut source = make(state).await?;
    let (published, is_first) =
        shared.publisher.read(|p| (p.schema().clone(), p.position().sequence == 0));
    let has_changed = !is_first && *published != *source.tables();
    if has_changed {
        // What is kept says what of the old tables is known: the new ones are read from the start.
        source = make(State::default()).await?;
    }
    let lazy = check::lazy_tables(&config);
    let roots: Vec<_> = source.tables().iter().filter(|t| t.root.is_none()).collect();
    let unknown: Vec<_> =
        lazy.iter().filter(|name| !roots.iter().any(|t| t.name == **name)).collect();
    if !unknown.is_empty() {
        let accepted: Vec<_> = roots.iter().map(|table| &table.name).collect();
        return Err(format!(
            "Invalid lazy tables: {unknown:?}. Accepted tables for datasource {} are {accepted:?}",
            shared.row.name
        ));
    }
    let persist = config.get("persist_data").is_some_and(|value| match value {
        serde_json::Value::Bool(persist) => *persist,
        other => other.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")),
    });
    let schema: Schema = source.tables().into();
    let running = Running { source, schema, poll_time, lazy, persist };
    let takes_pushes = running.source.driver().metadata().feed.takes_pushes();
    // Rows of other tables stay, with their schema, until the new code has read its own. Code that
    // never polls has none to wait for.
    if is_first || has_changed && !running.polls() {
        shared.publisher.declare(running.schema.clone(), Change::default());
    }
    if takes_pushes {
        restore(&shared, &running, is_first).await?;
        shared.note(Progress::ready);
    }
    Ok(running)
}

/// Publishes the rows that were pushed before the last restart; tables without any are empty.
async fn restore(shared: &Shared, running: &Running, is_first: bool) -> Result<(), String> {
    let mut outcome = CallOutcome::default();
    if running.persist && is_first {
        let tables = shared
            .store
            .pushed_tables(&shared.row.id)
            .await
            .map_err(|error| format!("cannot restore the rows that were pushed: {error}"))?;
        for (name, rows) in tables {
            let rows = rows.into_iter().collect();
            outcome.tables.push((name.into(), TableOperation::Replace(rows)));
        }
    }
    if shared.publisher.read(|p| *p.schema() == running.schema) {
        let names: Vec<_> =
            running.schema.iter().map(|table| Arc::from(table.name.as_str())).collect();
        let publishing = shared.publish(outcome, &running.schema, &names, None);
        publishing.await.map_err(|error| error.to_string())?;
    }
    Ok(())
}
