//! How a driver's loading stands, as the role tells the API.

use congress_plugins::Driver;
use serde::{Deserialize, Serialize};

/// How far a driver, or a file that may become one, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadState {
    /// Its file is new or still being written.
    Copying,
    /// It is being compiled, or waits for its turn.
    Compiling,
    /// It can be used.
    Ready,
    /// It cannot be used; an error says why.
    Failed,
    /// It is in the catalogue; nobody who runs drivers says more of it.
    Stored,
}

/// One driver, or a file that is not one yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct DriverState {
    /// The driver's id; the file's name as long as that is not known.
    pub(in super::super) id: String,
    /// The name of its file; none if it came from the database.
    pub(in super::super) file: Option<String>,
    /// How far it is.
    pub(in super::super) state: LoadState,
    /// Why it, or its next build, is not used.
    pub(in super::super) error: Option<String>,
    /// A build that is to replace the one in use.
    pub(in super::super) next_build: Option<NextBuild>,
    /// The build in use.
    pub(in super::super) loaded: Option<LoadedBuild>,
}

/// A build that is to replace the one in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextBuild {
    /// The name of its file; none if it is in the database.
    pub file: Option<String>,
    /// How far it is.
    pub state: LoadState,
    /// Why it is not used.
    pub error: Option<String>,
}

/// A build in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct LoadedBuild {
    pub(in super::super) description: String,
    pub(in super::super) version: String,
    pub(in super::super) world: String,
    pub(in super::super) hash: String,
    /// When it was loaded, RFC 3339 in UTC.
    pub(in super::super) loaded_at: Option<String>,
}

impl DriverState {
    /// What it is to whoever works from the catalogue, where its driver has the component with
    /// this hash, or none: a build can be used once it is there.
    pub(in super::super) fn in_catalogue(mut self, hash: Option<&str>) -> Self {
        if self.loaded.as_ref().is_none_or(|build| hash == Some(build.hash.as_str())) {
            return self;
        }
        self.loaded = None;
        let file = self.file.clone();
        if hash.is_some() {
            self.next_build = Some(NextBuild { file, state: LoadState::Compiling, error: None });
        } else {
            self.state = LoadState::Compiling;
            self.id = file.unwrap_or(self.id);
        }
        self
    }
}

impl From<&Driver> for LoadedBuild {
    fn from(driver: &Driver) -> Self {
        let metadata = driver.metadata();
        let loaded_at = jiff::Timestamp::try_from(driver.loaded_at()).ok();
        Self {
            description: metadata.description.clone(),
            version: metadata.version.clone(),
            world: driver.world_version().to_owned(),
            hash: driver.hash().to_owned(),
            loaded_at: loaded_at.map(|at| at.to_string()),
        }
    }
}
