//! The builds of drivers that this node knows, and which of them are used.
//!
//! A build comes from a file or, where no file has its driver, from the database. What was loaded
//! from a place stays in use until its successor from the same place is loaded: neither a copy
//! under way nor a broken file takes a driver away.

use std::collections::BTreeMap;
use std::path::Path;

use congress_plugins::Driver;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::folder::{FileKey, Stamp, file_name};
use super::state::{DriverState, LoadState, NextBuild};

/// Where a build comes from, in order of preference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    File(FileKey),
    /// The database, under this id.
    Stored(String),
}

/// What there is to load; another one has to be loaded anew.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Version {
    File(Stamp),
    /// The component's hash.
    Stored(String),
}

/// How far the loading of a version is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    /// A file that has changed a moment ago.
    Copying,
    /// A file that ends too early.
    Incomplete,
    Compiling,
    Done,
    /// `disabled_drivers` has its driver.
    Disabled,
    /// Why it is not used.
    Failed(String),
    /// Why it is not used yet, and when it was tried.
    Postponed(String, Instant),
}

impl Stage {
    fn shown(&self) -> (LoadState, Option<String>) {
        match self {
            Self::Copying => (LoadState::Copying, None),
            Self::Incomplete => {
                let text = "it ends in the middle of a section: it is still being copied, or was \
                            cut; it is loaded once it is complete";
                (LoadState::Copying, Some(text.to_owned()))
            }
            Self::Compiling => (LoadState::Compiling, None),
            Self::Done | Self::Disabled => (LoadState::Ready, None),
            Self::Failed(text) | Self::Postponed(text, _) => {
                (LoadState::Failed, Some(text.clone()))
            }
        }
    }
}

/// A place's version, and what was loaded last from there.
pub(super) struct Build {
    pub(super) version: Version,
    /// Since when it is that version.
    pub(super) since: Instant,
    pub(super) stage: Stage,
    pub(super) driver: Option<Driver>,
    /// Whether its place was there when the folders were first looked at.
    pub(super) from_start: bool,
    /// That version is being loaded.
    pub(super) loading: Option<Loading>,
}

/// A load under way. It ends with this, and so does its compiler.
pub(super) struct Loading(pub(super) AbortHandle);

impl Drop for Loading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Build {
    pub(super) fn new(version: Version, from_start: bool) -> Self {
        let since = Instant::now();
        Self { version, since, stage: Stage::Copying, driver: None, from_start, loading: None }
    }

    /// Another version is there; what was loaded stays until that is.
    pub(super) fn replace(&mut self, version: Version) {
        self.version = version;
        self.since = Instant::now();
        self.stage = Stage::Copying;
        self.loading = None;
    }

    fn has(&self, id: &str) -> bool {
        self.driver.as_ref().is_some_and(|driver| driver.metadata().id == id)
    }

    /// Why a newer version is not used, if there is one that cannot be.
    pub(super) fn problem(&self) -> Option<String> {
        match &self.stage {
            Stage::Failed(text) | Stage::Postponed(text, _) => {
                Some(format!("its new build is not used, the one before runs on: {text}"))
            }
            Stage::Incomplete => Some(
                "its file ends in the middle of a section, for it is still being copied, or was \
                 cut; the build before runs on"
                    .to_owned(),
            ),
            Stage::Copying | Stage::Compiling | Stage::Done | Stage::Disabled => None,
        }
    }
}

/// All builds.
#[derive(Default)]
pub(super) struct Builds {
    pub(super) all: BTreeMap<Place, Build>,
    /// From where the drivers come that run, by id.
    pub(super) running: BTreeMap<String, Place>,
}

impl Builds {
    /// The builds that are used, by the driver's id. Of several files that were there from the
    /// start the most preferred one, whichever was loaded first; later the one that runs already.
    pub(super) fn used(&self) -> BTreeMap<&str, (&Place, &Build, &Driver)> {
        let mut used: BTreeMap<&str, (&Place, &Build, &Driver)> = BTreeMap::new();
        for (place, build) in &self.all {
            let Some(driver) = &build.driver else { continue };
            let id = driver.metadata().id.as_str();
            let best = used.get(id).map(|(_, best, _)| *best);
            let stays = matches!(place, Place::File(_))
                && self.running.get(id) == Some(place)
                && best.is_some_and(|best| !best.from_start || !build.from_start);
            if best.is_none() || stays {
                used.insert(id, (place, build, driver));
            }
        }
        used
    }

