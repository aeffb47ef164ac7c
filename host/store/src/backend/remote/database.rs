//! Opening a database on a server, and its schema.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::timeout;

use super::{Pool, Remote, System};
use crate::backend::args;
use crate::location::Server;
use crate::manage::{Stamp, Undo};
use crate::schema::{self, Found, Plan, Step};
use crate::{Error, OpenError, Options};

/// How long a change of tables may take.
const CHANGE: Duration = Duration::from_secs(600);

/// A connection for looking at the schema and changing it.
pub(crate) struct Database<S: System> {
    connection: S::Connection,
    place: String,
    wait: Duration,
}

impl<S: System> Remote<S> {
    /// Opens a database that has its tables. One that the original left gets ours beside them, and
    /// one of an older version of this program those that are new; an empty one is refused.
    pub(crate) async fn open(server: &Server, options: &Options) -> Result<Self, OpenError> {
        Self::open_database(server, options, true).await
    }

    /// Opens a database that has tables, and changes nothing.
    pub(crate) async fn open_as_is(server: &Server, options: &Options) -> Result<Self, OpenError> {
        Self::open_database(server, options, false).await
    }

    async fn open_database(
        server: &Server,
        options: &Options,
        apply: bool,
    ) -> Result<Self, OpenError> {
        let mut database = Database::<S>::connect(server, options).await?;
        let found = database.found().await?;
        if found.tables.is_empty() {
            return Err(OpenError::NoSchema { place: server.to_string() });
        }
        let plan = schema::plan(&found, schema::HEAD)
            .map_err(|refusal| refusal.of(&server.to_string()))?;
        if apply {
            database.apply(&plan).await?;
        }
        let packet = database.packet().await?;
        database.close().await;
        let options = Options {
            connect_timeout: server.connect_timeout.unwrap_or(options.connect_timeout),
            ..options.clone()
        };
        let pool = Pool::new(S::connect_options(server), S::setup(options.wait), &options);
        Ok(Self { pool, wait: options.wait, packet })
    }
}

impl<S: System> Database<S> {
    pub(crate) async fn connect(server: &Server, options: &Options) -> Result<Self, OpenError> {
        let place = server.to_string();
        let failed = |source| OpenError::Failed { place: place.clone(), source };
        let limit = server.connect_timeout.unwrap_or(options.connect_timeout);
        let (connect, setup) = (S::connect_options(server), S::setup(options.wait));
        match timeout(limit, S::connect(&connect, &setup)).await {
            Ok(Ok(connection)) => Ok(Self { connection, place, wait: options.wait }),
            // Waiting does not help here.
            Ok(Err(error)) if S::is_refusal(&error) => {
                Err(failed(Error::Unexpected { reason: error.to_string() }))
            }
            Ok(Err(error)) => Err(failed(S::sort(error).1)),
            Err(_) => Err(failed(Error::Unavailable {
                reason: format!("the server does not answer within {limit:?}"),
            })),
        }
    }

    pub(crate) async fn found(&mut self) -> Result<Found, OpenError> {
        let tables = self.texts(S::TABLES).await?.into_iter().flatten().collect();
        let found = Found { tables, version: None, original: None };
        let version = match found.has(schema::VERSION_TABLE) {
            true => self.query(schema::VERSION, |row| row.optional_int(0)).await?,
            false => Vec::new(),
        };
        let original = match found.has(schema::ORIGINAL_TABLE) {
            true => self.texts(schema::ORIGINAL).await?,
            false => Vec::new(),
        };
        Ok(Found {
            version: version.into_iter().flatten().next(),
            original: original.into_iter().flatten().next(),
            ..found
        })
    }

    /// The first column of an answer.
    async fn texts(&mut self, sql: &'static str) -> Result<Vec<Option<String>>, OpenError> {
        self.query(sql, |row| row.optional_text(0)).await
    }

