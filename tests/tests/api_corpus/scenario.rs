//! Recorded scenarios of the API: the format is described beside the recordings.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(crate) struct Scenario {
    #[serde(rename = "scenario")]
    pub(crate) name: String,
    pub(crate) server: ServerNeeds,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ServerNeeds {
    pub(crate) drivers: Vec<String>,
    /// `empty`, or a folder beside the recordings.
    pub(crate) library: String,
    /// Options of the section DEFAULT.
    pub(crate) config: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) step: usize,
    pub(crate) request: RecordedRequest,
    pub(crate) response: RecordedResponse,
    #[serde(rename = "match")]
    pub(crate) matching: Matching,
    pub(crate) eventually: Option<Eventually>,
    /// A defect of the reference: its answer is no requirement.
    pub(crate) quirk: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RecordedRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<RecordedBody>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecordedBody {
    Json(Value),
    Raw(String),
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RecordedResponse {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body_kind: BodyKind,
    pub(crate) body: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BodyKind {
    Json,
    Text,
    Empty,
}

/// How an answer is compared with the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Matching {
    Exact,
    MessageWordsAnyOrder,
    MessagePrefix,
    TraceTextMayDiffer,
    StatusAndRowCount,
    DriverSetDependsOnDeployment,
    UnstableText,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Eventually {
    timeout_s: u64,
}

impl Eventually {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }
}

/// Reads all scenarios of a folder, by name.
pub(crate) fn read_all(folder: &Path) -> Vec<Scenario> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = std::fs::read(path).expect("a file that can be read");
            serde_json::from_slice(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        })
        .collect()
}
