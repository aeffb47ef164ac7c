//! Compiled code on disk.
//!
//! An entry's name is the component's hash and that of everything in the engine that decides about
//! code (its version, the processor's features, the options). Its content is a MAC over both
//! hashes and the code, then the code. The key lies in the folder and was made by this
//! installation, so that an entry that is damaged, renamed, or comes from elsewhere is not
//! trusted: it counts as missing and is replaced. What the MAC cannot do is protect from someone
//! who can read the key; that is what the folder's mode is for, and the folder is refused if it
//! belongs to, or can be written by, somebody else.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::HostError;

const KEY: &str = "key";
const KEY_BYTES: usize = 64;
const MAC_BYTES: usize = 32;

/// A folder of compiled code.
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    engine: String,
}

/// Compiled code that this installation made for this engine from the component it asked for.
pub(crate) struct Verified(Vec<u8>);

impl Verified {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.get(MAC_BYTES..).unwrap_or_default()
    }
}

impl Cache {
    /// Opens a folder; makes it, and its key, if missing.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, HostError> {
        let error =
            |reason: String| HostError::Cache { folder: folder.display().to_string(), reason };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| error(format!("it cannot be made: {e}")))?;
        check_private(folder).map_err(error)?;
        let key = key(&folder.join(KEY)).map_err(|e| error(format!("its key: {e}")))?;
        Ok(Self { folder: folder.to_owned(), key, engine: engine_hash(engine) })
    }

    /// The code compiled from the component with this hash, if it is there and sound.
    pub(crate) fn get(&self, component: &str) -> Option<Verified> {
        let path = self.path(component);
        let bytes = read_own(&path).ok()?;
        let verified = Verified(bytes);
        let mac = verified.0.get(..MAC_BYTES)?;
        if self.mac(component, verified.bytes()).verify_slice(mac).is_ok() {
            return Some(verified);
        }
        tracing::warn!(
            entry = %path.display(),
            "compiled code in the cache is damaged or not of this installation; compiling anew"
        );
        None
    }

    /// Keeps compiled code: written beside its place, then moved there, so that nobody ever sees
    /// half an entry.
    pub(crate) fn put(&self, component: &str, code: &[u8]) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let path = self.path(component);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{}.{count}.tmp", std::process::id()));
        let mac = self.mac(component, code).finalize().into_bytes();
        let written = create_own(&temporary)
            .and_then(|mut file| file.write_all(&mac).and_then(|()| file.write_all(code)))
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            // It may never have come to be.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn path(&self, component: &str) -> PathBuf {
        self.folder.join(format!("{component}-{}.cwasm", self.engine))
    }

    fn mac(&self, component: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new((&self.key).into());
        // Both hashes have a fixed length, so the parts cannot be mistaken for one another.
        mac.update(component.as_bytes());
        mac.update(self.engine.as_bytes());
        mac.update(code);
        mac
    }
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A hash of all that decides whether an engine can run compiled code.
fn engine_hash(engine: &Engine) -> String {
    struct Sha256Hasher(Sha256);
    impl Hasher for Sha256Hasher {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0 // never asked for: the whole digest is taken
        }
    }
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hex(hasher.0.finalize().as_slice())
}

/// Refuses what others could write to.
fn check_private(path: &Path) -> Result<(), String> {
    let fail = |e: io::Error| e.to_string();
    let metadata = fs::symlink_metadata(path).map_err(fail)?;
    if metadata.is_symlink() {
        return Err("it is a symbolic link; name the folder that it leads to".to_owned());
    }
    if metadata.mode() & 0o077 != 0 {
        // Ours to put right, if it is ours: only the owner can.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|e| format!("others can use it and its mode cannot be set to 0700: {e}"))?;
    }
    // A file made now belongs to us; the folder must as well.
    let probe = path.join(format!("{}.probe", std::process::id()));
    let owner = create_own(&probe).and_then(|file| file.metadata()).map(|m| m.uid());
    // If it was not made, there is nothing to remove.
    let _ = fs::remove_file(&probe);
    if owner.map_err(|e| format!("no file can be made in it: {e}"))? != metadata.uid() {
        return Err("it belongs to another user".to_owned());
    }
    Ok(())
}

