//! The action policy as an action sees it: with the facts of the action, the results of the one
//! before and, behind its own tables, those of the policy under simulation.
//!
//! It is a policy of its own in a copy of the state, so rules that name the action policy still
//! see that one, and no dependency can become circular. Where a table is in the policy under
//! simulation too, a rule hands its rows on. A head that names a policy (`nova:servers+(x)`) gets
//! a table apart from the one without a prefix.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::budget::Budget;
use super::effect::Effect;
use super::recursion;
use crate::ast::{Atom, Constant, Rule, Span, Term};
use crate::check::safety;
use crate::engine::apply::insert_fact;
use crate::error::Error;
use crate::eval::Evaluation;
use crate::policy::PolicyInfo;
use crate::program::{Arg, Compiler, Literal, Program, TableKey};
use crate::snapshot::rows_of_width;
use crate::state::{Policy, State, StoredRule, Table};
use crate::store::interner::{Counts, Interner};
use crate::store::word::Word;

/// The table of the names of actions.
const ACTION: &str = "action";
/// The table of what an action leaves for the next one.
const RESULT: &str = "result";

/// The action policy, extended.
pub(super) struct Stage {
    state: Arc<State>,
    /// Its name in that state.
    name: Arc<str>,
    /// The action policy itself.
    action: Arc<str>,
    simulated: Arc<str>,
    counts: Counts,
}

impl Stage {
    /// `body`: what of a sequence is to be evaluated in it.
    pub(super) fn new(state: &State, action: &Policy, simulated: &Policy, body: &[Atom]) -> Self {
        let own = &action.info.name;
        let mut tables: HashMap<TableKey, Table> = HashMap::new();
        let mut used: BTreeSet<TableKey> =
            [ACTION, RESULT].map(|table| TableKey::plain(&table.into())).into();
        used.extend(body.iter().filter(|atom| is_own(atom, own)).map(TableKey::of_head));
        for (key, table) in &action.tables {
            used.insert(key.clone());
            let extended = tables.entry(key.clone()).or_default();
            extended.facts = table.facts.clone();
            for stored in &table.rules {
                let stored = within(stored, own);
                used.extend(stored.program.body.iter().filter_map(|literal| match literal {
                    Literal::Table { policy: None, key, .. } => Some(key.clone()),
                    _ => None,
                }));
                let key = prefixed(&stored.rule).unwrap_or_else(|| key.clone());
                tables.entry(key).or_default().rules.push(stored);
            }
        }
        if *own != simulated.info.name {
            for key in used.into_iter().filter(|key| key.modal.is_none()) {
                if let Some(behind) = simulated.tables.get(&key) {
                    let rules = widths(behind)
                        .into_iter()
                        .map(|width| hand_on(&simulated.info.name, &key, width));
                    let rules: Vec<_> = rules.collect();
                    tables.entry(key).or_default().rules.extend(rules);
                }
            }
        }
        // No text can name it: a blank is not part of a name.
        let mut name = format!("{own} in simulation");
        while state.policies.contains_key(&*name) {
            name.push('\'');
        }
        let name: Arc<str> = name.into();
        let policy = Policy {
            info: PolicyInfo { name: name.clone(), ..action.info.clone() },
            schema: Default::default(),
            tables: tables.into_iter().map(|(key, table)| (key, Arc::new(table))).collect(),
        };
        let mut state = state.clone();
        recursion::copy(&mut state, own, &name);
        state.policies.insert(name.clone(), Arc::new(policy));
        Self {
            state: Arc::new(state),
            name,
            action: own.clone(),
            simulated: simulated.info.name.clone(),
            counts: Counts::none(),
        }
    }

    /// Takes a ground atom for true.
    pub(super) fn assume(&mut self, atom: &Atom) {
        if is_own(atom, &self.action) {
            insert_fact(Arc::make_mut(&mut self.state), &mut self.counts, &self.name, atom);
        }
    }

    /// The names of the actions.
    pub(super) fn actions(&self, budget: &mut Budget<'_>) -> Result<HashSet<Arc<str>>, Error> {
        let rows = self.rows(ACTION, budget)?.into_iter();
        let names = rows.filter_map(|row| match &row[..] {
            [Constant::Text(name)] => Some(name.clone()),
            _ => None,
        });
        Ok(names.collect())
    }

