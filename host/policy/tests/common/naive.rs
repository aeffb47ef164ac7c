//! A second evaluator, as plain as can be, to compare the engine with.
//!
//! It takes the whole program at once and computes the whole model, stratum by stratum, by applying
//! every rule to everything until nothing new comes out: no indexes, no increments, no plans.
//! Programs are as the engine stores them: column references expanded, one head per rule, heads
//! safe, negation and aggregates stratified. It panics on others, for a test that makes such programs is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use congress_policy::ast::{
    Aggregate, AggregateFunction, Atom, Constant, Rule, Span, Statement, Term,
};
use congress_policy::builtins::{self, Builtin, Context};

/// A table of a policy, or of actions of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Relation {
    policy: String,
    modal: Option<&'static str>,
    /// Of an action with its service: `nova:servers.pause`.
    table: String,
}

/// Rows by their printed form, which tells values apart as unification does. Only NaN, printed as
/// itself, is one row however often it comes; it joins with nothing all the same.
type Rows = BTreeMap<String, Vec<Constant>>;
type Bindings = BTreeMap<Arc<str>, Constant>;

/// Everything that follows from a program.
pub(crate) struct Model {
    context: Context,
    relations: BTreeMap<Relation, Rows>,
}

impl Model {
    /// The model of the policies' statements, in the order in which they were inserted.
    pub(crate) fn new(policies: &[(&str, Vec<Statement>)], context: Context) -> Self {
        let mut model = Self { context, relations: BTreeMap::new() };
        let mut rules = Vec::new();
        for (policy, statements) in policies {
            for statement in statements {
                match statement {
                    Statement::Fact(atom) => model.store(policy, atom),
                    Statement::Rule(rule) => rules.push((*policy, rule)),
                    Statement::Event(event) => panic!("not a statement of a policy: {event}"),
                }
            }
        }
        for stratum in strata(&rules) {
            while model.apply(&stratum) {}
        }
        model
    }

    /// The printed answers to a query in a policy: the instances of an atom, or of a whole rule.
    pub(crate) fn answers(&self, policy: &str, query: &Statement) -> BTreeSet<String> {
        let (heads, body) = match query {
            Statement::Fact(atom) => (Vec::new(), vec![atom.clone()]),
            Statement::Rule(rule) => (rule.heads.clone(), rule.body.clone()),
            Statement::Event(event) => panic!("not a query: {event}"),
        };
        let mut answers = BTreeSet::new();
        self.solve(policy, &body.iter().collect::<Vec<_>>(), &Bindings::new(), &mut |bindings| {
            let ground = |atoms: &[Atom]| atoms.iter().map(|a| instance(a, bindings)).collect();
            let (heads, mut body): (Vec<Atom>, Vec<Atom>) = (ground(&heads), ground(&body));
            answers.insert(if heads.is_empty() {
                body.remove(0).to_string()
            } else {
                Rule { heads, body, span: Span::default() }.to_string()
            });
        });
        answers
    }

    /// Stores a fact, unless a row is there that differs in the spelling of numbers at most.
    fn store(&mut self, policy: &str, fact: &Atom) {
        let row = row(fact, &Bindings::new());
        let rows = self.relations.entry(relation(policy, fact)).or_default();
        let same = |a: &Constant, b: &Constant| {
            a == b || matches!(builtins::compare(a, b), Ok(Some(std::cmp::Ordering::Equal)))
        };
        let is_stored = rows.values().any(|stored| {
            stored.len() == row.len() && stored.iter().zip(&row).all(|(a, b)| same(a, b))
        });
        if !is_stored {
            rows.insert(print(&row), row);
        }
    }

    /// Applies each rule once; whether that gave any new row.
    fn apply(&mut self, rules: &[(&str, &Rule)]) -> bool {
        let mut derived = Vec::new();
        for (policy, rule) in rules {
            let body: Vec<&Atom> = rule.body.iter().collect();
            self.solve(policy, &body, &Bindings::new(), &mut |bindings| {
                if !rule.is_aggregate() {
                    derived.push((relation(policy, head(rule)), row(head(rule), bindings)));
                }
            });
            if rule.is_aggregate() {
                let rows = self.groups(policy, rule).into_iter();
                derived.extend(rows.map(|row| (relation(policy, head(rule)), row)));
            }
        }
        let mut is_new = false;
        for (relation, row) in derived {
            let rows = self.relations.entry(relation).or_default();
            is_new |= rows.insert(print(&row), row).is_none();
        }
        is_new
    }

