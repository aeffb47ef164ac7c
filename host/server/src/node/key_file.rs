//! The key file, read again when the operator says so: a rotation needs no restart.

use std::path::PathBuf;

use congress_store::{KeyRing, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::datasources::wrong_key;
use crate::keys::Keys;

/// What this node has of the key file.
pub(super) struct KeyFile {
    pub(super) folder: PathBuf,
    pub(super) store: Store,
    /// What opens the secrets of datasources, on a node that runs them.
    pub(super) opening: Option<KeyRing>,
    /// What seals new ones.
    pub(super) sealing: Keys,
}

impl KeyFile {
    /// Reads it again at each change of `reread`, until told to stop. A file that is no good changes
    /// nothing.
    pub(super) async fn follow(self, mut reread: watch::Receiver<()>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = reread.changed() => if changed.is_err() { return },
            }
            match self.read().await {
                Ok(Some(count)) => tracing::info!(keys = count, "read the key file again"),
                Ok(None) => {}
                Err(reason) => tracing::error!("the keys stay as they were: {reason}"),
            }
        }
    }

    /// How many keys there are now, on a node that opens secrets.
    async fn read(&self) -> anyhow::Result<Option<usize>> {
        let Some(opening) = &self.opening else {
            self.sealing.reread()?;
            return Ok(None);
        };
        let new = KeyRing::open(&self.folder, false)?;
        if let Some(reason) = wrong_key(&new, &self.store.datasources().await?) {
            anyhow::bail!("{}: {reason}", self.folder.display());
        }
        opening.replace(&new);
        Ok(Some(opening.count()))
    }
}
