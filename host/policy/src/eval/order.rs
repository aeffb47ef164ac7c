//! In which order literals are matched: a search for the cheapest, by estimates.
//!
//! Tests and negations come as soon as their inputs are bound. Bodies of few tables are searched
//! through; of many, the table that promises the fewest rows comes next. Estimates come from
//! indexes where there are some, else from a sample of the rows.

use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::HashMap;

use super::plan::Recursion;
use crate::program::{Arg, Literal, Program};
use crate::state::{State, Table};
use crate::store::index::IndexKey;
use crate::store::relation::Relation;

/// So many positive tables are put in order by trying all orders.
const SEARCHED: usize = 4;
/// Of so many the cheapest comes next each time; more are taken in their order.
const COMPARED: usize = 64;
/// How many rows a derived table is taken to have, and how much a bound column divides them by.
const DERIVED_ROWS: f64 = 10_000.0;
const DERIVED_DIVISOR: f64 = 8.0;
/// What filing a row in a new index costs, and looking at one in passing, in look-ups.
const FILE: f64 = 1.0;
const PASS: f64 = 0.05;
/// So many rows are looked at to guess how many different values a column has.
const SAMPLE: usize = 48;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// A literal of the body.
    Literal(usize),
    /// What the table has been asked.
    Asks,
}

/// A body to be put in order.
pub(crate) struct Order<'a> {
    pub(crate) state: &'a State,
    pub(crate) policy: &'a Arc<str>,
    pub(crate) program: &'a Program,
    pub(crate) recursion: Option<Recursion<'a>>,
    /// The arguments of what the table has been asked, if that is still to be matched.
    pub(crate) asks: Option<&'a [Arg]>,
}

/// A partial order.
#[derive(Clone)]
struct Path {
    order: Vec<Placed>,
    placed: Vec<bool>,
    asks: bool,
    bound: Vec<bool>,
    /// How many bindings there are.
    rows: f64,
    cost: f64,
}

/// What is known of a column, by the address of its relation.
type Samples = RefCell<HashMap<(*const Relation, u32), f64>>;

