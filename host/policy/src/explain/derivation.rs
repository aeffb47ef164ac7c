//! The search for derivations.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::head::{Matched, Solution, args};
use super::{Derivation, Detail, Reason, Step};
use crate::aggregates::Accumulator;
use crate::ast::{Atom, Constant, Term};
use crate::error::Error;
use crate::eval::Evaluation;
use crate::eval::rows::RowSet;
use crate::program::{Arg, Compiler, Grouping, Literal, Program, TableKey};
use crate::snapshot::Limits;
use crate::state::{Policy, State, Table};
use crate::store::word::Word;

/// One explanation on its way.
pub(super) struct Search<'s> {
    pub(super) state: &'s State,
    pub(super) evaluation: Evaluation<'s>,
    pub(super) detail: Detail,
    steps: Vec<Step>,
    /// The rows that have a step.
    known: HashMap<Row, usize>,
    /// Steps of rows that are still to be explained.
    todo: VecDeque<(usize, Row, usize)>,
    /// The places of rules among those of their policy, by number.
    places: HashMap<Arc<str>, HashMap<u64, usize>>,
}

/// A row of a table.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Row {
    policy: Arc<str>,
    key: TableKey,
    /// How the literal names the policy.
    prefix: Option<Arc<str>>,
    words: Vec<Word>,
}

impl<'s> Search<'s> {
    pub(super) fn new(state: &'s State, detail: Detail, limits: Limits<'s>) -> Self {
        Self {
            state,
            evaluation: Evaluation::timed(state, limits),
            detail,
            steps: Vec::new(),
            known: HashMap::new(),
            todo: VecDeque::new(),
            places: HashMap::new(),
        }
    }

    /// The atom as a program that asks for its variables.
    pub(super) fn compile(&mut self, atom: &Atom) -> Program {
        let compiler = Compiler::new(|constant: &_| self.evaluation.values.word(constant));
        let mut program = compiler.parts(&[], std::slice::from_ref(atom));
        program.head = (0..program.variables.len() as u32).map(Arg::Variable).collect();
        program
    }

    /// A derivation of the first row that fits the atom.
    pub(super) fn prove(
        &mut self,
        atom: &Atom,
        policy: &Arc<str>,
    ) -> Result<Option<Derivation>, Error> {
        let program = self.compile(atom);
        let Some(literal) = program.body.first() else {
            return Ok(None);
        };
        let Some(words) = self.first_row(literal, policy, &program)? else {
            return Ok(None);
        };
        let place = |arg: &Arg| args(literal).iter().position(|other| other == arg);
        let word = |arg: &Arg| {
            place(arg).and_then(|at| words.get(at).copied()).filter(|word| *word != Word::UNBOUND)
        };
        self.add(atom, literal, policy, word, 0);
        while let Some((step, row, depth)) = self.todo.pop_front() {
            self.explain(step, row, depth)?;
        }
        Ok(Some(Derivation { steps: std::mem::take(&mut self.steps) }))
    }

    /// What the arguments of a literal are in the first row that fits.
    fn first_row(
        &mut self,
        literal: &Literal,
        policy: &Arc<str>,
        program: &Program,
    ) -> Result<Option<Vec<Word>>, Error> {
        let state: &'s State = self.state;
        let args = args(literal);
        let (owner, key) = match literal {
            Literal::Table { policy: owner, key, negated: false, .. } => {
                (owner.as_ref().unwrap_or(policy), key)
            }
            _ => return self.first_answer(args, policy, program),
        };
        let table = state.table(owner, key);
        let grouped =
            |table: &Arc<Table>| table.rules.iter().any(|it| it.program.grouping.is_some());
        if state.component(owner, key).is_some() || table.is_some_and(grouped) {
            return self.first_answer(args, policy, program);
        }
        let Some(owner) = state.policies.get(owner) else {
            return Ok(None);
        };
        let Some(table) = owner.tables.get(key) else {
            return Ok(None);
        };
        if let Some(row) = self.first_fact(owner, table, args) {
            return Ok(Some(row));
        }
        // Rule by rule: to ask the table itself would give all its rows that fit.
        for stored in table.rules.iter().filter(|rule| rule.program.head.len() == args.len()) {
            let values = &self.evaluation.values;
            let Ok(matched) = Matched::new(stored, args, values, owner.matches_by_value()) else {
                continue;
            };
            let program = matched.program(stored.program.body.len());
            let rows = self.evaluation.first(&owner.info.name, &program, 1)?;
            if rows.len() > 0 {
                let solution = matched.solution(&program, rows.row(0));
                let head = stored.program.head.iter();
                let row = head.map(|arg| solution.word(*arg).unwrap_or(Word::UNBOUND));
                return Ok(Some(row.collect()));
            }
        }
        Ok(None)
    }

