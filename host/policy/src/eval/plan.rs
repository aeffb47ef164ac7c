//! Plans: in which order the literals of a body are matched, and how.
//!
//! A plan names tables and columns only; it holds nothing of a state, so that one made for
//! maintaining a view is good for many states. What a step reads is looked up when an evaluation
//! takes the plan up ([`super::run`]).

use std::sync::Arc;

use super::order::{Order, Placed};
use crate::builtins::Builtin;
use crate::program::{Arg, Literal, Program, TableKey};
use crate::state::State;

/// Which of a growing set's rows a step reads. The marks are those of a round of a recursion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// All rows: of a table that is complete when it is read.
    All,
    /// Those that were there when the round began.
    Now,
    /// Those that were there when the round before began.
    Old,
    /// Those that came with the round before.
    Delta,
}

/// Where the rows of a step come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A table: stored rows, a view, or rows derived on demand.
    Table(TableUse),
    /// What the derived table that the plan is for has been asked.
    Asked(Range),
    /// Rows that the caller hands in.
    Given,
}

/// A table as a literal uses it.
#[derive(Clone, Debug)]
pub(crate) struct TableUse {
    pub(crate) policy: Arc<str>,
    pub(crate) key: TableKey,
    pub(crate) width: usize,
    /// Numbers match by value.
    pub(crate) by_value: bool,
    /// The columns by which a derived table is asked: those bound here, or fewer.
    pub(crate) asked: Box<[u32]>,
    /// Not [`Range::All`] if the table is of the recursion that the plan is for.
    pub(crate) range: Range,
}

/// A positive literal, or another source of rows.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    pub(crate) source: Source,
    /// The columns whose value is known before, and the arguments that give it.
    pub(crate) columns: Box<[u32]>,
    pub(crate) bound: Box<[Arg]>,
    /// Column and the variable that it binds.
    pub(crate) binds: Box<[(u32, u32)]>,
    /// Column and the variable, bound by this literal, that it must equal.
    pub(crate) checks: Box<[(u32, u32)]>,
    pub(crate) by_value: bool,
    /// Nothing that it binds is wanted later: one match is enough.
    pub(crate) exists_only: bool,
}

impl Match {
    /// Whether it reads what the last round of a recursion brought.
    pub(super) fn is_delta(&self) -> bool {
        match &self.source {
            Source::Table(table) => table.range == Range::Delta,
            Source::Asked(range) => *range == Range::Delta,
            Source::Given => false,
        }
    }
}

/// A negated literal; all arguments are bound.
#[derive(Clone, Debug)]
pub(crate) struct Absent {
    pub(crate) table: TableUse,
    pub(crate) args: Box<[Arg]>,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Match(Match),
    Absent(Absent),
    Compute {
        builtin: &'static Builtin,
        args: Box<[Arg]>,
        bound_outputs: Box<[bool]>,
        negated: bool,
    },
    Never,
}

/// A body in the order of evaluation.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How many words a binding has: one for each variable, at least one.
    pub(crate) stride: usize,
    pub(crate) steps: Box<[Step]>,
    /// The arguments of the head, which is what each binding gives.
    pub(crate) output: Box<[Arg]>,
}

/// What a plan starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a> {
    /// Nothing: all bindings of the body.
    Nothing,
    /// What the table has been asked by these columns of the head.
    Asked(&'a [u32]),
    /// The rows of one literal that came with the last round; then what has been asked.
    Delta { literal: usize, asked: &'a [u32] },
    /// Rows of one literal that are handed in.
    Given(usize),
    /// Rows of the head's first columns, so many of them, that are handed in.
    GivenHead(usize),
}

/// What the planner must know of the recursion that a rule is part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recursion<'a> {
    /// For each literal of the body whether its table is of the recursion.
    pub(crate) literals: &'a [bool],
    /// For each of them by which columns it is asked; empty until the first plan has settled it.
    pub(crate) asked: &'a [Option<Box<[u32]>>],
}

/// A body to be planned.
pub(crate) struct Body<'a> {
    pub(crate) state: &'a State,
    /// The policy that holds it.
    pub(crate) policy: &'a Arc<str>,
    pub(crate) program: &'a Program,
    pub(crate) start: Start<'a>,
    pub(crate) recursion: Option<Recursion<'a>>,
}