    /// What the action leaves for the next one.
    pub(super) fn results(&self, budget: &mut Budget<'_>) -> Result<Vec<Atom>, Error> {
        let result: Arc<str> = RESULT.into();
        let rows = self.rows(RESULT, budget)?.into_iter();
        Ok(rows.map(|row| fact(None, &result, row)).collect())
    }

    fn rows(&self, table: &str, budget: &mut Budget<'_>) -> Result<Vec<Vec<Constant>>, Error> {
        let key = TableKey::plain(&table.into());
        let mut rows = Vec::new();
        for width in
            self.state.table(&self.name, &key).map(|table| widths(table)).unwrap_or_default()
        {
            let limits = budget.left();
            let more = rows_of_width(&self.state, &self.name, &key, width, limits)?.rows;
            budget.spend(more.len())?;
            rows.extend(more);
        }
        Ok(rows)
    }

    /// The heads of an action with data under the first solution of its body, those that are
    /// ground.
    ///
    /// # Errors
    ///
    /// A limit, or a body that no order makes safe.
    pub(super) fn first(
        &self,
        rule: &Rule,
        budget: &mut Budget<'_>,
    ) -> Result<Option<Vec<Atom>>, Error> {
        let mut body = safety::reorder(rule)?.body;
        for literal in &mut body {
            literal.policy.take_if(|policy| *policy == self.action);
        }
        let mut variables: Vec<Term> = Vec::new();
        for term in rule.heads.iter().flat_map(|head| &head.args) {
            if matches!(term, Term::Variable(_)) && !variables.contains(term) {
                variables.push(term.clone());
            }
        }
        let mut evaluation = Evaluation::new(&self.state, budget.left());
        let program =
            Compiler::new(|constant: &_| evaluation.values.word(constant)).parts(&variables, &body);
        let rows = evaluation.query(&self.name, &program)?;
        if rows.len() == 0 {
            return Ok(None);
        }
        let first: Vec<Word> = rows.row(0).to_vec();
        budget.spend(evaluation.produced())?;
        let values: Vec<_> = first.into_iter().map(|word| evaluation.values.value(word)).collect();
        let ground = |term: &Term| match variables.iter().position(|variable| variable == term) {
            Some(at) => values.get(at)?.clone().map(Term::Constant),
            None => Some(term.clone()),
        };
        let heads = rule.heads.iter().filter_map(|head| {
            let args = head.args.iter().map(ground).collect::<Option<_>>()?;
            Some(Atom { args, ..head.clone() })
        });
        Ok(Some(heads.collect()))
    }

    /// The rows of all tables that end in `+` or `-`. A variable that is left gets a fresh value,
    /// the same wherever the name stands. A removal of what is added as well is dropped.
    pub(super) fn effects(
        &mut self,
        fresh: &dyn Fn() -> String,
        budget: &mut Budget<'_>,
    ) -> Result<Vec<Effect>, Error> {
        let Some(policy) = self.state.policies.get(&self.name) else {
            return Ok(Vec::new());
        };
        let mut effects: Vec<Effect> = Vec::new();
        let mut made: HashMap<Arc<str>, Constant> = HashMap::new();
        let mut evaluation = Evaluation::new(&self.state, budget.left());
        let is_effect = |key: &TableKey| key.modal.is_none() && key.name.ends_with(['+', '-']);
        let mut tables: Vec<_> = policy.tables.iter().filter(|(key, _)| is_effect(key)).collect();
        tables.sort_by_key(|(key, _)| *key);
        for (key, table) in tables {
            for row in table.facts.iter().flat_map(|relation| relation.iter()) {
                let row = row.iter().filter_map(|word| self.state.dictionary.value(*word));
                let atom = fact(None, &key.name, row.collect());
                effects.push(Effect { policy: self.simulated.clone(), atom });
            }
            for stored in &table.rules {
                let Some(head) = stored.rule.heads.first() else {
                    continue;
                };
                let rows = evaluation.query(&self.name, &stored.program)?;
                let rows: Vec<Vec<Word>> =
                    (0..rows.len()).map(|id| rows.row(id).to_vec()).collect();
                for row in rows {
                    let cells = row.into_iter().zip(&stored.program.head);
                    let row = cells.filter_map(|(word, arg)| {
                        match (evaluation.values.value(word), arg) {
                            (None, Arg::Variable(variable)) => {
                                let name = stored.program.variables.get(*variable as usize)?;
                                let make = || Constant::Text(fresh().into());
                                Some(made.entry_ref(name).or_insert_with(make).clone())
                            }
                            (value, _) => value,
                        }
                    });
                    let atom = fact(head.policy.clone(), &head.table, row.collect());
                    let policy = head.policy.as_ref().unwrap_or(&self.simulated).clone();
                    effects.push(Effect { policy, atom });
                }
            }
        }
        budget.spend(evaluation.produced())?;
        self.drop_removals(&mut effects);
        Ok(effects)
    }