    /// The same, from the query's own answers.
    fn first_answer(
        &mut self,
        args: &[Arg],
        policy: &Arc<str>,
        program: &Program,
    ) -> Result<Option<Vec<Word>>, Error> {
        let rows = self.evaluation.first(policy, program, 1)?;
        if rows.len() == 0 {
            return Ok(None);
        }
        let word = |arg: &Arg| match arg {
            Arg::Constant(word) => *word,
            Arg::Variable(variable) => {
                rows.row(0).get(*variable as usize).copied().unwrap_or(Word::UNBOUND)
            }
        };
        Ok(Some(args.iter().map(word).collect()))
    }

    fn first_fact(&self, owner: &Policy, table: &Table, args: &[Arg]) -> Option<Vec<Word>> {
        let constants = args.iter().map(|arg| match arg {
            Arg::Constant(word) => Some(*word),
            Arg::Variable(_) => None,
        });
        if let Some(row) = constants.collect::<Option<Vec<Word>>>() {
            return self.is_fact(owner, table, &row).then_some(row);
        }
        let equal = |a: Word, b: Word| match owner.matches_by_value() {
            true => self.evaluation.values.canonical(a).joins(self.evaluation.values.canonical(b)),
            false => a.joins(b),
        };
        let fits = |row: &&[Word]| {
            args.iter().zip(*row).all(|(arg, word)| match arg {
                Arg::Constant(constant) => equal(*constant, *word),
                Arg::Variable(_) => {
                    let first = args.iter().position(|other| other == arg);
                    let first = first.and_then(|at| row.get(at));
                    // A variable that stands once takes any value, NaN included.
                    first.is_some_and(|first| std::ptr::eq(first, word) || equal(*first, *word))
                }
            })
        };
        table.relation(args.len())?.iter().find(fits).map(<[Word]>::to_vec)
    }

    /// The step of a literal that holds, with the values that its arguments have.
    fn add(
        &mut self,
        atom: &Atom,
        literal: &Literal,
        policy: &Arc<str>,
        word: impl Fn(&Arg) -> Option<Word>,
        depth: usize,
    ) -> usize {
        let words: Vec<Option<Word>> = args(literal).iter().map(word).collect();
        let terms = atom.args.iter().enumerate().map(|(at, term)| {
            let word = words.get(at).copied().flatten();
            let value = word.and_then(|word| self.evaluation.values.value(word));
            value.map_or_else(|| term.clone(), Term::Constant)
        });
        let step = Step {
            literal: Atom { args: terms.collect(), ..atom.clone() },
            policy: policy.clone(),
            reason: Reason::Cut,
            premises: Vec::new(),
        };
        let number = self.steps.len();
        match literal {
            Literal::Table { policy: owner, key, negated: false, .. } => {
                let owner = owner.as_ref().unwrap_or(policy).clone();
                let words: Vec<Word> =
                    words.into_iter().map(|word| word.unwrap_or(Word::UNBOUND)).collect();
                let row = Row {
                    policy: owner.clone(),
                    key: key.clone(),
                    prefix: atom.policy.clone(),
                    words,
                };
                if let Some(&known) = self.known.get(&row) {
                    return known;
                }
                self.known.insert(row.clone(), number);
                self.todo.push_back((number, row, depth));
                self.steps.push(Step { policy: owner, ..step });
            }
            Literal::Table { policy: owner, .. } => {
                let policy = owner.as_ref().unwrap_or(policy).clone();
                self.steps.push(Step { policy, reason: Reason::NoRow, ..step });
            }
            Literal::Builtin { .. } => self.steps.push(Step { reason: Reason::Computed, ..step }),
            Literal::Truth(_) => self.steps.push(Step { reason: Reason::Truth, ..step }),
            Literal::Nothing { .. } => self.steps.push(Step { reason: Reason::NoRow, ..step }),
        }
        number
    }

