//! A loaded driver.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::allowance::Allowance;
use crate::call::{Code, Context, GuestConfig, Job, Reply, run};
use crate::datasource::Configured;
use crate::files::Files;
use crate::host::Inner;
use crate::logging::GuestLog;
use crate::machine::Machine;
use crate::net::TlsTrust;
use crate::session::Session;
use crate::settings::Settings;
use crate::sink::Tables;
use crate::{
    CallError, CallErrorKind, ConfigError, ConfigValues, Datasource, Metadata, State, describe,
};

/// The longest file of certificates.
const CACERT_BYTES: usize = 4 << 20;

/// A driver that is ready for use. Cheap to clone; its datasources keep it alive.
#[derive(Clone)]
pub struct Driver(Arc<Loaded>);

pub(crate) struct Loaded {
    pub(crate) host: Arc<Inner>,
    pub(crate) code: Code,
    pub(crate) metadata: Metadata,
    /// Held so that its place in the cache stays.
    pub(crate) machine: Machine,
    pub(crate) world_version: String,
    pub(crate) path: Option<PathBuf>,
    pub(crate) loaded_at: SystemTime,
    pub(crate) load_time: Duration,
}

impl Driver {
    pub(crate) fn new(loaded: Loaded) -> Self {
        Self(Arc::new(loaded))
    }

    pub(crate) fn loaded(&self) -> &Loaded {
        &self.0
    }

    /// What it says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// SHA-256 of the component's bytes, in lower-case hexadecimal.
    pub fn hash(&self) -> &str {
        &self.0.machine.hash
    }

    /// The version of the contract that it is built for, as `1.0.0`.
    pub fn world_version(&self) -> &str {
        &self.0.world_version
    }

    /// The file that it came from; none if it was loaded from memory.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// When it was loaded.
    pub fn loaded_at(&self) -> SystemTime {
        self.0.loaded_at
    }

    /// How long loading took.
    pub fn load_time(&self) -> Duration {
        self.0.load_time
    }

    /// Whether its compiled code came from the cache.
    pub fn is_from_cache(&self) -> bool {
        self.0.machine.from_cache
    }

    /// Makes a datasource: checks the configuration, asks the driver for its tables, and derives
    /// what it may reach. Uses no network. `state` is what an earlier datasource of that name
    /// left behind, empty for a new one.
    pub async fn datasource(
        &self,
        name: &str,
        config: &ConfigValues,
        state: State,
    ) -> Result<Datasource, ConfigError> {
        self.datasource_hiding(name, config, state, &[]).await
    }

    /// [`Driver::datasource`] for a configuration that has secrets besides those that this driver
    /// declares: an earlier build may have called a field secret that this one does not. The values
    /// of these fields are taken out of errors and log lines too.
    pub async fn datasource_hiding(
        &self,
        name: &str,
        config: &ConfigValues,
        state: State,
        hidden: &[String],
    ) -> Result<Datasource, ConfigError> {
        let Loaded { host, code, metadata, .. } = &*self.0;
        let settings = metadata.check(config)?;
        let files = Arc::new(Files::new(metadata, &settings, &host.config));
        let trust = self.trust(&settings, &files).await?;
        let session = Session::new(metadata, &settings, host.network.clone(), trust)?;
        let (session, scrubber) = (Arc::new(session), settings.scrubber(hidden));
        let limits = &host.config.limits;
        let allowance = Arc::new(Allowance::full());
        let context = |tables| {
            Arc::new(Context {
                log: GuestLog::new(&metadata.id, name, scrubber.clone(), limits),
                scrubber: scrubber.clone(),
                session: session.clone(),
                files: files.clone(),
                tables: Arc::new(Tables::new(tables)),
                allowance: allowance.clone(),
                limits: limits.clone(),
                io: host.io().clone(),
            })
        };

        let config: GuestConfig = settings.for_guest(metadata.session).into();
        let state = Arc::new(state);
        let asked =
            run(host, code, &context(Vec::new()), config.clone(), state.clone(), Job::Tables).await;
        let error = |kind| CallError { driver: metadata.id.clone(), kind };
        let tables = match asked.map_err(error)?.reply {
            Reply::Tables(tables) => tables,
            _ => {
                let text = "an answer to another question".to_owned();
                return Err(error(CallErrorKind::Internal(text)).into());
            }
        };
        let tables = describe::tables(tables, limits)
            .map_err(|error| ConfigError::Tables { driver: metadata.id.clone(), error })?;
        Ok(Datasource::new(Configured {
            driver: self.clone(),
            name: name.to_owned(),
            config,
            context: context(tables),
            state: Mutex::new(state),
        }))
    }

    /// Whom the datasource's connections trust, where its driver has the fields for it:
    /// `insecure`, and `cacert` with certificates in PEM or the path of a file of them.
    async fn trust(
        &self,
        settings: &Settings,
        files: &Arc<Files>,
    ) -> Result<TlsTrust, ConfigError> {
        let metadata = &self.0.metadata;
        if settings.filled("insecure").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(TlsTrust::Anybody);
        }
        let Some(cacert) = settings.filled("cacert") else {
            return Ok(TlsTrust::System);
        };
        let invalid = |problem: String| metadata.invalid("cacert", problem);
        if cacert.contains("-----BEGIN") {
            return TlsTrust::only(cacert.as_bytes()).map_err(invalid);
        }
        let (path, files) = (PathBuf::from(cacert), files.clone());
        let read = self
            .0
            .host
            .io()
            .spawn_blocking(move || files.read_for_host(&path, CACERT_BYTES))
            .await
            .map_err(|_| invalid("could not be read".to_owned()))?;
        let pem = read.map_err(|e| invalid(format!("names a file that cannot be read: {e}")))?;
        TlsTrust::only(&pem).map_err(invalid)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("id", &self.0.metadata.id)
            .field("hash", &self.0.machine.hash)
            .finish_non_exhaustive()
    }
}