    /// The rows of a rule with aggregates: one for each group of solutions of its body.
    fn groups(&self, policy: &str, rule: &Rule) -> Vec<Vec<Constant>> {
        let mut solutions: BTreeMap<String, Bindings> = BTreeMap::new();
        self.solve(policy, &rule.body.iter().collect::<Vec<_>>(), &Bindings::new(), &mut |found| {
            let printed: Vec<String> =
                found.iter().map(|(name, v)| format!("{name}={v}")).collect();
            solutions.insert(printed.join(","), found.clone());
        });
        let head = head(rule);
        let mut groups: BTreeMap<String, Vec<&Bindings>> = BTreeMap::new();
        for solution in solutions.values() {
            let plain = head.args.iter().filter_map(|term| value(term, solution));
            let key = plain.map(|value| value.to_string()).collect::<Vec<_>>().join(", ");
            groups.entry(key).or_default().push(solution);
        }
        let rows = groups.values().map(|group| {
            let terms = head.args.iter().map(|term| match term {
                Term::Aggregate(Aggregate { function, variable }) => {
                    aggregate(*function, group.iter().map(|solution| &solution[variable]))
                }
                plain => value(plain, group[0]),
            });
            terms.collect::<Option<Vec<Constant>>>()
        });
        // A group for which an aggregate has no value is not there.
        rows.flatten().collect()
    }

    /// Calls `found` with each set of bindings that satisfies all the literals.
    fn solve(
        &self,
        policy: &str,
        literals: &[&Atom],
        bindings: &Bindings,
        found: &mut dyn FnMut(&Bindings),
    ) {
        if literals.is_empty() {
            return found(bindings);
        }
        let ready = literals.iter().position(|literal| is_ready(literal, bindings));
        let at = ready.unwrap_or_else(|| panic!("unsafe: {}", literals[0]));
        let mut rest = literals.to_vec();
        let literal = rest.remove(at);

        let mut matches = Vec::new();
        for values in self.candidates(policy, literal, bindings) {
            matches.extend(unified(&literal.args, &values, bindings));
        }
        if literal.negated {
            if matches.is_empty() {
                self.solve(policy, &rest, bindings, found);
            }
        } else {
            for extended in matches {
                self.solve(policy, &rest, &extended, found);
            }
        }
    }

    /// Rows that may satisfy the positive form of a literal.
    fn candidates(&self, policy: &str, literal: &Atom, bindings: &Bindings) -> Vec<Vec<Constant>> {
        let is_plain = literal.policy.is_none() && literal.modal.is_none();
        if is_plain && matches!(&*literal.table, "true" | "false") {
            let any: Vec<_> = literal.args.iter().filter_map(|t| value(t, bindings)).collect();
            return if &*literal.table == "true" { vec![any] } else { vec![] };
        }
        if let Some(builtin) = builtin(literal) {
            let inputs = row_of(&literal.args[..builtin.inputs], bindings);
            return match builtin.eval(&self.context, &inputs) {
                Ok(Some(outputs)) => vec![inputs.into_iter().chain(outputs).collect()],
                // An error is no answer.
                Ok(None) | Err(_) => vec![],
            };
        }
        let rows = self.relations.get(&relation(policy, literal));
        rows.into_iter().flat_map(|rows| rows.values().cloned()).collect()
    }
}

/// What an aggregate makes of values. Floats are just added: a test uses some that add exactly.
fn aggregate<'a>(
    function: AggregateFunction,
    values: impl Iterator<Item = &'a Constant>,
) -> Option<Constant> {
    let mut values: Vec<&Constant> = values.collect();
    let float = |value: &Constant| match value {
        Constant::Int(int) => int.to_string().parse().ok(),
        Constant::Float(float) => Some(*float),
        Constant::Text(_) => None,
    };
    let is_text = |value: &&Constant| matches!(value, Constant::Text(_));
    match function {
        AggregateFunction::Count => Some(Constant::Int(values.len().into())),
        AggregateFunction::Sum if values.iter().all(|value| matches!(value, Constant::Int(_))) => {
            let whole = values.iter().filter_map(|value| match value {
                Constant::Int(int) => Some(int),
                _ => None,
            });
            Some(Constant::Int(whole.sum()))
        }
        AggregateFunction::Sum | AggregateFunction::Avg => {
            let floats: Vec<f64> =
                values.iter().map(|value| float(value)).collect::<Option<_>>()?;
            let divisor =
                if function == AggregateFunction::Avg { floats.len() as f64 } else { 1.0 };
            Some(Constant::Float(floats.iter().sum::<f64>() / divisor))
        }
        AggregateFunction::Min | AggregateFunction::Max => {
            if values.iter().any(is_text) && !values.iter().all(is_text) {
                return None;
            }
            // Whole numbers before floats of the same value.
            values.sort_by_key(|value| matches!(value, Constant::Float(_)));
            let before = |a: &Constant, b: &Constant| {
                let order = builtins::compare(a, b).unwrap().unwrap();
                if function == AggregateFunction::Min { order.is_lt() } else { order.is_gt() }
            };
            let first = values[0];
            let best = values
                .iter()
                .fold(first, |best, value| if before(value, best) { value } else { best });
            Some(best.clone())
        }
    }
}

