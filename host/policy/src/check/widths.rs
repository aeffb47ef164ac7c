//! Widths: a literal has as many arguments as its table has columns.

use std::sync::Arc;

use crate::ast::{Atom, Statement};
use crate::depgraph;
use crate::diagnostics::listed;
use crate::error::{Error, ErrorKind};
use crate::schema::Schema;
use crate::state::{Policy, State};

/// The literals of a statement whose tables have a width that counts, heads first.
pub(crate) fn literals(statement: &Statement) -> impl Iterator<Item = &Atom> {
    let (heads, body): (&[Atom], &[Atom]) = match statement {
        Statement::Fact(atom) => (std::slice::from_ref(atom), &[]),
        Statement::Rule(rule) => (&rule.heads, &rule.body),
        Statement::Event(_) => (&[], &[]),
    };
    // A head named like a builtin is a table all the same, and refused for its name later.
    let body = body.iter().filter(|atom| !depgraph::is_computed(atom));
    heads.iter().chain(body).filter(|atom| atom.modal.is_none())
}

/// The literals that contradict what is known of their tables. A fact that is too short is left
/// for [`short_fact`]: whether it is there to be deleted is asked first.
pub(crate) fn check(statement: &Statement, policy: &Arc<str>, state: &State) -> Vec<Error> {
    let short = |atom: &Atom, width: usize| {
        matches!(statement, Statement::Fact(_)) && atom.args.len() < width
    };
    literals(statement)
        .filter_map(|atom| {
            let name = atom.policy.as_ref().unwrap_or(policy);
            let schema = &state.policies.get(name)?.schema;
            match schema.width(&atom.table) {
                Some(width) if width == atom.args.len() || short(atom, width) => None,
                Some(width) => Some(wrong_width(atom, name, schema, width)),
                None if schema.lacks(&atom.table) => Some(
                    Error::new(
                        ErrorKind::Schema,
                        format!(
                            "Literal {atom} uses unknown table {} from policy {name}",
                            atom.table
                        ),
                    )
                    .at(atom.span)
                    .suggest(schema.suggest_table(&atom.table, name)),
                ),
                None => None,
            }
        })
        .collect()
}

/// What is wrong with a fact of fewer arguments than its table has columns.
pub(crate) fn short_fact(atom: &Atom, policy: &Policy) -> Option<Error> {
    let width = policy.schema.width(&atom.table).filter(|_| atom.modal.is_none())?;
    let short = atom.args.len() < width;
    short.then(|| wrong_width(atom, &policy.info.name, &policy.schema, width))
}

fn wrong_width(atom: &Atom, policy: &str, schema: &Schema, width: usize) -> Error {
    let text = format!(
        "Literal {atom} contained {} arguments but exactly {width} arguments are permitted",
        atom.args.len()
    );
    let table = format!("{policy}:{}", atom.table);
    let suggestion = match schema.columns(&atom.table) {
        Some(columns) => format!("the columns of {table} are {}", listed(columns)),
        None => format!("{table} has the width of the first fact or rule that mentions it"),
    };
    Error::new(ErrorKind::Schema, text).at(atom.span).suggest(Some(suggestion))
}
