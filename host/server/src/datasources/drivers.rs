//! The drivers' folders: what is in them, loaded, and what changes while the server runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use congress_plugins::{Driver, Host};
use congress_store::Store;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::views::CatalogueEntry;

/// How often the folders are looked at.
const SCAN_PERIOD: Duration = Duration::from_millis(500);

/// A file that has changed less than this ago may still be being written.
const SETTLED: Duration = Duration::from_millis(400);

/// Where drivers come from.
#[derive(Clone, Debug, Default)]
pub struct DriverFolders {
    /// Folders whose `*.wasm` files are loaded. Of two drivers with one id the first one stays.
    pub folders: Vec<PathBuf>,
    /// Single files besides, with the ids that their drivers must have.
    pub files: Vec<(String, PathBuf)>,
    /// Drivers that are not to be used, by id.
    pub disabled: BTreeSet<String>,
}

/// What happened in the folders.
pub(super) enum DriverEvent {
    /// A driver is there, or a new build of one.
    Loaded(Driver),
    /// The file of a driver is gone.
    Removed(String),
    /// All that was there at start has been looked at.
    Settled,
}

/// What a file looks like from outside; a change means that it has to be loaded anew.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

/// One file that was seen.
struct Seen {
    stamp: Stamp,
    /// Whether loading it in this state was tried; the log says what came of it.
    tried: bool,
}

/// Watches the folders and loads what is in them, until told to stop.
pub(super) struct Watcher {
    host: Host,
    store: Store,
    folders: DriverFolders,
    /// The largest component that is loaded, in bytes.
    component_bytes: u64,
    events: mpsc::Sender<DriverEvent>,
    seen: BTreeMap<PathBuf, Seen>,
    /// Which file each driver came from.
    origins: BTreeMap<String, PathBuf>,
    /// Folders that could not be read when last looked at, to say so once.
    unreadable: BTreeSet<PathBuf>,
}

impl Watcher {
    pub(super) fn new(
        host: Host,
        store: Store,
        folders: DriverFolders,
        component_bytes: u64,
        events: mpsc::Sender<DriverEvent>,
    ) -> Self {
        Self {
            host,
            store,
            folders,
            component_bytes,
            events,
            seen: BTreeMap::new(),
            origins: BTreeMap::new(),
            unreadable: BTreeSet::new(),
        }
    }

