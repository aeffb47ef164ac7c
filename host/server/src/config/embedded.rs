//! The embedded default: what the server does without a configuration file.
//!
//! The original refuses to start then. We keep everything in one state folder instead, so that a
//! first look needs no preparation; on loopback, for there is no authentication.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{Cli, Config, Environment};

/// Names the state folder.
const VARIABLE: &str = "CONGRESS_STATE_DIR";

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot make the state folder {}: {source}; choose another one with --state-dir or \
     {VARIABLE}, or give a configuration file", folder.display()
)]
pub struct StateFolderError {
    folder: PathBuf,
    source: io::Error,
}

/// The state folder: `--state-dir`, `$CONGRESS_STATE_DIR`, then the place that the system has for
/// the state of services (root) or of users.
pub(super) fn state_folder(cli: &Cli, environment: &Environment) -> Option<PathBuf> {
    let of_user = || match environment.is_root {
        true => Some("/var/lib/congress".into()),
        false => environment
            .folder("XDG_STATE_HOME")
            .or_else(|| Some(environment.home.as_ref()?.join(".local/state")))
            .map(|state| state.join("congress")),
    };
    let named = cli.state_dir.clone().map(|path| std::path::absolute(&path).unwrap_or(path));
    named.or_else(|| environment.folder(VARIABLE)).or_else(of_user)
}

/// What the embedded default sets: section, name and value.
pub(super) fn values(state_folder: &Path) -> Vec<(&'static str, &'static str, String)> {
    let inside = |name: &str| state_folder.join(name).display().to_string();
    vec![
        ("DEFAULT", "bind_host", "127.0.0.1".into()),
        ("DEFAULT", "auth_strategy", "noauth".into()),
        // No balancer asks a server on loopback.
        ("DEFAULT", "graceful_drain_delay", "0".into()),
        ("DEFAULT", "transport_url", "memory://".into()),
        ("DEFAULT", "encryption_key_path", inside("keys")),
        (
            "DEFAULT",
            "driver_path",
            inside("drivers") + ":/usr/lib/congress/drivers:/etc/congress/drivers",
        ),
        (
            "DEFAULT",
            "policy_library_path",
            inside("library") + ":/etc/congress/library:/usr/share/congress/library",
        ),
        ("database", "connection", format!("sqlite:///{}", inside("congress.sqlite"))),
        ("plugins", "cache_path", inside("cache")),
    ]
}

impl Config {
    /// Makes the state folder (mode 0700), and the folder for drivers in it, if the server runs on
    /// its embedded default.
    pub fn create_state_folder(&self) -> Result<(), StateFolderError> {
        let Some(state_folder) = &self.state_folder else { return Ok(()) };
        for folder in [state_folder.clone(), state_folder.join("drivers")] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|source| StateFolderError { folder, source })?;
        }
        Ok(())
    }
}
