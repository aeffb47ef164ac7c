//! Running plans.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::groups::Groups;
use super::plan::{Body, Plan, Source, Start, Step, TableUse, plan};
use super::rows::{Lookup, RowSet};
use crate::builtins::Context;
use crate::error::{Error, ErrorKind};
use crate::program::{Arg, Program};
use crate::snapshot::Limits;
use crate::state::{State, Table};
use crate::store::index::NONE;
use crate::store::relation::Relation;
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
    pub(super) pending: Vec<Pending<'s>>,
    /// The rows of the query itself.
    answers: RowSet,
    /// The solutions of rules with aggregates that are under way, the innermost one last.
    pub(super) solutions: Vec<RowSet>,
    limits: Limits<'s>,
    /// How many rows there are in all.
    pub(super) produced: usize,
    /// It is for one query alone, which may take what a memo has.
    single: bool,
    /// How many answers are enough.
    wanted: usize,
    /// For each memo when its rows came, if that is to be known: the first row of each batch, and
    /// the batch's place among all. What a row is made of came in earlier batches.
    times: Option<Vec<Vec<(u32, u32)>>>,
    batches: u32,
}

/// A table by its address in the state, a width, and the columns by which it is asked.
type MemoKey = (*const Table, usize, Box<[u32]>);

/// A derived table, asked by some of its columns.
pub(super) struct Memo<'s> {
    pub(super) policy: Arc<str>,
    pub(super) table: &'s Table,
    pub(super) by_value: bool,
    pub(super) width: usize,
    pub(super) columns: Box<[u32]>,
    /// The recursion that the table is part of.
    pub(super) component: Option<u32>,
    /// Made when first asked.
    pub(super) plans: Option<Arc<[Arc<Ready<'s>>]>>,
    /// The keys that have been asked for, and what they gave.
    pub(super) asked: RowSet,
    pub(super) rows: RowSet,
    /// How much of both had been dealt with when the last round began, and this one.
    pub(super) old: Marks,
    pub(super) now: Marks,
}

/// A place in the keys and rows of a memo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) asked: u32,
    pub(super) rows: u32,
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

/// A plan, with what its steps read.
pub(crate) struct Ready<'s> {
    pub(super) plan: Arc<Plan>,
    pub(super) reads: Box<[Reads<'s>]>,
    /// The recursion that it is part of.
    pub(super) component: Option<u32>,
    /// What becomes of its rows, if they are solutions of a rule with aggregates.
    pub(super) groups: Option<Groups>,
}

/// What a step reads.
pub(super) enum Reads<'s> {
    Nothing,
    Table { stored: [Option<&'s Relation>; 2], memo: Option<(usize, Lookup)> },
    Asked(usize, Lookup),
    Given,
}

/// Rows that are handed in.
#[derive(Clone, Copy, Default)]
pub(crate) struct Given<'s> {
    pub(crate) words: &'s [Word],
    pub(crate) width: usize,
    pub(crate) len: usize,
}

