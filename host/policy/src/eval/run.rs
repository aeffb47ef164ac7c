//! Running plans.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::memo::{Memo, MemoKey};
use super::plan::{Body, Plan, Start, Step, plan};
use super::ready::{Given, Ready};
use super::rows::{Lookup, RowSet};
use crate::builtins::Context;
use crate::error::{Error, ErrorKind};
use crate::program::{Arg, Program};
use crate::snapshot::Limits;
use crate::state::{State, Table};
use crate::store::index::NONE;
use crate::store::scratch::Scratch;
use crate::store::word::Word;

/// How many bindings a step hands on at a time.
pub(super) const BATCH: usize = 1024;

/// A limited evaluation makes so many bytes of values that no row had before.
const MAX_NEW_BYTES: usize = 256 << 20;

/// The evaluation of one query over one state.
pub(crate) struct Evaluation<'s> {
    pub(super) state: &'s State,
    pub(super) context: Context,
    pub(crate) values: Scratch<'s>,
    pub(super) memos: Vec<Memo<'s>>,
    pub(super) memo_numbers: HashMap<MemoKey, usize>,
    pub(super) pending: Vec<Pending<'s>>,
    /// The rows of the query itself.
    answers: RowSet,
    /// The solutions of rules with aggregates that are under way, the innermost one last.
    pub(super) solutions: Vec<RowSet>,
    limits: Limits<'s>,
    /// How many rows there are in all.
    pub(super) produced: usize,
    /// How many bindings the steps of bodies have handed on.
    handed: usize,
    /// Something asked for the time: the same state may answer otherwise later.
    pub(crate) volatile: bool,
    /// It is for one query alone, which may take what a memo has.
    pub(super) single: bool,
    /// How many answers are enough.
    wanted: usize,
    /// For each memo when its rows came, if that is to be known: the first row of each batch, and
    /// the batch's place among all. What a row is made of came in earlier batches.
    pub(super) times: Option<Vec<Vec<(u32, u32)>>>,
    batches: u32,
}

/// Where the rows of a body go.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Answers {
        distinct: bool,
    },
    Memo(usize),
    /// One of [`Evaluation::solutions`].
    Solutions(usize),
}

/// Work that waits for the work above it.
pub(super) enum Pending<'s> {
    /// A memo with new keys, of which the rules before `rule` have been started.
    Call { memo: usize, rule: usize },
    /// A recursion, after a round.
    Round { component: u32 },
    /// A rule with aggregates, the solutions of which are there.
    Groups { ready: Arc<Ready<'s>>, memo: usize },
    /// A body, with a level for each step that has bindings left.
    Body { ready: Arc<Ready<'s>>, given: Given<'s>, target: Target, levels: Vec<Level> },
}

/// Bindings that wait for one step.
pub(super) struct Level {
    pub(super) step: usize,
    pub(super) bindings: Vec<Word>,
    /// The next binding, and how far its matches have been handed on.
    pub(super) at: usize,
    pub(super) cursor: super::steps::Cursor,
    /// Whether the derived table of the step has been asked.
    asked: bool,
    /// How each stored relation is read; settled when the step begins.
    pub(super) access: [super::steps::Access; 2],
}

impl<'s> Evaluation<'s> {
    /// Over a state.
    pub(crate) fn new(state: &'s State, limits: Limits<'s>) -> Self {
        Self::at(state, limits, state.context())
    }

    /// For one query alone.
    pub(crate) fn single(state: &'s State, limits: Limits<'s>) -> Self {
        Self { single: true, ..Self::new(state, limits) }
    }

    /// Over a state, at a given time.
    pub(crate) fn at(state: &'s State, limits: Limits<'s>, context: Context) -> Self {
        Self {
            state,
            context,
            values: Scratch::new(&state.dictionary),
            memos: Vec::new(),
            memo_numbers: HashMap::new(),
            pending: Vec::new(),
            answers: RowSet::new(0, false, state.dictionary.mixer()),
            solutions: Vec::new(),
            limits,
            produced: 0,
            handed: 0,
            volatile: false,
            single: false,
            wanted: usize::MAX,
            times: None,
            batches: 0,
        }
    }

    /// One that can tell when derived rows came.
    pub(crate) fn timed(state: &'s State, limits: Limits<'s>) -> Self {
        Self { times: Some(Vec::new()), ..Self::new(state, limits) }
    }