    /// Drops the removals of rows that are added as well.
    fn drop_removals(&mut self, effects: &mut Vec<Effect>) {
        let dictionary = &mut Arc::make_mut(&mut self.state).dictionary;
        let mut interner = Interner { dictionary, counts: &mut self.counts };
        let mut row = |effect: &Effect| {
            let constants = effect.atom.args.iter().filter_map(|term| match term {
                Term::Constant(constant) => Some(interner.intern(constant)),
                Term::Variable(_) | Term::Aggregate(_) => None,
            });
            (effect.policy.clone(), effect.table(), constants.collect::<Box<[Word]>>())
        };
        let added: HashSet<_> =
            effects.iter().filter(|effect| effect.inserts()).map(&mut row).collect();
        effects.retain(|effect| effect.inserts() || !added.contains(&row(effect)));
    }
}

/// Whether an atom means a table of the action policy.
fn is_own(atom: &Atom, own: &Arc<str>) -> bool {
    atom.modal.is_none() && atom.policy.as_ref().is_none_or(|policy| policy == own)
}

/// A rule with its policy's own name as a prefix left out.
fn within(stored: &Arc<StoredRule>, own: &Arc<str>) -> Arc<StoredRule> {
    let names_own = |literal: &Literal| matches!(literal, Literal::Table { policy: Some(policy), .. } if policy == own);
    if !stored.program.body.iter().any(names_own) {
        return stored.clone();
    }
    let mut program = stored.program.clone();
    for literal in &mut program.body {
        if let Literal::Table { policy, .. } = literal {
            policy.take_if(|policy| policy == own);
        }
    }
    Arc::new(StoredRule::new(stored.number, stored.rule.clone(), program, None))
}

/// The table of a rule whose head names a policy.
fn prefixed(rule: &Rule) -> Option<TableKey> {
    let head = rule.heads.first().filter(|head| head.modal.is_none())?;
    let policy = head.policy.as_ref()?;
    Some(TableKey::plain(&format!("{policy}:{}", head.table).into()))
}

/// The widths of a table's rows.
fn widths(table: &Table) -> BTreeSet<usize> {
    let facts = table.facts.iter().map(|relation| relation.width());
    facts.chain(table.rules.iter().map(|stored| stored.program.head.len())).collect()
}

/// A rule that hands on the rows of the policy under simulation.
fn hand_on(policy: &Arc<str>, key: &TableKey, width: usize) -> Arc<StoredRule> {
    let args: Box<[Arg]> = (0..width as u32).map(Arg::Variable).collect();
    let variables: Box<[Arc<str>]> = (0..width).map(|at| Arc::from(at.to_string())).collect();
    let atom = |policy| Atom {
        policy,
        args: variables.iter().cloned().map(Term::Variable).collect(),
        ..fact(None, &key.name, Vec::new())
    };
    let rule = Rule {
        heads: vec![atom(None)],
        body: vec![atom(Some(policy.clone()))],
        span: Span::default(),
    };
    let literal = Literal::Table {
        policy: Some(policy.clone()),
        key: key.clone(),
        args: args.clone(),
        negated: false,
    };
    let program = Program { head: args, body: [literal].into(), variables, grouping: None };
    Arc::new(StoredRule::new(u64::MAX, rule, program, None))
}

fn fact(policy: Option<Arc<str>>, table: &Arc<str>, row: Vec<Constant>) -> Atom {
    Atom {
        modal: None,
        negated: false,
        policy,
        table: table.clone(),
        args: row.into_iter().map(Term::Constant).collect(),
        named: Vec::new(),
        span: Span::default(),
    }
}
