//! What seals the secrets that this node takes in.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use congress_store::{KeyError, KeyRing, Sealer};

/// The key for new secrets, which need not be there yet. A node that runs datasources has it from
/// its start; one that only takes new datasources needs it when the first one has a secret, and an
/// operator may copy it there until then. Nothing opens with it: only whoever runs datasources has
/// a [`KeyRing`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys {
    folder: Arc<Path>,
    sealer: Arc<OnceLock<Sealer>>,
}

impl Keys {
    /// Keys to be read from this folder when they are needed first.
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.into(), sealer: Arc::default() }
    }

    /// What seals. Never makes a key: the datasource node's secrets would not open with it.
    pub fn sealer(&self) -> Result<&Sealer, KeyError> {
        match self.sealer.get() {
            Some(sealer) => Ok(sealer),
            None => {
                let sealer = Sealer::open(&self.folder, false)?;
                Ok(self.sealer.get_or_init(|| sealer))
            }
        }
    }
}

impl From<&KeyRing> for Keys {
    fn from(ring: &KeyRing) -> Self {
        Self { folder: Path::new("").into(), sealer: Arc::new(ring.sealer().clone().into()) }
    }
}