    async fn query<T>(
        &mut self,
        sql: &'static str,
        read: impl Fn(&super::Row) -> crate::Result<T>,
    ) -> Result<Vec<T>, OpenError> {
        let outcome = timeout(self.wait, S::rows(&mut self.connection, sql.into(), &[])).await;
        let rows = self.judge(outcome)?;
        let values = rows.iter().map(read).collect::<crate::Result<Vec<T>>>();
        values.map_err(|source| OpenError::Failed { place: self.place.clone(), source })
    }

    /// What bounds a statement.
    async fn packet(&mut self) -> Result<usize, OpenError> {
        let outcome = timeout(self.wait, S::packet(&mut self.connection)).await;
        self.judge(outcome)
    }

    /// Takes the steps of a plan.
    pub(crate) async fn apply(&mut self, plan: &Plan) -> Result<(), OpenError> {
        if plan.steps.is_empty() {
            return Ok(());
        }
        let connection = &mut self.connection;
        let applying = async {
            if let Some([begin, _]) = S::CHANGE {
                S::run(connection, begin).await?;
            }
            S::run(connection, S::CREATE_VERSION_TABLE).await?;
            for step in &plan.steps {
                if let Some(sql) = S::STEPS.get(step.index).filter(|_| !step.adopted) {
                    S::run(connection, sql).await?;
                }
                record::<S>(connection, step).await?;
            }
            match S::CHANGE {
                Some([_, commit]) => S::run(connection, commit).await,
                None => Ok(()),
            }
        };
        let outcome = timeout(CHANGE, applying).await;
        self.judge(outcome)
    }

    /// Undoes steps.
    pub(crate) async fn undo(&mut self, undo: Undo) -> Result<(), OpenError> {
        let connection = &mut self.connection;
        let undoing = async {
            if let Some([begin, _]) = S::CHANGE {
                S::run(connection, begin).await?;
            }
            for sql in &undo.statements {
                S::run(connection, sql).await?;
            }
            match undo.version {
                Some(version) => {
                    let sql = schema::FORGET_STEPS.into();
                    S::execute(connection, sql, &[version.into()]).await?;
                }
                None => S::run(connection, schema::DROP_VERSION_TABLE).await?,
            }
            match S::CHANGE {
                Some([_, commit]) => S::run(connection, commit).await,
                None => Ok(()),
            }
        };
        let outcome = timeout(CHANGE, undoing).await;
        self.judge(outcome)
    }

    /// Records what the database is said to be.
    pub(crate) async fn stamp(&mut self, stamp: Stamp) -> Result<(), OpenError> {
        let connection = &mut self.connection;
        let stamping = async {
            S::run(connection, S::CREATE_VERSION_TABLE).await?;
            S::run(connection, schema::CREATE_ORIGINAL_TABLE).await?;
            // Dropped with the connection if something goes wrong.
            S::run(connection, S::BEGIN_WRITE).await?;
            S::run(connection, "DELETE FROM congress_schema").await?;
            S::run(connection, "DELETE FROM alembic_version").await?;
            let insert = "INSERT INTO alembic_version (version_num) VALUES (?)";
            S::execute(connection, insert.into(), &[stamp.original.into()]).await?;
            for step in &stamp.steps.steps {
                record::<S>(connection, step).await?;
            }
            S::run(connection, "COMMIT").await
        };
        let outcome = timeout(self.wait, stamping).await;
        self.judge(outcome)
    }

    pub(crate) async fn close(self) {
        let _ = timeout(self.wait, S::close(self.connection)).await;
    }

    fn judge<T>(
        &self,
        outcome: Result<sqlx::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, OpenError> {
        let place = self.place.clone();
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if S::is_denied(&error) => {
                Err(OpenError::Denied { place, reason: error.to_string() })
            }
            Ok(Err(error)) => Err(OpenError::Failed { place, source: S::sort(error).1 }),
            Err(_) => {
                let reason = "the server does not answer in time".into();
                Err(OpenError::Failed { place, source: Error::Unavailable { reason } })
            }
        }
    }
}

async fn record<S: System>(connection: &mut S::Connection, step: &Step) -> sqlx::Result<()> {
    let args = args![step.version(), step.name(), OffsetDateTime::now_utc()];
    S::execute(connection, S::RECORD_STEP.into(), &args).await?;
    Ok(())
}
