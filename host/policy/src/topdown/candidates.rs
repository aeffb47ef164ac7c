//! What a table literal can be proved by: stored rows that fit its bound arguments, then rules.

use std::borrow::Cow;
use std::sync::Arc;

use super::bindings::{Bindings, Resolved};
use crate::state::{State, StoredRule, Table};
use crate::store::index::{Index, IndexKey, NONE};
use crate::store::relation::Relation;
use crate::store::word::Word;

/// One candidate.
pub(super) enum Candidate<'s> {
    /// A stored row; or one `derived` by a rule with aggregates.
    Row {
        row: Cow<'s, [Word]>,
        derived: bool,
    },
    Rule(&'s Arc<StoredRule>),
}

/// Those that are left. A row or rule of another width is none.
pub(super) struct Candidates<'s> {
    facts: Option<Facts<'s>>,
    rules: std::slice::Iter<'s, Arc<StoredRule>>,
    /// The rows of the rule that was given last, if it is one with aggregates.
    derived: std::vec::IntoIter<Vec<Word>>,
    width: usize,
}

struct Facts<'s> {
    relation: &'s Relation,
    index: Option<Arc<Index>>,
    next: u32,
    /// Column and value of each bound argument.
    key: Vec<(u32, Word)>,
    by_value: bool,
}

impl<'s> Candidates<'s> {
    /// For the arguments of a literal, resolved. `by_value`: the table's rows match by value.
    pub(super) fn new(
        state: &'s State,
        table: &'s Table,
        bindings: &Bindings<'_>,
        args: &[Resolved],
        by_value: bool,
    ) -> Self {
        let key: Vec<(u32, Word)> = (0..)
            .zip(args)
            .filter_map(|(column, arg)| match arg {
                Resolved::Unbound(_) => None,
                Resolved::Value(word) if by_value => {
                    Some((column, bindings.values.canonical(*word)))
                }
                Resolved::Value(word) => Some((column, *word)),
            })
            .collect();
        let facts = table.relation(args.len()).map(|relation| {
            let columns: Box<[u32]> = key.iter().map(|(column, _)| *column).collect();
            let wanted = (!columns.is_empty()).then_some(IndexKey { columns, by_value });
            let index = wanted.and_then(|key| relation.index(&state.dictionary, &key));
            let next = match &index {
                Some(index) => {
                    let words: Vec<Word> = key.iter().map(|(_, word)| *word).collect();
                    relation.first(&state.dictionary, index, &words)
                }
                None if relation.end() > 0 => 0,
                None => NONE,
            };
            Facts { relation, index, next, key, by_value }
        });
        let derived = Vec::new().into_iter();
        Self { facts, rules: table.rules.iter(), derived, width: args.len() }
    }

    /// Puts rows before what is left.
    pub(super) fn derive(&mut self, rows: Vec<Vec<Word>>) {
        self.derived = rows.into_iter();
    }

    /// The next one.
    pub(super) fn next(&mut self, bindings: &Bindings<'_>) -> Option<Candidate<'s>> {
        if let Some(row) = self.facts.as_mut().and_then(|facts| facts.next(bindings)) {
            return Some(Candidate::Row { row: Cow::Borrowed(row), derived: false });
        }
        self.facts = None;
        if let Some(row) = self.derived.next() {
            return Some(Candidate::Row { row: Cow::Owned(row), derived: true });
        }
        let width = self.width;
        self.rules.find(|stored| stored.program.head.len() == width).map(Candidate::Rule)
    }
}

impl<'s> Facts<'s> {
    fn next(&mut self, bindings: &Bindings<'_>) -> Option<&'s [Word]> {
        while self.next != NONE {
            let id = self.next;
            self.next = match &self.index {
                Some(index) => index.next(id),
                None if id + 1 < self.relation.end() => id + 1,
                None => NONE,
            };
            let Some(row) = self.relation.row(id) else {
                continue;
            };
            let fits = self.key.iter().all(|&(column, word)| {
                let stored = row[column as usize];
                let stored = if self.by_value { bindings.values.canonical(stored) } else { stored };
                stored.joins(word)
            });
            if fits {
                return Some(row);
            }
        }
        None
    }
}
