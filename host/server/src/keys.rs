//! The keys of stored secrets, as this node has them.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use congress_store::{KeyError, KeyRing};

/// Keys that need not be there yet. A node that runs datasources has them from its start; one that
/// only takes new datasources needs them when the first one has a secret, and an operator may copy
/// them there until then. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys {
    folder: Arc<Path>,
    ring: Arc<OnceLock<KeyRing>>,
}

impl Keys {
    /// Keys to be read from this folder when they are needed first.
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.into(), ring: Arc::default() }
    }

    /// The keys. Never makes one: the datasource node's secrets would not open with it.
    pub fn ring(&self) -> Result<&KeyRing, KeyError> {
        match self.ring.get() {
            Some(ring) => Ok(ring),
            None => {
                let ring = KeyRing::open(&self.folder, false)?;
                Ok(self.ring.get_or_init(|| ring))
            }
        }
    }
}

impl From<KeyRing> for Keys {
    fn from(ring: KeyRing) -> Self {
        Self { folder: Path::new("").into(), ring: Arc::new(ring.into()) }
    }
}
