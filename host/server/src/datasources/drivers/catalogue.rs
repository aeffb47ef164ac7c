//! The catalogue of drivers in the database: what this node enters and removes, and what it finds
//! there.
//!
//! It works on its own, so that a database that is away holds up no driver: what could not be
//! written is tried again, and drivers run meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use congress_plugins::{Driver, Metadata};
use congress_store::{Error, Revision, Store, component_hash};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::folder::stamp;
use super::load::read;
use crate::lease::Lease;

/// How often the database is asked whether its catalogue has changed, and what could not be
/// written is tried again.
const PERIOD: Duration = Duration::from_secs(2);

/// A driver in the catalogue: what listing, checking and hiding need, on every node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in super::super) struct CatalogueEntry {
    /// What the driver says of itself.
    pub(in super::super) metadata: Metadata,
    /// The version of the contract that it is built for.
    pub(in super::super) world: String,
    /// The file that it was entered from.
    #[serde(default)]
    pub(in super::super) origin: Option<Origin>,
}

/// A file on some host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Origin {
    /// The host's name.
    pub(in super::super) host: String,
    /// The file.
    pub(in super::super) path: PathBuf,
}

impl Origin {
    /// Whether the file is, or was, on this host.
    pub(super) fn is_here(&self) -> bool {
        self.host == host_name()
    }
}

/// This host's name.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What is to be written.
pub(super) enum Entry {
    /// A driver was loaded from this file.
    Enter {
        /// The driver.
        driver: Driver,
        /// Its file.
        path: PathBuf,
    },
    /// The driver is gone.
    Remove,
}

/// What is still to be written: at most one thing per driver, the latest.
#[derive(Clone, Default)]
pub(super) struct Outbox(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    entries: Mutex<BTreeMap<String, Entry>>,
    news: Notify,
}

impl Outbox {
    /// Has something written as soon as may be.
    pub(super) fn put(&self, id: &str, entry: Entry) {
        self.lock().insert(id.to_owned(), entry);
        self.0.news.notify_one();
    }

    fn take(&self) -> Option<(String, Entry)> {
        self.lock().pop_first()
    }

    /// Puts back what could not be written, unless there is something newer.
    fn put_back(&self, id: String, entry: Entry) {
        self.lock().entry(id).or_insert(entry);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was found or done.
pub(super) enum Report {
    /// All of the catalogue, after it has changed: id, hash, and where it came from.
    Catalogue(Vec<Listed>),
    /// The driver of this id is not in the catalogue any more.
    Removed(String),
    /// The database cannot be read at present.
    Unavailable,
}

/// A driver that the catalogue has.
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) hash: String,
    pub(super) origin: Option<Origin>,
}

/// Keeps the catalogue, until told to stop.
pub(super) struct Keeper {
    store: Store,
    outbox: Outbox,
    reports: mpsc::Sender<Report>,
    /// Only its holder writes: a standby's files, perhaps of another version, wait until they count.
    lease: Lease,
    /// The revision that was read last.
    seen: Option<Revision>,
    /// The database could not be used when last tried, to say so once.
    away: bool,
}

impl Keeper {
    pub(super) fn new(
        store: Store,
        outbox: Outbox,
        reports: mpsc::Sender<Report>,
        lease: Lease,
    ) -> Self {
        Self { store, outbox, reports, lease, seen: None, away: false }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut timer = tokio::time::interval(PERIOD);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let outbox = self.outbox.clone();
        let mut status = self.lease.status();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = outbox.0.news.notified() => {}
                Ok(()) = status.changed() => {}
                _ = timer.tick() => {}
            }
            if self.work().await.is_none() {
                return;
            }
        }
    }

    /// Writes what is to be written, and reports what has changed. None if nobody listens.
    async fn work(&mut self) -> Option<()> {
        while self.lease.fence().is_ok()
            && let Some((id, entry)) = self.outbox.take()
        {
            let written = match &entry {
                Entry::Enter { driver, path } => self.enter(driver, path.clone()).await,
                Entry::Remove => match self.store.remove_driver(&id).await {
                    Ok(_) | Err(Error::NotFound { .. }) => {
                        self.reports.send(Report::Removed(id.clone())).await.ok()?;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = written {
                self.missed(&error);
                self.outbox.put_back(id, entry);
                return self.reports.send(Report::Unavailable).await.ok();
            }
        }
        match self.changed().await {
            Ok(Some(listed)) => {
                self.away = false;
                self.reports.send(Report::Catalogue(listed)).await.ok()
            }
            Ok(None) => {
                self.away = false;
                Some(())
            }
            Err(error) => {
                self.missed(&error);
                self.reports.send(Report::Unavailable).await.ok()
            }
        }
    }

    fn missed(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.away, true) {
            tracing::error!(
                %error,
                "cannot use the catalogue of drivers in the database; drivers run on, and it is \
                 tried again"
            );
        }
    }

    /// The catalogue, if it may have changed since it was read last.
    async fn changed(&mut self) -> Result<Option<Vec<Listed>>, Error> {
        let revision = self.store.revision().await?;
        if self.seen == Some(revision) {
            return Ok(None);
        }
        let drivers = self.store.drivers().await?;
        self.seen = Some(revision);
        let listed = drivers.into_iter().map(|driver| {
            let entry = serde_json::from_value::<CatalogueEntry>(driver.metadata).ok();
            Listed {
                id: driver.id,
                hash: driver.hash,
                origin: entry.and_then(|entry| entry.origin),
            }
        });
        Ok(Some(listed.collect()))
    }

    /// Enters a driver, from which all nodes learn of it.
    async fn enter(&self, driver: &Driver, path: PathBuf) -> Result<(), Error> {
        let id = &driver.metadata().id;
        let entry = CatalogueEntry {
            metadata: driver.metadata().clone(),
            world: driver.world_version().to_owned(),
            origin: Some(Origin { host: host_name(), path: path.clone() }),
        };
        let json = match serde_json::to_value(&entry) {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(driver = %id, %error, "the driver cannot be entered into the catalogue");
                return Ok(());
            }
        };
        match self.store.driver(id).await {
            Ok(known) if known.hash == driver.hash() && known.metadata == json => return Ok(()),
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        // A file that is another one by now is looked at, and entered, on its own.
        let Ok(state) = stamp(&path).await else { return Ok(()) };
        let Ok(bytes) = read(&path, state.length).await else { return Ok(()) };
        if component_hash(&bytes) != driver.hash() {
            return Ok(());
        }
        self.store.put_driver(id, &json, &bytes).await.map(drop)
    }
}
