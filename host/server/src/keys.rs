//! What seals the secrets that this node takes in, and shows them to whoever may see them.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use congress_store::{DatasourceConfig, KeyError, KeyRing, Sealer};
use serde_json::{Map, Value};

/// The key for new secrets, which need not be there yet. A node that runs datasources has it from
/// its start; one that only takes new datasources needs it when the first one has a secret, and an
/// operator may copy it there until then. What opens is read only for a caller who may see secrets,
/// and not kept: only whoever runs datasources has a [`KeyRing`] for long. Cheap to clone.
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

    /// Opens a configuration: as its author posted it.
    pub fn reveal(&self, config: &DatasourceConfig) -> Result<Map<String, Value>, KeyError> {
        KeyRing::open(&self.folder, false)?.reveal(config)
    }
}

impl From<&KeyRing> for Keys {
    fn from(ring: &KeyRing) -> Self {
        Self { folder: ring.folder().into(), sealer: Arc::new(ring.sealer().clone().into()) }
    }
}
