//! Rules that follow their files.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::file::{PolicyFiles, PolicyProblem, Stamp};
use super::rules::Rules;

/// How often the files are looked at. Requests never wait for that.
const PERIOD: Duration = Duration::from_secs(1);

/// The rules in force, read again when their files change.
#[derive(Debug)]
pub(crate) struct WatchedRules {
    files: PolicyFiles,
    current: RwLock<Arc<Rules>>,
}

impl WatchedRules {
    /// Reads the rules. Also gives what [`WatchedRules::follow`] goes on from.
    pub(crate) fn read(files: PolicyFiles) -> Result<(Self, Stamp), PolicyProblem> {
        let stamp = files.stamp();
        let rules = files.load_from(&stamp)?;
        Ok((Self { files, current: RwLock::new(Arc::new(rules)) }, stamp))
    }

    /// The rules in force.
    pub(crate) fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again whenever they change, until told to stop. What cannot be used is told
    /// of in the log, and the rules before stay in force.
    pub(crate) async fn follow(self: Arc<Self>, mut seen: Stamp, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            let rules = Arc::clone(&self);
            let looking = tokio::task::spawn_blocking(move || {
                rules.look(&mut seen);
                seen
            });
            seen = match looking.await {
                Ok(seen) => seen,
                Err(error) => {
                    tracing::error!(%error, "policy files are not watched any more");
                    return;
                }
            };
        }
    }

    /// Reads the files if they have changed since they were seen.
    fn look(&self, seen: &mut Stamp) {
        let stamp = self.files.stamp();
        if stamp == *seen {
            return;
        }
        let names = |stamp: &Stamp| {
            let names: Vec<_> = stamp.iter().map(|(path, _)| path.display().to_string()).collect();
            if names.is_empty() { "no files".to_owned() } else { names.join(", ") }
        };
        match self.files.load_from(&stamp) {
            Ok(rules) => {
                tracing::info!("policy rules read again from {}", names(&stamp));
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
            }
            Err(error) => {
                tracing::error!("{error}; the rules before stay in force");
            }
        }
        *seen = stamp;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::auth::caller::Caller;

    #[test]
    fn changes_are_followed_and_mistakes_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        let files = PolicyFiles {
            files: vec![path.clone()],
            default_rule: "default".to_owned(),
            ..PolicyFiles::default()
        };
        let (rules, mut seen) = WatchedRules::read(files.clone()).unwrap();
        let reader = Caller::new(serde_json::json!({}), vec!["reader".to_owned()]);
        let reads = |rules: &WatchedRules| rules.current().allow(&reader, "get_v1");
        assert!(!reads(&rules));

        fs::write(&path, "get_v1: role:reader\n").unwrap();
        rules.look(&mut seen);
        assert!(reads(&rules));
        let before = rules.current();
        rules.look(&mut seen);
        assert!(Arc::ptr_eq(&before, &rules.current()), "nothing was read again");

        fs::write(&path, "get_v1: role:reader or\n").unwrap();
        rules.look(&mut seen);
        assert!(reads(&rules));
        assert!(WatchedRules::read(files).is_err());

        fs::write(&path, "get_v1: '!'\n").unwrap();
        rules.look(&mut seen);
        assert!(!reads(&rules));
        fs::remove_file(&path).unwrap();
        rules.look(&mut seen);
        let admin = Caller::new(serde_json::json!({}), vec!["admin".to_owned()]);
        assert!(!reads(&rules) && rules.current().allow(&admin, "get_v1"));
    }
}
