//! What travels: changes of tables.

use std::sync::Arc;

use crate::Row;

/// Rows that came to one table and rows that went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableDelta {
    /// Rows that are new.
    pub added: Vec<Row>,
    /// Rows that are gone.
    pub removed: Vec<Row>,
}

impl TableDelta {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// All tables of one datasource that one poll or push changed; applied as a whole, so that tables
/// of one source never disagree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Table name and what changed in it. A table that is mentioned exists from then on, also
    /// when its delta is empty: that is how an empty table is told from one not read yet.
    pub tables: Vec<(Arc<str>, TableDelta)>,
}

impl Change {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}
