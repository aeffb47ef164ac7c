//! Which rows came and went, table by table.

use hashbrown::HashMap;

use crate::depgraph::Node;
use crate::eval::Given;
use crate::eval::rows::RowSet;
use crate::store::index::NONE;
use crate::store::word::{Mixer, Word};

/// Rows of one width.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) width: usize,
    pub(crate) len: usize,
    pub(crate) words: Vec<Word>,
}

impl Rows {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    pub(crate) fn push(&mut self, row: &[Word]) {
        self.words.extend_from_slice(row);
        self.len += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[Word]> {
        (0..self.len).map(|at| &self.words[at * self.width..(at + 1) * self.width])
    }

    pub(crate) fn given(&self) -> Given<'_> {
        Given { words: &self.words, width: self.width, len: self.len }
    }
}

/// The net change of a table's rows of one width.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delta {
    pub(crate) added: Rows,
    pub(crate) removed: Rows,
}

impl Delta {
    pub(crate) fn new(width: usize) -> Self {
        Self { added: Rows::new(width), removed: Rows::new(width) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.added.len + self.removed.len == 0
    }
}

/// The changes of all tables, by width.
pub(crate) type Deltas = HashMap<Node, Vec<Delta>>;

/// Collects the changes of stored rows while a batch is applied.
pub(crate) struct Journal {
    mixer: Mixer,
    tables: HashMap<Node, Vec<Net>>,
}

/// Rows of one width, and for each how often it came less how often it went.
struct Net {
    rows: RowSet,
    counts: Vec<i32>,
}

impl Journal {
    pub(crate) fn new(mixer: Mixer) -> Self {
        Self { mixer, tables: HashMap::new() }
    }

    /// Takes down that a row came, or went.
    pub(crate) fn record(&mut self, node: &Node, row: &[Word], came: bool) {
        let mixer = self.mixer;
        let nets = self.tables.entry_ref(node).or_default();
        let at = nets.iter().position(|net| net.rows.width() == row.len()).unwrap_or_else(|| {
            nets.push(Net { rows: RowSet::new(row.len(), false, mixer), counts: Vec::new() });
            nets.len() - 1
        });
        let net = &mut nets[at];
        let sign = if came { 1 } else { -1 };
        if net.rows.insert(row, row) {
            net.counts.push(sign);
            return;
        }
        let id = net.rows.position(row);
        if id != NONE {
            net.counts[id as usize] += sign;
        }
    }

    /// What is left of it.
    pub(crate) fn net(self) -> Deltas {
        let tables = self.tables.into_iter().filter_map(|(node, nets)| {
            let deltas = nets.into_iter().map(|net| {
                let mut delta = Delta::new(net.rows.width());
                for (row, count) in net.rows.iter().zip(&net.counts) {
                    match count.cmp(&0) {
                        std::cmp::Ordering::Greater => delta.added.push(row),
                        std::cmp::Ordering::Less => delta.removed.push(row),
                        std::cmp::Ordering::Equal => {}
                    }
                }
                delta
            });
            let deltas: Vec<Delta> = deltas.filter(|delta| !delta.is_empty()).collect();
            (!deltas.is_empty()).then_some((node, deltas))
        });
        tables.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_leaves_nothing() {
        let node = Node { policy: "p".into(), modal: None, table: "q".into() };
        let mut journal = Journal::new(Mixer::new(1));
        let row = |i: i64| [Word::int(i).unwrap_or(Word::UNBOUND)];
        journal.record(&node, &row(1), true);
        journal.record(&node, &row(1), false);
        assert!(Journal::new(Mixer::new(1)).net().is_empty());
        journal.record(&node, &row(2), false);
        journal.record(&node, &row(3), true);
        let deltas = journal.net();
        let delta = &deltas[&node][0];
        assert_eq!((delta.added.len, delta.removed.len), (1, 1));
        assert_eq!((&delta.added.words[..], &delta.removed.words[..]), (&row(3)[..], &row(2)[..]));
    }
}