/// Reads the key, or makes one.
fn key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let read = || -> io::Result<Option<[u8; KEY_BYTES]>> { Ok(read_own(path)?.try_into().ok()) };
    match read() {
        Ok(Some(key)) => return Ok(key),
        // Not of the right length: not a key, so nothing that it signed is worth keeping.
        Ok(None) => fs::remove_file(path)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut key = [0; KEY_BYTES];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut key)
        .map_err(|_| io::Error::other("the system gives no random numbers"))?;
    // Written beside its place and linked there: of two processes that start at a time both end
    // up with the key of one, whole.
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    create_own(&temporary)?.write_all(&key)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Ok(()) => Ok(key),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            read()?.ok_or_else(|| io::Error::other("it has a wrong length; remove it"))
        }
        Err(e) => Err(e),
    }
}

fn create_own(path: &Path) -> io::Result<File> {
    // A leftover of an earlier process with our number is in the way.
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Reads a regular file that only its owner can have written.
fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("not a private file"));
    }
    let mut bytes = Vec::with_capacity(metadata.len().try_into().unwrap_or(0));
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn entry(folder: &Path) -> PathBuf {
        let mut entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        entries.find(|p| p.extension().is_some_and(|e| e == "cwasm")).unwrap()
    }

    #[test]
    fn entries_are_private_and_found_again() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/cache");
        let engine = Engine::default();
        let cache = Cache::open(&folder, &engine).unwrap();
        let hash = hex_sha256(b"component");
        assert!(cache.get(&hash).is_none());
        cache.put(&hash, b"code").unwrap();
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join(KEY)), 0o600);
        assert_eq!(mode(&entry(&folder)), 0o600);
        let again = Cache::open(&folder, &engine).unwrap();
        assert_eq!(again.get(&hash).unwrap().bytes(), b"code");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn damaged_and_foreign_entries_are_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), &Engine::default()).unwrap();
        let (hash, other) = (hex_sha256(b"component"), hex_sha256(b"other"));
        cache.put(&hash, b"code").unwrap();
        let path = entry(folder.path());
        let sound = fs::read(&path).unwrap();

        for bit in [0, MAC_BYTES * 8, sound.len() * 8 - 1] {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).unwrap();
            assert!(cache.get(&hash).is_none(), "bit {bit}");
        }
        fs::write(&path, &sound[..10]).unwrap();
        assert!(cache.get(&hash).is_none(), "cut");
        fs::write(&path, b"").unwrap();
        assert!(cache.get(&hash).is_none(), "empty");

        fs::write(&path, &sound).unwrap();
        assert!(cache.get(&hash).is_some());
        fs::rename(&path, cache.path(&other)).unwrap();
        assert!(cache.get(&other).is_none(), "renamed");

        // The same entry under another installation's key.
        let elsewhere = tempfile::tempdir().unwrap();
        let foreign = Cache::open(elsewhere.path(), &Engine::default()).unwrap();
        foreign.put(&hash, b"code").unwrap();
        fs::copy(foreign.path(&hash), cache.path(&hash)).unwrap();
        assert!(cache.get(&hash).is_none(), "foreign");
    }

    #[test]
    fn writable_files_and_links_are_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), &Engine::default()).unwrap();
        let hash = hex_sha256(b"component");
        cache.put(&hash, b"code").unwrap();
        let path = entry(folder.path());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
        assert!(cache.get(&hash).is_none());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&path, folder.path().join("x")).unwrap();
        symlink(folder.path().join("x"), &path).unwrap();
        assert!(cache.get(&hash).is_none());
        // An entry is replaced whatever stands there.
        cache.put(&hash, b"new").unwrap();
        assert_eq!(cache.get(&hash).unwrap().bytes(), b"new");
    }

    #[test]
    fn folders_are_made_private_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(folder.path(), &Engine::default()).is_ok());
        assert_eq!(mode(folder.path()), 0o700);

        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        let error = Cache::open(&link, &Engine::default()).err().unwrap().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Cache::open(&file, &Engine::default()).is_err());
    }

    #[test]
    fn options_make_another_engine() {
        let other = Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
        assert_ne!(engine_hash(&Engine::default()), engine_hash(&other));
        assert_eq!(engine_hash(&Engine::default()), engine_hash(&Engine::default()));
    }
}