    /// Files that are not used because another file has their driver: id, file, and the one used.
    pub(super) fn duplicates(&self) -> Vec<(&str, &Path, &Path)> {
        let used = self.used();
        let mut duplicates = Vec::new();
        for (place, build) in &self.all {
            let (Place::File(key), Some(driver)) = (place, &build.driver) else { continue };
            let id = driver.metadata().id.as_str();
            if let Some((Place::File(user), ..)) = used.get(id)
                && user != key
            {
                duplicates.push((id, key.path.as_path(), user.path.as_path()));
            }
        }
        duplicates
    }

    /// What is wrong with a file of that path from which nothing was loaded, if anything is.
    pub(super) fn problem_of_file(&self, path: &Path) -> Option<String> {
        let is_it = |place: &Place| matches!(place, Place::File(key) if key.path == path);
        let build = self.all.iter().find(|(place, build)| is_it(place) && build.driver.is_none());
        let (_, problem) = build.map(|(_, build)| build.stage.shown())?;
        problem.map(|text| {
            let file = file_name(path);
            format!("its file {file} cannot be used, the build in the database runs: {text}")
        })
    }

    /// Whether a file has, or had, this driver.
    pub(super) fn in_file(&self, id: &str) -> bool {
        self.all.iter().any(|(place, build)| matches!(place, Place::File(_)) && build.has(id))
    }

    /// Whether the database has this driver and it cannot be used.
    pub(super) fn has_failed(&self, id: &str) -> bool {
        let build = self.all.get(&Place::Stored(id.to_owned()));
        build.is_some_and(|build| {
            matches!(build.stage, Stage::Failed(_) | Stage::Postponed(..)) && build.driver.is_none()
        })
    }

    /// Whether a file of that path is still to be judged.
    pub(super) fn is_open(&self, path: &Path) -> bool {
        self.all.iter().any(|(place, build)| {
            matches!(place, Place::File(key) if key.path == path)
                && matches!(build.stage, Stage::Copying | Stage::Compiling)
        })
    }

    /// Whether something is still to be judged that may be judged at once.
    pub(super) fn are_loading(&self, copies_too: bool) -> bool {
        self.all.values().any(|build| match build.stage {
            Stage::Compiling => true,
            Stage::Copying => copies_too,
            _ => false,
        })
    }

    /// What people are shown. `known` tells which driver the catalogue has of a file.
    pub(super) fn shown<'a>(&self, known: impl Fn(&Path) -> Option<&'a str>) -> Vec<DriverState> {
        let used = self.used();
        let mut shown = Vec::new();
        let visible = self.all.iter().filter(|(_, build)| build.stage != Stage::Disabled);
        for (place, build) in visible {
            let file = match place {
                Place::File(key) => Some(file_name(&key.path)),
                Place::Stored(_) => None,
            };
            let (state, error) = build.stage.shown();
            let Some(driver) = &build.driver else {
                let known = match place {
                    Place::File(key) => {
                        known(&key.path).filter(|id| !used.contains_key(id)).map(str::to_owned)
                    }
                    Place::Stored(id) => Some(id.clone()),
                };
                // A name with a dot is no driver's id.
                let id = known.or_else(|| file.clone()).unwrap_or_default();
                shown.push(DriverState { id, file, state, error, next_build: None, loaded: None });
                continue;
            };
            let id = driver.metadata().id.as_str();
            match used.get(id) {
                Some((user, ..)) if *user == place => shown.push(DriverState {
                    id: id.to_owned(),
                    file: file.clone(),
                    state: LoadState::Ready,
                    error: build.problem(),
                    next_build: (build.stage != Stage::Done).then_some(NextBuild {
                        file,
                        state,
                        error,
                    }),
                    loaded: Some(driver.into()),
                }),
                other => shown.push(DriverState {
                    id: file.clone().unwrap_or_else(|| id.to_owned()),
                    file,
                    state: LoadState::Failed,
                    error: Some(match other {
                        Some((Place::File(key), ..)) => format!(
                            "it is not used: driver '{id}' comes from {} already; remove one of \
                             them",
                            file_name(&key.path)
                        ),
                        _ => format!("it is not used: driver '{id}' is there already"),
                    }),
                    next_build: None,
                    loaded: None,
                }),
            }
        }
        shown
    }
}
