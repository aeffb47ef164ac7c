//! How a datasource fares, as the API shows it.

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
}

/// What a task notes down about itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// When the last poll or push ended.
    last_updated: Option<jiff::Zoned>,
    /// Why it failed, if it did.
    last_error: Option<String>,
    /// How many there were.
    updates: u64,
    /// Whether rows can be expected: after the first successful poll, or at once where rows are
    /// pushed.
    initialized: bool,
}

impl Progress {
    /// Notes the end of a poll or push.
    pub(super) fn updated(&mut self, error: Option<String>) {
        self.last_updated = Some(jiff::Zoned::now());
        self.updates += 1;
        self.initialized |= error.is_none();
        self.last_error = error;
    }

    /// Notes that the datasource cannot run.
    pub(super) fn broken(&mut self, reason: String) {
        self.last_error = Some(reason);
    }

    /// Forgets the error: what caused it has been mended.
    pub(super) fn mended(&mut self) {
        self.last_error = None;
    }

    /// Rows may come at any time.
    pub(super) fn ready(&mut self) {
        self.initialized = true;
    }

    /// What the API shows.
    pub(super) fn status(&self, subscribers: Vec<String>) -> Status {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "None".to_owned());
        let time = |at: &jiff::Zoned| at.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string();
        Status {
            last_updated: or_none(self.last_updated.as_ref().map(time)),
            last_error: or_none(self.last_error.clone()),
            number_of_updates: self.updates.to_string(),
            initialized: if self.initialized { "True" } else { "False" }.to_owned(),
            subscriptions: Vec::new(),
            subscribers,
        }
    }
}
