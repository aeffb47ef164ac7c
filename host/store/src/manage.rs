//! Looking at the schema of a database and bringing it to a version, for the operator's tool.
//!
//! The history is one line: the original's revisions, by the names that its own tool gave them,
//! then ours. Ours add tables of our own (`congress_…`) beside the original's, so the original can
//! be run again on a database of any version; [`downgrade_schema`] takes ours away again.

use crate::backend::mysql::MySql;
use crate::backend::postgres::Postgres;
use crate::backend::remote::{Database, System};
use crate::backend::sqlite::{self, Sqlite};
use crate::location::Server;
use crate::schema::{self, Found, ORIGINAL_HEAD, Plan, Step};
use crate::{Error, Location, OpenError, Options, Result};

/// A revision of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaRevision {
    /// Its name.
    pub name: &'static str,
    /// What it brought.
    pub text: &'static str,
    /// Whether it is one of ours; otherwise it is one of the original's.
    pub ours: bool,
}

const fn original(name: &'static str, text: &'static str) -> SchemaRevision {
    SchemaRevision { name, text, ours: false }
}

const fn ours(name: &'static str, text: &'static str) -> SchemaRevision {
    SchemaRevision { name, text, ours: true }
}

/// All revisions, oldest first. The last is the newest ("head").
pub const SCHEMA_HISTORY: [SchemaRevision; 9] = [
    original("initial_db", "rules"),
    original("532e9e1f0f3a", "policies"),
    original("56e86d51ec62", "names of rules"),
    original("3cee191c4f84", "datasources"),
    original("01e78af70b91", "persisted rows of datasources"),
    original("aabe895bbd4d", "unique names of policies"),
    original(ORIGINAL_HEAD, "policy library"),
    ours("congress0002", "revision counter, catalogue of drivers"),
    ours("congress0003", "leases, ledger of actions"),
];

/// Where the original's last revision is in [`SCHEMA_HISTORY`]: our step 1.
const BASE: usize = SCHEMA_HISTORY.len() - schema::STEPS.len();

/// The place of a revision in [`SCHEMA_HISTORY`], by its name or `head`.
pub fn schema_revision(name: &str) -> Option<usize> {
    match name {
        "head" | "heads" => Some(SCHEMA_HISTORY.len() - 1),
        name => SCHEMA_HISTORY.iter().position(|revision| revision.name == name),
    }
}

/// Where in [`SCHEMA_HISTORY`] a database is; none if it has no schema, or is not there (an SQLite
/// file is not made).
pub async fn current_schema(
    location: &Location,
    options: &Options,
) -> Result<Option<usize>, OpenError> {
    let found = match location {
        Location::SqliteMemory => return Ok(None),
        Location::SqliteFile(path) => Sqlite::look(path, options).await?,
        Location::MySql(server) => Some(look::<MySql>(server, options).await?),
        Location::Postgres(server) => Some(look::<Postgres>(server, options).await?),
    };
    found.map_or(Ok(None), |found| position(&found, &location.to_string()))
}

/// Takes the steps that a database lacks up to a place in [`SCHEMA_HISTORY`]; the places of those
/// that were taken. An older database of the original is refused, for the original's own tool has
/// to bring it up first.
pub async fn upgrade_schema(
    location: &Location,
    options: &Options,
    to: usize,
) -> Result<Vec<usize>, OpenError> {
    let to = version(to);
    let steps = match location {
        Location::SqliteMemory => Vec::new(),
        Location::SqliteFile(path) => Sqlite::upgrade(path, options, to).await?,
        Location::MySql(server) => upgrade::<MySql>(server, options, to).await?,
        Location::Postgres(server) => upgrade::<Postgres>(server, options, to).await?,
    };
    Ok(steps.iter().filter(|step| !step.adopted).map(|step| BASE + step.index).collect())
}

