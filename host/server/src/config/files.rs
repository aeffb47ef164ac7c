//! Which configuration files there are.

use std::path::{Path, PathBuf};

use super::cli::Source;
use super::ini::Ini;
use super::{Cli, ConfigError, Environment, Problem};

/// The names of files that are looked for, each in every folder until one is found. Folders have
/// the same names with `.d` after them.
const NAMES: [&str; 2] = ["congress.conf", "congress-server.conf"];

/// Reads all files that the command line names or, unless it names any, that are found in the
/// usual places; likewise for folders. Later files win over earlier ones.
pub(super) fn read(
    cli: &Cli,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Result<Vec<Ini>, ConfigError> {
    let found = |suffix: &'static str| {
        NAMES.iter().filter_map(move |name| {
            let candidates = environment.config_folders.iter();
            candidates
                .map(|folder| folder.join(format!("{name}{suffix}")))
                .find(|path| path.exists())
        })
    };
    let mut paths = Vec::new();
    if !cli.sources.iter().any(|source| matches!(source, Source::File(_))) {
        paths.extend(found("").map(Ok));
    }
    if !cli.sources.iter().any(|source| matches!(source, Source::Folder(_))) {
        for folder in found(".d") {
            list(&folder, &mut paths);
        }
    }
    for source in &cli.sources {
        match source {
            Source::File(path) => paths.push(Ok(path.clone())),
            Source::Folder(folder) => list(folder, &mut paths),
        }
    }

    let mut files = Vec::new();
    let mut missing = Vec::new();
    for path in paths {
        let text = path.and_then(|path| match std::fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => Err(describe(&path, &error)),
        });
        match text {
            Ok((path, text)) => files.push(Ini::parse(&path, &text, problems)),
            Err(description) => missing.push(description),
        }
    }
    match missing.is_empty() {
        true => Ok(files),
        false => Err(ConfigError::Files(missing)),
    }
}

/// The `*.conf` files of a folder, sorted by name; or why they cannot be listed.
fn list(folder: &Path, paths: &mut Vec<Result<PathBuf, String>>) {
    let entries = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>());
    match entries {
        Ok(mut entries) => {
            entries.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
            entries.sort();
            paths.extend(entries.into_iter().map(Ok));
        }
        Err(error) => paths.push(Err(describe(folder, &error))),
    }
}

/// The bare path for what is not there, as the original says it.
fn describe(path: &Path, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => path.display().to_string(),
        _ => format!("{} ({error})", path.display()),
    }
}