impl<'s> Given<'s> {
    /// All of them.
    pub(crate) fn rows(self) -> impl Iterator<Item = &'s [Word]> {
        (0..self.len as u32).filter_map(move |at| self.row(at))
    }

    pub(super) fn row(&self, at: u32) -> Option<&'s [Word]> {
        let start = at as usize * self.width;
        self.words.get(start..start + self.width)
    }
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
            prune: true,
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
        self.answers = RowSet::new(plan.output.len(), false, self.state.dictionary.mixer());
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

    /// The memo that is the answer as it is: the query is for all of one derived table.
    fn whole_memo(&self, ready: &Ready<'s>) -> Option<usize> {
        let [Step::Match(step)] = &ready.plan.steps[..] else {
            return None;
        };
        let Reads::Table { stored: [None, None], memo: Some((memo, Lookup::All)) } = ready.reads[0]
        else {
            return None;
        };
        let output = (0..).zip(&ready.plan.output);
        let is_whole = step.checks.is_empty()
            && step.binds.len() == ready.plan.output.len()
            && output.zip(&step.binds).all(|((at, arg), (column, variable))| {
                *column == at && *arg == Arg::Variable(*variable)
            });
        (is_whole && self.single).then_some(memo)
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
        let by_value = rows.is_by_value();
        let before = rows.len();
        let mut row = Vec::with_capacity(plan.output.len());
        let mut canonical = Vec::new();
        for binding in bindings.chunks_exact(plan.stride) {
            row.clear();
            row.extend(plan.output.iter().map(|arg| value(*arg, binding)));
            let key = match by_value {
                true => {
                    canonical.clear();
                    canonical.extend(row.iter().map(|word| self.values.canonical(*word)));
                    &canonical
                }
                false => &row,
            };
            if distinct {
                rows.append(&row, key);
                self.produced += 1;
            } else {
                self.produced += usize::from(rows.insert(&row, key));
            }
        }
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

    /// Asks the derived table of a step for what the bindings need and nobody asked for yet.
    fn ask(&mut self, ready: &Ready<'s>, step: usize, bindings: &[Word]) -> Option<Pending<'s>> {
        let Reads::Table { memo: Some((memo, _)), .. } = ready.reads[step] else {
            return None;
        };
        let asked = &mut self.memos[memo];
        // The arguments at the columns by which the table is asked.
        let args: Vec<Arg> = match &ready.plan.steps[step] {
            // New rows of a recursion's own literal are there, and ask for nothing.
            Step::Match(step) if step.is_delta() => return None,
            Step::Match(step) => {
                let place = |column| step.columns.iter().position(|other| other == column);
                asked.columns.iter().filter_map(|c| Some(step.bound[place(c)?])).collect()
            }
            Step::Absent(step) => {
                asked.columns.iter().map(|&column| step.args[column as usize]).collect()
            }
            _ => return None,
        };
        let before = asked.asked.len();
        let mut key = Vec::with_capacity(args.len());
        for binding in bindings.chunks_exact(ready.plan.stride) {
            key.clear();
            key.extend(args.iter().map(|arg| match asked.by_value {
                true => self.values.canonical(value(*arg, binding)),
                false => value(*arg, binding),
            }));
            asked.asked.insert(&key, &key);
        }
        let component = asked.component;
        if asked.asked.len() == before {
            return None;
        }
        match component {
            // The round that goes on will see the keys.
            Some(component) if ready.component == Some(component) => None,
            Some(component) => Some(Pending::Round { component }),
            None => Some(Pending::Call { memo, rule: 0 }),
        }
    }

    /// The memo of a table that is asked by some columns. One that has been asked for everything
    /// answers anything.
    fn memo(&mut self, of: &TableUse, table: &'s Table) -> usize {
        let address = std::ptr::from_ref(table);
        if !of.asked.is_empty()
            && let Some(&whole) = self.memo_numbers.get(&(address, of.width, Box::default()))
            && self.memos[whole].asked.len() > 0
        {
            return whole;
        }
        let key: MemoKey = (address, of.width, of.asked.clone());
        if let Some(&number) = self.memo_numbers.get(&key) {
            return number;
        }
        let number = self.memos.len();
        let mixer = self.state.dictionary.mixer();
        self.memos.push(Memo {
            policy: of.policy.clone(),
            table,
            by_value: of.by_value,
            width: of.width,
            columns: of.asked.clone(),
            component: self.state.component(&of.policy, &of.key),
            plans: None,
            asked: RowSet::new(of.asked.len(), false, mixer),
            rows: RowSet::new(of.width, of.by_value, mixer),
            old: Marks::default(),
            now: Marks::default(),
        });
        self.memo_numbers.insert(key, number);
        number
    }

    /// Looks up what the steps of a plan read.
    pub(super) fn ready(
        &mut self,
        plan: Arc<Plan>,
        own: Option<usize>,
        component: Option<u32>,
    ) -> Ready<'s> {
        let reads = plan.steps.iter().map(|step| match step {
            Step::Match(step) => match &step.source {
                Source::Table(table) => self.reads(table, Some(&step.columns)),
                Source::Asked(_) => match own {
                    Some(memo) => Reads::Asked(memo, self.memos[memo].asked.lookup(&step.columns)),
                    None => Reads::Nothing,
                },
                Source::Given => Reads::Given,
            },
            Step::Absent(step) => self.reads(&step.table, None),
            Step::Compute { .. } | Step::Never => Reads::Nothing,
        });
        let reads = reads.collect();
        Ready { plan, reads, component, groups: None }
    }

    /// `columns` are those by which the rows are looked up; none: all.
    fn reads(&mut self, of: &TableUse, columns: Option<&[u32]>) -> Reads<'s> {
        let state = self.state;
        let Some(table) = state.table(&of.policy, &of.key) else {
            return Reads::Nothing;
        };
        let table: &'s Table = table;
        let mut stored = table.stored(of.width);
        let stored_rows = [stored.next(), stored.next()];
        if !table.is_derived(of.width) {
            return Reads::Table { stored: stored_rows, memo: None };
        }
        let memo = self.memo(of, table);
        let lookup = match columns {
            Some(columns) => self.memos[memo].rows.lookup(columns),
            None => Lookup::Unique,
        };
        // The rows of a recursion include the stored ones.
        let stored = match self.memos[memo].component {
            Some(_) => [None, None],
            None => stored_rows,
        };
        Reads::Table { stored, memo: Some((memo, lookup)) }
    }

    /// One plan for each rule of a memo.
    fn plans(&mut self, memo: usize) -> Arc<[Arc<Ready<'s>>]> {
        let called = &self.memos[memo];
        if let Some(plans) = &called.plans {
            return plans.clone();
        }
        let (policy, table, width) = (called.policy.clone(), called.table, called.width);
        let columns = called.columns.clone();
        let rules = table.rules.iter().filter(|stored| stored.program.head.len() == width);
        let plans: Arc<[_]> = rules
            .map(|stored| {
                let body = Body {
                    state: self.state,
                    policy: &policy,
                    program: &stored.program,
                    start: Start::Asked(&columns),
                    recursion: None,
                    prune: true,
                };
                Arc::new(self.rule_plan(&body, memo, None).0)
            })
            .collect();
        self.memos[memo].plans = Some(plans.clone());
        plans
    }
}

impl Ready<'_> {
    /// Whether no binding comes twice: nothing is left out and no row has two origins.
    fn is_distinct(&self) -> bool {
        self.plan.steps.iter().zip(&self.reads).all(|(step, reads)| match (step, reads) {
            (Step::Match(step), Reads::Table { stored, memo }) => {
                let origins = stored.iter().flatten().count() + usize::from(memo.is_some());
                let kept = |variable: u32| self.plan.output.contains(&Arg::Variable(variable));
                origins <= 1
                    && !step.by_value
                    && step.binds.iter().all(|(_, variable)| kept(*variable))
                    && (!step.exists_only || step.binds.is_empty())
            }
            (Step::Match(_), Reads::Nothing) => true,
            (Step::Match(_), _) => false,
            _ => true,
        })
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
