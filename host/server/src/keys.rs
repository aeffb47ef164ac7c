//! What seals the secrets that this node takes in, and shows them to whoever may see them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use congress_store::{DatasourceConfig, KeyError, KeyRing, Sealer};
use serde_json::{Map, Value};

/// The key for new secrets, which need not be there yet. A node that runs datasources has it from
/// its start; one that only takes new datasources needs it when the first one has a secret, and an
/// operator may copy it there until then. What opens is read only for a caller who may see secrets,
/// and not kept: only whoever runs datasources has a [`KeyRing`] for long. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys {
    folder: Arc<Path>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// The keys of the node's datasources.
    Ring(KeyRing),
    /// What seals, once it has been read.
    File(Arc<Mutex<Option<Sealer>>>),
}

impl Keys {
    /// Keys to be read from this folder when they are needed first.
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.into(), source: Source::File(Arc::default()) }
    }

    /// What seals. Never makes a key: the datasource node's secrets would not open with it.
    pub fn sealer(&self) -> Result<Sealer, KeyError> {
        let kept = match &self.source {
            Source::Ring(ring) => return Ok(ring.sealer()),
            Source::File(kept) => kept,
        };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(sealer) => Ok(sealer.clone()),
            None => Ok(kept.insert(Sealer::open(&self.folder, false)?).clone()),
        }
    }

    /// Opens a configuration: as its author posted it.
    pub fn reveal(&self, config: &DatasourceConfig) -> Result<Map<String, Value>, KeyError> {
        KeyRing::open(&self.folder, false)?.reveal(config)
    }

    /// Takes what seals from the file again, if it has been taken. It stays as it is if the file
    /// is no good. A ring is replaced by whoever reads it.
    pub fn reread(&self) -> Result<(), KeyError> {
        let Source::File(kept) = &self.source else { return Ok(()) };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_some() {
            *kept = Some(Sealer::open(&self.folder, false)?);
        }
        Ok(())
    }
}

impl From<&KeyRing> for Keys {
    fn from(ring: &KeyRing) -> Self {
        Self { folder: ring.folder().into(), source: Source::Ring(ring.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_key_that_seals_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::in_folder(folder.path());
        assert!(keys.sealer().is_err());
        keys.reread().unwrap();
        KeyRing::open(folder.path(), true).unwrap();
        let seal = || {
            let config = json!({"password": "p"}).as_object().cloned();
            keys.sealer().unwrap().seal(config, &["password"]).unwrap()
        };
        let old = seal();
        let file = folder.path().join("aes_key");
        let first = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, "nonsense").unwrap();
        assert!(keys.reread().is_err());
        seal();
        std::fs::remove_file(&file).unwrap();
        let other = KeyRing::open(folder.path(), true).unwrap();
        assert!(other.reveal(&seal()).is_err(), "the old key seals until it is read again");
        keys.reread().unwrap();
        assert_eq!(other.reveal(&seal()).unwrap()["password"], "p");
        assert!(other.reveal(&old).is_err());
        assert_ne!(std::fs::read_to_string(&file).unwrap(), first);
    }
}
