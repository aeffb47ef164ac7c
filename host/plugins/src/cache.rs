//! Compiled code on disk.
//!
//! An entry's name is the component's hash and that of everything in the engine that decides about
//! code (its version, the processor's features, the options). Its content is the code, which is
//! mapped and not read, then a MAC over both hashes and the code. The key lies in the folder and
//! was made by this installation, so that an entry that is damaged, renamed, or comes from
//! elsewhere is not trusted: it counts as missing and is replaced. What the MAC cannot do is
//! protect from someone who can read the key; that is what the folder's mode is for, and the folder
//! is refused if it belongs to, or can be written by, somebody else. Entries are never changed in
//! place: they are moved there whole, and taken away.
//!
//! The folder is bounded: what was not used for longest goes first. Whoever uses an entry holds a
//! lock on it, which ends with the process at the latest; such an entry stays.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, Mac};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::HostError;

const KEY: &str = "key";
const KEY_BYTES: usize = 64;
const MAC_BYTES: u64 = 32;

/// The layout of entries; part of their names and MACs.
const LAYOUT: &[u8] = b"code, then MAC";

/// How much is read at a time.
const CHUNK: usize = 256 << 10;

/// After how long a file that was being written was given up, by a process that is gone.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// A folder of compiled code.
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    engine: String,
    /// What entries may take together, in bytes.
    limit: u64,
}

/// Compiled code that this installation made for this engine from the component it asked for: an
/// open file. While it is open, the entry stays.
pub(crate) struct Verified(File);

impl Verified {
    /// The code, followed by its MAC.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// Keeps the entry from being taken away.
    pub(crate) fn into_use(self) -> InUse {
        InUse { _locked: Some(Arc::new(self.0)) }
    }
}

/// As long as it, or a clone, is there, the entry of some compiled code stays in the cache.
#[derive(Clone, Default)]
pub(crate) struct InUse {
    _locked: Option<Arc<File>>,
}

