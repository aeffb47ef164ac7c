//! The steps: what each does to a batch of bindings.

use std::sync::Arc;

use super::plan::{Absent, Match, Range, Source};
use super::probe::Probe;
use super::ready::{Given, Reads};
use super::run::{BATCH, Evaluation, Level, value};
use crate::builtins::{Builtin, Small};
use crate::program::Arg;
use crate::store::index::{Index, IndexKey, NONE};
use crate::store::relation::Relation;
use crate::store::word::{Kind, Word};

/// Tables of up to so many rows are looked through: an index would not pay.
const SCANNED: usize = 16;

/// How a stored relation is read, settled when a step begins on a batch.
#[derive(Default)]
pub(super) enum Access {
    /// Nothing is read.
    #[default]
    None,
    /// By looking at all rows.
    Scan,
    /// All columns are bound: by looking the row up.
    Lookup,
    /// Through an index on the bound columns.
    Index(Arc<Index>),
    /// Through an index on some of the bound columns: those at these places.
    Part(Arc<Index>, Box<[usize]>),
    /// By looking at all rows once and finding the bindings that each one fits.
    Probe(Box<Probe>),
}

/// A place in the matches of a level.
#[derive(Clone, Copy)]
pub(super) enum Cursor {
    /// Nothing has been settled yet.
    Start,
    /// In a relation that is looked at once for all bindings: the row, and the next binding that
    /// may fit it.
    Probe { relation: usize, row: u32, binding: u32 },
    /// At the first match of the level's binding.
    Binding,
    /// Among the stored rows of a relation.
    Stored { relation: usize, row: u32 },
    /// Among derived, asked or given rows.
    Rows(u32),
}

impl<'s> Evaluation<'s> {
    /// Hands on each binding with each row that matches it, until a batch is full.
    pub(super) fn matches(
        &self,
        step: &Match,
        reads: &Reads<'s>,
        given: Given<'s>,
        stride: usize,
        level: &mut Level,
        out: &mut Vec<Word>,
    ) {
        if let Cursor::Start = level.cursor {
            self.settle(step, reads, stride, level);
        }
        if let Cursor::Probe { .. } = level.cursor
            && !self.probe(step, reads, stride, level, out)
        {
            return;
        }
        let full = BATCH * stride;
        let mut key = Vec::with_capacity(step.bound.len());
        let (mut done, mut cursor) = (false, level.cursor);
        while let Some(binding) = level.next(stride) {
            if let Cursor::Binding = cursor {
                done = self.was_probed(level);
                cursor = Cursor::Stored { relation: 0, row: NONE };
                key.clear();
                self.key(step, binding, &mut key);
                if let Reads::Table { stored: [Some(relation), _], .. } = reads {
                    let row = self.first_stored(relation, &level.access[0], &key);
                    cursor = Cursor::Stored { relation: 0, row };
                }
            } else if key.is_empty() {
                self.key(step, binding, &mut key);
            }
            if done {
                cursor = Cursor::Rows(NONE);
            }
            loop {
                let row = match cursor {
                    Cursor::Stored { relation: at, row: NONE } => {
                        cursor = match reads {
                            Reads::Table { stored: [_, Some(relation)], .. } if at == 0 => {
                                let row = self.first_stored(relation, &level.access[1], &key);
                                Cursor::Stored { relation: 1, row }
                            }
                            _ => Cursor::Rows(self.first_row(step, reads, &key)),
                        };
                        continue;
                    }
                    Cursor::Stored { relation: at, row } => {
                        let Reads::Table { stored, .. } = reads else {
                            break;
                        };
                        let Some(relation) = stored[at] else {
                            break;
                        };
                        let access = &level.access[at];
                        let next = match access {
                            Access::Scan if row + 1 < relation.end() => row + 1,
                            Access::Index(index) | Access::Part(index, _) => index.next(row),
                            _ => NONE,
                        };
                        cursor = Cursor::Stored { relation: at, row: next };
                        match relation.row(row) {
                            Some(row) if self.fits(step, access, row, &key) => row,
                            _ => continue,
                        }
                    }
                    Cursor::Rows(NONE) => break,
                    Cursor::Rows(row) => {
                        let (found, next) = self.row_and_next(step, reads, given, row);
                        cursor = Cursor::Rows(next);
                        match found {
                            Some(found) if self.row_fits(step, reads, found, &key) => found,
                            _ => continue,
                        }
                    }
                    Cursor::Start | Cursor::Probe { .. } | Cursor::Binding => break,
                };
                if !self.take(step, row, binding, out) {
                    continue;
                }
                if step.exists_only {
                    break;
                }
                if out.len() >= full {
                    level.cursor = cursor;
                    return;
                }
            }
            cursor = Cursor::Binding;
            level.at += 1;
            if out.len() >= full {
                break;
            }
        }
        level.cursor = Cursor::Binding;
    }