    /// The rows of the program's head for which its body holds, in a policy.
    ///
    /// # Errors
    ///
    /// A limit is reached.
    pub(crate) fn query(&mut self, policy: &Arc<str>, program: &Program) -> Result<RowSet, Error> {
        let body = Body {
            state: self.state,
            policy,
            program: program.grouping.as_ref().map_or(program, |grouping| &grouping.solutions),
            start: Start::Nothing,
            recursion: None,
        };
        let plan = Arc::new(plan(&body).0);
        match &program.grouping {
            Some(grouping) => self.rows_of_groups(plan, Given::default(), program, grouping),
            None => self.rows_of(plan, Given::default()),
        }
    }

    /// The first rows of [`Evaluation::query`], about as many as wanted. What need not be known for
    /// them is left out.
    ///
    /// # Errors
    ///
    /// A limit is reached.
    pub(crate) fn first(
        &mut self,
        policy: &Arc<str>,
        program: &Program,
        wanted: usize,
    ) -> Result<RowSet, Error> {
        self.wanted = wanted;
        let rows = self.query(policy, program);
        self.wanted = usize::MAX;
        rows
    }

    /// A derived row that queries have come upon, as it was derived, and its time: whatever it was
    /// derived from has an earlier one. `key` is the row, in canonical form if the table's rows
    /// are told apart by value.
    pub(crate) fn came(&self, table: &Table, key: &[Word]) -> Option<(u32, &[Word])> {
        let memos = self
            .memos
            .iter()
            .enumerate()
            .filter(|(_, memo)| std::ptr::eq(memo.table, table) && memo.width == key.len());
        let found = memos.filter_map(|(at, memo)| {
            let id = memo.rows.first(Lookup::Unique, key, memo.rows.len());
            let times = self.times.as_ref()?.get(at)?;
            let batch = times.partition_point(|(first, _)| *first <= id).checked_sub(1)?;
            (id != NONE).then(|| (times[batch].1, memo.rows.row(id)))
        });
        found.min_by_key(|(time, _)| *time)
    }

    /// How many rows its queries have produced so far, those on the way to answers included.
    pub(crate) fn produced(&self) -> usize {
        self.produced
    }

    /// The rows of a plan that starts from nothing or from rows handed in.
    ///
    /// # Errors
    ///
    /// A limit is reached.
    pub(crate) fn rows_of(&mut self, plan: Arc<Plan>, given: Given<'s>) -> Result<RowSet, Error> {
        self.answers =
            RowSet::new(plan.output.len(), false, self.state.dictionary.mixer()).without_numbers();
        let ready = Arc::new(self.ready(plan, None, None));
        if let Some(memo) = self.whole_memo(&ready) {
            let nothing = vec![Word::UNBOUND; ready.plan.stride];
            let call = self.ask(&ready, 0, &nothing);
            self.pending.extend(call);
            self.run()?;
            let memo = &mut self.memos[memo];
            let empty = RowSet::new(memo.width, memo.by_value, self.state.dictionary.mixer());
            // Nobody asks for it again: the query is all of it.
            return Ok(std::mem::replace(&mut memo.rows, empty));
        }
        let distinct = ready.is_distinct();
        self.start(ready, given, Target::Answers { distinct });
        self.run()?;
        let empty = RowSet::new(0, false, self.state.dictionary.mixer());
        Ok(std::mem::replace(&mut self.answers, empty))
    }

    pub(super) fn start(&mut self, ready: Arc<Ready<'s>>, given: Given<'s>, target: Target) {
        let bindings = vec![Word::UNBOUND; ready.plan.stride];
        let levels = vec![Level::new(0, bindings)];
        self.pending.push(Pending::Body { ready, given, target, levels });
    }

