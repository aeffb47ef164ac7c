//! Actions: jobs that come all the time, a rule that has each of them done, and whether each was, once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use congress_tests::{Deployment, Server, drivers_folder};
use serde_json::{Value, json};

use crate::service::Service;

/// The datasource, which reads the jobs and does them.
const DATASOURCE: &str = "work";

/// The policy that asks for it.
const POLICY: &str = "deeds";

/// The most actions that one answer lists.
const PAGE: usize = 1000;

/// Jobs of a service that counts how often it was asked to do each.
pub(crate) struct Jobs {
    service: Service,
    names: Mutex<Vec<String>>,
}

/// What became of all jobs so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    done: usize,
    /// Those of which nobody knows whether they were done: who did them died meanwhile.
    unknown: usize,
    /// Those of these that were not.
    not_done: usize,
    /// Those that were begun and not run, for the node could not tell whether it still was to run
    /// them, and that are listed as failed.
    not_run: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, unknown, not_done, not_run } = self;
        write!(
            f,
            "{} actions: {done} done once, {unknown} listed as unknown, of which {not_done} were \
             not done, {not_run} listed as not run; none twice",
            done + unknown + not_run
        )
    }
}

impl Jobs {
    /// A service without jobs.
    pub(crate) async fn start() -> Self {
        Self { service: Service::start(&[]).await, names: Mutex::default() }
    }

    /// Puts the driver into a folder and answers the whole path of drivers.
    pub(crate) fn drivers(folder: &Path) -> std::io::Result<String> {
        let shipped = drivers_folder();
        let folder: PathBuf = folder.join("drivers");
        std::fs::create_dir(&folder)?;
        std::fs::copy(shipped.join("testing/worker.wasm"), folder.join("worker.wasm"))?;
        Ok(format!("{}:{}", shipped.display(), folder.display()))
    }

    /// Creates the datasource, and the policy with the rule.
    pub(crate) async fn enter(&self, deployment: &Deployment) -> anyhow::Result<()> {
        let config = json!({ "url": self.service.url(), "poll_time": "1" });
        deployment.create("worker", DATASOURCE, config).await?;
        deployment.policy(POLICY, ["execute[work:do(x)] :- work:jobs(x)"]).await
    }

    /// One more job.
    pub(crate) fn another(&self) {
        let mut names = self.names();
        let name = format!("job {}", names.len());
        names.push(name);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.service.jobs(&names);
    }

    /// Whether each job was done once, or is listed as one that was not, or of which that is not
    /// known; and was not done twice.
    pub(crate) async fn are_done(&self, server: &Server) -> Result<Tally, String> {
        let names = self.names().clone();
        let ledger = ledger(server).await?;
        let asked = self.service.asked();
        let mut tally = Tally::default();
        for name in &names {
            let times = asked.get(name).copied().unwrap_or_default();
            match (ledger.get(name).map(String::as_str), times) {
                (Some("done"), 1) => tally.done += 1,
                (Some("unknown"), 0) => {
                    tally.unknown += 1;
                    tally.not_done += 1;
                }
                (Some("unknown"), 1) => tally.unknown += 1,
                (Some("failed"), 0) => tally.not_run += 1,
                (state, times) => {
                    let state = state.unwrap_or("missing");
                    return Err(format!(
                        "{name} is {state} in the ledger, asked for {times} times"
                    ));
                }
            }
        }
        match ledger.keys().find(|name| !names.contains(name)) {
            Some(name) => Err(format!("the ledger has {name}, which never was")),
            None => Ok(tally),
        }
    }

    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of each job in the ledger of actions.
async fn ledger(server: &Server) -> Result<BTreeMap<String, String>, String> {
    let mut states = BTreeMap::new();
    let mut marker = String::new();
    loop {
        let path = format!("/v1/actions?policy={POLICY}&limit={PAGE}{marker}");
        let reply = server.get(&path).await.map_err(|error| format!("{path}: {error:#}"))?;
        let body: Value = reply.json().map_err(|error| format!("{path}: {error:#}"))?;
        let actions = body["results"].as_array().ok_or_else(|| format!("{path}: {body}"))?;
        for action in actions {
            let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let job = of(&action["arguments"][0]);
            if let Some(before) = states.insert(job.clone(), of(&action["state"])) {
                return Err(format!("{job} is in the ledger twice, once as {before}"));
            }
        }
        match actions.last() {
            Some(last) if actions.len() == PAGE => {
                marker = format!("&marker={}", last["id"].as_str().unwrap_or_default());
            }
            _ => return Ok(states),
        }
    }
}
