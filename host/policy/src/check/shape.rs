//! Shape: heads, facts, modals, names of builtins.

use crate::ast::{Atom, Event, Modal, Rule, Statement};
use crate::builtins;
use crate::check::safety;
use crate::error::{Error, ErrorKind};

/// The longest name of an action, and of the datasource that is to carry it out, in characters.
const MAX_ACTION: usize = 255;

/// What is wrong with a fact of an ordinary policy.
pub(crate) fn fact(atom: &Atom) -> Vec<Error> {
    let mut errors = Vec::new();
    if atom.negated {
        errors.push(non_formula(&atom.to_string(), atom));
    }
    if atom.args.iter().any(|term| term.variable().is_some()) {
        let text = format!("Fact not ground: {atom}");
        let variable = safety::variables(atom).next();
        errors.push(Error::new(ErrorKind::Head, text).at(atom.span).suggest(variable.map(
            |variable| format!("{variable} is a variable; a text stands in quotes: \"{variable}\""),
        )));
    }
    if let Some(policy) = &atom.policy {
        let text = format!("Fact {atom} should not reference any policy: {policy}");
        errors.push(Error::new(ErrorKind::Head, text).at(atom.span).suggest(without(atom)));
    }
    errors.extend(head_modal(atom));
    errors.extend(head_name(atom));
    errors.extend(head_length(atom));
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
        errors.extend(head_length(head));
    }
    for literal in &rule.body {
        if let Some(modal) = literal.modal {
            let text = format!(
                "Modals not allowed in the rule body; found {} in body literal {literal}",
                modal.as_str()
            );
            errors.push(Error::new(ErrorKind::Modal, text).at(literal.span).suggest(Some(
                "name the table without the modal; what a policy does stands in heads".to_owned(),
            )));
        }
    }
    errors.extend(rule.body.iter().filter_map(misused_builtin));
    errors.extend(body_aggregate(rule));
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
    errors.extend(body_aggregate(rule));
    errors
}

/// An aggregate in a body. (The parser reads none there.)
fn body_aggregate(rule: &Rule) -> Option<Error> {
    let literal = rule.body.iter().find(|literal| literal.aggregates().next().is_some())?;
    let text = format!("Aggregates stand in heads only; found one in body literal {literal}");
    Some(Error::new(ErrorKind::Shape, text).at(literal.span))
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
        let error = if rule.heads.iter().any(|head| head.modal.is_some()) {
            let list: Vec<String> = rule.heads.iter().map(ToString::to_string).collect();
            let text =
                format!("May not have multiple rule heads with a modal: {}", list.join(", "));
            Error::new(ErrorKind::Modal, text).at(second.span)
        } else {
            non_formula(&rule.to_string(), second)
        };
        return Some(error.suggest(Some("write a rule for each head".to_owned())));
    }
    let negated = rule.heads.iter().find(|head| head.negated)?;
    let suggestion = "what does not hold is not stated; negate in bodies".to_owned();
    Some(non_formula(&rule.to_string(), negated).suggest(Some(suggestion)))
}

fn non_formula(text: &str, at: &Atom) -> Error {
    Error::new(ErrorKind::Shape, format!("Non-formula found: {text}")).at(at.span)
}

/// An event, which no policy takes.
pub(crate) fn event(event: &Event) -> Error {
    let text = format!("Events are not accepted: {event}");
    let verb = if event.insert { "insert" } else { "delete" };
    Error::new(ErrorKind::Shape, text)
        .at(event.span)
        .suggest(Some(format!("{verb} the rule as it stands in the brackets")))
}

/// A rule for a policy that takes facts only.
pub(crate) fn not_atomic(rule: &Rule) -> Error {
    let text = format!("Non-atomic formula is not permitted: {rule}");
    Error::new(ErrorKind::Shape, text).at(rule.span).suggest(Some(
        "a database policy holds facts only; put the rule into one of another kind".to_owned(),
    ))
}

