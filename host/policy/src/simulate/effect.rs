//! What a statement of a sequence, or an action, changes: `t+(…)` and `t-(…)`.

use std::sync::Arc;

use crate::ast::{Atom, Statement};

/// A row that comes or goes.
pub(super) struct Effect {
    /// The policy that it changes.
    pub(super) policy: Arc<str>,
    /// As the head has it: with its sign, and with the policy if that is named.
    pub(super) atom: Atom,
}

impl Effect {
    /// Whether the row comes.
    pub(super) fn inserts(&self) -> bool {
        inserts(&self.atom)
    }

    /// The table without its sign.
    pub(super) fn table(&self) -> Arc<str> {
        unsigned(&self.atom).table
    }

    /// The row as it is stored.
    pub(super) fn stored(&self) -> Statement {
        Statement::Fact(unsigned(&self.atom))
    }
}

/// Whether an atom is an update.
pub(super) fn is_update(atom: &Atom) -> bool {
    atom.modal.is_none() && !atom.negated && atom.table.ends_with(['+', '-'])
}

/// Whether an update inserts.
pub(super) fn inserts(atom: &Atom) -> bool {
    atom.table.ends_with('+')
}

/// An update's atom without sign and policy.
pub(super) fn unsigned(atom: &Atom) -> Atom {
    let table = atom.table.strip_suffix(['+', '-']).unwrap_or(&atom.table);
    Atom { policy: None, table: table.into(), ..atom.clone() }
}
