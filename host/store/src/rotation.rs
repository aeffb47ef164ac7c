//! Rotating the keys of stored secrets: changes of the key file, and of what is sealed.
//!
//! A new key comes last in the file, so that every host can open with it before one seals with it;
//! then it becomes the first; then all secrets are sealed anew; then the old ones can go.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use fernet::Fernet;
use serde_json::Value;

use crate::backend::args;
use crate::config::Content;
use crate::keys::{FILE, file_error};
use crate::store::{advance, in_transaction};
use crate::{At, DatasourceConfig, Error, KeyError, KeyRing, Kind, Result, Revision, Store};

/// Adds a new key to the file in `folder`, at its end: it opens, and does not seal yet.
pub fn add_key(folder: &Path) -> Result<(), KeyError> {
    change(folder, |keys| keys.push(Fernet::generate_key()))
}

/// Makes the last key of the file the first: from now on it seals. False if there is only one.
pub fn promote_key(folder: &Path) -> Result<bool, KeyError> {
    let mut promoted = false;
    change(folder, |keys| {
        if keys.len() > 1 {
            keys.rotate_right(1);
            promoted = true;
        }
    })?;
    Ok(promoted)
}

/// Takes all keys but the first away; how many those were. Whoever calls this has made sure that
/// the first opens everything.
pub fn retire_keys(folder: &Path) -> Result<usize, KeyError> {
    let mut retired = 0;
    change(folder, |keys| {
        retired = keys.len().saturating_sub(1);
        keys.truncate(1);
    })?;
    Ok(retired)
}

/// Replaces the file with a changed one, which has the same owner and is there as a whole or not.
fn change(folder: &Path, change: impl FnOnce(&mut Vec<String>)) -> Result<(), KeyError> {
    // What is no key is not carried on.
    KeyRing::open(folder, false)?;
    let path = folder.join(FILE);
    let read = || {
        let text = fs::read_to_string(&path)?;
        io::Result::Ok((text, fs::metadata(&path)?))
    };
    let (text, owner) = read().map_err(|source| file_error("read", &path, source))?;
    let mut keys: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let before = keys.clone();
    change(&mut keys);
    if keys == before {
        return Ok(());
    }
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        // A single key has no newline, as the original reads it.
        file.write_all(keys.join("\n").as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(owner.mode() & 0o777))?;
        let made = file.as_file().metadata()?;
        if (made.uid(), made.gid()) != (owner.uid(), owner.gid()) {
            chown(file.path(), Some(owner.uid()), Some(owner.gid()))?;
        }
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        io::Result::Ok(())
    };
    write().map_err(|source| file_error("write", &path, source))
}

impl KeyRing {
    /// The configuration with all its secrets sealed with the first key: those that another one
    /// sealed, and those in `secrets` that are stored as clear text. Nothing if they are so
    /// already.
    pub fn reseal(
        &self,
        config: &DatasourceConfig,
        secrets: &[&str],
    ) -> Result<Option<DatasourceConfig>, KeyError> {
        let Content::Object { fields, sealed } = &config.content else {
            // None, or nothing that could be understood.
            return self.reveal(config).map(|_| None);
        };
        let (mut fields, mut sealed) = (fields.clone(), sealed.clone());
        let mut changed = false;
        for (name, value) in &mut fields {
            let Value::String(text) = value else { continue };
            let clear = match sealed.contains(name) {
                true if self.is_sealed_with_first(text) => continue,
                true => self.decrypt(name, text)?,
                false if secrets.contains(&name.as_str()) => {
                    sealed.push(name.clone());
                    std::mem::take(text)
                }
                false => continue,
            };
            *text = self.sealer().key().encrypt(clear.as_bytes());
            changed = true;
        }
        Ok(changed.then_some(DatasourceConfig { content: Content::Object { fields, sealed } }))
    }
}

impl DatasourceConfig {
    /// Those of the fields named that are stored as clear text.
    pub fn clear<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let Content::Object { fields, sealed } = &self.content else { return Vec::new() };
        let is_clear = |name: &&str| {
            let text = fields.get(*name).and_then(Value::as_str);
            text.is_some_and(|text| !text.is_empty()) && !sealed.iter().any(|field| field == name)
        };
        secrets.into_iter().filter(is_clear).collect()
    }
}

impl Store {
    /// Replaces the configurations of datasources (by id): all or none.
    pub async fn replace_datasource_configs(
        &self,
        configs: &[(String, DatasourceConfig)],
        at: At,
    ) -> Result<Revision> {
        let stored: Vec<_> = configs
            .iter()
            .map(|(id, config)| Ok((id, config.to_stored()?)))
            .collect::<Result<_>>()?;
        in_transaction!(self, |tx| {
            let revision = advance(tx, at).await?;
            for (id, config) in &stored {
                const REPLACE: &str = "UPDATE datasources SET config = ? WHERE id = ?";
                if tx.execute(REPLACE, args![config, *id]).await? == 0 {
                    return Err(Error::NotFound { kind: Kind::Datasource, key: (*id).clone() });
                }
            }
            Ok(revision)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Option<serde_json::Map<String, Value>> {
        value.as_object().cloned()
    }

    #[test]
    fn a_rotation_from_the_first_key_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let old = KeyRing::open(folder.path(), true).unwrap();
        let config = old.sealer().seal(object(json!({"password": "p", "n": 1})), &["password"]);
        let config = config.unwrap();
        assert!(!promote_key(folder.path()).unwrap(), "there is only one");

        add_key(folder.path()).unwrap();
        let ring = KeyRing::open(folder.path(), false).unwrap();
        assert!(ring.reseal(&config, &["password"]).unwrap().is_none(), "the old one seals still");
        assert!(promote_key(folder.path()).unwrap());
        let ring = KeyRing::open(folder.path(), false).unwrap();
        let resealed = ring.reseal(&config, &["password"]).unwrap().unwrap();
        assert_eq!(ring.reveal(&resealed).unwrap()["password"], "p");
        assert!(ring.reseal(&resealed, &["password"]).unwrap().is_none());
        assert!(old.reveal(&resealed).is_err());

        assert_eq!(retire_keys(folder.path()).unwrap(), 1);
        let ring = KeyRing::open(folder.path(), false).unwrap();
        assert_eq!(ring.reveal(&resealed).unwrap()["password"], "p");
        assert!(ring.reveal(&config).is_err());
        let file = folder.path().join(FILE);
        assert_eq!(fs::read_to_string(&file).unwrap().len(), 44, "no newline, for the original");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn clear_secrets_are_found_and_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::open(folder.path(), true).unwrap();
        let old = DatasourceConfig::from_stored(r#"{"password":"p","token":"","user":"u"}"#);
        assert_eq!(old.clear(["password", "token", "absent"]), ["password"]);
        let sealed = ring.reseal(&old, &["password"]).unwrap().unwrap();
        assert_eq!(sealed.sealed(), ["password"]);
        assert!(sealed.clear(["password"]).is_empty());
        assert_eq!(
            Value::from(ring.reveal(&sealed).unwrap()),
            json!({"password": "p", "token": "", "user": "u"})
        );
        assert!(ring.reseal(&DatasourceConfig::absent(), &["password"]).unwrap().is_none());
        assert!(ring.reseal(&DatasourceConfig::from_stored("{"), &["password"]).is_err());
    }
}