    /// What a binding looks for.
    fn key(&self, step: &Match, binding: &[Word], key: &mut Vec<Word>) {
        key.extend(step.bound.iter().map(|arg| match step.by_value {
            true => self.values.canonical(value(*arg, binding)),
            false => value(*arg, binding),
        }));
    }

    /// Settles how the stored relations are read.
    fn settle(&self, step: &Match, reads: &Reads<'s>, stride: usize, level: &mut Level) {
        level.cursor = Cursor::Binding;
        let Reads::Table { stored, .. } = reads else {
            return;
        };
        let bindings = level.bindings.len() / stride;
        for at in [1, 0] {
            let Some(relation) = stored[at] else {
                continue;
            };
            level.access[at] = self.access(step, relation, bindings);
            if let Access::Probe(probe) = &mut level.access[at] {
                for binding in level.bindings.chunks_exact(stride) {
                    let start = probe.keys.len();
                    self.key(step, binding, &mut probe.keys);
                    probe.file(start, step.bound.len(), self.state.dictionary.mixer());
                }
                level.cursor = Cursor::Probe { relation: at, row: 0, binding: NONE };
            }
        }
    }

    fn access(&self, step: &Match, relation: &Relation, bindings: usize) -> Access {
        if relation.len() == 0 {
            return Access::None;
        }
        if step.columns.is_empty() {
            return Access::Scan;
        }
        if step.columns.len() == relation.width() {
            return Access::Lookup;
        }
        if relation.len() <= SCANNED {
            return Access::Scan;
        }
        let key = IndexKey { columns: step.columns.clone(), by_value: step.by_value };
        let dictionary = &self.state.dictionary;
        let through = |index: Arc<Index>| {
            let own = &index.key().columns;
            if own.len() == step.columns.len() {
                return Access::Index(index);
            }
            let place = |column| step.columns.iter().position(|other| other == column);
            let places = own.iter().filter_map(place).collect();
            Access::Part(index, places)
        };
        if let Some(index) = relation.quick_index(dictionary, &key, false) {
            return through(index);
        }
        // A few passes cost less than an index.
        if bindings < BATCH && relation.may_pass(&key) {
            return Access::Probe(Box::new(Probe::new(bindings)));
        }
        match relation.quick_index(dictionary, &key, true) {
            Some(index) => through(index),
            None => Access::Probe(Box::new(Probe::new(bindings))),
        }
    }

    fn first_stored(&self, relation: &Relation, access: &Access, key: &[Word]) -> u32 {
        match access {
            Access::None | Access::Probe(_) => NONE,
            Access::Scan if relation.end() > 0 => 0,
            Access::Scan => NONE,
            Access::Lookup => relation.find_row(&self.state.dictionary, key).unwrap_or(NONE),
            Access::Index(index) => relation.first(&self.state.dictionary, index, key),
            Access::Part(index, places) => match places[..] {
                [place] => relation.first(&self.state.dictionary, index, &key[place..=place]),
                _ => {
                    let part: Vec<Word> = places.iter().map(|&place| key[place]).collect();
                    relation.first(&self.state.dictionary, index, &part)
                }
            },
        }
    }

