//! The code that runs for a datasource, and what its configuration says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use congress_bus::Schema;
use congress_plugins::Datasource;

/// The code that runs, and what its configuration says.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) source: Datasource,
    /// The source's tables.
    pub(super) schema: Schema,
    pub(super) poll_time: Option<Duration>,
    pub(super) lazy: Vec<String>,
    pub(super) persist: bool,
}

impl Running {
    /// The root tables to fetch: all but lazy ones that nobody subscribes to.
    pub(super) fn wanted(&self, subscribed: &BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
        self.source
            .tables()
            .iter()
            .filter(|table| table.root.is_none())
            .filter(|table| {
                !self.lazy.contains(&table.name) || subscribed.contains(table.name.as_str())
            })
            .map(|table| Arc::from(table.name.as_str()))
            .collect()
    }

    /// These root tables and all that are fetched with them.
    pub(super) fn with_children(&self, roots: &[Arc<str>]) -> Vec<Arc<str>> {
        let is_read = |root: &str| roots.iter().any(|name| **name == *root);
        self.source
            .tables()
            .iter()
            .filter(|table| is_read(table.root_name()))
            .map(|table| Arc::from(table.name.as_str()))
            .collect()
    }

    /// Whether a table is fetched only when somebody subscribes to its root table.
    pub(super) fn is_lazy(&self, table: &str) -> bool {
        let root = self.source.table(table).map_or(table, |schema| schema.root_name());
        self.lazy.iter().any(|name| name == root)
    }

    /// Whether the driver is to be polled.
    pub(super) fn polls(&self) -> bool {
        self.source.driver().metadata().feed.polls()
    }
}
