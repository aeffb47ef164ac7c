//! Loading one driver: from its file, or from the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use congress_plugins::{Driver, Host};
use congress_store::Store;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;

use super::complete::is_complete;
use super::folder::{Stamp, file_name, stamp};

/// How many MiB of components are held in memory at a time while they are loaded, at least one of
/// them. Compiling goes one by one; others may come from the cache meanwhile.
const IN_MEMORY: u32 = 256;

/// Why nothing was loaded.
#[derive(Debug)]
pub(super) enum NotLoaded {
    /// The file has changed meanwhile; its new state is looked at on its own.
    Changed,
    /// It ends too early.
    Incomplete,
    /// It will not do, however often it is tried. A sentence that names the file.
    Refused(String),
    /// It may work later.
    Unavailable(String),
}

/// Loads drivers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Loader {
    host: Host,
    store: Store,
    /// The largest component, in bytes.
    limit: u64,
    turns: Arc<Semaphore>,
}

impl Loader {
    pub(super) fn new(host: Host, store: Store, limit: u64) -> Self {
        Self { host, store, limit, turns: Arc::new(Semaphore::new(IN_MEMORY as usize)) }
    }

    /// Loads a file that is to be in just this state from beginning to end.
    pub(super) async fn file(
        self,
        path: PathBuf,
        state: Stamp,
        expected: Option<String>,
    ) -> Result<Driver, NotLoaded> {
        let _turn = self.turns.acquire_many(weight(state.length)).await;
        let name = file_name(&path);
        if state.length > self.limit {
            return Err(NotLoaded::Refused(format!(
                "driver file {name} is {} bytes long, but at most {} are allowed",
                state.length, self.limit
            )));
        }
        let bytes = read(&path, state.length).await?;
        if bytes.len() as u64 != state.length {
            return Err(NotLoaded::Changed);
        }
        if !is_complete(&bytes) {
            return Err(NotLoaded::Incomplete);
        }
        let loaded = self.host.load_bytes(&name, bytes).await;
        // Compiling takes its time: only now is it known that nobody went on writing.
        if stamp(&path).await.ok() != Some(state) {
            return Err(NotLoaded::Changed);
        }
        let driver = loaded.map_err(|error| NotLoaded::Refused(error.to_string()))?;
        let id = &driver.metadata().id;
        match expected {
            Some(expected) if expected != *id => Err(NotLoaded::Refused(format!(
                "driver file {name} is driver '{id}', but custom_driver_endpoints calls it \
                 '{expected}'; correct the name there"
            ))),
            _ => Ok(driver),
        }
    }

    /// Loads what the catalogue has under an id.
    pub(super) async fn stored(self, id: String, hash: String) -> Result<Driver, NotLoaded> {
        use congress_store::Error;
        // How long it is shows once it is here.
        let _turn = self.turns.acquire_many(weight(self.limit)).await;
        // The store gives no bytes that do not have this hash.
        let bytes = self.store.driver_bytes(&hash).await.map_err(|error| match error {
            Error::Corrupt { .. } | Error::NotFound { .. } => {
                tracing::error!(driver = %id, %error, "a driver's component in the database is damaged");
                NotLoaded::Refused(format!(
                    "the component of driver '{id}' in the database is damaged; put its file into \
                     a drivers folder"
                ))
            }
            error => {
                tracing::warn!(driver = %id, %error, "cannot fetch a driver from the database");
                NotLoaded::Unavailable(format!(
                    "the component of driver '{id}' cannot be read from the database"
                ))
            }
        })?;
        if bytes.len() as u64 > self.limit {
            return Err(NotLoaded::Refused(format!(
                "the component of driver '{id}' in the database is {} bytes long, but at most {} \
                 are allowed",
                bytes.len(),
                self.limit
            )));
        }
        let name = format!("of driver '{id}' in the database");
        let driver = self
            .host
            .load_bytes(&name, bytes)
            .await
            .map_err(|error| NotLoaded::Refused(error.to_string()))?;
        if driver.metadata().id != id {
            return Err(NotLoaded::Refused(format!(
                "the component of driver '{id}' in the database is driver '{}'",
                driver.metadata().id
            )));
        }
        Ok(driver)
    }
}

/// What a component takes of [`IN_MEMORY`].
fn weight(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(IN_MEMORY).clamp(1, IN_MEMORY)
}

/// Reads a file, at most one byte beyond the length that it is to have.
pub(super) async fn read(path: &Path, length: u64) -> Result<Bytes, NotLoaded> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => NotLoaded::Changed,
        _ => NotLoaded::Refused(format!("driver file {} cannot be read: {error}", file_name(path))),
    };
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    file.take(length.saturating_add(1)).read_to_end(&mut bytes).await.map_err(failed)?;
    Ok(bytes.into())
}
