//! The keys that seal secrets in datasource configurations.
//!
//! A key folder holds one file, `aes_key`: Fernet keys (44 characters of URL-safe base64), one per
//! line. The first one seals ([`Sealer`]), all open ([`KeyRing`]), so that keys can be rotated. Keys and tokens are
//! interchangeable with those of the original (Python's `cryptography.fernet`).

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use fernet::Fernet;
use serde_json::{Map, Value};

use crate::config::Content;
use crate::{DatasourceConfig, Sealer};

/// The name of the file in a key folder.
pub(crate) const FILE: &str = "aes_key";

/// The length of a key in its text form.
const KEY_LENGTH: usize = 44;

/// Tokens carry the time at which they were made. Opened at this time (the library adds a minute
/// for clocks that differ) every one is old enough: a secret must not become unreadable because
/// the clock of the host that sealed it was ahead.
const END_OF_TIME: u64 = u64::MAX - 60;

/// Why a key folder or a secret could not be used. Never holds keys, tokens or secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no key, and one must not be made.
    #[error(
        "there is no key file {path}, but the database holds secrets sealed with one; copy it from a host that has it", path = path.display()
    )]
    Missing {
        /// The missing file.
        path: PathBuf,
    },
    /// The key file cannot be read or made.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The key file holds something else.
    #[error(
        "{path}, line {line}: this is no key; a key is 44 characters of URL-safe base64 on a line of its own", path = path.display()
    )]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The key file holds nothing.
    #[error("{path} holds no key", path = path.display())]
    Empty {
        /// The key file.
        path: PathBuf,
    },
    /// A configuration to be sealed uses the name that marks sealed fields.
    #[error("the configuration must not contain a field '__encrypted_fields'")]
    Reserved,
    /// A secret is not text.
    #[error("the secret field '{field}' must be a text")]
    NotText {
        /// The field.
        field: String,
    },
    /// None of the keys opens a secret.
    #[error(
        "none of the keys in {path} opens the secret field '{field}'; this host needs the key file of the host that sealed it", path = path.display()
    )]
    WrongKey {
        /// The field.
        field: String,
        /// The key file.
        path: PathBuf,
    },
    /// The stored configuration is broken.
    #[error("the stored configuration is unusable: {reason}")]
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
}

/// The keys of this host. Cheap to clone, and all clones have the same keys; its [`fmt::Debug`]
/// shows the file's path only.
#[derive(Clone)]
pub struct KeyRing {
    path: Arc<Path>,
    keys: Arc<RwLock<Arc<Loaded>>>,
}

/// What the file holds.
struct Loaded {
    /// The first key.
    sealer: Sealer,
    /// All others.
    retired: Vec<Fernet>,
}