    /// Whether a stored row has the key; an index has seen to that already.
    fn fits(&self, step: &Match, access: &Access, row: &[Word], key: &[Word]) -> bool {
        matches!(access, Access::Index(_))
            || step.columns.iter().zip(key).all(|(&column, &word)| {
                let stored = row[column as usize];
                match step.by_value {
                    true => self.state.dictionary.canonical(stored).joins(word),
                    false => stored.joins(word),
                }
            })
    }

    /// The first derived, asked or given row, or [`NONE`].
    fn first_row(&self, step: &Match, reads: &Reads<'s>, key: &[Word]) -> u32 {
        match (&step.source, reads) {
            (Source::Table(table), Reads::Table { memo: Some((memo, lookup)), .. }) => {
                let memo = &self.memos[*memo];
                match table.range {
                    Range::All => memo.rows.first(*lookup, key, u32::MAX),
                    Range::Now => memo.rows.first(*lookup, key, memo.now.rows),
                    Range::Old => memo.rows.first(*lookup, key, memo.old.rows),
                    Range::Delta if memo.old.rows < memo.now.rows => memo.old.rows,
                    Range::Delta => NONE,
                }
            }
            (Source::Asked(range), Reads::Asked(memo, lookup)) => {
                let memo = &self.memos[*memo];
                match range {
                    Range::Delta if memo.old.asked < memo.now.asked => memo.old.asked,
                    Range::Delta => NONE,
                    Range::Old => memo.asked.first(*lookup, key, memo.old.asked),
                    Range::Now => memo.asked.first(*lookup, key, memo.now.asked),
                    Range::All => memo.asked.first(*lookup, key, u32::MAX),
                }
            }
            (Source::Given, Reads::Given) => 0,
            _ => NONE,
        }
    }

