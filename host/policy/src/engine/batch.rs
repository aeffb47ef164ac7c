//! Batches: checking all statements, then applying all of them or none.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Applied, Engine, Event, Outcome, Waiting};
use crate::ast::{Rule, Statement};
use crate::check::{columns, recursion, safety, shape, widths};
use crate::depgraph::{DependencyGraph, Node, Recursion};
use crate::error::{Error, ErrorKind, Errors};
use crate::policy::PolicyKind;
use crate::program::TableKey;
use crate::state::{Policy, State, Written};

/// The most statements that wait for a schema, those found wrong when it came included.
const MAX_WAITING: usize = 100_000;

/// A statement that has passed all checks of its own.
struct Planned {
    statement: Statement,
    insert: bool,
    policy: Arc<str>,
    /// A rule that is inserted, as it was given.
    written: Option<Written>,
}

/// A batch that has passed all checks but that for recursion.
#[derive(Default)]
struct Plan {
    changes: Vec<Planned>,
    /// Statements to be set aside.
    waiting: Vec<Event>,
    /// Statements set aside before that are taken back, by their places.
    withdrawn: Vec<usize>,
}

/// What a batch did, views aside.
pub(super) struct Changed {
    pub(super) changes: Vec<Applied>,
    /// How many statements were set aside.
    pub(super) waiting: usize,
}

/// A rule that is really inserted, or deleted, and its policy.
type EffectiveRule = (Arc<str>, Rule, bool);

fn written(event: &Event) -> Option<Written> {
    match &event.statement {
        Statement::Rule(rule) if event.insert => {
            Some(Written { rule: rule.clone(), source: event.source.clone() })
        }
        _ => None,
    }
}

fn count_edges(graph: &mut DependencyGraph, rules: &[EffectiveRule]) {
    for (policy, rule, insert) in rules {
        match insert {
            true => graph.insert(policy, rule),
            false => graph.remove(policy, rule),
        }
    }
}

/// Undoes [`count_edges`]. The rules are reversed then.
fn count_out(graph: &mut DependencyGraph, rules: &mut [EffectiveRule]) {
    rules.iter_mut().for_each(|(_, _, insert)| *insert = !*insert);
    rules.reverse();
    count_edges(graph, rules);
}

fn heads(rules: &[EffectiveRule]) -> impl Iterator<Item = Node> {
    rules
        .iter()
        .flat_map(|(policy, rule, _)| rule.heads.iter().map(move |head| Node::of(policy, head)))
}

impl Engine {
    pub(super) fn check_batch(&mut self, events: &[Event]) -> Result<Vec<Applied>, Errors> {
        let plan = self.plan(events, false)?;
        let mut rules = self.effective_rules(&plan.changes);
        if rules.iter().any(|(_, _, insert)| *insert) {
            self.count_in(&mut rules, events, false)?;
            count_out(&mut self.graph, &mut rules);
        }
        let applied =
            |Planned { statement, insert, policy, .. }| Applied { statement, insert, policy };
        Ok(plan.changes.into_iter().map(applied).collect())
    }

    pub(super) fn update_batch(
        &mut self,
        events: &[Event],
        recursive: bool,
    ) -> Result<Outcome, Errors> {
        let before = self.begin();
        let changed = self.change(events, recursive);
        let outcome = self.finish(before);
        let Changed { changes, waiting } = changed?;
        Ok(Outcome { changes, waiting, ..outcome })
    }

    /// Checks and applies a batch; views are left for later.
    pub(super) fn change(&mut self, events: &[Event], recursive: bool) -> Result<Changed, Errors> {
        let plan = self.plan(events, true)?;
        if !plan.waiting.is_empty() && self.waiting.len() + plan.waiting.len() > MAX_WAITING {
            let text = format!("More than {MAX_WAITING} statements would wait for a schema");
            return Err(Error::new(ErrorKind::Limit, text).into());
        }
        let mut rules = self.effective_rules(&plan.changes);
        self.count_in(&mut rules, events, recursive)?;
        for at in plan.withdrawn.into_iter().rev() {
            self.waiting.remove(at);
        }
        let waiting = plan.waiting.len();
        let set_aside = plan.waiting.into_iter();
        self.waiting.extend(set_aside.map(|event| Waiting { event, errors: Vec::new() }));

        self.find_recursions(heads(&rules).collect());
        let mut changes = Vec::with_capacity(plan.changes.len());
        for Planned { statement, insert, policy, written } in plan.changes {
            if let Some(statement) = self.apply(&policy, statement, insert, written) {
                changes.push(Applied { statement, insert, policy });
            }
        }
        Ok(Changed { changes, waiting })
    }