    /// Finds what a row follows from.
    fn explain(&mut self, step: usize, row: Row, depth: usize) -> Result<(), Error> {
        let state: &'s State = self.state;
        let Some(owner) = state.policies.get(&row.policy) else {
            return Ok(());
        };
        let Some(table) = owner.tables.get(&row.key) else {
            return Ok(());
        };
        if self.is_fact(owner, table, &row.words) {
            self.steps[step].reason = Reason::Fact;
            return Ok(());
        }
        if depth >= self.detail.depth {
            return Ok(());
        }
        let (words, time) = self.as_derived(owner, table, row.words);
        let component = state.component(&row.policy, &row.key);
        let asked: Vec<Arg> = (0..).zip(&words).map(|(at, word)| asked(at, *word)).collect();
        let by_value = owner.matches_by_value();
        let rules = table.rules.iter().filter(|rule| rule.program.head.len() == words.len());
        for stored in rules {
            let values = &self.evaluation.values;
            let Ok(matched) = Matched::new(stored, &asked, values, by_value) else {
                continue;
            };
            let body = stored.program.body.len();
            if self.steps.len() + body > self.detail.steps {
                return Ok(());
            }
            let recursive = |literal: &Literal| match literal {
                Literal::Table { policy, key, negated: false, .. } => {
                    let owner = policy.as_ref().unwrap_or(&row.policy);
                    component.is_some() && state.component(owner, key) == component
                }
                _ => false,
            };
            let is_recursive = stored.program.body.iter().any(recursive);
            let nan = words.contains(&Word::NAN);
            let program = matched.program(body);
            let grouping = stored.program.grouping.as_ref();
            let all = is_recursive || nan || grouping.is_some();
            let wanted = if all { usize::MAX } else { 1 };
            let rows = self.evaluation.first(&row.policy, &program, wanted)?;
            if let Some(grouping) = grouping {
                let given = self.aggregated(grouping, &matched, &program, &rows);
                let is_row = |(column, result): &(u32, Option<Constant>)| {
                    let word = words.get(*column as usize).copied().unwrap_or(Word::UNBOUND);
                    let value = self.evaluation.values.value(word);
                    result.is_some() && (*result == value || word == Word::NAN)
                };
                if rows.len() == 0 || !given.iter().all(is_row) {
                    continue;
                }
                // As many of the group's solutions as fit.
                let literals = stored.rule.body.iter().zip(&stored.program.body);
                let mut premises = Vec::new();
                for solution in rows.iter() {
                    if self.steps.len() + body > self.detail.steps {
                        break;
                    }
                    let solution = matched.solution(&program, solution);
                    for (atom, literal) in literals.clone() {
                        let word = |arg: &Arg| solution.word(*arg);
                        premises.push(self.add(atom, literal, &row.policy, word, depth + 1));
                    }
                }
                let mut seen = HashSet::new();
                premises.retain(|premise| seen.insert(*premise));
                let number = self.place(owner, stored.number);
                let rule = stored.rule.clone();
                self.steps[step].reason = Reason::Rule { rule, number };
                self.steps[step].premises = premises;
                return Ok(());
            }
            for id in 0..rows.len() {
                let solution = matched.solution(&program, rows.row(id));
                let earlier = |literal: &Literal| {
                    !recursive(literal) || self.is_earlier(&row.policy, literal, &solution, time)
                };
                let head = &stored.program.head;
                let fits = |(arg, word): (&Arg, &Word)| {
                    *word != Word::NAN || solution.word(*arg) == Some(Word::NAN)
                };
                if !head.iter().zip(&words).all(fits) || !stored.program.body.iter().all(earlier) {
                    continue;
                }
                let literals = stored.rule.body.iter().zip(&stored.program.body);
                let premises: Vec<usize> = literals
                    .map(|(atom, literal)| {
                        let word = |arg: &Arg| solution.word(*arg);
                        self.add(atom, literal, &row.policy, word, depth + 1)
                    })
                    .collect();
                let number = self.place(owner, stored.number);
                let rule = stored.rule.clone();
                self.steps[step].reason = Reason::Rule { rule, number };
                self.steps[step].premises = premises;
                return Ok(());
            }
        }
        Ok(())
    }

