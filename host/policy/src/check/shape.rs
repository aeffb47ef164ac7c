//! Shape: heads, facts, modals, names of builtins.

use crate::ast::{Atom, Modal, Rule, Term};
use crate::builtins;
use crate::error::{Error, ErrorKind};

/// What is wrong with a fact of an ordinary policy.
pub(crate) fn fact(atom: &Atom) -> Vec<Error> {
    let mut errors = Vec::new();
    if atom.negated {
        errors.push(non_formula(&atom.to_string(), atom));
    }
    if atom.args.iter().any(|term| matches!(term, Term::Variable(_))) {
        let text = format!("Fact not ground: {atom}");
        errors.push(Error::new(ErrorKind::Head, text).at(atom.span));
    }
    if let Some(policy) = &atom.policy {
        let text = format!("Fact {atom} should not reference any policy: {policy}");
        errors.push(Error::new(ErrorKind::Head, text).at(atom.span));
    }
    errors.extend(head_modal(atom));
    errors.extend(head_name(atom));
    errors
}

/// What is wrong with a rule of an ordinary policy, safety and widths apart.
pub(crate) fn rule(rule: &Rule) -> Vec<Error> {
    if let Some(error) = heads(rule) {
        return vec![error];
    }
    let mut errors = Vec::new();
    for head in &rule.heads {
        if head.modal.is_none() && head.policy.is_some() {
            errors.push(head_policy(head, rule));
        }
        errors.extend(head_modal(head));
        errors.extend(head_name(head));
    }
    for literal in &rule.body {
        if let Some(modal) = literal.modal {
            let text = format!(
                "Modals not allowed in the rule body; found {} in body literal {literal}",
                modal.as_str()
            );
            errors.push(Error::new(ErrorKind::Modal, text).at(literal.span));
        }
    }
    errors.extend(rule.body.iter().filter_map(misused_builtin));
    errors
}

/// What is wrong with a rule of an action policy, widths apart.
pub(crate) fn action_rule(rule: &Rule) -> Vec<Error> {
    if let Some(error) = heads(rule) {
        return vec![error];
    }
    let mut errors = Vec::new();
    for head in &rule.heads {
        let update = head.table.ends_with(['+', '-']);
        if head.modal.is_none() && head.policy.is_some() && !update {
            errors.push(head_policy(head, rule));
        }
    }
    errors.extend(rule.body.iter().filter_map(misused_builtin));
    errors
}

/// What is wrong with a literal that says to be a builtin and has not its number of arguments. (A
/// name that no builtin has is a table that is not there: refusing it would refuse policies that
/// the original takes. See [`crate::warnings`].)
pub(crate) fn misused_builtin(literal: &Atom) -> Option<Error> {
    if literal.modal.is_some() || literal.policy.as_deref() != Some(builtins::PREFIX) {
        return None;
    }
    let builtin = builtins::find(&literal.table)?;
    let (given, wanted) = (literal.args.len(), builtin.arity());
    if given == wanted {
        return None;
    }
    let text = format!(
        "Literal {literal} contained {given} arguments but exactly {wanted} arguments are permitted"
    );
    Some(
        Error::new(ErrorKind::Builtin, text)
            .at(literal.span)
            .suggest(Some(format!("it is {}", builtin.signature()))),
    )
}

/// What is wrong with the number and the sign of a rule's heads.
fn heads(rule: &Rule) -> Option<Error> {
    if let [_, second, ..] = &rule.heads[..] {
        if rule.heads.iter().any(|head| head.modal.is_some()) {
            let list: Vec<String> = rule.heads.iter().map(ToString::to_string).collect();
            let text =
                format!("May not have multiple rule heads with a modal: {}", list.join(", "));
            return Some(Error::new(ErrorKind::Modal, text).at(second.span));
        }
        return Some(non_formula(&rule.to_string(), second));
    }
    let negated = rule.heads.iter().find(|head| head.negated)?;
    Some(non_formula(&rule.to_string(), negated))
}

fn non_formula(text: &str, at: &Atom) -> Error {
    Error::new(ErrorKind::Shape, format!("Non-formula found: {text}")).at(at.span)
}

fn head_policy(head: &Atom, rule: &Rule) -> Error {
    let text = format!("Non-modal rule head {head} should not reference any policy: {rule}");
    Error::new(ErrorKind::Head, text).at(head.span)
}

fn head_modal(head: &Atom) -> Option<Error> {
    let modal = head.modal.filter(|modal| *modal != Modal::Execute)?;
    let text = format!("Only 'execute' modal is allowed; found {} in head {head}", modal.as_str());
    Some(Error::new(ErrorKind::Modal, text).at(head.span))
}

fn head_name(head: &Atom) -> Option<Error> {
    let taken = match head.policy.as_deref() {
        None => builtins::is_builtin_name(&head.table),
        Some(builtins::PREFIX) => builtins::find(&head.table).is_some(),
        Some(_) => false,
    };
    if head.modal.is_some() || !taken {
        return None;
    }
    let prefix = head.policy.as_ref().map(|policy| format!("{policy}:")).unwrap_or_default();
    let text = format!("Conflict with built-in tablename: {prefix}{}", head.table);
    Some(Error::new(ErrorKind::Builtin, text).at(head.span))
}
