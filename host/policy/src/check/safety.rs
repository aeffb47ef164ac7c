//! Safety: every head variable is in the body, and the body has an order in which negations and
//! builtins find their inputs bound.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashSet;

use crate::ast::{Atom, Rule, Term};
use crate::builtins;
use crate::depgraph;
use crate::error::{Error, ErrorKind};

/// The variables of an atom.
pub(crate) fn variables(atom: &Atom) -> impl Iterator<Item = &Arc<str>> {
    let terms = atom.args.iter().chain(atom.named.iter().map(|(_, term)| term));
    terms.filter_map(|term| match term {
        Term::Variable(name) => Some(name),
        Term::Constant(_) => None,
    })
}

/// The head variables that the body lacks, one error for each.
pub(crate) fn head_variables(rule: &Rule) -> Vec<Error> {
    let body: HashSet<&Arc<str>> = rule.body.iter().flat_map(variables).collect();
    let mut seen = HashSet::new();
    let heads = rule.heads.iter().flat_map(|head| variables(head).map(move |v| (head, v)));
    heads
        .filter(|(_, variable)| !body.contains(variable) && seen.insert(*variable))
        .map(|(head, variable)| {
            let text = format!("Variable {variable} found in head but not in body, rule {rule}");
            Error::new(ErrorKind::Safety, text).at(head.span)
        })
        .collect()
}

/// The variables that must be bound before a literal can be taken. `None`: it can always be taken.
fn needs(literal: &Atom) -> Option<Box<dyn Iterator<Item = &Arc<str>> + '_>> {
    if literal.negated {
        return Some(Box::new(variables(literal)));
    }
    let builtin = depgraph::builtin(literal)?;
    Some(Box::new(literal.args.iter().take(builtin.inputs).filter_map(|term| match term {
        Term::Variable(name) => Some(name),
        Term::Constant(_) => None,
    })))
}

/// A table of another policy that is named like a builtin. It can be taken at any time; listings
/// have it where the builtin would stand, because the original took it for one.
fn resembles_builtin(literal: &Atom) -> Option<usize> {
    if literal.negated || literal.policy.is_none() || depgraph::builtin(literal).is_some() {
        return None;
    }
    builtins::lookup(&literal.table, literal.args.len()).map(|builtin| builtin.inputs)
}

fn ready(literal: &Atom, bound: &HashSet<&Arc<str>>) -> bool {
    if let Some(inputs) = resembles_builtin(literal) {
        return literal.args.iter().take(inputs).all(|term| match term {
            Term::Variable(name) => bound.contains(name),
            Term::Constant(_) => true,
        });
    }
    needs(literal).is_none_or(|mut needed| needed.all(|variable| bound.contains(variable)))
}

/// Takes a literal, and then each postponed one that has become ready.
fn take<'r>(
    literal: &'r Atom,
    taken: &mut Vec<&'r Atom>,
    bound: &mut HashSet<&'r Arc<str>>,
    postponed: &mut Vec<&'r Atom>,
) {
    let mut next = Some(literal);
    while let Some(literal) = next {
        taken.push(literal);
        bound.extend(variables(literal));
        let at = postponed.iter().position(|literal| ready(literal, bound));
        next = at.map(|at| postponed.remove(at));
    }
}

/// The rule with its body in a safe order; an already safe one is unchanged.
///
/// Left to right a literal that is ready is taken and binds its variables, any other postponed;
/// after each one taken, the first postponed one that has become ready follows.
pub(crate) fn reorder(rule: &Rule) -> Result<Rule, Error> {
    let mut bound: HashSet<&Arc<str>> = HashSet::new();
    let mut taken: Vec<&Atom> = Vec::with_capacity(rule.body.len());
    let mut postponed: Vec<&Atom> = Vec::new();
    for literal in &rule.body {
        if ready(literal, &bound) {
            take(literal, &mut taken, &mut bound, &mut postponed);
        } else {
            postponed.push(literal);
        }
    }
    while let Some(at) = postponed.iter().position(|literal| resembles_builtin(literal).is_some()) {
        let literal = postponed.remove(at);
        take(literal, &mut taken, &mut bound, &mut postponed);
    }
    if postponed.is_empty() {
        let body = taken.into_iter().cloned().collect();
        return Ok(Rule { heads: rule.heads.clone(), body, span: rule.span });
    }
    Err(unsafe_literals(rule, &postponed, &bound))
}

/// Whether a body can be evaluated just as it is written, as queries are.
pub(crate) fn in_order(body: &[Atom]) -> Result<(), Error> {
    let mut bound: HashSet<&Arc<str>> = HashSet::new();
    for literal in body {
        let missing = unbound(literal, &bound);
        if !missing.is_empty() {
            let text = format!(
                "Literal {literal} of the query needs a value for {} before it can be evaluated",
                missing.into_iter().map(|v| &**v).collect::<Vec<_>>().join(", ")
            );
            return Err(Error::new(ErrorKind::Query, text).at(literal.span));
        }
        bound.extend(variables(literal));
    }
    Ok(())
}

fn unbound<'a>(literal: &'a Atom, bound: &HashSet<&Arc<str>>) -> BTreeSet<&'a Arc<str>> {
    needs(literal).into_iter().flatten().filter(|variable| !bound.contains(*variable)).collect()
}

fn unsafe_literals(rule: &Rule, literals: &[&Atom], bound: &HashSet<&Arc<str>>) -> Error {
    let list: Vec<String> = literals
        .iter()
        .map(|literal| {
            let names: Vec<String> =
                unbound(literal, bound).into_iter().map(|v| format!("'{v}'")).collect();
            format!("{literal} (vars {{{}}})", names.join(", "))
        })
        .collect();
    let text = format!("Could not reorder rule {rule}.  Unsafe lits: {}", list.join("; "));
    let error = Error::new(ErrorKind::Safety, text);
    literals.iter().fold(error, |error, literal| error.at(literal.span))
}
