//! From a body to steps: in which order its literals are matched, and how.
//!
//! Greedy: tests as soon as their inputs are bound, then the table that promises the fewest rows,
//! tables that share nothing with what is bound last. Indexes give the number of distinct keys;
//! where there is none, each bound column is taken to divide by eight.

use std::sync::Arc;

use hashbrown::HashSet;

use crate::builtins::Builtin;
use crate::policy::PolicyKind;
use crate::program::{Arg, Literal, Program};
use crate::state::{State, Table};
use crate::store::index::{Index, IndexKey};
use crate::store::relation::Relation;

/// Tables of up to so many rows are scanned: an index would not pay.
const SCANNED: usize = 16;

/// How stored rows are found.
pub(crate) enum Access {
    /// By looking at all of them.
    Scan,
    /// All columns are bound: by looking the row up.
    Lookup,
    /// Through an index on the bound columns.
    Index(Arc<Index>),
}

/// A positive table literal.
pub(crate) struct Match<'s> {
    pub(crate) facts: Option<(&'s Relation, Access)>,
    /// The memo that gives derived rows; looked up by the same bound columns.
    pub(crate) memo: Option<usize>,
    pub(crate) bound_columns: Box<[u32]>,
    pub(crate) bound: Box<[Arg]>,
    /// Column and the variable that it binds.
    pub(crate) binds: Box<[(u32, u32)]>,
    /// Column and the variable, bound by this literal, that it must equal.
    pub(crate) checks: Box<[(u32, u32)]>,
    /// Numbers match by value: a database policy.
    pub(crate) by_value: bool,
    /// Nothing that it binds is wanted later: one match is enough.
    pub(crate) exists_only: bool,
}

/// A negated table literal; all arguments are bound.
pub(crate) struct Absent<'s> {
    pub(crate) facts: Option<&'s Relation>,
    pub(crate) memo: Option<usize>,
    pub(crate) args: Box<[Arg]>,
    pub(crate) by_value: bool,
}

/// One step of a plan.
pub(crate) enum Step<'s> {
    Match(Match<'s>),
    Absent(Absent<'s>),
    Compute {
        builtin: &'static Builtin,
        args: Box<[Arg]>,
        bound_outputs: Box<[bool]>,
        negated: bool,
    },
    Never,
}

/// A body in the order of evaluation.
pub(crate) struct Plan<'s> {
    /// How many words a binding has: one for each variable, at least one.
    pub(crate) stride: usize,
    pub(crate) steps: Box<[Step<'s>]>,
    /// The arguments of the head, which is what each binding gives.
    pub(crate) output: Box<[Arg]>,
}

/// What the planner needs to know of derived tables.
pub(crate) trait Memos<'s> {
    /// The memo of a table with these columns bound.
    fn memo(&mut self, policy: &Arc<str>, table: &'s Table, width: usize, bound: &[u32]) -> usize;
}

/// Plans a body of `policy` whose variables in `given` are bound from the start.
pub(crate) fn plan<'s>(
    state: &'s State,
    memos: &mut impl Memos<'s>,
    policy: &Arc<str>,
    program: &Program,
    given: impl IntoIterator<Item = u32>,
) -> Plan<'s> {
    let mut planner = Planner { state, policy, bound: given.into_iter().collect() };
    let mut rest: Vec<&Literal> = program.body.iter().collect();
    let mut order = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let next = planner.cheapest(&rest);
        let literal = rest.remove(next);
        let wanted = wanted(program, &rest);
        order.push(planner.step(memos, literal, &wanted));
    }
    Plan {
        stride: program.variables.len().max(1),
        steps: order.into(),
        output: program.head.clone(),
    }
}

fn variables(args: &[Arg]) -> impl Iterator<Item = u32> {
    args.iter().filter_map(|arg| match arg {
        Arg::Variable(number) => Some(*number),
        Arg::Constant(_) => None,
    })
}

/// The variables that the head and the remaining literals use.
fn wanted(program: &Program, rest: &[&Literal]) -> HashSet<u32> {
    let mut wanted: HashSet<u32> = variables(&program.head).collect();
    for literal in rest {
        if let Literal::Table { args, .. } | Literal::Builtin { args, .. } = literal {
            wanted.extend(variables(args));
        }
    }
    wanted
}

struct Planner<'s, 'a> {
    state: &'s State,
    policy: &'a Arc<str>,
    bound: HashSet<u32>,
}

