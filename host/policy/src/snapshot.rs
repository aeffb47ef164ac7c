//! Reading: queries over one immutable state. What is listed rather than computed is in
//! `introspect`.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use hashbrown::HashSet;

use num_bigint::BigInt;

use crate::ast::{Atom, Constant, Rule, Statement, Term};
use crate::check::{columns, safety, shape};
use crate::error::{Error, Errors};
use crate::eval::Evaluation;
use crate::parser;
use crate::program::{Arg, Compiler, Literal, Program, TableKey};
use crate::state::{Policy, State};
use crate::store::scratch::LocalValues;
use crate::store::word::Word;

/// One state of the engine, immutable. Cheap to clone; readers never wait for the writer.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) state: Arc<State>,
}

/// Which state a snapshot is of, without keeping that state: equal for snapshots between which nothing
/// has changed.
#[derive(Clone)]
pub struct StateId(Weak<State>);

impl PartialEq for StateId {
    fn eq(&self, other: &Self) -> bool {
        // Nothing else comes to lie where a state was while somebody has its id, and a state that
        // anybody has an id of is not changed in its place.
        Weak::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateId").field(&self.0.as_ptr()).finish()
    }
}

/// The latest state of an engine; clones follow the same engine.
#[derive(Clone)]
pub struct Latest(Arc<RwLock<Snapshot>>);

impl Latest {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(RwLock::new(snapshot)))
    }

    pub(crate) fn set(&self, snapshot: Snapshot) {
        let mut latest = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // What was there goes after the lock does: it may be the last of its rows.
        let old = std::mem::replace(&mut *latest, snapshot);
        drop(latest);
        drop(old);
    }

    /// The state after the last complete change. Never waits for a change to complete.
    pub fn snapshot(&self) -> Snapshot {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How much a query may cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits<'a> {
    /// The most rows that it may produce, those of tables on the way to the answer included.
    pub rows: Option<usize>,
    /// The most bindings that the literals of bodies may hand to each other on the way, those that
    /// the rest of a body rejects included.
    pub bindings: Option<usize>,
    /// Whoever sets it stops the query.
    pub stop: Option<&'a AtomicBool>,
}

/// What a query found: the instances of the query that hold, in no order, without duplicates.
///
/// Values are read out of the state as they are asked for, so answers keep that state alive.
#[derive(Clone)]
pub struct Answers {
    query: Statement,
    state: Arc<State>,
    local: LocalValues,
    /// The query's variables, and their words in each instance.
    variables: Box<[Arc<str>]>,
    words: Vec<Word>,
    len: usize,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("query", &self.query)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// A value where it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// A whole number of up to 61 bits.
    Int(i64),
    /// A whole number of any size.
    BigInt(&'a BigInt),
    /// A double.
    Float(f64),
    /// Text.
    Text(&'a str),
}

impl<'a> From<&'a Constant> for ValueRef<'a> {
    fn from(constant: &'a Constant) -> Self {
        match constant {
            Constant::Int(int) => Self::BigInt(int),
            Constant::Float(float) => Self::Float(*float),
            Constant::Text(text) => Self::Text(text),
        }
    }
}

/// A query that has been checked.
#[derive(Clone)]
pub(crate) struct Query {
    /// A fact or a rule.
    pub(crate) statement: Statement,
    pub(crate) policy: Arc<Policy>,
    /// Column references in a query match nothing, wherever they stand.
    pub(crate) answerable: bool,
}

impl Query {
    /// What is to be proved.
    pub(crate) fn body(&self) -> &[Atom] {
        match &self.statement {
            Statement::Fact(atom) => std::slice::from_ref(atom),
            Statement::Rule(rule) => &rule.body,
            Statement::Event(event) => &event.rule.body,
        }
    }
}

impl Answers {
    /// `words` are those of `variables` in each of `len` instances, one instance after another.
    pub(crate) fn new(
        query: Statement,
        state: Arc<State>,
        local: LocalValues,
        variables: Box<[Arc<str>]>,
        words: Vec<Word>,
        len: usize,
    ) -> Self {
        Self { query, state, local, variables, words, len }
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The instances: the query with its variables replaced. A variable of a rule's head alone
    /// stays.
    pub fn statements(&self) -> impl Iterator<Item = Statement> + '_ {
        (0..self.len).map(|instance| match &self.query {
            Statement::Fact(atom) => Statement::Fact(self.instance(atom, instance)),
            Statement::Rule(rule) => Statement::Rule(Rule {
                heads: rule.heads.iter().map(|head| self.instance(head, instance)).collect(),
                body: rule.body.iter().map(|literal| self.instance(literal, instance)).collect(),
                span: rule.span,
            }),
            Statement::Event(_) => self.query.clone(),
        })
    }

