//! Read-only files: those that the operator granted and the datasource's configuration names.
//!
//! Paths are judged after symbolic links are resolved, and once more for the file that was in fact
//! opened, so that exchanging a link in between gains nothing.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::bindings::files::{FileError, FileInfo};
use crate::net::expand;
use crate::settings::Settings;
use crate::text::clean;
use crate::{HostConfig, Metadata};

/// Names in one folder.
const NAMES: usize = 100_000;

/// Files that one call holds open at a time, to go on with.
const OPEN: usize = 8;

/// What one datasource may read.
pub(crate) struct Files {
    /// The operator's entries.
    allowed: Vec<PathBuf>,
    /// What the driver asks for, with the configuration's values.
    wanted: Vec<PathBuf>,
    /// The longest piece that one call reads.
    read_bytes: usize,
}

/// Files that one call reads in pieces.
#[derive(Default)]
pub(crate) struct Opened(VecDeque<OpenFile>);

struct OpenFile {
    path: String,
    file: File,
    /// As it was when it was opened.
    length: u64,
    modified: Option<SystemTime>,
}

impl Opened {
    fn take(&mut self, path: &str) -> Option<OpenFile> {
        let place = self.0.iter().position(|file| file.path == path)?;
        self.0.remove(place)
    }

    fn keep(&mut self, file: OpenFile) {
        if self.0.len() == OPEN {
            self.0.pop_front();
        }
        self.0.push_back(file);
    }
}

impl OpenFile {
    fn new(path: &str, file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let (length, modified) = (metadata.len(), metadata.modified().ok());
        Ok(Self { path: path.to_owned(), file, length, modified })
    }

    fn read(&mut self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        (&self.file).take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether somebody has written into it since it was opened.
    fn has_changed(&self) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        Ok((metadata.len(), metadata.modified().ok()) != (self.length, self.modified))
    }
}

type Result<T> = std::result::Result<T, FileError>;

impl Files {
    pub(crate) fn none() -> Self {
        Self { allowed: Vec::new(), wanted: Vec::new(), read_bytes: 0 }
    }

    pub(crate) fn new(metadata: &Metadata, settings: &Settings, host: &HostConfig) -> Self {
        let wanted = metadata.files.iter().filter_map(|pattern| expand(pattern, settings));
        Self {
            allowed: host.allowed_files.clone(),
            wanted: wanted.map(PathBuf::from).filter(|path| path.is_absolute()).collect(),
            read_bytes: host.limits.memory_bytes,
        }
    }

