//! Which files somebody has open for writing, as far as the kernel tells.
//!
//! A copy that pauses at an unlucky place looks complete; only who writes it knows that it is not.
//! So the folders are watched (inotify): a file that was written to is left alone until its writer
//! has closed it. Where that cannot be watched (a network's file system, a limit reached), a file
//! counts as complete once it has been left alone for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// Space for the events of one read: some hundreds with short names.
const BUFFER: usize = 16 * 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Writers {
    /// None until first used, and where it cannot be had.
    inotify: Option<OwnedFd>,
    has_failed: bool,
    /// The folders by the number of their watch.
    folders: BTreeMap<i32, PathBuf>,
    /// Components that were written to and not closed since.
    open: BTreeSet<PathBuf>,
}

impl Writers {
    /// Whether somebody is writing to a file.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.open.contains(path)
    }

    /// Takes in what has happened in the folders since it was last asked. Folders that are new, or
    /// were made anew, are watched from now on.
    pub(super) fn look<'a>(&mut self, folders: impl Iterator<Item = &'a Path>) {
        if self.has_failed {
            return;
        }
        if let Err(error) = self.watch(folders).and_then(|()| self.read()) {
            tracing::warn!(
                %error,
                "the kernel does not tell who writes to drivers' files: they are loaded once they \
                 have not changed for a moment"
            );
            *self = Self { has_failed: true, ..Self::default() };
        }
    }

    fn watch<'a>(&mut self, folders: impl Iterator<Item = &'a Path>) -> Result<(), Errno> {
        let inotify = match &self.inotify {
            Some(inotify) => inotify,
            None => {
                let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
                self.inotify.insert(inotify::init(flags)?)
            }
        };
        let flags = WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        for folder in folders {
            // The same folder keeps its number.
            match inotify::add_watch(inotify, folder, flags) {
                Ok(number) => {
                    self.folders.insert(number, folder.to_owned());
                }
                Err(error @ (Errno::NOSPC | Errno::NOMEM | Errno::MFILE)) => return Err(error),
                // Drivers in it cannot be listed either, which is told elsewhere.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Errno> {
        let Some(inotify) = &self.inotify else { return Ok(()) };
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            let what = event.events();
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                // Whatever was missed: who still writes is seen again at the next write.
                self.open.clear();
                continue;
            }
            if what.contains(ReadFlags::IGNORED) {
                self.folders.remove(&event.wd());
                continue;
            }
            let Some((folder, name)) = self.folders.get(&event.wd()).zip(event.file_name()) else {
                continue;
            };
            let path = folder.join(OsStr::from_bytes(name.to_bytes()));
            if !what.contains(ReadFlags::MODIFY) {
                self.open.remove(&path);
            } else if path.extension().is_some_and(|extension| extension == "wasm") {
                self.open.insert(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_is_open_from_its_first_write_until_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let mut writers = Writers::default();
        let mut look = || {
            writers.look([folder.path()].into_iter());
            writers.open.iter().cloned().collect::<Vec<_>>()
        };
        assert!(look().is_empty());
        let path = folder.path().join("a.wasm");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one").unwrap();
        assert_eq!(look(), [path.clone()]);
        assert_eq!(look(), [path.clone()], "a pause is no end");
        file.write_all(b"two").unwrap();
        drop(file);
        assert!(look().is_empty());

        // Renamed into place, or written elsewhere and moved away: nobody writes.
        let hidden = folder.path().join(".b");
        let mut file = File::create(&hidden).unwrap();
        file.write_all(b"one").unwrap();
        fs::rename(&hidden, folder.path().join("b.wasm")).unwrap();
        assert!(look().is_empty());
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"three").unwrap();
        assert_eq!(look(), [path.clone()]);
        fs::remove_file(&path).unwrap();
        assert!(look().is_empty());
    }
}