impl KeyRing {
    /// Reads the keys in `folder`.
    ///
    /// If there is no key file and `create_if_missing` is true, makes one with a new key (folder
    /// 0700, file 0600), safely also when several processes do so at once. Pass false when the
    /// database holds sealed secrets ([`crate::Store::has_sealed_secrets`]): a new key could not
    /// open them, and would hide that the right one is missing.
    ///
    /// Reads and writes small files without giving up the thread.
    pub fn open(folder: &Path, create_if_missing: bool) -> Result<Self, KeyError> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !create_if_missing {
                    return Err(KeyError::Missing { path });
                }
                create(folder, &path)?;
                fs::read_to_string(&path)
            }
            outcome => outcome,
        }
        .map_err(|source| file_error("read", &path, source))?;

        let mut keys = Vec::new();
        for (position, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let key = (line.len() == KEY_LENGTH).then(|| Fernet::new(line)).flatten();
            keys.push(key.ok_or(KeyError::Malformed { path: path.clone(), line: position + 1 })?);
        }
        let mut keys = keys.into_iter();
        let Some(first) = keys.next() else {
            return Err(KeyError::Empty { path });
        };
        let loaded = Loaded { sealer: Sealer::new(first), retired: keys.collect() };
        Ok(Self { path: path.into(), keys: Arc::new(RwLock::new(Arc::new(loaded))) })
    }

    /// From now on this ring and all its clones have the keys that the other one has at present.
    pub fn replace(&self, other: &Self) {
        let loaded = other.loaded();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What seals with the first of these keys, for those who are not to open anything.
    pub fn sealer(&self) -> Sealer {
        self.loaded().sealer.clone()
    }

    /// How many keys there are: at least one.
    pub fn count(&self) -> usize {
        1 + self.loaded().retired.len()
    }

    /// The folder that they were read from.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Opens the sealed fields: the configuration as its author posted it; empty if there is none.
    pub fn reveal(&self, config: &DatasourceConfig) -> Result<Map<String, Value>, KeyError> {
        let (mut fields, sealed) = match &config.content {
            Content::Absent => return Ok(Map::new()),
            Content::Object { fields, sealed } => (fields.clone(), sealed),
            Content::Unreadable(reason) => {
                return Err(KeyError::Unreadable { reason: reason.clone() });
            }
        };
        for name in sealed {
            let Some(value) = fields.get_mut(name) else { continue };
            let Value::String(token) = value else {
                let reason = format!("its sealed field '{name}' is not a text");
                return Err(KeyError::Unreadable { reason });
            };
            *token = self.decrypt(name, token)?;
        }
        Ok(fields)
    }

    /// Whether a token is of the first key.
    pub(crate) fn is_sealed_with_first(&self, token: &str) -> bool {
        self.loaded().sealer.key().decrypt_at_time(token, None, END_OF_TIME).is_ok()
    }

    pub(crate) fn decrypt(&self, field: &str, token: &str) -> Result<String, KeyError> {
        let loaded = self.loaded();
        let secret = std::iter::once(loaded.sealer.key())
            .chain(&loaded.retired)
            .find_map(|key| key.decrypt_at_time(token, None, END_OF_TIME).ok())
            .ok_or_else(|| KeyError::WrongKey {
                field: field.into(),
                path: self.path.to_path_buf(),
            })?;
        String::from_utf8(secret).map_err(|_| KeyError::Unreadable {
            reason: format!("the secret in its field '{field}' is not UTF-8"),
        })
    }
}

/// Makes the key file, unless another process is faster. It appears whole or not at all.
fn create(folder: &Path, path: &Path) -> Result<(), KeyError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| file_error("create the folder", folder, source))?;
    let write = || {
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(Fernet::generate_key().as_bytes())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
            _ => Ok(()),
        }
    };
    write().map_err(|source| file_error("create the key file", path, source))
}

