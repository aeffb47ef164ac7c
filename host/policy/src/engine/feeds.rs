//! Rows from datasources: whole tables and changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use congress_table::{Change, Row, Value};

use super::apply::{policy_mut, table_mut};
use super::{Engine, Outcome};
use crate::ast::Constant;
use crate::depgraph::Node;
use crate::error::{Error, ErrorKind, Errors};
use crate::policy::PolicyKind;
use crate::program::TableKey;
use crate::schema::Schema;
use crate::state::Policy;
use crate::store::interner::Interner;
use crate::store::relation::Relation;
use crate::store::word::Word;

impl Engine {
    /// The policy for a feed.
    fn fed(&self, name: &str) -> Result<&Arc<Policy>, Error> {
        let policy = self.state.target(Some(name))?;
        let kind = policy.info.kind;
        if matches!(kind, PolicyKind::Database | PolicyKind::Materialized) {
            let text = format!("Policy {name} is of kind {kind}, which takes no tables of rows");
            return Err(Error::new(ErrorKind::Policy, text));
        }
        Ok(policy)
    }

    pub(super) fn replace_tables(
        &mut self,
        policy: &str,
        tables: &[(Arc<str>, Vec<Row>)],
    ) -> Result<Outcome, Errors> {
        let name = self.fed(policy)?.info.name.clone();
        let before = self.begin();
        for (table, rows) in tables {
            self.clear_rules(&name, table);
            self.replace_rows(&name, table, rows);
        }
        Ok(self.finish(before))
    }

    /// Puts rows in the place of those that a table has.
    pub(super) fn replace_rows(&mut self, policy: &Arc<str>, name: &Arc<str>, rows: &[Row]) {
        if let Some(owner) = policy_mut(Arc::make_mut(&mut self.state), policy) {
            let table = table_mut(owner, &TableKey::plain(name));
            let old = table.facts.clone();
            for relation in &mut table.facts {
                *relation = Arc::new(relation.emptied());
            }
            self.release_rows(&plain(policy, name), &old);
        }
        self.change_rows(policy, name, &[], rows);
    }

    /// Counts out the values of rows that have gone from a table.
    pub(super) fn release_rows(&mut self, node: &Node, gone: &[Arc<Relation>]) {
        let state = Arc::make_mut(&mut self.state);
        let mut interner = Interner { dictionary: &mut state.dictionary, counts: &mut self.counts };
        for row in gone.iter().flat_map(|relation| relation.iter()) {
            row.iter().for_each(|word| interner.release(*word));
            if let Some(journal) = &mut self.journal {
                journal.record(node, row, false);
            }
        }
    }

    /// Takes out all rules of a table.
    fn clear_rules(&mut self, policy: &Arc<str>, name: &Arc<str>) {
        let table = self.state.table(policy, &TableKey::plain(name));
        let rules = table.into_iter().flat_map(|table| &table.rules);
        let rules: Vec<_> = rules.map(|stored| (policy.clone(), stored.clone())).collect();
        self.take_out(&rules);
    }

    pub(super) fn apply_rows(
        &mut self,
        policy: &str,
        change: &Change,
        whole: &BTreeSet<Arc<str>>,
    ) -> Result<Outcome, Errors> {
        let owner = self.fed(policy)?;
        let errors: Vec<Error> = change
            .tables
            .iter()
            .flat_map(|(table, delta)| {
                let rows = delta.removed.iter().chain(&delta.added);
                wrong_rows(&owner.info.name, &owner.schema, table, rows)
            })
            .collect();
        if !errors.is_empty() {
            return Err(Errors(errors));
        }
        let name = owner.info.name.clone();
        let before = self.begin();
        for (table, delta) in &change.tables {
            match whole.contains(table) {
                true => self.replace_rows(&name, table, &delta.added),
                false => self.change_rows(&name, table, &delta.removed, &delta.added),
            }
        }
        Ok(self.finish(before))
    }