    /// What the aggregates of a rule make of the solutions of a group, by column.
    pub(super) fn aggregated(
        &self,
        grouping: &Grouping,
        matched: &Matched<'_>,
        program: &Program,
        solutions: &RowSet,
    ) -> Vec<(u32, Option<Constant>)> {
        let results = grouping.aggregates.iter().map(|(column, function, variable)| {
            let mut accumulator = Accumulator::new(*function);
            for row in solutions.iter() {
                let word = matched.solution(program, row).word(Arg::Variable(*variable));
                match word.and_then(|word| self.evaluation.values.value(word)) {
                    Some(value) => accumulator.add(&value),
                    None => accumulator.fail(),
                }
            }
            (*column, accumulator.finish())
        });
        results.collect()
    }

    /// Whether a row is stored.
    fn is_fact(&self, owner: &Policy, table: &Table, words: &[Word]) -> bool {
        let Some(relation) = table.relation(words.len()) else {
            return false;
        };
        let values = &self.evaluation.values;
        let canonical: Vec<Word> = words.iter().map(|word| values.canonical(*word)).collect();
        let stored = relation.get(&self.state.dictionary, &canonical);
        stored.is_some_and(|stored| owner.matches_by_value() || stored == words)
    }

    /// A row as its rules gave it, which may spell numbers otherwise, and when.
    fn as_derived(&self, owner: &Policy, table: &Table, words: Vec<Word>) -> (Vec<Word>, u32) {
        if words.contains(&Word::UNBOUND) {
            return (words, u32::MAX);
        }
        let values = &self.evaluation.values;
        let by_value = owner.matches_by_value();
        let key: Vec<Word> = match by_value {
            true => words.iter().map(|word| values.canonical(*word)).collect(),
            false => words.clone(),
        };
        if let Some((time, row)) = self.evaluation.came(table, &key) {
            return (row.to_vec(), time);
        }
        let dictionary = &self.state.dictionary;
        let stored = match by_value {
            true => table.stored(key.len()).find_map(|relation| relation.get(dictionary, &key)),
            false => None,
        };
        (stored.map_or(words, <[Word]>::to_vec), u32::MAX)
    }

    /// Whether a literal of a recursion is stored or came before a time.
    fn is_earlier(
        &self,
        policy: &Arc<str>,
        literal: &Literal,
        solution: &Solution<'_, '_>,
        time: u32,
    ) -> bool {
        let Literal::Table { policy: owner, key, args, .. } = literal else {
            return true;
        };
        let Some(owner) = self.state.policies.get(owner.as_ref().unwrap_or(policy)) else {
            return false;
        };
        let words: Option<Vec<Word>> = args.iter().map(|arg| solution.word(*arg)).collect();
        let (Some(table), Some(words)) = (owner.tables.get(key), words) else {
            return false;
        };
        self.is_fact(owner, table, &words) || self.as_derived(owner, table, words).1 < time
    }

    /// A rule's place among those of its policy, from 1.
    pub(super) fn place(&mut self, policy: &Policy, number: u64) -> usize {
        let places = self.places.entry(policy.info.name.clone()).or_insert_with(|| {
            let rules = policy.rules().into_iter().zip(1..);
            rules.map(|(stored, place)| (stored.number, place)).collect()
        });
        places.get(&number).copied().unwrap_or_default()
    }
}

/// What a row asks of a head: a value that nothing has bound is open.
fn asked(column: u32, word: Word) -> Arg {
    match word {
        Word::UNBOUND => Arg::Variable(column),
        word => Arg::Constant(word),
    }
}
