//! The plugin host in this process, and what a datasource's errors mean to an author.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use congress_plugins::{Driver, Host, HostConfig, HostError, Limits, LoadError, Wire};

use super::options::Grants;
use crate::output;

/// How long loading may take without a word: from the cache it takes a few milliseconds.
const QUIET: Duration = Duration::from_millis(100);

/// A host with these grants. `wire` listens in, or answers instead of the network.
pub(super) fn host(grants: &Grants, wire: Option<Arc<dyn Wire>>) -> anyhow::Result<Host> {
    let limits = Limits { call_timeout: grants.call_timeout, ..Limits::default() };
    with_limits(grants, limits, wire)
}

/// The same with limits of one's own.
pub(super) fn with_limits(
    grants: &Grants,
    limits: Limits,
    wire: Option<Arc<dyn Wire>>,
) -> anyhow::Result<Host> {
    // Fails only if it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let files = grants.allow_file.iter().map(|path| {
        std::path::absolute(path).with_context(|| format!("--allow-file {}", path.display()))
    });
    let config = HostConfig {
        cache_folder: cache_folder(),
        limits,
        allowed_hosts: grants.allow.clone(),
        allowed_files: files.collect::<Result<_, _>>()?,
        wire,
        ..HostConfig::default()
    };
    match Host::new(config.clone()) {
        // Only the next start is slower for it.
        Err(HostError::Cache { .. }) => Ok(Host::new(HostConfig { cache_folder: None, ..config })?),
        other => Ok(other?),
    }
}

/// Where compiled code is kept: a Python driver takes many seconds to compile.
fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    let folder = caches.join("congress");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("compiled-drivers"))
}

/// The file, if it is there and one: a better error than the loader's for the commonest mistakes,
/// and no waiting for what never ends.
pub(super) fn existing(file: &Path) -> anyhow::Result<&Path> {
    let shown = file.display();
    match std::fs::metadata(file) {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(metadata) if metadata.is_dir() => {
            bail!("{shown} is a folder; name the .wasm file in it")
        }
        Ok(_) => bail!("{shown} is a pipe or a device; a component is a file"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("there is no file {shown}; has the driver been built?")
        }
        Err(error) => Err(error).with_context(|| format!("cannot look at {shown}")),
    }
}

/// Loads a component, and says so if that takes a while: one of a large language is compiled for
/// many seconds.
pub(super) async fn load(host: &Host, file: &Path) -> Result<Driver, LoadError> {
    announced(file, host.load(file)).await
}

/// Waits for what compiles a component, and says so if that takes a while.
pub(super) async fn announced<T>(file: &Path, compiling: impl Future<Output = T>) -> T {
    tokio::pin!(compiling);
    match tokio::time::timeout(QUIET, &mut compiling).await {
        Ok(done) => done,
        Err(_) => {
            output::note(&format!("compiling {} …", file.display()));
            compiling.await
        }
    }
}

/// An error's text, with what to do about it here where the server's words speak of
/// `congress.conf`.
pub(super) fn with_hint(error: &impl ToString) -> String {
    let text = error.to_string();
    let hint = if text.contains("`allowed_hosts`") {
        let entry = text.split("such as '").nth(1).and_then(|rest| rest.split('\'').next());
        format!("--allow {}", entry.unwrap_or("HOST"))
    } else if text.contains("`allowed_files`") {
        "--allow-file PATH".to_owned()
    } else if text.contains("`call_timeout`") {
        "--call-timeout SECONDS".to_owned()
    } else {
        return text;
    };
    format!("{text}\n  On this command line you are the operator: add {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_name_the_flag() {
        let denied = "localhost is a loopback address (127.0.0.1), which only the operator can \
                      grant: by an entry such as '127.0.0.1' in `allowed_hosts`";
        assert!(with_hint(&denied).ends_with("add --allow 127.0.0.1"));
        assert!(with_hint(&"by an entry in `allowed_files`").ends_with("--allow-file PATH"));
        assert_eq!(with_hint(&"no route"), "no route");
    }
}