/// Plans a body; also gives by which columns each literal of the recursion is asked.
pub(crate) fn plan(body: &Body<'_>) -> (Plan, Vec<Option<Box<[u32]>>>) {
    let Body { program, start, recursion, .. } = body;
    let mut planner = Planner {
        body,
        bound: vec![false; program.variables.len()],
        steps: Vec::new(),
        asked: vec![None; program.body.len()],
    };
    let mut placed = vec![false; program.body.len()];
    let mut asks = None;
    match *start {
        Start::Nothing => {}
        Start::Asked(columns) => {
            let args: Vec<Arg> =
                columns.iter().map(|&column| program.head[column as usize]).collect();
            planner.source(Source::Asked(Range::Delta), &args, false);
        }
        Start::Delta { literal, asked } => {
            placed[literal] = true;
            if let Literal::Table { args, .. } = &program.body[literal]
                && let Some(mut table) = planner.table(literal)
            {
                table.range = Range::Delta;
                let by_value = table.by_value;
                planner.source(Source::Table(table), args, by_value);
            }
            if !asked.is_empty() {
                asks = Some(
                    asked.iter().map(|&column| program.head[column as usize]).collect::<Box<[_]>>(),
                );
            }
        }
        Start::Given(literal) => {
            placed[literal] = true;
            if let Literal::Table { args, .. } = &program.body[literal] {
                let by_value = planner.table(literal).is_some_and(|table| table.by_value);
                planner.source(Source::Given, args, by_value);
            }
        }
        Start::GivenHead(columns) => {
            let args = program.head.get(..columns).unwrap_or_default();
            let owner = body.state.policies.get(body.policy);
            let by_value = owner.is_some_and(|owner| owner.matches_by_value());
            planner.source(Source::Given, args, by_value);
        }
    }
    let first_delta = match *start {
        Start::Delta { literal, .. } => Some(literal),
        _ => None,
    };
    let order = Order {
        state: body.state,
        policy: body.policy,
        program,
        recursion: *recursion,
        asks: asks.as_deref(),
    };
    for next in order.of(&placed, &planner.bound) {
        match next {
            Placed::Asks => {
                if let Some(args) = &asks {
                    planner.source(Source::Asked(Range::Old), args, false);
                }
            }
            Placed::Literal(literal) => {
                placed[literal] = true;
                planner.literal(literal, &placed, first_delta);
            }
        }
    }
    let plan = Plan {
        stride: program.variables.len().max(1),
        steps: planner.steps.into(),
        output: program.head.clone(),
    };
    (plan, planner.asked)
}

fn variables(args: &[Arg]) -> impl Iterator<Item = u32> {
    args.iter().filter_map(|arg| match arg {
        Arg::Variable(number) => Some(*number),
        Arg::Constant(_) => None,
    })
}

struct Planner<'b, 'a> {
    body: &'b Body<'a>,
    bound: Vec<bool>,
    steps: Vec<Step>,
    asked: Vec<Option<Box<[u32]>>>,
}

impl Planner<'_, '_> {
    fn is_bound(&self, arg: Arg) -> bool {
        match arg {
            Arg::Variable(number) => self.bound[number as usize],
            Arg::Constant(_) => true,
        }
    }

    /// The table that a literal means. It need not be there: a plan outlives the state that it
    /// was made for.
    fn table(&self, literal: usize) -> Option<TableUse> {
        let Literal::Table { policy, key, args, .. } = &self.body.program.body[literal] else {
            return None;
        };
        let name = policy.as_ref().unwrap_or(self.body.policy);
        let owner = self.body.state.policies.get(name);
        let recursion = self.body.recursion.as_ref();
        let settled = recursion.and_then(|recursion| recursion.asked.get(literal)?.clone());
        Some(TableUse {
            policy: name.clone(),
            key: key.clone(),
            width: args.len(),
            by_value: owner.is_some_and(|owner| owner.matches_by_value()),
            asked: settled.unwrap_or_default(),
            range: Range::All,
        })
    }

    /// By which of the bound columns a table is asked: not by what a rule's aggregate gives, which
    /// is known only when the whole group is.
    fn asked_by(&self, of: &TableUse, columns: &[u32]) -> Box<[u32]> {
        // Equal numbers of other spellings are derived each by itself.
        if of.by_value {
            return Box::default();
        }
        let state = self.body.state;
        let table = state.table(&of.policy, &of.key);
        let rules = table.into_iter().flat_map(|table| &table.rules).map(|rule| &rule.program);
        let mut rules = rules.filter(|program| program.head.len() == of.width);
        if rules.clone().any(|program| state.depends_on_spelling(&of.policy, program)) {
            return Box::default();
        }
        let rules = &mut rules;
        let groupings: Vec<_> = rules.filter_map(|program| program.grouping.as_ref()).collect();
        let is_plain = |column: &u32| !groupings.iter().any(|it| it.is_aggregate(*column));
        columns.iter().copied().filter(is_plain).collect()
    }

