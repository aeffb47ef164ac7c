//! The lock file: tells a supervisor's script which process is its server.
//!
//! A process id alone may belong to a stranger by now. The lock ends with the process, however it
//! ends, so whoever finds the file locked knows that the id in it is the server's.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Read at most this much of what another process has written.
const LONGEST: u64 = 4096;

/// A locked file. The lock is held until it is dropped; the file stays.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Locks a file, made if it is missing. Fails if another process holds it.
    pub(super) fn take(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("the lock file {}", path.display());
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o644)
            .open(path)
            .with_context(|| format!("cannot open {}", named()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file, path: path.to_owned() }),
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = (&mut file).take(LONGEST).read_to_string(&mut text);
                let pid = text.lines().find_map(|line| line.strip_prefix("pid="));
                bail!(
                    "{} is held by another server (process {}); stop that one first",
                    named(),
                    pid.unwrap_or("unknown")
                )
            }
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", named())),
        }
    }

    /// Writes facts about this process, a line `name=value` each, in place of those before.
    pub(super) fn write(&mut self, facts: &[(&str, &str)]) -> anyhow::Result<()> {
        let text: String = facts.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let mut write = || {
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())?;
            self.file.set_len(text.len() as u64)
        };
        write().with_context(|| format!("cannot write the lock file {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_holds_it_and_others_learn_which() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut lock = LockFile::take(&path).unwrap();
        lock.write(&[("pid", "1234567"), ("node_id", "a")]).unwrap();
        lock.write(&[("pid", "123"), ("node_id", "b")]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "pid=123\nnode_id=b\n");
        let refused = LockFile::take(&path).unwrap_err().to_string();
        assert!(refused.contains("process 123") && refused.contains("/lock"), "{refused}");
        drop(lock);
        LockFile::take(&path).unwrap();
    }
}
