//! Running plans.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::memo::{Memo, RowSet};
use super::plan::{Memos, Plan, Step, plan};
use crate::builtins::Context;
use crate::error::{Error, ErrorKind};
use crate::program::{Arg, Program};
use crate::snapshot::Limits;
use crate::state::{State, Table};
use crate::store::scratch::Scratch;
use crate::store::word::Word;

/// How many bindings a step hands on at a time.
pub(super) const BATCH: usize = 1024;

/// The evaluation of one query over one state.
pub(crate) struct Evaluation<'s> {
    pub(super) state: &'s State,
    pub(super) context: Context,
    pub(crate) values: Scratch<'s>,
    pub(super) memos: Vec<Memo<'s>>,
    memo_numbers: HashMap<MemoKey, usize>,
    pending: Vec<Pending<'s>>,
    /// The query's own rows.
    answers: RowSet,
    limits: Limits<'s>,
    /// How many rows there are in all.
    produced: usize,
}

/// A table by its address in the state, a width, and the bound columns.
type MemoKey = (*const Table, usize, Box<[u32]>);

/// Where the rows of a body go.
#[derive(Clone, Copy)]
enum Target {
    Answers,
    Memo(usize),
}

/// Work that waits for the work above it.
enum Pending<'s> {
    /// A call with new keys, of which the rules before `rule` have been started.
    Call { memo: usize, keys: Vec<Word>, count: usize, plans: Arc<[Arc<Plan<'s>>]>, rule: usize },
    /// A body, with a level for each step that has bindings left.
    Body { plan: Arc<Plan<'s>>, target: Target, levels: Vec<Level> },
}

/// Bindings that wait for one step.
pub(super) struct Level {
    step: usize,
    pub(super) bindings: Vec<Word>,
    /// The next binding, and how far its matches have been handed on.
    pub(super) at: usize,
    pub(super) cursor: Cursor,
    /// Whether the derived table of the step has been asked.
    asked: bool,
}

/// A place in the matches of one binding.
#[derive(Clone, Copy)]
pub(super) enum Cursor {
    Start,
    Facts(u32),
    Derived(u32),
}

impl<'s> Memos<'s> for Evaluation<'s> {
    fn memo(&mut self, policy: &Arc<str>, table: &'s Table, width: usize, bound: &[u32]) -> usize {
        let key: MemoKey = (std::ptr::from_ref(table), width, bound.into());
        if let Some(&number) = self.memo_numbers.get(&key) {
            return number;
        }
        let number = self.memos.len();
        self.memos.push(Memo {
            policy: policy.clone(),
            table,
            width,
            bound: bound.into(),
            plans: None,
            asked: RowSet::new(bound.len(), Box::default()),
            rows: RowSet::new(width, bound.into()),
        });
        self.memo_numbers.insert(key, number);
        number
    }
}

impl<'s> Evaluation<'s> {
    /// Over a state.
    pub(crate) fn new(state: &'s State, limits: Limits<'s>) -> Self {
        Self {
            state,
            context: state.context(),
            values: Scratch::new(&state.dictionary),
            memos: Vec::new(),
            memo_numbers: HashMap::new(),
            pending: Vec::new(),
            answers: RowSet::default(),
            limits,
            produced: 0,
        }
    }

    /// The rows of the program's head for which its body holds, in a policy.
    ///
    /// # Errors
    ///
    /// A limit is reached.
    pub(crate) fn query(&mut self, policy: &Arc<str>, program: &Program) -> Result<&RowSet, Error> {
        self.answers = RowSet::new(program.head.len(), Box::default());
        let plan = Arc::new(plan(self.state, self, policy, program, []));
        let bindings = vec![Word::UNBOUND; plan.stride];
        self.start(plan, Target::Answers, bindings);
        self.run()?;
        Ok(&self.answers)
    }

    /// How many rows its queries have produced so far, those on the way to answers included.
    pub(crate) fn produced(&self) -> usize {
        self.produced
    }

    fn start(&mut self, plan: Arc<Plan<'s>>, target: Target, bindings: Vec<Word>) {
        let levels = vec![Level::new(0, bindings)];
        self.pending.push(Pending::Body { plan, target, levels });
    }

    fn run(&mut self) -> Result<(), Error> {
        while let Some(pending) = self.pending.pop() {
            self.check_limits()?;
            match pending {
                Pending::Call { memo, keys, count, plans, rule } => {
                    self.call(memo, keys, count, plans, rule);
                }
                Pending::Body { plan, target, levels } => self.body(plan, target, levels),
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Error> {
        if self.limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Error::new(ErrorKind::Limit, "The query was stopped"));
        }
        match self.limits.rows {
            Some(rows) if self.produced > rows => Err(Error::new(
                ErrorKind::Limit,
                format!("The query produces more than {rows} rows; ask for less"),
            )),
            _ => Ok(()),
        }
    }

    /// Starts the next rule of a call.
    fn call(
        &mut self,
        memo: usize,
        keys: Vec<Word>,
        count: usize,
        plans: Arc<[Arc<Plan<'s>>]>,
        rule: usize,
    ) {
        let Some(plan) = plans.get(rule).cloned() else {
            return;
        };
        let bound = &self.memos[memo].bound;
        let mut bindings = Vec::with_capacity(count * plan.stride);
        for key in 0..count {
            let start = bindings.len();
            bindings.resize(start + plan.stride, Word::UNBOUND);
            let binding = &mut bindings[start..];
            let key = &keys[key * bound.len()..(key + 1) * bound.len()];
            let fits =
                bound.iter().zip(key).all(|(&column, &word)| match plan.output[column as usize] {
                    Arg::Constant(constant) => constant.joins(word),
                    Arg::Variable(variable) => {
                        let slot = &mut binding[variable as usize];
                        if *slot == Word::UNBOUND {
                            *slot = word;
                        }
                        *slot == word
                    }
                });
            if !fits {
                bindings.truncate(start);
            }
        }
        self.pending.push(Pending::Call { memo, keys, count, plans, rule: rule + 1 });
        if !bindings.is_empty() {
            self.start(plan, Target::Memo(memo), bindings);
        }
    }

    /// Takes a body one batch further.
    fn body(&mut self, plan: Arc<Plan<'s>>, target: Target, mut levels: Vec<Level>) {
        let Some(mut level) = levels.pop() else {
            return;
        };
        let Some(step) = plan.steps.get(level.step) else {
            self.emit(&plan, target, &level.bindings);
            self.pending.push(Pending::Body { plan, target, levels });
            return;
        };
        if !level.asked {
            level.asked = true;
            if let Some(call) = self.ask(step, plan.stride, &level.bindings) {
                levels.push(level);
                self.pending.push(Pending::Body { plan, target, levels });
                self.pending.push(call);
                return;
            }
        }
        let mut out = Vec::new();
        match step {
            Step::Never => level.at = level.bindings.len(),
            Step::Match(step) => self.matches(step, plan.stride, &mut level, &mut out),
            Step::Absent(step) => self.absent(step, plan.stride, &mut level, &mut out),
            Step::Compute { builtin, args, bound_outputs, negated } => {
                let level = &mut level;
                while let Some(binding) = level.next(plan.stride) {
                    let start = out.len();
                    out.extend_from_slice(binding);
                    if !self.compute(builtin, args, bound_outputs, *negated, &mut out[start..]) {
                        out.truncate(start);
                    }
                    level.at += 1;
                }
            }
        }
        let next = level.step + 1;
        if level.at * plan.stride < level.bindings.len() {
            levels.push(level);
        }
        if !out.is_empty() {
            levels.push(Level::new(next, out));
        }
        self.pending.push(Pending::Body { plan, target, levels });
    }

    fn emit(&mut self, plan: &Plan<'s>, target: Target, bindings: &[Word]) {
        let rows = match target {
            Target::Answers => &mut self.answers,
            Target::Memo(memo) => &mut self.memos[memo].rows,
        };
        let mut row = Vec::with_capacity(plan.output.len());
        for binding in bindings.chunks_exact(plan.stride) {
            row.clear();
            row.extend(plan.output.iter().map(|arg| value(*arg, binding)));
            self.produced += usize::from(rows.insert(&self.state.dictionary, &row));
        }
    }

    /// Asks the derived table of a step for what the bindings need and nobody asked for yet.
    fn ask(&mut self, step: &Step<'s>, stride: usize, bindings: &[Word]) -> Option<Pending<'s>> {
        let (memo, args): (usize, &[Arg]) = match step {
            Step::Match(step) => (step.memo?, &step.bound),
            Step::Absent(step) => (step.memo?, &step.args),
            _ => return None,
        };
        let asked = &mut self.memos[memo].asked;
        let (mut keys, mut key, mut count) = (Vec::new(), Vec::with_capacity(args.len()), 0);
        for binding in bindings.chunks_exact(stride) {
            key.clear();
            key.extend(args.iter().map(|arg| value(*arg, binding)));
            if asked.insert(&self.state.dictionary, &key) {
                keys.extend_from_slice(&key);
                count += 1;
            }
        }
        if count == 0 {
            return None;
        }
        let plans = self.plans(memo);
        Some(Pending::Call { memo, keys, count, plans, rule: 0 })
    }

    fn plans(&mut self, memo: usize) -> Arc<[Arc<Plan<'s>>]> {
        let called = &self.memos[memo];
        if let Some(plans) = &called.plans {
            return plans.clone();
        }
        let (policy, table, width) = (called.policy.clone(), called.table, called.width);
        let bound = called.bound.clone();
        let rules = table.rules.iter().filter(|stored| stored.program.head.len() == width);
        let plans: Arc<[_]> = rules
            .map(|stored| {
                let given =
                    bound.iter().filter_map(|&column| match stored.program.head[column as usize] {
                        Arg::Variable(variable) => Some(variable),
                        Arg::Constant(_) => None,
                    });
                let given: Vec<u32> = given.collect();
                Arc::new(plan(self.state, self, &policy, &stored.program, given))
            })
            .collect();
        self.memos[memo].plans = Some(plans.clone());
        plans
    }
}

impl Level {
    fn new(step: usize, bindings: Vec<Word>) -> Self {
        Self { step, bindings, at: 0, cursor: Cursor::Start, asked: false }
    }

    /// The binding to go on with.
    #[inline]
    pub(super) fn next(&self, stride: usize) -> Option<&[Word]> {
        self.bindings.get(self.at * stride..(self.at + 1) * stride)
    }
}

/// An argument's value under a binding.
#[inline]
pub(super) fn value(arg: Arg, binding: &[Word]) -> Word {
    match arg {
        Arg::Variable(variable) => binding[variable as usize],
        Arg::Constant(word) => word,
    }
}
