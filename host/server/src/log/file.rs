//! The log file: rotated, and opened anew when another has its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use jiff::Zoned;
use jiff::civil::Weekday;

use crate::config::{Interval, Rotation};

/// How often it is looked whether another file has the place of the one that is open.
const WATCH: Duration = Duration::from_secs(1);

/// A log file. What is rotated out of it is `NAME.1`, then `NAME.2` and so on.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    rotation: Rotation,
    size: u64,
    /// When it is to be rotated next, if by time.
    next: Option<SystemTime>,
    /// When it was looked last whether it is in its place, if that is to be watched.
    looked: Option<Instant>,
}

impl LogFile {
    pub(super) fn open(path: &Path, rotation: Rotation, watch: bool) -> io::Result<Self> {
        let (file, size) = append(path)?;
        // A server that is restarted often rotates all the same.
        let begun = match size {
            0 => SystemTime::now(),
            _ => file.metadata()?.modified().unwrap_or_else(|_| SystemTime::now()),
        };
        let next = next(&rotation, begun);
        let looked = watch.then(Instant::now);
        Ok(Self { path: path.to_owned(), file, rotation, size, next, looked })
    }

    /// Writes a line, as a whole into one file.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.looked.is_some_and(|looked| looked.elapsed() > WATCH) {
            self.looked = Some(Instant::now());
            if !self.is_in_place() {
                self.reopen()?;
            }
        }
        if self.is_due(line.len() as u64) {
            // A line is not lost because its file cannot be rotated.
            let _ = self.rotate();
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(line.len())
    }

    /// Opens the file of this name, which may be another one now.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.size) = append(&self.path)?;
        Ok(())
    }

    fn is_in_place(&self) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(open)) => identity(there) == identity(open),
            _ => false,
        }
    }

    fn is_due(&self, more: u64) -> bool {
        match &self.rotation {
            Rotation::None => false,
            Rotation::Size { bytes, .. } => {
                self.size > 0 && self.size.saturating_add(more) > *bytes
            }
            Rotation::Interval { .. } => self.next.is_some_and(|next| next <= SystemTime::now()),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.next = next(&self.rotation, SystemTime::now());
        let keep = self.rotation.keep();
        let old = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..keep).rev() {
            if old(number).exists() {
                fs::rename(old(number), old(number + 1))?;
            }
        }
        match keep {
            0 => fs::remove_file(&self.path)?,
            _ => fs::rename(&self.path, old(1))?,
        }
        self.reopen()
    }
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// When a file that was begun at some time is to be rotated.
fn next(rotation: &Rotation, begun: SystemTime) -> Option<SystemTime> {
    let Rotation::Interval { interval, .. } = rotation else { return None };
    match interval {
        Interval::Every(interval) => begun.checked_add(*interval),
        Interval::Midnight => at_midnight(begun, |day| day.tomorrow().ok()),
        Interval::Weekday(day) => {
            let day = Weekday::from_monday_zero_offset(*day).ok()?;
            at_midnight(begun, |now| now.nth_weekday(1, day).ok())
        }
    }
}

/// The local midnight with which a day begins.
fn at_midnight(begun: SystemTime, day: impl Fn(&Zoned) -> Option<Zoned>) -> Option<SystemTime> {
    let begun = Zoned::try_from(begun).ok()?;
    Some(day(&begun)?.start_of_day().ok()?.timestamp().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<(String, String)> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        names.sort();
        names
    }

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn by_size_and_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation::Size { bytes: 10, keep: 2 };
        let mut log = LogFile::open(&folder.path().join("log"), rotation, false).unwrap();
        for line in ["one 1\n", "two 2\n", "three\n", "four\n", "5\n"] {
            log.write(line.as_bytes()).unwrap();
        }
        assert_eq!(
            names(folder.path()),
            [pair("log", "four\n5\n"), pair("log.1", "three\n"), pair("log.2", "two 2\n")]
        );
    }

    #[test]
    fn by_time_also_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "old\n").unwrap();
        let yesterday = SystemTime::now() - Duration::from_secs(86_400);
        File::options().append(true).open(&path).unwrap().set_modified(yesterday).unwrap();
        let interval = Interval::Every(Duration::from_secs(3600));
        let rotation = Rotation::Interval { interval, keep: 5 };
        let mut log = LogFile::open(&path, rotation.clone(), false).unwrap();
        log.write(b"new\n").unwrap();
        log.write(b"newer\n").unwrap();
        assert_eq!(names(folder.path()), [pair("log", "new\nnewer\n"), pair("log.1", "old\n")]);

        for interval in [Interval::Midnight, Interval::Weekday(6)] {
            let now = SystemTime::now();
            let next = next(&Rotation::Interval { interval, keep: 1 }, now).unwrap();
            assert!(next > now && next < now + Duration::from_secs(8 * 86_400));
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&path, Rotation::None, true).unwrap();
        log.write(b"one\n").unwrap();
        fs::rename(&path, folder.path().join("log.moved")).unwrap();
        log.looked = Instant::now().checked_sub(WATCH * 2);
        log.write(b"two\n").unwrap();
        assert_eq!(names(folder.path()), [pair("log", "two\n"), pair("log.moved", "one\n")]);
    }
}