    fn change_rows(&mut self, policy: &Arc<str>, table: &Arc<str>, removed: &[Row], added: &[Row]) {
        let ascii = self.options.ascii_only_rows;
        let state = Arc::make_mut(&mut self.state);
        let mut interner = Interner { dictionary: &mut state.dictionary, counts: &mut self.counts };
        let Some(owner) = state.policies.get_mut(policy) else {
            return;
        };
        let node = plain(policy, table);
        let table = table_mut(Arc::make_mut(owner), &TableKey::plain(table));
        table.initialized = true;
        let mut block = Block::default();
        for (rows, insert) in [(removed, false), (added, true)] {
            let alike = rows.chunk_by(|a, b| a.len() == b.len());
            for rows in alike.flat_map(|rows| rows.chunks(BLOCK)) {
                let relation = table.relation_mut(rows[0].len());
                block.read(&mut interner, relation, rows, ascii);
                for (words, hash) in block.rows(relation.width()) {
                    if insert {
                        if relation.insert_with_hash(interner.dictionary, words, hash) {
                            if let Some(journal) = &mut self.journal {
                                journal.record(&node, words, true);
                            }
                            continue;
                        }
                    } else if let Some(stored) = relation.remove(interner.dictionary, words) {
                        stored.iter().for_each(|word| interner.release(*word));
                        if let Some(journal) = &mut self.journal {
                            journal.record(&node, &stored, false);
                        }
                    }
                    words.iter().for_each(|word| interner.release(*word));
                }
            }
        }
    }
}

/// So many rows are looked up together, for the memory that it takes waits in parallel.
const BLOCK: usize = 128;

/// Rows as words.
#[derive(Default)]
struct Block {
    text_hashes: Vec<u64>,
    words: Vec<Word>,
    row_hashes: Vec<u64>,
}

impl Block {
    /// Takes in the rows of a relation; counts one use of each value.
    fn read(
        &mut self,
        interner: &mut Interner<'_>,
        relation: &Relation,
        rows: &[Row],
        ascii: bool,
    ) {
        let Self { text_hashes, words, row_hashes } = self;
        text_hashes.clear();
        text_hashes.extend(rows.iter().flat_map(|row| row.iter()).map(|value| match value {
            Value::Text(text) => interner.dictionary.text_hash(text),
            _ => 0,
        }));
        text_hashes.iter().for_each(|hash| interner.dictionary.warm_text(*hash));
        words.clear();
        for (value, &hash) in rows.iter().flat_map(|row| row.iter()).zip(&*text_hashes) {
            words.push(match value {
                Value::Text(text) if !ascii || text.is_ascii() => {
                    interner.text_with_hash(text, hash)
                }
                other => word(interner, other, ascii),
            });
        }
        row_hashes.clear();
        row_hashes.extend((0..rows.len()).map(|at| {
            let row = &words[at * relation.width()..(at + 1) * relation.width()];
            relation.hash(interner.dictionary, row)
        }));
        row_hashes.iter().for_each(|hash| relation.warm(*hash));
    }

    /// The rows, and their hashes.
    fn rows(&self, width: usize) -> impl Iterator<Item = (&[Word], u64)> {
        let row = move |at: usize| &self.words[at * width..(at + 1) * width];
        self.row_hashes.iter().enumerate().map(move |(at, &hash)| (row(at), hash))
    }
}

fn plain(policy: &Arc<str>, table: &Arc<str>) -> Node {
    Node { policy: policy.clone(), modal: None, table: table.clone() }
}

/// A datasource's value as policies see it; counts one use.
fn word(interner: &mut Interner<'_>, value: &Value, ascii: bool) -> Word {
    match value {
        Value::Int(int) => Word::int(*int).unwrap_or_else(|| interner.int(&(*int).into())),
        Value::Float(float) => interner.float(*float),
        Value::Text(text) if ascii && !text.is_ascii() => {
            let text: String = text.chars().filter(char::is_ascii).collect();
            interner.text(&Arc::<str>::from(text))
        }
        Value::Text(text) => interner.text(text),
        Value::Null | Value::Bool(_) => match value.for_policy() {
            Value::Text(text) => interner.text(&text),
            // `for_policy` makes texts of these.
            _ => Word::UNBOUND,
        },
    }
}

/// A datasource's value as policies print it.
fn printed(value: &Value) -> String {
    let constant = match value.for_policy() {
        Value::Int(int) => Constant::Int(int.into()),
        Value::Float(float) => Constant::Float(float),
        Value::Text(text) => Constant::Text(text.into()),
        // `for_policy` makes texts of these.
        other => return other.to_string(),
    };
    constant.to_string()
}

/// The most errors that one feed reports: a wrong table is wrong in every row.
const REPORTED: usize = 10;

