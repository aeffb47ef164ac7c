//! How wide tables are: declared by datasources, learned from use elsewhere.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::diagnostics;

/// The widths of one policy's tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    tables: HashMap<Arc<str>, Width>,
    declared: bool,
    complete: bool,
}

#[derive(Clone, Debug)]
struct Width {
    columns: usize,
    /// The column names, if declared.
    names: Option<Arc<[Arc<str>]>>,
    /// How many literals use a learned width; it is forgotten with the last one.
    uses: usize,
}

impl Width {
    fn is_any(&self) -> bool {
        self.columns == 0 && self.names.is_some()
    }
}

impl Schema {
    /// The schema with these tables declared, and none that were before. A complete schema knows
    /// all tables that there are; another one keeps the learned widths.
    pub(crate) fn redeclared(
        &self,
        tables: impl IntoIterator<Item = (Arc<str>, Arc<[Arc<str>]>)>,
        complete: bool,
    ) -> Self {
        let learned = |width: &&Width| !complete && width.uses > 0;
        let kept = self.tables.iter().filter(|(_, width)| learned(width));
        let mut all: HashMap<Arc<str>, Width> = kept
            .map(|(table, width)| (table.clone(), Width { names: None, ..width.clone() }))
            .collect();
        for (table, names) in tables {
            let uses = self.tables.get(&table).map_or(0, |width| width.uses);
            all.insert(table, Width { columns: names.len(), names: Some(names), uses });
        }
        Self { tables: all, declared: true, complete }
    }

    /// Whether tables have been declared.
    pub(crate) fn is_declared(&self) -> bool {
        self.declared
    }

    /// Whether there are no tables but the declared ones.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether there is certainly no such table.
    pub(crate) fn lacks(&self, table: &str) -> bool {
        self.complete && !self.tables.contains_key(table)
    }

    /// A table's number of columns, if known. A table that is declared without columns has rows of
    /// any width.
    pub(crate) fn width(&self, table: &str) -> Option<usize> {
        let width = self.tables.get(table)?;
        (!width.is_any()).then_some(width.columns)
    }

    /// Whether a table is declared, and without columns.
    pub(crate) fn is_any_width(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(Width::is_any)
    }

    /// A table's column names, if declared.
    pub(crate) fn columns(&self, table: &str) -> Option<&Arc<[Arc<str>]>> {
        self.tables.get(table)?.names.as_ref()
    }

    /// The tables with a width.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.tables.keys()
    }

    /// Which table was perhaps meant by one that is not there, of the declared ones of `policy`.
    pub(crate) fn suggest_table(&self, table: &str, policy: &str) -> Option<String> {
        let declared = self.tables.iter().filter(|(_, width)| width.names.is_some());
        let mut tables: Vec<&str> = declared.map(|(table, _)| &**table).collect();
        tables.sort_unstable();
        let near = |near: &str| format!("did you mean '{policy}:{near}'?");
        diagnostics::suggest(table, tables, near, &format!("the tables of '{policy}' are"))
    }

    /// Counts literals in; the first one fixes the width.
    pub(crate) fn learn(&mut self, table: &Arc<str>, columns: usize, uses: usize) {
        if self.complete || uses == 0 {
            return;
        }
        let width =
            self.tables.entry(table.clone()).or_insert(Width { columns, names: None, uses: 0 });
        width.uses += uses;
    }

    /// Counts one literal out.
    pub(crate) fn forget(&mut self, table: &str) {
        let Some(width) = self.tables.get_mut(table) else {
            return;
        };
        width.uses = width.uses.saturating_sub(1);
        if width.uses == 0 && width.names.is_none() {
            self.tables.remove(table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learned_width_goes_with_its_last_use() {
        let mut schema = Schema::default();
        let q: Arc<str> = "q".into();
        schema.learn(&q, 2, 1);
        schema.learn(&q, 3, 1);
        assert_eq!(schema.width("q"), Some(2));
        schema.forget("q");
        assert_eq!(schema.width("q"), Some(2));
        schema.forget("q");
        assert_eq!(schema.width("q"), None);
    }

    #[test]
    fn a_declared_width_stays() {
        let mut schema =
            Schema::default().redeclared([("q".into(), vec!["id".into()].into())], true);
        schema.forget("q");
        schema.learn(&"r".into(), 1, 1);
        assert_eq!((schema.width("q"), schema.width("r")), (Some(1), None));
        assert_eq!((schema.lacks("q"), schema.lacks("r")), (false, true));
    }

    #[test]
    fn a_table_without_columns_has_any_width() {
        let schema = Schema::default().redeclared([("q".into(), Vec::new().into())], true);
        assert_eq!((schema.width("q"), schema.lacks("q")), (None, false));
    }
}
