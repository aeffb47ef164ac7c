//! The files in which drivers come: where they may lie, which are there, and what they look like
//! from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where drivers come from.
#[derive(Clone, Debug, Default)]
pub struct DriverFolders {
    /// Folders whose `*.wasm` files are loaded, in order of preference: of two drivers with one
    /// id the one in the earlier folder is used, within a folder the first by name.
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
}

impl Listing {
    /// Whether a file that is not listed is known to be gone.
    pub(super) fn is_gone(&self, path: &Path) -> bool {
        let folder = path.parent().unwrap_or(path);
        !self.unreadable.contains_key(path) && !self.unreadable.contains_key(folder)
    }
}

/// Looks at all folders and files.
pub(super) async fn list(folders: &DriverFolders) -> Listing {
    let mut listing = Listing::default();
    for (_, path) in &folders.files {
        match stamp(path).await {
            Ok(stamp) => {
                listing.files.insert(FileKey { rank: 0, path: path.clone() }, stamp);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                listing.unreadable.insert(path.clone(), error.to_string());
            }
        }
    }
    for (folder, rank) in folders.folders.iter().zip(1..) {
        match components(folder, rank).await {
            Ok(files) => listing.files.extend(files),
            Err(error) => {
                listing.unreadable.insert(folder.clone(), error.to_string());
            }
        }
    }
    listing
}

async fn components(folder: &Path, rank: usize) -> io::Result<Vec<(FileKey, Stamp)>> {
    let mut files = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden
            && path.extension().is_some_and(|extension| extension == "wasm")
            && let Ok(stamp) = stamp(&path).await
        {
            files.push((FileKey { rank, path }, stamp));
        }
    }
    Ok(files)
}

/// What a file looks like now.
pub(super) async fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = tokio::fs::metadata(path).await?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    Ok(Stamp {
        length: metadata.len(),
        modified: metadata.modified().ok(),
        inode: metadata.ino(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// A file's name for people who need not know the folders of a host.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
