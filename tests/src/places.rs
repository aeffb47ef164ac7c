//! Where things are.

use std::path::{Path, PathBuf};

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// The folder with the recorded behaviour of the original, if this machine has it:
/// `CONGRESS_SHARED`, or `shared` beside the workspace.
pub fn shared() -> Option<PathBuf> {
    let folder =
        std::env::var_os("CONGRESS_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// The folder with the built drivers: `CONGRESS_DRIVERS_OUT`, or `drivers/out`.
///
/// # Panics
///
/// If it is missing: no test can run without drivers.
pub fn drivers_folder() -> PathBuf {
    let folder = std::env::var_os("CONGRESS_DRIVERS_OUT")
        .map_or_else(|| root().join("drivers/out"), PathBuf::from);
    assert!(folder.is_dir(), "{} is missing: run scripts/build-drivers", folder.display());
    folder
}