    fn run(&mut self) -> Result<(), Error> {
        while let Some(pending) = self.pending.pop() {
            self.check_limits()?;
            match pending {
                Pending::Call { memo, rule } => self.call(memo, rule),
                Pending::Round { component } => self.round(component),
                Pending::Groups { ready, memo } => self.groups(&ready, memo),
                Pending::Body { ready, given, target, levels } => {
                    self.body(ready, given, target, levels);
                }
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Error> {
        if self.limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Error::new(ErrorKind::Limit, "The query was stopped"));
        }
        if self.limits.rows.is_some() && self.values.bytes() > MAX_NEW_BYTES {
            let text = "The query makes too many new values; ask for less";
            return Err(Error::new(ErrorKind::Limit, text));
        }
        if let Some(most) = self.limits.bindings.filter(|most| self.handed > *most) {
            let text =
                format!("The query looks at more than {most} combinations of rows; ask for less");
            return Err(Error::new(ErrorKind::Limit, text));
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
    fn call(&mut self, memo: usize, rule: usize) {
        let plans = self.plans(memo);
        let called = &mut self.memos[memo];
        if rule == 0 {
            called.now.asked = called.asked.len();
        }
        let Some(ready) = plans.get(rule).cloned() else {
            called.old = called.now;
            return;
        };
        self.pending.push(Pending::Call { memo, rule: rule + 1 });
        self.start_rule(ready, memo);
    }

    /// Takes a body one batch further.
    fn body(
        &mut self,
        ready: Arc<Ready<'s>>,
        given: Given<'s>,
        target: Target,
        mut levels: Vec<Level>,
    ) {
        let Some(mut level) = levels.pop() else {
            return;
        };
        let stride = ready.plan.stride;
        let Some(step) = ready.plan.steps.get(level.step) else {
            self.emit(&ready.plan, target, &level.bindings);
            // All that was asked for on the way to an answer has been dealt with by now.
            let is_enough = matches!(target, Target::Answers { .. })
                && self.answers.len() as usize >= self.wanted;
            if !is_enough {
                self.pending.push(Pending::Body { ready, given, target, levels });
            }
            return;
        };
        if !level.asked {
            level.asked = true;
            if let Some(call) = self.ask(&ready, level.step, &level.bindings) {
                levels.push(level);
                self.pending.push(Pending::Body { ready, given, target, levels });
                self.pending.push(call);
                return;
            }
        }
        let mut out = Vec::new();
        let reads = &ready.reads[level.step];
        match step {
            Step::Never => level.at = level.bindings.len(),
            Step::Match(step) => self.matches(step, reads, given, stride, &mut level, &mut out),
            Step::Absent(step) => self.absent(step, reads, stride, &mut level, &mut out),
            Step::Compute { builtin, args, bound_outputs, negated } => {
                let level = &mut level;
                while let Some(binding) = level.next(stride) {
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
        if level.at * stride < level.bindings.len() {
            levels.push(level);
        }
        self.handed += out.len() / stride.max(1);
        if !out.is_empty() {
            levels.push(Level::new(next, out));
        }
        self.pending.push(Pending::Body { ready, given, target, levels });
    }

    fn emit(&mut self, plan: &Plan, target: Target, bindings: &[Word]) {
        let (rows, distinct) = match target {
            Target::Answers { distinct } => (&mut self.answers, distinct),
            Target::Memo(memo) => (&mut self.memos[memo].rows, false),
            Target::Solutions(number) => (&mut self.solutions[number], false),
        };
        let before = rows.len();
        let width = plan.output.len();
        let bindings = bindings.chunks_exact(plan.stride);
        let mut out = Vec::with_capacity(bindings.len() * width);
        for binding in bindings {
            out.extend(plan.output.iter().map(|arg| value(*arg, binding)));
        }
        let canonical: Vec<Word>;
        let keys = if rows.is_by_value() {
            canonical = out.iter().map(|word| self.values.canonical(*word)).collect();
            &canonical
        } else {
            &out
        };
        self.produced += if width == 0 {
            usize::from(rows.insert(&[], &[]))
        } else if distinct {
            rows.append_all(&out, keys)
        } else {
            rows.insert_all(&out, keys)
        };
        if let Target::Memo(memo) = target {
            self.note_time(memo, before);
        }
    }

    /// Notes when the rows of a memo came, if there are more than before.
    pub(super) fn note_time(&mut self, memo: usize, before: u32) {
        if let Some(times) = &mut self.times
            && self.memos[memo].rows.len() > before
        {
            times.resize_with(times.len().max(memo + 1), Vec::new);
            times[memo].push((before, self.batches));
            self.batches = self.batches.saturating_add(1);
        }
    }
}

impl Level {
    fn new(step: usize, bindings: Vec<Word>) -> Self {
        Self {
            step,
            bindings,
            at: 0,
            cursor: super::steps::Cursor::Start,
            asked: false,
            access: Default::default(),
        }
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