    /// Looks at the folders again and again.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut settled = false;
        loop {
            let pending = tokio::select! {
                () = stop.cancelled() => return,
                pending = self.scan() => pending,
            };
            if !settled && !pending {
                settled = true;
                if self.events.send(DriverEvent::Settled).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SCAN_PERIOD) => {}
            }
        }
    }

    /// Looks at the folders once. True if a file may still be being written.
    async fn scan(&mut self) -> bool {
        let files = self.list().await;
        let gone: Vec<_> =
            self.seen.keys().filter(|path| !files.contains_key(*path)).cloned().collect();
        for path in gone {
            self.forget(&path).await;
        }
        let mut pending = false;
        for (path, stamp) in files {
            let known = self.seen.get(&path);
            let same = known.is_some_and(|seen| seen.stamp == stamp);
            if same && known.is_some_and(|seen| seen.tried) {
                continue;
            }
            // Seen twice in the same state, or old enough: nobody is writing it any more.
            let age = stamp.modified.and_then(|at| SystemTime::now().duration_since(at).ok());
            if !same && age.is_none_or(|age| age < SETTLED) {
                // A driver that is being replaced stays until its successor is complete.
                self.seen.insert(path, Seen { stamp, tried: false });
                pending = true;
                continue;
            }
            if let Err(reason) = self.load(&path).await {
                // Whatever was loaded from this file before goes on running.
                tracing::error!(file = %path.display(), "{reason}");
            }
            self.seen.insert(path, Seen { stamp, tried: true });
        }
        pending
    }

    /// All component files with their stamps.
    async fn list(&mut self) -> BTreeMap<PathBuf, Stamp> {
        let mut files = BTreeMap::new();
        for folder in &self.folders.folders {
            match component_files(folder).await {
                Ok(found) => {
                    self.unreadable.remove(folder);
                    files.extend(found);
                }
                Err(error) => {
                    if self.unreadable.insert(folder.clone()) {
                        tracing::warn!(
                            folder = %folder.display(), %error,
                            "the drivers folder cannot be read; drivers in it are not available"
                        );
                    }
                }
            }
        }
        for (_, file) in &self.folders.files {
            if let Some(stamp) = stamp_of(file).await {
                files.insert(file.clone(), stamp);
            }
        }
        files
    }

    /// Loads a file and tells of it. The error is for the log.
    async fn load(&mut self, path: &Path) -> Result<(), String> {
        let name = path.display().to_string();
        let bytes = read(path, self.component_bytes).await?;
        let driver =
            self.host.load_bytes(&name, bytes.clone()).await.map_err(|error| error.to_string())?;
        let id = driver.metadata().id.clone();
        if let Some((expected, _)) =
            self.folders.files.iter().find(|(expected, file)| file == path && *expected != id)
        {
            return Err(format!(
                "driver {name} is '{id}', but custom_driver_endpoints calls it '{expected}'; \
                 correct the name there"
            ));
        }
        if self.folders.disabled.contains(&id) {
            return Err(format!("driver '{id}' in {name} is disabled by disabled_drivers"));
        }
        if let Some(other) = self.origins.get(&id)
            && other != path
        {
            return Err(format!(
                "driver '{id}' in {name} is not used: {} has the same id; remove one of them",
                other.display()
            ));
        }
        self.enter(&driver, &bytes).await;
        tracing::info!(
            driver = %id, version = %driver.metadata().version, world = %driver.world_version(),
            hash = %driver.hash(), file = %name, ms = driver.load_time().as_millis(), cached = driver.is_from_cache(),
            "driver loaded"
        );
        // One file can change its mind about what it is.
        self.origins.retain(|_, origin| origin != path);
        self.origins.insert(id, path.to_owned());
        // Nobody listens only when the server stops.
        let _ = self.events.send(DriverEvent::Loaded(driver)).await;
        Ok(())
    }

    /// Enters a driver into the catalogue, from which all nodes learn of it.
    async fn enter(&self, driver: &Driver, bytes: &[u8]) {
        let entry = CatalogueEntry {
            metadata: driver.metadata().clone(),
            world: driver.world_version().to_owned(),
        };
        let id = &driver.metadata().id;
        let entered = match serde_json::to_value(&entry) {
            Ok(json) => self.store.put_driver(id, &json, bytes).await.map(drop),
            Err(error) => {
                tracing::error!(driver = %id, %error, "cannot describe the driver");
                return;
            }
        };
        if let Err(error) = entered {
            tracing::error!(driver = %id, %error, "cannot enter the driver into the catalogue");
        }
    }

    async fn forget(&mut self, path: &Path) {
        self.seen.remove(path);
        let Some(id) =
            self.origins.iter().find(|(_, origin)| *origin == path).map(|(id, _)| id.clone())
        else {
            return;
        };
        self.origins.remove(&id);
        // A file that was refused because its driver was there already may be right now.
        for (other, seen) in &mut self.seen {
            seen.tried &= self.origins.values().any(|origin| origin == other);
        }
        tracing::warn!(
            driver = %id, file = %path.display(),
            "the driver's file is gone; its datasources stop until it is back"
        );
        if let Err(error) = self.store.remove_driver(&id).await {
            tracing::error!(driver = %id, %error, "cannot remove the driver from the catalogue");
        }
        let _ = self.events.send(DriverEvent::Removed(id)).await;
    }
}

async fn component_files(folder: &Path) -> std::io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut files = BTreeMap::new();
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden
            && path.extension().is_some_and(|extension| extension == "wasm")
            && let Some(stamp) = stamp_of(&path).await
        {
            files.insert(path, stamp);
        }
    }
    Ok(files)
}

async fn stamp_of(path: &Path) -> Option<Stamp> {
    let metadata = tokio::fs::metadata(path).await.ok().filter(std::fs::Metadata::is_file)?;
    Some(Stamp { length: metadata.len(), modified: metadata.modified().ok() })
}

/// Reads a file that may not be larger than `limit`.
async fn read(path: &Path, limit: u64) -> Result<Bytes, String> {
    let cannot = |error: std::io::Error| format!("cannot read driver {}: {error}", path.display());
    let length = tokio::fs::metadata(path).await.map_err(cannot)?.len();
    if length > limit {
        return Err(format!(
            "driver {} is {length} bytes long, but at most {limit} are allowed",
            path.display()
        ));
    }
    tokio::fs::read(path).await.map(Bytes::from).map_err(cannot)
}
