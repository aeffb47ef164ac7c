//! What seals secrets and cannot open them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fernet::Fernet;
use serde_json::{Map, Value};

use crate::config::{Content, ENCRYPTED_FIELDS};
use crate::{DatasourceConfig, KeyError, KeyRing};

/// A key for those who take secrets in and have no business reading them, such as the API: it
/// seals, and nothing opens with it. Cheap to clone; its [`fmt::Debug`] shows nothing of the key.
///
/// ```compile_fail
/// # fn f(sealer: congress_store::Sealer, stored: congress_store::DatasourceConfig) {
/// sealer.reveal(&stored); // there is no such function
/// # }
/// ```
#[derive(Clone)]
pub struct Sealer(Arc<Fernet>);

impl Sealer {
    /// As [`KeyRing::open`], for a process that only seals.
    pub fn open(folder: &Path, create_if_missing: bool) -> Result<Self, KeyError> {
        KeyRing::open(folder, create_if_missing).map(|ring| ring.sealer())
    }

    pub(crate) fn new(key: Fernet) -> Self {
        Self(Arc::new(key))
    }

    /// For the ring that this one belongs to.
    pub(crate) fn key(&self) -> &Fernet {
        &self.0
    }

    /// Seals the fields named in `secrets` of a configuration that is about to be stored. Fields
    /// that are missing or null are skipped.
    pub fn seal(
        &self,
        config: Option<Map<String, Value>>,
        secrets: &[&str],
    ) -> Result<DatasourceConfig, KeyError> {
        let Some(mut fields) = config else {
            return Ok(DatasourceConfig::absent());
        };
        if fields.contains_key(ENCRYPTED_FIELDS) {
            return Err(KeyError::Reserved);
        }
        let mut sealed = Vec::new();
        for (name, value) in &mut fields {
            if !secrets.contains(&name.as_str()) {
                continue;
            }
            match value {
                Value::Null => {}
                Value::String(secret) => {
                    *secret = self.0.encrypt(secret.as_bytes());
                    sealed.push(name.clone());
                }
                _ => return Err(KeyError::NotText { field: name.clone() }),
            }
        }
        Ok(DatasourceConfig { content: Content::Object { fields, sealed } })
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}
