//! Column references and short atoms: every atom becomes positional and as wide as its table.

use std::sync::Arc;

use hashbrown::HashSet;

use crate::ast::{Atom, ColumnRef, Rule, Statement, Term};
use crate::builtins;
use crate::check::safety::variables;
use crate::depgraph;
use crate::diagnostics::{did_you_mean, listed};
use crate::error::{Error, ErrorKind};
use crate::policy::PolicyKind;
use crate::state::State;

/// Why a statement cannot be made positional.
pub(crate) enum Refusal {
    /// It is wrong, whatever comes.
    Wrong(Vec<Error>),
    /// A schema is missing; with the errors to report where it may not wait.
    Incomplete(Vec<Error>),
}

/// What is known of the table that an atom with column references means.
enum Target<'s> {
    Columns(&'s [Arc<str>]),
    Incomplete(Error),
    Wrong(Error),
}

/// A statement of `policy` with every atom positional and as wide as its table.
pub(crate) fn expand(
    statement: &Statement,
    policy: &Arc<str>,
    state: &State,
) -> Result<Statement, Refusal> {
    let mut errors = Vec::new();
    let mut missing = Vec::new();
    for atom in atoms(statement).filter(|atom| !atom.named.is_empty()) {
        match target(atom, policy, state) {
            Target::Columns(columns) => errors.extend(misuses(atom, columns)),
            Target::Incomplete(error) => missing.push(error.at(atom.span)),
            Target::Wrong(error) => errors.push(error.at(atom.span)),
        }
    }
    if !errors.is_empty() {
        return Err(Refusal::Wrong(errors));
    }
    if !missing.is_empty() {
        return Err(Refusal::Incomplete(missing));
    }
    Ok(match statement {
        // A fact has no variables to pad with: a short one is left for the check of widths.
        Statement::Fact(atom) if atom.named.is_empty() => statement.clone(),
        Statement::Fact(atom) => {
            let mut names = Names::new(statement);
            Statement::Fact(positional(atom, policy, state, &mut names, 0))
        }
        Statement::Rule(rule) => {
            let mut names = Names::new(statement);
            let heads = rule.heads.iter().enumerate();
            let heads = heads
                .map(|(rank, head)| positional(head, policy, state, &mut names, rank))
                .collect();
            let ranks = ranks(&rule.body);
            let body = rule.body.iter().zip(ranks);
            let body = body
                .map(|(literal, rank)| positional(literal, policy, state, &mut names, rank))
                .collect();
            Statement::Rule(Rule { heads, body, span: rule.span })
        }
        Statement::Event(_) => statement.clone(),
    })
}

fn atoms(statement: &Statement) -> Box<dyn Iterator<Item = &Atom> + '_> {
    match statement {
        Statement::Fact(atom) => Box::new(std::iter::once(atom)),
        Statement::Rule(rule) => Box::new(rule.heads.iter().chain(&rule.body)),
        Statement::Event(event) => Box::new(event.rule.heads.iter().chain(&event.rule.body)),
    }
}

fn target<'s>(atom: &Atom, policy: &Arc<str>, state: &'s State) -> Target<'s> {
    let name = atom.policy.as_ref().unwrap_or(policy);
    let unknown_schema = || {
        let text = format!("Literal {atom} uses named arguments, but the schema is unknown.");
        Target::Incomplete(
            Error::new(ErrorKind::IncompleteSchema, text).suggest(state.suggest_datasource(name)),
        )
    };
    let no_datasource = || {
        let text = format!(
            "Literal {atom} uses column references, but '{name}' does not reference a datasource \
             policy."
        );
        Target::Wrong(Error::new(ErrorKind::Schema, text).suggest(Some(
            "only tables of datasources have names for their columns; give the arguments by position"
                .to_owned(),
        )))
    };
    let Some(owner) = state.policies.get(name) else {
        // No datasource will ever be called that.
        return if &**name == builtins::PREFIX { no_datasource() } else { unknown_schema() };
    };
    match owner.info.kind {
        PolicyKind::Datasource => {}
        // These know no schema at all, so a reference to them waits for ever.
        PolicyKind::Database | PolicyKind::Materialized => return unknown_schema(),
        _ => return no_datasource(),
    }
    if !owner.schema.is_declared() {
        return unknown_schema();
    }
    match owner.schema.columns(&atom.table) {
        Some(columns) => Target::Columns(columns),
        None => {
            let text = format!("Literal {atom} uses unknown table {}.", atom.table);
            Target::Incomplete(
                Error::new(ErrorKind::IncompleteSchema, text)
                    .suggest(owner.schema.suggest_table(&atom.table, name)),
            )
        }
    }
}

