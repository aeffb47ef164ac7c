//! The files in which drivers come: where they may lie, which are there, and what they look like
//! from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where drivers come from.
#[derive(Clone, Debug, Default)]
pub struct DriverFolders {
    /// Folders whose `*.wasm` files are loaded, in order of preference: of two drivers with one
    /// id that are there at start the one in the earlier folder is used, within a folder the first
    /// by name. Later the one that runs stays.
    pub folders: Vec<PathBuf>,
    /// Single files, preferred to all folders, with the ids that their drivers must have.
    pub files: Vec<(String, PathBuf)>,
    /// Drivers that are not to be used, by id.
    pub disabled: BTreeSet<String>,
}

impl DriverFolders {
    /// The id that a file's driver must have, if the configuration says so.
    pub(super) fn expected_id(&self, path: &Path) -> Option<&str> {
        self.files.iter().find(|(_, file)| file == path).map(|(id, _)| id.as_str())
    }

    /// Whether a file of that path would be loaded here, if it were there.
    pub(super) fn would_load(&self, path: &Path) -> bool {
        self.expected_id(path).is_some()
            || path.parent().is_some_and(|parent| self.folders.iter().any(|f| f == parent))
    }
}

/// A file in order of preference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey {
    /// 0 for single files, then the folders.
    pub(super) rank: usize,
    pub(super) path: PathBuf,
}

/// What a file looks like from outside; a change means that it has to be loaded anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) length: u64,
    modified: Option<SystemTime>,
    /// Tells a file that was renamed into place from the one before it.
    inode: u64,
    /// When anything of it was changed, its times included (seconds and nanoseconds).
    changed: (i64, i64),
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// How long ago its content was last written, as far as clocks agree.
    pub(super) fn age(&self) -> Option<Duration> {
        SystemTime::now().duration_since(self.modified?).ok()
    }
}

/// What was found in the folders.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) files: BTreeMap<FileKey, Stamp>,
    /// Places that could not be looked at, and why: what was known of them goes on.
    pub(super) unreadable: BTreeMap<PathBuf, String>,
    /// Entries of folders that look like drivers and cannot be opened, and why.
    pub(super) broken: BTreeMap<PathBuf, String>,
}

impl Listing {
    /// Whether a file that is not listed is known to be gone.
    pub(super) fn is_gone(&self, path: &Path) -> bool {
        let folder = path.parent().unwrap_or(path);
        !self.unreadable.contains_key(path) && !self.unreadable.contains_key(folder)
    }
}

/// Looks at all folders and files. A path that two of them have counts where it comes first.
pub(super) async fn list(folders: &DriverFolders) -> Listing {
    let mut listing = Listing::default();
    let mut seen = BTreeSet::new();
    for (_, path) in &folders.files {
        match stamp(path).await {
            Ok(stamp) => {
                seen.insert(path.clone());
                listing.files.insert(FileKey { rank: 0, path: path.clone() }, stamp);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                listing.unreadable.insert(path.clone(), error.to_string());
            }
        }
    }
    for (folder, rank) in folders.folders.iter().zip(1..) {
        match components(folder).await {
            Ok(Components { files, broken, unreadable }) => {
                listing.broken.extend(broken);
                listing.unreadable.extend(unreadable);
                let new = files.into_iter().filter(|(path, _)| seen.insert(path.clone()));
                listing.files.extend(new.map(|(path, stamp)| (FileKey { rank, path }, stamp)));
            }
            Err(error) => {
                listing.unreadable.insert(folder.clone(), error.to_string());
            }
        }
    }
    listing
}

#[derive(Default)]
struct Components {
    files: Vec<(PathBuf, Stamp)>,
    broken: Vec<(PathBuf, String)>,
    /// Entries that are there, of which nothing else can be told.
    unreadable: Vec<(PathBuf, String)>,
}

async fn components(folder: &Path) -> io::Result<Components> {
    let mut found = Components::default();
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if hidden || path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        match tokio::fs::metadata(&path).await {
            Ok(metadata) if metadata.is_file() => found.files.push((path, Stamp::new(&metadata))),
            Ok(_) => found.broken.push((path, "it is not a file".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // What is not even a name any more was removed a moment ago.
                if tokio::fs::symlink_metadata(&path).await.is_ok() {
                    found.broken.push((path, "it is a link that leads nowhere".to_owned()));
                }
            }
            // It is not gone: a folder that may be read and not searched, a disk that fails.
            Err(error) => found.unreadable.push((path, error.to_string())),
        }
    }
    Ok(found)
}

/// What a file looks like now.
pub(super) async fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = tokio::fs::metadata(path).await?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    Ok(Stamp::new(&metadata))
}

/// A file's name for people who need not know the folders of a host.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn files_come_in_order_of_preference_and_once() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("first"), root.path().join("second"));
        for folder in [&first, &second] {
            fs::create_dir(folder).unwrap();
            for name in ["b.wasm", "a.wasm", ".hidden.wasm", "notes.txt"] {
                fs::write(folder.join(name), name).unwrap();
            }
        }
        fs::create_dir(first.join("folder.wasm")).unwrap();
        std::os::unix::fs::symlink("nowhere", first.join("link.wasm")).unwrap();
        std::os::unix::fs::symlink("loop.wasm", first.join("loop.wasm")).unwrap();
        let missing = root.path().join("missing");
        let folders = DriverFolders {
            folders: vec![first.clone(), missing.clone(), second.clone(), first.clone()],
            files: vec![
                ("b".to_owned(), second.join("b.wasm")),
                ("gone".to_owned(), second.join("gone.wasm")),
            ],
            disabled: BTreeSet::new(),
        };
        let listing = list(&folders).await;
        let paths: Vec<_> = listing.files.keys().map(|key| key.path.clone()).collect();
        let expected = [
            second.join("b.wasm"),
            first.join("a.wasm"),
            first.join("b.wasm"),
            second.join("a.wasm"),
        ];
        assert_eq!(paths, expected);
        let broken: Vec<_> = listing.broken.clone().into_iter().collect();
        let link = (first.join("link.wasm"), "it is a link that leads nowhere".to_owned());
        let folder = (first.join("folder.wasm"), "it is not a file".to_owned());
        assert_eq!(broken, [folder, link]);
        assert!(listing.unreadable.contains_key(&missing));
        // What cannot be looked at is not gone.
        assert!(listing.unreadable.contains_key(&first.join("loop.wasm")));
        assert!(!listing.is_gone(&first.join("loop.wasm")));
        assert!(listing.is_gone(&first.join("x.wasm")));
        assert!(folders.would_load(&first.join("x.wasm")));
        assert!(!folders.would_load(&root.path().join("x.wasm")));
        assert_eq!(folders.expected_id(&second.join("b.wasm")), Some("b"));

        // Another file under the same name is seen, whatever its length and times.
        let key = FileKey { rank: 1, path: first.join("a.wasm") };
        let before = listing.files[&key];
        fs::write(first.join("new"), "a.wasm").unwrap();
        fs::File::options()
            .write(true)
            .open(first.join("new"))
            .unwrap()
            .set_modified(before.modified.unwrap())
            .unwrap();
        fs::rename(first.join("new"), first.join("a.wasm")).unwrap();
        let after = list(&folders).await.files[&key];
        assert_eq!((after.length, after.modified), (before.length, before.modified));
        assert_ne!(after, before);
    }
}