impl Order<'_> {
    /// The order of what is not placed yet.
    pub(crate) fn of(&self, placed: &[bool], bound: &[bool]) -> Vec<Placed> {
        let mut path = Path {
            order: Vec::new(),
            placed: placed.to_vec(),
            asks: self.asks.is_none(),
            bound: bound.to_vec(),
            rows: 1.0,
            cost: 0.0,
        };
        if self.state.depends_on_spelling(self.policy, self.program) {
            return self.as_written(path);
        }
        let samples = Samples::default();
        self.place_tests(&mut path);
        let left = self.tables(&path).count();
        if left > COMPARED {
            return self.as_written(path);
        }
        if left <= 1 || left > SEARCHED {
            return self.greedy(path, &samples).order;
        }
        let mut best: Option<Path> = None;
        self.search(path, &samples, &mut best);
        best.map(|path| path.order).unwrap_or_default()
    }

    /// The literals in their order, which is a safe one; what the table has been asked first.
    fn as_written(&self, mut path: Path) -> Vec<Placed> {
        if !path.asks {
            path.order.push(Placed::Asks);
        }
        self.rest(path).order
    }

    /// The sources of rows that are left and may come next.
    fn tables<'p>(&'p self, path: &'p Path) -> impl Iterator<Item = Placed> + 'p {
        let literals = self.program.body.iter().enumerate();
        let positive = literals.filter(|(number, literal)| {
            !path.placed[*number] && matches!(literal, Literal::Table { negated: false, .. })
        });
        let ready = positive.filter(|(number, _)| self.may_be_asked(*number, path));
        let asks = (!path.asks).then_some(Placed::Asks);
        ready.map(|(number, _)| Placed::Literal(number)).chain(asks)
    }

    /// Whether the columns by which a table of the recursion is asked are bound.
    fn may_be_asked(&self, number: usize, path: &Path) -> bool {
        let settled = self.recursion.and_then(|recursion| recursion.asked.get(number)?.as_ref());
        let (Some(columns), Literal::Table { args, .. }) = (settled, &self.program.body[number])
        else {
            return true;
        };
        columns.iter().all(|&column| is_bound(&path.bound, args[column as usize]))
    }

    fn search(&self, path: Path, samples: &Samples, best: &mut Option<Path>) {
        if best.as_ref().is_some_and(|best| best.cost <= path.cost) {
            return;
        }
        let mut next = self.tables(&path).peekable();
        if next.peek().is_none() {
            let path = self.rest(path.clone());
            *best = Some(path);
            return;
        }
        for place in next {
            let mut longer = path.clone();
            self.place(&mut longer, place, samples);
            self.search(longer, samples, best);
        }
    }

    fn greedy(&self, mut path: Path, samples: &Samples) -> Path {
        loop {
            let mut best: Option<Path> = None;
            for place in self.tables(&path) {
                let mut longer = path.clone();
                self.place(&mut longer, place, samples);
                let total = |path: &Path| path.cost + path.rows;
                if best.as_ref().is_none_or(|best| total(&longer) < total(best)) {
                    best = Some(longer);
                }
            }
            match best {
                Some(best) => path = best,
                None => return self.rest(path),
            }
        }
    }

    /// What is left when no table is: a safe body leaves nothing.
    fn rest(&self, mut path: Path) -> Path {
        for number in 0..path.placed.len() {
            if !path.placed[number] {
                path.placed[number] = true;
                path.order.push(Placed::Literal(number));
            }
        }
        path
    }

    fn place(&self, path: &mut Path, place: Placed, samples: &Samples) {
        let args = match place {
            Placed::Asks => {
                path.asks = true;
                let args = self.asks.unwrap_or_default();
                let all = args.iter().all(|arg| is_bound(&path.bound, *arg));
                path.cost += path.rows;
                path.rows *= if all { 0.5 } else { DERIVED_DIVISOR };
                args
            }
            Placed::Literal(number) => {
                path.placed[number] = true;
                let Literal::Table { args, .. } = &self.program.body[number] else {
                    return;
                };
                let columns: Vec<u32> = (0..)
                    .zip(args)
                    .filter(|(_, arg)| is_bound(&path.bound, **arg))
                    .map(|(column, _)| column)
                    .collect();
                let (each, once) = self.estimate(number, args, &columns, path.rows, samples);
                path.cost += once + path.rows * (1.0 + each);
                path.rows *= each;
                args
            }
        };
        path.order.push(place);
        bind(&mut path.bound, args);
        self.place_tests(path);
    }

    /// Places every test, computation and negation whose inputs are bound.
    fn place_tests(&self, path: &mut Path) {
        loop {
            let mut any = false;
            for (number, literal) in self.program.body.iter().enumerate() {
                if path.placed[number] {
                    continue;
                }
                let inputs = match literal {
                    Literal::Truth(_) | Literal::Nothing { .. } => &[],
                    Literal::Builtin { builtin, args, negated } => {
                        let inputs = if *negated { args.len() } else { builtin.inputs };
                        args.get(..inputs).unwrap_or(args)
                    }
                    Literal::Table { args, negated: true, .. } => &args[..],
                    Literal::Table { .. } => continue,
                };
                if inputs.iter().all(|arg| is_bound(&path.bound, *arg)) {
                    path.placed[number] = true;
                    path.order.push(Placed::Literal(number));
                    if let Literal::Builtin { args, .. } = literal {
                        bind(&mut path.bound, args);
                    }
                    // A test lets some through.
                    path.cost += path.rows;
                    path.rows *= 0.7;
                    any = true;
                }
            }
            if !any {
                return;
            }
        }
    }

    /// The table of a literal, and whether numbers match by value there.
    fn table(&self, number: usize) -> Option<(&Table, bool)> {
        let Literal::Table { policy, key, .. } = &self.program.body[number] else {
            return None;
        };
        let owner = self.state.policies.get(policy.as_ref().unwrap_or(self.policy))?;
        owner.tables.get(key).map(|table| (&**table, owner.matches_by_value()))
    }

    /// How many rows a table probably gives for one binding, and what it costs once for all of
    /// `bindings`.
    fn estimate(
        &self,
        number: usize,
        args: &[Arg],
        columns: &[u32],
        bindings: f64,
        samples: &Samples,
    ) -> (f64, f64) {
        let Some((table, by_value)) = self.table(number) else {
            return (0.0, 0.0);
        };
        let width = args.len();
        let (mut each, mut once) = (0.0, 0.0);
        for relation in table.stored(width) {
            let len = relation.len() as f64;
            if columns.is_empty() {
                each += len;
                continue;
            }
            if columns.len() == width {
                each += len.min(1.0);
                continue;
            }
            let key = IndexKey { columns: columns.into(), by_value };
            match relation.quick_index(&self.state.dictionary, &key, false) {
                Some(index) => each += len / index.distinct().max(1) as f64,
                None => {
                    let mut share = 1.0;
                    for &column in columns {
                        share *= self.share(relation, column, args[column as usize], samples);
                    }
                    each += (len * share).max(0.01);
                    // One pass for few bindings, an index for many.
                    once += len * if bindings <= 1024.0 { PASS } else { FILE };
                }
            }
        }
        if table.is_derived(width) {
            each += DERIVED_ROWS / DERIVED_DIVISOR.powi(columns.len() as i32);
            once += 10.0;
        }
        (each, once)
    }

    /// Which share of a relation's rows has one value in a column.
    fn share(&self, relation: &Relation, column: u32, arg: Arg, samples: &Samples) -> f64 {
        if let Arg::Constant(word) = arg {
            let (seen, found) = relation.sample(SAMPLE).fold((0u32, 0u32), |(seen, found), row| {
                (seen + 1, found + u32::from(row[column as usize] == word))
            });
            return (f64::from(found) + 0.25) / (f64::from(seen) + 0.5);
        }
        let key = (std::ptr::from_ref(relation), column);
        if let Some(share) = samples.borrow().get(&key) {
            return *share;
        }
        let mut values: Vec<_> = relation.sample(SAMPLE).map(|row| row[column as usize]).collect();
        let seen = values.len().max(1);
        values.sort_unstable();
        values.dedup();
        let distinct = values.len().max(1) as f64;
        // All different: taken to be different throughout. Else as in the sample.
        let len = relation.len().max(1) as f64;
        let share = match values.len() * 10 >= seen * 9 {
            true => (1.0 / len).max(1.0 / (distinct * 1000.0)),
            false => 1.0 / distinct,
        };
        samples.borrow_mut().insert(key, share);
        share
    }
}

fn is_bound(bound: &[bool], arg: Arg) -> bool {
    match arg {
        Arg::Variable(number) => bound[number as usize],
        Arg::Constant(_) => true,
    }
}

fn bind(bound: &mut [bool], args: &[Arg]) {
    for arg in args {
        if let Arg::Variable(number) = arg {
            bound[*number as usize] = true;
        }
    }
}