    /// Whether the operator granted a path; for files that the host itself reads for a datasource.
    pub(crate) fn read_for_host(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let real = fs::canonicalize(path)?;
        if !within(&real, &self.allowed) {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "only the operator can grant it, by an entry in `allowed_files`",
            ));
        }
        let mut bytes = Vec::new();
        open(&real)?.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn info(&self, path: &str) -> Result<FileInfo> {
        let real = self.resolve(path)?;
        let metadata = fs::metadata(&real).map_err(|e| failure(path, &e))?;
        let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Ok(FileInfo {
            size: metadata.len(),
            modified: modified.map_or(0, |age| age.as_secs()),
            is_folder: metadata.is_dir(),
        })
    }

    /// Up to `length` bytes from an offset. A file that is read in pieces is the same one for all of
    /// them, whatever is put in its place meanwhile; reading it from its beginning opens it anew.
    pub(crate) fn read(
        &self,
        opened: &mut Opened,
        path: &str,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>> {
        let fail = |e: io::Error| failure(path, &e);
        let mut file = match opened.take(path).filter(|_| offset > 0) {
            Some(file) => file,
            None => {
                let file = open(&self.resolve(path)?).map_err(fail)?;
                if let Some(opened) = opened_path(&file) {
                    self.judge(path, &opened)?;
                }
                OpenFile::new(path, file).map_err(fail)?
            }
        };
        let rest = file.length.saturating_sub(offset);
        // Files below /proc say that they are empty, so a length of 0 says nothing.
        let expected = if rest == 0 { u64::from(length) } else { rest.min(u64::from(length)) };
        if rest > 0 && expected > self.read_bytes as u64 {
            return Err(FileError::Other(format!(
                "{}: at most {} bytes can be read at a time",
                clean(path, 300),
                self.read_bytes
            )));
        }
        let bytes = file.read(offset, expected.min(self.read_bytes as u64)).map_err(fail)?;
        if file.has_changed().map_err(fail)? {
            let path = clean(path, 300);
            return Err(FileError::Other(format!(
                "{path}: it was written while it was read; whoever writes it should write another \
                 file and rename it"
            )));
        }
        opened.keep(file);
        Ok(bytes)
    }

    pub(crate) fn list(&self, path: &str) -> Result<Vec<String>> {
        let real = self.resolve(path)?;
        let fail = |e: io::Error| failure(path, &e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&real).map_err(fail)? {
            if names.len() == NAMES {
                let path = clean(path, 300);
                return Err(FileError::Other(format!("{path}: more than {NAMES} names")));
            }
            names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The real path behind a granted one.
    fn resolve(&self, path: &str) -> Result<PathBuf> {
        let asked = Path::new(path);
        let is_plain = asked.is_absolute()
            && asked.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        if !is_plain {
            let path = clean(path, 300);
            return Err(FileError::Denied(format!("{path}: only absolute paths without `..`")));
        }
        // Judged first: whether something exists is told only of places that are granted.
        let real = real_path(asked);
        self.judge(path, &real)?;
        let real = fs::canonicalize(asked).map_err(|e| failure(path, &e))?;
        self.judge(path, &real)?;
        Ok(real)
    }

    fn judge(&self, asked: &str, real: &Path) -> Result<()> {
        let by_name =
            |granted: &[PathBuf]| granted.iter().any(|grant| Path::new(asked).starts_with(grant));
        let denied = |why: &str| Err(FileError::Denied(format!("{}: {why}", clean(asked, 300))));
        if !within(real, &self.wanted) {
            return denied(match by_name(&self.wanted) {
                true => "it is a link that leads out of what the datasource's configuration names",
                false => "the datasource's configuration does not name it",
            });
        }
        if !within(real, &self.allowed) {
            return denied(match by_name(&self.allowed) {
                true => "it is a link that leads out of what `allowed_files` grants",
                false => "only the operator can grant it, by an entry in `allowed_files`",
            });
        }
        Ok(())
    }
}

/// Whether a real path is one of the granted ones, or below one.
fn within(real: &Path, granted: &[PathBuf]) -> bool {
    granted.iter().any(|grant| real.starts_with(real_path(grant)))
}

/// A path with its symbolic links resolved, as far down as it exists.
fn real_path(path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|ancestor| {
            let real = fs::canonicalize(ancestor).ok()?;
            Some(path.strip_prefix(ancestor).map_or_else(|_| real.clone(), |rest| real.join(rest)))
        })
        .unwrap_or_else(|| path.to_owned())
}

/// Opens a regular file. A pipe could block for ever, also one that takes the place of a file just
/// before it is opened.
fn open(real: &Path) -> io::Result<File> {
    let is_file = |metadata: fs::Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("is no regular file")),
    };
    // A device must not even be opened.
    is_file(fs::metadata(real)?)?;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(real)?;
    is_file(file.metadata()?)?;
    Ok(file)
}