/// A text of no or of several statements where one query is wanted.
pub(crate) fn several_queries(statements: &[Statement]) -> Error {
    let list: Vec<String> = statements.iter().map(|s| format!("'{s}'")).collect();
    let text = format!("Queries can have only 1 statement: [{}]", list.join(", "));
    let error = Error::new(ErrorKind::Query, text);
    let span = match statements.get(1) {
        Some(Statement::Fact(atom)) => atom.span,
        Some(Statement::Rule(rule)) => rule.span,
        Some(Statement::Event(event)) => event.span,
        None => return error.suggest(Some("write an atom such as p(x), or a rule".to_owned())),
    };
    error.at(span).suggest(Some(
        "literals that must hold together are a rule's body: ans(x) :- p(x), q(x)".to_owned(),
    ))
}

/// Whether a statement may be asked.
pub(crate) fn query(statement: &Statement) -> Result<(), Error> {
    let body = match statement {
        Statement::Fact(atom) => std::slice::from_ref(atom),
        Statement::Rule(rule) if rule.is_aggregate() => {
            let text = format!("Aggregates are not answered in queries: {rule}");
            return Err(Error::new(ErrorKind::Query, text).at(rule.span).suggest(Some(
                "insert the rule into a policy and ask for the table that it defines".to_owned(),
            )));
        }
        Statement::Rule(rule) => &rule.body,
        Statement::Event(event) => {
            let text = format!("Query must be an atom or a rule: {event}");
            return Err(Error::new(ErrorKind::Query, text).at(event.span));
        }
    };
    body.iter().find_map(misused_builtin).map_or(Ok(()), Err)
}

fn head_policy(head: &Atom, rule: &Rule) -> Error {
    let text = format!("Non-modal rule head {head} should not reference any policy: {rule}");
    Error::new(ErrorKind::Head, text).at(head.span).suggest(without(head))
}

/// How to say which policy a head or a fact belongs to.
fn without(head: &Atom) -> Option<String> {
    let policy = head.policy.as_deref().filter(|policy| *policy != builtins::PREFIX)?;
    let plain = Atom { policy: None, ..head.clone() };
    Some(format!("write {plain} and insert it into policy '{policy}'"))
}

fn head_modal(head: &Atom) -> Option<Error> {
    let modal = head.modal.filter(|modal| *modal != Modal::Execute)?;
    let text = format!("Only 'execute' modal is allowed; found {} in head {head}", modal.as_str());
    let (sign, effect) = if modal == Modal::Insert { ('+', "adds") } else { ('-', "removes") };
    Some(Error::new(ErrorKind::Modal, text).at(head.span).suggest(Some(format!(
        "that a simulated action {effect} rows is written {}{sign}(...), in an action policy",
        head.table
    ))))
}

/// An action whose name has no place in the ledger of actions could never be run.
fn head_length(head: &Atom) -> Option<Error> {
    head.modal.filter(|modal| *modal == Modal::Execute)?;
    let names = [Some(&*head.table), head.policy.as_deref()];
    let length = names.into_iter().flatten().map(|name| name.chars().count()).max()?;
    let text = format!(
        "The name of an action, and of its datasource, may have {MAX_ACTION} characters; this one \
         has {length}"
    );
    (length > MAX_ACTION).then(|| Error::new(ErrorKind::Head, text).at(head.span))
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
    let suggestion = format!("choose another name for the table, such as my_{}", head.table);
    Some(Error::new(ErrorKind::Builtin, text).at(head.span).suggest(Some(suggestion)))
}

#[cfg(test)]
mod tests {
    use crate::ast::Statement;
    use crate::parser::parse;

    #[test]
    fn names_of_actions_have_a_bound() {
        let errors = |service: usize, action: usize| {
            let (service, action) = ("s".repeat(service), "a".repeat(action));
            let text = format!("execute[{service}:{action}(x)] :- q(x)");
            let parsed = parse(&text).unwrap();
            let [Statement::Rule(rule)] = &parsed[..] else { panic!("{text}") };
            super::rule(rule).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(errors(255, 255).is_empty());
        for (service, action) in [(256, 1), (1, 256)] {
            let errors = errors(service, action);
            assert!(errors.len() == 1 && errors[0].contains("256"), "{errors:?}");
        }
    }
}