impl<'s> Planner<'s, '_> {
    fn is_bound(&self, arg: Arg) -> bool {
        match arg {
            Arg::Variable(number) => self.bound.contains(&number),
            Arg::Constant(_) => true,
        }
    }

    /// The table that a literal means, the policy that owns it, and whether numbers match by value.
    fn table(&self, literal: &Literal) -> Option<(Arc<str>, &'s Table, bool)> {
        let Literal::Table { policy, key, .. } = literal else {
            return None;
        };
        let owner = self.state.policies.get(policy.as_ref().unwrap_or(self.policy))?;
        let table = owner.tables.get(key)?;
        Some((owner.info.name.clone(), table, owner.info.kind == PolicyKind::Database))
    }

    /// The literal to match next. A body is safe, so one can always be taken; if none seems so,
    /// the first.
    fn cheapest(&self, rest: &[&Literal]) -> usize {
        let mut best = (0, f64::INFINITY);
        for (at, literal) in rest.iter().enumerate() {
            let cost = self.cost(literal);
            if cost < best.1 {
                best = (at, cost);
            }
        }
        best.0
    }

    fn cost(&self, literal: &Literal) -> f64 {
        match literal {
            Literal::Truth(_) | Literal::Nothing { .. } => 0.0,
            Literal::Builtin { builtin, args, negated } => {
                let inputs = if *negated { args.len() } else { builtin.inputs };
                match args.iter().take(inputs).all(|arg| self.is_bound(*arg)) {
                    true => 0.1,
                    false => f64::INFINITY,
                }
            }
            Literal::Table { args, negated: true, .. } => {
                match args.iter().all(|arg| self.is_bound(*arg)) {
                    true => 0.2,
                    false => f64::INFINITY,
                }
            }
            Literal::Table { args, .. } => {
                let bound: Vec<u32> = self.bound_columns(args);
                let rows = self.rows(literal, args.len(), &bound);
                let shares = variables(args).any(|variable| self.bound.contains(&variable));
                if shares || self.bound.is_empty() || bound.len() == args.len() || rows <= 1.0 {
                    1.0 + rows
                } else {
                    // Shares nothing with what is bound: a product.
                    1e6 * (1.0 + rows)
                }
            }
        }
    }

    fn bound_columns(&self, args: &[Arg]) -> Vec<u32> {
        let columns = args.iter().enumerate().filter(|(_, arg)| self.is_bound(**arg));
        columns.map(|(column, _)| column as u32).collect()
    }

    /// How many rows a literal probably gives for one binding.
    fn rows(&self, literal: &Literal, width: usize, bound: &[u32]) -> f64 {
        let Some((_, table, by_value)) = self.table(literal) else {
            return 0.0;
        };
        let mut rows = 0.0;
        if let Some(relation) = table.relation(width) {
            let len = relation.len() as f64;
            rows += if bound.is_empty() {
                len
            } else if bound.len() == width {
                len.min(1.0)
            } else {
                let key = IndexKey { columns: bound.into(), by_value };
                match relation.existing_index(&key) {
                    Some(index) => len / index.distinct().max(1) as f64,
                    None => len / 8f64.powi(bound.len() as i32),
                }
            };
        }
        if table.rules.iter().any(|stored| stored.program.head.len() == width) {
            rows += 10_000.0 / 8f64.powi(bound.len() as i32);
        }
        rows
    }

    fn step(
        &mut self,
        memos: &mut impl Memos<'s>,
        literal: &Literal,
        wanted: &HashSet<u32>,
    ) -> Step<'s> {
        match literal {
            Literal::Truth(true) | Literal::Nothing { negated: true } => {
                // A test that always holds: of nothing at all.
                Step::Absent(Absent {
                    facts: None,
                    memo: None,
                    args: Box::default(),
                    by_value: false,
                })
            }
            Literal::Truth(false) | Literal::Nothing { negated: false } => Step::Never,
            Literal::Builtin { builtin, args, negated } => {
                let outputs = args.get(builtin.inputs..).unwrap_or_default();
                let bound_outputs = outputs.iter().enumerate().map(|(at, arg)| {
                    // A variable that stands twice among the outputs is bound by the first.
                    self.is_bound(*arg) || outputs.iter().take(at).any(|earlier| earlier == arg)
                });
                let bound_outputs = bound_outputs.collect();
                self.bound.extend(variables(args));
                Step::Compute { builtin, args: args.clone(), bound_outputs, negated: *negated }
            }
            Literal::Table { args, negated, .. } => {
                let Some((owner, table, by_value)) = self.table(literal) else {
                    // No such policy or table: no rows.
                    self.bound.extend(variables(args));
                    return if *negated {
                        Step::Absent(Absent {
                            facts: None,
                            memo: None,
                            args: Box::default(),
                            by_value: false,
                        })
                    } else {
                        Step::Never
                    };
                };
                let width = args.len();
                let bound = self.bound_columns(args);
                let derived = table.rules.iter().any(|rule| rule.program.head.len() == width);
                let memo = derived.then(|| memos.memo(&owner, table, width, &bound));
                let facts = table.relation(width).map(|relation| &**relation);
                if *negated {
                    return Step::Absent(Absent { facts, memo, args: args.clone(), by_value });
                }
                let step = self.matching(facts, memo, args, bound, by_value, wanted);
                self.bound.extend(variables(args));
                Step::Match(step)
            }
        }
    }

    fn matching(
        &self,
        facts: Option<&'s Relation>,
        memo: Option<usize>,
        args: &[Arg],
        bound: Vec<u32>,
        by_value: bool,
        wanted: &HashSet<u32>,
    ) -> Match<'s> {
        let mut binds: Vec<(u32, u32)> = Vec::new();
        let mut checks = Vec::new();
        for (column, arg) in args.iter().enumerate() {
            let column = column as u32;
            match arg {
                Arg::Variable(variable) if !bound.contains(&column) => {
                    if binds.iter().any(|(_, other)| other == variable) {
                        checks.push((column, *variable));
                    } else {
                        binds.push((column, *variable));
                    }
                }
                _ => {}
            }
        }
        let facts = facts.map(|relation| {
            let access = if bound.is_empty() || relation.len() <= SCANNED {
                Access::Scan
            } else if bound.len() == args.len() {
                Access::Lookup
            } else {
                let key = IndexKey { columns: bound.clone().into(), by_value };
                let index = relation.index(&self.state.dictionary, &key);
                index.map_or(Access::Scan, Access::Index)
            };
            (relation, access)
        });
        Match {
            facts,
            memo,
            bound: bound.iter().map(|&column| args[column as usize]).collect(),
            bound_columns: bound.into(),
            exists_only: !binds.iter().any(|(_, variable)| wanted.contains(variable)),
            binds: binds.into(),
            checks: checks.into(),
            by_value,
        }
    }
}
