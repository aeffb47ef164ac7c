//! Variables and their values: cells, bound by unification and freed by backtracking.

use std::sync::Arc;

use crate::ast::{Atom, Term};
use crate::program::Arg;
use crate::store::scratch::Scratch;
use crate::store::word::Word;

/// What a variable holds.
#[derive(Clone, Copy)]
enum Cell {
    Unbound,
    Value(Word),
    /// The same as an older variable.
    Same(u32),
}

/// An argument with its variables followed to the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    /// An unbound cell.
    Unbound(u32),
    /// A value.
    Value(Word),
}

/// A state to go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    cells: usize,
    trail: usize,
}

/// The variables of all bodies that are being proved.
pub(super) struct Bindings<'s> {
    pub(super) values: Scratch<'s>,
    cells: Vec<Cell>,
    names: Vec<Arc<str>>,
    /// Cells in the order in which they were bound.
    trail: Vec<u32>,
}

impl<'s> Bindings<'s> {
    pub(super) fn new(values: Scratch<'s>) -> Self {
        Self { values, cells: Vec::new(), names: Vec::new(), trail: Vec::new() }
    }

    /// Fresh variables; the number of the first.
    pub(super) fn add(&mut self, names: &[Arc<str>]) -> u32 {
        let base = self.cells.len() as u32;
        self.cells.resize(self.cells.len() + names.len(), Cell::Unbound);
        self.names.extend_from_slice(names);
        base
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { cells: self.cells.len(), trail: self.trail.len() }
    }

    /// Undoes what was bound and added since.
    pub(super) fn undo(&mut self, mark: Mark) {
        for cell in self.trail.drain(mark.trail..) {
            self.cells[cell as usize] = Cell::Unbound;
        }
        self.cells.truncate(mark.cells);
        self.names.truncate(mark.cells);
    }

    /// An argument of a body whose variables start at `base`.
    pub(super) fn resolve(&self, arg: Arg, base: u32) -> Resolved {
        let mut cell = match arg {
            Arg::Constant(word) => return Resolved::Value(word),
            Arg::Variable(number) => base + number,
        };
        loop {
            match self.cells[cell as usize] {
                Cell::Unbound => return Resolved::Unbound(cell),
                Cell::Value(word) => return Resolved::Value(word),
                Cell::Same(older) => cell = older,
            }
        }
    }

    fn bind(&mut self, cell: u32, to: Cell) {
        self.cells[cell as usize] = to;
        self.trail.push(cell);
    }

    /// Makes two arguments equal, if they can be: by type and value, or by value alone.
    pub(super) fn unify(&mut self, a: Resolved, b: Resolved, by_value: bool) -> bool {
        match (a, b) {
            (Resolved::Value(a), Resolved::Value(b)) if by_value => {
                self.values.canonical(a).joins(self.values.canonical(b))
            }
            (Resolved::Value(a), Resolved::Value(b)) => a.joins(b),
            (Resolved::Unbound(cell), Resolved::Value(word))
            | (Resolved::Value(word), Resolved::Unbound(cell)) => {
                self.bind(cell, Cell::Value(word));
                true
            }
            (Resolved::Unbound(a), Resolved::Unbound(b)) => {
                // The newer one follows: backtracking frees it first, and the query's name stays.
                if a != b {
                    self.bind(a.max(b), Cell::Same(a.min(b)));
                }
                true
            }
        }
    }

    /// The name of an unbound cell, as it stands in its rule.
    pub(super) fn name(&self, cell: u32) -> &Arc<str> {
        &self.names[cell as usize]
    }

    /// An atom under the current bindings. `args` are its arguments, `name` names what is unbound.
    pub(super) fn instance(
        &self,
        atom: &Atom,
        args: &[Arg],
        base: u32,
        mut name: impl FnMut(u32) -> Arc<str>,
    ) -> Atom {
        let term = |arg: &Arg| match self.resolve(*arg, base) {
            Resolved::Unbound(cell) => Some(Term::Variable(name(cell))),
            Resolved::Value(word) => self.values.value(word).map(Term::Constant),
        };
        Atom { args: args.iter().filter_map(term).collect(), ..atom.clone() }
    }

    /// An atom of the query under the current bindings. `variables` are the query's, which are the
    /// first cells; a variable that is none of them stays.
    pub(super) fn query_instance(
        &self,
        atom: &Atom,
        variables: &[Arc<str>],
        mut name: impl FnMut(u32) -> Arc<str>,
    ) -> Atom {
        let mut term = |term: &Term| {
            let Term::Variable(variable) = term else {
                return Some(term.clone());
            };
            let Some(number) = variables.iter().position(|other| other == variable) else {
                return Some(term.clone());
            };
            match self.resolve(Arg::Variable(number as u32), 0) {
                Resolved::Unbound(cell) => Some(Term::Variable(name(cell))),
                Resolved::Value(word) => self.values.value(word).map(Term::Constant),
            }
        };
        Atom { args: atom.args.iter().filter_map(&mut term).collect(), ..atom.clone() }
    }
}