impl Cache {
    /// Opens a folder, whose entries may take so many bytes; makes it, and its key, if missing.
    pub(crate) fn open(folder: &Path, limit: u64, engine: &Engine) -> Result<Self, HostError> {
        let error =
            |reason: String| HostError::Cache { folder: folder.display().to_string(), reason };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| error(format!("it cannot be made: {e}")))?;
        check_private(folder).map_err(error)?;
        let key = key(&folder.join(KEY)).map_err(|e| error(format!("its key: {e}")))?;
        let cache = Self { folder: folder.to_owned(), key, engine: engine_hash(engine), limit };
        cache.tidy();
        Ok(cache)
    }

    /// The code compiled from the component with this hash, if it is there and sound.
    pub(crate) fn get(&self, component: &str) -> Option<Verified> {
        let path = self.path(component);
        let file = open_own(&path).ok()?;
        // Before it is looked at, so that nobody takes it away meanwhile; shared, for others may
        // use it as well.
        flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
        match self.verify(component, &file) {
            Ok(true) => {
                // For the order in which entries are taken away. It may be a read-only disk.
                let _ = file.set_modified(SystemTime::now());
                Some(Verified(file))
            }
            Ok(false) => {
                tracing::warn!(
                    entry = %path.display(),
                    "compiled code in the cache is damaged or not of this installation; compiling \
                     anew"
                );
                None
            }
            Err(error) => {
                tracing::warn!(entry = %path.display(), %error, "compiled code cannot be read");
                None
            }
        }
    }

    fn verify(&self, component: &str, mut file: &File) -> io::Result<bool> {
        let Some(mut left) = file.metadata()?.len().checked_sub(MAC_BYTES) else {
            return Ok(false);
        };
        let mut mac = self.mac(component);
        let mut chunk = vec![0; CHUNK];
        while left > 0 {
            let size = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            let Some(part) = chunk.get_mut(..size) else { break };
            file.read_exact(part)?;
            mac.update(part);
            left -= size as u64;
        }
        let mut stored = [0; MAC_BYTES as usize];
        file.read_exact(&mut stored)?;
        Ok(mac.verify_slice(&stored).is_ok())
    }

    /// Keeps compiled code: written beside its place, then moved there, so that nobody ever sees
    /// half an entry. What was not used for longest makes room.
    pub(crate) fn put(&self, component: &str, code: &[u8]) -> io::Result<()> {
        if code.len() as u64 > self.limit {
            return Err(io::Error::other(format!(
                "it is {} bytes long, more than the limit `cache_bytes`, {}",
                code.len(),
                self.limit
            )));
        }
        let path = self.path(component);
        let temporary = self.folder.join(own_name("tmp"));
        let mut mac = self.mac(component);
        mac.update(code);
        let mac = mac.finalize().into_bytes();
        let written = create_own(&temporary)
            .and_then(|mut file| file.write_all(code).and_then(|()| file.write_all(&mac)))
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            // It may never have come to be.
            let _ = fs::remove_file(&temporary);
        }
        self.tidy();
        written
    }

    /// Takes away what is beyond the limit, and what a process left that has crashed.
    fn tidy(&self) {
        let Ok(files) = fs::read_dir(&self.folder) else { return };
        let mut entries = Vec::new();
        let mut total = 0;
        for file in files.flatten() {
            let (path, Ok(metadata)) = (file.path(), file.metadata()) else { continue };
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("cwasm") => {
                    total += metadata.len();
                    entries.push((used, metadata.len(), path));
                }
                Some("tmp") if used.elapsed().is_ok_and(|age| age > ABANDONED) => {
                    // Another process may be faster.
                    let _ = fs::remove_file(path);
                }
                _ => {}
            }
        }
        entries.sort();
        for (_, size, path) in entries {
            if total <= self.limit {
                return;
            }
            if is_unused(&path) && fs::remove_file(&path).is_ok() {
                tracing::debug!(entry = %path.display(), "compiled code makes room in the cache");
                total -= size;
            }
        }
    }

    fn path(&self, component: &str) -> PathBuf {
        self.folder.join(format!("{component}-{}.cwasm", self.engine))
    }

    /// A MAC that is still to see the code.
    fn mac(&self, component: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new((&self.key).into());
        // All have a fixed length, so the parts cannot be mistaken for one another.
        mac.update(LAYOUT);
        mac.update(component.as_bytes());
        mac.update(self.engine.as_bytes());
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
    hasher.write(LAYOUT);
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
    let probe = path.join(own_name("probe"));
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
    let temporary = path.with_file_name(own_name("tmp"));
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

/// A file name that nobody else uses: no other thread, and no other process that is alive.
fn own_name(extension: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{count}.{extension}", std::process::id())
}

fn create_own(path: &Path) -> io::Result<File> {
    // A leftover of an earlier process with our number is in the way.
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Whether nobody, in whatever process, uses an entry.
fn is_unused(path: &Path) -> bool {
    // The lock goes with the file.
    File::open(path)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Opens a regular file that only its owner can have written.
fn open_own(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path)?.is_symlink() {
        return Err(io::Error::other("a symbolic link"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("not a private file"));
    }
    Ok(file)
}

fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_own(path)?.read_to_end(&mut bytes)?;
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

    const PLENTY: u64 = 1 << 20;

    fn open(folder: &Path) -> Result<Cache, HostError> {
        Cache::open(folder, PLENTY, &Engine::default())
    }

    fn code(verified: &Verified) -> Vec<u8> {
        use std::io::Seek as _;
        let mut file = verified.file().unwrap();
        file.rewind().unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes.truncate(bytes.len() - MAC_BYTES as usize);
        bytes
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room_unless_it_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let one = 1_000 + MAC_BYTES;
        let cache = Cache::open(folder.path(), 3 * one, &Engine::default()).unwrap();
        let name = |n: u64| hex_sha256(&n.to_le_bytes());
        let age = |n: u64, seconds| {
            let file = File::options().write(true).open(cache.path(&name(n))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        };
        for n in 0..3 {
            cache.put(&name(n), &[7; 1_000]).unwrap();
        }
        let in_use = cache.get(&name(0)).unwrap().into_use();
        age(0, 500);
        age(1, 300);
        age(2, 400);
        let has = |n: u64| cache.path(&name(n)).exists();
        cache.put(&name(3), &[7; 1_000]).unwrap();
        assert_eq!([0, 1, 2, 3].map(has), [true, true, false, true]);

        // Reading is using.
        drop(in_use);
        assert!(cache.get(&name(0)).is_some());
        cache.put(&name(4), &[7; 1_000]).unwrap();
        assert_eq!([0, 1, 3, 4].map(has), [true, false, true, true]);

        // A smaller limit holds from the next start on; what cannot fit is not kept.
        let cache = Cache::open(folder.path(), one, &Engine::default()).unwrap();
        let left = [0, 3, 4].map(|n| cache.path(&name(n)).exists());
        assert_eq!(left.iter().filter(|is_there| **is_there).count(), 1);
        let error = cache.put(&name(5), &[7; 2_000]).unwrap_err().to_string();
        assert!(error.contains("`cache_bytes`"), "{error}");

        // What a process left that has crashed.
        let left = folder.path().join("1.0.tmp");
        File::create(&left).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        File::create(folder.path().join("1.1.tmp")).unwrap();
        cache.tidy();
        assert!(!left.exists() && folder.path().join("1.1.tmp").exists());
    }

    #[test]
    fn entries_are_private_and_found_again() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/cache");
        let cache = open(&folder).unwrap();
        let hash = hex_sha256(b"component");
        assert!(cache.get(&hash).is_none());
        cache.put(&hash, b"code").unwrap();
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join(KEY)), 0o600);
        assert_eq!(mode(&entry(&folder)), 0o600);
        let again = open(&folder).unwrap();
        assert_eq!(code(&again.get(&hash).unwrap()), b"code");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn damaged_and_foreign_entries_are_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path()).unwrap();
        let (hash, other) = (hex_sha256(b"component"), hex_sha256(b"other"));
        cache.put(&hash, b"code").unwrap();
        let path = entry(folder.path());
        let sound = fs::read(&path).unwrap();

        for bit in [0, 4 * 8, sound.len() * 8 - 1] {
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
        let foreign = open(elsewhere.path()).unwrap();
        foreign.put(&hash, b"code").unwrap();
        fs::copy(foreign.path(&hash), cache.path(&hash)).unwrap();
        assert!(cache.get(&hash).is_none(), "foreign");
    }

    #[test]
    fn all_who_begin_at_a_time_have_one_key() {
        for _ in 0..20 {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("compiled");
            let keys: Vec<_> = std::thread::scope(|scope| {
                let open = || scope.spawn(|| open(&folder).unwrap().key);
                let opening: Vec<_> = (0..8).map(|_| open()).collect();
                opening.into_iter().map(|opened| opened.join().unwrap()).collect()
            });
            assert!(keys.iter().all(|key| *key == keys[0]));
            let left = fs::read_dir(&folder).unwrap().count();
            assert_eq!(left, 1, "the key alone");
        }
    }

    #[test]
    fn writable_files_and_links_are_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path()).unwrap();
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
        assert_eq!(code(&cache.get(&hash).unwrap()), b"new");
    }

    #[test]
    fn folders_are_made_private_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(open(folder.path()).is_ok());
        assert_eq!(mode(folder.path()), 0o700);

        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        let error = open(&link).err().unwrap().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(open(&file).is_err());
    }

    #[test]
    fn options_make_another_engine() {
        let other = Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
        assert_ne!(engine_hash(&Engine::default()), engine_hash(&other));
        assert_eq!(engine_hash(&Engine::default()), engine_hash(&Engine::default()));
    }
}