/// What is wrong with rows for a table of a policy that has this schema.
pub(super) fn wrong_rows<'r>(
    policy: &str,
    schema: &Schema,
    table: &str,
    rows: impl Iterator<Item = &'r Row>,
) -> Vec<Error> {
    let error = |text| vec![Error::new(ErrorKind::Schema, text)];
    match schema.width(table) {
        // That rules mention it gives it a width, and does not make it a table of the datasource.
        _ if schema.is_declared() && schema.columns(table).is_none() => {
            error(format!("Rows for unknown table {table} of policy {policy}"))
        }
        None => Vec::new(),
        Some(width) => rows
            .filter(|row| row.len() != width)
            .take(REPORTED)
            .flat_map(|row| {
                let cells: Vec<String> = row.iter().map(printed).collect();
                error(format!(
                    "Literal {table}({}) contained {} arguments but exactly {width} arguments are \
                     permitted",
                    cells.join(", "),
                    row.len()
                ))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use congress_table::TableDelta;

    use crate::{Engine, Fired, NewPolicy, Options, PolicyKind};

    use super::*;

    /// A table whose publisher began anew has just what the change adds, and watches hear of the
    /// difference alone.
    #[test]
    fn a_change_can_have_whole_tables() {
        let clock = Arc::new(|| time::macros::datetime!(2024-02-03 04:05:06));
        let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
        engine.create_policy(NewPolicy::new("s", PolicyKind::Datasource)).unwrap();
        engine.watch("w", None, "s:t", None).unwrap();
        let row = |n: i64| -> Row { [Value::Int(n)].into() };
        let change = |table: &str, added: &[i64], removed: &[i64]| {
            let rows = |numbers: &[i64]| numbers.iter().map(|n| row(*n)).collect();
            (table.into(), TableDelta { added: rows(added), removed: rows(removed) })
        };
        let first = Change { tables: vec![change("t", &[1, 2], &[]), change("u", &[1], &[])] };
        engine.apply_change("s", &first).unwrap();
        let second = Change { tables: vec![change("t", &[2, 3], &[]), change("u", &[2], &[])] };
        let outcome =
            engine.apply_change_replacing("s", &second, &BTreeSet::from(["t".into()])).unwrap();
        let fired = &outcome.fired[..];
        let [Fired { added, removed, .. }] = fired else { panic!("{fired:?}") };
        assert_eq!((added.len(), removed.len()), (1, 1));
        let snapshot = engine.snapshot();
        assert_eq!(snapshot.rows("s", "t").unwrap().len(), 2);
        assert_eq!(snapshot.rows("s", "u").unwrap().len(), 2);
    }

    /// Rows that are replaced for a long time leave nothing behind, fresh texts and all.
    #[test]
    fn the_dictionary_does_not_grow_with_churn() {
        let clock = Arc::new(|| time::macros::datetime!(2024-02-03 04:05:06));
        let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
        engine.create_policy(NewPolicy::new("s", PolicyKind::Datasource)).unwrap();
        engine.insert("p(x) :- t(x, \"kept\", 1.5)", None).unwrap();
        let rows = |round: i64| -> Vec<Row> {
            (0..50)
                .map(|i| {
                    let number = (round * 50 + i) as f64;
                    [
                        Value::text(format!("text {round} {i}")),
                        Value::Float(number + 0.5),
                        Value::Float(number * 1e30),
                    ]
                    .into()
                })
                .collect()
        };
        let delta =
            |added, removed| Change { tables: vec![("t".into(), TableDelta { added, removed })] };
        engine.apply_change("s", &delta(rows(0), vec![])).unwrap();
        let after_warm_up = engine.state.dictionary.sizes();
        let mut snapshot = engine.snapshot();
        for round in 1..200 {
            if round % 3 == 0 {
                engine.initialize_tables("s", &[("t".into(), rows(round))]).unwrap();
            } else {
                engine.apply_change("s", &delta(rows(round), rows(round - 1))).unwrap();
            }
            let held = std::mem::replace(&mut snapshot, engine.snapshot());
            assert_eq!(held.rows("s", "t").unwrap().len(), 50);
        }
        let (texts, numbers) = engine.state.dictionary.sizes();
        assert!(texts <= 2 * after_warm_up.0 && numbers <= 2 * after_warm_up.1);
        engine.delete_policy("s", crate::References::Dangle).unwrap();
        assert!(engine.state.dictionary.is_empty());
    }
}