/// The rules by stratum: what a rule negates or takes together lies in a lower one.
fn strata<'a>(rules: &[(&'a str, &'a Rule)]) -> Vec<Vec<(&'a str, &'a Rule)>> {
    let mut level: BTreeMap<Relation, usize> = BTreeMap::new();
    loop {
        let mut changed = false;
        for (policy, rule) in rules {
            let head = relation(policy, head(rule));
            for literal in rule.body.iter().filter(|literal| builtin(literal).is_none()) {
                let below = level.get(&relation(policy, literal)).copied().unwrap_or(0);
                let needed = below + usize::from(literal.negated || rule.is_aggregate());
                assert!(needed <= rules.len(), "not stratified: {rule}");
                if level.get(&head).copied().unwrap_or(0) < needed {
                    level.insert(head.clone(), needed);
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    let mut strata = vec![Vec::new(); rules.len() + 1];
    for (policy, rule) in rules {
        let stratum = level.get(&relation(policy, head(rule))).copied().unwrap_or(0);
        strata[stratum].push((*policy, *rule));
    }
    strata
}

/// A literal is ready when what it needs is bound: a test or a negation everything, a function
/// its inputs, a table nothing.
fn is_ready(literal: &Atom, bindings: &Bindings) -> bool {
    let needed = match builtin(literal) {
        _ if literal.negated => &literal.args[..],
        Some(builtin) => &literal.args[..builtin.inputs],
        None => &[],
    };
    needed.iter().all(|term| value(term, bindings).is_some())
}

fn builtin(literal: &Atom) -> Option<&'static Builtin> {
    let lookup = match literal.policy.as_deref() {
        _ if literal.modal.is_some() => return None,
        None => builtins::lookup,
        Some("builtin") => builtins::lookup_prefixed,
        Some(_) => return None,
    };
    lookup(&literal.table, literal.args.len())
}

/// The bindings with which the terms are the values; none if they cannot be.
fn unified(terms: &[Term], values: &[Constant], bindings: &Bindings) -> Option<Bindings> {
    if terms.len() != values.len() {
        return None;
    }
    let mut bindings = bindings.clone();
    for (term, wanted) in terms.iter().zip(values) {
        match (term, value(term, &bindings)) {
            (_, Some(value)) if value != *wanted => return None,
            (Term::Variable(name), None) => {
                bindings.insert(Arc::clone(name), wanted.clone());
            }
            _ => {}
        }
    }
    Some(bindings)
}

fn head(rule: &Rule) -> &Atom {
    match rule.heads.as_slice() {
        [head] if !head.negated => head,
        _ => panic!("not a rule of a policy: {rule}"),
    }
}

fn relation(policy: &str, atom: &Atom) -> Relation {
    assert!(atom.named.is_empty(), "column references are to be expanded: {atom}");
    let modal = atom.modal.map(|modal| modal.as_str());
    match (&atom.policy, modal) {
        (Some(service), Some(_)) => {
            Relation { policy: policy.into(), modal, table: format!("{service}:{}", atom.table) }
        }
        (named, _) => Relation {
            policy: named.as_deref().unwrap_or(policy).into(),
            modal,
            table: atom.table.to_string(),
        },
    }
}

fn value(term: &Term, bindings: &Bindings) -> Option<Constant> {
    match term {
        Term::Constant(value) => Some(value.clone()),
        Term::Variable(name) => bindings.get(name).cloned(),
        Term::Aggregate(_) => None,
    }
}

fn row_of(terms: &[Term], bindings: &Bindings) -> Vec<Constant> {
    let ground = |term| value(term, bindings).unwrap_or_else(|| panic!("not bound: {term}"));
    terms.iter().map(ground).collect()
}

fn row(atom: &Atom, bindings: &Bindings) -> Vec<Constant> {
    row_of(&atom.args, bindings)
}

fn print(row: &[Constant]) -> String {
    row.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The atom with its variables replaced by what they are bound to.
fn instance(atom: &Atom, bindings: &Bindings) -> Atom {
    let replace = |term: &Term| value(term, bindings).map_or(term.clone(), Term::Constant);
    Atom { args: atom.args.iter().map(replace).collect(), ..atom.clone() }
}