    fn bind(&mut self, args: &[Arg]) {
        for variable in variables(args) {
            self.bound[variable as usize] = true;
        }
    }

    /// A step over a source whose rows have these arguments. All that it binds is wanted.
    fn source(&mut self, source: Source, args: &[Arg], by_value: bool) {
        let step = self.matching(source, args, by_value, |_| true);
        self.bind(args);
        self.steps.push(Step::Match(step));
    }

    fn matching(
        &self,
        source: Source,
        args: &[Arg],
        by_value: bool,
        wanted: impl Fn(u32) -> bool,
    ) -> Match {
        let (mut columns, mut bound) = (Vec::new(), Vec::new());
        let (mut binds, mut checks): (Vec<(u32, u32)>, _) = (Vec::new(), Vec::new());
        for (column, arg) in (0..).zip(args) {
            match arg {
                Arg::Variable(variable) if !self.is_bound(*arg) => {
                    match binds.iter().any(|(_, other)| other == variable) {
                        true => checks.push((column, *variable)),
                        false => binds.push((column, *variable)),
                    }
                }
                _ => {
                    columns.push(column);
                    bound.push(*arg);
                }
            }
        }
        Match {
            source,
            columns: columns.into(),
            bound: bound.into(),
            exists_only: !binds.iter().any(|(_, variable)| wanted(*variable)),
            binds: binds.into(),
            checks: checks.into(),
            by_value,
        }
    }

    /// Whether the head or a literal that is not placed uses a variable.
    fn wanted(&self, placed: &[bool], variable: u32) -> bool {
        let program = self.body.program;
        variables(&program.head).any(|other| other == variable)
            || program.body.iter().zip(placed).filter(|(_, placed)| !**placed).any(
                |(literal, _)| match literal {
                    Literal::Table { args, .. } | Literal::Builtin { args, .. } => {
                        variables(args).any(|other| other == variable)
                    }
                    Literal::Truth(_) | Literal::Nothing { .. } => false,
                },
            )
    }

    fn literal(&mut self, number: usize, placed: &[bool], first_delta: Option<usize>) {
        let program = self.body.program;
        match &program.body[number] {
            Literal::Truth(true) | Literal::Nothing { negated: true } => {}
            Literal::Truth(false) | Literal::Nothing { negated: false } => {
                self.steps.push(Step::Never);
            }
            Literal::Builtin { builtin, args, negated } => {
                let outputs = args.get(builtin.inputs..).unwrap_or_default();
                let bound_outputs = outputs.iter().enumerate().map(|(at, arg)| {
                    // A variable that stands twice among the outputs is bound by the first.
                    self.is_bound(*arg) || outputs.iter().take(at).any(|earlier| earlier == arg)
                });
                let bound_outputs = bound_outputs.collect();
                self.bind(args);
                let (args, negated) = (args.clone(), *negated);
                self.steps.push(Step::Compute { builtin, args, bound_outputs, negated });
            }
            Literal::Table { args, negated, .. } => {
                let Some(mut table) = self.table(number) else {
                    return;
                };
                let by_value = table.by_value;
                if *negated {
                    let all: Vec<u32> = (0..args.len() as u32).collect();
                    table.asked = self.asked_by(&table, &all);
                    self.steps.push(Step::Absent(Absent { table, args: args.clone() }));
                    return;
                }
                let mut step = self.matching(Source::Given, args, by_value, |variable| {
                    self.wanted(placed, variable)
                });
                let recursion = self.body.recursion.filter(|it| it.literals[number]);
                if let Some(recursion) = recursion {
                    if recursion.asked.is_empty() {
                        // What is asked of the whole table asks for the whole of the others.
                        let whole = matches!(self.body.start, Start::Asked([]));
                        let columns = self.asked_by(&table, &step.columns);
                        table.asked = if whole { Box::default() } else { columns };
                        self.asked[number] = Some(table.asked.clone());
                    }
                    table.range = match first_delta {
                        Some(first) if number < first => Range::Old,
                        _ => Range::Now,
                    };
                } else {
                    table.asked = self.asked_by(&table, &step.columns);
                }
                step.source = Source::Table(table);
                self.bind(args);
                self.steps.push(Step::Match(step));
            }
        }
    }
}
