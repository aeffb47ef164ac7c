//! Batches of facts to insert and nothing else, which are the large ones.
//!
//! What the checks of a batch would find wrong with a fact depends, but for the fact itself, on its
//! policy, table and width. So a run of facts alike in these is checked by its first, and stored
//! with the table looked up once.

use std::sync::Arc;

use super::apply::{intern_fact, table_mut};
use super::{Applied, Engine, Event, Outcome};
use crate::ast::{Atom, Statement, Term};
use crate::check::shape;
use crate::depgraph::Node;
use crate::policy::PolicyKind;
use crate::program::TableKey;
use crate::store::interner::Interner;

/// The fact that an event inserts, unless it says more than a table's name and its arguments.
fn plain(event: &Event) -> Option<&Atom> {
    match &event.statement {
        Statement::Fact(atom) if event.insert => {
            (atom.modal.is_none() && atom.policy.is_none() && atom.named.is_empty()).then_some(atom)
        }
        _ => None,
    }
}

fn alike(a: &Event, b: &Event) -> bool {
    match (plain(a), plain(b)) {
        (Some(fact), Some(other)) => {
            a.policy == b.policy && fact.table == other.table && fact.args.len() == other.args.len()
        }
        _ => false,
    }
}

impl Engine {
    /// Inserts facts. Gives the events back, with nothing done, if they are not all that, or if a
    /// check has anything to say about one of them.
    pub(super) fn insert_facts(&mut self, events: Vec<Event>) -> Result<Outcome, Vec<Event>> {
        if !events.chunk_by(alike).all(|run| self.is_sound(run)) {
            return Err(events);
        }
        let runs: Vec<usize> = events.chunk_by(alike).map(<[_]>::len).collect();
        let before = self.begin();
        let mut changes = Vec::with_capacity(events.len());
        let mut events = events.into_iter();
        for len in runs {
            self.insert_run(events.by_ref().take(len), &mut changes);
        }
        Ok(Outcome { changes, ..self.finish(before) })
    }

    /// Whether no check of a batch refuses a run of facts, or sets any aside.
    fn is_sound(&self, run: &[Event]) -> bool {
        let Some((event, fact)) = run.first().and_then(|event| Some((event, plain(event)?))) else {
            return false;
        };
        let Ok(policy) = self.state.target(event.policy.as_deref()) else {
            return false;
        };
        let fits = match policy.schema.width(&fact.table) {
            Some(width) => width == fact.args.len(),
            None => !policy.schema.lacks(&fact.table),
        };
        // Of a materialized table that rules define, no fact may come.
        let is_stored = policy.info.kind != PolicyKind::Materialized
            || (policy.tables.get(&TableKey::of_head(fact)))
                .is_none_or(|table| table.rules.is_empty());
        let is_ground = |fact: &Atom| {
            !fact.negated && fact.args.iter().all(|term| matches!(term, Term::Constant(_)))
        };
        fits && is_stored
            && shape::fact(fact).is_empty()
            && run.iter().filter_map(plain).all(is_ground)
    }

    /// Stores a run of facts.
    fn insert_run(&mut self, mut run: impl Iterator<Item = Event>, changes: &mut Vec<Applied>) {
        let Some(first) = run.next() else {
            return;
        };
        let Ok(policy) = self.state.target(first.policy.as_deref()) else {
            return;
        };
        let policy = policy.info.name.clone();
        let Statement::Fact(fact) = &first.statement else {
            return;
        };
        let (node, name, width) = (Node::of(&policy, fact), fact.table.clone(), fact.args.len());
        let state = Arc::make_mut(&mut self.state);
        let mut interner = Interner { dictionary: &mut state.dictionary, counts: &mut self.counts };
        let Some(owner) = state.policies.get_mut(&policy).map(Arc::make_mut) else {
            return;
        };
        let relation = table_mut(owner, &TableKey::plain(&name)).relation_mut(width);
        let known = changes.len();
        let mut row = Vec::with_capacity(width);
        for event in std::iter::once(first).chain(run) {
            let Statement::Fact(fact) = &event.statement else {
                continue;
            };
            row.clear();
            intern_fact(&mut interner, fact, &mut row);
            if relation.insert(interner.dictionary, &row) {
                if let Some(journal) = &mut self.journal {
                    journal.record(&node, &row, true);
                }
                let policy = policy.clone();
                changes.push(Applied { statement: event.statement, insert: true, policy });
            } else {
                row.iter().for_each(|word| interner.release(*word));
            }
        }
        if owner.learns_widths() {
            owner.schema.learn(&name, width, changes.len() - known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewPolicy, Options};

    fn engine() -> Engine {
        let clock = Arc::new(|| time::macros::datetime!(2024-02-03 04:05:06));
        let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
        engine.create_policy(NewPolicy::new("t", PolicyKind::Nonrecursive)).unwrap();
        engine
    }

    fn events(text: &str) -> Vec<Event> {
        Event::parse(text, true, None).unwrap()
    }

    #[test]
    fn runs_of_facts_are_stored_in_order_and_once() {
        let mut engine = engine();
        let text = "p(1)\np(2)\nq(1, \"a\")\np(2)\np(3)\nq(1, \"a\")";
        let outcome = engine.insert_facts(events(text)).unwrap();
        let changes: Vec<String> = outcome.changes.iter().map(ToString::to_string).collect();
        let wanted = ["p(1)", "p(2)", "q(1, \"a\")", "p(3)"];
        assert_eq!(changes, wanted.map(|fact| format!("insert[{fact}] for t")));
        // Each that was stored counts for the width of its table.
        for fact in wanted {
            assert!(engine.insert("p(1, 2)", None).is_err());
            engine.delete(fact, None).unwrap();
        }
        engine.insert("p(1, 2)", None).unwrap();
        engine.delete("p(1, 2)", None).unwrap();
        assert!(engine.state.dictionary.is_empty());
    }

    #[test]
    fn a_batch_with_anything_else_is_given_back() {
        let mut engine = engine();
        engine.insert("p(1)", None).unwrap();
        for text in ["p(2)\np(x)", "p(2)\np(1, 2)", "p(2)\nr(x) :- p(x)", "p(2)\nexecute[a(1)]"] {
            let events = events(text);
            assert_eq!(engine.insert_facts(events.clone()).unwrap_err().len(), events.len());
            assert_eq!(engine.snapshot().select("p(x)", None).unwrap().len(), 1);
        }
    }
}
