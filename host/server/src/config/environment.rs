//! What the configuration takes from the process's surroundings.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The surroundings of a process. A value of its own, so that tests bring theirs.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables; those that are not Unicode are left out.
    pub variables: BTreeMap<String, String>,
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// The host's name.
    pub host_name: String,
    /// Whether the process runs as root.
    pub is_root: bool,
    /// Where configuration files are looked for, in this order.
    pub config_folders: Vec<PathBuf>,
}

impl Environment {
    /// The surroundings of this process.
    pub fn of_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = std::env::home_dir().filter(|home| home.is_absolute());
        let mut config_folders = Vec::new();
        if let Some(home) = &home {
            config_folders.extend([home.join(".congress"), home.clone()]);
        }
        config_folders.extend(["/etc/congress".into(), "/etc".into()]);
        Self {
            variables,
            home,
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            is_root: rustix::process::geteuid().is_root(),
            config_folders,
        }
    }

    /// A variable that names a folder: set, and absolute.
    pub(super) fn folder(&self, variable: &str) -> Option<PathBuf> {
        self.variables.get(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}