/// Undoes the steps that a database has taken above a place in [`SCHEMA_HISTORY`], or all of them
/// if there is none: the tables that they made go, with what is in them. The places of those that
/// were undone, newest first. At the original's last revision the database is again as the
/// original has it; older ones are not undone here, and are refused by their caller.
pub async fn downgrade_schema(
    location: &Location,
    options: &Options,
    to: Option<usize>,
) -> Result<Vec<usize>, OpenError> {
    let Some(at) = current_schema(location, options).await? else { return Ok(Vec::new()) };
    let first = to.map_or(BASE, |to| (to + 1).max(BASE));
    let undone: Vec<usize> = (first..=at).rev().collect();
    let undo = Undo {
        statements: undone.iter().flat_map(|place| undoing(*place).iter().copied()).collect(),
        version: to.map(version).filter(|version| *version > 1),
        original: to.is_some(),
    };
    match location {
        _ if undone.is_empty() => {}
        Location::SqliteMemory => {}
        Location::SqliteFile(path) => Sqlite::undo(path, options, undo).await?,
        Location::MySql(server) => downgrade::<MySql>(server, options, undo).await?,
        Location::Postgres(server) => downgrade::<Postgres>(server, options, undo).await?,
    }
    Ok(undone)
}

/// Records that a database is at a place in [`SCHEMA_HISTORY`], whatever tables it has.
pub async fn stamp_schema(
    location: &Location,
    options: &Options,
    at: usize,
) -> Result<(), OpenError> {
    let steps = (0..schema::STEPS.len())
        .filter(|index| BASE + index <= at)
        .map(|index| Step { index, adopted: true })
        .collect();
    let stamp = Stamp {
        original: SCHEMA_HISTORY.get(at.min(BASE)).map_or("", |revision| revision.name),
        steps: Plan { steps },
    };
    match location {
        Location::SqliteMemory => Ok(()),
        Location::SqliteFile(path) => Sqlite::stamp(path, options, stamp).await,
        Location::MySql(server) => stamp_remote::<MySql>(server, options, stamp).await,
        Location::Postgres(server) => stamp_remote::<Postgres>(server, options, stamp).await,
    }
}

async fn look<S: System>(server: &Server, options: &Options) -> Result<Found, OpenError> {
    let mut database = Database::<S>::connect(server, options).await?;
    let found = database.found().await?;
    database.close().await;
    Ok(found)
}

async fn upgrade<S: System>(
    server: &Server,
    options: &Options,
    to: i64,
) -> Result<Vec<Step>, OpenError> {
    let mut database = Database::<S>::connect(server, options).await?;
    let found = database.found().await?;
    let plan = schema::plan(&found, to).map_err(|refusal| refusal.of(&server.to_string()))?;
    database.apply(&plan).await?;
    database.close().await;
    Ok(plan.steps)
}

async fn downgrade<S: System>(
    server: &Server,
    options: &Options,
    undo: Undo,
) -> Result<(), OpenError> {
    let mut database = Database::<S>::connect(server, options).await?;
    let undone = database.undo(undo).await;
    database.close().await;
    undone
}

async fn stamp_remote<S: System>(
    server: &Server,
    options: &Options,
    stamp: Stamp,
) -> Result<(), OpenError> {
    let mut database = Database::<S>::connect(server, options).await?;
    let stamped = database.stamp(stamp).await;
    database.close().await;
    stamped
}

/// The SQL that [`upgrade_schema`] runs to get from one place in [`SCHEMA_HISTORY`] (or nothing)
/// to another. Nothing for steps of the original that are not made here.
pub fn schema_sql(location: &Location, from: Option<usize>, to: usize) -> Vec<&'static str> {
    let steps: &[&'static str] = match location {
        Location::SqliteMemory | Location::SqliteFile(_) => &sqlite::STEPS,
        Location::MySql(_) => &MySql::STEPS,
        Location::Postgres(_) => &Postgres::STEPS,
    };
    let first = from.map_or(0, |from| (from + 1).saturating_sub(BASE));
    let after = (to + 1).saturating_sub(BASE);
    steps.get(first..after).unwrap_or_default().to_vec()
}

