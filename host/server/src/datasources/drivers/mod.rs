//! Drivers: found in folders and in the database, loaded, replaced and removed while the server
//! runs.
//!
//! * The [`Watcher`] knows what files there are and which build of each driver is used, and tells
//!   the manager of every change.
//! * The [`Keeper`] writes drivers into the catalogue in the database and reads what other nodes
//!   have written: see docs/adr/0012.
//! * A [`Loader`] reads, compiles and checks single components, on tasks of their own.

mod builds;
mod catalogue;
mod complete;
mod folder;
mod load;
mod state;
mod watcher;
mod writers;

use std::sync::Arc;

use congress_plugins::{Driver, Host};
use congress_store::Store;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::catalogue::{Keeper, Outbox};
use self::load::Loader;
use self::watcher::{Memory, Watcher};
use crate::lease::Lease;

pub(super) use self::catalogue::CatalogueEntry;
pub use self::folder::DriverFolders;
pub(super) use self::state::DriverState;
pub use self::state::{LoadState, NextBuild};

/// What has changed about drivers.
pub(super) enum DriverEvent {
    /// This build is to be used.
    Use {
        /// The build.
        driver: Driver,
        /// Why a newer one is not used.
        problem: Option<String>,
    },
    /// The driver of this id is gone.
    Removed(String),
    /// All that was there at start has been looked at.
    Settled,
}

/// The drivers of this node, as they come and go.
pub(super) struct Drivers {
    pub(super) events: mpsc::Receiver<DriverEvent>,
    /// How everything stands, for people.
    pub(super) shown: watch::Receiver<Arc<[DriverState]>>,
    tasks: JoinSet<()>,
}

impl Drivers {
    /// Begins to watch; only the holder of the lease enters and removes. `promised` becomes true once all drivers that the catalogue has at start
    /// can be used here, or have failed.
    pub(super) fn watch(
        host: Host,
        store: Store,
        folders: DriverFolders,
        component_bytes: u64,
        promised: watch::Sender<bool>,
        lease: Lease,
        stop: &CancellationToken,
    ) -> Self {
        let (sender, events) = mpsc::channel(16);
        let (reporter, reports) = mpsc::channel(16);
        let (shown_here, shown) = watch::channel(Vec::new().into());
        let outbox = Outbox::default();
        let watcher = Watcher {
            folders,
            loader: Loader::new(host, store.clone(), component_bytes),
            outbox: outbox.clone(),
            reports,
            events: sender,
            shown: shown_here,
            promised,
            memory: Memory::default(),
        };
        let keeper = Keeper::new(store, outbox, reporter, lease);
        let mut tasks = JoinSet::new();
        tasks.spawn(watcher.run(stop.clone()));
        tasks.spawn(keeper.run(stop.clone()));
        Self { events, shown, tasks }
    }

    /// Waits until nothing of it runs any more, after the stop signal.
    pub(super) async fn ended(mut self) {
        drop(self.events);
        while self.tasks.join_next().await.is_some() {}
    }
}