    /// The argument values of each instance; of a rule query, those of its head. Instances with
    /// variables left are left out.
    pub fn rows(&self) -> impl Iterator<Item = Vec<Constant>> + '_ {
        let head = match &self.query {
            Statement::Fact(atom) => Some(atom),
            Statement::Rule(rule) => rule.heads.first(),
            Statement::Event(_) => None,
        };
        (0..self.len).filter_map(move |instance| {
            head?
                .args
                .iter()
                .map(|term| match term {
                    Term::Constant(constant) => Some(constant.clone()),
                    Term::Variable(name) => self.value(name, instance),
                    Term::Aggregate(_) => None,
                })
                .collect()
        })
    }

    /// The instances that other answers to the same query do not have.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let known: HashSet<_> = (0..other.len).map(|instance| other.printed(instance)).collect();
        let kept: Vec<usize> =
            (0..self.len).filter(|&instance| !known.contains(&self.printed(instance))).collect();
        let words = kept.iter().flat_map(|&instance| self.row(instance)).copied().collect();
        Self { words, len: kept.len(), ..self.clone() }
    }

    fn row(&self, instance: usize) -> &[Word] {
        let width = self.variables.len();
        self.words.get(instance * width..(instance + 1) * width).unwrap_or_default()
    }

    /// The values of an instance as text, which tells them apart as unification does but has one
    /// NaN. Words mean different things in different states.
    fn printed(&self, instance: usize) -> Vec<Option<String>> {
        let value = |word: &Word| self.local.value(&self.state.dictionary, *word);
        self.row(instance).iter().map(|word| Some(value(word)?.to_string())).collect()
    }

    /// [`Answers::rows`] without copies: calls `see` with the values of each instance as they are
    /// stored.
    pub fn for_each_row(&self, mut see: impl FnMut(&[ValueRef<'_>])) {
        let head = match &self.query {
            Statement::Fact(atom) => Some(atom),
            Statement::Rule(rule) => rule.heads.first(),
            Statement::Event(_) => None,
        };
        let Some(head) = head else {
            return;
        };
        let stride = self.variables.len();
        let place = |name: &Arc<str>| self.variables.iter().position(|other| other == name);
        let places: Vec<_> = head
            .args
            .iter()
            .map(|term| match term {
                Term::Variable(name) => Err(place(name)),
                Term::Constant(constant) => Ok(ValueRef::from(constant)),
                // A query has none.
                Term::Aggregate(_) => Err(None),
            })
            .collect();
        let mut row = Vec::with_capacity(places.len());
        for instance in 0..self.len {
            row.clear();
            row.extend(places.iter().map_while(|place| match place {
                Ok(constant) => Some(*constant),
                Err(at) => {
                    let word = self.words.get(instance * stride + (*at)?)?;
                    self.local.value_ref(&self.state.dictionary, *word)
                }
            }));
            if row.len() == places.len() {
                see(&row);
            }
        }
    }

    fn value(&self, variable: &Arc<str>, instance: usize) -> Option<Constant> {
        let at = self.variables.iter().position(|name| name == variable)?;
        let word = self.words.get(instance * self.variables.len() + at)?;
        self.local.value(&self.state.dictionary, *word)
    }

    fn instance(&self, atom: &Atom, instance: usize) -> Atom {
        let term = |term: &Term| match term {
            Term::Variable(name) => match self.value(name, instance) {
                Some(value) => Term::Constant(value),
                None => term.clone(),
            },
            Term::Constant(_) | Term::Aggregate(_) => term.clone(),
        };
        Atom { args: atom.args.iter().map(term).collect(), ..atom.clone() }
    }
}

impl Snapshot {
    /// Which state this is.
    pub fn id(&self) -> StateId {
        StateId(Arc::downgrade(&self.state))
    }

    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// Answers a query: one atom or one rule. `None` as policy: the only one that exists.
    ///
    /// # Errors
    ///
    /// The query does not parse, is not one atom or one rule, needs values that are not bound, or
    /// the policy is not known.
    pub fn select(&self, query: &str, policy: Option<&str>) -> Result<Answers, Error> {
        self.select_within(query, policy, Limits::default())
    }

    /// [`Snapshot::select`] at a bounded cost.
    ///
    /// # Errors
    ///
    /// As for `select`; and [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the query was stopped or grew too large.
    pub fn select_within(
        &self,
        query: &str,
        policy: Option<&str>,
        limits: Limits<'_>,
    ) -> Result<Answers, Error> {
        let query = self.query(query, policy)?;
        self.evaluate(query, limits)
    }

    /// A query, checked.
    pub(crate) fn query(&self, query: &str, policy: Option<&str>) -> Result<Query, Error> {
        let source: Arc<str> = query.into();
        let statements = parser::parse(query).map_err(|error| Error::syntax(&error, &source))?;
        let policy = self.state.target(policy)?.clone();
        let [statement] = &statements[..] else {
            return Err(shape::several_queries(&statements).in_source(&source));
        };
        shape::query(statement).map_err(|error| error.in_source(&source))?;
        let mut query = Query { statement: statement.clone(), policy, answerable: true };
        safety::in_order(query.body()).map_err(|error| error.in_source(&source))?;
        let heads = match &query.statement {
            Statement::Rule(rule) => &rule.heads[..],
            _ => &[],
        };
        query.answerable = heads.iter().chain(query.body()).all(|atom| atom.named.is_empty());
        Ok(query)
    }

    /// A statement of a policy as it would be stored: column references by position, short atoms
    /// filled up with variables.
    ///
    /// # Errors
    ///
    /// The policy is not known, a column reference is wrong, or its schema is not known.
    pub fn expand(&self, statement: &Statement, policy: Option<&str>) -> Result<Statement, Errors> {
        let policy = &self.state.target(policy)?.info.name;
        columns::expand(statement, policy, &self.state).map_err(|refusal| match refusal {
            columns::Refusal::Wrong(errors) | columns::Refusal::Incomplete(errors) => {
                Errors(errors)
            }
        })
    }

    pub(crate) fn evaluate(&self, query: Query, limits: Limits<'_>) -> Result<Answers, Error> {
        let mut evaluation = Evaluation::single(&self.state, limits);
        let compiler = Compiler::new(|constant: &_| evaluation.values.word(constant));
        let mut program = compiler.parts(&[], query.body());
        let variables = program.variables.clone();
        // What is wanted is the value of every variable.
        program.head = (0..variables.len() as u32).map(Arg::Variable).collect();
        if !query.answerable {
            program.body = [Literal::Truth(false)].into();
        }
        let rows = evaluation.query(&query.policy.info.name, &program)?;
        let local = evaluation.values.into_local();
        let (len, words) = (rows.len() as usize, rows.into_words());
        Ok(Answers::new(query.statement, self.state.clone(), local, variables, words, len))
    }
}

/// All rows of a table, of every width.
pub(crate) fn rows_of(
    state: &Arc<State>,
    policy: &Arc<str>,
    key: &TableKey,
    limits: Limits<'_>,
) -> Result<Vec<Vec<Constant>>, Error> {
    let Some(table) = state.table(policy, key) else {
        return Ok(Vec::new());
    };
    let mut widths: Vec<usize> = table.facts.iter().map(|relation| relation.width()).collect();
    widths.extend(table.rules.iter().map(|stored| stored.program.head.len()));
    widths.sort_unstable();
    widths.dedup();
    let mut rows = Vec::new();
    for width in widths {
        rows.extend(rows_of_width(state, policy, key, width, limits)?.rows);
    }
    Ok(rows)
}

/// All rows of a table.
#[derive(Clone, Debug)]
pub struct TableRows {
    /// In no order.
    pub rows: Vec<Vec<Constant>>,
    /// Whether they may be others later although nothing has changed: a rule asked for the time.
    pub volatile: bool,
}

/// All rows of a table that have a width; those with variables left are left out.
pub(crate) fn rows_of_width(
    state: &Arc<State>,
    policy: &Arc<str>,
    key: &TableKey,
    width: usize,
    limits: Limits<'_>,
) -> Result<TableRows, Error> {
    let program = program_of_width(key, width);
    let mut evaluation = Evaluation::single(state, limits);
    let rows = evaluation.query(policy, &program)?;
    let words: Vec<Vec<_>> = (0..rows.len()).map(|id| rows.row(id).to_vec()).collect();
    let value = |word| evaluation.values.value(word);
    let rows = words.into_iter().filter_map(|row| row.into_iter().map(value).collect()).collect();
    Ok(TableRows { rows, volatile: evaluation.volatile })
}

/// A query for all rows of a table that have a width.
pub(crate) fn program_of_width(key: &TableKey, width: usize) -> Program {
    let args: Box<[Arg]> = (0..width as u32).map(Arg::Variable).collect();
    let body =
        Literal::Table { policy: None, key: key.clone(), args: args.clone(), negated: false };
    Program {
        head: args,
        body: [body].into(),
        variables: (0..width).map(|column| Arc::from(column.to_string())).collect(),
        grouping: None,
    }
}