/// What is wrong with an atom's column references; one error, as the original had it.
fn misuses(atom: &Atom, columns: &[Arc<str>]) -> Option<Error> {
    let mut problems = Vec::new();
    let mut suggestion = None;
    for (column, _) in &atom.named {
        match column {
            ColumnRef::Number(number) => {
                if *number as usize >= columns.len() {
                    problems.push(format!("In literal {atom} column index {number} is too large"));
                    let last = columns.len().saturating_sub(1);
                    let all = format!("its columns are 0 to {last}: {}", listed(columns));
                    suggestion = suggestion.or(Some(all));
                }
            }
            ColumnRef::Name(name) => {
                let Some(at) = columns.iter().position(|other| other == name) else {
                    problems.push(format!("In literal {atom} column name {name} does not exist"));
                    suggestion = suggestion.or_else(|| Some(unknown_column(name, columns)));
                    continue;
                };
                let numbered = |(other, _): &(ColumnRef, Term)| matches!(other, ColumnRef::Number(number) if *number as usize == at);
                if at < atom.args.len() {
                    problems.push(format!(
                        "In literal {atom} column name {name} references position {at}, which is \
                         already provided by position."
                    ));
                } else if atom.named.iter().any(numbered) {
                    problems.push(format!(
                        "In literal {atom} column name {name} references position {at}, which is \
                         also referenced by number.))"
                    ));
                }
            }
        }
    }
    if problems.is_empty() {
        return None;
    }
    let error = Error::new(ErrorKind::Schema, problems.join(" "));
    Some(error.suggest(suggestion).at(atom.span))
}

fn unknown_column(name: &str, columns: &[Arc<str>]) -> String {
    match did_you_mean(name, columns.iter().map(|column| &**column)) {
        Some(near) => format!("did you mean column '{near}'?"),
        None => format!("the table has the columns {}", listed(columns)),
    }
}

/// Each literal's place among the body's literals in sorted order. It is part of the names of
/// padding variables, which listings show.
fn ranks(body: &[Atom]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..body.len()).collect();
    order.sort_by_key(|&i| {
        let atom = &body[i];
        (&atom.policy, &atom.table, atom.negated, atom.args.len() + atom.named.len())
    });
    let mut ranks = vec![0; body.len()];
    for (rank, i) in order.into_iter().enumerate() {
        ranks[i] = rank;
    }
    ranks
}

/// Makes names for padding variables.
struct Names {
    prefix: String,
    used: HashSet<String>,
}

impl Names {
    /// The prefix is `x_`, with underscores added until no variable starts with it.
    fn new(statement: &Statement) -> Self {
        let mut prefix = "x_".to_owned();
        while atoms(statement).flat_map(variables).any(|name| name.starts_with(&prefix)) {
            prefix.push('_');
        }
        Self { prefix, used: HashSet::new() }
    }

    /// A name for a column of the literal of a rank. Rank 1, column 11 and rank 11, column 1
    /// would be spelled alike; the later one gets underscores.
    fn fresh(&mut self, rank: usize, column: usize) -> Term {
        let mut name = format!("{}{rank}{column}", self.prefix);
        while !self.used.insert(name.clone()) {
            name.push('_');
        }
        Term::Variable(name.into())
    }
}

/// The atom with its columns by position, filled up to its table's width if that is known.
fn positional(
    atom: &Atom,
    policy: &Arc<str>,
    state: &State,
    names: &mut Names,
    rank: usize,
) -> Atom {
    if atom.modal.is_some() || depgraph::is_computed(atom) {
        return atom.clone();
    }
    let schema = state.policies.get(atom.policy.as_ref().unwrap_or(policy)).map(|p| &p.schema);
    let Some(width) = schema.and_then(|schema| schema.width(&atom.table)) else {
        return atom.clone();
    };
    if atom.named.is_empty() && atom.args.len() >= width {
        return atom.clone();
    }
    let columns = schema.and_then(|schema| schema.columns(&atom.table));
    let given = |i: usize| {
        atom.named.iter().find_map(|(column, term)| match column {
            ColumnRef::Number(number) => (*number as usize == i).then_some(term),
            ColumnRef::Name(name) => {
                columns.and_then(|columns| columns.get(i)).filter(|c| *c == name).map(|_| term)
            }
        })
    };
    let args = (0..width.max(atom.args.len()))
        .map(|i| match atom.args.get(i).or_else(|| given(i)) {
            Some(term) => term.clone(),
            None => names.fresh(rank, i),
        })
        .collect();
    Atom { args, named: Vec::new(), ..atom.clone() }
}