pub(crate) fn file_error(action: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::File { action, path: path.to_owned(), source }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;
    use crate::config::ENCRYPTED_FIELDS;

    /// Key and token of the Fernet specification's test vectors.
    const SPEC_KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const SPEC_TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    fn folder_with(keys: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), keys).unwrap();
        folder
    }

    fn object(value: Value) -> Option<Map<String, Value>> {
        value.as_object().cloned()
    }

    #[test]
    fn a_key_is_made_once_and_only_when_allowed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("keys");
        let missing = KeyRing::open(&folder, false).unwrap_err();
        assert!(matches!(missing, KeyError::Missing { .. }));
        assert!(missing.to_string().contains(&folder.join(FILE).display().to_string()));
        assert!(!folder.exists());

        KeyRing::open(&folder, true).unwrap();
        let key = fs::read_to_string(folder.join(FILE)).unwrap();
        assert_eq!(key.len(), KEY_LENGTH, "no newline, as the original reads it");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));

        KeyRing::open(&folder, true).unwrap();
        assert_eq!(fs::read_to_string(folder.join(FILE)).unwrap(), key);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left lying about");
    }

    #[test]
    fn processes_that_start_together_agree_on_one_key() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("keys");
        let rings: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| KeyRing::open(&folder, true).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let config =
            rings[0].sealer().seal(object(json!({"password": "p"})), &["password"]).unwrap();
        for ring in rings {
            assert_eq!(ring.reveal(&config).unwrap()["password"], "p");
        }
    }

    #[test]
    fn named_fields_are_sealed_and_opened_again() {
        let folder = folder_with(SPEC_KEY);
        let ring = KeyRing::open(folder.path(), false).unwrap();
        let clear = json!({"url": "http://x", "password": "s3cr€t pä$$", "token": null, "n": 1});
        let config =
            ring.sealer().seal(object(clear.clone()), &["password", "token", "absent"]).unwrap();

        let stored = config.to_stored().unwrap();
        assert!(!stored.contains("s3cr"));
        let stored: Value = serde_json::from_str(&stored).unwrap();
        assert!(stored["password"].as_str().unwrap().starts_with("gAAAAA"));
        assert_eq!(stored[ENCRYPTED_FIELDS], json!(["password"]));
        assert_eq!(Value::from(ring.reveal(&config).unwrap()), clear);

        assert!(ring.reveal(&ring.sealer().seal(None, &["password"]).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn tokens_of_other_implementations_are_opened() {
        let folder = folder_with(&format!("{SPEC_KEY}\n"));
        let ring = KeyRing::open(folder.path(), false).unwrap();
        assert_eq!(ring.decrypt("password", SPEC_TOKEN).unwrap(), "hello");
    }

    #[test]
    fn tokens_from_a_host_whose_clock_is_ahead_are_opened() {
        let ahead = Fernet::new(SPEC_KEY).unwrap().encrypt_at_time(b"p", 1 << 40);
        let folder = folder_with(SPEC_KEY);
        let ring = KeyRing::open(folder.path(), false).unwrap();
        assert_eq!(ring.decrypt("password", &ahead).unwrap(), "p");
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = folder_with(SPEC_KEY);
        let old = KeyRing::open(old.path(), false).unwrap();
        let sealed = old.sealer().seal(object(json!({"password": "p"})), &["password"]).unwrap();

        let rotated = folder_with(&format!("{}\n\n{SPEC_KEY}\n", Fernet::generate_key()));
        let rotated = KeyRing::open(rotated.path(), false).unwrap();
        assert_eq!(rotated.reveal(&sealed).unwrap()["password"], "p");
        let resealed =
            rotated.sealer().seal(object(json!({"password": "p"})), &["password"]).unwrap();
        let error = old.reveal(&resealed).unwrap_err();
        assert!(matches!(&error, KeyError::WrongKey { field, .. } if field == "password"));

        // Who holds a clone has the keys that replace them.
        let clone = old.clone();
        old.replace(&rotated);
        assert_eq!(
            (clone.count(), clone.reveal(&resealed).unwrap()["password"].as_str()),
            (2, Some("p"))
        );
        assert!(!error.to_string().contains("gAAAA"));
    }

    #[test]
    fn what_cannot_be_sealed_or_read_is_refused() {
        let folder = folder_with(SPEC_KEY);
        let ring = KeyRing::open(folder.path(), false).unwrap();
        let number = ring.sealer().seal(object(json!({"password": 7})), &["password"]);
        assert!(matches!(number, Err(KeyError::NotText { field }) if field == "password"));
        let reserved = ring.sealer().seal(object(json!({ENCRYPTED_FIELDS: []})), &[]);
        assert!(matches!(reserved, Err(KeyError::Reserved)));

        let bad = folder_with(&format!("{SPEC_KEY}\nnot a key\n"));
        let error = KeyRing::open(bad.path(), true).unwrap_err();
        assert!(matches!(error, KeyError::Malformed { line: 2, .. }));
        assert!(!error.to_string().contains("not a key"));
        let empty = folder_with("\n");
        assert!(matches!(KeyRing::open(empty.path(), true), Err(KeyError::Empty { .. })));
        let error = KeyRing::open(&folder.path().join(FILE), true).unwrap_err();
        assert!(matches!(error, KeyError::File { .. }), "{error}");
        assert!(!format!("{ring:?} {:?}", ring.sealer()).contains(SPEC_KEY));
    }
}