/// Where an open file lies, where the system tells.
fn opened_path(file: &File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

fn failure(path: &str, error: &io::Error) -> FileError {
    let path = clean(path, 300);
    match error.kind() {
        ErrorKind::NotFound => FileError::NotFound(format!("{path}: no such file or folder")),
        _ => FileError::Other(format!("{path}: {error}")),
    }
}

/// Runs file work on a thread that may block. What it has open is lost if the thread panics.
pub(crate) async fn blocking<T: Send + 'static>(
    io: &tokio::runtime::Handle,
    files: &Arc<Files>,
    opened: &mut Opened,
    work: impl FnOnce(&Files, &mut Opened) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (files, mut open) = (files.clone(), std::mem::take(opened));
    let task = io.spawn_blocking(move || (work(&files, &mut open), open));
    match task.await {
        Ok((outcome, open)) => {
            *opened = open;
            outcome
        }
        Err(_) => Err(FileError::Other("reading was stopped".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Place {
        _folder: tempfile::TempDir,
        root: PathBuf,
        files: Files,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("granted/wanted")).unwrap();
        fs::write(root.join("granted/wanted/a.csv"), "hello").unwrap();
        fs::write(root.join("granted/other.csv"), "other").unwrap();
        fs::write(root.join("secret"), "secret").unwrap();
        let files = Files {
            allowed: vec![root.join("granted")],
            wanted: vec![root.join("granted/wanted"), root.join("secret")],
            read_bytes: 1000,
        };
        Place { _folder: folder, root, files }
    }

    impl Place {
        fn path(&self, name: &str) -> String {
            self.root.join(name).to_str().unwrap().to_owned()
        }

        /// As the first thing that a call does.
        fn read(&self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
            self.files.read(&mut Opened::default(), path, offset, length)
        }
    }

    #[test]
    fn all_pieces_are_of_one_file() {
        let p = place();
        let path = p.path("granted/wanted/a.csv");
        let mut opened = Opened::default();
        let mut read = |offset| p.files.read(&mut opened, &path, offset, 2);
        assert_eq!(read(0).unwrap(), b"he");
        fs::write(p.path("granted/wanted/next"), "HELLO, WORLD").unwrap();
        fs::rename(p.path("granted/wanted/next"), &path).unwrap();
        assert_eq!(read(2).unwrap(), b"ll");
        fs::remove_file(&path).unwrap();
        assert_eq!(read(4).unwrap(), b"o");
        assert_eq!(read(5).unwrap(), b"");
        assert!(matches!(read(0), Err(FileError::NotFound(_))));
        fs::write(&path, "HELLO").unwrap();
        assert_eq!(read(0).unwrap(), b"HE");
        fs::File::options().append(true).open(&path).unwrap().write_all(b"!").unwrap();
        let Err(FileError::Other(text)) = read(2) else { panic!("it was written meanwhile") };
        assert!(text.contains("rename"), "{text}");
        assert_eq!(read(0).unwrap(), b"HE");
        for n in 0..2 * OPEN {
            let path = p.path(&format!("granted/wanted/{n}"));
            fs::write(&path, "some").unwrap();
            p.files.read(&mut opened, &path, 0, 1).unwrap();
        }
        assert_eq!(opened.0.len(), OPEN);
    }

    #[test]
    fn granted_files_can_be_read() {
        let p = place();
        let file = p.path("granted/wanted/a.csv");
        assert_eq!(p.read(&file, 0, 100).unwrap(), b"hello");
        assert_eq!(p.read(&file, 3, 1).unwrap(), b"l");
        assert_eq!(p.read(&file, 9, 1).unwrap(), b"");
        assert_eq!(p.files.info(&file).unwrap().size, 5);
        assert!(p.files.info(&p.path("granted/wanted")).unwrap().is_folder);
        assert_eq!(p.files.list(&p.path("granted/wanted")).unwrap(), ["a.csv"]);
        let missing = p.read(&p.path("granted/wanted/b"), 0, 1);
        assert!(matches!(missing, Err(FileError::NotFound(_))), "{missing:?}");
    }

    #[test]
    fn everything_else_is_denied() {
        let p = place();
        symlink(p.root.join("secret"), p.root.join("granted/wanted/link")).unwrap();
        symlink(&p.root, p.root.join("granted/wanted/up")).unwrap();
        for name in [
            "granted/other.csv",
            "secret",
            "nowhere",
            "granted/wanted/link",
            "granted/wanted/up/secret",
            "granted/wanted/../other.csv",
        ] {
            let read = p.read(&p.path(name), 0, 10);
            assert!(matches!(read, Err(FileError::Denied(_))), "{name}: {read:?}");
        }
        assert!(matches!(p.read("relative", 0, 1), Err(FileError::Denied(_))));
        let Err(FileError::Denied(text)) = p.read(&p.path("secret"), 0, 1) else { panic!() };
        assert!(text.contains("`allowed_files`"), "{text}");
        for name in ["link", "up/secret"] {
            let path = p.path(&format!("granted/wanted/{name}"));
            let Err(FileError::Denied(text)) = p.read(&path, 0, 1) else { panic!() };
            assert!(text.contains("a link that leads out of what `allowed_files`"), "{text}");
        }
        assert!(p.files.read_for_host(&p.root.join("secret"), 10).is_err());
        assert_eq!(p.files.read_for_host(&p.root.join("granted/other.csv"), 3).unwrap(), b"oth");
    }

    #[test]
    fn no_more_than_the_guest_can_hold() {
        let p = place();
        fs::write(p.root.join("granted/wanted/big"), vec![0; 5000]).unwrap();
        let big = p.path("granted/wanted/big");
        assert!(matches!(p.read(&big, 0, 5000), Err(FileError::Other(_))));
        assert_eq!(p.read(&big, 4500, 5000).unwrap().len(), 500);
    }
}