/// The SQL that [`downgrade_schema`] runs to undo the steps above a place, or all: not what it
/// records.
pub fn downgrade_sql(from: usize, to: Option<usize>) -> Vec<&'static str> {
    let first = to.map_or(BASE, |to| (to + 1).max(BASE));
    let mut statements: Vec<_> =
        (first..=from).rev().flat_map(|place| undoing(place).iter().copied()).collect();
    if !statements.is_empty() && to.is_none_or(|to| to <= BASE) {
        statements.push(schema::DROP_VERSION_TABLE);
    }
    statements
}

/// The SQL that [`stamp_schema`] runs.
pub fn stamp_sql(location: &Location, at: usize) -> Vec<String> {
    let create = match location {
        Location::Postgres(_) => Postgres::CREATE_VERSION_TABLE,
        _ => schema::CREATE_VERSION_TABLE,
    };
    let original = SCHEMA_HISTORY.get(at.min(BASE)).map_or("", |revision| revision.name);
    let mut statements = vec![
        create.to_owned(),
        schema::CREATE_ORIGINAL_TABLE.to_owned(),
        "DELETE FROM congress_schema".to_owned(),
        "DELETE FROM alembic_version".to_owned(),
        format!("INSERT INTO alembic_version (version_num) VALUES ('{original}')"),
    ];
    let steps = schema::STEPS.iter().enumerate().filter(|(index, _)| BASE + index <= at);
    statements.extend(steps.map(|(index, name)| {
        format!(
            "INSERT INTO congress_schema (version, name, applied_at) \
             VALUES ({}, '{name}', CURRENT_TIMESTAMP)",
            index + 1
        )
    }));
    statements
}

/// What undoes the step at a place.
fn undoing(place: usize) -> &'static [&'static str] {
    place.checked_sub(BASE).and_then(|step| schema::UNDO.get(step)).copied().unwrap_or_default()
}

/// How to undo steps.
pub(crate) struct Undo {
    pub(crate) statements: Vec<&'static str>,
    /// The version that is left; none if no table of ours is.
    pub(crate) version: Option<i64>,
    /// Whether the original's tables stay, and so its record of them.
    pub(crate) original: bool,
}

/// What to record: the original's revision, and our steps.
pub(crate) struct Stamp {
    pub(crate) original: &'static str,
    pub(crate) steps: Plan,
}

/// The version of our own for a place in the history.
fn version(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX) - i64::try_from(BASE).unwrap_or(0) + 1
}

fn position(found: &Found, place: &str) -> Result<Option<usize>, OpenError> {
    if let Some(version) = found.version {
        let newest = usize::try_from(version).unwrap_or(usize::MAX);
        if newest > schema::STEPS.len() {
            let known = schema::HEAD;
            return Err(OpenError::Newer { place: place.to_owned(), found: version, known });
        }
        return Ok(Some(BASE + newest - 1));
    }
    let Some(original) = &found.original else { return Ok(None) };
    schema_revision(original).map(Some).ok_or_else(|| OpenError::Failed {
        place: place.to_owned(),
        source: Error::Corrupt { what: format!("its revision '{original}' is not known") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_ends_where_the_steps_do() {
        assert_eq!(SCHEMA_HISTORY[BASE].name, ORIGINAL_HEAD);
        assert_eq!(version(SCHEMA_HISTORY.len() - 1), schema::HEAD);
        assert_eq!(schema_revision("head"), Some(SCHEMA_HISTORY.len() - 1));
        assert_eq!(schema_revision("c0125080d572"), Some(BASE));
        assert_eq!(schema_revision("nothing"), None);
        assert!(SCHEMA_HISTORY.iter().skip(BASE + 1).all(|revision| revision.ours));
    }

    #[test]
    fn the_sql_of_a_range() {
        let file = Location::SqliteFile("x".into());
        let head = SCHEMA_HISTORY.len() - 1;
        assert_eq!(schema_sql(&file, None, head).len(), 3);
        assert_eq!(schema_sql(&file, Some(BASE), head).len(), 2);
        assert_eq!(schema_sql(&file, Some(2), BASE).len(), 1);
        assert!(schema_sql(&file, Some(head), head).is_empty());
        assert!(schema_sql(&file, None, 2).is_empty());
    }
}
