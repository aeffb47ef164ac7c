//! Safety: every head variable is in the body, and the body has an order in which negations and
//! builtins find their inputs bound.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashSet;

use crate::ast::{Atom, Rule, Term};
use crate::builtins;
use crate::depgraph;
use crate::diagnostics::{self, did_you_mean};
use crate::error::{Error, ErrorKind};

/// The variables of an atom.
pub(crate) fn variables(atom: &Atom) -> impl Iterator<Item = &Arc<str>> {
    atom.terms().filter_map(Term::variable)
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
            Error::new(ErrorKind::Safety, text).at(head.span).suggest(meant_variable(
                variable,
                &body,
                "the variables of the body are",
            ))
        })
        .collect()
}

/// Which variable of some was perhaps meant.
fn meant_variable(name: &str, known: &HashSet<&Arc<str>>, all: &str) -> Option<String> {
    let mut known: Vec<&str> = known.iter().map(|variable| &***variable).collect();
    known.sort_unstable();
    diagnostics::suggest(name, known, |near| format!("did you mean '{near}'?"), all)
}

/// The variables that must be bound before a literal can be taken. `None`: it can always be taken.
fn needs(literal: &Atom) -> Option<Box<dyn Iterator<Item = &Arc<str>> + '_>> {
    if literal.negated {
        return Some(Box::new(variables(literal)));
    }
    let builtin = depgraph::builtin(literal)?;
    Some(Box::new(literal.args.iter().take(builtin.inputs).filter_map(Term::variable)))
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
        let needed = literal.args.iter().take(inputs).filter_map(Term::variable);
        return needed.into_iter().all(|variable| bound.contains(variable));
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
    for (at, literal) in body.iter().enumerate() {
        let missing = unbound(literal, &bound);
        if let Some(first) = missing.first() {
            let text = format!(
                "Literal {literal} of the query needs a value for {} before it can be evaluated",
                missing.iter().map(|v| &***v).collect::<Vec<_>>().join(", ")
            );
            let rest = body.iter().skip(at + 1);
            let later = rest.filter(|other| binds(other, first)).map(|other| &other.table).next();
            let suggestion = match later {
                Some(table) => {
                    format!(
                        "queries run from left to right: put '{table}', which has {first}, first"
                    )
                }
                None => {
                    format!("write a value for {first}, or a literal before it that has {first}")
                }
            };
            return Err(Error::new(ErrorKind::Query, text)
                .at(literal.span)
                .suggest(Some(suggestion)));
        }
        bound.extend(variables(literal));
    }
    Ok(())
}

/// Whether a literal can give a variable its value.
fn binds(literal: &Atom, variable: &Arc<str>) -> bool {
    if literal.negated {
        return false;
    }
    let inputs = depgraph::builtin(literal).map_or(0, |builtin| builtin.inputs);
    let named = literal.named.iter().map(|(_, term)| term);
    let mut given = literal.args.iter().skip(inputs).chain(named).filter_map(Term::variable);
    given.any(|name| name == variable)
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
    let mut error = Error::new(ErrorKind::Safety, text);
    for literal in literals {
        let names = unbound(literal, bound);
        let list: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        let what = if literal.negated { "a negated literal" } else { "a builtin" };
        let note = format!("no literal gives {} a value, which {what} needs", list.join(" and "));
        error = error.noted(literal.span, note);
    }
    let first = literals.first().copied();
    let missing = first.and_then(|literal| unbound(literal, bound).first().copied());
    error.suggest(missing.zip(first).map(|(variable, literal)| {
        let atoms = rule.heads.iter().chain(&rule.body).flat_map(variables);
        let once = atoms.filter(|name| *name == variable).count() == 1;
        match did_you_mean(variable, bound.iter().map(|name| &***name)) {
            Some(near) => format!("did you mean '{near}'?"),
            // What a negated literal leaves out stands once, by its name or as a padding variable.
            None if literal.negated && once => format!(
                "to leave columns of '{}' out, define a table without them and negate that",
                literal.table
            ),
            None => format!("add a literal of a table that has '{variable}'"),
        }
    }))
}
