//! Changing the state by one statement. What comes here has passed all checks.

use std::sync::Arc;

use super::Engine;
use crate::ast::{Atom, Rule, Statement, Term};
use crate::check::widths;
use crate::depgraph::Node;
use crate::program::{Compiler, TableKey};
use crate::state::{Policy, State, StoredRule, Table, Written};
use crate::store::interner::{Counts, Interner};
use crate::store::word::Word;

/// The policy, to be changed.
pub(super) fn policy_mut<'s>(state: &'s mut State, name: &str) -> Option<&'s mut Policy> {
    state.policies.get_mut(name).map(Arc::make_mut)
}

/// The table, to be changed; made if it is not there.
pub(super) fn table_mut<'p>(policy: &'p mut Policy, key: &TableKey) -> &'p mut Table {
    Arc::make_mut(policy.tables.entry_ref(key).or_default())
}

impl Engine {
    /// Inserts or deletes one statement and returns it. `None` if it was there, or not there,
    /// already. `written`: a rule as it was given.
    pub(super) fn apply(
        &mut self,
        policy: &Arc<str>,
        statement: Statement,
        insert: bool,
        written: Option<Written>,
    ) -> Option<Statement> {
        let state = Arc::make_mut(&mut self.state);
        let statement = match (statement, insert) {
            (Statement::Fact(atom), true) => {
                let row = insert_fact(state, &mut self.counts, policy, &atom)?;
                self.record(&Node::of(policy, &atom), &row, true);
                Statement::Fact(atom)
            }
            (Statement::Fact(atom), false) => {
                let row = delete_fact(state, &mut self.counts, policy, &atom)?;
                self.record(&Node::of(policy, &atom), &row, false);
                Statement::Fact(atom)
            }
            (Statement::Rule(rule), true) => {
                let number = self.next_rule;
                insert_rule(state, &mut self.counts, policy, &rule, number, written)?;
                self.next_rule += 1;
                self.count_execution(policy, &rule, true);
                Statement::Rule(rule)
            }
            (Statement::Rule(rule), false) => {
                let stored = delete_rule(state, &mut self.counts, policy, &rule)?;
                self.count_execution(policy, &stored.rule, false);
                Statement::Rule(rule)
            }
            (Statement::Event(_), _) => return None,
        };
        let state = Arc::make_mut(&mut self.state);
        count_widths(state, policy, &statement, insert);
        if matches!(statement, Statement::Rule(_)) {
            self.subscriptions_version += 1;
            if let Statement::Rule(rule) = &statement
                && let Some(head) = rule.heads.first()
            {
                self.views.rule_changed(Node::of(policy, head));
            }
        }
        Some(statement)
    }

    /// Takes stored rules out of their policies, and finds the recursions anew.
    pub(super) fn take_out(&mut self, rules: &[(Arc<str>, Arc<StoredRule>)]) {
        for (policy, stored) in rules {
            self.graph.remove(policy, &stored.rule);
            self.apply(policy, Statement::Rule(stored.rule.clone()), false, None);
        }
        let heads = rules.iter().flat_map(|(policy, stored)| {
            stored.rule.heads.iter().map(move |head| Node::of(policy, head))
        });
        self.find_recursions(heads.collect());
    }

    /// Counts the `execute[…]` heads, whose tables are watched.
    pub(super) fn count_execution(&mut self, policy: &Arc<str>, rule: &Rule, insert: bool) {
        let Some(head) = rule.heads.first().filter(|head| head.modal.is_some()) else {
            return;
        };
        let node = Node::of(policy, head);
        if insert {
            *self.executed.entry(node).or_default() += 1;
        } else if let Some(count) = self.executed.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                self.executed.remove(&node);
            }
        }
    }
}