    /// Takes a batch's rules into the dependency graph, unless they make a recursion that may not
    /// be.
    fn count_in(
        &mut self,
        rules: &mut [EffectiveRule],
        events: &[Event],
        recursive: bool,
    ) -> Result<(), Error> {
        count_edges(&mut self.graph, rules);
        match refused_recursion(&self.state, &self.graph, heads(rules), recursive) {
            Some(found) => {
                let error = recursion::error(&self.graph, &found, events);
                count_out(&mut self.graph, rules);
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// Finds the recursions anew, if rules with these heads came or went and any is concerned.
    pub(super) fn find_recursions(&mut self, heads: Vec<Node>) {
        if !any_recursion(&self.state, &self.graph, &heads) {
            return;
        }
        let all: Vec<Node> = self.graph.heads().cloned().collect();
        let recursions = (0..).zip(self.graph.recursions(all));
        let components = recursions
            .flat_map(|(number, recursion)| recursion.nodes.into_iter().map(move |n| (n, number)));
        Arc::make_mut(&mut self.state).components = Arc::new(components.collect());
    }

    /// Checks statement by statement, in stages: a stage's errors are returned together.
    fn plan(&self, events: &[Event], may_wait: bool) -> Result<Plan, Errors> {
        let mut errors = Vec::new();
        let mut plan = Plan::default();

        let mut resolved: Vec<(&Event, &Policy)> = Vec::with_capacity(events.len());
        for event in events {
            match self.state.target(event.policy.as_deref()) {
                Ok(policy) => resolved.push((event, policy)),
                Err(error) => errors.push(error),
            }
        }
        errors.dedup();
        stage(&mut errors)?;

        let mut positional: Vec<(&Event, &Policy, Statement)> = Vec::with_capacity(events.len());
        for (event, policy) in resolved {
            if !event.insert
                && let Some(at) = self.set_aside(event, &policy.info.name)
            {
                plan.withdrawn.push(at);
                continue;
            }
            let refused = |error: Error| error.in_source(&event.source);
            if let Statement::Event(inner) = &event.statement {
                errors.push(refused(shape::event(inner)));
                continue;
            }
            match columns::expand(&event.statement, &policy.info.name, &self.state) {
                Ok(statement) => positional.push((event, policy, statement)),
                Err(columns::Refusal::Wrong(list)) => errors.extend(list.into_iter().map(refused)),
                Err(columns::Refusal::Incomplete(_)) if may_wait => {
                    let policy = Some(policy.info.name.clone());
                    plan.waiting.push(Event { policy, ..event.clone() });
                }
                Err(columns::Refusal::Incomplete(list)) => {
                    errors.extend(list.into_iter().map(refused));
                }
            }
        }
        stage(&mut errors)?;
        plan.withdrawn.sort_unstable();
        plan.withdrawn.dedup();

        for (event, policy, statement) in &positional {
            let list = widths::check(statement, &policy.info.name, &self.state);
            errors.extend(list.into_iter().map(|error| error.in_source(&event.source)));
        }
        stage(&mut errors)?;

        positional.retain(|(event, policy, statement)| {
            event.insert != self.state.holds(policy, statement)
        });

        for (event, policy, statement) in positional {
            if let Some(error) = derived_fact(policy, &statement, event.insert) {
                errors.push(error.in_source(&event.source));
                continue;
            }
            match check(policy, statement) {
                Ok(statement) => plan.changes.push(Planned {
                    statement,
                    insert: event.insert,
                    policy: policy.info.name.clone(),
                    written: written(event),
                }),
                Err(list) => {
                    errors.extend(list.into_iter().map(|error| error.in_source(&event.source)));
                }
            }
        }
        stage(&mut errors)?;
        Ok(plan)
    }

    /// The rules that a batch really inserts and deletes, for it may name one twice.
    fn effective_rules(&self, changes: &[Planned]) -> Vec<EffectiveRule> {
        let mut present: HashMap<(&Arc<str>, String), bool> = HashMap::new();
        let mut effective = Vec::new();
        for Planned { statement, insert, policy, .. } in changes {
            let Statement::Rule(rule) = statement else {
                continue;
            };
            let known = present.entry((policy, sorted_text(rule))).or_insert_with(|| {
                self.state.policies.get(policy).is_some_and(|p| p.rule(rule).is_some())
            });
            if *known != *insert {
                *known = *insert;
                effective.push((policy.clone(), rule.clone(), *insert));
            }
        }
        effective
    }
}

/// Whether there is a recursion to be looked at after rules with these heads came or went.
fn any_recursion(state: &State, graph: &DependencyGraph, heads: &[Node]) -> bool {
    let known = &state.components;
    if known.is_empty() {
        return graph.closes_cycle(heads);
    }
    heads.iter().any(|head| known.contains_key(head)) || graph.any_cycle(heads.iter().cloned())
}

/// The first recursion that the heads are part of and that may not be. Recursion is for policies of
/// kind z3, and for all where an option says so; never through a negation.
pub(crate) fn refused_recursion(
    state: &State,
    graph: &DependencyGraph,
    heads: impl Iterator<Item = Node>,
    anywhere: bool,
) -> Option<Recursion> {
    let heads: Vec<Node> = heads.collect();
    if !any_recursion(state, graph, &heads) {
        return None;
    }
    let recursive = |node: &Node| {
        let policy = state.policies.get(&node.policy);
        policy.is_none_or(|policy| policy.info.kind == PolicyKind::Z3)
    };
    let mut recursions = graph.recursions(heads).into_iter();
    recursions.find(|recursion| {
        let allowed = anywhere || state.recursion_allowed || recursion.nodes.iter().all(recursive);
        recursion.negated || !allowed
    })
}

/// A text that is the same for equal rules.
fn sorted_text(rule: &Rule) -> String {
    let mut body: Vec<String> = rule.body.iter().map(ToString::to_string).collect();
    body.sort();
    let heads: Vec<String> = rule.heads.iter().map(ToString::to_string).collect();
    format!("{} :- {}", heads.join(", "), body.join(", "))
}

fn stage(errors: &mut Vec<Error>) -> Result<(), Errors> {
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Errors(std::mem::take(errors))),
    }
}

/// Why a fact cannot be changed: it is of a materialized table that rules define, so that its rows
/// are not the user's. One that was stored before the rules came may go.
fn derived_fact(policy: &Policy, statement: &Statement, insert: bool) -> Option<Error> {
    let Statement::Fact(atom) = statement else {
        return None;
    };
    let table = policy.tables.get(&TableKey::of_head(atom))?;
    let may_go = !insert && table.rows() > 0;
    if policy.info.kind != PolicyKind::Materialized || table.rules.is_empty() || may_go {
        return None;
    }
    let text = format!("Fact {atom} is of a table that rules define; change what they read");
    Some(Error::new(ErrorKind::Shape, text).at(atom.span))
}

/// The checks of one statement by the kind of its policy; gives it in its stored form.
pub(crate) fn check(policy: &Policy, statement: Statement) -> Result<Statement, Vec<Error>> {
    let rule = match statement {
        Statement::Fact(atom) => {
            let mut errors = shape::fact(&atom);
            errors.extend(widths::short_fact(&atom, policy));
            return if errors.is_empty() { Ok(Statement::Fact(atom)) } else { Err(errors) };
        }
        Statement::Rule(rule) => rule,
        Statement::Event(_) => return Ok(statement),
    };
    let mut errors = match policy.info.kind {
        PolicyKind::Database => {
            return Err(vec![shape::not_atomic(&rule)]);
        }
        PolicyKind::Action => shape::action_rule(&rule),
        _ => shape::rule(&rule),
    };
    if errors.iter().any(|error| error.kind() == ErrorKind::Shape) {
        return Err(errors);
    }
    // A head variable that the body lacks is a fresh value in an action policy.
    if policy.info.kind != PolicyKind::Action || rule.is_aggregate() {
        errors.extend(safety::head_variables(&rule));
    }
    match safety::reorder(&rule) {
        Ok(rule) if errors.is_empty() => Ok(Statement::Rule(rule)),
        Ok(_) => Err(errors),
        Err(error) => {
            errors.push(error);
            Err(errors)
        }
    }
}
