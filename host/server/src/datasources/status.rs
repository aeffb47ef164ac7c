//! How a datasource fares, as the API shows it.

use std::time::{Duration, Instant};

use congress_plugins::Driver;
use jiff::{SignedDuration, Zoned};
use serde::{Deserialize, Serialize};

/// The status of a datasource. All values are texts, as they have always been; what a datasource
/// subscribes to has always been listed too, and is nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    last_updated: String,
    last_error: String,
    number_of_updates: String,
    initialized: String,
    subscriptions: Vec<(String, String)>,
    subscribers: Vec<String>,
    /// Seconds since all of its rows were last as the service had them.
    data_age: String,
    /// How often it has failed in a row.
    failures: String,
    /// When it tries again after a failure, unless somebody asks for a refresh.
    next_attempt: String,
    /// The version of its driver that runs.
    driver_version: String,
    /// The hash of the component that runs.
    driver_hash: String,
    /// Why it does not run a newer build.
    driver_error: String,
}

/// What a task notes down about itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// When the last poll or push ended.
    last_updated: Option<Zoned>,
    /// Since when its rows are known to be right.
    fresh_since: Option<Instant>,
    /// Why it failed, if it did.
    last_error: Option<String>,
    /// How many there were.
    updates: u64,
    /// Whether rows can be expected: after the first successful poll, or at once where rows are
    /// pushed.
    initialized: bool,
    failures: u32,
    next_attempt: Option<Zoned>,
    /// Version and hash of the build that runs.
    driver: Option<(String, String)>,
    driver_problem: Option<String>,
    /// What is wrong with the driver's file, whatever runs.
    file_problem: Option<String>,
}

impl Progress {
    /// Notes the end of a poll or push.
    pub(super) fn updated(&mut self, error: Option<String>) {
        self.last_updated = Some(Zoned::now());
        self.updates += 1;
        self.initialized |= error.is_none();
        if error.is_none() {
            self.fresh_since = Some(Instant::now());
        }
        self.last_error = error;
    }

    /// Notes that the datasource cannot run.
    pub(super) fn broken(&mut self, reason: String) {
        self.last_error = Some(reason);
    }

    /// Notes that this build runs now. What failed before has been mended by it.
    pub(super) fn started(&mut self, driver: &Driver) {
        let version = driver.metadata().version.clone();
        self.driver = Some((version, driver.hash().to_owned()));
        self.last_error = None;
        self.driver_problem = None;
        self.next_attempt(None, 0);
    }

    /// Notes that no code runs any more.
    pub(super) fn stopped(&mut self) {
        self.driver = None;
        (self.driver_problem, self.file_problem) = (None, None);
        self.next_attempt(None, 0);
    }

    /// Notes why a newer build does not run, if that is so.
    pub(super) fn driver_problem(&mut self, problem: Option<String>) {
        self.driver_problem = problem;
    }

    /// Notes what is wrong with the driver's file, if anything is.
    pub(super) fn file_problem(&mut self, problem: Option<String>) {
        self.file_problem = problem;
    }

    /// Notes when it tries again, having failed that often in a row.
    pub(super) fn next_attempt(&mut self, pause: Option<Duration>, failures: u32) {
        let pause = pause.and_then(|pause| SignedDuration::try_from(pause).ok());
        self.next_attempt = pause.and_then(|pause| Zoned::now().checked_add(pause).ok());
        self.failures = failures;
    }

    /// Rows may come at any time.
    pub(super) fn ready(&mut self) {
        self.initialized = true;
    }

    /// Why it does not run, or what went wrong last.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// What the API shows.
    pub(super) fn status(&self, subscribers: Vec<String>) -> Status {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "None".to_owned());
        let time = |at: &Zoned| at.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string();
        let (version, hash) = self.driver.clone().unzip();
        Status {
            last_updated: or_none(self.last_updated.as_ref().map(time)),
            last_error: or_none(self.last_error.clone()),
            number_of_updates: self.updates.to_string(),
            initialized: if self.initialized { "True" } else { "False" }.to_owned(),
            subscriptions: Vec::new(),
            subscribers,
            data_age: or_none(self.fresh_since.map(|at| at.elapsed().as_secs().to_string())),
            failures: self.failures.to_string(),
            next_attempt: or_none(self.next_attempt.as_ref().map(time)),
            driver_version: or_none(version),
            driver_hash: or_none(hash),
            driver_error: or_none(
                self.driver_problem.clone().or_else(|| self.file_problem.clone()),
            ),
        }
    }
}