/// Counts a statement's literals in or out of the widths that policies learn.
pub(crate) fn count_widths(
    state: &mut State,
    policy: &Arc<str>,
    statement: &Statement,
    insert: bool,
) {
    for atom in widths::literals(statement) {
        let owner = atom.policy.as_ref().unwrap_or(policy);
        let Some(owner) = state.policies.get_mut(owner) else {
            continue;
        };
        if !owner.learns_widths() {
            continue;
        }
        let schema = &mut Arc::make_mut(owner).schema;
        match insert {
            true => schema.learn(&atom.table, atom.args.len(), 1),
            false => schema.forget(&atom.table),
        }
    }
}

/// Appends the words of a fact; counts one use of each.
pub(super) fn intern_fact(interner: &mut Interner<'_>, fact: &Atom, row: &mut Vec<Word>) {
    row.extend(fact.args.iter().filter_map(|term| match term {
        Term::Constant(constant) => Some(interner.intern(constant)),
        // No fact has any other.
        Term::Variable(_) | Term::Aggregate(_) => None,
    }));
}

pub(crate) fn insert_fact(
    state: &mut State,
    counts: &mut Counts,
    policy: &Arc<str>,
    atom: &Atom,
) -> Option<Vec<Word>> {
    let mut interner = Interner { dictionary: &mut state.dictionary, counts };
    let mut row = Vec::with_capacity(atom.args.len());
    intern_fact(&mut interner, atom, &mut row);
    let owner = state.policies.get_mut(policy).map(Arc::make_mut)?;
    let table = table_mut(owner, &TableKey::of_head(atom));
    if table.relation_mut(row.len()).insert(interner.dictionary, &row) {
        return Some(row);
    }
    row.into_iter().for_each(|word| interner.release(word));
    None
}

pub(crate) fn delete_fact(
    state: &mut State,
    counts: &mut Counts,
    policy: &Arc<str>,
    atom: &Atom,
) -> Option<Box<[Word]>> {
    let row = state.words(atom)?;
    let owner = state.policies.get_mut(policy).map(Arc::make_mut)?;
    let key = TableKey::of_head(atom);
    let table = Arc::make_mut(owner.tables.get_mut(&key)?);
    let stored = table.relation_mut(row.len()).remove(&state.dictionary, &row)?;
    if table.is_empty() {
        owner.tables.remove(&key);
    }
    let mut interner = Interner { dictionary: &mut state.dictionary, counts };
    stored.iter().for_each(|word| interner.release(*word));
    Some(stored)
}

pub(crate) fn insert_rule(
    state: &mut State,
    counts: &mut Counts,
    policy: &Arc<str>,
    rule: &Rule,
    number: u64,
    written: Option<Written>,
) -> Option<()> {
    let owner = state.policies.get_mut(policy)?;
    if owner.rule(rule).is_some() {
        return None;
    }
    let mut interner = Interner { dictionary: &mut state.dictionary, counts };
    let program = Compiler::new(|constant: &_| interner.intern(constant)).rule(rule);
    let stored = Arc::new(StoredRule::new(number, rule.clone(), program, written));
    let key = TableKey::of_head(rule.heads.first()?);
    table_mut(Arc::make_mut(owner), &key).rules.push(stored);
    Some(())
}

pub(crate) fn delete_rule(
    state: &mut State,
    counts: &mut Counts,
    policy: &Arc<str>,
    rule: &Rule,
) -> Option<Arc<StoredRule>> {
    let number = state.policies.get(policy)?.rule(rule)?.number;
    let owner = state.policies.get_mut(policy).map(Arc::make_mut)?;
    let key = TableKey::of_head(rule.heads.first()?);
    let table = Arc::make_mut(owner.tables.get_mut(&key)?);
    let at = table.rules.iter().position(|stored| stored.number == number)?;
    let stored = table.rules.remove(at);
    if table.is_empty() {
        owner.tables.remove(&key);
    }
    release_rule(state, counts, &stored);
    Some(stored)
}

/// Gives up the constants of a rule that has been taken out.
pub(super) fn release_rule(state: &mut State, counts: &mut Counts, stored: &StoredRule) {
    let mut interner = Interner { dictionary: &mut state.dictionary, counts };
    stored.program.constants().for_each(|word| interner.release(word));
}
