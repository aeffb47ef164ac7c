//! Building the Debian package from the binaries that tests have.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use congress_tests::{root, server_binary};

/// Builds it into a folder, uncompressed, and gives its file.
pub(crate) fn build(folder: &Path) -> PathBuf {
    let binaries = server_binary().unwrap().parent().unwrap().to_owned();
    let output = Command::new(root().join("scripts/package"))
        .env("CONGRESS_BINARIES", binaries)
        .env("OUT", folder)
        .env("COMPRESSION", "none")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut found = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    found.find(|path| path.extension().is_some_and(|kind| kind == "deb")).unwrap()
}