    /// A derived, asked or given row, and the one to look at next.
    fn row_and_next<'r>(
        &'r self,
        step: &Match,
        reads: &Reads<'s>,
        given: Given<'s>,
        id: u32,
    ) -> (Option<&'r [Word]>, u32)
    where
        's: 'r,
    {
        let after = |end: u32| if id + 1 < end { id + 1 } else { NONE };
        match (&step.source, reads) {
            (Source::Table(table), Reads::Table { memo: Some((memo, lookup)), .. }) => {
                let memo = &self.memos[*memo];
                let next = match table.range {
                    Range::Delta => after(memo.now.rows),
                    _ => memo.rows.next(*lookup, id),
                };
                (Some(memo.rows.row(id)), next)
            }
            (Source::Asked(range), Reads::Asked(memo, lookup)) => {
                let memo = &self.memos[*memo];
                let next = match range {
                    Range::Delta => after(memo.now.asked),
                    _ => memo.asked.next(*lookup, id),
                };
                (Some(memo.asked.row(id)), next)
            }
            (Source::Given, Reads::Given) => match given.row(id) {
                Some(row) if (id as usize) < given.len => (Some(row), after(given.len as u32)),
                _ => (None, NONE),
            },
            _ => (None, NONE),
        }
    }

    /// Whether a derived, asked or given row has the key, where no look-up has seen to that.
    fn row_fits(&self, step: &Match, reads: &Reads<'s>, row: &[Word], key: &[Word]) -> bool {
        let looked_up = match (&step.source, reads) {
            (Source::Table(table), _) => table.range != Range::Delta,
            (Source::Asked(range), _) => *range != Range::Delta,
            (Source::Given, _) => false,
        };
        looked_up
            || step.columns.iter().zip(key).all(|(&column, &word)| {
                let own = row[column as usize];
                match step.by_value {
                    true => self.values.canonical(own).joins(word),
                    false => own.joins(word),
                }
            })
    }

    /// Hands on the binding extended by a row, if the row fits.
    #[inline]
    pub(super) fn take(
        &self,
        step: &Match,
        row: &[Word],
        binding: &[Word],
        out: &mut Vec<Word>,
    ) -> bool {
        let start = out.len();
        out.extend_from_slice(binding);
        let extended = &mut out[start..];
        for &(column, variable) in &step.binds {
            extended[variable as usize] = row[column as usize];
        }
        let fits = step.checks.iter().all(|&(column, variable)| {
            let (a, b) = (row[column as usize], extended[variable as usize]);
            match step.by_value {
                true => self.values.canonical(a).joins(self.values.canonical(b)),
                false => a.joins(b),
            }
        });
        if !fits {
            out.truncate(start);
        }
        fits
    }

    /// Hands on the bindings for which there is no row.
    pub(super) fn absent(
        &self,
        step: &Absent,
        reads: &Reads<'s>,
        stride: usize,
        level: &mut Level,
        out: &mut Vec<Word>,
    ) {
        let dictionary = &self.state.dictionary;
        let by_value = step.table.by_value;
        let mut row = Vec::with_capacity(step.args.len());
        let mut canonical = Vec::with_capacity(step.args.len());
        while let Some(binding) = level.next(stride) {
            row.clear();
            row.extend(step.args.iter().map(|arg| value(*arg, binding)));
            canonical.clear();
            canonical.extend(row.iter().map(|word| self.values.canonical(*word)));
            let present = match reads {
                Reads::Table { stored, memo } => {
                    let stored = stored.iter().flatten().any(|relation| {
                        let key = if relation.is_exact() { &row } else { &canonical };
                        relation.get(dictionary, key).is_some_and(|stored| {
                            stored.iter().zip(&row).all(|(a, b)| match by_value {
                                true => *a != Word::NAN,
                                false => a.joins(*b),
                            })
                        })
                    });
                    let key = if by_value { &canonical } else { &row };
                    stored || memo.is_some_and(|(memo, _)| self.memos[memo].rows.has(key))
                }
                _ => false,
            };
            if !present {
                out.extend_from_slice(binding);
            }
            level.at += 1;
        }
    }

    /// Evaluates a builtin on a binding, and binds its outputs. False if it does not hold.
    pub(super) fn compute(
        &mut self,
        builtin: &Builtin,
        args: &[Arg],
        bound_outputs: &[bool],
        negated: bool,
        binding: &mut [Word],
    ) -> bool {
        if let Some(holds) = compute_small(builtin, args, bound_outputs, binding) {
            return holds != negated;
        }
        let inputs: Option<Vec<_>> = args
            .iter()
            .take(builtin.inputs)
            .map(|arg| self.values.value(value(*arg, binding)))
            .collect();
        self.volatile |= inputs.as_ref().is_some_and(|inputs| builtin.is_volatile_for(inputs));
        // An error is no answer, and an input without a value an error.
        let results = inputs.and_then(|inputs| builtin.eval(&self.context, &inputs).ok().flatten());
        let Some(results) = results else {
            return negated;
        };
        let outputs = args.iter().skip(builtin.inputs);
        let mut holds = true;
        for ((arg, bound), result) in outputs.zip(bound_outputs).zip(&results) {
            let word = self.values.word(result);
            match arg {
                Arg::Variable(variable) if !bound => binding[*variable as usize] = word,
                _ => holds &= value(*arg, binding).joins(word),
            }
        }
        holds != negated
    }
}

/// A builtin on two small whole numbers; none if it is not that, or if the result is large.
#[inline]
fn compute_small(
    builtin: &Builtin,
    args: &[Arg],
    bound_outputs: &[bool],
    binding: &mut [Word],
) -> Option<bool> {
    let [x, y, outputs @ ..] = args else {
        return None;
    };
    let (Kind::Int(x), Kind::Int(y)) = (value(*x, binding).kind(), value(*y, binding).kind())
    else {
        return None;
    };
    match (builtin.eval_small(x, y)?, outputs) {
        (Small::Holds(holds), []) => Some(holds),
        (Small::Gives(result), [output]) => {
            let word = Word::int(result)?;
            match output {
                Arg::Variable(variable) if bound_outputs == [false] => {
                    binding[*variable as usize] = word;
                    Some(true)
                }
                _ => Some(value(*output, binding) == word),
            }
        }
        _ => None,
    }
}
