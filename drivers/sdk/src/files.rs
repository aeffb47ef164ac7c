//! The files and folders that the operator granted, read-only and in pieces.

use std::io::{self, Read};

use crate::Error;
pub use crate::bindings::congress::datasource::files::{FileError, FileInfo, info, list, read};

/// Most bytes per call to the host.
const PIECE: usize = 256 << 10;

/// A file that is read from its beginning; wrap it in a [`std::io::BufReader`] for small reads.
/// Its errors turn into the [`Error`] that a poll answers by `?`.
#[derive(Debug)]
pub struct File<'a> {
    path: &'a str,
    offset: u64,
}

impl<'a> File<'a> {
    /// The file at an absolute path. Whether it can be read shows when it is.
    pub fn at(path: &'a str) -> Self {
        Self { path, offset: 0 }
    }
}

impl Read for File<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(PIECE) as u32;
        let piece = read(self.path, self.offset, length).map_err(io::Error::other)?;
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        self.offset += length as u64;
        Ok(length)
    }
}

impl From<FileError> for Error {
    /// A file that is missing or not granted is for the operator to mend.
    fn from(error: FileError) -> Self {
        match error {
            FileError::NotFound(text) | FileError::Denied(text) => Self::Config(text),
            FileError::Other(text) => Self::Protocol(text),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.downcast::<FileError>() {
            Ok(error) => error.into(),
            Err(error) => Self::Protocol(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_kind_through_io() {
        let through = |error: FileError| Error::from(io::Error::other(error));
        let denied = through(FileError::Denied("not granted".into()));
        assert_eq!(denied, Error::Config("not granted".into()));
        let other = through(FileError::Other("disk".into()));
        assert_eq!(other, Error::Protocol("disk".into()));
        let foreign = Error::from(io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"));
        assert_eq!(foreign, Error::Protocol("not UTF-8".into()));
    }
}
